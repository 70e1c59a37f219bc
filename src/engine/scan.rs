//! Scan: records to hits. Pure and in any order, so chunks may be scanned in parallel.
//!
//! Where a rule asks of the past, a hit comes with a verdict that is open: see `engine::open`.

use std::sync::Arc;

use crate::record::{Batch, Locator, Phase, Record, RecordId, Timestamp};
use crate::rule::compile::{self, Input, Program, Programs, Role};
use crate::rule::condition::{Condition, Memo, Phases};
use crate::rule::index::{Candidate, Looked};
use crate::rule::past::{QuestionId, Rest};
use crate::rule::verb::Entry;

use super::Generation;
use super::interned::{Interned, Spot};
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
    /// It belongs to groups by what each of a correlation's rules calls their fields.
    Several {
        /// Which record.
        seat: Seat,
        /// The groups, and what each keeps of it.
        hits: Vec<(GroupKey, Entry)>,
        /// Namings by which it lacks a field of `by`.
        ungrouped: u32,
        /// Namings by which it lacks the verb's value.
        valueless: u32,
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
    looked: Looked,
    found: Vec<Candidate>,
    accepted: Vec<Match>,
    interned: Interned,
    matched: Vec<Matched>,
}

/// An input that accepts a record, or may; ordered by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    /// Number of the record among the fresh ones.
    place: u32,
    /// Number of the input.
    input: u32,
}

/// What a record is to an input.
#[derive(Debug)]
enum Matched {
    /// The input accepts it; its group and values are not known yet.
    Accepted(Accepted),
    /// All is known; none once it is given.
    Made(Option<Box<Hit>>),
}

/// A record that an input accepts.
#[derive(Debug)]
struct Accepted {
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

/// The hits of a batch whose rows nobody has looked up yet, should they be new: so that batches can be
/// scanned ahead of their turn.
#[derive(Debug)]
pub struct Guess {
    fresh: Vec<Fresh>,
    hits: Vec<Hit>,
}

impl Guess {
    /// The hits of the `fresh` records that the batch does bring. What was guessed is kept, and `scan` finds those
    /// of records that nobody guessed: most rows that are not new come again as they were, and bring none.
    pub fn settled(self, fresh: &[Fresh], scan: impl FnOnce(&[Fresh]) -> Vec<Hit>) -> Vec<Hit> {
        let Self { fresh: guessed, hits } = self;
        let was_guessed = |one: &&Fresh| {
            let from = guessed.partition_point(|guess| guess.row < one.row);
            guessed[from..].iter().take_while(|guess| guess.row == one.row).any(|guess| guess.is_as(one))
        };
        let all =
            guessed.len() == fresh.len() && guessed.iter().zip(fresh).all(|(one, other)| one.is_as(other));
        let others: Vec<Fresh> =
            if all { Vec::new() } else { fresh.iter().filter(|one| !was_guessed(one)).cloned().collect() };
        let found = if others.is_empty() { Vec::new() } else { scan(&others) };
        // Hits stand in the order of their records, and those in the order of rows.
        let (mut hits, mut found) = (hits.into_iter().peekable(), found.into_iter().peekable());
        let mut settled = Vec::with_capacity(hits.len() + found.len());
        let mut rest = others.iter().peekable();
        for one in fresh {
            let scanned = rest.next_if(|other| (other.row, other.phase) == (one.row, one.phase)).is_some();
            let order = |hit: &Hit| (hit.row, hit.phase).cmp(&(one.row, one.phase));
            // Hits of records that were guessed and are none, and of those that were scanned instead.
            while hits.next_if(|hit| order(hit).is_lt()).is_some() {}
            let of = if scanned { &mut found } else { &mut hits };
            let mine = std::iter::from_fn(|| of.next_if(|hit| order(hit).is_eq()));
            settled.extend(mine.map(|hit| Hit { seat: one.seat, ..hit }));
        }
        settled
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
        interned.begin();
        for some in matched.chunks_mut(TOGETHER) {
            let mut near = 0;
            for one in some.iter_mut() {
                let Matched::Accepted(one) = one else { continue };
                let number = self.inputs[one.input].program;
                one.spot = interned.spot(&self.list[number], fresh[one.fresh].record(batch));
                near += usize::from(interned.glance(one.spot));
            }
            std::hint::black_box(near);
            for one in some {
                match one {
                    Matched::Accepted(one) => {
                        let (input, fresh) = (&self.inputs[one.input], &fresh[one.fresh]);
                        hits.push(Hit {
                            row: fresh.row,
                            phase: fresh.phase,
                            seat: fresh.seat,
                            program: input.program,
                            outcome: self.outcome(one, batch, fresh, interned),
                        });
                    }
                    Matched::Made(hit) => hits.extend(hit.take().map(|hit| *hit)),
                }
            }
        }
        matched.clear();
        hits
    }

    /// What `fresh` records are to inputs, record by record, into `scratch`.
    fn matched(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) {
        self.accepted(batch, fresh, scratch);
        let Scratch { memo, accepted, matched, interned, .. } = scratch;
        let (mut first, mut last) = (matched.len(), None);
        for (place, number) in accepted.iter().map(|one| (one.place as usize, one.input as usize)) {
            if last.replace(place) != Some(place) {
                first = matched.len();
            }
            let (one, input) = (&fresh[place], &self.inputs[number]);
            if !input.plain && !self.list[input.program].questions.is_empty() {
                self.open(input, batch, one, memo, interned, matched, first);
                continue;
            }
            let (mut excepted, mut marks) = (None, 0);
            match input.role {
                Role::Hit => (excepted, marks) = self.looked_at(input, one, one.record(batch), memo),
                Role::Clear => {
                    // A record that clears a group is no hit of it; a program's inputs are neighbours.
                    let same = |hit: &Accepted| self.inputs[hit.input].program == input.program;
                    if matches!(matched[first..].last(), Some(Matched::Accepted(hit)) if same(hit)) {
                        matched.pop();
                    }
                }
                Role::Learn => {
                    let lesson = self.lesson(input.program, batch, one);
                    matched.extend(lesson.map(|hit| Matched::Made(Some(Box::new(hit)))));
                    continue;
                }
            }
            let (fresh, input, spot) = (place, number, Spot::NONE);
            matched.push(Matched::Accepted(Accepted { fresh, input, marks, excepted, spot }));
        }
    }

    /// Which inputs accept which of the `fresh` records, or may, where the past decides: record by record,
    /// into `scratch`. Each condition is asked of all records that are worth a look, one after the other:
    /// of many rules, what it is made of is far away the first time and near from then on.
    fn accepted(&self, batch: &Batch, fresh: &[Fresh], scratch: &mut Scratch) {
        let Scratch { memo, looked, found, accepted, .. } = scratch;
        let tables = self.index.tables(batch);
        memo.clear();
        looked.begin(tables);
        let record = |place: u32| fresh[place as usize].record(batch);
        tables.candidates(fresh.len(), &record, looked, found);
        accepted.clear();
        for worth in found.chunk_by(|one, other| one.filed() == other.filed()) {
            let Some(filed) = worth.first().map(|one| one.filed()) else { continue };
            let input = &self.inputs[filed as usize];
            let asks = !input.plain && !self.list[input.program].questions.is_empty();
            for place in worth.iter().map(|one| one.place()) {
                let one = &fresh[place as usize];
                let phases = if input.per_row { own_phase(batch, one) } else { input.phases };
                if phases.contains(one.phase)
                    && (input.plain || self.in_time(input, one.at))
                    && (asks || self.predicates.holds(&input.condition, record(place), memo))
                {
                    accepted.push(Match { place, input: filed });
                }
            }
        }
        accepted.sort_unstable();
    }

    /// The exception that holds for a hit, and its marks.
    fn looked_at(
        &self,
        input: &Input,
        fresh: &Fresh,
        record: Record<'_>,
        memo: &mut Memo,
    ) -> (Option<usize>, u32) {
        let program = &self.list[input.program];
        let mut holds = |condition: &Condition| self.predicates.holds(condition, record, memo);
        let excepted = program.exceptions.iter().position(|exception| {
            exception.until.is_none_or(|until| fresh.at < until) && holds(&exception.condition)
        });
        let marks = program.marks.iter().enumerate();
        (excepted, marks.fold(0, |marks, (bit, mark)| marks | u32::from(holds(mark)) << bit))
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
        matched: &mut Vec<Matched>,
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
        // A question about what the record lacks does not hold. That leaves what may be a hit as it is, however
        // it came to be looked at.
        let asked: Vec<_> =
            program.questions.iter().map(|question| self.asked(question.memory, record)).collect();
        if !rest.may_hold(&|number| asked.get(number as usize).is_some_and(Option::is_some)) {
            return;
        }
        if let Some(Matched::Made(Some(hit))) = matched[first..].last_mut()
            && hit.program == input.program
            && let HitOutcome::Open { open, .. } = &mut hit.outcome
        {
            open.roles.push((input.role, rest));
            return;
        }
        let key = interned.key(program, record);
        let spot = interned.spot(program, record);
        let values = interned.values(program, record, spot);
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
            asked,
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
            aside: false,
            seat: 0,
            values: values.unwrap_or_default(),
        };
        let key = key.unwrap_or_else(|| GroupKey::new(&[]));
        let outcome = HitOutcome::Open { key, entry, open: Box::new(open) };
        let (row, phase, seat, program) = (fresh.row, fresh.phase, fresh.seat, input.program);
        matched.push(Matched::Made(Some(Box::new(Hit { row, phase, seat, program, outcome }))));
    }

    /// Whether the rule's hours let a record of this time be a hit; what clears a group, or teaches what
    /// is known, does so at any time.
    fn in_time(&self, input: &Input, at: Timestamp) -> bool {
        match input.role {
            Role::Hit => {
                let hours = self.list[input.program].rule.spec.hours.as_ref();
                hours.is_none_or(|hours| hours.accept(at))
            }
            // What a lesson counts is no program.
            Role::Clear | Role::Learn => true,
        }
    }

    fn outcome(
        &self,
        accepted: &Accepted,
        batch: &Batch,
        fresh: &Fresh,
        interned: &mut Interned,
    ) -> HitOutcome {
        let input = &self.inputs[accepted.input];
        let program = &self.list[input.program];
        let record = fresh.record(batch);
        let id = interned.id(fresh.row, record);
        let seat = Seat { at: fresh.at, id, locator: record.row().locator };
        if let Some(number) = accepted.excepted {
            return HitOutcome::Excepted(seat, number);
        }
        if !program.namings.is_empty() {
            return several(program, record, accepted.marks, (seat, fresh.phase));
        }
        let Some(key) = interned.key(program, record) else { return HitOutcome::NoGroup(seat) };
        let clears = input.role == Role::Clear;
        let values = if clears || program.carries.is_empty() {
            Arc::default()
        } else {
            match interned.values(program, record, accepted.spot) {
                Some(values) => values,
                None => return HitOutcome::NoValue(seat),
            }
        };
        let Seat { at, id, locator } = seat;
        let (phase, marks) = (fresh.phase, accepted.marks);
        let entry = Entry { at, phase, id, locator, marks, clears, aside: false, seat: 0, values };
        HitOutcome::Grouped { key, entry }
    }
}

/// What a record is to a correlation whose rules have names of their own for its fields. Where two name
/// the same group, it is one event of both.
fn several(program: &Program, record: Record<'_>, marks: u32, (seat, phase): (Seat, Phase)) -> HitOutcome {
    let (mut hits, mut ungrouped, mut valueless) = (Vec::<(GroupKey, Entry)>::new(), 0, 0);
    for naming in
        program.namings.iter().filter(|naming| naming.marks == u32::MAX || marks & naming.marks != 0)
    {
        let mut key = Vec::with_capacity(48);
        if !program.write_key_of(&naming.by, record, &mut key) {
            ungrouped += 1;
            continue;
        }
        let Some(values) = compile::values(&naming.carries, record) else {
            valueless += 1;
            continue;
        };
        let (key, marks) = (GroupKey::new(&key), marks & naming.marks);
        if let Some((_, entry)) = hits.iter_mut().find(|(other, _)| *other == key) {
            entry.marks |= marks;
            continue;
        }
        let Seat { at, id, locator } = seat;
        hits.push((
            key,
            Entry { at, phase, id, locator, marks, clears: false, aside: false, seat: 0, values },
        ));
    }
    HitOutcome::Several { seat, hits, ungrouped, valueless }
}

/// The phase of the one record that a row is to whoever does not ask for phases.
fn own_phase(batch: &Batch, fresh: &Fresh) -> Phases {
    Phases::only(batch.rows[fresh.row].only.unwrap_or(Phase::Start))
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
    fn a_guess_is_kept_where_it_is_true_and_the_rest_is_scanned() {
        let generation = generation();
        let mut engine = Engine::new(generation.clone(), "acme");
        let rows = "1 ana failure - | 2 bob success 2026-01-05T10:00:00Z | 3 ana failure - | 4 - success -";
        for (rows, scanned) in [
            (rows, 0),
            (rows, 0),
            ("5 ana success - | 5 ana success -", 0),
            ("6 ana failure 2026-01-05T09:30:00Z | 7 ana failure -", 0),
            ("7 ana failure 2026-01-05T09:30:00Z | 8 ana failure -", 2),
            ("9 cat failure -", 0),
        ] {
            let batch = batch(&generation, rows);
            let guess = generation.guess(&batch, &mut Scratch::default());
            let fresh = engine.take_in(&batch);
            let meant = engine.scan(&batch, &fresh, &mut Scratch::default());
            let mut others = 0;
            let hits = guess.settled(&fresh, |some| {
                others = some.len();
                engine.scan(&batch, some, &mut Scratch::default())
            });
            assert_eq!(others, scanned, "{rows}");
            assert_eq!(format!("{hits:?}"), format!("{meant:?}"), "{rows}");
            engine.advance(&batch, meant);
        }
    }
}
