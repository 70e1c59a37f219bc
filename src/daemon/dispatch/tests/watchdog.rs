//! The message that comes on a schedule.

use super::*;

/// 2023-11-14 22:13:20 UTC is [`NOW`]: the next midnight is 1 h 46 min 40 s later.
const MIDNIGHT: i64 = 106;

fn watched(fake: &Arc<Fake>) -> Target {
    Target { watchdog: Some(Millis::hours(24)), ..target(fake, Limits::human()) }
}

fn days(fake: &Fake) -> Vec<String> {
    fake.taken().into_iter().filter(|taken| taken.contains("watchdog")).collect()
}

#[tokio::test]
async fn it_comes_at_its_instants_whatever_else_is_sent_and_a_restart_repeats_none() {
    let (world, fake) = (World::new(), Fake::willing());
    for day in 0..4 {
        let mut desk = Desk::new(world.office.clone(), watched(&fake));
        until(&mut desk, day * 24 * 60 + MIDNIGHT + 1).await.unwrap();
        world.owe(&alerts(u32::try_from(day).unwrap()..u32::try_from(day).unwrap() + 1, Level::High)).await;
        until(&mut desk, day * 24 * 60 + 12 * 60).await.unwrap();
    }
    let expected = ["106:40", "1546:40", "2986:40", "4426:40"].map(|at| format!("{at} watchdog 1d"));
    assert_eq!(days(&fake), expected);
    assert_eq!(fake.taken().len(), 8);
    assert_eq!(world.deliveries().await.len(), 4, "it is owed to nobody");
}

#[tokio::test]
async fn one_that_is_not_taken_is_tried_again_under_the_same_id_and_none_is_made_up_for() {
    let (world, fake) = (World::new(), Fake::new(|_| try_again(None, false)));
    let mut desk = Desk::new(world.office.clone(), watched(&fake));
    until(&mut desk, MIDNIGHT + 10).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 24 * 60).await.unwrap();
    let given = fake.given();
    assert_eq!(days(&fake).len(), 1);
    assert!((5..=11).contains(&given.len()), "{}", given.len());
    assert!(given.iter().all(|one| one.delivery == given[0].delivery));
    drop(desk);
    world.office.clock.set(NOW + Millis::days(5));
    let mut desk = Desk::new(world.office.clone(), watched(&fake));
    until(&mut desk, 5 * 24 * 60 + MIDNIGHT + 1).await.unwrap();
    assert_eq!(days(&fake).len(), 2, "those of the days in between are missing, which is what they say");
}

#[tokio::test]
async fn a_receiver_that_refuses_it_is_paused_and_told_of() {
    let (mut world, fake) = (World::new(), Fake::new(|_| unwelcome()));
    let mut desk = Desk::new(world.office.clone(), watched(&fake));
    until(&mut desk, MIDNIGHT + 5).await.unwrap();
    assert_eq!(world.events(), ["paused: unwelcome: 403 Forbidden"]);
}
