//! Whose row it is: a digest of where it came from and the vendor's key, so that a row read again
//! is known again, in another process and on another machine.
//!
//! Every part is preceded by its length, every kind of identity by its own tag: two different rows
//! cannot spell the same bytes.

use super::Endpoint;
use crate::record::{RowId, Timestamp};

/// Bytes of an identity, put together part by part. Most fit in one block of the digest.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
}

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

    pub(super) fn digest(&self) -> RowId {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(&self.bytes).as_bytes()[..16]);
        RowId(id)
    }
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
    fn twins_differ_and_the_first_is_the_row_itself() {
        let id = RowId([7; 16]);
        assert_eq!(id.twin(0), id);
        assert_ne!(id.twin(1), id);
        assert_ne!(id.twin(1), id.twin(2));
        assert_eq!(id.twin(2), id.twin(2));
    }
}
