//! `rate`: a leaky bucket. Each hit pours one unit in, and one drains every so often, evenly, the
//! oldest first.
//!
//! A unit leaves `drains_every` after the one before it, so that the bucket's level is known to the
//! millisecond without a fraction. Firing empties the bucket; while a cooldown holds the group back
//! a bucket that is full lets hits go by. Values of an entry: with `distinct`, the field's; a value
//! whose unit is still in the bucket does not pour.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Millis, Number, Timestamp};

use super::{
    Base, Counted, Entry, Judge, Needed, Order, Reach, Reason, SHOWN_VALUES, Tally, Verdict, Window, single,
    text_of,
};

/// `rate:`, compiled.
#[derive(Debug)]
pub struct Rate {
    /// Units that fire; the bucket holds no more.
    pub at_least: u32,
    /// One unit drains in so long.
    pub drains_every: Millis,
    /// Whether only values that are not in the bucket pour.
    pub distinct: bool,
}

/// What a hit poured in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit {
    /// Which hit.
    of: Order,
    /// When it has drained.
    leaves: Timestamp,
    /// With `distinct`, its value.
    value: Option<Arc<str>>,
}

/// The units that have not drained, oldest first; at most `at_least`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket(VecDeque<Unit>);

impl Bucket {
    /// Bytes of it in memory besides itself, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Unit>()
    }

    /// Nothing is left in it.
    pub fn empty(&mut self) {
        self.0.clear();
    }

    /// The oldest hit that is in it.
    pub fn oldest(&self) -> Option<Order> {
        self.0.front().map(|unit| unit.of)
    }
}

impl Rate {
    /// How long a full bucket takes to drain: no hit is in it for longer.
    pub fn span(&self) -> Millis {
        self.drains_every.times(self.at_least)
    }

    /// Takes in a hit, which is no older than those before it.
    fn pour(&self, bucket: &mut Bucket, entry: &Entry) {
        let units = &mut bucket.0;
        while units.front().is_some_and(|unit| unit.leaves <= entry.at) {
            units.pop_front();
        }
        let value = entry.values.first().and_then(text_of).filter(|_| self.distinct);
        let full = units.len() >= self.at_least as usize;
        if full || value.is_some() && units.iter().any(|unit| unit.value.as_ref() == value) {
            return;
        }
        let drained = units.back().map_or(entry.at, |last| last.leaves);
        let leaves = drained + self.drains_every;
        units.push_back(Unit { of: entry.order(), leaves, value: value.cloned() });
    }
}

impl Judge for Rate {
    fn reach(&self) -> Reach {
        Reach::Bucket(self.span())
    }

    fn cooldown(&self) -> Millis {
        self.span()
    }

    fn restarts(&self) -> bool {
        true
    }

    fn tallies(&self) -> bool {
        true
    }

    /// A bucket drains by itself: nothing is taken out.
    fn push(&self, tally: &mut Tally, entry: &Entry) {
        self.pour(&mut tally.bucket, entry);
    }

    fn tally_after(&self, base: &Base) -> Tally {
        let bucket = base.bucket.as_deref().cloned().unwrap_or_default();
        Tally { bucket, ..Tally::default() }
    }

    /// A hit leaves the group's memory: what it did to the bucket is kept.
    fn fold(&self, base: &mut Base, entry: &Entry, fired: bool) {
        let bucket = base.bucket.get_or_insert_default();
        self.pour(bucket, entry);
        if fired {
            bucket.empty();
        }
    }

    fn judge(&self, tally: &Tally, _window: Window<'_>) -> Verdict {
        let units = u32::try_from(tally.bucket.0.len()).unwrap_or(u32::MAX);
        if units >= self.at_least {
            return Verdict::Holds;
        }
        Verdict::Short(Reason::BelowThreshold {
            what: Counted::InBucket,
            actual: Number::whole(units.into()),
            needed: Needed::AtLeast(self.at_least),
        })
    }

    fn describe(&self, tally: &Tally, _window: Window<'_>) -> Finding {
        let units = &tally.bucket.0;
        let count = units.len() as u64;
        let mut values: Vec<&Arc<str>> = units.iter().filter_map(|unit| unit.value.as_ref()).collect();
        values.sort_unstable();
        values.truncate(SHOWN_VALUES);
        let list: Vec<Json> = values.into_iter().map(|value| Json::from(&**value)).collect();
        let scope = if self.distinct { single("values", list) } else { serde_json::Map::new() };
        let threshold = single("at_least", self.at_least);
        Finding { count, scope, threshold, actual: single("count", count), ..Finding::default() }
    }
}
