//! A clock that is ahead for hours, and then set right: while the daemon runs, or between two lives.

use super::*;
use crate::daemon::routing::Routing;
use crate::route::{Escalate, Route, Routes, Together};

const AHEAD: Millis = Millis::hours(5);

impl World {
    /// The clock is ahead.
    fn ahead() -> Self {
        Self::over(Arc::new(Model::default()), Clock::at(NOW + AHEAD), Steps::none())
    }

    fn set_right(&self) {
        self.office.clock.set(self.office.clock.now() - AHEAD);
    }

    async fn routed(&self, alert: &Alert, route: Route) {
        let routing = Routing { routes: Routes { routes: vec![route] }, ..Routing::default() };
        let owed = routing.owed(alert, self.office.clock.now());
        self.commit([vec![Change::Alert(Box::new(alert.clone()))], owed].concat()).await;
    }
}

fn to_soc() -> Route {
    Route { to: vec![name("soc")], ..Route::default() }
}

/// Lets it work for so many minutes from now.
async fn minutes(desk: &mut Desk, minutes: i64) {
    let past = (desk.office.clock.now() - NOW).0 / 60_000;
    until(desk, past + minutes).await.unwrap();
}

/// `desk`, or the one that a restart puts in its place.
fn desk_or(restarts: bool, desk: Desk) -> Desk {
    if restarts { Desk::new(desk.office.clone(), desk.target.clone()) } else { desk }
}

fn what(fake: &Fake) -> Vec<String> {
    fake.given().into_iter().map(|given| given.what).collect()
}

#[tokio::test]
async fn limits_count_nothing_that_lies_in_the_future() {
    for restarts in [false, true] {
        let (world, fake) = (World::ahead(), Fake::willing());
        world.owe(&alerts(0..3, Level::Medium)).await;
        let mut desk = Desk::new(world.office.clone(), target(&fake, medium(2, 15)));
        minutes(&mut desk, 1).await;
        assert_eq!(what(&fake), ["ana0", "ana1"]);
        let mut desk = desk_or(restarts, desk);
        world.set_right();
        world.owe(&alerts(3..4, Level::Medium)).await;
        minutes(&mut desk, 15).await;
        // While it runs it knows that they were just now; after a restart nobody knows when they were.
        let expected: &[&str] = if restarts {
            &["ana0", "ana1", "ana2", "ana3"]
        } else {
            &["ana0", "ana1", "digest of 2 (limit)"]
        };
        assert_eq!(what(&fake), expected, "restarts: {restarts}");
    }
}

#[tokio::test]
async fn a_group_rests_no_longer_than_it_was_to() {
    let together =
        Together { by: vec!["rule".to_owned()], wait: Millis::secs(30), interval: Millis::mins(5) };
    for restarts in [false, true] {
        let (world, fake) = (World::ahead(), Fake::willing());
        let route = || Route { together: Some(together.clone()), ..to_soc() };
        let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
        for number in 0..3 {
            if number == 2 {
                desk = desk_or(restarts, desk);
                world.set_right();
            }
            world.routed(&alerts(number..number + 1, Level::High)[0], route()).await;
            minutes(&mut desk, 1).await;
        }
        minutes(&mut desk, 6).await;
        // After a restart nobody knows when it was told, and it rests no more.
        let told: Vec<String> = fake.taken().into_iter().skip(1).collect();
        let at = if restarts { "2:00" } else { "7:00" };
        assert_eq!(told, [format!("{at} digest of 2 (group)")], "restarts: {restarts}");
    }
}

#[tokio::test]
async fn a_receiver_that_was_left_alone_is_tried_again_as_soon_as_it_was_to_be() {
    for (answer, kind) in [
        (try_again(None, false), "resting"),
        (try_again(Some(Millis::secs(90)), true), "asked"),
        (unwelcome(), "paused"),
    ] {
        for restarts in [false, true] {
            let failing = answer.clone();
            let (world, fake) = (World::ahead(), Fake::new(move |_| failing.clone()));
            world.owe(&alerts(0..7, Level::Critical)).await;
            let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
            minutes(&mut desk, 10).await;
            let mut desk = desk_or(restarts, desk);
            world.set_right();
            fake.answers(|_| Attempt::Delivered);
            minutes(&mut desk, 16).await;
            let taken = fake.taken().iter().filter(|taken| taken.contains("ana")).count();
            assert_eq!(taken, 7, "{kind}, restarts: {restarts}: {:?}", fake.taken());
        }
    }
}

#[tokio::test]
async fn repeats_escalations_and_the_watchdog_come_when_they_would_have() {
    for restarts in [false, true] {
        let (world, fake, boss) = (World::ahead(), Fake::new(|_| try_again(None, false)), Fake::willing());
        let escalate = Escalate { after: Millis::mins(30), to: vec![name("boss")] };
        let route = Route { repeat: Some(Millis::hours(4)), escalate: Some(escalate), ..to_soc() };
        world.routed(&alerts(1..2, Level::High)[0], route).await;
        let watched =
            Target { watchdog: Some(Millis::hours(1)), name: name("boss"), ..target(&boss, Limits::none()) };
        let mut soc = Desk::new(world.office.clone(), target(&fake, Limits::none()));
        let mut desk = Desk::new(world.office.clone(), watched);
        minutes(&mut soc, 1).await;
        minutes(&mut desk, 1).await;
        let mut desk = desk_or(restarts, desk);
        world.set_right();
        minutes(&mut desk, 61).await;
        let mut what = what(&boss);
        what.sort();
        assert_eq!(what, ["ana1", "watchdog 1h"], "restarts: {restarts}");
        let mut soc = desk_or(restarts, soc);
        fake.answers(|_| Attempt::Delivered);
        minutes(&mut soc, 4 * 60).await;
        assert_eq!(
            fake.taken().len(),
            2,
            "the first and its repeat, restarts: {restarts}: {:?}",
            fake.taken()
        );
    }
}

#[tokio::test]
async fn what_was_being_sent_when_the_daemon_was_killed_is_sent_again_within_minutes() {
    let (world, fake) = (World::ahead(), Fake::willing());
    world.owe(&alerts(0..1, Level::High)).await;
    let sending = Standing::Sending { until: world.office.clock.now() + Millis::mins(3) };
    let delivery = world.deliveries().await.remove(0);
    world
        .commit(vec![Change::Delivery(Box::new(Delivery { tries: 1, standing: sending, ..delivery }))])
        .await;
    world.set_right();
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    minutes(&mut desk, 4).await;
    assert_eq!(what(&fake), ["ana0"]);
}

#[tokio::test]
async fn what_a_silence_holds_is_held_until_it_ends() {
    let (world, fake) = (World::ahead(), Fake::willing());
    world.owe(&alerts(0..1, Level::High)).await;
    let held = Silence { until: NOW + Millis::hours(6), ..silence(&[], 0) };
    world.commit(vec![Change::Silence(held)]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    minutes(&mut desk, 1).await;
    world.set_right();
    minutes(&mut desk, 5 * 60).await;
    assert_eq!(fake.given(), []);
    minutes(&mut desk, 2 * 60).await;
    assert_eq!(fake.taken(), ["360:00 ana0"]);
}

#[tokio::test]
async fn the_services_limit_is_kept_while_the_clock_is_set_right_and_lasts_no_longer() {
    let (world, fake) = (World::ahead(), Fake::willing());
    let slow = Target { transport: Transport { per_minute: 2, burst: 2 }, ..target(&fake, Limits::none()) };
    world.owe(&alerts(0..4, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), slow);
    minutes(&mut desk, 0).await;
    assert_eq!(what(&fake), ["ana0", "ana1"]);
    world.set_right();
    minutes(&mut desk, 2).await;
    let late: Vec<String> = fake.taken()[2..].to_vec();
    assert_eq!(late, ["0:30 ana2", "1:00 ana3"]);
}
