//! One change after the other, each to the file that owns its table.

use rusqlite::Connection;

use super::fault::Outcome;
use super::{alerts, counts, deliveries, journal};
use crate::store::Change;

/// Makes `changes` in order within the transaction that is open; the first that cannot be made ends it.
pub(super) fn apply(connection: &Connection, tenant: &str, changes: &[Change]) -> Outcome<()> {
    changes.iter().try_for_each(|change| one(connection, tenant, change))
}

fn one(connection: &Connection, tenant: &str, change: &Change) -> Outcome<()> {
    match change {
        Change::Journal(entry) => journal::append(connection, tenant, entry),
        Change::Text { digest, text } => journal::keep_text(connection, digest, text),
        Change::Cursor(cursor) => journal::move_cursor(connection, tenant, cursor),
        Change::Checkpoint(checkpoint) => journal::keep_checkpoint(connection, tenant, checkpoint),
        Change::Alert(alert) => alerts::keep(connection, tenant, alert),
        Change::Acknowledged { alert, by, at } => alerts::acknowledge(connection, tenant, *alert, by, *at),
        Change::Owed(delivery) => deliveries::owe(connection, tenant, delivery),
        Change::Delivery(delivery) => deliveries::replace(connection, tenant, delivery),
        Change::Tried { delivery, number, at, outcome } => {
            deliveries::note_try(connection, tenant, *delivery, *number, *at, outcome.as_deref())
        }
        Change::Marked { delivery, mark } => deliveries::note_mark(connection, tenant, *delivery, mark),
        Change::Silence(silence) => deliveries::silence(connection, tenant, silence),
        Change::Unsilence { id, at } => deliveries::unsilence(connection, tenant, *id, *at),
        Change::Quarantined(row) => counts::quarantine(connection, tenant, row),
        Change::Count { name, by } => counts::count(connection, tenant, name, *by),
        Change::Forget { seq, before } => {
            journal::forget(connection, tenant, *seq)?;
            // Deliveries first: an alert is kept as long as a message tells of it.
            deliveries::forget(connection, tenant, *before)?;
            alerts::forget(connection, tenant, *before)
        }
    }
}
