//! What the robots of group chats share: DingTalk, Feishu and WeCom.
//!
//! A robot answers 200 whatever it did; whether it took a message says a code in the body. Codes that
//! are not known are judged as those of a message in its full form, then of everything: nothing is
//! dropped for a code's sake. Text is literal but for mentions, which [`chat`] takes out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value as Json;

use crate::config::{Options, Secrets};
use crate::record::Millis;
use crate::route::Attempt;
use crate::rule::keys::{KeyDoc, Takes, may, need};
use crate::rule::problem::Problems;

use super::fit::{self, Room};
use super::http::{Answer, Endpoint};
use super::shown::{chat, chat_size};
use super::{Message, render, timeout};

/// The robot's address.
pub const URL: KeyDoc =
    need("url", Takes::Secret, "the robot's address, which is a secret", "url: env:ROBOT_URL");

/// What signs.
pub const SECRET: KeyDoc =
    may("secret", Takes::Secret, "what the robot gave to sign messages with", "secret: env:ROBOT_SECRET");

/// UTF-16 units of a message in its minimal form.
const MAX_PLAIN: usize = 500;

/// A robot of a chat.
#[derive(Debug)]
pub struct Robot {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What signs, where it asks for that.
    pub secret: Option<SecretString>,
}

impl Robot {
    /// The robot that `url` and `secret` tell of.
    pub fn open(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let timeout = timeout(options, problems);
        let endpoint = Endpoint::open(options, secrets, problems, timeout, true);
        let secret =
            if options.has("secret") { Some(options.secret(problems, secrets, "secret")?) } else { None };
        let endpoint = match &secret {
            Some(secret) => endpoint?.hiding(secret),
            None => endpoint?,
        };
        Some(Self { endpoint, secret })
    }
}

/// The message on lines that fit into `bytes` of JSON, each costing `line` more, mentions taken out.
pub fn lines(message: &Message, bytes: usize, line: usize) -> Vec<String> {
    if message.plain {
        return vec![chat(&render::one_line(message).cut(MAX_PLAIN))];
    }
    let room = Room { most: bytes, line: line + 3, size: chat_size };
    fit::lines(&room.fit(render::telling(message))).map(|line| chat(&line)).collect()
}

/// HMAC-SHA256 in Base64.
pub fn mac(key: &str, text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}

/// What a robot's code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It had too much: nobody is to send so long.
    Busy(Millis),
    /// Its own trouble.
    Trouble,
    /// A smaller or simpler message may pass.
    Malformed,
    /// About the robot, the signature or where we are: maybe all messages.
    Unwelcome,
}

/// How a robot answers.
#[derive(Debug)]
pub struct Tongue {
    /// Names of the code in an answer; the first that is there counts. Zero: it was taken.
    pub code: &'static [&'static str],
    /// What codes mean.
    pub codes: &'static [(i64, Meaning)],
}

impl Tongue {
    /// What an answer to `message` means.
    pub fn judge(&self, endpoint: &Endpoint, answer: &Answer, message: &Message) -> Attempt {
        let reason = endpoint.says(answer);
        let body = serde_json::from_str::<Json>(&answer.body).ok();
        let code = body.and_then(|body| self.code.iter().find_map(|name| body.get(name)?.as_i64()));
        let known = code.and_then(|code| self.codes.iter().find(|(known, _)| *known == code));
        if let Some((_, meaning)) = known {
            return match meaning {
                Meaning::Busy(least) => {
                    let wait = answer.wait.map_or(*least, |asked| asked.max(*least));
                    Attempt::TryAgain { wait: Some(wait), everyone: true, reason }
                }
                Meaning::Trouble => Attempt::TryAgain { wait: answer.wait, everyone: false, reason },
                Meaning::Malformed => Attempt::Malformed { reason },
                Meaning::Unwelcome => Attempt::Unwelcome { reason },
            };
        }
        if !answer.status.is_success() {
            return endpoint.judge(answer);
        }
        match code {
            Some(0) => Attempt::Delivered,
            // Nobody knows what it is about: less is tried, then whether anything is taken.
            Some(_) if message.plain => Attempt::Unwelcome { reason },
            Some(_) => Attempt::Malformed { reason },
            None if !answer.whole => Attempt::Unknown { reason: format!("the answer broke off: {reason}") },
            None => {
                let reason = format!("{reason}; the robot itself gives a code");
                Attempt::TryAgain { wait: answer.wait, everyone: false, reason }
            }
        }
    }
}
