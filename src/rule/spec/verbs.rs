//! The stateful verbs, as a rule file spells them.

use std::fmt;

use chrono_tz::Tz;
use serde::Serialize;

use super::super::hours::zone_name;
use super::super::verb::usual;
use super::correlate::CorrelateSpec;
use super::{Expr, Grouping, Ordering, ScriptText};
use crate::record::{FieldName, Millis, Number};

/// The stateful verbs. Most rules of many have none, so that it takes little room where it is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Verb {
    /// So many hits within a window.
    Count(Box<CountSpec>),
    /// So many distinct values within a window.
    Distinct(Box<DistinctSpec>),
    /// A value the group has not shown before.
    FirstSeen(Box<FirstSeenSpec>),
    /// A statistic of a number field.
    Measure(Box<MeasureSpec>),
    /// Points of other rules' alerts.
    Risk(Box<RiskSpec>),
    /// A leaky bucket.
    Rate(Box<RateSpec>),
    /// Steps in order.
    Sequence(Box<SequenceSpec>),
    /// No hit for so long.
    Absent(Box<AbsentSpec>),
    /// A Rhai script over the group's last records.
    Script(Box<ScriptSpec>),
    /// Two places too far apart for the time between.
    Travel(Box<TravelSpec>),
    /// Two sessions open at once.
    Overlap(Box<OverlapSpec>),
    /// Far from what is usual for the group.
    Usual(Box<UsualSpec>),
    /// What other rules find, as a Sigma document correlates it.
    Correlate(Box<CorrelateSpec>),
}

impl Verb {
    /// Its groups.
    pub fn group(&self) -> &Grouping {
        match self {
            Self::Count(verb) => &verb.group,
            Self::Distinct(verb) => &verb.group,
            Self::FirstSeen(verb) => &verb.group,
            Self::Measure(verb) => &verb.group,
            Self::Risk(verb) => &verb.group,
            Self::Rate(verb) => &verb.group,
            Self::Sequence(verb) => &verb.group,
            Self::Absent(verb) => &verb.group,
            Self::Script(verb) => &verb.group,
            Self::Travel(verb) => &verb.group,
            Self::Overlap(verb) => &verb.group,
            Self::Usual(verb) => &verb.group,
            Self::Correlate(verb) => &verb.group,
        }
    }

    /// The fields that it looks at besides its groups'; a script's are told in its own terms.
    pub fn fields(&self) -> Vec<&FieldName> {
        match self {
            Self::Count(verb) => {
                let distinct = verb.having.iter().filter_map(|having| match &having.test {
                    HavingTest::Distinct { field, .. } => Some(field),
                    HavingTest::Share { .. } => None,
                });
                distinct.collect()
            }
            Self::Distinct(verb) => vec![&verb.field],
            Self::FirstSeen(verb) => {
                let common = verb.unless_common.iter().map(|common| &common.by);
                verb.value.iter().chain(&verb.same_if).chain(common).collect()
            }
            Self::Measure(verb) => vec![&verb.field],
            Self::Rate(verb) => verb.distinct.iter().collect(),
            Self::Travel(verb) => verb.ignore_same.iter().collect(),
            Self::Overlap(verb) => verb.pair.fields.iter().map(|(field, _)| field).collect(),
            Self::Usual(verb) => match &verb.of {
                UsualOf::Value(field) => vec![field],
                UsualOf::Rate { .. } => Vec::new(),
            },
            // What a Sigma document names is told of where that is read.
            Self::Absent(_) | Self::Risk(_) | Self::Script(_) | Self::Sequence(_) | Self::Correlate(_) => {
                Vec::new()
            }
        }
    }
}

/// `count:`. At least one of `at_least` and `having` is given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Window length.
    pub within: Millis,
    /// Hits that fire; at least 1.
    pub at_least: Option<u32>,
    /// A record of the group that clears it.
    pub unless: Option<Expr>,
    /// Firing empties the window and there is no cooldown.
    pub restart: bool,
    /// Further conditions over the same window; all must hold.
    pub having: Vec<Having>,
}

/// One named condition of `having:`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Having {
    /// Its name; its actual value is in scope of the text under it.
    pub name: String,
    /// What must hold.
    pub test: HavingTest,
}

/// What a window must show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum HavingTest {
    /// So many distinct values of a field.
    Distinct {
        /// The field.
        field: FieldName,
        /// How many.
        at_least: u32,
    },
    /// So many of the window's hits, or so large a share of them, are such records.
    Share {
        /// What such a record is.
        matches: Expr,
        /// How many, or which share.
        at_least: Amount,
        /// The share is at least so many times that of all other groups, in hundredths.
        times_others: Option<u32>,
    },
}

/// A number of hits or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Amount {
    /// So many.
    Hits(u32),
    /// So many percent, above 0 and at most 100.
    Percent(Number),
}

/// `distinct:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DistinctSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Window length.
    pub within: Millis,
    /// Whose values are counted.
    pub field: FieldName,
    /// Distinct values that fire; at least 1.
    pub at_least: u32,
    /// A value with more hits than this in the window leaves the count.
    pub each_at_most: Option<u32>,
}

/// `first_seen:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FirstSeenSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// The value: one field, or a tuple of several.
    pub value: Vec<FieldName>,
    /// A group is silent until both are met; none: only its first value is silent.
    pub learn: Option<Learn>,
    /// A value unused this long is new again; none: never.
    pub forget: Option<Millis>,
    /// An address is its network of this many bits; none: `off`.
    pub same_net: Option<SameNet>,
    /// `first_value: alert`.
    pub first_value_alerts: bool,
    /// A value is known too if the group knows these fields of its record together; empty: no.
    // Rules that do not use it keep the revision that they had before there was such a thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub same_if: Vec<FieldName>,
    /// A value that many show is no news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless_common: Option<UnlessCommon>,
}

/// `unless_common:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnlessCommon {
    /// Whose different values are counted.
    pub by: FieldName,
    /// How many of them make a value common; at least 2.
    pub at_least: u32,
    /// How far back they count.
    pub within: Millis,
}

/// How long a group learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Learn {
    /// Since its first record; zero where not given.
    pub lasts: Millis,
    /// So many records before the one that is judged; zero where not given.
    pub records: u32,
}

/// How many bits of an address make its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SameNet {
    /// Of an IPv4 address, 0 to 32.
    pub v4: u8,
    /// Of an IPv6 address, 0 to 128.
    pub v6: u8,
}

impl Default for SameNet {
    fn default() -> Self {
        Self { v4: 24, v6: 56 }
    }
}

/// `measure:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasureSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// The number field.
    pub field: FieldName,
    /// Which statistic of the samples.
    pub stat: Stat,
    /// Fires strictly beyond this.
    pub limit: Limit,
    /// Only the last so many samples of the window; none: all.
    pub last: Option<u32>,
    /// Window length.
    pub within: Millis,
    /// Fewer samples prove nothing; at least 1.
    pub at_least: u32,
    /// Strictly beyond this the alert is resolved.
    pub recover: Option<Limit>,
}

/// A bound in a direction; strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Limit {
    /// More than.
    Above(Number),
    /// Less than.
    Below(Number),
}

/// A statistic of samples. Percentiles are nearest-rank; `median` is the 50th.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stat {
    /// `p1` to `p99`, and `median`.
    Percentile(u8),
    /// Arithmetic mean.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Total.
    Sum,
}

/// `rate:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Units in the bucket that fire; at least 1.
    pub at_least: u32,
    /// One unit drains in so long.
    pub drains_every: Millis,
    /// Only a value of this field that is not in the bucket pours; none: every hit.
    pub distinct: Option<FieldName>,
}

/// `sequence:`. Its steps match by themselves; the rule's `match` is any of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SequenceSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Window length.
    pub within: Millis,
    /// At least two, or one before `absent`.
    pub steps: Vec<StepSpec>,
    /// `{absent: …}`, the last step.
    pub absent: Option<Expr>,
    /// A record of the group that clears it.
    pub until: Option<Expr>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepSpec {
    /// Its name in the alert's text.
    pub name: Option<String>,
    /// What its records are.
    pub matches: Expr,
    /// How many it takes; at least 1.
    pub at_least: u32,
}

/// `absent:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AbsentSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Fires so long after the last hit.
    pub lasts: Millis,
    /// A group without a hit for so long is forgotten; none: never.
    pub retire: Option<Millis>,
    /// Values of this list are groups too, from the rule's first hit on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// `risk:`. At least one of `at_least` and `techniques` is given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Window length.
    pub within: Millis,
    /// Points that fire; at least 1.
    pub at_least: Option<u32>,
    /// Distinct techniques that fire; at least 1.
    pub techniques: Option<u32>,
}

/// `script:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScriptSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// How many of the group's last records, this one included, the script may look back on; 1 to 64.
    pub keep: u32,
    /// The script.
    pub when: ScriptText,
}

/// `travel:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TravelSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// Least distance, in km; at least [`TravelSpec::LEAST_KM`].
    pub at_least: u32,
    /// Fires strictly above this speed, in km/h.
    pub faster_than: u32,
    /// Two points that share the value of one of these fields are no journey.
    pub ignore_same: Vec<FieldName>,
    /// Records from addresses of these lists are nowhere.
    // As of `same_if`: who does not use it keeps the revision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_in: Vec<String>,
}

impl TravelSpec {
    /// Under this distance nothing is ever told: places in geography files are no more exact.
    pub const LEAST_KM: u32 = 50;
    /// No two places are further apart.
    pub const MOST_KM: u32 = 20_015;
    /// Fastest speed that can be asked for: what is told of at a second's difference is faster.
    pub const MOST_KMH: u32 = 100_000;
}

/// `overlap:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlapSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// `for`: how long both are open at least.
    pub lasts: Millis,
    /// `where`: what they must be to each other.
    pub pair: Pair,
    /// The records that may be a session's end: as far as kind and service go, the match's.
    #[serde(skip)]
    pub ends: Expr,
}

/// What two sessions must be to each other; all must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Pair {
    /// Bounds of the distance in km.
    pub km: Vec<(Ordering, Number)>,
    /// Fields that both have, with the same value (true) or with different ones.
    pub fields: Vec<(FieldName, bool)>,
}

impl Pair {
    /// True where anything goes.
    pub fn is_empty(&self) -> bool {
        self.km.is_empty() && self.fields.is_empty()
    }
}

/// `km >= 500, public_ip different`
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let km = self.km.iter().map(|(ordering, bound)| format!("km {} {bound}", ordering.sign()));
        let word = |same: bool| if same { "same" } else { "different" };
        let fields = self.fields.iter().map(|(field, same)| format!("{field} {}", word(*same)));
        f.write_str(&km.chain(fields).collect::<Vec<_>>().join(", "))
    }
}

/// `usual:`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsualSpec {
    /// `by` and `missing`.
    pub group: Grouping,
    /// What is compared with what is usual.
    pub of: UsualOf,
    /// How far from usual fires.
    pub far: Far,
    /// A group learns for so long, since its first record.
    pub lasts: Millis,
    /// And until it has so many samples; of a rate, so many weeks.
    pub samples: u32,
}

impl UsualSpec {
    /// Samples that a group keeps at most.
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
    pub const MAX_SAMPLES: u32 = usual::MAX_SAMPLES as u32;
    /// Weeks that a group keeps at most.
    #[expect(clippy::cast_possible_truncation, reason = "a few")]
    pub const MAX_WEEKS: u32 = usual::MAX_WEEKS as u32;
}

/// What is compared with what is usual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum UsualOf {
    /// A number field.
    Value(FieldName),
    /// How many records of the group there are in a stretch of the week.
    Rate {
        /// How long a stretch is; it divides a day.
        per: Millis,
        /// Whose clocks tell the stretches.
        #[serde(serialize_with = "zone_name")]
        zone: Tz,
    },
}

/// How far from usual; both conditions are strict, and one of them is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Far {
    /// More than usual (true), or less.
    pub above: bool,
    /// So many times as much, or one in so many, in hundredths.
    pub hundredths: Option<u32>,
    /// So much more, or less.
    pub and_by: Option<Number>,
}

impl Far {
    /// `times`
    pub fn times(&self) -> Option<Number> {
        self.hundredths.map(|hundredths| Number::whole(hundredths.into()).over(100))
    }
}

impl Stat {
    /// The 50th percentile.
    pub const MEDIAN: Self = Self::Percentile(50);
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(50) => f.write_str("median"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Mean => f.write_str("mean"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Sum => f.write_str("sum"),
        }
    }
}
