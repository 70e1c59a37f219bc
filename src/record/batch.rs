//! Rows read together: text once, one slot of (start, length, kind) per wanted field and row.

use std::ops::Add;
use std::sync::Arc;

use super::scan::{identity_of_line, identity_of_named};
use super::{Column, Columns, Locator, Number, Phase, RecordId, RowId, Timestamp};

/// One value of one row, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// The row does not name the field.
    Absent,
    /// The row says `null`.
    Null,
    /// A string, unescaped.
    Text(&'a str),
    /// A number as spelt, valid JSON.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// An array or object as spelt, valid JSON.
    Json(&'a str),
}

impl<'a> Value<'a> {
    /// As text: strings and numbers as they are, booleans as their words; none for the rest.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Absent | Self::Null | Self::Json(_) => None,
        }
    }

    /// As a number to be equal to: a JSON number, or a string that spells one; none out of range.
    pub fn number(self) -> Option<Number> {
        match self {
            Self::Text(text) | Self::Number(text) => Number::parse(text),
            Self::Bool(_) | Self::Absent | Self::Null | Self::Json(_) => None,
        }
    }

    /// As a number to be larger or smaller than others, see [`Number::nearest`].
    pub fn nearest(self) -> Option<Number> {
        match self {
            Self::Text(text) | Self::Number(text) => Number::nearest(text),
            Self::Bool(_) | Self::Absent | Self::Null | Self::Json(_) => None,
        }
    }
}

/// Where a slot's text lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// First byte in the batch's text.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
    /// What it is.
    pub kind: SlotKind,
}

/// The kind of a slot's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// No value.
    Absent,
    /// `null`.
    Null,
    /// Unescaped text.
    Text,
    /// A JSON number.
    Number,
    /// `true`.
    True,
    /// `false`.
    False,
    /// An array or object.
    Json,
}

impl Slot {
    /// A slot without a value.
    pub const ABSENT: Self = Self { start: 0, len: 0, kind: SlotKind::Absent };
}

/// What a row's identity is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// It is made.
    Made,
    /// Kind and the vendor's id, of a file.
    Named {
        /// The kind.
        kind: Slot,
        /// The id.
        id: Slot,
    },
    /// The row as it was read.
    Line,
}

/// What the door learnt of one row besides its slots.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Whose row it is; of a scanner that marks rows, a mark instead, the same for the same row and in
    /// this process only. What is told is [`Batch::id`].
    pub id: RowId,
    /// What the identity is made of, where `id` is a mark.
    pub whose: Whose,
    /// Digest of the row's content: another one means that the row was amended.
    pub version: u64,
    /// Where the row can be fetched again.
    pub locator: Locator,
    /// The whole row as it was read, without the white space around it; absent where there is none.
    pub line: Slot,
    /// Event time of its start record.
    pub start: Timestamp,
    /// Event time of its end record, once it shows an end.
    pub end: Option<Timestamp>,
    /// Set for a row that is itself one phase (a flat record with a `phase` field); such a row
    /// makes that record only, at `start`.
    pub only: Option<Phase>,
    /// True while the row may still change: no end, and no failure.
    pub open: bool,
    /// True for a row that is set aside: its records do not exist yet.
    pub held: bool,
}

/// Rows of one source, read together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The wanted fields: how many slots a row has and what they are.
    pub columns: Arc<Columns>,
    /// Everything that slots point into.
    pub text: String,
    /// One a row, in the order they were read.
    pub rows: Vec<Row>,
    /// `rows.len() * columns.len()` slots, row by row.
    pub slots: Vec<Slot>,
    /// What could not be read, in order.
    pub faults: Vec<BadRow>,
    /// Lines or rows that were looked at, bad ones included and blank ones not.
    pub read: u64,
    /// What became of the key which the mapping names for their time.
    pub timed: Timed,
    /// What became of the fields of the mapping, in its order.
    pub mapped: Vec<Mapped>,
}

/// Rows by the key which the mapping names for one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Rows that have the key, whatever it holds.
    pub there: u64,
    /// Those where it holds no word of a field that has few.
    pub strange: u64,
    /// The first such word.
    pub first: Option<String>,
}

impl Mapped {
    /// Adds what later rows show.
    pub fn add(&mut self, later: &Self) {
        self.there += later.there;
        self.strange += later.strange;
        if self.first.is_none() {
            self.first.clone_from(&later.first);
        }
    }
}

/// Rows by the key which the mapping names for their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// Rows that have it, whatever it holds.
    pub there: u64,
    /// Those where it holds an object or a list.
    pub nested: u64,
    /// Those where it holds a time.
    pub read: u64,
}

impl Add for Timed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            there: self.there + other.there,
            nested: self.nested + other.nested,
            read: self.read + other.read,
        }
    }
}

/// A line or row that makes no record; it is quarantined, counted and shown with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Where it is.
    pub locator: Locator,
    /// Why it is no record.
    pub fault: super::scan::Fault,
    /// Its first characters, at most 512 bytes, for a person to look at.
    pub excerpt: String,
}

impl Batch {
    /// An empty batch.
    pub fn new(columns: Arc<Columns>) -> Self {
        Self {
            columns,
            text: String::new(),
            rows: Vec::new(),
            slots: Vec::new(),
            faults: Vec::new(),
            read: 0,
            timed: Timed::default(),
            mapped: Vec::new(),
        }
    }

    /// The whole row as it was read; empty where it was not read from text.
    pub fn line(&self, row: usize) -> &str {
        self.text_of(self.rows[row].line)
    }

    /// The identity of a row.
    pub fn id(&self, row: usize) -> RowId {
        let row = &self.rows[row];
        match row.whose {
            Whose::Made => row.id,
            Whose::Named { kind, id } => identity_of_named(self.text_of(kind), self.text_of(id)),
            Whose::Line => identity_of_line(self.text_of(row.line)),
        }
    }

    fn text_of(&self, slot: Slot) -> &str {
        &self.text[slot.start as usize..(slot.start + slot.len) as usize]
    }

    /// Adds a copy of a row of another batch with the same columns, not held.
    pub fn push_row_of(&mut self, other: &Self, row: usize) {
        let mut copy = |slot: Slot, within: Option<(Slot, Slot)>| {
            if slot.len == 0 {
                return Slot { start: 0, ..slot };
            }
            // What stands in the row's line is there already.
            if let Some((old, new)) = within
                && slot.start >= old.start
                && slot.start + slot.len <= old.start + old.len
            {
                return Slot { start: new.start + (slot.start - old.start), ..slot };
            }
            // A batch is bounded far below: see `scan::MAX_BLOCK`.
            let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
            self.text.push_str(other.text_of(slot));
            Slot { start, ..slot }
        };
        let (old, whose) = (other.rows[row].line, other.rows[row].whose);
        let line = copy(old, None);
        let whose = match whose {
            Whose::Named { kind, id } => {
                Whose::Named { kind: copy(kind, None), id: copy(id, Some((old, line))) }
            }
            Whose::Made | Whose::Line => whose,
        };
        let width = other.columns.len();
        let slots = &other.slots[row * width..(row + 1) * width];
        self.slots.extend(slots.iter().map(|slot| copy(*slot, Some((old, line)))));
        self.rows.push(Row { line, whose, held: false, ..other.rows[row] });
    }

    /// The record that row number `row` is in `phase`. `changed` is a JSON array of names, for the
    /// amended phase only.
    pub fn record(&self, row: usize, phase: Phase) -> Record<'_> {
        Record { batch: self, row, phase, changed: None }
    }
}

/// One record: a row in one phase.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    batch: &'a Batch,
    row: usize,
    phase: Phase,
    changed: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// The same record with the names of its changed fields, as a JSON array.
    #[must_use]
    pub fn with_changed(self, changed: &'a str) -> Self {
        Self { changed: Some(changed), ..self }
    }

    /// The row behind the record.
    pub fn row(self) -> &'a Row {
        &self.batch.rows[self.row]
    }

    /// Its phase.
    pub fn phase(self) -> Phase {
        self.phase
    }

    /// Its identity.
    pub fn id(self) -> RecordId {
        RecordId::of(self.batch.id(self.row), self.phase)
    }

    /// Its event time.
    pub fn time(self) -> Timestamp {
        let row = self.row();
        match self.phase {
            Phase::End if row.only.is_none() => row.end.unwrap_or(row.start),
            Phase::Start | Phase::Amended | Phase::End => row.start,
        }
    }

    /// Where the row's own value in `column` lies: equal slots of one batch are equal values.
    #[inline]
    pub fn slot(self, column: Column) -> Slot {
        self.batch.slots[self.row * self.batch.columns.len() + usize::from(column.0)]
    }

    /// The value in `column` as it is spelt, where the row has a text or a number there: nearly always.
    #[inline]
    pub fn plain(self, column: Column) -> Option<&'a str> {
        let slot = self.slot(column);
        matches!(slot.kind, SlotKind::Text | SlotKind::Number)
            .then(|| &self.batch.text[slot.start as usize..(slot.start + slot.len) as usize])
    }

    /// The value in `column`. The fact `phase` is the record's own, `changed` only of an amended
    /// record; all else is the row's.
    #[inline]
    pub fn get(self, column: Column) -> Value<'a> {
        let batch = self.batch;
        let slot = self.slot(column);
        let text = || &batch.text[slot.start as usize..(slot.start + slot.len) as usize];
        match slot.kind {
            SlotKind::Absent => self.virtual_field(column),
            SlotKind::Null => Value::Null,
            SlotKind::Text => Value::Text(text()),
            SlotKind::Number => Value::Number(text()),
            SlotKind::True => Value::Bool(true),
            SlotKind::False => Value::Bool(false),
            SlotKind::Json => Value::Json(text()),
        }
    }

    /// Fields that a record has and its row has not.
    fn virtual_field(self, column: Column) -> Value<'a> {
        let columns = &self.batch.columns;
        if columns.is_phase(column) {
            Value::Text(self.phase.as_str())
        } else if columns.is_changed(column) {
            self.changed.map_or(Value::Absent, Value::Json)
        } else {
            Value::Absent
        }
    }
}
