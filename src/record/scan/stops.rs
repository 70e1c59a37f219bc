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
    /// A bit for each byte of the block, the lowest one first.
    bits: Vec<u8>,
}

impl Stops {
    /// Finds the stops of `bytes`, in place of those of another block.
    pub(super) fn find(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<WORD>();
        // Behind the last word, stops past the end, so that `next` always finds one.
        self.bits.clear();
        self.bits.resize((chunks.len() + 1) * 8 + 16, u8::MAX);
        let (words, _) = self.bits.as_chunks_mut::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = stops_of(chunk).to_le_bytes();
        }
        let mut last = [b' '; WORD];
        last[..rest.len()].copy_from_slice(rest);
        words[chunks.len()] = stops_of(&last).to_le_bytes();
    }

    /// The first stop at `at` or after it; some place past the end when there is none.
    #[inline]
    pub(super) fn next(&self, at: usize) -> usize {
        // From the byte that holds the bit on, wherever a word begins: most strings are shorter than what is
        // seen at once, and whether one runs on into the next word cannot be foreseen. Every string waits for
        // the end of the one before, so that each step here counts.
        let Some(word) = self.bits.get(at / 8..).and_then(<[u8]>::first_chunk) else { return usize::MAX };
        let bits = u64::from_le_bytes(*word) >> (at % 8);
        if bits != 0 { at + bits.trailing_zeros() as usize } else { self.far(at / 8 + 8) }
    }

    /// The first stop in byte number `byte` or after it.
    #[inline(never)]
    fn far(&self, byte: usize) -> usize {
        let rest = self.bits.get(byte..).unwrap_or_default();
        let later = rest.iter().position(|bits| *bits != 0);
        later.map_or(usize::MAX, |later| (byte + later) * 8 + rest[later].trailing_zeros() as usize)
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
