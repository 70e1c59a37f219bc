//! Every trap of every service, through the dispatcher: the alert arrives, or is a dead letter with its
//! reason, and no other receiver waits meanwhile.
//!
//! Services are scripted and speak their own protocols over real connections; time is virtual, so that
//! a robot's ten minutes of sulking pass at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larum::alert::{Alert, AlertId};
use larum::daemon::clock::Clock;
use larum::daemon::dispatch::{Dispatch, Event, Events, Office, Target};
use larum::daemon::metrics::Meters;
use larum::daemon::routing::Routing;
use larum::daemon::step::Steps;
use larum::deliver::{KINDS, Receiver};
use larum::record::{Millis, Timestamp};
use larum::route::{Delivery, Limits, ReceiverName, Route, Routes, Standing};
use larum::store::sqlite::Sqlite;
use larum::store::{Change, DeliveryQuery};

use super::receivers::{AT, Http, Play, Say, Smtp, Step, TOPIC, alert, fine, services, try_receiver, usual};

/// Who is in the alert that is trapped, and in nothing else.
const TRAPPED: &str = "trapped-user";

/// A request as a trap looks at it.
struct Ask<'a> {
    /// How many came before.
    nth: usize,
    text: &'a str,
    mended: bool,
}

/// What becomes of the alert that is trapped.
enum Ends {
    /// It arrives by itself.
    Arrives,
    /// It is a dead letter, for a reason that says this.
    Dead(&'static str),
    /// The receiver refuses all, is paused for a reason that says this, and takes it once it is mended.
    Pauses(&'static str),
}

/// None: it answers as the service does when all is well.
type Script = fn(&Ask<'_>) -> Option<Play>;

struct Trap {
    name: &'static str,
    kind: &'static str,
    script: Script,
    ends: Ends,
}

/// A trap that springs at the first request only.
macro_rules! once {
    ($play:expr) => {
        |ask| (ask.nth == 0).then(|| $play)
    };
}

/// One that springs at every request until the service is mended.
macro_rules! always {
    ($play:expr) => {
        |ask| (!ask.mended).then(|| $play)
    };
}

/// One that springs at what holds these words.
macro_rules! at {
    ($words:expr, $play:expr) => {
        |ask| ask.text.contains($words).then(|| $play)
    };
}

fn traps() -> Vec<Trap> {
    use Ends::{Arrives, Dead, Pauses};
    let trap = |name, kind, script: Script, ends| Trap { name, kind, script, ends };
    vec![
        trap("slack-429", "slack", once!(Play::header("429 Too Many Requests", "Retry-After: 30")), Arrives),
        trap(
            "slack-429-body",
            "slack",
            once!(Play::body("429 Too Many Requests", r#"{"ok":false,"retry_after":20}"#)),
            Arrives,
        ),
        trap(
            "slack-payload",
            "slack",
            at!("\"blocks\"", Play::body("400 Bad Request", "invalid_payload")),
            Arrives,
        ),
        trap(
            "slack-too-long",
            "slack",
            at!("\"blocks\"", Play::body("400 Bad Request", "msg_blocks_too_long")),
            Arrives,
        ),
        trap("slack-rollup", "slack", once!(Play::body("500 Server Error", "rollup_error")), Arrives),
        trap("slack-portal", "slack", once!(Play::body("200 OK", "<html>Please sign in</html>")), Arrives),
        trap(
            "slack-prohibited",
            "slack",
            always!(Play::body("403 Forbidden", "action_prohibited")),
            Pauses("action_prohibited"),
        ),
        trap(
            "slack-no-service",
            "slack",
            always!(Play::body("404 Not Found", "no_service")),
            Pauses("no_service"),
        ),
        trap(
            "slack-archived",
            "slack",
            always!(Play::body("410 Gone", "channel_is_archived")),
            Pauses("channel_is_archived"),
        ),
        trap(
            "slack-filter",
            "slack",
            at!(TRAPPED, Play::body("403 Forbidden", "blocked")),
            Dead("this message alone"),
        ),
        trap("teams-202", "teams", |_| None, Arrives),
        trap(
            "teams-429-within",
            "teams",
            once!(Play::body("200 OK", "Microsoft Teams endpoint returned HTTP error 429 with ContextId x")),
            Arrives,
        ),
        trap("teams-413", "teams", once!(Play::status("413 Payload Too Large")), Arrives),
        trap("teams-401", "teams", always!(Play::status("401 Unauthorized")), Pauses("HTTP 401")),
        trap(
            "pagerduty-400",
            "pagerduty",
            at!(TRAPPED, Play::body("400 Bad Request", r#"{"status":"invalid event"}"#)),
            Dead("invalid event"),
        ),
        trap("pagerduty-429", "pagerduty", once!(Play::status("429 Too Many Requests")), Arrives),
        trap("pagerduty-500", "pagerduty", once!(Play::status("500 Internal Server Error")), Arrives),
        trap(
            "dingtalk-130101",
            "dingtalk",
            once!(Play::body("200 OK", r#"{"errcode":130101,"errmsg":"send too fast"}"#)),
            Arrives,
        ),
        trap(
            "dingtalk-310000",
            "dingtalk",
            always!(Play::body("200 OK", r#"{"errcode":310000,"errmsg":"sign not match"}"#)),
            Pauses("310000"),
        ),
        trap(
            "feishu-11232",
            "feishu",
            once!(Play::body("200 OK", r#"{"code":11232,"msg":"frequency limited"}"#)),
            Arrives,
        ),
        trap(
            "feishu-19021",
            "feishu",
            always!(Play::body("200 OK", r#"{"code":19021,"msg":"sign match fail"}"#)),
            Pauses("19021"),
        ),
        trap(
            "feishu-429",
            "feishu",
            once!(Play::header("429 Too Many Requests", "x-ogw-ratelimit-reset: 40")),
            Arrives,
        ),
        trap(
            "wecom-45009",
            "wecom",
            once!(Play::body("200 OK", r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#)),
            Arrives,
        ),
        trap(
            "wecom-93000",
            "wecom",
            always!(Play::body("200 OK", r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#)),
            Pauses("93000"),
        ),
        trap(
            "smn-signature",
            "smn",
            always!(Play::body("401 Unauthorized", r#"{"error_code":"APIGW.0301"}"#)),
            Pauses("APIGW.0301"),
        ),
        trap("smn-no-id", "smn", once!(Play::body("200 OK", "{}")), Arrives),
        trap(
            "alertmanager-400",
            "alertmanager",
            at!(TRAPPED, Play::status("400 Bad Request")),
            Dead("HTTP 400"),
        ),
        trap("alertmanager-503", "alertmanager", once!(Play::status("503 Service Unavailable")), Arrives),
        trap("webhook-410", "webhook", always!(Play::status("410 Gone")), Pauses("HTTP 410")),
        trap(
            "webhook-301",
            "webhook",
            at!(TRAPPED, Play::header("301 Moved Permanently", "Location: http://169.254.169.254/")),
            Dead("redirects are not followed"),
        ),
        trap(
            "webhook-429-date",
            "webhook",
            once!(Play::header("429 Too Many Requests", "Retry-After: soon")),
            Arrives,
        ),
        trap("webhook-hang", "webhook", once!(Play::Hang), Arrives),
        trap("webhook-reset", "webhook", once!(Play::Reset), Arrives),
        trap("webhook-endless", "webhook", at!(TRAPPED, Play::Endless), Arrives),
    ]
}

/// The same for mail: what it says at a step, when.
fn mail_traps() -> Vec<(&'static str, fn(&Step, usize, bool) -> Option<Say>, Ends)> {
    fn content(step: &Step) -> Option<&str> {
        match step {
            Step::Content { data, .. } => Some(data),
            Step::Greeting | Step::Recipient(_) => None,
        }
    }
    fn recipient(step: &Step) -> bool {
        matches!(step, Step::Recipient(_))
    }
    vec![
        (
            "email-421",
            |step, nth, _| (*step == Step::Greeting && nth == 0).then_some(Say::Line("421 4.3.2 closing")),
            Ends::Arrives,
        ),
        (
            "email-greylisted",
            |step, nth, _| (recipient(step) && nth <= 1).then_some(Say::Line("450 4.2.1 greylisted")),
            Ends::Arrives,
        ),
        (
            "email-too-big",
            |step, _, _| content(step)?.contains("multipart").then_some(Say::Line("552 5.3.4 too big")),
            Ends::Arrives,
        ),
        (
            "email-filter",
            |step, _, _| content(step)?.contains(TRAPPED).then_some(Say::Line("554 5.7.1 looks like spam")),
            Ends::Dead("looks like spam"),
        ),
        (
            "email-lost-after-the-dot",
            |step, nth, _| (content(step).is_some() && nth <= 2).then_some(Say::Nothing),
            Ends::Arrives,
        ),
        (
            "email-530",
            |step, _, mended| (recipient(step) && !mended).then_some(Say::Line("530 5.7.0 sign in first")),
            Ends::Pauses("sign in first"),
        ),
    ]
}

/// Everything that is tested at once, and a receiver that is well.
struct World {
    office: Office,
    clock: Clock,
    heard: tokio::sync::mpsc::Receiver<Event>,
    targets: Vec<Target>,
    ends: BTreeMap<ReceiverName, Ends>,
    mended: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

const WELL: &str = "well";

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::led(AT + Millis::secs(90));
        let (events, heard) = Events::channel();
        let office = Office {
            store: Arc::new(Sqlite::open(&folder.path().join("larum.db")).unwrap()),
            fences: Arc::default(),
            clock: clock.clone(),
            zone: chrono_tz::UTC,
            events,
            steps: Steps::none(),
            meters: Meters::default(),
        };
        let mut world = Self {
            office,
            clock,
            heard,
            targets: Vec::new(),
            ends: BTreeMap::new(),
            mended: Arc::default(),
            _folder: folder,
        };
        for Trap { name, kind, script, ends } in traps() {
            world.add_http(name, kind, script).await;
            world.ends.insert(name.parse().unwrap(), ends);
        }
        for (name, script, ends) in mail_traps() {
            let (asked, mended) = (AtomicUsize::new(0), world.mended.clone());
            let smtp = Smtp::start(move |step| {
                script(step, asked.fetch_add(1, Ordering::SeqCst), mended.load(Ordering::SeqCst))
            })
            .await;
            world.add(name, "email", smtp.receiver("soc@example.com", ""));
            world.ends.insert(name.parse().unwrap(), ends);
        }
        world.add_http(WELL, "webhook", |_| None).await;
        world
    }

    async fn add_http(&mut self, name: &str, kind: &'static str, script: Script) {
        let (asked, mended) = (AtomicUsize::new(0), self.mended.clone());
        let http = Http::start(move |request| {
            let (nth, mended) = (asked.fetch_add(1, Ordering::SeqCst), mended.load(Ordering::SeqCst));
            script(&Ask { nth, text: request.text(), mended }).unwrap_or_else(|| fine(kind))
        })
        .await;
        let spelt = match kind {
            "alertmanager" => format!("{{kind: alertmanager, url: \"{}\"}}", http.url("")),
            "pagerduty" => format!("{{kind: pagerduty, routing_key: env:PD, url: \"{}\"}}", http.url("/v2")),
            "smn" => format!("{{kind: smn, {TOPIC}, url: \"{}\"}}", http.url("")),
            "webhook" => format!("{{kind: webhook, url: \"{}\", timeout: 500ms}}", http.url("/")),
            other => format!("{{kind: {other}, url: env:URL}}"),
        };
        self.add(name, kind, try_receiver(&spelt, &services(&http)).unwrap());
    }

    fn add(&mut self, name: &str, kind: &str, receiver: Box<dyn Receiver>) {
        let kind = KINDS.iter().find(|other| other.name == kind).unwrap();
        self.targets.push(Target {
            name: name.parse().unwrap(),
            receiver: receiver.into(),
            transport: kind.transport,
            limits: Limits::none(),
            watchdog: None,
        });
    }

    /// Owes everybody both alerts.
    async fn owe(&self) {
        let to = self.targets.iter().map(|target| target.name.clone()).collect();
        let routes = Routes { routes: vec![Route { to, ..Route::default() }] };
        let routing = Routing { routes, ..Routing::default() };
        let trapped =
            Alert { title: format!("{TRAPPED}: 5 failed sign-ins"), group: alert(TRAPPED).group, ..usual() };
        let other = Alert { id: AlertId([0x2b; 16]), title: "bob: 5 failed sign-ins".to_owned(), ..usual() };
        let store = self.office.store.as_ref();
        let fence = self.office.fences.of(store, &"default".into()).await.unwrap();
        for alert in [trapped, other] {
            let owed = routing.owed(&alert, self.clock.now());
            let changes = [vec![Change::Alert(Box::new(alert))], owed].concat();
            store.commit(fence.clone(), changes).await.unwrap();
        }
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let query = DeliveryQuery { most: 1_000, ..DeliveryQuery::default() };
        self.office.store.deliveries(query).await.unwrap()
    }

    /// Lets time pass, minute by minute, until `done`, or for so long.
    async fn pass(&self, most: Millis, done: impl Fn(&[Delivery]) -> bool) {
        let end = self.clock.now() + most;
        while self.clock.now() < end && !done(&self.deliveries().await) {
            self.clock.leading().sleep(Millis::secs(15)).await;
            // What is on its way has the time to arrive, and a server that hangs the time to be given up.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

fn is_settled(of: &Delivery) -> bool {
    matches!(of.standing, Standing::Delivered { .. } | Standing::Dead { .. })
}

fn delivered_at(of: &Delivery) -> Option<Timestamp> {
    match of.standing {
        Standing::Delivered { at } => Some(at),
        Standing::Waiting
        | Standing::Sending { .. }
        | Standing::Dead { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => None,
    }
}

#[tokio::test]
async fn of_every_trap_the_alert_arrives_or_is_a_dead_letter_and_nobody_else_waits() {
    let mut world = World::new().await;
    world.owe().await;
    let start = world.clock.now();
    let dispatch = Dispatch::start(&world.office, world.targets.clone());

    // No time passes, and who is well is told, while others hang, refuse and sulk.
    let well = |all: &[Delivery]| -> Vec<Option<Timestamp>> {
        all.iter().filter(|of| of.receiver.as_str() == WELL).map(delivered_at).collect()
    };
    for _ in 0..500 {
        if well(&world.deliveries().await).iter().all(Option::is_some) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(well(&world.deliveries().await), [Some(start); 2]);

    let pauses: BTreeSet<ReceiverName> = world
        .ends
        .iter()
        .filter(|(_, ends)| matches!(ends, Ends::Pauses(_)))
        .map(|(name, _)| name.clone())
        .collect();
    let done = |all: &[Delivery]| all.iter().all(|of| is_settled(of) || pauses.contains(&of.receiver));
    world.pass(Millis::mins(40), done).await;
    let all = world.deliveries().await;
    let (mut paused, mut reasons) = (BTreeSet::new(), BTreeMap::new());
    while let Ok(event) = world.heard.try_recv() {
        if let Event::Paused { receiver, reason } = event {
            reasons.insert(receiver.clone(), reason);
            paused.insert(receiver);
        }
    }
    assert_eq!(paused, pauses);
    for of in &all {
        let who = &of.receiver;
        let trapped = matches!(&of.body, larum::route::Body::Alert { id, .. } if *id == usual().id);
        match world.ends.get(who) {
            Some(Ends::Dead(said)) if trapped => {
                let Standing::Dead { reason, .. } = &of.standing else { panic!("{who}: {of:?}") };
                assert!(reason.contains(said), "{who}: {reason}");
            }
            Some(Ends::Pauses(said)) => {
                assert_eq!(of.standing, Standing::Waiting, "{who}");
                assert!(reasons[who].contains(said), "{who}: {}", reasons[who]);
            }
            Some(Ends::Arrives | Ends::Dead(_)) | None => {
                assert!(delivered_at(of).is_some(), "{who}: {of:?}");
            }
        }
    }
    let waited = |name: &str| {
        let mut of = all.iter().filter(|of| of.receiver.as_str() == name);
        of.find_map(delivered_at).unwrap() - start
    };
    for (name, least) in [
        ("slack-429", 30),
        ("slack-429-body", 20),
        ("feishu-429", 40),
        ("dingtalk-130101", 600),
        ("wecom-45009", 60),
    ] {
        assert!(waited(name) >= Millis::secs(least), "{name} was left alone for {} only", waited(name));
    }

    // What was wrong is mended: everything that waited arrives, once.
    world.mended.store(true, Ordering::SeqCst);
    world.pass(Millis::mins(40), |all| all.iter().all(is_settled)).await;
    for of in world.deliveries().await.iter().filter(|of| pauses.contains(&of.receiver)) {
        assert!(delivered_at(of).is_some(), "{}: {of:?}", of.receiver);
    }
    let stopping = dispatch.stop();
    let clock = world.clock.clone();
    let (stopped, ()) = tokio::join!(stopping, async move { clock.leading().sleep(Millis::mins(1)).await });
    stopped.unwrap();
}
