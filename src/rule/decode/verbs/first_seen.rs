//! `first_seen`

use super::super::super::keys::{LEARN, SAME_NET, UNLESS_COMMON};
use super::super::super::spec::{FirstSeenSpec, Learn, SameNet, UnlessCommon};
use super::super::super::yaml::Kind;
use super::super::Cx;
use super::super::taken::{Taken, place};
use crate::record::{FieldKind, FieldName, Millis};

pub(super) fn first_seen(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<FirstSeenSpec> {
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
    let same_if = same_if(cx, map, &value, &group.by);
    let unless_common = unless_common(cx, map);
    if value.is_empty() {
        return None;
    }
    Some(FirstSeenSpec { group, value, learn, forget, same_net, first_value_alerts, same_if, unless_common })
}

/// Fields that tell a known network, or the like, of an unknown value.
fn same_if(cx: &mut Cx<'_>, map: &Taken<'_>, value: &[FieldName], by: &[FieldName]) -> Vec<FieldName> {
    let fields = map.fields(cx, "same_if");
    let Some(entry) = map.get("same_if").filter(|entry| matches!(entry.value.kind, Kind::List(_))) else {
        return fields;
    };
    let span = place(entry);
    if matches!(&entry.value.kind, Kind::List(nodes) if nodes.is_empty()) {
        cx.fault(span, "`same_if` names no field", "write `same_if: [asn.number]`, or take it out");
    }
    if let Some(field) = fields.iter().find(|field| by.contains(field)) {
        cx.fault(
            span,
            format!("within one `{field}` there is one `{field}`, so no value would ever be new"),
            "name another field, such as `same_if: [asn.number]`",
        );
    }
    if !fields.is_empty() && value.iter().all(|part| fields.contains(part)) && !value.is_empty() {
        cx.warn(span, "`same_if` names the value itself", "take it out, or name what several values share");
    }
    fields
}

fn unless_common(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<UnlessCommon> {
    let common = map.map(cx, "unless_common", &UNLESS_COMMON)?;
    let by = common.field(cx, "by");
    let at_least = common.whole(cx, "at_least");
    let within = common.duration(cx, "within");
    Some(UnlessCommon { by: by?.0, at_least: at_least?, within: within? })
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
