//! Rows by the ten thousand: how long they are remembered, and that what is written down in between is that.

use std::sync::Arc;

use super::super::{CheckedRule, Engine, Generation, Limits, Scratch, SourceId};
use super::*;
use crate::record::fact::Facts;
use crate::record::scan::{Mapping, Origin, Scanner};
use crate::record::{Columns, Locator};
use crate::rule::decode::{Options, decode};

/// Time between two rows.
const APART: Millis = Millis(100);
/// Rows of a batch.
const ROWS: i64 = 125;
/// Batches there are: more than an hour.
const BATCHES: i64 = 320;
/// Every so many rows one ends late.
const ENDS_LATE: i64 = 50;
/// When that is, after it has begun.
const LATE_END: Millis = Millis::mins(40);
/// Every so many rows one stays open.
const STAYS_OPEN: i64 = 70;
/// Every so many rows one comes late.
const COMES_LATE: i64 = 330;
/// By how much.
const LATE: Millis = Millis::hours(2);
const BEGIN: Timestamp = Timestamp(1_767_603_600_000);

/// When row number `number` is read.
fn read(number: i64) -> Timestamp {
    BEGIN + Millis(APART.0 * number)
}

fn start(number: i64) -> Timestamp {
    if number % COMES_LATE == 1 { read(number) - LATE } else { read(number) }
}

fn end(number: i64) -> Option<Timestamp> {
    (number % ENDS_LATE == 0).then(|| start(number) + LATE_END)
}

/// Until when it has to be known.
fn known_until(number: i64) -> Timestamp {
    let end = if stays_open(number) { Some(read(number) + OPEN_ROWS_KEPT) } else { end(number) };
    read(number).max(end.unwrap_or(Timestamp::MIN)) + LOOKBACK
}

fn stays_open(number: i64) -> bool {
    number % STAYS_OPEN == 3 && end(number).is_none()
}

#[test]
fn rows_are_remembered_as_long_as_they_matter_and_not_much_longer_through_any_restart() {
    // Ends are wanted, and digests of fields.
    let rule = |phase: &str| {
        let text =
            format!("rule: {phase}s\ntitle: r\nlevel: low\nmatch: {{phase: {phase}, user_name: nobody}}\n");
        let (spec, mut problems) = decode("r.yaml", text.as_str(), &Options::default());
        CheckedRule::new(spec.unwrap(), &mut problems).unwrap()
    };
    let rules = vec![rule("end"), rule("amended")];
    let generation = Arc::new(Generation::new(rules, Columns::default(), Limits::default()));
    let scanner = Scanner::new(
        generation.columns.clone(),
        Arc::new(Facts::default()),
        Origin::file(Mapping::default()),
    );
    let mut engine = Engine::new(generation.clone(), "acme");
    let (mut batches, mut pieces, mut parts) = (Vec::new(), Vec::new(), 0);
    for first in (0..BATCHES).map(|batch| batch * ROWS) {
        let line = |number: i64| {
            let end = end(number).map(|end| format!(r#","end_time":"{end}""#)).unwrap_or_default();
            let outcome = if stays_open(number) { "success" } else { "failure" };
            let start = start(number);
            format!(r#"{{"id":"{number}","kind":"login","outcome":"{outcome}","start_time":"{start}"{end}}}"#)
                + "\n"
        };
        let batch = scanner.scan((first..first + ROWS).map(line).collect(), Locator(0));
        assert_eq!(batch.rows.len(), usize::try_from(ROWS).unwrap());
        let fresh = engine.take_in(&batch);
        let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
        engine.advance(&batch, hits);
        batches.push(batch);
        let now = read(first + ROWS - 1);
        engine.progress(SourceId(0), now, now);
        let checkpoint = engine.checkpoint().unwrap();
        if checkpoint.whole {
            pieces.clear();
        } else {
            parts += 1;
        }
        pieces.extend(checkpoint.pieces);
        // Those that matter for as long as rows are remembered and an eighth of that, those that end late or stay
        // open, each perhaps twice that long, and what shares a chunk with them.
        let stay = 2 * LATE_END.0 / APART.0 / ENDS_LATE + (first + ROWS) / STAYS_OPEN;
        let most = LOOKBACK.0 / APART.0 * 9 / 8 + stay + 2 * 4_096;
        assert!(engine.seen.len() <= usize::try_from(most).unwrap(), "{} rows", engine.seen.len());
        if first % (29 * ROWS) != 0 {
            continue;
        }
        let restored = Engine::restore(generation.clone(), "acme", &pieces).unwrap();
        for (number, row) in (0..).zip(batches.iter().flat_map(|batch| &batch.rows)) {
            let known = engine.seen.version(row);
            assert_eq!(restored.seen.version(row), known);
            if known_until(number) > now {
                assert_eq!(known, Some(row.version), "row {number} at {now}");
            }
            if known_until(number) + LOOKBACK + LOOKBACK < now {
                assert_eq!(known, None, "row {number} at {now}");
            }
        }
        let told = |seen: &SeenRows| {
            let lists = seen.rows.lists(0).flat_map(|(_, _, rows)| rows);
            let fields = |key: &Key| seen.more.get(key).and_then(|more| more.fields.clone());
            let mut told: Vec<_> = lists.map(|row| (row.key, row.lasts, fields(&row.key))).collect();
            told.sort_unstable();
            told
        };
        assert_eq!(told(&restored.seen), told(&engine.seen));
        assert!(told(&engine.seen).iter().all(|(_, _, fields)| fields.is_some()));
        // Nothing is remembered besides of a row that is not.
        assert!(engine.seen.more.keys().all(|key| engine.seen.rows.find(*key).is_some()));
    }
    assert!(parts > 3 * BATCHES / 4, "{parts} checkpoints were of what changed");
}
