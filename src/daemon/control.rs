//! The control socket: a unix socket beside the store, over which commands speak to a running daemon.
//!
//! One request, one reply, both JSON ([`Order`], [`Reply`]) over HTTP. Who may open the socket may
//! order anything: its folder's and its own mode (0600) are the lock.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use tokio::sync::{mpsc, oneshot};

use super::orders::{Order, Reply};
use crate::rule::problem::safe_path;

/// Longest order.
const MAX_ORDER: usize = 64 << 10;
/// Longest reply that is read.
const MAX_REPLY: usize = 16 << 20;
/// Orders that wait for the daemon.
const WAITING: usize = 16;

/// An order and where its reply goes.
#[derive(Debug)]
pub struct Call {
    /// What is ordered.
    pub order: Order,
    /// Where the reply goes; nobody may be left to hear it.
    pub reply: oneshot::Sender<Reply>,
}

/// Where the daemon of `store` listens.
pub fn socket_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}

/// An open control socket; it goes with this value.
#[derive(Debug)]
pub struct Control {
    /// Orders, in the order they came.
    pub calls: mpsc::Receiver<Call>,
    /// Where other doors put theirs.
    pub to: mpsc::Sender<Call>,
    path: PathBuf,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
        // Nobody can be told if it is gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on the control socket `{}`; its folder must be writable, its path shorter than 100 bytes",
    safe_path(path)
)]
pub struct NoSocket {
    path: PathBuf,
    source: io::Error,
}

/// Listens at `path`. The caller holds the store's lock, so that what lies there is left over.
pub fn listen(path: &Path) -> Result<Control, NoSocket> {
    let failed = |source| NoSocket { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = tokio::net::UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let (sender, calls) = mpsc::channel(WAITING);
    let router = Router::new()
        .route("/order", post(take))
        .layer(DefaultBodyLimit::max(MAX_ORDER))
        .with_state(sender.clone());
    let serving = tokio::spawn(async move {
        // Serving ends with the daemon.
        let _ = axum::serve(listener, router).await;
    });
    Ok(Control { calls, to: sender, path: path.to_owned(), serving })
}

async fn take(State(calls): State<mpsc::Sender<Call>>, Json(order): Json<Order>) -> Json<Reply> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Reply::Refused("the daemon is stopping".to_owned());
    if calls.send(Call { order, reply }).await.is_err() {
        return Json(stopping());
    }
    Json(answer.await.unwrap_or_else(|_| stopping()))
}

/// Why a running daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Nobody listens.
    #[error("no daemon runs on this store")]
    Stopped,
    /// Whoever asks may not.
    #[error("you may not open the control socket `{path}`; ask as the user that runs the daemon")]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody listens and does not answer as a daemon does.
    #[error("the daemon at `{}` does not answer: {fault}", safe_path(path))]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        fault: String,
    },
}

/// What it says of a daemon that its socket cannot be opened: where somebody may listen, not that nobody does.
fn unheard(path: &Path, error: &io::Error) -> NoReply {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound, PermissionDenied};
    let (path, kind) = (path.to_owned(), error.kind());
    // A socket that nobody listens on is left over from a daemon that was killed; nobody can listen at a path
    // that is too long.
    if matches!(kind, NotFound | ConnectionRefused | InvalidInput) {
        return NoReply::Stopped;
    }
    if kind == PermissionDenied {
        return NoReply::Denied { path };
    }
    NoReply::Broken { path, fault: error.to_string() }
}

/// Asks the daemon that listens at `path`.
pub async fn ask(path: &Path, order: &Order) -> Result<Reply, NoReply> {
    if let Err(error) = tokio::net::UnixStream::connect(path).await {
        return Err(unheard(path, &error));
    }
    let broken = |fault: String| NoReply::Broken { path: path.to_owned(), fault };
    // A client wants to know how it would speak TLS, though it never does here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .unix_socket(path)
        .no_proxy()
        .build()
        .map_err(|error| broken(error.to_string()))?;
    let body = serde_json::to_vec(order).map_err(|error| broken(error.to_string()))?;
    let request = client.post("http://larum/order").header("content-type", "application/json").body(body);
    let mut answer = request.send().await.map_err(|error| broken(error.to_string()))?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| broken(error.to_string()))? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_REPLY {
            return Err(broken("its answer has no end".to_owned()));
        }
    }
    serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_cannot_be_opened_is_not_taken_for_a_daemon_that_has_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("larum.db.sock");
        let said = async || ask(&path, &Order::Alive).await.unwrap_err().to_string();
        assert_eq!(said().await, "no daemon runs on this store");
        // Left over from one that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(said().await, "no daemon runs on this store");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let place = path.display();
        let said = said().await;
        assert!(said.starts_with(&format!("the daemon at `{place}` does not answer: ")), "{said}");

        let denied = unheard(&path, &io::Error::from(io::ErrorKind::PermissionDenied)).to_string();
        assert_eq!(
            denied,
            format!("you may not open the control socket `{place}`; ask as the user that runs the daemon")
        );
    }
}
