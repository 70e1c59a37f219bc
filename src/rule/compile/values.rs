//! What state keeps of records: keys of groups, and the values that verbs want, in forms that compare.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::condition::address;
use super::super::spec::{Grouping, SameNet};
use super::Program;
use crate::record::fact::Outcome;
use crate::record::fold::fold;
use crate::record::{Column, Columns, Datum, FieldKind, FieldName, Number, Record, Value};

/// Bytes that state keeps of a value; a longer one is cut and told apart by a digest of the whole.
pub const MAX_KEPT_TEXT: usize = 4_096;

/// Longer texts are not worth keeping for the next record that has them.
const MAX_INTERNED_TEXT: usize = 64;

/// A part of the group key.
#[derive(Debug, Clone)]
pub struct KeyPart {
    /// The field.
    pub field: FieldName,
    /// Its column.
    pub column: Column,
    /// What it holds: looked up once.
    pub kind: FieldKind,
}

/// How a value is made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Folded; an address in its canonical spelling. No value if absent, null or empty.
    Key,
    /// As `Key`, but an address is its network.
    Net(SameNet),
    /// By the field's kind.
    Typed,
    /// A number, or no value.
    Number,
    /// A number of so many degrees at most, either way, or no value.
    Degrees(u8),
    /// Of the column `outcome`: when the record's row ended, in milliseconds; none while it is open.
    Ended,
}

/// A value the verb wants of each hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Carry {
    /// One column, or several joined as a tuple.
    pub columns: Vec<(Column, FieldKind)>,
    /// How it is kept.
    pub form: Form,
    /// Without it the record is no hit.
    pub required: bool,
}

impl KeyPart {
    /// The part that `field` makes, wanted in `columns`.
    pub fn of(field: &FieldName, columns: &mut Columns) -> Self {
        Self { field: field.clone(), column: columns.want(field), kind: field.kind() }
    }
}

pub(super) fn key_parts(group: &Grouping, columns: &mut Columns) -> Vec<KeyPart> {
    group.by.iter().map(|field| KeyPart::of(field, columns)).collect()
}

pub(super) fn carry(fields: &[FieldName], form: Form, required: bool, columns: &mut Columns) -> Carry {
    let columns = fields.iter().map(|field| (columns.want(field), field.kind())).collect();
    Carry { columns, form, required }
}

impl Carry {
    /// The value of `record`; [`Datum::Absent`] if it has none.
    pub fn of(&self, record: Record<'_>) -> Datum {
        if let [(column, kind)] = *self.columns {
            if self.form == Form::Ended {
                return ended(record, record.get(column));
            }
            return self.single(record.get(column), kind);
        }
        let parts = self.columns.iter().map(|(column, kind)| self.single(record.get(*column), *kind));
        tuple(&parts.collect::<Vec<_>>())
    }

    fn single(&self, value: Value<'_>, kind: FieldKind) -> Datum {
        match self.form {
            // Made of the row.
            Form::Ended => Datum::Absent,
            Form::Typed => Datum::of(value, kind),
            Form::Number => value.nearest().map_or(Datum::Absent, Datum::Number),
            Form::Degrees(most) => {
                let most = Number::whole(most.into());
                let there = |number: &Number| *number <= most && Number::default() - *number <= most;
                value.number().filter(there).map_or(Datum::Absent, Datum::Number)
            }
            Form::Key => key_text(value, kind).map_or(Datum::Absent, |text| Datum::Text(text.into())),
            Form::Net(net) => {
                let Some(text) = key_text(value, kind) else { return Datum::Absent };
                let network = address(&text).and_then(|address| network(address, net));
                Datum::Text(network.map_or_else(|| text.into(), Into::into))
            }
        }
    }
}

/// When the row of `record` ended. What failed never was open.
fn ended(record: Record<'_>, outcome: Value<'_>) -> Datum {
    let row = record.row();
    let failed = outcome.text().is_some_and(|outcome| fold(outcome) == Outcome::Failure.as_str());
    let over = failed || (row.only.is_none() && !row.open);
    let end = row.end.or(over.then_some(row.start));
    end.map_or(Datum::Absent, |end| Datum::Number(Number::whole(end.0)))
}

/// What `carries` want of `record`; none if it lacks one that is required.
pub fn values(carries: &[Carry], record: Record<'_>) -> Option<Arc<[Datum]>> {
    let value =
        |carry: &Carry| Some(carry.of(record)).filter(|value| !carry.required || *value != Datum::Absent);
    carries.iter().map(value).collect()
}

/// A tuple of texts; what one text alone is. None if one of them is none.
pub fn tuple(parts: &[Datum]) -> Datum {
    let mut joined = String::new();
    for (number, part) in parts.iter().enumerate() {
        match part {
            Datum::Text(text) if parts.len() == 1 => return Datum::Text(text.clone()),
            Datum::Text(text) => {
                if number > 0 {
                    joined.push('\u{1f}');
                }
                push_part(&mut joined, text);
            }
            Datum::Absent | Datum::Number(_) | Datum::Bool(_) => return Datum::Absent,
        }
    }
    Datum::Text(joined.into())
}

/// Adds one part of a tuple. What separates parts is escaped: no two tuples are one text.
fn push_part(joined: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            '\u{1e}' => joined.push_str("\u{1e}e"),
            '\u{1f}' => joined.push_str("\u{1e}f"),
            _ => joined.push(character),
        }
    }
}

/// The network of `address`, as text; the address itself when every bit counts.
fn network(address: std::net::IpAddr, net: SameNet) -> Option<String> {
    let (bits, all) = match address {
        std::net::IpAddr::V4(_) => (net.v4, 32),
        std::net::IpAddr::V6(_) => (net.v6, 128),
    };
    let net = ipnet::IpNet::new(address, bits).ok()?.trunc();
    Some(if bits == all { address.to_string() } else { net.to_string() })
}

/// A value as groups and distinct values compare it: folded, an address in one spelling. None if
/// absent, null, empty or the unknown address.
pub fn key_text(value: Value<'_>, kind: FieldKind) -> Option<Cow<'_, str>> {
    let text = value.text()?;
    if text.is_empty() {
        return None;
    }
    match kind {
        FieldKind::Address => match address(text) {
            Some(address) if address.is_unspecified() => None,
            Some(address) => Some(address.to_string().into()),
            None => Some(kept(fold(text))),
        },
        FieldKind::Number | FieldKind::Duration => {
            Some(value.number().map_or_else(|| kept(text.into()), |number| number.to_string().into()))
        }
        FieldKind::Text | FieldKind::Bool | FieldKind::Time | FieldKind::Any => Some(kept(fold(text))),
    }
}

/// What is kept of a value that is compared: texts that differ stay different. A text that was cut
/// is longer than any that was not.
fn kept(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_KEPT_TEXT {
        return text;
    }
    let digest = blake3::hash(text.as_bytes()).to_hex();
    format!("{}#{}", cut(&text), &digest[..32]).into()
}

/// `text` cut to what state keeps.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_KEPT_TEXT)]
}

impl Program {
    /// The key of the record's group: none if it lacks a field and the rule does not say `own`.
    pub fn key(&self, record: Record<'_>) -> Option<Box<[u8]>> {
        let mut key = Vec::with_capacity(32);
        self.write_key(record, &mut key).then(|| key.into_boxed_slice())
    }

    /// The keys of the groups that the record may be of, by whichever names.
    pub fn keys(&self, record: Record<'_>) -> Vec<Box<[u8]>> {
        let by = |by: &[KeyPart]| {
            let mut key = Vec::with_capacity(32);
            self.write_key_of(by, record, &mut key).then(|| key.into_boxed_slice())
        };
        if self.namings.is_empty() {
            return by(&self.by).into_iter().collect();
        }
        self.namings.iter().filter_map(|naming| by(&naming.by)).collect()
    }

    /// Writes the key of the record's group; false if it has none.
    pub fn write_key(&self, record: Record<'_>, key: &mut Vec<u8>) -> bool {
        self.write_key_of(&self.by, record, key)
    }

    /// The same of a group that is made of these fields.
    pub fn write_key_of(&self, by: &[KeyPart], record: Record<'_>, key: &mut Vec<u8>) -> bool {
        for part in by {
            let text = key_text(record.get(part.column), part.kind);
            if text.is_none() && !self.missing_own {
                return false;
            }
            Self::push_key_part(key, text.as_deref());
        }
        true
    }

    /// The values that the verb wants of `record`; none if it lacks one that is required.
    pub fn values(&self, record: Record<'_>) -> Option<Arc<[Datum]>> {
        values(&self.carries, record)
    }

    /// Where the verb wants one value and that is costly to make comparable: the text it is made of.
    pub fn sole_text<'a>(&self, record: Record<'a>) -> Option<&'a str> {
        match &*self.carries {
            [Carry { columns, form: Form::Key | Form::Net(_), .. }] if columns.len() == 1 => {
                record.get(columns[0].0).text().filter(|text| text.len() <= MAX_INTERNED_TEXT)
            }
            _ => None,
        }
    }

    /// Adds one part to a key: a value, or that there is none.
    pub fn push_key_part(key: &mut Vec<u8>, text: Option<&str>) {
        match text {
            Some(text) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                key.push(1);
                key.extend_from_slice(&length.to_le_bytes());
                key.extend_from_slice(text.as_bytes());
            }
            None => key.push(0),
        }
    }

    /// The fields and values that `key` stands for; none for a value that was missing.
    pub fn group(&self, key: &[u8]) -> Vec<(FieldName, Option<String>)> {
        let (mut rest, mut group) = (key, Vec::new());
        for part in &self.by {
            let value = match rest.split_first() {
                Some((1, tail)) if tail.len() >= 4 => {
                    let (length, tail) = tail.split_at(4);
                    let length = length.try_into().map_or(0, u32::from_le_bytes) as usize;
                    let (text, tail) = tail.split_at(length.min(tail.len()));
                    rest = tail;
                    Some(String::from_utf8_lossy(text).into_owned())
                }
                Some((_, tail)) => {
                    rest = tail;
                    None
                }
                None => None,
            };
            group.push((part.field.clone(), value));
        }
        group
    }
}
