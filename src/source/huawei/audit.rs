//! Whether an hour that is long over holds as many rows as were read of it.
//!
//! A row that appears later than polls look back is met by none of them. The service's own total of
//! an hour shows it, for one request: where it is greater than what was counted, the hour is read
//! once more, whole. Hours of the past, and those in which a life began or ended, are not compared: nobody
//! counted all of them as they went by. Where a second reading finds no more rows than were counted, totals are about something else
//! than the rows' own times, and are no longer looked at.

use std::collections::BTreeMap;

use super::place::{Hour, Place};
use crate::record::Millis;

/// How long an hour is over before it is compared: what comes later still is met by no request.
const AFTER: Millis = Millis::hours(1);
/// How long after a row was met its hour may be read again: the hour itself, [`AFTER`], and as long
/// again for a sweep to get its turn.
pub(super) const REACH: Millis = Millis::hours(3);
/// Readings in a row that found nothing, after which totals are no longer looked at.
const PATIENCE: u8 = 3;

/// What is compared next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The total of an hour, with as many rows as were counted.
    Total(Hour, u32),
    /// All rows of one whose total was greater.
    Rows(Hour, u32),
}

impl Check {
    pub fn hour(self) -> Hour {
        match self {
            Self::Total(hour, _) | Self::Rows(hour, _) => hour,
        }
    }
}

/// Compares hours.
#[derive(Debug, Default)]
pub(super) struct Audit {
    again: Option<(Hour, u32)>,
    fruitless: u8,
}

impl Audit {
    /// What is to be compared, if anything.
    pub fn due(&self, place: &Place) -> Option<Check> {
        if self.fruitless >= PATIENCE {
            return None;
        }
        if let Some((hour, count)) = self.again {
            return Some(Check::Rows(hour, count));
        }
        let (hour, count) = place.oldest_count()?;
        (hour.end() + AFTER <= place.start).then_some(Check::Total(hour, count))
    }

    /// The service has told the total of an hour.
    pub fn told(&mut self, hour: Hour, count: u32, total: Option<u64>, place: &mut Place) {
        place.compared(hour);
        self.again = (total.unwrap_or_default() > u64::from(count)).then_some((hour, count));
    }

    /// The hour was read once more and has so many rows; what somebody should hear of.
    pub fn read(&mut self, hour: Hour, count: u32, rows: u32) -> Option<String> {
        self.again = None;
        let late = rows.saturating_sub(count);
        if late > 0 {
            self.fruitless = 0;
            return Some(format!(
                "{late} {} of the hour from {} appeared later than polls look back, and {} read now: a longer \
                 `lookback` would have met {}",
                if late == 1 { "row" } else { "rows" },
                hour.start(),
                if late == 1 { "was" } else { "were" },
                if late == 1 { "it" } else { "them" },
            ));
        }
        self.fruitless += 1;
        (self.fruitless == PATIENCE).then(|| {
            "the service's totals of hours are greater than the rows it gives; they are no longer compared".to_owned()
        })
    }

    /// The place was begun anew, or one was resumed.
    pub fn restart(&mut self) {
        self.again = None;
    }
}

/// Counts rows that were met for the first time, by hour.
pub(super) type Counts = BTreeMap<Hour, u32>;
