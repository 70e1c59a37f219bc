//! Texts of one field that came before, and what was found in them.
//!
//! So many texts are known by their hash, packed: users and addresses are thousands, and each that is looked
//! up may cost a miss of the caches. It pays for fields that hold the same texts again and again, and is
//! given up for others, for good.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use super::table::List;
use crate::record::fold::same;

/// Texts that are known at a time. One more, and all are forgotten.
const MOST: u32 = 8_192;
/// Longest text that is known: its length is a byte.
const LONGEST: usize = 128;
/// Texts after which it is seen whether it pays.
const TRIAL: u32 = 2_048;
/// So many texts of a trial must have come before.
const ENOUGH: u32 = TRIAL / 5 * 4;
/// Trials one after the other that may fail: thousands of texts come for the first time before they come again.
const PATIENCE: u32 = 8;

/// What is known of one field.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    table: HashTable<Known>,
    texts: String,
    lists: Vec<List>,
    asked: u32,
    again: u32,
    failed: u32,
    given_up: bool,
    state: foldhash::fast::RandomState,
}

/// A text, and the lists that were found in it.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u32,
    text: u32,
    lists: u32,
    len: u8,
    many: u8,
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
        let len = match u8::try_from(text.len()) {
            Ok(len) if !self.given_up && text.len() <= LONGEST => len,
            _ => return find(&mut tell),
        };
        self.asked += 1;
        let mut hasher = self.state.build_hasher();
        hasher.write(text.as_bytes());
        let full = hasher.finish();
        // The lower half; the table looks at both ends of what it is given.
        let hash = u32::try_from(full & u64::from(u32::MAX)).unwrap_or(0);
        let is_it = |known: &Known| {
            let from = known.text as usize;
            known.hash == hash && same(&self.texts[from..from + usize::from(known.len)], text)
        };
        if let Some(known) = self.table.find(spread(hash), is_it) {
            self.again += 1;
            let from = known.lists as usize;
            self.lists[from..from + usize::from(known.many)].iter().for_each(|list| tell(*list));
        } else {
            self.learn(text, (hash, len), tell, find);
        }
        if self.asked == TRIAL {
            self.judge();
        }
    }

    /// A text that is new.
    #[inline(never)]
    fn learn(
        &mut self,
        text: &str,
        (hash, len): (u32, u8),
        mut tell: impl FnMut(List),
        find: impl FnOnce(&mut dyn FnMut(List)),
    ) {
        if self.table.len() == MOST as usize {
            self.forget();
        }
        let from = self.lists.len();
        find(&mut |list| {
            self.lists.push(list);
            tell(list);
        });
        // Bounded by texts that are known, none longer and none with more lists than fit in a byte.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let Ok(many) = u8::try_from(self.lists.len() - from) else {
            self.lists.truncate(from);
            return;
        };
        let known = Known { hash, text: place(self.texts.len()), lists: place(from), len, many };
        self.texts.push_str(text);
        self.table.insert_unique(spread(hash), known, |known| spread(known.hash));
    }

    /// Whether it pays.
    #[cold]
    fn judge(&mut self) {
        self.failed = if self.again < ENOUGH { self.failed + 1 } else { 0 };
        if self.failed == PATIENCE {
            *self = Self { given_up: true, ..Self::default() };
        }
        (self.asked, self.again) = (0, 0);
    }

    fn forget(&mut self) {
        self.table.clear();
        self.texts.clear();
        self.lists.clear();
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of each text is what is found in it; how often it was looked for.
    fn looked_up(repeats: &mut Repeats, texts: impl Iterator<Item = String>) -> u32 {
        let mut looked_up = 0;
        for text in texts {
            let meant: Vec<List> = text.bytes().map(List::from).collect();
            let mut told = Vec::new();
            let find = |found: &mut dyn FnMut(List)| {
                looked_up += 1;
                for list in &meant {
                    found(*list);
                }
            };
            repeats.look(&text, |list| told.push(list), find);
            assert_eq!(told, meant);
        }
        looked_up
    }

    #[test]
    fn what_is_remembered_is_what_was_found() {
        let mut repeats = Repeats::default();
        let one = looked_up(&mut repeats, (0..2 * TRIAL).map(|_| "10".to_owned()));
        assert_eq!(one, 1);
        // Texts that never come again, for as long as it has patience.
        let each =
            looked_up(&mut repeats, (0..PATIENCE * TRIAL).map(|number| format!("{number} comes once")));
        assert_eq!(each, PATIENCE * TRIAL);
        assert!(repeats.given_up && repeats.texts.capacity() == 0);
        assert_eq!(looked_up(&mut repeats, (0..10).map(|_| "10".to_owned())), 10);
    }

    #[test]
    fn thousands_that_come_again_are_remembered_and_no_more_than_so_many() {
        let mut repeats = Repeats::default();
        let users = MOST / 2;
        let names = |times: u32| (0..times * users).map(move |number| format!("user{}", number % users));
        assert_eq!(looked_up(&mut repeats, names(40)), users);
        looked_up(&mut repeats, (0..MOST).map(|number| format!("stranger{number}")));
        assert!(!repeats.given_up && repeats.table.len() <= MOST as usize);
        assert!(looked_up(&mut repeats, names(40)) <= 2 * users);
        assert!(!repeats.given_up);
    }

    #[test]
    fn what_is_too_much_to_remember_is_found_each_time() {
        let mut repeats = Repeats::default();
        let longest = || "x".repeat(LONGEST + 1);
        assert_eq!(looked_up(&mut repeats, (0..5).map(|_| longest())), 5);
        let mut told = 0;
        for _ in 0..3 {
            repeats.look("many", |_| told += 1, |found| (0..300).for_each(found));
        }
        assert_eq!((told, repeats.lists.len()), (900, 0));
    }
}
