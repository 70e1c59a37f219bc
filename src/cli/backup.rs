//! `larum backup`: a whole, consistent copy of the store, while the daemon runs or not.

use std::path::PathBuf;

use crate::daemon::orders::Order;

use super::place::{Place, told, wait_for};
use super::{Exit, Failure};

/// Arguments of `larum backup`.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// Where to; must not exist
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        // The daemon may stand in another folder.
        let path = std::path::absolute(self.to)?;
        let order = Order::Backup { path };
        wait_for(async { Ok(told(self.place.order(&order).await?)) })
    }
}
