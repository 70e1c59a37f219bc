//! When a group fires: in event order, and again where a late hit changes what was judged.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::alert::{AlertId, Evidence, Finding, Fired, Sight};
use crate::record::{Datum, Level, Millis, RecordId, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Entry, Judge as _, Reach, Reason, Tally, Verb, Verdict, Window};

use super::{Decision, Firing, Group, Open, Surroundings, sight};

/// What is counted where the verb counts nothing.
pub(super) static NOTHING: LazyLock<Tally> = LazyLock::new(Tally::default);

impl Group {
    /// The end of the cooldown that holds the group back at `at`.
    pub(super) fn cooling(&self, at: Timestamp) -> Option<Timestamp> {
        let running = |firing: &&Firing| firing.at <= at && at < firing.until;
        self.firings.iter().rev().find(running).map(|firing| firing.until)
    }

    pub(super) fn judge_last(&mut self, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        let hits = &self.entries[self.head + self.low..];
        let window = Window { hits, base: &self.base, shared: around.shared, key: around.key, late: false };
        let tally = self.tally.as_deref().unwrap_or(&NOTHING);
        let finding = match verb.judge(tally, window) {
            Verdict::Short(reason) => {
                if let Reason::ScriptFault { fault } = &reason {
                    *around.fault = Some(fault.clone());
                }
                return Decision::Short(reason);
            }
            Verdict::Holds => verb.describe(tally, window),
            Verdict::Tells(finding) => *finding,
        };
        let end = self.live().len();
        let id = self.fire(self.low, end, finding, false, around);
        if around.program.restart {
            self.narrow(end, verb);
            self.tally.iter_mut().for_each(|tally| tally.bucket.empty());
        }
        Decision::Fired { id, late: false }
    }

    /// Judges the late hit at `place` and the hits after it whose windows it is in, until one fires
    /// that no alert covers.
    pub(super) fn judge_late(&mut self, place: usize, around: &mut Surroundings<'_>) -> Decision {
        let (verb, restart) = (&around.program.verb, around.program.restart);
        let at = self.live()[place].at;
        let mut poured = match verb.reach() {
            Reach::Bucket(_) | Reach::Learned => Some(self.poured(place, verb)),
            Reach::Time(_)
            | Reach::Last(..)
            | Reach::Records(_)
            | Reach::Pair(_)
            | Reach::Folded
            | Reach::Alone => None,
        };
        for end in place + 1..=self.live().len() {
            let last = &self.live()[end - 1];
            let reached = match verb.reach() {
                Reach::Time(within) => last.at < at + within,
                Reach::Last(most, within) => last.at < at + within && end - place <= most,
                Reach::Records(keep) => end - place <= keep,
                Reach::Pair(within) => last.at < at + within && end - place <= 2,
                Reach::Folded | Reach::Learned | Reach::Bucket(_) => true,
                Reach::Alone => end == place + 1,
            };
            if !reached {
                break;
            }
            if let Some(tally) = poured.as_mut().filter(|_| !last.clears) {
                self.pour(tally, last, verb);
            }
            if last.clears || self.covered(last) {
                continue;
            }
            let start = match (verb.reach(), &poured) {
                (Reach::Bucket(_), Some(tally)) => self.bucket_start(tally),
                (_, _) => self.window_start(end, verb, restart),
            };
            if start > place && poured.is_none() {
                // Something between cleared the group: no later hit looks back on this one.
                break;
            }
            let hits = &self.live()[start..end];
            let window =
                Window { hits, base: &self.base, shared: around.shared, key: around.key, late: true };
            let tally = match &poured {
                Some(tally) => Cow::Borrowed(tally),
                None => Cow::Owned(tally_of(window.hits, verb)),
            };
            let finding = match verb.judge(&tally, window) {
                Verdict::Holds => verb.describe(&tally, window),
                Verdict::Tells(finding) => *finding,
                Verdict::Short(reason) => {
                    if let Reason::ScriptFault { fault } = reason {
                        *around.fault = Some(fault);
                    }
                    continue;
                }
            };
            let id = self.fire(start, end, finding, true, around);
            self.set_aside(end - 1, around);
            return Decision::Fired { id, late: true };
        }
        Decision::Late
    }

    /// An alert of the group tells of this hit already.
    pub(super) fn covered(&self, entry: &Entry) -> bool {
        self.tipped(entry) || self.covers(entry.at)
    }

    /// An alert of the group tells of this time already.
    pub(super) fn covers(&self, at: Timestamp) -> bool {
        self.firings.iter().any(|firing| firing.from < at && (at < firing.until || at <= firing.at))
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
        let (at, from) = (tip.at, self.told_from(start, tip.at, program));
        let chosen = program.verb.chosen(hits);
        let from = match (program.verb.reach(), chosen.as_ref().and_then(|chosen| chosen.first())) {
            (Reach::Learned, Some(first)) => first.at - Millis(1),
            (_, _) => from,
        };
        let sights = match (program.verb.reach(), chosen) {
            (_, Some(chosen)) => sights(&chosen, program),
            (Reach::Folded | Reach::Learned | Reach::Alone, None) => vec![sight(tip)],
            (
                Reach::Time(_) | Reach::Last(..) | Reach::Records(_) | Reach::Pair(_) | Reach::Bucket(_),
                None,
            ) => sights_of(hits, program),
        };
        let tells = matches!(program.verb, Verb::Each(_) | Verb::Correlate(_));
        let of = if tells { tip.values.clone() } else { Arc::default() };
        let tipped = Tipped {
            id: AlertId::of(around.tenant, program.rule.id(), program.rule.revision, around.key, tip.id),
            at,
            by: tip.id,
            marks: tip.marks,
            from,
            covers: covers_from(from, at, program),
            closes: (program.cooldown > Millis::ZERO).then_some(at + program.cooldown),
            sights,
            tip: sight(tip),
            of,
            finding,
            late,
        };
        self.raise(tipped, around)
    }

    /// Raises an alert.
    pub(super) fn raise(&mut self, tipped: Tipped, around: &mut Surroundings<'_>) -> AlertId {
        let (program, id, at) = (around.program, tipped.id, tipped.at);
        let (level, level_line) = program.level(tipped.marks);
        let count = tipped.finding.count;
        let last_seen = tipped.sights.last().map_or(at, |sight| sight.at);
        let fired = Fired {
            id,
            tenant: around.tenant.clone(),
            rule: program.rule.id().clone(),
            rule_revision: program.rule.revision,
            level,
            level_line,
            at,
            group: program.group(around.key),
            finding: tipped.finding,
            from: tipped.from,
            to: at,
            late: tipped.late,
            standing: false,
            observe: program.rule.spec.mode == crate::rule::spec::Mode::Observe,
            held_by: Vec::new(),
            of: tipped.of,
            tip: tipped.tip,
            sights: tipped.sights,
        };
        around.counters.alerts += 1;
        let (until, grave) = (at + program.cooldown, (level >= Level::High).then_some(at));
        let firing = Firing { at, tip: tipped.by, from: tipped.covers, until, grave };
        let place = self.firings.partition_point(|other| other.at <= at);
        self.firings.insert(place, firing);
        let open = Open {
            id,
            at,
            closes: tipped.closes,
            revision: 1,
            level,
            level_line,
            count,
            repeats: 0,
            last_seen,
            last: None,
            told: count.max(1),
        };
        self.replace(open, fired, around);
        id
    }

    /// Exclusive beginning of the window that `start` begins and `at` ends.
    pub(super) fn told_from(&self, start: usize, at: Timestamp, program: &Program) -> Timestamp {
        let first = self.live()[start].at - Millis(1);
        match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => {
                // What cleared or restarted the group cut the window short.
                let cut = start > 0 && self.live()[start - 1].at > at - within;
                if cut { first } else { at - within }
            }
            Reach::Records(_) | Reach::Pair(_) | Reach::Bucket(_) => first,
            Reach::Folded | Reach::Learned | Reach::Alone => at - Millis(1),
        }
    }
}

/// From where on an alert tells of its group's hits already. Verbs that judge single records
/// tell of the one record.
fn covers_from(from: Timestamp, at: Timestamp, program: &Program) -> Timestamp {
    match program.verb.reach() {
        Reach::Time(_) | Reach::Last(..) | Reach::Bucket(_) => from,
        Reach::Records(_) | Reach::Pair(_) | Reach::Folded | Reach::Learned | Reach::Alone => {
            at - Millis(i64::from(program.cooldown > Millis::ZERO))
        }
    }
}

/// What is counted of `hits`.
fn tally_of(hits: &[Entry], verb: &Verb) -> Tally {
    let mut tally = Tally::default();
    if verb.tallies() {
        for hit in hits {
            verb.push(&mut tally, hit);
        }
    }
    tally
}

/// The first and the last of the records that an alert stands on.
pub(super) fn sights(hits: &[&Entry], program: &Program) -> Vec<Sight> {
    let (first, last) = ends(hits, program);
    first.iter().chain(last).map(|entry| sight(entry)).collect()
}

fn sights_of(hits: &[Entry], program: &Program) -> Vec<Sight> {
    let (first, last) = ends(hits, program);
    first.iter().chain(last).map(sight).collect()
}

/// Both ends of what is more than an alert names: where none of their values are shown, no more
/// records than its evidence.
fn ends<'a, T>(hits: &'a [T], program: &Program) -> (&'a [T], &'a [T]) {
    let shows = !program.rule.spec.alert.show.is_empty();
    let half = if shows { Fired::MAX_SIGHTS / 2 } else { Evidence::<Sight>::EACH };
    if hits.len() <= 2 * half { (hits, &[]) } else { (&hits[..half], &hits[hits.len() - half..]) }
}

/// What an alert is raised of.
pub(super) struct Tipped {
    pub id: AlertId,
    pub at: Timestamp,
    /// The record that tipped it, or whose deadline passed.
    pub by: RecordId,
    pub marks: u32,
    /// Exclusive beginning of the window.
    pub from: Timestamp,
    /// From where on it tells of the group's hits already.
    pub covers: Timestamp,
    pub closes: Option<Timestamp>,
    pub sights: Vec<Sight>,
    pub tip: Sight,
    /// See [`Fired::of`].
    pub of: Arc<[Datum]>,
    pub finding: Finding,
    pub late: bool,
}
