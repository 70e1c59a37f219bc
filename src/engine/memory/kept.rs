//! How a memory is written down and read again: its groups apart from the rest, all of them or those that
//! changed.

use std::collections::BTreeSet;

use super::super::checkpoint::{BadSnapshot, Items, Kind, Pieces};
use super::{Key, Known, MemoryState};

/// Groups in one item.
const GROUPS: usize = 64;

impl MemoryState {
    /// Writes groups; those that have changed, unless it is the whole state.
    pub(in crate::engine) fn write(
        &self,
        number: usize,
        whole: bool,
        pieces: &mut Pieces,
    ) -> Result<(), BadSnapshot> {
        let changed = self.changed.as_ref().filter(|_| !whole);
        let groups: Vec<(&Key, Option<&Known>)> = match changed {
            Some(changed) => changed.iter().map(|key| (key, self.groups.get(key))).collect(),
            None => self.groups.iter().map(|(key, known)| (key, Some(known))).collect(),
        };
        if changed.is_none() {
            pieces.add(Kind::Known, &(number, true, &groups[..0]))?;
        }
        Ok(groups.chunks(GROUPS).try_for_each(|groups| pieces.add(Kind::Known, &(number, false, groups)))?)
    }

    /// What changes from now on is written next time.
    pub fn note_anew(&mut self) {
        self.changed = Some(BTreeSet::new());
    }

    /// Takes over what is written apart from `before`, the same memory's state.
    pub fn take_apart(&mut self, before: Self) {
        self.groups = before.groups;
    }

    /// Takes in groups, and lets others go.
    pub(in crate::engine) fn read(&mut self, items: &mut Items<'_>) -> Result<(), BadSnapshot> {
        let (clear, groups): (bool, Vec<(Key, Option<Known>)>) = items.take()?;
        if clear {
            self.groups.clear();
        }
        for (key, known) in groups {
            match known {
                Some(known) => drop(self.groups.insert(key, known)),
                None => drop(self.groups.remove(&key)),
            }
        }
        Ok(())
    }
}
