//! The stateful verbs: `count`, `distinct`, `first_seen`, `measure`, `script`.

use std::sync::Arc;

use super::super::keys::{
    COUNT, DISTINCT, FIRST_SEEN, HAVING, HAVING_LINE, LEARN, MAX_AT_LEAST, MEASURE, RECOVER, SAME_NET,
    SCRIPT, STATS, VERBS,
};
use super::super::spec::{
    Amount, CountSpec, DistinctSpec, FirstSeenSpec, Having, HavingTest, Learn, Limit, MeasureSpec, SameNet,
    ScriptSpec, ScriptText, Stat, Verb,
};
use super::super::yaml::{self, Entry, Kind};
use super::condition::{Defaults, expression};
use super::taken::{Taken, place};
use super::{Cx, suggest, values};
use crate::record::field::lookup;
use crate::record::{FieldKind, FieldName, Millis, Number};

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

/// The verb of a rule, if it has one. More than one is a fault.
pub(super) fn verb(cx: &mut Cx<'_>, rule: &Taken<'_>) -> Option<Verb> {
    let present: Vec<&Entry> = VERBS.iter().filter_map(|name| rule.get(name)).collect();
    if let [first, second, ..] = present.as_slice() {
        let (first, second) =
            if first.key.span < second.key.span { (first, second) } else { (second, first) };
        let message =
            format!("a rule has one verb, and this has `{}` and `{}`", first.key.text, second.key.text);
        let hint = "make two rules of it, or put further conditions under `count: {having: …}`";
        cx.problems.error_with(second.key.span, message, hint, (first.key.span, "the first verb"));
    }
    let count = rule.map(cx, "count", &COUNT).and_then(|map| count(cx, &map));
    let distinct = rule.map(cx, "distinct", &DISTINCT).and_then(|map| distinct(cx, &map));
    let first_seen = rule.map(cx, "first_seen", &FIRST_SEEN).and_then(|map| first_seen(cx, &map));
    let measure = rule.map(cx, "measure", &MEASURE).and_then(|map| measure(cx, &map));
    let script = rule.map(cx, "script", &SCRIPT).and_then(|map| script(cx, &map));
    count
        .map(Verb::Count)
        .or(distinct.map(Verb::Distinct))
        .or(first_seen.map(Verb::FirstSeen))
        .or(measure.map(Verb::Measure))
        .or(script.map(Verb::Script))
}

fn count(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<CountSpec> {
    let at_least = map.whole(cx, "at_least");
    let having = having(cx, map);
    if !map.has("at_least") && !map.has("having") {
        cx.fault(map.at, "`count` needs `at_least`", "add `at_least: 5`, or conditions under `having`");
    }
    let unless = map.get("unless").and_then(|entry| expression(cx, entry, Defaults::Login));
    let restart = map.flag(cx, "restart").unwrap_or(false);
    let group = map.grouping(cx);
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
        (None, Some(_)) => Some(HavingTest::Share { matches: matches?, at_least: at_least? }),
    }
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

fn distinct(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<DistinctSpec> {
    let field = map.field(cx, "field");
    let at_least = map.whole(cx, "at_least");
    let each_at_most = map.whole(cx, "each_at_most");
    let within = map.duration(cx, "within");
    let group = map.grouping(cx);
    if let (Some((field, span)), true) =
        (&field, field.as_ref().is_some_and(|(field, _)| group.by.contains(field)))
    {
        cx.fault(
            *span,
            format!("within one `{field}` there is one `{field}`"),
            "count another field, or group by another one",
        );
    }
    Some(DistinctSpec { group, within: within?, field: field?.0, at_least: at_least?, each_at_most })
}

fn first_seen(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<FirstSeenSpec> {
    let value = match map.get("value").map(|entry| &entry.value.kind) {
        Some(Kind::List(nodes)) => {
            if nodes.is_empty() {
                cx.fault(map.at, "`value` names no field", "write `value: public_ip`");
            }
            map.fields(cx, "value")
        }
        Some(Kind::Scalar(_) | Kind::Map(_)) => {
            map.field(cx, "value").into_iter().map(|(field, _)| field).collect()
        }
        None => Vec::new(),
    };
    let learn = if map.is_off("learn") { None } else { learn(cx, map) };
    let forget = if map.is_off("forget") { None } else { map.duration(cx, "forget") };
    let same_net = same_net(cx, map, &value);
    let first_value_alerts = map.word(cx, "first_value") == Some("alert");
    if let (true, Some(_), Some(entry)) = (first_value_alerts, &learn, map.get("first_value")) {
        cx.fault(
            entry.key.span,
            "a group that learns is silent about its first value",
            "take out `learn` or `first_value`",
        );
    }
    let group = map.grouping(cx);
    if value.is_empty() {
        return None;
    }
    Some(FirstSeenSpec { group, value, learn, forget, same_net, first_value_alerts })
}

fn learn(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Learn> {
    let learn = map.map(cx, "learn", &LEARN)?;
    let lasts = learn.duration(cx, "for");
    let records = learn.whole(cx, "records");
    if !learn.has("for") && !learn.has("records") {
        cx.fault(
            learn.at,
            "`learn` needs `for`, `records` or both",
            "write `learn: {for: 7d, records: 5}`, or `learn: off`",
        );
    }
    Some(Learn { lasts: lasts.unwrap_or(Millis::ZERO), records: records.unwrap_or(0) })
}

fn same_net(cx: &mut Cx<'_>, map: &Taken<'_>, value: &[FieldName]) -> Option<SameNet> {
    if map.is_off("same_net") {
        return None;
    }
    let usual = SameNet::default();
    let Some(bits) = map.map(cx, "same_net", &SAME_NET) else { return Some(usual) };
    let addresses = value.iter().any(|field| matches!(field.kind(), FieldKind::Address | FieldKind::Any));
    if !addresses && !value.is_empty() {
        cx.warn(bits.at, "`same_net` is for addresses, and `value` names none", "take it out");
    }
    let narrow = |bits: Option<u32>| bits.and_then(|bits| u8::try_from(bits).ok());
    let v4 = narrow(bits.whole(cx, "v4")).unwrap_or(usual.v4);
    let v6 = narrow(bits.whole(cx, "v6")).unwrap_or(usual.v6);
    Some(SameNet { v4, v6 })
}

fn measure(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<MeasureSpec> {
    let field = map.field(cx, "field");
    if let Some((field, span)) = &field {
        let numbers = matches!(field.kind(), FieldKind::Number | FieldKind::Duration | FieldKind::Any);
        if !numbers {
            cx.fault(
                *span,
                format!("`{field}` holds no numbers"),
                "measure e2e_rtt, network_rtt, duration or a `raw.` field",
            );
        }
    }
    let stat = stat(cx, map);
    let limit = limit(cx, map);
    let within = map.duration(cx, "within");
    let last = map.whole(cx, "last");
    let at_least = map.whole(cx, "at_least");
    if let (Some(last), Some(at_least)) = (last, at_least)
        && at_least > last
    {
        let span = map.get("at_least").map_or(map.at, |entry| entry.value.span);
        cx.fault(
            span,
            format!("{at_least} samples never come together when only the `last` {last} are kept"),
            format!("write `at_least: {last}` or less"),
        );
    }
    let recover = map.map(cx, "recover", &RECOVER).and_then(|recover| recovery(cx, &recover, limit));
    let group = map.grouping(cx);
    Some(MeasureSpec {
        group,
        field: field?.0,
        stat: stat?,
        limit: limit?,
        last,
        within: within?,
        at_least: at_least.unwrap_or(1),
        recover,
    })
}

fn stat(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Stat> {
    let entry = map.get("stat")?;
    let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.is_null()) else {
        map.mismatch(cx, entry);
        return None;
    };
    let text = scalar.text.as_str();
    let percent = text.strip_prefix('p').and_then(values::whole).and_then(|rank| u8::try_from(rank).ok());
    let stat = match (text, percent) {
        ("median", _) => Some(Stat::Percentile(50)),
        ("mean", _) => Some(Stat::Mean),
        ("min", _) => Some(Stat::Min),
        ("max", _) => Some(Stat::Max),
        ("sum", _) => Some(Stat::Sum),
        (_, Some(rank @ 1..=99)) => Some(Stat::Percentile(rank)),
        (_, _) => None,
    };
    if stat.is_none() {
        let near = match text {
            "avg" | "average" => Some("mean"),
            "p100" => Some("max"),
            _ => suggest::nearest(text, STATS.iter().copied()),
        };
        let known = "known: median, p1 to p99, mean, min, max, sum";
        let hint = near.map_or(known.to_owned(), |near| format!("did you mean `{near}`? {known}"));
        cx.fault(entry.value.span, format!("`stat` cannot be `{text}`"), hint);
    }
    stat
}

/// `above` or `below`, one of them.
fn limit(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Limit> {
    let above = map.number(cx, "above");
    let below = map.number(cx, "below");
    match (map.get("above"), map.get("below")) {
        (None, None) => {
            let hint = if map.doc.name == RECOVER.name { "add `below: 200`" } else { "add `above: 300`" };
            cx.fault(map.at, format!("{} needs `above` or `below`", map.doc.name), hint);
            None
        }
        (Some(_), Some(second)) => {
            cx.fault(
                second.key.span,
                format!("{} has `above` or `below`, not both", map.doc.name),
                "make two rules of it",
            );
            None
        }
        (Some(_), None) => above.map(|(number, _)| Limit::Above(number)),
        (None, Some(_)) => below.map(|(number, _)| Limit::Below(number)),
    }
}

/// `recover` lies on the other side of the limit.
fn recovery(cx: &mut Cx<'_>, map: &Taken<'_>, limit: Option<Limit>) -> Option<Limit> {
    let recover = self::limit(cx, map)?;
    let hint = match (limit?, recover) {
        (Limit::Above(limit), Limit::Below(recover)) if recover <= limit => {
            return Some(Limit::Below(recover));
        }
        (Limit::Below(limit), Limit::Above(recover)) if recover >= limit => {
            return Some(Limit::Above(recover));
        }
        (Limit::Above(limit), _) => format!("write `recover: {{below: …}}` with {limit} or less"),
        (Limit::Below(limit), _) => format!("write `recover: {{above: …}}` with {limit} or more"),
    };
    cx.fault(map.at, "`recover` holds while the rule still fires", hint);
    None
}

fn script(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<ScriptSpec> {
    let keep = map.whole(cx, "keep").unwrap_or(1);
    let group = map.grouping(cx);
    let entry = map.get("when")?;
    let Some(scalar) = entry.value.scalar().filter(|scalar| !scalar.text.trim().is_empty()) else {
        cx.fault(place(entry), "`when` holds no script", format!("write `{}`", map.example("when")));
        return None;
    };
    let text: Arc<str> = scalar.text.as_str().into();
    let lines = yaml::line_starts(&cx.source, &entry.value);
    let first_line = lines.first().map_or(0, |first| cx.problems.position(*first).0);
    Some(ScriptSpec { group, keep, when: ScriptText { text, lines, first_line } })
}
