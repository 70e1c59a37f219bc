//! An invented company: 40 people, their ordinary sign-ins for a fortnight and the day that
//! follows, and four stories in it, at times measured from the start ([`STORIES`]).
//!
//! Rows are made by seed in the vendor's own shapes. Names, networks and machines are invented:
//! addresses are those reserved for documentation.

use serde_json::{Map, Value, json};

use crate::record::{Millis, Timestamp};

use super::world::{BadRow, World};

/// The start of the demo: 2026-03-12T09:30:00Z, a Thursday.
pub const START: Timestamp = Timestamp(1_773_307_800_000);
/// Days before the start from which rules can learn.
pub const DAYS_BEFORE: i64 = 14;
/// How long after the start ordinary work goes on.
pub const LASTS: Millis = Millis::hours(8);

/// What happens, and when: (what, first row, last row), measured from the start.
pub const STORIES: [(&str, Millis, Millis); 4] = [
    ("somebody guesses the password of ana.ruiz", Millis::mins(4), Millis::mins(8)),
    ("wei.chen signs in from an address never used before", Millis::mins(12), Millis::mins(12)),
    ("olga.ivanova waits for a very slow desktop", Millis::mins(18), Millis::mins(18)),
    ("18 people fail to sign in, again and again", Millis::mins(25), Millis::mins(31)),
];

/// People whom the burst hits: those behind the heroes of the other stories.
const BURST: std::ops::Range<usize> = 10..28;
/// Failures of each of them.
const BURST_FAILURES: i64 = 6;

const USERS: [&str; 40] = [
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
    "amir.rahman",
    "chloe.dubois",
    "daniel.cohen",
    "eva.horvat",
    "felix.wagner",
    "grace.okafor",
    "hana.sato",
    "igor.petrov",
    "julia.santos",
    "karim.benali",
    "laura.moretti",
    "mateo.vargas",
    "nina.lindqvist",
    "oscar.nilsson",
    "paula.jimenez",
    "ravi.sharma",
];

const APPS: [&str; 4] = ["Office-Spreadsheet", "Office-Mail", "Design-Drawings", "Finance-Ledger"];

/// The office around `start`, which is some working morning.
pub fn office(seed: u64, start: Timestamp) -> Result<World, BadRow> {
    let mut office = Office { world: World::new(seed), random: fastrand::Rng::with_seed(seed), number: 0 };
    let midnight = Timestamp(start.0 - start.0.rem_euclid(Millis::days(1).0));
    for day in -DAYS_BEFORE..=0 {
        office.day(midnight + Millis::days(day), start)?;
    }
    office.stories(start)?;
    office.world.opens_at(start);
    office.world.sort();
    Ok(office.world)
}

/// One sign-in.
struct SignIn<'s> {
    at: Timestamp,
    user: usize,
    public_ip: &'s str,
    /// Milliseconds to the desktop and back.
    rtt: u32,
    failed: bool,
    /// How long the session lasts.
    lasts: Millis,
}

struct Office {
    world: World,
    random: fastrand::Rng,
    number: u64,
}

impl Office {
    /// Everybody works from home first and from the office later, on working days; both are known
    /// long before the start.
    fn day(&mut self, midnight: Timestamp, start: Timestamp) -> Result<(), BadRow> {
        // 1970-01-01 was a Thursday.
        let weekday = (midnight.0.div_euclid(Millis::days(1).0) + 3).rem_euclid(7);
        if weekday >= 5 && midnight + Millis::days(1) < start {
            return Ok(());
        }
        for user in 0..USERS.len() {
            let mut at = midnight + Millis::mins(7 * 60 + self.random.i64(0..150));
            for turn in 0..3 {
                at = at + Millis::secs(self.random.i64(0..60));
                // A provider changes the last byte as it pleases.
                let public_ip = match turn {
                    1 => format!("192.0.2.{}", self.random.u8(2..30)),
                    _ => format!("198.51.100.{}", 2 + user * 6 + self.random.usize(0..6)),
                };
                let rtt = self.random.u32(12..60);
                let failed = self.random.u8(0..40) == 0;
                let lasts = Millis::mins(self.random.i64(60..160));
                let one = SignIn { at, user, public_ip: &public_ip, rtt, failed, lasts };
                if at > start + LASTS {
                    break;
                }
                if (user + turn) % 3 == 2 {
                    self.login(&one)?;
                } else {
                    self.desktop(&one)?;
                }
                if !failed && self.random.bool() {
                    self.launch(&one)?;
                }
                at = at + Millis::mins(self.random.i64(140..200));
            }
        }
        Ok(())
    }

    fn stories(&mut self, start: Timestamp) -> Result<(), BadRow> {
        let failure =
            |at, user, public_ip| SignIn { at, user, public_ip, rtt: 180, failed: true, lasts: Millis::ZERO };
        for second in [0, 43, 85, 126, 174, 240] {
            let at = start + STORIES[0].1 + Millis::secs(second);
            self.desktop(&failure(at, 0, "203.0.113.77"))?;
        }
        let success = |at, user, public_ip, rtt| SignIn {
            at,
            user,
            public_ip,
            rtt,
            failed: false,
            lasts: Millis::hours(2),
        };
        self.desktop(&success(start + STORIES[1].1, 1, "203.0.113.140", 95))?;
        self.desktop(&success(start + STORIES[2].1, 2, "198.51.100.15", 1_480))?;
        let lasts = (STORIES[3].2).0 - (STORIES[3].1).0;
        for (place, user) in BURST.enumerate() {
            for turn in 0..BURST_FAILURES {
                let step = Millis(lasts / BURST_FAILURES * turn + i64::try_from(place).unwrap_or(0) * 3_000);
                let at = start + STORIES[3].1 + step;
                self.desktop(&failure(at, user, "203.0.113.9"))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, row: Value) -> Result<(), BadRow> {
        self.number += 1;
        match row {
            Value::Object(fields) => self.world.add(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.world.add(Map::new())
            }
        }
    }

    /// As the service answers for desktops: a reason and no code, round trips, no `id`.
    fn desktop(&mut self, one: &SignIn<'_>) -> Result<(), BadRow> {
        let end = if one.failed { String::new() } else { spelt(one.at + one.lasts) };
        let setup = if one.failed { String::new() } else { spelt(one.at + Millis::secs(4)) };
        self.add(json!({
            "transaction_id": format!("{:032x}", self.number),
            "computer_name": format!("DESK-{:03}", one.user),
            "user_name": format!("{}@corp.example", USERS[one.user]),
            "terminal_mac": format!("02-00-5e-00-53-{:02x}", one.user),
            "terminal_name": format!("LT-{:03}", one.user),
            "terminal_ip": format!("10.20.0.{}", 10 + one.user),
            "client_version": "23.5.0.0",
            "terminal_type": "Windows 11",
            "agent_version": "23.5.0.0529",
            "desktop_ip": format!("172.16.4.{}", 10 + one.user),
            "connection_start_time": spelt(one.at),
            "connection_setup_time": setup,
            "connection_end_time": end,
            "is_reconnect": false,
            "connection_failure_reason": if one.failed { "Incorrect username or password" } else { "" },
            "public_ip": one.public_ip,
            "network_rtt": one.rtt,
            "e2e_rtt": one.rtt + 25,
        }))
    }

    /// As the service answers for logins to applications: a code, no round trips.
    fn login(&mut self, one: &SignIn<'_>) -> Result<(), BadRow> {
        let end = if one.failed { String::new() } else { spelt(one.at + one.lasts) };
        let updated = if one.failed { spelt(one.at) } else { end.clone() };
        self.add(json!({
            "id": self.number.to_string(),
            "connect_type": "2",
            "user_name": format!("{}@corp.example", USERS[one.user]),
            "pre_conn_time": spelt(one.at),
            "start_time": spelt(one.at),
            "end_time": end,
            "machine_name": format!("APS-{:03}", one.user % 8),
            "failed_reason": if one.failed { "Incorrect username or password" } else { "" },
            "failed_code": if one.failed { "AUTH_FAILED" } else { "" },
            "client_mac": format!("02-00-5e-00-53-{:02x}", one.user),
            "client_name": format!("LT-{:03}", one.user),
            "client_ip": format!("10.20.0.{}", 10 + one.user),
            "client_version": "23.5.0.0",
            "client_type": "Windows 11",
            "agent_version": "23.5.0.0529",
            "vm_ip": format!("172.16.8.{}", 10 + one.user % 8),
            "connect_flag": "0",
            "update_time": updated,
            "tenant_id": "a4da8115c9d8464ead3a38309130523f",
            "virtual_ip": "",
            "public_ip": one.public_ip,
        }))
    }

    /// An application started soon after.
    fn launch(&mut self, one: &SignIn<'_>) -> Result<(), BadRow> {
        let app = self.random.usize(0..APPS.len());
        let at = one.at + Millis::secs(self.random.i64(20..400));
        let group = APPS[app].split('-').next().unwrap_or_default();
        self.add(json!({
            "id": format!("{:032x}", self.number),
            "machine_name": format!("APS-{:03}", one.user % 8),
            "user_name": format!("{}@corp.example", USERS[one.user]),
            "app_id": format!("app-{app}"),
            "app_name": APPS[app],
            "app_group_name": group,
            "app_group_id": format!("57374397832783467{app}"),
            "brokering_time": spelt(at),
            "end_time": spelt(at + Millis::mins(30)),
            "failed_code": "",
            "connection_failure_reason": "",
            "client_mac": format!("02-00-5e-00-53-{:02x}", one.user),
            "client_name": format!("LT-{:03}", one.user),
            "client_type": "Windows 11",
            "client_version": "23.5.0.0",
            "tenant_id": "a4da8115c9d8464ead3a38309130523f",
            "virtual_ip": "",
            "public_ip": one.public_ip,
        }))
    }
}

/// As in the samples: whole seconds and `Z`.
fn spelt(time: Timestamp) -> String {
    super::dress::spell(super::what::Spelling::Seconds, time)
}
