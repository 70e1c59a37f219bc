//! `larum send-test`: a fixed message to one receiver, to see that it arrives.

use crate::daemon::orders::Order;

use super::place::{Place, told, wait_for};
use super::{Exit, Failure};

/// Arguments of `larum send-test`.
#[derive(Debug, clap::Args)]
pub struct SendTest {
    /// The receiver's name
    receiver: String,
    #[command(flatten)]
    place: Place,
}

impl SendTest {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let order = Order::SendTest { receiver: self.receiver };
        wait_for(async { Ok(told(self.place.order(&order).await?)) })
    }
}
