//! The stateful verbs: what a group's hits must look like for a rule to fire.
//!
//! A verb judges a window of hits in event order and knows nothing of clocks, cooldowns, lateness
//! or alerts; `engine::group` owns those. A [`Tally`] is what a verb counts over a window, kept
//! up as the window slides; it can always be made again from the window's hits.
//!
//! To add a verb: one file here that says how it is a [`Judge`], its variant in [`Verb`], its line in
//! `whichever`. What a rule file says of it is a variant of `spec::Verb`, and the compiler asks for the
//! rest.

pub mod absent;
pub mod common;
pub mod correlate;
pub mod count;
pub mod distinct;
pub mod each;
pub mod first_seen;
pub mod measure;
pub mod others;
pub mod overlap;
pub mod rate;
pub mod risk;
pub mod script;
pub mod sequence;
pub mod travel;
pub mod usual;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Datum, Locator, Millis, Number, Phase, RecordId, Timestamp};

use super::spec::correlate::Asks;
use super::spec::{Limit, Stat};

/// Records a group keeps; past this the oldest leaves the window and is counted.
pub const MAX_RECORDS: usize = 10_000;
/// Values a `first_seen` group remembers; past this the longest unused is forgotten and counted.
pub const MAX_VALUES: usize = 10_000;

/// Values that an alert names; further ones are only counted.
const SHOWN_VALUES: usize = 100;

/// Values of records and what is kept of each. Never iterated where order could be seen.
pub type Values<T> = HashMap<Arc<str>, T, foldhash::fast::RandomState>;

/// Seat of a value that nothing is kept of.
pub const NO_SEAT: u32 = u32::MAX;

/// Place of a hit in event order: time, start before end, record id.
pub type Order = (Timestamp, Phase, RecordId);

/// One hit of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Event time.
    pub at: Timestamp,
    /// Phase of the record.
    pub phase: Phase,
    /// Identity of the record.
    pub id: RecordId,
    /// Where its row can be fetched.
    pub locator: Locator,
    /// Which of the rule's marks (`levels` lines, then shares) hold for the record; bit by number.
    pub marks: u32,
    /// True for a record that clears the group (`unless`); it is no hit.
    pub clears: bool,
    /// It is of a grave alert that is open: verbs that learn do not learn from it.
    pub aside: bool,
    /// Where `first_seen` keeps its value; see [`NO_SEAT`].
    pub seat: u32,
    /// The values the verb wants, in its order.
    pub values: Arc<[Datum]>,
}

impl Entry {
    /// Its place in event order.
    pub fn order(&self) -> Order {
        (self.at, self.phase, self.id)
    }
}

/// A rule's verb, compiled.
#[derive(Debug)]
pub enum Verb {
    /// No verb: every hit.
    Each(each::Each),
    /// `absent`
    Absent(absent::Absent),
    /// `count`
    Count(count::Count),
    /// `distinct`
    Distinct(distinct::Distinct),
    /// `first_seen`
    FirstSeen(first_seen::FirstSeen),
    /// `measure`
    Measure(measure::Measure),
    /// `overlap`
    Overlap(overlap::Overlap),
    /// `risk`
    Risk(risk::Risk),
    /// `rate`
    Rate(rate::Rate),
    /// `script`
    Script(Box<script::ScriptVerb>),
    /// `sequence`
    Sequence(sequence::Sequence),
    /// `travel`
    Travel(travel::Travel),
    /// `usual`
    Usual(usual::Usual),
    /// `correlation` of a Sigma document
    Correlate(correlate::Correlate),
}

/// What a group remembers besides its window, or of hits that have left it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// Time of the first record that left.
    pub first: Option<Timestamp>,
    /// Records that left.
    pub records: u64,
    /// Every value that the group knows, by seat.
    pub values: first_seen::KnownValues,
    /// What `rate` has in its bucket after them. Apart: few rules have one.
    pub bucket: Option<Box<rate::Bucket>>,
    /// What a `sequence` that ends in an absence waits for.
    pub waits: Option<Box<sequence::Waits>>,
    /// An `absent` group that is in the rule's list.
    pub listed: Option<absent::Listed>,
    /// The sessions of `overlap`.
    pub sessions: Option<Box<overlap::Sessions>>,
    /// What these values share with others, where `same_if` asks.
    pub same: Option<Box<first_seen::KnownValues>>,
    /// What `usual` has learnt of them.
    pub learned: Option<Box<usual::Learned>>,
}

/// What a rule remembers across its groups (`unless_common` and `times_others` only).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// Who has shown each value lately.
    pub commons: common::Commons,
    /// By condition, the hits that groups are compared by.
    pub crowds: Vec<others::Crowd>,
}

impl Base {
    /// Bytes of it in memory besides itself, about.
    pub fn bytes(&self) -> usize {
        let same = self.same.as_ref().map_or(0, |same| size_of::<first_seen::KnownValues>() + same.bytes());
        self.values.bytes()
            + same
            + self.bucket.as_ref().map_or(0, |bucket| bucket.bytes())
            + self.waits.as_ref().map_or(0, |waits| waits.0.capacity() * size_of::<sequence::Wait>())
            + self.sessions.as_ref().map_or(0, |sessions| sessions.bytes())
            + self.learned.as_ref().map_or(0, |learned| size_of::<usual::Learned>() + learned.bytes())
    }

    /// A look at what the next hit is compared with first.
    pub fn glance(&self) -> i64 {
        self.values.glance()
    }
}

/// The new seat of each old one.
pub type Seats = Vec<u32>;

/// What a verb counts over a window. Derived: never part of a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Per condition, how often each value is in the window.
    pub values: Vec<Values<u32>>,
    /// Per share, how many hits of the window bear its mark.
    pub shares: Vec<u32>,
    /// Values that `distinct` leaves out because they are too many; of `risk`, the points.
    pub crowded: u32,
    /// Samples in ascending order.
    pub samples: Vec<Number>,
    /// Their sum.
    pub sum: Number,
    /// What `rate` has in its bucket.
    pub bucket: rate::Bucket,
    /// What `usual` has learnt.
    pub learned: Option<Box<usual::Learned>>,
    /// Per rule of an ordered correlation, the times of its events.
    pub times: Vec<VecDeque<Timestamp>>,
}

impl Tally {
    /// Bytes of it in memory besides itself, about.
    pub fn bytes(&self) -> usize {
        let values = |values: &Values<u32>| values.capacity() * (size_of::<(Arc<str>, u32)>() + 1);
        self.values.iter().map(values).sum::<usize>()
            + self.shares.capacity() * size_of::<u32>()
            + self.samples.capacity() * size_of::<Number>()
            + self.bucket.bytes()
            + self.learned.as_ref().map_or(0, |learned| size_of::<usual::Learned>() + learned.bytes())
            + self.times.iter().map(|times| times.capacity() * size_of::<Timestamp>()).sum::<usize>()
    }
}

impl Shared {
    /// Bytes of it in memory besides itself, about.
    pub fn bytes(&self) -> usize {
        self.commons.bytes() + self.crowds.iter().map(others::Crowd::bytes).sum::<usize>()
    }
}

/// What a verb says of the last hit of a window.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The condition holds.
    Holds,
    /// It holds, and judging it made what there is to tell (scripts).
    Tells(Box<Finding>),
    /// It does not, for this reason.
    Short(Reason),
}

/// Why a hit did not fire; part of the closed list of `explain`. Made for every hit, so it holds no
/// text that would have to be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// So many of so many.
    BelowThreshold {
        /// What is counted.
        what: Counted,
        /// How many there are.
        actual: Number,
        /// How many it takes.
        needed: Needed,
    },
    /// The group is still learning.
    Learning(Learning),
    /// It is not far enough from what is usual.
    Usual {
        /// The hit's value.
        value: Number,
        /// What is usual.
        usual: Number,
        /// The median of so many.
        samples: usize,
        /// What would fire.
        fires: Limit,
    },
    /// The value is known.
    KnownValue {
        /// The hit's values, as they are compared.
        values: Arc<[Datum]>,
        /// Which of them is known: its value, or what that shares with others.
        slot: usize,
        /// When it was last used.
        last: Timestamp,
    },
    /// The group fires at this instant, unless something comes before.
    Waiting {
        /// The deadline.
        until: Timestamp,
    },
    /// What must be absent came.
    Came,
    /// The record is of this step of a sequence, by its number, and completes none.
    StepTaken(usize),
    /// Many show the value: it is no news.
    CommonValue {
        /// The hit's values, as they are compared.
        values: Arc<[Datum]>,
        /// How many.
        shown_by: u32,
    },
    /// There is no point before this one that a journey could have begun at.
    NoJourney,
    /// Both points share something that explains the journey.
    SameWay {
        /// Which of the fields of `ignore_same`, by its number.
        field: usize,
    },
    /// Too near, or slow enough.
    Travelled(travel::Journey),
    /// So many other sessions of the group are open, and none is what `where` asks.
    NoneBeside(usize),
    /// No other session stayed open beside it for long enough.
    Parted,
    /// The window is short of what a correlation asks.
    Correlation(correlate::Shortfall),
    /// The script said no.
    ScriptSaidNo,
    /// The script broke; counted and announced.
    ScriptFault {
        /// How.
        fault: String,
    },
}

/// What a verb counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Hits of the window.
    Hits,
    /// Hits of all other groups.
    Others,
    /// Values that differ.
    DistinctValues,
    /// Units in a bucket.
    InBucket,
    /// Samples of the window.
    Samples,
    /// Points of its alerts.
    Points,
    /// Techniques of its alerts that differ.
    Techniques,
    /// The statistic itself.
    Stat(Stat),
    /// A condition of `having`, by its number.
    Having(usize),
    /// Records of a step, by its number.
    Step(usize),
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// At least so many.
    AtLeast(u32),
    /// At least such a share, in percent.
    Share(Number),
    /// At least so many times the share of the others.
    TimesOthers(Number),
    /// Strictly beyond a bound.
    Beyond(Limit),
}

/// What a group still has to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// Its first value is always learnt.
    FirstValue,
    /// It learns until this instant.
    Until(Timestamp),
    /// It has seen so many records of so many.
    Records(u64, u32),
    /// It remembers so many samples of so many.
    Samples(u64, u32),
}

/// A window of hits in event order, the last one being judged, and what was before it.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Its hits; none of them clears.
    pub hits: &'a [Entry],
    /// What left the group's memory of hits.
    pub base: &'a Base,
    /// What the rule remembers across its groups.
    pub shared: &'a Shared,
    /// The group's key.
    pub key: &'a [u8],
    /// The last hit is not the group's newest: what is known of later ones does not count.
    pub late: bool,
}

impl Window<'_> {
    /// The hit being judged.
    pub fn last(&self) -> &Entry {
        &self.hits[self.hits.len() - 1]
    }
}

/// How long hits stay in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// (t − w, t].
    Time(Millis),
    /// The last so many of (t − w, t].
    Last(usize, Millis),
    /// The last so many, however old.
    Records(usize),
    /// Those that have not drained from a bucket, which none is in for longer than this. What is in
    /// it depends on all hits before; older ones are folded into [`Base`].
    Bucket(Millis),
    /// The hit and the one before it, if that is in (t − w, t]; nothing older matters.
    Pair(Millis),
    /// All that is remembered; older hits are folded into [`Base`].
    Folded,
    /// The same, and the tally holds what all hits before have taught.
    Learned,
    /// The hit alone.
    Alone,
}

/// Does the same with whichever verb it is. With the variant, all that there is to say of a verb here.
macro_rules! whichever {
    ($verb:expr, $one:ident => $does:expr) => {
        match $verb {
            Verb::Each($one) => $does,
            Verb::Absent($one) => $does,
            Verb::Count($one) => $does,
            Verb::Distinct($one) => $does,
            Verb::FirstSeen($one) => $does,
            Verb::Measure($one) => $does,
            Verb::Overlap($one) => $does,
            Verb::Risk($one) => $does,
            Verb::Rate($one) => $does,
            Verb::Script($one) => $does,
            Verb::Sequence($one) => $does,
            Verb::Travel($one) => $does,
            Verb::Usual($one) => $does,
            Verb::Correlate($one) => $does,
        }
    };
}

/// What a verb does in a group's life. What it does not say is what most verbs do.
pub trait Judge {
    /// How far a hit reaches.
    fn reach(&self) -> Reach;

    /// Judges the last hit of `window`, which `tally` counts.
    fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict;

    /// What an alert says of `window`.
    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding;

    /// How long a firing holds its group back where the rule does not say.
    fn cooldown(&self) -> Millis {
        Millis::ZERO
    }

    /// Whether firing empties the window.
    fn restarts(&self) -> bool {
        false
    }

    /// What decides which hits are looked back on, and what is counted of them, spelt out; not what is
    /// asked of that. Verbs that say the same can look at one window. None: at no other's.
    fn window(&self) -> Option<String> {
        None
    }

    /// True when the verb keeps a tally; the others judge by the window alone.
    fn tallies(&self) -> bool {
        false
    }

    /// Takes a hit into the tally.
    fn push(&self, _tally: &mut Tally, _entry: &Entry) {}

    /// Takes the oldest hit out of the tally.
    fn pop(&self, _tally: &mut Tally, _entry: &Entry) {}

    /// What hits that have left the group's memory leave in the tally.
    fn tally_after(&self, _base: &Base) -> Tally {
        Tally::default()
    }

    /// Whether alerts can recover.
    fn recovers(&self) -> bool {
        false
    }

    /// Whether the recovery condition of a level-type verb holds.
    fn recovered(&self, _tally: &Tally) -> bool {
        false
    }

    /// A hit joins the rule, before its group, whose key is with it, sees it: what all groups share of
    /// it. How many values or hits were forgotten because there were too many.
    fn share(&self, _shared: &mut Shared, _hit: (&[u8], &Entry), _late_within: Millis, _late: bool) -> u64 {
        0
    }

    /// A hit joins the group in event order.
    fn seat(&self, _base: &mut Base, _entry: &mut Entry) {}

    /// A hit joins the group late.
    fn seat_late(&self, _base: &mut Base, _entry: &mut Entry) {}

    /// A hit leaves the group's memory: what of it is kept. `fired`: it emptied the window.
    fn fold(&self, _base: &mut Base, _entry: &Entry, _fired: bool) {}

    /// Whether later hits are held against what earlier ones taught.
    fn learns(&self) -> bool {
        false
    }

    /// Hit number `place` turned out to be of a grave alert, as its entry says by now: what it taught is
    /// taken back.
    fn unlearn(&self, _base: &mut Base, _tally: Option<&mut Tally>, _hits: &mut [Entry], _place: usize) {}

    /// Keeps what is kept of hits within bounds: how many values were lost, and where the seats of the
    /// others are now. None where nothing had to go.
    fn make_room(&self, _base: &mut Base, _hits: &[Entry], _now: Timestamp) -> Option<(u64, Seats)> {
        None
    }

    /// Whether an entry that does not clear its group is a hit; else it is what a sequence says is absent.
    fn is_step(&self, _entry: &Entry) -> bool {
        true
    }

    /// Whether an entry is what a sequence says is absent.
    fn is_absence(&self, _entry: &Entry) -> bool {
        false
    }

    /// True when time alone can make a group fire.
    fn waits(&self) -> bool {
        false
    }

    /// The hits of a window that an alert stands on, where that is not all of them.
    fn chosen<'a>(&self, _hits: &'a [Entry]) -> Option<Vec<&'a Entry>> {
        None
    }
}

impl Judge for Verb {
    fn reach(&self) -> Reach {
        whichever!(self, one => one.reach())
    }

    fn judge(&self, tally: &Tally, window: Window<'_>) -> Verdict {
        whichever!(self, one => one.judge(tally, window))
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        whichever!(self, one => one.describe(tally, window))
    }

    fn cooldown(&self) -> Millis {
        whichever!(self, one => one.cooldown())
    }

    fn restarts(&self) -> bool {
        whichever!(self, one => one.restarts())
    }

    fn window(&self) -> Option<String> {
        whichever!(self, one => one.window())
    }

    fn tallies(&self) -> bool {
        whichever!(self, one => one.tallies())
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        whichever!(self, one => one.push(tally, entry));
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        whichever!(self, one => one.pop(tally, entry));
    }

    fn tally_after(&self, base: &Base) -> Tally {
        whichever!(self, one => one.tally_after(base))
    }

    fn recovers(&self) -> bool {
        whichever!(self, one => one.recovers())
    }

    fn recovered(&self, tally: &Tally) -> bool {
        whichever!(self, one => one.recovered(tally))
    }

    fn share(&self, shared: &mut Shared, hit: (&[u8], &Entry), late_within: Millis, late: bool) -> u64 {
        whichever!(self, one => one.share(shared, hit, late_within, late))
    }

    fn seat(&self, base: &mut Base, entry: &mut Entry) {
        whichever!(self, one => one.seat(base, entry));
    }

    fn seat_late(&self, base: &mut Base, entry: &mut Entry) {
        whichever!(self, one => one.seat_late(base, entry));
    }

    fn fold(&self, base: &mut Base, entry: &Entry, fired: bool) {
        whichever!(self, one => one.fold(base, entry, fired));
    }

    fn learns(&self) -> bool {
        whichever!(self, one => one.learns())
    }

    fn unlearn(&self, base: &mut Base, tally: Option<&mut Tally>, hits: &mut [Entry], place: usize) {
        whichever!(self, one => one.unlearn(base, tally, hits, place));
    }

    fn make_room(&self, base: &mut Base, hits: &[Entry], now: Timestamp) -> Option<(u64, Seats)> {
        whichever!(self, one => one.make_room(base, hits, now))
    }

    fn is_step(&self, entry: &Entry) -> bool {
        whichever!(self, one => one.is_step(entry))
    }

    fn is_absence(&self, entry: &Entry) -> bool {
        whichever!(self, one => one.is_absence(entry))
    }

    fn waits(&self) -> bool {
        whichever!(self, one => one.waits())
    }

    fn chosen<'a>(&self, hits: &'a [Entry]) -> Option<Vec<&'a Entry>> {
        whichever!(self, one => one.chosen(hits))
    }
}

impl Verb {
    /// Whether an entry is a hit; the others clear their group, or are what a sequence says is absent.
    pub fn is_hit(&self, entry: &Entry) -> bool {
        !entry.clears && self.is_step(entry)
    }

    /// Whether a window that lost its oldest hits to [`MAX_RECORDS`] is judged as the whole one would be: nothing
    /// is asked but how many there are, and no rule may ask for more than are kept.
    pub fn only_counts(&self) -> bool {
        if let Self::Count(count) = self {
            return count.having.is_empty();
        }
        matches!(self, Self::Correlate(correlate) if matches!(correlate.asks, Asks::Events(_)))
    }

    /// Whether an entry is the end of a session.
    pub fn ends_session(&self, entry: &Entry) -> bool {
        entry.clears && matches!(self, Self::Overlap(_))
    }
}

/// A text value; what a verb compares and shows. None for other kinds.
pub fn text_of(datum: &Datum) -> Option<&Arc<str>> {
    match datum {
        Datum::Text(text) => Some(text),
        Datum::Absent | Datum::Number(_) | Datum::Bool(_) => None,
    }
}

/// The text that a required value is; the empty text if it is none, which scanning rules out.
fn required(datum: &Datum) -> &str {
    text_of(datum).map_or("", |text| text)
}

/// Adds one `value`; true if it is new.
fn count_in(values: &mut Values<u32>, value: &Arc<str>) -> u32 {
    let count = values.entry(value.clone()).or_insert(0);
    *count += 1;
    *count
}

/// Takes one `value` out; how many are left.
fn count_out(values: &mut Values<u32>, value: &str) -> u32 {
    match values.get_mut(value) {
        Some(count) if *count > 1 => {
            *count -= 1;
            *count
        }
        Some(_) => {
            values.remove(value);
            0
        }
        None => 0,
    }
}

/// A number as JSON: whole ones as integers, others as the nearest double; of one that is out of range, what
/// is known of it.
pub fn json_number(number: Number) -> Json {
    match (number.to_i64(), number.bound()) {
        (Some(whole), _) => Json::from(whole),
        (None, Some(bound)) => Json::from(bound),
        (None, None) => Json::from(number.to_f64()),
    }
}

/// The bound's word and number, as an alert shows it.
fn json_limit(limit: Limit) -> (String, Json) {
    match limit {
        Limit::Above(number) => ("above".to_owned(), json_number(number)),
        Limit::Below(number) => ("below".to_owned(), json_number(number)),
    }
}

/// `{name: value}`
fn single(name: &str, value: impl Into<Json>) -> Map<String, Json> {
    Map::from_iter([(name.to_owned(), value.into())])
}
