//! Which rows have been seen: an unchanged row read again is nothing, a changed one is an
//! amendment, and a row that shows its end for the first time makes its end record.
//!
//! Closed rows are remembered for as long as a late record may still be put in at its own time, at
//! least the lookback; rows whose end is still to come until it has, open rows for as long as the
//! service keeps them. They go in the order they came, thousands at a time: at each sweep, of which there
//! are eight while the watermark moves on by that long, those that were taken in as long ago, and with the
//! last of some thousands all of these; the few of them that still matter come to the end. Beyond that, a row
//! that comes again counts as new, is too late for any window, and raises alerts that exist already.

mod change;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use serde_json::Value as Json;

use crate::record::batch::Slot;
use crate::record::field::lookup;
use crate::record::{Batch, Millis, Phase, Record, RecordId, Row, Timestamp};

use super::rows::{Key, Keyed, Rows, short};
use kept::{Noted, note_more, note_row};

/// The table of so many rows is near, as far as it is looked at for those that are new.
const NEAR: usize = 1 << 18;
/// While the watermark moves on by as long as rows are remembered, there are so many sweeps.
const SWEEPS: i64 = 8;
/// A row that was taken in so many sweeps ago was so for as long as rows are remembered.
const OLD: u32 = 9;
/// Rows of which more than one in so many still matter stay where they are, until they are twice as old.
const FEW: usize = 8;
/// How far polling reads back; rows in it are read again and again.
pub const LOOKBACK: Millis = Millis::mins(15);
/// The service forgets after 30 days, so an open row cannot come again after that.
pub const OPEN_ROWS_KEPT: Millis = Millis::days(31);

/// A record that exists because of a row that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The row's number in its batch.
    pub row: usize,
    /// Which record of the row.
    pub phase: Phase,
    /// Event time, frozen at first sight.
    pub at: Timestamp,
    /// Another look at a record that exists already: rules that it hit are left out.
    pub again: bool,
    /// Where the row is remembered.
    pub seat: Seat,
    /// Of an amended record, the names of the fields that changed, as a JSON array.
    pub changed: Option<Arc<str>>,
}

impl Fresh {
    /// The records that `batch` brings if it brings nothing but rows that nobody has seen, in its
    /// order; their seats are nobody's.
    pub fn all_new(batch: &Batch, wants: Wants) -> Vec<Self> {
        let mut fresh = Vec::with_capacity(batch.rows.len() * if wants.ends { 2 } else { 1 });
        for (number, row) in batch.rows.iter().enumerate() {
            let record = |phase, at| {
                let seat = Seat { key: own_key(row), sweeps: 0, place: u32::MAX };
                Self { row: number, phase, at, again: false, seat, changed: None }
            };
            fresh.push(record(row.only.unwrap_or(Phase::Start), row.start));
            fresh.extend(wants.end_of(row).map(|end| record(Phase::End, end)));
        }
        fresh
    }

    /// The same record, wherever its row is remembered.
    pub fn is_as(&self, other: &Self) -> bool {
        let told = |one: &Self| (one.row, one.phase, one.at, one.again);
        told(self) == told(other) && self.changed == other.changed
    }

    /// The record itself.
    pub fn record<'a>(&'a self, batch: &'a Batch) -> Record<'a> {
        let record = batch.record(self.row, self.phase);
        match &self.changed {
            Some(changed) => record.with_changed(changed),
            None => record,
        }
    }
}

/// What rules want of rows, besides their first records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// Some rule looks at ends: a row is remembered until its end has come.
    pub ends: bool,
    /// Some rule looks at amendments: what a row held is remembered, a digest a field.
    pub amendments: bool,
}

impl Wants {
    /// The end of `row`, where rules look at ends and it has one besides its start.
    fn end_of(self, row: &Row) -> Option<Timestamp> {
        row.end.filter(|_| self.ends && row.only.is_none())
    }
}

/// Where a row is remembered. Until the next sweep it need not be looked up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    key: Key,
    sweeps: u32,
    /// What is kept of its place.
    place: u32,
}

/// What is remembered of every row. There may be millions: each byte counts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Seen {
    key: Key,
    version: u64,
    start: Timestamp,
    /// Milliseconds from then to its end record, while rules can still want it; below 0: none.
    lasts: i64,
    /// Programs below [`BITS`] that its own record hit, by bit.
    hit: u32,
    /// Number of the lane that brought it first.
    lane: u16,
    is: Is,
}

/// What is so of a row, a bit each.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Is(u8);

impl Is {
    /// Its end record has come.
    const ENDED: u8 = 1;
    /// Its end is still to come.
    const OPEN: u8 = 1 << 1;

    fn now(what: u8, so: bool) -> u8 {
        if so { what } else { 0 }
    }

    fn so(self, what: u8) -> bool {
        self.0 & what != 0
    }

    fn set(&mut self, what: u8, so: bool) {
        self.0 = self.0 & !what | Self::now(what, so);
    }
}

/// Stands for how long a row lasts that has no end record.
const NO_END: i64 = -1;
/// Programs whose hits of a row are one bit each; the others' are listed.
const BITS: u32 = u32::BITS;

/// What few rows need to be remembered of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct More {
    /// What else its records were.
    was: Vec<Was>,
    /// Digests of its fields by column, where amendments are wanted.
    fields: Option<Box<[u32]>>,
    /// No program of a higher number is in `was`; none: nobody knows. Hits come in the order of programs.
    #[serde(skip)]
    highest: Option<u32>,
}

/// What a record of a row was to a program; none counts one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// The program's number.
    pub program: u32,
    /// True for an amended record, false for the row's own.
    pub amended: bool,
    /// It cleared its group, and was no hit.
    pub clears: bool,
}

impl Seat {
    /// Which row it is.
    pub fn key(self) -> RecordId {
        self.key.into()
    }
}

impl Keyed for Seen {
    fn key(&self) -> Key {
        self.key
    }
}

impl Seen {
    /// Its end record is of `end`, if it has one.
    fn ends(&mut self, end: Option<Timestamp>) {
        let lasts = end.map_or(NO_END, |end| (end - self.start).0.max(0));
        self.lasts = self.lasts.max(lasts);
    }

    /// Notes what a record was, where that is not noted yet.
    fn mark(&mut self, was: Was, more: &mut Mores) {
        if was.amended || was.clears || was.program >= BITS {
            more.entry(self.key).or_default().note(was);
        } else {
            self.hit |= 1 << was.program;
        }
    }

    /// Whether something of the row can still matter at `watermark`, or, to rules that stand still
    /// with a lane that left, at the lane's own.
    fn matters(&self, watermark: Timestamp, left: Option<Timestamp>, kept: Millis) -> bool {
        self.start + Millis(self.lasts.max(0)) + kept > left.unwrap_or(watermark).min(watermark)
            || (self.is.so(Is::OPEN) && self.start + OPEN_ROWS_KEPT > watermark)
    }
}

impl More {
    fn note(&mut self, was: Was) {
        let known = if self.was.is_empty() { Some(was.program) } else { self.highest };
        self.highest = known.map(|highest| highest.max(was.program));
        self.was.push(was);
    }

    /// Whether the program has counted that record before.
    fn counted(&self, was: Was) -> bool {
        let before = |before: &Was| *before == was || *before == Was { clears: false, ..was };
        self.highest.is_none_or(|highest| was.program <= highest) && self.was.iter().any(before)
    }
}

type Mores = IndexMap<Key, More, BuildHasherDefault<DigestHasher>>;

/// Gives a key's own hash.
#[derive(Debug, Default, Clone, Copy)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    /// Keys write one number and nothing else.
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Rows seen so far.
#[derive(Debug, Clone, Default)]
pub struct SeenRows {
    rows: Rows<Seen>,
    /// What few rows need besides.
    more: Mores,
    /// Watermark of the last sweep.
    swept: Option<Timestamp>,
    /// How many sweeps there were.
    sweeps: u32,
    /// What changed since all was written down; none: nobody knows.
    noted: Option<Noted>,
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
    /// The records that `batch`, of lane number `lane`, brings, in its order.
    pub fn take_in(&mut self, lane: u16, batch: &Batch, wants: Wants, tally: &mut Tally) -> Vec<Fresh> {
        if self.rows.len() > NEAR {
            // Memory answers many rows at once as soon as one.
            std::hint::black_box(
                batch.rows.iter().filter(|row| self.rows.find(own_key(row)).is_some()).count(),
            );
        }
        let mut fresh = Vec::with_capacity(batch.rows.len() * if wants.ends { 2 } else { 1 });
        for (number, row) in batch.rows.iter().enumerate().filter(|(_, row)| !row.held) {
            self.take_in_row(lane, batch, (number, row), wants, tally, &mut fresh);
        }
        fresh
    }

    /// The version of `row` that was read last; none if the row has not been seen.
    pub fn version(&self, row: &Row) -> Option<u64> {
        self.rows.find(own_key(row)).and_then(|place| self.rows.get(place)).map(|seen| seen.version)
    }

    fn take_in_row(
        &mut self,
        lane: u16,
        batch: &Batch,
        (number, row): (usize, &Row),
        wants: Wants,
        tally: &mut Tally,
        fresh: &mut Vec<Fresh>,
    ) {
        let key = own_key(row);
        let phase = row.only.unwrap_or(Phase::Start);
        // Where no rule looks at ends, there are none.
        let end = wants.end_of(row);
        let sweeps = self.sweeps;
        let record = |phase, at, again, place: usize| {
            let seat = Seat { key, sweeps, place: short(place) };
            Fresh { row: number, phase, at, again, seat, changed: None }
        };
        let fields = || wants.amendments.then(|| digests(batch, number));
        let Some(place) = self.rows.find(key) else {
            tally.new += 1;
            let is = Is(Is::now(Is::ENDED, end.is_some()) | Is::now(Is::OPEN, row.open));
            let (version, start) = (row.version, row.start);
            let place = self.rows.add(key, sweeps, || {
                let mut seen = Seen { key, version, start, lasts: NO_END, hit: 0, lane, is };
                seen.ends(end);
                seen
            });
            fresh.push(record(phase, row.start, false, place));
            fresh.extend(end.map(|end| record(Phase::End, end, false, place)));
            if let Some(fields) = fields() {
                self.more.insert(key, More { fields: Some(fields), ..More::default() });
                note_more(&mut self.noted, key);
            }
            return;
        };
        let Some(seen) = self.rows.at(place) else { return };
        if seen.version == row.version {
            tally.unchanged += 1;
            return;
        }
        tally.amended += 1;
        note_row(&mut self.noted, place);
        note_more(&mut self.noted, key);
        seen.version = row.version;
        seen.is.set(Is::OPEN, row.open);
        let now = fields();
        let before = self.more.get_mut(&key).and_then(|more| more.fields.take());
        let changed = changed(batch, before.as_deref(), now.as_deref());
        fresh.push(record(phase, seen.start, true, place));
        fresh.push(Fresh { changed, ..record(Phase::Amended, seen.start, false, place) });
        let comes = end.filter(|_| !seen.is.so(Is::ENDED));
        fresh.extend(comes.map(|end| record(Phase::End, end, false, place)));
        seen.is.set(Is::ENDED, seen.is.so(Is::ENDED) || comes.is_some());
        seen.ends(comes);
        if now.is_some() {
            self.more.entry(key).or_default().fields = now;
        }
    }

    /// Where the row of `key` is, to be looked up.
    pub fn seat_of(&self, key: RecordId) -> Seat {
        Seat { key: key.into(), sweeps: self.sweeps.wrapping_sub(1), place: 0 }
    }

    /// Notes what a record of the row that sits at `seat` was; false if the program has counted that
    /// record before. A record that only cleared its group may still become a hit.
    pub fn first_time(&mut self, seat: Seat, was: Was) -> bool {
        let place = if seat.sweeps == self.sweeps {
            Some(self.rows.place(seat.place))
        } else {
            self.rows.find(seat.key)
        };
        let Some(place) = place else { return true };
        let Some(seen) = self.rows.at(place) else { return true };
        let bit = if was.amended || was.program >= BITS { 0 } else { 1_u32 << was.program };
        if seen.hit & bit != 0 {
            return false;
        }
        // Records that hit many programs do so one after the other.
        let last = self.more.last_mut().filter(|(key, _)| **key == seat.key).map(|(_, more)| more);
        let Some(more) = last else {
            if self.more.get(&seat.key).is_some_and(|more| more.counted(was)) {
                return false;
            }
            seen.mark(was, &mut self.more);
            self.note(place, seat.key, was);
            return true;
        };
        if more.counted(was) {
            return false;
        }
        if was.amended || was.clears || was.program >= BITS {
            more.note(was);
        } else {
            seen.hit |= 1 << was.program;
        }
        self.note(place, seat.key, was);
        true
    }

    /// A row was marked: with a bit, or besides.
    fn note(&mut self, place: usize, key: Key, was: Was) {
        if was.amended || was.clears || was.program >= BITS {
            note_more(&mut self.noted, key);
        } else {
            note_row(&mut self.noted, place);
        }
    }

    /// Forgets what cannot matter any more at `watermark`, nor at those of lanes that `left`.
    pub fn forget(&mut self, watermark: Timestamp, horizon: Millis, left: &BTreeMap<u16, Timestamp>) {
        if watermark == Timestamp::MIN {
            return;
        }
        let (swept, kept) = (*self.swept.get_or_insert(watermark), horizon.max(LOOKBACK));
        if watermark - swept < Millis((kept.0 + SWEEPS - 1) / SWEEPS) {
            return;
        }
        self.swept = Some(watermark);
        self.sweeps = self.sweeps.wrapping_add(1);
        // What stays is taken in again, once a sweep.
        let last = self.rows.next();
        while self.rows.first() < last
            && let Some(oldest) = self.rows.oldest()
        {
            let age = self.sweeps.wrapping_sub(oldest.age);
            if age < OLD {
                break;
            }
            let matters = |seen: &Seen| seen.matters(watermark, left.get(&seen.lane).copied(), kept);
            let stay: Vec<Seen> = oldest.rows.iter().filter(|seen| matters(seen)).copied().collect();
            if stay.len() > oldest.rows.len() / FEW && age < 2 * OLD {
                break;
            }
            self.forget_oldest(stay);
        }
    }

    /// Forgets the rows that came first, but for those that `stay`.
    fn forget_oldest(&mut self, stay: Vec<Seen>) {
        let Self { rows, more, sweeps, noted, .. } = self;
        let mut staying = stay.iter().peekable();
        rows.forget_oldest(|seen| {
            if staying.next_if(|next| next.key == seen.key).is_none() && more.swap_remove(&seen.key).is_some()
            {
                note_more(noted, seen.key);
            }
        });
        for seen in stay {
            rows.add(seen.key, *sweeps, || seen);
        }
    }

    /// Rows remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when no row is remembered.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }
}

/// A row's identity here; rows that are one phase only are apart by it.
pub fn key(row: &Row) -> RecordId {
    own_key(row).into()
}

#[inline]
fn own_key(row: &Row) -> Key {
    Key::of(row.id, row.only.unwrap_or(Phase::Start))
}

/// A digest of each field of a row, by column: enough to tell that it changed.
fn digests(batch: &Batch, row: usize) -> Box<[u32]> {
    let width = batch.columns.len();
    let digest = |slot: &Slot| {
        let text = &batch.text[slot.start as usize..(slot.start + slot.len) as usize];
        let whole = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        // The low half, and what the value is: "1" is not 1.
        u32::try_from(whole & u64::from(u32::MAX)).unwrap_or(0).rotate_left(slot.kind as u32)
    };
    batch.slots[row * width..(row + 1) * width].iter().map(digest).collect()
}

/// The names of the fields that differ, facts left out, as a JSON array.
fn changed(batch: &Batch, before: Option<&[u32]>, now: Option<&[u32]>) -> Option<Arc<str>> {
    let (before, now) = (before?, now?);
    let differs = before.iter().zip(now).map(|(before, now)| before != now && *before != change::UNREAD);
    let names = batch
        .columns
        .names()
        .iter()
        .zip(differs)
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.as_str());
    let read = names.filter(|name| lookup(name).is_none_or(|info| !info.produced));
    Some(Json::from(read.collect::<Vec<_>>()).to_string().into())
}
