//! The heartbeat: an address that is called while all is well, so that somebody outside hears of a
//! Larum that is dead, blind or mute.
//!
//! It is called only after a full cycle: every intake and the dispatcher answered, the store
//! answered, and every source was read since the call before. It carries no word of any record.

use std::collections::BTreeMap;

use crate::config::{Options, Secrets};
use crate::deliver::Ping;
use crate::record::{Millis, Timestamp};
use crate::rule::problem::Problems;

use super::status::Status;

/// How often unless told.
const USUAL: Millis = Millis::mins(1);
/// How often may be told.
const EVERY: (Millis, Millis) = (Millis::secs(10), Millis::hours(1));
/// The call takes no longer.
const TIMEOUT: Millis = Millis::secs(15);

/// Whom to call and when.
#[derive(Debug)]
pub struct Heartbeat {
    /// How often at most.
    pub every: Millis,
    /// What calls.
    pub ping: std::sync::Arc<Ping>,
    /// When each lane was read at the last call.
    read: BTreeMap<String, Timestamp>,
    /// Not before then.
    next: Timestamp,
}

impl Heartbeat {
    /// As the configuration says under `heartbeat`.
    pub fn open(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let every = options.duration_in(problems, "every", EVERY);
        let every = if options.has("every") { every? } else { USUAL };
        let ping = Ping::open(options, secrets, problems, TIMEOUT)?;
        Some(Self { every, ping: ping.into(), read: BTreeMap::new(), next: Timestamp::MIN })
    }

    /// True where a call is due at `now` and `status` shows a full cycle since the last; notes it.
    pub fn due(&mut self, status: &Status, now: Timestamp) -> bool {
        if self.next > now + self.every {
            // The clock was set back: what is known of the call before says nothing any more.
            (self.read, self.next) = (BTreeMap::new(), now);
        }
        if now < self.next || !status.blind().is_empty() {
            return false;
        }
        let read: Option<BTreeMap<String, Timestamp>> =
            status.lanes.iter().map(|(name, lane)| Some((name.clone(), lane.read_at?))).collect();
        let Some(read) = read.filter(|read| !read.is_empty()) else { return false };
        if read.iter().any(|(name, at)| self.read.get(name).is_some_and(|before| before >= at)) {
            return false;
        }
        (self.read, self.next) = (read, now + self.every);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::status::LaneStatus;

    fn heart() -> Heartbeat {
        let ping = Ping::to("http://127.0.0.1:9/", TIMEOUT).unwrap();
        Heartbeat { every: USUAL, ping: ping.into(), read: BTreeMap::new(), next: Timestamp::MIN }
    }

    fn read_at(seconds: [Option<i64>; 2]) -> Status {
        let mut status = Status::default();
        for (name, at) in ["a", "b"].into_iter().zip(seconds) {
            let read_at = at.map(|at| Timestamp(at * 1_000));
            status.lanes.insert(name.to_owned(), LaneStatus { read_at, ..LaneStatus::default() });
        }
        status
    }

    #[test]
    fn it_beats_only_when_every_source_was_read_since_the_beat_before() {
        let mut heart = heart();
        let now = |seconds: i64| Timestamp(seconds * 1_000);
        assert!(!heart.due(&read_at([Some(1), None]), now(2)), "one was never read");
        assert!(heart.due(&read_at([Some(1), Some(2)]), now(3)));
        assert!(!heart.due(&read_at([Some(30), Some(31)]), now(32)), "too soon");
        assert!(!heart.due(&read_at([Some(70), Some(2)]), now(71)), "one was not read again");
        assert!(heart.due(&read_at([Some(70), Some(71)]), now(72)));
    }

    #[test]
    fn it_beats_on_where_the_clock_was_ahead_and_is_set_right() {
        let mut heart = heart();
        let now = |seconds: i64| Timestamp(seconds * 1_000);
        assert!(heart.due(&read_at([Some(18_001), Some(18_002)]), now(18_003)));
        assert!(heart.due(&read_at([Some(5), Some(6)]), now(7)));
        assert!(!heart.due(&read_at([Some(8), Some(9)]), now(10)), "too soon");
    }

    #[test]
    fn a_daemon_that_is_blind_does_not_beat() {
        let mut status = read_at([Some(1), Some(1)]);
        status.store_failed = Some("the disk is full".to_owned());
        assert!(!heart().due(&status, Timestamp(5_000)));
    }

    #[test]
    fn a_daemon_without_sources_does_not_beat() {
        assert!(!heart().due(&Status::default(), Timestamp(5_000)));
    }
}
