//! The transport limit of one receiver: what its service allows is never exceeded.
//!
//! `governor` counts the tokens; time comes in with each question, and what was sent before a
//! restart is counted again. A share of the tokens is only for critical messages; queue and order
//! are not decided here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::deliver::Transport;
use crate::record::{Level, Millis, Timestamp};

/// Of a hundred tokens, so many are only for critical messages, and one of the burst.
const RESERVED: u32 = 30;

/// The tokens of one receiver.
#[derive(Debug)]
pub struct Tokens {
    hand: Hand,
    common: Limiter,
    /// None where the limit is too small to be shared out.
    reserve: Option<Limiter>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Hand, NoOpMiddleware<Duration>>;

/// A clock that moves on as far as the times do that it is told, and stands while they go back: where the
/// machine's clock is set back, tokens come as fast as before. Milliseconds since 1970, at first.
#[derive(Debug, Clone)]
struct Hand(Arc<[AtomicI64; 2]>);

impl Hand {
    fn at(start: i64) -> Self {
        Self(Arc::new([start.into(), start.into()]))
    }

    fn tell(&self, now: Timestamp) {
        let [shown, told] = &*self.0;
        let before = told.swap(now.0, Ordering::Relaxed);
        shown.fetch_add((now - Timestamp(before)).0.max(0), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let [shown, _] = &*self.0;
        Duration::from_millis(shown.load(Ordering::Relaxed).max(0).unsigned_abs())
    }
}

impl Tokens {
    /// The tokens that are left of `transport` after what was `sent`, oldest first.
    pub fn new(transport: Transport, sent: &[(Timestamp, Level)]) -> Self {
        let start = sent.first().map_or(0, |(at, _)| at.0);
        let hand = Hand::at(start);
        let limiter = |per_minute: u32, burst: u32| {
            let whole = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_minute(whole(per_minute)).allow_burst(whole(burst));
            RateLimiter::direct_with_clock(quota, hand.clone())
        };
        let Transport { per_minute, burst } = transport;
        let reserved = per_minute / 100 * RESERVED + per_minute % 100 * RESERVED / 100;
        let shared = burst > 1 && reserved > 0;
        let tokens = Self {
            common: if shared {
                limiter(per_minute - reserved, burst - 1)
            } else {
                limiter(per_minute, burst)
            },
            reserve: shared.then(|| limiter(reserved, 1)),
            hand: hand.clone(),
        };
        for (at, level) in sent {
            // More than is allowed now may have been sent under an older configuration: no debt beyond empty.
            let _ = tokens.take(*level, true, *at);
        }
        tokens
    }

    /// Takes a token for a message of `level`, or tells when there is one. A critical message takes
    /// from the common share only if it `may_share`: not while milder ones have waited too long.
    pub fn take(&self, level: Level, may_share: bool, now: Timestamp) -> Result<(), Timestamp> {
        self.hand.tell(now);
        let mut soonest = Timestamp::MAX;
        let reserve = self.reserve.as_ref().filter(|_| level == Level::Critical);
        let common = Some(&self.common).filter(|_| may_share || reserve.is_none());
        for limiter in [reserve, common].into_iter().flatten() {
            match limiter.check() {
                Ok(()) => return Ok(()),
                Err(not_until) => {
                    let wait = not_until.wait_time_from(self.hand.now());
                    // Rounded up: asked again a fraction of a millisecond early, it would say no.
                    let wait = Millis(i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX));
                    soonest = soonest.min(now + Millis(wait.0.max(1)));
                }
            }
        }
        Err(soonest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLACK: Transport = Transport { per_minute: 60, burst: 3 };
    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn burst(tokens: &Tokens, level: Level, may_share: bool, now: Timestamp) -> usize {
        (0..100).take_while(|_| tokens.take(level, may_share, now).is_ok()).count()
    }

    #[test]
    fn a_slot_of_the_burst_is_kept_for_critical_messages() {
        let tokens = Tokens::new(SLACK, &[]);
        assert_eq!(burst(&tokens, Level::High, true, NOW), 2);
        assert_eq!(burst(&tokens, Level::Critical, true, NOW), 1);
        let later = NOW + Millis::mins(5);
        assert_eq!(burst(&tokens, Level::Critical, true, later), 3, "it may take all of them");
        let later = later + Millis::mins(5);
        assert_eq!(burst(&tokens, Level::Critical, false, later), 1, "but not where milder ones starve");
    }

    #[test]
    fn it_tells_when_the_next_message_may_go() {
        let tokens = Tokens::new(Transport { per_minute: 7, burst: 1 }, &[]);
        assert_eq!(tokens.take(Level::Low, true, NOW), Ok(()));
        let until = tokens.take(Level::Low, true, NOW).unwrap_err();
        assert_eq!(until, NOW + Millis(8_572));
        assert_eq!(tokens.take(Level::Low, true, until), Ok(()));
    }

    #[test]
    fn what_was_sent_before_a_restart_counts() {
        let sent = [(NOW, Level::High), (NOW, Level::High)];
        let tokens = Tokens::new(SLACK, &sent);
        assert_eq!(burst(&tokens, Level::High, true, NOW), 0);
        assert_eq!(burst(&tokens, Level::High, true, NOW + Millis::mins(1)), 2);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_token_back() {
        let tokens = Tokens::new(SLACK, &[]);
        assert_eq!(burst(&tokens, Level::High, true, NOW + Millis::hours(5)), 2);
        let until = tokens.take(Level::High, true, NOW).unwrap_err();
        assert!(until - NOW < Millis::secs(5), "{until}");
        assert_eq!(tokens.take(Level::High, true, until), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_service_allows(
            per_minute in 1..300_u32, burst in 1..10_u32, restart in 0..200_usize,
            asks in prop::collection::vec((0..3_000_i64, 0..5_usize, any::<bool>()), 1..200),
        ) {
            let transport = Transport { per_minute, burst };
            let mut tokens = Tokens::new(transport, &[]);
            let mut sent: Vec<(Timestamp, Level)> = Vec::new();
            let mut now = NOW;
            for (number, (later, level, may_share)) in asks.into_iter().enumerate() {
                now = now + Millis(later);
                if number == restart {
                    tokens = Tokens::new(transport, &sent);
                }
                if tokens.take(Level::ALL[level], may_share, now).is_ok() {
                    sent.push((now, Level::ALL[level]));
                }
            }
            for (first, (from, _)) in sent.iter().enumerate() {
                for (last, (to, _)) in sent.iter().enumerate().skip(first) {
                    let refilled = (*to - *from).0 * i64::from(per_minute);
                    let count = i64::try_from(last - first + 1).unwrap();
                    prop_assert!(count * 60_000 <= i64::from(burst) * 60_000 + refilled);
                }
            }
        }
    }
}
