//! One request over HTTP: signed, sent, its answer read to a bounded end.
//!
//! Knows nothing of what an answer means. No redirect is followed: a signature is for one host. The
//! length of a request is measured here, so that the service's clock is not taken for later than it
//! is.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::api::{Call, Method, basic};
use super::sign::{self, canonical_query};
use super::trouble::{Answer, Redactor, http_date, retry_after};
use crate::record::{Millis, Timestamp};

/// Longest body that is read.
const MAX_BODY: usize = 16 << 20;
/// Longest to reach a host.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest for an answer: the gateway gives its backend 30 s.
const TIMEOUT: Duration = Duration::from_mins(1);
const AGENT: &str = concat!("larum/", env!("CARGO_PKG_VERSION"));

/// Who asks.
#[derive(Clone)]
pub(super) enum Credentials {
    /// An access key; a temporary one comes with a security token.
    Key { access: String, secret: SecretString, security_token: Option<SecretString> },
    /// A token of IAM.
    Token(SecretString),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key { .. } => f.write_str("Key(***)"),
            Self::Token(_) => f.write_str("Token(***)"),
        }
    }
}

impl Credentials {
    /// What no answer may be shown with.
    pub fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::Key { secret, security_token, .. } => {
                security_token.iter().chain([secret]).cloned().collect()
            }
            Self::Token(token) => vec![token.clone()],
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody there, or the connection broke.
    Unreachable(String),
    /// The body does not end where it should.
    Giant,
}

/// Sends requests of one project.
#[derive(Debug)]
pub(super) struct Requests {
    client: Client,
    credentials: Credentials,
    pub project_id: String,
    pub redactor: Redactor,
}

impl Requests {
    /// None, and why, where the machine has no roots of trust.
    pub fn new(credentials: Credentials, project_id: String) -> Result<Self, String> {
        // Whoever comes first installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            .user_agent(AGENT)
            .build()
            .map_err(|error| chain(&error))?;
        let redactor = Redactor::new(credentials.secrets());
        Ok(Self { client, credentials, project_id, redactor })
    }

    /// Asks `base` at `signed_at` and reads the answer; with how long that took.
    pub async fn send(
        &self,
        base: &Url,
        call: &Call,
        signed_at: Timestamp,
    ) -> (Result<Answer, Silence>, Millis) {
        let begun = Instant::now();
        let answer = self.exchange(base, call, signed_at).await;
        let took = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        (answer, Millis(took))
    }

    async fn exchange(&self, base: &Url, call: &Call, signed_at: Timestamp) -> Result<Answer, Silence> {
        let unreachable = |error: reqwest::Error| {
            // The address may be long and says nothing new.
            Silence::Unreachable(self.redactor.clean(&chain(&error.without_url())))
        };
        let path = format!("{}{}", base.path().trim_end_matches('/'), call.path);
        let query = canonical_query(&call.query);
        let headers = self.headers(base, &path, &query, call, signed_at);
        let headers =
            headers.ok_or_else(|| Silence::Unreachable("a credential is no header value".to_owned()))?;
        let mut url = base.clone();
        url.set_path(&path);
        url.set_query(Some(&query));
        let request = match call.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url).body(call.body.clone()),
        };
        let mut response = request.headers(headers).send().await.map_err(unreachable)?;
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header(DATE).and_then(http_date);
        let wait = header(RETRY_AFTER).and_then(|value| retry_after(value, date));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Silence::Giant);
            }
            body.extend_from_slice(&chunk);
        }
        // A name in another coding is shown as such; it must not hide the rows beside it.
        let body = match String::from_utf8(body) {
            Ok(body) => body,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(Answer { status, date, retry_after: wait, body })
    }

    fn headers(&self, base: &Url, path: &str, query: &str, call: &Call, at: Timestamp) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        map.insert("x-project-id", plain(&self.project_id)?);
        match &self.credentials {
            Credentials::Token(token) => {
                map.insert("x-auth-token", hidden(token.expose_secret())?);
            }
            Credentials::Key { access, secret, security_token } => {
                let (host, date) = (host_of(base), basic(at));
                let mut headers = vec![
                    ("content-type", "application/json"),
                    ("host", host.as_str()),
                    ("x-project-id", self.project_id.as_str()),
                    ("x-sdk-date", date.as_str()),
                ];
                if let Some(token) = security_token {
                    headers.push(("x-security-token", token.expose_secret()));
                    map.insert("x-security-token", hidden(token.expose_secret())?);
                }
                let body = call.body.as_bytes();
                let request =
                    sign::Request { method: call.method.as_str(), path, query, headers: &headers, body };
                let signed = sign::sign(&request, secret);
                map.insert("x-sdk-date", plain(&date)?);
                map.insert("authorization", hidden(&signed.authorization(access))?);
            }
        }
        Some(map)
    }
}

fn plain(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(value).ok()
}

fn hidden(value: &str) -> Option<HeaderValue> {
    let mut value = plain(value)?;
    value.set_sensitive(true);
    Some(value)
}

/// What the `Host` header says: the port only where it is not the usual one.
pub(super) fn host_of(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
