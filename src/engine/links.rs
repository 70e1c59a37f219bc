//! Which rules hear of which: names that must be there, and no circles. Whoever loads rules checks it
//! here, once all of them are read; what a rule says by itself was checked before.

use std::collections::{BTreeMap, BTreeSet};

use super::CheckedRule;
use crate::record::{Level, RuleId};
use crate::rule::compile::Rule;
use crate::rule::problem::{Problems, Span};
use crate::rule::spec::correlate::What;
use crate::rule::spec::{Mode, Verb};
use crate::rule::suggest::nearest;

/// A rule file that was read.
#[derive(Debug)]
pub struct Read {
    /// The rule; none if it does not load.
    pub rule: Option<CheckedRule>,
    /// What there is to tell.
    pub problems: Problems,
    /// The rule's id, where it could be read.
    pub id: Option<String>,
}

/// Notes what rules name that is not there, and circles; such rules do not load.
pub fn check(read: &mut [Read]) {
    while check_names(read) || check_risks(read) || check_circles(read) || check_correlations(read) {}
    doubt_quiet(read);
}

/// Warns of a `quiet_while` that holds nothing back, or does it without anybody being told why.
fn doubt_quiet(read: &mut [Read]) {
    let specs = || read.iter().filter_map(|one| one.rule.as_ref()).map(|rule| &rule.rule().spec);
    let brief: BTreeSet<RuleId> =
        specs().filter(|spec| !spec.stays_open()).map(|spec| spec.id.clone()).collect();
    let observed: BTreeSet<RuleId> =
        specs().filter(|spec| spec.mode == Mode::Observe).map(|spec| spec.id.clone()).collect();
    for one in read.iter_mut() {
        let Some(rule) = one.rule.as_ref() else { continue };
        let spec = &rule.rule().spec;
        let is_grave = |level: Level| level >= Level::High;
        let all_grave = is_grave(spec.level) && spec.levels.iter().all(|line| is_grave(line.level));
        for (number, (id, span)) in names(rule).iter().enumerate() {
            if number == 0 && all_grave {
                let message = "this rule's alerts are high or critical, which are never held back";
                one.problems.warn(*span, message, "take `quiet_while` out");
            }
            if brief.contains(id) {
                let message = format!("alerts of `{id}` are over at once, and hold nothing back");
                one.problems.warn(*span, message, format!("give `{id}` a `cooldown`"));
            }
            if observed.contains(id) {
                let message = format!("`{id}` only observes: nobody is told of what holds these alerts back");
                one.problems.warn(*span, message, format!("make `{id}` live, or take it out here"));
            }
        }
    }
}

/// The rules that load, by id.
fn by_id(read: &[Read]) -> BTreeMap<RuleId, usize> {
    let ids = read.iter().enumerate().filter_map(|(number, one)| Some((one.rule.as_ref()?, number)));
    ids.map(|(rule, number)| (rule.rule().id().clone(), number)).collect()
}

fn names(rule: &CheckedRule) -> &[(RuleId, Span)] {
    &rule.rule().spec.quiet_while
}

fn is_risk(rule: &CheckedRule) -> bool {
    matches!(rule.rule().spec.verb, Some(Verb::Risk(_)))
}

/// Rules that wait for one which is made of their own alerts; true if one fell out.
fn check_risks(read: &mut [Read]) -> bool {
    let risks: BTreeMap<RuleId, String> = read
        .iter()
        .filter_map(|one| {
            let rule = one.rule.as_ref().filter(|rule| is_risk(rule))?.rule();
            let (line, column) = one.problems.position(rule.spec.id_span.start);
            Some((rule.id().clone(), format!("{}:{line}:{column}", one.problems.file)))
        })
        .collect();
    let mut fell = false;
    for one in read.iter_mut() {
        let Some(rule) = one.rule.as_ref().filter(|rule| !is_risk(rule)) else { continue };
        let waits = names(rule).iter().find_map(|(id, span)| Some((id.clone(), *span, risks.get(id)?)));
        let Some((id, span, place)) = waits else { continue };
        let message =
            format!("rules wait for each other in a circle: `{id}` adds up the alerts of this rule too");
        let hint = format!("take it out; `{id}` is at {place}");
        one.problems.error_hint(span, message, hint);
        one.rule = None;
        fell = true;
    }
    fell
}

/// A detection of a Sigma document that correlations read and that makes no alerts of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detection {
    /// What the correlations call it: a name or an id.
    pub names: BTreeSet<String>,
    /// Its document's title.
    pub title: String,
    /// The correlations that read it.
    pub read_by: BTreeSet<RuleId>,
}

/// Detections that only correlations among `rules` read, by the id that a rule of theirs would have.
pub fn only_read<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> BTreeMap<RuleId, Detection> {
    let (mut detections, mut ids) = (BTreeMap::<RuleId, Detection>::new(), BTreeSet::new());
    for rule in rules {
        ids.insert(rule.id());
        let Some(Verb::Correlate(correlation)) = &rule.spec.verb else { continue };
        for one in correlation.of.iter().filter(|one| matches!(one.what, What::Records(_))) {
            let detection = detections.entry(one.rule.clone()).or_default();
            detection.names.insert(one.name.clone());
            detection.title.clone_from(&one.title);
            detection.read_by.insert(rule.id().clone());
        }
    }
    detections.retain(|id, _| !ids.contains(id));
    detections
}

/// The correlations that a correlation is made of. That they are there, and make no circle, is seen
/// to where their documents are read; here one goes with the other.
fn correlated(rule: &CheckedRule) -> Vec<RuleId> {
    match &rule.rule().spec.verb {
        Some(Verb::Correlate(correlate)) => correlate.hears().cloned().collect(),
        Some(_) | None => Vec::new(),
    }
}

/// Correlations of others that do not load; true if one fell out.
fn check_correlations(read: &mut [Read]) -> bool {
    let known = by_id(read);
    let mut fell = false;
    for one in read.iter_mut() {
        let missing = one.rule.as_ref().and_then(|rule| {
            let missing = correlated(rule).into_iter().find(|id| !known.contains_key(id))?;
            Some((missing, rule.rule().spec.id_span))
        });
        if let Some((missing, span)) = missing {
            let message = format!("it refers to `{missing}`, which does not load");
            one.problems.error_hint(span, message, "mend that one first");
            one.rule = None;
            fell = true;
        }
    }
    fell
}

/// True if a rule fell out.
fn check_names(read: &mut [Read]) -> bool {
    let known = by_id(read);
    let failed: BTreeSet<String> =
        read.iter().filter(|one| one.rule.is_none()).filter_map(|one| one.id.clone()).collect();
    let mut fell = false;
    for one in read.iter_mut() {
        let missing: Vec<(RuleId, Span)> =
            one.rule.iter().flat_map(names).filter(|(id, _)| !known.contains_key(id)).cloned().collect();
        for (id, span) in &missing {
            if failed.contains(id.as_str()) {
                one.problems.error_hint(*span, format!("rule `{id}` does not load"), "mend its file first");
                continue;
            }
            let others = known.keys().map(RuleId::as_str).filter(|other| one.id.as_deref() != Some(other));
            let hint = match nearest(id.as_str(), others) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the id of a rule that is loaded with this one".to_owned(),
            };
            one.problems.error_hint(*span, format!("there is no rule `{id}`"), hint);
        }
        if !missing.is_empty() {
            one.rule = None;
            fell = true;
        }
    }
    fell
}

/// True if rules fell out.
fn check_circles(read: &mut [Read]) -> bool {
    let known = by_id(read);
    let next = |number: usize| -> Vec<(usize, Span)> {
        let named = read.get(number).and_then(|one| one.rule.as_ref()).into_iter().flat_map(names);
        named.filter_map(|(id, span)| Some((*known.get(id)?, *span))).collect()
    };
    let circle = known.values().find_map(|start| circle_from(*start, &next));
    let Some(circle) = circle else { return false };
    let places: Vec<(String, String)> = circle
        .iter()
        .filter_map(|(number, span)| {
            let one = read.get(*number)?;
            let (line, column) = one.problems.position(span.start);
            let id = one.rule.as_ref()?.rule().id().to_string();
            Some((id, format!("{}:{line}:{column}", one.problems.file)))
        })
        .collect();
    for (turn, (number, span)) in circle.iter().enumerate() {
        let Some(one) = read.get_mut(*number) else { continue };
        let others: Vec<String> = (1..=places.len())
            .filter_map(|step| places.get((turn + step) % places.len()))
            .map(|(id, _)| format!("`{id}`"))
            .collect();
        let message = format!("rules wait for each other in a circle: {}", others.join(", "));
        let also: Vec<&str> = (1..places.len())
            .filter_map(|step| places.get((turn + step) % places.len()))
            .map(|(_, place)| place.as_str())
            .collect();
        one.problems.error_hint(*span, message, format!("take it out here, or at {}", also.join(" or ")));
        one.rule = None;
    }
    true
}

/// The circle that leads from a rule back to it: rules, and where each names the next.
fn circle_from(start: usize, next: &dyn Fn(usize) -> Vec<(usize, Span)>) -> Option<Vec<(usize, Span)>> {
    let mut path: Vec<(usize, Span)> = Vec::new();
    let mut seen = BTreeSet::from([start]);
    // Each rule on the way with what is still to be tried of it.
    let mut tries = vec![(start, next(start))];
    while let Some((number, rest)) = tries.last_mut() {
        let Some((to, span)) = rest.pop() else {
            tries.pop();
            path.pop();
            continue;
        };
        path.push((*number, span));
        if to == start {
            return Some(path);
        }
        if seen.insert(to) {
            tries.push((to, next(to)));
        } else {
            path.pop();
        }
    }
    None
}

/// Which of the rules each one hears of.
#[derive(Debug)]
pub struct Hearing<'a> {
    rules: &'a [CheckedRule],
    /// By a rule's id: its number among all, and those that it hears of.
    heard: BTreeMap<&'a RuleId, (usize, Vec<RuleId>)>,
}

impl<'a> Hearing<'a> {
    /// Of these rules.
    pub fn of(rules: &'a [CheckedRule]) -> Self {
        let others: Vec<RuleId> =
            rules.iter().filter(|rule| !is_risk(rule)).map(|rule| rule.rule().id().clone()).collect();
        let hears = |rule: &CheckedRule| -> Vec<RuleId> {
            let all: &[RuleId] = if is_risk(rule) { &others } else { &[] };
            let named = names(rule).iter().map(|(id, _)| id).chain(all).cloned();
            named.chain(correlated(rule)).collect()
        };
        let heard = rules
            .iter()
            .enumerate()
            .map(|(number, rule)| (rule.rule().id(), (number, hears(rule))))
            .collect();
        Self { rules, heard }
    }

    /// The rules that are meant, and all that they hear of, in their order.
    pub fn with_heard(&self, meant: &BTreeSet<RuleId>) -> Vec<CheckedRule> {
        let mut wanted: BTreeSet<usize> = BTreeSet::new();
        let mut fresh: Vec<&RuleId> = meant.iter().collect();
        while let Some(id) = fresh.pop() {
            if let Some((number, others)) = self.heard.get(id)
                && wanted.insert(*number)
            {
                fresh.extend(others);
            }
        }
        wanted.into_iter().filter_map(|number| self.rules.get(number).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{GenerationText, RuleText};

    /// What is said of a rule is what the engine does.
    #[test]
    fn alerts_stay_open_where_the_engine_keeps_them_open() {
        let verbs = [
            "",
            "count: {at_least: 2, within: 1m}",
            "count: {at_least: 2, within: 1m, restart: true}",
            "distinct: {field: device, at_least: 2, within: 1m}",
            "first_seen: {value: device, by: [user]}",
            "measure: {field: e2e_rtt, stat: max, above: 3, within: 1m}",
            "measure: {field: e2e_rtt, stat: max, above: 3, within: 1m, recover: {below: 2}}",
            "rate: {at_least: 2, drains_every: 1s}",
            "absent: {for: 1m}",
            "script: {when: 'true'}",
            "travel: {by: [user], at_least: 500km, faster_than: 800km/h}",
            "overlap: {by: [user], for: 1m}",
            "usual: {field: e2e_rtt, by: [user], above: {times: 3}, learn: {days: 3}}",
            "sequence: {within: 1m, steps: [{match: {outcome: failure}}, {match: {outcome: success}}]}",
            "risk: {by: [user], within: 1h, at_least: 20}",
        ];
        let (mut rules, mut number) = (Vec::new(), 0);
        for verb in verbs {
            for cooldown in ["", "cooldown: off", "cooldown: 1h"] {
                number += 1;
                let needs_match = !verb.starts_with("sequence") && !verb.starts_with("risk");
                let matches = if needs_match { "match: {outcome: failure}" } else { "" };
                let text = format!("rule: r{number}\ntitle: r\nlevel: low\n{matches}\n{verb}\n{cooldown}\n");
                rules.push(RuleText { file: format!("r{number}.yaml"), text });
            }
        }
        let generation = GenerationText { rules, ..GenerationText::default() }.compile().generation;
        let programs = &generation.programs.list;
        assert!(programs.len() > 35, "{}", programs.len());
        for program in programs {
            let spec = &program.rule.spec;
            assert_eq!(spec.stays_open(), super::super::group::stays_open(program), "{spec:?}");
        }
    }

    #[test]
    fn a_detection_that_only_correlations_read_is_known_by_every_name() {
        let detection = |id: u32, name: &str| {
            format!(
                "title: {name}\nid: 00000000-0000-4000-8000-00000000000{id}\nname: {name}\nlogsource: {{product: p}}\n\
                 detection: {{s: {{outcome: failure}}, condition: s}}\nlevel: low\n"
            )
        };
        let correlation = |name: &str, of: &str, generate: bool| {
            format!(
                "title: {name}\nname: {name}\ncorrelation:\n  type: event_count\n  rules: [{of}]\n  group-by: [user_name]\n  \
                 timespan: 1m\n  condition: {{gte: 2}}\n  generate: {generate}\nlevel: low\n"
            )
        };
        let documents = [
            detection(1, "base_01"),
            detection(2, "told"),
            correlation("many", "base_01", false),
            correlation("more", "00000000-0000-4000-8000-000000000001", false),
            correlation("chain", "many", false),
            correlation("both", "told", true),
        ];
        let text = RuleText { file: "all.yml".to_owned(), text: documents.join("---\n") };
        let compiled = GenerationText { sigma: vec![text], ..GenerationText::default() }.compile();
        assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        let read = only_read(compiled.generation.rules().map(|rule| &**rule));
        let [(id, detection)] = Vec::from_iter(read).try_into().unwrap();
        assert_eq!(id.as_str(), "base-01");
        assert_eq!(Vec::from_iter(&detection.names), ["00000000-0000-4000-8000-000000000001", "base_01"]);
        assert_eq!(detection.read_by.iter().map(RuleId::as_str).collect::<Vec<_>>(), ["many", "more"]);
    }
}
