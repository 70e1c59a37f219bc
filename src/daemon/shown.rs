//! What the store holds, as JSON: the same for `--output json` and for the admin door.

use serde_json::{Value as Json, json};

use crate::route::{Body, Delivery, Silence, Standing};
use crate::store::{KeptAlert, Try};

/// A delivery.
pub fn delivery(delivery: &Delivery) -> Json {
    let body = match &delivery.body {
        Body::Alert { id, revision } => json!({"alert": id.to_string(), "revision": revision}),
        Body::Digest(digest) => json!({"digest": {
            "count": digest.count,
            "repeated": digest.repeated,
            "lines": digest.lines.iter().map(|line| {
                json!({"rule": line.rule, "level": line.level, "count": line.count})
            }).collect::<Vec<_>>(),
            "from": digest.from.to_string(),
            "to": digest.to.to_string(),
            "because": digest.because,
        }}),
    };
    let mut shown = json!({
        "id": delivery.id.to_string(),
        "tenant": delivery.tenant,
        "receiver": delivery.receiver.as_str(),
        "rule": delivery.rule,
        "level": delivery.level,
        "state": delivery.standing.word(),
        "why": delivery.why().word(),
        "created": delivery.created.to_string(),
        "due": delivery.due.to_string(),
        "tries": delivery.tries,
        "last": delivery.last_reason,
        "body": body,
    });
    let (at, reason) = match &delivery.standing {
        Standing::Waiting => (None, None),
        Standing::Sending { until } => (Some(until.to_string()), None),
        Standing::Delivered { at } => (Some(at.to_string()), None),
        Standing::Dead { at, reason } | Standing::Discarded { at, reason } => {
            (Some(at.to_string()), Some(reason.clone()))
        }
        Standing::Folded { into } => (None, Some(format!("told by delivery {into}"))),
    };
    shown["at"] = at.into();
    shown["reason"] = reason.into();
    shown
}

/// A delivery, its tries and what it is told in the place of.
pub fn delivery_with(owed: &Delivery, tries: &[Try], stands_for: &[Delivery]) -> Json {
    let mut shown = delivery(owed);
    if !stands_for.is_empty() {
        let of = |one: &Delivery| match &one.body {
            Body::Alert { id, revision } => {
                json!({"delivery": one.id.to_string(), "alert": id.to_string(), "revision": revision})
            }
            Body::Digest(_) => json!({"delivery": one.id.to_string()}),
        };
        shown["stands_for"] = stands_for.iter().map(of).collect();
    }
    shown["history"] = tries
        .iter()
        .map(|one| json!({"try": one.number, "at": one.at.to_string(), "outcome": one.outcome}))
        .collect();
    shown
}

/// An alert, its revisions and who is told.
pub fn alert_with(kept: &KeptAlert, revisions: &[crate::alert::Alert], deliveries: &[Delivery]) -> Json {
    json!({
        "alert": kept.now,
        "acknowledged": kept.acknowledged.as_ref().map(|(by, at)| json!({"by": by, "at": at.to_string()})),
        "revisions": revisions,
        "deliveries": deliveries.iter().map(delivery).collect::<Vec<_>>(),
    })
}

/// A silence.
pub fn silence(silence: &Silence) -> Json {
    json!({
        "id": silence.id.to_string(),
        "tenant": silence.tenant,
        "matches": silence.matches.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "from": silence.from.to_string(),
        "until": silence.until.to_string(),
        "by": silence.by,
        "because": silence.because,
    })
}
