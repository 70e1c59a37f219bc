//! `travel`

use super::super::super::spec::TravelSpec;
use super::super::Cx;
use super::super::taken::{Taken, place};

pub(super) fn travel(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<TravelSpec> {
    let at_least = map.measured(cx, "at_least");
    let faster_than = map.measured(cx, "faster_than");
    let ignore_same = map.fields(cx, "ignore_same");
    let mut ignore_in: Vec<String> = Vec::new();
    for (name, span) in map.texts(cx, "ignore_in") {
        if cx.list(&name, span) && !ignore_in.contains(&name) {
            ignore_in.push(name);
        }
    }
    let group = map.grouping(cx);
    if let (Some(field), Some(entry)) =
        (ignore_same.iter().find(|field| group.by.contains(field)), map.get("ignore_same"))
    {
        cx.fault(
            place(entry),
            format!("within one `{field}` there is one `{field}`, so nothing would ever be a journey"),
            "name another field, such as `ignore_same: [asn.number]`",
        );
    }
    let (at_least, faster_than) = (at_least?, faster_than?);
    Some(TravelSpec { group, at_least, faster_than, ignore_same, ignore_in })
}
