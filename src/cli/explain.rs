//! `larum explain`: why a rule fired for a group at a time, or why not.
//!
//! The records run through the engine that the daemon runs, with one rule watched; what is told is
//! what the engine decided, not a second opinion.

mod gathering;
mod told;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use crate::alert::Fired;
use crate::engine::{CheckedRule, Engine, links};
use crate::record::scan::{Mapping, Origin};
use crate::record::{FieldName, RuleId, Timestamp, Value};
use crate::rule::compile::{Program, key_text};
use crate::rule::suggest;
use crate::rule::why::Why;

use super::feed::FileArguments;
use super::load::{GeoArguments, Known, RuleArguments};
use super::{Exit, Failure, Output, show};
use gathering::{Gathering, Sought};

/// Digits of an alert's id that are enough to mean one.
const LEAST_DIGITS: usize = 6;
/// Rules that are named where none is near to what was asked for; there may be thousands.
const NAMED_RULES: usize = 40;

/// Arguments of `larum explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The rule's id; or an alert's, as `larum replay` shows it, for why that alert fired
    #[arg(value_name = "RULE|ALERT")]
    asked: String,
    /// Files of records (NDJSON; plain, gzip or zstd; - for stdin)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The group: a field of the rule's `by` and its value; once a field
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_pair)]
    group: Vec<(String, String)>,
    /// The time asked about: the last record of the group at or before it is explained. Only the id of
    /// an alert needs none
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
    /// A daemon's store: who was told of the alert there, and why not, is told too
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArguments,
    #[command(flatten)]
    geo: GeoArguments,
    #[command(flatten)]
    reading: FileArguments,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (field, value) = text
        .split_once('=')
        .ok_or("write it as field=value, such as user=ana; user= for records without one")?;
    Ok((field.to_owned(), value.to_owned()))
}

/// A time of the command line.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let day = || Timestamp::parse(&format!("{text}T00:00:00Z"));
    let time = Timestamp::parse(text).or_else(day);
    time.ok_or_else(|| {
        "write it as 2026-01-05T09:08:00Z, or as 2026-01-05 for the begin of that day".to_owned()
    })
}

#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("no rule `{0}`; {1}")]
    NoSuchRule(String, String),
    #[error(
        "`{asked}` is a detection that makes no alerts of its own, only {read_by} it; ask `larum explain {first}`"
    )]
    OnlyRead { asked: String, read_by: String, first: RuleId },
    #[error("rule `{rule}` groups by {by}: give {missing}")]
    Group { rule: RuleId, by: String, missing: String },
    #[error("rule `{rule}` does not group by `{field}`, but by {by}")]
    NoSuchField { rule: RuleId, field: String, by: String },
    #[error("give --at TIME: the last record of the group at or before it is explained")]
    NoTime,
    #[error("rule `{0}` has one group of all records: leave --group out")]
    NoGroups(RuleId),
}

/// What is told.
#[derive(Debug, Serialize)]
struct Explanation {
    rule: String,
    group: serde_json::Map<String, Json>,
    asked: String,
    fired: bool,
    /// One of the closed list.
    reason: &'static str,
    /// In words.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<Why>,
    before: Vec<Before>,
    /// Where a store was given and it fired: what became of each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Vec<told::Told>>,
}

/// A record of the group that came before.
#[derive(Debug, Serialize)]
struct Before {
    at: String,
    reason: &'static str,
    detail: String,
}

impl Explain {
    pub(super) fn run(mut self) -> Result<Exit, Failure> {
        let mapping = self.reading.mapping()?;
        let declared = mapping.fields.iter().map(|map| map.field.to_string()).collect::<Vec<_>>();
        let loaded = self.rules.load(&[], &declared, Known::Given)?;
        let mut known = loaded.rules.iter().map(|rule| rule.rule().id());
        let mut rule = known.find(|id| id.as_str() == self.asked).cloned();
        if rule.is_none() && loaded.failed.contains(&self.asked) {
            loaded.complain();
            self.tell(&self.not_loaded())?;
            return Ok(Exit::Findings);
        }
        if rule.is_none() {
            self.only_read(&loaded.rules)?;
            if let Some(fired) = self.fired(&declared, &mapping)? {
                self.at = Some(fired.at);
                self.group = fired
                    .group
                    .into_iter()
                    .map(|(field, value)| (field.to_string(), value.unwrap_or_default()))
                    .collect();
                rule = Some(fired.rule);
            }
        }
        let Some(rule) = rule else { return Err(self.no_such_rule(&loaded.rules).into()) };
        let rules = links::with_heard(loaded.rules, &BTreeSet::from([rule.clone()]));
        let tables = self.rules.placed(loaded.tables, &self.geo)?;
        let at = self.at.ok_or(ExplainError::NoTime)?;
        let generation = Arc::new(tables.generation(rules));
        let number = generation.position(&rule).unwrap_or_default();
        let key = self.key(&rule, &generation.programs.list[number])?;
        let mut engine = Engine::new(generation.clone(), "default");
        engine.watch(&rule);
        let mut gathering = Gathering::new(&generation, number, key, at);
        let fed = self.reading.feed(&self.files, &Origin::file(mapping), engine, &mut gathering)?;
        let mut explanation = gathering.explain(rule.as_str(), at);
        if explanation.group.is_empty() {
            explanation.group = self.asked_group();
        }
        if let Some(store) = self.store.as_ref().filter(|_| explanation.fired)
            && let Some(at) = explanation.at.as_deref().and_then(Timestamp::parse)
        {
            explanation.told = told::told(store, &rule, &explanation.group, at)?;
            if explanation.told.is_none() {
                show::note("the store has no alert of this rule and group that fired then");
            }
        }
        self.tell(&explanation)?;
        let quarantined: u64 = fed.quarantined.values().map(|(count, _)| count).sum();
        if quarantined > 0 {
            let lines = show::many(usize::try_from(quarantined).unwrap_or(usize::MAX), "line");
            show::note(&format!("{lines} made no record; `larum replay` tells which and why"));
        }
        if let Some(untimed) = fed.untimed() {
            show::note(&format!("warning: {untimed}"));
        }
        for failure in &fed.broken {
            show::failure(&**failure);
        }
        Ok(if fed.broken.is_empty() { Exit::Fine } else { Exit::CouldNotRun })
    }

    /// Refuses a detection that only correlations read: those can be explained.
    fn only_read(&self, rules: &[CheckedRule]) -> Result<(), ExplainError> {
        let detections = links::only_read(rules.iter().map(|rule| &**rule.rule()));
        let is_meant = |id: &RuleId, detection: &links::Detection| {
            detection.names.contains(&self.asked) || RuleId::nearest(&self.asked).as_ref() == Some(id)
        };
        let found = detections.into_iter().find(|(id, detection)| is_meant(id, detection));
        let Some((_, detection)) = found else { return Ok(()) };
        let read_by: Vec<&str> = detection.read_by.iter().map(RuleId::as_str).collect();
        let read_by = show::who(&read_by, ["reads", "read"]);
        let asked = self.asked.clone();
        match detection.read_by.first().cloned() {
            Some(first) => Err(ExplainError::OnlyRead { asked, read_by, first }),
            None => Ok(()),
        }
    }

    /// That there is no such rule, and which may be meant.
    fn no_such_rule(&self, rules: &[CheckedRule]) -> ExplainError {
        let ids = || rules.iter().map(|rule| rule.rule().id().as_str());
        let hint = match suggest::nearest(&self.asked, ids()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if rules.is_empty() => {
                "no rule is loaded: name some with --rules, --sigma or --config".to_owned()
            }
            None => {
                let named: Vec<&str> = ids().take(NAMED_RULES).collect();
                let more = rules.len() - named.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("there are: {}{more}", named.join(", "))
            }
        };
        ExplainError::NoSuchRule(self.asked.clone(), hint)
    }

    /// The alert whose id the first argument begins, if the rules raise one over the files.
    fn fired(&self, declared: &[String], mapping: &Mapping) -> Result<Option<Fired>, Failure> {
        let id = self.asked.to_ascii_lowercase();
        if id.len() < LEAST_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let loaded = self.rules.load(&[], declared, Known::Given)?;
        let tables = self.rules.placed(loaded.tables, &self.geo)?;
        let engine = Engine::new(Arc::new(tables.generation(loaded.rules)), "default");
        let mut sought = Sought { id, fired: None };
        self.reading.feed(&self.files, &Origin::file(mapping.clone()), engine, &mut sought)?;
        Ok(sought.fired)
    }

    fn tell(&self, explanation: &Explanation) -> Result<(), Failure> {
        match self.output {
            Output::Text => show::line(&explanation.text())?,
            Output::Json => show::json(explanation)?,
        }
        Ok(())
    }

    /// The group as it was asked for.
    fn asked_group(&self) -> serde_json::Map<String, Json> {
        self.group.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
    }

    fn not_loaded(&self) -> Explanation {
        Explanation {
            rule: self.asked.clone(),
            group: self.asked_group(),
            asked: self.at.map_or_else(String::new, |at| at.to_string()),
            fired: false,
            reason: "rule_disabled",
            detail: "the rule does not load; its faults are told above".to_owned(),
            at: None,
            record: None,
            matched: None,
            before: Vec::new(),
            told: None,
        }
    }

    /// The group's key as the engine spells it; none where a field is asked for as empty.
    fn key(&self, rule: &RuleId, program: &Program) -> Result<Option<Box<[u8]>>, ExplainError> {
        let by: Vec<&str> = program.by.iter().map(|part| part.field.as_str()).collect();
        let unknown =
            |(name, _): &&(String, String)| !program.by.iter().any(|part| is_named(&part.field, name));
        if let Some((field, _)) = self.group.iter().find(unknown) {
            let (rule, field) = (rule.clone(), field.clone());
            return Err(if by.is_empty() {
                ExplainError::NoGroups(rule)
            } else {
                ExplainError::NoSuchField { rule, field, by: by.join(", ") }
            });
        }
        let mut key = Vec::new();
        for part in &program.by {
            let value = self.group.iter().find(|(name, _)| is_named(&part.field, name));
            if value.is_some_and(|(_, value)| value.is_empty()) {
                if !program.missing_own {
                    return Ok(None);
                }
                Program::push_key_part(&mut key, None);
                continue;
            }
            let text = value.and_then(|(_, value)| key_text(Value::Text(value), part.field.kind()));
            let Some(text) = text else {
                let (rule, missing) = (rule.clone(), format!("--group {}=…", part.field));
                return Err(ExplainError::Group { rule, by: by.join(", "), missing });
            };
            Program::push_key_part(&mut key, Some(&text));
        }
        Ok(Some(key.into_boxed_slice()))
    }
}

/// Whether a person means `field`: by our name, the vendor's, one that a map declares, or as a Sigma document
/// spells it.
fn is_named(field: &FieldName, name: &str) -> bool {
    *field == FieldName::declared(name) || *field == FieldName::spelt(name)
}

impl Explanation {
    fn text(&self) -> String {
        let group: Vec<String> = self
            .group
            .iter()
            .map(|(name, value)| format!("{name} {}", or_none(show::plain(value))))
            .collect();
        let whom = if group.is_empty() { "all records".to_owned() } else { group.join(", ") };
        let verdict = if self.fired { "fired" } else { "did not fire" };
        let mut text = format!("{} for {whom} at {}: {verdict}\n", self.rule, self.asked);
        let _ = writeln!(text, "  {}  {}", self.reason, show::safe(&self.detail));
        if let (Some(at), Some(record)) = (&self.at, &self.record) {
            let _ = writeln!(text, "  record of {at}, {record}");
        }
        if let Some(matched) = &self.matched {
            tree(&mut text, matched, 1);
        }
        if !self.before.is_empty() {
            let _ = writeln!(text, "  other records of the group:");
            for before in &self.before {
                let _ =
                    writeln!(text, "    {}  {}  {}", before.at, before.reason, show::safe(&before.detail));
            }
        }
        if let Some(told) = &self.told {
            let nobody = if told.is_empty() { " nobody: no route, or the rule only observes" } else { "" };
            let _ = writeln!(text, "  told:{nobody}");
            for one in told {
                let _ = writeln!(text, "    {}", one.line());
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// An empty value, seen.
fn or_none(value: String) -> String {
    if value.is_empty() { "(none)".to_owned() } else { value }
}

fn tree(text: &mut String, part: &Why, depth: usize) {
    let mark = if part.held { "yes" } else { "no " };
    let actual = part.actual.as_ref().map(|actual| format!("  (it is {actual})")).unwrap_or_default();
    let line = format!("{}{actual}", part.what);
    let _ = writeln!(text, "{}{mark}  {}", "  ".repeat(depth), show::safe(&line));
    for inner in &part.parts {
        tree(text, inner, depth + 1);
    }
}
