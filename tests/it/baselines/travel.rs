//! `travel` against a model that measures with chords, and its edges.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::slow::{SlowRule, Window};
use super::super::world::{HOUR, MINUTE, SECOND, cases};
use super::{All, Case, Seen, Visit, by_user, fired};

const BODY: &str = "match: {outcome: success}\ntravel: {by: [user_name], missing: own, at_least: 500km, faster_than: 800km/h, ignore_same: [asn.number]}\n";

/// Distance in km through the three dimensions: another way than the engine's.
fn km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let point = |(lat, lon): (f64, f64)| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let dot: f64 = point(a).into_iter().zip(point(b)).map(|(a, b)| a * b).sum();
    6371.0088 * dot.clamp(-1.0, 1.0).acos()
}

fn holds(hits: &[Seen]) -> Option<u64> {
    let (after, before) = hits.split_last().unwrap();
    let (before, after) = (&before.last()?.visit, &after.visit);
    let (Some((lat1, lon1, near)), Some((lat2, lon2, far))) = (before.place, after.place) else {
        return None;
    };
    let same = before.asn.is_some() && before.asn == after.asn;
    let km = km((lat1, lon1), (lat2, lon2)) - f64::from(near.unwrap_or(0)) - f64::from(far.unwrap_or(0));
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a test")]
    let hours = (after.at - before.at) as f64 / HOUR as f64;
    (!same && km >= 500.0 && km > 800.0 * hours).then_some(1)
}

fn case() -> Case {
    Case {
        body: BODY,
        key: by_user,
        is_hit: |visit| visit.place.is_some(),
        rule: |_: All| SlowRule {
            window: Window::Records(2),
            holds: Box::new(holds),
            cooldown: 0,
            cooldown_given: false,
            restart: false,
            grave: false,
            recovered: None,
            same: |_, _| false,
        },
    }
}

/// Places none of which is 500 km from another, or 800 km/h away in a number of minutes, to the metre.
const PLACES: [(f64, f64); 6] =
    [(59.91, 10.75), (59.33, 18.07), (31.23, 121.47), (-33.87, 151.21), (55.0, -179.0), (55.0, 179.0)];

fn visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    let place = (0..6_usize, prop::option::weighted(0.5, 0..40_u32));
    let visit = (
        (0..3_i64, 0..60_i64),
        prop::option::weighted(0.9, 0..2_u8),
        prop::option::weighted(0.9, place),
        prop::option::weighted(0.5, 0..3_u32),
    );
    prop::collection::vec(visit, 0..most).prop_map(|drawn| {
        type Drawn = ((i64, i64), Option<u8>, Option<(usize, Option<u32>)>, Option<u32>);
        let made = |(id, ((far, near), user, place, asn)): (usize, Drawn)| Visit {
            user: user.map(|user| format!("user-{user}")),
            place: place.map(|(number, radius)| (PLACES[number].0, PLACES[number].1, radius)),
            asn,
            // Far enough apart that some journeys are slow, near enough that some come late.
            ..Visit::new(id, far * 7 * HOUR + near * MINUTE, "")
        };
        drawn.into_iter().enumerate().map(made).collect()
    })
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn journeys_are_told_as_in_the_slow_model(
        visits in visits(40),
        order in prop::collection::vec(any::<Index>(), 40),
    ) {
        case().holds_in_order(&visits, &order)?;
    }

    #[test]
    fn late_records_and_restarts_are_as_in_the_slow_model(
        visits in visits(40),
        delays in prop::collection::vec(prop::option::weighted(0.4, (0..36_i64).prop_map(|delay| delay * 10 * SECOND)), 40),
        restart_every in 1..9_usize,
    ) {
        case().holds_late(&visits, &delays, restart_every)?;
    }
}

fn at(minutes: i64, place: (f64, f64)) -> Visit {
    let id = usize::try_from(minutes).unwrap();
    Visit { place: Some((place.0, place.1, None)), ..Visit::new(id, minutes * MINUTE, "ana") }
}

#[test]
fn a_journey_at_the_very_bounds() {
    // 0°N 0°E to 0°N 5°E is 555.975 km: at 800 km/h just under 41.7 minutes.
    let (here, there) = ((0.0, 0.0), (0.0, 5.0));
    let rule = |km: u32, kmh: u32| {
        format!(
            "match: {{outcome: success}}\ntravel: {{by: [user], at_least: {km}km, faster_than: {kmh}km/h}}\n"
        )
    };
    let count = |km, kmh, minutes| fired(&rule(km, kmh), &[at(0, here), at(minutes, there)]).len();
    assert_eq!((count(500, 800, 41), count(500, 800, 42)), (1, 0));
    assert_eq!((count(555, 800, 41), count(556, 800, 41)), (1, 0));
    // Strictly faster: 555.975 km in an hour is faster than 555 km/h and not than 556 km/h.
    assert_eq!((count(500, 555, 60), count(500, 556, 60)), (1, 0));
}

#[test]
fn two_places_at_one_instant_are_a_second_apart() {
    let mut visits = vec![at(0, (0.0, 0.0)), at(0, (0.0, 90.0))];
    visits[1].id = 1;
    let told = fired(BODY, &visits);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(r#""km":10007.557,"kmh":36027205,"took":"0s""#), "{}", told[0]);
}

#[test]
fn only_the_point_just_before_counts_and_a_journey_back_is_another() {
    let (oslo, shanghai) = ((59.91, 10.75), (31.23, 121.47));
    let visits = [at(0, oslo), at(10, shanghai), at(20, shanghai), at(30, oslo), at(24 * 60, shanghai)];
    let told = fired(BODY, &visits);
    let minutes: Vec<i64> =
        told.iter().map(|line| line.split(' ').next().unwrap().parse::<i64>().unwrap() / MINUTE).collect();
    assert_eq!(minutes, [10, 30]);
}

#[test]
fn an_address_of_a_list_is_no_point_of_a_journey() {
    let rule = "\
rule: far
title: far
level: high
why: to see it hold
match: {outcome: success}
travel: {by: [user], at_least: 500km, faster_than: 800km/h, ignore_in: [egress, lab]}
tests:
  - name: the journey is the one around it
    lists: {egress: [203.0.113.0/24], lab: [198.18.0.1]}
    events:
      - {user: ana, outcome: success, public_ip: 192.0.2.1, geo.lat: 59.91, geo.lon: 10.75}
      - {after: 10m, user: ana, outcome: success, public_ip: 203.0.113.7, geo.lat: 1.3, geo.lon: 103.9}
      - {after: 10m, user: ana, outcome: success, public_ip: 198.18.0.1, geo.lat: 1.3, geo.lon: 103.9}
      - {after: 10m, user: ana, outcome: success, public_ip: 192.0.2.2, geo.lat: 59.33, geo.lon: 18.07}
      - {after: 10m, user: ana, outcome: success, public_ip: 198.18.0.2, geo.lat: 1.3, geo.lon: 103.9}
    alerts:
      - {at: 2026-01-05T09:40:00Z, from.public_ip: 192.0.2.2, public_ip: 198.18.0.2}
  - name: of other lists it is one
    lists: {egress: [198.51.100.0/24], lab: []}
    events:
      - {user: ana, outcome: success, public_ip: 192.0.2.1, geo.lat: 59.91, geo.lon: 10.75}
      - {after: 10m, user: ana, outcome: success, public_ip: 203.0.113.7, geo.lat: 1.3, geo.lon: 103.9}
    alerts:
      - {from.public_ip: 192.0.2.1, public_ip: 203.0.113.7}
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far.yaml");
    std::fs::write(&path, rule).unwrap();
    let done =
        std::process::Command::new(env!("CARGO_BIN_EXE_larum")).arg("test").arg(&path).output().unwrap();
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{told}{}", String::from_utf8(done.stderr).unwrap());
}
