//! Records as a script sees them.
//!
//! A record is a value of its own kind and not a Rhai map: it cannot be changed, handing it around
//! costs nothing, and its text does not count against the sizes of the arrays it stands in, so that
//! a hostile name of four kilobytes cannot make `history.filter(..)` fail.
//!
//! Numbers are floating point, whole ones too: `r.e2e_rtt / r.network_rtt` must not be cut to an
//! integer. Decisions are deterministic on IEEE 754 machines, which are all that Rust runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, ImmutableString, Position};
use serde::{Deserialize, Serialize};

use crate::record::{Datum, FieldName, Number};

/// What a script may look at of one record: the values of [`super::Script::fields`], in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptRecord(Arc<[Datum]>);

impl ScriptRecord {
    /// A record whose values are those of the script's fields, in their order.
    pub fn new(values: impl Into<Arc<[Datum]>>) -> Self {
        Self(values.into())
    }

    /// The values.
    pub fn values(&self) -> &[Datum] {
        &self.0
    }
}

/// Which value stands where.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The fields, in the order of a record's values.
    pub(super) fields: Vec<FieldName>,
    /// Every path a script may spell, aliases included, and the value it means.
    paths: BTreeMap<String, usize>,
    /// Paths that are only the beginning of others: `geo`, `raw`.
    groups: BTreeSet<String>,
}

impl Layout {
    /// Adds the field `spelling` means, if it means one.
    pub(super) fn want(&mut self, spelling: &str) -> bool {
        let Some(field) = FieldName::resolve(spelling) else { return false };
        let index = self.fields.iter().position(|known| *known == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        });
        for path in [spelling, field.as_str()] {
            self.paths.insert(path.to_owned(), index);
            for (dot, _) in path.match_indices('.') {
                self.groups.insert(path[..dot].to_owned());
            }
        }
        true
    }

    /// Every name that may follow a point.
    fn segments(&self) -> BTreeSet<&str> {
        self.paths.keys().flat_map(|path| path.split('.')).collect()
    }
}

/// A record, or a group of its fields such as `record.geo`.
#[derive(Debug, Clone)]
pub(super) struct View {
    layout: Arc<Layout>,
    values: Arc<[Datum]>,
    /// What was walked so far; empty at the record itself.
    path: ImmutableString,
}

impl View {
    pub(super) fn new(layout: &Arc<Layout>, record: &ScriptRecord) -> Self {
        Self { layout: layout.clone(), values: record.0.clone(), path: ImmutableString::new() }
    }

    /// The value at `path` below this view, if the script reads it.
    pub(super) fn datum(&self, path: &str) -> Option<&Datum> {
        let index = *self.layout.paths.get(self.below(path).as_str())?;
        Some(self.values.get(index).unwrap_or(&Datum::Absent))
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn read(&self, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        if let Some(datum) = self.datum(name) {
            return Ok(dynamic(datum));
        }
        let path = self.below(name);
        if self.layout.groups.contains(&path) {
            return Ok(Dynamic::from(Self { path: path.into(), ..self.clone() }));
        }
        let message = format!("`{path}` is not read by name in this script, so it is not at hand");
        Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)))
    }
}

/// Teaches `engine` to read records of this layout.
pub(super) fn register(engine: &mut Engine, layout: &Layout) {
    engine.register_type_with_name::<View>("record");
    engine.register_indexer_get(|view: &mut View, name: ImmutableString| view.read(&name));
    for segment in layout.segments() {
        let name = segment.to_owned();
        engine.register_get(segment, move |view: &mut View| view.read(&name));
    }
}

/// A value as a script gets it.
pub(super) fn dynamic(datum: &Datum) -> Dynamic {
    match datum {
        Datum::Absent => Dynamic::UNIT,
        Datum::Text(text) => (&**text).into(),
        // By way of the decimal text, which is read to the nearest floating-point number.
        Datum::Number(number) => number.to_string().parse::<FLOAT>().unwrap_or(FLOAT::NAN).into(),
        Datum::Bool(truth) => (*truth).into(),
    }
}

/// A script's value as alerts keep it; none for what is no plain value.
pub(super) fn datum(value: &Dynamic) -> Option<Datum> {
    if value.is_unit() {
        return Some(Datum::Absent);
    }
    if let Ok(truth) = value.as_bool() {
        return Some(Datum::Bool(truth));
    }
    if let Ok(whole) = value.as_int() {
        return Some(Datum::Number(Number::whole(whole)));
    }
    if let Ok(float) = value.as_float() {
        // Out of an exact number's range only the spelling is left: `NaN`, `inf`, `1e300`.
        return Some(Number::parse(&float.to_string()).map_or_else(
            || Datum::text(&if float.is_finite() { format!("{float:e}") } else { float.to_string() }),
            Datum::Number,
        ));
    }
    if let Ok(letter) = value.as_char() {
        return Some(Datum::text(letter.encode_utf8(&mut [0; 4])));
    }
    value.as_immutable_string_ref().ok().map(|text| Datum::text(&text))
}
