//! What was found: alerts as the core drafts them and as people and machines read them.
//!
//! A draft is binary and unrendered: it names the records it stands on by locator. The edge fetches
//! those rows once and `engine::tell` makes the [`Alert`]. Ids are digests, so that a second life of
//! the same journal raises the same alerts. Nothing here decides anything.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::record::{Datum, FieldName, Level, Locator, Phase, RecordId, RuleId, Timestamp, write_hex};

/// Identity of an alert: digest of tenant, rule, revision of the rule's meaning, group and the
/// record that tipped it, or the instant where time did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId(pub [u8; 16]);

impl AlertId {
    /// Hexadecimal digits that it is spelt with.
    pub const DIGITS: usize = 32;

    /// The alert that `tip` raises.
    pub fn of(tenant: &str, rule: &RuleId, revision: Revision, group: &[u8], tip: RecordId) -> Self {
        Self::digest([tenant.as_bytes(), rule.as_str().as_bytes(), &revision.0, group, &tip.0])
    }

    /// The alert that the passing of `instant` raises.
    pub fn at(tenant: &str, rule: &RuleId, revision: Revision, group: &[u8], instant: Timestamp) -> Self {
        let instant = instant.0.to_le_bytes();
        Self::digest([tenant.as_bytes(), rule.as_str().as_bytes(), &revision.0, group, &instant])
    }

    fn digest(parts: [&[u8]; 5]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({self})")
    }
}

/// Digest of a rule's meaning. A change of text keeps it; a change of meaning does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision(pub [u8; 8]);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

/// Where an alert stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It fired.
    Open,
    /// Hits were folded in that raised its level or multiplied its count by ten.
    Updated,
    /// Its cooldown ended, or a new firing replaced it.
    Closed,
    /// Somebody has taken it.
    Acknowledged,
    /// Its `recover` condition held, or what was absent came.
    Resolved,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::Updated, Self::Closed, Self::Acknowledged, Self::Resolved];

    /// The word in alerts and tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Updated => "updated",
            Self::Closed => "closed",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// A record an alert stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Where its row can be fetched.
    pub locator: Locator,
    /// Which phase of the row it is.
    pub phase: Phase,
    /// Its event time.
    pub at: Timestamp,
}

/// What a verb says of the window that fired.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The verb's number: hits, distinct values, samples.
    pub count: u64,
    /// Further names for the text: `value`, `samples`, `values`, names of `having` and `alert(..)`.
    pub scope: Map<String, Json>,
    /// What was asked.
    pub threshold: Map<String, Json>,
    /// What was there.
    pub actual: Map<String, Json>,
    /// Named values of the rule's own: of `having` and of `alert(..)`.
    pub values: Map<String, Json>,
}

/// What the core has to tell of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Draft {
    /// It fired.
    Fired(Box<Fired>),
    /// Something changed since.
    Changed(Change),
}

impl Draft {
    /// Event time of what is told.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Fired(fired) => fired.at,
            Self::Changed(change) => change.at,
        }
    }

    /// Whose alert it is.
    pub fn rule(&self) -> &RuleId {
        match self {
            Self::Fired(fired) => &fired.rule,
            Self::Changed(change) => &change.rule,
        }
    }

    /// Order in which drafts of one step are told.
    pub fn order(&self) -> (Timestamp, RuleId, AlertId, u32) {
        match self {
            Self::Fired(fired) => (fired.at, fired.rule.clone(), fired.id, 1),
            Self::Changed(change) => (change.at, change.rule.clone(), change.id, change.revision),
        }
    }
}

/// An alert as it fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// Identity.
    pub id: AlertId,
    /// Whose records.
    pub tenant: Arc<str>,
    /// The rule.
    pub rule: RuleId,
    /// The revision of its meaning.
    pub rule_revision: Revision,
    /// How grave.
    pub level: Level,
    /// Which line of `levels` said so; none: the rule itself.
    pub level_line: Option<usize>,
    /// Event time of the record that tipped it.
    pub at: Timestamp,
    /// The group; a value that was missing is none.
    pub group: Vec<(FieldName, Option<String>)>,
    /// What the verb says.
    pub finding: Finding,
    /// Bounds of the window: (from, to].
    pub from: Timestamp,
    /// End of the window, inclusive.
    pub to: Timestamp,
    /// True when records came too late to be judged in order.
    pub late: bool,
    /// True for what held already when the rule was new.
    pub standing: bool,
    /// True when the rule only observes: nothing is sent.
    pub observe: bool,
    /// Rules whose open alerts hold this one back (`quiet_while`); it is not sent while there are any.
    pub held_by: Vec<RuleId>,
    /// Of a rule without a verb, what its record says of the fields that risk is added up by; of a
    /// correlation, what was carried of the record that tipped it, for those that hear of it.
    pub of: Arc<[Datum]>,
    /// The record that tipped it.
    pub tip: Sight,
    /// First records of the window, then its last ones; at most [`Fired::MAX_SIGHTS`], and where the rule
    /// shows no values of them as many as are evidence.
    pub sights: Vec<Sight>,
}

impl Fired {
    /// Records that an alert names; with more in the window, its first and its last halves.
    pub const MAX_SIGHTS: usize = 200;
}

/// What became of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Whose.
    pub id: AlertId,
    /// The rule.
    pub rule: RuleId,
    /// 2 for the first change.
    pub revision: u32,
    /// What it is now.
    pub state: State,
    /// Event time of the change.
    pub at: Timestamp,
    /// How grave it is now.
    pub level: Level,
    /// Which line of `levels` said so.
    pub level_line: Option<usize>,
    /// Hits folded in since it fired.
    pub repeats: u64,
    /// Event time of the last of them, or of the firing.
    pub last_seen: Timestamp,
    /// The last of them.
    pub last: Option<Sight>,
    /// It is held back as before.
    pub held: bool,
    /// It was held back, and is not from now on.
    pub released: bool,
}

impl Change {
    /// An alert that is over as it fires: its first revision as if it were a change.
    pub fn of(fired: &Fired) -> Self {
        Self {
            id: fired.id,
            rule: fired.rule.clone(),
            revision: 1,
            state: State::Closed,
            at: fired.at,
            level: fired.level,
            level_line: fired.level_line,
            repeats: 0,
            last_seen: fired.at,
            last: None,
            held: true,
            released: false,
        }
    }
}

/// Evidence: the first and the last records of a window, each in the vocabulary. A record is a map,
/// or text that spells one where an alert is only written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence<R = Map<String, Json>> {
    /// Earliest first.
    pub first: Vec<R>,
    /// Earliest first; none of those in `first`.
    pub last: Vec<R>,
}

impl<R> Evidence<R> {
    /// Records at each end of a window that an alert carries.
    pub const EACH: usize = 3;

    /// Of all the records of a window, those that an alert carries.
    pub fn of<T>(records: &[T], shown: impl Fn(&T) -> R) -> Self {
        let (first, rest) = records.split_at(records.len().min(Self::EACH));
        let last = &rest[rest.len().saturating_sub(Self::EACH)..];
        Self { first: first.iter().map(&shown).collect(), last: last.iter().map(&shown).collect() }
    }
}

/// Bounds of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Exclusive.
    #[serde(with = "as_text")]
    pub from: Timestamp,
    /// Inclusive.
    #[serde(with = "as_text")]
    pub to: Timestamp,
}

/// An alert, complete: one line of NDJSON, the body of a webhook.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing that readers ask for by name")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert<R = Map<String, Json>> {
    /// Identity.
    #[serde(with = "as_text")]
    pub id: AlertId,
    /// 1 as it fired.
    pub revision: u32,
    /// Where it stands.
    pub state: State,
    /// The rule.
    pub rule: RuleId,
    /// The revision of its meaning.
    #[serde(with = "as_text")]
    pub rule_revision: Revision,
    /// Whose records.
    pub tenant: Arc<str>,
    /// How grave.
    pub level: Level,
    /// One line, rendered once. Hostile: it holds what records said.
    pub title: String,
    /// Event time of the record that tipped it (of a change: of the change).
    #[serde(with = "as_text")]
    pub at: Timestamp,
    /// The group.
    pub group: Map<String, Json>,
    /// The verb's number, and hits folded in since.
    pub count: u64,
    /// Hits folded in since it fired.
    pub repeats: u64,
    /// Event time of the window's first record.
    #[serde(with = "as_text")]
    pub first_seen: Timestamp,
    /// Event time of the last record.
    #[serde(with = "as_text")]
    pub last_seen: Timestamp,
    /// Bounds of the window.
    pub window: Bounds,
    /// What was asked.
    pub threshold: Map<String, Json>,
    /// What was there.
    pub actual: Map<String, Json>,
    /// Named values of the rule's own.
    pub values: Map<String, Json>,
    /// Distinct values of the fields the rule shows, in the window.
    pub show: Map<String, Json>,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Records came too late to be judged in order.
    pub late: bool,
    /// It held already when the rule was new.
    pub standing: bool,
    /// The rule only observes: nothing is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
    /// Rules whose open alerts hold this one back (`quiet_while`): it is not sent while there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<RuleId>,
    /// It was held back up to this revision: the digest that tells of it is owed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// Receivers that the rule names, who hear of it besides those of the routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// `rule`, or which line of `levels`.
    pub why_level: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// The records it stands on.
    pub evidence: Evidence<R>,
    /// Digest of all that decides in this generation.
    pub generation: String,
    /// Versions of what it was judged with besides: `lists.egress`, `geo.city`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// Why a text could not be rendered; the rule's plain title stands instead. Not shown.
    #[serde(skip)]
    pub text_fault: Option<String>,
    /// Names for tests and texts: the tipping record's fields and the verb's values. Not shown.
    #[serde(skip)]
    pub scope: Map<String, Json>,
}

/// Times and ids are text in what people and machines read.
mod as_text {
    use std::fmt;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id of {1} hexadecimal digits")]
pub struct BadId(pub String, pub usize);

fn digits<const N: usize>(text: &str) -> Result<[u8; N], BadId> {
    let bad = || BadId(text.chars().take(64).collect(), 2 * N);
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(bad());
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}

impl FromStr for AlertId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        digits(text).map(Self)
    }
}

impl FromStr for Revision {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        digits(text).map(Self)
    }
}
