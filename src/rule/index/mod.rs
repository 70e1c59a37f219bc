//! The matcher: which conditions are worth a look for a record.
//!
//! A condition is filed under keys (a field with a value, a part of one, a network, a bound, its
//! presence) of which a record must show one if the condition is to hold: of all the keys that it
//! needs, those that the fewest records show. A record is looked up field by field, once each: whole
//! texts by hash, parts of texts by one automaton, networks by their prefixes, bounds in order. So a
//! rule costs nothing for records that do not show its rarest key, and what is found says nothing yet:
//! the condition itself is asked then. Conditions that can hold for a record that shows nothing
//! (negations only) are always looked at. What fires never depends on the choice of keys.
//!
//! How rare a key is, is guessed from the rules alone until a batch is large enough to be a sample;
//! then it is measured, once for as long as the index lives. That costs or saves time and decides nothing.

mod gate;
mod literal;
mod rarity;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::record::batch::{Slot, SlotKind};
use crate::record::{Batch, Column, Columns, Record, Value};

use super::spec::Expr;
use gate::{Key, KeyId, Keys, Needs};
use table::{List, NONE, Seek, Table};

/// Number of a filed condition, given by the caller.
pub type Filed = u32;

/// Conditions and what they need.
#[derive(Debug, Default)]
pub struct Index {
    keys: Keys,
    filed: Vec<(Filed, Needs)>,
    always: Vec<Filed>,
    /// By keys whose rarity is guessed.
    rough: OnceLock<Tables>,
    /// By keys whose rarity was measured.
    tuned: OnceLock<Tables>,
}

/// Conditions filed by key.
#[derive(Debug)]
pub struct Tables {
    fields: Vec<Table>,
    lists: Vec<Box<[Filed]>>,
    always: Vec<Filed>,
}

/// What each field that few texts are looked for in held last, and what was found: facts hold the
/// same few words again and again, which lie in one place of their batch. And what looking up needs.
#[derive(Debug, Default)]
pub struct Looked {
    last: Vec<(Slot, List)>,
    seek: Seek,
}

impl Looked {
    /// Forgets the last batch: what comes is of another one.
    pub fn begin(&mut self, tables: &Tables) {
        self.last.clear();
        self.last.resize(tables.fields.len(), (Slot::ABSENT, NONE));
        self.seek.among(tables.lists.len());
    }
}

impl Index {
    /// Files `expr` under `number`.
    pub fn file(&mut self, number: Filed, expr: &Expr, columns: &mut Columns) {
        match gate::needs(expr, columns, &mut self.keys) {
            Some(needs) => self.filed.push((number, needs)),
            None => self.always.push(number),
        }
    }

    /// The tables to look up the records of `batch` in.
    pub fn tables(&self, batch: &Batch) -> &Tables {
        if let Some(tuned) = self.tuned.get() {
            return tuned;
        }
        let guessed = || rarity::guessed(&self.keys, &batch.columns);
        if batch.rows.len() >= rarity::SAMPLE {
            return self
                .tuned
                .get_or_init(|| self.tables_by(&rarity::measured(&self.keys, batch, guessed())));
        }
        self.rough.get_or_init(|| self.tables_by(&guessed()))
    }

    /// The tables for keys that these shares of all records show.
    fn tables_by(&self, shares: &[f32]) -> Tables {
        let mut by_key: BTreeMap<KeyId, Vec<Filed>> = BTreeMap::new();
        for (number, needs) in &self.filed {
            for key in needs.rarest(shares).1 {
                let list = by_key.entry(key).or_default();
                if list.last() != Some(number) {
                    list.push(*number);
                }
            }
        }
        let mut fields: BTreeMap<Column, Vec<(&Key, List)>> = BTreeMap::new();
        let mut lists = Vec::with_capacity(by_key.len());
        for (id, filed) in by_key {
            let key = &self.keys.list[id as usize];
            let list = List::try_from(lists.len()).unwrap_or(NONE);
            fields.entry(key.column()).or_default().push((key, list));
            lists.push(filed.into());
        }
        let fields = fields.into_iter().map(|(column, keys)| Table::new(column, keys)).collect();
        Tables { fields, lists, always: self.always.clone() }
    }
}

impl Tables {
    /// Every condition worth a look for `record`, each once, into `found` in ascending order.
    /// `looked` must have begun the record's batch.
    pub fn candidates(&self, record: Record<'_>, looked: &mut Looked, found: &mut Vec<Filed>) {
        found.clear();
        found.extend_from_slice(&self.always);
        let Looked { last, seek } = looked;
        seek.next();
        let mut add = |list: List| {
            if let Some(list) = self.lists.get(list as usize) {
                found.extend_from_slice(list);
            }
        };
        for (field, last) in self.fields.iter().zip(last) {
            let slot = record.slot(field.column);
            if slot.kind == SlotKind::Text && last.0 == slot {
                add(last.1);
                continue;
            }
            let value = record.get(field.column);
            match value {
                Value::Absent | Value::Null => continue,
                Value::Json(text) => each_element(text, |element| field.find(element, seek, &mut add)),
                Value::Text(_) | Value::Number(_) | Value::Bool(_) => {
                    let text = value.text().unwrap_or_default();
                    if let Some(sole) = field.sole(text) {
                        *last = (slot, sole);
                        add(sole);
                        continue;
                    }
                    field.find(text, seek, &mut add);
                }
            }
            add(field.present);
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }
}

/// Arrays match by any element, so any element shows its keys.
fn each_element(text: &str, mut look: impl FnMut(&str)) {
    let Ok(serde_json::Value::Array(items)) = serde_json::from_str(text) else { return };
    for item in &items {
        match item {
            serde_json::Value::String(text) => look(text),
            serde_json::Value::Number(number) => look(&number.to_string()),
            serde_json::Value::Bool(value) => look(if *value { "true" } else { "false" }),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
        }
    }
}
