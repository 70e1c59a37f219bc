//! What reading a record costs, beside the floor: the same lines parsed whole by `sonic-rs` into
//! 28 borrowed fields. Run with `cargo bench --bench scan`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use larum::record::{Columns, FieldName, Locator};

fn main() {
    divan::main();
}

/// Records made.
const RECORDS: usize = 20_000;
/// Blocks measured, of those made: the first ones are for learning.
const SAMPLES: u32 = 3_000;

/// Every field of the generated records, those that rules want first.
const FIELDS: [&str; 28] = [
    "user_name",
    "public_ip",
    "start_time",
    "end_time",
    "failed_code",
    "failed_reason",
    "outcome",
    "client_type",
    "app_name",
    "network_rtt",
    "id",
    "record_type",
    "user_id",
    "domain",
    "department",
    "client_ip",
    "client_os",
    "client_version",
    "client_name",
    "machine_name",
    "machine_ip",
    "site",
    "pool",
    "protocol",
    "session_id",
    "e2e_rtt",
    "user_agent",
    "auth_method",
];

#[divan::bench(args = [false, true], sample_count = SAMPLES, sample_size = 1)]
fn floor(bencher: Bencher, rough: bool) {
    let blocks = common::blocks(RECORDS, rough);
    let mut blocks = blocks.iter().cycle();
    bencher
        .with_inputs(|| blocks.next().unwrap().as_bytes())
        .input_counter(|block| ItemsCount::new(common::lines(block)))
        .input_counter(|block| BytesCount::new(block.len()))
        .bench_local_values(common::floor);
}

#[divan::bench(args = [3, 10, 28], sample_count = SAMPLES, sample_size = 1)]
fn scan(bencher: Bencher, wanted: usize) {
    run(bencher, wanted, false);
}

#[divan::bench(args = [10], sample_count = SAMPLES, sample_size = 1)]
fn scan_rough(bencher: Bencher, wanted: usize) {
    run(bencher, wanted, true);
}

/// From bytes, as a file gives them: the check that they are text is part of the cost.
fn run(bencher: Bencher, wanted: usize, rough: bool) {
    let mut columns = Columns::default();
    for name in &FIELDS[..wanted] {
        columns.want(
            &FieldName::resolve(name).unwrap_or_else(|| FieldName::resolve(&format!("raw.{name}")).unwrap()),
        );
    }
    let scanner = common::scanner(columns.freeze());
    let blocks = common::blocks(RECORDS, rough);
    let mut blocks = blocks.iter().cycle();
    let copy = || {
        let block = blocks.next().unwrap();
        let mut bytes = Vec::with_capacity(block.len() + common::ROOM);
        bytes.extend_from_slice(block.as_bytes());
        bytes
    };
    bencher
        .with_inputs(copy)
        .input_counter(|block| ItemsCount::new(common::lines(block)))
        .input_counter(|block| BytesCount::new(block.len()))
        .bench_local_values(|block| scanner.scan_bytes(block, Locator(1)));
}
