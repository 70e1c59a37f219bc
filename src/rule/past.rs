//! `new`, `known` and `unseen_for`: what a condition asks of a value's past, and what is left of a
//! condition when the record alone has been looked at.
//!
//! A value's past is when successes of the record's kind had it before, in its group: a memory of
//! (field, by) that all rules share that ask for it. A rule whose alerts can be high and stay open has
//! memories of its own: from the records of such an alert, while it is open, they do not learn, so
//! that whoever was told of is not `known` the day after. What one rule tells of says nothing about
//! what another remembers: rules need not wait for each other to know what is remembered.
//!
//! Which successes a memory learns from is said here; what it has learnt is `engine::memory`'s. Nothing
//! here holds state.

use serde::{Deserialize, Serialize};

use super::compile::{Carry, Form, KeyPart, Program, Reads, key_text};
use super::problem::Span;
use super::spec::{Expr, Literal, Past, Predicate, Test};
use super::verb::Order;
use crate::alert::Revision;
use crate::record::scan::Endpoint;
use crate::record::{Columns, Datum, FieldName, Millis, Phase, Record, RuleId, Timestamp};

/// A value is known when it was first used this long before.
pub const KNOWN_AFTER: Millis = Millis::hours(24);

/// Number of a distinct question of a generation.
pub type QuestionId = u32;

/// One thing that a program asks of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Which of the generation's.
    pub id: QuestionId,
    /// What is asked.
    pub past: Past,
    /// Number of the memory that answers.
    pub memory: usize,
}

/// When a value was used before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    /// The first time.
    pub first: Timestamp,
    /// The last time before the record.
    pub last: Timestamp,
}

impl Past {
    /// The answer for a record at `at` whose value was used so; none: never.
    pub fn holds(self, at: Timestamp, uses: Option<Uses>) -> bool {
        match (self, uses) {
            (Self::New, uses) => uses.is_none(),
            (Self::Known, Some(uses)) => uses.first <= at - KNOWN_AFTER,
            (Self::Unseen(lasts), Some(uses)) => uses.last < at - lasts,
            (Self::Known | Self::Unseen(_), None) => false,
        }
    }
}

/// What is left of a condition: what a record says by itself is settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Rest {
    /// Nothing is left.
    Settled(bool),
    /// The program's question of this number.
    Asks(u32),
    /// Every part holds.
    All(Vec<Rest>),
    /// Some part holds.
    Any(Vec<Rest>),
    /// The part does not hold.
    Not(Box<Rest>),
}

impl Rest {
    /// Whether it holds, with the program's questions answered.
    pub fn holds(&self, answers: &[bool]) -> bool {
        match self {
            Self::Settled(holds) => *holds,
            Self::Asks(number) => answers.get(*number as usize).copied().unwrap_or(false),
            Self::All(parts) => parts.iter().all(|part| part.holds(answers)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(answers)),
            Self::Not(part) => !part.holds(answers),
        }
    }

    /// Whether it may hold: no question holds that is not `asked`, and nobody knows what the others do.
    pub fn may_hold(&self, asked: &impl Fn(u32) -> bool) -> bool {
        self.may_be(true, asked)
    }

    fn may_be(&self, so: bool, asked: &impl Fn(u32) -> bool) -> bool {
        match self {
            Self::Settled(holds) => *holds == so,
            Self::Asks(number) => !so || asked(*number),
            // Questions that stand twice are taken for two: at worst something is asked in vain.
            Self::All(parts) if so => parts.iter().all(|part| part.may_be(so, asked)),
            Self::Any(parts) if !so => parts.iter().all(|part| part.may_be(so, asked)),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.may_be(so, asked)),
            Self::Not(part) => part.may_be(!so, asked),
        }
    }

    /// All of `parts`, which come one by one; settled as soon as one does not hold.
    pub fn all(parts: impl Iterator<Item = Self>) -> Self {
        Self::together(parts, false, Self::All)
    }

    /// Any of `parts`.
    pub fn any(parts: impl Iterator<Item = Self>) -> Self {
        Self::together(parts, true, Self::Any)
    }

    fn together(parts: impl Iterator<Item = Self>, decisive: bool, make: fn(Vec<Self>) -> Self) -> Self {
        let mut open = Vec::new();
        for part in parts {
            match part {
                Self::Settled(holds) if holds == decisive => return part,
                Self::Settled(_) => {}
                Self::Asks(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => open.push(part),
            }
        }
        match open.len() {
            0 => Self::Settled(!decisive),
            1 => open.swap_remove(0),
            _ => make(open),
        }
    }

    /// The contrary.
    #[must_use]
    pub fn contrary(self) -> Self {
        match self {
            Self::Settled(holds) => Self::Settled(!holds),
            Self::Asks(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => Self::Not(Box::new(self)),
        }
    }
}

/// A memory: which uses of which values it keeps, and for whom.
#[derive(Debug)]
pub struct Memory {
    /// Whose values.
    pub field: FieldName,
    /// For each of whom; none: for the tenant.
    pub by: Vec<FieldName>,
    /// Vendor's kinds of records that nobody asks about.
    pub deaf: Vec<&'static str>,
    /// What it learns from.
    pub learns: Expr,
    /// Where such records come from.
    pub reads: Reads,
    /// The rule whose own it is, as it means; none: it is shared.
    pub owner: Option<Owner>,
    /// Kind and group.
    parts: Vec<KeyPart>,
    value: Carry,
}

/// A rule, and what it means.
pub type Owner = (RuleId, Revision);

impl Memory {
    /// The memory of `field` by `by`, for rules that hear of `heard`.
    pub fn new(
        field: FieldName,
        by: Vec<FieldName>,
        heard: Reads,
        owner: Option<Owner>,
        columns: &mut Columns,
    ) -> Self {
        let deaf = deaf(heard);
        let learns = learns(&field, &deaf);
        let kind = FieldName::resolve("kind");
        let part = |field: &FieldName| KeyPart::of(field, columns);
        let parts = kind.iter().chain(&by).map(part).collect();
        let columns = vec![(columns.want(&field), field.kind())];
        let value = Carry { columns, form: Form::Key, required: true };
        Self { reads: Reads::of(&learns), field, by, deaf, learns, owner, parts, value }
    }

    /// Whether this remembers what a memory of `field` by `by` for rules that hear of `heard` would, for
    /// the same.
    pub fn is_of(&self, field: &FieldName, by: &[FieldName], heard: Reads, owner: Option<&Owner>) -> bool {
        self.field == *field && self.by == by && self.deaf == deaf(heard) && self.owner.as_ref() == owner
    }

    /// Whether both remember the same for the same, in generations that may differ.
    pub fn same(&self, other: &Self) -> bool {
        self.alike(other) && self.owner == other.owner
    }

    /// Whether both remember the same, if they learn from the same records.
    pub fn alike(&self, other: &Self) -> bool {
        self.field == other.field && self.by == other.by && self.deaf == other.deaf
    }

    /// Writes the key of the record's group, its kind being part of it; false if it has none.
    pub fn write_key(&self, record: Record<'_>, key: &mut Vec<u8>) -> bool {
        for (number, part) in self.parts.iter().enumerate() {
            let text = key_text(record.get(part.column), part.kind);
            if text.is_none() && number > 0 {
                return false;
            }
            Program::push_key_part(key, text.as_deref());
        }
        true
    }

    /// The record's value, as it is compared; none if it has none.
    pub fn value(&self, record: Record<'_>) -> Option<std::sync::Arc<str>> {
        match self.value.of(record) {
            Datum::Text(text) => Some(text),
            Datum::Absent | Datum::Number(_) | Datum::Bool(_) => None,
        }
    }

    /// `public_ip by user`, for people.
    pub fn name(&self) -> String {
        let by: Vec<&str> = self.by.iter().map(FieldName::as_str).collect();
        if by.is_empty() { self.field.to_string() } else { format!("{} by {}", self.field, by.join(", ")) }
    }
}

/// Kinds of the vendor's records that rules which hear of `heard` never see.
fn deaf(heard: Reads) -> Vec<&'static str> {
    let hears = |kind: &str| {
        Endpoint::ALL.into_iter().any(|endpoint| {
            endpoint.kind() == kind
                && Phase::ALL.into_iter().any(|phase| heard.from(Some(endpoint)).contains(phase))
        })
    };
    let mut kinds: Vec<&str> = Endpoint::ALL.into_iter().map(Endpoint::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.retain(|kind| !hears(kind));
    kinds
}

/// Successes that start, of the kinds that somebody asks about, with a value.
fn learns(field: &FieldName, deaf: &[&'static str]) -> Expr {
    let is = |field: &FieldName, test: Test| {
        let span = Span { start: 0, end: 0 };
        Expr::Is(Predicate { field: field.clone(), test, cased: false, spelt: field.to_string(), span })
    };
    let texts =
        |words: &[&str]| Test::Equals(words.iter().map(|word| Literal::Text((*word).to_owned())).collect());
    let named = |name: &str, words: &[&str]| FieldName::resolve(name).map(|field| is(&field, texts(words)));
    let mut parts = vec![is(field, Test::Exists(true))];
    parts.extend(named("outcome", &["success"]));
    parts.extend(named("phase", &["start"]));
    if !deaf.is_empty() {
        parts.extend(named("kind", deaf).map(|kind| Expr::Not(Box::new(kind))));
    }
    Expr::All(parts)
}

/// A use of a value: whose, which, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use<K> {
    /// The memory's group.
    pub key: K,
    /// The value.
    pub value: std::sync::Arc<str>,
    /// When.
    pub order: Order,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is left of a condition over three questions.
    fn rest() -> impl Strategy<Value = Rest> {
        let leaf = prop_oneof![any::<bool>().prop_map(Rest::Settled), (0_u32..3).prop_map(Rest::Asks)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Rest::All),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Rest::Any),
                inner.prop_map(|part| Rest::Not(Box::new(part))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_holds_by_some_answers_may_hold(rest in rest(), asked in any::<[bool; 3]>(), told in any::<[bool; 3]>()) {
            let answers: Vec<bool> = asked.iter().zip(told).map(|(asked, told)| *asked && told).collect();
            let may_hold = rest.may_hold(&|number| asked[number as usize]);
            prop_assert!(may_hold || !rest.holds(&answers));
            // Where nothing is asked there is nothing to guess.
            let nothing = rest.may_hold(&|_| false);
            prop_assert_eq!(nothing, rest.holds(&[false; 3]));
        }
    }
}
