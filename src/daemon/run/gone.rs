//! Receivers that the configuration has no more: nothing waits for them in silence, and what was told of them ends.

use super::{Arc, BTreeMap, Daemon, DaemonError, own};
use crate::daemon::own::Kind;
use crate::route::{Delivery, ReceiverName, Standing};
use crate::store::{Change, DeliveryQuery};

/// Deliveries that are buried at a time.
const AT_ONCE: usize = 1_000;

impl Daemon {
    /// Makes dead letters of what waits for receivers that are gone, tells of it, and ends what was told of them.
    /// A repeat of what was told is put aside.
    pub(super) async fn bury_gone(&mut self) -> Result<(), DaemonError> {
        for (receiver, states) in self.store.holdings().await?.deliveries {
            let open =
                ["waiting", "sending"].iter().any(|state| states.get(*state).is_some_and(|many| *many > 0));
            let Some(receiver) =
                receiver.parse().ok().filter(|name| open && !self.receivers.contains_key(name))
            else {
                continue;
            };
            let dead = self.bury_all(&receiver).await?;
            if dead > 0 {
                let text = format!(
                    "receiver {receiver} is not configured any more, and {dead} of its messages are dead; with a \
                     receiver of that name `larum deliveries redrive --all --receiver {receiver}` sends them"
                );
                let subject = receiver.to_string();
                self.say(own::Event { kind: Kind::DeadLetter, subject, text: Some(text) }).await?;
            }
        }
        for kind in [Kind::ReceiverPaused, Kind::ReceiverFailing] {
            let gone = |subject: &String| {
                !subject.parse::<ReceiverName>().is_ok_and(|name| self.receivers.contains_key(&name))
            };
            for subject in self.own.open(kind).filter(gone).collect::<Vec<_>>() {
                self.say(own::Event { kind, subject, text: None }).await?;
            }
        }
        Ok(())
    }

    /// How many dead letters that makes.
    async fn bury_all(&self, receiver: &ReceiverName) -> Result<usize, DaemonError> {
        let now = self.settings.clock.now();
        let mut dead = 0;
        loop {
            let query = DeliveryQuery {
                receiver: Some(receiver.clone()),
                states: vec!["waiting".to_owned(), "sending".to_owned()],
                most: AT_ONCE,
                ..DeliveryQuery::default()
            };
            let found = self.store.deliveries(query).await?;
            if found.is_empty() {
                return Ok(dead);
            }
            let mut by_tenant: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
            for delivery in found {
                let reason = "its receiver is not configured any more".to_owned();
                let standing = if delivery.terms.again {
                    Standing::Discarded { at: now, reason }
                } else {
                    dead += 1;
                    Standing::Dead { at: now, reason }
                };
                let tenant = delivery.tenant.clone();
                let buried = Change::Delivery(Box::new(Delivery { standing, ..delivery }));
                by_tenant.entry(tenant).or_default().push(buried);
            }
            for (tenant, changes) in by_tenant {
                let fence = self.fences.of(&*self.store, &tenant).await?;
                self.store.commit(fence, changes).await?;
            }
        }
    }
}
