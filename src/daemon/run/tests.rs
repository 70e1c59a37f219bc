//! A whole daemon on a store that a test fills.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::alert::State;
use crate::daemon::build;
use crate::store::filling::Filling;
use crate::store::sqlite::Sqlite;
use crate::store::{AlertQuery, KeptAlert};

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
fn told(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("kept.ndjson")).unwrap_or_default()
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

async fn own(store: &dyn Store) -> Vec<KeptAlert> {
    let rule = Some("larum-store-failing".parse().unwrap());
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
        told(here).contains("nothing can be kept: the disk under the store is full").then_some(())
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
