//! What people get wrong at a command line, and what they are told: the true cause, and the way out.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::mmdb;

const RULE: &str =
    "rule: failure\ntitle: T\nlevel: low\nmatch: {outcome: failure}\nalert: {show: [user_name]}\n";
const FAILED: &str = r#"{"start_time":"2026-01-05T09:00:00Z","user_name":"ana","outcome":"failure"}"#;

/// A folder with a rule that fires on every failure.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("rule.yaml", RULE);
        folder
    }

    /// The same with these records.
    fn with(records: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write("records.ndjson", records);
        folder
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// The exit code, and what is told, on either stream.
    fn larum(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larum"));
        command.current_dir(self.0.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended without a look at it.
        let _ = child.stdin.take().unwrap().write_all(FAILED.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    }

    /// What `larum replay` of the records tells with these arguments more.
    fn replayed(&self, more: &[&str]) -> (i32, String) {
        self.larum(&[&["replay", "--rules", "rule.yaml", "records.ndjson"], more].concat())
    }
}

fn holds((code, told): &(i32, String), wanted: i32, lines: &[&str]) {
    assert_eq!(*code, wanted, "{told}");
    for line in lines {
        assert!(told.lines().any(|told| told == *line), "{line}\n--- in ---\n{told}");
    }
}

#[test]
fn standard_input_is_read_once() {
    let folder = Folder::new();
    for arguments in [
        &["replay", "--rules", "rule.yaml", "-", "-"][..],
        &["explain", "failure", "--rules", "rule.yaml", "--at", "2026-01-05T09:00:00Z", "-", "-"],
        &["score", "-", "-"],
    ] {
        let told = folder.larum(arguments);
        holds(&told, 2, &["error: `-` is given twice, and standard input can be read once: name it once"]);
    }
    assert!(folder.larum(&["replay", "--rules", "rule.yaml", "-"]).1.contains("failure: 1 alert"));
}

#[test]
fn what_was_seen_is_asked_of_a_store() {
    let (code, told) = Folder::with(FAILED).replayed(&["--as-seen"]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("error: the argument '[FILE]...' cannot be used with '--as-seen'"), "{told}");
}

#[test]
fn why_no_line_made_a_record_is_told_by_what_was_wrong() {
    for (records, arguments, reason) in [
        (
            r#"{"start_time":"yesterday","outcome":"failure"}"#,
            &[][..],
            "error: no line made a record: no time can be read; where another key says it, name it: --time-field NAME, or a path: detail.time",
        ),
        (
            FAILED,
            &["--now", "2026-01-01"][..],
            "error: no line made a record: all are dated ahead of --now, 2026-01-01T00:00:00.000Z",
        ),
        (
            "a,b\n1,2\n",
            &[],
            "error: no line made a record; one JSON object a line is wanted (of an array, `jq -c '.[]'` makes that)",
        ),
        ("{\"start_time\":\"soon\"}\n1,2\n", &[], "error: no line made a record, for the reasons above"),
    ] {
        holds(&Folder::with(records).replayed(arguments), 2, &[reason]);
    }
}

#[test]
fn a_file_in_utf_16_is_called_that() {
    let line = format!("{FAILED}\n");
    let little: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let large: Vec<u8> = line.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = |mark: &[u8], text: &[u8]| [mark, text].concat();
    for (bytes, name) in [
        (little.clone(), "UTF-16LE"),
        (large.clone(), "UTF-16BE"),
        (marked(&[0xff, 0xfe], &little), "UTF-16"),
        (marked(&[0xfe, 0xff], &large), "UTF-16"),
    ] {
        let way_out = format!(
            "  because: it is in UTF-16: `iconv -f {name} -t UTF-8` makes text of it that can be read"
        );
        holds(&Folder::with(bytes).replayed(&[]), 2, &["error: cannot read `records.ndjson`", &way_out]);
    }
}

#[test]
fn a_page_of_rows_leads_to_its_rows() {
    for (key, more) in [("items", r#""count":1"#), ("records", r#""total_count":1"#)] {
        let told = Folder::with(format!(r#"{{"{key}":[{FAILED}],{more}}}"#)).replayed(&[]);
        let page = format!(
            "quarantined: 1 line, a page of rows; the first in records.ndjson at line 1, byte 0: its rows are in `{key}`; \
             `jq -c '.{key}[]'` makes lines of them"
        );
        let closing = format!(
            "error: no line made a record: each is a page of rows; `jq -c '.{key}[]'` makes lines of them"
        );
        holds(&told, 2, &[&page, &closing]);
    }
    let (_, told) = Folder::with(r#"{"items":"none","outcome":"failure"}"#).replayed(&[]);
    assert!(told.contains("quarantined: 1 line, no time"), "{told}");
}

#[test]
fn a_start_is_read_in_every_spelling_that_another_time_is_read_in() {
    for start in [
        "1767603600",
        "1767603600000",
        "1767603600000000",
        "1767603600000000000",
        r#""1767603600""#,
        r#""  2026-01-05T09:00:00Z ""#,
    ] {
        let record = format!(r#"{{"start_time":{start},"user_name":"ana","outcome":"failure"}}"#);
        let (code, told) = Folder::with(record).replayed(&[]);
        assert!(code == 0 && told.contains("2026-01-05T09:00:00.000Z  LOW"), "{start}: {told}");
    }
}

#[test]
fn an_end_in_seconds_is_an_end() {
    let folder = Folder::with(r#"{"start_time":1767603600,"end_time":1767607200,"user_name":"ana"}"#);
    folder.write("rule.yaml", "rule: ended\ntitle: T\nlevel: low\nmatch: {phase: end, duration|gte: 1h}\n");
    let (_, told) = folder.replayed(&[]);
    assert!(told.contains("2026-01-05T10:00:00.000Z  LOW"), "{told}");
}

#[test]
fn the_newest_record_of_a_sparse_archive_leads_to_now() {
    let on = |day: &str| FAILED.replace("2026-01-05", day);
    let folder = Folder::with([FAILED, &on("2026-01-06"), &on("2026-03-20")].join("\n"));
    let told = folder.replayed(&[]);
    holds(
        &told,
        0,
        &[
            "quarantined: 1 line, ahead of now; the first in records.ndjson at line 3, byte 152: dated 73d ahead of now; now is \
             the newest time that a second record confirms; if the date is right, give --now 2026-03-20T09:00:00.000Z",
        ],
    );
    let (_, told) = folder.replayed(&["--now", "2026-03-20T09:00:00.000Z"]);
    assert!(told.contains("failure: 3 alerts, 3 hits"), "{told}");
    let far =
        Folder::with([FAILED, &on("2026-01-06"), &FAILED.replace("2026", "9026")].join("\n")).replayed(&[]).1;
    assert!(far.contains("that a second record confirms, or --now\n"), "{far}");
}

#[test]
fn records_are_no_alerts_to_be_scored() {
    let folder = Folder::with(FAILED);
    let truth = r#"{"truth":"scenario","scenario":"s"}
{"truth":"attack","attack":1,"kind":"k","from":"2026-01-05T09:00:00Z","to":"2026-01-05T09:00:00Z","users":["ana"],"public_ip":"192.0.2.1"}
"#;
    folder.write("truth.ndjson", truth);
    let told = folder.larum(&["score", "truth.ndjson", "records.ndjson"]);
    holds(
        &told,
        2,
        &[
            "error: `records.ndjson` is no list of alerts: line 1 is no alert: missing field `rule`; give what `larum \
           replay --output json` prints",
        ],
    );
    folder.write("none.ndjson", "");
    assert_eq!(folder.larum(&["score", "truth.ndjson", "none.ndjson"]).0, 1);
}

#[test]
fn files_of_places_that_are_swapped_are_told_apart_by_their_own_type() {
    let folder = Folder::with(FAILED);
    let city = [("192.0.2.0/24", mmdb::city("NO", "Oslo", (59.9, 10.7), 20))];
    folder.write("city.mmdb", mmdb::file("GeoLite2-City", 1, &city));
    folder.write("asn.mmdb", mmdb::file("GeoLite2-ASN", 1, &[("192.0.2.0/24", mmdb::asn(2119, "Telenor"))]));
    holds(
        &folder.replayed(&["--geo-city", "asn.mmdb"]),
        2,
        &[
            "error: cannot use `asn.mmdb`: it tells autonomous systems (`GeoLite2-ASN`), and places are wanted: the \
           files are swapped, or this is the wrong one",
        ],
    );
    holds(
        &folder.replayed(&["--geo-asn", "city.mmdb"]),
        2,
        &[
            "error: cannot use `city.mmdb`: it tells places (`GeoLite2-City`), and autonomous systems are wanted: the \
           files are swapped, or this is the wrong one",
        ],
    );
    assert_eq!(folder.replayed(&["--geo-city", "city.mmdb", "--geo-asn", "asn.mmdb"]).0, 0);
}

#[test]
fn mistakes_of_a_field_map_are_told() {
    let folder = Folder::with(r#"{"ts":"2026-01-05T09:00:00Z","account":"ana","result":"DENIED"}"#);
    folder.write("fields.yaml", "start_time: ts\nuser_name: nope\noutcome: result\n");
    holds(
        &folder.replayed(&["--fields", "fields.yaml"]),
        0,
        &[
            "warning: no line has `nope`, which the field map reads `user_name` from; dots make a path",
            "warning: `outcome` is `DENIED` in 1 line, and rules know `success` or `failure`: translate it \
             (outcome: {from: result, values: {DENIED: failure}})",
        ],
    );
    folder.write(
        "fields.yaml",
        "start_time: ts\nuser_name: account\noutcome: {from: result, values: {DENIED: failure}}\n",
    );
    let (_, told) = folder.replayed(&["--fields", "fields.yaml"]);
    assert!(!told.contains("warning") && told.contains("failure: 1 alert"), "{told}");
    let timeless = Folder::with(r#"{"stamp":"2026-01-05T09:00:00Z"}"#);
    timeless.write("fields.yaml", "start_time: when\n");
    holds(
        &timeless.replayed(&["--fields", "fields.yaml"]),
        2,
        &["warning: no line has `when`, which the field map reads `start_time` from; dots make a path"],
    );
}

#[test]
fn hits_that_leave_a_full_group_are_told_where_somebody_could_miss_them() {
    // Ten a second for twenty minutes.
    let record = |number: usize| {
        let (minute, second, rtt) = (number / 600, number / 10 % 60, number + 1);
        format!(
            r#"{{"start_time":"2026-01-05T09:{minute:02}:{second:02}Z","user_name":"ana","e2e_rtt":{rtt}}}"#
        )
    };
    let records: Vec<String> = (0..12_000).map(record).collect();
    let folder = Folder::with(records.join("\n"));
    let rule = |within: &str| {
        format!(
            "rule: slow\ntitle: T\nlevel: low\nmatch: {{e2e_rtt|exists: true}}\nmeasure: {{field: e2e_rtt, stat: median, above: 30000, within: {within}, by: [user]}}\n"
        )
    };
    folder.write("rule.yaml", rule("1m"));
    let (_, told) = folder.replayed(&[]);
    assert!(told.contains("slow: 0 alerts, 12 000 hits\n"), "{told}");
    folder.write(
        "rule.yaml",
        "rule: slow\ntitle: T\nlevel: low\nmatch: {e2e_rtt|exists: true}\ncount: {at_least: 10000, within: 1h, by: [user]}\n",
    );
    let (_, told) = folder.replayed(&[]);
    assert!(
        told.contains("slow: 1 alert, 12 000 hits, 2 000 records left windows that were full: it counts 10 000 and no more\n"),
        "{told}"
    );
    folder.write("rule.yaml", rule("1h"));
    let (_, told) = folder.replayed(&[]);
    assert!(
        told.contains("slow: 0 alerts, 12 000 hits, 2 000 records left windows that were full: it may have missed or misjudged some\n"),
        "{told}"
    );
}

#[test]
fn a_range_that_nothing_is_in_is_doubted() {
    let folder = Folder::new();
    let told = |matches: &str| {
        folder.write("rule.yaml", format!("rule: r\ntitle: T\nlevel: low\nmatch: {matches}\n"));
        folder.larum(&["check", "rule.yaml"])
    };
    for (matches, both) in [
        ("{e2e_rtt|gte: 3, e2e_rtt|lte: 2}", "`e2e_rtt|gte` and `e2e_rtt|lte`"),
        ("{e2e_rtt|lt: 3, e2e_rtt|gte: 3}", "`e2e_rtt|lt` and `e2e_rtt|gte`"),
        ("{duration|gt: 2h, duration|lt: 90m, phase: end}", "`duration|gt` and `duration|lt`"),
    ] {
        holds(&told(matches), 0, &[&format!("warning: {both} never hold together")]);
    }
    for matches in ["{e2e_rtt|gte: 3, e2e_rtt|lte: 3}", "[{e2e_rtt|gte: 3}, {e2e_rtt|lt: 3}]"] {
        assert!(!told(matches).1.contains("warning"), "{matches}");
    }
}
