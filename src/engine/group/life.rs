//! The group's open alert: what is folded into it, and how it ends.

use crate::alert::{Change, Draft, Fired, Sight, State};
use crate::record::{Level, Millis, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Judge as _, Verb};

use super::{Group, Open, Surroundings, sight};

impl Group {
    /// The new alert takes the place of the open one; a late one that is older than the open one
    /// is over as it is told.
    pub(super) fn replace(&mut self, open: Open, fired: Fired, around: &mut Surroundings<'_>) {
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

    /// Folds the last hit into the open alert.
    pub(super) fn fold_in(&mut self, around: &mut Surroundings<'_>) {
        let Some(entry) = self.entries.last() else { return };
        let (sight, (level, line)) = (sight(entry), around.program.level(entry.marks));
        self.fold(sight, level, line, around);
    }

    /// Folds a late hit in, if the open alert was running at its time.
    pub(super) fn fold_late(&mut self, place: usize, around: &mut Surroundings<'_>) {
        let entry = &self.live()[place];
        let (at, sight, (level, line)) = (entry.at, sight(entry), around.program.level(entry.marks));
        if self.open.as_ref().is_some_and(|open| open.at <= at && open.closes.is_some_and(|end| at < end)) {
            self.fold(sight, level, line, around);
        }
    }

    pub(super) fn fold(
        &mut self,
        sight: Sight,
        level: Level,
        line: Option<usize>,
        around: &mut Surroundings<'_>,
    ) {
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
            if level >= Level::High {
                for firing in self.firings.iter_mut().filter(|firing| firing.at == open.at) {
                    firing.grave = firing.grave.or(Some(sight.at));
                }
            }
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
    pub(super) fn check_recovery(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
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

    pub(super) fn end(&mut self, state: State, at: Timestamp, around: &mut Surroundings<'_>) {
        if let Some(mut open) = self.open.take() {
            open.revision += 1;
            around.drafts.push(Draft::Changed(change(&open, state, at, around.program)));
        }
    }
}

pub(super) fn change(open: &Open, state: State, at: Timestamp, program: &Program) -> Change {
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
        held: false,
        released: false,
    }
}

/// Whether alerts of `program` are open for some time: until their cooldown ends, or they recover. What is
/// told to nobody is not.
pub fn stays_open(program: &Program) -> bool {
    let lasts = program.cooldown > Millis::ZERO || program.verb.recovers();
    (lasts || matches!(program.verb, Verb::Absent(_))) && !program.is_silent()
}
