//! Rows in the vocabulary as JSON text, many at a time: for evidence that is only written.
//!
//! The text is the one that the row's map, nested, is written as. What would need the map to get it
//! right (a key that stands twice, names that other names are parts of) is left to that.

use xxhash_rust::xxh3::xxh3_64;

use super::{Describer, MAX_SHOWN, MAX_SHOWN_TEXT, bounded, cut};
use crate::record::batch::SlotKind;
use crate::record::field::RAW;
use crate::record::{Batch, Column, Columns, Locator, Phase, Value, value_of};

/// Rows that were read together, by number of their line.
#[derive(Debug)]
pub struct Lines {
    batch: Batch,
    rows: Vec<Option<usize>>,
    /// Keys of the row that was written last, in its order, then those of rows before it; each stands once.
    keys: Vec<Known>,
}

/// Keys that are known at most, besides those of the row that is written; hostile rows may invent more.
const MAX_KEYS: usize = 1_024;

/// What is known of a key of rows.
#[derive(Debug, Clone)]
struct Known {
    /// As it stands in a row, with its quotes and the colon after them.
    spelt: String,
    digest: u64,
    /// It has no name in the vocabulary, so that it is shown as `raw`.
    raw: bool,
}

impl Known {
    fn is(&self, key: &str, digest: u64) -> bool {
        self.digest == digest && self.spelt.get(1..self.spelt.len() - 2) == Some(key)
    }
}

/// A name of the vocabulary, as it is written.
#[derive(Debug)]
pub(super) struct Name {
    /// What stands before its dot.
    outer: Option<Box<str>>,
    /// The rest in quotes, with a colon.
    inner: Box<str>,
}

impl Name {
    /// The names of `columns`, in their order.
    pub(super) fn all(columns: &Columns) -> Vec<Self> {
        let inner = |name: &str| {
            let mut text = String::new();
            quoted(&mut text, name);
            text.push(':');
            text.into()
        };
        let name = |name: &str| match name.split_once('.') {
            None => Self { outer: None, inner: inner(name) },
            Some((outer, rest)) => Self { outer: Some(outer.into()), inner: inner(rest) },
        };
        columns.names().iter().map(|field| name(field.as_str())).collect()
    }
}

impl Describer {
    /// Reads `lines` together; none of them has an end of a line in it.
    pub fn read<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Lines {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for line in lines {
            starts.push(text.len());
            text.push_str(line);
            text.push('\n');
        }
        let batch = self.scanner.scan(text, Locator(1));
        let mut rows = vec![None; starts.len()];
        for (number, row) in batch.rows.iter().enumerate() {
            let start = usize::try_from(row.locator.0 - 1).unwrap_or(usize::MAX);
            if let Ok(line) = starts.binary_search(&start) {
                rows[line] = Some(number);
            }
        }
        Lines { batch, rows, keys: Vec::new() }
    }

    /// The record that line number `line` is in `phase`, nested, as JSON text. None if the line makes no
    /// record, or one that has to be described.
    pub fn written(&self, lines: &mut Lines, line: usize, phase: Phase) -> Option<String> {
        if self.geography.is_some() || !self.plain {
            return None;
        }
        let Lines { batch, rows, keys } = lines;
        let number = (*rows.get(line)?)?;
        let spelt = batch.line(number);
        let record = batch.record(number, phase);
        let mut writer = Writer { text: String::with_capacity(spelt.len() + 400), many: 0, outer: None };
        writer.name(None, "\"time\":");
        writer.quoted(&record.time().to_string());
        for (number, name) in (0..).zip(&self.names) {
            // Most have no value in any row.
            let column = Column(number);
            let own = self.columns.is_phase(column) || self.columns.is_changed(column);
            if record.slot(column).kind == SlotKind::Absent && !own {
                continue;
            }
            let value = record.get(column);
            if matches!(value, Value::Absent | Value::Null) {
                continue;
            }
            writer.name(name.outer.as_deref(), &name.inner);
            match value {
                Value::Absent | Value::Null => {}
                Value::Text(text) => writer.quoted(text),
                Value::Bool(value) => writer.text.push_str(if value { "true" } else { "false" }),
                Value::Number(text) | Value::Json(text) => writer.spelt(text)?,
            }
        }
        self.raw_fields(spelt, keys, &mut writer)?;
        writer.name(None, "\"record\":");
        writer.quoted(&record.id().to_string());
        writer.close();
        Some(writer.text)
    }

    /// Writes the fields of a row that have no name. None where a key is escaped or stands twice.
    fn raw_fields(&self, row: &str, keys: &mut Vec<Known>, writer: &mut Writer<'_>) -> Option<()> {
        let raw = RAW.trim_end_matches('.');
        let mut fields = Fields { rest: row.strip_prefix('{')? };
        let mut number = 0;
        while fields.more() {
            // As they came last time, or in an order of their own.
            let expected = keys.get(number).and_then(|known| fields.rest.strip_prefix(&*known.spelt));
            if let Some(rest) = expected {
                fields.rest = rest;
            } else {
                let key = fields.key()?;
                let digest = xxh3_64(key.as_bytes());
                match keys.iter().position(|known| known.is(key, digest)) {
                    Some(place) if place < number => return None,
                    Some(place) => keys.swap(place, number),
                    None => {
                        if keys.len() >= MAX_KEYS {
                            keys.truncate(number);
                        }
                        let raw = !key.is_empty() && self.is_raw(key);
                        keys.push(Known { spelt: format!("\"{key}\":"), digest, raw });
                        let last = keys.len() - 1;
                        keys.swap(last, number);
                    }
                }
            }
            let value = fields.value()?;
            let known = keys.get(number)?;
            if known.raw && value != "null" && writer.many < MAX_SHOWN {
                writer.name(Some(raw), &known.spelt);
                writer.spelt(value)?;
            }
            number += 1;
        }
        Some(())
    }
}

/// The fields of a row which has been read, and so is JSON.
struct Fields<'a> {
    /// What follows the brace, or a field.
    rest: &'a str,
}

impl<'a> Fields<'a> {
    /// Whether there is one more; then its key is next.
    fn more(&mut self) -> bool {
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            self.skip_space();
        }
        !self.rest.starts_with('}')
    }

    /// The key, without its quotes. None if it is escaped.
    fn key(&mut self) -> Option<&'a str> {
        let text = self.rest.strip_prefix('"')?;
        let (key, rest) = text.split_at_checked(memchr::memchr2(b'"', b'\\', text.as_bytes())?)?;
        self.rest = rest.strip_prefix('"')?;
        self.skip_space();
        self.rest = self.rest.strip_prefix(':')?;
        Some(key)
    }

    /// The value, as it is spelt.
    fn value(&mut self) -> Option<&'a str> {
        self.skip_space();
        let bytes = self.rest.as_bytes();
        let len = match bytes.first()? {
            b'"' => string(bytes)?,
            b'{' | b'[' => {
                let (mut at, mut depth) = (1, 1);
                while depth > 0 {
                    at += match bytes.get(at)? {
                        b'"' => string(bytes.get(at..)?)?,
                        b'{' | b'[' => {
                            depth += 1;
                            1
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            1
                        }
                        _ => 1,
                    };
                }
                at
            }
            _ => bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\r'))?,
        };
        let (value, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(value)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
    }
}

/// The length of the string that `bytes` begin with, quotes included.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        let stop = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(stop) == Some(&b'"') {
            return Some(stop + 1);
        }
        at = stop + 2;
    }
}

/// Writes one object and the objects in it, which come each in one piece.
struct Writer<'a> {
    text: String,
    many: usize,
    outer: Option<&'a str>,
}

impl<'a> Writer<'a> {
    /// Begins a value in the object called `outer`, or in none; `inner` is its name in quotes, with a colon.
    fn name(&mut self, outer: Option<&'a str>, inner: &str) {
        if outer.is_some() && self.outer == outer {
            self.text.push(',');
        } else {
            self.leave();
            self.text.push(if self.text.is_empty() { '{' } else { ',' });
            if let Some(outer) = outer {
                quoted(&mut self.text, outer);
                self.text.push_str(":{");
                self.outer = Some(outer);
            }
        }
        self.text.push_str(inner);
        self.many += 1;
    }

    fn leave(&mut self) {
        if self.outer.take().is_some() {
            self.text.push('}');
        }
    }

    fn close(&mut self) {
        self.leave();
        self.text.push('}');
    }

    fn quoted(&mut self, text: &str) {
        if text.len() <= MAX_SHOWN_TEXT {
            quoted(&mut self.text, text);
        } else {
            quoted(&mut self.text, &cut(text));
        }
    }

    /// A value as it is spelt in JSON.
    fn spelt(&mut self, spelt: &str) -> Option<()> {
        let bytes = spelt.as_bytes();
        let as_it_is = match bytes.first()? {
            b'"' => bytes.len() <= MAX_SHOWN_TEXT && !bytes.contains(&b'\\'),
            b'1'..=b'9' => bytes.len() <= 18 && bytes.iter().all(u8::is_ascii_digit),
            b'0' => bytes.len() == 1,
            b't' | b'f' => true,
            _ => false,
        };
        if as_it_is {
            self.text.push_str(spelt);
        } else {
            let value = bounded(value_of(spelt)?);
            self.text.push_str(&serde_json::to_string(&value).ok()?);
        }
        Some(())
    }
}

/// Adds `text` as JSON spells it.
fn quoted(to: &mut String, text: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        to.push('"');
        to.push_str(text);
        to.push('"');
    } else {
        // Text can always be written.
        to.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;
    use crate::record::FieldName;
    use crate::record::fact::Facts;
    use crate::record::scan::{FieldMap, Mapping, Origin};

    fn value() -> impl Strategy<Value = Json> {
        prop_oneof![
            4 => any::<String>().prop_map(Json::from),
            4 => "[a-z0-9.:@-]{0,12}".prop_map(Json::from),
            2 => any::<i64>().prop_map(Json::from),
            1 => any::<f64>().prop_map(Json::from),
            1 => any::<bool>().prop_map(Json::from),
            1 => Just(Json::Null),
            1 => "[a-zß]{500,520}".prop_map(Json::from),
            1 => prop::collection::vec(any::<i8>(), 0..300).prop_map(Json::from),
            1 => Just(json!({"name": {"x": "é\n\"", "y": [1.50, null]}})),
        ]
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => prop::sample::select(vec![
                "user_name", "public_ip", "status", "e2e_rtt", "outcome", "kind", "geo", "asn", "raw", "time", "record", "a.b",
                "computer_name", "end_time", "colour", "geo.country", "is_reconnect", "", "shade",
            ]).prop_map(str::to_owned),
            1 => "[a-z_]{1,8}",
            1 => any::<String>(),
        ]
    }

    /// As the map of a row is shown: `geo.country: NO` as `geo: {country: NO}`.
    fn nested(told: &Map<String, Json>) -> Json {
        let mut whole = Map::new();
        for (name, value) in told {
            match name.split_once('.') {
                None => {
                    whole.insert(name.clone(), value.clone());
                }
                Some((outer, inner)) => {
                    let part = whole.entry(outer.to_owned()).or_insert_with(|| json!({}));
                    if let Json::Object(part) = part {
                        part.insert(inner.to_owned(), value.clone());
                    }
                }
            }
        }
        Json::Object(whole)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_what_is_described(
            rows in prop::collection::vec(prop::collection::vec((key(), value()), 0..20), 1..6),
            declared in prop::sample::select(vec!["colour", "raw.shade", "a.b", "raw", "outcome"]),
            halves in any::<bool>(),
            beyond in any::<bool>(),
        ) {
            let map = FieldMap { field: FieldName::declared(declared), key: "status".to_owned(), values: Vec::default() };
            let origin = Origin::file(Mapping { fields: vec![map], time: None });
            let describer = Describer::new(Arc::new(Facts::default()), origin);
            let line = |fields: &Vec<(String, Json)>| {
                let time = ("start_time".to_owned(), json!("2026-01-05T09:00:00Z"));
                let spelt = fields.iter().chain([&time]).map(|(key, value)| format!("{}:{value}", json!(key)));
                let mut line = format!("{{{}}}", spelt.collect::<Vec<_>>().join(","));
                if beyond {
                    line.insert_str(1, r#""e2e_rtt":-1e999,"deep":[{"x":1e400}],"far":1e999,"#);
                }
                if halves { line.replace('é', "\\ud800") } else { line }
            };
            let lines: Vec<String> = rows.iter().map(line).chain(["no row".to_owned(), String::new()]).collect();
            let mut read = describer.read(lines.iter().map(String::as_str));
            for (number, line) in lines.iter().enumerate() {
                for phase in Phase::ALL {
                    let told = describer.describe(line, phase);
                    if let Some(written) = describer.written(&mut read, number, phase) {
                        let meant = serde_json::to_string(&nested(&told.unwrap())).unwrap();
                        prop_assert_eq!(written, meant, "{}", line);
                    }
                }
            }
        }

        #[test]
        fn a_plain_row_is_written(name in "[a-zA-Zß\"\\\\]{0,8}", rtt in any::<i32>()) {
            let describer = Describer::new(Arc::new(Facts::default()), Origin::default());
            let line = json!({"user_name": name, "e2e_rtt": rtt, "start_time": "2026-01-05T09:00:00Z", "site": "x"});
            let line = line.to_string();
            let mut read = describer.read(["", &line]);
            let told = describer.describe(&line, Phase::Start).unwrap();
            let meant = serde_json::to_string(&nested(&told)).unwrap();
            prop_assert_eq!(describer.written(&mut read, 1, Phase::Start), Some(meant));
        }
    }
}
