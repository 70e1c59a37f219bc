//! The hits that a group looks back on: where the window begins, what leaves it, what is kept.

use std::sync::Arc;

use crate::record::Timestamp;
use crate::rule::verb::{Entry, Judge as _, MAX_RECORDS, Reach, Tally, Verb};

use super::{Firing, Group, Surroundings};

impl Group {
    /// Makes the tally again where a snapshot or a late hit left none.
    pub(super) fn wake(&mut self, verb: &Verb) {
        if verb.tallies() && self.tally.is_none() {
            let tally = match verb.reach() {
                Reach::Bucket(_) | Reach::Learned => self.poured(self.live().len(), verb),
                Reach::Time(_)
                | Reach::Last(..)
                | Reach::Records(_)
                | Reach::Pair(_)
                | Reach::Folded
                | Reach::Alone => {
                    let mut tally = Tally::default();
                    for entry in self.live()[self.low..].iter().filter(|entry| !entry.clears) {
                        verb.push(&mut tally, entry);
                    }
                    tally
                }
            };
            self.tally = Some(Box::new(tally));
        }
    }

    /// What the hits before entry number `end` have poured into a bucket, or taught, found from the
    /// entries and what older ones left.
    pub(super) fn poured(&self, end: usize, verb: &Verb) -> Tally {
        let mut tally = verb.tally_after(&self.base);
        for entry in self.live()[..end].iter().filter(|entry| !entry.clears) {
            self.pour(&mut tally, entry, verb);
        }
        tally
    }

    /// Pours one more entry; one that fired has emptied the bucket.
    pub(super) fn pour(&self, tally: &mut Tally, entry: &Entry, verb: &Verb) {
        verb.push(tally, entry);
        if self.tipped(entry) {
            tally.bucket.empty();
        }
    }

    /// The first entry that is in the bucket.
    pub(super) fn bucket_start(&self, tally: &Tally) -> usize {
        let oldest = tally.bucket.oldest();
        self.live().partition_point(|entry| oldest.is_none_or(|oldest| entry.order() < oldest))
    }

    pub(super) fn push(&mut self, entry: Entry, verb: &Verb) {
        let at = entry.at;
        self.append(entry);
        // Where it lies: to be copied right after a change of a part of it costs more than all else.
        if let Some(entry) = self.entries.last_mut() {
            verb.seat(&mut self.base, entry);
            if let Some(tally) = &mut self.tally {
                verb.push(tally, entry);
            }
        }
        let end = self.live().len();
        let low = match verb.reach() {
            Reach::Time(within) => self.first_after(at - within),
            Reach::Last(last, within) => self.first_after(at - within).max(end.saturating_sub(last)),
            Reach::Records(keep) => end.saturating_sub(keep),
            Reach::Bucket(_) => self.tally.as_deref().map_or(0, |tally| self.bucket_start(tally)),
            Reach::Pair(within) => self.first_after(at - within).max(end.saturating_sub(2)),
            Reach::Folded | Reach::Learned => 0,
            Reach::Alone => end - 1,
        };
        self.narrow(low, verb);
    }

    /// Adds an entry. The first takes room for one, and where there is no more room, the places of those that
    /// have left are used again before there is more of it: many groups share the memory.
    pub(super) fn append(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            if self.head * 4 > self.entries.len() {
                self.entries.drain(..self.head);
                self.head = 0;
            } else {
                let more = if self.entries.is_empty() { 1 } else { (self.entries.len() / 2).max(2) };
                self.entries.reserve_exact(more);
            }
        }
        self.entries.push(entry);
    }

    /// First entry of the current window later than `time`.
    pub(super) fn first_after(&self, time: Timestamp) -> usize {
        let window = &self.live()[self.low..];
        // Nearly always none or few have left since the last hit.
        match window.iter().take(4).position(|entry| entry.at > time) {
            Some(near) => self.low + near,
            None => self.low + window.partition_point(|entry| entry.at <= time),
        }
    }

    /// Moves the window's beginning to `low`.
    pub(super) fn narrow(&mut self, low: usize, verb: &Verb) {
        if let Some(tally) = &mut self.tally {
            let from = self.head + self.low;
            let to = (self.head + low).max(from);
            for entry in self.entries[from..to].iter().filter(|entry| !entry.clears) {
                verb.pop(tally, entry);
            }
        }
        self.low = self.low.max(low);
    }

    /// Forgets entries that no later hit, not even a late one, can look back on.
    pub(super) fn trim(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        let program = around.program;
        let late = program.late_within;
        // Of the hits up to a horizon, the newest so many are looked back on all the same.
        let horizons = match program.verb.reach() {
            Reach::Time(within) | Reach::Bucket(within) => [Some((now - within - late, 0)), None],
            Reach::Last(last, within) => {
                // And the one before those: where it is near, the window begins after it.
                [Some((now - within - late, 0)), Some((now - late, last))]
            }
            Reach::Records(keep) => [Some((now - late, keep.saturating_sub(1))), None],
            Reach::Pair(_) => [Some((now - late, 1)), None],
            Reach::Folded | Reach::Learned => [Some((now - late, 0)), None],
            Reach::Alone => [Some((Timestamp::MAX, 0)), None],
        };
        for (horizon, spared) in horizons.into_iter().flatten() {
            while self.live().get(spared).is_some_and(|entry| entry.at <= horizon) {
                self.pop_front(around);
            }
        }
        self.forget_firings(now, program);
    }

    pub(super) fn pop_front(&mut self, around: &mut Surroundings<'_>) {
        let verb = &around.program.verb;
        let fired = around.program.restart && self.tipped(&self.entries[self.head]);
        let entry = &mut self.entries[self.head];
        if self.low > 0 {
            self.low -= 1;
        } else if let (Some(tally), false) = (&mut self.tally, entry.clears) {
            verb.pop(tally, entry);
        }
        if !entry.clears {
            verb.fold(&mut self.base, entry, fired);
        }
        entry.values = Arc::default();
        self.head += 1;
        if self.head == self.entries.len() {
            self.entries.clear();
            self.head = 0;
        }
    }

    /// Keeps the group within [`MAX_RECORDS`].
    pub(super) fn bound(&mut self, around: &mut Surroundings<'_>) {
        while self.live().len() > MAX_RECORDS {
            let is_early = match around.program.verb.reach() {
                // What leaves is remembered in another way.
                Reach::Bucket(_) | Reach::Folded | Reach::Learned | Reach::Alone => true,
                Reach::Time(_) | Reach::Last(..) | Reach::Records(_) | Reach::Pair(_) => self.low > 0,
            };
            self.pop_front(around);
            around.counters.records_dropped += 1;
            around.counters.dropped_early += u64::from(is_early);
        }
    }

    /// Keeps what the verb remembers besides within its bound.
    pub(super) fn make_room(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        let live = &mut self.entries[self.head..];
        if let Some((lost, seats)) = around.program.verb.make_room(&mut self.base, live, now) {
            around.counters.values_dropped += lost;
            for entry in live {
                entry.seat = seats.get(entry.seat as usize).copied().unwrap_or(entry.seat);
            }
        }
    }

    /// The same after a late insertion, when there is no tally to keep.
    pub(super) fn bound_late(&mut self, around: &mut Surroundings<'_>) {
        self.tally = None;
        self.low = 0;
        self.bound(around);
        if let Some(last) = self.last {
            self.make_room(last, around);
        }
    }

    /// Where the window of the next hit cannot begin before, found from the entries alone.
    pub(super) fn next_window_start(&self, verb: &Verb, restart: bool) -> usize {
        if let Reach::Bucket(_) = verb.reach() {
            return 0;
        }
        let live = self.live();
        let emptied = restart && live.last().is_some_and(|entry| self.tipped(entry));
        if emptied { live.len() } else { self.window_start(live.len(), verb, restart) }
    }

    /// Whether a grave alert of the group is open at `at`.
    pub(super) fn is_grave(&self, at: Timestamp) -> bool {
        let grave = |firing: &Firing| firing.grave.is_some_and(|from| from <= at) && at < firing.until;
        self.firings.iter().rev().any(grave)
    }

    /// If hit number `place` turned out to be of a grave alert, what it taught is taken back.
    pub(super) fn set_aside(&mut self, place: usize, around: &mut Surroundings<'_>) {
        if self.firings.is_empty() {
            return;
        }
        let Some(entry) = self.live().get(place) else { return };
        let verb = &around.program.verb;
        let asks = !around.program.questions.is_empty();
        if !(verb.learns() || asks) || !self.is_grave(entry.at) {
            return;
        }
        around.aside.extend(asks.then(|| entry.order()));
        if !verb.learns() || entry.aside {
            return;
        }
        let live = &mut self.entries[self.head..];
        live[place].aside = true;
        verb.unlearn(&mut self.base, self.tally.as_deref_mut(), live, place);
    }

    /// This hit made the group fire.
    pub(super) fn tipped(&self, entry: &Entry) -> bool {
        self.firings.iter().any(|firing| firing.tip == entry.id)
    }

    /// Where the window that ends before entry number `end` begins, found from the entries alone.
    pub(super) fn window_start(&self, end: usize, verb: &Verb, restart: bool) -> usize {
        let live = self.live();
        if end == 0 {
            return 0;
        }
        if live[end - 1].clears {
            return end;
        }
        let at = live[end - 1].at;
        let (after, most) = match verb.reach() {
            Reach::Time(within) => (at - within, usize::MAX),
            Reach::Last(last, within) => (at - within, last),
            Reach::Records(keep) => (Timestamp::MIN, keep),
            Reach::Pair(within) => (at - within, 2),
            // Where a bucket's window begins is found from the bucket.
            Reach::Folded | Reach::Learned | Reach::Bucket(_) => (Timestamp::MIN, usize::MAX),
            Reach::Alone => (Timestamp::MIN, 1),
        };
        let restarts = |entry: &Entry| restart && self.tipped(entry);
        let mut start = end - 1;
        while start > 0 && end - start < most {
            let before = &live[start - 1];
            if before.at <= after || before.clears || restarts(before) {
                break;
            }
            start -= 1;
        }
        start
    }
}
