//! Messages to receivers: each kind is one file and a line in [`KINDS`].
//!
//! A receiver is given one message and says what came of it; when to try, how often and whether at
//! all is `route`'s to decide. Every string of an alert is hostile: `shown` escapes it for its sink,
//! `render` says what is told, and nothing else builds text. No receiver keeps state that must
//! outlive it.

mod alertmanager;
mod dingtalk;
mod email;
mod feishu;
mod file;
mod fit;
mod guard;
mod http;
mod pagerduty;
mod ping;
mod reason;
pub mod render;
mod robot;
#[cfg(test)]
mod samples;
pub mod shown;
mod slack;
mod smn;
pub mod stdout;
mod teams;
mod tls;
mod webhook;
mod wecom;

use std::pin::Pin;
use std::sync::Arc;

use crate::alert::Alert;
use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::route::{Attempt, DeliveryId, Digest};
use crate::rule::keys::{KeyDoc, MapDoc, Takes, may};
use crate::rule::problem::Problems;

/// What a receiver is given to send.
#[derive(Debug, Clone)]
pub struct Message {
    /// Identity of the delivery: the same at every try.
    pub id: DeliveryId,
    /// What it tells.
    pub content: Content,
    /// What it continues: none for the first message of an alert, and for what tells of no single one.
    pub thread: Option<Thread>,
    /// Send the minimal form: a plain line that no receiver refuses for its size or shape.
    pub plain: bool,
    /// The zone in which times are shown beside UTC.
    pub zone: chrono_tz::Tz,
    /// Now, by the daemon's clock: for signatures and dates.
    pub now: crate::record::Timestamp,
}

/// The messages of an alert that a receiver was given before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Identity of the delivery that told of it first.
    pub first: DeliveryId,
    /// What the receiver calls the message it took: see [`Receiver::mark`].
    pub mark: Option<String>,
}

/// What a message tells.
#[derive(Debug, Clone)]
pub enum Content {
    /// An alert as it fired, or as it stands now.
    Alert(Arc<Alert>),
    /// One message for many.
    Digest(Arc<Digest>),
    /// A fixed, minimal message without a word from any record: tells whether the receiver takes anything.
    Probe,
    /// The same, sent every so long as long as all is well: who misses it knows that the way is broken.
    Watchdog(Millis),
}

/// A try that is under way.
pub type Trying<'a> = Pin<Box<dyn Future<Output = Attempt> + Send + 'a>>;

pub use guard::ALLOW_PRIVATE;
pub use http::is_loopback;
pub use ping::Ping;

/// One configured destination.
pub trait Receiver: Send + Sync + std::fmt::Debug {
    /// Sends one message, within the receiver's own time limit.
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a>;

    /// What it calls the message of this delivery, which it has just taken, where later messages of the
    /// same alert want to know; told once. The store keeps it and hands it back in [`Message::thread`],
    /// so that a receiver need not remember anything.
    fn mark(&self, delivery: DeliveryId) -> Option<String> {
        let _ = delivery;
        None
    }
}

/// Tokens of a transport limit: never exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transport {
    /// Messages a minute, sustained.
    pub per_minute: u32,
    /// Messages at once.
    pub burst: u32,
}

/// Builds a receiver from what the configuration says of it.
pub type Build = fn(&Options<'_>, &Secrets, &mut Problems) -> Option<Box<dyn Receiver>>;

/// A kind of receiver.
#[derive(Debug)]
pub struct Kind {
    /// The word after `kind:`.
    pub name: &'static str,
    /// Its keys, besides those that every receiver has.
    pub keys: &'static MapDoc,
    /// A receiver of this kind as a configuration spells it; a test builds it.
    pub example: &'static str,
    /// What its service allows, from its published limits.
    pub transport: Transport,
    /// True where people read: limits by level hold back what they cannot read.
    pub human: bool,
    /// True where a service keeps an alert open until it hears of its end, and where programs read: they
    /// are told of closings, too, unless the receiver says `closed: off`.
    pub ends: bool,
    /// Builds one; every fault is noted at its place.
    pub build: Build,
}

/// Every kind of receiver.
pub const KINDS: &[Kind] = &[
    alertmanager::KIND,
    dingtalk::KIND,
    email::KIND,
    feishu::KIND,
    file::KIND,
    pagerduty::KIND,
    slack::KIND,
    smn::KIND,
    stdout::KIND,
    teams::KIND,
    webhook::KIND,
    wecom::KIND,
];

/// How long one try takes at most, for the kinds that wait for somebody.
const TIMEOUT: KeyDoc =
    may("timeout", Takes::Duration, "one try takes at most so long; 30s unless it stands", "timeout: 10s");

/// A try's time without `timeout`.
const USUAL_TIMEOUT: Millis = Millis::secs(30);

/// The longest `timeout`: the lease of a delivery that is being sent must outlast it.
pub const MAX_TIMEOUT: Millis = Millis::secs(60);

/// The value of `timeout`.
fn timeout(options: &Options<'_>, problems: &mut Problems) -> Millis {
    let length = options.duration(problems, "timeout").unwrap_or(USUAL_TIMEOUT);
    if length > MAX_TIMEOUT {
        options.fault(problems, "timeout", format!("`timeout` is {length}, too long"), "write at most 60s");
    }
    length.min(MAX_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{self, KindDoc, Kinds};
    use crate::rule::keys::Open;

    static NOTHING: MapDoc = MapDoc { name: "a source", about: "nothing", open: Open::Closed, keys: &[] };

    #[test]
    fn every_kind_has_a_name_of_its_own_and_an_example_that_builds() {
        let mut names = BTreeSet::new();
        let receivers: Vec<KindDoc> =
            KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect();
        let kinds = Kinds { receivers: &receivers, sources: &[KindDoc { name: "none", keys: &NOTHING }] };
        for kind in KINDS {
            assert!(names.insert(kind.name), "`{}` stands twice", kind.name);
            let text = format!(
                "store: x.db\nrules: [rules/]\nsources: [{{name: s, kind: none}}]\nreceivers:\n  - {}\n\
                 routes: [{{match: {{}}, to: [out]}}]\n",
                kind.example
            );
            let name = kind.example.split(['{', ',']).nth(1).unwrap().trim_start_matches("name: ");
            let text = text.replace("to: [out]", &format!("to: [{name}]"));
            for dry in [true, false] {
                let (config, mut problems) = config::load("larum.yaml", &text, &kinds);
                let config = config.unwrap();
                let mut secrets = Secrets::default();
                secrets.dry = dry;
                for (name, value) in [
                    ("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
                    ("SLACK_URL", "https://hooks.slack.com/services/T0/B0/x"),
                    ("SMTP_PASSWORD", "s3cret"),
                    ("ROBOT_URL", "https://robot.example/services/send?key=s3cret"),
                    ("TEAMS_URL", "https://x.logic.azure.com/workflows/s3cret?sig=s3cret"),
                    ("PAGERDUTY_KEY", "s3cret78901234567890123456789012"),
                    ("HW_ACCESS_KEY", "s3cretAK"),
                    ("HW_SECRET_KEY", "s3cretSK"),
                    ("ROBOT_SECRET", "SECs3cret"),
                ] {
                    secrets = secrets.with(name, value);
                }
                let receiver = (kind.build)(&config.receivers[0].part.options(), &secrets, &mut problems);
                assert!(problems.is_empty(), "{}", problems.render(false));
                let text = format!("{:?}", receiver.unwrap());
                assert!(!text.contains("s3cret") && !text.contains("services"), "{text}");
                assert_eq!(config.receivers[0].part.kind, kind.name);
            }
        }
    }

    #[test]
    fn every_key_of_a_kind_is_described_and_stands_once() {
        for kind in KINDS {
            let names: BTreeSet<&str> = kind.keys.keys.iter().map(|key| key.name).collect();
            assert_eq!(names.len(), kind.keys.keys.len(), "{}", kind.name);
            for key in kind.keys.keys {
                assert!(key.example.starts_with(&format!("{}:", key.name)), "{}: {}", kind.name, key.name);
                assert!(config::keys::RECEIVER.key(key.name).is_none(), "`{}` is every receiver's", key.name);
            }
        }
    }
}
