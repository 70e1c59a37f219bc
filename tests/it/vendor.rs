//! The service's troubles through the whole daemon: every row is taken in once, all the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use larum::alert::State;
use larum::daemon::run::{Daemon, Settings};
use larum::simulate::{Trouble, What};
use larum::store::{Event, Store};

use crate::operator::{Place, alerts, until};

/// Every row of the journal, with its lane.
async fn rows(store: &dyn Store) -> Vec<(u16, String)> {
    let tenant: Arc<str> = "default".into();
    let mut rows = Vec::new();
    for entry in store.journal(tenant, 0, usize::MAX).await.unwrap() {
        if let Event::Read { lane, rows: read, .. } = entry.event {
            rows.extend(read.lines().map(|row| (lane.0, row.to_owned())));
        }
    }
    rows
}

/// Runs a daemon under `troubles` until it has seen the story of repeated failures.
async fn taken_in(troubles: Vec<Trouble>) -> Vec<(u16, String)> {
    let place = Place::new().await;
    for trouble in troubles {
        place.service.trouble(trouble).unwrap();
    }
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the story", async || alerts(&*store, "failure-burst").await.pop()).await;
    let complete = async || {
        let status = place.status().await;
        let done = |lane: &larum::daemon::status::LaneStatus| !lane.behind && lane.failing_since.is_none();
        (status.lanes.len() == 3 && status.lanes.values().all(done)).then_some(())
    };
    until("every lane", complete).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let rows = rows(&*store).await;
    let distinct: BTreeSet<_> = rows.iter().collect();
    assert_eq!(distinct.len(), rows.len(), "a row is in the journal twice");
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_service_answers_every_row_is_taken_in_once() {
    let undisturbed: BTreeSet<_> = taken_in(Vec::new()).await.into_iter().collect();
    assert!(undisturbed.len() > 6, "{undisturbed:?}");
    let throttled = What::Throttled { limit: 2, time: 1, retry_after: None };
    let told = What::Throttled { limit: 5, time: 5, retry_after: Some(1) };
    let whats = [
        throttled,
        told,
        What::Internal {},
        What::BadGateway {},
        What::Unavailable {},
        What::GatewayTimeout {},
        What::ErrorIn200 {},
        What::HtmlIn200 {},
        What::Cut { after: 300 },
        What::Truncated {},
        What::ItemsMissing {},
        What::Inserted { rows: 2 },
        What::Total { by: 3 },
    ];
    // All at the same time, each with a service of its own.
    let together = tokio::task::LocalSet::new();
    for what in whats {
        let undisturbed = undisturbed.clone();
        together.spawn_local(async move {
            let rows: BTreeSet<_> = taken_in(vec![Trouble::once(what.clone())]).await.into_iter().collect();
            assert_eq!(rows, undisturbed, "{what:?}");
        });
    }
    together.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_asked_once_and_told_of() {
    let place = Place::new().await;
    let settings = place.settings();
    let wrong = settings.secrets.clone().with("SK", "not-the-secret");
    let daemon = Daemon::start(Settings { secrets: wrong, ..settings }).await.unwrap();
    let store = daemon.store();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    let alert =
        until("Larum's own alert", async || alerts(&*store, "larum-source-failing").await.pop()).await;
    assert_eq!(alert.now.state, State::Open);
    assert!(!place.status().await.blind().is_empty());
    // Every lane has met it, and none has asked again.
    let all = async || {
        let status = place.status().await;
        (status.lanes.values().filter(|lane| lane.failure.is_some()).count() == 3).then_some(())
    };
    until("every lane", all).await;
    let refused = place.service.seen().iter().filter(|seen| seen.status == 401).count();
    assert_eq!(refused, 1, "more than five bad tries would lock the key for everybody");
    let own = alerts(&*store, "larum-source-failing").await;
    assert_eq!(own.len(), 1, "one cause is told once, however many lanes it stops: {own:?}");
    assert!(own[0].now.title.starts_with("prod cannot be read: the service answered 401"), "{own:?}");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    drop(store);

    // With the right key the trouble is over, and that is told too.
    let daemon = Daemon::start(place.settings()).await.unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let store = daemon.store();
    let running = tokio::spawn(daemon.run(stopping));
    until("the story", async || alerts(&*store, "failure-burst").await.pop()).await;
    let over = async || {
        let own = alerts(&*store, "larum-source-failing").await;
        (own.len() == 1 && own[0].now.state == State::Resolved).then_some(())
    };
    until("the end of Larum's own alert", over).await;
    assert_eq!(place.status().await.blind(), Vec::<String>::new());
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}
