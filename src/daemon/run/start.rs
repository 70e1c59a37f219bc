//! Starting: the configuration, the store, what an earlier life left, and then everything that runs.

use super::desk::{DAEMON, past_the_store};
use super::reload::Reloads;
use super::{
    Arc, BTreeMap, Command, Daemon, DaemonError, Dispatch, Fences, IntakeError, JoinSet, Notify, Own, Path,
    Pollers, READINGS, Routing, Settings, Store, StoreError, Tenant, Watch, Work, by_tenant, dispatch, error,
    info, mpsc, own, watch,
};
use crate::alert::{Alert, State};
use crate::daemon::admin::{self, Admin, NoDoor, Rooms};
use crate::daemon::build::{self, Built};
use crate::daemon::control;
use crate::daemon::dispatch::{Office, Target};
use crate::daemon::intake::{Intake, Surroundings};
use crate::daemon::metrics::Meters;
use crate::daemon::parts::BuiltReceiver;
use crate::daemon::poll::{PolledLane, Poller};
use crate::daemon::status::Board;
use crate::deliver::Receiver;
use crate::engine::SourceId;
use crate::record::{Millis, Timestamp};
use crate::route::Standing;
use crate::source::LiveSource;
use crate::store::sqlite::Sqlite;
use crate::store::{AlertQuery, Change, DeliveryQuery, Lane};

/// Leases of an earlier life that are ended at the start, at most: there was one try a receiver.
const LEASES: usize = 10_000;
/// How often it is tried whether a disk that is full at the start has room again.
const ROOM_EVERY: Millis = Millis::secs(30);
/// Own alerts of an earlier life whose end is still to be told, at most.
const OPEN_OWN: usize = 10_000;

impl Daemon {
    /// Starts everything. When this comes back, sources are read and messages go out. A full disk is waited
    /// out, and told of past the store, as it is by a daemon that runs; what else keeps it from starting is told
    /// so, too, and ends it.
    pub async fn start(settings: Settings) -> Result<Self, DaemonError> {
        Self::start_with(settings, |path| Ok(Arc::new(Sqlite::open(path)?))).await
    }

    /// The same on the store that `open` opens.
    pub(super) async fn start_with(
        settings: Settings,
        open: impl Fn(&Path) -> Result<Arc<dyn Store>, StoreError>,
    ) -> Result<Self, DaemonError> {
        let mut told = None;
        loop {
            let mut built = build::build(&settings.config, &settings.secrets, None)?;
            let started = match built.prepare(&settings.clock).await {
                Ok(()) => match open(&built.config.store) {
                    Ok(store) => Box::pin(Self::start_on(settings.clone(), built, store)).await,
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error.into()),
            };
            let failure = match (started, told.take()) {
                (Ok(daemon), None) => return Ok(daemon),
                (Ok(mut daemon), Some(alert)) => {
                    daemon.has_room(alert).await?;
                    return Ok(daemon);
                }
                (Err(failure), before) => {
                    told = before;
                    failure
                }
            };
            let (DaemonError::Store(StoreError::Full)
            | DaemonError::Intake(IntakeError::Store(StoreError::Full))) = &failure
            else {
                not_started(&settings, &failure).await;
                return Err(failure);
            };
            error!(%failure, "the daemon cannot start; it is tried again");
            super::super::alive::waiting(&failure.to_string());
            if told.is_none() {
                told = no_room(&settings, &failure).await?;
            }
            settings.clock.sleep(ROOM_EVERY).await;
        }
    }

    /// There is room again: `alert`, which told past the store that there is none, is over.
    async fn has_room(&mut self, alert: Alert) -> Result<(), DaemonError> {
        // An earlier life may have told the same, and kept it.
        self.say(nothing_kept(None)).await?;
        self.own.recall(alert.clone());
        self.unkept.push(alert);
        self.say(nothing_kept(None)).await
    }

    /// Starts everything on `store`, which is the one of the configuration.
    pub(super) async fn start_on(
        settings: Settings,
        built: Built,
        store: Arc<dyn Store>,
    ) -> Result<Self, DaemonError> {
        let store_path = built.config.store.clone();
        let fences = Arc::new(Fences::default());
        let board = Board::default();
        let now = settings.clock.now();
        board.write(|status| {
            env!("CARGO_PKG_VERSION").clone_into(&mut status.version);
            status.since = Some(now);
        });
        let open = AlertQuery {
            tenant: Some(own::TENANT.into()),
            states: vec![State::Open, State::Updated],
            most: OPEN_OWN,
            ..AlertQuery::default()
        };
        let open = store.alerts(open).await?.into_iter().map(|kept| kept.now).collect();
        release(&*store, &fences, now).await?;
        let (routing, _) = watch::channel(Arc::new(Routing::default()));
        let dispatch_events = dispatch::Events::channel();
        let meters = Meters::default();
        let office = Office {
            store: store.clone(),
            fences: fences.clone(),
            clock: settings.clock.clone(),
            zone: built.config.zone,
            events: dispatch_events.0.clone(),
            steps: settings.steps.clone(),
            meters: meters.clone(),
        };
        let mut daemon = Self {
            control: control::listen(&control::socket_of(&store_path))?,
            watch: None,
            reloads: Reloads::default(),
            zone: built.config.zone,
            keep: watch::channel(built.config.keep).0,
            generation: built.generation.clone(),
            config_digest: [0; 32],
            tenants: BTreeMap::new(),
            intakes: JoinSet::new(),
            ending: JoinSet::new(),
            pollers: Pollers { stop: watch::channel(false).0, tasks: JoinSet::new() },
            dispatch: Dispatch::start(&office, Vec::new()),
            dispatch_events,
            receivers: BTreeMap::new(),
            routing,
            geography: watch::channel(Arc::default()).0,
            wake: Arc::new(Notify::new()),
            own: Own::resume(open),
            given_up: super::given_up::GivenUp::default(),
            unkept: Vec::new(),
            own_events: own::Voice::channel(),
            admin: None,
            heartbeat: None,
            meters,
            settings,
            store_path,
            store,
            fences,
            board,
        };
        daemon.open_admin(built.admin.clone()).await?;
        daemon.put_in_force(built).await?;
        daemon.is_back().await?;
        super::super::alive::ready("reading and telling");
        info!(store = %daemon.store_path.display(), "started");
        Ok(daemon)
    }

    /// Tells whoever was told that an earlier life has ended that there is another.
    async fn is_back(&mut self) -> Result<(), DaemonError> {
        let Some(ended) = super::parting::left(&self.store_path) else { return Ok(()) };
        // It was told past the store, and is kept now with its end.
        self.own.recall(ended.clone());
        self.unkept.push(ended);
        let (kind, subject) = (own::Kind::StoreFailing, DAEMON.to_owned());
        self.say(own::Event { kind, subject, text: None }).await?;
        // What could not be kept is told by the next life.
        if self.unkept.is_empty() {
            super::parting::forget(&self.store_path);
        }
        Ok(())
    }

    /// Puts everything that was built in the place of what there was.
    pub(super) async fn put_in_force(&mut self, built: Built) -> Result<(), DaemonError> {
        let changed = built.digest != self.config_digest;
        self.config_digest = built.digest;
        self.zone = built.config.zone;
        self.board.write(|status| self.zone.name().clone_into(&mut status.zone));
        self.generation = built.generation.clone();
        // Nobody listens while there is no tenant yet.
        let _ = self.routing.send_replace(Arc::new(built.routing));
        let _ = self.geography.send_replace(built.geography);
        let _ = self.keep.send_replace(built.config.keep);
        Self::log_doubts(&built.problems);
        self.show_rules_off(&built.rules_off);
        if changed {
            if self.settings.watch {
                let lists = built.config.lists.iter().map(|list| list.path.clone());
                let places = built.config.geo.iter().map(|(_, path, _)| path.clone());
                let config = std::iter::once(self.settings.config.clone());
                let files: Vec<_> = config.chain(lists).chain(places).collect();
                let folders = [&*built.config.rules, &*built.config.sigma].concat();
                self.watch = Some(Watch::begin(&files, &folders));
            }
            self.meters.has_heartbeat(built.heartbeat.is_some());
            self.heartbeat = built.heartbeat;
            self.receive(built.receivers);
            self.bury_gone().await?;
            let _ = self.pollers.stop.send(true);
            while self.pollers.tasks.join_next().await.is_some() {}
            self.pollers.stop = watch::channel(false).0;
            let sources = by_tenant(&built.config, built.sources);
            let gone = self.tenants.keys().filter(|tenant| !sources.contains_key(*tenant)).cloned();
            for tenant in gone.collect::<Vec<_>>() {
                self.tenants.remove(&tenant);
                self.board.write(|status| {
                    status.lanes.retain(|_, shown| *shown.tenant != *tenant);
                    status.rules_by_tenant.remove(&*tenant);
                    status.rules_wait_for.remove(&*tenant);
                });
            }
            for (tenant, sources) in sources {
                self.read(tenant, sources).await?;
            }
        }
        for tenant in self.tenants.values() {
            // An intake that has ended is told of where it is waited for.
            let _ = tenant.commands.send(Command::Succeed(Box::new(self.generation.clone()))).await;
        }
        Ok(())
    }

    /// Opens the admin door as `wish` says; one that stands so already stays open.
    pub(super) async fn open_admin(&mut self, wish: Option<admin::Settings>) -> Result<(), NoDoor> {
        if self.admin.as_ref().map(|admin| &admin.settings) == wish.as_ref() {
            return Ok(());
        }
        let Some(wish) = wish else {
            self.admin = None;
            return Ok(());
        };
        // The same address under other terms: the old door must close before the new one opens.
        if self.admin.as_ref().is_some_and(|admin| admin.settings.listen == wish.listen) {
            self.admin = None;
        }
        let rooms = Rooms {
            orders: self.control.to.clone(),
            store: self.store.clone(),
            meters: self.meters.clone(),
            clock: self.settings.clock.clone(),
        };
        let admin = Admin::open(wish, rooms).await?;
        info!(address = %admin.address, "the admin door is open");
        self.admin = Some(admin);
        Ok(())
    }

    /// Sends with these receivers from here on.
    fn receive(&mut self, receivers: Vec<BuiltReceiver>) {
        let office = Office {
            store: self.store.clone(),
            fences: self.fences.clone(),
            clock: self.settings.clock.clone(),
            zone: self.zone,
            events: self.dispatch_events.0.clone(),
            steps: self.settings.steps.clone(),
            meters: self.meters.clone(),
        };
        self.board.write(|status| {
            status.receivers.retain(|name, _| receivers.iter().any(|built| built.name.as_str() == name));
            for built in &receivers {
                let shown = status.receivers.entry(built.name.to_string()).or_default();
                built.kind.name.clone_into(&mut shown.kind);
                // The new task knows nothing of it, and tries.
                shown.asked = None;
            }
        });
        self.receivers.clear();
        let mut targets = Vec::new();
        for BuiltReceiver { name, kind, limits, closed: _, watchdog, receiver } in receivers {
            let receiver: Arc<dyn Receiver> = receiver.into();
            self.receivers.insert(name.clone(), receiver.clone());
            targets.push(Target { name, receiver, transport: kind.transport, limits, watchdog });
        }
        // Tries under way come to their end beside the new tasks, which leave alone what is leased.
        let new = Dispatch::start(&office, targets);
        self.ending.spawn(std::mem::replace(&mut self.dispatch, new).stop());
    }

    /// Reads these sources, all that the tenant has, from here on.
    async fn read(&mut self, name: Arc<str>, sources: Vec<Box<dyn LiveSource>>) -> Result<(), DaemonError> {
        if !self.tenants.contains_key(&name) {
            let tenant = self.open(&name).await?;
            self.tenants.insert(name.clone(), tenant);
        }
        let Some(tenant) = self.tenants.get_mut(&name) else { return Ok(()) };
        let cursors = self.store.cursors(name.clone()).await?;
        let (mut lanes, mut polled) = (Vec::new(), Vec::new());
        for source in sources {
            let mut own = Vec::new();
            for spec in source.lanes() {
                let id = number(&mut tenant.numbers, &spec.name);
                let cursor = cursors.iter().find(|cursor| cursor.lane == id);
                own.push(PolledLane {
                    id,
                    name: spec.name.clone(),
                    cursor: cursor.map(|cursor| cursor.place.clone()),
                });
                lanes.push(Lane { id, name: spec.name, origin: spec.origin });
            }
            polled.push((source, own));
        }
        let names: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
        self.board.write(|status| {
            status.lanes.retain(|lane, shown| *shown.tenant != *name || names.contains(lane));
            for lane in names {
                (*name).clone_into(&mut status.lanes.entry(lane).or_default().tenant);
            }
        });
        let _ = tenant.commands.send(Command::Lanes(lanes)).await;
        for (source, lanes) in polled {
            let poller = Poller {
                source,
                lanes,
                intake: tenant.work.clone(),
                board: self.board.clone(),
                own: self.own_events.0.clone(),
                clock: self.settings.clock.clone(),
                stall_after: self.settings.stall_after,
                stop: self.pollers.stop.subscribe(),
            };
            self.pollers.tasks.spawn(poller.run());
        }
        Ok(())
    }

    /// Takes a tenant over and starts its intake.
    async fn open(&mut self, name: &Arc<str>) -> Result<Tenant, DaemonError> {
        let around = Surroundings {
            store: self.store.clone(),
            fences: self.fences.clone(),
            clock: self.settings.clock.clone(),
            routing: self.routing.subscribe(),
            geography: self.geography.subscribe(),
            board: self.board.clone(),
            own: self.own_events.0.clone(),
            wake: self.wake.clone(),
            steps: self.settings.steps.clone(),
            keep: self.keep.subscribe(),
            meters: self.meters.clone(),
        };
        self.board.write(|status| status.rules_by_tenant.insert(name.to_string(), BTreeMap::new()));
        let intake = Intake::open(around, name.clone()).await?;
        let numbers = intake.known().map(|lane| (lane.name.clone(), lane.id)).collect();
        let (work, readings) = mpsc::channel::<Work>(READINGS);
        let (commands, orders) = mpsc::channel(READINGS);
        self.intakes.spawn(intake.run(readings, orders));
        Ok(Tenant { work, commands, numbers })
    }
}

/// What is said where nothing can be kept; without a text, that it is over.
fn nothing_kept(text: Option<String>) -> own::Event {
    own::Event { kind: own::Kind::StoreFailing, subject: "store".to_owned(), text }
}

/// Tells past the store, by a configuration that could not be put in force, that the daemon waits for room.
async fn no_room(settings: &Settings, failure: &DaemonError) -> Result<Option<Alert>, DaemonError> {
    let built = build::build(&settings.config, &settings.secrets, None)?;
    let now = settings.clock.now();
    let event = nothing_kept(Some(format!("nothing can be kept: {failure}; it is tried again")));
    let alert = Own::default().tell(&event, now, env!("CARGO_PKG_VERSION"));
    if let Some(alert) = &alert {
        tell_by(built, alert, now).await;
    }
    Ok(alert)
}

/// Tells past the store that the daemon cannot start, and leaves word of it: whoever starts it again and again
/// is told as of anything that lasts, and the next start that succeeds tells that it is over.
async fn not_started(settings: &Settings, failure: &DaemonError) {
    // Where another daemon runs, nobody is blind.
    if let DaemonError::Store(StoreError::Taken { .. }) = failure {
        return;
    }
    let Ok(built) = build::build(&settings.config, &settings.secrets, None) else { return };
    let (mut own, now) = (Own::default(), settings.clock.now());
    if let Some(earlier) = super::parting::left(&built.config.store) {
        own.recall(earlier);
    }
    let text = Some(format!("the daemon cannot start: {failure}"));
    let event = own::Event { kind: own::Kind::StoreFailing, subject: DAEMON.to_owned(), text };
    let Some(alert) = own.tell(&event, now, env!("CARGO_PKG_VERSION")) else { return };
    error!(%failure, "the daemon cannot start");
    super::super::alive::waiting(&failure.to_string());
    super::parting::leave(&built.config.store, &alert);
    tell_by(built, &alert, now).await;
}

/// Tells past the store, by a configuration that could not be put in force.
async fn tell_by(built: Built, alert: &Alert, now: Timestamp) {
    let heard = built.routing.receivers(alert);
    let receivers = built.receivers.into_iter().filter(|receiver| heard.contains(&receiver.name));
    let receivers = receivers.map(|built| (built.name, built.receiver.into())).collect();
    past_the_store(alert.clone(), receivers, built.config.zone, now).await;
}

/// Ends the leases of an earlier life: the store's lock says that whoever sent is gone, and that nobody
/// knows what came of it. It is sent again at once.
async fn release(store: &dyn Store, fences: &Fences, now: Timestamp) -> Result<(), DaemonError> {
    let query =
        DeliveryQuery { states: vec!["sending".to_owned()], most: LEASES, ..DeliveryQuery::default() };
    let mut by_tenant: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
    for mut delivery in store.deliveries(query).await? {
        delivery.standing = Standing::Sending { until: now };
        by_tenant.entry(delivery.tenant.clone()).or_default().push(Change::Delivery(Box::new(delivery)));
    }
    for (tenant, changes) in by_tenant {
        let fence = fences.of(store, &tenant).await?;
        store.commit(fence, changes).await?;
    }
    Ok(())
}

/// The number of the lane called `name`: its own for ever.
fn number(numbers: &mut BTreeMap<String, SourceId>, name: &str) -> SourceId {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    let next = numbers.values().map(|number| number.0).max().map_or(0, |last| last.saturating_add(1));
    numbers.insert(name.to_owned(), SourceId(next));
    SourceId(next)
}
