//! How much a receiver's people are told: limits by level, and of single rules.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::record::{Level, Millis, RuleId};

/// `10 in 15m`: no more messages than this within any window (t − w, t].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost {
    /// Messages; at least 1 (0 is taken as 1, for what is never sent would wait for ever).
    pub count: u32,
    /// The window's length; longer than zero.
    pub within: Millis,
}

/// A text that is no [`AtMost`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no limit; write a whole number from 1 and a duration, such as `10 in 15m`")]
pub struct BadAtMost(pub String);

impl FromStr for AtMost {
    type Err = BadAtMost;

    fn from_str(text: &str) -> Result<Self, BadAtMost> {
        let bad = || BadAtMost(text.chars().take(64).collect());
        let (count, within) = text.split_once(" in ").ok_or_else(bad)?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(bad)?;
        Ok(Self { count, within: Millis::parse(within.trim()).map_err(|_| bad())? })
    }
}

/// As it is spelt in the configuration.
impl fmt::Display for AtMost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, self.within)
    }
}

/// What a receiver is told at most, by level and of single rules. A level without a limit is told at
/// once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    of: [Option<AtMost>; Level::ALL.len()],
    rules: BTreeMap<RuleId, AtMost>,
}

/// What people are told at most where the configuration says nothing: about what one person on
/// duty can read and act on; mild news less often.
pub const HUMAN: [(Level, AtMost); Level::ALL.len()] = [
    (Level::Informational, AtMost { count: 5, within: Millis::hours(1) }),
    (Level::Low, AtMost { count: 10, within: Millis::hours(1) }),
    (Level::Medium, AtMost { count: 10, within: Millis::mins(15) }),
    (Level::High, AtMost { count: 10, within: Millis::mins(15) }),
    (Level::Critical, AtMost { count: 20, within: Millis::mins(15) }),
];

impl Limits {
    /// No limit at all: for machines.
    pub fn none() -> Self {
        Self::default()
    }

    /// [`HUMAN`].
    pub fn human() -> Self {
        HUMAN.into_iter().fold(Self::none(), |limits, (level, at_most)| limits.with(level, Some(at_most)))
    }

    /// The same, but for `level`.
    #[must_use]
    pub fn with(mut self, level: Level, at_most: Option<AtMost>) -> Self {
        self.of[level as usize] = at_most;
        self
    }

    /// The same, but for `rule`, whose messages of all levels together are limited besides.
    #[must_use]
    pub fn with_rule(mut self, rule: RuleId, at_most: AtMost) -> Self {
        self.rules.insert(rule, at_most);
        self
    }

    /// Rules that have a limit of their own.
    pub fn rules(&self) -> impl Iterator<Item = (&RuleId, AtMost)> {
        self.rules.iter().map(|(rule, at_most)| (rule, *at_most))
    }

    /// Of one rule; none: that of its level alone.
    pub fn of_rule(&self, rule: &RuleId) -> Option<AtMost> {
        self.rules.get(rule).copied()
    }

    /// Of one level; none: no limit.
    pub fn of(&self, level: Level) -> Option<AtMost> {
        self.of[level as usize]
    }
}
