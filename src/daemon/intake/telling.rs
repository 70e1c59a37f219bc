//! Alerts as they fired, and as they are after each change, with the rows that the journal keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::{Alert, AlertId};
use crate::daemon::life::{self, Life, Outcome};
use crate::store::{AlertQuery, Entry, Store, StoreError};

/// Drafts whose evidence is fetched together.
const TOLD_AT_A_TIME: usize = 512;

/// What `outcome` tells. `here` holds entries that the store does not have yet. `known` holds alerts as
/// they stand, where they are at hand; the others are asked of the store, and all that is told is
/// put there.
pub async fn tell(
    store: &dyn Store,
    tenant: &Arc<str>,
    life: &Life,
    here: &BTreeMap<u64, Entry>,
    outcome: &Outcome,
    known: &mut BTreeMap<AlertId, Alert>,
) -> Result<Vec<Alert>, StoreError> {
    let mut told = Vec::new();
    for part in outcome.parts(TOLD_AT_A_TIME) {
        let (ours, theirs): (Vec<u64>, Vec<u64>) =
            life::wanted(&part).into_iter().partition(|seq| here.contains_key(seq));
        let found = store.entries(tenant.clone(), theirs).await?;
        let mut entries: BTreeMap<u64, Entry> = found.into_iter().map(|entry| (entry.seq, entry)).collect();
        entries.extend(ours.into_iter().filter_map(|seq| Some((seq, here.get(&seq)?.clone()))));
        for id in life::changed(&part) {
            if !known.contains_key(&id) {
                let query = AlertQuery { id: Some(id.to_string()), most: 1, ..AlertQuery::default() };
                known.extend(store.alerts(query).await?.into_iter().map(|kept| (id, kept.now)));
            }
        }
        let alerts = life.tell(&part, &entries, known);
        known.extend(alerts.iter().map(|alert| (alert.id, alert.clone())));
        told.extend(alerts);
    }
    Ok(told)
}
