//! An HTTP server that takes webhooks, verifies their signatures and keeps what came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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

type Kept = Arc<Mutex<(Vec<Taken>, Vec<String>)>>;

/// The server; it stops when it is dropped.
pub struct Hook {
    address: SocketAddr,
    kept: Kept,
    task: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub async fn start() -> Self {
        let kept = Kept::default();
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
        let kept = self.kept.lock().unwrap();
        assert!(kept.1.is_empty(), "{:?}", kept.1);
        kept.0.clone()
    }
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut kept = kept.lock().unwrap();
    match verified(&headers, &body) {
        Some(taken) => {
            kept.0.push(taken);
            StatusCode::NO_CONTENT
        }
        None => {
            kept.1.push(format!("not verified: {headers:?}"));
            StatusCode::UNAUTHORIZED
        }
    }
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
