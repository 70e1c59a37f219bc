//! Judging entries and keeping all that comes of them: one commit.

use std::collections::BTreeMap;

use super::tell;
use super::{Intake, IntakeError, Kind, Millis, Step, Timestamp, debug, info, own, warn};
use crate::alert::{Alert, AlertId};
use crate::config::Bytes;
use crate::daemon::life::Outcome;
use crate::daemon::status::{RuleStatus, Rules};
use crate::engine::Note;
use crate::store::{Change, Entry, Event, Quarantined};

/// Bytes of rows after which a checkpoint pays: judging them again takes a second or so.
const CHECKPOINT_BYTES: usize = 8 << 20;
/// Entries after which a checkpoint pays.
const CHECKPOINT_ENTRIES: usize = 512;
/// How often the journal is looked through for what is old.
const FORGET_EVERY: Millis = Millis::mins(60);

impl Intake {
    /// Judges `events` as the journal's next entries and keeps them, what came of them and `changes`.
    pub(super) async fn record(
        &mut self,
        events: Vec<Event>,
        changes: Vec<Change>,
    ) -> Result<(), IntakeError> {
        let now = self.around.clock.now();
        let mut all = Vec::new();
        let mut said = Vec::new();
        let mut known: BTreeMap<AlertId, Alert> = BTreeMap::new();
        // Entries that no store has yet; alerts of later ones may show their rows.
        let mut here: BTreeMap<u64, Entry> = BTreeMap::new();
        let (mut bytes, count, mut owed) = (0, events.len(), false);
        for event in events {
            let entry = Entry { seq: self.life.seq().unwrap_or(0) + 1, at: now, event };
            if let Event::Read { rows, .. } = entry.event.placed().0 {
                bytes += rows.len();
            }
            self.hand_over(&entry.event);
            let mut outcome = self.life.apply(&entry)?;
            self.say_where(&mut outcome.quarantined);
            here.insert(entry.seq, entry);
            let told =
                tell(&*self.around.store, &self.tenant, &self.life, &here, &outcome, &mut known).await?;
            owed |= !told.is_empty();
            all.extend(self.owed(told, now));
            let quarantined = outcome.quarantined.len() as u64;
            if quarantined > 0 {
                all.push(Change::Count { name: "rows.quarantined".to_owned(), by: quarantined });
                said.extend(self.quarantine_event(&outcome));
            }
            all.extend(outcome.quarantined.into_iter().map(Change::Quarantined));
            said.extend(outcome.notes.iter().map(said_of));
        }
        let changes = here.into_values().map(Change::Journal).chain(all).chain(changes).collect();
        self.around.steps.pass(Step::BeforeCommit)?;
        let began = self.around.clock.now();
        self.around.store.commit(self.fence.clone(), changes).await?;
        self.around.meters.committed(self.around.clock.now() - began);
        self.around.steps.pass(Step::AfterCommit)?;
        if owed {
            self.around.wake.notify_one();
        }
        for event in said {
            self.around.own.say(event);
        }
        self.since = (self.since.0 + bytes, self.since.1 + count);
        if self.since.0 >= CHECKPOINT_BYTES || self.since.1 >= CHECKPOINT_ENTRIES {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Gives the life what an entry puts in force.
    fn hand_over(&mut self, event: &Event) {
        match event {
            Event::Generation { .. } => {
                if let Some(generation) = self.generation.take() {
                    self.life.offer(generation);
                }
            }
            Event::Adopted { .. } => {
                if let Some(rebuild) = self.rebuild.take() {
                    self.life.bring(rebuild);
                }
            }
            Event::Known(_)
            | Event::Joined(_)
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Read { .. }
            | Event::Placed { .. } => {}
        }
    }

    /// Alerts to keep, and messages that are owed for them.
    fn owed(&self, told: Vec<Alert>, now: Timestamp) -> Vec<Change> {
        let routing = self.around.routing.borrow().clone();
        let (mut changes, mut standing, mut owed) = (Vec::new(), Vec::new(), Vec::new());
        let mut released = Vec::new();
        for alert in told {
            debug!(alert = %alert.id, rule = %alert.rule, state = alert.state.as_str(), "told");
            if !alert.held_by.is_empty() {
                debug!(alert = %alert.id, "held back while another rule's alert is open");
            } else if alert.released {
                released.push(alert.clone());
            } else if alert.standing && alert.revision == 1 {
                standing.push(alert.clone());
            } else {
                owed.extend(routing.owed(&alert, now));
            }
            if alert.revision == 1 {
                // Not at info: a flood of alerts would hide what the daemon says of itself. The store has them all.
                debug!(alert = %alert.id, rule = %alert.rule, level = %alert.level, standing = alert.standing, "fired");
            }
            changes.push(Change::Alert(Box::new(alert)));
        }
        changes.extend(owed);
        changes.extend(routing.owed_standing(&standing, now));
        changes.extend(routing.owed_released(&released, now));
        changes
    }

    /// Adds to the reasons of rows that make no record where they stand, if the source knows.
    pub(super) fn say_where(&mut self, rows: &mut [Quarantined]) {
        for row in rows {
            let place = self.faulty.get_mut(&row.excerpt).and_then(std::collections::VecDeque::pop_front);
            if let Some(place) = place {
                row.reason = format!("{} ({place})", row.reason);
            }
        }
    }

    fn quarantine_event(&self, outcome: &Outcome) -> Option<own::Event> {
        let first = outcome.quarantined.first()?;
        let lane = self.lanes.get(&first.lane).map_or_else(String::new, |state| state.lane.name.clone());
        let count = outcome.quarantined.len();
        warn!(lane, count, reason = first.reason, excerpt = first.excerpt, "rows make no record");
        self.around.board.write(|status| {
            if let Some(shown) = status.lanes.get_mut(&lane) {
                shown.quarantined += count as u64;
            }
        });
        let (rows, make) = if count == 1 { ("row", "makes") } else { ("rows", "make") };
        let text = format!(
            "{count} {rows} of {lane} {make} no record, the first because {}; `larum quarantine` shows them",
            first.reason
        );
        Some(own::Event { kind: Kind::Quarantine, subject: lane, text: Some(text) })
    }

    /// Writes what changed of the state down, so that a restart need not judge everything again.
    pub(super) async fn checkpoint(&mut self) -> Result<(), IntakeError> {
        if self.since == (0, 0) {
            return Ok(());
        }
        self.around.steps.pass(Step::BeforeCheckpoint)?;
        match self.life.checkpoint() {
            Ok(Some(checkpoint)) => {
                let (seq, whole, bytes) = (checkpoint.seq, checkpoint.whole, checkpoint.bytes());
                debug!(tenant = %self.tenant, seq, whole, bytes, "checkpoint");
                let mut changes = vec![Change::Checkpoint(checkpoint)];
                changes.extend(self.forget().await?);
                self.around.store.commit(self.fence.clone(), changes).await?;
            }
            Ok(None) => {}
            // The journal is there: a restart takes longer, and nothing is lost.
            Err(error) => warn!(tenant = %self.tenant, %error, "no checkpoint can be written"),
        }
        self.since = (0, 0);
        self.show_rules();
        self.show_bytes();
        self.around.steps.pass(Step::AfterCheckpoint)?;
        Ok(())
    }

    /// What is older than is kept.
    async fn forget(&mut self) -> Result<Option<Change>, IntakeError> {
        let now = self.around.clock.now();
        let other = self.around.keep.has_changed().unwrap_or_default();
        if !other && self.forgotten.is_some_and(|last| now < last + FORGET_EVERY) {
            return Ok(None);
        }
        self.forgotten = Some(now);
        let keep = *self.around.keep.borrow_and_update();
        let before = now - keep.lasts;
        let Some((mut low, mut high)) = self.around.store.span(self.tenant.clone()).await? else {
            return Ok(None);
        };
        let (first, last) = (low, high);
        // Entries are in the order of their times, but for a clock that was set back.
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.around.store.entries(self.tenant.clone(), vec![middle]).await?;
            if entry.first().is_some_and(|entry| entry.at < before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let by_size = match keep.at_most {
            Some(Bytes(most)) => beyond((first, last), self.around.store.holdings().await?.bytes, most),
            None => first,
        };
        if by_size > low {
            info!(tenant = %self.tenant, entries = by_size - first, "the archive is over its size: its oldest entries go");
        }
        let low = low.max(by_size);
        Ok((low > first).then(|| Change::Forget { seq: low - 1, before }))
    }

    /// Shows how much rules hold. It takes a look at every group that lies ready.
    fn show_bytes(&self) {
        let engine = self.life.engine();
        let bytes: Vec<_> = engine.bytes().map(|(rule, bytes)| (rule.to_string(), bytes)).collect();
        self.change_rules(|rules| {
            for (rule, bytes) in bytes {
                rules.entry(rule).or_default().bytes = bytes;
            }
        });
    }

    /// Shows what rules did.
    pub(super) fn show_rules(&self) {
        let engine = self.life.engine();
        self.change_rules(|rules| {
            let mut before = std::mem::take(rules);
            for (rule, counters) in engine.counters() {
                let rule_id = rule.to_string();
                let bytes = before.remove(&rule_id).map_or(0, |shown| shown.bytes);
                let (hits, alerts) = (counters.hits, counters.alerts);
                let groups = engine.groups(rule) as u64;
                rules.insert(rule_id, RuleStatus { hits, alerts, groups, bytes, learning: false });
            }
        });
    }

    /// Shows something else of the tenant's rules; of one that is no longer configured nothing is shown.
    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        self.around.board.write(|status| status.rules_by_tenant.get_mut(&*self.tenant).map(change));
    }
}

fn said_of(note: &Note) -> own::Event {
    let (kind, rule, text) = match note {
        Note::GroupsFull { rule, at, limit } => (
            Kind::BoundHit,
            rule,
            format!(
                "rule {rule} reached its bound of {limit} groups at {at}; the quietest groups are let go"
            ),
        ),
        Note::ScriptFault { rule, at, fault } => (
            Kind::ScriptFault,
            rule,
            format!("the script of rule {rule} broke on the record of {at}: {fault}"),
        ),
        Note::MemoryFull { rule, what, at, limit } => (
            Kind::BoundHit,
            rule,
            format!(
                "rule {rule} remembers {what} for {limit} groups, its bound, at {at}; the quietest are forgotten"
            ),
        ),
        Note::StandingLeftOut { rule, at, left_out } => (
            Kind::BoundHit,
            rule,
            format!("rule {rule} held for {left_out} more groups at {at} than are told"),
        ),
    };
    own::Event { kind, subject: rule.to_string(), text: Some(text) }
}

/// The first entry to keep so that a store of `bytes` comes to hold `most`: as large a share of its
/// entries goes as it is too large, and a tenth more, so that it is not looked at again at once.
fn beyond((first, last): (u64, u64), bytes: u64, most: u64) -> u64 {
    if bytes <= most {
        return first;
    }
    let entries = u128::from(last - first + 1);
    let over = u128::from(bytes - most) * entries / u128::from(bytes.max(1));
    let go = (over + over / 10).max(1).min(entries - 1);
    first + u64::try_from(go).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_too_large_loses_its_oldest_entries_and_never_all() {
        for (bytes, most, first) in
            [(100, 100, 1), (0, 0, 1), (200, 100, 56), (101, 100, 2), (u64::MAX, 1, 100), (100, 0, 100)]
        {
            assert_eq!(beyond((1, 100), bytes, most), first, "{bytes} of {most}");
        }
        assert_eq!(beyond((7, 7), 10, 1), 7, "the last one stays");
    }
}
