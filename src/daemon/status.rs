//! How the daemon is: what `status` shows, and what tells an operator that it is blind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record::Timestamp;
use crate::route::retry::ASKED_LONG;
use crate::route::{Delivery, Standing};
use crate::source::Lateness;

/// How the daemon is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The running version.
    pub version: String,
    /// Since when it runs.
    #[serde(default, with = "as_text")]
    pub since: Option<Timestamp>,
    /// The zone in which times are shown to people.
    #[serde(default)]
    pub zone: String,
    /// The daemon's own now.
    #[serde(default, with = "as_text")]
    pub now: Option<Timestamp>,
    /// Lanes by name.
    pub lanes: BTreeMap<String, LaneStatus>,
    /// Receivers by name.
    pub receivers: BTreeMap<String, ReceiverStatus>,
    /// Receivers that are not configured any more, and what the store still has for them by state: dead letters
    /// that nobody sends.
    #[serde(default)]
    pub receivers_gone: BTreeMap<String, BTreeMap<String, u64>>,
    /// Rules by id, of all tenants together: summed up where the board is read.
    pub rules: Rules,
    /// Rules of each tenant, where there are several.
    #[serde(default, skip_serializing_if = "few")]
    pub rules_by_tenant: BTreeMap<String, Rules>,
    /// Lanes that the rules of a tenant wait for at its first start, before any of them is in force.
    #[serde(default)]
    pub rules_wait_for: BTreeMap<String, Vec<String>>,
    /// Files of rules, lists and places that did not load, with the first fault, its line and what of them is
    /// in force.
    pub rules_off: BTreeMap<String, String>,
    /// Why the last reload was refused.
    pub reload_refused: Option<String>,
    /// Events of Larum's own that nobody heard, and of receivers, because too many came at once.
    #[serde(default)]
    pub events_missed: u64,
    /// Failures since the daemon began whose code nobody has given a kind.
    #[serde(default)]
    pub unmapped: Unmapped,
    /// Why nothing can be kept any more.
    pub store_failed: Option<String>,
}

/// Rules by id.
pub type Rules = BTreeMap<String, RuleStatus>;

/// Where there is one tenant, its rules are all rules.
fn few(tenants: &BTreeMap<String, Rules>) -> bool {
    tenants.len() < 2
}

/// Codes of failures that nobody has given a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    /// Rows with such a code.
    pub rows: u64,
    /// How many of each of the first codes that were seen.
    pub codes: BTreeMap<String, u64>,
}

/// Codes that are counted one by one; further ones are counted together.
const MAX_CODES: usize = 32;

impl Unmapped {
    /// Counts rows with a code.
    pub fn add(&mut self, code: &str, rows: u64) {
        self.rows += rows;
        if let Some(count) = self.codes.get_mut(code) {
            *count += rows;
        } else if self.codes.len() < MAX_CODES {
            self.codes.insert(code.to_owned(), rows);
        }
    }
}

/// How one lane is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Whose records.
    pub tenant: String,
    /// When it was last read without a failure, by the daemon's clock.
    #[serde(default, with = "as_text")]
    pub read_at: Option<Timestamp>,
    /// Event time up to which its start records are complete.
    #[serde(default, with = "as_text")]
    pub complete_to: Option<Timestamp>,
    /// The same, where the clock has not come near it: rows dated before that come late.
    #[serde(default, with = "as_text")]
    pub complete_ahead: Option<Timestamp>,
    /// Event time of its newest row.
    #[serde(default, with = "as_text")]
    pub newest: Option<Timestamp>,
    /// Rows taken in since the daemon began: new or changed.
    pub rows: u64,
    /// Rows set aside because they are dated ahead of now, at the last reading.
    pub ahead: u64,
    /// Since when its source waits for an answer that is long in coming.
    #[serde(default, with = "as_text")]
    pub no_answer_since: Option<Timestamp>,
    /// Since when it fails.
    #[serde(default, with = "as_text")]
    pub failing_since: Option<Timestamp>,
    /// What of it cannot be read while the rest is, and why.
    #[serde(default)]
    pub broken: Option<String>,
    /// How it failed last.
    pub failure: Option<String>,
    /// What the service said of its limit when it last asked for fewer requests, and when.
    #[serde(default)]
    pub throttled: Option<Throttled>,
    /// True when rules no longer wait for it.
    pub stalled: bool,
    /// How late its rows appear, where it is measured.
    #[serde(default)]
    pub lateness: Option<Lateness>,
    /// True while it still reads the past.
    pub behind: bool,
    /// Why it has nothing to read yet.
    #[serde(default)]
    pub nothing: Option<String>,
    /// The last remark of the source, for an hour.
    pub remark: Option<String>,
    /// When that was.
    #[serde(default, with = "as_text")]
    pub remarked_at: Option<Timestamp>,
    /// Rows set aside since the daemon began because they make no record.
    #[serde(default)]
    pub quarantined: u64,
}

/// What a service said of its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// When.
    #[serde(with = "as_text")]
    pub at: Option<Timestamp>,
    /// In its words.
    pub said: String,
}

/// Instants are text in what people and machines read, as in alerts.
mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::record::Timestamp;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// How one receiver is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceiverStatus {
    /// Its kind.
    pub kind: String,
    /// Deliveries by state.
    pub deliveries: BTreeMap<String, u64>,
    /// When it last took a message.
    #[serde(default, with = "as_text")]
    pub delivered_at: Option<Timestamp>,
    /// Why it is paused.
    pub paused: Option<String>,
    /// How it fails, once several tries in a row did, until one succeeds.
    pub failure: Option<String>,
    /// Until when it asked to be left alone, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// How its last try failed, from the first one on and whoever made it: an earlier life of the daemon, too.
    #[serde(default)]
    pub last_failed: Option<FailedTry>,
}

/// A receiver asked to be left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When it did.
    #[serde(with = "as_text")]
    pub at: Option<Timestamp>,
    /// Until when.
    #[serde(with = "as_text")]
    pub until: Option<Timestamp>,
    /// What it said.
    pub reason: String,
}

impl Asked {
    /// True where it asked for so long that somebody must hear of it.
    pub fn is_long(&self) -> bool {
        self.at.zip(self.until).is_some_and(|(at, until)| until - at > ASKED_LONG)
    }
}

/// A try that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTry {
    /// What became of it.
    pub reason: String,
    /// When its message is tried again; none where that is under way, or given up.
    #[serde(default, with = "as_text")]
    pub next: Option<Timestamp>,
}

impl FailedTry {
    /// What the last try of `delivery` came to, unless its message was taken, is told otherwise or was put
    /// aside.
    pub fn of(delivery: &Delivery) -> Option<Self> {
        let next = match delivery.standing {
            Standing::Waiting => Some(delivery.due),
            Standing::Sending { .. } | Standing::Dead { .. } => None,
            Standing::Delivered { .. } | Standing::Discarded { .. } | Standing::Folded { .. } => return None,
        };
        Some(Self { reason: delivery.last_reason.clone()?, next })
    }
}

/// How one rule is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Records that matched and had a group, those included that were learnt from the archive.
    pub hits: u64,
    /// Alerts told since the rule means what it means; what it learnt from raised none.
    pub alerts: u64,
    /// Groups held.
    pub groups: u64,
    /// Bytes of its state in memory, about, at the last checkpoint.
    #[serde(default)]
    pub bytes: u64,
    /// True while it learns from the past and does not fire yet; of several tenants, for one of them.
    pub learning: bool,
}

impl RuleStatus {
    /// Takes in how the same rule is of another tenant.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.alerts += other.alerts;
        self.groups += other.groups;
        self.bytes += other.bytes;
        self.learning |= other.learning;
    }
}

/// What is said of `receiver`, which asked to be left alone, and the way out.
pub fn left_alone(receiver: &str, until: &str, reason: &str) -> String {
    format!(
        "is sent nothing until {until}, because it asked for that: {reason}; if it takes messages again, \
         `larum send-test {receiver}` resumes it"
    )
}

impl Status {
    /// What somebody must mend before the daemon can be trusted to see and to tell; empty when all is well.
    pub fn blind(&self) -> Vec<String> {
        self.blind_at(|at| at.to_string())
    }

    /// How the rules of `tenant` are; of all, where it is none.
    pub fn rules_of(&self, tenant: Option<&str>) -> Result<&Rules, NoTenant> {
        let Some(tenant) = tenant else { return Ok(&self.rules) };
        if let Some(rules) = self.rules_by_tenant.get(tenant) {
            return Ok(rules);
        }
        let tenants: BTreeSet<&str> = self.lanes.values().map(|lane| &*lane.tenant).collect();
        if few(&self.rules_by_tenant) && tenants.iter().eq([&tenant]) {
            return Ok(&self.rules);
        }
        Err(NoTenant::new(tenant, tenants))
    }

    /// The same, its times spelt by `spell`.
    pub fn blind_at(&self, spell: impl Fn(Timestamp) -> String) -> Vec<String> {
        let mut blind = Vec::new();
        blind.extend(self.store_failed.iter().map(|why| format!("nothing can be kept: {why}")));
        for (name, lane) in &self.lanes {
            if let (Some(since), Some(failure)) = (lane.failing_since, &lane.failure) {
                blind.push(format!("source {name} cannot be read since {}: {failure}", spell(since)));
            }
            blind.extend(lane.broken.iter().map(|why| format!("a part of source {name} is missing: {why}")));
            if let Some(to) = lane.complete_ahead {
                blind.push(format!(
                    "source {name} is complete to {}, ahead of the clock: until then its rows come late",
                    spell(to)
                ));
            }
        }
        for (name, receiver) in &self.receivers {
            blind.extend(receiver.paused.iter().map(|why| format!("receiver {name} is paused: {why}")));
            let asked = receiver.asked.iter().filter(|asked| asked.is_long());
            blind.extend(asked.filter_map(|Asked { until, reason, .. }| {
                let until = spell((*until)?);
                Some(format!("receiver {name} {}", left_alone(name, &until, reason)))
            }));
        }
        blind.extend(self.rules_off.iter().map(|(file, fault)| format!("{file} does not load: {fault}")));
        blind.extend(self.reload_refused.iter().map(|why| format!("the last reload was refused: {why}")));
        blind
    }
}

/// Nobody's records are called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tenant `{asked}`; there are: {known}")]
pub struct NoTenant {
    asked: String,
    known: String,
}

impl NoTenant {
    /// `asked` is none of `known`.
    pub fn new<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        Self { asked: asked.to_owned(), known }
    }
}

/// The status that every part of the daemon writes to.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Status>>);

impl Board {
    /// Changes it.
    pub fn write<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        change(&mut self.lock())
    }

    /// As it stands.
    pub fn read(&self) -> Status {
        let mut status = self.lock().clone();
        for (rule, shown) in status.rules_by_tenant.values().flatten() {
            status.rules.entry(rule.clone()).or_default().add(shown);
        }
        status
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
