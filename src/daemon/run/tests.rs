//! A whole daemon on a store that a test fills.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::alert::State;
use crate::daemon::build;
use crate::record::Timestamp;
use crate::route::Standing;
use crate::store::filling::Filling;
use crate::store::sqlite::Sqlite;
use crate::store::{AlertQuery, DeliveryQuery, KeptAlert};

const CONFIG: &str = "store: larum.db
rules: [rules]
sources:
  - {name: gw, kind: file, path: \"in/*.ndjson\", follow: true, every: 1s, settle: 1s}
receivers:
  - {name: kept, kind: file, path: kept.ndjson}
routes:
  - {match: {}, to: [kept]}
ops: [kept]
";
const RULE: &str = "rule: any\ntitle: t\nlevel: low\nmatch: {outcome: failure}\n";

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what a receiver was told")]
fn told(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}

async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// A daemon on the store of one that has ended in this process: what that had begun may hold it a moment longer.
async fn started_again(settings: impl Fn() -> Settings) -> Daemon {
    until("the store to be free", async || match Daemon::start(settings()).await {
        Ok(daemon) => Some(daemon),
        Err(DaemonError::Store(StoreError::Taken { .. })) => None,
        Err(error) => panic!("{error}"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_that_an_alert_is_over_unless_they_want_no_word_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let quiet = "\n  - {name: quiet, kind: file, path: quiet.ndjson, closed: off}";
    let config = CONFIG.replace("kept.ndjson}", &format!("kept.ndjson}}{quiet}"));
    write(here, "larum.yaml", &config.replace("to: [kept]}", "to: [kept, quiet]}"));
    write(here, "rules/any.yaml", &format!("{RULE}cooldown: {{for: 2s, by: [user]}}\n"));
    write(here, "in/a.ndjson", "");
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let now = settings.clock.now();
    let daemon = Daemon::start(settings).await.unwrap();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    write(
        here,
        "in/a.ndjson",
        &format!("{{\"id\":\"1\",\"user_name\":\"ana\",\"failed_code\":\"X\",\"start_time\":\"{now}\"}}\n"),
    );
    let states = |name: &str| -> Vec<String> {
        let lines = told(here, name);
        let alerts = lines.lines().map(|line| serde_json::from_str::<crate::alert::Alert>(line).unwrap());
        alerts.map(|alert| format!("{} {} {}", alert.rule, alert.revision, alert.state.as_str())).collect()
    };
    until("the end told", async || (states("kept.ndjson").len() == 2).then_some(())).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(states("kept.ndjson"), ["any 1 open", "any 2 closed"]);
    assert_eq!(states("quiet.ndjson"), ["any 1 open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_did_is_shown_of_all_tenants_and_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let source = |tenant: &str| {
        format!(
            "  - {{name: {tenant}, tenant: {tenant}, kind: file, path: {tenant}.ndjson, follow: true, every: 1s, settle: 1s}}\n"
        )
    };
    let (head, tail) = CONFIG.split_once("  - {name: gw").unwrap();
    let (_, tail) = tail.split_once('\n').unwrap();
    let config = |tenants: &[&str]| {
        let sources: String = tenants.iter().copied().map(source).collect();
        write(here, "larum.yaml", &format!("{head}{sources}{tail}"));
    };
    config(&["alpha", "beta"]);
    write(here, "rules/any.yaml", RULE);
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let row = |id: u64, user: &str| {
        let at = settings.clock.now() - Millis::mins(40);
        format!(
            "{{\"id\":\"{id}\",\"user_name\":\"{user}\",\"failed_code\":\"X\",\"start_time\":\"{at}\"}}\n"
        )
    };
    write(here, "alpha.ndjson", &(0..3).map(|id| row(id, "ana")).collect::<String>());
    write(here, "beta.ndjson", &row(7, "bob"));
    let mut daemon = Daemon::start(settings).await.unwrap();
    let board = daemon.board();
    let hits = |tenant: Option<&str>| {
        board.read().rules_of(tenant).ok().and_then(|rules| rules.get("any")).map(|rule| rule.hits)
    };
    let all = async || (hits(None) == Some(4)).then_some(());
    until("both tenants' rules to know the past", all).await;
    assert_eq!((hits(Some("alpha")), hits(Some("beta"))), (Some(3), Some(1)));
    let stranger = board.read().rules_of(Some("gamma")).unwrap_err().to_string();
    assert_eq!(stranger, "there is no tenant `gamma`; there are: alpha, beta");
    let store = daemon.store();
    let page = daemon.meters.page(&board.read(), &*store, Timestamp(0)).await.unwrap();
    for line in [
        "larum_rule_matches_total{rule=\"any\",tenant=\"alpha\"} 3",
        "larum_rule_matches_total{rule=\"any\",tenant=\"beta\"} 1",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }

    // A tenant that goes takes its figures and its sources along.
    config(&["alpha"]);
    assert_eq!(reloaded(&mut daemon).await, None);
    assert_eq!((hits(None), hits(Some("alpha")), hits(Some("beta"))), (Some(3), Some(3), None));
    assert_eq!(board.read().lanes.keys().collect::<Vec<_>>(), ["alpha/alpha.ndjson"]);
    // Of one tenant alone the figures are told once.
    let told = serde_json::to_value(board.read()).unwrap();
    assert_eq!(
        (told["rules"]["any"]["hits"].as_u64(), &told["rules_by_tenant"]),
        (Some(3), &serde_json::Value::Null)
    );
}

#[test]
fn what_loads_and_is_doubted_is_logged_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(
        here,
        "larum.yaml",
        &CONFIG.replace("kept.ndjson}", "kept.ndjson, at_most: {rules: {ayn: 3 in 1h}}}"),
    );
    write(here, "rules/any.yaml", RULE);
    let built = build::build(&here.join("larum.yaml"), &Secrets::default(), None).unwrap();
    let file = std::fs::File::create(here.join("log")).unwrap();
    let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(file)).finish();
    tracing::subscriber::with_default(logs, || Daemon::log_doubts(&built.problems));
    let log = told(here, "log");
    for part in ["WARN", "larum.yaml\" line=", "`ayn`", "did you mean `any`?"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_the_first_start_counts_as_hits_and_not_as_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let row = |id: i64| {
        let at = settings.clock.now() - Millis::mins(40 - id);
        format!("{{\"id\":\"{id}\",\"user_name\":\"ana\",\"failed_code\":\"X\",\"start_time\":\"{at}\"}}\n")
    };
    let rows: String = (0..3).map(row).collect();
    write(here, "in/a.ndjson", &rows);
    let daemon = Daemon::start(settings.clone()).await.unwrap();
    let (board, store) = (daemon.board(), daemon.store());
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let known = async || board.read().rules.get("any").filter(|rule| rule.hits == 3).cloned();
    let rule = until("the rule to know the past", known).await;
    assert_eq!((rule.alerts, rule.learning), (0, false));
    assert_eq!(store.alerts(AlertQuery { most: 10, ..AlertQuery::default() }).await.unwrap(), []);
    // What comes from now on does.
    write(here, "in/a.ndjson", &format!("{rows}{}", row(40)));
    let alert = until("the alert", async || {
        store.alerts(AlertQuery { most: 10, ..AlertQuery::default() }).await.unwrap().pop()
    })
    .await;
    assert!(!alert.now.standing);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(board.read().rules["any"].alerts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_record_is_told_of_with_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "");
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let now = settings.clock.now();
    let daemon = Daemon::start(settings).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let good = format!("{{\"id\":\"1\",\"user_name\":\"ana\",\"start_time\":\"{now}\"}}\n");
    let mut text = [good.as_bytes(), b"\n", b"{\"a\":\"\xff\"}\n", b"{\"user_name\":\"bob\"}\n"].concat();
    let path = here.join("in/a.ndjson");
    std::fs::write(&path, &text).unwrap();
    let rows = async |count: usize| {
        let rows = store.quarantine("default".into(), 10).await.unwrap();
        (rows.len() == count).then(|| rows.into_iter().map(|row| row.reason).collect::<Vec<_>>())
    };
    let first = until("the row set aside", async || rows(1).await).await;
    assert!(first[0].ends_with(&format!(" (`{}`, line 4)", path.display())), "{first:?}");
    // The file grows: lines are counted on.
    text.extend_from_slice(b"oh no\n");
    std::fs::write(&path, &text).unwrap();
    let both = until("the other", async || rows(2).await).await;
    assert!(both[0].ends_with(&format!(" (`{}`, line 5)", path.display())), "newest first: {both:?}");
    let own = until("the word of it", async || own_of(&*store, "larum-quarantine").await.pop()).await;
    assert!(own.fired.title.contains(&format!("(`{}`, line 4)", path.display())), "{}", own.fired.title);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_that_the_daemon_has_ended_is_told_that_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "{}\n");
    let settings = || Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let steps = Steps::stop_at(crate::daemon::step::Step::BeforeCommit, 1);
    let daemon = Daemon::start(Settings { steps, ..settings() }).await.unwrap();
    let (_stop, stopping) = watch::channel(false);
    let ended = daemon.run(stopping).await.unwrap_err();
    let states = || -> Vec<(String, String)> {
        let lines = told(here, "kept.ndjson");
        let alerts = lines.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap());
        let alerts = alerts.filter(|alert| alert.rule.as_str() == "larum-store-failing");
        alerts
            .map(|alert| (format!("{} {}", alert.state.as_str(), alert.title), alert.id.to_string()))
            .collect()
    };
    let first = states();
    assert_eq!(first[0].0, format!("open the daemon has ended: {ended}"));

    for lives in 0..2 {
        let daemon = started_again(settings).await;
        let store = daemon.store();
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(daemon.run(stopping));
        let back =
            until("the word that it is back", async || Some(states()).filter(|told| told.len() == 2)).await;
        assert_eq!(back[1], (format!("resolved the daemon has ended: {ended}"), first[0].1.clone()));
        let kept = own(&*store).await;
        assert_eq!((kept.len(), kept[0].now.state), (1, State::Resolved), "life {lives}");
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
    }
    assert_eq!(states().len(), 2, "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_is_told_once_and_its_end_when_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "");
    let settings = || Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let states = || -> Vec<String> {
        let lines = told(here, "kept.ndjson");
        let alerts = lines.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap());
        alerts.map(|alert| format!("{} {}", alert.state.as_str(), alert.title)).collect()
    };
    write(here, "larum.db", &"this is no store ".repeat(1_000));
    let mut failure = String::new();
    for _ in 0..2 {
        failure = Daemon::start(settings()).await.unwrap_err().to_string();
    }
    let title = format!("the daemon cannot start: {failure}");
    assert_eq!(states(), [format!("open {title}")], "it is told once");

    std::fs::remove_file(here.join("larum.db")).unwrap();
    let daemon = started_again(settings).await;
    let store = daemon.store();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the word that it is over", async || (states().len() == 2).then_some(())).await;
    assert_eq!(states()[1], format!("resolved {title}"));
    assert!(matches!(Daemon::start(settings()).await, Err(DaemonError::Store(StoreError::Taken { .. }))));
    assert_eq!((states().len(), own(&*store).await.len()), (2, 1), "who starts a second daemon is not blind");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_told_of_and_shown_until_it_takes_messages_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let hook = "kept.ndjson}\n  - {name: hook, kind: file, path: hook.ndjson}";
    write(here, "larum.yaml", &CONFIG.replace("kept.ndjson}", hook));
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "");
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let mut daemon = Daemon::start(settings).await.unwrap();
    let store = daemon.store();
    let (receiver, reason): (ReceiverName, _) = ("hook".parse().unwrap(), "500: no".to_owned());
    let failing = || dispatch::Event::Failing { receiver: receiver.clone(), reason: reason.clone() };
    daemon.heard(failing()).await.unwrap();
    daemon.heard(failing()).await.unwrap();
    let told = own_of(&*store, "larum-receiver-failing").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].now.state, State::Open);
    assert_eq!(told[0].now.title, "receiver hook fails, and is tried again by itself: 500: no");
    let status = daemon.status().await;
    assert_eq!(status.receivers["hook"].failure.as_deref(), Some("500: no"));
    // What is owed is counted by its state: the word of it, to `kept`.
    let counts = async |receiver: &str| {
        let counts = store.holdings().await.unwrap().deliveries.remove(receiver).unwrap_or_default();
        counts.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    let shown = |status: &crate::daemon::status::Status, receiver: &str| {
        status.receivers[receiver].deliveries.clone().into_iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>()
    };
    assert_eq!((shown(&status, "hook"), counts("hook").await), (Vec::new(), Vec::new()));
    until("the word of it", async || (counts("kept").await == [("delivered".to_owned(), 1)]).then_some(()))
        .await;
    assert_eq!(shown(&daemon.status().await, "kept"), [("delivered".to_owned(), 1)]);

    daemon.heard(dispatch::Event::Recovered { receiver: receiver.clone() }).await.unwrap();
    let over = own_of(&*store, "larum-receiver-failing").await;
    assert_eq!((over.len(), over[0].now.state), (1, State::Resolved));
    assert_eq!(daemon.status().await.receivers["hook"].failure, None);
}

/// Makes `here` the folder of a daemon that tells `kept` and `hook`, of which `hook` takes no line; a row of now that
/// its rule fires at.
fn with_hook(here: &Path) -> String {
    let hook = "kept.ndjson}\n  - {name: hook, kind: file, path: hook.ndjson}";
    let config = CONFIG.replace("kept.ndjson}", hook).replace("to: [kept]", "to: [kept, hook]");
    write(here, "larum.yaml", &config);
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "");
    // A folder takes no lines.
    std::fs::create_dir(here.join("hook.ndjson")).unwrap();
    let now = Clock::wall().now();
    format!("{{\"id\":\"1\",\"user_name\":\"ana\",\"failed_code\":\"X\",\"start_time\":\"{now}\"}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_failed_is_shown_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let row = with_hook(here);
    let settings = || Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let daemon = Daemon::start(settings()).await.unwrap();
    assert_eq!(daemon.status().await.receivers["hook"].last_failed, None);
    let store = daemon.store();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    write(here, "in/a.ndjson", &row);
    for receiver in ["hook", "kept"] {
        let tried = async || store.last_tried(receiver.parse().unwrap()).await.unwrap();
        until("a try whose outcome is known", tried).await;
    }
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    drop(store);

    let receivers = Daemon::start(settings()).await.unwrap().status().await.receivers;
    let failed = receivers["hook"].last_failed.clone().unwrap();
    assert!(failed.reason.starts_with("try again: cannot append to "), "{failed:?}");
    assert!(failed.next.is_some(), "{failed:?}");
    assert_eq!((&receivers["hook"].failure, &receivers["kept"].last_failed), (&None, &None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_receiver_that_is_gone_is_dead_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let row = with_hook(here);
    let settings = || Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let mut daemon = Daemon::start(settings()).await.unwrap();
    let name: ReceiverName = "hook".parse().unwrap();
    daemon.heard(dispatch::Event::Paused { receiver: name.clone(), reason: "410".to_owned() }).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    write(here, "in/a.ndjson", &row);
    let tried = async || store.last_tried(name.clone()).await.unwrap();
    until("a try whose outcome is known", tried).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    drop(store);

    write(here, "larum.yaml", CONFIG);
    for life in 0..2 {
        let daemon = started_again(settings).await;
        let store = daemon.store();
        let query = || DeliveryQuery { receiver: Some(name.clone()), most: 10, ..DeliveryQuery::default() };
        let of_hook = store.deliveries(query()).await.unwrap();
        let standing = of_hook.iter().map(|one| one.standing.clone()).collect::<Vec<_>>();
        let reason = "its receiver is not configured any more";
        assert!(
            matches!(&*standing, [Standing::Dead { reason: told, .. }] if told == reason),
            "{life}: {standing:?}"
        );
        let dead = own_of(&*store, "larum-dead-letter").await;
        assert_eq!((dead.len(), dead[0].now.count), (1, 1), "it is told once");
        assert!(
            dead[0].now.title.starts_with("receiver hook is not configured any more, and 1 of its messages"),
            "{}",
            dead[0].now.title
        );
        let gone = daemon.status().await.receivers_gone;
        assert_eq!(gone, BTreeMap::from([("hook".to_owned(), BTreeMap::from([("dead".to_owned(), 1)]))]));
        let paused = own_of(&*store, "larum-receiver-paused").await;
        assert_eq!(paused.iter().map(|kept| kept.now.state).collect::<Vec<_>>(), [State::Resolved]);
    }
}

async fn own(store: &dyn Store) -> Vec<KeptAlert> {
    own_of(store, "larum-store-failing").await
}

async fn own_of(store: &dyn Store, rule: &str) -> Vec<KeptAlert> {
    let rule = Some(rule.parse().unwrap());
    store.alerts(AlertQuery { rule, most: 10, ..AlertQuery::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_full_the_daemon_waits_says_so_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    write(here, "in/a.ndjson", "");
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let now = settings.clock.now();
    let mut rows = String::new();
    let mut more = |from: i64| {
        for id in from..from + 5 {
            let _ = writeln!(
                rows,
                "{{\"id\":\"{id}\",\"user_name\":\"ana\",\"failed_code\":\"AUTH_FAILED\",\"start_time\":\"{now}\"}}"
            );
        }
        write(here, "in/a.ndjson", &rows);
    };
    let built = build::build(&settings.config, &settings.secrets, None).unwrap();
    let store = Filling::over(Sqlite::open(&built.config.store).unwrap());
    let daemon = Daemon::start_on(settings, built, store.clone()).await.unwrap();
    let board = daemon.board();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let rows_read = || board.read().lanes.values().map(|lane| lane.rows).sum::<u64>();
    more(0);
    until("the first rows", async || (rows_read() == 5).then_some(())).await;

    store.fill(true);
    more(5);
    until("the word of it", async || board.read().store_failed).await;
    until("the receiver told past the store", async || {
        told(here, "kept.ndjson")
            .contains("nothing can be kept: the disk under the store is full")
            .then_some(())
    })
    .await;
    // Longer than a reading that was not kept rests: it has been tried again.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!running.is_finished(), "the daemon has ended");
    assert!(board.read().store_failed.is_some());
    assert_eq!(rows_read(), 5);

    store.fill(false);
    until("the rest of the rows", async || (rows_read() == 10).then_some(())).await;
    let own = until("the end told", async || {
        own(&*store).await.pop().filter(|kept| kept.now.state == State::Resolved)
    })
    .await;
    assert_eq!((own.fired.state, own.fired.revision, own.now.revision), (State::Open, 1, 2));
    assert_eq!(board.read().store_failed, None);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// A whole daemon that waits for another reload, and what came of it.
async fn reloaded(daemon: &mut Daemon) -> Option<String> {
    daemon.reload(None);
    let built = daemon.reloads.ready.join_next().await.unwrap().unwrap();
    daemon.reloaded(built).await.unwrap();
    daemon.board().read().reload_refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_asked_for_before_the_daemon_is_ready_is_done_when_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    settings.reload.notify_one();
    let daemon = Daemon::start(settings).await.unwrap();
    write(here, "larum.yaml", "store: 1");
    let board = daemon.board();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the word of it", async || board.read().reload_refused).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// The end of a webhook that counts its calls, and its address.
async fn hook() -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let calls = Arc::<std::sync::atomic::AtomicUsize>::default();
    let counted = calls.clone();
    let heard = move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        std::future::ready("ok")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hook", axum::routing::post(heard));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_secrets_that_have_changed_in_their_files_and_how_much_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let receiver = "kept.ndjson}\n  - {name: hook, kind: webhook, url: \"file:url\"}";
    let config = CONFIG.replace("kept.ndjson}", receiver);
    write(here, "larum.yaml", &config);
    write(here, "rules/any.yaml", RULE);
    let ((old, _), (new, calls)) = (hook().await, hook().await);
    write(here, "url", &old);
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let mut daemon = Daemon::start(settings).await.unwrap();
    let name: ReceiverName = "hook".parse().unwrap();
    let before = daemon.receivers[&name].clone();
    // What has not changed goes on.
    assert_eq!(reloaded(&mut daemon).await, None);
    assert!(Arc::ptr_eq(&before, &daemon.receivers[&name]));

    write(here, "url", &new);
    assert_eq!(reloaded(&mut daemon).await, None);
    let receiver = daemon.receivers[&name].clone();
    let reply = try_out(&name, &*receiver, daemon.zone, daemon.settings.clock.now()).await;
    assert_eq!(reply, crate::daemon::orders::Reply::Done("hook took the test message".to_owned()));
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);

    let kept = daemon.keep.subscribe();
    write(here, "larum.yaml", &format!("{config}keep: {{for: 30d, at_most: 1GB}}\n"));
    assert_eq!(reloaded(&mut daemon).await, None);
    let keep = Keep { lasts: Millis::days(30), at_most: Some(crate::config::Bytes(1_000_000_000)) };
    assert_eq!(*kept.borrow(), keep);
}

/// A host that takes connections and never answers: its address, and word of each that it took.
async fn mute() -> (String, mpsc::Receiver<tokio::net::TcpStream>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (taken, seen) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if taken.send(stream).await.is_err() {
                return;
            }
        }
    });
    (url, seen)
}

/// A source whose project only `iam` knows.
fn source_of(iam: &str) -> String {
    format!(
        "follow: true, every: 1s, settle: 1s}}\n  - name: prod\n    kind: huawei\n    region: cn-north-4\n    \
         credentials: {{ak: env:AK, sk: env:SK}}\n    base_url: {{iam: \"{iam}\", workspace: \"{iam}\", \
         workspaceapp: \"{iam}\"}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_holds_up_a_reload_and_nothing_else() {
    use crate::daemon::orders::{Order, Reply};
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    let (iam, mut seen) = mute().await;
    let secrets = Secrets::default().with("AK", "k2").with("SK", "k2");
    let settings = Settings { secrets, watch: false, ..Settings::new(here.join("larum.yaml")) };
    let reload = settings.reload.clone();
    let daemon = Daemon::start(settings).await.unwrap();
    let socket = super::super::control::socket_of(&here.join("larum.db"));
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let source = source_of(&iam);
    write(here, "larum.yaml", &CONFIG.replace("follow: true, every: 1s, settle: 1s}", &source));
    reload.notify_one();
    let _held = seen.recv().await.unwrap();

    // Far sooner than the host is given up.
    let at_once = Duration::from_secs(20);
    let status = super::super::control::ask(&socket, &Order::Status);
    let status = tokio::time::timeout(at_once, status).await.expect("an answer meanwhile").unwrap();
    assert!(matches!(status, Reply::Status(_)), "{status:?}");
    stop.send(true).unwrap();
    tokio::time::timeout(at_once, running).await.expect("the end meanwhile").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_reload_while_one_is_under_way_hears_of_the_next() {
    use crate::daemon::orders::Reply;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    let settings = Settings { watch: false, ..Settings::new(here.join("larum.yaml")) };
    let mut daemon = Daemon::start(settings).await.unwrap();
    let (asks, hears) = tokio::sync::oneshot::channel();
    daemon.reload(Some(asks));
    // It may have been read before this was written.
    write(here, "larum.yaml", "store: 1");
    let (asks, hears_later) = tokio::sync::oneshot::channel();
    daemon.reload(Some(asks));
    let ready = async |daemon: &mut Daemon| {
        let built = daemon.reloads.ready.join_next().await.unwrap().unwrap();
        daemon.reloaded(built).await.unwrap();
    };
    ready(&mut daemon).await;
    assert!(matches!(hears.await.unwrap(), Reply::Done(_)));
    ready(&mut daemon).await;
    let refused = hears_later.await.unwrap();
    assert!(
        matches!(&refused, Reply::Refused(why) if why.starts_with("the configuration has faults")),
        "{refused:?}"
    );
    assert!(daemon.reloads.ready.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_the_start_is_told_of_once_and_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "larum.yaml", CONFIG);
    write(here, "rules/any.yaml", RULE);
    let clock = super::super::clock::Clock::led(crate::record::Timestamp(1_767_604_080_000));
    let settings = Settings { clock: clock.clone(), watch: false, ..Settings::new(here.join("larum.yaml")) };
    let store = Filling::over(Sqlite::open(&here.join("larum.db")).unwrap());
    store.fill(true);
    let tries = Arc::<std::sync::atomic::AtomicUsize>::default();
    let (counted, opened) = (tries.clone(), store.clone());
    let open = move |_: &Path| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(opened.clone() as Arc<dyn Store>)
    };
    let starting = tokio::spawn(Daemon::start_with(settings, open));
    let passes = || clock.set(clock.now() + Millis::secs(30));
    until("three tries", async || {
        passes();
        (tries.load(std::sync::atomic::Ordering::SeqCst) >= 3).then_some(())
    })
    .await;
    let titles = || -> Vec<String> {
        let lines = told(here, "kept.ndjson");
        let alerts = lines.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap());
        alerts.map(|alert| format!("{} {}", alert.state.as_str(), alert.title)).collect()
    };
    let full = "nothing can be kept: the disk under the store is full; free some space, or lower `keep`; it is \
                tried again";
    assert_eq!(titles(), [format!("open {full}")]);

    store.fill(false);
    until("the start", async || {
        passes();
        starting.is_finished().then_some(())
    })
    .await;
    let _daemon = starting.await.unwrap().unwrap();
    let own = own(&*store).await;
    assert_eq!((own.len(), own[0].now.state), (1, State::Resolved));
    until("its end", async || (titles().len() == 2).then_some(())).await;
    assert_eq!(titles()[1], format!("resolved {full}"));
}
