//! `correlation:` of a Sigma document: what the events of a window come to.
//!
//! | type | what is compared with the condition, over the events of the group in [t − timespan, t] |
//! | --- | --- |
//! | `event_count` | how many events there are |
//! | `value_count` | how many values of `field` differ; of several fields, tuples |
//! | `temporal` | which of the rules have occurred: all of them, so many, or those that an extended condition names |
//! | `temporal_ordered` | the same, of rules whose events can be picked in the order of `rules` |
//! | `value_sum` | the sum of `field`, exact |
//! | `value_avg` | its mean; what is compared is the sum with the bound times the number of events, so no digit is lost |
//! | `value_percentile` | its nearest-rank percentile: the least sample that so many percent do not exceed; `percentile: 50` where the condition does not say |
//! | `value_median` | the middle sample; of an even number, the mean of the two in the middle |
//!
//! **At the edge.** An event exactly `timespan` before another is in its window, and one a millisecond
//! earlier is not. The window is judged at every event of the group, itself the last in it, and every event
//! at which the condition holds fires an alert of its own: with `gte: 3`, the third event and each one after
//! it. So a condition that asks for few (`lt`, `lte`, `eq`, `neq`) holds at events only: it never
//! fires because nothing happens, and `eq: 3` fires at the third event and not at the fourth.
//!
//! **What an event is.** A record is one event, whichever and however many of the rules accept it: the
//! specification counts events, not matches. Temporal types ask which rules have occurred, and there one
//! record stands for every rule that accepts it. A firing of a correlation that is referred to is an
//! event of its own beside the record that tipped it. Events of one instant are judged by their ids one
//! after the other, and satisfy an order either way. An event without the value that is counted or
//! measured is none; nor is one without a field of `group-by`. Both are counted by the engine.
//!
//! Values of an entry: the value, where the type looks at one, then what those want that hear of this one.
//! Marks: one bit for each rule, where they have to be told apart.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Millis, Number, Timestamp};

use super::super::spec::correlate::{Aggregate, Asks, Comparator, Comparison, Named, Occurrence};
use super::{
    Entry, Judge, Reach, Reason, SHOWN_VALUES, Tally, Values, Verdict, Window, count_in, count_out,
    json_number, measure, single, text_of,
};

/// Events that are looked through, the latest first, for the values that an alert names.
const LOOKED_THROUGH: usize = 1_000;

/// A correlation, compiled.
#[derive(Debug)]
pub struct Correlate {
    /// [t − timespan, t] as (t − w, t]: a millisecond longer, since there is no time between.
    pub within: Millis,
    /// What is asked.
    pub asks: Asks,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// One of its rules.
#[derive(Debug)]
pub struct Rule {
    /// The reference, as spelt.
    pub name: String,
    /// Which bit of an entry's marks says that an event is of it; zero where nobody asks.
    pub mark: u8,
}

/// What the window of an event that did not fire was short of.
#[derive(Debug, Clone, PartialEq)]
pub enum Shortfall {
    /// This was compared.
    Compared(Number),
    /// The rules of these numbers have not occurred.
    Missing(Vec<usize>),
    /// These have occurred, and the condition names others.
    Other(Vec<usize>),
    /// They have all occurred, in another order.
    Disorder,
}

/// A number as it is compared: so much, over so many.
struct Ratio(Number, u32);

impl Ratio {
    fn whole(number: usize) -> Self {
        Self(Number::whole(i64::try_from(number).unwrap_or(i64::MAX)), 1)
    }

    /// Whether all of `comparisons` hold.
    fn meets(&self, comparisons: &[Comparison]) -> bool {
        comparisons.iter().all(|comparison| {
            let bound = comparison.bound.times(self.1);
            match comparison.is {
                Comparator::Gt => self.0 > bound,
                Comparator::Gte => self.0 >= bound,
                Comparator::Lt => self.0 < bound,
                Comparator::Lte => self.0 <= bound,
                Comparator::Eq => self.0 == bound,
                Comparator::Neq => self.0 != bound,
            }
        })
    }

    fn shown(&self) -> Number {
        self.0.over(self.1)
    }
}

impl Named {
    /// Whether it holds where the rules have occurred of which `is` says so.
    fn holds(&self, is: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Rule(number) => is(*number),
            Self::Not(part) => !part.holds(is),
            Self::All(parts) => parts.iter().all(|part| part.holds(is)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(is)),
        }
    }

    /// The rules that it names without `not`.
    fn wanted(&self, negated: bool, wanted: &mut Vec<usize>) {
        match self {
            Self::Rule(number) if !negated => wanted.push(*number),
            Self::Rule(_) => {}
            Self::Not(part) => part.wanted(!negated, wanted),
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.wanted(negated, wanted);
                }
            }
        }
    }
}

impl Judge for Correlate {
    fn reach(&self) -> Reach {
        Reach::Time(self.within)
    }

    /// Counts of events, or of values, differ in their conditions alone.
    fn window(&self) -> Option<String> {
        match &self.asks {
            Asks::Events(_) => Some(format!("events {:?}", self.within)),
            Asks::Values(_) => Some(format!("values {:?}", self.within)),
            Asks::Rules(_) | Asks::Ordered(_) | Asks::Number(..) => None,
        }
    }

    /// A count of events needs no tally.
    fn tallies(&self) -> bool {
        !matches!(self.asks, Asks::Events(_))
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        match &self.asks {
            Asks::Events(_) => {}
            Asks::Values(_) => {
                if tally.values.is_empty() {
                    tally.values.push(Values::default());
                }
                if let Some(value) = entry.values.first().and_then(text_of) {
                    count_in(&mut tally.values[0], value);
                }
            }
            Asks::Rules(_) => {
                tally.shares.resize(self.rules.len(), 0);
                for (rule, count) in self.rules.iter().zip(&mut tally.shares) {
                    *count += u32::from(Self::is_of(entry, rule));
                }
            }
            Asks::Ordered(_) => {
                tally.times.resize(self.rules.len(), VecDeque::new());
                for (rule, times) in self.rules.iter().zip(&mut tally.times) {
                    if Self::is_of(entry, rule) {
                        times.push_back(entry.at);
                    }
                }
            }
            Asks::Number(Aggregate::Sum | Aggregate::Average, _) => {
                tally.sum = tally.sum + measure::sample(entry);
            }
            Asks::Number(Aggregate::Percentile(_) | Aggregate::Median, _) => measure::take_in(tally, entry),
        }
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        match &self.asks {
            Asks::Events(_) => {}
            Asks::Values(_) => {
                let value = entry.values.first().and_then(text_of);
                if let (Some(values), Some(value)) = (tally.values.first_mut(), value) {
                    count_out(values, value);
                }
            }
            Asks::Rules(_) => {
                for (rule, count) in self.rules.iter().zip(&mut tally.shares) {
                    *count -= u32::from(*count > 0 && Self::is_of(entry, rule));
                }
            }
            Asks::Ordered(_) => {
                for (rule, times) in self.rules.iter().zip(&mut tally.times) {
                    if Self::is_of(entry, rule) {
                        times.pop_front();
                    }
                }
            }
            Asks::Number(Aggregate::Sum | Aggregate::Average, _) => {
                tally.sum = tally.sum - measure::sample(entry);
            }
            Asks::Number(Aggregate::Percentile(_) | Aggregate::Median, _) => measure::take_out(tally, entry),
        }
    }

    fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict {
        let short = match &self.asks {
            Asks::Rules(occurrence) | Asks::Ordered(occurrence) => self.occurred(occurrence, tally),
            Asks::Events(bounds) | Asks::Values(bounds) | Asks::Number(_, bounds) => {
                let actual = self.actual(tally, window.hits);
                if actual.meets(bounds) { None } else { Some(Shortfall::Compared(actual.shown())) }
            }
        };
        short.map_or(Verdict::Holds, |short| Verdict::Short(Reason::Correlation(short)))
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let hits = window.hits;
        let actual = self.actual(tally, hits);
        let (events, number) = (hits.len(), json_number(actual.shown()));
        let mut finding = Finding { count: events as u64, ..Finding::default() };
        match &self.asks {
            Asks::Events(bounds) => {
                finding.threshold = shown(bounds);
                finding.actual = single("count", events);
            }
            Asks::Values(bounds) => {
                finding.count = tally.values.first().map_or(0, Values::len) as u64;
                finding.threshold = shown(bounds);
                finding.actual = single("distinct", number);
                finding.actual.insert("events".to_owned(), events.into());
                finding.scope = single("values", latest_values(hits));
            }
            Asks::Rules(occurrence) | Asks::Ordered(occurrence) => {
                finding.threshold = match occurrence {
                    Occurrence::All => single("rules", self.rules.len()),
                    Occurrence::Many(bounds) => shown(bounds),
                    Occurrence::Named(named) => single("condition", self.spelt(named)),
                };
                finding.actual = single("rules", number);
                finding.actual.insert("events".to_owned(), events.into());
                for (place, rule) in self.rules.iter().enumerate() {
                    let count = match self.asks {
                        Asks::Ordered(_) => tally.times.get(place).map_or(0, VecDeque::len),
                        Asks::Events(_) | Asks::Values(_) | Asks::Rules(_) | Asks::Number(..) => {
                            tally.shares.get(place).map_or(0, |count| *count as usize)
                        }
                    };
                    finding.values.insert(rule.name.clone(), count.into());
                }
            }
            Asks::Number(aggregate, bounds) => {
                finding.threshold = shown(bounds);
                finding.actual = single(&aggregate.to_string(), number.clone());
                finding.actual.insert("events".to_owned(), events.into());
                finding.scope = single("value", number);
            }
        }
        finding
    }
}

impl Correlate {
    fn is_of(entry: &Entry, rule: &Rule) -> bool {
        entry.marks >> rule.mark & 1 == 1
    }

    /// What is compared; of temporal types, how many rules have occurred.
    fn actual(&self, tally: &Tally, hits: &[Entry]) -> Ratio {
        match &self.asks {
            Asks::Events(_) => Ratio::whole(hits.len()),
            Asks::Values(_) => Ratio::whole(tally.values.first().map_or(0, Values::len)),
            Asks::Rules(_) | Asks::Ordered(_) => Ratio::whole(self.present(tally).len()),
            Asks::Number(aggregate, _) => {
                let samples = &tally.samples;
                let at = |place: usize| samples.get(place).copied().unwrap_or_default();
                match aggregate {
                    Aggregate::Sum => Ratio(tally.sum, 1),
                    Aggregate::Average => Ratio(tally.sum, u32::try_from(hits.len()).unwrap_or(u32::MAX)),
                    Aggregate::Percentile(percent) => {
                        let rank = (samples.len() * usize::from(*percent)).div_ceil(100).max(1);
                        Ratio(at(rank - 1), 1)
                    }
                    Aggregate::Median if samples.len().is_multiple_of(2) => {
                        let half = samples.len() / 2;
                        Ratio(at(half.saturating_sub(1)) + at(half), 2)
                    }
                    Aggregate::Median => Ratio(at(samples.len() / 2), 1),
                }
            }
        }
    }

    fn has_occurred(&self, tally: &Tally, rule: usize) -> bool {
        match self.asks {
            Asks::Ordered(_) => tally.times.get(rule).is_some_and(|times| !times.is_empty()),
            Asks::Events(_) | Asks::Values(_) | Asks::Rules(_) | Asks::Number(..) => {
                tally.shares.get(rule).is_some_and(|count| *count > 0)
            }
        }
    }

    /// The numbers of the rules that have occurred.
    fn present(&self, tally: &Tally) -> Vec<usize> {
        (0..self.rules.len()).filter(|rule| self.has_occurred(tally, *rule)).collect()
    }

    /// What a temporal condition is short of; none if it holds.
    fn occurred(&self, occurrence: &Occurrence, tally: &Tally) -> Option<Shortfall> {
        let ordered = matches!(self.asks, Asks::Ordered(_));
        let present = self.present(tally);
        match occurrence {
            Occurrence::All => {
                if present.len() < self.rules.len() {
                    let missing = (0..self.rules.len()).filter(|rule| !present.contains(rule));
                    return Some(Shortfall::Missing(missing.collect()));
                }
                let in_order = !ordered || in_order(&present, tally) == present.len();
                (!in_order).then_some(Shortfall::Disorder)
            }
            Occurrence::Many(bounds) => {
                let many = if ordered { in_order(&present, tally) } else { present.len() };
                let actual = Ratio::whole(many);
                (!actual.meets(bounds)).then(|| Shortfall::Compared(actual.shown()))
            }
            Occurrence::Named(named) => {
                if !named.holds(&|rule| self.has_occurred(tally, rule)) {
                    return Some(Shortfall::Other(present));
                }
                let mut wanted = Vec::new();
                named.wanted(false, &mut wanted);
                let picked: Vec<usize> = present.into_iter().filter(|rule| wanted.contains(rule)).collect();
                let in_order = !ordered || in_order(&picked, tally) == picked.len();
                (!in_order).then_some(Shortfall::Disorder)
            }
        }
    }

    /// An extended condition as a person reads it.
    fn spelt(&self, named: &Named) -> String {
        let name = |number: &usize| self.rules.get(*number).map_or(String::new(), |rule| rule.name.clone());
        let list = |parts: &[Named], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| self.spelt(part)).collect();
            format!("({})", parts.join(word))
        };
        match named {
            Named::Rule(number) => name(number),
            Named::Not(part) => format!("not {}", self.spelt(part)),
            Named::All(parts) => list(parts, " and "),
            Named::Any(parts) => list(parts, " or "),
        }
    }
}

/// Of how many of `rules` events can be picked whose times follow in their order. For each number of
/// rules the earliest time at which so many can be picked is enough to know.
fn in_order(rules: &[usize], tally: &Tally) -> usize {
    let mut ends: Vec<Timestamp> = Vec::with_capacity(rules.len());
    for rule in rules {
        let Some(times) = tally.times.get(*rule) else { continue };
        for picked in (0..=ends.len()).rev() {
            let after = picked.checked_sub(1).map_or(Timestamp::MIN, |last| ends[last]);
            let Some(next) = times.get(times.partition_point(|time| *time < after)) else { continue };
            match ends.get_mut(picked) {
                Some(end) => *end = (*end).min(*next),
                None => ends.push(*next),
            }
        }
    }
    ends.len()
}

/// The different values of the latest events, in their own order.
fn latest_values(hits: &[Entry]) -> Vec<Json> {
    let mut values: BTreeSet<&str> = BTreeSet::new();
    for hit in hits.iter().rev().take(LOOKED_THROUGH) {
        if values.len() == SHOWN_VALUES {
            break;
        }
        values.extend(hit.values.first().and_then(text_of).map(|value| &**value));
    }
    values.into_iter().map(|value| value.replace('\u{1f}', ", ").into()).collect()
}

/// A condition as an alert shows it.
fn shown(bounds: &[Comparison]) -> Map<String, Json> {
    bounds.iter().map(|one| (one.is.as_str().to_owned(), json_number(one.bound))).collect()
}

impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sum => f.write_str("sum"),
            Self::Average => f.write_str("avg"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Median => f.write_str("median"),
        }
    }
}
