//! What a list is asked for: window, filters and page, within the bounds that are documented
//! (`reference/huawei-api.md`, 2 and 3).
//!
//! What is not documented is decided here and said here: windows filter on a row's own time, both
//! ends included; `update_time` as a filter is read and changes nothing; empty filters are none;
//! user names of `user-connection` and the desktops' are compared whole; sessions and user events
//! without a window are refused.

use serde_json::{Map, Value};

use crate::record::{Millis, Timestamp};

use super::Request;
use super::fault::Fault;
use super::filters::{self, Filter, Way};
use super::world::{KEPT, List, Row};

/// Largest offset, a 32-bit signed number.
const MAX_OFFSET: u64 = 2_147_483_647;
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
    filters: Vec<(Filter, String)>,
}

/// How a list is asked.
struct Form {
    /// The window's two names.
    window: (&'static str, &'static str),
    /// True where there must be one.
    needed: bool,
    /// True where its times have no seconds.
    minutes: bool,
    filters: &'static [Filter],
}

impl Form {
    fn of(list: List) -> Self {
        let form =
            |start, end, filters| Self { window: (start, end), needed: false, minutes: false, filters };
        match list {
            List::DesktopLogins => {
                Self { minutes: true, ..form("start_time", "end_time", filters::DESKTOP_LOGINS) }
            }
            List::AppLogins => form("login_start_time", "login_end_time", filters::APP_LOGINS),
            List::AppLaunches => form("brokering_start_time", "brokering_end_time", filters::APP_LAUNCHES),
            List::Sessions => {
                Self { needed: true, ..form("query_begin_time", "query_end_time", filters::SESSIONS) }
            }
            List::UserEvents => Self { needed: true, ..form("start_time", "end_time", filters::USER_EVENTS) },
        }
    }
}

impl Ask {
    /// Reads what `request` asks of `list`.
    pub fn read(list: List, request: &Request<'_>) -> Result<Self, Fault> {
        let query = Given::Query(request.query());
        let (least, most, default) = match list {
            List::DesktopLogins => (0, 1_000, 20),
            List::UserEvents => (0, 1_000, 100),
            List::AppLogins | List::AppLaunches | List::Sessions => (1, 100, 10),
        };
        let mut ask = match list {
            List::DesktopLogins | List::Sessions | List::UserEvents => {
                Self::of(list, &Form::of(list), &query)?
            }
            List::AppLogins | List::AppLaunches => Self::of(list, &Form::of(list), &Given::body(request)?)?,
        };
        (ask.offset, ask.limit) = page(&query, (least, most, default))?;
        Ok(ask)
    }

    /// Reads what `request` wants exported of `list`: the same filters, and no page.
    pub fn read_export(list: List, request: &Request<'_>) -> Result<Self, Fault> {
        let form = Form { needed: false, ..Form::of(list) };
        match list {
            List::DesktopLogins | List::UserEvents => Self::of(list, &form, &Given::Query(request.query())),
            List::AppLogins | List::AppLaunches | List::Sessions => {
                Self::of(list, &form, &Given::body(request)?)
            }
        }
    }

    /// The same for the newer export of the desktops: its times have seconds, and both are needed.
    pub fn read_new_export(request: &Request<'_>) -> Result<Self, Fault> {
        let list = List::DesktopLogins;
        let form = Form { needed: true, minutes: false, filters: filters::DESKTOP_EXPORT, ..Form::of(list) };
        Self::of(list, &form, &Given::Query(request.query()))
    }

    fn of(list: List, form: &Form, given: &Given) -> Result<Self, Fault> {
        let (start, end) = form.window;
        let read = if form.minutes { minute } else { time };
        let window = window((start, given.text(start)?), (end, given.text(end)?), read)?;
        if form.needed && window.is_none() {
            return Err(Fault::parameter(&format!("{start} and {end} are required.")));
        }
        if list == List::AppLogins
            && let Some(text) = given.text("update_time")?
        {
            time("update_time", text)?;
        }
        let mut filters = Vec::new();
        for filter in form.filters {
            let Some(value) = given.text(filter.name)? else { continue };
            filter_fits(filter, value)?;
            if (filter.name, value) != ("terminal_type", ANY_CLIENT) {
                filters.push((*filter, value.to_owned()));
            }
        }
        Ok(Self { list, offset: 0, limit: usize::MAX, window, filters })
    }

    /// True where `row`, whose time is `at`, is asked for.
    pub fn takes(&self, row: &Row, at: Option<Timestamp>) -> bool {
        let within = |(start, end): (Timestamp, Timestamp)| at.is_none_or(|at| start <= at && at <= end);
        if !self.window.is_none_or(within) {
            return false;
        }
        if self.filters.is_empty() {
            return true;
        }
        let fields = row.fields();
        self.filters.iter().all(|(filter, wanted)| takes(filter, wanted, &fields))
    }
}

fn takes(filter: &Filter, wanted: &str, fields: &Map<String, Value>) -> bool {
    let text = fields.get(filter.field).and_then(Value::as_str).unwrap_or_default();
    let number = fields.get(filter.field).and_then(Value::as_i64);
    let bound = || wanted.parse::<i64>().ok();
    match filter.way {
        Way::Whole => text == wanted,
        Way::Part => text.to_lowercase().contains(&wanted.to_lowercase()),
        Way::AnyOf => wanted.split(',').any(|one| one.trim() == text),
        Way::Success => matches!(text, "" | "WKS.00000000") == (wanted == "true"),
        Way::Domain => text.split_once('@').is_some_and(|(_, behind)| behind.eq_ignore_ascii_case(wanted)),
        Way::AtLeast => number.zip(bound()).is_some_and(|(number, least)| number >= least),
        Way::AtMost => number.zip(bound()).is_some_and(|(number, most)| number <= most),
    }
}

fn filter_fits(filter: &Filter, value: &str) -> Result<(), Fault> {
    let (name, longest) = (filter.name, filter.longest);
    if value.chars().count() > longest {
        return Err(Fault::parameter(&format!("{name} is longer than {longest}.")));
    }
    match filter.way {
        Way::AtLeast | Way::AtMost => number(name, Some(value), 0, MAX_OFFSET).map(|_| ()),
        Way::Success if !matches!(value, "true" | "false") => {
            Err(Fault::parameter(&format!("{name} is neither true nor false.")))
        }
        Way::Whole | Way::Part | Way::AnyOf | Way::Success | Way::Domain => Ok(()),
    }
}

/// Where a question's words stand.
enum Given {
    Query(Vec<(String, String)>),
    Body(Map<String, Value>),
}

impl Given {
    /// The body: none is as good as `{}`.
    fn body(request: &Request<'_>) -> Result<Self, Fault> {
        if request.body.is_empty() {
            return Ok(Self::Body(Map::new()));
        }
        let read = serde_json::from_slice(request.body);
        read.map(Self::Body).map_err(|_| Fault::message("It is no JSON object."))
    }

    /// The text under `name`; null and empty are not given.
    fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        let text = match self {
            Self::Query(pairs) => pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()),
            Self::Body(body) => match body.get(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.as_str()),
                Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    return Err(Fault::message(&format!("{name} is no string.")));
                }
            },
        };
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// Offset and limit; an empty one is a fault, unlike an empty filter.
fn page(query: &Given, (least, most, default): (u64, u64, u64)) -> Result<(usize, usize), Fault> {
    let Given::Query(pairs) = query else { return Ok((0, usize::MAX)) };
    let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let limit = number("limit", get("limit"), least, most)?.unwrap_or(default);
    let offset = number("offset", get("offset"), 0, MAX_OFFSET)?.unwrap_or(0);
    let whole = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Ok((whole(offset), whole(limit)))
}

/// The page of a list that is none of rows.
pub fn page_of(request: &Request<'_>, bounds: (u64, u64, u64)) -> Result<(usize, usize), Fault> {
    page(&Given::Query(request.query()), bounds)
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
