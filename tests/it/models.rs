//! Every verb against its slow model, on random logins that come in time.

use std::collections::{BTreeMap, BTreeSet};

use larum::alert::{Draft, State};
use larum::record::{Batch, Phase};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::slow::{Hit, Holds, Slow, SlowAlert, SlowRule, Window};
use super::world::{Login, MINUTE, SECOND, START, Told, World, cases, rule};

/// A login that a rule looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub login: Login,
    pub id: [u8; 16],
    pub clears: bool,
}

impl Hit for Seen {
    fn at(&self) -> i64 {
        self.login.at
    }

    fn order(&self) -> (i64, [u8; 16]) {
        (self.login.at, self.id)
    }

    fn clears(&self) -> bool {
        self.clears
    }
}

/// A rule as its file says it and as the model knows it.
pub struct Case {
    pub name: &'static str,
    pub body: &'static str,
    pub hits: fn(&Login) -> bool,
    pub clears: fn(&Login) -> bool,
    pub key: fn(&Login) -> Option<String>,
    pub rule: SlowRule<Seen>,
}

impl Case {
    pub fn file(&self) -> String {
        rule(self.name, self.body)
    }

    /// What `login` is to the rule, and its group.
    pub fn sees(&self, login: &Login, id: [u8; 16]) -> Option<(String, Seen)> {
        let clears = (self.clears)(login);
        let key = (self.key)(login).filter(|_| clears || (self.hits)(login))?;
        Some((key, Seen { login: login.clone(), id, clears }))
    }
}

fn never(_: &Login) -> bool {
    false
}

#[expect(clippy::unnecessary_wraps, reason = "a key of a case, as the others are")]
fn by_user(login: &Login) -> Option<String> {
    Some(login.user.clone())
}

fn by_ip(login: &Login) -> Option<String> {
    login.ip.clone()
}

fn failed(login: &Login) -> bool {
    login.failure
}

fn succeeded(login: &Login) -> bool {
    !login.failure
}

fn measured(login: &Login) -> bool {
    login.rtt.is_some()
}

/// So many hits.
fn at_least(needed: usize) -> Holds<Seen> {
    Box::new(move |hits| (hits.len() >= needed).then_some(hits.len() as u64))
}

/// What a record of a step is, and how many it takes.
type Step = (fn(&Login) -> bool, usize);

/// Whether `steps` find records among `hits`, each step's no later than the next one's and the last
/// one's no later than `until`; with `tip`, the latest of the last step's is at its time, and with
/// `is` it is among them.
fn in_order(hits: &[Seen], steps: &[Step], until: i64, tip: Option<(&Seen, bool)>) -> bool {
    let Some(((is_step, needed), before)) = steps.split_last() else { return true };
    let fitting: Vec<usize> =
        (0..hits.len()).filter(|n| hits[*n].at() <= until && is_step(&hits[*n].login)).collect();
    choices(&fitting, *needed).into_iter().any(|chosen| {
        let at = |n: &usize| hits[*n].at();
        let ends = tip.is_none_or(|(tip, is)| {
            chosen.iter().map(at).max() == Some(tip.at()) && (!is || chosen.iter().any(|n| hits[*n] == *tip))
        });
        let rest: Vec<Seen> =
            (0..hits.len()).filter(|n| !chosen.contains(n)).map(|n| hits[n].clone()).collect();
        ends && in_order(&rest, before, chosen.iter().map(at).min().unwrap(), None)
    })
}

/// Every way to choose so many.
fn choices(of: &[usize], needed: usize) -> Vec<Vec<usize>> {
    if needed == 0 {
        return vec![Vec::new()];
    }
    let with = |place: usize| {
        choices(&of[place + 1..], needed - 1).into_iter().map(move |rest| [vec![of[place]], rest].concat())
    };
    (0..of.len()).flat_map(with).collect()
}

/// A sequence of steps: at a record of the last, or at one that completes the steps beside it.
fn sequence(steps: Vec<Step>) -> Holds<Seen> {
    Box::new(move |hits| {
        let (tip, before) = hits.split_last().unwrap();
        let at = tip.at();
        let as_last = in_order(hits, &steps, at, Some((tip, true)));
        let beside = || {
            in_order(hits, &steps, at, Some((tip, false)))
                && !in_order(before, &steps, at, Some((tip, false)))
        };
        (as_last || beside()).then_some(0)
    })
}

fn distinct<'a>(hits: &'a [Seen], value: impl Fn(&'a Login) -> Option<&'a str>) -> usize {
    hits.iter().filter_map(|hit| value(&hit.login)).collect::<BTreeSet<_>>().len()
}

fn rtts(hits: &[Seen]) -> Vec<u32> {
    let mut all: Vec<u32> = hits.iter().filter_map(|hit| hit.login.rtt).collect();
    all.sort_unstable();
    all
}

/// Nearest rank: the least sample that so many percent of the samples do not exceed.
fn percentile(percent: usize, sorted: &[u32]) -> u32 {
    let not_above = |sample: u32| sorted.iter().filter(|other| **other <= sample).count();
    sorted.iter().copied().find(|sample| not_above(*sample) * 100 >= percent * sorted.len()).unwrap()
}

fn network(ip: &str, bits: u32) -> u32 {
    u32::from(ip.parse::<std::net::Ipv4Addr>().unwrap()) >> (32 - bits)
}

fn simple(window: Window, holds: Holds<Seen>, cooldown: i64) -> SlowRule<Seen> {
    SlowRule {
        window,
        holds,
        cooldown,
        cooldown_given: false,
        restart: false,
        grave: false,
        recovered: None,
        same: |_, _| false,
    }
}

/// `first_seen` with a value that two logins share if `same` says so.
fn first_seen(
    same: fn(&str, &str) -> bool,
    learn: (i64, usize),
    forget: Option<i64>,
    first_value: bool,
) -> Holds<Seen> {
    Box::new(move |hits| {
        let (hit, before) = hits.split_last().unwrap();
        let value = |hit: &Seen| hit.login.ip.clone().unwrap();
        let last = before.iter().rev().find(|other| same(&value(other), &value(hit)));
        let known = last.is_some_and(|last| forget.is_none_or(|forget| hit.at() - last.at() < forget));
        let first = before.is_empty() && !first_value;
        let learning =
            before.first().is_some_and(|first| hit.at() < first.at() + learn.0) || before.len() < learn.1;
        (!known && !first && !learning).then_some(1)
    })
}

/// Every verb, in every way that changes when it fires.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn verbs() -> Vec<Case> {
    let case = |name, body, hits, key, rule| Case { name, body, hits, clears: never, key, rule };
    vec![
        case(
            "count",
            "match: {outcome: failure}\ncount: {at_least: 3, within: 60s, by: [user_name]}\n",
            failed,
            by_user,
            simple(Window::Time(60 * SECOND), at_least(3), 60 * SECOND),
        ),
        case(
            "count-cooldown",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 60s, by: [public_ip]}\ncooldown: 2m\n",
            failed,
            by_ip,
            simple(Window::Time(60 * SECOND), at_least(2), 2 * MINUTE),
        ),
        case(
            "count-cooldown-off",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 40s, by: [public_ip]}\ncooldown: off\n",
            failed,
            by_ip,
            simple(Window::Time(40 * SECOND), at_least(2), 0),
        ),
        Case {
            name: "count-unless",
            body: "match: {outcome: failure}\ncount: {at_least: 3, within: 2m, by: [user_name], unless: {outcome: success, public_ip: 203.0.113.0}}\ncooldown: 30s\n",
            hits: failed,
            clears: |login| !login.failure && login.ip.as_deref() == Some("203.0.113.0"),
            key: by_user,
            rule: simple(Window::Time(2 * MINUTE), at_least(3), 30 * SECOND),
        },
        case(
            "count-restart",
            "match: {outcome: failure}\ncount: {at_least: 3, within: 60s, by: [user_name], restart: true}\n",
            failed,
            by_user,
            SlowRule { restart: true, ..simple(Window::Time(60 * SECOND), at_least(3), 0) },
        ),
        case(
            "count-having",
            "match: {outcome: [failure, success]}\ncount:\n  within: 60s\n  by: [public_ip]\n  having:\n    users: {distinct: user_name, at_least: 2}\n    share: {match: {outcome: failure}, at_least: 50%}\n",
            |_| true,
            by_ip,
            simple(
                Window::Time(60 * SECOND),
                Box::new(|hits| {
                    let failures = hits.iter().filter(|hit| hit.login.failure).count();
                    let users = distinct(hits, |login| Some(&login.user));
                    (users >= 2 && failures * 2 >= hits.len()).then_some(hits.len() as u64)
                }),
                60 * SECOND,
            ),
        ),
        case(
            "count-everyone",
            "match: {outcome: failure}\ncount:\n  at_least: 4\n  within: 50s\n  having:\n    ips: {distinct: public_ip, at_least: 3}\n    failures: {match: {e2e_rtt|gte: 150}, at_least: 1}\n",
            failed,
            |_| Some(String::new()),
            simple(
                Window::Time(50 * SECOND),
                Box::new(|hits| {
                    let slow = hits.iter().filter(|hit| hit.login.rtt >= Some(150)).count();
                    let ips = distinct(hits, |login| login.ip.as_deref());
                    (hits.len() >= 4 && ips >= 3 && slow >= 1).then_some(hits.len() as u64)
                }),
                50 * SECOND,
            ),
        ),
        case(
            "distinct",
            "match: {outcome: failure}\ndistinct: {field: user_name, at_least: 3, within: 90s, by: [public_ip]}\n",
            failed,
            by_ip,
            simple(
                Window::Time(90 * SECOND),
                Box::new(|hits| {
                    let users = distinct(hits, |login| Some(&login.user));
                    (users >= 3).then_some(users as u64)
                }),
                90 * SECOND,
            ),
        ),
        case(
            "distinct-each-at-most",
            "match: {outcome: failure}\ndistinct: {field: user_name, at_least: 2, within: 2m, by: [public_ip], each_at_most: 2}\ncooldown: 30s\n",
            failed,
            by_ip,
            simple(
                Window::Time(2 * MINUTE),
                Box::new(|hits| {
                    let mut each: BTreeMap<&str, usize> = BTreeMap::new();
                    for hit in hits {
                        *each.entry(&hit.login.user).or_default() += 1;
                    }
                    let users = each.values().filter(|hits| **hits <= 2).count();
                    (users >= 2).then_some(users as u64)
                }),
                30 * SECOND,
            ),
        ),
        case(
            "first-seen",
            "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], same_net: off}\n",
            |login| succeeded(login) && login.ip.is_some(),
            by_user,
            simple(Window::All, first_seen(|a, b| a == b, (0, 0), None, false), 0),
        ),
        case(
            "first-seen-first-value",
            "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], same_net: off, first_value: alert}\n",
            |login| succeeded(login) && login.ip.is_some(),
            by_user,
            simple(Window::All, first_seen(|a, b| a == b, (0, 0), None, true), 0),
        ),
        case(
            "first-seen-learn-forget",
            "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], learn: {for: 1m, records: 2}, forget: 2m, same_net: {v4: 31, v6: 56}}\n",
            |login| succeeded(login) && login.ip.is_some(),
            by_user,
            simple(
                Window::All,
                first_seen(|a, b| network(a, 31) == network(b, 31), (MINUTE, 2), Some(2 * MINUTE), false),
                0,
            ),
        ),
        case(
            "measure-median",
            "match: {outcome: [failure, success]}\nmeasure: {field: e2e_rtt, stat: median, above: 250, last: 3, within: 3m, at_least: 2, by: [user_name], recover: {below: 200}}\n",
            measured,
            by_user,
            SlowRule {
                recovered: Some(Box::new(|hits| hits.len() >= 2 && percentile(50, &rtts(hits)) < 200)),
                ..simple(
                    Window::Last(3, 3 * MINUTE),
                    Box::new(|hits| {
                        (hits.len() >= 2 && percentile(50, &rtts(hits)) > 250).then_some(hits.len() as u64)
                    }),
                    3 * MINUTE,
                )
            },
        ),
        case(
            "measure-p90",
            "match: {outcome: [failure, success]}\nmeasure: {field: e2e_rtt, stat: p90, above: 350, within: 2m, at_least: 3, by: [user_name], recover: {below: 350}}\ncooldown: 40s\n",
            measured,
            by_user,
            SlowRule {
                cooldown_given: true,
                recovered: Some(Box::new(|hits| hits.len() >= 3 && percentile(90, &rtts(hits)) < 350)),
                ..simple(
                    Window::Time(2 * MINUTE),
                    Box::new(|hits| {
                        (hits.len() >= 3 && percentile(90, &rtts(hits)) > 350).then_some(hits.len() as u64)
                    }),
                    40 * SECOND,
                )
            },
        ),
        case(
            "measure-mean",
            "match: {outcome: [failure, success]}\nmeasure: {field: e2e_rtt, stat: mean, below: 200, within: 1m, by: [user_name]}\n",
            measured,
            by_user,
            simple(
                Window::Time(MINUTE),
                Box::new(|hits| {
                    let sum: u32 = rtts(hits).iter().sum();
                    (sum < 200 * u32::try_from(hits.len()).unwrap()).then_some(hits.len() as u64)
                }),
                MINUTE,
            ),
        ),
        case(
            "sequence",
            "sequence:\n  by: [user_name]\n  within: 60s\n  steps:\n    - {name: failures, match: {outcome: failure}, at_least: 2}\n    - {match: {outcome: success}}\n",
            |_| true,
            by_user,
            simple(Window::Time(MINUTE), sequence(vec![(failed, 2), (succeeded, 1)]), MINUTE),
        ),
        case(
            "sequence-of-the-same",
            "sequence:\n  by: [user_name]\n  within: 30s\n  steps:\n    - {match: {outcome: [failure, success]}, at_least: 2}\n    - {match: {outcome: failure}}\ncooldown: 20s\n",
            |_| true,
            by_user,
            simple(Window::Time(30 * SECOND), sequence(vec![(|_| true, 2), (failed, 1)]), 20 * SECOND),
        ),
        Case {
            name: "sequence-until",
            body: "sequence:\n  by: [user_name]\n  within: 2m\n  until: {outcome: success, public_ip: 203.0.113.0}\n  steps:\n    - {match: {outcome: [failure, success], e2e_rtt|gte: 250}}\n    - {match: {outcome: failure}}\n    - {match: {outcome: success}}\ncooldown: off\n",
            hits: |_| true,
            clears: |login| !login.failure && login.ip.as_deref() == Some("203.0.113.0"),
            key: by_user,
            rule: simple(
                Window::Time(2 * MINUTE),
                sequence(vec![(|login| login.rtt >= Some(250), 1), (failed, 1), (succeeded, 1)]),
                0,
            ),
        },
        case(
            "rate",
            "match: {outcome: failure}\nrate: {at_least: 3, drains_every: 35s, by: [user_name]}\n",
            failed,
            by_user,
            SlowRule { restart: true, ..simple(Window::Bucket(35 * SECOND, 3), at_least(3), 105 * SECOND) },
        ),
        case(
            "rate-cooldown-off",
            "match: {outcome: failure}\nrate: {at_least: 2, drains_every: 10s, by: [public_ip]}\ncooldown: off\n",
            failed,
            by_ip,
            SlowRule { restart: true, ..simple(Window::Bucket(10 * SECOND, 2), at_least(2), 0) },
        ),
        case(
            "rate-distinct",
            "match: {outcome: failure}\nrate: {at_least: 2, drains_every: 45s, distinct: user_name, by: [public_ip]}\ncooldown: 1m\n",
            failed,
            by_ip,
            SlowRule {
                restart: true,
                same: |a, b| a.login.user == b.login.user,
                ..simple(Window::Bucket(45 * SECOND, 2), at_least(2), MINUTE)
            },
        ),
        case(
            "script",
            "match: {outcome: [failure, success], e2e_rtt|exists: true}\nscript:\n  by: [user_name]\n  keep: 3\n  when: |\n    history.filter(|r| r.e2e_rtt > 250).len() >= 2\n",
            measured,
            by_user,
            simple(
                Window::Records(3),
                Box::new(|hits| {
                    (rtts(hits).iter().filter(|rtt| **rtt > 250).count() >= 2).then_some(hits.len() as u64)
                }),
                0,
            ),
        ),
        case(
            "each",
            "match: {outcome: failure, e2e_rtt|gte: 450}\n",
            |login| login.failure && login.rtt >= Some(450),
            |_| Some(String::new()),
            simple(Window::Alone, Box::new(|_| Some(1)), 0),
        ),
        case(
            "each-cooldown",
            "match: {outcome: [failure, success], e2e_rtt|gte: 350}\ncooldown: {for: 1m, by: [user_name]}\n",
            |login| login.rtt >= Some(350),
            by_user,
            simple(Window::Alone, Box::new(|_| Some(1)), MINUTE),
        ),
    ]
}

/// Time, user, address, failure and round trip of a login.
type Drawn = (i64, u8, Option<u8>, bool, Option<u32>);

/// Logins of few users from few addresses on a coarse grid of time, so that equal times and the
/// exact edges of windows come about.
pub fn logins(most: usize) -> impl Strategy<Value = Vec<Login>> {
    let rtts = prop::option::weighted(0.8, prop::sample::select(vec![50, 150, 200, 250, 350, 450, 550]));
    let login = (0..40_i64, 0..3_u8, prop::option::weighted(0.9, 0..4_u8), prop::bool::weighted(0.6), rtts);
    prop::collection::vec(login, 0..most).prop_map(|logins| {
        let made = |(number, (at, user, ip, failure, rtt)): (usize, Drawn)| Login {
            id: format!("row-{number}"),
            at: at * 10 * SECOND,
            end: None,
            user: format!("user-{user}"),
            ip: ip.map(|ip| format!("203.0.113.{ip}")),
            failure,
            rtt,
            client: None,
        };
        logins.into_iter().enumerate().map(made).collect()
    })
}

/// The identity that the engine orders a row's start record by.
pub fn ids(batch: &Batch) -> Vec<[u8; 16]> {
    (0..batch.rows.len()).map(|row| batch.record(row, Phase::Start).id().0).collect()
}

/// An alert as both sides tell it: time, group, count, late.
pub type Line = (i64, String, u64, bool);

/// The alerts of one rule.
pub fn alerts_of(told: &Told, rule: &str) -> Vec<Line> {
    let group = |group: &[(larum::record::FieldName, Option<String>)]| {
        group.first().and_then(|(_, value)| value.clone()).unwrap_or_default()
    };
    let fired = told.fired().filter(|fired| fired.rule.as_str() == rule);
    let mut lines: Vec<Line> = fired
        .map(|fired| {
            // The model of sequences says whether there is one, not which of the records are its.
            let count = if rule.starts_with("sequence") { 0 } else { fired.finding.count };
            (fired.at.0 - START, group(&fired.group), count, fired.late)
        })
        .collect();
    lines.sort();
    lines
}

/// The same of the model.
pub fn alerts_of_model(slow: &Slow<Seen>) -> Vec<Line> {
    let line = |key: &String, alert: &SlowAlert<Seen>| (alert.at, key.clone(), alert.count, alert.late);
    let mut lines: Vec<Line> = slow
        .groups
        .iter()
        .flat_map(|(key, group)| group.alerts.iter().map(move |alert| line(key, alert)))
        .collect();
    lines.sort();
    lines
}

/// How often alerts were repeated at their end, and when they were resolved, by time of firing.
fn ends_of(told: &Told, rule: &str) -> Vec<(i64, u64, Option<i64>)> {
    let mut ends = Vec::new();
    for fired in told.fired().filter(|fired| fired.rule.as_str() == rule) {
        let changes = told.drafts.iter().filter_map(|draft| match draft {
            Draft::Changed(change) if change.id == fired.id => Some(change),
            Draft::Changed(_) | Draft::Fired(_) => None,
        });
        let last = changes.max_by_key(|change| change.revision);
        let resolved =
            last.filter(|change| change.state == State::Resolved).map(|change| change.at.0 - START);
        ends.push((fired.at.0 - START, last.map_or(0, |change| change.repeats), resolved));
    }
    ends.sort_unstable();
    ends
}

fn ends_of_model(slow: &Slow<Seen>) -> Vec<(i64, u64, Option<i64>)> {
    let alerts = slow.groups.values().flat_map(|group| &group.alerts);
    let mut ends: Vec<_> = alerts.map(|alert| (alert.at, alert.repeats, alert.resolved)).collect();
    ends.sort_unstable();
    ends
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn every_verb_fires_when_its_slow_model_does(logins in logins(60)) {
        let cases = verbs();
        let files: Vec<String> = cases.iter().map(Case::file).collect();
        let world = World::new(&files);
        let told = world.told(&logins);
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        let ids = ids(&world.batch(&lines));
        for case in &cases {
            let mut seen: Vec<_> = logins.iter().zip(&ids).filter_map(|(login, id)| case.sees(login, *id)).collect();
            seen.sort_by_key(|(_, seen)| seen.order());
            let mut slow = Slow::new();
            for (key, hit) in seen {
                slow.group(&key).observe(&hit, &case.rule);
            }
            prop_assert_eq!(alerts_of(&told, case.name), alerts_of_model(&slow), "alerts of {}", case.name);
            prop_assert_eq!(ends_of(&told, case.name), ends_of_model(&slow), "ends of {}", case.name);
        }
    }
}

#[test]
fn random_logins_make_every_verb_fire_and_stay_quiet() {
    let world = World::new(&verbs().iter().map(Case::file).collect::<Vec<_>>());
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let mut fired: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for _ in 0..40 {
        let logins = logins(60).new_tree(&mut runner).unwrap().current();
        let told = world.told(&logins);
        for case in verbs() {
            let alerts = alerts_of(&told, case.name).len();
            let (loud, quiet) = fired.entry(case.name).or_default();
            *loud += usize::from(alerts > 0);
            *quiet += logins.iter().filter(|login| (case.hits)(login)).count().saturating_sub(alerts);
        }
    }
    for (name, (loud, quiet)) in fired {
        assert!(loud >= 10, "{name} fired in {loud} of 40 runs");
        assert!(name == "each" || quiet >= 40, "{name} was quiet at {quiet} hits");
    }
}
