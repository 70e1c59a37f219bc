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

use super::super::compile;
use super::super::keys::{
    ABSENT, COUNT, DISTINCT, FIRST_SEEN, MEASURE, MapDoc, OVERLAP, RATE, RISK, SCRIPT, SEQUENCE, STEP,
    TRAVEL, USUAL, VERBS,
};
use super::super::spec::Verb;
use super::super::template::Scope;
use super::super::yaml::{Entry, Kind, Node};
use super::Cx;
use super::taken::Taken;

/// How a verb is read of its map.
type Decode = fn(&mut Cx<'_>, &Taken<'_>) -> Option<Verb>;

pub(super) use overlap::sessions;
pub(super) use sequence::any_step;

/// The verbs of a rule. More than one is a fault.
pub(super) fn verbs(cx: &mut Cx<'_>, rule: &Taken<'_>) -> Vec<Verb> {
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
    found
}

/// Names of the texts of a rule whose verb has faults, or that has several: what each of them gives. Whatever
/// else there is to tell of the scripts among `found`, those that could be read, is told.
pub(super) fn scope_of_faulty(cx: &mut Cx<'_>, rule: &Taken<'_>, found: &[Verb]) -> Scope {
    let mut scope = Scope::common();
    for verb in VERBS.iter().filter_map(|name| rule.get(name)) {
        let word = verb.key.text.as_str();
        let names = named(verb);
        scope = scope.with_verb(word).with(names.iter().map(String::as_str));
        // A name that is none will be another; what a misspelt key holds may have names of its own.
        if names
            .iter()
            .any(|name| !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')))
        {
            scope = scope.and_others();
        }
        let doc = match word {
            "count" => &COUNT,
            "sequence" => &SEQUENCE,
            _ => continue,
        };
        let strange = |one: &Entry| one.value.scalar().is_none() && doc.key(&one.key.text).is_none();
        let strange_in_step = |one: &Entry| STEP.key(&one.key.text).is_none();
        if verb.value.map().is_some_and(|entries| entries.iter().any(strange))
            || steps(verb).iter().filter_map(Node::map).flatten().any(strange_in_step)
        {
            scope = scope.and_others();
        }
    }
    let scripts =
        found.iter().filter_map(|verb| if let Verb::Script(verb) = verb { Some(verb) } else { None });
    let mut read = false;
    for verb in scripts {
        read = true;
        scope = match compile::script(&verb.when, &cx.lists, &mut cx.problems) {
            Some(script) => scope.with(script.alert_names().iter().map(String::as_str)),
            None => scope.with_script(&verb.when.text),
        };
    }
    if rule.has("script") && !read { scope.and_others() } else { scope }
}

/// Names that a verb itself gives to what it counts.
fn named(verb: &Entry) -> Vec<String> {
    let having = under(verb, "having").and_then(Node::map).unwrap_or_default();
    let conditions = having.iter().flat_map(|entry| {
        let name = &entry.key.text;
        [name.clone(), format!("{name}_share"), format!("{name}_others")]
    });
    let name = |step: &Node| {
        let name = step.map()?.iter().find(|entry| entry.key.text == "name")?.value.scalar()?;
        Some(format!("steps.{}.count", name.text.trim()))
    };
    conditions.chain(steps(verb).iter().filter_map(name)).collect()
}

/// The steps of a sequence, as they stand.
fn steps(verb: &Entry) -> &[Node] {
    match under(verb, "steps").map(|node| &node.kind) {
        Some(Kind::List(steps)) => steps,
        Some(Kind::Scalar(_) | Kind::Map(_)) | None => &[],
    }
}

fn under<'n>(verb: &'n Entry, key: &str) -> Option<&'n Node> {
    verb.value.map()?.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
}
