//! What a person types and what is answered: the README and `tests/cmd`.
//!
//! `TRYCMD=overwrite cargo test transcripts` writes the answers anew; read the diff before keeping it.

use std::path::Path;

/// The binary under test.
const LARUM: &str = env!("CARGO_BIN_EXE_larum");

/// Width of the terminal that `--help` is wrapped for: that of a pipe, whoever runs the tests.
#[test]
fn transcripts_are_as_they_are_written() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("larum", Path::new(LARUM));
    cases.case("tests/cmd/*.md").case("tests/cmd/*.toml").case("README.md");
    cases.run();
}

#[test]
fn the_readme_shows_the_rule_that_it_runs() {
    let rule = include_str!("../../examples/rules/many-users-one-address.yaml");
    assert!(include_str!("../../README.md").contains(&format!("```yaml\n{rule}```\n")));
}

#[test]
fn the_readme_shows_the_configuration_that_it_checks() {
    let whole = include_str!("../../examples/minimal.yaml");
    let config = &whole[whole.find("\nstore:").unwrap() + 1..];
    assert!(include_str!("../../README.md").contains(&format!("```yaml\n{config}```\n")));
}

#[test]
fn the_conditions_of_the_readme_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    let blocks: Vec<&str> = include_str!("../../README.md")
        .split("```yaml\n")
        .filter_map(|block| block.split_once("```").map(|(yaml, _)| yaml))
        .filter(|yaml| yaml.starts_with("match:"))
        .collect();
    assert!(!blocks.is_empty());
    for (number, block) in blocks.iter().enumerate() {
        let rule = format!("rule: r{number}\ntitle: T\nlevel: low\n{block}");
        std::fs::write(folder.path().join(format!("{number}.yaml")), rule).unwrap();
    }
    let output = std::process::Command::new(LARUM).arg("check").arg(folder.path()).output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.ends_with("fit to run, no faults\n"), "{told}");
}

/// Runs `larum replay` over `records` with a rule that fires on every failure: stdout and stderr.
fn replayed(records: &[u8], options: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let rule = "rule: failure\ntitle: T\nlevel: low\nmatch: {outcome: failure}\nalert:\n  \
                title: \"{{ user_name }} on {{ client_name }}\"\n  show: [client_name]\n";
    std::fs::write(folder.path().join("rule.yaml"), rule).unwrap();
    std::fs::write(folder.path().join("records.ndjson"), records).unwrap();
    let mut command = std::process::Command::new(LARUM);
    command
        .current_dir(folder.path())
        .args(["replay", "--rules", "rule.yaml", "records.ndjson"])
        .args(options);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

const FAILED: &str = r#""start_time":"2026-03-12T10:00:00Z","outcome":"failure""#;

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let names = [
        ("\\u001b[31mred\\u001b[0m", "\\u001b]0;owned\\u0007"),
        ("two\\nlines\\r\\n2026-03-12T10:00:00.000Z  CRITICAL  forged", "tab\\there"),
        ("\\u202egnp.exe\\u2066", "z\\u200bero\\ufeff width"),
        ("{{ 7 * 7 }} {% for x in y %}", "<b>*bold*</b> <!channel>"),
        ("quote \\\" back \\\\ slash", "\\u0000\\u009b2J"),
    ];
    let lines: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(number, (user, client))| {
            format!(r#"{{"id":"{number}","user_name":"{user}","client_name":"{client}",{FAILED}}}"#)
        })
        .collect();
    let (told, _) = replayed(lines.join("\n").as_bytes(), &[]);
    assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
    insta::assert_snapshot!(told, @r#"
    2026-03-12T10:00:00.000Z  LOW       failure  {{ 7 * 7 }} {% for x in y %} on <b>*bold*</b> <!channel>
        1 hit · client_name <b>*bold*</b> <!channel> · id 3bb5c355
    2026-03-12T10:00:00.000Z  LOW       failure  quote " back \ slash on \u{0}\u{9b}2J
        1 hit · client_name \u{0}\u{9b}2J · id 8eca45a1
    2026-03-12T10:00:00.000Z  LOW       failure  \u{202e}gnp.exe\u{2066} on z\u{200b}ero\u{feff} width
        1 hit · client_name z\u{200b}ero\u{feff} width · id 8fed8c19
    2026-03-12T10:00:00.000Z  LOW       failure  two lines  2026-03-12T10:00:00.000Z  CRITICAL  forged on tab here
        1 hit · client_name tab\there · id b5e836cc
    2026-03-12T10:00:00.000Z  LOW       failure  \u{1b}[31mred\u{1b}[0m on \u{1b}]0;owned\u{7}
        1 hit · client_name \u{1b}]0;owned\u{7} · id fc3ff8cb
    "#);
    let (json, _) = replayed(lines.join("\n").as_bytes(), &["--output", "json"]);
    assert_eq!(json.lines().count(), names.len(), "{json}");
    assert!(!json.chars().any(|c| c.is_control() && c != '\n'), "{json:?}");
}

#[test]
fn a_hostile_line_that_is_no_record_is_shown_as_text() {
    let good = b"{\"start_time\":\"2026-03-12T10:00:00Z\"}\n".as_slice();
    let hostile = [b"\x1b[2J{\"user_name\": \"\xe2\x80\xae\x07\n\xff\xfe\n", good].concat();
    let (_, told) = replayed(&hostile, &[]);
    assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
    let told: Vec<&str> = told.lines().filter(|line| !line.contains(" records in ")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    quarantined: 1 line, not JSON; the first in records.ndjson at line 1, byte 0: not JSON: a value was expected at byte 1
        \u{1b}[2J{"user_name": "\u{202e}\u{7}
    quarantined: 1 line, not UTF-8; the first in records.ndjson at line 2, byte 24
        ��
    failure: 0 alerts, 0 hits
    "#);
}

#[test]
fn a_hostile_name_of_a_file_is_shown_as_text_and_what_the_file_lacks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let name = "z\u{1b}[31m\u{202e}.ndjson";
    let told = |records: &str| {
        std::fs::write(folder.path().join(name), records).unwrap();
        let mut command = std::process::Command::new(LARUM);
        command.args(["replay", "--rules", "rules/identity"]).arg(folder.path().join(name));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.chars().any(|c| c == '\u{202e}' || c.is_control() && c != '\n'), "{told:?}");
        assert!(told.contains("z\\u{1b}[31m\\u{202e}.ndjson at line 1, byte 0"), "{told}");
        told.lines().last().unwrap().to_owned()
    };
    let none = "error: no line made a record";
    assert_eq!(told("{\"a\":1}\n"), none, "one object a line it is");
    // And of a folder that is written into.
    let into = folder.path().join("z\u{1b}[31m\u{202e}");
    let output =
        std::process::Command::new(LARUM).args(["new", "rule", "--out"]).arg(&into).output().unwrap();
    let new = String::from_utf8(output.stderr).unwrap();
    assert!(new.contains("z\\u{1b}[31m\\u{202e}/new-none.yaml"), "{new:?}");
    assert!(!new.chars().any(|c| c == '\u{202e}' || c.is_control() && c != '\n'), "{new:?}");
    let output = std::process::Command::new(LARUM).args(["demo", "--write"]).arg(&into).output().unwrap();
    let written = String::from_utf8(output.stderr).unwrap();
    assert!(written.contains("wrote ") && written.contains("larum test "), "{written:?}");
    assert!(!written.chars().any(|c| c == '\u{202e}' || c.is_control() && c != '\n'), "{written:?}");
    let wanted = "; one JSON object a line is wanted (of an array, `jq -c '.[]'` makes that)";
    assert_eq!(told("[{\"start_time\":\"2026-03-12T10:00:00Z\"}]\n"), format!("{none}{wanted}"));
}

#[test]
fn a_hostile_name_forges_no_line_of_what_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let name = "z\u{202e}\u{9b}2J\nerror: forged";
    let shown = "z\\u{202e}\\u{9b}2J\\nerror: forged";
    let (file, none) = (folder.path().join(name), folder.path().join(format!("no {name}")));
    std::fs::write(&file, [0xff]).unwrap();
    let (file, none) = (file.to_str().unwrap(), none.to_str().unwrap());
    let list = format!("egress={none}");
    let sought = format!("{name}=a");
    let commands: &[&[&str]] = &[
        &["check", file],
        &["check", none],
        &["check", "--config", file],
        &["check", "--config", none],
        &["check", "--sigma", none],
        &["check", "--lists", &list, "rules"],
        &["test", none],
        &["convert", "--to", "sigma", none],
        &["run", "--config", none],
        &["doctor", "--config", none],
        &["replay", none],
        &["replay", "--fields", file, "README.md"],
        &["replay", "--fields", none, "README.md"],
        &["replay", "--geo-city", none, "README.md"],
        &["replay", "--rules", none, "README.md"],
        &["replay", "--store", none],
        &["explain", name, "--at", "2026-01-05", file],
        &["explain", "failure-burst", "--at", "2026-01-05", "--group", &sought, none],
        &["explain", "failure-burst", "--at", "2026-01-05", "--group", "user=ana", none],
        &["score", none, none],
        &["score", file, file],
        &["simulate", "--scenario", none],
        &["simulate", "--scenario", file],
        &["simulate", "--records", none],
        &["status", "--store", none],
        &["alerts", "--store", none],
        &["alerts", "--rule", name],
        &["alerts", "show", name, "--store", none],
        &["deliveries", "show", name, "--store", none],
        &["rules", "--store", none],
        &["backup", "--store", none, none],
        &["export", "logins", "--config", none, "--output", none, "--from", "2026-01-05"],
        &["new", "rule", "--out", file],
        &["demo", "--write", file],
        &["replay", "--settle", name, file],
        &[name],
    ];
    for command in commands {
        let mut larum = std::process::Command::new(LARUM);
        let output = larum.args(*command).output().unwrap();
        let told = [&output.stdout[..], &output.stderr[..]].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(!output.status.success(), "{command:?}: {told}");
        assert!(!told.contains(|c| c != '\n' && larum::rule::problem::deceives(c)), "{command:?}: {told:?}");
        assert!(!told.lines().any(|line| line.starts_with("error: forged")), "{command:?}: {told}");
        assert!(told.contains(shown), "{command:?}: {told}");
    }
}

#[test]
fn a_line_over_the_bound_is_set_aside_and_the_rest_goes_on() {
    let long = format!(r#"{{"id":"long","user_name":"ana","note":"{}",{FAILED}}}"#, "x".repeat(4 << 20));
    let good = format!(r#"{{"id":"good","user_name":"bob",{FAILED}}}"#);
    let (told, notes) = replayed(format!("{long}\n{good}\n").as_bytes(), &[]);
    assert_eq!(told.matches("bob on").count(), 1, "{told}");
    assert!(
        notes.contains(
            "quarantined: 1 line, too long; the first in records.ndjson at line 1, byte 0: longer than 4 MiB"
        ),
        "{notes}"
    );
    assert!(notes.len() < 1_000, "{} bytes are told", notes.len());
}

/// What `larum replay` prints of these lines, as NDJSON, with more arguments.
fn alerts_of(lines: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.ndjson");
    std::fs::write(&file, lines).unwrap();
    let mut command = std::process::Command::new(LARUM);
    command.args(["replay", "--rules", "rules", "--output", "json"]).args(more).arg(&file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Sign-ins of five users over two hours, failures and slow ones among them, oldest first.
fn sign_ins(count: usize) -> Vec<String> {
    let line = |number: usize| {
        let at = larum::record::Timestamp(1_767_603_600_000 + i64::try_from(number).unwrap() * 7_000);
        let (user, reason) =
            (number % 5, if number.is_multiple_of(3) { "Incorrect username or password" } else { "" });
        format!(
            r#"{{"transaction_id":"t{number}","computer_name":"D{user}","user_name":"user{user}","connection_start_time":"{at}","connection_failure_reason":"{reason}","e2e_rtt":{}}}"#,
            100 + (number * 37) % 450
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn unsorted_files_replay_as_if_they_were_sorted() {
    let mut lines = sign_ins(1_000);
    let sorted = alerts_of(&lines.join("\n"), &[]);
    assert!(sorted.lines().count() > 10, "{sorted}");
    // Every line far from its place: one in 389 after the other.
    lines = (0..lines.len()).map(|number| lines[number * 389 % lines.len()].clone()).collect();
    assert_ne!(alerts_of(&lines.join("\n"), &[]), sorted);
    assert_eq!(alerts_of(&lines.join("\n"), &["--unsorted"]), sorted);
}

#[test]
fn many_files_are_one_and_few_of_them_are_open_at_once() {
    const FILES: usize = 60;
    let lines = sign_ins(40 * FILES);
    let once = alerts_of(&lines.join("\n"), &[]);
    assert!(once.lines().count() > 10, "{once}");
    let folder = tempfile::tempdir().unwrap();
    for (number, part) in lines.chunks(40).enumerate() {
        let mut text = part.join("\n");
        if number % 10 == 3 {
            // A clock that is wrong, of another year in each: where the file begins is not known by this.
            let year = format!("{}-01-0", 2090 + number / 10);
            text.insert_str(0, &format!("{}\n", part[0].replace("2026-01-0", &year).replace("\"t", "\"x")));
        }
        // Their names have another order than their times.
        std::fs::write(folder.path().join(format!("{:02}.ndjson", number * 37 % FILES)), text).unwrap();
    }
    std::fs::write(folder.path().join("99.ndjson"), "").unwrap();
    for threads in ["1", "2"] {
        let replay = format!(
            "ulimit -n 40; exec '{LARUM}' replay --rules rules --output json --threads {threads} '{}'/*.ndjson",
            folder.path().display()
        );
        let output = std::process::Command::new("sh").args(["-c", &replay]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), once);
        assert!(told.contains("quarantined: 6 lines"), "{told}");
        assert!(!told.contains("--settle"), "{told}");
    }
}

/// What `larum replay` prints of these files, as NDJSON, and what it says of lines that are ahead of now.
fn replayed_files(files: &[String], threads: &str) -> (String, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut replay = std::process::Command::new(LARUM);
    replay.args(["replay", "--rules", "rules/identity/failure-burst.yaml", "--rules"]);
    let all = "rule: each\ntitle: Each\nlevel: low\nmatch: {e2e_rtt|exists: true}\n";
    std::fs::write(folder.path().join("each.yaml"), all).unwrap();
    let gone = "rule: gone\ntitle: Gone\nlevel: low\nmatch: {e2e_rtt|exists: true}\nabsent: {for: 2h, by: [user_name]}\n";
    std::fs::write(folder.path().join("gone.yaml"), gone).unwrap();
    replay.arg(folder.path().join("each.yaml")).arg("--rules").arg(folder.path().join("gone.yaml"));
    replay.args(["--output", "json", "--threads", threads]);
    for (number, file) in files.iter().enumerate() {
        let path = folder.path().join(format!("{number:02}.ndjson"));
        std::fs::write(&path, file).unwrap();
        replay.arg(path);
    }
    let output = replay.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let ahead = told
        .lines()
        .find(|line| line.contains("ahead of now"))
        .map(|line| line.split_once(';').map_or(line, |(count, _)| count).to_owned());
    (String::from_utf8(output.stdout).unwrap(), ahead)
}

#[test]
fn time_that_has_come_in_one_file_has_come_in_all() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut at, mut rows) = (1_767_603_600_000, Vec::new());
    for number in 0..240 {
        // Crowds, nights, and lone rows with days before and after them.
        at += [1_000, 40_000, 3_600_000, 40 * 3_600_000]
            [if random.u8(0..10) < 8 { random.usize(0..2) } else { random.usize(2..4) }];
        let reason = if random.bool() { "Incorrect username or password" } else { "" };
        let row = |at: i64| {
            let at = larum::record::Timestamp(at);
            format!(
                "{{\"transaction_id\":\"t{number}\",\"computer_name\":\"D\",\"user_name\":\"user{}\",\"connection_start_time\":\"{at}\",\"connection_failure_reason\":\"{reason}\",\"e2e_rtt\":9}}\n",
                number % 3
            )
        };
        // Now and then a clock is wrong by many years.
        rows.push(if number % 60 == 50 {
            row(at + 600_000_000_000 + at * i64::from(number) / 500)
        } else {
            row(at)
        });
    }
    let once = replayed_files(&[rows.concat()], "1");
    assert_eq!(once.0.matches("\"rule\":\"each\"").count(), 236, "{:?}", once.1);
    assert!(once.1.as_deref().is_some_and(|told| told.contains("4 lines")), "{:?}", once.1);
    for parts in [2, 3, 5, 9, 24, 240] {
        let mut cuts: Vec<usize> = (1..parts).map(|_| random.usize(1..rows.len())).collect();
        if parts == rows.len() {
            cuts = (1..parts).collect();
        }
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut files: Vec<String> = cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].concat()).collect();
        random.shuffle(&mut files);
        for threads in ["1", "2"] {
            assert!(replayed_files(&files, threads) == once, "{parts} files");
        }
    }
}

#[test]
fn an_end_is_near_to_the_starts_in_every_file() {
    const OVERLAP: &str = "rule: both\ntitle: Two machines for hours\nlevel: low\nmatch: {outcome: success}\n\
                           overlap: {by: [user], for: 5h30m, where: {device: different}}\n";
    let row = |id: &str, start: &str, end: &str| {
        format!(
            r#"{{"id":"{id}","user_name":"ana","client_name":"PC-{id}","start_time":"2026-03-{start}:00Z"{end}}}"#
        )
    };
    // More than a day after its own start, less than a day after the other's.
    let rows = [row("1", "04T18:00", r#","end_time":"2026-03-05T22:00:00Z""#), row("2", "04T23:00", "")];
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("rule.yaml", OVERLAP);
    write("all.ndjson", &rows.join("\n"));
    write("first.ndjson", &rows[0]);
    write("second.ndjson", &rows[1]);
    let replayed = |files: &[&str]| {
        let mut replay = std::process::Command::new(LARUM);
        replay.current_dir(&folder).args(["replay", "--rules", "rule.yaml", "--output", "json"]).args(files);
        let output = replay.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let once = replayed(&["all.ndjson"]);
    assert_eq!(once.lines().count(), 1, "{once}");
    assert_eq!(replayed(&["first.ndjson", "second.ndjson"]), once);
    assert_eq!(replayed(&["second.ndjson", "first.ndjson"]), once);
}

#[test]
fn threads_and_repetition_change_nothing() {
    let lines = sign_ins(8_000);
    let once = alerts_of(&lines.join("\n"), &["--threads", "1"]);
    for threads in ["2", "7"] {
        assert_eq!(alerts_of(&lines.join("\n"), &["--threads", threads]), once);
    }
    let twice: Vec<&str> = lines.iter().flat_map(|line| [line.as_str(), line.as_str()]).collect();
    let strip = |text: &str| {
        text.lines().map(|line| line.split(r#","evidence""#).next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(strip(&alerts_of(&twice.join("\n"), &[])), strip(&once));
}
