//! The key of a group, with its hash: a key is hashed where it is made, and looked up again and
//! again without a look at its bytes.
//!
//! Most keys are one name or address. Such a key holds its bytes itself: it is made, copied and
//! compared without a look at memory that somebody else touched last.

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
    bytes: Bytes,
}

/// Most bytes that a key holds itself; a name of 25 bytes is such a key.
const SHORT: usize = 30;

#[derive(Clone)]
enum Bytes {
    /// The first `len` of them; the others are zero.
    Short { len: u8, bytes: [u8; SHORT] },
    /// More than fit.
    Long(Arc<[u8]>),
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
        let mut short = [0; SHORT];
        let kept = match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(bytes);
                Bytes::Short { len, bytes: short }
            }
            (Some(_) | None, _) => Bytes::Long(bytes.into()),
        };
        Self { hash: hash_of(bytes), bytes: kept }
    }

    /// Its hash.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Half of its hash: tells it from nearly all others.
    pub fn half_hash(&self) -> u32 {
        Self::half(self.hash)
    }

    /// The half of a hash that [`Self::half_hash`] is.
    pub fn half(hash: u64) -> u32 {
        u32::try_from(hash >> u32::BITS).unwrap_or_default()
    }

    /// Bytes of it in memory besides itself.
    pub fn bytes(&self) -> usize {
        match &self.bytes {
            Bytes::Short { .. } => 0,
            Bytes::Long(bytes) => bytes.len() + 2 * size_of::<usize>(),
        }
    }
}

fn hash_of(bytes: &[u8]) -> u64 {
    // Names are chosen by attackers: the seed is not theirs to know.
    let mut hasher = SeedableRandomState::with_seed(0, SharedSeed::global_random()).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

impl Deref for GroupKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Short { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && match (&self.bytes, &other.bytes) {
                // Whole, which is sooner done than as many as there are.
                (Bytes::Short { len, bytes }, Bytes::Short { len: other_len, bytes: other }) => {
                    len == other_len && bytes == other
                }
                (Bytes::Long(bytes), Bytes::Long(other)) => bytes == other,
                (Bytes::Short { .. }, Bytes::Long(_)) | (Bytes::Long(_), Bytes::Short { .. }) => false,
            }
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
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupKey").field(&&**self).finish()
    }
}

impl Serialize for GroupKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for GroupKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(<&[u8]>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0_u8..3, 0..2 * SHORT)
    }

    proptest! {
        #[test]
        fn a_key_is_its_bytes_whether_it_holds_them_or_not(one in bytes(), other in bytes()) {
            let (a, b) = (GroupKey::new(&one), GroupKey::new(&other));
            prop_assert_eq!(&*a, one.as_slice());
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(&GroupKey::new(&one), &a);
            let again: GroupKey = postcard::from_bytes(&postcard::to_stdvec(&a).unwrap()).unwrap();
            prop_assert_eq!(again, a);
        }
    }
}
