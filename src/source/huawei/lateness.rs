//! How late rows appear: from a row's own time to the moment at which it was first read.
//!
//! Counted in buckets that are five per cent wide, so that a quantile is at most that much too high
//! and memory is bounded; what is older than two days is forgotten. Only rows that a lane reads as
//! they appear are told of here: those of a backlog came when they were asked for. Knows no clock.

use std::collections::BTreeMap;

use crate::record::{Millis, Timestamp};
use crate::source::Lateness;

/// How much wider a bucket is than the one before.
const WIDTH: f64 = 1.05;
/// The width of the first ones, in ms: nobody asks more often.
const FINE: i64 = 100;
/// How long rows count: this, and as much of the time before as the last one began.
const DAY: Millis = Millis::days(1);
/// Rows from which on their 99.9th percentile says something.
const ENOUGH: u64 = 1_000;
/// What `settle: auto` begins with, and its bounds.
pub(super) const BEGIN: Millis = Millis::secs(60);
const LEAST: Millis = Millis::secs(10);
const MOST: Millis = Millis::mins(15);

/// How late rows were.
#[derive(Debug, Clone, Default)]
pub(super) struct Late {
    today: Counts,
    before: Counts,
    since: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    buckets: BTreeMap<u16, u64>,
    all: u64,
}

impl Late {
    /// Counts a row that was first read so long after its own time.
    pub fn note(&mut self, by: Millis, now: Timestamp) {
        let since = *self.since.get_or_insert(now);
        if now >= since + DAY {
            self.before = std::mem::take(&mut self.today);
            self.since = Some(now);
        }
        *self.today.buckets.entry(bucket(by)).or_default() += 1;
        self.today.all += 1;
    }

    fn all(&self) -> u64 {
        self.today.all + self.before.all
    }

    /// The length that so many of a thousand rows do not exceed (nearest rank); none without a row.
    fn quantile(&self, of_thousand: u64) -> Option<Millis> {
        let rank = (self.all() * of_thousand).div_ceil(1_000).max(1);
        let mut buckets = self.before.buckets.clone();
        for (bucket, count) in &self.today.buckets {
            *buckets.entry(*bucket).or_default() += count;
        }
        let mut counted = 0;
        buckets.into_iter().find_map(|(bucket, count)| {
            counted += count;
            (counted >= rank).then(|| longest(bucket))
        })
    }

    /// What `status` shows.
    pub fn shown(&self, settle: Millis) -> Option<Lateness> {
        Some(Lateness { rows: self.all(), median: self.quantile(500)?, most: self.quantile(999)?, settle })
    }

    /// How late a row may appear, by what was seen: within bounds, and as before where too few rows
    /// were seen to make it shorter.
    pub fn settle(&self, before: Millis) -> Millis {
        match self.quantile(999) {
            Some(most) if self.all() >= ENOUGH => most.max(LEAST).min(MOST),
            Some(most) => most.max(before).min(MOST),
            None => before,
        }
    }
}

/// The number of the bucket of a length.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "thirty days are 400 buckets; what is longer is as long"
)]
fn bucket(length: Millis) -> u16 {
    let length = length.0.clamp(FINE, Millis::days(30).0);
    ((length as f64 / FINE as f64).ln() / WIDTH.ln()).ceil() as u16
}

/// The longest length of a bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "as above")]
fn longest(bucket: u16) -> Millis {
    Millis((FINE as f64 * WIDTH.powi(i32::from(bucket))).ceil() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_603_600_000);

    fn late(lengths: &[i64]) -> Late {
        let mut late = Late::default();
        for length in lengths {
            late.note(Millis(*length), NOW);
        }
        late
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_low_and_at_most_five_per_cent_too_high(
            mut lengths in prop::collection::vec(0_i64..2_000_000, 1..400),
            of_thousand in 1_u64..=1_000,
        ) {
            let told = late(&lengths).quantile(of_thousand).unwrap().0;
            lengths.sort_unstable();
            let rank = (lengths.len() as u64 * of_thousand).div_ceil(1_000).max(1);
            let exact = lengths[usize::try_from(rank).unwrap() - 1].max(FINE);
            prop_assert!(exact <= told && told <= exact + exact / 19 + 2, "{} {}", exact, told);
        }
    }

    #[test]
    fn settle_follows_what_was_seen_within_bounds() {
        assert_eq!(late(&[]).settle(BEGIN), BEGIN);
        // A few rows make it longer, and never shorter.
        assert_eq!(late(&[1_000; 5]).settle(BEGIN), BEGIN);
        assert!(late(&[1_000, 90_000]).settle(BEGIN) >= Millis::secs(90));
        assert_eq!(late(&[1_000; 1_000]).settle(BEGIN), LEAST);
        // One in five hundred is late: it is waited for. One in ten thousand is not.
        let mut lengths = vec![1_000; 998];
        lengths.extend([120_000; 2]);
        assert!(late(&lengths).settle(BEGIN) >= Millis::secs(120));
        let mut lengths = vec![1_000; 9_999];
        lengths.push(120_000);
        assert_eq!(late(&lengths).settle(BEGIN), LEAST);
        assert_eq!(late(&[7_200_000; 2_000]).settle(BEGIN), MOST);
    }

    #[test]
    fn what_is_older_than_two_days_is_forgotten() {
        let mut late = Late::default();
        late.note(Millis::mins(10), NOW);
        late.note(Millis::secs(1), NOW + DAY);
        assert_eq!(late.all(), 2);
        late.note(Millis::secs(1), NOW + DAY + DAY);
        assert_eq!(late.all(), 2);
        assert!(late.quantile(1_000).unwrap() < Millis::secs(2));
    }
}
