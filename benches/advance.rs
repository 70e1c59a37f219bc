//! What judging a record costs, by verb: everything from rows to alerts, for a rule by user that
//! every record hits. And what it costs to keep many groups. Run with `cargo bench --bench advance`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::sync::{Arc, LazyLock};

use common::Feed;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use larum::engine::{Engine, Generation};

fn main() {
    divan::main();
}

/// Records made: about 25 a user, in a quarter of an hour.
const RECORDS: usize = 50_000;
/// Groups of the large engine.
const GROUPS: usize = 100_000;
/// Records of each group of the large engine.
const ROUNDS: usize = 2;
/// Runs measured.
const SAMPLES: u32 = 10;

static BLOCKS: LazyLock<Vec<String>> = LazyLock::new(|| common::blocks(RECORDS, false));
static CROWD: LazyLock<Vec<String>> = LazyLock::new(|| common::crowd(GROUPS, ROUNDS));

/// Rules by what they do. Each fires now and then.
const VERBS: [(&str, &str); 7] = [
    ("count", "count: {at_least: 10, within: 10m, by: [user]}"),
    (
        "having",
        "count:\n  at_least: 10\n  within: 10m\n  by: [user]\n  having:\n    machines: {distinct: machine_name, at_least: 5}\n    failures: {match: {outcome: failure}, at_least: 20%}",
    ),
    ("distinct", "distinct: {field: machine_name, at_least: 10, within: 10m, by: [user]}"),
    (
        "first_seen",
        "first_seen: {value: public_ip, by: [user], learn: {for: 5m, records: 5}, forget: 30d, same_net: {v4: 24, v6: 56}}",
    ),
    ("measure", "measure: {field: e2e_rtt, stat: median, above: 100, within: 10m, at_least: 5, by: [user]}"),
    (
        "script",
        "script:\n  by: [user]\n  keep: 5\n  when: |\n    history.filter(|r| r.e2e_rtt > 1.3 * r.network_rtt).len() >= 5",
    ),
    ("none", "cooldown: {for: 10m, by: [user]}"),
];

fn one_rule(verb: &str) -> Arc<Generation> {
    let (_, body) = VERBS.iter().find(|(name, _)| *name == verb).unwrap();
    common::generation(&[common::rule("bench", &format!("match: {{user_name|exists: true}}\n{body}"))])
}

fn many_groups() -> Arc<Generation> {
    let body = "match: {outcome: failure}\ncount: {at_least: 2, within: 1h, by: [user]}";
    common::generation(&[common::rule("bench", body)])
}

#[divan::bench(args = VERBS.map(|(name, _)| name), sample_count = SAMPLES, sample_size = 1)]
fn verb(bencher: Bencher, verb: &str) {
    run(bencher, &one_rule(verb), &BLOCKS, RECORDS);
}

/// Each user twice, the second time with an alert.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn count_by_100k_users(bencher: Bencher) {
    run(bencher, &many_groups(), &CROWD, GROUPS * ROUNDS);
}

fn run(bencher: Bencher, generation: &Arc<Generation>, blocks: &[String], records: usize) {
    let batches = common::batches(generation, blocks);
    let judge = |mut feed: Feed| {
        for batch in &batches {
            feed.take(batch);
        }
        feed.end();
        feed
    };
    let start = || Feed::new(common::engine(generation));
    assert!(judge(start()).drafts > 0, "a rule that never fires shows little");
    bencher.counter(ItemsCount::new(records)).with_inputs(start).bench_local_values(judge);
}

/// An engine with as many groups, half of its records taken in.
fn large() -> (Arc<Generation>, Engine) {
    let generation = many_groups();
    let mut feed = Feed::new(common::engine(&generation));
    for batch in common::batches(&generation, &CROWD) {
        feed.take(&batch);
    }
    feed.end();
    let rule = generation.programs.list[0].rule.id();
    assert_eq!(feed.engine.groups(rule), GROUPS);
    (generation.clone(), feed.engine)
}

/// Items are groups, bytes the snapshot's.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn snapshot_of_100k_groups(bencher: Bencher) {
    let (_, engine) = large();
    bencher
        .counter(ItemsCount::new(GROUPS))
        .counter(BytesCount::new(engine.snapshot().unwrap().bytes()))
        .bench_local(|| engine.snapshot().unwrap());
}

/// Items are groups, bytes the snapshot's.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn restore_of_100k_groups(bencher: Bencher) {
    let (generation, engine) = large();
    let snapshot = engine.snapshot().unwrap();
    bencher
        .counter(ItemsCount::new(GROUPS))
        .counter(BytesCount::new(snapshot.bytes()))
        .bench_local(|| Engine::restore(generation.clone(), "default", &snapshot.pieces).unwrap());
}
