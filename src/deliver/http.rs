//! One POST to a receiver and what its answer means: the road of every receiver that speaks HTTP.
//!
//! No redirect is followed, no proxy is taken from the environment unless the configuration asks for it, nothing is decompressed; a name that
//! leads into this machine or its network is refused (see `guard`); of an answer at most [`MAX_ANSWER`]
//! is read. The address may be a secret and stands in no text.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Options, Secrets};
use crate::record::{Millis, Timestamp};
use crate::route::Attempt;
use crate::rule::problem::Problems;

use super::guard::Guard;
use super::reason::{Secretive, chain};

/// What Feishu calls `Retry-After`: seconds.
const RATE_LIMIT_RESET: &str = "x-ogw-ratelimit-reset";

/// Of an answer no more is read.
pub const MAX_ANSWER: usize = 64 << 10;

/// To a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Characters of an answer's body that a reason quotes.
const QUOTED: usize = 200;

/// Where messages are posted.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Client,
    url: Address,
    secretive: Secretive,
}

/// An address that is not printed but for its host.
#[derive(Clone)]
struct Address(Url);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}/***", self.0.scheme(), self.0.host_str().unwrap_or("?"))
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// How long it asked to be left alone.
    pub wait: Option<Millis>,
    /// The beginning of its body, broken text replaced.
    pub body: String,
    /// False where the body broke off.
    pub whole: bool,
    /// The host that a redirect names.
    location: Option<String>,
}

impl Endpoint {
    /// The address under `url`: https, or http to this machine. Where it is a `credential` it is named
    /// as a secret and never written there.
    pub fn open(
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
        credential: bool,
    ) -> Option<Self> {
        Self::open_key("url", options, secrets, problems, timeout, credential)
    }

    fn open_key(
        key: &str,
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
        credential: bool,
    ) -> Option<Self> {
        let text = options.text(problems, key)?;
        let referred = text.starts_with("env:") || text.starts_with("file:");
        let url = if referred || credential {
            let secret = options.secret(problems, secrets, key)?;
            // Where nothing is read there is no address to look at.
            if secrets.dry {
                "https://not-read.invalid/".to_owned()
            } else {
                secret.expose_secret().to_owned()
            }
        } else {
            text
        };
        match checked(&url) {
            Ok(url) => Self::to(url, timeout, Guard::read(options, problems).through(&secrets.proxies))
                .or_else(|| {
                    options.fault(
                        problems,
                        key,
                        "no client can be made for it",
                        "look at the system's certificates",
                    );
                    None
                }),
            Err((fault, hint)) => {
                options.fault(problems, key, format!("`{key}` {fault}"), hint);
                None
            }
        }
    }

    /// The address under a key where it stands, else the usual one, which is ours. Neither is a secret.
    pub fn open_at(
        (key, usual): (&str, &str),
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
    ) -> Option<Self> {
        if options.has(key) {
            return Self::open_key(key, options, secrets, problems, timeout, false);
        }
        Self::to(checked(usual).ok()?, timeout, Guard::read(options, problems).through(&secrets.proxies))
    }

    /// `Authorization: Bearer` with `token`; nothing where it can stand in no header.
    pub fn bearer(token: &SecretString) -> HeaderMap {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok();
        let mut headers = HeaderMap::new();
        if let Some(mut value) = value {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }

    /// The host that is posted to.
    pub fn host(&self) -> &str {
        self.url.0.host_str().unwrap_or_default()
    }

    /// The host with its port, as the header `Host` has it.
    pub fn authority(&self) -> String {
        self.url.0.authority().to_owned()
    }

    /// The same with `path` at its end: `a/b`, escaped.
    #[must_use]
    pub fn below(mut self, path: &str) -> Self {
        let whole = format!("{}/{path}", self.url.0.path().trim_end_matches('/'));
        self.url.0.set_path(&whole);
        self
    }

    /// The path, escaped.
    pub fn path(&self) -> &str {
        self.url.0.path()
    }

    pub(super) fn to(url: Url, timeout: Millis, guard: Guard) -> Option<Self> {
        let client = guard
            .proxies()
            .client(Client::builder())
            .tls_backend_preconfigured(super::tls::client()?)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(guard))
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .timeout(Duration::from_millis(timeout.0.unsigned_abs()))
            .user_agent(concat!("larum/", env!("CARGO_PKG_VERSION")))
            .build()
            .ok()?;
        let secretive = Secretive::default().with_url(&url);
        Some(Self { client, url: Address(url), secretive })
    }

    /// Keeps another secret out of every reason: it is sent, and an answer may repeat it.
    #[must_use]
    pub fn hiding(mut self, secret: &SecretString) -> Self {
        self.secretive = self.secretive.with_secret(secret);
        self
    }

    /// Posts a body of JSON. An error is the attempt that it makes.
    pub async fn post(&self, body: String, headers: HeaderMap, now: Timestamp) -> Result<Answer, Attempt> {
        self.post_to(self.url.0.clone(), body, headers, now).await
    }

    /// The same, with more in the query, which the address itself may begin.
    pub async fn post_with(
        &self,
        query: &[(&str, &str)],
        body: String,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<Answer, Attempt> {
        let mut url = self.url.0.clone();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.post_to(url, body, headers, now).await
    }

    async fn post_to(
        &self,
        url: Url,
        body: String,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<Answer, Attempt> {
        let request = self.client.post(url).headers(headers);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
        let response = request.body(body).send().await.map_err(|error| self.lost(error))?;
        Ok(read(response, now).await)
    }

    /// Calls the address without a body.
    pub async fn get(&self, now: Timestamp) -> Result<Answer, Attempt> {
        let response = self.client.get(self.url.0.clone()).send().await.map_err(|error| self.lost(error))?;
        Ok(read(response, now).await)
    }

    /// What came of a request without an answer.
    fn lost(&self, error: reqwest::Error) -> Attempt {
        let error = error.without_url();
        if error.is_connect() {
            let reason = self.secretive.reason(&format!("cannot connect: {}", chain(&error)));
            return Attempt::TryAgain { wait: None, everyone: true, reason };
        }
        let what = if error.is_timeout() { "no answer in time" } else { "the answer was lost" };
        Attempt::Unknown { reason: self.secretive.reason(&format!("{what}: {}", chain(&error))) }
    }

    /// What an answer means by its status.
    pub fn judge(&self, answer: &Answer) -> Attempt {
        let code = answer.status.as_u16();
        let reason = self.says(answer);
        match code {
            200..=299 => Attempt::Delivered,
            400 | 413 | 414 | 422 | 431 => Attempt::Malformed { reason },
            429 => Attempt::TryAgain { wait: answer.wait, everyone: true, reason },
            // Who says when to come back is overloaded, and not about this message.
            408 | 425 | 500..=599 => {
                Attempt::TryAgain { wait: answer.wait, everyone: answer.wait.is_some(), reason }
            }
            // Not allowed, gone, a redirect to a portal, a proxy's own words: a probe tells whether the body is meant.
            _ => Attempt::Unwelcome { reason },
        }
    }

    /// What was answered, in words.
    pub fn says(&self, answer: &Answer) -> String {
        let mut text = format!("HTTP {}", answer.status);
        if answer.status.is_redirection() {
            let host = answer.location.as_deref().unwrap_or("nowhere");
            text = format!("{text}: it redirects to `{host}`; redirects are not followed");
        } else if !answer.body.trim().is_empty() {
            let quoted: String = self.secretive.reason(&answer.body).chars().take(QUOTED).collect();
            text = format!("{text}: {quoted}");
        }
        self.secretive.reason(&text)
    }
}

/// Reads what is read of an answer. Its status is known by now, so a body that breaks off is no
/// failure by itself.
async fn read(mut response: reqwest::Response, now: Timestamp) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wait = header(RETRY_AFTER.as_str()).or_else(|| header(RATE_LIMIT_RESET));
    let wait = wait.and_then(|text| retry_after(text, now));
    let location = header(LOCATION.as_str()).and_then(|to| response.url().join(to).ok());
    let location = location.and_then(|url| url.host_str().map(str::to_owned));
    let status = response.status();
    let (mut body, mut whole) = (Vec::new(), true);
    while body.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]),
            Ok(None) => break,
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Answer { status, wait, body: String::from_utf8_lossy(&body).into_owned(), whole, location }
}

/// A URL that messages may be posted to, or what is wrong with it and the way out. Neither quotes
/// it: it may be a secret.
fn checked(text: &str) -> Result<Url, (&'static str, &'static str)> {
    let url: Url =
        text.trim().parse().map_err(|_| ("is no URL", "write one such as https://siem.example/hook"))?;
    let here = match url.host_str() {
        Some(host) => is_loopback(host),
        None => return Err(("names no host", "write one such as https://siem.example/hook")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(("would send alerts unencrypted", "write https://; http:// is for this machine only")),
        _ => Err(("is no web address", "write one that begins with https://")),
    }
}

/// True for this machine's own addresses.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `Retry-After`: seconds, seconds with a fraction, or a date, from which `now` is taken.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Millis> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_to_wait(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let until = Timestamp(i64::try_from(since.as_millis()).ok()?);
    Some(Millis((until - now).0.clamp(0, Millis::LONGEST.0)))
}

/// A number of seconds that an answer asks for, rounded up.
pub fn seconds_to_wait(seconds: f64) -> Option<Millis> {
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float too large becomes the largest number, then the bound"
    )]
    let millis = (seconds * 1_000.0).ceil() as i64;
    Some(Millis(millis.min(Millis::LONGEST.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_every_form() {
        let now = Timestamp::parse("2026-01-05T09:08:00Z").unwrap();
        for (text, wait) in [
            ("30", Some(30_000)),
            (" 0 ", Some(0)),
            ("1.5", Some(1_500)),
            ("0.0001", Some(1)),
            ("1e300", Some(Millis::LONGEST.0)),
            ("Mon, 05 Jan 2026 09:10:00 GMT", Some(120_000)),
            ("Monday, 05-Jan-26 09:10:00 GMT", Some(120_000)),
            ("Mon, 05 Jan 2026 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), wait.map(Millis), "{text}");
        }
    }

    #[test]
    fn alerts_leave_this_machine_encrypted_only() {
        for fine in
            ["https://siem.example/hook", "http://127.0.0.1:80/x", "http://[::1]/", "http://localhost/"]
        {
            assert!(checked(fine).is_ok(), "{fine}");
        }
        for bad in
            ["http://siem.example/hook", "http://127.0.0.1.evil.example/", "ftp://x/", "data:x", "hook", ""]
        {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    /// A server that says `204` to all, and how often it was called.
    async fn server() -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, calls) =
            (listener.local_addr().unwrap().port(), Arc::<std::sync::atomic::AtomicUsize>::default());
        let counted = calls.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            }
        });
        (port, calls)
    }

    async fn post(host: &str, port: u16, guard: Guard, times: usize) -> Vec<Attempt> {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let endpoint = Endpoint::to(url, Millis::secs(5), guard).unwrap();
        let mut attempts = Vec::new();
        for _ in 0..times {
            attempts.push(match endpoint.post("{}".to_owned(), HeaderMap::new(), Timestamp(0)).await {
                Ok(answer) => endpoint.judge(&answer),
                Err(attempt) => attempt,
            });
        }
        attempts
    }

    #[tokio::test]
    async fn a_name_that_leads_into_this_machine_is_not_connected_to() {
        use super::super::guard::tests::guard;

        let (port, calls) = server().await;
        let refused = post("evil.example", port, guard(&[&["127.0.0.1"]], &[]), 1).await.remove(0);
        let Attempt::TryAgain { reason, everyone: true, .. } = &refused else { panic!("{refused:?}") };
        assert!(reason.contains("`evil.example` is at 127.0.0.1, which is this machine"), "{reason}");
        assert!(reason.contains("allow_private: [127.0.0.1/32]"), "the way out: {reason}");
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 0);
        let allowed = guard(&[&["127.0.0.1"]], &["127.0.0.1/32"]);
        assert_eq!(post("siem.example", port, allowed, 1).await, [Attempt::Delivered]);
        assert_eq!(post("127.0.0.1", port, guard(&[&["8.8.8.8"]], &[]), 1).await, [Attempt::Delivered]);
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_asked_at_each_connection() {
        use super::super::guard::tests::guard;

        let (port, calls) = server().await;
        // First it stands for an address that is allowed, then for one that is not: the server is at both.
        let rebinding = guard(&[&["127.0.0.1"], &["::ffff:127.0.0.2"]], &["127.0.0.1/32"]);
        let attempts = post("rebind.example", port, rebinding, 2).await;
        assert_eq!(attempts[0], Attempt::Delivered);
        assert!(matches!(&attempts[1], Attempt::TryAgain { .. }), "{attempts:?}");
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[test]
    fn an_address_is_not_printed() {
        let url = "https://hooks.example/services/T0/B0/s3cret".parse().unwrap();
        let endpoint = Endpoint::to(url, Millis::secs(30), Guard::default()).unwrap();
        let text = format!("{endpoint:?}");
        assert!(text.contains("https://hooks.example/***"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("services"), "{text}");
    }
}
