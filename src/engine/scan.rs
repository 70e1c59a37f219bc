//! Scan: records to hits. Pure and in any order, so chunks may be scanned in parallel.

use std::sync::Arc;

use crate::record::{Batch, Locator, Phase, RecordId, Timestamp};
use crate::rule::compile::{Input, Programs, Role};
use crate::rule::condition::Memo;
use crate::rule::verb::Entry;

use super::interned::Interned;
use super::key::GroupKey;
use super::seen::{self, Fresh};

/// What a record is to a program.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The row's number in its batch.
    pub row: usize,
    /// Which record of the row.
    pub phase: Phase,
    /// Where the row is remembered.
    pub seat: seen::Seat,
    /// Which program.
    pub program: usize,
    /// What came of it.
    pub outcome: HitOutcome,
}

/// What came of a record that a rule's condition accepts.
#[derive(Debug, Clone)]
pub enum HitOutcome {
    /// It belongs to a group.
    Grouped {
        /// The group.
        key: GroupKey,
        /// What the group keeps of it.
        entry: Entry,
    },
    /// It lacks a field of `by`.
    NoGroup(Seat),
    /// It lacks the verb's value.
    NoValue(Seat),
    /// An exception holds, by its number in the file.
    Excepted(Seat, usize),
}

/// Which record, for those that get no further.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// Event time.
    pub at: Timestamp,
    /// Identity.
    pub id: RecordId,
    /// Where its row is.
    pub locator: Locator,
}

/// Scratch of one scanning thread.
#[derive(Debug, Default)]
pub struct Scratch {
    memo: Memo,
    found: Vec<u32>,
    interned: Interned,
}

impl Programs {
    /// The hits of `fresh` records of `batch`, record by record.
    pub fn scan(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) -> Vec<Hit> {
        let mut hits = Vec::new();
        let Scratch { memo, found, interned } = scratch;
        for one in fresh {
            let first = hits.len();
            let record = one.record(batch);
            self.index.candidates(record, found);
            memo.clear();
            for number in &*found {
                let input = &self.inputs[*number as usize];
                let wanted = input.phases.contains(one.phase);
                if !wanted || !self.predicates.holds(&input.condition, record, memo) {
                    continue;
                }
                let hours = self.list[input.program].rule.spec.hours.as_ref();
                // What clears a group does so at any time.
                if input.role != Role::Clear && hours.is_some_and(|hours| !hours.accept(one.at)) {
                    continue;
                }
                let outcome = self.outcome(input, batch, one, memo, interned);
                // A record that clears a group is no hit of it; a program's inputs are neighbours.
                if input.role == Role::Clear
                    && hits[first..].last().is_some_and(|hit: &Hit| hit.program == input.program)
                {
                    hits.pop();
                }
                hits.push(Hit {
                    row: one.row,
                    phase: one.phase,
                    seat: one.seat,
                    program: input.program,
                    outcome,
                });
            }
        }
        hits
    }

    fn outcome(
        &self,
        input: &Input,
        batch: &Batch,
        fresh: &Fresh,
        memo: &mut Memo,
        interned: &mut Interned,
    ) -> HitOutcome {
        let program = &self.list[input.program];
        let record = fresh.record(batch);
        let seat = Seat { at: fresh.at, id: record.id(), locator: record.row().locator };
        let clears = input.role == Role::Clear;
        if !clears {
            let holds = |number: &usize| {
                let exception = &program.exceptions[*number];
                exception.until.is_none_or(|until| fresh.at < until)
                    && self.predicates.holds(&exception.condition, record, &mut *memo)
            };
            if let Some(number) = (0..program.exceptions.len()).find(holds) {
                return HitOutcome::Excepted(seat, number);
            }
        }
        let Some(key) = interned.key(program, record) else { return HitOutcome::NoGroup(seat) };
        let (mut values, mut marks) = (Arc::default(), 0);
        if !clears {
            match interned.values(input.program, program, record) {
                Some(wanted) => values = wanted,
                None => return HitOutcome::NoValue(seat),
            }
            for (bit, mark) in program.marks.iter().enumerate() {
                marks |= u32::from(self.predicates.holds(mark, record, memo)) << bit;
            }
        }
        let Seat { at, id, locator } = seat;
        let entry = Entry { at, phase: fresh.phase, id, locator, marks, clears, seat: 0, values };
        HitOutcome::Grouped { key, entry }
    }
}

impl HitOutcome {
    /// Which record it is.
    pub fn seat(&self) -> Seat {
        match self {
            Self::Grouped { entry, .. } => Seat { at: entry.at, id: entry.id, locator: entry.locator },
            Self::NoGroup(seat) | Self::NoValue(seat) | Self::Excepted(seat, _) => *seat,
        }
    }
}
