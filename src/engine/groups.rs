//! The groups of one program: where they are kept, when each wants to be looked at, and which of them
//! is worth least.
//!
//! Nothing here knows what becomes of a group; [`super::program`] owns that. What is asked for in an
//! order comes in the same order in every process: by time, then by the bytes of the key.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::key::{ByKeyHash, GroupKey as Key};
use crate::alert::Change;
use crate::record::Timestamp;
use crate::rule::compile::Program;

/// What is noted of groups' worth, for each group there is, before it is noted anew: groups that
/// expire leave their note behind.
const NOTES_A_GROUP: usize = 4;

/// What decides which group goes: hits, last hit, key.
type Worth = (u64, Option<Timestamp>, Key);

/// Groups by key.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Groups {
    /// Apart from the table, which grows and is searched the sooner.
    table: HashMap<Key, Box<Group>, ByKeyHash>,
    /// When groups want to be looked at. Derived.
    #[serde(skip)]
    timers: BTreeSet<(Timestamp, Key)>,
    /// Groups by worth, perhaps out of date, least first. Derived; none until the bound is met.
    #[serde(skip)]
    by_worth: Option<BinaryHeap<Reverse<Worth>>>,
}

impl Groups {
    /// Makes again what a snapshot leaves out.
    pub fn wake(&mut self, program: &Program) {
        #[expect(clippy::iter_over_hash_type, reason = "fills a sorted set")]
        for (key, group) in &mut self.table {
            group.timer = group.next_timer(program);
            self.timers.extend(group.timer.map(|at| (at, key.clone())));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is a group of `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.table.contains_key(key)
    }

    /// Brings the group of `key` near. It decides nothing.
    pub fn glance(&self, key: &Key) -> Option<i64> {
        self.table.get(key).map(|group| group.glance())
    }

    /// The group of `key`, to be changed.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Group> {
        self.table.get_mut(key).map(|group| &mut **group)
    }

    /// Makes the group of `key`, which is not there.
    pub fn insert(&mut self, key: &Key) {
        self.table.insert(key.clone(), Box::default());
        if let Some(heap) = &mut self.by_worth {
            heap.push(Reverse((0, None, key.clone())));
        }
        if self.by_worth.as_ref().is_some_and(|heap| heap.len() / NOTES_A_GROUP > self.table.len()) {
            self.by_worth = None;
        }
    }

    /// Lets the group of `key` go, and its timer.
    pub fn remove(&mut self, key: &Key) {
        if let Some(timer) = self.table.remove(key).and_then(|group| group.timer) {
            self.timers.remove(&(timer, key.clone()));
        }
    }

    // --- timers

    /// The first instant at which a group wants to be looked at.
    pub fn first_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The groups that want to be looked at at the first such instant, by key. None of them has a timer
    /// any more: whoever looks at them sets the next.
    pub fn take_timers(&mut self) -> Vec<Key> {
        let Some(at) = self.first_timer() else { return Vec::new() };
        let mut keys = Vec::new();
        while self.first_timer() == Some(at) {
            let Some((_, key)) = self.timers.pop_first() else { break };
            if let Some(group) = self.table.get_mut(&key) {
                group.timer = None;
            }
            keys.push(key);
        }
        keys
    }

    /// The group of `key` wants to be looked at then, and at no other time.
    pub fn set_timer(&mut self, key: &Key, at: Option<Timestamp>) {
        let Some(group) = self.table.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut group.timer, at) {
            self.timers.remove(&(before, key.clone()));
        }
        self.timers.extend(at.map(|at| (at, key.clone())));
    }

    // --- worth

    /// The group of least worth: the one with fewest hits, of those the one whose last hit is oldest, then
    /// by key.
    pub fn quietest(&mut self) -> Option<Key> {
        let table = &self.table;
        let heap = self.by_worth.get_or_insert_with(|| {
            table.iter().map(|(key, group)| Reverse((group.hits, group.last, key.clone()))).collect()
        });
        // Worth only grows, so an entry that is out of date goes back with what it is worth now.
        while let Some(Reverse((hits, last, key))) = heap.pop() {
            let Some(group) = table.get(&key) else { continue };
            if (group.hits, group.last) == (hits, last) {
                return Some(key);
            }
            heap.push(Reverse((group.hits, group.last, key)));
        }
        None
    }

    /// What is remembered of groups besides them: timers, notes of worth.
    #[cfg(test)]
    pub fn remembered(&self) -> (usize, usize) {
        (self.timers.len(), self.by_worth.as_ref().map_or(0, BinaryHeap::len))
    }

    // --- all of them

    /// The groups as they are to one of the programs that look at their windows.
    pub fn apart(&self, place: usize) -> Self {
        let table: HashMap<Key, Box<Group>, ByKeyHash> =
            self.table.iter().map(|(key, group)| (key.clone(), Box::new(group.apart(place)))).collect();
        Self { table, timers: self.timers.clone(), by_worth: None }
    }

    /// Nobody else looks at their windows any more.
    pub fn leave_alike(&mut self) {
        #[expect(clippy::iter_over_hash_type, reason = "each by itself")]
        for group in self.table.values_mut() {
            group.leave_alike();
        }
    }

    /// Their open alerts, in no order.
    pub fn open(&self, program: &Program) -> Vec<Change> {
        self.table.values().filter_map(|group| group.open(program)).collect()
    }

    /// The keys of those whose alert is open, in no order.
    pub fn with_open(&self) -> Vec<Key> {
        self.table.iter().filter(|(_, group)| group.is_open()).map(|(key, _)| key.clone()).collect()
    }

    /// The keys of those that are in the rule's list, in no order.
    pub fn listed(&self) -> Vec<Key> {
        self.table.iter().filter(|(_, group)| group.is_listed()).map(|(key, _)| key.clone()).collect()
    }
}
