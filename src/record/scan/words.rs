//! Texts that facts give again and again: written once a batch, behind its block.

use super::sink::Tail;
use crate::record::batch::Slot;

/// The words of a scanner.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: String,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    start: usize,
    len: usize,
}

impl Words {
    /// A word; the same text is written once.
    pub(super) fn add(&mut self, text: &str) -> Word {
        let start = self.text.find(text).unwrap_or_else(|| {
            self.text.push_str(text);
            self.text.len() - text.len()
        });
        Word { start, len: text.len() }
    }

    /// All of them, one after another.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Word {
    /// Where it stands in a batch whose tail began with the words.
    pub(super) fn slot(self, tail: &Tail) -> Slot {
        tail.slot(self.start, self.len)
    }
}
