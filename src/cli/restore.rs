//! `larum restore`: a backup in the store's place. The store that was there stays beside it, with its log:
//! a log that is left beside another store would be played into it.

use std::path::PathBuf;

use crate::store::StoreError;
use crate::store::sqlite::Sqlite;

use super::place::Place;
use super::{Exit, Failure, show};

/// Arguments of `larum restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// A daemon that runs would go on with what it had open.
#[derive(Debug, thiserror::Error)]
#[error(
    "a daemon{} runs on the store `{}`; stop it first, then restore and start it again",
    by.map(|by| format!(" (process {by})")).unwrap_or_default(), show::path(path)
)]
struct InUse {
    path: PathBuf,
    by: Option<u32>,
}

impl Restore {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let store = self.place.store()?;
        let restored = Sqlite::restore(&store, &self.from);
        if let Err(StoreError::Taken { path, by }) = &restored {
            return Err(InUse { path: path.clone(), by: *by }.into());
        }
        let kept = restored?;
        let safe = |path: &PathBuf| show::safe(&path.display().to_string());
        let kept = kept.as_ref().map(|kept| format!("; what was there is kept as {}", safe(kept)));
        show::note(&format!("{} is the backup now{}", safe(&store), kept.unwrap_or_default()));
        Ok(Exit::Fine)
    }
}
