//! A flood over ten receivers, one of which is down for a while and one of which asks for time:
//! virtual time, scripted receivers, the real desks and the real store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::alert::AlertId;
use crate::deliver::KINDS;
use crate::record::RuleId;
use crate::route::Route;
use crate::route::plan::AGED;
use crate::store::sqlite::Sqlite;

/// Alerts of a whole flood.
const WHOLE: u32 = 45_000;
/// How long alerts keep coming.
const LASTS: Millis = Millis::mins(10);
/// Critical ones among them, evenly spread.
const CRITICAL: u32 = 20;
/// How long Slack is down.
const DOWN: Millis = Millis::mins(25);
/// How long the Alertmanager asks to be left alone, once it was given this many in ten seconds.
const THROTTLE: (Millis, usize) = (Millis::secs(20), 60);
/// A desk looks at what has come this soon.
const LAG: Millis = Millis::secs(2);
const TENANTS: [&str; 3] = ["acme", "bravo", "corp"];
const RULES: [&str; 6] = ["noisy", "burst", "spray", "travel", "new-net", "slow"];
/// What takes turns.
type Lane = (Level, Arc<str>, RuleId);

/// The alert that comes as number `number` of `count`, and when.
fn coming(number: u32, count: u32) -> (Timestamp, Alert) {
    let at = NOW + Millis(LASTS.0 * i64::from(number) / i64::from(count));
    let every = count / CRITICAL;
    let critical = number % every == every / 2;
    // Four of five are of one rule of one tenant.
    let noisy = !critical && !number.is_multiple_of(5);
    let pick = (number / 5) as usize;
    let rule = if noisy { RULES[0] } else { RULES[pick % RULES.len()] };
    let tenant = if noisy { TENANTS[0] } else { TENANTS[pick / RULES.len() % TENANTS.len()] };
    let level = if critical {
        Level::Critical
    } else if noisy {
        Level::Medium
    } else {
        Level::ALL[pick / 7 % 4]
    };
    let alert = Alert { tenant: tenant.into(), rule: rule.parse().unwrap(), level, ..sample::alert(number) };
    (at, alert)
}

/// Who hears of an alert.
fn told(number: u32, alert: &Alert) -> Vec<&'static str> {
    const PEOPLE: [&str; 6] = ["slack", "teams", "dingtalk", "feishu", "wecom", "email"];
    if alert.level == Level::Critical {
        return [&PEOPLE[..], &["pagerduty", "alertmanager", "webhook", "file"]].concat();
    }
    let mut told = vec!["webhook", "file", PEOPLE[number as usize % PEOPLE.len()]];
    if alert.level == Level::High {
        told.push("pagerduty");
    }
    if &*alert.tenant != TENANTS[0] {
        told.push("alertmanager");
    }
    told
}

fn answering(kind: &str) -> Arc<Fake> {
    match kind {
        "slack" => {
            Fake::new(|given| if given.at < NOW + DOWN { try_again(None, true) } else { Attempt::Delivered })
        }
        "alertmanager" => {
            let lately: Mutex<VecDeque<Timestamp>> = Mutex::default();
            Fake::new(move |given| {
                let mut lately = lately.lock().unwrap();
                lately.retain(|at| given.at - *at < Millis::secs(10));
                if lately.len() >= THROTTLE.1 {
                    return try_again(Some(THROTTLE.0), true);
                }
                lately.push_back(given.at);
                Attempt::Delivered
            })
        }
        _ => Fake::willing(),
    }
}

/// What a kind's service allows. The webhook's is as small beside a small flood as it is beside a whole one, so
/// that much waits there.
fn transport(kind: &crate::deliver::Kind, count: u32) -> Transport {
    match kind.name {
        "webhook" => {
            let Transport { per_minute, burst } = kind.transport;
            let share = |whole: u32, least: u32| (whole * count / WHOLE).max(least);
            Transport { per_minute: share(per_minute, 12), burst: share(burst, 2) }
        }
        _ => kind.transport,
    }
}

struct Flood {
    world: World,
    count: u32,
    fakes: BTreeMap<&'static str, (Arc<Fake>, &'static crate::deliver::Kind)>,
    /// Deliveries on one desk at once, at most.
    most: usize,
    _folder: tempfile::TempDir,
}

/// A folder that needs no disk, where there is one.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Flood {
    async fn run(count: u32) -> Self {
        let folder = folder();
        let store = Arc::new(Sqlite::open(&folder.path().join("larum.db")).unwrap());
        let world = World::over(store, Clock::at(NOW), Steps::none());
        let fakes = KINDS.iter().filter(|kind| !matches!(kind.name, "smn" | "stdout"));
        let fakes: BTreeMap<_, _> = fakes.map(|kind| (kind.name, (answering(kind.name), kind))).collect();
        assert_eq!(fakes.len(), 10);
        let mut flood = Self { world, count, fakes, most: 0, _folder: folder };
        flood.play().await;
        flood
    }

    /// Lets alerts come and desks work, each at its time, until nothing waits.
    async fn play(&mut self) {
        let clock = self.world.office.clock.clone();
        let mut desks: Vec<(Desk, Timestamp)> = Vec::new();
        for (name, (fake, kind)) in &self.fakes {
            let limits = if kind.human { Limits::human() } else { Limits::none() };
            let target = Target {
                name: super::name(name),
                transport: transport(kind, self.count),
                ..target(fake, limits)
            };
            desks.push((Desk::new(self.world.office.clone(), target), NOW));
        }
        let mut coming = (0..self.count).map(|number| (number, coming(number, self.count))).peekable();
        // One alert of ten grows a minute later; critical ones do not, so that people's limit has room for all.
        let mut growing: VecDeque<(Timestamp, u32, Alert)> = VecDeque::new();
        let mut rings = 0;
        loop {
            let next = [coming.peek().map(|(_, (at, _))| *at), growing.front().map(|(at, ..)| *at)];
            let next = next.into_iter().flatten().min().unwrap_or(Timestamp::MAX);
            let (desk, at) = desks.iter_mut().min_by_key(|(_, at)| *at).unwrap();
            if *at == Timestamp::MAX && next == Timestamp::MAX {
                break;
            }
            if next <= *at {
                // What comes within a second is one commit of its tenant, as an intake makes it.
                let end = next + Millis::secs(1);
                clock.set(next);
                let mut batch: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
                let mut owe = |number: u32, alert: &Alert| {
                    let changes = batch.entry(alert.tenant.clone()).or_default();
                    for name in told(number, alert) {
                        changes.extend(owed(alert, name, next));
                    }
                };
                while let Some((number, (_, alert))) = coming.next_if(|(_, (at, _))| *at < end) {
                    owe(number, &alert);
                    if number % 10 == 3 && alert.level < Level::Critical {
                        growing.push_back((next + Millis::mins(1), number, alert));
                    }
                }
                while growing.front().is_some_and(|(at, ..)| *at < end) {
                    let (_, number, alert) = growing.pop_front().unwrap();
                    owe(number, &Alert { revision: 2, state: State::Updated, count: 50, ..alert });
                }
                for (tenant, changes) in batch {
                    let store = self.world.office.store.as_ref();
                    let fence = self.world.office.fences.of(store, &tenant).await.unwrap();
                    store.commit(fence, changes).await.unwrap();
                }
                rings += 1;
                for (_, at) in &mut desks {
                    *at = (*at).min(next);
                }
                continue;
            }
            clock.set(*at);
            *at = match desk.turn(rings).await.unwrap() {
                Next::Again => *at,
                Next::Until(until) => until.max(*at),
                Next::Idle => Timestamp::MAX,
            };
            self.most = self.most.max(desk.queue.len());
            while self.world.heard.try_recv().is_ok() {}
        }
    }

    fn given(&self, name: &str) -> Vec<Given> {
        self.fakes[name].0.given()
    }

    async fn check(&self) {
        let deliveries = self.world.deliveries().await;
        let by_id: BTreeMap<DeliveryId, &Delivery> = deliveries.iter().map(|of| (of.id, of)).collect();
        for name in self.fakes.keys() {
            self.transport_is_kept(name);
            self.people_are_told_no_more_than_they_can_read(name, &by_id);
        }
        everything_arrives(&deliveries, &by_id);
        self.critical_ones_arrive_in_time(&deliveries);
        for machine in ["webhook", "file"] {
            self.order_is_kept(machine, &by_id);
        }
    }

    /// Never more messages than its service allows, those that it refused among them.
    fn transport_is_kept(&self, name: &str) {
        let Transport { per_minute, burst } = transport(self.fakes[name].1, self.count);
        let (whole, mut left, mut before) = (i64::from(burst) * 60_000, i64::from(burst) * 60_000, NOW);
        for given in self.given(name) {
            left = whole.min(left + (given.at - before).0 * i64::from(per_minute));
            left -= 60_000;
            before = given.at;
            assert!(left >= 0, "{name} at {}", clock_face(given.at));
        }
    }

    fn people_are_told_no_more_than_they_can_read(
        &self,
        name: &str,
        by_id: &BTreeMap<DeliveryId, &Delivery>,
    ) {
        if !self.fakes[name].1.human {
            return;
        }
        for level in Level::ALL {
            let at_most = Limits::human().of(level).unwrap();
            let taken = self.given(name).into_iter().filter(|given| given.taken);
            let times: Vec<Timestamp> =
                taken.filter(|given| by_id[&given.delivery].level == level).map(|given| given.at).collect();
            for span in times.windows(at_most.count as usize + 1) {
                let (first, last) = (span[0], *span.last().unwrap());
                assert!(last - first >= at_most.within, "{name}, {level} at {}", clock_face(last));
            }
        }
    }

    async fn critical_late(&self, name: &str) -> Millis {
        let deliveries = self.world.deliveries().await;
        let of = deliveries.iter().filter(|of| of.receiver.as_str() == name && of.level == Level::Critical);
        let late = of.filter_map(|of| match &of.standing {
            Standing::Delivered { at } => Some(*at - of.created),
            Standing::Waiting
            | Standing::Sending { .. }
            | Standing::Dead { .. }
            | Standing::Discarded { .. }
            | Standing::Folded { .. } => None,
        });
        late.max().unwrap()
    }

    /// Every critical one, by itself, as soon as the tokens that are kept for it allow.
    fn critical_ones_arrive_in_time(&self, deliveries: &[Delivery]) {
        for (name, (_, kind)) in &self.fakes {
            let critical =
                deliveries.iter().filter(|of| of.receiver.as_str() == *name && of.level == Level::Critical);
            let critical: Vec<&Delivery> =
                critical.filter(|of| matches!(of.body, Body::Alert { revision: 1, .. })).collect();
            assert_eq!(critical.len(), CRITICAL as usize, "{name}");
            let one = Millis(60_000 / i64::from((transport(kind, self.count).per_minute * 30 / 100).max(1)));
            for of in critical {
                let Standing::Delivered { at } = &of.standing else { panic!("{name}: {of:?}") };
                let most = match *name {
                    // When it is back it is found out within the longest rest, and all go one after the other.
                    "slack" => {
                        let back = NOW + DOWN + crate::route::retry::CAP;
                        Millis((back + Millis(one.0 * i64::from(CRITICAL)) - of.created).0)
                    }
                    "alertmanager" => THROTTLE.0 + one + LAG,
                    _ => one + LAG,
                };
                assert!(*at - of.created <= most, "{name}: {} instead of {most}", *at - of.created);
            }
        }
    }

    /// What waits at a machine is sent by rank, news before repeats, and its rules take turns.
    fn order_is_kept(&self, name: &str, by_id: &BTreeMap<DeliveryId, &Delivery>) {
        let given: Vec<&Delivery> =
            self.given(name).iter().filter(|given| given.taken).map(|given| by_id[&given.delivery]).collect();
        let times: Vec<Timestamp> = self.given(name).iter().map(|given| given.at).collect();
        let lane = |of: &Delivery| -> Lane { (of.level, of.tenant.clone(), of.rule.clone()) };
        let is_first = |of: &Delivery| matches!(of.body, Body::Alert { revision: 1, .. });
        let class = |of: &Delivery, now: Timestamp| !(is_first(of) || now - of.created >= AGED);
        let rank = |of: &Delivery, now: Timestamp| match of.level {
            Level::Critical => 4,
            Level::Informational | Level::Low | Level::Medium | Level::High => {
                (of.level as i64 + (now - of.created).0 / AGED.0).min(3)
            }
        };
        // Heads of what waits, of each lane: what is news, and what is not.
        let mut waiting: BTreeMap<(Lane, bool), VecDeque<&Delivery>> = BTreeMap::new();
        let mut all: Vec<&Delivery> = given.clone();
        all.sort_by_key(|of| of.created);
        let mut coming = all.into_iter().peekable();
        // How often each lane was served while another waited, since that one was served itself.
        let mut passed: BTreeMap<Lane, BTreeMap<Lane, usize>> = BTreeMap::new();
        for (sent, now) in given.iter().zip(times) {
            while let Some(of) = coming.next_if(|of| of.created <= now) {
                waiting.entry((lane(of), is_first(of))).or_default().push_back(of);
            }
            let own = waiting.get_mut(&(lane(sent), is_first(sent))).unwrap();
            let place = own.iter().position(|of| of.id == sent.id).unwrap();
            own.remove(place);
            passed.remove(&lane(sent));
            let (level, rank_sent, class_sent) = (sent.level, rank(sent, now), class(sent, now));
            let old = |of: &&Delivery| now - of.created >= LAG;
            for ((other, _), queue) in &waiting {
                let Some(head) = queue.front().copied().filter(old) else { continue };
                if level == Level::Critical {
                    continue;
                }
                assert!(rank(head, now) < 4, "{name}: a critical one waits at {}", clock_face(now));
                assert!(rank(head, now) <= rank_sent, "{name}: {head:?} waits for {sent:?}");
                if rank(head, now) == rank_sent {
                    assert!(
                        class(head, now) >= class_sent,
                        "{name}: news wait for a repeat: {head:?}, {sent:?}"
                    );
                    if (other.0, class(head, now)) == (level, class_sent) && *other != lane(sent) {
                        let times = passed.entry(other.clone()).or_default().entry(lane(sent)).or_default();
                        *times += 1;
                        assert!(*times <= 2, "{name}: {other:?} waits for {sent:?} at {}", clock_face(now));
                    }
                }
            }
        }
    }
}

/// Each delivery came to its end: taken, or told by one that was; digests say of how many alerts they tell.
fn everything_arrives(deliveries: &[Delivery], by_id: &BTreeMap<DeliveryId, &Delivery>) {
    let mut members: BTreeMap<DeliveryId, BTreeSet<AlertId>> = BTreeMap::new();
    for of in deliveries {
        let mut end = of;
        while let Standing::Folded { into } = &end.standing {
            let next = by_id[into];
            if let (Body::Alert { id, .. }, Body::Digest(_)) = (&of.body, &next.body)
                && end.id == of.id
            {
                members.entry(*into).or_default().insert(*id);
            }
            end = next;
        }
        assert!(matches!(end.standing, Standing::Delivered { .. }), "{of:?}, told by {end:?}");
    }
    for of in deliveries {
        if let Body::Digest(digest) = &of.body {
            assert_eq!(members.get(&of.id).map(|alerts| alerts.len() as u64), Some(digest.count), "{of:?}");
            let named: u64 = digest.lines.iter().map(|line| line.count).sum();
            assert_eq!(named + digest.others, digest.count);
            assert!(of.level < Level::Critical || digest.groups.len() <= 1);
        }
    }
}

#[tokio::test]
async fn in_a_flood_critical_alerts_come_in_time_and_nothing_is_lost_or_too_much() {
    let flood = Flood::run(450).await;
    flood.check().await;
    assert!(flood.most <= crate::route::plan::MAX_MEMBERS);
}

/// The whole of it; `tests/accept/run delivery` runs it.
#[tokio::test]
#[ignore = "takes a while"]
async fn in_a_flood_of_45_000_critical_alerts_come_in_time_and_nothing_is_lost_or_too_much() {
    let flood = Flood::run(WHOLE).await;
    flood.check().await;
    let deliveries = flood.world.deliveries().await;
    for name in flood.fakes.keys() {
        let given = flood.given(name);
        let of: Vec<&Delivery> = deliveries.iter().filter(|of| of.receiver.as_str() == *name).collect();
        let digests = of.iter().filter(|of| matches!(of.body, Body::Digest(_))).count();
        println!(
            "flood: {name}: {} owed, {} tries, {} taken, {digests} of them digests, done after {}, critical late by {} \
             at most",
            of.len() - digests,
            given.len(),
            given.iter().filter(|given| given.taken).count(),
            given.last().map_or(Millis::ZERO, |given| given.at - NOW),
            flood.critical_late(name).await,
        );
    }
    let peak = peak_memory();
    println!("flood: {} on one desk at most, {peak} MiB of memory at most", flood.most);
    assert!(flood.most <= crate::route::plan::MAX_MEMBERS);
    assert!(peak < 1_024, "{peak} MiB");
}

/// Of this process, in MiB; 0 where the system does not tell.
#[expect(clippy::disallowed_methods, reason = "what it costs is asked of the system")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    kib / 1_024
}

/// The one digest that there is.
async fn the_digest(world: &World) -> serde_json::Value {
    let digest = world.deliveries().await.into_iter().find_map(|delivery| match delivery.body {
        Body::Digest(digest) => Some(digest),
        Body::Alert { .. } => None,
    });
    serde_json::to_value(digest.unwrap()).unwrap()
}

#[tokio::test]
async fn a_digest_of_ends_begins_when_its_first_alert_fired() {
    let (world, fake) = (World::new(), Fake::willing());
    let all = alerts(0..3, Level::Medium);
    world.owe(&all).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, medium(3, 15)));
    until(&mut desk, 1).await.unwrap();
    let over = |alert: &Alert| {
        let at = alert.at + Millis::mins(5);
        Alert { revision: 2, state: State::Closed, at, ..alert.clone() }
    };
    world.owe(&all.iter().map(over).collect::<Vec<_>>()).await;
    until(&mut desk, 30).await.unwrap();
    assert_eq!(fake.taken()[3..], ["15:00 digest of 3 (limit)"]);
    let digest = the_digest(&world).await;
    assert_eq!((&digest["from"], &digest["over"]), (&serde_json::json!(all[0].at), &3.into()));
}

#[tokio::test]
async fn what_is_told_again_is_no_other_alert_and_goes_after_what_is_new() {
    let (world, fake) = (World::new(), Fake::willing());
    let routes = [Route { to: vec![name("soc")], repeat: Some(Millis::mins(10)), ..Route::default() }];
    let routing = crate::daemon::routing::Routing {
        routes: crate::route::Routes { routes: routes.to_vec() },
        ..crate::daemon::routing::Routing::default()
    };
    let tell = async |alert: &Alert| {
        let owed = routing.owed(alert, world.office.clock.now());
        world.commit([vec![Change::Alert(Box::new(alert.clone()))], owed].concat()).await;
    };
    let all = alerts(0..4, Level::Medium);
    for alert in &all[..3] {
        tell(alert).await;
    }
    let mut desk = Desk::new(world.office.clone(), target(&fake, medium(3, 55)));
    until(&mut desk, 52).await.unwrap();
    tell(&all[3]).await;
    until(&mut desk, 56).await.unwrap();
    // Three were told five times more each while nothing had room, and the fourth had to wait, too.
    assert_eq!(fake.taken()[3..], ["55:00 digest of 4 (limit)"]);
    let digest = the_digest(&world).await;
    let counts = (&digest["count"], &digest["repeated"], &digest["lines"][0]["count"]);
    assert_eq!(counts, (&4.into(), &15.into(), &4.into()));
}

/// `alert`, of which `soc` was told, and is to be told every four hours from now on.
fn owed_again(alert: &Alert) -> Vec<Change> {
    let mut changes = owed(alert, "soc", NOW);
    for change in &mut changes {
        if let Change::Owed(first) = change {
            first.terms = Terms { repeat: Some(Millis::hours(4)), again: true, ..Terms::default() };
        }
    }
    changes
}

#[tokio::test]
async fn what_is_new_has_the_room_before_what_is_told_again() {
    let (world, fake) = (World::new(), Fake::willing());
    let again = alerts(0..5, Level::Medium);
    for alert in &again {
        world.commit(owed_again(alert)).await;
    }
    world.owe(&alerts(5..8, Level::Medium)).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, medium(3, 15)));
    until(&mut desk, 1).await.unwrap();
    assert_eq!(fake.taken(), ["0:00 ana5", "0:00 ana6", "0:00 ana7"]);
}

#[tokio::test]
async fn what_a_silence_held_once_does_not_say_so_when_it_is_told_again() {
    let (world, fake) = (World::new(), Fake::willing());
    world.commit(vec![Change::Silence(silence(&[], 30))]).await;
    world.commit(owed_again(&alerts(0..1, Level::High)[0])).await;
    let mut desk = Desk::new(world.office.clone(), target(&fake, Limits::none()));
    until(&mut desk, 60).await.unwrap();
    assert_eq!(fake.taken(), ["30:00 ana0"]);
    let next = world.deliveries().await.into_iter().find(|of| of.standing == Standing::Waiting).unwrap();
    assert_eq!((next.last_reason, next.held_by), (None, None));
}
