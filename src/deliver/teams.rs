//! Microsoft Teams, through a flow of Workflows that posts an adaptive card.
//!
//! What records said stands only in the runs of a `RichTextBlock`, which know no Markdown; there is no
//! list of mentions. An answer of 202 says that the flow was started, not that it posted: nobody is
//! told when it did not. Addresses of the connectors that Workflows replaced are refused when the
//! configuration loads.

use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};

use crate::config::{Options, Secrets};
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, need};
use crate::rule::problem::Problems;

use super::fit::Room;
use super::http::{Answer, Endpoint};
use super::render::{self, Fact, Telling};
use super::shown::{Shown, card};
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "teams",
    keys: &KEYS,
    example: "{name: soc-teams, kind: teams, url: env:TEAMS_URL}",
    transport: Transport { per_minute: 60, burst: 4 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `teams`",
    about: "a channel of Microsoft Teams, through a flow of Workflows",
    open: Open::Closed,
    keys: &[
        need("url", Takes::Secret, "the flow's address, which is a secret", "url: env:TEAMS_URL"),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// Bytes of all lines, their markup included; a message may have about 28 KB.
const MAX_CARD: usize = 22_000;
/// Bytes that a line costs besides its text.
const LINE: usize = 200;

/// Hosts of the connectors that are no more.
const RETIRED: [&str; 3] = ["webhook.office.com", "outlook.office.com", "outlook.office365.com"];

/// Codes of a refusal that is about the flow, not about the message.
const UNWELCOME: [&str; 5] = [
    "WorkflowTriggerIsNotEnabled",
    "WorkflowNotFound",
    "WorkflowDisabled",
    "DirectApiAuthorizationRequired",
    "AuthorizationFailed",
];

#[derive(Debug)]
struct Teams {
    endpoint: Endpoint,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    let endpoint = Endpoint::open(options, secrets, problems, timeout, true)?;
    let of = |host: &&str| {
        endpoint.host().strip_suffix(host).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if RETIRED.iter().any(of) {
        options.fault(
            problems,
            "url",
            "`url` is that of an Office 365 connector, which Microsoft has retired",
            "in Teams, add the workflow that posts to a channel when a webhook request is received, and \
             take its address",
        );
        return None;
    }
    Some(Box::new(Teams { endpoint }))
}

impl Receiver for Teams {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let body = payload(message).to_string();
            match self.endpoint.post(body, HeaderMap::new(), message.now).await {
                Ok(answer) => self.judge(&answer),
                Err(attempt) => attempt,
            }
        })
    }
}

impl Teams {
    fn judge(&self, answer: &Answer) -> Attempt {
        let reason = self.endpoint.says(answer);
        let inner = answer.body.split_once("returned HTTP error ").map(|(_, rest)| rest);
        // What stands between may answer 200 and put what Teams said into the text.
        if answer.status.is_success()
            && let Some(inner) = inner
        {
            return if inner.starts_with("429") {
                Attempt::TryAgain { wait: answer.wait, everyone: true, reason }
            } else if inner.starts_with("413") || inner.starts_with("400") {
                Attempt::Malformed { reason }
            } else {
                Attempt::TryAgain { wait: answer.wait, everyone: false, reason }
            };
        }
        let json = serde_json::from_str::<Json>(&answer.body).ok();
        let code = json.as_ref().and_then(|json| json.get("error")?.get("code")?.as_str());
        if code.is_some_and(|code| UNWELCOME.contains(&code)) {
            return Attempt::Unwelcome { reason };
        }
        self.endpoint.judge(answer)
    }
}

/// What is posted: a message of one adaptive card.
fn payload(message: &Message) -> Json {
    let body = if message.plain {
        vec![block(&[run(&render::one_line(message).cut(500), false)], "Default")]
    } else {
        let room = Room { most: MAX_CARD, line: LINE, size: json_size };
        blocks(&room.fit(render::telling(message)))
    };
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "body": body,
        },
    }]})
}

fn blocks(told: &Telling) -> Vec<Json> {
    let mut headline = run(&told.headline, true);
    headline["size"] = "Medium".into();
    let mut blocks = vec![block(&[headline], "Default")];
    blocks.extend(told.lead.iter().map(|lead| block(&[run(lead, false)], "Small")));
    for (at, Fact { name, value, .. }) in told.facts.iter().chain(&told.closing).enumerate() {
        let name = name.clone().and(": ");
        blocks.push(block(&[run(&name, true), run(value, false)], if at == 0 { "Small" } else { "None" }));
    }
    blocks
}

fn block(runs: &[Json], spacing: &'static str) -> Json {
    json!({"type": "RichTextBlock", "spacing": spacing, "inlines": runs})
}

fn run(text: &Shown, bold: bool) -> Json {
    let mut run = json!({"type": "TextRun", "text": card(text)});
    if bold {
        run["weight"] = "Bolder".into();
    }
    run
}

/// Bytes that a piece of text has at most as a string of a card.
fn json_size(text: &str) -> usize {
    let size = |c| match c {
        '{' => 7,
        '"' | '\\' => 2,
        c => c.len_utf8(),
    };
    text.chars().map(size).sum()
}
