//! `usual`: a value, or a rate, that is far from what the group has learnt is usual.
//!
//! Usual is the median of what was before the hit: of a field's values, or of how many hits there were
//! in the same stretch of the earlier weeks. Hits are taken in one by one, in event order, and the same
//! hits always leave the same [`Learned`]: what older ones left lies in the group's [`Base`], and the
//! tally goes on from there. Nothing is learnt from hits of a grave alert that is open, so that whoever
//! is told of does not become usual by going on.
//!
//! Of a field, a day's first [`SAMPLES_A_DAY`] samples are kept, the last [`MAX_SAMPLES`] in all: a busy
//! day is no more than a quiet one, and what is usual follows a change in weeks, not in hours. A rate
//! is counted by the clocks of a zone, in stretches that divide the day: the hour that they show twice
//! is one hour, and in the one that they skip nothing happened.

use std::collections::VecDeque;

use chrono::{DateTime, Offset as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Datum, Millis, Number, Timestamp};

use super::super::hours::DAYS;
use super::super::spec::{Far, Limit};
use super::{Base, Entry, Judge, Learning, Reach, Reason, Tally, Verdict, Window, json_number};

/// Samples of one day, in UTC, that a group learns from.
pub const SAMPLES_A_DAY: usize = 8;
/// Samples that a group remembers: those of thirty full days.
pub const MAX_SAMPLES: usize = 30 * SAMPLES_A_DAY;
/// Weeks whose stretches a group remembers.
pub const MAX_WEEKS: i64 = 8;
/// A rate that is usually less is taken for this: one against none is not five times as many.
pub const LEAST_RATE: i64 = 1;
/// How long an unusual value holds its group back where the rule does not say.
const COOLDOWN: Millis = Millis::days(1);

const DAY: i64 = Millis::days(1).0;
const WEEK: i64 = 7 * DAY;

/// `usual:`, compiled.
#[derive(Debug)]
pub struct Usual {
    /// What is compared.
    pub of: Of,
    /// How far from usual fires.
    pub far: Far,
    /// A group learns for so long.
    pub lasts: Millis,
    /// And until it has so many samples.
    pub samples: u32,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A number of the hit, its first value.
    Value,
    /// How many hits there are in a stretch of the week.
    Rate {
        /// How long a stretch is; it divides a day.
        per: Millis,
        /// Whose clocks.
        zone: Tz,
    },
}

/// What a group has learnt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Its first hit.
    first: Option<Timestamp>,
    /// Samples before the last hit, in event order.
    samples: VecDeque<Sample>,
    /// The last hit's, which it is not held against itself.
    last: Option<Sample>,
    /// Stretches that had hits, in order.
    stretches: VecDeque<Stretch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    at: Timestamp,
    value: Number,
}

/// A stretch of one week.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Stretch {
    /// When it begins, by the clocks on the wall, in milliseconds.
    from: i64,
    hits: u32,
    /// It had hits of a grave alert.
    aside: bool,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Norm {
    median: Number,
    samples: usize,
    since: Timestamp,
}

impl Learned {
    /// Bytes of it in memory besides itself, about.
    pub(super) fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<Sample>() + self.stretches.capacity() * size_of::<Stretch>()
    }

    /// The last hit is no longer the last: it is learnt from.
    fn settle(&mut self) {
        let Some(sample) = self.last.take() else { return };
        let day = |sample: &Sample| sample.at.0.div_euclid(DAY);
        let of_day = self.samples.iter().rev().take_while(|other| day(other) == day(&sample));
        if of_day.count() >= SAMPLES_A_DAY {
            return;
        }
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The stretch that begins at `from`.
    fn stretch(&mut self, from: i64) -> &mut Stretch {
        let oldest = from - MAX_WEEKS * WEEK;
        while self.stretches.front().is_some_and(|stretch| stretch.from < oldest) {
            self.stretches.pop_front();
        }
        let later = self.stretches.iter().rev().take_while(|stretch| stretch.from > from).count();
        let mut place = self.stretches.len() - later;
        if place > 0 && self.stretches[place - 1].from == from {
            place -= 1;
        } else {
            self.stretches.insert(place, Stretch { from, hits: 0, aside: false });
        }
        &mut self.stretches[place]
    }

    /// The same; none if it had no hits.
    fn at(&self, from: i64) -> Option<&Stretch> {
        self.stretches
            .binary_search_by_key(&from, |stretch| stretch.from)
            .ok()
            .map(|place| &self.stretches[place])
    }
}

/// Nearest rank: a sample that was there, the lower of the two in the middle.
fn median(mut values: Vec<Number>) -> Option<Number> {
    let rank = values.len().div_ceil(2).checked_sub(1)?;
    Some(*values.select_nth_unstable(rank).1)
}

fn sample(entry: &Entry) -> Option<Number> {
    match entry.values.first() {
        Some(Datum::Number(number)) => Some(*number),
        Some(Datum::Absent | Datum::Text(_) | Datum::Bool(_)) | None => None,
    }
}

/// What the clocks of `zone` show, as if they were those of UTC.
fn on_the_wall(at: Timestamp, zone: Tz) -> i64 {
    let local = DateTime::<Utc>::from_timestamp_millis(at.0).map(|time| time.with_timezone(&zone));
    let ahead = local.map_or(0, |local| local.offset().fix().local_minus_utc());
    at.0 + i64::from(ahead) * 1_000
}

/// Where the stretch begins that holds `at`.
fn stretch_of(at: Timestamp, per: Millis, zone: Tz) -> i64 {
    let wall = on_the_wall(at, zone);
    wall - wall.rem_euclid(per.0)
}

impl Usual {
    /// Takes in the next hit.
    fn take(&self, learned: &mut Learned, entry: &Entry) {
        learned.first.get_or_insert(entry.at);
        match self.of {
            Of::Value => {
                learned.settle();
                let sample = sample(entry).filter(|_| !entry.aside);
                learned.last = sample.map(|value| Sample { at: entry.at, value });
            }
            Of::Rate { per, zone } => {
                let stretch = learned.stretch(stretch_of(entry.at, per, zone));
                stretch.hits = stretch.hits.saturating_add(1);
                stretch.aside |= entry.aside;
            }
        }
    }

    /// The samples that the last hit, at `at`, is held against, and when the oldest was.
    fn samples(&self, learned: &Learned, at: Timestamp) -> (Vec<Number>, Option<Timestamp>) {
        match self.of {
            Of::Value => {
                let values = learned.samples.iter().map(|sample| sample.value).collect();
                (values, learned.samples.front().map(|sample| sample.at))
            }
            Of::Rate { per, zone } => {
                let Some(first) = learned.first else { return (Vec::new(), None) };
                // The first one of all is not whole.
                let (now, begin) = (stretch_of(at, per, zone), stretch_of(first, per, zone));
                let earlier = (1..=MAX_WEEKS).map(|week| now - week * WEEK).take_while(|from| *from > begin);
                let hits = |from: i64| match learned.at(from) {
                    Some(stretch) => (!stretch.aside).then_some((from, stretch.hits)),
                    None => Some((from, 0)),
                };
                let weeks: Vec<(i64, u32)> = earlier.filter_map(hits).collect();
                let since = weeks.last().map(|(from, _)| Timestamp(at.0 - (on_the_wall(at, zone) - from)));
                (weeks.into_iter().map(|(_, hits)| Number::whole(hits.into())).collect(), since)
            }
        }
    }

    /// What the last hit is compared with usual by.
    fn value(&self, learned: &Learned, hit: &Entry) -> Number {
        match self.of {
            Of::Value => sample(hit).unwrap_or_default(),
            Of::Rate { per, zone } => {
                let hits = learned.at(stretch_of(hit.at, per, zone)).map_or(0, |stretch| stretch.hits);
                Number::whole(hits.into())
            }
        }
    }

    /// What is usual at the last hit, or what the group has still to learn.
    fn norm(&self, learned: &Learned, at: Timestamp) -> Result<Norm, Learning> {
        let until = learned.first.map_or(Timestamp::MAX, |first| first + self.lasts);
        if at < until {
            return Err(Learning::Until(until));
        }
        let (values, since) = self.samples(learned, at);
        let samples = values.len();
        if samples < self.samples as usize {
            return Err(Learning::Samples(samples as u64, self.samples));
        }
        match (median(values), since) {
            (Some(median), Some(since)) => Ok(Norm { median: self.at_least(median), samples, since }),
            (None, _) | (_, None) => Err(Learning::Samples(0, self.samples)),
        }
    }

    fn at_least(&self, median: Number) -> Number {
        match self.of {
            Of::Value => median,
            Of::Rate { .. } => median.max(Number::whole(LEAST_RATE)),
        }
    }

    /// Half of the samples are no further than this from the median.
    fn spread(&self, learned: &Learned, at: Timestamp, usual: Number) -> Number {
        let (values, _) = self.samples(learned, at);
        let away = |value: Number| if value > usual { value - usual } else { usual - value };
        median(values.into_iter().map(away).collect()).unwrap_or_default()
    }
}

impl Judge for Usual {
    fn reach(&self) -> Reach {
        Reach::Learned
    }

    fn cooldown(&self) -> Millis {
        match self.of {
            Of::Value => COOLDOWN,
            Of::Rate { per, .. } => per,
        }
    }

    fn tallies(&self) -> bool {
        true
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        self.take(tally.learned.get_or_insert_default(), entry);
    }

    fn tally_after(&self, base: &Base) -> Tally {
        Tally { learned: base.learned.clone(), ..Tally::default() }
    }

    fn fold(&self, base: &mut Base, entry: &Entry, _fired: bool) {
        self.take(base.learned.get_or_insert_default(), entry);
    }

    fn learns(&self) -> bool {
        true
    }

    fn unlearn(&self, _base: &mut Base, tally: Option<&mut Tally>, hits: &mut [Entry], place: usize) {
        let Some(learned) = tally.and_then(|tally| tally.learned.as_deref_mut()) else { return };
        match self.of {
            Of::Value => learned.last = None,
            Of::Rate { per, zone } => learned.stretch(stretch_of(hits[place].at, per, zone)).aside = true,
        }
    }

    fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict {
        let (hit, none) = (window.last(), Learned::default());
        let learned = tally.learned.as_deref().unwrap_or(&none);
        let norm = match self.norm(learned, hit.at) {
            Ok(norm) => norm,
            Err(learning) => return Verdict::Short(Reason::Learning(learning)),
        };
        let value = self.value(learned, hit);
        if self.far.holds(value, norm.median) {
            return Verdict::Holds;
        }
        let (usual, fires) = (norm.median, self.far.bound(norm.median));
        Verdict::Short(Reason::Usual { value, usual, samples: norm.samples, fires })
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let (hit, none) = (window.last(), Learned::default());
        let learned = tally.learned.as_deref().unwrap_or(&none);
        let Ok(norm) = self.norm(learned, hit.at) else { return Finding::default() };
        let (value, usual) = (self.value(learned, hit), norm.median);
        let mut actual = Map::new();
        let mut tell = |name: &str, value: Json| actual.insert(name.to_owned(), value);
        tell("value", json_number(value));
        tell("usual", json_number(usual));
        tell("mad", json_number(self.spread(learned, hit.at, usual)));
        let known = value.bound().is_none() && usual.bound().is_none();
        tell("times", value.ratio(usual).filter(|_| known).map_or(Json::Null, json_number));
        tell("samples", norm.samples.into());
        tell("since", norm.since.to_string().into());
        let count = match self.of {
            Of::Value => 1,
            Of::Rate { per, zone } => {
                tell("stretch", named(stretch_of(hit.at, per, zone), per, zone).into());
                value.to_i64().and_then(|hits| u64::try_from(hits).ok()).unwrap_or_default()
            }
        };
        let mut threshold = Map::new();
        let (word, bound) = super::json_limit(self.far.bound(usual));
        threshold.insert(word, bound);
        if let Some(times) = self.far.times() {
            threshold.insert("times".to_owned(), json_number(times));
        }
        if let Some(by) = self.far.and_by {
            threshold.insert("and_by".to_owned(), json_number(by));
        }
        Finding { count, scope: actual.clone(), threshold, actual, ..Finding::default() }
    }

    /// Of a rate, the hits of the stretch.
    fn chosen<'a>(&self, hits: &'a [Entry]) -> Option<Vec<&'a Entry>> {
        let Of::Rate { per, zone } = self.of else { return None };
        let stretch = |entry: &Entry| stretch_of(entry.at, per, zone);
        let now = stretch(hits.last()?);
        let first = hits.iter().rev().take_while(|entry| stretch(entry) == now).count();
        Some(hits[hits.len() - first..].iter().collect())
    }
}

/// A stretch of the week for people: `Mon 09:00-10:00 UTC`.
fn named(from: i64, per: Millis, zone: Tz) -> String {
    let clock = |wall: i64| {
        let minutes = wall.rem_euclid(DAY) / Millis::mins(1).0;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    // Days are counted from a Thursday.
    let day = usize::try_from((from.div_euclid(DAY) + 3).rem_euclid(7)).unwrap_or_default();
    let until = if (from + per.0).rem_euclid(DAY) == 0 { "24:00".to_owned() } else { clock(from + per.0) };
    format!("{} {}-{until} {}", DAYS[day], clock(from), zone.name())
}

impl Far {
    /// Whether `value` is so far from `usual`: strictly.
    fn holds(&self, value: Number, usual: Number) -> bool {
        let times = self.hundredths.is_none_or(|hundredths| {
            if self.above {
                value.times(100) > usual.times(hundredths)
            } else {
                value.times(hundredths) < usual.times(100)
            }
        });
        let by =
            self.and_by.is_none_or(|by| if self.above { value > usual + by } else { value + by < usual });
        times && by
    }

    /// The value that is not yet far enough, cut after nine digits.
    fn bound(&self, usual: Number) -> Limit {
        if self.above {
            let times = self.hundredths.map(|hundredths| usual.times(hundredths).over(100));
            let by = self.and_by.map(|by| usual + by);
            Limit::Above(times.max(by).unwrap_or(usual))
        } else {
            let times = self.hundredths.map(|hundredths| usual.times(100).over(hundredths));
            let by = self.and_by.map(|by| usual - by);
            Limit::Below(times.into_iter().chain(by).min().unwrap_or(usual))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_median_is_a_sample_that_was_there() {
        let of = |values: &[i64]| median(values.iter().copied().map(Number::whole).collect());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(Number::whole(7)));
        assert_eq!(of(&[9, 1]), Some(Number::whole(1)));
        assert_eq!(of(&[9, 1, 5]), Some(Number::whole(5)));
        assert_eq!(of(&[9, 1, 5, 6]), Some(Number::whole(5)));
    }

    #[test]
    fn a_stretch_is_of_the_clocks_on_the_wall() {
        for (time, zone, per, name) in [
            ("2026-01-05T09:59:59.999Z", Tz::UTC, Millis::hours(1), "Mon 09:00-10:00 UTC"),
            ("2026-01-05T10:00:00Z", Tz::UTC, Millis::hours(1), "Mon 10:00-11:00 UTC"),
            ("2026-01-04T16:00:00Z", Tz::Asia__Shanghai, Millis::hours(1), "Mon 00:00-01:00 Asia/Shanghai"),
            ("2026-01-04T23:59:00Z", Tz::UTC, Millis::hours(6), "Sun 18:00-24:00 UTC"),
            ("1969-12-31T23:00:00Z", Tz::UTC, Millis::days(1), "Wed 00:00-24:00 UTC"),
            ("2026-01-05T09:00:00Z", Tz::Asia__Kolkata, Millis::hours(1), "Mon 14:00-15:00 Asia/Kolkata"),
            // Clocks in Berlin went back at 01:00 UTC: 02:30 came twice and is one stretch.
            ("2026-10-25T00:30:00Z", Tz::Europe__Berlin, Millis::hours(1), "Sun 02:00-03:00 Europe/Berlin"),
            ("2026-10-25T01:30:00Z", Tz::Europe__Berlin, Millis::hours(1), "Sun 02:00-03:00 Europe/Berlin"),
            ("2026-10-25T02:30:00Z", Tz::Europe__Berlin, Millis::hours(1), "Sun 03:00-04:00 Europe/Berlin"),
        ] {
            assert_eq!(named(stretch_of(at(time), per, zone), per, zone), name, "{time}");
        }
    }

    #[test]
    fn a_day_teaches_no_more_than_its_share_and_the_oldest_samples_go() {
        let mut learned = Learned::default();
        for number in 0..40 * 20_i64 {
            let (day, of_day) = (number / 20, number % 20);
            learned.settle();
            learned.last = Some(Sample { at: Timestamp(day * DAY + of_day), value: Number::whole(number) });
        }
        assert_eq!(learned.samples.len(), MAX_SAMPLES);
        // Thirty days of forty, the last among them; eight of the twenty samples of each.
        assert_eq!(learned.samples.front().map(|sample| sample.at), Some(Timestamp(10 * DAY)));
        assert_eq!(learned.samples.back().map(|sample| sample.at), Some(Timestamp(39 * DAY + 7)));
    }

    #[test]
    fn stretches_that_are_too_old_are_forgotten_and_those_of_one_hour_are_one() {
        let mut learned = Learned::default();
        let hour = Millis::hours(1).0;
        for from in (0..20 * WEEK).step_by(usize::try_from(hour).unwrap()) {
            learned.stretch(from).hits += 1;
        }
        learned.stretch(20 * WEEK - 3 * hour).hits += 1;
        let kept = usize::try_from(MAX_WEEKS * 7 * 24 + 1).unwrap();
        assert_eq!(learned.stretches.len(), kept);
        assert_eq!(learned.at(20 * WEEK - 3 * hour).map(|stretch| stretch.hits), Some(2));
    }
}
