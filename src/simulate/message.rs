//! Requests and answers as values, before there is a socket.

use serde_json::Value;

use crate::record::Millis;

use super::operation::Service;
use super::signature;

/// A request as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// In capitals.
    pub method: &'r str,
    /// Path and query, still encoded.
    pub target: &'r str,
    /// Names in any case.
    pub headers: &'r [(String, String)],
    /// Of up to [`MAX_BODY`](super::MAX_BODY) bytes.
    pub body: &'r [u8],
    /// True where it comes from this machine: only then the control paths are there.
    pub local: bool,
    /// Which service's host it came to; none where both are one.
    pub host: Option<Service>,
}

impl<'r> Request<'r> {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&'r str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Without the query.
    pub fn path(&self) -> &'r str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query's pairs, decoded, as they came.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (signature::decode(key, true), signature::decode(value, true)))
            .collect()
    }

    /// True where the body is JSON by its own word, or says nothing.
    pub fn is_json(&self) -> bool {
        let kind = self.header("content-type").and_then(|kind| kind.split(';').next());
        kind.is_none_or(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Further headers; `Date` and `X-Request-Id` are always among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// It is held back for so long.
    pub delay: Millis,
    /// The connection breaks after so many bytes, the head included.
    pub cut_after: Option<u64>,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, headers: Vec::new(), body, delay: Millis::ZERO, cut_after: None }
    }

    /// JSON, with the vendor's spelling of the content type.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json;charset=UTF-8", body.to_string().into_bytes())
    }

    /// A file.
    pub fn bytes(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self::new(status, content_type, body)
    }

    /// A word or two.
    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain", body.as_bytes().to_vec())
    }

    /// A page for people.
    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html", body.as_bytes().to_vec())
    }
}
