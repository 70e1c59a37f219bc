//! What is remembered of values: when successes had them, for conditions that ask `new`, `known` or
//! `unseen_for`.
//!
//! Uses are taken in as records arrive and settle in event order as rules go on, so that what is let
//! go when there is too much depends on neither order nor batching. Answers are of the uses before a
//! record, whether settled or not. Nothing is forgotten by age: a user who comes back after a year is
//! the one that `unseen_for` is about.
//!
//! A memory that is a rule's own leaves out the records of that rule's high alerts, which are known
//! when they are judged: before any later record is. What comes too late to be judged teaches it
//! nothing.

mod kept;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{ByKeyHash, GroupKey as Key};
use crate::record::{Millis, Timestamp};
use crate::rule::past::Uses;
use crate::rule::verb::{MAX_VALUES, Order, Values};

/// Uses of one value that are remembered one by one, for late records; older ones as the last of them.
const MAX_RECENT: usize = 64;

/// What decides which group goes: uses, last use, key.
type Worth = (u64, Timestamp, Key);

/// State of one memory. Groups are written down apart: see [`kept`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MemoryState {
    #[serde(skip)]
    groups: HashMap<Key, Known, ByKeyHash>,
    /// Uses that have not settled.
    ahead: BTreeSet<(Order, Key, Arc<str>)>,
    /// Records that teach nothing, for as long as they may come again.
    left_out: BTreeSet<Order>,
    /// Uses up to here have settled.
    settled: Option<Timestamp>,
    /// Groups that went because there were too many.
    pub groups_evicted: u64,
    /// Values that a group forgot because it had too many.
    pub values_dropped: u64,
    full: bool,
    /// Groups by worth, perhaps out of date, least first. Derived; none until the bound is met.
    #[serde(skip)]
    by_worth: Option<BinaryHeap<Reverse<Worth>>>,
    /// Groups that changed or went since all were written down; none: nobody knows.
    #[serde(skip)]
    changed: Option<BTreeSet<Key>>,
}

/// One group's values.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    uses: u64,
    last: Timestamp,
    values: Values<Used>,
}

/// When one value was used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Used {
    first: Timestamp,
    /// The last use of those that no late record can come before.
    folded: Option<Timestamp>,
    /// The others, in event order.
    recent: Vec<Order>,
}

impl Used {
    /// Takes in a use; false if it is known.
    fn add(&mut self, order: Order, horizon: Millis) -> bool {
        let place = self.recent.partition_point(|other| *other < order);
        if self.recent.get(place) == Some(&order) {
            return false;
        }
        self.first = self.first.min(order.0);
        self.recent.insert(place, order);
        let newest = self.recent.last().map_or(order.0, |newest| newest.0);
        let old = self.recent.iter().take_while(|use_| use_.0 + horizon <= newest).count();
        let surplus = self.recent.len().saturating_sub(MAX_RECENT);
        if let Some(last) = self.recent.drain(..old.max(surplus)).next_back() {
            self.folded = self.folded.max(Some(last.0));
        }
        true
    }

    fn last(&self) -> Timestamp {
        self.recent.last().map(|order| order.0).max(self.folded).unwrap_or(self.first)
    }

    /// Takes a use back; true if nothing is left.
    fn take_back(&mut self, order: Order) -> bool {
        self.recent.retain(|other| *other != order);
        if self.folded.is_none() {
            self.first = self.recent.first().map_or(self.first, |first| first.0);
        }
        self.recent.is_empty() && self.folded.is_none()
    }

    /// The uses before `order`.
    fn before(&self, order: Order) -> Option<Uses> {
        let recent = self.recent.iter().rev().find(|use_| **use_ < order).map(|use_| use_.0);
        let last = recent.or(self.folded.filter(|folded| *folded < order.0));
        // What was folded is known by its ends alone.
        let last = last.or((self.folded.is_some() && self.first < order.0).then_some(self.first));
        last.map(|last| Uses { first: self.first, last })
    }
}

impl MemoryState {
    /// Takes in a use of `value`; `horizon` is how late a record may come. What came of its group being
    /// one too many is the answer: the bound is met for the first time since there was room.
    pub fn learn(&mut self, order: Order, key: Key, value: Arc<str>, limit: usize, horizon: Millis) -> bool {
        if self.left_out.contains(&order) {
            return false;
        }
        if self.settled.is_some_and(|settled| order.0 <= settled) {
            return self.settle_one(order, &key, &value, limit, horizon);
        }
        self.ahead.insert((order, key, value));
        false
    }

    /// Whether a record of this time comes too late to be judged, all having been judged that has settled.
    pub fn is_too_late(&self, at: Timestamp, horizon: Millis) -> bool {
        self.settled.is_some_and(|settled| at + horizon <= settled)
    }

    /// The record at `order` is of a high alert that is open: it teaches nothing.
    pub fn leave_out(&mut self, order: Order) {
        self.left_out.insert(order);
        let first = (order, Key::new(&[]), Arc::from(""));
        let of_it = self.ahead.range(first..).take_while(|use_| use_.0 == order);
        for use_ in of_it.cloned().collect::<Vec<_>>() {
            self.ahead.remove(&use_);
        }
        if self.settled.is_some_and(|settled| order.0 <= settled) {
            // It, or one before it, came late, which is seldom: what a group is worth stays as it was.
            self.changed = None;
            #[expect(clippy::iter_over_hash_type, reason = "each by itself")]
            for known in self.groups.values_mut() {
                known.values.retain(|_, used| !used.recent.contains(&order) || !used.take_back(order));
            }
        }
    }

    /// When `value` was used before the record at `order`.
    pub fn uses(&self, order: Order, key: &Key, value: &Arc<str>) -> Option<Uses> {
        let settled = self
            .groups
            .get(key)
            .and_then(|known| known.values.get(value))
            .and_then(|used| used.before(order));
        let mut uses = settled;
        for (at, ..) in self
            .ahead
            .iter()
            .take_while(|use_| use_.0 < order)
            .filter(|use_| use_.1 == *key && use_.2 == *value)
        {
            let at = at.0;
            uses = Some(uses.map_or(Uses { first: at, last: at }, |uses| Uses {
                first: uses.first.min(at),
                last: uses.last.max(at),
            }));
        }
        uses
    }

    /// Settles the uses up to `until`, in event order. When the bound was met, if it was.
    pub fn settle(&mut self, until: Timestamp, limit: usize, horizon: Millis) -> Option<Timestamp> {
        if self.settled.is_some_and(|settled| settled >= until) {
            return None;
        }
        self.settled = Some(until);
        while self.left_out.first().is_some_and(|order| self.is_too_late(order.0, horizon)) {
            self.left_out.pop_first();
        }
        let mut full = None;
        while self.ahead.first().is_some_and(|(order, ..)| order.0 <= until) {
            let Some((order, key, value)) = self.ahead.pop_first() else { break };
            if self.settle_one(order, &key, &value, limit, horizon) {
                full = full.or(Some(order.0));
            }
        }
        full
    }

    fn settle_one(
        &mut self,
        order: Order,
        key: &Key,
        value: &Arc<str>,
        limit: usize,
        horizon: Millis,
    ) -> bool {
        let mut told = false;
        if !self.groups.contains_key(key) {
            if self.groups.len() >= limit {
                told = !self.full;
                self.full = true;
                self.let_one_go();
            } else {
                self.full = false;
            }
            let known = Known { uses: 0, last: order.0, values: Values::default() };
            self.groups.insert(key.clone(), known);
            if let Some(heap) = &mut self.by_worth {
                heap.push(Reverse((0, order.0, key.clone())));
            }
        }
        self.note(key);
        let Some(known) = self.groups.get_mut(key) else { return told };
        let new = || Used { first: order.0, folded: None, recent: Vec::new() };
        if known.values.entry(value.clone()).or_insert_with(new).add(order, horizon) {
            known.uses += 1;
            known.last = known.last.max(order.0);
        }
        if known.values.len() > MAX_VALUES {
            self.values_dropped += known.shrink(value);
        }
        told
    }

    /// Notes that the group of `key` changed or went.
    fn note(&mut self, key: &Key) {
        let Some(changed) = &mut self.changed else { return };
        if !changed.contains(key) {
            changed.insert(key.clone());
        }
        if changed.len() > self.groups.len() {
            // To write all of them down takes less.
            self.changed = None;
        }
    }

    /// Lets the group of least worth go.
    fn let_one_go(&mut self) {
        let groups = &self.groups;
        let heap = self.by_worth.get_or_insert_with(|| {
            groups.iter().map(|(key, known)| Reverse((known.uses, known.last, key.clone()))).collect()
        });
        // Worth only grows, so an entry that is out of date goes back with what it is worth now.
        while let Some(Reverse((uses, last, key))) = heap.pop() {
            let Some(known) = self.groups.get(&key) else { continue };
            if (known.uses, known.last) != (uses, last) {
                heap.push(Reverse((known.uses, known.last, key)));
                continue;
            }
            self.groups.remove(&key);
            self.groups_evicted += 1;
            return self.note(&key);
        }
    }

    /// Groups it holds.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }
}

impl Known {
    /// Lets a tenth of the values go, those longest unused, but not `newest`; how many.
    fn shrink(&mut self, newest: &Arc<str>) -> u64 {
        let mut unused: Vec<(Timestamp, Arc<str>)> = Vec::with_capacity(self.values.len());
        #[expect(clippy::iter_over_hash_type, reason = "sorted before it is used")]
        for (value, used) in &self.values {
            unused.push((used.last(), value.clone()));
        }
        unused.sort_unstable();
        let before = self.values.len();
        let goes = unused.into_iter().map(|(_, value)| value).filter(|value| value != newest);
        for value in goes.take(before - MAX_VALUES / 10 * 9) {
            self.values.remove(&value);
        }
        (before - self.values.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, RecordId};

    fn order(at: i64, id: u8) -> Order {
        (Timestamp(at), Phase::Start, RecordId([id; 16]))
    }

    fn key(name: &str) -> Key {
        Key::new(name.as_bytes())
    }

    #[test]
    fn an_answer_is_of_the_uses_before_the_record_whether_settled_or_not() {
        let (ana, value) = (key("ana"), Arc::from("pc"));
        let mut memory = MemoryState::default();
        let learn = |memory: &mut MemoryState, at, id| {
            memory.learn(order(at, id), ana.clone(), Arc::clone(&value), 10, Millis(100));
        };
        learn(&mut memory, 20, 1);
        learn(&mut memory, 10, 1);
        let asked = |memory: &MemoryState, at, id| {
            memory.uses(order(at, id), &key("ana"), &Arc::from("pc")).map(|uses| (uses.first.0, uses.last.0))
        };
        for until in [5, 10, 20, 30] {
            memory.settle(Timestamp(until), 10, Millis(100));
            assert_eq!(asked(&memory, 10, 0), None, "settled to {until}");
            assert_eq!(asked(&memory, 10, 2), Some((10, 10)), "settled to {until}");
            assert_eq!(asked(&memory, 15, 0), Some((10, 10)), "settled to {until}");
            assert_eq!(asked(&memory, 25, 0), Some((10, 20)), "settled to {until}");
        }
        learn(&mut memory, 12, 1);
        assert_eq!(asked(&memory, 15, 0), Some((10, 12)), "a late use is put in at its own time");
        assert_eq!(asked(&memory, 10, 1), None);
    }

    #[test]
    fn a_flood_of_names_leaves_the_ones_that_are_used_again_and_again() {
        let mut memory = MemoryState::default();
        let pc: Arc<str> = Arc::from("pc");
        let (mut told, mut id) = (0, 0_u8);
        for at in 0..1_000_i64 {
            id = id.wrapping_add(1);
            memory.learn(order(at, id), key(&format!("invented-{at}")), pc.clone(), 10, Millis(5));
            if at < 3 {
                memory.learn(order(at, id), key("ana"), pc.clone(), 10, Millis(5));
            }
            told += u32::from(memory.settle(Timestamp(at), 10, Millis(5)).is_some());
        }
        assert_eq!((memory.groups(), memory.groups_evicted, told), (10, 991, 1));
        assert!(memory.uses(order(2_000, 0), &key("ana"), &pc).is_some());
        assert!(memory.by_worth.as_ref().is_some_and(|heap| heap.len() <= 11));
    }

    #[test]
    fn a_group_forgets_the_values_longest_unused_and_counts_them() {
        let mut memory = MemoryState::default();
        let last = i64::try_from(MAX_VALUES).unwrap();
        for at in 0..=last {
            memory.learn(order(at, 0), key("ana"), at.to_string().into(), 10, Millis(5));
        }
        memory.settle(Timestamp(last), 10, Millis(5));
        assert_eq!(memory.values_dropped, 1_001);
        let knows =
            |value: i64| memory.uses(order(last + 1, 0), &key("ana"), &value.to_string().into()).is_some();
        assert!(!knows(0) && !knows(1_000) && knows(1_001) && knows(last));
    }
}
