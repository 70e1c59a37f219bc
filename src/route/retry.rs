//! What follows a try: the delivery's next step, and the state of its receiver.
//!
//! A delivery that was not taken is tried again, at first within seconds, then by a long schedule,
//! and ends as a dead letter at a deadline that its level sets. One body that is refused must not
//! mute a receiver: only a refused probe, which holds no word from any record, pauses it.

use super::delivery::{Attempt, Delivery, DeliveryId};
use crate::record::{Level, Millis, Timestamp};

/// Shortest wait before another try.
pub const BASE: Millis = Millis::secs(1);
/// Longest wait while a trouble is young.
pub const CAP: Millis = Millis::mins(10);
/// From this age of a delivery on, it is tried by [`LONG`].
pub const YOUNG: Millis = Millis::mins(30);
/// What waited long for its first try is tried so often before [`LONG`] begins.
pub const YOUNG_TRIES: u32 = 6;
/// Waits of a delivery that is no longer young; each lasts up to a fifth longer.
pub const LONG: [Millis; 9] = [
    Millis::mins(5),
    Millis::mins(15),
    Millis::mins(30),
    Millis::hours(1),
    Millis::hours(2),
    Millis::hours(4),
    Millis::hours(8),
    Millis::hours(12),
    Millis::hours(24),
];
/// Longest time that a receiver may ask to be left alone.
pub const LONGEST_ASKED: Millis = Millis::hours(24);
/// Somebody hears of a receiver that asks for more than this.
pub const ASKED_LONG: Millis = Millis::mins(15);

/// How long a delivery of this level is tried, from when it was owed.
pub fn deadline(level: Level) -> Millis {
    Millis::days(match level {
        Level::Informational => 1,
        Level::Low => 2,
        Level::Medium => 3,
        Level::High => 5,
        Level::Critical => 7,
    })
}

/// What becomes of a delivery after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The receiver took it.
    Finish,
    /// It is tried again.
    Wait {
        /// No sooner.
        until: Timestamp,
        /// The wait the next one is drawn from: [`Delivery::waited`].
        waited: Millis,
    },
    /// It is tried again in its minimal form.
    Plain {
        /// No sooner.
        until: Timestamp,
    },
    /// A probe is to tell whether the receiver takes anything: see [`after_probe`].
    Probe {
        /// What was said of the delivery.
        reason: String,
    },
    /// It becomes a dead letter.
    Bury {
        /// Why.
        reason: String,
    },
}

/// What follows `attempt` at `delivery`, whose `tries` count this one. `jitter` is in [0, 1).
pub fn next_step(attempt: &Attempt, delivery: &Delivery, now: Timestamp, jitter: f64) -> Step {
    match attempt {
        Attempt::Delivered => Step::Finish,
        Attempt::TryAgain { wait, everyone: _, reason } => again(*wait, reason, delivery, now, jitter),
        Attempt::Unknown { reason } => again(None, reason, delivery, now, jitter),
        Attempt::Malformed { reason } if delivery.plain => Step::Bury { reason: reason.clone() },
        Attempt::Malformed { .. } => Step::Plain { until: now },
        Attempt::Unwelcome { reason } => Step::Probe { reason: reason.clone() },
        Attempt::Refused { reason } => Step::Bury { reason: reason.clone() },
    }
}

/// What follows for a delivery that was unwelcome, for `reason`, once `probe` has been tried.
pub fn after_probe(probe: &Attempt, reason: &str, delivery: &Delivery, now: Timestamp, jitter: f64) -> Step {
    match probe {
        Attempt::Delivered => {
            Step::Bury { reason: format!("{reason}; this message alone: the receiver takes others") }
        }
        Attempt::TryAgain { wait, .. } => again(*wait, reason, delivery, now, jitter),
        Attempt::Unknown { .. } => again(None, reason, delivery, now, jitter),
        // The receiver is paused; the delivery waits with it, no longer than it, and its time does not
        // run out meanwhile.
        Attempt::Malformed { .. } | Attempt::Unwelcome { .. } | Attempt::Refused { .. } => {
            Step::Wait { until: now, waited: delivery.waited }
        }
    }
}

fn again(asked: Option<Millis>, reason: &str, delivery: &Delivery, now: Timestamp, jitter: f64) -> Step {
    let end = delivery.created + deadline(delivery.level);
    if now >= end {
        let tries = delivery.tries;
        return Step::Bury {
            reason: format!("not taken in {tries} tries until its time was up; last: {reason}"),
        };
    }
    let young = now - delivery.created < YOUNG || delivery.tries <= YOUNG_TRIES;
    let waited =
        if young { decorrelated(delivery.waited, BASE, CAP, jitter) } else { long(delivery.waited, jitter) };
    // One last try when its time is up; what the receiver asks for goes before that.
    let own = (now + waited).min(end);
    let asked = asked.map(|asked| now + asked.clamp(BASE, LONGEST_ASKED));
    Step::Wait { until: asked.map_or(own, |asked| asked.max(now + BASE)), waited }
}

/// A wait between `base` and three times the one before, never over `cap`: tries that began together
/// drift apart.
fn decorrelated(before: Millis, base: Millis, cap: Millis, jitter: f64) -> Millis {
    let top = before.0.clamp(base.0, cap.0).saturating_mul(3);
    Millis((base.0 + share(top - base.0, jitter)).min(cap.0))
}

/// The next wait of the long schedule, up to a fifth longer.
fn long(before: Millis, jitter: f64) -> Millis {
    let [.., last] = LONG;
    let next = LONG.into_iter().find(|wait| *wait > before).unwrap_or(last);
    Millis(next.0 + share(next.0 / 5, jitter))
}

/// The part of `whole` that `jitter` in [0, 1) points at.
fn share(whole: i64, jitter: f64) -> i64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a day is far below 2^52 ms"
    )]
    let part = (whole as f64 * jitter.clamp(0.0, 1.0)) as i64;
    part
}

/// Failures in a row after which a receiver is told of as failing and, if they were of several
/// deliveries, left alone for a while: one body that fails must not hold up the others.
pub const FAILURES: u32 = 5;
/// First time that a failing receiver is left alone.
pub const REST: Millis = Millis::secs(15);
/// A paused receiver is probed so often; and of a receiver that takes probes, unwelcome messages are
/// judged by a new one so often, so that hostile records cannot flood it with probes.
pub const PROBE_EVERY: Millis = Millis::mins(15);
/// A taken probe also judges messages that are unwelcome so soon after it.
pub const PROBE_HOLDS: Millis = Millis::secs(60);

/// The state of one receiver, as its answers tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    state: State,
    /// Failures since something was taken.
    failures: u32,
    /// Whose failures; none: of several deliveries.
    of: Option<DeliveryId>,
    /// The last time it was left alone for a failure.
    rested: Millis,
    /// The last probe that was taken.
    probed: Option<Timestamp>,
    /// It was told of as failing.
    told: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum State {
    /// Messages go out.
    #[default]
    Open,
    /// It asked to be left alone by everyone.
    Asked { until: Timestamp },
    /// It failed too often; then one message is tried.
    Resting { until: Timestamp },
    /// It takes nothing at all; then a probe is tried.
    Paused { until: Timestamp },
}

/// What may go to a receiver now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Messages.
    Open,
    /// One message, to see whether it recovered: best one that was tried least.
    Single,
    /// A probe and nothing else.
    Probe,
    /// Nothing.
    Closed {
        /// Until when.
        until: Timestamp,
    },
}

/// What became of a receiver's state; somebody should hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It fails.
    Failing,
    /// It takes messages again.
    Recovered,
    /// It refuses everything and is paused.
    Paused,
}

/// How to judge a message that is unwelcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ask with a probe.
    Probe,
    /// A probe was taken just now: it is the message.
    Guilty,
    /// It is tried again when the next probe is allowed.
    Wait {
        /// When that is.
        until: Timestamp,
    },
}

impl Health {
    /// What may go out at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.state {
            State::Open => Gate::Open,
            State::Asked { until } | State::Resting { until } | State::Paused { until } if now < until => {
                Gate::Closed { until }
            }
            State::Asked { .. } if self.failures < FAILURES => Gate::Open,
            State::Asked { .. } | State::Resting { .. } => Gate::Single,
            State::Paused { .. } => Gate::Probe,
        }
    }

    /// Somebody may have mended it: what it was to be left alone for is over now. What it asked for
    /// itself stands.
    pub fn ask_again(&mut self, now: Timestamp) {
        match &mut self.state {
            State::Open | State::Asked { .. } => {}
            State::Resting { until } | State::Paused { until } => *until = now.min(*until),
        }
    }

    /// Somebody wants it tried at once, whatever it asked for.
    pub fn try_now(&mut self, now: Timestamp) {
        match &mut self.state {
            State::Open => {}
            State::Asked { until } | State::Resting { until } | State::Paused { until } => {
                *until = now.min(*until);
            }
        }
    }

    /// It took a test message: what it asked for is over, and what else it is left alone for is looked at.
    pub fn took_test(&mut self, now: Timestamp) -> Option<Turn> {
        if let State::Asked { .. } = self.state {
            self.told = true;
            return self.recover();
        }
        self.ask_again(now);
        None
    }

    /// Until when it asked to be left alone, if it did.
    pub fn asked_until(&self) -> Option<Timestamp> {
        match self.state {
            State::Asked { until } => Some(until),
            State::Open | State::Resting { .. } | State::Paused { .. } => None,
        }
    }

    /// The clock was set back by `by`: what it is left alone for lasts as long as it was to.
    pub fn set_back(&mut self, by: Millis) {
        match &mut self.state {
            State::Open => {}
            State::Asked { until } | State::Resting { until } | State::Paused { until } => {
                *until = *until - by;
            }
        }
        self.probed = self.probed.map(|probed| probed - by);
    }

    /// True while it is told of as failing or paused.
    pub fn is_ill(&self) -> bool {
        self.told
    }

    /// Takes in what a try of `delivery` came to. `jitter` is in [0, 1).
    pub fn after(
        &mut self,
        attempt: &Attempt,
        delivery: DeliveryId,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Turn> {
        match attempt {
            // What judges single messages is not failing.
            Attempt::Delivered | Attempt::Malformed { .. } | Attempt::Refused { .. } => self.recover(),
            Attempt::Unwelcome { .. } => None,
            Attempt::TryAgain { wait, everyone: true, .. } => {
                let wait = wait.unwrap_or(REST).clamp(BASE, LONGEST_ASKED);
                let turn = self.fail(delivery);
                self.told |= wait > ASKED_LONG;
                self.state = State::Asked { until: now + wait };
                turn
            }
            Attempt::TryAgain { everyone: false, .. } | Attempt::Unknown { .. } => {
                let turn = self.fail(delivery);
                if self.failures >= FAILURES && self.of.is_none() {
                    self.rested = decorrelated(self.rested, REST, CAP, jitter);
                    self.state = State::Resting { until: now + self.rested };
                }
                turn
            }
        }
    }

    /// Takes in what a probe came to.
    pub fn after_probe(&mut self, probe: &Attempt, now: Timestamp) -> Option<Turn> {
        match probe {
            Attempt::Delivered => {
                self.probed = Some(now);
                self.recover()
            }
            // Nobody knows: asked again, a paused receiver stays so.
            Attempt::TryAgain { .. } | Attempt::Unknown { .. } => {
                if let State::Paused { .. } = self.state {
                    self.state = State::Paused { until: now + PROBE_EVERY };
                }
                None
            }
            Attempt::Malformed { .. } | Attempt::Unwelcome { .. } | Attempt::Refused { .. } => {
                let paused = matches!(self.state, State::Paused { .. });
                self.state = State::Paused { until: now + PROBE_EVERY };
                self.told = true;
                (!paused).then_some(Turn::Paused)
            }
        }
    }

    /// How to judge a message that was unwelcome at `now`.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let Some(probed) = self.probed else { return Verdict::Probe };
        if now - probed < PROBE_HOLDS {
            Verdict::Guilty
        } else if now - probed < PROBE_EVERY {
            Verdict::Wait { until: probed + PROBE_EVERY }
        } else {
            Verdict::Probe
        }
    }

    fn recover(&mut self) -> Option<Turn> {
        let told = self.told;
        *self = Self { probed: self.probed, ..Self::default() };
        told.then_some(Turn::Recovered)
    }

    fn fail(&mut self, delivery: DeliveryId) -> Option<Turn> {
        self.of = if self.failures == 0 { Some(delivery) } else { self.of.filter(|of| *of == delivery) };
        self.failures = self.failures.saturating_add(1);
        let tell = self.failures >= FAILURES && !self.told;
        self.told |= tell;
        tell.then_some(Turn::Failing)
    }
}

#[cfg(test)]
mod tests;
