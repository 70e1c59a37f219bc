//! `first_seen`: a value that the group has not shown before.
//!
//! Values of an entry: the value as it is compared (folded, an address as its network, a tuple
//! joined). What the group knew at a hit is what came before it in event
//! order: hits of the last `late_within` one by one, older ones folded into [`Base`].

use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Millis, Timestamp};

use super::super::spec::Learn;
use super::{Base, Entry, Learning, MAX_VALUES, Reason, Tally, Verdict, Window, required, single, text_of};

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

/// Takes a hit into the tally.
pub(super) fn push(tally: &mut Tally, entry: &Entry) {
    let Some(value) = text_of(&entry.values[0]) else { return };
    let place = tally.recent.entry(value.clone());
    place.and_modify(|(last, before)| (*last, *before) = (entry.at, Some(*last))).or_insert((entry.at, None));
}

/// Takes the oldest hit out of the tally.
pub(super) fn pop(tally: &mut Tally, entry: &Entry) {
    let value = required(&entry.values[0]);
    if tally.recent.get(value).is_some_and(|(last, _)| *last == entry.at) {
        tally.recent.remove(value);
    }
}

impl FirstSeen {
    /// Judges the last hit; the tally holds it, and for its value the use before.
    pub(super) fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict {
        let hit = window.last();
        let Some(value) = text_of(&hit.values[0]) else {
            return Verdict::Short(Reason::Learning(Learning::FirstValue));
        };
        if let Some(last) = last_use(value, tally, window) {
            let forgotten = self.forget.is_some_and(|forget| hit.at - last >= forget);
            if !forgotten {
                return Verdict::Short(Reason::KnownValue { value: value.clone(), last });
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

    pub(super) fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let hit = window.last();
        let own = required(&hit.values[0]);
        let mut known: Vec<(Timestamp, &str)> = Vec::new();
        for value in tally.recent.keys().chain(window.base.values.keys()).map(|value| &**value) {
            let recent = tally.recent.get(value).map(|(last, _)| *last);
            let last = recent.or_else(|| window.base.values.get(value).copied());
            let remembered = |last: &Timestamp| self.forget.is_none_or(|forget| hit.at - *last < forget);
            if let Some(last) = last.filter(|last| value != own && remembered(last)) {
                known.push((last, value));
            }
        }
        known.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        known.dedup();
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

    /// A hit leaves the window: its value and time are what is kept. Returns values forgotten for
    /// want of room.
    pub(super) fn fold(&self, base: &mut Base, entry: &Entry) -> u64 {
        base.first.get_or_insert(entry.at);
        base.records += 1;
        let Some(value) = text_of(&entry.values[0]) else { return 0 };
        base.values.insert(value.clone(), entry.at);
        if base.values.len() <= MAX_VALUES {
            return 0;
        }
        if let Some(forget) = self.forget {
            base.values.retain(|_, last| entry.at - *last < forget);
        }
        let mut dropped = 0;
        while base.values.len() > MAX_VALUES {
            let oldest = base.values.iter().min_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
            let Some(oldest) = oldest.map(|(value, _)| value.clone()) else { break };
            base.values.remove(&oldest);
            dropped += 1;
        }
        dropped
    }
}

/// When `value` was last used before the hit that the tally took in last.
fn last_use(value: &str, tally: &Tally, window: Window<'_>) -> Option<Timestamp> {
    let before = tally.recent.get(value).and_then(|(_, before)| *before);
    before.or_else(|| window.base.values.get(value).copied())
}

/// A tuple's parts are joined by a unit separator; people see a comma.
fn display(value: &str) -> String {
    value.replace('\u{1f}', ", ")
}
