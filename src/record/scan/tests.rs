//! What the scanner accepts, refuses and makes of it.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::record::{FieldName, Phase, Row, RowId, Value, value_of};

/// The wanted columns of most tests.
const WANTED: &[&str] = &[
    "user_name",
    "user",
    "public_ip",
    "network_rtt",
    "outcome",
    "failure_kind",
    "kind",
    "service",
    "device",
    "duration",
    "phase",
    "end_time",
    "geo.country",
    "raw.colour",
    "raw.a.b",
    "raw.kind",
    "machine_name",
    "failed_reason",
    "changed",
];

fn columns(names: &[&str]) -> Arc<Columns> {
    let mut columns = Columns::default();
    for name in names {
        columns.want(&FieldName::declared(name));
    }
    columns.freeze()
}

fn scanner(names: &[&str], origin: Origin) -> Scanner {
    Scanner::new(columns(names), Arc::new(Facts::default()), origin)
}

fn scan(text: &str) -> Batch {
    scanner(WANTED, Origin::default()).scan(text.to_owned(), Locator(0))
}

/// A row with a time and these fields.
fn row(fields: &str) -> Batch {
    let batch = scan(&format!("{{\"start_time\":\"2026-01-05T09:00:00Z\",{fields}}}"));
    assert_eq!(batch.faults, [], "{fields}");
    batch
}

fn get<'a>(batch: &'a Batch, row: usize, name: &str) -> Value<'a> {
    batch.record(row, Phase::Start).get(batch.columns.get(&FieldName::declared(name)).unwrap())
}

/// The value of one field of a row with a time and these fields, as text.
fn value(fields: &str, name: &str) -> String {
    match get(&row(fields), 0, name) {
        Value::Absent => "-".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Text(text) => format!("'{text}'"),
        Value::Number(text) | Value::Json(text) => text.to_owned(),
        Value::Bool(yes) => yes.to_string(),
    }
}

fn fault(line: &str) -> String {
    let batch = scan(line);
    assert_eq!((batch.rows.len(), batch.read), (0, 1), "{}", excerpt(line));
    batch.faults[0].fault.to_string()
}

#[test]
fn a_wanted_field_is_read_by_name_and_alias() {
    assert_eq!(value(r#""user_name":"Ana""#, "user_name"), "'Ana'");
    assert_eq!(value(r#""computer_name":"D1""#, "machine_name"), "'D1'");
    assert_eq!(value(r#""colour":"red""#, "raw.colour"), "'red'");
    assert_eq!(value(r#""colour":null"#, "raw.colour"), "null");
    assert_eq!(value(r#""colour":"""#, "raw.colour"), "''");
    assert_eq!(value(r#""colour":[1, {"a":2}]"#, "raw.colour"), r#"[1, {"a":2}]"#);
    assert_eq!(value(r#""colour":-1.50e3"#, "raw.colour"), "-1.50e3");
    assert_eq!(value(r#""colour":true"#, "raw.colour"), "true");
    assert_eq!(value(r#""other":1"#, "raw.colour"), "-");
    assert_eq!(value(r#""colour":"a\"\u00e9\ud83d\ude00\n""#, "raw.colour"), "'a\"é😀\n'");
}

#[test]
fn a_name_wins_over_its_alias_unless_it_is_empty() {
    for order in [r#""machine_name":"N","computer_name":"A""#, r#""computer_name":"A","machine_name":"N""#] {
        assert_eq!(value(order, "machine_name"), "'N'");
    }
    for order in [r#""machine_name":"","computer_name":"A""#, r#""computer_name":"A","machine_name":null"#] {
        assert_eq!(value(order, "machine_name"), "'A'");
    }
    assert_eq!(value(r#""machine_name":null,"computer_name":"""#, "machine_name"), "null");
}

#[test]
fn the_last_of_equal_keys_counts() {
    assert_eq!(value(r#""colour":"red","colour":"blue""#, "raw.colour"), "'blue'");
    assert_eq!(value(r#""machine_name":"N","computer_name":"A","machine_name":"""#, "machine_name"), "'A'");
    assert_eq!(value(r#""a":{"b":1},"a":{}"#, "raw.a.b"), "-");
    assert_eq!(value(r#""a":{"b":1},"a":3"#, "raw.a.b"), "-");
    assert_eq!(value(r#""a":{"b":1,"b":2}"#, "raw.a.b"), "2");
}

#[test]
fn nested_fields_are_reached_by_path_and_a_key_with_dots_wins() {
    assert_eq!(value(r#""a":{"c":[],"b":"x"}"#, "raw.a.b"), "'x'");
    assert_eq!(value(r#""a":{"b":"x"},"a.b":"y""#, "raw.a.b"), "'y'");
    assert_eq!(value(r#""a.b":"y","a":{"b":"x"}"#, "raw.a.b"), "'y'");
    assert_eq!(value(r#""a":[{"b":"x"}]"#, "raw.a.b"), "-");
    assert_eq!(value(r#""geo":{"country":"NO"}"#, "geo.country"), "'NO'");
    assert_eq!(value(r#""geo.country":"NO""#, "geo.country"), "'NO'");
    assert_eq!(value(r#""\u0061":{"\u0062":"x"}"#, "raw.a.b"), "'x'");
}

#[test]
fn facts_are_made_of_fields() {
    assert_eq!(value(r#""user_name":"CORP\\Ana""#, "user"), "'ana'");
    assert_eq!(value(r#""user_name":"ana@corp.example""#, "user"), "'ana'");
    assert_eq!(value(r#""user_name":"\u0041na@corp.example""#, "user"), "'ana'");
    assert_eq!(value(r#""user_name":"""#, "user"), "-");
    assert_eq!(value(r#""user_name":"Ana","user":"bob""#, "user"), "'bob'");
    assert_eq!(value(r#""client_mac":"","terminal_name":"PC""#, "device"), "'PC'");
    assert_eq!(value(r#""client_mac":"m","terminal_name":"PC""#, "device"), "'m'");
    assert_eq!(value(r#""client_mac":"","terminal_name":"""#, "device"), "-");
    assert_eq!(value(r#""end_time":"2026-01-05T09:00:01.500Z""#, "duration"), "1500");
    assert_eq!(value(r#""end_time":"2026-01-05T08:00:00Z""#, "duration"), "-");
    assert_eq!(value(r#""end_time":"""#, "end_time"), "''");
    assert_eq!(value(r#""public_ip":"0.0.0.0""#, "public_ip"), "-");
    assert_eq!(value(r#""public_ip":"""#, "public_ip"), "''");
    for (given, seen) in
        [("-1", "-"), ("0", "-"), ("\"x\"", "-"), ("12", "12"), ("\"0.5\"", "'0.5'"), ("null", "-")]
    {
        assert_eq!(value(&format!("\"network_rtt\":{given}"), "network_rtt"), seen, "{given}");
    }
}

#[test]
fn outcome_and_failure_kind_follow_each_other() {
    for (fields, outcome, kind) in [
        (r#""failed_code":"""#, "'success'", "-"),
        (r#""failed_code":0,"failed_reason":"odd""#, "'success'", "-"),
        (r#""failed_code":500,"failed_reason":"success""#, "'failure'", "'unknown'"),
        (r#""connection_failure_reason":"bad password""#, "'failure'", "'credentials'"),
        (r#""outcome":"failure""#, "'failure'", "'unknown'"),
        (r#""outcome":"FAILURE","failed_code":"6005""#, "'failure'", "'server'"),
        (r#""outcome":"success","failed_code":"6005""#, "'success'", "-"),
        (r#""failure_kind":"locked","outcome":"failure""#, "'failure'", "'locked'"),
    ] {
        assert_eq!(value(fields, "outcome"), outcome, "{fields}");
        assert_eq!(value(fields, "failure_kind"), kind, "{fields}");
    }
}

#[test]
fn the_shape_of_a_row_tells_its_kind() {
    for (fields, kind, service) in [
        (r#""computer_name":"D","connection_failure_reason":"""#, "'login'", "'desktop'"),
        (r#""connect_type":"2""#, "'login'", "'app'"),
        (r#""app_id":"1","connection_failure_reason":"""#, "'app_launch'", "'app'"),
        (r#""app_name":"1","app_group_id":"""#, "'app_launch'", "'app'"),
        (r#""app_name":"1""#, "'login'", "-"),
        (r#""login_user":"ana","pre_conn_time":"""#, "'session'", "'app'"),
        (r#""event_time":"","event_type":"MFA""#, "'user_event'", "-"),
        (r#""account":"ana""#, "'login'", "-"),
        (r#""login_user":"ana","kind":"login","service":"desktop""#, "'login'", "'desktop'"),
    ] {
        assert_eq!(value(fields, "kind"), kind, "{fields}");
        assert_eq!(value(fields, "service"), service, "{fields}");
    }
    assert_eq!(value(r#""kind":"odd""#, "raw.kind"), "'odd'");
    assert_eq!(value(r#""other":1"#, "raw.kind"), "-");
}

#[test]
fn a_known_endpoint_tells_the_kind() {
    let scanner = scanner(WANTED, Origin::huawei("r", "p", Endpoint::AppLogins));
    let batch =
        scanner.scan(r#"{"start_time":"2026-01-05T09:00:00Z","computer_name":"D"}"#.to_owned(), Locator(0));
    assert_eq!(get(&batch, 0, "service"), Value::Text("app"));
}

#[test]
fn time_is_start_then_preparation_then_update() {
    let time = |line: &str| scan(line).rows[0].start.to_string();
    assert_eq!(
        time(
            r#"{"update_time":"2026-01-01T00:00:03Z","pre_conn_time":"2026-01-01T00:00:02Z","start_time":"2026-01-01T00:00:01Z"}"#
        ),
        "2026-01-01T00:00:01.000Z"
    );
    assert_eq!(
        time(
            r#"{"update_time":"2026-01-01T00:00:03Z","pre_conn_time":"2026-01-01T00:00:02Z","start_time":"soon"}"#
        ),
        "2026-01-01T00:00:02.000Z"
    );
    assert_eq!(
        time(r#"{"update_time":"2026-01-01T00:00:03Z","pre_conn_time":"","start_time":null}"#),
        "2026-01-01T00:00:03.000Z"
    );
    assert_eq!(time(r#"{"brokering_time":"2026-01-01 00:00:04"}"#), "2026-01-01T00:00:04.000Z");
}

#[test]
fn a_row_is_open_until_it_ends_or_fails() {
    let open = |fields: &str| row(fields).rows[0].open;
    assert!(open(r#""end_time":"""#));
    assert!(open(r#""end_time":"0001-01-01 00:00:00""#));
    assert!(open(r#""end_time":"2026-01-05T08:59:59Z""#));
    assert!(!open(r#""end_time":"2026-01-05T09:00:00Z""#));
    assert!(!open(r#""failed_code":"500""#));
    assert!(!open(r#""phase":"start""#));
}

#[test]
fn a_row_with_a_phase_is_one_record() {
    let batch = row(r#""phase":"end","end_time":"2026-01-05T10:00:00Z""#);
    let made = &batch.rows[0];
    assert_eq!((made.only, made.end), (Some(Phase::End), None));
    assert_eq!(made.start.to_string(), "2026-01-05T10:00:00.000Z");
    assert_eq!(get(&batch, 0, "duration"), Value::Number("3600000"));
    let phase = batch.columns.get(&FieldName::declared("phase")).unwrap();
    assert_eq!(batch.record(0, Phase::End).get(phase), Value::Text("end"));
    assert_eq!(row(r#""phase":"end""#).rows[0].start.to_string(), "2026-01-05T09:00:00.000Z");
    assert_eq!(row(r#""phase":"middle""#).rows[0].only, None);
}

#[test]
fn changed_is_of_amended_records() {
    let batch = row(r#""user_name":"ana""#);
    let changed = batch.columns.get(&FieldName::declared("changed")).unwrap();
    assert_eq!(batch.record(0, Phase::Start).get(changed), Value::Absent);
    let amended = batch.record(0, Phase::Amended).with_changed(r#"["end_time"]"#);
    assert_eq!(amended.get(changed), Value::Json(r#"["end_time"]"#));
}

#[test]
fn faults_name_the_place_and_the_reason() {
    for (line, told) in [
        (r#"{"start_time":"2026"#, "not JSON: the line ends inside a string at byte 20"),
        (r#"{"a":tru}"#, "not JSON: a value was expected at byte 6"),
        (r#"{"a":01}"#, "not JSON: a comma or the object's end was expected at byte 7"),
        (r#"{"a":1,}"#, "not JSON: a key in quotes was expected at byte 8"),
        (r#"{"a":1} x"#, "not JSON: more after the value at byte 9"),
        (r#"{"a":"\ud800\udc0"}"#, "not JSON: four hex digits were expected at byte 18"),
        (r#"{"a":"\ud80"}"#, "not JSON: four hex digits were expected at byte 12"),
        (r#"{"a":"\x"}"#, "not JSON: an unknown escape at byte 8"),
        ("{\"a\":\"\t\"}", "not JSON: a control character stands bare inside a string at byte 7"),
        ("{", "not JSON: a key in quotes was expected at byte 2"),
        ("[1]", "not a JSON object"),
        ("7", "not a JSON object"),
        ("seven", "not JSON: a value was expected at byte 1"),
        ("{}", "no time"),
        (r#"{"start_time":"","pre_conn_time":null,"update_time":"0001-01-01T00:00:00Z"}"#, "no time"),
        (r#"{"start_time":"soon"}"#, "time `soon` cannot be read"),
        (r#"{"start_time":1690}"#, "time `1690` cannot be read"),
    ] {
        assert_eq!(fault(line), told, "{line}");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_one_replacement_character() {
    for (spelt, meant) in [
        (r"\ud800", "\u{fffd}"),
        (r"\udfff", "\u{fffd}"),
        (r"a\uD800b", "a\u{fffd}b"),
        (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        (r"\ud800\n", "\u{fffd}\n"),
        (r"\ud800\\ud800", "\u{fffd}\\ud800"),
    ] {
        assert_eq!(value(&format!("\"colour\":\"{spelt}\""), "raw.colour"), format!("'{meant}'"), "{spelt}");
        assert_eq!(
            value(&format!("\"a\":{{\"b\":\"{spelt}\"}}"), "raw.a.b"),
            format!("'{meant}'"),
            "{spelt}"
        );
    }
    // What is parsed again by others is mended; what is beside it is as it was.
    assert_eq!(value(r#""colour":[1, "\ud800"]"#, "raw.colour"), r#"[1, "\ufffd"]"#);
    assert_eq!(value(r#""a":"\ud800","colour":["x\n"]"#, "raw.colour"), r#"["x\n"]"#);
    assert_eq!(value(r#""a":["\ud800"],"colour":["x\n"]"#, "raw.colour"), r#"["x\n"]"#);
    // A key is text as well.
    assert_eq!(value(r#""\ud800":1,"colour":"red""#, "raw.colour"), "'red'");
}

#[test]
fn records_that_differ_in_such_halves_differ_as_lines_and_not_as_values() {
    let of = |fields: &str| row(fields).rows[0];
    let (high, low) = (r#""user_name":"\ud800""#, r#""user_name":"\udc00""#);
    assert_eq!(of(high).id, of(high).id);
    assert_ne!(of(high).id, of(low).id, "known by its line");
    let with_id = |fields: &str| of(&format!("\"id\":\"7\",{fields}"));
    assert_eq!(with_id(high).id, with_id(low).id);
    assert_ne!(with_id(high).version, with_id(low).version, "another version of one row");
    let id = |half: &str| of(&format!("\"id\":\"{half}\"")).id;
    assert_eq!(id(r"\ud800"), id(r"\udc00"), "an id is a value");
    let event = |name: &str| {
        let event =
            format!(r#"{{"event_time":"2026-01-05T09:00:00Z","event_type":"LOGIN","username":"{name}"}}"#);
        vendor(Endpoint::UserEvents, &[], &[&event]).rows[0].id
    };
    assert_eq!(event(r"\ud800"), event(r"\udc00"), "and so are the parts of the vendor's key");
}

#[test]
fn bounds_are_kept() {
    let nested = |depth: usize| {
        format!(r#"{{"start_time":"2026-01-05T09:00:00Z","a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    assert_eq!(scan(&nested(MAX_DEPTH - 1)).rows.len(), 1);
    assert_eq!(fault(&nested(MAX_DEPTH)), "nested deeper than 16");
    let wide = |fields: usize| {
        let more: Vec<String> = (1..fields).map(|n| format!(",\"k{n}\":1")).collect();
        let more = more.concat();
        format!(r#"{{"start_time":"2026-01-05T09:00:00Z"{more}}}"#)
    };
    assert_eq!(scan(&wide(MAX_FIELDS)).rows.len(), 1);
    assert_eq!(fault(&wide(MAX_FIELDS + 1)), "more than 512 fields");
    let long = |bytes: usize| {
        let head = r#"{"start_time":"2026-01-05T09:00:00Z","a":""#;
        format!("{head}{}\"}}", "x".repeat(bytes - head.len() - 2))
    };
    assert_eq!(scan(&long(MAX_LINE)).rows.len(), 1);
    assert_eq!(fault(&long(MAX_LINE + 1)), "longer than 4 MiB");
    assert_eq!(fault(&format!("{}\n", long(MAX_LINE + 1))), "longer than 4 MiB");
    assert_eq!(scan(&format!("{}\n", long(MAX_LINE))).rows.len(), 1);
}

#[test]
fn lines_are_found_again_by_their_place() {
    let line = r#"{"start_time":"2026-01-05T09:00:00Z","user_name":"ana"}"#;
    let text = format!("\u{feff}{line}\r\n\n  \t\n{line}\nbad\n {line} ");
    let batch = scanner(WANTED, Origin::default()).scan(text.clone(), Locator(0));
    let starts: Vec<u64> = batch.rows.iter().map(|row| row.locator.0).collect();
    let second = 3 + line.len() as u64 + 2 + 1 + 4;
    assert_eq!(starts, [3, second, second + line.len() as u64 + 5]);
    assert_eq!((batch.read, batch.faults.len()), (4, 1));
    assert_eq!(batch.faults[0].locator.0, second + line.len() as u64 + 1);
    for row in &batch.rows {
        let (start, len) = (row.line.start as usize, row.line.len as usize);
        assert_eq!(&batch.text[start..start + len], line);
    }
    let elsewhere = scanner(WANTED, Origin::default()).scan(text[3..].to_owned(), Locator(1 << 40));
    assert_eq!(elsewhere.rows[0].locator.0, 1 << 40);
}

#[test]
fn a_line_that_is_no_text_spoils_no_other() {
    let line = b"{\"start_time\":\"2026-01-05T09:00:00Z\"}\n".to_vec();
    let mut block = line.clone();
    block.extend(b"{\"a\":\"\xff\x1b\"}\nbad\n");
    block.extend(&line);
    let batch = scanner(WANTED, Origin::default()).scan_bytes(block, Locator(100));
    assert_eq!((batch.rows.len(), batch.read), (2, 4));
    let told: Vec<_> = batch.faults.iter().map(|bad| (bad.locator.0 - 100, bad.fault.to_string())).collect();
    assert_eq!(told[0], (line.len() as u64, "not UTF-8".to_owned()));
    assert_eq!(batch.faults[0].excerpt, "{\"a\":\"\u{fffd}\\u{1b}\"}");
    assert_eq!(told[1].1, "not JSON: a value was expected at byte 1");
    assert_eq!(batch.rows[1].locator.0 - 100, line.len() as u64 + 11 + 4);
}

#[test]
fn a_row_of_a_file_is_known_by_kind_and_id_else_by_its_line() {
    let id = |fields: &str| row(fields).rows[0].id;
    assert_eq!(id(r#""id":"7","user_name":"ana""#), id(r#""id":"7","user_name":"bob""#));
    assert_eq!(id(r#""id":"7""#), id(r#""id":7"#));
    assert_ne!(id(r#""id":"7""#), id(r#""id":"7","kind":"session""#));
    assert_eq!(
        id(r#""transaction_id":"7","computer_name":"D""#),
        id(r#""transaction_id":"7","computer_name":"E""#)
    );
    assert_ne!(id(r#""transaction_id":"7""#), id(r#""transaction_id":"7","user_name":"ana""#));
    assert_ne!(id(r#""id":"""#), id(r#""id":"","user_name":"ana""#));
    let line = "{\"start_time\":\"2026-01-05T09:00:00Z\"}";
    assert_eq!(scan(line).rows[0].id, scan(&format!("\n {line}\r\n")).rows[0].id);
    assert_ne!(
        row(r#""id":"7","user_name":"ana""#).rows[0].version,
        row(r#""id":"7","user_name":"bob""#).rows[0].version
    );
}

#[test]
fn a_scanner_that_marks_rows_tells_the_same_identities() {
    let rows = [
        r#"{"id":"7","kind":"login","start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"id":"7","kind":"login","start_time":"2026-01-05T09:00:00Z","user_name":"ana"}"#,
        r#"{"id":"a \"quoted\" one","start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"id":true,"kind":"x","start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"id":"true","kind":"x","start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"user_name":"ana","start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"id":"7","time":"2026-01-05T09:00:00Z"}"#,
    ];
    let exact = scan(&rows.join("\n"));
    let marked = scanner(WANTED, Origin::default()).marking(7).scan(rows.join("\n"), Locator(0));
    let mut held = Batch::new(marked.columns.clone());
    for row in 0..rows.len() {
        held.push_row_of(&marked, row);
        let record = |batch: &Batch| batch.record(row, Phase::Start).id();
        assert_eq!(exact.id(row), exact.rows[row].id);
        assert_eq!((marked.id(row), held.id(row)), (exact.id(row), exact.id(row)), "{}", rows[row]);
        assert_eq!((record(&marked), record(&held)), (record(&exact), record(&exact)));
        for other in 0..rows.len() {
            let same = |batch: &Batch| batch.rows[row].id == batch.rows[other].id;
            assert_eq!(same(&marked), same(&exact), "{} {}", rows[row], rows[other]);
        }
    }
}

#[test]
fn a_row_of_the_vendor_is_known_by_region_project_endpoint_and_key() {
    let id = |region: &str, project: &str, endpoint: Endpoint, fields: &str| {
        let scanner = scanner(&["user_name"], Origin::huawei(region, project, endpoint));
        scanner.scan(format!("{{\"start_time\":\"2026-01-05T09:00:00Z\",{fields}}}"), Locator(0)).rows[0].id
    };
    let app = |fields: &str| id("r", "p", Endpoint::AppLogins, fields);
    assert_eq!(app(r#""id":"7""#), app(r#""id":"7","user_name":"ana""#));
    assert_ne!(app(r#""id":"7""#), id("r2", "p", Endpoint::AppLogins, r#""id":"7""#));
    assert_ne!(app(r#""id":"7""#), id("r", "p2", Endpoint::AppLogins, r#""id":"7""#));
    assert_ne!(app(r#""id":"7""#), id("r", "p", Endpoint::AppLaunches, r#""id":"7""#));
    let desktop = |fields: &str| id("r", "p", Endpoint::DesktopLogins, fields);
    assert_eq!(desktop(r#""transaction_id":"7","sid":"1""#), desktop(r#""transaction_id":"7","sid":"2""#));
    let keyed = r#""sid":"S","user_name":"ana","terminal_mac":"m","is_reconnect":false"#;
    assert_eq!(
        desktop(keyed),
        desktop(&format!("{keyed},\"connection_end_time\":\"2026-01-05T10:00:00Z\",\"network_rtt\":5"))
    );
    for other in [
        r#""sid":"T","user_name":"ana","terminal_mac":"m","is_reconnect":false"#,
        r#""sid":"S","user_name":"bob","terminal_mac":"m","is_reconnect":false"#,
        r#""sid":"S","user_name":"ana","terminal_mac":"n","is_reconnect":false"#,
        r#""sid":"S","user_name":"ana","terminal_mac":"m","is_reconnect":true"#,
    ] {
        assert_ne!(desktop(keyed), desktop(other), "{other}");
    }
}

fn mapping_of(text: &str) -> Mapping {
    let (mapping, problems) =
        crate::config::fields::read(std::path::Path::new("fields.yaml"), text.as_bytes().to_vec());
    assert!(problems.is_empty(), "{}", problems.render(false));
    mapping.unwrap()
}

#[test]
fn a_mapping_names_foreign_fields() {
    let mapping = mapping_of(
        "user_name: account\nstart_time: meta.ts\noutcome: {from: status, values: {Failed: failure, ok: success}}\nseat: desk\n",
    );
    let scanner = scanner(&["user_name", "user", "outcome", "failure_kind", "seat"], Origin::file(mapping));
    let text = concat!(
        r#"{"account":"Ana","user_name":"no","meta":{"ts":"2026-01-05T09:00:00Z"},"status":"FAILED","desk":4}"#,
        "\n",
        r#"{"meta.ts":"2026-01-05T09:00:00Z","start_time":"soon","status":"ok","failed_code":"500"}"#,
    );
    let batch = scanner.scan(text.to_owned(), Locator(0));
    assert_eq!(batch.faults, []);
    assert_eq!(get(&batch, 0, "user"), Value::Text("ana"));
    assert_eq!(get(&batch, 0, "outcome"), Value::Text("failure"));
    assert_eq!(get(&batch, 0, "failure_kind"), Value::Text("unknown"));
    assert_eq!(get(&batch, 0, "seat"), Value::Number("4"));
    assert_eq!(get(&batch, 1, "user_name"), Value::Absent);
    assert_eq!(get(&batch, 1, "outcome"), Value::Text("success"));
    assert!(!batch.rows[0].open && batch.rows[1].open);
}

#[test]
fn threads_share_a_scanner() {
    let scanner = scanner(WANTED, Origin::default());
    let line = "{\"start_time\":\"2026-01-05T09:00:00Z\",\"user_name\":\"Ana\",\"failed_code\":\"500\"}\n";
    let scan = |_| shown(&scanner.scan(line.repeat(50), Locator(7)));
    let all: Vec<Vec<String>> = std::thread::scope(|threads| {
        let started: Vec<_> = (0..4).map(|n| threads.spawn(move || (0..20).map(scan).nth(n))).collect();
        started.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.len() == 4 && all.iter().all(|one| *one == all[0]));
}

#[test]
fn facts_do_not_grow_a_batch_with_its_rows() {
    let line = "{\"start_time\":\"2026-01-05T09:00:00Z\",\"user_name\":\"ana\",\"failed_code\":\"500\"}\n";
    let produced = |rows: usize| scan(&line.repeat(rows)).text.len() - line.len() * rows;
    assert_eq!(produced(1), produced(100));
}

/// All that a scan found, for comparing.
fn shown(batch: &Batch) -> Vec<String> {
    let rows = (0..batch.rows.len()).map(|row| {
        let values: Vec<_> = (0..batch.columns.len())
            .map(|column| batch.record(row, Phase::Start).get(crate::record::Column(column as u16)))
            .collect();
        format!("{:?} {values:?}", Row { line: crate::record::batch::Slot::ABSENT, ..batch.rows[row] })
    });
    rows.chain(batch.faults.iter().map(|bad| format!("{bad:?}"))).collect()
}

impl Scanner {
    /// The same by the exact reader alone.
    fn scan_slowly(&self, block: &str, base: Locator) -> Batch {
        let mut scratch = self.scratch();
        // Nothing is where the quick walk looks for it.
        let spaced: Vec<String> = block.split('\n').map(|line| format!(" {line}")).collect();
        let spaced = spaced.join("\n");
        let mut batch = Batch::new(Arc::clone(&self.columns));
        self.read_lines((&spaced, None), base, &mut scratch, &mut batch);
        batch.text = spaced;
        batch.text.push_str(scratch.sink.tail.as_str());
        for (number, row) in batch.rows.iter_mut().enumerate() {
            row.locator = Locator(number as u64);
        }
        for bad in &mut batch.faults {
            bad.locator = Locator(0);
        }
        batch
    }
}

fn without_places(mut batch: Batch) -> Batch {
    for (number, row) in batch.rows.iter_mut().enumerate() {
        row.locator = Locator(number as u64);
    }
    for bad in &mut batch.faults {
        bad.locator = Locator(0);
    }
    batch
}

/// A JSON value of a row: as such rows have, and odder.
/// Fields of rows whose keys stand in any order.
const SHUFFLED: [&str; 12] = [
    r#""start_time":"2026-01-05T09:00:00Z""#,
    r#""user_name":"ana""#,
    r#""public_ip":"192.0.2.7""#,
    r#""network_rtt":17"#,
    r#""outcome":"failure""#,
    r#""failed_reason":"a \"quoted\" one""#,
    r#""a":{"b":"deep"}"#,
    r#""colour":null"#,
    r#" "site" : "x" "#,
    r#""id":"7""#,
    r#""e2e_rtt":-1.5e3"#,
    r#""a_key_that_is_too_long_to_be_compared_whole":"y""#,
];

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => "[a-z0-9.:-]{0,12}".prop_map(Json::from),
        1 => "\\PC{0,6}".prop_map(Json::from),
        1 => prop_oneof![Just("a\"b"), Just("\\"), Just("\u{1}\t\n"), Just("😀"), Just("2026-01-05T09:00:00Z")].prop_map(Json::from),
        1 => any::<i64>().prop_map(Json::from),
        1 => (-1e9..1e9_f64).prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((any_key(), inner), 0..4)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "start_time", "user_name", "login_user", "computer_name", "machine_name", "id", "a", "b", "a.b", "colour", "geo",
            "country", "geo.country", "kind", "failed_code", "failed_reason", "error_code", "network_rtt", "public_ip",
            "connection_start_time", "end_time", "outcome", "phase",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => "[a-z_]{1,40}",
    ]
}

fn any_row() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec((any_key(), any_json()), 0..12);
    (fields, any::<bool>(), 0..3_u8).prop_map(|(fields, timed, dress)| {
        let mut fields: Vec<(String, Json)> = fields;
        if timed {
            fields.push(("start_time".to_owned(), Json::from("2026-01-05T09:00:00Z")));
        }
        let (comma, colon) = [(",", ":"), (", ", ": "), (" ,\t", " :\t")][usize::from(dress)];
        let spelt: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("{}{colon}{}", Json::from(key.as_str()), value))
            .collect();
        format!("{{{}}}", spelt.join(comma))
    })
}

fn any_lines() -> impl Strategy<Value = String> {
    prop::collection::vec(any_row(), 1..6)
        .prop_flat_map(|rows| {
            // Several times over, so that the keys are expected the second time.
            let text = rows.join("\n");
            let len = text.len();
            (Just(text), prop::collection::vec((0..len.max(1), any::<u8>(), 0..4_u8), 0..3))
        })
        .prop_map(|(text, changes)| {
            let mut mutated = text.clone().into_bytes();
            for (at, byte, how) in changes {
                let at = at.min(mutated.len().saturating_sub(1));
                match how {
                    0 => mutated[at] = byte,
                    1 => drop(mutated.remove(at)),
                    2 => {
                        let escape = [r"\ud83d", r"\ude00", r"\ud83d\ude00"][usize::from(byte) % 3];
                        // Behind a quote, so that most such escapes stand within a string.
                        let quote = mutated.iter().skip(at).position(|byte| *byte == b'"');
                        let at = quote.map_or(at, |quote| at + quote + 1);
                        drop(mutated.splice(at..at, escape.bytes()));
                    }
                    _ => mutated.insert(at, b"\"\\{}[],:0 \t"[usize::from(byte) % 11]),
                }
            }
            let mutated = String::from_utf8_lossy(&mutated).into_owned();
            format!("{text}\n{mutated}\n{text}\n{mutated}")
        })
}

proptest! {
    #[test]
    fn what_is_json_is_what_serde_json_says(row in any_lines()) {
        let scanner = scanner(&["raw.colour", "raw.a.b"], Origin::default());
        for line in row.split('\n').filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty()) {
            let batch = scanner.scan(line.to_owned(), Locator(0));
            let not_json = matches!(batch.faults.first().map(|bad| &bad.fault), Some(Fault::NotJson { .. }));
            match value_of(line) {
                Some(json) => {
                    prop_assert!(!not_json, "{line:?} {:?}", batch.faults);
                    prop_assert_eq!(json.is_object(), !matches!(batch.faults.first().map(|bad| &bad.fault), Some(Fault::NotObject)));
                    if batch.rows.len() == 1 {
                        for (name, path) in [("raw.colour", vec!["colour"]), ("raw.a.b", vec!["a", "b"])] {
                            let literal = json.get(name.trim_start_matches("raw."));
                            let nested = path.iter().try_fold(&json, |json, key| json.get(*key));
                            let given = |json: &Json| !json.is_null() && *json != "";
                            let meant = literal.filter(|json| given(json))
                                .or(nested.filter(|json| given(json))).or(literal).or(nested);
                            match (get(&batch, 0, name), meant) {
                                (Value::Absent, None) | (Value::Null, Some(Json::Null)) => {}
                                (Value::Text(text), Some(Json::String(meant))) => prop_assert_eq!(text, meant),
                                (Value::Bool(yes), Some(Json::Bool(meant))) => prop_assert_eq!(yes, *meant),
                                (Value::Number(text) | Value::Json(text), Some(meant)) => {
                                    prop_assert_eq!(&value_of(text).unwrap(), meant);
                                }
                                (got, meant) => prop_assert!(false, "{line:?} {name} {got:?} {meant:?}"),
                            }
                        }
                    }
                }
                None => prop_assert!(not_json, "{line:?} {:?}", batch.faults),
            }
        }
    }

    #[test]
    fn keys_in_an_order_of_their_own_are_read_alike(
        lines in prop::collection::vec(prop::sample::subsequence(SHUFFLED.to_vec(), 1..=SHUFFLED.len()).prop_shuffle(), 0..40),
    ) {
        let text = lines.iter().fold(String::new(), |text, fields| text + "{" + fields.join(",").as_str() + "}\n");
        let scanner = scanner(WANTED, Origin::default());
        let slow = scanner.scan_slowly(&text, Locator(0));
        prop_assert_eq!(shown(&without_places(scanner.scan(text, Locator(0)))), shown(&slow));
    }

    #[test]
    fn a_guess_never_changes_a_result(text in any_lines()) {
        let scanner = scanner(WANTED, Origin::default());
        let slow = scanner.scan_slowly(&text, Locator(0));
        for _ in 0..2 {
            prop_assert_eq!(shown(&without_places(scanner.scan(text.clone(), Locator(0)))), shown(&slow));
        }
    }
}

/// Lines of a generator's output, where it is there: the shape that speed is measured on, and the
/// second set, whose seed decides how it is spelt.
fn generated(set: &[&str]) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
    let shared = std::env::var("LARUM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let script = std::path::Path::new(&shared).join("bench/gen_records.py");
    if !script.is_file() {
        #[expect(clippy::disallowed_methods, reason = "a test asks whether it may be skipped")]
        let must = std::env::var("LARUM_CI").is_ok();
        assert!(!must, "no generator at `{}`; set LARUM_SHARED", script.display());
        eprintln!("SKIPPED: no generator at `{}`; set LARUM_SHARED", script.display());
        return None;
    }
    let args = ["--count", "2000", "--users", "200"];
    let output = std::process::Command::new("python3").arg(script).args(args).args(set).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn generated_records_are_read_alike_by_both_readers() {
    let mapping = "outcome: {from: status, values: {failed: failure}}\nos: client.os.name\n";
    let wanted = [WANTED, &["os", "raw.user_agent", "app_name", "raw.client.checks"]].concat();
    for set in [vec!["--seed", "1"], vec!["--seed", "1", "--second-set"], vec!["--seed", "2", "--second-set"]]
    {
        let Some(text) = generated(&set) else { return };
        let scanner = scanner(&wanted, Origin::file(mapping_of(mapping)));
        let slow = scanner.scan_slowly(&text, Locator(0));
        assert_eq!((slow.rows.len(), slow.faults.len()), (2_000, 0));
        for _ in 0..2 {
            assert!(
                shown(&without_places(scanner.scan(text.clone(), Locator(0)))) == shown(&slow),
                "{set:?}"
            );
        }
        for (number, line) in text.lines().enumerate() {
            let json: Json = serde_json::from_str(line).unwrap();
            for (name, meant) in [
                ("user_name", json.get("user_name")),
                ("app_name", json.get("app_name")),
                ("raw.user_agent", json.get("user_agent")),
                ("os", json.pointer("/client/os/name")),
            ] {
                let meant =
                    meant.map_or(Value::Absent, |json| json.as_str().map_or(Value::Null, Value::Text));
                assert_eq!(get(&slow, number, name), meant, "{name} {line}");
            }
        }
    }
}

fn vendor(endpoint: Endpoint, names: &[&str], rows: &[&str]) -> Batch {
    let batch = scanner(names, Origin::huawei("r", "p", endpoint)).scan(rows.join("\n"), Locator(1));
    assert_eq!(batch.faults, []);
    batch
}

#[test]
fn a_user_event_is_a_moment_and_says_how_it_went() {
    const EVENT: &str = concat!(
        r#"{"event_trace_id":"t1","event_type":"LOGIN_BY_PASSWORD","username":"CORP\\Ana","#,
        r#""event_time":"2026-01-05T09:00:00Z","resource_name":"D1","is_success":false,"error_msg":"bad password"}"#
    );
    let names =
        ["user", "outcome", "failure_kind", "event_type", "resource_name", "kind", "raw.event_trace_id"];
    let batch = vendor(Endpoint::UserEvents, &names, &[EVENT, &EVENT.replace("false", "true")]);
    let told: Vec<_> = names.iter().map(|name| get(&batch, 0, name).text().unwrap_or("-")).collect();
    assert_eq!(told, ["ana", "failure", "credentials", "LOGIN_BY_PASSWORD", "D1", "user_event", "t1"]);
    assert_eq!(get(&batch, 1, "outcome"), Value::Text("success"), "whatever the reason says");
    assert!(batch.rows.iter().all(|row| !row.open && row.end.is_none()));
    // Without the flag, code and reason tell.
    let silent = EVENT.replace(r#","is_success":false"#, "");
    assert_eq!(get(&vendor(Endpoint::UserEvents, &names, &[&silent]), 0, "outcome"), Value::Text("failure"));
    // A file's row says it too.
    let file = scanner(&names, Origin::default()).scan(EVENT.to_owned(), Locator(0));
    assert_eq!(get(&file, 0, "outcome"), Value::Text("failure"));
}

#[test]
fn a_user_event_is_known_by_what_never_changes_in_it() {
    let row = |trace: &str, kind: &str, user: &str, more: &str| {
        format!(
            r#"{{"event_trace_id":"{trace}","event_type":"{kind}","username":"{user}","event_time":"2026-01-05T09:00:00Z"{more}}}"#
        )
    };
    let rows = [
        row("t1", "LOGIN", "ana", ""),
        row("t1", "LOGIN", "ana", r#","resource_name":"D1","is_success":true"#),
        row("t1", "CONNECT", "ana", ""),
        row("t1", "LOGIN", "bob", ""),
        row("t2", "LOGIN", "ana", ""),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let ids: Vec<RowId> = vendor(Endpoint::UserEvents, &[], &rows).rows.iter().map(|row| row.id).collect();
    assert_eq!(ids[0], ids[1], "another name of the resource is an amendment");
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn a_row_without_an_id_is_the_same_however_its_time_is_spelt() {
    const SPELT: [&str; 12] = [
        "2026-01-05T09:00:00Z",
        "2026-01-05T09:00:00.000Z",
        "2026-01-05 09:00:00",
        "2026-01-05T09:00:00",
        "2026-01-05T09:00Z",
        "2026-01-05T09:00:00.000+0000",
        "2026-01-05T09:00:00.000+00:00",
        "2026-01-05T09:00:00.000999999Z",
        "2026-01-05T09:00:00.00Z",
        "2026-01-05T09:00:00:000000Z",
        "2026-01-05T17:00:00+08:00",
        "2026-01-05 17:00:00+08:00",
    ];
    let ids = |endpoint, key: &str, times: &[&str]| {
        let row = |time: &&str| format!(r#"{{"user_name":"ana","computer_name":"D1","{key}":"{time}"}}"#);
        let rows: Vec<String> = times.iter().map(row).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        vendor(endpoint, &[], &rows).rows.iter().map(|row| row.id).collect::<Vec<RowId>>()
    };
    for (endpoint, key) in
        [(Endpoint::DesktopLogins, "connection_start_time"), (Endpoint::UserEvents, "event_time")]
    {
        let same = ids(endpoint, key, &SPELT);
        for (id, spelt) in same.iter().zip(SPELT) {
            assert_eq!(*id, same[0], "{spelt}");
        }
        assert_ne!(ids(endpoint, key, &["2026-01-05T09:00:01Z"])[0], same[0]);
        assert_ne!(ids(endpoint, key, &["2026-01-05T09:00:00+08:00"])[0], same[0]);
    }
}

#[test]
fn a_session_is_open_until_it_shows_an_end() {
    let row = |end: &str| {
        format!(
            r#"{{"id":"s1","login_user":"Ana","session_state":"Active","pre_conn_time":"2026-01-05 08:59:50","start_time":"2026-01-05T09:00:00Z","end_time":"{end}"}}"#
        )
    };
    let (open, ended) = (row("0001-01-01 00:00:00"), row("2026-01-05 10:00:00"));
    let batch = vendor(Endpoint::Sessions, &["user", "session_state", "service"], &[&open, &ended]);
    assert!(batch.rows[0].open && !batch.rows[1].open);
    assert_eq!(batch.rows[0].id, batch.rows[1].id);
    let told = ["user", "session_state", "service"].map(|name| get(&batch, 0, name).text().unwrap_or("-"));
    assert_eq!(told, ["ana", "Active", "app"]);
}
