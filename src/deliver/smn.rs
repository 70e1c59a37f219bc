//! Simple Message Notification of Huawei Cloud: a topic, whose subscribers hear by mail, SMS, chat or
//! HTTP.
//!
//! Requests are signed with an access key (action `smn:topic:publish`). Subscribers to SMS are given
//! one short line without brackets, which operators of phones refuse; all others the whole. An answer
//! of 200 says that the message is kept, not that anybody has it.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};

use crate::config::{Options, Secrets};
use crate::record::Timestamp;
use crate::route::Attempt;
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;
use crate::sign;

use super::fit::{self, Room};
use super::http::{Answer, Endpoint};
use super::shown::phone;
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, render, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "smn",
    keys: &KEYS,
    example: "{name: duty-smn, kind: smn, \
              topic: \"urn:smn:ap-southeast-3:0123456789abcdef0123456789abcdef:alerts\", \
              credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}}",
    // A topic takes 3,000 a minute; over 1,000 mails or messages in ten minutes some may be lost.
    transport: Transport { per_minute: 90, burst: 10 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `smn`",
    about: "a topic of Huawei Cloud's Simple Message Notification",
    open: Open::Closed,
    keys: &[
        need(
            "topic",
            Takes::Text,
            "the topic's URN",
            "topic: \"urn:smn:ap-southeast-3:0123456789abcdef0123456789abcdef:alerts\"",
        ),
        need(
            "credentials",
            Takes::Map(&CREDENTIALS),
            "an access key that may publish: `smn:topic:publish`",
            "credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}",
        ),
        may(
            "url",
            Takes::Text,
            "a host other than the region's",
            "url: https://smn.ap-southeast-3.myhuaweicloud.com",
        ),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

static CREDENTIALS: MapDoc = MapDoc {
    name: "`credentials` of a receiver of kind `smn`",
    about: "an access key",
    open: Open::Closed,
    keys: &[
        need("ak", Takes::Secret, "the access key", "ak: env:HW_ACCESS_KEY"),
        need("sk", Takes::Secret, "its secret key", "sk: file:/run/credentials/larum/sk"),
        may(
            "security_token",
            Takes::Secret,
            "comes with a temporary access key",
            "security_token: env:HW_SECURITY_TOKEN",
        ),
    ],
};

/// Bytes of a subject.
const MAX_SUBJECT: usize = 500;
/// Bytes of a message to all but phones; 256 KB are taken, people read less.
const MAX_TEXT: usize = 20_000;
/// Characters of a message to a phone; 490 are taken.
const MAX_SMS: usize = 480;

#[derive(Debug)]
struct Smn {
    endpoint: Endpoint,
    access: SecretString,
    secret: SecretString,
    token: Option<SecretString>,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    let text = options.text(problems, "topic");
    let topic = text.as_deref().and_then(Topic::of);
    if let (Some(text), None) = (&text, &topic) {
        let hint = "write the topic's URN: `urn:smn:REGION:PROJECT_ID:NAME`";
        options.fault(problems, "topic", format!("`{text}` is no URN of a topic"), hint);
    }
    let map = options.map(problems, "credentials", &CREDENTIALS)?;
    let access = map.secret(problems, secrets, "ak");
    let secret = map.secret(problems, secrets, "sk");
    let token =
        if map.has("security_token") { Some(map.secret(problems, secrets, "security_token")?) } else { None };
    let topic = topic?;
    let usual = format!("https://smn.{}.myhuaweicloud.com", topic.region);
    let endpoint = Endpoint::open_at(("url", &usual), options, secrets, problems, timeout)?;
    let (access, secret) = (access?, secret?);
    let mut endpoint = endpoint.below(&topic.path()).hiding(&access).hiding(&secret);
    if let Some(token) = &token {
        endpoint = endpoint.hiding(token);
    }
    Some(Box::new(Smn { endpoint, access, secret, token }))
}

/// The parts of a topic's URN.
#[derive(Debug, PartialEq, Eq)]
struct Topic<'u> {
    urn: &'u str,
    region: &'u str,
    project: &'u str,
}

impl<'u> Topic<'u> {
    fn of(urn: &'u str) -> Option<Self> {
        let parts: Vec<&str> = urn.split(':').collect();
        let ["urn", "smn", region, project, name] = parts[..] else { return None };
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 255
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        [region, project, name].into_iter().all(plain).then_some(Self { urn, region, project })
    }

    fn path(&self) -> String {
        format!("v2/{}/notifications/topics/{}/publish", self.project, sign::escaped(self.urn))
    }
}

impl Receiver for Smn {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let body = payload(message).to_string();
            let headers = self.headers(&body, message.now);
            match self.endpoint.post(body, headers, message.now).await {
                Ok(answer) => self.judge(&answer),
                Err(attempt) => attempt,
            }
        })
    }
}

impl Smn {
    /// The date, and the signature over all that is sent.
    fn headers(&self, body: &str, now: Timestamp) -> HeaderMap {
        let (date, host) = (basic_date(now), self.endpoint.authority());
        let mut signed =
            vec![("Host", host.as_str()), (sign::DATE_HEADER, &date), ("Content-Type", "application/json")];
        if let Some(token) = &self.token {
            signed.push(("X-Security-Token", token.expose_secret()));
        }
        let path = self.endpoint.path();
        let request =
            sign::Request { method: "POST", path, query: "", headers: &signed, body: body.as_bytes() };
        let authorization = sign::sign(&request, &self.secret).authorization(self.access.expose_secret());
        let mut headers = HeaderMap::new();
        let rest = signed.into_iter().filter(|(name, _)| !matches!(*name, "Host" | "Content-Type"));
        for (name, value) in rest.chain([("Authorization", authorization.as_str())]) {
            let name = HeaderName::try_from(name).ok();
            if let (Some(name), Ok(mut value)) = (name, HeaderValue::try_from(value)) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }

    fn judge(&self, answer: &Answer) -> Attempt {
        let reason = self.endpoint.says(answer);
        let json = serde_json::from_str::<Json>(&answer.body).ok();
        let has = |name: &str| json.as_ref().is_some_and(|json| json.get(name).is_some());
        if answer.status.is_success() {
            return match (has("message_id"), answer.whole) {
                (true, _) => Attempt::Delivered,
                (false, false) => Attempt::Unknown { reason: format!("the answer broke off: {reason}") },
                (false, true) => {
                    let reason = format!("{reason}; the service itself gives a `message_id`");
                    Attempt::TryAgain { wait: answer.wait, everyone: false, reason }
                }
            };
        }
        // The gateway judges keys, signatures and clocks; it answers 400 to some of them.
        if answer.status.as_u16() == 400 && answer.body.contains("APIGW.") {
            return Attempt::Unwelcome { reason };
        }
        self.endpoint.judge(answer)
    }
}

fn payload(message: &Message) -> Json {
    let line = render::one_line(message);
    let sms = phone(&line.cut_by(MAX_SMS, |text| text.chars().count()));
    let subject = render::subject(message).cut_by(MAX_SUBJECT, str::len);
    let whole = if message.plain {
        line.cut(500).literal().to_owned()
    } else {
        let room = Room { most: MAX_TEXT, line: 3, size: str::len };
        let told = room.fit(render::telling(message));
        let lines: Vec<String> = fit::lines(&told).map(|line| line.literal().to_owned()).collect();
        lines.join("\n")
    };
    // One string of JSON within another, as the service wants it.
    let structure = json!({"default": whole, "sms": sms}).to_string();
    json!({"subject": subject.literal(), "message_structure": structure})
}

/// `20260105T090800Z`
fn basic_date(at: Timestamp) -> String {
    let text = at.to_string();
    let (text, _) = text.split_once('.').unwrap_or((&text, ""));
    let mut date: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    date.push('Z');
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_by_its_urn() {
        let urn = "urn:smn:ap-southeast-3:0123abc:soc-alerts";
        let topic = Topic::of(urn).unwrap();
        assert_eq!((topic.region, topic.project), ("ap-southeast-3", "0123abc"));
        assert_eq!(
            topic.path(),
            "v2/0123abc/notifications/topics/urn%3Asmn%3Aap-southeast-3%3A0123abc%3Asoc-alerts/publish"
        );
        for bad in ["", "alerts", "urn:smn:a:b", "urn:smn:a:b:c:d", "urn:smn:a/../x:b:c", "urn:smn::b:c"] {
            assert_eq!(Topic::of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_date_is_in_the_basic_form() {
        assert_eq!(basic_date(Timestamp(1_767_604_080_123)), "20260105T090800Z");
    }
}
