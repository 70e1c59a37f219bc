//! What the tests of the simulated service share: a client that signs, and rows to be served.

use serde_json::{Value, json};

use ring::{digest, hmac};

use super::{Answer, Options, Request, Simulation, World};
use crate::record::Timestamp;

/// A token that every test's service takes.
pub const TOKEN: &str = "FAKE-TOKEN";
/// What the wall clock of every test shows, years after the records: 2026-11-20T18:30:00Z.
pub const WALL: Timestamp = Timestamp(1_795_199_400_000);
pub const DESKTOPS: &str = "/v2/0123456789abcdef0123456789abcdef/connections/desktops";
pub const LOGINS: &str = "/v1/0123456789abcdef0123456789abcdef/session/user-connection";
pub const LAUNCHES: &str = "/v1/0123456789abcdef0123456789abcdef/session/app-connection";

/// A time of the day that the tests' rows are of.
pub fn day(time: &str) -> String {
    format!("2023-06-05T{time}Z")
}

pub fn time(text: &str) -> Timestamp {
    day(text).parse().unwrap()
}

/// A row of `user-connection`.
pub fn login(id: &str, start: &str, end: &str) -> String {
    let (start, end) = (day(start), if end.is_empty() { String::new() } else { day(end) });
    let updated = if end.is_empty() { start.clone() } else { end.clone() };
    json!({"id": id, "connect_type": "2", "user_name": "ana@corp.example", "pre_conn_time": start,
        "start_time": start, "end_time": end, "failed_reason": "", "failed_code": "", "connect_flag": "0",
        "update_time": updated, "public_ip": "198.51.100.7"})
    .to_string()
}

/// A row of the desktops.
pub fn desktop(id: &str, start: &str, user: &str, rtt: u32) -> String {
    json!({"transaction_id": id, "computer_name": "DESK-1", "user_name": user, "connection_start_time": day(start),
        "connection_failure_reason": "", "is_reconnect": false, "network_rtt": rtt, "e2e_rtt": rtt,
        "terminal_type": "Windows 10", "public_ip": "0.0.0.0"})
    .to_string()
}

/// A service whose virtual clock stands, late on the day of the rows.
pub struct Service {
    pub simulation: Simulation,
    pub wall: Timestamp,
}

impl Service {
    pub fn of(lines: &[String]) -> Self {
        Self::with(lines, |_| {})
    }

    pub fn with(lines: &[String], set_up: impl FnOnce(&mut Options)) -> Self {
        let world = World::of_lines(7, lines.iter().map(String::as_str)).unwrap();
        let mut options = Options { speed: 0, tokens: vec![TOKEN.to_owned()], ..Options::new(|| WALL) };
        options.start = Some(time("20:00:00"));
        set_up(&mut options);
        Self { simulation: Simulation::new(world, &options, WALL).unwrap(), wall: WALL }
    }

    /// Sets the virtual clock to a time of the day.
    pub fn at(&mut self, text: &str) -> &mut Self {
        self.simulation.clock().set(time(text), self.wall);
        self
    }

    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request =
            Request { method, target, headers: &headers, body: body.as_bytes(), local: true, host: None };
        self.simulation.answer(&request, self.wall)
    }

    /// With the token that is always good.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, &[("X-Auth-Token", TOKEN), ("Content-Type", "application/json")], "")
    }

    pub fn post(&mut self, target: &str, body: &str) -> Answer {
        self.send("POST", target, &[("X-Auth-Token", TOKEN), ("Content-Type", "application/json")], body)
    }

    /// The ids of a list, in the order they came.
    pub fn ids(&mut self, list: &str, limit: usize) -> Vec<String> {
        let answer = if list.starts_with(DESKTOPS) {
            self.get(&format!("{list}?limit={limit}"))
        } else {
            self.post(&format!("{list}?limit={limit}"), "{}")
        };
        ids(&answer)
    }
}

pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// The rows of a page.
pub fn rows(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let body = body(answer);
    let rows = body.get("items").or(body.get("records")).unwrap();
    rows.as_array().unwrap().clone()
}

pub fn ids(answer: &Answer) -> Vec<String> {
    let id = |row: &Value| row.get("id").or(row.get("transaction_id")).unwrap().as_str().unwrap().to_owned();
    rows(answer).iter().map(id).collect()
}

/// A header of an answer.
pub fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// One request to be signed. It is spelt out after the vendor's text, apart from what verifies it:
/// path and query are given as they are meant, not as they are sent.
pub struct Signed<'s> {
    pub method: &'s str,
    pub path: &'s str,
    pub query: &'s [(&'s str, &'s str)],
    pub headers: &'s [(&'s str, &'s str)],
    pub body: &'s str,
}

impl Signed<'_> {
    /// The `Authorization` header.
    pub fn authorization(&self, ak: &str, sk: &str) -> String {
        let date = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-sdk-date")).unwrap().1;
        self.authorization_at(date, ak, sk)
    }

    /// The same for a date that need not be among the signed headers.
    pub fn authorization_at(&self, date: &str, ak: &str, sk: &str) -> String {
        let mut names: Vec<(String, &str)> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.trim())).collect();
        names.sort();
        let signed = names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let listed =
            names.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
        let mut query = self.query.to_vec();
        query.sort_unstable();
        let query: Vec<String> =
            query.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
        let hash = |bytes: &[u8]| plain_hex(digest::digest(&digest::SHA256, bytes).as_ref());
        let canonical = format!(
            "{}\n{}/\n{}\n{listed}\n{signed}\n{}",
            self.method,
            self.path,
            query.join("&"),
            hash(self.body.as_bytes())
        );
        let text = format!("SDK-HMAC-SHA256\n{date}\n{}", hash(canonical.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, sk.as_bytes());
        let signature = plain_hex(hmac::sign(&key, text.as_bytes()).as_ref());
        format!("SDK-HMAC-SHA256 Access={ak}, SignedHeaders={signed}, Signature={signature}")
    }
}

fn plain_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let one = |c: char| {
        let bytes = c.to_string().into_bytes();
        if plain(c) {
            c.to_string()
        } else {
            bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
        }
    };
    text.chars().map(one).collect()
}

/// A file of the reference or data beside the repository; none, said aloud, where it is not there.
#[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
pub fn beside(path: &str) -> Option<String> {
    let shared = std::env::var("LARUM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let file = std::path::Path::new(&shared).join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(std::env::var("LARUM_CI").is_err(), "`{}`: {error}; set LARUM_SHARED", file.display());
            eprintln!("SKIPPED: `{}`: {error}; set LARUM_SHARED", file.display());
            None
        }
    }
}
