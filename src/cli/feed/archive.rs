//! The files that were read: their lines once more, and where each stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::{Failure, show};
use super::FeedError;
use crate::record::Locator;
use crate::record::describe::Describer;
use crate::source::Input;
use crate::source::kept::Kept;

/// Bits of a locator that say where in its file a line is; the others say which file.
const OFFSET_BITS: u32 = 48;

/// The files that were read: lines can be fetched by locator.
#[derive(Debug)]
pub struct Archive {
    pub(super) inputs: Vec<Input>,
    pub(super) describer: Describer,
    pub(super) paths: Vec<PathBuf>,
    /// Lines of packed files.
    pub(super) kept: Option<Kept>,
    /// Lines are fetched from what was made of the files.
    pub(super) sorted: bool,
}

impl Archive {
    /// Reads lines whole.
    pub fn describer(&self) -> &Describer {
        &self.describer
    }

    /// The lines at `locators`, in that order.
    pub fn lines(&self, locators: &[Locator]) -> Result<BTreeMap<Locator, String>, Failure> {
        let mut lines = BTreeMap::new();
        let mut wanted: Vec<Locator> = locators.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        for of_file in wanted.chunk_by(|one, other| file_of(*one) == file_of(*other)) {
            let Some(number) = of_file.first().map(|one| file_of(*one)) else { continue };
            let Some(input) = self.inputs.get(number) else { continue };
            let offsets: Vec<u64> = of_file.iter().map(|locator| offset_of(*locator)).collect();
            let fetched = match self.kept.as_ref().and_then(|kept| kept.fetch(number, &offsets)) {
                Some(kept) => kept.map_err(FeedError::KeptBefore)?,
                None => input.fetch(&offsets)?,
            };
            lines.extend(of_file.iter().copied().zip(fetched));
        }
        Ok(lines)
    }

    /// Unpacks what is packed once, and keeps the lines at `locators`, sorted, on disk, or all lines if none are
    /// named. Without that, each call of [`Archive::lines`] reads a packed file anew.
    pub fn keep(&mut self, locators: Option<&[Locator]>) -> Result<(), Failure> {
        let of_file = |number: usize| {
            let locators = locators?;
            let from = locators.partition_point(|locator| file_of(*locator) < number);
            let here = locators[from..].iter().take_while(|locator| file_of(**locator) == number);
            Some(here.map(|locator| offset_of(*locator)).collect())
        };
        self.kept = Some(Kept::of(&self.inputs, of_file).map_err(FeedError::Kept)?);
        Ok(())
    }

    /// Where `locator` is, for a person: a file may be called anything.
    pub fn place(&self, locator: Locator) -> String {
        let number = file_of(locator);
        let path = self.paths.get(number);
        let path = path.map_or_else(|| "?".to_owned(), |path| show::path(path));
        let offset = offset_of(locator);
        // What was sorted has other numbers than the files have.
        let input = self.inputs.get(number).filter(|_| !self.sorted);
        match input.and_then(|input| input.line_number(offset)) {
            Some(line) => format!("{path} at line {line}, byte {offset}"),
            None => format!("{path} at byte {offset}"),
        }
    }
}

/// Where the file of this number begins.
pub(super) fn beginning_of(file: usize) -> Locator {
    Locator((file as u64) << OFFSET_BITS)
}

/// The number of the file that a line is in.
fn file_of(locator: Locator) -> usize {
    usize::try_from(locator.0 >> OFFSET_BITS).unwrap_or(usize::MAX)
}

/// Where in its file a line is.
fn offset_of(locator: Locator) -> u64 {
    locator.0 & ((1 << OFFSET_BITS) - 1)
}
