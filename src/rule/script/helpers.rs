//! The functions that a script has besides the language: pure, bounded, and the same everywhere.
//!
//! What a helper is given may come from a record: it answers `false` or `()` for what it cannot
//! read. What the script's author wrote (a network, a zone, a pattern) is a fault when it is wrong.
#![expect(clippy::needless_pass_by_value, reason = "Rhai hands arguments over by value")]
#![expect(clippy::unnecessary_box_returns, reason = "Rhai's errors are boxed")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use ipnet::IpNet;
use regex::Regex;
use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, Map, Position};

use super::Raised;
use super::limits::charge;
use super::view::{View, datum};
use crate::record::place::metres;
use crate::record::{Datum, Timestamp};
use crate::rule::pattern::Pattern;

/// Patterns of one script that are kept compiled. Those that the script spells out come first; a
/// script that makes more at run time compiles them again.
const MAX_PATTERNS: usize = 64;

/// What compiling a pattern at run time counts for, kept compiled or not: the count must not depend
/// on what ran before.
const PATTERN_OPERATIONS: u64 = 2_000;

/// Bytes of text that a match looks through in what counts as one operation.
const MATCHED_BYTES: u64 = 32;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// The compiled patterns of one script.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    literal: BTreeMap<String, Arc<Regex>>,
    made: Mutex<BTreeMap<String, Arc<Regex>>>,
}

impl Patterns {
    /// Compiles a pattern that the script spells out.
    pub(super) fn spell(&mut self, text: &str) -> Result<(), String> {
        if !self.literal.contains_key(text) {
            self.literal.insert(text.to_owned(), pattern(text)?);
        }
        Ok(())
    }

    fn find(&self, text: &str) -> Outcome<Arc<Regex>> {
        if let Some(regex) = self.literal.get(text) {
            return Ok(regex.clone());
        }
        charge(PATTERN_OPERATIONS);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = made.get(text) {
            return Ok(regex.clone());
        }
        let regex = pattern(text).map_err(fault)?;
        if made.len() >= MAX_PATTERNS {
            made.clear();
        }
        made.insert(text.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// Teaches `engine` the helpers and `alert`.
pub(super) fn register(engine: &mut Engine, patterns: &Arc<Patterns>) {
    let patterns = patterns.clone();
    engine.register_type_with_name::<Raised>("alert");
    engine.register_fn("alert", raise);
    engine.register_fn("cidr", cidr);
    engine.register_fn("km", km);
    engine.register_fn("minutes", minutes);
    engine.register_fn("hour", hour);
    engine.register_fn("matches", move |text: Dynamic, regex: &str| -> Outcome<bool> {
        let regex = patterns.find(regex)?;
        let Ok(text) = text.as_immutable_string_ref() else { return Ok(false) };
        charge(1 + text.len() as u64 / MATCHED_BYTES);
        Ok(regex.is_match(&text))
    });
    register_numbers(engine);
}

/// The part of arithmetic that IEEE 754 fixes to the last bit; sines and powers differ by machine.
fn register_numbers(engine: &mut Engine) {
    engine.register_fn("floor", |x: FLOAT| x.floor());
    engine.register_fn("ceiling", |x: FLOAT| x.ceil());
    engine.register_fn("round", |x: FLOAT| x.round());
    engine.register_fn("sqrt", |x: FLOAT| x.sqrt());
    engine.register_fn("is_nan", |x: FLOAT| x.is_nan());
    engine.register_fn("to_float", |x: FLOAT| x);
    engine.register_fn("to_int", |x: INT| x);
    #[expect(clippy::cast_precision_loss, reason = "what the script asks for")]
    engine.register_fn("to_float", |x: INT| x as FLOAT);
    #[expect(clippy::cast_possible_truncation, reason = "what the script asks for; it saturates")]
    engine.register_fn("to_int", |x: FLOAT| x as INT);
    engine
        .register_fn("parse_int", |text: &str| text.trim().parse::<INT>().map_or(Dynamic::UNIT, Into::into));
    engine.register_fn("parse_float", |text: &str| {
        text.trim().parse::<FLOAT>().ok().filter(|x| x.is_finite()).map_or(Dynamic::UNIT, Into::into)
    });
}

fn raise(values: Map) -> Outcome<Raised> {
    let mut kept = BTreeMap::new();
    for (name, value) in values {
        let Some(value) = datum(&value.flatten()) else {
            return Err(fault(format!("`{name}` of `alert` is no text, number or boolean")));
        };
        kept.insert(name.to_string(), value);
    }
    super::note_alert();
    Ok(Raised(kept))
}

fn cidr(address: Dynamic, net: &str) -> Outcome<bool> {
    let net = network(net).map_err(fault)?;
    let address = address.as_immutable_string_ref().ok().and_then(|text| text.parse::<IpAddr>().ok());
    Ok(address.is_some_and(|address| net.contains(&address.to_canonical())))
}

/// Great-circle distance in km, to the metre.
fn km(a: Dynamic, b: Dynamic) -> Dynamic {
    let (Some(from), Some(to)) = (place(&a), place(&b)) else { return Dynamic::UNIT };
    #[expect(clippy::cast_precision_loss, reason = "metres on Earth are far below 2^53")]
    let km = metres(from, to) as FLOAT / 1000.0;
    km.into()
}

/// Minutes from `a` to `b`; negative if `b` is earlier.
fn minutes(a: Dynamic, b: Dynamic) -> Dynamic {
    let (Some(from), Some(to)) = (instant(&a), instant(&b)) else { return Dynamic::UNIT };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of recorded times are far below 2^53")]
    let minutes = (to - from).num_milliseconds() as FLOAT / 60_000.0;
    minutes.into()
}

/// The hour of the day, 0 to 23, at that instant in that zone.
fn hour(time: Dynamic, zone: &str) -> Outcome<Dynamic> {
    let zone = time_zone(zone).map_err(fault)?;
    Ok(instant(&time).map_or(Dynamic::UNIT, |time| INT::from(time.with_timezone(&zone).hour()).into()))
}

/// Reads a network; the message tells what is wrong.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| format!("`{text}` is no network: write it as `203.0.113.0/24` or `2001:db8::/32`"))
}

/// Reads a zone; the message tells what is wrong.
pub(super) fn time_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("`{text}` is no time zone: write it as `Asia/Shanghai` or `UTC`"))
}

fn pattern(text: &str) -> Result<Arc<Regex>, String> {
    Pattern::compile(text, true).map(Arc::new).map_err(|error| {
        if let regex::Error::CompiledTooBig(limit) = error {
            return format!("regular expression needs more than {limit} bytes");
        }
        // The last line of the parser's message says what is wrong; the others draw it.
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        format!("`{text}` is no regular expression: {last}")
    })
}

/// Latitude and longitude of a record, of its `geo`, or of a map with `lat` and `lon`.
fn place(value: &Dynamic) -> Option<(f64, f64)> {
    if let Some(view) = value.read_lock::<View>() {
        let degrees = |path: &str, short: &str| match view.datum(path).or_else(|| view.datum(short))? {
            Datum::Number(number) => Some(number.to_f64()),
            Datum::Absent | Datum::Text(_) | Datum::Bool(_) => None,
        };
        return Some((degrees("geo.lat", "lat")?, degrees("geo.lon", "lon")?));
    }
    let map = value.as_map_ref().ok()?;
    if let Some(inner) = map.get("geo") {
        return place(inner);
    }
    #[expect(clippy::cast_precision_loss, reason = "degrees")]
    let degrees = |name| {
        let value: &Dynamic = map.get(name)?;
        value.as_float().ok().or_else(|| value.as_int().ok().map(|whole| whole as f64))
    };
    Some((degrees("lat")?, degrees("lon")?))
}

/// The instant of a record's start, or one that a text spells: RFC 3339, or without a zone in UTC.
fn instant(value: &Dynamic) -> Option<DateTime<Utc>> {
    if let Some(view) = value.read_lock::<View>() {
        return match view.datum("start_time")? {
            Datum::Text(text) => spelt_instant(text),
            Datum::Absent | Datum::Number(_) | Datum::Bool(_) => None,
        };
    }
    spelt_instant(&value.as_immutable_string_ref().ok()?)
}

fn spelt_instant(text: &str) -> Option<DateTime<Utc>> {
    Timestamp::parse(text).and_then(|time| DateTime::from_timestamp_millis(time.0))
}

fn fault(message: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE))
}
