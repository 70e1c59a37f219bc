//! How a program's state is written down and read again: its groups and the hits that wait apart from the
//! rest, and of both only what changed, where that is asked.

use super::super::checkpoint::{BadSnapshot, Bytes, Items, Kind, Pieces};
use super::queue::Waiting;
use super::{Groups, Key, ProgramState};

/// Hits that wait, in one item.
const HITS: usize = 1 << 10;

impl ProgramState {
    /// Writes hits that wait and groups; those that have changed, unless it is the whole state.
    pub(in crate::engine) fn write(
        &self,
        number: usize,
        whole: bool,
        pieces: &mut Pieces,
    ) -> Result<(), BadSnapshot> {
        let hits: Vec<&Waiting> = self.waiting.iter().filter(|hit| whole || !hit.written).collect();
        for hits in hits.chunks(HITS) {
            pieces.add(Kind::Waiting, &(number, hits))?;
        }
        Ok(self.groups.write(whole, |clear, gone, records| {
            pieces.add(Kind::Groups, &(number, clear, gone, Bytes(records)))
        })?)
    }

    /// What changes from now on is written next time.
    pub fn note_anew(&mut self) {
        self.waiting.iter_mut().for_each(|hit| hit.written = true);
        self.groups.any().into_iter().for_each(Groups::note_anew);
    }

    /// Takes over what is written apart from `before`, the same program's state.
    pub fn take_apart(&mut self, before: Self) {
        (self.groups, self.waiting) = (before.groups, before.waiting);
        // What the watermark has passed does not wait any more.
        let watermark = self.watermark;
        self.waiting.retain(|hit| Some(hit.entry.at) > watermark);
    }

    /// Takes in hits that wait.
    pub(in crate::engine) fn read_waiting(&mut self, items: &mut Items<'_>) -> Result<(), BadSnapshot> {
        let hits: Vec<Waiting> = items.take()?;
        for hit in hits {
            self.waiting.push(hit);
        }
        Ok(())
    }

    /// Takes in groups, and lets others go.
    pub(in crate::engine) fn read_groups(&mut self, items: &mut Items<'_>) -> Result<(), BadSnapshot> {
        let (clear, gone, records): (bool, Vec<Key>, &[u8]) = items.take()?;
        if self.groups.made().read(clear, &gone, records) { Ok(()) } else { Err(BadSnapshot::Damaged) }
    }

    /// Makes again what is not written.
    pub fn wake(&mut self) {
        self.groups.any().into_iter().for_each(Groups::wake);
    }
}
