//! `absent`

use super::super::super::spec::{AbsentSpec, Grouping};
use super::super::Cx;
use super::super::taken::{Taken, place};

pub(super) fn absent(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<AbsentSpec> {
    let lasts = map.duration(cx, "for");
    let retire = if map.is_off("retire") { None } else { map.duration(cx, "retire") };
    let group = map.grouping(cx);
    if let (Some(lasts), Some(retire)) = (lasts, retire)
        && retire <= lasts
    {
        let span = map.get("retire").map_or(map.at, |entry| entry.value.span);
        cx.fault(
            span,
            format!("a group is forgotten {retire} after its last hit, and only told of after {lasts}"),
            "write a longer `retire`, or take it out",
        );
    }
    let from = from(cx, map, &group);
    Some(AbsentSpec { group, lasts: lasts?, retire, from })
}

/// The list whose values are groups.
fn from(cx: &mut Cx<'_>, map: &Taken<'_>, group: &Grouping) -> Option<String> {
    let name = map.text(cx, "from")?;
    let span = map.get("from").map_or(map.at, place);
    if group.by.len() != 1 {
        let hint = "write `by: [machine_name]`, or whatever field the list is of";
        cx.fault(span, "`from` makes a group of each value of a list, so `by` has one field", hint);
    }
    cx.list(&name, span).then_some(name)
}
