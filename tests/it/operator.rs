//! What an operator does while the daemon runs: orders over the control socket, reloads, a second
//! daemon that must not start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use larum::alert::State;
use larum::config::Secrets;
use larum::daemon::control::{self, NoReply};
use larum::daemon::orders::{Order, Reply};
use larum::daemon::run::{Daemon, DaemonError, Settings};
use larum::daemon::status::Status;
use larum::record::Millis;
use larum::simulate::{self, Server, office};
use larum::store::{AlertQuery, DeliveryQuery, Store, StoreError};

/// A folder with a configuration, its rules, the simulated office and a webhook's end.
pub struct Place {
    folder: tempfile::TempDir,
    /// The simulated service.
    pub service: Server,
    /// What the webhook's end answers.
    answer: Arc<AtomicU16>,
    configuration: String,
}

/// Polls in a bounded loop; what is waited for comes from other threads and a real socket.
const TRIES: usize = 3_000;

pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..TRIES {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

impl Place {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wall = larum::daemon::clock::Clock::wall();
        let world = office::office(7, office::START).unwrap();
        let options = simulate::Options { speed: 0, ..simulate::Options::new(move || wall.now()) };
        let service = Server::start(world, options).await.unwrap();
        // Past the first story and its settling: somebody failed six times.
        service.advance(Millis::mins(10));
        let answer = Arc::new(AtomicU16::new(400));
        let hook = webhook(answer.clone()).await;
        let rules = folder.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/identity/failure-burst.yaml"),
            rules.join("failure-burst.yaml"),
        )
        .unwrap();
        let url = service.url();
        let configuration = format!(
            "store: larum.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    \
             region: ap-southeast-3\n    project_id: {}\n    credentials: {{ak: env:AK, sk: env:SK}}\n    \
             base_url: {{workspace: \"{url}\", workspaceapp: \"{url}\"}}\n    every: 1s\n    since: 1h\n    \
             requests: {{per_second: 100, burst: 100}}\nreceivers:\n  \
             - {{name: hook, kind: webhook, url: \"{hook}\"}}\n  \
             - {{name: kept, kind: file, path: kept.ndjson}}\nroutes:\n  \
             - {{match: {{}}, to: [hook, kept]}}\nops: [kept]\n",
            simulate::Options::PROJECT_ID
        );
        let place = Self { folder, service, answer, configuration };
        place.configure(&place.configuration);
        place
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.path("larum.yaml"), text).unwrap();
    }

    /// Adds to the configuration.
    pub fn add(&self, text: &str) {
        self.configure(&format!("{}{text}", self.configuration));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn settings(&self) -> Settings {
        Settings {
            secrets: Secrets::default().with("AK", simulate::Options::AK).with("SK", simulate::Options::SK),
            watch: false,
            ..Settings::new(self.path("larum.yaml"))
        }
    }

    async fn order(&self, order: Order) -> Reply {
        control::ask(&control::socket_of(&self.path("larum.db")), &order).await.unwrap()
    }

    pub async fn status(&self) -> Status {
        match self.order(Order::Status).await {
            Reply::Status(status) => *status,
            other @ (Reply::Done(_) | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    async fn done(&self, order: Order) -> String {
        match self.order(order).await {
            Reply::Done(words) => words,
            other @ (Reply::Status(_) | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    async fn refused(&self, order: Order) -> String {
        match self.order(order).await {
            Reply::Refused(why) => why,
            other @ (Reply::Status(_) | Reply::Done(_)) => panic!("{other:?}"),
        }
    }
}

/// The end of a webhook that answers with whatever status stands in `answer`.
async fn webhook(answer: Arc<AtomicU16>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = move || {
        let status = axum::http::StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
        std::future::ready(status)
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(reply));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/hook")
}

pub async fn alerts(store: &dyn Store, rule: &str) -> Vec<larum::store::KeptAlert> {
    let query = AlertQuery { rule: Some(rule.parse().unwrap()), most: 100, ..AlertQuery::default() };
    store.alerts(query).await.unwrap()
}

async fn deliveries(store: &dyn Store, receiver: &str, state: &str) -> usize {
    let query = DeliveryQuery {
        receiver: Some(receiver.parse().unwrap()),
        states: vec![state.to_owned()],
        most: 100,
        ..DeliveryQuery::default()
    };
    store.deliveries(query).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_carried_out_while_the_daemon_runs() {
    let place = Place::new().await;
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));

    // What happened before the start is told as standing, and the webhook wants none of it.
    let alert = until("the alert", async || alerts(&*store, "failure-burst").await.pop()).await;
    assert!(alert.now.standing);
    until("a dead letter", async || (deliveries(&*store, "hook", "dead").await > 0).then_some(())).await;
    until("Larum's own alert", async || alerts(&*store, "larum-dead-letter").await.pop()).await;

    let id = alert.now.id.to_string();
    let taken = place.done(Order::Acknowledge { alert: id[..8].to_owned(), by: "eve".to_owned() }).await;
    assert_eq!(taken, format!("alert {id} is acknowledged by eve"));
    assert_eq!(alerts(&*store, "failure-burst").await[0].now.state, State::Acknowledged);
    let unknown = Order::Acknowledge { alert: "ffff".to_owned(), by: "eve".to_owned() };
    assert_eq!(place.refused(unknown).await, "there is no alert `ffff`");

    place.answer.store(204, Ordering::SeqCst);
    let redriven = place.done(Order::Redrive { delivery: None, receiver: Some("hook".to_owned()) }).await;
    assert_eq!(redriven, "1 delivery owed again");
    until("the delivery", async || (deliveries(&*store, "hook", "delivered").await == 1).then_some(())).await;

    let sent = place.done(Order::SendTest { receiver: "hook".to_owned() }).await;
    assert_eq!(sent, "hook took the test message");
    let nobody = place.refused(Order::SendTest { receiver: "hok".to_owned() }).await;
    assert_eq!(nobody, "there is no receiver `hok`; did you mean `hook`? known: hook, kept");

    let silence = Order::Silence {
        tenant: "default".to_owned(),
        matches: vec![("user".to_owned(), "ana.ruiz".to_owned())],
        from: None,
        length: Millis::hours(2),
        by: "eve".to_owned(),
        because: "she forgot it".to_owned(),
    };
    let words = place.done(silence).await;
    let id = words.split(' ').nth(1).unwrap().to_owned();
    let over = place.done(Order::Unsilence { silence: id[..6].to_owned() }).await;
    assert_eq!(
        over,
        format!(
            "silence {id} is over; what it held back is due now: what is still open by itself, what is over in one message"
        )
    );

    let copy = place.path("copy.db");
    place.done(Order::Backup { path: copy.clone() }).await;
    let copied = larum::store::sqlite::Sqlite::open_read_only(&copy).unwrap();
    assert_eq!(alerts(&copied, "failure-burst").await, alerts(&*store, "failure-burst").await);

    // The store is held: nobody else may write to it.
    let second = Daemon::start(place.settings()).await;
    assert!(matches!(second, Err(DaemonError::Store(StoreError::Taken { .. }))), "{second:?}");
    // And the first one still listens.
    assert!(place.status().await.lanes["prod/desktop_logins"].complete_to.is_some());

    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let gone = control::ask(&control::socket_of(&place.path("larum.db")), &Order::Status).await;
    assert!(matches!(gone, Err(NoReply::Stopped)), "{gone:?}");

    // Its archive told to the rule anew gives the same alert, which stands no longer: it fires.
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_larum"))
        .args(["replay", "--output", "json", "--store"])
        .arg(place.path("larum.db"))
        .arg("--rules")
        .arg(place.path("rules"))
        .output()
        .unwrap();
    let lines: Vec<serde_json::Value> = told
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let fired: Vec<_> = lines.iter().map(|line| (line["id"].as_str().unwrap(), &line["standing"])).collect();
    assert_eq!(fired, [(alert.fired.id.to_string().as_str(), &serde_json::Value::Bool(false))], "{told:?}");

    // What the rule costs is measured over the archive.
    let rules = |output: &str| {
        let store = place.path("larum.db");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
        command.args(["rules", "--output", output, "--store"]).arg(store).output().unwrap()
    };
    let listed = rules("json");
    let line: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&line["rule"], &line["alerts"]), (&"failure-burst".into(), &1.into()), "{listed:?}");
    assert!(line["nanoseconds_a_row"].is_u64(), "{listed:?}");
    let notes = String::from_utf8(rules("text").stderr).unwrap();
    assert!(notes.contains("ns/row: what each rule alone adds to reading a row"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_receiver_that_was_mended_is_asked_at_once_when_an_operator_says_so() {
    let again = Order::Redrive { delivery: None, receiver: Some("hook".to_owned()) };
    for order in [Order::SendTest { receiver: "hook".to_owned() }, Order::Reload, again] {
        let place = Place::new().await;
        // It refuses everything, the fixed probe too: nobody asks it again for a quarter of an hour.
        place.answer.store(401, Ordering::SeqCst);
        let daemon = Daemon::start(place.settings()).await.unwrap();
        let store = daemon.store();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let running = tokio::spawn(daemon.run(stopping));
        let paused =
            until("the word of it", async || alerts(&*store, "larum-receiver-paused").await.pop()).await;
        assert!(paused.now.title.starts_with("receiver hook is paused: "), "{}", paused.now.title);
        let status = place.status().await;
        let hook = &status.receivers["hook"];
        assert!(hook.paused.as_ref().is_some_and(|why| why.contains("401")), "{hook:?}");
        assert_eq!(hook.deliveries.get("waiting"), Some(&1), "{hook:?}");
        assert!(status.blind().iter().any(|why| why.starts_with("receiver hook is paused")), "{status:?}");

        place.answer.store(204, Ordering::SeqCst);
        place.done(order.clone()).await;
        until("the delivery", async || (deliveries(&*store, "hook", "delivered").await == 1).then_some(()))
            .await;
        let over = async || {
            let own = alerts(&*store, "larum-receiver-paused").await.pop()?;
            (own.now.state == State::Resolved).then_some(())
        };
        until("the end of it", over).await;
        let hook = &place.status().await.receivers["hook"];
        assert_eq!((&hook.paused, hook.deliveries.get("delivered")), (&None, Some(&1)), "{order:?}");
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_cannot_go_on_says_so_past_its_store() {
    let place = Place::new().await;
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the alert", async || alerts(&*store, "failure-burst").await.pop()).await;
    // Somebody else takes the tenant: nothing of ours can be kept any more.
    store.fence("default".into()).await.unwrap();
    place.service.advance(Millis::mins(10));
    let ended = running.await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    #[expect(clippy::disallowed_methods, reason = "what the receiver was told")]
    let kept = std::fs::read_to_string(place.path("kept.ndjson")).unwrap();
    // What was on its way when the daemon ended may come after it.
    let words = "the daemon has ended: tenant `default` has been taken over";
    assert_eq!(kept.lines().filter(|line| line.contains(words)).count(), 1, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_configuration_whole_and_rules_one_by_one() {
    let place = Place::new().await;
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the rule", async || place.status().await.rules.get("failure-burst").cloned()).await;

    // A configuration with a fault changes nothing, and its fault is told.
    place.configure(&place.configuration.replace("every: 1s", "evry: 1s"));
    let refused = place.refused(Order::Reload).await;
    assert!(refused.contains("unknown key `evry` in a source"), "{refused}");
    let status = place.status().await;
    assert_eq!(status.reload_refused.as_deref(), Some("unknown key `evry` in a source"));
    assert_eq!(status.blind().len(), 1, "{:?}", status.blind());
    place.configure(&place.configuration);

    // A rule with a fault goes on as it was; a new one beside it learns and takes part.
    let rule = place.path("rules/failure-burst.yaml");
    #[expect(clippy::disallowed_methods, reason = "the rule is spoilt and mended")]
    let good = std::fs::read_to_string(&rule).unwrap();
    std::fs::write(&rule, good.replace("within:", "witin:")).unwrap();
    let new = "rule: any-failure\ntitle: Somebody failed\nlevel: low\nmatch: {outcome: failure}\n\
               cooldown: {for: 1h, by: [user]}\n";
    std::fs::write(place.path("rules/any-failure.yaml"), new).unwrap();
    let words = place.done(Order::Reload).await;
    assert_eq!(
        words,
        "configuration and rules are read again, without the rules' tests (`larum test` runs them); 1 file does not load"
    );
    let both = async || {
        let status = place.status().await;
        let rules = status.rules.clone();
        (rules.contains_key("any-failure") && !rules["any-failure"].learning).then_some(status)
    };
    let status = until("the new rule", both).await;
    assert!(status.rules.contains_key("failure-burst"), "{:?}", status.rules);
    let (file, fault) = status.rules_off.iter().next().unwrap();
    assert!(file.ends_with("failure-burst.yaml") && status.rules_off.len() == 1, "{:?}", status.rules_off);
    assert!(fault.starts_with("line ") && fault.contains("unknown key `witin`"), "{fault}");
    assert!(fault.ends_with("; its last good version stays in force"), "{fault}");
    let own = until("Larum's own alert", async || alerts(&*store, "larum-rule-off").await.pop()).await;
    assert_eq!(own.now.title, format!("{file} does not load: {fault}"));
    assert!(status.rules["any-failure"].hits > 0, "it learnt nothing: {:?}", status.rules);
    until("what stands", async || alerts(&*store, "any-failure").await.pop()).await;
    assert!(alerts(&*store, "any-failure").await.iter().all(|alert| alert.fired.standing));

    // Mended, all is well; what was told of it is over.
    std::fs::write(&rule, good).unwrap();
    assert_eq!(
        place.done(Order::Reload).await,
        "configuration and rules are read again, without the rules' tests (`larum test` runs them)"
    );
    let resolved = async || {
        let own = alerts(&*store, "larum-rule-off").await.pop()?;
        (own.now.state == State::Resolved).then_some(())
    };
    until("the end of Larum's own alert", resolved).await;
    assert_eq!(place.status().await.blind(), Vec::<String>::new());

    // A receiver that is gone is sent to no more; the store cannot change.
    let other = place.configuration.replace("store: larum.db", "store: other.db");
    place.configure(&other);
    assert_eq!(place.refused(Order::Reload).await, "`store` cannot change while the daemon runs; restart it");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// What the binary prints.
fn larum(arguments: &[&str]) -> String {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_rule_fired_in_a_running_daemon_is_told_of_the_rows_that_it_keeps() {
    let place = Place::new().await;
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let alert = until("the alert", async || alerts(&*store, "failure-burst").await.pop()).await.fired;
    let (from, config) = (place.path("larum.db"), place.path("larum.yaml"));
    let store = format!("--store={}", from.display());
    let rows = larum(&["rows", &store, "--lane", "prod/desktop_logins"]);
    assert!(rows.lines().all(|row| row.starts_with('{')) && rows.contains("computer_name"), "{rows}");
    let file = place.path("rows.ndjson");
    std::fs::write(&file, larum(&["rows", &store])).unwrap();
    let user = format!("user={}", alert.group["user"].as_str().unwrap());
    let config = format!("--config={}", config.display());
    let (at, file) = (alert.at.to_string(), file.display().to_string());
    let asked = ["explain", "failure-burst", &config, "--group", &user, "--at", &at, "--unsorted", &file];
    let why = larum(&asked);
    assert!(
        why.starts_with(&format!("failure-burst for {} at {at}: fired\n", user.replace('=', " "))),
        "{why}"
    );
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// The next message to the service manager, in lines.
async fn notified(socket: &tokio::net::UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4_096];
    let length =
        tokio::time::timeout(Duration::from_mins(1), socket.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect()
}

/// A process that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
    }
}

fn signal(child: &Killed, name: &str) {
    let id = child.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_tells_the_service_manager_and_ends_in_good_order() {
    let place = Place::new().await;
    let manager = place.path("notify.sock");
    let socket = tokio::net::UnixDatagram::bind(&manager).unwrap();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_larum"))
        .args(["run", "--log", "json", "--config"])
        .arg(place.path("larum.yaml"))
        .env("NOTIFY_SOCKET", &manager)
        .env("WATCHDOG_USEC", "300000")
        .env("AK", simulate::Options::AK)
        .env("SK", simulate::Options::SK)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    assert_eq!(notified(&socket).await[0], "READY=1");
    // It says that it lives, again and again.
    assert_eq!(notified(&socket).await, ["WATCHDOG=1"]);
    assert_eq!(notified(&socket).await, ["WATCHDOG=1"]);
    signal(&child, "HUP");
    let mut reloaded = Vec::new();
    while !reloaded.contains(&"READY=1".to_owned()) {
        reloaded.extend(notified(&socket).await);
    }
    assert!(reloaded.contains(&"RELOADING=1".to_owned()), "{reloaded:?}");
    signal(&child, "TERM");
    let mut stderr = String::new();
    std::io::Read::read_to_string(child.0.stderr.as_mut().unwrap(), &mut stderr).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{stderr}");
    let logged: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(logged.first().unwrap()["message"], "started", "{stderr}");
    assert_eq!(logged.last().unwrap()["message"], "ended", "{stderr}");
    for secret in [simulate::Options::SK, simulate::Options::AK] {
        assert!(!stderr.contains(secret), "a secret is in the log: {stderr}");
    }
    assert!(!place.path("larum.db.sock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_sent_when_the_daemon_died_is_sent_again_at_once() {
    use larum::daemon::step::{Step, Steps};
    let place = Place::new().await;
    place.answer.store(204, Ordering::SeqCst);
    let steps = Steps::stop_at(Step::AfterLease, 1);
    let daemon = Daemon::start(Settings { steps, ..place.settings() }).await.unwrap();
    let (_never, stopping) = tokio::sync::watch::channel(false);
    assert!(daemon.run(stopping).await.is_err());
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    // Far sooner than the lease of three minutes ends by itself.
    let both = async || {
        let (hook, kept) =
            (deliveries(&*store, "hook", "delivered").await, deliveries(&*store, "kept", "delivered").await);
        (hook == 1 && kept >= 1).then_some(())
    };
    until("the message", both).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_survives_a_hangup_and_ends_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(
        folder.path().join("rules/any.yaml"),
        "rule: any\ntitle: t\nlevel: low\nmatch: {outcome: failure}\n",
    )
    .unwrap();
    // It takes the connection, and never answers.
    let iam = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!(
        "store: larum.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    region: cn-north-4\n    \
         credentials: {{ak: env:AK, sk: env:SK}}\n    base_url: {{iam: \"http://{}\"}}\nreceivers:\n  \
         - {{name: kept, kind: file, path: kept.ndjson}}\nroutes:\n  - {{match: {{}}, to: [kept]}}\n",
        iam.local_addr().unwrap()
    );
    std::fs::write(folder.path().join("larum.yaml"), config).unwrap();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_larum"))
        .args(["run", "--config"])
        .arg(folder.path().join("larum.yaml"))
        .env("AK", simulate::Options::AK)
        .env("SK", simulate::Options::SK)
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let _asked = iam.accept().await.unwrap();
    signal(&child, "HUP");
    signal(&child, "TERM");
    // Sooner than the host is given up, which is a failure.
    let ended = until("its end", async || child.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}
