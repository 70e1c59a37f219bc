//! Reads a scenario: all faults of the file at once, each with its place and the way out.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value};

use crate::config::Options;
use crate::record::{Millis, Timestamp};
use crate::rule::problem::Problems;
use crate::rule::yaml::{self, Kind, Node, Scalar, Style};
use crate::simulate::trouble::Trouble;
use crate::simulate::world::{List, MAX_ROWS};

use super::keys::{self, SCENARIO, SCENARIOS};
use super::{Attack, Office, Release, Scenario, Shift};

/// Parts of a whole: ten thousand.
const WHOLE: u32 = 10_000;
const DEFAULT_SEED: u32 = 7;
const DEFAULT_RTT: u32 = 900;
/// As often as each list is met in a person's day, unless told.
const A_DAY: [(&str, u32); 5] =
    [("desktops", 2), ("apps", 1), ("launches", 2), ("sessions", 1), ("events", 1)];
/// Longest past and longest play: what the service keeps, and as long again.
const LONGEST: Millis = Millis::days(60);

/// Reads the scenario that `text` holds; `file` names it in messages. None if any problem is an error.
pub fn read(file: &str, text: &str) -> (Option<Scenario>, Problems) {
    let mut problems = Problems::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    let root = yaml::parse_as(&mut problems, &SCENARIOS);
    let scenario = root.and_then(|root| scenario(&root, &mut problems));
    (scenario.filter(|_| !problems.has_errors()), problems)
}

fn scenario(root: &Node, problems: &mut Problems) -> Option<Scenario> {
    let map = Options::open(root, &SCENARIO, root.span, problems)?;
    let name = map.text(problems, "scenario");
    let start = instant(&map, problems, "start");
    let lasts = map.duration_in(problems, "lasts", (Millis::mins(1), LONGEST));
    let before = map.duration_in(problems, "before", (Millis::days(1), LONGEST));
    let users = map.whole(problems, "users");
    let begins = start.unwrap_or(Timestamp(0));
    let read = Scenario {
        name: name.unwrap_or_default(),
        seed: map.whole(problems, "seed").unwrap_or(DEFAULT_SEED).into(),
        start: begins,
        lasts: lasts.unwrap_or(Millis::mins(1)),
        before: before.unwrap_or(Millis::ZERO),
        speed: map.whole(problems, "speed").unwrap_or(1),
        users: users.unwrap_or(1),
        offices: offices(&map, problems),
        homes: network(&map, problems, "homes")
            .unwrap_or_else(|| Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24)),
        shifts: shifts(&map, problems),
        roaming: share(&map, problems, "roaming").unwrap_or(0),
        failures: share(&map, problems, "failures").unwrap_or(0),
        a_day: a_day(&map, problems),
        releases: releases(&map, begins, problems),
        attacks: attacks(&map, begins, problems),
        faults: faults(&map, begins, problems),
        skew: map.duration(problems, "skew").unwrap_or(Millis::ZERO),
    };
    if read.rows() > MAX_ROWS as u64 {
        let message = format!("this makes about {} rows; there is room for {MAX_ROWS}", read.rows());
        map.fault(problems, "users", message, "take fewer users, a shorter `before`, or less in `a_day`");
    }
    Some(read)
}

fn offices(map: &Options<'_>, problems: &mut Problems) -> Vec<Office> {
    let mut offices: Vec<Office> = Vec::new();
    for office in map.maps(problems, "offices", &keys::OFFICE) {
        let name = office.text(problems, "name");
        let network = network(&office, problems, "network");
        let share = share(&office, problems, "share");
        if let (Some(name), Some(network), Some(share)) = (name, network, share) {
            offices.push(Office { name, network, share });
        }
    }
    if offices.iter().map(|office| office.share).sum::<u32>() > WHOLE {
        map.fault(problems, "offices", "the shares of all offices are more than 100%", "lower one of them");
    }
    offices
}

fn shifts(map: &Options<'_>, problems: &mut Problems) -> Vec<Shift> {
    let mut shifts = Vec::new();
    for shift in map.maps(problems, "shifts", &keys::SHIFT) {
        let (from, to) = (clock(&shift, problems, "from"), clock(&shift, problems, "to"));
        let share = share(&shift, problems, "share");
        if let (Some(from), Some(to)) = (from, to) {
            let lasts = Millis((to.0 - from.0).rem_euclid(Millis::days(1).0));
            shifts.push((Shift { from, lasts, share: share.unwrap_or(0) }, share.is_none()));
        }
    }
    let told: u32 = shifts.iter().map(|(shift, _)| shift.share).sum();
    if told > WHOLE {
        map.fault(problems, "shifts", "the shares of all shifts are more than 100%", "lower one of them");
    }
    let open = u32::try_from(shifts.iter().filter(|(_, open)| *open).count()).unwrap_or(1).max(1);
    let rest = WHOLE.saturating_sub(told) / open;
    let with_rest = |(shift, open): (Shift, bool)| if open { Shift { share: rest, ..shift } } else { shift };
    let shifts: Vec<Shift> = shifts.into_iter().map(with_rest).collect();
    if shifts.is_empty() {
        return vec![Shift { from: Millis::hours(7), lasts: Millis::hours(10), share: WHOLE }];
    }
    shifts
}

fn a_day(map: &Options<'_>, problems: &mut Problems) -> [u32; 5] {
    let given = map.map(problems, "a_day", &keys::A_DAY);
    A_DAY.map(|(name, usual)| given.as_ref().and_then(|map| map.whole(problems, name)).unwrap_or(usual))
}

fn releases(map: &Options<'_>, start: Timestamp, problems: &mut Problems) -> Vec<Release> {
    let mut releases = Vec::new();
    for release in map.maps(problems, "releases", &keys::RELEASE) {
        let at = after(&release, problems, "at");
        let within = release.duration(problems, "within").unwrap_or(Millis::hours(1));
        if let (Some(at), Some(version)) = (at, release.text(problems, "version")) {
            releases.push(Release { at: start + at, within, version });
        }
    }
    releases
}

fn attacks(map: &Options<'_>, start: Timestamp, problems: &mut Problems) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (number, attack) in (0_u8..).zip(map.maps(problems, "attacks", &keys::ATTACK)) {
        let kind = attack.word(problems, "kind");
        let at = after(&attack, problems, "at");
        let from = attack.text(problems, "from").map(|text| (text.parse::<Ipv4Addr>(), text));
        let from = match from {
            None => Ipv4Addr::new(203, 0, 113, 10_u8.wrapping_add(number)),
            Some((Ok(address), _)) => address,
            Some((Err(_), text)) => {
                let message = format!("`from` takes an IPv4 address, not `{text}`");
                attack.fault(problems, "from", message, "write `from: 203.0.113.77`");
                continue;
            }
        };
        let list = match attack.word(problems, "endpoint") {
            Some("app_logins") => List::AppLogins,
            Some(_) | None => List::DesktopLogins,
        };
        let (Some(kind), Some(at)) = (kind, at) else { continue };
        attacks.push(Attack {
            kind,
            at: start + at,
            within: attack.duration(problems, "within").unwrap_or(Millis::mins(5)),
            acts: attack.whole(problems, "acts"),
            users: attack.whole(problems, "users").unwrap_or(1),
            from,
            rtt: attack.whole(problems, "rtt").unwrap_or(DEFAULT_RTT),
            list,
        });
    }
    attacks
}

fn faults(map: &Options<'_>, start: Timestamp, problems: &mut Problems) -> Vec<Trouble> {
    let nodes: &[Node] = match map.node("faults").map(|node| &node.kind) {
        Some(Kind::List(nodes)) => nodes,
        Some(Kind::Scalar(_) | Kind::Map(_)) | None => &[],
    };
    let mut faults = Vec::new();
    for (fault, node) in map.maps(problems, "faults", &keys::FAULT).iter().zip(nodes) {
        let at = fault.has("at").then(|| after(fault, problems, "at")).flatten();
        let lasts = fault.duration(problems, "for");
        let mut object = Map::new();
        for entry in node.map().unwrap_or_default() {
            if !matches!(entry.key.text.as_str(), "at" | "for") {
                object.insert(entry.key.text.clone(), value(&entry.value));
            }
        }
        // What is bounded in time goes on for all of it; what is not, to the end.
        if !object.contains_key("times") {
            object.insert("times".to_owned(), "always".into());
        }
        match Trouble::from_json(Value::Object(object)) {
            Ok(mut trouble) => {
                trouble.when.from = at.map(|at| start + at);
                trouble.when.until = lasts.map(|lasts| start + at.unwrap_or(Millis::ZERO) + lasts);
                faults.push(trouble);
            }
            Err(error) => {
                let hint = "write `{kind: throttled, at: 1h, for: 5m}`";
                problems.error_hint(node.span, error.to_string(), hint);
            }
        }
    }
    faults
}

/// A value as JSON has it.
fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => plain(scalar),
        Kind::List(nodes) => nodes.iter().map(value).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.text.clone(), value(&entry.value))).collect())
        }
    }
}

fn plain(scalar: &Scalar) -> Value {
    match scalar.text.parse::<i64>() {
        // `null` is a word here.
        _ if scalar.text.is_empty() => Value::Null,
        Ok(number) if scalar.style == Style::Plain => number.into(),
        Ok(_) | Err(_) => scalar.text.as_str().into(),
    }
}

fn instant(map: &Options<'_>, problems: &mut Problems, key: &str) -> Option<Timestamp> {
    let text = map.text(problems, key)?;
    let time = Timestamp::parse(&text);
    if time.is_none() {
        let message = format!("`{key}` takes an instant, not `{text}`");
        map.fault(problems, key, message, "write `start: 2026-03-12T06:00:00Z`");
    }
    time
}

/// A length of time after the start, nothing too.
fn after(map: &Options<'_>, problems: &mut Problems, key: &str) -> Option<Millis> {
    let text = map.text(problems, key)?;
    match Millis::parse(&text) {
        Ok(length) if length >= Millis::ZERO => Some(length),
        Ok(_) | Err(_) if matches!(text.as_str(), "0" | "0s") => Some(Millis::ZERO),
        Ok(_) | Err(_) => {
            let message = format!("`{key}` takes a length of time after the start, not `{text}`");
            map.fault(problems, key, message, "write `at: 90m`");
            None
        }
    }
}

/// `5%`, in ten thousandths.
fn share(map: &Options<'_>, problems: &mut Problems, key: &str) -> Option<u32> {
    let text = map.text(problems, key)?;
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let Some(number) = number.filter(|number| (0.0..=100.0).contains(number)) else {
        let message = format!("`{key}` takes a share such as 5%, not `{text}`");
        map.fault(problems, key, message, "write a number from 0 to 100 and `%`");
        return None;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10000")]
    Some((number * 100.0).round() as u32)
}

/// `07:30`, since midnight.
fn clock(map: &Options<'_>, problems: &mut Problems, key: &str) -> Option<Millis> {
    let text = map.text(problems, key)?;
    let number = |text: &str, most: i64| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| fits && *number <= most)
    };
    let parts = text.split_once(':').map(|(hours, minutes)| (number(hours, 23), number(minutes, 59)));
    if let Some((Some(hours), Some(minutes))) = parts {
        return Some(Millis::mins(hours * 60 + minutes));
    }
    let message = format!("`{key}` takes a time of the day, not `{text}`");
    map.fault(problems, key, message, format!("write `{key}: \"07:30\"`"));
    None
}

fn network(map: &Options<'_>, problems: &mut Problems, key: &str) -> Option<Ipv4Net> {
    let text = map.text(problems, key)?;
    let network = text.parse::<Ipv4Net>().ok();
    if network.is_none() {
        let message = format!("`{key}` takes an IPv4 network, not `{text}`");
        map.fault(problems, key, message, format!("write `{key}: 192.0.2.0/24`"));
    }
    network
}
