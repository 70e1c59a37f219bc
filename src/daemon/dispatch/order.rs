//! A message whose turn has come, and the others that tell its receiver of the same alert: which of
//! them goes, waits or is told with it is `route::order`'s decision; here it is asked and carried out.

use std::sync::Arc;

use super::Ended;
use super::desk::{Desk, LOOK_AGAIN};
use crate::alert::{Alert, AlertId, State};
use crate::deliver::Content;
use crate::record::{Millis, Timestamp};
use crate::route::delivery::BY_ORDER;
use crate::route::order::{Place, Sibling, Stands, place};
use crate::route::plan::Unit;
use crate::route::{Body, Delivery, DeliveryId, Standing};
use crate::store::DeliveryQuery;

/// Messages of one alert to one receiver that are looked at; repeats come a few times a day.
const MAX_SIBLINGS: usize = 1_000;

/// What is being sent elsewhere, by the tasks of an older configuration, is looked at again after this.
const LEASE_LOOK: Millis = Millis::secs(15);

/// A delivery that can be sent at once.
pub(super) struct Ready {
    pub(super) delivery: Delivery,
    pub(super) content: Content,
    /// Earlier ones of its alert that it stands for from now on.
    pub(super) with: Vec<Delivery>,
}

/// `other` once `delivery`, which says all that it says, stands for it.
pub(super) fn told_by(other: Delivery, delivery: &Delivery) -> Delivery {
    let last_reason = match delivery.body {
        Body::Alert { revision, .. } => Some(format!("revision {revision} says it too")),
        Body::Digest(_) => other.last_reason.clone(),
    };
    Delivery { standing: Standing::Folded { into: delivery.id }, held_by: None, last_reason, ..other }
}

impl Desk {
    /// What `unit` is in the store now, if it still is to be tried and nothing goes before it.
    pub(super) async fn ready(&mut self, unit: &Unit, now: Timestamp) -> Result<Option<Ready>, Ended> {
        let id = unit.members[0];
        let alert = self.item(id).and_then(|item| match item.delivery.body {
            Body::Alert { id, .. } => Some(id),
            Body::Digest(_) => None,
        });
        let mut all = self.of_alert(unit, id, alert).await?;
        let found = all.iter().position(|delivery| delivery.id == id).map(|place| all.swap_remove(place));
        let Some(delivery) = found.filter(|delivery| is_due(delivery, now)) else {
            self.drop_item(id);
            return Ok(None);
        };
        let Body::Alert { revision, .. } = delivery.body else {
            let Body::Digest(digest) = &delivery.body else { return Ok(None) };
            let content = Content::Digest(Arc::new(digest.as_ref().clone()));
            return Ok(Some(Ready { delivery, content, with: Vec::new() }));
        };
        let Some(told) = self.told(&delivery).await? else {
            self.drop_item(id);
            self.bury(delivery, "its alert is no longer kept".to_owned(), now).await?;
            return Ok(None);
        };
        all.retain(|other| !other.terms.again && !delivery.terms.again);
        let with = match place(revision, is_end(&told), &self.siblings(id, &all, now).await?) {
            Place::Now { with } => with,
            Place::After { until } => {
                self.drop_item(id);
                let last_reason = Some(BY_ORDER.to_owned());
                let due = until.max(now + LOOK_AGAIN);
                self.commit(vec![Delivery { due, last_reason, standing: Standing::Waiting, ..delivery }])
                    .await?;
                return Ok(None);
            }
            Place::Overtaken { by } => {
                self.drop_item(id);
                if let Some(by) = all.iter().find(|other| other.id == by) {
                    self.commit(vec![told_by(delivery, by)]).await?;
                }
                return Ok(None);
            }
        };
        let with = all.into_iter().filter(|other| with.contains(&other.id)).collect();
        Ok(Some(Ready { delivery, content: Content::Alert(Arc::new(told)), with }))
    }

    fn drop_item(&mut self, id: DeliveryId) {
        self.queue.retain(|item| item.delivery.id != id);
    }

    /// Every delivery that tells this receiver of the alert; of what tells of none, itself.
    async fn of_alert(
        &self,
        unit: &Unit,
        id: DeliveryId,
        alert: Option<AlertId>,
    ) -> Result<Vec<Delivery>, Ended> {
        let query = DeliveryQuery {
            tenant: Some(unit.tenant.clone()),
            id: alert.is_none().then(|| id.to_string()),
            receiver: Some(self.target.name.clone()),
            alert,
            most: MAX_SIBLINGS,
            ..DeliveryQuery::default()
        };
        Ok(self.office.store.deliveries(query).await?)
    }

    /// How far each of `all` is, beside the delivery `own`.
    async fn siblings(
        &self,
        own: DeliveryId,
        all: &[Delivery],
        now: Timestamp,
    ) -> Result<Vec<Sibling>, Ended> {
        let mut siblings = Vec::with_capacity(all.len());
        for delivery in all {
            let Body::Alert { revision, .. } = delivery.body else { continue };
            let stands = match &delivery.standing {
                Standing::Delivered { .. } => Stands::Told,
                Standing::Waiting => Stands::Waits { due: delivery.due },
                // Its end may be noted long before its lease is over.
                Standing::Sending { until } => Stands::Underway { until: (*until).min(now + LEASE_LOOK) },
                Standing::Dead { .. } | Standing::Discarded { .. } => Stands::Over,
                // One of the others stands for it, or `own` does since a try of its own that failed.
                Standing::Folded { into } if *into == own || all.iter().any(|other| other.id == *into) => {
                    Stands::Over
                }
                Standing::Folded { into } => self.digest_stands(delivery, *into).await?,
            };
            siblings.push(Sibling { id: delivery.id, revision, stands });
        }
        Ok(siblings)
    }

    /// How far the digest is that stands for `delivery`.
    async fn digest_stands(&self, delivery: &Delivery, into: DeliveryId) -> Result<Stands, Ended> {
        let query = DeliveryQuery {
            tenant: Some(delivery.tenant.clone()),
            id: Some(into.to_string()),
            most: 1,
            ..DeliveryQuery::default()
        };
        let digest = self.office.store.deliveries(query).await?.pop();
        Ok(match digest.map(|digest| (digest.standing, digest.due)) {
            Some((Standing::Waiting, due)) => Stands::Underway { until: due },
            Some((Standing::Sending { until }, _)) => Stands::Underway { until },
            // One that is forgotten was told long ago.
            Some((Standing::Delivered { .. }, _)) | None => Stands::Told,
            Some((Standing::Dead { .. } | Standing::Discarded { .. } | Standing::Folded { .. }, _)) => {
                Stands::Over
            }
        })
    }
}

fn is_due(delivery: &Delivery, now: Timestamp) -> bool {
    match delivery.standing {
        Standing::Waiting => delivery.due <= now,
        Standing::Sending { until } => until <= now,
        Standing::Delivered { .. }
        | Standing::Dead { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => false,
    }
}

fn is_end(alert: &Alert) -> bool {
    match alert.state {
        State::Open | State::Updated | State::Acknowledged => false,
        State::Closed | State::Resolved => true,
    }
}
