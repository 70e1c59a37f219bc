//! One source read for as long as the daemon runs: each reading is handed to its tenant's intake and
//! the next one waits until it is kept. A lane that fails is told of, and after a while rules no
//! longer wait for it.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::clock::Clock;
use super::own::{Event, Kind, Voice};
use super::status::Board;
use crate::engine::SourceId;
use crate::record::{Millis, Timestamp};
use crate::source::{LiveSource, Reading, Step, Trouble};

/// Failures in a row before a passing trouble is told of: one is the weather.
const TOLD_AFTER: u32 = 3;
/// Wait when a reading could not be kept; the store's own trouble is told by the intake.
const AFTER_NOT_KEPT: Millis = Millis::secs(5);

/// How long the status shows what a source remarked.
const REMARK_STANDS: Millis = Millis::mins(60);

/// What an intake is asked to do.
#[derive(Debug)]
pub enum Work {
    /// Take in a reading, and say whether it is kept.
    Take {
        /// Where it was read.
        lane: SourceId,
        /// What.
        reading: Box<Reading>,
        /// True once it is durable.
        kept: oneshot::Sender<bool>,
    },
    /// Rules no longer wait for a lane.
    Leave {
        /// Which.
        lane: SourceId,
    },
    /// They do again.
    Join {
        /// Which.
        lane: SourceId,
    },
}

/// A lane of a source that is being read.
#[derive(Debug, Clone)]
pub struct PolledLane {
    /// Its number within its tenant.
    pub id: SourceId,
    /// Its name.
    pub name: String,
    /// Where an earlier life stopped.
    pub cursor: Option<String>,
}

/// One source and its surroundings.
#[derive(Debug)]
pub struct Poller {
    /// The source.
    pub source: Box<dyn LiveSource>,
    /// Its lanes, in its own order.
    pub lanes: Vec<PolledLane>,
    /// Its tenant's intake.
    pub intake: mpsc::Sender<Work>,
    /// Where it is shown.
    pub board: Board,
    /// Where it is told of.
    pub own: Voice,
    /// The time.
    pub clock: Clock,
    /// How long a lane may fail before rules no longer wait for it.
    pub stall_after: Millis,
    /// True when it is to end.
    pub stop: watch::Receiver<bool>,
}

/// How a lane fails; not at all, where it failed no times since it was read last.
#[derive(Debug, Default)]
struct Failing {
    since: Option<Timestamp>,
    times: u32,
    told: bool,
    left: bool,
}

impl Poller {
    /// Reads until it is told to stop, or until nobody takes in any more.
    pub async fn run(mut self) {
        self.clock = self.clock.leading();
        for (number, lane) in self.lanes.clone().iter().enumerate() {
            let Some(cursor) = &lane.cursor else { continue };
            if let Err(fault) = self.source.resume(number, cursor) {
                warn!(lane = lane.name, %fault, "the cursor cannot be read; reading begins anew");
                self.say(Kind::SourceRemark, &lane.name, Some(format!("the cursor cannot be read: {fault}")));
            }
        }
        let mut failing = BTreeMap::new();
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let now = self.clock.now();
            let step = tokio::select! {
                step = self.source.step(now) => step,
                _ = stop.changed() => break,
            };
            match step {
                Step::Read(reading) => {
                    if !self.take(*reading, &mut failing).await {
                        break;
                    }
                }
                Step::Wait(length) => {
                    tokio::select! {
                        () = self.clock.sleep(length) => {}
                        _ = stop.changed() => break,
                    }
                }
                Step::Failed { lane, trouble } => self.failed(lane, &trouble, &mut failing).await,
            }
        }
        debug!("source ended");
    }

    /// Hands a reading over; false when nobody takes it any more.
    async fn take(&mut self, reading: Reading, failing: &mut BTreeMap<usize, Failing>) -> bool {
        let number = reading.lane;
        let Some(lane) = self.lanes.get(number).cloned() else { return true };
        let before = failing.insert(number, Failing::default());
        if let Some(before) = before.as_ref().filter(|before| before.times > 0) {
            info!(lane = lane.name, "read again");
            if before.left && self.intake.send(Work::Join { lane: lane.id }).await.is_err() {
                return false;
            }
        }
        // Without a reading before this one, an earlier life may have told of trouble.
        if before.as_ref().is_none_or(|before| before.told) {
            self.say(Kind::SourceFailing, &lane.name, None);
        }
        if before.as_ref().is_none_or(|before| before.left) {
            self.say(Kind::SourceStalled, &lane.name, None);
        }
        let was_empty = self.board.write(|status| {
            let shown = status.lanes.entry(lane.name.clone()).or_default();
            std::mem::replace(&mut shown.nothing, reading.nothing.clone()).is_some()
        });
        if let Some(why) = reading.nothing.as_ref().filter(|_| !was_empty) {
            warn!(lane = lane.name, why, "nothing to read yet");
            self.say(Kind::SourceEmpty, &lane.name, Some(format!("{}: {why}", lane.name)));
        } else if reading.nothing.is_none() && (was_empty || before.is_none()) {
            self.say(Kind::SourceEmpty, &lane.name, None);
        }
        for remark in &reading.remarks {
            warn!(lane = lane.name, remark, "the source has something to say");
            self.say(Kind::SourceRemark, &lane.name, Some(format!("{}: {remark}", lane.name)));
        }
        let (now, cursor) = (self.clock.now(), reading.cursor.clone());
        self.board.write(|status| {
            let shown = status.lanes.entry(lane.name.clone()).or_default();
            shown.read_at = Some(now);
            shown.failing_since = None;
            shown.failure = None;
            shown.stalled = false;
            shown.ahead = reading.ahead;
            if let Some(remark) = reading.remarks.last() {
                shown.remark = Some(remark.clone());
                shown.remarked_at = Some(now);
            } else if shown.remarked_at.is_some_and(|at| now >= at + REMARK_STANDS) {
                (shown.remark, shown.remarked_at) = (None, None);
            }
        });
        let (sender, kept) = oneshot::channel();
        let work = Work::Take { lane: lane.id, reading: Box::new(reading), kept: sender };
        if self.intake.send(work).await.is_err() {
            return false;
        }
        match kept.await {
            Ok(true) => self.lanes[number].cursor = Some(cursor),
            // What is not kept is read again from the last place that is.
            Ok(false) => {
                let place = lane.cursor.as_deref().unwrap_or_default();
                if let Err(fault) = self.source.resume(number, place) {
                    warn!(lane = lane.name, %fault, "the cursor cannot be read");
                }
                self.clock.sleep(AFTER_NOT_KEPT).await;
            }
            Err(_) => return false,
        }
        true
    }

    async fn failed(&mut self, number: usize, trouble: &Trouble, failing: &mut BTreeMap<usize, Failing>) {
        let Some(lane) = self.lanes.get(number).cloned() else { return };
        let now = self.clock.now();
        let state = failing.entry(number).or_default();
        let since = *state.since.get_or_insert(now);
        state.times = state.times.saturating_add(1);
        let text = trouble.to_string();
        warn!(lane = lane.name, times = state.times, trouble = text, "cannot be read");
        self.board.write(|status| {
            let shown = status.lanes.entry(lane.name.clone()).or_default();
            shown.failing_since = Some(since);
            shown.failure = Some(text.clone());
            if let Trouble::Throttled { text, .. } = trouble {
                shown.throttled = Some((now, text.clone()));
            }
        });
        let refused = matches!(trouble, Trouble::Refused { .. });
        let tell = !state.told && (refused || state.times >= TOLD_AFTER);
        state.told |= tell;
        let leave = !state.left && now >= since + self.stall_after;
        state.left |= leave;
        if tell {
            self.say(Kind::SourceFailing, &lane.name, Some(format!("{} cannot be read: {text}", lane.name)));
        }
        if leave {
            self.board.write(|status| status.lanes.entry(lane.name.clone()).or_default().stalled = true);
            let words = format!(
                "{} could not be read for {}; rules that read another source no longer wait for it",
                lane.name, self.stall_after
            );
            self.say(Kind::SourceStalled, &lane.name, Some(words));
            // Nobody is left to wait when the intake is gone.
            let _ = self.intake.send(Work::Leave { lane: lane.id }).await;
        }
    }

    fn say(&self, kind: Kind, subject: &str, text: Option<String>) {
        self.own.say(Event { kind, subject: subject.to_owned(), text });
    }
}
