//! `times_others` of `count`: how often a group shows something, against all other groups of its rule.
//!
//! Both sides are of one window, (t − within, t], over every hit of the rule: what cleared or emptied
//! a group's own window changes nothing here. Hits are kept for as long as a late record may look
//! back on them, in blocks whose sums are known, so that a look costs the same however many there
//! are. Over the bound the oldest block leaves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Millis, Number};

use super::{Entry, Order};

/// Hits that a rule keeps to compare groups by, of all groups together; past this the oldest leave and
/// are counted.
pub const MAX_HITS: usize = 1_000_000;

/// Blocks that what is kept is divided into.
const BLOCKS: i64 = 128;

/// `times_others:`, compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Than {
    /// Which of the rule's crowds.
    pub slot: usize,
    /// Which bit of an entry's marks says that it is such a hit.
    pub mark: u8,
    /// The share is at least so many times that of the others, in hundredths.
    pub hundredths: u32,
    /// So many hits of the others it takes: of fewer nothing is said.
    pub at_least: u32,
    /// The window.
    pub within: Millis,
    /// How late a record may come.
    pub kept: Millis,
}

/// Hits, and how many of them are such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// All hits.
    pub hits: u32,
    /// Such hits.
    pub such: u32,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.such += other.such;
    }

    /// Such hits of a hundred, cut after one digit.
    pub fn percent(self) -> Number {
        let hits = Number::whole(self.hits.into());
        Number::whole(100).times(self.such).ratio(hits).unwrap_or_default()
    }
}

/// A group and all other groups, over one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The group.
    pub own: Sums,
    /// All others.
    pub others: Sums,
}

impl Compared {
    /// Whether the group's share is so many times that of the others.
    pub fn holds(self, than: &Than) -> bool {
        let Self { own, others } = self;
        let (own, others) = (
            Number::whole(100).times(own.such).times(others.hits),
            Number::whole(than.hundredths.into()).times(others.such).times(own.hits),
        );
        own >= others
    }

    /// How many times the others' share the group's is; none where the others show none.
    pub fn times(self) -> Option<Number> {
        let Self { own, others } = self;
        let share = |one: Sums, by: Sums| Number::whole(one.such.into()).times(by.hits);
        share(own, others).ratio(share(others, own))
    }
}

/// A hit, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Seen {
    order: Order,
    /// Digest of its group's key.
    group: u64,
    such: bool,
}

/// The hits of one stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    hits: Vec<Seen>,
    all: Sums,
    groups: BTreeMap<u64, Sums>,
}

/// The hits of all groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    blocks: BTreeMap<i64, Block>,
    hits: usize,
}

impl Crowd {
    /// Bytes of it in memory besides itself, about.
    pub(super) fn bytes(&self) -> usize {
        let block = |block: &Block| {
            block.hits.capacity() * size_of::<Seen>() + block.groups.len() * 2 * size_of::<(u64, Sums)>()
        };
        self.blocks.values().map(|one| size_of::<Block>() + block(one)).sum()
    }

    /// Takes in a hit of the group of `key`; how many were forgotten because there were too many. `late`
    /// hits are put in at their time; others come in event order.
    pub(super) fn take(
        &mut self,
        (key, entry): (&[u8], &Entry),
        than: &Than,
        late: bool,
        most: usize,
    ) -> u64 {
        let length = block_length(than);
        if !late {
            let horizon = entry.at - than.within - than.kept;
            self.leave_while(|number| number.saturating_add(1).saturating_mul(length) <= horizon.0);
        }
        let such = (entry.marks >> than.mark) & 1;
        let seen = Seen { order: entry.order(), group: digest(key), such: such == 1 };
        let block = self.blocks.entry(entry.at.0.div_euclid(length)).or_default();
        let place = block.hits.partition_point(|other| other.order < seen.order);
        block.hits.insert(place, seen);
        let one = Sums { hits: 1, such };
        block.all.add(one);
        block.groups.entry(seen.group).or_default().add(one);
        self.hits += 1;
        let before = self.hits;
        while self.hits > most && self.blocks.len() > 1 {
            self.leave_first();
        }
        (before - self.hits) as u64
    }

    /// The group of `key` and the others over the window that ends with `last`.
    pub(super) fn compared(&self, key: &[u8], last: &Entry, than: &Than) -> Compared {
        let (length, group) = (block_length(than), digest(key));
        let (from, to) = (last.at - than.within, last.at);
        let (mut own, mut all) = (Sums::default(), Sums::default());
        for (number, block) in self.blocks.range(from.0.div_euclid(length)..=to.0.div_euclid(length)) {
            let (begin, end) =
                (number.saturating_mul(length), number.saturating_add(1).saturating_mul(length));
            if begin > from.0 && end <= to.0 {
                all.add(block.all);
                own.add(block.groups.get(&group).copied().unwrap_or_default());
                continue;
            }
            for seen in block.hits.iter().filter(|seen| seen.order.0 > from && seen.order <= last.order()) {
                let one = Sums { hits: 1, such: u32::from(seen.such) };
                all.add(one);
                if seen.group == group {
                    own.add(one);
                }
            }
        }
        let others = Sums { hits: all.hits - own.hits, such: all.such - own.such };
        Compared { own, others }
    }

    fn leave_while(&mut self, is_old: impl Fn(i64) -> bool) {
        while self.blocks.first_key_value().is_some_and(|(number, _)| is_old(*number)) {
            self.leave_first();
        }
    }

    fn leave_first(&mut self) {
        if let Some((_, block)) = self.blocks.pop_first() {
            self.hits -= block.hits.len();
        }
    }
}

fn block_length(than: &Than) -> i64 {
    ((than.within + than.kept).0 / BLOCKS).max(1)
}

/// A group's values are chosen by whoever signs in: no two are one that anybody could find.
fn digest(key: &[u8]) -> u64 {
    blake3::hash(key).as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Locator, Phase, RecordId, Timestamp};

    const THAN: Than =
        Than { slot: 0, mark: 1, hundredths: 300, at_least: 1, within: Millis(3_000), kept: KEPT };
    const KEPT: Millis = Millis(2_000);

    fn entry(number: u8, at: i64, such: bool) -> Entry {
        Entry {
            at: Timestamp(at),
            phase: Phase::Start,
            id: RecordId([number; 16]),
            locator: Locator(0),
            marks: u32::from(such) << THAN.mark,
            clears: false,
            aside: false,
            seat: 0,
            values: [].into(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sums_are_those_of_every_hit_of_the_window(
            drawn in prop::collection::vec((-4_000..4_000_i64, 0..3_u8, any::<bool>(), 0..20_i64), 1..80),
        ) {
            let mut order: Vec<(i64, usize)> =
                drawn.iter().enumerate().map(|(n, (at, .., delay))| (at + delay * 100, n)).collect();
            order.sort_unstable();
            let hits: Vec<([u8; 1], Entry)> =
                (0..).zip(&drawn).map(|(n, (at, group, such, _))| ([*group], entry(n, *at, *such))).collect();
            let (mut crowd, mut all, mut now) = (Crowd::default(), Vec::new(), i64::MIN);
            for (_, number) in order {
                let (key, entry) = &hits[number];
                let late = entry.at.0 < now;
                now = now.max(entry.at.0);
                prop_assert_eq!(crowd.take((key, entry), &THAN, late, MAX_HITS), 0);
                all.push((*key, entry.clone()));
                for (key, asked) in all.iter().filter(|(_, asked)| asked.at.0 > now - KEPT.0) {
                    let count = |is: &dyn Fn(&[u8; 1], &Entry) -> bool| {
                        let within = |hit: &&([u8; 1], Entry)| {
                            hit.1.at > asked.at - THAN.within && hit.1.order() <= asked.order() && is(&hit.0, &hit.1)
                        };
                        u32::try_from(all.iter().filter(within).count()).unwrap()
                    };
                    let such = |entry: &Entry| entry.marks != 0;
                    let expected = Compared {
                        own: Sums { hits: count(&|of, _| of == key), such: count(&|of, one| of == key && such(one)) },
                        others: Sums { hits: count(&|of, _| of != key), such: count(&|of, one| of != key && such(one)) },
                    };
                    prop_assert_eq!(crowd.compared(key, asked, &THAN), expected);
                }
            }
        }
    }

    #[test]
    fn over_the_bound_the_oldest_leave_and_what_no_window_reaches_is_forgotten() {
        let mut crowd = Crowd::default();
        let lost: u64 =
            (0..40).map(|n| crowd.take((b"a", &entry(n, i64::from(n) * 100, false)), &THAN, false, 20)).sum();
        assert_eq!((lost, crowd.hits), (20, 20));
        crowd.take((b"a", &entry(50, 100_000, false)), &THAN, false, 20);
        assert_eq!((crowd.hits, crowd.blocks.len()), (1, 1));
    }

    #[test]
    fn a_share_is_compared_exactly() {
        let of = |hits, such| Sums { hits, such };
        let holds = |own, others| Compared { own, others }.holds(&THAN);
        assert!(holds(of(10, 3), of(10, 1)), "three times as often is at least that");
        assert!(!holds(of(100, 29), of(10, 1)));
        assert!(holds(of(10, 1), of(10, 0)), "of none, anything is a multiple");
        assert_eq!(Compared { own: of(10, 5), others: of(1_000, 200) }.times(), Number::parse("2.5"));
        assert_eq!(of(3, 1).percent(), Number::parse("33.3").unwrap());
    }
}
