//! Headers that the other side asks for. What may be a secret is named by its place.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Options, Secrets};
use crate::rule::keys::{MapDoc, Open};
use crate::rule::problem::Problems;

/// `headers:`
pub static HEADERS: MapDoc = MapDoc {
    name: "`headers`",
    about: "headers to send, and the value of each: text, or a secret's place",
    open: Open::Secrets,
    keys: &[],
};

/// Headers of one receiver.
const MAX_HEADERS: usize = 20;

/// Names that the connection, the body or the signature decide.
const FORBIDDEN: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Parts of names whose values are secrets.
const SECRETIVE: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];

/// The headers under `headers`, and the secrets among their values. None after a fault.
pub fn read(
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<(HeaderMap, Vec<SecretString>)> {
    let (mut headers, mut hidden) = (HeaderMap::new(), Vec::new());
    if !options.has("headers") {
        return Some((headers, hidden));
    }
    let map = options.map(problems, "headers", &HEADERS)?;
    let before = problems.errors();
    for entry in map.rest() {
        let (key, at) = (entry.key.text.as_str(), entry.key.span);
        let lower = key.to_ascii_lowercase();
        let Ok(name) = HeaderName::try_from(&lower) else {
            let hint = "write letters, digits and `-`";
            problems.error_hint(at, format!("`{key}` is no name of a header"), hint);
            continue;
        };
        if FORBIDDEN.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            let message =
                format!("`{key}` is not to be chosen: the connection, the body or the signature say it");
            problems.error_hint(at, message, "take it out");
            continue;
        }
        let Some(text) =
            entry.value.scalar().map(|scalar| scalar.text.trim()).filter(|text| !text.is_empty())
        else {
            let message = format!("header `{key}` takes a text, or a secret's place");
            problems.error_hint(entry.value.span, message, format!("write `{key}: env:NAME`"));
            continue;
        };
        let referred = text.starts_with("env:") || text.starts_with("file:");
        let value = if referred || SECRETIVE.iter().any(|part| lower.contains(part)) {
            match secrets.read(text) {
                Ok(secret) => secret,
                Err(error) => {
                    problems.error_hint(entry.value.span, error.to_string(), error.way_out());
                    continue;
                }
            }
        } else {
            SecretString::from(text)
        };
        let Ok(mut sent) = HeaderValue::from_str(value.expose_secret()) else {
            let message = format!("the value of `{key}` can stand in no header");
            problems.error_hint(entry.value.span, message, "it is ASCII on one line");
            continue;
        };
        sent.set_sensitive(referred);
        if headers.insert(name, sent).is_some() {
            problems.error_hint(at, format!("header `{key}` stands twice"), "keep one of them");
        }
        if referred {
            hidden.push(value);
        }
    }
    if headers.len() > MAX_HEADERS {
        let message = format!("`headers` has more than {MAX_HEADERS} of them");
        options.fault(problems, "headers", message, "take some out");
    }
    (problems.errors() == before).then_some((headers, hidden))
}
