//! The core's front door: records in, drafts of alerts out.
//!
//! ```text
//! batch -> take_in (which records exist) -> scan (hits; parallel) -> advance (ordered) -> Outcome
//! watermark -> progress ----------------------------------------------------------------> Outcome
//! ```
//!
//! One engine holds the state of one tenant. What it decides depends only on the batches in the
//! order they were taken in and on the watermarks between; behind the watermark, hits are judged in
//! event order (time, start before end, record id), so order, batching and repetition ahead of the
//! watermark change nothing. Nothing here reads a clock, opens a file or logs.

pub mod group;
mod interned;
pub mod key;
pub mod program;
mod rows;
pub mod scan;
pub mod seen;
pub mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Change, Draft};
use crate::record::field::VOCABULARY;
use crate::record::{Batch, Columns, Millis, Phase, RecordId, RuleId, Timestamp};
use crate::rule::compile::{Programs, Rule};
use crate::rule::problem::Problems;
use crate::rule::script::Script;
use crate::rule::spec::Spec;

pub use group::Decision;
use program::{Place, ProgramState};
pub use scan::{Hit, Scratch};
use scan::{HitOutcome, Seat};
pub use seen::Fresh;
use seen::{SeenRows, Wants, Was};

/// Groups a rule keeps. Past this the group with the fewest hits goes first, then the oldest, then
/// by key: a flood of invented names costs memory chosen in advance and cannot push out a slow burn.
pub const MAX_GROUPS: usize = 1_000_000;

/// Bounds that decide something; part of the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Groups a rule.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { groups: MAX_GROUPS }
    }
}

/// All that decides, besides the records: rules and bounds, compiled together.
#[derive(Debug)]
pub struct Generation {
    /// The rules.
    pub programs: Programs,
    /// The fields that batches must hold for them.
    pub columns: Arc<Columns>,
    /// The bounds.
    pub limits: Limits,
    /// Digest of everything above and of what made the facts; 16 hexadecimal digits.
    pub digest: String,
}

/// A rule that passed every check, waiting to be compiled into a generation.
#[derive(Debug)]
pub struct CheckedRule {
    rule: Arc<Rule>,
    script: Option<Script>,
}

impl CheckedRule {
    /// Checks what decoding cannot see. None if there are errors; all of them are in `problems`.
    pub fn new(spec: Spec, problems: &mut Problems) -> Option<Self> {
        let (rule, script) = crate::rule::compile::rule(spec, problems)?;
        Some(Self { rule, script })
    }

    /// Its rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

impl Generation {
    /// Compiles `rules` together. `columns` holds what the source wants of each row for itself.
    pub fn new(rules: Vec<CheckedRule>, mut columns: Columns, limits: Limits) -> Self {
        let rules: Vec<_> = rules.into_iter().map(|checked| (checked.rule, checked.script)).collect();
        let programs = Programs::compile(rules, &mut columns);
        if programs.list.iter().any(|program| program.accepts(Phase::Amended)) {
            // What changed is told of every field with a name.
            VOCABULARY.iter().filter(|info| !info.produced).for_each(|info| {
                columns.want_known(info.name);
            });
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(limits.groups as u64).to_le_bytes());
        for program in &programs.list {
            hasher.update(program.rule.id().as_str().as_bytes());
            hasher.update(&program.rule.revision.0);
            hasher.update(program.rule.spec.level.as_str().as_bytes());
        }
        let digest = hasher.finalize().to_hex()[..16].to_owned();
        Self { programs, columns: columns.freeze(), limits, digest }
    }

    /// The rule called `id`.
    pub fn rule(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        let list = &self.programs.list;
        list.binary_search_by(|program| program.rule.id().cmp(id)).ok().map(|number| &list[number].rule)
    }
}

/// What is counted of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records that match and have a group.
    pub hits: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Records that match and lack a field of `by`.
    pub group_field_missing: u64,
    /// Records that match and lack the verb's value.
    pub value_missing: u64,
    /// Records that an exception left out.
    pub excepted: u64,
    /// Hits put in behind the watermark.
    pub late: u64,
    /// Hits too late to be put in at their time.
    pub too_late: u64,
    /// Groups that went because there were too many.
    pub groups_evicted: u64,
    /// Hits that left a group because it had too many.
    pub records_dropped: u64,
    /// Values that a `first_seen` group forgot because it had too many.
    pub values_dropped: u64,
    /// Scripts that broke.
    pub script_faults: u64,
}

/// Something that is announced besides alerts.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A rule reached its bound of groups and lets the quietest go. Told once a flood.
    GroupsFull {
        /// The rule.
        rule: RuleId,
        /// When.
        at: Timestamp,
        /// The bound.
        limit: usize,
    },
    /// A script broke on a record. Told once an hour a rule.
    ScriptFault {
        /// The rule.
        rule: RuleId,
        /// When.
        at: Timestamp,
        /// How.
        fault: String,
    },
}

/// What became of one hit, for `explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Its record.
    pub id: RecordId,
    /// Its event time.
    pub at: Timestamp,
    /// Its group.
    pub key: Box<[u8]>,
    /// What happened.
    pub step: Step,
}

/// The steps that `explain` tells apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The verb judged it.
    Decided(Decision),
    /// It lacks a field of `by`.
    GroupFieldMissing,
    /// It lacks the verb's value.
    ValueMissing,
    /// An exception holds, by its number in the file.
    Excepted(usize),
    /// It came too late to be put in at its time.
    TooLate,
    /// Its group was evicted.
    Evicted,
}

/// Stands where no record does: an evicted group's.
const NO_RECORD: RecordId = RecordId([0; 16]);

/// What a step of the engine did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is told, ordered by time, rule and id.
    pub drafts: Vec<Draft>,
    /// What is announced besides.
    pub notes: Vec<Note>,
    /// Groups whose state changed: program number and key, ordered.
    pub dirty: Vec<(usize, Box<[u8]>)>,
    /// What `explain` asked for.
    pub traced: Vec<Traced>,
}

/// Which source a watermark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u16);

/// Up to when a source's records are complete, by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    start: Timestamp,
    end: Timestamp,
    /// Read to its end: it no longer holds anything back.
    finished: bool,
}

/// The state of one tenant under one generation.
#[derive(Debug)]
pub struct Engine {
    generation: Arc<Generation>,
    tenant: Arc<str>,
    states: Vec<ProgramState>,
    seen: SeenRows,
    rows: seen::Tally,
    lanes: BTreeMap<SourceId, Lane>,
    /// Longest lateness any rule still takes in.
    horizon: Millis,
    /// What rules want of rows.
    wants: Wants,
    /// The program that `explain` watches.
    watched: Option<usize>,
    tells_dirty: bool,
}

/// An engine's state, for restoring it under the same generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(pub Vec<u8>);

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// It is of other rules.
    #[error("the snapshot is of generation {0}, not of this one")]
    OtherGeneration(String),
    /// It cannot be read, or the state cannot be written.
    #[error("the snapshot cannot be read or written")]
    Unreadable(#[from] postcard::Error),
}

type SnapshotParts<S, R, L> = (String, S, R, seen::Tally, L);

impl Engine {
    /// An engine without a past.
    pub fn new(generation: Arc<Generation>, tenant: &str) -> Self {
        let list = &generation.programs.list;
        Self {
            states: list.iter().map(|_| ProgramState::default()).collect(),
            horizon: list.iter().map(|program| program.late_within).max().unwrap_or_default(),
            wants: Wants {
                ends: list.iter().any(|program| program.accepts(Phase::End)),
                amendments: list.iter().any(|program| program.accepts(Phase::Amended)),
            },
            tenant: tenant.into(),
            seen: SeenRows::default(),
            rows: seen::Tally::default(),
            lanes: BTreeMap::new(),
            watched: None,
            tells_dirty: false,
            generation,
        }
    }

    /// The generation in force.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Makes the engine tell what becomes of each hit of `rule`. False if there is no such rule.
    pub fn watch(&mut self, rule: &RuleId) -> bool {
        self.watched = self.generation.programs.list.iter().position(|program| program.rule.id() == rule);
        self.watched.is_some()
    }

    /// Makes outcomes name the groups whose state changed.
    pub fn tell_dirty(&mut self) {
        self.tells_dirty = true;
    }

    /// Adds a source: until it tells how far it has read, no rule that waits goes on.
    pub fn add_source(&mut self, source: SourceId) {
        let none = Lane { start: Timestamp::MIN, end: Timestamp::MIN, finished: false };
        self.lanes.entry(source).or_insert(none);
    }

    /// Which records `batch` brings. Ordered: call it once for each batch, in journal order.
    pub fn take_in(&mut self, batch: &Batch) -> Vec<Fresh> {
        self.seen.take_in(batch, self.wants, &mut self.rows)
    }

    /// The hits of `fresh` records of `batch`. Pure: chunks of them may be scanned in any order.
    pub fn scan(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) -> Vec<Hit> {
        self.generation.programs.scan(batch, fresh, scratch)
    }

    /// Takes in the hits of one batch, in its order. Rules that need no state fire now, the others
    /// when the watermark passes.
    pub fn advance(&mut self, batch: &Batch, hits: Vec<Hit>) -> Outcome {
        let mut outcome = Outcome::default();
        for hit in hits {
            self.admit(batch, hit, &mut outcome);
        }
        finish(outcome)
    }

    fn admit(&mut self, batch: &Batch, hit: Hit, outcome: &mut Outcome) {
        let row = &batch.rows[hit.row];
        let seat = hit.outcome.seat();
        let number = hit.program;
        let program = &self.generation.programs.list[number];
        // A later version of the row makes its records come again, all but its end.
        let own = hit.phase == row.only.unwrap_or(Phase::Start);
        if let HitOutcome::Grouped { entry, .. } = &hit.outcome {
            let program = u32::try_from(number).unwrap_or(u32::MAX);
            let was = Was { program, amended: !own, clears: entry.clears };
            if (own || hit.phase == Phase::Amended) && !self.seen.first_time(hit.seat, was) {
                return;
            }
        }
        let state = &mut self.states[number];
        let place = Place {
            tenant: &self.tenant,
            program,
            limits: self.generation.limits,
            number,
            tells_dirty: self.tells_dirty,
            watched: self.watched == Some(number),
        };
        let watched = self.watched == Some(number);
        let trace = |step: Step, key: Box<[u8]>, seat: Seat| Traced { id: seat.id, at: seat.at, key, step };
        match hit.outcome {
            HitOutcome::Grouped { key, entry } => {
                if !entry.clears {
                    state.counters.hits += 1;
                }
                state.admit(key, entry, &place, watched, outcome);
            }
            HitOutcome::NoGroup(seat) => {
                state.counters.group_field_missing += 1;
                if watched {
                    outcome.traced.push(trace(Step::GroupFieldMissing, Box::default(), seat));
                }
            }
            HitOutcome::NoValue(_) => {
                state.counters.value_missing += 1;
                if watched {
                    let key = program.key(batch.record(hit.row, hit.phase)).unwrap_or_default();
                    outcome.traced.push(trace(Step::ValueMissing, key, seat));
                }
            }
            HitOutcome::Excepted(_, exception) => {
                state.counters.excepted += 1;
                if watched {
                    let key = program.key(batch.record(hit.row, hit.phase)).unwrap_or_default();
                    outcome.traced.push(trace(Step::Excepted(exception), key, seat));
                }
            }
        }
    }

    /// `source` is complete up to `start` for start records and up to `end` for end records.
    /// Watermarks never go back.
    pub fn progress(&mut self, source: SourceId, start: Timestamp, end: Timestamp) -> Outcome {
        let lane = self.lanes.entry(source).or_insert(Lane { start, end, finished: false });
        lane.start = lane.start.max(start);
        lane.end = lane.end.max(end);
        self.run()
    }

    /// `source` has been read to its end, which is at `last`: it holds nothing back any more, and
    /// when every source has ended, the last of their ends is the watermark.
    pub fn finish(&mut self, source: SourceId, last: Timestamp) -> Outcome {
        let lane = self.lanes.entry(source).or_insert(Lane { start: last, end: last, finished: true });
        lane.start = lane.start.max(last);
        lane.end = lane.end.max(last);
        lane.finished = true;
        self.run()
    }

    fn watermark(&self, wants: impl Fn(&Lane) -> Timestamp) -> Timestamp {
        let running = self.lanes.values().filter(|lane| !lane.finished).map(&wants).min();
        let ended = || self.lanes.values().map(&wants).max();
        running.or_else(ended).unwrap_or(Timestamp::MIN)
    }

    /// Brings every rule up to its watermark.
    fn run(&mut self) -> Outcome {
        let start = self.watermark(|lane| lane.start);
        let end = self.watermark(|lane| lane.end);
        let mut outcome = Outcome::default();
        for (number, state) in self.states.iter_mut().enumerate() {
            let program = &self.generation.programs.list[number];
            if program.on_arrival {
                continue;
            }
            let ends = program.accepts(Phase::End);
            let starts = program.accepts(Phase::Start) || program.accepts(Phase::Amended);
            let watermark = match (starts, ends) {
                (true, true) => start.min(end),
                (false, true) => end,
                (true | false, false) => start,
            };
            let place = Place {
                tenant: &self.tenant,
                program,
                limits: self.generation.limits,
                number,
                tells_dirty: self.tells_dirty,
                watched: self.watched == Some(number),
            };
            state.run(watermark, &place, self.watched == Some(number), &mut outcome);
        }
        self.seen.forget(start.min(end), self.horizon);
        finish(outcome)
    }

    /// What is counted, by rule.
    pub fn counters(&self) -> impl Iterator<Item = (&RuleId, &Counters)> {
        let programs = &self.generation.programs.list;
        programs.iter().zip(&self.states).map(|(program, state)| (program.rule.id(), &state.counters))
    }

    /// Rows taken in so far: new, unchanged, amended.
    pub fn rows(&self) -> seen::Tally {
        self.rows
    }

    /// The alerts that are open, as they stand: what a change of each would say now.
    pub fn open_alerts(&self) -> Vec<Change> {
        let programs = self.generation.programs.list.iter();
        let mut open: Vec<Change> =
            programs.zip(&self.states).flat_map(|(program, state)| state.open(program)).collect();
        open.sort_by_key(|change| change.id);
        open
    }

    /// Groups that `rule` holds.
    pub fn groups(&self, rule: &RuleId) -> usize {
        let position = self.generation.programs.list.iter().position(|program| program.rule.id() == rule);
        position.map_or(0, |number| self.states[number].groups())
    }

    /// The whole state. An error means that a part of it cannot be written: never restore from less.
    pub fn snapshot(&self) -> Result<Snapshot, BadSnapshot> {
        let parts: SnapshotParts<_, _, _> =
            (self.generation.digest.clone(), &self.states, &self.seen, self.rows, &self.lanes);
        Ok(Snapshot(postcard::to_stdvec(&parts)?))
    }

    /// The engine as it was when `snapshot` was taken.
    pub fn restore(
        generation: Arc<Generation>,
        tenant: &str,
        snapshot: &Snapshot,
    ) -> Result<Self, BadSnapshot> {
        let parts: SnapshotParts<Vec<ProgramState>, SeenRows, BTreeMap<SourceId, Lane>> =
            postcard::from_bytes(&snapshot.0)?;
        let (digest, states, seen, rows, lanes) = parts;
        if digest != generation.digest || states.len() != generation.programs.list.len() {
            return Err(BadSnapshot::OtherGeneration(digest));
        }
        let mut engine = Self::new(generation, tenant);
        engine.states = states;
        for (state, program) in engine.states.iter_mut().zip(&engine.generation.programs.list) {
            state.wake(program);
        }
        (engine.seen, engine.rows, engine.lanes) = (seen, rows, lanes);
        Ok(engine)
    }
}

/// Puts an outcome in the order in which it is told.
fn finish(mut outcome: Outcome) -> Outcome {
    outcome.drafts.sort_by_cached_key(Draft::order);
    outcome.dirty.sort();
    outcome.dirty.dedup();
    outcome
}
