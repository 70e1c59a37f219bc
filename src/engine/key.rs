//! The key of a group, with its hash: a key is hashed where it is made, and looked up again and
//! again without a look at its bytes.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The values of a rule's `by` fields for one group, as [`crate::rule::compile::Program::write_key`]
/// spells them. Compared and ordered by its bytes; the hash differs from process to process.
#[derive(Clone)]
pub struct GroupKey {
    hash: u64,
    bytes: Arc<[u8]>,
}

/// Hashes of keys, for a map of them.
pub type ByKeyHash = BuildHasherDefault<KeyHasher>;

/// Gives a key's own hash.
#[derive(Debug, Default, Clone, Copy)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    /// Keys write their hash and nothing else.
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl GroupKey {
    /// The key that `bytes` spell.
    pub fn new(bytes: &[u8]) -> Self {
        Self { hash: Self::hash_of(bytes), bytes: bytes.into() }
    }

    /// The hash that the key of `bytes` has.
    pub fn hash_of(bytes: &[u8]) -> u64 {
        // Names are chosen by attackers: the seed is not theirs to know.
        let mut hasher = SeedableRandomState::with_seed(0, SharedSeed::global_random()).build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl Deref for GroupKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        // Keys are shared, so that most that are equal are one.
        self.hash == other.hash && (Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes)
    }
}

impl Eq for GroupKey {}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupKey").field(&self.bytes).finish()
    }
}

impl Serialize for GroupKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GroupKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Arc::<[u8]>::deserialize(deserializer)?;
        Ok(Self { hash: Self::hash_of(&bytes), bytes })
    }
}
