//! `larum run`: the daemon, in the foreground, until it is told to end.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::daemon::run::{Daemon, Settings};

use super::log::Log;
use super::place::CONFIGURATION;
use super::{Exit, Failure};

/// Arguments of `larum run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
    config: PathBuf,
    /// How to log, on stderr; `LARUM_LOG` says how much (info, debug, …)
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.log.begin();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut stop, reload) = (stopping()?, reloading()?);
            let settings = Settings { reload, ..Settings::new(self.config) };
            // A start that is left half-way leaves what a crash at that point would.
            let daemon = tokio::select! {
                started = Daemon::start(settings) => started?,
                _ = stop.wait_for(|stop| *stop) => return Ok(Exit::Fine),
            };
            daemon.run(stop).await?;
            Ok(Exit::Fine)
        })
    }
}

/// Comes true at SIGTERM and SIGINT.
pub fn stopping() -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        // The daemon has ended already when nobody listens.
        let _ = sender.send(true);
    });
    Ok(receiver)
}

/// Rings at SIGHUP, from now on: one that comes before the daemon is ready waits until it is.
fn reloading() -> Result<Arc<Notify>, Failure> {
    let (bell, mut hangups) = (Arc::<Notify>::default(), signal(SignalKind::hangup())?);
    let rung = bell.clone();
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            rung.notify_one();
        }
    });
    Ok(bell)
}
