//! Rules that learn from the journal beside those in force, and the moment at which they take part.
//!
//! At the first start nothing is in force until every lane has caught up with its past; later, a rule
//! that is new or means something else learns in the background while the old generation goes on, and
//! so do all rules when a lane that was read apart has caught up. What still holds of the past is told
//! as standing, one digest a rule; nothing else of it is told.

use std::sync::Arc;

use tracing::{info, warn};

use super::{Event, Intake, IntakeError, Wish, revive};
use crate::daemon::life::Rebuild;
use crate::engine::GenerationText;
use crate::record::RuleId;
use crate::rule::lists::ListText;
use crate::store::{Change, Lane, Store};

/// Bytes of rows that a learner reads at a time.
const LESSON_BYTES: usize = 8 << 20;

/// Rules that know the journal up to their last lesson.
#[derive(Debug)]
pub struct Learnt {
    number: u64,
    /// None where the journal could not be read.
    rebuild: Option<Box<Rebuild>>,
    rules: Vec<RuleId>,
}

impl Intake {
    /// Begins what is to be done, or does it, where its time has come.
    pub(super) async fn learn(&mut self) -> Result<(), IntakeError> {
        let apart: Vec<Lane> =
            self.lanes.values().filter(|state| !state.joined).map(|state| state.lane.clone()).collect();
        let settled = self.lanes.values().all(|state| state.settled);
        let first =
            self.life.generation().programs.list.is_empty() && self.life.generation().digest == none();
        // At the first start all lanes are waited for; later a lane joins when it has caught up.
        let ready = self.lanes.values().any(|state| !state.joined && state.settled);
        if self.wish.is_none() && ready && !first {
            let text = self.text_in_force().await?;
            self.wish = Some(Wish { text, learning: None });
        }
        self.show_waiting(first && self.wish.is_some());
        let Some(wish) = &mut self.wish else { return Ok(()) };
        if wish.learning.is_some() || (first && !settled) {
            return Ok(());
        }
        let generation = wish.text.compile().generation;
        let joins = !apart.is_empty() && ready;
        let rules: Vec<RuleId> = if joins {
            generation.programs.list.iter().map(|program| program.rule.id().clone()).collect()
        } else {
            revive::new_rules(&self.life, &generation)
        };
        let number = self.life.seq().unwrap_or(0);
        wish.learning = Some(number);
        let rebuild = Box::new(self.life.rebuild(&wish.text, &rules));
        if rules.is_empty() || self.life.seq().is_none() {
            return Box::pin(self.learnt(Learnt { number, rebuild: Some(rebuild), rules })).await;
        }
        info!(tenant = %self.tenant, rules = rules.len(), "rules learn from the past");
        self.change_rules(|shown| {
            for rule in &rules {
                shown.entry(rule.to_string()).or_default().learning = true;
            }
        });
        let (store, tenant, done) = (self.around.store.clone(), self.tenant.clone(), self.learners.0.clone());
        tokio::spawn(async move {
            let rebuild = lessons(store, tenant, rebuild).await;
            // The intake has ended when nobody listens.
            let _ = done.send(Learnt { number, rebuild, rules }).await;
        });
        Ok(())
    }

    /// Shows which lanes the rules wait for, if they do.
    fn show_waiting(&self, waits: bool) {
        let lanes = self.lanes.values().filter(|state| waits && !state.settled);
        let lanes: Vec<String> = lanes.map(|state| state.lane.name.clone()).collect();
        self.around.board.write(|status| {
            if lanes.is_empty() {
                status.rules_wait_for.remove(&*self.tenant);
            } else {
                status.rules_wait_for.insert(self.tenant.to_string(), lanes);
            }
        });
    }

    /// Puts in force what has learnt, between two readings.
    pub(super) async fn learnt(&mut self, learnt: Learnt) -> Result<(), IntakeError> {
        let current = |wish: &Wish| wish.learning == Some(learnt.number);
        // Something else is wished by now.
        if !self.wish.as_ref().is_some_and(current) {
            return Ok(());
        }
        let Some(rebuild) = learnt.rebuild else {
            warn!(tenant = %self.tenant, "the past could not be learnt from; it is tried again");
            if let Some(wish) = &mut self.wish {
                wish.learning = None;
            }
            return Ok(());
        };
        let Some(wish) = self.wish.take() else { return Ok(()) };
        let kept = (wish.text.clone(), learnt.rules.clone());
        let done = self.survive(|this| Box::pin(this.succeed(wish.text, rebuild, learnt.rules))).await?;
        if !done {
            self.wish = Some(Wish { text: kept.0, learning: None });
        }
        Ok(())
    }

    /// The last lessons, then all at once: the generation, the lanes that join, what the rules know.
    async fn succeed(
        &mut self,
        text: GenerationText,
        mut rebuild: Box<Rebuild>,
        rules: Vec<RuleId>,
    ) -> Result<(), IntakeError> {
        if !rules.is_empty() && self.life.seq().is_some() {
            take_lessons(&*self.around.store, &self.tenant, &mut rebuild).await?;
        }
        let mut events = Vec::new();
        let mut changes = Vec::new();
        let digest = text.digest();
        if self.life.generation().digest != digest {
            changes.push(Change::Text { digest: digest.clone(), text: text.json() });
            let list =
                |list: &ListText| Change::Text { digest: list.digest.clone(), text: list.text.to_string() };
            changes.extend(text.lists.iter().map(list));
            events.push(Event::Generation { digest: digest.clone() });
        }
        let joining: Vec<Lane> = self
            .lanes
            .values()
            .filter(|state| !state.joined && state.settled)
            .map(|state| state.lane.clone())
            .collect();
        events.extend(joining.iter().cloned().map(Event::Joined));
        if let (Some(from), false) = (rebuild.first(), rules.is_empty()) {
            let next = self.life.seq().unwrap_or(0) + 1;
            for (event, seq) in events.iter().zip(next..) {
                rebuild.take(&crate::store::Entry {
                    seq,
                    at: self.around.clock.now(),
                    event: event.clone(),
                })?;
            }
            events.push(Event::Adopted { rules, from });
        }
        self.generation = Some(text.compile().generation);
        self.rebuild = Some(*rebuild);
        self.record(events, changes).await?;
        for lane in joining {
            if let Some(state) = self.lanes.get_mut(&lane.id) {
                state.joined = true;
            }
        }
        info!(tenant = %self.tenant, generation = digest, "in force");
        self.show_rules();
        // What began to learn here is settled; the state is worth a checkpoint.
        self.checkpoint().await
    }

    async fn text_in_force(&self) -> Result<GenerationText, IntakeError> {
        revive::text(&*self.around.store, &self.life.generation().digest.clone()).await
    }
}

/// Digest of the generation that holds no rules.
fn none() -> String {
    GenerationText::default().digest()
}

/// Every entry that there is; none where the journal cannot be read.
async fn lessons(store: Arc<dyn Store>, tenant: Arc<str>, mut rebuild: Box<Rebuild>) -> Option<Box<Rebuild>> {
    match take_lessons(&*store, &tenant, &mut rebuild).await {
        Ok(()) => Some(rebuild),
        Err(error) => {
            warn!(%tenant, %error, "the journal cannot be learnt from");
            None
        }
    }
}

async fn take_lessons(
    store: &dyn Store,
    tenant: &Arc<str>,
    rebuild: &mut Rebuild,
) -> Result<(), IntakeError> {
    loop {
        let entries = store.journal(tenant.clone(), rebuild.last().unwrap_or(0), LESSON_BYTES).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            rebuild.take(entry)?;
        }
        tokio::task::yield_now().await;
    }
}
