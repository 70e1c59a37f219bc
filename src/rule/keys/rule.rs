//! Keys of a rule, and of its maps that are neither verbs nor tests.

use super::cases::TEST;
use super::verbs::{
    ABSENT, BY, COUNT, DISTINCT, FIRST_SEEN, MEASURE, MISSING, OVERLAP, RATE, RISK, SCRIPT, SEQUENCE, TRAVEL,
    USUAL,
};
use super::{LEVELS, MapDoc, Open, STATUSES, Takes, later, may, need};

/// A rule file.
pub static RULE: MapDoc = MapDoc {
    name: "a rule",
    about: "one file, one rule",
    open: Open::Closed,
    keys: &[
        need("rule", Takes::Id, "unique id, 1 to 64 of a-z, 0-9 and -", "rule: failure-burst"),
        need("title", Takes::Text, "one line for people", "title: Repeated sign-in failures for one user"),
        need("level", Takes::Word(LEVELS), "how grave its alerts are", "level: medium"),
        may("status", Takes::Word(STATUSES), "how ripe the rule is, in Sigma's words", "status: stable"),
        may("attack", Takes::Techniques, "MITRE ATT&CK techniques", "attack: [T1110.001]"),
        may(
            "why",
            Takes::Text,
            "why anybody should care",
            "why: Someone is guessing one account's password.",
        ),
        may("description", Takes::Text, "longer text", "description: …"),
        may(
            "falsepositives",
            Takes::Texts,
            "harmless causes",
            "falsepositives: [A password that was just changed]",
        ),
        may("tags", Takes::Texts, "free labels", "tags: [identity]"),
        may("references", Takes::Texts, "links", "references: [https://attack.mitre.org/techniques/T1110/]"),
        may("author", Takes::Text, "who wrote it", "author: Ana"),
        may("date", Takes::Text, "when", "date: 2026-01-05"),
        need("match", Takes::Expression, "what a record must be to be a hit", "match: {outcome: failure}"),
        may(
            "count",
            Takes::Map(&COUNT),
            "so many hits within a window; with `having` further conditions, also against other groups",
            "count: {at_least: 5, within: 10m, by: [user]}",
        ),
        may(
            "distinct",
            Takes::Map(&DISTINCT),
            "so many distinct values within a window",
            "distinct: {field: user, at_least: 5, within: 15m, by: [public_ip]}",
        ),
        may(
            "first_seen",
            Takes::Map(&FIRST_SEEN),
            "a value that the group has not shown before",
            "first_seen: {value: public_ip, by: [user], learn: {for: 7d, records: 5}}",
        ),
        may(
            "measure",
            Takes::Map(&MEASURE),
            "a statistic of a number field",
            "measure: {field: e2e_rtt, stat: median, above: 300, within: 30m, by: [user]}",
        ),
        may(
            "script",
            Takes::Map(&SCRIPT),
            "a Rhai script over the group's last records",
            "script: {by: [user], keep: 3, when: …}",
        ),
        may(
            "rate",
            Takes::Map(&RATE),
            "a leaky bucket",
            "rate: {at_least: 6, drains_every: 10s, by: [public_ip]}",
        ),
        may(
            "sequence",
            Takes::Map(&SEQUENCE),
            "steps in order; needs no `match`",
            "sequence: {by: [user], within: 30m, steps: […]}",
        ),
        may(
            "usual",
            Takes::Map(&USUAL),
            "far from what is usual for the group",
            "usual: {field: network_rtt, by: [user], above: {times: 3, and_by: 80}, learn: {days: 14}}",
        ),
        may(
            "risk",
            Takes::Map(&RISK),
            "points of other rules' alerts; such a rule has no `match`",
            "risk: {by: [user], within: 24h, at_least: 100}",
        ),
        may("absent", Takes::Map(&ABSENT), "no hit for so long", "absent: {for: 30m}"),
        may(
            "overlap",
            Takes::Map(&OVERLAP),
            "two sessions open at once",
            "overlap: {by: [user], for: 5m, where: {km|gte: 500}}",
        ),
        may(
            "travel",
            Takes::Map(&TRAVEL),
            "two places too far apart for the time between",
            "travel: {by: [user], at_least: 500km, faster_than: 800km/h}",
        ),
        may(
            "except",
            Takes::Maps(&EXCEPTION),
            "records that are no hits although they match",
            "except: [{public_ip|cidr: 203.0.113.0/24, because: head office}]",
        ),
        may(
            "levels",
            Takes::Maps(&LEVEL_LINE),
            "the first line that holds sets the level",
            "levels: [{level: high, when: {client_type: Linux}}]",
        ),
        may(
            "cooldown",
            Takes::OffOr(&Takes::Or(&Takes::Duration, &Takes::Map(&COOLDOWN))),
            "a group that fired is quiet so long",
            "cooldown: 1h",
        ),
        may(
            "late_within",
            Takes::OffOr(&Takes::Duration),
            "how late a record may come and be put in at its own time",
            "late_within: 1h",
        ),
        may(
            "quiet_while",
            Takes::Texts,
            "rules; while one has an open alert, alerts below high are held back",
            "quiet_while: [service-outage]",
        ),
        may(
            "hours",
            Takes::Map(&HOURS),
            "records at other times are no hits",
            "hours: {zone: Asia/Shanghai, outside: \"Mon-Fri 08:00-19:00\"}",
        ),
        later("lists", "lists belong to the configuration", "lists: {egress: lists/egress.txt}"),
        may(
            "mode",
            Takes::Word(&["live", "observe"]),
            "`observe` keeps alerts and sends none",
            "mode: observe",
        ),
        may("notify", Takes::Texts, "receivers in addition to the routes'", "notify: [soc-mail]"),
        may(
            "alert",
            Takes::Map(&ALERT),
            "the alert's text",
            "alert: {title: \"{{ user }}: {{ count }} failures\"}",
        ),
        may(
            "tests",
            Takes::Maps(&TEST),
            "the rule's own tests",
            "tests: [{name: …, events: [{user: ana}], alerts: none}]",
        ),
    ],
};

/// One entry of `except:`.
pub static EXCEPTION: MapDoc = MapDoc {
    name: "an entry of `except`",
    about: "records that are no hits although they match",
    open: Open::Conditions,
    keys: &[
        need("because", Takes::Text, "why; somebody will ask", "because: head office"),
        may("until", Takes::Day, "until the end of that day in the configured zone", "until: 2027-01-31"),
    ],
};

/// One line of `levels:`.
pub static LEVEL_LINE: MapDoc = MapDoc {
    name: "a line of `levels`",
    about: "the level where a condition holds",
    open: Open::Closed,
    keys: &[
        need("level", Takes::Word(LEVELS), "the level", "level: high"),
        need("when", Takes::Expression, "when it holds", "when: {client_type: Linux}"),
    ],
};

/// `cooldown:` as a map.
pub static COOLDOWN: MapDoc = MapDoc {
    name: "`cooldown`",
    about: "a group that fired is quiet so long",
    open: Open::Closed,
    keys: &[need("for", Takes::Duration, "how long", "for: 1h"), BY, MISSING],
};

/// `hours:`
pub static HOURS: MapDoc = MapDoc {
    name: "`hours`",
    about: "when records are hits: within spans of the week, or without",
    open: Open::Closed,
    keys: &[
        may("zone", Takes::Text, "whose clocks; the configured zone unless told", "zone: Asia/Shanghai"),
        may(
            "outside",
            TEXT_OR_TEXTS,
            "records within these spans are no hits",
            "outside: \"Mon-Fri 08:00-19:00\"",
        ),
        may(
            "inside",
            TEXT_OR_TEXTS,
            "records without these spans are no hits",
            "inside: [\"Fri 22:00-06:00\", \"Sat,Sun 00:00-24:00\"]",
        ),
    ],
};

const TEXT_OR_TEXTS: Takes = Takes::Or(&Takes::Text, &Takes::Texts);

/// `alert:`
pub static ALERT: MapDoc = MapDoc {
    name: "`alert`",
    about: "the alert's text",
    open: Open::Closed,
    keys: &[
        may(
            "title",
            Takes::Template,
            "the title; the rule's own where absent",
            "title: \"{{ user }}: {{ count }} failures\"",
        ),
        may(
            "show",
            Takes::Fields,
            "fields whose distinct values in the window are shown",
            "show: [public_ip, client_type]",
        ),
        may("runbook", Takes::Template, "what to do", "runbook: Look for a success from the same public_ip."),
    ],
};
