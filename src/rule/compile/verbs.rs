//! What the compiler needs to know of each verb: its group, its cooldown, its values.

use super::super::lists::Lists;
use super::super::script::Script;
use super::super::spec::{self, Cooldown, Expr, Grouping, Spec};
use super::super::verb::{
    Judge as _, Verb, absent, common::Common, count, distinct, each::Each, first_seen, measure, others,
    overlap, rate, risk, script::ScriptVerb, sequence, travel, usual,
};
use super::{Carry, Form, carry};
use crate::record::{Columns, FieldName, Millis};

/// The fields a rule groups by: its verb's, or its cooldown's where it has no verb.
pub(super) fn grouping(spec: &Spec) -> Grouping {
    match (&spec.verb, &spec.cooldown) {
        (Some(verb), _) => verb.group().clone(),
        (None, Some(Cooldown::For { group, .. })) => group.clone(),
        (None, Some(Cooldown::Off) | None) => Grouping::default(),
    }
}

/// What clears a group, or ends its sessions.
pub(super) fn clears(spec: &Spec) -> Option<&Expr> {
    match &spec.verb {
        Some(spec::Verb::Count(verb)) => verb.unless.as_ref(),
        Some(spec::Verb::Sequence(verb)) => verb.until.as_ref(),
        Some(spec::Verb::Overlap(verb)) => Some(&verb.ends),
        Some(_) | None => None,
    }
}

/// What is no point of a journey.
pub(super) fn nowhere(spec: &Spec) -> Option<Expr> {
    let Some(spec::Verb::Travel(travel)) = &spec.verb else { return None };
    let lists = travel.ignore_in.clone();
    let field = FieldName::resolve("public_ip").filter(|_| !lists.is_empty())?;
    let (spelt, span) = ("public_ip|in".to_owned(), spec.id_span);
    Some(Expr::Is(spec::Predicate { field, test: spec::Test::In(lists), cased: false, spelt, span }))
}

/// How long a firing holds its group back.
pub(super) fn cooldown(spec: &Spec, verb: &Verb) -> Millis {
    match spec.cooldown {
        Some(Cooldown::For { lasts, .. }) => lasts,
        Some(Cooldown::Off) => Millis::ZERO,
        None => verb.cooldown(),
    }
}

/// The verb and the values it wants. `mark` adds a condition to the rule's marks and says its bit.
pub(super) fn verb(
    spec: &Spec,
    (script, lists): (Option<std::sync::Arc<Script>>, Lists),
    columns: &mut Columns,
    mark: &mut dyn FnMut(&Expr, &mut Columns) -> u8,
) -> (Verb, Vec<Carry>) {
    match &spec.verb {
        None => (Verb::Each(Each), Vec::new()),
        Some(spec::Verb::Count(count)) => count_verb((count, spec.late_within), columns, mark),
        Some(spec::Verb::Distinct(spec)) => {
            let carry = carry(std::slice::from_ref(&spec.field), Form::Key, true, columns);
            let verb = distinct::Distinct {
                within: spec.within,
                at_least: spec.at_least,
                each_at_most: spec.each_at_most,
            };
            (Verb::Distinct(verb), vec![carry])
        }
        Some(spec::Verb::FirstSeen(spec)) => {
            let form = spec.same_net.map_or(Form::Key, Form::Net);
            let mut carries = vec![carry(&spec.value, form, true, columns)];
            let mut also = |fields: &[FieldName]| {
                carries.push(carry(fields, Form::Key, false, columns));
                carries.len() - 1
            };
            let verb = first_seen::FirstSeen {
                learn: spec.learn,
                forget: spec.forget,
                first_value_alerts: spec.first_value_alerts,
                same: (!spec.same_if.is_empty()).then(|| also(&spec.same_if)),
                common: spec.unless_common.as_ref().map(|common| Common {
                    slot: also(std::slice::from_ref(&common.by)),
                    at_least: common.at_least,
                    within: common.within,
                }),
            };
            (Verb::FirstSeen(verb), carries)
        }
        Some(spec::Verb::Measure(spec)) => {
            let carry = carry(std::slice::from_ref(&spec.field), Form::Number, true, columns);
            let verb = measure::Measure {
                stat: spec.stat,
                limit: spec.limit,
                last: spec.last.map(|last| last as usize),
                within: spec.within,
                at_least: spec.at_least,
                recover: spec.recover,
            };
            (Verb::Measure(verb), vec![carry])
        }
        Some(spec::Verb::Risk(spec)) => {
            let spec::RiskSpec { within, at_least, techniques, .. } = **spec;
            (Verb::Risk(risk::Risk { within, at_least, techniques }), Vec::new())
        }
        Some(spec::Verb::Rate(spec)) => {
            let value = |field| carry(std::slice::from_ref(field), Form::Key, true, columns);
            let carries = spec.distinct.iter().map(value).collect();
            let verb = rate::Rate {
                at_least: spec.at_least,
                drains_every: spec.drains_every,
                distinct: spec.distinct.is_some(),
            };
            (Verb::Rate(verb), carries)
        }
        Some(spec::Verb::Sequence(spec)) => {
            let mut step = |step: &spec::StepSpec| sequence::Step {
                name: step.name.clone(),
                mark: mark(&step.matches, columns),
                at_least: step.at_least,
            };
            let steps = spec.steps.iter().map(&mut step).collect();
            let absence = spec.absent.as_ref().map(|absent| mark(absent, columns));
            (Verb::Sequence(sequence::Sequence { within: spec.within, steps, absence }), Vec::new())
        }
        Some(spec::Verb::Absent(absent)) => {
            let (lasts, retire, hours) = (absent.lasts, absent.retire, spec.hours.clone());
            let from = absent.from.as_ref().and_then(|name| lists.get(name)).cloned();
            (Verb::Absent(absent::Absent { lasts, retire, hours, from }), Vec::new())
        }
        Some(spec::Verb::Travel(spec)) => travel_verb(spec, columns),
        Some(spec::Verb::Overlap(spec)) => overlap_verb(spec, columns),
        Some(spec::Verb::Usual(spec)) => {
            let (of, carries) = match &spec.of {
                spec::UsualOf::Value(field) => {
                    let value = carry(std::slice::from_ref(field), Form::Number, true, columns);
                    (usual::Of::Value, vec![value])
                }
                spec::UsualOf::Rate { per, zone } => (usual::Of::Rate { per: *per, zone: *zone }, Vec::new()),
            };
            let spec::UsualSpec { far, lasts, samples, .. } = **spec;
            (Verb::Usual(usual::Usual { of, far, lasts, samples }), carries)
        }
        Some(spec::Verb::Correlate(spec)) => super::correlate::verb(spec, columns, mark),
        Some(spec::Verb::Script(spec)) => match script {
            Some(script) => {
                let wants =
                    |field: &FieldName| carry(std::slice::from_ref(field), Form::Typed, false, columns);
                let carries = script.fields().iter().map(wants).collect();
                (Verb::Script(Box::new(ScriptVerb { script, keep: spec.keep as usize, lists })), carries)
            }
            // `rule` compiles the script of every rule that has one.
            None => (Verb::Each(Each), Vec::new()),
        },
    }
}

/// A point: where it is, how exactly, what people call it. `required`: a record that is nowhere is no hit.
fn point(columns: &mut Columns, required: bool) -> Vec<Carry> {
    let mut one = |name: &str, form, required| {
        let column = columns.want_known(name);
        let kind = columns.name(column).kind();
        Carry { columns: vec![(column, kind)], form, required }
    };
    vec![
        one("geo.lat", Form::Degrees(90), required),
        one("geo.lon", Form::Degrees(180), required),
        one("geo.radius", Form::Number, false),
        one("geo.city", Form::Typed, false),
        one("geo.country", Form::Typed, false),
        one("public_ip", Form::Typed, false),
    ]
}

fn travel_verb(spec: &spec::TravelSpec, columns: &mut Columns) -> (Verb, Vec<Carry>) {
    let mut carries = point(columns, true);
    let same = carries.len();
    carries.extend(
        spec.ignore_same.iter().map(|field| carry(std::slice::from_ref(field), Form::Key, false, columns)),
    );
    let verb = travel::Travel { at_least: spec.at_least, faster_than: spec.faster_than, same };
    (Verb::Travel(verb), carries)
}

fn overlap_verb(spec: &spec::OverlapSpec, columns: &mut Columns) -> (Verb, Vec<Carry>) {
    let mut carries = point(columns, !spec.pair.km.is_empty());
    for (name, form) in [("device", Form::Typed), ("outcome", Form::Ended)] {
        let column = columns.want_known(name);
        carries.push(Carry { columns: vec![(column, columns.name(column).kind())], form, required: false });
    }
    let field =
        |(field, _): &(FieldName, bool)| carry(std::slice::from_ref(field), Form::Key, false, columns);
    carries.extend(spec.pair.fields.iter().map(field));
    (Verb::Overlap(overlap::Overlap { lasts: spec.lasts, pair: spec.pair.clone() }), carries)
}

fn count_verb(
    (spec, kept): (&spec::CountSpec, Millis),
    columns: &mut Columns,
    mark: &mut dyn FnMut(&Expr, &mut Columns) -> u8,
) -> (Verb, Vec<Carry>) {
    let (mut carries, mut shares, mut crowds) = (Vec::new(), 0, 0);
    let mut ready = |test: &spec::HavingTest| match test {
        spec::HavingTest::Distinct { field, at_least } => {
            carries.push(carry(std::slice::from_ref(field), Form::Key, false, columns));
            count::HavingTest::Distinct { slot: carries.len() - 1, at_least: *at_least }
        }
        spec::HavingTest::Share { matches, at_least, times_others } => {
            shares += 1;
            let mark = mark(matches, columns);
            let than = times_others.map(|hundredths| {
                crowds += 1;
                let (slot, at_least) = (crowds - 1, spec.at_least.unwrap_or(1));
                others::Than { slot, mark, hundredths, at_least, within: spec.within, kept }
            });
            count::HavingTest::Share { slot: shares - 1, mark, at_least: *at_least, than }
        }
    };
    let having = spec
        .having
        .iter()
        .map(|having| count::Having { name: having.name.clone(), test: ready(&having.test) });
    let having = having.collect();
    let verb = count::Count { within: spec.within, at_least: spec.at_least, restart: spec.restart, having };
    (Verb::Count(verb), carries)
}
