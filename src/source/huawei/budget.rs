//! How many requests a host may be asked: so many a second, a few at once, and a share of them for
//! sweeps.
//!
//! What a 429 says lowers the rate to four fifths of the limit that it tells, or by half; time
//! without another brings it back. Time is the daemon's clock, given with each question; one that is
//! set back costs no more than a short wait.

use super::trouble::Limit;
use crate::record::{Millis, Timestamp};

/// What sweeps may take of the budget: three requests in ten.
const SWEEP_SHARE: (i64, i64) = (3, 10);
/// Polls in a row after which a sweep that waits goes first: a poll that never catches up must not keep
/// ends from being found.
const POLLS_IN_A_ROW: u32 = 3;
/// Each such time without a 429 makes the requests a tenth denser again.
const RECOVERY: Millis = Millis::mins(5);
/// The slowest that a host is asked.
const SLOWEST: Millis = Millis::mins(2);
/// Longer than any wait that is meant: what is more comes from a clock that was set back.
const LONGEST_BLOCK: Millis = Millis::hours(1);

/// Why a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// New rows.
    Poll,
    /// Rows that were open.
    Sweep,
}

/// The requests of one host.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// Time between requests that the configuration allows.
    base: Millis,
    /// Time between requests now.
    interval: Millis,
    burst: i64,
    all: Debt,
    sweeps: Debt,
    /// Polls since the last sweep.
    polls: u32,
    /// No request before this.
    blocked: Timestamp,
    /// When the rate was last changed.
    changed: Timestamp,
}

/// When the requests made so far are paid off.
#[derive(Debug, Clone, Copy)]
struct Debt(Timestamp);

impl Debt {
    /// Until the next request may be made, when `burst` may be made at once.
    fn wait(self, now: Timestamp, interval: Millis, burst: i64) -> Millis {
        let room = Millis(interval.0 * (burst - 1));
        (self.0 - room - now).max(Millis::ZERO)
    }

    fn spend(&mut self, now: Timestamp, interval: Millis) {
        self.0 = self.0.max(now) + interval;
    }

    /// Forgets what cannot be owed: the clock was set back.
    fn heed(&mut self, now: Timestamp, interval: Millis, burst: i64) {
        self.0 = self.0.min(now + Millis(interval.0 * (burst + 1)));
    }
}

impl Budget {
    pub fn new(per_second: u32, burst: u32) -> Self {
        let base = Millis((1_000 / i64::from(per_second.max(1))).max(1));
        Self {
            base,
            interval: base,
            burst: i64::from(burst.max(1)),
            all: Debt(Timestamp::MIN),
            sweeps: Debt(Timestamp::MIN),
            polls: 0,
            blocked: Timestamp::MIN,
            changed: Timestamp::MIN,
        }
    }

    /// Time between sweeping requests.
    fn sweep_interval(&self) -> Millis {
        Millis((self.interval.0 * SWEEP_SHARE.1 + SWEEP_SHARE.0 - 1) / SWEEP_SHARE.0)
    }

    /// Requests at once: one, as long as the service has told a limit.
    fn burst(&self) -> i64 {
        if self.interval > self.base { 1 } else { self.burst }
    }

    fn sweep_burst(&self) -> i64 {
        (self.burst() * SWEEP_SHARE.0 / SWEEP_SHARE.1).max(1)
    }

    /// How long to wait before a request; zero: now.
    pub fn wait(&mut self, purpose: Purpose, now: Timestamp) -> Millis {
        self.recover(now);
        if self.blocked - now > LONGEST_BLOCK {
            self.blocked = now;
        }
        let (sweep_interval, sweep_burst) = (self.sweep_interval(), self.sweep_burst());
        let burst = self.burst();
        self.all.heed(now, self.interval, burst);
        self.sweeps.heed(now, sweep_interval, sweep_burst);
        let wait = self.all.wait(now, self.interval, burst).max(self.blocked - now).max(Millis::ZERO);
        match purpose {
            Purpose::Poll => wait,
            Purpose::Sweep => wait.max(self.sweeps.wait(now, sweep_interval, sweep_burst)),
        }
    }

    /// Counts a request.
    pub fn spend(&mut self, purpose: Purpose, now: Timestamp) {
        self.all.spend(now, self.interval);
        match purpose {
            Purpose::Poll => self.polls = self.polls.saturating_add(1),
            Purpose::Sweep => {
                self.polls = 0;
                self.sweeps.spend(now, self.sweep_interval());
            }
        }
    }

    /// Who goes first if both may: polls, unless sweeps have stood back for long enough.
    pub fn first(&self) -> Purpose {
        if self.polls >= POLLS_IN_A_ROW { Purpose::Sweep } else { Purpose::Poll }
    }

    /// The service asked for fewer: nothing for `wait`, and more slowly afterwards.
    pub fn throttled(&mut self, now: Timestamp, wait: Millis, limit: Option<Limit>) {
        let told = match limit {
            Some(limit) => Millis(limit.within.0 * 5 / (i64::from(limit.requests) * 4)),
            None => Millis(self.interval.0 * 2),
        };
        self.interval = told.max(self.interval).min(SLOWEST).max(self.base);
        self.changed = now;
        self.block(now, wait);
    }

    /// Nothing for `wait`.
    pub fn block(&mut self, now: Timestamp, wait: Millis) {
        self.blocked = self.blocked.max(now + wait.min(LONGEST_BLOCK));
    }

    fn recover(&mut self, now: Timestamp) {
        if self.changed > now {
            self.changed = now;
        }
        while self.interval > self.base && now - self.changed >= RECOVERY {
            self.interval = Millis((self.interval.0 * 9 / 10).max(self.base.0));
            self.changed = self.changed + RECOVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_000_000 + ms)
    }

    /// Requests made between two moments by one who asks as often as it may.
    fn made(budget: &mut Budget, purpose: Purpose, from: i64, to: i64) -> usize {
        let (mut now, mut made) = (from, 0);
        while now < to {
            match budget.wait(purpose, at(now)) {
                Millis::ZERO => {
                    budget.spend(purpose, at(now));
                    made += 1;
                }
                wait => now += wait.0,
            }
        }
        made
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut budget = Budget::new(1, 5);
        assert_eq!(made(&mut budget, Purpose::Poll, 0, 1), 5);
        assert_eq!(made(&mut budget, Purpose::Poll, 1, 60_001), 60);
    }

    #[test]
    fn sweeps_take_three_in_ten() {
        let mut budget = Budget::new(1, 5);
        let sweeps = made(&mut budget, Purpose::Sweep, 0, 100_000);
        assert!((29..=31).contains(&sweeps), "{sweeps}");
        assert!(budget.wait(Purpose::Poll, at(100_000)) == Millis::ZERO);
    }

    #[test]
    fn a_limit_that_is_told_is_kept_below_and_forgotten_in_time() {
        let mut budget = Budget::new(10, 5);
        budget.throttled(at(0), Millis::secs(5), Some(Limit { requests: 5, within: Millis::secs(5) }));
        assert_eq!(budget.wait(Purpose::Poll, at(0)), Millis::secs(5));
        assert_eq!(made(&mut budget, Purpose::Poll, 5_000, 25_000), 16);
        assert_eq!(made(&mut budget, Purpose::Poll, 7_200_000, 7_210_000), 104);
    }

    #[test]
    fn without_a_limit_told_the_rate_is_halved_and_never_below_one_in_two_minutes() {
        let mut budget = Budget::new(1, 1);
        budget.throttled(at(0), Millis::secs(5), None);
        assert_eq!(made(&mut budget, Purpose::Poll, 5_000, 25_000), 10);
        for _ in 0..20 {
            budget.throttled(at(25_000), Millis::secs(5), None);
        }
        assert_eq!(budget.interval, SLOWEST);
    }

    #[test]
    fn a_clock_that_is_set_back_costs_a_short_wait() {
        let mut budget = Budget::new(1, 5);
        assert_eq!(made(&mut budget, Purpose::Poll, 0, 1), 5);
        budget.block(at(0), Millis::mins(1));
        let past = Timestamp(at(0).0 - Millis::days(1).0);
        assert!(budget.wait(Purpose::Sweep, past) <= Millis::secs(10));
    }
}
