//! Larum watches the audit records of Huawei Cloud Workspace and rings when something is wrong.
//!
//! ```text
//! source -> record -> rule -> alert -> route -> deliver        core: record rule alert route engine
//! ```
//!
//! The core is deterministic: the same records give the same alerts, byte for byte, whatever the
//! batch size, the number of threads, the wall clock or the restarts between. It holds no clock,
//! file, socket, randomness or log. It says what happened; the edges act on it.
//!
//! - [`record`] holds what happened: rows of JSON, read once into slots.
//! - [`rule`] holds what to look for: rule files, decoded and compiled.
//! - [`alert`] holds what was found.
//! - [`engine`] is the core's front door: scan, advance, snapshot, restore.
//! - [`route`] holds who hears of it, when and how often.
//! - [`config`] is the daemon's one file; [`source`] brings rows; [`deliver`] sends messages;
//!   [`store`] keeps what outlives the process; [`daemon`] runs it all.
//! - `sign` signs requests to the vendor, for sources and receivers alike.
//! - [`simulate`] is the vendor's service for tests and the demo; [`cli`] is the commands.

pub mod alert;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod deliver;
pub mod engine;
pub mod record;
pub mod route;
pub mod rule;
mod sign;
pub mod simulate;
pub mod source;
pub mod store;
