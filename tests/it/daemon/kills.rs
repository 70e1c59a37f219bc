//! The binary, killed with SIGKILL at random moments and started again, until the office's day is over.
//!
//! `LARUM_KILLS` says how often, `LARUM_SEED` repeats a run; both are printed.

use std::time::Duration;

use larum::daemon::clock::Clock;
use larum::record::{Millis, Timestamp};
use larum::simulate::{Options, office};

use super::checker::{self, Checker};
use super::house::{caught_up, until};
use super::steps::{self, Scene};

/// Kills in the gate.
const KILLS: u64 = 10;
/// How long a receiver takes to answer: long enough for kills to fall between message and answer.
const TAKES: Duration = Duration::from_millis(40);
/// Lists that are polled.
const LANES: usize = 3;
/// Longest life before a kill: about twice what starting takes, so that kills fall into all of it.
const LONGEST: u64 = 1_500;

/// What the environment says of `name`.
#[expect(clippy::disallowed_methods, reason = "how long the run is, and which, is its caller's matter")]
fn given(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_at_random_moments_loses_nothing() {
    let kills = given("LARUM_KILLS").unwrap_or(KILLS).max(1);
    let wall = Clock::wall();
    let seed = given("LARUM_SEED").unwrap_or_else(|| wall.now().0.unsigned_abs());
    println!("LARUM_KILLS={kills} LARUM_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let mut checker = Checker::new(steps::oracle().await);
    let world = office::office(7, office::START).unwrap();
    let ours = wall.clone();
    let scene = Scene::new(world, Options { speed: 0, ..Options::new(move || ours.now()) }, TAKES).await;
    let over = office::START + steps::OVER;
    // What happens before every lane has joined is the past, and is not told of: nothing happens until then.
    let mut joined = false;
    for kill in 1..=kills {
        let share = i64::try_from(kill).unwrap() * steps::OVER.0 / i64::try_from(kills).unwrap();
        let mut process = scene.house.run();
        if joined {
            scene.server.set_now(Timestamp(office::START.0 + share));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(1..=LONGEST))).await;
        assert!(process.runs(), "the daemon has ended by itself: {}", scene.house.log());
        process.kill();
        let store = checker::open(&scene.house.store()).await;
        joined = checker::joined(&store).await >= LANES;
        checker.look(&store).await;
    }

    let mut process = scene.house.run();
    for now in [scene.server.now(), over] {
        scene.server.set_now(now);
        until("all is read", async || {
            assert!(process.runs(), "the daemon has ended by itself: {}", scene.house.log());
            scene.house.status().await.filter(|status| caught_up(status, now))
        })
        .await;
    }
    process.end().await;
    {
        let store = checker::open(&scene.house.store()).await;
        checker.look(&store).await;
        checker.alerts(&store).await;
    }
    // What was under way at a kill is tried again when its lease is over.
    scene.drain(Clock::at(wall.now() + Millis::mins(10))).await;
    let store = checker::open(&scene.house.store()).await;
    let again = checker.deliveries(&store, &scene.received()).await;
    let received: usize = scene.received().values().map(Vec::len).sum();
    println!("{kills} kills: {received} messages received, {again} of them again, none lost");
}
