//! Which rows have been seen: an unchanged row read again is nothing, a changed one is an
//! amendment, and a row that shows its end for the first time makes its end record.
//!
//! Closed rows are remembered for as long as a record of theirs may still be put in late at its own
//! time, at least the lookback; open ones for as long as the service keeps them. Beyond that, a row that
//! comes again counts as new, and is too late for any window.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::record::{Batch, Millis, Phase, RecordId, Row, Timestamp};

/// How far polling reads back; rows in it are read again and again.
pub const LOOKBACK: Millis = Millis::mins(15);
/// The service forgets after 30 days, so an open row cannot come again after that.
pub const OPEN_ROWS_KEPT: Millis = Millis::days(31);
/// Rows are forgotten by the minute.
const BUCKET: i64 = 60_000;

/// A record that exists because of a row that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// The row's number in its batch.
    pub row: usize,
    /// Which record of the row.
    pub phase: Phase,
    /// Event time, frozen at first sight.
    pub at: Timestamp,
    /// Another look at a record that exists already: rules that it hit are left out.
    pub again: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    version: u64,
    start: Timestamp,
    /// Time of its last record.
    last: Timestamp,
    ended: bool,
    open: bool,
    /// What its records were to programs; none counts one twice.
    hit: Vec<Was>,
}

/// What a record of a row was to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// The program's number.
    pub program: u32,
    /// Which record.
    pub phase: Phase,
    /// It cleared its group, and was no hit.
    pub clears: bool,
}

impl Seen {
    /// The minute in which it may be forgotten: no record of it can be put in any more.
    fn due(&self, horizon: Millis) -> i64 {
        let kept = horizon.max(LOOKBACK);
        let closed = self.last + kept;
        let forgotten = if self.open { closed.max(self.start + OPEN_ROWS_KEPT) } else { closed };
        forgotten.0.div_euclid(BUCKET) + 1
    }
}

/// Rows seen so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SeenRows {
    rows: HashMap<RecordId, Seen>,
    /// Rows by the minute in which they may be forgotten.
    due: BTreeMap<i64, Vec<RecordId>>,
}

/// What a batch's rows were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows that had not been seen.
    pub new: u64,
    /// Rows that came again unchanged.
    pub unchanged: u64,
    /// Rows that came again with other content.
    pub amended: u64,
}

impl SeenRows {
    /// The records that `batch` brings, in its order.
    pub fn take_in(&mut self, batch: &Batch, horizon: Millis, tally: &mut Tally) -> Vec<Fresh> {
        let mut fresh = Vec::with_capacity(batch.rows.len() * 2);
        for (number, row) in batch.rows.iter().enumerate().filter(|(_, row)| !row.held) {
            self.take_in_row(number, row, horizon, tally, &mut fresh);
        }
        fresh
    }

    fn take_in_row(
        &mut self,
        number: usize,
        row: &Row,
        horizon: Millis,
        tally: &mut Tally,
        fresh: &mut Vec<Fresh>,
    ) {
        let key = key(row);
        let phase = row.only.unwrap_or(Phase::Start);
        let end = row.end.filter(|_| row.only.is_none());
        let record = |phase, at, again| Fresh { row: number, phase, at, again };
        match self.rows.get_mut(&key) {
            None => {
                tally.new += 1;
                fresh.push(record(phase, row.start, false));
                fresh.extend(end.map(|end| record(Phase::End, end, false)));
                let seen = Seen {
                    version: row.version,
                    start: row.start,
                    last: end.map_or(row.start, |end| end.max(row.start)),
                    ended: end.is_some(),
                    open: row.open,
                    hit: Vec::new(),
                };
                self.schedule(key, &seen, horizon);
                self.rows.insert(key, seen);
            }
            Some(seen) if seen.version == row.version => tally.unchanged += 1,
            Some(seen) => {
                tally.amended += 1;
                seen.version = row.version;
                seen.open = row.open;
                fresh.push(record(phase, seen.start, true));
                fresh.push(record(Phase::Amended, seen.start, false));
                if !seen.ended {
                    fresh.extend(end.map(|end| record(Phase::End, end, false)));
                    seen.ended = end.is_some();
                    seen.last = seen.last.max(end.unwrap_or(seen.last));
                }
            }
        }
    }

    fn schedule(&mut self, key: RecordId, seen: &Seen, horizon: Millis) {
        self.due.entry(seen.due(horizon)).or_default().push(key);
    }

    /// Notes what a record of `row` was; false if the program has counted that record before. A
    /// record that only cleared its group may still become a hit.
    pub fn first_time(&mut self, row: &Row, was: Was) -> bool {
        let Some(seen) = self.rows.get_mut(&key(row)) else { return true };
        let counted = |before: &Was| *before == was || *before == Was { clears: false, ..was };
        let first = !seen.hit.iter().any(counted);
        if first {
            seen.hit.push(was);
        }
        first
    }

    /// Forgets what cannot matter any more at `watermark`.
    pub fn forget(&mut self, watermark: Timestamp, horizon: Millis) {
        let minute = watermark.0.div_euclid(BUCKET);
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > minute {
                break;
            }
            for key in entry.remove() {
                let Some(seen) = self.rows.get(&key) else { continue };
                if seen.due(horizon) <= minute {
                    self.rows.remove(&key);
                } else {
                    let seen = seen.clone();
                    self.schedule(key, &seen, horizon);
                }
            }
        }
    }

    /// Rows remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no row is remembered.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A row's identity; rows that are one phase only are apart by it.
fn key(row: &Row) -> RecordId {
    RecordId::of(row.id, row.only.unwrap_or(Phase::Start))
}
