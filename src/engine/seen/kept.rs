//! How what is remembered of rows is written down and read again: all of it, or the rows that came since,
//! and those that changed.

use crate::record::Timestamp;

use super::super::checkpoint::{BadSnapshot, Items, Kind, Pieces};
use super::super::rows::{Key, Keyed as _, Rows};
use super::{More, Mores, Seen, SeenRows};

/// Rows of which other things are remembered besides: so few are not worth to write all of them.
const MORE: usize = 1 << 16;

/// What changed since all rows were written down.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    /// Where the first row is that was not written.
    next: usize,
    /// As many may change before all are written.
    most: usize,
    /// Places of those that changed since.
    rows: Vec<usize>,
    /// Rows of which other things are remembered besides.
    more: Vec<Key>,
}

/// Notes that a row changed.
pub(super) fn note_row(noted: &mut Option<Noted>, place: usize) {
    let Some(notes) = noted else { return };
    if place < notes.next && notes.rows.last() != Some(&place) {
        notes.rows.push(place);
        if notes.rows.len() > notes.most {
            // To write all of them down takes less.
            *noted = None;
        }
    }
}

/// Notes that something else is remembered of a row besides.
pub(super) fn note_more(noted: &mut Option<Noted>, key: Key) {
    if let Some(notes) = noted
        && notes.more.last() != Some(&key)
    {
        notes.more.push(key);
        if notes.more.len() > notes.most.max(MORE) {
            *noted = None;
        }
    }
}

impl SeenRows {
    /// Writes what is remembered; what has changed, unless it is the whole state.
    pub(in crate::engine) fn write(&self, whole: bool, pieces: &mut Pieces) -> Result<(), BadSnapshot> {
        let noted = self.noted.as_ref().filter(|_| !whole);
        pieces.add(Kind::Seen, &(noted.is_none(), self.swept, self.sweeps, self.rows.first()))?;
        let from = noted.map_or(0, |noted| noted.next);
        for (place, age, rows) in self.rows.lists(from).filter(|(_, _, rows)| !rows.is_empty()) {
            pieces.add(Kind::Rows, &(place, age, rows))?;
        }
        let Some(noted) = noted else {
            return Ok(self
                .more
                .iter()
                .try_for_each(|(key, more)| pieces.add(Kind::More, &(key, Some(more))))?);
        };
        let mut places = noted.rows.clone();
        places.sort_unstable();
        places.dedup();
        // Those that are gone since are not asked for.
        for place in places.into_iter().filter(|place| *place >= self.rows.first()) {
            pieces.add(Kind::Row, &(place, self.rows.get(place)))?;
        }
        let mut keys = noted.more.clone();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            pieces.add(Kind::More, &(key, self.more.get(&key)))?;
        }
        Ok(())
    }

    /// What changes from now on is written next time.
    pub fn note_anew(&mut self) {
        self.noted = Some(Noted { next: self.rows.next(), most: self.rows.len(), ..Noted::default() });
    }

    /// Takes in one item.
    pub(in crate::engine) fn read(&mut self, kind: Kind, items: &mut Items<'_>) -> Result<(), BadSnapshot> {
        self.noted = None;
        match kind {
            Kind::Seen => {
                let (anew, swept, sweeps, first): (bool, Option<Timestamp>, u32, usize) = items.take()?;
                if anew {
                    (self.rows, self.more) = (Rows::default(), Mores::default());
                }
                if !self.rows.begin_at(first) {
                    return Err(BadSnapshot::Damaged);
                }
                (self.swept, self.sweeps) = (swept, sweeps);
            }
            Kind::Rows => {
                let (from, age, rows): (usize, u32, Vec<Seen>) = items.take()?;
                if from != self.rows.next() {
                    return Err(BadSnapshot::Damaged);
                }
                for row in rows {
                    self.rows.add(row.key(), age, || row);
                }
            }
            Kind::Row => {
                let (place, row): (usize, Option<Seen>) = items.take()?;
                let before = self.rows.at(place);
                let (Some(before), Some(row)) = (before, row) else { return Err(BadSnapshot::Damaged) };
                if before.key != row.key {
                    return Err(BadSnapshot::Damaged);
                }
                *before = row;
            }
            Kind::More => {
                let (key, more): (Key, Option<More>) = items.take()?;
                match more {
                    Some(more) => drop(self.more.insert(key, more)),
                    None => drop(self.more.swap_remove(&key)),
                }
            }
            Kind::Begin
            | Kind::State
            | Kind::Waiting
            | Kind::Groups
            | Kind::Memory
            | Kind::Known
            | Kind::Lanes => {
                return Err(BadSnapshot::Damaged);
            }
        }
        Ok(())
    }
}
