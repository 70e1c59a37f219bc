//! How far a lane has been read: its cursor, and the hours in which rows were open.
//!
//! Small enough to be kept with every reading: at most one line an hour of the 30 days that the
//! service keeps. It only ever moves forward.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Millis, Timestamp};

/// How long the service keeps rows.
pub(super) const KEPT: Millis = Millis::days(30);
/// The form of cursors; another one is not read.
const FORM: u8 = 1;
/// Hours that a cursor may hold: those of the kept days, and a few for the clocks.
const MAX_HOURS: usize = 30 * 24 + 8;
const HOUR: i64 = Millis::hours(1).0;

/// An hour since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hour(i64);

impl Hour {
    pub fn of(at: Timestamp) -> Self {
        Self(at.0.div_euclid(HOUR))
    }

    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(HOUR))
    }

    pub fn end(self) -> Timestamp {
        self.start() + Millis(HOUR)
    }
}

/// How far a lane has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    form: u8,
    /// End of the last window that was read completely.
    pub to: Timestamp,
    /// Start records are complete up to here.
    pub start: Timestamp,
    /// End records are complete up to here.
    pub end: Timestamp,
    /// Hours in which a row that was open began, and when each was last read whole.
    open: BTreeMap<Hour, Timestamp>,
    /// Those of them that missed rows when they were last read, and when they missed none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    missed: BTreeMap<Hour, Timestamp>,
    /// Rows of hours that are yet to be compared with the service's total, as far as they were met.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<Hour, u32>,
    /// The first hour of which all rows are counted; none while the past is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counted: Option<Hour>,
    /// How late rows may appear, where that follows how late they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Millis>,
}

impl Place {
    /// Nothing read; all before `from` is left alone.
    pub fn new(from: Timestamp) -> Self {
        Self {
            form: FORM,
            to: from,
            start: from,
            end: from,
            open: BTreeMap::new(),
            missed: BTreeMap::new(),
            counts: BTreeMap::new(),
            counted: None,
            settle: None,
        }
    }

    /// Reads a cursor.
    pub fn parse(cursor: &str) -> Result<Self, String> {
        let place: Self = serde_json::from_str(cursor).map_err(|error| error.to_string())?;
        let times = [place.to, place.start, place.end];
        if place.form != FORM {
            return Err(format!("its form is {}, this version reads {FORM}", place.form));
        }
        if times.iter().any(|time| time.0 < 0 || *time > Timestamp::LAST) {
            return Err("it holds a time that is none".to_owned());
        }
        if place.settle.is_some_and(|settle| !(Millis::ZERO..=Millis::hours(1)).contains(&settle)) {
            return Err("it holds a length that is none".to_owned());
        }
        if place.open.len().max(place.missed.len()).max(place.counts.len()) > MAX_HOURS {
            return Err(format!("it holds more than {MAX_HOURS} hours"));
        }
        Ok(place)
    }

    /// The cursor.
    pub fn cursor(&self) -> String {
        // Numbers and a map whose keys are numbers: always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A window up to `to` was read completely.
    pub fn advance(&mut self, to: Timestamp, settle: Millis) {
        self.to = self.to.max(to);
        self.start = self.start.max(to - settle);
        self.settle_ends(settle);
    }

    /// Rows of hours were met for the first time. An hour that is over and had none counts as well.
    pub fn count(&mut self, met: &BTreeMap<Hour, u32>) {
        let Some(first) = self.counted else { return };
        for (hour, count) in met.range(first..) {
            if let Some(counted) = self.counts.get_mut(hour) {
                *counted = counted.saturating_add(*count);
            } else if self.counts.len() < MAX_HOURS {
                self.counts.insert(*hour, *count);
            }
        }
        let mut hour = first;
        while hour < Hour::of(self.to) && self.counts.len() < MAX_HOURS {
            self.counts.entry(hour).or_default();
            hour = Hour::of(hour.end());
        }
    }

    /// Counts no more, in a life that has forgotten which rows were met: those of the last `lookback`
    /// are met again.
    pub fn stop_counting(&mut self, lookback: Millis) {
        let from = Hour::of(self.start - lookback);
        self.counts.retain(|hour, _| *hour < from);
        self.counted = None;
    }

    /// The hour after the last that is counted.
    pub fn counted_before(&self) -> Option<Hour> {
        self.counts.last_key_value().map(|(hour, _)| Hour::of(hour.end()))
    }

    /// Counts from the next hour on.
    pub fn begin_counting(&mut self) {
        self.counted = Some(Hour::of(Hour::of(self.to).end()));
    }

    /// The oldest hour that is yet to be compared, and its count.
    pub fn oldest_count(&self) -> Option<(Hour, u32)> {
        self.counts.first_key_value().map(|(hour, count)| (*hour, *count))
    }

    /// The first hour of which all rows are counted.
    pub fn counts_from(&self) -> Option<Hour> {
        self.counted
    }

    /// Forgets all counts: some of the rows that were counted are no longer known.
    pub fn forget_counts(&mut self) {
        self.counts.clear();
        self.counted = self.counted.map(|_| Hour::of(Hour::of(self.to).end()));
    }

    /// The hour was compared.
    pub fn compared(&mut self, hour: Hour) {
        self.counts.remove(&hour);
        self.counted = self.counted.map(|first| first.max(Hour::of(hour.end())));
    }

    /// A row that began in this hour was open when it was read at `at`.
    pub fn opened(&mut self, hour: Hour, at: Timestamp) {
        if self.open.len() < MAX_HOURS {
            self.open.entry(hour).or_insert(at);
        }
    }

    /// An hour was read at `at`: `still` when a row of it was open, `missed` when rows were missing.
    pub fn checked(&mut self, hour: Hour, at: Timestamp, still: bool, missed: bool, settle: Millis) {
        if !still && !missed {
            self.open.remove(&hour);
        } else if let Some(checked) = self.open.get_mut(&hour) {
            if missed {
                self.missed.entry(hour).or_insert(*checked);
            }
            *checked = at.max(*checked);
        }
        if !missed {
            self.missed.remove(&hour);
        }
        self.settle_ends(settle);
    }

    /// Forgets hours that the service has forgotten.
    pub fn forget(&mut self, now: Timestamp) {
        self.open.retain(|hour, _| hour.end() + KEPT > now);
        self.missed.retain(|hour, _| self.open.contains_key(hour));
        self.counts.retain(|hour, _| hour.end() + KEPT > now);
    }

    /// Hours with open rows.
    pub fn open(&self) -> impl Iterator<Item = Hour> {
        self.open.keys().copied()
    }

    /// When the hour was last read without missing a row.
    pub fn whole_at(&self, hour: Hour) -> Option<Timestamp> {
        self.missed.get(&hour).or_else(|| self.open.get(&hour)).copied()
    }

    /// Hours with open rows that began at or after `from`.
    pub fn open_since(&self, from: Timestamp) -> Vec<Hour> {
        self.open.keys().copied().filter(|hour| hour.start() >= from).collect()
    }

    /// The hour whose last check is the oldest, and when that was.
    pub fn stalest(&self) -> Option<(Hour, Timestamp)> {
        self.open.iter().map(|(hour, at)| (*hour, *at)).min_by_key(|(hour, at)| (*at, *hour))
    }

    /// An end is complete once every row that was open has been looked at since, and no row is missing
    /// that may have ended already.
    fn settle_ends(&mut self, settle: Millis) {
        let checked = self.open.values().min().map_or(self.start, |at| *at - settle);
        self.end = self.end.max(checked.min(self.start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Millis = Millis::secs(60);

    fn hours(count: i64) -> Timestamp {
        Timestamp(Millis::days(20_000).0 + Millis::hours(count).0)
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut place = Place::new(hours(0));
        place.advance(hours(3), SETTLE);
        place.opened(Hour::of(hours(1)), hours(3));
        assert_eq!(Place::parse(&place.cursor()), Ok(place));
    }

    #[test]
    fn a_broken_cursor_says_how() {
        let broken = |cursor: &str| Place::parse(cursor).unwrap_err();
        assert!(broken("{").contains("EOF"));
        assert!(broken("{}").contains("missing field `form`"));
        assert_eq!(
            broken(r#"{"form":9,"to":1,"start":1,"end":1,"open":{}}"#),
            "its form is 9, this version reads 1"
        );
        assert_eq!(
            broken(r#"{"form":1,"to":-1,"start":1,"end":1,"open":{}}"#),
            "it holds a time that is none"
        );
    }

    #[test]
    fn ends_wait_for_the_oldest_check_of_an_open_hour() {
        let mut place = Place::new(hours(0));
        place.advance(hours(2), SETTLE);
        assert_eq!(place.end, hours(2) - SETTLE);
        place.opened(Hour::of(hours(1)), hours(2));
        place.advance(hours(5), SETTLE);
        assert_eq!((place.start, place.end), (hours(5) - SETTLE, hours(2) - SETTLE));
        place.checked(Hour::of(hours(1)), hours(4), true, false, SETTLE);
        assert_eq!(place.end, hours(4) - SETTLE);
        place.checked(Hour::of(hours(1)), hours(6), false, false, SETTLE);
        assert_eq!((place.end, place.stalest()), (hours(5) - SETTLE, None));
    }

    #[test]
    fn an_hour_that_misses_rows_stays_open_and_knows_when_it_was_whole() {
        let (mut place, hour) = (Place::new(hours(0)), Hour::of(hours(1)));
        place.opened(hour, hours(2));
        place.checked(hour, hours(3), false, true, SETTLE);
        place.checked(hour, hours(4), true, true, SETTLE);
        assert_eq!((place.stalest(), place.whole_at(hour)), (Some((hour, hours(4))), Some(hours(2))));
        assert_eq!(Place::parse(&place.cursor()).as_ref(), Ok(&place));
        place.checked(hour, hours(5), true, false, SETTLE);
        assert_eq!(place.whole_at(hour), Some(hours(5)));
    }

    #[test]
    fn nothing_moves_back() {
        let mut place = Place::new(hours(0));
        place.advance(hours(5), SETTLE);
        let before = place.clone();
        place.advance(hours(3), Millis::hours(1));
        assert_eq!(place, before);
    }

    #[test]
    fn hours_that_the_service_has_forgotten_are_forgotten() {
        let mut place = Place::new(hours(0));
        place.opened(Hour::of(hours(0)), hours(1));
        place.opened(Hour::of(hours(1)), hours(1));
        place.forget(hours(1) + KEPT);
        assert_eq!(place.stalest(), Some((Hour::of(hours(1)), hours(1))));
    }
}
