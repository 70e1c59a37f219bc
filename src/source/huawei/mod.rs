//! The vendor's audit records: list endpoints of one project, polled.
//!
//! A step is one request at most, so that each is signed and paced by a fresh clock, and one that is
//! dropped half-way has read nothing. What to ask is `lane`'s to say, when is decided here: polls
//! before sweeps, the lane that has waited longest first, within each host's budget. What an answer
//! means is said in `heard`. Nothing here understands a row.

mod api;
mod app_launches;
mod app_logins;
mod audit;
mod budget;
mod client;
mod credentials;
mod desktop_logins;
pub mod examine;
pub mod export;
mod filter;
mod heard;
mod keys;
mod known;
mod lane;
mod lateness;
mod page;
mod part;
mod place;
mod project;
mod reader;
mod region;
mod sessions;
mod trouble;
mod user_events;
mod walk;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_credentials;

use std::collections::VecDeque;
use std::path::Path;

use reqwest::Url;

use super::Kind;
use super::live::{LaneSpec, LiveSource, Preparing, Step, Stepping};
use crate::config::{Options, Secrets};
use crate::record::scan::Origin;
use crate::record::{Millis, Timestamp};
use crate::rule::problem::Problems;
use crate::sign;
use api::{Api, Ask};
use budget::{Budget, Purpose};
use client::Requests;
use credentials::NoCredentials;
use filter::Filters;
use keys::Settings;
use lane::Lane;

/// Projects of Huawei Cloud Workspace.
pub const KIND: Kind = Kind {
    name: "huawei",
    keys: &keys::SOURCE,
    example: "name: prod
kind: huawei
region: ap-southeast-3
project_id: 0123456789abcdef0123456789abcdef
credentials: {ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}
endpoints: [desktop_logins, app_logins, app_launches]
every: 30s
settle: 60s
lookback: 15m
since: 24h
requests: {per_second: 1, burst: 5}
",
    build,
};

static APIS: [&Api; 5] =
    [&desktop_logins::API, &app_logins::API, &app_launches::API, &sessions::API, &user_events::API];

/// How often it is looked whether refused credentials were replaced.
const LOOK: Millis = Millis::mins(1);
/// How long nothing is said while nothing may be asked.
const IDLE: Millis = Millis::hours(1);

fn build(
    name: &str,
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Box<dyn super::LiveSource>> {
    let settings = Settings::read(options, secrets, problems)?;
    match Huawei::new(name, settings) {
        Ok(source) => Some(Box::new(source)),
        Err(fault) => {
            let message = format!("no request can be made: {fault}");
            options.fault(problems, "region", message, "install the system's CA certificates");
            None
        }
    }
}

/// One project, polled.
#[derive(Debug)]
struct Huawei {
    requests: Requests,
    region: String,
    /// Where the project's id is looked up.
    iam: Option<Url>,
    hosts: Vec<Host>,
    lanes: Vec<Polled>,
    every: Millis,
    /// Nothing is asked before this; never again, where it is the end of time.
    stopped: Timestamp,
    /// True while that is because the service refused the credentials: it goes on with other ones.
    refused: bool,
    /// True once signatures were refused for their date: they are dated by the service's clock.
    by_service: bool,
    /// What is still to be said.
    said: VecDeque<Step>,
    /// Requests that were made.
    turns: u64,
}

/// A host and what is known of it.
#[derive(Debug)]
struct Host {
    base: Url,
    budget: Budget,
    /// What its clock is ahead of ours, at most.
    ahead: Option<Millis>,
    /// True while a signature with a corrected date was not yet taken.
    corrected: bool,
}

/// A lane and when it is asked.
#[derive(Debug)]
struct Polled {
    spec: LaneSpec,
    api: &'static Api,
    /// What the service is asked by besides the window.
    filters: Filters,
    lane: Lane,
    host: usize,
    next_poll: Timestamp,
    not_before: Timestamp,
    /// When the poll under way began.
    begun: Timestamp,
    /// Failures in a row.
    failures: u32,
    /// The request that was made for it last.
    turn: u64,
}

impl Huawei {
    fn new(name: &str, settings: Settings) -> Result<Self, String> {
        let mut hosts: Vec<Host> = Vec::new();
        let mut lanes = Vec::new();
        for api in &settings.apis {
            let base = settings.bases.iter().find(|(service, _)| *service == api.service);
            let Some((_, base)) = base else { continue };
            let host = hosts.iter().position(|host| host.base == *base).unwrap_or(hosts.len());
            if host == hosts.len() {
                let budget = Budget::new(settings.per_second, settings.burst);
                hosts.push(Host { base: base.clone(), budget, ahead: None, corrected: false });
            }
            let project_id = settings.project_id.as_deref().unwrap_or_default();
            let origin = Origin::huawei(&settings.region, project_id, api.endpoint);
            lanes.push(Polled {
                spec: LaneSpec { name: format!("{name}/{}", api.endpoint.as_str()), origin: origin.clone() },
                api,
                filters: settings.filters_of(api),
                lane: Lane::new(origin, settings.pace(api)),
                host,
                next_poll: Timestamp::MIN,
                not_before: Timestamp::MIN,
                begun: Timestamp::MIN,
                failures: 0,
                turn: 0,
            });
        }
        Ok(Self {
            requests: Requests::new(
                settings.keeper,
                settings.project_id.unwrap_or_default(),
                &settings.proxies,
            )?,
            region: settings.region,
            iam: settings.iam,
            hosts,
            lanes,
            every: settings.every,
            stopped: Timestamp::MIN,
            refused: false,
            by_service: false,
            said: VecDeque::new(),
            turns: 0,
        })
    }

    async fn next(&mut self, now: Timestamp) -> Step {
        if let Some(step) = self.said.pop_front() {
            return step;
        }
        if self.stopped > now {
            if !self.refused {
                return Step::Wait((self.stopped - now).min(IDLE));
            }
            if !self.requests.keeper.has_other() {
                return Step::Wait((self.stopped - now).min(LOOK));
            }
            (self.stopped, self.refused) = (Timestamp::MIN, false);
            self.requests.keeper.has_ended();
        }
        self.heed_clock(now);
        if self.requests.project_id.is_empty() {
            return self.stop(Timestamp::MAX, None, "the project's id is not known");
        }
        // What is lent ends by the service's clock.
        let there = now + self.hosts.iter().find_map(|host| host.ahead).unwrap_or(Millis::ZERO);
        if self.requests.keeper.is_due(there) {
            return match self.requests.renew(there).await {
                Ok(()) => Step::Wait(Millis::ZERO),
                Err(NoCredentials { text, wait }) => {
                    self.stop(wait.map_or(Timestamp::MAX, |wait| now + wait), wait, &text)
                }
            };
        }
        let (number, purpose) = match self.choose(now) {
            Ok(chosen) => chosen,
            Err(wait) => return Step::Wait(wait),
        };
        let polled = &mut self.lanes[number];
        let host = &mut self.hosts[polled.host];
        if purpose == Purpose::Poll && !polled.lane.is_polling() {
            polled.begun = now;
        }
        // Before a host has told its time there is no window to ask for: the answer is for its date.
        let ask = match host.ahead {
            Some(ahead) => polled.lane.ask(purpose, now + ahead),
            None => Some(probe(polled.api, now)),
        };
        let Some(ask) = ask else { return Step::Wait(Millis::ZERO) };
        let signed_at = match host.ahead {
            Some(ahead) if self.by_service => now + ahead,
            Some(_) | None => now,
        };
        host.budget.spend(purpose, now);
        self.turns += 1;
        polled.turn = self.turns;
        let call = (polled.api.call)(&self.requests.project_id, &ask).narrowed(&polled.filters);
        let (answer, took) = self.requests.send(&host.base, &call, signed_at).await;
        self.heard(number, purpose, answer, signed_at, now + took)
    }

    /// Forgets waits that cannot be meant: our clock was set back.
    fn heed_clock(&mut self, now: Timestamp) {
        for polled in &mut self.lanes {
            polled.next_poll = polled.next_poll.min(now + self.every);
            polled.not_before = polled.not_before.min(now + trouble::REFUSED);
        }
    }

    /// Who is asked now, and for what; or how long nobody is.
    fn choose(&mut self, now: Timestamp) -> Result<(usize, Purpose), Millis> {
        let mut best: Option<((bool, u64, usize), Purpose)> = None;
        let mut least = IDLE;
        for (number, polled) in self.lanes.iter().enumerate() {
            let host = &mut self.hosts[polled.host];
            let due = if polled.lane.is_polling() { now } else { polled.next_poll };
            let poll = Some((Purpose::Poll, due - now));
            let sweep = host.ahead.and_then(|ahead| polled.lane.sweep_wait(now + ahead));
            for (purpose, due) in poll.into_iter().chain(sweep.map(|wait| (Purpose::Sweep, wait))) {
                let wait = due.max(polled.not_before - now).max(host.budget.wait(purpose, now));
                let place = (purpose != host.budget.first(), polled.turn, number);
                if wait > Millis::ZERO {
                    least = least.min(wait);
                } else if best.is_none_or(|(other, _)| place < other) {
                    best = Some((place, purpose));
                }
            }
        }
        best.map(|((_, _, number), purpose)| (number, purpose)).ok_or(least)
    }
}

impl Huawei {
    /// Looks the project's id up, where the configuration leaves it open: among the notes of an
    /// earlier life, else of IAM.
    async fn find_project(&mut self, now: Timestamp, notes: &Path) -> Result<(), String> {
        if !self.requests.project_id.is_empty() {
            return Ok(());
        }
        let key = project::key(self.iam.as_ref(), &self.region, &self.requests.keeper.account());
        let id = if let Some(id) = project::noted(notes, &key) {
            id
        } else {
            let id = project::ask(&mut self.requests, self.iam.as_ref(), &self.region, now).await?;
            project::note(notes, &key, &id)?;
            id
        };
        for polled in &mut self.lanes {
            let origin = Origin::huawei(&self.region, &id, polled.api.endpoint);
            polled.spec.origin = origin.clone();
            polled.lane = Lane::new(origin, polled.lane.pace());
        }
        self.requests.project_id = id;
        Ok(())
    }
}

/// The smallest question, by our own clock.
fn probe(api: &Api, now: Timestamp) -> Ask {
    let round = |at: Timestamp| Timestamp(at.0 - at.0.rem_euclid(api.resolution.0));
    Ask { from: round(now - Millis::hours(1)), to: round(now), offset: 0, limit: 1 }
}

impl LiveSource for Huawei {
    fn lanes(&self) -> Vec<LaneSpec> {
        self.lanes.iter().map(|polled| polled.spec.clone()).collect()
    }

    fn resume(&mut self, lane: usize, cursor: &str) -> Result<(), String> {
        let polled = self.lanes.get_mut(lane).ok_or_else(|| format!("there is no lane {lane}"))?;
        let told = |fault: String| format!("the cursor of `{}` cannot be read: {fault}", polled.spec.name);
        polled.lane.resume(cursor).map_err(told)
    }

    fn prepare<'a>(&'a mut self, now: Timestamp, notes: &'a Path) -> Preparing<'a> {
        Box::pin(self.find_project(now, notes))
    }

    fn step(&mut self, now: Timestamp) -> Stepping<'_> {
        Box::pin(self.next(now))
    }
}
