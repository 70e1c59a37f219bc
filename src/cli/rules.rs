//! `larum rules`: which rules are loaded, and what each has done and holds.
//!
//! Of a running daemon it tells what the daemon shows; of a stopped one it judges the journal's tail
//! as a start would, and writes nothing. What each costs is measured here: see `cost`.

mod cost;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::daemon::intake;
use crate::daemon::orders::{Order, Reply};
use crate::daemon::status::RuleStatus;
use crate::store::sqlite::Sqlite;

use cost::Costs;

use super::place::{Place, tenants, wait_for};
use super::{Exit, Failure, Output, show};

/// Arguments of `larum rules`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "hits: of a rule that learnt from the archive, as one does that is new or whose meaning changed, those \
    that it learnt too. alerts: those that it told since, none of the past."
)]
pub struct Rules {
    #[command(flatten)]
    place: Place,
    /// Only what they did for this tenant; else for all together
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What there is to tell.
#[derive(Debug, Default)]
struct Told {
    rules: BTreeMap<String, RuleStatus>,
    /// Files that do not load, with the first fault.
    off: BTreeMap<String, String>,
    running: bool,
    costs: Costs,
}

impl Rules {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let told = wait_for(async {
            match self.place.ask(&Order::Status).await? {
                Some(Reply::Status(status)) => {
                    let rules = status.rules_of(self.tenant.as_deref())?.clone();
                    let costs = costs(&self.place, self.tenant.as_deref()).await?;
                    Ok(Told { rules, off: status.rules_off, running: true, costs })
                }
                Some(Reply::Done(words) | Reply::Refused(words)) => Err(words.into()),
                None => stopped(&self.place, self.tenant.as_deref()).await,
            }
        })?;
        let cost = |rule: &str| told.costs.nanos.get(rule).copied();
        match self.output {
            Output::Json => {
                for (rule, status) in &told.rules {
                    show::json(&line(rule, status, cost(rule)))?;
                }
            }
            Output::Text => {
                for text in table(&told.rules, cost) {
                    show::line(&text)?;
                }
            }
        }
        for (file, fault) in &told.off {
            show::note(&show::safe(&format!("{file} does not load: {fault}")));
        }
        let whose = if told.running { "as the daemon shows them" } else { "no daemon runs; from the store" };
        show::note(&format!("{}, {whose}", show::many(told.rules.len(), "rule")));
        if told.costs.rows > 0 {
            let rows = show::many(told.costs.rows, "row");
            show::note(&format!(
                "ns/row: what each rule alone adds to reading a row, here and now, over the archive's last {rows}"
            ));
        }
        Ok(if told.off.is_empty() { Exit::Fine } else { Exit::Findings })
    }
}

/// The rules in force at the end of the journal, of all tenants together or of the one that is asked for.
async fn stopped(place: &Place, asked: Option<&str>) -> Result<Told, Failure> {
    let store = place.look()?;
    let mut told = Told::default();
    for tenant in tenants(&store, asked).await? {
        let life = intake::revived(&store, &tenant).await?;
        let engine = life.engine();
        for (rule, counters) in engine.counters() {
            let groups = engine.groups(rule) as u64;
            let (hits, alerts) = (counters.hits, counters.alerts);
            let shown = RuleStatus { hits, alerts, groups, ..RuleStatus::default() };
            told.rules.entry(rule.to_string()).or_default().add(&shown);
        }
        for (rule, bytes) in engine.bytes() {
            told.rules.entry(rule.to_string()).or_default().bytes += bytes;
        }
        measure(&mut told.costs, &store, &tenant).await;
    }
    Ok(told)
}

/// What the rules cost, of all tenants or of the one that is asked for.
async fn costs(place: &Place, asked: Option<&str>) -> Result<Costs, Failure> {
    let store = place.look()?;
    let mut costs = Costs::default();
    for tenant in tenants(&store, asked).await? {
        measure(&mut costs, &store, &tenant).await;
    }
    Ok(costs)
}

/// What cannot be measured is told, and the rest shown all the same.
async fn measure(costs: &mut Costs, store: &Sqlite, tenant: &Arc<str>) {
    if let Err(error) = costs.add(store, tenant).await {
        show::note(&show::safe(&format!(
            "warning: what the rules of {tenant} cost is not measured: {error}"
        )));
    }
}

fn line(rule: &str, status: &RuleStatus, nanos: Option<u64>) -> Json {
    json!({
        "rule": rule, "hits": status.hits, "alerts": status.alerts, "groups": status.groups,
        "bytes": status.bytes, "nanoseconds_a_row": nanos, "learning": status.learning,
    })
}

/// Columns, numbers to the right.
fn table(rules: &BTreeMap<String, RuleStatus>, cost: impl Fn(&str) -> Option<u64>) -> Vec<String> {
    let width = rules.keys().map(String::len).max().unwrap_or(0).max(4);
    let mut lines = vec![format!(
        "{:width$}  {:>12}  {:>9}  {:>9}  {:>13}  {:>9}",
        "rule", "hits", "alerts", "groups", "bytes", "ns/row"
    )];
    for (rule, status) in rules {
        let learning = if status.learning { "  learning" } else { "" };
        lines.push(format!(
            "{rule:width$}  {:>12}  {:>9}  {:>9}  {:>13}  {:>9}{learning}",
            show::thousands(status.hits),
            show::thousands(status.alerts),
            show::thousands(status.groups),
            show::thousands(status.bytes),
            cost(rule).map_or("-".to_owned(), show::thousands)
        ));
    }
    lines
}
