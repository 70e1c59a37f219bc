//! `first_seen` with `same_if`, tuples and `unless_common`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::slow::{SlowRule, Window};
use super::super::world::{DAY, HOUR, MINUTE, SECOND, cases};
use super::{All, Case, Seen, Visit, by_user, fired};

/// The value of a visit as the rules compare it.
type Value = fn(&Visit) -> Option<String>;

fn ip(visit: &Visit) -> Option<String> {
    visit.ip.clone()
}

fn tuple(visit: &Visit) -> Option<String> {
    Some(format!("{} {}", visit.asn?, visit.ip.clone()?))
}

/// A group's hits, of which the last is judged: news, unless the value or its network was shown less
/// than two minutes before, or three users showed the value within a minute.
fn news(value: Value, same_asn: bool, common: Option<usize>, hits: &[Seen], all: &[Seen]) -> Option<u64> {
    let (hit, before) = hits.split_last().unwrap();
    let learnt = before.iter().filter(|other| !other.left_out);
    let recent = learnt.clone().filter(|other| hit.visit.at - other.visit.at < 2 * MINUTE);
    let known = recent.clone().any(|other| value(&other.visit) == value(&hit.visit));
    let asn = hit.visit.asn.filter(|_| same_asn);
    let same = recent.clone().any(|other| asn.is_some() && other.visit.asn == asn);
    let users: BTreeSet<Option<&String>> = all
        .iter()
        .filter(|other| value(&other.visit) == value(&hit.visit) && other.visit.user.is_some())
        .filter(|other| (other.visit.at, other.id) <= (hit.visit.at, hit.id))
        .filter(|other| other.visit.at > hit.visit.at - MINUTE)
        .map(|other| other.visit.user.as_ref())
        .collect();
    let common = common.is_some_and(|most| users.len() >= most);
    (learnt.count() > 0 && !known && !same && !common).then_some(1)
}

fn slow(value: Value, same_asn: bool, common: Option<usize>, all: All) -> SlowRule<Seen> {
    let holds = Box::new(move |hits: &[Seen]| news(value, same_asn, common, hits, &all.borrow()));
    SlowRule {
        window: Window::All,
        holds,
        cooldown: 0,
        cooldown_given: false,
        restart: false,
        grave: false,
        recovered: None,
        same: |_, _| false,
    }
}

fn table() -> Vec<Case> {
    vec![
        Case {
            body: "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], missing: own, forget: 2m, same_net: off, same_if: [asn.number]}\n",
            key: by_user,
            is_hit: |visit| visit.ip.is_some(),
            rule: |all| slow(ip, true, None, all),
        },
        Case {
            body: "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], missing: own, forget: 2m, same_net: off, unless_common: {by: user_name, at_least: 3, within: 1m}}\n",
            key: by_user,
            is_hit: |visit| visit.ip.is_some(),
            rule: |all| slow(ip, false, Some(3), all),
        },
        Case {
            body: "match: {outcome: success}\nfirst_seen: {value: [asn.number, public_ip], by: [user_name], missing: own, forget: 2m, same_net: off, same_if: [asn.number], unless_common: {by: user_name, at_least: 2, within: 1m}}\n",
            key: by_user,
            is_hit: |visit| visit.ip.is_some() && visit.asn.is_some(),
            rule: |all| slow(tuple, true, Some(2), all),
        },
        Case {
            body: "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], missing: own, forget: 2m, same_net: off, same_if: [asn.number]}\ncooldown: 30s\nlevels: [{level: high, when: {outcome: success}}]\n",
            key: by_user,
            is_hit: |visit| visit.ip.is_some(),
            rule: |all| SlowRule { cooldown: 30 * SECOND, grave: true, ..slow(ip, true, None, all) },
        },
    ]
}

/// Time, user, address, network.
type Drawn = (i64, Option<u8>, Option<u8>, Option<u32>);

fn visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    let visit = (
        0..40_i64,
        prop::option::weighted(0.9, 0..4_u8),
        prop::option::weighted(0.9, 0..3_u8),
        prop::option::weighted(0.7, 0..3_u32),
    );
    prop::collection::vec(visit, 0..most).prop_map(|drawn| {
        let made = |(id, (at, user, ip, asn)): (usize, Drawn)| Visit {
            user: user.map(|user| format!("user-{user}")),
            ip: ip.map(|ip| format!("203.0.113.{ip}")),
            asn,
            ..Visit::new(id, at * 10 * SECOND, "")
        };
        drawn.into_iter().enumerate().map(made).collect()
    })
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn news_is_news_as_in_the_slow_model(
        visits in visits(60),
        order in prop::collection::vec(any::<Index>(), 60),
    ) {
        for case in table() {
            case.holds_in_order(&visits, &order)?;
        }
    }

    #[test]
    fn late_records_and_restarts_are_as_in_the_slow_model(
        visits in visits(50),
        delays in prop::collection::vec(prop::option::weighted(0.3, (0..48_i64).prop_map(|delay| delay * 10 * SECOND)), 50),
        restart_every in 1..9_usize,
    ) {
        for case in table() {
            case.holds_late(&visits, &delays, restart_every)?;
        }
    }
}

/// Visits of one line each: `user ip asn` at so many hours.
fn told(lines: &[(i64, &str)]) -> Vec<Visit> {
    let made = |(id, (at, line)): (usize, &(i64, &str))| {
        let mut words = line.split(' ');
        let user = words.next().unwrap();
        let ip = words.next().map(str::to_owned);
        Visit { ip, asn: words.next().map(|asn| asn.parse().unwrap()), ..Visit::new(id, at * HOUR, user) }
    };
    lines.iter().enumerate().map(made).collect()
}

fn hours(fired: &[String]) -> Vec<i64> {
    fired.iter().map(|line| line.split(' ').next().unwrap().parse::<i64>().unwrap() / HOUR).collect()
}

#[test]
fn another_address_of_a_known_network_is_not_new_and_teaches_its_network_no_less() {
    let body = "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user], same_if: [asn.number], forget: 3d}\n";
    let visits = told(&[
        (0, "ana 198.51.100.7 1"),
        (1, "ana 192.0.2.9 1"),   // another address of network 1
        (2, "ana 203.0.113.4 2"), // a new network
        (3, "ana 203.0.113.200 2"),
        (4, "ana 192.0.2.77"),     // a known /24, whose network the record does not say
        (5, "ana 198.18.0.1"),     // unknown, and nothing says whose it is
        (6, "bob 198.18.0.1 7"),   // a first value is silent
        (7, "bob 198.51.100.7 1"), // known to ana is not known to bob
        (71, "ana 10.1.0.1 1"),    // network 1 was last used 70 h ago, which is less than three days
        (75, "ana 10.2.0.1 2"),    // network 2 exactly three days ago: forgotten
    ]);
    assert_eq!(hours(&fired(body, &visits)), [2, 5, 7, 75]);
}

#[test]
fn a_roll_out_is_told_of_until_it_is_common() {
    let body = "match: {outcome: success}\nfirst_seen: {value: asn.number, by: [user], unless_common: {by: user, at_least: 3, within: 1d}}\n";
    let users = ["ana", "bob", "cyn", "dan"];
    let first = |user: &&str| Visit { asn: Some(1), ..Visit::new(0, 0, user) };
    let mut visits: Vec<Visit> = users.iter().map(first).collect();
    let uses = [(0, "ana"), (1, "bob"), (1, "bob"), (2, "cyn"), (3, "dan"), (26, "eve")];
    visits.extend(uses.map(|(hour, user)| Visit { asn: Some(2), ..Visit::new(0, HOUR + hour * HOUR, user) }));
    for (id, visit) in visits.iter_mut().enumerate() {
        visit.id = id;
    }
    // The third user makes it common, and so does the fourth find it; eve's first value is silent.
    assert_eq!(hours(&fired(body, &visits)), [1, 2]);
    // A day after the others, fay is alone with it again: dan's use at hour 4 has left (t - 1d, t].
    visits.push(Visit { asn: Some(1), ..Visit::new(20, 0, "fay") });
    visits.push(Visit { asn: Some(2), ..Visit::new(21, 4 * HOUR + DAY, "fay") });
    assert_eq!(hours(&fired(body, &visits)), [1, 2, 28]);
}

#[test]
fn a_roll_out_is_common_to_a_rule_that_asks_of_the_past_as_well() {
    let body = "match: {outcome: success, user|new: false}\nfirst_seen: {value: asn.number, by: [user], unless_common: {by: user, at_least: 3, within: 1d}}\n";
    let users = ["ana", "bob", "cyn", "dan"];
    // Each comes twice from network 1: once as a stranger, who is no hit, then with a first value.
    let twice = [0, 1].into_iter().flat_map(|hour| users.map(|user| (hour, user, 1)));
    let later = [(10, "ana", 2), (11, "bob", 2), (12, "cyn", 2), (13, "dan", 2)];
    let visits: Vec<Visit> = twice
        .chain(later)
        .enumerate()
        .map(|(id, (hour, user, asn))| Visit { asn: Some(asn), ..Visit::new(id, hour * HOUR, user) })
        .collect();
    assert_eq!(hours(&fired(body, &visits)), [10, 11]);
    // The uses of those who are no hits do not count: eve and fay are strangers.
    let mut visits = visits;
    visits.extend([(9, "eve"), (9, "fay")].map(|(hour, user)| Visit {
        asn: Some(2),
        ..Visit::new(if user == "eve" { 20 } else { 21 }, hour * HOUR, user)
    }));
    assert_eq!(hours(&fired(body, &visits)), [10, 11]);
}

#[test]
fn a_user_alone_is_no_roll_out_however_often() {
    let body = "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [asn.number], same_net: off, unless_common: {by: user, at_least: 2, within: 1d}}\n";
    // In ten networks one user shows the address: ten groups, one user.
    let lines: Vec<(i64, String)> = (0..10)
        .flat_map(|asn| [(0, format!("u{asn} 10.0.0.{asn} {asn}")), (1, format!("ana 203.0.113.9 {asn}"))])
        .collect();
    let lines: Vec<(i64, &str)> = lines.iter().map(|(at, line)| (*at, line.as_str())).collect();
    assert_eq!(fired(body, &told(&lines)).len(), 10);
}
