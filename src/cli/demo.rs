//! `larum demo`: a generated fortnight that ends with three stories, told by the shipped rules.
//!
//! No account, network or file is needed. The records are made by seed, in the vendor's own shapes,
//! and go through the same reading, rules and engine as everything else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::engine::{Engine, Generation, Limits};
use crate::record::scan::Origin;
use crate::record::{Columns, Millis, Timestamp};
use crate::rule::decode::Options;

use super::feed::FileArguments;
use super::load::load_texts;
use super::replay::{Kept, tell_all};
use super::{Exit, Failure, show};

/// The shipped rules, as they stand in `rules/`.
pub const RULES: [(&str, &str); 4] = [
    ("rules/identity/failure-burst.yaml", include_str!("../../rules/identity/failure-burst.yaml")),
    ("rules/identity/unusual-public-ip.yaml", include_str!("../../rules/identity/unusual-public-ip.yaml")),
    ("rules/operations/slow-line.yaml", include_str!("../../rules/operations/slow-line.yaml")),
    (
        "rules/operations/very-slow-sign-in.yaml",
        include_str!("../../rules/operations/very-slow-sign-in.yaml"),
    ),
];

/// The files of records, one a source.
const FILES: [&str; 2] = ["desktops.ndjson", "logins.ndjson"];
/// The day of the stories: 2026-03-12T00:00:00Z, a Thursday.
const DAY: Timestamp = Timestamp(1_773_273_600_000);
/// Days before it from which the rules learn.
const DAYS_BEFORE: i64 = 13;
/// Users of the invented company.
const USERS: [&str; 24] = [
    "ana.ruiz",
    "wei.chen",
    "olga.ivanova",
    "juan.silva",
    "mary.smith",
    "lukas.novak",
    "priya.patel",
    "noah.kim",
    "emma.larsen",
    "omar.haddad",
    "sofia.rossi",
    "hugo.garcia",
    "lena.mueller",
    "ivan.kovacs",
    "fatima.nguyen",
    "james.chen",
    "yuki.tanaka",
    "carla.gomez",
    "peter.schmidt",
    "zoe.martin",
    "liam.brown",
    "nora.berg",
    "tomas.cruz",
    "ines.costa",
];

/// Arguments of `larum demo`.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Write the records and rules of the demo into this folder and stop, to play with them
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is there already; name a folder of its own")]
    Exists { path: PathBuf },
    #[error("the shipped rules do not load")]
    Rules,
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.write {
            Some(folder) => write(&folder),
            None => play(),
        }
    }
}

/// Runs the demo's records through the shipped rules.
fn play() -> Result<Exit, Failure> {
    let texts = RULES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let loaded = load_texts(texts, &Options::default());
    loaded.complain();
    if loaded.has_errors() {
        return Err(DemoError::Rules.into());
    }
    let folder = tempfile::tempdir()?;
    let files = write_records(folder.path())?;
    show::note(
        "A fortnight in a company of 24 people, invented: 13 days to learn from, then the day of the stories.",
    );
    show::note("Rules: repeated failures, unusual public address, slow sign-ins (rules/ holds them).\n");
    let generation = Arc::new(Generation::new(loaded.rules, Columns::default(), Limits::default()));
    let engine = Engine::new(generation.clone(), "default");
    let mut kept = Kept::default();
    let fed = FileArguments::default().feed(&files, &Origin::default(), engine, &mut kept)?;
    let (colour, mut alerts) = (show::colour_on_stdout(), 0_usize);
    tell_all(&generation, &fed.archive, &mut kept.drafts, &mut |alert| {
        alerts += 1;
        Ok(show::line(&show::alert(alert, colour))?)
    })?;
    show::note(&format!(
        "\n{}, {}.",
        show::many(usize::try_from(fed.read)?, "record"),
        show::many(alerts, "alert")
    ));
    show::note("Next: `larum demo --write play` writes these records and rules into a folder, then");
    show::note("  larum replay --rules play/rules play/desktops.ndjson play/logins.ndjson");
    show::note(
        "  larum explain failure-burst --rules play/rules --group user=ana.ruiz --at 2026-03-12T10:02:59Z play/desktops.ndjson",
    );
    show::note("  larum test play/rules");
    Ok(Exit::Fine)
}

fn write(folder: &std::path::Path) -> Result<Exit, Failure> {
    for name in RULES.map(|(name, _)| name).into_iter().chain(FILES) {
        if folder.join(name).exists() {
            return Err(DemoError::Exists { path: folder.join(name) }.into());
        }
    }
    let put = |path: PathBuf, text: &str| -> Result<(), DemoError> {
        let failed = |source| DemoError::Write { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, text).map_err(failed)
    };
    for (name, text) in RULES {
        put(folder.join(name), text)?;
    }
    let files = write_records(folder)?;
    for path in files {
        show::note(&format!("wrote {}", path.display()));
    }
    show::note(&format!("wrote {} rules into {}", RULES.len(), folder.join("rules").display()));
    Ok(Exit::Fine)
}

/// Writes the records, a file a source.
fn write_records(folder: &std::path::Path) -> Result<Vec<PathBuf>, DemoError> {
    let (desktops, logins) = records();
    let mut files = Vec::new();
    for (name, text) in FILES.into_iter().zip([desktops, logins]) {
        let path = folder.join(name);
        let failed = |source| DemoError::Write { path: path.clone(), source };
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        files.push(path);
    }
    Ok(files)
}

/// One sign-in of the invented company.
struct SignIn<'a> {
    at: Timestamp,
    user: usize,
    public_ip: &'a str,
    network_rtt: u32,
    failed: bool,
}

/// The records of both sources, oldest first.
fn records() -> (String, String) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut sign_ins: Vec<(Timestamp, usize, String, u32, bool)> = Vec::new();
    for day in -DAYS_BEFORE..=0 {
        for user in 0..USERS.len() {
            let morning = DAY + Millis::days(day) + Millis::hours(7) + Millis::mins(random.i64(0..150));
            for turn in 0..random.i64(1..4) {
                let at = morning + Millis::mins(turn * 170) + Millis::secs(random.i64(0..60));
                // A home of one's own, or the office; the last byte changes as providers please.
                let home = format!("198.51.{}.{}", 100 + user, random.u8(2..250));
                let office = format!("192.0.2.{}", random.u8(2..30));
                let place = if turn == 1 { office } else { home };
                let failed = random.u8(0..30) == 0;
                sign_ins.push((at, user, place, random.u32(12..60), failed));
            }
        }
    }
    sign_ins.extend(stories());
    sign_ins.sort();
    let (mut desktops, mut logins) = (String::new(), String::new());
    for (number, (at, user, public_ip, network_rtt, failed)) in sign_ins.iter().enumerate() {
        let one = SignIn { at: *at, user: *user, public_ip, network_rtt: *network_rtt, failed: *failed };
        if number % 4 == 3 && one.network_rtt < 100 && !one.failed {
            let _ = writeln!(logins, "{}", login(number, &one));
        } else {
            let _ = writeln!(desktops, "{}", desktop(number, &one));
        }
    }
    (desktops, logins)
}

/// What happens on the day: somebody guesses ana's password, wei signs in from an address that he
/// never used, olga's line turns slow.
fn stories() -> Vec<(Timestamp, usize, String, u32, bool)> {
    let at = |hour: i64, minute: i64, second: i64| {
        DAY + Millis::hours(hour) + Millis::mins(minute) + Millis::secs(second)
    };
    let mut stories = Vec::new();
    for (minute, second) in [(0, 5), (0, 48), (1, 30), (2, 11), (2, 59), (3, 42)] {
        stories.push((at(10, minute, second), 0, "203.0.113.77".to_owned(), 180, true));
    }
    stories.push((at(13, 20, 9), 1, "203.0.113.140".to_owned(), 95, false));
    for (hour, network_rtt) in [(11, 320), (13, 350), (14, 390), (16, 610), (17, 340)] {
        stories.push((at(hour, 4, 31), 2, "198.51.102.17".to_owned(), network_rtt, false));
    }
    stories
}

/// As the service answers for desktop connections: a reason and no code, round trips, no id.
fn desktop(number: usize, one: &SignIn<'_>) -> serde_json::Value {
    let user = USERS[one.user];
    let end = if one.failed { String::new() } else { (one.at + Millis::mins(160)).to_string() };
    json!({
        "transaction_id": format!("{number:032x}"),
        "computer_name": format!("DESK-{:03}", one.user),
        "user_name": format!("{user}@corp.example"),
        "terminal_mac": format!("02-00-5e-00-53-{:02x}", one.user),
        "terminal_name": format!("LT-{:03}", one.user),
        "client_version": "23.5.0.0",
        "terminal_type": "Windows 11",
        "agent_version": "23.5.0.0529",
        "connection_start_time": one.at.to_string(),
        "connection_end_time": end,
        "is_reconnect": false,
        "connection_failure_reason": if one.failed { "Incorrect username or password" } else { "" },
        "public_ip": one.public_ip,
        "network_rtt": one.network_rtt,
        "e2e_rtt": one.network_rtt + 25,
    })
}

/// As the service answers for application logins: a code, no round trips.
fn login(number: usize, one: &SignIn<'_>) -> serde_json::Value {
    json!({
        "id": format!("{number}"),
        "connect_type": "2",
        "user_name": format!("{}@corp.example", USERS[one.user]),
        "start_time": one.at.to_string(),
        "update_time": one.at.to_string(),
        "failed_code": "",
        "failed_reason": "",
        "client_name": format!("LT-{:03}", one.user),
        "client_type": "Windows 11",
        "public_ip": one.public_ip,
    })
}
