//! The daemon: sources polled, rules judged, alerts owed and sent, through crashes.

pub mod admin;
pub mod alive;
pub mod build;
pub mod clock;
pub mod control;
pub mod dispatch;
pub mod fences;
pub mod heartbeat;
pub mod intake;
pub mod life;
pub mod metrics;
pub mod orders;
pub mod own;
pub mod parts;
pub mod poll;
pub mod routing;
pub mod run;
pub mod shown;
pub mod status;
pub mod step;
pub mod tokens;
pub mod watch;
