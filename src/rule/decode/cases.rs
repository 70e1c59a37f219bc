//! The tests of a rule file: lines of records, and the alerts that they raise.
//!
//! Values of records become JSON as a source would send it, typed by the field. Values of alerts stay
//! text: whether their names are in scope is checked with the templates.

use serde_json::Value;

use super::super::case::{Case, EventLine, Expected, ListValues, Spelt};
use super::super::keys::{EACH, EVENT, EXPECTED, TEST, TEST_LISTS, TEST_VALUE};
use super::super::problem::Span;
use super::super::yaml::{Entry, Kind, Node, Scalar, Style};
use super::rule::until;
use super::taken::{Taken, first_key, place};
use super::{Cx, values};
use crate::record::{FieldKind, FieldName, Timestamp};

/// Keys of a line of events, for suggestions.
const LINE_KEYS: &[&str] = &["times", "every", "each", "after", "at"];

/// The tests under `tests:`.
pub(super) fn cases(cx: &mut Cx<'_>, rule: &Taken<'_>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for map in rule.maps(cx, "tests", &TEST) {
        let name = map.text(cx, "name");
        let lists = lists(cx, &map);
        let history = lines(cx, &map, "history");
        let events = lines(cx, &map, "events");
        let alerts = expected(cx, &map);
        let Some(name) = name else { continue };
        let span = map.get("name").map_or(map.at, |entry| entry.value.span);
        if let Some(first) = cases.iter().find(|case| case.name == name) {
            let also = (first.span, "the first test of that name");
            cx.problems.error_with(
                span,
                format!("two tests are called `{name}`"),
                "say what each claims",
                also,
            );
        }
        cases.push(Case { name, span, lists, history, events, alerts });
    }
    cases
}

/// The names of lists that tests give, wherever they stand in the file.
pub(super) fn lists_given(root: &Node) -> Vec<String> {
    fn under<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
        node.map()?.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }
    let Some(Node { kind: Kind::List(tests), .. }) = under(root, "tests") else { return Vec::new() };
    let lists = tests.iter().filter_map(|test| under(test, "lists")?.map());
    let mut names: Vec<String> = lists.flatten().map(|entry| entry.key.text.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// The lists of one test.
fn lists(cx: &mut Cx<'_>, test: &Taken<'_>) -> Vec<(String, ListValues)> {
    let Some(map) = test.map(cx, "lists", &TEST_LISTS) else { return Vec::new() };
    let mut lists = Vec::new();
    for entry in map.rest() {
        let name = entry.key.text.clone();
        // A name that a condition reads is told there.
        if !cx.lists.known.contains(&name) && !cx.lists.read.contains(&name) {
            let hint = cx.lists.way_out(&name);
            cx.fault(entry.key.span, format!("there is no list `{name}`"), hint);
        }
        let Kind::List(nodes) = &entry.value.kind else {
            let message = format!("`{name}` is a list of values, not {}", entry.value.what());
            cx.fault(place(entry), message, format!("write `lists: {{{name}: [a, b]}}`"));
            continue;
        };
        let values = nodes.iter().filter_map(|node| listed(cx, &name, node)).collect();
        lists.push((name, values));
    }
    lists
}

/// One value of a list.
fn listed(cx: &mut Cx<'_>, name: &str, node: &Node) -> Option<(String, Option<Timestamp>)> {
    if let Some(scalar) = node.scalar().filter(|scalar| !scalar.is_null()) {
        return Some((scalar.text.clone(), None));
    }
    let example = format!("{name}: [ana, {{value: bob, until: 2026-01-31}}]");
    let map = Taken::open(cx, node, &TEST_VALUE, first_key(node), &example)?;
    let value = map.text(cx, "value")?;
    if !map.has("until") {
        return Some((value, None));
    }
    let until = until(cx, &map)?;
    Some((value, Some(until)))
}

fn lines(cx: &mut Cx<'_>, test: &Taken<'_>, name: &str) -> Vec<EventLine> {
    test.maps(cx, name, &EVENT).iter().map(|map| line(cx, map)).collect()
}

fn line(cx: &mut Cx<'_>, map: &Taken<'_>) -> EventLine {
    let mut seen: Vec<(FieldName, Span)> = Vec::new();
    let mut fields = Vec::new();
    for entry in map.rest() {
        let Some(field) = field_of(cx, entry, LINE_KEYS, &mut seen) else { continue };
        let value = if let Some(scalar) = entry.value.scalar() {
            value(cx, &field, scalar, place(entry))
        } else {
            let message = format!("`{field}` of a record is one value, not {}", entry.value.what());
            cx.fault(
                entry.value.span,
                message,
                format!("for several records write `each: {{{field}: [a, b]}}`"),
            );
            None
        };
        fields.extend(value.map(|value| (field, value)));
    }
    let each = each(cx, map, &mut seen);
    let times = map.whole(cx, "times");
    tell_short_lists(cx, map, &each, times);
    EventLine {
        span: map.at,
        times,
        every: map.duration_or_zero(cx, "every"),
        after: map.duration_or_zero(cx, "after"),
        at: at(cx, map),
        each,
        fields,
    }
}

/// A list that is shorter than the line has records begins again, which may not be what is meant.
fn tell_short_lists(cx: &mut Cx<'_>, map: &Taken<'_>, each: &[(FieldName, Vec<Spelt>)], times: Option<u32>) {
    let longest = each.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let records = times.map_or(longest, |times| times as usize);
    let span = map.get("each").map_or(map.at, |entry| entry.key.span);
    for (field, values) in each.iter().filter(|(_, values)| (1..records).contains(&values.len())) {
        let message =
            format!("`{field}` lists {} values for {records} records and begins again", values.len());
        cx.problems.warn(span, message, "list one a record");
    }
}

fn each(cx: &mut Cx<'_>, map: &Taken<'_>, seen: &mut Vec<(FieldName, Span)>) -> Vec<(FieldName, Vec<Spelt>)> {
    let Some(map) = map.map(cx, "each", &EACH) else { return Vec::new() };
    let mut each = Vec::new();
    for entry in map.rest() {
        let Some(field) = field_of(cx, entry, &[], seen) else { continue };
        let Kind::List(nodes) = &entry.value.kind else {
            let message = format!("`{field}` under `each` is a list of values, not {}", entry.value.what());
            cx.fault(place(entry), message, format!("write `each: {{{field}: [a, b]}}`"));
            continue;
        };
        if nodes.is_empty() {
            cx.fault(entry.value.span, format!("`{field}` under `each` lists no value"), "list one a record");
        }
        let values = nodes.iter().filter_map(|node| list_value(cx, &field, node)).collect();
        each.push((field, values));
    }
    each
}

fn list_value(cx: &mut Cx<'_>, field: &FieldName, node: &Node) -> Option<Spelt> {
    if let Some(scalar) = node.scalar() {
        return value(cx, field, scalar, node.span);
    }
    cx.fault(node.span, format!("a value of `{field}` is {}", node.what()), "list single values");
    None
}

/// The field that an entry sets; a field that the line sets already is a fault.
fn field_of(
    cx: &mut Cx<'_>,
    entry: &Entry,
    others: &[&str],
    seen: &mut Vec<(FieldName, Span)>,
) -> Option<FieldName> {
    let span = entry.key.span;
    if let Some((name, _)) = entry.key.text.split_once('|') {
        let message = format!("a record of a test has values, and `{}` is a condition", entry.key.text);
        cx.fault(span, message, format!("write `{name}: value`"));
        return None;
    }
    let field = cx.field(&entry.key.text, span, others)?;
    if let Some((_, first)) = seen.iter().find(|(other, _)| *other == field) {
        let also = (*first, "it is set here first");
        cx.problems.error_with(span, format!("this line sets `{field}` twice"), "keep one of them", also);
        return None;
    }
    seen.push((field.clone(), span));
    Some(field)
}

fn at(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Timestamp> {
    let text = map.text(cx, "at")?;
    let at = values::instant(&text);
    if at.is_none() {
        map.get("at").into_iter().for_each(|entry| map.mismatch(cx, entry));
    }
    at
}

/// A value as a source would send it.
fn value(cx: &mut Cx<'_>, field: &FieldName, scalar: &Scalar, span: Span) -> Option<Spelt> {
    let text = scalar.text.as_str();
    if scalar.is_null() {
        if text.is_empty() {
            cx.fault(span, format!("`{field}` has no value"), "write `''` for empty text, or `null`");
            return None;
        }
        return Some(Value::Null.into());
    }
    let as_text = || Spelt::from(Value::from(text));
    // What is quoted is text, so that a test can send what a source should not.
    let quoted = scalar.style != Style::Plain;
    match field.kind() {
        _ if quoted => Some(as_text()),
        FieldKind::Number => {
            let number = Spelt::number(text);
            if number.is_none() {
                let message = format!("`{field}` is a number, and `{text}` is none");
                cx.fault(span, message, "write digits, such as `300`; in quotes it is sent as text");
            }
            number
        }
        FieldKind::Bool => {
            if scalar.boolean().is_none() {
                let message = format!("`{field}` is true or false, not `{text}`");
                cx.fault(span, message, "write `true` or `false`; in quotes it is sent as text");
            }
            scalar.boolean().map(|truth| Value::Bool(truth).into())
        }
        FieldKind::Duration => Some(match values::duration(text) {
            Ok(length) => Value::from(length.0).into(),
            Err(_) => Spelt::number(text).unwrap_or_else(as_text),
        }),
        FieldKind::Any => {
            let truth = scalar.boolean().map(|truth| Value::Bool(truth).into());
            Some(truth.or_else(|| Spelt::number(text)).unwrap_or_else(as_text))
        }
        FieldKind::Text | FieldKind::Time | FieldKind::Address => Some(as_text()),
    }
}

/// `alerts: none`, or a list of what each must be.
fn expected(cx: &mut Cx<'_>, test: &Taken<'_>) -> Vec<Expected> {
    let Some(entry) = test.get("alerts") else { return Vec::new() };
    let nodes = match &entry.value.kind {
        Kind::Scalar(scalar) if scalar.text == "none" => return Vec::new(),
        Kind::List(nodes) => nodes,
        Kind::Scalar(_) | Kind::Map(_) => {
            let hint = "write `alerts: none`, or a list: `alerts: [{user: ana, count: 5}]`";
            cx.fault(
                place(entry),
                format!("`alerts` is `none` or a list of maps, not {}", what(&entry.value)),
                hint,
            );
            return Vec::new();
        }
    };
    let mut alerts = Vec::new();
    for node in nodes {
        let example = "alerts: [{user: ana, count: 5}]";
        let Some(map) = Taken::open(cx, node, &EXPECTED, first_key(node), example) else { continue };
        let mut values = Vec::new();
        for entry in map.rest() {
            asserted(cx, "", entry, &mut values);
        }
        alerts.push(Expected { span: map.at, values });
    }
    alerts
}

fn what(node: &Node) -> String {
    match node.scalar() {
        Some(scalar) if !scalar.is_null() => format!("`{}`", scalar.text),
        Some(_) | None => node.what().to_owned(),
    }
}

/// A value in scope and the text that it must show as; a map (`values: {users: 8}`) is its names
/// joined by a point.
fn asserted(cx: &mut Cx<'_>, prefix: &str, entry: &Entry, values: &mut Vec<(String, Span, String)>) {
    let name = format!("{prefix}{}", entry.key.text);
    match &entry.value.kind {
        Kind::Scalar(scalar) if scalar.style == Style::Plain && scalar.text.is_empty() => {
            cx.fault(
                entry.key.span,
                format!("`{name}` has no value"),
                "write what the alert must show, or `''`",
            );
        }
        Kind::Scalar(scalar) => values.push((name, entry.key.span, scalar.text.clone())),
        Kind::Map(entries) => {
            let prefix = format!("{name}.");
            for entry in entries {
                asserted(cx, &prefix, entry, values);
            }
        }
        Kind::List(_) => {
            cx.fault(
                entry.value.span,
                format!("`{name}` of an alert is one value, not a list"),
                "assert one value",
            );
        }
    }
}
