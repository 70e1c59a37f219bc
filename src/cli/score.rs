//! `larum score`: what the rules made of a scenario's attacks, by its truth.
//!
//! An alert belongs to the attack that most of its evidence is of; one without evidence to the attack
//! whose account or address its group names, while it goes on or soon after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::record::fold::fold;
use crate::record::{Millis, Timestamp};
use crate::source::Input;

use super::{Exit, Failure, Output, show};

/// How long after its last act an alert by its group alone is still an attack's.
const SOON: Millis = Millis::hours(1);

/// What else a receiver keeps, by its first key.
const OTHERS: [&str; 3] = ["digest", "probe", "watchdog"];

/// Arguments of `larum score`.
#[derive(Debug, clap::Args)]
pub struct Score {
    /// The truth, as `larum simulate --truth` wrote it
    truth: PathBuf,
    /// Alerts, a line of JSON each: what `larum replay --output json` and `larum alerts --fired --output
    /// json` print, or a receiver of kind `file` keeps (- for stdin)
    alerts: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A line of the truth.
#[derive(Debug, Deserialize)]
#[serde(tag = "truth", rename_all = "snake_case")]
enum Line {
    Scenario { scenario: String },
    Attack(Attack),
    Row { endpoint: String, attack: Option<usize>, row: Map<String, Value> },
}

/// An attack, and who found it.
#[derive(Debug, Deserialize)]
struct Attack {
    #[serde(rename = "attack")]
    number: usize,
    kind: String,
    #[serde(deserialize_with = "time")]
    from: Timestamp,
    #[serde(deserialize_with = "time")]
    to: Timestamp,
    users: Vec<String>,
    public_ip: String,
    /// By rule, the first alert.
    #[serde(skip)]
    found: BTreeMap<String, Timestamp>,
}

/// What of an alert must be known.
#[derive(Debug, Deserialize)]
struct Alert {
    rule: String,
    revision: u32,
    #[serde(deserialize_with = "time")]
    at: Timestamp,
    group: Map<String, Value>,
    evidence: Evidence,
}

#[derive(Debug, Deserialize)]
struct Evidence {
    first: Vec<Map<String, Value>>,
    last: Vec<Map<String, Value>>,
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    Timestamp::parse(&text)
        .ok_or_else(|| D::Error::custom("a time is expected, such as 2026-01-05T09:00:00Z"))
}

/// A row as its evidence shows it: by its key, else by list, account and time.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Sign {
    Key(String, String),
    Act(String, String, Timestamp),
}

/// What a rule's alerts were.
#[derive(Debug, Default)]
struct Tally {
    alerts: u64,
    of_attacks: u64,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is no {what}: {why}; {hint}", show::path(path))]
struct BadFile {
    path: PathBuf,
    what: &'static str,
    why: String,
    hint: &'static str,
}

/// The truth of a scenario, and what is held against it.
#[derive(Debug, Default)]
struct Truth {
    scenario: String,
    attacks: Vec<Attack>,
    /// Rows of attacks.
    planted: HashMap<Sign, usize>,
    rules: BTreeMap<String, Tally>,
}

impl Score {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        super::once([&self.truth, &self.alerts])?;
        let mut truth = Truth::read(&self.truth)?;
        let (mut alerts, mut known, mut strange) = (0, false, None);
        let read = each_line(&self.alerts, |line| {
            // Digests and the like stand among what a receiver keeps; they are no alerts.
            let alert = match serde_json::from_str::<Alert>(line) {
                Ok(alert) => alert,
                Err(fault) => {
                    let other = serde_json::from_str::<Map<String, Value>>(line)?;
                    known |= OTHERS.iter().any(|key| other.contains_key(*key));
                    strange.get_or_insert(fault);
                    return Ok(());
                }
            };
            known = true;
            if alert.revision == 1 {
                alerts += 1;
                truth.judge(&alert);
            }
            Ok(())
        })?;
        let read = read.and_then(|()| match strange.filter(|_| !known) {
            Some(fault) => Err(format!("line 1 is no alert: {}", told(&fault))),
            None => Ok(()),
        });
        read.map_err(|why| BadFile {
            path: self.alerts.clone(),
            what: "list of alerts",
            why,
            hint: "give what `larum replay --output json` prints",
        })?;
        match self.output {
            Output::Text => truth.show(alerts)?,
            Output::Json => truth.show_json()?,
        }
        let all = truth.attacks.iter().all(|attack| !attack.found.is_empty());
        Ok(if all { Exit::Fine } else { Exit::Findings })
    }
}

/// Hands every line of a file over; gives what is wrong with the first that is refused.
fn each_line(
    path: &Path,
    mut heed: impl FnMut(&str) -> Result<(), serde_json::Error>,
) -> Result<Result<(), String>, Failure> {
    let mut number = 0_u64;
    for block in Input::open(path).blocks()? {
        let block = block?;
        for line in String::from_utf8_lossy(&block.bytes).lines() {
            number += 1;
            if !line.trim().is_empty()
                && let Err(error) = heed(line)
            {
                return Ok(Err(format!("line {number} cannot be read: {}", told(&error))));
            }
        }
        if let Some(fault) = block.faults.first() {
            return Ok(Err(fault.fault.to_string()));
        }
    }
    Ok(Ok(()))
}

/// What is wrong with a line, without its place.
fn told(fault: &serde_json::Error) -> String {
    show::safe(fault.to_string().split(" at line").next().unwrap_or_default())
}

impl Truth {
    fn read(path: &Path) -> Result<Self, Failure> {
        let mut truth = Self::default();
        let read = each_line(path, |line| {
            match serde_json::from_str(line)? {
                Line::Scenario { scenario } => truth.scenario = scenario,
                Line::Attack(attack) => truth.attacks.push(attack),
                Line::Row { endpoint, attack: Some(attack), row } => {
                    let planted = &mut truth.planted;
                    planted.extend(signs(&endpoint, &row).into_iter().map(|sign| (sign, attack)));
                }
                Line::Row { attack: None, .. } => {}
            }
            Ok(())
        })?;
        let nothing = truth.scenario.is_empty() || truth.attacks.is_empty();
        let read = read.and_then(|()| {
            if nothing { Err("it names no scenario, or one without attacks".to_owned()) } else { Ok(()) }
        });
        read.map_err(|why| BadFile {
            path: path.to_owned(),
            what: "truth of a scenario",
            why,
            hint: "give what `larum simulate --scenario FILE --truth FILE` wrote",
        })?;
        Ok(truth)
    }

    fn judge(&mut self, alert: &Alert) {
        let attack = self.attack_of(alert);
        let tally = self.rules.entry(alert.rule.clone()).or_default();
        tally.alerts += 1;
        let Some(attack) = attack else { return };
        tally.of_attacks += 1;
        if let Some(attack) = self.attacks.iter_mut().find(|known| known.number == attack) {
            let first = attack.found.entry(alert.rule.clone()).or_insert(alert.at);
            *first = alert.at.min(*first);
        }
    }

    fn attack_of(&self, alert: &Alert) -> Option<usize> {
        let rows = || alert.evidence.first.iter().chain(&alert.evidence.last);
        if rows().next().is_none() {
            let named = |attack: &&Attack| {
                let names = |value: &Value| {
                    let text = value.as_str().unwrap_or_default();
                    text == attack.public_ip || attack.users.iter().any(|user| fold(user) == fold(text))
                };
                (attack.from..=attack.to + SOON).contains(&alert.at) && alert.group.values().any(names)
            };
            return self.attacks.iter().find(named).map(|attack| attack.number);
        }
        let mut rows_of: BTreeMap<usize, usize> = BTreeMap::new();
        for row in rows() {
            let signs = signs(list_of(row), row);
            if let Some(attack) = signs.iter().find_map(|sign| self.planted.get(sign)) {
                *rows_of.entry(*attack).or_default() += 1;
            }
        }
        rows_of
            .into_iter()
            .max_by_key(|(attack, rows)| (*rows, usize::MAX - attack))
            .map(|(attack, _)| attack)
    }

    fn show(&self, alerts: u64) -> Result<(), Failure> {
        let found = self.attacks.iter().filter(|attack| !attack.found.is_empty()).count();
        let all = show::many(self.attacks.len(), "attack");
        show::line(&format!("{}: {found} of {all} found", show::safe(&self.scenario)))?;
        for attack in &self.attacks {
            let when = attack.from.to_string();
            let found = if attack.found.is_empty() { "missed".to_owned() } else { attack.told() };
            let kind = show::safe(&attack.kind);
            show::line(&format!("  {}  {kind:<12} {found}", when.trim_end_matches(".000Z")))?;
        }
        show::line(&format!("{}, by rule:", show::many_of(alerts, "alert")))?;
        let width = self.rules.keys().map(String::len).max().unwrap_or_default();
        for (rule, tally) in &self.rules {
            let none = tally.alerts - tally.of_attacks;
            show::line(&format!(
                "  {:<width$}  {:>5}: {} of attacks, {none} of none",
                show::safe(rule),
                tally.alerts,
                tally.of_attacks
            ))?;
        }
        Ok(())
    }

    fn show_json(&self) -> Result<(), Failure> {
        for attack in &self.attacks {
            let shown = |(at, rule): (Timestamp, &str)| json!({"rule": rule, "at": at.to_string(), "after_ms": (at - attack.from).0});
            let found: Vec<Value> = attack.soonest().into_iter().map(shown).collect();
            show::json(&json!({"score": "attack", "attack": attack.number, "kind": attack.kind,
                "from": attack.from.to_string(), "to": attack.to.to_string(), "found": found}))?;
        }
        for (rule, tally) in &self.rules {
            show::json(&json!({"score": "rule", "rule": rule, "alerts": tally.alerts,
                "of_attacks": tally.of_attacks, "of_none": tally.alerts - tally.of_attacks}))?;
        }
        Ok(())
    }
}

impl Attack {
    /// Who found it and when, soonest first.
    fn soonest(&self) -> BTreeSet<(Timestamp, &str)> {
        self.found.iter().map(|(rule, at)| (*at, rule.as_str())).collect()
    }

    /// Who found it, and how long after it began.
    fn told(&self) -> String {
        let words = self.soonest().into_iter().map(|(at, rule)| {
            let after = Millis((at - self.from).0.max(0));
            format!("{} after {after}", show::safe(rule))
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Which list a record of evidence is from.
fn list_of(record: &Map<String, Value>) -> &'static str {
    let is = |key: &str, word: &str| record.get(key).and_then(Value::as_str) == Some(word);
    match () {
        () if is("kind", "app_launch") => "app_launches",
        () if is("kind", "session") => "sessions",
        () if is("kind", "user_event") => "user_events",
        () if is("service", "app") => "app_logins",
        () => "desktop_logins",
    }
}

/// What a row of `list`, or what evidence shows of it, can be known again by.
fn signs(list: &str, row: &Map<String, Value>) -> Vec<Sign> {
    let text = |keys: &[&str]| {
        let given = keys.iter().filter_map(|key| row.get(*key)?.as_str());
        given.map(str::to_owned).find(|text| !text.is_empty())
    };
    let key = text(match list {
        "desktop_logins" => &["transaction_id"],
        "user_events" => &["event_trace_id", "raw.event_trace_id"],
        _ => &["id"],
    });
    let user = text(&["user_name", "login_user", "username"]);
    let start = text(&["start_time", "connection_start_time", "brokering_time", "event_time"]);
    let start = start.as_deref().and_then(Timestamp::parse);
    let act =
        user.zip(start).map(|(user, start)| Sign::Act(list.to_owned(), fold(&user).into_owned(), start));
    key.map(|key| Sign::Key(list.to_owned(), key)).into_iter().chain(act).collect()
}
