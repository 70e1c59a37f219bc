//! `absent` against a model that keeps every hit for ever, with hours and a list, and its edges.

use std::collections::BTreeMap;

use larum::alert::{Draft, State};
use larum::engine::Limits;
use larum::record::Timestamp;
use larum::rule::hours::{Hours, WeekSpan};
use larum::rule::lists::{List, Lists};
use proptest::prelude::*;

use super::feed;
use crate::world::{DAY, HOUR, Login, MINUTE, Run, START, World, cases, rule, time};

const LATE_WITHIN: i64 = HOUR;

/// A rule as its file says it and as the model knows it.
struct Case {
    body: &'static str,
    lasts: i64,
    /// Minutes of the day that count, every day.
    counts: fn(i64) -> bool,
    cooldown: i64,
    listed: &'static [&'static str],
}

fn cases_of_rules() -> [Case; 4] {
    [
        Case {
            body: "match: {outcome: success}\nabsent: {for: 30m, by: [user]}\n",
            lasts: 30,
            counts: |_| true,
            cooldown: 0,
            listed: &[],
        },
        Case {
            body: "match: {outcome: success}\nabsent: {for: 30m, by: [user]}\ncooldown: 2h\n",
            lasts: 30,
            counts: |_| true,
            cooldown: 120,
            listed: &[],
        },
        Case {
            body: "match: {outcome: success}\nabsent: {for: 90m, by: [user]}\nhours: {zone: UTC, inside: [\"08:00-12:00\", \"13:00-13:45\"]}\n",
            lasts: 90,
            counts: |minute| (480..720).contains(&minute) || (780..825).contains(&minute),
            cooldown: 0,
            listed: &[],
        },
        Case {
            body: "match: {outcome: success}\nabsent: {for: 30m, by: [user], from: staff}\n",
            lasts: 30,
            counts: |_| true,
            cooldown: 0,
            listed: &["User-0", "user-7"],
        },
    ]
}

/// The clock of the tests starts at nine.
fn minute_of_day(minute: i64) -> i64 {
    (minute + 9 * 60).rem_euclid(24 * 60)
}

impl Case {
    fn world(&self) -> World {
        let values: Vec<(String, Option<Timestamp>)> =
            self.listed.iter().map(|value| ((*value).to_owned(), None)).collect();
        let lists = Lists::default().with([("staff".to_owned(), List::of(&values))]);
        World::among(&[rule("r", self.body)], Limits::default(), lists)
    }

    fn is_hit(&self, login: &Login) -> bool {
        !login.failure && (self.counts)(minute_of_day(login.at / MINUTE))
    }

    /// Minute by minute.
    fn due(&self, last: i64) -> i64 {
        let (mut minute, mut left) = (last / MINUTE, self.lasts);
        while left > 0 {
            left -= i64::from((self.counts)(minute_of_day(minute)));
            minute += 1;
        }
        minute * MINUTE
    }
}

/// An alert: time, group, late, when it was resolved.
type Line = (i64, String, bool, Option<i64>);

#[derive(Debug, Clone, Default)]
struct Slow {
    hits: Vec<i64>,
    /// Since when it is watched without a hit.
    since: Option<i64>,
    alerts: Vec<Line>,
}

impl Slow {
    fn last(&self) -> Option<i64> {
        self.hits.last().copied().or(self.since)
    }

    /// When the lack of a hit will be told.
    fn next(&self, case: &Case) -> Option<i64> {
        let last = self.last()?;
        if self.alerts.iter().any(|alert| alert.0 >= last && alert.3.is_none()) {
            return None;
        }
        Some(self.held_until(case.due(last), case))
    }

    fn held_until(&self, due: i64, case: &Case) -> i64 {
        let until = |alert: &Line| alert.0 + case.cooldown * MINUTE;
        self.alerts
            .iter()
            .filter(|alert| alert.0 <= due && due < until(alert))
            .map(until)
            .max()
            .unwrap_or(due)
    }

    fn fire(&mut self, at: i64, group: &str, late: bool) {
        self.alerts.push((at, group.to_owned(), late, None));
        self.alerts.sort();
    }

    fn resolve(&mut self, at: i64) {
        if let Some(open) = self.alerts.iter_mut().rev().find(|alert| alert.3.is_none()) {
            open.3 = Some(at.max(open.0));
        }
    }

    fn late(&mut self, at: i64, group: &str, reached: i64, case: &Case) {
        let first = self.hits.first().copied();
        let newer = self.hits.last().is_some_and(|last| *last >= at);
        self.since = None;
        self.hits.push(at);
        self.hits.sort_unstable();
        let due = case.due(at);
        let held = self.held_until(due, case) != due;
        if newer {
            // What is between known hits was told when it was silent; before the first nothing was known.
            let before = first.filter(|first| at < *first && due < *first);
            if let Some(first) = before.filter(|_| due <= reached && !held) {
                self.alerts.push((due, group.to_owned(), true, Some(first)));
                self.alerts.sort();
            }
            return;
        }
        if let Some(open) = self.alerts.iter().rev().find(|alert| alert.3.is_none()) {
            if due <= reached && open.0 >= at {
                return;
            }
            self.resolve(at);
        }
        if due <= reached && self.held_until(due, case) == due {
            self.fire(due, group, true);
        }
    }
}

struct Model<'c> {
    case: &'c Case,
    groups: BTreeMap<String, Slow>,
    waiting: Vec<(i64, [u8; 16], String)>,
    reached: i64,
    begun: bool,
}

impl<'c> Model<'c> {
    fn new(case: &'c Case) -> Self {
        Self { case, groups: BTreeMap::new(), waiting: Vec::new(), reached: i64::MIN / 2, begun: false }
    }

    fn pass(&mut self, to: i64) {
        for (key, group) in &mut self.groups {
            while let Some(due) = group.next(self.case).filter(|due| *due <= to) {
                group.fire(due, key, false);
            }
        }
        self.reached = self.reached.max(to);
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.groups.values().flat_map(|group| group.alerts.clone()).collect();
        lines.sort();
        lines
    }
}

impl feed::Model for Model<'_> {
    fn take(&mut self, login: &Login, id: [u8; 16]) {
        if !self.case.is_hit(login) {
            return;
        }
        if login.at > self.reached {
            self.waiting.push((login.at, id, login.user.clone()));
        } else if login.at > self.reached - LATE_WITHIN {
            let group = self.groups.entry(login.user.clone()).or_default();
            group.late(login.at, &login.user, self.reached, self.case);
        }
    }

    fn come_to(&mut self, reached: i64) {
        self.waiting.sort();
        let due = self.waiting.partition_point(|hit| hit.0 <= reached);
        for (at, _, user) in self.waiting.drain(..due).collect::<Vec<_>>() {
            self.pass(at - 1);
            if !std::mem::replace(&mut self.begun, true) {
                for listed in self.case.listed {
                    let group = self.groups.entry(listed.to_lowercase()).or_default();
                    group.since = group.last().is_none().then_some(at);
                }
            }
            let group = self.groups.entry(user).or_default();
            group.resolve(at);
            group.hits.push(at);
            group.since = None;
        }
        self.pass(reached);
    }
}

fn lines_of(run: &Run<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for fired in run.told.fired() {
        let resolved = run.told.drafts.iter().find_map(|draft| match draft {
            Draft::Changed(change) if change.id == fired.id && change.state == State::Resolved => {
                Some(change.at.0 - START)
            }
            Draft::Changed(_) | Draft::Fired(_) => None,
        });
        let user = fired.group[0].1.clone().unwrap_or_default();
        lines.push((fired.at.0 - START, user, fired.late, resolved));
    }
    lines.sort();
    lines
}

/// Two users who come and go over some hours, on a grid of five minutes.
fn logins(most: usize) -> impl Strategy<Value = Vec<Login>> {
    let login = (0..100_i64, 0..2_u8, prop::bool::weighted(0.15));
    prop::collection::vec(login, 0..most).prop_map(|drawn| {
        let made = |(id, (at, user, failure)): (u32, (i64, u8, bool))| Login {
            failure,
            ..Login::success(id, at * 5 * MINUTE, &format!("user-{user}"))
        };
        (0_u32..).zip(drawn).map(made).collect()
    })
}

fn in_order(case: &Case, logins: &[Login], order: &[usize]) -> Result<usize, TestCaseError> {
    let (world, mut model) = (case.world(), Model::new(case));
    let told = lines_of(&feed::in_order(&world, &mut model, logins, order, 100 * DAY));
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.len())
}

fn late(case: &Case, logins: &[Login], delays: &[i64], every: usize) -> Result<usize, TestCaseError> {
    let (world, mut model) = (case.world(), Model::new(case));
    let told = lines_of(&feed::late(&world, &mut model, logins, (delays, every), 100 * DAY));
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.iter().filter(|line| line.2).count())
}

fn delay() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 0, 0, 10 * MINUTE, 40 * MINUTE, 55 * MINUTE, 2 * HOUR])
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn silence_is_told_as_in_the_slow_model_in_any_order_ahead_of_the_watermark(
        logins in logins(30),
        order in prop::collection::vec(0..1_000_usize, 30),
    ) {
        for case in cases_of_rules() {
            in_order(&case, &logins, &order)?;
        }
    }

    #[test]
    fn late_hits_and_restarts_are_as_in_the_slow_model(
        logins in logins(30),
        delays in prop::collection::vec(delay(), 30),
        restart_every in 1..9_usize,
    ) {
        for case in cases_of_rules() {
            late(&case, &logins, &delays, restart_every)?;
        }
    }

    #[test]
    fn time_within_hours_passes_as_if_counted_minute_by_minute(
        from in 0..(400 * 24 * 60_i64),
        lasts in 1..4_000_i64,
        zone in prop::sample::select(vec!["UTC", "Europe/Oslo", "Asia/Shanghai", "Australia/Lord_Howe", "America/New_York"]),
        spans in prop::sample::select(vec![
            vec!["Mon-Fri 08:00-19:00"], vec!["Sat 22:00-04:00", "Sun 01:30-03:10"], vec!["00:00-24:00"], vec!["02:00-02:30"],
        ]),
        inside in any::<bool>(),
    ) {
        let spans = spans.into_iter().map(|span| WeekSpan::parse(span).unwrap()).collect();
        let hours = Hours { zone: zone.parse().unwrap(), inside, spans };
        let (mut at, mut left) = (time(from * MINUTE), lasts);
        let mut steps = 0;
        while left > 0 && steps < 60 * 24 * 60 {
            left -= i64::from(hours.accept(at));
            at = at + larum::record::Millis(MINUTE);
            steps += 1;
        }
        if left == 0 {
            let counted = hours.after(time(from * MINUTE), larum::record::Millis(lasts * MINUTE));
            prop_assert_eq!(counted, Some(at));
        }
    }
}

#[test]
fn random_logins_make_every_rule_fire_in_time_and_late() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let (mut fired, mut late_ones) = ([0; 4], [0; 4]);
    let strategy = (logins(30), prop::collection::vec(delay(), 30));
    for _ in 0..60 {
        let (logins, delays) = strategy.new_tree(&mut runner).unwrap().current();
        for (number, case) in cases_of_rules().iter().enumerate() {
            fired[number] += in_order(case, &logins, &[0; 30]).unwrap();
            late_ones[number] += late(case, &logins, &delays, 7).unwrap();
        }
    }
    assert!(fired.iter().all(|count| *count >= 20), "{fired:?}");
    assert!(late_ones[0] >= 3 && late_ones[3] >= 3, "{late_ones:?}");
}

#[test]
fn time_that_never_passes_is_never_told() {
    // Every hour of the week is left out.
    let spans = vec![WeekSpan::parse("00:00-24:00").unwrap()];
    let never = Hours { zone: chrono_tz::Tz::UTC, inside: false, spans };
    assert_eq!(never.after(time(0), larum::record::Millis(1)), None);
}

/// When groups are told of, `user minute` each.
fn told(world: &World, logins: &[Login]) -> Vec<String> {
    let told = world.told(logins);
    let line = |fired: &larum::alert::Fired| {
        format!("{} {}", fired.group[0].1.clone().unwrap_or_default(), (fired.at.0 - START) / MINUTE)
    };
    let mut lines: Vec<String> = told.fired().map(line).collect();
    lines.sort();
    lines
}

fn with_list(body: &str, values: &[(&str, Option<i64>)]) -> World {
    let values: Vec<(String, Option<Timestamp>)> =
        values.iter().map(|(value, until)| ((*value).to_owned(), until.map(time))).collect();
    World::among(
        &[rule("r", body)],
        Limits::default(),
        Lists::default().with([("staff".to_owned(), List::of(&values))]),
    )
}

const FROM: &str = "match: {outcome: success}\nabsent: {for: 30m, by: [user], from: staff}\n";

#[test]
fn a_listed_group_without_a_hit_is_watched_from_the_first_hit_of_the_rule() {
    let world = with_list(FROM, &[("Ben", None), ("ANA", None)]);
    assert!(told(&world, &[]).is_empty(), "nobody knows that records come at all");
    assert_eq!(told(&world, &[Login::success(1, 10 * MINUTE, "ana")]), ["ana 40", "ben 40"]);
    // It is told once, and again only after a hit.
    let logins = [Login::success(1, 0, "ana"), Login::success(2, 5 * HOUR, "ben")];
    assert_eq!(told(&world, &logins), ["ana 30", "ben 30", "ben 330"]);
}

#[test]
fn a_listed_value_that_ends_is_watched_until_then() {
    let world = with_list(FROM, &[("ben", Some(30 * MINUTE)), ("cat", Some(30 * MINUTE + 1))]);
    assert_eq!(told(&world, &[Login::success(1, 0, "ana")]), ["ana 30", "cat 30"]);
}

#[test]
fn a_listed_group_is_not_retired() {
    let body = FROM.replace("from: staff", "from: staff, retire: 1h");
    let world = with_list(&body, &[("ana", None)]);
    let mut run = world.run();
    run.take(&[Login::success(1, 0, "ana"), Login::success(2, 0, "ben")]);
    run.progress(10 * DAY);
    assert_eq!(run.engine.groups(&"r".parse().unwrap()), 1);
    assert_eq!(run.told.times(), [30 * MINUTE, 30 * MINUTE]);
}

#[test]
fn a_changed_list_is_read_at_the_next_hit() {
    use larum::engine::{Engine, Scratch, SourceId};
    let list = |values: &str| larum::rule::lists::ListText::new("staff", "staff.txt", values);
    let generation = |values: &str| {
        let text = larum::engine::GenerationText {
            rules: vec![larum::engine::RuleText { file: "r.yaml".to_owned(), text: rule("r", FROM) }],
            lists: vec![list(values)],
            ..Default::default()
        };
        let compiled = text.compile();
        assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        compiled.generation
    };
    let (old, new) = (generation("ben\ncat\n"), generation("cat\ndan\n"));
    let world = with_list(FROM, &[]);
    let mut engine = Engine::new(old, "acme");
    let mut told = Vec::new();
    let mut feed = |engine: &mut Engine, login: Login, to: i64| {
        let batch = world.batch(&[login.line()]);
        let fresh = engine.take_in(&batch);
        let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
        let mut drafts = engine.advance(&batch, hits).drafts;
        drafts.extend(engine.progress(SourceId(0), time(to), time(to)).drafts);
        for draft in drafts {
            if let Draft::Fired(fired) = draft {
                told.push(format!(
                    "{} {}",
                    fired.group[0].1.clone().unwrap_or_default(),
                    (fired.at.0 - START) / MINUTE
                ));
            }
        }
    };
    feed(&mut engine, Login::success(1, 0, "ana"), 20 * MINUTE);
    engine.succeed(new);
    // Ben is no group any more; Dan is one from the next hit on.
    feed(&mut engine, Login::success(2, 25 * MINUTE, "ana"), 10 * HOUR);
    told.sort();
    assert_eq!(told, ["ana 55", "cat 30", "dan 55"]);
}

#[test]
fn a_night_does_not_count() {
    let body = "match: {outcome: success}\nabsent: {for: 2h, by: [user]}\nhours: {zone: Asia/Shanghai, inside: \"Mon-Fri 09:00-18:00\"}\n";
    let world = World::new(&[rule("r", body)]);
    // 2026-01-05T09:00Z is Monday 17:00 in Shanghai: an hour is left of the day, the second one is Tuesday's.
    assert_eq!(told(&world, &[Login::success(1, 0, "ana")]), [format!("ana {}", 17 * 60)]);
    // Friday, 17:30: the rest is Monday's.
    let friday = 4 * DAY + 30 * MINUTE;
    let monday = 7 * DAY - 8 * HOUR + 90 * MINUTE;
    assert_eq!(told(&world, &[Login::success(1, friday, "ana")]), [format!("ana {}", monday / MINUTE)]);
    // At night nobody is a hit.
    assert!(told(&world, &[Login::success(1, 5 * HOUR, "ana")]).is_empty());
}
