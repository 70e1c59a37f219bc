//! No verb: every hit is an alert.

use crate::alert::Finding;

use super::{Judge, Reach, Tally, Verdict, Window};

/// A rule without a verb, compiled.
#[derive(Debug)]
pub struct Each;

impl Judge for Each {
    fn reach(&self) -> Reach {
        Reach::Alone
    }

    fn judge(&self, _tally: &Tally, _window: Window<'_>) -> Verdict {
        Verdict::Holds
    }

    fn describe(&self, _tally: &Tally, _window: Window<'_>) -> Finding {
        Finding { count: 1, ..Finding::default() }
    }
}
