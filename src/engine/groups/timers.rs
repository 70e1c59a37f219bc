//! When groups want to be looked at, in few bytes: the instant, and half of the key's hash. There may be a
//! million of them, and hardly any is looked at before its time.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Timestamp;

/// Bits of an instant, in milliseconds, that stand beside the hash; the others stand once for all instants
/// of about a quarter of an hour.
const LOW_BITS: u32 = 20;

/// Instants and hashes of keys, by instant. What has both in common with another is there once.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// By the high bits of the instant: its low bits, then the hash. No set is empty.
    blocks: BTreeMap<i64, BTreeSet<u64>>,
    len: usize,
}

/// Where a timer stands.
fn split(at: Timestamp, hash: u32) -> (i64, u64) {
    let low = u64::try_from(at.0 & ((1 << LOW_BITS) - 1)).unwrap_or_default();
    (at.0 >> LOW_BITS, low << u32::BITS | u64::from(hash))
}

/// The instant of what stands there.
fn instant(block: i64, timer: u64) -> Timestamp {
    Timestamp(block << LOW_BITS | i64::try_from(timer >> u32::BITS).unwrap_or_default())
}

impl Timers {
    pub(super) fn insert(&mut self, at: Timestamp, hash: u32) {
        let (block, timer) = split(at, hash);
        self.len += usize::from(self.blocks.entry(block).or_default().insert(timer));
    }

    pub(super) fn remove(&mut self, at: Timestamp, hash: u32) {
        let (block, timer) = split(at, hash);
        let Some(set) = self.blocks.get_mut(&block) else { return };
        self.len -= usize::from(set.remove(&timer));
        if set.is_empty() {
            self.blocks.remove(&block);
        }
    }

    /// The first instant.
    pub(super) fn first(&self) -> Option<Timestamp> {
        let (block, set) = self.blocks.first_key_value()?;
        set.first().map(|timer| instant(*block, *timer))
    }

    /// Takes out the hashes of the first instant.
    pub(super) fn take_first(&mut self) -> Option<(Timestamp, Vec<u32>)> {
        let at = self.first()?;
        let mut block = self.blocks.first_entry()?;
        let (high, set, mut hashes) = (*block.key(), block.get_mut(), Vec::new());
        while let Some(timer) = set.first().copied().filter(|timer| instant(high, *timer) == at) {
            set.pop_first();
            hashes.push(u32::try_from(timer & u64::from(u32::MAX)).unwrap_or_default());
        }
        if set.is_empty() {
            block.remove();
        }
        self.len -= hashes.len();
        Some((at, hashes))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of them in memory, about: the nodes of a set that grew in order are a little more than
    /// half full.
    pub(super) fn bytes(&self) -> usize {
        self.len * size_of::<u64>() * 2
    }
}

/// Made at once, which packs them as closely as they go.
impl FromIterator<(Timestamp, u32)> for Timers {
    fn from_iter<I: IntoIterator<Item = (Timestamp, u32)>>(timers: I) -> Self {
        let mut all: Vec<(i64, u64)> = timers.into_iter().map(|(at, hash)| split(at, hash)).collect();
        all.sort_unstable();
        all.dedup();
        let len = all.len();
        let set = |block: &[(i64, u64)]| {
            block.first().map(|first| (first.0, block.iter().map(|(_, timer)| *timer).collect()))
        };
        let blocks = all.chunk_by(|one, next| one.0 == next.0).filter_map(set).collect();
        Self { blocks, len }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> impl Strategy<Value = i64> {
        prop_oneof![
            -3_i64..3,
            Just(i64::MIN),
            Just(i64::MAX),
            (-2_i64..3).prop_map(|block| block << LOW_BITS)
        ]
    }

    proptest! {
        #[test]
        fn timers_are_what_a_sorted_set_is(steps in prop::collection::vec((0..4_u8, at(), 0..3_u32), 0..60)) {
            let (mut timers, mut model) = (Timers::default(), BTreeSet::new());
            for (what, at, hash) in steps {
                match what {
                    0 => {
                        timers.remove(Timestamp(at), hash);
                        model.remove(&(at, hash));
                    }
                    1 => {
                        let first = model.first().map(|(at, _)| *at);
                        let of_it: Vec<u32> =
                            model.iter().filter(|timer| Some(timer.0) == first).map(|timer| timer.1).collect();
                        model.retain(|timer| Some(timer.0) != first);
                        let expected = first.map(|at| (Timestamp(at), of_it));
                        prop_assert_eq!(timers.take_first(), expected);
                    }
                    _ => {
                        timers.insert(Timestamp(at), hash);
                        model.insert((at, hash));
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.first(), model.first().map(|(at, _)| Timestamp(*at)));
                let again: Timers = model.iter().rev().map(|(at, hash)| (Timestamp(*at), *hash)).collect();
                prop_assert_eq!(&again.blocks, &timers.blocks);
            }
        }
    }
}
