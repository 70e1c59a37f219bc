//! Where rows come from. A source gives blocks of lines or pages of rows and a place to resume
//! from; what the rows mean is `record`'s to say.

pub mod file;
mod follow;
mod gzip;
pub mod huawei;
pub mod kept;
pub mod live;
pub mod now;
pub mod sort;
pub mod spool;

#[cfg(test)]
mod tests_real;

use crate::config::{Options, Secrets};
use crate::rule::keys::MapDoc;
use crate::rule::problem::Problems;

pub use file::{Block, Blocks, Input, ReadError};
pub use live::{Faulty, LaneSpec, Lateness, LiveSource, Preparing, Reading, Step, Stepping, Trouble};
pub use now::NowGuard;

/// Builds a source from its name and what the configuration says of it.
pub type Build = fn(&str, &Options<'_>, &Secrets, &mut Problems) -> Option<Box<dyn LiveSource>>;

/// A kind of source that the daemon reads.
#[derive(Debug)]
pub struct Kind {
    /// The word after `kind:`.
    pub name: &'static str,
    /// Its keys, besides those that every source has.
    pub keys: &'static MapDoc,
    /// A source of this kind as a configuration spells it; a test builds it.
    pub example: &'static str,
    /// Builds one called by the given name; every fault is noted at its place.
    pub build: Build,
}

/// Every kind of source.
pub const KINDS: &[Kind] = &[follow::KIND, huawei::KIND];
