//! Sigma documents: what engines agree on, the decisions where they do not, and faults with their places.

mod agree;
mod agreed;
mod converted;
mod decisions;
mod naive;
mod sets;

use std::sync::Arc;

use larum::engine::{Compiled, Engine, Generation, GenerationText, RuleText, Scratch};
use larum::record::fact::Facts;
use larum::record::scan::{FieldMap, Mapping, Origin, Scanner};
use larum::record::{FieldName, Locator};

use super::world::SOURCE;

/// The key that gives a record its time where the test's own has none.
const TIME: &str = "larum_test_time";

/// A text of one file of documents and nothing else.
pub fn text(documents: &str) -> GenerationText {
    let file = RuleText { file: "test.yml".to_owned(), text: documents.to_owned() };
    GenerationText { sigma: vec![file], ..GenerationText::default() }
}

/// What `documents` compile to; none of them has a fault.
pub fn generation(documents: &str) -> Arc<Generation> {
    let Compiled { generation, problems, failed } = text(documents).compile();
    let told: String = problems
        .iter()
        .filter(|problems| problems.has_errors())
        .map(|problems| problems.render(false))
        .collect();
    assert!(told.is_empty() && failed.is_empty(), "{failed:?}\n{told}\n{documents}");
    generation
}

/// What is told of `documents`, one after another.
pub fn faults(documents: &str) -> String {
    text(documents).compile().problems.iter().map(|problems| problems.render(false)).collect()
}

/// The rules that fire for each of `lines`, by id.
pub fn fired(generation: &Arc<Generation>, lines: &[String]) -> Vec<Vec<String>> {
    let mapping = Mapping {
        fields: vec![FieldMap {
            field: FieldName::resolve("pre_conn_time").unwrap(),
            key: TIME.to_owned(),
            values: Vec::new(),
        }],
        time: None,
    };
    let facts = Arc::new(Facts::default());
    let scanner = Scanner::new(generation.columns.clone(), facts, Origin::file(mapping));
    let each = |(number, line): (usize, &String)| {
        let mut batch = scanner.scan(format!("{line}\n"), Locator(1));
        if !batch.faults.is_empty() {
            let (head, tail) = line.trim_end().rsplit_once('}').unwrap();
            let comma = if head.trim_end().ends_with('{') { "" } else { "," };
            let timed = format!("{head}{comma}\"{TIME}\":\"2026-01-05T09:00:00Z\"}}{tail}\n");
            batch = scanner.scan(timed, Locator(1));
        }
        assert!(batch.faults.is_empty(), "{number}: {:?}\n{line}", batch.faults);
        let mut engine = Engine::new(generation.clone(), "acme");
        engine.add_source(SOURCE, None);
        let fresh = engine.take_in(&batch);
        let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
        let outcome = engine.advance(&batch, hits);
        let mut ids: Vec<String> = outcome
            .drafts
            .iter()
            .filter_map(|draft| match draft {
                larum::alert::Draft::Fired(fired) => Some(fired.rule.to_string()),
                larum::alert::Draft::Changed(_) => None,
            })
            .collect();
        ids.sort();
        ids
    };
    lines.iter().enumerate().map(each).collect()
}

/// Whether the one rule of `documents` fires for `line`.
pub fn fires(documents: &str, line: &str) -> bool {
    !fired(&generation(documents), &[line.to_owned()])[0].is_empty()
}

/// A document with this `detection`.
pub fn document(detection: &str) -> String {
    let indented: String = detection.lines().map(|line| format!("  {line}\n")).collect();
    format!("title: test\nlogsource: {{product: test}}\ndetection:\n{indented}")
}
