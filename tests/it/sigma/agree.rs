//! The compiled documents agree with the naive reading: random documents and records, and the rule sets
//! that engines are measured with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use larum::alert::Draft;
use larum::engine::{Engine, Generation, GenerationText, RuleText, Scratch};
use larum::record::Locator;
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::naive;
use crate::world::{SOURCE, cases};

/// Texts over few letters, so that many are the same in part.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[aAbé1]{0,3}",
        r"[aB*?\\]{0,4}",
        "( ?[-/][ab]|a){0,3}",
        Just("5".to_owned()),
        Just("10.1.2.3".to_owned()),
        Just("2026-01-05T09:07:00Z".to_owned()),
        Just("true".to_owned()),
        Just("YWI=".to_owned()),
        Just("xYWIy".to_owned()),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::from),
        2 => (0_i64..12).prop_map(Value::from),
        1 => (-8_i32..8).prop_map(|quarters| json!(f64::from(quarters) / 4.0)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

/// Numbers and texts of numbers that are beyond those which a document may name.
fn far() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(1e21),
        json!(-1e300),
        json!("1e400"),
        json!("123456789012345678901234567890"),
    ])
}

/// What a field of a record holds.
fn held() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        1 => far(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        1 => scalar().prop_map(|value| json!({"d": value})),
        1 => prop::collection::vec(scalar().prop_map(|value| json!({"d": value, "x": [value]})), 0..3)
            .prop_map(Value::from),
    ]
}

const KEYS: [&str; 5] = ["fa", "Fb", "fc", "fc.d", "fc.x"];

fn record() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(&KEYS[..]), held(), 0..5).prop_map(|map| {
        let mut record: Map<String, Value> =
            map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        record.insert("@timestamp".to_owned(), "2026-01-05T09:00:00Z".into());
        Value::Object(record)
    })
}

/// A key without its field, and its values.
fn asked() -> impl Strategy<Value = (String, Value)> {
    let values = |one: BoxedStrategy<Value>| {
        prop_oneof![one.clone(), prop::collection::vec(one, 1..4).prop_map(Value::from)].boxed()
    };
    let texts = text().prop_map(Value::from).boxed();
    let plain = "[ab1]{1,4}".prop_map(Value::from).boxed();
    let numbers =
        prop_oneof![(0_i64..12).prop_map(Value::from), Just(json!(0.5)), Just(json!(-1.25))].boxed();
    let word = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    prop_oneof![
        6 => (word(&["", "|cased", "|neq", "|all"]), values(scalar().boxed())),
        6 => (
            word(&[
                "|contains", "|startswith", "|endswith", "|contains|all", "|contains|cased", "|endswith|cased",
                "|startswith|all", "|windash", "|windash|contains", "|contains|neq",
            ]),
            values(texts),
        ),
        2 => (word(&["|re", "|re|i", "|re|s|i", "|re|m"]), values(word(&["^a", "b$", "a.b", "[aA]+1?$", "^$", "-|/"]).prop_map(Value::from).boxed())),
        1 => (word(&["|cidr"]), values(word(&["10.0.0.0/8", "10.1.2.3/32", "11.0.0.0/8", "::/0"]).prop_map(Value::from).boxed())),
        2 => (word(&["|gt", "|gte", "|lt", "|lte", "|neq"]), values(numbers.clone())),
        1 => (word(&["|minute", "|hour", "|day", "|month", "|year", "|hour|gte", "|minute|lt"]), values(numbers)),
        1 => (word(&["|exists"]), any::<bool>().prop_map(Value::from).boxed()),
        2 => (word(&["|base64", "|base64offset|contains", "|wide|base64|contains", "|base64offset", "|wide"]), values(plain)),
        2 => (
            word(&["|fieldref", "|fieldref|contains", "|fieldref|endswith", "|fieldref|startswith", "|fieldref|cased"]),
            values(prop::sample::select(&KEYS[..]).prop_map(Value::from).boxed()),
        ),
    ]
}

fn items() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(&KEYS[..]), asked()), 1..4).prop_map(|items| {
        let map =
            items.into_iter().map(|(field, (modifiers, values))| (format!("{field}{modifiers}"), values));
        Value::Object(map.collect())
    })
}

fn keywords() -> impl Strategy<Value = Value> {
    let keyword = prop_oneof!["[ab1é]{1,2}", "a[?]b", Just("5".to_owned())];
    prop_oneof![
        prop::collection::vec(keyword.clone(), 1..3).prop_map(Value::from),
        prop::collection::vec(keyword.clone(), 2..3).prop_map(|list| json!({"|all": list})),
        keyword.prop_map(Value::from),
    ]
}

fn selection() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => items(),
        2 => prop::collection::vec(items(), 1..3).prop_map(Value::from),
        1 => keywords(),
    ]
}

/// A condition over `sa`, `sb` and `_c`.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &["sa", "sb", "_c", "1 of s*", "all of s*", "1 of them", "all of them", "any of *a", "all of *"][..],
    );
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not {part}")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} and {other})")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one} or not {other})")),
        ]
    })
}

fn detection() -> impl Strategy<Value = Value> {
    let conditions = prop_oneof![
        4 => condition().prop_map(Value::from),
        1 => prop::collection::vec(condition(), 1..3).prop_map(Value::from),
    ];
    (selection(), selection(), selection(), conditions)
        .prop_map(|(sa, sb, c, condition)| json!({"sa": sa, "sb": sb, "_c": c, "condition": condition}))
}

/// What fires for each of `lines`, by the compiled documents: all in one batch.
fn compiled(generation: &Arc<Generation>, lines: &[String]) -> Vec<BTreeSet<String>> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let scanner = Scanner::new(
        generation.columns.clone(),
        Arc::new(Facts::default()),
        Origin::file(Mapping::default()),
    );
    let batch = scanner.scan(text, Locator(0));
    assert!(batch.faults.is_empty(), "{:?}", batch.faults);
    let mut engine = Engine::new(generation.clone(), "acme");
    engine.add_source(SOURCE, None);
    let fresh = engine.take_in(&batch);
    let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
    let mut fired = vec![BTreeSet::new(); lines.len()];
    for draft in engine.advance(&batch, hits).drafts {
        let Draft::Fired(alert) = draft else { continue };
        let row = batch.rows.iter().position(|row| row.locator == alert.tip.locator).unwrap();
        fired[row].insert(alert.rule.to_string());
    }
    fired
}

proptest! {
    #![proptest_config(cases(256))]

    /// JSON is YAML: a document is written as the one and read as the other.
    #[test]
    fn documents_mean_what_the_specification_says(
        detections in prop::collection::vec(detection(), 1..6),
        records in prop::collection::vec(record(), 1..12),
    ) {
        let documents: Vec<Value> = detections
            .into_iter()
            .enumerate()
            .map(|(number, detection)| json!({"title": "t", "name": format!("r{number}"), "detection": detection}))
            .collect();
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        let generation = super::generation(&text.join("\n---\n"));
        let lines: Vec<String> = records.iter().enumerate().map(|(number, record)| {
            let mut record = record.clone();
            // No two lines are one record.
            record["unique"] = json!({"zz": number});
            record.to_string()
        }).collect();
        let fired = compiled(&generation, &lines);
        for (line, fired) in lines.iter().zip(&fired) {
            let record: Value = serde_json::from_str(line).unwrap();
            for document in &documents {
                let said = fired.contains(document["name"].as_str().unwrap());
                prop_assert_eq!(said, naive::holds(document, &record), "{}\n{}", document, line);
            }
        }
    }
}

/// The folder of generators; none where it is not there.
#[expect(clippy::disallowed_methods, reason = "the generators lie beside the repository")]
fn generators() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var("LARUM_SHARED").map_or_else(|_| beside(), PathBuf::from).join("bench");
    if folder.join("gen_sigma_rules.py").is_file() {
        return Some(folder);
    }
    let told = format!("NOT TESTED: no generators in `{}`; set LARUM_SHARED", folder.display());
    assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
    println!("{told}");
    None
}

#[expect(clippy::disallowed_methods, reason = "what a generator wrote is a file")]
fn generated(script: &Path, arguments: &[&str], out: &Path) -> String {
    let done = Command::new("python3").arg(script).args(arguments).arg("--out").arg(out).status().unwrap();
    assert!(done.success());
    std::fs::read_to_string(out).unwrap()
}

/// So many rules of the generated set over so many records, the odd ones of the second kind.
fn agree(rules: usize, records: usize) {
    let Some(folder) = generators() else { return };
    let work = tempfile::tempdir().unwrap();
    let count = rules.to_string();
    let set = generated(
        &folder.join("gen_sigma_rules.py"),
        &["--no-correlations", "--count", &count],
        &work.path().join("rules.yml"),
    );
    let half = (records / 2).to_string();
    let mut lines = Vec::new();
    for (number, more) in [&["--seed", "1"][..], &["--seed", "2", "--second-set"]].into_iter().enumerate() {
        let arguments = [&["--count", half.as_str(), "--fail-rate", "0.3"], more].concat();
        let text =
            generated(&folder.join("gen_records.py"), &arguments, &work.path().join(number.to_string()));
        lines.extend(text.lines().map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record["id"] = format!("{number}-{}", record["id"]).into();
            record.to_string()
        }));
    }
    let file = RuleText { file: "rules.yml".to_owned(), text: set.clone() };
    let compiled_set = GenerationText { sigma: vec![file], ..GenerationText::default() }.compile();
    assert!(compiled_set.failed.is_empty(), "{:?}", compiled_set.failed);
    let fired = compiled(&compiled_set.generation, &lines);
    let documents: Vec<(String, Value)> = set
        .split("\n---\n")
        .map(|text| {
            let document: Value = serde_saphyr::from_str(text).unwrap();
            let id = document.get("name").or(document.get("id")).unwrap().as_str().unwrap().replace('_', "-");
            (id, document)
        })
        .collect();
    assert_eq!(documents.len(), rules);
    let mut hits = 0;
    for (line, fired) in lines.iter().zip(&fired) {
        let record: Value = serde_json::from_str(line).unwrap();
        let said: BTreeSet<String> = documents
            .iter()
            .filter(|(_, document)| naive::holds(document, &record))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(*fired, said, "{line}");
        hits += said.len();
    }
    println!("{rules} rules, {} records, {hits} hits: all verdicts agree", lines.len());
    assert!(hits > 0);
}

#[test]
fn the_generated_set_agrees() {
    agree(200, 60);
}

#[test]
#[ignore = "ten thousand rules, judged slowly; for the acceptance run"]
fn the_whole_generated_set_agrees() {
    agree(10_000, 2_000);
}
