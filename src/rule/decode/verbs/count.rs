//! `count`

use super::super::super::keys::{HAVING, HAVING_LINE, MAX_AT_LEAST};
use super::super::super::spec::{Amount, CountSpec, Having, HavingTest};
use super::super::super::yaml::Entry;
use super::super::condition::{Defaults, expression};
use super::super::taken::Taken;
use super::super::{Cx, values};
use super::usual::TIMES;
use crate::record::Number;
use crate::record::field::lookup;

/// Names that the alert's text has already.
const TAKEN_NAMES: &[&str] = &[
    "count",
    "value",
    "values",
    "samples",
    "threshold",
    "steps",
    "rule",
    "level",
    "group",
    "title",
    "state",
    "repeats",
    "late",
    "at",
];

pub(super) fn count(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<CountSpec> {
    let at_least = map.whole(cx, "at_least");
    let having = having(cx, map);
    if !map.has("at_least") && !map.has("having") {
        cx.fault(map.at, "`count` needs `at_least`", "add `at_least: 5`, or conditions under `having`");
    }
    let unless = map.get("unless").and_then(|entry| expression(cx, entry, Defaults::Login));
    let restart = map.flag(cx, "restart").unwrap_or(false);
    let group = map.grouping(cx);
    if group.by.is_empty() {
        let compares =
            |having: &&Having| matches!(having.test, HavingTest::Share { times_others: Some(_), .. });
        if let Some(having) = having.iter().find(compares) {
            let message = format!("`{}` compares groups with each other, and there is one only", having.name);
            cx.fault(map.at, message, "say whose hits make a group: `by: [agent_version]`");
        }
    }
    let within = map.duration(cx, "within")?;
    Some(CountSpec { group, within, at_least, unless, restart, having })
}

fn having(cx: &mut Cx<'_>, count: &Taken<'_>) -> Vec<Having> {
    let Some(map) = count.map(cx, "having", &HAVING) else { return Vec::new() };
    let entries = map.rest();
    if entries.is_empty() {
        cx.fault(map.at, "`having` is empty", format!("write `{}`", count.example("having")));
    }
    let mut list = Vec::new();
    for entry in entries {
        let name = entry.key.text.as_str();
        having_name(cx, entry);
        let example = "users: {distinct: user, at_least: 8}";
        let line = Taken::open(cx, &entry.value, &HAVING_LINE, entry.key.span, example);
        let test = line.and_then(|line| having_test(cx, &line));
        list.extend(test.map(|test| Having { name: name.to_owned(), test }));
    }
    list
}

fn having_name(cx: &mut Cx<'_>, entry: &Entry) {
    let name = entry.key.text.as_str();
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        cx.fault(
            entry.key.span,
            format!("`{name}` cannot name a condition"),
            "use a-z, 0-9 and _, beginning with a letter",
        );
    } else if TAKEN_NAMES.contains(&name) || lookup(name).is_some() {
        let message = format!("`{name}` means something else in the alert's text");
        cx.fault(entry.key.span, message, format!("choose another name, such as `{name}_seen`"));
    }
}

fn having_test(cx: &mut Cx<'_>, line: &Taken<'_>) -> Option<HavingTest> {
    let field = line.field(cx, "distinct");
    let matches = line.get("match").and_then(|entry| expression(cx, entry, Defaults::Login));
    let at_least = amount(cx, line);
    let times_others = line.has("times_others").then(|| times_others(cx, line));
    match (line.get("distinct"), line.get("match")) {
        (Some(_), Some(other)) => {
            cx.fault(
                other.key.span,
                "a condition counts either distinct values or matching hits",
                "make two conditions of it",
            );
            None
        }
        (None, None) => {
            cx.fault(
                line.at,
                "a condition of `having` needs `distinct` or `match`",
                "write {distinct: user, at_least: 8} or {match: {outcome: failure}, at_least: 50%}",
            );
            None
        }
        (Some(distinct), None) if line.has("times_others") => {
            let span = line.get("times_others").map_or(distinct.key.span, |entry| entry.key.span);
            let hint = "write {match: {outcome: failure}, at_least: 5, times_others: 3}";
            cx.fault(span, "distinct values are counted, and have no share to compare", hint);
            None
        }
        (Some(_), None) => match at_least? {
            Amount::Hits(at_least) => Some(HavingTest::Distinct { field: field?.0, at_least }),
            Amount::Percent(_) => {
                let span = line.get("at_least").map_or(line.at, |entry| entry.value.span);
                cx.fault(
                    span,
                    "distinct values are counted, and have no share",
                    "write a whole number, such as `at_least: 8`",
                );
                None
            }
        },
        (None, Some(_)) => {
            let times_others = match times_others {
                Some(given) => Some(given?),
                None => None,
            };
            Some(HavingTest::Share { matches: matches?, at_least: at_least?, times_others })
        }
    }
}

/// How many times the others' share, in hundredths.
fn times_others(cx: &mut Cx<'_>, line: &Taken<'_>) -> Option<u32> {
    let (times, span) = line.number(cx, "times_others")?;
    let hundredths = times.times(100).to_i64().filter(|hundredths| TIMES.contains(hundredths));
    if hundredths.is_none() {
        let message = format!("`times_others` takes a number from 1.01 to 1000, not `{times}`");
        cx.fault(span, message, "with two digits after the point at most: `times_others: 2.5`");
    }
    hundredths.and_then(|hundredths| u32::try_from(hundredths).ok())
}

/// `8` or `50%`.
fn amount(cx: &mut Cx<'_>, line: &Taken<'_>) -> Option<Amount> {
    let entry = line.get("at_least")?;
    let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
    let (zero, hundred) = (Number::default(), Number::whole(100));
    if let Some(share) = text.strip_suffix('%') {
        if let Some(share) = Number::parse(share.trim()).filter(|share| *share > zero && *share <= hundred) {
            return Some(Amount::Percent(share));
        }
        cx.fault(
            entry.value.span,
            format!("`{text}` is no share"),
            "a share is above 0% and at most 100%, such as `50%`",
        );
        return None;
    }
    match values::whole(text) {
        Some(0) => {
            cx.fault(
                entry.value.span,
                "`at_least` cannot be 0, which always holds",
                "write 1 or more, or take the condition out",
            );
            None
        }
        Some(hits) if hits <= MAX_AT_LEAST => Some(Amount::Hits(hits)),
        Some(hits) => {
            cx.fault(
                entry.value.span,
                format!("`at_least: {hits}` can never hold"),
                format!("a group keeps {MAX_AT_LEAST} records at most"),
            );
            None
        }
        None => {
            line.mismatch(cx, entry);
            None
        }
    }
}
