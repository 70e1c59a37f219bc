//! Replays where no temporary file can be written: what is small takes none, and what is not says what lacks.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const RULE: &str = "rule: failed\ntitle: failed\nlevel: low\nmatch: {outcome: failure}\n\
    alert: {title: \"{{ user }} failed\", show: [public_ip]}\n";
/// Bytes of lines that take a file.
const LARGE: usize = 5 << 20;

fn row(number: usize, filling: &str) -> String {
    format!(
        "{{\"id\":\"{number}\",\"start_time\":\"2026-03-12T09:00:{:02}Z\",\"user_name\":\"ana\",\
         \"failed_code\":\"6005\",\"filling\":\"{filling}\"}}\n",
        number % 60
    )
}

/// What `larum replay` of these says, fed `rows`, where there is no folder for temporary files.
fn replay(folder: &Path, arguments: &[&str], rows: &str) -> (Option<i32>, String, String) {
    let mut replay = Command::new(env!("CARGO_BIN_EXE_larum"));
    replay.args(["replay", "--rules", "r.yaml", "--output", "json"]).args(arguments).current_dir(folder);
    replay.env("TMPDIR", folder.join("gone")).stdin(Stdio::piped());
    let mut replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it has read everything.
    let _ = replay.stdin.take().unwrap().write_all(rows.as_bytes());
    let done = replay.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn what_is_small_takes_no_temporary_file_and_what_is_not_says_where_none_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("r.yaml"), RULE).unwrap();
    let pack = |name: &str, text: &str| {
        std::fs::write(here.join(name), zstd::stream::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
    };
    let small: String = (0..3).map(|number| row(number, "")).collect();
    std::fs::write(here.join("small.ndjson"), &small).unwrap();
    pack("small.zst", &small);
    let plain = replay(here, &["small.ndjson"], "");
    assert_eq!((plain.0, plain.1.lines().count()), (Some(0), 3), "{}", plain.2);
    for (arguments, rows) in [(&["small.zst"][..], ""), (&["-"], &small), (&["--unsorted", "small.zst"], "")]
    {
        let (code, alerts, said) = replay(here, arguments, rows);
        assert_eq!((code, alerts == plain.1), (Some(0), true), "{arguments:?}: {said}");
    }

    let filling = "x".repeat(1 << 20);
    let large: String = (0..=LARGE >> 20).map(|number| row(number, &filling)).collect();
    pack("large.zst", &large);
    let lacks = |what: &str, more: &str| {
        format!(
            "error: {what} takes a temporary file, and none can be written in `{}`; make room there, or set TMPDIR to \
             another folder{more}\n  because: No such file or directory (os error 2)\n",
            here.join("gone").display()
        )
    };
    let (shown, unpack) = ("to show lines of packed files with their alerts", ", or unpack the files first");
    for (arguments, rows, words) in [
        (&["large.zst"][..], "", lacks(shown, unpack)),
        (&["-"], &large, lacks("to read `-`", "")),
        (&["--unsorted", "large.zst"], "", lacks("to sort lines", "")),
    ] {
        let (code, _, said) = replay(here, arguments, rows);
        assert!(said.ends_with(&words), "{arguments:?}: {said}");
        assert_eq!(code, Some(2), "{arguments:?}");
    }
}
