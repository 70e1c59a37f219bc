//! When the lack of hits fires: `absent`, and a sequence that ends in an absence.
//!
//! A deadline passes when all that the rule reads is complete up to it, the records at its own
//! instant included: nothing here runs while a source cannot be read.

use std::sync::Arc;

use crate::alert::{AlertId, State};
use crate::record::{Millis, RecordId, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::absent::{Absent, Listed, NOBODY};
use crate::rule::verb::sequence::{Wait, Waits};
use crate::rule::verb::{Entry, Judge as _, Reason, Tally, Verb, Window};

use super::firing::{Tipped, sights};
use super::{Decision, Group, Surroundings, sight};

impl Group {
    /// The next deadline; none while nothing is waited for.
    pub(super) fn due(&self, program: &Program) -> Option<Timestamp> {
        if let Verb::Absent(absent) = &program.verb {
            let last = self.live().last().filter(|last| !self.tipped(last))?;
            let due = absent.due(last.at);
            return Some(self.cooling(due).unwrap_or(due)).filter(|due| self.is_meant(last, *due));
        }
        if let Verb::Overlap(overlap) = &program.verb {
            return self.base.sessions.as_ref()?.due(overlap);
        }
        self.base.waits.as_ref()?.0.first().map(|wait| wait.due)
    }

    /// Closes what is over at `now` and meets the deadlines up to it, each at its own time. What
    /// became of the records whose deadlines passed.
    pub fn come_to(&mut self, now: Timestamp, around: &mut Surroundings<'_>) -> Vec<(RecordId, Decision)> {
        let mut met = Vec::new();
        loop {
            let closes = self.open.as_ref().and_then(|open| open.closes).filter(|at| *at <= now);
            let Some(due) = self.due(around.program).filter(|due| *due <= now) else { break };
            if closes.is_some_and(|closes| closes <= due) {
                self.close_due(due, around);
                continue;
            }
            met.extend(if let Verb::Absent(absent) = &around.program.verb {
                self.is_absent(absent, due, false, around)
            } else if let Verb::Overlap(overlap) = &around.program.verb {
                self.were_together(overlap, due, around)
            } else {
                self.wait_is_over(around)
            });
        }
        self.close_due(now, around);
        met
    }

    // --- absent

    /// A hit of a group that is watched for the lack of hits.
    pub(super) fn is_present(&mut self, entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let at = entry.at;
        self.end(State::Resolved, at, around);
        self.base.first.get_or_insert(at);
        self.keep_only(entry);
        self.wait_for_next(around.program)
    }

    /// The same, late. One that is older than a known hit can only tell that the group existed
    /// before; a newer one ends what was told of the time before it.
    pub(super) fn was_present(&mut self, entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let program = around.program;
        let Verb::Absent(absent) = &program.verb else { return Decision::Late };
        let (at, due) = (entry.at, absent.due(entry.at));
        self.hits += 1;
        let first = self.base.first.filter(|first| *first <= at);
        let earliest = first.is_none().then_some(self.base.first).flatten();
        self.base.first = first.or(Some(at));
        let known = self.live().last().filter(|last| last.id != NOBODY && last.order() > entry.order());
        if let Some(last) = known.cloned() {
            let silent = earliest.is_some_and(|next| due < next);
            if !silent || due > around.readable || self.cooling(due).is_some() {
                return Decision::Late;
            }
            let current = self.open.take();
            self.keep_only(entry);
            let told = self.is_absent(absent, due, true, around);
            self.end(State::Resolved, earliest.unwrap_or(due), around);
            (self.entries, self.head, self.open) = (vec![last], 0, current);
            return told.map_or(Decision::Late, |(_, decision)| decision);
        }
        self.last = self.last.max(Some(at));
        let (id, passed) = (entry.id, due <= around.readable);
        let told = self.open.as_ref().map(|open| open.at);
        self.keep_only(entry);
        if let Some(told) = told {
            if passed && told >= at {
                // The group is as silent as the alert says.
                if let Some(firing) = self.firings.iter_mut().rev().find(|firing| firing.at == told) {
                    firing.tip = id;
                }
                return Decision::Late;
            }
            self.end(State::Resolved, at.max(told), around);
        }
        if passed && self.cooling(due).is_none() {
            let told = self.is_absent(absent, due, true, around);
            return told.map_or(Decision::Late, |(_, decision)| decision);
        }
        self.wait_for_next(program)
    }

    /// The group is in the rule's list, until then; without a hit, time runs since `begin`.
    pub fn enlist(&mut self, begin: Entry, until: Option<Timestamp>) {
        self.base.listed = Some(Listed { until });
        if self.live().is_empty() {
            self.append(Entry { id: NOBODY, ..begin });
        }
    }

    /// The group is not in the rule's list any more. True if nothing else made it a group.
    pub fn strike(&mut self) -> bool {
        self.base.listed = None;
        self.is_nobody()
    }

    /// Whether it is a group because of the rule's list.
    pub fn is_listed(&self) -> bool {
        self.base.listed.is_some()
    }

    fn is_nobody(&self) -> bool {
        self.live().last().is_some_and(|last| last.id == NOBODY)
    }

    /// Whether the group is watched at `due`: a hit made it one, or it is still listed.
    fn is_meant(&self, last: &Entry, due: Timestamp) -> bool {
        last.id != NOBODY
            || self.base.listed.is_some_and(|listed| listed.until.is_none_or(|until| due < until))
    }

    /// When a group that is watched for the lack of hits may be forgotten.
    pub(super) fn retires(&self, absent: &Absent, late_within: Millis) -> Option<Timestamp> {
        let listed = self.base.listed.map(|listed| listed.until);
        if self.is_nobody() {
            return listed.flatten();
        }
        let retires = self.last? + absent.retire? + late_within + Millis(1);
        listed.map_or(Some(retires), |until| Some(retires.max(until?)))
    }

    fn keep_only(&mut self, entry: Entry) {
        self.entries.clear();
        (self.head, self.low) = (0, 0);
        self.append(entry);
    }

    fn wait_for_next(&self, program: &Program) -> Decision {
        let until = self.due(program).unwrap_or(Timestamp::MAX);
        Decision::Short(Reason::Waiting { until })
    }

    /// No hit came.
    fn is_absent(
        &mut self,
        absent: &Absent,
        due: Timestamp,
        late: bool,
        around: &mut Surroundings<'_>,
    ) -> Option<(RecordId, Decision)> {
        let oldest = due - around.program.late_within - around.program.cooldown;
        self.firings.retain(|firing| firing.until.max(firing.at) > oldest);
        let last = self.live().last()?;
        let (by, at, marks, tip) = (last.id, last.at, last.marks, sight(last));
        // The record that let time run is another group's.
        let sights = if by == NOBODY { Vec::new() } else { vec![tip] };
        let tipped = Tipped {
            id: instant(due, around),
            at: due,
            by,
            marks,
            from: at,
            covers: at,
            closes: absent.retire.map(|retire| at + retire),
            sights,
            tip,
            of: Arc::default(),
            finding: absent.silence(due - at),
            late,
        };
        let id = self.raise(tipped, around);
        Some((by, Decision::Fired { id, late }))
    }

    // --- a sequence that ends in an absence

    /// What the group waited for came, or the group was cleared.
    pub(super) fn stop_waiting(&mut self) {
        self.base.waits = None;
    }

    /// Waits for the absence, if the last hit completes all steps before it. None where time has to
    /// pass for nothing.
    pub(super) fn wait(&mut self, around: &mut Surroundings<'_>) -> Option<Reason> {
        let Verb::Sequence(sequence) = &around.program.verb else { return None };
        let window = Window {
            hits: &self.entries[self.head + self.low..],
            base: &self.base,
            shared: around.shared,
            key: around.key,
            late: false,
        };
        let tip = window.last();
        let since = match sequence.completes(window.hits) {
            Ok(since) => since,
            Err(reason) => return Some(reason),
        };
        // What came at the same time came after.
        let came = |other: &&Entry| other.at == tip.at && other.id != tip.id && sequence.is_absence(other);
        if self.live().iter().rev().take_while(|other| other.at == tip.at).any(|other| came(&other)) {
            return Some(Reason::Came);
        }
        let (due, of) = (since + sequence.within, tip.order());
        self.base.waits.get_or_insert_default().add(Wait { due, of });
        Some(Reason::Waiting { until: due })
    }

    /// Finds again what is waited for, after a late record. A deadline that has passed and that no
    /// alert covers fires now, at most one.
    pub(super) fn wait_anew(&mut self, decision: Decision, around: &mut Surroundings<'_>) -> Decision {
        let program = around.program;
        let Verb::Sequence(sequence) = &program.verb else { return decision };
        let (mut waits, mut passed) = (Waits::default(), None);
        for end in 1..=self.live().len() {
            let tip = &self.live()[end - 1];
            if tip.clears || !sequence.is_step(tip) {
                continue;
            }
            let start = self.window_start(end, &program.verb, false);
            let Ok(since) = sequence.completes(&self.live()[start..end]) else { continue };
            let (due, of) = (since + sequence.within, tip.order());
            let came = |other: &Entry| {
                let after = if other.clears { other.order() > of } else { sequence.is_absence(other) };
                after && other.id != tip.id && other.at >= tip.at && other.at <= due
            };
            if self.live().iter().any(came) {
                continue;
            }
            if due > around.readable {
                waits.add(Wait { due, of });
            } else if passed.is_none() && !self.tipped(tip) && !self.covers(due) {
                passed = Some(Wait { due, of });
            }
        }
        self.base.waits = (waits != Waits::default()).then(|| Box::new(waits));
        match passed.and_then(|wait| self.fire_wait(wait, true, around)) {
            Some((_, fired)) => fired,
            None => decision,
        }
    }

    /// The first deadline has passed and nothing came.
    fn wait_is_over(&mut self, around: &mut Surroundings<'_>) -> Option<(RecordId, Decision)> {
        let waits = self.base.waits.as_mut()?;
        let wait = waits.0.remove(0);
        if waits.0.is_empty() {
            self.base.waits = None;
        }
        if self.cooling(wait.due).is_some() {
            return None;
        }
        self.fire_wait(wait, false, around)
    }

    fn fire_wait(
        &mut self,
        wait: Wait,
        late: bool,
        around: &mut Surroundings<'_>,
    ) -> Option<(RecordId, Decision)> {
        let program = around.program;
        let Verb::Sequence(sequence) = &program.verb else { return None };
        let end = self.live().iter().position(|entry| entry.order() == wait.of)? + 1;
        let hits = &self.live()[self.window_start(end, &program.verb, false)..end];
        let window = Window { hits, base: &self.base, shared: around.shared, key: around.key, late };
        let tip = &hits[hits.len() - 1];
        let (by, marks, seen) = (tip.id, tip.marks, sight(tip));
        let from = wait.due - sequence.within - Millis(1);
        let tipped = Tipped {
            id: instant(wait.due, around),
            at: wait.due,
            by,
            marks,
            from,
            covers: from,
            closes: (program.cooldown > Millis::ZERO).then_some(wait.due + program.cooldown),
            sights: sights(&sequence.chosen(hits).unwrap_or_default(), around.program),
            tip: seen,
            of: Arc::default(),
            finding: sequence.describe(&Tally::default(), window),
            late,
        };
        let id = self.raise(tipped, around);
        Some((by, Decision::Fired { id, late }))
    }
}

/// The alert that the passing of `due` raises.
pub(super) fn instant(due: Timestamp, around: &Surroundings<'_>) -> AlertId {
    let rule = &around.program.rule;
    AlertId::at(around.tenant, rule.id(), rule.revision, around.key, due)
}
