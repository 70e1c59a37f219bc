//! What the service can be asked by, endpoint by endpoint (`reference/huawei-api.md`, 3): the keys of
//! `filter:` in a configuration and the words of an export.
//!
//! A filter makes the service give fewer rows. What it leaves out no rule ever sees, and totals are
//! those of the rest.

use crate::config::Options;
use crate::record::scan::Endpoint;
use crate::rule::keys::{KeyDoc, MapDoc, Open, Takes, may};
use crate::rule::problem::Problems;

/// Names and values, in the vendor's words.
pub type Filters = Vec<(String, String)>;

/// A filter: its name, the most characters of its value, what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    name: &'static str,
    takes: Value,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    /// So many characters at most.
    Text(usize),
    /// A round trip in ms.
    Number,
    Flag,
}

const fn text(name: &'static str, most: usize) -> Filter {
    Filter { name, takes: Value::Text(most) }
}

pub(super) const APP_LOGINS: &[Filter] = &[
    text("id", 64),
    text("connect_type", 32),
    text("user_name", 255),
    text("machine_sid", 128),
    text("machine_name", 255),
    text("failed_reason", 255),
    text("failed_code", 255),
    text("client_name", 255),
    text("client_version", 255),
    text("client_type", 255),
    text("agent_version", 50),
    text("vm_ip", 50),
    text("connect_flag", 50),
    text("wi_ip", 50),
    text("public_ip", 50),
    text("update_time", 32),
    text("tenant_id", 255),
    text("virtual_ip", 50),
];

pub(super) const APP_LAUNCHES: &[Filter] = &[
    text("id", 64),
    text("sid", 128),
    text("machine_name", 1_024),
    text("user_name", 1_024),
    text("app_group_name", 1_024),
    text("app_group_id", 64),
    text("app_name", 1_024),
    text("failed_code", 255),
    text("connection_failure_reason", 1_024),
    text("client_name", 1_024),
    text("client_version", 50),
    text("client_type", 255),
    text("agent_version", 50),
    text("vm_ip", 50),
    text("wi_ip", 50),
    text("public_ip", 50),
    text("tenant_id", 255),
    text("virtual_ip", 50),
];

pub(super) const DESKTOP_LOGINS: &[Filter] = &[
    text("user_name", 255),
    text("computer_name", 255),
    text("terminal_type", 255),
    Filter { name: "min_network_rtt", takes: Value::Number },
    Filter { name: "max_network_rtt", takes: Value::Number },
    text("enterprise_project_id", 64),
    text("public_ip", 50),
    text("domain", 255),
];

/// The newer export of desktop logins; its lists are asked by other words.
pub(super) const DESKTOP_EXPORT: &[Filter] = &[
    text("user_name", 255),
    text("computer_name", 255),
    text("terminal_type", 255),
    text("language", 5),
    Filter { name: "min_e2e_rtt", takes: Value::Number },
    Filter { name: "max_e2e_rtt", takes: Value::Number },
    text("enterprise_project_id", 64),
    text("public_ip", 50),
    text("domain", 255),
];

pub(super) const SESSIONS: &[Filter] = &[
    text("user_name", 64),
    text("app_server_group_id", 64),
    text("vm_ip", 64),
    text("public_ip", 64),
    text("machine_name", 128),
    text("session_state", 256),
    Filter { name: "is_success", takes: Value::Flag },
];

pub(super) const USER_EVENTS: &[Filter] = &[
    text("username", 255),
    text("event_type", 1_024),
    text("resource_id", 64),
    text("resource_name", 255),
    text("domain", 255),
];

/// What is wrong with a filter: the fault and the way out.
pub(super) fn fault(known: &[Filter], name: &str, value: &str) -> Option<(String, String)> {
    let Some(filter) = known.iter().find(|filter| filter.name == name) else {
        let names: Vec<String> = known.iter().map(|filter| format!("`{}`", filter.name)).collect();
        let hint = format!("known: {}", names.join(", "));
        return Some((format!("the service cannot be asked by `{name}` here"), hint));
    };
    let count = value.chars().count();
    match filter.takes {
        Value::Text(most) if count > most => Some((
            format!("`{name}` has {count} characters; the service takes {most}"),
            "shorten it, or let a rule's `match` decide".to_owned(),
        )),
        Value::Text(_) => None,
        Value::Number if value.parse::<u32>().is_ok() => None,
        Value::Number => Some((
            format!("`{name}` takes a whole number of ms, not `{value}`"),
            format!("write `{name}: 200`"),
        )),
        Value::Flag if matches!(value, "true" | "false") => None,
        Value::Flag => Some((
            format!("`{name}` takes true or false, not `{value}`"),
            format!("write `{name}: false` for what failed"),
        )),
    }
}

macro_rules! keys {
    ($($name:literal = $example:literal),* $(,)?) => {
        &[$(may($name, Takes::Text, "only rows with this value", concat!($name, ": ", $example))),*]
    };
}

const fn table(name: &'static str, keys: &'static [KeyDoc]) -> MapDoc {
    MapDoc { name, about: "what the service is asked by; it gives no other rows", open: Open::Closed, keys }
}

static OF_APP_LOGINS: MapDoc = table(
    "`app_logins` of `filter`",
    keys![
        "id" = "8cdf5127036b11ee9f75fa163e289e5a",
        "connect_type" = "2",
        "user_name" = "ana@corp.example",
        "machine_sid" = "S-1-5-21-1-2-3-1418",
        "machine_name" = "APS-01",
        "failed_reason" = "timeout",
        "failed_code" = "500",
        "client_name" = "LT-001",
        "client_version" = "23.2.2.0",
        "client_type" = "Windows 10",
        "agent_version" = "23.2.2.0423",
        "vm_ip" = "10.0.0.9",
        "connect_flag" = "0",
        "wi_ip" = "192.0.2.1",
        "public_ip" = "203.0.113.9",
        "update_time" = "2026-01-05T09:00:00Z",
        "tenant_id" = "a4da8115c9d8464ead3a38309130523f",
        "virtual_ip" = "10.0.0.8",
    ],
);
static OF_APP_LAUNCHES: MapDoc = table(
    "`app_launches` of `filter`",
    keys![
        "id" = "8cdf5127036b11ee9f75fa163e289e5a",
        "sid" = "S-1-5-21-1-2-3-1418",
        "machine_name" = "APS-01",
        "user_name" = "ana",
        "app_group_name" = "Office",
        "app_group_id" = "100000000000000001",
        "app_name" = "Notepad++",
        "failed_code" = "500",
        "connection_failure_reason" = "timeout",
        "client_name" = "LT-001",
        "client_version" = "23.2.2.0",
        "client_type" = "Windows 10",
        "agent_version" = "23.2.2.0423",
        "vm_ip" = "10.0.0.9",
        "wi_ip" = "192.0.2.1",
        "public_ip" = "203.0.113.9",
        "tenant_id" = "a4da8115c9d8464ead3a38309130523f",
        "virtual_ip" = "10.0.0.8",
    ],
);
static OF_DESKTOP_LOGINS: MapDoc = table(
    "`desktop_logins` of `filter`",
    keys![
        "user_name" = "ana@corp.example",
        "computer_name" = "D-001",
        "terminal_type" = "WI",
        "min_network_rtt" = "200",
        "max_network_rtt" = "1000",
        "enterprise_project_id" = "0",
        "public_ip" = "203.0.113.9",
        "domain" = "corp.example",
    ],
);
static OF_SESSIONS: MapDoc = table(
    "`sessions` of `filter`",
    keys![
        "user_name" = "ana",
        "app_server_group_id" = "8cdf5127036b11ee9f75fa163e289e5a",
        "vm_ip" = "10.0.0.9",
        "public_ip" = "203.0.113.9",
        "machine_name" = "APS-01",
        "session_state" = "Active,Disconnected",
        "is_success" = "false",
    ],
);
static OF_USER_EVENTS: MapDoc = table(
    "`user_events` of `filter`",
    keys![
        "username" = "ana",
        "event_type" = "LOGIN_BY_PASSWORD",
        "resource_id" = "8cdf5127036b11ee9f75fa163e289e5a",
        "resource_name" = "D-001",
        "domain" = "corp.example",
    ],
);

/// `filter:` of a source.
pub(super) static FILTER: MapDoc = MapDoc {
    name: "`filter`",
    about: "what the service is asked by, an endpoint; no rule sees what it leaves out",
    open: Open::Closed,
    keys: &[
        may(
            "desktop_logins",
            Takes::Map(&OF_DESKTOP_LOGINS),
            "of desktop logins",
            "desktop_logins: {domain: corp.example}",
        ),
        may(
            "app_logins",
            Takes::Map(&OF_APP_LOGINS),
            "of logins to applications",
            "app_logins: {connect_type: 2}",
        ),
        may(
            "app_launches",
            Takes::Map(&OF_APP_LAUNCHES),
            "of starts of applications",
            "app_launches: {app_name: Notepad++}",
        ),
        may("sessions", Takes::Map(&OF_SESSIONS), "of sessions", "sessions: {is_success: false}"),
        may("user_events", Takes::Map(&OF_USER_EVENTS), "of user events", "user_events: {username: ana}"),
    ],
};

/// The documented filters of an endpoint, and their keys.
fn of(endpoint: Endpoint) -> (&'static [Filter], &'static MapDoc) {
    match endpoint {
        Endpoint::DesktopLogins => (DESKTOP_LOGINS, &OF_DESKTOP_LOGINS),
        Endpoint::AppLogins => (APP_LOGINS, &OF_APP_LOGINS),
        Endpoint::AppLaunches => (APP_LAUNCHES, &OF_APP_LAUNCHES),
        Endpoint::Sessions => (SESSIONS, &OF_SESSIONS),
        Endpoint::UserEvents => (USER_EVENTS, &OF_USER_EVENTS),
    }
}

/// What a source's `filter:` says of each of its endpoints; every fault is noted.
pub(super) fn read(
    options: &Options<'_>,
    endpoints: &[Endpoint],
    problems: &mut Problems,
) -> Vec<(Endpoint, Filters)> {
    if !options.has("filter") {
        return Vec::new();
    }
    let Some(map) = options.map(problems, "filter", &FILTER) else { return Vec::new() };
    let mut read = Vec::new();
    for endpoint in Endpoint::ALL {
        let name = endpoint.as_str();
        if !map.has(name) {
            continue;
        }
        if !endpoints.contains(&endpoint) {
            let message = format!("`{name}` is not read, so there is nothing to filter");
            map.fault(
                problems,
                name,
                message,
                format!("add `{name}` to `endpoints`, or take the filter out"),
            );
            continue;
        }
        let (known, doc) = of(endpoint);
        let Some(own) = map.map(problems, name, doc) else { continue };
        let mut filters = Filters::new();
        for filter in known.iter().filter(|filter| own.has(filter.name)) {
            let Some(value) = own.text(problems, filter.name) else { continue };
            match fault(known, filter.name, &value) {
                Some((message, hint)) => own.fault(problems, filter.name, message, hint),
                None => filters.push((filter.name.to_owned(), value)),
            }
        }
        read.push((endpoint, filters));
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_has_a_key_and_its_example_is_sound() {
        for endpoint in Endpoint::ALL {
            let (known, doc) = of(endpoint);
            let names: Vec<&str> = known.iter().map(|filter| filter.name).collect();
            let keys: Vec<&str> = doc.keys.iter().map(|key| key.name).collect();
            assert_eq!(names, keys);
            for key in doc.keys {
                let value = key.example.split_once(": ").unwrap().1;
                assert_eq!(fault(known, key.name, value), None, "{}", key.example);
            }
        }
    }

    #[test]
    fn a_filter_that_the_service_would_refuse_is_told_before_it_does() {
        let told = |name: &str, value: &str| fault(SESSIONS, name, value).unwrap().0;
        assert_eq!(told("colour", "red"), "the service cannot be asked by `colour` here");
        assert_eq!(told("user_name", &"x".repeat(65)), "`user_name` has 65 characters; the service takes 64");
        assert_eq!(told("is_success", "yes"), "`is_success` takes true or false, not `yes`");
        let told = fault(DESKTOP_LOGINS, "min_network_rtt", "slow").unwrap();
        assert_eq!(told.0, "`min_network_rtt` takes a whole number of ms, not `slow`");
    }
}
