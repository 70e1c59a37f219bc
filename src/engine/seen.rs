//! Which rows have been seen: an unchanged row read again is nothing, a changed one is an
//! amendment, and a row that shows its end for the first time makes its end record.
//!
//! Closed rows are remembered for as long as a late record may still be put in at its own time, at
//! least the lookback, in two ages: when the watermark has moved on by that long, the older age is
//! dropped whole and the younger one becomes it. Rows that are still open outlive their age for as
//! long as the service keeps them. Beyond that, a row that comes again counts as new, is too late
//! for any window, and raises alerts that exist already.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::record::{Batch, Millis, Phase, RecordId, Row, Timestamp};

/// How far polling reads back; rows in it are read again and again.
pub const LOOKBACK: Millis = Millis::mins(15);
/// The service forgets after 30 days, so an open row cannot come again after that.
pub const OPEN_ROWS_KEPT: Millis = Millis::days(31);
/// Open rows are forgotten by the day.
const DAY: Millis = Millis::days(1);

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
    ended: bool,
    open: bool,
    /// Programs below 64 that the row's own record hit, by bit; none counts it twice.
    hit: u64,
    /// The other programs that it hit.
    more: Option<Box<Vec<u32>>>,
}

type Rows = HashMap<RecordId, Seen, BuildHasherDefault<DigestHasher>>;

/// Row ids are digests: any eight of their bytes are as good as a hash of all.
#[derive(Debug, Default, Clone, Copy)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that arrays put before their bytes.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Rows seen so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SeenRows {
    young: Rows,
    old: Rows,
    /// Open rows that outlived their age.
    open: Rows,
    /// Those, by the day on which they may be forgotten.
    due: BTreeMap<i64, Vec<RecordId>>,
    /// When `young` began.
    since: Option<Timestamp>,
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
    pub fn take_in(&mut self, batch: &Batch, tally: &mut Tally) -> Vec<Fresh> {
        let mut fresh = Vec::with_capacity(batch.rows.len() * 2);
        for (number, row) in batch.rows.iter().enumerate().filter(|(_, row)| !row.held) {
            self.take_in_row(number, row, tally, &mut fresh);
        }
        fresh
    }

    fn take_in_row(&mut self, number: usize, row: &Row, tally: &mut Tally, fresh: &mut Vec<Fresh>) {
        let key = key(row);
        let phase = row.only.unwrap_or(Phase::Start);
        let end = row.end.filter(|_| row.only.is_none());
        let record = |phase, at, again| Fresh { row: number, phase, at, again };
        match self.get_mut(key) {
            None => {
                tally.new += 1;
                fresh.push(record(phase, row.start, false));
                fresh.extend(end.map(|end| record(Phase::End, end, false)));
                let seen = Seen {
                    version: row.version,
                    start: row.start,
                    ended: end.is_some(),
                    open: row.open,
                    hit: 0,
                    more: None,
                };
                self.young.insert(key, seen);
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
                }
            }
        }
    }

    fn get_mut(&mut self, key: RecordId) -> Option<&mut Seen> {
        if let Some(seen) = self.young.get_mut(&key) {
            return Some(seen);
        }
        if let Some(seen) = self.old.get_mut(&key) {
            return Some(seen);
        }
        self.open.get_mut(&key)
    }

    /// Notes that `program` was hit by the row's own record; false if it was before.
    pub fn first_hit(&mut self, row: &Row, program: usize) -> bool {
        let Some(seen) = self.get_mut(key(row)) else { return true };
        if program < 64 {
            let bit = 1 << program;
            let first = seen.hit & bit == 0;
            seen.hit |= bit;
            return first;
        }
        let program = u32::try_from(program).unwrap_or(u32::MAX);
        let more = seen.more.get_or_insert_default();
        let first = !more.contains(&program);
        if first {
            more.push(program);
        }
        first
    }

    /// Forgets what cannot matter any more at `watermark`.
    pub fn forget(&mut self, watermark: Timestamp, horizon: Millis) {
        if watermark == Timestamp::MIN {
            return;
        }
        let since = *self.since.get_or_insert(watermark);
        if watermark - since < horizon.max(LOOKBACK) {
            return;
        }
        self.since = Some(watermark);
        let oldest = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        #[expect(clippy::iter_over_hash_type, reason = "goes into maps; no order comes of it")]
        for (key, seen) in oldest.into_iter().filter(|(_, seen)| seen.open) {
            let day = (seen.start + OPEN_ROWS_KEPT).0.div_euclid(DAY.0) + 1;
            self.due.entry(day).or_default().push(key);
            self.open.insert(key, seen);
        }
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > watermark.0.div_euclid(DAY.0) {
                break;
            }
            for key in entry.remove() {
                self.open.remove(&key);
            }
        }
    }

    /// Rows remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len() + self.open.len()
    }

    /// True when no row is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A row's identity; rows that are one phase only are apart by it.
fn key(row: &Row) -> RecordId {
    RecordId::of(row.id, row.only.unwrap_or(Phase::Start))
}
