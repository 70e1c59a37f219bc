//! `absent`: no hit for so long.
//!
//! The group's last hit is all that is kept. `engine::group` meets the deadline; nothing here knows
//! what time it is.

use crate::alert::Finding;
use crate::record::Millis;

use super::{Judge, Reach, Reason, Tally, Verdict, Window, single};

/// `absent:`, compiled. Time judges it.
#[derive(Debug)]
pub struct Absent {
    /// Fires so long after the last hit.
    pub lasts: Millis,
    /// A group without a hit for so long is forgotten.
    pub retire: Option<Millis>,
}

impl Absent {
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
