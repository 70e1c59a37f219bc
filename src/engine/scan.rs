//! Scan: records to hits. Pure and in any order, so chunks may be scanned in parallel.

use crate::record::{Batch, Datum, Locator, Phase, RecordId, Timestamp};
use crate::rule::compile::{Program, Programs, Role};
use crate::rule::condition::Memo;
use crate::rule::verb::Entry;

use super::seen::Fresh;

/// What a record is to a program.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The row's number in its batch.
    pub row: usize,
    /// Which record of the row.
    pub phase: Phase,
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
        key: Box<[u8]>,
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
}

impl Programs {
    /// The hits of `fresh` records of `batch`, record by record.
    pub fn scan(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) -> Vec<Hit> {
        let mut hits = Vec::new();
        let (mut found, mut memo) = (std::mem::take(&mut scratch.found), std::mem::take(&mut scratch.memo));
        for one in fresh {
            let first = hits.len();
            let record = batch.record(one.row, one.phase);
            self.index.candidates(record, &mut found);
            memo.clear();
            for number in &found {
                let input = &self.inputs[*number as usize];
                let wanted = input.phases.contains(one.phase);
                if !wanted || !self.predicates.holds(&input.condition, record, &mut memo) {
                    continue;
                }
                let program = &self.list[input.program];
                let outcome = self.outcome(program, input.role, batch, one, &mut memo);
                // A record that clears a group is no hit of it; a program's inputs are neighbours.
                if input.role == Role::Clear
                    && hits[first..].last().is_some_and(|hit: &Hit| hit.program == input.program)
                {
                    hits.pop();
                }
                hits.push(Hit { row: one.row, phase: one.phase, program: input.program, outcome });
            }
        }
        (scratch.found, scratch.memo) = (found, memo);
        hits
    }

    fn outcome(
        &self,
        program: &Program,
        role: Role,
        batch: &Batch,
        fresh: &Fresh,
        memo: &mut Memo,
    ) -> HitOutcome {
        let record = batch.record(fresh.row, fresh.phase);
        let seat = Seat { at: fresh.at, id: record.id(), locator: record.row().locator };
        if role == Role::Hit {
            let holds = |number: &usize| {
                let exception = &program.exceptions[*number];
                exception.until.is_none_or(|until| fresh.at < until)
                    && self.predicates.holds(&exception.condition, record, &mut *memo)
            };
            if let Some(number) = (0..program.exceptions.len()).find(holds) {
                return HitOutcome::Excepted(seat, number);
            }
        }
        let Some(key) = program.key(record) else { return HitOutcome::NoGroup(seat) };
        let mut values = Vec::new();
        let mut marks = 0;
        if role == Role::Hit {
            for carry in &program.carries {
                let value = carry.of(record);
                if carry.required && value == Datum::Absent {
                    return HitOutcome::NoValue(seat);
                }
                values.push(value);
            }
            for (bit, mark) in program.marks.iter().enumerate() {
                marks |= u32::from(self.predicates.holds(mark, record, memo)) << bit;
            }
        }
        let entry = Entry {
            at: seat.at,
            phase: fresh.phase,
            id: seat.id,
            locator: seat.locator,
            marks,
            clears: role == Role::Clear,
            values: values.into(),
        };
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
