//! The table of keys: for each map of a rule file, what may stand in it.
//!
//! One table says what the decoder takes, what it suggests for a misspelt key, what the JSON Schema
//! shows an editor, and what the reference lists. Never reads a value.

mod cases;
mod rule;
mod verbs;

pub use cases::{EACH, EVENT, EXPECTED, TEST, TEST_LISTS, TEST_VALUE};
pub use rule::{ALERT, COOLDOWN, EXCEPTION, HOURS, LEVEL_LINE, RULE};
pub use verbs::{
    ABSENT, COUNT, DISTINCT, FAR, FIRST_SEEN, HAVING, HAVING_LINE, KM, LEARN, MEASURE, OVERLAP, PAIR, RATE,
    RECOVER, RISK, SAME_NET, SCRIPT, SEQUENCE, STEP, TRAVEL, UNLESS_COMMON, USUAL, USUAL_LEARN,
};

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
    /// Fields, each `same` or `different`.
    Compared,
    /// Names that the author chooses.
    Names,
    /// Names that the author chooses; their values may be secrets.
    Secrets,
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
    /// A whole number in these bounds, with its unit.
    Measured(u32, u32, &'static str),
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
            Self::Measured(min, max, unit) => format!("a whole number from {min}{unit} to {max}{unit}"),
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
/// Verbs without a `match` of the rule: steps match by themselves, and risk looks at alerts.
pub const WITHOUT_MATCH: &[&str] = &["sequence", "risk"];

/// Hits or values that a rule may ask for: a group keeps no more, so a larger number never fires.
pub const MAX_AT_LEAST: u32 = 10_000;
/// Records that a script may look back on.
pub const MAX_KEEP: u32 = 64;
/// What a field of two sessions may be.
pub const SAME_OR_DIFFERENT: &[&str] = &["same", "different"];
/// Steps of a sequence.
pub const MAX_STEPS: usize = 10;
/// Records of one line of a test.
pub const MAX_TIMES: u32 = 1_000_000;

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
    &UNLESS_COMMON,
    &MEASURE,
    &RECOVER,
    &RATE,
    &SEQUENCE,
    &STEP,
    &ABSENT,
    &SCRIPT,
    &TRAVEL,
    &OVERLAP,
    &PAIR,
    &USUAL,
    &FAR,
    &USUAL_LEARN,
    &RISK,
    &EXCEPTION,
    &LEVEL_LINE,
    &COOLDOWN,
    &HOURS,
    &ALERT,
    &TEST,
    &TEST_LISTS,
    &TEST_VALUE,
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
    /// What to do to count.
    pub count: &'static str,
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
    count: "to count, give the rule a verb: `count: {at_least: 5, within: 10m}`",
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
    ("maxspan", "within"),
    ("threshold", "at_least"),
    ("times", "at_least"),
    ("min", "at_least"),
    ("capacity", "at_least"),
    ("leakspeed", "drains_every"),
    ("leak_speed", "drains_every"),
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
    ("baseline", "usual"),
    ("anomaly", "usual"),
    ("factor", "times"),
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
