//! soon
use super::{Exit, Failure};
/// Arguments
#[derive(Debug, clap::Args)]
pub struct Replay {}
impl Replay {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        Ok(Exit::Fine)
    }
}
