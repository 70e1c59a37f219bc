//! A rule as its file spells it, decoded: every value typed, every name resolved, nothing compiled
//! for speed yet. Spans stand where a later step can still find a fault.
//!
//! What changes a rule's meaning is `Serialize` (spans are not): its digest is the rule's revision.

pub mod correlate;
mod verbs;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use crate::record::{FieldName, Level, Millis, Number, RuleId, Timestamp};

use super::case::Case;
use super::hours::Hours;
use super::pattern::Pattern;
use super::problem::Span;
use super::suggest::nearest;
pub use correlate::CorrelateSpec;
pub use verbs::{
    AbsentSpec, Amount, CountSpec, DistinctSpec, Far, FirstSeenSpec, Having, HavingTest, Learn, Limit,
    MeasureSpec, OverlapSpec, Pair, RateSpec, RiskSpec, SameNet, ScriptSpec, SequenceSpec, Stat, StepSpec,
    TravelSpec, UnlessCommon, UsualOf, UsualSpec, Verb,
};

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

    /// Its least and its greatest number; a year has none.
    pub fn range(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Week => (1, 53),
            Self::Month => (1, 12),
            Self::Year => return None,
        })
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
