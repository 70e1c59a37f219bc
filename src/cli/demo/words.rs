//! What the demo says of a message, in words for somebody who sees Larum for the first time.
//!
//! Every value is a record's and hostile: nothing of it is more than text on the terminal.

use serde_json::Value as Json;

use crate::cli::show::{self, plain, safe};
use crate::record::Timestamp;

use super::bundle::RULES;

/// Groups of a digest that are named.
const NAMED: usize = 4;

/// What a message of the webhook tells: a headline and what happened.
pub fn told(message: &Json) -> String {
    let (headline, sentence) = match message.get("digest") {
        Some(digest) => digest_told(digest),
        None => alert_told(message),
    };
    format!("{headline}\n    {sentence}")
}

/// The rule of an alert, or `digest`: what was shown.
pub fn subject(message: &Json) -> &str {
    if message.get("digest").is_some() { "digest" } else { message["rule"].as_str().unwrap_or_default() }
}

fn alert_told(alert: &Json) -> (String, String) {
    let rule = alert["rule"].as_str().unwrap_or_default();
    let user = plain(&alert["group"]["user"]);
    let from = plain(&alert["show"]["public_ip"]);
    let (what, sentence) = match rule {
        "failure-burst" => (
            "repeated failures for a user",
            format!(
                "{user} failed to sign in {} times within {}, from {from}: somebody may be guessing the password.",
                plain(&alert["count"]),
                window(alert)
            ),
        ),
        "unusual-public-ip" => (
            "first sign-in from an unusual public_ip",
            format!(
                "{user} signed in from {} for the first time; usual for {user}: {}.",
                plain(&alert["actual"]["value"]),
                plain(&alert["actual"]["usual"])
            ),
        ),
        "very-slow-sign-in" => {
            let record = &alert["evidence"]["first"][0];
            (
                "high RTT",
                format!(
                    "{user} waited {} ms for each answer of the desktop; the rule tells from {} ms on.",
                    plain(&record["e2e_rtt"]),
                    bound(rule, "e2e_rtt|gte")
                ),
            )
        }
        "slow-line" => (
            "a slow line",
            format!(
                "the median RTT of {user} is {} ms over {} sign-ins; the rule tells above {} ms.",
                plain(&alert["actual"]["median"]),
                plain(&alert["actual"]["samples"]),
                plain(&alert["threshold"]["above"])
            ),
        ),
        _ => ("an alert", format!("{}.", plain(&alert["title"]))),
    };
    let state = match alert["state"].as_str() {
        Some("open") | None => String::new(),
        Some(state) => format!(", {}", safe(state)),
    };
    (headline(&alert["at"], &alert["level"], &format!("{what}{state} (rule {})", safe(rule))), sentence)
}

fn digest_told(digest: &Json) -> (String, String) {
    let lines: &[Json] = digest["lines"].as_array().map_or(&[], Vec::as_slice);
    let rules: Vec<String> =
        lines.iter().map(|line| format!("{} × {}", plain(&line["count"]), plain(&line["rule"]))).collect();
    let level = lines.first().map_or(&Json::Null, |line| &line["level"]);
    let groups: &[Json] = digest["groups"].as_array().map_or(&[], Vec::as_slice);
    let mut who: Vec<String> = groups
        .iter()
        .take(NAMED)
        .map(|group| {
            let text = plain(&group["group"]);
            text.strip_prefix("user=").map(str::to_owned).unwrap_or(text)
        })
        .collect();
    let count = digest["count"].as_u64().unwrap_or_default();
    let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(who.len());
    if more > 0 {
        who.push(format!("{more} more"));
    }
    let sentence = format!(
        "{} came faster than this receiver is to be sent one by one: {} ({}). One message stands for all of them.",
        show::many_of(count, "alert"),
        rules.join(", "),
        who.join(", ")
    );
    (headline(&digest["to"], level, "a digest in place of a burst"), sentence)
}

/// `09:36:54  MEDIUM  what`
fn headline(at: &Json, level: &Json, what: &str) -> String {
    let at = at.as_str().and_then(Timestamp::parse).map_or_else(|| "-".to_owned(), clock);
    format!("{at}  {:<8}  {what}", plain(level).to_uppercase())
}

/// The time of day, to the second.
pub fn clock(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or("-").to_owned()
}

/// How long an alert's window is, in words, and from when to when.
fn window(alert: &Json) -> String {
    let time = |json: &Json| json.as_str().and_then(Timestamp::parse);
    let window = &alert["window"];
    let (Some(from), Some(to)) = (time(&window["from"]), time(&window["to"])) else {
        return "the rule's window".to_owned();
    };
    let seconds = (to - from).0 / 1_000;
    let length = match (seconds / 60, seconds % 60) {
        (minutes, 0) if minutes > 0 => show::many(usize::try_from(minutes).unwrap_or_default(), "minute"),
        _ => show::many(usize::try_from(seconds).unwrap_or_default(), "second"),
    };
    format!("{length} ({} to {})", clock(from), clock(to))
}

/// What a shipped rule compares a field with.
fn bound(rule: &str, key: &str) -> &'static str {
    let text = RULES.iter().find(|(name, _)| name.ends_with(&format!("/{rule}.yaml"))).map(|(_, text)| *text);
    let value = |line: &'static str| line.trim().strip_prefix(key)?.strip_prefix(": ");
    text.and_then(|text| text.lines().find_map(value)).unwrap_or("its bound")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bound_is_the_rules_own() {
        assert_eq!(bound("very-slow-sign-in", "e2e_rtt|gte"), "500");
        assert_eq!(bound("none", "e2e_rtt|gte"), "its bound");
    }

    #[test]
    fn names_of_records_are_text_and_nothing_else() {
        let hostile = "\u{1b}[31mana\u{202e}\n";
        for message in [
            json!({"rule": "failure-burst", "level": "medium", "at": "x", "group": {"user": hostile}}),
            json!({"rule": hostile, "level": hostile, "title": hostile, "state": hostile}),
            json!({"digest": {"count": 1, "groups": [{"group": hostile}], "lines": [{"rule": hostile, "level": hostile}]}}),
        ] {
            let told = told(&message);
            assert_eq!(told.lines().count(), 2, "{told:?}");
            assert!(!told.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{told:?}");
        }
    }
}
