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

mod chain;
pub mod change;
mod checkpoint;
pub mod generation;
mod graph;
pub mod group;
mod groups;
mod interned;
pub mod key;
mod lanes;
pub mod links;
mod memory;
mod open;
pub mod program;
mod quiet;
mod risk;
mod rows;
pub mod scan;
pub mod seen;
pub mod tell;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Change, Draft};
use crate::record::scan::Endpoint;
use crate::record::{Batch, Millis, Phase, RecordId, Row, RuleId, Timestamp};
use crate::rule::why::Answered;

pub use change::{Standing, Succession};
use checkpoint::Kept;
pub use checkpoint::{BadSnapshot, Snapshot};
pub use generation::{CheckedRule, Compiled, Generation, GenerationText, Limits, RuleText};
pub use group::Decision;
use groups::{Look, MAX_WARM};
use lanes::Lanes;
use memory::MemoryState;
use program::{Past, Place, ProgramState};
pub use scan::{Guess, Hit, Scratch};
use scan::{HitOutcome, Seat};
pub use seen::Fresh;
use seen::{SeenRows, Wants, Was};

/// Groups a rule keeps. Past this the group with the fewest hits goes first, then the oldest, then
/// by key: a flood of invented names costs memory chosen in advance and cannot push out a slow burn.
pub const MAX_GROUPS: usize = 1_000_000;

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
    /// Of those, hits that only late ones would still have looked back on. Not kept over a restart.
    #[serde(skip)]
    pub dropped_early: u64,
    /// Values that a `first_seen` group forgot because it had too many, and hits that `times_others` did.
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
    /// What a rule remembers of values reached its bound of groups and lets the quietest go. Told once
    /// a flood.
    MemoryFull {
        /// The rule.
        rule: RuleId,
        /// Of which field, by which.
        what: String,
        /// When.
        at: Timestamp,
        /// The bound.
        limit: usize,
    },
    /// A rule that learned from the past holds for more groups than are told.
    StandingLeftOut {
        /// The rule.
        rule: RuleId,
        /// Up to when it learned.
        at: Timestamp,
        /// Groups that are not told.
        left_out: u64,
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
    /// An exception holds, by its number in the file; past the last of those, the verb's own.
    Excepted(usize),
    /// It came too late to be put in at its time.
    TooLate,
    /// Its group was evicted.
    Evicted,
    /// What the past answered; what came of it, if anything, is told next.
    Answered(Vec<Answered>),
    /// It is no record but the firing of another program, of this number, which a correlation or a risk hears
    /// of; what came of it is told next.
    Heard(usize),
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

impl Outcome {
    /// Adds what a later step did.
    fn add(&mut self, later: Self) {
        self.drafts.extend(later.drafts);
        self.notes.extend(later.notes);
        self.dirty.extend(later.dirty);
        self.traced.extend(later.traced);
    }
}

/// Which source a watermark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u16);

/// The state of one tenant under one generation.
#[derive(Debug)]
pub struct Engine {
    generation: Arc<Generation>,
    tenant: Arc<str>,
    states: Vec<ProgramState>,
    memories: Vec<MemoryState>,
    seen: SeenRows,
    rows: seen::Tally,
    lanes: Lanes,
    /// Longest lateness any rule still takes in.
    horizon: Millis,
    /// What rules want of rows.
    wants: Wants,
    /// The program that `explain` watches.
    watched: Option<usize>,
    tells_dirty: bool,
    /// What was written down last; none: the next checkpoint is of the whole state.
    kept: Option<Kept>,
    look: Look,
}

impl Engine {
    /// An engine without a past.
    pub fn new(generation: Arc<Generation>, tenant: &str) -> Self {
        let list = &generation.programs.list;
        Self {
            states: list.iter().map(ProgramState::new).collect(),
            memories: generation.programs.memories.iter().map(|_| MemoryState::default()).collect(),
            horizon: generation.horizon(),
            wants: generation.wants(),
            tenant: tenant.into(),
            seen: SeenRows::default(),
            rows: seen::Tally::default(),
            lanes: Lanes::default(),
            watched: None,
            tells_dirty: false,
            kept: None,
            look: Look::default(),
            generation,
        }
    }

    /// The generation in force.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Makes the engine tell what becomes of each hit of `rule`. False if there is no such rule.
    pub fn watch(&mut self, rule: &RuleId) -> bool {
        self.watched = self.generation.position(rule);
        // What becomes of a hit is told of one rule alone.
        self.part(&|_| false);
        self.watched.is_some()
    }

    /// From now on every rule has windows of its own, but for those of which `stays` says that all who
    /// look at theirs go on to do so.
    fn part(&mut self, stays: &dyn Fn(usize) -> bool) {
        let generation = self.generation.clone();
        for (number, program) in generation.programs.list.iter().enumerate() {
            if !self.states[number].together || stays(number) {
                continue;
            }
            self.kept = None;
            self.seen.mark_alike(number, &program.alike);
            for (other, state) in program.alike.iter().zip(self.states[number].part(program)) {
                self.states[*other] = state;
            }
        }
    }

    /// The rule whose windows this one looks at.
    fn lead(&self, number: usize) -> usize {
        let lead = self.generation.programs.list.get(number).map_or(number, |program| program.lead);
        if self.states.get(lead).is_some_and(|state| state.together) { lead } else { number }
    }

    /// Makes outcomes name the groups whose state changed.
    pub fn tell_dirty(&mut self) {
        self.tells_dirty = true;
    }

    /// Adds a source, or takes back one that left: until it tells how far it has read, no rule that
    /// may hear of it goes on. It brings the records of `endpoint`; without one, anything.
    pub fn add_source(&mut self, source: SourceId, endpoint: Option<Endpoint>) {
        self.lanes.join(source, endpoint);
    }

    /// `source` was removed: rules that read another one go on without it.
    pub fn remove(&mut self, source: SourceId) -> Outcome {
        self.lanes.remove(source);
        self.run()
    }

    /// `source` stalled: rules that read another one go on without it, the others stand still, and
    /// none is told that it is silent. What it brings behind their watermark when it comes back is late.
    pub fn leave(&mut self, source: SourceId) -> Outcome {
        self.lanes.leave(source);
        self.run()
    }

    /// Which records `batch` brings. Ordered: call it once for each batch, in journal order.
    pub fn take_in(&mut self, batch: &Batch) -> Vec<Fresh> {
        self.take_in_from(SourceId(0), batch)
    }

    /// The same where sources may leave: their rows are remembered until they come back.
    pub fn take_in_from(&mut self, source: SourceId, batch: &Batch) -> Vec<Fresh> {
        self.seen.take_in(source.0, batch, self.wants, &mut self.rows)
    }

    /// The version of `row` that was taken in last; none if the row is not known.
    pub fn version(&self, row: &Row) -> Option<u64> {
        self.seen.version(row)
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
        self.add_up(0, &mut outcome);
        finish(outcome)
    }

    /// A memory learns.
    fn learn(&mut self, number: usize, hit: HitOutcome, phase: Phase, outcome: &mut Outcome) {
        let HitOutcome::Learns { key, value, seat } = hit else { return };
        let (order, limit) = ((seat.at, phase, seat.id), self.generation.limits.groups);
        let own = self.generation.programs.memories[number].owner.is_some();
        if own && self.memories[number].is_too_late(seat.at, self.horizon) {
            return;
        }
        if self.memories[number].learn(order, key, value, limit, self.horizon) {
            self.tell_full(number, seat.at, outcome);
        }
    }

    fn admit(&mut self, batch: &Batch, hit: Hit, outcome: &mut Outcome) {
        if let HitOutcome::Learns { .. } = hit.outcome {
            self.learn(hit.program, hit.outcome, hit.phase, outcome);
            return;
        }
        if !self.states[hit.program].together {
            let generation = self.generation.clone();
            for other in &generation.programs.list[hit.program].alike {
                self.admit_to(batch, Hit { program: *other, ..hit.clone() }, outcome);
            }
        }
        self.admit_to(batch, hit, outcome);
    }

    fn admit_to(&mut self, batch: &Batch, hit: Hit, outcome: &mut Outcome) {
        let row = &batch.rows[hit.row];
        let number = hit.program;
        let program = &self.generation.programs.list[number];
        // A later version of the row makes its records come again, all but its end.
        let own = hit.phase == row.only.unwrap_or(Phase::Start);
        let clears = match &hit.outcome {
            HitOutcome::Grouped { entry, .. } => Some(entry.clears),
            HitOutcome::Several { .. } => Some(false),
            HitOutcome::NoGroup(_)
            | HitOutcome::NoValue(_)
            | HitOutcome::Excepted(..)
            | HitOutcome::Open { .. }
            | HitOutcome::Learns { .. } => None,
        };
        if let Some(clears) = clears {
            let program = u32::try_from(number).unwrap_or(u32::MAX);
            let was = Was { program, amended: !own, clears };
            if (own || hit.phase == Phase::Amended) && !self.seen.first_time(hit.seat, was) {
                return;
            }
        }
        if !program.quiet_while.is_empty() {
            // What comes late is held by what is open now.
            self.states[number].quiet.by = self.open_at(number, Timestamp::MAX);
        }
        let state = &mut self.states[number];
        let place = Place {
            tenant: &self.tenant,
            program,
            list: &self.generation.programs.list,
            limits: self.generation.limits,
            number,
            tells_dirty: self.tells_dirty,
            watched: self.watched == Some(number),
        };
        let (watched, from) = (self.watched == Some(number), outcome.drafts.len());
        let trace = |step: Step, key: Box<[u8]>, seat: Seat| Traced { id: seat.id, at: seat.at, key, step };
        match hit.outcome {
            HitOutcome::Grouped { key, entry } => {
                if program.verb.is_hit(&entry) {
                    state.counters.hits += 1;
                }
                state.admit(key, entry, &place, outcome);
            }
            HitOutcome::Open { key, entry, open } => {
                let programs = &self.generation.programs;
                let mut past = Past { programs, memories: &mut self.memories, seen: &mut self.seen };
                state.admit_open(key, entry, open, &place, &mut past, outcome);
            }
            HitOutcome::Several { hits, ungrouped, valueless, .. } => {
                state.counters.group_field_missing += u64::from(ungrouped);
                state.counters.value_missing += u64::from(valueless);
                for (key, entry) in hits {
                    state.counters.hits += 1;
                    state.admit(key, entry, &place, outcome);
                }
            }
            HitOutcome::Learns { .. } => {}
            HitOutcome::NoGroup(seat) => {
                state.counters.group_field_missing += 1;
                if watched {
                    outcome.traced.push(trace(Step::GroupFieldMissing, Box::default(), seat));
                }
            }
            HitOutcome::NoValue(seat) => {
                state.counters.value_missing += 1;
                if watched {
                    let key = program.key(batch.record(hit.row, hit.phase)).unwrap_or_default();
                    outcome.traced.push(trace(Step::ValueMissing, key, seat));
                }
            }
            HitOutcome::Excepted(seat, exception) => {
                state.counters.excepted += 1;
                if watched {
                    let key = program.key(batch.record(hit.row, hit.phase)).unwrap_or_default();
                    outcome.traced.push(trace(Step::Excepted(exception), key, seat));
                }
            }
        }
        if outcome.drafts.len() > from {
            self.pass_on(number, from, outcome);
        }
    }

    /// `source` is complete up to `start` for start records and up to `end` for end records.
    /// Watermarks never go back.
    pub fn progress(&mut self, source: SourceId, start: Timestamp, end: Timestamp) -> Outcome {
        self.lanes.progress(source, start, end);
        self.run()
    }

    /// `source` has been read to its end, which is at `last`: it holds nothing back any more, and
    /// when every source has ended, the last of their ends is the watermark.
    pub fn finish(&mut self, source: SourceId, last: Timestamp) -> Outcome {
        self.lanes.finish(source, last);
        self.run()
    }

    /// Brings every rule up to its watermark.
    fn run(&mut self) -> Outcome {
        let fronts = self.lanes.fronts();
        let mut outcome = Outcome::default();
        for number in self.generation.programs.alone.iter().copied() {
            if self.lead(number) != number {
                continue;
            }
            let (program, state) = (&self.generation.programs.list[number], &mut self.states[number]);
            let Some(watermark) = fronts.watermark(program.waits) else { continue };
            let readable = fronts.readable(program.waits).unwrap_or(watermark);
            let place = Place {
                tenant: &self.tenant,
                program,
                list: &self.generation.programs.list,
                limits: self.generation.limits,
                number,
                tells_dirty: self.tells_dirty,
                watched: self.watched == Some(number),
            };
            state.run((watermark, readable), &place, &mut outcome);
        }
        let generation = self.generation.clone();
        self.run_linked(&generation.programs.linked, &fronts, &mut outcome);
        // All that is added up is told by now.
        self.add_up(0, &mut outcome);
        self.run_linked(&generation.programs.risks, &fronts, &mut outcome);
        self.seen.forget(fronts.all().unwrap_or(Timestamp::MIN), self.horizon, &self.lanes.left());
        self.pack();
        finish(outcome)
    }

    /// What is counted, by rule.
    pub fn counters(&self) -> impl Iterator<Item = (&RuleId, Counters)> {
        let programs = self.generation.programs.list.iter().enumerate();
        programs.map(|(number, program)| (program.rule.id(), self.counted(number)))
    }

    fn counted(&self, number: usize) -> Counters {
        let lead = self.lead(number);
        let counters = self.states[lead].counters.clone();
        let alike = &self.generation.programs.list[lead].alike;
        match alike.iter().position(|other| *other == number).filter(|_| lead != number) {
            Some(place) => Counters { alerts: self.states[lead].raised(place), ..counters },
            None => counters,
        }
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

    /// What is remembered of values: of which field by which, groups, groups let go, values let go.
    pub fn memories(&self) -> impl Iterator<Item = (String, usize, u64, u64)> {
        let kept = self.generation.programs.memories.iter().zip(&self.memories);
        kept.map(|(kept, state)| (kept.name(), state.groups(), state.groups_evicted, state.values_dropped))
    }

    /// Whether `rule` looks at the windows of another one, which keeps the same hits.
    pub fn looks_at_another(&self, rule: &RuleId) -> bool {
        self.generation.position(rule).is_some_and(|number| self.lead(number) != number)
    }

    /// Groups that `rule` holds.
    pub fn groups(&self, rule: &RuleId) -> usize {
        self.generation.position(rule).map_or(0, |number| self.states[self.lead(number)].groups())
    }

    /// Bytes of the state of each rule in memory, about; of what it keeps with others, its share.
    pub fn bytes(&self) -> impl Iterator<Item = (&RuleId, u64)> {
        let list = &self.generation.programs.list;
        let mut bytes: Vec<usize> = Vec::with_capacity(list.len());
        for number in 0..list.len() {
            // Whose windows a rule looks at comes before it.
            let lead = self.lead(number);
            let many = if self.states[lead].together { list[lead].alike.len() + 1 } else { 1 };
            bytes.push(bytes.get(lead).copied().unwrap_or_else(|| self.states[lead].bytes() / many));
        }
        list.iter().zip(bytes).map(|(program, bytes)| (program.rule.id(), bytes as u64))
    }

    /// Packs all groups, as if none had been touched lately. It decides nothing.
    pub fn rest(&mut self) {
        self.states.iter_mut().for_each(|state| state.pack_down(0));
    }

    /// Keeps the groups that lie ready within their bound, those of all rules together.
    fn pack(&mut self) {
        let warm = |states: &[ProgramState]| states.iter().map(ProgramState::warm).sum::<usize>();
        if !self.look.is_due(warm(&self.states)) {
            return;
        }
        self.states.iter_mut().for_each(ProgramState::pack_idle);
        let left = warm(&self.states);
        if left >= MAX_WARM {
            for state in &mut self.states {
                state.pack_down(state.warm() * (MAX_WARM / 2) / left);
            }
        }
        self.look.done(warm(&self.states));
    }
}

/// Puts an outcome in the order in which it is told.
fn finish(mut outcome: Outcome) -> Outcome {
    outcome.drafts.sort_by_cached_key(Draft::order);
    outcome.dirty.sort();
    outcome.dirty.dedup();
    outcome
}
