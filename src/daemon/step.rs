//! Every point before and after a durable or outward act of the daemon, by name, so that tests can
//! stop it at each as a crash would.
//!
//! In production a [`Steps`] does nothing. Nothing here tidies up: what stops at a step leaves
//! everything as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A point in intake or dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Intake: a source has read, and nothing came of it yet.
    AfterRead,
    /// Intake: rules have judged, and nothing is kept yet.
    BeforeCommit,
    /// Intake: journal, cursor, alerts and deliveries are kept.
    AfterCommit,
    /// Intake: a checkpoint is about to be written.
    BeforeCheckpoint,
    /// Intake: a checkpoint is written.
    AfterCheckpoint,
    /// Dispatch: deliveries are about to be put off, by a limit or a silence.
    BeforeHold,
    /// Dispatch: they are put off.
    AfterHold,
    /// Dispatch: a digest is about to stand for several deliveries.
    BeforeFold,
    /// Dispatch: it stands for them.
    AfterFold,
    /// Dispatch: a try is about to be noted.
    BeforeLease,
    /// Dispatch: it is noted, and nothing is sent yet.
    AfterLease,
    /// Dispatch: the receiver has answered, and nothing of it is noted yet.
    AfterSend,
    /// Dispatch: the outcome is noted.
    AfterOutcome,
    /// Dispatch: a probe is about to be sent.
    BeforeProbe,
    /// Dispatch: a probe was answered.
    AfterProbe,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 15] = [
        Self::AfterRead,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::BeforeCheckpoint,
        Self::AfterCheckpoint,
        Self::BeforeHold,
        Self::AfterHold,
        Self::BeforeFold,
        Self::AfterFold,
        Self::BeforeLease,
        Self::AfterLease,
        Self::AfterSend,
        Self::AfterOutcome,
        Self::BeforeProbe,
        Self::AfterProbe,
    ];

    /// Those of intake.
    pub const INTAKE: &[Self] = Self::ALL.split_at(5).0;
    /// Those of dispatch.
    pub const DISPATCH: &[Self] = Self::ALL.split_at(5).1;
}

/// The daemon was stopped at a step: everything is to be dropped as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped at {0:?}")]
pub struct Stopped(pub Step);

/// Where the daemon is to stop; nowhere, outside tests.
#[derive(Debug, Clone, Default)]
pub struct Steps(Option<Arc<Trap>>);

#[derive(Debug)]
struct Trap {
    at: Step,
    /// Passings before the one that stops.
    left: AtomicU64,
    /// It has stopped: whatever is still running stops at its next step.
    sprung: AtomicU64,
}

impl Steps {
    /// Stops nowhere.
    pub fn none() -> Self {
        Self(None)
    }

    /// Stops when `at` is passed for the `nth` time (1 is the first), and everything after that at
    /// whatever step it comes to.
    pub fn stop_at(at: Step, nth: u64) -> Self {
        let left = AtomicU64::new(nth.saturating_sub(1));
        Self(Some(Arc::new(Trap { at, left, sprung: AtomicU64::new(0) })))
    }

    /// True once it has stopped something.
    pub fn has_stopped(&self) -> bool {
        self.0.as_ref().is_some_and(|trap| trap.sprung.load(Ordering::SeqCst) > 0)
    }

    /// To be called at `step`, and its error handed up at once.
    pub fn pass(&self, step: Step) -> Result<(), Stopped> {
        let Some(trap) = &self.0 else { return Ok(()) };
        if self.has_stopped() {
            return Err(Stopped(step));
        }
        let count_down = |left: u64| left.checked_sub(1);
        if step != trap.at || trap.left.try_update(Ordering::SeqCst, Ordering::SeqCst, count_down).is_ok() {
            return Ok(());
        }
        trap.sprung.fetch_add(1, Ordering::SeqCst);
        Err(Stopped(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stops_at_its_nth_passing_and_everything_after_it() {
        let steps = Steps::stop_at(Step::AfterSend, 2);
        assert_eq!(steps.pass(Step::AfterSend), Ok(()));
        assert_eq!(steps.pass(Step::BeforeLease), Ok(()));
        assert!(!steps.has_stopped());
        assert_eq!(steps.pass(Step::AfterSend), Err(Stopped(Step::AfterSend)));
        assert_eq!(steps.pass(Step::BeforeLease), Err(Stopped(Step::BeforeLease)));
        assert_eq!(Steps::none().pass(Step::AfterSend), Ok(()));
    }

    #[test]
    fn every_step_is_of_intake_or_of_dispatch() {
        assert_eq!([Step::INTAKE, Step::DISPATCH].concat(), Step::ALL);
        assert_eq!(Step::DISPATCH.first(), Some(&Step::BeforeHold));
    }
}
