//! A receiver that answers by a script, a store, a clock that the test moves, and the desk between.

mod clock;
mod crash;
mod flood;
mod order;
mod terms;
mod watchdog;

use std::sync::Mutex;

use super::*;
use crate::alert::{Alert, State};
use crate::daemon::orders::{Clerk, Order, Reply};
use crate::deliver::{Content, Message, Thread, Trying};
use crate::record::Timestamp;
use crate::route::retry::PROBE_EVERY;
use crate::route::{AtMost, Attempt, Body, Delivery, Silence, SilenceId, Standing, Terms, sample};
use crate::store::model::Model;
use crate::store::{Change, DeliveryQuery};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const FAST: Transport = Transport { per_minute: 60_000, burst: 1_000 };

/// One message that a receiver was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    at: Timestamp,
    delivery: DeliveryId,
    /// `ana7`, `digest of 4 (limit)` or `probe`.
    what: String,
    thread: Option<Thread>,
    plain: bool,
    taken: bool,
}

type Answering = Box<dyn Fn(&Given) -> Attempt + Send + Sync>;

/// A receiver that writes down what it is given and answers as the test says.
struct Fake {
    given: Mutex<Vec<Given>>,
    answer: Mutex<Answering>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    fn new(answer: impl Fn(&Given) -> Attempt + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { given: Mutex::default(), answer: Mutex::new(Box::new(answer)) })
    }

    fn willing() -> Arc<Self> {
        Self::new(|_| Attempt::Delivered)
    }

    fn answers(&self, answer: impl Fn(&Given) -> Attempt + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn given(&self) -> Vec<Given> {
        self.given.lock().unwrap().clone()
    }

    /// `minutes:seconds what`, of what was taken.
    fn taken(&self) -> Vec<String> {
        let taken = self.given().into_iter().filter(|given| given.taken);
        taken.map(|given| format!("{} {}", clock_face(given.at), given.what)).collect()
    }
}

fn clock_face(at: Timestamp) -> String {
    let seconds = (at - NOW).0 / 1_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

impl Receiver for Fake {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let what = match &message.content {
                Content::Alert(alert) => alert.title.split(':').next().unwrap().to_owned(),
                Content::Digest(digest) => format!("digest of {} ({})", digest.count, digest.because),
                Content::Probe => "probe".to_owned(),
                Content::Watchdog(every) => format!("watchdog {every}"),
            };
            let (at, plain, thread) = (message.now, message.plain, message.thread.clone());
            let mut given = Given { at, delivery: message.id, what, thread, plain, taken: false };
            let attempt = (self.answer.lock().unwrap())(&given);
            given.taken = attempt == Attempt::Delivered;
            self.given.lock().unwrap().push(given);
            attempt
        })
    }

    fn mark(&self, delivery: DeliveryId) -> Option<String> {
        Some(format!("<{delivery}>"))
    }
}

fn name(text: &str) -> ReceiverName {
    text.parse().unwrap()
}

fn target(receiver: &Arc<Fake>, limits: Limits) -> Target {
    Target { name: name("soc"), receiver: receiver.clone(), transport: FAST, limits, watchdog: None }
}

struct World {
    office: Office,
    heard: mpsc::Receiver<Event>,
}

impl World {
    fn new() -> Self {
        Self::over(Arc::new(Model::default()), Clock::at(NOW), Steps::none())
    }

    fn over(store: Arc<dyn Store>, clock: Clock, steps: Steps) -> Self {
        let (events, heard) = Events::channel();
        let fences = Arc::default();
        let meters = Meters::default();
        let office = Office { store, fences, clock, zone: chrono_tz::UTC, events, steps, meters };
        Self { office, heard }
    }

    async fn commit(&self, changes: Vec<Change>) {
        let store = self.office.store.as_ref();
        let fence = self.office.fences.of(store, &"default".into()).await.unwrap();
        store.commit(fence, changes).await.unwrap();
    }

    /// Owes `soc` a message of each alert, from now on.
    async fn owe(&self, alerts: &[Alert]) {
        for alert in alerts {
            let changes = owed(alert, "soc", self.office.clock.now());
            self.commit(changes).await;
        }
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let query = DeliveryQuery { most: usize::MAX, ..DeliveryQuery::default() };
        self.office.store.deliveries(query).await.unwrap()
    }

    async fn standings(&self) -> Vec<&'static str> {
        self.deliveries().await.iter().map(|delivery| delivery.standing.word()).collect()
    }

    /// What was told to the daemon, in short.
    fn events(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(event) = self.heard.try_recv() {
            all.push(match event {
                Event::Delivered { .. } => continue,
                Event::Dead { reason, .. } => format!("dead: {reason}"),
                Event::Failing { reason, .. } => format!("failing: {reason}"),
                Event::Paused { reason, .. } => format!("paused: {reason}"),
                Event::Asked { at, until, .. } => {
                    format!("asked at {} until {}", clock_face(at), clock_face(until))
                }
                Event::Recovered { .. } => "recovered".to_owned(),
                Event::StoreTrouble { reason, .. } => format!("store: {reason}"),
            });
        }
        all
    }
}

fn owed(alert: &Alert, receiver: &str, now: Timestamp) -> Vec<Change> {
    let receiver = name(receiver);
    let delivery = Delivery {
        id: DeliveryId::of_alert(&alert.tenant, &receiver, alert.id, alert.revision),
        tenant: alert.tenant.clone(),
        receiver,
        rule: alert.rule.clone(),
        level: alert.level,
        body: Body::Alert { id: alert.id, revision: alert.revision },
        created: now,
        due: now,
        tries: 0,
        waited: Millis::ZERO,
        plain: false,
        held_by: None,
        last_reason: None,
        terms: Terms::default(),
        standing: Standing::Waiting,
    };
    vec![Change::Alert(Box::new(alert.clone())), Change::Owed(Box::new(delivery))]
}

fn alerts(numbers: std::ops::Range<u32>, level: Level) -> Vec<Alert> {
    numbers.map(|number| Alert { level, ..sample::alert(number) }).collect()
}

/// Lets the desk work until `minutes` after the beginning, the clock moving on when it waits.
async fn until(desk: &mut Desk, minutes: i64) -> Result<(), Ended> {
    let clock = desk.office.clock.clone();
    let end = NOW + Millis::mins(minutes);
    for _ in 0..100_000 {
        match desk.turn(0).await? {
            Next::Again => {}
            Next::Until(at) if at <= end => clock.set(at),
            Next::Until(_) | Next::Idle => {
                clock.set(end);
                return Ok(());
            }
        }
    }
    panic!("the desk is never done");
}

fn medium(count: u32, mins: i64) -> Limits {
    Limits::none().with(Level::Medium, Some(AtMost { count, within: Millis::mins(mins) }))
}

fn unwelcome() -> Attempt {
    Attempt::Unwelcome { reason: "403 Forbidden".to_owned() }
}

fn try_again(wait: Option<Millis>, everyone: bool) -> Attempt {
    Attempt::TryAgain { wait, everyone, reason: "503\r\nbusy".to_owned() }
}

#[tokio::test]
async fn what_is_owed_is_sent_and_settled_with_its_history() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(1..4, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::human()));
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana1", "0:00 ana2", "0:00 ana3"]);
    assert_eq!(world.standings().await, ["delivered"; 3]);
    let first = &world.deliveries().await[0];
    let tries = world.office.store.tries(first.id).await.unwrap();
    assert_eq!((tries.len(), tries[0].outcome.as_deref(), tries[0].at), (1, Some("delivered"), NOW));
    assert_eq!((first.tries, first.last_reason.as_deref()), (1, Some("delivered")));
}

#[tokio::test]
async fn a_flood_is_a_few_messages_and_one_digest_with_the_right_counts() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(0..30, Level::Medium)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, medium(3, 15)));
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana0", "0:00 ana1", "0:00 ana2", "15:00 digest of 27 (limit)"]);
    let deliveries = world.deliveries().await;
    let digest = deliveries.iter().find(|delivery| matches!(delivery.body, Body::Digest(_))).unwrap();
    let Body::Digest(body) = &digest.body else { unreachable!() };
    assert_eq!((body.lines[0].count, body.groups.len(), body.to - body.from), (27, 10, Millis(26)));
    let folded = deliveries.iter().filter(|of| of.standing == Standing::Folded { into: digest.id });
    assert_eq!(folded.count(), 27);
}

#[tokio::test]
async fn a_critical_message_passes_the_flood_of_milder_ones() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(0..30, Level::Medium)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, medium(3, 15)));
    until(&mut desk, 5).await.unwrap();
    world.owe(&alerts(90..91, Level::Critical)).await;
    until(&mut desk, 10).await.unwrap();
    assert_eq!(fake.taken().last().unwrap(), "5:00 ana90");
}

#[tokio::test]
async fn the_transport_limit_is_kept_across_a_restart() {
    let (world, fake) = (World::new(), Fake::willing());
    let slow = Target { transport: Transport { per_minute: 2, burst: 2 }, ..target(&fake, Limits::none()) };
    world.owe(&alerts(0..3, Level::High)).await;
    for _ in 0..2 {
        let mut desk = Desk::new(world.office.clone(), slow.clone());
        until(&mut desk, 0).await.unwrap();
    }
    assert_eq!(fake.taken(), ["0:00 ana0", "0:00 ana1"]);
    let mut desk = Desk::new(world.office.clone(), slow);
    until(&mut desk, 5).await.unwrap();
    assert_eq!(fake.taken()[2], "0:30 ana2");
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_is_given_it() {
    let (world, fake) = (World::new(), Fake::new(|_| try_again(Some(Millis::secs(90)), true)));
    world.owe(&alerts(0..2, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.given().len(), 1, "the other is not even tried");
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 5).await.unwrap();
    assert_eq!(fake.taken(), ["1:30 ana0", "1:30 ana1"]);
    let tried = world.deliveries().await[0].id;
    let tries = world.office.store.tries(tried).await.unwrap();
    assert_eq!(tries[0].outcome.as_deref(), Some("try again: 503busy"), "no control characters");
}

/// A receiver that asked for hours and is asked again meanwhile, as `again` says.
async fn asked_for_hours(again: Again) -> (Vec<String>, Vec<String>) {
    let (mut world, fake) = (World::new(), Fake::new(|_| try_again(Some(Millis::hours(20)), true)));
    world.owe(&alerts(0..2, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 10).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    desk.ask(again).await.unwrap();
    until(&mut desk, 11).await.unwrap();
    (fake.taken(), world.events())
}

#[tokio::test]
async fn what_a_receiver_asked_for_is_told_and_over_when_it_takes_a_test_or_somebody_wants_a_try() {
    let told = "asked at 0:00 until 1200:00";
    assert_eq!(asked_for_hours(Again::Mended).await, (vec![], vec![told.to_owned()]));
    let both = ["10:00 ana0", "10:00 ana1"].map(str::to_owned).to_vec();
    let events = [told, "asked at 10:00 until 10:00", "recovered"].map(str::to_owned).to_vec();
    assert_eq!(asked_for_hours(Again::Wanted).await, (both.clone(), events));
    let events = [told, "recovered"].map(str::to_owned).to_vec();
    assert_eq!(asked_for_hours(Again::TookTest).await, (both, events));
}

#[tokio::test]
async fn a_body_that_is_refused_by_its_form_is_sent_plain_once() {
    let (mut world, fake) =
        (World::new(), Fake::new(|_| Attempt::Malformed { reason: "too large".to_owned() }));
    world.owe(&alerts(0..1, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.given().iter().map(|given| given.plain).collect::<Vec<_>>(), [false, true]);
    assert_eq!(world.standings().await, ["dead"]);
    assert_eq!(world.events(), ["dead: too large"]);
}

#[tokio::test]
async fn a_dead_letter_that_is_redriven_is_sent_whole_first() {
    let (world, fake) =
        (World::new(), Fake::new(|_| Attempt::Malformed { reason: "400 Bad Request".to_owned() }));
    world.owe(&alerts(0..1, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    assert_eq!(world.standings().await, ["dead"]);
    let redrive = async || {
        let store = &*world.office.store;
        let tenant = world.deliveries().await[0].tenant.clone();
        let fences =
            BTreeMap::from([(tenant.clone(), world.office.fences.of(store, &tenant).await.unwrap())]);
        let clerk = Clerk { store, fences, now: world.office.clock.now(), declared: None, receivers: None };
        let reply = clerk.carry_out(&Order::Redrive { delivery: None, receiver: None }).await.unwrap();
        assert_eq!(reply, Some(Reply::Done("1 delivery owed again".to_owned())));
    };
    redrive().await;
    until(&mut desk, 2).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    redrive().await;
    until(&mut desk, 3).await.unwrap();
    // As long as the body is refused a short one is tried, too.
    let plain: Vec<_> = fake.given().iter().map(|given| given.plain).collect();
    assert_eq!(plain, [false, true, false, true, false]);
    assert_eq!(world.standings().await, ["delivered"]);
}

#[tokio::test]
async fn a_body_that_is_unwelcome_by_itself_is_a_dead_letter_and_others_go_on() {
    let hostile = |given: &Given| if given.what == "ana1" { unwelcome() } else { Attempt::Delivered };
    let (mut world, fake) = (World::new(), Fake::new(hostile));
    world.owe(&alerts(0..4, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana0", "0:00 probe", "0:00 ana2", "0:00 ana3"]);
    assert_eq!(world.standings().await, ["delivered", "dead", "delivered", "delivered"]);
    assert_eq!(world.events(), ["dead: 403 Forbidden; this message alone: the receiver takes others"]);
}

#[tokio::test]
async fn many_hostile_bodies_bring_about_few_probes_and_none_mutes_the_others() {
    let hostile = |given: &Given| {
        let odd =
            given.what.strip_prefix("ana").is_some_and(|number| number.parse::<u32>().unwrap() % 2 == 1);
        if odd { unwelcome() } else { Attempt::Delivered }
    };
    let (world, fake) = (World::new(), Fake::new(hostile));
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    for minute in 0..30 {
        world.owe(&alerts(minute * 10..minute * 10 + 10, Level::High)).await;
        until(&mut desk, i64::from(minute) + 1).await.unwrap();
    }
    until(&mut desk, 120).await.unwrap();
    let standings = world.standings().await;
    let count = |word: &str| standings.iter().filter(|standing| **standing == word).count();
    assert_eq!((count("delivered"), count("dead")), (150, 150));
    let probes = fake.given().iter().filter(|given| given.what == "probe").count();
    assert!(probes <= 4, "{probes}");
}

#[tokio::test]
async fn a_receiver_that_refuses_a_probe_is_paused_probed_again_and_resumed() {
    let (mut world, fake) = (World::new(), Fake::new(|_| unwelcome()));
    world.owe(&alerts(0..3, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 20).await.unwrap();
    let given: Vec<String> =
        fake.given().iter().map(|given| format!("{} {}", clock_face(given.at), given.what)).collect();
    assert_eq!(given, ["0:00 ana0", "0:00 probe", "15:00 probe"]);
    assert_eq!(world.events(), ["paused: unwelcome: 403 Forbidden"]);
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken(), ["30:00 probe", "30:00 ana0", "30:00 ana1", "30:00 ana2"]);
    assert_eq!(world.events(), ["recovered"]);
    assert_eq!(PROBE_EVERY, Millis::mins(15));
}

#[tokio::test]
async fn what_met_a_paused_receiver_goes_out_as_soon_as_it_is_asked_again() {
    let (mut world, fake) = (World::new(), Fake::new(|_| unwelcome()));
    world.owe(&alerts(0..2, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 2).await.unwrap();
    assert_eq!(world.events(), ["paused: unwelcome: 403 Forbidden"]);
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 3).await.unwrap();
    assert_eq!(fake.taken(), [""; 0], "nobody asks before its time");
    desk.ask(Again::Mended).await.unwrap();
    until(&mut desk, 4).await.unwrap();
    assert_eq!(fake.taken(), ["3:00 probe", "3:00 ana0", "3:00 ana1"]);
    assert_eq!(world.events(), ["recovered"]);
}

#[tokio::test]
async fn what_met_a_paused_receiver_is_tried_at_once_by_the_next_life() {
    let (world, fake) = (World::new(), Fake::new(|_| unwelcome()));
    world.owe(&alerts(0..1, Level::High)).await;
    until(&mut Desk::new(world.office.clone(), target(&fake, Limits::none())), 2).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    until(&mut Desk::new(world.office.clone(), target(&fake, Limits::none())), 3).await.unwrap();
    assert_eq!(fake.taken(), ["2:00 ana0"]);
}

#[tokio::test]
async fn a_receiver_that_recovers_is_given_at_once_what_waits_for_another_try() {
    let (mut world, fake) = (World::new(), Fake::new(|_| try_again(None, false)));
    world.owe(&alerts(0..8, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 60).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 180).await.unwrap();
    assert_eq!(world.events(), ["failing: try again: 503busy", "recovered"]);
    let taken = fake.taken();
    let times: std::collections::BTreeSet<&str> =
        taken.iter().filter_map(|taken| taken.split(' ').next()).collect();
    assert_eq!((taken.len(), times.len()), (8, 1), "{taken:?}");
}

#[tokio::test]
async fn a_failing_receiver_is_left_alone_told_of_and_caught_up_with() {
    let (mut world, fake) = (World::new(), Fake::new(|_| try_again(None, false)));
    world.owe(&alerts(0..20, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 10).await.unwrap();
    let tried = fake.given().len();
    assert!((5..40).contains(&tried), "{tried} tries in ten minutes, not 20 messages times many");
    assert_eq!(world.events(), ["failing: try again: 503busy"]);
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken().len(), 20);
    assert_eq!(world.events(), ["recovered"]);
}

#[tokio::test]
async fn a_lost_answer_is_sent_again_under_the_same_id() {
    let (world, fake) = (World::new(), Fake::new(|_| Attempt::Unknown { reason: "reset".to_owned() }));
    world.owe(&alerts(0..1, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 0).await.unwrap();
    fake.answers(|_| Attempt::Delivered);
    until(&mut desk, 5).await.unwrap();
    let given = fake.given();
    assert_eq!((given.len(), given[0].delivery), (2, given[1].delivery));
}

fn silence(matches: &[(&str, &str)], until: i64) -> Silence {
    Silence {
        id: SilenceId([7; 8]),
        tenant: "default".into(),
        matches: matches.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        from: NOW,
        until: NOW + Millis::mins(until),
        by: "eve".to_owned(),
        because: "maintenance".to_owned(),
    }
}

#[tokio::test]
async fn a_silence_holds_messages_back_and_what_is_still_open_when_it_ends_is_sent() {
    let (world, fake) = (World::new(), Fake::willing());
    world.commit(vec![Change::Silence(silence(&[("user", "ana?")], 30))]).await;
    world.owe(&alerts(8..12, Level::Critical)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::human()));
    until(&mut desk, 20).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana10", "0:00 ana11"]);
    let held = &world.deliveries().await[0];
    assert_eq!(held.last_reason.as_deref(), Some("held back by silence 0707070707070707"));
    assert_eq!(held.why().word(), "silenced");
    let over = Alert { revision: 2, state: State::Closed, level: Level::Critical, ..sample::alert(8) };
    world.commit(vec![Change::Alert(Box::new(over))]).await;
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken()[2..], ["30:00 ana9", "30:00 digest of 1 (silence)"]);
}

#[tokio::test]
async fn what_a_silence_held_and_is_over_when_it_ends_is_told_in_one_message_that_names_it() {
    let (world, fake) = (World::new(), Fake::willing());
    world.commit(vec![Change::Silence(silence(&[], 60))]).await;
    let mut all = alerts(0..20, Level::Medium);
    all.extend(alerts(20..23, Level::High));
    world.owe(&all).await;
    // A receiver that knows an end is owed that, too.
    let over = |alert: &Alert| Alert { revision: 2, state: State::Closed, ..alert.clone() };
    let ends: Vec<Alert> = all.iter().map(over).collect();
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 10).await.unwrap();
    world.owe(&ends).await;
    until(&mut desk, 59).await.unwrap();
    assert_eq!(fake.given(), []);
    until(&mut desk, 120).await.unwrap();
    assert_eq!(fake.taken(), ["60:00 digest of 23 (silence)"]);
    let deliveries = world.deliveries().await;
    let digest = deliveries.iter().find(|delivery| matches!(delivery.body, Body::Digest(_))).unwrap();
    let Body::Digest(body) = &digest.body else { unreachable!() };
    let lines: Vec<_> =
        body.lines.iter().map(|line| format!("{} {} {}", line.rule, line.level, line.count)).collect();
    assert_eq!(lines, ["failure-burst medium 20", "failure-burst high 3"]);
    assert_eq!((digest.level, body.from), (Level::High, all[0].at));
    let folded = deliveries.iter().filter(|of| of.standing == Standing::Folded { into: digest.id });
    assert_eq!(folded.count(), 46);
}

#[tokio::test]
async fn the_end_of_an_alert_that_was_told_before_a_silence_is_told_after_it() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(1..2, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 1).await.unwrap();
    world.commit(vec![Change::Silence(silence(&[], 30))]).await;
    let end = Alert { revision: 2, state: State::Closed, title: "end: of it".to_owned(), ..sample::alert(1) };
    world.owe(&[end]).await;
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana1", "30:00 end"]);
}

#[tokio::test]
async fn a_silence_that_is_ended_early_releases_at_once() {
    let (world, fake) = (World::new(), Fake::willing());
    world.commit(vec![Change::Silence(silence(&[], 30))]).await;
    world.owe(&alerts(0..1, Level::High)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::human()));
    until(&mut desk, 10).await.unwrap();
    assert_eq!(fake.taken(), [""; 0]);
    world.commit(vec![Change::Unsilence { id: SilenceId([7; 8]), at: world.office.clock.now() }]).await;
    until(&mut desk, 11).await.unwrap();
    assert_eq!(fake.taken(), ["10:00 ana0"]);
}

#[tokio::test]
async fn repeats_of_an_alert_that_somebody_has_taken_are_put_aside_and_its_end_is_told() {
    let (world, fake) = (World::new(), Fake::willing());
    let fired = sample::alert(1);
    let repeat = Alert { revision: 2, state: State::Updated, ..sample::alert(1) };
    let end =
        Alert { revision: 3, state: State::Resolved, title: "end: of it".to_owned(), ..sample::alert(1) };
    world.commit(vec![Change::Alert(Box::new(fired)), Change::Alert(Box::new(repeat.clone()))]).await;
    let taken = Change::Acknowledged { alert: repeat.id, by: "eve".to_owned(), at: NOW };
    world.commit(vec![taken]).await;
    world.owe(&[repeat, end]).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::human()));
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 end"]);
    let Standing::Discarded { reason, .. } = &world.deliveries().await[0].standing else { panic!() };
    assert_eq!(reason, "eve has taken the alert");
}

#[tokio::test]
async fn what_an_operator_discards_while_it_waits_is_not_sent() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(0..2, Level::High)).await;
    let slow = Target { transport: Transport { per_minute: 1, burst: 1 }, ..target(&fake, Limits::none()) };
    let mut desk = Desk::new(world.office.clone(), slow);
    until(&mut desk, 0).await.unwrap();
    let second = world.deliveries().await.remove(1);
    let standing = Standing::Discarded { at: NOW, reason: "no need".to_owned() };
    world.commit(vec![Change::Delivery(Box::new(Delivery { standing, ..second }))]).await;
    until(&mut desk, 10).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana0"]);
}

/// Hangs until it is let go.
#[derive(Debug, Default)]
struct Hanging(Arc<Notify>);

impl Receiver for Hanging {
    fn send<'a>(&'a self, _: &'a Message) -> Trying<'a> {
        Box::pin(async {
            self.0.notified().await;
            Attempt::Delivered
        })
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other_and_a_stop_waits_for_its_try() {
    let (mut world, fake) = (World::new(), Fake::willing());
    let hanging = Hanging::default();
    let release = hanging.0.clone();
    let bad = Target { name: name("bad"), receiver: Arc::new(hanging), ..target(&fake, Limits::none()) };
    for alert in alerts(0..20, Level::High) {
        world.commit(owed(&alert, "bad", NOW)).await;
    }
    world.owe(&alerts(0..10, Level::High)).await;
    let dispatch = Dispatch::start(&world.office, vec![bad, target(&fake, Limits::none())]);
    for _ in 0..10 {
        let Some(Event::Delivered { receiver, .. }) = world.heard.recv().await else { panic!() };
        assert_eq!(receiver, name("soc"));
    }
    world.owe(&alerts(10..11, Level::High)).await;
    dispatch.wake();
    world.heard.recv().await.unwrap();
    assert_eq!(fake.taken().len(), 11, "woken by the bell");
    let stopping = tokio::spawn(dispatch.stop());
    tokio::task::yield_now().await;
    release.notify_one();
    stopping.await.unwrap().unwrap();
    let states: Vec<&str> = world.standings().await;
    let count = |word: &str| states.iter().filter(|state| **state == word).count();
    assert_eq!((count("delivered"), count("waiting"), count("sending")), (12, 19, 0), "the try was finished");
}

#[tokio::test]
async fn another_daemon_that_takes_over_stops_the_tasks() {
    let (world, fake) = (World::new(), Fake::willing());
    world.owe(&alerts(0..1, Level::High)).await;
    world.office.store.fence("default".into()).await.unwrap();
    let mut dispatch = Dispatch::start(&world.office, vec![target(&fake, Limits::none())]);
    let ended = dispatch.ended().await;
    assert!(matches!(ended, Ended::Store(StoreError::Fenced { .. })), "{ended}");
    assert_eq!(fake.given(), []);
}
