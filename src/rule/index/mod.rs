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
//! Where many conditions share a key that few records show (`status: failed`), what else they need is
//! looked up only where it is shown.
//!
//! How rare a key is, is guessed from the rules alone until a batch is large enough to be a sample;
//! then it is measured, once for as long as the index lives. That costs or saves time and decides nothing.

mod gate;
mod literal;
mod rarity;
mod repeat;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::record::batch::{Slot, SlotKind};
use crate::record::{Batch, Column, Columns, Record, Value};

use super::spec::Expr;
use gate::{Key, KeyId, Keys, Needs};
use repeat::Repeats;
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
#[derive(Debug, Default)]
pub struct Tables {
    fields: Vec<Table>,
    lists: Vec<Box<[Filed]>>,
    always: Vec<Filed>,
    /// Conditions that all need one rare key besides: looked up where it is shown, so that most records
    /// are spared the lookups of all else that they need.
    guarded: Vec<(List, Tables)>,
    tuned: bool,
}

/// A key that more records show guards nothing.
const GUARD_SHARE: f32 = 0.1;
/// Fewer conditions than these are not worth a guard.
const GUARDED: usize = 2;
/// Guards there are at most: each is looked up by itself.
const GUARDS: usize = 4;

/// What each field that few texts are looked for in held last, and what was found: facts hold the
/// same few words again and again, which lie in one place of their batch. Of other fields, what was
/// found in the texts that come again and again. And what looking up needs.
#[derive(Debug, Default)]
pub struct Looked {
    last: Vec<(Slot, List)>,
    repeats: Vec<Repeats>,
    seek: Seek,
    guarded: Vec<Looked>,
    tuned: bool,
}

impl Looked {
    /// Forgets the last batch: what comes is of another one.
    pub fn begin(&mut self, tables: &Tables) {
        if self.tuned != tables.tuned {
            // Lists have other numbers there.
            *self = Self { tuned: tables.tuned, ..Self::default() };
        }
        self.last.clear();
        self.last.resize(tables.fields.len(), (Slot::ABSENT, NONE));
        self.repeats.resize_with(tables.fields.len(), Repeats::default);
        self.seek.among(tables.lists.len());
        self.guarded.resize_with(tables.guarded.len(), Self::default);
        for (looked, (_, tables)) in self.guarded.iter_mut().zip(&tables.guarded) {
            looked.begin(tables);
        }
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
            let measured = || rarity::measured(&self.keys, batch, guessed());
            return self.tuned.get_or_init(|| self.tables_by(&measured(), true));
        }
        self.rough.get_or_init(|| self.tables_by(&guessed(), false))
    }

    /// The tables for keys that these shares of all records show.
    fn tables_by(&self, shares: &[f32], tuned: bool) -> Tables {
        let guards = self.guards(shares);
        let mut open: Vec<&(Filed, Needs)> = Vec::new();
        let mut guarded: Vec<Vec<&(Filed, Needs)>> = vec![Vec::new(); guards.len()];
        for filed in &self.filed {
            match guards.iter().position(|guard| filed.1.wants(*guard)) {
                Some(place) => guarded[place].push(filed),
                None => open.push(filed),
            }
        }
        let (mut tables, lists) = self.tables_of(&open, &guards, shares, tuned);
        tables.always.clone_from(&self.always);
        let guarded = guarded.iter().map(|some| self.tables_of(some, &[], shares, tuned).0);
        tables.guarded = lists.into_iter().zip(guarded).collect();
        tables
    }

    /// The keys that guard, those of most conditions first.
    fn guards(&self, shares: &[f32]) -> Vec<KeyId> {
        let mut many: BTreeMap<KeyId, usize> = BTreeMap::new();
        let mut wanted = Vec::new();
        for (_, needs) in &self.filed {
            wanted.clear();
            needs.wanted(&mut wanted);
            wanted.sort_unstable();
            wanted.dedup();
            for id in wanted.iter().copied() {
                // A whole text is found at once.
                let whole = matches!(self.keys.list[id as usize], Key::Equals(..));
                if whole && shares[id as usize] <= GUARD_SHARE {
                    *many.entry(id).or_default() += 1;
                }
            }
        }
        let mut guards: Vec<(usize, KeyId)> = many.into_iter().map(|(key, many)| (many, key)).collect();
        guards.retain(|(many, _)| *many >= GUARDED);
        guards.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        guards.into_iter().take(GUARDS).map(|(_, key)| key).collect()
    }

    /// The tables of some conditions, and the lists of `guards` in them.
    fn tables_of(
        &self,
        some: &[&(Filed, Needs)],
        guards: &[KeyId],
        shares: &[f32],
        tuned: bool,
    ) -> (Tables, Vec<List>) {
        let mut by_key: BTreeMap<KeyId, Vec<Filed>> = guards.iter().map(|key| (*key, Vec::new())).collect();
        for (number, needs) in some {
            for key in needs.rarest(shares).1 {
                let list = by_key.entry(key).or_default();
                if list.last() != Some(number) {
                    list.push(*number);
                }
            }
        }
        let mut fields: BTreeMap<Column, Vec<(&Key, List)>> = BTreeMap::new();
        let (mut lists, mut of_guards) = (Vec::with_capacity(by_key.len()), vec![NONE; guards.len()]);
        for (id, filed) in by_key {
            let key = &self.keys.list[id as usize];
            let list = List::try_from(lists.len()).unwrap_or(NONE);
            fields.entry(key.column()).or_default().push((key, list));
            lists.push(filed.into());
            if let Some(place) = guards.iter().position(|guard| *guard == id) {
                of_guards[place] = list;
            }
        }
        let fields = fields.into_iter().map(|(column, keys)| Table::new(column, keys)).collect();
        (Tables { fields, lists, tuned, ..Tables::default() }, of_guards)
    }
}

impl Tables {
    /// Every condition worth a look for `record`, each once, into `found` in ascending order.
    /// `looked` must have begun the record's batch.
    pub fn candidates(&self, record: Record<'_>, looked: &mut Looked, found: &mut Vec<Filed>) {
        found.clear();
        self.look(record, looked, found);
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    fn look(&self, record: Record<'_>, looked: &mut Looked, found: &mut Vec<Filed>) {
        found.extend_from_slice(&self.always);
        let Looked { last, repeats, seek, guarded, .. } = looked;
        seek.next();
        // The guards that are shown, by bit.
        let mut open = 0_u32;
        let mut add = |list: List| {
            let Some(filed) = self.lists.get(list as usize) else { return };
            found.extend_from_slice(filed);
            for (bit, (guard, _)) in self.guarded.iter().enumerate() {
                open |= u32::from(*guard == list) << bit;
            }
        };
        for ((field, last), repeats) in self.fields.iter().zip(last).zip(repeats) {
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
                    repeats.look(text, &mut add, |found| field.find(text, seek, &mut |list| found(list)));
                }
            }
            add(field.present);
        }
        if open != 0 {
            for (bit, ((_, tables), looked)) in self.guarded.iter().zip(guarded).enumerate() {
                if open & (1 << bit) != 0 {
                    tables.look(record, looked, found);
                }
            }
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
