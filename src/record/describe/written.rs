//! Rows in the vocabulary as JSON text, many at a time: for evidence that is only written.
//!
//! The text is the one that the row's map, nested, is written as. What would need the map to get it
//! right (a key that stands twice, names that other names are parts of) is left to that.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::{Describer, MAX_SHOWN, MAX_SHOWN_TEXT, bounded, cut};
use crate::record::field::{RAW, lookup};
use crate::record::{Batch, Column, Locator, Phase, RecordId, Value};

/// Rows that were read together, by number of their line.
#[derive(Debug)]
pub struct Lines {
    text: String,
    starts: Vec<usize>,
    batch: Batch,
    rows: Vec<Option<usize>>,
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
        let batch = self.scanner.scan(text.clone(), Locator(1));
        let mut rows = vec![None; starts.len()];
        for (number, row) in batch.rows.iter().enumerate() {
            let start = usize::try_from(row.locator.0 - 1).unwrap_or(usize::MAX);
            if let Ok(line) = starts.binary_search(&start) {
                rows[line] = Some(number);
            }
        }
        Lines { text, starts, batch, rows }
    }

    /// The record that line number `line` is in `phase`, nested, as JSON text. None if the line makes no
    /// record, or one that has to be described.
    pub fn written(&self, lines: &Lines, line: usize, phase: Phase) -> Option<String> {
        if self.geography.is_some() || !self.plain {
            return None;
        }
        let (number, start) = ((*lines.rows.get(line)?)?, lines.starts[line]);
        let spelt = lines.text[start..].split('\n').next()?;
        let RawFields(fields) = serde_json::from_str(spelt).ok()?;
        let record = lines.batch.record(number, phase);
        let mut writer = Writer { text: String::with_capacity(spelt.len() + 400), many: 0, outer: None };
        writer.key("time");
        writer.text(&record.time().to_string());
        for (number, name) in (0..).zip(self.columns.names()) {
            match record.get(Column(number)) {
                Value::Absent | Value::Null => {}
                Value::Text(text) => {
                    writer.key(name.as_str());
                    writer.text(text);
                }
                Value::Bool(value) => {
                    writer.key(name.as_str());
                    writer.text.push_str(if value { "true" } else { "false" });
                }
                Value::Number(text) | Value::Json(text) => {
                    writer.key(name.as_str());
                    writer.spelt(text)?;
                }
            }
        }
        let mut seen: Vec<&str> = Vec::with_capacity(fields.len());
        for (key, value) in &fields {
            let key: &str = key;
            if seen.contains(&key) {
                return None;
            }
            seen.push(key);
            let known = lookup(key).is_some() || key == "geo" || key == "asn" || self.mapped.contains(key);
            if known || key.is_empty() || value.get() == "null" || writer.many >= MAX_SHOWN {
                continue;
            }
            writer.inner(RAW.trim_end_matches('.'), key);
            writer.spelt(value.get())?;
        }
        writer.key("record");
        writer.text(&RecordId::of(record.row().id, phase).to_string());
        writer.close();
        Some(writer.text)
    }
}

/// Writes one object and the objects in it, which come each in one piece.
struct Writer<'a> {
    text: String,
    many: usize,
    outer: Option<&'a str>,
}

impl<'a> Writer<'a> {
    /// Begins a value under `name`, of which what stands before a dot is the name of an object.
    fn key(&mut self, name: &'a str) {
        match name.split_once('.') {
            None => {
                self.leave();
                self.comma();
                quoted(&mut self.text, name);
                self.text.push(':');
                self.many += 1;
            }
            Some((outer, inner)) => self.inner(outer, inner),
        }
    }

    fn inner(&mut self, outer: &'a str, inner: &str) {
        if self.outer == Some(outer) {
            self.text.push(',');
        } else {
            self.leave();
            self.comma();
            quoted(&mut self.text, outer);
            self.text.push_str(":{");
            self.outer = Some(outer);
        }
        quoted(&mut self.text, inner);
        self.text.push(':');
        self.many += 1;
    }

    fn comma(&mut self) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
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

    fn text(&mut self, text: &str) {
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
            let value = bounded(serde_json::from_str::<Json>(spelt).ok()?);
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

/// The fields of a row in their order, values as spelt.
struct RawFields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawFields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(RawFields(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Map, json};

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
        ) {
            let map = FieldMap { field: FieldName::declared(declared), key: "status".to_owned(), values: Vec::default() };
            let origin = Origin::file(Mapping { fields: vec![map], time: None });
            let describer = Describer::new(Arc::new(Facts::default()), origin);
            let line = |fields: &Vec<(String, Json)>| {
                let time = ("start_time".to_owned(), json!("2026-01-05T09:00:00Z"));
                let spelt = fields.iter().chain([&time]).map(|(key, value)| format!("{}:{value}", json!(key)));
                format!("{{{}}}", spelt.collect::<Vec<_>>().join(","))
            };
            let lines: Vec<String> = rows.iter().map(line).chain(["no row".to_owned(), String::new()]).collect();
            let read = describer.read(lines.iter().map(String::as_str));
            for (number, line) in lines.iter().enumerate() {
                for phase in Phase::ALL {
                    let told = describer.describe(line, phase);
                    if let Some(written) = describer.written(&read, number, phase) {
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
            let read = describer.read(["", &line]);
            let told = describer.describe(&line, Phase::Start).unwrap();
            let meant = serde_json::to_string(&nested(&told)).unwrap();
            prop_assert_eq!(describer.written(&read, 1, Phase::Start), Some(meant));
        }
    }
}
