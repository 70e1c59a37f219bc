//! Every bound of a group's state, hit: what goes, what stays, and what is counted.

use larum::engine::Counters;
use larum::rule::verb::{MAX_RECORDS, MAX_VALUES};

use crate::world::{HOUR, Login, Run, SECOND, World, rule};

fn only(run: &Run<'_>) -> Counters {
    let [(_, counters)] = &run.counters()[..] else { panic!("one rule") };
    counters.clone()
}

/// `count` logins of ana's, one a second, each from an address of its own.
fn addresses(count: usize) -> Vec<Login> {
    let ip = |number: u32| format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let count = u32::try_from(count).unwrap();
    (0..count)
        .map(|number| Login::success(number, i64::from(number) * SECOND, "ana").from(&ip(number)))
        .collect()
}

/// Learns for as long as it takes to fill a group.
const NEW_ADDRESS: &str = "match: {outcome: success}
first_seen: {value: public_ip, by: [user], same_net: off, learn: {for: 10000s, records: 1}}
late_within: 1m
";

#[test]
fn a_group_with_too_many_values_forgets_those_longest_unused_and_counts_them() {
    let world = World::new(&[rule("r", NEW_ADDRESS)]);
    let mut run = world.run();
    let logins = addresses(MAX_VALUES + 1);
    run.take(&logins[..MAX_VALUES]);
    let last = logins[MAX_VALUES].at;
    run.progress(last - 1);
    assert_eq!((only(&run).alerts, only(&run).values_dropped), (0, 0));

    run.take(&logins[MAX_VALUES..]);
    run.progress(last);
    // One too many lets a tenth go.
    let lost = MAX_VALUES / 10 + 1;
    assert_eq!((only(&run).alerts, only(&run).values_dropped), (1, lost as u64));

    // The last that went is new again; the first that stayed is known.
    let again =
        |place: usize| Login { id: format!("again-{place}"), at: last + SECOND, ..logins[place].clone() };
    run.take(&[again(lost - 1), again(lost)]);
    run.finish();
    assert_eq!(only(&run).alerts, 2);
    let alert = run.told.fired().last().unwrap();
    assert_eq!(alert.finding.actual["value"], logins[lost - 1].ip.as_deref().unwrap());
}

#[test]
fn values_of_late_hits_are_bounded_as_well() {
    let world = World::new(&[rule("r", NEW_ADDRESS)]);
    let mut run = world.run();
    let logins = addresses(MAX_VALUES + 1);
    run.take(&logins[..MAX_VALUES]);
    let last = logins[MAX_VALUES].at;
    run.progress(last);
    run.take(&logins[MAX_VALUES..]);
    assert_eq!((only(&run).late, only(&run).values_dropped), (1, (MAX_VALUES / 10 + 1) as u64));
}

#[test]
fn values_that_a_remembered_hit_has_do_not_go() {
    let world = World::new(&[rule("r", &NEW_ADDRESS.replace("late_within: 1m", "late_within: 1d"))]);
    let mut run = world.run();
    // A day is remembered, and no more hits than records are kept: all but one of the values.
    run.take(&addresses(MAX_VALUES + 1));
    run.finish();
    assert_eq!((only(&run).values_dropped, only(&run).records_dropped), (1, 1));
}

#[test]
fn values_forgotten_by_age_are_not_counted_as_lost() {
    let world = World::new(&[rule("r", &NEW_ADDRESS.replace("same_net: off", "same_net: off, forget: 1h"))]);
    let mut run = world.run();
    run.take(&addresses(MAX_VALUES + 1));
    run.finish();
    // Ten thousand seconds are more than two hours: what went was new again anyway.
    assert_eq!(only(&run).values_dropped, 0);
}

#[test]
fn a_group_with_too_many_records_lets_the_oldest_go_and_counts_it() {
    let body = format!(
        "match: {{outcome: failure}}\ncount: {{at_least: {MAX_RECORDS}, within: 1d, by: [user]}}\ncooldown: off\n"
    );
    let world = World::new(&[rule("r", &body)]);
    let mut run = world.run();
    let count = u32::try_from(MAX_RECORDS).unwrap();
    let failures: Vec<Login> =
        (0..count + 2).map(|number| Login::failure(number, i64::from(number) * SECOND, "ana")).collect();
    run.take(&failures[..MAX_RECORDS - 1]);
    run.progress(i64::from(count - 2) * SECOND);
    assert_eq!((only(&run).alerts, only(&run).records_dropped), (0, 0));

    run.take(&failures[MAX_RECORDS - 1..]);
    run.finish();
    // The bound itself fires; each record past it pushes the oldest out, and still as many are left.
    assert_eq!((only(&run).alerts, only(&run).records_dropped), (3, 2));
    let counts: Vec<u64> = run.told.fired().map(|fired| fired.finding.count).collect();
    assert_eq!(counts, [MAX_RECORDS as u64; 3]);
    assert!(run.told.times().iter().all(|at| *at < 3 * HOUR));
}
