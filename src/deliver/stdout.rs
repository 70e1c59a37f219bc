//! Messages on standard output: one readable line each, or NDJSON.

use std::io::Write as _;

use crate::config::{Options, Secrets};
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, may};
use crate::rule::problem::Problems;

use super::render;
use super::{Kind, Message, Receiver, Transport, Trying};

/// The kind.
pub const KIND: Kind = Kind {
    name: "stdout",
    keys: &KEYS,
    example: "{name: console, kind: stdout, format: text}",
    transport: Transport { per_minute: 60_000, burst: 10_000 },
    human: false,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `stdout`",
    about: "standard output, one line a message",
    open: Open::Closed,
    keys: &[may(
        "format",
        Takes::Word(&["text", "ndjson", "json"]),
        "a line for people, or JSON (`json` is `ndjson`); `text` unless it stands",
        "format: ndjson",
    )],
};

/// How a message becomes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Ndjson,
}

#[derive(Debug)]
struct Stdout {
    format: Format,
}

fn build(options: &Options<'_>, _: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let format = match options.word(problems, "format") {
        Some("ndjson" | "json") => Format::Ndjson,
        None if options.has("format") => return None,
        Some(_) | None => Format::Text,
    };
    Some(Box::new(Stdout { format }))
}

impl Receiver for Stdout {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let line = line(message, self.format);
            // Whoever reads it may stop reading for a while; nobody else is to wait for that.
            let written = tokio::task::spawn_blocking(move || {
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()
            });
            let fault = match written.await {
                Ok(Ok(())) => return Attempt::Delivered,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let reason = format!("cannot write to standard output: {fault}");
            Attempt::TryAgain { wait: None, everyone: true, reason }
        })
    }
}

/// The message as one line, its end included.
pub fn line(message: &Message, format: Format) -> String {
    let mut line = match format {
        Format::Ndjson => render::json(message),
        Format::Text if message.plain => render::one_line(message).literal().to_owned(),
        Format::Text => {
            let told = render::telling(message);
            let lead = told.lead.iter().map(|lead| lead.literal().to_owned());
            let facts = told.facts.iter().chain(&told.closing).filter(|fact| fact.brief);
            let facts = facts.map(|fact| format!("{}: {}", fact.name.literal(), fact.value.literal()));
            let headline = told.headline.literal().to_owned();
            std::iter::once(headline).chain(lead).chain(facts).collect::<Vec<_>>().join(" · ")
        }
    };
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_message_is_one_readable_line() {
        insta::assert_snapshot!(line(&samples::alert(), Format::Text), @"[high] ana: 5 failed sign-ins in 10 minutes · rule: failure-burst · user: ana · count: 5 · asked: at_least 5 · found: count 5 · window: 2026-01-05 08:58:00 to 09:08:00 UTC (16:58:00 to 17:08:00 Asia/Shanghai) · public_ip: 192.0.2.9, 198.51.100.4 · see more: larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a");
        insta::assert_snapshot!(line(&samples::digest(), Format::Text), @"[medium] 40 alerts in one message · more came than this receiver is to be sent one by one · failure-burst: 30 × medium · new-address: 7 × low · other rules: 3 · mostly: user=ana (20), user=<!channel> (4) · between: 2026-01-05 09:08:00 to 09:20:00 UTC (17:08:00 to 17:20:00 Asia/Shanghai) · see more: larum alerts --since 2026-01-05T09:08:00.000Z");
        insta::assert_snapshot!(line(&samples::probe(), Format::Text), @"Larum asks whether messages arrive here. Nothing needs to be done.");
    }

    #[test]
    fn for_machines_it_is_the_line_of_the_alert() {
        assert_eq!(line(&samples::alert(), Format::Ndjson), format!("{}\n", render::json(&samples::alert())));
    }
}
