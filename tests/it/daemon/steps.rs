//! A daemon that dies before and after each of its durable and outward acts, and lives again on what
//! is left: nothing is lost, and nothing but what was under way is told twice.

use std::time::Duration;

use larum::daemon::clock::Clock;
use larum::daemon::run::{Daemon, DaemonError, Settings};
use larum::daemon::step::{Step, Steps};
use larum::record::{Millis, Timestamp};
use larum::simulate::{Options, Server, World, office};
use tokio::sync::watch;

use super::checker::{self, Checker, Received, Told};
use super::hook::{Hook, Manner};
use super::house::{House, caught_up, until};

/// Virtual seconds in a second of the daemon's clock.
const SPEED: u32 = 60;
/// Virtual time after the office's start at which its stories are over and settled.
pub const OVER: Millis = Millis::mins(36);

/// Lives after which nothing is owed any more.
const DRAINS: usize = 5;

/// The office, a daemon's folder and receivers, each told everything: `hook`, `pager` two messages in a minute,
/// and `picky`, which refuses one alert.
pub struct Scene {
    pub house: House,
    pub server: Server,
    hook: Hook,
    pager: Hook,
    picky: Hook,
}

impl Scene {
    pub async fn new(world: World, options: Options, takes: Duration) -> Self {
        let server = Server::start(world, options).await.unwrap();
        let manner = Manner { takes, ..Manner::default() };
        let (hook, pager) = (Hook::start(manner).await, Hook::start(manner).await);
        let picky = Hook::start(Manner { refuses: Some(checker::REFUSED), ..manner }).await;
        let limit = "{low: 2 in 1m, medium: 2 in 1m, high: 2 in 1m}";
        let receivers = format!(
            "  - {{name: hook, kind: webhook, url: \"{}\", secret: \"file:hook\"}}\n  \
             - {{name: pager, kind: webhook, url: \"{}\", secret: \"file:hook\", at_most: {limit}}}\n  \
             - {{name: picky, kind: webhook, url: \"{}\", secret: \"file:hook\"}}",
            hook.url(),
            pager.url(),
            picky.url()
        );
        let endpoints = "desktop_logins, app_logins, app_launches";
        let routes = "  - {match: {}, to: [hook, pager, picky]}";
        let house = House::new(&server.url(), endpoints, "14d", &receivers, routes);
        Self { house, server, hook, pager, picky }
    }

    pub fn received(&self) -> Received {
        let named =
            [("hook", self.hook.taken()), ("pager", self.pager.taken()), ("picky", self.picky.taken())];
        named.into_iter().map(|(name, taken)| (name.parse().unwrap(), taken)).collect()
    }

    /// Sends what is still owed, on a clock that is past every lease and limit. The office goes on until a daemon
    /// has ended, so that something may have been noted after the last look at it.
    pub async fn drain(&self, clock: Clock) {
        let settings = Settings { clock, watch: false, ..Settings::new(self.house.silent()) };
        // What a life notes in its last moment, such as the end of an alert, is the next one's to send.
        for _ in 0..DRAINS {
            live(settings.clone(), async |daemon| checker::settled(&*daemon.store).await).await.unwrap();
            if checker::settled(&checker::open(&self.house.store()).await).await {
                return;
            }
        }
        panic!("{DRAINS} lives leave something to be sent");
    }
}

/// Runs a daemon until `done`, or until it ends by itself.
async fn live(settings: Settings, mut done: impl AsyncFnMut(&Handle) -> bool) -> Result<(), DaemonError> {
    let daemon = until("the store is free", async || match Daemon::start(settings.clone()).await {
        Err(DaemonError::Store(larum::store::StoreError::Taken { .. })) => None,
        started => Some(started),
    })
    .await?;
    let handle = Handle { board: daemon.board(), store: daemon.store() };
    let (stop, stopping) = watch::channel(false);
    let mut running = tokio::spawn(daemon.run(stopping));
    let over = until("the daemon is through", async || {
        if running.is_finished() {
            return Some(());
        }
        done(&handle).await.then_some(())
    });
    over.await;
    drop(handle);
    // It may have ended by itself.
    let _ = stop.send(true);
    (&mut running).await.unwrap()
}

struct Handle {
    board: larum::daemon::status::Board,
    store: std::sync::Arc<dyn larum::store::Store>,
}

/// A life in the office on a clock of its own that stops at `steps`; true when it came to its end.
async fn office_life(scene: &Scene, clock: &Clock, steps: Steps) -> bool {
    let settings = Settings {
        clock: clock.clone(),
        steps: steps.clone(),
        watch: false,
        ..Settings::new(scene.house.config())
    };
    let over = office::START + OVER;
    let lived = live(settings, async |daemon| {
        caught_up(&daemon.board.read(), over) && checker::settled(&*daemon.store).await
    })
    .await;
    assert_eq!(lived.is_err(), steps.has_stopped(), "{lived:?}");
    lived.is_ok()
}

async fn office_scene(clock: &Clock) -> Scene {
    let world = office::office(7, office::START).unwrap();
    let wall = clock.clone();
    Scene::new(world, Options { speed: SPEED, ..Options::new(move || wall.now()) }, Duration::ZERO).await
}

/// What a daemon tells of the office that nobody disturbs.
pub async fn oracle() -> Vec<Told> {
    let clock = Clock::at(WALL);
    let scene = office_scene(&clock).await;
    assert!(office_life(&scene, &clock, Steps::none()).await);
    scene.drain(Clock::at(clock.now() + Millis::mins(10))).await;
    let store = checker::open(&scene.house.store()).await;
    let told = checker::alerts(&store).await;
    let checker = Checker::new(told.clone());
    assert_eq!(checker.deliveries(&store, &scene.received()).await, 0, "nothing is told twice");
    told
}

/// When the daemon's own clock begins: no matter.
const WALL: Timestamp = Timestamp(1_795_199_400_000);

/// Dies at `step`, at its first passing and at later ones, then lives to the end; how many messages
/// came again.
async fn dies_at(step: Step, oracle: Vec<Told>) -> usize {
    let clock = Clock::at(WALL);
    let scene = office_scene(&clock).await;
    let mut checker = Checker::new(oracle);
    for nth in [1, 2, 5] {
        let survived = office_life(&scene, &clock, Steps::stop_at(step, nth)).await;
        assert!(!survived || nth > 1, "{step:?} is never passed");
        if survived {
            break;
        }
        checker.look(&checker::open(&scene.house.store()).await).await;
    }
    assert!(office_life(&scene, &clock, Steps::none()).await, "{step:?}");
    let store = checker::open(&scene.house.store()).await;
    checker.look(&store).await;
    checker.alerts(&store).await;
    drop(store);
    scene.drain(Clock::at(clock.now() + Millis::mins(10))).await;
    checker.deliveries(&checker::open(&scene.house.store()).await, &scene.received()).await
}

/// Dies at each of `steps`; two daemons at a time, each in an office of its own.
async fn dies_at_each(steps: &'static [Step]) {
    let oracle = oracle().await;
    let (front, back) = steps.split_at(steps.len() / 2);
    let die = async |steps: &'static [Step]| {
        for step in steps {
            let again = dies_at(*step, oracle.clone()).await;
            // It was taken, and nobody knows: it must come again.
            assert!(*step != Step::AfterSend || again > 0, "{step:?}");
        }
    };
    tokio::join!(die(front), die(back));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_of_intake_loses_nothing() {
    Box::pin(dies_at_each(Step::INTAKE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_of_dispatch_loses_nothing() {
    Box::pin(dies_at_each(Step::DISPATCH)).await;
}
