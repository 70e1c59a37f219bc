//! Alerts to deliveries: what is owed to whom when an alert fires or changes. The decision is
//! `route`'s; here it becomes changes for the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Alert, State};
use crate::daemon::own::TENANT;
use crate::record::{Millis, Timestamp};
use crate::route::digest::Member;
use crate::route::{Body, Delivery, DeliveryId, Digest, ReceiverName, Routes, Standing};
use crate::store::Change;

/// Who hears of what, as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// Of alerts.
    pub routes: Routes,
    /// Of Larum's own alerts; without any, the routes say.
    pub ops: Vec<ReceiverName>,
    /// Who is told of closings, too.
    pub ends: BTreeSet<ReceiverName>,
}

impl Routing {
    /// What is owed for `alert` as it stands now. Of closings hear only those whose service keeps an
    /// alert open until then; nobody hears of what a rule only observes.
    pub fn owed(&self, alert: &Alert, now: Timestamp) -> Vec<Change> {
        match alert.state {
            State::Open | State::Updated | State::Resolved | State::Closed => {}
            State::Acknowledged => return Vec::new(),
        }
        let owe = |receiver: ReceiverName| {
            let id = DeliveryId::of_alert(&alert.tenant, &receiver, alert.id, alert.revision);
            let body = Body::Alert { id: alert.id, revision: alert.revision };
            Change::Owed(Box::new(waiting(id, receiver, alert, body, now)))
        };
        self.hears(alert).into_iter().map(owe).collect()
    }

    /// One digest a rule and receiver in place of `standing` alerts: what held already when the
    /// rules were new.
    pub fn owed_standing(&self, standing: &[Alert], now: Timestamp) -> Vec<Change> {
        let mut by: BTreeMap<(ReceiverName, crate::record::RuleId), Vec<&Alert>> = BTreeMap::new();
        for alert in standing {
            for receiver in self.hears(alert) {
                by.entry((receiver, alert.rule.clone())).or_default().push(alert);
            }
        }
        let mut owed = Vec::new();
        for ((receiver, _), alerts) in by {
            let Some(first) = alerts.first() else { continue };
            let member = DeliveryId::of_alert(&first.tenant, &receiver, first.id, first.revision);
            let (id, body) = if alerts.len() == 1 {
                (member, Body::Alert { id: first.id, revision: first.revision })
            } else {
                let members: Vec<Member> = alerts.iter().map(|alert| Member::of(alert)).collect();
                let digest = Digest::of(&members, "standing");
                (DeliveryId::of_digest(&first.tenant, &receiver, member), Body::Digest(Box::new(digest)))
            };
            owed.push(Change::Owed(Box::new(waiting(id, receiver, first, body, now))));
        }
        owed
    }

    fn hears(&self, alert: &Alert) -> Vec<ReceiverName> {
        let mut hears: Vec<ReceiverName> = if alert.tenant.as_ref() == TENANT && !self.ops.is_empty() {
            self.ops.clone()
        } else {
            self.routes.receivers(alert).into_iter().map(|(receiver, _)| receiver).collect()
        };
        hears.retain(|receiver| alert.state != State::Closed || self.ends.contains(receiver));
        hears
    }
}

fn waiting(id: DeliveryId, receiver: ReceiverName, alert: &Alert, body: Body, now: Timestamp) -> Delivery {
    Delivery {
        id,
        tenant: alert.tenant.clone(),
        receiver,
        rule: alert.rule.clone(),
        level: alert.level,
        body,
        created: now,
        due: now,
        tries: 0,
        waited: Millis::ZERO,
        plain: false,
        held_by: None,
        last_reason: None,
        standing: Standing::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample;
    use crate::route::{Match, Route};

    #[test]
    fn of_a_closing_hear_those_alone_who_keep_alerts_open() {
        let names = ["chat", "on-call"].map(|name| name.parse::<ReceiverName>().unwrap());
        let route = Route { matches: Match::default(), to: names.to_vec(), ..Route::default() };
        let routing = Routing {
            routes: Routes { routes: vec![route] },
            ends: [names[1].clone()].into(),
            ..Routing::default()
        };
        let told = |state| {
            let alert = Alert { state, ..sample::alert(1) };
            let owed = routing.owed(&alert, Timestamp(0)).into_iter();
            let receiver = |change| {
                let Change::Owed(delivery) = change else { panic!("{change:?}") };
                delivery.receiver.to_string()
            };
            owed.map(receiver).collect::<Vec<_>>()
        };
        assert_eq!(told(State::Open), ["chat", "on-call"]);
        assert_eq!(told(State::Resolved), ["chat", "on-call"]);
        assert_eq!(told(State::Closed), ["on-call"]);
    }
}
