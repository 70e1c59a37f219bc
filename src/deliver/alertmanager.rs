//! Alertmanager, through its API v2: an alert with its start and, once it is over, its end.
//!
//! Alertmanager knows an alert by its labels, so those that may change stand among them only with
//! care: what was told under a lower level is ended together with what is told under a higher one.
//! It ends by itself what nothing more is heard of; `expires` says after how long. Values of labels
//! and annotations are text to it; what templates make of them is theirs to escape.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::alert::{Alert, AlertId, State};
use crate::config::{Options, Secrets};
use crate::record::{Level, Millis, Timestamp};
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

use super::fit::{self, Room};
use super::http::Endpoint;
use super::shown::Shown;
use super::{ALLOW_PRIVATE, Content, Kind, Message, Receiver, TIMEOUT, Transport, Trying, render, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "alertmanager",
    keys: &KEYS,
    example: "{name: am, kind: alertmanager, url: https://alertmanager.example}",
    transport: Transport { per_minute: 600, burst: 20 },
    human: false,
    ends: true,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `alertmanager`",
    about: "an Alertmanager, through its API v2",
    open: Open::Closed,
    keys: &[
        need("url", Takes::Text, "where it is, without `/api/v2`", "url: https://alertmanager.example"),
        may("token", Takes::Secret, "shown as `Authorization: Bearer`", "token: env:ALERTMANAGER_TOKEN"),
        may(
            "expires",
            Takes::Duration,
            "an alert that nothing more is heard of ends there after so long: 1m to 7d; 24h unless told",
            "expires: 24h",
        ),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// `expires` unless told.
const EXPIRES: Millis = Millis::hours(24);
/// UTF-16 units of a label's value.
const MAX_LABEL: usize = 200;
/// Bytes of the description.
const MAX_DESCRIPTION: usize = 8_000;
/// Labels that are ours; a field of the same name has `field_` before it.
const OURS: [&str; 6] = ["alert", "alertname", "delivery", "severity", "source", "tenant"];

/// Alerts whose level there is remembered; past this the oldest is forgotten, and ended under every
/// lower level should its level rise.
const MAX_TOLD: usize = 10_000;

#[derive(Debug)]
struct Alertmanager {
    endpoint: Endpoint,
    token: Option<SecretString>,
    expires: Millis,
    told: Mutex<Told>,
}

/// Under which level an alert stands there, the oldest first; for as long as the process lives.
#[derive(Debug, Default)]
struct Told(VecDeque<(AlertId, Level)>);

impl Told {
    /// Levels under which the alert may stand besides its own: levels only rise.
    fn lower(&self, alert: &Alert) -> Vec<Level> {
        let known = self.0.iter().rev().find(|(id, _)| *id == alert.id).map(|(_, level)| *level);
        let may = |level: &Level| *level < alert.level && known.is_none_or(|known| known == *level);
        if alert.revision > 1 { Level::ALL.into_iter().filter(may).collect() } else { Vec::new() }
    }

    fn note(&mut self, alert: &Alert) {
        self.0.retain(|(id, _)| *id != alert.id);
        if !is_over(alert.state) {
            if self.0.len() >= MAX_TOLD {
                self.0.pop_front();
            }
            self.0.push_back((alert.id, alert.level));
        }
    }
}

fn is_over(state: State) -> bool {
    match state {
        State::Open | State::Updated | State::Acknowledged => false,
        State::Closed | State::Resolved => true,
    }
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    let endpoint = Endpoint::open(options, secrets, problems, timeout, false);
    let bounds = (Millis::mins(1), Millis::days(7));
    let expires =
        if options.has("expires") { options.duration_in(problems, "expires", bounds)? } else { EXPIRES };
    let token = if options.has("token") { Some(options.secret(problems, secrets, "token")?) } else { None };
    let mut endpoint = endpoint?.below("api/v2/alerts");
    if let Some(token) = &token {
        endpoint = endpoint.hiding(token);
    }
    Some(Box::new(Alertmanager { endpoint, token, expires, told: Mutex::default() }))
}

impl Receiver for Alertmanager {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let headers = self.token.as_ref().map(Endpoint::bearer).unwrap_or_default();
            let body = Json::Array(self.alerts(message)).to_string();
            let attempt = match self.endpoint.post(body, headers, message.now).await {
                Ok(answer) => self.endpoint.judge(&answer),
                Err(attempt) => attempt,
            };
            if let (Attempt::Delivered, Content::Alert(alert)) = (&attempt, &message.content) {
                self.told().note(alert);
            }
            attempt
        })
    }
}

impl Alertmanager {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is posted.
    fn alerts(&self, message: &Message) -> Vec<Json> {
        let (now, annotations) = (message.now, annotations(message));
        match &message.content {
            Content::Alert(alert) => {
                let start = alert.first_seen.min(now);
                let over = alert.at.clamp(start, now.max(start));
                let end = if is_over(alert.state) { over } else { now + self.expires };
                let mut alerts = vec![one(labels_of(alert, alert.level), &annotations, start, end)];
                let lower = self.told().lower(alert).into_iter();
                alerts.extend(lower.map(|level| one(labels_of(alert, level), &annotations, start, over)));
                alerts
            }
            Content::Digest(digest) => {
                let level = digest.lines.iter().map(|line| line.level).max().unwrap_or(Level::Medium);
                let mut labels = labels("LarumDigest", level);
                labels.insert("delivery".to_owned(), message.id.to_string().into());
                vec![one(labels, &annotations, digest.from.min(now), now + self.expires)]
            }
            // What is over already is told to nobody.
            Content::Probe | Content::Watchdog(_) => {
                let labels = labels("LarumProbe", Level::Informational);
                vec![one(labels, &annotations, now - Millis::secs(2), now - Millis::secs(1))]
            }
        }
    }
}

fn labels_of(alert: &Alert, level: Level) -> Map<String, Json> {
    let mut labels = labels(alert.rule.as_str(), level);
    labels.insert("alert".to_owned(), alert.id.to_string().into());
    labels.insert("tenant".to_owned(), label(&Shown::raw(&alert.tenant)));
    for (name, value) in &alert.group {
        labels.insert(label_name(name), label(&Shown::value(value)));
    }
    labels
}

fn one(labels: impl Into<Json>, annotations: &Json, start: Timestamp, end: Timestamp) -> Json {
    json!({
        "labels": labels.into(),
        "annotations": annotations,
        "startsAt": start.to_string(),
        "endsAt": end.to_string(),
    })
}

fn labels(name: &str, level: Level) -> Map<String, Json> {
    let mut labels = Map::new();
    labels.insert("alertname".to_owned(), name.into());
    labels.insert("severity".to_owned(), level.as_str().into());
    labels.insert("source".to_owned(), "larum".into());
    labels
}

fn label(text: &Shown) -> Json {
    text.cut(MAX_LABEL).literal().into()
}

/// A field's name as a label's: letters, digits and `_`, and none of ours.
fn label_name(field: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = field.chars().map(plain).take(64).collect();
    let bare = name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__");
    if bare || name.is_empty() || OURS.contains(&name.as_str()) { format!("field_{name}") } else { name }
}

fn annotations(message: &Message) -> Json {
    let told = render::telling(message);
    let mut annotations = json!({"summary": told.headline.cut(500).literal()});
    if !message.plain {
        let room = Room { most: MAX_DESCRIPTION, line: 3, size: str::len };
        let told = room.fit(told);
        let lines: Vec<String> = fit::lines(&told).skip(1).map(|line| line.literal().to_owned()).collect();
        annotations["description"] = lines.join("\n").into();
        if let Content::Alert(alert) = &message.content
            && let Some(runbook) = &alert.runbook
        {
            annotations["runbook"] = Shown::raw(runbook).literal().into();
        }
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_name_is_a_label_of_its_own() {
        for (field, label) in [
            ("user", "user"),
            ("asn.number", "asn_number"),
            ("severity", "field_severity"),
            ("alertname", "field_alertname"),
            ("9", "field_9"),
            ("__name__", "field___name__"),
            ("用户", "field___"),
            ("", "field_"),
        ] {
            assert_eq!(label_name(field), label);
        }
    }
}
