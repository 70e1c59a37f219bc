//! The journal and what follows it closely: texts, lanes, cursors, the checkpoint.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{Outcome, corrupt, refused};
use super::pack;
use crate::engine::SourceId;
use crate::record::Timestamp;
use crate::record::scan::Origin;
use crate::store::{Checkpoint, Cursor, Entry, Event, Lane};

/// What an entry counts for in a chunk besides its rows.
const ENTRY_OVERHEAD: usize = 64;

/// Adds an entry, whose number must be the next one.
pub(super) fn append(connection: &Connection, tenant: &str, entry: &Entry) -> Outcome<()> {
    let last = span(connection, tenant)?.map_or(0, |(_, last)| last);
    if Some(entry.seq) != last.checked_add(1) {
        return Err(refused(format!("entry {} cannot follow entry {last} of the journal", entry.seq)));
    }
    let sql = "INSERT INTO journal (tenant, seq, at, event) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![tenant, entry.seq, entry.at.0, pack::value(&entry.event)?])?;
    match &entry.event {
        Event::Known(lane) | Event::Joined(lane) => keep_lane(connection, tenant, lane),
        Event::Generation { .. }
        | Event::Adopted { .. }
        | Event::Left { .. }
        | Event::Gone { .. }
        | Event::Read { .. }
        | Event::Placed { .. } => Ok(()),
    }
}

/// Entries after `after` until they are as long as `bytes`; at least one if there is one.
pub(super) fn after(connection: &Connection, tenant: &str, after: u64, bytes: usize) -> Outcome<Vec<Entry>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let sql = "SELECT seq, at, event FROM journal WHERE tenant = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![tenant, after])?;
    let (mut entries, mut taken) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let len = pack::len(row.get_ref(2)?.as_blob().unwrap_or_default()).saturating_add(ENTRY_OVERHEAD);
        taken = taken.saturating_add(len);
        if !entries.is_empty() && taken > bytes {
            break;
        }
        entries.push(entry(row)?);
    }
    Ok(entries)
}

/// Those entries of `seqs` that are kept, each once.
pub(super) fn at(connection: &Connection, tenant: &str, mut seqs: Vec<u64>) -> Outcome<Vec<Entry>> {
    seqs.sort_unstable();
    seqs.dedup();
    let sql = "SELECT seq, at, event FROM journal WHERE tenant = ?1 AND seq = ?2";
    let mut statement = connection.prepare(sql)?;
    let mut entries = Vec::new();
    for seq in seqs.into_iter().filter_map(|seq| i64::try_from(seq).ok()) {
        let mut rows = statement.query(params![tenant, seq])?;
        if let Some(row) = rows.next()? {
            entries.push(entry(row)?);
        }
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Outcome<Entry> {
    let seq = row.get(0)?;
    let event = pack::read(row.get_ref(2)?.as_blob().unwrap_or_default(), &format!("journal entry {seq}"))?;
    Ok(Entry { seq, at: Timestamp(row.get(1)?), event })
}

/// Numbers of the first and the last entry.
pub(super) fn span(connection: &Connection, tenant: &str) -> Outcome<Option<(u64, u64)>> {
    // Two sub-queries, so that each is one step in the index.
    let sql = "SELECT (SELECT min(seq) FROM journal WHERE tenant = ?1),
                      (SELECT max(seq) FROM journal WHERE tenant = ?1)";
    let span: (Option<u64>, Option<u64>) =
        connection.query_row(sql, [tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(span.0.zip(span.1))
}

/// Keeps a text.
pub(super) fn keep_text(connection: &Connection, digest: &str, text: &str) -> Outcome<()> {
    let known = "SELECT 1 FROM texts WHERE digest = ?1";
    if !connection.prepare(known)?.exists([digest])? {
        let sql = "INSERT INTO texts (digest, text) VALUES (?1, ?2)";
        connection.execute(sql, params![digest, pack::bytes(text.as_bytes())?])?;
    }
    Ok(())
}

/// The text with this digest.
pub(super) fn text(connection: &Connection, digest: &str) -> Outcome<Option<String>> {
    let sql = "SELECT text FROM texts WHERE digest = ?1";
    let packed: Option<Vec<u8>> = connection.query_row(sql, [digest], |row| row.get(0)).optional()?;
    let Some(packed) = packed else { return Ok(None) };
    let what = "a text of a generation";
    let text = String::from_utf8(pack::read_bytes(&packed, what)?);
    text.map(Some).map_err(|error| corrupt(format!("{what}: {error}")))
}

/// Lanes are remembered beyond the entries that name them.
fn keep_lane(connection: &Connection, tenant: &str, lane: &Lane) -> Outcome<()> {
    let origin = serde_json::to_string(&lane.origin);
    let origin = origin.map_err(|error| refused(format!("cannot encode lane `{}`: {error}", lane.name)))?;
    let sql = "INSERT INTO lanes (tenant, lane, name, origin) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET name = excluded.name, origin = excluded.origin";
    connection.execute(sql, params![tenant, lane.id.0, lane.name, origin])?;
    Ok(())
}

/// Every lane, by number.
pub(super) fn lanes(connection: &Connection, tenant: &str) -> Outcome<Vec<Lane>> {
    let sql = "SELECT lane, name, origin FROM lanes WHERE tenant = ?1 ORDER BY lane";
    let mut statement = connection.prepare(sql)?;
    let lanes = statement.query_and_then([tenant], |row| {
        let (id, origin): (u16, String) = (row.get(0)?, row.get(2)?);
        let origin: Result<Origin, _> = serde_json::from_str(&origin);
        let origin = origin.map_err(|error| corrupt(format!("lane {id}: {error}")))?;
        Ok(Lane { id: SourceId(id), name: row.get(1)?, origin })
    })?;
    lanes.collect()
}

/// Replaces a cursor.
pub(super) fn move_cursor(connection: &Connection, tenant: &str, cursor: &Cursor) -> Outcome<()> {
    let sql = "INSERT INTO cursors (tenant, lane, place) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET place = excluded.place";
    connection.execute(sql, params![tenant, cursor.lane.0, cursor.place])?;
    Ok(())
}

/// Every cursor, by lane.
pub(super) fn cursors(connection: &Connection, tenant: &str) -> Outcome<Vec<Cursor>> {
    let sql = "SELECT lane, place FROM cursors WHERE tenant = ?1 ORDER BY lane";
    let mut statement = connection.prepare(sql)?;
    let cursors = statement
        .query_and_then([tenant], |row| Ok(Cursor { lane: SourceId(row.get(0)?), place: row.get(1)? }))?;
    cursors.collect()
}

/// Replaces the checkpoint, or adds what changed since.
pub(super) fn keep_checkpoint(connection: &Connection, tenant: &str, checkpoint: &Checkpoint) -> Outcome<()> {
    let Checkpoint { seq, generation, head, whole, pieces } = checkpoint;
    if *whole {
        connection.execute("DELETE FROM checkpoint_pieces WHERE tenant = ?1", [tenant])?;
    } else {
        let sql = "SELECT 1 FROM checkpoints WHERE tenant = ?1 AND generation = ?2 AND seq <= ?3";
        if !connection.prepare(sql)?.exists(params![tenant, generation, seq])? {
            return Err(refused(format!("what changed up to entry {seq} follows no checkpoint")));
        }
    }
    let sql = "INSERT INTO checkpoints (tenant, seq, generation, head) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET seq = excluded.seq, generation = excluded.generation,
                                         head = excluded.head";
    connection.execute(sql, params![tenant, seq, generation, pack::bytes(head)?])?;
    let sql = "SELECT coalesce(max(number), 0) FROM checkpoint_pieces WHERE tenant = ?1";
    let last: i64 = connection.query_row(sql, [tenant], |row| row.get(0))?;
    let sql = "INSERT INTO checkpoint_pieces (tenant, number, piece) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare(sql)?;
    for (piece, number) in pieces.iter().zip(last + 1..) {
        statement.execute(params![tenant, number, pack::bytes(piece)?])?;
    }
    Ok(())
}

/// The checkpoint, with all that was added to it.
pub(super) fn checkpoint(connection: &Connection, tenant: &str) -> Outcome<Option<Checkpoint>> {
    let sql = "SELECT seq, generation, head FROM checkpoints WHERE tenant = ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([tenant])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let head = pack::read_bytes(row.get_ref(2)?.as_blob().unwrap_or_default(), "the checkpoint")?;
    let sql = "SELECT piece FROM checkpoint_pieces WHERE tenant = ?1 ORDER BY number";
    let mut statement = connection.prepare(sql)?;
    let pieces = statement.query_and_then([tenant], |row| {
        pack::read_bytes(row.get_ref(0)?.as_blob().unwrap_or_default(), "the checkpoint")
    })?;
    let pieces = pieces.collect::<Outcome<_>>()?;
    Ok(Some(Checkpoint { seq: row.get(0)?, generation: row.get(1)?, head, whole: true, pieces }))
}

/// Forgets entries up to `seq`, but none that the checkpoint has not taken in, and never the last
/// one: its number is the next one's measure.
pub(super) fn forget(connection: &Connection, tenant: &str, seq: u64) -> Outcome<()> {
    let sql = "SELECT seq FROM checkpoints WHERE tenant = ?1";
    let taken_in: u64 = connection.query_row(sql, [tenant], |row| row.get(0)).optional()?.unwrap_or(0);
    let last = span(connection, tenant)?.map_or(0, |(_, last)| last);
    let upto = seq.min(taken_in).min(last.saturating_sub(1));
    connection.execute("DELETE FROM journal WHERE tenant = ?1 AND seq <= ?2", params![tenant, upto])?;
    Ok(())
}
