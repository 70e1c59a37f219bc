//! `larum run`: the daemon, in the foreground, until it is told to end.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

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
            let stop = stopping()?;
            let daemon = Daemon::start(Settings::new(self.config)).await?;
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
