//! `quiet_while`: alerts that are held back while another rule's alert is open, and the moment at which
//! they are let go.
//!
//! Holding decides nothing about firing: an alert that is held fires, is updated and closes as any
//! other, and says that it is held. When no named rule has an open alert any more, every alert that
//! was held is told of once more as released; who is open still is sent by itself, and all of them
//! are named in one digest. High and critical alerts are never held.

use serde::{Deserialize, Serialize};

use super::key::GroupKey as Key;
use super::program::ProgramState;
use crate::alert::{AlertId, Change, Draft, State};
use crate::record::{Level, RuleId, Timestamp};
use crate::rule::compile::Program;

/// Alerts that a rule holds back; past this one more is sent, and left to the limits of its receivers.
pub const MAX_HELD: usize = 10_000;

/// What a rule holds back, and whether its own alerts are open, for those that ask.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Quiet {
    /// In the order in which they fired.
    held: Vec<Held>,
    /// Alerts of the rule that are open.
    open: u64,
    /// From when on some alert was open, or none; the last is how it is.
    log: Vec<(Timestamp, bool)>,
    /// The rules that hold back what fires now.
    #[serde(skip)]
    pub by: Vec<RuleId>,
    /// Up to where it has judged in this run.
    #[serde(skip)]
    pub reached: Option<Timestamp>,
}

/// An alert that is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    id: AlertId,
    key: Key,
    /// How it was when it closed; none while it is open.
    over: Option<Change>,
}

impl Quiet {
    /// Whether one of the rule's alerts was open at `at`.
    pub fn was_open(&self, at: Timestamp) -> bool {
        self.log.iter().rev().find(|(since, _)| *since <= at).is_some_and(|(_, open)| *open)
    }

    /// When that changed after `after` for the first time.
    pub fn changes_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.log.iter().map(|(at, _)| *at).find(|at| *at > after)
    }

    /// Forgets what nobody asks about who has judged up to `until`.
    pub fn forget(&mut self, until: Timestamp) {
        let old = self.log.partition_point(|(at, _)| *at <= until);
        self.log.drain(..old.saturating_sub(1));
    }

    /// Whether an alert is held.
    pub fn holds(&self, id: AlertId) -> bool {
        self.held.iter().any(|held| held.id == id)
    }

    /// Whether anything is held.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Keeps of what is held those for which `stays` says so.
    pub fn retain(&mut self, stays: impl Fn(AlertId) -> bool) {
        self.held.retain(|held| stays(held.id));
    }

    /// Takes note of what its rule has just told, at `now`: what fires may be held.
    pub fn hear(&mut self, drafts: &mut [Draft], key: Option<&Key>, stays_open: bool, now: Timestamp) {
        for draft in drafts {
            match draft {
                Draft::Fired(fired) => {
                    self.open += u64::from(stays_open);
                    let (Some(key), false) = (key, self.by.is_empty()) else { continue };
                    if fired.level < Level::High && self.held.len() < MAX_HELD {
                        fired.held_by.clone_from(&self.by);
                        let over = (!stays_open).then(|| Change::of(fired));
                        self.held.push(Held { id: fired.id, key: key.clone(), over });
                    }
                }
                Draft::Changed(change) => self.hear_change(change),
            }
        }
        let open = self.open > 0;
        if open != self.log.last().is_some_and(|(_, open)| *open) {
            let at = self.log.last().map_or(now, |(last, _)| now.max(*last));
            self.log.push((at, open));
        }
    }

    fn hear_change(&mut self, change: &mut Change) {
        let over = match change.state {
            State::Closed | State::Resolved => true,
            State::Open | State::Updated | State::Acknowledged => false,
        };
        self.open -= u64::from(over && self.open > 0);
        let Some(place) = self.held.iter().position(|held| held.id == change.id) else { return };
        if change.level >= Level::High {
            // Too grave to be held any longer.
            self.held.remove(place);
            return;
        }
        change.held = true;
        if over && let Some(held) = self.held.get_mut(place) {
            held.over = Some(change.clone());
        }
    }

    /// Counts anew how many alerts are open, at `now`.
    pub fn recount(&mut self, open: u64, now: Timestamp) {
        self.open = open;
        self.hear(&mut [], None, false, now);
    }
}

impl ProgramState {
    /// Lets go of what is held: each is told of once more, at `at`.
    pub fn release(&mut self, at: Timestamp, program: &Program, drafts: &mut Vec<Draft>) {
        for Held { id, key, over } in std::mem::take(&mut self.quiet.held) {
            let released = |change: Change| Change { at, held: false, released: true, ..change };
            let change = match over {
                Some(over) => {
                    let (revision, state) = (over.revision + 1, State::Closed);
                    Some(Change { revision, state, ..over })
                }
                None => self.group_mut(&key).and_then(|group| group.told_again(id, program)),
            };
            drafts.extend(change.map(|change| Draft::Changed(released(change))));
        }
    }
}
