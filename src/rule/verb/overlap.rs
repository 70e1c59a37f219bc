//! `overlap`: two sessions of one group that are open at once.
//!
//! A session begins with a hit and ends with the end record of the same row. Values of its entry: those
//! of a point (see `travel`), the device, when it ended as far as its row says, then the fields that
//! `where` compares. Two sessions are judged so long after the later one began as they must last
//! together, which is when nothing but an end before that instant could have parted them.
//! `engine::group` meets that deadline; nothing here knows what time it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Datum, Millis, Number, Phase, RecordId, Timestamp};
use crate::rule::spec::{self, Ordering};

use super::travel::{apart, point};
use super::{Entry, Judge, MAX_RECORDS, Reach, Reason, Tally, Verdict, Window, json_number, text_of};

/// The service forgets rows after so long: nobody can tell whether an older session is still open.
pub const LONGEST: Millis = Millis::days(31);

/// Where the device is among an entry's values.
const DEVICE: usize = 6;
/// Where the end is, in milliseconds.
const ENDED: usize = 7;
/// Where the compared fields begin.
const COMPARED: usize = 8;

/// What a text may say of two sessions, besides the fields of the record that began the later one.
pub const NAMES: &[&str] = &[
    "threshold",
    "km",
    "first.at",
    "first.place",
    "first.lat",
    "first.lon",
    "first.city",
    "first.country",
    "first.public_ip",
    "first.device",
    "second.at",
    "second.place",
    "second.lat",
    "second.lon",
    "second.city",
    "second.country",
    "second.public_ip",
    "second.device",
];

/// `overlap:`, compiled. Time judges it.
#[derive(Debug)]
pub struct Overlap {
    /// How long both are open at least.
    pub lasts: Millis,
    /// What they must be to each other.
    pub pair: spec::Pair,
}

/// The sessions of a group that are open, or were so lately.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions(Vec<Session>);

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    /// The record that began it.
    start: Entry,
    /// When it ended; none while nobody has said so.
    end: Option<Timestamp>,
    /// It is still to be judged beside those that began before it.
    waits: bool,
}

impl Session {
    /// Open before this instant, and no longer.
    fn until(&self) -> Timestamp {
        self.end.unwrap_or(self.start.at + LONGEST)
    }
}

/// Two sessions that were open at once for long enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Together {
    /// The record that began the earlier one.
    pub first: Entry,
    /// The record that began the later one.
    pub second: Entry,
    /// The records that began others which are so to an earlier one since the same instant.
    pub more: Vec<Entry>,
    /// Sessions that were: those that began last, and all that they are so to.
    pub count: u64,
}

/// What becomes of a session that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is judged at this instant.
    Waits(Timestamp),
    /// So many others are open, and none is what `where` asks.
    Alone(usize),
}

impl Overlap {
    /// When a session is judged beside those that began before it.
    fn due(&self, session: &Session) -> Timestamp {
        session.start.at + self.lasts
    }

    /// Whether both were open at once for long enough, and are to each other what is asked.
    fn meet(&self, first: &Session, second: &Session) -> bool {
        let due = self.due(second);
        first.until() >= due && second.until() >= due && self.is_pair(&first.start, &second.start)
    }

    fn is_pair(&self, first: &Entry, second: &Entry) -> bool {
        let compared = self.pair.fields.iter().enumerate().all(|(slot, (_, same))| {
            let value = |entry: &'_ Entry| entry.values.get(COMPARED + slot).and_then(text_of).cloned();
            value(first).zip(value(second)).is_some_and(|(first, second)| (first == second) == *same)
        });
        compared && (self.pair.km.is_empty() || self.is_far(first, second))
    }

    fn is_far(&self, first: &Entry, second: &Entry) -> bool {
        let Some(metres) = apart(first, second) else { return false };
        let km = Number::whole(metres).over(1_000);
        self.pair.km.iter().all(|(ordering, bound)| match ordering {
            Ordering::Above => km > *bound,
            Ordering::AtLeast => km >= *bound,
            Ordering::Below => km < *bound,
            Ordering::AtMost => km <= *bound,
        })
    }

    /// What an alert says of two sessions.
    pub fn tells(&self, together: &Together) -> Finding {
        let (mut scope, mut actual) = (Map::new(), Map::new());
        if let Some(metres) = apart(&together.first, &together.second) {
            let km = json_number(Number::whole(metres).over(1_000));
            scope.insert("km".to_owned(), km.clone());
            actual.insert("km".to_owned(), km);
        }
        for (name, entry) in [("first", &together.first), ("second", &together.second)] {
            let session = told(entry);
            scope.extend(session.iter().map(|(part, value)| (format!("{name}.{part}"), value.clone())));
            actual.insert(name.to_owned(), session.into());
        }
        let mut threshold = Map::new();
        threshold.insert("for".to_owned(), self.lasts.to_string().into());
        if !self.pair.is_empty() {
            threshold.insert("where".to_owned(), self.pair.to_string().into());
        }
        Finding { count: together.count, scope, threshold, actual, ..Finding::default() }
    }
}

impl Judge for Overlap {
    fn reach(&self) -> Reach {
        Reach::Alone
    }

    fn judge(&self, _tally: &Tally, _window: Window<'_>) -> Verdict {
        Verdict::Short(Reason::Parted)
    }

    fn describe(&self, _tally: &Tally, _window: Window<'_>) -> Finding {
        Finding { count: 1, ..Finding::default() }
    }

    fn waits(&self) -> bool {
        true
    }
}

/// What an alert tells of a session.
fn told(entry: &Entry) -> Map<String, Json> {
    let mut told = point(entry);
    if let Some(device) = entry.values.get(DEVICE).filter(|device| **device != Datum::Absent) {
        told.insert("device".to_owned(), device.to_json());
    }
    told
}

/// When a session had ended, as far as the record that began it says.
fn ended(entry: &Entry) -> Option<Timestamp> {
    match entry.values.get(ENDED) {
        Some(Datum::Number(end)) => end.to_i64().map(Timestamp),
        Some(Datum::Absent | Datum::Text(_) | Datum::Bool(_)) | None => None,
    }
}

impl Sessions {
    /// Bytes of them in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Session>()
    }

    /// Takes in a session; its number.
    pub fn begin(&mut self, start: Entry) -> usize {
        let place = self.0.partition_point(|other| other.start.order() <= start.order());
        let end = ended(&start);
        self.0.insert(place, Session { start, end, waits: false });
        place
    }

    /// The session ends whose row this end record is of.
    pub fn end(&mut self, record: &Entry) {
        let start = record.id.sibling(record.phase, Phase::Start);
        if let Some(session) = self.0.iter_mut().find(|session| session.start.id == start) {
            session.end.get_or_insert(record.at);
        }
    }

    /// Lets the session of this number, which is the newest, wait for its deadline if it is open beside
    /// another.
    pub fn wait(&mut self, number: usize, overlap: &Overlap) -> Begun {
        let (session, due) = (&self.0[number], overlap.due(&self.0[number]));
        let open = || self.0[..number].iter().filter(|other| other.until() > session.start.at);
        if !open().any(|other| overlap.is_pair(&other.start, &session.start)) {
            return Begun::Alone(open().count());
        }
        self.0[number].waits = true;
        Begun::Waits(due)
    }

    /// The next deadline.
    pub fn due(&self, overlap: &Overlap) -> Option<Timestamp> {
        self.0.iter().find(|session| session.waits).map(|session| overlap.due(session))
    }

    /// What came of the sessions whose deadline is `due`, and the record of the last of them. Nothing
    /// waits for that instant any more.
    pub fn judge(&mut self, due: Timestamp, overlap: &Overlap) -> (Option<Together>, Option<RecordId>) {
        let (mut found, mut judged) = (Vec::new(), None);
        for number in 0..self.0.len() {
            if self.0[number].waits && overlap.due(&self.0[number]) == due {
                self.0[number].waits = false;
                judged = Some(self.0[number].start.id);
                found.push(number);
            }
        }
        (self.together(&found, overlap), judged)
    }

    /// The sessions of these numbers, which began at one instant, with those before them.
    fn together(&self, seconds: &[usize], overlap: &Overlap) -> Option<Together> {
        let (mut found, mut all): (Option<Together>, BTreeSet<usize>) = (None, BTreeSet::new());
        for number in seconds {
            let second = &self.0[*number];
            let met: Vec<usize> =
                (0..*number).filter(|first| overlap.meet(&self.0[*first], second)).collect();
            let Some(first) = met.first().copied() else { continue };
            all.extend(met);
            all.insert(*number);
            if let Some(found) = &mut found {
                found.more.push(second.start.clone());
            } else {
                let (first, second) = (self.0[first].start.clone(), second.start.clone());
                found = Some(Together { first, second, more: Vec::new(), count: 0 });
            }
        }
        found.map(|found| Together { count: all.len() as u64, ..found })
    }

    /// What a session that came late, of this number, makes of itself and those after it: those whose
    /// deadline is still to come after `readable` wait; of the others, the ones that it was together
    /// with, by deadline.
    pub fn begin_late(
        &mut self,
        number: usize,
        readable: Timestamp,
        overlap: &Overlap,
    ) -> Vec<(Timestamp, Together)> {
        let mut passed = Vec::new();
        for second in number..self.0.len() {
            let firsts = if second == number { 0..number } else { number..number + 1 };
            if !firsts.into_iter().any(|first| overlap.meet(&self.0[first], &self.0[second])) {
                continue;
            }
            let due = overlap.due(&self.0[second]);
            if due > readable {
                self.0[second].waits = true;
            } else {
                passed.extend(self.together(&[second], overlap).map(|together| (due, together)));
            }
        }
        passed
    }

    /// Forgets what was over before `horizon`: no late record can come before that, and what ended at that
    /// instant may still be judged at it.
    pub fn forget(&mut self, horizon: Timestamp) {
        self.0.retain(|session| session.waits || session.until() >= horizon);
    }

    /// Makes room for one more; how many sessions had to go.
    pub fn make_room(&mut self) -> u64 {
        let surplus = (self.0.len() + 1).saturating_sub(MAX_RECORDS);
        self.0.drain(..surplus);
        surplus as u64
    }

    /// When the last of them is over.
    pub fn over(&self) -> Option<Timestamp> {
        self.0.iter().map(Session::until).max()
    }
}
