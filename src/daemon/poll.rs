//! One source read for as long as the daemon runs: each reading is handed to its tenant's intake and
//! the next one waits until it is kept. A lane that fails is told of, once for all that fail for the
//! same reason, and after a while rules no longer wait for it.

mod causes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::clock::Clock;
use super::own::{Event, Kind, Voice};
use super::status::{Board, Throttled};
use crate::engine::SourceId;
use crate::record::{Millis, Timestamp};
use crate::source::{LiveSource, Reading, Step, Trouble};
use causes::Causes;

/// Failures in a row before a passing trouble is told of: one is the weather.
const TOLD_AFTER: u32 = 3;
/// Wait when a reading could not be kept; the store's own trouble is told by the intake.
const AFTER_NOT_KEPT: Millis = Millis::secs(5);

/// A step that takes longer is one that nobody answers: the status shows it. A request has a minute.
const NO_ANSWER: Duration = Duration::from_secs(5);

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

/// How the lanes of the source are.
#[derive(Debug, Default)]
struct Known {
    failing: BTreeMap<usize, Failing>,
    /// Those that were read in this life.
    read: BTreeSet<usize>,
    /// What is told of lanes that fail.
    causes: Causes,
    /// What is told of lanes that rules no longer wait for.
    stalls: Causes,
    /// Up to when the source is complete ahead of the clock, as it was told last.
    ahead: Option<Timestamp>,
    /// What of it cannot be read, as it was told last.
    broken: Option<String>,
    /// This life has said what of it cannot be read, or that all can.
    broken_said: bool,
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
        let mut known = Known::default();
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let Some(step) = self.step(&mut stop).await else { break };
            self.tell_ahead(&mut known);
            self.tell_broken(&step, &mut known);
            match step {
                Step::Read(reading) => {
                    if !self.take(*reading, &mut known).await {
                        break;
                    }
                }
                Step::Wait(length) => {
                    tokio::select! {
                        () = self.clock.sleep(length) => {}
                        _ = stop.changed() => break,
                    }
                }
                Step::Failed { lane, trouble } => self.failed(lane, &trouble, &mut known).await,
            }
        }
        debug!("source ended");
    }

    /// The source's next step; none where it is to end. One that takes long is shown meanwhile.
    async fn step(&mut self, stop: &mut watch::Receiver<bool>) -> Option<Step> {
        let now = self.clock.now();
        let (board, lanes) = (&self.board, &self.lanes);
        let show = |since: Option<Timestamp>| {
            board.write(|status| {
                for lane in lanes {
                    status.lanes.entry(lane.name.clone()).or_default().no_answer_since = since;
                }
            });
        };
        let step = self.source.step(now);
        tokio::pin!(step);
        tokio::select! {
            step = &mut step => return Some(step),
            _ = stop.changed() => return None,
            // However fast the daemon's own clock goes: it is the network that is waited for.
            () = tokio::time::sleep(NO_ANSWER) => show(Some(now)),
        }
        let step = tokio::select! {
            step = &mut step => Some(step),
            _ = stop.changed() => None,
        };
        show(None);
        step
    }

    /// Hands a reading over; false when nobody takes it any more.
    async fn take(&mut self, reading: Reading, known: &mut Known) -> bool {
        let number = reading.lane;
        let Some(lane) = self.lanes.get(number).cloned() else { return true };
        let before = known.failing.insert(number, Failing::default());
        if let Some(before) = before.as_ref().filter(|before| before.times > 0) {
            info!(lane = lane.name, "read again");
            if before.left && self.intake.send(Work::Join { lane: lane.id }).await.is_err() {
                return false;
            }
        }
        self.over(number, known);
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

    /// Tells of what is over now that a lane is read, for the first time in this life or again.
    fn over(&self, number: usize, known: &mut Known) {
        let first = known.read.insert(number);
        let whole = known.read.len() == self.lanes.len();
        if first && known.ahead.is_none() {
            self.say(Kind::SourceAhead, &self.lanes[number].name, None);
        }
        for (kind, causes) in
            [(Kind::SourceFailing, &mut known.causes), (Kind::SourceStalled, &mut known.stalls)]
        {
            let mut over = causes.reads(number);
            // An earlier life may have told of trouble, of this lane or of the whole source.
            if first {
                let name = &self.lanes[number].name;
                let earlier = std::iter::once(name.as_str()).chain(whole.then(|| source_of(name)));
                over.extend(earlier.filter(|subject| !causes.stands(subject)).map(str::to_owned));
            }
            for subject in over {
                self.say(kind, &subject, None);
            }
        }
    }

    /// Tells where the source is taken to be complete ahead of the clock, and when it no longer is.
    fn tell_ahead(&self, known: &mut Known) {
        let ahead = self.source.complete_ahead(self.clock.now());
        if std::mem::replace(&mut known.ahead, ahead) == ahead {
            return;
        }
        for lane in &self.lanes {
            self.board.write(|status| {
                status.lanes.entry(lane.name.clone()).or_default().complete_ahead = ahead;
            });
            let text = ahead.map(|to| {
                format!(
                    "{} is taken to be complete to {to}, ahead of the clock: until then its rows come late, and most \
                     rules miss them; was the clock wrong for a while? `larum replay` of the files finds what is missed",
                    lane.name
                )
            });
            if let Some(text) = &text {
                warn!(lane = lane.name, text, "complete ahead of the clock");
            }
            self.say(Kind::SourceAhead, &lane.name, text);
        }
    }

    /// Tells what of the source cannot be read while the rest is, and when all of it is again.
    fn tell_broken(&self, step: &Step, known: &mut Known) {
        let broken = self.source.broken();
        // What an earlier life told of is over when all is read and nothing is missing.
        let settled = !known.read.is_empty() && matches!(step, Step::Wait(_));
        if known.broken == broken && (known.broken_said || !settled) {
            return;
        }
        let was_told = std::mem::replace(&mut known.broken, broken.clone()).is_some();
        known.broken_said = true;
        for lane in &self.lanes {
            self.board.write(|status| {
                status.lanes.entry(lane.name.clone()).or_default().broken.clone_from(&broken);
            });
            match &broken {
                Some(why) => warn!(lane = lane.name, why, "a part of it cannot be read"),
                None if was_told => info!(lane = lane.name, "all of it is read again"),
                None => {}
            }
            let text = broken.as_ref().map(|why| format!("a part of {} is missing: {why}", lane.name));
            self.say(Kind::SourceBroken, &lane.name, text);
        }
    }

    async fn failed(&mut self, number: usize, trouble: &Trouble, known: &mut Known) {
        let Some(lane) = self.lanes.get(number).cloned() else { return };
        let now = self.clock.now();
        let state = known.failing.entry(number).or_default();
        // A clock that was set back must not make rules wait for as long as it was ahead.
        let since = state.since.map_or(now, |since| since.min(now));
        state.since = Some(since);
        state.times = state.times.saturating_add(1);
        let text = trouble.to_string();
        warn!(lane = lane.name, times = state.times, trouble = text, "cannot be read");
        self.board.write(|status| {
            let shown = status.lanes.entry(lane.name.clone()).or_default();
            shown.failing_since = Some(since);
            shown.failure = Some(text.clone());
            if let Trouble::Throttled { text, .. } = trouble {
                shown.throttled = Some(Throttled { at: Some(now), said: text.clone() });
            }
        });
        let (refused, whole) = match trouble {
            Trouble::Refused { whole, .. } => (true, *whole),
            Trouble::Passing(_) | Trouble::Throttled { .. } => (false, false),
        };
        let tell = !state.told && (refused || state.times >= TOLD_AFTER);
        state.told |= tell;
        let leave = !state.left && now >= since + self.stall_after;
        state.left |= leave;
        let subject = if whole { source_of(&lane.name) } else { &lane.name };
        if tell && known.causes.fails(number, &text, subject) {
            self.say(Kind::SourceFailing, subject, Some(format!("{subject} cannot be read: {text}")));
        }
        if leave {
            self.board.write(|status| status.lanes.entry(lane.name.clone()).or_default().stalled = true);
            if known.stalls.fails(number, &text, subject) {
                let words = format!(
                    "{subject} could not be read for {}; rules that read another source no longer wait for it",
                    self.stall_after
                );
                self.say(Kind::SourceStalled, subject, Some(words));
            }
            // Nobody is left to wait when the intake is gone.
            let _ = self.intake.send(Work::Leave { lane: lane.id }).await;
        }
    }

    fn say(&self, kind: Kind, subject: &str, text: Option<String>) {
        self.own.say(Event { kind, subject: subject.to_owned(), text });
    }
}

/// The source of a lane: its name without the endpoint.
fn source_of(lane: &str) -> &str {
    lane.split_once('/').map_or(lane, |(source, _)| source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LaneSpec;
    use crate::source::Stepping;

    /// A source that is asked and never answers.
    #[derive(Debug)]
    struct Mute;

    impl LiveSource for Mute {
        fn lanes(&self) -> Vec<LaneSpec> {
            Vec::new()
        }

        fn resume(&mut self, _: usize, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn step(&mut self, _: Timestamp) -> Stepping<'_> {
            Box::pin(std::future::pending())
        }
    }

    /// Complete to the hour of noon of the first day, whatever the clock says.
    #[derive(Debug)]
    struct Ahead;

    const NOON: Timestamp = Timestamp(12 * 3_600_000);

    impl LiveSource for Ahead {
        fn lanes(&self) -> Vec<LaneSpec> {
            Vec::new()
        }

        fn resume(&mut self, _: usize, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn step(&mut self, now: Timestamp) -> Stepping<'_> {
            assert!(now < NOON + Millis::days(366), "nobody was told");
            Box::pin(std::future::ready(Step::Wait(Millis::mins(10))))
        }

        fn complete_ahead(&self, now: Timestamp) -> Option<Timestamp> {
            Some(NOON).filter(|noon| *noon > now)
        }
    }

    #[tokio::test]
    async fn a_source_that_is_complete_ahead_of_the_clock_makes_blind_and_is_told_of_until_it_is_not() {
        let (intake, _work) = mpsc::channel(1);
        let (own, mut said) = Voice::channel();
        let ((ending, stop), board) = (watch::channel(false), Board::default());
        let clock = Clock::at(NOON - Millis::hours(8));
        let lanes = vec![PolledLane { id: SourceId(0), name: "gw/in".to_owned(), cursor: None }];
        let (shown, stall_after) = (board.clone(), Millis::mins(15));
        let poller = Poller { source: Box::new(Ahead), lanes, intake, board, own, clock, stall_after, stop };
        let running = tokio::spawn(poller.run());
        let first = said.recv().await.unwrap();
        let text = "gw/in is taken to be complete to 1970-01-01T12:00:00.000Z, ahead of the clock: until then its rows \
                    come late, and most rules miss them; was the clock wrong for a while? `larum replay` of the files \
                    finds what is missed";
        assert_eq!((first.kind, first.text.as_deref()), (Kind::SourceAhead, Some(text)));
        assert_eq!(
            shown.read().blind(),
            [
                "source gw/in is complete to 1970-01-01T12:00:00.000Z, ahead of the clock: until then its rows come late"
            ]
        );
        let over = said.recv().await.unwrap();
        assert_eq!((over.kind, over.subject.as_str(), over.text), (Kind::SourceAhead, "gw/in", None));
        assert_eq!(shown.read().blind(), Vec::<String>::new());
        ending.send(true).unwrap();
        running.await.unwrap();
        assert!(said.recv().await.is_none(), "told once");
    }

    /// Reads on, while a file of it is broken in the second and the third of four steps.
    #[derive(Debug)]
    struct Torn(u32);

    impl LiveSource for Torn {
        fn lanes(&self) -> Vec<LaneSpec> {
            Vec::new()
        }

        fn resume(&mut self, _: usize, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn step(&mut self, _: Timestamp) -> Stepping<'_> {
            self.0 += 1;
            let read = Step::Read(Box::default());
            Box::pin(std::future::ready(if self.0 <= 4 { read } else { Step::Wait(Millis::hours(1)) }))
        }

        fn broken(&self) -> Option<String> {
            matches!(self.0, 2 | 3).then(|| "cannot read `a.gz`: it breaks off".to_owned())
        }
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_makes_blind_and_is_told_of_until_it_is_whole_while_others_are_read() {
        let (intake, mut work) = mpsc::channel(1);
        let (own, mut said) = Voice::channel();
        let ((ending, stop), board, clock) = (watch::channel(false), Board::default(), Clock::at(NOON));
        let lanes = vec![PolledLane { id: SourceId(0), name: "gw/in".to_owned(), cursor: None }];
        let (shown, stall_after) = (board.clone(), Millis::mins(15));
        let poller =
            Poller { source: Box::new(Torn(0)), lanes, intake, board, own, clock, stall_after, stop };
        let running = tokio::spawn(poller.run());
        let mut blind = Vec::new();
        for _ in 0..4 {
            let Some(Work::Take { kept, .. }) = work.recv().await else { panic!("it is read on") };
            blind.push(shown.read().blind());
            kept.send(true).unwrap();
        }
        let why = "a part of source gw/in is missing: cannot read `a.gz`: it breaks off";
        assert_eq!(blind, [vec![], vec![why.to_owned()], vec![why.to_owned()], vec![]]);
        ending.send(true).unwrap();
        running.await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = said.recv().await {
            told.extend(Some(event.text).filter(|_| event.kind == Kind::SourceBroken));
        }
        let why = "a part of gw/in is missing: cannot read `a.gz`: it breaks off".to_owned();
        assert_eq!(told, [Some(why), None]);
    }

    /// Fails every five minutes; at the second time the clock is set back by hours.
    #[derive(Debug)]
    struct Down {
        clock: Clock,
        steps: u32,
    }

    impl LiveSource for Down {
        fn lanes(&self) -> Vec<LaneSpec> {
            Vec::new()
        }

        fn resume(&mut self, _: usize, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn step(&mut self, now: Timestamp) -> Stepping<'_> {
            self.steps += 1;
            if self.steps == 3 {
                self.clock.set(now - Millis::hours(8));
            }
            let failed = Step::Failed { lane: 0, trouble: Trouble::Passing("no answer".to_owned()) };
            let step = if self.steps.is_multiple_of(2) { Step::Wait(Millis::mins(5)) } else { failed };
            Box::pin(std::future::ready(step))
        }
    }

    #[tokio::test]
    async fn rules_wait_no_longer_for_a_source_that_fails_because_the_clock_was_set_back() {
        let (intake, _work) = mpsc::channel(8);
        let (own, mut said) = Voice::channel();
        let ((ending, stop), board, clock) = (watch::channel(false), Board::default(), Clock::at(NOON));
        let lanes = vec![PolledLane { id: SourceId(0), name: "gw/in".to_owned(), cursor: None }];
        let (shown, stall_after) = (board.clone(), Millis::mins(15));
        let source = Box::new(Down { clock: clock.clone(), steps: 0 });
        let poller = Poller { source, lanes, intake, board, own, clock: clock.clone(), stall_after, stop };
        let running = tokio::spawn(poller.run());
        while said.recv().await.unwrap().kind != Kind::SourceStalled {}
        let failing = shown.read().lanes["gw/in"].failing_since.unwrap();
        assert!(failing < NOON && clock.now() < NOON - Millis::hours(7), "{failing}, {}", clock.now());
        ending.send(true).unwrap();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_shown_long_before_the_request_is_given_up() {
        let (intake, _work) = mpsc::channel(1);
        let (own, _said) = Voice::channel();
        let ((ending, stop), board, clock) = (watch::channel(false), Board::default(), Clock::wall());
        let lane = |id: u16, name: &str| PolledLane { id: SourceId(id), name: name.to_owned(), cursor: None };
        let (lanes, begun) = (vec![lane(0, "prod/a"), lane(1, "prod/b")], clock.now());
        let (shown, stall_after) = (board.clone(), Millis::mins(15));
        let poller = Poller { source: Box::new(Mute), lanes, intake, board, own, clock, stall_after, stop };
        let running = tokio::spawn(poller.run());
        let since = || -> Vec<Option<Timestamp>> {
            shown.read().lanes.values().map(|lane| lane.no_answer_since).collect()
        };
        // The request has a minute.
        for _ in 0..6_000 {
            if !since().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = since();
        assert!(told.len() == 2 && told[0] == told[1] && told[0].is_some_and(|at| at >= begun), "{told:?}");
        ending.send(true).unwrap();
        running.await.unwrap();
        assert_eq!(since(), [None, None], "nobody is asked any more");
    }
}
