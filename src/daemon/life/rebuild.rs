//! Rules that learn from the journal while others are in force.
//!
//! They take in the entries as if they had been there, those of lanes that are still apart as well,
//! and tell nobody. Generations of the past are
//! passed over: the rules are what they are now.

use std::collections::BTreeSet;

use crate::engine::{Engine, GenerationText, Standing};
use crate::record::RuleId;
use crate::store::{Entry, Event};

use super::{Halt, Life};

/// Rules at their lessons.
#[derive(Debug)]
pub struct Rebuild {
    life: Life,
    standing: Standing,
    rules: BTreeSet<RuleId>,
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
        for reader in self.lanes.values() {
            life.join(&reader.lane);
        }
        Rebuild { life, standing: Standing::default(), rules, first: None }
    }
}

impl Rebuild {
    /// Takes in the next entry.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Halt> {
        match &entry.event {
            Event::Generation { .. } | Event::Adopted { .. } => self.life.pass_over(entry.seq)?,
            Event::Known(_) | Event::Joined(_) | Event::Left { .. } | Event::Read { .. } => {
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

    /// Whether these rules have learnt from entries `from` to `last`.
    pub(super) fn learnt(&self, rules: &[RuleId], from: u64, last: u64) -> bool {
        let all = rules.iter().all(|rule| self.rules.contains(rule)) && rules.len() == self.rules.len();
        all && self.first == Some(from) && self.life.seq == Some(last)
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
