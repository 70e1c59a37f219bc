//! One part of a window, as it is paged through: where its next page begins, and whether all came.
//!
//! One page is a picture of one moment. Of several, none may fit the other: rows come and go between
//! two requests, and nobody promises an order. What shifts in comes twice, and is one row. What is
//! missed shows in the total, but for one case: a row before the next page went and another came after
//! it, and the total is what it was. So each page begins with the last row of the one before it, which
//! must be met again there. Where anything does not fit, the part is read in smaller ones, until each is
//! one page. Pages of one row have none to lap over by; the vendor's are of a hundred.

use crate::record::{Millis, Timestamp};

/// Pages in a row without a row that is new to the pass, after which it is over whatever the total
/// says: the service does not page.
pub(super) const MAX_DULL: u32 = 20;
/// Rows of one pass; a total without end is not followed without end.
const MAX_ROWS: u64 = 2_000_000;
/// Passes through what cannot be split: one moment that has more rows than a page.
pub(super) const MAX_PASSES: u32 = 4;
/// Empty answers in a row that are believed, though the total promises more: after a page that was not
/// full, and else. A list that is not there by a slip is there at another look.
const BELIEVED: (u32, u32) = (2, 4);
/// How full pages of parts are planned to be, in ten: rows are not spread evenly.
const FULL: u64 = 7;
/// Most parts that one is split into.
const MAX_PARTS: u64 = 1_000;

/// A part of a window.
#[derive(Debug)]
pub(super) struct Part {
    /// What is asked for. Nobody says which of its ends a window includes: a part begins a bit before
    /// the end of the one before it, which is not its own.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Where what is its own begins.
    own: Timestamp,
    pub offset: u64,
    /// Passes that are over.
    pub passes: u32,
    /// Distinct rows of all passes.
    found: u64,
    pass: Pass,
}

/// What one pass through the pages has met.
#[derive(Debug, Default)]
struct Pass {
    pages: u32,
    /// Those that had rows.
    full: u32,
    /// Rows of the longest one.
    longest: u64,
    /// Pages in a row with nothing new.
    dull: u32,
    /// Rows, and how many of them were different ones.
    read: u64,
    distinct: u64,
    total: Option<u64>,
    moved: bool,
    fell: bool,
    /// A page did not begin with the last row of the one before it.
    slipped: bool,
    /// Rows of the last page that had any.
    last: u64,
    /// Pages in a row that were empty.
    empty: u32,
}

/// A page, as far as a part must know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    pub total: Option<u64>,
    /// Rows that were asked for at most, and those that came, but for the one of the page before.
    pub limit: u32,
    pub rows: u64,
    /// What the last row of the page before was met as.
    pub lap: Lap,
    /// Rows that this pass, and any pass, has not met before.
    pub new_to_pass: u64,
    pub new_to_part: u64,
}

/// Whether a page began with the last row of the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lap {
    /// It was not asked for.
    #[default]
    No,
    /// It did.
    Met,
    /// It began with another one.
    Slipped,
}

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask for the next page.
    Ask,
    /// Go through the pages once more.
    Again,
    /// Read it in smaller parts: so many.
    Split(u64),
    /// All rows came; the total promised so many more, which are not there.
    Whole(u64),
    /// So many rows did not come that may be there.
    Unsure(u64),
}

impl Part {
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, own: from, offset: 0, passes: 0, found: 0, pass: Pass::default() }
    }

    /// Takes in a page.
    pub fn take(&mut self, met: Met, resolution: Millis) -> Verdict {
        let pass = &mut self.pass;
        if pass.pages > 0 && met.total != pass.total {
            pass.moved = true;
            pass.fell |= met.total < pass.total;
        }
        pass.total = met.total;
        pass.pages += 1;
        pass.full += u32::from(met.rows > 0);
        pass.slipped |= met.lap == Lap::Slipped;
        let all = met.rows + u64::from(met.lap == Lap::Met);
        pass.longest = pass.longest.max(all);
        pass.read += met.rows;
        pass.distinct += met.new_to_pass;
        if met.rows == 0 {
            pass.empty += 1;
        } else {
            (pass.last, pass.empty) = (all, 0);
        }
        pass.dull = if met.new_to_pass > 0 { 0 } else { pass.dull + 1 };
        // It was asked for from the row before on, and that was another one.
        self.offset = self.offset.saturating_sub(u64::from(met.lap == Lap::Slipped)) + met.rows;
        self.found += met.new_to_part;
        let total = met.total.unwrap_or_default();
        let reached = met.total.is_some_and(|total| self.offset >= total);
        let short =
            pass.full > 0 && pass.last < u64::from(met.limit) && (pass.full == 1 || pass.last < pass.longest);
        let believed = if met.total.is_none() {
            1
        } else if short {
            BELIEVED.0
        } else {
            BELIEVED.1
        };
        let ended = pass.empty >= believed;
        if reached || ended || pass.dull >= MAX_DULL || self.offset >= MAX_ROWS {
            self.judge(total, resolution)
        } else {
            Verdict::Ask
        }
    }

    /// The pass is over.
    fn judge(&self, total: u64, resolution: Millis) -> Verdict {
        let pass = &self.pass;
        let missing = total.saturating_sub(self.found);
        let one_page = pass.full <= 1;
        // Where a row went away, those after it stood one place nearer than the next page began.
        if !pass.fell && !pass.slipped && (missing == 0 || (one_page && pass.read >= total)) {
            return Verdict::Whole(0);
        }
        // Nothing came at all, though something should.
        if pass.full == 0 {
            return Verdict::Unsure(missing);
        }
        // Every row came once, and then there was none: the total is wrong.
        if pass.empty > 0 && !pass.moved && !pass.slipped && pass.distinct == pass.read {
            return Verdict::Whole(missing);
        }
        let moments = (self.to - self.own).0 / resolution.0.max(1);
        if !one_page && moments > 1 {
            let pages = (total * 10).div_ceil((pass.longest * FULL).max(1));
            return Verdict::Split(pages.clamp(2, moments.unsigned_abs().min(MAX_PARTS)));
        }
        // A moment cannot be split. Where its order changes all the time, all rows of a second pass are all.
        if self.passes > 0 && !pass.fell && missing == 0 {
            return Verdict::Whole(0);
        }
        if self.passes + 1 < MAX_PASSES { Verdict::Again } else { Verdict::Unsure(missing) }
    }

    /// Begins another pass.
    pub fn again(&mut self) {
        self.passes += 1;
        self.offset = 0;
        self.pass = Pass::default();
    }

    /// Every row of the pass came once, as far as anybody can tell.
    pub fn came_once(&self) -> bool {
        !self.pass.moved && !self.pass.slipped && self.pass.total == Some(self.pass.read)
    }

    /// The same in `count` parts, earliest first: rows only ever move to later times.
    pub fn split(&self, count: u64, resolution: Millis) -> Vec<Self> {
        let count = i64::try_from(count.clamp(1, MAX_PARTS)).unwrap_or(1);
        let length = (self.to - self.own).0;
        let at = |number: i64| {
            let at = self.own.0 + length / count * number + length % count * number / count;
            Timestamp(at - at.rem_euclid(resolution.0.max(1)))
        };
        let mut parts = Vec::new();
        let mut begin = self.own;
        for number in 1..=count {
            let end = if number == count { self.to } else { at(number) };
            if end <= begin {
                continue;
            }
            let from = if parts.is_empty() { self.from } else { begin - resolution };
            parts.push(Self { own: begin, ..Self::new(from, end) });
            begin = end;
        }
        parts
    }

    /// The same in two, where `at` lies within.
    pub fn cut(&self, at: Timestamp, resolution: Millis) -> Option<(Self, Self)> {
        let rest = Self { own: at, ..Self::new(at - resolution, self.to) };
        (self.own < at && at < self.to).then(|| (Self { own: self.own, ..Self::new(self.from, at) }, rest))
    }

    /// What the service told last.
    pub fn total(&self) -> Option<u64> {
        self.pass.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = Millis::mins(1);

    fn part(minutes: i64) -> Part {
        Part::new(Timestamp(0), Timestamp(MINUTE.0 * minutes))
    }

    /// What comes of pages in the manner of `10/100 8+7/100`: rows, of which so many are new, and the total;
    /// `~` before them where the page did not begin with the last row of the one before it.
    #[track_caller]
    fn check(minutes: i64, pages: &str, meant: &[Verdict]) {
        let mut part = part(minutes);
        let mut verdicts = Vec::new();
        for page in pages.split_whitespace() {
            let (lap, page) = match page.strip_prefix('~') {
                Some(page) => (Lap::Slipped, page),
                None => (Lap::No, page),
            };
            let (rows, total) = page.split_once('/').unwrap();
            let (rows, new) = rows.split_once('+').unwrap_or((rows, rows));
            let (rows, new): (u64, u64) = (rows.parse().unwrap(), new.parse().unwrap());
            let met =
                Met { total: total.parse().ok(), limit: 10, rows, lap, new_to_pass: new, new_to_part: new };
            let verdict = part.take(met, MINUTE);
            if verdict == Verdict::Again {
                part.again();
            }
            verdicts.push(verdict);
        }
        assert_eq!(verdicts, meant, "{pages}");
    }

    #[test]
    fn one_page_with_all_rows_is_whole() {
        check(15, "7/7", &[Verdict::Whole(0)]);
        // One of them stands there twice, and is counted twice.
        check(15, "7+6/7", &[Verdict::Whole(0)]);
        check(15, "0/0", &[Verdict::Whole(0)]);
    }

    #[test]
    fn pages_that_show_every_row_once_are_whole() {
        check(15, "10/25 10/25 5/25", &[Verdict::Ask, Verdict::Ask, Verdict::Whole(0)]);
        // Some came in meanwhile, and were met.
        check(15, "10/15 7/17", &[Verdict::Ask, Verdict::Whole(0)]);
    }

    #[test]
    fn a_total_that_is_too_great_is_seen_through_once_an_empty_page_came_twice() {
        check(15, "7/9 0/9 0/9", &[Verdict::Ask, Verdict::Ask, Verdict::Whole(2)]);
        let ask = Verdict::Ask;
        check(15, "10/15 3/15 0/15 0/15", &[ask, ask, ask, Verdict::Whole(2)]);
        // The list was not there by a slip, or by three.
        check(15, "0/7 7/7", &[ask, Verdict::Whole(0)]);
        check(15, "10/17 0/17 0/17 0/17 7/17", &[ask, ask, ask, ask, Verdict::Whole(0)]);
        check(15, "0/7 0/7 0/7 0/7", &[ask, ask, ask, Verdict::Unsure(7)]);
    }

    #[test]
    fn pages_that_do_not_fit_each_other_are_read_in_parts() {
        check(15, "10/28 10+6/28 8/28", &[Verdict::Ask, Verdict::Ask, Verdict::Split(4)]);
        // Some came in meanwhile where the pass had been, and pushed others onto the next page.
        check(15, "10/15 7+5/17", &[Verdict::Ask, Verdict::Split(3)]);
        // A row went: the next page began one too late.
        check(15, "10/12 1/11", &[Verdict::Ask, Verdict::Split(2)]);
        // One went before the second page and another came after it: the total is what it was.
        check(15, "10/20 ~11+10/20", &[Verdict::Ask, Verdict::Split(3)]);
        // The same, and nothing was left for the next page.
        check(15, "10/11 0/10 10/10", &[Verdict::Ask, Verdict::Again, Verdict::Whole(0)]);
    }

    #[test]
    fn a_moment_with_more_rows_than_a_page_is_gone_through_again_and_then_left() {
        let (ask, again) = (Verdict::Ask, Verdict::Again);
        check(1, "10/20 10+8/20 10+2/20 10+0/20", &[ask, again, ask, Verdict::Whole(0)]);
        // Its rows change their order all the time, and came all.
        check(1, "10/20 ~11+10/20 10+0/20 ~11+0/20", &[ask, again, ask, Verdict::Whole(0)]);
        let met = |rows, new| {
            let lap = Lap::No;
            Met { total: Some(40), limit: 20, rows, lap, new_to_pass: rows, new_to_part: new }
        };
        let mut part = part(1);
        for _ in 1..MAX_PASSES {
            assert_eq!(part.take(met(20, 5), MINUTE), Verdict::Ask);
            assert_eq!(part.take(met(20, 0), MINUTE), Verdict::Again);
            part.again();
        }
        assert_eq!(part.take(met(20, 5), MINUTE), Verdict::Ask);
        assert_eq!(part.take(met(20, 0), MINUTE), Verdict::Unsure(20));
    }

    #[test]
    fn parts_cover_the_whole_and_lap_over_by_one_moment() {
        let parts = part(15).split(4, MINUTE);
        let minutes: Vec<(i64, i64)> =
            parts.iter().map(|part| (part.from.0 / MINUTE.0, part.to.0 / MINUTE.0)).collect();
        assert_eq!(minutes, [(0, 3), (2, 7), (6, 11), (10, 15)]);
        let minutes: Vec<(i64, i64)> = parts[1]
            .split(9, MINUTE)
            .iter()
            .map(|part| (part.from.0 / MINUTE.0, part.to.0 / MINUTE.0))
            .collect();
        assert_eq!(minutes, [(2, 4), (3, 5), (4, 6), (5, 7)]);
    }
}
