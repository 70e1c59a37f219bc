//! Groups that nobody has touched for a while, each in few bytes.
//!
//! A group is written down as a [`Record`]: its key, its timer and its state as a snapshot holds it. Records lie
//! one after the other in chunks; a table beside holds their places and half of the hash of their keys.
//! A chunk of which less than half is still in use is given back, and what is left of it is written to
//! another. What is read back is what was written: packing decides nothing.

use hashbrown::HashTable;

use super::super::group::Group;
use super::super::key::GroupKey as Key;
use crate::record::Timestamp;

/// Places in a chunk.
const CHUNK: usize = 1 << 16;
/// Bytes of a chunk that is full: a size of which allocators waste little. A record that is long has a
/// chunk to itself.
const FULL: usize = 56 << 10;
/// Bytes that a chunk begins with: a program has few groups, mostly.
const MIN_CHUNK: usize = 1 << 8;
/// A table of so many places or fewer is never made smaller.
const MIN_TABLE: usize = 1 << 10;
/// Chunks there may be: places are of 32 bits. What finds no place stays as it is.
const MAX_CHUNKS: usize = 1 << 16;
/// Nothing is longer, however many texts a group keeps.
const MAX_RECORD: usize = 1 << 30;

/// Its alert is open.
const OPEN: u8 = 1;
/// It is in the rule's list.
const LISTED: u8 = 1 << 1;
/// It is not there any more.
const DEAD: u8 = 1 << 2;

/// A group, written down: the length of what follows, then marks, timer, key, state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    marks: u8,
    /// When it wants to be looked at.
    pub timer: Option<Timestamp>,
    /// Its key.
    pub key: &'a [u8],
    state: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the first of `bytes`; what follows it. None where they are no records.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (whole, rest) = split(bytes)?;
        let ((marks, timer, key), state) = postcard::take_from_bytes(whole).ok()?;
        let bytes = bytes.get(..bytes.len() - rest.len())?;
        Some((Self { bytes, marks, timer, key, state }, rest))
    }

    /// Reads those that lie in `bytes`, but for those that are not there any more.
    pub(super) fn all(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = bytes;
        let next = move || {
            let (record, after) = Self::read(rest)?;
            rest = after;
            Some(record)
        };
        std::iter::from_fn(next).filter(|record| record.marks & DEAD == 0)
    }

    /// Whether the group's alert is open.
    pub(super) fn is_open(&self) -> bool {
        self.marks & OPEN != 0
    }

    /// Whether the group is in the rule's list.
    pub(super) fn is_listed(&self) -> bool {
        self.marks & LISTED != 0
    }

    /// The group. None where the bytes are none.
    pub(super) fn group(&self) -> Option<Group> {
        let mut group: Group = postcard::from_bytes(self.state).ok()?;
        group.timer = self.timer;
        Some(group)
    }

    /// Hits and last hit of the group, which its state begins with.
    pub(super) fn worth(&self) -> Option<(u64, Option<Timestamp>)> {
        postcard::take_from_bytes(self.state).ok().map(|(worth, _)| worth)
    }
}

/// The first record's bytes but its length, and what follows.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = postcard::take_from_bytes::<u32>(bytes).ok()?;
    rest.split_at_checked(len as usize)
}

/// Where records are written; used again and again.
#[derive(Debug, Default)]
pub(super) struct Desk {
    bytes: Vec<u8>,
}

impl Desk {
    /// Most bytes of a length.
    const LENGTH: usize = 5;

    /// Writes `group` down.
    pub(super) fn write(&mut self, key: &Key, group: &Group) -> Result<&[u8], postcard::Error> {
        let mark = |so: bool, mark: u8| if so { mark } else { 0 };
        let marks = mark(group.is_open(), OPEN) | mark(group.is_listed(), LISTED);
        let len = loop {
            let room = self.bytes.get_mut(Self::LENGTH..).unwrap_or_default();
            let written =
                postcard::to_slice(&(marks, group.timer, key, group), room).map(|written| written.len());
            match written {
                Ok(len) => break len,
                Err(postcard::Error::SerializeBufferFull) if self.bytes.len() < MAX_RECORD => {
                    self.bytes.resize((self.bytes.len() * 2).max(1 << 10), 0);
                }
                Err(error) => return Err(error),
            }
        };
        let mut length = [0; Self::LENGTH];
        let length = postcard::to_slice(&len, &mut length)?;
        let begin = Self::LENGTH - length.len();
        self.bytes[begin..Self::LENGTH].copy_from_slice(length);
        Ok(&self.bytes[begin..Self::LENGTH + len])
    }
}

/// Where a record is, and enough of its key's hash to tell it from nearly all others.
#[derive(Debug, Clone, Copy)]
struct Spot {
    hash: u32,
    /// The chunk's number, then the record's offset in it.
    place: u32,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes that are still in use.
    used: usize,
}

/// Packed groups by key.
#[derive(Debug, Default)]
pub(super) struct Packed {
    table: HashTable<Spot>,
    chunks: Vec<Chunk>,
    /// The chunk that is being filled.
    filling: Option<usize>,
    /// Chunks that hold nothing.
    free: Vec<usize>,
}

/// The table looks at both ends of a hash.
pub(super) fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

/// What lies there.
fn at(chunks: &[Chunk], place: u32) -> &[u8] {
    let (chunk, offset) = (place as usize / CHUNK, place as usize % CHUNK);
    chunks.get(chunk).and_then(|chunk| chunk.bytes.get(offset..)).unwrap_or_default()
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of them in memory.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum();
        chunks + self.chunks.capacity() * size_of::<Chunk>() + self.table.allocation_size()
    }

    fn record(&self, place: u32) -> Option<Record<'_>> {
        Record::read(at(&self.chunks, place)).map(|(record, _)| record)
    }

    /// The records whose keys have this half of a hash.
    pub(super) fn of_hash(&self, hash: u32) -> impl Iterator<Item = Record<'_>> {
        let alike = self.table.iter_hash(spread(hash)).filter(move |spot| spot.hash == hash);
        alike.filter_map(|spot| self.record(spot.place))
    }

    /// The record of `key`.
    pub(super) fn find(&self, key: &Key) -> Option<Record<'_>> {
        self.of_hash(key.half_hash()).find(|record| record.key == &**key)
    }

    /// Every record, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = Record<'_>> {
        self.chunks.iter().flat_map(|chunk| Record::all(&chunk.bytes))
    }

    /// Adds the record of a key that is not there, whose half hash this is. False where there is no place
    /// for it.
    pub(super) fn add(&mut self, hash: u32, record: &[u8]) -> bool {
        let Some(place) = self.put(record) else { return false };
        self.table.insert_unique(spread(hash), Spot { hash, place }, |spot| spread(spot.hash));
        true
    }

    /// Takes the group of `key` out.
    pub(super) fn take(&mut self, key: &Key) -> Option<Group> {
        let place = self.strike(key)?;
        let group = self.record(place).and_then(|record| record.group());
        self.free(place);
        group
    }

    /// Lets the group of `key` go; its timer.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Timestamp> {
        let place = self.strike(key)?;
        let timer = self.record(place).and_then(|record| record.timer);
        self.free(place);
        timer
    }

    /// Takes a key from the table; where its record is.
    fn strike(&mut self, key: &Key) -> Option<u32> {
        let hash = key.half_hash();
        let chunks = &self.chunks;
        let is_it = |spot: &Spot| {
            spot.hash == hash
                && Record::read(at(chunks, spot.place)).is_some_and(|(record, _)| record.key == &**key)
        };
        let (spot, _) = self.table.find_entry(spread(hash), is_it).ok()?.remove();
        if self.table.capacity() > MIN_TABLE && self.table.len() * 8 < self.table.capacity() {
            self.table.shrink_to(self.table.len() * 2, |spot| spread(spot.hash));
        }
        Some(spot.place)
    }

    /// Marks the record at `place` as dead, and gives its room back where that is worth it.
    fn free(&mut self, place: u32) {
        let (number, offset) = (place as usize / CHUNK, place as usize % CHUNK);
        let Some(chunk) = self.chunks.get_mut(number) else { return };
        let Some(rest) = chunk.bytes.get_mut(offset..) else { return };
        let (before, Some((whole, after))) = (rest.len(), split(rest)) else { return };
        let (len, head) = (before - after.len(), before - after.len() - whole.len());
        // The marks are the first byte after the length.
        if let Some(marks) = rest.get_mut(head) {
            *marks |= DEAD;
        }
        chunk.used -= len;
        self.tidy(number);
    }

    /// Empties a chunk of which less than half is in use, unless it is being filled.
    fn tidy(&mut self, number: usize) {
        // What is left of it fits what is being filled and one more.
        let room = !self.free.is_empty() || self.chunks.len() < MAX_CHUNKS;
        let Some(chunk) = self.chunks.get_mut(number) else { return };
        if self.filling == Some(number) || chunk.used * 2 >= chunk.bytes.len() || !room {
            return;
        }
        let bytes = std::mem::take(chunk).bytes;
        let mut at = 0;
        while let Some((record, _)) = bytes.get(at..).and_then(Record::read) {
            let place = u32::try_from(number * CHUNK + at).unwrap_or(u32::MAX);
            at += record.bytes.len();
            if record.marks & DEAD != 0 {
                continue;
            }
            let hash = spread(Key::new(record.key).half_hash());
            let to = self.put(record.bytes);
            let spot = self.table.find_mut(hash, |spot| spot.place == place);
            if let (Some(spot), Some(to)) = (spot, to) {
                spot.place = to;
            }
        }
        self.free.push(number);
    }

    /// Writes a record to the chunk that is being filled; its place.
    fn put(&mut self, record: &[u8]) -> Option<u32> {
        if record.len() > CHUNK / 4 {
            let number = self.chunk()?;
            self.chunks[number] = Chunk { bytes: record.to_vec(), used: record.len() };
            return u32::try_from(number * CHUNK).ok();
        }
        let fits = |chunk: &Chunk| chunk.bytes.len() + record.len() <= FULL;
        let filling = self.filling.filter(|number| fits(&self.chunks[*number]));
        let number = if let Some(number) = filling {
            number
        } else {
            let new = self.chunk()?;
            if let Some(full) = self.filling.replace(new) {
                self.tidy(full);
            }
            // What was left of that one is in the new one, which has room for more.
            new
        };
        let chunk = &mut self.chunks[number];
        let (offset, len) = (chunk.bytes.len(), chunk.bytes.len() + record.len());
        if len > chunk.bytes.capacity() {
            // No more than a chunk is, and little where there is little.
            let wanted = (chunk.bytes.capacity() * 2).clamp(MIN_CHUNK, FULL).max(len);
            chunk.bytes.reserve_exact(wanted - offset);
        }
        chunk.bytes.extend_from_slice(record);
        chunk.used += record.len();
        u32::try_from(number * CHUNK + offset).ok()
    }

    /// A chunk that holds nothing.
    fn chunk(&mut self) -> Option<usize> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        if self.chunks.len() == MAX_CHUNKS {
            return None;
        }
        self.chunks.push(Chunk::default());
        Some(self.chunks.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A record of `len` bytes of state, which is no group's.
    fn record(key: &Key, number: u32, len: usize) -> Vec<u8> {
        let state = vec![number.to_le_bytes()[0]; len];
        let mut whole = postcard::to_stdvec(&(0_u8, Some(Timestamp(i64::from(number))), key)).unwrap();
        whole.extend_from_slice(&state);
        let mut record = postcard::to_stdvec(&u32::try_from(whole.len()).unwrap()).unwrap();
        record.extend_from_slice(&whole);
        record
    }

    fn check(packed: &Packed, map: &BTreeMap<Key, Vec<u8>>) {
        assert_eq!(packed.len(), map.len());
        for (key, record) in map {
            assert_eq!(packed.find(key).map(|found| found.bytes), Some(record.as_slice()));
        }
        let mut all: Vec<&[u8]> = packed.all().map(|record| record.bytes).collect();
        let mut expected: Vec<&[u8]> = map.values().map(Vec::as_slice).collect();
        all.sort_unstable();
        expected.sort_unstable();
        assert!(all == expected, "all of them, and no other");
        let used: usize = map.values().map(Vec::len).sum();
        let lies: usize = packed.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!(lies <= 2 * used + CHUNK, "{lies} bytes lie there for {used}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packed_groups_are_what_a_map_is(
            steps in prop::collection::vec((0..40_u32, 0..4_u8, 0..CHUNK / 3), 0..120),
            bulk in 0..3_000_u32,
        ) {
            let (mut packed, mut map) = (Packed::default(), BTreeMap::new());
            let key = |number: u32| Key::new(&number.to_le_bytes());
            let add = |packed: &mut Packed, map: &mut BTreeMap<Key, Vec<u8>>, number: u32, len: usize| {
                let key = key(number);
                packed.remove(&key);
                let record = record(&key, number, len);
                assert!(packed.add(key.half_hash(), &record));
                map.insert(key, record);
            };
            // Enough to fill chunks, of which every third record stays.
            for number in 0..bulk {
                add(&mut packed, &mut map, number + 1_000, 70);
            }
            check(&packed, &map);
            for number in (0..bulk).filter(|number| number % 3 > 0) {
                let key = key(number + 1_000);
                prop_assert_eq!(packed.remove(&key), Some(Timestamp(i64::from(number + 1_000))));
                map.remove(&key);
            }
            check(&packed, &map);
            for (number, what, len) in steps {
                match what {
                    0 => {
                        let key = key(number);
                        prop_assert_eq!(packed.remove(&key).is_some(), map.remove(&key).is_some());
                    }
                    1 => add(&mut packed, &mut map, number, len % 100),
                    _ => add(&mut packed, &mut map, number, len),
                }
            }
            check(&packed, &map);
        }
    }
}
