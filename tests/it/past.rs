//! `new`, `known` and `unseen_for`: what a rule may ask of a value's past.

use std::collections::BTreeMap;

use larum::engine::{Engine, Limits, Note};
use larum::record::Level;
use proptest::prelude::*;
use proptest::sample::Index;

use super::models::logins;
use super::world::{DAY, HOUR, Login, MINUTE, Run, SECOND, START, World, cases, rule, time};

/// When a rule that fires for each login that meets `asked` fires on `logins`.
fn fires(asked: &str, logins: &[Login]) -> Vec<i64> {
    let body = format!("match: {{outcome: [success, failure], {asked}}}\n");
    World::new(&[rule("r", &body)]).told(logins).times()
}

fn at(id: u32, at: i64) -> Login {
    Login::success(id, at, "ana")
}

#[test]
fn a_value_is_new_until_a_success_has_shown_it() {
    let logins = [at(0, 0), at(1, 1), at(2, 2).from("203.0.113.2"), Login::success(3, 3, "bob")];
    assert_eq!(fires("public_ip|new: true", &logins), [0, 2, 3], "each user by himself");
    assert_eq!(fires("public_ip|new: false", &logins), [1]);
}

#[test]
fn a_value_is_known_a_day_after_its_first_success() {
    let logins = [at(0, 0), at(1, DAY - 1), at(2, DAY), at(3, 9 * DAY)];
    assert_eq!(fires("public_ip|known: true", &logins), [DAY, 9 * DAY]);
    assert_eq!(fires("public_ip|known: false", &logins), [0, DAY - 1]);
}

#[test]
fn a_value_is_unseen_when_its_last_success_is_longer_ago() {
    let logins = [at(0, 0), at(1, 45 * DAY), at(2, 90 * DAY + 1)];
    assert_eq!(fires("user|unseen_for: 45d", &logins), [90 * DAY + 1], "one who was never there is not");
}

#[test]
fn failures_teach_nothing() {
    let logins = [Login::failure(0, 0, "ana"), Login::failure(1, DAY, "ana"), at(2, 2 * DAY), at(3, 3 * DAY)];
    assert_eq!(fires("public_ip|new: true", &logins), [0, DAY, 2 * DAY]);
    assert_eq!(fires("public_ip|known: true", &logins), [3 * DAY]);
}

#[test]
fn the_state_before_the_record_counts_even_at_one_instant() {
    let both = [at(0, 0), at(1, 0)];
    assert_eq!(fires("public_ip|new: true", &both), [0], "the one of the lesser id");
    assert_eq!(fires("public_ip|new: false", &both), [0]);
}

#[test]
fn a_value_that_is_missing_has_no_past() {
    let nowhere = Login { ip: None, ..at(0, 0) };
    assert_eq!(fires("public_ip|new: true", std::slice::from_ref(&nowhere)), [0; 0]);
    assert_eq!(fires("public_ip|known: true", std::slice::from_ref(&nowhere)), [0; 0]);
    assert_eq!(fires("public_ip|known: false", &[nowhere]), [0]);
}

#[test]
fn the_past_is_that_of_the_verbs_group() {
    let logins = [at(0, 0), Login::success(1, 1, "bob"), Login::success(2, 2, "bob").from("203.0.113.2")];
    let fires = |by: &str| {
        let body = format!(
            "match: {{outcome: success, public_ip|new: true}}\ncount: {{at_least: 1, within: 1s, {by}}}\ncooldown: off\n"
        );
        World::new(&[rule("r", &body)]).told(&logins).times()
    };
    assert_eq!(fires("by: []"), [0, 2], "new for the tenant");
    assert_eq!(fires("by: [client_name], missing: own"), [0; 0], "without a group there is no past");
    assert_eq!(fires("missing: own"), [0, 1, 2], "for the user, where `by` says nothing");
}

#[test]
fn records_of_another_kind_are_another_past() {
    let world = World::new(&[
        rule("login", "match: {outcome: success, public_ip|new: true}\n"),
        rule("launch", "match: {kind: app_launch, outcome: success, public_ip|new: true}\n"),
    ]);
    let mut run = world.run();
    let line = |id: &str, kind: &str, at: i64| {
        let time = time(at);
        format!(
            r#"{{"id":"{id}","kind":"{kind}","start_time":"{time}","outcome":"success","user_name":"ana","public_ip":"203.0.113.1"}}"#
        )
    };
    let lines = [
        line("a", "login", 0),
        line("b", "app_launch", 1),
        line("c", "login", 2),
        line("d", "app_launch", 3),
    ];
    run.take_lines(&lines);
    run.finish();
    let told: Vec<_> = run.told.fired().map(|fired| (fired.rule.as_str(), fired.at.0 - START)).collect();
    assert_eq!(told, [("login", 0), ("launch", 1)]);
}

#[test]
fn an_exception_and_what_clears_may_ask_of_the_past() {
    let fires = |body: &str, logins: &[Login]| World::new(&[rule("r", body)]).told(logins).times();
    let excepted = "match: {outcome: failure}\nexcept: [{public_ip|known: true, because: her own}]\n";
    let logins = [at(0, 0), Login::failure(1, HOUR, "ana"), Login::failure(2, 2 * DAY, "ana")];
    assert_eq!(fires(excepted, &logins), [HOUR]);
    let cleared = "match: {outcome: failure}\ncount: {at_least: 2, within: 1h, by: [user], unless: {outcome: success, public_ip|known: true}}\n";
    let logins = |ip: &str| {
        [
            at(0, 0),
            Login::failure(1, 2 * DAY, "ana"),
            at(2, 2 * DAY + 1).from(ip),
            Login::failure(3, 2 * DAY + 2, "ana"),
        ]
    };
    assert_eq!(fires(cleared, &logins("203.0.113.1")), [0; 0], "a known address clears");
    assert_eq!(fires(cleared, &logins("203.0.113.9")), [2 * DAY + 2], "another does not");
}

#[test]
fn a_row_that_meets_the_past_later_has_its_other_look() {
    let world =
        World::new(&[rule("r", "match: {outcome: success, e2e_rtt|gte: 400, public_ip|new: true}\n")]);
    let mut run = world.run();
    run.take(&[at(0, MINUTE)]);
    run.take(&[at(0, MINUTE).rtt(450)]);
    run.take(&[at(0, MINUTE).rtt(460)]);
    run.finish();
    assert_eq!(run.told.times(), [MINUTE], "once, and it is new for itself");
}

/// Five failures and then a success.
const GUESSED: &str = "match: {outcome: [failure, success]}
count:
  within: 30m
  by: [user]
  having:
    failures: {match: {outcome: failure}, at_least: 5}
    got_in: {match: {outcome: success}, at_least: 1}
levels:
  - {level: low, when: {client_name|known: true}}
  - {level: high, when: {client_name|new: true}}
";

#[test]
fn five_failures_and_a_success_are_high_from_a_new_device_and_low_from_a_known_one() {
    let level = |device: &str| {
        let mut logins = vec![at(0, 0).client("own-pc")];
        logins
            .extend((1..6).map(|n| Login::failure(n, 3 * DAY + i64::from(n) * SECOND, "ana").client(device)));
        logins.push(at(9, 3 * DAY + MINUTE).client(device));
        let told = World::new(&[rule("guessed", GUESSED)]).told(&logins);
        told.fired().map(|fired| fired.level).collect::<Vec<_>>()
    };
    assert_eq!(level("own-pc"), [Level::Low]);
    assert_eq!(level("another"), [Level::High]);
}

#[test]
fn an_attackers_failures_make_no_address_known() {
    let mut logins = vec![at(0, 0).client("own")];
    // A week of guessing from one address, then the password.
    logins.extend((0..500).map(|n| {
        Login::failure(n + 1, i64::from(n) * 20 * MINUTE, "ana").from("198.51.100.66").client("evil")
    }));
    logins.push(at(999, 8 * DAY).from("198.51.100.66").client("evil"));
    let body = "match: {outcome: success, public_ip|known: false, client_name|new: true}\n";
    let told = World::new(&[rule("r", body)]).told(&logins);
    assert_eq!(told.times(), [0, 8 * DAY]);
}

/// Guessed twice within two days, from one device: how grave each alert was.
fn guessed_twice(between: &[Login]) -> Vec<Level> {
    let guess = |first: u32, at: i64| {
        let failures =
            (0..5).map(move |n| Login::failure(first + n, at + i64::from(n) * SECOND, "ana").client("evil"));
        failures.chain([self::at(first + 5, at + MINUTE).client("evil")])
    };
    let logins: Vec<Login> = guess(0, 0).chain(between.iter().cloned()).chain(guess(10, 2 * DAY)).collect();
    let told = World::new(&[rule("guessed", GUESSED)]).told(&logins);
    told.fired().map(|fired| fired.level).collect()
}

#[test]
fn a_device_of_a_high_alert_is_not_known_the_day_after() {
    // Neither the sign-in that was told of nor those that came while the alert was open have taught.
    let on = [at(6, MINUTE + 1).client("evil"), at(7, 31 * MINUTE - 1).client("evil")];
    assert_eq!(guessed_twice(&on), [Level::High, Level::High]);
    // The alert closes after half an hour. Who goes on then was not stopped, and is known a day later.
    assert_eq!(guessed_twice(&[at(7, 31 * MINUTE).client("evil")]), [Level::High, Level::Low]);
}

#[test]
fn what_one_rule_tells_of_another_may_learn_from() {
    let shared = "match: {outcome: success, client_name|known: true}\n";
    let logins = [at(0, 0).client("evil"), at(1, HOUR).client("evil"), at(2, 2 * DAY).client("evil")];
    let own = "match: {outcome: success, client_name|new: true}\nlevels: [{level: high, when: {outcome: success}}]\ncooldown: {for: 12h, by: [user]}\n";
    let world = World::new(&[rule("own", own), rule("shared", shared)]);
    let told = world.told(&logins);
    let told: Vec<_> = told.fired().map(|fired| (fired.rule.as_str(), fired.at.0 - START)).collect();
    // To the first one the device is as new as it was: it stands on what it told of.
    assert_eq!(told, [("own", 0), ("own", 2 * DAY), ("shared", 2 * DAY)]);
    assert_eq!(world.run().engine.memories().count(), 2);
}

/// Tells of every record at a new address, at a high level for half a day.
const ADDRESS: &str = "match: {outcome: [failure, success], public_ip|new: true}\nlevels: [{level: high, when: {outcome: success}}]\ncooldown: {for: 12h, by: [user]}\nlate_within: 2h\n";

#[test]
fn what_a_high_alert_was_of_teaches_nothing_when_it_comes_late_or_again() {
    let world = World::new(&[rule("r", ADDRESS)]);
    let mut run = world.run();
    run.take(&[at(0, 0)]);
    run.progress(HOUR);
    // Late, and within the alert; then both rows again, with an end.
    run.take(&[at(1, 30 * MINUTE)]);
    run.restart();
    run.take(&[at(0, 0).ends(HOUR), at(1, 30 * MINUTE).ends(HOUR)]);
    run.progress(DAY);
    run.take(&[at(0, 0).ends(HOUR).rtt(9), at(2, DAY + 1)]);
    run.finish();
    assert_eq!(run.told.times(), [0, DAY + 1], "the address is as new as before");
    let Some(repeats) = run.told.drafts.iter().find_map(|draft| match draft {
        larum::alert::Draft::Changed(change) => Some(change.repeats),
        larum::alert::Draft::Fired(_) => None,
    }) else {
        panic!("the first alert closed")
    };
    assert_eq!(repeats, 1);
}

#[test]
fn a_late_alert_takes_back_what_its_record_taught() {
    // The success came in time and taught; that it is the second hit of an hour is known later.
    let body = "match: {outcome: [failure, success], public_ip|new: true}\ncount: {at_least: 2, within: 1h, by: [user]}\nlevels: [{level: high, when: {outcome: success}}]\ncooldown: 12h\nlate_within: 2h\n";
    let world = World::new(&[rule("r", body)]);
    let asks = [at(1, 2 * DAY), Login::failure(2, 2 * DAY + 1, "ana"), at(3, 2 * DAY + 2)];
    let fired = |late: bool| {
        let mut run = world.run();
        run.take(&[at(0, HOUR)]);
        run.progress(HOUR + 1);
        if late {
            run.take(&[Login::failure(9, HOUR - 1, "ana")]);
        }
        run.restart();
        run.take(&asks);
        run.finish();
        run.told.fired().map(|fired| (fired.at.0 - START, fired.late)).collect::<Vec<_>>()
    };
    assert_eq!(fired(false), []);
    assert_eq!(fired(true), [(HOUR, true),]);
}

#[test]
fn what_comes_too_late_to_be_judged_teaches_a_rule_of_high_alerts_nothing() {
    let told = |level: &str, body: &str| {
        let file = rule("r", body).replace("level: medium", &format!("level: {level}"));
        let world = World::new(&[file]);
        let mut run = world.run();
        run.take(&[at(0, 0).from("203.0.113.9")]);
        run.progress(DAY);
        run.take(&[at(1, HOUR)]);
        run.take(&[at(2, DAY + HOUR)]);
        run.finish();
        run.told.times()
    };
    let body = "match: {outcome: success, public_ip|new: true}\ncooldown: {for: 1h, by: [user]}\n";
    assert_eq!(told("high", body), [0, DAY + HOUR]);
    assert_eq!(told("low", body), [0]);
}

#[test]
fn a_rule_that_becomes_high_begins_with_what_was_remembered() {
    let body = "match: {outcome: success, public_ip|new: true}\ncooldown: {for: 1h, by: [user]}\n";
    let of = |level: &str| rule("r", body).replace("level: medium", &format!("level: {level}"));
    for (before, after) in [("medium", "high"), ("high", "medium")] {
        let (old, new) = (World::new(&[of(before)]), World::new(&[of(after)]));
        let mut run = old.run();
        run.take(&[at(0, 0), at(1, HOUR).from("203.0.113.9"), at(2, 3 * HOUR).from("203.0.113.9")]);
        run.progress(DAY);
        assert_eq!(run.told.times(), if before == "high" { vec![0, HOUR, 3 * HOUR] } else { vec![0, HOUR] });
        assert!(run.engine.succeed(new.generation.clone()).new.is_empty());
        let kept: Vec<_> = run.engine.memories().map(|(_, groups, ..)| groups).collect();
        assert_eq!(kept, [usize::from(before == "medium")], "from {before} to {after}");
    }
}

#[test]
fn a_flood_of_users_is_let_go_of_and_told_and_the_others_are_remembered() {
    let world = World::bounded(
        &[
            rule("r", "match: {outcome: success, public_ip|new: true}\n"),
            rule("s", "match: {outcome: failure}\n"),
        ],
        Limits { groups: 20 },
    );
    let mut run = world.run();
    let mut logins: Vec<Login> = (0..3).map(|n| at(n, i64::from(n))).collect();
    logins.extend((10..500).map(|n| Login::success(n, i64::from(n) * SECOND, &format!("invented-{n}"))));
    run.take(&logins);
    run.progress(HOUR);
    run.take(&[at(900, 2 * HOUR), Login::success(901, 2 * HOUR, "invented-10")]);
    run.finish();
    let last: Vec<i64> = run.told.times().into_iter().filter(|at| *at >= 2 * HOUR).collect();
    assert_eq!(last, [2 * HOUR], "ana's address is remembered, an invented user's is new again");
    let notes: Vec<_> = run.told.notes.iter().collect();
    assert!(
        matches!(&*notes, [Note::MemoryFull { rule, what, limit: 20, .. }] if rule.as_str() == "r" && what == "public_ip by user"),
        "{notes:?}"
    );
    let kept: Vec<_> = run.engine.memories().collect();
    assert_eq!(kept, [("public_ip by user".to_owned(), 20, 472, 0)]);
}

#[test]
fn rules_that_ask_the_same_share_what_is_remembered() {
    let world = World::new(&[
        rule("a", "match: {outcome: success, public_ip|new: true}\n"),
        rule(
            "b",
            "match: {outcome: failure, public_ip|known: true}\ncount: {at_least: 2, within: 1h, by: [user]}\n",
        ),
        rule("c", "match: {outcome: failure, public_ip|unseen_for: 3d}\n"),
        rule(
            "d",
            "match: {outcome: failure, public_ip|unseen_for: 3d}\ncooldown: {for: 1h, by: [public_ip]}\n",
        ),
    ]);
    assert_eq!(world.run().engine.memories().count(), 2, "by user, and by public_ip");
}

// --- the slow model

/// What the model asks, and how a rule file says it.
const ASKED: [(&str, &str); 6] = [
    ("new", "public_ip|new: true"),
    ("known", "public_ip|known: true"),
    ("unseen", "public_ip|unseen_for: 2d"),
    ("not-new", "public_ip|new: false"),
    ("by-tenant", "public_ip|new: true"),
    ("level", ""),
];

fn asking() -> World {
    let body = |(name, asked): &(&str, &str)| {
        match *name {
        "by-tenant" => format!(
            "match: {{outcome: [failure, success], {asked}}}\ncount: {{at_least: 1, within: 1s, by: []}}\ncooldown: off\n"
        ),
        "level" => "match: {outcome: [failure, success]}\nlevels: [{level: high, when: {public_ip|new: true}}, {level: low, when: {public_ip|known: true}}]\n".to_owned(),
        _ => format!("match: {{outcome: [failure, success], {asked}}}\n"),
    }
    };
    let rules: Vec<String> = ASKED.iter().map(|case| rule(case.0, &body(case))).collect();
    World::new(&rules)
}

/// The same said slowly: every login against all that were before it.
fn slowly(logins: &[(Login, [u8; 16])]) -> BTreeMap<&'static str, Vec<(i64, [u8; 16])>> {
    let mut told: BTreeMap<&'static str, Vec<(i64, [u8; 16])>> = BTreeMap::new();
    for (login, id) in logins {
        let Some(ip) = &login.ip else {
            // Without a value nothing holds but the contrary.
            told.entry("not-new").or_default().push((login.at, *id));
            continue;
        };
        let before = |by_user: bool| {
            let mut uses: Vec<i64> = logins
                .iter()
                .filter(|(other, other_id)| {
                    !other.failure
                        && other.ip.as_ref() == Some(ip)
                        && (!by_user || other.user == login.user)
                        && (other.at, *other_id) < (login.at, *id)
                })
                .map(|(other, _)| other.at)
                .collect();
            uses.sort_unstable();
            uses
        };
        let (user, tenant) = (before(true), before(false));
        let known = user.first().is_some_and(|first| *first <= login.at - DAY);
        let unseen = user.last().is_some_and(|last| *last < login.at - 2 * DAY);
        for (name, holds) in [
            ("new", user.is_empty()),
            ("known", known),
            ("unseen", unseen),
            ("not-new", !user.is_empty()),
            ("by-tenant", tenant.is_empty()),
            ("level", user.is_empty()),
        ] {
            if holds {
                told.entry(name).or_default().push((login.at, *id));
            }
        }
    }
    for list in told.values_mut() {
        list.sort_unstable();
    }
    told
}

fn told_by(run: &Run<'_>, ids: &BTreeMap<u64, [u8; 16]>) -> BTreeMap<&'static str, Vec<(i64, [u8; 16])>> {
    let mut told: BTreeMap<&'static str, Vec<(i64, [u8; 16])>> = BTreeMap::new();
    for fired in run.told.fired() {
        let (name, _) = ASKED.iter().find(|(name, _)| *name == fired.rule.as_str()).unwrap();
        if *name == "level" && fired.level != Level::High {
            continue;
        }
        told.entry(name).or_default().push((fired.at.0 - START, ids[&fired.tip.locator.0]));
    }
    for list in told.values_mut() {
        list.sort_unstable();
    }
    told
}

/// Logins over days, with addresses or without.
fn over_days(most: usize) -> impl Strategy<Value = Vec<Login>> {
    (logins(most), prop::collection::vec(0..200_i64, most)).prop_map(|(logins, hours)| {
        let stretched = |(login, hours): (Login, i64)| Login { at: hours * HOUR / 2, ..login };
        logins.into_iter().zip(hours).map(stretched).collect()
    })
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn the_past_is_what_came_before_whatever_the_order_the_batches_and_the_restarts(
        logins in over_days(40),
        order in prop::collection::vec(0..10_000_u64, 40),
        cuts in prop::collection::vec((any::<Index>(), 0..100_i64, any::<bool>()), 0..5),
    ) {
        let world = asking();
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        let batch = world.batch(&lines);
        let ids: BTreeMap<u64, [u8; 16]> =
            batch.rows.iter().map(|row| (row.locator.0, batch.record(row_of(&batch, row.locator.0), larum::record::Phase::Start).id().0)).collect();
        let own = |login: &Login| ids[&super::world::locator(&login.line()).0];
        let all: Vec<(Login, [u8; 16])> = logins.iter().map(|login| (login.clone(), own(login))).collect();
        let mut rows: Vec<(u64, Login)> = order.iter().copied().zip(logins.iter().cloned()).collect();
        rows.sort_by_key(|(place, _)| *place);
        let rows: Vec<Login> = rows.into_iter().map(|(_, login)| login).collect();
        let mut run = world.run();
        run.take(&rows);
        // The watermark goes on in steps, with a life after a snapshot between.
        let mut steps: Vec<(i64, bool)> = cuts.iter().map(|(_, hours, dies)| (hours * HOUR, *dies)).collect();
        steps.sort_unstable();
        for (at, dies) in steps {
            run.progress(at);
            if dies {
                run.restart();
            }
        }
        run.finish();
        prop_assert_eq!(told_by(&run, &ids), slowly(&all));
        // All at once, in batches.
        let mut whole = world.run();
        let middle = cuts.first().map_or(0, |(index, ..)| index.index(rows.len() + 1));
        whole.take(&rows[middle..]);
        whole.take(&rows[..middle]);
        whole.finish();
        prop_assert_eq!(told_by(&whole, &ids), slowly(&all));
    }

    #[test]
    fn rules_of_high_alerts_remember_what_the_slow_model_does(
        logins in over_days(40),
        order in prop::collection::vec(0..10_000_u64, 40),
        cuts in prop::collection::vec((0..100_i64, any::<bool>()), 0..5),
    ) {
        for (name, in_match, body) in OWN {
            let world = World::new(&[rule(name, body)]);
            let id = |login: &Login| world.batch(&[login.line()]).record(0, larum::record::Phase::Start).id().0;
            let all: Vec<(Login, [u8; 16])> = logins.iter().map(|login| (login.clone(), id(login))).collect();
            let ids: BTreeMap<u64, [u8; 16]> =
                all.iter().map(|(login, id)| (super::world::locator(&login.line()).0, *id)).collect();
            let mut rows: Vec<(u64, Login)> = order.iter().copied().zip(logins.iter().cloned()).collect();
            rows.sort_by_key(|(place, _)| *place);
            let mut run = world.run();
            run.take(&rows.into_iter().map(|(_, login)| login).collect::<Vec<_>>());
            let mut steps = cuts.clone();
            steps.sort_unstable();
            for (hours, dies) in steps {
                run.progress(hours * HOUR);
                // What comes again changes nothing.
                run.take(&logins);
                if dies {
                    run.restart();
                }
            }
            run.finish();
            let mut told: Vec<(i64, [u8; 16], bool)> = run
                .told
                .fired()
                .map(|fired| (fired.at.0 - START, ids[&fired.tip.locator.0], fired.level == Level::High))
                .collect();
            // Of one instant, alerts are told by their ids.
            told.sort_unstable();
            prop_assert_eq!(told, told_slowly(in_match, &all), "{}", name);
        }
    }

    #[test]
    fn a_late_record_is_judged_by_the_uses_before_it_that_had_come(
        logins in over_days(30),
        late in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let world = asking_late();
        let mut on_time = logins.clone();
        let mut held: Vec<Login> = Vec::new();
        for index in late {
            if !on_time.is_empty() {
                held.push(on_time.remove(index.index(on_time.len())));
            }
        }
        let mut run = world.run();
        run.take(&on_time);
        run.progress(DAY * 10);
        let before = run.told.drafts.len();
        let mut known = on_time.clone();
        for login in &held {
            run.take(std::slice::from_ref(login));
            run.restart();
            known.push(login.clone());
        }
        run.finish();
        let told: Vec<i64> = run.told.drafts[before..].iter().filter_map(|draft| match draft {
            larum::alert::Draft::Fired(fired) => Some(fired.at.0 - START),
            larum::alert::Draft::Changed(_) => None,
        }).collect();
        let mut expected = Vec::new();
        for (number, login) in held.iter().enumerate() {
            let known = &known[..on_time.len() + number];
            let id = |login: &Login| {
                let batch = world.batch(&[login.line()]);
                batch.record(0, larum::record::Phase::Start).id().0
            };
            let before = known.iter().filter(|other| {
                !other.failure && other.ip == login.ip && other.user == login.user
                    && (other.at, id(other)) < (login.at, id(login))
            }).count();
            if login.ip.is_some() && before == 0 {
                expected.push(login.at);
            }
        }
        prop_assert_eq!(told, expected);
    }
}

/// Rules of high alerts that stay open, and whether each asks for what is new in `match`, or in `levels`.
const OWN: [(&str, bool, &str); 2] = [
    (
        "asks-in-match",
        true,
        "match: {outcome: [failure, success], public_ip|new: true}\nlevels: [{level: high, when: {outcome: success}}]\ncooldown: {for: 6h, by: [user]}\n",
    ),
    (
        "asks-in-levels",
        false,
        "match: {outcome: [failure, success]}\nlevels: [{level: high, when: {outcome: success, public_ip|new: true}}]\ncooldown: {for: 6h, by: [user]}\n",
    ),
];

/// What such a rule tells, said slowly: what it has learnt is a list of sign-ins.
fn told_slowly(in_match: bool, logins: &[(Login, [u8; 16])]) -> Vec<(i64, [u8; 16], bool)> {
    let mut sorted = logins.to_vec();
    sorted.sort_by_key(|(login, id)| (login.at, *id));
    let (mut learnt, mut told): (Vec<Login>, Vec<_>) = (Vec::new(), Vec::new());
    // Of each user, when the last alert fired and since when it is high.
    let mut alerts: BTreeMap<String, (i64, Option<i64>)> = BTreeMap::new();
    for (login, id) in sorted {
        let known = learnt.iter().any(|other| other.user == login.user && other.ip == login.ip);
        let new = login.ip.is_some() && !known;
        let is_hit = new || !in_match;
        let high = !login.failure && new;
        if is_hit {
            let open = alerts.get(&login.user).copied().filter(|(at, _)| login.at < at + 6 * HOUR);
            let (at, grave) = open.unwrap_or((login.at, None));
            alerts.insert(login.user.clone(), (at, grave.or(high.then_some(login.at))));
            if open.is_none() {
                told.push((login.at, id, high));
            }
        }
        let open =
            alerts.get(&login.user).is_some_and(|(at, grave)| grave.is_some() && login.at < at + 6 * HOUR);
        if !login.failure && login.ip.is_some() && !(is_hit && open) {
            learnt.push(login);
        }
    }
    told
}

fn row_of(batch: &larum::record::Batch, locator: u64) -> usize {
    batch.rows.iter().position(|row| row.locator.0 == locator).unwrap()
}

fn asking_late() -> World {
    World::new(&[rule(
        "new",
        "match: {outcome: [failure, success], public_ip|new: true}\nlate_within: 30d\n",
    )])
}

// --- generations

#[test]
fn a_change_of_words_keeps_what_is_remembered_and_a_new_question_learns_it_anew() {
    let old = World::new(&[rule("r", "match: {outcome: success, public_ip|new: true}\n")]);
    let same = World::new(&[
        rule("q", "match: {outcome: failure, client_name|known: true}\n"),
        rule("r", "match: {outcome: success, public_ip|new: true}\ntags: [other]\n"),
    ]);
    let mut run = old.run();
    run.take(&[at(0, 0)]);
    run.progress(HOUR);
    let succession = run.engine.succeed(same.generation.clone());
    assert_eq!(succession.new.iter().map(larum::record::RuleId::as_str).collect::<Vec<_>>(), ["q"]);
    let kept: Vec<_> = run.engine.memories().map(|(name, groups, ..)| (name, groups)).collect();
    assert_eq!(kept, [("client_name by user".to_owned(), 0), ("public_ip by user".to_owned(), 1)]);

    // The new rule learns apart and is adopted; what the old one remembers stays.
    let apart = World::new(&[rule("q", "match: {outcome: failure, client_name|known: true}\n")]);
    let mut learner = apart.run();
    learner.take(&[at(0, 0).client("pc"), at(1, 1).client("pc2")]);
    learner.progress(HOUR);
    let learnt: Engine = learner.engine;
    run.engine.adopt(learnt, larum::engine::Standing::default());
    let kept: Vec<_> = run.engine.memories().map(|(name, groups, ..)| (name, groups)).collect();
    assert_eq!(kept, [("client_name by user".to_owned(), 1), ("public_ip by user".to_owned(), 1)]);
}
