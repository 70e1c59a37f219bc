//! The vendor's service, simulated: both hosts, five lists, exports, IAM's tokens, and all that
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
pub mod exports;
pub mod fault;
pub mod filters;
pub mod gate;
pub mod iam;
pub mod message;
pub mod office;
pub mod operation;
pub mod options;
pub mod page;
pub mod scenario;
pub mod server;
pub mod sessions;
pub mod sheet;
pub mod signature;
pub mod trouble;
pub mod what;
mod wire;
pub mod world;

#[cfg(test)]
mod tests_exports;
#[cfg(test)]
mod tests_gate;
#[cfg(test)]
mod tests_laws;
#[cfg(test)]
mod tests_lists;
#[cfg(test)]
mod tests_server;
#[cfg(test)]
mod tests_tools;
#[cfg(test)]
mod tests_troubles;

use std::collections::{BTreeMap, VecDeque};

use crate::record::{Millis, Timestamp};

pub use gate::Key;
pub use message::{Answer, Request};
pub use operation::Service;
pub use options::{Options, User, Wall};
pub use scenario::Scenario;
pub use server::Server;
pub use trouble::{Target, Trouble, When};
pub use what::{OpenEnd, Order, Spelling, What};
pub use world::{List, World};

use ask::Ask;
use clock::VirtualClock;
use exports::Exports;
use fault::Fault;
use gate::Gate;
use operation::Operation;
use trouble::{BadTrouble, Troubles};

/// Largest body of a request, as on the vendor's gateway.
pub const MAX_BODY: usize = 12 << 20;
/// Longest target.
const MAX_TARGET: usize = 8 << 10;
/// Most bytes of headers: a token has up to 40,000 characters.
const MAX_HEADERS: usize = 64 << 10;
/// Requests that are remembered.
const MAX_SEEN: usize = 1_000;

/// Requests of one minute that are counted; more is more than any budget.
const MAX_LOAD: usize = 100_000;

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
    exports: Exports,
    keys_live: Millis,
    skew: Millis,
    project_id: String,
    user: User,
    /// Requests by what they asked for, answers by status.
    requests: BTreeMap<&'static str, u64>,
    answers: BTreeMap<u16, u64>,
    seen: VecDeque<Seen>,
    load: Load,
    served: u64,
}

/// How hard the service is asked.
#[derive(Debug, Default)]
struct Load {
    /// Requests of the last minute, by virtual time.
    minute: VecDeque<Timestamp>,
    /// Most requests within a minute.
    busiest: usize,
    /// Refusals for want of credentials one behind the other, now and at most.
    refused: (u32, u32),
}

impl Load {
    fn note(&mut self, now: Timestamp, status: u16) {
        while self.minute.front().is_some_and(|first| now - *first >= Millis::mins(1)) {
            self.minute.pop_front();
        }
        if self.minute.len() >= MAX_LOAD {
            self.minute.pop_front();
        }
        self.minute.push_back(now);
        self.busiest = self.busiest.max(self.minute.len());
        self.refused.0 = if status == 401 { self.refused.0.saturating_add(1) } else { 0 };
        self.refused.1 = self.refused.1.max(self.refused.0);
    }
}

impl Simulation {
    /// The service over `world`, its virtual clock started at `wall`.
    pub fn new(mut world: World, options: &Options, wall: Timestamp) -> Result<Self, BadTrouble> {
        world.sort();
        let start = options.start.or_else(|| world.opens()).unwrap_or(wall);
        let mut troubles = Troubles::default();
        for trouble in &options.troubles {
            troubles.add(trouble.clone())?;
        }
        Ok(Self {
            clock: VirtualClock::new(start, wall, options.speed),
            gate: Gate::new(options.keys.clone(), options.tokens.clone()),
            troubles,
            exports: Exports::default(),
            keys_live: options.keys_live,
            skew: options.skew,
            world,
            project_id: options.project_id.clone(),
            user: options.user.clone(),
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            seen: VecDeque::new(),
            load: Load::default(),
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
        self.gate.set_clock(self.skew, self.now(wall));
        let request_id = format!("{:032x}", u128::from(self.served));
        let (name, mut answer) = match self.route(request, wall, &request_id) {
            Ok((name, answer)) => (name, answer),
            Err(fault) => ("other", fault.answer(&request_id)),
        };
        *self.requests.entry(name).or_default() += 1;
        *self.answers.entry(answer.status).or_default() += 1;
        self.load.note(self.now(wall), answer.status);
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
        let asked = Operation::of(request.method, request.path());
        let (operation, project) = asked.ok_or_else(Fault::no_such_api)?;
        let elsewhere = request.host.zip(operation.service()).is_some_and(|(host, service)| host != service);
        let metadata = matches!(operation, Operation::MetadataToken | Operation::MetadataKey);
        if elsewhere || (metadata && !request.local) {
            return Err(Fault::no_such_api());
        }
        let name = operation.as_str();
        if request.body.len() > MAX_BODY {
            return Err(Fault::too_large(413));
        }
        let Some(project) = project else { return Ok((name, self.identity(operation, request, wall))) };
        let target = operation.target();
        let done = self.service(operation, target, project, request, wall, request_id);
        let mut answer = done.unwrap_or_else(|fault| fault.answer(request_id));
        if let Some(target) = target {
            let now = self.now(wall);
            self.troubles.travel(target, &mut answer, now);
        }
        Ok((name, answer))
    }

    /// IAM and the metadata service.
    fn identity(&mut self, operation: Operation<'_>, request: &Request<'_>, wall: Timestamp) -> Answer {
        match operation {
            Operation::Token => iam::tokens(&mut self.gate, &self.user, &self.project_id, request, wall),
            Operation::MetadataToken => iam::metadata_token(request),
            Operation::MetadataKey => iam::security_key(&mut self.gate, self.keys_live, request, wall),
            Operation::Projects
            | Operation::List(_)
            | Operation::Export(_)
            | Operation::ExportDesktops
            | Operation::DesktopFile
            | Operation::Tasks
            | Operation::Download(_)
            | Operation::DeleteTasks
            | Operation::SessionsOf
            | Operation::Logoff => {
                let admitted = self.gate.admit(request, wall);
                admitted.map_or_else(|_| iam::refused(), |()| iam::projects(&self.project_id, request))
            }
        }
    }

    fn service(
        &mut self,
        operation: Operation<'_>,
        target: Option<Target>,
        project: &str,
        request: &Request<'_>,
        wall: Timestamp,
        request_id: &str,
    ) -> Result<Answer, Fault> {
        self.gate.admit(request, wall)?;
        if project != self.project_id {
            return Err(Fault::no_project());
        }
        let now = self.now(wall);
        let instead = target.and_then(|target| self.troubles.instead(target, request_id, now));
        if let Some((answer, stale)) = instead {
            if stale {
                self.gate.make_stale(request);
            }
            return Ok(answer);
        }
        if !request.is_json() {
            return Err(Fault::media_type());
        }
        match operation {
            Operation::List(list) => self.list(list, request, wall),
            Operation::Export(list) => Ok(self.export(Ask::read_export(list, request)?, now)),
            Operation::ExportDesktops => Ok(self.export(Ask::read_new_export(request)?, now)),
            Operation::DesktopFile => {
                let ask = Ask::read_export(List::DesktopLogins, request)?;
                let name = exports::file_name(ask.list, now);
                Ok(exports::file(&self.world, &ask, now, &name))
            }
            Operation::Tasks => self.exports.list(request, now),
            Operation::Download(id) => self.exports.download(id, &self.world, now),
            Operation::DeleteTasks => self.exports.delete(request),
            Operation::SessionsOf => sessions::of_user(&self.world, request, now),
            Operation::Logoff => sessions::logoff(request),
            Operation::Token | Operation::Projects | Operation::MetadataToken | Operation::MetadataKey => {
                Err(Fault::no_such_api())
            }
        }
    }

    fn export(&mut self, ask: Ask, now: Timestamp) -> Answer {
        let troubles = self.troubles.exports(now);
        self.exports.begin(ask, &troubles, now)
    }

    fn list(&mut self, list: List, request: &Request<'_>, wall: Timestamp) -> Result<Answer, Fault> {
        let ask = Ask::read(list, request)?;
        let now = self.now(wall);
        let troubles = self.troubles.rows(list, ask.offset == 0, now);
        let body = page::page(&self.world, &ask, now, &troubles);
        for what in &troubles {
            if let What::TimePasses { by } = what {
                self.clock.set(now + *by, wall);
            }
        }
        Ok(Answer::json(200, &body))
    }
}

/// As in a `Date` header: whole seconds, of the years that it can tell.
fn http_date(time: Timestamp) -> String {
    let time = time.min(Timestamp::LAST);
    let seconds = u64::try_from(time.0.div_euclid(1_000)).unwrap_or_default();
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}
