//! Instants and lengths of time in milliseconds, and every spelling the vendor uses for them.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time; write one such as 2026-01-05T09:00:00Z")]
pub struct BadTime(pub String);

impl std::str::FromStr for Timestamp {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        Self::parse(text).ok_or_else(|| BadTime(text.chars().take(64).collect()))
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Timestamp {
    /// Before every record.
    pub const MIN: Self = Self(i64::MIN);
    /// The last instant that can be written: 9999-12-31T23:59:59.999Z.
    pub const LAST: Self = Self(253_402_300_799_999);
    /// After every record.
    pub const MAX: Self = Self(i64::MAX);

    /// Reads any spelling the vendor is known to use (`reference/huawei-api.md`, 5.1): `T` or a
    /// space, seconds or none, up to nine digits of fraction after a point or a colon, `Z`, an
    /// offset or none (UTC). Digits past the millisecond are cut; `:60` is the next second.
    ///
    /// None for all else, and for a time of year 1 or before: the vendor's word for "not yet".
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let Some(bytes) = bytes.as_array::<24>()
            && let Some(time) = common(bytes)
        {
            return Some(time);
        }
        Self::parse_any(bytes)
    }

    fn parse_any(bytes: &[u8]) -> Option<Self> {
        let [
            y1,
            y2,
            y3,
            y4,
            b'-',
            mo1,
            mo2,
            b'-',
            d1,
            d2,
            b'T' | b't' | b' ',
            h1,
            h2,
            b':',
            m1,
            m2,
            rest @ ..,
        ] = bytes
        else {
            return None;
        };
        let year = i64::from(pair(*y1, *y2)?) * 100 + i64::from(pair(*y3, *y4)?);
        let (month, day) = (pair(*mo1, *mo2)?, pair(*d1, *d2)?);
        let (hour, minute) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
        if year < 2 || hour > 23 || minute > 59 || !(1..=12).contains(&month) {
            return None;
        }
        if day == 0 || day > days_in(year, month) {
            return None;
        }
        let (second, millis, zone) = seconds(rest)?;
        let days = days_from_civil(year, month, day);
        let of_day = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
        let time = Self((days * 86_400 + of_day - offset(zone)?) * 1_000 + i64::from(millis));
        // RFC 3339 ends with the year 9999, and so do the times that are shown.
        (time <= Self::LAST).then_some(time)
    }
}

/// Eight bytes of a spelling: what stands at each place, `0` for any digit.
struct Shape {
    bytes: u64,
    /// By byte, how far the greatest difference that is allowed is from 0x7f.
    room: u64,
}

impl Shape {
    const fn new(spelt: [u8; 8]) -> Self {
        let (mut room, mut place) = ([0x7f; 8], 0);
        while place < room.len() {
            if spelt[place] == b'0' {
                room[place] -= 9;
            }
            place += 1;
        }
        Self { bytes: u64::from_le_bytes(spelt), room: u64::from_le_bytes(room) }
    }

    /// The digits of `word`; 0 where the shape has none. None if it is of another shape.
    #[inline]
    fn digits(&self, word: [u8; 8]) -> Option<[u8; 8]> {
        const HIGH: u64 = u64::MAX / 255 * 0x80;
        let differs = u64::from_le_bytes(word) ^ self.bytes;
        let too_much = ((differs & !HIGH) + self.room) | differs;
        (too_much & HIGH == 0).then(|| differs.to_le_bytes())
    }
}

/// `2026-01-05T09:00:00.000Z`, which most times are; none for all else and for what is no time.
fn common(bytes: &[u8; 24]) -> Option<Timestamp> {
    const DATE: Shape = Shape::new(*b"0000-00-");
    const TIME: Shape = Shape::new(*b"00T00:00");
    const REST: Shape = Shape::new(*b":00.000Z");
    let (words, _) = bytes.as_chunks::<8>();
    let [date, time, rest] = words else { return None };
    let [y1, y2, y3, y4, _, mo1, mo2, _] = DATE.digits(*date)?;
    let [d1, d2, _, h1, h2, _, m1, m2] = TIME.digits(*time)?;
    let [_, s1, s2, _, f1, f2, f3, _] = REST.digits(*rest)?;
    let two = |tens: u8, ones: u8| u32::from(tens) * 10 + u32::from(ones);
    let year = i64::from(two(y1, y2)) * 100 + i64::from(two(y3, y4));
    let (month, day, hour, minute, second) =
        (two(mo1, mo2), two(d1, d2), two(h1, h2), two(m1, m2), two(s1, s2));
    let exists = year >= 2 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !exists || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day = i64::from(hour * 3_600 + minute * 60 + second);
    let millis = i64::from(f1) * 100 + i64::from(two(f2, f3));
    Some(Timestamp((days_from_civil(year, month, day) * 86_400 + of_day) * 1_000 + millis))
}

/// Two digits.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Days in a month of the Gregorian calendar.
#[inline]
fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date that exists (Howard Hinnant's `days_from_civil`).
#[inline]
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds and milliseconds after the minute, and what is left: the zone.
#[inline]
fn seconds(rest: &[u8]) -> Option<(u32, u32, &[u8])> {
    let [b':', s1, s2, rest @ ..] = rest else {
        return Some((0, 0, rest));
    };
    let second = pair(*s1, *s2)?;
    if second > 60 {
        return None;
    }
    let [b'.' | b':', fraction @ ..] = rest else {
        return Some((second, 0, rest));
    };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let digit = |place: usize| if place < digits { u32::from(fraction[place] - b'0') } else { 0 };
    Some((second, digit(0) * 100 + digit(1) * 10 + digit(2), &fraction[digits..]))
}

/// Seconds that a zone's clock is ahead of UTC: `Z`, `+08:00`, `-0400`, `+08`, or nothing.
#[inline]
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, pair(*h1, *h2)?, pair(*m1, *m2)?),
        [sign, h1, h2] => (sign, pair(*h1, *h2)?, 0),
        _ => return None,
    };
    let seconds = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
    match sign {
        b'+' if hours < 24 && minutes < 60 => Some(seconds),
        b'-' if hours < 24 && minutes < 60 => Some(-seconds),
        _ => None,
    }
}

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `count` seconds.
    pub const fn secs(count: i64) -> Self {
        Self(count * 1_000)
    }

    /// `count` minutes.
    pub const fn mins(count: i64) -> Self {
        Self::secs(count * 60)
    }

    /// `count` hours.
    pub const fn hours(count: i64) -> Self {
        Self::mins(count * 60)
    }

    /// `count` days of 24 hours.
    pub const fn days(count: i64) -> Self {
        Self::hours(count * 24)
    }

    /// So many of it; the longest that there is where that is too long.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self(self.0.saturating_mul(count.into()))
    }

    /// The longest length that is read: ten years, far past what any window holds, so that sums of
    /// lengths and times cannot overflow.
    pub const LONGEST: Self = Self::days(3_650);

    /// Reads `90s`, `10m`, `1h30m`, `7d`, `500ms`: whole numbers with units, largest unit first.
    pub fn parse(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration::Unreadable(text.to_owned());
        if text.starts_with('-') {
            return Err(BadDuration::Negative(text.to_owned()));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadDuration::NoUnit(text.to_owned()));
        }
        let (mut rest, mut total, mut smaller_than) = (text, 0_i64, i64::MAX);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (count, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, after) = after.split_at(letters);
            let length = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, length)| *length);
            let length = length.filter(|length| *length < smaller_than && digits > 0).ok_or_else(bad)?;
            let part = count.parse::<i64>().ok().and_then(|count| count.checked_mul(length));
            total = part.and_then(|part| total.checked_add(part)).unwrap_or(i64::MAX);
            (rest, smaller_than) = (after, length);
        }
        match total {
            _ if text.is_empty() => Err(bad()),
            0 => Err(BadDuration::Zero(text.to_owned())),
            _ if total > Self::LONGEST.0 => Err(BadDuration::TooLong(text.to_owned())),
            _ => Ok(Self(total)),
        }
    }
}

/// Units of a length of time, largest first, in milliseconds.
const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// A bare number.
    #[error("`{0}` needs a unit: `{0}s`, `{0}m`, `{0}h` or `{0}d`")]
    NoUnit(String),
    /// No time at all.
    #[error("`{0}` is no time at all; a duration is longer than zero")]
    Zero(String),
    /// Below zero.
    #[error("`{0}` is negative; a duration is longer than zero")]
    Negative(String),
    /// Longer than [`Millis::LONGEST`].
    #[error("`{0}` is too long; at most 3650d")]
    TooLong(String),
    /// Anything else.
    #[error(
        "`{0}` is no duration; write whole numbers with units, such as `90s`, `10m`, `1h30m`, `7d` or `500ms`"
    )]
    Unreadable(String),
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;

    fn sub(self, length: Millis) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;

    fn sub(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// RFC 3339 with milliseconds and `Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = spelt(self.0) {
            return f.write_str(std::str::from_utf8(&text).unwrap_or_default());
        }
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// An instant of the years that have four digits and come after 1969; every alert names half a dozen.
fn spelt(millis: i64) -> Option<[u8; 24]> {
    /// The year 10000.
    const END: i64 = 253_402_300_800_000;
    const DAY: i64 = 86_400_000;
    if !(0..END).contains(&millis) {
        return None;
    }
    let (days, rest) = (millis / DAY, millis % DAY);
    // Days since the first of March of the year 0, in eras of 400 years, which all are alike.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let of_day = of_year - (153 * march + 2) / 5 + 1;
    let (seconds, milli) = (rest / 1_000, rest % 1_000);
    for (place, value) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, of_day),
        (11, seconds / 3_600),
        (14, seconds / 60 % 60),
        (17, seconds % 60),
        (21, milli % 100),
    ] {
        let value = u8::try_from(value).unwrap_or(0);
        text[place] += value / 10;
        text[place + 1] += value % 10;
    }
    text[20] += u8::try_from(milli / 100).unwrap_or(0);
    Some(text)
}

/// With the largest units that say it exactly: `90s`, `10m`, `7d`, `1h30m`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            return write!(f, "-{}", Self(self.0.saturating_neg()));
        }
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, length) in UNITS {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        Timestamp::parse(text).map_or("none".to_owned(), |time| time.to_string())
    }

    proptest! {
        #[test]
        fn the_common_spelling_is_read_as_any_other(
            parts in (0..10_100_i64, 0..14_u8, 0..33_u8, 0..26_u8, 0..62_u8, 0..62_u8, 0..1000_u16),
            place in 0..24_usize,
            byte in prop_oneof![Just(None), any::<u8>().prop_map(Some), (b'0'..=b':').prop_map(Some)],
        ) {
            let (year, month, day, hour, minute, second, millis) = parts;
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
            let mut bytes = text.into_bytes();
            bytes.truncate(24);
            if let Some(byte) = byte {
                bytes[place] = byte;
            }
            let common = common(bytes.as_array().unwrap());
            let any = Timestamp::parse_any(&bytes);
            prop_assert!(common.is_none() || common == any, "{common:?} {any:?}");
            // What it leaves to others is a leap second, lower case, another sign or nothing.
            let plain = byte.is_none() && second < 60;
            prop_assert!(common.is_some() || any.is_none() || !plain);
        }
    }

    proptest! {
        #[test]
        fn an_instant_is_spelt_as_the_calendar_has_it(millis in -100_000_000_i64..253_402_300_900_000) {
            let time = chrono::DateTime::from_timestamp_millis(millis).unwrap();
            prop_assert_eq!(Timestamp(millis).to_string(), time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
        }
    }

    #[test]
    fn every_vendor_spelling_of_a_time_is_read() {
        for (text, meant) in [
            ("2023-06-05T03:34:43Z", "2023-06-05T03:34:43.000Z"),
            ("2022-03-07T10:40:43.858Z", "2022-03-07T10:40:43.858Z"),
            ("2023-07-07 03:04:06", "2023-07-07T03:04:06.000Z"),
            ("2016-08-20T21:11Z", "2016-08-20T21:11:00.000Z"),
            ("2023-06-05T03:34:43.120+0000", "2023-06-05T03:34:43.120Z"),
            ("2024-05-07T07:16:27.791729999Z", "2024-05-07T07:16:27.791Z"),
            ("2024-05-07T07:16:39.61Z", "2024-05-07T07:16:39.610Z"),
            ("2020-01-08T03:16:01:599000Z", "2020-01-08T03:16:01.599Z"),
            ("2022-01-25T09:24:27", "2022-01-25T09:24:27.000Z"),
            ("2022-10-24T17:24:56.000+00:00", "2022-10-24T17:24:56.000Z"),
            ("2022-07-12T11:45:00-04:00", "2022-07-12T15:45:00.000Z"),
            ("2022-07-12T11:45:00+08:00", "2022-07-12T03:45:00.000Z"),
            ("2022-07-12T11:45:00+08", "2022-07-12T03:45:00.000Z"),
            ("2022-07-12t11:45:00z", "2022-07-12T11:45:00.000Z"),
            ("2022-07-12 11:45", "2022-07-12T11:45:00.000Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(shown(text), meant, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_absent() {
        for text in [
            "",
            "0001-01-01 00:00:00",
            "0001-01-01T00:00:00Z",
            "0000-00-00 00:00:00",
            "soon",
            "2023-06-05",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-04-31T00:00:00Z",
            "2023-04-00T00:00:00Z",
            "2023-04-01T24:00:00Z",
            "2023-04-01T00:60:00Z",
            "2023-04-01T00:00:61Z",
            "2023-04-01T00:00:00.Z",
            "2023-04-01T00:00:00.1234567890Z",
            "2023-04-01T00:00:00Zulu",
            "2023-04-01T00:00:00+24:00",
            "2023-04-01T00:00:00 Z",
            "+023-04-01T00:00:00Z",
            "２023-04-01T00:00:00Z",
        ] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }

    #[test]
    fn a_duration_has_units() {
        for (text, meant) in [
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("500ms", 500),
            ("1d1ms", 86_400_001),
        ] {
            assert_eq!(Millis::parse(text), Ok(Millis(meant)), "{text}");
        }
        assert_eq!(Millis::parse("3650d"), Ok(Millis::LONGEST));
    }

    #[test]
    fn a_bad_duration_says_what_to_write() {
        let why = |text: &str| Millis::parse(text).unwrap_err().to_string();
        assert_eq!(why("10"), "`10` needs a unit: `10s`, `10m`, `10h` or `10d`");
        assert_eq!(why("0s"), "`0s` is no time at all; a duration is longer than zero");
        assert_eq!(why("-5m"), "`-5m` is negative; a duration is longer than zero");
        assert_eq!(why("3651d"), "`3651d` is too long; at most 3650d");
        assert_eq!(why("99999999999999999999d"), "`99999999999999999999d` is too long; at most 3650d");
        for text in ["", "s", "5x", "5 m", "30m1h", "1h1h", "1.5h", "10M", "5m 3"] {
            assert_eq!(Millis::parse(text), Err(BadDuration::Unreadable(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_time_is_read_back(millis in -62_000_000_000_000_i64..253_402_300_799_999) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(millis).to_string()), Some(Timestamp(millis)));
        }

        #[test]
        fn a_shown_duration_is_read_back(millis in 1..=Millis::LONGEST.0) {
            prop_assert_eq!(Millis::parse(&Millis(millis).to_string()), Ok(Millis(millis)));
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,40}") {
            let _ = (Timestamp::parse(&text), Millis::parse(&text));
        }
    }
}
