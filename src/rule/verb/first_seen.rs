//! `first_seen`: a value that the group has not shown before.
//!
//! Values of an entry: the value as it is compared (folded, an address as its network, a tuple
//! joined), what it shares with others (`same_if`) and who shows it (`unless_common`), where asked.
//! A group keeps each value it knows once, in its [`Base`], and an entry the value's seat there; so
//! a hit costs one look-up. What the group knew at a late hit is found from the hits of the last
//! `late_within`, and from what older ones left. Nothing is learnt from hits of a grave alert that is
//! open (see [`super::Entry::aside`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Millis, Timestamp};

use super::super::spec::Learn;
use super::common::Common;
use super::{
    Base, Entry, Judge, Learning, MAX_VALUES, NO_SEAT, Reach, Reason, Seats, Shared, Tally, Values, Verdict,
    Window, common, required, single, text_of,
};

/// Known values an alert names, the latest used first.
const SHOWN_USUAL: usize = 5;

/// `first_seen:`, compiled.
#[derive(Debug)]
pub struct FirstSeen {
    /// A group is silent until both are met.
    pub learn: Option<Learn>,
    /// A value unused this long is new again.
    pub forget: Option<Millis>,
    /// Whether the group's very first value fires.
    pub first_value_alerts: bool,
    /// Which of the entry's values makes its value known if it is known itself.
    pub same: Option<usize>,
    /// When a value is no news although the group does not know it.
    pub common: Option<Common>,
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its last use.
    pub last: Timestamp,
    /// The use before, when the last one came.
    pub before: Option<Timestamp>,
    /// Its last use among the hits that have left the window.
    pub folded: Option<Timestamp>,
}

/// So many values are compared one by one; more are looked up.
const FEW_VALUES: usize = 8;

/// The values that a group knows, each in a seat. Most groups know a handful.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(Arc<str>, Known)>", into = "Vec<(Arc<str>, Known)>")]
pub struct KnownValues {
    list: Vec<(Arc<str>, Known)>,
    /// Seats by value, once there are many.
    seats: Option<Box<Values<u32>>>,
}

impl From<Vec<(Arc<str>, Known)>> for KnownValues {
    fn from(list: Vec<(Arc<str>, Known)>) -> Self {
        let mut values = Self { list, seats: None };
        values.look_up_many();
        values
    }
}

impl From<KnownValues> for Vec<(Arc<str>, Known)> {
    fn from(values: KnownValues) -> Self {
        values.list
    }
}

impl KnownValues {
    /// Bytes of it in memory besides itself, about; texts are shared, mostly.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.list.iter().map(|(text, _)| text.len() + 2 * size_of::<usize>()).sum();
        let seats =
            self.seats.as_ref().map_or(0, |seats| seats.capacity() * (size_of::<(Arc<str>, u32)>() + 1));
        self.list.capacity() * size_of::<(Arc<str>, Known)>() + texts + seats
    }

    fn len(&self) -> usize {
        self.list.len()
    }

    fn get(&self, seat: usize) -> Option<&Known> {
        self.list.get(seat).map(|(_, known)| known)
    }

    pub(super) fn glance(&self) -> i64 {
        self.list.first().map_or(0, |(_, known)| known.last.0)
    }

    fn seat_of(&self, value: &Arc<str>) -> Option<usize> {
        if let Some(seats) = &self.seats {
            return seats.get(value).map(|seat| *seat as usize);
        }
        // Values are shared, so that most that are equal are one.
        let is_one = |(known, _): &(Arc<str>, Known)| Arc::ptr_eq(known, value);
        let is_equal = |(known, _): &(Arc<str>, Known)| known == value;
        self.list.iter().position(is_one).or_else(|| self.list.iter().position(is_equal))
    }

    /// What is known of `value`, or what is if nothing was; its seat.
    fn seat(&mut self, value: &Arc<str>, again: impl FnOnce(&mut Known), new: Known) -> u32 {
        if let Some(seat) = self.seat_of(value) {
            again(&mut self.list[seat].1);
            return u32::try_from(seat).unwrap_or(u32::MAX);
        }
        let seat = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push((value.clone(), new));
        match &mut self.seats {
            Some(seats) => {
                seats.insert(value.clone(), seat);
            }
            None => self.look_up_many(),
        }
        seat
    }

    /// Looks values up from now on if they are many, and not otherwise.
    fn look_up_many(&mut self) {
        let seats = || self.list.iter().map(|(value, _)| value.clone()).zip(0..).collect();
        self.seats = (self.list.len() > FEW_VALUES).then(|| Box::new(seats()));
    }

    /// Takes a use back; what is left are `uses` and those that have left. True if the value goes.
    fn take_back(&mut self, seat: usize, uses: Option<Timestamp>) -> bool {
        let Some((_, known)) = self.list.get_mut(seat) else { return false };
        if let Some(last) = uses.max(known.folded) {
            (known.last, known.before) = (last, None);
            return false;
        }
        let goes: Vec<bool> = (0..self.list.len()).map(|other| other == seat).collect();
        self.let_go(&goes);
        true
    }

    /// Keeps the values whose seats `goes` does not name.
    fn let_go(&mut self, goes: &[bool]) {
        let mut seat = 0;
        self.list.retain(|_| {
            seat += 1;
            !goes[seat - 1]
        });
        self.look_up_many();
    }
}

impl Judge for FirstSeen {
    fn reach(&self) -> Reach {
        Reach::Folded
    }

    /// Judges the last hit.
    fn judge(&self, _tally: &Tally, window: Window<'_>) -> Verdict {
        let hit = window.last();
        let used = [(0, last_use(hit, window)), (self.same.unwrap_or(0), self.last_same(hit, window))];
        for (slot, last) in used {
            let remembered = |last: &Timestamp| self.forget.is_none_or(|forget| hit.at - *last < forget);
            if let Some(last) = last.filter(remembered) {
                return Verdict::Short(Reason::KnownValue { values: hit.values.clone(), slot, last });
            }
        }
        let recent = window.hits[..window.hits.len() - 1].iter().filter(|other| !other.aside);
        let before = window.base.records + recent.count() as u64;
        if before == 0 && !self.first_value_alerts {
            return Verdict::Short(Reason::Learning(Learning::FirstValue));
        }
        let learning = if before == 0 { None } else { self.still_learning(before, hit.at, window) };
        learning.or_else(|| self.common(hit, window)).map_or(Verdict::Holds, Verdict::Short)
    }

    fn describe(&self, _tally: &Tally, window: Window<'_>) -> Finding {
        let hit = window.last();
        let own = required(&hit.values[0]);
        let mut known: Vec<(Timestamp, &str)> = Vec::new();
        for (seat, (value, kept)) in window.base.values.list.iter().enumerate() {
            let last = if window.late { before_last(seat, kept, window) } else { Some(kept.last) };
            let remembered = |last: &Timestamp| self.forget.is_none_or(|forget| hit.at - *last < forget);
            if let Some(last) = last.filter(|last| **value != *own && remembered(last)) {
                known.push((last, value));
            }
        }
        known.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        let count = known.len();
        let usual: Vec<Json> =
            known.into_iter().take(SHOWN_USUAL).map(|(_, value)| Json::from(display(value))).collect();
        let mut scope = single("value", display(own));
        scope.insert("usual".to_owned(), usual.clone().into());
        scope.insert("known".to_owned(), count.into());
        let mut actual = single("value", display(own));
        actual.insert("usual".to_owned(), usual.into());
        actual.insert("known".to_owned(), count.into());
        Finding { count: 1, scope, threshold: single("known", false), actual, ..Finding::default() }
    }

    fn share(
        &self,
        shared: &mut Shared,
        (_, entry): (&[u8], &Entry),
        late_within: Millis,
        late: bool,
    ) -> u64 {
        let take = |common| shared.commons.take(entry, common, late_within, late, common::MAX_USES);
        self.common.as_ref().map_or(0, take)
    }

    /// Seats the value of a hit that comes in event order.
    fn seat(&self, base: &mut Base, entry: &mut Entry) {
        if entry.aside {
            entry.seat = NO_SEAT;
            return;
        }
        let new = Known { last: entry.at, before: None, folded: None };
        let again = |known: &mut Known| (known.last, known.before) = (entry.at, Some(known.last));
        if let Some(same) = self.same_of(entry) {
            base.same.get_or_insert_default().seat(same, again, new);
        }
        if let Some(value) = text_of(&entry.values[0]) {
            entry.seat = base.values.seat(value, again, new);
        }
    }

    /// Seats the value of a hit that comes late: later uses stay the last ones.
    fn seat_late(&self, base: &mut Base, entry: &mut Entry) {
        if entry.aside {
            entry.seat = NO_SEAT;
            return;
        }
        let new = Known { last: entry.at, before: None, folded: None };
        let again = |known: &mut Known| known.last = known.last.max(entry.at);
        if let Some(same) = self.same_of(entry) {
            base.same.get_or_insert_default().seat(same, again, new);
        }
        if let Some(value) = text_of(&entry.values[0]) {
            entry.seat = base.values.seat(value, again, new);
        }
    }

    fn learns(&self) -> bool {
        true
    }

    fn unlearn(&self, base: &mut Base, _tally: Option<&mut Tally>, hits: &mut [Entry], place: usize) {
        let seat = std::mem::replace(&mut hits[place].seat, NO_SEAT);
        let uses = hits.iter().filter(|hit| hit.seat == seat).map(|hit| hit.at).max();
        if base.values.take_back(seat as usize, uses) {
            for hit in hits.iter_mut().filter(|hit| hit.seat != NO_SEAT && hit.seat > seat) {
                hit.seat -= 1;
            }
        }
        let same = base.same.as_mut().zip(self.same_of(&hits[place]));
        if let Some((values, same)) = same
            && let Some(seat) = values.seat_of(same)
        {
            let taught = hits.iter().filter(|hit| !hit.aside && self.same_of(hit) == Some(same));
            values.take_back(seat, taught.map(|hit| hit.at).max());
        }
    }

    /// A hit leaves the window: its value and time are what is kept.
    fn fold(&self, base: &mut Base, entry: &Entry, _fired: bool) {
        if entry.aside {
            return;
        }
        base.first.get_or_insert(entry.at);
        base.records += 1;
        let same = base.same.as_mut().zip(self.same_of(entry));
        let same = same.and_then(|(known, same)| {
            let seat = known.seat_of(same)?;
            known.list.get_mut(seat)
        });
        let value = base.values.list.get_mut(entry.seat as usize);
        for (_, known) in [same, value].into_iter().flatten() {
            known.folded = known.folded.max(Some(entry.at));
        }
    }

    /// Makes room when a group knows more values than [`MAX_VALUES`]: those longest unused go, but
    /// none that a remembered hit has. Returns how many were lost that a hit at `now` would still
    /// know, and where each seat is now.
    fn make_room(&self, base: &mut Base, hits: &[Entry], now: Timestamp) -> Option<(u64, Seats)> {
        let lost_same = self.make_room_same(base, now);
        if base.values.len() <= MAX_VALUES {
            return lost_same.map(|lost| (lost, Seats::new()));
        }
        let mut seated = vec![false; base.values.len()];
        for hit in hits {
            if let Some(seat) = seated.get_mut(hit.seat as usize) {
                *seat = true;
            }
        }
        let mut unused: Vec<(Timestamp, usize)> = Vec::new();
        for (seat, (_, known)) in base.values.list.iter().enumerate() {
            if !seated[seat] {
                unused.push((known.last, seat));
            }
        }
        unused.sort_unstable();
        // A tenth at once, so that not every new value makes room for itself.
        let mut goes = vec![false; base.values.len()];
        let surplus = base.values.len() - MAX_VALUES / 10 * 9;
        let mut lost = lost_same.unwrap_or(0);
        for (last, seat) in unused.into_iter().take(surplus) {
            goes[seat] = true;
            lost += u64::from(self.forget.is_none_or(|forget| now - last < forget));
        }
        let (mut seats, mut next) = (Vec::with_capacity(goes.len()), 0);
        for goes in &goes {
            seats.push(next);
            next += u32::from(!goes);
        }
        base.values.let_go(&goes);
        Some((lost, seats))
    }
}

impl FirstSeen {
    /// What `entry` shares with others of its kind, where the rule asks and the record says.
    fn same_of<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<str>> {
        self.same.and_then(|slot| entry.values.get(slot)).and_then(text_of)
    }

    /// When what the hit shares with others was used before.
    fn last_same(&self, hit: &Entry, window: Window<'_>) -> Option<Timestamp> {
        let same = self.same_of(hit)?;
        let values = window.base.same.as_ref()?;
        let known = values.get(values.seat_of(same)?)?;
        if !window.late {
            return known.before;
        }
        let before = &window.hits[..window.hits.len() - 1];
        let taught = |entry: &&Entry| !entry.aside && self.same_of(entry) == Some(same);
        let recent = before.iter().rev().find(taught);
        recent.map(|entry| entry.at).or(known.folded)
    }

    /// Whether many show the value.
    fn common(&self, hit: &Entry, window: Window<'_>) -> Option<Reason> {
        let common = self.common.as_ref()?;
        let shown_by = window.shared.commons.shown_by(hit, common);
        let values = || hit.values.clone();
        (shown_by >= common.at_least).then(|| Reason::CommonValue { values: values(), shown_by })
    }

    fn still_learning(&self, before: u64, at: Timestamp, window: Window<'_>) -> Option<Reason> {
        let learn = self.learn?;
        let recent = window.hits.iter().find(|other| !other.aside).map(|other| other.at);
        let first = window.base.first.or(recent).unwrap_or(at);
        if at < first + learn.lasts {
            return Some(Reason::Learning(Learning::Until(first + learn.lasts)));
        }
        if before < u64::from(learn.records) {
            return Some(Reason::Learning(Learning::Records(before, learn.records)));
        }
        None
    }

    /// The same for what values share: those longest unused go.
    fn make_room_same(&self, base: &mut Base, now: Timestamp) -> Option<u64> {
        let same = base.same.as_mut().filter(|same| same.len() > MAX_VALUES)?;
        let used = |(seat, (_, known)): (usize, &(Arc<str>, Known))| (known.last, seat);
        let mut used: Vec<(Timestamp, usize)> = same.list.iter().enumerate().map(used).collect();
        used.sort_unstable();
        used.truncate(same.len() - MAX_VALUES / 10 * 9);
        let mut goes = vec![false; same.len()];
        for (_, seat) in &used {
            goes[*seat] = true;
        }
        same.let_go(&goes);
        let known = |(last, _): &&(Timestamp, usize)| self.forget.is_none_or(|forget| now - *last < forget);
        Some(used.iter().filter(known).count() as u64)
    }
}

/// When the value of `hit`, the window's last, was used before.
fn last_use(hit: &Entry, window: Window<'_>) -> Option<Timestamp> {
    let seat = hit.seat as usize;
    let known = window.base.values.get(seat)?;
    if window.late { before_last(seat, known, window) } else { known.before }
}

/// The last use of a value before the window's last hit, found from the hits.
fn before_last(seat: usize, known: &Known, window: Window<'_>) -> Option<Timestamp> {
    let before = &window.hits[..window.hits.len() - 1];
    let recent = before.iter().rev().find(|entry| entry.seat as usize == seat).map(|entry| entry.at);
    recent.or(known.folded)
}

/// A tuple's parts are joined by a unit separator; people see a comma.
fn display(value: &str) -> String {
    value.replace('\u{1f}', ", ")
}
