//! What is measured, in the form that Prometheus reads.
//!
//! Most of a page is made when it is asked for, from the status and the store; what only passes by
//! (tries, lengths of time) is counted here as it happens. Labels are names of the configuration,
//! never a word of a record: a hostile name must not make a time series.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::status::{Asked, LaneStatus, RuleStatus, Status};
use crate::config::DEFAULT_TENANT;
use crate::record::{Millis, Timestamp};
use crate::route::{Attempt, ReceiverName};
use crate::store::{DeliveryQuery, Store, StoreError};

type Labels = Vec<(&'static str, String)>;
type Lengths = Family<Labels, Histogram, fn() -> Histogram>;

/// What is counted as it happens. Clones count together.
#[derive(Debug, Clone)]
pub struct Meters {
    attempts: Family<Labels, Counter>,
    deliveries: Lengths,
    end_to_end: Lengths,
    commits: Histogram,
    heartbeat: Gauge<f64, AtomicU64>,
    /// One is configured.
    beats: Arc<AtomicBool>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            deliveries: Family::new_with_constructor(|| lengths(0.01)),
            end_to_end: Family::new_with_constructor(|| lengths(0.5)),
            commits: lengths(0.001),
            heartbeat: Gauge::default(),
            beats: Arc::default(),
        }
    }
}

/// Twelve buckets, each twice the one before.
fn lengths(first: f64) -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(first, 2.0, 12))
}

fn seconds(length: Millis) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lengths and times fit a double's 53 bits")]
    let millis = length.0 as f64;
    millis / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a double; what is beyond 53 bits is rounded")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Meters {
    /// A try at a delivery came to an end.
    pub fn tried(&self, receiver: &ReceiverName, attempt: &Attempt, took: Millis) {
        let outcome = match attempt {
            Attempt::Delivered => "delivered",
            Attempt::TryAgain { .. } => "try_again",
            Attempt::Malformed { .. } => "malformed",
            Attempt::Unwelcome { .. } => "unwelcome",
            Attempt::Refused { .. } => "refused",
            Attempt::Unknown { .. } => "unknown",
        };
        let receiver = receiver.to_string();
        self.attempts
            .get_or_create(&vec![("receiver", receiver.clone()), ("outcome", outcome.to_owned())])
            .inc();
        self.deliveries.get_or_create(&vec![("receiver", receiver)]).observe(seconds(took).max(0.0));
    }

    /// A delivery was taken, so long after it was owed.
    pub fn delivered(&self, receiver: &ReceiverName, after: Millis) {
        let labels = vec![("receiver", receiver.to_string())];
        self.end_to_end.get_or_create(&labels).observe(seconds(after).max(0.0));
    }

    /// A commit of readings took so long.
    pub fn committed(&self, took: Millis) {
        self.commits.observe(seconds(took).max(0.0));
    }

    /// Whether there is a heartbeat: without one, it has no time.
    pub fn has_heartbeat(&self, has: bool) {
        self.beats.store(has, Ordering::Relaxed);
    }

    /// The heartbeat was heard.
    pub fn beat(&self, at: Timestamp) {
        self.heartbeat.set(seconds(at - Timestamp(0)));
    }

    /// Everything, as `OpenMetrics` text.
    pub async fn page(
        &self,
        status: &Status,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<String, StoreError> {
        let mut page = Page(Registry::with_prefix("larum"));
        page.0.register("build", "The running version", Info::new(vec![("version", status.version.clone())]));
        page.sources(status, now);
        page.receivers(status);
        page.rules(status);
        page.store(status, store, now).await?;
        let registry = &mut page.0;
        registry.register("delivery_attempts", "Tries at deliveries", self.attempts.clone());
        registry.register(
            "delivery_duration_seconds",
            "How long receivers took to answer",
            self.deliveries.clone(),
        );
        registry.register(
            "delivery_end_to_end_seconds",
            "From when a message was owed until it was taken",
            self.end_to_end.clone(),
        );
        registry.register(
            "store_commit_duration_seconds",
            "How long commits of readings took",
            self.commits.clone(),
        );
        if self.beats.load(Ordering::Relaxed) {
            registry.register(
                "heartbeat_last_success_timestamp_seconds",
                "When the heartbeat was heard last; 0: never",
                self.heartbeat.clone(),
            );
        }
        let mut text = String::new();
        encode(&mut text, registry).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(text)
    }
}

/// A page that is being made.
struct Page(Registry);

impl Page {
    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn sources(&mut self, status: &Status, now: Timestamp) {
        let lanes = |value: fn(&LaneStatus) -> f64| {
            status.lanes.iter().map(move |(name, lane)| (source(name), value(lane)))
        };
        let rows = status.lanes.iter().map(|(name, lane)| (source(name), lane.rows));
        self.counters("records", "Rows taken in since the start, new or changed", rows);
        let lag = |lane: &LaneStatus| lane.complete_to.map(|to| seconds(now - to));
        let lags = status.lanes.iter().filter_map(|(name, lane)| Some((source(name), lag(lane)?)));
        self.gauges("source_lag_seconds", "How far behind now a source is complete", lags);
        let read = |lane: &LaneStatus| lane.read_at.map(|at| seconds(at - Timestamp(0)));
        let reads = status.lanes.iter().filter_map(|(name, lane)| Some((source(name), read(lane)?)));
        self.gauges("source_last_success_timestamp_seconds", "When a source was last read", reads);
        let flag = |yes: bool| f64::from(u8::from(yes));
        let failing =
            status.lanes.iter().map(|(name, lane)| (source(name), flag(lane.failing_since.is_some())));
        self.gauges("source_failing", "1 while a source cannot be read", failing);
        let stalled = status.lanes.iter().map(|(name, lane)| (source(name), flag(lane.stalled)));
        self.gauges("source_stalled", "1 while rules do not wait for a source", stalled);
        self.gauges("source_rows_ahead", "Rows dated ahead of now", lanes(|lane| number(lane.ahead)));
    }

    fn receivers(&mut self, status: &Status) {
        let paused = status.receivers.iter().map(|(name, receiver)| {
            (vec![("receiver", name.clone())], f64::from(u8::from(receiver.paused.is_some())))
        });
        self.gauges("receiver_paused", "1 while a receiver refuses everything", paused);
        let failing = status.receivers.iter().map(|(name, receiver)| {
            let fails = receiver.failure.is_some() || receiver.asked.as_ref().is_some_and(Asked::is_long);
            (vec![("receiver", name.clone())], f64::from(u8::from(fails)))
        });
        self.gauges("receiver_failing", "1 while the tries at a receiver fail, one after another, or it asked to be sent nothing for long", failing);
        let asked = status.receivers.iter().map(|(name, receiver)| {
            (vec![("receiver", name.clone())], f64::from(u8::from(receiver.asked.is_some())))
        });
        self.gauges("receiver_asked", "1 while a receiver is sent nothing because it asked for that", asked);
    }

    fn rules(&mut self, status: &Status) {
        let rules: Vec<(Labels, &RuleStatus)> = status
            .rules_by_tenant
            .iter()
            .flat_map(|(tenant, rules)| rules.iter().map(|(id, counts)| (rule(tenant, id), counts)))
            .collect();
        let each = |value: fn(&RuleStatus) -> u64| {
            rules.iter().map(move |(labels, counts)| (labels.clone(), value(counts)))
        };
        self.counters("rule_matches", "Records that matched and had a group", each(|rule| rule.hits));
        self.counters("alerts", "Alerts raised by rules, without Larum's own", each(|rule| rule.alerts));
        let groups = each(|rule| rule.groups).map(|(labels, count)| (labels, number(count)));
        self.gauges("rule_groups", "Groups that a rule holds", groups);
        self.gauge("rules_off", "Rule files that do not load", number(status.rules_off.len() as u64));
        let fine = f64::from(u8::from(status.reload_refused.is_none()));
        self.gauge("config_last_reload_successful", "0 where the last reload was refused", fine);
        let missed = Counter::<u64>::default();
        missed.inc_by(status.events_missed);
        self.0.register(
            "events_missed",
            "Events of Larum's own that nobody heard, because too many came at once",
            missed,
        );
    }

    async fn store(&mut self, status: &Status, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let holdings = store.holdings().await?;
        let mut rows = Vec::new();
        for (receiver, states) in &holdings.deliveries {
            for (state, count) in states {
                let labels = vec![("receiver", receiver.clone()), ("state", state.clone())];
                rows.push((labels, number(*count)));
            }
        }
        self.gauges("outbox_rows", "Deliveries by state", rows);
        let mut ages = Vec::new();
        for name in status.receivers.keys() {
            let Ok(receiver) = name.parse::<ReceiverName>() else { continue };
            let states = vec!["waiting".to_owned(), "sending".to_owned()];
            let query =
                DeliveryQuery { receiver: Some(receiver), states, most: 1, ..DeliveryQuery::default() };
            let oldest = store.deliveries(query).await?.pop();
            let age = oldest.map_or(0.0, |delivery| seconds(now - delivery.created).max(0.0));
            ages.push((vec![("receiver", name.clone())], age));
        }
        self.gauges("outbox_oldest_age_seconds", "Age of the oldest delivery that is owed", ages);
        self.gauge("store_size_bytes", "Bytes on disk", number(holdings.bytes));
        self.gauge("store_journal_entries", "Entries of the journal", number(holdings.entries));
        self.gauge("store_alerts", "Alerts kept", number(holdings.alerts));
        self.gauge("store_quarantined_rows", "Rows in quarantine", number(holdings.quarantined));
        let mut quarantined = Vec::new();
        for tenant in store.tenants().await? {
            for (name, count) in store.counters(tenant.clone()).await? {
                let labels = vec![("tenant", tenant.to_string()), ("counter", name)];
                quarantined.push((labels, count));
            }
        }
        self.counters("kept", "Counters that outlive the process", quarantined);
        Ok(())
    }
}

fn source(name: &str) -> Labels {
    vec![("source", name.to_owned())]
}

/// The tenant that has its name from nobody has no label: to Prometheus, an empty one is none.
fn rule(tenant: &str, id: &str) -> Labels {
    let tenant = (tenant != DEFAULT_TENANT).then(|| ("tenant", tenant.to_owned()));
    [("rule", id.to_owned())].into_iter().chain(tenant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::status::ReceiverStatus;
    use crate::store::model::Model;

    #[tokio::test]
    async fn a_heartbeat_that_nobody_asked_for_has_no_time() {
        let page = async |meters: &Meters| {
            let rules = [("burst".to_owned(), RuleStatus::default())].into();
            let status =
                Status { rules_by_tenant: [("default".to_owned(), rules)].into(), ..Status::default() };
            meters.page(&status, &Model::default(), Timestamp(0)).await.unwrap()
        };
        let meters = Meters::default();
        assert!(!page(&meters).await.contains("heartbeat"));
        meters.has_heartbeat(true);
        meters.beat(Timestamp(7_000));
        assert!(page(&meters).await.contains("larum_heartbeat_last_success_timestamp_seconds 7.0\n"));
        assert!(
            page(&meters)
                .await
                .contains("# HELP larum_alerts Alerts raised by rules, without Larum's own.\n")
        );
    }

    #[tokio::test]
    async fn a_receiver_that_asked_for_long_fails_to_who_watches_the_measures() {
        let asked = |minutes: i64| {
            let (at, until) = (Timestamp(0), Timestamp(0) + Millis::mins(minutes));
            Some(Asked { at: Some(at), until: Some(until), reason: "429".to_owned() })
        };
        for (asked, shown) in [(None, [0, 0]), (asked(1), [0, 1]), (asked(20), [1, 1])] {
            let receivers =
                [("hook".to_owned(), ReceiverStatus { asked, ..ReceiverStatus::default() })].into();
            let status = Status { receivers, ..Status::default() };
            let page = Meters::default().page(&status, &Model::default(), Timestamp(0)).await.unwrap();
            for (name, value) in ["failing", "asked"].into_iter().zip(shown) {
                let line = format!("larum_receiver_{name}{{receiver=\"hook\"}} {value}.0");
                assert!(page.lines().any(|other| other == line), "{line}: {page}");
            }
        }
    }
}
