//! Lines of packed files that are asked for by and by: unpacked once, and kept on disk.
//!
//! A packed file can be read from its beginning alone. Who asks for some lines, and for some more, and so on,
//! would have it unpacked each time.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::file::{Input, each_line, plain_lines_at};
use super::spool::Spool;

/// Lines of some inputs, all in one temporary file.
#[derive(Debug)]
pub struct Kept {
    spool: Spool,
    /// By the number of the input; none: it is plain, so that each of its lines is found at once, or it cannot
    /// be read again.
    inputs: Vec<Option<Places>>,
}

/// Where the lines of an input are.
#[derive(Debug)]
enum Places {
    /// All: where they begin here, and how many bytes they are.
    All(u64, u64),
    /// Where a line stands in the input as unpacked, and where here, in order.
    Some(Vec<(u64, u64)>),
}

impl Kept {
    /// The lines of `inputs` at what `offsets` gives for the number of each, sorted; where it gives none, all.
    /// Of those that were read. An error is one of the temporary file.
    pub fn of(inputs: &[Input], offsets: impl Fn(usize) -> Option<Vec<u64>>) -> io::Result<Self> {
        let spool = Spool::default();
        let mut file = Written { file: BufWriter::new(spool.clone()), len: 0 };
        let keep = |(number, input): (usize, &Input)| {
            let offsets = offsets(number);
            if offsets.as_ref().is_some_and(Vec::is_empty) {
                return Ok(None);
            }
            let Some(unpacked) = input.unpacked() else { return Ok(None) };
            match offsets {
                Some(offsets) => file.some(Readable(unpacked), &offsets),
                None => file.all(Readable(unpacked)),
            }
            .map(Some)
        };
        let inputs = inputs.iter().enumerate().map(keep).collect::<io::Result<_>>()?;
        file.file.flush()?;
        Ok(Self { spool, inputs })
    }

    /// The lines of the input of that number at `offsets`, which are sorted; none where one of them is not kept.
    pub fn fetch(&self, input: usize, offsets: &[u64]) -> Option<io::Result<Vec<String>>> {
        let places = self.inputs.get(input)?.as_ref()?.of(offsets)?;
        Some(plain_lines_at(self.spool.reader(), &places))
    }
}

impl Places {
    fn of(&self, offsets: &[u64]) -> Option<Vec<u64>> {
        let place = |offset: &u64| match self {
            Self::All(base, len) => (offset < len).then(|| base + offset),
            Self::Some(places) => {
                let number = places.binary_search_by_key(offset, |(at, _)| *at).ok()?;
                places.get(number).map(|(_, place)| *place)
            }
        };
        offsets.iter().map(place).collect()
    }
}

/// What is being written.
struct Written {
    file: BufWriter<Spool>,
    len: u64,
}

impl Written {
    fn some(&mut self, unpacked: impl Read, offsets: &[u64]) -> io::Result<Places> {
        let mut places = Vec::with_capacity(offsets.len());
        each_line(&mut BufReader::new(unpacked), offsets, |offset, line| {
            places.push((offset, self.len));
            self.file.write_all(line)?;
            self.file.write_all(b"\n")?;
            self.len += line.len() as u64 + 1;
            Ok(())
        })?;
        Ok(Places::Some(places))
    }

    fn all(&mut self, mut unpacked: impl Read) -> io::Result<Places> {
        let base = self.len;
        let len = io::copy(&mut unpacked, &mut self.file)?;
        // The last line may have no end.
        self.file.write_all(b"\n")?;
        self.len += len + 1;
        Ok(Places::All(base, len))
    }
}

/// What can be read of a packed file: where it is broken is its end. Who read it first was told.
struct Readable<R>(R);

impl<R: Read> Read for Readable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Ok(0),
            read => read,
        }
    }
}
