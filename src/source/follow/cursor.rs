//! The place to resume from: for each file how far it is read, and the rows that are set aside.

use serde::{Deserialize, Serialize};

use crate::record::Timestamp;

/// All that a later life needs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub files: Vec<Place>,
    /// The newest confirmed time.
    pub newest: Option<Timestamp>,
    /// The watermark that was told last.
    pub told: Option<Timestamp>,
    /// Rows dated ahead, whose time has not come.
    pub held: Vec<String>,
}

/// How far one file is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Where it was seen last.
    pub path: String,
    /// The device and inode that it is.
    pub dev: u64,
    /// See `dev`.
    pub ino: u64,
    /// Digest of its first bytes, and of how many: another file in the same inode has others.
    pub head: (u64, u32),
    /// Bytes read, as unpacked; always the beginning of a line, or within one that is passed over.
    pub offset: u64,
    /// Lines before that byte; none where nobody has counted them.
    #[serde(default)]
    pub lines: Option<u64>,
    /// True while a line that is too long is passed over.
    pub passing: bool,
    /// True once it is read for good.
    pub done: bool,
    /// The newest time in it.
    pub newest: Option<Timestamp>,
    /// How it was when it could not be read on for so long that nothing waits for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<Stamp>,
}

/// How a file was at some moment: one that was written to, or whose rights were changed, has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Its bytes, as packed.
    pub len: u64,
    /// When its content or its rights changed last, by the clock of its disk.
    pub changed: Timestamp,
}

impl Cursor {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn of_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("this is no cursor of files: {error}"))
    }
}
