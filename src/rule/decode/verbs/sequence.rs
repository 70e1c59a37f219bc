//! `sequence`

use super::super::super::keys::{MAX_AT_LEAST, MAX_STEPS, STEP};
use super::super::super::spec::{Expr, SequenceSpec, StepSpec, Verb};
use super::super::super::yaml::Kind;
use super::super::Cx;
use super::super::condition::{Defaults, expression};
use super::super::taken::Taken;

/// A step as it stands.
enum Step {
    Records(StepSpec),
    Absence(Expr),
}

pub(super) fn sequence(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<SequenceSpec> {
    let within = map.duration(cx, "within");
    let group = map.grouping(cx);
    let until = map.get("until").and_then(|entry| expression(cx, entry, Defaults::Login));
    let list = map.maps(cx, "steps", &STEP);
    check_number(cx, map, &list);
    let (mut steps, mut absent, mut names) = (Vec::new(), None, Vec::<String>::new());
    for (number, step) in list.iter().enumerate() {
        if let Some(name) = name(cx, step) {
            if names.contains(&name) {
                let span = step.get("name").map_or(step.at, |entry| entry.value.span);
                cx.fault(span, format!("two steps are called `{name}`"), "give one of them another name");
            }
            names.push(name);
        }
        match read(cx, step, number + 1 == list.len()) {
            Some(Step::Records(step)) => steps.push(step),
            Some(Step::Absence(expr)) => absent = Some(expr),
            None => {}
        }
    }
    let records = steps.iter().map(|step| u64::from(step.at_least)).sum::<u64>();
    if records > u64::from(MAX_AT_LEAST) {
        cx.fault(
            map.at,
            format!("the steps take {records} records together, which can never be"),
            format!("a group keeps {MAX_AT_LEAST} records at most"),
        );
    }
    Some(SequenceSpec { group, within: within?, steps, absent, until }).filter(|spec| !spec.steps.is_empty())
}

/// What a record of any step is.
pub(in super::super) fn any_step(verb: &Verb) -> Option<Expr> {
    let Verb::Sequence(sequence) = verb else { return None };
    let steps = sequence.steps.iter().map(|step| step.matches.clone());
    Some(Expr::Any(steps.chain(sequence.absent.clone()).collect()))
}

fn check_number(cx: &mut Cx<'_>, map: &Taken<'_>, list: &[Taken<'_>]) {
    let Some(entry) = map.get("steps") else { return };
    // What is no list, or no step, is told already.
    let Kind::List(steps) = &entry.value.kind else { return };
    if steps.len() < 2 {
        cx.fault(
            entry.key.span,
            "a sequence has at least two steps",
            "add a step, or write a rule with `count`",
        );
    } else if list.len() > MAX_STEPS {
        cx.fault(entry.key.span, format!("a sequence has at most {MAX_STEPS} steps"), "make two rules of it");
    }
}

fn name(cx: &mut Cx<'_>, step: &Taken<'_>) -> Option<String> {
    let name = step.text(cx, "name")?;
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        let span = step.get("name").map_or(step.at, |entry| entry.value.span);
        cx.fault(span, format!("`{name}` cannot name a step"), "use a-z, 0-9 and _, beginning with a letter");
    }
    Some(name)
}

fn read(cx: &mut Cx<'_>, step: &Taken<'_>, is_last: bool) -> Option<Step> {
    let matches = step.get("match").and_then(|entry| expression(cx, entry, Defaults::Login));
    let absent = step.get("absent").and_then(|entry| expression(cx, entry, Defaults::Login));
    let at_least = step.whole(cx, "at_least");
    match (step.get("match"), step.get("absent")) {
        (None, None) => {
            let hint = "write {match: {outcome: success}}, or in the last step {absent: {phase: end}}";
            cx.fault(step.at, "a step needs `match` or `absent`", hint);
            None
        }
        (Some(_), Some(absent)) => {
            cx.fault(absent.key.span, "a step has either `match` or `absent`", "make two steps of it");
            None
        }
        (Some(_), None) => {
            let name = step.get("name").and_then(|entry| entry.value.scalar());
            let name = name.map(|name| name.text.trim().to_owned());
            Some(Step::Records(StepSpec { name, matches: matches?, at_least: at_least.unwrap_or(1) }))
        }
        (None, Some(entry)) if !is_last => {
            let hint = "put it last; what must not come between goes under `until`";
            cx.fault(entry.key.span, "only the last step can be an absence", hint);
            None
        }
        (None, Some(_)) => {
            for key in ["at_least", "name"] {
                if let Some(entry) = step.get(key) {
                    cx.fault(entry.key.span, format!("an absence has no `{key}`"), "take it out");
                }
            }
            absent.map(Step::Absence)
        }
    }
}
