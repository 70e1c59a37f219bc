//! When two sessions of a group have been open at once for long enough: `overlap`.
//!
//! A session is judged at its deadline, when all that the rule reads is complete up to it: that it is
//! still open then is known, because what is open has been read again since.

use std::sync::Arc;

use crate::alert::Fired;
use crate::record::{Millis, RecordId, Timestamp};
use crate::rule::verb::overlap::{Begun, Overlap, Together};
use crate::rule::verb::{Entry, MAX_RECORDS, Reason, Verb};

use super::deadline::instant;
use super::firing::Tipped;
use super::{Decision, Group, Surroundings, sight};

impl Group {
    /// The next session in event order, or the end of one.
    pub(super) fn session(&mut self, entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let Verb::Overlap(overlap) = &around.program.verb else { return Decision::Late };
        let sessions = self.base.sessions.get_or_insert_default();
        sessions.forget(entry.at.min(around.readable) - around.program.late_within);
        if entry.clears {
            sessions.end(&entry);
            return Decision::Cleared;
        }
        self.hits += 1;
        self.last = Some(entry.at);
        around.aside.extend(self.is_grave(entry.at).then(|| entry.order()));
        let sessions = self.base.sessions.get_or_insert_default();
        around.counters.records_dropped += sessions.make_room();
        let number = sessions.begin(entry);
        match sessions.wait(number, overlap) {
            Begun::Waits(until) => Decision::Short(Reason::Waiting { until }),
            Begun::Alone(open) => Decision::Short(Reason::NoneBeside(open)),
        }
    }

    /// The same, late. What it was together with since is told now, where no alert tells of that
    /// instant; an end only parts what is still to be judged.
    pub(super) fn session_late(&mut self, entry: Entry, around: &mut Surroundings<'_>) -> Decision {
        let Verb::Overlap(overlap) = &around.program.verb else { return Decision::Late };
        let sessions = self.base.sessions.get_or_insert_default();
        if entry.clears {
            sessions.end(&entry);
            return Decision::Cleared;
        }
        self.hits += 1;
        self.last = self.last.max(Some(entry.at));
        around.aside.extend(self.is_grave(entry.at).then(|| entry.order()));
        let sessions = self.base.sessions.get_or_insert_default();
        around.counters.records_dropped += sessions.make_room();
        let number = sessions.begin(entry);
        let passed = sessions.begin_late(number, around.readable, overlap);
        let mut told = None;
        for (due, together) in passed {
            if self.firings.iter().any(|firing| firing.at == due) {
                continue;
            }
            if self.cooling(due).is_some() {
                self.join(due, &together, around);
            } else if told.is_none() {
                told = Some(self.raise_together(overlap, (due, &together), true, around));
            }
        }
        told.map_or(Decision::Late, |id| Decision::Fired { id, late: true })
    }

    /// The deadline of a session has passed: which record began it, and what became of it.
    pub(super) fn were_together(
        &mut self,
        overlap: &Overlap,
        due: Timestamp,
        around: &mut Surroundings<'_>,
    ) -> Option<(RecordId, Decision)> {
        let (together, judged) = self.base.sessions.as_mut()?.judge(due, overlap);
        let Some(together) = together else { return Some((judged?, Decision::Short(Reason::Parted))) };
        let id = together.second.id;
        if let Some(until) = self.cooling(due) {
            self.join(due, &together, around);
            return Some((id, Decision::Cooldown { until }));
        }
        let fired = self.raise_together(overlap, (due, &together), false, around);
        Some((id, Decision::Fired { id: fired, late: false }))
    }

    /// Folds two sessions into the open alert, if it was running at their deadline.
    fn join(&mut self, due: Timestamp, together: &Together, around: &mut Surroundings<'_>) {
        let second = &together.second;
        let (level, line) = around.program.level(second.marks);
        if self.open.as_ref().is_some_and(|open| open.at <= due && open.closes.is_some_and(|end| due < end)) {
            self.fold(sight(second), level, line, around);
        }
    }

    fn raise_together(
        &mut self,
        overlap: &Overlap,
        (due, together): (Timestamp, &Together),
        late: bool,
        around: &mut Surroundings<'_>,
    ) -> crate::alert::AlertId {
        let program = around.program;
        let oldest = due - program.late_within - program.cooldown;
        self.firings.retain(|firing| firing.until.max(firing.at) > oldest);
        if self.firings.len() >= MAX_RECORDS {
            self.firings.remove(0);
        }
        let Together { first, second, more, .. } = together;
        let more = more.iter().take(Fired::MAX_SIGHTS - 2);
        let tipped = Tipped {
            id: instant(due, around),
            at: due,
            by: second.id,
            marks: second.marks,
            from: second.at - Millis(1),
            covers: due,
            closes: (program.cooldown > Millis::ZERO).then_some(due + program.cooldown),
            sights: [first, second].into_iter().chain(more).map(sight).collect(),
            tip: sight(second),
            of: Arc::default(),
            finding: overlap.tells(together),
            late,
        };
        self.raise(tipped, around)
    }
}
