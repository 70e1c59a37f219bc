//! Sources that the daemon polls: each gives rows, how far it is complete, and a place to resume
//! from. A source decides when it asks and what; the daemon carries out.

use std::path::Path;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::record::scan::Origin;
use crate::record::{Millis, Timestamp};

/// One stream of a source, before the daemon has given it a number.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSpec {
    /// `source/endpoint` of the vendor's, `source/path` of files.
    pub name: String,
    /// What identities are made of and how keys are named.
    pub origin: Origin,
}

/// How late a source's rows appear: from a row's own time to the moment at which it was first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Rows that were counted: those of the last day or two that were read as they appeared.
    pub rows: u64,
    /// What half of them did not exceed.
    pub median: Millis,
    /// What 999 of a thousand did not exceed.
    pub most: Millis,
    /// How late a row may be at present without coming after its watermark.
    pub settle: Millis,
}

/// What one reading of a lane gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Number of the lane among [`LiveSource::lanes`].
    pub lane: usize,
    /// Rows as they were read, one line each, each ended by a line feed. Those that were read before
    /// may stand among them; the daemon leaves them out.
    pub rows: String,
    /// Of equal rows in `rows`: (number of the line, the first being 0, which twin it is).
    pub twins: Vec<(u32, u32)>,
    /// Complete up to here: (start records, end records).
    pub watermark: Option<(Timestamp, Timestamp)>,
    /// The place to resume from once these rows are kept: JSON, in the source's own words.
    pub cursor: String,
    /// The service's own now.
    pub now: Option<Timestamp>,
    /// Rows dated ahead of now, set aside to be read again.
    pub ahead: u64,
    /// How late rows appear, where the source measures it.
    pub lateness: Option<Lateness>,
    /// True while more of the past is still to be read; from the first reading without it on, the
    /// lane has caught up.
    pub behind: bool,
    /// Why there is nothing to read yet, as long as that is so.
    pub nothing: Option<String>,
    /// What somebody should hear of besides: rows missing against the total, a gap beyond what the
    /// service keeps, ….
    pub remarks: Vec<String>,
    /// Where rows stand that make no record, in their order, where the source knows.
    pub faulty: Vec<Faulty>,
}

/// A row that makes no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulty {
    /// Its beginning, as it is set aside.
    pub excerpt: String,
    /// Where it stands: the file and its line.
    pub place: String,
}

/// Why a reading failed. Texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Worth another try by itself: unreachable, 5xx, a broken answer.
    #[error("{0}")]
    Passing(String),
    /// The service asks for fewer requests.
    #[error("the service throttles: {text}")]
    Throttled {
        /// No request before this is over.
        wait: Millis,
        /// What it said.
        text: String,
    },
    /// Credentials or rights are refused: no request until `wait` is over, or, without one, until the
    /// configuration changes.
    #[error("{text}")]
    Refused {
        /// When to try again by itself.
        wait: Option<Millis>,
        /// What it said, and the way out.
        text: String,
        /// True where no lane of the source is asked any more, false where the others are.
        whole: bool,
    },
}

/// What a source says when asked for more.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A reading, complete in itself.
    Read(Box<Reading>),
    /// Nothing to do before this is over.
    Wait(Millis),
    /// A lane could not be read; its watermark stands still.
    Failed {
        /// Which lane.
        lane: usize,
        /// Why.
        trouble: Trouble,
    },
}

/// A step that is under way.
pub type Stepping<'a> = Pin<Box<dyn Future<Output = Step> + Send + 'a>>;

/// What a source finds out before it is read.
pub type Preparing<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// A source that is read for as long as the daemon runs.
pub trait LiveSource: Send + std::fmt::Debug {
    /// Finds out what the configuration leaves open and identities are made of, before lanes are
    /// resumed or read: asks once, and keeps what it learnt in `notes`, a file of its own beside the
    /// store. The text of a failure holds no secret and says the way out.
    fn prepare<'a>(&'a mut self, _now: Timestamp, _notes: &'a Path) -> Preparing<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Its lanes, always the same ones in the same order; their origins are whole once it is prepared.
    fn lanes(&self) -> Vec<LaneSpec>;
    /// Resumes a lane where an earlier life stopped, or, after a reading that could not be kept, where
    /// this one was; an empty cursor begins anew. What was given since is given again.
    fn resume(&mut self, lane: usize, cursor: &str) -> Result<(), String>;
    /// The next thing. `now` is the daemon's clock, for pacing and signatures only. A step that is
    /// dropped half-way has read nothing.
    fn step(&mut self, now: Timestamp) -> Stepping<'_>;
    /// What of it cannot be read while the rest is, why, and the way out.
    fn broken(&self) -> Option<String> {
        None
    }
    /// Up to when it is taken to be complete though the daemon's clock, which says `now`, has not come near:
    /// rows dated before that come late. Never of a service, which has a clock of its own.
    fn complete_ahead(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}
