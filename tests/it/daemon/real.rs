//! Real records, polled from the simulated service by the binary, told to a real HTTP server and a
//! real mail server: they receive exactly what a replay of the same file gives.
//!
//! Where the records or the mail server are missing these tests say so and prove nothing; with
//! `LARUM_CI=1` they fail.

use std::path::PathBuf;

use larum::daemon::clock::Clock;
use larum::record::{Millis, Timestamp};
use larum::simulate::{Options, Server, World};
use mail_parser::MessageParser;

use super::super::mail_server::Real as Mailbox;
use super::hook::{Hook, Manner};
use super::house::{House, Process, RULES, caught_up, larum, until};

/// Steps of the virtual clock from the first row to the last: each costs a poll, a second.
const STEPS: i64 = 6;

/// The folder of real records; none where it is not there.
#[expect(clippy::disallowed_methods, reason = "the data set lies beside the repository")]
fn records(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var("LARUM_SHARED").map_or_else(|_| beside(), PathBuf::from).join("data");
    let told = format!("NOT TESTED: no real records in `{}`; set LARUM_SHARED", folder.display());
    if folder.is_dir() {
        return Some(folder.join(name).canonicalize().unwrap());
    }
    assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
    println!("{told}");
    None
}

/// Files, and the lists whose rows they hold.
const FILES: [(&str, &str); 4] = [
    ("elastic-sshd.user-connection.jsonl", "app_logins"),
    ("rba.desktops.jsonl", "desktop_logins"),
    ("rba.user-connection.jsonl", "app_logins"),
    ("cloudtrail.app-connection.jsonl", "app_launches"),
];

#[tokio::test]
async fn receivers_are_told_of_real_records_exactly_what_a_replay_tells() {
    // Each file has a daemon and a clock of its own; all run at once.
    let [sshd, desktops, logins, cloud] = FILES.map(|(file, endpoint)| told_as_replayed(file, endpoint));
    tokio::join!(sshd, desktops, logins, cloud);
}

async fn told_as_replayed(file: &str, endpoint: &str) {
    let (Some(path), Some(mailbox)) = (records(file), Mailbox::start(&[])) else { return };
    let (server, last) = serve(&path).await;
    let hook = Hook::start(Manner::default()).await;
    let off = "{informational: off, low: off, medium: off, high: off, critical: off}";
    let receivers = format!(
        "  - {{name: hook, kind: webhook, url: \"{}\", secret: \"file:hook\", closed: off}}\n  \
         - {{name: mail, kind: email, smtp: \"smtp://127.0.0.1:{}\", from: larum@example.org, to: [soc@example.org], at_most: {off}}}",
        hook.url(),
        mailbox.port
    );
    let routes = "  - {match: {level: high}, to: [mail], continue: true}\n  - {match: {}, to: [hook]}";
    let house = House::new(&server.url(), endpoint, "24h", &receivers, routes);
    let expected = replayed(&house, &path, &format!("sim/{endpoint}"));
    let grave = expected.iter().filter(|line| line.contains(r#""level":"high""#)).count();
    assert!(grave > 0 && expected.len() >= grave, "rules that never fire prove nothing");

    let mut process = house.run();
    play(&house, &server, &mut process, last).await;
    until(&format!("{} messages at the hook, {grave} in the mail", expected.len()), async || {
        let first = mailbox.mail().iter().filter(|(_, letter)| !is_end(letter)).count();
        (hook.taken().len() >= expected.len() && first >= grave).then_some(())
    })
    .await;
    process.end().await;

    let mut told: Vec<String> = hook.taken().into_iter().map(|taken| taken.text).collect();
    told.sort_by_key(|line| order(line));
    assert_eq!(told.len(), expected.len(), "{file}");
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(core(told), core(expected), "{file}");
    }
    mailed(&mailbox, &expected);
    let asked = ["replay", "--as-seen", "--revisions", "--output", "json", "--store", "larum.db"];
    let seen = sent(&larum(&asked, &house.path("")));
    assert_eq!(seen, told, "{file}: the journal gives the same alerts byte for byte");
}

/// The service with these rows, and the time at which all has been said.
async fn serve(path: &std::path::Path) -> (Server, Timestamp) {
    #[expect(clippy::disallowed_methods, reason = "the data set lies beside the repository")]
    let text = std::fs::read_to_string(path).unwrap();
    let world = World::of_lines(7, text.lines()).unwrap();
    let wall = Clock::wall();
    let server =
        Server::start(world, Options { speed: 0, ..Options::new(move || wall.now()) }).await.unwrap();
    let complete = server.complete().unwrap();
    // Two minutes on, the last row is settled, in windows of full minutes too.
    (server, complete + Millis::mins(2))
}

/// Moves the virtual clock to `last` step by step, each when the daemon has read all of the one before.
async fn play(house: &House, server: &Server, process: &mut Process, last: Timestamp) {
    let first = server.now();
    for step in 0..=STEPS {
        let now = first + Millis((last - first).0 / STEPS * step);
        server.set_now(if step == STEPS { last } else { now });
        let now = server.now();
        until(&format!("polled up to {now}"), async || {
            assert!(process.runs(), "the daemon has ended: {}", house.log());
            house.status().await.filter(|status| caught_up(status, now))
        })
        .await;
    }
}

/// The alerts of a replay with the lane's identity and what became of them, as far as it is sent.
fn replayed(house: &House, path: &std::path::Path, lane: &str) -> Vec<String> {
    let path = path.display().to_string();
    let rules = RULES.map(|rule| format!("{}/{rule}", env!("CARGO_MANIFEST_DIR")));
    let mut asked = vec!["replay", "--revisions", "--output", "json", "--as", lane, "--config", "larum.yaml"];
    asked.extend(rules.iter().flat_map(|rule| ["--rules", rule.as_str()]));
    asked.push(&path);
    sent(&larum(&asked, &house.path("")))
}

/// The lines that the hook is sent, in order: it wants no word of closings.
fn sent(lines: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        lines.lines().filter(|line| !line.contains(r#""state":"closed""#)).map(str::to_owned).collect();
    lines.sort_by_key(|line| order(line));
    lines
}

fn order(line: &str) -> (String, String, String, u64) {
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("at"), text("rule"), text("id"), json["revision"].as_u64().unwrap())
}

/// What an alert says, but for what depends on the life it is told in.
fn core(line: &str) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    let mut core = serde_json::Map::new();
    for name in [
        "id",
        "revision",
        "state",
        "repeats",
        "rule",
        "rule_revision",
        "at",
        "level",
        "group",
        "count",
        "title",
        "first_seen",
        "last_seen",
        "window",
        "late",
        "standing",
    ] {
        core.insert(name.to_owned(), json[name].clone());
    }
    core.into()
}

/// How a letter begins that tells of an end.
const END: &str = "[high, over]";

fn is_end(letter: &[u8]) -> bool {
    MessageParser::default().parse(letter).unwrap().body_text(0).unwrap().starts_with(END)
}

/// Each grave alert is one mail, whose subject and text hold what it says; and at most one more says
/// that it is over, and how much more there was.
fn mailed(mailbox: &Mailbox, expected: &[String]) {
    let mut titles: Vec<String> = Vec::new();
    for line in expected {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        if json["level"] == "high" {
            titles.push(json["title"].as_str().unwrap().to_owned());
        }
    }
    let mut ends = titles.clone();
    for (envelope, letter) in mailbox.mail() {
        assert_eq!(envelope["to"], serde_json::json!(["soc@example.org"]));
        let letter = MessageParser::default().parse(&letter).unwrap();
        let subject = letter.subject().unwrap();
        if letter.body_text(0).unwrap().starts_with(END) {
            let found = ends.iter().position(|title| subject.contains(title.as_str()));
            ends.remove(
                found.unwrap_or_else(|| panic!("no grave alert that could end is called `{subject}`")),
            );
            continue;
        }
        let found = titles.iter().position(|title| subject.contains(title.as_str()));
        titles.remove(found.unwrap_or_else(|| panic!("no grave alert is called `{subject}`")));
    }
    assert_eq!(titles, Vec::<String>::new(), "grave alerts without a mail");
}
