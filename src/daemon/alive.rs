//! Telling the service manager: ready, reloading, stopping, and alive only while work goes on.
//!
//! Without a service manager (`NOTIFY_SOCKET` unset) all of this is nothing.

use sd_notify::NotifyState;

/// Microseconds that a start which waits is given each time it says so: it tells receivers meanwhile.
const WAITING: u32 = 600_000_000;

/// The daemon has started: sources are read, deliveries go out.
pub fn ready(words: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(words)]);
}

/// The start waits for something that may take long: it is not to be given up.
pub fn waiting(words: &str) {
    tell(&[NotifyState::Status(words), NotifyState::ExtendTimeoutUsec(WAITING)]);
}

/// The configuration is being read again.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The daemon is draining.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Work has gone on since the last time.
pub fn pulse() {
    tell(&[NotifyState::Watchdog]);
}

/// How often to tell, if somebody watches: a third of what is allowed.
pub fn interval() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 3)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
