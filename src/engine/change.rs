//! From one generation to the next, and rules that learn from the journal before they take part.
//!
//! A rule whose meaning is the same keeps its state, whatever became of its words; the others are
//! dropped. What a rule learned from the journal is put in its place at once: nothing is told of the
//! past but what still holds. Nothing here reads a journal: whoever has it feeds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::{AlertId, Draft, Fired, State};
use crate::record::{RuleId, Timestamp};
use crate::rule::compile::Program;
use crate::rule::past::Memory;

use super::group::stays_open;
use super::memory::MemoryState;
use super::program::{Place, ProgramState};
use super::{Engine, Generation, Limits, Note, Outcome, finish};

/// Standing alerts that a rebuilt rule raises; past this the later ones are left out, counted and told.
pub const MAX_STANDING: usize = 10_000;

/// What came of a new generation.
#[derive(Debug)]
pub struct Succession {
    /// Alerts of rules that are gone close.
    pub outcome: Outcome,
    /// Rules without a past, by id.
    pub new: Vec<RuleId>,
}

/// Alerts of rules that learn from the journal, as they fired, for as long as they are open: what
/// is not over when the rules are in force has to be told.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<RuleId, BTreeMap<AlertId, Box<Fired>>>);

impl Standing {
    /// Swallows what an engine under `generation` told, but for what is open.
    pub fn swallow(&mut self, generation: &Generation, drafts: Vec<Draft>) {
        for draft in drafts {
            match draft {
                Draft::Fired(fired) => {
                    let number = generation.position(&fired.rule);
                    let open = self.0.entry(fired.rule.clone()).or_default();
                    let stays = number.is_some_and(|number| stays_open(&generation.programs.list[number]));
                    if stays && open.len() < MAX_STANDING {
                        open.insert(fired.id, fired);
                    }
                }
                Draft::Changed(change) => match change.state {
                    State::Closed | State::Resolved => {
                        self.0.get_mut(&change.rule).map(|open| open.remove(&change.id));
                    }
                    State::Open | State::Updated | State::Acknowledged => {}
                },
            }
        }
    }
}

/// What places are made of, apart from the engine.
struct Places {
    tenant: Arc<str>,
    limits: Limits,
    tells_dirty: bool,
}

impl Places {
    fn of<'a>(&'a self, list: &'a [Program], number: usize) -> Place<'a> {
        let (Self { tenant, limits, tells_dirty }, program) = (self, &list[number]);
        Place { tenant, program, list, limits: *limits, number, tells_dirty: *tells_dirty, watched: false }
    }
}

impl Engine {
    fn places(&self) -> Places {
        let (tenant, limits) = (self.tenant.clone(), self.generation.limits);
        Places { tenant, limits, tells_dirty: self.tells_dirty }
    }

    /// Puts `new` in force, between two batches. Rules that mean what they meant keep their state;
    /// alerts of the others close. Rows and lanes are as they were.
    pub fn succeed(&mut self, new: Arc<Generation>) -> Succession {
        let before = self.generation.clone();
        self.part(&|lead| alike_as_before(&before, lead, &new).is_some());
        self.kept = None;
        let old = std::mem::replace(&mut self.generation, new);
        let (generation, mut outcome) = (self.generation.clone(), Outcome::default());
        let places = self.places();
        let mut states: Vec<Option<ProgramState>> = generation.programs.list.iter().map(|_| None).collect();
        let mut moves = Vec::with_capacity(old.programs.list.len());
        for (number, mut state) in std::mem::take(&mut self.states).into_iter().enumerate() {
            let program = &old.programs.list[number];
            let to = generation.same(program);
            moves.push(to.and_then(|to| u32::try_from(to).ok()));
            match to {
                Some(to) => {
                    state.shrink(&places.of(&generation.programs.list, to), &mut outcome);
                    states[to] = Some(state);
                }
                // Its number names nobody any more.
                None => state.close(
                    &Place { tells_dirty: false, number: 0, ..places.of(&old.programs.list, number) },
                    &mut outcome,
                ),
            }
        }
        // What is remembered stays where it is still asked for; what is not is learnt anew. A rule whose
        // level changed may from now on remember for itself, or with others: it begins with what was.
        let find = |is: &dyn Fn(&Memory) -> bool| old.programs.memories.iter().position(is);
        let mut memories: Vec<MemoryState> = Vec::new();
        for memory in &generation.programs.memories {
            let alike =
                find(&|other| other.alike(memory)).filter(|_| find(&|other| other.same(memory)).is_none());
            memories.push(alike.map(|place| self.memories[place].clone()).unwrap_or_default());
        }
        for (memory, state) in generation.programs.memories.iter().zip(&mut memories) {
            if let Some(place) = find(&|other| other.same(memory)) {
                *state = std::mem::take(&mut self.memories[place]);
            }
        }
        self.memories = memories;
        let list = &generation.programs.list;
        let is_new = |(program, state): (&Program, &Option<ProgramState>)| {
            state.is_none().then(|| program.rule.id().clone())
        };
        let new = list.iter().zip(&states).filter_map(is_new).collect();
        // Who comes to look at the same windows together does so from the beginning.
        let begins = |number: usize| {
            let program = &list[number];
            let alone = program.alike.iter().any(|other| states[*other].is_some());
            if alone { ProgramState::default() } else { ProgramState::new(program) }
        };
        let begun: Vec<Option<ProgramState>> =
            (0..list.len()).map(|number| states[number].is_none().then(|| begins(number))).collect();
        self.states =
            states.into_iter().zip(begun).map(|(state, begun)| state.or(begun).unwrap_or_default()).collect();
        let watched =
            self.watched.and_then(|number| generation.position(old.programs.list[number].rule.id()));
        (self.watched, self.wants, self.horizon) = (watched, generation.wants(), generation.horizon());
        self.seen.follow(&moves, (&old.columns, &generation.columns), self.wants);
        outcome.add(self.run());
        Succession { outcome: finish(outcome), new }
    }

    /// Puts what the rules of `learnt` know in the place of what they know here, between two batches: both
    /// must have taken in the same entries of the journal. Rules that mean something else here are
    /// left out. Each group whose alert is open raises it as one that stands; nothing else is told.
    pub fn adopt(&mut self, mut learnt: Self, mut standing: Standing) -> Outcome {
        self.kept = None;
        // Up to where the lanes are here, what has been learnt is past, and nothing of it is told.
        learnt.lanes = self.lanes.clone();
        let past = learnt.run().drafts;
        standing.swallow(&learnt.generation, past);
        let Standing(mut open) = standing;
        let (generation, mut outcome) = (self.generation.clone(), Outcome::default());
        let (list, places) = (&generation.programs.list, self.places());
        let moves: Vec<Option<u32>> = learnt
            .generation
            .programs
            .list
            .iter()
            .map(|program| {
                let helps = learnt.generation.helpers.contains(program.rule.id());
                let to = if helps { None } else { generation.same(program) };
                to.and_then(|to| u32::try_from(to).ok())
            })
            .collect();
        let taken: BTreeSet<u32> = moves.iter().flatten().copied().collect();
        let is_taken = |number: &usize| u32::try_from(*number).is_ok_and(|number| taken.contains(&number));
        // Whole families change hands as they are; of the others each goes by itself.
        let whole = |lead: usize| {
            let from = &learnt.generation;
            let helps = |number: usize| from.helpers.contains(from.programs.list[number].rule.id());
            let program = &from.programs.list[lead];
            let helped = helps(lead) || program.alike.iter().any(|other| helps(*other));
            alike_as_before(from, lead, &generation).filter(|_| !helped)
        };
        let replaced: BTreeSet<usize> = (0..learnt.states.len()).filter_map(whole).collect();
        let goes_whole: BTreeSet<usize> =
            (0..learnt.states.len()).filter(|lead| whole(*lead).is_some()).collect();
        learnt.part(&|lead| goes_whole.contains(&lead));
        self.part(&|lead| {
            let touched = is_taken(&lead) || list[lead].alike.iter().any(is_taken);
            replaced.contains(&lead) || !touched
        });
        let told: Vec<u64> = (0..list.len()).map(|number| self.counted(number).alerts).collect();
        let stay = |number: usize| u32::try_from(number).ok().filter(|number| !taken.contains(number));
        let stays: Vec<Option<u32>> = (0..list.len()).map(stay).collect();
        self.seen.follow(&stays, (&generation.columns, &generation.columns), self.wants);
        let columns = (&*learnt.generation.columns, &*generation.columns);
        self.seen.adopt(learnt.seen, &moves, columns, self.wants);
        self.adopt_memories(&learnt.generation, learnt.memories, &taken);
        for (to, mut state) in moves.into_iter().zip(learnt.states) {
            let Some(to) = to.map(|to| to as usize) else { continue };
            let place = places.of(list, to);
            let fired = open.remove(list[to].rule.id()).unwrap_or_default();
            let before = outcome.drafts.len();
            take_over(&mut self.states[to], &mut state, fired, &place, &mut outcome);
            // What the past would have raised was never told, and counts as nothing but what still holds.
            let stands = outcome.drafts[before..].iter().filter(|draft| matches!(draft, Draft::Fired(_)));
            state.counters.alerts = told[to] + stands.count() as u64;
            state.raise_alike(list[to].alike.iter().map(|other| told[*other]).collect());
            state.recount();
            self.states[to] = state;
        }
        outcome.add(self.run());
        finish(outcome)
    }
}

impl Engine {
    /// What the rules that were `taken` over have learnt to remember: where no other rule asks, theirs
    /// stands, else what the others have known longer.
    fn adopt_memories(&mut self, from: &Generation, learnt: Vec<MemoryState>, taken: &BTreeSet<u32>) {
        let programs = &self.generation.programs;
        for (memory, state) in from.programs.memories.iter().zip(learnt) {
            let Some(to) = programs.memories.iter().position(|other| other.same(memory)) else { continue };
            let stays = programs.linked.iter().any(|number| {
                let asks = programs.list[*number].questions.iter().any(|question| question.memory == to);
                asks && u32::try_from(*number).is_ok_and(|number| !taken.contains(&number))
            });
            if !stays && let Some(place) = self.memories.get_mut(to) {
                *place = state;
            }
        }
    }
}

/// The program of `new` whose windows those of `old` go on to look at which look at those of `lead`: all of
/// them mean what they meant, and nobody else comes to it.
fn alike_as_before(old: &Generation, lead: usize, new: &Generation) -> Option<usize> {
    let program = old.programs.list.get(lead).filter(|program| !program.alike.is_empty())?;
    let to = new.same(program)?;
    let alike: Vec<usize> =
        program.alike.iter().map(|other| new.same(&old.programs.list[*other])).collect::<Option<_>>()?;
    let there = &new.programs.list[to];
    (there.lead == to && there.alike == alike).then_some(to)
}

/// The alerts that change hands: those that were told here go on, those that were not are told as
/// standing, and those that only the old state knows close.
fn take_over(
    old: &mut ProgramState,
    new: &mut ProgramState,
    mut fired: BTreeMap<AlertId, Box<Fired>>,
    place: &Place<'_>,
    out: &mut Outcome,
) {
    let told: BTreeMap<AlertId, u32> =
        old.open(place.program).iter().map(|change| (change.id, change.revision)).collect();
    let mut left_out = 0_u64;
    let mut goes_on = BTreeMap::new();
    for change in new.open(place.program) {
        if let Some(revision) = told.get(&change.id) {
            goes_on.insert(change.id, *revision);
        } else if let Some(mut alert) = fired.remove(&change.id) {
            alert.standing = true;
            if !change.held {
                alert.held_by.clear();
            }
            (alert.level, alert.level_line) = (change.level, change.level_line);
            goes_on.insert(change.id, 1);
            out.drafts.push(Draft::Fired(alert));
        } else {
            left_out += 1;
        }
    }
    old.renumber_open(|id| told.get(&id).copied().filter(|_| !goes_on.contains_key(&id)));
    old.close(place, out);
    new.renumber_open(|id| goes_on.get(&id).copied());
    new.quiet.retain(|id| goes_on.contains_key(&id));
    if left_out > 0 {
        let (rule, at) = (place.program.rule.id().clone(), new.watermark().unwrap_or(Timestamp::MIN));
        out.notes.push(Note::StandingLeftOut { rule, at, left_out });
    }
}
