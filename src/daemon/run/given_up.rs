//! What the log says of messages that are given up on: the first of a receiver at once, and those of the next
//! minute together, however many they are.

use super::{BTreeMap, ReceiverName};
use crate::record::{Millis, Timestamp};
use crate::route::DeliveryId;

/// How long after a line further dead letters of the receiver are only counted.
const TOGETHER: Millis = Millis::mins(1);

/// Dead letters of each receiver that the log told of lately, and those that it did not yet.
#[derive(Debug, Default)]
pub(super) struct GivenUp(BTreeMap<ReceiverName, Lately>);

#[derive(Debug)]
struct Lately {
    /// When the log said something.
    at: Timestamp,
    /// Dead letters since.
    more: u64,
    /// Why the last of them was given up on.
    reason: String,
}

impl GivenUp {
    /// A message is given up on.
    pub(super) fn one(
        &mut self,
        receiver: &ReceiverName,
        delivery: DeliveryId,
        tells: &str,
        reason: &str,
        now: Timestamp,
    ) {
        if !self.says(receiver, reason, now) {
            return;
        }
        tracing::warn!(
            %receiver,
            %delivery,
            tells,
            reason,
            "a message is given up on; `larum deliveries redrive {delivery}` sends it again once that is mended"
        );
    }

    /// Says how many there were since the log said something, where that is long enough ago.
    pub(super) fn others(&mut self, now: Timestamp) {
        for (receiver, more, reason) in self.due(now) {
            tracing::warn!(
                %receiver,
                more,
                reason,
                "more messages are given up on; `larum deliveries --receiver {receiver} --state dead` lists them, and \
                 `larum deliveries redrive --receiver {receiver}` sends them again once that is mended"
            );
        }
    }

    /// True where it is said by itself; else it is counted.
    fn says(&mut self, receiver: &ReceiverName, reason: &str, now: Timestamp) -> bool {
        if let Some(lately) = self.0.get_mut(receiver).filter(|lately| !is_past(lately.at, now)) {
            lately.more += 1;
            reason.clone_into(&mut lately.reason);
            return false;
        }
        let lately = Lately { at: now, more: 0, reason: reason.to_owned() };
        // What was counted before is said with it.
        let before = self.0.insert(receiver.clone(), lately);
        if let (Some(before), Some(lately)) = (before, self.0.get_mut(receiver)) {
            lately.more = before.more;
        }
        true
    }

    fn due(&mut self, now: Timestamp) -> Vec<(ReceiverName, u64, String)> {
        let over: Vec<(ReceiverName, Lately)> =
            self.0.extract_if(.., |_, lately| is_past(lately.at, now)).collect();
        let mut due = Vec::new();
        for (receiver, lately) in over.into_iter().filter(|(_, lately)| lately.more > 0) {
            due.push((receiver.clone(), lately.more, lately.reason.clone()));
            self.0.insert(receiver, Lately { at: now, more: 0, ..lately });
        }
        due
    }
}

/// A clock that was set back must not keep it back.
fn is_past(at: Timestamp, now: Timestamp) -> bool {
    now < at || now - at >= TOGETHER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_of_a_minute_together() {
        let (mut given_up, at) = (GivenUp::default(), |seconds: i64| Timestamp(seconds * 1_000));
        let (hook, mail): (ReceiverName, ReceiverName) = ("hook".parse().unwrap(), "mail".parse().unwrap());
        assert!(given_up.says(&hook, "404", at(0)) && given_up.says(&mail, "550", at(1)));
        assert!(!given_up.says(&hook, "404", at(2)) && !given_up.says(&hook, "413", at(59)));
        assert_eq!(given_up.due(at(59)), []);
        assert_eq!(given_up.due(at(61)), [(hook.clone(), 2, "413".to_owned())]);
        assert!(!given_up.says(&hook, "404", at(62)), "a line was a moment ago");
        assert!(given_up.says(&mail, "550", at(62)));
        assert_eq!(given_up.due(at(121)), [(hook.clone(), 1, "404".to_owned())]);
        assert_eq!(given_up.due(at(500)), []);
        assert!(given_up.0.is_empty() && given_up.says(&hook, "404", at(501)));
        assert!(given_up.says(&hook, "404", at(400)), "the clock was set back");
    }
}
