//! Receivers that the configuration has no more: nothing waits for them in silence, and what was told of them ends.

use super::{Arc, BTreeMap, Daemon, DaemonError, own};
use crate::daemon::own::Kind;
use crate::route::{Delivery, ReceiverName, Standing};
use crate::store::{Change, DeliveryQuery, StoreError};

/// Deliveries that are buried at a time.
const AT_ONCE: usize = 1_000;

impl Daemon {
    /// Makes dead letters of what waits for receivers that are gone, tells of it, and ends what was told of them.
    /// A repeat of what was told is put aside. What the store cannot do now is left to the next start or reload.
    pub(super) async fn bury_gone(&mut self) -> Result<(), DaemonError> {
        let deliveries = match self.store.holdings().await {
            Ok(holdings) => holdings.deliveries,
            Err(error) => {
                tracing::error!(%error, "what waits for receivers that are gone is not known");
                return Ok(());
            }
        };
        for (receiver, states) in deliveries {
            let open: u64 = ["waiting", "sending"].iter().filter_map(|state| states.get(*state)).sum();
            let gone = receiver.parse().ok().filter(|name| open > 0 && !self.receivers.contains_key(name));
            let Some(receiver) = gone else { continue };
            // Told first: a crash in between tells it twice, and not never.
            let text = format!(
                "receiver {receiver} is not configured any more, and {open} of its messages are dead, or put aside as \
                 repeats; with a receiver of that name `larum deliveries redrive --all --receiver {receiver}` sends them"
            );
            tracing::warn!(%receiver, messages = open, "given up on: the receiver is not configured any more");
            let subject = receiver.to_string();
            self.say(own::Event { kind: Kind::DeadLetter, subject, text: Some(text) }).await?;
            if let Err(error) = self.bury_all(&receiver).await {
                tracing::error!(%receiver, %error, "what waits for a receiver that is gone is still to be buried");
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

    async fn bury_all(&self, receiver: &ReceiverName) -> Result<(), StoreError> {
        let now = self.settings.clock.now();
        loop {
            let query = DeliveryQuery {
                receiver: Some(receiver.clone()),
                states: vec!["waiting".to_owned(), "sending".to_owned()],
                most: AT_ONCE,
                ..DeliveryQuery::default()
            };
            let found = self.store.deliveries(query).await?;
            if found.is_empty() {
                return Ok(());
            }
            let mut by_tenant: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
            for delivery in found {
                let reason = "its receiver is not configured any more".to_owned();
                let standing = if delivery.terms.again {
                    Standing::Discarded { at: now, reason }
                } else {
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
