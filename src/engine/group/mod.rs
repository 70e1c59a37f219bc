//! One group's life under one rule: its hits, its window, what fired and what is open.
//!
//! Hits come in event order behind the watermark, except late ones, which are put in at their own
//! time. The same hits in the same order give the same alerts; nothing here reads a clock.
//! `window` holds which hits are looked back on, `firing` when they fire, `alike` when they fire for
//! others that look at the same window, `deadline` when the lack of them does, `overlap` when two sessions last together, `life` what becomes of the alert.

mod alike;
mod deadline;
mod firing;
mod life;
mod overlap;
mod window;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertId, Change, Draft, Sight, State};
use crate::record::{Datum, Level, Millis, RecordId, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Base, Entry, Judge as _, Order, Reach, Reason, Shared, Tally, Verb};

use super::Counters;
use life::change;
pub use life::stays_open;

/// A firing that is still remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Firing {
    at: Timestamp,
    tip: RecordId,
    /// Times in (from, until) are told of already.
    from: Timestamp,
    /// The group is held back until here.
    until: Timestamp,
    /// Since when its alert is high or critical.
    grave: Option<Timestamp>,
}

/// The group's alert that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    id: AlertId,
    at: Timestamp,
    /// When it closes by itself.
    closes: Option<Timestamp>,
    revision: u32,
    level: Level,
    level_line: Option<usize>,
    count: u64,
    repeats: u64,
    last_seen: Timestamp,
    last: Option<Sight>,
    /// Count that was last told; ten times as many is news.
    told: u64,
}

/// State of one group. Written down, it begins with hits and last hit: see `engine::groups`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Group {
    /// Hits since the group exists; the fewest go first when there are too many groups.
    pub hits: u64,
    /// Time of its last hit.
    pub last: Option<Timestamp>,
    entries: Vec<Entry>,
    /// Entries before this one have left and wait for the list to be compacted.
    head: usize,
    base: Base,
    firings: Vec<Firing>,
    /// Those of programs that look at the same window, by their number among these; most have none.
    theirs: Vec<(usize, Vec<Firing>)>,
    /// Apart: few groups have one, and all are looked at.
    open: Option<Box<Open>>,
    /// Where the current window begins, counted from `head`.
    low: usize,
    #[serde(skip)]
    tally: Option<Box<Tally>>,
    /// When its program will look at it, as it has noted. Derived.
    #[serde(skip)]
    pub timer: Option<Timestamp>,
}

/// What happened to one hit.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It fired.
    Fired {
        /// The alert.
        id: AlertId,
        /// True when the hit, or one before it, came late.
        late: bool,
    },
    /// It was folded into the open alert.
    Cooldown {
        /// When the group may fire again.
        until: Timestamp,
    },
    /// The condition does not hold.
    Short(Reason),
    /// It cleared the group.
    Cleared,
    /// It came late and changed nothing.
    Late,
}

/// What a group needs to know of its surroundings.
pub struct Surroundings<'a> {
    /// Whose records.
    pub tenant: &'a Arc<str>,
    /// The rule.
    pub program: &'a Program,
    /// The group's key.
    pub key: &'a [u8],
    /// Up to when deadlines have been judged.
    pub readable: Timestamp,
    /// What the rule remembers across its groups.
    pub shared: &'a Shared,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// What is told.
    pub drafts: &'a mut Vec<Draft>,
    /// How a script broke, if one did.
    pub fault: &'a mut Option<String>,
    /// Records that turned out to be of a high alert which is open.
    pub aside: &'a mut Vec<Order>,
    /// The other programs that look at the group's window.
    pub alike: Alike<'a>,
}

/// Programs that look at the windows of another, and how many alerts each has raised.
pub enum Alike<'a> {
    /// There is none, or each has windows of its own.
    Nobody,
    /// These.
    These {
        /// Their numbers.
        numbers: &'a [usize],
        /// All programs.
        list: &'a [Program],
        /// Alerts that each of them has raised.
        raised: &'a mut [u64],
    },
}

impl Group {
    fn live(&self) -> &[Entry] {
        &self.entries[self.head..]
    }

    /// A look at all that the next hit is judged by, so that it is near when that comes.
    pub fn glance(&self) -> i64 {
        let ends = [self.live().first(), self.live().last()];
        let ends = ends.into_iter().flatten().fold(0, |sum, entry| entry.at.0 ^ sum);
        ends ^ self.base.glance() ^ i64::from(self.open.is_some()) ^ i64::from(self.timer.is_some())
    }

    /// Takes in the next hit in event order.
    pub fn observe(&mut self, mut entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        if let Verb::Overlap(_) = verb {
            return self.session(entry, around);
        }
        self.wake(verb);
        let at = entry.at;
        self.trim(at, around);
        if entry.clears {
            self.stop_waiting();
            self.append(entry);
            self.narrow(self.live().len(), verb);
            self.bound(around);
            return Decision::Cleared;
        }
        if verb.is_absence(&entry) {
            self.stop_waiting();
        }
        if !verb.is_hit(&entry) {
            self.append(entry);
            self.bound(around);
            return Decision::Short(Reason::Came);
        }
        self.hits += 1;
        self.last = Some(at);
        if let Verb::Absent(_) = verb {
            return self.is_present(entry, around);
        }
        entry.aside = verb.learns() && self.is_grave(at);
        self.push(entry, verb);
        self.bound(around);
        self.make_room(at, around);
        // A rule that fires at every hit has a firing for each, and none of them holds it back.
        let cooling = if around.program.cooldown > Millis::ZERO { self.cooling(at) } else { None };
        let decision = if verb.waits() {
            let waits = self.wait(around);
            self.judge_unless(cooling, waits, around)
        } else if cooling.is_some() {
            self.judge_unless(cooling, None, around)
        } else {
            self.judge_last(around)
        };
        self.set_aside(self.live().len().saturating_sub(1), around);
        self.check_recovery(at, around);
        self.judge_alike(None, around);
        decision
    }

    /// Judges the last hit, if it is neither held back nor waits.
    fn judge_unless(
        &mut self,
        cooling: Option<Timestamp>,
        waits: Option<Reason>,
        around: &mut Surroundings<'_>,
    ) -> Decision {
        if let Some(until) = cooling {
            self.fold_in(around);
            return Decision::Cooldown { until };
        }
        waits.map_or_else(|| self.judge_last(around), Decision::Short)
    }

    /// Takes in a hit behind the watermark at its own time and judges again what it changes. At
    /// most one alert comes of it.
    pub fn insert_late(&mut self, mut entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        if let Verb::Absent(_) = verb {
            return self.was_present(entry, around);
        }
        if let Verb::Overlap(_) = verb {
            return self.session_late(entry, around);
        }
        let (order, clears, at) = (entry.order(), entry.clears, entry.at);
        let hit = verb.is_hit(&entry);
        entry.aside = verb.learns() && self.is_grave(at);
        verb.seat_late(&mut self.base, &mut entry);
        let place = self.live().partition_point(|other| other.order() <= order);
        self.entries.insert(self.head + place, entry);
        if hit {
            self.hits += 1;
            self.last = self.last.max(Some(at));
        }
        let decision = if clears {
            Decision::Cleared
        } else if verb.waits() {
            Decision::Late
        } else {
            self.judge_late(place, around)
        };
        let decision = if verb.waits() { self.wait_anew(decision, around) } else { decision };
        if hit && matches!(decision, Decision::Late) {
            self.fold_late(place, around);
            self.set_aside(place, around);
        }
        if !clears {
            self.judge_alike(Some(place), around);
        }
        self.bound_late(around);
        self.low = self.next_window_start(verb, around.program.restart);
        self.tally = None;
        decision
    }

    /// Forgets the places of entries that have left.
    pub fn settle(&mut self) {
        self.entries.drain(..self.head);
        self.head = 0;
    }

    /// Bytes of it in memory besides itself, about.
    pub fn bytes(&self) -> usize {
        let values = |entry: &Entry| entry.values.iter().map(Datum::bytes).sum::<usize>();
        let open = self.open.as_ref().map_or(0, |_| size_of::<Open>());
        let tally = self.tally.as_ref().map_or(0, |tally| size_of::<Tally>() + tally.bytes());
        self.entries.capacity() * size_of::<Entry>()
            + self.live().iter().map(values).sum::<usize>()
            + self.firings.capacity() * size_of::<Firing>()
            + self.theirs.iter().map(|(_, theirs)| theirs.capacity() * size_of::<Firing>()).sum::<usize>()
            + self.theirs.capacity() * size_of::<(usize, Vec<Firing>)>()
            + self.base.bytes()
            + open
            + tally
    }

    /// Closes what is over at `now`.
    fn close_due(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        if self.open.as_ref().is_some_and(|open| open.closes.is_some_and(|closes| closes <= now)) {
            let at = self.open.as_ref().and_then(|open| open.closes).unwrap_or(now);
            self.end(State::Closed, at, around);
        }
    }

    /// Whether its alert is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The open alert as it stands.
    pub fn open(&self, program: &Program) -> Option<Change> {
        let open = self.open.as_ref()?;
        Some(change(open, State::Open, open.last_seen, program))
    }

    /// The open alert told once more as it stands, if it is this one.
    pub fn told_again(&mut self, id: AlertId, program: &Program) -> Option<Change> {
        let open = self.open.as_mut().filter(|open| open.id == id)?;
        open.revision += 1;
        Some(change(open, State::Open, open.last_seen, program))
    }

    /// Changes what number its open alert's next revision follows; without one, nothing more is told
    /// of the alert.
    pub fn renumber_open(&mut self, revision: impl FnOnce(AlertId) -> Option<u32>) {
        let Some(open) = &mut self.open else { return };
        match revision(open.id) {
            Some(revision) => open.revision = revision,
            None => self.open = None,
        }
    }

    /// When the group next wants to be looked at: its alert closes, or it may be forgotten. None:
    /// never.
    pub fn next_timer(&self, program: &Program) -> Option<Timestamp> {
        let closes = self.open.as_ref().and_then(|open| open.closes);
        [closes, self.due(program), self.expires(program)].into_iter().flatten().min()
    }

    /// When nothing of the group can matter any more; none while something always can.
    pub fn expires(&self, program: &Program) -> Option<Timestamp> {
        if let Verb::Absent(absent) = &program.verb {
            return self.retires(absent, program.late_within);
        }
        if self.open.as_ref().is_some_and(|open| open.closes.is_none()) {
            return None;
        }
        if let Some(sessions) = &self.base.sessions {
            let firing = self.firings.iter().map(|firing| firing.until).max();
            return Some(sessions.over().max(firing).max(self.last)? + program.late_within + Millis(1));
        }
        let keeps = match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) | Reach::Pair(within) | Reach::Bucket(within) => {
                within
            }
            Reach::Alone => Millis::ZERO,
            Reach::Records(_) | Reach::Folded | Reach::Learned => return None,
        };
        let entry = self.entries.last().map(|entry| entry.at + keeps);
        let firing = match program.cooldown {
            Millis::ZERO => self.firings.last().map(|firing| firing.until),
            _ => self.firings.iter().map(|firing| firing.until).max(),
        };
        let last = entry.max(firing).max(self.last)?;
        Some(last + program.late_within + Millis(1))
    }

    /// Closes the open alert because the group goes.
    pub fn evict(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        if self.open.is_some() {
            self.end(State::Closed, at, around);
        }
    }
}

fn sight(entry: &Entry) -> Sight {
    Sight { locator: entry.locator, phase: entry.phase, at: entry.at }
}
