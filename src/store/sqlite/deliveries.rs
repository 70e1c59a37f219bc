//! The outbox: deliveries, their tries, and the silences that hold them back.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params, params_from_iter};

use super::fault::{Outcome, corrupt, refused};
use super::filter::Filter;
use super::word;
use crate::alert::AlertId;
use crate::record::{Level, Millis, Timestamp};
use crate::route::{Body, Delivery, DeliveryId, ReceiverName, Silence, SilenceId, Standing};
use crate::store::{DeliveryQuery, LEVEL_SHARE, Sent, Try};

/// Owes a message, unless it was owed before.
pub(super) fn owe(connection: &Connection, tenant: &str, delivery: &Delivery) -> Outcome<()> {
    let sql = "INSERT INTO deliveries
                   (tenant, id, receiver, rule, level, alert, revision, digest, created, due, tries, waited,
                    plain, held_by, last_reason, state, state_at, state_reason, folded_into, ready, terms,
                    group_key, turn)
               VALUES
                   (:tenant, :id, :receiver, :rule, :level, :alert, :revision, :digest, :created, :due, :tries,
                    :waited, :plain, :held_by, :last_reason, :state, :state_at, :state_reason, :folded_into,
                    :ready, :terms, :group_key,
                    max(coalesce((SELECT max(turn) + 1 FROM deliveries INDEXED BY deliveries_lanes
                                  WHERE receiver = :receiver AND level = :level AND tenant = :tenant
                                    AND rule = :rule AND ready IS NOT NULL), 0),
                        coalesce((SELECT min(turn) FROM deliveries INDEXED BY deliveries_open
                                  WHERE receiver = :receiver AND level = :level AND ready IS NOT NULL), 0)))
               ON CONFLICT (tenant, id) DO NOTHING";
    write(connection, sql, tenant, delivery).map(drop)
}

/// Replaces a delivery. What it was owed after stays.
pub(super) fn replace(connection: &Connection, tenant: &str, delivery: &Delivery) -> Outcome<()> {
    let sql = "UPDATE deliveries SET
                   receiver = :receiver, rule = :rule, level = :level, alert = :alert, revision = :revision,
                   digest = :digest, created = :created, due = :due, tries = :tries, waited = :waited,
                   plain = :plain, held_by = :held_by, last_reason = :last_reason, state = :state,
                   state_at = :state_at, state_reason = :state_reason, folded_into = :folded_into,
                   ready = :ready, terms = :terms, group_key = :group_key
               WHERE tenant = :tenant AND id = :id";
    match write(connection, sql, tenant, delivery)? {
        0 => Err(refused(format!("delivery {} is not there to be changed", delivery.id))),
        _ => Ok(()),
    }
}

/// The word for where a delivery stands.
fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Sending { .. } => "sending",
        Standing::Delivered { .. } => "delivered",
        Standing::Dead { .. } => "dead",
        Standing::Discarded { .. } => "discarded",
        Standing::Folded { .. } => "folded",
    }
}

fn write(connection: &Connection, sql: &str, tenant: &str, delivery: &Delivery) -> Outcome<usize> {
    if *delivery.tenant != *tenant {
        return Err(refused(format!("delivery {} is not of tenant `{tenant}`", delivery.id)));
    }
    let (alert, revision, digest) = match &delivery.body {
        Body::Alert { id, revision } => (Some(id.0), Some(*revision), None),
        Body::Digest(digest) => {
            let text = serde_json::to_string(digest);
            (None, None, Some(text.map_err(|error| refused(format!("cannot encode a digest: {error}")))?))
        }
    };
    let terms = (!delivery.terms.is_none()).then(|| serde_json::to_string(&delivery.terms)).transpose();
    let terms = terms.map_err(|error| refused(format!("cannot encode the terms of a delivery: {error}")))?;
    let (at, reason, into, ready) = match &delivery.standing {
        Standing::Waiting => (None, None, None, Some(delivery.due)),
        Standing::Sending { until } => (Some(*until), None, None, Some(*until)),
        Standing::Delivered { at } => (Some(*at), None, None, None),
        Standing::Dead { at, reason } | Standing::Discarded { at, reason } => {
            (Some(*at), Some(reason), None, None)
        }
        Standing::Folded { into } => (None, None, Some(into.0), None),
    };
    let written = connection.execute(
        sql,
        named_params! {
            ":tenant": tenant,
            ":id": delivery.id.0,
            ":receiver": delivery.receiver.as_str(),
            ":rule": delivery.rule.as_str(),
            ":level": word::of_level(delivery.level),
            ":alert": alert,
            ":revision": revision,
            ":digest": digest,
            ":created": delivery.created.0,
            ":due": delivery.due.0,
            ":tries": delivery.tries,
            ":waited": delivery.waited.0,
            ":plain": delivery.plain,
            ":held_by": delivery.held_by.map(|id| id.0),
            ":last_reason": delivery.last_reason,
            ":state": state(&delivery.standing),
            ":state_at": at.map(|at| at.0),
            ":state_reason": reason,
            ":folded_into": into,
            ":ready": ready.map(|at| at.0),
            ":terms": terms,
            ":group_key": delivery.terms.group.as_ref().map(|group| group.key.as_str()),
        },
    )?;
    Ok(written)
}

/// Columns of a delivery, in the order in which [`read`] takes them.
const COLUMNS: &str = "tenant, id, receiver, rule, level, alert, revision, digest, created, due, tries, waited, \
                       plain, held_by, last_reason, state, state_at, state_reason, folded_into, \
                       terms";

fn read(row: &Row<'_>) -> Outcome<Delivery> {
    let tenant: String = row.get(0)?;
    let id = DeliveryId(row.get(1)?);
    let broken = |what: &str| corrupt(format!("delivery {id}: {what}"));
    let (alert, revision): (Option<[u8; 16]>, Option<u32>) = (row.get(5)?, row.get(6)?);
    let digest: Option<String> = row.get(7)?;
    let body = match (alert.zip(revision), digest) {
        (Some((alert, revision)), _) => Body::Alert { id: AlertId(alert), revision },
        (None, Some(digest)) => {
            Body::Digest(serde_json::from_str(&digest).map_err(|error| broken(&error.to_string()))?)
        }
        (None, None) => return Err(broken("it tells nothing")),
    };
    let held_by: Option<[u8; 8]> = row.get(13)?;
    let terms: Option<String> = row.get(19)?;
    let terms = terms.map(|text| serde_json::from_str(&text)).transpose();
    let terms = terms.map_err(|error| broken(&error.to_string()))?.unwrap_or_default();
    Ok(Delivery {
        id,
        tenant: tenant.into(),
        receiver: word::parsed(row, 2)?,
        rule: word::parsed(row, 3)?,
        level: word::level(row, 4)?,
        body,
        created: Timestamp(row.get(8)?),
        due: Timestamp(row.get(9)?),
        tries: row.get(10)?,
        waited: Millis(row.get(11)?),
        plain: row.get(12)?,
        held_by: held_by.map(SilenceId),
        last_reason: row.get(14)?,
        terms,
        standing: standing(row)?,
    })
}

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let word: String = row.get(15)?;
    let at = || row.get(16).map(Timestamp);
    match word.as_str() {
        "waiting" => Ok(Standing::Waiting),
        "sending" => Ok(Standing::Sending { until: at()? }),
        "delivered" => Ok(Standing::Delivered { at: at()? }),
        "dead" => Ok(Standing::Dead { at: at()?, reason: row.get(17)? }),
        "discarded" => Ok(Standing::Discarded { at: at()?, reason: row.get(17)? }),
        "folded" => Ok(Standing::Folded { into: DeliveryId(row.get(18)?) }),
        _ => Err(word::unreadable(row, 15, "no state")),
    }
}

/// What is due at `receiver`, gravest first, and of each level whose turn it is.
pub(super) fn due(
    connection: &Connection,
    receiver: &ReceiverName,
    now: Timestamp,
    most: usize,
) -> Outcome<Vec<Delivery>> {
    let mut statement = connection.prepare(&due_sql())?;
    let mut due = Vec::new();
    for level in Level::ALL.into_iter().rev() {
        let room = most - most / 100 * LEVEL_SHARE * level as usize - due.len();
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let of_level = params![receiver.as_str(), word::of_level(level), now.0, room];
        for delivery in statement.query_and_then(of_level, read)? {
            due.push(delivery?);
        }
    }
    Ok(due)
}

pub(super) fn due_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM deliveries INDEXED BY deliveries_open
         WHERE receiver = ?1 AND level = ?2 AND ready IS NOT NULL AND ready <= ?3
         ORDER BY turn, owed LIMIT ?4"
    )
}

/// When the next delivery to `receiver` falls due.
pub(super) fn next_due(connection: &Connection, receiver: &ReceiverName) -> Outcome<Option<Timestamp>> {
    let sql = "SELECT min(ready) FROM deliveries INDEXED BY deliveries_next
               WHERE receiver = ?1 AND ready IS NOT NULL";
    let next: Option<i64> = connection.query_row(sql, [receiver.as_str()], |row| row.get(0))?;
    Ok(next.map(Timestamp))
}

/// What was tried at `receiver` since, oldest first.
pub(super) fn sent(connection: &Connection, receiver: &ReceiverName, since: Timestamp) -> Outcome<Vec<Sent>> {
    let sql = "SELECT tried_at, level, rule FROM deliveries INDEXED BY deliveries_tried
               WHERE receiver = ?1 AND tried_at IS NOT NULL AND tried_at >= ?2
               ORDER BY tried_at, level, rule";
    let mut statement = connection.prepare(sql)?;
    let sent = statement.query_and_then(params![receiver.as_str(), since.0], |row| {
        Ok(Sent { at: Timestamp(row.get(0)?), level: word::level(row, 1)?, rule: word::parsed(row, 2)? })
    })?;
    sent.collect()
}

/// The delivery that was tried last, of those with a known outcome.
pub(super) fn last_tried(connection: &Connection, receiver: &ReceiverName) -> Outcome<Option<Delivery>> {
    let mut statement = connection.prepare(&last_tried_sql())?;
    statement.query_and_then([receiver.as_str()], read)?.next().transpose()
}

pub(super) fn last_tried_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM deliveries INDEXED BY deliveries_tried
         WHERE receiver = ?1 AND tried_at IS NOT NULL AND last_reason IS NOT NULL
         ORDER BY tried_at DESC, owed DESC LIMIT 1"
    )
}

/// Deliveries in the order in which they were owed.
pub(super) fn find(connection: &Connection, query: &DeliveryQuery) -> Outcome<Vec<Delivery>> {
    let Some(mut filter) = Filter::new(query.tenant.as_ref(), query.id.as_ref()) else {
        return Ok(Vec::new());
    };
    filter.and("receiver = ?", query.receiver.as_ref().map(|receiver| receiver.as_str().to_owned()));
    filter.and("alert = ?", query.alert.map(|alert| alert.0.to_vec()));
    filter.and("folded_into = ?", query.told_by.map(|digest| digest.0.to_vec()));
    filter.among("state", query.states.iter().cloned());
    let order = if query.newest_first { "owed DESC" } else { "owed" };
    let (sql, values) = filter.query(&format!("SELECT {COLUMNS} FROM deliveries"), order, query.most);
    let mut statement = connection.prepare(&sql)?;
    let deliveries = statement.query_and_then(params_from_iter(values), read)?;
    deliveries.collect()
}

/// Notes a try. When it began stays as it was first noted; what it came to is kept once known.
pub(super) fn note_try(
    connection: &Connection,
    tenant: &str,
    id: DeliveryId,
    number: u32,
    at: Timestamp,
    outcome: Option<&str>,
) -> Outcome<()> {
    let known = "SELECT 1 FROM deliveries WHERE tenant = ?1 AND id = ?2";
    if !connection.prepare(known)?.exists(params![tenant, id.0])? {
        return Err(refused(format!("delivery {id} is not there to be tried")));
    }
    let sql = "INSERT INTO tries (tenant, delivery, number, at, outcome) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET outcome = coalesce(excluded.outcome, outcome)";
    connection.execute(sql, params![tenant, id.0, number, at.0, outcome])?;
    let last = "UPDATE deliveries
                SET tried_at = (SELECT at FROM tries WHERE tenant = ?1 AND delivery = ?2
                                ORDER BY number DESC LIMIT 1)
                WHERE tenant = ?1 AND id = ?2";
    connection.execute(last, params![tenant, id.0])?;
    Ok(())
}

/// A delivery's tries, in order.
pub(super) fn tries(connection: &Connection, id: DeliveryId) -> Outcome<Vec<Try>> {
    let sql = "SELECT number, at, outcome FROM tries
               WHERE tenant IN (SELECT tenant FROM tenants) AND delivery = ?1 ORDER BY number";
    let mut statement = connection.prepare(sql)?;
    let tries = statement.query_and_then(params![id.0], |row| {
        Ok(Try { number: row.get(0)?, at: Timestamp(row.get(1)?), outcome: row.get(2)? })
    })?;
    tries.collect()
}

/// Notes what the receiver calls the message of a delivery.
pub(super) fn note_mark(connection: &Connection, tenant: &str, id: DeliveryId, mark: &str) -> Outcome<()> {
    let sql = "UPDATE deliveries SET mark = ?3 WHERE tenant = ?1 AND id = ?2";
    match connection.execute(sql, params![tenant, id.0, mark])? {
        0 => Err(refused(format!("delivery {id} is not there to be marked"))),
        _ => Ok(()),
    }
}

/// The last mark of an alert's messages at a receiver.
pub(super) fn mark(
    connection: &Connection,
    tenant: &str,
    receiver: &ReceiverName,
    alert: AlertId,
) -> Outcome<Option<String>> {
    let sql = "SELECT mark FROM deliveries INDEXED BY deliveries_of_alert
               WHERE tenant = ?1 AND alert = ?2 AND receiver = ?3 AND mark IS NOT NULL
               ORDER BY owed DESC LIMIT 1";
    let mark = connection.query_row(sql, params![tenant, alert.0, receiver.as_str()], |row| row.get(0));
    Ok(mark.optional()?)
}

/// When a message of the group was last taken.
pub(super) fn group_told(
    connection: &Connection,
    receiver: &ReceiverName,
    key: &str,
) -> Outcome<Option<Timestamp>> {
    let sql = "SELECT max(state_at) FROM deliveries INDEXED BY deliveries_groups
               WHERE receiver = ?1 AND group_key = ?2 AND state = 'delivered'";
    let told: Option<i64> = connection.query_row(sql, params![receiver.as_str(), key], |row| row.get(0))?;
    Ok(told.map(Timestamp))
}

/// Keeps a silence, or replaces one.
pub(super) fn silence(connection: &Connection, tenant: &str, silence: &Silence) -> Outcome<()> {
    if *silence.tenant != *tenant {
        return Err(refused(format!("silence {} is not of tenant `{tenant}`", silence.id)));
    }
    let text = serde_json::to_string(silence);
    let text = text.map_err(|error| refused(format!("cannot encode silence {}: {error}", silence.id)))?;
    let sql = "INSERT INTO silences (tenant, id, until, silence) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET until = excluded.until, silence = excluded.silence";
    connection.execute(sql, params![tenant, silence.id.0, silence.until.0, text])?;
    Ok(())
}

/// Removes a silence; what waits because of it is due at `at`.
pub(super) fn unsilence(connection: &Connection, tenant: &str, id: SilenceId, at: Timestamp) -> Outcome<()> {
    connection.execute("DELETE FROM silences WHERE tenant = ?1 AND id = ?2", params![tenant, id.0])?;
    let sql = "UPDATE deliveries SET due = ?3, ready = ?3
               WHERE tenant = ?1 AND held_by = ?2 AND state = 'waiting'";
    connection.execute(sql, params![tenant, id.0, at.0])?;
    Ok(())
}

/// Silences that are not over at `now`.
pub(super) fn silences(connection: &Connection, now: Timestamp) -> Outcome<Vec<Silence>> {
    let sql = "SELECT silence FROM silences WHERE until > ?1 ORDER BY tenant, id";
    let mut statement = connection.prepare(sql)?;
    let silences = statement.query_and_then([now.0], |row| {
        let text: String = row.get(0)?;
        serde_json::from_str(&text).map_err(|error| corrupt(format!("a silence: {error}")))
    })?;
    silences.collect()
}

/// Forgets deliveries that were settled before, with their tries, and silences that were over.
pub(super) fn forget(connection: &Connection, tenant: &str, before: Timestamp) -> Outcome<()> {
    let settled = "DELETE FROM deliveries
                   WHERE tenant = ?1 AND ready IS NULL AND coalesce(state_at, created) < ?2";
    connection.execute(settled, params![tenant, before.0])?;
    connection.execute("DELETE FROM silences WHERE tenant = ?1 AND until < ?2", params![tenant, before.0])?;
    Ok(())
}

/// Every tenant that has been fenced, by name.
pub(super) fn tenants(connection: &Connection) -> Outcome<Vec<Arc<str>>> {
    let mut statement = connection.prepare("SELECT tenant FROM tenants ORDER BY tenant")?;
    let tenants = statement.query_and_then([], |row| Ok(row.get::<_, String>(0)?.into()))?;
    tenants.collect()
}
