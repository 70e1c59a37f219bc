//! `absent`: no hit for so long.
//!
//! The group's last hit is all that is kept. `engine::group` meets the deadline; nothing here knows
//! what time it is.

use crate::alert::Finding;
use crate::record::Millis;

use super::single;

/// `absent:`, compiled.
#[derive(Debug)]
pub struct Absent {
    /// Fires so long after the last hit.
    pub lasts: Millis,
    /// A group without a hit for so long is forgotten.
    pub retire: Option<Millis>,
}

impl Absent {
    /// What an alert says of a group that has been silent for `silent`.
    pub fn describe(&self, silent: Millis) -> Finding {
        Finding {
            count: 0,
            scope: single("silent", silent.to_string()),
            threshold: single("for", self.lasts.to_string()),
            actual: single("silent", silent.to_string()),
            ..Finding::default()
        }
    }
}
