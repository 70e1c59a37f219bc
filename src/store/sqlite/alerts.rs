//! Alerts: every revision as it was told, and a line beside them to find them by.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::fault::{Outcome, refused};
use super::filter::Filter;
use super::{pack, word};
use crate::alert::{Alert, AlertId};
use crate::record::Timestamp;
use crate::store::{AlertQuery, KeptAlert};

/// Keeps a revision; one that is there already stays as it is.
pub(super) fn keep(connection: &Connection, tenant: &str, alert: &Alert) -> Outcome<()> {
    if *alert.tenant != *tenant {
        return Err(refused(format!("alert {} is not of tenant `{tenant}`", alert.id)));
    }
    let known = "SELECT 1 FROM revisions WHERE tenant = ?1 AND id = ?2 AND revision = ?3";
    if connection.prepare(known)?.exists(params![tenant, alert.id.0, alert.revision])? {
        return Ok(());
    }
    // What decides is the number of a revision, not when it came.
    let line = "INSERT INTO alerts (tenant, id, rule, level, state, fired_at, at, first, newest)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?7)
                ON CONFLICT DO UPDATE SET
                    fired_at = iif(excluded.first < first, excluded.fired_at, fired_at),
                    first = min(first, excluded.first),
                    level = iif(excluded.newest > newest, excluded.level, level),
                    state = iif(excluded.newest > newest, excluded.state, state),
                    at = iif(excluded.newest > newest, excluded.at, at),
                    newest = max(newest, excluded.newest)";
    let (level, state) = (word::of_level(alert.level), alert.state.as_str());
    let rule = alert.rule.as_str();
    connection.execute(line, params![tenant, alert.id.0, rule, level, state, alert.at.0, alert.revision])?;
    let revision = "INSERT INTO revisions (tenant, id, revision, alert) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(revision, params![tenant, alert.id.0, alert.revision, pack::json(alert)?])?;
    Ok(())
}

/// Notes who has taken an alert, if it is open and nobody has.
pub(super) fn acknowledge(
    connection: &Connection,
    tenant: &str,
    id: AlertId,
    by: &str,
    at: Timestamp,
) -> Outcome<()> {
    let sql = "UPDATE alerts SET acknowledged_by = ?3, acknowledged_at = ?4
               WHERE tenant = ?1 AND id = ?2 AND state IN ('open', 'updated') AND acknowledged_at IS NULL";
    connection.execute(sql, params![tenant, id.0, by, at.0])?;
    Ok(())
}

/// How an alert stands, with its being taken: what is taken and not over yet is acknowledged.
const STANDS: &str =
    "iif(acknowledged_at IS NOT NULL AND state IN ('open', 'updated'), 'acknowledged', state)";

/// Alerts, newest firing first.
pub(super) fn find(connection: &Connection, query: &AlertQuery) -> Outcome<Vec<KeptAlert>> {
    let Some(mut filter) = Filter::new(query.tenant.as_ref(), query.id.as_ref()) else {
        return Ok(Vec::new());
    };
    filter.and("rule = ?", query.rule.as_ref().map(|rule| rule.as_str().to_owned()));
    filter.and("level >= ?", query.level.map(word::of_level));
    filter.and("fired_at >= ?", query.since.map(|since| since.0));
    filter.among("stands", query.states.iter().map(|state| state.as_str().to_owned()));
    let select = format!(
        "SELECT tenant, id, first, newest, acknowledged_by, acknowledged_at, {STANDS} AS stands FROM alerts"
    );
    let (sql, values) = filter.query(&select, "fired_at DESC, id, tenant", query.most);
    let mut statement = connection.prepare(&sql)?;
    let kept = statement.query_and_then(params_from_iter(values), |row| {
        let (tenant, id): (String, [u8; 16]) = (row.get(0)?, row.get(1)?);
        let (by, at): (Option<String>, Option<i64>) = (row.get(4)?, row.get(5)?);
        let fired = one(connection, &tenant, AlertId(id), row.get(2)?)?;
        let mut now = one(connection, &tenant, AlertId(id), row.get(3)?)?;
        now.state = word::state(row, 6)?;
        Ok(KeptAlert { fired, now, acknowledged: by.zip(at.map(Timestamp)) })
    })?;
    kept.collect()
}

fn one(connection: &Connection, tenant: &str, id: AlertId, revision: u32) -> Outcome<Alert> {
    let sql = "SELECT alert FROM revisions WHERE tenant = ?1 AND id = ?2 AND revision = ?3";
    let packed: Option<Vec<u8>> =
        connection.query_row(sql, params![tenant, id.0, revision], |row| row.get(0)).optional()?;
    pack::read(&packed.unwrap_or_default(), &format!("alert {id}, revision {revision}"))
}

/// Every revision of an alert, in order.
pub(super) fn revisions(connection: &Connection, tenant: &str, id: AlertId) -> Outcome<Vec<Alert>> {
    let sql = "SELECT alert FROM revisions WHERE tenant = ?1 AND id = ?2 ORDER BY revision";
    let mut statement = connection.prepare(sql)?;
    let alerts = statement.query_and_then(params![tenant, id.0], |row| {
        pack::read(row.get_ref(0)?.as_blob().unwrap_or_default(), &format!("alert {id}"))
    })?;
    alerts.collect()
}

/// Forgets what was over before, unless a message that is kept tells of it.
pub(super) fn forget(connection: &Connection, tenant: &str, before: Timestamp) -> Outcome<()> {
    let sql = "DELETE FROM alerts
               WHERE tenant = ?1 AND at < ?2 AND state IN ('closed', 'resolved')
                 AND NOT EXISTS (SELECT 1 FROM deliveries
                                 WHERE deliveries.tenant = alerts.tenant AND alert = alerts.id)";
    connection.execute(sql, params![tenant, before.0])?;
    Ok(())
}
