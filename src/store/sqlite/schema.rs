//! The tables, and how a file of an older format is brought forward.
//!
//! The tenant is the first column of every key, but for the texts, which are named by their digest.
//! Ids are blobs, times are milliseconds. The number under which a delivery was owed orders
//! deliveries and never leaves the store.

use rusqlite::Connection;

use super::fault::Outcome;
use crate::store::StoreError;

/// What marks a file as Larum's: `LRUM`.
pub(super) const APPLICATION: i64 = 0x4c52_554d;

/// Steps from each format to the next. A step that has been released never changes.
pub(super) const STEPS: &[&str] = &[TO_1, TO_2, TO_3, TO_4];

/// The format that `steps` lead to.
pub(super) fn format(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// The format of a file; 0 of one that holds nothing yet.
pub(super) fn found(connection: &Connection) -> Outcome<i64> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = (application, format, tables) == (0, 0, 0);
    if is_new || (application == APPLICATION && format > 0) {
        return Ok(format);
    }
    Err(StoreError::Corrupt("the file is another program's".to_owned()).into())
}

/// Brings a file forward by those of `steps` that it has not seen, in one transaction.
pub(super) fn migrate(connection: &Connection, steps: &[&str]) -> Outcome<()> {
    let (found, known) = (found(connection)?, format(steps));
    if found > known {
        return Err(StoreError::TooNew { found, known }.into());
    }
    if found == known {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let taken = usize::try_from(found).unwrap_or(usize::MAX);
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {known}; COMMIT");
    let mut todo = steps.iter().skip(taken).copied().chain([marks.as_str()]);
    let done = todo.try_for_each(|sql| connection.execute_batch(sql));
    if done.is_err() && !connection.is_autocommit() {
        // The first fault is the one to be told.
        let _ = connection.execute_batch("ROLLBACK");
    }
    Ok(done?)
}

/// What a route asks of a delivery besides.
const TO_2: &str = "ALTER TABLE deliveries ADD COLUMN terms TEXT;";

/// Whose turn it is, what receivers call their messages, when groups were told, and of which rule.
const TO_3: &str = "
ALTER TABLE deliveries ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN mark TEXT;
ALTER TABLE deliveries ADD COLUMN group_key TEXT;
DROP INDEX deliveries_open;
CREATE INDEX deliveries_open ON deliveries (receiver, level, turn, owed, ready) WHERE ready IS NOT NULL;
CREATE INDEX deliveries_lanes ON deliveries (receiver, level, tenant, rule, turn) WHERE ready IS NOT NULL;
DROP INDEX deliveries_tried;
CREATE INDEX deliveries_tried ON deliveries (receiver, tried_at, level, rule) WHERE tried_at IS NOT NULL;
CREATE INDEX deliveries_groups ON deliveries (receiver, group_key, state_at)
    WHERE group_key IS NOT NULL AND state = 'delivered';
";

/// Checkpoints in pieces, to which more are added. What was kept before is judged anew from the journal.
const TO_4: &str = "
DROP TABLE checkpoints;
CREATE TABLE checkpoints (
    tenant TEXT PRIMARY KEY REFERENCES tenants,
    seq INTEGER NOT NULL,
    generation TEXT NOT NULL,
    head BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint_pieces (
    tenant TEXT NOT NULL REFERENCES tenants,
    number INTEGER NOT NULL,
    piece BLOB NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT;
";

const TO_1: &str = "
CREATE TABLE tenants (
    tenant TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE texts (
    digest TEXT PRIMARY KEY,
    text BLOB NOT NULL
) STRICT;

CREATE TABLE journal (
    tenant TEXT NOT NULL REFERENCES tenants,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT;

CREATE TABLE lanes (
    tenant TEXT NOT NULL REFERENCES tenants,
    lane INTEGER NOT NULL,
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    PRIMARY KEY (tenant, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    tenant TEXT NOT NULL REFERENCES tenants,
    lane INTEGER NOT NULL,
    place TEXT NOT NULL,
    PRIMARY KEY (tenant, lane)
) STRICT;

CREATE TABLE checkpoints (
    tenant TEXT PRIMARY KEY REFERENCES tenants,
    seq INTEGER NOT NULL,
    generation TEXT NOT NULL,
    state BLOB NOT NULL
) STRICT;

CREATE TABLE alerts (
    tenant TEXT NOT NULL REFERENCES tenants,
    id BLOB NOT NULL,
    rule TEXT NOT NULL,
    level INTEGER NOT NULL,
    state TEXT NOT NULL,
    fired_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    first INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (tenant, fired_at DESC, id);
CREATE INDEX alerts_ended ON alerts (tenant, at) WHERE state IN ('closed', 'resolved');

CREATE TABLE revisions (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    alert BLOB NOT NULL,
    PRIMARY KEY (tenant, id, revision),
    FOREIGN KEY (tenant, id) REFERENCES alerts ON DELETE CASCADE
) STRICT;

CREATE TABLE deliveries (
    owed INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL REFERENCES tenants,
    id BLOB NOT NULL,
    receiver TEXT NOT NULL,
    rule TEXT NOT NULL,
    level INTEGER NOT NULL,
    alert BLOB,
    revision INTEGER,
    digest TEXT,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    waited INTEGER NOT NULL,
    plain INTEGER NOT NULL,
    held_by BLOB,
    last_reason TEXT,
    state TEXT NOT NULL,
    state_at INTEGER,
    state_reason TEXT,
    folded_into BLOB,
    -- When it is due or its lease is over; null once it is settled.
    ready INTEGER,
    -- When its last try began.
    tried_at INTEGER,
    UNIQUE (tenant, id),
    CHECK ((alert IS NULL) = (revision IS NULL) AND (alert IS NULL) = (digest IS NOT NULL))
) STRICT;
CREATE INDEX deliveries_open ON deliveries (receiver, level DESC, owed, ready) WHERE ready IS NOT NULL;
CREATE INDEX deliveries_next ON deliveries (receiver, ready) WHERE ready IS NOT NULL;
CREATE INDEX deliveries_tried ON deliveries (receiver, tried_at, level) WHERE tried_at IS NOT NULL;
CREATE INDEX deliveries_by_state ON deliveries (receiver, state);
CREATE INDEX deliveries_of_alert ON deliveries (tenant, alert) WHERE alert IS NOT NULL;
CREATE INDEX deliveries_held ON deliveries (tenant, held_by) WHERE held_by IS NOT NULL;
CREATE INDEX deliveries_settled ON deliveries (tenant, coalesce(state_at, created)) WHERE ready IS NULL;

CREATE TABLE tries (
    tenant TEXT NOT NULL,
    delivery BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT,
    PRIMARY KEY (tenant, delivery, number),
    FOREIGN KEY (tenant, delivery) REFERENCES deliveries (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE silences (
    tenant TEXT NOT NULL REFERENCES tenants,
    id BLOB NOT NULL,
    until INTEGER NOT NULL,
    silence TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    tenant TEXT NOT NULL REFERENCES tenants,
    number INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT;

CREATE TABLE counters (
    tenant TEXT NOT NULL REFERENCES tenants,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
";
