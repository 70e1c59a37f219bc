//! Whose row it is: a digest of where it came from and the vendor's key, so that a row read again
//! is known again, in another process and on another machine.
//!
//! Every part is preceded by its length, every kind of identity by its own tag: two different rows
//! cannot spell the same bytes.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Endpoint;
use crate::record::{RowId, Timestamp};

/// Bytes of an identity, put together part by part. Most fit in one block of the digest.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
}

/// Room for the parts of most identities.
const ROOM: usize = 64;

/// What the identity is made of; the first byte of what is digested.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Tag {
    /// Kind and the vendor's id, of a file.
    FileId = 1,
    /// A line's bytes.
    Line = 2,
    /// The vendor's id, of an endpoint.
    VendorId = 3,
    /// The fields that a desktop row keeps for life.
    Desktop = 4,
    /// An endpoint's row without an id: its bytes.
    VendorLine = 5,
    /// The n-th of several rows with one identity.
    Twin = 6,
    /// What a user event is for life.
    UserEvent = 7,
}

impl Parts {
    pub(super) fn begin(&mut self, tag: Tag) -> &mut Self {
        self.bytes.clear();
        self.bytes.reserve(ROOM);
        self.bytes.push(tag as u8);
        self
    }

    pub(super) fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A part that may be missing, which differs from an empty one.
    pub(super) fn maybe(&mut self, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            return self.part(text.as_bytes());
        }
        self.bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        self
    }

    /// An instant, however it was spelt.
    pub(super) fn time(&mut self, time: Timestamp) -> &mut Self {
        self.bytes.extend_from_slice(&(u32::MAX - 1).to_le_bytes());
        self.bytes.extend_from_slice(&time.0.to_le_bytes());
        self
    }

    pub(super) fn source(&mut self, region: &str, project: &str, endpoint: Endpoint) -> &mut Self {
        self.part(region.as_bytes()).part(project.as_bytes()).part(endpoint.as_str().as_bytes())
    }

    /// A mark that is the same for the same parts: spread by a seed that nobody knows, so that nobody can
    /// make two rows alike, and made in a tenth of the time that the digest takes.
    pub(super) fn mark(&self, seed: u64) -> RowId {
        RowId(xxh3_128_with_seed(&self.bytes, seed).to_le_bytes())
    }

    pub(super) fn digest(&self) -> RowId {
        digest(&self.bytes)
    }
}

fn digest(bytes: &[u8]) -> RowId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    RowId(id)
}

/// The identity of a row of a file, by its kind and the vendor's id.
pub(in crate::record) fn identity_of_named(kind: &str, id: &str) -> RowId {
    let len = 1 + 4 + kind.len() + 4 + id.len();
    if len > ROOM {
        return Parts::default().begin(Tag::FileId).part(kind.as_bytes()).part(id.as_bytes()).digest();
    }
    // The same bytes, without room of their own.
    let (mut bytes, mut end) = ([0; ROOM], 0);
    let mut put = |part: &[u8]| {
        bytes[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    };
    put(&[Tag::FileId as u8]);
    for part in [kind, id] {
        put(&(part.len() as u32).to_le_bytes());
        put(part.as_bytes());
    }
    digest(&bytes[..len])
}

/// The identity of a row of a file which has no other than its line.
pub(in crate::record) fn identity_of_line(line: &str) -> RowId {
    Parts::default().begin(Tag::Line).part(line.as_bytes()).digest()
}

impl RowId {
    /// The identity of the `number`-th further row that has this identity too. Only what reads
    /// whole pages can count them: equal twins are told apart within one walk, by their order.
    /// Number 0 is the row itself.
    #[must_use]
    pub fn twin(self, number: u32) -> Self {
        if number == 0 {
            return self;
        }
        Parts::default().begin(Tag::Twin).part(&self.0).part(&number.to_le_bytes()).digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let digest = |parts: &[&str]| {
            let mut bytes = Parts::default();
            bytes.begin(Tag::FileId);
            for part in parts {
                bytes.part(part.as_bytes());
            }
            bytes.digest()
        };
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab", ""]), digest(&["ab"]));
        let mut bytes = Parts::default();
        let time = Timestamp(i64::from_le_bytes(*b"12345678"));
        assert_ne!(
            bytes.begin(Tag::Desktop).time(time).digest(),
            Parts::default().begin(Tag::Desktop).part(b"12345678").digest()
        );
        assert_ne!(
            bytes.begin(Tag::Desktop).maybe(None).digest(),
            bytes.begin(Tag::Desktop).maybe(Some("")).digest()
        );
    }

    #[test]
    fn a_row_that_is_marked_has_the_identity_that_one_which_is_not_has() {
        let long = "x".repeat(ROOM);
        for (kind, id) in [("login", "7"), ("", ""), ("login", &*long), ("app_launch", &long[..ROOM - 19])] {
            let mut parts = Parts::default();
            let parts = parts.begin(Tag::FileId).part(kind.as_bytes()).part(id.as_bytes());
            assert_eq!(identity_of_named(kind, id), parts.digest());
            assert_eq!((parts.mark(1), parts.mark(1) == parts.mark(2)), (parts.mark(1), false));
        }
    }

    #[test]
    fn twins_differ_and_the_first_is_the_row_itself() {
        let id = RowId([7; 16]);
        assert_eq!(id.twin(0), id);
        assert_ne!(id.twin(1), id);
        assert_ne!(id.twin(1), id.twin(2));
        assert_eq!(id.twin(2), id.twin(2));
    }
}
