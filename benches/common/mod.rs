//! What the benchmarks share: records made by seed, rules from text, and the floor.
//!
//! The records have the shape of the headline set: 28 fields, some 770 bytes, 2,000 users with an
//! address of their own, 50 records a second of event time, 3 % failures and now and then a burst
//! of them. The same arguments give the same bytes.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each benchmark uses a part of it")]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use larum::engine::{CheckedRule, Engine, Generation, Hit, Limits, Scratch, SourceId};
use larum::record::fact::Facts;
use larum::record::scan::{Origin, Scanner};
use larum::record::{Batch, Columns, Locator, Millis, Timestamp};
use larum::rule::decode::{Options, decode};
use serde::Deserialize;

/// As the program has it: a good part of judging is allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a block, as the file source cuts them.
pub const BLOCK: usize = 256 << 10;
/// Room behind a block for what scanning adds to it.
pub const ROOM: usize = 32 << 10;
/// Users of the records.
pub const USERS: u64 = 2_000;
/// How far records may be out of order, as a replay has it.
pub const SETTLE: Millis = Millis::secs(60);
/// Blocks between two watermarks, as a replay has it.
pub const BLOCKS_A_WATERMARK: usize = 8;
/// The one source.
pub const SOURCE: SourceId = SourceId(0);
/// Event time of the first record.
const BEGIN: i64 = 1_735_689_600_000;

macro_rules! record {
    ($($text:ident),* ; $($number:ident),*) => {
        #[derive(Deserialize)]
        struct Record<'a> { $(#[serde(borrow)] $text: Cow<'a, str>,)* $($number: i64,)* }
    };
}
record!(id, record_type, user_name, user_id, domain, department, public_ip, client_ip, client_type, client_os,
    client_version, client_name, machine_name, machine_ip, site, pool, app_name, protocol, session_id, status,
    failed_code, failed_reason, start_time, end_time, user_agent, auth_method ; network_rtt, e2e_rtt);

/// The floor: every line parsed whole by `sonic-rs` into 28 borrowed fields, and one looked at.
pub fn floor(block: &[u8]) -> u64 {
    let lines = block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.fold(0, |failures, line| {
        let record: Record = sonic_rs::from_slice(line).unwrap();
        failures + u64::from(record.status == "failed")
    })
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

/// The name of a user by number.
pub fn user_name(user: u64) -> String {
    let mut dice = Dice((user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let first = dice.pick(&["james", "olga", "priya", "omar"]);
    let last = dice.pick(&["smith", "chen", "kovacs"]);
    format!("{first}.{last}{user}")
}

/// What stays the same of a user.
fn home(user: u64) -> [String; 2] {
    let mut dice = Dice((user + 1).wrapping_mul(0xd134_2543_de82_ef95));
    ["81.7", "192.168"].map(|net| format!("{net}.{}.{}", dice.roll(256), 1 + dice.roll(254)))
}

fn record(dice: &mut Dice, number: usize, now: i64) -> Vec<(&'static str, String)> {
    let text = |value: &str| format!("\"{value}\"");
    // One user in twenty seconds fails ten times within a second.
    let burst = number % 1_000 < 50 && number.is_multiple_of(5);
    let failed = burst || dice.roll(100) < 2;
    let user = if burst { number as u64 / 1_000 % USERS } else { dice.roll(USERS) };
    let (name, [address, client_ip]) = (user_name(user), home(user));
    let away = dice.roll(50) == 0;
    let address = if away { format!("203.0.113.{}", 1 + dice.roll(254)) } else { address };
    let os = dice.pick(&["WINDOWS 11 23H2", "macOS 14.5", "Ubuntu 22.04.4 LTS"]);
    let version = dice.pick(&["23.7.1", "24.1.3", "24.5.2"]);
    let site = dice.pick(&["fra1", "ams2", "nyc3"]);
    let machine_ip = format!("10.3.{}.{}", dice.roll(256), 1 + dice.roll(254));
    let rtt = 10 + dice.roll(90);
    let slow = if dice.roll(200) == 0 { 500 } else { 0 };
    let end = if failed { String::new() } else { Timestamp(now + 3_600_000).to_string() };
    vec![
        ("id", text(&format!("{number:016x}"))),
        ("record_type", text(dice.pick(&["login", "app_connection"]))),
        ("user_name", text(&name)),
        ("user_id", text(&format!("S-1-5-21-3623811015-3361044348-{}", 30_000 + user))),
        ("domain", text("corp.example.com")),
        ("department", text(dice.pick(&["finance", "eng", "legal"]))),
        ("public_ip", text(&address)),
        ("client_ip", text(&client_ip)),
        ("client_type", text(dice.pick(&["windows", "macos", "linux"]))),
        ("client_os", text(os)),
        ("client_version", text(version)),
        ("client_name", text(&format!("LT-{}-{user:04}", &name[..3]))),
        ("machine_name", text(&format!("VDI-{site}-{:04}", dice.roll(2_000)))),
        ("machine_ip", text(&machine_ip)),
        ("site", text(site)),
        ("pool", text(&format!("pool-eng-{:02}", dice.roll(12)))),
        ("app_name", text(dice.pick(&["", "Microsoft Excel", "SAP GUI 7.70"]))),
        ("protocol", text(dice.pick(&["blast", "rdp"]))),
        (
            "session_id",
            text(&format!("{:08x}-4000-8000-{:012x}-0000", dice.roll(1 << 32), dice.roll(1 << 48))),
        ),
        ("status", text(if failed { "failed" } else { "success" })),
        ("failed_code", text(if failed { "0xC000006A" } else { "" })),
        ("failed_reason", text(if failed { "STATUS_WRONG_PASSWORD: the password is wrong" } else { "" })),
        ("start_time", text(&Timestamp(now).to_string())),
        ("end_time", text(&end)),
        ("network_rtt", rtt.to_string()),
        ("e2e_rtt", (rtt + 20 + slow).to_string()),
        ("user_agent", text(&format!("RemoteClient/{version} ({os})"))),
        ("auth_method", text(dice.pick(&["password", "password+totp", "smartcard"]))),
    ]
}

/// Blocks of whole lines; `rough`: the keys of every other line in disorder, now and then an escape.
pub fn blocks(records: usize, rough: bool) -> Vec<String> {
    let mut dice = Dice(0x5eed_1234);
    let (mut blocks, mut now) = (Blocks::default(), BEGIN);
    for number in 0..records {
        now += i64::try_from(dice.roll(40)).unwrap();
        let mut fields = record(&mut dice, number, now);
        if rough && dice.roll(2) == 0 {
            for last in (1..fields.len()).rev() {
                fields.swap(last, usize::try_from(dice.roll(last as u64 + 1)).unwrap());
            }
        }
        if rough && dice.roll(10) == 0 {
            let agent = fields.iter_mut().find(|(name, _)| *name == "user_agent").unwrap();
            r#""RemoteClient \"\u00e9\u5b57\" \t""#.clone_into(&mut agent.1);
        }
        let spelt: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        blocks.push(&format!("{{{}}}\n", spelt.join(",")));
    }
    blocks.end()
}

/// Short records of so many users, all of them one after another, `rounds` times over.
pub fn crowd(users: usize, rounds: usize) -> Vec<String> {
    let mut blocks = Blocks::default();
    let mut line = String::new();
    for number in 0..users * rounds {
        let (user, now) = (number % users, Timestamp(BEGIN + i64::try_from(number).unwrap()));
        line.clear();
        writeln!(
            line,
            r#"{{"id":"{number:x}","user_name":"user.{user:06}","start_time":"{now}","status":"failed"}}"#
        )
        .unwrap();
        blocks.push(&line);
    }
    blocks.end()
}

#[derive(Default)]
struct Blocks {
    full: Vec<String>,
    block: String,
}

impl Blocks {
    fn push(&mut self, line: &str) {
        self.block.push_str(line);
        if self.block.len() >= BLOCK - 1_024 {
            self.full.push(std::mem::take(&mut self.block));
        }
    }

    fn end(mut self) -> Vec<String> {
        if !self.block.is_empty() {
            self.full.push(self.block);
        }
        self.full
    }
}

/// How many records `block` holds.
pub fn lines(block: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', block).count()
}

/// A scanner of the generated records.
pub fn scanner(columns: Arc<Columns>) -> Scanner {
    let text = b"outcome: {from: status, values: {failed: failure}}".to_vec();
    let mapping = larum::config::fields::read(std::path::Path::new("fields.yaml"), text).0.unwrap();
    Scanner::new(columns, Arc::new(Facts::default()), Origin::file(mapping))
}

/// `rules` compiled together; each is a whole file.
pub fn generation<S: AsRef<str>>(rules: &[S]) -> Arc<Generation> {
    let checked = |text: &S| {
        let (spec, mut problems) = decode("bench.yaml", text.as_ref(), &Options::default());
        let rule = spec.and_then(|spec| CheckedRule::new(spec, &mut problems));
        assert!(!problems.has_errors(), "{}", problems.render(false));
        rule.unwrap()
    };
    Arc::new(Generation::new(rules.iter().map(checked).collect(), Columns::default(), Limits::default()))
}

/// A rule file: `body` under the keys that every rule has.
pub fn rule(id: &str, body: &str) -> String {
    format!("rule: {id}\ntitle: {id}\nlevel: medium\n{body}\n")
}

/// An engine that has seen nothing.
pub fn engine(generation: &Arc<Generation>) -> Engine {
    let mut engine = Engine::new(generation.clone(), "default");
    engine.add_source(SOURCE, None);
    engine
}

/// Feeds an engine as a replay of one file does, on one thread.
pub struct Feed {
    pub engine: Engine,
    scratch: Scratch,
    newest: Option<Timestamp>,
    batches: usize,
    /// Alerts raised or changed so far.
    pub drafts: usize,
}

impl Feed {
    pub fn new(engine: Engine) -> Self {
        Self { engine, scratch: Scratch::default(), newest: None, batches: 0, drafts: 0 }
    }

    pub fn take(&mut self, batch: &Batch) {
        let fresh = self.engine.take_in(batch);
        let hits: Vec<Hit> = self.engine.scan(batch, &fresh, &mut self.scratch);
        self.drafts += self.engine.advance(batch, hits).drafts.len();
        self.newest = self.newest.max(batch.rows.iter().map(|row| row.start).max());
        self.batches += 1;
        if self.batches.is_multiple_of(BLOCKS_A_WATERMARK) {
            let watermark = self.newest.unwrap() - SETTLE;
            self.drafts += self.engine.progress(SOURCE, watermark, watermark).drafts.len();
        }
    }

    pub fn end(&mut self) {
        self.drafts += self.engine.finish(SOURCE, self.newest.unwrap()).drafts.len();
    }
}

/// `blocks` read for `generation`. Blocks are placed one after another, as in a file.
pub fn batches(generation: &Generation, blocks: &[String]) -> Vec<Batch> {
    let scanner = scanner(generation.columns.clone());
    let mut base = 0;
    let scan = |block: &String| {
        let batch = scanner.scan(block.clone(), Locator(base));
        base += block.len() as u64;
        assert!(batch.faults.is_empty() && !batch.rows.is_empty());
        batch
    };
    blocks.iter().map(scan).collect()
}
