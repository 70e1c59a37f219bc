//! The stateful verbs, each in its file.

mod absent;
mod count;
mod distinct;
mod first_seen;
mod measure;
mod overlap;
mod rate;
mod risk;
mod script;
mod sequence;
mod travel;
mod usual;

use super::super::keys::{
    ABSENT, COUNT, DISTINCT, FIRST_SEEN, MEASURE, MapDoc, OVERLAP, RATE, RISK, SCRIPT, SEQUENCE, TRAVEL,
    USUAL, VERBS,
};
use super::super::spec::Verb;
use super::super::yaml::Entry;
use super::Cx;
use super::taken::Taken;

/// How a verb is read of its map.
type Decode = fn(&mut Cx<'_>, &Taken<'_>) -> Option<Verb>;

pub(super) use overlap::sessions;
pub(super) use sequence::any_step;

/// The verb of a rule, if it has one. More than one is a fault.
pub(super) fn verb(cx: &mut Cx<'_>, rule: &Taken<'_>) -> Option<Verb> {
    let present: Vec<&Entry> = VERBS.iter().filter_map(|name| rule.get(name)).collect();
    if let [first, second, ..] = present.as_slice() {
        let (first, second) =
            if first.key.span < second.key.span { (first, second) } else { (second, first) };
        let message =
            format!("a rule has one verb, and this has `{}` and `{}`", first.key.text, second.key.text);
        let hint = "make two rules of it, or put further conditions under `count: {having: …}`";
        cx.problems.error_with(second.key.span, message, hint, (first.key.span, "the first verb"));
    }
    let mut found = Vec::new();
    let mut take = |name: &str, doc: &'static MapDoc, decode: Decode| {
        found.extend(rule.map(cx, name, doc).and_then(|map| decode(cx, &map)));
    };
    take("count", &COUNT, |cx, map| count::count(cx, map).map(Box::new).map(Verb::Count));
    take("distinct", &DISTINCT, |cx, map| distinct::distinct(cx, map).map(Box::new).map(Verb::Distinct));
    take("first_seen", &FIRST_SEEN, |cx, map| {
        first_seen::first_seen(cx, map).map(Box::new).map(Verb::FirstSeen)
    });
    take("measure", &MEASURE, |cx, map| measure::measure(cx, map).map(Box::new).map(Verb::Measure));
    take("rate", &RATE, |cx, map| rate::rate(cx, map).map(Box::new).map(Verb::Rate));
    take("travel", &TRAVEL, |cx, map| travel::travel(cx, map).map(Box::new).map(Verb::Travel));
    take("overlap", &OVERLAP, |cx, map| overlap::overlap(cx, map).map(Box::new).map(Verb::Overlap));
    take("usual", &USUAL, |cx, map| usual::usual(cx, map).map(Box::new).map(Verb::Usual));
    take("risk", &RISK, |cx, map| risk::risk(cx, map).map(Box::new).map(Verb::Risk));
    take("script", &SCRIPT, |cx, map| script::script(cx, map).map(Box::new).map(Verb::Script));
    take("sequence", &SEQUENCE, |cx, map| sequence::sequence(cx, map).map(Box::new).map(Verb::Sequence));
    take("absent", &ABSENT, |cx, map| absent::absent(cx, map).map(Box::new).map(Verb::Absent));
    found.into_iter().next()
}
