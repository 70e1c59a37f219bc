//! A body as the other side wants it: a template whose every value is written as JSON.
//!
//! A value brings its own quotes, so that no string of a record can end the string that it stands
//! in. What comes out must be JSON; that it is, samples of every kind of message tell when the
//! configuration loads. Templates include nothing and call nothing.

use std::io;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, filters};
use serde_json::{Map, Value as Json};

use crate::alert::Alert;
use crate::config::Options;
use crate::deliver::{Content, Message, fit, render};
use crate::record::{Millis, Timestamp};
use crate::route::{DeliveryId, Digest};
use crate::rule::problem::Problems;
use crate::rule::suggest::nearest;

/// Bytes of a body.
const MAX_BODY: usize = 1 << 20;
/// Instructions of one rendering.
const FUEL: u64 = 100_000;
/// The template's name in its own environment.
const NAME: &str = "body";
/// What a template may name.
pub(super) const NAMES: [&str; 9] =
    ["kind", "delivery", "headline", "text", "line", "alert", "digest", "probe", "watchdog"];
/// What some of them hold, of what has a shape of its own.
const WITHIN: [(&str, &[&str]); 4] = [
    (
        "alert",
        &[
            "id",
            "revision",
            "state",
            "rule",
            "rule_revision",
            "tenant",
            "level",
            "title",
            "at",
            "group",
            "count",
            "repeats",
            "first_seen",
            "last_seen",
            "window",
            "threshold",
            "actual",
            "values",
            "show",
            "attack",
            "tags",
            "late",
            "standing",
            "observe",
            "held_by",
            "released",
            "notify",
            "why_level",
            "runbook",
            "evidence",
            "generation",
            "versions",
            "minimal",
        ],
    ),
    ("digest", &["id", "count", "repeated", "because", "from", "to", "lines", "others", "over", "groups"]),
    ("probe", &["id", "from"]),
    ("watchdog", &["id", "from", "every"]),
];

/// An alert as it could be; its title ends a string where anything could.
const SAMPLE: &str = r#"{"id":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","revision":1,"state":"open","rule":"sample",
"rule_revision":"0202020202020202","tenant":"default","level":"high","title":"a \"title\" \\ {{ 1 }}",
"at":"2026-01-05T09:08:00.000Z","group":{"user":"ana"},"count":5,"repeats":0,"first_seen":"2026-01-05T09:00:00.000Z",
"last_seen":"2026-01-05T09:08:00.000Z","window":{"from":"2026-01-05T08:58:00.000Z","to":"2026-01-05T09:08:00.000Z"},
"threshold":{},"actual":{},"values":{},"show":{},"attack":[],"tags":[],"late":false,"standing":false,
"why_level":"rule","evidence":{"first":[],"last":[]},"generation":"00"}"#;

/// A template that is known to give JSON.
#[derive(Debug)]
pub struct Body {
    environment: Environment<'static>,
}

impl Body {
    /// The template under `body`.
    pub fn compile(options: &Options<'_>, problems: &mut Problems) -> Option<Self> {
        let text = options.text(problems, "body")?;
        let mut environment = environment();
        if let Err(error) = environment.add_template_owned(NAME, text) {
            let told = error.detail().unwrap_or("syntax error").replace('\'', "`");
            options.fault(problems, "body", format!("the template has a fault: {told}"), HINT);
            return None;
        }
        let names = environment.get_template(NAME).ok()?.undeclared_variables(true);
        if let Some((fault, hint)) = unknown(names) {
            options.fault(problems, "body", fault, hint);
            return None;
        }
        let body = Self { environment };
        for message in samples() {
            if let Err(fault) = body.render(&message) {
                options.fault(problems, "body", fault, HINT);
                return None;
            }
        }
        Some(body)
    }

    /// The body of a message, on one line; or why there is none, quoting no value.
    pub fn render(&self, message: &Message) -> Result<String, String> {
        let fault = |error: Error| {
            format!("the template cannot be rendered: {}", error.detail().unwrap_or("it asks for too much"))
        };
        let template = self.environment.get_template(NAME).map_err(fault)?;
        let mut page = Page::default();
        let done = template.render_captured_to(Value::from(Serde(&context(message))), &mut page).map(drop);
        if page.full {
            return Err(format!("the template gives more than {MAX_BODY} bytes"));
        }
        done.map_err(fault)?;
        let json = serde_json::from_slice::<Json>(&page.bytes);
        let json = json.map_err(|error| format!("the template gives no JSON: {}", place(&error)))?;
        Ok(render::safe(&json.to_string()))
    }
}

/// The first of `names`, such as `alert.rule`, that no message has, and what may be meant.
fn unknown(names: impl IntoIterator<Item = String>) -> Option<(String, String)> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names.iter().find_map(|whole| {
        let mut parts = whole.split('.');
        let (name, part) = (parts.next().unwrap_or_default(), parts.next());
        let within = WITHIN.into_iter().find(|(of, _)| *of == name).map(|(_, known)| known);
        let (before, asked, known) = match (part.zip(within), NAMES.contains(&name)) {
            (_, false) => (String::new(), name, &NAMES[..]),
            (Some((part, known)), true) => (format!("{name}."), part, known),
            (None, true) => return None,
        };
        if known.contains(&asked) {
            return None;
        }
        let near =
            nearest(asked, known.iter().copied()).map(|near| format!("did you mean `{before}{near}`?"));
        let hint = near.unwrap_or_else(|| format!("there are {}", known.join(", ")));
        Some((format!("no value `{before}{asked}` in a message"), hint))
    })
}

/// Where JSON ended being JSON, in the template's lines.
fn place(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "it ends too soon" } else { "there is a fault" };
    format!("{what} at line {}, column {} of what it gives", error.line(), error.column())
}

/// The way out of every fault.
const HINT: &str = "write JSON with values without quotes of their own: `{\"text\": {{ headline }}}`, and \
                    `{{ \"Larum: \" ~ headline }}` to join texts";

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("join", filters::join);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("upper", filters::upper);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(16);
    // A digest has no `alert`: null.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_formatter(write);
    environment
}

/// Writes one value as JSON, whatever it is.
fn write(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    let text = if value.is_undefined() { Ok("null".to_owned()) } else { serde_json::to_string(value) };
    out.write_str(text.as_deref().unwrap_or("null")).map_err(Error::from)
}

/// What a template may name.
fn context(message: &Message) -> Map<String, Json> {
    let told = render::telling(message);
    let lines: Vec<String> = fit::lines(&told).map(|line| line.literal().to_owned()).collect();
    let kind = match &message.content {
        Content::Alert(_) => "alert",
        Content::Digest(_) => "digest",
        Content::Probe => "probe",
        Content::Watchdog(_) => "watchdog",
    };
    let line = render::one_line(message);
    let text = if message.plain { line.literal().to_owned() } else { lines.join("\n") };
    let mut context = Map::new();
    for (name, value) in [
        ("kind", kind.to_owned()),
        ("delivery", message.id.to_string()),
        ("headline", told.headline.literal().to_owned()),
        ("text", text),
        ("line", line.literal().to_owned()),
    ] {
        context.insert(name.to_owned(), value.into());
    }
    let whole = serde_json::from_str::<Json>(&render::json(message)).unwrap_or_default();
    match (&message.content, whole) {
        (Content::Alert(_), whole) => {
            context.insert("alert".to_owned(), whole);
        }
        (Content::Digest(_) | Content::Probe | Content::Watchdog(_), Json::Object(whole)) => {
            context.extend(whole);
        }
        (Content::Digest(_) | Content::Probe | Content::Watchdog(_), _) => {}
    }
    context
}

/// A message of every kind.
fn samples() -> Vec<Message> {
    let now = Timestamp(0);
    let digest = Digest { groups: vec![("user=\"ana\"".to_owned(), 1)], ..Digest::of(&[], "limit") };
    let alert = serde_json::from_str::<Alert>(SAMPLE).ok().map(|alert| Content::Alert(alert.into()));
    let contents = alert.into_iter().chain([
        Content::Digest(digest.into()),
        Content::Probe,
        Content::Watchdog(Millis::hours(24)),
    ]);
    let message = |content, plain| Message {
        id: DeliveryId([0; 16]),
        content,
        plain,
        thread: None,
        zone: chrono_tz::UTC,
        now,
    };
    contents.flat_map(|content| [false, true].map(|plain| message(content.clone(), plain))).collect()
}

/// Takes bytes up to a bound, and remembers whether there were more.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_BODY {
            self.full = true;
            return Err(io::Error::other("the body is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_all_there() {
        assert_eq!(samples().len(), 8, "the alert reads back");
    }

    #[test]
    fn every_name_that_a_message_has_may_be_asked_for() {
        for message in samples() {
            for (name, value) in context(&message) {
                assert!(NAMES.contains(&name.as_str()), "{name}");
                let within = WITHIN.into_iter().find(|(of, _)| *of == name).map(|(_, known)| known);
                for part in value.as_object().into_iter().flat_map(Map::keys) {
                    assert!(within.is_some_and(|known| known.contains(&part.as_str())), "{name}.{part}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_an_alert_does_not_have_is_refused_with_the_nearest() {
        let fault = |text: &str| {
            let mut environment = environment();
            environment.add_template(NAME, text).unwrap();
            let names = environment.get_template(NAME).unwrap().undeclared_variables(true);
            unknown(names).map(|(fault, hint)| format!("{fault}; {hint}"))
        };
        for (text, told) in [
            ("{{ alert.rulle }}", "no value `alert.rulle` in a message; did you mean `alert.rule`?"),
            ("{{ digest.cuont }}", "no value `digest.cuont` in a message; did you mean `digest.count`?"),
            ("{{ alrt.rule }}", "no value `alrt` in a message; did you mean `alert`?"),
            ("{{ watchdog.ever }}", "no value `watchdog.ever` in a message; did you mean `watchdog.every`?"),
        ] {
            assert_eq!(fault(text).as_deref(), Some(told), "{text}");
        }
        for fine in [
            "{{ alert.group.user }}",
            "{{ alert.values.anything.at_all }}",
            "{{ alert.runbook }}",
            "{{ alert.held_by }}",
            "{{ watchdog.every }}",
            "{{ probe.id }}",
            "{% for line in digest.lines %}{{ line.rule }}{% endfor %}",
            "{{ alert.title }}",
        ] {
            assert_eq!(fault(fine), None, "{fine}");
        }
    }
}
