//! Correlations of correlations: what one fires, those that refer to it hear of as an event of theirs, at
//! the instant at which it happened.
//!
//! A firing is of the group that the hearer's `group-by` makes of it: a field of the firing's own group, else
//! of what tipped it, which is a record or a firing in its turn. What only others hear of (`generate` is false) is told to nobody else.

use std::sync::Arc;

use super::key::GroupKey;
use super::program::Place;
use super::{Engine, NO_RECORD, Outcome, Step, Traced};
use crate::alert::{Draft, Fired};
use crate::record::{Datum, FieldName, Number, RecordId};
use crate::rule::compile::{Form, Heard, Program, Programs, tuple, value_form};
use crate::rule::verb::{Entry, Verb};

/// What a firing is to one that hears of it.
enum Hears {
    Event(GroupKey, Entry),
    NoGroup,
    NoValue,
}

impl Engine {
    /// Gives what program `number` told from draft number `from` on to those that hear of it, and keeps it
    /// from everybody else if it is for them alone.
    pub(super) fn pass_on(&mut self, number: usize, from: usize, out: &mut Outcome) {
        let generation = self.generation.clone();
        let programs = &generation.programs;
        let source = &programs.list[number];
        if source.heard_by.is_empty() && !source.is_silent() || out.drafts.len() == from {
            return;
        }
        let own = out.drafts.split_off(from);
        for draft in &own {
            let Draft::Fired(fired) = draft else { continue };
            for hearer in source.heard_by.iter().copied() {
                self.hear_of(number, hearer, fired, programs, out);
            }
        }
        if !source.is_silent() {
            out.drafts.extend(own);
        }
    }

    fn hear_of(
        &mut self,
        number: usize,
        hearer: usize,
        fired: &Fired,
        programs: &Programs,
        out: &mut Outcome,
    ) {
        let program = &programs.list[hearer];
        let Some(heard) = program.hears.iter().find(|heard| heard.program == number) else { return };
        let place = Place {
            tenant: &self.tenant,
            program,
            list: &programs.list,
            limits: self.generation.limits,
            number: hearer,
            tells_dirty: self.tells_dirty,
            watched: self.watched == Some(hearer),
        };
        let state = &mut self.states[hearer];
        let step = match event(&programs.list[number], program, heard, fired) {
            Hears::Event(key, entry) => {
                state.counters.hits += 1;
                if place.watched {
                    let (id, at) = (entry.id, entry.at);
                    out.traced.push(Traced { id, at, key: (*key).into(), step: Step::Heard(number) });
                }
                let from = out.drafts.len();
                state.admit_firing(key, entry, &place, out);
                self.pass_on(hearer, from, out);
                return;
            }
            Hears::NoGroup => {
                state.counters.group_field_missing += 1;
                Step::GroupFieldMissing
            }
            Hears::NoValue => {
                state.counters.value_missing += 1;
                Step::ValueMissing
            }
        };
        if place.watched {
            out.traced.push(Traced { id: NO_RECORD, at: fired.at, key: Box::default(), step });
        }
    }
}

/// What `fired`, of `source`, is to `program`.
fn event(source: &Program, program: &Program, heard: &Heard, fired: &Fired) -> Hears {
    let mut key = Vec::new();
    for field in &heard.by {
        match told(source, fired, field, Form::Key) {
            Datum::Text(text) => Program::push_key_part(&mut key, Some(&text)),
            Datum::Absent | Datum::Number(_) | Datum::Bool(_) => return Hears::NoGroup,
        }
    }
    let form = if let Verb::Correlate(verb) = &program.verb { value_form(&verb.asks) } else { None };
    let mut values: Vec<Datum> = Vec::new();
    if let Some(form) = form {
        let parts = || heard.fields.iter().map(|field| told(source, fired, field, form));
        let value = match form {
            Form::Number => parts().next().unwrap_or(Datum::Absent),
            // A firing is of no row.
            Form::Ended => Datum::Absent,
            Form::Key | Form::Net(_) | Form::Typed | Form::Degrees(_) => tuple(&parts().collect::<Vec<_>>()),
        };
        if value == Datum::Absent {
            return Hears::NoValue;
        }
        values.push(value);
    }
    values.extend(program.tells.iter().map(|(field, form)| told(source, fired, field, *form)));
    let entry = Entry {
        at: fired.at,
        phase: fired.tip.phase,
        id: RecordId(fired.id.0),
        locator: fired.tip.locator,
        marks: heard.mark,
        clears: false,
        aside: false,
        seat: 0,
        values: if values.is_empty() { Arc::default() } else { values.into() },
    };
    Hears::Event(GroupKey::new(&key), entry)
}

/// What a firing says of `field`.
fn told(source: &Program, fired: &Fired, field: &FieldName, form: Form) -> Datum {
    let of_group = fired.group.iter().find(|(name, _)| name == field).and_then(|(_, value)| value.as_ref());
    match (of_group, form) {
        (Some(text), Form::Number) => Number::nearest(text).map_or(Datum::Absent, Datum::Number),
        (Some(text), Form::Key | Form::Net(_) | Form::Typed | Form::Degrees(_)) => {
            Datum::Text(text.as_str().into())
        }
        (Some(_), Form::Ended) => Datum::Absent,
        (None, _) => {
            let place = source.tells.iter().position(|(name, other)| name == field && *other == form);
            let first = fired.of.len().saturating_sub(source.tells.len());
            place.and_then(|place| fired.of.get(first + place)).cloned().unwrap_or(Datum::Absent)
        }
    }
}
