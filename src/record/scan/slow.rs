//! The exact reader: RFC 8259, one byte after another.
//!
//! It decides what is JSON and says what is wrong with the rest. The quick walk leaves to it what
//! is rare (escapes, nesting, odd numbers) and whatever it cannot read itself. A line holds no
//! newline, so a newline is no whitespace here: a value cannot run on into the next line.
//!
//! Half of a surrogate pair is U+FFFD. Lists, objects and whole lines that hold one are kept mended, so
//! that whoever parses them again reads the same.

use super::plan::{KeyPlan, Plan};
use super::sink::Sink;
use super::{MAX_DEPTH, MAX_FIELDS};
use crate::record::batch::{Slot, SlotKind};
use crate::record::value_of;

/// What is wrong, and at which byte of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) at: usize,
    pub(super) why: Why,
}

/// The ways of being no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Json(&'static str),
    NotObject,
    TooManyFields,
    TooDeep,
}

/// A place in a block, and where reading must stop.
pub(super) struct Reader<'a> {
    text: &'a str,
    plan: &'a Plan,
    at: usize,
    end: usize,
}

/// Which keys of an object mean something.
#[derive(Clone, Copy)]
enum Within {
    /// The row itself.
    Row,
    /// A node of the plan's paths.
    Node(u16),
    /// None do.
    Nothing,
}

impl<'a> Reader<'a> {
    /// At `at` in `text`, reading nothing from `end` on.
    pub(super) fn new(text: &'a str, plan: &'a Plan, at: usize, end: usize) -> Self {
        Self { text, plan, at, end }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads a whole line: one object and nothing else.
    pub(super) fn line(&mut self, sink: &mut Sink) -> Result<(), Bad> {
        self.skip_space();
        let is_object = self.peek() == b'{';
        if is_object {
            self.at += 1;
            self.object(1, Within::Row, sink)?;
        } else {
            self.value(1, false, None, sink)?;
        }
        self.skip_space();
        if self.at < self.end {
            return Err(self.bad("more after the value"));
        }
        if is_object { Ok(()) } else { Err(Bad { at: self.at, why: Why::NotObject }) }
    }

    /// Reads one value; `depth` is the one of a container that opens here. A string is unescaped
    /// only if it is wanted; `node` names the paths that lead into an object.
    pub(super) fn value(
        &mut self,
        depth: usize,
        wanted: bool,
        node: Option<u16>,
        sink: &mut Sink,
    ) -> Result<Slot, Bad> {
        let start = self.at;
        let kind = match self.peek() {
            b'"' => {
                self.at += 1;
                return self.string(wanted, sink);
            }
            bracket @ (b'{' | b'[') => {
                self.open(depth)?;
                let before = std::mem::take(&mut sink.halves);
                if bracket == b'{' {
                    self.object(depth, node.map_or(Within::Nothing, Within::Node), sink)?;
                } else {
                    self.array(depth, sink)?;
                }
                let halves = sink.halves;
                sink.halves |= before;
                if wanted && halves {
                    return Ok(sink.mended(&self.text[start..self.at]));
                }
                SlotKind::Json
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word("true", SlotKind::True)?,
            b'f' => self.word("false", SlotKind::False)?,
            b'n' => self.word("null", SlotKind::Null)?,
            _ if self.at >= self.end => return Err(self.bad("the line ends too early")),
            _ => return Err(self.bad("a value was expected")),
        };
        Ok(span(start, self.at, kind))
    }

    fn open(&mut self, depth: usize) -> Result<(), Bad> {
        if depth > MAX_DEPTH {
            return Err(Bad { at: self.at, why: Why::TooDeep });
        }
        self.at += 1;
        Ok(())
    }

    /// The rest of an object whose brace is read.
    fn object(&mut self, depth: usize, within: Within, sink: &mut Sink) -> Result<(), Bad> {
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        let mut fields = 0;
        loop {
            self.skip_space();
            if !self.take(b'"') {
                return Err(self.bad("a key in quotes was expected"));
            }
            let key = self.key(within, sink)?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.bad("a colon was expected"));
            }
            fields += 1;
            if fields > MAX_FIELDS && matches!(within, Within::Row) {
                return Err(Bad { at: self.at, why: Why::TooManyFields });
            }
            self.skip_space();
            self.field(key, depth + 1, sink)?;
            self.skip_space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.bad("a comma or the object's end was expected"));
            }
        }
    }

    /// What the plan holds for the key that begins here.
    fn key(&mut self, within: Within, sink: &mut Sink) -> Result<Option<&'a KeyPlan>, Bad> {
        let tail = sink.tail.len();
        let wanted = !matches!(within, Within::Nothing);
        let slot = self.string(wanted, sink)?;
        let name = sink.tail.text(self.text, slot);
        let plan = self.plan;
        let key = match within {
            Within::Row => plan.key(name),
            Within::Node(node) => plan.child(node, name),
            Within::Nothing => None,
        };
        sink.tail.truncate(tail);
        if let (Within::Row, Some(key)) = (within, key) {
            sink.marks |= key.marks;
        }
        Ok(key)
    }

    /// Reads the value of a key into the key's slots.
    pub(super) fn field(&mut self, key: Option<&KeyPlan>, depth: usize, sink: &mut Sink) -> Result<(), Bad> {
        let Some(key) = key else {
            return self.value(depth, false, None, sink).map(|_| ());
        };
        if let Some(node) = key.node {
            sink.clear(self.plan.below(node));
        }
        let slot = self.value(depth, !key.targets.is_empty(), key.node, sink)?;
        for target in &key.targets {
            sink.put(*target, slot);
        }
        if let (Some(node), SlotKind::Json) = (key.node, slot.kind) {
            self.through_list(node, slot, sink);
        }
        Ok(())
    }

    /// Fills what is read through a list, where one stands in the place of `node`'s object.
    fn through_list(&self, node: u16, slot: Slot, sink: &mut Sink) {
        let paths = self.plan.through(node);
        let text = sink.tail.text(self.text, slot);
        if paths.is_empty() || !text.starts_with('[') {
            return;
        }
        let Some(list) = value_of(text) else { return };
        for path in paths {
            if let Some(values) = path.values(&list) {
                let tail = sink.tail.len();
                sink.tail.push(&values);
                let slot = Slot { kind: SlotKind::Json, ..sink.tail.since(tail) };
                sink.put(path.target, slot);
            }
        }
    }

    fn array(&mut self, depth: usize, sink: &mut Sink) -> Result<(), Bad> {
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value(depth + 1, false, None, sink)?;
            self.skip_space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.bad("a comma or the array's end was expected"));
            }
        }
    }

    /// The rest of a string whose opening quote is read.
    pub(super) fn string(&mut self, wanted: bool, sink: &mut Sink) -> Result<Slot, Bad> {
        let (start, tail) = (self.at, sink.tail.len());
        let mut escaped = false;
        loop {
            let run = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            match self.peek() {
                b'"' if !escaped => {
                    self.at += 1;
                    return Ok(span(start, self.at - 1, SlotKind::Text));
                }
                stop @ (b'"' | b'\\') => {
                    if wanted {
                        sink.tail.push(&self.text[run..self.at]);
                    }
                    self.at += 1;
                    if stop == b'"' {
                        return Ok(sink.tail.since(tail));
                    }
                    escaped = true;
                    let c = self.escape(sink)?;
                    if wanted {
                        sink.tail.push(c.encode_utf8(&mut [0; 4]));
                    }
                }
                _ if self.at >= self.end => return Err(self.bad("the line ends inside a string")),
                _ => return Err(self.bad("a control character stands bare inside a string")),
            }
        }
    }

    /// The character that an escape stands for; its backslash is read.
    fn escape(&mut self, sink: &mut Sink) -> Result<char, Bad> {
        let kind = self.peek();
        let plain = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(sink),
            _ => return Err(self.bad("an unknown escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self, sink: &mut Sink) -> Result<char, Bad> {
        self.at += 1;
        let mut code = self.hex()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&code) && self.take(b'\\') && self.take(b'u') {
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        Ok(char::from_u32(code).unwrap_or_else(|| {
            // What follows the half is read for itself.
            self.at = after;
            sink.halves = true;
            char::REPLACEMENT_CHARACTER
        }))
    }

    fn hex(&mut self) -> Result<u32, Bad> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.bad("four hex digits were expected"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<SlotKind, Bad> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(SlotKind::Number)
    }

    fn digits(&mut self) -> Result<(), Bad> {
        if !self.peek().is_ascii_digit() {
            return Err(self.bad("a digit was expected"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, kind: SlotKind) -> Result<SlotKind, Bad> {
        if self.text.as_bytes()[self.at..self.end].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(kind);
        }
        Err(self.bad("a value was expected"))
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == byte;
        self.at += usize::from(taken);
        taken
    }

    /// The byte here; 0, which no token begins with, at the end.
    fn peek(&self) -> u8 {
        if self.at < self.end { self.text.as_bytes()[self.at] } else { 0 }
    }

    fn bad(&self, reason: &'static str) -> Bad {
        Bad { at: self.at, why: Why::Json(reason) }
    }
}

/// The slot of the bytes from `start` to `end`.
#[inline]
pub(super) fn span(start: usize, end: usize, kind: SlotKind) -> Slot {
    Slot { start: start as u32, len: (end - start) as u32, kind }
}
