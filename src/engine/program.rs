//! One rule's state: its groups, the hits that wait for the watermark, its timers.
//!
//! Hits and timers are merged by event time; a timer at the instant of a hit comes after it.

mod kept;
mod queue;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertId, Change, Draft};
use crate::record::{Datum, Millis, Timestamp};
use crate::rule::compile::{Program, Programs};
use crate::rule::lists::List;
use crate::rule::verb::absent::Absent;
use crate::rule::verb::{Entry, Judge as _, Order, Shared, Verb};

use super::group::stays_open;
use super::group::{Alike, Decision, Group, Surroundings};
use super::groups::{Groups, Perhaps};
use super::key::GroupKey as Key;
use super::memory::MemoryState;
use super::open::{Open, Settled};
use super::quiet::Quiet;
use super::seen::{SeenRows, Was};
use super::{Counters, Limits, Note, Outcome, Step, Traced};
use queue::{Queue, Waiting};

/// A fault of a script is told this often a rule.
const FAULT_TOLD_EVERY: Millis = Millis::hours(1);

/// Where a program's state is worked on.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Whose records.
    pub tenant: &'a Arc<str>,
    /// The rule.
    pub program: &'a Program,
    /// All rules.
    pub list: &'a [Program],
    /// The bounds.
    pub limits: Limits,
    /// The program's number.
    pub number: usize,
    /// Whether groups that change are told.
    pub tells_dirty: bool,
    /// Whether `explain` watches the program.
    pub watched: bool,
}

/// What comes of work on a group besides what is told and counted.
#[derive(Default)]
struct Aside {
    /// How a script broke, if one did.
    fault: Option<String>,
    /// Records that turned out to be of a high alert which is open.
    records: Vec<Order>,
}

impl Place<'_> {
    /// What the group of `key` needs to know of its surroundings, if nobody else looks at its window.
    fn around<'a>(
        &'a self,
        key: &'a [u8],
        readable: Option<Timestamp>,
        shared: &'a Shared,
        (counters, drafts): (&'a mut Counters, &'a mut Vec<Draft>),
        aside: &'a mut Aside,
    ) -> Surroundings<'a> {
        Surroundings {
            tenant: self.tenant,
            program: self.program,
            key,
            readable: readable.unwrap_or(Timestamp::MIN),
            shared,
            counters,
            drafts,
            fault: &mut aside.fault,
            aside: &mut aside.records,
            alike: Alike::Nobody,
        }
    }

    fn dirty(&self, key: &Key, out: &mut Outcome) {
        if self.tells_dirty {
            out.dirty.push((self.number, (**key).into()));
        }
    }
}

/// What open hits are settled by.
pub struct Past<'a> {
    /// Whose questions.
    pub programs: &'a Programs,
    /// What is remembered.
    pub memories: &'a mut [MemoryState],
    /// Which records were counted.
    pub seen: &'a mut SeenRows,
}

/// Groups that lie ready of a program that has got windows of its own: of thousands there may be many.
const WARM_APART: usize = 1 << 8;

/// Hits whose groups are looked at ahead of judging them: memory answers many at once as soon as one.
const AHEAD: usize = 16;

/// State of one program. Groups and hits that wait are written down apart: see `program::kept`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ProgramState {
    #[serde(skip)]
    groups: Perhaps,
    /// Hits ahead of the watermark.
    #[serde(skip)]
    waiting: Queue,
    /// Hits that are being judged, in event order. Empty between runs.
    #[serde(skip)]
    due: VecDeque<Waiting>,
    /// Records of a high alert, until what it remembers for itself has left them out.
    #[serde(skip)]
    aside: Vec<Order>,
    watermark: Option<Timestamp>,
    /// What it holds back, and whether its alerts are open.
    pub quiet: Quiet,
    /// Up to when deadlines have been judged: no further than all that the rule reads is readable.
    readable: Option<Timestamp>,
    /// What the rule remembers across its groups.
    shared: Shared,
    /// Which version of its list groups were made of.
    listed: Option<String>,
    /// What is counted.
    pub counters: Counters,
    /// Others look at its windows: see [`Program::alike`].
    pub together: bool,
    /// Alerts that each of them has raised.
    raised: Vec<u64>,
    full: bool,
    fault_told: Option<Timestamp>,
    /// Up to where it goes in this run, if it judges together with others.
    #[serde(skip)]
    goes_to: Option<Timestamp>,
}

impl ProgramState {
    /// Nothing yet, of `program`.
    pub fn new(program: &Program) -> Self {
        let many = program.alike.len();
        Self { together: many > 0, raised: vec![0; many], ..Self::default() }
    }

    /// Alerts that one of those that look at its windows has raised.
    pub fn raised(&self, place: usize) -> u64 {
        self.raised.get(place).copied().unwrap_or_default()
    }

    /// Whether others look at its windows, as `raised` alerts of theirs.
    pub fn raise_alike(&mut self, raised: Vec<u64>) {
        if self.together {
            self.raised = raised;
        }
    }

    /// From now on each has windows of its own: what that of the others is, in their order.
    pub fn part(&mut self, program: &Program) -> Vec<Self> {
        if !std::mem::take(&mut self.together) {
            return Vec::new();
        }
        let raised = std::mem::take(&mut self.raised);
        let state = |(place, alerts): (usize, u64)| Self {
            groups: self.groups.apart(Some(place)),
            waiting: self.waiting.clone(),
            watermark: self.watermark,
            quiet: self.quiet.clone(),
            readable: self.readable,
            shared: self.shared.clone(),
            listed: self.listed.clone(),
            counters: Counters { alerts, ..self.counters.clone() },
            full: self.full,
            fault_told: self.fault_told,
            ..Self::default()
        };
        let mut parts: Vec<Self> = raised.into_iter().enumerate().map(state).collect();
        for part in &mut parts {
            part.pack_down(WARM_APART);
        }
        self.groups = self.groups.apart(None);
        debug_assert_eq!(parts.len(), program.alike.len());
        parts
    }

    /// Hears what it has just told, of the group of `key` if of one.
    fn hear(&mut self, from: usize, key: Option<&Key>, place: &Place<'_>, now: Timestamp, out: &mut Outcome) {
        if place.program.named || !place.program.quiet_while.is_empty() {
            self.quiet.hear(&mut out.drafts[from..], key, stays_open(place.program), now);
        }
    }

    /// Counts its open alerts anew.
    pub fn recount(&mut self) {
        let open = self.groups.with_open().len() as u64;
        self.quiet.recount(open, self.watermark.unwrap_or(Timestamp::MIN));
    }

    /// The group of `key`.
    pub fn group_mut(&mut self, key: &Key) -> Option<&mut Group> {
        self.groups.get_mut(key)
    }

    /// Up to when it has judged.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// Closes its open alerts, at its watermark, because its rule goes.
    pub fn close(&mut self, place: &Place<'_>, out: &mut Outcome) {
        let at = self.watermark.unwrap_or(Timestamp::MIN);
        let from = out.drafts.len();
        // Outcomes are ordered when they are whole.
        for key in &self.groups.with_open() {
            let Some(group) = self.groups.get_mut(key) else { continue };
            let mut aside = Aside::default();
            let told = (&mut self.counters, &mut out.drafts);
            let mut around = place.around(key, self.readable, &self.shared, told, &mut aside);
            group.evict(at, &mut around);
        }
        self.hear(from, None, place, at, out);
        self.release(at, place.program, &mut out.drafts);
    }

    /// Changes what number the next revision of each open alert follows; nothing more is told of one
    /// without.
    pub fn renumber_open(&mut self, revision: impl Fn(AlertId) -> Option<u32>) {
        for key in self.groups.with_open() {
            self.groups.get_mut(&key).into_iter().for_each(|group| group.renumber_open(&revision));
        }
    }

    /// Lets groups go until there are no more than there may be.
    pub fn shrink(&mut self, place: &Place<'_>, out: &mut Outcome) {
        let at = self.watermark.unwrap_or(Timestamp::MIN);
        while self.groups.len() > place.limits.groups {
            self.let_one_go(at, place, out);
        }
    }

    /// Its open alerts, in no order.
    pub fn open(&self, program: &Program) -> Vec<Change> {
        let held = |change: Change| Change { held: self.quiet.holds(change.id), ..change };
        self.groups.open(program).into_iter().map(held).collect()
    }

    /// Groups it holds.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Groups that lie ready.
    pub fn warm(&self) -> usize {
        self.groups.warm()
    }

    /// Packs groups that were not touched lately.
    pub fn pack_idle(&mut self) {
        self.groups.any().into_iter().for_each(Groups::pack_idle);
    }

    /// Packs groups until no more than `most` lie ready.
    pub fn pack_down(&mut self, most: usize) {
        self.groups.any().into_iter().for_each(|groups| groups.pack_down(most));
    }

    /// Bytes of it in memory, about.
    pub fn bytes(&self) -> usize {
        let hits = self.waiting.capacity() + self.due.capacity();
        size_of::<Self>() + self.groups.bytes() + hits * size_of::<Waiting>() + self.shared.bytes()
    }

    /// Takes in a hit: fires now, waits, or is put in late.
    pub fn admit(&mut self, key: Key, entry: Entry, place: &Place<'_>, out: &mut Outcome) {
        if place.program.on_arrival {
            self.fire_now(&key, entry, place, out);
            return;
        }
        let Some(watermark) = self.watermark.filter(|watermark| entry.at <= *watermark) else {
            self.waiting.push(Waiting { key, entry, open: None, written: false });
            return;
        };
        self.put_late((key, entry), watermark, place, out);
    }

    /// Puts a hit in at its own time, unless it is too late for that. That a session has ended is news
    /// however late: nothing else would ever close it.
    fn put_late(
        &mut self,
        (key, entry): (Key, Entry),
        watermark: Timestamp,
        place: &Place<'_>,
        out: &mut Outcome,
    ) {
        let ends = place.program.verb.ends_session(&entry);
        if entry.at <= watermark - place.program.late_within && !ends {
            self.too_late(&key, &entry, place, out);
            return;
        }
        self.counters.late += 1;
        self.take((&key, entry), true, place, out);
    }

    /// Gives a record to its group.
    fn take(&mut self, (key, entry): (&Key, Entry), late: bool, place: &Place<'_>, out: &mut Outcome) {
        if place.program.verb.ends_session(&entry) && !self.groups.contains(key) {
            // It began before anything was remembered, or was no hit.
            return;
        }
        self.share(key, &entry, late, place);
        if let Verb::Absent(Absent { from: Some(list), .. }) = &place.program.verb
            && !late
            && self.listed.as_deref() != Some(list.digest())
        {
            self.enlist(list, &entry, place, out);
        }
        self.work(key, entry.at, place, out, |group, around| {
            let (id, at) = (entry.id, entry.at);
            let decision = if late { group.insert_late(entry, around) } else { group.observe(entry, around) };
            place.watched.then_some((id, at, decision))
        });
    }

    /// Takes in a firing of a correlation that it hears of: at its place among what is being judged, if
    /// that has not got so far.
    pub fn admit_firing(&mut self, key: Key, entry: Entry, place: &Place<'_>, out: &mut Outcome) {
        let ahead = Some(entry.at) > self.watermark && Some(entry.at) <= self.goes_to;
        if !ahead {
            self.admit(key, entry, place, out);
            return;
        }
        let order = entry.order();
        let before = self.due.partition_point(|other| other.order() <= order);
        self.due.insert(before, Waiting { key, entry, open: None, written: false });
    }

    fn too_late(&mut self, key: &Key, entry: &Entry, place: &Place<'_>, out: &mut Outcome) {
        self.counters.too_late += 1;
        if place.watched {
            let step = Step::TooLate;
            out.traced.push(Traced { id: entry.id, at: entry.at, key: (**key).into(), step });
        }
    }

    /// Takes in a hit that the past decides: it waits, or is settled late.
    pub fn admit_open(
        &mut self,
        key: Key,
        entry: Entry,
        open: Box<Open>,
        place: &Place<'_>,
        past: &mut Past<'_>,
        out: &mut Outcome,
    ) {
        let Some(watermark) = self.watermark.filter(|watermark| entry.at <= *watermark) else {
            self.waiting.push(Waiting { key, entry, open: Some(open), written: false });
            return;
        };
        let Some(entry) = self.settle(&key, entry, &open, place, past, out) else { return };
        self.put_late((key, entry), watermark, place, out);
        self.leave_out(place, past);
    }

    /// What it remembers for itself does not learn from the records of its high alerts.
    fn leave_out(&mut self, place: &Place<'_>, past: &mut Past<'_>) {
        for order in self.aside.drain(..) {
            let own = |memory: &usize| past.programs.memories[*memory].owner.is_some();
            for memory in place.program.questions.iter().map(|question| question.memory).filter(own) {
                past.memories[memory].leave_out(order);
            }
        }
    }

    /// What an open hit turns out to be: an entry of its group, or nothing but something to count.
    fn settle(
        &mut self,
        key: &Key,
        mut entry: Entry,
        open: &Open,
        place: &Place<'_>,
        past: &mut Past<'_>,
        out: &mut Outcome,
    ) -> Option<Entry> {
        let (program, order) = (place.program, entry.order());
        let mut trace = |step: Step, key: &Key| {
            if place.watched {
                out.traced.push(Traced { id: order.2, at: order.0, key: (**key).into(), step });
            }
        };
        if place.watched {
            trace(Step::Answered(open.answered(past.programs, program, order, past.memories)), key);
        }
        let settled = open.settle(program, order, past.memories);
        match settled {
            Settled::Nothing => return None,
            Settled::NoGroup => {
                self.counters.group_field_missing += 1;
                trace(Step::GroupFieldMissing, key);
                return None;
            }
            Settled::NoValue => {
                self.counters.value_missing += 1;
                trace(Step::ValueMissing, key);
                return None;
            }
            Settled::Excepted(number) => {
                self.counters.excepted += 1;
                trace(Step::Excepted(number), key);
                return None;
            }
            Settled::Clears => (entry.clears, entry.marks, entry.values) = (true, 0, Arc::default()),
            Settled::Hit(marks) => entry.marks |= marks,
        }
        if let Some(row) = open.row {
            let program = u32::try_from(place.number).unwrap_or(u32::MAX);
            let was = Was { program, amended: open.amended, clears: entry.clears };
            if !past.seen.first_time(past.seen.seat_of(row), was) {
                return None;
            }
        }
        self.counters.hits += u64::from(place.program.verb.is_hit(&entry));
        Some(entry)
    }

    /// Begins to judge what `watermark` covers; false if it covers nothing new.
    pub fn begin(&mut self, watermark: Timestamp, readable: Timestamp) -> bool {
        let further = self.readable < Some(readable);
        self.readable = self.readable.max(Some(readable));
        let reached = self.watermark.is_some_and(|reached| watermark <= reached);
        if reached && !further || watermark == Timestamp::MIN {
            return false;
        }
        let mut more = true;
        while more {
            let (mut waiting, due, others) = self.waiting.take(watermark);
            self.due.extend(waiting.drain(..due));
            self.waiting.put_back(waiting);
            more = others;
        }
        self.goes_to = Some(watermark);
        true
    }

    /// The next instant at which there is something to judge up to `watermark`.
    pub fn next(&self, watermark: Timestamp) -> Option<Timestamp> {
        let hit = self.due.front().map(|waiting| waiting.entry.at);
        let timer = self.groups.first_timer().filter(|at| *at <= watermark && Some(*at) <= self.readable);
        hit.into_iter().chain(timer).min()
    }

    /// Judges what there is at `instant`: its hits, then its timers.
    pub fn step(&mut self, instant: Timestamp, place: &Place<'_>, past: &mut Past<'_>, out: &mut Outcome) {
        self.quiet.reached = Some(instant);
        if self.quiet.by.is_empty() && self.quiet.holds_any() {
            self.release(instant, place.program, &mut out.drafts);
        }
        while self.due.front().is_some_and(|waiting| waiting.entry.at <= instant) {
            let Some(Waiting { key, entry, open, .. }) = self.due.pop_front() else { break };
            let entry = match open {
                Some(open) => self.settle(&key, entry, &open, place, past, out),
                None => Some(entry),
            };
            let Some(entry) = entry else { continue };
            self.take((&key, entry), false, place, out);
            self.leave_out(place, past);
        }
        self.timers_before(instant + Millis(1), place, out);
    }

    /// All up to `watermark` is judged.
    pub fn end(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(Some(watermark));
        self.goes_to = None;
        self.quiet.reached = None;
    }

    /// A rule that needs no state: the hit is the alert.
    fn fire_now(&mut self, key: &Key, entry: Entry, place: &Place<'_>, out: &mut Outcome) {
        let (id, at) = (entry.id, entry.at);
        let mut group = Group::default();
        let mut aside = Aside::default();
        let told = (&mut self.counters, &mut out.drafts);
        let mut around = place.around(key, self.readable, &self.shared, told, &mut aside);
        let decision = group.observe(entry, &mut around);
        if place.watched {
            out.traced.push(Traced { id, at, key: (**key).into(), step: Step::Decided(decision) });
        }
    }

    /// Judges what `watermark` covers, in event order, and the deadlines up to `readable`.
    pub fn run(
        &mut self,
        (watermark, readable): (Timestamp, Timestamp),
        place: &Place<'_>,
        out: &mut Outcome,
    ) {
        if watermark == Timestamp::MIN {
            return;
        }
        self.readable = self.readable.max(Some(readable));
        if let Some(reached) = self.watermark.filter(|reached| watermark <= *reached) {
            if place.program.verb.waits() {
                self.timers_before(reached + Millis(1), place, out);
            }
            return;
        }
        self.watermark = Some(watermark);
        let mut more = true;
        while more {
            let (mut waiting, due, others) = self.waiting.take(watermark);
            for number in 0..due {
                if number.is_multiple_of(AHEAD) {
                    self.look_ahead(waiting.range(..AHEAD.min(due - number)));
                }
                // Rules that ask of the past judge step by step; here nothing is open.
                let Some(Waiting { key, entry, .. }) = waiting.pop_front() else { break };
                self.timers_before(entry.at, place, out);
                self.take((&key, entry), false, place, out);
            }
            self.waiting.put_back(waiting);
            more = others;
        }
        self.timers_before(watermark + Millis(1), place, out);
    }

    /// What all groups share of a hit.
    fn share(&mut self, key: &Key, entry: &Entry, late: bool, place: &Place<'_>) {
        if !entry.clears {
            let Program { verb, late_within, .. } = place.program;
            self.counters.values_dropped += verb.share(&mut self.shared, (key, entry), *late_within, late);
        }
    }

    /// Brings the groups of the next hits near. It decides nothing.
    fn look_ahead<'a>(&self, hits: impl Iterator<Item = &'a Waiting>) {
        for hit in hits {
            std::hint::black_box((
                self.groups.glance(&hit.key),
                matches!(hit.entry.values.first(), Some(Datum::Absent)),
            ));
        }
    }

    /// Runs the timers earlier than `time`.
    fn timers_before(&mut self, time: Timestamp, place: &Place<'_>, out: &mut Outcome) {
        let readable =
            self.readable.map_or(Timestamp::MIN, |readable| Timestamp(readable.0.saturating_add(1)));
        let time = if place.program.verb.waits() { time.min(readable) } else { time };
        while let Some(at) = self.groups.first_timer().filter(|at| *at < time) {
            for key in self.groups.made().take_timers() {
                self.come_to(&key, at, place, out);
            }
        }
    }

    /// Runs the timer of one group, and sets the next or lets the group go.
    fn come_to(&mut self, key: &Key, at: Timestamp, place: &Place<'_>, out: &mut Outcome) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut aside = Aside::default();
        let told = (&mut self.counters, &mut out.drafts);
        let mut around = place.around(key, self.readable, &self.shared, told, &mut aside);
        let from = around.drafts.len();
        let met = group.come_to(at, &mut around);
        let expires = group.expires(place.program).is_some_and(|expires| expires <= at);
        let next = group.next_timer(place.program);
        place.dirty(key, out);
        if place.watched {
            let told = |(id, decision)| Traced { id, at, key: (**key).into(), step: Step::Decided(decision) };
            out.traced.extend(met.into_iter().map(told));
        }
        self.hear(from, None, place, at, out);
        if expires {
            self.groups.made().remove(key);
        } else {
            self.groups.made().set_timer(key, next);
        }
    }

    /// Works on one group, making it if it is new, and sees to its timer, its bound and its notes.
    fn work(
        &mut self,
        key: &Key,
        at: Timestamp,
        place: &Place<'_>,
        out: &mut Outcome,
        act: impl FnOnce(
            &mut Group,
            &mut Surroundings<'_>,
        ) -> Option<(crate::record::RecordId, Timestamp, Decision)>,
    ) {
        // Looked up once where it is there, which is nearly always.
        let known = if let Some(group) = self.groups.get_mut(key) {
            Some(group)
        } else {
            self.found(key, at, place, out);
            self.groups.get_mut(key)
        };
        let Some(group) = known else { return };
        let mut aside = Aside { fault: None, records: std::mem::take(&mut self.aside) };
        let told = (&mut self.counters, &mut out.drafts);
        let mut around = place.around(key, self.readable, &self.shared, told, &mut aside);
        if self.together {
            let (numbers, list) = (place.program.alike.as_slice(), place.list);
            around.alike = Alike::These { numbers, list, raised: &mut self.raised };
        }
        let from = around.drafts.len();
        let told = act(group, &mut around);
        // One timer a group: an earlier one is looked at and set anew when it comes.
        let next = group.next_timer(place.program);
        if next.is_some_and(|next| group.timer.is_none_or(|timer| next < timer)) {
            self.groups.made().set_timer(key, next);
        }
        place.dirty(key, out);
        let now = self.quiet.reached.or(self.watermark).map_or(at, |reached| reached.max(at));
        self.hear(from, Some(key), place, now, out);
        self.aside = aside.records;
        if let Some(fault) = aside.fault {
            self.tell_fault(at, fault, place, out);
        }
        if let Some((id, at, decision)) = told {
            out.traced.push(Traced { id, at, key: (**key).into(), step: Step::Decided(decision) });
        }
    }

    /// Makes groups of the values of the rule's list, as that is at its hit `begin`.
    fn enlist(&mut self, list: &List, begin: &Entry, place: &Place<'_>, out: &mut Outcome) {
        self.listed = Some(list.digest().to_owned());
        let [part] = place.program.by.as_slice() else { return };
        let key = |value: &str| {
            let mut key = Vec::new();
            Program::push_key_part(&mut key, Some(value));
            Key::new(&key)
        };
        let keys: BTreeMap<Key, Option<Timestamp>> =
            list.keys(part.field.kind()).iter().map(|(value, until)| (key(value), *until)).collect();
        let struck: BTreeSet<Key> =
            self.groups.listed().into_iter().filter(|key| !keys.contains_key(key)).collect();
        for key in struck {
            let mut goes = false;
            self.work(&key, begin.at, place, out, |group, around| {
                goes = group.strike();
                if goes {
                    group.evict(begin.at, around);
                }
                None
            });
            if goes {
                self.groups.made().remove(&key);
            }
        }
        for (key, until) in keys {
            if until.is_none_or(|until| begin.at < until) {
                self.work(&key, begin.at, place, out, |group, _| {
                    group.enlist(begin.clone(), until);
                    None
                });
            }
        }
    }

    /// Makes a group.
    fn found(&mut self, key: &Key, at: Timestamp, place: &Place<'_>, out: &mut Outcome) {
        self.make_room(at, place, out);
        self.groups.made().insert(key);
    }

    fn tell_fault(&mut self, at: Timestamp, fault: String, place: &Place<'_>, out: &mut Outcome) {
        self.counters.script_faults += 1;
        if self.fault_told.is_none_or(|told| at - told >= FAULT_TOLD_EVERY) {
            self.fault_told = Some(at);
            out.notes.push(Note::ScriptFault { rule: place.program.rule.id().clone(), at, fault });
        }
    }

    /// Lets the group of least worth go when there are too many.
    fn make_room(&mut self, at: Timestamp, place: &Place<'_>, out: &mut Outcome) {
        if self.groups.len() < place.limits.groups {
            self.full = false;
            return;
        }
        self.let_one_go(at, place, out);
    }

    /// Lets the group of least worth go, and tells it once a flood.
    fn let_one_go(&mut self, at: Timestamp, place: &Place<'_>, out: &mut Outcome) {
        if !self.full {
            self.full = true;
            let others = if self.together { place.program.alike.as_slice() } else { &[] };
            for program in [place.program].into_iter().chain(others.iter().map(|other| &place.list[*other])) {
                let rule = program.rule.id().clone();
                out.notes.push(Note::GroupsFull { rule, at, limit: place.limits.groups });
            }
        }
        let Some(key) = self.groups.made().quietest() else { return };
        let Some(group) = self.groups.get_mut(&key) else { return };
        let mut aside = Aside::default();
        let told = (&mut self.counters, &mut out.drafts);
        let mut around = place.around(&key, self.readable, &self.shared, told, &mut aside);
        let from = around.drafts.len();
        group.evict(at, &mut around);
        self.groups.made().remove(&key);
        self.hear(from, None, place, at, out);
        self.counters.groups_evicted += 1;
        if place.watched {
            let step = Step::Evicted;
            out.traced.push(Traced { id: super::NO_RECORD, at, key: (*key).into(), step });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CheckedRule, Engine, Generation, Limits, Scratch, SourceId};
    use super::*;
    use crate::record::fact::Facts;
    use crate::record::scan::{Mapping, Origin, Scanner};
    use crate::record::{Columns, Locator};
    use crate::rule::decode::{Options, decode};

    /// What is remembered of groups that are gone, over so many of `names` every `every` of time.
    fn remembered(rule: &str, names: i64, every: Millis) -> (usize, usize) {
        let (spec, mut problems) = decode("r.yaml", rule, &Options::default());
        let rule = CheckedRule::new(spec.unwrap(), &mut problems).unwrap();
        let generation = Arc::new(Generation::new(vec![rule], Columns::default(), Limits { groups: 10 }));
        let facts = Arc::new(Facts::default());
        let scanner = Scanner::new(generation.columns.clone(), facts, Origin::file(Mapping::default()));
        let mut engine = Engine::new(generation, "acme");
        for number in 0..names {
            let at = Timestamp(1_767_603_600_000) + Millis(every.0 * number);
            let row = format!(
                r#"{{"id":"{number}","kind":"login","start_time":"{at}","outcome":"failure","user_name":"x{number}"}}"#
            );
            let batch = scanner.scan(row, Locator(0));
            let fresh = engine.take_in(&batch);
            let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
            engine.advance(&batch, hits);
            engine.progress(SourceId(0), at, at);
        }
        engine.states[0].groups.remembered()
    }

    const RULE: &str = "rule: r\ntitle: r\nlevel: low\nmatch: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user_name]}\nlate_within: 1m\n";

    #[test]
    fn groups_that_were_evicted_leave_nothing_behind() {
        let (timers, notes) = remembered(RULE, 500, Millis(1));
        assert_eq!(timers, 10);
        assert!(notes <= 50, "{notes} notes");
    }

    #[test]
    fn groups_that_expire_after_a_flood_leave_nothing_behind() {
        // Eleven at once meet the bound; then every group has its time and goes.
        let (timers, notes) = remembered(RULE, 500, Millis::secs(11));
        assert!(timers <= 12, "{timers} timers");
        assert!(notes <= 50, "{notes} notes");
    }
}
