//! Alerts to deliveries: what is owed to whom when an alert fires or changes. The decision is
//! `route`'s; here it becomes changes for the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Alert, State};
use crate::daemon::own::TENANT;
use crate::record::{Millis, Timestamp};
use crate::route::digest::Member;
use crate::route::{Body, Delivery, DeliveryId, Digest, ReceiverName, Routes, Standing, Terms};
use crate::store::Change;

/// Who hears of what, as the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// Of alerts.
    pub routes: Routes,
    /// Of Larum's own alerts; without any, the routes say.
    pub ops: Vec<ReceiverName>,
    /// Receivers that people read: when an alert is over, one line says how many more there were.
    pub people: BTreeSet<ReceiverName>,
    /// Receivers that are told of each end: programs, and services that keep incidents.
    pub ends: BTreeSet<ReceiverName>,
    /// All receivers: a rule that stays in force may name one that is gone.
    pub receivers: BTreeSet<ReceiverName>,
}

impl Routing {
    /// What is owed for `alert` as it stands now. Of closings hears who is told of each; people do where
    /// there is more to say than they know. Nobody hears of what a rule only observes.
    pub fn owed(&self, alert: &Alert, now: Timestamp) -> Vec<Change> {
        if alert.state == State::Acknowledged {
            return Vec::new();
        }
        let closing = alert.state == State::Closed;
        let id =
            |receiver: &ReceiverName| DeliveryId::of_alert(&alert.tenant, receiver, alert.id, alert.revision);
        let body = || Body::Alert { id: alert.id, revision: alert.revision };
        let mut heard = self.hears(alert);
        heard.retain(|(receiver, _)| {
            let news = alert.repeats > 0 && self.people.contains(receiver);
            !closing || news || self.ends.contains(receiver)
        });
        let mut owed = Vec::new();
        for (receiver, route) in &heard {
            let number = *route;
            let route = route.and_then(|number| self.routes.routes.get(number));
            let group = route.zip(number).and_then(|(route, number)| route.group(number, alert));
            let due = route.zip(group.as_ref()).map_or(now, |(route, group)| route.due(group, now));
            let first = waiting(id(receiver), receiver.clone(), alert, body(), now);
            let terms = Terms { group, ..Terms::default() };
            owed.push(Delivery { due, terms: terms.clone(), ..first });
            let repeat = route.and_then(|route| route.repeat).filter(|_| alert.state == State::Open);
            if let Some(every) = repeat {
                let id = DeliveryId::of_repeat(&alert.tenant, receiver, alert.id, 1);
                let first = waiting(id, receiver.clone(), alert, body(), now + every);
                let terms = Terms { repeat: Some(every), again: true, ..terms };
                owed.push(Delivery { terms, ..first });
            }
        }
        if !closing {
            owed.extend(self.escalations(alert, &heard, now));
        }
        owed.into_iter().map(|delivery| Change::Owed(Box::new(delivery))).collect()
    }

    /// Who else is told of `alert` where none of those who heard of it by a route takes it.
    fn escalations(
        &self,
        alert: &Alert,
        heard: &[(ReceiverName, Option<usize>)],
        now: Timestamp,
    ) -> Vec<Delivery> {
        let id =
            |receiver: &ReceiverName| DeliveryId::of_alert(&alert.tenant, receiver, alert.id, alert.revision);
        let mut owed: Vec<Delivery> = Vec::new();
        for (number, route) in self.routes.routes.iter().enumerate() {
            let Some(escalate) = &route.escalate else { continue };
            let by_it = heard.iter().filter(|(_, by)| *by == Some(number));
            let unless: Vec<DeliveryId> = by_it.map(|(receiver, _)| id(receiver)).collect();
            let is_told = |name: &ReceiverName| heard.iter().any(|(other, _)| other == name);
            for receiver in escalate.to.iter().filter(|name| !unless.is_empty() && !is_told(name)) {
                if owed.iter().any(|other| other.receiver == *receiver) {
                    continue;
                }
                let body = Body::Alert { id: alert.id, revision: alert.revision };
                let first = waiting(id(receiver), receiver.clone(), alert, body, now + escalate.after);
                let terms = Terms { unless: unless.clone(), after: escalate.after, ..Terms::default() };
                owed.push(Delivery { terms, ..first });
            }
        }
        owed
    }

    /// One digest a rule and receiver in place of `standing` alerts: what held already when the
    /// rules were new.
    pub fn owed_standing(&self, standing: &[Alert], now: Timestamp) -> Vec<Change> {
        let mut owed = Vec::new();
        for (receiver, alerts) in self.by_rule(standing) {
            let Some(first) = alerts.first() else { continue };
            owed.push(if alerts.len() == 1 {
                let id = DeliveryId::of_alert(&first.tenant, &receiver, first.id, first.revision);
                let body = Body::Alert { id: first.id, revision: first.revision };
                vec![Change::Owed(Box::new(waiting(id, receiver, first, body, now)))]
            } else {
                digest(&receiver, &alerts, "standing", now)
            });
        }
        owed.concat()
    }

    /// What is owed for alerts that were held back and are not any more: one digest a rule and receiver
    /// that names them all, and each that is still open by itself. A single one that is open needs no
    /// digest.
    pub fn owed_released(&self, released: &[Alert], now: Timestamp) -> Vec<Change> {
        let mut owed = Vec::new();
        for (receiver, alerts) in self.by_rule(released) {
            if !matches!(&*alerts, [only] if only.state == State::Open) {
                owed.extend(digest(&receiver, &alerts, "quiet_while", now));
            }
        }
        let open = released.iter().filter(|alert| alert.state == State::Open);
        owed.extend(open.flat_map(|alert| self.owed(alert, now)));
        owed
    }

    /// Alerts by who hears of them and by rule.
    fn by_rule<'a>(&self, alerts: &'a [Alert]) -> Vec<(ReceiverName, Vec<&'a Alert>)> {
        let mut by: BTreeMap<(ReceiverName, crate::record::RuleId), Vec<&Alert>> = BTreeMap::new();
        for alert in alerts {
            for (receiver, _) in self.hears(alert) {
                by.entry((receiver, alert.rule.clone())).or_default().push(alert);
            }
        }
        by.into_iter().map(|((receiver, _), alerts)| (receiver, alerts)).collect()
    }

    /// Who hears of `alert`.
    pub fn receivers(&self, alert: &Alert) -> Vec<ReceiverName> {
        self.hears(alert).into_iter().map(|(receiver, _)| receiver).collect()
    }

    /// Who hears of `alert`, and by which route; those that its rule names need none, nor do Larum's own alerts.
    fn hears(&self, alert: &Alert) -> Vec<(ReceiverName, Option<usize>)> {
        if alert.tenant.as_ref() == TENANT && !self.ops.is_empty() {
            return self.ops.iter().map(|name| (name.clone(), None)).collect();
        }
        let by_routes = self.routes.receivers(alert).into_iter();
        let mut told: Vec<_> = by_routes.map(|(receiver, route)| (receiver, Some(route))).collect();
        for name in alert.notify.iter().filter(|_| !alert.observe) {
            let receiver = self.receivers.iter().find(|receiver| receiver.as_str() == name);
            if let Some(receiver) = receiver.filter(|one| !told.iter().any(|(other, _)| other == *one)) {
                told.push((receiver.clone(), None));
            }
        }
        told
    }
}

/// The digest that names `alerts`, of which there is one at least, and what it is told in the place of: a
/// message of each, but for those that were held back and go by themselves.
fn digest(receiver: &ReceiverName, alerts: &[&Alert], because: &str, now: Timestamp) -> Vec<Change> {
    let first = alerts[0];
    let id = |alert: &Alert| DeliveryId::of_alert(&alert.tenant, receiver, alert.id, alert.revision);
    let members: Vec<Member> = alerts.iter().map(|alert| Member::of(alert)).collect();
    let body = Body::Digest(Box::new(Digest::of(&members, because)));
    let into = DeliveryId::of_digest(&first.tenant, receiver, id(first));
    let digest = waiting(into, receiver.clone(), first, body, now);
    let folded = alerts.iter().filter(|alert| !(alert.released && alert.state == State::Open)).map(|alert| {
        let body = Body::Alert { id: alert.id, revision: alert.revision };
        let standing = Standing::Folded { into };
        Delivery { standing, ..waiting(id(alert), receiver.clone(), alert, body, now) }
    });
    std::iter::once(digest).chain(folded).map(|delivery| Change::Owed(Box::new(delivery))).collect()
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
        terms: Terms::default(),
        standing: Standing::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::sample;

    fn name(text: &str) -> ReceiverName {
        text.parse().unwrap()
    }

    fn told(alert: &Alert) -> Vec<String> {
        let to = ["chat", "pager", "siem", "terse"].map(name).to_vec();
        let routes = crate::route::Routes { routes: vec![crate::route::Route { to, ..Default::default() }] };
        let (people, ends) = ([name("chat")].into(), [name("pager"), name("siem")].into());
        let routing = Routing { routes, people, ends, ..Routing::default() };
        let owed = routing.owed(alert, Timestamp(0)).into_iter();
        owed.map(|change| {
            let Change::Owed(delivery) = change else { panic!("{change:?}") };
            delivery.receiver.to_string()
        })
        .collect()
    }

    #[test]
    fn an_end_is_told_to_who_knows_ends_and_to_people_where_there_were_more() {
        let open = sample::alert(1);
        assert_eq!(told(&open), ["chat", "pager", "siem", "terse"]);
        let closed = Alert { state: State::Closed, revision: 2, ..open };
        assert_eq!(told(&closed), ["pager", "siem"]);
        assert_eq!(told(&Alert { repeats: 7, ..closed.clone() }), ["chat", "pager", "siem"]);
        assert_eq!(told(&Alert { state: State::Acknowledged, ..closed }), Vec::<String>::new());
    }

    #[test]
    fn who_a_rule_names_hears_besides_the_routes_and_once() {
        let notify = ["siem", "desk", "gone"].map(str::to_owned).to_vec();
        let routes = vec![crate::route::Route { to: vec![name("siem")], ..Default::default() }];
        let routing = Routing {
            routes: crate::route::Routes { routes },
            receivers: [name("siem"), name("desk"), name("other")].into(),
            ..Routing::default()
        };
        let alert = Alert { notify, ..sample::alert(1) };
        assert_eq!(routing.receivers(&alert), [name("siem"), name("desk")]);
        assert_eq!(routing.receivers(&Alert { observe: true, ..alert }), []);
    }

    #[test]
    fn what_a_digest_tells_instead_of_single_messages_stands_beside_it() {
        let routing = Routing { ops: vec![name("desk")], ..Routing::default() };
        let standing = |number| Alert { tenant: TENANT.into(), standing: true, ..sample::alert(number) };
        let (alerts, mut told) = ([standing(1), standing(2)], Vec::new());
        for change in routing.owed_standing(&alerts, Timestamp(0)) {
            let Change::Owed(delivery) = change else { panic!("{change:?}") };
            told.push(*delivery);
        }
        let [digest, members @ ..] = told.as_slice() else { panic!("nothing is owed") };
        assert!(matches!(&digest.body, Body::Digest(body) if body.count == 2), "{digest:?}");
        assert_eq!(digest.standing, Standing::Waiting);
        for (member, alert) in members.iter().zip(&alerts) {
            assert_eq!(member.body, Body::Alert { id: alert.id, revision: 1 });
            assert_eq!(member.standing, Standing::Folded { into: digest.id });
        }
        assert_eq!(members.len(), 2);
    }

    #[test]
    fn what_was_held_back_is_named_in_one_digest_and_sent_where_it_still_holds() {
        let routing = Routing { ops: vec!["desk".parse().unwrap()], ..Routing::default() };
        let released =
            |number, state| Alert { tenant: TENANT.into(), released: true, state, ..sample::alert(number) };
        let told = |released: &[Alert]| -> Vec<String> {
            let owed = routing.owed_released(released, Timestamp(0)).into_iter();
            let words = owed.map(|change| {
                let Change::Owed(delivery) = change else { panic!("{change:?}") };
                match (&delivery.body, &delivery.standing) {
                    (Body::Digest(digest), _) => format!("digest of {}, {}", digest.count, digest.because),
                    (Body::Alert { .. }, Standing::Waiting) => "alert".to_owned(),
                    (Body::Alert { .. }, standing) => standing.word().to_owned(),
                }
            });
            words.collect()
        };
        let (open, closed) = (released(1, State::Open), released(2, State::Closed));
        assert_eq!(told(&[open.clone(), closed.clone()]), ["digest of 2, quiet_while", "folded", "alert"]);
        assert_eq!(told(std::slice::from_ref(&closed)), ["digest of 1, quiet_while", "folded"]);
        assert_eq!(told(&[open]), ["alert"], "a single one needs no digest");
        assert!(routing.owed(&closed, Timestamp(0)).is_empty());
    }
}
