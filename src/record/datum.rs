//! A value that outlives its batch: what state, alerts and scripts keep.

use serde::{Deserialize, Serialize};

use super::{FieldKind, Number, Value};

/// An owned scalar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datum {
    /// No value, or null.
    Absent,
    /// Text.
    Text(Box<str>),
    /// An exact decimal.
    Number(Number),
    /// True or false.
    Bool(bool),
}
impl Datum {
    pub fn of(value: Value<'_>, _kind: FieldKind) -> Self {
        value.text().map_or(Self::Absent, |t| Self::Text(t.into()))
    }
}
