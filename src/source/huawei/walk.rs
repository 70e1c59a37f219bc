//! One walk through one window: what is asked for next, when the walk is over, and what it found.
//!
//! A window is read page by page; where its pages do not fit each other, in parts ([`Part`]). Asks
//! nobody anything and knows no clock: pages come in, the next question goes out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::api::Ask;
use super::known::{Found, Known, New, Scope};
use super::part::{Lap, Met, Part, Verdict};
use super::place::Hour;
use crate::record::{Millis, RowId, Timestamp};

/// Rows and bytes that are held back until they are given.
const MAX_HELD_ROWS: usize = 20_000;
const MAX_HELD_BYTES: usize = 8 << 20;
/// What rounding may put outside of a window.
const ROUNDING: Millis = Millis::mins(1);
/// Longest window whose hours are all remembered for a row that began outside of it.
const MAX_HOURS_ASIDE: usize = 3;
/// Pages that parts may take: so many, and so many for each of the pages before the first split.
const ALLOWANCE: (u32, u32) = (64, 8);

/// A row and what the walk must know of it.
#[derive(Debug)]
pub(super) struct Read {
    pub found: Found,
    /// Which of the rows of its page that have its identity.
    pub nth: u32,
    /// Dated ahead of now: not to be given yet.
    pub ahead: bool,
}

/// A walk through one window.
#[derive(Debug)]
pub(super) struct Walk {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The service's now, at the latest, when its first page was made.
    pub began: Timestamp,
    pub limit: u32,
    /// Which of its rows are given.
    pub scope: Scope,
    /// What window times are rounded to.
    resolution: Millis,
    /// What is read now, and what after it, last first.
    part: Part,
    todo: Vec<Part>,
    /// Number of the pass under way, of all parts.
    pass: u32,
    /// The first one of this part.
    first_pass: u32,
    /// It is read in several parts, or some of its rows were given already: nobody sees all at once.
    in_parts: bool,
    /// The total before something did not fit.
    total: u64,
    /// Pages that were taken, and how many may be: bounded once something did not fit, and it is read once
    /// more or in smaller parts.
    pages: u32,
    allowed: Option<u32>,
    /// The last row of the page before, in this pass: the next one is asked for from it on.
    tail: Option<RowId>,
    /// What it was met as on the page that is taken in.
    lap: Lap,
    /// Rows, and the pass that met them last.
    distinct: HashMap<(RowId, u32), u32>,
    /// What is not given yet, with its pass.
    rows: Vec<(u32, Found)>,
    bytes: usize,
    /// Rows of this pass without a key, by content.
    like: HashMap<(RowId, u64), usize>,
    /// Of one pass before this one: every row came once.
    came_once: bool,
    missing: u64,
    unsure: bool,
    ahead: u64,
    /// Hours to look at again: rows were open in them.
    pub open: BTreeSet<Hour>,
    /// When its rows began, each counted once.
    starts: Vec<Timestamp>,
}

/// What a walk found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Rows that are new or changed, one a line.
    pub rows: String,
    /// (number of the line, which twin).
    pub twins: Vec<(u32, u32)>,
    pub ahead: u64,
    /// Rows that the total promises and that did not come.
    pub missing: u64,
    /// True where they may be there all the same.
    pub unsure: bool,
    /// When rows began that were met for the first time.
    pub met: Vec<Timestamp>,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Next {
    /// Ask for the next page.
    Ask,
    /// The same, once what is held was given.
    Give,
    /// The walk is over.
    Over,
}

impl Walk {
    pub fn new((from, to): (Timestamp, Timestamp), resolution: Millis, began: Timestamp, limit: u32) -> Self {
        Self {
            from,
            to,
            began,
            limit,
            scope: Scope::All,
            resolution,
            part: Part::new(from, to),
            todo: Vec::new(),
            pass: 0,
            first_pass: 0,
            in_parts: false,
            total: 0,
            pages: 0,
            allowed: None,
            tail: None,
            lap: Lap::No,
            distinct: HashMap::new(),
            rows: Vec::new(),
            bytes: 0,
            like: HashMap::new(),
            came_once: false,
            missing: 0,
            unsure: false,
            ahead: 0,
            open: BTreeSet::new(),
            starts: Vec::new(),
        }
    }

    /// Reads what comes after `edge` by itself: rows still appear there, and push others on to the next
    /// page, which one page does not mind.
    pub fn apart_from(&mut self, edge: Timestamp) {
        if let Some((part, rest)) = self.part.cut(edge, self.resolution) {
            self.part = part;
            self.todo.push(rest);
            self.in_parts = true;
        }
    }

    /// More rows than fit on one page.
    pub fn is_wide(&self) -> bool {
        self.pages > 2 || self.distinct.len() > self.limit as usize
    }

    pub fn ask(&self) -> Ask {
        let offset = self.part.offset - u64::from(self.laps());
        Ask { from: self.part.from, to: self.part.to, offset, limit: self.limit }
    }

    /// Whether the next page is to begin with the last row of the one before it.
    fn laps(&self) -> bool {
        self.tail.is_some() && self.part.offset > 0 && self.limit > 1
    }

    /// Looks whether a page of these rows begins with the last row of the one before it. How many of them
    /// are that one.
    pub fn lap(&mut self, ids: &[RowId]) -> usize {
        self.lap = match ids.first() {
            Some(first) if self.laps() && self.tail == Some(*first) => Lap::Met,
            Some(_) if self.laps() => Lap::Slipped,
            Some(_) | None => Lap::No,
        };
        match ids {
            // Nothing came, or nothing that had not come: the same is asked for once more.
            [] => {}
            [_] if self.lap == Lap::Met => {}
            [_] => self.tail = None,
            [.., last] => self.tail = Some(*last),
        }
        usize::from(self.lap == Lap::Met)
    }

    /// True before its first page.
    pub fn is_new(&self) -> bool {
        self.pages == 0
    }

    /// True as long as it was not begun once more.
    pub fn is_first_pass(&self) -> bool {
        self.allowed.is_none()
    }

    /// Passes over the row at the offset, which cannot be read.
    pub fn skip(&mut self) {
        self.part.offset += 1;
        // It would be the first of the next page.
        self.tail = None;
    }

    /// Counts a row without a key; gives how many of this pass before it were no other.
    pub fn count_like(&mut self, id: RowId, version: u64) -> usize {
        let count = self.like.entry((id, version)).or_default();
        *count += 1;
        *count - 1
    }

    /// Takes in a page.
    pub fn take(&mut self, total: Option<u64>, rows: Vec<Read>) -> Next {
        self.pages = self.pages.saturating_add(1);
        let (limit, count) = (self.limit, rows.len() as u64);
        let lap = std::mem::take(&mut self.lap);
        let mut met = Met { total, limit, rows: count, lap, new_to_pass: 0, new_to_part: 0 };
        for row in rows {
            let before = self.distinct.insert((row.found.id, row.nth), self.pass);
            met.new_to_pass += u64::from(before != Some(self.pass));
            met.new_to_part += u64::from(before.is_none_or(|pass| pass < self.first_pass));
            if before.is_none() && (row.nth == 0 || !row.found.keyed) {
                self.starts.push(row.found.start);
            }
            if row.ahead {
                self.ahead += u64::from(before.is_none());
                continue;
            }
            if row.found.open {
                remember(&mut self.open, row.found.start, self.from, self.to);
            }
            self.bytes += row.found.line.as_ref().map_or(0, String::len);
            self.rows.push((self.pass, row.found));
        }
        let verdict = self.part.take(met, self.resolution);
        let goes_on = self.heed(verdict);
        let full = self.bytes > MAX_HELD_BYTES || self.rows.len() > MAX_HELD_ROWS;
        match (goes_on, full) {
            (true, true) => Next::Give,
            (true, false) => Next::Ask,
            (false, _) => Next::Over,
        }
    }

    /// Does what is to be done after a page; false when nothing is left.
    fn heed(&mut self, verdict: Verdict) -> bool {
        let done = matches!(verdict, Verdict::Whole(_)) && self.todo.is_empty();
        if self.allowed.is_some_and(|allowed| self.pages >= allowed) && !done {
            (self.unsure, self.missing) = (true, self.missing.max(1));
            return false;
        }
        match verdict {
            Verdict::Ask => return true,
            Verdict::Again if self.is_the_same_again() => {}
            Verdict::Again => {
                self.bound();
                self.came_once = self.part.came_once();
                self.part.again();
                self.next_pass();
                return true;
            }
            Verdict::Split(parts) => {
                self.bound();
                if !self.in_parts {
                    self.total = self.part.total().unwrap_or_default();
                }
                self.in_parts = true;
                let parts = self.part.split(parts, self.resolution);
                self.todo.extend(parts.into_iter().rev());
            }
            Verdict::Whole(missing) => self.missing = self.missing.max(missing),
            Verdict::Unsure(missing) => {
                self.unsure = true;
                self.missing = self.missing.max(missing);
            }
        }
        let Some(next) = self.todo.pop() else { return false };
        self.part = next;
        self.next_pass();
        self.first_pass = self.pass;
        true
    }

    fn bound(&mut self) {
        let pages = ALLOWANCE.0.saturating_add(self.pages.saturating_mul(ALLOWANCE.1));
        self.allowed.get_or_insert(pages);
    }

    fn next_pass(&mut self) {
        self.pass = self.pass.saturating_add(1);
        self.tail = None;
        self.like.clear();
    }

    /// How many of its rows began in the hour.
    pub fn within(&self, hour: Hour) -> usize {
        self.starts.iter().filter(|start| Hour::of(**start) == hour).count()
    }

    /// Gives what is held, so that the walk can go on in bounded memory.
    pub fn give(&mut self, known: &mut Known, now: Timestamp) -> News {
        (self.in_parts, self.bytes) = (true, 0);
        let rows = std::mem::take(&mut self.rows).into_iter().map(|(_, row)| row).collect();
        self.spell(rows, false, known, now)
    }

    /// What the walk found, once it is over.
    pub fn finish(&mut self, known: &mut Known, now: Timestamp) -> News {
        // Equal rows of different pages are different rows only if nothing moved.
        let whole = !self.in_parts && self.part.came_once() && (self.pass == 0 || self.is_the_same_again());
        let mut rows = std::mem::take(&mut self.rows);
        if whole {
            rows.retain(|(pass, _)| *pass == self.pass);
        }
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        // Of parts each of which is sure of all its rows the whole is, too.
        let missing = match self.missing {
            0 => 0,
            _ if whole => 0,
            missing => missing.max(self.total.saturating_sub(self.distinct.len() as u64)),
        };
        let unsure = self.unsure && !whole;
        News { ahead: self.ahead, missing, unsure, ..self.spell(rows, whole, known, now) }
    }

    /// The lines of what is new.
    fn spell(&self, mut rows: Vec<Found>, whole: bool, known: &mut Known, now: Timestamp) -> News {
        let mut news = News::default();
        let mut number = 0;
        for New { row, twin, first } in known.news(&rows, whole, self.scope, (self.from, self.to), now) {
            if first {
                news.met.push(rows[row].start);
            }
            let Some(line) = rows[row].line.take() else { continue };
            news.rows.push_str(&line);
            news.rows.push('\n');
            if twin > 0 {
                news.twins.push((number, twin));
            }
            number += 1;
        }
        news
    }

    /// True where the pass under way has met what the one before it has, each row once.
    fn is_the_same_again(&self) -> bool {
        let Some(before) = self.pass.checked_sub(1) else { return false };
        !self.in_parts
            && self.came_once
            && self.part.came_once()
            && census(&self.rows, before) == census(&self.rows, self.pass)
    }
}

/// How many rows of each identity a pass has met.
fn census(rows: &[(u32, Found)], pass: u32) -> BTreeMap<RowId, u32> {
    let mut census = BTreeMap::new();
    for (_, row) in rows.iter().filter(|(of, _)| *of == pass) {
        *census.entry(row.id).or_default() += 1;
    }
    census
}

/// Remembers where an open row is to be looked for: at its start, and where the window found it if
/// that is elsewhere, for nobody says which of a row's times the window is about.
fn remember(open: &mut BTreeSet<Hour>, start: Timestamp, from: Timestamp, to: Timestamp) {
    open.insert(Hour::of(start));
    if start + ROUNDING < from || start > to + ROUNDING {
        let (mut hour, mut hours) = (Hour::of(from), Vec::new());
        while hour.start() < to && hours.len() <= MAX_HOURS_ASIDE {
            hours.push(hour);
            hour = Hour::of(hour.end());
        }
        if hours.len() <= MAX_HOURS_ASIDE {
            open.extend(hours);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::{MAX_DULL, MAX_PASSES};
    use super::*;

    /// A page of the one row with this number.
    fn page(number: u8) -> Vec<Read> {
        let (start, end, line) = (Timestamp(0), Some(Timestamp(0)), Some(number.to_string()));
        let found = Found {
            id: RowId([number; 16]),
            version: 0,
            start,
            end,
            open: false,
            keyed: true,
            page: 1,
            line,
        };
        vec![Read { found, nth: 0, ahead: false }]
    }

    fn walk(seconds: i64, limit: u32) -> Walk {
        let to = Timestamp(seconds * 1_000);
        Walk::new((Timestamp(0), to), Millis::secs(1), to, limit)
    }

    #[test]
    fn a_second_pass_goes_on_past_rows_that_the_first_has_shown() {
        let mut walk = walk(1, 1);
        // The last five never come, for the rows are stirred while the first pass goes on.
        for number in (1..=25).chain(1..=5) {
            assert_eq!(walk.take(Some(30), page(number)), Next::Ask);
        }
        assert_eq!(walk.ask().offset, 0);
        for number in 1..=29 {
            assert_eq!(walk.take(Some(30), page(number)), Next::Ask);
        }
        assert_eq!(walk.take(Some(30), page(30)), Next::Over);
        let news = walk.finish(&mut Known::default(), Timestamp(0));
        assert_eq!((news.rows.lines().count(), news.missing, news.unsure), (30, 0, false));
    }

    #[test]
    fn a_service_that_does_not_page_is_not_asked_without_end() {
        let asked = |mut walk: Walk| {
            let asked = (1..10_000).find(|_| walk.take(Some(1_000_000), page(1)) == Next::Over).unwrap();
            let news = walk.finish(&mut Known::default(), Timestamp(0));
            assert_eq!((news.missing, news.unsure), (999_999, true));
            asked
        };
        assert_eq!(asked(walk(1, 1)), MAX_PASSES * (MAX_DULL + 1));
        let most = ALLOWANCE.0 + (ALLOWANCE.1 + 1) * (MAX_DULL + 1);
        assert!(asked(walk(900, 1)) <= most);
    }

    /// The service's rows, one each five seconds, and in which order a request finds them.
    fn stirred(asked: usize, every: usize) -> Vec<u8> {
        let mut rows: Vec<u8> = (0..180).collect();
        if asked.is_multiple_of(every) {
            rows.sort_by_key(|row| u32::from(*row).wrapping_mul(2_654_435_761));
        }
        rows
    }

    #[test]
    fn rows_that_are_stirred_between_two_pages_all_come() {
        for (every, limit) in [(2, 10), (2, 50), (3, 10), (3, 20), (3, 100), (5, 7)] {
            let mut walk = walk(900, limit);
            for asked in 1.. {
                let ask = walk.ask();
                let start = |row: &u8| Timestamp(i64::from(*row) * 5_000);
                let within: Vec<u8> = stirred(asked, every)
                    .into_iter()
                    .filter(|row| (ask.from..=ask.to).contains(&start(row)))
                    .collect();
                let rows = within.iter().skip(usize::try_from(ask.offset).unwrap()).take(limit as usize);
                let rows = rows.flat_map(|row| page(*row)).collect();
                if walk.take(Some(within.len() as u64), rows) == Next::Over {
                    assert!(asked <= 4 * 180 / limit as usize + 4, "{asked} {every} {limit}");
                    break;
                }
            }
            let news = walk.finish(&mut Known::default(), Timestamp(0));
            assert_eq!((news.rows.lines().count(), news.missing, news.unsure), (180, 0, false));
        }
    }
}
