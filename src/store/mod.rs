//! What outlives the process, in the domain's words: owned messages in, owned results out.
//!
//! The journal is the truth: entries in the order they were taken in. Cursors, alerts, deliveries
//! and checkpoints follow from it or stand beside it, and change in the same transaction. Any store
//! that keeps this trait's promises may stand behind it; one suite of tests runs against each.
//! Nothing here decides anything.

pub mod sqlite;

#[cfg(test)]
pub(crate) mod filling;
#[cfg(test)]
pub(crate) mod law;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod suite;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId, State};
use crate::engine::SourceId;
use crate::record::geography::Places;
use crate::record::scan::Origin;
use crate::record::{Level, RuleId, Timestamp};
use crate::route::{Delivery, DeliveryId, ReceiverName, Silence, SilenceId};
use crate::rule::problem::safe_path;

/// An answer that is on its way. Messages are owned, so that it borrows nothing. Nothing is asked
/// before it is first polled; one that is dropped after that may have been carried out.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Why a store could not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another daemon holds the store.
    #[error(
        "the store `{}` is in use by another daemon{}; stop it, or give this one a store of its own",
        safe_path(path), by.map(|by| format!(" (process {by})")).unwrap_or_default()
    )]
    Taken {
        /// The store.
        path: PathBuf,
        /// The process that has it, where it has said so.
        by: Option<u32>,
    },
    /// Another daemon has taken the tenant over since: nothing was changed.
    #[error("tenant `{tenant}` has been taken over by another daemon (epoch {ours}, now {now})")]
    Fenced {
        /// Whose.
        tenant: Arc<str>,
        /// The epoch that was held.
        ours: u64,
        /// The epoch in force.
        now: u64,
    },
    /// No room left: nothing was changed.
    #[error("the disk under the store is full; free some space, or lower `keep`")]
    Full,
    /// Somebody else writes; worth another try.
    #[error("the store is busy")]
    Busy,
    /// It cannot be trusted any more.
    #[error(
        "the store is damaged ({0}); `larum restore FILE` puts a backup in its place; or move it away to begin anew"
    )]
    Corrupt(String),
    /// A newer Larum wrote it.
    #[error("the store has format {found}, this version reads up to {known}; run the newer version")]
    TooNew {
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// Anything else.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
}

/// The right to change a tenant's state; checked inside the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Whose.
    pub tenant: Arc<str>,
    /// Which taking of it; later ones are higher.
    pub epoch: u64,
}

/// One thing that was taken in. Feeding all of them again, in order, gives the same alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number within its tenant: 1, 2, 3 …, without a gap.
    pub seq: u64,
    /// When it was taken in, by the daemon's clock; decides nothing.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What a journal entry says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// From here on, this decides: rules, bounds and tables, by the digest of their text.
    Generation {
        /// See [`Change::Text`].
        digest: String,
    },
    /// These rules know from here on what the entries from number `from` up to the one before this
    /// taught them, as if they had been in force: nothing of that is told but what still holds.
    Adopted {
        /// Rules of the generation in force, by id.
        rules: Vec<RuleId>,
        /// The first entry that was kept when they learned.
        from: u64,
    },
    /// A lane is read from here on. Its rows are kept apart, and no rule hears of it, until it joins.
    Known(Lane),
    /// A lane counts from here on: rules wait for it.
    Joined(Lane),
    /// A lane no longer counts: it stalled, or was removed.
    Left {
        /// Which.
        lane: SourceId,
    },
    /// Rows were read, or a lane was found complete up to a time, or both.
    Read {
        /// Where.
        lane: SourceId,
        /// Rows as they were read, one line each, each ended by a line feed; those that were new or changed.
        rows: String,
        /// Of equal rows: (number of the line, the first being 0, which twin it is).
        twins: Vec<(u32, u32)>,
        /// Complete up to here, where that moved.
        watermark: Option<Watermark>,
    },
    /// A lane was removed: nothing waits for it any more.
    Gone {
        /// Which.
        lane: SourceId,
    },
    /// Rows whose addresses are where this says; [`Event::Read`] is within.
    Placed {
        /// What was known of the addresses when the rows were taken in.
        places: Places,
        /// What was read.
        read: Box<Self>,
    },
}

impl Event {
    /// What happened, and what was known of the addresses in it.
    pub fn placed(&self) -> (&Self, Option<&Places>) {
        match self {
            Self::Placed { places, read } => (read, Some(places)),
            Self::Generation { .. }
            | Self::Adopted { .. }
            | Self::Known(_)
            | Self::Joined(_)
            | Self::Left { .. }
            | Self::Gone { .. }
            | Self::Read { .. } => (self, None),
        }
    }
}

/// Up to when a lane is complete, by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Of start records.
    pub start: Timestamp,
    /// Of end records.
    pub end: Timestamp,
}

/// One stream of rows of a source: an endpoint of a project, or a file. Its number is for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Its number within its tenant.
    pub id: SourceId,
    /// The source's name in the configuration, and its endpoint: `prod/desktop_logins`.
    pub name: String,
    /// What identities are made of and how keys are named.
    pub origin: Origin,
}

/// How far a lane has been read. What it holds is the source's own affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The lane.
    pub lane: SourceId,
    /// The source's words, JSON.
    pub place: String,
}

/// An engine's state at an entry of the journal, or what changed of it since the checkpoint before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry it has taken in.
    pub seq: u64,
    /// The generation it is of.
    pub generation: String,
    /// What stands in the place of what it was before, opaque.
    pub head: Vec<u8>,
    /// Whether `pieces` are the whole state, and not what changed.
    pub whole: bool,
    /// The state, or what changed, opaque; in order.
    pub pieces: Vec<Vec<u8>>,
}

impl Checkpoint {
    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.pieces.iter().map(Vec::len).sum::<usize>()
    }
}

/// A row that made no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Where it was read.
    pub lane: SourceId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Its beginning.
    pub excerpt: String,
}

/// One change of a tenant's state. A commit makes all of its changes, or none: where one cannot be
/// made (its number is not the next, its delivery is not there, it is another tenant's), none is.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Adds to the journal. Its number must be the last one's and one.
    Journal(Entry),
    /// Keeps a text by its digest (32 hexadecimal digits); one that is there already is nothing.
    Text {
        /// Digest of the text.
        digest: String,
        /// The text.
        text: String,
    },
    /// Replaces a lane's cursor.
    Cursor(Cursor),
    /// Replaces the checkpoint if it is whole; else adds its pieces to those that are there, which must be of
    /// the same generation and of an entry no later.
    Checkpoint(Checkpoint),
    /// Keeps a revision of an alert; one that is there already is nothing. What is shown of the alert
    /// is its newest revision; the first one is kept as it fired.
    Alert(Box<Alert>),
    /// Somebody has taken an alert: its messages stop repeating. Nothing where it is no longer open.
    Acknowledged {
        /// Which.
        alert: AlertId,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Owes a message; one that is owed already (in whatever state) is nothing.
    Owed(Box<Delivery>),
    /// Replaces a delivery that is there; it keeps its place in the order of what is owed.
    Delivery(Box<Delivery>),
    /// Notes a try and what it came to, for the delivery's history. Noted again, it keeps the time at
    /// which it began, and what it came to once that is known.
    Tried {
        /// Which delivery.
        delivery: DeliveryId,
        /// Which try: 1, 2, 3 ….
        number: u32,
        /// When.
        at: Timestamp,
        /// In words; none while it is being tried.
        outcome: Option<String>,
    },
    /// Notes what the receiver of a delivery calls the message that it took: see [`Store::mark`].
    Marked {
        /// Which delivery.
        delivery: DeliveryId,
        /// The receiver's word for it.
        mark: String,
    },
    /// Keeps a silence, or replaces one.
    Silence(Silence),
    /// Removes a silence; what it held back is due at once, and known to have been held back.
    Unsilence {
        /// Which.
        id: SilenceId,
        /// When.
        at: Timestamp,
    },
    /// Keeps a row that made no record, up to [`MAX_QUARANTINED`] a tenant: then the oldest goes.
    Quarantined(Quarantined),
    /// Adds to a counter that outlives the process.
    Count {
        /// Its name: `quarantined.no_time`, `late`, ….
        name: String,
        /// By how much.
        by: u64,
    },
    /// Forgets entries up to `seq` (never beyond the checkpoint, and never the last one, whose number
    /// is the next one's measure), settled deliveries, dead ones too, and silences older than `before`,
    /// and alerts that were over before then and of which no delivery is left to tell.
    Forget {
        /// Last entry to forget.
        seq: u64,
        /// Closed and settled before.
        before: Timestamp,
    },
}

/// Rows that a tenant's quarantine keeps to be looked at; all are counted.
pub const MAX_QUARANTINED: usize = 10_000;

/// Which alerts are asked for; newest first.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// Whose; none: everyone's.
    pub tenant: Option<Arc<str>>,
    /// This one only; a prefix of its hexadecimal digits will do.
    pub id: Option<String>,
    /// Of this rule.
    pub rule: Option<RuleId>,
    /// In one of these states; empty: any.
    pub states: Vec<State>,
    /// At least this grave.
    pub level: Option<Level>,
    /// That fired at or after.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub most: usize,
}

/// An alert as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptAlert {
    /// As it fired.
    pub fired: Alert,
    /// As it stands: its newest revision, acknowledged where somebody has taken it and it is not over.
    pub now: Alert,
    /// Who has taken it, and when.
    pub acknowledged: Option<(String, Timestamp)>,
}

/// Which deliveries are asked for; oldest first unless told.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Whose; none: everyone's.
    pub tenant: Option<Arc<str>>,
    /// This one only; a prefix of its hexadecimal digits will do.
    pub id: Option<String>,
    /// To this receiver.
    pub receiver: Option<ReceiverName>,
    /// In one of these states, as [`crate::route::Standing`] names them (`waiting`, `dead`, …); empty: any.
    pub states: Vec<String>,
    /// Of this alert.
    pub alert: Option<AlertId>,
    /// That this one is told in the place of.
    pub told_by: Option<DeliveryId>,
    /// Those that were owed last come first.
    pub newest_first: bool,
    /// At most so many.
    pub most: usize,
}

/// A try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Which: 1, 2, 3 ….
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// What it came to; none: nobody knows.
    pub outcome: Option<String>,
}

/// A message that went out, for the debt of limits: one for each delivery, however often it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When its last try began.
    pub at: Timestamp,
    /// How grave it was.
    pub level: Level,
    /// The rule; of a digest, that of its first member.
    pub rule: RuleId,
}

/// The share of what is due that no level graver than it can take away, in hundredths.
pub const LEVEL_SHARE: usize = 10;

/// What the store holds, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Bytes on disk, but for those that are free to be used again.
    pub bytes: u64,
    /// Entries of the journal.
    pub entries: u64,
    /// Alerts.
    pub alerts: u64,
    /// Deliveries by receiver and state.
    pub deliveries: BTreeMap<String, BTreeMap<String, u64>>,
    /// Rows in quarantine.
    pub quarantined: u64,
}

/// What Larum keeps.
pub trait Store: Send + Sync + 'static {
    /// Takes a tenant over: what was fenced before can change nothing any more.
    fn fence(&self, tenant: Arc<str>) -> Answer<Fence>;
    /// Makes all changes, or none. Durable when it answers.
    fn commit(&self, fence: Fence, changes: Vec<Change>) -> Answer<()>;

    /// Entries after `after`, in order: at least one if there is one, and at most about `bytes` long.
    fn journal(&self, tenant: Arc<str>, after: u64, bytes: usize) -> Answer<Vec<Entry>>;
    /// These entries, in order of number; those forgotten are left out.
    fn entries(&self, tenant: Arc<str>, seqs: Vec<u64>) -> Answer<Vec<Entry>>;
    /// Number of the first and the last entry kept; none where there is none.
    fn span(&self, tenant: Arc<str>) -> Answer<Option<(u64, u64)>>;
    /// The text with this digest.
    fn text(&self, digest: String) -> Answer<Option<String>>;
    /// Every tenant that has been fenced.
    fn tenants(&self) -> Answer<Vec<Arc<str>>>;
    /// Every lane that was ever known or joined, by number, as it was last told of.
    fn lanes(&self, tenant: Arc<str>) -> Answer<Vec<Lane>>;
    /// Every cursor.
    fn cursors(&self, tenant: Arc<str>) -> Answer<Vec<Cursor>>;
    /// The whole state at the last checkpoint: its pieces, and after them those that were added.
    fn checkpoint(&self, tenant: Arc<str>) -> Answer<Option<Checkpoint>>;

    /// Alerts.
    fn alerts(&self, query: AlertQuery) -> Answer<Vec<KeptAlert>>;
    /// Every revision of an alert, in order.
    fn revisions(&self, tenant: Arc<str>, id: AlertId) -> Answer<Vec<Alert>>;
    /// Deliveries to `receiver` that wait, or whose lease is over, and are due at `now`; gravest first;
    /// within a level the rules of each tenant take turns, each in the order it was owed. At most `most`,
    /// of which [`LEVEL_SHARE`] hundredths are kept for each level, so that neither a noisy rule nor a
    /// noisy level hides another. Turns are given out when a message is owed: it comes after those of its
    /// own rule that wait, and not before what waits already.
    fn due(&self, receiver: ReceiverName, now: Timestamp, most: usize) -> Answer<Vec<Delivery>>;
    /// When the next delivery to `receiver` falls due, or its lease ends; none when nothing waits.
    fn next_due(&self, receiver: ReceiverName) -> Answer<Option<Timestamp>>;
    /// What was tried at `receiver` since `since`, oldest first.
    fn sent(&self, receiver: ReceiverName, since: Timestamp) -> Answer<Vec<Sent>>;
    /// The delivery to `receiver` whose last try began last, of those of which it is known what a try came
    /// to; while another try is under way, that is of the one before.
    fn last_tried(&self, receiver: ReceiverName) -> Answer<Option<Delivery>>;
    /// Deliveries.
    fn deliveries(&self, query: DeliveryQuery) -> Answer<Vec<Delivery>>;
    /// A delivery's tries.
    fn tries(&self, delivery: DeliveryId) -> Answer<Vec<Try>>;
    /// When a message of a route's group was last taken at `receiver`: see [`crate::route::Group::key`].
    fn group_told(&self, receiver: ReceiverName, key: String) -> Answer<Option<Timestamp>>;
    /// What `receiver` calls its message of this alert: the last mark of those noted.
    fn mark(&self, tenant: Arc<str>, receiver: ReceiverName, alert: AlertId) -> Answer<Option<String>>;
    /// Silences that are not over at `now`.
    fn silences(&self, now: Timestamp) -> Answer<Vec<Silence>>;
    /// Rows in quarantine, newest first.
    fn quarantine(&self, tenant: Arc<str>, most: usize) -> Answer<Vec<Quarantined>>;
    /// Counters by name.
    fn counters(&self, tenant: Arc<str>) -> Answer<BTreeMap<String, u64>>;
    /// What it holds.
    fn holdings(&self) -> Answer<Holdings>;
    /// Writes a whole, consistent copy to `path`, which must not exist.
    fn backup(&self, path: PathBuf) -> Answer<()>;
}
