//! `larum send-test`: a fixed message to one receiver, to see that it arrives. A daemon that runs
//! sends it; where none runs, this process does, by the configuration.

use crate::config::Secrets;
use crate::daemon::build::{self, BuildError};
use crate::daemon::clock::Clock;
use crate::daemon::orders::{Order, Reply, no_receiver};
use crate::daemon::run::try_out;

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
        let order = Order::SendTest { receiver: self.receiver.clone() };
        wait_for(async {
            let reply = match self.place.ask(&order).await? {
                Some(reply) => reply,
                None => self.send().await?,
            };
            Ok(told(reply))
        })
    }

    /// Sends it from here.
    async fn send(&self) -> Result<Reply, Failure> {
        let Some(config) = self.place.configuration() else { return Err(self.place.not_running()?) };
        let (parts, problems) = build::read(&config, &Secrets::default())?;
        let Some(parts) = parts else { return Err(BuildError::Faults(problems.render(false)).into()) };
        let Some(found) = parts.receivers.iter().find(|built| built.name.as_str() == self.receiver) else {
            let known: Vec<&str> = parts.receivers.iter().map(|built| built.name.as_str()).collect();
            let why = no_receiver(&self.receiver, &known);
            return Ok(Reply::Refused(why));
        };
        let reply = try_out(&found.name, &*found.receiver, parts.config.zone, Clock::wall().now()).await;
        Ok(match reply {
            // A file of this user's may be one that the daemon cannot write to.
            Reply::Done(words) => Reply::Done(format!(
                "{words}; no daemon runs: this command sent it, and a file that it made for that is yours"
            )),
            Reply::Refused(_) | Reply::Status(_) => reply,
        })
    }
}
