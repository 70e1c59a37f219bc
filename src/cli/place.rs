//! Where the daemon of a command lives: its store, and the control socket beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::daemon::clock::Clock;
use crate::daemon::control::{self, NoReply};
use crate::daemon::orders::{Clerk, NO_ID, Order, Reply};
use crate::daemon::own::TENANT;
use crate::daemon::status::NoTenant;
use crate::store::Store;
use crate::store::sqlite::Sqlite;

use super::{Exit, Failure, show};

/// The configuration that is read where none is named.
pub const CONFIGURATION: &str = "larum.yaml";
/// The store that is meant where neither it nor a configuration is named.
const STORE: &str = "larum.db";

/// Arguments that say which daemon is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The daemon's configuration [default: larum.yaml, where it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's store [default: the configuration's, else larum.db]
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    store: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum PlaceError {
    #[error("there is no store at `{}`; name it with --store, or the daemon's configuration with --config", show::path(.0))]
    NoStore(PathBuf),
    #[error("no daemon runs on `{}`, and this needs one; start it with `larum run`", show::path(.0))]
    NotRunning(PathBuf),
}

impl Place {
    /// The store's file.
    pub fn store(&self) -> Result<PathBuf, Failure> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        match self.configuration() {
            Some(path) => Ok(crate::daemon::build::store_of(&path)?),
            None => Ok(PathBuf::from(STORE)),
        }
    }

    /// The configuration: the one that was named, or where neither it nor a store was, the usual one
    /// if it is there.
    pub fn configuration(&self) -> Option<PathBuf> {
        let usual =
            || Some(PathBuf::from(CONFIGURATION)).filter(|path| path.exists() && self.store.is_none());
        self.config.clone().or_else(usual)
    }

    /// The zone in which times are shown: the configuration's.
    pub fn times(&self) -> Result<show::Times, Failure> {
        let zone = self.configuration().map(|path| crate::daemon::build::zone_of(&path)).transpose()?;
        Ok(zone.map_or(show::Times::UTC, show::Times))
    }

    /// What the daemon says to an order; none where none runs.
    pub async fn ask(&self, order: &Order) -> Result<Option<Reply>, Failure> {
        match control::ask(&control::socket_of(&self.store()?), order).await {
            Ok(reply) => Ok(Some(reply)),
            Err(NoReply::Stopped) => Ok(None),
            Err(error @ (NoReply::Denied { .. } | NoReply::Broken { .. })) => Err(error.into()),
        }
    }

    /// Why nothing can be done where no daemon runs.
    pub fn not_running(&self) -> Result<Failure, Failure> {
        Ok(PlaceError::NotRunning(self.store()?).into())
    }

    /// The store, to look at; beside a running daemon too.
    pub fn look(&self) -> Result<Sqlite, Failure> {
        let path = self.existing()?;
        Ok(Sqlite::open_read_only(&path)?)
    }

    /// The store, which must be there.
    pub fn existing(&self) -> Result<PathBuf, Failure> {
        let path = self.store()?;
        if path.exists() { Ok(path) } else { Err(PlaceError::NoStore(path).into()) }
    }

    /// Gives an order to the daemon, or to the store where none runs.
    pub async fn order(&self, order: &Order) -> Result<Reply, Failure> {
        let path = self.existing()?;
        if let Some(reply) = self.ask(order).await? {
            return Ok(reply);
        }
        let store = Sqlite::open(&path)?;
        let mut fences = BTreeMap::new();
        for tenant in store.tenants().await? {
            fences.insert(tenant.clone(), store.fence(tenant).await?);
        }
        let declared =
            self.configuration().map(|path| crate::daemon::build::declared_of(&path)).transpose()?;
        let receivers =
            self.configuration().map(|path| crate::daemon::build::receivers_of(&path)).transpose()?;
        let clerk = Clerk { store: &store, fences, now: Clock::wall().now(), declared, receivers };
        match clerk.carry_out(order).await? {
            Some(reply) => Ok(reply),
            None => Err(PlaceError::NotRunning(path).into()),
        }
    }
}

/// The tenant that is asked for, Larum itself too; none where none is.
pub async fn tenant(store: &Sqlite, asked: Option<&str>) -> Result<Option<Arc<str>>, Failure> {
    let Some(asked) = asked else { return Ok(None) };
    let tenants = store.tenants().await?;
    match tenants.iter().find(|tenant| &***tenant == asked) {
        Some(tenant) => Ok(Some(tenant.clone())),
        None => Err(NoTenant::new(asked, tenants.iter().map(|tenant| &**tenant)).into()),
    }
}

/// The tenant that is asked for; else all but Larum itself.
pub async fn tenants(store: &Sqlite, asked: Option<&str>) -> Result<Vec<Arc<str>>, Failure> {
    let mut tenants = store.tenants().await?;
    tenants.retain(|tenant| &**tenant != TENANT);
    let Some(asked) = asked else { return Ok(tenants) };
    match tenants.iter().find(|tenant| &***tenant == asked) {
        Some(tenant) => Ok(vec![tenant.clone()]),
        None => Err(NoTenant::new(asked, tenants.iter().map(|tenant| &**tenant)).into()),
    }
}

/// Runs what a command waits for.
pub fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Tells what came of an order.
pub fn told(reply: Reply) -> Exit {
    match reply {
        Reply::Done(words) => {
            show::note(&show::safe(&words));
            Exit::Fine
        }
        Reply::Refused(why) => {
            show::note(&format!("error: {}", show::safe(&why)));
            Exit::CouldNotRun
        }
        Reply::Status(_) => Exit::Fine,
    }
}

/// The beginning of an id, which is not empty.
pub fn parse_id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err(NO_ID.to_owned()) } else { Ok(text.to_owned()) }
}

/// Who is at the keyboard, for what is noted down.
#[expect(clippy::disallowed_methods, reason = "who gives the order is read at this edge")]
pub fn operator() -> String {
    std::env::var("USER").unwrap_or_else(|_| "operator".to_owned())
}
