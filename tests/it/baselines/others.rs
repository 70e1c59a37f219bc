//! `times_others` of `count`: a group against all other groups of its rule.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::slow::{SlowRule, Window};
use super::super::world::{SECOND, cases};
use super::{All, Case, Seen, Visit, by_user};

/// A slow sign-in.
fn such(seen: &Seen) -> bool {
    seen.visit.rtt.is_some_and(|rtt| rtt >= 100)
}

/// A group's window, of which the last hit is judged: it has `least` hits, two of them such, and their
/// share is so many hundredths of that of everybody else within the same minute, who have `least`, too.
fn worse(least: usize, hundredths: usize, hits: &[Seen], all: &[Seen]) -> Option<u64> {
    let hit = hits.last().unwrap();
    let lately: Vec<&Seen> = all
        .iter()
        .filter(|other| (other.visit.at, other.id) <= (hit.visit.at, hit.id))
        .filter(|other| other.visit.at > hit.visit.at - 60 * SECOND)
        .collect();
    let (own, others): (Vec<&Seen>, Vec<&Seen>) =
        lately.into_iter().partition(|other| other.visit.user == hit.visit.user);
    let count = |seen: &[&Seen]| seen.iter().filter(|one| such(one)).count();
    let shown = hits.iter().filter(|one| such(one)).count();
    let more = 100 * count(&own) * others.len() >= hundredths * count(&others) * own.len();
    (hits.len() >= least && shown >= 2 && others.len() >= least && more).then_some(hits.len() as u64)
}

fn slow(least: usize, hundredths: usize, restart: bool, all: All) -> SlowRule<Seen> {
    SlowRule {
        window: Window::Time(60 * SECOND),
        holds: Box::new(move |hits: &[Seen]| worse(least, hundredths, hits, &all.borrow())),
        cooldown: if restart { 0 } else { 60 * SECOND },
        cooldown_given: false,
        restart,
        grave: false,
        recovered: None,
        same: |_, _| false,
    }
}

fn table() -> Vec<Case> {
    vec![
        Case {
            body: "match: {outcome: success}\ncount: {at_least: 3, within: 60s, by: [user_name], missing: own, having: {slow: {match: {network_rtt|gte: 100}, at_least: 2, times_others: 2}}}\n",
            key: by_user,
            is_hit: |_| true,
            rule: |all| slow(3, 200, false, all),
        },
        Case {
            // What a firing empties is compared all the same.
            body: "match: {outcome: success}\ncount: {within: 60s, by: [user_name], missing: own, restart: true, having: {slow: {match: {network_rtt|gte: 100}, at_least: 2, times_others: 1.5}}}\n",
            key: by_user,
            is_hit: |_| true,
            rule: |all| slow(1, 150, true, all),
        },
    ]
}

fn visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    let visit = (
        0..40_i64,
        prop::option::weighted(0.9, 0..3_u8),
        prop::option::weighted(0.9, prop_oneof![Just(50_u32), Just(150)]),
    );
    prop::collection::vec(visit, 0..most).prop_map(|drawn| {
        let made = |(id, (at, user, rtt)): (usize, (i64, Option<u8>, Option<u32>))| Visit {
            user: user.map(|user| format!("user-{user}")),
            rtt,
            ..Visit::new(id, at * 5 * SECOND, "")
        };
        drawn.into_iter().enumerate().map(made).collect()
    })
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_group_is_compared_with_the_others_as_in_the_slow_model(
        visits in visits(60),
        order in prop::collection::vec(any::<Index>(), 60),
    ) {
        for case in table() {
            case.holds_in_order(&visits, &order)?;
        }
    }

    #[test]
    fn late_records_and_restarts_change_what_a_group_is_compared_with_as_in_the_slow_model(
        visits in visits(50),
        delays in prop::collection::vec(prop::option::weighted(0.3, (0..48_i64).prop_map(|delay| delay * 10 * SECOND)), 50),
        restart_every in 1..9_usize,
    ) {
        for case in table() {
            case.holds_late(&visits, &delays, restart_every)?;
        }
    }
}

#[test]
fn the_slow_model_and_the_verb_fire_often_enough_to_be_compared() {
    let visits: Vec<Visit> = (0..120_usize)
        .map(|id| {
            let user = if id % 4 == 0 { "user-0" } else { "user-1" };
            let rtt = if id % 4 == 0 { 150 } else { 50 };
            let at = i64::try_from(id).unwrap() * 3 * SECOND;
            Visit { rtt: Some(rtt), ..Visit::new(id, at, user) }
        })
        .collect();
    for case in table() {
        let all = super::fired(case.body, &visits);
        assert!(all.len() > 4, "{}: {all:?}", case.body);
    }
}
