//! The rows that alerts stand on, fetched together and written once, however many alerts show them.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::super::Failure;
use super::super::feed::Archive;
use crate::alert::{Alert, Draft, Evidence, Fired, Sight};
use crate::engine::{Generation, tell};
use crate::record::{Locator, Phase};

/// A record, as JSON text: bytes that [`super::super::show::json_onto`] writes as they are.
#[derive(Debug, Clone)]
pub struct Written(Arc<String>);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

/// Lines that alerts will show, where they would be unpacked anew for every few alerts.
#[derive(Debug, Default)]
pub struct Wanted {
    /// In no order, and some of them twice.
    locators: Vec<Locator>,
    /// How many of them were in order last.
    sorted: usize,
    /// More than are worth listing.
    all: bool,
}

/// Most lines that are listed; where more are wanted, all of a file is unpacked.
const MAX_WANTED: usize = 1 << 20;

impl Wanted {
    /// What `fired` shows.
    pub fn add(&mut self, fired: &Fired) {
        if self.all {
            return;
        }
        self.locators.extend(fired.sights.iter().map(|sight| sight.locator));
        if self.locators.len() >= 2 * self.sorted.max(MAX_WANTED / 16) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.locators.sort_unstable();
        self.locators.dedup();
        self.sorted = self.locators.len();
        self.all |= self.sorted > MAX_WANTED;
        if self.all {
            self.locators = Vec::new();
        }
    }

    /// The lines, in order and once; none: all.
    pub fn lines(mut self) -> Option<Vec<Locator>> {
        self.sort();
        (!self.all).then_some(self.locators)
    }
}

/// Bytes of lines that are read together: as much as stays in the caches.
const READ_AT_A_TIME: usize = 64 << 10;

/// Rows of some alerts.
pub struct Rows<'a> {
    archive: &'a Archive,
    lines: Map<Locator, String>,
    /// Those that were written; none: it makes no record, or could not be fetched.
    written: Map<(Locator, Phase), Option<Written>>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

impl<'a> Rows<'a> {
    /// None yet.
    pub fn of(archive: &'a Archive) -> Self {
        Self { archive, lines: Map::default(), written: Map::default() }
    }

    /// Fetches what `drafts` show, in place of what those before did.
    pub fn fetch(&mut self, generation: &Generation, drafts: &[Draft]) -> Result<(), Failure> {
        let mut wanted = Vec::new();
        for draft in drafts {
            let Draft::Fired(fired) = draft else { continue };
            if self.archive.describer().tells_places() || tell::wants_rows(generation, fired) {
                wanted.extend(fired.sights.iter().map(|sight| (sight.locator, sight.phase)));
            } else {
                let shown = Evidence::of(&fired.sights, |sight: &Sight| (sight.locator, sight.phase));
                wanted.extend(shown.first.into_iter().chain(shown.last));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.written.retain(|one, _| wanted.binary_search(one).is_ok());
        wanted.retain(|one| !self.written.contains_key(one));
        let is_shown = |locator: &Locator| {
            Phase::ALL.into_iter().any(|phase| self.written.contains_key(&(*locator, phase)))
        };
        self.lines.retain(|locator, _| is_shown(locator));
        let mut locators: Vec<Locator> = wanted.iter().map(|(locator, _)| *locator).collect();
        locators.retain(|locator| !self.lines.contains_key(locator));
        self.lines.extend(self.archive.lines(&locators)?);
        self.write(&wanted)
    }

    /// Writes the records of `wanted`, which is sorted.
    fn write(&mut self, wanted: &[(Locator, Phase)]) -> Result<(), Failure> {
        let mut rest = wanted;
        while !rest.is_empty() {
            let mut bytes = 0;
            let many = rest.iter().take_while(|(locator, _)| {
                let before = bytes;
                bytes += self.lines.get(locator).map_or(0, String::len);
                before < READ_AT_A_TIME
            });
            let (some, later) = rest.split_at(many.count());
            rest = later;
            let line = |(locator, _): &(Locator, Phase)| self.lines.get(locator).map_or("", String::as_str);
            let describer = self.archive.describer();
            let mut read = describer.read(some.iter().map(line));
            for (number, one) in some.iter().enumerate() {
                let text = match describer.written(&mut read, number, one.1) {
                    Some(text) => Some(text),
                    None => match describer.describe(line(one), one.1) {
                        Some(told) => Some(serde_json::to_string(&tell::nested(&told))?),
                        None => None,
                    },
                };
                self.written.insert(*one, text.map(|text| Written(Arc::new(text))));
            }
        }
        Ok(())
    }

    /// The alert that `fired` is.
    pub fn alert(&self, generation: &Generation, fired: &Fired) -> Alert<Written> {
        let of = |sight: &Sight| self.written.get(&(sight.locator, sight.phase)).cloned().flatten();
        if self.archive.describer().tells_places() || tell::wants_rows(generation, fired) {
            let row = |sight: &Sight| {
                self.archive.describer().describe(self.lines.get(&sight.locator)?, sight.phase)
            };
            let rows: Vec<_> = fired.sights.iter().map(row).collect();
            let known: Vec<Written> = fired.sights.iter().filter_map(of).collect();
            return tell::alert_of(generation, fired, &rows, Evidence::of(&known, Written::clone));
        }
        let shown = Evidence::of(&fired.sights, of);
        let evidence = Evidence {
            first: shown.first.into_iter().flatten().collect(),
            last: shown.last.into_iter().flatten().collect(),
        };
        tell::brief(generation, fired, evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_listed_once_and_in_order_and_beyond_the_bound_all_are_wanted() {
        let mut wanted = Wanted { locators: [9, 3, 9, 1].map(Locator).to_vec(), ..Wanted::default() };
        wanted.sort();
        wanted.locators.push(Locator(3));
        assert_eq!(wanted.lines(), Some([1, 3, 9].map(Locator).to_vec()));
        let many = || (0..=MAX_WANTED as u64).map(Locator).collect();
        let mut wanted = Wanted { locators: many(), ..Wanted::default() };
        wanted.sort();
        assert!(wanted.all && wanted.locators.is_empty());
        assert_eq!(wanted.lines(), None);
        assert_eq!(Wanted { locators: many(), ..Wanted::default() }.lines(), None);
    }
}
