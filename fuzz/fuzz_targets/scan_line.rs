//! Whatever the bytes, scanning them ends; every slot is text within its batch; a line that makes a
//! row is JSON; and the quick walk reads what the exact reader reads.
//!
//! A space before a line sends it to the exact reader, which is the only way there from outside.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use larum::config::fields;
use larum::record::fact::Facts;
use larum::record::scan::{Origin, Scanner};
use larum::record::{Batch, Column, Columns, FieldName, Locator, Phase};
use libfuzzer_sys::fuzz_target;

/// The wanted fields: names with aliases, facts, addresses, paths, and what nobody knows.
const WANTED: [&str; 21] = [
    "user_name",
    "user",
    "public_ip",
    "network_rtt",
    "outcome",
    "failure_kind",
    "kind",
    "service",
    "device",
    "duration",
    "phase",
    "end_time",
    "machine_name",
    "failed_reason",
    "changed",
    "geo.country",
    "raw.colour",
    "raw.a.b",
    "raw.kind",
    "raw.a.b.c",
    "seat",
];

const MAPPING: &str = "seat: desk.id\noutcome: {from: status, values: {failed: failure}}\n";

/// Read once: what makes a scanner.
static PARTS: LazyLock<(Arc<Columns>, Arc<Facts>, Origin)> = LazyLock::new(|| {
    let mut columns = Columns::default();
    for name in WANTED {
        columns.want(&FieldName::declared(name));
    }
    let mapping = fields::read(Path::new("fields.yaml"), MAPPING.into()).0.expect("a good mapping");
    (columns.freeze(), Arc::new(Facts::default()), Origin::file(mapping))
});

/// One that remembers the keys of earlier inputs: what it learns may cost time and nothing else.
static SCANNER: LazyLock<Scanner> = LazyLock::new(scanner);

fn scanner() -> Scanner {
    let (columns, facts, origin) = &*PARTS;
    Scanner::new(columns.clone(), facts.clone(), origin.clone())
}

fuzz_target!(|bytes: &[u8]| {
    // A byte-order mark counts at 0 only, and a space before it would make it none.
    sound(&SCANNER.scan_bytes(bytes.to_vec(), Locator(0)));

    let fresh = scanner();
    let first = fresh.scan_bytes(bytes.to_vec(), Locator(1));
    sound(&first);
    let told = told(&first, |offset| offset);
    assert_eq!(told, self::told(&fresh.scan_bytes(bytes.to_vec(), Locator(1)), |offset| offset));
    assert_eq!(told, self::told(&SCANNER.scan_bytes(bytes.to_vec(), Locator(1)), |offset| offset));

    let mut spaced = Vec::with_capacity(bytes.len() + 16);
    // Where each line begins there, and here.
    let mut starts = Vec::new();
    let mut offset = 1;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        starts.push((1 + spaced.len() as u64, offset));
        offset += line.len() as u64;
        spaced.push(b' ');
        spaced.extend_from_slice(line);
    }
    let slow = fresh.scan_bytes(spaced, Locator(1));
    sound(&slow);
    let place = |offset: u64| {
        let line = starts.binary_search_by_key(&offset, |(there, _)| *there);
        starts[line.expect("a locator is a line's first byte")].1
    };
    assert_eq!(told, self::told(&slow, place));
});

/// Nothing points out of the batch, and what is JSON is.
fn sound(batch: &Batch) {
    assert_eq!(batch.slots.len(), batch.rows.len() * batch.columns.len());
    assert!(batch.read >= (batch.rows.len() + batch.faults.len()) as u64);
    for slot in batch.slots.iter().chain(batch.rows.iter().map(|row| &row.line)) {
        let (start, len) = (slot.start as usize, slot.len as usize);
        assert!(batch.text.get(start..start + len).is_some(), "{slot:?} of {} bytes", batch.text.len());
    }
    for row in &batch.rows {
        let (start, len) = (row.line.start as usize, row.line.len as usize);
        let line = &batch.text[start..start + len];
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok(), "no JSON: {line:?}");
    }
}

/// All that was read, with the places of lines put where they would be without spaces.
fn told(batch: &Batch, place: impl Fn(u64) -> u64) -> Vec<String> {
    let rows = batch.rows.iter().enumerate().map(|(number, row)| {
        let record = batch.record(number, row.only.unwrap_or(Phase::Start));
        let columns = u16::try_from(batch.columns.len()).expect("a few columns");
        let values: Vec<_> = (0..columns).map(|column| record.get(Column(column))).collect();
        let at = place(row.locator.0);
        let (id, times, only) = (row.id, (row.start, row.end), row.only);
        format!("{at} {id:?} {} {times:?} {only:?} {} {values:?}", row.version, row.open)
    });
    let faults = batch.faults.iter().map(|bad| format!("{} {:?}", place(bad.locator.0), bad.fault));
    rows.chain(faults).chain([batch.read.to_string()]).collect()
}
