//! `absent`

use super::super::super::spec::AbsentSpec;
use super::super::Cx;
use super::super::taken::Taken;

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
    Some(AbsentSpec { group, lasts: lasts?, retire })
}
