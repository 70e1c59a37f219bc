//! One request over HTTP: signed, sent, its answer read to a bounded end.
//!
//! Knows nothing of what an answer means. No redirect is followed: a signature is for one host. The
//! length of a request is measured here, so that the service's clock is not taken for later than it
//! is. A proxy of the environment is taken only where the configuration asks for it.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::api::{Call, Method, basic};
use super::credentials::{Credentials, Keeper, NoCredentials};
use super::sign::{self, canonical_query};
use super::trouble::{Answer, Redactor, http_date, retry_after};
use crate::config::Proxies;
use crate::record::{Millis, Timestamp};

/// Longest body that is read.
const MAX_BODY: usize = 16 << 20;
/// Longest to reach a host.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest for an answer: the gateway gives its backend 30 s.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Longest to reach the metadata service, and half of the longest for its answer.
const METADATA: Duration = Duration::from_secs(3);
const AGENT: &str = concat!("larum/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody there, or the connection broke.
    Unreachable(String),
    /// The body does not end where it should.
    Giant,
}

/// Two ways to the network: to the service, and to this machine's metadata service, past every proxy.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub service: Client,
    pub metadata: Client,
}

impl Http {
    /// None, and why, where the machine has no roots of trust.
    pub fn new(proxies: &Proxies) -> Result<Self, String> {
        // Whoever comes first installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || Client::builder().redirect(Policy::none()).user_agent(AGENT);
        let service = proxies.client(client()).connect_timeout(CONNECT).timeout(TIMEOUT).build();
        let metadata = client().connect_timeout(METADATA).timeout(2 * METADATA).no_proxy().build();
        Ok(Self {
            service: service.map_err(|error| chain(&error))?,
            metadata: metadata.map_err(|error| chain(&error))?,
        })
    }

    /// Sends a request and reads the answer to its bounded end.
    pub async fn read(
        &self,
        request: RequestBuilder,
        redactor: &Redactor,
    ) -> Result<(Answer, HeaderMap), Silence> {
        let (head, body) = self.bytes(request, redactor, MAX_BODY).await?;
        // A name in another coding is shown as such; it must not hide the rows beside it.
        let body = match String::from_utf8(body) {
            Ok(body) => body,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok((
            Answer { status: head.status, date: head.date, retry_after: head.retry_after, body },
            head.headers,
        ))
    }

    async fn bytes(
        &self,
        request: RequestBuilder,
        redactor: &Redactor,
        most: usize,
    ) -> Result<(Head, Vec<u8>), Silence> {
        let unreachable = |error: reqwest::Error| {
            // The address may be long and says nothing new.
            Silence::Unreachable(redactor.clean(&chain(&error.without_url())))
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header(DATE).and_then(http_date);
        let wait = header(RETRY_AFTER).and_then(|value| retry_after(value, date));
        let head = Head {
            status: response.status().as_u16(),
            date,
            retry_after: wait,
            headers: response.headers().clone(),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > most {
                return Err(Silence::Giant);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((head, body))
    }
}

/// What an answer says before its body.
#[derive(Debug)]
pub(super) struct Head {
    pub status: u16,
    pub date: Option<Timestamp>,
    pub retry_after: Option<Millis>,
    pub headers: HeaderMap,
}

/// Sends requests of one project.
#[derive(Debug)]
pub(super) struct Requests {
    http: Http,
    pub keeper: Keeper,
    /// Empty as long as nobody knows it.
    pub project_id: String,
    pub redactor: Redactor,
}

impl Requests {
    /// None, and why, where the machine has no roots of trust.
    pub fn new(keeper: Keeper, project_id: String, proxies: &Proxies) -> Result<Self, String> {
        let redactor = keeper.redactor();
        Ok(Self { http: Http::new(proxies)?, keeper, project_id, redactor })
    }

    /// Sees to it that somebody can ask.
    pub async fn renew(&mut self, now: Timestamp) -> Result<(), NoCredentials> {
        let renewed = self.keeper.renew(&self.http, now).await;
        self.redactor = self.keeper.redactor();
        renewed
    }

    /// Asks `base` at `signed_at` and reads the answer; with how long that took.
    pub async fn send(
        &self,
        base: &Url,
        call: &Call,
        signed_at: Timestamp,
    ) -> (Result<Answer, Silence>, Millis) {
        let begun = Instant::now();
        let answer = match self.request(base, call, signed_at) {
            Ok(request) => self.http.read(request, &self.redactor).await.map(|(answer, _)| answer),
            Err(silence) => Err(silence),
        };
        let took = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        (answer, Millis(took))
    }

    /// Asks for a file of at most `most` bytes.
    pub async fn download(
        &self,
        base: &Url,
        call: &Call,
        signed_at: Timestamp,
        most: usize,
    ) -> Result<(Head, Vec<u8>), Silence> {
        self.http.bytes(self.request(base, call, signed_at)?, &self.redactor, most).await
    }

    fn request(&self, base: &Url, call: &Call, signed_at: Timestamp) -> Result<RequestBuilder, Silence> {
        let path = format!("{}{}", base.path().trim_end_matches('/'), call.path);
        let query = canonical_query(&call.query);
        let headers = self.headers(base, &path, &query, call, signed_at);
        let headers =
            headers.ok_or_else(|| Silence::Unreachable("a credential is no header value".to_owned()))?;
        let mut url = base.clone();
        url.set_path(&path);
        url.set_query((!query.is_empty()).then_some(&query));
        let request = match call.method {
            Method::Get => self.http.service.get(url),
            Method::Post => self.http.service.post(url).body(call.body.clone()),
        };
        Ok(request.headers(headers))
    }

    fn headers(&self, base: &Url, path: &str, query: &str, call: &Call, at: Timestamp) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        if !self.project_id.is_empty() {
            map.insert("x-project-id", plain(&self.project_id)?);
        }
        match self.keeper.credentials()? {
            Credentials::Token(token) => {
                map.insert("x-auth-token", hidden(token.expose_secret())?);
            }
            Credentials::Key { access, secret, security_token } => {
                let (host, date) = (host_of(base), basic(at));
                let mut headers = vec![
                    ("content-type", "application/json"),
                    ("host", host.as_str()),
                    ("x-sdk-date", date.as_str()),
                ];
                if !self.project_id.is_empty() {
                    headers.push(("x-project-id", self.project_id.as_str()));
                }
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
