//! The demo's own end of a webhook: a small HTTP server that hands on what it is sent.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest message that is taken.
const MAX_BODY: usize = 4 << 20;
/// Messages that wait to be shown; past this the sender is asked to come again.
const WAITING: usize = 256;
/// Messages whose repeats are known.
const MAX_KNOWN: usize = 100_000;

/// A server that listens; it stops when it is dropped.
#[derive(Debug)]
pub struct Hook {
    address: SocketAddr,
    task: JoinHandle<()>,
    /// What was received, repeats left out.
    pub messages: mpsc::Receiver<serde_json::Value>,
}

#[derive(Debug, Clone)]
struct Door {
    known: Arc<Mutex<HashSet<String>>>,
    messages: mpsc::Sender<serde_json::Value>,
}

impl Hook {
    /// Listens on any free port of this machine.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (sender, messages) = mpsc::channel(WAITING);
        let door = Door { known: Arc::default(), messages: sender };
        let router: Router = Router::new()
            .route("/alerts", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(door);
        let task = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task, messages })
    }

    /// Where messages are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A message is taken once it is certain to be shown. `webhook-id` is the same at every try.
async fn receive(State(door): State<Door>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let Ok(message) = serde_json::from_str(&body) else { return StatusCode::BAD_REQUEST };
    let mut known = door.known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(&id) {
        return StatusCode::NO_CONTENT;
    }
    if door.messages.try_send(message).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(id);
    StatusCode::NO_CONTENT
}
