//! Scan: records to hits. Pure and in any order, so chunks may be scanned in parallel.

use std::sync::Arc;

use crate::record::{Batch, Locator, Phase, RecordId, Timestamp};
use crate::rule::compile::{Programs, Role};
use crate::rule::condition::{Condition, Memo};
use crate::rule::index::Looked;
use crate::rule::verb::Entry;

use super::Generation;
use super::interned::{Interned, Spot};
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
    looked: Looked,
    found: Vec<u32>,
    interned: Interned,
    matched: Vec<Matched>,
}

/// A record that an input accepts, before its group and values are known.
#[derive(Debug)]
struct Matched {
    /// Number of the record among the fresh ones.
    fresh: usize,
    /// Number of the input.
    input: usize,
    marks: u32,
    /// The exception that holds.
    excepted: Option<usize>,
    /// Where to look for its values.
    spot: Spot,
}

/// Records whose values are looked up together: memory answers many at once as soon as one.
const TOGETHER: usize = 32;

/// The hits of a batch whose rows nobody has looked up yet, should all of them be new: so that
/// batches can be scanned ahead of their turn.
#[derive(Debug)]
pub struct Guess {
    fresh: Vec<Fresh>,
    hits: Vec<Hit>,
}

impl Guess {
    /// The hits, if `fresh` is what was guessed: the records that the batch does bring.
    pub fn confirmed(self, fresh: &[Fresh]) -> Option<Vec<Hit>> {
        let Self { fresh: guessed, mut hits } = self;
        if guessed.len() != fresh.len() || !guessed.iter().zip(fresh).all(|(one, other)| one.is_as(other)) {
            return None;
        }
        // Hits stand in the order of their records.
        let mut place = 0;
        for hit in &mut hits {
            let is_its = |one: &Fresh| (one.row, one.phase) == (hit.row, hit.phase);
            place += fresh.get(place..)?.iter().position(is_its)?;
            hit.seat = fresh.get(place)?.seat;
        }
        Some(hits)
    }
}

impl Generation {
    /// The hits of `batch` if all of its rows are new.
    pub fn guess(&self, batch: &Batch, scratch: &mut Scratch) -> Guess {
        let fresh = Fresh::all_new(batch, self.wants());
        let hits = self.programs.scan(batch, &fresh, scratch);
        Guess { fresh, hits }
    }
}

impl Programs {
    /// The hits of `fresh` records of `batch`, record by record.
    pub fn scan(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) -> Vec<Hit> {
        self.matched(batch, fresh, scratch);
        let Scratch { interned, matched, .. } = scratch;
        let mut hits = Vec::with_capacity(matched.len());
        for some in matched.chunks_mut(TOGETHER) {
            let mut near = 0;
            for one in some.iter_mut() {
                let number = self.inputs[one.input].program;
                one.spot = interned.spot(number, &self.list[number], fresh[one.fresh].record(batch));
                near += usize::from(interned.glance(one.spot));
            }
            std::hint::black_box(near);
            for one in some {
                let (input, fresh) = (&self.inputs[one.input], &fresh[one.fresh]);
                hits.push(Hit {
                    row: fresh.row,
                    phase: fresh.phase,
                    seat: fresh.seat,
                    program: input.program,
                    outcome: self.outcome(one, batch, fresh, interned),
                });
            }
        }
        matched.clear();
        hits
    }

    /// What inputs accept of `fresh`, record by record, into `scratch`.
    fn matched(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) {
        let Scratch { memo, looked, found, matched, .. } = scratch;
        memo.clear();
        looked.clear();
        for (place, one) in fresh.iter().enumerate() {
            let first = matched.len();
            let record = one.record(batch);
            self.index.candidates(record, looked, found);
            for number in &*found {
                let number = *number as usize;
                let input = &self.inputs[number];
                let wanted = input.phases.contains(one.phase);
                if !wanted || !self.predicates.holds(&input.condition, record, memo) {
                    continue;
                }
                let (mut excepted, mut marks) = (None, 0);
                let program = &self.list[input.program];
                match input.role {
                    Role::Hit => {
                        let mut holds =
                            |condition: &Condition| self.predicates.holds(condition, record, memo);
                        excepted = program.exceptions.iter().position(|exception| {
                            exception.until.is_none_or(|until| one.at < until) && holds(&exception.condition)
                        });
                        for (bit, mark) in program.marks.iter().enumerate() {
                            marks |= u32::from(holds(mark)) << bit;
                        }
                    }
                    Role::Clear => {
                        // A record that clears a group is no hit of it; a program's inputs are neighbours.
                        let before = matched[first..].last();
                        if before.is_some_and(|hit| self.inputs[hit.input].program == input.program) {
                            matched.pop();
                        }
                    }
                }
                matched.push(Matched { fresh: place, input: number, marks, excepted, spot: Spot::NONE });
            }
        }
    }

    fn outcome(
        &self,
        matched: &Matched,
        batch: &Batch,
        fresh: &Fresh,
        interned: &mut Interned,
    ) -> HitOutcome {
        let input = &self.inputs[matched.input];
        let program = &self.list[input.program];
        let record = fresh.record(batch);
        let seat = Seat { at: fresh.at, id: record.id(), locator: record.row().locator };
        if let Some(number) = matched.excepted {
            return HitOutcome::Excepted(seat, number);
        }
        let Some(key) = interned.key(program, record) else { return HitOutcome::NoGroup(seat) };
        let clears = input.role == Role::Clear;
        let values = if clears || program.carries.is_empty() {
            Arc::default()
        } else {
            match interned.values(input.program, program, record, matched.spot) {
                Some(values) => values,
                None => return HitOutcome::NoValue(seat),
            }
        };
        let Seat { at, id, locator } = seat;
        let (phase, marks) = (fresh.phase, matched.marks);
        let entry = Entry { at, phase, id, locator, marks, clears, seat: 0, values };
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

#[cfg(test)]
mod tests {
    use super::super::{CheckedRule, Engine, Limits};
    use super::*;
    use crate::record::fact::Facts;
    use crate::record::scan::{Mapping, Origin, Scanner};
    use crate::record::{Columns, Locator};
    use crate::rule::decode::{Options, decode};

    fn generation() -> Arc<Generation> {
        let rule = |id: &str, body: &str| {
            let text = format!("rule: {id}\ntitle: r\nlevel: low\n{body}\n");
            let (spec, mut problems) = decode("r.yaml", text.as_str(), &Options::default());
            CheckedRule::new(spec.unwrap(), &mut problems).unwrap()
        };
        let rules = vec![
            rule("burst", "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user]}"),
            rule("ends", "match: {phase: end, user|exists: true}"),
            rule("news", "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user]}"),
        ];
        Arc::new(Generation::new(rules, Columns::default(), Limits::default()))
    }

    /// A batch of rows `id user outcome end`.
    fn batch(generation: &Generation, rows: &str) -> Batch {
        let facts = Arc::new(Facts::default());
        let scanner = Scanner::new(generation.columns.clone(), facts, Origin::file(Mapping::default()));
        let line = |row: &str| {
            let parts: Vec<&str> = row.split_whitespace().collect();
            let [id, user, outcome, end] = parts[..] else { panic!("{row}") };
            format!(
                r#"{{"id":"{id}","kind":"login","start_time":"2026-01-05T09:00:00Z","user_name":"{user}","outcome":"{outcome}","end_time":"{end}","public_ip":"192.0.2.{id}"}}"#
            ) + "\n"
        };
        scanner.scan(rows.split('|').map(line).collect(), Locator(0))
    }

    #[test]
    fn a_guess_that_is_confirmed_is_what_scanning_finds() {
        let generation = generation();
        let mut engine = Engine::new(generation.clone(), "acme");
        let rows = "1 ana failure - | 2 bob success 2026-01-05T10:00:00Z | 3 ana failure - | 4 - success -";
        for (rows, confirmed) in [
            (rows, true),
            (rows, false),
            ("5 ana success - | 5 ana success -", false),
            ("6 ana failure 2026-01-05T09:30:00Z | 7 ana failure -", true),
            ("7 ana failure 2026-01-05T09:30:00Z | 8 ana failure -", false),
            ("9 cat failure -", true),
        ] {
            let batch = batch(&generation, rows);
            let guess = generation.guess(&batch, &mut Scratch::default());
            let fresh = engine.take_in(&batch);
            let meant = engine.scan(&batch, &fresh, &mut Scratch::default());
            let hits = guess.confirmed(&fresh);
            assert_eq!(hits.is_some(), confirmed, "{rows}");
            if let Some(hits) = hits {
                assert_eq!(format!("{hits:?}"), format!("{meant:?}"), "{rows}");
            }
            engine.advance(&batch, meant);
        }
    }
}
