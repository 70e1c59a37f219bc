//! Rows in the shapes of the five lists.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::record::{Millis, Timestamp};
use crate::simulate::dress::spell;
use crate::simulate::what::Spelling;
use crate::simulate::world::{BadRow, List, World};

use super::{Play, Scenario};

const APPS: [&str; 4] = ["Office-Spreadsheet", "Office-Mail", "Design-Drawings", "Finance-Ledger"];
const AGENT: &str = "23.5.0.0529";
const TENANT: &str = "a4da8115c9d8464ead3a38309130523f";

/// One thing that somebody does.
pub struct Act<'a> {
    pub list: List,
    pub at: Timestamp,
    pub account: &'a str,
    /// Number of the device that is used.
    pub device: u32,
    pub public_ip: Ipv4Addr,
    pub version: String,
    pub reconnect: bool,
    pub failed: bool,
    pub reason: &'a str,
    pub lasts: Millis,
    pub rtt: u32,
}

impl<'a> Act<'a> {
    pub fn new(list: List, at: Timestamp, account: &'a str, device: u32) -> Self {
        Self {
            list,
            at,
            account,
            device,
            public_ip: Ipv4Addr::UNSPECIFIED,
            version: "23.5.0.0".to_owned(),
            reconnect: false,
            failed: false,
            reason: "Incorrect username or password",
            lasts: Millis::ZERO,
            rtt: 0,
        }
    }
}

/// Writes rows into a world, and remembers which are planted.
pub struct Writer {
    world: World,
    planted: Vec<(u64, usize)>,
}

impl Writer {
    pub fn new(scenario: &Scenario) -> Self {
        Self { world: World::new(scenario.seed), planted: Vec::new() }
    }

    /// Says that the next row belongs to an attack.
    pub fn plant(&mut self, attack: usize) {
        self.planted.push((self.world.len() as u64, attack));
    }

    pub fn write(&mut self, act: &Act<'_>) -> Result<(), BadRow> {
        let number = self.world.len() as u64;
        let row = match act.list {
            List::DesktopLogins => desktop(act, number),
            List::AppLogins => login(act, number),
            List::AppLaunches => launch(act, number),
            List::Sessions => session(act, number),
            List::UserEvents => event(act, number),
        };
        self.world.add(row)
    }

    pub fn finish(self) -> Play {
        Play { world: self.world, planted: self.planted }
    }
}

fn spelt(time: Timestamp) -> String {
    spell(Spelling::Seconds, time)
}

/// A UUID of version 1 without its dashes, as to its form.
fn uuid(number: u64) -> String {
    format!("{:08x}{:04x}11f0a5e4fa163e000000", number & 0xffff_ffff, number >> 32)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn user(act: &Act<'_>) -> String {
    format!("{}@corp.example", act.account)
}

fn mac(act: &Act<'_>) -> String {
    let [_, a, b, c] = act.device.to_be_bytes();
    format!("02-00-5e-{a:02x}-{b:02x}-{c:02x}")
}

fn client(act: &Act<'_>) -> String {
    format!("LT-{:05}", act.device)
}

fn client_ip(act: &Act<'_>) -> String {
    let [_, a, b, c] = act.device.to_be_bytes();
    Ipv4Addr::new(10, a, b, c).to_string()
}

/// Empty where it failed: such a row is closed from the first.
fn end(act: &Act<'_>) -> String {
    if act.failed { String::new() } else { spelt(act.at + act.lasts) }
}

fn reason<'a>(act: &Act<'a>) -> &'a str {
    if act.failed { act.reason } else { "" }
}

fn code(act: &Act<'_>) -> &'static str {
    if act.failed { "AUTH_FAILED" } else { "" }
}

fn desktop(act: &Act<'_>, number: u64) -> Map<String, Value> {
    object(json!({
        "transaction_id": uuid(number),
        "computer_name": format!("DESK-{:05}", act.device),
        "user_name": user(act),
        "terminal_mac": mac(act),
        "terminal_name": client(act),
        "terminal_ip": client_ip(act),
        "client_version": act.version,
        "terminal_type": "Windows 11",
        "agent_version": AGENT,
        "desktop_ip": client_ip(act),
        "connection_start_time": spelt(act.at),
        "connection_setup_time": if act.failed { String::new() } else { spelt(act.at + Millis::secs(4)) },
        "connection_end_time": end(act),
        "is_reconnect": act.reconnect,
        "connection_failure_reason": reason(act),
        "public_ip": act.public_ip,
        "network_rtt": act.rtt,
        "e2e_rtt": act.rtt + 25,
    }))
}

fn login(act: &Act<'_>, number: u64) -> Map<String, Value> {
    object(json!({
        "id": number.to_string(),
        "connect_type": "2",
        "user_name": user(act),
        "pre_conn_time": spelt(act.at),
        "start_time": spelt(act.at),
        "end_time": end(act),
        "machine_name": format!("APS-{:04}", act.device % 64),
        "failed_reason": reason(act),
        "failed_code": code(act),
        "client_mac": mac(act),
        "client_name": client(act),
        "client_ip": client_ip(act),
        "client_version": act.version,
        "client_type": "Windows 11",
        "agent_version": AGENT,
        "connect_flag": "0",
        "update_time": if act.failed { spelt(act.at) } else { end(act) },
        "tenant_id": TENANT,
        "virtual_ip": "",
        "public_ip": act.public_ip,
    }))
}

fn launch(act: &Act<'_>, number: u64) -> Map<String, Value> {
    let app = APPS[(number % 4) as usize];
    object(json!({
        "id": uuid(number),
        "machine_name": format!("APS-{:04}", act.device % 64),
        "user_name": user(act),
        "app_name": app,
        "app_group_name": app.split('-').next(),
        "app_group_id": "573743978327834670",
        "brokering_time": spelt(act.at),
        "end_time": end(act),
        "failed_code": code(act),
        "connection_failure_reason": reason(act),
        "client_mac": mac(act),
        "client_name": client(act),
        "client_type": "Windows 11",
        "client_version": act.version,
        "tenant_id": TENANT,
        "virtual_ip": "",
        "public_ip": act.public_ip,
    }))
}

fn session(act: &Act<'_>, number: u64) -> Map<String, Value> {
    object(json!({
        "id": uuid(number),
        "session_stamp": format!("S-1-5-21-1-2-3-{}-{}-HDP-{number}", act.device, act.account),
        "os_session_id": number.to_string(),
        "protocol_type": "HDP",
        "login_user": user(act),
        "session_type": "2",
        "pre_conn_time": spelt(act.at),
        "start_time": spelt(act.at),
        "end_time": end(act),
        "status_continue_time": "0",
        "machine_name": format!("APS-{:04}", act.device % 64),
        "session_state": if act.failed { "InitFail" } else { "SignedOut" },
        "client_mac": mac(act),
        "client_name": client(act),
        "client_ip": client_ip(act),
        "client_version": act.version,
        "client_type": "Windows 11",
        "agent_version": AGENT,
        "failed_reason": reason(act),
        "failed_code": code(act),
        "last_update_status_time": if act.failed { spelt(act.at) } else { end(act) },
        "tenant_id": TENANT,
        "public_ip": act.public_ip,
    }))
}

fn event(act: &Act<'_>, number: u64) -> Map<String, Value> {
    object(json!({
        "username": act.account,
        "event_trace_id": uuid(number),
        "event_type": "USER_LOGIN",
        "event_time": spelt(act.at),
        "client_type": "Windows 11",
        "client_ip": client_ip(act),
        "client_mac": mac(act),
        "client_version": act.version,
        "source_ip": act.public_ip,
        "is_success": !act.failed,
        "error_code": code(act),
        "error_msg": reason(act),
        "action_type": "USER",
    }))
}
