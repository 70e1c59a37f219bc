//! What happened: one record is one thing at one event time.
//!
//! Text is kept once, in its batch; a record is a handle (batch, row, phase) that answers for the
//! fields which somebody asked for beforehand. There is no map of strings and no JSON tree.
//! Nothing here knows a rule, reads a clock or opens a file.

pub mod batch;
pub mod datum;
pub mod describe;
pub mod fact;
pub mod field;
pub mod fold;
pub mod geography;
mod halves;
pub mod number;
pub mod place;
pub mod scan;
pub mod time;
mod value;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use batch::{Batch, Record, Row, Value};
pub use datum::Datum;
pub use field::{Column, Columns, FieldKind, FieldName};
pub use halves::mended;
pub use number::Number;
pub use time::{Millis, Timestamp};
pub use value::value_of;

/// Where a row can be fetched again: the edge that read it gives the number and understands it.
/// The core only carries it (file and offset in a replay, journal batch and row in the daemon).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Locator(pub u64);

/// Identity of a row: digest of region, project, endpoint and the vendor's key (or, for rows of
/// files, of kind and vendor id, else of the line). Never of a label from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId(pub [u8; 16]);

/// Identity of a record: a row's and the phase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(pub [u8; 16]);

impl RecordId {
    /// The record that `row` is in `phase`.
    pub fn of(row: RowId, phase: Phase) -> Self {
        // In one piece: what is written byte by byte is slow to be read as a whole.
        let mark = u128::from(phase as u8) << (u128::BITS - u8::BITS);
        Self((u128::from_le_bytes(row.0) ^ mark).to_le_bytes())
    }

    /// What the row of this record, which is its record of phase `own`, is in another `phase`.
    #[must_use]
    pub fn sibling(self, own: Phase, phase: Phase) -> Self {
        Self::of(RowId(Self::of(RowId(self.0), own).0), phase)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Writes at most 16 bytes as hexadecimal digits: every alert names several ids.
pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = [0; 32];
    let (places, _) = text.as_chunks_mut::<2>();
    for (place, byte) in places.iter_mut().zip(bytes) {
        *place = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    let text = text.get(..2 * bytes.len()).unwrap_or_default();
    f.write_str(std::str::from_utf8(text).unwrap_or_default())
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

/// Which part of a row's life a record tells of. The order is the order at equal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Phase {
    /// The row at its start time.
    Start = 0,
    /// The row was read again with other content; only rules that ask see it.
    Amended = 1,
    /// The row at its end time, once it shows one.
    End = 2,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 3] = [Self::Start, Self::Amended, Self::End];

    /// The word in rules and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Amended => "amended",
            Self::End => "end",
        }
    }
}

/// How grave an alert is; Sigma's five levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth keeping, not worth a look of its own.
    Informational,
    /// Worth a look some time.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Level {
    /// Every level, mildest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in rules and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule's name: `[a-z0-9-]`, 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RuleId(std::sync::Arc<str>);

impl RuleId {
    /// Longest name; it is shown in every alert and used in file names.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id nearest to `text`: in lower case, and a dash in place of what no id may hold. None if nothing
    /// is left.
    pub fn nearest(text: &str) -> Option<Self> {
        let mut id = String::new();
        for c in text.chars() {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                id.push(c);
            } else if !id.is_empty() && !id.ends_with('-') {
                id.push('-');
            }
        }
        id.truncate(Self::MAX_LEN);
        id.trim_end_matches('-').parse().ok()
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.as_str().to_owned()
    }
}

impl TryFrom<String> for RuleId {
    type Error = BadRuleId;

    fn try_from(text: String) -> Result<Self, BadRuleId> {
        text.parse()
    }
}

/// A name that is no [`RuleId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rule id: use 1 to 64 of a-z, 0-9 and -")]
pub struct BadRuleId(pub String);

impl std::str::FromStr for RuleId {
    type Err = BadRuleId;

    fn from_str(text: &str) -> Result<Self, BadRuleId> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(BadRuleId(text.to_owned()))
        }
    }
}
