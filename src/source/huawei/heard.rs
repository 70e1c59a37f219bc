//! What an answer means for the lane that asked, for its host, and for all: a reading, a wait, a stop.
//!
//! A trouble of the credentials stops every lane; five bad tries would lock the key for everybody.

use super::super::live::{Reading, Step, Trouble};
use super::budget::Purpose;
use super::client::{Silence, host_of};
use super::trouble::{self, Answer, Bad, judge};
use super::{Huawei, credentials};
use crate::record::{Millis, Timestamp};

/// The first wait after a failure; each further one doubles it.
const FIRST_WAIT: Millis = Millis::secs(5);
const LONGEST_WAIT: Millis = Millis::mins(5);
/// Failures in a row after which a walk is given up and begun anew.
const PATIENCE: u32 = 5;
/// A signature this close to the service's clock is not refused for its date.
const CLOSE: Millis = Millis::mins(5);

impl Huawei {
    /// Takes in an answer, or the lack of one.
    pub(super) fn heard(
        &mut self,
        number: usize,
        purpose: Purpose,
        answer: Result<Answer, Silence>,
        signed_at: Timestamp,
        now: Timestamp,
    ) -> Step {
        let polled = &mut self.lanes[number];
        let host = &mut self.hosts[polled.host];
        let name = host_of(&host.base);
        let answer = match answer {
            Ok(answer) => answer,
            Err(Silence::Unreachable(text)) => {
                return self.passing(number, purpose, format!("cannot ask `{name}`: {text}"), None, now);
            }
            Err(Silence::Giant) => return self.giant(number, purpose, now),
        };
        let probed = host.ahead.is_none();
        if let Some(date) = answer.date {
            host.ahead = Some(date - now);
        }
        let page = match judge(&answer, polled.api, &name, &self.requests.redactor) {
            Ok(page) => page,
            Err(bad) => return self.refused(number, purpose, bad, &answer, signed_at, now),
        };
        let Some(date) = answer.date else {
            let text =
                format!("`{name}` does not say its time (`Date`): nobody knows up to when rows are complete");
            return self.passing(number, purpose, text, None, now);
        };
        (polled.failures, host.corrected) = (0, false);
        self.requests.keeper.accepted();
        if probed {
            return Step::Wait(Millis::ZERO);
        }
        let reading = polled.lane.take(purpose, page, date);
        if purpose == Purpose::Poll && !polled.lane.is_polling() {
            polled.next_poll = if polled.lane.is_behind(date) { now } else { polled.begun + self.every };
        }
        match reading {
            Some(reading) => Step::Read(Box::new(Reading { lane: number, ..reading })),
            None => Step::Wait(Millis::ZERO),
        }
    }

    /// A failure that is worth another try, later each time.
    fn passing(
        &mut self,
        number: usize,
        purpose: Purpose,
        text: String,
        asked: Option<Millis>,
        now: Timestamp,
    ) -> Step {
        let polled = &mut self.lanes[number];
        let wait = Millis(FIRST_WAIT.0 << polled.failures.min(16)).min(LONGEST_WAIT);
        polled.not_before = now + wait.max(asked.unwrap_or(Millis::ZERO));
        polled.failures += 1;
        if polled.failures.is_multiple_of(PATIENCE) {
            polled.lane.drop_walk(purpose);
        }
        Step::Failed { lane: number, trouble: Trouble::Passing(text) }
    }

    fn giant(&mut self, number: usize, purpose: Purpose, now: Timestamp) -> Step {
        self.lanes[number].lane.ask_less(purpose);
        let text = "the answer is longer than 16 MiB; fewer rows are asked for".to_owned();
        self.passing(number, purpose, text, None, now)
    }

    /// Takes in an answer that is no page.
    fn refused(
        &mut self,
        number: usize,
        purpose: Purpose,
        bad: Bad,
        answer: &Answer,
        signed_at: Timestamp,
        now: Timestamp,
    ) -> Step {
        let polled = &mut self.lanes[number];
        let host = &mut self.hosts[polled.host];
        match bad {
            Bad::Passing { text, wait } => self.passing(number, purpose, text, wait, now),
            Bad::Throttled { text, wait, limit } => {
                host.budget.throttled(now, wait, limit);
                Step::Failed { lane: number, trouble: Trouble::Throttled { wait, text } }
            }
            Bad::Refused { text } => {
                polled.lane.drop_walk(purpose);
                polled.not_before = now + trouble::REFUSED;
                let trouble = Trouble::Refused { wait: Some(trouble::REFUSED), text, whole: false };
                Step::Failed { lane: number, trouble }
            }
            Bad::Ended { text } => {
                if self.requests.keeper.has_ended() {
                    return Step::Wait(Millis::ZERO);
                }
                let wait = credentials::REFUSED;
                let text = format!("{text}; what was lent anew is refused too");
                self.stop(now + wait, Some(wait), &text)
            }
            Bad::Credentials { text } => {
                self.refused = true;
                self.stop(Timestamp::MAX, None, &text)
            }
            Bad::Locked { text, wait } => self.stop(now + wait, Some(wait), &text),
            Bad::Clock { text } => {
                let off = answer.date.map_or(Millis::ZERO, |date| date - signed_at);
                if !host.corrected && (off > CLOSE || Millis::ZERO > off + CLOSE) {
                    (self.by_service, host.corrected) = (true, true);
                    return Step::Wait(Millis::ZERO);
                }
                if self.requests.keeper.is_lent() && self.requests.keeper.has_ended() {
                    return Step::Wait(Millis::ZERO);
                }
                let text = format!(
                    "{text}; the signature was dated {signed_at}, the service's clock differs by {off}: set this \
                     machine's clock, or, where `security_token` is used, put new temporary keys in place"
                );
                self.stop(now + trouble::REFUSED, Some(trouble::REFUSED), &text)
            }
        }
    }

    /// Nothing is asked any more before `until`; every lane says so.
    pub(super) fn stop(&mut self, until: Timestamp, wait: Option<Millis>, text: &str) -> Step {
        self.stopped = until;
        let trouble = Trouble::Refused { wait, text: text.to_owned(), whole: true };
        let failed = |lane: usize| Step::Failed { lane, trouble: trouble.clone() };
        self.said.extend((1..self.lanes.len()).map(failed));
        failed(0)
    }
}
