//! Rules that learn from the journal while others are in force.
//!
//! They take in the entries as if they had been there, those of lanes that are still apart as well,
//! and tell nobody. Generations of the past are
//! passed over: the rules are what they are now.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::{Engine, Generation, GenerationText, Standing};
use crate::record::RuleId;
use crate::store::{Entry, Event, Lane};

use super::{Halt, Life, Outcome};

/// Rules at their lessons.
#[derive(Debug)]
pub struct Rebuild {
    life: Life,
    standing: Standing,
    rules: BTreeSet<RuleId>,
    /// What the rules could hear of from the start.
    lanes: Vec<Lane>,
    first: Option<u64>,
}

impl Life {
    /// Makes `rules` of `text` ready to learn, from the oldest entry that is kept.
    pub fn rebuild(&self, text: &GenerationText, rules: &[RuleId]) -> Rebuild {
        let rules: BTreeSet<RuleId> = rules.iter().cloned().collect();
        let generation = text.compile_only(&rules).generation;
        let mut life = Self::under(&self.tenant, Engine::new(generation, &self.tenant));
        // Rules that read several lanes wait for all of them from the start, so that what was read
        // of one lane later than of the others is judged in order all the same.
        life.learns = true;
        let lanes = self.known();
        for lane in &lanes {
            // Nothing is in the life yet that could tell anything.
            life.join(lane, &mut Outcome::of(0, life.generation().clone()));
        }
        Rebuild { life, standing: Standing::default(), rules, lanes, first: None }
    }
}

impl Rebuild {
    /// Takes in the next entry.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Halt> {
        match &entry.event {
            Event::Generation { .. } | Event::Adopted { .. } => self.life.pass_over(entry.seq)?,
            Event::Known(_)
            | Event::Joined(_)
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Read { .. }
            | Event::Placed { .. } => {
                let outcome = self.life.apply(entry)?;
                self.standing.swallow(&outcome.generation, outcome.drafts);
            }
        }
        self.first.get_or_insert(entry.seq);
        Ok(())
    }

    /// The first entry that was taken in; none before it.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The last entry that was taken in; none before the first.
    pub fn last(&self) -> Option<u64> {
        self.life.seq
    }

    /// Whether the rules could hear of these lanes from the start, and of no other. If not, others
    /// must learn in their place, or the journal would teach something else the next time.
    pub fn heard(&self, lanes: &[Lane]) -> bool {
        self.lanes == lanes
    }

    /// Whether these rules have learnt from all that is kept of entries `from` to `last` of these lanes: the journal
    /// may have forgotten the first of them since, or all.
    pub(super) fn learnt(&self, rules: &[RuleId], (from, last): (u64, u64), lanes: &[Lane]) -> bool {
        let all = rules.iter().all(|rule| self.rules.contains(rule)) && rules.len() == self.rules.len();
        let learnt =
            self.first.is_none_or(|first| first >= from) && self.life.seq.is_none_or(|seq| seq == last);
        all && learnt && self.heard(lanes)
    }

    pub(super) fn end(self) -> (Engine, Standing) {
        (self.life.engine, self.standing)
    }
}

impl Life {
    /// Takes note of an entry that changes nothing here.
    fn pass_over(&mut self, seq: u64) -> Result<(), Halt> {
        let expected = self.seq.map_or(seq, |last| last + 1);
        if seq != expected {
            return Err(Halt::Gap { expected, found: seq });
        }
        self.seq = Some(seq);
        Ok(())
    }
}

/// The archive told to other rules than those that were in force, lane by lane as it was read.
#[derive(Debug)]
pub struct Rehearsal {
    life: Life,
}

impl Rehearsal {
    /// Tells the archive of `tenant`, whose lanes are `lanes`, to `generation`.
    pub fn new(tenant: &str, generation: Arc<Generation>, lanes: &[Lane]) -> Self {
        let mut life = Life::under(tenant, Engine::new(generation, tenant));
        life.learns = true;
        for lane in lanes {
            // Nothing is in the life yet that could tell anything.
            life.join(lane, &mut Outcome::of(0, life.generation().clone()));
        }
        Self { life }
    }

    /// Takes in the next entry. Nothing comes of generations that were in force.
    pub fn take(&mut self, entry: &Entry) -> Result<Option<Outcome>, Halt> {
        match &entry.event {
            Event::Generation { .. } | Event::Adopted { .. } => {
                self.life.pass_over(entry.seq)?;
                Ok(None)
            }
            Event::Known(_)
            | Event::Joined(_)
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Read { .. }
            | Event::Placed { .. } => self.life.apply(entry).map(Some),
        }
    }

    /// What it has come to.
    pub fn life(&self) -> &Life {
        &self.life
    }
}
