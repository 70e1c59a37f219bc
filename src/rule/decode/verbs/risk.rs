//! `risk`

use super::super::super::spec::RiskSpec;
use super::super::Cx;
use super::super::taken::Taken;

pub(super) fn risk(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<RiskSpec> {
    let at_least = map.whole(cx, "at_least");
    let techniques = map.whole(cx, "techniques");
    if !map.has("at_least") && !map.has("techniques") {
        cx.fault(map.at, "`risk` needs `at_least` or `techniques`", "add `at_least: 100`");
    }
    let within = map.duration(cx, "within");
    let group = map.grouping(cx);
    Some(RiskSpec { group, within: within?, at_least, techniques })
}
