//! The daemon: sources polled, rules judged, alerts owed and sent, through crashes.

pub mod clock;
pub mod control;
pub mod orders;
pub mod own;
pub mod parts;
pub mod poll;
pub mod status;
pub mod watch;
