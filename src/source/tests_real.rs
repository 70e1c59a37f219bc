//! The real login records beside the repository, read as a replay reads them: how many rows each
//! file holds, how many become records, and why the others do not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Input, NowGuard};
use crate::record::fact::Facts;
use crate::record::scan::{Origin, Scanner};
use crate::record::{Batch, Columns, Locator, Phase, Value};

/// A file, its lines, its records, and its faults by reason.
type Expected = (&'static str, u64, usize, &'static [(&'static str, usize)]);

/// Lines, rows, and faults by reason, of every file without a fixed now.
///
/// Labels, expectations and test cases are no records and have no time of their own. Of the 69
/// vendor logins 32 have no time, and nothing confirms the lone one of 2026-02-18, more than four
/// months after the next newest.
const FILES: &[Expected] = &[
    ("cloudtrail.app-connection", 1_450, 1_450, &[]),
    ("cloudtrail.app-connection.labels", 1_450, 0, &[("no time", 1_450)]),
    ("elastic-sshd.expected", 937, 0, &[("no time", 937)]),
    ("elastic-sshd.user-connection", 925, 925, &[]),
    ("elastic-sshd.user-connection.labels", 925, 0, &[("no time", 925)]),
    ("rba.desktops", 1_000, 1_000, &[]),
    ("rba.desktops.labels", 1_000, 0, &[("no time", 1_000)]),
    ("rba.user-connection", 1_000, 1_000, &[]),
    ("rba.user-connection.labels", 1_000, 0, &[("no time", 1_000)]),
    // Cases and not records; one event has its time under a usual name.
    ("sigma-dev", 210, 1, &[("no time", 209)]),
    ("threshold-cases", 33, 0, &[("no time", 33)]),
    ("vendor-logins.user-connection", 69, 36, &[("dated 140d1h55m21s ahead of now", 1), ("no time", 32)]),
    ("vendor-logins.user-connection.labels", 69, 0, &[("no time", 69)]),
];

/// The folder of real records; none, said aloud, where it is not there.
#[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
fn data() -> Option<PathBuf> {
    let shared = std::env::var("LARUM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let data = Path::new(&shared).join("data");
    if data.is_dir() {
        return Some(data);
    }
    assert!(std::env::var("LARUM_CI").is_err(), "no real records at `{}`; set LARUM_SHARED", data.display());
    eprintln!("SKIPPED: no real records at `{}`; set LARUM_SHARED", data.display());
    None
}

/// Reads a file whole: lines, admitted batches, faults by reason.
fn read(file: &Path, wanted: &[&str]) -> (u64, Vec<Batch>, BTreeMap<String, usize>) {
    let mut columns = Columns::default();
    for name in wanted {
        columns.want_known(name);
    }
    let scanner = Scanner::new(columns.freeze(), Arc::new(Facts::default()), Origin::default());
    let mut guard = NowGuard::new(None);
    let (mut lines, mut batches, mut faults) = (0, Vec::new(), BTreeMap::new());
    for block in Input::open(file).blocks().unwrap() {
        let mut batch = block.unwrap().scan(&scanner, Locator(0));
        lines += batch.read;
        batches.extend(guard.admit(&mut batch));
        batches.push(batch);
    }
    let (rest, future) = guard.finish();
    batches.extend(rest);
    for bad in batches.iter().flat_map(|batch| &batch.faults).chain(&future) {
        *faults.entry(bad.fault.to_string()).or_default() += 1;
    }
    (lines, batches, faults)
}

fn admitted(batches: &[Batch]) -> impl Iterator<Item = (&Batch, usize)> {
    let rows = |batch: &Batch| (0..batch.rows.len()).collect::<Vec<_>>();
    let all = batches.iter().flat_map(move |batch| rows(batch).into_iter().map(move |row| (batch, row)));
    all.filter(|(batch, row)| !batch.rows[*row].held)
}

/// How often each value of a column stands in a file.
fn census(file: &Path, field: &str) -> BTreeMap<String, usize> {
    let (_, batches, _) = read(file, &[field]);
    let mut values = BTreeMap::new();
    for (batch, row) in admitted(&batches) {
        let value = match batch.record(row, Phase::Start).get(crate::record::Column(0)) {
            Value::Absent => "-".to_owned(),
            value @ (Value::Null | Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Json(_)) => {
                value.text().unwrap_or_default().to_owned()
            }
        };
        *values.entry(value).or_default() += 1;
    }
    values
}

#[test]
fn every_row_of_the_real_data_is_a_record_or_has_a_reason() {
    let Some(data) = data() else { return };
    for (name, lines, rows, faults) in FILES {
        let (read, batches, told) = read(&data.join(format!("{name}.jsonl")), &["user"]);
        let told: Vec<(&str, usize)> = told.iter().map(|(why, count)| (why.as_str(), *count)).collect();
        assert_eq!((read, admitted(&batches).count(), told.as_slice()), (*lines, *rows, *faults), "{name}");
    }
}

#[test]
fn the_table_names_every_file_of_the_real_data() {
    let Some(data) = data() else { return };
    let mut names: Vec<String> = std::fs::read_dir(data)
        .unwrap()
        .filter_map(|file| {
            file.unwrap().file_name().into_string().unwrap().strip_suffix(".jsonl").map(str::to_owned)
        })
        .collect();
    names.sort_unstable();
    let listed: Vec<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(names, listed);
}

#[test]
fn the_real_data_tells_its_kinds_and_failures() {
    let Some(data) = data() else { return };
    let census = |file: &str, field: &str| {
        let counts = census(&data.join(format!("{file}.jsonl")), field);
        counts.iter().map(|(value, count)| format!("{value} {count}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(census("rba.desktops", "service"), "desktop 1000");
    assert_eq!(census("rba.user-connection", "service"), "app 1000");
    assert_eq!(census("cloudtrail.app-connection", "kind"), "app_launch 1450");
    assert_eq!(census("rba.user-connection", "outcome"), "failure 466, success 534");
    assert_eq!(census("rba.desktops", "outcome"), "failure 466, success 534");
    assert_eq!(census("rba.user-connection", "failure_kind"), "- 534, credentials 466");
    assert_eq!(
        census("elastic-sshd.user-connection", "failure_kind"),
        "- 219, credentials 422, unknown_user 284"
    );
    assert_eq!(
        census("vendor-logins.user-connection", "failure_kind"),
        "- 24, credentials 3, locked 2, unknown 7"
    );
}
