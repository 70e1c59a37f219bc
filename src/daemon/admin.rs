//! The admin door: HTTP on this machine for operators' tools and Prometheus.
//!
//! What it orders goes to the daemon's desk like any other order; what it shows is read from the
//! store and the status. It listens on a loopback address only, wants its token for everything but
//! the two health pages, and answers nobody who calls it by a foreign name or from a foreign page: a
//! browser on this machine must not become somebody's hand. It decides nothing.

mod asked;
mod guard;
mod pages;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::control::Call;
use super::metrics::Meters;
use crate::config::{Options, Secrets};
use crate::rule::problem::Problems;
use crate::store::Store;
use guard::Guard;

/// Longest body of a request.
const MAX_BODY: usize = 64 << 10;
/// Requests that are answered at a time; more are turned away.
const AT_ONCE: usize = 32;
/// A shorter token is guessed.
const MIN_TOKEN: usize = 16;

/// Where it listens and whom it answers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A loopback address; port 0 is any free one.
    pub listen: SocketAddr,
    /// Whoever shows it may order anything.
    pub token: SecretString,
    /// Names besides this machine's own, without a port.
    pub hosts: Vec<String>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.listen == other.listen
            && self.hosts == other.hosts
            && self.token.expose_secret() == other.token.expose_secret()
    }
}

impl Settings {
    /// As the configuration says under `admin`.
    pub fn open(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let text = options.text(problems, "listen");
        let listen = text.and_then(|text| match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Some(address),
            Ok(address) => {
                let message = format!("`{}` is heard beyond this machine", address.ip());
                let hint = "listen on 127.0.0.1 or [::1]; put a proxy that speaks TLS before it for others";
                options.fault(problems, "listen", message, hint);
                None
            }
            Err(_) => {
                let message = format!("`{text}` is no address with a port");
                options.fault(problems, "listen", message, "write one such as `127.0.0.1:9480`");
                None
            }
        });
        let token = options.secret(problems, secrets, "token");
        if let Some(token) = &token
            && !secrets.dry
            && token.expose_secret().len() < MIN_TOKEN
        {
            let message = format!("the token is shorter than {MIN_TOKEN} characters");
            options.fault(problems, "token", message, "make one with `openssl rand -hex 24`");
            return None;
        }
        let hosts = options.texts(problems, "hosts");
        Some(Self { listen: listen?, token: token?, hosts })
    }
}

/// What the pages are made of.
#[derive(Clone)]
pub struct Rooms {
    /// The daemon's desk.
    pub orders: mpsc::Sender<Call>,
    /// What it keeps.
    pub store: Arc<dyn Store>,
    /// What it measures.
    pub meters: Meters,
    /// The time.
    pub clock: Clock,
}

/// An open door; it closes with this value.
#[derive(Debug)]
pub struct Admin {
    /// As it was opened.
    pub settings: Settings,
    /// Where it listens.
    pub address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("`admin` cannot listen on {listen}: {source}; stop what listens there, or choose another port")]
pub struct NoDoor {
    listen: SocketAddr,
    source: io::Error,
}

impl Admin {
    /// Opens the door.
    pub async fn open(settings: Settings, rooms: Rooms) -> Result<Self, NoDoor> {
        let listen = settings.listen;
        let failed = |source| NoDoor { listen, source };
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = router(rooms, Guard::new(&settings));
        let serving = tokio::spawn(async move {
            // Serving ends with the daemon.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { settings, address, serving })
    }
}

fn router(rooms: Rooms, guard: Guard) -> Router {
    let guard = Arc::new(guard);
    let open = Router::new().route("/healthz", get(pages::healthz)).route("/readyz", get(pages::readyz));
    let closed = Router::new()
        .route("/metrics", get(pages::metrics))
        .route("/api/v1/status", get(pages::status))
        .route("/api/v1/sources", get(pages::sources))
        .route("/api/v1/receivers", get(pages::receivers))
        .route("/api/v1/rules", get(pages::rules))
        .route("/api/v1/alerts", get(pages::alerts))
        .route("/api/v1/alerts/{id}", get(pages::alert))
        .route("/api/v1/alerts/{id}/acknowledge", post(pages::acknowledge))
        .route("/api/v1/silences", get(pages::silences).post(pages::silence))
        .route("/api/v1/silences/{id}", axum::routing::delete(pages::unsilence))
        .route("/api/v1/deliveries", get(pages::deliveries))
        .route("/api/v1/deliveries/{id}", get(pages::delivery))
        .route("/api/v1/deliveries/{id}/redrive", post(pages::redrive))
        .route("/api/v1/deliveries/{id}/discard", post(pages::discard))
        .route("/api/v1/receivers/{name}/test", post(pages::send_test))
        .route("/api/v1/reload", post(pages::reload))
        .layer(from_fn_with_state(guard.clone(), guard::token));
    open.merge(closed)
        .fallback(pages::nothing)
        .layer(from_fn_with_state(guard, guard::caller))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(rooms)
}
