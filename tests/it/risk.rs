//! `risk`: alerts of other rules that add up.

use larum::engine::generation::load;
use larum::rule::decode::Options;
use proptest::prelude::*;
use proptest::sample::Index;

use super::models::logins;
use super::world::{DAY, HOUR, Login, MINUTE, Run, SECOND, START, World, cases, rule};

fn with(level: &str, technique: &str, id: &str, body: &str) -> String {
    rule(id, &format!("{body}attack: [{technique}]\n")).replace("level: medium", &format!("level: {level}"))
}

fn rules() -> Vec<String> {
    vec![
        with(
            "medium",
            "T1110.001",
            "burst",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user]}\n",
        ),
        with("low", "T1078", "slow", "match: {outcome: success, e2e_rtt|gte: 400}\n"),
        with(
            "high",
            "T1110.003",
            "spray",
            "match: {outcome: failure}\ndistinct: {field: user, at_least: 3, within: 1m, by: [public_ip]}\n",
        ),
        rule("risk", "risk: {by: [user], within: 24h, at_least: 30, techniques: 2}\n"),
    ]
}

fn risks(run: &Run<'_>) -> Vec<(i64, String, u64)> {
    let risks = run.told.fired().filter(|fired| fired.rule.as_str() == "risk");
    let line = |fired: &larum::alert::Fired| {
        (
            fired.at.0 - START,
            fired.group[0].1.clone().unwrap_or_default(),
            fired.finding.actual["score"].as_u64().unwrap(),
        )
    };
    risks.map(line).collect()
}

fn bursts(id: u32, at: i64, user: &str) -> [Login; 2] {
    [Login::failure(id, at, user), Login::failure(id + 1, at + 1, user)]
}

fn told(logins: &[Login]) -> Vec<(i64, String, u64)> {
    let world = World::new(&rules());
    let mut run = world.run();
    run.take(logins);
    run.finish();
    risks(&run)
}

#[test]
fn points_of_alerts_add_up_to_the_bound_within_the_window() {
    let two = [bursts(0, 0, "ana"), bursts(2, HOUR, "ana")].concat();
    assert_eq!(told(&two), [(HOUR + 1, "ana".to_owned(), 40)]);
    let apart = [bursts(0, 0, "ana"), bursts(2, DAY, "ana")].concat();
    assert_eq!(told(&apart), [], "(t - w, t]");
    let others = [bursts(0, 0, "ana"), bursts(2, HOUR, "bob")].concat();
    assert_eq!(told(&others), []);
}

#[test]
fn techniques_that_differ_fire_as_well_and_a_rule_without_a_verb_counts_for_its_record() {
    let mut logins = bursts(0, 0, "ana").to_vec();
    logins.push(Login::success(5, HOUR, "ANA").rtt(500));
    let world = World::new(&rules());
    let mut run = world.run();
    run.take(&logins);
    run.finish();
    assert_eq!(risks(&run), [(HOUR, "ana".to_owned(), 25)]);
    let fired = run.told.fired().find(|fired| fired.rule.as_str() == "risk").unwrap();
    assert_eq!(fired.finding.actual["techniques"], serde_json::json!(["T1078", "T1110.001"]));
    let made_of: Vec<&str> = fired.finding.values["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["rule"].as_str().unwrap())
        .collect();
    assert_eq!(made_of, ["burst", "slow"], "it lists what it is made of");
}

#[test]
fn a_technique_beside_its_own_sub_technique_is_no_other() {
    let mut rules = rules();
    rules[1] = rules[1].replace("T1078", "T1110");
    let mut logins = bursts(0, 0, "ana").to_vec();
    logins.push(Login::success(5, HOUR, "ana").rtt(500));
    let told = |rules: &[String], logins: &[Login]| {
        let world = World::new(rules);
        let mut run = world.run();
        run.take(logins);
        run.finish();
        risks(&run).len()
    };
    assert_eq!(told(&rules, &logins), 0, "T1110 and T1110.001 are one, 25 points too few");
    rules[1] = rules[1].replace("T1110", "T1110.004");
    assert_eq!(told(&rules, &logins), 1, "two sub-techniques are two");
}

#[test]
fn an_alert_that_names_no_user_and_one_that_is_only_observed_count_for_nobody() {
    let spray: Vec<Login> = ["ana", "bob", "eve"]
        .iter()
        .zip(0..)
        .map(|(user, id)| Login::failure(id, i64::from(id), user))
        .collect();
    assert_eq!(told(&spray), []);
    let mut observed = rules();
    observed[0].push_str("mode: observe\n");
    let world = World::new(&observed);
    let mut run = world.run();
    run.take(&[bursts(0, 0, "ana"), bursts(2, HOUR, "ana")].concat());
    run.finish();
    assert_eq!(risks(&run), []);
}

#[test]
fn a_late_alert_adds_up_late() {
    let world = World::new(&rules());
    let mut run = world.run();
    run.take(
        &[
            bursts(0, 0, "ana"),
            [Login::failure(2, 10 * MINUTE, "ana"), Login::success(9, 11 * MINUTE, "ana")],
        ]
        .concat(),
    );
    run.progress(20 * MINUTE);
    run.take(&[Login::failure(3, 10 * MINUTE + 1, "ana")]);
    run.finish();
    assert_eq!(risks(&run), [(10 * MINUTE + 1, "ana".to_owned(), 40)]);
    assert!(run.told.fired().filter(|fired| fired.rule.as_str() == "risk").all(|fired| fired.late));
}

#[test]
fn rules_that_cannot_say_who_hold_no_sum_back() {
    let ends = |by: &str| {
        rule("ends", &format!("match: {{kind|exists: true, phase: [start, end]}}\nabsent: {{for: 1d{by}}}\n"))
    };
    for (by, expected) in [("", 1), (", by: [public_ip]", 1), (", by: [user]", 0)] {
        let mut rules = rules();
        rules.push(ends(by));
        let world = World::new(&rules);
        let mut run = world.run();
        run.take(&[bursts(0, 0, "ana"), bursts(2, HOUR, "ana")].concat());
        run.progress_apart(2 * HOUR, 0);
        assert_eq!(risks(&run).len(), expected, "absent{by}");
        run.progress_apart(2 * HOUR, 2 * HOUR);
        assert_eq!(risks(&run), [(HOUR + 1, "ana".to_owned(), 40)], "absent{by}");
    }
}

#[test]
fn a_rule_that_waits_for_what_is_made_of_its_own_alerts_is_a_circle() {
    let burst = format!("{}quiet_while: [risk]\n", rules()[0]);
    let texts = vec![("burst.yaml".to_owned(), burst), ("risk.yaml".to_owned(), rules()[3].clone())];
    let loaded = load(texts, &Options::default());
    assert_eq!(loaded.rules.len(), 1);
    let told = loaded.problems[0].render(false);
    assert!(told.contains("in a circle: `risk` adds up") && told.contains("risk.yaml:1:7"), "{told}");
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn the_sum_is_that_of_the_alerts_whatever_the_order_the_batches_and_the_restarts(
        logins in logins(50),
        order in prop::collection::vec(0..10_000_u64, 50),
        steps in prop::collection::vec((0..900_i64, any::<bool>()), 0..6),
        cut in any::<Index>(),
    ) {
        let world = World::new(&rules());
        let mut sorted = logins.clone();
        sorted.sort_by_key(|login| login.at);
        let mut once = world.run();
        once.take(&sorted);
        once.finish();
        // The slow model: every alert that names a user, summed over the day before it.
        let points = |rule: &str| match rule { "burst" => Some((20, "T1110.001")), "slow" => Some((5, "T1078")), _ => None };
        let mut alerts: Vec<(i64, [u8; 16], String, u64, &str)> = once.told.fired().filter_map(|fired| {
            let (points, technique) = points(fired.rule.as_str())?;
            let user = fired.group.first().and_then(|(_, value)| value.clone()).or_else(|| {
                fired.of.first().and_then(larum::rule::verb::text_of).map(ToString::to_string)
            })?;
            Some((fired.at.0 - START, fired.id.0, user, points, technique))
        }).collect();
        alerts.sort();
        let mut expected = Vec::new();
        let mut quiet: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
        for (number, (at, _, user, ..)) in alerts.iter().enumerate() {
            let window: Vec<_> = alerts[..=number].iter().filter(|other| other.2 == *user && other.0 > at - DAY).collect();
            let score: u64 = window.iter().map(|alert| alert.3).sum();
            let techniques: std::collections::BTreeSet<&str> = window.iter().map(|alert| alert.4).collect();
            let quiet_until = quiet.get(user).copied().unwrap_or(i64::MIN);
            if (score >= 30 || techniques.len() >= 2) && *at >= quiet_until {
                quiet.insert(user.clone(), at + DAY);
                expected.push((*at, user.clone(), score));
            }
        }
        let mut got = risks(&once);
        got.sort();
        expected.sort();
        prop_assert_eq!(got, expected);
        let mut rows: Vec<(u64, Login)> = order.iter().copied().zip(logins.iter().cloned()).collect();
        rows.sort_by_key(|(place, _)| *place);
        let rows: Vec<Login> = rows.into_iter().map(|(_, login)| login).collect();
        let middle = cut.index(rows.len() + 1);
        let mut parts = world.run();
        parts.take(&rows[middle..]);
        parts.take(&rows[..middle]);
        let mut steps = steps;
        steps.sort_unstable();
        for (at, dies) in steps {
            parts.progress(at * SECOND);
            if dies {
                parts.restart();
            }
        }
        parts.finish();
        prop_assert_eq!(once.told.sorted(), parts.told.sorted());
    }
}
