//! The quick walk: it expects the keys of the line before, in the same order.
//!
//! What stands between two values (`,"user_name":`) is compared whole with what stood there last
//! time, between two strings with their quotes (`","user_name":"`); only a surprise is read as a key and
//! looked up. Where line after line has an order of its own, every key is looked up at once: a branch that
//! is foreseen wrongly costs more than that. A clean string costs one search for its closing quote. All that is unusual goes to the exact reader, value by value or as a whole line,
//! so that a guess can cost time but never change a result.

use super::plan::{KeyPlan, Plan};
use super::sink::Sink;
use super::slow::{Reader, span};
use super::stops::Stops;
use super::{MAX_FIELDS, MAX_KEYS_LEARNT};
use crate::record::batch::SlotKind;

/// A line that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Its first byte, which is the brace.
    pub(super) start: usize,
    /// Past its last byte.
    pub(super) end: usize,
    /// Where the next line begins.
    pub(super) next: usize,
}

/// What earlier lines taught: the keys and which one followed which. Nothing depends on it but
/// speed.
#[derive(Debug)]
pub(super) struct Learnt {
    keys: Vec<Key>,
    /// Numbers of keys by hash; `NOBODY` where there is none.
    table: Vec<u16>,
    /// How often of late a line's keys stood in an order of their own, at most [`MAX_STRAYS`].
    strays: u8,
}

/// From so many on every key is looked up: to expect one and be wrong costs more than that.
const STRAYS: u8 = 4;
const MAX_STRAYS: u8 = 8;

#[derive(Debug)]
struct Key {
    name: Box<[u8]>,
    /// What stood between the comma before the key and its value.
    literal: Literal,
    /// The same with the quotes at both ends, where it stood between two strings. Nowhere if there is a plan.
    joint: Literal,
    /// The key that came next last time.
    next: u16,
    marks: u8,
    /// The slot that its value fills, or `NOBODY`.
    target: u16,
    /// Further slots that it fills.
    also: Box<[u16]>,
    /// Set where slots are not all there is to it.
    plan: Option<Box<KeyPlan>>,
}

/// No key, no slot.
const NOBODY: u16 = u16::MAX;
/// The pseudo-key before the first one.
const START: u16 = 0;
/// The pseudo-key that stands for whichever key there is no room to learn.
const SPARE: u16 = 1;
/// Places of the table; few enough of them are taken that a search is short.
const TABLE: usize = 4 * MAX_KEYS_LEARNT;
/// Places that a search looks at before it gives up: keys made to collide cost no more than this.
const PROBES: usize = 8;

/// Bytes to compare whole: up to 32, in two words.
#[derive(Debug, Clone, Copy)]
struct Literal {
    words: [u128; 2],
    masks: [u128; 2],
    len: usize,
}

impl Literal {
    const MAX: usize = 32;
    /// Stands nowhere: no UTF-8 has these bytes.
    const NOWHERE: Self = Self { words: [u128::MAX; 2], masks: [u128::MAX; 2], len: 0 };

    fn new(bytes: &[u8]) -> Self {
        if bytes.len() > Self::MAX {
            return Self::NOWHERE;
        }
        let (mut word, mut mask) = ([0; Self::MAX], [0; Self::MAX]);
        word[..bytes.len()].copy_from_slice(bytes);
        mask[..bytes.len()].fill(u8::MAX);
        let halves = |bytes: [u8; Self::MAX]| {
            let (halves, _) = bytes.as_chunks::<16>();
            [u128::from_le_bytes(halves[0]), u128::from_le_bytes(halves[1])]
        };
        Self { words: halves(word), masks: halves(mask), len: bytes.len() }
    }

    #[inline]
    fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        let Some(bytes) = bytes.get(at..at + Self::MAX) else { return false };
        let (halves, _) = bytes.as_chunks::<16>();
        let [first, second] = halves else { return false };
        let first = (u128::from_le_bytes(*first) ^ self.words[0]) & self.masks[0];
        let second = (u128::from_le_bytes(*second) ^ self.words[1]) & self.masks[1];
        first | second == 0
    }
}

impl Default for Learnt {
    fn default() -> Self {
        let pseudo = || Key {
            name: Box::default(),
            literal: Literal::NOWHERE,
            joint: Literal::NOWHERE,
            next: START,
            marks: 0,
            target: NOBODY,
            also: Box::default(),
            plan: None,
        };
        Self { keys: vec![pseudo(), pseudo()], table: vec![NOBODY; TABLE + PROBES], strays: 0 }
    }
}

impl Learnt {
    /// Reads the line at `start` into `sink`. None if it is not the quick walk's: then `sink` may
    /// hold anything, and the exact reader decides.
    pub(super) fn walk(
        &mut self,
        block: &str,
        stops: &Stops,
        plan: &Plan,
        start: usize,
        sink: &mut Sink,
    ) -> Option<Line> {
        if self.strays < STRAYS {
            self.walk_as::<true>(block, stops, plan, start, sink)
        } else {
            self.walk_as::<false>(block, stops, plan, start, sink)
        }
    }

    /// The same where keys are as expected, or where each is looked up.
    fn walk_as<const EXPECTED: bool>(
        &mut self,
        block: &str,
        stops: &Stops,
        plan: &Plan,
        start: usize,
        sink: &mut Sink,
    ) -> Option<Line> {
        let bytes = block.as_bytes();
        if *bytes.get(start)? != b'{' {
            return None;
        }
        let (mut at, mut key, mut fields, mut surprises) = (start, START, 0, 0);
        loop {
            at += 1;
            let next = self.keys[usize::from(key)].next;
            let expected = &self.keys[usize::from(next)];
            if EXPECTED && expected.literal.stands_at(bytes, at) {
                at += expected.literal.len;
                key = next;
            } else if !EXPECTED && let Some((found, value)) = self.look_up(bytes, stops, key, at) {
                surprises += usize::from(found != next);
                (key, at) = (found, value);
            } else {
                surprises += 1;
                (key, at) = self.surprise(block, stops, plan, key, at)?;
            }
            fields += 1;
            let mut known = &self.keys[usize::from(key)];
            let mut marks = known.marks;
            // Strings, one after the other, as they came last time: a joint ends with a quote.
            if EXPECTED && known.plan.is_none() && *bytes.get(at)? == b'"' {
                loop {
                    let close = stops.next(at + 1);
                    let next = &self.keys[usize::from(known.next)];
                    if !next.joint.stands_at(bytes, close) {
                        break;
                    }
                    if known.target != NOBODY {
                        known.put_wanted(at + 1, close, SlotKind::Text, sink);
                    }
                    at = close + next.joint.len - 1;
                    (key, known) = (known.next, next);
                    fields += 1;
                    marks |= known.marks;
                }
            }
            sink.marks |= marks;
            at = known.value(block, stops, plan, at, sink)?;
            match *bytes.get(at)? {
                b',' => {}
                b'}' => break,
                _ => {
                    at = skip_space(bytes, at);
                    match *bytes.get(at)? {
                        b',' => {}
                        b'}' => break,
                        _ => return None,
                    }
                }
            }
        }
        let strays = if 2 * surprises > fields { self.strays + 1 } else { self.strays.saturating_sub(1) };
        self.strays = strays.min(MAX_STRAYS);
        let end = at + 1;
        let after = skip_space(bytes, end);
        let next = match bytes.get(after) {
            None => after,
            Some(b'\n') => after + 1,
            Some(_) => return None,
        };
        (fields <= MAX_FIELDS).then_some(Line { start, end, next })
    }

    /// The key that stands at `at` as it did before, and the place of its value.
    #[inline]
    fn look_up(&mut self, bytes: &[u8], stops: &Stops, before: u16, at: usize) -> Option<(u16, usize)> {
        let close = stops.next(at + 1);
        let number = self.table[hash_at(bytes, at + 1, close)?];
        let literal = &self.keys.get(usize::from(number))?.literal;
        // Where the value is does not wait for the key to be found: only whether it is so.
        let value = close + 2;
        if literal.len != value - at || !literal.stands_at(bytes, at) {
            return None;
        }
        self.keys[usize::from(before)].next = number;
        Some((number, value))
    }

    /// Reads the key that stands where another one was expected; it is expected from now on.
    #[inline(never)]
    fn surprise(
        &mut self,
        block: &str,
        stops: &Stops,
        plan: &Plan,
        before: u16,
        at: usize,
    ) -> Option<(u16, usize)> {
        let bytes = block.as_bytes();
        let open = skip_space(bytes, at);
        if *bytes.get(open)? != b'"' {
            return None;
        }
        let close = stops.next(open + 1);
        if *bytes.get(close)? != b'"' {
            return None;
        }
        let place = hash(&bytes[open + 1..close]);
        // Spelt as the last time: a literal holds the key's quotes and its colon.
        for key in self.table[place..place + PROBES].iter().take_while(|key| **key != NOBODY) {
            let literal = &self.keys[usize::from(*key)].literal;
            if literal.stands_at(bytes, at) {
                let (key, value) = (*key, at + literal.len);
                self.keys[usize::from(before)].next = key;
                let known = &mut self.keys[usize::from(key)];
                if known.joint.len == 0 && known.plan.is_none() {
                    known.joint = joint(bytes, at, value);
                }
                return Some((key, value));
            }
        }
        let colon = skip_space(bytes, close + 1);
        if *bytes.get(colon)? != b':' {
            return None;
        }
        let value = skip_space(bytes, colon + 1);
        let key = self.learn(&block[open + 1..close], place, plan);
        if key != SPARE {
            let known = &mut self.keys[usize::from(key)];
            known.literal = Literal::new(&bytes[at..value]);
            if known.plan.is_none() {
                known.joint = joint(bytes, at, value);
            }
            self.keys[usize::from(before)].next = key;
        }
        Some((key, value))
    }

    /// The number of the key called `name`.
    fn learn(&mut self, name: &str, from: usize, plan: &Plan) -> u16 {
        let bytes = name.as_bytes();
        let mut free = None;
        for place in from..from + PROBES {
            match self.table[place] {
                NOBODY => {
                    free = Some(place);
                    break;
                }
                key if *self.keys[usize::from(key)].name == *bytes => return key,
                _ => {}
            }
        }
        let means = plan.key(name);
        let plain = means.is_none_or(|key| key.node.is_none());
        let mut key = Key {
            name: bytes.into(),
            literal: Literal::NOWHERE,
            joint: Literal::NOWHERE,
            next: START,
            marks: means.map_or(0, |key| key.marks),
            target: means.and_then(|key| key.targets.first().copied()).unwrap_or(NOBODY),
            also: means.and_then(|key| key.targets.get(1..)).unwrap_or_default().into(),
            plan: if plain { None } else { means.cloned().map(Box::new) },
        };
        match free {
            Some(place) if self.keys.len() < MAX_KEYS_LEARNT => {
                let number = self.keys.len() as u16;
                self.table[place] = number;
                self.keys.push(key);
                number
            }
            _ => {
                key.name = Box::default();
                self.keys[usize::from(SPARE)] = key;
                SPARE
            }
        }
    }
}

impl Key {
    /// Reads the key's value at `at`; gives the place after it.
    #[inline]
    fn value(&self, block: &str, stops: &Stops, plan: &Plan, at: usize, sink: &mut Sink) -> Option<usize> {
        let bytes = block.as_bytes();
        if self.plan.is_none() {
            let (start, end, kind, after) = match *bytes.get(at)? {
                b'"' => {
                    let close = stops.next(at + 1);
                    if *bytes.get(close)? != b'"' {
                        return self.unusual(block, plan, at, sink);
                    }
                    (at + 1, close, SlotKind::Text, close + 1)
                }
                b'1'..=b'9' => {
                    let mut end = at + 1;
                    while bytes.get(end)?.is_ascii_digit() {
                        end += 1;
                    }
                    if !matches!(*bytes.get(end)?, b',' | b'}') {
                        return self.unusual(block, plan, at, sink);
                    }
                    (at, end, SlotKind::Number, end)
                }
                _ => return self.unusual(block, plan, at, sink),
            };
            // Most values are nobody's.
            if self.target != NOBODY {
                self.put_wanted(start, end, kind, sink);
            }
            return Some(after);
        }
        self.unusual(block, plan, at, sink)
    }

    /// Puts what stands from `start` to `end`. Three numbers: a slot that is put together right before it is
    /// copied waits for all writes before it.
    #[inline(never)]
    fn put_wanted(&self, start: usize, end: usize, kind: SlotKind, sink: &mut Sink) {
        sink.put(self.target, span(start, end, kind));
        for target in &self.also {
            sink.put(*target, span(start, end, kind));
        }
    }

    /// Reads a value that is no clean string or whole number, or that paths lead into.
    fn unusual(&self, block: &str, plan: &Plan, at: usize, sink: &mut Sink) -> Option<usize> {
        let mut reader = Reader::new(block, plan, at, block.len());
        if self.plan.is_some() {
            reader.field(self.plan.as_deref(), 2, sink).ok()?;
        } else {
            let wanted = self.target != NOBODY;
            let slot = reader.value(2, wanted, None, sink).ok()?;
            if wanted {
                let start = slot.start as usize;
                self.put_wanted(start, start + slot.len as usize, slot.kind, sink);
            }
        }
        Some(reader.at())
    }
}

/// What stands between two strings, from quote to quote: around the key at `at`, whose value is at `value`.
fn joint(bytes: &[u8], at: usize, value: usize) -> Literal {
    let whole = at.checked_sub(2).and_then(|quote| bytes.get(quote..=value));
    let between = whole.filter(|whole| whole.starts_with(b"\",") && whole.ends_with(b"\""));
    between.map_or(Literal::NOWHERE, Literal::new)
}

#[inline]
fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// A place in the table, from a key's first and last bytes and its length: what tells keys of audit
/// records apart.
fn hash(name: &[u8]) -> usize {
    let (mut first, mut last) = ([0; 8], [0; 8]);
    let len = name.len().min(8);
    first[..len].copy_from_slice(&name[..len]);
    if let Some(end) = name.last_chunk() {
        last = *end;
    }
    mixed(u64::from_le_bytes(first), u64::from_le_bytes(last), name.len())
}

/// The hash of what stands from `start` to `end`, without a branch that depends on its length. None near
/// the ends of `bytes`, and of nothing.
#[inline]
fn hash_at(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let len = end.checked_sub(start).filter(|len| *len > 0)?;
    let first = u64::from_le_bytes(*bytes.get(start..)?.first_chunk()?);
    let last = u64::from_le_bytes(*bytes.get(..end)?.last_chunk()?);
    let first = first & u64::MAX >> (u64::BITS as usize - 8 * len.min(8));
    Some(mixed(first, if len < 8 { 0 } else { last }, len))
}

#[inline]
fn mixed(first: u64, last: u64, len: usize) -> usize {
    let mixed = first ^ last.rotate_left(29) ^ len as u64;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % TABLE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_has_one_place_wherever_it_stands(before in "[a-z\"]{0,20}", key in "[a-zé_]{1,20}", after in "[a-z\"]{0,20}") {
            let text = format!("{before}{key}{after}");
            let end = before.len() + key.len();
            if let Some(place) = hash_at(text.as_bytes(), before.len(), end) {
                prop_assert_eq!(place, hash(key.as_bytes()));
            }
            let far = before.len() + 8 <= text.len() && end >= 8;
            prop_assert_eq!(hash_at(text.as_bytes(), before.len(), end).is_some(), far);
        }
    }
}
