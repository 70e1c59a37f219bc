//! Stopped at every step, once at each passing, and opened again.

use std::collections::BTreeMap;

use super::*;
use crate::daemon::step::Step;
use crate::store::sqlite::Sqlite;

/// What is owed: a flood that becomes a digest, one body that is unwelcome, one that a silence holds.
async fn owe_all(world: &World) {
    world.commit(vec![Change::Silence(silence(&[("user", "ana50")], 20))]).await;
    world.owe(&alerts(0..6, Level::Medium)).await;
    world.owe(&alerts(40..42, Level::High)).await;
    world.owe(&alerts(50..51, Level::High)).await;
}

fn receiver() -> Arc<Fake> {
    Fake::new(|given| if given.what == "ana41" { unwelcome() } else { Attempt::Delivered })
}

/// Deliveries whose last try nobody knows the end of.
async fn in_flight(store: &dyn Store) -> Vec<DeliveryId> {
    let query = DeliveryQuery { most: 1_000, ..DeliveryQuery::default() };
    let mut flying = Vec::new();
    for delivery in store.deliveries(query).await.unwrap() {
        let tries = store.tries(delivery.id).await.unwrap();
        if tries.last().is_some_and(|last| last.outcome.is_none()) {
            flying.push(delivery.id);
        }
    }
    flying
}

/// Every delivery came to its end; repeats only of those in `flying`; no limit was exceeded but by those.
async fn check(world: &World, fake: &Fake, flying: &[DeliveryId], story: &str) {
    let deliveries = world.deliveries().await;
    let mut taken: BTreeMap<DeliveryId, usize> = BTreeMap::new();
    for given in fake.given().into_iter().filter(|given| given.taken && given.what != "probe") {
        *taken.entry(given.delivery).or_default() += 1;
    }
    let of = |id: DeliveryId| deliveries.iter().find(|delivery| delivery.id == id).unwrap();
    for delivery in &deliveries {
        let end = match &delivery.standing {
            Standing::Folded { into } => of(*into),
            Standing::Waiting
            | Standing::Sending { .. }
            | Standing::Delivered { .. }
            | Standing::Dead { .. }
            | Standing::Discarded { .. } => delivery,
        };
        match &end.standing {
            Standing::Delivered { .. } => {
                let most = 1 + usize::from(flying.contains(&end.id));
                let times = taken.get(&end.id).copied().unwrap_or(0);
                assert!((1..=most).contains(&times), "{story}: {} was taken {times} times", end.id);
            }
            Standing::Dead { reason, .. } => {
                assert_eq!(reason, "403 Forbidden; this message alone: the receiver takes others", "{story}");
            }
            Standing::Waiting
            | Standing::Sending { .. }
            | Standing::Discarded { .. }
            | Standing::Folded { .. } => {
                panic!("{story}: {end:?}")
            }
        }
    }
    assert_eq!(deliveries.iter().filter(|delivery| delivery.standing.word() == "dead").count(), 1, "{story}");
    let told: u64 =
        deliveries.iter().map(|of| if let Body::Digest(digest) = &of.body { digest.count } else { 0 }).sum();
    let folded = deliveries.iter().filter(|of| of.standing.word() == "folded").count();
    assert_eq!(told, folded as u64, "{story}: digests count their members");
    let medium: Vec<Timestamp> = fake
        .given()
        .into_iter()
        .filter(|given| {
            given.taken && deliveries.iter().any(|of| of.id == given.delivery && of.level == Level::Medium)
        })
        .map(|given| given.at)
        .collect();
    for end in &medium {
        let inside = medium.iter().filter(|at| **at > *end - Millis::mins(10) && *at <= end).count();
        assert!(inside <= 2, "{story}: {inside} medium messages in a window");
    }
}

/// One life that is stopped at the `nth` passing of `step`, and the next one; false where it never
/// came to it.
async fn stop_and_go_on(step: Step, nth: u64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let fake = receiver();
    let limits = medium(2, 10);
    let clock = Clock::at(NOW);
    let story = format!("{step:?} {nth}");
    let steps = Steps::stop_at(step, nth);
    {
        let world = World::over(Arc::new(Sqlite::open(&path).unwrap()), clock.clone(), steps.clone());
        owe_all(&world).await;
        let mut desk = Desk::new(world.office.clone(), target(&fake, limits.clone()));
        let ended = until(&mut desk, 60).await;
        assert_eq!(ended.is_err(), steps.has_stopped(), "{story}: {ended:?}");
        if !steps.has_stopped() {
            check(&world, &fake, &[], &story).await;
            return false;
        }
    }
    let world = World::over(Arc::new(Sqlite::open(&path).unwrap()), clock, Steps::none());
    let flying = in_flight(world.office.store.as_ref()).await;
    assert!(flying.len() <= 1, "{story}: one try at a time");
    let mut desk = Desk::new(world.office.clone(), target(&fake, limits));
    until(&mut desk, 120).await.unwrap();
    check(&world, &fake, &flying, &story).await;
    true
}

#[tokio::test]
async fn stopped_at_any_step_nothing_is_lost_and_only_a_try_under_way_is_repeated() {
    for step in Step::DISPATCH {
        let mut nth = 1;
        while stop_and_go_on(*step, nth).await {
            nth += 1;
        }
        assert!(nth > 1, "{step:?} is never passed");
    }
}
