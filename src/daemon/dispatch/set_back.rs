//! A clock that was ahead for a while and is set right: what was put off by it waits no longer than it
//! was to.
//!
//! A machine that starts with a wrong clock sends, rests and puts off by it until it is set. Then all of
//! that lies in the future, and would keep messages back for as long as the clock was ahead. It is seen
//! by a clock that says less than it said last; after a restart, less than what the store was told last.
//! What a silence holds is left alone: its end was said by somebody.

use super::Ended;
use super::attempt::{LEASE, MAX_HASTENED};
use super::desk::Desk;
use super::watchdog;
use crate::record::{Millis, Timestamp};
use crate::route::{Delivery, Standing, Why};
use crate::store::DeliveryQuery;

/// A clock that is set back by less is waited for.
pub(super) const SET_BACK: Millis = Millis::mins(1);
/// Deliveries owed last, of any receiver, that are asked what the clock said in an earlier life.
const ASKED: usize = 16;

impl Desk {
    /// Sets right what was put off, where the clock was set back since the last turn.
    pub(super) async fn look_at_clock(&mut self, now: Timestamp) -> Result<(), Ended> {
        let by = self.clock_said - now;
        if by > SET_BACK {
            let receiver = &self.target.name;
            tracing::warn!(%receiver, %by, "the clock was set back: what was put off by it is looked at again");
            self.redate(now).await?;
            self.health.set_back(by);
            if let Some(debt) = &mut self.debt {
                debt.seen.iter_mut().for_each(|(at, ..)| *at = (*at).min(now));
            }
            self.groups.values_mut().for_each(|told| *told = (*told).min(now));
            self.watched = watchdog::next(self.target.watchdog, now);
            self.queue.clear();
            self.looked = Timestamp::MIN;
        }
        self.clock_said = now;
        Ok(())
    }

    /// What the clock said last in an earlier life, as far as the store knows: `sent` is when something
    /// was tried last.
    pub(super) async fn last_known(&self, sent: Option<Timestamp>) -> Result<Timestamp, Ended> {
        let query = DeliveryQuery { newest_first: true, most: ASKED, ..DeliveryQuery::default() };
        let owed = self.office.store.deliveries(query).await?.into_iter();
        // Those that are owed later on are dated ahead by any clock.
        let at_once = owed.filter(|delivery| !delivery.terms.again && delivery.terms.unless.is_empty());
        Ok(at_once.map(|delivery| delivery.created).chain(sent).max().unwrap_or(Timestamp::MIN))
    }

    async fn redate(&self, now: Timestamp) -> Result<(), Ended> {
        let query = DeliveryQuery {
            receiver: Some(self.target.name.clone()),
            states: vec!["waiting".to_owned(), "sending".to_owned()],
            most: MAX_HASTENED,
            ..DeliveryQuery::default()
        };
        let open = self.office.store.deliveries(query).await?.into_iter();
        let last = self.clock_said;
        self.commit(open.filter_map(|delivery| redated(delivery, last, now)).collect()).await
    }
}

/// `delivery` with a new date, where the clock that said `last` dated it and now says `now`.
fn redated(delivery: Delivery, last: Timestamp, now: Timestamp) -> Option<Delivery> {
    match delivery.standing {
        Standing::Sending { until } if until > now + LEASE => {
            Some(Delivery { standing: Standing::Sending { until: now + LEASE }, ..delivery })
        }
        Standing::Waiting if delivery.held_by.is_none() && delivery.due > now => {
            // What holds it back is asked again when it is due; a receiver that fails is left alone by itself.
            let is_asked =
                matches!(delivery.why(), Why::Limited | Why::Grouped | Why::Ordered | Why::Delayed);
            let due = if is_asked { now } else { (delivery.due - (last - now)).max(now) };
            Some(Delivery { due, created: delivery.created.min(due), ..delivery })
        }
        Standing::Waiting
        | Standing::Sending { .. }
        | Standing::Delivered { .. }
        | Standing::Dead { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => None,
    }
}
