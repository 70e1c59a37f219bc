//! `distinct`

use super::super::super::spec::DistinctSpec;
use super::super::Cx;
use super::super::taken::Taken;

pub(super) fn distinct(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<DistinctSpec> {
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
