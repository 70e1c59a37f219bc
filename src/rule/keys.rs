//! The table of keys: for each map of a rule file, what may stand in it.
//!
//! One table says what the decoder takes, what it suggests for a misspelt key, what the JSON Schema
//! shows an editor, and what the reference lists. Never reads a value.

/// One map of the language.
#[derive(Debug)]
pub struct MapDoc {
    /// What a message calls it: `a rule`, `` `count` ``.
    pub name: &'static str,
    /// One line for the reference.
    pub about: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [KeyDoc],
    /// What else may be a key.
    pub open: Open,
}

/// What may be a key beside those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Nothing.
    Closed,
    /// Fields with modifiers, or named selections and a `condition`.
    Conditions,
    /// Fields.
    Fields,
    /// Names that the author chooses.
    Names,
}

/// One key.
#[derive(Debug)]
pub struct KeyDoc {
    /// The key.
    pub name: &'static str,
    /// True where the map is a fault without it.
    pub required: bool,
    /// What its value is.
    pub takes: Takes,
    /// One line for the reference.
    pub about: &'static str,
    /// The key and a value, as a file would spell it.
    pub example: &'static str,
    /// False for words of the language that this version does not run yet.
    pub built: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// A line or more of text.
    Text,
    /// A list of texts.
    Texts,
    /// Text with `{{ names }}`.
    Template,
    /// A Rhai script.
    Script,
    /// A rule's id.
    Id,
    /// A length of time with its unit.
    Duration,
    /// A day, or an instant of RFC 3339.
    Day,
    /// An instant of RFC 3339.
    Instant,
    /// A whole number in these bounds.
    Whole(u32, u32),
    /// A decimal number.
    Number,
    /// A whole number, or a share like `50%`.
    Amount,
    /// `true` or `false`.
    Flag,
    /// A statistic: a percentile or one of [`STATS`].
    Stat,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A field's name.
    Field,
    /// A list of field names.
    Fields,
    /// A field's name, or a list of them.
    FieldOrFields,
    /// MITRE ATT&CK technique ids.
    Techniques,
    /// A condition over a record.
    Expression,
    /// A map.
    Map(&'static MapDoc),
    /// A list of maps.
    Maps(&'static MapDoc),
    /// Either of two.
    Or(&'static Takes, &'static Takes),
    /// The word `off`, or this.
    OffOr(&'static Takes),
    /// So many in so long.
    Rate,
    /// A number of bytes with its unit.
    Size,
    /// A secret: `env:NAME` or `file:PATH`, never the secret itself.
    Secret,
    /// What a later version will say.
    Later,
}

impl Takes {
    /// What it may be, one by one.
    pub fn alternatives(self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(takes) = open.pop() {
            if let Self::Or(one, other) = takes {
                open.extend([*other, *one]);
            } else if let Self::OffOr(inner) = takes {
                open.push(*inner);
            } else {
                found.push(takes);
            }
        }
        found
    }

    /// In words, for messages and the reference.
    pub fn words(&self) -> String {
        match self {
            Self::Text | Self::Template => "text".to_owned(),
            Self::Secret => "a secret's place, `env:NAME` or `file:PATH`".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Script => "a script".to_owned(),
            Self::Id => "an id of a-z, 0-9 and -".to_owned(),
            Self::Duration => "a duration such as 90s, 10m or 7d".to_owned(),
            Self::Day => "a day such as 2027-01-31".to_owned(),
            Self::Instant => "an instant such as 2026-01-05T09:00:00Z".to_owned(),
            Self::Whole(min, max) => format!("a whole number from {min} to {max}"),
            Self::Number => "a number".to_owned(),
            Self::Amount => "a whole number or a share such as 50%".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Stat => format!("a percentile (`p1` to `p99`), {}", one_of(STATS)),
            Self::Word(words) => one_of(words),
            Self::Field => "a field's name".to_owned(),
            Self::Fields => "a list of fields".to_owned(),
            Self::FieldOrFields => "a field's name or a list of them".to_owned(),
            Self::Techniques => "a list of ATT&CK ids such as T1110.001".to_owned(),
            Self::Expression => "a map of conditions".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Maps(_) => "a list of maps".to_owned(),
            Self::Or(one, other) => format!("{} or {}", one.words(), other.words()),
            Self::OffOr(inner) => format!("`off` or {}", inner.words()),
            Self::Rate => "a rate such as `10 in 15m`".to_owned(),
            Self::Size => "a size such as 20GB".to_owned(),
            Self::Later => "a value of a later version".to_owned(),
        }
    }
}

/// `` `a`, `b` or `c` ``
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

impl MapDoc {
    /// The entry of `name`.
    pub fn key(&self, name: &str) -> Option<&'static KeyDoc> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key that a map is a fault without.
pub const fn need(name: &'static str, takes: Takes, about: &'static str, example: &'static str) -> KeyDoc {
    KeyDoc { name, required: true, takes, about, example, built: true }
}

/// A key that may stand or not.
pub const fn may(name: &'static str, takes: Takes, about: &'static str, example: &'static str) -> KeyDoc {
    KeyDoc { name, required: false, takes, about, example, built: true }
}

/// A word that this version does not run yet.
pub const fn later(name: &'static str, about: &'static str, example: &'static str) -> KeyDoc {
    KeyDoc { name, required: false, takes: Takes::Later, about, example, built: false }
}

/// The five levels.
pub const LEVELS: &[&str] = &["informational", "low", "medium", "high", "critical"];
/// Sigma's words for how ripe a rule is.
pub const STATUSES: &[&str] = &["stable", "test", "experimental", "deprecated", "unsupported"];
/// Statistics beside the percentiles `p1` to `p99`.
pub const STATS: &[&str] = &["median", "mean", "min", "max", "sum"];
/// The verbs, of which a rule has at most one.
pub const VERBS: &[&str] = &[
    "count",
    "distinct",
    "first_seen",
    "measure",
    "script",
    "rate",
    "sequence",
    "usual",
    "risk",
    "absent",
    "overlap",
    "travel",
];

/// Hits or values that a rule may ask for: a group keeps no more, so a larger number never fires.
pub const MAX_AT_LEAST: u32 = 10_000;
/// Records that a script may look back on.
pub const MAX_KEEP: u32 = 64;
/// Records of one line of a test.
pub const MAX_TIMES: u32 = 1_000_000;

const AT_LEAST: Takes = Takes::Whole(1, MAX_AT_LEAST);

const BY: KeyDoc =
    may("by", Takes::Fields, "fields whose values make a group; none: one group a tenant", "by: [user]");
const MISSING: KeyDoc = may(
    "missing",
    Takes::Word(&["skip", "own"]),
    "a record without a `by` field is skipped, or makes a group of its own",
    "missing: own",
);
const WITHIN: KeyDoc =
    need("within", Takes::Duration, "length of the sliding window, (t - w, t]", "within: 10m");

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
            "so many hits within a window",
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
        later("rate", "a leaky bucket", "rate: {at_least: 6, drains_every: 10s, by: [public_ip]}"),
        later("sequence", "steps in order", "sequence: {by: [user], within: 30m, steps: […]}"),
        later(
            "usual",
            "far from what is usual for the group",
            "usual: {field: network_rtt, by: [user], above: {times: 3}}",
        ),
        later("risk", "points of other rules' alerts", "risk: {by: [user], within: 24h, at_least: 100}"),
        later("absent", "no hit for so long", "absent: {for: 30m}"),
        later("overlap", "two open sessions of one group", "overlap: {by: [user], for: 5m}"),
        later(
            "travel",
            "two places too far apart",
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
        later(
            "quiet_while",
            "holds alerts back while another rule's alert is open",
            "quiet_while: [service-outage]",
        ),
        later(
            "hours",
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

/// `count:`
pub static COUNT: MapDoc = MapDoc {
    name: "`count`",
    about: "so many hits within a window",
    open: Open::Closed,
    keys: &[
        may("at_least", AT_LEAST, "hits that fire; needed unless there is `having`", "at_least: 5"),
        WITHIN,
        BY,
        MISSING,
        may(
            "unless",
            Takes::Expression,
            "such a record of the group clears it",
            "unless: {outcome: success}",
        ),
        may("restart", Takes::Flag, "firing empties the window, and there is no cooldown", "restart: true"),
        may(
            "having",
            Takes::Map(&HAVING),
            "further conditions over the same window; all must hold",
            "having: {users: {distinct: user, at_least: 8}}",
        ),
    ],
};

/// `having:`
pub static HAVING: MapDoc =
    MapDoc { name: "`having`", about: "named conditions over one window", open: Open::Names, keys: &[] };

/// One condition of `having:`.
pub static HAVING_LINE: MapDoc = MapDoc {
    name: "a condition of `having`",
    about: "distinct values of a field, or such hits among all",
    open: Open::Closed,
    keys: &[
        may("distinct", Takes::Field, "the field whose distinct values are counted", "distinct: user"),
        may("match", Takes::Expression, "which of the hits are counted", "match: {outcome: failure}"),
        need("at_least", Takes::Amount, "how many; with `match` also a share", "at_least: 50%"),
    ],
};

/// `distinct:`
pub static DISTINCT: MapDoc = MapDoc {
    name: "`distinct`",
    about: "so many distinct values within a window",
    open: Open::Closed,
    keys: &[
        need("field", Takes::Field, "whose values are counted", "field: user"),
        need("at_least", AT_LEAST, "distinct values that fire", "at_least: 5"),
        WITHIN,
        BY,
        MISSING,
        may("each_at_most", AT_LEAST, "a value with more hits leaves the count", "each_at_most: 8"),
    ],
};

/// `first_seen:`
pub static FIRST_SEEN: MapDoc = MapDoc {
    name: "`first_seen`",
    about: "a value that the group has not shown before",
    open: Open::Closed,
    keys: &[
        need("value", Takes::FieldOrFields, "the value: a field, or a tuple of several", "value: public_ip"),
        BY,
        MISSING,
        may(
            "learn",
            Takes::OffOr(&Takes::Map(&LEARN)),
            "a group is silent until both are met",
            "learn: {for: 7d, records: 5}",
        ),
        may("forget", Takes::OffOr(&Takes::Duration), "a value unused this long is new again", "forget: 30d"),
        may(
            "same_net",
            Takes::OffOr(&Takes::Map(&SAME_NET)),
            "an address is its network of so many bits",
            "same_net: {v4: 24, v6: 56}",
        ),
        may(
            "first_value",
            Takes::Word(&["silent", "alert"]),
            "what a group's first value does",
            "first_value: alert",
        ),
        later("same_if", "another address of a known network is not new", "same_if: [asn.number]"),
        later(
            "unless_common",
            "a value that many show is a roll-out",
            "unless_common: {by: user, at_least: 5, within: 1d}",
        ),
    ],
};

/// `learn:`
pub static LEARN: MapDoc = MapDoc {
    name: "`learn`",
    about: "how long a group learns",
    open: Open::Closed,
    keys: &[
        may("for", Takes::Duration, "since the group's first record", "for: 7d"),
        may("records", AT_LEAST, "records of the group before the one that is judged", "records: 5"),
    ],
};

/// `same_net:`
pub static SAME_NET: MapDoc = MapDoc {
    name: "`same_net`",
    about: "how many bits of an address make its network",
    open: Open::Closed,
    keys: &[
        may("v4", Takes::Whole(1, 32), "bits of an IPv4 address", "v4: 24"),
        may("v6", Takes::Whole(1, 128), "bits of an IPv6 address", "v6: 56"),
    ],
};

/// `measure:`
pub static MEASURE: MapDoc = MapDoc {
    name: "`measure`",
    about: "a statistic of a number field",
    open: Open::Closed,
    keys: &[
        need("field", Takes::Field, "the number field", "field: e2e_rtt"),
        need("stat", Takes::Stat, "which statistic; percentiles are nearest-rank", "stat: p90"),
        may("above", Takes::Number, "fires strictly above, in the field's own unit", "above: 300"),
        may("below", Takes::Number, "fires strictly below, in the field's own unit", "below: 5"),
        WITHIN,
        may("last", AT_LEAST, "only the last so many samples of the window", "last: 5"),
        may("at_least", AT_LEAST, "fewer samples prove nothing", "at_least: 5"),
        BY,
        MISSING,
        may(
            "recover",
            Takes::Map(&RECOVER),
            "strictly beyond this the alert is resolved",
            "recover: {below: 200}",
        ),
    ],
};

/// `recover:`
pub static RECOVER: MapDoc = MapDoc {
    name: "`recover`",
    about: "when the alert is resolved",
    open: Open::Closed,
    keys: &[
        may("above", Takes::Number, "resolved strictly above", "above: 10"),
        may("below", Takes::Number, "resolved strictly below", "below: 200"),
    ],
};

/// `script:`
pub static SCRIPT: MapDoc = MapDoc {
    name: "`script`",
    about: "a Rhai script over the group's last records",
    open: Open::Closed,
    keys: &[
        BY,
        MISSING,
        may(
            "keep",
            Takes::Whole(1, MAX_KEEP),
            "records of the group that the script sees, this one included",
            "keep: 3",
        ),
        need(
            "when",
            Takes::Script,
            "the script: true, false, or alert(#{name: value})",
            "when: record.e2e_rtt > 3 * record.network_rtt",
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

/// One test.
pub static TEST: MapDoc = MapDoc {
    name: "a test",
    about: "records, and the alerts that they raise",
    open: Open::Closed,
    keys: &[
        need("name", Takes::Text, "the claim", "name: five failures in eight minutes raise one alert"),
        may(
            "history",
            Takes::Maps(&EVENT),
            "records before the events; their alerts are not asserted",
            "history: [{every: 1d, times: 8, user: ana}]",
        ),
        need(
            "events",
            Takes::Maps(&EVENT),
            "records whose alerts are asserted",
            "events: [{every: 2m, times: 5, user: ana, outcome: failure}]",
        ),
        need(
            "alerts",
            Takes::Or(&Takes::Word(&["none"]), &Takes::Maps(&EXPECTED)),
            "the alerts in order; each names only what it asserts",
            "alerts: none",
        ),
    ],
};

/// One line of `events:` or `history:`.
pub static EVENT: MapDoc = MapDoc {
    name: "a line of events",
    about: "one or several records",
    open: Open::Fields,
    keys: &[
        may("times", Takes::Whole(1, MAX_TIMES), "how many records", "times: 5"),
        may("every", Takes::Duration, "time between them", "every: 2m"),
        may(
            "each",
            Takes::Map(&EACH),
            "fields that take the next value of their list with each record",
            "each: {user: [ana, bob]}",
        ),
        may("after", Takes::Duration, "time since the end of the line before", "after: 1h"),
        may("at", Takes::Instant, "the instant of the first record", "at: 2026-01-05T22:00:00Z"),
    ],
};

/// `each:`
pub static EACH: MapDoc =
    MapDoc { name: "`each`", about: "fields and the list of their values", open: Open::Fields, keys: &[] };

/// One entry of `alerts:`.
pub static EXPECTED: MapDoc = MapDoc {
    name: "an expected alert",
    about: "what one alert must be; only what is named is asserted",
    open: Open::Names,
    keys: &[],
};

/// Every map of the language, for the reference and for saying where a misplaced key belongs.
pub static MAPS: &[&MapDoc] = &[
    &RULE,
    &COUNT,
    &HAVING,
    &HAVING_LINE,
    &DISTINCT,
    &FIRST_SEEN,
    &LEARN,
    &SAME_NET,
    &MEASURE,
    &RECOVER,
    &SCRIPT,
    &EXCEPTION,
    &LEVEL_LINE,
    &COOLDOWN,
    &ALERT,
    &TEST,
    &EVENT,
    &EACH,
    &EXPECTED,
];

/// What the messages about one kind of file need to know of it.
#[derive(Debug)]
pub struct Language {
    /// What such files are called: `rule files`.
    pub files: &'static str,
    /// What one of them is and holds: `a rule file`, `one rule`.
    pub one: (&'static str, &'static str),
    /// What an empty one lacks.
    pub needs: &'static str,
    /// What to do where one is too large, and where it has too many values.
    pub split: (&'static str, &'static str),
    /// What to do where a second document begins.
    pub second: &'static str,
    /// What to do where a value begins with `*`.
    pub star: &'static str,
    /// What to do with a word that is not run yet.
    pub not_yet: &'static str,
    /// Every map, to say where a misplaced key belongs.
    pub maps: &'static [&'static MapDoc],
    /// Words that other tools use, and ours.
    pub synonyms: &'static [(&'static str, &'static str)],
}

/// Rule files.
pub static RULE_FILES: Language = Language {
    files: "rule files",
    one: ("a rule file", "one rule"),
    needs: "a rule needs at least `rule`, `title`, `level` and `match`",
    split: (
        "one file holds one rule: split it",
        "split the rule, or say it with `cidr`, `startswith` or `re`",
    ),
    second: "put each rule in its own file, and take the `---` away",
    star: "put text in quotes; to match a part of a field use `|contains`, `|startswith` or `|endswith`",
    not_yet: "take it out; what this version runs is in `larum schema rule`",
    maps: MAPS,
    synonyms: SYNONYMS,
};

/// Words that other tools use, and ours.
pub static SYNONYMS: &[(&str, &str)] = &[
    ("id", "rule"),
    ("severity", "level"),
    ("priority", "level"),
    ("window", "within"),
    ("timeframe", "within"),
    ("timespan", "within"),
    ("threshold", "at_least"),
    ("times", "at_least"),
    ("min", "at_least"),
    ("group_by", "by"),
    ("group-by", "by"),
    ("groupby", "by"),
    ("filter", "except"),
    ("exceptions", "except"),
    ("unless", "except"),
    ("reason", "because"),
    ("why", "because"),
    ("expires", "until"),
    ("raise", "levels"),
    ("receivers", "notify"),
    ("suppress", "cooldown"),
    ("throttle", "cooldown"),
    ("days", "for"),
    ("events", "records"),
    ("summary", "title"),
    ("message", "title"),
    ("mitre", "attack"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;

    #[test]
    fn every_example_begins_with_its_key() {
        for map in MAPS {
            for key in map.keys {
                assert!(key.example.starts_with(&format!("{}:", key.name)), "{} {}", map.name, key.name);
                assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{} {}", map.name, key.name);
            }
        }
    }

    #[test]
    fn no_key_stands_twice_in_a_map() {
        for map in MAPS {
            for (at, key) in map.keys.iter().enumerate() {
                assert!(
                    map.keys[..at].iter().all(|other| other.name != key.name),
                    "{} {}",
                    map.name,
                    key.name
                );
            }
        }
    }

    #[test]
    fn the_levels_are_the_records() {
        assert_eq!(LEVELS, Level::ALL.map(Level::as_str));
    }

    #[test]
    fn every_verb_is_a_key_of_a_rule() {
        assert!(VERBS.iter().all(|verb| RULE.key(verb).is_some()));
    }
}
