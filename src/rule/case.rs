//! The tests inside rule files, parsed; `cli::test` runs them on the engine.

use serde::de::IgnoredAny;

use crate::record::{FieldName, Millis, Timestamp};

use super::problem::{Problems, Span};
use super::suggest::nearest;
use super::template::Scope;

/// Values of a list, and until when each holds; none: for good.
pub type ListValues = Vec<(String, Option<Timestamp>)>;

/// A value of JSON as a source would spell it, so that a number of any size is sent as it stands in the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelt(Box<str>);

impl Spelt {
    /// The number that `text` is in JSON, of any size; none if it is none there.
    pub fn number(text: &str) -> Option<Self> {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit())
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        is_number.then(|| Self(text.into()))
    }

    /// As it stands in a line of JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<serde_json::Value> for Spelt {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

/// One test of a rule.
#[derive(Debug, Clone)]
pub struct Case {
    /// The claim.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Lists that it gives, by name: values, and until when each holds.
    pub lists: Vec<(String, ListValues)>,
    /// Records before the events; alerts they raise are not asserted.
    pub history: Vec<EventLine>,
    /// Records whose alerts are asserted.
    pub events: Vec<EventLine>,
    /// In order; empty for `alerts: none`.
    pub alerts: Vec<Expected>,
}

/// One line of events: one or several records.
#[derive(Debug, Clone)]
pub struct EventLine {
    /// Where it stands.
    pub span: Span,
    /// How many; `each` multiplies nothing: its lists are walked in step with the records. None where
    /// not given (the longest list of `each`, else 1; 0 for a bare `{after: 1h}`).
    pub times: Option<u32>,
    /// Time between them; none: all at once.
    pub every: Option<Millis>,
    /// Since the end of the line before.
    pub after: Option<Millis>,
    /// At this instant.
    pub at: Option<Timestamp>,
    /// Fields that take the next value of their list with each record.
    pub each: Vec<(FieldName, Vec<Spelt>)>,
    /// Fields of every record of the line.
    pub fields: Vec<(FieldName, Spelt)>,
}

/// What one alert must be; only what is named is asserted.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Where it stands.
    pub span: Span,
    /// Name in scope (`user`, `count`, `title`, `level`, `at`, `late`, `state`, `repeats`, …) and
    /// the text it must show as.
    pub values: Vec<(String, Span, String)>,
}
/// What a test may assert of an alert besides the names that its texts may use.
const OF_ALERTS: [&str; 6] = ["title", "state", "late", "held", "repeats", "observe"];

/// Notes every name that a test asserts and no alert of the rule has.
pub fn check_names(tests: &[Case], scope: &Scope, problems: &mut Problems) {
    for (name, span, _) in tests.iter().flat_map(|test| &test.alerts).flat_map(|alert| &alert.values) {
        if OF_ALERTS.contains(&name.as_str()) || scope.knows(name) {
            continue;
        }
        let message = format!("an alert of this rule has no `{name}`");
        match nearest(name, scope.all().chain(OF_ALERTS)) {
            Some(near) => problems.error_hint(*span, message, format!("did you mean `{near}`?")),
            None => problems.error(*span, message),
        }
    }
}
