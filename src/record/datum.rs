//! One value kept by itself: what state remembers of a field once its batch is gone.
//!
//! Bounded and typed by the field, so that a rule that keeps it needs neither the batch nor the
//! vendor's spelling. It holds no name; whoever keeps it knows which field it is of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FieldKind, Number, Value};

/// Bytes of a text that state keeps. Every string in a record is hostile; this is what one costs.
pub const MAX_TEXT: usize = 4096;

/// A value of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Datum {
    /// The record has no value there, or null.
    #[default]
    Absent,
    /// Text, at most [`MAX_TEXT`] bytes.
    Text(Arc<str>),
    /// An exact decimal.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
}

impl Datum {
    /// Bytes of it in memory, its text included, which others may share.
    pub fn bytes(&self) -> usize {
        let text = match self {
            Self::Text(text) => text.len() + 2 * size_of::<usize>(),
            Self::Absent | Self::Number(_) | Self::Bool(_) => 0,
        };
        size_of::<Self>() + text
    }

    /// `value` as a field of `kind` holds it. A number field gives a number wherever the value
    /// spells one, the nearest where that is out of range: it is there to be measured. What it spells
    /// otherwise stays text, so that nothing is silently lost; a number out of range does too where any
    /// value may be, since it may be an id.
    pub fn of(value: Value<'_>, kind: FieldKind) -> Self {
        match kind {
            FieldKind::Number | FieldKind::Duration => {
                value.nearest().map_or_else(|| Self::plain(value), Self::Number)
            }
            FieldKind::Bool => match value {
                Value::Text("true") => Self::Bool(true),
                Value::Text("false") => Self::Bool(false),
                Value::Absent
                | Value::Null
                | Value::Text(_)
                | Value::Number(_)
                | Value::Bool(_)
                | Value::Json(_) => Self::plain(value),
            },
            FieldKind::Any => match value {
                Value::Number(text) => Number::parse(text).map_or_else(|| Self::text(text), Self::Number),
                Value::Absent | Value::Null | Value::Text(_) | Value::Bool(_) | Value::Json(_) => {
                    Self::plain(value)
                }
            },
            FieldKind::Text | FieldKind::Time | FieldKind::Address => {
                value.text().map_or_else(|| Self::plain(value), Self::text)
            }
        }
    }

    /// `text`, cut at [`MAX_TEXT`] bytes on a character's boundary.
    pub fn text(text: &str) -> Self {
        Self::Text(text[..text.floor_char_boundary(MAX_TEXT)].into())
    }

    /// As JSON, for texts and receivers.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Absent => serde_json::Value::Null,
            Self::Text(text) => (**text).into(),
            Self::Number(number) => number.to_i64().map_or_else(|| number.to_f64().into(), Into::into),
            Self::Bool(truth) => (*truth).into(),
        }
    }

    /// `value` as it was read.
    fn plain(value: Value<'_>) -> Self {
        match value {
            Value::Absent | Value::Null => Self::Absent,
            Value::Text(text) | Value::Json(text) | Value::Number(text) => Self::text(text),
            Value::Bool(truth) => Self::Bool(truth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_typed_by_its_field() {
        let number = |text| Datum::Number(Number::parse(text).unwrap());
        assert_eq!(Datum::of(Value::Text("312.50"), FieldKind::Number), number("312.5"));
        assert_eq!(Datum::of(Value::Number("1500"), FieldKind::Duration), number("1500"));
        assert_eq!(Datum::of(Value::Number("6005"), FieldKind::Text), Datum::text("6005"));
        assert_eq!(Datum::of(Value::Text("true"), FieldKind::Bool), Datum::Bool(true));
        assert_eq!(Datum::of(Value::Null, FieldKind::Number), Datum::Absent);
        assert_eq!(Datum::of(Value::Absent, FieldKind::Text), Datum::Absent);
        assert_eq!(Datum::of(Value::Text("fast"), FieldKind::Number), Datum::text("fast"));
        assert_eq!(Datum::of(Value::Number("7"), FieldKind::Any), number("7"));
        let beyond = Datum::Number(Number::nearest("1e21").unwrap());
        assert_eq!(Datum::of(Value::Text("1e999"), FieldKind::Number), beyond);
        assert_eq!(Datum::of(Value::Number("1e999"), FieldKind::Any), Datum::text("1e999"));
    }

    #[test]
    fn a_value_is_shown_as_it_is() {
        let json = |text| Datum::of(Value::Number(text), FieldKind::Number).to_json().to_string();
        assert_eq!((json("5.0"), json("312.50")), ("5".to_owned(), "312.5".to_owned()));
        assert_eq!(Datum::text("5").to_json(), "5");
        assert!(Datum::Absent.to_json().is_null());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT);
        let Datum::Text(kept) = Datum::of(Value::Text(&format!("x{long}")), FieldKind::Text) else {
            panic!()
        };
        assert_eq!(kept.len(), MAX_TEXT - 1);
        assert!(kept.ends_with('é'));
    }
}
