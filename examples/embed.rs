//! The engine without commands, files or a daemon: a rule and records from text, alerts to stdout.
//!
//! `cargo run --example embed`

use std::error::Error;
use std::sync::Arc;

use larum::alert::Draft;
use larum::engine::{CheckedRule, Engine, Generation, Limits, Scratch, SourceId, tell};
use larum::record::describe::Describer;
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use larum::record::{Columns, Locator};
use larum::rule::decode::{Options, decode};

const RULE: &str = r#"
rule: three-failures
title: Three failures of one user
level: medium
match: {outcome: failure}
count: {at_least: 3, within: 5m, by: [user]}
alert:
  title: "{{ user }}: {{ count }} failed sign-ins"
  show: [public_ip]
"#;

const RECORDS: &str = r#"{"id":"1","user_name":"Ana","start_time":"2026-03-12T10:00:00Z","outcome":"failure","public_ip":"203.0.113.9"}
{"id":"2","user_name":"bob","start_time":"2026-03-12T10:00:30Z","outcome":"success","public_ip":"198.51.100.7"}
{"id":"3","user_name":"CORP\\ana","start_time":"2026-03-12T10:01:00Z","outcome":"failure","public_ip":"203.0.113.9"}
{"id":"4","user_name":"ana","start_time":"2026-03-12T10:02:00Z","outcome":"failure","public_ip":"203.0.113.10"}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // A rule: decoded, then checked. Whatever is wrong with it is in `problems`, ready to be shown.
    let (spec, mut problems) = decode("three-failures.yaml", RULE, &Options::default());
    let rule = spec.and_then(|spec| CheckedRule::new(spec, &mut problems));
    let rule = rule.ok_or_else(|| problems.render(false))?;

    // A generation is the rules in force; an engine judges the records of one tenant by them.
    let generation = Arc::new(Generation::new(vec![rule], Columns::default(), Limits::default()));
    let mut engine = Engine::new(generation.clone(), "default");
    let source = SourceId(0);
    engine.add_source(source, None);

    // Reading: text to rows, of which only the columns that the rules want are kept.
    let (facts, origin) = (Arc::new(Facts::default()), Origin::file(Mapping::default()));
    let scanner = Scanner::new(generation.columns.clone(), facts.clone(), origin.clone());
    let batch = scanner.scan(RECORDS.to_owned(), Locator(0));
    for bad in &batch.faults {
        eprintln!("no record: {}: {}", bad.fault, bad.excerpt);
    }

    // Judging: what is new, what it hits (this part may run in parallel), what comes of it in order.
    let fresh = engine.take_in(&batch);
    let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
    let mut drafts = engine.advance(&batch, hits).drafts;
    // Rules that count wait for the watermark. A live source moves it on with `progress`; text that is
    // at its end is finished, and its last record is as far as time goes.
    let last = batch.rows.iter().map(|row| row.start).max().ok_or("no records")?;
    drafts.extend(engine.finish(source, last).drafts);

    // Telling: a draft names its rows by locator, here the byte of `RECORDS` at which a line begins.
    let describer = Describer::new(facts, origin);
    for draft in &drafts {
        let Draft::Fired(fired) = draft else { continue };
        let rows = fired.sights.iter().map(|sight| {
            let line = RECORDS.get(usize::try_from(sight.locator.0).ok()?..)?.lines().next()?;
            describer.describe(line, sight.phase)
        });
        let alert = tell::alert(&generation, fired, &rows.collect::<Vec<_>>());
        println!("{} {} {}: {}", alert.at, alert.level, alert.rule, alert.title);
        println!("{}", serde_json::to_string(&alert.show)?);
    }
    Ok(())
}
