//! Lists and places in a running daemon: read, reloaded, kept for feeding the journal again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use larum::daemon::control;
use larum::daemon::orders::{Order, Reply};
use larum::daemon::run::{Daemon, Settings};
use larum::store::{AlertQuery, Store};

use crate::mmdb;
use crate::operator::until;

/// A folder with a daemon's files: one rule, and a file of records that it follows.
struct Desk {
    folder: tempfile::TempDir,
    /// Records written so far: one a second from 2026-03-09 10:00 on.
    written: AtomicU32,
}

const RULE: &str = "rule: leaver\ntitle: Somebody who has left\nlevel: high\n\
                    match: {outcome: success, user|in: leavers}\nalert:\n  title: \"{{ user }}\"\n";

impl Desk {
    fn new(rule: &str, more: &str) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap(), written: AtomicU32::new(0) };
        std::fs::create_dir(desk.path("rules")).unwrap();
        desk.write("rules/rule.yaml", rule);
        desk.write("in.ndjson", "");
        // Time is known where a second record confirms it.
        desk.record("first", "198.51.100.99");
        desk.record("second", "198.51.100.99");
        let config = format!(
            "store: larum.db\nrules: [rules]\n{more}\nsources:\n  \
             - {{name: archive, kind: file, path: in.ndjson, follow: true}}\nreceivers:\n  \
             - {{name: kept, kind: file, path: kept.ndjson}}\nroutes: [{{match: {{}}, to: [kept]}}]\n"
        );
        desk.write("larum.yaml", &config);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// One more record: who, and from where.
    fn record(&self, user: &str, ip: &str) {
        use std::io::Write as _;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let line = format!(
            "{{\"id\":\"{number}\",\"kind\":\"login\",\"user_name\":\"{user}\",\"public_ip\":\"{ip}\",\
             \"start_time\":\"2026-03-09T{:02}:{:02}:{:02}Z\"}}\n",
            10 + number / 3600,
            number / 60 % 60,
            number % 60
        );
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path("in.ndjson")).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    async fn start(&self, watch: bool) -> Running {
        let settings = Settings { watch, ..Settings::new(self.path("larum.yaml")) };
        let daemon = Daemon::start(settings).await.unwrap();
        let store = daemon.store();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(daemon.run(stopping));
        Running { stop, store, task }
    }

    async fn reload(&self) -> Result<String, String> {
        let socket = control::socket_of(&self.path("larum.db"));
        match control::ask(&socket, &Order::Reload).await.unwrap() {
            Reply::Done(words) => Ok(words),
            Reply::Refused(words) => Err(words),
            Reply::Status(_) => panic!("a status"),
        }
    }

    async fn rule_is_in_force(&self, rule: &str) {
        let socket = control::socket_of(&self.path("larum.db"));
        until("the rule", async || match control::ask(&socket, &Order::Status).await.ok()? {
            Reply::Status(status) => status.rules.get(rule).filter(|rule| !rule.learning).map(|_| ()),
            Reply::Done(_) | Reply::Refused(_) => None,
        })
        .await;
    }

    /// Waits for so many alerts; gives them.
    async fn alerts(&self, alerts: usize, running: &Running) -> Vec<larum::alert::Alert> {
        until("alerts", async || {
            let found = running.alerts().await;
            (found.len() >= alerts).then_some(found)
        })
        .await
    }

    /// What the journal gives when it is fed again, as alerts' ids and versions, in order.
    fn as_seen(&self) -> Vec<String> {
        let arguments = ["replay", "--as-seen", "--output", "json", "--store", "larum.db"];
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
        let done = command.args(arguments).current_dir(self.folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

struct Running {
    stop: tokio::sync::watch::Sender<bool>,
    store: std::sync::Arc<dyn Store>,
    task: tokio::task::JoinHandle<Result<(), larum::daemon::run::DaemonError>>,
}

impl Running {
    /// Alerts of the tenant as they fired, in order.
    async fn alerts(&self) -> Vec<larum::alert::Alert> {
        let query = AlertQuery { tenant: Some("default".into()), most: 100, ..AlertQuery::default() };
        let mut alerts: Vec<_> =
            self.store.alerts(query).await.unwrap().into_iter().map(|kept| kept.fired).collect();
        alerts.sort_by_key(|alert| (alert.at, alert.id));
        alerts
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn in_json(alerts: &[larum::alert::Alert]) -> Vec<String> {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changes_is_in_force_and_one_with_a_fault_goes_on_as_it_was() {
    let desk = Desk::new(RULE, "lists: {leavers: leavers.csv}");
    desk.write("leavers.csv", "value,until\nana,\n");
    let running = desk.start(true).await;
    desk.rule_is_in_force("leaver").await;
    desk.record("ana", "192.0.2.9");
    desk.record("bob", "192.0.2.9");
    let alerts = desk.alerts(1, &running).await;
    let first = alerts[0].versions["lists.leavers"].clone();
    assert_eq!(alerts[0].title, "ana");

    // The file changes: the daemon sees it by itself.
    desk.write("leavers.csv", "value,until\nbob,\n");
    until("bob", async || {
        desk.record("bob", "192.0.2.9");
        running.alerts().await.iter().any(|alert| alert.title == "bob").then_some(())
    })
    .await;
    let second = running.alerts().await.last().unwrap().versions["lists.leavers"].clone();
    assert_ne!(first, second);

    // A fault: the list goes on as it was, and that is told.
    desk.write("leavers.csv", "ana\n");
    assert_eq!(
        desk.reload().await.unwrap(),
        "configuration and rules are read again, without the rules' tests (`larum test` runs them); 1 file does not load"
    );
    let own = async || {
        let query = AlertQuery { tenant: Some("larum".into()), most: 10, ..AlertQuery::default() };
        let own = running.store.alerts(query).await.unwrap();
        own.iter()
            .find(|alert| alert.now.rule.as_str() == "larum-rule-off")
            .map(|alert| alert.now.title.clone())
    };
    let title = until("Larum's own alert", own).await;
    assert!(
        title.ends_with(
            "leavers.csv does not load: line 1: the first line names no column `value`; its last good version stays in \
             force"
        ),
        "{title}"
    );
    let before = running.alerts().await.len();
    desk.record("bob", "192.0.2.9");
    desk.record("ana", "192.0.2.9");
    desk.record("bob", "192.0.2.9");
    let alerts = desk.alerts(before + 2, &running).await;
    assert!(
        alerts[before..]
            .iter()
            .all(|alert| alert.title == "bob" && alert.versions["lists.leavers"] == second)
    );
    running.end().await;
    assert_eq!(desk.as_seen(), in_json(&alerts), "the journal knows what the lists held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_does_not_start_with_a_list_that_cannot_be_used() {
    let desk = Desk::new(RULE, "lists: {leavers: leavers.csv}");
    let settings = Settings { watch: false, ..Settings::new(desk.path("larum.yaml")) };
    let refused = Daemon::start(settings).await.unwrap_err().to_string();
    assert!(refused.contains("the list `leavers` cannot be used: it cannot be read"), "{refused}");
    assert!(refused.contains("larum.yaml:3:18"), "{refused}");
}

/// 2026-01-05 and a week later, in seconds.
const BUILT: [u64; 2] = [1_767_571_200, 1_768_176_000];

fn cities(built: u64, country: &'static str) -> Vec<u8> {
    let places = [
        ("192.0.2.0/24", mmdb::city(country, "Oslo", (59.9127, 10.7461), 20)),
        ("2001:db8::/32", mmdb::city("SG", "Singapore", (1.2929, 103.8547), 5)),
    ];
    mmdb::file("Test-City", built, &places)
}

fn systems() -> Vec<u8> {
    mmdb::file("Test-ASN", BUILT[0], &[("192.0.2.0/25", mmdb::asn(2_119, "Telenor Norge AS"))])
}

const PLACED: &str = "rule: abroad\ntitle: Somebody is abroad\nlevel: low\n\
                      match: {outcome: success, geo.country: [NO, SE]}\nalert:\n  \
                      title: \"{{ user }} is in {{ geo.city }}, {{ geo.country }} ({{ asn.name }})\"\n";

#[test]
fn a_replay_tells_where_addresses_are() {
    let desk = Desk::new(PLACED, "");
    desk.write("city.mmdb", cities(BUILT[0], "NO"));
    desk.write("asn.mmdb", systems());
    desk.record("ana", "192.0.2.9");
    desk.record("bob", "::ffff:192.0.2.9");
    desk.record("eve", "2001:db8::1");
    desk.record("dan", "198.51.100.1");
    desk.record("kim", "0.0.0.0");
    let given = r#"{"id":"x","user_name":"pat","public_ip":"192.0.2.9","geo.country":"SE","start_time":"2026-03-09T11:00:00Z"}"#;
    desk.write("given.ndjson", format!("{given}\n"));
    let arguments = ["--geo-city", "city.mmdb", "--geo-asn", "asn.mmdb", "--output", "json"];
    let replay = |file: &str, arguments: &[&str]| -> Vec<serde_json::Value> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
        command.arg("replay").args(arguments).arg(file).current_dir(desk.folder.path());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let lines = String::from_utf8(done.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let alerts = replay("in.ndjson", &arguments);
    let titles: Vec<&str> = alerts.iter().map(|alert| alert["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["ana is in Oslo, NO (Telenor Norge AS)", "bob is in Oslo, NO (Telenor Norge AS)"]);
    let geo = &alerts[0]["evidence"]["first"][0]["geo"];
    assert_eq!(
        geo.to_string(),
        r#"{"country":"NO","city":"Oslo","lat":59.9127,"lon":10.7461,"radius":20}"#,
        "numbers are as exact as the file"
    );
    assert_eq!(alerts[0]["evidence"]["first"][0]["asn"]["number"], "2119");
    let version = alerts[0]["versions"]["geo.city"].as_str().unwrap();
    assert!(version.starts_with("Test-City 2026-01-05 "), "{version}");
    // What a row tells itself stands; the rest is made.
    let alerts = replay("given.ndjson", &arguments);
    assert_eq!(alerts[0]["title"], "pat is in Oslo, SE (Telenor Norge AS)");
    // Without files nobody is anywhere.
    assert!(replay("in.ndjson", &["--output", "json"]).is_empty());
    assert!(replay("in.ndjson", &["--output", "json", "--config", "larum.yaml"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_keeps_where_addresses_were_when_the_files_change() {
    let desk = Desk::new(PLACED, "geo: {city: city.mmdb, asn: asn.mmdb}");
    desk.write("city.mmdb", cities(BUILT[0], "NO"));
    desk.write("asn.mmdb", systems());
    let running = desk.start(false).await;
    desk.rule_is_in_force("abroad").await;
    desk.record("ana", "192.0.2.9");
    desk.record("bob", "198.51.100.1");
    let alerts = desk.alerts(1, &running).await;
    assert_eq!(alerts[0].title, "ana is in Oslo, NO (Telenor Norge AS)");
    // The same address is elsewhere now, says the new file.
    desk.write("city.mmdb", cities(BUILT[1], "SE"));
    assert_eq!(
        desk.reload().await.unwrap(),
        "configuration and rules are read again, without the rules' tests (`larum test` runs them)"
    );
    desk.record("eve", "192.0.2.10");
    let alerts = desk.alerts(2, &running).await;
    assert_eq!(alerts[1].title, "eve is in Oslo, SE (Telenor Norge AS)");
    assert!(alerts[1].versions["geo.city"].starts_with("Test-City 2026-01-12 "), "{:?}", alerts[1].versions);
    // A file that is none: the old one goes on.
    desk.write("city.mmdb", "nothing");
    assert_eq!(
        desk.reload().await.unwrap(),
        "configuration and rules are read again, without the rules' tests (`larum test` runs them); 1 file does not load"
    );
    desk.record("kim", "192.0.2.11");
    let alerts = desk.alerts(3, &running).await;
    assert_eq!(alerts[2].title, "kim is in Oslo, SE (Telenor Norge AS)");
    running.end().await;
    assert_eq!(desk.as_seen(), in_json(&alerts));
}

const NATIVE: &str = "rule: nobody\ntitle: Nobody\nlevel: low\nmatch: {user: nobody}\n";

/// A document that tells of `user`.
fn told_of(user: &str) -> String {
    format!(
        "title: Told of {user}\nname: told_of\nlogsource: {{product: vdi}}\n\
         detection: {{who: {{user: {user}}}, condition: who}}\nlevel: high\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_reloaded_and_the_journal_knows_what_they_were() {
    let desk = Desk::new(NATIVE, "sigma: [sigma]\nlogsources: [{product: vdi, kinds: [login]}]");
    std::fs::create_dir(desk.path("sigma")).unwrap();
    desk.write("sigma/told.yml", told_of("ana"));
    let running = desk.start(false).await;
    desk.rule_is_in_force("told-of").await;
    desk.record("ana", "192.0.2.9");
    desk.record("bob", "192.0.2.9");
    assert_eq!(desk.alerts(1, &running).await[0].title, "Told of ana");
    desk.write("sigma/told.yml", told_of("bob"));
    assert_eq!(
        desk.reload().await.unwrap(),
        "configuration and rules are read again, without the rules' tests (`larum test` runs them)"
    );
    until("bob", async || {
        desk.record("bob", "192.0.2.9");
        running.alerts().await.iter().any(|alert| alert.title == "Told of bob").then_some(())
    })
    .await;
    // A fault: the file goes on as it was.
    desk.write("sigma/told.yml", told_of("kim").replace("condition: who", "condition: whom"));
    assert_eq!(
        desk.reload().await.unwrap(),
        "configuration and rules are read again, without the rules' tests (`larum test` runs them); 1 file does not load"
    );
    let before = running.alerts().await.len();
    desk.record("kim", "192.0.2.9");
    desk.record("bob", "192.0.2.9");
    let alerts = desk.alerts(before + 1, &running).await;
    assert!(alerts[before..].iter().all(|alert| alert.title == "Told of bob"));
    running.end().await;
    assert_eq!(desk.as_seen(), in_json(&alerts), "the journal knows what the documents were");
}
