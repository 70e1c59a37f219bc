//! JSON Schema of a configuration, from the tables of keys: for editors that complete and check.

use serde_json::{Map, Value, json};

use super::keys::{AT_MOST_RULES, CONFIG, FAILURE_CODES, FAILURE_KINDS, LISTS, RECEIVER, SOURCE};
use super::{KindDoc, Kinds};
use crate::rule::keys::{MapDoc, Open, Takes};
use crate::rule::schema::{def_name, duration, field_name, key_schema};

/// The schema of a configuration with these kinds of sources and receivers, draft 2020-12.
pub fn config_schema(kinds: &Kinds<'_>) -> Value {
    let mut defs = Map::new();
    defs.insert("duration".into(), duration());
    defs.insert("field".into(), field_name());
    for (shared, kinds) in [(&SOURCE, kinds.sources), (&RECEIVER, kinds.receivers)] {
        for doc in kinds.iter().map(|kind| kind.keys).chain([shared]) {
            define(doc, &mut defs);
        }
        let one: Vec<Value> = kinds.iter().map(|kind| of_kind(shared, kind)).collect();
        defs.insert(def_name(shared), json!({ "description": shared.about, "oneOf": one }));
    }
    define(&CONFIG, &mut defs);
    let whole = defs.remove(&def_name(&CONFIG));
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Larum configuration",
        "$defs": defs,
    });
    if let (Some(schema), Some(Value::Object(whole))) = (schema.as_object_mut(), whole) {
        schema.extend(whole);
    }
    schema
}

/// Defines a map and those in it.
fn define(doc: &'static MapDoc, defs: &mut Map<String, Value>) {
    if defs.contains_key(&def_name(doc)) {
        return;
    }
    // Before its parts, so that a map within itself ends.
    defs.insert(def_name(doc), map_schema(doc));
    for takes in doc.keys.iter().filter(|key| key.built).flat_map(|key| key.takes.alternatives()) {
        if let Takes::Map(inner) | Takes::Maps(inner) = takes {
            define(inner, defs);
        }
    }
}

/// What every source or receiver has, and what one of this kind has besides.
fn of_kind(shared: &MapDoc, kind: &KindDoc) -> Value {
    let docs = || [shared, kind.keys].into_iter();
    let mut properties: Map<String, Value> = docs().flat_map(properties).collect();
    properties.insert("kind".into(), json!({ "const": kind.name }));
    let required: Vec<&str> = docs().flat_map(required).collect();
    json!({
        "type": "object",
        "description": kind.keys.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn properties(doc: &MapDoc) -> Map<String, Value> {
    doc.keys.iter().filter(|key| key.built).map(|key| (key.name.to_owned(), key_schema(key))).collect()
}

fn required(doc: &MapDoc) -> Vec<&'static str> {
    doc.keys.iter().filter(|key| key.built && key.required).map(|key| key.name).collect()
}

fn map_schema(doc: &'static MapDoc) -> Value {
    let further = match doc.open {
        Open::Closed => json!(false),
        Open::Names if std::ptr::eq(doc, &raw const LISTS) => json!({ "type": "string" }),
        Open::Names if std::ptr::eq(doc, &raw const AT_MOST_RULES) => json!({ "type": "string" }),
        Open::Names if std::ptr::eq(doc, &raw const FAILURE_CODES) => json!({ "enum": FAILURE_KINDS }),
        Open::Names | Open::Fields | Open::Compared | Open::Conditions | Open::Secrets => json!(true),
    };
    let mut schema = json!({
        "type": "object",
        "description": doc.about,
        "properties": properties(doc),
        "additionalProperties": further,
    });
    let required = required(doc);
    if let Some(schema) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        schema.insert("required".into(), json!(required));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_option_is_in_the_schema_and_every_reference_has_a_definition() {
        let receivers: Vec<KindDoc> = [KindDoc { name: "one", keys: &super::super::keys::KEEP }].into();
        let schema = config_schema(&Kinds { receivers: &receivers, sources: &[] });
        let mut found = Vec::new();
        references(&schema, &mut found);
        for reference in found {
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for key in CONFIG.keys {
            assert_eq!(schema["properties"].get(key.name).is_some(), key.built, "{}", key.name);
        }
        let receiver = &schema["$defs"][def_name(&RECEIVER)]["oneOf"][0];
        assert_eq!(receiver["properties"]["kind"], json!({"const": "one"}));
        assert!(
            receiver["properties"].get("at_most").is_some() && receiver["properties"].get("for").is_some()
        );
    }
}
