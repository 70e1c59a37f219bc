//! Whether an hour that is long over holds as many rows as were read of it.
//!
//! A row that appears later than polls look back is met by none of them. The service's own total of
//! an hour shows it, for one request: where it is greater than what was counted, the hour is read
//! once more, whole, and what is not known of it is given. Rows of hours that are yet to be compared are
//! therefore remembered, however long a sweep gets no turn. Hours of the past, and those in which a life began or ended, are not compared: nobody
//! counted all of them as they went by. Where a second reading finds no more rows than were counted, totals are about something else
//! than the rows' own times, and are no longer looked at.

use std::collections::BTreeMap;

use super::place::{Hour, Place};
use crate::record::Millis;

/// How long an hour is over before it is compared: what comes later still is met by no request.
const AFTER: Millis = Millis::hours(1);
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

/// What a second reading of an hour found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    /// Rows that began in it.
    pub rows: usize,
    /// Those of them that were met for the first time.
    pub late: usize,
    /// There may be more.
    pub unsure: bool,
}

/// Compares hours.
#[derive(Debug, Default)]
pub(super) struct Audit {
    again: Option<(Hour, u32)>,
    /// Readings of that hour of which nobody is sure.
    unsure: u8,
    fruitless: u8,
    /// Hours before this were counted by an earlier life: which of their rows it has met, nobody
    /// remembers.
    earlier: Option<Hour>,
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

    /// The oldest hour that may yet be read again.
    pub fn oldest(&self, place: &Place) -> Option<Hour> {
        if self.fruitless >= PATIENCE {
            return None;
        }
        let next = place.oldest_count().map(|(hour, _)| hour).or_else(|| place.counts_from());
        self.again.map(|(hour, _)| hour).into_iter().chain(next).min()
    }

    /// The service has told the total of an hour.
    pub fn told(&mut self, hour: Hour, count: u32, total: Option<u64>, place: &mut Place) {
        self.again = (total.unwrap_or_default() > u64::from(count)).then_some((hour, count));
        // Until it has been read once more, a later life compares it again.
        if self.again.is_none() {
            place.compared(hour);
        }
    }

    /// The hour was read once more; what somebody should hear of.
    pub fn read(&mut self, hour: Hour, count: u32, read: Again, place: &mut Place) -> Option<String> {
        let Again { rows, mut late, unsure } = read;
        if self.earlier.is_some_and(|earlier| hour < earlier) {
            late = late.min(rows.saturating_sub(count as usize));
        }
        if late == 0 && unsure && self.unsure < PATIENCE {
            self.unsure += 1;
            return None;
        }
        (self.again, self.unsure) = (None, 0);
        place.compared(hour);
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
        if rows > count as usize {
            // Sessions that were resumed in this hour began in an earlier one, and were counted there.
            return None;
        }
        self.fruitless += 1;
        (self.fruitless == PATIENCE).then(|| {
            "the service's totals of hours are greater than the rows it gives; they are no longer compared".to_owned()
        })
    }

    /// The rows that were counted before `from` are no longer remembered one by one.
    pub fn restart(&mut self, from: Option<Hour>) {
        (self.again, self.unsure) = (None, 0);
        self.earlier = self.earlier.max(from);
    }
}

/// Counts rows that were met for the first time, by hour.
pub(super) type Counts = BTreeMap<Hour, u32>;
