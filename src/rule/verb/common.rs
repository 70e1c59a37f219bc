//! `unless_common` of `first_seen`: who has shown a value lately, over all groups of the rule.
//!
//! Every hit counts, whatever its own group makes of it: a roll-out reaches groups that are still
//! learning as well. A use is kept for as long as a late record may look back on it, and no more of
//! one's uses than tell whether a window of that length holds one. Over the bound the values that
//! were used longest ago are forgotten: then more is told, not less.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Millis, Timestamp};

use super::{Entry, Order, Values, text_of};

/// Uses that a rule remembers, of all values together; past this the values that were used longest
/// ago are forgotten and counted.
pub const MAX_USES: usize = 1_000_000;

/// `unless_common:`, compiled.
#[derive(Debug)]
pub struct Common {
    /// Which of the entry's values says who.
    pub slot: usize,
    /// So many make a value common.
    pub at_least: u32,
    /// How far back their uses count: (t − w, t].
    pub within: Millis,
}

/// Who used each value, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Commons {
    values: Values<Values<Vec<Order>>>,
    uses: usize,
    /// Event time up to which old uses have been swept out.
    swept: Option<Timestamp>,
}

impl Commons {
    /// Bytes of them in memory besides themselves, about.
    pub(super) fn bytes(&self) -> usize {
        let values = self.values.capacity() * (size_of::<(Arc<str>, Values<Vec<Order>>)>() + 1);
        // A use is a place in a list of its own, mostly.
        values + self.uses * (size_of::<(Arc<str>, Vec<Order>)>() + size_of::<Order>())
    }

    /// Takes in a hit; how many values were forgotten because there were too many uses. `late` hits are put
    /// in at their time; others come in event order.
    pub(super) fn take(
        &mut self,
        entry: &Entry,
        common: &Common,
        kept: Millis,
        late: bool,
        most: usize,
    ) -> u64 {
        let (Some(value), Some(who)) = (entry.values.first().and_then(text_of), who(entry, common)) else {
            return 0;
        };
        if !late {
            self.sweep(entry.at, common.within + kept);
        }
        let uses = self.values.entry(value.clone()).or_default().entry(who.clone()).or_default();
        let before = uses.len();
        put(uses, entry.order(), common.within);
        self.uses = self.uses + uses.len() - before;
        if self.uses > most { self.make_room(most) } else { 0 }
    }

    /// How many different ones had used the value of `entry` in the window that ends with it.
    pub(super) fn shown_by(&self, entry: &Entry, common: &Common) -> u32 {
        let uses = entry.values.first().and_then(text_of).and_then(|value| self.values.get(value));
        let (last, from) = (entry.order(), entry.at - common.within);
        let lately = |uses: &&Vec<Order>| uses.iter().any(|order| order.0 > from && *order <= last);
        let count = uses.map_or(0, |uses| uses.values().filter(lately).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Forgets, now and then, what no window reaches any more.
    fn sweep(&mut self, now: Timestamp, reach: Millis) {
        let swept = *self.swept.get_or_insert(now);
        if now - swept < reach {
            return;
        }
        self.swept = Some(now);
        let horizon = now - reach;
        let mut left = 0;
        self.values.retain(|_, users| {
            users.retain(|_, uses| {
                uses.retain(|order| order.0 > horizon);
                left += uses.len();
                !uses.is_empty()
            });
            !users.is_empty()
        });
        self.uses = left;
    }

    /// Forgets values until a tenth of the room is free, so that not every use makes room for itself.
    fn make_room(&mut self, most: usize) -> u64 {
        let worth = |(value, users): (&Arc<str>, &Values<Vec<Order>>)| {
            let last = users.values().filter_map(|uses| uses.last()).max().copied();
            (last, value.clone())
        };
        let mut unused: Vec<(Option<Order>, Arc<str>)> = self.values.iter().map(worth).collect();
        unused.sort_unstable();
        let mut lost = 0;
        for (_, value) in unused {
            if self.uses <= most / 10 * 9 {
                break;
            }
            let gone = self.values.remove(&value).map_or(0, |users| users.values().map(Vec::len).sum());
            self.uses -= gone;
            lost += 1;
        }
        lost
    }
}

/// Whose use it is; none where the record does not say.
fn who<'a>(entry: &'a Entry, common: &Common) -> Option<&'a Arc<str>> {
    entry.values.get(common.slot).and_then(text_of)
}

/// Adds a use. One between two others that lie less than a window apart tells nothing: a
/// window that holds it holds one of them.
fn put(uses: &mut Vec<Order>, order: Order, within: Millis) {
    let place = uses.partition_point(|other| *other < order);
    uses.insert(place, order);
    for middle in [place + 1, place, place.wrapping_sub(1)] {
        let (before, after) = (middle.wrapping_sub(1), middle.wrapping_add(1));
        if let (Some(first), Some(_), Some(last)) = (uses.get(before), uses.get(middle), uses.get(after))
            && last.0 - first.0 < within
        {
            uses.remove(middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Datum, Locator, Phase, RecordId};
    use proptest::prelude::*;

    const COMMON: Common = Common { slot: 1, at_least: 2, within: Millis(30) };

    fn entry(number: u8, at: i64, value: u8, user: u8) -> Entry {
        let text = |kind: char, number: u8| Datum::Text(format!("{kind}{number}").into());
        Entry {
            at: Timestamp(at),
            phase: Phase::Start,
            id: RecordId([number; 16]),
            locator: Locator(0),
            marks: 0,
            clears: false,
            aside: false,
            seat: 0,
            values: [text('v', value), text('u', user)].into(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn who_showed_a_value_lately_is_known_as_if_every_use_were_kept(
            drawn in prop::collection::vec((0..200_i64, 0..2_u8, 0..3_u8, 0..4_i64), 1..60),
        ) {
            let mut order: Vec<(i64, usize)> = drawn.iter().enumerate().map(|(n, (at, .., delay))| (at + delay * 10, n)).collect();
            order.sort_unstable();
            let entries: Vec<Entry> = (0..).zip(&drawn).map(|(n, (at, value, user, _))| entry(n, *at, *value, *user)).collect();
            let (mut commons, mut all, mut now) = (Commons::default(), Vec::<Entry>::new(), i64::MIN);
            for (_, number) in order {
                let entry = &entries[number];
                let late = entry.at.0 < now;
                now = now.max(entry.at.0);
                prop_assert_eq!(commons.take(entry, &COMMON, Millis(40), late, MAX_USES), 0);
                all.push(entry.clone());
                // What a late record may still ask about.
                for asked in all.iter().filter(|asked| asked.at.0 > now - 40) {
                    let mut users: Vec<&Datum> = all
                        .iter()
                        .filter(|other| other.values[0] == asked.values[0] && other.order() <= asked.order())
                        .filter(|other| other.at > asked.at - COMMON.within)
                        .map(|other| &other.values[1])
                        .collect();
                    users.sort_by_key(|user| format!("{user:?}"));
                    users.dedup();
                    prop_assert_eq!(commons.shown_by(asked, &COMMON), u32::try_from(users.len()).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_value_in_use_keeps_two_uses_of_each_however_often_it_comes() {
        let mut commons = Commons::default();
        for at in 0..1_000 {
            commons.take(&entry(1, at, 0, 0), &COMMON, Millis(40), false, MAX_USES);
        }
        assert!(commons.uses <= 2 * 1_000 / 30 + 3, "{}", commons.uses);
    }

    #[test]
    fn over_the_bound_the_values_used_longest_ago_go() {
        let mut commons = Commons::default();
        let lost: u64 = (0..25)
            .map(|n| commons.take(&entry(n, i64::from(n), n, 0), &COMMON, Millis(40), false, 20))
            .sum();
        assert_eq!((lost, commons.uses), (6, 19));
        assert_eq!(commons.shown_by(&entry(30, 25, 2, 1), &COMMON), 0);
        assert_eq!(commons.shown_by(&entry(30, 25, 24, 1), &COMMON), 1);
    }
}
