//! A sequence whose last step is an absence, against a model that tries every record.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::feed;
use crate::world::{DAY, Login, Run, SECOND, START, World, cases, rule};

/// All that happens in a test is remembered: what came late is put in among it.
const LATE_WITHIN: &str = "late_within: 1h\n";

/// Whether a login is a step's.
type Holds = fn(&Login) -> bool;

/// A rule as its file says it and as the model knows it.
struct Case {
    body: &'static str,
    within: i64,
    cooldown: i64,
    /// What the steps before the absence are, and how many they take.
    steps: &'static [(Holds, usize)],
    absence: fn(&Login) -> bool,
    clears: fn(&Login) -> bool,
}

fn slow(login: &Login) -> bool {
    login.failure && login.rtt >= Some(250)
}

fn cases_of_rules() -> [Case; 3] {
    [
        Case {
            body: "sequence:\n  by: [user]\n  within: 60s\n  steps:\n    - {match: {outcome: failure}, at_least: 2}\n    - {absent: {outcome: success}}\n",
            within: 60 * SECOND,
            cooldown: 60 * SECOND,
            steps: &[(|login| login.failure, 2)],
            absence: |login| !login.failure,
            clears: |_| false,
        },
        Case {
            body: "sequence:\n  by: [user]\n  within: 50s\n  steps:\n    - {match: {outcome: failure, e2e_rtt|gte: 250}}\n    - {match: {outcome: failure, e2e_rtt|lt: 250}}\n    - {absent: {outcome: success, e2e_rtt|exists: true}}\ncooldown: off\n",
            within: 50 * SECOND,
            cooldown: 0,
            steps: &[(slow, 1), (|login| login.failure && login.rtt < Some(250) && login.rtt.is_some(), 1)],
            absence: |login| !login.failure && login.rtt.is_some(),
            clears: |_| false,
        },
        Case {
            body: "sequence:\n  by: [user]\n  within: 40s\n  until: {outcome: success, public_ip: 203.0.113.0}\n  steps:\n    - {match: {outcome: failure}}\n    - {absent: {outcome: success, public_ip: 203.0.113.1}}\ncooldown: 20s\n",
            within: 40 * SECOND,
            cooldown: 20 * SECOND,
            steps: &[(|login| login.failure, 1)],
            absence: |login| !login.failure && login.ip.as_deref() == Some("203.0.113.1"),
            clears: |login| !login.failure && login.ip.as_deref() == Some("203.0.113.0"),
        },
    ]
}

type Hit = (i64, [u8; 16], Login);
/// Time, group, late.
type Line = (i64, String, bool);

#[derive(Default)]
struct Slow {
    hits: Vec<Hit>,
    /// Time, the record that completed the steps, late.
    alerts: Vec<(i64, [u8; 16], bool)>,
}

/// Every way to take so many of `of`, in order.
fn choices(of: &[usize], needed: usize) -> Vec<Vec<usize>> {
    match (needed, of) {
        (0, _) => vec![Vec::new()],
        (_, []) => Vec::new(),
        (_, [first, rest @ ..]) => {
            let mut with: Vec<Vec<usize>> = choices(rest, needed - 1);
            for chosen in &mut with {
                chosen.insert(0, *first);
            }
            with.extend(choices(rest, needed));
            with
        }
    }
}

impl Slow {
    /// When the latest sequence began that ends with hit `tip`: of all ways to choose the records of
    /// each step, later steps first, the one whose records are latest.
    fn since(&self, tip: usize, case: &Case) -> Option<i64> {
        let at = self.hits[tip].0;
        let cleared = (0..tip).rev().find(|n| (case.clears)(&self.hits[*n].2)).map_or(0, |n| n + 1);
        let window: Vec<usize> = (cleared..=tip).filter(|n| self.hits[*n].0 > at - case.within).collect();
        self.best(&window, case.steps.len(), at, Some(tip), case)
    }

    fn best(
        &self,
        among: &[usize],
        steps: usize,
        until: i64,
        tip: Option<usize>,
        case: &Case,
    ) -> Option<i64> {
        let Some((is_step, needed)) = steps.checked_sub(1).map(|step| case.steps[step]) else {
            return Some(until);
        };
        let fits = |n: &&usize| self.hits[**n].0 <= until && is_step(&self.hits[**n].2);
        let fitting: Vec<usize> = among.iter().filter(fits).copied().collect();
        let mut ways = choices(&fitting, needed);
        ways.retain(|chosen| tip.is_none_or(|tip| chosen.contains(&tip)));
        let began = |chosen: &Vec<usize>| chosen.iter().map(|n| self.hits[*n].0).min().unwrap();
        // The latest records of this step; of those that are as late, some leave more to the steps before.
        let latest = ways.iter().map(began).max()?;
        ways.into_iter()
            .filter(|chosen| began(chosen) == latest)
            .filter_map(|chosen| {
                let rest: Vec<usize> = among.iter().filter(|n| !chosen.contains(n)).copied().collect();
                self.best(&rest, steps - 1, latest, None, case)
            })
            .max()
    }

    /// The deadlines that stand, each with the record that set it, in the order of those.
    fn deadlines(&self, case: &Case) -> Vec<(i64, [u8; 16])> {
        let last_step = case.steps[case.steps.len() - 1].0;
        let mut found = Vec::new();
        for tip in 0..self.hits.len() {
            let (at, id, login) = &self.hits[tip];
            if (case.clears)(login) || !case.steps.iter().any(|(is_step, _)| is_step(login)) {
                continue;
            }
            let since = if last_step(login) { self.since(tip, case) } else { self.beside(tip, case) };
            let Some(since) = since else { continue };
            let due = since + case.within;
            let parted = (0..self.hits.len()).any(|n| {
                let (when, _, other) = &self.hits[n];
                let cleared = (case.clears)(other) && n > tip;
                let came = !(case.clears)(other) && (case.absence)(other);
                n != tip && (cleared || came) && when >= at && *when <= due
            });
            if !parted {
                found.push((due, *id));
            }
        }
        found
    }

    /// A record of an earlier step may come at the same time as one of the last, and after it.
    fn beside(&self, tip: usize, case: &Case) -> Option<i64> {
        let at = self.hits[tip].0;
        let last_step = case.steps[case.steps.len() - 1].0;
        let cleared = (0..tip).rev().find(|n| (case.clears)(&self.hits[*n].2)).map_or(0, |n| n + 1);
        let of_last = |n: &usize| self.hits[*n].0 == at && last_step(&self.hits[*n].2);
        let window = |end: usize| -> Vec<usize> {
            (cleared..end).filter(|n| self.hits[*n].0 > at - case.within).collect()
        };
        let with = |among: &[usize]| {
            among
                .iter()
                .copied()
                .filter(of_last)
                .filter_map(|last| self.best(among, case.steps.len(), at, Some(last), case))
                .max()
        };
        if with(&window(tip)).is_some() { None } else { with(&window(tip + 1)) }
    }

    fn held(&self, due: i64, case: &Case) -> bool {
        self.alerts.iter().any(|alert| alert.0 <= due && due < alert.0 + case.cooldown)
    }

    /// An alert tells of this time.
    fn told(&self, due: i64, case: &Case) -> bool {
        self.alerts
            .iter()
            .any(|alert| alert.0 - case.within - 1 < due && (due <= alert.0 || due < alert.0 + case.cooldown))
    }
}

struct Model<'c> {
    case: &'c Case,
    groups: BTreeMap<String, Slow>,
    waiting: Vec<Hit>,
    reached: i64,
}

impl<'c> Model<'c> {
    fn new(case: &'c Case) -> Self {
        Self { case, groups: BTreeMap::new(), waiting: Vec::new(), reached: i64::MIN / 2 }
    }

    fn pass(&mut self, to: i64) {
        for group in self.groups.values_mut() {
            let mut dues: Vec<(i64, [u8; 16])> = group.deadlines(self.case);
            dues.retain(|(due, _)| *due > self.reached && *due <= to);
            // Of one instant the last counts.
            dues.sort_by_key(|(due, _)| *due);
            let mut at = 0;
            while at < dues.len() {
                let last = dues.iter().rposition(|(due, _)| *due == dues[at].0).unwrap();
                let (due, tip) = dues[last];
                if !group.held(due, self.case) {
                    group.alerts.push((due, tip, false));
                }
                at = last + 1;
            }
        }
        self.reached = self.reached.max(to);
    }

    fn lines(&self) -> Vec<Line> {
        let line = |(user, slow): (&String, &Slow)| {
            slow.alerts.iter().map(|alert| (alert.0, user.clone(), alert.2)).collect::<Vec<_>>()
        };
        let mut lines: Vec<Line> = self.groups.iter().flat_map(line).collect();
        lines.sort();
        lines
    }
}

impl feed::Model for Model<'_> {
    fn take(&mut self, login: &Login, id: [u8; 16]) {
        let case = self.case;
        let step = case.steps.iter().any(|(is_step, _)| is_step(login));
        if !step && !(case.absence)(login) && !(case.clears)(login) {
            return;
        }
        let hit = (login.at, id, login.clone());
        if login.at > self.reached {
            self.waiting.push(hit);
            return;
        }
        let group = self.groups.entry(login.user.clone()).or_default();
        let place = group.hits.partition_point(|other| (other.0, other.1) < (hit.0, hit.1));
        group.hits.insert(place, hit);
        let passed = group.deadlines(case).into_iter().find(|(due, tip)| {
            let tipped = group.alerts.iter().any(|alert| alert.1 == *tip);
            *due <= self.reached && !tipped && !group.told(*due, case)
        });
        if let Some((due, tip)) = passed {
            group.alerts.push((due, tip, true));
        }
    }

    fn come_to(&mut self, reached: i64) {
        self.waiting.sort_by_key(|hit| (hit.0, hit.1));
        let due = self.waiting.partition_point(|hit| hit.0 <= reached);
        for hit in self.waiting.drain(..due).collect::<Vec<_>>() {
            self.pass(hit.0 - 1);
            self.groups.entry(hit.2.user.clone()).or_default().hits.push(hit);
        }
        self.pass(reached);
    }
}

fn lines_of(run: &Run<'_>) -> Vec<Line> {
    let line = |fired: &larum::alert::Fired| {
        (fired.at.0 - START, fired.group[0].1.clone().unwrap_or_default(), fired.late)
    };
    let mut lines: Vec<Line> = run.told.fired().map(line).collect();
    lines.sort();
    lines
}

fn logins(most: usize) -> impl Strategy<Value = Vec<Login>> {
    let login =
        (0..30_i64, 0..2_u8, 0..3_u8, prop::bool::weighted(0.75), prop::option::weighted(0.8, 1..5_u32));
    prop::collection::vec(login, 0..most).prop_map(|drawn| {
        let made = |(id, (at, user, ip, failure, rtt)): (u32, (i64, u8, u8, bool, Option<u32>))| Login {
            failure,
            rtt: rtt.map(|rtt| rtt * 100),
            ..Login::success(id, at * 10 * SECOND, &format!("user-{user}")).from(&format!("203.0.113.{ip}"))
        };
        (0_u32..).zip(drawn).map(made).collect()
    })
}

fn in_order(case: &Case, logins: &[Login], order: &[usize]) -> Result<usize, TestCaseError> {
    let (world, mut model) = (World::new(&[rule("r", case.body) + LATE_WITHIN]), Model::new(case));
    let told = lines_of(&feed::in_order(&world, &mut model, logins, order, DAY));
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.len())
}

fn late(case: &Case, logins: &[Login], delays: &[i64], every: usize) -> Result<usize, TestCaseError> {
    let (world, mut model) = (World::new(&[rule("r", case.body) + LATE_WITHIN]), Model::new(case));
    let told = lines_of(&feed::late(&world, &mut model, logins, (delays, every), DAY));
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.iter().filter(|line| line.2).count())
}

fn delay() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 0, 0, 20 * SECOND, 65 * SECOND, 110 * SECOND])
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn absences_are_told_as_in_the_slow_model_in_any_order_ahead_of_the_watermark(
        logins in logins(28),
        order in prop::collection::vec(0..1_000_usize, 28),
    ) {
        for case in cases_of_rules() {
            in_order(&case, &logins, &order)?;
        }
    }

    #[test]
    fn late_records_and_restarts_are_as_in_the_slow_model(
        logins in logins(28),
        delays in prop::collection::vec(delay(), 28),
        restart_every in 1..9_usize,
    ) {
        for case in cases_of_rules() {
            late(&case, &logins, &delays, restart_every)?;
        }
    }
}

#[test]
fn random_logins_make_every_rule_fire_in_time_and_late() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let (mut fired, mut late_ones) = ([0; 3], [0; 3]);
    let strategy = (logins(28), prop::collection::vec(delay(), 28));
    for _ in 0..60 {
        let (logins, delays) = strategy.new_tree(&mut runner).unwrap().current();
        for (number, case) in cases_of_rules().iter().enumerate() {
            fired[number] += in_order(case, &logins, &[0; 28]).unwrap();
            late_ones[number] += late(case, &logins, &delays, 7).unwrap();
        }
    }
    assert!(fired.iter().all(|count| *count >= 20), "{fired:?}");
    assert!(late_ones.iter().all(|count| *count >= 3), "{late_ones:?}");
}
