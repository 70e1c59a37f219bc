//! Which groups are worth least, for when there are too many: notes of what each is worth, perhaps out of
//! date, in few bytes. What a group is worth only grows.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::super::key::GroupKey as Key;
use crate::record::Timestamp;

/// Hits and last hit; of groups that have both in common, the first by key is worth least.
pub(super) type Worth = (u64, Option<Timestamp>);

/// What groups of one hash are worth.
pub(super) trait Worths {
    /// Keys of the groups whose keys have this hash, and what they are worth.
    fn of_hash(&self, hash: u64) -> Vec<(Key, Worth)>;
}

/// Notes of groups' worth.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// With the hash of the key, least first.
    heap: BinaryHeap<Reverse<(Worth, u64)>>,
    /// What the groups of `least` were worth when they were last looked at: less than all notes say.
    alike: Worth,
    least: BTreeSet<Key>,
}

impl Notes {
    /// Notes what a new group is worth.
    pub(super) fn add(&mut self, key: &Key, worth: Worth) {
        self.heap.push(Reverse((worth, key.hash())));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.heap.len() + self.least.len()
    }

    /// Bytes of them in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(Worth, u64)>() + self.least.len() * 2 * size_of::<Key>()
    }

    /// Takes out the group that is worth least.
    pub(super) fn least(&mut self, groups: &impl Worths) -> Option<Key> {
        loop {
            let noted = self.heap.peek().map(|Reverse((worth, _))| *worth);
            if self.least.is_empty() || noted.is_some_and(|noted| noted <= self.alike) {
                self.look_up(groups)?;
                continue;
            }
            let key = self.least.pop_first()?;
            let now = groups.of_hash(key.hash()).into_iter().find(|(other, _)| *other == key);
            match now {
                Some((_, worth)) if worth == self.alike => return Some(key),
                Some((_, worth)) => self.add(&key, worth),
                None => {}
            }
        }
    }

    /// Looks up the groups of the first note. None where there is none.
    fn look_up(&mut self, groups: &impl Worths) -> Option<()> {
        let Reverse((noted, hash)) = self.heap.pop()?;
        for (key, worth) in groups.of_hash(hash) {
            if worth != noted {
                // Where hashes agree there may be a note too many, which says nothing wrong.
                self.add(&key, worth);
                continue;
            }
            if !self.least.is_empty() && noted < self.alike {
                let (alike, later) = (self.alike, std::mem::take(&mut self.least));
                for key in &later {
                    self.add(key, alike);
                }
            }
            self.alike = noted;
            self.least.insert(key);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Groups(BTreeMap<Key, Worth>);

    impl Worths for Groups {
        fn of_hash(&self, hash: u64) -> Vec<(Key, Worth)> {
            self.0
                .iter()
                .filter(|(key, _)| key.hash() == hash)
                .map(|(key, worth)| (key.clone(), *worth))
                .collect()
        }
    }

    proptest! {
        #[test]
        fn the_group_of_least_worth_is_found_whatever_became_of_the_notes(
            steps in prop::collection::vec((0..4_u8, 0..8_u8, 0..3_i64), 0..80),
        ) {
            let (mut groups, mut notes, mut now) = (Groups::default(), Notes::default(), 0);
            for (what, number, later) in steps {
                let key = Key::new(&[number]);
                now += later;
                match (what, groups.0.get_mut(&key)) {
                    // A hit.
                    (0 | 1, Some(worth)) => *worth = (worth.0 + 1, Some(Timestamp(now))),
                    (0 | 1, None) => {
                        notes.add(&key, Worth::default());
                        groups.0.insert(key, (1, Some(Timestamp(now))));
                    }
                    // It expires.
                    (2, _) => drop(groups.0.remove(&key)),
                    _ => {
                        let least = groups.0.iter().min_by_key(|(key, worth)| (**worth, (*key).clone()));
                        let least = least.map(|(key, _)| key.clone());
                        prop_assert_eq!(notes.least(&groups), least.clone());
                        least.map(|key| groups.0.remove(&key));
                    }
                }
            }
        }
    }
}
