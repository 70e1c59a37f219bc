//! One line or row of JSON to slots; the only place that meets untyped input.
//!
//! A block of whole lines goes in, a batch comes out: every line is validated whole, only the
//! wanted fields are kept, as places in the block itself. What is no row is quarantined with its
//! reason, and the lines after it are read all the same. What is JSON and no text, half of a surrogate
//! pair, is read as U+FFFD (see `record::halves`); numbers are kept as they are spelt, however large (see
//! `record::value`). Nothing here reads a clock or a file, or
//! remembers anything from one block to the next but the keys it expects, which cost or save time
//! and never change a result.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a hot module: blocks are bounded by `MAX_BLOCK`, so that offsets fit in 32 bits, and columns in 16"
)]

mod facts;
mod fast;
mod fault;
mod foreign;
mod identity;
mod lists;
mod mapping;
mod plan;
mod row;
mod shape;
mod sink;
mod slow;
mod stops;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use fault::{Fault, excerpt};
pub(super) use identity::{identity_of_line, identity_of_named};
pub use mapping::{FieldMap, Mapping};
pub use shape::endpoint_of;

use super::batch::{BadRow, Timed};
use super::fact::Facts;
use super::geography::Geography;
use super::{Batch, Columns, Locator};
use facts::Memo;
use fast::{Learnt, Line};
use plan::Plan;
use row::{Found, Maker};
use shape::{Service, Shape};
use sink::Sink;
use slow::Reader;
use stops::Stops;

/// Longest line or row: more than any audit record, less than what hurts.
pub const MAX_LINE: usize = 4 << 20;
/// Most fields in a row; the vendor's widest has 30.
pub const MAX_FIELDS: usize = 512;
/// Deepest nesting, the row itself counted: reading recurses.
pub const MAX_DEPTH: usize = 16;
/// Longest block. With what unescaping and facts add, its offsets stay within 32 bits.
pub const MAX_BLOCK: usize = 512 << 20;
/// Longest excerpt of a bad row that is kept to be looked at.
pub const MAX_EXCERPT: usize = 512;
/// Keys that are remembered to be expected again; hostile rows may invent more.
const MAX_KEYS_LEARNT: usize = 1_024;

/// The vendor's five endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Desktop logins.
    DesktopLogins,
    /// Logins of the application service.
    AppLogins,
    /// Starts of applications.
    AppLaunches,
    /// Sessions.
    Sessions,
    /// Password and MFA logins, before there is a connection.
    UserEvents,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 5] =
        [Self::DesktopLogins, Self::AppLogins, Self::AppLaunches, Self::Sessions, Self::UserEvents];

    /// The name in configurations and identities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DesktopLogins => "desktop_logins",
            Self::AppLogins => "app_logins",
            Self::AppLaunches => "app_launches",
            Self::Sessions => "sessions",
            Self::UserEvents => "user_events",
        }
    }

    /// The `kind` of its records.
    pub fn kind(self) -> &'static str {
        Shape::of_endpoint(self).kind.as_str()
    }

    /// The `service` of its records, if they have one.
    pub fn service(self) -> Option<&'static str> {
        Shape::of_endpoint(self).service.map(Service::as_str)
    }
}

/// What identities are made of besides the vendor's key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// A file: kind and vendor id, else the line.
    #[default]
    File,
    /// A project of the vendor's: region, project, endpoint and the vendor's key.
    Huawei {
        /// The region.
        region: String,
        /// The project.
        project_id: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
}

/// Where rows come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// How their identity is made.
    pub provenance: Provenance,
    /// The endpoint whose rows they are, where it is known; else each row's shape tells.
    pub endpoint: Option<Endpoint>,
    /// How a foreign row's keys are named.
    pub mapping: Mapping,
}

impl Origin {
    /// Rows of a file.
    pub fn file(mapping: Mapping) -> Self {
        Self { mapping, ..Self::default() }
    }

    /// Rows of one endpoint of a project.
    pub fn huawei(region: &str, project_id: &str, endpoint: Endpoint) -> Self {
        let (region, project_id) = (region.to_owned(), project_id.to_owned());
        Self {
            provenance: Provenance::Huawei { region, project_id, endpoint },
            endpoint: Some(endpoint),
            mapping: Mapping::default(),
        }
    }
}

/// Wants the fields that identity, time and outcome are made of, so that evidence can show them.
/// A [`Scanner`] reads them by itself, wanted or not.
pub fn want_essentials(columns: &mut Columns) {
    for name in row::ALWAYS {
        columns.want_known(name);
    }
}

/// Reads blocks of lines from one origin. Pure, and shared by threads.
pub struct Scanner {
    columns: Arc<Columns>,
    maker: Maker,
    /// What idle threads have learnt.
    idle: Mutex<Vec<Scratch>>,
    /// Batches that came back, for the room they have: its pages are at hand already.
    spare: Mutex<Vec<Batch>>,
}

/// Batches kept for their room.
const MAX_SPARE: usize = 16;

/// What one thread needs while it reads a block.
struct Scratch {
    stops: Stops,
    learnt: Learnt,
    sink: Sink,
    memo: Memo,
    /// Rows of the block before, to make room for as many.
    rows: usize,
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("columns", &self.columns.names()).finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner that fills `columns`.
    pub fn new(columns: Arc<Columns>, facts: Arc<Facts>, origin: Origin) -> Self {
        let needed = row::needed(&columns, &origin);
        let plan = Plan::new(&columns, &needed, &origin.mapping, origin.endpoint.is_none());
        let maker = Maker::new(plan, columns.len(), facts, origin);
        Self { columns, maker, idle: Mutex::default(), spare: Mutex::default() }
    }

    /// Marks rows of files with a secret `seed` instead of making the identity of each, which only few
    /// are asked for. No use where rows are remembered beyond this process.
    #[must_use]
    pub fn marking(mut self, seed: u64) -> Self {
        self.maker.seed = Some(seed);
        self
    }

    /// Reads a block of whole lines, whose first byte is `base`. Blank lines are skipped; a
    /// byte-order mark is accepted where `base` is 0.
    pub fn scan(&self, block: String, base: Locator) -> Batch {
        self.scan_placed(block, base, None)
    }

    /// The same of rows whose addresses are where `places` says; none: where the facts' own say.
    pub fn scan_placed(&self, block: String, base: Locator, places: Option<&dyn Geography>) -> Batch {
        let own = || self.maker.facts.geography().map(|geography| &**geography);
        self.scan_marked(block, base, Vec::new(), places.or_else(own))
    }

    /// The same of bytes that may be no text: lines that are not UTF-8 are quarantined.
    pub fn scan_bytes(&self, block: Vec<u8>, base: Locator) -> Batch {
        match String::from_utf8(block) {
            Ok(text) => self.scan(text, base),
            Err(error) => {
                let (text, faults) = blank_bad_lines(error.into_bytes(), base);
                let places = self.maker.facts.geography().map(|geography| &**geography);
                self.scan_marked(text, base, faults, places)
            }
        }
    }

    fn scan_marked(
        &self,
        block: String,
        base: Locator,
        faults: Vec<BadRow>,
        places: Option<&dyn Geography>,
    ) -> Batch {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut batch = spare.unwrap_or_else(|| Batch::new(Arc::clone(&self.columns)));
        batch.read = faults.len() as u64;
        batch.timed = Timed::default();
        self.maker.begin(&mut batch.mapped);
        batch.faults = faults;
        if block.len() > MAX_BLOCK {
            batch.read += 1;
            batch.faults.push(BadRow { locator: base, fault: Fault::TooLong, excerpt: excerpt(&block) });
            return batch;
        }
        let mut scratch = self.idle().pop().unwrap_or_else(|| self.scratch());
        batch.rows.reserve(scratch.rows);
        batch.slots.reserve(scratch.rows * self.columns.len());
        self.read_lines((&block, places), base, &mut scratch, &mut batch);
        scratch.rows = batch.rows.len();
        batch.text = block;
        batch.text.push_str(scratch.sink.tail.as_str());
        self.idle().push(scratch);
        batch.faults.sort_by_key(|bad| bad.locator);
        batch
    }

    /// Takes back a batch that is done with, for the room it has. Gives its text's.
    pub fn recycle(&self, mut batch: Batch) -> Vec<u8> {
        let text = std::mem::take(&mut batch.text).into_bytes();
        if Arc::ptr_eq(&batch.columns, &self.columns) {
            batch.rows.clear();
            batch.slots.clear();
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < MAX_SPARE {
                spare.push(batch);
            }
        }
        text
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            stops: Stops::default(),
            learnt: Learnt::default(),
            sink: Sink::new(self.maker.plan().targets(), self.maker.plan().fields().len()),
            memo: Memo::default(),
            rows: 0,
        }
    }

    fn read_lines(
        &self,
        (block, geography): (&str, Option<&dyn Geography>),
        base: Locator,
        scratch: &mut Scratch,
        batch: &mut Batch,
    ) {
        let plan = self.maker.plan();
        let Scratch { stops, learnt, sink, memo, .. } = scratch;
        stops.find(block.as_bytes());
        sink.tail.begin(block.len(), self.maker.words());
        let mut at = if base.0 == 0 && block.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        while at < block.len() {
            let locator = Locator(base.0 + at as u64);
            let tail = sink.tail.len();
            sink.reset();
            let (line, read) = if let Some(line) = learnt.walk(block, stops, plan, at, sink) {
                (line, Ok(()))
            } else {
                let line = trimmed(block, at);
                if line.start == line.end {
                    at = line.next;
                    continue;
                }
                sink.reset();
                sink.tail.truncate(tail);
                (line, Reader::new(block, plan, line.start, line.end).line(sink))
            };
            batch.read += 1;
            let newline = usize::from(block.as_bytes()[line.next - 1] == b'\n');
            let made = if line.next - at - newline > MAX_LINE {
                Err(Fault::TooLong)
            } else {
                read.map_err(|bad| Fault::of(bad, line.start)).and_then(|()| {
                    self.maker.row(Found { block, line, locator, geography }, sink, memo, batch)
                })
            };
            if let Err(fault) = made {
                sink.tail.truncate(tail);
                let excerpt = excerpt(&block[line.start..line.end]);
                batch.faults.push(BadRow { locator, fault, excerpt });
            }
            at = line.next;
        }
    }
}

/// The line at `at` without the white space around it.
fn trimmed(block: &str, at: usize) -> Line {
    let bytes = block.as_bytes();
    let full = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |len| at + len);
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let leading = bytes[at..full].iter().take_while(|byte| is_space(byte)).count();
    let trailing = bytes[at + leading..full].iter().rev().take_while(|byte| is_space(byte)).count();
    Line { start: at + leading, end: full - trailing, next: (full + 1).min(bytes.len()) }
}

/// A block with every line that is not UTF-8 made blank, so that all others keep their places.
fn blank_bad_lines(mut block: Vec<u8>, base: Locator) -> (String, Vec<BadRow>) {
    let mut faults = Vec::new();
    let mut start = 0;
    for line in block.split_mut(|byte| *byte == b'\n') {
        if std::str::from_utf8(line).is_err() {
            let shown = String::from_utf8_lossy(&line[..line.len().min(MAX_EXCERPT)]).into_owned();
            let locator = Locator(base.0 + start as u64);
            faults.push(BadRow { locator, fault: Fault::NotUtf8, excerpt: excerpt(&shown) });
            line.fill(b' ');
        }
        start += line.len() + 1;
    }
    (String::from_utf8(block).unwrap_or_default(), faults)
}
