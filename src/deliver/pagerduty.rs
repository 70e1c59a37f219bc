//! PagerDuty, through Events API v2: an alert is an incident that is told of, taken and over.
//!
//! The key under which PagerDuty drops repeats is the alert's id, so that however often an alert is
//! told, it is one incident. A probe ends an incident that there is not: the routing key is looked
//! at, and nobody is paged.

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value as Json, json};

use crate::alert::State;
use crate::config::{Options, Secrets};
use crate::record::{Level, Millis};
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

use super::fit::Room;
use super::http::{Answer, Endpoint};
use super::render::{self, Telling};
use super::shown::Shown;
use super::{ALLOW_PRIVATE, Content, Kind, Message, Receiver, TIMEOUT, Transport, Trying, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "pagerduty",
    keys: &KEYS,
    example: "{name: on-call, kind: pagerduty, routing_key: env:PAGERDUTY_KEY}",
    // With the burst below 120 in any minute.
    transport: Transport { per_minute: 90, burst: 20 },
    // It groups by itself, and a digest would have no end.
    human: false,
    ends: true,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `pagerduty`",
    about: "a service of PagerDuty, through its integration key of Events API v2",
    open: Open::Closed,
    keys: &[
        need("routing_key", Takes::Secret, "the integration key", "routing_key: env:PAGERDUTY_KEY"),
        may(
            "url",
            Takes::Text,
            "where to, for accounts elsewhere; the United States unless told",
            "url: https://events.eu.pagerduty.com/v2/enqueue",
        ),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// Where events go.
const USUAL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Characters of an integration key.
const KEY_LENGTH: usize = 32;
/// UTF-16 units of a summary, of which PagerDuty takes 1024.
const MAX_SUMMARY: usize = 1_000;
/// Bytes of all details; an event may have 512 KB.
const MAX_DETAILS: usize = 30_000;
/// How long it is left alone after a 429 that does not say.
const THROTTLED: Millis = Millis::secs(60);

#[derive(Debug)]
struct PagerDuty {
    endpoint: Endpoint,
    routing_key: SecretString,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    let endpoint = Endpoint::open_at(("url", USUAL), options, secrets, problems, timeout);
    let routing_key = options.secret(problems, secrets, "routing_key")?;
    let key = routing_key.expose_secret();
    if !secrets.dry && (key.len() != KEY_LENGTH || !key.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        let hint = "take the integration key of an integration of type Events API v2: 32 letters and digits";
        options.fault(problems, "routing_key", "the secret under `routing_key` is no integration key", hint);
        return None;
    }
    Some(Box::new(PagerDuty { endpoint: endpoint?.hiding(&routing_key), routing_key }))
}

impl Receiver for PagerDuty {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let mut event = event(message);
            event["routing_key"] = self.routing_key.expose_secret().into();
            match self.endpoint.post(event.to_string(), HeaderMap::new(), message.now).await {
                Ok(answer) => self.judge(&answer),
                Err(attempt) => attempt,
            }
        })
    }
}

impl PagerDuty {
    fn judge(&self, answer: &Answer) -> Attempt {
        let reason = self.endpoint.says(answer);
        match answer.status.as_u16() {
            400 if answer.body.contains("routing_key") => Attempt::Unwelcome { reason },
            429 => {
                let wait = Some(answer.wait.unwrap_or(THROTTLED));
                Attempt::TryAgain { wait, everyone: true, reason }
            }
            _ => self.endpoint.judge(answer),
        }
    }
}

/// What is posted, but for the routing key.
fn event(message: &Message) -> Json {
    match &message.content {
        Content::Alert(alert) => {
            let action = match alert.state {
                State::Open | State::Updated => "trigger",
                State::Acknowledged => "acknowledge",
                State::Closed | State::Resolved => "resolve",
            };
            let mut payload = payload(message, alert.level);
            payload["timestamp"] = alert.at.to_string().into();
            payload["component"] = alert.rule.as_str().into();
            payload["group"] = Shown::raw(&alert.tenant).cut(200).literal().into();
            if action != "trigger" {
                payload = Json::Null;
            }
            finished(action, &alert.id.to_string(), payload)
        }
        Content::Digest(digest) => {
            let level = digest.lines.iter().map(|line| line.level).max().unwrap_or(Level::Medium);
            finished("trigger", &message.id.to_string(), payload(message, level))
        }
        Content::Probe | Content::Watchdog(_) => finished("resolve", "larum-probe", Json::Null),
    }
}

fn finished(action: &'static str, dedup_key: &str, payload: Json) -> Json {
    let mut event = json!({"event_action": action, "dedup_key": dedup_key, "client": "Larum"});
    if !payload.is_null() {
        event["payload"] = payload;
    }
    event
}

fn payload(message: &Message, level: Level) -> Json {
    let severity = match level {
        Level::Critical => "critical",
        Level::High => "error",
        Level::Medium => "warning",
        Level::Low | Level::Informational => "info",
    };
    let told = render::telling(message);
    let summary = told.headline.cut(MAX_SUMMARY);
    let mut payload = json!({"summary": summary.literal(), "source": "larum", "severity": severity});
    if !message.plain {
        let room = Room { most: MAX_DETAILS, line: 8, size: str::len };
        payload["custom_details"] = details(&room.fit(told));
    }
    payload
}

/// The facts by their names; a name that stands twice has a number.
fn details(told: &Telling) -> Json {
    let mut details = Map::new();
    details.extend(told.lead.iter().map(|lead| ("news".to_owned(), lead.literal().into())));
    for fact in told.facts.iter().chain(&told.closing) {
        let (name, mut number) = (fact.name.literal(), 1);
        let mut key = name.to_owned();
        while details.contains_key(&key) {
            number += 1;
            key = format!("{name} {number}");
        }
        details.insert(key, fact.value.literal().into());
    }
    Json::Object(details)
}
