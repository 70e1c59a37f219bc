//! The one reader of the wall clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::record::{Millis, Timestamp};

/// Tells the time and waits for it.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Wall,
    /// Moved by a test.
    Set(Arc<Mutex<Timestamp>>),
    /// Moved by whoever leads, as far as that one waits; the others wait until it has come so far.
    Led {
        now: watch::Sender<Timestamp>,
        leads: bool,
    },
}

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Self {
        Self(Inner::Wall)
    }

    /// A clock that stands at `now` until [`Self::set`] moves it; waiting moves it too.
    pub fn at(now: Timestamp) -> Self {
        Self(Inner::Set(Arc::new(Mutex::new(now))))
    }

    /// A clock for days that are played in seconds: it stands at `now`, and waiting moves it only for
    /// the one who leads ([`Self::leading`]).
    pub fn led(now: Timestamp) -> Self {
        Self(Inner::Led { now: watch::Sender::new(now), leads: false })
    }

    /// The same clock for the one task that leads: the poller of the only source.
    #[must_use]
    pub fn leading(&self) -> Self {
        match &self.0 {
            Inner::Led { now, leads: _ } => Self(Inner::Led { now: now.clone(), leads: true }),
            Inner::Wall | Inner::Set(_) => self.clone(),
        }
    }

    /// Now, in UTC.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::Wall => {
                #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Inner::Set(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
            Inner::Led { now, leads: _ } => *now.borrow(),
        }
    }

    /// Moves a set clock; the wall clock goes its own way.
    pub fn set(&self, to: Timestamp) {
        match &self.0 {
            Inner::Wall => {}
            Inner::Set(now) => *now.lock().unwrap_or_else(PoisonError::into_inner) = to,
            Inner::Led { now, leads: _ } => drop(now.send_replace(to)),
        }
    }

    /// Waits for `length`. A set clock is moved by it at once.
    pub async fn sleep(&self, length: Millis) {
        match &self.0 {
            Inner::Wall => {
                tokio::time::sleep(std::time::Duration::from_millis(length.0.max(0).unsigned_abs())).await;
            }
            Inner::Set(now) => {
                {
                    let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
                    *now = *now + length;
                }
                tokio::task::yield_now().await;
            }
            Inner::Led { now, leads: true } => {
                now.send_modify(|now| *now = *now + length);
                tokio::task::yield_now().await;
            }
            Inner::Led { now, leads: false } => {
                let until = *now.borrow() + length;
                // It ends with its last user, who waits here.
                let _ = now.subscribe().wait_for(|now| *now >= until).await;
            }
        }
    }
}
