//! Rows of pages, as far as a walk must know them: identity, version, times, whether they may change.
//!
//! The record's own scanner says what they are, so that polling and judging never differ about it.

use std::collections::HashMap;
use std::sync::Arc;

use super::known::{Found, Known};
use super::place::KEPT;
use super::walk::{Read, Walk};
use crate::record::fact::Facts;
use crate::record::scan::{Endpoint, Origin, Scanner};
use crate::record::{Column, Columns, Locator, Millis, Phase, RowId, Timestamp};

/// How far ahead of now a row may be dated.
const AHEAD: Millis = Millis::mins(5);

/// Reads the rows of one endpoint.
#[derive(Debug)]
pub(super) struct Reader {
    scanner: Scanner,
    /// The column that tells whether a row has a key.
    key: Column,
    /// Pages that were read.
    pages: u64,
}

impl Reader {
    pub fn new(origin: Origin) -> Self {
        let mut columns = Columns::default();
        let key = columns.want_known(match origin.endpoint {
            Some(Endpoint::DesktopLogins) => "transaction_id",
            Some(Endpoint::UserEvents) => "raw.event_trace_id",
            Some(Endpoint::AppLogins | Endpoint::AppLaunches | Endpoint::Sessions) | None => "id",
        });
        let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), origin);
        Self { scanner, key, pages: 0 }
    }

    /// What the rows of a page are. A row that makes no record is given too: it is quarantined, not lost.
    pub fn read(&mut self, rows: Vec<String>, walk: &mut Walk, known: &Known, date: Timestamp) -> Vec<Read> {
        self.pages += 1;
        let mut block = String::with_capacity(rows.iter().map(|row| row.len() + 1).sum());
        // Not at the beginning of a file: a mark there is no mark here.
        let base = Locator(1);
        let mut places = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            places.insert(base.0 + block.len() as u64, number);
            block.push_str(row);
            block.push('\n');
        }
        let batch = self.scanner.scan(block, base);
        let mut records: Vec<Option<usize>> = vec![None; rows.len()];
        for (record, row) in batch.rows.iter().enumerate() {
            if let Some(number) = places.get(&row.locator.0) {
                records[*number] = Some(record);
            }
        }
        let id_of = |line: &str, record: Option<usize>| {
            record.map_or_else(|| digest(line), |record| batch.rows[record].id)
        };
        let ids: Vec<RowId> = rows.iter().zip(&records).map(|(line, record)| id_of(line, *record)).collect();
        // The last row of the page before was given with it.
        let lap = walk.lap(&ids);
        let mut nths: HashMap<RowId, u32> = HashMap::new();
        let mut read = Vec::with_capacity(rows.len());
        for (line, record) in rows.into_iter().zip(records).skip(lap) {
            let row = record.map(|record| (&batch.rows[record], batch.record(record, Phase::Start)));
            let (id, version, (start, end), open, keyed) = match row {
                Some((row, record)) => {
                    let keyed = record.get(self.key).text().is_some_and(|key| !key.is_empty());
                    (row.id, row.version, (row.start, row.end), row.open && row.start + KEPT > date, keyed)
                }
                None => (digest(&line), 0, (date, Some(Timestamp::MIN)), false, true),
            };
            let nth = nths.entry(id).or_default();
            let before = if keyed { 0 } else { walk.count_like(id, version) };
            let line = (!known.is_old(id, version, before)).then_some(line);
            let found = Found { id, version, start, end, open, keyed, page: self.pages, line };
            read.push(Read { found, nth: *nth, ahead: start > date + AHEAD });
            *nth += 1;
        }
        read
    }
}

/// The identity of a row that makes no record: its bytes.
fn digest(line: &str) -> RowId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(line.as_bytes()).as_bytes()[..16]);
    RowId(id)
}
