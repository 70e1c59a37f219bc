//! Why a hit fired or did not: the closed list of reasons, and each in words.

use crate::engine::{Decision, Step};
use crate::record::{FieldKind, Millis, Number};
use crate::rule::compile::Program;
use crate::rule::spec::{Limit, Mode};
use crate::rule::verb::{Counted, Learning, Needed, Reason, Verb, text_of};
use crate::rule::why::Why;

/// Whether a step fired, its reason of the closed list, and in words.
pub fn told(program: &Program, step: &Step) -> (bool, &'static str, String) {
    let rule = &program.rule;
    match step {
        Step::Decided(Decision::Fired { id, late }) => {
            let observe = rule.spec.mode == Mode::Observe;
            let late = if *late { ", late" } else { "" };
            (true, if observe { "observe" } else { "fired" }, format!("alert {id}{late}"))
        }
        Step::Decided(Decision::Cooldown { until }) => {
            (false, "cooldown_until", format!("joined the open alert; the group may fire again at {until}"))
        }
        Step::Decided(Decision::Cleared) => {
            let key = if let Verb::Sequence(_) = program.verb { "until" } else { "unless" };
            (false, "below_threshold", format!("the record met `{key}` and cleared the group"))
        }
        Step::Decided(Decision::Late) => (false, "late", "came late and changed nothing".to_owned()),
        Step::TooLate => (false, "late", "came too late to be put in at its own time".to_owned()),
        Step::Evicted => (false, "evicted", "the rule had too many groups".to_owned()),
        Step::GroupFieldMissing => (
            false,
            "group_field_missing",
            "it has no group: a field of `by` is absent, empty or unknown".to_owned(),
        ),
        Step::ValueMissing => {
            (false, "group_field_missing", "the field that the verb looks at is missing".to_owned())
        }
        Step::Excepted(number) => {
            let because = rule.spec.except.get(*number).map_or("", |except| &except.because);
            (false, "exception", format!("except[{number}]: {because}"))
        }
        Step::Decided(Decision::Short(reason)) => short(program, reason),
    }
}

/// Why the verb did not fire, in words.
fn short(program: &Program, reason: &Reason) -> (bool, &'static str, String) {
    match reason {
        Reason::BelowThreshold { what, actual, needed } => {
            let sized = |number: Number| sized(program, *what, number);
            let needed = match needed {
                Needed::AtLeast(number) => number.to_string(),
                Needed::Share(percent) => format!("{percent}%"),
                Needed::Beyond(Limit::Above(number)) => format!("more than {}", sized(*number)),
                Needed::Beyond(Limit::Below(number)) => format!("less than {}", sized(*number)),
            };
            let actual = sized(*actual);
            (false, "below_threshold", format!("{actual}/{needed} {}", counted(program, *what)))
        }
        Reason::Learning(Learning::FirstValue) => {
            (false, "learning", "the group's first value is learnt".to_owned())
        }
        Reason::Learning(Learning::Until(until)) => {
            (false, "learning", format!("the group learns until {until}"))
        }
        Reason::Learning(Learning::Records(seen, needed)) => {
            (false, "learning", format!("the group has learnt {seen}/{needed} records"))
        }
        Reason::KnownValue { values, last } => {
            let value = values
                .first()
                .and_then(text_of)
                .map_or_else(String::new, |text| text.replace('\u{1f}', ", "));
            (false, "known_value", format!("{value} was last used at {last}"))
        }
        Reason::Waiting { until } => {
            (false, "below_threshold", format!("the group fires at {until}, unless something comes before"))
        }
        Reason::Came => (false, "below_threshold", "it is what must be absent, and it came".to_owned()),
        Reason::StepTaken(number) => {
            let counted = counted(program, Counted::Step(*number));
            (false, "below_threshold", format!("it is one of the {counted}; the last step is still to come"))
        }
        Reason::ScriptSaidNo => (false, "no_match", "the script said no".to_owned()),
        Reason::ScriptFault { fault } => (false, "no_match", fault.clone()),
    }
}

/// A number with its unit, where it is a length of time.
fn sized(program: &Program, what: Counted, number: Number) -> String {
    let kind = program.carries.first().and_then(|carry| carry.columns.first()).map(|(_, kind)| *kind);
    match (what, kind, number.to_i64()) {
        (Counted::Stat(_), Some(FieldKind::Duration), Some(length)) => Millis(length).to_string(),
        (
            Counted::Hits
            | Counted::DistinctValues
            | Counted::InBucket
            | Counted::Samples
            | Counted::Stat(_)
            | Counted::Having(_)
            | Counted::Step(_),
            _,
            _,
        ) => number.to_string(),
    }
}

fn counted(program: &Program, what: Counted) -> String {
    match (what, &program.verb) {
        (Counted::Hits, _) => "hits".to_owned(),
        (Counted::DistinctValues, _) => "distinct values".to_owned(),
        (Counted::InBucket, _) => "in the bucket".to_owned(),
        (Counted::Samples, _) => "samples".to_owned(),
        (Counted::Stat(stat), _) => stat.to_string(),
        (Counted::Having(number), Verb::Count(count)) => {
            count.having.get(number).map_or_else(String::new, |having| having.name.clone())
        }
        (Counted::Step(number), Verb::Sequence(sequence)) => {
            let name = sequence.steps.get(number).and_then(|step| step.name.as_deref());
            name.map_or_else(|| format!("records of step {}", number + 1), |name| format!("`{name}`"))
        }
        (Counted::Having(_) | Counted::Step(_), _) => String::new(),
    }
}

/// The first look at a field that failed.
pub fn no_match(tree: &Why) -> String {
    if let Some(actual) = &tree.actual {
        return format!("{} does not hold: it is {actual}", tree.what);
    }
    match tree.parts.iter().find(|part| !part.held) {
        Some(part) if !tree.held && tree.what == "all of" => no_match(part),
        Some(_) | None => format!("`{}` does not hold", tree.what),
    }
}
