use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::suite::{self, commit, fence, read, suite, tenant, wait};

/// A folder with one store in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("larum.db")
    }

    fn store(&self) -> Sqlite {
        Sqlite::open(&self.path()).unwrap()
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}

suite!(Folder::new());
