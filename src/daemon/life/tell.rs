//! Drafts to alerts, with the rows that the journal keeps.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Alert, AlertId, Draft, Sight};
use crate::engine::tell;
use crate::record::Locator;
use crate::record::geography::Geography;
use crate::store::{Entry, Event};

use super::{Life, OFFSET_BITS, Outcome, line_at, line_number, offset};

/// Numbers of the entries whose rows the alerts of `outcome` show, in order. Its own may be among them.
pub fn wanted(outcome: &Outcome) -> Vec<u64> {
    let fired = outcome.drafts.iter().filter_map(|draft| match draft {
        Draft::Fired(fired) => Some(&fired.sights),
        Draft::Changed(_) => None,
    });
    let seqs: BTreeSet<u64> = fired.flatten().map(|sight| sight.locator.0 >> OFFSET_BITS).collect();
    seqs.into_iter().collect()
}

/// Alerts of earlier entries that `outcome` changes, in order: what they are now must be given.
pub fn changed(outcome: &Outcome) -> Vec<AlertId> {
    let (mut fired, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for draft in &outcome.drafts {
        match draft {
            Draft::Fired(draft) => {
                fired.insert(draft.id);
            }
            Draft::Changed(change) if !fired.contains(&change.id) => {
                changed.insert(change.id);
            }
            Draft::Changed(_) => {}
        }
    }
    changed.into_iter().collect()
}

impl Life {
    /// What `outcome` tells, in order: alerts as they fired, and as they are after each change.
    ///
    /// `entries` holds those that are [`wanted`], by number; of one that is kept no more the rows are
    /// not shown. `alerts` holds those that are [`changed`], as they stand; changes of one that is
    /// not there are left out. To be asked before the next generation.
    pub fn tell(
        &self,
        outcome: &Outcome,
        entries: &BTreeMap<u64, Entry>,
        alerts: &BTreeMap<AlertId, Alert>,
    ) -> Vec<Alert> {
        let mut now: BTreeMap<AlertId, Alert> = BTreeMap::new();
        let mut told = Vec::with_capacity(outcome.drafts.len());
        for draft in &outcome.drafts {
            let alert = match draft {
                Draft::Fired(fired) => {
                    let rows: Vec<_> = fired.sights.iter().map(|sight| self.row(sight, entries)).collect();
                    Some(tell::alert(&outcome.generation, fired, &rows))
                }
                Draft::Changed(change) => {
                    let before = now.get(&change.id).or_else(|| alerts.get(&change.id));
                    before.map(|before| tell::changed(before, change))
                }
            };
            if let Some(alert) = alert {
                now.insert(alert.id, alert.clone());
                told.push(alert);
            }
        }
        told
    }

    /// The record that stands at `sight`, in the vocabulary.
    fn row(&self, sight: &Sight, entries: &BTreeMap<u64, Entry>) -> Option<tell::Told> {
        let entry = entries.get(&(sight.locator.0 >> OFFSET_BITS))?;
        let (event, places) = entry.event.placed();
        let Event::Read { lane, rows, twins, .. } = event else { return None };
        let at = offset(sight.locator, Locator(entry.seq << OFFSET_BITS));
        let number = line_number(rows.get(..at)?);
        let twin = twins.iter().find(|(line, _)| *line == number).map_or(0, |(_, twin)| *twin);
        let places = places.map(|places| places as &dyn Geography);
        self.lanes.get(lane)?.describer.describe_twin(line_at(rows, at), (twin, places), sight.phase)
    }
}
