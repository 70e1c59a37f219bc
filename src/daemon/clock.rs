//! The one reader of the wall clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::record::{Millis, Timestamp};

/// Tells the time and waits for it.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Wall,
    /// Moved by a test.
    Set(Arc<Mutex<Timestamp>>),
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

    /// Now, in UTC.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::Wall => {
                #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Inner::Set(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a set clock; the wall clock goes its own way.
    pub fn set(&self, to: Timestamp) {
        if let Inner::Set(now) = &self.0 {
            *now.lock().unwrap_or_else(PoisonError::into_inner) = to;
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
        }
    }
}
