//! `explain` says of every alert that `replay` tells that it fired, and what it found.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Rules of many verbs over the same few users.
const RULES: [(&str, &str); 8] = [
    ("each", "match: {outcome: failure}\nattack: [T1110]"),
    ("burst", "match: {outcome: failure}\nattack: [T1078]\ncount: {at_least: 5, within: 10m, by: [user]}"),
    (
        "spread",
        "match: {outcome: failure}\ndistinct: {field: public_ip, at_least: 4, within: 10m, by: [user]}",
    ),
    ("few", "match: {outcome: success}\ncount: {at_least: 2, within: 1h, by: [user], restart: true}"),
    ("flow", "match: {outcome: failure}\nrate: {at_least: 6, drains_every: 1m, by: [user]}"),
    ("silent", "match: {outcome: failure}\nabsent: {for: 20m, by: [user]}"),
    ("beside", "match: {outcome: success}\noverlap: {by: [user], for: 5m, where: {device: different}}"),
    ("sum", "risk: {techniques: 2, within: 24h, by: [user]}"),
];

/// Sign-ins whose times are whole seconds, as the vendor's are: several of a user in each.
fn records() -> String {
    let mut lines = String::new();
    for second in 0..4 {
        for (number, user) in ["ana", "bob", "cat"].into_iter().cycle().take(12).enumerate() {
            let outcome = if (number + second) % 4 == 3 { "success" } else { "failure" };
            let _ = writeln!(
                lines,
                r#"{{"id":"{second}-{number}","kind":"login","start_time":"2026-01-05T09:{:02}:0{second}Z","user_name":"{user}","outcome":"{outcome}","public_ip":"192.0.2.{number}","device":"D{number}"}}"#,
                second * 2
            );
        }
    }
    // So late that what waits is over.
    let _ = writeln!(
        lines,
        r#"{{"id":"z","kind":"login","start_time":"2026-01-05T11:00:00Z","user_name":"zoe","outcome":"success","public_ip":"192.0.2.1"}}"#
    );
    lines
}

fn larum(folder: &Path, arguments: &[&str]) -> Vec<Json> {
    let done =
        Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).current_dir(folder).output().unwrap();
    let (out, errors) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    assert!(matches!(done.status.code(), Some(0 | 1)), "{arguments:?}: {errors}");
    let lines =
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}: {errors}")));
    lines.collect()
}

#[test]
fn every_alert_that_is_told_is_explained_as_fired() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    for (id, body) in RULES {
        let text = format!("rule: {id}\ntitle: {id}\nlevel: low\n{body}\n");
        std::fs::write(rules.join(format!("{id}.yaml")), text).unwrap();
    }
    std::fs::write(folder.path().join("records.ndjson"), records()).unwrap();
    let told = larum(folder.path(), &["replay", "--rules", "rules", "--output", "json", "records.ndjson"]);
    let fired: Vec<&Json> = told.iter().filter(|line| line["revision"] == 1).collect();
    for (id, _) in RULES {
        assert!(fired.iter().any(|alert| alert["rule"] == id), "{id} raises nothing: {told:#?}");
    }
    for alert in fired {
        let (id, rule) = (alert["id"].as_str().unwrap(), alert["rule"].as_str().unwrap());
        let by_id = ["explain", id, "--rules", "rules", "--output", "json", "records.ndjson"];
        let explained = &larum(folder.path(), &by_id)[0];
        let detail = explained["detail"].as_str().unwrap();
        assert!(explained["fired"] == true && detail.contains(id), "{rule} {id}: {explained:#}");
        assert_eq!((&explained["threshold"], &explained["actual"]), (&alert["threshold"], &alert["actual"]));
        // By its group and time another alert of that instant may be told, but none is denied.
        let (at, user) = (alert["at"].as_str().unwrap(), alert["group"]["user"].as_str());
        let group = user.map(|user| format!("user={user}"));
        let mut by_time = vec!["explain", rule, "--at", at, "--rules", "rules", "--output", "json"];
        by_time.extend(group.iter().flat_map(|group| ["--group", group.as_str()]));
        by_time.push("records.ndjson");
        let explained = &larum(folder.path(), &by_time)[0];
        assert_eq!(explained["fired"], true, "{rule} {at}: {explained:#}");
    }
}
