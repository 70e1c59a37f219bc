//! Temporary files that have no name: they are gone with the process, however that ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A temporary file, which is written to at its end. Copies are of the same file.
#[derive(Debug, Clone)]
pub struct Spool(Arc<File>);

impl Spool {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        tempfile::tempfile().map(|file| Self(Arc::new(file))).map_err(told)
    }

    /// Reads it from its beginning, whoever else reads it or writes to it.
    pub fn reader(&self) -> Reader {
        Reader { file: Arc::clone(&self.0), at: 0 }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that it is the temporary file that is at fault, and not what was to be read.
fn told(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!("a temporary file cannot be written; make room, or set TMPDIR: {error}"),
    )
}

/// A place in a temporary file.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(into, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.file.metadata()?.len(), by),
        };
        self.at = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_have_places_of_their_own() {
        let mut spool = Spool::new().unwrap();
        spool.write_all(b"one two").unwrap();
        let (mut one, mut other) = (spool.reader(), spool.reader());
        let mut word = [0; 4];
        one.read_exact(&mut word).unwrap();
        spool.clone().write_all(b" three").unwrap();
        assert_eq!(io::read_to_string(&mut one).unwrap(), "two three");
        assert_eq!(other.seek(SeekFrom::End(-5)).unwrap(), 8);
        assert_eq!(other.seek(SeekFrom::Current(-4)).unwrap(), 4);
        assert!(other.seek(SeekFrom::Current(-5)).is_err());
        assert_eq!(io::read_to_string(&mut other).unwrap(), "two three");
    }
}
