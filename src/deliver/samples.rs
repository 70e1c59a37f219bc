//! Messages for the tests of this module.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::alert::{Alert, AlertId, Bounds, Evidence, Revision, State};
use crate::record::{Level, Millis, Timestamp};
use crate::route::{DeliveryId, Digest, DigestLine};

use super::{Content, Message};

/// 2026-01-05T09:08:00Z
pub const AT: Timestamp = Timestamp(1_767_604_080_000);

fn message(content: Content) -> Message {
    let now = AT + Millis::secs(90);
    Message {
        id: DeliveryId([7; 16]),
        content,
        plain: false,
        thread: None,
        zone: chrono_tz::Asia::Shanghai,
        now,
    }
}

/// Five failed sign-ins of one user.
pub fn alert() -> Message {
    changed(|_| {})
}

/// The same, with something else about it.
pub fn changed(change: impl FnOnce(&mut Alert)) -> Message {
    let map = |value: Json| value.as_object().cloned().unwrap_or_default();
    let mut alert = Alert {
        id: AlertId([0x1a; 16]),
        revision: 1,
        state: State::Open,
        rule: "failure-burst".parse().unwrap(),
        rule_revision: Revision([2; 8]),
        tenant: "default".into(),
        level: Level::High,
        title: "ana: 5 failed sign-ins in 10 minutes".to_owned(),
        at: AT,
        group: map(json!({"user": "ana"})),
        count: 5,
        repeats: 0,
        first_seen: AT - Millis::mins(8),
        last_seen: AT,
        window: Bounds { from: AT - Millis::mins(10), to: AT },
        threshold: map(json!({"at_least": 5})),
        actual: map(json!({"count": 5})),
        values: map(json!({})),
        show: map(json!({"public_ip": ["192.0.2.9", "198.51.100.4"], "client_name": []})),
        attack: vec!["T1110.001".to_owned()],
        tags: Vec::new(),
        late: false,
        standing: false,
        observe: false,
        held_by: Vec::new(),
        released: false,
        notify: Vec::new(),
        why_level: "rule".to_owned(),
        runbook: Some("https://wiki.example/burst".to_owned()),
        evidence: Evidence { first: vec![map(json!({"user": "ana"}))], last: Vec::new() },
        generation: "00".to_owned(),
        versions: std::collections::BTreeMap::new(),
        text_fault: None,
        scope: map(json!({})),
    };
    change(&mut alert);
    message(Content::Alert(Arc::new(alert)))
}

/// Forty alerts in one message.
pub fn digest() -> Message {
    let line = |rule: &str, level, count| DigestLine { rule: rule.parse().unwrap(), level, count };
    message(Content::Digest(Arc::new(Digest {
        count: 40,
        repeated: 0,
        lines: vec![line("failure-burst", Level::Medium, 30), line("new-address", Level::Low, 7)],
        others: 3,
        groups: vec![("user=ana".to_owned(), 20), ("user=<!channel>".to_owned(), 4)],
        from: AT,
        to: AT + Millis::mins(12),
        titles: Vec::new(),
        over: 0,
        because: "limit".to_owned(),
    })))
}

/// The fixed one.
pub fn probe() -> Message {
    message(Content::Probe)
}
