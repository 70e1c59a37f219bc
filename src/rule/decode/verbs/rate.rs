//! `rate`

use super::super::super::spec::RateSpec;
use super::super::Cx;
use super::super::taken::Taken;
use super::super::values::MAX_LENGTH;

pub(super) fn rate(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<RateSpec> {
    let at_least = map.whole(cx, "at_least");
    let drains_every = map.duration(cx, "drains_every");
    let distinct = map.field(cx, "distinct");
    let group = map.grouping(cx);
    if let Some((field, span)) = distinct.as_ref().filter(|(field, _)| group.by.contains(field)) {
        cx.fault(
            *span,
            format!("within one `{field}` there is one `{field}`"),
            "name another field under `distinct`, or group by another one",
        );
    }
    let (at_least, drains_every) = (at_least?, drains_every?);
    if drains_every.times(at_least) > MAX_LENGTH {
        let span = map.get("drains_every").map_or(map.at, |entry| entry.value.span);
        cx.fault(
            span,
            format!("a bucket of {at_least} that drains one every {drains_every} is full for too long"),
            format!("`at_least` times `drains_every` may be {MAX_LENGTH}"),
        );
    }
    Some(RateSpec { group, at_least, drains_every, distinct: distinct.map(|(field, _)| field) })
}
