//! The matcher: which conditions are worth a look for a record.
//!
//! Each condition is filed under a gate: a set of keys of which the record must show at least one
//! if the condition is to hold. A key is a field with a value, or a field's presence. A record is
//! looked up by what it holds, so a rule costs nothing for records that share no gate with it.
//! Conditions that can hold for a record without the field (negations only) are always looked at.
//! What fires never depends on the choice of gates.

use std::collections::{BTreeMap, HashMap};

use crate::record::batch::{Slot, SlotKind};
use crate::record::fold::{fold, folds_to};
use crate::record::{Column, Columns, FieldKind, FieldName, Record, Value};

use super::spec::{Expr, Literal, Test};

/// Number of a filed condition, given by the caller.
pub type Filed = u32;

/// What a record must show.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    /// The field holds this text, folded.
    Equals(Column, String),
    /// The field is there and not null.
    Present(Column),
}

/// Alternatives of which one must be shown, and how rarely they are.
#[derive(Debug)]
struct Gate {
    keys: Vec<Key>,
    rank: Rank,
}

/// How rare a key is thought to be; the rarest gate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A value of a field with many values.
    Value,
    /// A value of a field with a handful.
    Class,
    /// A field that not every record has.
    Presence,
    /// A value that about half of all records have.
    Common,
}

/// Facts with so few values that a gate on one lets most records through.
const COMMON: [&str; 4] = ["kind", "phase", "service", "outcome"];
/// Facts with a handful of values.
const CLASSES: [&str; 2] = ["failure_kind", "is_reconnect"];

/// Number of a list of conditions.
type List = u32;

/// No list.
const NONE: List = List::MAX;

/// Lists of conditions by the text they need: compared one by one while they are few.
#[derive(Debug)]
enum ByText {
    Few(Vec<(String, List)>),
    Many(HashMap<String, List, foldhash::fast::RandomState>),
}

/// As many texts are compared sooner than one is hashed.
const FEW_TEXTS: usize = 4;

impl Default for ByText {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl ByText {
    /// The list under `text`, which is folded; `new` if there was none.
    fn list(&mut self, text: String, new: List) -> List {
        if let Self::Few(list) = self {
            let known = list.iter().any(|(one, _)| *one == text);
            if !known && list.len() == FEW_TEXTS {
                *self = Self::Many(list.drain(..).collect());
            }
        }
        match self {
            Self::Few(list) => {
                if let Some((_, known)) = list.iter().find(|(one, _)| *one == text) {
                    return *known;
                }
                list.push((text, new));
                new
            }
            Self::Many(map) => *map.entry(text).or_insert(new),
        }
    }

    fn find(&self, text: &str) -> List {
        match self {
            Self::Few(list) => {
                list.iter().find(|(one, _)| folds_to(text, one)).map_or(NONE, |(_, list)| *list)
            }
            Self::Many(map) => map.get(&*fold(text)).copied().unwrap_or(NONE),
        }
    }
}

/// What each field that is looked up by value held last, and what was found: facts hold the same
/// few words again and again, which lie in one place of their batch.
#[derive(Debug, Default)]
pub struct Looked(Vec<(Slot, List)>);

impl Looked {
    /// Forgets the last batch: what comes is of another one.
    pub fn clear(&mut self) {
        self.0.fill((Slot::ABSENT, NONE));
    }
}

/// Conditions filed by gate.
#[derive(Debug, Default)]
pub struct Index {
    by_value: Vec<(Column, ByText)>,
    lists: Vec<Vec<Filed>>,
    by_presence: BTreeMap<Column, Vec<Filed>>,
    always: Vec<Filed>,
}

impl Index {
    /// Files `expr` under `number`.
    pub fn file(&mut self, number: Filed, expr: &Expr, columns: &mut Columns) {
        let Some(gate) = gate(expr, columns) else {
            self.always.push(number);
            return;
        };
        for key in gate.keys {
            let list = match key {
                Key::Equals(column, text) => self.list(column, text),
                Key::Present(column) => self.by_presence.entry(column).or_default(),
            };
            if list.last() != Some(&number) {
                list.push(number);
            }
        }
    }

    /// The conditions that need `text` in `column`.
    fn list(&mut self, column: Column, text: String) -> &mut Vec<Filed> {
        let place = self.by_value.iter().position(|(known, _)| *known == column).unwrap_or_else(|| {
            self.by_value.push((column, ByText::default()));
            self.by_value.len() - 1
        });
        let new = List::try_from(self.lists.len()).unwrap_or(NONE);
        let list = self.by_value[place].1.list(text, new);
        if list == new {
            self.lists.push(Vec::new());
        }
        &mut self.lists[list as usize]
    }

    /// Every condition worth a look for `record`, each once, into `found` in ascending order.
    /// `looked` must have been cleared for its batch.
    pub fn candidates(&self, record: Record<'_>, looked: &mut Looked, found: &mut Vec<Filed>) {
        found.clear();
        found.extend_from_slice(&self.always);
        looked.0.resize(self.by_value.len(), (Slot::ABSENT, NONE));
        for ((column, values), known) in self.by_value.iter().zip(&mut looked.0) {
            let slot = record.slot(*column);
            if slot.kind == SlotKind::Text {
                if known.0 != slot {
                    let text = record.get(*column).text().unwrap_or_default();
                    *known = (slot, values.find(text));
                }
                self.found_in(known.1, found);
                continue;
            }
            match record.get(*column) {
                Value::Absent | Value::Null => {}
                Value::Json(text) => {
                    each_element(text, |element| self.found_in(values.find(element), found));
                }
                value @ (Value::Text(_) | Value::Number(_) | Value::Bool(_)) => {
                    self.found_in(values.find(value.text().unwrap_or_default()), found);
                }
            }
        }
        for (column, list) in &self.by_presence {
            if !matches!(record.get(*column), Value::Absent | Value::Null) {
                found.extend_from_slice(list);
            }
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    fn found_in(&self, list: List, found: &mut Vec<Filed>) {
        if let Some(list) = self.lists.get(list as usize) {
            found.extend_from_slice(list);
        }
    }
}

/// Arrays match by any element, so any element opens a gate.
fn each_element(text: &str, mut look: impl FnMut(&str)) {
    let Ok(serde_json::Value::Array(items)) = serde_json::from_str(text) else { return };
    for item in &items {
        match item {
            serde_json::Value::String(text) => look(text),
            serde_json::Value::Number(number) => look(&number.to_string()),
            serde_json::Value::Bool(value) => look(if *value { "true" } else { "false" }),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
        }
    }
}

/// The rarest gate of `expr`; none if it can hold for a record that shows nothing.
fn gate(expr: &Expr, columns: &mut Columns) -> Option<Gate> {
    match expr {
        Expr::All(parts) => parts
            .iter()
            .filter_map(|part| gate(part, columns))
            .min_by_key(|gate| (gate.rank, gate.keys.len())),
        Expr::Any(parts) => {
            let mut whole = Gate { keys: Vec::new(), rank: Rank::Value };
            for part in parts {
                let gate = gate(part, columns)?;
                whole.rank = whole.rank.max(gate.rank);
                whole.keys.extend(gate.keys);
            }
            Some(whole)
        }
        Expr::Not(_) => None,
        Expr::Is(predicate) => {
            let column = columns.want(&predicate.field);
            let present = || Some(Gate { keys: vec![Key::Present(column)], rank: Rank::Presence });
            match &predicate.test {
                Test::Equals(literals) if literals.contains(&Literal::Null) => None,
                // A key that is there may hold null, which opens no gate.
                Test::Exists(false) | Test::There(_) => None,
                Test::Equals(literals) => value_gate(predicate.field.kind(), column, literals, &|| {
                    rank_of(&predicate.field, literals)
                })
                .or_else(present),
                Test::Exists(true)
                | Test::Contains(_)
                | Test::StartsWith(_)
                | Test::EndsWith(_)
                | Test::Regex(_)
                | Test::Cidr(_)
                | Test::Compare(..)
                | Test::FieldRef(_)
                | Test::In(_)
                | Test::Refers(..)
                | Test::Clock(..)
                | Test::Filled(_)
                | Test::Past(..) => present(),
            }
        }
    }
}

/// A gate of values, for fields whose text is the value itself (numbers have many spellings).
fn value_gate(
    kind: FieldKind,
    column: Column,
    literals: &[Literal],
    rank: &dyn Fn() -> Rank,
) -> Option<Gate> {
    let texts = matches!(kind, FieldKind::Text | FieldKind::Any | FieldKind::Bool);
    let key = |literal: &Literal| match literal {
        Literal::Text(text) if texts => Some(Key::Equals(column, fold(text).into_owned())),
        Literal::Bool(value) if texts => Some(Key::Equals(column, value.to_string())),
        Literal::Text(_)
        | Literal::Bool(_)
        | Literal::Number(_)
        | Literal::Length(_)
        | Literal::Address(_)
        | Literal::Null => None,
    };
    let keys = literals.iter().map(key).collect::<Option<Vec<Key>>>()?;
    Some(Gate { keys, rank: rank() })
}

fn rank_of(field: &FieldName, literals: &[Literal]) -> Rank {
    if field.is_spelt() {
        return Rank::Value;
    }
    let field = field.as_str();
    let failures =
        || literals.iter().all(|literal| matches!(literal, Literal::Text(text) if text == "failure"));
    if field == "outcome" && failures() {
        // Most records are successes.
        Rank::Class
    } else if COMMON.contains(&field) {
        Rank::Common
    } else if CLASSES.contains(&field) {
        Rank::Class
    } else {
        Rank::Value
    }
}
