//! One walk through the pages of one window: where the next page begins, when the walk is over, and
//! what it found.
//!
//! Offsets shift when rows come or go between two pages. What shifts in comes twice, and is one row;
//! what is missed shows in the total: then the window is walked once more. Asks nobody anything and
//! knows no clock: pages come in, the next offset goes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::api::Ask;
use super::known::{Found, Known, New, Scope};
use super::place::Hour;
use crate::record::{Millis, RowId, Timestamp};

/// Pages in a row without a row that is new to the pass, after which it is over whatever the total
/// says: the service does not page.
const MAX_DULL: u32 = 20;
/// Rows of one pass; a total without end is not followed without end.
const MAX_ROWS: usize = 2_000_000;
/// Rows and bytes that are held back until they are given.
const MAX_HELD_ROWS: usize = 20_000;
const MAX_HELD_BYTES: usize = 8 << 20;
/// What rounding may put outside of a window.
const ROUNDING: Millis = Millis::mins(1);
/// Longest window whose hours are all remembered for a row that began outside of it.
const MAX_HOURS_ASIDE: usize = 3;

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
    /// Pages of this pass.
    pages: u32,
    offset: u64,
    /// True in the second pass.
    again: bool,
    pass: Pass,
    earlier: Option<Pass>,
    /// Rows of both passes, and whether the second one has shown them.
    distinct: HashMap<(RowId, u32), bool>,
    dull: u32,
    ahead: u64,
    /// Hours to look at again: rows were open in them.
    pub open: BTreeSet<Hour>,
    /// When its rows began, each counted once.
    starts: Vec<Timestamp>,
}

/// What one pass through the pages found, as far as it was not given yet.
#[derive(Debug, Default)]
struct Pass {
    rows: Vec<Found>,
    bytes: usize,
    /// Rows without a key, by content.
    like: HashMap<(RowId, u64), usize>,
    /// Rows read, those that are ahead included.
    read: u64,
    total: Option<u64>,
    moved: bool,
    fell: bool,
    /// Some of its rows were given already.
    given: bool,
}

impl Pass {
    /// Every row came once, as far as anybody can tell.
    fn is_whole(&self) -> bool {
        !self.moved && !self.given && self.total == Some(self.read)
    }
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
    pub fn new(from: Timestamp, to: Timestamp, began: Timestamp, limit: u32) -> Self {
        Self {
            from,
            to,
            began,
            limit,
            scope: Scope::All,
            pages: 0,
            offset: 0,
            again: false,
            pass: Pass::default(),
            earlier: None,
            distinct: HashMap::new(),
            dull: 0,
            ahead: 0,
            open: BTreeSet::new(),
            starts: Vec::new(),
        }
    }

    pub fn ask(&self) -> Ask {
        Ask { from: self.from, to: self.to, offset: self.offset, limit: self.limit }
    }

    /// True before its first page.
    pub fn is_new(&self) -> bool {
        self.pages == 0 && !self.again
    }

    /// True as long as it was not begun once more.
    pub fn is_first_pass(&self) -> bool {
        !self.again
    }

    /// Passes over the row at the offset, which cannot be read.
    pub fn skip(&mut self) {
        self.offset += 1;
    }

    /// Counts a row without a key; gives how many of this pass before it were no other.
    pub fn count_like(&mut self, id: RowId, version: u64) -> usize {
        let count = self.pass.like.entry((id, version)).or_default();
        *count += 1;
        *count - 1
    }

    /// Takes in a page.
    pub fn take(&mut self, total: Option<u64>, rows: Vec<Read>) -> Next {
        let pass = &mut self.pass;
        if self.pages > 0 && total != pass.total {
            pass.moved = true;
            pass.fell |= total < pass.total;
        }
        pass.total = total;
        self.pages += 1;
        let empty = rows.is_empty();
        self.offset += rows.len() as u64;
        pass.read += rows.len() as u64;
        let mut new = false;
        for row in rows {
            let before = self.distinct.insert((row.found.id, row.nth), self.again);
            new |= before != Some(self.again);
            if before.is_none() {
                self.starts.push(row.found.start);
            }
            if row.ahead {
                self.ahead += u64::from(before.is_none());
                continue;
            }
            if row.found.open {
                remember(&mut self.open, row.found.start, self.from, self.to);
            }
            pass.bytes += row.found.line.as_ref().map_or(0, String::len);
            pass.rows.push(row.found);
        }
        self.dull = if new { 0 } else { self.dull + 1 };
        let reached = total.is_some_and(|total| self.offset >= total);
        if empty || reached || self.dull >= MAX_DULL || self.offset >= MAX_ROWS as u64 {
            return if self.walk_again() { self.give_or(Next::Ask) } else { Next::Over };
        }
        self.give_or(Next::Ask)
    }

    fn give_or(&self, next: Next) -> Next {
        let earlier = self.earlier.as_ref().map_or(0, |pass| pass.bytes);
        let full = self.pass.bytes + earlier > MAX_HELD_BYTES || self.pass.rows.len() > MAX_HELD_ROWS;
        if full { Next::Give } else { next }
    }

    /// Begins a second pass if there is a reason to and this was the first.
    fn walk_again(&mut self) -> bool {
        if self.again || !(self.pass.fell || self.missing() > 0) {
            return false;
        }
        self.again = true;
        self.earlier = Some(std::mem::take(&mut self.pass));
        (self.offset, self.pages, self.dull) = (0, 0, 0);
        true
    }

    /// How many of its rows count for the hour.
    pub fn within(&self, hour: Hour) -> usize {
        self.starts.iter().filter(|start| Hour::of(**start) == hour).count()
    }

    /// Rows that the total promises beyond those that came.
    fn missing(&self) -> u64 {
        self.pass.total.unwrap_or_default().saturating_sub(self.distinct.len() as u64)
    }

    /// Gives what is held, so that the walk can go on in bounded memory.
    pub fn give(&mut self, known: &mut Known, now: Timestamp) -> News {
        let mut rows = self.earlier.as_mut().map(|pass| std::mem::take(&mut pass.rows)).unwrap_or_default();
        rows.append(&mut self.pass.rows);
        for pass in self.earlier.iter_mut().chain([&mut self.pass]) {
            pass.given = true;
            pass.bytes = 0;
        }
        spell(rows, false, self.scope, known, now)
    }

    /// What the walk found, once it is over.
    pub fn finish(&mut self, known: &mut Known, now: Timestamp) -> News {
        let earlier = self.earlier.take();
        // Equal rows of different pages are different rows only if nothing moved, twice.
        let whole = self.pass.is_whole()
            && earlier
                .as_ref()
                .is_none_or(|earlier| earlier.is_whole() && census(&earlier.rows) == census(&self.pass.rows));
        let missing = if whole { 0 } else { self.missing() };
        let mut rows = std::mem::take(&mut self.pass.rows);
        if let Some(earlier) = earlier {
            let last: HashSet<RowId> = rows.iter().map(|row| row.id).collect();
            let gone = earlier.rows.into_iter().filter(|row| !last.contains(&row.id));
            rows.extend(gone);
        }
        News { ahead: self.ahead, missing, ..spell(rows, whole, self.scope, known, now) }
    }
}

/// How many rows of each identity.
fn census(rows: &[Found]) -> BTreeMap<RowId, u32> {
    let mut census = BTreeMap::new();
    for row in rows {
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

/// The lines of what is new.
fn spell(mut rows: Vec<Found>, whole: bool, scope: Scope, known: &mut Known, now: Timestamp) -> News {
    let mut news = News::default();
    let mut number = 0;
    for New { row, twin, first } in known.news(&rows, whole, scope, now) {
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

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_second_pass_goes_on_past_rows_that_the_first_has_shown() {
        let mut walk = Walk::new(Timestamp(0), Timestamp(60_000), Timestamp(60_000), 1);
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
        assert_eq!((news.rows.lines().count(), news.missing), (30, 0));
    }

    #[test]
    fn a_service_that_does_not_page_is_not_asked_without_end() {
        let mut walk = Walk::new(Timestamp(0), Timestamp(60_000), Timestamp(60_000), 1);
        let asked = (1..1_000).find(|_| walk.take(Some(1_000_000), page(1)) == Next::Over);
        assert_eq!(asked, Some(2 * (MAX_DULL + 1)));
    }
}
