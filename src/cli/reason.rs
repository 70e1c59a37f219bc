//! Why a hit fired or did not: the closed list of reasons, and each in words.

use std::collections::BTreeMap;

use crate::alert::AlertId;
use crate::engine::{Decision, Step, Traced};
use crate::record::{Datum, FieldKind, FieldName, Millis, Number, RecordId, RuleId};
use crate::rule::compile::{Program, Rule};
use crate::rule::spec::correlate::{Asks, Comparison, Occurrence};
use crate::rule::spec::{self, Limit, Mode, Stat, UsualOf};
use crate::rule::verb::correlate::Shortfall;
use crate::rule::verb::travel::Journey;
use crate::rule::verb::{Counted, Learning, Needed, Reason, Verb, text_of};
use crate::rule::why::{Answered, Why};

/// Whether a step fired, its reason of the closed list, and in words; `held` are alerts that were held
/// back when they fired.
pub fn told(
    program: &Program,
    step: &Step,
    held: &BTreeMap<AlertId, Vec<RuleId>>,
) -> (bool, &'static str, String) {
    let rule = &program.rule;
    match step {
        Step::Decided(Decision::Fired { id, .. }) if held.contains_key(id) => {
            let by: Vec<&str> = held.get(id).into_iter().flatten().map(RuleId::as_str).collect();
            let detail = format!("alert {id}, held back while {} has an open alert", by.join(", "));
            (true, "quiet_while", detail)
        }
        Step::Decided(Decision::Fired { id, late }) => {
            let late = if *late { ", late" } else { "" };
            match rule.spec.mode {
                Mode::Live => (true, "fired", format!("alert {id}{late}")),
                Mode::Observe => (true, "observe", format!("alert {id}{late}")),
                Mode::Heard => {
                    let detail = format!("{id}{late}, of which only the rules that correlate it hear");
                    (true, "fired", detail)
                }
            }
        }
        Step::Decided(Decision::Cooldown { until }) => {
            (false, "cooldown_until", format!("joined the open alert; the group may fire again at {until}"))
        }
        Step::Decided(Decision::Cleared) => {
            let key = if let Verb::Sequence(_) = program.verb { "until" } else { "unless" };
            let detail = if let Verb::Overlap(_) = program.verb {
                "a session ended".to_owned()
            } else {
                format!("the record met `{key}` and cleared the group")
            };
            (false, "below_threshold", detail)
        }
        Step::Decided(Decision::Late) => (false, "late", "came late and changed nothing".to_owned()),
        Step::TooLate => (false, "late", "came too late to be put in at its own time".to_owned()),
        Step::Answered(_) => (false, "no_match", "the past says no".to_owned()),
        Step::Heard(_) => (false, "late", "it is still ahead of the watermark".to_owned()),
        Step::Evicted => (false, "evicted", "the rule had too many groups".to_owned()),
        Step::GroupFieldMissing => (
            false,
            "group_field_missing",
            "it has no group: a field of `by` is absent, empty or unknown".to_owned(),
        ),
        Step::ValueMissing => (
            false,
            "group_field_missing",
            format!("the verb looks at {}, and it is missing", looked_at(rule)),
        ),
        Step::Excepted(number) => {
            let words = match rule.spec.except.get(*number) {
                Some(except) => format!("except[{number}]: {}", except.because),
                None => "its public_ip is in a list of `ignore_in`: it is no point of a journey".to_owned(),
            };
            (false, "exception", words)
        }
        Step::Decided(Decision::Short(reason)) => short(program, reason),
    }
}

/// The fields without which a record is no hit of the rule's verb.
fn looked_at(rule: &Rule) -> String {
    let fields: Vec<&str> = match &rule.spec.verb {
        Some(spec::Verb::Travel(_) | spec::Verb::Overlap(_)) => vec!["geo.lat", "geo.lon"],
        Some(spec::Verb::FirstSeen(verb)) => verb.value.iter().map(FieldName::as_str).collect(),
        Some(verb) => verb.fields().into_iter().map(FieldName::as_str).collect(),
        None => Vec::new(),
    };
    if fields.is_empty() { "a field".to_owned() } else { format!("`{}`", fields.join("` and `")) }
}

/// Why the verb did not fire, in words.
fn short(program: &Program, reason: &Reason) -> (bool, &'static str, String) {
    match reason {
        Reason::BelowThreshold { what, actual, needed } => {
            let sized = |number: Number| sized(program, *what, number);
            let needed = match needed {
                Needed::AtLeast(number) => number.to_string(),
                Needed::Share(percent) => format!("{percent}%"),
                Needed::TimesOthers(times) => format!("{times} times the others' share of"),
                Needed::Beyond(Limit::Above(number)) => format!("more than {}", sized(*number)),
                Needed::Beyond(Limit::Below(number)) => format!("less than {}", sized(*number)),
            };
            let not_come = matches!(what, Counted::Step(_)) && *actual == Number::default();
            let not_come = if not_come { ": none has come before it" } else { "" };
            let actual = sized(*actual);
            (false, "below_threshold", format!("{actual}/{needed} {}{not_come}", counted(program, *what)))
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
        Reason::Learning(Learning::Samples(seen, needed)) => {
            let what = match &program.rule.spec.verb {
                Some(spec::Verb::Usual(usual)) if matches!(usual.of, UsualOf::Rate { .. }) => {
                    "weeks of this stretch"
                }
                Some(_) | None => "samples",
            };
            (false, "learning", format!("the group has learnt {seen}/{needed} {what}"))
        }
        Reason::Usual { value, usual, samples, fires } => {
            let sized = |number: &Number| sized(program, Counted::Stat(Stat::MEDIAN), *number);
            let fires = match fires {
                Limit::Above(bound) if bound.bound().is_some() => "a larger one".to_owned(),
                Limit::Below(bound) if bound.bound().is_some() => "a smaller one".to_owned(),
                Limit::Above(bound) => format!("more than {}", sized(bound)),
                Limit::Below(bound) => format!("less than {}", sized(bound)),
            };
            let (value, usual) = (sized(value), sized(usual));
            let words = format!("{value} where {usual} is usual, the median of {samples}; {fires} fires");
            (false, "below_threshold", words)
        }
        Reason::KnownValue { values, slot: 0, last } => {
            (false, "known_value", format!("{} was last used at {last}", value(values, 0)))
        }
        Reason::Waiting { until } => {
            (false, "below_threshold", format!("the group fires at {until}, unless something comes before"))
        }
        Reason::Came => (false, "below_threshold", "it is what must be absent, and it came".to_owned()),
        Reason::StepTaken(number) => {
            let counted = counted(program, Counted::Step(*number));
            (false, "below_threshold", format!("it is one of the {counted}; the last step is still to come"))
        }
        Reason::KnownValue { values, slot, last } => {
            let (own, same) = (value(values, 0), value(values, *slot));
            let fields = same_if(program);
            (false, "known_value", format!("{own} has {fields} {same}, which was last used at {last}"))
        }
        Reason::CommonValue { values, shown_by } => {
            (false, "known_value", format!("{} is common: {shown_by} {}", value(values, 0), common(program)))
        }
        Reason::NoJourney => (
            false,
            "below_threshold",
            "no point before it is near enough in time for a journey that is too fast".to_owned(),
        ),
        Reason::SameWay { field } => {
            let name = match &program.rule.spec.verb {
                Some(spec::Verb::Travel(spec)) => spec.ignore_same.get(*field).map(FieldName::as_str),
                Some(_) | None => None,
            };
            (false, "known_value", format!("{} is the same as at the point before", name.unwrap_or_default()))
        }
        Reason::NoneBeside(0) => {
            (false, "below_threshold", "no other session of the group is open".to_owned())
        }
        Reason::NoneBeside(open) => {
            let detail = format!("sessions that are open beside it: {open}; none is what `where` asks");
            (false, "below_threshold", detail)
        }
        Reason::Parted => {
            (false, "below_threshold", "no other session stayed open beside it for long enough".to_owned())
        }
        Reason::Travelled(journey) => (false, "below_threshold", travelled(program, *journey)),
        Reason::Correlation(short) => (false, "below_threshold", correlated(program, short)),
        Reason::ScriptSaidNo => (false, "no_match", "the script said no".to_owned()),
        Reason::ScriptFault { fault } => (false, "no_match", fault.clone()),
    }
}

/// One of a hit's values.
fn value(values: &[Datum], slot: usize) -> String {
    values.get(slot).and_then(text_of).map_or_else(String::new, |text| text.replace('\u{1f}', ", "))
}

/// The fields that make another value known.
fn same_if(program: &Program) -> String {
    let Some(spec::Verb::FirstSeen(spec)) = &program.rule.spec.verb else { return String::new() };
    spec.same_if.iter().map(FieldName::as_str).collect::<Vec<_>>().join(", ")
}

/// Who makes a value common: `values of user within 1d, and 5 make it so`.
fn common(program: &Program) -> String {
    let Some(spec::Verb::FirstSeen(spec)) = &program.rule.spec.verb else { return String::new() };
    spec.unless_common.as_ref().map_or_else(String::new, |common| {
        format!("values of {} within {}, and {} make it so", common.by, common.within, common.at_least)
    })
}

/// A journey that was too short or too slow.
fn travelled(program: &Program, journey: Journey) -> String {
    let Verb::Travel(travel) = &program.verb else { return String::new() };
    let (km, kmh) = (journey.km(), journey.kmh());
    if journey.metres < i64::from(travel.at_least) * 1_000 {
        return format!("{km}/{} km from the point before", travel.at_least);
    }
    format!("{km} km at {kmh} km/h; more than {} km/h fires", travel.faster_than)
}

/// What the window of a correlation's event was short of.
fn correlated(program: &Program, short: &Shortfall) -> String {
    let Verb::Correlate(verb) = &program.verb else { return String::new() };
    let names = |numbers: &[usize]| {
        let name = |number: &usize| verb.rules.get(*number).map(|rule| format!("`{}`", rule.name));
        numbers.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    match short {
        Shortfall::Compared(actual) => {
            let (what, bounds) = match &verb.asks {
                Asks::Events(bounds) => ("events".to_owned(), bounds.as_slice()),
                Asks::Values(bounds) => ("distinct values".to_owned(), bounds.as_slice()),
                Asks::Number(aggregate, bounds) => (aggregate.to_string(), bounds.as_slice()),
                Asks::Rules(Occurrence::Many(bounds)) => ("rules".to_owned(), bounds.as_slice()),
                Asks::Ordered(Occurrence::Many(bounds)) => ("rules in order".to_owned(), bounds.as_slice()),
                Asks::Rules(_) | Asks::Ordered(_) => ("rules".to_owned(), <&[Comparison]>::default()),
            };
            let bounds: Vec<String> =
                bounds.iter().map(|one| format!("{} {}", one.is.as_str(), one.bound)).collect();
            let actual = actual.bound().map_or_else(|| actual.to_string(), str::to_owned);
            format!("{what}: {actual}, and the condition is {}", bounds.join(" and "))
        }
        Shortfall::Missing(missing) => {
            let have = if missing.len() == 1 { "has" } else { "have" };
            format!("{} {have} not come yet within the timespan", names(missing))
        }
        Shortfall::Other(present) => {
            format!("only {} occurred within the timespan, and the condition names others", names(present))
        }
        Shortfall::Disorder => "the rules occurred in another order".to_owned(),
    }
}

/// A number with its unit, where it is a length of time.
fn sized(program: &Program, what: Counted, number: Number) -> String {
    let kind = program.carries.first().and_then(|carry| carry.columns.first()).map(|(_, kind)| *kind);
    match (what, kind, number.to_i64()) {
        (Counted::Stat(_), Some(FieldKind::Duration), Some(length)) => Millis(length).to_string(),
        (
            Counted::Hits
            | Counted::Others
            | Counted::DistinctValues
            | Counted::InBucket
            | Counted::Samples
            | Counted::Points
            | Counted::Techniques
            | Counted::Stat(_)
            | Counted::Having(_)
            | Counted::Step(_),
            _,
            _,
        ) => number.bound().map_or_else(|| number.to_string(), str::to_owned),
    }
}

fn counted(program: &Program, what: Counted) -> String {
    match (what, &program.verb) {
        (Counted::Hits, _) => "hits".to_owned(),
        (Counted::Others, _) => "hits of the other groups".to_owned(),
        (Counted::DistinctValues, _) => "distinct values".to_owned(),
        (Counted::InBucket, _) => "in the bucket".to_owned(),
        (Counted::Samples, _) => "samples".to_owned(),
        (Counted::Points, _) => "points".to_owned(),
        (Counted::Techniques, _) => "techniques".to_owned(),
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

/// What the past answered when the record was judged.
pub fn answers(traced: &[Traced], id: RecordId) -> Vec<Answered> {
    let answered =
        traced.iter().rev().filter(|traced| traced.id == id).find_map(|traced| match &traced.step {
            Step::Answered(answers) => Some(answers.clone()),
            Step::Decided(_)
            | Step::GroupFieldMissing
            | Step::ValueMissing
            | Step::Excepted(_)
            | Step::TooLate
            | Step::Evicted
            | Step::Heard(_) => None,
        });
    answered.unwrap_or_default()
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
