//! Whatever the text, Sigma documents load or are refused with places inside the file; what is accepted
//! compiles, judges records, and can be kept as text and restored.
#![no_main]

use std::sync::Arc;

use larum::engine::{Compiled, Engine, GenerationText, RuleText, Scratch, SourceId};
use larum::record::Locator;
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use larum::rule::lists::ListText;
use larum::rule::problem::Problems;
use libfuzzer_sys::fuzz_target;

/// A record with everything, a foreign one, and what is left when nothing is given.
const RECORDS: &str = r#"{"id":"2","start_time":"2026-01-05T09:00:01Z","end_time":"2026-01-05T10:00:00Z","user_name":"CORP\\ana","public_ip":"2001:db8::1","network_rtt":12.5,"colour":["red",{"b":1},null]}
{"UtcTime":"2025-10-24 23:36:29.110","EventID":11,"Image":"C:\\Windows\\cmd.exe","a":{"b":[{"c":"x"},{"c":["y",2]}]},"a.b":true,"f":null}
{"@timestamp":"1767603600"}
"#;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let list = ListText::new("names", "names.txt", "ana\nbob\n10.0.0.0/8\n");
    let file = RuleText { file: "fuzz.yml".to_owned(), text };
    let kept = GenerationText { sigma: vec![file], lists: vec![list], ..GenerationText::default() };
    let Compiled { generation, problems, failed } = kept.compile();
    problems.iter().for_each(inside);
    assert!(failed.is_empty() || problems.iter().any(Problems::has_errors), "refused without a reason");
    assert!(!generation.programs.list.is_empty() || !problems.is_empty(), "no rule and no reason");
    assert_eq!(GenerationText::from_json(&kept.json()).expect("its own text").sigma, kept.sigma);
    let mut engine = Engine::new(generation.clone(), "fuzz");
    engine.add_source(SourceId(0), None);
    let origin = Origin::file(Mapping::default());
    let scanner = Scanner::new(generation.columns.clone(), Arc::new(Facts::default()), origin);
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
});

/// Every place is within the text, on whole characters.
fn inside(problems: &Problems) {
    for problem in problems.sorted() {
        let also = problem.also.iter().map(|(span, _)| span);
        for span in std::iter::once(&problem.span).chain(also) {
            assert!(problems.source.get(span.start..span.end).is_some(), "{span:?}: {}", problem.message);
        }
    }
    problems.render(false);
    problems.render(true);
    problems.to_json();
}
