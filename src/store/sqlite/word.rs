//! Words and numbers in which the domain's values stand in columns, and how they are read back.

use rusqlite::Row;
use rusqlite::types::FromSqlError;

use crate::alert::State;
use crate::record::Level;

/// A level's number in its column: comparable.
pub(super) fn of_level(level: Level) -> u8 {
    match level {
        Level::Informational => 0,
        Level::Low => 1,
        Level::Medium => 2,
        Level::High => 3,
        Level::Critical => 4,
    }
}

/// The level in a column.
pub(super) fn level(row: &Row<'_>, column: usize) -> rusqlite::Result<Level> {
    let number: u8 = row.get(column)?;
    let level = Level::ALL.into_iter().find(|level| of_level(*level) == number);
    level.ok_or_else(|| unreadable(row, column, "no level"))
}

/// Every state of an alert.
pub(super) const STATES: [State; 5] =
    [State::Open, State::Updated, State::Closed, State::Acknowledged, State::Resolved];

/// The state in a column.
pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let word: String = row.get(column)?;
    let state = STATES.into_iter().find(|state| state.as_str() == word);
    state.ok_or_else(|| unreadable(row, column, "no state"))
}

/// A value of the domain that reads itself from text.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(row, column, &format!("{error}")))
}

/// The error of a column whose value was never written.
pub(super) fn unreadable(row: &Row<'_>, column: usize, why: &str) -> rusqlite::Error {
    let kind = row.get_ref(column).map_or(rusqlite::types::Type::Null, |value| value.data_type());
    let name = row.as_ref().column_name(column).unwrap_or_default().to_owned();
    let why = FromSqlError::Other(format!("column `{name}`: {why}").into());
    rusqlite::Error::FromSqlConversionFailure(column, kind, why.into())
}

/// The ids that begin with these hexadecimal digits: first and last; none where no id can.
pub(super) fn ids_with_prefix(digits: &str) -> Option<([u8; 16], [u8; 16])> {
    let (mut first, mut last) = ([0; 16], [0xff; 16]);
    for (place, digit) in digits.chars().enumerate() {
        let value = u8::try_from(digit.to_digit(16)?).ok()?;
        let (first, last) = (first.get_mut(place / 2)?, last.get_mut(place / 2)?);
        if place % 2 == 0 {
            (*first, *last) = (value << 4, value << 4 | 0x0f);
        } else {
            (*first, *last) = (*first | value, *first | value);
        }
    }
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_spans_the_ids_that_begin_with_it() {
        let (first, last) = ids_with_prefix("aB3").unwrap();
        assert_eq!((first[0], first[1], first[2]), (0xab, 0x30, 0x00));
        assert_eq!((last[0], last[1], last[2]), (0xab, 0x3f, 0xff));
        assert_eq!(ids_with_prefix(""), Some(([0; 16], [0xff; 16])));
        assert_eq!(ids_with_prefix("xy"), None);
        assert_eq!(ids_with_prefix("%"), None);
        let whole = "0123456789abcdef0123456789abcdef";
        let (first, last) = ids_with_prefix(whole).unwrap();
        assert_eq!(first, last);
        assert_eq!(ids_with_prefix(&format!("{whole}0")), None);
    }
}
