//! WeCom, through the robot of a group.
//!
//! Sent as `text`, of at most 2,048 bytes, which knows no markup but mentions. There is no signature:
//! the address is the secret. A robot takes 20 messages a minute.

use reqwest::header::HeaderMap;
use serde_json::json;

use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::rule::keys::{MapDoc, Open};
use crate::rule::problem::Problems;

use super::http::Endpoint;
use super::robot::{self, Meaning, Tongue};
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "wecom",
    keys: &KEYS,
    example: "{name: duty-wecom, kind: wecom, url: env:ROBOT_URL}",
    // With the burst below 20 in any minute.
    transport: Transport { per_minute: 16, burst: 3 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `wecom`",
    about: "a group of WeCom, through its robot",
    open: Open::Closed,
    keys: &[robot::URL, TIMEOUT, ALLOW_PRIVATE],
};

/// Bytes of the text.
const MAX_TEXT: usize = 2_040;

/// How long a robot is left alone once it had too much.
const THROTTLED: Millis = Millis::secs(60);

static TONGUE: Tongue = Tongue {
    code: &["errcode"],
    codes: &[
        (-1, Meaning::Trouble),
        (45_009, Meaning::Busy(THROTTLED)),
        (45_033, Meaning::Busy(THROTTLED)),
        (93_000, Meaning::Unwelcome),
        (93_004, Meaning::Unwelcome),
        (93_008, Meaning::Unwelcome),
        (40_008, Meaning::Malformed),
        (40_058, Meaning::Malformed),
        (44_004, Meaning::Malformed),
        (45_002, Meaning::Malformed),
    ],
};

#[derive(Debug)]
struct WeCom(Endpoint);

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    Some(Box::new(WeCom(Endpoint::open(options, secrets, problems, timeout, true)?)))
}

impl Receiver for WeCom {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let endpoint = &self.0;
            let content = robot::lines(message, MAX_TEXT, 0).join("\n");
            let body = json!({"msgtype": "text", "text": {"content": content}}).to_string();
            match endpoint.post(body, HeaderMap::new(), message.now).await {
                Ok(answer) => TONGUE.judge(endpoint, &answer, message),
                Err(attempt) => attempt,
            }
        })
    }
}
