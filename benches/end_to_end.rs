//! What a record costs from text to alert under three shipped rules, on one thread, beside the floor
//! on the same text. Run with `cargo bench --bench end_to_end`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use common::Feed;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use larum::record::Locator;

fn main() {
    divan::main();
}

/// Records made: a quarter of an hour.
const RECORDS: usize = 50_000;
/// Runs measured, each over all records.
const SAMPLES: u32 = 30;

const RULES: [&str; 3] = [
    include_str!("../rules/identity/failure-burst.yaml"),
    include_str!("../rules/identity/unusual-public-ip.yaml"),
    include_str!("../rules/operations/very-slow-sign-in.yaml"),
];

#[divan::bench(args = [false, true], sample_count = SAMPLES, sample_size = 1)]
fn floor(bencher: Bencher, rough: bool) {
    let blocks = common::blocks(RECORDS, rough);
    let mut buffer = Vec::new();
    counted(bencher, &blocks).bench_local(|| {
        let mut failures = 0;
        for block in &blocks {
            read(block, &mut buffer);
            failures += common::floor(&buffer);
        }
        failures
    });
}

#[divan::bench(args = [false, true], sample_count = SAMPLES, sample_size = 1)]
fn larum(bencher: Bencher, rough: bool) {
    let blocks = common::blocks(RECORDS, rough);
    let generation = common::generation(&RULES);
    let scanner = common::scanner(generation.columns.clone());
    let mut buffer = Vec::new();
    counted(bencher, &blocks).with_inputs(|| Feed::new(common::engine(&generation))).bench_local_values(
        |mut feed| {
            let mut offset = 0;
            for block in &blocks {
                read(block, &mut buffer);
                let batch = scanner.scan_bytes(std::mem::take(&mut buffer), Locator(offset));
                offset += block.len() as u64;
                feed.take(&batch);
                buffer = batch.text.into_bytes();
            }
            feed.end();
            assert!(feed.drafts > 0, "rules that never fire show little");
            feed
        },
    );
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, blocks: &[String]) -> Bencher<'a, 'b> {
    bencher
        .counter(ItemsCount::new(RECORDS))
        .counter(BytesCount::new(blocks.iter().map(String::len).sum::<usize>()))
}

/// Stands for reading a file that is in memory: a copy into the one buffer.
fn read(block: &str, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.reserve(block.len() + common::ROOM);
    buffer.extend_from_slice(block.as_bytes());
}
