//! A rule as its file spells it, decoded: every value typed, every name resolved, nothing compiled
//! for speed yet. Spans stand where a later step can still find a fault.
//!
//! What changes a rule's meaning is `Serialize` (spans are not): its digest is the rule's revision.

pub mod correlate;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use chrono_tz::Tz;
use ipnet::IpNet;
use serde::Serialize;

use crate::record::{FieldName, Level, Millis, Number, RuleId, Timestamp};

use super::case::Case;
use super::hours::{Hours, zone_name};
use super::pattern::Pattern;
use super::problem::Span;
use super::suggest::nearest;
use super::verb::usual;
pub use correlate::CorrelateSpec;

/// One rule file.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Version of the engine's meaning that it is of; see [`super::SEMANTICS`].
    pub semantics: u32,
    /// Unique id.
    pub id: RuleId,
    /// Where the id stands, for faults about the rule as a whole (a second rule of that name).
    pub id_span: Span,
    /// One line for people.
    pub title: String,
    /// How grave its alerts are, unless `levels` says otherwise.
    pub level: Level,
    /// What a record must be to be a hit.
    pub matches: Expr,
    /// A row is one record, whatever phases it has: so it is to Sigma documents that do not ask.
    pub per_row: bool,
    /// Fields that have a name only because a source's map gives them one.
    pub declared: Vec<String>,
    /// Lists that it may name, and those that it does.
    pub lists: ListNames,
    /// When records are hits; none: always.
    pub hours: Option<Hours>,
    /// The stateful verb, if any.
    pub verb: Option<Verb>,
    /// Records that are no hits although they match.
    pub except: Vec<Exception>,
    /// First line that holds sets the level.
    pub levels: Vec<LevelLine>,
    /// When the rule may fire again; none where the file does not say.
    pub cooldown: Option<Cooldown>,
    /// How late a record may come and still be put in at its own time.
    pub late_within: Millis,
    /// Rules whose open alerts hold this rule's back, and where they are named.
    pub quiet_while: Vec<(RuleId, Span)>,
    /// Whether alerts are sent.
    pub mode: Mode,
    /// Receivers in addition to the routes'.
    pub notify: Vec<String>,
    /// The alert's text.
    pub alert: AlertText,
    /// Words for people and tools; no effect on firing.
    pub about: About,
    /// The rule's own tests.
    pub tests: Vec<Case>,
}

/// Lists by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListNames {
    /// Those that there are.
    pub known: Vec<String>,
    /// Those that the rule's conditions read.
    pub read: BTreeSet<String>,
}

impl ListNames {
    /// What to do about a list that there is not.
    pub fn way_out(&self, name: &str) -> String {
        match nearest(name, self.known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "name its file under `lists:` in the configuration, or with `--lists {name}=FILE`; a test gives its values with `lists: {{{name}: […]}}`"
            ),
        }
    }
}

/// What a rule file says about itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Why anybody should care.
    pub why: Option<String>,
    /// MITRE ATT&CK technique ids.
    pub attack: Vec<String>,
    /// Known harmless causes.
    pub falsepositives: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Sigma's status: stable, test, experimental, deprecated, unsupported.
    pub status: Option<String>,
    /// Longer text.
    pub description: Option<String>,
    /// Links.
    pub references: Vec<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When.
    pub date: Option<String>,
}

/// A condition over one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Expr {
    /// Every part holds; true when there is none.
    All(Vec<Expr>),
    /// Some part holds; false when there is none.
    Any(Vec<Expr>),
    /// The part does not hold.
    Not(Box<Expr>),
    /// One field is looked at.
    Is(Predicate),
}

/// One look at one field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicate {
    /// The field.
    pub field: FieldName,
    /// What it must be.
    pub test: Test,
    /// True when case counts.
    pub cased: bool,
    /// The key as spelt in the file (`user_name|contains`), for `explain`.
    #[serde(skip)]
    pub spelt: String,
    /// Where it stands.
    #[serde(skip)]
    pub span: Span,
}

/// What a field must be. Several values are alternatives; `|all` is spelt as [`Expr::All`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Test {
    /// Equal to one of these.
    Equals(Vec<Literal>),
    /// Contains one of these. Needles of text tests are folded unless the predicate is cased.
    Contains(Vec<String>),
    /// Starts with one of these.
    StartsWith(Vec<String>),
    /// Ends with one of these.
    EndsWith(Vec<String>),
    /// One of these finds a match anywhere.
    Regex(Vec<Pattern>),
    /// An address in one of these networks.
    Cidr(Vec<IpNet>),
    /// Above the number (or later than the instant).
    Compare(Ordering, Bound),
    /// Present and not null (`true`), or absent or null (`false`).
    Exists(bool),
    /// Equal to another field of the same record.
    FieldRef(FieldName),
    /// A value of one of these lists.
    In(Vec<String>),
    /// Used so before this record, by successes of its kind that have the same values of these
    /// fields; none of them: of the tenant. Depends on state.
    Past(Past, Vec<FieldName>),
    // What Sigma documents ask stands last: rules keep the revision that they had before there were any.
    /// The line has the key, be its value null (`true`), or has not (`false`).
    There(bool),
    /// This part of it is the value of another field of the same record; for lists, any of their elements.
    Refers(Part, FieldName),
    /// A part of an instant, in UTC: one of these numbers, or so compared with the one.
    Clock(ClockPart, Option<Ordering>, Vec<Number>),
    /// This part of it is a value of the list between these texts.
    Filled(Filling),
}

/// Which part of a text is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its beginning.
    Start,
    /// Its end.
    End,
    /// Any part of it.
    Anywhere,
}

impl Part {
    /// Whether this part of `text` is `other`.
    pub fn is(self, text: &str, other: &str) -> bool {
        match self {
            Self::Whole => text == other,
            Self::Start => text.starts_with(other),
            Self::End => text.ends_with(other),
            Self::Anywhere => text.contains(other),
        }
    }
}

/// A text with a value of a list in it: Sigma's `%name%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filling {
    /// Which part of the field's text it is.
    pub part: Part,
    /// What stands before the value; folded unless the predicate is cased.
    pub before: String,
    /// The list.
    pub list: String,
    /// What stands behind it.
    pub after: String,
}

/// Parts of an instant, as Sigma's modifiers name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ClockPart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month, from 1.
    Day,
    /// Of the year, by ISO 8601, from 1.
    Week,
    /// From 1.
    Month,
    /// Of our era.
    Year,
}

impl ClockPart {
    /// Every part and its word.
    pub const ALL: [(&'static str, Self); 6] = [
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("year", Self::Year),
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, part)| *part == self).map_or("", |(word, _)| word)
    }

    /// What it is at that instant, in UTC.
    pub fn of(self, at: Timestamp) -> Option<i64> {
        use chrono::{Datelike, Timelike};
        let time = chrono::DateTime::from_timestamp_millis(at.0)?;
        Some(match self {
            Self::Minute => time.minute().into(),
            Self::Hour => time.hour().into(),
            Self::Day => time.day().into(),
            Self::Week => time.iso_week().week().into(),
            Self::Month => time.month().into(),
            Self::Year => time.year().into(),
        })
    }
}

/// What is asked of a value's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Past {
    /// `new`: never used.
    New,
    /// `known`: first used at least a day before.
    Known,
    /// `unseen_for`: last used longer ago than this.
    Unseen(Millis),
}

/// `gt`, `gte`, `lt`, `lte`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Ordering {
    /// Greater than.
    Above,
    /// At least.
    AtLeast,
    /// Less than.
    Below,
    /// At most.
    AtMost,
}

impl Ordering {
    /// As a sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

/// What is compared with, by the field's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Bound {
    /// Number fields, and `raw.` fields.
    Number(Number),
    /// Time fields.
    Time(Timestamp),
    /// `duration`.
    Length(Millis),
}

/// One value a field may equal, typed by the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Literal {
    /// Text; folded unless the predicate is cased. The empty string is the empty string.
    Text(String),
    /// On number fields.
    Number(Number),
    /// On `duration`.
    Length(Millis),
    /// On boolean fields.
    Bool(bool),
    /// On address fields, where the text is an address; IPv4-mapped ones are unmapped.
    Address(IpAddr),
    /// Null or absent.
    Null,
}

/// The fields whose values make a group, and what happens to a record that lacks one.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Grouping {
    /// Empty: one group a tenant.
    pub by: Vec<FieldName>,
    /// A record whose `by` field is absent, null, empty or `0.0.0.0` is skipped (false) or makes
    /// a group of its own kind (true, `missing: own`).
    pub missing_own: bool,
}

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

impl Spec {
    /// Whether its alerts are open for some time: until a cooldown ends, or what they tell of is over.
    pub fn stays_open(&self) -> bool {
        match (&self.cooldown, &self.verb) {
            (_, Some(Verb::Absent(_))) | (Some(Cooldown::For { .. }), _) => true,
            (_, Some(Verb::Measure(measure))) if measure.recover.is_some() => true,
            (None, Some(Verb::Count(count))) => !count.restart,
            (
                None,
                Some(
                    Verb::Distinct(_)
                    | Verb::Measure(_)
                    | Verb::Risk(_)
                    | Verb::Rate(_)
                    | Verb::Sequence(_)
                    | Verb::Usual(_),
                ),
            ) => true,
            (
                None,
                Some(
                    Verb::FirstSeen(_)
                    | Verb::Script(_)
                    | Verb::Travel(_)
                    | Verb::Overlap(_)
                    | Verb::Correlate(_),
                )
                | None,
            )
            | (Some(Cooldown::Off), _) => false,
        }
    }
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

/// A script's text and where it stands, so that a fault inside it can be told at its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptText {
    /// As Rhai gets it.
    pub text: Arc<str>,
    /// Where in the YAML file each line of `text` begins: byte offset of the line's first
    /// character in the source. As many as `text` has lines.
    #[serde(skip)]
    pub lines: Vec<usize>,
    /// Line of the YAML file, from 1, on which the first line of `text` stands.
    #[serde(skip)]
    pub first_line: usize,
    /// The file that it stands in, where that is not the rule's.
    #[serde(skip)]
    pub file: Option<Arc<str>>,
}

/// `except:`, one entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exception {
    /// Which records.
    pub matches: Expr,
    /// Why; required.
    pub because: String,
    /// Until the end of that day (exclusive instant); none: for good.
    pub until: Option<Timestamp>,
}

/// `levels:`, one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelLine {
    /// The level where it holds.
    pub level: Level,
    /// When it holds.
    pub when: Expr,
}

/// `cooldown:` as given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Cooldown {
    /// `off`.
    Off,
    /// For so long after a firing; `by` only for rules without a verb.
    For {
        /// How long.
        lasts: Millis,
        /// The group it holds for.
        group: Grouping,
    },
}

/// `mode:`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// Alerts are sent.
    Live,
    /// Alerts are kept and none is sent.
    Observe,
    /// Only the correlations that refer to it hear of what it finds.
    Heard,
}

/// `alert:`
#[derive(Debug, Clone, Default)]
pub struct AlertText {
    /// Template of the title; the rule's own title where absent.
    pub title: Option<Template>,
    /// Fields whose distinct values in the window are shown.
    pub show: Vec<FieldName>,
    /// What to do.
    pub runbook: Option<Template>,
}

/// A template as spelt, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// minijinja source.
    pub text: String,
    /// Where it stands.
    pub span: Span,
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
