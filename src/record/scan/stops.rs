//! Where a block's quotes, backslashes and control characters are: one bit a byte.
//!
//! Found sixteen bytes at a time, so that walking a line costs as much as it has strings, not as
//! much as it has characters. A newline is a control character: no string runs past its line.

use wide::u8x16;

/// Bytes that one word of bits stands for.
const WORD: usize = 64;

/// The stops of one block.
#[derive(Debug, Default)]
pub(super) struct Stops {
    words: Vec<u64>,
}

impl Stops {
    /// Finds the stops of `bytes`, in place of those of another block.
    pub(super) fn find(&mut self, bytes: &[u8]) {
        self.words.clear();
        self.words.reserve(bytes.len() / WORD + 3);
        let (chunks, rest) = bytes.as_chunks::<WORD>();
        self.words.extend(chunks.iter().map(stops_of));
        let mut last = [b' '; WORD];
        last[..rest.len()].copy_from_slice(rest);
        self.words.push(stops_of(&last));
        // Stops past the end, so that `next` always finds one in two words.
        self.words.extend([u64::MAX; 2]);
    }

    /// The first stop at `at` or after it; some place past the end when there is none.
    #[inline]
    pub(super) fn next(&self, at: usize) -> usize {
        let (word, shift) = (at / WORD, at % WORD);
        let Some([low, high]) = self.words.get(word..word + 2) else { return usize::MAX };
        // The next so many bytes, wherever a word ends: most strings are shorter, and whether one runs on
        // into the next word cannot be foreseen.
        let bits = low >> shift | high << 1 << (WORD - 1 - shift);
        if bits != 0 { at + bits.trailing_zeros() as usize } else { self.far(word + 1) }
    }

    /// The first stop in word number `word` or after it.
    #[inline(never)]
    fn far(&self, word: usize) -> usize {
        let rest = self.words.get(word..).unwrap_or_default();
        let later = rest.iter().position(|bits| *bits != 0);
        later.map_or(usize::MAX, |later| (word + later) * WORD + rest[later].trailing_zeros() as usize)
    }
}

#[inline]
fn stops_of(chunk: &[u8; WORD]) -> u64 {
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let (parts, _) = chunk.as_chunks::<16>();
    let mut bits = 0;
    for (place, part) in parts.iter().enumerate() {
        let part = u8x16::new(*part);
        let stop = part.simd_eq(quote) | part.simd_eq(backslash) | part.min(control).simd_eq(part);
        bits |= u64::from(stop.to_bitmask()) << (place * 16);
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_stop_is_found_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut stops = Stops::default();
            stops.find(&bytes);
            let mut found = Vec::new();
            let mut at = stops.next(0);
            while at < bytes.len() {
                found.push(at);
                at = stops.next(at + 1);
            }
            let is_stop = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
            let meant: Vec<usize> = (0..bytes.len()).filter(|at| is_stop(bytes[*at])).collect();
            prop_assert_eq!(found, meant);
            prop_assert!(stops.next(bytes.len() + 1000) >= bytes.len());
        }
    }
}
