//! The routes of a configuration, and the words in which what is wrong with them is told.

use crate::record::field::VOCABULARY;
use crate::record::{FieldName, Level, Millis};
use crate::route::tree::RouteFault;
use crate::route::{Escalate, Match, Pattern, Route, Routes, Together};
use crate::rule::keys::{LEVELS, one_of};
use crate::rule::problem::{Problems, Span};
use crate::rule::suggest;
use crate::rule::yaml::Entry;

use super::keys::{ESCALATE, ROUTE, ROUTE_MATCH};
use super::load::Known;
use super::options::one_or_more;
use super::{Options, SourceConfig};

/// How long the first alert of a group waits unless told, and may be told to wait.
const USUAL_WAIT: Millis = Millis::secs(30);
const WAIT: (Millis, Millis) = (Millis(1), Millis::mins(10));
/// How long a group rests after a message unless told, and may be told to rest.
const USUAL_INTERVAL: Millis = Millis::mins(5);
const INTERVAL: (Millis, Millis) = (Millis::secs(1), Millis::hours(24));
/// How often what is open may be told again.
const REPEAT: (Millis, Millis) = (Millis::mins(1), Millis::days(7));
/// How long an escalation may wait.
const ESCALATE_AFTER: (Millis, Millis) = (Millis::mins(1), Millis::days(1));

/// Reads `routes`.
pub(super) fn routes(
    top: &Options<'_>,
    known: &Known<'_>,
    (declared, sources): (&[String], &[SourceConfig]),
    named: &mut Vec<(Pattern, Span)>,
    problems: &mut Problems,
) -> Routes {
    let before = problems.errors();
    let maps = top.maps(problems, "routes", &ROUTE);
    let mut routes = Routes::default();
    for map in &maps {
        let asked = map.map(problems, "match", &ROUTE_MATCH);
        let matches =
            asked.map(|asked| matches(&asked, (declared, sources), named, problems)).unwrap_or_default();
        let go_on = map.flag(problems, "continue").unwrap_or(false);
        let texts = map.placed_texts(problems, "to");
        if texts.is_empty() && problems.errors() == before {
            map.fault(problems, "to", "a route that tells nobody", "name a receiver: `to: [soc-slack]`");
        }
        let to = known.pick(texts, problems);
        let together = together(map, declared, problems);
        let repeat = if map.is_off("repeat_interval") {
            None
        } else {
            map.duration_in(problems, "repeat_interval", REPEAT)
        };
        let escalate = map.map(problems, "escalate", &ESCALATE).and_then(|asked| {
            let after = asked.duration_in(problems, "after", ESCALATE_AFTER)?;
            let texts = asked.placed_texts(problems, "to");
            if texts.is_empty() && problems.errors() == before {
                asked.fault(problems, "to", "it tells nobody", "name a receiver: `to: [on-call]`");
            }
            Some(Escalate { after, to: known.pick(texts, problems) })
        });
        routes.routes.push(Route { matches, to, go_on, together, repeat, escalate });
    }
    // Routes that could not be read may be those that are missed.
    if problems.errors() == before && top.has("routes") {
        for fault in routes.faults() {
            tell(&fault, top, &maps, problems);
        }
    }
    routes
}

/// What is told together, and when.
fn together(map: &Options<'_>, declared: &[String], problems: &mut Problems) -> Option<Together> {
    let wait = map.duration_in(problems, "group_wait", WAIT);
    let interval = map.duration_in(problems, "group_interval", INTERVAL);
    if !map.has("group_by") {
        for key in ["group_wait", "group_interval"].into_iter().filter(|key| map.has(key)) {
            let hint = "say what makes a group: `group_by: [rule]`";
            map.fault(problems, key, format!("`{key}` says nothing without `group_by`"), hint);
        }
        return None;
    }
    let mut by = Vec::new();
    for (name, at) in map.placed_texts(problems, "group_by") {
        let own = || declared.contains(&name).then(|| FieldName::declared(&name));
        if name == "rule" || name == "tenant" {
            by.push(name);
        } else if let Some(field) = FieldName::resolve(&name).or_else(own) {
            by.push(field.to_string());
        } else {
            let names = VOCABULARY.iter().map(|info| info.name).chain(["rule", "tenant"]);
            let hint = match suggest::nearest(&name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "known: rule, tenant, and fields that rules group `by`".to_owned(),
            };
            problems.error_hint(at, format!("no alert has `{name}`"), hint);
        }
    }
    Some(Together { by, wait: wait.unwrap_or(USUAL_WAIT), interval: interval.unwrap_or(USUAL_INTERVAL) })
}

fn tell(fault: &RouteFault, top: &Options<'_>, maps: &[Options<'_>], problems: &mut Problems) {
    let at = |route: usize| maps.get(route).map_or(top.place("routes"), |map| map.place("match"));
    match fault {
        RouteFault::NoCatchAll => top.fault(
            problems,
            "routes",
            "no route takes every alert, and some would be told to nobody",
            "end the list with `- {match: {}, to: [a-receiver]}`",
        ),
        // Told where `to` is read.
        RouteFault::ToNobody { .. } => {}
        RouteFault::NeverReached { route, after } => problems.error_with(
            at(*route),
            "this route is never reached",
            "put it first, or add `continue: true` to the other",
            (at(*after), "this one takes every alert"),
        ),
    }
}

fn matches(
    asked: &Options<'_>,
    (declared, sources): (&[String], &[SourceConfig]),
    named: &mut Vec<(Pattern, Span)>,
    problems: &mut Problems,
) -> Match {
    let patterns = |key: &str, problems: &mut Problems| -> Vec<(Pattern, Span)> {
        let texts = asked.node(key).map(|node| one_or_more(problems, key, node)).unwrap_or_default();
        texts.into_iter().map(|(text, at)| (Pattern::new(&text), at)).collect()
    };
    let levels = levels(asked, problems);
    let rules = patterns("rule", problems);
    named.extend(rules.iter().cloned());
    let tags = patterns("tag", problems);
    let attack = patterns("attack", problems);
    for (pattern, at) in &attack {
        let text = pattern.as_str();
        if !text.starts_with(['T', 't', '*', '?']) {
            let hint = "write it as T1110 or T1110.001; T1110 is also its sub-techniques";
            problems.error_hint(*at, format!("`{text}` is no ATT&CK technique"), hint);
        }
    }
    let tenants = patterns("tenant", problems);
    for (pattern, at) in &tenants {
        // Where a source could not be read, its tenant may be meant.
        if !problems.has_errors() && !sources.iter().any(|source| pattern.accepts(&source.tenant)) {
            let message = format!("no source is of the tenant `{}`", pattern.as_str());
            problems.warn(*at, message, "this route takes no alert");
        }
    }
    let fields = asked.rest().into_iter().filter_map(|entry| field(entry, declared, problems)).collect();
    let plain = |list: Vec<(Pattern, Span)>| list.into_iter().map(|(pattern, _)| pattern).collect();
    Match {
        levels,
        rules: plain(rules),
        tags: plain(tags),
        attack: plain(attack),
        tenants: plain(tenants),
        fields,
    }
}

fn levels(asked: &Options<'_>, problems: &mut Problems) -> Vec<Level> {
    let texts = asked.node("level").map(|node| one_or_more(problems, "level", node)).unwrap_or_default();
    let mut levels = Vec::new();
    for (text, at) in texts {
        if let Some(level) = Level::ALL.into_iter().find(|level| level.as_str() == text) {
            levels.push(level);
            continue;
        }
        let hint = match suggest::nearest(&text, LEVELS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known: {}", LEVELS.join(", ")),
            None => format!("write {}", one_of(LEVELS)),
        };
        problems.error_hint(at, format!("`level` cannot be `{text}`"), hint);
    }
    levels
}

/// A field of the alert's group, and what it may be.
fn field(entry: &Entry, declared: &[String], problems: &mut Problems) -> Option<(String, Vec<Pattern>)> {
    let spelling = entry.key.text.as_str();
    let own = || declared.iter().any(|name| name == spelling).then(|| FieldName::declared(spelling));
    let Some(field) = FieldName::resolve(spelling).or_else(own) else {
        let keys = ROUTE_MATCH.keys.iter().map(|key| key.name);
        let names = VOCABULARY.iter().map(|info| info.name).chain(declared.iter().map(String::as_str));
        let known: Vec<&str> = ROUTE_MATCH.keys.iter().map(|key| key.name).collect();
        let hint = match suggest::nearest(spelling, keys.chain(names)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}, and fields that rules group `by`", known.join(", ")),
        };
        problems.error_hint(
            entry.key.span,
            format!("unknown key `{spelling}` in {}", ROUTE_MATCH.name),
            hint,
        );
        return None;
    };
    let texts = one_or_more(problems, spelling, &entry.value);
    Some((field.to_string(), texts.into_iter().map(|(text, _)| Pattern::new(&text)).collect()))
}
