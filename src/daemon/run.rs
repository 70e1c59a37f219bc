//! The daemon itself: starts everything, stands between its parts, and ends in good order.
//!
//! Readings flow from sources to intakes to the store; deliveries from the store to receivers. Here is
//! what is around: orders, reloads, Larum's own alerts, the status, the service manager.

mod desk;
mod given_up;
mod gone;
mod parting;
mod reload;
mod start;

#[cfg(test)]
mod tests;

pub use desk::try_out;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info};

use super::admin::{Admin, NoDoor};
use super::build::BuildError;
use super::clock::Clock;
use super::control::{Control, NoSocket};
use super::dispatch::{self, Dispatch, Ended};
use super::fences::Fences;
use super::heartbeat::Heartbeat;
use super::intake::{Command, IntakeError};
use super::metrics::Meters;
use super::own::{self, Own};
use super::poll::Work;
use super::routing::Routing;
use super::status::Board;
use super::step::Steps;
use super::watch::Watch;
use crate::alert::Alert;
use crate::config::geo::Geo;
use crate::config::{Config, Keep, Secrets};
use crate::deliver::Receiver;
use crate::engine::{GenerationText, SourceId};
use crate::record::{Millis, Timestamp};
use crate::route::ReceiverName;
use crate::source::LiveSource;
use crate::store::{Store, StoreError};

/// How long a source may fail before rules that read another one no longer wait for it.
pub const STALL_AFTER: Millis = Millis::mins(15);
/// Readings that wait for an intake; each is bounded by its source.
const READINGS: usize = 4;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration.
    pub config: PathBuf,
    /// Where secrets are read from, besides the configuration's folder.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// Where a test stops it.
    pub steps: Steps,
    /// Whether files are watched for changes.
    pub watch: bool,
    /// Rung where the configuration is to be read again although no file that is watched has changed.
    pub reload: Arc<Notify>,
    /// See [`STALL_AFTER`].
    pub stall_after: Millis,
}

impl Settings {
    /// A daemon of this configuration, on the machine's clock.
    pub fn new(config: PathBuf) -> Self {
        Self {
            config,
            secrets: Secrets::default(),
            clock: Clock::wall(),
            steps: Steps::none(),
            watch: true,
            reload: Arc::default(),
            stall_after: STALL_AFTER,
        }
    }
}

/// Why a daemon could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read cannot be taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// Messages cannot be sent any more.
    #[error(transparent)]
    Dispatch(#[from] Ended),
    /// Nobody could give it orders.
    #[error(transparent)]
    Control(#[from] NoSocket),
    /// Nobody could call it.
    #[error(transparent)]
    Admin(#[from] NoDoor),
    /// A fault of the program.
    #[error("a task has ended by a fault of the program")]
    Fault(#[from] tokio::task::JoinError),
}

/// One tenant's intake, from outside.
#[derive(Debug)]
struct Tenant {
    work: mpsc::Sender<Work>,
    commands: mpsc::Sender<Command>,
    numbers: BTreeMap<String, SourceId>,
}

/// Sources that are being read.
#[derive(Debug)]
struct Pollers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// A running daemon.
pub struct Daemon {
    settings: Settings,
    store_path: PathBuf,
    store: Arc<dyn Store>,
    fences: Arc<Fences>,
    board: Board,
    zone: chrono_tz::Tz,
    keep: watch::Sender<Keep>,
    generation: GenerationText,
    config_digest: [u8; 32],
    tenants: BTreeMap<Arc<str>, Tenant>,
    intakes: JoinSet<Result<(), IntakeError>>,
    pollers: Pollers,
    dispatch: Dispatch,
    /// Tasks of receivers as they were before a reload.
    ending: JoinSet<Result<(), Ended>>,
    dispatch_events: (dispatch::Events, mpsc::Receiver<dispatch::Event>),
    receivers: BTreeMap<ReceiverName, Arc<dyn Receiver>>,
    routing: watch::Sender<Arc<Routing>>,
    geography: watch::Sender<Arc<Geo>>,
    wake: Arc<Notify>,
    own: Own,
    given_up: given_up::GivenUp,
    /// Own alerts that the store had no room for.
    unkept: Vec<Alert>,
    own_events: (own::Voice, mpsc::Receiver<own::Event>),
    control: Control,
    admin: Option<Admin>,
    heartbeat: Option<Heartbeat>,
    meters: Meters,
    watch: Option<Watch>,
    reloads: reload::Reloads,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("store", &self.store_path).finish_non_exhaustive()
    }
}

impl Daemon {
    /// Its status, as it goes on.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Where its admin door listens, if it has one.
    pub fn admin(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// What it keeps, to look at.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Runs until `stop` comes true, then ends in good order: readings under way are left, what was
    /// read is kept, tries under way come to their end.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), DaemonError> {
        let ended = self.desk(&mut stop).await;
        match &ended {
            Ok(()) => info!("ending"),
            Err(failure) => {
                error!(%failure, "the daemon cannot go on");
                self.last_words(failure).await;
            }
        }
        super::alive::stopping();
        let _ = self.pollers.stop.send(true);
        while self.pollers.tasks.join_next().await.is_some() {}
        // Intakes end when nobody sends any more.
        self.tenants.clear();
        let mut result = ended;
        while let Some(intake) = self.intakes.join_next().await {
            let ended = intake.map_err(DaemonError::from).and_then(|ended| ended.map_err(DaemonError::from));
            result = result.and(ended);
        }
        self.ending.spawn(self.dispatch.stop());
        while let Some(sent) = self.ending.join_next().await {
            result =
                result.and(sent.map_err(DaemonError::from).and_then(|sent| sent.map_err(DaemonError::from)));
        }
        self.given_up.others(Timestamp::MAX);
        info!("ended");
        result
    }
}

/// Sources by tenant.
fn by_tenant(
    config: &Config,
    sources: Vec<Box<dyn LiveSource>>,
) -> BTreeMap<Arc<str>, Vec<Box<dyn LiveSource>>> {
    let mut by: BTreeMap<Arc<str>, Vec<Box<dyn LiveSource>>> = BTreeMap::new();
    for (named, source) in config.sources.iter().zip(sources) {
        by.entry(named.tenant.clone()).or_default().push(source);
    }
    by
}
