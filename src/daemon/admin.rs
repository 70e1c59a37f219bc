//! The admin door: HTTP on this machine for operators' tools and Prometheus.
//!
//! What it orders goes to the daemon's desk like any other order; what it shows is read from the
//! store and the status. It listens on a loopback address only, wants its token for everything but
//! the two health pages, and answers nobody who calls it by a foreign name or from a foreign page: a
//! browser on this machine must not become somebody's hand. It decides nothing.

mod asked;
mod guard;
mod pages;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

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
/// Connections that are open at a time. For one more the oldest goes, so that whoever holds many and says
/// nothing keeps nobody out, and leaves files and receivers their descriptors.
const MAX_CONNECTIONS: usize = 128;
/// How long a caller may take from its first byte, or from the last answer, to the end of its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
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
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = router(rooms, Guard::new(&settings));
        let serving = tokio::spawn(serve(listener, router, MAX_CONNECTIONS, HEADERS_WITHIN));
        Ok(Self { settings, address, serving })
    }
}

/// Serves until it is dropped, and all of its connections with it.
async fn serve(mut listener: TcpListener, router: Router, most: usize, headers_within: Duration) {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        // Where none can be taken it says so and tries again.
        let (stream, _) = Listener::accept(&mut listener).await;
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= most
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(connections.spawn(answer(stream, router.clone(), headers_within)));
    }
}

/// Answers what comes over one connection.
async fn answer(stream: TcpStream, router: Router, headers_within: Duration) {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(headers_within);
    let served = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
    if let Err(error) = served {
        tracing::debug!(error, "a caller at the admin door has gone, or said nothing in time");
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn door(most: usize, headers_within: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(|| std::future::ready("fine")));
        tokio::spawn(serve(listener, router, most, headers_within));
        address
    }

    /// A caller who has said so much.
    async fn caller(door: SocketAddr, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(door).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream
    }

    /// What a caller hears until the door closes; far later than any time that is given here it is asked in vain.
    async fn heard(mut caller: TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_mins(1), caller.read_to_string(&mut text)).await;
        // One that is turned away may find its connection reset.
        let _ = read.expect("the door closes");
        text
    }

    const HALF: &str = "GET /healthz HTTP/1.1\r\nX-A: ";
    const WHOLE: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn who_does_not_say_what_is_wanted_in_time_is_let_go() {
        let door = door(8, Duration::from_millis(50)).await;
        let silent = caller(door, "").await;
        let half = caller(door, HALF).await;
        let more = caller(door, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        for caller in [silent, half] {
            assert!(!heard(caller).await.contains("fine"));
        }
        assert!(heard(more).await.ends_with("fine"), "answered, and let go when nothing more comes");
    }

    #[tokio::test]
    async fn for_one_caller_too_many_the_oldest_goes() {
        let door = door(3, Duration::from_hours(1)).await;
        let mut callers = std::collections::VecDeque::new();
        for _ in 0..5 {
            callers.push_back(caller(door, HALF).await);
        }
        for _ in 0..2 {
            assert_eq!(heard(callers.pop_front().unwrap()).await, "");
        }
        assert!(heard(caller(door, WHOLE).await).await.ends_with("fine"));
        // The one after it stands still, until it has said all.
        let mut last = callers.pop_back().unwrap();
        last.write_all(b"x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(heard(last).await.ends_with("fine"));
    }
}
