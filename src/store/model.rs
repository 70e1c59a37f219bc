//! A store in memory, as plain as its promises: what others are compared with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    AlertQuery, Answer, Change, Checkpoint, Cursor, DeliveryQuery, Entry, Event, Fence, Holdings, KeptAlert,
    LEVEL_SHARE, Lane, MAX_QUARANTINED, Quarantined, Sent, Store, StoreError, Try,
};
use crate::alert::{Alert, AlertId, State};
use crate::record::{Level, Timestamp};
use crate::route::{Delivery, DeliveryId, ReceiverName, Silence, Standing};

/// A store whose copies are one store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(Arc<Mutex<All>>);

#[derive(Debug, Clone, Default)]
struct All {
    tenants: BTreeMap<Arc<str>, Tenant>,
    texts: BTreeMap<String, String>,
    /// In the order in which they were owed.
    deliveries: Vec<Owed>,
}

#[derive(Debug, Clone)]
struct Owed {
    delivery: Delivery,
    tries: Vec<Try>,
    turn: u64,
    mark: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Tenant {
    epoch: u64,
    journal: Vec<Entry>,
    lanes: BTreeMap<u16, Lane>,
    cursors: BTreeMap<u16, Cursor>,
    checkpoint: Option<Checkpoint>,
    alerts: BTreeMap<AlertId, Kept>,
    silences: BTreeMap<[u8; 8], Silence>,
    quarantine: Vec<Quarantined>,
    counters: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    revisions: BTreeMap<u32, Alert>,
    acknowledged: Option<(String, Timestamp)>,
}

impl Kept {
    fn newest(&self) -> &Alert {
        self.revisions.values().next_back().unwrap()
    }

    fn shown(&self) -> KeptAlert {
        let mut now = self.newest().clone();
        if self.acknowledged.is_some() && is_open(now.state) {
            now.state = State::Acknowledged;
        }
        let fired = self.revisions.values().next().unwrap().clone();
        KeptAlert { fired, now, acknowledged: self.acknowledged.clone() }
    }
}

fn is_open(state: State) -> bool {
    matches!(state, State::Open | State::Updated)
}

/// When a delivery may be tried; none once it is settled.
fn ready(delivery: &Delivery) -> Option<Timestamp> {
    match &delivery.standing {
        Standing::Waiting => Some(delivery.due),
        Standing::Sending { until } => Some(*until),
        Standing::Delivered { .. }
        | Standing::Dead { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => None,
    }
}

fn settled_at(delivery: &Delivery) -> Option<Timestamp> {
    match &delivery.standing {
        Standing::Waiting | Standing::Sending { .. } => None,
        Standing::Delivered { at } | Standing::Dead { at, .. } | Standing::Discarded { at, .. } => Some(*at),
        Standing::Folded { .. } => Some(delivery.created),
    }
}

fn of_alert(delivery: &Delivery) -> Option<AlertId> {
    match &delivery.body {
        crate::route::Body::Alert { id, .. } => Some(*id),
        crate::route::Body::Digest(_) => None,
    }
}

fn word(standing: &Standing) -> String {
    serde_json::to_value(standing).unwrap()["state"].as_str().unwrap().to_owned()
}

fn failed(words: &str) -> StoreError {
    StoreError::Failed(words.to_owned())
}

impl All {
    fn apply(&mut self, name: &Arc<str>, change: Change) -> Result<(), StoreError> {
        let tenant = self.tenants.get_mut(name).unwrap();
        match change {
            Change::Journal(entry) => {
                if entry.seq != tenant.journal.last().map_or(0, |last| last.seq) + 1 {
                    return Err(failed("not the next"));
                }
                if let Event::Known(lane) | Event::Joined(lane) = &entry.event {
                    tenant.lanes.insert(lane.id.0, lane.clone());
                }
                tenant.journal.push(entry);
            }
            Change::Text { digest, text } => drop(self.texts.entry(digest).or_insert(text)),
            Change::Cursor(cursor) => drop(tenant.cursors.insert(cursor.lane.0, cursor)),
            Change::Checkpoint(checkpoint) if checkpoint.whole => tenant.checkpoint = Some(checkpoint),
            Change::Checkpoint(mut checkpoint) => {
                let goes_on = |before: &&Checkpoint| {
                    before.generation == checkpoint.generation && before.seq <= checkpoint.seq
                };
                let Some(before) = tenant.checkpoint.as_ref().filter(goes_on) else {
                    return Err(failed("goes on from no checkpoint"));
                };
                let mut pieces = before.pieces.clone();
                pieces.append(&mut checkpoint.pieces);
                tenant.checkpoint = Some(Checkpoint { whole: true, pieces, ..checkpoint });
            }
            Change::Alert(alert) => {
                if alert.tenant != *name {
                    return Err(failed("another tenant's"));
                }
                tenant.alerts.entry(alert.id).or_default().revisions.entry(alert.revision).or_insert(*alert);
            }
            Change::Acknowledged { alert, by, at } => {
                let kept = tenant.alerts.get_mut(&alert).filter(|kept| is_open(kept.newest().state));
                if let Some(kept) = kept {
                    kept.acknowledged.get_or_insert((by, at));
                }
            }
            Change::Silence(silence) => {
                if silence.tenant != *name {
                    return Err(failed("another tenant's"));
                }
                tenant.silences.insert(silence.id.0, silence);
            }
            Change::Unsilence { id, at } => {
                tenant.silences.remove(&id.0);
                for Owed { delivery, .. } in
                    self.deliveries.iter_mut().filter(|owed| owed.delivery.tenant == *name)
                {
                    if delivery.held_by == Some(id) && delivery.standing == Standing::Waiting {
                        delivery.due = at;
                    }
                }
            }
            Change::Quarantined(row) => {
                tenant.quarantine.push(row);
                let spare = tenant.quarantine.len().saturating_sub(MAX_QUARANTINED);
                tenant.quarantine.drain(..spare);
            }
            Change::Count { name, by } => {
                let value = tenant.counters.entry(name).or_default();
                *value = value.saturating_add(by).min(i64::MAX.unsigned_abs());
            }
            Change::Owed(delivery) => self.owe(name, *delivery)?,
            Change::Delivery(delivery) => {
                let place = self.place(name, delivery.id).ok_or_else(|| failed("not there"))?;
                if delivery.tenant != *name {
                    return Err(failed("another tenant's"));
                }
                self.deliveries[place].delivery = *delivery;
            }
            Change::Tried { delivery, number, at, outcome } => {
                let place = self.place(name, delivery).ok_or_else(|| failed("not there"))?;
                let tries = &mut self.deliveries[place].tries;
                match tries.iter_mut().find(|known| known.number == number) {
                    Some(known) => known.outcome = outcome.or(known.outcome.take()),
                    None => tries.push(Try { number, at, outcome }),
                }
                tries.sort_by_key(|known| known.number);
            }
            Change::Marked { delivery, mark } => {
                let place = self.place(name, delivery).ok_or_else(|| failed("not there"))?;
                self.deliveries[place].mark = Some(mark);
            }
            Change::Forget { seq, before } => self.forget(name, seq, before),
        }
        Ok(())
    }

    fn owe(&mut self, name: &Arc<str>, delivery: Delivery) -> Result<(), StoreError> {
        if delivery.tenant != *name {
            return Err(failed("another tenant's"));
        }
        if self.place(name, delivery.id).is_none() {
            let turn = self.turn_of(&delivery);
            self.deliveries.push(Owed { delivery, tries: Vec::new(), turn, mark: None });
        }
        Ok(())
    }

    /// After those of its own rule that wait, and not before what waits already.
    fn turn_of(&self, delivery: &Delivery) -> u64 {
        let open = self.deliveries.iter().filter(|other| ready(&other.delivery).is_some());
        let of_level: Vec<&Owed> = open
            .filter(|other| {
                (&other.delivery.receiver, other.delivery.level) == (&delivery.receiver, delivery.level)
            })
            .collect();
        let first = of_level.iter().map(|other| other.turn).min().unwrap_or(0);
        let own = of_level.iter().filter(|other| {
            (&other.delivery.tenant, &other.delivery.rule) == (&delivery.tenant, &delivery.rule)
        });
        own.map(|other| other.turn + 1).max().unwrap_or(0).max(first)
    }

    fn place(&self, name: &Arc<str>, id: DeliveryId) -> Option<usize> {
        self.deliveries.iter().position(|owed| owed.delivery.tenant == *name && owed.delivery.id == id)
    }

    fn forget(&mut self, name: &Arc<str>, seq: u64, before: Timestamp) {
        let tenant = self.tenants.get_mut(name).unwrap();
        let taken_in = tenant.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.seq);
        let last = tenant.journal.last().map_or(0, |last| last.seq);
        tenant.journal.retain(|entry| entry.seq > seq.min(taken_in) || entry.seq == last);
        self.deliveries.retain(|Owed { delivery, .. }| {
            delivery.tenant != *name || settled_at(delivery).is_none_or(|settled| settled >= before)
        });
        tenant.silences.retain(|_, silence| silence.until >= before);
        let deliveries = &self.deliveries;
        tenant.alerts.retain(|id, kept| {
            let told = |delivery: &Delivery| {
                delivery.tenant == *name
                    && matches!(&delivery.body, crate::route::Body::Alert { id: alert, .. } if alert == id)
            };
            let newest = kept.newest();
            !matches!(newest.state, State::Closed | State::Resolved)
                || newest.at >= before
                || deliveries.iter().any(|owed| told(&owed.delivery))
        });
    }

    fn of_receiver<'a>(&'a self, name: &'a ReceiverName) -> impl DoubleEndedIterator<Item = &'a Owed> {
        self.deliveries.iter().filter(move |owed| owed.delivery.receiver == *name)
    }

    fn of(&self, tenant: &Arc<str>) -> Tenant {
        self.tenants.get(tenant).cloned().unwrap_or_default()
    }
}

fn begins(id: &impl std::fmt::Display, prefix: Option<&String>) -> bool {
    prefix.is_none_or(|prefix| id.to_string().starts_with(&prefix.to_lowercase()))
}

impl Model {
    fn now<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut All) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let all = Arc::clone(&self.0);
        Box::pin(async move { ask(&mut all.lock().unwrap_or_else(PoisonError::into_inner)) })
    }
}

impl Store for Model {
    fn fence(&self, tenant: Arc<str>) -> Answer<Fence> {
        self.now(move |all| {
            let kept = all.tenants.entry(Arc::clone(&tenant)).or_default();
            kept.epoch += 1;
            Ok(Fence { tenant, epoch: kept.epoch })
        })
    }

    fn commit(&self, fence: Fence, changes: Vec<Change>) -> Answer<()> {
        self.now(move |all| {
            let now = all.of(&fence.tenant).epoch;
            if now != fence.epoch || now == 0 {
                return Err(StoreError::Fenced { tenant: fence.tenant, ours: fence.epoch, now });
            }
            let mut next = all.clone();
            changes.into_iter().try_for_each(|change| next.apply(&fence.tenant, change))?;
            *all = next;
            Ok(())
        })
    }

    fn journal(&self, tenant: Arc<str>, after: u64, bytes: usize) -> Answer<Vec<Entry>> {
        self.now(move |all| {
            let mut taken = 0;
            let mut fits = |entry: &Entry| {
                let first = taken == 0;
                taken += 64 + postcard::to_stdvec(&entry.event).unwrap().len();
                first || taken <= bytes
            };
            let entries = all.of(&tenant).journal.into_iter().filter(|entry| entry.seq > after);
            Ok(entries.take_while(|entry| fits(entry)).collect())
        })
    }

    fn entries(&self, tenant: Arc<str>, seqs: Vec<u64>) -> Answer<Vec<Entry>> {
        self.now(move |all| {
            Ok(all.of(&tenant).journal.into_iter().filter(|entry| seqs.contains(&entry.seq)).collect())
        })
    }

    fn span(&self, tenant: Arc<str>) -> Answer<Option<(u64, u64)>> {
        self.now(move |all| {
            let journal = all.of(&tenant).journal;
            Ok(journal.first().zip(journal.last()).map(|(first, last)| (first.seq, last.seq)))
        })
    }

    fn text(&self, digest: String) -> Answer<Option<String>> {
        self.now(move |all| Ok(all.texts.get(&digest).cloned()))
    }

    fn tenants(&self) -> Answer<Vec<Arc<str>>> {
        self.now(|all| Ok(all.tenants.keys().cloned().collect()))
    }

    fn lanes(&self, tenant: Arc<str>) -> Answer<Vec<Lane>> {
        self.now(move |all| Ok(all.of(&tenant).lanes.into_values().collect()))
    }

    fn cursors(&self, tenant: Arc<str>) -> Answer<Vec<Cursor>> {
        self.now(move |all| Ok(all.of(&tenant).cursors.into_values().collect()))
    }

    fn checkpoint(&self, tenant: Arc<str>) -> Answer<Option<Checkpoint>> {
        self.now(move |all| Ok(all.of(&tenant).checkpoint))
    }

    fn alerts(&self, query: AlertQuery) -> Answer<Vec<KeptAlert>> {
        self.now(move |all| {
            let tenants = all.tenants.iter();
            let tenants =
                tenants.filter(|(name, _)| query.tenant.as_ref().is_none_or(|asked| asked == *name));
            let alerts = tenants.flat_map(|(_, tenant)| tenant.alerts.values().map(Kept::shown));
            let mut alerts: Vec<KeptAlert> = alerts
                .filter(|kept| begins(&kept.now.id, query.id.as_ref()))
                .filter(|kept| query.rule.as_ref().is_none_or(|rule| kept.now.rule == *rule))
                .filter(|kept| query.states.is_empty() || query.states.contains(&kept.now.state))
                .filter(|kept| query.level.is_none_or(|level| kept.now.level >= level))
                .filter(|kept| query.since.is_none_or(|since| kept.fired.at >= since))
                .collect();
            alerts.sort_by_key(|kept| {
                (std::cmp::Reverse(kept.fired.at), kept.now.id, Arc::clone(&kept.now.tenant))
            });
            alerts.truncate(query.most);
            Ok(alerts)
        })
    }

    fn revisions(&self, tenant: Arc<str>, id: AlertId) -> Answer<Vec<Alert>> {
        self.now(move |all| {
            let kept = all.of(&tenant).alerts.remove(&id).unwrap_or_default();
            Ok(kept.revisions.into_values().collect())
        })
    }

    fn due(&self, receiver: ReceiverName, now: Timestamp, most: usize) -> Answer<Vec<Delivery>> {
        self.now(move |all| {
            let mut due: Vec<&Owed> = all.of_receiver(&receiver).collect();
            due.retain(|owed| ready(&owed.delivery).is_some_and(|ready| ready <= now));
            due.sort_by_key(|owed| owed.turn);
            let mut taken = Vec::new();
            for level in Level::ALL.into_iter().rev() {
                let kept_for_milder = most / 100 * LEVEL_SHARE * level as usize;
                let of_level = due.iter().filter(|owed| owed.delivery.level == level);
                let room = most - kept_for_milder - taken.len();
                taken.extend(of_level.take(room).map(|owed| owed.delivery.clone()));
            }
            Ok(taken)
        })
    }

    fn next_due(&self, receiver: ReceiverName) -> Answer<Option<Timestamp>> {
        self.now(move |all| Ok(all.of_receiver(&receiver).filter_map(|owed| ready(&owed.delivery)).min()))
    }

    fn sent(&self, receiver: ReceiverName, since: Timestamp) -> Answer<Vec<Sent>> {
        self.now(move |all| {
            let mut sent: Vec<Sent> = all
                .of_receiver(&receiver)
                .filter_map(|Owed { delivery, tries, .. }| {
                    let (level, rule) = (delivery.level, delivery.rule.clone());
                    Some(Sent { at: tries.last()?.at, level, rule })
                })
                .filter(|sent| sent.at >= since)
                .collect();
            sent.sort_by(|one, other| {
                (one.at, one.level, one.rule.as_str()).cmp(&(other.at, other.level, other.rule.as_str()))
            });
            Ok(sent)
        })
    }

    fn last_tried(&self, receiver: ReceiverName) -> Answer<Option<Delivery>> {
        self.now(move |all| {
            let known = all.of_receiver(&receiver).filter(|owed| owed.delivery.last_reason.is_some());
            let tried = known.filter_map(|owed| Some((owed.tries.last()?.at, &owed.delivery)));
            Ok(tried.max_by_key(|(at, _)| *at).map(|(_, delivery)| delivery.clone()))
        })
    }

    fn deliveries(&self, query: DeliveryQuery) -> Answer<Vec<Delivery>> {
        self.now(move |all| {
            let deliveries = all.deliveries.iter().map(|owed| &owed.delivery);
            let asked = deliveries
                .filter(|known| query.tenant.as_ref().is_none_or(|tenant| known.tenant == *tenant))
                .filter(|known| begins(&known.id, query.id.as_ref()))
                .filter(|known| query.receiver.as_ref().is_none_or(|receiver| known.receiver == *receiver))
                .filter(|known| query.states.is_empty() || query.states.contains(&word(&known.standing)))
                .filter(|known| query.alert.is_none_or(|alert| of_alert(known) == Some(alert)))
                .filter(|known| query.told_by.is_none_or(|into| known.standing == Standing::Folded { into }));
            let mut asked: Vec<Delivery> = asked.cloned().collect();
            if query.newest_first {
                asked.reverse();
            }
            asked.truncate(query.most);
            Ok(asked)
        })
    }

    fn group_told(&self, receiver: ReceiverName, key: String) -> Answer<Option<Timestamp>> {
        self.now(move |all| {
            let told = all.of_receiver(&receiver).filter_map(|owed| match &owed.delivery.standing {
                Standing::Delivered { at } => {
                    owed.delivery.terms.group.as_ref().filter(|group| group.key == key).map(|_| *at)
                }
                Standing::Waiting
                | Standing::Sending { .. }
                | Standing::Dead { .. }
                | Standing::Discarded { .. }
                | Standing::Folded { .. } => None,
            });
            Ok(told.max())
        })
    }

    fn mark(&self, tenant: Arc<str>, receiver: ReceiverName, alert: AlertId) -> Answer<Option<String>> {
        self.now(move |all| {
            let of_it =
                |owed: &&Owed| owed.delivery.tenant == tenant && of_alert(&owed.delivery) == Some(alert);
            Ok(all.of_receiver(&receiver).filter(of_it).rev().find_map(|owed| owed.mark.clone()))
        })
    }

    fn tries(&self, id: DeliveryId) -> Answer<Vec<Try>> {
        self.now(move |all| {
            let known = all.deliveries.iter().find(|owed| owed.delivery.id == id);
            Ok(known.map(|owed| owed.tries.clone()).unwrap_or_default())
        })
    }

    fn silences(&self, now: Timestamp) -> Answer<Vec<Silence>> {
        self.now(move |all| {
            let silences = all.tenants.values().flat_map(|tenant| tenant.silences.values());
            Ok(silences.filter(|silence| silence.until > now).cloned().collect())
        })
    }

    fn quarantine(&self, tenant: Arc<str>, most: usize) -> Answer<Vec<Quarantined>> {
        self.now(move |all| Ok(all.of(&tenant).quarantine.into_iter().rev().take(most).collect()))
    }

    fn counters(&self, tenant: Arc<str>) -> Answer<BTreeMap<String, u64>> {
        self.now(move |all| Ok(all.of(&tenant).counters))
    }

    fn holdings(&self) -> Answer<Holdings> {
        self.now(|all| {
            let mut holdings = Holdings::default();
            for tenant in all.tenants.values() {
                holdings.entries += tenant.journal.len() as u64;
                holdings.alerts += tenant.alerts.len() as u64;
                holdings.quarantined += tenant.quarantine.len() as u64;
            }
            for Owed { delivery, .. } in &all.deliveries {
                let by_state = holdings.deliveries.entry(delivery.receiver.to_string()).or_default();
                *by_state.entry(word(&delivery.standing)).or_default() += 1;
            }
            Ok(holdings)
        })
    }

    fn backup(&self, _path: PathBuf) -> Answer<()> {
        self.now(|_| Err(failed("there is no file to copy")))
    }
}

#[cfg(test)]
mod tests {
    use super::Model;
    use crate::store::Store;
    use crate::store::suite::suite;

    impl Model {
        fn open(&self) -> Box<dyn Store> {
            Box::new(self.clone())
        }
    }

    suite!(Model::default());
}
