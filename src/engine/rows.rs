//! A table of what is remembered by row, packed: hundreds of thousands of rows are looked up once
//! each and hardly ever again, so that memory is what costs time.
//!
//! Rows lie in chunks in the order they came, so that growing moves none of them and those that came first
//! are forgotten together; the table beside holds their places and nothing else, so that as much of it as may be
//! is near. Nothing here knows what is remembered of a row.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use hashbrown::HashTable;

use crate::record::{Phase, RecordId, RowId};

/// Rows of a chunk.
const CHUNK: usize = 4_096;

/// An identity as two numbers, which stay in registers. Sixteen bytes that were put together in two
/// steps and are read in one wait until all writes before are done, those to memory out of reach included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(from = "RecordId", into = "RecordId")]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// The record that `row` is in `phase`; the same as [`RecordId::of`].
    #[inline]
    pub(super) fn of(row: RowId, phase: Phase) -> Self {
        let Self { low, high } = Self::from(RecordId(row.0));
        Self { low, high: high ^ u64::from(phase as u8) << (u64::BITS - u8::BITS) }
    }
}

impl Hash for Key {
    /// Row ids are digests: any half of them is as good as a hash of all.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

impl From<RecordId> for Key {
    #[inline]
    fn from(id: RecordId) -> Self {
        let half = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self { low: half(id.0.first_chunk()), high: half(id.0.last_chunk()) }
    }
}

impl From<Key> for RecordId {
    fn from(key: Key) -> Self {
        Self((u128::from(key.high) << u64::BITS | u128::from(key.low)).to_le_bytes())
    }
}

/// Rows that are expected where there are more than a chunk of them.
const MANY: usize = 24 * CHUNK;

/// Chunks that are kept for the next rows: as one goes, another begins.
const SPARE: usize = 2;

/// What has an identity.
pub(super) trait Keyed {
    /// Whose it is.
    fn key(&self) -> Key;
}

/// Rows by identity. A row keeps its place until it is forgotten; places are never given twice.
#[derive(Debug, Clone)]
pub(super) struct Rows<T> {
    /// The lower halves of their places: there are never so many rows at a time that it is not enough.
    table: HashTable<u32>,
    chunks: VecDeque<Chunk<T>>,
    /// Place of the first chunk's first row.
    first: usize,
    /// Chunks whose rows are gone, for the next ones: their pages are at hand already.
    spare: Vec<Vec<T>>,
    len: usize,
}

/// Rows that came one after the other.
#[derive(Debug, Clone)]
pub(super) struct Chunk<T> {
    /// At most [`CHUNK`].
    pub(super) rows: Vec<T>,
    /// The greatest age given with one of them.
    pub(super) age: u32,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), chunks: VecDeque::new(), first: 0, spare: Vec::new(), len: 0 }
    }
}

/// The row of which `short_place` was kept, counted from the place `first`, which is kept so too.
#[inline]
fn row<T>(chunks: &VecDeque<Chunk<T>>, first: u32, short_place: u32) -> &T {
    let within = short_place.wrapping_sub(first) as usize;
    &chunks[within / CHUNK].rows[within % CHUNK]
}

/// What is kept of a place.
#[inline]
pub(super) fn short(place: usize) -> u32 {
    // The lower half.
    u32::try_from(place & u32::MAX as usize).unwrap_or(u32::MAX)
}

impl<T: Keyed> Rows<T> {
    /// The place of the row of `key`.
    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<usize> {
        let first = short(self.first);
        // Row ids are digests: any half of them is as good as a hash of all.
        let found = self.table.find(key.low, |place| row(&self.chunks, first, *place).key() == key);
        found.map(|place| self.place(*place))
    }

    /// The place of which `short` was kept.
    #[inline]
    pub(super) fn place(&self, short_place: u32) -> usize {
        self.first + short_place.wrapping_sub(short(self.first)) as usize
    }

    /// Adds the row of `key`, which is not there; its place. It is made where it lies: copied right
    /// after it was put together it would cost as much as all else. Ages never go down.
    #[inline]
    pub(super) fn add(&mut self, key: Key, age: u32, made: impl FnOnce() -> T) -> usize {
        if self.chunks.back().is_none_or(|chunk| chunk.rows.len() == CHUNK) {
            self.begin_chunk();
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.back_mut() else { return self.first };
        let place = self.first + before + chunk.rows.len();
        chunk.rows.push(made());
        chunk.age = age;
        let first = short(self.first);
        let Self { table, chunks, .. } = self;
        table.insert_unique(key.low, short(place), |place| row(chunks, first, *place).key().low);
        self.len += 1;
        place
    }

    #[cold]
    fn begin_chunk(&mut self) {
        if self.len == CHUNK {
            // Where there are many, the table does not grow by and by: each size has pages of its own.
            let (first, chunks) = (short(self.first), &self.chunks);
            self.table.reserve(MANY, |place| row(chunks, first, *place).key().low);
        }
        let rows = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        self.chunks.push_back(Chunk { rows, age: 0 });
    }

    /// The row at `place`.
    #[inline]
    pub(super) fn at(&mut self, place: usize) -> Option<&mut T> {
        let within = place.checked_sub(self.first)?;
        self.chunks.get_mut(within / CHUNK)?.rows.get_mut(within % CHUNK)
    }

    /// The row at `place`, to be looked at.
    pub(super) fn get(&self, place: usize) -> Option<&T> {
        let within = place.checked_sub(self.first)?;
        self.chunks.get(within / CHUNK)?.rows.get(within % CHUNK)
    }

    /// Every row, in the order they came. Their keys must stay.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| &mut chunk.rows)
    }

    /// The rows from the one at `place` on, in the order they came, some at a time: the place of the first of
    /// them, and the age of their chunk.
    pub(super) fn lists(&self, place: usize) -> impl Iterator<Item = (usize, u32, &[T])> {
        let from = place.saturating_sub(self.first);
        let chunks = self.chunks.iter().enumerate().skip(from / CHUNK);
        chunks.map(move |(number, chunk)| {
            let before = from.saturating_sub(number * CHUNK);
            let rows = chunk.rows.get(before..).unwrap_or_default();
            (self.first + number * CHUNK + before, chunk.age, rows)
        })
    }

    /// Every row, in the order they came.
    pub(super) fn into_rows(self) -> impl Iterator<Item = T> {
        self.chunks.into_iter().flat_map(|chunk| chunk.rows)
    }

    /// The chunk that came first.
    pub(super) fn oldest(&self) -> Option<&Chunk<T>> {
        self.chunks.front()
    }

    /// Forgets the rows of the chunk that came first; `gone` is told of each.
    pub(super) fn forget_oldest(&mut self, gone: impl FnMut(&T)) {
        let Some(Chunk { mut rows, .. }) = self.chunks.pop_front() else { return };
        for (number, row) in rows.iter().enumerate() {
            let place = short(self.first + number);
            if let Ok(found) = self.table.find_entry(row.key().low, |other| *other == place) {
                found.remove();
            }
        }
        self.len -= rows.len();
        self.first += CHUNK;
        rows.iter().for_each(gone);
        rows.clear();
        if self.spare.len() < SPARE {
            self.spare.push(rows);
        }
    }

    /// Where the first row is, or the next one would be if there is none.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// Where the next row will be.
    pub(super) fn next(&self) -> usize {
        match self.chunks.back() {
            None => self.first,
            Some(last) => self.first + (self.chunks.len() - 1) * CHUNK + last.rows.len(),
        }
    }

    /// Forgets the rows before the one at `first`, which begins a chunk; false if it does not.
    pub(super) fn begin_at(&mut self, first: usize) -> bool {
        while self.first < first && !self.chunks.is_empty() {
            self.forget_oldest(|_| ());
        }
        if self.chunks.is_empty() && first.is_multiple_of(CHUNK) {
            self.first = first;
        }
        self.first == first
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
        fn key(&self) -> Key {
            self.0.into()
        }
    }

    #[test]
    fn a_key_is_the_id_of_a_record() {
        for phase in Phase::ALL {
            let row = RowId(*b"0123456789abcdef");
            assert_eq!(RecordId::from(Key::of(row, phase)), RecordId::of(row, phase));
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
            steps in prop::collection::vec((any::<u16>(), 0_u8..60), 0..400),
            bulk in 0_u32..3,
        ) {
            let (mut rows, mut map) = (Rows::default(), BTreeMap::new());
            // In the order they came, with their places.
            let mut came: Vec<(usize, RecordId)> = Vec::new();
            // Enough to fill chunks.
            for number in 0..bulk * 5_000 {
                let key = RecordId(u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37_79b9).to_le_bytes());
                map.insert(key, number);
                came.push((rows.add(key.into(), number, || (key, number)), key));
            }
            for (number, what) in steps {
                let key = id(number);
                let age = bulk * 5_000 + u32::from(what);
                if what == 0 {
                    let oldest = rows.oldest().map(|chunk| chunk.rows.clone()).unwrap_or_default();
                    let mut gone = Vec::new();
                    rows.forget_oldest(|row| gone.push(*row));
                    prop_assert_eq!(&gone, &oldest);
                    for (number, row) in gone.iter().enumerate() {
                        prop_assert_eq!(map.remove(&row.0), Some(row.1));
                        prop_assert_eq!(came[number].1, row.0);
                        prop_assert!(rows.get(came[number].0).is_none());
                    }
                    came.drain(..gone.len());
                } else if let Some(place) = rows.find(key.into()) {
                    prop_assert_eq!(rows.place(short(place)), place);
                    prop_assert_eq!(rows.at(place).map(|row| (row.0, row.1)), map.get(&key).map(|value| (key, *value)));
                    if let (Some(row), Some(value)) = (rows.at(place), map.get_mut(&key)) {
                        row.1 += 1;
                        *value += 1;
                    }
                } else {
                    prop_assert!(map.insert(key, u32::from(number)).is_none());
                    let next = rows.next();
                    let place = rows.add(key.into(), age, || (key, u32::from(number)));
                    prop_assert!(place == next && came.last().is_none_or(|last| last.0 < place));
                    came.push((place, key));
                    prop_assert_eq!(rows.at(place).copied(), Some((key, u32::from(number))));
                }
                prop_assert_eq!(rows.len(), map.len());
            }
            // Written down and read again, from any place on.
            let mut again = Rows::default();
            prop_assert!(again.begin_at(rows.first()));
            for (place, age, list) in rows.lists(0) {
                prop_assert_eq!(place, again.next());
                for row in list {
                    again.add(row.0.into(), age, || *row);
                }
            }
            prop_assert_eq!(again.next(), rows.next());
            let third = came.len() / 3;
            let from = came.get(third).map_or(rows.next(), |(place, _)| *place);
            let listed: Vec<(usize, RecordId)> = rows
                .lists(from)
                .flat_map(|(place, _, list)| list.iter().enumerate().map(move |(number, row)| (place + number, row.0)))
                .collect();
            prop_assert_eq!(&listed, &came[third..]);
            for (key, value) in &map {
                for rows in [&mut rows, &mut again] {
                    let place = rows.find((*key).into());
                    prop_assert_eq!(place.and_then(|place| rows.at(place)).map(|row| row.1), Some(*value));
                }
            }
            prop_assert_eq!(again.len(), map.len());
        }
    }

    #[test]
    fn places_may_be_more_than_fit_in_what_is_kept_of_them() {
        let mut rows = Rows::default();
        let first = (u32::MAX as usize + 1) - CHUNK;
        assert!(rows.begin_at(first));
        for number in 0..2 * CHUNK {
            let key = id(u16::try_from(number).expect("few"));
            let place = rows.add(key.into(), 0, || (key, 0));
            assert_eq!((place, rows.find(key.into())), (first + number, Some(place)));
            assert_eq!(rows.place(short(place)), place);
        }
        rows.forget_oldest(|_| ());
        assert_eq!(rows.find(id(0).into()), None);
        assert_eq!(rows.find(id(u16::try_from(CHUNK).expect("few")).into()), Some(first + CHUNK));
        // What begins within a chunk, or before what there is, is no beginning.
        assert!(!rows.begin_at(first) && !rows.begin_at(first + CHUNK + 1));
        assert!(rows.begin_at(first + 2 * CHUNK) && rows.len() == 0);
    }
}
