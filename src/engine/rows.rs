//! A table of what is remembered by row, packed: hundreds of thousands of rows are looked up once
//! each and hardly ever again, so that memory is what costs time.
//!
//! Rows lie in chunks in the order they came, so that growing moves none of them; the table beside
//! holds their places and half of their hash. Nothing here knows what is remembered of a row.

use hashbrown::HashTable;

use crate::record::RecordId;

/// Rows of a chunk.
const CHUNK: usize = 4_096;

/// What has an identity.
pub(super) trait Keyed {
    /// Whose it is.
    fn key(&self) -> RecordId;
}

/// Rows by identity. A row keeps its place until the next [`Rows::retain`].
#[derive(Debug, Clone)]
pub(super) struct Rows<T> {
    table: HashTable<Spot>,
    chunks: Vec<Vec<T>>,
    len: usize,
}

/// Where a row is, and enough of its hash to tell it from nearly all others and to grow the table
/// without a look at the rows.
#[derive(Debug, Clone, Copy)]
struct Spot {
    hash: u32,
    place: u32,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), chunks: Vec::new(), len: 0 }
    }
}

/// Row ids are digests: any four of their bytes are as good as a hash of all.
fn hash(key: RecordId) -> u32 {
    let [a, b, c, d, ..] = key.0;
    u32::from_le_bytes([a, b, c, d])
}

/// The table looks at both ends of a hash.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

impl<T: Keyed> Rows<T> {
    /// The place of the row of `key`.
    pub(super) fn find(&self, key: RecordId) -> Option<usize> {
        let (hash, chunks) = (hash(key), &self.chunks);
        let is_it = |spot: &Spot| {
            let place = spot.place as usize;
            spot.hash == hash && chunks[place / CHUNK][place % CHUNK].key() == key
        };
        self.table.find(spread(hash), is_it).map(|spot| spot.place as usize)
    }

    /// Adds the row of `key`, which is not there; its place. It is made where it lies: copied right
    /// after it was put together it would cost as much as all else.
    pub(super) fn add(&mut self, key: RecordId, row: impl FnOnce() -> T) -> usize {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(row());
        }
        self.file(key)
    }

    /// Files the next row in the table; its place.
    fn file(&mut self, key: RecordId) -> usize {
        let (hash, place) = (hash(key), self.len);
        // Four thousand million rows do not fit in memory.
        let spot = Spot { hash, place: u32::try_from(place).unwrap_or(u32::MAX) };
        self.table.insert_unique(spread(hash), spot, |spot| spread(spot.hash));
        self.len += 1;
        place
    }

    /// The row at `place`.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut T> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// The row at `place`, to be looked at.
    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// Every row, in the order they came. Their keys must stay.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// The rows from the one at `place` on, in the order they came, some at a time.
    pub(super) fn lists(&self, place: usize) -> impl Iterator<Item = &[T]> {
        let (first, within) = (place / CHUNK, place % CHUNK);
        let from = move |number: usize| if number == 0 { within } else { 0 };
        let lists = self.chunks.iter().skip(first).enumerate();
        lists.map(move |(number, chunk)| chunk.get(from(number)..).unwrap_or_default())
    }

    /// Every row, in the order they came.
    pub(super) fn into_rows(self) -> impl Iterator<Item = T> {
        self.chunks.into_iter().flatten()
    }

    /// Keeps the rows for which `stays` says so, in their order.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut T) -> bool) {
        self.table.clear();
        self.len = 0;
        for mut chunk in std::mem::take(&mut self.chunks) {
            chunk.retain_mut(&mut stays);
            if self.len.is_multiple_of(CHUNK) && chunk.len() == CHUNK {
                // A whole chunk stays where it is.
                for row in &chunk {
                    self.file(row.key());
                }
                self.chunks.push(chunk);
            } else {
                for row in chunk {
                    self.add(row.key(), || row);
                }
            }
        }
    }

    /// Rows there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed for (RecordId, u32) {
        fn key(&self) -> RecordId {
            self.0
        }
    }

    /// Few ids, of which many agree in what is hashed.
    fn id(number: u16) -> RecordId {
        let mut bytes = [0; 16];
        bytes[0] = number.to_le_bytes()[0] % 8;
        bytes[14..].copy_from_slice(&number.to_le_bytes());
        RecordId(bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_are_what_a_map_is(
            steps in prop::collection::vec((any::<u16>(), 0_u8..50), 0..400),
            bulk in 0_u32..3,
        ) {
            let (mut rows, mut map) = (Rows::default(), BTreeMap::new());
            // Enough to fill chunks.
            for number in 0..bulk * 5_000 {
                let key = RecordId(u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37_79b9).to_le_bytes());
                map.insert(key, number);
                rows.add(key, || (key, number));
            }
            for (number, what) in steps {
                let key = id(number);
                if what == 0 {
                    rows.retain(|row| row.1 % 7 != u32::from(number) % 7);
                    map.retain(|_, value| *value % 7 != u32::from(number) % 7);
                } else if let Some(place) = rows.find(key) {
                    prop_assert_eq!(rows.at(place).map(|row| (row.0, row.1)), map.get(&key).map(|value| (key, *value)));
                    if let (Some(row), Some(value)) = (rows.at(place), map.get_mut(&key)) {
                        row.1 += 1;
                        *value += 1;
                    }
                } else {
                    prop_assert!(map.insert(key, u32::from(number)).is_none());
                    let place = rows.add(key, || (key, u32::from(number)));
                    prop_assert_eq!(rows.at(place).copied(), Some((key, u32::from(number))));
                }
                prop_assert_eq!(rows.len(), map.len());
            }
            let mut again = Rows::default();
            rows.lists(0).flatten().for_each(|row| {
                again.add(row.0, || *row);
            });
            let from = rows.len() / 3;
            let all: Vec<_> = rows.lists(0).flatten().skip(from).collect();
            prop_assert_eq!(rows.lists(from).flatten().collect::<Vec<_>>(), all);
            for (key, value) in &map {
                for rows in [&mut rows, &mut again] {
                    let place = rows.find(*key);
                    prop_assert_eq!(place.and_then(|place| rows.at(place)).map(|row| row.1), Some(*value));
                }
            }
            prop_assert_eq!(again.len(), map.len());
        }
    }
}
