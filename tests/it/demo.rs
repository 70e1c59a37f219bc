//! The demo, by the binary: everything is shown, each once, and records to play with tell the same.

use std::path::Path;
use std::process::Command;

const LARUM: &str = env!("CARGO_BIN_EXE_larum");

fn larum(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(LARUM).current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    (out, err)
}

#[test]
fn the_demo_shows_each_story_once_and_the_burst_as_one_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (out, _) = larum(folder.path(), &["demo", "--speed", "120", "--for", "40s", "--keep", "kept"]);
    for story in [
        "ana.ruiz failed to sign in 5 times within 10 minutes (09:26:54 to 09:36:54), from 203.0.113.77:",
        "wei.chen signed in from 203.0.113.140 for the first time; usual for wei.chen: 198.51.100.0/24, 192.0.2.0/24.",
        "olga.ivanova waited 1505 ms for each answer of the desktop; the rule tells from 500 ms on.",
        "18 alerts came faster than this receiver is to be sent one by one: 18 × failure-burst",
        "Every story has been told",
        "\n4 messages at the webhook, 1 digest among them; 4 letters in ",
    ] {
        assert_eq!(out.matches(story).count(), 1, "{story}\n{out}");
    }
    assert!(!out.contains("Still to come"), "{out}");
    assert_eq!(out.matches("\n    received at http://127.0.0.1:").count(), 4, "{out}");
    let letters: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("mail written: ")).collect();
    assert_eq!(letters.len(), 4, "{out}");
    for letter in letters {
        #[expect(clippy::disallowed_methods, reason = "reads the letter that was written")]
        let parsed = std::fs::read(folder.path().join(letter)).unwrap();
        let parsed = mail_parser::MessageParser::default().parse(&parsed).unwrap();
        assert!(parsed.subject().is_some_and(|subject| subject.starts_with('[')), "{letter}");
    }
    let config = ["--config", "kept/larum.yaml"];
    larum(folder.path(), &[&["check", "--no-secrets"], &config[..]].concat());
    // What the README shows of them.
    let readme = include_str!("../../README.md");
    let (alerts, _) =
        larum(folder.path(), &[&["alerts", "--rule", "unusual-public-ip"], &config[..]].concat());
    assert!(alerts.lines().count() == 2 && readme.contains(&alerts), "{alerts}");
    let (deliveries, _) =
        larum(folder.path(), &[&["deliveries", "--receiver", "webhook"], &config[..]].concat());
    for line in deliveries.lines().take(4) {
        // When it was delivered differs.
        let same = line.split(" delivered at ").next().unwrap();
        assert!(same.contains("webhook") && readme.contains(same), "{line}");
    }
}

#[test]
fn a_demo_that_ends_early_says_which_stories_are_still_to_come() {
    let folder = tempfile::tempdir().unwrap();
    let (out, _) = larum(folder.path(), &["demo", "--speed", "1", "--for", "2s"]);
    let told = "The demo ended before every story was told. Still to come:\n  \
                somebody guesses the password of ana.ruiz\n  wei.chen signs in from an address never used before\n  \
                olga.ivanova waits for a very slow desktop\n  18 people fail to sign in, again and again\n\
                `--for 2645s` shows all of them at this --speed.\n";
    assert_eq!(out.matches(told).count(), 1, "{out}");
}

#[test]
fn files_of_rows_are_played_in_place_of_the_office() {
    let folder = tempfile::tempdir().unwrap();
    let row = |number: usize| {
        format!(
            r#"{{"id": "{number}", "connect_type": "2", "user_name": "eve\u001b[31m", "start_time": "2026-01-05T09:0{number}:00Z", "failed_code": "AUTH_FAILED", "public_ip": "203.0.113.9"}}"#
        )
    };
    let rows: Vec<String> = (0..5).map(row).collect();
    std::fs::write(folder.path().join("rows.ndjson"), rows.join("\n")).unwrap();
    let arguments = ["demo", "--records", "rows.ndjson", "--speed", "600", "--for", "15s"];
    let (out, err) = larum(folder.path(), &arguments);
    let told = "eve\\u{1b}[31m failed to sign in 5 times within 10 minutes (08:54:00 to 09:04:00), from 203.0.113.9:";
    assert_eq!(out.matches(told).count(), 1, "{out}");
    assert!(!format!("{out}{err}").contains('\u{1b}'), "{out}{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it leaves nothing behind");
}

#[test]
fn records_to_play_with_tell_the_same_stories() {
    let folder = tempfile::tempdir().unwrap();
    let (_, next) = larum(folder.path(), &["demo", "--write", "play"]);
    assert!(next.contains("larum explain failure-burst --rules play/rules"), "{next}");
    let files = ["desktop_logins", "app_logins", "app_launches"].map(|list| format!("play/{list}.ndjson"));
    let mut arguments = vec!["replay", "--rules", "play/rules"];
    arguments.extend(files.iter().map(String::as_str));
    let (out, _) = larum(folder.path(), &arguments);
    for (rule, alerts) in [("failure-burst", 19), ("unusual-public-ip", 1), ("very-slow-sign-in", 1)] {
        assert_eq!(out.matches(&format!("  {rule}  ")).count(), alerts, "{out}");
    }
    let why = ["explain", "failure-burst", "--rules", "play/rules", "--group", "user=ana.ruiz"];
    let at = ["--at", "2026-03-12T09:36:54Z", "play/desktop_logins.ndjson"];
    let (out, _) = larum(folder.path(), &[&why[..], &at[..]].concat());
    assert!(out.lines().next().is_some_and(|line| line.ends_with(": fired")), "{out}");
}
