//! A tenant's state from the store: the checkpoint, and the journal's tail judged again. Nothing is
//! told of it: what came of those entries was kept together with them.

use std::sync::Arc;

use tracing::warn;

use super::IntakeError;
use crate::daemon::life::{Halt, Life, Outcome, Rebuild};
use crate::engine::{Generation, GenerationText};
use crate::record::RuleId;
use crate::rule::SEMANTICS;
use crate::store::{Entry, Event, Lane, Store, StoreError};

/// Bytes of rows that are read from the journal at a time.
const TAIL_BYTES: usize = 8 << 20;

/// What was found.
pub(super) struct Revived {
    pub life: Life,
    /// Every lane, and whether rules have heard of it.
    pub lanes: Vec<(Lane, bool)>,
    /// Entries after the checkpoint.
    pub tail: usize,
}

/// The state after the last entry of the journal.
pub(super) async fn revive(store: &dyn Store, tenant: &Arc<str>) -> Result<Revived, IntakeError> {
    let mut life = restored(store, tenant).await?.unwrap_or_else(|| Life::new(tenant));
    let known = store.lanes(tenant.clone()).await?;
    // A whole journal tells of each lane when its time comes.
    let forgotten = store.span(tenant.clone()).await?.is_some_and(|(first, _)| first > 1);
    if life.seq().is_none() && forgotten {
        known.iter().cloned().for_each(|lane| life.know(lane));
    }
    let mut tail = 0;
    loop {
        let after = life.seq().unwrap_or(0);
        let entries = store.journal(tenant.clone(), after, TAIL_BYTES).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            take_in(store, tenant, &mut life, entry).await?;
            tail += 1;
        }
    }
    let lanes = known.into_iter().map(|lane| (lane.clone(), life.has_joined(lane.id))).collect();
    Ok(Revived { life, lanes, tail })
}

/// The same, to look at: nothing is written.
pub async fn revived(store: &dyn Store, tenant: &Arc<str>) -> Result<Life, IntakeError> {
    Ok(revive(store, tenant).await?.life)
}

/// The life at the checkpoint, where there is one that can be read.
async fn restored(store: &dyn Store, tenant: &Arc<str>) -> Result<Option<Life>, IntakeError> {
    let Some(checkpoint) = store.checkpoint(tenant.clone()).await? else { return Ok(None) };
    let generation = generation(store, &checkpoint.generation).await?;
    match Life::restore(tenant, &generation, checkpoint) {
        Ok(life) => Ok(Some(life)),
        Err(error) => {
            warn!(%tenant, %error, "the checkpoint is of another version; the journal is judged from its beginning");
            Ok(None)
        }
    }
}

/// The generation whose text has this digest.
pub(super) async fn generation(store: &dyn Store, digest: &str) -> Result<Arc<Generation>, IntakeError> {
    Ok(text(store, digest).await?.compile().generation)
}

/// The text that has this digest; of no rules where nothing was in force yet.
pub async fn text(store: &dyn Store, digest: &str) -> Result<GenerationText, IntakeError> {
    // Nobody kept the text of no rules, whichever version of Larum had none.
    let none = |semantics| GenerationText { semantics, ..GenerationText::default() };
    if let Some(none) = (1..=SEMANTICS).rev().map(none).find(|none| digest == none.digest()) {
        return Ok(none);
    }
    let damaged = |fault: &str| StoreError::Corrupt(format!("generation {digest}: {fault}"));
    let text = store.text(digest.to_owned()).await?.ok_or_else(|| damaged("its text is missing"))?;
    let mut text = GenerationText::from_json(&text).map_err(|error| damaged(&error.to_string()))?;
    for list in text.lacks() {
        let held = store.text(list.clone()).await?.ok_or_else(|| damaged("a list of it is missing"))?;
        text.give(&list, &held.into());
    }
    Ok(text)
}

/// Judges one entry of the journal, with what it needs of earlier ones.
pub async fn take_in(
    store: &dyn Store,
    tenant: &Arc<str>,
    life: &mut Life,
    entry: &Entry,
) -> Result<Outcome, IntakeError> {
    if let Event::Generation { digest } = &entry.event {
        life.offer(generation(store, digest).await?);
    }
    match life.apply(entry) {
        Ok(outcome) => Ok(outcome),
        Err(Halt::Rebuild { rules, from, last }) => {
            let text = text(store, &life.generation().digest.clone()).await?;
            life.bring(learn(store, tenant, life.rebuild(&text, &rules), from, last).await?);
            Ok(life.apply(entry)?)
        }
        Err(halt) => Err(halt.into()),
    }
}

/// Lets rules learn from entries `from` to `last`.
async fn learn(
    store: &dyn Store,
    tenant: &Arc<str>,
    mut rebuild: Rebuild,
    from: u64,
    last: u64,
) -> Result<Rebuild, IntakeError> {
    let mut after = from.saturating_sub(1);
    while after < last {
        let entries = store.journal(tenant.clone(), after, TAIL_BYTES).await?;
        let Some(end) = entries.last().map(|entry| entry.seq) else { break };
        for entry in entries.iter().filter(|entry| entry.seq <= last) {
            rebuild.take(entry)?;
        }
        after = end;
    }
    Ok(rebuild)
}

/// Rules that do not mean what a rule of `life` means.
pub(super) fn new_rules(life: &Life, generation: &Generation) -> Vec<RuleId> {
    let old = life.generation();
    let list = &generation.programs.list;
    list.iter()
        .filter(|program| old.same(program).is_none())
        .map(|program| program.rule.id().clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;

    #[tokio::test]
    async fn a_store_in_which_nothing_was_in_force_yet_is_read_by_later_versions() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("larum.db")).unwrap();
        for semantics in 1..=SEMANTICS {
            let none = GenerationText { semantics, ..GenerationText::default() };
            assert_eq!(text(&store, &none.digest()).await.unwrap(), none);
        }
        let other = GenerationText { semantics: SEMANTICS + 1, ..GenerationText::default() };
        assert!(text(&store, &other.digest()).await.is_err());
    }
}
