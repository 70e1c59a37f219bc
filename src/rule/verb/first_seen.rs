//! `first_seen`: a value that the group has not shown before.
//!
//! Values of an entry: the value as it is compared (folded, an address as its network, a tuple
//! joined). A group keeps each value it knows once, in its [`Base`], and an entry the value's seat
//! there; so a hit costs one look-up. What the group knew at a late hit is found from the hits of
//! the last `late_within`, and from what older ones left.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Millis, Timestamp};

use super::super::spec::Learn;
use super::{
    Base, Entry, Learning, MAX_VALUES, Reason, Seats, Values, Verdict, Window, required, single, text_of,
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

/// Seats the value of a hit that comes in event order.
pub(super) fn seat(base: &mut Base, entry: &mut Entry) {
    let Some(value) = text_of(&entry.values[0]) else { return };
    let new = Known { last: entry.at, before: None, folded: None };
    let again = |known: &mut Known| (known.last, known.before) = (entry.at, Some(known.last));
    entry.seat = base.values.seat(value, again, new);
}

/// Seats the value of a hit that comes late: later uses stay the last ones.
pub(super) fn seat_late(base: &mut Base, entry: &mut Entry) {
    let Some(value) = text_of(&entry.values[0]) else { return };
    let new = Known { last: entry.at, before: None, folded: None };
    let again = |known: &mut Known| known.last = known.last.max(entry.at);
    entry.seat = base.values.seat(value, again, new);
}

impl FirstSeen {
    /// Judges the last hit.
    pub(super) fn judge(&self, window: Window<'_>) -> Verdict {
        let hit = window.last();
        if let Some(last) = last_use(hit, window) {
            let forgotten = self.forget.is_some_and(|forget| hit.at - last >= forget);
            if !forgotten {
                return Verdict::Short(Reason::KnownValue { values: hit.values.clone(), last });
            }
        }
        let before = window.base.records + (window.hits.len() as u64 - 1);
        if before == 0 {
            return if self.first_value_alerts {
                Verdict::Holds
            } else {
                Verdict::Short(Reason::Learning(Learning::FirstValue))
            };
        }
        self.still_learning(before, hit.at, window).map_or(Verdict::Holds, Verdict::Short)
    }

    fn still_learning(&self, before: u64, at: Timestamp, window: Window<'_>) -> Option<Reason> {
        let learn = self.learn?;
        let first = window.base.first.unwrap_or(window.hits[0].at);
        if at < first + learn.lasts {
            return Some(Reason::Learning(Learning::Until(first + learn.lasts)));
        }
        if before < u64::from(learn.records) {
            return Some(Reason::Learning(Learning::Records(before, learn.records)));
        }
        None
    }

    pub(super) fn describe(&self, window: Window<'_>) -> Finding {
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

    /// Makes room when a group knows more values than [`MAX_VALUES`]: those longest unused go, but
    /// none that a remembered hit has. Returns how many were lost that a hit at `now` would still
    /// know, and where each seat is now.
    pub(super) fn make_room(&self, base: &mut Base, hits: &[Entry], now: Timestamp) -> Option<(u64, Seats)> {
        if base.values.len() <= MAX_VALUES {
            return None;
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
        let mut lost = 0;
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

/// A hit leaves the window: its value and time are what is kept.
pub(super) fn fold(base: &mut Base, entry: &Entry) {
    base.first.get_or_insert(entry.at);
    base.records += 1;
    if let Some((_, known)) = base.values.list.get_mut(entry.seat as usize) {
        known.folded = known.folded.max(Some(entry.at));
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
