//! Where a row's values are put while its line is read.

use std::fmt::Write;

use crate::record::batch::{Slot, SlotKind};
use crate::record::mended;

/// Texts that stand nowhere in the block: unescaped strings, and what facts produce. They follow
/// the block in the batch's text.
#[derive(Debug, Default)]
pub(super) struct Tail {
    text: String,
    base: usize,
}

impl Tail {
    /// Begins anew, behind a block of `base` bytes, with `words`.
    pub(super) fn begin(&mut self, base: usize, words: &str) {
        self.base = base;
        self.text.clear();
        self.text.push_str(words);
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// All of it.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a whole number.
    pub(super) fn push_number(&mut self, number: i64) {
        // Writing to a string does not fail.
        let _ = write!(self.text, "{number}");
    }

    /// Forgets what came after `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// The slot of what was added after `len` bytes.
    pub(super) fn since(&self, len: usize) -> Slot {
        self.slot(len, self.text.len() - len)
    }

    /// The slot of `len` bytes from `start` on.
    pub(super) fn slot(&self, start: usize, len: usize) -> Slot {
        Slot { start: (self.base + start) as u32, len: len as u32, kind: SlotKind::Text }
    }

    /// The text of a slot, be it in the block or here.
    #[inline]
    pub(super) fn text<'a>(&'a self, block: &'a str, slot: Slot) -> &'a str {
        let (start, len) = (slot.start as usize, slot.len as usize);
        match start.checked_sub(self.base) {
            Some(start) => &self.text[start..start + len],
            None => &block[start..start + len],
        }
    }
}

/// One row's values: a slot a field, then one a further spelling of a field.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) values: Vec<Slot>,
    /// How many of the values are fields.
    fields: usize,
    /// Further spellings that the row has, in any order.
    pub(super) touched: Vec<u16>,
    /// What the row's keys tell of its shape.
    pub(super) marks: u8,
    /// What was read held half of a surrogate pair.
    pub(super) halves: bool,
    pub(super) tail: Tail,
}

impl Sink {
    /// Room for `values` slots, the first `fields` of them fields.
    pub(super) fn new(values: usize, fields: usize) -> Self {
        Self { values: vec![Slot::ABSENT; values], fields, ..Self::default() }
    }

    /// Forgets the row.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.values[..self.fields].fill(Slot::ABSENT);
        for target in self.touched.drain(..) {
            self.values[usize::from(target)] = Slot::ABSENT;
        }
        self.marks = 0;
        self.halves = false;
    }

    /// Notes a value. A later one for the same target takes its place.
    #[inline]
    pub(super) fn put(&mut self, target: u16, slot: Slot) {
        let place = usize::from(target);
        self.values[place] = slot;
        if place >= self.fields {
            self.touched.push(target);
        }
    }

    /// The slot of JSON that holds halves of surrogate pairs, fit to be parsed.
    pub(super) fn mended(&mut self, json: &str) -> Slot {
        let tail = self.tail.len();
        self.tail.push(&mended(json));
        Slot { kind: SlotKind::Json, ..self.tail.since(tail) }
    }

    /// Forgets what earlier values of the same key put below it.
    pub(super) fn clear(&mut self, targets: &[u16]) {
        for target in targets {
            self.values[usize::from(*target)] = Slot::ABSENT;
        }
    }
}
