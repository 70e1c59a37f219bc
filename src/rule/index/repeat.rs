//! Texts of one field that came before, and what was found in them.
//!
//! So many texts are known: users and addresses are thousands, and each that is looked up may cost a miss of the
//! caches. Most are short: their two ends are all of them, and stand in the table themselves. It pays for
//! fields that hold the same texts again and again, and is given up for others, for good. A field costs at most
//! 256 KiB for short texts, and a megabyte where all are as long as may be.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use super::table::List;
use crate::record::fold::same;

/// Texts that are known at a time. One more, and all are forgotten.
const MOST: usize = 6_144;
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
    short: HashTable<Short>,
    long: HashTable<Known>,
    texts: String,
    lists: Vec<List>,
    asked: u32,
    again: u32,
    failed: u32,
    given_up: bool,
    state: foldhash::fast::RandomState,
}

/// A text that is not short, and the lists that were found in it.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: u32,
    text: u32,
    found: Found,
    len: u8,
}

/// Lists that were found, one after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    lists: u32,
    many: u8,
}

/// A text of no more than sixteen bytes: its ends, which overlap or meet, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    len: u8,
}

impl Ends {
    /// None of a longer text.
    #[inline]
    fn of(text: &[u8]) -> Option<Self> {
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let (first, last) = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) if text.len() <= 16 => (word(first), word(last)),
            (Some(_), _) | (_, Some(_)) => return None,
            (None, None) => {
                if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
                    (half(first), half(last))
                } else {
                    let byte = |at: usize| u64::from(text.get(at).copied().unwrap_or(0));
                    (byte(0) | byte(1) << 8 | byte(2) << 16, 0)
                }
            }
        };
        // Sixteen at most.
        u8::try_from(text.len()).ok().map(|len| Self { first, last, len })
    }
}

/// [`Ends`] and [`Found`], packed.
#[derive(Debug, Clone, Copy)]
struct Short {
    first: u64,
    last: u64,
    lists: u32,
    many: u8,
    len: u8,
}

impl Short {
    #[inline]
    fn ends(self) -> Ends {
        Ends { first: self.first, last: self.last, len: self.len }
    }

    #[inline]
    fn found(self) -> Found {
        Found { lists: self.lists, many: self.many }
    }
}

fn hash_of(state: &foldhash::fast::RandomState, ends: Ends) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u64(ends.first);
    hasher.write_u64(ends.last);
    hasher.finish()
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
        if self.given_up {
            return find(&mut tell);
        }
        let Some(ends) = Ends::of(text.as_bytes()) else { return self.look_long(text, tell, find) };
        self.asked += 1;
        let hash = hash_of(&self.state, ends);
        if let Some(short) = self.short.find(hash, |short| short.ends() == ends) {
            self.again += 1;
            let found = short.found();
            if found.many > 0 {
                let from = found.lists as usize;
                self.lists[from..from + usize::from(found.many)].iter().for_each(|list| tell(*list));
            }
        } else if let Some(Found { lists, many }) = self.learn(tell, find) {
            let Ends { first, last, len } = ends;
            let (new, state) = (Short { first, last, lists, many, len }, &self.state);
            self.short.insert_unique(hash, new, |short| hash_of(state, short.ends()));
        }
        if self.asked == TRIAL {
            self.judge();
        }
    }

    /// The same of a text of more than sixteen bytes.
    fn look_long(&mut self, text: &str, mut tell: impl FnMut(List), find: impl FnOnce(&mut dyn FnMut(List))) {
        let len = match u8::try_from(text.len()) {
            Ok(len) if text.len() <= LONGEST => len,
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
        if let Some(Known { found, .. }) = self.long.find(spread(hash), is_it) {
            self.again += 1;
            let from = found.lists as usize;
            self.lists[from..from + usize::from(found.many)].iter().for_each(|list| tell(*list));
        } else if let Some(found) = self.learn(tell, find) {
            let known = Known { hash, text: place(self.texts.len()), found, len };
            self.texts.push_str(text);
            self.long.insert_unique(spread(hash), known, |known| spread(known.hash));
        }
        if self.asked == TRIAL {
            self.judge();
        }
    }

    /// What is found in a text that is new; none if it is too much to know.
    #[inline(never)]
    fn learn(
        &mut self,
        mut tell: impl FnMut(List),
        find: impl FnOnce(&mut dyn FnMut(List)),
    ) -> Option<Found> {
        if self.short.len() + self.long.len() == MOST {
            self.forget();
        }
        let from = self.lists.len();
        find(&mut |list| {
            self.lists.push(list);
            tell(list);
        });
        let many = u8::try_from(self.lists.len() - from);
        if many.is_err() {
            self.lists.truncate(from);
        }
        many.ok().map(|many| Found { lists: place(from), many })
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
        self.short.clear();
        self.long.clear();
        self.texts.clear();
        self.lists.clear();
    }

    /// Texts that are known.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }
}

/// A place among what is known: bounded by texts that are, none longer and none with more lists than fit in
/// a byte.
fn place(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_texts_are_what_their_ends_are(one in "[ab]{0,17}", other in "[ab]{0,17}", same in any::<bool>()) {
            let other = if same { one.clone() } else { other };
            let ends = |text: &str| Ends::of(text.as_bytes());
            prop_assert_eq!(ends(&one).is_some(), one.len() <= 16);
            if let (Some(ends), Some(others)) = (ends(&one), ends(&other)) {
                prop_assert_eq!(ends == others, one == other);
            }
        }

        #[test]
        fn what_is_known_is_what_was_found(texts in prop::collection::vec("[a-c]{0,20}", 0..300)) {
            let mut repeats = Repeats::default();
            let different = texts.iter().collect::<std::collections::BTreeSet<_>>().len();
            prop_assert_eq!(looked_up(&mut repeats, texts.into_iter()) as usize, different);
            prop_assert_eq!(repeats.len(), different);
        }
    }

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
        let each = looked_up(
            &mut repeats,
            (0..PATIENCE * TRIAL).map(|number| format!("{number:07} comes but once")),
        );
        assert_eq!(each, PATIENCE * TRIAL);
        assert!(repeats.given_up && repeats.texts.capacity() == 0);
        assert_eq!(looked_up(&mut repeats, (0..10).map(|_| "10".to_owned())), 10);
    }

    #[test]
    fn thousands_that_come_again_are_remembered_and_no_more_than_so_many() {
        let mut repeats = Repeats::default();
        let users = u32::try_from(MOST / 2).unwrap();
        let names = |times: u32| (0..times * users).map(move |number| format!("user{}", number % users));
        assert_eq!(looked_up(&mut repeats, names(40)), users);
        let most = u32::try_from(MOST).unwrap();
        looked_up(&mut repeats, (0..most).map(|number| format!("stranger{number:0>12}")));
        assert!(!repeats.given_up && repeats.len() <= MOST);
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
