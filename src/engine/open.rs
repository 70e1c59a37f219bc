//! Hits whose verdict depends on the past: what the record says by itself is settled when it is
//! scanned; the rest is answered when its time has come, from what was remembered before it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::GroupKey as Key;
use super::memory::MemoryState;
use crate::record::RecordId;
use crate::rule::compile::{Program, Programs, Role};
use crate::rule::past::{Rest, Uses};
use crate::rule::verb::Order;
use crate::rule::why::{Answered, question};

/// A hit, if the past says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Open {
    /// The row, where its program counts it once only.
    pub row: Option<RecordId>,
    /// It is an amended record.
    pub amended: bool,
    /// What it may be to the program, and when it is.
    pub roles: Vec<(Role, Rest)>,
    /// Exceptions that may hold, by their number in the file.
    pub exceptions: Vec<(usize, Rest)>,
    /// Marks that may hold.
    pub marks: Vec<(u8, Rest)>,
    /// By question, the group and the value that it is about; none where the record lacks one.
    pub asked: Vec<Option<(Key, Arc<str>)>>,
    /// It has a group.
    pub grouped: bool,
    /// It has the values that the verb wants.
    pub valued: bool,
}

/// What an open hit turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// No hit.
    Nothing,
    /// A hit, with these marks besides those that were settled.
    Hit(u32),
    /// It clears its group.
    Clears,
    /// It lacks a field of `by`.
    NoGroup,
    /// It lacks the verb's value.
    NoValue,
    /// An exception holds, by its number in the file.
    Excepted(usize),
}

impl Open {
    /// The answers to its program's questions, from the uses before the record at `order`.
    fn uses(&self, program: &Program, order: Order, memories: &[MemoryState]) -> Vec<Option<Uses>> {
        let uses = |(question, asked): (&crate::rule::past::Question, &Option<(Key, Arc<str>)>)| {
            let (key, value) = asked.as_ref()?;
            memories.get(question.memory)?.uses(order, key, value)
        };
        program.questions.iter().zip(&self.asked).map(uses).collect()
    }

    fn answers(&self, program: &Program, order: Order, uses: &[Option<Uses>]) -> Vec<bool> {
        let asked = program.questions.iter().zip(&self.asked).zip(uses);
        asked
            .map(|((question, asked), uses)| asked.is_some() && question.past.holds(order.0, *uses))
            .collect()
    }

    /// What it is, now that everything before `order` is known.
    pub fn settle(&self, program: &Program, order: Order, memories: &[MemoryState]) -> Settled {
        let answers = self.answers(program, order, &self.uses(program, order, memories));
        let is = |role: Role| self.roles.iter().any(|(other, rest)| *other == role && rest.holds(&answers));
        let clears = is(Role::Clear);
        if !clears && !is(Role::Hit) {
            return Settled::Nothing;
        }
        if !clears && let Some((number, _)) = self.exceptions.iter().find(|(_, rest)| rest.holds(&answers)) {
            return Settled::Excepted(*number);
        }
        match (self.grouped, self.valued) {
            (false, _) => Settled::NoGroup,
            (true, _) if clears => Settled::Clears,
            (true, false) => Settled::NoValue,
            (true, true) => {
                let holds = self.marks.iter().filter(|(_, rest)| rest.holds(&answers));
                Settled::Hit(holds.fold(0, |marks, (bit, _)| marks | 1 << bit))
            }
        }
    }

    /// The answers in words, for `explain`.
    pub fn answered(
        &self,
        programs: &Programs,
        program: &Program,
        order: Order,
        memories: &[MemoryState],
    ) -> Vec<Answered> {
        let uses = self.uses(program, order, memories);
        let answers = self.answers(program, order, &uses);
        let mut answered = Vec::new();
        for (((asked, about), uses), held) in program.questions.iter().zip(&self.asked).zip(uses).zip(answers)
        {
            let words = match (about, uses) {
                (None, _) => "without a past: it or its group is missing".to_owned(),
                (Some(_), None) => "never used before".to_owned(),
                (Some(_), Some(Uses { first, last })) => {
                    format!("first used at {first}, last before at {last}")
                }
            };
            if let Some(memory) = programs.memories.get(asked.memory) {
                answered.push(Answered { what: question(asked.past, &memory.field), held, words });
            }
        }
        answered
    }
}
