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
pub mod pattern;
pub mod plan;
pub mod retry;
pub mod silence;
pub mod tree;

pub use delivery::{
    Attempt, Body, Delivery, DeliveryId, Digest, DigestLine, ReceiverName, Silence, SilenceId, Standing,
};
pub use limit::{AtMost, Limits};
pub use pattern::Pattern;
pub use tree::{Match, Route, Routes};
