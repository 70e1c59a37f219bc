//! Rules that judge together: those that ask of the past share memories, and those that hear of each
//! other's alerts. They go from instant to instant side by side, who is heard of first: so what a
//! memory lets go is let go in event order for all of them, and who asks whether an alert is open
//! sees what the instant brought.

use std::collections::BTreeSet;

use super::lanes::Fronts;
use super::program::{Past, Place};
use super::{Engine, Note, Outcome};
use crate::record::{Millis, RuleId, Timestamp};
use crate::rule::verb::Judge as _;

impl Engine {
    /// Brings those of `which`, which judge together, up to their watermarks.
    pub(super) fn run_linked(&mut self, which: &[usize], fronts: &Fronts, out: &mut Outcome) {
        let generation = self.generation.clone();
        let programs = &generation.programs;
        let mut going: Vec<(usize, Timestamp)> = Vec::new();
        for number in which.iter().copied() {
            let program = &programs.list[number];
            let Some(watermark) = fronts.watermark(program.waits) else { continue };
            // Where time alone decides nothing, what cannot be read holds no timer back.
            let readable = fronts.readable(program.waits).filter(|_| program.verb.waits());
            if self.states[number].begin(watermark, readable.unwrap_or(Timestamp::MAX)) {
                going.push((number, watermark));
            }
        }
        let floors = self.floors(&going);
        while let Some(instant) =
            going.iter().filter_map(|(number, watermark)| self.next(*number, *watermark)).min()
        {
            self.settle_memories(&floors, Some(instant), out);
            for (number, watermark) in &going {
                // Those that are heard of come first, so that this sees what they did at the instant.
                if self.next(*number, *watermark) != Some(instant) {
                    continue;
                }
                self.states[*number].quiet.by = self.open_at(*number, instant);
                let place = Place {
                    tenant: &self.tenant,
                    program: &programs.list[*number],
                    list: &programs.list,
                    limits: generation.limits,
                    number: *number,
                    tells_dirty: self.tells_dirty,
                    watched: self.watched == Some(*number),
                };
                let mut past = Past { programs, memories: &mut self.memories, seen: &mut self.seen };
                let from = out.drafts.len();
                self.states[*number].step(instant, &place, &mut past, out);
                self.pass_on(*number, from, out);
            }
        }
        for (number, watermark) in going {
            let quiet = self.open_at(number, watermark);
            let state = &mut self.states[number];
            state.quiet.by = quiet;
            if state.quiet.by.is_empty() && state.quiet.holds_any() {
                // The rule that held it back means something else by now, or is gone.
                state.release(watermark, &programs.list[number], &mut out.drafts);
            }
            state.end(watermark);
        }
        self.forget_openness();
        self.settle_memories(&floors, None, out);
    }

    /// The next instant at which a rule has something to judge, or may let go what it holds back.
    fn next(&self, number: usize, watermark: Timestamp) -> Option<Timestamp> {
        let state = &self.states[number];
        let reached = state.quiet.reached.or(state.watermark()).unwrap_or(Timestamp::MIN);
        let holds = state.quiet.holds_any();
        let named = self.generation.programs.list[number].quiet_while.iter().filter(|_| holds);
        let changes = named.filter_map(|named| self.states[*named].quiet.changes_after(reached));
        changes.filter(|at| *at <= watermark).chain(state.next(watermark)).min()
    }

    /// The rules that a rule waits for which had an open alert at `at`.
    pub(super) fn open_at(&self, number: usize, at: Timestamp) -> Vec<RuleId> {
        let list = &self.generation.programs.list;
        let open = |named: &&usize| self.states[**named].quiet.was_open(at);
        list[number].quiet_while.iter().filter(open).map(|named| list[*named].rule.id().clone()).collect()
    }

    /// Forgets when alerts were open that nobody asks about any more.
    fn forget_openness(&mut self) {
        let programs = &self.generation.programs;
        // Whoever asks and whoever is asked about judge together.
        for number in programs.linked.iter().copied() {
            let asks = programs.linked.iter().copied();
            let asks = asks.filter(|other| programs.list[*other].quiet_while.contains(&number));
            let reached = asks.map(|other| self.states[other].watermark().unwrap_or(Timestamp::MIN)).min();
            if let Some(reached) = reached {
                self.states[number].quiet.forget(reached);
            }
        }
    }

    /// Up to where each memory may settle: no rule that asks it judges anything before that any more.
    fn floors(&self, going: &[(usize, Timestamp)]) -> Vec<Option<Timestamp>> {
        let programs = &self.generation.programs;
        let reached = |number: usize| {
            let goes = going.iter().find(|(other, _)| *other == number).map(|(_, watermark)| *watermark);
            goes.or(self.states[number].watermark())
        };
        let floor = |memory: usize| {
            let asks = |number: &usize| {
                programs.list[*number].questions.iter().any(|question| question.memory == memory)
            };
            programs.linked.iter().copied().filter(asks).filter_map(reached).min()
        };
        (0..self.memories.len()).map(floor).collect()
    }

    /// Settles what is before `before`, or all that may.
    fn settle_memories(
        &mut self,
        floors: &[Option<Timestamp>],
        before: Option<Timestamp>,
        out: &mut Outcome,
    ) {
        let limit = self.generation.limits.groups;
        for (number, floor) in floors.iter().enumerate() {
            let Some(floor) = *floor else { continue };
            let until = before.map_or(floor, |before| floor.min(before - Millis(1)));
            if let Some(at) = self.memories[number].settle(until, limit, self.horizon) {
                self.tell_full(number, at, out);
            }
        }
    }

    /// A memory reached its bound: every rule that asks it is named.
    pub(super) fn tell_full(&self, memory: usize, at: Timestamp, out: &mut Outcome) {
        let programs = &self.generation.programs;
        let asks = |number: &&usize| {
            programs.list[**number].questions.iter().any(|question| question.memory == memory)
        };
        let rules: BTreeSet<_> =
            programs.linked.iter().filter(asks).map(|number| programs.list[*number].rule.id()).collect();
        let Some(kept) = programs.memories.get(memory) else { return };
        for rule in rules {
            let (rule, what) = (rule.clone(), kept.name());
            out.notes.push(Note::MemoryFull { rule, what, at, limit: self.generation.limits.groups });
        }
    }
}
