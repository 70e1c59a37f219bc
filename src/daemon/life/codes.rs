//! Failures with a code that nobody has given a kind: an operator should hear of them, for rules that
//! ask for a kind do not see what they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::fact::{Facts, FailureKind, Outcome};
use crate::record::scan::{Origin, Scanner};
use crate::record::{Column, Columns, Locator, Phase};

/// Characters of a code that are kept: those of the vendor's have a dozen.
const MAX_CODE: usize = 64;
/// Codes of one reading; what is more is counted under none.
const MAX_CODES: usize = 64;

/// Looks for them in rows that are news.
#[derive(Debug)]
pub(super) struct Codes {
    scanner: Scanner,
    outcome: Column,
    kind: Column,
    code: Column,
}

impl Codes {
    pub(super) fn new(facts: Arc<Facts>, origin: Origin) -> Self {
        let mut columns = Columns::default();
        let [outcome, kind, code] =
            ["outcome", "failure_kind", "failed_code"].map(|name| columns.want_known(name));
        Self { scanner: Scanner::new(columns.freeze(), facts, origin), outcome, kind, code }
    }

    /// Counts the codes of `rows`.
    pub(super) fn count(&self, rows: &str, counts: &mut BTreeMap<String, u64>) {
        let batch = self.scanner.scan(rows.to_owned(), Locator(1));
        for row in 0..batch.rows.len() {
            let record = batch.record(row, Phase::Start);
            let failed = record.get(self.outcome).text() == Some(Outcome::Failure.as_str());
            let unknown = record.get(self.kind).text() == Some(FailureKind::Unknown.as_str());
            let code = record.get(self.code).text().map(str::trim).filter(|code| !code.is_empty());
            if let (true, true, Some(code)) = (failed, unknown, code) {
                let code: String = code.chars().take(MAX_CODE).collect();
                if counts.len() < MAX_CODES || counts.contains_key(&code) {
                    *counts.entry(code).or_default() += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_has_a_kind_is_not_counted() {
        let rows = [
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"WKS.4711"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"WKS.4711"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"6005"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"OURS"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"500","failed_reason":"wrong password"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_reason":"odd"}"#,
            r#"{"start_time":"2026-01-05T09:00:00Z","failed_code":"WKS.00000000"}"#,
            "no row",
        ];
        let facts = Facts::new(&[("OURS".to_owned(), FailureKind::Policy)], Vec::new());
        let mut counts = BTreeMap::new();
        Codes::new(Arc::new(facts), Origin::default()).count(&rows.join("\n"), &mut counts);
        assert_eq!(counts, BTreeMap::from([("WKS.4711".to_owned(), 2)]));
    }
}
