//! What the compiler needs to know of correlations: who hears of whom, and what of it.

use std::collections::BTreeMap;

use super::super::spec::correlate::{Asks, CorrelateSpec, What};
use super::super::spec::{self, Expr};
use super::super::verb::Verb;
use super::super::verb::correlate::{Correlate, Rule as CorrelatedRule};
use super::{Carry, Form, Heard, KeyPart, Naming, Rule, carry};
use crate::record::{Columns, FieldName, Millis, RuleId};

/// How the value of an event is kept; none where the type looks at none.
pub fn form(asks: &Asks) -> Option<Form> {
    match asks {
        Asks::Values(_) => Some(Form::Key),
        Asks::Number(..) => Some(Form::Number),
        Asks::Events(_) | Asks::Rules(_) | Asks::Ordered(_) => None,
    }
}

/// Of every correlation that others hear of, what they want of its firings: what makes their groups and
/// their values, and what those want that hear of them in turn.
pub(super) fn tells<'a>(
    rules: &(impl Iterator<Item = &'a Rule> + Clone),
) -> BTreeMap<RuleId, Vec<(FieldName, Form)>> {
    let mut tells: BTreeMap<RuleId, Vec<(FieldName, Form)>> = BTreeMap::new();
    loop {
        let mut grew = false;
        for rule in rules.clone() {
            let Some(spec::Verb::Correlate(correlate)) = &rule.spec.verb else { continue };
            let passed_on = tells.get(rule.id()).cloned().unwrap_or_default();
            for one in &correlate.of {
                let What::Firings(id) = &one.what else { continue };
                let key = one.by.iter().map(|field| (field.clone(), Form::Key));
                let value = form(&correlate.asks)
                    .map(|form| one.fields.iter().map(move |field| (field.clone(), form)));
                let known = tells.entry(id.clone()).or_default();
                for wanted in key.chain(value.into_iter().flatten()).chain(passed_on.iter().cloned()) {
                    if !known.contains(&wanted) {
                        known.push(wanted);
                        grew = true;
                    }
                }
            }
        }
        if !grew {
            return tells;
        }
    }
}

/// What is told of a record to those that hear of a firing.
pub(super) fn told(field: &FieldName, form: Form, columns: &mut Columns) -> Carry {
    carry(std::slice::from_ref(field), form, false, columns)
}

/// The verb, and the values that it wants under the first naming.
pub(super) fn verb(
    spec: &CorrelateSpec,
    columns: &mut Columns,
    mark: &mut dyn FnMut(&Expr, &mut Columns) -> u8,
) -> (Verb, Vec<Carry>) {
    let apart = spec.tells_rules_apart();
    // No record is a firing.
    let never = Expr::Any(Vec::new());
    let mut rule = |one: &spec::correlate::Correlated| {
        let expr = match &one.what {
            What::Records(expr) => expr,
            What::Firings(_) => &never,
        };
        let mark = if apart { mark(expr, columns) } else { 0 };
        CorrelatedRule { name: one.name.clone(), mark }
    };
    let rules = spec.of.iter().map(&mut rule).collect();
    let carries = match (form(&spec.asks), spec.namings().first()) {
        (Some(form), Some((naming, _))) => vec![carry(&naming.fields, form, true, columns)],
        (Some(_) | None, _) => Vec::new(),
    };
    // Times are whole milliseconds: (t − w − 1 ms, t] is [t − w, t].
    let within = spec.timespan + Millis(1);
    (Verb::Correlate(Correlate { within, asks: spec.asks.clone(), rules }), carries)
}

/// The names of group and values, where they differ from rule to rule or from those of the group.
pub(super) fn namings(
    spec: &CorrelateSpec,
    verb: &Correlate,
    tells: &[(FieldName, Form)],
    columns: &mut Columns,
) -> Vec<Naming> {
    let namings = spec.namings();
    if namings.iter().all(|(naming, _)| naming.by == spec.group.by) && namings.len() <= 1 {
        return Vec::new();
    }
    let bit = |number: &usize| verb.rules.get(*number).map_or(0, |rule| 1_u32 << rule.mark);
    let alone = namings.len() == 1;
    let made = |(naming, numbers): &(&spec::correlate::Correlated, Vec<usize>)| {
        let value = form(&spec.asks).map(|form| carry(&naming.fields, form, true, columns));
        let by = naming.by.iter().map(|field| KeyPart::of(field, columns));
        Naming {
            marks: if alone { u32::MAX } else { numbers.iter().map(bit).fold(0, |all, bit| all | bit) },
            by: by.collect(),
            carries: value
                .into_iter()
                .chain(tells.iter().map(|(field, form)| told(field, *form, columns)))
                .collect(),
        }
    };
    namings.iter().map(made).collect()
}

/// The correlations that it hears of; `place` finds their programs.
pub(super) fn hears(
    spec: &CorrelateSpec,
    verb: &Correlate,
    place: &dyn Fn(&RuleId) -> Option<usize>,
) -> Vec<Heard> {
    let heard = |(one, rule): (&spec::correlate::Correlated, &CorrelatedRule)| match &one.what {
        What::Records(_) => None,
        What::Firings(id) => Some(Heard {
            program: place(id)?,
            mark: u32::from(spec.tells_rules_apart()) << rule.mark,
            by: one.by.clone(),
            fields: one.fields.clone(),
        }),
    };
    spec.of.iter().zip(&verb.rules).filter_map(heard).collect()
}
