//! A time of the command line: a moment, or a day, which begins in the zone of the configuration that
//! the command reads.

use chrono::{NaiveDate, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::record::Timestamp;

/// A moment, or the begin of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A moment.
    At(Timestamp),
    /// A day.
    Day(NaiveDate),
}

/// Hours after which a day has begun, where the clocks are put forward at its midnight.
const LATEST_BEGIN: i64 = 3;

impl When {
    /// As it is typed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let day = || text.parse().ok().filter(|_| text.len() == "2026-01-05".len()).map(Self::Day);
        Timestamp::parse(text).map(Self::At).or_else(day).ok_or_else(|| {
            "write it as 2026-01-05T09:08:00Z, or as 2026-01-05 for the begin of that day".to_owned()
        })
    }

    /// The moment that is meant, where days are those of `zone`.
    pub fn within(self, zone: Tz) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Day(day) => {
                let midnight = day.and_time(chrono::NaiveTime::MIN);
                let begin = (0..=LATEST_BEGIN).find_map(|hours| {
                    zone.from_local_datetime(&(midnight + TimeDelta::hours(hours))).earliest()
                });
                let begin = begin.map_or(midnight.and_utc().timestamp_millis(), |at| at.timestamp_millis());
                Timestamp(begin)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_in_its_zone_and_a_moment_is_the_same_everywhere() {
        let in_zone = |text: &str, zone: Tz| When::parse(text).unwrap().within(zone).to_string();
        assert_eq!(in_zone("2026-12-01", Tz::UTC), "2026-12-01T00:00:00.000Z");
        assert_eq!(in_zone("2026-12-01", Tz::Asia__Shanghai), "2026-11-30T16:00:00.000Z");
        assert_eq!(in_zone("2026-12-01T09:00:00Z", Tz::Asia__Shanghai), "2026-12-01T09:00:00.000Z");
        // Midnight did not come that day.
        assert_eq!(in_zone("2017-10-15", Tz::America__Sao_Paulo), "2017-10-15T03:00:00.000Z");
        for wrong in ["", "2026-12", "2026-13-01", "1-1-1", "18:00", "2026-12-01 09"] {
            assert!(When::parse(wrong).is_err(), "{wrong}");
        }
    }
}
