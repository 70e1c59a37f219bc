//! `larum replay` over a daemon's store: as it was seen, or told to other rules.
//!
//! `--as-seen` feeds the journal again, generations and all: what comes out is what the daemon kept,
//! byte for byte. Without it the archive's rows are told to the rules that are given, as if those had
//! been in force all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::alert::{Alert, AlertId};
use crate::daemon::intake::{take_in, tell};
use crate::daemon::life::{Life, Rehearsal};
use crate::daemon::own::TENANT;
use crate::engine::Generation;
use crate::store::sqlite::Sqlite;
use crate::store::{Entry, Store};

use super::place::wait_for;
use super::{Exit, Failure, Output, show};

/// Bytes of rows that are read from the journal at a time.
const AT_A_TIME: usize = 8 << 20;

/// What is replayed of a store, and how it is shown.
#[derive(Debug)]
pub struct Archived<'a> {
    /// The store.
    pub path: &'a Path,
    /// The rules in force; none: those that were.
    pub generation: Option<Arc<Generation>>,
    /// Whether revisions are shown too.
    pub revisions: bool,
    /// How.
    pub output: Output,
}

impl Archived<'_> {
    /// Replays every tenant and prints its alerts.
    pub fn replay(&self) -> Result<Exit, Failure> {
        let store = Sqlite::open_read_only(self.path)?;
        wait_for(async {
            let mut told = Vec::new();
            let mut rows = 0;
            for tenant in store.tenants().await?.into_iter().filter(|tenant| &**tenant != TENANT) {
                if let Some((first, _)) = store.span(tenant.clone()).await?
                    && first > 1
                {
                    show::note(&format!(
                        "warning: the journal of {} begins with entry {first}: what it forgot is not replayed",
                        show::safe(&tenant)
                    ));
                }
                let (alerts, read) = match &self.generation {
                    None => seen(&store, &tenant).await?,
                    Some(generation) => rehearsed(&store, &tenant, generation).await?,
                };
                told.extend(alerts);
                rows += read;
            }
            told.retain(|alert| self.revisions || alert.revision == 1);
            told.sort_by(|a, b| {
                let key = |alert: &Alert| (alert.at, alert.rule.clone(), alert.id, alert.revision);
                key(a).cmp(&key(b))
            });
            let colour = show::colour_on_stdout();
            for alert in &told {
                match self.output {
                    Output::Json => show::json(alert)?,
                    Output::Text => show::line(&show::alert(alert, colour, show::Times::UTC))?,
                }
            }
            let fired = told.iter().filter(|alert| alert.revision == 1).count();
            show::note(&format!("{}, {}", show::many(rows, "row"), show::many(fired, "alert")));
            Ok(Exit::Fine)
        })
    }
}

/// The journal fed again: alerts in the order they were told, and how many rows there were.
async fn seen(store: &Sqlite, tenant: &Arc<str>) -> Result<(Vec<Alert>, usize), Failure> {
    let mut life = Life::new(tenant);
    if store.span(tenant.clone()).await?.is_some_and(|(first, _)| first > 1) {
        store.lanes(tenant.clone()).await?.into_iter().for_each(|lane| life.know(lane));
    }
    let (mut told, mut rows) = (Told::default(), 0);
    loop {
        let entries = store.journal(tenant.clone(), life.seq().unwrap_or(0), AT_A_TIME).await?;
        if entries.is_empty() {
            return Ok((told.alerts, rows));
        }
        for entry in entries {
            rows += rows_of(&entry);
            let outcome = take_in(store, tenant, &mut life, &entry).await?;
            let here = BTreeMap::from([(entry.seq, entry)]);
            let alerts = tell(store, tenant, &life, &here, &outcome, &mut told.known).await?;
            told.add(alerts);
        }
    }
}

/// The archive told to `generation`.
async fn rehearsed(
    store: &Sqlite,
    tenant: &Arc<str>,
    generation: &Arc<Generation>,
) -> Result<(Vec<Alert>, usize), Failure> {
    let lanes = store.lanes(tenant.clone()).await?;
    let mut rehearsal = Rehearsal::new(tenant, generation.clone(), &lanes);
    let (mut told, mut rows) = (Told::default(), 0);
    loop {
        let after = rehearsal.life().seq().unwrap_or(0);
        let entries = store.journal(tenant.clone(), after, AT_A_TIME).await?;
        if entries.is_empty() {
            return Ok((told.alerts, rows));
        }
        for entry in entries {
            rows += rows_of(&entry);
            let Some(outcome) = rehearsal.take(&entry)? else { continue };
            let here = BTreeMap::from([(entry.seq, entry)]);
            let alerts = tell(store, tenant, rehearsal.life(), &here, &outcome, &mut told.known).await?;
            told.add(alerts);
        }
    }
}

/// Alerts that were told.
#[derive(Default)]
struct Told {
    known: BTreeMap<AlertId, Alert>,
    once: BTreeSet<(AlertId, u32)>,
    alerts: Vec<Alert>,
}

impl Told {
    /// What is told a second time is nothing, as in the store.
    fn add(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            if self.once.insert((alert.id, alert.revision)) {
                self.alerts.push(alert);
            }
        }
    }
}

/// Rows that an entry brought.
pub(super) fn rows_of(entry: &Entry) -> usize {
    match entry.event.placed().0 {
        crate::store::Event::Read { rows, .. } => memchr::memchr_iter(b'\n', rows.as_bytes()).count(),
        crate::store::Event::Generation { .. }
        | crate::store::Event::Adopted { .. }
        | crate::store::Event::Known(_)
        | crate::store::Event::Joined(_)
        | crate::store::Event::Left { .. }
        | crate::store::Event::Gone { .. }
        | crate::store::Event::Placed { .. } => 0,
    }
}
