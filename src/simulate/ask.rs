//! What a list is asked for: window, filters and page, within the bounds that are documented
//! (`reference/huawei-api.md`, 2 and 3).
//!
//! What is not documented is decided here and said here: windows filter on a row's own time, both
//! ends included; `update_time` as a filter is read and changes nothing; empty filters are none;
//! user names of `user-connection` and the desktops' are compared whole.

use serde_json::{Map, Value};

use crate::record::{Millis, Timestamp};

use super::Request;
use super::fault::Fault;
use super::world::{KEPT, List, Row};

/// Largest offset, a 32-bit signed number.
const MAX_OFFSET: u64 = 2_147_483_647;

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The whole value.
    Whole,
    /// A part of it, whatever the case.
    Part,
}

/// Filters of `user-connection`: name and longest value.
const APP_LOGIN_FILTERS: &[(&str, usize)] = &[
    ("id", 64),
    ("connect_type", 32),
    ("user_name", 255),
    ("machine_sid", 128),
    ("machine_name", 255),
    ("failed_reason", 255),
    ("failed_code", 255),
    ("client_name", 255),
    ("client_version", 255),
    ("client_type", 255),
    ("agent_version", 50),
    ("vm_ip", 50),
    ("connect_flag", 50),
    ("wi_ip", 50),
    ("public_ip", 50),
    ("tenant_id", 255),
    ("virtual_ip", 50),
];

/// Filters of `app-connection`.
const APP_LAUNCH_FILTERS: &[(&str, usize)] = &[
    ("id", 64),
    ("sid", 128),
    ("machine_name", 1_024),
    ("user_name", 1_024),
    ("app_group_name", 1_024),
    ("app_group_id", 64),
    ("app_name", 1_024),
    ("failed_code", 255),
    ("connection_failure_reason", 1_024),
    ("client_name", 1_024),
    ("client_version", 50),
    ("client_type", 255),
    ("agent_version", 50),
    ("vm_ip", 50),
    ("wi_ip", 50),
    ("public_ip", 50),
    ("tenant_id", 255),
    ("virtual_ip", 50),
];

/// Filters of the desktops' list; the last two are the SDK's.
const DESKTOP_FILTERS: &[(&str, usize)] = &[
    ("user_name", 255),
    ("computer_name", 255),
    ("terminal_type", 255),
    ("enterprise_project_id", 64),
    ("public_ip", 64),
];

/// The one value of `terminal_type` that the page names: the client, not its system.
const ANY_CLIENT: &str = "WI";

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Which list.
    pub list: List,
    /// Rows left out at the beginning.
    pub offset: usize,
    /// Most rows of the answer.
    pub limit: usize,
    /// First and last time, both included; none where neither was given.
    pub window: Option<(Timestamp, Timestamp)>,
    filters: Vec<(&'static str, Way, String)>,
    /// Part of the user's name behind `@`.
    domain: Option<String>,
    /// Bounds of the delay end to end, in milliseconds.
    rtt: (Option<i64>, Option<i64>),
}

impl Ask {
    /// Reads what `request` asks of `list`.
    pub fn read(list: List, request: &Request<'_>) -> Result<Self, Fault> {
        let query = request.query();
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (least, most, default) = match list {
            List::DesktopLogins => (0, 1_000, 20),
            List::AppLogins | List::AppLaunches => (1, 100, 10),
        };
        let limit = number("limit", get("limit"), least, most)?.unwrap_or(default);
        let offset = number("offset", get("offset"), 0, MAX_OFFSET)?.unwrap_or(0);
        let page = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let mut ask = Self {
            list,
            offset: page(offset),
            limit: page(limit),
            window: None,
            filters: Vec::new(),
            domain: None,
            rtt: (None, None),
        };
        match list {
            List::DesktopLogins => ask.read_query(get)?,
            List::AppLogins => {
                let body = body(request)?;
                ask.read_body(&body, APP_LOGIN_FILTERS, ("login_start_time", "login_end_time"))?;
                if let Some(text) = given(&body, "update_time")? {
                    time("update_time", text)?;
                }
            }
            List::AppLaunches => {
                let body = body(request)?;
                ask.read_body(&body, APP_LAUNCH_FILTERS, ("brokering_start_time", "brokering_end_time"))?;
            }
        }
        Ok(ask)
    }

    fn read_query<'q>(&mut self, get: impl Fn(&str) -> Option<&'q str>) -> Result<(), Fault> {
        let given = |name: &str| -> Option<&'q str> { get(name).filter(|value| !value.is_empty()) };
        self.window = window(("start_time", given("start_time")), ("end_time", given("end_time")), minute)?;
        for (name, longest) in DESKTOP_FILTERS {
            if let Some(value) = given(name) {
                bounded(name, value, *longest)?;
                let way = if *name == "terminal_type" { Way::Part } else { Way::Whole };
                if (*name, value) != ("terminal_type", ANY_CLIENT) {
                    self.filters.push((name, way, value.to_owned()));
                }
            }
        }
        self.domain = given("domain").map(str::to_owned);
        let bound = |name: &str| -> Result<Option<i64>, Fault> {
            Ok(number(name, given(name), 0, MAX_OFFSET)?.and_then(|bound| i64::try_from(bound).ok()))
        };
        self.rtt = (bound("min_network_rtt")?, bound("max_network_rtt")?);
        Ok(())
    }

    fn read_body(
        &mut self,
        body: &Map<String, Value>,
        filters: &'static [(&'static str, usize)],
        (start, end): (&'static str, &'static str),
    ) -> Result<(), Fault> {
        self.window = window((start, given(body, start)?), (end, given(body, end)?), time)?;
        for (name, longest) in filters {
            if let Some(value) = given(body, name)? {
                bounded(name, value, *longest)?;
                let fuzzy = self.list == List::AppLaunches && matches!(*name, "user_name" | "app_name");
                let way = if fuzzy { Way::Part } else { Way::Whole };
                self.filters.push((name, way, value.to_owned()));
            }
        }
        Ok(())
    }

    /// True where `row`, whose time is `at`, is asked for.
    pub fn takes(&self, row: &Row, at: Option<Timestamp>) -> bool {
        let text = |name: &str| row.fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let within = |(start, end): (Timestamp, Timestamp)| at.is_none_or(|at| start <= at && at <= end);
        let rtt = row.fields.get("e2e_rtt").and_then(Value::as_i64);
        self.window.is_none_or(within)
            && self.filters.iter().all(|(name, way, wanted)| match way {
                Way::Whole => text(name) == wanted,
                Way::Part => text(name).to_lowercase().contains(&wanted.to_lowercase()),
            })
            && self.domain.as_deref().is_none_or(|domain| {
                text("user_name")
                    .split_once('@')
                    .is_some_and(|(_, behind)| behind.eq_ignore_ascii_case(domain))
            })
            && self.rtt.0.is_none_or(|least| rtt.is_some_and(|rtt| rtt >= least))
            && self.rtt.1.is_none_or(|most| rtt.is_some_and(|rtt| rtt <= most))
    }
}

/// The body: none is as good as `{}`.
fn body(request: &Request<'_>) -> Result<Map<String, Value>, Fault> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(request.body).map_err(|_| Fault::message("It is no JSON object."))
}

/// The text under `name`; null and empty are not given.
fn given<'b>(body: &'b Map<String, Value>, name: &str) -> Result<Option<&'b str>, Fault> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Fault::message(&format!("{name} is no string.")))
        }
    }
}

fn bounded(name: &str, value: &str, longest: usize) -> Result<(), Fault> {
    let fits = value.chars().count() <= longest;
    if fits { Ok(()) } else { Err(Fault::parameter(&format!("{name} is longer than {longest}."))) }
}

fn number(name: &str, text: Option<&str>, least: u64, most: u64) -> Result<Option<u64>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.map(Some).ok_or_else(|| Fault::parameter(&format!("{name} is not within {least} and {most}.")))
}

/// Any spelling that the official clients send (`reference/huawei-api.md`, 5.1).
fn time(name: &str, text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse(text).ok_or_else(|| Fault::parameter(&format!("{name} is no time.")))
}

/// The desktops' list knows minutes only: `2016-08-20T21:11Z`.
fn minute(name: &str, text: &str) -> Result<Timestamp, Fault> {
    let fits = text.len() == "2016-08-20T21:11Z".len() && text.ends_with('Z') && text.contains('T');
    let time = if fits { Timestamp::parse(text) } else { None };
    time.ok_or_else(|| Fault::parameter(&format!("{name} is not of the form yyyy-MM-ddTHH:mmZ.")))
}

/// Both ends or neither, in order, and no more than the service keeps.
fn window(
    (start_name, start): (&str, Option<&str>),
    (end_name, end): (&str, Option<&str>),
    read: impl Fn(&str, &str) -> Result<Timestamp, Fault>,
) -> Result<Option<(Timestamp, Timestamp)>, Fault> {
    let (start, end) = match (start, end) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (read(start_name, start)?, read(end_name, end)?),
        (Some(_), None) | (None, Some(_)) => {
            return Err(Fault::parameter(&format!(
                "{start_name} and {end_name} are given both or not at all."
            )));
        }
    };
    if end < start {
        return Err(Fault::parameter(&format!("{end_name} is before {start_name}.")));
    }
    if end - start > KEPT {
        let days = KEPT.0 / Millis::days(1).0;
        return Err(Fault::parameter(&format!(
            "{start_name} and {end_name} are more than {days} days apart."
        )));
    }
    Ok(Some((start, end)))
}
