//! Which receivers hear of an alert, when, and how often: functions of state and time.
//!
//! ```text
//! alert -> silence -> route -> limit -> (the edge renders and sends) -> retry
//! ```
//!
//! Nothing here sends, waits or reads a clock; the edge asks and carries out. Every decision names
//! its reason, so that `explain` can tell why somebody was told or was not.

pub mod delivery;
pub mod digest;
pub mod limit;
pub mod order;
pub mod pattern;
pub mod plan;
pub mod retry;
pub mod silence;
pub mod tree;

pub use delivery::{
    Attempt, Body, Delivery, DeliveryId, Digest, DigestLine, Group, ReceiverName, Silence, SilenceId,
    Standing, Terms, Why,
};
pub use limit::{AtMost, Limits};
pub use pattern::Pattern;
pub use tree::{Escalate, Match, Route, Routes, Together};

/// Alerts for the tests of routes and of the dispatcher.
#[cfg(test)]
pub(crate) mod sample {
    use serde_json::{Map, json};

    use crate::alert::{Alert, AlertId, Bounds, Evidence, Revision, State};
    use crate::record::{Level, Timestamp};

    /// A medium alert of `failure-burst` whose group is `user=ana<number>`.
    pub(crate) fn alert(number: u32) -> Alert {
        let at = Timestamp(1_000_000_000_000 + i64::from(number));
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        Alert {
            id: AlertId(id),
            revision: 1,
            state: State::Open,
            rule: "failure-burst".parse().unwrap(),
            rule_revision: Revision([1; 8]),
            tenant: "default".into(),
            level: Level::Medium,
            title: format!("ana{number}: 5 failed sign-ins"),
            at,
            group: Map::from_iter([("user".to_owned(), json!(format!("ana{number}")))]),
            count: 5,
            repeats: 0,
            first_seen: at,
            last_seen: at,
            window: Bounds { from: at, to: at },
            threshold: Map::new(),
            actual: Map::new(),
            values: Map::new(),
            show: Map::new(),
            attack: Vec::new(),
            tags: Vec::new(),
            late: false,
            standing: false,
            observe: false,
            held_by: Vec::new(),
            released: false,
            notify: Vec::new(),
            why_level: "rule".to_owned(),
            runbook: None,
            evidence: Evidence::default(),
            generation: "g".to_owned(),
            versions: std::collections::BTreeMap::new(),
            text_fault: None,
            scope: Map::new(),
        }
    }
}
