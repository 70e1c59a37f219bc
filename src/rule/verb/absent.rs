//! `absent`: no hit for so long.
//!
//! The group's last hit is all that is kept. `engine::group` meets the deadline; nothing here knows
//! what time it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Finding;
use crate::record::{Millis, RecordId, Timestamp};
use crate::rule::hours::Hours;
use crate::rule::lists::List;

use super::{Judge, Reach, Reason, Tally, Verdict, Window, single};

/// `absent:`, compiled. Time judges it.
#[derive(Debug)]
pub struct Absent {
    /// Fires so long after the last hit.
    pub lasts: Millis,
    /// A group without a hit for so long is forgotten.
    pub retire: Option<Millis>,
    /// Only time within counts; none: all does.
    pub hours: Option<Hours>,
    /// Values that are groups without a hit of their own.
    pub from: Option<Arc<List>>,
}

/// A group that is one because of a list, whatever hits it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Until when; none: for good.
    pub until: Option<Timestamp>,
}

/// Stands where a group has had no hit: time runs since then all the same.
pub const NOBODY: RecordId = RecordId([0; 16]);

impl Absent {
    /// When a group is told of whose last hit was then.
    pub fn due(&self, last: Timestamp) -> Timestamp {
        match &self.hours {
            None => last + self.lasts,
            Some(hours) => hours.after(last, self.lasts).unwrap_or(Timestamp::MAX),
        }
    }

    /// What an alert says of a group that has been silent for `silent`.
    pub fn silence(&self, silent: Millis) -> Finding {
        Finding {
            count: 0,
            scope: single("silent", silent.to_string()),
            threshold: single("for", self.lasts.to_string()),
            actual: single("silent", silent.to_string()),
            ..Finding::default()
        }
    }
}

impl Judge for Absent {
    fn reach(&self) -> Reach {
        Reach::Alone
    }

    fn judge(&self, _tally: &Tally, _window: Window<'_>) -> Verdict {
        Verdict::Short(Reason::Came)
    }

    fn describe(&self, _tally: &Tally, _window: Window<'_>) -> Finding {
        Finding { count: 1, ..Finding::default() }
    }

    fn waits(&self) -> bool {
        true
    }
}
