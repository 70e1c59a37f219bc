//! The rule reference says what is so: its generated parts are up to date, its examples pass their
//! tests, and each line of its truth tables happens.
//!
//! `LARUM_WRITE=1 cargo test reference` writes the generated parts anew.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use larum::record::Timestamp;
use larum::rule::keys::{RULE, VERBS};
use larum::rule::reference;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/README.md");

#[expect(clippy::disallowed_methods, reason = "reads the reference")]
fn text() -> String {
    std::fs::read_to_string(FILE).unwrap()
}

fn larum(arguments: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).output().unwrap();
    let told = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (done.status.success(), told)
}

/// What a generated part holds now.
fn generated(name: &str) -> String {
    match name.split_once(' ') {
        Some(("example", verb)) => {
            let (good, rule) = larum(&["new", "rule", "--verb", verb]);
            assert!(good, "{rule}");
            format!("```yaml\n{rule}```\n")
        }
        Some(_) => panic!("nothing is generated as `{name}`"),
        None => match name {
            "keys" => reference::keys(),
            "modifiers" => reference::modifiers(),
            "fields" => reference::fields(),
            _ => panic!("nothing is generated as `{name}`"),
        },
    }
}

/// The reference with its generated parts made anew.
fn anew(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!-- begin ") {
        let (name, after) = after.split_once(" -->\n").unwrap();
        let end = format!("<!-- end {name} -->");
        let (_, after) = after.split_once(&end).unwrap_or_else(|| panic!("`{name}` has no end"));
        let _ = write!(made, "{before}<!-- begin {name} -->\n{}{end}", generated(name));
        rest = after;
    }
    made + rest
}

#[test]
fn the_generated_parts_of_the_reference_are_up_to_date() {
    let (was, is) = (text(), anew(&text()));
    #[expect(clippy::disallowed_methods, reason = "asks whether to write")]
    if std::env::var("LARUM_WRITE").is_ok() {
        std::fs::write(FILE, is).unwrap();
        return;
    }
    let differs = was.lines().zip(is.lines()).find(|(was, is)| was != is);
    assert!(was == is, "LARUM_WRITE=1 cargo test reference writes it anew: {differs:?}");
}

/// Sections of verbs: the word, the example, the lines of the truth table.
fn verbs(text: &str) -> Vec<(String, String, Vec<[String; 3]>)> {
    let mut found = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let Some((_, after)) = section.split_once("<!-- begin example ") else { continue };
        let (verb, after) = after.split_once(" -->\n```yaml\n").unwrap();
        let rule = after.split_once("```").unwrap().0.to_owned();
        let rows = section.lines().filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| ")?.trim_end_matches('|').split(" | ").collect();
            let [time, record, what] = *cells.as_slice() else { return None };
            let timed = time.contains(':') && time.ends_with(|c: char| c.is_ascii_digit());
            timed.then(|| [time, record, what].map(|cell| cell.trim().to_owned()))
        });
        found.push((verb.to_owned(), rule, rows.collect()));
    }
    found
}

/// A verb that this version runs.
fn built(verb: &str) -> bool {
    RULE.key(verb).is_some_and(|key| key.built)
}

/// `09:00`, `09:00:30` or `day 3 09:00` as an instant.
fn instant(time: &str) -> String {
    let (day, clock) = match time.strip_prefix("day ").map(|rest| rest.split_once(' ').unwrap()) {
        Some((day, clock)) => (day.parse::<u32>().unwrap(), clock),
        None => (0, time),
    };
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    format!("2026-01-{:02}T{clock}Z", 5 + day)
}

#[test]
fn every_line_of_a_truth_table_happens() {
    let folder = tempfile::tempdir().unwrap();
    let verbs = verbs(&text());
    let missing: Vec<&str> =
        VERBS.iter().copied().filter(|verb| built(verb) && verbs.iter().all(|(of, ..)| of != verb)).collect();
    assert!(missing.is_empty(), "no truth table of {missing:?}");
    for (verb, rule, rows) in &verbs {
        assert!(rows.len() >= 4, "the truth table of {verb} has {} lines", rows.len());
        let (rule, _) = rule.split_once("\ntests:\n").unwrap();
        let mut file = format!("{rule}\ntests:\n  - name: the truth table\n    events:\n");
        let (mut alerts, mut before) = (String::new(), Timestamp(0));
        for [time, record, what] in rows {
            let at = instant(time);
            let time = Timestamp::parse(&at).unwrap();
            let _ = if record == "nothing" {
                // Time passes.
                writeln!(file, "      - {{after: {}}}", time - before)
            } else {
                writeln!(file, "      - {{at: {at}, {}}}", record.trim_matches('`'))
            };
            before = time;
            if what.contains("**fires**") {
                let _ = writeln!(alerts, "      - {{at: {at}, state: open}}");
            } else if what.contains("**is over**") {
                let _ = writeln!(alerts, "      - {{at: {at}, state: resolved}}");
            }
        }
        let _ = write!(file, "    alerts:\n{alerts}");
        std::fs::write(folder.path().join(format!("{verb}.yaml")), file).unwrap();
    }
    let (good, told) = larum(&["test", folder.path().to_str().unwrap()]);
    assert!(good, "{told}");
}

#[test]
fn every_rule_to_begin_with_passes_its_tests_and_is_in_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let text = text();
    let help = larum(&["new", "rule", "-h"]).1;
    let words = help.split_once("[possible values: ").unwrap().1.split_once(']').unwrap().0;
    let words: Vec<&str> = words.split(',').map(str::trim).collect();
    let missing: Vec<&str> =
        VERBS.iter().copied().filter(|verb| built(verb) && !words.contains(verb)).collect();
    assert!(missing.is_empty(), "nothing to begin with for {missing:?}");
    for verb in words {
        assert!(text.contains(&format!("<!-- begin example {verb} -->")), "{verb} is not in the reference");
        let (good, told) = larum(&["new", "rule", "--verb", verb, "--out", folder.path().to_str().unwrap()]);
        assert!(good, "{told}");
    }
    let (good, told) = larum(&["test", folder.path().to_str().unwrap()]);
    assert!(good && told.ends_with("all passed\n"), "{told}");
    let again = larum(&["new", "rule", "--out", folder.path().to_str().unwrap()]);
    assert!(!again.0 && again.1.contains("is there already; take another --id"), "{}", again.1);
    // Rules that other tests of the reference name are sound too.
    assert!(Path::new(FILE).exists());
}

/// Blocks of YAML that hold a whole rule, beside the generated ones.
#[test]
fn every_rule_in_the_reference_passes_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    let text = text();
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let rules: Vec<&str> =
        blocks.filter(|block| block.contains("rule: ") && block.contains("tests:")).collect();
    assert!(rules.len() > 6, "{}", rules.len());
    for (number, rule) in rules.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.yaml")), rule).unwrap();
    }
    let (good, told) = larum(&["test", folder.path().to_str().unwrap()]);
    assert!(good, "{told}");
}

/// A rule that is slow three times and then is well again, which its default cooldown folds together.
const SLOW_THEN_WELL: &str = "rule: slow
title: slow
level: low
match: {e2e_rtt|exists: true}
measure: {field: e2e_rtt, stat: median, above: 300, within: 1d, at_least: 1, last: 1, by: [user], recover: {below: 200}}
levels: [{level: high, when: {client_name: pc2}}]
tests:
  - name: the end of it has what was folded in
    events:
      - {every: 1m, times: 3, user_name: ana, e2e_rtt: 400}
      - {after: 1m, user_name: ana, e2e_rtt: 400, client_name: pc2}
      - {after: 1m, user_name: ana, e2e_rtt: 100}
    alerts:
      - {user: ana, count: 1, repeats: 4}
      - {user: ana, state: resolved, repeats: 4, level: high}
";

#[test]
fn a_test_counts_as_a_replay_does_when_an_alert_is_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slow.yaml"), SLOW_THEN_WELL).unwrap();
    let (good, told) = larum(&["test", folder.path().to_str().unwrap()]);
    assert!(good, "{told}");
}
