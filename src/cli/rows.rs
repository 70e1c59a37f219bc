//! `larum rows`: what the store keeps of what was read, as it was read.
//!
//! A daemon's records are in its store alone; `explain` and other tools read files.

use std::sync::Arc;

use crate::deliver::render;
use crate::store::sqlite::Sqlite;
use crate::store::{Entry, Event, Store};

use super::place::{Place, tenants, wait_for};
use super::{Exit, Failure, show};

/// Bytes of rows that are read from the journal at a time.
const AT_A_TIME: usize = 8 << 20;

/// Arguments of `larum rows`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A row that was read again with other content stands there again, after the first. A source's `fields:` are \
    for who reads the rows: `--fields`."
)]
pub struct Rows {
    #[command(flatten)]
    place: Place,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those of this lane, as `larum status` names it: `SOURCE/ENDPOINT`
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("the store knows no lane `{asked}`; known: {known}")]
struct NoLane {
    asked: String,
    known: String,
}

#[derive(Debug, thiserror::Error)]
#[error("lane `{asked}` is of tenant `{other}` and not of `{tenant}`; `--tenant {other}` prints its rows")]
struct AnothersLane {
    asked: String,
    tenant: String,
    other: Arc<str>,
}

/// Whose lane it is, whatever tenant was asked for.
async fn others(store: &Sqlite, lane: &str) -> Result<Option<Arc<str>>, Failure> {
    for tenant in tenants(store, None).await? {
        if store.lanes(tenant.clone()).await?.iter().any(|known| known.name == lane) {
            return Ok(Some(tenant));
        }
    }
    Ok(None)
}

impl Rows {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let store = self.place.look()?;
        wait_for(async {
            let (mut known, mut of_lanes, mut printed) = (Vec::new(), Vec::new(), 0);
            for tenant in tenants(&store, self.tenant.as_deref()).await? {
                let lanes = store.lanes(tenant.clone()).await?;
                known.extend(lanes.iter().map(|lane| lane.name.clone()));
                let is_asked = |name: &str| self.lane.as_deref().is_none_or(|asked| asked == name);
                let ids: Vec<_> =
                    lanes.iter().filter(|lane| is_asked(&lane.name)).map(|lane| lane.id).collect();
                of_lanes.extend((!ids.is_empty()).then_some((tenant, ids)));
            }
            if let Some(asked) = self.lane.clone().filter(|_| of_lanes.is_empty()) {
                if let Some(other) = others(&store, &asked).await? {
                    let tenant = self.tenant.unwrap_or_default();
                    return Err(AnothersLane { asked, tenant, other }.into());
                }
                return Err(NoLane { asked, known: known.join(", ") }.into());
            }
            let many = of_lanes.len();
            for (tenant, lanes) in of_lanes {
                let mut after =
                    store.span(tenant.clone()).await?.map_or(0, |(first, _)| first.saturating_sub(1));
                loop {
                    let entries = store.journal(tenant.clone(), after, AT_A_TIME).await?;
                    let Some(last) = entries.last() else { break };
                    after = last.seq;
                    for Entry { event, .. } in &entries {
                        let (Event::Read { lane, rows, .. }, _) = event.placed() else { continue };
                        for row in rows.lines().filter(|_| lanes.contains(lane)) {
                            show::line(&render::safe(row))?;
                            printed += 1;
                        }
                    }
                }
            }
            let several = if printed > 0 && many > 1 {
                "; of several tenants: --tenant prints those of one"
            } else {
                ""
            };
            show::note(&format!("{}{several}", show::many(printed, "row")));
            Ok(Exit::Fine)
        })
    }
}
