//! Slack, through an incoming webhook or as a bot, as Block Kit.
//!
//! What records said stands only where Slack takes text literally: in `plain_text` and in the text
//! elements of `rich_text`, which know no markup, mention or link. The one field that is parsed, the
//! `text` that notifications show, is written by the encoder of `shown`. The webhook's address, or the
//! bot's token, is the secret.

mod bot;

use bot::Bot;
use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};

use super::http::{Answer, Endpoint, seconds_to_wait};
use super::render::{self, Fact};
use super::shown::{Shown, mrkdwn};
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, timeout};
use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, may};
use crate::rule::problem::Problems;

/// The kind.
pub const KIND: Kind = Kind {
    name: "slack",
    keys: &KEYS,
    example: "{name: soc-slack, kind: slack, url: env:SLACK_URL}",
    transport: Transport { per_minute: 60, burst: 3 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `slack`",
    about: "a channel of Slack, through an incoming webhook or as a bot, which keeps an alert in one thread",
    open: Open::Closed,
    keys: &[
        may("url", Takes::Secret, "the incoming webhook's address, which is a secret", "url: env:SLACK_URL"),
        may(
            "token",
            Takes::Secret,
            "a bot's token with the scope `chat:write`, instead of `url`",
            "token: env:SLACK_TOKEN",
        ),
        may("channel", Takes::Text, "the channel's id, of which the bot is a member", "channel: C0123456789"),
        may(
            "api",
            Takes::Text,
            "where the bot speaks to; https://slack.com/api unless told",
            "api: https://slack-gov.com/api",
        ),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// UTF-16 units of a header; Slack takes 150 characters.
const MAX_HEADER: usize = 150;
/// Units of one block's text; Slack takes 3000 characters.
const MAX_BLOCK: usize = 2_900;
/// Units of all facts together. Slack refuses blocks of about 13,000 characters in all, and takes 50
/// blocks: a header, four of this and the closing stay far below both.
const MAX_FACTS: usize = 9_000;
/// Units of the text that notifications show.
const MAX_TEXT: usize = 1_000;

/// An incoming webhook.
#[derive(Debug)]
struct Hook {
    endpoint: Endpoint,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    match (options.has("url"), options.has("token")) {
        (true, false) => {
            let mut fine = true;
            for key in ["channel", "api"].into_iter().filter(|key| options.has(key)) {
                let hint = format!("take `{key}` out, or write a `token` instead of `url`");
                options.fault(problems, key, "an incoming webhook has its channel already", hint);
                fine = false;
            }
            let endpoint = Endpoint::open(options, secrets, problems, timeout, true)?;
            fine.then(|| Box::new(Hook { endpoint }) as Box<dyn Receiver>)
        }
        (false, true) => Bot::open(options, secrets, problems, timeout).map(|bot| Box::new(bot) as _),
        (true, true) => {
            let hint = "keep `url`, an incoming webhook, or `token` and `channel`, a bot";
            options.fault(problems, "token", "`url` and `token` are two ways to Slack", hint);
            None
        }
        (false, false) => {
            let hint = "write `url: env:SLACK_URL`, or `token: env:SLACK_TOKEN` and `channel: C0123456789`";
            options.fault(problems, "url", "a receiver of kind `slack` needs `url`, or `token`", hint);
            None
        }
    }
}

impl Receiver for Hook {
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

/// Words of a refusal by which a smaller or simpler message may pass.
const MALFORMED: [&str; 14] = [
    "invalid_payload",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_attachments",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "missing_text_or_fallback_or_attachments",
    "too_many_attachments",
    "too_many_blocks",
    "invalid_json",
    "invalid_arguments",
    "block_mismatch",
    "too_many_members",
];

/// Words of a refusal that is about the hook, not about the message.
const UNWELCOME: [&str; 24] = [
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_auth",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "not_in_channel",
    "posting_to_general_channel_denied",
    "team_disabled",
    "user_not_found",
    "token_revoked",
    "access_denied",
    "account_inactive",
    "as_user_not_supported",
    "ekm_access_denied",
    "is_archived",
    "missing_scope",
    "no_permission",
    "not_authed",
    "restricted_action",
    "token_expired",
];

/// The word that an answer's body is, or holds as `error`.
fn word(body: &str) -> String {
    let body = body.trim();
    let error = serde_json::from_str::<Json>(body)
        .ok()
        .and_then(|json| Some(json.get("error")?.as_str()?.to_owned()));
    error.unwrap_or_else(|| body.to_owned())
}

/// How long it asked to be left alone, in a header or in the body.
fn asked(answer: &Answer) -> Option<Millis> {
    let body = || serde_json::from_str::<Json>(&answer.body).ok()?.get("retry_after")?.as_f64();
    answer.wait.or_else(|| body().and_then(seconds_to_wait))
}

impl Hook {
    fn judge(&self, answer: &Answer) -> Attempt {
        let reason = self.endpoint.says(answer);
        if answer.status.is_success() && !answer.whole {
            return Attempt::Unknown { reason: format!("the answer broke off: {reason}") };
        }
        let word = word(&answer.body);
        let is_one_of = |words: &[&str]| words.contains(&word.as_str());
        if answer.status.as_u16() == 429 {
            return Attempt::TryAgain { wait: asked(answer), everyone: true, reason };
        }
        if answer.status.is_redirection() || answer.status.is_server_error() {
            return self.endpoint.judge(answer);
        }
        if is_one_of(&MALFORMED) {
            return Attempt::Malformed { reason };
        }
        if is_one_of(&UNWELCOME) {
            return Attempt::Unwelcome { reason };
        }
        if answer.status.is_success() && word != "ok" {
            // Something stands before Slack; what it took is not delivered.
            let reason = format!("{reason}; Slack itself says `ok`");
            return Attempt::TryAgain { wait: answer.wait, everyone: false, reason };
        }
        self.endpoint.judge(answer)
    }
}

/// What is posted.
fn payload(message: &Message) -> Json {
    let line = render::one_line(message);
    if message.plain {
        return without_markup(json!({"text": mrkdwn(&line.cut(MAX_TEXT))}));
    }
    let told = render::telling(message);
    let mut blocks = vec![json!({"type": "header", "text": {
        "type": "plain_text",
        "text": told.headline.cut(MAX_HEADER).literal(),
        "emoji": false,
    }})];
    let mut text = Lines::default();
    // A header is short; what it cut stands below it whole.
    if units(&told.headline) > MAX_HEADER {
        text.put(vec![plain(&told.headline)], units(&told.headline));
    }
    if let Some(lead) = &told.lead {
        text.put(vec![plain(lead)], units(lead));
    }
    let mut left = MAX_FACTS;
    for (count, fact) in told.facts.iter().enumerate() {
        let size = units(&fact.name) + units(&fact.value) + 3;
        if size > left {
            let more = Shown::ours(told.facts.len() - count).and(" more facts are not shown");
            text.put(vec![plain(&more)], units(&more));
            break;
        }
        left -= size;
        text.put_fact(fact, size);
    }
    for fact in &told.closing {
        text.put_fact(fact, units(&fact.name) + units(&fact.value) + 3);
    }
    blocks.extend(text.finish());
    without_markup(json!({"text": mrkdwn(&line.cut(MAX_TEXT)), "blocks": blocks}))
}

/// Says that nothing in `text` is a mention, a link or a picture.
fn without_markup(mut payload: Json) -> Json {
    if let Some(map) = payload.as_object_mut() {
        map.insert("parse".to_owned(), "none".into());
        for name in ["mrkdwn", "link_names", "unfurl_links", "unfurl_media"] {
            map.insert(name.to_owned(), false.into());
        }
    }
    payload
}

/// Lines of literal text in as many blocks as they need.
#[derive(Default)]
struct Lines {
    blocks: Vec<Vec<Json>>,
    filled: usize,
}

impl Lines {
    fn put_fact(&mut self, fact: &Fact, size: usize) {
        let name = fact.name.clone().and(": ");
        let name = json!({"type": "text", "text": name.literal(), "style": {"bold": true}});
        self.put(vec![name, plain(&fact.value)], size);
    }

    /// One line of `size` units, never parted.
    fn put(&mut self, mut line: Vec<Json>, size: usize) {
        if self.blocks.is_empty() || self.filled + size > MAX_BLOCK {
            self.blocks.push(Vec::new());
            self.filled = 0;
        }
        if let Some(block) = self.blocks.last_mut() {
            if !block.is_empty() {
                block.push(json!({"type": "text", "text": "\n"}));
            }
            block.append(&mut line);
        }
        self.filled += size;
    }

    fn finish(self) -> impl Iterator<Item = Json> {
        let section = |elements| json!({"type": "rich_text_section", "elements": elements});
        self.blocks.into_iter().map(move |block| json!({"type": "rich_text", "elements": [section(block)]}))
    }
}

fn plain(text: &Shown) -> Json {
    // An element without text is refused.
    let text = if text.is_empty() { "-" } else { text.literal() };
    json!({"type": "text", "text": text})
}

fn units(text: &Shown) -> usize {
    text.literal().encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// The texts of a payload as they are read.
    fn drawn(payload: &Json) -> String {
        let sections = payload["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|block| block["elements"][0]["elements"].as_array());
        sections.flatten().map(|element| element["text"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_alert_is_a_header_and_literal_text() {
        let payload = payload(&samples::alert());
        insta::assert_snapshot!(payload["blocks"][0].to_string(), @r#"{"type":"header","text":{"type":"plain_text","text":"[high] ana: 5 failed sign-ins in 10 minutes","emoji":false}}"#);
        insta::assert_snapshot!(payload["blocks"][1]["elements"][0]["elements"][0].to_string(), @r#"{"type":"text","text":"rule: ","style":{"bold":true}}"#);
        insta::assert_snapshot!(drawn(&payload), @r"
        rule: failure-burst
        user: ana
        count: 5
        asked: at_least 5
        found: count 5
        at: 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai)
        seen: 2026-01-05 09:00:00 to 09:08:00 UTC (17:00:00 to 17:08:00 Asia/Shanghai)
        window: 2026-01-05 08:58:00 to 09:08:00 UTC (16:58:00 to 17:08:00 Asia/Shanghai)
        public_ip: 192.0.2.9, 198.51.100.4
        level: high, as the rule says
        attack: T1110.001
        runbook: https://wiki.example/burst
        alert: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        see more: larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a
        ");
    }

    #[test]
    fn the_minimal_form_is_one_line() {
        let mut message = samples::changed(|alert| alert.title = "<!channel> a&b".to_owned());
        message.plain = true;
        insta::assert_snapshot!(payload(&message).to_string(), @r#"{"text":"[high] &lt;!channel&gt; a&amp;b · rule failure-burst · 2026-01-05 09:08:00 UTC (17:08:00 Asia/Shanghai) · larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","parse":"none","mrkdwn":false,"link_names":false,"unfurl_links":false,"unfurl_media":false}"#);
    }

    #[test]
    fn no_limit_is_exceeded_by_the_largest_alert() {
        for raw in ["\u{202e}".repeat(9_000), "x".repeat(9_000), "🦀".repeat(9_000)] {
            let message = samples::changed(|alert| {
                alert.title = raw.clone();
                alert.show = (0..60).map(|n| (format!("{n}{raw}"), json!([raw, raw, raw]))).collect();
            });
            let payload = payload(&message);
            let blocks = payload["blocks"].as_array().unwrap();
            assert!(blocks.len() <= 50);
            let mut total = 0;
            for block in blocks {
                let mut size = block["text"]["text"].as_str().map_or(0, |text| text.encode_utf16().count());
                assert!(size <= 150);
                for element in block["elements"][0]["elements"].as_array().into_iter().flatten() {
                    let text = element["text"].as_str().unwrap();
                    assert!(!text.is_empty());
                    size += text.encode_utf16().count();
                }
                assert!(size <= 3_000, "{size}");
                total += size;
            }
            assert!(total <= 12_000, "{total}");
            let text = payload.to_string();
            assert!(text.contains("more facts are not shown") && text.contains("larum alerts show"));
        }
    }
}
