//! What is JSON and others cannot read keeps no record from being judged: half of a surrogate pair in a name, a number
//! beyond floating point or beyond the engine's own.

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

/// Rules that order numbers, and two that only want to be equal to some.
const FAR_RULES: [(&str, &str); 8] = [
    ("above", "match: {e2e_rtt|gte: 250}\nalert: {title: 'above {{ e2e_rtt }}', show: [e2e_rtt]}\n"),
    ("below", "match: {raw.drift|lt: -5}\nalert: {title: 'below {{ raw.drift }}'}\n"),
    ("inside", "match: {raw.drift|gt: -5, raw.drift|lt: 5}\nalert: {title: 'inside {{ raw.drift }}'}\n"),
    (
        "most",
        "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: max, above: 300, within: 1h, by: [user]}\n\
      cooldown: off\nalert: {title: 'most {{ e2e_rtt }}'}\n",
    ),
    (
        "first",
        "match: {raw.ticket|exists: true}\nfirst_seen: {value: raw.ticket, by: [user]}\n\
      alert: {title: 'first {{ raw.ticket }}'}\n",
    ),
    (
        "script",
        "match: {e2e_rtt|exists: true}\nscript:\n  when: record.e2e_rtt > 300.0\nalert: {title: 'script {{ e2e_rtt }}'}\n",
    ),
    (
        "ticket",
        "match: {raw.ticket: '123456789012345678901234567890'}\nalert: {title: 'ticket {{ raw.ticket }}'}\n",
    ),
    ("same", "match: {network_rtt|fieldref: e2e_rtt}\nalert: {title: 'same {{ e2e_rtt }}'}\n"),
];

#[test]
fn a_number_beyond_the_engines_own_is_larger_than_all_of_them_and_equal_to_its_own_spelling_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (rule, body) in FAR_RULES {
        let text = format!("rule: {rule}\ntitle: {rule}\nlevel: low\n{body}");
        std::fs::write(folder.path().join(format!("{rule}.yaml")), text).unwrap();
    }
    let record = |minute: u8, user: &str, fields: &str| {
        format!("{{\"start_time\":\"2026-03-12T09:{minute:02}:00Z\",\"user_name\":\"{user}\",{fields}}}\n")
    };
    let records: String = [
        record(0, "ana", "\"e2e_rtt\":1e21,\"network_rtt\":1e21"),
        record(1, "bob", "\"e2e_rtt\":\"123456789012345678901234567890\",\"network_rtt\":1e21"),
        record(2, "eve", "\"e2e_rtt\":1e99999999999,\"site\":\"x\""),
        record(3, "eve", "\"e2e_rtt\":-1e21,\"drift\":-1e21"),
        record(4, "eve", "\"e2e_rtt\":1e-99999999999,\"drift\":1e-99999999999"),
        record(5, "zoe", "\"ticket\":123456789012345678901234567890"),
        record(6, "zoe", "\"ticket\":123456789012345678901234567891"),
        record(7, "zoe", "\"ticket\":123456789012345678901234567890,\"drift\":\"far\""),
    ]
    .concat();
    std::fs::write(folder.path().join("records.ndjson"), records).unwrap();
    let (alerts, told) =
        larum(folder.path(), &["replay", "--rules", ".", "records.ndjson", "--output", "json"]);
    assert!(told.contains("8 records") && !told.contains("set aside"), "{told}");
    let alerts: Vec<Alert> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let titles: Vec<&str> = alerts.iter().map(|alert| alert.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "above 1000000000000000000000",
            "most 1000000000000000000000",
            "same 1000000000000000000000",
            "script 1000000000000000000000",
            "above 123456789012345678901234567890",
            "most 123456789012345678901234567890",
            "script 123456789012345678901234567890",
            "above 1e99999999999",
            "most 1e99999999999",
            "script 1e99999999999",
            "below -1000000000000000000000",
            "inside 0",
            "ticket 123456789012345678901234567890",
            "first 123456789012345678901234567891",
            "ticket 123456789012345678901234567890",
        ]
    );
    let asked = ["explain", "above", "--rules", ".", "--at", "2026-03-12T09:00:00Z", "records.ndjson"];
    let (why, _) = larum(folder.path(), &asked);
    assert!(why.contains("(it is 1e21)"), "{why}");
}

#[test]
fn a_group_is_asked_for_by_its_value_as_it_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let boss = "ana\t\"the\u{202e} boss\"";
    let long = "x".repeat(5_000);
    let record = |minute: u8, user: &str| {
        let user = serde_json::to_string(user).unwrap();
        format!(
            "{{\"start_time\":\"2026-03-12T09:{minute:02}:00Z\",\"user_name\":{user},\"failed_code\":\"6005\"}}\n"
        )
    };
    let records = [record(0, boss), record(1, boss), record(2, &long), record(3, &long)].concat();
    std::fs::write(folder.path().join("rule.yaml"), RULE.replace("show: [", "show: [user, ")).unwrap();
    std::fs::write(folder.path().join("records.ndjson"), records).unwrap();
    let explain = |group: &str, output: &str| {
        let asked = ["explain", "failed-again", "--rules", "rule.yaml", "--at", "2026-03-12T09:03:00Z"];
        let group = format!("--group=user={group}");
        larum(folder.path(), &[&asked[..], &[&group, "--output", output, "records.ndjson"]].concat()).0
    };
    let text = explain(boss, "text");
    assert!(text.starts_with("failed-again for user ana\\t\"the\\u{202e} boss\" at "), "{text}");
    let shown = text.strip_prefix("failed-again for user ").unwrap().split(" at ").next().unwrap();
    let json: serde_json::Value = serde_json::from_str(&explain(boss, "json")).unwrap();
    assert_eq!((&json["group"]["user"], &json["fired"]), (&boss.into(), &true.into()));
    let json = explain(boss, "json");
    let quoted = json.split("\"user\":").nth(1).unwrap().split('}').next().unwrap();
    for spelt in [shown, quoted, &quoted[1..quoted.len() - 1]] {
        assert_eq!(explain(spelt, "text"), text, "{spelt}");
    }

    // A value that is too long to be kept is known by its digest, and all of it stands in JSON.
    let (alerts, _) =
        larum(folder.path(), &["replay", "--rules", "rule.yaml", "records.ndjson", "--output", "json"]);
    let alert: Alert = serde_json::from_str(alerts.lines().last().unwrap()).unwrap();
    let kept = alert.group["user"].as_str().unwrap();
    assert!(kept.len() > 200 && kept.len() < long.len(), "{kept}");
    for spelt in [kept, &long] {
        assert!(explain(spelt, "text").contains(": fired\n"), "{spelt}");
    }
    let id = &alert.id.to_string()[..8];
    let (why, _) = larum(folder.path(), &["explain", id, "--rules", "rule.yaml", "records.ndjson"]);
    assert!(why.starts_with(&format!("failed-again for user {}… at ", &long[..200])), "{why}");
    assert!(why.contains(": fired\n"), "{why}");
    let (told, _) = larum(folder.path(), &["replay", "--rules", "rule.yaml", "records.ndjson"]);
    assert!(told.lines().all(|line| line.len() < 1_000), "{told}");
}
