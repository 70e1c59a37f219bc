//! The desk: one thing after the other, until it is time to end.

use super::{Arc, BTreeMap, Daemon, DaemonError, dispatch, info, own, watch};
use crate::alert::Alert;
use crate::daemon::alive;
use crate::daemon::control::Call;
use crate::daemon::intake::Command;
use crate::daemon::orders::{Clerk, Order, Reply, no_receiver};
use crate::daemon::own::Kind;
use crate::daemon::status::{Asked, FailedTry, left_alone};
use crate::deliver::{Content, Message, Receiver};
use crate::route::retry::PROBE_EVERY;
use crate::route::{Attempt, DeliveryId, ReceiverName};
use crate::store::{Change, DeliveryQuery};

/// What the alert of the daemon's own end is about.
pub(super) const DAEMON: &str = "daemon";

/// How long a receiver may take where something is told past the store.
const LAST_WORD: std::time::Duration = std::time::Duration::from_secs(20);

/// Own alerts that could not be kept and wait for room; further ones are told and not kept.
const MAX_UNKEPT: usize = 100;

/// How often it is looked whether more of Larum's own alerts is to be told.
const OWN: std::time::Duration = std::time::Duration::from_secs(10);

/// How often it is looked whether the heartbeat is due.
const HEART: std::time::Duration = std::time::Duration::from_secs(1);

impl Daemon {
    pub(super) async fn desk(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), DaemonError> {
        let pulse = alive::interval();
        let mut beat = tokio::time::interval(pulse.unwrap_or(std::time::Duration::from_hours(1)));
        let mut heart = tokio::time::interval(HEART);
        heart.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut own = tokio::time::interval(OWN);
        own.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if *stop.borrow() {
                return Ok(());
            }
            tokio::select! {
                _ = stop.changed() => return Ok(()),
                () = self.wake.notified() => self.dispatch.wake(),
                Some(event) = self.dispatch_events.1.recv() => self.heard(event).await?,
                Some(event) = self.own_events.1.recv() => self.say(event).await?,
                Some(call) = self.control.calls.recv() => self.answer(call).await?,
                // What came of it is logged and told.
                Some(()) = changes(&mut self.watch) => self.reload(None),
                () = self.settings.reload.notified() => self.reload(None),
                Some(built) = self.reloads.ready.join_next() => Box::pin(self.reloaded(built?)).await?,
                Some(ended) = self.intakes.join_next() => ended??,
                ended = self.dispatch.ended() => return Err(ended.into()),
                _ = beat.tick(), if pulse.is_some() => if self.beats().await { alive::pulse() },
                _ = own.tick() => {
                    let now = self.settings.clock.now();
                    self.given_up.others(now);
                    for alert in self.own.due(now) {
                        self.tell(alert).await;
                    }
                }
                _ = heart.tick(), if self.heartbeat.is_some() => self.beat().await,
            }
        }
    }

    /// Calls the heartbeat where a full cycle is behind us.
    async fn beat(&mut self) {
        let now = self.settings.clock.now();
        let status = self.board.read();
        let Some(heartbeat) = &mut self.heartbeat else { return };
        if !heartbeat.due(&status, now) {
            return;
        }
        let ping = heartbeat.ping.clone();
        if !self.beats().await || self.store.holdings().await.is_err() {
            return;
        }
        let meters = self.meters.clone();
        tokio::spawn(async move {
            match ping.call(now).await {
                Attempt::Delivered => meters.beat(now),
                Attempt::TryAgain { reason, .. }
                | Attempt::Malformed { reason }
                | Attempt::Unwelcome { reason }
                | Attempt::Refused { reason }
                | Attempt::Unknown { reason } => tracing::warn!(reason, "the heartbeat was not heard"),
            }
        });
    }

    /// Whether every intake still answers.
    async fn beats(&self) -> bool {
        for tenant in self.tenants.values() {
            let (reply, answer) = tokio::sync::oneshot::channel();
            if tenant.commands.try_send(Command::Ping(reply)).is_err() {
                return false;
            }
            let patience = std::time::Duration::from_secs(20);
            if !matches!(tokio::time::timeout(patience, answer).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }

    /// What the dispatcher met.
    pub(super) async fn heard(&mut self, event: dispatch::Event) -> Result<(), DaemonError> {
        use dispatch::Event;
        let now = self.settings.clock.now();
        let said = match event {
            Event::Delivered { receiver, .. } => {
                self.board.write(|status| {
                    let shown = status.receivers.entry(receiver.to_string()).or_default();
                    shown.delivered_at = Some(now);
                    (shown.paused, shown.failure, shown.asked) = (None, None, None);
                });
                // An earlier life may have told that it was paused, or failed.
                return self.receives(&receiver).await;
            }
            Event::Dead { receiver, delivery, tells, reason, .. } => {
                self.given_up.one(&receiver, delivery, &tells, &reason, now);
                let text = format!("delivery {delivery} to {receiver} is dead: {reason}");
                Some((Kind::DeadLetter, receiver, Some(text)))
            }
            Event::Failing { receiver, reason } => {
                let text = format!("receiver {receiver} fails, and is tried again by itself: {reason}");
                self.board.write(|status| {
                    status.receivers.entry(receiver.to_string()).or_default().failure = Some(reason);
                });
                Some((Kind::ReceiverFailing, receiver, Some(text)))
            }
            Event::Paused { receiver, reason } => {
                let reason = format!(
                    "{reason}; mend it, then `larum send-test {receiver}` or a reload resumes it (it is also probed every {PROBE_EVERY})"
                );
                let text = format!("receiver {receiver} is paused: {reason}");
                self.board.write(|status| {
                    status.receivers.entry(receiver.to_string()).or_default().paused = Some(reason);
                });
                Some((Kind::ReceiverPaused, receiver, Some(text)))
            }
            Event::Asked { receiver, at, until, reason } => {
                let asked = Asked { at: Some(at), until: Some(until), reason };
                let text = asked.is_long().then(|| {
                    let until = until.to_string();
                    let words = left_alone(receiver.as_str(), &until, &asked.reason);
                    format!("receiver {receiver} {words}")
                });
                self.board.write(|status| {
                    let shown = status.receivers.entry(receiver.to_string()).or_default();
                    shown.asked = (until > at).then_some(asked);
                });
                text.map(|text| (Kind::ReceiverFailing, receiver, Some(text)))
            }
            Event::Recovered { receiver } => {
                self.board.write(|status| {
                    let shown = status.receivers.entry(receiver.to_string()).or_default();
                    (shown.paused, shown.failure, shown.asked) = (None, None, None);
                });
                info!(%receiver, "the receiver takes messages again");
                return self.receives(&receiver).await;
            }
            Event::StoreTrouble { receiver, reason } => {
                tracing::error!(%receiver, reason, "the store fails");
                None
            }
        };
        match said {
            Some((kind, receiver, text)) => {
                self.say(own::Event { kind, subject: receiver.to_string(), text }).await
            }
            None => Ok(()),
        }
    }

    /// A receiver takes messages: what was told of it is over.
    async fn receives(&mut self, receiver: &ReceiverName) -> Result<(), DaemonError> {
        for kind in [Kind::ReceiverPaused, Kind::ReceiverFailing] {
            self.say(own::Event { kind, subject: receiver.to_string(), text: None }).await?;
        }
        Ok(())
    }

    /// Raises an alert of Larum's own, where one is due.
    pub(super) async fn say(&mut self, event: own::Event) -> Result<(), DaemonError> {
        let now = self.settings.clock.now();
        if let Some(alert) = self.own.tell(&event, now, env!("CARGO_PKG_VERSION")) {
            self.tell(alert).await;
        }
        Ok(())
    }

    /// Keeps an own alert and owes its messages.
    async fn tell(&mut self, alert: Alert) {
        let now = self.settings.clock.now();
        info!(rule = %alert.rule, title = alert.title, state = alert.state.as_str(), "own alert");
        let owed = self.routing.borrow().owed(&alert, now);
        // What was told past the store is kept with it as soon as there is room.
        let mut changes: Vec<Change> = self.unkept.iter().cloned().map(Box::new).map(Change::Alert).collect();
        changes.push(Change::Alert(Box::new(alert.clone())));
        changes.extend(owed);
        match self.commit_own(changes).await {
            Ok(()) => {
                self.unkept.clear();
                self.dispatch.wake();
            }
            // There is nowhere to keep it: it is said at once, and by the log.
            Err(error) => {
                tracing::error!(%error, "an own alert cannot be kept");
                if self.unkept.len() < MAX_UNKEPT {
                    self.unkept.push(alert.clone());
                }
                self.last_resort(alert);
            }
        }
    }

    async fn commit_own(&self, changes: Vec<Change>) -> Result<(), crate::store::StoreError> {
        let fence = self.fences.of(&*self.store, &own::TENANT.into()).await?;
        self.store.commit(fence, changes).await
    }

    /// Sends an own alert past a store that cannot keep it: once, at once, to whoever would hear of
    /// it. What comes of it is logged and nowhere else.
    fn last_resort(&self, alert: Alert) -> tokio::task::JoinHandle<()> {
        let heard = self.routing.borrow().receivers(&alert);
        let heard = heard.into_iter().filter_map(|name| {
            let receiver = self.receivers.get(&name)?.clone();
            Some((name, receiver))
        });
        tokio::spawn(past_the_store(alert, heard.collect(), self.zone, self.settings.clock.now()))
    }

    /// Tells that the daemon cannot go on, past its store.
    pub(super) async fn last_words(&mut self, failure: &DaemonError) {
        let text = Some(format!("the daemon has ended: {failure}"));
        let event = own::Event { kind: Kind::StoreFailing, subject: DAEMON.to_owned(), text };
        let now = self.settings.clock.now();
        if let Some(alert) = self.own.tell(&event, now, env!("CARGO_PKG_VERSION")) {
            super::parting::leave(&self.store_path, &alert);
            // Its receivers are told one after the other, each within its time.
            let _ = self.last_resort(alert).await;
        }
    }

    /// Carries an order out.
    async fn answer(&mut self, call: Call) -> Result<(), DaemonError> {
        match &call.order {
            Order::Alive | Order::Status => tracing::debug!(order = call.order.in_words(), "order"),
            Order::Acknowledge { .. }
            | Order::Redrive { .. }
            | Order::Discard { .. }
            | Order::Silence { .. }
            | Order::Unsilence { .. }
            | Order::SendTest { .. }
            | Order::Reload
            | Order::Backup { .. } => info!(order = call.order.in_words(), "order"),
        }
        if let Some(why) = call.order.fault() {
            // Who asked may be gone.
            let _ = call.reply.send(Reply::Refused(why));
            return Ok(());
        }
        let reply = match &call.order {
            Order::Alive => Reply::Done("here".to_owned()),
            Order::Status => Reply::Status(Box::new(self.status().await)),
            // What takes its time takes it beside the desk.
            Order::Reload => {
                self.reload(Some(call.reply));
                return Ok(());
            }
            Order::SendTest { receiver } => match self.receiver(receiver) {
                Ok((name, receiver)) => {
                    let (zone, now) = (self.zone, self.settings.clock.now());
                    let tested = self.dispatch.tested(&name);
                    tokio::spawn(async move {
                        let reply = try_out(&name, &*receiver, zone, now).await;
                        if let Reply::Done(_) = reply {
                            tested();
                        }
                        let _ = call.reply.send(reply);
                    });
                    return Ok(());
                }
                Err(refused) => refused,
            },
            Order::Backup { path } => {
                let (store, path) = (self.store.clone(), path.clone());
                tokio::spawn(async move {
                    let done = store.backup(path.clone()).await;
                    let _ = call.reply.send(match done {
                        Ok(()) => Reply::Done(format!("backup written to {}", path.display())),
                        Err(error) => Reply::Refused(error.to_string()),
                    });
                });
                return Ok(());
            }
            Order::Acknowledge { .. }
            | Order::Redrive { .. }
            | Order::Discard { .. }
            | Order::Silence { .. }
            | Order::Unsilence { .. } => match self.carry_out(&call.order).await {
                Ok(reply) => {
                    if let (Order::Redrive { delivery, receiver }, Reply::Done(_)) = (&call.order, &reply) {
                        self.redriven(delivery.as_deref(), receiver.as_deref()).await;
                    }
                    reply
                }
                Err(error) => Reply::Refused(error.to_string()),
            },
        };
        // Who asked may be gone.
        let _ = call.reply.send(reply);
        self.dispatch.wake();
        Ok(())
    }

    /// Somebody wants tried now what was redriven; what else waits may be mended, too.
    async fn redriven(&self, delivery: Option<&str>, receiver: Option<&str>) {
        let mut to: Option<ReceiverName> = receiver.and_then(|name| name.parse().ok());
        if let Some(id) = delivery {
            let query = DeliveryQuery { id: Some(id.to_owned()), most: 1, ..DeliveryQuery::default() };
            // Where the store cannot tell, all are tried.
            let found = self.store.deliveries(query).await.unwrap_or_default().pop();
            to = found.map(|delivery| delivery.receiver).or(to);
        }
        self.dispatch.ask_again();
        self.dispatch.try_now(to.as_ref());
    }

    async fn carry_out(&self, order: &Order) -> Result<Reply, crate::store::StoreError> {
        let mut fences = BTreeMap::new();
        for tenant in self.store.tenants().await? {
            fences.insert(tenant.clone(), self.fences.of(&*self.store, &tenant).await?);
        }
        let declared = Some(self.generation.declared.clone());
        let receivers = Some(self.receivers.keys().cloned().collect());
        let clerk =
            Clerk { store: &*self.store, fences, now: self.settings.clock.now(), declared, receivers };
        let nothing = || Reply::Refused("this is no order for the store".to_owned());
        Ok(clerk.carry_out(order).await?.unwrap_or_else(nothing))
    }

    pub(super) async fn status(&self) -> crate::daemon::status::Status {
        // Intakes put down what rules did when they are asked.
        self.beats().await;
        let mut status = self.board.read();
        status.now = Some(self.settings.clock.now());
        status.events_missed = self.own_events.0.missed() + self.dispatch_events.0.missed();
        match self.store.holdings().await {
            Ok(holdings) => {
                for (receiver, mut states) in holdings.deliveries {
                    if let Some(shown) = status.receivers.get_mut(&receiver) {
                        shown.deliveries = states;
                        continue;
                    }
                    states.retain(|state, count| {
                        *count > 0 && ["dead", "waiting", "sending"].contains(&&**state)
                    });
                    if !states.is_empty() {
                        status.receivers_gone.insert(receiver, states);
                    }
                }
            }
            Err(error) => status.store_failed = Some(error.to_string()),
        }
        let now = status.now;
        for (name, shown) in &mut status.receivers {
            shown.asked.take_if(|asked| asked.until <= now);
            let Ok(receiver) = name.parse() else { continue };
            match self.store.last_tried(receiver).await {
                Ok(last) => shown.last_failed = last.as_ref().and_then(FailedTry::of),
                Err(error) => status.store_failed = Some(error.to_string()),
            }
        }
        status
    }

    /// The receiver called so, or what is said where there is none.
    fn receiver(&self, name: &str) -> Result<(ReceiverName, Arc<dyn Receiver>), Reply> {
        let found = name.parse().ok().and_then(|name: ReceiverName| self.receivers.get_key_value(&name));
        found.map(|(name, receiver)| (name.clone(), receiver.clone())).ok_or_else(|| {
            let known: Vec<&str> = self.receivers.keys().map(ReceiverName::as_str).collect();
            Reply::Refused(no_receiver(name, &known))
        })
    }
}

/// Sends an own alert to receivers, one after the other, each within its time, and logs what came of it.
pub(super) async fn past_the_store(
    alert: Alert,
    heard: Vec<(ReceiverName, Arc<dyn Receiver>)>,
    zone: chrono_tz::Tz,
    now: crate::record::Timestamp,
) {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&alert.id.0).as_bytes()[..16]);
    let content = Content::Alert(Arc::new(alert));
    let message = Message { id: DeliveryId(id), content, plain: false, thread: None, zone, now };
    for (name, receiver) in heard {
        let sent = tokio::time::timeout(LAST_WORD, receiver.send(&message)).await;
        let outcome = match sent {
            Ok(Attempt::Delivered) => "delivered".to_owned(),
            Ok(
                Attempt::TryAgain { reason, .. }
                | Attempt::Malformed { reason }
                | Attempt::Unwelcome { reason }
                | Attempt::Refused { reason }
                | Attempt::Unknown { reason },
            ) => reason,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(receiver = %name, outcome, "told past the store");
    }
}

/// Sends a fixed message to `receiver`, past every limit, and tells what came of it.
pub async fn try_out(
    name: &ReceiverName,
    receiver: &dyn Receiver,
    zone: chrono_tz::Tz,
    now: crate::record::Timestamp,
) -> Reply {
    match receiver.send(&test_message(name, zone, now)).await {
        Attempt::Delivered => Reply::Done(format!("{name} took the test message")),
        Attempt::TryAgain { reason, .. }
        | Attempt::Malformed { reason }
        | Attempt::Unwelcome { reason }
        | Attempt::Refused { reason }
        | Attempt::Unknown { reason } => {
            Reply::Refused(format!("{name} did not take the test message: {reason}"))
        }
    }
}

/// A message without a word from any record.
fn test_message(receiver: &ReceiverName, zone: chrono_tz::Tz, now: crate::record::Timestamp) -> Message {
    let seed = blake3::hash(format!("test {receiver} {}", now.0).as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&seed.as_bytes()[..16]);
    Message { id: DeliveryId(id), content: Content::Probe, plain: false, thread: None, zone, now }
}

/// The next change of files; never where none are watched.
async fn changes(watch: &mut Option<crate::daemon::watch::Watch>) -> Option<()> {
    match watch {
        Some(watch) => watch.changes.recv().await,
        None => std::future::pending().await,
    }
}
