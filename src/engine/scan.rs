//! Scan: records to hits. Pure and in any order, so chunks may be scanned in parallel.
//!
//! Where a rule asks of the past, a hit comes with a verdict that is open: see [`super::open`].

use std::sync::Arc;

use crate::record::{Batch, Locator, Phase, Record, RecordId, Timestamp};
use crate::rule::compile::{Input, Programs, Role};
use crate::rule::condition::Memo;
use crate::rule::past::{QuestionId, Rest};
use crate::rule::verb::Entry;

use super::interned::Interned;
use super::key::GroupKey;
use super::open::Open;
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
    /// The past decides. The entry's marks are those that hold by the record alone.
    Open {
        /// The group; empty if it has none.
        key: GroupKey,
        /// What the group keeps of it.
        entry: Entry,
        /// What the past decides.
        open: Box<Open>,
    },
    /// The memory whose number the program's is learns from it.
    Learns {
        /// The memory's group.
        key: GroupKey,
        /// What was used.
        value: Arc<str>,
        /// Which record.
        seat: Seat,
    },
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
                let wanted = input.phases.contains(one.phase) && self.in_time(input, one.at);
                if wanted && input.role != Role::Learn && !self.list[input.program].questions.is_empty() {
                    self.open(input, batch, one, memo, interned, &mut hits, first);
                    continue;
                }
                if !wanted || !self.predicates.holds(&input.condition, record, memo) {
                    continue;
                }
                if input.role == Role::Learn {
                    hits.extend(self.lesson(input.program, batch, one));
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

    /// What the memory of this number learns from a record.
    fn lesson(&self, number: usize, batch: &Batch, fresh: &Fresh) -> Option<Hit> {
        let record = fresh.record(batch);
        let (key, value) = self.asked(number, record)?;
        let seat = Seat { at: fresh.at, id: record.id(), locator: record.row().locator };
        let outcome = HitOutcome::Learns { key, value, seat };
        Some(Hit { row: fresh.row, phase: fresh.phase, seat: fresh.seat, program: number, outcome })
    }

    /// The group and the value that the memory of this number keeps of a record.
    fn asked(&self, number: usize, record: Record<'_>) -> Option<(GroupKey, Arc<str>)> {
        let memory = &self.memories[number];
        let value = memory.value(record)?;
        let mut key = Vec::with_capacity(48);
        memory.write_key(record, &mut key).then(|| (GroupKey::new(&key), value))
    }

    /// What a record may be to a program that asks of the past: one hit, whatever its inputs are.
    #[expect(clippy::too_many_arguments, reason = "what a scan works with")]
    fn open(
        &self,
        input: &Input,
        batch: &Batch,
        fresh: &Fresh,
        memo: &mut Memo,
        interned: &mut Interned,
        hits: &mut Vec<Hit>,
        first: usize,
    ) {
        let (program, record) = (&self.list[input.program], fresh.record(batch));
        let number = |id: QuestionId| {
            let place = program.questions.iter().position(|question| question.id == id);
            place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
        };
        let rest = self.predicates.reduce(&input.condition, record, memo, &number);
        if rest == Rest::Settled(false) {
            return;
        }
        if let Some(Hit { program: same, outcome: HitOutcome::Open { open, .. }, .. }) =
            hits[first..].last_mut()
            && *same == input.program
        {
            open.roles.push((input.role, rest));
            return;
        }
        let key = interned.key(program, record);
        let values = interned.values(input.program, program, record);
        let mut exceptions = Vec::new();
        for (number_of_exception, exception) in program.exceptions.iter().enumerate() {
            if exception.until.is_none_or(|until| fresh.at < until) {
                let rest = self.predicates.reduce(&exception.condition, record, memo, &number);
                if rest != Rest::Settled(false) {
                    exceptions.push((number_of_exception, rest));
                }
            }
        }
        let (mut marks, mut open_marks) = (0, Vec::new());
        for (bit, mark) in (0_u8..).zip(&program.marks) {
            match self.predicates.reduce(mark, record, memo, &number) {
                Rest::Settled(holds) => marks |= u32::from(holds) << bit,
                rest @ (Rest::Asks(_) | Rest::All(_) | Rest::Any(_) | Rest::Not(_)) => {
                    open_marks.push((bit, rest));
                }
            }
        }
        let (own, amended) = (batch.rows[fresh.row].only.unwrap_or(Phase::Start), Phase::Amended);
        let open = Open {
            row: (fresh.phase == own || fresh.phase == amended).then(|| fresh.seat.key()),
            amended: fresh.phase != own,
            roles: vec![(input.role, rest)],
            exceptions,
            marks: open_marks,
            asked: program.questions.iter().map(|question| self.asked(question.memory, record)).collect(),
            grouped: key.is_some(),
            valued: values.is_some(),
        };
        let entry = Entry {
            at: fresh.at,
            phase: fresh.phase,
            id: record.id(),
            locator: record.row().locator,
            marks,
            clears: false,
            seat: 0,
            values: values.unwrap_or_default(),
        };
        let key = key.unwrap_or_else(|| GroupKey::new(&[]));
        let outcome = HitOutcome::Open { key, entry, open: Box::new(open) };
        hits.push(Hit {
            row: fresh.row,
            phase: fresh.phase,
            seat: fresh.seat,
            program: input.program,
            outcome,
        });
    }

    /// Whether the rule's hours let a record of this time be a hit; what clears a group, or teaches what
    /// is known, does so at any time.
    fn in_time(&self, input: &Input, at: Timestamp) -> bool {
        match (input.role, &self.list[input.program].rule.spec.hours) {
            (Role::Hit, Some(hours)) => hours.accept(at),
            (Role::Hit, None) | (Role::Clear | Role::Learn, _) => true,
        }
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
            Self::Grouped { entry, .. } | Self::Open { entry, .. } => {
                Seat { at: entry.at, id: entry.id, locator: entry.locator }
            }
            Self::NoGroup(seat)
            | Self::NoValue(seat)
            | Self::Excepted(seat, _)
            | Self::Learns { seat, .. } => *seat,
        }
    }
}
