//! The vendor's service, simulated: two hosts on one port, three lists, IAM's tokens, and all that
//! is known to go wrong with them (`reference/huawei-api.md`). For tests, the demo and training.
//!
//! [`Simulation`] answers requests as values: no socket, no clock, no chance but the seed's. Time is
//! virtual and comes from the wall clock that is given with each request ([`clock`]). [`Server`]
//! puts it on a port. Everything about it can be asked and moved under `/simulate/` ([`control`]),
//! by this machine only. It never speaks to anybody, and only fake credentials belong in it.

pub mod ask;
pub mod clock;
pub mod control;
pub mod dress;
pub mod fault;
pub mod gate;
pub mod iam;
pub mod office;
pub mod page;
pub mod server;
pub mod signature;
pub mod trouble;
mod wire;
pub mod world;

#[cfg(test)]
mod tests_gate;
#[cfg(test)]
mod tests_lists;
#[cfg(test)]
mod tests_server;
#[cfg(test)]
mod tests_tools;
#[cfg(test)]
mod tests_troubles;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::record::{Millis, Timestamp};

pub use gate::Key;
pub use server::Server;
pub use trouble::{OpenEnd, Order, Spelling, Trouble, What};
pub use world::{List, World};

use ask::Ask;
use clock::VirtualClock;
use fault::Fault;
use gate::Gate;
use trouble::{BadTrouble, Troubles};

/// Largest body of a request, as on the vendor's gateway.
pub const MAX_BODY: usize = 12 << 20;
/// Longest target.
const MAX_TARGET: usize = 8 << 10;
/// Most bytes of headers: a token has up to 40,000 characters.
const MAX_HEADERS: usize = 64 << 10;
/// Requests that are remembered.
const MAX_SEEN: usize = 1_000;

/// A request as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// In capitals.
    pub method: &'r str,
    /// Path and query, still encoded.
    pub target: &'r str,
    /// Names in any case.
    pub headers: &'r [(String, String)],
    /// Of up to [`MAX_BODY`] bytes.
    pub body: &'r [u8],
    /// True where it comes from this machine: only then the control paths are there.
    pub local: bool,
}

impl<'r> Request<'r> {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&'r str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Without the query.
    pub fn path(&self) -> &'r str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// The query's pairs, decoded, as they came.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (signature::decode(key, true), signature::decode(value, true)))
            .collect()
    }

    /// True where the body is JSON by its own word, or says nothing.
    pub fn is_json(&self) -> bool {
        let kind = self.header("content-type").and_then(|kind| kind.split(';').next());
        kind.is_none_or(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Further headers; `Date` and `X-Request-Id` are always among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// It is held back for so long.
    pub delay: Millis,
    /// The connection breaks after so many bytes, the head included.
    pub cut_after: Option<u64>,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, headers: Vec::new(), body, delay: Millis::ZERO, cut_after: None }
    }

    /// JSON, with the vendor's spelling of the content type.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json;charset=UTF-8", body.to_string().into_bytes())
    }

    /// A page for people.
    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html", body.as_bytes().to_vec())
    }
}

/// Tells the wall clock's time. The simulation reads none itself.
#[derive(Clone)]
pub struct Wall(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Wall {
    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
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
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: std::net::SocketAddr,
    /// The clock that signatures are judged by and that virtual time follows.
    pub wall: Wall,
    /// Virtual time at the start; none is where the world opens ([`World::opens`]).
    pub start: Option<Timestamp>,
    /// Virtual milliseconds for one of the wall clock; 0 stands until it is moved.
    pub speed: u32,
    /// The one project there is.
    pub project_id: String,
    /// Key pairs that may sign.
    pub keys: Vec<Key>,
    /// Tokens that never expire.
    pub tokens: Vec<String>,
    /// Who may have a token.
    pub user: User,
    /// What goes wrong from the start.
    pub troubles: Vec<Trouble>,
}

impl Options {
    /// The project that is there unless another is named.
    pub const PROJECT_ID: &'static str = "0123456789abcdef0123456789abcdef";
    /// The access key that is there unless others are named.
    pub const AK: &'static str = "SIMULATED-ACCESS-KEY";
    /// Its secret, which is none.
    pub const SK: &'static str = "simulated-secret-key";

    /// A service on any free port of this machine, at the pace of `wall`.
    pub fn new(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            wall: Wall(Arc::new(wall)),
            start: None,
            speed: 1,
            project_id: Self::PROJECT_ID.to_owned(),
            keys: vec![Key::new(Self::AK, Self::SK)],
            tokens: Vec::new(),
            user: User {
                domain: "simulated-account".to_owned(),
                name: "simulated-user".to_owned(),
                password: "simulated-password".to_owned(),
            },
            troubles: Vec::new(),
        }
    }
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Method and target.
    pub request: String,
    /// Status of the answer.
    pub status: u16,
}

/// The service as a value: requests in, answers out.
#[derive(Debug)]
pub struct Simulation {
    world: World,
    clock: VirtualClock,
    gate: Gate,
    troubles: Troubles,
    project_id: String,
    user: User,
    /// Requests by what they asked for, answers by status.
    requests: BTreeMap<&'static str, u64>,
    answers: BTreeMap<u16, u64>,
    seen: VecDeque<Seen>,
    served: u64,
}

impl Simulation {
    /// The service over `world`, its virtual clock started at `wall`.
    pub fn new(world: World, options: &Options, wall: Timestamp) -> Result<Self, BadTrouble> {
        let start = options.start.or_else(|| world.opens()).unwrap_or(wall);
        let mut troubles = Troubles::default();
        for trouble in &options.troubles {
            troubles.add(trouble.clone())?;
        }
        Ok(Self {
            clock: VirtualClock::new(start, wall, options.speed),
            gate: Gate::new(options.keys.clone(), options.tokens.clone()),
            troubles,
            world,
            project_id: options.project_id.clone(),
            user: options.user.clone(),
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            seen: VecDeque::new(),
            served: 0,
        })
    }

    /// Virtual now.
    pub fn now(&self, wall: Timestamp) -> Timestamp {
        self.clock.now(wall)
    }

    /// The rows.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The virtual clock, to be moved.
    pub fn clock(&mut self) -> &mut VirtualClock {
        &mut self.clock
    }

    /// What goes wrong.
    pub fn troubles(&mut self) -> &mut Troubles {
        &mut self.troubles
    }

    /// The last requests, oldest first; those of the control paths are not among them.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter()
    }

    /// Answers one request.
    pub fn answer(&mut self, request: &Request<'_>, wall: Timestamp) -> Answer {
        if let Some(answer) = control::answer(self, request, wall) {
            return answer;
        }
        self.served += 1;
        let request_id = format!("{:032x}", u128::from(self.served));
        let (name, mut answer) = match self.route(request, wall, &request_id) {
            Ok((name, answer)) => (name, answer),
            Err(fault) => ("other", fault.answer(&request_id)),
        };
        *self.requests.entry(name).or_default() += 1;
        *self.answers.entry(answer.status).or_default() += 1;
        let shown: String = request.target.chars().take(MAX_TARGET).collect();
        self.seen.push_back(Seen { request: format!("{} {shown}", request.method), status: answer.status });
        if self.seen.len() > MAX_SEEN {
            self.seen.pop_front();
        }
        answer.headers.push(("x-request-id", request_id));
        answer.headers.push(("date", http_date(self.now(wall))));
        answer
    }

    /// What was asked for, and the answer; what nobody serves is a fault.
    fn route(
        &mut self,
        request: &Request<'_>,
        wall: Timestamp,
        request_id: &str,
    ) -> Result<(&'static str, Answer), Fault> {
        if request.target.len() > MAX_TARGET {
            return Err(Fault::too_large(414));
        }
        if request.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_HEADERS {
            return Err(Fault::too_large(494));
        }
        let parts: Vec<&str> = request.path().split('/').skip(1).collect();
        let (project, list) = match (request.method, parts.as_slice()) {
            ("GET", ["v2", project, "connections", "desktops"]) => (project, List::DesktopLogins),
            ("POST", ["v1", project, "session", "user-connection"]) => (project, List::AppLogins),
            ("POST", ["v1", project, "session", "app-connection"]) => (project, List::AppLaunches),
            ("POST", ["v3", "auth", "tokens"]) => {
                return Ok((
                    "tokens",
                    iam::tokens(&mut self.gate, &self.user, &self.project_id, request, wall),
                ));
            }
            ("GET", ["v3", "projects"]) => {
                let admitted = self.gate.admit(request, wall);
                let answer =
                    admitted.map_or_else(|_| iam::refused(), |()| iam::projects(&self.project_id, request));
                return Ok(("projects", answer));
            }
            _ => return Err(Fault::no_such_api()),
        };
        if request.body.len() > MAX_BODY {
            return Err(Fault::too_large(413));
        }
        let listed = self.list(list, project, request, wall, request_id);
        let mut answer = listed.unwrap_or_else(|fault| fault.answer(request_id));
        self.troubles.travel(list, &mut answer);
        Ok((list.as_str(), answer))
    }

    fn list(
        &mut self,
        list: List,
        project: &str,
        request: &Request<'_>,
        wall: Timestamp,
        request_id: &str,
    ) -> Result<Answer, Fault> {
        self.gate.admit(request, wall)?;
        if project != self.project_id {
            return Err(Fault::no_project());
        }
        if let Some((answer, stale)) = self.troubles.instead(list, request_id) {
            if stale {
                self.gate.make_stale(request);
            }
            return Ok(answer);
        }
        if !request.is_json() {
            return Err(Fault::media_type());
        }
        let ask = Ask::read(list, request)?;
        let troubles = self.troubles.rows(list, ask.offset == 0);
        let now = self.now(wall);
        let body = page::page(&self.world, &ask, now, &troubles);
        for what in &troubles {
            if let What::TimePasses { by } = what {
                self.clock.set(now + *by, wall);
            }
        }
        Ok(Answer::json(200, &body))
    }
}

/// As in a `Date` header: whole seconds.
fn http_date(time: Timestamp) -> String {
    let seconds = u64::try_from(time.0.div_euclid(1_000)).unwrap_or_default();
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}
