//! How the service is set up: where it listens, whom it knows, how its time goes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::record::{Millis, Timestamp};

use super::gate::Key;
use super::trouble::Trouble;

/// Tells the wall clock's time. The simulation reads none itself.
#[derive(Clone)]
pub struct Wall {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Lets time pass, where it does not pass by itself.
    pass: Option<Arc<dyn Fn(Millis) + Send + Sync>>,
}

impl Wall {
    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Waits; a clock that does not go by itself is moved on at once.
    pub(super) async fn wait(&self, length: Millis) {
        if let Some(pass) = &self.pass {
            pass(length);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(length.0.max(0).unsigned_abs())).await;
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

/// A user who may have a token of IAM.
#[derive(Clone)]
pub struct User {
    /// The account.
    pub domain: String,
    /// Of the user.
    pub name: String,
    /// A fake one.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("domain", &self.domain).field("name", &self.name).finish_non_exhaustive()
    }
}

/// How the service is set up.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the host of `WorkspaceApp` (`/v1`) listens, where it is apart from that of Workspace (`/v2`):
    /// each then knows nothing of the other's paths, as on the real service.
    pub listen_app: Option<SocketAddr>,
    /// The clock that signatures are judged by and that virtual time follows.
    pub wall: Wall,
    /// How far the clock that signatures are judged by is ahead of `wall`. A client that goes by the
    /// service's `Date` instead is in time too.
    pub skew: Millis,
    /// Virtual time at the start; none is where the world opens ([`World::opens`](super::World::opens)).
    pub start: Option<Timestamp>,
    /// Virtual milliseconds for one of the wall clock; 0 stands until it is moved.
    pub speed: u32,
    /// The one project there is.
    pub project_id: String,
    /// Key pairs that may sign.
    pub keys: Vec<Key>,
    /// How long keys of the metadata service live.
    pub keys_live: Millis,
    /// Tokens that never expire.
    pub tokens: Vec<String>,
    /// Who may have a token.
    pub user: User,
    /// What goes wrong from the start.
    pub troubles: Vec<Trouble>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("start", &self.start)
            .field("speed", &self.speed)
            .field("project_id", &self.project_id)
            .field("keys", &self.keys)
            .field("user", &self.user)
            .field("troubles", &self.troubles)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The project that is there unless another is named.
    pub const PROJECT_ID: &'static str = "0123456789abcdef0123456789abcdef";
    /// The access key that is there unless others are named.
    pub const AK: &'static str = "SIMULATED-ACCESS-KEY";
    /// Its secret, which is none.
    pub const SK: &'static str = "simulated-secret-key";

    /// The temporary access key that is there unless others are named: the metadata service hands it
    /// out, with another security token each time.
    pub const TEMPORARY_AK: &'static str = "SIMULATED-TEMPORARY-KEY";
    /// Its secret, which is none.
    pub const TEMPORARY_SK: &'static str = "simulated-temporary-secret";
    /// Its security token that never expires.
    pub const SECURITY_TOKEN: &'static str = "SIMULATED-SECURITY-TOKEN";

    /// The temporary key that is there unless others are named.
    pub fn temporary() -> Key {
        let key = Key::new(Self::TEMPORARY_AK, Self::TEMPORARY_SK);
        Key { security_token: Some(Self::SECURITY_TOKEN.to_owned()), ..key }
    }

    /// A service on any free port of this machine, at the pace of `wall`.
    pub fn new(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            listen_app: None,
            wall: Wall { now: Arc::new(wall), pass: None },
            skew: Millis::ZERO,
            start: None,
            speed: 1,
            project_id: Self::PROJECT_ID.to_owned(),
            keys: vec![Key::new(Self::AK, Self::SK), Self::temporary()],
            keys_live: super::gate::TOKEN_LIVES,
            tokens: Vec::new(),
            user: User {
                domain: "simulated-account".to_owned(),
                name: "simulated-user".to_owned(),
                password: "simulated-password".to_owned(),
            },
            troubles: Vec::new(),
        }
    }

    /// The same by a clock that does not go by itself: what is slow moves it on by `pass`.
    #[must_use]
    pub fn passing(mut self, pass: impl Fn(Millis) + Send + Sync + 'static) -> Self {
        self.wall.pass = Some(Arc::new(pass));
        self
    }
}
