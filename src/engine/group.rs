//! One group's life under one rule: its hits, its window, what fired and what is open.
//!
//! Hits come in event order behind the watermark, except late ones, which are put in at their own
//! time. The same hits in the same order give the same alerts; nothing here reads a clock.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertId, Change, Draft, Finding, Fired, Sight, State};
use crate::record::{Level, Millis, RecordId, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Base, Entry, MAX_RECORDS, Reach, Reason, Tally, Verb, Verdict, Window};

use super::Counters;

/// A firing that is still remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Firing {
    at: Timestamp,
    tip: RecordId,
    /// Times in (from, until) are told of already.
    from: Timestamp,
    /// The group is held back until here.
    until: Timestamp,
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

/// State of one group.
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
    /// What is counted.
    pub counters: &'a mut Counters,
    /// What is told.
    pub drafts: &'a mut Vec<Draft>,
    /// How a script broke, if one did.
    pub fault: &'a mut Option<String>,
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
    pub fn observe(&mut self, entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        self.wake(verb);
        let at = entry.at;
        self.trim(at, around);
        if entry.clears {
            self.append(entry);
            self.narrow(self.live().len(), verb);
            return Decision::Cleared;
        }
        self.hits += 1;
        self.last = Some(at);
        self.push(entry, verb);
        self.bound(around);
        self.make_room(at, around);
        let cooling = self.cooling(at);
        let decision = if let Some(until) = cooling {
            self.fold_in(around);
            Decision::Cooldown { until }
        } else {
            self.judge_last(around)
        };
        self.check_recovery(at, around);
        decision
    }

    /// Takes in a hit behind the watermark at its own time and judges again what it changes. At
    /// most one alert comes of it.
    pub fn insert_late(&mut self, mut entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        let (order, clears, at) = (entry.order(), entry.clears, entry.at);
        verb.seat_late(&mut self.base, &mut entry);
        let place = self.live().partition_point(|other| other.order() <= order);
        self.entries.insert(self.head + place, entry);
        if !clears {
            self.hits += 1;
            self.last = self.last.max(Some(at));
        }
        let decision = if clears { Decision::Cleared } else { self.judge_late(place, around) };
        if !clears && matches!(decision, Decision::Late) {
            self.fold_late(place, around);
        }
        self.bound_late(around);
        self.low = self.next_window_start(verb, around.program.restart);
        self.tally = None;
        decision
    }

    /// Closes what is over at `now`.
    pub fn close_due(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        if self.open.as_ref().is_some_and(|open| open.closes.is_some_and(|closes| closes <= now)) {
            let at = self.open.as_ref().and_then(|open| open.closes).unwrap_or(now);
            self.end(State::Closed, at, around);
        }
    }

    /// The open alert as it stands.
    pub fn open(&self, program: &Program) -> Option<Change> {
        let open = self.open.as_ref()?;
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
        match (closes, self.expires(program)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// When nothing of the group can matter any more; none while something always can.
    pub fn expires(&self, program: &Program) -> Option<Timestamp> {
        if self.open.as_ref().is_some_and(|open| open.closes.is_none()) {
            return None;
        }
        let keeps = match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => within,
            Reach::Alone => Millis::ZERO,
            Reach::Records(_) | Reach::Folded => return None,
        };
        let entry = self.entries.last().map(|entry| entry.at + keeps);
        let firing = self.firings.iter().map(|firing| firing.until).max();
        let last = entry.max(firing).max(self.last)?;
        Some(last + program.late_within + Millis(1))
    }

    /// Closes the open alert because the group goes.
    pub fn evict(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        if self.open.is_some() {
            self.end(State::Closed, at, around);
        }
    }

    // --- the window

    /// Makes the tally again where a snapshot or a late hit left none.
    fn wake(&mut self, verb: &Verb) {
        if verb.tallies() && self.tally.is_none() {
            let mut tally = Tally::default();
            for entry in self.live()[self.low..].iter().filter(|entry| !entry.clears) {
                verb.push(&mut tally, entry);
            }
            self.tally = Some(Box::new(tally));
        }
    }

    fn push(&mut self, entry: Entry, verb: &Verb) {
        let at = entry.at;
        self.append(entry);
        // Where it lies: to be copied right after a change of a part of it costs more than all else.
        if let Some(entry) = self.entries.last_mut() {
            verb.seat(&mut self.base, entry);
            if let Some(tally) = &mut self.tally {
                verb.push(tally, entry);
            }
        }
        let end = self.live().len();
        let low = match verb.reach() {
            Reach::Time(within) => self.first_after(at - within),
            Reach::Last(last, within) => self.first_after(at - within).max(end.saturating_sub(last)),
            Reach::Records(keep) => end.saturating_sub(keep),
            Reach::Folded => 0,
            Reach::Alone => end - 1,
        };
        self.narrow(low, verb);
    }

    /// Adds an entry. Where there is no room, the places of those that have left are used again
    /// before there is more of it: a million groups share the memory.
    fn append(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            if self.head * 4 > self.entries.len() {
                self.entries.drain(..self.head);
                self.head = 0;
            } else {
                self.entries.reserve_exact((self.entries.len() / 2).max(4));
            }
        }
        self.entries.push(entry);
    }

    /// First entry of the current window later than `time`.
    fn first_after(&self, time: Timestamp) -> usize {
        let window = &self.live()[self.low..];
        // Nearly always none or few have left since the last hit.
        match window.iter().take(4).position(|entry| entry.at > time) {
            Some(near) => self.low + near,
            None => self.low + window.partition_point(|entry| entry.at <= time),
        }
    }

    /// Moves the window's beginning to `low`.
    fn narrow(&mut self, low: usize, verb: &Verb) {
        if let Some(tally) = &mut self.tally {
            let from = self.head + self.low;
            let to = (self.head + low).max(from);
            for entry in self.entries[from..to].iter().filter(|entry| !entry.clears) {
                verb.pop(tally, entry);
            }
        }
        self.low = self.low.max(low);
    }

    /// Forgets entries that no later hit, not even a late one, can look back on.
    fn trim(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        let program = around.program;
        let late = program.late_within;
        // Of the hits up to the horizon, the newest so many are looked back on all the same.
        let (horizon, spared) = match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => (now - within - late, 0),
            Reach::Records(keep) => (now - late, keep.saturating_sub(1)),
            Reach::Folded => (now - late, 0),
            Reach::Alone => (Timestamp::MAX, 0),
        };
        while self.live().get(spared).is_some_and(|entry| entry.at <= horizon) {
            self.pop_front(around);
        }
        let oldest = now - late - around.program.cooldown;
        let reach = match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => within,
            Reach::Records(_) | Reach::Folded | Reach::Alone => Millis::ZERO,
        };
        self.firings.retain(|firing| firing.until.max(firing.at) > oldest - reach);
        if self.firings.len() > MAX_RECORDS {
            self.firings.remove(0);
        }
    }

    fn pop_front(&mut self, around: &mut Surroundings<'_>) {
        let verb = &around.program.verb;
        let entry = &mut self.entries[self.head];
        if self.low > 0 {
            self.low -= 1;
        } else if let (Some(tally), false) = (&mut self.tally, entry.clears) {
            verb.pop(tally, entry);
        }
        if !entry.clears {
            verb.fold(&mut self.base, entry);
        }
        entry.values = Arc::default();
        self.head += 1;
        if self.head == self.entries.len() {
            self.entries.clear();
            self.head = 0;
        }
    }

    /// Keeps the group within [`MAX_RECORDS`].
    fn bound(&mut self, around: &mut Surroundings<'_>) {
        while self.live().len() > MAX_RECORDS {
            self.pop_front(around);
            around.counters.records_dropped += 1;
        }
    }

    /// Keeps what the verb remembers besides within its bound.
    fn make_room(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        let live = &mut self.entries[self.head..];
        if let Some((lost, seats)) = around.program.verb.make_room(&mut self.base, live, now) {
            around.counters.values_dropped += lost;
            for entry in live {
                entry.seat = seats.get(entry.seat as usize).copied().unwrap_or(entry.seat);
            }
        }
    }

    /// The same after a late insertion, when there is no tally to keep.
    fn bound_late(&mut self, around: &mut Surroundings<'_>) {
        self.tally = None;
        self.low = 0;
        self.bound(around);
        if let Some(last) = self.last {
            self.make_room(last, around);
        }
    }

    /// Where the window of the next hit cannot begin before, found from the entries alone.
    fn next_window_start(&self, verb: &Verb, restart: bool) -> usize {
        let live = self.live();
        let emptied = restart && live.last().is_some_and(|entry| self.tipped(entry));
        if emptied { live.len() } else { self.window_start(live.len(), verb, restart) }
    }

    /// This hit made the group fire.
    fn tipped(&self, entry: &Entry) -> bool {
        self.firings.iter().any(|firing| firing.tip == entry.id)
    }

    /// Where the window that ends before entry number `end` begins, found from the entries alone.
    fn window_start(&self, end: usize, verb: &Verb, restart: bool) -> usize {
        let live = self.live();
        if end == 0 {
            return 0;
        }
        if live[end - 1].clears {
            return end;
        }
        let at = live[end - 1].at;
        let (after, most) = match verb.reach() {
            Reach::Time(within) => (at - within, usize::MAX),
            Reach::Last(last, within) => (at - within, last),
            Reach::Records(keep) => (Timestamp::MIN, keep),
            Reach::Folded => (Timestamp::MIN, usize::MAX),
            Reach::Alone => (Timestamp::MIN, 1),
        };
        let restarts = |entry: &Entry| restart && self.tipped(entry);
        let mut start = end - 1;
        while start > 0 && end - start < most {
            let before = &live[start - 1];
            if before.at <= after || before.clears || restarts(before) {
                break;
            }
            start -= 1;
        }
        start
    }

    // --- judging

    /// The end of the cooldown that holds the group back at `at`.
    fn cooling(&self, at: Timestamp) -> Option<Timestamp> {
        let running = |firing: &&Firing| firing.at <= at && at < firing.until;
        self.firings.iter().rev().find(running).map(|firing| firing.until)
    }

    fn judge_last(&mut self, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        let empty = Tally::default();
        let window = Window { hits: &self.entries[self.head + self.low..], base: &self.base, late: false };
        let tally = self.tally.as_deref().unwrap_or(&empty);
        let (verdict, finding) = verb.judge(tally, window);
        match verdict {
            Verdict::Short(reason) => {
                if let Reason::ScriptFault { fault } = &reason {
                    *around.fault = Some(fault.clone());
                }
                Decision::Short(reason)
            }
            Verdict::Holds => {
                let finding = finding.unwrap_or_else(|| verb.describe(tally, window));
                let end = self.live().len();
                let id = self.fire(self.low, end, finding, false, around);
                if around.program.restart {
                    self.narrow(end, verb);
                }
                Decision::Fired { id, late: false }
            }
        }
    }

    /// Judges the late hit at `place` and the hits after it whose windows it is in, until one fires
    /// that no alert covers.
    fn judge_late(&mut self, place: usize, around: &mut Surroundings<'_>) -> Decision {
        let (verb, restart) = (&around.program.verb, around.program.restart);
        let at = self.live()[place].at;
        for end in place + 1..=self.live().len() {
            let last = &self.live()[end - 1];
            let reached = match verb.reach() {
                Reach::Time(within) => last.at < at + within,
                Reach::Last(most, within) => last.at < at + within && end - place <= most,
                Reach::Records(keep) => end - place <= keep,
                Reach::Folded => true,
                Reach::Alone => end == place + 1,
            };
            if !reached {
                break;
            }
            if last.clears || self.covered(last) {
                continue;
            }
            let start = self.window_start(end, verb, restart);
            if start > place {
                // Something between cleared the group: no later hit looks back on this one.
                break;
            }
            let window = Window { hits: &self.live()[start..end], base: &self.base, late: true };
            let mut tally = Tally::default();
            if verb.tallies() {
                window.hits.iter().for_each(|hit| verb.push(&mut tally, hit));
            }
            match verb.judge(&tally, window) {
                (Verdict::Holds, finding) => {
                    let finding = finding.unwrap_or_else(|| verb.describe(&tally, window));
                    let id = self.fire(start, end, finding, true, around);
                    return Decision::Fired { id, late: true };
                }
                (Verdict::Short(Reason::ScriptFault { fault }), _) => *around.fault = Some(fault),
                (Verdict::Short(_), _) => {}
            }
        }
        Decision::Late
    }

    /// An alert of the group tells of this hit already.
    fn covered(&self, entry: &Entry) -> bool {
        let covers = |firing: &Firing| {
            let told = entry.at < firing.until || entry.at <= firing.at;
            firing.tip == entry.id || (firing.from < entry.at && told)
        };
        self.firings.iter().any(covers)
    }

    /// Raises the alert that the window `start..end` makes.
    fn fire(
        &mut self,
        start: usize,
        end: usize,
        finding: Finding,
        late: bool,
        around: &mut Surroundings<'_>,
    ) -> AlertId {
        let program = around.program;
        let hits = &self.live()[start..end];
        let tip = &hits[hits.len() - 1];
        let (tip_id, at, sight) = (tip.id, tip.at, sight(tip));
        let id = AlertId::of(around.tenant, program.rule.id(), program.rule.revision, around.key, tip_id);
        let (level, level_line) = program.level(tip.marks);
        let from = self.told_from(start, at, program);
        let count = finding.count;
        let sights = match program.verb.reach() {
            Reach::Folded | Reach::Alone => vec![sight],
            Reach::Time(_) | Reach::Last(..) | Reach::Records(_) => sights(hits),
        };
        let fired = Fired {
            id,
            tenant: around.tenant.clone(),
            rule: program.rule.id().clone(),
            rule_revision: program.rule.revision,
            level,
            level_line,
            at,
            group: program.group(around.key),
            finding,
            from,
            to: at,
            late,
            standing: false,
            observe: program.rule.spec.mode == crate::rule::spec::Mode::Observe,
            tip: sight,
            sights,
        };
        around.counters.alerts += 1;
        let until = at + program.cooldown;
        let firing = Firing { at, tip: tip_id, from: covers_from(from, at, program), until };
        let place = self.firings.partition_point(|other| other.at <= at);
        self.firings.insert(place, firing);
        let open = Open {
            id,
            at,
            closes: (program.cooldown > Millis::ZERO).then_some(until),
            revision: 1,
            level,
            level_line,
            count,
            repeats: 0,
            last_seen: at,
            last: None,
            told: count.max(1),
        };
        self.replace(open, fired, around);
        id
    }

    /// The new alert takes the place of the open one; a late one that is older than the open one
    /// is over as it is told.
    fn replace(&mut self, open: Open, fired: Fired, around: &mut Surroundings<'_>) {
        let older = self.open.as_ref().is_some_and(|current| current.at > open.at);
        let at = open.at;
        if older {
            around.drafts.push(Draft::Fired(Box::new(fired)));
            let current = self.open.replace(Box::new(open));
            self.end(State::Closed, at, around);
            self.open = current;
            return;
        }
        if self.open.is_some() {
            self.end(State::Closed, at, around);
        }
        around.drafts.push(Draft::Fired(Box::new(fired)));
        if stays_open(around.program) {
            self.open = Some(Box::new(open));
        }
    }

    /// Exclusive beginning of the window that `start` begins and `at` ends.
    fn told_from(&self, start: usize, at: Timestamp, program: &Program) -> Timestamp {
        let first = self.live()[start].at - Millis(1);
        match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => {
                // What cleared or restarted the group cut the window short.
                let cut = start > 0 && self.live()[start - 1].at > at - within;
                if cut { first } else { at - within }
            }
            Reach::Records(_) => first,
            Reach::Folded | Reach::Alone => at - Millis(1),
        }
    }

    // --- the open alert

    /// Folds the last hit into the open alert.
    fn fold_in(&mut self, around: &mut Surroundings<'_>) {
        let Some(entry) = self.entries.last() else { return };
        let (sight, (level, line)) = (sight(entry), around.program.level(entry.marks));
        self.fold(sight, level, line, around);
    }

    /// Folds a late hit in, if the open alert was running at its time.
    fn fold_late(&mut self, place: usize, around: &mut Surroundings<'_>) {
        let entry = &self.live()[place];
        let (at, sight, (level, line)) = (entry.at, sight(entry), around.program.level(entry.marks));
        if self.open.as_ref().is_some_and(|open| open.at <= at && open.closes.is_some_and(|end| at < end)) {
            self.fold(sight, level, line, around);
        }
    }

    fn fold(&mut self, sight: Sight, level: Level, line: Option<usize>, around: &mut Surroundings<'_>) {
        let Some(open) = &mut self.open else { return };
        open.repeats += 1;
        if sight.at >= open.last_seen {
            open.last_seen = sight.at;
            open.last = Some(sight);
        }
        let count = open.count + open.repeats;
        let (graver, many) = (level > open.level, count >= open.told.saturating_mul(10));
        if graver {
            open.level = level;
            open.level_line = line;
        }
        if many {
            open.told = count;
        }
        if graver || many {
            open.revision += 1;
            around.drafts.push(Draft::Changed(change(open, State::Updated, sight.at, around.program)));
        }
    }

    /// Resolves the open alert when the verb's recovery condition holds. Told that all is well,
    /// people must hear of a relapse: a cooldown that the rule did not ask for ends with the alert.
    fn check_recovery(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        let recovered = self.open.is_some()
            && self.tally.as_deref().is_some_and(|tally| around.program.verb.recovered(tally));
        if !recovered {
            return;
        }
        let id = self.open.as_ref().map(|open| open.at);
        self.end(State::Resolved, at, around);
        if !around.program.cooldown_given {
            for firing in self.firings.iter_mut().filter(|firing| Some(firing.at) == id) {
                firing.until = at;
            }
        }
    }

    fn end(&mut self, state: State, at: Timestamp, around: &mut Surroundings<'_>) {
        if let Some(mut open) = self.open.take() {
            open.revision += 1;
            around.drafts.push(Draft::Changed(change(&open, state, at, around.program)));
        }
    }
}

/// From where on an alert tells of its group's hits already. Verbs that judge single records
/// tell of the one record.
fn covers_from(from: Timestamp, at: Timestamp, program: &Program) -> Timestamp {
    match program.verb.reach() {
        Reach::Time(_) | Reach::Last(..) => from,
        Reach::Records(_) | Reach::Folded | Reach::Alone => {
            at - Millis(i64::from(program.cooldown > Millis::ZERO))
        }
    }
}

fn change(open: &Open, state: State, at: Timestamp, program: &Program) -> Change {
    Change {
        id: open.id,
        rule: program.rule.id().clone(),
        revision: open.revision,
        state,
        at,
        level: open.level,
        level_line: open.level_line,
        repeats: open.repeats,
        last_seen: open.last_seen,
        last: open.last,
    }
}

/// Whether alerts of `program` are open for some time: until their cooldown ends, or they recover.
pub fn stays_open(program: &Program) -> bool {
    let recovers = matches!(&program.verb, Verb::Measure(measure) if measure.recover.is_some());
    program.cooldown > Millis::ZERO || recovers
}

fn sight(entry: &Entry) -> Sight {
    Sight { locator: entry.locator, phase: entry.phase, at: entry.at }
}

/// The first and the last records of a window.
fn sights(hits: &[Entry]) -> Vec<Sight> {
    if hits.len() <= Fired::MAX_SIGHTS {
        return hits.iter().map(sight).collect();
    }
    let half = Fired::MAX_SIGHTS / 2;
    hits[..half].iter().chain(&hits[hits.len() - half..]).map(sight).collect()
}
