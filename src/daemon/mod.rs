//! The daemon: sources polled, rules judged, alerts owed and sent, through crashes.

pub mod clock;
pub mod dispatch;
pub mod fences;
pub mod step;
pub mod tokens;
