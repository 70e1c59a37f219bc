//! The invented office, watched by the shipped rules: its stories are told and nothing else.

use larum::record::Timestamp;
use larum::simulate::{List, office};

use super::world::World;

const RULES: [&str; 4] = [
    include_str!("../../rules/identity/failure-burst.yaml"),
    include_str!("../../rules/identity/unusual-public-ip.yaml"),
    include_str!("../../rules/operations/slow-line.yaml"),
    include_str!("../../rules/operations/very-slow-sign-in.yaml"),
];

/// Rule, group and seconds after the start of every alert.
fn told(seed: u64) -> Vec<(String, String, i64)> {
    let office = office::office(seed, office::START).unwrap();
    let mut rows: Vec<(Timestamp, String)> = List::ALL
        .into_iter()
        .flat_map(|list| office.rows(list))
        .map(|row| (row.at.unwrap(), serde_json::Value::Object(row.fields.clone()).to_string()))
        .collect();
    rows.sort();
    let lines: Vec<String> = rows.into_iter().map(|(_, line)| line).collect();
    let world = World::new(&RULES);
    let mut run = world.run();
    run.take_lines(&lines);
    run.finish();
    let told = run.told.sorted();
    let group = |value: &Option<String>| value.clone().unwrap_or_default();
    let shown = |fired: &larum::alert::Fired| {
        let after = (fired.at - office::START).0 / 1_000;
        (fired.rule.to_string(), group(&fired.group[0].1), after)
    };
    told.fired().map(shown).collect()
}

#[test]
fn the_office_tells_its_stories_and_nothing_else_whatever_the_seed() {
    for seed in 0..8 {
        let told = told(seed);
        let expected = [
            ("failure-burst", "ana.ruiz", 4 * 60 + 174),
            ("unusual-public-ip", "wei.chen", 12 * 60),
            ("very-slow-sign-in", "olga.ivanova", 18 * 60),
        ];
        let first: Vec<(&str, &str, i64)> =
            told.iter().take(3).map(|(rule, group, at)| (rule.as_str(), group.as_str(), *at)).collect();
        assert_eq!(first, expected, "seed {seed}");
        let burst = &told[3..];
        let (_, from, to) = office::STORIES[3];
        assert_eq!(burst.len(), 18, "seed {seed}: {burst:?}");
        for (rule, _, at) in burst {
            assert_eq!(rule, "failure-burst", "seed {seed}");
            assert!((from.0 / 1_000..=to.0 / 1_000).contains(at), "seed {seed}: {at}");
        }
    }
}
