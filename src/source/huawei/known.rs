//! Which rows were given already, and in which version, so that readings repeat little.
//!
//! Also tells equal twins apart: rows without a key of their own that have the same identity get
//! numbers, and keep them from one reading to the next as long as they are remembered. Forgetting
//! costs repeats, never a row.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::place::{Hour, Place};
use crate::record::{Millis, RowId, Timestamp};

/// Rows that are remembered; beyond it all are forgotten and given again.
const MAX_KNOWN: usize = 500_000;
/// Rows with one identity that are told apart.
const MAX_TWINS: usize = 256;

/// One row of a page.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub id: RowId,
    pub version: u64,
    pub start: Timestamp,
    /// True where the row has a key of the vendor's: two of them are one row.
    pub keyed: bool,
    /// Which page of the lane's it stood on: pages are numbered as they come, whatever the walk.
    pub page: u64,
    /// The row as it was served; none where it is known.
    pub line: Option<String>,
}

/// What is remembered of a row, or of all its twins.
#[derive(Debug, Clone)]
struct Seen {
    /// Of a row with a key: the versions that the last walk showed. Else one a twin.
    versions: Vec<u64>,
    start: Timestamp,
    /// When it was last read.
    at: Timestamp,
    /// The last page it stood on.
    page: u64,
}

impl Seen {
    fn new(start: Timestamp) -> Self {
        Self { versions: Vec::new(), start, at: start, page: 0 }
    }
}

/// The rows that are remembered.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<RowId, Seen>,
}

impl Known {
    /// True when the row is no news, whichever twin it is: `before` rows like it came before it in
    /// the same pass.
    pub fn is_old(&self, id: RowId, version: u64, before: usize) -> bool {
        let same = |seen: &Seen| seen.versions.iter().filter(|known| **known == version).count();
        self.rows.get(&id).is_some_and(|seen| same(seen) > before)
    }

    /// Sorts out what is new of the rows of a walk, and remembers them: (which row, which twin). With
    /// `whole`, rows of different pages are different rows; else only those of one page are. What another
    /// walk has read later counts; rows that were held back since before are no news.
    pub fn news(&mut self, rows: &[Found], whole: bool, now: Timestamp) -> Vec<(usize, u32)> {
        if self.rows.len() > MAX_KNOWN {
            self.rows.clear();
        }
        let mut groups: IndexMap<RowId, Vec<usize>> = IndexMap::new();
        for (number, row) in rows.iter().enumerate() {
            groups.entry(row.id).or_default().push(number);
        }
        let mut news = Vec::new();
        for (id, group) in groups {
            let first = &rows[group[0]];
            let seen = self.rows.entry(id).or_insert_with(|| Seen::new(first.start));
            let group: Vec<usize> = group.into_iter().filter(|row| rows[*row].page >= seen.page).collect();
            let Some(last) = group.iter().map(|row| rows[*row].page).max() else { continue };
            (seen.at, seen.page) = (now, last);
            if first.keyed {
                let mut versions = Vec::new();
                for number in group.into_iter().take(MAX_TWINS) {
                    let version = rows[number].version;
                    if !versions.contains(&version) {
                        versions.push(version);
                        if !seen.versions.contains(&version) {
                            news.push((number, 0));
                        }
                    }
                }
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

    /// Forgets what is neither of an open hour nor was read in the last `within`.
    pub fn forget(&mut self, now: Timestamp, within: Millis, place: &Place) {
        self.rows.retain(|_, seen| seen.at + within >= now || place.is_open(Hour::of(seen.start)));
    }
}

/// Gives numbers to rows that are different though they have one identity: those that are known
/// keep theirs, the others get the lowest that are free.
fn number_twins(rows: &[Found], group: &[usize], versions: &mut Vec<u64>, news: &mut Vec<(usize, u32)>) {
    let mut taken = vec![false; versions.len()];
    let mut rest = Vec::new();
    for number in group {
        let known =
            (0..versions.len()).find(|twin| !taken[*twin] && versions[*twin] == rows[*number].version);
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
        if twin == versions.len() {
            versions.push(0);
            taken.push(false);
        }
        versions[twin] = rows[number].version;
        taken[twin] = true;
        news.push((number, u32::try_from(twin).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a walk in the manner of `a1 b1 | a1`: identity, version, pages between bars; those
    /// with a capital letter have a key.
    fn rows(text: &str) -> Vec<Found> {
        let mut rows = Vec::new();
        for (page, words) in (1..).zip(text.split('|')) {
            for word in words.split_whitespace() {
                let (id, version) = (word.as_bytes()[0], word[1..].parse().unwrap());
                let keyed = id.is_ascii_uppercase();
                let line = Some(word.to_owned());
                rows.push(Found { id: RowId([id; 16]), version, start: Timestamp(0), keyed, page, line });
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
            let news = known.news(&rows, *whole, Timestamp(0));
            let news: Vec<String> = news
                .into_iter()
                .map(|(row, twin)| format!("{}.{twin}", rows[row].line.as_ref().unwrap()))
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
    fn what_was_held_back_while_another_walk_read_on_is_no_news() {
        let mut known = Known::default();
        let read_later =
            |text: &str| rows(text).into_iter().map(|row| Found { page: 9, ..row }).collect::<Vec<_>>();
        assert_eq!(known.news(&read_later("A2 b2"), true, Timestamp(0)).len(), 2);
        assert_eq!(known.news(&rows("A1 b1 C1"), true, Timestamp(0)), [(2, 0)]);
        assert!(known.is_old(RowId([b'A'; 16]), 2, 0));
    }

    #[test]
    fn rows_of_open_hours_are_remembered_and_others_forgotten() {
        let mut known = Known::default();
        let (now, day) = (Timestamp(Millis::days(1).0), Millis::days(1));
        known.news(&rows("a1"), true, Timestamp(0));
        let mut place = Place::new(now);
        place.opened(Hour::of(Timestamp(0)), now);
        known.forget(now + day, Millis::mins(15), &place);
        assert!(known.is_old(RowId([b'a'; 16]), 1, 0) && !known.is_old(RowId([b'a'; 16]), 1, 1));
        known.forget(now + day, Millis::mins(15), &Place::new(now));
        assert!(!known.is_old(RowId([b'a'; 16]), 1, 0));
    }
}
