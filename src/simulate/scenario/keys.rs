//! The table of keys of a scenario. As for rules and configurations, one table says what is taken,
//! what is suggested and what the reference lists.

use crate::rule::keys::{Language, MapDoc, Open, Takes, may, need};

/// Most people of a scenario.
pub const MAX_USERS: u32 = 100_000;
/// Most sign-ins and the like of one person in a day.
const MAX_A_DAY: u32 = 50;
/// Most acts of one attack.
const MAX_ACTS: u32 = 100_000;

/// The whole file.
pub static SCENARIO: MapDoc = MapDoc {
    name: "a scenario",
    about: "an invented company, what happens in it, and what goes wrong with the service",
    open: Open::Closed,
    keys: &[
        need("scenario", Takes::Text, "its name", "scenario: ordinary-day"),
        may("seed", Takes::Whole(0, u32::MAX), "what chance is made of; 7 unless told", "seed: 7"),
        need("start", Takes::Instant, "virtual time when it begins, UTC", "start: 2026-03-12T06:00:00Z"),
        need("lasts", Takes::Duration, "how long people work from then on", "lasts: 12h"),
        may(
            "before",
            Takes::Duration,
            "how much of the past there is, from which rules learn; whole days, none unless told",
            "before: 14d",
        ),
        may("speed", Takes::Whole(0, 60_000), "virtual seconds in a second; 1 unless told", "speed: 60"),
        need("users", Takes::Whole(1, MAX_USERS), "how many people there are", "users: 200"),
        may(
            "offices",
            Takes::Maps(&OFFICE),
            "where people work; all at home unless told",
            "offices: [{name: north, network: 192.0.2.0/25, share: 60%}]",
        ),
        may(
            "homes",
            Takes::Text,
            "network of those who work at home; 198.51.100.0/24 unless told",
            "homes: 198.51.100.0/24",
        ),
        may(
            "shifts",
            Takes::Maps(&SHIFT),
            "when people work, UTC; from 07:00 to 17:00 unless told",
            "shifts: [{from: \"07:00\", to: \"16:00\", share: 70%}]",
        ),
        may("roaming", Takes::Text, "share of days on which somebody is elsewhere", "roaming: 2%"),
        may("failures", Takes::Text, "share of sign-ins that fail by mistake", "failures: 3%"),
        may("a_day", Takes::Map(&A_DAY), "what one person does in a day", "a_day: {desktops: 2, apps: 1}"),
        may(
            "releases",
            Takes::Maps(&RELEASE),
            "versions of the client that people change to",
            "releases: [{at: 2h, version: 24.1.0.0, within: 3h}]",
        ),
        may(
            "attacks",
            Takes::Maps(&ATTACK),
            "what somebody should be told of",
            "attacks: [{kind: guessing, at: 2h, within: 5m, acts: 12}]",
        ),
        may(
            "faults",
            Takes::Maps(&FAULT),
            "what goes wrong with the service",
            "faults: [{kind: throttled, at: 1h, for: 5m}]",
        ),
        may("skew", Takes::Duration, "how far the service's clock is ahead of this machine's", "skew: 20m"),
    ],
};

/// One of `offices`.
pub static OFFICE: MapDoc = MapDoc {
    name: "an office",
    about: "where people work together",
    open: Open::Closed,
    keys: &[
        need("name", Takes::Text, "its name", "name: north"),
        need("network", Takes::Text, "its public addresses", "network: 192.0.2.0/25"),
        need("share", Takes::Text, "share of the people who work there", "share: 60%"),
    ],
};

/// One of `shifts`.
pub static SHIFT: MapDoc = MapDoc {
    name: "a shift",
    about: "when some of the people work",
    open: Open::Closed,
    keys: &[
        need("from", Takes::Text, "when it begins, UTC", "from: \"07:00\""),
        need("to", Takes::Text, "when it ends, UTC; earlier than `from` is the next day", "to: \"16:00\""),
        may("share", Takes::Text, "share of the people; what is left over unless told", "share: 70%"),
    ],
};

/// `a_day`.
pub static A_DAY: MapDoc = MapDoc {
    name: "`a_day`",
    about: "what one person does in a day",
    open: Open::Closed,
    keys: &[
        may("desktops", Takes::Whole(0, MAX_A_DAY), "logins to a desktop; 2 unless told", "desktops: 2"),
        may("apps", Takes::Whole(0, MAX_A_DAY), "logins to applications; 1 unless told", "apps: 1"),
        may("launches", Takes::Whole(0, MAX_A_DAY), "starts of applications; 2 unless told", "launches: 2"),
        may("sessions", Takes::Whole(0, MAX_A_DAY), "sessions; 1 unless told", "sessions: 1"),
        may("events", Takes::Whole(0, MAX_A_DAY), "user events; 1 unless told", "events: 1"),
    ],
};

/// One of `releases`.
pub static RELEASE: MapDoc = MapDoc {
    name: "a release",
    about: "a version of the client that people change to",
    open: Open::Closed,
    keys: &[
        need("at", Takes::Text, "when the first have it, after the start", "at: 2h"),
        need("version", Takes::Text, "the version", "version: 24.1.0.0"),
        may("within", Takes::Duration, "how long it takes until all have it; 1h unless told", "within: 3h"),
    ],
};

/// Kinds of attacks, and of what looks like one.
pub const ATTACKS: &[&str] =
    &["guessing", "spraying", "takeover", "new_address", "slow_line", "outage", "flood"];

/// One of `attacks`.
pub static ATTACK: MapDoc = MapDoc {
    name: "an attack",
    about: "what somebody should be told of",
    open: Open::Closed,
    keys: &[
        need("kind", Takes::Word(ATTACKS), "what happens", "kind: guessing"),
        need("at", Takes::Text, "when it begins, after the start", "at: 2h"),
        may("within", Takes::Duration, "how long it goes on; 5m unless told", "within: 5m"),
        may("acts", Takes::Whole(1, MAX_ACTS), "how many sign-ins it is made of", "acts: 12"),
        may("users", Takes::Whole(1, MAX_USERS), "how many people are hit; 1 unless told", "users: 1"),
        may("from", Takes::Text, "the address that it comes from", "from: 203.0.113.77"),
        may("rtt", Takes::Whole(1, 60_000), "of a slow line, in milliseconds; 900 unless told", "rtt: 900"),
        may(
            "endpoint",
            Takes::Word(&["desktop_logins", "app_logins"]),
            "where it is seen; desktop_logins unless told",
            "endpoint: desktop_logins",
        ),
    ],
};

/// One of `faults`: when and how often it comes. What it is besides is its kind's.
pub static FAULT: MapDoc = MapDoc {
    name: "a fault",
    about: "what goes wrong with the service, when, and how often",
    open: Open::Names,
    keys: &[
        need("kind", Takes::Text, "what goes wrong", "kind: throttled"),
        may("at", Takes::Text, "when it begins, after the start; at once unless told", "at: 1h"),
        may("for", Takes::Duration, "how long it goes on; to the end unless told", "for: 5m"),
    ],
};

static MAPS: &[&MapDoc] = &[&SCENARIO, &OFFICE, &SHIFT, &A_DAY, &RELEASE, &ATTACK, &FAULT];

/// How such files are spoken of.
pub static SCENARIOS: Language = Language {
    files: "scenarios",
    one: ("a scenario", "one scenario"),
    needs: "a scenario needs at least `scenario`, `start`, `lasts` and `users`",
    split: ("a scenario is a page: split it", "a scenario is a page: split it"),
    second: "put it into a file of its own, and take the `---` away",
    star: "put text that begins with `*` in quotes",
    count: "take it out",
    not_yet: "take it out",
    maps: MAPS,
    synonyms: &[
        ("name", "scenario"),
        ("duration", "lasts"),
        ("people", "users"),
        ("history", "before"),
        ("incidents", "attacks"),
        ("troubles", "faults"),
        ("count", "acts"),
        ("attempts", "acts"),
        ("address", "from"),
        ("ip", "from"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_begins_with_its_key() {
        for (map, key) in MAPS.iter().flat_map(|map| map.keys.iter().map(move |key| (map, key))) {
            assert!(key.example.starts_with(&format!("{}:", key.name)), "{} {}", map.name, key.name);
            assert!(!key.about.ends_with('.'), "{} {}", map.name, key.name);
        }
    }
}
