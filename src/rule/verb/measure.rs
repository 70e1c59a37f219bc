//! `measure`: a statistic of a number field over a window.
//!
//! Values of an entry: the number. Percentiles are nearest-rank, sums exact, bounds strict.

use serde_json::Value as Json;

use crate::alert::Finding;
use crate::record::{Datum, Millis, Number};

use super::super::spec::{Limit, Stat};
use super::{
    Counted, Entry, Judge, Needed, Reach, Reason, Tally, Verdict, Window, json_limit, json_number, single,
};

/// `measure:`, compiled.
#[derive(Debug)]
pub struct Measure {
    /// Which statistic.
    pub stat: Stat,
    /// Fires strictly beyond this.
    pub limit: Limit,
    /// Only the last so many samples.
    pub last: Option<usize>,
    /// Window length.
    pub within: Millis,
    /// Fewer samples prove nothing.
    pub at_least: u32,
    /// Strictly beyond this the alert is resolved.
    pub recover: Option<Limit>,
}

/// Takes a sample in.
pub(super) fn take_in(tally: &mut Tally, entry: &Entry) {
    let sample = sample(entry);
    let place = tally.samples.partition_point(|other| *other <= sample);
    tally.samples.insert(place, sample);
    tally.sum = tally.sum + sample;
}

/// Takes a sample out.
pub(super) fn take_out(tally: &mut Tally, entry: &Entry) {
    let sample = sample(entry);
    if let Ok(place) = tally.samples.binary_search(&sample) {
        tally.samples.remove(place);
        tally.sum = tally.sum - sample;
    }
}

/// The number of an entry.
pub(super) fn sample(entry: &Entry) -> Number {
    match entry.values[0] {
        Datum::Number(number) => number,
        Datum::Absent | Datum::Text(_) | Datum::Bool(_) => Number::default(),
    }
}

impl Measure {
    fn enough(&self, tally: &Tally) -> bool {
        tally.samples.len() >= self.at_least as usize
    }

    /// The statistic is beyond `limit`. The mean is compared as sum against bound times number, so
    /// that no digit is lost.
    fn beyond(&self, limit: Limit, tally: &Tally) -> bool {
        let times = |bound: Number| match self.stat {
            Stat::Mean => (tally.sum, bound.times(u32::try_from(tally.samples.len()).unwrap_or(u32::MAX))),
            Stat::Percentile(_) | Stat::Min | Stat::Max | Stat::Sum => (self.value(tally), bound),
        };
        match limit {
            Limit::Above(bound) => {
                let (value, bound) = times(bound);
                value > bound
            }
            Limit::Below(bound) => {
                let (value, bound) = times(bound);
                value < bound
            }
        }
    }

    fn value(&self, tally: &Tally) -> Number {
        let samples = &tally.samples;
        match self.stat {
            Stat::Percentile(percent) => {
                let rank = (samples.len() * usize::from(percent)).div_ceil(100).max(1);
                samples.get(rank - 1).copied().unwrap_or_default()
            }
            Stat::Mean => tally.sum.over(u32::try_from(samples.len()).unwrap_or(u32::MAX)),
            Stat::Min => samples.first().copied().unwrap_or_default(),
            Stat::Max => samples.last().copied().unwrap_or_default(),
            Stat::Sum => tally.sum,
        }
    }

    /// The statistic as an alert shows it; what is reckoned from a number out of range is not known.
    fn shown(&self, tally: &Tally) -> Json {
        let ends = [tally.samples.first(), tally.samples.last()];
        let beyond = ends.into_iter().flatten().any(|sample| sample.bound().is_some());
        match self.stat {
            Stat::Mean | Stat::Sum if beyond => "unknown, out of range".into(),
            Stat::Percentile(_) | Stat::Min | Stat::Max | Stat::Mean | Stat::Sum => {
                json_number(self.value(tally))
            }
        }
    }
}

impl Judge for Measure {
    fn reach(&self) -> Reach {
        match self.last {
            Some(last) => Reach::Last(last, self.within),
            None => Reach::Time(self.within),
        }
    }

    fn cooldown(&self) -> Millis {
        self.within
    }

    fn tallies(&self) -> bool {
        true
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        take_in(tally, entry);
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        take_out(tally, entry);
    }

    fn judge(&self, tally: &Tally, _window: Window<'_>) -> Verdict {
        if !self.enough(tally) {
            return Verdict::Short(Reason::BelowThreshold {
                what: Counted::Samples,
                actual: Number::whole(i64::try_from(tally.samples.len()).unwrap_or(i64::MAX)),
                needed: Needed::AtLeast(self.at_least),
            });
        }
        if self.beyond(self.limit, tally) {
            return Verdict::Holds;
        }
        Verdict::Short(Reason::BelowThreshold {
            what: Counted::Stat(self.stat),
            actual: self.value(tally),
            needed: Needed::Beyond(self.limit),
        })
    }

    fn recovers(&self) -> bool {
        self.recover.is_some()
    }

    fn recovered(&self, tally: &Tally) -> bool {
        self.recover.is_some_and(|limit| self.enough(tally) && self.beyond(limit, tally))
    }

    fn describe(&self, tally: &Tally, _window: Window<'_>) -> Finding {
        let samples = tally.samples.len();
        let value = self.shown(tally);
        let (word, bound) = json_limit(self.limit);
        let mut scope = single("value", value.clone());
        scope.insert("samples".to_owned(), samples.into());
        let mut actual = single(&self.stat.to_string(), value);
        actual.insert("samples".to_owned(), samples.into());
        Finding {
            count: samples as u64,
            scope,
            threshold: single(&word, bound),
            actual,
            ..Finding::default()
        }
    }
}
