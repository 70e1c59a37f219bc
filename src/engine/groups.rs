//! The groups of one program: where they are kept, when each wants to be looked at, and which of them
//! is worth least.
//!
//! Groups that were touched lately are warm: they lie ready to be worked on. The others are packed in
//! few bytes, and unpacked when a hit or a timer comes. Which are warm decides nothing: what is asked for
//! in an order comes in the same order in every process, by time, then by the bytes of the key.
//! Nothing here knows what becomes of a group; [`super::program`] owns that.

mod packed;
mod timers;
mod worth;

use std::ops::Deref;
use std::sync::LazyLock;

use hashbrown::HashTable;

use super::group::Group;
use super::key::GroupKey as Key;
use crate::alert::Change;
use crate::record::Timestamp;
use crate::rule::compile::Program;
use packed::{Desk, Packed, Record, spread};
use timers::Timers;
use worth::{Notes, Worth, Worths};

/// Warm groups at which it is looked for some that are idle; then again at half as many more.
pub const MANY_WARM: usize = 1 << 15;
/// Warm groups that there may be; past this half of them are packed, idle or not.
pub const MAX_WARM: usize = 1 << 17;

/// At how many warm groups it is looked for idle ones next.
#[derive(Debug)]
pub struct Look(usize);

impl Default for Look {
    fn default() -> Self {
        Self(MANY_WARM)
    }
}

impl Look {
    /// Whether so many are enough to look.
    pub fn is_due(&self, warm: usize) -> bool {
        warm >= self.0
    }

    /// So many are left: those that are at work stay, and are not looked at for nothing.
    pub fn done(&mut self, warm: usize) {
        self.0 = MANY_WARM.max(warm + MANY_WARM / 2);
    }
}

/// Bytes of groups that are written at a time.
const LOT: usize = 1 << 16;

/// What is noted of groups' worth, for each group there is, before it is noted anew: groups that
/// expire leave their note behind.
const NOTES_A_GROUP: usize = 4;

/// Groups by key.
#[derive(Debug, Default)]
pub struct Groups {
    warm: HashTable<Warm>,
    packed: Packed,
    /// When groups want to be looked at: what each has noted itself, and nothing else.
    timers: Timers,
    /// What groups are worth. None until the bound is met.
    notes: Option<Notes>,
    /// What changed since all were written down; none: nobody knows.
    changed: Option<Changed>,
    look: Look,
}

/// Groups of a program that may never have one: most of thousands judge each record by itself.
#[derive(Debug, Default)]
pub struct Perhaps(Option<Box<Groups>>);

static NO_GROUPS: LazyLock<Groups> = LazyLock::new(Groups::default);

impl Perhaps {
    /// The groups, if there ever was one.
    pub fn any(&mut self) -> Option<&mut Groups> {
        self.0.as_deref_mut()
    }

    /// The groups, from now on.
    pub fn made(&mut self) -> &mut Groups {
        self.0.get_or_insert_default()
    }

    /// The group of `key`, to be changed.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Group> {
        self.any()?.get_mut(key)
    }

    /// See [`Groups::apart`]. Of none there are none.
    pub fn apart(&self, place: Option<usize>) -> Self {
        Self(self.0.as_deref().map(|groups| Box::new(groups.apart(place))))
    }

    /// Bytes of them in memory, about.
    pub fn bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |groups| size_of::<Groups>() + groups.bytes())
    }

    /// Hands out what is to be written: see [`Groups::write`]. Where there never was a group, nothing is.
    pub fn write(
        &self,
        whole: bool,
        give: impl FnMut(bool, &[Key], &[u8]) -> Result<(), postcard::Error>,
    ) -> Result<(), postcard::Error> {
        self.0.as_deref().map_or(Ok(()), |groups| groups.write(whole, give))
    }
}

impl Deref for Perhaps {
    type Target = Groups;

    fn deref(&self) -> &Groups {
        self.0.as_deref().unwrap_or_else(|| &NO_GROUPS)
    }
}

/// A group that lies ready. Apart from the table, which grows and is searched the sooner.
#[derive(Debug)]
struct Warm {
    key: Key,
    held: Box<Held>,
}

#[derive(Debug, Default)]
struct Held {
    group: Group,
    /// Since the last look at which may be packed.
    touched: bool,
    /// Since all were written down.
    changed: bool,
}

/// Groups that changed and are not warm.
#[derive(Debug, Default)]
struct Changed {
    /// Half the hashes of those that were packed.
    packed: Vec<u32>,
    /// Those that went.
    gone: Vec<Key>,
}

impl Warm {
    fn new(key: Key, group: Group) -> Self {
        Self { key, held: Box::new(Held { group, touched: true, changed: true }) }
    }

    fn hash(&self) -> u64 {
        spread(self.key.half_hash())
    }

    fn is(key: &Key) -> impl Fn(&Self) -> bool {
        move |warm| warm.key == *key
    }
}

impl Groups {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.warm.len() + self.packed.len()
    }

    /// How many are warm.
    pub fn warm(&self) -> usize {
        self.warm.len()
    }

    /// Whether there is a group of `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.find(key).is_some() || self.packed.find(key).is_some()
    }

    fn find(&self, key: &Key) -> Option<&Held> {
        self.warm.find(spread(key.half_hash()), Warm::is(key)).map(|warm| &*warm.held)
    }

    /// Brings the group of `key` near. It decides nothing.
    pub fn glance(&self, key: &Key) -> Option<i64> {
        match self.find(key) {
            Some(held) => Some(held.group.glance()),
            None => self.packed.find(key).map(|record| i64::from(record.is_open())),
        }
    }

    /// The group of `key`, to be changed.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Group> {
        let hash = spread(key.half_hash());
        let warm = match self.warm.find_entry(hash, Warm::is(key)) {
            Ok(found) => found.into_mut(),
            Err(absent) => {
                let group = self.packed.take(key)?;
                let table = absent.into_table();
                make_room(table, &mut self.packed, &mut self.changed, &mut self.look);
                table.insert_unique(hash, Warm::new(key.clone(), group), Warm::hash).into_mut()
            }
        };
        (warm.held.touched, warm.held.changed) = (true, true);
        Some(&mut warm.held.group)
    }

    /// Makes the group of `key`, which is not there.
    pub fn insert(&mut self, key: &Key) {
        make_room(&mut self.warm, &mut self.packed, &mut self.changed, &mut self.look);
        self.warm.insert_unique(
            spread(key.half_hash()),
            Warm::new(key.clone(), Group::default()),
            Warm::hash,
        );
        if let Some(notes) = &mut self.notes {
            notes.add(key, Worth::default());
        }
        if self.notes.as_ref().is_some_and(|notes| notes.len() / NOTES_A_GROUP > self.len()) {
            self.notes = None;
        }
    }

    /// Lets the group of `key` go, and its timer.
    pub fn remove(&mut self, key: &Key) {
        let hash = key.half_hash();
        let timer = match self.warm.find_entry(spread(hash), Warm::is(key)) {
            Ok(found) => found.remove().0.held.group.timer,
            Err(_) => self.packed.remove(key),
        };
        if let Some(timer) = timer {
            self.drop_timer(timer, hash);
        }
        let most = self.len();
        if let Some(changed) = &mut self.changed {
            changed.gone.push(key.clone());
        }
        forget_many(&mut self.changed, most);
    }

    // --- warm and packed

    /// Packs what nobody has touched since this was last called.
    pub fn pack_idle(&mut self) {
        pack_idle(&mut self.warm, &mut self.packed, &mut self.changed);
    }

    /// Packs some until no more than `most` are warm.
    pub fn pack_down(&mut self, most: usize) {
        pack_down(&mut self.warm, &mut self.packed, &mut self.changed, most);
    }

    /// Bytes of them in memory, about.
    pub fn bytes(&self) -> usize {
        let held: usize =
            self.warm.iter().map(|warm| size_of::<Held>() + warm.key.bytes() + warm.held.group.bytes()).sum();
        let notes = self.notes.as_ref().map_or(0, Notes::bytes);
        let changed = self.changed.as_ref().map_or(0, |changed| {
            changed.packed.capacity() * size_of::<u32>() + changed.gone.capacity() * size_of::<Key>()
        });
        held + self.warm.allocation_size() + self.packed.bytes() + self.timers.bytes() + notes + changed
    }

    // --- kept

    /// Hands out what is to be written: whether all groups before are gone, else the keys of those that are, and
    /// groups as they are packed; those that changed, unless all are asked for.
    pub fn write(
        &self,
        whole: bool,
        mut give: impl FnMut(bool, &[Key], &[u8]) -> Result<(), postcard::Error>,
    ) -> Result<(), postcard::Error> {
        let changed = self.changed.as_ref().filter(|_| !whole);
        let (mut clear, mut gone) = (changed.is_none(), changed.map_or(&[][..], |changed| &changed.gone));
        let mut lot: Vec<u8> = Vec::with_capacity(LOT);
        let mut put = |record: &[u8]| {
            if lot.len() + record.len() > LOT {
                give(std::mem::take(&mut clear), std::mem::take(&mut gone), &lot)?;
                lot.clear();
            }
            lot.extend_from_slice(record);
            Ok(())
        };
        let mut desk = Desk::default();
        for Warm { key, held } in self.warm.iter().filter(|warm| changed.is_none() || warm.held.changed) {
            put(desk.write(key, &held.group)?)?;
        }
        match changed {
            None => self.packed.all().try_for_each(|record| put(record.bytes))?,
            Some(changed) => {
                let mut hashes = changed.packed.clone();
                hashes.sort_unstable();
                hashes.dedup();
                let records = hashes.into_iter().flat_map(|hash| self.packed.of_hash(hash));
                records.into_iter().try_for_each(|record| put(record.bytes))?;
            }
        }
        if clear || !gone.is_empty() || !lot.is_empty() {
            give(clear, gone, &lot)?;
        }
        Ok(())
    }

    /// What changes from now on is written next time.
    pub fn note_anew(&mut self) {
        self.warm.iter_mut().for_each(|warm| warm.held.changed = false);
        self.changed = Some(Changed::default());
    }

    /// Takes in what was written. False where the bytes are no groups.
    pub fn read(&mut self, clear: bool, gone: &[Key], records: &[u8]) -> bool {
        if clear {
            *self = Self::default();
        }
        for key in gone {
            self.forget(key);
        }
        let mut rest = records;
        while !rest.is_empty() {
            let Some((record, after)) = Record::read(rest) else { return false };
            rest = after;
            let key = Key::new(record.key);
            self.forget(&key);
            if !self.packed.add(key.half_hash(), record.bytes) {
                // More than can be packed.
                let Some(group) = record.group() else { return false };
                self.warm.insert_unique(spread(key.half_hash()), Warm::new(key, group), Warm::hash);
            }
        }
        true
    }

    /// Another state of the group of `key` is written, or none.
    fn forget(&mut self, key: &Key) {
        self.packed.remove(key);
        if let Ok(found) = self.warm.find_entry(spread(key.half_hash()), Warm::is(key)) {
            found.remove();
        }
    }

    /// Makes again what is not written.
    pub fn wake(&mut self) {
        let warm = self.warm.iter().map(|warm| (warm.held.group.timer, warm.key.half_hash()));
        let packed = self.packed.all().map(|record| (record.timer, Key::new(record.key).half_hash()));
        let timer = |(at, hash): (Option<Timestamp>, u32)| at.map(|at| (at, hash));
        self.timers = warm.chain(packed).filter_map(timer).collect();
    }

    // --- timers

    /// The first instant at which a group wants to be looked at.
    pub fn first_timer(&self) -> Option<Timestamp> {
        self.timers.first()
    }

    /// The groups that want to be looked at at the first such instant, by key. Whoever looks at them
    /// sets the next: see [`Self::set_timer`].
    pub fn take_timers(&mut self) -> Vec<Key> {
        let Some((at, hashes)) = self.timers.take_first() else { return Vec::new() };
        let mut keys = Vec::new();
        for hash in hashes {
            for warm in self.warm.iter_hash_mut(spread(hash)) {
                if warm.key.half_hash() == hash && warm.held.group.timer == Some(at) {
                    warm.held.group.timer = None;
                    keys.push(warm.key.clone());
                }
            }
            let packed = self.packed.of_hash(hash).filter(|record| record.timer == Some(at));
            keys.extend(packed.map(|record| Key::new(record.key)));
        }
        keys.sort_unstable();
        keys
    }

    /// The group of `key` wants to be looked at then, and at no other time.
    pub fn set_timer(&mut self, key: &Key, at: Option<Timestamp>) {
        let Some(group) = self.get_mut(key) else { return };
        let (before, hash) = (std::mem::replace(&mut group.timer, at), key.half_hash());
        if let Some(before) = before {
            self.drop_timer(before, hash);
        }
        if let Some(at) = at {
            self.timers.insert(at, hash);
        }
    }

    /// A group whose key has this half of a hash does not want to be looked at then any more; perhaps
    /// another one does.
    fn drop_timer(&mut self, at: Timestamp, hash: u32) {
        let wants = |warm: &Warm| warm.key.half_hash() == hash && warm.held.group.timer == Some(at);
        let other = self.warm.iter_hash(spread(hash)).any(wants)
            || self.packed.of_hash(hash).any(|record| record.timer == Some(at));
        if !other {
            self.timers.remove(at, hash);
        }
    }

    // --- worth

    /// The group of least worth: the one with fewest hits, of those the one whose last hit is oldest, then
    /// by key.
    pub fn quietest(&mut self) -> Option<Key> {
        let mut notes = self.notes.take().unwrap_or_else(|| {
            let mut notes = Notes::default();
            let warm = self.warm.iter().map(|warm| (warm.key.clone(), worth_of(&warm.held.group)));
            warm.chain(self.packed.all().filter_map(worth_in))
                .for_each(|(key, worth)| notes.add(&key, worth));
            notes
        });
        let least = notes.least(self);
        self.notes = Some(notes);
        least
    }

    /// What is remembered of groups besides them: timers, notes of worth.
    #[cfg(test)]
    pub fn remembered(&self) -> (usize, usize) {
        (self.timers.len(), self.notes.as_ref().map_or(0, Notes::len))
    }

    // --- all of them

    /// The groups as they are to the program alone whose they are, or to one of those that look at their
    /// windows.
    pub fn apart(&self, place: Option<usize>) -> Self {
        let mut apart = Self::default();
        let warm = self.warm.iter().map(|warm| (warm.key.clone(), warm.held.group.apart(place)));
        let packed = self.packed.all();
        let packed = packed.filter_map(|record| Some((Key::new(record.key), record.group()?.apart(place))));
        for (key, group) in warm.chain(packed) {
            make_room(&mut apart.warm, &mut apart.packed, &mut apart.changed, &mut apart.look);
            apart.warm.insert_unique(spread(key.half_hash()), Warm::new(key, group), Warm::hash);
        }
        apart.wake();
        apart
    }

    /// Their open alerts, in no order.
    pub fn open(&self, program: &Program) -> Vec<Change> {
        let warm = self.warm.iter().filter_map(|warm| warm.held.group.open(program));
        let packed = self.packed.all().filter(Record::is_open);
        warm.chain(packed.filter_map(|record| record.group()?.open(program))).collect()
    }

    /// The keys of those whose alert is open, in no order.
    pub fn with_open(&self) -> Vec<Key> {
        let warm = self.warm.iter().filter(|warm| warm.held.group.is_open()).map(|warm| warm.key.clone());
        let packed = self.packed.all().filter(Record::is_open).map(|record| Key::new(record.key));
        warm.chain(packed).collect()
    }

    /// The keys of those that are in the rule's list, in no order.
    pub fn listed(&self) -> Vec<Key> {
        let warm = self.warm.iter().filter(|warm| warm.held.group.is_listed()).map(|warm| warm.key.clone());
        let packed = self.packed.all().filter(Record::is_listed).map(|record| Key::new(record.key));
        warm.chain(packed).collect()
    }
}

impl Worths for Groups {
    fn of_hash(&self, hash: u64) -> Vec<(Key, Worth)> {
        let half = Key::half(hash);
        let warm = self.warm.iter_hash(spread(half));
        let warm = warm.map(|warm| (warm.key.clone(), worth_of(&warm.held.group)));
        let all = warm.chain(self.packed.of_hash(half).filter_map(worth_in));
        all.filter(|(key, _)| key.hash() == hash).collect()
    }
}

fn worth_of(group: &Group) -> Worth {
    (group.hits, group.last)
}

fn worth_in(record: Record<'_>) -> Option<(Key, Worth)> {
    record.worth().map(|worth| (Key::new(record.key), worth))
}

/// Keeps the warm ones within their bound.
fn make_room(
    warm: &mut HashTable<Warm>,
    packed: &mut Packed,
    changed: &mut Option<Changed>,
    look: &mut Look,
) {
    if look.is_due(warm.len()) {
        pack_idle(warm, packed, changed);
        if warm.len() >= MAX_WARM {
            pack_down(warm, packed, changed, MAX_WARM / 2);
        }
        look.done(warm.len());
    }
}

fn pack_idle(warm: &mut HashTable<Warm>, packed: &mut Packed, changed: &mut Option<Changed>) {
    pack(warm, packed, changed, |_, held| !std::mem::take(&mut held.touched));
}

fn pack_down(warm: &mut HashTable<Warm>, packed: &mut Packed, changed: &mut Option<Changed>, most: usize) {
    if warm.len() > most {
        pack(warm, packed, changed, |left, _| left > most);
    }
}

/// Packs those for which `goes` says so, which is told how many are warm.
fn pack(
    warm: &mut HashTable<Warm>,
    packed: &mut Packed,
    changed: &mut Option<Changed>,
    mut goes: impl FnMut(usize, &mut Held) -> bool,
) {
    let (mut desk, mut left) = (Desk::default(), warm.len());
    warm.retain(|Warm { key, held }| {
        if !goes(left, held) {
            return true;
        }
        let hash = key.half_hash();
        held.group.settle();
        // What cannot be packed stays as it is.
        if !desk.write(key, &held.group).is_ok_and(|record| packed.add(hash, record)) {
            return true;
        }
        if let Some(changed) = changed.as_mut().filter(|_| held.changed) {
            changed.packed.push(hash);
        }
        left -= 1;
        false
    });
    if warm.capacity() > MANY_WARM / 16 && warm.len() * 8 < warm.capacity() {
        warm.shrink_to(warm.len() * 2, Warm::hash);
    }
    forget_many(changed, warm.len() + packed.len());
}

/// Notes no more changes than there are groups: to write all of them down takes less.
fn forget_many(changed: &mut Option<Changed>, most: usize) {
    if changed.as_ref().is_some_and(|changed| changed.packed.len() + changed.gone.len() > most) {
        *changed = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Two keys whose hashes agree in the half that is looked at.
    fn alike() -> (Key, Key) {
        let mut keys: HashMap<u32, Key> = HashMap::new();
        for number in 0_u32.. {
            let key = Key::new(&number.to_le_bytes());
            if let Some(other) = keys.insert(key.half_hash(), key.clone()) {
                return (other.clone().min(key.clone()), key.max(other));
            }
        }
        unreachable!("there are more numbers than hashes")
    }

    #[test]
    fn groups_whose_hashes_agree_keep_a_timer_each() {
        let (one, other) = alike();
        for packs in [false, true] {
            let mut groups = Groups::default();
            let (at, later) = (Timestamp(1_767_603_600_000), Timestamp(1_767_603_600_001));
            for key in [&other, &one] {
                groups.insert(key);
                groups.set_timer(key, Some(at));
            }
            groups.pack_down(if packs { 0 } else { 2 });
            assert_eq!((groups.len(), groups.warm()), (2, if packs { 0 } else { 2 }));
            groups.set_timer(&one, Some(later));
            assert_eq!(groups.first_timer(), Some(at), "the other one's");
            groups.set_timer(&one, Some(at));
            assert_eq!(groups.take_timers(), [one.clone(), other.clone()], "by key");
            assert_eq!(groups.first_timer(), None);
            groups.set_timer(&one, Some(later));
            groups.set_timer(&other, Some(later));
            groups.pack_down(if packs { 0 } else { 2 });
            groups.remove(&other);
            assert!(groups.contains(&one) && !groups.contains(&other));
            assert_eq!(groups.take_timers(), std::slice::from_ref(&one));
        }
    }

    /// So many groups, each worked on as soon as it is there; those of `at_work` again and again.
    fn many(numbers: u32, at_work: u32) -> Groups {
        let (mut groups, key) = (Groups::default(), |number: u32| Key::new(&number.to_le_bytes()));
        for number in 0..numbers {
            groups.insert(&key(number));
            groups.get_mut(&key(number)).unwrap().hits = u64::from(number);
            for other in 16 * number..16 * (number + 1) {
                groups.get_mut(&key((other % at_work).min(number)));
            }
        }
        assert_eq!(groups.len(), numbers as usize);
        groups
    }

    #[test]
    fn groups_that_are_idle_are_packed_and_those_at_work_are_not() {
        let mut groups = many(100_000, 10_000);
        assert!(groups.warm() <= MANY_WARM + MANY_WARM / 2 + 10_000, "{} are warm", groups.warm());
        let at_work =
            (0..10_000_u32).filter(|number| groups.find(&Key::new(&number.to_le_bytes())).is_some());
        assert_eq!(at_work.count(), 10_000);
        assert_eq!(groups.quietest(), Some(Key::new(&[0; 4])));
        assert_eq!(
            groups.get_mut(&Key::new(&50_001_u32.to_le_bytes())).map(|group| group.hits),
            Some(50_001)
        );
    }

    #[test]
    fn no_more_groups_are_warm_than_there_may_be() {
        let groups = many(160_000, 160_000);
        assert!(groups.warm() <= MAX_WARM + MANY_WARM / 2, "{} are warm", groups.warm());
        assert!(groups.packed.len() >= 10_000, "{} are packed", groups.packed.len());
    }
}
