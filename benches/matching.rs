//! What it costs to find the rules that a record hits, by number of rules and by their shape: rules
//! that a record does not touch cost nothing. Items are rows: most of them make two records, of their
//! start and of their end, and both are looked at. Run with `cargo bench --bench matching`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use divan::Bencher;
use divan::counter::ItemsCount;
use larum::engine::Scratch;

fn main() {
    divan::main();
}

/// Records made.
const RECORDS: usize = 10_000;
/// Batches measured, of those made.
const SAMPLES: u32 = 300;
/// Rules of one shape.
const RULES: usize = 1_000;

/// What a rule looks at. None of them counts: all there is to them is the match.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// One user of those there are: a record touches the rule of its own user.
    Equality,
    /// A user who never comes.
    Stranger,
    /// A part of a value that every record has.
    Contains,
    /// A network.
    Cidr,
    /// A bound of a number; one record in two hundred is beyond some of them.
    Compare,
    /// All failures but those of a name; there is no failure of any other.
    Negation,
}

use Shape::{Cidr, Compare, Contains, Equality, Negation, Stranger};

/// A rule file of this shape, like no other.
fn rule(shape: Shape, number: usize) -> String {
    let user = number as u64 % common::USERS;
    let body = match shape {
        Equality => format!("match: {{user_name: {}}}", common::user_name(user)),
        Stranger => format!("match: {{user_name: stranger.{number}}}"),
        Contains => format!("match: {{client_type|contains: os{number}}}"),
        Cidr => format!("match: {{public_ip|cidr: 100.{}.{}.0/24}}", number / 256, number % 256),
        Compare => format!("match: {{e2e_rtt|gte: {}}}", 500 + number),
        Negation => format!(
            "match:\n  failed: {{outcome: failure}}\n  named: {{user_name|contains: [., x{number}]}}\n  condition: failed and not named"
        ),
    };
    common::rule(&format!("rule-{number}"), &body)
}

/// So many rules, every fifth of one shape.
#[divan::bench(args = [1, 10, 100, 1_000], sample_count = SAMPLES, sample_size = 1)]
fn mixed(bencher: Bencher, rules: usize) {
    let shapes = [Equality, Contains, Cidr, Compare, Negation];
    let rules: Vec<String> = (0..rules).map(|number| rule(shapes[number % shapes.len()], number)).collect();
    run(bencher, &rules);
}

/// So many rules that no record touches.
#[divan::bench(args = [1, 10, 100, 1_000, 10_000], sample_count = SAMPLES, sample_size = 1)]
fn strangers(bencher: Bencher, rules: usize) {
    let rules: Vec<String> = (0..rules).map(|number| rule(Stranger, number)).collect();
    run(bencher, &rules);
}

/// A thousand rules of one shape.
#[divan::bench(args = [Equality, Contains, Cidr, Compare, Negation], sample_count = SAMPLES, sample_size = 1)]
fn thousand(bencher: Bencher, shape: Shape) {
    let rules: Vec<String> = (0..RULES).map(|number| rule(shape, number)).collect();
    run(bencher, &rules);
}

fn run(bencher: Bencher, rules: &[String]) {
    let generation = common::generation(rules);
    let mut engine = common::engine(&generation);
    let batches = common::batches(&generation, &common::blocks(RECORDS, false));
    let mut batches: Vec<_> = batches.into_iter().map(|batch| (engine.take_in(&batch), batch)).collect();
    // The last one is shorter: how long it takes says nothing beside the others.
    batches.pop();
    let (mut batches, mut scratch) = (batches.iter().cycle(), Scratch::default());
    bencher
        .with_inputs(|| batches.next().unwrap())
        .input_counter(|(_, batch)| ItemsCount::new(batch.rows.len()))
        .bench_local_values(|(fresh, batch)| engine.scan(batch, fresh, &mut scratch));
}
