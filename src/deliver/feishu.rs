//! Feishu and Lark, through the robot of a group.
//!
//! Sent as `post`, whose text elements know no markup. The signature stands in the body: HMAC-SHA256
//! of nothing, with the time stamp and the secret as the key (not as DingTalk does it). A robot takes
//! 100 messages a minute and 5 a second.

use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::rule::keys::{MapDoc, Open};
use crate::rule::problem::Problems;

use super::robot::{self, Meaning, Robot, Tongue};
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying};

/// The kind.
pub const KIND: Kind = Kind {
    name: "feishu",
    keys: &KEYS,
    example: "{name: duty-feishu, kind: feishu, url: env:ROBOT_URL, secret: env:ROBOT_SECRET}",
    transport: Transport { per_minute: 80, burst: 4 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `feishu`",
    about: "a group of Feishu or Lark, through its robot",
    open: Open::Closed,
    keys: &[robot::URL, robot::SECRET, TIMEOUT, ALLOW_PRIVATE],
};

/// Bytes of all lines together; a body may have 20 KB.
const MAX_TEXT: usize = 12_000;
/// Bytes that a line costs besides its text.
const LINE: usize = 32;

/// How long a robot is left alone once it had too much.
const THROTTLED: Millis = Millis::secs(60);

static TONGUE: Tongue = Tongue {
    code: &["code", "StatusCode"],
    codes: &[
        (11_232, Meaning::Busy(THROTTLED)),
        (99_991_400, Meaning::Busy(THROTTLED)),
        // The robot is gone, the signature or our clock is wrong, our address or the word is not allowed.
        (19_001, Meaning::Unwelcome),
        (19_021, Meaning::Unwelcome),
        (19_022, Meaning::Unwelcome),
        (19_024, Meaning::Unwelcome),
        (9_499, Meaning::Malformed),
        (19_002, Meaning::Malformed),
    ],
};

#[derive(Debug)]
struct Feishu(Robot);

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    Some(Box::new(Feishu(Robot::open(options, secrets, problems)?)))
}

impl Receiver for Feishu {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let endpoint = &self.0.endpoint;
            let body = self.payload(message).to_string();
            match endpoint.post(body, HeaderMap::new(), message.now).await {
                Ok(answer) => TONGUE.judge(endpoint, &answer, message),
                Err(attempt) => attempt,
            }
        })
    }
}

impl Feishu {
    fn payload(&self, message: &Message) -> Json {
        let mut lines = robot::lines(message, MAX_TEXT, LINE);
        let mut payload = if message.plain {
            json!({"msg_type": "text", "content": {"text": lines.join("\n")}})
        } else {
            let title = lines.remove(0);
            let line = |text: String| json!([{"tag": "text", "text": text}]);
            let content: Vec<Json> = lines.into_iter().map(line).collect();
            let post = json!({"zh_cn": {"title": title, "content": content}});
            json!({"msg_type": "post", "content": {"post": post}})
        };
        if let (Some(secret), Some(map)) = (&self.0.secret, payload.as_object_mut()) {
            let now = message.now.0.div_euclid(1_000).to_string();
            let sign = robot::mac(&format!("{now}\n{}", secret.expose_secret()), "");
            map.insert("timestamp".to_owned(), now.into());
            map.insert("sign".to_owned(), sign.into());
        }
        payload
    }
}
