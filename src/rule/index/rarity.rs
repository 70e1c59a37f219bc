//! How many of all records show a key, as far as anybody knows: from the rules alone, or from a
//! sample of records.
//!
//! It decides which of a rule's necessary keys the index asks for, and so what a record costs; it
//! never decides what fires.

use std::collections::{BTreeSet, HashMap};

use super::gate::{Key, Keys};
use super::literal::Place;
use crate::record::fold::fold;
use crate::record::{Batch, Column, Columns, Number, Phase, Value};
use crate::rule::condition::address;

/// Records that are looked at; enough to tell what is common from what is rare.
pub(super) const SAMPLE: usize = 128;
/// Records that what the rules alone tell weighs as much as.
const PRIOR: f32 = 4.0;

/// Facts with so few values that a key of one lets most records through.
const COMMON: [&str; 4] = ["kind", "phase", "service", "outcome"];
/// Facts with a handful of values.
const CLASSES: [&str; 2] = ["failure_kind", "is_reconnect"];

/// The share of records that show each key, told by the rules: a field whose many values rules name
/// has many values, long texts are rarer than short ones, bounds are set where few are beyond them.
pub(super) fn guessed(keys: &Keys, columns: &Columns) -> Vec<f32> {
    let mut named: HashMap<Column, f32, foldhash::fast::RandomState> = HashMap::default();
    for key in &keys.list {
        if let Key::Equals(column, _) = key {
            *named.entry(*column).or_default() += 1.0;
        }
    }
    let share = |key: &Key| match key {
        Key::Equals(column, text) => {
            let name = columns.name(*column);
            match name.as_str() {
                _ if name.is_spelt() => 0.002 + 0.04 / named.get(column).copied().unwrap_or(1.0),
                "outcome" if text == "failure" => 0.05,
                field if COMMON.contains(&field) => 0.6,
                field if CLASSES.contains(&field) => 0.1,
                _ => 0.002 + 0.04 / named.get(column).copied().unwrap_or(1.0),
            }
        }
        Key::Number(..) | Key::Address(..) => 0.005,
        Key::Has(_, place, text) => {
            let place = if *place == Place::Anywhere { 1.0 } else { 0.5 };
            place
                * if text.len() < 8 {
                    [1.0, 0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01][text.len()]
                } else {
                    0.005
                }
        }
        Key::Net(_, net) => {
            let bits = if net.addr().is_ipv6() { net.prefix_len() / 3 } else { net.prefix_len() };
            match bits {
                0..8 => 0.5,
                8..16 => 0.1,
                16..24 => 0.02,
                _ => 0.004,
            }
        }
        Key::AtLeast(..) | Key::AtMost(..) => 0.06,
        Key::Present(_) => 0.5,
    };
    keys.list.iter().map(share).collect()
}

/// What a sample of records holds, gathered from one batch after the other: a page of the vendor's has a
/// hundred rows, and a file that grows a few.
#[derive(Debug, Default)]
pub(super) struct Sample {
    records: usize,
    columns: HashMap<Column, Held, foldhash::fast::RandomState>,
}

impl Sample {
    /// Whether it is large enough to measure by.
    pub(super) fn is_enough(&self) -> bool {
        self.records >= SAMPLE
    }

    /// Takes records of `batch`, from all over it and no more than are wanted.
    pub(super) fn take(&mut self, keys: &Keys, batch: &Batch) {
        let many = SAMPLE.saturating_sub(self.records).min(batch.rows.len());
        let rows: Vec<usize> = (0..many).map(|number| number * batch.rows.len() / many).collect();
        self.records += many;
        let columns: BTreeSet<Column> = keys.list.iter().map(Key::column).collect();
        for column in columns {
            self.columns.entry(column).or_default().take(batch, &rows, column);
        }
    }

    /// It has been measured by.
    pub(super) fn forget(&mut self) {
        self.columns = HashMap::default();
    }

    /// The shares of records that show each key, by the rules alone, with what the sample shows.
    pub(super) fn measured(&self, keys: &Keys, mut shares: Vec<f32>) -> Vec<f32> {
        let all = (0..self.records).fold(PRIOR, |all, _| all + 1.0);
        for (key, share) in keys.list.iter().zip(&mut shares) {
            let shown = self.columns.get(&key.column()).map_or(0.0, |held| held.show(key));
            *share = (shown + PRIOR * *share) / all;
        }
        shares
    }
}

impl Key {
    pub(super) fn column(&self) -> Column {
        match self {
            Self::Equals(column, _)
            | Self::Has(column, ..)
            | Self::Number(column, _)
            | Self::Address(column, _)
            | Self::Net(column, _)
            | Self::AtLeast(column, _)
            | Self::AtMost(column, _)
            | Self::Present(column) => *column,
        }
    }
}

/// What the records of a sample hold in one field.
#[derive(Debug, Default)]
struct Held {
    present: f32,
    /// Texts, folded, and how many have them.
    texts: HashMap<String, f32, foldhash::fast::RandomState>,
}

impl Held {
    fn take(&mut self, batch: &Batch, rows: &[usize], column: Column) {
        for row in rows {
            let phase = batch.rows[*row].only.unwrap_or(Phase::Start);
            let value = batch.record(*row, phase).get(column);
            self.present += if matches!(value, Value::Absent | Value::Null) { 0.0 } else { 1.0 };
            if let Some(text) = value.text() {
                *self.texts.entry(fold(text).into_owned()).or_default() += 1.0;
            }
        }
    }

    fn show(&self, key: &Key) -> f32 {
        let shown = |shows: &dyn Fn(&str) -> bool| {
            // A sum of small whole numbers is the same in any order.
            self.texts.iter().fold(0.0, |sum, (text, many)| if shows(text) { sum + many } else { sum })
        };
        match key {
            Key::Present(_) => self.present,
            Key::Equals(_, text) => self.texts.get(text).copied().unwrap_or(0.0),
            Key::Has(_, Place::Anywhere, part) => shown(&|text| text.contains(part)),
            Key::Has(_, Place::Start, part) => shown(&|text| text.starts_with(part)),
            Key::Has(_, Place::End, part) => shown(&|text| text.ends_with(part)),
            Key::Number(_, number) => shown(&|text| Number::parse(text) == Some(*number)),
            Key::AtLeast(_, number) => shown(&|text| Number::nearest(text).is_some_and(|one| one >= *number)),
            Key::AtMost(_, number) => shown(&|text| Number::nearest(text).is_some_and(|one| one <= *number)),
            Key::Address(_, one) => shown(&|text| address(text) == Some(*one)),
            Key::Net(_, net) => shown(&|text| address(text).is_some_and(|one| net.contains(&one))),
        }
    }
}
