//! When a group fires: in event order, and again where a late hit changes what was judged.

use crate::alert::{AlertId, Finding, Fired, Sight};
use crate::record::{Millis, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Entry, Reach, Reason, Tally, Verb, Verdict, Window};

use super::{Decision, Firing, Group, Open, Surroundings, sight};

impl Group {
    /// The end of the cooldown that holds the group back at `at`.
    pub(super) fn cooling(&self, at: Timestamp) -> Option<Timestamp> {
        let running = |firing: &&Firing| firing.at <= at && at < firing.until;
        self.firings.iter().rev().find(running).map(|firing| firing.until)
    }

    pub(super) fn judge_last(&mut self, around: &mut Surroundings<'_>) -> Decision {
        let verb = &around.program.verb;
        let empty = Tally::default();
        let hits = &self.entries[self.head + self.low..];
        let window = Window { hits, base: &self.base, shared: around.shared, late: false };
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
    pub(super) fn judge_late(&mut self, place: usize, around: &mut Surroundings<'_>) -> Decision {
        let (verb, restart) = (&around.program.verb, around.program.restart);
        let at = self.live()[place].at;
        for end in place + 1..=self.live().len() {
            let last = &self.live()[end - 1];
            let reached = match verb.reach() {
                Reach::Time(within) => last.at < at + within,
                Reach::Last(most, within) => last.at < at + within && end - place <= most,
                Reach::Records(keep) => end - place <= keep,
                Reach::Pair(within) => last.at < at + within && end - place <= 2,
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
            let hits = &self.live()[start..end];
            let window = Window { hits, base: &self.base, shared: around.shared, late: true };
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
    pub(super) fn covered(&self, entry: &Entry) -> bool {
        let covers = |firing: &Firing| {
            let told = entry.at < firing.until || entry.at <= firing.at;
            firing.tip == entry.id || (firing.from < entry.at && told)
        };
        self.firings.iter().any(covers)
    }

    /// Raises the alert that the window `start..end` makes.
    pub(super) fn fire(
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
            Reach::Time(_) | Reach::Last(..) | Reach::Records(_) | Reach::Pair(_) => sights(hits),
        };
        let of = match program.verb {
            Verb::Each => hits[hits.len() - 1].values.clone(),
            Verb::Count(_)
            | Verb::Distinct(_)
            | Verb::FirstSeen(_)
            | Verb::Measure(_)
            | Verb::Risk(_)
            | Verb::Script(_)
            | Verb::Travel(_) => std::sync::Arc::default(),
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
            held_by: Vec::new(),
            of,
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

    /// Exclusive beginning of the window that `start` begins and `at` ends.
    pub(super) fn told_from(&self, start: usize, at: Timestamp, program: &Program) -> Timestamp {
        let first = self.live()[start].at - Millis(1);
        match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) => {
                // What cleared or restarted the group cut the window short.
                let cut = start > 0 && self.live()[start - 1].at > at - within;
                if cut { first } else { at - within }
            }
            Reach::Records(_) | Reach::Pair(_) => first,
            Reach::Folded | Reach::Alone => at - Millis(1),
        }
    }
}

/// From where on an alert tells of its group's hits already. Verbs that judge single records
/// tell of the one record.
fn covers_from(from: Timestamp, at: Timestamp, program: &Program) -> Timestamp {
    match program.verb.reach() {
        Reach::Time(_) | Reach::Last(..) => from,
        Reach::Records(_) | Reach::Pair(_) | Reach::Folded | Reach::Alone => {
            at - Millis(i64::from(program.cooldown > Millis::ZERO))
        }
    }
}

/// The first and the last records of a window.
fn sights(hits: &[Entry]) -> Vec<Sight> {
    if hits.len() <= Fired::MAX_SIGHTS {
        return hits.iter().map(sight).collect();
    }
    let half = Fired::MAX_SIGHTS / 2;
    hits[..half].iter().chain(&hits[hits.len() - half..]).map(sight).collect()
}
