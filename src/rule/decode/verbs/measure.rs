//! `measure`

use super::super::super::keys::{RECOVER, STATS};
use super::super::super::problem::Span;
use super::super::super::spec::{Limit, MeasureSpec, Stat};
use super::super::taken::Taken;
use super::super::{Cx, suggest, values};
use crate::record::{FieldKind, FieldName};

pub(super) fn measure(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<MeasureSpec> {
    let field = map.field(cx, "field");
    if let Some((field, span)) = &field {
        numbers(cx, field, *span);
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

/// Notes a field that holds no numbers.
pub(super) fn numbers(cx: &mut Cx<'_>, field: &FieldName, span: Span) {
    if !matches!(field.kind(), FieldKind::Number | FieldKind::Duration | FieldKind::Any) {
        let hint = "measure e2e_rtt, network_rtt, duration or a `raw.` field";
        cx.fault(span, format!("`{field}` holds no numbers"), hint);
    }
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
