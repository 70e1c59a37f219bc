//! DingTalk, through the robot of a group.
//!
//! Sent as `text`, which knows no markup. The signature stands in the query: HMAC-SHA256 of the
//! time stamp and the secret, with the secret as the key. A robot may ask for a word in every message
//! instead. It takes 20 messages a minute; over that it takes none for ten minutes.

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::rule::keys::{MapDoc, Open, Takes, may};
use crate::rule::problem::Problems;

use super::robot::{self, Meaning, Robot, Tongue};
use super::shown::{Shown, chat};
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying};

/// The kind.
pub const KIND: Kind = Kind {
    name: "dingtalk",
    keys: &KEYS,
    example: "{name: duty-dingtalk, kind: dingtalk, url: env:ROBOT_URL, secret: env:ROBOT_SECRET}",
    // With the burst below 20 in any minute.
    transport: Transport { per_minute: 16, burst: 3 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `dingtalk`",
    about: "a group of DingTalk, through its robot",
    open: Open::Closed,
    keys: &[
        robot::URL,
        robot::SECRET,
        may("keyword", Takes::Text, "a word that the robot asks for in every message", "keyword: Larum"),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// Bytes of the text. The hard limit is about 20,000; who sends much less is never refused.
const MAX_TEXT: usize = 5_000;

/// How long a robot takes nothing once it had too much.
const THROTTLED: Millis = Millis::mins(10);

static TONGUE: Tongue = Tongue {
    code: &["errcode"],
    codes: &[
        (-1, Meaning::Trouble),
        (130_101, Meaning::Busy(THROTTLED)),
        (410_100, Meaning::Busy(THROTTLED)),
        // Signature, word or address: which one says the text.
        (310_000, Meaning::Unwelcome),
        (300_001, Meaning::Unwelcome),
        (400_013, Meaning::Unwelcome),
        (400_101, Meaning::Unwelcome),
        (400_102, Meaning::Unwelcome),
        // Links or words that a filter refuses: the minimal form has fewer.
        (430_101, Meaning::Malformed),
        (430_102, Meaning::Malformed),
        (430_103, Meaning::Malformed),
        (430_104, Meaning::Malformed),
        (460_101, Meaning::Malformed),
        (40_035, Meaning::Malformed),
        (43_004, Meaning::Malformed),
    ],
};

#[derive(Debug)]
struct DingTalk {
    robot: Robot,
    keyword: Option<Shown>,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let keyword = if options.has("keyword") { Some(options.text(problems, "keyword")?) } else { None };
    let keyword = keyword.map(|word| Shown::raw(&word).cut(64));
    Some(Box::new(DingTalk { robot: Robot::open(options, secrets, problems)?, keyword }))
}

impl Receiver for DingTalk {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let endpoint = &self.robot.endpoint;
            let body = self.payload(message).to_string();
            let query = self.signature(message);
            let query: Vec<(&str, &str)> =
                query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            match endpoint.post_with(&query, body, HeaderMap::new(), message.now).await {
                Ok(answer) => TONGUE.judge(endpoint, &answer, message),
                Err(attempt) => attempt,
            }
        })
    }
}

impl DingTalk {
    fn payload(&self, message: &Message) -> serde_json::Value {
        let mut lines = robot::lines(message, MAX_TEXT, 0);
        lines.extend(self.keyword.as_ref().map(chat));
        json!({"msgtype": "text", "text": {"content": lines.join("\n")}, "at": {"isAtAll": false}})
    }

    /// What the query holds besides the robot's token.
    fn signature(&self, message: &Message) -> Vec<(&'static str, String)> {
        let Some(secret) = &self.robot.secret else { return Vec::new() };
        let (secret, now) = (secret.expose_secret(), message.now.0.to_string());
        let sign = robot::mac(secret, &format!("{now}\n{secret}"));
        vec![("timestamp", now), ("sign", sign)]
    }
}
