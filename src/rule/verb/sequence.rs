//! `sequence`: records of several steps, one step after the other, within a window.
//!
//! Each step asks for so many records; a bit of an entry's marks says which steps it is of. Steps
//! need not be adjacent, the latest records that do are used, and records of one instant may stand in
//! any order. A record makes at most one sequence complete. Where the last step is an absence, the
//! steps before it are what completes, and `engine::group` meets the deadline.

use serde::{Deserialize, Serialize};

use crate::alert::Finding;
use crate::record::{Millis, Number, Timestamp};

use super::{Counted, Entry, Judge, Needed, Order, Reach, Reason, Tally, Verdict, Window};

/// `sequence:`, compiled.
#[derive(Debug)]
pub struct Sequence {
    /// All records of a sequence lie in (t − w, t].
    pub within: Millis,
    /// The steps, without an absence.
    pub steps: Vec<Step>,
    /// Which bit of an entry's marks says that what must be absent came; none where the last step is
    /// no absence.
    pub absence: Option<u8>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name in the alert's text.
    pub name: Option<String>,
    /// Which bit of an entry's marks says that a record is of it.
    pub mark: u8,
    /// How many it takes.
    pub at_least: u32,
}

/// Steps that are complete and wait for an absence, by deadline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits(pub Vec<Wait>);

impl Waits {
    /// Adds a later one: of one instant the last stands, since time passes once.
    pub fn add(&mut self, wait: Wait) {
        self.0.retain(|other| other.due != wait.due);
        self.0.push(wait);
    }
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// The deadline: when the first of its records leaves the window.
    pub due: Timestamp,
    /// The record that completed the steps.
    pub of: Order,
}

/// For each step, the numbers of its records.
type Blocks = Vec<Vec<usize>>;

impl Sequence {
    fn is_of(entry: &Entry, step: &Step) -> bool {
        entry.marks >> step.mark & 1 == 1
    }

    /// When the sequence began that the last of `hits` completes, or why it completes none.
    pub fn completes(&self, hits: &[Entry]) -> Result<Timestamp, Reason> {
        let blocks = self.made(hits)?;
        let first = blocks[0].iter().map(|hit| hits[*hit].at).min();
        Ok(first.unwrap_or(hits[hits.len() - 1].at))
    }

    /// The records of a sequence that the last of `hits` completes: as one of its last step, or as one
    /// of an earlier step beside a record of the last that came at the same time.
    fn made(&self, hits: &[Entry]) -> Result<Blocks, Reason> {
        let (tip, last_step) = (hits.len() - 1, &self.steps[self.steps.len() - 1]);
        let hit = &hits[tip];
        let number = self.steps.iter().position(|step| Self::is_of(hit, step)).unwrap_or(0);
        let mut short = Reason::StepTaken(number);
        if Self::is_of(hit, last_step) {
            match self.blocks(hits, Some(tip)) {
                Ok(blocks) => return Ok(blocks),
                Err(reason) => short = reason,
            }
        }
        let mut beside = hits[..tip].iter().rev().take_while(|other| other.at == hit.at);
        if beside.any(|other| Self::is_of(other, last_step))
            && let Ok(blocks) = self.blocks(hits, None)
            && self.blocks(&hits[..tip], None).is_err()
        {
            return Ok(blocks);
        }
        Err(short)
    }

    /// The latest records that make a sequence whose last one is at the time of the last hit; `tip` is
    /// one of its last step.
    fn blocks(&self, hits: &[Entry], tip: Option<usize>) -> Result<Blocks, Reason> {
        let time = hits[hits.len() - 1].at;
        let (mut used, mut bound) = (vec![false; hits.len()], time);
        let mut blocks = Blocks::new();
        for (number, step) in self.steps.iter().enumerate().rev() {
            let is_last = number + 1 == self.steps.len();
            let mut block: Vec<usize> = tip.filter(|_| is_last).into_iter().collect();
            self.take((number, step), hits, bound, (&mut used, &mut block));
            let late_enough = !is_last || block.iter().any(|hit| hits[*hit].at == time);
            if block.len() < step.at_least as usize || !late_enough {
                return Err(Reason::BelowThreshold {
                    what: Counted::Step(number),
                    actual: Number::whole(i64::try_from(block.len()).unwrap_or(i64::MAX)),
                    needed: Needed::AtLeast(step.at_least),
                });
            }
            bound = block.iter().map(|hit| hits[*hit].at).min().unwrap_or(bound);
            blocks.push(block);
        }
        blocks.reverse();
        Ok(blocks)
    }

    /// Takes the latest records of a step up to `bound`; of those of one instant, first the ones that
    /// no earlier step could use.
    fn take(
        &self,
        (number, step): (usize, &Step),
        hits: &[Entry],
        bound: Timestamp,
        (used, block): (&mut [bool], &mut Vec<usize>),
    ) {
        let needed = step.at_least as usize;
        for hit in &*block {
            used[*hit] = true;
        }
        let mut end = hits.partition_point(|hit| hit.at <= bound);
        while block.len() < needed && end > 0 {
            let at = hits[end - 1].at;
            let start = end - hits[..end].iter().rev().take_while(|hit| hit.at == at).count();
            for wanted_earlier in [false, true] {
                for hit in (start..end).rev() {
                    let earlier = self.steps[..number].iter().any(|step| Self::is_of(&hits[hit], step));
                    let fits = !used[hit] && earlier == wanted_earlier && Self::is_of(&hits[hit], step);
                    if fits && block.len() < needed {
                        used[hit] = true;
                        block.push(hit);
                    }
                }
            }
            end = start;
        }
    }

    /// For each step, all records that would have done: those of the sequence, and those between the
    /// steps before and after.
    fn all(&self, hits: &[Entry]) -> Blocks {
        let Ok(blocks) = self.made(hits) else { return Blocks::new() };
        let mut taken = vec![false; hits.len()];
        for hit in blocks.iter().flatten() {
            taken[*hit] = true;
        }
        let ends = |block: &Vec<usize>| {
            let times = || block.iter().map(|hit| hits[*hit].at);
            (times().min().unwrap_or(Timestamp::MIN), times().max().unwrap_or(Timestamp::MAX))
        };
        let mut all = blocks.clone();
        for number in (0..blocks.len()).rev() {
            let after = number.checked_sub(1).map_or(Timestamp::MIN, |before| ends(&blocks[before]).1);
            let until = blocks.get(number + 1).map_or(Timestamp::MAX, |next| ends(next).0);
            for hit in 0..hits.len() {
                let fits = hits[hit].at >= after && hits[hit].at <= until;
                if fits && !taken[hit] && Self::is_of(&hits[hit], &self.steps[number]) {
                    taken[hit] = true;
                    all[number].push(hit);
                }
            }
        }
        all
    }
}

impl Judge for Sequence {
    fn reach(&self) -> Reach {
        Reach::Time(self.within)
    }

    fn cooldown(&self) -> Millis {
        self.within
    }

    fn judge(&self, _tally: &Tally, window: Window<'_>) -> Verdict {
        match self.completes(window.hits) {
            Ok(_) => Verdict::Holds,
            Err(reason) => Verdict::Short(reason),
        }
    }

    /// What an alert says of the sequence that the last of `hits` completes.
    fn describe(&self, _tally: &Tally, window: Window<'_>) -> Finding {
        let all = self.all(window.hits);
        let mut told =
            Finding { count: all.iter().map(|hits| hits.len() as u64).sum(), ..Finding::default() };
        for (number, (step, hits)) in self.steps.iter().zip(&all).enumerate() {
            let name = step.name.clone().unwrap_or_else(|| format!("step {}", number + 1));
            told.threshold.insert(name.clone(), step.at_least.into());
            told.actual.insert(name, hits.len().into());
            if let Some(name) = &step.name {
                told.scope.insert(format!("steps.{name}.count"), hits.len().into());
            }
        }
        told
    }

    /// A record of any step.
    fn is_step(&self, entry: &Entry) -> bool {
        self.steps.iter().any(|step| Self::is_of(entry, step))
    }

    fn is_absence(&self, entry: &Entry) -> bool {
        self.absence.is_some_and(|mark| entry.marks >> mark & 1 == 1)
    }

    fn waits(&self) -> bool {
        self.absence.is_some()
    }

    /// In event order.
    fn chosen<'a>(&self, hits: &'a [Entry]) -> Option<Vec<&'a Entry>> {
        let mut numbers: Vec<usize> = self.all(hits).into_iter().flatten().collect();
        numbers.sort_unstable();
        Some(numbers.into_iter().map(|hit| &hits[hit]).collect())
    }
}
