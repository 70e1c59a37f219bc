//! soon
use super::{Exit, Failure};
/// Arguments
#[derive(Debug, clap::Args)]
pub struct Demo {}
impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        Ok(Exit::Fine)
    }
}
