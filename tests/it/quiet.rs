//! `quiet_while`: alerts that wait until another rule's alert is over.

use larum::alert::{Draft, State};
use larum::engine::generation::load;
use larum::rule::decode::Options;
use proptest::prelude::*;
use proptest::sample::Index;

use super::models::logins;
use super::world::{HOUR, Login, MINUTE, Run, SECOND, START, World, cases, rule};

/// An outage is open for ten minutes after three failures of anybody within one.
const OUTAGE: &str = "match: {outcome: failure}\ncount: {at_least: 3, within: 1m, by: []}\ncooldown: 10m\n";

fn burst(more: &str) -> String {
    rule(
        "burst",
        &format!(
            "match: {{outcome: failure}}\ncount: {{at_least: 2, within: 1m, by: [user]}}\nquiet_while: [outage]\n{more}"
        ),
    )
}

fn world(more: &str) -> World {
    World::new(&[burst(more), rule("outage", OUTAGE)])
}

/// What is told of `burst`: when, what, whether it is held, whether it is let go.
fn told(run: &Run<'_>) -> Vec<(i64, String)> {
    let line = |draft: &Draft| {
        let (at, words) = match draft {
            Draft::Fired(fired) => (
                fired.at,
                if fired.held_by.is_empty() { "fired".to_owned() } else { "fired, held".to_owned() },
            ),
            Draft::Changed(change) => {
                let held = if change.held { ", held" } else { "" };
                let released = if change.released { ", released" } else { "" };
                (change.at, format!("{}{held}{released}", change.state.as_str()))
            }
        };
        (at.0 - START, words)
    };
    run.told.drafts.iter().filter(|draft| draft.rule().as_str() == "burst").map(line).collect()
}

fn failures(of: &[(u32, i64, &str)]) -> Vec<Login> {
    of.iter().map(|(id, at, user)| Login::failure(*id, *at, user)).collect()
}

fn lines(told: &[(i64, String)]) -> Vec<(i64, &str)> {
    told.iter().map(|(at, words)| (*at, words.as_str())).collect()
}

#[test]
fn an_alert_that_fires_while_the_other_is_open_is_held_and_let_go_when_it_closes() {
    let world = world("cooldown: 1h\n");
    let mut run = world.run();
    run.take(&failures(&[
        (0, 0, "ana"),
        (1, 1, "bob"),
        (2, 2, "eve"),
        (3, 3, "ana"),
        (4, MINUTE, "bob"),
        (5, MINUTE + 1, "bob"),
    ]));
    run.finish();
    let told = told(&run);
    assert_eq!(
        lines(&told),
        [
            (3, "fired, held"),
            (MINUTE, "fired, held"),
            (2 + 10 * MINUTE, "open, released"),
            (2 + 10 * MINUTE, "open, released"),
            (3 + HOUR, "closed"),
            (MINUTE + HOUR, "closed"),
        ]
    );
}

#[test]
fn an_alert_that_is_over_before_is_named_when_the_other_closes() {
    let world = world("cooldown: 2m\n");
    let mut run = world.run();
    run.take(&failures(&[(0, 0, "ana"), (1, 1, "bob"), (2, 2, "eve"), (3, 3, "ana")]));
    run.finish();
    let told = told(&run);
    assert_eq!(
        lines(&told),
        [(3, "fired, held"), (3 + 2 * MINUTE, "closed, held"), (2 + 10 * MINUTE, "closed, released")]
    );
}

#[test]
fn what_fires_at_the_instant_at_which_the_other_fires_is_held_and_at_its_end_is_not() {
    let world = world("cooldown: 1m\n");
    let mut run = world.run();
    run.take(&failures(&[(0, 0, "ana"), (1, 1, "bob"), (2, 2, "ana")]));
    run.take(&failures(&[(3, 10 * MINUTE + 1, "ana"), (4, 10 * MINUTE + 2, "ana")]));
    run.finish();
    let told = told(&run);
    assert_eq!(told[0], (2, "fired, held".to_owned()));
    assert!(told.contains(&(10 * MINUTE + 2, "fired".to_owned())), "{told:?}");
}

#[test]
fn high_is_never_held_and_what_becomes_high_is_let_go_at_once() {
    let world = world("cooldown: 1h\nlevels: [{level: high, when: {e2e_rtt|gt: 400}}]\n");
    let mut run = world.run();
    run.take(&failures(&[(0, 0, "bob"), (1, 1, "bob"), (2, 2, "eve")]));
    run.take(&[
        Login::failure(3, 10, "ana"),
        Login::failure(4, 11, "ana").rtt(500),
        Login::failure(5, 20, "eve"),
        Login::failure(6, 30, "eve").rtt(500),
    ]);
    run.finish();
    let told = told(&run);
    assert!(told.contains(&(11, "fired".to_owned())), "{told:?}");
    assert!(told.contains(&(20, "fired, held".to_owned())), "{told:?}");
    assert!(told.contains(&(30, "updated".to_owned())), "{told:?}");
    assert!(!told.iter().any(|(_, words)| words.contains("released")), "{told:?}");
}

#[test]
fn the_alerts_of_other_tenants_and_other_rules_hold_nothing() {
    let world = World::new(&[
        burst(""),
        rule("outage", OUTAGE),
        rule("other", "match: {outcome: failure}\ncount: {at_least: 1, within: 1m, by: []}\ncooldown: 1h\n"),
    ]);
    let mut run = world.run();
    run.take(&failures(&[(0, 0, "ana"), (1, 1, "ana")]));
    run.finish();
    assert_eq!(told(&run)[0], (1, "fired".to_owned()));
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_is_held_depends_on_neither_order_nor_batches_nor_restarts(
        logins in logins(50),
        order in prop::collection::vec(0..10_000_u64, 50),
        steps in prop::collection::vec((0..900_i64, any::<bool>()), 0..6),
        cut in any::<Index>(),
    ) {
        let rules = [
            burst("cooldown: 3m\n"),
            rule("outage", "match: {outcome: failure}\ncount: {at_least: 4, within: 1m, by: []}\ncooldown: 2m\n"),
            rule("third", "match: {outcome: success}\ncount: {at_least: 1, within: 1m, by: [user]}\nquiet_while: [burst, outage]\n"),
        ];
        let world = World::new(&rules);
        let mut sorted = logins.clone();
        sorted.sort_by_key(|login| login.at);
        let mut once = world.run();
        once.take(&sorted);
        once.finish();
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
        // Every held alert is let go of exactly once, unless it grew too grave.
        let held = once.told.fired().filter(|fired| !fired.held_by.is_empty()).count();
        let released = once.told.drafts.iter().filter(|draft| {
            matches!(draft, Draft::Changed(change) if change.released)
        }).count();
        prop_assert_eq!(held, released);
        prop_assert_eq!(once.told.sorted(), parts.told.sorted());
    }
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let texts = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let loaded = load(texts, &Options::default());
    loaded.problems.iter().map(|problems| problems.render(false)).collect()
}

#[test]
fn an_unknown_rule_is_told_with_the_nearest_one() {
    let told = faults(&[("burst.yaml", &burst("")), ("o.yaml", &rule("outages", OUTAGE))]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("there is no rule `outage`") && told[0].contains("did you mean `outages`?"),
        "{}",
        told[0]
    );
}

#[test]
fn a_rule_is_never_told_to_wait_for_itself() {
    let told = faults(&[("outages.yaml", &rule("outages", &format!("{OUTAGE}quiet_while: [outage]\n")))]);
    assert!(told[0].contains("name the id of a rule that is loaded with this one"), "{}", told[0]);
}

#[test]
fn a_wait_that_holds_nothing_back_or_in_secret_is_warned_of() {
    let warned = |outage: &str, more: &str| {
        let files = [("burst.yaml", burst(more)), ("outage.yaml", rule("outage", outage))];
        let told = faults(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        assert!(told.iter().all(|told| !told.contains("error: ")), "{told:?}");
        told.concat()
    };
    assert_eq!(warned(OUTAGE, ""), "");
    let brief = "alerts of `outage` are over at once, and hold nothing back";
    for outage in [
        "match: {outcome: failure}\n",
        "match: {outcome: failure}\nfirst_seen: {value: device, by: [user]}\n",
        "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, restart: true}\n",
        "match: {outcome: failure}\ncount: {at_least: 2, within: 1m}\ncooldown: off\n",
    ] {
        assert!(warned(outage, "").contains(brief), "{outage}");
    }
    let observed = warned(&format!("{OUTAGE}mode: observe\n"), "");
    assert!(
        observed.contains("`outage` only observes: nobody is told of what holds these alerts back"),
        "{observed}"
    );
    let grave = warned(OUTAGE, "levels: [{level: critical, when: {client_name: x}}]\n");
    assert_eq!(grave, "", "its own level is below high");
}

#[test]
fn a_circle_is_told_at_each_of_its_places() {
    let circle = rule("outage", &format!("{OUTAGE}quiet_while: [burst]\n"));
    let told = faults(&[("burst.yaml", &burst("")), ("outage.yaml", &circle)]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("in a circle: `outage`, `burst`") && told[0].contains("outage.yaml:8:15"),
        "{}",
        told[0]
    );
    assert!(
        told[1].contains("in a circle: `burst`, `outage`") && told[1].contains("burst.yaml:7:15"),
        "{}",
        told[1]
    );
}

#[test]
fn a_rule_whose_named_rule_falls_out_falls_out_too() {
    let broken = rule("outage", "match: {colour: red}\n");
    let texts = vec![("a.yaml".to_owned(), burst("")), ("b.yaml".to_owned(), broken)];
    let loaded = load(texts, &Options::default());
    assert!(loaded.rules.is_empty());
    assert!(loaded.problems[0].render(false).contains("rule `outage` does not load"));
}

#[test]
fn a_rule_that_goes_lets_go_of_what_it_holds() {
    let world = world("cooldown: 1h\n");
    let mut run = world.run();
    run.take(&failures(&[(0, 0, "ana"), (1, 1, "bob"), (2, 2, "eve"), (3, 3, "ana")]));
    run.progress(MINUTE);
    let other = World::new(&[rule("outage", OUTAGE)]);
    let outcome = run.engine.succeed(other.generation.clone()).outcome;
    let told: Vec<(State, bool)> = outcome
        .drafts
        .iter()
        .filter_map(|draft| match draft {
            Draft::Changed(change) => Some((change.state, change.released)),
            Draft::Fired(_) => None,
        })
        .collect();
    assert_eq!(told, [(State::Closed, false), (State::Closed, true)]);
}
