//! `distinct`: so many different values of a field within a window.
//!
//! Values of an entry: the field's. A value with more hits than `each_at_most` leaves the count
//! for as long as it has them: many tries on one account are brute force, not a spray.

use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Millis, Number};

use super::{
    Counted, Entry, Judge, Needed, Reach, Reason, SHOWN_VALUES, Tally, Values, Verdict, Window, count_in,
    count_out, required, single, text_of,
};

/// `distinct:`, compiled.
#[derive(Debug)]
pub struct Distinct {
    /// Window length.
    pub within: Millis,
    /// Distinct values that fire.
    pub at_least: u32,
    /// Most hits a value may have and still count.
    pub each_at_most: Option<u32>,
}

impl Distinct {
    fn counted(tally: &Tally) -> u32 {
        let all = tally.values.first().map_or(0, Values::len);
        u32::try_from(all).unwrap_or(u32::MAX).saturating_sub(tally.crowded)
    }
}

impl Judge for Distinct {
    fn reach(&self) -> Reach {
        Reach::Time(self.within)
    }

    fn cooldown(&self) -> Millis {
        self.within
    }

    fn tallies(&self) -> bool {
        true
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        let Some(value) = text_of(&entry.values[0]) else { return };
        let count = count_in(values_of(tally), value);
        if self.each_at_most.is_some_and(|most| count == most + 1) {
            tally.crowded += 1;
        }
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        let left = count_out(values_of(tally), required(&entry.values[0]));
        if self.each_at_most.is_some_and(|most| left == most) {
            tally.crowded -= 1;
        }
    }

    fn judge(&self, tally: &Tally, _window: Window<'_>) -> Verdict {
        let counted = Self::counted(tally);
        if counted >= self.at_least {
            return Verdict::Holds;
        }
        Verdict::Short(Reason::BelowThreshold {
            what: Counted::DistinctValues,
            actual: Number::whole(counted.into()),
            needed: Needed::AtLeast(self.at_least),
        })
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let count = u64::from(Self::counted(tally));
        let crowded = |value: &str| {
            let hits = tally.values.first().and_then(|values| values.get(value)).copied().unwrap_or(0);
            self.each_at_most.is_some_and(|most| hits > most)
        };
        let mut values: Vec<&str> = window.hits.iter().map(|entry| required(&entry.values[0])).collect();
        values.sort_unstable();
        values.dedup();
        values.retain(|value| !crowded(value));
        values.truncate(SHOWN_VALUES);
        let mut threshold = single("at_least", self.at_least);
        if let Some(most) = self.each_at_most {
            threshold.insert("each_at_most".to_owned(), most.into());
        }
        let mut actual = single("distinct", count);
        actual.insert("hits".to_owned(), window.hits.len().into());
        let list: Vec<Json> = values.into_iter().map(Json::from).collect();
        Finding { count, scope: single("values", list), threshold, actual, ..Finding::default() }
    }
}

/// The one map of values that this verb keeps.
fn values_of(tally: &mut Tally) -> &mut Values<u32> {
    if tally.values.is_empty() {
        tally.values.push(Values::default());
    }
    &mut tally.values[0]
}
