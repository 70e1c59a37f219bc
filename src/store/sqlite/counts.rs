//! The quarantine, counters, and what the store holds in numbers.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Outcome;
use crate::engine::SourceId;
use crate::record::Timestamp;
use crate::store::{Holdings, MAX_QUARANTINED, Quarantined};

/// Keeps a row that made no record; the oldest goes where there are too many.
pub(super) fn quarantine(connection: &Connection, tenant: &str, row: &Quarantined) -> Outcome<()> {
    let newest = "SELECT coalesce(max(number), 0) FROM quarantine WHERE tenant = ?1";
    let number: i64 = connection.query_row(newest, [tenant], |row| row.get::<_, i64>(0))? + 1;
    let sql =
        "INSERT INTO quarantine (tenant, number, lane, at, reason, excerpt) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.execute(sql, params![tenant, number, row.lane.0, row.at.0, row.reason, row.excerpt])?;
    let kept = i64::try_from(MAX_QUARANTINED).unwrap_or(i64::MAX);
    let sql = "DELETE FROM quarantine WHERE tenant = ?1 AND number <= ?2";
    connection.execute(sql, params![tenant, number.saturating_sub(kept)])?;
    Ok(())
}

/// Rows in quarantine, newest first.
pub(super) fn quarantined(connection: &Connection, tenant: &str, most: usize) -> Outcome<Vec<Quarantined>> {
    let sql =
        "SELECT lane, at, reason, excerpt FROM quarantine WHERE tenant = ?1 ORDER BY number DESC LIMIT ?2";
    let mut statement = connection.prepare(sql)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_and_then(params![tenant, most], |row| {
        let (lane, at) = (SourceId(row.get(0)?), Timestamp(row.get(1)?));
        Ok(Quarantined { lane, at, reason: row.get(2)?, excerpt: row.get(3)? })
    })?;
    rows.collect()
}

/// Adds to a counter, which stops at the largest number that a column holds.
pub(super) fn count(connection: &Connection, tenant: &str, name: &str, by: u64) -> Outcome<()> {
    let sql = "SELECT value FROM counters WHERE tenant = ?1 AND name = ?2";
    let value: Option<u64> = connection.query_row(sql, [tenant, name], |row| row.get(0)).optional()?;
    let value = i64::try_from(value.unwrap_or(0).saturating_add(by)).unwrap_or(i64::MAX);
    let sql = "INSERT INTO counters (tenant, name, value) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(sql, params![tenant, name, value])?;
    Ok(())
}

/// Counters by name.
pub(super) fn counters(connection: &Connection, tenant: &str) -> Outcome<BTreeMap<String, u64>> {
    let mut statement = connection.prepare("SELECT name, value FROM counters WHERE tenant = ?1")?;
    let counters = statement.query_and_then([tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
    counters.collect()
}

/// What the store at `path` holds.
pub(super) fn holdings(connection: &Connection, path: &Path) -> Outcome<Holdings> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let in_use = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    let wal = std::fs::metadata(super::file::beside(path, "-wal")).map_or(0, |file| file.len());
    let mut holdings = Holdings {
        bytes: in_use.saturating_mul(pragma("page_size")?).saturating_add(wal),
        // Both are numbered without a gap.
        entries: number(
            "SELECT coalesce(sum((SELECT max(seq) FROM journal WHERE tenant = t.tenant)
                               - (SELECT min(seq) FROM journal WHERE tenant = t.tenant) + 1), 0)
             FROM tenants AS t",
        )?,
        quarantined: number(
            "SELECT coalesce(sum((SELECT max(number) FROM quarantine WHERE tenant = t.tenant)
                               - (SELECT min(number) FROM quarantine WHERE tenant = t.tenant) + 1), 0)
             FROM tenants AS t",
        )?,
        alerts: number("SELECT count(*) FROM alerts")?,
        deliveries: BTreeMap::new(),
    };
    let mut statement =
        connection.prepare("SELECT receiver, state, count(*) FROM deliveries GROUP BY receiver, state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let by_state = holdings.deliveries.entry(row.get(0)?).or_default();
        by_state.insert(row.get(1)?, row.get(2)?);
    }
    Ok(holdings)
}
