//! Virtual time: what the service's `Date` says.
//!
//! It runs at a whole multiple of a clock that is given with each question, or stands (speed 0)
//! until it is moved. Nothing here reads a clock.

use crate::record::{Millis, Timestamp};

/// Fastest play: a day in a second and a half. Past it a poller sees a new month at every request.
pub const MAX_SPEED: u32 = 60_000;

/// Virtual time as a function of the wall clock.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    /// Virtual time at `wall`.
    from: Timestamp,
    /// The wall clock when the clock was last moved or its speed changed.
    wall: Timestamp,
    /// Virtual milliseconds for one of the wall clock.
    speed: u32,
}

impl VirtualClock {
    /// A clock that shows `from` when the wall clock shows `wall`.
    pub fn new(from: Timestamp, wall: Timestamp, speed: u32) -> Self {
        Self { from, wall, speed: speed.min(MAX_SPEED) }
    }

    /// Virtual now. A wall clock that was set back does not set this one back.
    pub fn now(&self, wall: Timestamp) -> Timestamp {
        let elapsed = (wall - self.wall).0.max(0);
        self.from + Millis(elapsed.saturating_mul(i64::from(self.speed)))
    }

    /// Virtual milliseconds for one of the wall clock; 0 stands still.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// Shows `now` from here on, back in time too.
    pub fn set(&mut self, now: Timestamp, wall: Timestamp) {
        (self.from, self.wall) = (now, wall);
    }

    /// Runs at another speed from here on.
    pub fn run_at(&mut self, speed: u32, wall: Timestamp) {
        *self = Self::new(self.now(wall), wall, speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_at_its_speed_and_stands_at_none() {
        let mut clock = VirtualClock::new(Timestamp(1_000), Timestamp(50), 60);
        assert_eq!(clock.now(Timestamp(50)), Timestamp(1_000));
        assert_eq!(clock.now(Timestamp(52)), Timestamp(1_120));
        clock.run_at(0, Timestamp(52));
        assert_eq!(clock.now(Timestamp(9_999)), Timestamp(1_120));
        clock.set(Timestamp(7), Timestamp(10_000));
        assert_eq!(clock.now(Timestamp(10_001)), Timestamp(7));
    }

    #[test]
    fn a_wall_clock_set_back_does_not_set_it_back() {
        let clock = VirtualClock::new(Timestamp(1_000), Timestamp(50), 1);
        assert_eq!(clock.now(Timestamp(10)), Timestamp(1_000));
    }
}
