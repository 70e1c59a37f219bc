//! Hits that wait for the watermark.
//!
//! Most come a moment before they are judged, nearly in event order: they lie in one list, each put at its place.
//! What is further ahead lies by stretches of time, in no order, until the watermark comes near: in an archive the
//! ends of sessions come hours ahead of their time, and to keep all of them sorted costs as much as there are with
//! every step of the watermark.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::record::Timestamp;
use crate::rule::verb::{Entry, Order};

use super::super::key::GroupKey as Key;
use super::super::open::Open;

/// A hit that waits for the watermark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) key: Key,
    pub(super) entry: Entry,
    /// Where the past decides.
    pub(super) open: Option<Box<Open>>,
    /// It was written down as it is.
    #[serde(skip)]
    pub(super) written: bool,
}

impl Waiting {
    pub(super) fn order(&self) -> Order {
        self.entry.order()
    }
}

/// A hit that comes out of order is put among so many of the last that are near.
const NEAR: usize = 16;
/// So few hits may wait that there is always room for them.
const FEW: usize = 1 << 10;
/// As many are brought near at a time.
const MANY: usize = 1 << 12;
/// Milliseconds of a stretch: about a minute.
const STRETCH: i64 = 1 << 16;
/// Hits of a piece of a stretch.
const PIECE: usize = 64;
/// Stretches that are near, from that of the watermark on: more than what is read between two of its steps, and
/// what it stays behind, usually are.
const NEAR_STRETCHES: i64 = 4;

/// Hits that wait.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    /// Those before the stretch numbered `far_from`. They leave at the front, and the others stay where they lie.
    near: VecDeque<Waiting>,
    /// They are known to be in event order.
    in_order: bool,
    /// The others, by the number of their stretch, in no order: in pieces, which need not be moved to grow.
    far: BTreeMap<i64, Vec<Vec<Waiting>>>,
    far_from: i64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { near: VecDeque::new(), in_order: true, far: BTreeMap::new(), far_from: i64::MIN }
    }
}

fn stretch(at: Timestamp) -> i64 {
    at.0.div_euclid(STRETCH)
}

impl Queue {
    /// Puts a hit among those that wait: at its place, if that is near the end of those that are near.
    pub(super) fn push(&mut self, hit: Waiting) {
        let number = stretch(hit.entry.at);
        if number >= self.far_from {
            let pieces = self.far.entry(number).or_default();
            if let Some(piece) = pieces.last_mut().filter(|piece| piece.len() < PIECE) {
                piece.push(hit);
            } else {
                // Little, at first: where hits are few there are as many stretches.
                let mut piece = Vec::with_capacity(if pieces.is_empty() { 1 } else { PIECE });
                piece.push(hit);
                pieces.push(piece);
            }
            return;
        }
        let (order, near) = (hit.order(), self.near.len().saturating_sub(NEAR));
        let later = self.near.range(near..).rev().take_while(|other| other.order() > order).count();
        let place = self.near.len() - later;
        // What is no nearer is found by sorting.
        self.in_order &= place > near || near == 0;
        self.near.insert(place, hit);
    }

    /// Takes out some that are due at `watermark`, in event order, with what is near besides: how many are due,
    /// and whether there are more of them. The others are to be [put back](Self::put_back).
    pub(super) fn take(&mut self, watermark: Timestamp) -> (VecDeque<Waiting>, usize, bool) {
        if !self.in_order {
            // Mostly sorted already, which the sort makes use of.
            self.near.make_contiguous().sort_by_key(Waiting::order);
            self.in_order = true;
        }
        let until = stretch(watermark).saturating_add(NEAR_STRETCHES);
        while let Some(next) = self.far.first_entry().filter(|next| *next.key() < until) {
            // At the end of a file all that is far is due at once.
            if self.near.len() >= MANY {
                break;
            }
            self.far_from = next.key() + 1;
            let before = self.near.len();
            self.near.extend(next.remove().into_iter().flatten());
            self.near.make_contiguous()[before..].sort_by_key(Waiting::order);
        }
        let more = self.far.first_key_value().is_some_and(|(next, _)| *next <= stretch(watermark));
        if self.far.first_key_value().is_none_or(|(next, _)| *next >= until) {
            self.far_from = self.far_from.max(until);
        }
        let due = self.near.partition_point(|hit| hit.entry.at <= watermark);
        (std::mem::take(&mut self.near), due, more)
    }

    /// Takes back what was taken out and is not due, in order. The room of many is given back, once there are few.
    pub(super) fn put_back(&mut self, mut near: VecDeque<Waiting>) {
        let most = near.len() * 4;
        if near.capacity() > most.max(FEW) {
            near.shrink_to(most / 2);
        }
        self.near = near;
    }

    /// All of them: the near ones, then the others by stretch.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.near.iter().chain(self.far.values().flatten().flatten())
    }

    /// The same to be changed, but for their times.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.near.iter_mut().chain(self.far.values_mut().flatten().flatten())
    }

    /// Keeps those that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&Waiting) -> bool) {
        self.near.retain(&keep);
        self.far.retain(|_, pieces| {
            for piece in &mut *pieces {
                piece.retain(&keep);
            }
            pieces.retain(|piece| !piece.is_empty());
            !pieces.is_empty()
        });
    }

    /// Hits that there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.near.capacity() + self.far.values().flatten().map(Vec::capacity).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Locator, Phase, RecordId};
    use crate::rule::verb::NO_SEAT;

    fn hit(at: i64, id: u8) -> Waiting {
        let entry = Entry {
            at: Timestamp(at),
            phase: Phase::Start,
            id: RecordId([id; 16]),
            locator: Locator(0),
            marks: 0,
            clears: false,
            aside: false,
            seat: NO_SEAT,
            values: [].into(),
        };
        Waiting { key: Key::new(b""), entry, open: None, written: false }
    }

    proptest! {
        #[test]
        fn hits_come_in_event_order_as_the_watermark_reaches_them(
            steps in prop::collection::vec(
                (prop::collection::vec((-STRETCH..20 * STRETCH, any::<u8>()), 0..30), 0..3 * STRETCH),
                1..12,
            ),
        ) {
            let (mut queue, mut waiting, mut watermark) = (Queue::default(), Vec::new(), -STRETCH);
            for (hits, step) in steps {
                for (ahead, id) in hits {
                    let hit = hit(watermark + 1 + ahead.max(0), id);
                    waiting.push(hit.order());
                    queue.push(hit);
                }
                watermark += step;
                let (mut given, mut more) = (Vec::<Order>::new(), true);
                while more {
                    let (mut near, due, others) = queue.take(Timestamp(watermark));
                    given.extend(near.drain(..due).map(|hit| hit.order()));
                    queue.put_back(near);
                    more = others;
                }
                waiting.sort_unstable();
                let rest = waiting.split_off(waiting.partition_point(|order| order.0.0 <= watermark));
                prop_assert_eq!(given, std::mem::replace(&mut waiting, rest));
                prop_assert_eq!(queue.iter().count(), waiting.len());
                prop_assert!(queue.capacity() >= waiting.len());
            }
        }
    }

    #[test]
    fn what_is_not_kept_goes_wherever_it_lies() {
        let mut queue = Queue::default();
        queue.push(hit(1, 1));
        let (near, ..) = queue.take(Timestamp(0));
        queue.put_back(near);
        queue.push(hit(2, 2));
        queue.push(hit(i64::MAX, 3));
        queue.push(hit(9 * STRETCH, 4));
        queue.retain(|hit| hit.entry.at.0 > 1 && hit.entry.at.0 < i64::MAX);
        assert_eq!(queue.iter().map(|hit| hit.entry.at.0).collect::<Vec<_>>(), [2, 9 * STRETCH]);
        let (near, due, more) = queue.take(Timestamp::MAX);
        assert_eq!((near.len(), due, more), (2, 2, false));
    }

    #[test]
    fn what_is_due_at_once_is_given_by_and_by() {
        let mut queue = Queue::default();
        let many = 3 * i64::try_from(MANY).unwrap();
        for at in (0..many).rev() {
            queue.push(hit(at * STRETCH / 1024, 0));
        }
        let (mut given, mut times, mut more) = (Vec::new(), 0, true);
        while more {
            let (mut near, due, others) = queue.take(Timestamp(many * STRETCH / 1024 - 1));
            assert!(near.len() <= MANY + 1024);
            given.extend(near.drain(..due).map(|hit| hit.entry.at.0));
            queue.put_back(near);
            (times, more) = (times + 1, others);
        }
        assert!(given.iter().copied().eq((0..many).map(|at| at * STRETCH / 1024)) && times > 2, "{times}");
        // What comes now and is not far goes to its place.
        queue.push(hit(many * STRETCH / 1024, 0));
        assert!(queue.far.is_empty());
    }
}
