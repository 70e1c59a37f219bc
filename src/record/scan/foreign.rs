//! The time of rows that are not the vendor's: where it usually stands, and how it is usually spelt.
//!
//! Asked only where a row of a file has none of the vendor's times. Never the wall clock: a row without a
//! time is no record.

use crate::record::{Number, Timestamp};

/// The door's own name for what [`NAMES`] hold.
pub(super) const TIME: &str = "raw.larum.time";

/// Keys under which audit records of others hold their event time, the preferred one first; with dots, a
/// key as it stands, else a path. When something happened comes before when it was taken in.
pub(super) const NAMES: [&str; 30] = [
    "@timestamp",
    "timestamp",
    "UtcTime",
    "eventTime",
    "EventTime",
    "TimeCreated",
    "event.created",
    "Event.System.TimeCreated.SystemTime",
    "Event.System.TimeCreated.#attributes.SystemTime",
    "System.TimeCreated.SystemTime",
    "winlog.event_data.UtcTime",
    "Timestamp",
    "TimeGenerated",
    "CreationTime",
    "CreationUtcTime",
    "activityDateTime",
    "createdDateTime",
    "created_at",
    "published",
    "datetime",
    "DateTime",
    "date",
    "time",
    "Time",
    "ts",
    "_time",
    "logged_at",
    "p_event_time",
    "event.timestamp",
    "ingest_time",
];

/// Below this, a number of seconds since 1970 is a time; above, it is one of milliseconds, and so on by
/// thousands: each unit reaches from 1973 to 5138.
const SECONDS: i64 = 100_000_000_000;
/// A smaller number is an hour, a duration or a counter.
const LEAST: i64 = 100_000_000;

/// Reads a time as [`Timestamp::parse`] does, or as seconds, milliseconds, microseconds or nanoseconds
/// since 1970.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::parse(text).or_else(|| since_epoch(text))
}

/// The time so many seconds, milliseconds, microseconds or nanoseconds since 1970.
pub(super) fn since_epoch(text: &str) -> Option<Timestamp> {
    let number = Number::parse(text.trim()).filter(|number| *number >= Number::whole(LEAST))?;
    let (mut divisor, mut limit) = (1_u32, SECONDS);
    while number >= Number::whole(limit) {
        divisor = divisor.checked_mul(1_000)?;
        limit = limit.saturating_mul(1_000);
    }
    let millis = number.times(1_000).over(divisor).floor()?;
    (millis <= Timestamp::LAST.0).then_some(Timestamp(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_usual_spelling() {
        for (text, millis) in [
            ("2025-10-24 23:36:29.110", 1_761_348_989_110),
            ("2024-07-10T03:45:00Z", 1_720_583_100_000),
            ("1720583100", 1_720_583_100_000),
            ("1720583100.25", 1_720_583_100_250),
            ("1720583100250", 1_720_583_100_250),
            ("1720583100250999", 1_720_583_100_250),
            ("1720583100250999999", 1_720_583_100_250),
        ] {
            assert_eq!(time(text), Some(Timestamp(millis)), "{text}");
        }
        for text in ["", "3", "soon", "-1720583100", "99999999999999999999"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
