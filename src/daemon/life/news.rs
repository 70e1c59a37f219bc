//! What of a reading is news: rows that are new, or say something else than when they were read last.
//!
//! Only news is journaled. What is left out would change nothing if it were taken in; nothing
//! changes by asking.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::engine::{SourceId, seen};
use crate::record::{Batch, Locator, Millis, RecordId, Row, Timestamp};
use crate::store::Quarantined;

use super::{Halt, Life, MAX_ROWS, OFFSET_BITS, faulty_digest, number_twins, offset, quarantined};

/// The rows of one entry to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portion {
    /// Rows, each ended by a line feed; at most [`MAX_ROWS`] bytes.
    pub rows: String,
    /// Of equal rows: (number of the line, the first being 0, which twin it is).
    pub twins: Vec<(u32, u32)>,
    lines: u32,
}

/// What is news in a reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Rows to journal, in order. None where there is no news.
    pub portions: Vec<Portion>,
    /// What the rows are.
    pub rows: seen::Tally,
    /// Codes of failures that nobody has given a kind, and how many new rows have each.
    pub unmapped: BTreeMap<String, u64>,
    /// Event time of the newest row that was read.
    pub newest: Option<Timestamp>,
    /// Rows that make no record and are too long to be journaled; they are quarantined here, and
    /// again whenever they are read. Shorter ones are journaled and quarantined with their entry.
    pub quarantined: Vec<Quarantined>,
}

/// Rows of a lane that is read apart, as far as they may soon be read again. A restart forgets them:
/// then some are journaled once more, which changes nothing.
#[derive(Debug, Default)]
pub(super) struct Recent {
    rows: HashMap<RecordId, (u64, Timestamp)>,
    newest: Option<Timestamp>,
    /// How many there may be before they are looked through.
    most: usize,
}

/// How long before the newest row a row may be and come again soon.
const RECENT: Millis = Millis::hours(6);

impl Recent {
    /// Notes rows that are journaled.
    pub(super) fn note(&mut self, batch: &Batch) {
        for row in &batch.rows {
            self.newest = self.newest.max(Some(row.start));
            self.rows.insert(seen::key(row), (row.version, row.start));
        }
        if self.rows.len() > self.most {
            let after = self.newest.unwrap_or(Timestamp::MIN) - RECENT;
            self.rows.retain(|_, (_, start)| *start > after);
            self.most = (2 * self.rows.len()).max(1_024);
        }
    }

    /// The version of `row` that was read last; none if it is not among them.
    fn version(&self, row: &Row) -> Option<u64> {
        self.rows.get(&seen::key(row)).map(|(version, _)| *version)
    }
}

/// What becomes of a line.
enum Line {
    News,
    Known,
    TooLong,
}

impl Life {
    /// What of `rows`, read from `lane` at `at` by the daemon's clock, is news after the last entry.
    pub fn news(
        &self,
        lane: SourceId,
        rows: &str,
        twins: &[(u32, u32)],
        at: Timestamp,
    ) -> Result<News, Halt> {
        let seq = self.seq.map_or(1, |seq| seq + 1);
        let Some(reader) = self.lanes.get(&lane) else { return Err(Halt::UnknownLane { seq, lane }) };
        let base = Locator(1 << OFFSET_BITS);
        let mut batch = reader.scanner.scan(rows.to_owned(), base);
        number_twins(&mut batch, rows, base, twins);
        let mut news = News::default();
        let mut lines: HashMap<usize, Line> = HashMap::with_capacity(batch.rows.len());
        let mut read = HashMap::new();
        for row in &batch.rows {
            let key = seen::key(row);
            let known = read
                .insert(key, row.version)
                .or_else(|| reader.recent.version(row))
                .or_else(|| self.engine.version(row));
            let (count, line) = match known {
                None => (&mut news.rows.new, Line::News),
                Some(version) if version == row.version => (&mut news.rows.unchanged, Line::Known),
                Some(_) => (&mut news.rows.amended, Line::News),
            };
            *count += 1;
            news.newest = news.newest.max(Some(row.start));
            lines.insert(offset(row.locator, base), line);
        }
        let mut faulty = HashSet::new();
        for fault in &batch.faults {
            let text = super::line_at(rows, offset(fault.locator, base));
            let digest = faulty_digest(lane, text);
            let line = if self.faulty.contains(&digest) || !faulty.insert(digest) {
                Line::Known
            } else if text.len() >= MAX_ROWS {
                news.quarantined.push(quarantined(lane, at, fault));
                Line::TooLong
            } else {
                Line::News
            };
            lines.insert(offset(fault.locator, base), line);
        }
        news.gather(rows, twins, &lines);
        for portion in &news.portions {
            reader.codes.count(&portion.rows, &mut news.unmapped);
        }
        Ok(news)
    }
}

impl News {
    /// Puts the lines that are news together, in portions that an entry can hold.
    fn gather(&mut self, rows: &str, twins: &[(u32, u32)], lines: &HashMap<usize, Line>) {
        let twins: HashMap<u32, u32> = twins.iter().copied().collect();
        let mut at = 0;
        for (number, line) in (0_u32..).zip(rows.split_inclusive('\n')) {
            if let Some(Line::News) = lines.get(&at) {
                let text = line.trim_end_matches('\n');
                let full = |portion: &Portion| portion.rows.len() + text.len() + 1 > MAX_ROWS;
                if self.portions.last().is_none_or(full) {
                    self.portions.push(Portion::default());
                }
                if let Some(portion) = self.portions.last_mut() {
                    portion.twins.extend(twins.get(&number).map(|twin| (portion.lines, *twin)));
                    portion.rows.push_str(text);
                    portion.rows.push('\n');
                    portion.lines += 1;
                }
            }
            at += line.len();
        }
    }
}
