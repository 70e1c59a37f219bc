//! The random sets of correlations written as Sigma documents: of every type, in chains, with aliases and
//! cooldowns, read as text and held against the slow reading.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use larum::rule::spec::correlate::{Aggregate, Asks, Comparison, Named, Occurrence};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::world::{World, cases};
use super::{Corr, DETECTIONS, Ref, SECOND, Set, lines, logins, model_lines, sets};

/// What a correlation calls one of its rules.
fn name_of(rule: Ref) -> String {
    match rule {
        Ref::Detection(number) => DETECTIONS[number].0.to_owned(),
        Ref::Correlation(number) => format!("corr_{number}"),
    }
}

fn kind_of(asks: &Asks) -> &'static str {
    match asks {
        Asks::Events(_) => "event_count",
        Asks::Values(_) => "value_count",
        Asks::Rules(_) => "temporal",
        Asks::Ordered(_) => "temporal_ordered",
        Asks::Number(Aggregate::Sum, _) => "value_sum",
        Asks::Number(Aggregate::Average, _) => "value_avg",
        Asks::Number(Aggregate::Percentile(_), _) => "value_percentile",
        Asks::Number(Aggregate::Median, _) => "value_median",
    }
}

/// A map has each word once: of two comparisons with one word the first is meant.
fn once(bounds: &mut Vec<Comparison>) {
    let mut seen = Vec::new();
    bounds.retain(|one| {
        !seen.contains(&one.is) && {
            seen.push(one.is);
            true
        }
    });
}

fn tidy(set: Set) -> Set {
    let tidy = |mut corr: Corr| {
        match &mut corr.asks {
            Asks::Events(bounds)
            | Asks::Values(bounds)
            | Asks::Number(_, bounds)
            | Asks::Rules(Occurrence::Many(bounds))
            | Asks::Ordered(Occurrence::Many(bounds)) => once(bounds),
            Asks::Rules(_) | Asks::Ordered(_) => {}
        }
        corr
    };
    Set(set.0.into_iter().map(tidy).collect())
}

fn words(named: &Named, rules: &[Ref]) -> String {
    let join = |parts: &[Named], with: &str| {
        let parts: Vec<String> = parts.iter().map(|part| words(part, rules)).collect();
        format!("({})", parts.join(with))
    };
    match named {
        Named::Rule(number) => name_of(rules[*number]),
        Named::Not(part) => format!("not {}", words(part, rules)),
        Named::All(parts) => join(parts, " and "),
        Named::Any(parts) => join(parts, " or "),
    }
}

/// The value of `condition`, if it has one.
fn condition(corr: &Corr) -> Option<String> {
    let map = |bounds: &[Comparison], more: &str| {
        let bounds: Vec<String> =
            bounds.iter().map(|one| format!("{}: {}", one.is.as_str(), one.bound)).collect();
        format!("{{{}{more}}}", bounds.join(", "))
    };
    let field = format!(", field: [{}]", corr.fields.join(", "));
    match &corr.asks {
        Asks::Number(Aggregate::Percentile(percent), bounds) => {
            Some(map(bounds, &format!("{field}, percentile: {percent}")))
        }
        Asks::Values(bounds) | Asks::Number(_, bounds) => Some(map(bounds, &field)),
        Asks::Events(bounds)
        | Asks::Rules(Occurrence::Many(bounds))
        | Asks::Ordered(Occurrence::Many(bounds)) => Some(map(bounds, "")),
        Asks::Rules(Occurrence::Named(named)) | Asks::Ordered(Occurrence::Named(named)) => {
            Some(words(named, &corr.rules))
        }
        Asks::Rules(Occurrence::All) | Asks::Ordered(Occurrence::All) => None,
    }
}

/// One correlation as a document.
fn document(number: usize, corr: &Corr) -> String {
    let rules: Vec<String> = corr.rules.iter().map(|rule| name_of(*rule)).collect();
    let mut text = format!(
        "title: one\nname: corr_{number}\ncorrelation:\n  type: {}\n  rules: [{}]\n  timespan: {}s\n",
        kind_of(&corr.asks),
        rules.join(", "),
        corr.timespan / SECOND,
    );
    if !corr.names().is_empty() {
        let _ = writeln!(text, "  group-by: [{}]", corr.names().join(", "));
    }
    let aliased =
        corr.rules.iter().enumerate().filter(|(_, rule)| corr.who && matches!(rule, Ref::Detection(_)));
    let aliased: Vec<String> =
        aliased.map(|(place, rule)| format!("{}: {}", name_of(*rule), corr.field("who", place))).collect();
    if !aliased.is_empty() {
        let _ = writeln!(text, "  aliases: {{who: {{{}}}}}", aliased.join(", "));
    }
    if let Some(condition) = condition(corr) {
        let _ = writeln!(text, "  condition: {condition}");
    }
    let _ = writeln!(text, "  generate: {}", corr.generate);
    if corr.cooldown > 0 {
        let _ = writeln!(text, "larum: {{cooldown: {}s}}", corr.cooldown / SECOND);
    }
    text
}

/// The set as one file, its rules behind those that refer to them.
fn documents(set: &Set) -> Vec<String> {
    let detection = |(name, selection, _): &(&str, &str, super::Holds)| {
        format!("title: {name}\nname: {name}\ndetection:\n  selection: {selection}\n  condition: selection\n")
    };
    let correlations = set.0.iter().enumerate().rev().map(|(number, corr)| document(number, corr));
    correlations.chain(DETECTIONS.iter().map(detection)).collect()
}

/// What a world of these documents is; the detections that nothing refers to are told of as well.
fn world(set: &Set) -> World {
    super::documents::world(&documents(set))
}

/// What correlations tell in `world`, of all that is told.
fn of_correlations(told: &super::Told) -> Vec<super::Line> {
    lines(told).into_iter().filter(|line| line.1.starts_with("corr-")).collect()
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn documents_of_every_type_and_in_chains_fire_where_the_specification_says(
        set in sets().prop_map(tidy),
        logins in logins(40),
        order in prop::collection::vec(0..1_000_u32, 40),
        every in 1..9_usize,
    ) {
        let world = world(&set);
        let meant = model_lines(&set.model(&world, &logins));
        prop_assert_eq!(&of_correlations(&world.told(&logins)), &meant, "{}", documents(&set).join("---\n"));
        let mut shuffled: Vec<_> = order.into_iter().zip(logins).collect();
        shuffled.sort_by_key(|(place, _)| *place);
        let mut run = world.run();
        for part in shuffled.chunks(every) {
            run.take(&part.iter().map(|(_, login)| login.clone()).collect::<Vec<_>>());
            run.restart();
        }
        run.finish();
        prop_assert_eq!(&of_correlations(&run.told), &meant);
    }
}

#[test]
fn written_correlations_of_every_type_and_in_chains_fire_by_the_hundred() {
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let mut fired: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..400 {
        let set = tidy(sets().new_tree(&mut runner).unwrap().current());
        let logins = logins(60).new_tree(&mut runner).unwrap().current();
        let world = world(&set);
        let told = of_correlations(&world.told(&logins));
        assert_eq!(told, model_lines(&set.model(&world, &logins)), "{}", documents(&set).join("---\n"));
        for (_, rule, ..) in &told {
            let number: usize = rule.trim_start_matches("corr-").parse().unwrap();
            let corr = &set.0[number];
            *fired.entry(kind_of(&corr.asks)).or_default() += 1;
            let chained = corr.rules.iter().any(|rule| matches!(rule, Ref::Correlation(_)));
            *fired.entry("in a chain").or_default() += usize::from(chained);
        }
    }
    assert_eq!(fired.len(), 9, "{fired:?}");
    assert!(fired.values().all(|fired| *fired >= 200), "{fired:?}");
}
