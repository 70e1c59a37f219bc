//! What an operator may ask of deliveries, alerts and silences, as changes for the store.
//!
//! The daemon commits them under the tenant's fence and wakes the dispatcher. Nothing here reads or
//! writes the store.

use std::ops::Range;
use std::sync::Arc;

use crate::alert::AlertId;
use crate::record::{Millis, Timestamp};
use crate::route::{Delivery, Silence, SilenceId, Standing};
use crate::store::Change;

/// Why an order cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotDo {
    /// It is not where the order would take it from.
    #[error("delivery {id} is {state}: only {from} can be {order}")]
    Standing {
        /// Which delivery.
        id: String,
        /// Where it stands.
        state: &'static str,
        /// Where it would have to stand.
        from: &'static str,
        /// What was asked.
        order: &'static str,
    },
    /// A silence that would hold nothing.
    #[error("the silence ends at {until}, before it begins at {from}")]
    Backwards {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
}

/// The word for where a delivery stands.
pub fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Sending { .. } => "sending",
        Standing::Delivered { .. } => "delivered",
        Standing::Dead { .. } => "dead",
        Standing::Discarded { .. } => "discarded",
        Standing::Folded { .. } => "folded",
    }
}

/// A dead letter, or what was discarded, is owed anew: its time begins again, its tries are counted on.
pub fn redrive(delivery: &Delivery, now: Timestamp) -> Result<Vec<Change>, CannotDo> {
    match delivery.standing {
        Standing::Dead { .. } | Standing::Discarded { .. } => {}
        Standing::Waiting
        | Standing::Sending { .. }
        | Standing::Delivered { .. }
        | Standing::Folded { .. } => {
            return Err(cannot(delivery, "dead letters and what was discarded", "redriven"));
        }
    }
    Ok(vec![Change::Delivery(Box::new(Delivery {
        created: now,
        due: now,
        waited: Millis::ZERO,
        plain: false,
        held_by: None,
        standing: Standing::Waiting,
        ..delivery.clone()
    }))])
}

/// What waits, or is a dead letter, is put aside for good.
pub fn discard(delivery: &Delivery, reason: &str, now: Timestamp) -> Result<Vec<Change>, CannotDo> {
    match delivery.standing {
        Standing::Waiting | Standing::Dead { .. } => {}
        Standing::Sending { .. }
        | Standing::Delivered { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => {
            return Err(cannot(delivery, "what waits, and dead letters,", "discarded"));
        }
    }
    let standing = Standing::Discarded { at: now, reason: reason.to_owned() };
    Ok(vec![Change::Delivery(Box::new(Delivery { standing, ..delivery.clone() }))])
}

/// `by` has taken the alert: its messages stop repeating.
pub fn acknowledge(alert: AlertId, by: &str, now: Timestamp) -> Vec<Change> {
    vec![Change::Acknowledged { alert, by: by.to_owned(), at: now }]
}

/// Holds messages back within `window`. The id is a digest of all that is asked, so that
/// asking twice at one instant is one silence.
pub fn silence(
    tenant: Arc<str>,
    matches: Vec<(String, String)>,
    window: Range<Timestamp>,
    by: &str,
    because: &str,
) -> Result<(Silence, Vec<Change>), CannotDo> {
    let Range { start: from, end: until } = window;
    if until <= from {
        return Err(CannotDo::Backwards { from, until });
    }
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(tenant.as_bytes());
    for (name, value) in &matches {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(&from.0.to_le_bytes());
    add(&until.0.to_le_bytes());
    add(by.as_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    let (by, because) = (by.to_owned(), because.to_owned());
    let silence = Silence { id: SilenceId(id), tenant, matches, from, until, by, because };
    Ok((silence.clone(), vec![Change::Silence(silence)]))
}

/// Ends a silence; what it held back and is still open is sent.
pub fn unsilence(id: SilenceId, now: Timestamp) -> Vec<Change> {
    vec![Change::Unsilence { id, at: now }]
}

fn cannot(delivery: &Delivery, from: &'static str, order: &'static str) -> CannotDo {
    CannotDo::Standing { id: delivery.id.to_string(), state: state(&delivery.standing), from, order }
}
