//! What is JSON and others cannot read keeps no record from being judged: half of a surrogate pair in a name, a number
//! beyond floating point.

use std::path::Path;
use std::process::Command;

use larum::alert::Alert;

const RULE: &str = "rule: failed-again\ntitle: failed again\nlevel: low\nmatch: {outcome: failure}\n\
    count: {at_least: 2, within: 10m, by: [user]}\nalert: {title: \"{{ user }} failed\", show: [user_name, raw.site]}\n\
    tests:\n  - name: two\n    events: [{every: 1m, times: 2, user_name: ana, outcome: failure}]\n    alerts: [{user: ana}]\n";

/// Asks the whole line, then a list and what lies in one.
const SIGMA: &str = "title: seen\nname: seen\nlogsource: {product: p}\ndetection:\n  words: ['needle']\n  \
    list: {tags|contains: needle}\n  nested: {who.name|contains: thread}\n  condition: words and list and nested\nlevel: low\n";

const RECORDS: &str = concat!(
    r#"{"start_time":"2026-03-12T09:00:00Z","user_name":"eve\ud800","failed_code":"6005","site":{"room":"\udc00"}}"#,
    "\n",
    r#"{"start_time":"2026-03-12T09:01:00Z","user_name":"eve\udfff","failed_code":"6005","site":{"room":"\udc00"}}"#,
    "\n",
    r#"{"start_time":"2026-03-12T09:02:00Z","user_name":"ana","tags":["\ud800needle"],"who":[{"name":"thread\ud83d"}]}"#,
    "\n",
);

fn larum(folder: &Path, arguments: &[&str]) -> (String, String) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(done.stdout), text(done.stderr));
    assert!(done.status.success(), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

#[test]
fn half_of_a_surrogate_pair_keeps_no_record_from_being_judged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("rule.yaml", RULE), ("seen.yml", SIGMA), ("records.ndjson", RECORDS)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let replay = ["replay", "--rules", "rule.yaml", "--sigma", "seen.yml", "records.ndjson"];
    let (alerts, told) = larum(folder.path(), &[&replay[..], &["--output", "json"]].concat());
    assert!(told.contains("3 records") && !told.contains("set aside"), "{told}");
    let alerts: Vec<Alert> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let titles: Vec<&str> = alerts.iter().map(|alert| alert.title.as_str()).collect();
    assert_eq!(titles, ["eve\u{fffd} failed", "seen"]);
    let shown = serde_json::to_string(&alerts[0]).unwrap();
    assert!(shown.contains("\"room\":\"\u{fffd}\""), "{shown}");
    let (text, _) = larum(folder.path(), &replay);
    assert!(text.contains("eve\u{fffd}"), "{text}");

    let asked = ["explain", "failed-again", "--rules", "rule.yaml", "--group", "user=eve\u{fffd}"];
    let (why, _) =
        larum(folder.path(), &[&asked[..], &["--at", "2026-03-12T09:01:00Z", "records.ndjson"]].concat());
    assert!(why.contains(": fired"), "{why}");
}

#[test]
fn a_number_beyond_floating_point_hides_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<String> = RECORDS
        .replace("\"start_time\"", "\"far\":-1e999,\"start_time\"")
        .replace("[\"\\ud800needle\"]", "[1e999,\"needle\"]")
        .replace("[{\"name\"", "[{\"size\":1e400,\"name\"")
        .lines()
        .map(str::to_owned)
        .collect();
    let far = "title: far\nname: far\nlogsource: {product: p}\ndetection:\n  keyword: ['1E999']\n  scalar: {far: '-1e999'}\n  \
        list: {tags: '1e999'}\n  condition: keyword and scalar and list\nlevel: low\n";
    for (name, text) in [
        ("rule.yaml", RULE),
        ("s/seen.yml", SIGMA),
        ("s/far.yml", far),
        ("records.ndjson", &*records.join("\n")),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let replay = ["replay", "--rules", "rule.yaml", "--sigma", "s", "records.ndjson", "--output", "json"];
    let (alerts, told) = larum(folder.path(), &replay);
    assert!(told.contains("3 records") && !told.contains("set aside"), "{told}");
    let alerts: Vec<Alert> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut titles: Vec<&str> = alerts.iter().map(|alert| alert.title.as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["eve\u{fffd} failed", "far", "seen"]);
    for alert in &alerts {
        let shown = serde_json::to_string(alert).unwrap();
        assert!(shown.contains("\"far\":\"-1e999\""), "{shown}");
    }
}
