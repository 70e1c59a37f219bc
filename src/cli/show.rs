//! Printing: data to stdout, all else to stderr, and nothing from a record reaches a terminal as
//! anything but plain text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use serde_json::Value as Json;

use crate::alert::{Alert, State};
use crate::config::DEFAULT_TENANT;
use crate::daemon::own::TENANT;
use crate::record::Timestamp;
use crate::rule::problem::deceives;
pub use crate::rule::problem::{safe, safe_path as path};
use crate::store::KeptAlert;

/// Values of a field that a line for people names.
const SHOWN_VALUES: usize = 5;

/// Characters of a value that a line for people shows; JSON has all of them.
const SHOWN_CHARACTERS: usize = 200;
/// Characters of the end of a sentence that has such a value.
const SHOWN_OF_END: usize = 80;

/// Facts that a line for people says elsewhere: the number of hits, a value that the title names.
const UNTOLD: [&str; 3] = ["count", "value", "known"];

/// The one zone in which a command shows times to people, that of the configuration; each says its
/// offset. JSON is in UTC whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times(pub chrono_tz::Tz);

impl Times {
    /// Where no configuration says another.
    pub const UTC: Self = Self(chrono_tz::Tz::UTC);

    /// `2026-01-05T09:08:00.000Z`, or `2026-01-05T17:08:00.000+08:00`.
    pub fn at(self, at: Timestamp) -> String {
        let there = chrono::DateTime::from_timestamp_millis(at.0).filter(|_| self != Self::UTC);
        there.map_or_else(
            || at.to_string(),
            |utc| utc.with_timezone(&self.0).format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        )
    }
}

/// Prints one line of data.
pub fn line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Prints `value` as one line of JSON. Characters that a terminal could take for more than text are
/// spelt `\uXXXX`, which every reader of JSON takes for the same.
pub fn json(value: &impl serde::Serialize) -> Result<(), super::Failure> {
    Ok(line(&json_text(value)?)?)
}

/// What [`json`] prints.
pub fn json_text(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    json_onto(value, &mut bytes)?;
    // JSON is written as text.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

/// JSON without space in which bytes are JSON text that is written already.
struct Verbatim;

impl serde_json::ser::Formatter for Verbatim {
    fn write_byte_array<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        value: &[u8],
    ) -> std::io::Result<()> {
        writer.write_all(value)
    }
}

/// The same behind what `text` holds. Bytes of `value` are JSON text, written as they are.
pub fn json_onto(value: &impl serde::Serialize, text: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = text.len();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *text, Verbatim))?;
    // All of it at once, which is sooner done than to stop at the first.
    let told = &text[start..];
    if !told.iter().fold(false, |found, byte| found | !(b' '..=b'~').contains(byte)) {
        return Ok(());
    }
    let mut safe = String::with_capacity(told.len());
    for c in String::from_utf8_lossy(told).chars() {
        if deceives(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    text.truncate(start);
    text.extend_from_slice(safe.as_bytes());
    Ok(())
}

/// Prints something that is no data.
pub fn note(text: &str) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints why a command could not run, with its causes.
pub fn failure(failure: &dyn std::error::Error) {
    let mut text = format!("error: {failure}");
    let mut cause = failure.source();
    while let Some(inner) = cause {
        let _ = write!(text, "\n  because: {inner}");
        cause = inner.source();
    }
    note(&text.split('\n').map(safe).collect::<Vec<_>>().join("\n"));
}

/// Whether stderr takes colours.
pub fn colour_on_stderr() -> bool {
    takes_colour(std::io::stderr().is_terminal())
}

/// Whether stdout takes colours.
pub fn colour_on_stdout() -> bool {
    takes_colour(std::io::stdout().is_terminal())
}

#[expect(clippy::disallowed_methods, reason = "NO_COLOR is the terminal user's wish (no-color.org)")]
fn takes_colour(terminal: bool) -> bool {
    terminal && std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

/// An alert for people: a headline and a line of facts.
pub fn alert<R>(alert: &Alert<R>, colour: bool, times: Times) -> String {
    let state = (alert.state != State::Open).then(|| alert.state.as_str().to_owned());
    told(alert, state, colour, times)
}

fn told<R>(alert: &Alert<R>, state: Option<String>, colour: bool, times: Times) -> String {
    let level = alert.level.as_str().to_uppercase();
    let (on, off) = if colour { (level_colour(alert), "\u{1b}[0m") } else { ("", "") };
    let mut text =
        format!("{}  {on}{level:<8}{off}  {}  {}", times.at(alert.at), alert.rule, safe(&alert.title));
    let mut facts: Vec<String> = Vec::from_iter(state);
    if !matches!(&*alert.tenant, DEFAULT_TENANT | TENANT) {
        facts.push(format!("tenant {}", safe(&alert.tenant)));
    }
    facts.extend(alert.group.iter().map(|(name, value)| format!("{} {}", safe(name), some(value))));
    facts.push(format!("{} hit{}", alert.count, if alert.count == 1 { "" } else { "s" }));
    facts.extend(
        alert
            .actual
            .iter()
            .filter(|(name, _)| !UNTOLD.contains(&name.as_str()))
            .map(|(name, value)| format!("{} {}", safe(name), each(value))),
    );
    let shown = alert.show.iter().filter(|(_, value)| **value != Json::Array(Vec::new()));
    facts.extend(shown.map(|(name, value)| format!("{} {}", safe(name), some(value))));
    if alert.late {
        facts.push("late".to_owned());
    }
    if alert.observe {
        facts.push("observed only".to_owned());
    }
    if !alert.held_by.is_empty() {
        let rules: Vec<&str> = alert.held_by.iter().map(crate::record::RuleId::as_str).collect();
        facts.push(format!("held back while {} has an open alert", rules.join(", ")));
    }
    facts.push(format!("id {}", &alert.id.to_string()[..8]));
    let _ = write!(text, "\n    {}", facts.join(" · "));
    text
}

fn level_colour<R>(alert: &Alert<R>) -> &'static str {
    use crate::record::Level;
    match alert.level {
        Level::Informational => "\u{1b}[2m",
        Level::Low => "\u{1b}[36m",
        Level::Medium => "\u{1b}[33m",
        Level::High | Level::Critical => "\u{1b}[31;1m",
    }
}

/// A value for people: text as it is, lists with commas; escaped.
pub fn plain(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => safe(text),
        Json::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => safe(&value.to_string()),
    }
}

/// The first values of a list, and how many more there are; each no longer than a line bears.
fn some(value: &Json) -> String {
    match value {
        Json::Array(items) if items.len() > SHOWN_VALUES => {
            let first: Vec<String> = items[..SHOWN_VALUES].iter().map(each).collect();
            format!("{} +{} more", first.join(", "), items.len() - SHOWN_VALUES)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
            each(value)
        }
    }
}

/// A value for people, and every value of a list, no longer than a line bears.
pub fn each(value: &Json) -> String {
    match value {
        Json::Array(items) => items.iter().map(each).collect::<Vec<_>>().join(", "),
        Json::String(text) => safe(&brief(text)),
        Json::Object(_) => safe(&brief(&value.to_string())),
        Json::Null | Json::Bool(_) | Json::Number(_) => plain(value),
    }
}

/// The begin of a long text, and that there is more.
fn brief(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// The begin and the end of a long sentence: it is a value in it that makes it so long.
pub fn squeezed(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().rev().nth(SHOWN_OF_END - 1);
    match (text.char_indices().nth(SHOWN_CHARACTERS), end) {
        (Some((begin, _)), Some((end, _))) if begin < end => {
            format!("{}…{}", &text[..begin], &text[end..]).into()
        }
        (Some(_) | None, Some(_) | None) => text.into(),
    }
}

/// `1 234 567`
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 rule`, `2 rules`, `2 deliveries`
pub fn many(count: usize, what: &str) -> String {
    many_of(count as u64, what)
}

/// The same of a count that is no length.
pub fn many_of(count: u64, what: &str) -> String {
    let many = thousands(count);
    match what.strip_suffix('y') {
        _ if count == 1 => format!("{many} {what}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{many} {stem}ies"),
        Some(_) | None => format!("{many} {what}s"),
    }
}

/// Rules that are named where there may be thousands of them.
const NAMED: usize = 3;

/// Some rules and what they do, in words: `verb` of one and of several.
pub fn who(rules: &[&str], verb: [&str; 2]) -> String {
    let (named, others) = rules.split_at(rules.len().min(NAMED));
    let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    let [one, several] = verb;
    format!("{}{more} {}", named.join(", "), if rules.len() == 1 { one } else { several })
}

/// Fields of a record that a line for people names, the weightiest first.
const TELLING: [&str; 14] = [
    "user",
    "user_name",
    "outcome",
    "failure_kind",
    "failed_code",
    "public_ip",
    "client_ip",
    "device",
    "client_type",
    "machine_name",
    "app_name",
    "network_rtt",
    "e2e_rtt",
    "session_state",
];

/// Fields of a record that a line for people names, at most.
const TOLD_FIELDS: usize = 9;

/// A record for people: when and what it was, the fields that the rule names under `own`, and what tells
/// most of the others. All of it stands under `--output json`.
pub fn record(record: &serde_json::Map<String, Json>, own: &[&str], times: Times) -> String {
    let text = |name: &str| record.get(name).and_then(Json::as_str);
    let at = if text("phase") == Some("end") { text("end_time") } else { None };
    let at = at.or_else(|| text("start_time")).or_else(|| text("update_time"));
    let mut words: Vec<String> =
        at.map(|at| Timestamp::parse(at).map_or_else(|| safe(at), |at| times.at(at))).into_iter().collect();
    words.extend(["kind", "service"].iter().filter_map(|name| text(name)).map(safe));
    words.extend(text("phase").filter(|phase| *phase != "start").map(safe));
    let mut told: Vec<&str> = Vec::new();
    for name in own.iter().copied().chain(TELLING) {
        // The account and its spelling are one where nothing is folded.
        let twice = name == "user_name" && record.get("user") == record.get("user_name");
        let empty = field(record, name).is_none_or(|value| value.is_null() || value.as_str() == Some(""));
        if told.len() < TOLD_FIELDS && !told.contains(&name) && !twice && !empty {
            told.push(name);
        }
    }
    words.extend(
        told.iter().filter_map(|name| Some(format!("{} {}", safe(name), each(field(record, name)?)))),
    );
    words.join(" · ")
}

/// The value of a field, which may stand in a map: `geo.country`.
fn field<'r>(record: &'r serde_json::Map<String, Json>, name: &str) -> Option<&'r Json> {
    record
        .get(name)
        .or_else(|| name.split_once('.').and_then(|(map, rest)| field(record.get(map)?.as_object()?, rest)))
}

/// A kept alert for people: when it fired, and where it is over or was taken, since when.
pub fn kept(kept: &KeptAlert, colour: bool, times: Times) -> String {
    let at = match &kept.acknowledged {
        Some((_, at)) if kept.now.state == State::Acknowledged => *at,
        Some(_) | None => kept.now.at,
    };
    let mut shown = kept.now.clone();
    shown.at = kept.fired.at;
    let since = (shown.state != State::Open).then(|| format!("{} at {}", shown.state.as_str(), times.at(at)));
    told(&shown, since, colour, times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Millis;
    use crate::route::sample;

    #[test]
    fn many_things_are_spelt_as_people_do() {
        let spelt =
            [(1, "delivery"), (2, "delivery"), (0, "row"), (1, "row"), (1, "try"), (3, "try"), (2, "key")];
        let spelt = spelt.map(|(count, what)| many(count, what));
        let meant = ["1 delivery", "2 deliveries", "0 rows", "1 row", "1 try", "3 tries", "2 keys"];
        assert_eq!(spelt, meant);
    }

    #[test]
    fn a_line_says_whose_alert_it_is_where_that_has_a_name() {
        let text =
            |tenant: &str| alert(&Alert { tenant: tenant.into(), ..sample::alert(1) }, false, Times::UTC);
        assert!(text("beta").contains("\n    tenant beta · user ana1 · "), "{}", text("beta"));
        for unnamed in [DEFAULT_TENANT, TENANT] {
            assert!(text(unnamed).contains("\n    user ana1 · "), "{}", text(unnamed));
        }
    }

    #[test]
    fn of_many_rules_a_few_are_named() {
        let hear = |rules: &[&str]| who(rules, ["hears", "hear"]);
        assert_eq!(hear(&["a"]), "a hears");
        assert_eq!(hear(&["a", "b"]), "a, b hear");
        assert_eq!(hear(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more hear");
    }

    #[test]
    fn a_closed_alert_stands_where_it_fired_and_says_when_it_closed() {
        let fired = sample::alert(1);
        let mut now = Alert { revision: 2, state: State::Closed, ..fired.clone() };
        now.at = fired.at + Millis::mins(10);
        let (began, ended) = (fired.at, now.at);
        let text = kept(&KeptAlert { fired, now, acknowledged: None }, false, Times::UTC);
        assert!(text.starts_with(&format!("{began}  MEDIUM")), "{text}");
        assert!(text.contains(&format!("\n    closed at {ended} · user ana1")), "{text}");
    }

    #[test]
    fn times_are_shown_in_one_zone_and_say_which() {
        let at = Timestamp(1_767_604_080_123);
        assert_eq!(Times::UTC.at(at), "2026-01-05T09:08:00.123Z");
        assert_eq!(Times(chrono_tz::Asia::Shanghai).at(at), "2026-01-05T17:08:00.123+08:00");
        assert_eq!(Times(chrono_tz::Asia::Shanghai).at(Timestamp::MAX), Timestamp::MAX.to_string());
        assert_eq!(Timestamp::parse(&Times(chrono_tz::Asia::Shanghai).at(at)), Some(at), "and are read back");
    }

    #[test]
    fn a_long_value_is_shown_by_its_begin() {
        let long = "é".repeat(SHOWN_CHARACTERS);
        assert_eq!(brief(&long), long);
        assert_eq!(brief(&format!("{long}x")), format!("{long}…"));
        assert_eq!(
            squeezed(&format!("{long}{}", "x".repeat(SHOWN_OF_END))),
            format!("{long}{}", "x".repeat(SHOWN_OF_END))
        );
        let sentence = format!("it is `{long}x`, and so was {}", "y".repeat(SHOWN_OF_END));
        let begin: String = sentence.chars().take(SHOWN_CHARACTERS).collect();
        assert_eq!(squeezed(&sentence), format!("{begin}…{}", "y".repeat(SHOWN_OF_END)));
        let list = serde_json::json!([long, format!("{long}x")]);
        assert_eq!(each(&list), format!("{long}, {long}…"));
    }

    #[test]
    fn a_record_is_shown_by_what_tells_most_of_it() {
        let row = serde_json::json!({
            "id": "1", "kind": "login", "phase": "start", "start_time": "2026-01-05T09:08:00.000Z", "user": "ana",
            "user_name": "ana", "outcome": "failure", "failed_code": "6005", "client_version": "x\u{1b}",
            "geo": {"country": "NO"}, "public_ip": "", "device": null,
        });
        let shown = record(row.as_object().unwrap(), &["geo.country", "client_version"], Times::UTC);
        let meant = "2026-01-05T09:08:00.000Z · login · geo.country NO · client_version x\\u{1b} · user ana · outcome failure · failed_code 6005";
        assert_eq!(shown, meant);
    }
}
