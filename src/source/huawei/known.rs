//! Which rows were given already, and in which version, so that readings repeat little.
//!
//! Also tells equal twins apart: rows without a key of their own that have the same identity get
//! numbers, and keep them from one reading to the next as long as they are remembered. Rows of an hour
//! whose total is yet to be compared are remembered until it has been, however long that takes: the
//! hour may be read again. Forgetting costs repeats, never a row.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::place::{Hour, KEPT};
use crate::record::{Millis, RowId, Timestamp};

/// Rows that are remembered; beyond it all are forgotten that are not open, and if need be those too.
const MAX_KNOWN: usize = 500_000;
/// Rows with one identity that are told apart.
const MAX_TWINS: usize = 256;

/// One row of a page.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub id: RowId,
    pub version: u64,
    pub start: Timestamp,
    /// When it ended, where it says so.
    pub end: Option<Timestamp>,
    /// True while it may still change.
    pub open: bool,
    /// True where the row has a key of the vendor's: two of them are one row.
    pub keyed: bool,
    /// Which page of the lane's it stood on: pages are numbered as they come, whatever the walk.
    pub page: u64,
    /// The row as it was served; none where it is known.
    pub line: Option<String>,
}

/// Which rows of a walk are given, if they are new or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All.
    All,
    /// Those that are open, or were when they were last read. The others were given by a poll, so long
    /// ago perhaps that nobody remembers them.
    Open,
    /// The same, and those that an earlier life may have left open: which did not end before this.
    OpenSince(Timestamp),
    /// Those that began in this hour, and those that are open or were: nobody says which of a row's times a
    /// window is about, and others may be long forgotten.
    Began(Hour),
}

impl Scope {
    fn takes(self, row: &Found) -> bool {
        match self {
            Self::All => true,
            Self::Open => row.open,
            Self::OpenSince(since) => row.open || row.end.is_none_or(|end| end >= since),
            Self::Began(hour) => row.open || Hour::of(row.start) == hour,
        }
    }
}

/// One content of a row, and when it began by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    is: u64,
    start: Timestamp,
}

/// What is remembered of a row, or of all its twins.
#[derive(Debug, Clone)]
struct Seen {
    /// Of a row with a key: the versions that the last walk showed, or could not show. Else one a twin.
    versions: Vec<Version>,
    /// When it began, by the latest that it says.
    start: Timestamp,
    /// It was open when it was last read, or one of its twins was.
    open: bool,
    /// When it was last read.
    at: Timestamp,
    /// The last page it stood on.
    page: u64,
}

impl Seen {
    fn new(start: Timestamp) -> Self {
        Self { versions: Vec::new(), start, open: false, at: start, page: 0 }
    }
}

/// The rows that are remembered.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<RowId, Seen>,
    /// Rows were forgotten that were open.
    overflowed: bool,
    /// Rows were forgotten before their time, open or not.
    crowded: bool,
}

impl Known {
    /// True when the row is no news, whichever twin it is: `before` rows like it came before it in
    /// the same pass.
    pub fn is_old(&self, id: RowId, version: u64, before: usize) -> bool {
        let same = |seen: &Seen| seen.versions.iter().filter(|known| known.is == version).count();
        self.rows.get(&id).is_some_and(|seen| same(seen) > before)
    }

    /// True where a row with this identity was given.
    pub fn has(&self, id: RowId) -> bool {
        self.rows.contains_key(&id)
    }

    /// Sorts out what is new of the rows of a walk, and remembers them: (which row, which twin). With
    /// `whole`, rows of different pages are different rows; else only those of one page are. What another
    /// walk has read later counts; rows that were held back since before are no news. Two rows may bear one
    /// key: the other is there still where `window`, which was walked, leaves it out.
    pub fn news(
        &mut self,
        rows: &[Found],
        whole: bool,
        scope: Scope,
        window: (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Vec<New> {
        if self.rows.len() > MAX_KNOWN {
            self.make_room();
        }
        let mut groups: IndexMap<RowId, Vec<usize>> = IndexMap::new();
        for (number, row) in rows.iter().enumerate() {
            groups.entry(row.id).or_default().push(number);
        }
        let mut news = Vec::new();
        for (id, group) in groups {
            let first = &rows[group[0]];
            let was_open = self.rows.get(&id).is_some_and(|seen| seen.open);
            if !was_open && !group.iter().any(|row| scope.takes(&rows[*row])) {
                continue;
            }
            let seen = self.rows.entry(id).or_insert_with(|| Seen::new(first.start));
            let group: Vec<usize> = group.into_iter().filter(|row| rows[*row].page >= seen.page).collect();
            let Some(last) = group.iter().map(|row| rows[*row].page).max() else { continue };
            (seen.at, seen.page) = (now, last);
            seen.start = group.iter().map(|row| rows[*row].start).fold(seen.start, Timestamp::max);
            seen.open = group.iter().any(|row| rows[*row].open);
            if first.keyed {
                let mut versions: Vec<Version> = Vec::new();
                for number in group.into_iter().take(MAX_TWINS) {
                    let version = Version { is: rows[number].version, start: rows[number].start };
                    if !versions.contains(&version) {
                        versions.push(version);
                        if !seen.versions.contains(&version) {
                            news.push(New {
                                row: number,
                                twin: 0,
                                first: seen.versions.is_empty() && versions.len() == 1,
                            });
                        }
                    }
                }
                let aside = |version: &Version| version.start < window.0 || version.start > window.1;
                let room = MAX_TWINS.saturating_sub(versions.len());
                let others = seen.versions.iter().filter(|old| aside(old) && !versions.contains(old));
                let others: Vec<Version> = others.copied().take(room).collect();
                versions.extend(others);
                seen.versions = versions;
            } else if whole {
                number_twins(rows, &group, &mut seen.versions, &mut news);
            } else {
                for page in group.chunk_by(|one, other| rows[*one].page == rows[*other].page) {
                    number_twins(rows, page, &mut seen.versions, &mut news);
                }
            }
        }
        news.sort_unstable();
        news
    }

    /// Forgets what is neither open nor was read in the last `within`, and what the service has forgotten;
    /// but nothing that began at or after `pinned`.
    pub fn forget(&mut self, now: Timestamp, within: Millis, pinned: Option<Timestamp>) {
        let is_pinned = |seen: &Seen| pinned.is_some_and(|pinned| seen.start >= pinned);
        self.rows.retain(|_, seen| {
            seen.at + within >= now || ((seen.open || is_pinned(seen)) && seen.start + KEPT > now)
        });
    }

    /// True once after rows were forgotten that were to be remembered.
    pub fn was_crowded(&mut self) -> bool {
        std::mem::take(&mut self.crowded)
    }

    /// True once after rows were forgotten that were open.
    pub fn has_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    fn make_room(&mut self) {
        self.crowded = true;
        self.rows.retain(|_, seen| seen.open);
        if self.rows.len() > MAX_KNOWN {
            self.rows.clear();
            self.overflowed = true;
        }
    }
}

/// A row that is new or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct New {
    /// Which of the rows.
    pub row: usize,
    /// Which twin.
    pub twin: u32,
    /// It was not met before.
    pub first: bool,
}

/// Gives numbers to rows that are different though they have one identity: those that are known
/// keep theirs, the others get the lowest that are free.
fn number_twins(rows: &[Found], group: &[usize], versions: &mut Vec<Version>, news: &mut Vec<New>) {
    let mut taken = vec![false; versions.len()];
    let mut rest = Vec::new();
    for number in group {
        let known =
            (0..versions.len()).find(|twin| !taken[*twin] && versions[*twin].is == rows[*number].version);
        match known {
            Some(twin) => taken[twin] = true,
            None => rest.push(*number),
        }
    }
    for number in rest {
        let twin = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
        if twin >= MAX_TWINS {
            return;
        }
        let first = twin == versions.len();
        let version = Version { is: rows[number].version, start: rows[number].start };
        if first {
            versions.push(version);
            taken.push(false);
        }
        versions[twin] = version;
        taken[twin] = true;
        news.push(New { row: number, twin: u32::try_from(twin).unwrap_or(u32::MAX), first });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: (Timestamp, Timestamp) = (Timestamp(0), Timestamp(1_000));

    /// Rows of a walk in the manner of `a1 b1 | a1`: identity, version, pages between bars; those
    /// with a capital letter have a key.
    fn rows(text: &str) -> Vec<Found> {
        let mut rows = Vec::new();
        for (page, words) in (1..).zip(text.split('|')) {
            for word in words.split_whitespace() {
                let (id, version) = (word.as_bytes()[0], word[1..].parse().unwrap());
                let keyed = id.is_ascii_uppercase();
                let line = Some(word.to_owned());
                let (start, end, open) = (Timestamp(0), None, false);
                rows.push(Found { id: RowId([id; 16]), version, start, end, open, keyed, page, line });
            }
        }
        rows
    }

    /// What is new of each walk, as `a1.0`: the row and which twin.
    #[track_caller]
    fn check(walks: &[(&str, bool, &str)]) {
        let mut known = Known::default();
        for (walk, (text, whole, meant)) in (0..).zip(walks) {
            let rows: Vec<Found> =
                rows(text).into_iter().map(|row| Found { page: row.page + walk * 10, ..row }).collect();
            let news = known.news(&rows, *whole, Scope::All, WINDOW, Timestamp(0));
            let news: Vec<String> = news
                .into_iter()
                .map(|new| format!("{}.{}", rows[new.row].line.as_ref().unwrap(), new.twin))
                .collect();
            assert_eq!(news.join(" "), *meant, "{text}");
        }
    }

    #[test]
    fn a_row_is_news_once_and_each_time_it_changed() {
        check(&[
            ("A1 b1", true, "A1.0 b1.0"),
            ("A1 b1", true, ""),
            ("A2 b2", true, "A2.0 b2.0"),
            ("A1", true, "A1.0"),
        ]);
    }

    #[test]
    fn twins_of_one_page_are_two_rows_and_keep_their_numbers() {
        check(&[
            ("a1 a1 a2", false, "a1.0 a1.1 a2.2"),
            ("a2 a1 a1", false, ""),
            ("a3 a2 a1", false, "a3.1"),
            ("a4 a3 a2 a1", false, "a4.3"),
        ]);
    }

    #[test]
    fn across_pages_equal_rows_are_twins_only_in_a_whole_walk() {
        check(&[("a1 | a1", false, "a1.0"), ("a1 | a1", true, "a1.1"), ("a1 | a1", false, "")]);
    }

    #[test]
    fn a_row_with_a_key_is_one_row_however_often_it_comes() {
        check(&[("A1 A1 | A2", true, "A1.0 A2.0"), ("A2 A1", false, ""), ("A2", false, "")]);
    }

    #[test]
    fn two_rows_that_bear_one_key_are_each_news_once() {
        let mut known = Known::default();
        let mut news = |starts: &[i64], window: (i64, i64), page: u64| {
            let mut found = rows(&"A1 ".repeat(starts.len()));
            for (row, start) in found.iter_mut().zip(starts) {
                (row.start, row.version, row.page) = (Timestamp(*start), start.unsigned_abs(), page);
            }
            let window = (Timestamp(window.0), Timestamp(window.1));
            known.news(&found, true, Scope::All, window, Timestamp(0)).len()
        };
        assert_eq!(news(&[10, 90], (0, 100), 1), 2);
        // The hour of either of them is read by itself, by turns.
        assert_eq!((news(&[10], (0, 50), 2), news(&[90], (50, 100), 3), news(&[10], (0, 50), 4)), (0, 0, 0));
        assert_eq!(news(&[10, 90], (0, 100), 5), 0);
        // What was there to be shown and was not is no longer so, and may be so again.
        assert_eq!((news(&[90], (0, 100), 6), news(&[10, 90], (0, 100), 7)), (0, 1));
    }

    #[test]
    fn what_was_held_back_while_another_walk_read_on_is_no_news() {
        let mut known = Known::default();
        let read_later =
            |text: &str| rows(text).into_iter().map(|row| Found { page: 9, ..row }).collect::<Vec<_>>();
        assert_eq!(known.news(&read_later("A2 b2"), true, Scope::All, WINDOW, Timestamp(0)).len(), 2);
        let news = known.news(&rows("A1 b1 C1"), true, Scope::All, WINDOW, Timestamp(0));
        assert_eq!(news, [New { row: 2, twin: 0, first: true }]);
        assert!(known.is_old(RowId([b'A'; 16]), 2, 0));
    }

    #[test]
    fn open_rows_are_remembered_and_others_forgotten() {
        let mut known = Known::default();
        let (a, b) = (RowId([b'a'; 16]), RowId([b'b'; 16]));
        let mut read = rows("a1 b1");
        read[0].open = true;
        known.news(&read, true, Scope::All, WINDOW, Timestamp(0));
        known.forget(Timestamp(Millis::days(1).0), Millis::mins(15), None);
        assert!(known.is_old(a, 1, 0) && !known.is_old(a, 1, 1) && !known.is_old(b, 1, 0));
        known.forget(Timestamp(KEPT.0), Millis::mins(15), None);
        assert!(!known.is_old(a, 1, 0));
    }

    #[test]
    fn a_sweep_gives_what_is_open_and_what_was() {
        let mut known = Known::default();
        let mut news = |text: &str, open: &str, scope| {
            let mut rows = rows(text);
            for row in &mut rows {
                let line = row.line.as_ref().unwrap();
                row.open = open.contains(line.as_str());
                row.end = (!row.open && line != "F1").then_some(Timestamp(i64::from(line.as_bytes()[0])));
            }
            let news = known.news(&rows, true, scope, WINDOW, Timestamp(0));
            news.into_iter().map(|new| rows[new.row].line.clone().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(news("A1 b1", "A1 b1", Scope::All), "A1 b1");
        assert_eq!(news("A2 b2 C1 d1", "", Scope::Open), "A2 b2");
        assert_eq!(news("A3 b3 C1 d1 E1", "E1", Scope::Open), "E1");
        assert_eq!(news("A3 b3 C1 D1 F1", "", Scope::OpenSince(Timestamp(i64::from(b'D')))), "b3 D1 F1");
        assert_eq!(news("A3 C1", "", Scope::All), "A3 C1", "what was not given is not known");
    }
}
