//! Alerts as JSON to an HTTP endpoint, signed as the Standard Webhooks specification 1.0 has it.
//!
//! `webhook-id` is the delivery's, the same at every try, so that the other side can drop repeats;
//! the time stamp and with it the signature are of the try. Without a secret nothing is signed; with
//! two, each signs, so that the other side can change from one to the other at its leisure.

mod body;
mod headers;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::config::{Options, Secrets};
use crate::record::Timestamp;
use crate::route::{Attempt, DeliveryId};
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;

use body::Body;

use super::http::Endpoint;
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, render, timeout};

/// The kind.
pub const KIND: Kind = Kind {
    name: "webhook",
    keys: &KEYS,
    example: "{name: siem, kind: webhook, url: https://siem.example/hook, secret: env:HOOK_SECRET}",
    transport: Transport { per_minute: 600, burst: 20 },
    human: false,
    ends: true,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `webhook`",
    about: "JSON to an HTTP endpoint, signed as Standard Webhooks has it",
    open: Open::Closed,
    keys: &[
        need(
            "url",
            Takes::Or(&Takes::Text, &Takes::Secret),
            "where to, https://; or the secret's place",
            "url: https://siem.example/hook",
        ),
        may(
            "secret",
            Takes::Secret,
            "signs each message; `whsec_…` or plain text",
            "secret: env:HOOK_SECRET",
        ),
        may(
            "previous_secret",
            Takes::Secret,
            "signs each message as well, while the other side changes to `secret`",
            "previous_secret: env:HOOK_SECRET_OLD",
        ),
        may(
            "headers",
            Takes::Map(&headers::HEADERS),
            "headers to send; a secret is named by its place",
            "headers: {Authorization: env:HOOK_TOKEN}",
        ),
        may(
            "body",
            Takes::Template,
            "a template of JSON; each value brings its own quotes. Names: kind, delivery, headline, text, line, alert, digest, probe, watchdog",
            "body: '{\"text\": {{ headline }}}'",
        ),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

#[derive(Debug)]
struct Webhook {
    endpoint: Endpoint,
    /// The first is the one to stay.
    keys: Vec<Key>,
    headers: HeaderMap,
    /// None: the message as it is told to machines.
    body: Option<Body>,
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let timeout = timeout(options, problems);
    let endpoint = Endpoint::open(options, secrets, problems, timeout, false);
    let keys = keys(options, secrets, problems);
    let headers = headers::read(options, secrets, problems);
    let body = if options.has("body") { Some(Body::compile(options, problems)?) } else { None };
    let (headers, hidden) = headers?;
    let endpoint = hidden.iter().fold(endpoint?, Endpoint::hiding);
    Some(Box::new(Webhook { endpoint, keys: keys?, headers, body }))
}

/// The keys of `secret` and `previous_secret`. None after a fault.
fn keys(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Vec<Key>> {
    let mut keys = Vec::new();
    for name in ["secret", "previous_secret"].into_iter().filter(|name| options.has(name)) {
        let secret = options.secret(problems, secrets, name)?;
        let key = Key::of(&secret);
        if key.is_none() {
            let hint = "after `whsec_` stands Base64; a secret without it is taken as it is";
            options.fault(problems, name, "the secret begins with `whsec_` and is no Base64", hint);
        }
        keys.push(key?);
    }
    if options.has("previous_secret") && !options.has("secret") {
        let hint = "write it as `secret`, or add the new one";
        options.fault(problems, "previous_secret", "`previous_secret` stands without `secret`", hint);
        return None;
    }
    Some(keys)
}

impl Receiver for Webhook {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let body = match self.body.as_ref().map(|body| body.render(message)) {
                None => render::json(message),
                Some(Ok(body)) => body,
                Some(Err(reason)) => return Attempt::Malformed { reason },
            };
            let mut headers = self.headers.clone();
            headers.extend(signed(&self.keys, message.id, message.now, &body));
            match self.endpoint.post(body, headers, message.now).await {
                Ok(answer) => self.endpoint.judge(&answer),
                Err(attempt) => attempt,
            }
        })
    }
}

/// The key that signs.
#[derive(Debug)]
struct Key(SecretSlice<u8>);

impl Key {
    /// The bytes after `whsec_` in Base64, or those of the secret itself.
    fn of(secret: &SecretString) -> Option<Self> {
        let text = secret.expose_secret();
        let bytes = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty())?,
            None => text.as_bytes().to_vec(),
        };
        Some(Self(bytes.into()))
    }

    /// `v1,` and the HMAC-SHA256 of `id.timestamp.body` in Base64.
    fn sign(&self, id: &str, seconds: &str, body: &str) -> String {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.0.expose_secret());
        let tag = ring::hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

/// Identity, time, and a signature of each key.
fn signed(keys: &[Key], id: DeliveryId, now: Timestamp, body: &str) -> HeaderMap {
    let (id, seconds) = (id.to_string(), now.0.div_euclid(1_000).to_string());
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(&id, &seconds, body)).collect();
    let signature = (!signatures.is_empty()).then(|| signatures.join(" "));
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("webhook-id", Some(id)), ("webhook-timestamp", Some(seconds)), ("webhook-signature", signature)]
    {
        // Digits and Base64: they are a header's value always.
        if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the specification's reference libraries.
        let key = Key::of(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_base64_after_its_prefix_and_plain_without() {
        assert!(Key::of(&"whsec_%%%".into()).is_none());
        assert!(Key::of(&"whsec_".into()).is_none());
        let key = Key::of(&"plain secret".into()).unwrap();
        assert_eq!(key.0.expose_secret(), b"plain secret");
        assert!(!format!("{key:?}").contains("112"), "{key:?}");
    }

    #[test]
    fn the_reference_lists_the_names_that_a_template_may_use() {
        let about = KEYS.keys.iter().find(|key| key.name == "body").unwrap().about;
        assert!(about.ends_with(&body::NAMES.join(", ")), "{about}");
    }
}
