//! When a window fires for the other programs that look at it.
//!
//! They keep the same hits in the same groups and none of them changes what is kept: no cooldown holds a
//! hit back, nothing empties the window, no alert stays open. So the hits are kept once, and all that each
//! has of its own is what it has told of already, for hits that come late.

use super::firing::NOTHING;
use super::{Alike, Firing, Group, Surroundings};
use crate::engine::Counters;
use crate::record::{Millis, Timestamp};
use crate::rule::compile::Program;
use crate::rule::verb::{Judge as _, MAX_RECORDS, Reach, Verdict, Window};

impl Group {
    /// Judges the last hit, or the late one at that place, for the others.
    pub(super) fn judge_alike(&mut self, late: Option<usize>, around: &mut Surroundings<'_>) {
        let Alike::These { numbers, list, raised } = &mut around.alike else { return };
        for (place, (number, raised)) in numbers.iter().zip(raised.iter_mut()).enumerate() {
            let program = &list[*number];
            if late.is_none() && !self.holds(program, around.shared, around.key) {
                continue;
            }
            let mut counters = Counters::default();
            let mut theirs = Surroundings {
                tenant: around.tenant,
                program,
                key: around.key,
                readable: around.readable,
                shared: around.shared,
                counters: &mut counters,
                drafts: around.drafts,
                fault: around.fault,
                aside: around.aside,
                alike: Alike::Nobody,
            };
            self.turn_to(place);
            match late {
                Some(at) => {
                    self.judge_late(at, &mut theirs);
                }
                None => {
                    self.judge_last(&mut theirs);
                }
            }
            if let Some(last) = self.last {
                self.forget_firings(last, program);
            }
            self.turn_from(place);
            *raised += counters.alerts;
        }
    }

    fn holds(&self, program: &Program, shared: &crate::rule::verb::Shared, key: &[u8]) -> bool {
        let hits = &self.entries[self.head + self.low..];
        let window = Window { hits, base: &self.base, shared, key, late: false };
        !matches!(program.verb.judge(self.tally.as_deref().unwrap_or(&NOTHING), window), Verdict::Short(_))
    }

    /// What one of the others has told is what the group has told, until [`Self::turn_from`].
    fn turn_to(&mut self, place: usize) {
        match self.theirs.binary_search_by_key(&place, |(other, _)| *other) {
            Ok(at) => std::mem::swap(&mut self.theirs[at].1, &mut self.firings),
            Err(at) => self.theirs.insert(at, (place, std::mem::take(&mut self.firings))),
        }
    }

    fn turn_from(&mut self, place: usize) {
        let Ok(at) = self.theirs.binary_search_by_key(&place, |(other, _)| *other) else { return };
        std::mem::swap(&mut self.theirs[at].1, &mut self.firings);
        if self.theirs[at].1.is_empty() {
            self.theirs.remove(at);
        }
    }

    /// The group as it is to its own program alone, or to one of the others.
    #[must_use]
    pub fn apart(&self, place: Option<usize>) -> Self {
        let theirs = |place: usize| {
            let at = self.theirs.binary_search_by_key(&place, |(other, _)| *other).ok()?;
            self.theirs.get(at)
        };
        let firings = match place {
            Some(place) => theirs(place).map(|(_, firings)| firings.clone()).unwrap_or_default(),
            None => self.firings.clone(),
        };
        Self { firings, theirs: Vec::new(), ..self.clone() }
    }

    /// Forgets what was told that no hit, not even a late one, can be held against any more.
    pub(super) fn forget_firings(&mut self, now: Timestamp, program: &Program) {
        if self.firings.is_empty() {
            return;
        }
        let oldest = now - program.late_within - program.cooldown;
        let reach = match program.verb.reach() {
            Reach::Time(within) | Reach::Last(_, within) | Reach::Bucket(within) => within,
            Reach::Records(_) | Reach::Pair(_) | Reach::Folded | Reach::Learned | Reach::Alone => {
                Millis::ZERO
            }
        };
        // In order of time: mostly none has to go. One that a recovery cut short may stay a while.
        let over = |firing: &Firing| firing.until.max(firing.at) <= oldest - reach;
        if self.firings.first().is_some_and(over) {
            self.firings.retain(|firing| !over(firing));
        }
        if self.firings.len() > MAX_RECORDS {
            self.firings.remove(0);
        }
    }
}
