//! `first_seen`

use super::super::super::keys::{LEARN, SAME_NET};
use super::super::super::spec::{FirstSeenSpec, Learn, SameNet};
use super::super::super::yaml::Kind;
use super::super::Cx;
use super::super::taken::Taken;
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
