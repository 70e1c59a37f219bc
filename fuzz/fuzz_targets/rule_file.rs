//! Whatever the text, a rule file is decoded or refused with places inside it; what is accepted
//! compiles, and judges records.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use larum::config::fields;
use larum::engine::{CheckedRule, Engine, Generation, Limits, Scratch, SourceId};
use larum::record::fact::Facts;
use larum::record::scan::{Origin, Scanner};
use larum::record::{Columns, Locator};
use larum::rule::decode::{Options, decode};
use larum::rule::problem::Problems;
use libfuzzer_sys::fuzz_target;

/// A failure, a success with everything, and what is left when nothing is given.
const RECORDS: &str = r#"{"id":"1","start_time":"2026-01-05T09:00:00Z","user_name":"CORP\\ana","public_ip":"203.0.113.9","status":"failed","failed_code":"6005","failed_reason":"timed out"}
{"id":"2","start_time":"2026-01-05T09:00:01Z","end_time":"2026-01-05T10:00:00Z","user_name":"ana","public_ip":"2001:db8::1","client_type":"Linux","machine_name":"VDI-1","network_rtt":12.5,"e2e_rtt":900,"app_name":"","colour":["red",{"b":1}]}
{"start_time":"2026-01-05T09:00:02Z"}
"#;

static DECLARED: LazyLock<[String; 1]> = LazyLock::new(|| ["seat".to_owned()]);

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let options = Options { declared: &*DECLARED, ..Options::default() };
    let (spec, mut problems) = decode("fuzz.yaml", &text, &options);
    inside(&problems);
    assert!(spec.is_some() || problems.has_errors(), "no rule and no reason");
    let broken = problems.has_errors();
    let rule = spec.and_then(|spec| CheckedRule::new(spec, &mut problems));
    inside(&problems);
    assert!(rule.is_some() || problems.has_errors(), "refused without a reason");
    problems.render(false);
    problems.render(true);
    problems.to_json();
    if let (Some(rule), false) = (rule, broken) {
        judge(rule);
    }
});

/// Every place is within the text, on whole characters.
fn inside(problems: &Problems) {
    for problem in problems.sorted() {
        let also = problem.also.iter().map(|(span, _)| span);
        for span in std::iter::once(&problem.span).chain(also) {
            assert!(problems.source.get(span.start..span.end).is_some(), "{span:?}: {}", problem.message);
        }
    }
}

fn judge(rule: CheckedRule) {
    let generation = Arc::new(Generation::new(vec![rule], Columns::default(), Limits::default()));
    let mut engine = Engine::new(generation.clone(), "fuzz");
    engine.add_source(SourceId(0), None);
    let mapping = fields::read(Path::new("fields.yaml"), "seat: desk.id".into()).0.expect("a good mapping");
    let scanner = Scanner::new(generation.columns.clone(), Arc::new(Facts::default()), Origin::file(mapping));
    let batch = scanner.scan(RECORDS.to_owned(), Locator(0));
    assert_eq!(batch.rows.len(), 3);
    let fresh = engine.take_in(&batch);
    let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
    engine.advance(&batch, hits);
    let last = batch.rows.iter().map(|row| row.start).max().expect("three rows");
    engine.finish(SourceId(0), last);
    let snapshot = engine.snapshot().unwrap();
    let restored = Engine::restore(generation, "fuzz", &snapshot).expect("its own snapshot");
    assert_eq!(restored.counters().collect::<Vec<_>>(), engine.counters().collect::<Vec<_>>());
}
