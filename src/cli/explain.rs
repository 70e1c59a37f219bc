//! `larum explain`: why a rule fired for a group at a time, or why not.
//!
//! The records run through the engine that the daemon runs, with one rule watched; what is told is
//! what the engine decided, not a second opinion.

mod gathering;
mod group;
mod told;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use crate::alert::{AlertId, Fired};
use crate::engine::{CheckedRule, Engine, links};
use crate::record::fold::fold;
use crate::record::scan::{Mapping, Origin};
use crate::record::{RuleId, Timestamp};
use crate::rule::suggest;
use crate::rule::why::Why;

use super::feed::{Fed, FileArguments};
use super::load::{GeoArguments, Known, Loaded, RuleArguments};
use super::when::When;
use super::{Exit, Failure, Output, show};
use gathering::{Asked, Cut, Gathered, Gathering, Sought};

/// Digits of an alert's id that are enough to mean one.
const LEAST_DIGITS: usize = 6;
/// Rules that are named where none is near to what was asked for; there may be thousands.
const NAMED_RULES: usize = 40;

/// Arguments of `larum explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks into files, not into a daemon's store. What a daemon has read it can look into once `larum rows` has \
    printed it: `larum rows --config larum.yaml >rows.ndjson`, then `larum explain RULE --config larum.yaml --group … --at … \
    --unsorted rows.ndjson`. Ids of alerts are others there than the daemon's: name the rule, the group and the time, which \
    `larum alerts` shows."
)]
pub struct Explain {
    /// The rule's id; or an alert's, as `larum replay` shows it, for why that alert fired
    #[arg(value_name = "RULE|ALERT")]
    asked: String,
    /// Files of records (NDJSON; plain, gzip or zstd; - for stdin)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The group: a field of the rule's `by` and its value, which may be spelt as it was shown; once a field
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_pair)]
    group: Vec<(String, String)>,
    /// The time asked about: the last record of the group at or before it is explained. Only the id of
    /// an alert needs none
    #[arg(long = "at", value_name = "TIME", value_parser = When::parse)]
    when: Option<When>,
    /// The moment that is meant
    #[arg(skip)]
    at: Option<Timestamp>,
    /// A daemon's store: who was told of the alert there, and why not, is told too; no records are read of it
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

#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("no rule `{asked}`; {1}", asked = show::safe(.0))]
    NoSuchRule(String, String),
    #[error(
        "no alert `{0}`: over these files the rules raise none whose id begins so; `larum replay` with the same files and rules shows their ids"
    )]
    NoSuchAlert(String),
    #[error(
        "`{}` is a detection that makes no alerts of its own, only {read_by} it; ask `larum explain {first}`",
        show::safe(asked)
    )]
    OnlyRead { asked: String, read_by: String, first: RuleId },
    #[error("rule `{rule}` groups by {by}: give {missing}")]
    Group { rule: RuleId, by: String, missing: String },
    #[error("rule `{rule}` does not group by `{}`, but by {by}", show::safe(field))]
    NoSuchField { rule: RuleId, field: String, by: String },
    #[error("give --at TIME: the last record of the group at or before it is explained")]
    NoTime,
    #[error("rule `{0}` has one group of all records: leave --group out")]
    NoGroups(RuleId),
    #[error("--group names `{}` more than once, and a group has one value of it: keep one of them", show::safe(.0))]
    Twice(String),
    #[error(
        "alert `{}` says which group it is of and when it fired: leave {given} out, or ask `larum explain {rule}`",
        show::safe(asked)
    )]
    OfAlert { asked: String, given: &'static str, rule: RuleId },
    #[error(
        "`{}` ends as what was cut to be shown does, and {begin}; `larum replay --output json` has the whole value",
        show::safe(value)
    )]
    Cut { value: String, begin: String },
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
    /// When it fired; of an alert that time raised, later than `at`.
    #[serde(skip)]
    fired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<Why>,
    /// What was asked of the group when it fired, as its alert tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<serde_json::Map<String, Json>>,
    /// And what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<serde_json::Map<String, Json>>,
    before: Vec<Before>,
    /// Hits up to then that are of no group, where this one did not fire: they may have been expected in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_group: Option<u64>,
    /// The first field of `by`.
    #[serde(skip)]
    first_of_by: Option<String>,
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
        if let Some(when) = self.when {
            self.at = Some(when.within(self.rules.zone()?));
        }
        let mut ids = loaded.rules.iter().map(|rule| rule.rule().id());
        let mut rule = ids.find(|id| id.as_str() == self.asked).cloned();
        let mut alert = None;
        if rule.is_none() && loaded.failed.contains(&self.asked) {
            loaded.complain();
            self.tell(&self.not_loaded())?;
            return Ok(Exit::Findings);
        }
        if rule.is_none() {
            self.only_read(&loaded.rules)?;
            if let Some(fired) = self.fired(&declared, &mapping)? {
                let given = match (self.group.is_empty(), self.at.is_none()) {
                    (true, true) => None,
                    (true, false) => Some("--at"),
                    (false, true) => Some("--group"),
                    (false, false) => Some("--group and --at"),
                };
                if let Some(given) = given {
                    let (asked, rule) = (self.asked.clone(), fired.rule);
                    return Err(ExplainError::OfAlert { asked, given, rule }.into());
                }
                (self.at, alert) = (Some(fired.at), Some((fired.id, fired.tip)));
                self.group = fired
                    .group
                    .into_iter()
                    .map(|(field, value)| (field.to_string(), value.unwrap_or_default()))
                    .collect();
                rule = Some(fired.rule);
            }
        }
        let Some(rule) = rule else { return Err(self.nothing(&loaded).into()) };
        let rules = links::Hearing::of(&loaded.rules).with_heard(&BTreeSet::from([rule.clone()]));
        let tables = self.rules.placed(loaded.tables, &self.geo)?;
        let at = self.at.ok_or(ExplainError::NoTime)?;
        let generation = Arc::new(tables.generation(rules));
        let number = generation.position(&rule).unwrap_or_default();
        let keys = self.keys(&rule, &generation.programs.list[number])?;
        let mut engine = Engine::new(generation.clone(), "default");
        engine.watch(&rule);
        let asked = Asked { at, alert };
        let gather = |key| Gathering::new(&generation, number, key, asked);
        let cut = self.cut(&generation.programs.list[number]).map(Cut::new);
        let mut gathered = Gathered { likely: keys.into_iter().map(gather).collect(), cut };
        let fed = self.reading.feed(&self.files, &Origin::file(mapping), engine, &mut gathered)?;
        let Some(gathering) = gathered.meant()? else { return Err(ExplainError::NoGroups(rule).into()) };
        let mut explanation = gathering.explain(rule.as_str());
        if explanation.group.is_empty() {
            explanation.group = self.asked_group();
        }
        if let Some(store) = self.store.as_ref().filter(|_| explanation.fired)
            && let Some(at) = explanation.fired_at
        {
            explanation.told = told::told(store, &rule, &explanation.group, at)?;
            if explanation.told.is_none() {
                show::note("the store has no alert of this rule and group that fired then");
            }
        }
        self.tell(&explanation)?;
        tell_unread(&fed);
        Ok(if fed.broken.is_empty() { Exit::Fine } else { Exit::CouldNotRun })
    }

    /// Refuses a detection that only correlations read: those can be explained.
    fn only_read(&self, rules: &[CheckedRule]) -> Result<(), ExplainError> {
        let detections = links::only_read(rules.iter().map(|rule| &**rule.rule()));
        let titled = rules.iter().any(|rule| self.is_title(&rule.rule().spec.title));
        let is_meant = |id: &RuleId, detection: &links::Detection| {
            detection.names.contains(&self.asked)
                || RuleId::nearest(&self.asked).as_ref() == Some(id)
                || !titled && self.is_title(&detection.title)
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

    /// That nothing is called so, and what may be meant: a rule, one that does not load, or a detection
    /// that only correlations read.
    fn nothing(&self, loaded: &Loaded) -> ExplainError {
        let asked = self.asked.clone();
        let ids = || loaded.rules.iter().map(|rule| rule.rule().id().as_str());
        let detections = links::only_read(loaded.rules.iter().map(|rule| &**rule.rule()));
        let spellings = |(id, detection): (&RuleId, &links::Detection)| {
            let names = detection.names.iter().cloned();
            names.chain([id.to_string()]).collect::<Vec<_>>()
        };
        let read: Vec<String> = detections.iter().flat_map(spellings).collect();
        let titled = |rule: &&CheckedRule| self.is_title(&rule.rule().spec.title);
        let titled: Vec<&str> = loaded
            .rules
            .iter()
            .filter(titled)
            .map(|rule| rule.rule().id().as_str())
            .take(NAMED_RULES)
            .collect();
        if !titled.is_empty() {
            let ids = titled.join("` or `");
            return ExplainError::NoSuchRule(asked, format!("it is a title: did you mean `{ids}`?"));
        }
        let failed = || loaded.failed.iter().map(String::as_str);
        let all = ids().chain(read.iter().map(String::as_str)).chain(failed());
        if let Some(near) = suggest::nearest(&self.asked, all) {
            let of =
                |(id, one): &(&RuleId, &links::Detection)| id.as_str() == near || one.names.contains(near);
            let detection = detections.iter().find(of).filter(|_| !ids().any(|id| id == near));
            let more = match detection {
                Some((_, detection)) => {
                    let by: Vec<&str> = detection.read_by.iter().map(RuleId::as_str).collect();
                    format!(" it is a detection, and only {} it", show::who(&by, ["reads", "read"]))
                }
                None if ids().any(|id| id == near) => String::new(),
                None => " it does not load, and `larum check` tells why".to_owned(),
            };
            return ExplainError::NoSuchRule(asked, format!("did you mean `{near}`?{more}"));
        }
        // What has letters alone is a word.
        if self.alert_id().is_some_and(|id| id.bytes().any(|byte| byte.is_ascii_digit())) {
            return ExplainError::NoSuchAlert(asked);
        }
        if loaded.rules.is_empty() {
            let hint = "no rule is loaded: name some with --rules, --sigma or --config";
            return ExplainError::NoSuchRule(asked, hint.to_owned());
        }
        let named: Vec<&str> = ids().take(NAMED_RULES).collect();
        let more = loaded.rules.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        ExplainError::NoSuchRule(asked, format!("there are: {}{more}", named.join(", ")))
    }

    /// Whether the first argument is this title.
    fn is_title(&self, title: &str) -> bool {
        fold(title) == fold(&self.asked)
    }

    /// The first argument as an alert's id, or the begin of one, if it can be that.
    fn alert_id(&self) -> Option<String> {
        let id = self.asked.to_ascii_lowercase();
        let fits = (LEAST_DIGITS..=AlertId::DIGITS).contains(&id.len());
        (fits && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    }

    /// The alert whose id the first argument begins, if the rules raise one over the files.
    fn fired(&self, declared: &[String], mapping: &Mapping) -> Result<Option<Fired>, Failure> {
        let Some(id) = self.alert_id() else { return Ok(None) };
        let loaded = self.rules.load(&[], declared, Known::Given)?;
        let tables = self.rules.placed(loaded.tables, &self.geo)?;
        let engine = Engine::new(Arc::new(tables.generation(loaded.rules)), "default");
        let mut sought = Sought { id, fired: None };
        let fed = self.reading.feed(&self.files, &Origin::file(mapping.clone()), engine, &mut sought)?;
        if sought.fired.is_none() {
            tell_unread(&fed);
        }
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
            fired_at: None,
            record: None,
            matched: None,
            threshold: None,
            actual: None,
            before: Vec::new(),
            without_group: None,
            first_of_by: None,
            told: None,
        }
    }
}

/// What of the files was not read, for people.
fn tell_unread(fed: &Fed) {
    let quarantined: u64 = fed.quarantined.values().map(|(count, _)| count).sum();
    if quarantined > 0 {
        let lines = show::many_of(quarantined, "line");
        show::note(&format!("{lines} made no record; `larum replay` tells which and why"));
    }
    for warning in [fed.untimed(), fed.empty()].into_iter().flatten().chain(fed.mapped_wrong()) {
        show::note(&format!("warning: {warning}"));
    }
    for failure in &fed.broken {
        show::failure(&**failure);
    }
}

impl Explanation {
    fn text(&self) -> String {
        let group: Vec<String> = self
            .group
            .iter()
            .map(|(name, value)| format!("{} {}", show::safe(name), or_none(show::each(value))))
            .collect();
        let whom = if group.is_empty() { "all records".to_owned() } else { group.join(", ") };
        let verdict = if self.fired { "fired" } else { "did not fire" };
        let mut text = format!("{} for {whom} at {}: {verdict}\n", self.rule, self.asked);
        let _ = writeln!(text, "  {}  {}", self.reason, show::safe(&show::squeezed(&self.detail)));
        for (what, values) in [("asked", &self.threshold), ("found", &self.actual)] {
            let pairs = values
                .iter()
                .flatten()
                .map(|(name, value)| format!("{} {}", show::safe(name), show::each(value)));
            let pairs = pairs.collect::<Vec<_>>().join(", ");
            if !pairs.is_empty() {
                let _ = writeln!(text, "  {what}: {pairs}");
            }
        }
        if let (Some(at), Some(record)) = (&self.at, &self.record) {
            let _ = writeln!(text, "  record of {at}, {record}");
        }
        if let Some(matched) = &self.matched {
            tree(&mut text, matched, 1);
        }
        if !self.before.is_empty() {
            let _ = writeln!(
                text,
                "  {}:",
                if self.fired { "records of the group before" } else { "other records of the group" }
            );
            for before in &self.before {
                let detail = show::safe(&show::squeezed(&before.detail));
                let _ = writeln!(text, "    {}  {}  {detail}", before.at, before.reason);
            }
        }
        if let Some(without) = self.without_group {
            let hits = show::many_of(without, "hit");
            let (have, them) = if without == 1 { ("has", "it") } else { ("have", "them") };
            let by = self.first_of_by.as_deref().map(show::safe).unwrap_or_default();
            let _ = writeln!(
                text,
                "  {hits} up to then {have} no group, a field of `by` being absent, empty or unknown: `--group {by}=` tells of {them}"
            );
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
    let actual = part.actual.as_deref().map(show::squeezed);
    let actual = actual.map(|actual| format!("  (it is {actual})")).unwrap_or_default();
    let line = format!("{}{actual}", part.what);
    let _ = writeln!(text, "{}{mark}  {}", "  ".repeat(depth), show::safe(&line));
    for inner in &part.parts {
        tree(text, inner, depth + 1);
    }
}
