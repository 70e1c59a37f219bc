//! Tables of what follows which answer, and the laws of waiting.

use proptest::prelude::*;

use super::*;
use crate::route::{Body, Standing, Terms};

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn delivery(level: Level, age: Millis, tries: u32) -> Delivery {
    Delivery {
        id: DeliveryId([1; 16]),
        tenant: "default".into(),
        receiver: "soc".parse().unwrap(),
        rule: "burst".parse().unwrap(),
        level,
        body: Body::Alert { id: crate::alert::AlertId([2; 16]), revision: 1 },
        created: NOW - age,
        due: NOW,
        tries,
        waited: Millis::ZERO,
        plain: false,
        held_by: None,
        last_reason: None,
        terms: Terms::default(),
        standing: Standing::Waiting,
    }
}

fn no(wait: Option<Millis>, everyone: bool) -> Attempt {
    Attempt::TryAgain { wait, everyone, reason: "503".to_owned() }
}

fn unwelcome() -> Attempt {
    Attempt::Unwelcome { reason: "403".to_owned() }
}

fn wait(step: &Step) -> Millis {
    let Step::Wait { until, .. } = step else { panic!("{step:?}") };
    *until - NOW
}

#[test]
fn each_answer_has_its_next_step() {
    let young = delivery(Level::High, Millis::ZERO, 1);
    let step = |attempt: &Attempt| next_step(attempt, &young, NOW, 0.5);
    let reason = || "413".to_owned();
    assert_eq!(step(&Attempt::Delivered), Step::Finish);
    assert_eq!(step(&Attempt::Malformed { reason: reason() }), Step::Plain { until: NOW });
    assert_eq!(step(&Attempt::Unwelcome { reason: reason() }), Step::Probe { reason: reason() });
    assert_eq!(step(&Attempt::Refused { reason: reason() }), Step::Bury { reason: reason() });
    assert_eq!(wait(&step(&no(None, false))), Millis(2_000));
    assert_eq!(wait(&step(&Attempt::Unknown { reason: reason() })), Millis(2_000));
    let plain = Delivery { plain: true, ..young };
    let step = next_step(&Attempt::Malformed { reason: reason() }, &plain, NOW, 0.5);
    assert_eq!(step, Step::Bury { reason: reason() });
}

#[test]
fn what_the_receiver_asks_for_is_honoured_within_bounds() {
    let young = delivery(Level::High, Millis::ZERO, 1);
    for (asked, waits) in [
        (Millis(0), Millis::secs(1)),
        (Millis::secs(30), Millis::secs(30)),
        (Millis::hours(3), Millis::hours(3)),
        (Millis::days(300), Millis::hours(24)),
    ] {
        assert_eq!(wait(&next_step(&no(Some(asked), true), &young, NOW, 0.5)), waits, "{asked}");
    }
}

#[test]
fn waits_grow_from_seconds_to_ten_minutes_and_then_to_a_day() {
    let mut delivery = delivery(Level::Critical, Millis::ZERO, 0);
    let (mut now, mut waits) = (NOW, Vec::new());
    while let Step::Wait { until, waited } = next_step(&no(None, false), &delivery, now, 0.999) {
        waits.push(waited.0 / 1_000);
        (now, delivery.waited, delivery.tries) = (until, waited, delivery.tries + 1);
        assert!(waits.len() < 100);
    }
    assert_eq!(waits[..8], [2, 8, 26, 80, 241, 600, 600, 600]);
    let minutes: Vec<i64> = waits[8..].iter().map(|wait| wait / 60).collect();
    assert_eq!(minutes, [17, 35, 71, 143, 287, 575, 863, 1727, 1727, 1727, 1727, 1727]);
    assert_eq!(now - NOW, Millis::days(7), "one last try when its time is up");
}

#[test]
fn what_waited_long_for_its_first_try_is_tried_again_soon() {
    assert_eq!(
        wait(&next_step(&no(None, false), &delivery(Level::High, Millis::hours(5), 1), NOW, 0.0)),
        BASE
    );
    let tried = delivery(Level::High, Millis::hours(5), 7);
    assert_eq!(wait(&next_step(&no(None, false), &tried, NOW, 0.0)), Millis::mins(5));
}

#[test]
fn time_is_up_by_level() {
    for (level, days) in Level::ALL.into_iter().zip([1, 2, 3, 5, 7]) {
        let step = |age: Millis| next_step(&no(None, false), &delivery(level, age, 9), NOW, 0.5);
        assert!(matches!(step(Millis(Millis::days(days).0 - 1)), Step::Wait { .. }), "{level}");
        let reason = "not taken in 9 tries until its time was up; last: 503".to_owned();
        assert_eq!(step(Millis::days(days)), Step::Bury { reason });
    }
}

#[test]
fn a_taken_probe_buries_the_body_alone() {
    let delivery = delivery(Level::High, Millis::ZERO, 1);
    let step = after_probe(&Attempt::Delivered, "403", &delivery, NOW, 0.5);
    assert_eq!(step, Step::Bury { reason: "403; this message alone: the receiver takes others".to_owned() });
    let mut health = Health::default();
    assert_eq!(health.after(&unwelcome(), delivery.id, NOW, 0.5), None);
    assert_eq!(health.verdict(NOW), Verdict::Probe);
    assert_eq!(health.after_probe(&Attempt::Delivered, NOW), None);
    assert_eq!(health.gate(NOW), Gate::Open);
}

#[test]
fn a_refused_probe_pauses_the_receiver_until_one_is_taken() {
    let mut health = Health::default();
    let old = delivery(Level::Low, Millis::days(30), 1);
    assert_eq!(
        wait(&after_probe(&unwelcome(), "403", &old, NOW, 0.5)),
        Millis::ZERO,
        "it waits with its receiver, and its time does not run out"
    );
    assert_eq!(health.after_probe(&unwelcome(), NOW), Some(Turn::Paused));
    assert!(health.is_ill());
    let later = NOW + PROBE_EVERY;
    assert_eq!(health.gate(NOW), Gate::Closed { until: later });
    assert_eq!(health.gate(later), Gate::Probe);
    for refused in [unwelcome(), no(None, false), Attempt::Unknown { reason: "lost".to_owned() }] {
        let mut health = health.clone();
        assert_eq!(health.after_probe(&refused, later), None, "told once");
        assert_eq!(health.gate(later), Gate::Closed { until: later + PROBE_EVERY });
    }
    assert_eq!(health.after_probe(&Attempt::Delivered, later), Some(Turn::Recovered));
    assert_eq!(health.gate(later), Gate::Open);
}

#[test]
fn hostile_bodies_bring_about_few_probes() {
    let mut health = Health::default();
    health.after_probe(&Attempt::Delivered, NOW);
    assert_eq!(health.verdict(NOW + Millis::secs(59)), Verdict::Guilty);
    let until = NOW + PROBE_EVERY;
    assert_eq!(health.verdict(NOW + Millis::secs(60)), Verdict::Wait { until });
    assert_eq!(health.verdict(until), Verdict::Probe);
}

#[test]
fn a_failing_receiver_rests_and_is_tried_with_one_message() {
    let mut health = Health::default();
    for number in 1..5_u8 {
        assert_eq!(health.after(&no(None, false), DeliveryId([number; 16]), NOW, 0.0), None);
        assert_eq!(health.gate(NOW), Gate::Open);
    }
    assert_eq!(health.after(&no(None, false), DeliveryId([9; 16]), NOW, 0.0), Some(Turn::Failing));
    assert_eq!(health.gate(NOW), Gate::Closed { until: NOW + REST });
    let later = NOW + REST;
    assert_eq!(health.gate(later), Gate::Single);
    assert_eq!(health.after(&no(None, false), DeliveryId([9; 16]), later, 0.999), None, "told once");
    assert!(matches!(health.gate(later), Gate::Closed { until } if until > later + REST));
    assert_eq!(health.after(&Attempt::Delivered, DeliveryId([9; 16]), later, 0.0), Some(Turn::Recovered));
    assert_eq!(health, Health::default());
}

#[test]
fn one_body_that_fails_again_and_again_holds_up_no_other() {
    let mut health = Health::default();
    for _ in 0..FAILURES * 3 {
        health.after(&no(None, false), DeliveryId([1; 16]), NOW, 0.5);
        assert_eq!(health.gate(NOW), Gate::Open);
    }
    assert!(health.is_ill(), "but it is told of");
}

#[test]
fn a_receiver_that_asks_everyone_to_wait_is_left_alone() {
    let mut health = Health::default();
    assert_eq!(health.after(&no(Some(Millis::secs(30)), true), DeliveryId([1; 16]), NOW, 0.5), None);
    assert_eq!(health.gate(NOW), Gate::Closed { until: NOW + Millis::secs(30) });
    assert_eq!(health.gate(NOW + Millis::secs(30)), Gate::Open);
    health.after(&no(None, true), DeliveryId([1; 16]), NOW, 0.5);
    assert_eq!(health.gate(NOW), Gate::Closed { until: NOW + REST });
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let wait = prop::option::of((-10..100_000_000_i64).prop_map(Millis));
    let reason = || "no".to_owned();
    prop_oneof![
        Just(Attempt::Delivered),
        (wait, any::<bool>()).prop_map(|(wait, everyone)| no(wait, everyone)),
        Just(Attempt::Malformed { reason: reason() }),
        Just(unwelcome()),
        Just(Attempt::Refused { reason: reason() }),
        Just(Attempt::Unknown { reason: reason() }),
    ]
}

proptest! {
    #[test]
    fn a_wait_is_never_shorter_than_its_base_nor_longer_than_a_day_and_a_fifth(
        attempt in attempt(), level in 0..5_usize, age in 0..Millis::days(8).0,
        before in 0..Millis::days(2).0, tries in 1..50_u32, jitter in 0.0..1.0,
    ) {
        let delivery = Delivery { waited: Millis(before), ..delivery(Level::ALL[level], Millis(age), tries) };
        if let Step::Wait { until, waited } = next_step(&attempt, &delivery, NOW, jitter) {
            let end = delivery.created + deadline(delivery.level);
            prop_assert!(until >= NOW + BASE || until == end, "{until}");
            prop_assert!(until - NOW <= Millis(Millis::hours(24).0 * 6 / 5));
            prop_assert!(waited >= BASE && waited <= Millis(Millis::hours(24).0 * 6 / 5));
        }
    }

    #[test]
    fn every_delivery_comes_to_an_end(attempts in prop::collection::vec(attempt(), 1..20), jitter in 0.0..1.0) {
        let mut delivery = delivery(Level::Critical, Millis::ZERO, 0);
        let mut now = NOW;
        let mut ended = false;
        for attempt in attempts.iter().cycle().take(2_000) {
            delivery.tries += 1;
            match next_step(attempt, &delivery, now, jitter) {
                Step::Finish | Step::Bury { .. } => ended = true,
                Step::Wait { until, waited } => (now, delivery.waited) = (until, waited),
                Step::Plain { .. } => delivery.plain = true,
                Step::Probe { reason } => {
                    ended = matches!(after_probe(&Attempt::Delivered, &reason, &delivery, now, jitter), Step::Bury { .. });
                }
            }
            if ended {
                break;
            }
        }
        prop_assert!(ended);
    }

    #[test]
    fn a_closed_gate_opens_within_a_day(attempts in prop::collection::vec((attempt(), any::<bool>(), 0..3_u8), 1..40)) {
        let (mut health, mut now) = (Health::default(), NOW);
        for (attempt, probe, of) in attempts {
            if probe {
                health.after_probe(&attempt, now);
            } else {
                health.after(&attempt, DeliveryId([of; 16]), now, 0.7);
            }
            if let Gate::Closed { until } = health.gate(now) {
                prop_assert!(until > now && until - now <= LONGEST_ASKED);
                now = until;
            }
            let closed = matches!(health.gate(now), Gate::Closed { .. });
            prop_assert!(!closed);
        }
    }
}
