//! JSON Schema of a rule file, from the table of keys: for editors that complete and check.
//!
//! It knows the vocabulary and `raw.` names, not the fields that a file source declares. What this
//! version does not run is left out, so that an editor marks it as the loader would.

use serde_json::{Map, Value, json};

use super::decode::predicate::{MODIFIERS, Op};
use super::keys::{
    EXPECTED, HAVING_LINE, KeyDoc, MAPS, MapDoc, Open, RULE, SAME_OR_DIFFERENT, TEST_LISTS, TEST_VALUE,
    Takes, WITHOUT_MATCH,
};
use crate::record::FieldKind;
use crate::record::field::{FieldInfo, VOCABULARY, WORDS};

/// Every kind of field.
const KINDS: [FieldKind; 7] = [
    FieldKind::Text,
    FieldKind::Number,
    FieldKind::Bool,
    FieldKind::Time,
    FieldKind::Duration,
    FieldKind::Address,
    FieldKind::Any,
];

/// The schema of a rule file, draft 2020-12.
pub fn rule_schema() -> Value {
    let mut defs = Map::new();
    for doc in MAPS.iter().filter(|doc| doc.name != RULE.name) {
        defs.insert(def_name(doc), map_schema(doc));
    }
    defs.insert("duration".into(), duration());
    defs.insert("field".into(), field_name());
    defs.insert("expression".into(), expression());
    defs.insert("conditions".into(), conditions(&Map::new(), &[]));
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Larum rule",
        "$defs": defs,
    });
    if let (Some(schema), Value::Object(rule)) = (schema.as_object_mut(), map_schema(&RULE)) {
        schema.extend(rule);
        if let Some(needed) = schema.get_mut("required").and_then(Value::as_array_mut) {
            needed.retain(|key| key != "match");
        }
        let forms = std::iter::once("match").chain(WITHOUT_MATCH.iter().copied());
        schema.insert("oneOf".into(), forms.map(|key| json!({ "required": [key] })).collect());
    }
    schema
}

/// `` an entry of `except` `` as `an_entry_of_except`.
pub(crate) fn def_name(doc: &MapDoc) -> String {
    doc.name.replace('`', "").replace(' ', "_")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn map_schema(doc: &MapDoc) -> Value {
    let built = || doc.keys.iter().filter(|key| key.built);
    let properties: Map<String, Value> = built().map(|key| (key.name.to_owned(), key_schema(key))).collect();
    let required: Vec<&str> = built().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = match doc.open {
        Open::Closed => json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        Open::Conditions => conditions(&properties, &required),
        Open::Fields => fields(properties, &json!({})),
        Open::Compared => fields(properties, &json!({ "enum": SAME_OR_DIFFERENT })),
        Open::Names if std::ptr::eq(doc, &raw const EXPECTED) => json!({ "type": "object" }),
        Open::Names if std::ptr::eq(doc, &raw const TEST_LISTS) => test_lists(),
        Open::Secrets => json!({ "type": "object" }),
        Open::Names => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z_][a-z0-9_]*$" },
            "additionalProperties": reference(&def_name(&HAVING_LINE)),
        }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), doc.about.into());
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
    }
    schema
}

/// Lists by name, of plain values and of values that end.
fn test_lists() -> Value {
    let value = json!({ "anyOf": [
        { "type": ["string", "number", "boolean"] },
        reference(&def_name(&TEST_VALUE)),
    ]});
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z_][a-z0-9_]*$" },
        "additionalProperties": { "type": "array", "items": value },
    })
}

/// The schema of a key's value.
pub(crate) fn key_schema(key: &KeyDoc) -> Value {
    let mut schema = takes_schema(key.takes);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), format!("{}; {}", key.about, key.example).into());
    }
    schema
}

fn takes_schema(takes: Takes) -> Value {
    match takes {
        Takes::Secret => json!({ "type": "string", "pattern": "^(env|file):.+$" }),
        Takes::Rate => json!({ "type": "string", "pattern": "^[0-9]+ in [0-9a-z]+$" }),
        Takes::Measured(_, _, unit) => {
            json!({ "type": "string", "pattern": format!("^[0-9]+ ?{unit}$") })
        }
        Takes::Size => json!({ "type": "string", "pattern": "^[0-9]+[kMGT]B$" }),
        Takes::Text => json!({ "type": ["string", "number", "boolean"] }),
        Takes::Template | Takes::Script | Takes::Instant | Takes::Day => json!({ "type": "string" }),
        Takes::Texts => json!({ "type": "array", "items": { "type": ["string", "number"] } }),
        Takes::Id => json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }),
        Takes::Duration => reference("duration"),
        Takes::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Takes::Number => json!({ "type": "number" }),
        Takes::Amount => json!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%$" },
        ]}),
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::Stat => json!({ "type": "string", "pattern": "^(median|mean|min|max|sum|p[1-9][0-9]?)$" }),
        Takes::Word(words) => json!({ "enum": words }),
        Takes::Field => reference("field"),
        Takes::Fields => json!({ "type": "array", "items": reference("field"), "uniqueItems": true }),
        Takes::FieldOrFields => {
            json!({ "anyOf": [takes_schema(Takes::Field), takes_schema(Takes::Fields)] })
        }
        Takes::Techniques => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^T[0-9]{4}(\\.[0-9]{3})?$" },
        }),
        Takes::Expression => reference("expression"),
        Takes::Map(doc) => reference(&def_name(doc)),
        Takes::Maps(doc) => json!({ "type": "array", "items": reference(&def_name(doc)) }),
        Takes::Or(one, other) => json!({ "anyOf": [takes_schema(*one), takes_schema(*other)] }),
        Takes::OffOr(inner) => json!({ "anyOf": [{ "const": "off" }, takes_schema(*inner)] }),
        Takes::Later => json!({}),
    }
}

/// The schema of a duration.
pub(crate) fn duration() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "description": "whole numbers with units, largest first: 90s, 10m, 1h30m, 7d",
    })
}

/// A field of the vocabulary by name or alias, or `raw.<name>`.
pub(crate) fn field_name() -> Value {
    let names: Vec<&str> = VOCABULARY.iter().flat_map(spellings).collect();
    json!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": "^raw\\..+$" }] })
}

fn spellings(info: &FieldInfo) -> impl Iterator<Item = &'static str> + use<> {
    std::iter::once(info.name).chain(info.aliases.iter().copied())
}

fn expression() -> Value {
    json!({
        "description": "a map is AND, a list of maps is OR",
        "anyOf": [
            reference("conditions"),
            { "type": "array", "minItems": 1, "items": reference("conditions") },
        ],
    })
}

/// A map of fields with modifiers, or of selections where there is a `condition`; `besides` are keys
/// of its own.
fn conditions(besides: &Map<String, Value>, required: &[&str]) -> Value {
    let mut selections = besides.clone();
    let about = "how the named selections are joined: `failed and not office`, `1 of sel_*`, `all of them`";
    selections.insert("condition".into(), json!({ "type": "string", "description": about }));
    let mut properties = besides.clone();
    for info in VOCABULARY {
        for spelling in spellings(info) {
            properties.insert(spelling.to_owned(), plain_field(info));
        }
    }
    json!({
        "type": "object",
        "required": required,
        "if": { "required": ["condition"] },
        "then": { "properties": selections, "additionalProperties": reference("expression") },
        "else": {
            "properties": properties,
            "patternProperties": modified_fields(),
            "additionalProperties": false,
        },
    })
}

/// A field without modifiers.
fn plain_field(info: &FieldInfo) -> Value {
    let mut schema = json!({ "description": info.about, "anyOf": one_or_list(value_types(info.kind)) });
    let words = WORDS.iter().find(|(name, _)| *name == info.name).map(|(_, words)| words);
    if let (Some(schema), Some(words)) = (schema.as_object_mut(), words) {
        schema.insert("examples".into(), json!(words));
    }
    schema
}

fn value_types(kind: FieldKind) -> &'static [&'static str] {
    match kind {
        FieldKind::Text => &["string", "number", "null"],
        FieldKind::Number => &["number", "string", "null"],
        FieldKind::Bool => &["boolean", "null"],
        FieldKind::Time | FieldKind::Duration | FieldKind::Address => &["string", "null"],
        FieldKind::Any => &["string", "number", "boolean", "null"],
    }
}

fn one_or_list(types: &[&str]) -> Value {
    json!([{ "type": types }, { "type": "array", "minItems": 1, "items": { "type": types } }])
}

/// For each modifier, the fields that it fits.
fn modified_fields() -> Map<String, Value> {
    let mut patterns = Map::new();
    for (modifier, _) in MODIFIERS.iter().filter(|(_, built)| *built) {
        let Some(op) = Op::of(modifier) else { continue };
        let names: Vec<String> = KINDS
            .into_iter()
            .filter(|kind| op.fits(*kind))
            .flat_map(|kind| VOCABULARY.iter().filter(move |info| info.kind == kind))
            .flat_map(spellings)
            .map(|name| name.replace('.', "\\."))
            .chain(["raw\\.[^|]+".to_owned()])
            .collect();
        let pattern = format!("^({})(\\|(all|cased))*\\|{modifier}(\\|(all|cased))*$", names.join("|"));
        patterns.insert(pattern, modified_value(op));
    }
    patterns.insert(
        "^raw\\.[^|]+(\\|cased)?$".into(),
        json!({ "anyOf": one_or_list(value_types(FieldKind::Any)) }),
    );
    let texts = VOCABULARY.iter().filter(|info| info.kind == FieldKind::Text).flat_map(spellings);
    let texts: Vec<String> = texts.map(|name| name.replace('.', "\\.")).collect();
    patterns.insert(
        format!("^({})\\|cased$", texts.join("|")),
        json!({ "anyOf": one_or_list(value_types(FieldKind::Text)) }),
    );
    patterns
}

fn modified_value(op: Op) -> Value {
    match op {
        Op::Exists | Op::New | Op::Known => json!({ "type": "boolean" }),
        Op::Compare(_) => json!({ "type": ["number", "string"] }),
        Op::UnseenFor => reference("duration"),
        Op::FieldRef => reference("field"),
        Op::Equals | Op::Contains | Op::StartsWith | Op::EndsWith | Op::Regex | Op::Cidr | Op::In => {
            json!({ "anyOf": one_or_list(&["string", "number"]) })
        }
    }
}

/// A map whose further keys are fields and their values.
fn fields(mut properties: Map<String, Value>, value: &Value) -> Value {
    for info in VOCABULARY {
        for spelling in spellings(info) {
            let mut schema = value.clone();
            schema["description"] = info.about.into();
            properties.insert(spelling.to_owned(), schema);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^raw\\..+$": value },
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a schema.
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
    fn every_reference_has_a_definition() {
        let schema = rule_schema();
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(schema.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_rule_takes_its_keys_and_no_other() {
        let schema = rule_schema();
        assert_eq!(schema["required"], json!(["rule", "title", "level"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["level"]["enum"][4], "critical");
        let forms = ["match", "sequence", "risk"].map(|key| json!({ "required": [key] }));
        assert_eq!(schema["oneOf"], json!(forms));
        assert!(schema["properties"].get("lists").is_none(), "what does not run is not offered");
    }

    #[test]
    fn fields_are_listed_with_the_modifiers_that_fit_them() {
        let schema = rule_schema();
        let fields = &schema["$defs"]["conditions"]["else"];
        assert_eq!(fields["properties"]["computer_name"]["description"], "the desktop or server");
        let patterns = fields["patternProperties"].as_object().unwrap();
        let allows =
            |key: &str| patterns.keys().any(|pattern| regex::Regex::new(pattern).unwrap().is_match(key));
        for key in [
            "public_ip|cidr",
            "e2e_rtt|gte",
            "user_name|contains|all",
            "raw.x|re",
            "user|cased",
            "geo.country|exists",
            "user|new",
            "public_ip|known",
            "user|unseen_for",
        ] {
            assert!(allows(key), "{key}");
        }
        for key in ["e2e_rtt|contains", "user|gt", "user|cidr", "geoxcountry|exists", "user|old", "colour|re"]
        {
            assert!(!allows(key), "{key}");
        }
    }
}
