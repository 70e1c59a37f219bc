//! A fixed message on a schedule: who misses it knows that messages no longer arrive.
//!
//! It goes the way of every message, through the receiver's tokens and its health, but no limit of
//! people holds it back. Its instants are whole multiples of its period, so that a restart neither
//! repeats one nor shifts those to come. One that fell into a time when Larum did not run is not made
//! up for: that it was missing is what it has to say.

use super::Ended;
use super::attempt::outcome;
use super::desk::{Desk, Next};
use crate::deliver::Content;
use crate::record::{Level, Millis, Timestamp};
use crate::route::retry::Gate;
use crate::route::{Attempt, DeliveryId};

/// One that was not taken is tried again after this, until the next is due.
const AGAIN: Millis = Millis::mins(1);

/// The first instant after `now`; never without a period.
pub(super) fn next(every: Option<Millis>, now: Timestamp) -> Timestamp {
    let Some(every) = every.filter(|every| every.0 > 0) else { return Timestamp::MAX };
    Timestamp((now.0.div_euclid(every.0) + 1).saturating_mul(every.0))
}

impl Desk {
    /// Sends it, now that it is due.
    pub(super) async fn watch(&mut self, now: Timestamp) -> Result<Next, Ended> {
        let every = self.target.watchdog.unwrap_or(Millis::ZERO);
        if let Err(free) = self.take_token(Level::Critical, true, now) {
            return Ok(Next::Until(free));
        }
        let due = next(self.target.watchdog, now) - every;
        let mut at = [0; 16];
        at[..8].copy_from_slice(&due.0.to_be_bytes());
        // The same for every try of one instant.
        let id = DeliveryId::of_digest("watchdog", &self.target.name, DeliveryId(at));
        let attempt = self.send(&self.message(id, Content::Watchdog(every), false, now)).await;
        let now = self.office.clock.now();
        let turn = self.health.after_probe(&attempt, now);
        self.tell(turn, &outcome(&attempt));
        let next = next(self.target.watchdog, now);
        self.watched = if attempt == Attempt::Delivered { next } else { next.min(now + AGAIN) };
        Ok(Next::Again)
    }

    /// `after`, or when the watchdog is due before that. While nothing may be sent it waits, too.
    pub(super) fn before_watchdog(&self, after: Next) -> Next {
        let now = self.office.clock.now();
        let may_be_sent = match self.health.gate(now) {
            Gate::Open | Gate::Single => true,
            Gate::Closed { .. } | Gate::Probe => false,
        };
        match after {
            // It is due and waits for a token.
            Next::Until(_) if self.watched <= now => after,
            Next::Until(at) if may_be_sent => Next::Until(at.min(self.watched)),
            Next::Idle if may_be_sent && self.watched < Timestamp::MAX => Next::Until(self.watched),
            Next::Again | Next::Until(_) | Next::Idle => after,
        }
    }
}
