//! Lanes: how far each stream of rows is complete, and up to when a rule may therefore judge.
//!
//! A rule waits for the lanes that can bring what it accepts, and for no other. A lane that left
//! (it stalled, or was removed) holds back no rule that reads another; a rule that reads none but
//! such lanes stands still. Nothing here reads a clock: lanes move when they are told to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::scan::Endpoint;
use crate::record::{Phase, Timestamp};
use crate::rule::compile::Reads;

use super::SourceId;

/// One lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    /// Whose rows it brings; none: anything.
    endpoint: Option<Endpoint>,
    /// Complete up to here, start records.
    start: Timestamp,
    /// Complete up to here, end records.
    end: Timestamp,
    standing: Standing,
}

/// Whether rules wait for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    /// They do.
    Running,
    /// It was read to its end: it holds nothing back any more.
    Finished,
    /// It stalled: rules that read another go on, but nobody can say that it is silent.
    Left,
    /// It was removed.
    Removed,
}

/// Every lane that ever counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lanes(BTreeMap<SourceId, Lane>);

/// How far the lanes of one kind are.
#[derive(Debug, Clone, Copy, Default)]
struct Front {
    /// The least of those that run: start and end.
    running: Option<(Timestamp, Timestamp)>,
    /// The greatest of those that were read to their end.
    finished: Option<(Timestamp, Timestamp)>,
    /// The least of those that stalled.
    stalled: Option<(Timestamp, Timestamp)>,
}

/// The earlier of both, each by itself.
fn least(
    one: Option<(Timestamp, Timestamp)>,
    (start, end): (Timestamp, Timestamp),
) -> (Timestamp, Timestamp) {
    one.map_or((start, end), |(a, b)| (a.min(start), b.min(end)))
}

impl Front {
    fn add(&mut self, lane: &Lane) {
        let (start, end) = (lane.start, lane.end);
        match lane.standing {
            Standing::Running => self.running = Some(least(self.running, (start, end))),
            Standing::Finished => {
                let (a, b) = self.finished.unwrap_or((start, end));
                self.finished = Some((a.max(start), b.max(end)));
            }
            Standing::Left => self.stalled = Some(least(self.stalled, (start, end))),
            Standing::Removed => {}
        }
    }

    /// Both together.
    fn or(mut self, other: Self) -> Self {
        if let Some(running) = other.running {
            self.running = Some(least(self.running, running));
        }
        if let Some(stalled) = other.stalled {
            self.stalled = Some(least(self.stalled, stalled));
        }
        if let Some((start, end)) = other.finished {
            let (a, b) = self.finished.unwrap_or((start, end));
            self.finished = Some((a.max(start), b.max(end)));
        }
        self
    }

    /// Up to where all are complete; when all were read to their end, the last of their ends.
    fn watermark(self) -> Option<(Timestamp, Timestamp)> {
        self.running.or(self.finished)
    }
}

/// How far the lanes are, by what they bring; only kinds that there are.
#[derive(Debug)]
pub struct Fronts(Vec<(Option<Endpoint>, Front)>);

impl Lanes {
    /// Adds a lane, or takes back one that left. It is where it was.
    pub fn join(&mut self, lane: SourceId, endpoint: Option<Endpoint>) {
        let none = Timestamp::MIN;
        let new = Lane { endpoint, start: none, end: none, standing: Standing::Running };
        let lane = self.0.entry(lane).or_insert(new);
        lane.endpoint = endpoint;
        if matches!(lane.standing, Standing::Left | Standing::Removed) {
            lane.standing = Standing::Running;
        }
    }

    /// A lane is gone for good, as far as anybody knows.
    pub fn remove(&mut self, lane: SourceId) {
        if let Some(lane) = self.0.get_mut(&lane) {
            lane.standing = Standing::Removed;
        }
    }

    /// A lane holds back nothing any more that reads another.
    pub fn leave(&mut self, lane: SourceId) {
        if let Some(lane) = self.0.get_mut(&lane) {
            lane.standing = Standing::Left;
        }
    }

    /// A lane is complete up to here; it never goes back. One that is not known brings anything.
    pub fn progress(&mut self, lane: SourceId, start: Timestamp, end: Timestamp) {
        let new = Lane { endpoint: None, start, end, standing: Standing::Running };
        let lane = self.0.entry(lane).or_insert(new);
        lane.start = lane.start.max(start);
        lane.end = lane.end.max(end);
    }

    /// A lane was read to its end, which is at `last`.
    pub fn finish(&mut self, lane: SourceId, last: Timestamp) {
        self.progress(lane, last, last);
        if let Some(lane) = self.0.get_mut(&lane) {
            lane.standing = Standing::Finished;
        }
    }

    /// How far they are, once for all rules.
    pub fn fronts(&self) -> Fronts {
        let mut fronts: Vec<(Option<Endpoint>, Front)> = Vec::new();
        for lane in self.0.values() {
            let known = fronts.iter().position(|(endpoint, _)| *endpoint == lane.endpoint);
            let place = known.unwrap_or(fronts.len());
            if place == fronts.len() {
                fronts.push((lane.endpoint, Front::default()));
            }
            fronts[place].1.add(lane);
        }
        Fronts(fronts)
    }

    /// Those that left, by number, and up to where they were complete then.
    pub fn left(&self) -> BTreeMap<u16, Timestamp> {
        let left =
            self.0.iter().filter(|(_, lane)| matches!(lane.standing, Standing::Left | Standing::Removed));
        left.map(|(id, lane)| (id.0, lane.start.min(lane.end))).collect()
    }
}

impl Fronts {
    /// Up to when a rule that reads this may judge; none where nothing it reads goes on.
    pub fn watermark(&self, reads: Reads) -> Option<Timestamp> {
        let (starts, ends) = self.read_by(reads);
        let start = starts.watermark().map(|(start, _)| start);
        let end = ends.watermark().map(|(_, end)| end);
        start.into_iter().chain(end).min()
    }

    /// Up to when all that such a rule reads is complete, what has stalled not left out: nobody can
    /// say of a later time that nothing happened.
    pub fn readable(&self, reads: Reads) -> Option<Timestamp> {
        let (starts, ends) = self.read_by(reads);
        let start = starts.stalled.map(|(start, _)| start);
        let end = ends.stalled.map(|(_, end)| end);
        start.into_iter().chain(end).chain(self.watermark(reads)).min()
    }

    /// What a rule reads: of start records, and of end records.
    fn read_by(&self, reads: Reads) -> (Front, Front) {
        let (mut starts, mut ends) = (Front::default(), Front::default());
        for (endpoint, front) in &self.0 {
            let phases = reads.from(*endpoint);
            if phases.contains(Phase::Start) || phases.contains(Phase::Amended) {
                starts = starts.or(*front);
            }
            if phases.contains(Phase::End) {
                ends = ends.or(*front);
            }
        }
        (starts, ends)
    }

    /// Up to when everything is complete that is still waited for.
    pub fn all(&self) -> Option<Timestamp> {
        let all = self.0.iter().fold(Front::default(), |all, (_, front)| all.or(*front));
        all.watermark().map(|(start, end)| start.min(end))
    }
}
