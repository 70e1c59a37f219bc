//! Who may come in: the right name in the address bar, no foreign page behind it, the token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use super::pages::refused;
use super::{AT_ONCE, Settings};

/// What is asked of a caller.
#[derive(Debug)]
pub(super) struct Guard {
    /// Digest of the token: digests are compared in constant time.
    token: blake3::Hash,
    hosts: Vec<String>,
    places: Semaphore,
}

impl Guard {
    pub(super) fn new(settings: &Settings) -> Self {
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let token = blake3::hash(settings.token.expose_secret().as_bytes());
        Self { token, hosts, places: Semaphore::new(AT_ONCE) }
    }

    /// True for a name of this machine, or one that the configuration gives.
    fn knows(&self, authority: &str) -> bool {
        let host = host_of(authority).to_ascii_lowercase();
        crate::deliver::is_loopback(&host) || self.hosts.contains(&host)
    }

    fn holds(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown
            .and_then(|shown| shown.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        token.is_some_and(|(_, token)| blake3::hash(token.trim().as_bytes()) == self.token)
    }
}

/// A host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Turns away who calls by a foreign name (a name that an attacker makes point here), who comes from
/// a foreign page, and who is one too many.
pub(super) async fn caller(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host =
        text(header::HOST).or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    if !host.is_some_and(|host| guard.knows(host)) {
        let words = "this is not a name of this machine; names of a proxy stand under `admin: hosts`";
        return refused(StatusCode::MISDIRECTED_REQUEST, words).into_response();
    }
    let foreign = |origin: &str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        !rest.is_some_and(|rest| guard.knows(rest))
    };
    if text(header::ORIGIN).is_some_and(foreign) {
        return refused(StatusCode::FORBIDDEN, "a page of another site may not ask here").into_response();
    }
    let Ok(_place) = guard.places.try_acquire() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time").into_response();
    };
    next.run(request).await
}

/// Turns away who does not show the token.
pub(super) async fn token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if guard.holds(request.headers()) {
        return next.run(request).await;
    }
    let mut response =
        refused(StatusCode::UNAUTHORIZED, "show the token: `Authorization: Bearer …`").into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (authority, host) in [
            ("localhost:9480", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:9480", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
