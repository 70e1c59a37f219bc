//! The one judge of what a daemon leaves behind, however often it was stopped on the way.
//!
//! - The alerts are those of an oracle that nobody disturbed.
//! - Cursors and watermarks never go back, and the journal has no gap.
//! - Every message that was owed was received; one that a digest stands for, in its digest.
//! - One was received again only where a stop caught a try of it under way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use larum::engine::SourceId;
use larum::record::Timestamp;
use larum::route::{Body, Delivery, DeliveryId, ReceiverName, Standing};
use larum::simulate::office;
use larum::store::sqlite::Sqlite;
use larum::store::{AlertQuery, DeliveryQuery, Event, KeptAlert, Store, StoreError, Watermark};

use super::hook::Taken;
use super::house::{SETTLE, until};
use super::steps::OVER;

const TENANT: &str = "default";
/// The receiver `picky` refuses what holds this word: somebody in the office.
pub const REFUSED: &str = "olga.ivanova";
/// More than any world here has.
const ALL: usize = 100_000;

/// What is the same in every life of the same records.
#[derive(Debug, Clone, PartialEq)]
pub struct Told(serde_json::Value);

impl Told {
    fn of(kept: &KeptAlert) -> Self {
        let fired = &kept.fired;
        Self(serde_json::json!({
            "id": fired.id.to_string(), "rule": fired.rule.as_str(), "at": fired.at.to_string(),
            "level": fired.level.as_str(), "group": fired.group, "count": fired.count, "title": fired.title,
            "late": fired.late, "standing": fired.standing, "window": fired.window,
        }))
    }

    fn order(&self) -> String {
        format!("{} {} {}", self.0["at"], self.0["rule"], self.0["id"])
    }
}

/// The store of a daemon that does not run.
pub async fn open(path: &Path) -> Sqlite {
    // Its last holder may be about to let go of it.
    until("the store is free", async || match Sqlite::open(path) {
        Ok(store) => Some(store),
        Err(StoreError::Taken { .. }) => None,
        Err(error) => panic!("{error}"),
    })
    .await
}

/// The alerts that `store` holds, by time.
///
/// The office goes on after its stories: how much of that is read depends on when a daemon ends, and
/// is left out.
pub async fn alerts(store: &dyn Store) -> Vec<Told> {
    let query = AlertQuery { tenant: Some(TENANT.into()), most: ALL, ..AlertQuery::default() };
    let over = office::START + OVER - SETTLE;
    let kept = store.alerts(query).await.unwrap();
    let mut told: Vec<Told> = kept.iter().filter(|kept| kept.fired.at <= over).map(Told::of).collect();
    told.sort_by_key(Told::order);
    told
}

async fn deliveries(store: &dyn Store) -> Vec<Delivery> {
    let query = DeliveryQuery { tenant: Some(TENANT.into()), most: ALL, ..DeliveryQuery::default() };
    store.deliveries(query).await.unwrap()
}

/// True when nothing is owed any more.
pub async fn settled(store: &dyn Store) -> bool {
    deliveries(store)
        .await
        .iter()
        .all(|delivery| !matches!(delivery.standing, Standing::Waiting | Standing::Sending { .. }))
}

/// What was received, by receiver.
pub type Received = BTreeMap<ReceiverName, Vec<Taken>>;

/// See the module.
#[derive(Debug)]
pub struct Checker {
    oracle: Vec<Told>,
    places: BTreeMap<SourceId, [Timestamp; 3]>,
    stops: usize,
}

impl Checker {
    pub fn new(oracle: Vec<Told>) -> Self {
        Self { oracle, places: BTreeMap::new(), stops: 0 }
    }

    /// Looks at what a stopped daemon has left: nothing has gone back since the last look.
    pub async fn look(&mut self, store: &dyn Store) {
        self.stops += 1;
        for cursor in store.cursors(TENANT.into()).await.unwrap() {
            let place: serde_json::Value = serde_json::from_str(&cursor.place).unwrap();
            let time = |name: &str| Timestamp(place[name].as_i64().unwrap_or_else(|| panic!("{place}")));
            let now = ["to", "start", "end"].map(time);
            let before = self.places.insert(cursor.lane, now).unwrap_or([Timestamp::MIN; 3]);
            let held = before.iter().zip(&now).all(|(before, now)| before <= now);
            assert!(held, "the cursor of lane {:?} has gone back: {before:?} to {now:?}", cursor.lane);
        }
        journal(store).await;
        let known = alerts(store).await;
        for told in &known {
            assert!(self.oracle.contains(told), "nobody undisturbed tells {told:?}");
        }
    }

    /// The alerts are the oracle's.
    pub async fn alerts(&self, store: &dyn Store) {
        assert!(!self.oracle.is_empty(), "an oracle without alerts proves nothing");
        assert_eq!(alerts(store).await, self.oracle);
    }

    /// What was owed was received, and again only where it had to be. `receivers` are owed every alert.
    /// The messages that came more often than once are counted.
    pub async fn deliveries(&self, store: &dyn Store, received: &Received) -> usize {
        let all = deliveries(store).await;
        let by_id: BTreeMap<DeliveryId, &Delivery> = all.iter().map(|one| (one.id, one)).collect();
        let query = AlertQuery { tenant: Some(TENANT.into()), most: ALL, ..AlertQuery::default() };
        let alerts = store.alerts(query).await.unwrap();
        for alert in alerts.iter().filter(|kept| !kept.fired.standing) {
            for receiver in received.keys() {
                let id = DeliveryId::of_alert(TENANT, receiver, alert.fired.id, 1);
                assert!(by_id.contains_key(&id), "{receiver} is not owed {}", alert.fired.title);
            }
        }
        let mut times: BTreeMap<(&ReceiverName, String), usize> = BTreeMap::new();
        for (receiver, taken) in received {
            for taken in taken {
                *times.entry((receiver, taken.id.clone())).or_default() += 1;
            }
        }
        let (mut again, mut unknown) = (0, 0);
        for delivery in &all {
            let came = times.remove(&(&delivery.receiver, delivery.id.to_string())).unwrap_or(0);
            let tries = store.tries(delivery.id).await.unwrap();
            // The answer to these was never noted: they were under way at a stop.
            let lost = tries.iter().filter(|one| one.outcome.as_deref().is_none_or(is_lost)).count();
            unknown += lost;
            again += came.saturating_sub(1);
            match &delivery.standing {
                Standing::Delivered { .. } => {
                    assert!(came >= 1, "said to be delivered, and never received: {delivery:?}");
                    assert!(came <= 1 + lost, "received {came} times, tried {tries:?}: {delivery:?}");
                }
                Standing::Folded { into } => {
                    let told = by_id.get(into).unwrap_or_else(|| panic!("no message for {delivery:?}"));
                    let stands = match (&told.body, &delivery.body) {
                        (Body::Digest(_), _) => true,
                        // A change that was told first stands for what it overtook.
                        (Body::Alert { id, revision }, Body::Alert { id: same, revision: earlier }) => {
                            id == same && revision > earlier && told.receiver == delivery.receiver
                        }
                        (Body::Alert { .. }, Body::Digest(_)) => false,
                    };
                    assert!(stands, "{told:?} does not stand for {delivery:?}");
                }
                Standing::Dead { reason, .. } => {
                    let told = alerts.iter().find(|kept| is_of(delivery, kept)).unwrap();
                    // In the title, or among what the alert shows.
                    let words = serde_json::to_string(&told.fired).unwrap();
                    let picky = delivery.receiver.as_str() == "picky" && words.contains(REFUSED);
                    assert!(picky && came == 0, "{reason}: {delivery:?}");
                }
                Standing::Waiting | Standing::Sending { .. } | Standing::Discarded { .. } => {
                    panic!("nobody will ever receive {delivery:?}")
                }
            }
        }
        let strangers: Vec<_> =
            times.keys().filter(|(receiver, id)| !is_own(&received[*receiver], id)).collect();
        assert!(strangers.is_empty(), "received, and owed by nobody: {strangers:?}");
        assert!(
            unknown <= self.stops * received.len(),
            "{unknown} tries without an answer, {} stops: each catches one a receiver at most",
            self.stops
        );
        again
    }
}

/// True for a message of Larum's own, or for a digest of nothing but such.
fn is_own(taken: &[Taken], id: &str) -> bool {
    taken.iter().filter(|taken| taken.id == id).all(|taken| {
        let message = taken.json();
        let of_own =
            |line: &serde_json::Value| line["rule"].as_str().is_some_and(|rule| rule.starts_with("larum-"));
        message["tenant"] == "larum"
            || message["digest"]["lines"].as_array().is_some_and(|lines| lines.iter().all(of_own))
    })
}

fn is_of(delivery: &Delivery, kept: &KeptAlert) -> bool {
    matches!(&delivery.body, Body::Alert { id, .. } if *id == kept.fired.id)
}

fn is_lost(outcome: &str) -> bool {
    outcome.starts_with("unknown: the daemon stopped")
}

/// Lanes that rules have heard of.
pub async fn joined(store: &dyn Store) -> usize {
    let entries = store.journal(TENANT.into(), 0, usize::MAX).await.unwrap();
    entries.iter().filter(|entry| matches!(entry.event, Event::Joined(_))).count()
}

/// The journal has no gap, and no watermark in it goes back.
async fn journal(store: &dyn Store) {
    let (mut last, mut marks): (u64, BTreeMap<SourceId, Watermark>) = (0, BTreeMap::new());
    let tenant: Arc<str> = TENANT.into();
    loop {
        let entries = store.journal(tenant.clone(), last, 4 << 20).await.unwrap();
        if entries.is_empty() {
            return;
        }
        for entry in entries {
            assert!(last == 0 || entry.seq == last + 1, "{} follows {last}", entry.seq);
            last = entry.seq;
            if let Event::Read { lane, watermark: Some(mark), .. } = entry.event {
                let before = marks.insert(lane, mark).unwrap_or(mark);
                assert!(before.start <= mark.start && before.end <= mark.end, "{before:?} to {mark:?}");
            }
        }
    }
}
