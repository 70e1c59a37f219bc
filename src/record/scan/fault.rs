//! Why a line or row is no record, in words for a person.

use super::slow::{Bad, Why};
use super::{MAX_DEPTH, MAX_EXCERPT, MAX_FIELDS};
use crate::record::{Millis, Timestamp};

/// Why a line or row is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no JSON.
    #[error("not JSON: {reason} at byte {column}")]
    NotJson {
        /// Which byte of the line, the first being 1.
        column: usize,
        /// What was wrong there.
        reason: &'static str,
    },
    /// It is JSON, but no object.
    #[error("not a JSON object")]
    NotObject,
    /// It is no text.
    #[error("not UTF-8")]
    NotUtf8,
    /// It is longer than [`super::MAX_LINE`].
    #[error("longer than 4 MiB")]
    TooLong,
    /// It has more fields than [`MAX_FIELDS`].
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It has no time.
    #[error("no time")]
    NoTime,
    /// It has a time that cannot be read.
    #[error("time `{0}` cannot be read")]
    UnreadableTime(String),
    /// It is a page of the vendor's: it holds rows, and is none.
    #[error("its rows are in `{0}`")]
    Page(&'static str),
    /// It is dated ahead of now.
    #[error("dated {ahead} ahead of now")]
    Future {
        /// When it is dated.
        dated: Timestamp,
        /// How far that is.
        ahead: Millis,
    },
}

impl Fault {
    /// The reason without its particulars, for counting.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not JSON",
            Self::NotObject => "not a JSON object",
            Self::NotUtf8 => "not UTF-8",
            Self::TooLong => "too long",
            Self::TooManyFields => "too many fields",
            Self::TooDeep => "nested too deep",
            Self::NoTime => "no time",
            Self::UnreadableTime(_) => "unreadable time",
            Self::Page(_) => "a page of rows",
            Self::Future { .. } => "ahead of now",
        }
    }

    /// What the reader found, in a line that begins at `start`.
    pub(super) fn of(bad: Bad, start: usize) -> Self {
        match bad.why {
            Why::Json(reason) => Self::NotJson { column: bad.at - start + 1, reason },
            Why::NotObject => Self::NotObject,
            Why::TooManyFields => Self::TooManyFields,
            Why::TooDeep => Self::TooDeep,
        }
    }
}

/// The first characters of a hostile text, safe on a terminal: at most [`MAX_EXCERPT`] bytes, with
/// control characters and those that turn the direction of writing spelt out.
pub fn excerpt(text: &str) -> String {
    cut(text, MAX_EXCERPT)
}

/// The same of at most `most` bytes.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(most.min(text.len()));
    for c in text.chars() {
        let len = shown.len();
        if is_unsafe(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        if shown.len() > most {
            shown.truncate(len);
            break;
        }
    }
    shown
}

/// True for a character that does something to what is shown around it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_safe_on_a_terminal() {
        assert_eq!(
            excerpt("a\u{1b}[31m\tb\u{202e}é\u{7f}\u{9b}"),
            "a\\u{1b}[31m\\tb\\u{202e}é\\u{7f}\\u{9b}"
        );
    }

    #[test]
    fn an_excerpt_ends_between_characters() {
        let long = "é".repeat(MAX_EXCERPT);
        assert_eq!(excerpt(&long).len(), MAX_EXCERPT);
        let odd = format!("a{long}");
        assert_eq!(excerpt(&odd).len(), MAX_EXCERPT - 1);
        assert_eq!(excerpt(&"\u{1b}".repeat(MAX_EXCERPT)).len(), MAX_EXCERPT / 6 * 6);
    }
}
