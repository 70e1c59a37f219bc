//! What independent engines agree on: documents, events, verdicts.

use serde_json::Value;

use super::fires;
use crate::real::lines;

#[test]
fn every_verdict_that_engines_agree_on_is_ours() {
    let Some(lines) = lines("sigma-dev.jsonl") else { return };
    let (mut right, mut wrong) = (0, Vec::new());
    for line in &lines {
        let case: Value = serde_json::from_str(line).unwrap();
        let said = fires(case["rule"].as_str().unwrap(), &case["event"].to_string());
        if case["expected"] == said {
            right += 1;
        } else {
            wrong.push(case["id"].to_string());
        }
    }
    assert_eq!((right, &*wrong), (210, &[][..]));
}
