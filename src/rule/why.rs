//! Why a condition holds for a record or not: the expression as a tree, each look at a field with
//! the value that was there.

use serde::Serialize;

use crate::record::{Columns, FieldName, Record, Value};

use super::compile::key_text;
use super::condition::{Memo, Predicates};
use super::hours::Hours;
use super::lists::Lists;
use super::spec::{Bound, Expr, Filling, Literal, Ordering, Part, Past, Predicate, Test};

/// One part of a condition and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// Whether this part held.
    pub held: bool,
    /// What it is: `all of`, `any of`, `not`, or the look at a field.
    pub what: String,
    /// The value that was there; none for parts that are no look at a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Its own parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Why>,
}

/// How `expr` went for `record`. `columns` must hold its fields (those of the batch do).
pub fn why(expr: &Expr, record: Record<'_>, columns: &mut Columns, lists: &Lists) -> Why {
    let parts = |list: &[Expr], columns: &mut Columns| -> Vec<Why> {
        list.iter().map(|part| why(part, record, columns, lists)).collect()
    };
    match expr {
        Expr::All(list) => {
            let parts = parts(list, columns);
            Why { held: parts.iter().all(|part| part.held), what: "all of".to_owned(), actual: None, parts }
        }
        Expr::Any(list) => {
            let parts = parts(list, columns);
            Why { held: parts.iter().any(|part| part.held), what: "any of".to_owned(), actual: None, parts }
        }
        Expr::Not(part) => {
            let part = why(part, record, columns, lists);
            Why { held: !part.held, what: "not".to_owned(), actual: None, parts: vec![part] }
        }
        Expr::Is(predicate) => {
            let mut predicates = Predicates::among(lists.clone());
            let condition = predicates.ready(expr, columns);
            let held = predicates.holds(&condition, record, &mut Memo::default());
            let actual = columns.get(&predicate.field).map_or(Value::Absent, |column| record.get(column));
            // The whole line is evidence, and no value.
            let mut actual = (!predicate.field.is_line()).then(|| shown(actual));
            if let (Test::Past(past, by), Some(actual)) = (&predicate.test, &mut actual)
                && let Some(nobody) = nobody(*past, by, record, columns)
            {
                *actual = format!("{actual}, and {nobody}");
            }
            Why { held, what: look(predicate), actual, parts: Vec::new() }
        }
    }
}

/// Why a record is a hit of a rule, or none: what it must be, and when.
pub fn hit(
    (expr, hours): (&Expr, Option<&Hours>),
    record: Record<'_>,
    columns: &mut Columns,
    lists: &Lists,
) -> Why {
    let matched = why(expr, record, columns, lists);
    let Some(hours) = hours else { return matched };
    let at = record.time();
    let in_time = Why {
        held: hours.accept(at),
        what: format!("the time is {hours}"),
        actual: Some(hours.clock(at)),
        parts: Vec::new(),
    };
    let mut parts = if matched.what == "all of" { matched.parts } else { vec![matched] };
    parts.push(in_time);
    Why { held: parts.iter().all(|part| part.held), what: "all of".to_owned(), actual: None, parts }
}

/// What was answered to a question of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The question, as [`Why::what`] words it.
    pub what: String,
    /// The answer.
    pub held: bool,
    /// When the value was used before.
    pub words: String,
}

/// The question `past` of `field`, as [`Why::what`] words it.
pub fn question(past: Past, field: &FieldName) -> String {
    match past {
        Past::New => format!("{field} is new"),
        Past::Known => format!("{field} is known"),
        Past::Unseen(lasts) => format!("{field} is unseen for {lasts}"),
    }
}

/// That a record lacks a field which says whose past is asked, if it does.
fn nobody(past: Past, by: &[FieldName], record: Record<'_>, columns: &Columns) -> Option<String> {
    let is_missing = |field: &&FieldName| {
        let value = columns.get(field).map_or(Value::Absent, |column| record.get(column));
        key_text(value, field.kind()).is_none()
    };
    let missing = by.iter().find(is_missing)?;
    let whom = match past {
        Past::New => "there is nobody to be new for",
        Past::Known => "there is nobody to be known to",
        Past::Unseen(_) => "there is nobody who could have shown it before",
    };
    Some(format!("{whom}: {missing} is missing"))
}

impl Why {
    /// Puts in the answers that came when the record was judged.
    pub fn answer(&mut self, answers: &[Answered]) {
        if let (Some(actual), Some(answered)) =
            (&mut self.actual, answers.iter().find(|answered| answered.what == self.what))
        {
            self.held = answered.held;
            *actual = format!("{actual}, {}", answered.words);
        }
        self.parts.iter_mut().for_each(|part| part.answer(answers));
        match self.what.as_str() {
            "all of" => self.held = self.parts.iter().all(|part| part.held),
            "any of" => self.held = self.parts.iter().any(|part| part.held),
            "not" => self.held = self.parts.iter().all(|part| !part.held),
            _ => {}
        }
    }
}

/// The value as a person reads it.
fn shown(value: Value<'_>) -> String {
    match value {
        Value::Absent => "absent".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Text(text) => format!("`{text}`"),
        Value::Number(text) | Value::Json(text) => text.to_owned(),
        Value::Bool(value) => value.to_string(),
    }
}

/// The look at a field, as a person reads it.
fn look(predicate: &Predicate) -> String {
    let line = "some value of the line".to_owned();
    let field = &if predicate.field.is_line() { line } else { predicate.field.to_string() };
    let cased = if predicate.cased { " (cased)" } else { "" };
    match &predicate.test {
        Test::Equals(literals) => format!("{field} is {}{cased}", list(literals, literal)),
        Test::Contains(needles) => format!("{field} contains {}{cased}", list(needles, quoted)),
        Test::StartsWith(needles) => format!("{field} starts with {}{cased}", list(needles, quoted)),
        Test::EndsWith(needles) => format!("{field} ends with {}{cased}", list(needles, quoted)),
        Test::Regex(patterns) => {
            format!("{field} matches {}{cased}", list(patterns, |p| format!("/{}/", p.text())))
        }
        Test::Cidr(nets) => format!("{field} is in {}", list(nets, ToString::to_string)),
        Test::Compare(ordering, bound) => format!("{field} {} {}", ordering.sign(), self::bound(*bound)),
        Test::Exists(true) => format!("{field} is there"),
        Test::Exists(false) => format!("{field} is not there"),
        Test::In(names) => format!("{field} is in the list {}{cased}", list(names, quoted)),
        Test::Past(past, _) => question(*past, &predicate.field),
        Test::FieldRef(other) => format!("{field} is the same as {other}{cased}"),
        Test::There(true) => format!("{field} is in the line"),
        Test::There(false) => format!("{field} is not in the line"),
        Test::Refers(part, other) => format!("{field} {} {other}{cased}", part_word(*part)),
        Test::Clock(part, ordering, numbers) => {
            let ordering = ordering.map_or("is", Ordering::sign);
            format!("the {} of {field} {ordering} {}", part.as_str(), list(numbers, ToString::to_string))
        }
        Test::Filled(filling) => {
            let Filling { part, before, list, after } = filling;
            let part = part_word(*part);
            format!("{field} {part} `{before}%{list}%{after}`, filled from the list{cased}")
        }
    }
}

fn part_word(part: Part) -> &'static str {
    match part {
        Part::Whole => "is",
        Part::Start => "starts with",
        Part::End => "ends with",
        Part::Anywhere => "contains",
    }
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<String>>().join(" or ")
}

fn quoted(text: &String) -> String {
    format!("`{text}`")
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("`{text}`"),
        Literal::Number(number) => number.to_string(),
        Literal::Length(length) => length.to_string(),
        Literal::Bool(value) => value.to_string(),
        Literal::Address(address) => address.to_string(),
        Literal::Null => "null".to_owned(),
    }
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::Number(number) => number.to_string(),
        Bound::Time(time) => time.to_string(),
        Bound::Length(length) => length.to_string(),
    }
}
