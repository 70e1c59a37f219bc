//! Sends what is owed: one task a receiver, so that none waits for another.
//!
//! Each takes what is due, asks `route` what to do with it, and carries that out one durable step at
//! a time: what is put off, what a digest stands for, that a try begins, what it came to. Stopped
//! between any two steps, the next life goes on from there; only a try that was under way is made
//! again. It never decides who is told, and it holds nothing that the store does not know.

mod attempt;
mod desk;
mod order;
mod set_back;
#[cfg(test)]
mod tests;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::fences::Fences;
use super::metrics::Meters;
use super::step::{Steps, Stopped};
use crate::deliver::{Receiver, Transport};
use crate::record::{Level, Millis, Timestamp};
use crate::route::{DeliveryId, Limits, ReceiverName};
use crate::store::{Store, StoreError};
use desk::{Desk, Next};

/// A receiver as the configuration has it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: ReceiverName,
    /// What sends.
    pub receiver: Arc<dyn Receiver>,
    /// What its service allows.
    pub transport: Transport,
    /// What its people are told at most; [`Limits::none`] for machines.
    pub limits: Limits,
    /// How often it is sent a fixed message that shows that messages arrive.
    pub watchdog: Option<Millis>,
}

/// What all receivers' tasks share.
#[derive(Clone)]
pub struct Office {
    /// Where deliveries are kept.
    pub store: Arc<dyn Store>,
    /// Tenants that are held.
    pub fences: Arc<Fences>,
    /// The daemon's clock.
    pub clock: Clock,
    /// The zone in which times are shown beside UTC.
    pub zone: chrono_tz::Tz,
    /// Who hears of what becomes of receivers and deliveries.
    pub events: Events,
    /// Where to stop, in tests.
    pub steps: Steps,
    /// What is measured.
    pub meters: Meters,
}

/// What somebody should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message was taken.
    Delivered {
        /// By whom.
        receiver: ReceiverName,
        /// Which.
        delivery: DeliveryId,
        /// How grave.
        level: Level,
        /// How many alerts it told of: 1, or those of a digest.
        count: u64,
    },
    /// A delivery became a dead letter.
    Dead {
        /// Whose.
        receiver: ReceiverName,
        /// Which.
        delivery: DeliveryId,
        /// What it tells: an alert by its id, or a digest of so many.
        tells: String,
        /// How grave.
        level: Level,
        /// Why.
        reason: String,
    },
    /// A receiver fails; it is tried again by itself.
    Failing {
        /// Which.
        receiver: ReceiverName,
        /// What it said last.
        reason: String,
    },
    /// A receiver refuses everything; it is probed now and then.
    Paused {
        /// Which.
        receiver: ReceiverName,
        /// What it said to the probe.
        reason: String,
    },
    /// A receiver asked to be left alone for a while, by whatever else it is told of.
    Asked {
        /// Which.
        receiver: ReceiverName,
        /// Since when.
        at: Timestamp,
        /// Until when; not after `at` once somebody had it tried all the same.
        until: Timestamp,
        /// What it said.
        reason: String,
    },
    /// A receiver that failed or was paused takes messages again.
    Recovered {
        /// Which.
        receiver: ReceiverName,
    },
    /// The store could not; it is tried again by itself. Told once until it can again.
    StoreTrouble {
        /// Whose task met it.
        receiver: ReceiverName,
        /// How.
        reason: String,
    },
}

/// Where events go. A listener that does not keep up misses some, counted: nobody waits for it.
#[derive(Debug, Clone)]
pub struct Events {
    to: mpsc::Sender<Event>,
    missed: Arc<AtomicU64>,
}

/// Events that wait for their listener at most.
pub const MAX_EVENTS: usize = 1_024;

impl Events {
    /// Both ends.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (to, from) = mpsc::channel(MAX_EVENTS);
        (Self { to, missed: Arc::default() }, from)
    }

    /// How many nobody heard of.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    fn tell(&self, event: Event) {
        if self.to.try_send(event).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Why a receiver's task has ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The store cannot be used any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A test stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A fault of the program.
    #[error("the task of a receiver has ended by a fault of the program")]
    Fault(#[source] tokio::task::JoinError),
}

impl Ended {
    /// True where another try by itself can help.
    fn will_pass(&self) -> bool {
        match self {
            Self::Store(error) => match error {
                StoreError::Full | StoreError::Busy | StoreError::Failed(_) => true,
                StoreError::Taken { .. }
                | StoreError::Fenced { .. }
                | StoreError::Corrupt(_)
                | StoreError::TooNew { .. }
                | StoreError::Closed => false,
            },
            Self::Stopped(_) | Self::Fault(_) => false,
        }
    }
}

/// Wakes a receiver's task: something is owed, or an operator changed something.
#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    rings: AtomicU64,
    /// Why it is to be asked again before its time, if it is.
    again: Mutex<Option<Again>>,
}

/// Why a receiver is asked again before its time; the later one asks for all that the earlier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    /// Somebody may have mended it. What it asked for itself stands.
    Mended,
    /// Somebody wants something tried now, whatever it asked for.
    Wanted,
    /// It took a test message.
    TookTest,
}

impl Bell {
    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.notify.notify_one();
    }

    fn ask(&self, again: Again) {
        self.note(Some(again));
        self.ring();
    }

    fn note(&self, again: Option<Again>) {
        let mut noted = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = again.max(*noted);
    }

    fn take(&self) -> Option<Again> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The running tasks.
#[derive(Debug)]
pub struct Dispatch {
    bells: BTreeMap<ReceiverName, Arc<Bell>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), Ended>>,
}

/// Shortest wait after a store that could not.
const STORE_WAIT: Millis = Millis::secs(1);
/// Longest.
const STORE_WAIT_MOST: Millis = Millis::secs(30);
/// No task sleeps longer: the machine's clock may be set, or the machine may have slept.
const NAP: Millis = Millis::secs(60);

impl Dispatch {
    /// Starts a task for each of `targets`.
    pub fn start(office: &Office, targets: Vec<Target>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut dispatch = Self { bells: BTreeMap::new(), stop, tasks: JoinSet::new() };
        for target in targets {
            let bell = Arc::<Bell>::default();
            dispatch.bells.insert(target.name.clone(), bell.clone());
            dispatch.tasks.spawn(run(office.clone(), target, bell, stopping.clone()));
        }
        dispatch
    }

    /// To be called after every commit that owes something, and after every operator's order.
    pub fn wake(&self) {
        self.bells.values().for_each(|bell| bell.ring());
    }

    /// To be called when somebody may have mended receivers: none is left alone any longer, and what
    /// waits for another try is due.
    pub fn ask_again(&self) {
        self.bells.values().for_each(|bell| bell.ask(Again::Mended));
    }

    /// To be called when a person wants what `receiver` is owed tried now; none: of all.
    pub fn try_now(&self, receiver: Option<&ReceiverName>) {
        let wanted = self.bells.iter().filter(|(name, _)| receiver.is_none_or(|wanted| wanted == *name));
        wanted.for_each(|(_, bell)| bell.ask(Again::Wanted));
    }

    /// To be called, from anywhere, when `receiver` took a test message.
    pub fn tested(&self, receiver: &ReceiverName) -> impl FnOnce() + Send + 'static {
        let bell = self.bells.get(receiver).cloned();
        move || {
            if let Some(bell) = bell {
                bell.ask(Again::TookTest);
            }
        }
    }

    /// Waits until a task ends by itself, and tells why; for ever where there is none.
    pub async fn ended(&mut self) -> Ended {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(ended))) => return ended,
                Some(Err(fault)) => return Ended::Fault(fault),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Lets every try that is under way come to its end, begins no other, and returns when all is
    /// noted; the first trouble, if there was any.
    pub async fn stop(mut self) -> Result<(), Ended> {
        let _ = self.stop.send(true);
        let mut result = Ok(());
        while let Some(task) = self.tasks.join_next().await {
            let ended = task.unwrap_or_else(|fault| Err(Ended::Fault(fault)));
            result = result.and(ended);
        }
        result
    }
}

/// One receiver's task.
async fn run(
    office: Office,
    target: Target,
    bell: Arc<Bell>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Ended> {
    let (clock, name) = (office.clock.clone(), target.name.clone());
    let events = office.events.clone();
    let mut desk = Desk::new(office, target);
    let mut trouble = Millis::ZERO;
    while !*stopping.borrow_and_update() {
        let again = bell.take();
        let turn = async {
            if let Some(again) = again {
                desk.ask(again).await?;
            }
            desk.turn(bell.rings.load(Ordering::SeqCst)).await
        };
        let next = match turn.await {
            Ok(next) => {
                trouble = Millis::ZERO;
                next
            }
            Err(ended) if ended.will_pass() => {
                bell.note(again);
                if trouble == Millis::ZERO {
                    events.tell(Event::StoreTrouble { receiver: name.clone(), reason: ended.to_string() });
                }
                trouble = Millis((trouble.0 * 2).clamp(STORE_WAIT.0, STORE_WAIT_MOST.0));
                Next::Until(clock.now() + trouble)
            }
            Err(ended) => return Err(ended),
        };
        match next {
            Next::Again => {}
            Next::Until(until) => {
                let nap = Millis((until - clock.now()).0.clamp(0, NAP.0));
                tokio::select! {
                    () = bell.notify.notified(), if trouble == Millis::ZERO => {}
                    _ = stopping.changed() => {}
                    () = clock.sleep(nap) => {}
                }
            }
            Next::Idle => tokio::select! {
                () = bell.notify.notified() => {}
                _ = stopping.changed() => {}
            },
        }
    }
    Ok(())
}
