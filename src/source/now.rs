//! What "now" is in a file: the newest time that a second record confirms, or, in one that the daemon
//! follows, what the daemon's clock says.
//!
//! One row with a wrong date would carry a replay's clock away with it, and every timer would ring.
//! So a row ahead of now is held until another row, dated within a day of it, shows that time has
//! really come so far; what nobody confirms is quarantined. Where a clock is told ([`NowGuard::at`]),
//! no row confirms another: one that is ahead is held until its time has come. Rows are judged in the
//! order they are read. Nothing here reads a clock.

use std::collections::BTreeSet;

use crate::record::batch::BadRow;
use crate::record::scan::{Fault, excerpt};
use crate::record::{Batch, Millis, RowId, Timestamp};

/// How far ahead of now a row may be dated: clocks differ.
pub const AHEAD: Millis = Millis::mins(5);
/// How near another row must be dated to confirm a time: longer than a night without logins.
pub const CONFIRMS: Millis = Millis::hours(24);
/// Rows held at once. Rows that differ confirm each other or lie days apart, so only one row
/// repeated can reach it.
pub const MAX_HELD: usize = 100_000;
/// Text of the rows held at once.
pub const MAX_HELD_BYTES: usize = 64 << 20;
/// Ends remembered that lie far ahead of every start.
const MAX_FAR_ENDS: usize = 10_000;

/// Judges the times of one file's rows.
#[derive(Debug)]
pub struct NowGuard {
    tells: Tells,
    /// What is told, or the newest confirmed time.
    now: Option<Timestamp>,
    /// The two newest admitted rows that are not one row.
    newest: [Option<(Timestamp, RowId)>; 2],
    /// In the order they were read.
    held: Vec<Held>,
    /// When the held rows are dated, and whose they are: a row repeated stands here once.
    held_times: BTreeSet<(Timestamp, RowId)>,
    held_bytes: usize,
    ends: Ends,
}

/// Who tells what now is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// It stands still.
    Fixed(Timestamp),
    /// The rows themselves.
    Rows,
    /// A clock, by [`NowGuard::at`].
    Clock,
}

#[derive(Debug)]
struct Held {
    time: Timestamp,
    id: RowId,
    at: Place,
}

#[derive(Debug)]
enum Place {
    /// Row number of the batch that is being judged.
    Here(usize),
    /// A batch of one row.
    Kept(Box<Batch>),
}

/// The newest end that is not far ahead of every start.
#[derive(Debug, Default)]
struct Ends {
    near: Option<Timestamp>,
    far: BTreeSet<Timestamp>,
}

impl NowGuard {
    /// Now is `fixed`, or what the rows tell.
    pub fn new(fixed: Option<Timestamp>) -> Self {
        Self {
            tells: fixed.map_or(Tells::Rows, Tells::Fixed),
            now: fixed,
            newest: [None; 2],
            held: Vec::new(),
            held_times: BTreeSet::new(),
            held_bytes: 0,
            ends: Ends::default(),
        }
    }

    /// Goes on where an earlier life stopped, which knew of no newer time than `newest`. Rows that it
    /// held are to be given again.
    pub fn resumed(newest: Option<Timestamp>) -> Self {
        let mut guard = Self::new(None);
        guard.now = newest;
        guard.newest[0] = newest.map(|newest| (newest, RowId([0; 16])));
        guard
    }

    /// Now is what a clock says: see [`Self::at`].
    #[must_use]
    pub fn by_clock(mut self) -> Self {
        self.tells = Tells::Clock;
        self
    }

    /// The clock says `now`: gives the rows that are not ahead of it any more. Without
    /// [`Self::by_clock`] it changes nothing.
    pub fn at(&mut self, now: Timestamp) -> Option<Batch> {
        let mut released = None;
        if self.tells == Tells::Clock {
            self.now = Some(now);
            self.release(None, &mut released);
        }
        released
    }

    /// The rows that are held, as they were read.
    pub fn held_lines(&self) -> impl Iterator<Item = &str> {
        self.held.iter().filter_map(|held| match &held.at {
            Place::Kept(kept) => Some(kept.line(0)),
            Place::Here(_) => None,
        })
    }

    /// Lets go of the row that is dated furthest ahead, for good: its line. What comes first is kept, so
    /// that invented dates push out nothing but each other.
    pub fn forget_furthest(&mut self) -> Option<String> {
        let (place, _) = self.held.iter().enumerate().max_by_key(|(_, held)| held.time)?;
        let held = self.held.remove(place);
        if !self.held.iter().any(|other| (other.time, other.id) == (held.time, held.id)) {
            self.held_times.remove(&(held.time, held.id));
        }
        let Place::Kept(kept) = held.at else { return None };
        self.held_bytes -= kept.text.len();
        Some(kept.line(0).to_owned())
    }

    /// Judges a batch in the order of its rows. Rows of it that are ahead are marked as held: they
    /// make no records now. Gives rows of earlier batches whose time was confirmed: they come
    /// before `batch`.
    ///
    /// Where now is fixed, and past the bounds, what is ahead is a fault of the batch at once; an
    /// end ahead of a fixed now is no end.
    pub fn admit(&mut self, batch: &mut Batch) -> Option<Batch> {
        let mut released = None;
        let faults = batch.faults.len();
        for number in 0..batch.rows.len() {
            self.judge(batch, number, &mut released);
        }
        for held in &mut self.held {
            if let Place::Here(number) = held.at {
                let mut kept = Batch::new(batch.columns.clone());
                kept.push_row_of(batch, number);
                self.held_bytes += kept.text.len();
                held.at = Place::Kept(Box::new(kept));
            }
        }
        if batch.faults.len() > faults {
            batch.faults.sort_by_key(|bad| bad.locator);
        }
        released
    }

    /// Rows that are held, and the times they are dated.
    pub fn held(&self) -> impl Iterator<Item = (Timestamp, RowId)> {
        self.held_times.iter().copied()
    }

    /// The newest time that the rows have confirmed.
    pub fn confirmed(&self) -> Option<Timestamp> {
        self.now
    }

    /// The newest row that was admitted.
    pub fn newest_row(&self) -> Option<(Timestamp, RowId)> {
        self.newest[0]
    }

    /// Whether [`Self::confirm`] gives anything.
    pub fn confirms(&self, confirmed: Option<Timestamp>, beside: &BTreeSet<(Timestamp, RowId)>) -> bool {
        let first = self.held_times.first().map(|(time, _)| *time);
        first.is_some() && first <= self.come_to(confirmed, beside).map(|now| now + AHEAD)
    }

    /// Other files show that time has come to `confirmed`, and have the rows `beside`, which confirm what is near
    /// to them: gives those held that are not ahead any more. Where now is told, nothing changes.
    pub fn confirm(
        &mut self,
        confirmed: Option<Timestamp>,
        beside: &BTreeSet<(Timestamp, RowId)>,
    ) -> Option<Batch> {
        let mut released = None;
        self.now = self.come_to(confirmed, beside);
        self.release(None, &mut released);
        released
    }

    /// What now is beside others.
    fn come_to(
        &self,
        confirmed: Option<Timestamp>,
        beside: &BTreeSet<(Timestamp, RowId)>,
    ) -> Option<Timestamp> {
        if self.tells != Tells::Rows {
            return self.now;
        }
        let is_near = |(time, whose): &&(Timestamp, RowId)| {
            let range = (*time - CONFIRMS, RowId([0; 16]))..=(*time + CONFIRMS, RowId([u8::MAX; 16]));
            beside.range(range).any(|(_, other)| other != whose)
        };
        let near = self.held_times.iter().filter(is_near).map(|(time, _)| *time).max();
        self.now.max(confirmed).max(near)
    }

    /// The file is at its end: rows whose time nobody confirmed are future. If no time was ever
    /// confirmed, now is the newest there is, and every row is admitted.
    pub fn finish(&mut self) -> (Option<Batch>, Vec<BadRow>) {
        let Some(now) = self.now else {
            self.now = self.held.iter().map(|held| held.time).max();
            let mut released = None;
            self.release(None, &mut released);
            return (released, Vec::new());
        };
        let mut faults = Vec::new();
        for held in std::mem::take(&mut self.held) {
            if let Place::Kept(kept) = &held.at {
                faults.push(future(kept, 0, held.time - now));
            }
        }
        self.held_times.clear();
        self.held_bytes = 0;
        (None, faults)
    }

    /// The newest start of an admitted row: how far a file that is still read is known.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest[0].map(|(time, _)| time)
    }

    /// The time of the last record of a file that was read to its end: the newest start, or an end
    /// no more than [`CONFIRMS`] after it. An end further ahead does not move the clock.
    pub fn last(&self) -> Option<Timestamp> {
        self.newest().max(self.ends.near)
    }

    /// The same of a file beside others, the newest start of all of which is `newest`.
    pub fn last_beside(&self, newest: Timestamp) -> Option<Timestamp> {
        self.last().max(self.ends.far.range(..=newest + CONFIRMS).next_back().copied())
    }

    fn judge(&mut self, batch: &mut Batch, number: usize, released: &mut Option<Batch>) {
        let (time, id) = (batch.rows[number].start, batch.rows[number].id);
        let is_ahead = |now: Timestamp| time > now + AHEAD;
        if let Tells::Fixed(now) = self.tells {
            if is_ahead(now) {
                refuse(batch, number, time - now);
            } else {
                let row = &mut batch.rows[number];
                row.end = row.end.filter(|end| *end <= now + AHEAD);
                self.note(time, id, row.end);
            }
            return;
        }
        let confirmed = if self.tells == Tells::Rows { self.confirmed_by(time, id) } else { None };
        if let Some(confirmed) = confirmed {
            self.now = self.now.max(Some(confirmed));
            self.note(time, id, batch.rows[number].end);
            self.release(Some(batch), released);
        } else if self.now.is_some_and(|now| !is_ahead(now)) {
            self.note(time, id, batch.rows[number].end);
        } else if self.held.len() >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES {
            refuse(batch, number, time - self.now.unwrap_or(time));
        } else {
            batch.rows[number].held = true;
            self.held.push(Held { time, id, at: Place::Here(number) });
            self.held_times.insert((time, id));
        }
    }

    /// The newest time that this row and another one confirm, if there is another one near it.
    fn confirmed_by(&self, time: Timestamp, id: RowId) -> Option<Timestamp> {
        let (first, last) = (time - CONFIRMS, time + CONFIRMS);
        // Nearly always nothing is held, and the newest row is another one and near.
        if let (Some((newest, whose)), true) = (self.newest[0], self.held_times.is_empty())
            && whose != id
            && (first..=last).contains(&newest)
        {
            return Some(newest.max(time));
        }
        let admitted = self.newest.iter().flatten().copied();
        let held = self.held_times.range((first, RowId([0; 16]))..=(last, RowId([u8::MAX; 16]))).copied();
        let is_near = |(other, whose): &(Timestamp, RowId)| *whose != id && (first..=last).contains(other);
        admitted.chain(held).filter(is_near).map(|(other, _)| other.max(time)).max()
    }

    /// Lets go of every held row that is not ahead any more.
    fn release(&mut self, mut batch: Option<&mut Batch>, released: &mut Option<Batch>) {
        if self.held.is_empty() {
            return;
        }
        let limit = self.now.map(|now| now + AHEAD);
        let all = std::mem::take(&mut self.held).into_iter();
        let (free, held): (Vec<Held>, Vec<Held>) = all.partition(|held| Some(held.time) <= limit);
        self.held = held;
        self.held_times.retain(|(time, _)| Some(*time) > limit);
        for held in free {
            let end = match held.at {
                Place::Here(number) => batch.as_deref_mut().and_then(|batch| {
                    batch.rows[number].held = false;
                    batch.rows[number].end
                }),
                Place::Kept(kept) => {
                    self.held_bytes -= kept.text.len();
                    released.get_or_insert_with(|| Batch::new(kept.columns.clone())).push_row_of(&kept, 0);
                    kept.rows[0].end
                }
            };
            self.note(held.time, held.id, end);
        }
    }

    /// Notes an admitted row.
    fn note(&mut self, time: Timestamp, id: RowId, end: Option<Timestamp>) {
        let [first, second] = &mut self.newest;
        match first {
            Some((newest, whose)) if *whose == id => *newest = time.max(*newest),
            Some((newest, _)) if time <= *newest => {
                if second.is_none_or(|(older, _)| time > older) {
                    *second = Some((time, id));
                }
            }
            Some(_) | None => {
                *second = *first;
                *first = Some((time, id));
            }
        }
        self.ends.note(end, self.newest());
    }
}

impl Ends {
    fn note(&mut self, end: Option<Timestamp>, newest: Option<Timestamp>) {
        let Some(limit) = newest.map(|newest| newest + CONFIRMS) else { return };
        match end {
            Some(end) if end > limit => {
                self.far.insert(end);
                if self.far.len() > MAX_FAR_ENDS {
                    self.far.pop_last();
                }
            }
            Some(_) | None => self.near = self.near.max(end),
        }
        while self.far.first().is_some_and(|end| *end <= limit) {
            self.near = self.near.max(self.far.pop_first());
        }
    }
}

fn refuse(batch: &mut Batch, number: usize, ahead: Millis) {
    batch.rows[number].held = true;
    let bad = future(batch, number, ahead);
    batch.faults.push(bad);
}

fn future(batch: &Batch, number: usize, ahead: Millis) -> BadRow {
    let row = &batch.rows[number];
    let excerpt = excerpt(batch.line(number));
    BadRow { locator: row.locator, fault: Fault::Future { dated: row.start, ahead }, excerpt }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::fact::Facts;
    use crate::record::scan::{Origin, Scanner};
    use crate::record::{Columns, Locator};

    /// Batches (`|`) of rows `id@hours`, with an end `id@hours-hours`; what is admitted, in order,
    /// then `!` and what is future.
    fn judged(guard: &mut NowGuard, text: &str) -> String {
        let mut columns = Columns::default();
        columns.want_known("id");
        let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), Origin::default());
        let (mut admitted, mut future) = (Vec::new(), Vec::new());
        let names = |batch: &Batch, admitted: &mut Vec<String>| {
            for number in (0..batch.rows.len()).filter(|number| !batch.rows[*number].held) {
                let id = batch.record(number, crate::record::Phase::Start).get(crate::record::Column(0));
                admitted.push(id.text().unwrap().to_owned());
            }
        };
        let told = |faults: &[BadRow], future: &mut Vec<String>| {
            for bad in faults {
                assert!(matches!(bad.fault, Fault::Future { .. }));
                future.push(bad.excerpt.split('"').nth(3).unwrap().to_owned());
            }
        };
        for (number, part) in text.split('|').enumerate() {
            let line = |row: &str| {
                let (id, times) = row.split_once('@').unwrap();
                let (start, end) = times.split_once('-').unwrap_or((times, ""));
                let at = |hours: &str| hours.parse().map_or(String::new(), |h: f64| hour(h).to_string());
                format!("{{\"id\":\"{id}\",\"start_time\":\"{}\",\"end_time\":\"{}\"}}\n", at(start), at(end))
            };
            let block: String = part.split_whitespace().map(line).collect();
            let mut batch = scanner.scan(block, Locator(number as u64 * 1_000));
            if let Some(before) = guard.admit(&mut batch) {
                names(&before, &mut admitted);
            }
            names(&batch, &mut admitted);
            told(&batch.faults, &mut future);
        }
        let (rest, faults) = guard.finish();
        if let Some(batch) = &rest {
            names(batch, &mut admitted);
        }
        told(&faults, &mut future);
        format!("{}!{}", admitted.join(" "), future.join(" "))
    }

    #[expect(clippy::cast_possible_truncation, reason = "small numbers in tests")]
    fn hour(hours: f64) -> Timestamp {
        Timestamp(1_767_225_600_000 + (hours * 3_600_000.0) as i64)
    }

    fn check(text: &str, meant: &str) {
        assert_eq!(judged(&mut NowGuard::new(None), text), meant, "{text}");
    }

    #[test]
    fn a_second_row_within_a_day_confirms_a_time() {
        check("a@0 b@1 c@2", "a b c!");
        check("a@0 b@24", "a b!");
        check("a@0 | b@1 | c@2", "a b c!");
    }

    #[test]
    fn a_lone_row_ahead_is_future() {
        check("a@0 b@1 z@100 c@2", "a b c!z");
        check("z@100 a@0 b@1", "a b!z");
        check("z@100 | a@0 | b@1", "a b!z");
        check("a@0 b@1 z@25.1", "a b!z");
    }

    #[test]
    fn time_goes_on_after_a_weekend() {
        check("a@0 b@1 c@60 d@61", "a b c d!");
        check("a@0 b@1 c@60 | d@61", "a b c d!");
        check("a@0 b@1 | c@60 | e@0.5 | d@61", "a b e c d!");
    }

    #[test]
    fn five_minutes_ahead_need_no_other_row() {
        check("a@0 b@0.05 b@24.05", "a b!b");
        let mut guard = NowGuard::new(Some(hour(0.0)));
        assert_eq!(judged(&mut guard, "a@0.08 b@0.09"), "a!b");
    }

    #[test]
    fn a_row_repeated_does_not_confirm_itself() {
        check("a@0 b@1 z@100 z@100 z@101", "a b!z z z");
        check("a@0 b@1 z@100 z@100 y@101", "a b z z y!");
    }

    #[test]
    fn where_nothing_is_confirmed_now_is_the_newest_time() {
        check("a@0", "a!");
        check("a@0 b@100 c@200", "a b c!");
        check("a@0 a@0.5", "a a!");
        check("", "!");
    }

    #[test]
    fn a_fixed_now_is_kept() {
        let mut guard = NowGuard::new(Some(hour(10.0)));
        assert_eq!(judged(&mut guard, "a@0 b@100 | c@10 d@101"), "a c!b d");
        assert_eq!(guard.newest(), Some(hour(10.0)));
    }

    #[test]
    fn by_a_clock_no_row_confirms_another_and_each_comes_in_its_time() {
        let mut guard = NowGuard::new(None).by_clock();
        assert!(guard.at(hour(10.0)).is_none());
        assert_eq!(judged(&mut guard, "a@1 b@13 c@13.1 | d@10.05"), "a d!b c");
        let mut guard = NowGuard::new(None).by_clock();
        guard.at(hour(10.0));
        let mut columns = Columns::default();
        columns.want_known("id");
        let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), Origin::default());
        let line = |id: u32, hours| format!("{{\"id\":\"{id}\",\"start_time\":\"{}\"}}\n", hour(hours));
        let text = [line(1, 9.0), line(2, 13.0), line(3, 12.0)].concat();
        guard.admit(&mut scanner.scan(text, Locator(0)));
        assert_eq!((guard.newest(), guard.held_lines().count()), (Some(hour(9.0)), 2));
        assert_eq!(guard.at(hour(11.5)).map(|batch| batch.rows.len()), None);
        assert_eq!(guard.at(hour(11.95)).map(|batch| batch.rows.len()), Some(1));
        assert_eq!(guard.newest(), Some(hour(12.0)));
        assert!(guard.forget_furthest().unwrap().contains("\"id\":\"2\""));
        assert_eq!(guard.held_lines().count(), 0);
    }

    #[test]
    fn the_last_record_may_be_an_end_but_no_end_far_ahead() {
        let mut guard = NowGuard::new(None);
        judged(&mut guard, "a@0-9 b@1-1000");
        assert_eq!((guard.newest(), guard.last()), (Some(hour(1.0)), Some(hour(9.0))));
        assert_eq!(guard.last_beside(hour(975.9)), Some(hour(9.0)));
        assert_eq!(guard.last_beside(hour(976.0)), Some(hour(1000.0)));
        let mut guard = NowGuard::new(None);
        judged(&mut guard, "a@0-30 b@1 c@10");
        assert_eq!((guard.newest(), guard.last()), (Some(hour(10.0)), Some(hour(30.0))));
        let mut guard = NowGuard::new(Some(hour(10.0)));
        judged(&mut guard, "a@0-30");
        assert_eq!(guard.last(), Some(hour(0.0)));
    }
}
