//! A delivery: one message owed to one receiver, and what becomes of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::AlertId;
use crate::record::{Level, Millis, RuleId, Timestamp};

/// The name of a receiver, as the configuration spells it: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceiverName(Arc<str>);

/// A name that no receiver can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name: use 1 to 64 of a-z, 0-9, `-`, `_` and `.`")]
pub struct BadName(pub String);

impl ReceiverName {
    /// Longest name.
    pub const MAX_LEN: usize = 64;

    /// As spelt.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReceiverName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(BadName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ReceiverName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ReceiverName> for String {
    fn from(name: ReceiverName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ReceiverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identity of a delivery: digest of tenant, receiver and what it tells, so that a second life of
/// the same journal owes nothing twice, and a receiver that drops repeats can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId(pub [u8; 16]);

impl DeliveryId {
    /// The delivery that tells `receiver` of a revision of an alert.
    pub fn of_alert(tenant: &str, receiver: &ReceiverName, alert: AlertId, revision: u32) -> Self {
        Self::digest(&[
            b"alert",
            tenant.as_bytes(),
            receiver.as_str().as_bytes(),
            &alert.0,
            &revision.to_le_bytes(),
        ])
    }

    /// What tells `receiver` again of an alert, for the `nth` time after the first.
    pub fn of_repeat(tenant: &str, receiver: &ReceiverName, alert: AlertId, nth: u64) -> Self {
        let nth = nth.to_le_bytes();
        Self::digest(&[b"repeat", tenant.as_bytes(), receiver.as_str().as_bytes(), &alert.0, &nth])
    }

    /// The digest that stands for deliveries of which `first` is the first.
    pub fn of_digest(tenant: &str, receiver: &ReceiverName, first: Self) -> Self {
        Self::digest(&[b"digest", tenant.as_bytes(), receiver.as_str().as_bytes(), &first.0])
    }

    fn digest(parts: &[&[u8]]) -> Self {
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
impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryId({self})")
    }
}

/// One message owed to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Identity; the receiver's means to drop a repeat.
    pub id: DeliveryId,
    /// Whose alert it tells of.
    pub tenant: Arc<str>,
    /// Who is owed it.
    pub receiver: ReceiverName,
    /// Whose rule; of a digest, the rule of its first member.
    pub rule: RuleId,
    /// How grave; of a digest, its members' level.
    pub level: Level,
    /// What it tells.
    pub body: Body,
    /// Since when it is owed, by the daemon's clock.
    pub created: Timestamp,
    /// No try before.
    pub due: Timestamp,
    /// Tries that were begun.
    pub tries: u32,
    /// The wait before the last try: the next one is drawn from it.
    pub waited: Millis,
    /// True once a body was refused for its size or form: from then on the minimal one is sent.
    pub plain: bool,
    /// The silence that holds it back.
    pub held_by: Option<SilenceId>,
    /// What the last try came to, or what holds it back, in words; no secret, no control characters.
    pub last_reason: Option<String>,
    /// What its route asks besides.
    pub terms: Terms,
    /// Where it stands.
    pub standing: Standing,
}

/// Begins [`Delivery::last_reason`] of what a limit of people holds back.
pub const BY_LIMIT: &str = "held back by the limit of ";
/// [`Delivery::last_reason`] of what waits for others that its route tells together.
pub const BY_GROUP: &str = "waits for others of its group";
/// [`Delivery::last_reason`] of an end whose beginning is not told yet.
pub const BY_ORDER: &str = "waits for what came before it of its alert";
/// [`Delivery::last_reason`] of what waits for whether others take it.
pub const BY_ESCALATION: &str = "waits for whether those take it who are told first";

impl Delivery {
    /// Why its receiver was told, or not yet, or never.
    pub fn why(&self) -> Why {
        let reason = self.last_reason.as_deref().unwrap_or_default();
        match &self.standing {
            Standing::Waiting if self.held_by.is_some() => Why::Silenced,
            Standing::Waiting if reason.starts_with(BY_LIMIT) => Why::Limited,
            Standing::Waiting if reason == BY_GROUP => Why::Grouped,
            Standing::Waiting if reason == BY_ORDER => Why::Ordered,
            Standing::Waiting if self.tries > 0 => Why::Delayed,
            Standing::Waiting => Why::Waiting,
            Standing::Sending { .. } => Why::Sending,
            Standing::Delivered { .. } => Why::Told,
            Standing::Dead { .. } => Why::Dead,
            Standing::Discarded { .. } => Why::Discarded,
            Standing::Folded { .. } => Why::ToldByAnother,
        }
    }
}

/// Why a receiver was told of something, or was not: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was told.
    Told,
    /// A digest or a later revision tells it.
    ToldByAnother,
    /// It is being told.
    Sending,
    /// Its turn has not come.
    Waiting,
    /// A silence holds it back.
    Silenced,
    /// A limit of people holds it back.
    Limited,
    /// It waits for others that its route tells together.
    Grouped,
    /// It waits for what comes before it of its alert.
    Ordered,
    /// It was tried, and is tried again.
    Delayed,
    /// It was tried until its time was up, or was refused for good.
    Dead,
    /// An operator, or the end of what it told of, has put it aside.
    Discarded,
}

impl Why {
    /// The word for it, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::ToldByAnother => "told_by_another",
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::Silenced => "silenced",
            Self::Limited => "limited",
            Self::Grouped => "grouped",
            Self::Ordered => "ordered",
            Self::Delayed => "delivery_delayed",
            Self::Dead => "dead_letter",
            Self::Discarded => "put_aside",
        }
    }
}

/// What a route asks of a delivery besides that it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// It is told together with others.
    pub group: Option<Group>,
    /// It is told again after so long, as often as its alert is still open then.
    pub repeat: Option<Millis>,
    /// True for what is told again: when its turn comes, what is no longer open is not told.
    pub again: bool,
    /// It is told only where none of these was taken when its time comes: an escalation.
    pub unless: Vec<DeliveryId>,
    /// How long those have for it, from when they could have it.
    pub after: Millis,
}

impl Terms {
    /// True where nothing is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Alerts that are told together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Digest of the route's number, the level and the values that make the group: see
    /// [`super::Route::group`].
    pub key: String,
    /// After a message of the group, the next waits so long.
    pub interval: Millis,
}

/// What a delivery tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A revision of an alert; 1 as it fired.
    Alert {
        /// Which.
        id: AlertId,
        /// Which revision.
        revision: u32,
    },
    /// One message that stands for many.
    Digest(Box<Digest>),
}

/// One message in place of many that a limit held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// Alerts it tells of, each once.
    pub count: u64,
    /// Messages it stands for that would have told again of what is open.
    #[serde(default)]
    pub repeated: u64,
    /// How many by rule and level, most first; at most [`Digest::MAX_LINES`].
    pub lines: Vec<DigestLine>,
    /// How many stand in no line because there are too many rules.
    pub others: u64,
    /// Groups met most, as text (`user=ana`), most first; at most [`Digest::MAX_LINES`]. Hostile.
    pub groups: Vec<(String, u64)>,
    /// Event time at which the first of its alerts fired.
    pub from: Timestamp,
    /// Event time of the last that it tells.
    pub to: Timestamp,
    /// Titles of the first alerts, where they are told together because their route says so; at most
    /// [`Digest::MAX_LINES`]. Hostile.
    #[serde(default)]
    pub titles: Vec<String>,
    /// How many of its alerts it tells to be over.
    #[serde(default)]
    pub over: u64,
    /// Why there is a digest: `limit`, `standing`, `stale`, `group` or `silence`.
    pub because: String,
}

impl Digest {
    /// Lines of a digest; more is no reading for a person.
    pub const MAX_LINES: usize = 10;
}

/// How many alerts of one rule and level a digest stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestLine {
    /// The rule.
    pub rule: RuleId,
    /// The level.
    pub level: Level,
    /// How many.
    pub count: u64,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// It waits until it is due.
    Waiting,
    /// A try has begun; without an outcome by `until`, nobody knows whether it arrived, and it is sent again.
    Sending {
        /// End of the lease.
        until: Timestamp,
    },
    /// The receiver took it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// A dead letter: nobody tries any more until an operator says so.
    Dead {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// An operator, or the end of what it told of, has put it aside.
    Discarded {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Another stands for it: a digest, or a later revision of its alert.
    Folded {
        /// Which.
        into: DeliveryId,
    },
}

impl Standing {
    /// The word for it, in queries and for people.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending { .. } => "sending",
            Self::Delivered { .. } => "delivered",
            Self::Dead { .. } => "dead",
            Self::Discarded { .. } => "discarded",
            Self::Folded { .. } => "folded",
        }
    }
}

/// What one try came to, as the receiver's answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was taken.
    Delivered,
    /// Worth another try, no sooner than the receiver asked. `everyone` when the receiver wants no
    /// message at all until then (429), not only this one.
    TryAgain {
        /// How long it asked to be left alone.
        wait: Option<Millis>,
        /// True when that holds for all its messages.
        everyone: bool,
        /// What it said.
        reason: String,
    },
    /// Its size or form is refused; a minimal one may pass.
    Malformed {
        /// What it said.
        reason: String,
    },
    /// 401, 403, 404, 410 and their like: of this body, or of everything we send? A probe tells.
    Unwelcome {
        /// What it said.
        reason: String,
    },
    /// It will never be taken.
    Refused {
        /// What it said.
        reason: String,
    },
    /// It was sent, and the answer is lost.
    Unknown {
        /// How.
        reason: String,
    },
}

/// Identity of a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SilenceId(pub [u8; 8]);

/// 16 hexadecimal digits.
impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Messages that are held back for a while; alerts are raised all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Identity.
    pub id: SilenceId,
    /// Whose alerts.
    pub tenant: Arc<str>,
    /// Which: `(name, value)` pairs that must all hold. Names: `rule`, `level`, `tag`, `attack`, and
    /// those of the alert's group.
    pub matches: Vec<(String, String)>,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who asked.
    pub by: String,
    /// Why.
    pub because: String,
}
