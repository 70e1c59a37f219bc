//! Lines of a packed file that are asked for by and by: unpacked once, and kept on disk.
//!
//! A packed file can be read from its beginning alone. Who asks for some lines, and for some more, and so on,
//! would have it unpacked each time.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

use super::file::each_line;

/// Some lines of a file, or all of it.
#[derive(Debug)]
pub struct Kept {
    /// Closed, for there may be as many as there are files.
    file: TempPath,
    /// Where a line stands in the file as unpacked, and where here, in order; none: where it stands there.
    places: Option<Vec<(u64, u64)>>,
}

impl Kept {
    /// The lines at `offsets`, which are sorted, of a file as unpacked.
    pub(super) fn some(unpacked: impl Read, offsets: &[u64]) -> io::Result<Self> {
        let mut file = BufWriter::new(NamedTempFile::new()?);
        let (mut places, mut place) = (Vec::with_capacity(offsets.len()), 0);
        each_line(&mut BufReader::new(unpacked), offsets, |offset, line| {
            places.push((offset, place));
            file.write_all(line)?;
            file.write_all(b"\n")?;
            place += line.len() as u64 + 1;
            Ok(())
        })?;
        Ok(Self { file: file.into_inner()?.into_temp_path(), places: Some(places) })
    }

    /// All of a file.
    pub(super) fn all(mut unpacked: impl Read) -> io::Result<Self> {
        let mut file = NamedTempFile::new()?;
        io::copy(&mut unpacked, &mut file)?;
        Ok(Self { file: file.into_temp_path(), places: None })
    }

    /// Where the lines are.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Where the lines at `offsets` of the file stand here; none where one of them is not kept.
    pub(super) fn places(&self, offsets: &[u64]) -> Option<Vec<u64>> {
        let Some(places) = &self.places else { return Some(offsets.to_vec()) };
        let place = |offset: &u64| {
            let number = places.binary_search_by_key(offset, |(at, _)| *at).ok()?;
            places.get(number).map(|(_, place)| *place)
        };
        offsets.iter().map(place).collect()
    }
}
