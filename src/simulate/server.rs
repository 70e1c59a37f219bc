//! The simulation on a port. Requests are taken one at a time; only what is slow is waited for
//! apart from the others.
//!
//! A test starts one over rows of its own, and moves it without waiting for anything:
//!
//! ```
//! # use larum::record::{Millis, Timestamp};
//! # use larum::simulate::{Options, Server, Trouble, What, World};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let row = r#"{"id": "1", "connect_type": "2", "user_name": "ana", "start_time": "2026-01-05T09:00:00Z"}"#;
//! let world = World::of_lines(7, [row])?;
//! let wall = Timestamp(1_795_199_400_000);
//! let server = Server::start(world, Options { speed: 0, ..Options::new(move || wall) }).await?;
//! assert_eq!(server.now().to_string(), "2026-01-05T08:59:00.000Z");
//! server.advance(Millis::mins(5));
//! server.trouble(Trouble::once(What::Unavailable {}))?;
//! assert_eq!(server.state()["rows"]["born"], 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, HeaderValue, Request as HttpRequest, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::record::{Millis, Timestamp};

use super::wire::{Door, Peer};
use super::{Answer, MAX_BODY, Options, Request, Seen, Service, Simulation, Trouble, Wall, World, control};

/// A simulated service that listens; it stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Where `WorkspaceApp`'s host listens, where it is apart.
    app: Option<SocketAddr>,
    shared: Shared,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Shared {
    simulation: Arc<Mutex<Simulation>>,
    wall: Wall,
}

impl Shared {
    fn simulation(&self) -> MutexGuard<'_, Simulation> {
        self.simulation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Serves `world` as `options` say.
    pub async fn start(world: World, options: Options) -> io::Result<Self> {
        let simulation = Simulation::new(world, &options, options.wall.now());
        let simulation = simulation.map_err(io::Error::other)?;
        let shared = Shared { simulation: Arc::new(Mutex::new(simulation)), wall: options.wall };
        let apart = options.listen_app.is_some();
        let (address, task) = open(&shared, options.listen, apart.then_some(Service::Workspace)).await?;
        let mut server = Self { address, app: None, shared, tasks: vec![task] };
        if let Some(listen) = options.listen_app {
            let (address, task) = open(&server.shared, listen, Some(Service::WorkspaceApp)).await?;
            server.app = Some(address);
            server.tasks.push(task);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of Workspace's host, and of IAM.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL of `WorkspaceApp`'s host: the same, unless it is apart.
    pub fn app_url(&self) -> String {
        format!("http://{}", self.app.unwrap_or(self.address))
    }

    /// Virtual now.
    pub fn now(&self) -> Timestamp {
        self.shared.simulation().now(self.shared.wall.now())
    }

    /// Sets the virtual clock.
    pub fn set_now(&self, now: Timestamp) {
        self.shared.simulation().clock().set(now, self.shared.wall.now());
    }

    /// Moves the virtual clock on.
    pub fn advance(&self, length: Millis) {
        self.set_now(self.now() + length);
    }

    /// True when every row is born and looks as it will for ever.
    pub fn is_finished(&self) -> bool {
        self.complete().is_none_or(|last| last <= self.now())
    }

    /// When every row is born and looks as it will for ever; none without a row that has a time.
    pub fn complete(&self) -> Option<Timestamp> {
        self.shared.simulation().world().complete()
    }

    /// Adds a trouble; nothing more is added past the bound of the queue.
    pub fn trouble(&self, trouble: Trouble) -> Result<(), super::trouble::BadTrouble> {
        self.shared.simulation().troubles().add(trouble)
    }

    /// Calls all troubles off.
    pub fn calm(&self) {
        self.shared.simulation().troubles().clear();
    }

    /// What `GET /simulate/state` tells.
    pub fn state(&self) -> Value {
        control::state(&self.shared.simulation(), self.shared.wall.now())
    }

    /// Stops it; when this is done, the port is free again.
    pub async fn stop(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // It ends by being aborted.
            let _ = task.await;
        }
    }

    /// The last requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.simulation().seen().cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens for `host`, or for both where it is none.
async fn open(
    shared: &Shared,
    listen: SocketAddr,
    host: Option<Service>,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let router: Router = Router::new().fallback(handle).with_state((shared.clone(), host));
    let service = router.into_make_service_with_connect_info::<Peer>();
    let task = tokio::spawn(async move {
        // It serves until it is aborted.
        let _ = axum::serve(Door::new(listener), service).await;
    });
    Ok((address, task))
}

async fn handle(
    State((shared, host)): State<(Shared, Option<Service>)>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: HttpRequest<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<(String, String)> =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    // One byte more than fits tells that it does not.
    let body = to_bytes(body, MAX_BODY + 1).await;
    let oversized = vec![0; if body.is_err() { MAX_BODY + 1 } else { 0 }];
    let body = body.as_deref().unwrap_or(&oversized);
    let request = Request {
        method: head.method.as_str(),
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
        headers: &headers,
        body,
        local: peer.address.ip().is_loopback(),
        host,
    };
    let answer = shared.simulation().answer(&request, shared.wall.now());
    if answer.delay > Millis::ZERO {
        shared.wall.wait(answer.delay).await;
    }
    if let Some(bytes) = answer.cut_after {
        peer.cut_after(bytes);
    }
    respond(answer)
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(answer.content_type));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
