//! Who was told of an alert that fired, and who was not, and why: read in the daemon's store.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::daemon::clock::Clock;
use crate::record::{RuleId, Timestamp};
use crate::store::sqlite::Sqlite;
use crate::store::{AlertQuery, DeliveryQuery, KeptAlert, Store as _};

use super::super::place::wait_for;
use super::super::{Failure, deliveries, show};

/// Alerts of one rule that fired at or after one time, looked through for the one that is meant.
const MOST: usize = 10_000;

/// What became of one message.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    receiver: String,
    /// One of the closed list.
    reason: &'static str,
    /// In words.
    detail: String,
}

impl Told {
    /// On one line.
    pub(super) fn line(&self) -> String {
        format!("{}  {}  {}", self.receiver, self.reason, show::safe(&self.detail))
    }
}

/// What became of the messages of the alert that `rule` raised for `group` at `at`; none where the
/// store has no such alert.
pub(super) fn told(
    store: &Path,
    rule: &RuleId,
    group: &Map<String, Json>,
    at: Timestamp,
) -> Result<Option<Vec<Told>>, Failure> {
    let store = Sqlite::open_read_only(store)?;
    wait_for(async {
        let query =
            AlertQuery { rule: Some(rule.clone()), since: Some(at), most: MOST, ..AlertQuery::default() };
        let alerts = store.alerts(query).await?;
        let meant = |kept: &&KeptAlert| kept.fired.at == at && same(&kept.fired.group, group);
        let Some(alert) = alerts.iter().find(meant) else { return Ok(None) };
        let query = DeliveryQuery { alert: Some(alert.fired.id), most: MOST, ..DeliveryQuery::default() };
        let told = store.deliveries(query).await?;
        let told = told.iter().map(|delivery| Told {
            receiver: delivery.receiver.to_string(),
            reason: delivery.why().word(),
            detail: deliveries::in_words(delivery, Clock::wall().now(), show::Times::UTC),
        });
        Ok(Some(told.collect()))
    })
}

/// Whether two groups have the same values, as text.
fn same(one: &Map<String, Json>, other: &Map<String, Json>) -> bool {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    one.len() == other.len()
        && one.iter().all(|(name, value)| other.get(name).is_some_and(|known| text(known) == text(value)))
}
