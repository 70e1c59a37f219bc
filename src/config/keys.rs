//! The table of keys of a configuration: what may stand in each of its maps.
//!
//! As for rule files: one table says what is taken, what is suggested and what the reference lists.
//! The keys of each kind of receiver and source stand with the kind. Never reads a value.

use crate::rule::keys::{KeyDoc, LEVELS, Language, MapDoc, Open, Takes, may, need};

/// Words for why an act failed, as facts name them.
pub const FAILURE_KINDS: &[&str] =
    &["credentials", "unknown_user", "locked", "policy", "network", "server", "unknown"];

/// The whole file.
pub static CONFIG: MapDoc = MapDoc {
    name: "a configuration",
    about: "one daemon: where its records come from and who hears of its alerts",
    open: Open::Closed,
    keys: &[
        need("store", Takes::Text, "the file of state; relative to this file", "store: ./larum.db"),
        may(
            "zone",
            Takes::Text,
            "time zone of times shown and of dates in rules; UTC unless told",
            "zone: Asia/Shanghai",
        ),
        need(
            "rules",
            Takes::Texts,
            "rule files and folders of them, relative to this file",
            "rules: [rules/]",
        ),
        may(
            "sigma",
            Takes::Texts,
            "files and folders of Sigma documents, relative to this file",
            "sigma: [sigma/]",
        ),
        may(
            "logsources",
            Takes::Maps(&LOGSOURCE),
            "whose records the logsources of Sigma documents are; the first line that fits; none: everybody's",
            "logsources: [{product: vdi, kinds: [login]}]",
        ),
        may(
            "lists",
            Takes::Map(&LISTS),
            "lists that rules name, and their files: one value a line, or CSV with `value,until`",
            "lists: {egress: lists/egress.txt}",
        ),
        may(
            "geo",
            Takes::Map(&GEO),
            "files that tell where an address is, in MaxMind's format",
            "geo: {city: geo/city.mmdb, asn: geo/asn.mmdb}",
        ),
        may(
            "proxy",
            Takes::Word(&["environment"]),
            "sources, receivers and heartbeat go through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and \
             `NO_PROXY` name; without it none is taken from the environment",
            "proxy: environment",
        ),
        need(
            "sources",
            Takes::Maps(&SOURCE),
            "where records come from",
            "sources: [{name: prod, kind: huawei, region: ap-southeast-3, …}]",
        ),
        need(
            "receivers",
            Takes::Maps(&RECEIVER),
            "who can be told",
            "receivers: [{name: out, kind: stdout}]",
        ),
        need(
            "routes",
            Takes::Maps(&ROUTE),
            "who is told of which alert; the first match wins unless it says `continue`",
            "routes: [{match: {}, to: [out]}]",
        ),
        may("ops", Takes::Texts, "receivers of Larum's own alerts", "ops: [out]"),
        may(
            "failure_codes",
            Takes::Map(&FAILURE_CODES),
            "codes of failures, and their kind",
            "failure_codes: {\"6005\": server}",
        ),
        may(
            "failure_reasons",
            Takes::Maps(&FAILURE_REASON),
            "patterns over reasons of failures, and their kind; the first that matches counts",
            "failure_reasons: [{re: \"(?i)password\", kind: credentials}]",
        ),
        may("keep", Takes::Map(&KEEP), "how much of the past is kept", "keep: {for: 90d, at_most: 20GB}"),
        may(
            "admin",
            Takes::Map(&ADMIN),
            "an HTTP door on this machine for operators' tools and Prometheus",
            "admin: {listen: 127.0.0.1:9480, token: env:LARUM_ADMIN_TOKEN}",
        ),
        may(
            "heartbeat",
            Takes::Map(&HEARTBEAT),
            "an address that is called while all is well: who watches it hears of Larum's death",
            "heartbeat: {url: env:HEARTBEAT_URL, every: 1m}",
        ),
    ],
};

/// One line of `logsources:`.
pub static LOGSOURCE: MapDoc = MapDoc {
    name: "a line of `logsources`",
    about: "documents with this logsource are about records of these kinds and services",
    open: Open::Closed,
    keys: &[
        may(
            "category",
            Takes::Text,
            "the logsource's category; any unless given",
            "category: authentication",
        ),
        may("product", Takes::Text, "the logsource's product; any unless given", "product: vdi"),
        may("service", Takes::Text, "the logsource's service; any unless given", "service: audit"),
        may(
            "kinds",
            Takes::Texts,
            "kinds of records: login, app_launch, session, user_event; any unless given",
            "kinds: [login, session]",
        ),
        may(
            "services",
            Takes::Texts,
            "services of records: desktop, app; any unless given",
            "services: [desktop]",
        ),
    ],
};

/// `lists:`
pub static LISTS: MapDoc = MapDoc {
    name: "`lists`",
    about: "names of lists and the file of each, relative to this file",
    open: Open::Names,
    keys: &[],
};

/// `geo:`
pub static GEO: MapDoc = MapDoc {
    name: "`geo`",
    about: "files that tell where an address is, relative to this file",
    open: Open::Closed,
    keys: &[
        may("city", Takes::Text, "countries, cities and coordinates: `geo.*`", "city: geo/city.mmdb"),
        may("asn", Takes::Text, "autonomous systems: `asn.*`", "asn: geo/asn.mmdb"),
    ],
};

/// What every source has, whatever its kind.
pub static SOURCE: MapDoc = MapDoc {
    name: "a source",
    about: "where records come from; its further keys are those of its kind",
    open: Open::Closed,
    keys: &[
        need("name", Takes::Text, "unique name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`", "name: prod"),
        need("kind", Takes::Text, "what it is", "kind: huawei"),
        may("tenant", Takes::Text, "whose records these are; `default` unless told", "tenant: default"),
    ],
};

/// What every receiver has, whatever its kind.
pub static RECEIVER: MapDoc = MapDoc {
    name: "a receiver",
    about: "somebody who can be told; its further keys are those of its kind",
    open: Open::Closed,
    keys: &[
        need("name", Takes::Text, "unique name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`", "name: soc-slack"),
        need("kind", Takes::Text, "what it is", "kind: slack"),
        may(
            "at_most",
            Takes::Map(&AT_MOST),
            "messages by level; what is beyond goes out as one digest",
            "at_most: {medium: 10 in 15m}",
        ),
        may(
            "closed",
            Takes::Word(&["on", "off"]),
            "whether it is told that an alert is over: of each with `on`, of none with `off`; unless it stands, \
             programs and services that keep incidents are told of each, and people where there was more than they know",
            "closed: off",
        ),
        may(
            "watchdog",
            Takes::Map(&WATCHDOG),
            "a fixed message on a schedule: who misses it knows that messages no longer arrive",
            "watchdog: {every: 24h}",
        ),
    ],
};

/// `at_most:` of a receiver.
pub static AT_MOST: MapDoc = MapDoc {
    name: "`at_most`",
    about: "levels, and how many messages of each people can read",
    open: Open::Closed,
    keys: &[
        may(
            "rules",
            Takes::Map(&AT_MOST_RULES),
            "how many messages single rules may send, whatever their level",
            "rules: {failure-burst: 3 in 1h}",
        ),
        limit("informational", "informational: 5 in 1h"),
        limit("low", "low: 5 in 1h"),
        limit("medium", "medium: 10 in 15m"),
        limit("high", "high: 10 in 15m"),
        limit("critical", "critical: off"),
    ],
};

/// `rules:` of `at_most`.
pub static AT_MOST_RULES: MapDoc = MapDoc {
    name: "`rules` of `at_most`",
    about: "ids of rules, and how many messages of each; what is beyond goes out as one digest of the rule",
    open: Open::Names,
    keys: &[],
};

/// `watchdog:` of a receiver.
pub static WATCHDOG: MapDoc = MapDoc {
    name: "`watchdog`",
    about: "a fixed message on a schedule",
    open: Open::Closed,
    keys: &[need(
        "every",
        Takes::Duration,
        "how often, 1m to 7d: it comes at whole multiples since 1970, so that 24h is midnight in UTC",
        "every: 24h",
    )],
};

const fn limit(level: &'static str, example: &'static str) -> KeyDoc {
    may(level, Takes::OffOr(&Takes::Rate), "messages of this level in so long, or `off`", example)
}

/// One entry of `routes:`.
pub static ROUTE: MapDoc = MapDoc {
    name: "a route",
    about: "which alerts, and who hears of them",
    open: Open::Closed,
    keys: &[
        need(
            "match",
            Takes::Map(&ROUTE_MATCH),
            "which alerts; `{}` is all of them",
            "match: {level: [high, critical]}",
        ),
        need("to", Takes::Texts, "receivers by name", "to: [soc-slack, soc-mail]"),
        may("continue", Takes::Flag, "the routes below are asked too", "continue: true"),
        may(
            "group_by",
            Takes::Texts,
            "alerts of one level with equal values of these are told together: `rule`, `tenant`, or fields \
             that rules group `by`; critical ones never wait for others",
            "group_by: [rule]",
        ),
        may(
            "group_wait",
            Takes::Duration,
            "how long the first waits for others; 30s unless told",
            "group_wait: 30s",
        ),
        may(
            "group_interval",
            Takes::Duration,
            "how long the next message of a group waits after one; 5m unless told",
            "group_interval: 5m",
        ),
        may(
            "repeat_interval",
            Takes::OffOr(&Takes::Duration),
            "what is still open and nobody has taken is told again so often; off unless told",
            "repeat_interval: 4h",
        ),
        may(
            "escalate",
            Takes::Map(&ESCALATE),
            "who else is told where none of `to` has taken the message in time",
            "escalate: {after: 15m, to: [on-call]}",
        ),
    ],
};

/// `escalate:` of a route.
pub static ESCALATE: MapDoc = MapDoc {
    name: "`escalate`",
    about: "who else is told where none of the route's receivers has taken the message in time",
    open: Open::Closed,
    keys: &[
        need("after", Takes::Duration, "how long the route's receivers have", "after: 15m"),
        need("to", Takes::Texts, "receivers by name", "to: [on-call]"),
    ],
};

/// `match:` of a route.
pub static ROUTE_MATCH: MapDoc = MapDoc {
    name: "`match` of a route",
    about: "all that is named must hold; of several values, one",
    open: Open::Fields,
    keys: &[
        may("level", WORD_OR_WORDS, "levels", "level: [high, critical]"),
        may("rule", TEXT_OR_TEXTS, "ids of rules", "rule: failure-burst"),
        may("tag", TEXT_OR_TEXTS, "tags of the rule", "tag: identity"),
        may("attack", TEXT_OR_TEXTS, "ATT&CK techniques of the rule", "attack: T1110"),
        may("tenant", TEXT_OR_TEXTS, "tenants", "tenant: default"),
    ],
};

const TEXT_OR_TEXTS: Takes = Takes::Or(&Takes::Text, &Takes::Texts);
const WORD_OR_WORDS: Takes = Takes::Or(&Takes::Word(LEVELS), &Takes::Texts);

/// `failure_codes:`
pub static FAILURE_CODES: MapDoc =
    MapDoc { name: "`failure_codes`", about: "codes, and the kind of each", open: Open::Names, keys: &[] };

/// One entry of `failure_reasons:`.
pub static FAILURE_REASON: MapDoc = MapDoc {
    name: "an entry of `failure_reasons`",
    about: "a pattern over reasons, and the kind of what it matches",
    open: Open::Closed,
    keys: &[
        need("re", Takes::Text, "a regular expression, found anywhere in the reason", "re: \"(?i)password\""),
        need("kind", Takes::Word(FAILURE_KINDS), "the kind of failure", "kind: credentials"),
    ],
};

/// `keep:`
pub static KEEP: MapDoc = MapDoc {
    name: "`keep`",
    about: "bounds of the archive: what is older or beyond is deleted, oldest first",
    open: Open::Closed,
    keys: &[
        may("for", Takes::Duration, "how long; 90d unless told", "for: 90d"),
        may("at_most", Takes::Size, "how much; no bound unless told", "at_most: 20GB"),
    ],
};

/// `admin:`
pub static ADMIN: MapDoc = MapDoc {
    name: "`admin`",
    about: "an HTTP door on this machine for operators' tools and Prometheus",
    open: Open::Closed,
    keys: &[
        need("listen", Takes::Text, "an address of this machine and a port", "listen: 127.0.0.1:9480"),
        need(
            "token",
            Takes::Secret,
            "what a caller shows as `Authorization: Bearer …`, by its place; at least 16 characters",
            "token: env:LARUM_ADMIN_TOKEN",
        ),
        may(
            "hosts",
            Takes::Texts,
            "names, besides this machine's own, by which it may be called: those of a proxy before it",
            "hosts: [larum.example]",
        ),
    ],
};

/// `heartbeat:`
pub static HEARTBEAT: MapDoc = MapDoc {
    name: "`heartbeat`",
    about: "an address that is called while all is well",
    open: Open::Closed,
    keys: &[
        need(
            "url",
            Takes::Secret,
            "the address, by its place: whoever knows it can lie",
            "url: env:HEARTBEAT_URL",
        ),
        may("every", Takes::Duration, "how often at most; 1m unless told", "every: 1m"),
        may(
            "allow_private",
            Takes::Texts,
            "private networks that the host's name may stand for, as for receivers",
            "allow_private: [10.20.0.0/16]",
        ),
    ],
};

/// Every map of the file but those of kinds.
pub static MAPS: &[&MapDoc] = &[
    &CONFIG,
    &LISTS,
    &GEO,
    &SOURCE,
    &RECEIVER,
    &AT_MOST,
    &AT_MOST_RULES,
    &WATCHDOG,
    &ROUTE,
    &ESCALATE,
    &ROUTE_MATCH,
    &FAILURE_CODES,
    &FAILURE_REASON,
    &KEEP,
    &ADMIN,
    &HEARTBEAT,
];

/// Words that other tools use, and ours.
static SYNONYMS: &[(&str, &str)] = &[
    ("database", "store"),
    ("db", "store"),
    ("state", "store"),
    ("timezone", "zone"),
    ("tz", "zone"),
    ("inputs", "sources"),
    ("outputs", "receivers"),
    ("destinations", "receivers"),
    ("retention", "keep"),
    ("type", "kind"),
    ("id", "name"),
    ("receivers", "to"),
    ("receiver", "to"),
    ("when", "match"),
    ("severity", "level"),
    ("rate_limit", "at_most"),
    ("limit", "at_most"),
    ("technique", "attack"),
    ("interval", "every"),
    ("days", "for"),
    ("size", "at_most"),
    ("regex", "re"),
    ("pattern", "re"),
    ("webhook_url", "url"),
    ("pass", "password"),
    ("username", "user"),
    ("project", "project_id"),
    ("access_key", "ak"),
    ("secret_key", "sk"),
];

/// Configuration files.
pub static CONFIG_FILES: Language = Language {
    files: "configuration files",
    one: ("a configuration file", "one configuration"),
    needs: "a configuration needs at least `store`, `rules`, `sources`, `receivers` and `routes`",
    split: ("rules and lists stand in files of their own", "rules and lists stand in files of their own"),
    second: "put it into a file of its own, and take the `---` away",
    star: "put text that begins with `*` in quotes",
    count: "take it out",
    not_yet: "take it out; a later version will run it",
    maps: MAPS,
    synonyms: SYNONYMS,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fact::FailureKind;

    #[test]
    fn every_example_begins_with_its_key_and_no_key_stands_twice() {
        for map in MAPS {
            for (at, key) in map.keys.iter().enumerate() {
                assert!(key.example.starts_with(&format!("{}:", key.name)), "{} {}", map.name, key.name);
                assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{} {}", map.name, key.name);
                assert!(map.keys[..at].iter().all(|other| other.name != key.name), "{}", key.name);
            }
        }
    }

    #[test]
    fn the_words_are_those_of_records() {
        assert_eq!(FAILURE_KINDS, FailureKind::ALL.map(FailureKind::as_str));
        assert_eq!(AT_MOST.keys[1..].iter().map(|key| key.name).collect::<Vec<_>>(), LEVELS);
    }
}
