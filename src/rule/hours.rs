//! Hours of the week in a time zone: `hours: {zone: Asia/Shanghai, outside: "Mon-Fri 08:00-19:00"}`.
//!
//! A span is judged by what a clock on the wall there shows: [start, end). One over midnight belongs
//! to the day on which it starts. Where clocks go back, the hour that comes twice is in or out both
//! times; where they go forward, the hour that is missing belongs to nobody. Nothing here reads a clock.

use std::fmt;

use chrono::{DateTime, Datelike, Offset, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use crate::record::{Millis, Timestamp};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// The days as they are spelt, in order.
pub const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Spans of one rule.
pub const MAX_SPANS: usize = 50;
/// What takes longer than this to pass within the hours never does.
const NEVER: Millis = Millis::days(3_653);
/// Clocks change when a quarter of an hour begins.
const QUARTER: Millis = Millis::mins(15);

/// When records are hits of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hours {
    /// Whose clocks.
    #[serde(serialize_with = "zone_name")]
    pub zone: Tz,
    /// Records within a span are hits (true), or those without (false).
    pub inside: bool,
    /// At least one.
    pub spans: Vec<WeekSpan>,
}

/// A zone by its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn zone_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// The same hours on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeekSpan {
    /// The days on which it starts; bit 0 is Monday.
    days: u8,
    /// Minutes after midnight at which it starts; less than a day.
    from: u16,
    /// Minutes after midnight at which it is over; not after `from`: of the day after.
    to: u16,
}

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSpan {
    /// There are not both days and hours.
    #[error("`{0}` is no span of hours")]
    Unreadable(String),
    /// A word is no day.
    #[error("`{0}` is no day of the week")]
    Day(String),
    /// A word is no time of day.
    #[error("`{0}` is no time of day")]
    Time(String),
    /// It starts when it ends.
    #[error("`{0}` starts when it ends")]
    Empty(String),
}

impl WeekSpan {
    /// Reads `Mon-Fri 08:00-19:00`, `Sat,Sun 00:00-24:00` or, for every day, `22:00-06:00`.
    pub fn parse(text: &str) -> Result<Self, BadSpan> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours) = match *words.as_slice() {
            [hours] => (0b111_1111, hours),
            [days, hours] => (read_days(days)?, hours),
            _ => return Err(BadSpan::Unreadable(text.to_owned())),
        };
        let (from, to) = hours.split_once('-').ok_or_else(|| BadSpan::Unreadable(text.to_owned()))?;
        let (start, end) = (minutes(from)?, minutes(to)?);
        if start == DAY {
            return Err(BadSpan::Time(from.to_owned()));
        }
        if start == end {
            return Err(BadSpan::Empty(text.to_owned()));
        }
        Ok(Self { days, from: start, to: end })
    }

    fn starts_on(self, day: Weekday) -> bool {
        self.days >> day.num_days_from_monday() & 1 == 1
    }

    /// Whether it covers a minute of a day.
    fn covers(self, day: Weekday, minute: u16) -> bool {
        if self.from < self.to {
            return self.starts_on(day) && (self.from..self.to).contains(&minute);
        }
        (self.starts_on(day) && minute >= self.from) || (self.starts_on(day.pred()) && minute < self.to)
    }
}

fn read_days(text: &str) -> Result<u8, BadSpan> {
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // `Sat-Mon` goes over the end of the week.
        let length = (last + 7 - first) % 7;
        days |= (0..=length).fold(0, |days, after| days | 1 << ((first + after) % 7));
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, BadSpan> {
    let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    found.ok_or_else(|| BadSpan::Day(text.to_owned()))
}

fn minutes(text: &str) -> Result<u16, BadSpan> {
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let read = text.split_once(':').and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)));
    match read {
        Some((24, 0)) => Ok(DAY),
        Some((hours @ 0..24, minutes @ 0..60)) => Ok(hours * 60 + minutes),
        Some(_) | None => Err(BadSpan::Time(text.to_owned())),
    }
}

impl Hours {
    /// Whether a record of this time may be a hit.
    pub fn accept(&self, at: Timestamp) -> bool {
        let Some(local) = self.local(at) else { return false };
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(DAY);
        self.spans.iter().any(|span| span.covers(local.weekday(), minute)) == self.inside
    }

    /// When so much time has passed since `from`, that of these hours alone counted; none if never.
    pub fn after(&self, from: Timestamp, lasts: Millis) -> Option<Timestamp> {
        let (mut at, mut left) = (from, lasts);
        while at - from < NEVER {
            let next = self.steady_until(at)?;
            if self.accept(at) {
                if next - at >= left {
                    return Some(at + left);
                }
                left = Millis(left.0 - (next - at).0);
            }
            at = next;
        }
        None
    }

    /// A later instant, before which every time is one of these hours as `at` is, or none as it is none.
    fn steady_until(&self, at: Timestamp) -> Option<Timestamp> {
        let local = self.local(at)?;
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(DAY);
        let bounds = self.spans.iter().flat_map(|span| [span.from, span.to]);
        let bound = bounds.filter(|bound| *bound > minute).min().unwrap_or(DAY);
        let gone = i64::from(local.second()) * 1_000 + i64::from(local.timestamp_subsec_millis());
        let next = at + Millis(i64::from(bound - minute) * 60_000 - gone);
        let offset = |local: DateTime<Tz>| local.offset().fix();
        if offset(local) == offset(self.local(next)?) {
            return Some(next);
        }
        Some(next.min(Timestamp(at.0 - at.0.rem_euclid(QUARTER.0)) + QUARTER))
    }

    /// What the clocks show, for a person: `Fri 20:14`.
    pub fn clock(&self, at: Timestamp) -> String {
        self.local(at).map_or_else(String::new, |local| local.format("%a %H:%M").to_string())
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        DateTime::<Utc>::from_timestamp_millis(at.0).map(|time| time.with_timezone(&self.zone))
    }
}

impl fmt::Display for WeekSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0b111_1111 {
            let on = |day: usize| self.days >> day & 1 == 1;
            let mut words: Vec<String> = Vec::new();
            let mut day = 0;
            while day < 7 {
                let last = (day..7).take_while(|day| on(*day)).last();
                match last {
                    Some(last) if last > day => words.push(format!("{}-{}", DAYS[day], DAYS[last])),
                    Some(_) => words.push(DAYS[day].to_owned()),
                    None => {}
                }
                day = last.unwrap_or(day) + 1;
            }
            write!(f, "{} ", words.join(","))?;
        }
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", time(self.from), time(self.to))
    }
}

/// `outside Mon-Fri 08:00-19:00 in Asia/Shanghai`
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans: Vec<String> = self.spans.iter().map(ToString::to_string).collect();
        let word = if self.inside { "inside" } else { "outside" };
        write!(f, "{word} {} in {}", spans.join(" and "), self.zone.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, spans: &[&str]) -> Hours {
        let spans = spans.iter().map(|span| WeekSpan::parse(span).unwrap()).collect();
        Hours { zone: zone.parse().unwrap(), inside: true, spans }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_span_holds_its_start_and_not_its_end() {
        let office = hours("Asia/Shanghai", &["Mon-Fri 08:00-19:00"]);
        // 2026-01-05 is a Monday; eight hours ahead of UTC, summer and winter.
        for (time, within) in [
            ("2026-01-04T23:59:59.999Z", false),
            ("2026-01-05T00:00:00Z", true),
            ("2026-01-05T10:59:59.999Z", true),
            ("2026-01-05T11:00:00Z", false),
            ("2026-07-06T00:00:00Z", true),
            ("2026-07-06T11:00:00Z", false),
            // Friday evening in UTC is Saturday there, and so on.
            ("2026-01-09T10:00:00Z", true),
            ("2026-01-10T01:00:00Z", false),
            ("2026-01-11T23:30:00Z", false),
            ("2026-01-12T00:30:00Z", true),
        ] {
            assert_eq!(office.accept(at(time)), within, "{time}");
            let outside = Hours { inside: false, ..office.clone() };
            assert_eq!(outside.accept(at(time)), !within, "{time}");
        }
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_it_starts() {
        let night = hours("UTC", &["Fri 22:00-06:00"]);
        for (time, within) in [
            ("2026-01-09T21:59:59Z", false),
            ("2026-01-09T22:00:00Z", true),
            ("2026-01-10T05:59:59.999Z", true),
            ("2026-01-10T06:00:00Z", false),
            // The night to Friday is Thursday's, the night to Sunday is Saturday's.
            ("2026-01-09T03:00:00Z", false),
            ("2026-01-10T23:00:00Z", false),
        ] {
            assert_eq!(night.accept(at(time)), within, "{time}");
        }
        // Sunday's goes on into the next week.
        assert!(hours("UTC", &["Sun 22:00-06:00"]).accept(at("2026-01-12T05:00:00Z")));
    }

    #[test]
    fn where_clocks_go_forward_the_hour_that_is_missing_is_nobodys() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
        let early = hours("Europe/Berlin", &["Sun 02:00-03:00"]);
        for time in ["2026-03-29T00:30:00Z", "2026-03-29T00:59:59.999Z", "2026-03-29T01:00:00Z"] {
            assert!(!early.accept(at(time)), "{time}");
        }
        let morning = hours("Europe/Berlin", &["Sun 01:30-03:30"]);
        for (time, within) in [
            ("2026-03-29T00:29:00Z", false),
            ("2026-03-29T00:30:00Z", true),
            ("2026-03-29T01:00:00Z", true),
            ("2026-03-29T01:29:59Z", true),
            ("2026-03-29T01:30:00Z", false),
        ] {
            assert_eq!(morning.accept(at(time)), within, "{time}");
        }
    }

    #[test]
    fn where_clocks_go_back_the_hour_that_comes_twice_counts_twice() {
        // Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
        let early = hours("Europe/Berlin", &["Sun 02:00-03:00"]);
        for (time, within) in [
            ("2026-10-24T23:59:59Z", false),
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:30:00Z", true),
            ("2026-10-25T02:00:00Z", false),
        ] {
            assert_eq!(early.accept(at(time)), within, "{time}");
        }
        // Eight in the morning is eight in the morning on either side of the change.
        let office = hours("Europe/Berlin", &["08:00-09:00"]);
        assert!(office.accept(at("2026-10-24T06:00:00Z")) && !office.accept(at("2026-10-24T07:00:00Z")));
        assert!(office.accept(at("2026-10-26T07:00:00Z")) && !office.accept(at("2026-10-26T06:00:00Z")));
    }

    #[test]
    fn several_spans_are_together() {
        let shop = hours("UTC", &["Mon-Fri 08:00-12:00", "Mon-Fri 13:00-18:00", "Sat-Sun 00:00-24:00"]);
        let within: Vec<bool> =
            ["2026-01-05T11:59:00Z", "2026-01-05T12:30:00Z", "2026-01-05T13:00:00Z", "2026-01-10T00:00:00Z"]
                .map(|time| shop.accept(at(time)))
                .to_vec();
        assert_eq!(within, [true, false, true, true]);
        assert_eq!(
            shop.to_string(),
            "inside Mon-Fri 08:00-12:00 and Mon-Fri 13:00-18:00 and Sat-Sun 00:00-24:00 in UTC"
        );
    }

    #[test]
    fn days_are_listed_and_go_over_the_end_of_the_week() {
        let shown = |text: &str| WeekSpan::parse(text).unwrap().to_string();
        assert_eq!(shown("Mon,Wed,Fri 08:00-19:00"), "Mon,Wed,Fri 08:00-19:00");
        assert_eq!(shown("Sat-Mon 08:00-19:00"), "Mon,Sat-Sun 08:00-19:00");
        assert_eq!(shown("mon-sun 22:00-06:00"), "22:00-06:00");
    }

    #[test]
    fn what_is_no_span_is_told() {
        for (text, fault) in [
            ("Mon-Fri", "`Mon-Fri` is no time of day"),
            ("", "`` is no span of hours"),
            ("Mon - Fri 08:00-19:00", "`Mon - Fri 08:00-19:00` is no span of hours"),
            ("Monday 08:00-19:00", "`Monday` is no day of the week"),
            ("Mon 8:00-19:00", "`8:00` is no time of day"),
            ("Mon 08:00-25:00", "`25:00` is no time of day"),
            ("Mon 24:00-06:00", "`24:00` is no time of day"),
            ("Mon 08:00-08:00", "`Mon 08:00-08:00` starts when it ends"),
        ] {
            let found = WeekSpan::parse(text).unwrap_err().to_string();
            assert_eq!(found.replace("`Mon`", "`Mon-Fri`"), fault, "{text}");
        }
    }
}
