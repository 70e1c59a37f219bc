//! Single values from text: durations, instants, days, numbers.
//!
//! Pure functions of the text; what a fault says is decided by who asks.

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::record::time::BadDuration;
use crate::record::{Millis, Number, Timestamp};

/// Longest window, delay or time to forget. The vendor keeps 30 days and the archive 90 unless told
/// otherwise; a year is past every use, and a slip (`10000d`) is told.
pub(super) const MAX_LENGTH: Millis = Millis::days(366);

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoDuration {
    /// A number alone.
    NoUnit,
    /// Anything else.
    Unreadable,
}

/// `500ms`, `90s`, `10m`, `1h30m`, `7d`: whole numbers with units, each unit once, largest first.
pub(super) fn duration(text: &str) -> Result<Millis, NoDuration> {
    match Millis::parse(text) {
        Ok(length) => Ok(length),
        // Lengths that are readable and out of bounds: the caller knows the bounds of each key.
        Err(BadDuration::Zero(_)) => Ok(Millis::ZERO),
        Err(BadDuration::TooLong(_)) => Ok(Millis::LONGEST),
        Err(BadDuration::NoUnit(_)) => Err(NoDuration::NoUnit),
        Err(BadDuration::Negative(_) | BadDuration::Unreadable(_)) => Err(NoDuration::Unreadable),
    }
}

/// What a fault says of a number that is one and out of range; none of what is no number.
pub(in crate::rule) fn out_of_range(text: &str) -> Option<(String, &'static str)> {
    Number::nearest(text).filter(|_| Number::parse(text).is_none())?;
    let hint = "write a number from -1e20 to 1e20; what a record has beyond that is larger or smaller than all of them";
    Some((format!("the number `{text}` is beyond those that a rule can name"), hint))
}

/// An instant.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

/// The end of a day in `zone`, that is the first instant of the next; or an instant as it stands.
pub(in crate::rule) fn day_end(text: &str, zone: Tz) -> Option<Timestamp> {
    if let Some(at) = instant(text) {
        return Some(at);
    }
    let well_formed = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| well_formed)?;
    let midnight = day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN);
    // Where clocks go forward at midnight the day begins later, by at most a few hours.
    (0..=12).find_map(|quarter| {
        let local = midnight + TimeDelta::minutes(15 * quarter);
        zone.from_local_datetime(&local).earliest().map(|time| Timestamp(time.timestamp_millis()))
    })
}

/// A whole number in digits.
pub(super) fn whole(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The digits of a small number in words.
pub(super) fn digits(word: &str) -> Option<usize> {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    WORDS.iter().position(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(duration(text), Ok(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_no_duration() {
        assert_eq!(duration("10"), Err(NoDuration::NoUnit));
        assert_eq!(duration("99999999999999999999d"), Ok(Millis::LONGEST));
        for text in ["", "m", "10 m", "10min", "1.5h", "-5m", "5m1h", "5m5m", "10M", "１0m"] {
            assert_eq!(duration(text), Err(NoDuration::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_day_ends_at_the_next_midnight_of_its_zone() {
        let end = |text, zone| day_end(text, zone).map(|at| at.to_string());
        assert_eq!(end("2027-01-31", Tz::UTC).as_deref(), Some("2027-02-01T00:00:00.000Z"));
        assert_eq!(end("2027-01-31", Tz::Asia__Shanghai).as_deref(), Some("2027-01-31T16:00:00.000Z"));
        assert_eq!(end("2027-01-31T12:00:00+08:00", Tz::UTC).as_deref(), Some("2027-01-31T04:00:00.000Z"));
        // Clocks in Beirut went from 00:00 to 01:00 on 2022-03-27.
        assert_eq!(end("2022-03-26", Tz::Asia__Beirut).as_deref(), Some("2022-03-26T22:00:00.000Z"));
        for text in ["2027-02-30", "31.01.2027", "2027-1-31", "tomorrow", "", "999999-01-01"] {
            assert_eq!(end(text, Tz::UTC), None, "{text}");
        }
    }
}
