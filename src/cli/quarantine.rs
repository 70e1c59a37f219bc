//! `larum quarantine`: rows that make no record, with the reason and how each begins.

use crate::engine::SourceId;
use crate::store::{Quarantined, Store};

use super::place::{Place, wait_for};
use super::{Exit, Failure, Output, show};

/// Arguments of `larum quarantine`.
#[derive(Debug, clap::Args)]
pub struct Quarantine {
    #[command(flatten)]
    place: Place,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// At most so many of a tenant, newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    most: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Quarantine {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        wait_for(async {
            let mut shown = 0;
            for tenant in store.tenants().await? {
                if self.tenant.as_deref().is_some_and(|asked| *asked != *tenant) {
                    continue;
                }
                let lanes = store.lanes(tenant.clone()).await?;
                let name = |id: SourceId| {
                    lanes.iter().find(|lane| lane.id == id).map_or_else(String::new, |lane| lane.name.clone())
                };
                let rows = store.quarantine(tenant, self.most).await?;
                shown += rows.len();
                for row in &rows {
                    match self.output {
                        Output::Json => show::json(&json(row, &name(row.lane)))?,
                        Output::Text => show::line(&in_words(row, &name(row.lane), times))?,
                    }
                }
            }
            if shown == 0 {
                show::note("no rows were set aside");
            }
            Ok(Exit::Fine)
        })
    }
}

fn json(row: &Quarantined, source: &str) -> serde_json::Value {
    serde_json::json!({
        "at": row.at.to_string(),
        "source": source,
        "reason": row.reason,
        "row": row.excerpt,
    })
}

/// A row on two lines, for people.
fn in_words(row: &Quarantined, source: &str, times: show::Times) -> String {
    let Quarantined { at, reason, excerpt, .. } = row;
    let at = times.at(*at);
    format!("{at}  {}  {}\n    {}", show::safe(source), show::safe(reason), show::safe(excerpt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;

    #[test]
    fn a_row_is_shown_with_its_source_its_reason_and_as_plain_text() {
        let row = Quarantined {
            lane: SourceId(0),
            at: Timestamp(0),
            reason: "it has no time".to_owned(),
            excerpt: "{\"a\":\"\u{1b}[31m\"}".to_owned(),
        };
        let meant = "1970-01-01T00:00:00.000Z  gw/in/*.ndjson  it has no time\n    {\"a\":\"\\u{1b}[31m\"}";
        assert_eq!(in_words(&row, "gw/in/*.ndjson", show::Times::UTC), meant);
    }
}
