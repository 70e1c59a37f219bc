//! The store in one SQLite file.
//!
//! One thread writes, a few read; each has a connection of its own. Every commit is flushed to the
//! disk before it is answered. The file belongs to one daemon at a time; commands may read beside it.
//! Nothing here decides anything, and nothing retries a write that failed.

mod alerts;
mod change;
mod counts;
mod deliveries;
mod fault;
mod file;
mod filter;
mod journal;
mod pack;
mod queue;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
mod word;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;

use self::fault::{Outcome, refused, unusable};
use self::reader::Readers;
use self::writer::{Job, Writer};
use super::{
    AlertQuery, Answer, Change, Checkpoint, Cursor, DeliveryQuery, Entry, Fence, Holdings, KeptAlert, Lane,
    Quarantined, Sent, Store, StoreError, Try,
};
use crate::alert::{Alert, AlertId};
use crate::record::Timestamp;
use crate::route::{Delivery, DeliveryId, ReceiverName, Silence};

/// Threads that answer questions. One may read a long stretch of the journal meanwhile.
const READERS: usize = 2;

/// A store in one file of SQLite's, with a lock and a log beside it while it is in use.
///
/// Dropping it ends what was begun: nothing that was handed in is lost. The order of its fields is the
/// order in which they are closed.
pub struct Sqlite {
    path: PathBuf,
    readers: Readers,
    /// Copies the store, which takes long.
    copier: Readers,
    /// None where the store was opened for reading only. Last of the threads: it puts the log away.
    writer: Option<Writer>,
    /// Held until all else is closed.
    _lock: Option<File>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the store at `path` for the daemon: made where it is not there (its folder must be),
    /// brought forward where its format is older. Blocks while it reads the file through.
    ///
    /// # Errors
    /// [`StoreError::Taken`] while another daemon has it; [`StoreError::TooNew`];
    /// [`StoreError::Corrupt`] where it is damaged or no store of Larum's, which is left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::open_with(path, schema::STEPS)?)
    }

    /// Opens the store at `path` for a command that only asks, beside a running daemon or without one.
    /// [`Store::fence`] and [`Store::commit`] are refused.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; and where there is none, or its format is older.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::look_with(path, schema::STEPS)?)
    }

    /// Puts a copy of the store at `from` in the place of the one at `path`, and gives the name under which
    /// that one is kept, if there was one. The power may fail at any moment: what is whole by then comes to
    /// its place with the next [`Sqlite::open`].
    ///
    /// # Errors
    /// [`StoreError::Taken`] while a daemon has it; and where `from` is no whole store that this version reads.
    pub fn restore(path: &Path, from: &Path) -> Result<Option<PathBuf>, StoreError> {
        let path = file::resolved(path)?;
        let _lock = file::take(&path)?;
        Ok(file::restore(&path, from, schema::STEPS)?)
    }

    fn open_with(path: &Path, steps: &[&str]) -> Outcome<Self> {
        let path = file::resolved(path)?;
        let lock = file::take(&path)?;
        file::finish_restore(&path)?;
        let writer = Writer::start(file::writing(&path, steps)?)?;
        Self::with(Some(lock), Some(writer), path, steps)
    }

    fn look_with(path: &Path, steps: &[&str]) -> Outcome<Self> {
        if !path.exists() {
            return Err(unusable(path, &"there is no such file"));
        }
        if path.is_dir() {
            return Err(unusable(path, &"it is a folder; name the store's file in it"));
        }
        Self::with(None, None, file::resolved(path)?, steps)
    }

    fn with(lock: Option<File>, writer: Option<Writer>, path: PathBuf, steps: &[&str]) -> Outcome<Self> {
        let readers: Outcome<Vec<Connection>> = (0..READERS).map(|_| file::reading(&path, steps)).collect();
        let readers = Readers::start(readers?)?;
        let copier = Readers::start(vec![file::reading(&path, steps)?])?;
        Ok(Self { path, readers, copier, writer, _lock: lock })
    }

    fn write<T: Send + 'static>(&self, job: impl FnOnce(queue::Reply<T>) -> Job) -> Answer<T> {
        if let Some(writer) = &self.writer {
            return writer.ask(job);
        }
        let words = "it was opened for reading only; what changes it is asked of the running daemon";
        Box::pin(std::future::ready(Err(StoreError::Failed(words.to_owned()))))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Outcome<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| refused(format!("cannot start a thread: {error}")))
}

impl Store for Sqlite {
    fn fence(&self, tenant: Arc<str>) -> Answer<Fence> {
        self.write(|reply| Job::Fence { tenant, reply })
    }

    fn commit(&self, fence: Fence, changes: Vec<Change>) -> Answer<()> {
        self.write(|reply| Job::Commit { fence, changes, reply })
    }

    fn journal(&self, tenant: Arc<str>, after: u64, bytes: usize) -> Answer<Vec<Entry>> {
        self.readers.ask(move |state| journal::after(state, &tenant, after, bytes))
    }

    fn entries(&self, tenant: Arc<str>, seqs: Vec<u64>) -> Answer<Vec<Entry>> {
        self.readers.ask(move |state| journal::at(state, &tenant, seqs))
    }

    fn span(&self, tenant: Arc<str>) -> Answer<Option<(u64, u64)>> {
        self.readers.ask(move |state| journal::span(state, &tenant))
    }

    fn text(&self, digest: String) -> Answer<Option<String>> {
        self.readers.ask(move |state| journal::text(state, &digest))
    }

    fn tenants(&self) -> Answer<Vec<Arc<str>>> {
        self.readers.ask(deliveries::tenants)
    }

    fn lanes(&self, tenant: Arc<str>) -> Answer<Vec<Lane>> {
        self.readers.ask(move |state| journal::lanes(state, &tenant))
    }

    fn cursors(&self, tenant: Arc<str>) -> Answer<Vec<Cursor>> {
        self.readers.ask(move |state| journal::cursors(state, &tenant))
    }

    fn checkpoint(&self, tenant: Arc<str>) -> Answer<Option<Checkpoint>> {
        self.readers.ask(move |state| journal::checkpoint(state, &tenant))
    }

    fn alerts(&self, query: AlertQuery) -> Answer<Vec<KeptAlert>> {
        self.readers.ask(move |state| alerts::find(state, &query))
    }

    fn revisions(&self, tenant: Arc<str>, id: AlertId) -> Answer<Vec<Alert>> {
        self.readers.ask(move |state| alerts::revisions(state, &tenant, id))
    }

    fn due(&self, receiver: ReceiverName, now: Timestamp, most: usize) -> Answer<Vec<Delivery>> {
        self.readers.ask(move |state| deliveries::due(state, &receiver, now, most))
    }

    fn next_due(&self, receiver: ReceiverName) -> Answer<Option<Timestamp>> {
        self.readers.ask(move |state| deliveries::next_due(state, &receiver))
    }

    fn sent(&self, receiver: ReceiverName, since: Timestamp) -> Answer<Vec<Sent>> {
        self.readers.ask(move |state| deliveries::sent(state, &receiver, since))
    }

    fn last_tried(&self, receiver: ReceiverName) -> Answer<Option<Delivery>> {
        self.readers.ask(move |state| deliveries::last_tried(state, &receiver))
    }

    fn deliveries(&self, query: DeliveryQuery) -> Answer<Vec<Delivery>> {
        self.readers.ask(move |state| deliveries::find(state, &query))
    }

    fn tries(&self, delivery: DeliveryId) -> Answer<Vec<Try>> {
        self.readers.ask(move |state| deliveries::tries(state, delivery))
    }

    fn group_told(&self, receiver: ReceiverName, key: String) -> Answer<Option<Timestamp>> {
        self.readers.ask(move |state| deliveries::group_told(state, &receiver, &key))
    }

    fn mark(&self, tenant: Arc<str>, receiver: ReceiverName, alert: AlertId) -> Answer<Option<String>> {
        self.readers.ask(move |state| deliveries::mark(state, &tenant, &receiver, alert))
    }

    fn silences(&self, now: Timestamp) -> Answer<Vec<Silence>> {
        self.readers.ask(move |state| deliveries::silences(state, now))
    }

    fn quarantine(&self, tenant: Arc<str>, most: usize) -> Answer<Vec<Quarantined>> {
        self.readers.ask(move |state| counts::quarantined(state, &tenant, most))
    }

    fn counters(&self, tenant: Arc<str>) -> Answer<BTreeMap<String, u64>> {
        self.readers.ask(move |state| counts::counters(state, &tenant))
    }

    fn holdings(&self) -> Answer<Holdings> {
        let path = self.path.clone();
        self.readers.ask(move |state| counts::holdings(state, &path))
    }

    fn backup(&self, path: PathBuf) -> Answer<()> {
        self.copier.ask(move |state| file::copy(state, &path))
    }
}
