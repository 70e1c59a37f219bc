//! In which order one receiver hears of one alert.
//!
//! A service that keeps incidents opens one when it hears of an alert and closes it when it hears of
//! the end. Heard the other way round, because the first try failed, it would stay open for ever. So
//! an end waits for what comes before it; a change does not, for it says all that the messages before
//! it say: they are told with it. What was overtaken is never sent after what overtook it.

use super::delivery::DeliveryId;
use crate::record::Timestamp;

/// Another message that tells the same receiver of the same alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Which delivery.
    pub id: DeliveryId,
    /// Which revision it tells.
    pub revision: u32,
    /// How far it is.
    pub stands: Stands,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// The receiver took it, alone or in a digest.
    Told,
    /// It waits and can be told with another.
    Waits {
        /// When it is due.
        due: Timestamp,
    },
    /// It is on its way, or stands in a digest that is.
    Underway {
        /// Nothing is known of it before then.
        until: Timestamp,
    },
    /// Nobody will be told it: a dead letter, put aside, or told with another of its siblings.
    Over,
}

/// What becomes of a message whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It is sent now, and these are told with it.
    Now {
        /// Earlier ones that wait.
        with: Vec<DeliveryId>,
    },
    /// What comes before it is not done.
    After {
        /// Look again then.
        until: Timestamp,
    },
    /// A later one was told: this one tells nothing new.
    Overtaken {
        /// By which.
        by: DeliveryId,
    },
}

/// What becomes of the message of `revision`, which is the alert's end or a change of it. `siblings`
/// tell the same receiver of the same alert.
pub fn place(revision: u32, is_end: bool, siblings: &[Sibling]) -> Place {
    let told = siblings.iter().filter(|one| one.stands == Stands::Told);
    let last = told.clone().filter(|one| one.revision > revision).max_by_key(|one| one.revision);
    if let Some(later) = last {
        return Place::Overtaken { by: later.id };
    }
    let earlier = || siblings.iter().filter(|one| one.revision < revision);
    let underway = earlier().filter_map(|one| match one.stands {
        Stands::Underway { until } => Some(until),
        Stands::Told | Stands::Waits { .. } | Stands::Over => None,
    });
    if let Some(until) = underway.max() {
        return Place::After { until };
    }
    let waiting = || {
        earlier().filter_map(|one| match one.stands {
            Stands::Waits { due } => Some((one.id, due)),
            Stands::Told | Stands::Underway { .. } | Stands::Over => None,
        })
    };
    // An end that is told of what was never told of opens nothing and closes nothing.
    let begun = earlier().any(|one| one.stands == Stands::Told);
    match waiting().map(|(_, due)| due).max() {
        Some(until) if is_end && !begun => Place::After { until },
        Some(_) | None => Place::Now { with: waiting().map(|(id, _)| id).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(60_000);

    fn sibling(revision: u8, stands: Stands) -> Sibling {
        Sibling { id: DeliveryId([revision; 16]), revision: u32::from(revision), stands }
    }

    fn now(with: &[u8]) -> Place {
        Place::Now { with: with.iter().map(|id| DeliveryId([*id; 16])).collect() }
    }

    #[test]
    fn an_end_waits_for_the_beginning_and_a_change_brings_it_along() {
        let (waits, told) = (Stands::Waits { due: AT }, Stands::Told);
        let after = Place::After { until: AT };
        for (revision, is_end, siblings, expected) in [
            (1, false, vec![], now(&[])),
            (2, true, vec![sibling(1, told)], now(&[])),
            (2, true, vec![sibling(1, waits)], after.clone()),
            (2, true, vec![sibling(1, Stands::Underway { until: AT })], after.clone()),
            (2, false, vec![sibling(1, waits)], now(&[1])),
            (2, false, vec![sibling(1, Stands::Underway { until: AT })], after.clone()),
            (2, true, vec![sibling(1, Stands::Over)], now(&[])),
            (3, true, vec![sibling(1, told), sibling(2, waits)], now(&[2])),
            (3, true, vec![sibling(1, Stands::Over), sibling(2, waits)], after),
            (1, false, vec![sibling(2, waits)], now(&[])),
        ] {
            assert_eq!(place(revision, is_end, &siblings), expected, "{revision} of {siblings:?}");
        }
    }

    #[test]
    fn what_was_overtaken_is_never_told() {
        let siblings = [sibling(3, Stands::Told), sibling(2, Stands::Told)];
        assert_eq!(place(1, false, &siblings), Place::Overtaken { by: DeliveryId([3; 16]) });
        assert_eq!(place(4, true, &siblings), now(&[]));
    }
}
