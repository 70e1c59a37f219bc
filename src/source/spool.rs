//! Temporary files that have no name: they are gone with the process, however that ends. What is small never
//! becomes a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, PoisonError, RwLock};

use crate::rule::problem::safe_path;

/// Bytes that stay in memory: a few files of an hour, and no machine lacks so much.
const IN_MEMORY: usize = 4 << 20;

/// A temporary file, which is written to at its end. Copies are of the same file.
#[derive(Debug, Clone, Default)]
pub struct Spool(Arc<RwLock<Bytes>>);

/// Where its bytes are.
#[derive(Debug)]
enum Bytes {
    /// Here, [`IN_MEMORY`] at most.
    Memory(Vec<u8>),
    /// In a file without a name.
    File(File),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

/// It is the temporary file that is at fault, and not what was to be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NoFile(io::Error);

/// What to say of `what`, which takes a temporary file, where that is why `error` came: where the file was to
/// be, and the way out.
pub fn no_file_for(what: &str, error: &io::Error) -> Option<String> {
    is_of_a_temporary_file(error).then(|| {
        format!(
            "{what} takes a temporary file, and none can be written in `{}`; make room there, or set TMPDIR to another \
             folder",
            safe_path(&tempfile::env::temp_dir())
        )
    })
}

impl Spool {
    /// Reads it from its beginning, whoever else reads it or writes to it.
    pub fn reader(&self) -> Reader {
        Reader { spool: self.clone(), at: 0 }
    }

    fn len(&self) -> io::Result<u64> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Bytes::Memory(bytes) => Ok(bytes.len() as u64),
            Bytes::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

impl Write for Spool {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).write(more).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bytes {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) if bytes.len() + more.len() <= IN_MEMORY => bytes.write(more),
            Self::Memory(bytes) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(bytes)?;
                *self = Self::File(file);
                self.write(more)
            }
            Self::File(file) => file.write(more),
        }
    }
}

/// Says that it is the temporary file that is at fault.
fn told(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    io::Error::new(error.kind(), NoFile(error))
}

/// True where `error` is of a temporary file.
pub fn is_of_a_temporary_file(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<NoFile>()).is_some()
}

/// A place in a temporary file.
#[derive(Debug)]
pub struct Reader {
    spool: Spool,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = match &*self.spool.0.read().unwrap_or_else(PoisonError::into_inner) {
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let len = rest.len().min(into.len());
                into[..len].copy_from_slice(&rest[..len]);
                len
            }
            Bytes::File(file) => file.read_at(into, self.at)?,
        };
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.spool.len()?, by),
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
        let mut spool = Spool::default();
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

    #[test]
    fn what_outgrows_the_memory_goes_on_in_a_file() {
        let mut spool = Spool::default();
        let (mut early, block) = (spool.reader(), vec![b'x'; IN_MEMORY]);
        spool.write_all(&block).unwrap();
        let mut word = [0; 2];
        early.read_exact(&mut word).unwrap();
        assert!(matches!(&*spool.0.read().unwrap(), Bytes::Memory(_)));
        spool.write_all(b"yz").unwrap();
        assert!(matches!(&*spool.0.read().unwrap(), Bytes::File(_)));
        let rest = io::read_to_string(&mut early).unwrap();
        assert!(rest.len() == IN_MEMORY && rest.ends_with("xyz"));
        assert_eq!(early.seek(SeekFrom::End(-1)).unwrap(), IN_MEMORY as u64 + 1);
        assert_eq!(io::read_to_string(&mut early).unwrap(), "z");
    }
}
