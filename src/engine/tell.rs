//! Drafts to alerts: words, evidence and shown values, from the rows that the draft names.
//!
//! The edge fetches the rows; everything else about telling is decided here, once, so that an
//! alert reads the same in a replay, in a chat and a month later.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::alert::{Alert, Bounds, Change, Evidence, Fired, State};
use crate::record::describe::VERSIONS;
use crate::record::field::RAW;
use crate::record::{FieldName, Timestamp};
use crate::rule::compile::Rule;
use crate::rule::spec::Verb;
use crate::rule::template::Text;

use super::Generation;

/// Distinct values shown of one field.
const SHOWN_EACH: usize = 20;

/// A record in the vocabulary: flat names (`geo.country`) and values as spelt.
pub type Told = Map<String, Json>;

/// The alert that `fired` is, told with the `rows` of its sights (same order; none where a row can
/// no longer be fetched).
pub fn alert(generation: &Generation, fired: &Fired, rows: &[Option<Told>]) -> Alert {
    let known: Vec<&Told> = rows.iter().flatten().collect();
    alert_of(generation, fired, rows, Evidence::of(&known, |row| nested(row)))
}

/// The same with its evidence as the caller has it.
pub fn alert_of<R>(
    generation: &Generation,
    fired: &Fired,
    rows: &[Option<Told>],
    evidence: Evidence<R>,
) -> Alert<R> {
    let tip = rows.last().and_then(Option::as_ref);
    worded(generation, fired, (rows, evidence), scope(fired, tip))
}

/// The same of an alert for whose words no row is wanted, without a scope. See [`wants_rows`].
pub fn brief<R>(generation: &Generation, fired: &Fired, evidence: Evidence<R>) -> Alert<R> {
    worded(generation, fired, (&[], evidence), BTreeMap::new())
}

/// Whether the words of an alert of `fired`'s rule, besides its evidence, are made of its rows.
pub fn wants_rows(generation: &Generation, fired: &Fired) -> bool {
    generation.rule(&fired.rule).is_some_and(|rule| {
        let words = rule.title.is_some() || rule.runbook.is_some() || !rule.spec.alert.show.is_empty();
        words || matches!(rule.spec.verb, Some(Verb::FirstSeen(_)))
    })
}

fn worded<R>(
    generation: &Generation,
    fired: &Fired,
    (rows, evidence): (&[Option<Told>], Evidence<R>),
    mut scope: BTreeMap<String, Json>,
) -> Alert<R> {
    let rule = generation.rule(&fired.rule);
    let tip = rows.last().and_then(Option::as_ref);
    let mut actual = fired.finding.actual.clone();
    if let Some(spelt) = rule.and_then(|rule| spelt_value(rule, tip?)) {
        scope.insert("value".to_owned(), spelt.clone());
        actual.insert("value".to_owned(), spelt);
    }
    let spec = rule.map(|rule| &rule.spec);
    let mut text_fault = None;
    let mut text = |text: Option<&Text>| match text?.render(&scope) {
        Ok(text) => Some(text),
        Err(fault) => {
            text_fault = Some(fault.to_string());
            None
        }
    };
    // An alert must go out: where its title cannot be rendered, the rule's plain one stands.
    let plain = || rule.map_or_else(|| fired.rule.to_string(), |rule| rule.spec.title.clone());
    let title = text(rule.and_then(|rule| rule.title.as_deref())).unwrap_or_else(plain);
    let runbook = text(rule.and_then(|rule| rule.runbook.as_deref()));
    let show = spec.map(|spec| spec.alert.show.iter().map(|field| shown(field, rows)).collect());
    let first = fired.sights.first().map_or(fired.at, |sight| sight.at);
    Alert {
        id: fired.id,
        revision: 1,
        state: State::Open,
        rule: fired.rule.clone(),
        rule_revision: fired.rule_revision,
        tenant: fired.tenant.clone(),
        level: fired.level,
        title,
        at: fired.at,
        group: group(fired),
        count: fired.finding.count,
        repeats: 0,
        first_seen: first,
        last_seen: last_seen(fired),
        window: Bounds { from: fired.from, to: fired.to },
        threshold: fired.finding.threshold.clone(),
        actual,
        values: fired.finding.values.clone(),
        show: show.unwrap_or_default(),
        attack: spec.map(|spec| spec.about.attack.clone()).unwrap_or_default(),
        tags: spec.map(|spec| spec.about.tags.clone()).unwrap_or_default(),
        late: fired.late,
        standing: fired.standing,
        observe: fired.observe,
        held_by: fired.held_by.clone(),
        released: false,
        notify: spec.map(|spec| spec.notify.clone()).unwrap_or_default(),
        why_level: why_level(fired.level_line),
        runbook,
        evidence,
        generation: generation.digest.clone(),
        versions: versions(generation, rule.map(|rule| &**rule), tip),
        text_fault,
        scope: scope.into_iter().collect(),
    }
}

/// Versions of the lists that a rule reads, and of the files that the record's place is from.
fn versions(generation: &Generation, rule: Option<&Rule>, tip: Option<&Told>) -> BTreeMap<String, String> {
    let version =
        |name: &String| Some((format!("lists.{name}"), generation.lists().get(name)?.digest().to_owned()));
    let lists = rule.into_iter().flat_map(|rule| &rule.lists).filter_map(version);
    let files = match tip.and_then(|tip| tip.get(VERSIONS)) {
        Some(Json::Object(files)) => files.clone(),
        Some(_) | None => Map::new(),
    };
    let text = |(name, version): (String, Json)| Some((name, version.as_str()?.to_owned()));
    lists.chain(files.into_iter().filter_map(text)).collect()
}

/// `alert` as it is after `change`.
pub fn changed<R: Clone>(alert: &Alert<R>, change: &Change) -> Alert<R> {
    let mut next = alert.clone();
    next.revision = change.revision;
    next.state = change.state;
    next.at = change.at;
    next.level = change.level;
    next.why_level = why_level(change.level_line);
    next.count = alert.count - alert.repeats + change.repeats;
    next.repeats = change.repeats;
    next.last_seen = change.last_seen;
    if !change.held {
        next.held_by.clear();
    }
    next.released = change.released;
    next
}

/// The value that `first_seen` found new, as the record spelt it; state keeps it as it is compared.
fn spelt_value(rule: &Rule, tip: &Told) -> Option<Json> {
    let Some(Verb::FirstSeen(verb)) = &rule.spec.verb else { return None };
    if let [field] = &*verb.value {
        return tip.get(field.as_str()).cloned();
    }
    let part = |field: &FieldName| match tip.get(field.as_str()) {
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".to_owned(),
    };
    Some(verb.value.iter().map(part).collect::<Vec<_>>().join(", ").into())
}

/// The last record that the alert stands on; time may have passed since.
fn last_seen(fired: &Fired) -> Timestamp {
    fired.sights.last().map_or(fired.at, |sight| sight.at)
}

fn why_level(line: Option<usize>) -> String {
    line.map_or_else(|| "rule".to_owned(), |line| format!("levels[{line}]"))
}

fn group(fired: &Fired) -> Map<String, Json> {
    let value = |value: &Option<String>| value.clone().map_or(Json::Null, Json::from);
    fired.group.iter().map(|(field, text)| (field.as_str().to_owned(), value(text))).collect()
}

/// Everything the texts of a rule may name.
fn scope(fired: &Fired, tip: Option<&Told>) -> BTreeMap<String, Json> {
    let mut scope: BTreeMap<String, Json> = BTreeMap::new();
    for (field, value) in &fired.group {
        if let Some(value) = value {
            scope.insert(field.as_str().to_owned(), value.clone().into());
        }
    }
    let of_record = tip.into_iter().flatten().filter(|(name, _)| *name != VERSIONS);
    scope.extend(of_record.map(|(name, value)| (name.clone(), value.clone())));
    scope.extend(fired.finding.scope.iter().map(|(name, value)| (name.clone(), value.clone())));
    let threshold = match fired.finding.threshold.values().next() {
        Some(only) if fired.finding.threshold.len() == 1 => only.clone(),
        Some(_) | None => Json::Object(fired.finding.threshold.clone()),
    };
    let first = fired.sights.first().map_or(fired.at, |sight| sight.at);
    for (name, value) in [
        ("count", Json::from(fired.finding.count)),
        ("rule", fired.rule.as_str().into()),
        ("level", fired.level.as_str().into()),
        ("threshold", threshold),
        ("at", fired.at.to_string().into()),
        ("first_seen", first.to_string().into()),
        ("last_seen", last_seen(fired).to_string().into()),
        ("late", fired.late.into()),
        ("state", State::Open.as_str().into()),
        ("repeats", 0.into()),
    ] {
        scope.insert(name.to_owned(), value);
    }
    scope
}

fn shown(field: &FieldName, rows: &[Option<Told>]) -> (String, Json) {
    let mut values: Vec<Json> = Vec::new();
    for row in rows.iter().flatten() {
        let value = if field.is_spelt() { as_spelt(row, field) } else { row.get(field.as_str()) };
        let value = value.filter(|value| !value.is_null() && *value != "");
        if let Some(value) = value.filter(|value| values.len() < SHOWN_EACH && !values.contains(value)) {
            values.push(value.clone());
        }
    }
    (field.to_string(), values.into())
}

/// The value of a field that is named as the line spells it: of the key itself, else of the path that its dots
/// make, else of what it means here.
fn as_spelt<'a>(row: &'a Told, field: &FieldName) -> Option<&'a Json> {
    let name = field.as_str();
    let path = |(outer, inner): (&str, &str)| {
        let within = row.get(&format!("{RAW}{outer}"))?;
        inner.split('.').try_fold(within, |value, key| value.get(key))
    };
    let meaning = || row.get(field.meaning()?.as_str());
    row.get(&format!("{RAW}{name}")).or_else(|| name.split_once('.').and_then(path)).or_else(meaning)
}

/// A row as evidence shows it: `geo.country: NO` as `geo: {country: NO}`.
pub fn nested(flat: &Told) -> Told {
    let mut whole = Map::new();
    for (name, value) in flat.iter().filter(|(name, _)| *name != VERSIONS) {
        match name.split_once('.') {
            None => {
                whole.insert(name.clone(), value.clone());
            }
            Some((outer, inner)) => {
                let part = whole.entry(outer.to_owned()).or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(part) = part {
                    part.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
    whole
}
