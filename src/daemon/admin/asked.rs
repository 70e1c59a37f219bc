//! What a caller asks for: a query or a body, read by hand, so that what is wrong with it is told in
//! plain words.
//!
//! A body is JSON whatever its `Content-Type` says, and none at all is an empty one: whoever holds the
//! token is not helped by a lecture on headers. A browser cannot be made to send it: see `guard`.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use reqwest::Url;
use serde_json::{Map, Value};

use super::pages::{Refused, bad, refused};
use crate::rule::suggest::nearest;

/// A body as it came.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// Keys and what they hold; none that is not known.
#[derive(Debug)]
pub(super) struct Asked(Map<String, Value>);

impl Asked {
    /// What stands behind the question mark.
    pub(super) fn query(text: Option<&str>, known: &[&str]) -> Result<Self, Refused> {
        let mut address = Url::parse("http://localhost/").map_err(|fault| wrong(&fault.to_string()))?;
        address.set_query(text);
        let pairs = address.query_pairs();
        Self::of(
            pairs.map(|(key, value)| (key.into_owned(), Value::from(value.into_owned()))).collect(),
            known,
        )
    }

    /// What stands in the body.
    pub(super) fn body(body: Body, known: &[&str]) -> Result<Self, Refused> {
        let bytes = body.map_err(|fault| match fault.status() {
            StatusCode::PAYLOAD_TOO_LARGE => refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
            code => refused(code, "the body broke off"),
        })?;
        if bytes.trim_ascii().is_empty() {
            return Self::of(Map::new(), known);
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Self::of(map, known),
            Ok(_) => Err(wrong(&format!("the body is no object of JSON: write {}", written(known)))),
            Err(fault) => Err(wrong(&format!(
                "the body is no JSON: there is a fault at line {}, column {}",
                fault.line(),
                fault.column()
            ))),
        }
    }

    fn of(map: Map<String, Value>, known: &[&str]) -> Result<Self, Refused> {
        let Some(strange) = map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(Self(map));
        };
        let shown: String = strange.chars().take(64).collect();
        let hint = match nearest(strange, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", known.join(", ")),
        };
        Err(wrong(&format!("unknown key `{shown}`; {hint}")))
    }

    /// The text under `key`; none where it does not stand or is null.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refused> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                Err(bad(key, &other.to_string(), "text in quotes"))
            }
        }
    }

    /// The text under `key`, written like `example`, which says something.
    pub(super) fn need(&mut self, key: &str, example: &str) -> Result<String, Refused> {
        let text = self.text(key)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| lacks(key, example))
    }

    /// The list of texts under `key`, written like `example`.
    pub(super) fn texts(&mut self, key: &str, example: &str) -> Result<Vec<String>, Refused> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        match self.0.remove(key) {
            None | Some(Value::Null) => Err(lacks(key, example)),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| text(item).ok_or_else(|| bad(key, &item.to_string(), "texts in quotes")))
                .collect(),
            Some(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))) => {
                Err(bad(key, &other.to_string(), &format!("a list: `{example}`")))
            }
        }
    }
}

fn lacks(key: &str, example: &str) -> Refused {
    wrong(&format!("`{key}` is missing: write `{{{example}, …}}`"))
}

fn wrong(words: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, words)
}

/// `{"by": "…"}`
fn written(known: &[&str]) -> String {
    let keys: Vec<String> = known.iter().map(|key| format!("\"{key}\": …")).collect();
    format!("`{{{}}}`", keys.join(", "))
}
