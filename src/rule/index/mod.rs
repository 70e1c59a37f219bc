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
//! looked up only where it is shown. Where many are filed under one key, each that needs another besides
//! is worth a look only for records that show that too.
//!
//! How rare a key is, is guessed from the rules alone until there were enough records for a sample;
//! then it is measured, once for as long as the index lives. That costs or saves time and decides nothing.

mod gate;
mod literal;
mod rarity;
mod repeat;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::record::batch::{Slot, SlotKind};
use crate::record::{Batch, Column, Columns, Record, Value, value_of};

use super::spec::Expr;
use gate::{Key, KeyId, Keys, Needs};
use rarity::Sample;
use repeat::Repeats;
use table::{List, NONE, Seek, Table};

/// Number of a filed condition, given by the caller.
pub type Filed = u32;

/// A condition that is worth a look for a record: ordered by condition, then by the record's place among
/// those that are looked up together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate(u64);

impl Candidate {
    fn new(filed: Filed, place: u32) -> Self {
        Self(u64::from(filed) << u32::BITS | u64::from(place))
    }

    /// The condition.
    pub fn filed(self) -> Filed {
        // The upper half.
        u32::try_from(self.0 >> u32::BITS).unwrap_or(u32::MAX)
    }

    /// The record's place.
    pub fn place(self) -> u32 {
        // The lower half.
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// Conditions and what they need.
#[derive(Debug, Default)]
pub struct Index {
    keys: Keys,
    filed: Vec<(Filed, Needs)>,
    always: Vec<Filed>,
    /// Records to measure by, until there are enough.
    sample: Mutex<Sample>,
    /// By keys whose rarity is guessed.
    rough: OnceLock<Tables>,
    /// By keys whose rarity was measured.
    tuned: OnceLock<Tables>,
}

/// To look a field up takes as long as to ask a condition of such a share of the records.
const FIELD_SHARE: f32 = 0.3;
/// A field that more conditions than these ask for is looked up.
const FEW_CONDITIONS: usize = 8;
/// More than any share of records: what is not to be asked for.
const NOT_ASKED: f32 = 1e6;

/// Conditions filed by key.
#[derive(Debug, Default)]
pub struct Tables {
    fields: Vec<Table>,
    lists: Vec<Filing>,
    /// How many sets of keys conditions need besides those that they are filed under.
    sets: u32,
    always: Vec<Filed>,
    /// Conditions that all need one rare key besides: looked up where it is shown, so that most records
    /// are spared the lookups of all else that they need.
    guarded: Vec<(List, Tables)>,
    tuned: bool,
}

/// What is found with one key.
#[derive(Debug, Default)]
struct Filing {
    conditions: Box<[Worth]>,
    /// The sets of keys that this one is of.
    of: Box<[u32]>,
}

/// A condition that is worth a look where its key is shown.
#[derive(Debug, Clone, Copy)]
struct Worth {
    filed: Filed,
    /// The set of keys of which one must be shown besides; [`NO_SET`]: none has to.
    besides: u32,
}

/// Records of a word.
const BITS: usize = u64::BITS as usize;
/// No set of keys.
const NO_SET: u32 = u32::MAX;
/// Under a key with so many conditions they are told apart by what else they need.
const CROWDED: usize = 8;
/// Keys of a set at most.
const SET_KEYS: usize = 16;

/// A key that more records show guards nothing.
const GUARD_SHARE: f32 = 0.1;
/// Fewer conditions than these are not worth a guard.
const GUARDED: usize = 2;
/// Guards there are at most: each is looked up by itself.
const GUARDS: usize = 4;

/// What each field that few texts are looked for in held last, and what was found: facts hold the
/// same few words again and again, which lie in one place of their batch. Of all fields, what was
/// found in the texts that come again and again. And what looking up needs.
#[derive(Debug, Default)]
pub struct Looked {
    last: Vec<(Slot, List)>,
    repeats: Vec<Repeats>,
    seek: Seek,
    guarded: Vec<Looked>,
    /// By guard, the records that show it.
    shown: Vec<Vec<u32>>,
    /// By set of keys, the records that show one of them, a bit each; and what is to be sought there.
    sets: Vec<u64>,
    pending: Vec<(Candidate, u32)>,
    /// Every record.
    places: Vec<u32>,
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
        self.shown.resize_with(tables.guarded.len(), Vec::new);
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
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        if !sample.is_enough() {
            sample.take(&self.keys, batch);
        }
        if sample.is_enough() {
            let measured = || sample.measured(&self.keys, guessed());
            let tuned = self.tuned.get_or_init(|| self.tables_by(&measured(), true));
            sample.forget();
            return tuned;
        }
        drop(sample);
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
        let guarded = guards.iter().zip(&guarded).map(|(guard, some)| {
            // Who is looked up there shows it.
            let mut shares = shares.to_vec();
            shares[*guard as usize] = 1.0;
            self.tables_of(some, &[], &shares, tuned).0
        });
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

    /// The keys to ask for, of some conditions: the rarest. But a field that few conditions ask for is not
    /// looked up at all where they have other keys nearly as rare, in fields that are looked up anyway.
    fn chosen(&self, some: &[&(Filed, Needs)], guards: &[KeyId], shares: &[f32]) -> Vec<Vec<KeyId>> {
        let column = |key: KeyId| self.keys.list[key as usize].column();
        let mut chosen: Vec<(f32, Vec<KeyId>)> = some.iter().map(|(_, needs)| needs.rarest(shares)).collect();
        let mut fields: BTreeMap<Column, Vec<usize>> = BTreeMap::new();
        for (place, (_, keys)) in chosen.iter().enumerate() {
            let mut columns: Vec<Column> = keys.iter().map(|key| column(*key)).collect();
            columns.sort_unstable();
            columns.dedup();
            for one in columns {
                fields.entry(one).or_default().push(place);
            }
        }
        let mut used: BTreeSet<Column> = fields.keys().copied().collect();
        used.extend(guards.iter().map(|guard| column(*guard)));
        let mut by_many: Vec<(usize, Column)> =
            fields.iter().map(|(column, some)| (some.len(), *column)).collect();
        by_many.sort_unstable();
        for (many, field) in by_many {
            if many > FEW_CONDITIONS || guards.iter().any(|guard| column(*guard) == field) {
                continue;
            }
            let without = |key: usize, share: f32| {
                let column = self.keys.list[key].column();
                if column == field || !used.contains(&column) { NOT_ASKED } else { share }
            };
            let without: Vec<f32> =
                shares.iter().enumerate().map(|(key, share)| without(key, *share)).collect();
            // Who asks for it by now: others may have come to it.
            let asks = |keys: &[KeyId]| keys.iter().any(|key| column(*key) == field);
            let of_field = (0..some.len()).filter(|place| asks(&chosen[*place].1));
            let others: Vec<(usize, (f32, Vec<KeyId>))> =
                of_field.map(|place| (place, some[place].1.rarest(&without))).collect();
            let more: f32 = others.iter().map(|(place, (share, _))| share - chosen[*place].0).sum();
            if more < FIELD_SHARE {
                used.remove(&field);
                for (place, other) in others {
                    chosen[place] = other;
                }
            }
        }
        chosen.into_iter().map(|(_, keys)| keys).collect()
    }

    /// What conditions need besides the keys that they are filed under, where many are filed there: one of
    /// so many keys, in fields that are looked up anyway.
    fn besides<'a>(
        &self,
        some: &[&'a (Filed, Needs)],
        chosen: &[Vec<KeyId>],
        shares: &[f32],
    ) -> Vec<Option<&'a [KeyId]>> {
        let mut many: BTreeMap<KeyId, usize> = BTreeMap::new();
        let mut used: BTreeSet<Column> = BTreeSet::new();
        for key in chosen.iter().flatten() {
            *many.entry(*key).or_default() += 1;
            used.insert(self.keys.list[*key as usize].column());
        }
        let besides = |(place, (_, needs)): (usize, &&'a (Filed, Needs))| {
            let keys = &chosen[place];
            if keys.iter().all(|key| many.get(key).is_none_or(|many| *many < CROWDED)) {
                return None;
            }
            let mut sets: Vec<&'a [KeyId]> = Vec::new();
            needs.sets(&mut sets);
            let share = |set: &[KeyId]| set.iter().map(|key| shares[*key as usize]).sum::<f32>();
            let fits = |set: &&[KeyId]| {
                let looked_up = |key: &KeyId| used.contains(&self.keys.list[*key as usize].column());
                set.len() <= SET_KEYS
                    && !keys.iter().any(|key| set.contains(key))
                    && set.iter().all(looked_up)
            };
            sets.into_iter().filter(fits).min_by(|one, other| share(one).total_cmp(&share(other)))
        };
        some.iter().enumerate().map(besides).collect()
    }

    /// The tables of some conditions, and the lists of `guards` in them.
    fn tables_of(
        &self,
        some: &[&(Filed, Needs)],
        guards: &[KeyId],
        shares: &[f32],
        tuned: bool,
    ) -> (Tables, Vec<List>) {
        let mut by_key: BTreeMap<KeyId, Vec<Worth>> = guards.iter().map(|key| (*key, Vec::new())).collect();
        let chosen = self.chosen(some, guards, shares);
        let besides = self.besides(some, &chosen, shares);
        let mut sets: BTreeMap<&[KeyId], u32> = BTreeMap::new();
        for (((number, _), keys), besides) in some.iter().zip(&chosen).zip(&besides) {
            let next = u32::try_from(sets.len()).unwrap_or(NO_SET);
            let besides = besides.map_or(NO_SET, |set| *sets.entry(set).or_insert(next));
            for key in keys {
                let list = by_key.entry(*key).or_default();
                if list.last().is_none_or(|last| last.filed != *number) {
                    list.push(Worth { filed: *number, besides });
                }
            }
        }
        let mut of: BTreeMap<KeyId, Vec<u32>> = BTreeMap::new();
        for (keys, set) in &sets {
            for key in *keys {
                of.entry(*key).or_default().push(*set);
                by_key.entry(*key).or_default();
            }
        }
        let many = u32::try_from(sets.len()).unwrap_or(NO_SET);
        let mut fields: BTreeMap<Column, Vec<(&Key, List)>> = BTreeMap::new();
        let (mut lists, mut of_guards) = (Vec::with_capacity(by_key.len()), vec![NONE; guards.len()]);
        for (id, filed) in by_key {
            let key = &self.keys.list[id as usize];
            let list = List::try_from(lists.len()).unwrap_or(NONE);
            fields.entry(key.column()).or_default().push((key, list));
            let of = of.remove(&id).unwrap_or_default().into();
            lists.push(Filing { conditions: filed.into(), of });
            if let Some(place) = guards.iter().position(|guard| *guard == id) {
                of_guards[place] = list;
            }
        }
        let fields = fields.into_iter().map(|(column, keys)| Table::new(column, keys)).collect();
        (Tables { fields, lists, sets: many, tuned, ..Tables::default() }, of_guards)
    }
}

impl Tables {
    /// Every condition worth a look for each of so many records of one batch, each once, into `found` in
    /// ascending order. `looked` must have begun the batch.
    ///
    /// Field by field, not record by record: what one field is looked up in stays near, and so does what
    /// the processor expects to come of it.
    pub fn candidates<'a>(
        &self,
        records: usize,
        record: &impl Fn(u32) -> Record<'a>,
        looked: &mut Looked,
        found: &mut Vec<Candidate>,
    ) {
        found.clear();
        let mut places = std::mem::take(&mut looked.places);
        places.clear();
        places.extend(0..u32::try_from(records).unwrap_or(u32::MAX));
        self.look(&places, record, looked, found);
        looked.places = places;
        found.sort_unstable();
        found.dedup();
    }

    fn look<'a>(
        &self,
        places: &[u32],
        record: &impl Fn(u32) -> Record<'a>,
        looked: &mut Looked,
        found: &mut Vec<Candidate>,
    ) {
        for filed in &self.always {
            found.extend(places.iter().map(|place| Candidate::new(*filed, *place)));
        }
        let Looked { last, repeats, seek, guarded, shown, sets, pending, .. } = looked;
        shown.iter_mut().for_each(Vec::clear);
        // As many words a set as there are records for bits.
        let words = places.last().map_or(0, |last| *last as usize / BITS + 1);
        sets.clear();
        sets.resize(self.sets as usize * words, 0);
        pending.clear();
        let mut add = |list: List, place: u32| {
            let Some(filing) = self.lists.get(list as usize) else { return };
            for Worth { filed, besides } in &filing.conditions {
                let candidate = Candidate::new(*filed, place);
                if *besides == NO_SET {
                    found.push(candidate);
                } else {
                    pending.push((candidate, *besides));
                }
            }
            for set in &filing.of {
                sets[*set as usize * words + place as usize / BITS] |= 1 << (place as usize % BITS);
            }
            for ((guard, _), shown) in self.guarded.iter().zip(&mut *shown) {
                if *guard == list {
                    shown.push(place);
                }
            }
        };
        for ((field, last), repeats) in self.fields.iter().zip(last).zip(repeats) {
            if field.is_sole() {
                field.look_for_sole(places, record, (last, repeats), &mut add);
            } else {
                field.look_for_all(places, record, (&mut *repeats, &mut *seek), &mut add);
            }
        }
        let is_shown = |set: u32, place: u32| {
            sets[set as usize * words + place as usize / BITS] & 1 << (place as usize % BITS) != 0
        };
        let worth = pending.iter().filter(|(candidate, set)| is_shown(*set, candidate.place()));
        found.extend(worth.map(|(candidate, _)| *candidate));
        for (((_, tables), looked), places) in self.guarded.iter().zip(guarded).zip(&*shown) {
            if !places.is_empty() {
                tables.look(places, record, looked, found);
            }
        }
    }
}

impl Table {
    /// Looks a few whole texts up, which are all that there is to look for.
    fn look_for_sole<'a>(
        &self,
        places: &[u32],
        record: &impl Fn(u32) -> Record<'a>,
        (last, repeats): (&mut (Slot, List), &mut Repeats),
        add: &mut impl FnMut(List, u32),
    ) {
        for place in places {
            let record = record(*place);
            let slot = record.slot(self.column);
            if slot.kind == SlotKind::Text && last.0 == slot {
                add(last.1, *place);
                continue;
            }
            let mut one = |text: &str| {
                let mut list = NONE;
                repeats.look(text, |found| list = found, |found| found(self.sole(text)));
                *last = (slot, list);
                add(list, *place);
            };
            if let Some(text) = record.plain(self.column) {
                one(text);
                continue;
            }
            match record.get(self.column) {
                Value::Absent | Value::Null => {}
                Value::Json(text) => each_element(text, |element| add(self.sole(element), *place)),
                value @ (Value::Text(_) | Value::Number(_) | Value::Bool(_)) => {
                    one(value.text().unwrap_or_default());
                }
            }
        }
    }

    /// Looks everything up that there is to look for.
    fn look_for_all<'a>(
        &self,
        places: &[u32],
        record: &impl Fn(u32) -> Record<'a>,
        (repeats, seek): (&mut Repeats, &mut Seek),
        add: &mut impl FnMut(List, u32),
    ) {
        for place in places {
            let record = record(*place);
            let mut one = |text: &str, seek: &mut Seek| {
                let find = |found: &mut dyn FnMut(List)| {
                    seek.next();
                    self.find(text, seek, &mut |list| found(list));
                };
                repeats.look(text, |list| add(list, *place), find);
            };
            if let Some(text) = record.plain(self.column) {
                one(text, seek);
            } else {
                match record.get(self.column) {
                    Value::Absent | Value::Null => continue,
                    Value::Json(text) => {
                        seek.next();
                        each_element(text, |element| self.find(element, seek, &mut |list| add(list, *place)));
                    }
                    value @ (Value::Text(_) | Value::Number(_) | Value::Bool(_)) => {
                        one(value.text().unwrap_or_default(), seek);
                    }
                }
            }
            if self.present != NONE {
                add(self.present, *place);
            }
        }
    }
}

/// Arrays match by any element, so any element shows its keys.
fn each_element(text: &str, mut look: impl FnMut(&str)) {
    let Some(serde_json::Value::Array(items)) = value_of(text) else { return };
    for item in &items {
        match item {
            serde_json::Value::String(text) => look(text),
            serde_json::Value::Number(number) => look(&number.to_string()),
            serde_json::Value::Bool(value) => look(if *value { "true" } else { "false" }),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
        }
    }
}
