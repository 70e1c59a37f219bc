//! A row in the vocabulary, whole: for evidence and for the texts of alerts.
//!
//! Reading for rules takes only what rules want; this takes everything, one row at a time.

mod written;

pub use written::Lines;
use written::Name;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::fact::Facts;
use super::field::{RAW, VOCABULARY, lookup};
use super::geography::{self, Geography};
use super::scan::{Origin, Scanner};
use super::{Batch, Column, Columns, FieldName, Locator, Phase, Value, value_of};

/// Fields that an evidence record shows at most; what a hostile row has beyond is left out.
const MAX_SHOWN: usize = 200;
/// Characters shown of one value.
const MAX_SHOWN_TEXT: usize = 512;

/// Reads rows whole.
#[derive(Debug)]
pub struct Describer {
    scanner: Scanner,
    columns: Arc<Columns>,
    /// Their names as they are written.
    names: Vec<Name>,
    /// Keys of rows that the mapping reads under another name.
    mapped: BTreeSet<String>,
    /// The address whose place is told.
    placed: Column,
    geography: Option<Arc<dyn Geography>>,
    /// No name is one that other names are parts of, or that a told row has besides its fields.
    plain: bool,
}

/// Names of a told row, nested, that are no fields of the vocabulary.
const OTHERS: [&str; 5] = ["time", "record", "raw", "geo", "asn"];

/// Under this name a told row says which versions of files its place is from; it is no field.
pub const VERSIONS: &str = "larum.versions";

impl Describer {
    /// For rows of `origin`.
    pub fn new(facts: Arc<Facts>, origin: Origin) -> Self {
        let mut columns = Columns::default();
        for info in VOCABULARY {
            columns.want_known(info.name);
        }
        for map in &origin.mapping.fields {
            columns.want(&map.field);
        }
        let mapped = origin.mapping.fields.iter().map(|map| map.key.clone()).collect();
        let placed = columns.want_known("public_ip");
        let plain = origin.mapping.fields.iter().all(|map| {
            let name = map.field.as_str();
            lookup(name).is_some() || !(name.contains('.') || OTHERS.contains(&name))
        });
        let (columns, geography) = (columns.freeze(), facts.geography().cloned());
        let scanner = Scanner::new(columns.clone(), facts, origin);
        let names = Name::all(&columns);
        Self { scanner, columns, names, mapped, placed, geography, plain }
    }

    /// Whether rows are told with the versions of the files that their places are from.
    pub fn tells_places(&self) -> bool {
        self.geography.is_some()
    }

    /// The record that `line` is in `phase`: flat names, absent fields left out. None if the line
    /// makes no record.
    pub fn describe(&self, line: &str, phase: Phase) -> Option<Map<String, Json>> {
        self.describe_twin(line, (0, None), phase)
    }

    /// The same of a line that is the `twin`-th further one of equal rows, and whose addresses are
    /// where `places` says; none: where the facts' own say.
    pub fn describe_twin(
        &self,
        line: &str,
        (twin, places): (u32, Option<&dyn Geography>),
        phase: Phase,
    ) -> Option<Map<String, Json>> {
        let batch = self.scanner.scan_placed(line.to_owned(), Locator(1), places);
        let row = batch.rows.first()?;
        let mut told = Map::new();
        self.versions(&batch, places, &mut told);
        let record = batch.record(0, phase);
        told.insert("time".to_owned(), record.time().to_string().into());
        self.named(&batch, phase, &mut told);
        self.raw(line, &mut told);
        told.insert("record".to_owned(), super::RecordId::of(row.id.twin(twin), phase).to_string().into());
        Some(told)
    }

    /// Versions of the files that the row's place is from, as [`VERSIONS`].
    fn versions(&self, batch: &Batch, places: Option<&dyn Geography>, told: &mut Map<String, Json>) {
        let Some(geography) = places.or(self.geography.as_deref()) else { return };
        let address = batch.record(0, Phase::Start).get(self.placed).text().and_then(geography::address);
        if address.is_some_and(|address| geography.place(address).is_some()) {
            let versions =
                geography.versions().iter().map(|(name, text)| (name.clone(), text.clone().into()));
            told.insert(VERSIONS.to_owned(), Json::Object(versions.collect()));
        }
    }

    fn named(&self, batch: &Batch, phase: Phase, told: &mut Map<String, Json>) {
        let record = batch.record(0, phase);
        for (number, name) in self.columns.names().iter().enumerate() {
            let Ok(number) = u16::try_from(number) else { break };
            if let Some(value) = json(record.get(Column(number))) {
                told.insert(name.as_str().to_owned(), value);
            }
        }
    }

    /// Whether a key of rows has no name in the vocabulary.
    fn is_raw(&self, key: &str) -> bool {
        lookup(key).is_none() && key != "geo" && key != "asn" && !self.mapped.contains(key)
    }

    /// Keys without a name, as `raw.<key>`.
    fn raw(&self, line: &str, told: &mut Map<String, Json>) {
        let Some(Json::Object(row)) = value_of(line) else { return };
        for (key, value) in row {
            if !self.is_raw(&key) || value.is_null() || told.len() >= MAX_SHOWN {
                continue;
            }
            let name = FieldName::resolve(&format!("{RAW}{key}"));
            if let Some(name) = name.filter(|name| name.as_str().starts_with(RAW)) {
                told.insert(name.as_str().to_owned(), bounded(value));
            }
        }
    }
}

fn json(value: Value<'_>) -> Option<Json> {
    match value {
        Value::Absent | Value::Null => None,
        Value::Text(text) => Some(cut(text).into()),
        Value::Number(text) | Value::Json(text) => value_of(text).map(bounded),
        Value::Bool(value) => Some(value.into()),
    }
}

/// Long texts cut; what is nested and long is shown as text, cut.
fn bounded(value: Json) -> Json {
    match value {
        Json::String(text) => cut(&text).into(),
        Json::Array(_) | Json::Object(_) => {
            let text = value.to_string();
            if text.chars().count() > MAX_SHOWN_TEXT { cut(&text).into() } else { value }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
