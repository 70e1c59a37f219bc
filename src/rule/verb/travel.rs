//! `travel`: two places one after the other, too far apart for the time between.
//!
//! Values of an entry: latitude, longitude, radius, city, country, address, then the fields of
//! `ignore_same`. Each record is judged against the one before it. Both accuracy radii are
//! subtracted from the distance, which is rounded to metres; all else is whole numbers.

use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::place::{FURTHEST, metres};
use crate::record::{Datum, Millis, Number};

use super::{Entry, Judge, Reach, Reason, Tally, Verdict, Window, json_number, text_of};

/// What a text may say of a journey, besides the fields of the record that ends it.
pub const NAMES: &[&str] = &[
    "threshold",
    "km",
    "kmh",
    "took",
    "from.place",
    "from.at",
    "from.lat",
    "from.lon",
    "from.city",
    "from.country",
    "from.public_ip",
    "to.place",
];

/// Records closer in time than this are told as so far apart: sources tell no smaller steps.
const LEAST_TIME: Millis = Millis::secs(1);

/// `travel:`, compiled.
#[derive(Debug)]
pub struct Travel {
    /// Least distance in km.
    pub at_least: u32,
    /// Fires strictly above this speed, in km/h.
    pub faster_than: u32,
    /// Where the fields of `ignore_same` begin among the entry's values.
    pub same: usize,
}

/// From one record to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journey {
    /// Distance, the radii subtracted.
    pub metres: i64,
    /// Time between, a second at least.
    pub took: Millis,
}

impl Journey {
    /// From `before` to `after`; none if one of them is nowhere.
    pub(super) fn between(before: &Entry, after: &Entry) -> Option<Self> {
        Some(Self { metres: apart(before, after)?, took: (after.at - before.at).max(LEAST_TIME) })
    }

    /// Distance in km.
    pub fn km(self) -> Number {
        Number::whole(self.metres).over(1_000)
    }

    /// Speed in km/h, rounded.
    pub fn kmh(self) -> i64 {
        (self.metres * 3_600 + self.took.0 / 2) / self.took.0
    }
}

impl Travel {
    /// Longer ago nothing matters: no two places are so far apart.
    pub fn memory(&self) -> Millis {
        Millis((FURTHEST * 3_600 + i64::from(self.faster_than) - 1) / i64::from(self.faster_than))
    }
}

impl Judge for Travel {
    fn reach(&self) -> Reach {
        Reach::Pair(self.memory())
    }

    fn judge(&self, _tally: &Tally, window: Window<'_>) -> Verdict {
        let Some((before, after)) = ends(window) else { return Verdict::Short(Reason::NoJourney) };
        let shared = |field: &usize| {
            let value = |entry: &Entry| entry.values.get(self.same + field).and_then(text_of).cloned();
            value(before).is_some_and(|same| value(after) == Some(same))
        };
        if let Some(field) = (0..after.values.len().saturating_sub(self.same)).find(shared) {
            return Verdict::Short(Reason::SameWay { field });
        }
        let Some(journey) = Journey::between(before, after) else {
            return Verdict::Short(Reason::NoJourney);
        };
        let far = journey.metres >= i64::from(self.at_least) * 1_000;
        let fast = journey.metres * 3_600 > i64::from(self.faster_than) * journey.took.0;
        if far && fast { Verdict::Holds } else { Verdict::Short(Reason::Travelled(journey)) }
    }

    fn describe(&self, _tally: &Tally, window: Window<'_>) -> Finding {
        let Some((before, after)) = ends(window) else { return Finding::default() };
        let journey = Journey::between(before, after);
        let told = |journey: Journey| {
            [
                ("km", json_number(journey.km())),
                ("kmh", journey.kmh().into()),
                ("took", (after.at - before.at).to_string().into()),
            ]
        };
        let mut scope: Map<String, Json> =
            journey.into_iter().flat_map(told).map(|(name, value)| (name.to_owned(), value)).collect();
        let mut actual = scope.clone();
        let (from, to) = (point(before), point(after));
        scope.extend(from.iter().map(|(name, value)| (format!("from.{name}"), value.clone())));
        scope.extend(to.get("place").map(|place| ("to.place".to_owned(), place.clone())));
        actual.insert("from".to_owned(), from.into());
        actual.insert("to".to_owned(), to.into());
        let mut threshold = Map::new();
        threshold.insert("at_least".to_owned(), format!("{}km", self.at_least).into());
        threshold.insert("faster_than".to_owned(), format!("{}km/h", self.faster_than).into());
        Finding { count: 1, scope, threshold, actual, ..Finding::default() }
    }
}

/// Metres between two points, both accuracy radii subtracted; none if one of them is nowhere.
pub(super) fn apart(before: &Entry, after: &Entry) -> Option<i64> {
    let straight = metres(place(before)?, place(after)?);
    Some((straight - radius(before) - radius(after)).max(0))
}

/// The two records that a journey is between.
fn ends(window: Window<'_>) -> Option<(&Entry, &Entry)> {
    match window.hits {
        [.., before, after] => Some((before, after)),
        [] | [_] => None,
    }
}

fn number(entry: &Entry, slot: usize) -> Option<Number> {
    match entry.values.get(slot) {
        Some(Datum::Number(number)) => Some(*number),
        Some(Datum::Absent | Datum::Text(_) | Datum::Bool(_)) | None => None,
    }
}

fn place(entry: &Entry) -> Option<(f64, f64)> {
    Some((number(entry, 0)?.to_f64(), number(entry, 1)?.to_f64()))
}

/// Accuracy in metres: km in the record; none where it does not say.
#[expect(clippy::cast_possible_truncation, reason = "casts saturate, and it is kept to distances on Earth")]
fn radius(entry: &Entry) -> i64 {
    let metres = number(entry, 2).map_or(0.0, |km| km.times(1_000).to_f64());
    (metres.round() as i64).clamp(0, FURTHEST)
}

/// What an alert tells of a point.
pub(super) fn point(entry: &Entry) -> Map<String, Json> {
    let names = [(0, "lat"), (1, "lon"), (2, "radius"), (3, "city"), (4, "country"), (5, "public_ip")];
    let value =
        |slot: usize| entry.values.get(slot).filter(|value| **value != Datum::Absent).map(Datum::to_json);
    let mut point: Map<String, Json> =
        names.into_iter().filter_map(|(slot, name)| Some((name.to_owned(), value(slot)?))).collect();
    point.insert("at".to_owned(), entry.at.to_string().into());
    point.insert("place".to_owned(), named(entry).into());
    point
}

/// A place as a person reads it: its city and country, else its degrees.
fn named(entry: &Entry) -> String {
    let text = |slot: usize| entry.values.get(slot).and_then(text_of).filter(|text| !text.is_empty());
    match (text(3), text(4)) {
        (Some(city), Some(country)) => format!("{city}, {country}"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => match (number(entry, 0), number(entry, 1)) {
            (Some(lat), Some(lon)) => format!("{lat}, {lon}"),
            (_, _) => String::new(),
        },
    }
}
