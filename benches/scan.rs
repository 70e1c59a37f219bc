//! What reading a record costs, beside the floor: the same lines parsed whole by `sonic-rs` into
//! 28 borrowed fields. Run with `cargo bench --bench scan`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::borrow::Cow;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use larum::record::{Columns, FieldName, Locator, Timestamp};
use serde::Deserialize;

fn main() {
    divan::main();
}

/// Records made.
const RECORDS: usize = 20_000;
/// Bytes of a block, as the file source cuts them.
const BLOCK: usize = 256 << 10;

/// Every field of the generated records.
const FIELDS: [&str; 28] = [
    "user_name",
    "public_ip",
    "start_time",
    "end_time",
    "failed_code",
    "failed_reason",
    "outcome",
    "client_type",
    "app_name",
    "network_rtt",
    "id",
    "record_type",
    "user_id",
    "domain",
    "department",
    "client_ip",
    "client_os",
    "client_version",
    "client_name",
    "machine_name",
    "machine_ip",
    "site",
    "pool",
    "protocol",
    "session_id",
    "e2e_rtt",
    "user_agent",
    "auth_method",
];

macro_rules! record {
    ($($text:ident),* ; $($number:ident),*) => {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "parsed for the cost of it")]
        struct Record<'a> { $(#[serde(borrow)] $text: Cow<'a, str>,)* $($number: i64,)* }
    };
}
record!(id, record_type, user_name, user_id, domain, department, public_ip, client_ip, client_type, client_os,
    client_version, client_name, machine_name, machine_ip, site, pool, app_name, protocol, session_id, status,
    failed_code, failed_reason, start_time, end_time, user_agent, auth_method ; network_rtt, e2e_rtt);

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

fn record(dice: &mut Dice, number: usize, now: i64) -> Vec<(&'static str, String)> {
    let text = |value: String| format!("\"{value}\"");
    let failed = dice.roll(100) < 3;
    let user = dice.roll(2_000);
    let name = format!(
        "{}.{}{user}",
        dice.pick(&["james", "olga", "priya", "omar"]),
        dice.pick(&["smith", "chen", "kovacs"])
    );
    let os = dice.pick(&["WINDOWS 11 23H2", "macOS 14.5", "Ubuntu 22.04.4 LTS"]);
    let version = dice.pick(&["23.7.1", "24.1.3", "24.5.2"]);
    let site = dice.pick(&["fra1", "ams2", "nyc3"]);
    let mut ip = |net: &str| format!("{net}.{}.{}", dice.roll(256), 1 + dice.roll(254));
    let (public_ip, client_ip, machine_ip) = (ip("81.7"), ip("192.168"), ip("10.3"));
    let rtt = 10 + dice.roll(90);
    let end = if failed { String::new() } else { Timestamp(now + 3_600_000).to_string() };
    vec![
        ("id", text(format!("{number:016x}"))),
        ("record_type", text(dice.pick(&["login", "app_connection"]).into())),
        ("user_name", text(name.clone())),
        ("user_id", text(format!("S-1-5-21-3623811015-3361044348-{}", 30_000 + user))),
        ("domain", text("corp.example.com".into())),
        ("department", text(dice.pick(&["finance", "eng", "legal"]).into())),
        ("public_ip", text(public_ip)),
        ("client_ip", text(client_ip)),
        ("client_type", text(dice.pick(&["windows", "macos", "linux"]).into())),
        ("client_os", text(os.into())),
        ("client_version", text(version.into())),
        ("client_name", text(format!("LT-{}-{user:04}", &name[..3]))),
        ("machine_name", text(format!("VDI-{site}-{:04}", dice.roll(2_000)))),
        ("machine_ip", text(machine_ip)),
        ("site", text(site.into())),
        ("pool", text(format!("pool-eng-{:02}", dice.roll(12)))),
        ("app_name", text(dice.pick(&["", "Microsoft Excel", "SAP GUI 7.70"]).into())),
        ("protocol", text(dice.pick(&["blast", "rdp"]).into())),
        (
            "session_id",
            text(format!("{:08x}-4000-8000-{:012x}-0000", dice.roll(1 << 32), dice.roll(1 << 48))),
        ),
        ("status", text(if failed { "failed" } else { "success" }.into())),
        ("failed_code", text(if failed { "0xC000006A" } else { "" }.into())),
        (
            "failed_reason",
            text(if failed { "STATUS_WRONG_PASSWORD: the password is wrong" } else { "" }.into()),
        ),
        ("start_time", text(Timestamp(now).to_string())),
        ("end_time", text(end)),
        ("network_rtt", rtt.to_string()),
        ("e2e_rtt", (rtt + 20).to_string()),
        ("user_agent", text(format!("RemoteClient/{version} ({os})"))),
        ("auth_method", text(dice.pick(&["password", "password+totp", "smartcard"]).into())),
    ]
}

/// Blocks of whole lines; `rough`: the keys of every other line in disorder, now and then an escape.
fn blocks(rough: bool) -> Vec<String> {
    let mut dice = Dice(0x5eed_1234);
    let (mut blocks, mut block, mut now) = (Vec::new(), String::new(), 1_735_689_600_000);
    for number in 0..RECORDS {
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
        block.extend(["{", &spelt.join(","), "}\n"]);
        if block.len() >= BLOCK - 1_024 {
            blocks.push(std::mem::take(&mut block));
        }
    }
    blocks.push(block);
    blocks
}

fn scanner(wanted: usize) -> Scanner {
    let mapping = Mapping::from_yaml("outcome: {from: status, values: {failed: failure}}").unwrap();
    let mut columns = Columns::default();
    for name in &FIELDS[..wanted] {
        columns.want(
            &FieldName::resolve(name).unwrap_or_else(|| FieldName::resolve(&format!("raw.{name}")).unwrap()),
        );
    }
    Scanner::new(columns.freeze(), Arc::new(Facts::default()), Origin::file(mapping))
}

/// Blocks measured, of those made: the first ones are for learning.
const SAMPLES: u32 = 3_000;

#[divan::bench(args = [false, true], sample_count = SAMPLES, sample_size = 1)]
fn floor(bencher: Bencher, rough: bool) {
    let blocks = blocks(rough);
    let mut blocks = blocks.iter().cycle();
    bencher
        .with_inputs(|| blocks.next().unwrap())
        .input_counter(|block| ItemsCount::new(block.lines().count()))
        .input_counter(|block| BytesCount::new(block.len()))
        .bench_local_values(|block| {
            let mut failures = 0_u64;
            for line in block.lines() {
                let record: Record = sonic_rs::from_slice(line.as_bytes()).unwrap();
                failures += u64::from(record.status == "failed");
            }
            failures
        });
}

#[divan::bench(args = [3, 10, 28], sample_count = SAMPLES, sample_size = 1)]
fn scan(bencher: Bencher, wanted: usize) {
    run(bencher, wanted, false);
}

#[divan::bench(args = [10], sample_count = SAMPLES, sample_size = 1)]
fn scan_rough(bencher: Bencher, wanted: usize) {
    run(bencher, wanted, true);
}

/// From bytes, as a file gives them: the check that they are text is part of the cost.
fn run(bencher: Bencher, wanted: usize, rough: bool) {
    let scanner = scanner(wanted);
    let blocks = blocks(rough);
    let mut blocks = blocks.iter().cycle();
    let copy = || {
        let block = blocks.next().unwrap();
        let mut bytes = Vec::with_capacity(block.len() + (32 << 10));
        bytes.extend_from_slice(block.as_bytes());
        bytes
    };
    bencher
        .with_inputs(copy)
        .input_counter(|block| ItemsCount::new(memchr::memchr_iter(b'\n', block).count()))
        .input_counter(|block| BytesCount::new(block.len()))
        .bench_local_values(|block| scanner.scan_bytes(block, Locator(1)));
}
