//! A message in words, before any sink: a headline and named facts, all of it [`Shown`].
//!
//! What people are told and in which order is decided here, once; how it looks is the sink's.
//! Machines are given [`json()`] instead. Nothing here sends, and nothing here is markup.

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use serde_json::{Map, Value as Json, json};

use crate::alert::{Alert, State};
use crate::record::{Millis, Timestamp};
use crate::route::Digest;
use crate::rule::problem::deceives;

use super::shown::Shown;
use super::{Content, Message};

/// Facts of one alert that are told; a rule that shows more than this is no reading for a person.
const MAX_FACTS: usize = 40;

/// An alert that is told sooner than this after it was found is told in time.
const AGE_TOLD: Millis = Millis::hours(1);
/// Older than what the service keeps, it is no news but a replay.
const AGE_UNTOLD: Millis = Millis::days(30);

/// A message in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// How grave and what, on one line.
    pub headline: Shown,
    /// What changed since it was last told, or why there is one message for many.
    pub lead: Option<Shown>,
    /// The facts, the weightiest first.
    pub facts: Vec<Fact>,
    /// How to see more, and the identity: never left out.
    pub closing: Vec<Fact>,
}

/// One named fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: Shown,
    /// What it is.
    pub value: Shown,
    /// False for what one line for a person leaves out.
    pub brief: bool,
}

impl Fact {
    fn new(name: &'static str, value: Shown) -> Self {
        Self { name: Shown::ours(name), value, brief: true }
    }

    /// A fact for those who have the room.
    fn more(name: &'static str, value: Shown) -> Self {
        Self { brief: false, ..Self::new(name, value) }
    }
}

/// The message in words.
pub fn telling(message: &Message) -> Telling {
    match &message.content {
        Content::Alert(alert) => alert_told(alert, message),
        Content::Digest(digest) => digest_told(digest, message),
        Content::Probe => bare(Shown::ours(PROBE), message),
        Content::Watchdog(every) => bare(watchdog(*every), message),
    }
}

/// A message that tells of no alert.
fn bare(headline: Shown, message: &Message) -> Telling {
    let closing = vec![Fact::more("delivery", Shown::ours(message.id))];
    Telling { headline, lead: None, facts: Vec::new(), closing }
}

/// What a probe says.
const PROBE: &str = "Larum asks whether messages arrive here. Nothing needs to be done.";

/// What the watchdog says.
fn watchdog(every: Millis) -> Shown {
    Shown::ours("Larum runs and its messages arrive here. This one comes every ")
        .and(every)
        .and(": look after Larum when it stays away.")
}

/// The message as one short line without markup: what no receiver refuses for its size or form.
pub fn one_line(message: &Message) -> Shown {
    match &message.content {
        Content::Alert(alert) => headline(alert)
            .cut(200)
            .and(" · rule ")
            .and(alert.rule.clone())
            .and(" · ")
            .and_shown(&instant(alert.at, message.zone))
            .and(" · larum alerts show ")
            .and(alert.id),
        Content::Digest(digest) => {
            let mut line = digest_headline(digest);
            for each in digest.lines.iter().take(3) {
                line =
                    line.and(" · ").and(each.count).and("× ").and(each.rule.clone()).and(" ").and(each.level);
            }
            line.and(" · larum alerts --since ").and(digest.from)
        }
        Content::Probe => Shown::ours(PROBE),
        Content::Watchdog(every) => watchdog(*every),
    }
}

fn headline(alert: &Alert) -> Shown {
    let state = match alert.state {
        State::Open => "",
        State::Updated => ", still going on",
        State::Closed => ", over",
        State::Acknowledged => ", acknowledged",
        State::Resolved => ", resolved",
    };
    Shown::ours("[").and(alert.level).and(state).and("] ").and_raw(&alert.title)
}

/// The headline as a subject. What became of the alert stands in brackets at its beginning, with the
/// level: mail programs leave such a word aside when they compare subjects (the base subject of RFC 5256),
/// so that what answers the first letter stays in its thread.
pub fn subject(message: &Message) -> Shown {
    match &message.content {
        Content::Alert(alert) => headline(alert),
        Content::Digest(digest) => digest_headline(digest),
        Content::Probe => Shown::ours("Larum: do messages arrive here?"),
        Content::Watchdog(_) => Shown::ours("Larum runs and its messages arrive here"),
    }
}

fn alert_told(alert: &Alert, message: &Message) -> Telling {
    let zone = message.zone;
    let mut facts = Vec::new();
    // An end is one line: what there was is known.
    if alert.state == State::Closed {
        return Telling { facts, ..around(alert, zone) };
    }
    if !matches!(&*alert.tenant, "" | "default") {
        facts.push(Fact::new("tenant", Shown::raw(&alert.tenant)));
    }
    facts.push(Fact::new("rule", Shown::ours(alert.rule.clone())));
    facts.extend(named(&alert.group));
    facts.push(Fact::new("count", Shown::ours(alert.count)));
    if !alert.threshold.is_empty() {
        facts.push(Fact::new("asked", pairs(&alert.threshold)));
    }
    if !alert.actual.is_empty() {
        let found = pairs(&alert.actual);
        // What has come since is counted above.
        facts.push(Fact::new("found", if alert.revision > 1 { found.and(" when it fired") } else { found }));
    }
    facts.push(Fact::more("at", instant(alert.at, zone)));
    facts.push(Fact::more("seen", span(alert.first_seen, alert.last_seen, zone)));
    facts.push(Fact::new("window", span(alert.window.from, alert.window.to, zone)));
    facts.extend(named(&alert.show).filter(|fact| !fact.value.is_empty()));
    facts.extend(named(&alert.values));
    facts.push(Fact::more("level", why_level(alert)));
    facts.extend(marks(alert, message));
    for (name, labels) in [("attack", &alert.attack), ("tags", &alert.tags)] {
        if !labels.is_empty() {
            facts.push(Fact::more(name, Shown::list(labels.iter().map(|label| Shown::raw(label)))));
        }
    }
    if let Some(runbook) = &alert.runbook {
        facts.push(Fact::more("runbook", Shown::raw(runbook)));
    }
    if facts.len() > MAX_FACTS {
        let more = facts.len() - MAX_FACTS;
        facts.truncate(MAX_FACTS);
        facts.push(Fact::new("and", Shown::ours(more).and(" more facts")));
    }
    Telling { facts, ..around(alert, zone) }
}

/// What stands before and after the facts.
fn around(alert: &Alert, zone: chrono_tz::Tz) -> Telling {
    Telling {
        headline: headline(alert),
        lead: (alert.revision > 1 || alert.state != State::Open).then(|| changed(alert, zone)),
        facts: Vec::new(),
        closing: vec![
            Fact::more("alert", Shown::ours(alert.id)),
            Fact::new("see more", Shown::ours("larum alerts show ").and(alert.id)),
        ],
    }
}

fn changed(alert: &Alert, zone: chrono_tz::Tz) -> Shown {
    let grown = |text: Shown| {
        let text = text.and(": ").and(alert.repeats).and(" more since it fired, ").and(alert.count);
        text.and(" in all; the level is ").and(alert.level)
    };
    let last = || Shown::ours(", last seen ").and_shown(&instant(alert.last_seen, zone));
    match alert.state {
        State::Open => grown(Shown::ours("told again")),
        State::Updated => grown(Shown::ours("still going on")),
        State::Closed => grown(Shown::ours("over")).and_shown(&last()),
        State::Acknowledged => grown(Shown::ours("somebody has taken it")),
        State::Resolved => grown(Shown::ours("what ends it was seen")).and_shown(&last()),
    }
}

fn why_level(alert: &Alert) -> Shown {
    match alert.why_level.as_str() {
        "rule" => Shown::ours(alert.level).and(", as the rule says"),
        line => Shown::ours(alert.level).and(", by ").and_raw(line).and(" of the rule"),
    }
}

/// What is not as with every alert.
fn marks(alert: &Alert, message: &Message) -> Vec<Fact> {
    let mut marks = Vec::new();
    if alert.late {
        marks.push(Fact::new("late", Shown::ours("its records came too late to be judged in order")));
    }
    if alert.standing {
        marks.push(Fact::new("standing", Shown::ours("it held already when the rule was new")));
    }
    if alert.observe {
        marks.push(Fact::new("observed", Shown::ours("the rule only observes")));
    }
    if alert.released {
        marks.push(Fact::new("held back", Shown::ours("another rule's alert was open; it still holds")));
    }
    let age = message.now - alert.at;
    if age > AGE_TOLD && age < AGE_UNTOLD {
        marks.push(Fact::new("told late", Shown::ours(length(age)).and(" after it happened")));
    }
    marks
}

fn digest_told(digest: &Digest, message: &Message) -> Telling {
    let mut facts = Vec::new();
    for (number, title) in digest.titles.iter().enumerate() {
        facts.push(Fact { name: Shown::ours(number + 1), value: Shown::raw(title), brief: true });
    }
    let untitled = digest.count.saturating_sub(digest.titles.len() as u64);
    if !digest.titles.is_empty() && untitled > 0 {
        facts.push(Fact::new("and", Shown::ours(untitled).and(" more")));
    }
    for line in digest.lines.iter().take(Digest::MAX_LINES) {
        let value = Shown::ours(line.count).and(" × ").and(line.level);
        facts.push(Fact { name: Shown::ours(line.rule.clone()), value, brief: true });
    }
    if digest.others > 0 {
        facts.push(Fact::new("other rules", Shown::ours(digest.others)));
    }
    if !digest.groups.is_empty() {
        let one = |(group, count): &(String, u64)| Shown::raw(group).and(" (").and(*count).and(")");
        facts.push(Fact::new("mostly", Shown::list(digest.groups.iter().map(one))));
    }
    if digest.over > 0 {
        let all = digest.over == digest.count;
        let over = if all { Shown::ours("all of them") } else { Shown::ours(digest.over).and(" of them") };
        facts.push(Fact::new("over", over));
    }
    facts.push(Fact::new("between", span(digest.from, digest.to, message.zone)));
    Telling {
        headline: digest_headline(digest),
        lead: Some(because(&digest.because)),
        facts,
        closing: vec![
            Fact::more("delivery", Shown::ours(message.id)),
            Fact::new("see more", Shown::ours("larum alerts --since ").and(digest.from)),
        ],
    }
}

fn digest_headline(digest: &Digest) -> Shown {
    let level = digest.lines.iter().map(|line| line.level).max();
    let level = level.map_or_else(Shown::default, |level| Shown::ours("[").and(level).and("] "));
    let alerts = level.and(digest.count).and(if digest.count == 1 { " alert" } else { " alerts" });
    let alerts = match digest.repeated {
        0 => alerts,
        1 => alerts.and(", 1 repetition"),
        many => alerts.and(", ").and(many).and(" repetitions"),
    };
    alerts.and(" in one message")
}

fn because(word: &str) -> Shown {
    match word {
        "limit" => Shown::ours("more came than this receiver is to be sent one by one"),
        "quiet_while" => Shown::ours("they were held back while another rule's alert was open"),
        "standing" => Shown::ours("they held already when their rule was new, or was changed"),
        "stale" => Shown::ours("they could not be sent in time"),
        "silence" => Shown::ours("a silence held them back, and they were over before it ended"),
        "group" => Shown::ours("they belong together, as the route says"),
        other => Shown::raw(other),
    }
}

/// Facts of the alert's own maps, named as the rule's author named them.
fn named(map: &Map<String, Json>) -> impl Iterator<Item = Fact> + '_ {
    map.iter().map(|(name, value)| Fact { name: Shown::raw(name), value: in_words(value), brief: true })
}

/// A value; alerts that a risk is made of, each with the rule first.
fn in_words(value: &Json) -> Shown {
    let Json::Array(items) = value else { return Shown::value(value) };
    let words: Option<Vec<Shown>> = items.iter().map(points_in_words).collect();
    words
        .filter(|words| !words.is_empty())
        .map_or_else(|| Shown::value(value), |words| Shown::list(words.into_iter()))
}

/// `failure-burst (medium, 20 points) at 2026-01-05T09:08:00.000Z`
fn points_in_words(item: &Json) -> Option<Shown> {
    let text = |name: &str| item.get(name)?.as_str();
    let (rule, level, at, points) =
        (text("rule")?, text("level")?, text("at")?, item.get("points")?.as_u64()?);
    let words = Shown::raw(rule).and(" (").and_raw(level).and(", ").and(points).and(" points) at ");
    Some(words.and_raw(at))
}

/// `at_least 5, within 10m`
fn pairs(map: &Map<String, Json>) -> Shown {
    Shown::list(map.iter().map(|(name, value)| Shown::raw(name).and(" ").and_shown(&Shown::value(value))))
}

/// `2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)`; the date again where it is another one.
fn instant(at: Timestamp, zone: chrono_tz::Tz) -> Shown {
    let Some((utc, there)) = clocks(at, zone) else { return Shown::ours(at) };
    let text = Shown::ours(utc).and(" UTC");
    if zone == chrono_tz::UTC {
        return text;
    }
    let text = text.and(" (");
    let text = if there.date() == utc.date() { text.and(there.time()) } else { text.and(there) };
    text.and(" ").and(zone).and(")")
}

/// `2026-01-05 09:00:00 to 09:08:00 UTC (17:00:00 to 17:08:00 Asia/Shanghai)`, or two instants where
/// that is not one day.
fn span(from: Timestamp, to: Timestamp, zone: chrono_tz::Tz) -> Shown {
    let (Some((utc, there)), Some((utc_to, there_to))) = (clocks(from, zone), clocks(to, zone)) else {
        return instant(from, zone).and(" to ").and_shown(&instant(to, zone));
    };
    if from == to {
        return instant(from, zone);
    }
    let days = [utc.date(), utc_to.date(), there.date(), there_to.date()];
    if days.iter().any(|day| *day != days[0]) {
        return instant(from, zone).and(" to ").and_shown(&instant(to, zone));
    }
    let text = Shown::ours(utc).and(" to ").and(utc_to.time()).and(" UTC");
    if zone == chrono_tz::UTC {
        return text;
    }
    text.and(" (").and(there.time()).and(" to ").and(there_to.time()).and(" ").and(zone).and(")")
}

/// An instant in UTC and in the zone, to the second; none where a calendar ends.
fn clocks(at: Timestamp, zone: chrono_tz::Tz) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let utc = chrono::DateTime::from_timestamp(at.0.div_euclid(1_000), 0)?;
    Some((utc.naive_utc(), utc.with_timezone(&zone).naive_local()))
}

/// The largest two units: `3 h 5 min`.
fn length(length: Millis) -> Length {
    Length(length.0 / 60_000)
}

/// A length of time in minutes.
struct Length(i64);

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, hours, minutes) = (self.0 / 1_440, self.0 / 60 % 24, self.0 % 60);
        if days > 0 { write!(f, "{days} d {hours} h") } else { write!(f, "{hours} h {minutes} min") }
    }
}

impl super::shown::Ours for Length {}

/// The message for machines: one line of JSON, no line break at its end. An alert is its NDJSON
/// line, a digest is `{"digest": …}`, a probe `{"probe": …}`, the watchdog `{"watchdog": …}`.
///
/// Characters that a terminal could take for more than text are spelt `\uXXXX`, which every reader
/// of JSON takes for the same.
pub fn json(message: &Message) -> String {
    let text = match &message.content {
        Content::Alert(alert) if message.plain => minimal(alert).to_string(),
        Content::Alert(alert) => serde_json::to_string(&**alert)
            .unwrap_or_else(|_| unreachable!("an alert's keys are text and its numbers are finite")),
        Content::Digest(digest) => digest_json(digest, message).to_string(),
        Content::Probe => json!({"probe": {"id": message.id.to_string(), "from": "larum"}}).to_string(),
        Content::Watchdog(every) => {
            let told = json!({"id": message.id.to_string(), "from": "larum", "every": every.to_string()});
            json!({"watchdog": told}).to_string()
        }
    };
    safe(&text)
}

/// JSON on one line in which no character is more than text to a terminal.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if deceives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// What remains of an alert where its whole was refused.
fn minimal(alert: &Alert) -> Json {
    json!({
        "id": alert.id.to_string(),
        "revision": alert.revision,
        "state": alert.state.as_str(),
        "rule": alert.rule.as_str(),
        "tenant": &*alert.tenant,
        "level": alert.level.as_str(),
        "title": Shown::raw(&alert.title).cut(200).literal(),
        "at": alert.at.to_string(),
        "minimal": true,
    })
}

fn digest_json(digest: &Digest, message: &Message) -> Json {
    let lines = digest
        .lines
        .iter()
        .map(|line| json!({"rule": line.rule.as_str(), "level": line.level.as_str(), "count": line.count}));
    let groups = digest.groups.iter().map(|(group, count)| json!({"group": group, "count": count}));
    json!({"digest": {
        "id": message.id.to_string(),
        "count": digest.count,
        "repeated": digest.repeated,
        "because": digest.because,
        "from": digest.from.to_string(),
        "to": digest.to.to_string(),
        "lines": lines.collect::<Vec<_>>(),
        "others": digest.others,
        "over": digest.over,
        "groups": if message.plain { Vec::new() } else { groups.collect::<Vec<_>>() },
    }})
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// A telling as text, for reading in a test.
    fn text(message: &Message) -> String {
        let told = telling(message);
        let mut text = format!("{}\n", told.headline.literal());
        if let Some(lead) = told.lead {
            let _ = writeln!(text, "{}", lead.literal());
        }
        for fact in told.facts.iter().chain(&told.closing) {
            let _ = writeln!(text, "- {}: {}", fact.name.literal(), fact.value.literal());
        }
        text
    }

    #[test]
    fn an_alert_says_what_when_why_and_how_to_see_more() {
        insta::assert_snapshot!(text(&samples::alert()), @r"
        [high] ana: 5 failed sign-ins in 10 minutes
        - rule: failure-burst
        - user: ana
        - count: 5
        - asked: at_least 5
        - found: count 5
        - at: 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)
        - seen: 2026-01-05 09:00:00 to 09:08:00 UTC (17:00:00 to 17:08:00 Asia/Shanghai)
        - window: 2026-01-05 08:58:00 to 09:08:00 UTC (16:58:00 to 17:08:00 Asia/Shanghai)
        - public_ip: 192.0.2.9, 198.51.100.4
        - level: high, as the rule says
        - attack: T1110.001
        - runbook: https://wiki.example/burst
        - alert: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        - see more: larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        ");
        insta::assert_snapshot!(one_line(&samples::alert()).literal(), @"[high] ana: 5 failed sign-ins in 10 minutes · rule failure-burst · 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai) · larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a");
    }

    #[test]
    fn a_revision_says_what_changed() {
        let told = |state| {
            let message = samples::changed(|alert| {
                alert.revision = 2;
                alert.state = state;
                alert.repeats = 45;
                alert.count = 50;
                alert.why_level = "levels[1]".to_owned();
            });
            let told = telling(&message);
            assert_eq!(subject(&message), told.headline, "a subject says what became of it");
            let base = |subject: &Shown| subject.literal().split_once("] ").unwrap().1.to_owned();
            assert_eq!(base(&told.headline), base(&subject(&samples::alert())), "mail threads by the rest");
            format!("{}\n{}", told.headline.literal(), told.lead.unwrap().literal())
        };
        insta::assert_snapshot!(told(State::Updated), @r"
        [high, still going on] ana: 5 failed sign-ins in 10 minutes
        still going on: 45 more since it fired, 50 in all; the level is high
        ");
        insta::assert_snapshot!(told(State::Closed), @r"
        [high, over] ana: 5 failed sign-ins in 10 minutes
        over: 45 more since it fired, 50 in all; the level is high, last seen 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)
        ");
        insta::assert_snapshot!(told(State::Resolved), @r"
        [high, resolved] ana: 5 failed sign-ins in 10 minutes
        what ends it was seen: 45 more since it fired, 50 in all; the level is high, last seen 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)
        ");
        insta::assert_snapshot!(told(State::Acknowledged), @r"
        [high, acknowledged] ana: 5 failed sign-ins in 10 minutes
        somebody has taken it: 45 more since it fired, 50 in all; the level is high
        ");
    }

    #[test]
    fn what_a_risk_is_made_of_is_told_in_words() {
        let message = samples::changed(|alert| {
            let one = |rule: &str, points: u32| json!({"id": "1a".repeat(16), "rule": rule, "level": "medium", "at": "2026-01-05T09:08:00.000Z", "points": points});
            alert.values.insert("alerts".to_owned(), json!([one("failure-burst", 20), one("slow-line", 5)]));
        });
        let told = telling(&message);
        let alerts = told.facts.iter().find(|fact| fact.name.literal() == "alerts").unwrap();
        assert_eq!(
            alerts.value.literal(),
            "failure-burst (medium, 20 points) at 2026-01-05T09:08:00.000Z, \
             slow-line (medium, 5 points) at 2026-01-05T09:08:00.000Z"
        );
    }

    #[test]
    fn what_is_not_as_usual_is_marked() {
        let mut message = samples::changed(|alert| {
            alert.late = true;
            alert.standing = true;
            alert.tenant = "acme".into();
            alert.tags = vec!["identity".to_owned()];
        });
        message.now = samples::AT + Millis::mins(185);
        message.zone = chrono_tz::UTC;
        insta::assert_snapshot!(text(&message), @r"
        [high] ana: 5 failed sign-ins in 10 minutes
        - tenant: acme
        - rule: failure-burst
        - user: ana
        - count: 5
        - asked: at_least 5
        - found: count 5
        - at: 2026-01-05 09:08:00 UTC
        - seen: 2026-01-05 09:00:00 to 09:08:00 UTC
        - window: 2026-01-05 08:58:00 to 09:08:00 UTC
        - public_ip: 192.0.2.9, 198.51.100.4
        - level: high, as the rule says
        - late: its records came too late to be judged in order
        - standing: it held already when the rule was new
        - told late: 3 h 5 min after it happened
        - attack: T1110.001
        - tags: identity
        - runbook: https://wiki.example/burst
        - alert: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        - see more: larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        ");
    }

    #[test]
    fn a_digest_says_how_many_which_and_why() {
        insta::assert_snapshot!(text(&samples::digest()), @r"
        [medium] 40 alerts in one message
        more came than this receiver is to be sent one by one
        - failure-burst: 30 × medium
        - new-address: 7 × low
        - other rules: 3
        - mostly: user=ana (20), user=<!channel> (4)
        - between: 2026-01-05 09:08:00 to 09:20:00 UTC (17:08:00 to 17:20:00 Asia/Shanghai)
        - delivery: 07070707070707070707070707070707
        - see more: larum alerts --since 2026-01-05T09:08:00.000Z
        ");
        insta::assert_snapshot!(one_line(&samples::digest()).literal(), @"[medium] 40 alerts in one message · 30× failure-burst medium · 7× new-address low · larum alerts --since 2026-01-05T09:08:00.000Z");
        insta::assert_snapshot!(json(&samples::digest()), @r#"{"digest":{"id":"07070707070707070707070707070707","count":40,"repeated":0,"because":"limit","from":"2026-01-05T09:08:00.000Z","to":"2026-01-05T09:20:00.000Z","lines":[{"rule":"failure-burst","level":"medium","count":30},{"rule":"new-address","level":"low","count":7}],"others":3,"over":0,"groups":[{"group":"user=ana","count":20},{"group":"user=<!channel>","count":4}]}}"#);
    }

    #[test]
    fn an_alert_for_machines_is_its_own_line() {
        let message = samples::changed(|alert| alert.title = "a\u{202e}b\u{7f}c".to_owned());
        let line = json(&message);
        assert!(line.contains(r#""title":"a\u202eb\u007fc""#), "{line}");
        let Content::Alert(alert) = &message.content else { unreachable!() };
        assert_eq!(serde_json::from_str::<Alert>(&line).unwrap(), **alert);
    }

    #[test]
    fn more_facts_than_a_person_reads_are_counted() {
        let message = samples::changed(|alert| {
            alert.values = (0..100).map(|n| (format!("v{n}"), Json::from(n))).collect();
        });
        let told = telling(&message);
        assert_eq!(told.facts.len(), MAX_FACTS + 1);
        assert_eq!(told.facts[MAX_FACTS].value.literal(), "72 more facts");
        assert_eq!(told.closing.len(), 2);
    }

    #[test]
    fn the_date_stands_again_where_it_is_another_one() {
        let at = |hour| samples::AT + Millis::hours(hour);
        let shown = |hour| instant(at(hour), chrono_tz::Asia::Shanghai).literal().to_owned();
        assert_eq!(shown(0), "2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)");
        assert_eq!(shown(8), "2026-01-05 17:08:00 UTC (2026-01-06 01:08:00 Asia/Shanghai)");
        let span = |from, to| span(at(from), at(to), chrono_tz::Asia::Shanghai).literal().to_owned();
        assert_eq!(span(0, 1), "2026-01-05 09:08:00 to 10:08:00 UTC (17:08:00 to 18:08:00 Asia/Shanghai)");
        assert_eq!(span(0, 8), format!("{} to {}", shown(0), shown(8)));
        assert_eq!(instant(Timestamp::MAX, chrono_tz::UTC).literal(), "9223372036854775807ms");
    }
}
