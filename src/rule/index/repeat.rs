//! Texts of one field that came before, and what was found in them.
//!
//! A fixed number of places, each for one text; a text that has no place is looked up. It pays for
//! fields that hold the same texts again and again, and is given up for others, for good.

use std::hash::{BuildHasher, Hasher};

use super::table::List;
use crate::record::fold::same;

/// Places for texts; a power of two.
const PLACES: usize = 512;
/// Longest text that has a place.
const LONGEST: usize = 128;
/// Texts after which it is seen whether it pays.
const TRIAL: u32 = 2_048;
/// So many texts of a trial must have come before.
const ENOUGH: u32 = TRIAL / 5 * 4;

/// What is remembered of one field.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    places: Vec<Place>,
    asked: u32,
    known: u32,
    given_up: bool,
    state: foldhash::fast::RandomState,
}

#[derive(Debug, Clone, Default)]
struct Place {
    taken: bool,
    text: String,
    lists: Vec<List>,
}

impl Repeats {
    /// Tells the lists of `text`: those that were found before, else those that `find` finds.
    #[inline]
    pub(super) fn look(
        &mut self,
        text: &str,
        mut tell: impl FnMut(List),
        find: impl FnOnce(&mut dyn FnMut(List)),
    ) {
        if self.given_up || text.len() > LONGEST {
            find(&mut tell);
            return;
        }
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::default());
        }
        self.asked += 1;
        if self.asked == TRIAL {
            self.given_up = self.known < ENOUGH;
            (self.asked, self.known) = (0, 0);
        }
        let mut hasher = self.state.build_hasher();
        hasher.write(text.as_bytes());
        let number = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0);
        let place = &mut self.places[number];
        if place.taken && same(&place.text, text) {
            self.known += 1;
        } else {
            place.taken = true;
            place.text.clear();
            place.text.push_str(text);
            place.lists.clear();
            find(&mut |list| place.lists.push(list));
        }
        for list in &place.lists {
            tell(*list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_found() {
        let mut repeats = Repeats::default();
        let mut looked_up = 0;
        // First one text again and again, then as many that never come again.
        for number in 0..4 * TRIAL {
            let text = if number < 2 * TRIAL { "10".to_owned() } else { format!("{number}") };
            let meant: Vec<List> = text.bytes().map(List::from).collect();
            let mut told = Vec::new();
            let find = |found: &mut dyn FnMut(List)| {
                looked_up += 1;
                for list in &meant {
                    found(*list);
                }
            };
            repeats.look(&text, &mut |list| told.push(list), find);
            assert_eq!(told, meant);
        }
        assert!(repeats.given_up);
        assert_eq!(looked_up, 2 * TRIAL + 1);
    }
}
