//! What the endpoints have in common: what is asked, of which service, and how it is spelt.

use crate::record::scan::Endpoint;
use crate::record::{Millis, Timestamp};

/// One list endpoint.
#[derive(Debug)]
pub(super) struct Api {
    pub endpoint: Endpoint,
    pub service: Service,
    /// The IAM action that it needs, named where it is refused.
    pub action: &'static str,
    /// What the times of its window are rounded to.
    pub resolution: Millis,
    /// The key of the total in an answer.
    pub total: &'static str,
    /// The key of the rows in an answer.
    pub rows: &'static str,
    /// True where it is read unless the configuration says what is.
    pub by_default: bool,
    /// Keys of its rows that are left out: they say another thing at each reading though nothing
    /// happened, so that every row would be amended without end.
    pub restless: &'static [&'static str],
    /// What its rows may hold, by the names of the vocabulary, as documented.
    pub fields: &'static [&'static str],
    /// The request for a page.
    pub call: fn(&str, &Ask) -> Call,
}

/// Which of the vendor's two services: each has a host name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Workspace,
    WorkspaceApp,
}

/// A page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// The window, on the endpoint's resolution.
    pub from: Timestamp,
    pub to: Timestamp,
    pub offset: u64,
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: String,
}

impl Call {
    /// The same, asked by `filters` besides: in the body where there is one, else in the query.
    pub fn narrowed(mut self, filters: &[(String, String)]) -> Self {
        if filters.is_empty() {
            return self;
        }
        match (self.method, serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.body)) {
            (Method::Post, Ok(mut body)) => {
                body.extend(filters.iter().map(|(name, value)| (name.clone(), value.clone().into())));
                self.body = serde_json::Value::Object(body).to_string();
            }
            (Method::Get | Method::Post, _) => self.query.extend_from_slice(filters),
        }
        self
    }
}

/// The part of a list's query that pages it.
pub(super) fn page_query(ask: &Ask) -> Vec<(String, String)> {
    vec![("limit".to_owned(), ask.limit.to_string()), ("offset".to_owned(), ask.offset.to_string())]
}

/// `2016-08-20T21:11Z`
pub(super) fn minute(at: Timestamp) -> String {
    spelt(at, 16)
}

/// `2023-06-05T03:34:43Z`
pub(super) fn second(at: Timestamp) -> String {
    spelt(at, 19)
}

/// `2024-02-27T03:47:51.182Z`
pub(super) fn milli(at: Timestamp) -> String {
    spelt(at, 23)
}

fn spelt(at: Timestamp, len: usize) -> String {
    let mut text = at.to_string();
    text.truncate(len);
    text.push('Z');
    text
}

/// How `X-Sdk-Date` spells a moment: `20261120T183000Z`.
pub(super) fn basic(at: Timestamp) -> String {
    second(at).chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
