//! Alerts that add up: what other rules tell goes to the rules that are about risk, as hits of theirs.
//!
//! An alert counts once, as it fired, for the group that its own group names; that of a rule without a
//! verb for what its record says. Alerts of rules that only observe count for nobody, and neither do
//! those of rules that are about risk themselves. Whether it is held back or told late matters not.

use super::key::GroupKey;
use super::program::Place;
use super::{Engine, Outcome, Step, Traced};
use crate::alert::{Draft, Fired};
use crate::record::{Datum, FieldName, RecordId};
use crate::rule::compile::{Program, Programs};
use crate::rule::verb::{Entry, Verb, risk, text_of};

impl Engine {
    /// Gives what fired from draft number `from` on to the rules that add it up.
    pub(super) fn add_up(&mut self, from: usize, out: &mut Outcome) {
        let generation = self.generation.clone();
        let programs = &generation.programs;
        if programs.risks.is_empty() {
            return;
        }
        let fired: Vec<Box<Fired>> = out.drafts[from..]
            .iter()
            .filter_map(|draft| match draft {
                Draft::Fired(fired) if !fired.observe => Some(fired.clone()),
                Draft::Fired(_) | Draft::Changed(_) => None,
            })
            .collect();
        for fired in fired {
            let Some(of) = generation.position(&fired.rule) else { continue };
            let source = &programs.list[of];
            if source.is_risk() {
                continue;
            }
            for number in programs.risks.iter().copied() {
                let program = &programs.list[number];
                let Some(key) = key_of(program, source, programs, &fired) else {
                    self.states[number].counters.group_field_missing += 1;
                    continue;
                };
                let techniques = &source.rule.spec.about.attack;
                let values =
                    risk::values(fired.level, techniques, fired.rule.as_str(), &fired.id.to_string());
                let entry = Entry {
                    at: fired.at,
                    phase: fired.tip.phase,
                    id: RecordId(fired.id.0),
                    locator: fired.tip.locator,
                    marks: 0,
                    clears: false,
                    aside: false,
                    seat: 0,
                    values: values.into(),
                };
                let place = Place {
                    tenant: &self.tenant,
                    program,
                    list: &programs.list,
                    limits: generation.limits,
                    number,
                    tells_dirty: self.tells_dirty,
                    watched: self.watched == Some(number),
                };
                self.states[number].counters.hits += 1;
                if place.watched {
                    let (id, at, step) = (entry.id, entry.at, Step::Heard(of));
                    out.traced.push(Traced { id, at, key: (*key).into(), step });
                }
                self.states[number].admit(key, entry, &place, out);
            }
        }
    }
}

/// The group of `program` that an alert is about; none where it does not say.
fn key_of(program: &Program, source: &Program, programs: &Programs, fired: &Fired) -> Option<GroupKey> {
    // What others say of their record is for those that hear of them.
    let alone = matches!(source.verb, Verb::Each(_));
    let named = |field: &FieldName| {
        let of_group =
            fired.group.iter().find(|(name, _)| name == field).and_then(|(_, value)| value.clone());
        let place = programs.risk_fields.iter().position(|other| other == field);
        let of_record = || match place.filter(|_| alone).and_then(|place| fired.of.get(place)) {
            Some(value @ Datum::Text(_)) => text_of(value).map(ToString::to_string),
            Some(Datum::Absent | Datum::Number(_) | Datum::Bool(_)) | None => None,
        };
        of_group.or_else(of_record)
    };
    let mut key = Vec::new();
    for part in &program.by {
        let text = named(&part.field);
        if text.is_none() && !program.missing_own {
            return None;
        }
        Program::push_key_part(&mut key, text.as_deref());
    }
    Some(GroupKey::new(&key))
}
