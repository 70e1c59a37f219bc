//! Which lanes of a source fail for which reason: one alert of Larum's own a cause, however many lanes
//! it stops. The alert is over when every lane that it stopped is read again.

use std::collections::BTreeSet;

/// What is told of, and the lanes that it stops.
#[derive(Debug, Default)]
pub(super) struct Causes(Vec<Cause>);

#[derive(Debug)]
struct Cause {
    why: String,
    /// Under which it was told.
    subject: String,
    lanes: BTreeSet<usize>,
}

impl Causes {
    /// Notes that `lane` fails because of `why`. True where that is not told yet: it stands under
    /// `subject` from now on.
    pub(super) fn fails(&mut self, lane: usize, why: &str, subject: &str) -> bool {
        if let Some(cause) = self.0.iter_mut().find(|cause| cause.why == why) {
            cause.lanes.insert(lane);
            return false;
        }
        let (why, subject) = (why.to_owned(), subject.to_owned());
        self.0.push(Cause { why, subject, lanes: BTreeSet::from([lane]) });
        true
    }

    /// Notes that `lane` is read; the subjects of what is over with that.
    pub(super) fn reads(&mut self, lane: usize) -> Vec<String> {
        for cause in &mut self.0 {
            cause.lanes.remove(&lane);
        }
        let over: Vec<Cause> = self.0.extract_if(.., |cause| cause.lanes.is_empty()).collect();
        let still = |subject: &String| self.0.iter().any(|cause| cause.subject == *subject);
        over.into_iter().map(|cause| cause.subject).filter(|subject| !still(subject)).collect()
    }

    /// Whether something is told under `subject`.
    pub(super) fn stands(&self, subject: &str) -> bool {
        self.0.iter().any(|cause| cause.subject == subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_told_once_and_is_over_when_every_lane_is_read() {
        let mut causes = Causes::default();
        assert!(causes.fails(0, "refused", "prod"));
        assert!(!causes.fails(1, "refused", "prod") && !causes.fails(0, "refused", "prod"));
        assert!(causes.fails(2, "no answer", "prod/app_launches"), "another cause is another matter");
        assert_eq!(causes.reads(0), Vec::<String>::new());
        assert!(causes.stands("prod"));
        assert_eq!(causes.reads(1), ["prod"]);
        assert_eq!(causes.reads(2), ["prod/app_launches"]);
        assert!(!causes.stands("prod") && causes.reads(0).is_empty());
    }

    #[test]
    fn a_lane_that_fails_in_two_ways_is_well_when_it_is_read() {
        let mut causes = Causes::default();
        assert!(causes.fails(0, "refused", "prod") && causes.fails(0, "locked", "prod"));
        assert_eq!(causes.reads(0), ["prod", "prod"], "the end of one subject, said twice, is told once");
    }
}
