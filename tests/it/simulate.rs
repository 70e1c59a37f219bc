//! The invented office, watched by the shipped rules: its stories are told and nothing else. And
//! the command that plays the service.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use larum::record::Timestamp;
use larum::simulate::{List, office};

use super::world::World;

const RULES: [&str; 4] = [
    include_str!("../../rules/identity/failure-burst.yaml"),
    include_str!("../../rules/identity/unusual-public-ip.yaml"),
    include_str!("../../rules/operations/slow-line.yaml"),
    include_str!("../../rules/operations/very-slow-sign-in.yaml"),
];

/// Rule, group and seconds after the start of every alert.
fn told(seed: u64) -> Vec<(String, String, i64)> {
    let office = office::office(seed, office::START).unwrap();
    let mut rows: Vec<(Timestamp, String)> = List::ALL
        .into_iter()
        .flat_map(|list| office.rows(list))
        .map(|row| (row.at.unwrap(), row.text().to_owned()))
        .collect();
    rows.sort();
    let lines: Vec<String> = rows.into_iter().map(|(_, line)| line).collect();
    let world = World::new(&RULES);
    let mut run = world.run();
    run.take_lines(&lines);
    run.finish();
    let told = run.told.sorted();
    let group = |value: &Option<String>| value.clone().unwrap_or_default();
    let shown = |fired: &larum::alert::Fired| {
        let after = (fired.at - office::START).0 / 1_000;
        (fired.rule.to_string(), group(&fired.group[0].1), after)
    };
    told.fired().map(shown).collect()
}

#[test]
fn the_office_tells_its_stories_and_nothing_else_whatever_the_seed() {
    for seed in 0..8 {
        let told = told(seed);
        let expected = [
            ("failure-burst", "ana.ruiz", 4 * 60 + 174),
            ("unusual-public-ip", "wei.chen", 12 * 60),
            ("very-slow-sign-in", "olga.ivanova", 18 * 60),
        ];
        let first: Vec<(&str, &str, i64)> =
            told.iter().take(3).map(|(rule, group, at)| (rule.as_str(), group.as_str(), *at)).collect();
        assert_eq!(first, expected, "seed {seed}");
        let burst = &told[3..];
        let (_, from, to) = office::STORIES[3];
        assert_eq!(burst.len(), 18, "seed {seed}: {burst:?}");
        for (rule, _, at) in burst {
            assert_eq!(rule, "failure-burst", "seed {seed}");
            assert!((from.0 / 1_000..=to.0 / 1_000).contains(at), "seed {seed}: {at}");
        }
    }
}

/// The program at work; it ends with the test.
struct Playing(std::process::Child);

impl Drop for Playing {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_command_plays_plain_and_packed_files_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: &str| {
        format!(
            r#"{{"id": "{id}", "connect_type": "2", "user_name": "ana", "start_time": "2026-01-05T09:00:00Z"}}"#
        )
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(row("2").as_bytes()).unwrap();
    let files = [
        ("plain.jsonl", format!("{}\n\nno row\n", row("1")).into_bytes()),
        ("packed.gz", gzip.finish().unwrap()),
        ("packed.zst", zstd::encode_all(row("3").as_bytes(), 1).unwrap()),
    ];
    let paths = files.map(|(name, bytes)| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
    command.args(["simulate", "--speed", "0", "--records"]).args(paths);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut playing = Playing(command.spawn().unwrap());
    let mut said = String::new();
    let mut out = BufReader::new(playing.0.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    let address = said.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /simulate/state HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""now":"2026-01-05T08:59:00.000Z""#), "{answer}");
    assert!(answer.contains(r#""rows":{"born":0,"left":3}"#), "{answer}");
    let mut snippet = String::new();
    while !snippet.ends_with("\"}\n") {
        assert_ne!(out.read_line(&mut snippet).unwrap(), 0, "{snippet}");
    }
    assert!(snippet.contains(&format!(
        "base_url: {{workspace: \"http://{address}\", workspaceapp: \"http://{address}\"}}"
    )));
}

#[test]
fn the_command_plays_a_scenario_and_writes_its_truth_beside() {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.ndjson");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["simulate", "--speed", "0", "--scenario", "examples/scenario.yaml", "--truth"]).arg(&truth);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut playing = Playing(command.spawn().unwrap());
    let mut said = String::new();
    BufReader::new(playing.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("listening on http://"), "{said}");
    let mut written = String::new();
    #[expect(clippy::disallowed_methods, reason = "the truth lies in a file")]
    std::fs::File::open(&truth).unwrap().read_to_string(&mut written).unwrap();
    let count =
        |kind: &str| written.lines().filter(|line| line.contains(&format!(r#""truth":"{kind}""#))).count();
    assert_eq!((count("scenario"), count("attack")), (1, 4));
    assert!(count("row") > 1_000);
}

/// What `larum` prints to stdout in `folder`, and how it ended.
fn larum(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_larum"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_shipped_rules_find_what_is_planted_in_the_example_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scenario.yaml");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let written = ["--truth", "truth.ndjson", "--rows", "rows.ndjson"];
    let (code, _) = larum(folder.path(), &[&["simulate", "--scenario", scenario], &written[..]].concat());
    assert_eq!(code, Some(0));
    let replay = ["replay", "--rules", rules, "--output", "json", "rows.ndjson"];
    let (code, alerts) = larum(folder.path(), &replay);
    assert_eq!(code, Some(0));
    std::fs::write(folder.path().join("alerts.ndjson"), alerts).unwrap();
    let (_, score) = larum(folder.path(), &["score", "truth.ndjson", "alerts.ndjson"]);
    for (attack, found) in [
        ("  2026-03-12T06:30:00  guessing ", " failure-burst after 1m20s"),
        ("  2026-03-12T08:00:00  takeover ", " failure-burst after 2m40s"),
        ("  2026-03-12T09:00:00  slow_line ", " very-slow-sign-in after 0s"),
        ("  2026-03-12T10:00:00  spraying ", " password-spray after 2m40s"),
    ] {
        let told = score.lines().find(|line| line.starts_with(attack));
        assert!(told.is_some_and(|line| line.contains(found)), "{attack}{found}\n{score}");
    }
    let (_, json) = larum(folder.path(), &["score", "--output", "json", "truth.ndjson", "alerts.ndjson"]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let attacks: Vec<_> = lines.iter().filter(|line| line["score"] == "attack").collect();
    assert_eq!(attacks.len(), 4);
    assert!(lines.iter().any(|line| line["score"] == "rule" && line["of_attacks"].as_u64() > Some(0)));
    let burst = attacks[0]["found"].as_array().unwrap().iter().find(|found| found["rule"] == "failure-burst");
    assert_eq!(burst.unwrap()["after_ms"], 80_000);
}
