//! `usual` against a model that keeps every record, and what it tells and does not learn.

use larum::engine::{Decision, Scratch, Step};
use larum::record::RuleId;
use larum::rule::verb::usual::{MAX_SAMPLES, MAX_WEEKS, SAMPLES_A_DAY};
use larum::rule::verb::{Learning, Reason};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::slow::{Holds, SlowRule, Window};
use super::super::world::{DAY, HOUR, MINUTE, SECOND, SOURCE, START, World, cases, rule, time};
use super::{All, Case, Seen, Visit, by_user, fired};

fn slow(holds: Holds<Seen>, cooldown: i64, grave: bool) -> SlowRule<Seen> {
    SlowRule {
        window: Window::All,
        holds,
        cooldown,
        cooldown_given: false,
        restart: false,
        grave,
        recovered: None,
        same: |_, _| false,
    }
}

fn lower_median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    (!values.is_empty()).then(|| values[(values.len() - 1) / 2])
}

/// The value against the samples of the days before, learnt for so many days and from so many samples.
fn value(far: fn(u64, u64) -> bool, days: i64, needed: usize) -> Holds<Seen> {
    Box::new(move |hits| {
        let (hit, before) = hits.split_last().unwrap();
        let rtt = |seen: &Seen| u64::from(seen.visit.rtt.unwrap());
        let mut kept: Vec<(i64, u64)> = Vec::new();
        for other in before.iter().filter(|other| !other.left_out) {
            let day = (START + other.visit.at).div_euclid(DAY);
            if kept.iter().filter(|(of, _)| *of == day).count() < SAMPLES_A_DAY {
                kept.push((day, rtt(other)));
            }
        }
        let kept: Vec<u64> = kept.iter().rev().take(MAX_SAMPLES).map(|(_, value)| *value).collect();
        let learnt = hit.visit.at >= hits[0].visit.at + days * DAY && kept.len() >= needed;
        (learnt && far(rtt(hit), lower_median(kept)?)).then_some(1)
    })
}

/// How many hits there are in the hour against the same hour of the weeks before.
fn rate(times: u64, and_by: u64, needed: usize) -> Holds<Seen> {
    Box::new(move |hits| {
        let hit = hits.last().unwrap();
        let hour = |seen: &Seen| (START + seen.visit.at).div_euclid(HOUR);
        let of = |wanted: i64| hits.iter().filter(move |other| hour(other) == wanted);
        let mut weeks = Vec::new();
        for week in 1..=MAX_WEEKS {
            let then = hour(hit) - week * 168;
            if then > hour(&hits[0]) && !of(then).any(|other| other.left_out) {
                weeks.push(of(then).count() as u64);
            }
        }
        let days = i64::try_from(needed).unwrap() * 7;
        let learnt = hit.visit.at >= hits[0].visit.at + days * DAY && weeks.len() >= needed;
        let (count, usual) = (of(hour(hit)).count() as u64, lower_median(weeks)?.max(1));
        (learnt && count > times * usual && count > usual + and_by).then_some(count)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a key of a case, as the others are")]
fn everyone(_: &Visit) -> Option<String> {
    Some(String::new())
}

fn has_rtt(visit: &Visit) -> bool {
    visit.rtt.is_some()
}

const HIGH: &str = "levels: [{level: high, when: {outcome: success}}]";

fn values() -> Vec<Case> {
    let case = |body, rule| Case { body, key: by_user as fn(&Visit) -> _, is_hit: has_rtt, rule };
    vec![
        case(
            "match: {outcome: success}\nusual: {field: network_rtt, by: [user_name], missing: own, above: {times: 2, and_by: 80}, learn: {days: 1, samples: 3}}\n",
            |_: All| slow(value(|value, usual| value > 2 * usual && value > usual + 80, 1, 3), DAY, false),
        ),
        case(
            "match: {outcome: success}\nusual: {field: network_rtt, by: [user_name], missing: own, above: {times: 1.5}, learn: {days: 1, samples: 1}}\ncooldown: 2h\nlevels: [{level: high, when: {outcome: success}}]\n",
            |_: All| slow(value(|value, usual| 2 * value > 3 * usual, 1, 1), 2 * HOUR, true),
        ),
        case(
            "match: {outcome: success}\nusual: {field: network_rtt, by: [user_name], missing: own, below: {times: 2, and_by: 30}, learn: {days: 2, samples: 5}}\ncooldown: off\n",
            |_: All| slow(value(|value, usual| 2 * value < usual && value + 30 < usual, 2, 5), 0, false),
        ),
    ]
}

fn rates() -> Vec<Case> {
    vec![
        Case {
            body: "match: {outcome: success}\nusual: {rate_per: 1h, by: [], above: {times: 2}, learn: {days: 7}}\n",
            key: everyone,
            is_hit: |_| true,
            rule: |_: All| slow(rate(2, 0, 1), HOUR, false),
        },
        Case {
            body: "match: {outcome: success}\nusual: {rate_per: 1h, by: [user_name], missing: own, above: {times: 1.01, and_by: 1}, learn: {days: 14}}\ncooldown: 10m\nlevels: [{level: high, when: {outcome: success}}]\n",
            key: by_user,
            is_hit: |_| true,
            rule: |_: All| slow(rate(1, 1, 2), 10 * MINUTE, true),
        },
    ]
}

/// Day, time of the day, user, round trip.
type Drawn = ((i64, i64), Option<u8>, Option<u32>);

/// Visits of some days of ten seconds' grid; `days` are those, and a day has `clumps` of hours.
fn visits(most: usize, days: &'static [i64]) -> impl Strategy<Value = Vec<Visit>> {
    let rtts = prop::sample::select(vec![0, 20, 40, 50, 60, 100, 140, 180, 300, 400]);
    let visit = (
        (prop::sample::select(days), prop::sample::select(vec![0, 1, 10, 355, 358, 359, 360, 362, 363, 700])),
        prop::option::weighted(0.9, 0..2_u8),
        prop::option::weighted(0.9, rtts),
    );
    prop::collection::vec(visit, 0..most).prop_map(|drawn| {
        let made = |(id, ((day, tens), user, rtt)): (usize, Drawn)| Visit {
            user: user.map(|user| format!("user-{user}")),
            // A round trip of nothing is none.
            rtt: rtt.filter(|rtt| *rtt > 0),
            ..Visit::new(id, day * DAY + tens * 10 * SECOND, "")
        };
        drawn.into_iter().enumerate().map(made).collect()
    })
}

const DAYS: &[i64] = &[0, 1, 2, 3];
const WEEKS: &[i64] = &[0, 7, 14, 21];

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn far_from_usual_is_as_in_the_slow_model(
        (near, weekly) in (visits(80, DAYS), visits(80, WEEKS)),
        order in prop::collection::vec(any::<Index>(), 80),
    ) {
        for case in values() {
            case.holds_in_order(&near, &order)?;
        }
        for case in rates() {
            case.holds_in_order(&weekly, &order)?;
        }
    }

    #[test]
    fn late_records_and_restarts_are_as_in_the_slow_model(
        (near, weekly) in (visits(60, DAYS), visits(60, WEEKS)),
        delays in prop::collection::vec(prop::option::weighted(0.3, (0..48_i64).prop_map(|delay| delay * 10 * SECOND)), 60),
        restart_every in 1..9_usize,
    ) {
        for case in values() {
            case.holds_late(&near, &delays, restart_every)?;
        }
        for case in rates() {
            case.holds_late(&weekly, &delays, restart_every)?;
        }
    }
}

#[test]
fn random_visits_make_every_case_fire_in_time_and_late() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let mut drawn = |days| visits(80, days).new_tree(&mut runner).unwrap().current();
    let delays: Vec<Option<i64>> = (0..80).map(|n| (n % 3 == 0).then_some(120 * SECOND)).collect();
    for (all, days) in [(values(), DAYS), (rates(), WEEKS)] {
        for case in all {
            let (mut fired, mut late) = (0, 0);
            for _ in 0..20 {
                let visits = drawn(days);
                fired += super::fired(case.body, &visits).len();
                late += case.holds_late(&visits, &delays, 5).unwrap();
            }
            assert!(fired >= 10, "{} fired {fired} times", case.body);
            assert!(late >= 1, "{} never fired late", case.body);
        }
    }
}

/// Sign-ins of ana with these round trips, one at each of these hours.
fn round_trips(lines: impl IntoIterator<Item = (i64, u32)>) -> Vec<Visit> {
    let made = |(id, (hour, rtt)): (usize, (i64, u32))| Visit {
        rtt: Some(rtt),
        ..Visit::new(id, hour * HOUR, "ana")
    };
    lines.into_iter().enumerate().map(made).collect()
}

const SLOW: &str = "match: {network_rtt|exists: true}\nusual: {field: network_rtt, by: [user], above: {times: 3, and_by: 80}, learn: {days: 14, samples: 20}}\n";

fn quiet_days(days: i64) -> impl Iterator<Item = (i64, u32)> {
    (0..2 * days).zip([40, 50, 60, 50].into_iter().cycle()).map(|(half, rtt)| (half * 12, rtt))
}

#[test]
fn an_alert_says_what_was_usual() {
    let visits = round_trips(quiet_days(14).chain([(14 * 24, 151)]));
    assert_eq!(
        fired(SLOW, &visits),
        [
            r#"1209600000 {"value":151,"usual":50,"mad":0,"times":3,"samples":28,"since":"2026-01-05T09:00:00.000Z"}"#
        ]
    );
}

#[test]
fn the_bounds_are_strict_and_both_must_hold() {
    let hours = |rtt| {
        let visits = round_trips(quiet_days(14).chain([(14 * 24, rtt)]));
        fired(SLOW, &visits).len()
    };
    // Three times 50 is 150, and 80 more is 130.
    assert_eq!([hours(130), hours(131), hours(150), hours(151)], [0, 0, 0, 1]);
}

#[test]
fn a_group_is_silent_until_its_days_and_its_samples_are_enough() {
    // A millisecond before fourteen days, and at them.
    let at = |at: i64| {
        let mut visits = round_trips(quiet_days(14));
        visits.push(Visit { rtt: Some(900), ..Visit::new(99, at, "ana") });
        fired(SLOW, &visits).len()
    };
    assert_eq!((at(14 * DAY - 1), at(14 * DAY)), (0, 1));
    // Nineteen samples, and twenty.
    let of = |samples: i64| {
        let days = (0..samples).map(|day| (day * 24, 50));
        fired(SLOW, &round_trips(days.chain([(samples * 24, 900)]))).len()
    };
    assert_eq!((of(19), of(20)), (0, 1));
}

#[test]
fn a_busy_day_teaches_no_more_than_a_quiet_one() {
    // Fourteen days of two samples each; a day of forty slow ones gives eight of them.
    let busy = (0..40).map(|n| (14 * 24 + n / 4, 120));
    let visits = round_trips(quiet_days(14).chain(busy).chain([(15 * 24 + 12, 151)]));
    assert_eq!(fired(SLOW, &visits).len(), 1);
}

#[test]
fn whoever_is_told_of_at_a_high_level_does_not_become_usual() {
    let days = |more: &str| {
        // Twice a day for a month, and then two months of three times a day.
        let slow = (0..180).map(|n| (30 * 24 + n * 8, 400));
        let visits = round_trips(quiet_days(30).chain(slow));
        fired(&format!("{SLOW}{more}"), &visits).len()
    };
    // The sixtieth day of slowness is as unusual as the first: each is told of, once a day.
    assert_eq!(days(&format!("{HIGH}\n")), 60);
    // Where nobody is alarmed, it is usual before long.
    assert_eq!(days(""), 21);
}

/// So many sign-ins at one instant.
fn crowd(visits: &mut Vec<Visit>, at: i64, count: usize) {
    for _ in 0..count {
        visits.push(Visit::new(visits.len(), at, "ana"));
    }
}

const CROWD: &str =
    "match: {outcome: success}\nusual: {rate_per: 1h, by: [], above: {times: 5}, learn: {days: 14}}\n";

#[test]
fn a_rate_fires_when_it_is_more_than_so_many_times_that_of_the_same_hour() {
    // The first hour of all is not whole: three weeks later there were two.
    let mut visits = Vec::new();
    for week in 0..3 {
        crowd(&mut visits, week * 7 * DAY, 2);
        crowd(&mut visits, week * 7 * DAY + HOUR, 30);
    }
    crowd(&mut visits, 21 * DAY, 10);
    assert_eq!(fired(CROWD, &visits), [] as [&str; 0], "five times two are not more than five times two");
    crowd(&mut visits, 21 * DAY + HOUR - 1, 1);
    assert_eq!(
        fired(CROWD, &visits),
        [
            r#"1817999999 {"value":11,"usual":2,"mad":0,"times":5.5,"samples":2,"since":"2026-01-12T09:00:00.000Z","stretch":"Mon 09:00-10:00 UTC"}"#
        ]
    );
}

#[test]
fn a_rate_of_one_against_none_is_not_five_times() {
    let mut visits = Vec::new();
    crowd(&mut visits, 0, 1);
    crowd(&mut visits, 15 * DAY + 5 * HOUR, 5);
    assert_eq!(fired(CROWD, &visits).len(), 0, "none is taken for one");
    crowd(&mut visits, 15 * DAY + 5 * HOUR, 1);
    assert_eq!(fired(CROWD, &visits).len(), 1);
}

#[test]
fn an_hour_of_a_high_alert_is_not_learnt_from() {
    let told = |more: &str| {
        let mut visits = Vec::new();
        for week in 0..3 {
            crowd(&mut visits, week * 7 * DAY, 2);
        }
        for week in 3..8 {
            crowd(&mut visits, week * 7 * DAY, 50);
        }
        fired(&format!("{CROWD}{more}"), &visits).len()
    };
    assert_eq!(told(&format!("{HIGH}\n")), 5);
    // Of 2, 2, 50, 50 the lower one in the middle is 2 still; of five it is 50.
    assert_eq!(told(""), 3);
}

#[test]
fn a_level_that_is_raised_meanwhile_sets_aside_what_comes_from_then_on() {
    let body = "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user], same_net: off}\ncooldown: 1h\nlevels: [{level: high, when: {network_rtt|gt: 100}}]\n";
    let visit = |id: usize, minute: i64, ip: &str, rtt: u32| Visit {
        ip: Some(ip.to_owned()),
        rtt: Some(rtt),
        ..Visit::new(id, minute * MINUTE, "ana")
    };
    let visits = [
        visit(0, 0, "192.0.2.1", 10),
        visit(1, 1, "192.0.2.2", 10),  // new, and medium: learnt
        visit(2, 2, "192.0.2.3", 10),  // a repeat, learnt
        visit(3, 3, "192.0.2.4", 900), // raises the alert to high: not learnt
        visit(4, 4, "192.0.2.5", 10),  // a repeat of what is high by now
        visit(5, 70, "192.0.2.2", 10),
        visit(6, 71, "192.0.2.3", 10),
        visit(7, 72, "192.0.2.4", 10),  // new still
        visit(8, 140, "192.0.2.5", 10), // new still
        visit(9, 210, "192.0.2.4", 10), // learnt from the medium alert at 72
    ];
    let minutes: Vec<i64> = fired(body, &visits)
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse::<i64>().unwrap() / MINUTE)
        .collect();
    assert_eq!(minutes, [1, 72, 140]);
}

#[test]
fn explain_says_that_a_group_is_learning_and_what_is_usual() {
    let world = World::new(&[rule("r", SLOW)]);
    let mut run = world.run();
    assert!(run.engine.watch(&"r".parse::<RuleId>().unwrap()));
    let visits = round_trips(
        [(0, 50)]
            .into_iter()
            .chain((1..20).map(|day| (day * 24, 50)))
            .chain([(19 * 24 + 1, 900), (21 * 24, 100)]),
    );
    let lines: Vec<String> = visits.iter().map(Visit::line).collect();
    let batch = world.batch(&lines);
    let fresh = run.engine.take_in(&batch);
    let hits = run.engine.scan(&batch, &fresh, &mut Scratch::default());
    run.engine.advance(&batch, hits);
    let outcome = run.engine.finish(SOURCE, time(100 * DAY));
    let reasons: Vec<Reason> = outcome
        .traced
        .into_iter()
        .filter_map(|traced| match traced.step {
            Step::Decided(Decision::Short(reason)) => Some(reason),
            Step::Decided(_)
            | Step::GroupFieldMissing
            | Step::ValueMissing
            | Step::Excepted(_)
            | Step::TooLate
            | Step::Evicted
            | Step::Answered(_)
            | Step::Heard(_) => None,
        })
        .collect();
    assert!(matches!(reasons[0], Reason::Learning(Learning::Until(_))), "{:?}", reasons[0]);
    assert_eq!(reasons[19], Reason::Learning(Learning::Samples(19, 20)));
    let whole = larum::record::Number::whole;
    let fires = larum::rule::spec::Limit::Above(whole(150));
    assert_eq!(reasons[20], Reason::Usual { value: whole(100), usual: whole(50), samples: 21, fires });
}

#[test]
fn explain_puts_it_in_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/r.yaml"), rule("r", SLOW)).unwrap();
    let visits = round_trips((0..20).map(|day| (day * 24, 50)).chain([(21 * 24, 100), (21 * 24 + 1, 50)]));
    let lines: Vec<String> = visits.iter().map(Visit::line).collect();
    std::fs::write(folder.path().join("logins.ndjson"), lines.join("\n")).unwrap();
    for (at, words) in [
        ("2026-01-06T09:00:00Z", "learning  the group learns until 2026-01-19T09:00:00.000Z"),
        ("2026-01-24T09:00:00Z", "learning  the group has learnt 19/20 samples"),
        (
            "2026-01-26T09:00:00Z",
            "below_threshold  100 where 50 is usual, the median of 20; more than 150 fires",
        ),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
        command.current_dir(folder.path());
        let done = command
            .args(["explain", "r", "--group", "user=ana", "--at", at, "logins.ndjson"])
            .output()
            .unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        assert!(told.contains(words), "{told}{}", String::from_utf8(done.stderr).unwrap());
    }
}
