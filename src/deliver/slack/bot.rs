//! A bot of Slack: an alert is one message, and what becomes of it stands in that message's thread.
//!
//! The first message is edited so that the channel shows how the alert stands. Which message is an
//! alert's is its mark, which the store keeps with the delivery: a restart changes nothing. An edit is
//! for the eye: where it fails, what it would have said stands in the thread already.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;
use serde_json::Value as Json;

use super::{MALFORMED, UNWELCOME, asked, payload};
use crate::alert::{Alert, State};
use crate::config::{Options, Secrets};
use crate::deliver::http::{Answer, Endpoint};
use crate::deliver::{Content, Message, Receiver, Trying};
use crate::record::{Millis, Timestamp};
use crate::route::{Attempt, DeliveryId};
use crate::rule::problem::Problems;

/// Where methods are called.
const USUAL: &str = "https://slack.com/api";

/// Marks that nobody has asked for; past this the oldest is forgotten.
const MAX_MARKS: usize = 100;

/// Words of a refusal that pass by themselves.
const TROUBLE: [&str; 4] = ["fatal_error", "internal_error", "request_timeout", "service_unavailable"];
/// Words that say that there was too much.
const THROTTLED: [&str; 3] = ["ratelimited", "rate_limited", "message_limit_exceeded"];
/// Words that say that the message of a thread is no more.
const GONE: [&str; 3] = ["thread_not_found", "message_not_found", "cannot_reply_to_message"];

/// A bot in one channel.
#[derive(Debug)]
pub struct Bot {
    post: Endpoint,
    update: Endpoint,
    token: SecretString,
    channel: String,
    marks: Mutex<Marks>,
}

/// Messages that were taken just now, the oldest first.
#[derive(Debug, Default)]
struct Marks(VecDeque<(DeliveryId, Root)>);

/// A message that has a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    /// As Slack names the channel.
    channel: String,
    /// Its identity in the channel.
    ts: String,
}

impl Root {
    /// As the store keeps it.
    fn mark(&self) -> String {
        format!("{} {}", self.channel, self.ts)
    }

    fn of(mark: &str) -> Option<Self> {
        let (channel, ts) = mark.split_once(' ')?;
        Some(Self { channel: channel.to_owned(), ts: ts.to_owned() })
    }
}

impl Marks {
    fn take(&mut self, id: DeliveryId) -> Option<Root> {
        let place = self.0.iter().position(|(other, _)| *other == id)?;
        self.0.remove(place).map(|(_, root)| root)
    }

    fn keep(&mut self, id: DeliveryId, root: Root) {
        if self.0.len() >= MAX_MARKS {
            self.0.pop_front();
        }
        self.0.push_back((id, root));
    }
}

impl Bot {
    /// The bot that `token` and `channel` tell of.
    pub fn open(
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
    ) -> Option<Self> {
        let token = options.secret(problems, secrets, "token");
        if !options.has("channel") {
            let hint = "add `channel: C0123456789`, the id at the end of the channel's details";
            options.fault(problems, "token", "`token` stands without `channel`", hint);
            return None;
        }
        let channel = options.text(problems, "channel")?;
        let is_id = channel.starts_with(['C', 'G', 'D'])
            && (9..=20).contains(&channel.len())
            && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !is_id {
            let hint = "write the id at the end of the channel's details, such as C0123456789";
            options.fault(problems, "channel", format!("`{channel}` is no id of a channel"), hint);
            return None;
        }
        let token = token?;
        let api = Endpoint::open_at(("api", USUAL), options, secrets, problems, timeout)?.hiding(&token);
        let (post, update) = (api.clone().below("chat.postMessage"), api.below("chat.update"));
        Some(Self { post, update, token, channel, marks: Mutex::default() })
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, method: &Endpoint, body: &Json, now: Timestamp) -> Result<Answer, Attempt> {
        method.post(body.to_string(), Endpoint::bearer(&self.token), now).await
    }

    /// A message of its own.
    async fn post(&self, message: &Message) -> Attempt {
        let mut body = payload(message);
        body["channel"] = self.channel.as_str().into();
        let answer = match self.call(&self.post, &body, message.now).await {
            Ok(answer) => answer,
            Err(attempt) => return attempt,
        };
        let attempt = self.judge(&answer, message);
        if let (Attempt::Delivered, Content::Alert(alert)) = (&attempt, &message.content)
            && let Some(root) = root(&answer)
            && !is_over(alert)
        {
            self.marks().keep(message.id, root);
        }
        attempt
    }

    /// A message in the alert's thread, then the edit of its first message. None: there is no thread.
    async fn follow(&self, message: &Message, alert: &Alert, root: &Root) -> Option<Attempt> {
        let whole = payload(message);
        let mut reply = whole.clone();
        reply["channel"] = root.channel.as_str().into();
        reply["thread_ts"] = root.ts.as_str().into();
        // What is over is seen by the edit; what grows graver is to be seen by all.
        reply["reply_broadcast"] = (!is_over(alert)).into();
        let answer = match self.call(&self.post, &reply, message.now).await {
            Ok(answer) => answer,
            Err(attempt) => return Some(attempt),
        };
        if error(&answer).is_some_and(|word| GONE.contains(&word.as_str())) {
            return None;
        }
        let attempt = self.judge(&answer, message);
        if attempt == Attempt::Delivered {
            let mut edit = whole;
            edit["channel"] = root.channel.as_str().into();
            edit["ts"] = root.ts.as_str().into();
            let _ = self.call(&self.update, &edit, message.now).await;
        }
        Some(attempt)
    }

    fn judge(&self, answer: &Answer, message: &Message) -> Attempt {
        let reason = self.post.says(answer);
        let wait = asked(answer);
        let word = error(answer);
        let is_one_of = |words: &[&str]| word.as_ref().is_some_and(|word| words.contains(&word.as_str()));
        if answer.status.as_u16() == 429 || is_one_of(&THROTTLED) {
            return Attempt::TryAgain { wait, everyone: true, reason };
        }
        if !answer.status.is_success() {
            return self.post.judge(answer);
        }
        if is_taken(answer) {
            return Attempt::Delivered;
        }
        if !answer.whole {
            return Attempt::Unknown { reason: format!("the answer broke off: {reason}") };
        }
        if is_one_of(&TROUBLE) {
            Attempt::TryAgain { wait, everyone: false, reason }
        } else if is_one_of(&MALFORMED) {
            Attempt::Malformed { reason }
        } else if is_one_of(&UNWELCOME) || word.is_some() && message.plain {
            Attempt::Unwelcome { reason }
        } else if word.is_some() {
            // Nobody knows what it is about: less is tried, then whether anything is taken.
            Attempt::Malformed { reason }
        } else {
            let reason = format!("{reason}; Slack itself says `ok`");
            Attempt::TryAgain { wait, everyone: false, reason }
        }
    }
}

impl Receiver for Bot {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            if let Content::Alert(alert) = &message.content {
                let mark = message.thread.as_ref().and_then(|thread| thread.mark.as_deref());
                if let Some(root) = mark.and_then(Root::of)
                    && let Some(attempt) = self.follow(message, alert, &root).await
                {
                    return attempt;
                }
            }
            self.post(message).await
        })
    }

    fn mark(&self, delivery: DeliveryId) -> Option<String> {
        self.marks().take(delivery).map(|root| root.mark())
    }
}

fn is_over(alert: &Alert) -> bool {
    match alert.state {
        State::Open | State::Updated | State::Acknowledged => false,
        State::Closed | State::Resolved => true,
    }
}

fn json(answer: &Answer) -> Option<Json> {
    serde_json::from_str(&answer.body).ok()
}

fn is_taken(answer: &Answer) -> bool {
    json(answer).is_some_and(|json| json.get("ok") == Some(&Json::Bool(true)))
}

fn error(answer: &Answer) -> Option<String> {
    Some(json(answer)?.get("error")?.as_str()?.to_owned())
}

fn root(answer: &Answer) -> Option<Root> {
    let json = json(answer)?;
    let text = |name: &str| json.get(name)?.as_str().map(str::to_owned);
    Some(Root { channel: text("channel")?, ts: text("ts")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_once_and_kept_up_to_a_bound() {
        let mut marks = Marks::default();
        let id = |number: usize| DeliveryId((number as u128).to_be_bytes());
        let root = |ts: usize| Root { channel: "C1".to_owned(), ts: ts.to_string() };
        for number in 0..=MAX_MARKS {
            marks.keep(id(number), root(number));
        }
        assert_eq!((marks.0.len(), marks.take(id(0)), marks.take(id(1))), (MAX_MARKS, None, Some(root(1))));
        assert_eq!(marks.take(id(1)), None);
        assert_eq!(Root::of(&root(7).mark()), Some(root(7)));
    }
}
