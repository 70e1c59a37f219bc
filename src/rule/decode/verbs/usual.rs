//! `usual`

use super::super::super::keys::{FAR, USUAL_LEARN};
use super::super::super::spec::{Far, UsualOf, UsualSpec};
use super::super::Cx;
use super::super::taken::Taken;
use super::super::values::MAX_LENGTH;
use super::measure::numbers;
use crate::record::{Millis, Number};

/// Samples that a group learns from where the rule does not say.
const SAMPLES: u32 = 20;
/// Shortest stretch of the week: shorter ones hold too few records to say what is usual.
const SHORTEST: Millis = Millis::mins(15);
/// Hundredths of the smallest and the largest `times`.
pub(super) const TIMES: std::ops::RangeInclusive<i64> = 101..=100_000;

pub(super) fn usual(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<UsualSpec> {
    let field = map.field(cx, "field");
    if let Some((field, span)) = &field {
        numbers(cx, field, *span);
    }
    let per = map.duration(cx, "rate_per");
    let per = per.filter(|per| divides_a_day(cx, map, *per));
    match (map.get("field"), map.get("rate_per")) {
        (None, None) => cx.fault(map.at, "`usual` needs `field` or `rate_per`", "add `field: network_rtt`"),
        (Some(first), Some(second)) => {
            let message = "`usual` has `field` or `rate_per`, not both";
            let later = if first.key.span < second.key.span { second } else { first };
            cx.fault(later.key.span, message, "make two rules of it");
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    let far = far(cx, map);
    let learn = learn(cx, map);
    let group = map.grouping(cx);
    let of = match (field, per) {
        (Some((field, _)), None) => UsualOf::Value(field),
        (None, Some(per)) => UsualOf::Rate { per, zone: cx.options.zone },
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let (lasts, samples) = learn?;
    Some(UsualSpec { group, of, far: far?, lasts, samples })
}

/// Stretches of a week are told by the time of the day.
fn divides_a_day(cx: &mut Cx<'_>, map: &Taken<'_>, per: Millis) -> bool {
    let fits = per >= SHORTEST && Millis::days(1).0 % per.0 == 0;
    if !fits {
        let span = map.get("rate_per").map_or(map.at, |entry| entry.value.span);
        let hint = format!("from {SHORTEST} to 1d: `15m`, `30m`, `1h`, `2h`, `6h`, `1d`");
        cx.fault(span, format!("a day has no whole number of stretches of {per}, or too many"), hint);
    }
    fits
}

/// `above` or `below`, one of them.
fn far(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<Far> {
    let above = map.map(cx, "above", &FAR);
    let below = map.map(cx, "below", &FAR);
    match (map.get("above"), map.get("below")) {
        (None, None) => {
            cx.fault(map.at, "`usual` needs `above` or `below`", "add `above: {times: 3, and_by: 80}`");
        }
        (Some(_), Some(second)) => {
            cx.fault(second.key.span, "`usual` has `above` or `below`, not both", "make two rules of it");
        }
        (None, Some(entry)) if map.has("rate_per") => {
            let message = "that fewer records come than usual shows only when the time is over";
            cx.fault(entry.key.span, message, "write a rule with `absent: {for: 1h}`, or ask for `above`");
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    let (side, how) = above.map(|map| (true, map)).or(below.map(|map| (false, map)))?;
    let hundredths = times(cx, &how);
    let and_by = how.number(cx, "and_by");
    if let Some((_, span)) = and_by.filter(|(by, _)| *by <= Number::default()) {
        cx.fault(span, "`and_by` is more than 0", "write `and_by: 80`, or take it out");
    }
    if !how.has("times") && !how.has("and_by") {
        let side = if side { "above" } else { "below" };
        cx.fault(how.at, format!("`{side}` needs `times`, `and_by` or both"), "add `times: 3`");
        return None;
    }
    Some(Far { above: side, hundredths, and_by: and_by.map(|(by, _)| by) })
}

/// How many times as much, in hundredths.
fn times(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<u32> {
    let (times, span) = map.number(cx, "times")?;
    let hundredths = times.times(100).to_i64().filter(|hundredths| TIMES.contains(hundredths));
    if hundredths.is_none() {
        let message = format!("`times` takes a number from 1.01 to 1000, not `{times}`");
        cx.fault(span, message, "with two digits after the point at most: `times: 2.5`");
    }
    hundredths.and_then(|hundredths| u32::try_from(hundredths).ok())
}

/// How long a group learns, and of how many samples.
fn learn(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<(Millis, u32)> {
    let learn = map.map(cx, "learn", &USUAL_LEARN)?;
    let days = learn.whole(cx, "days");
    let samples = learn.whole(cx, "samples");
    if !map.has("rate_per") {
        let lasts = Millis::days(1).times(days?);
        return Some((lasts.min(MAX_LENGTH), samples.unwrap_or(SAMPLES)));
    }
    if let Some(entry) = learn.get("samples") {
        let hint = "take it out: `days: 14` is twice";
        cx.fault(entry.key.span, "a rate learns the same stretch of each week, once a week", hint);
    }
    let days = days?;
    if days < 7 {
        let span = learn.get("days").map_or(learn.at, |entry| entry.value.span);
        cx.fault(span, format!("in {days} days no stretch of the week comes twice"), "write `days: 14`");
        return None;
    }
    Some((Millis::days(1).times(days), (days / 7).min(UsualSpec::MAX_WEEKS)))
}
