//! Rules that judge together: those that ask of the past share memories, and go from instant to
//! instant side by side, so that what a memory lets go is let go in event order for all of them.

use std::collections::BTreeSet;

use super::lanes::Fronts;
use super::program::{Past, Place};
use super::{Engine, Note, Outcome};
use crate::record::{Millis, Timestamp};

impl Engine {
    /// Brings the rules that judge together up to their watermarks.
    pub(super) fn run_linked(&mut self, fronts: &Fronts, out: &mut Outcome) {
        let generation = self.generation.clone();
        let programs = &generation.programs;
        let mut going: Vec<(usize, Timestamp)> = Vec::new();
        for number in programs.linked.iter().copied() {
            let Some(watermark) = fronts.watermark(programs.list[number].waits) else { continue };
            if self.states[number].begin(watermark) {
                going.push((number, watermark));
            }
        }
        let floors = self.floors(&going);
        while let Some(instant) =
            going.iter().filter_map(|(number, watermark)| self.states[*number].next(*watermark)).min()
        {
            self.settle_memories(&floors, Some(instant), out);
            for (number, watermark) in &going {
                if self.states[*number].next(*watermark) != Some(instant) {
                    continue;
                }
                let place = Place {
                    tenant: &self.tenant,
                    program: &programs.list[*number],
                    limits: generation.limits,
                    number: *number,
                    tells_dirty: self.tells_dirty,
                    watched: self.watched == Some(*number),
                };
                let mut past = Past { programs, memories: &self.memories, seen: &mut self.seen };
                self.states[*number].step(instant, &place, &mut past, out);
            }
        }
        for (number, watermark) in going {
            self.states[number].end(watermark);
        }
        self.settle_memories(&floors, None, out);
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
