//! An HTTP server that takes webhooks, verifies their signatures and keeps what came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use tokio::task::JoinHandle;

/// Signs every message.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One message as it came.
#[derive(Debug, Clone)]
pub struct Taken {
    /// `webhook-id`: the delivery's.
    pub id: String,
    pub text: String,
}

impl Taken {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// How a server answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// It refuses a message with this word in it, and no other.
    pub refuses: Option<&'static str>,
    /// It takes its time to answer, so that a stop is likely to come between a message and its answer.
    pub takes: Duration,
}

#[derive(Debug, Default)]
struct Kept {
    manner: Manner,
    taken: Mutex<Vec<Taken>>,
    unverified: Mutex<Vec<String>>,
}

/// The server; it stops when it is dropped.
pub struct Hook {
    address: SocketAddr,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub async fn start(manner: Manner) -> Self {
        let kept = Arc::new(Kept { manner, ..Kept::default() });
        let router = Router::new().fallback(take).with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, kept, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything that came, in order; each with a signature that holds.
    pub fn taken(&self) -> Vec<Taken> {
        let unverified = self.kept.unverified.lock().unwrap();
        assert!(unverified.is_empty(), "{unverified:?}");
        self.kept.taken.lock().unwrap().clone()
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(taken) = verified(&headers, &body) else {
        kept.unverified.lock().unwrap().push(format!("not verified: {headers:?}"));
        return StatusCode::UNAUTHORIZED;
    };
    if kept.manner.refuses.is_some_and(|word| taken.text.contains(word)) {
        return StatusCode::FORBIDDEN;
    }
    // A probe asks whether anything is taken, and tells nothing.
    if !taken.text.starts_with(r#"{"probe""#) {
        kept.taken.lock().unwrap().push(taken);
    }
    tokio::time::sleep(kept.manner.takes).await;
    StatusCode::NO_CONTENT
}

fn verified(headers: &HeaderMap, body: &[u8]) -> Option<Taken> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let (id, seconds) = (header("webhook-id")?, header("webhook-timestamp")?);
    let tag = STANDARD.decode(header("webhook-signature")?.strip_prefix("v1,")?).ok()?;
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_")?).ok()?;
    let text = std::str::from_utf8(body).ok()?.to_owned();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    ring::hmac::verify(&key, format!("{id}.{seconds}.{text}").as_bytes(), &tag).ok()?;
    Some(Taken { id, text })
}
