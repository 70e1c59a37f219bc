//! Files of lists on disk, read. What they mean is `rule`'s to say.

use std::io::Read as _;
use std::path::Path;

use chrono_tz::Tz;

use super::ListFile;
use super::rules::not_text;
use crate::rule::lists::{ListText, MAX_BYTES};
use crate::rule::problem::Problems;

/// Why a list cannot be used.
#[derive(Debug)]
pub enum BadList {
    /// Its file cannot be read.
    Unreadable(std::io::Error),
    /// It has faults.
    Faults(Problems),
}

impl BadList {
    /// The first fault, in one line.
    pub fn first(&self) -> String {
        match self {
            Self::Unreadable(error) => format!("it cannot be read: {error}"),
            Self::Faults(problems) => {
                let first =
                    problems.first_error().map(|problem| (problem.span.start, problem.message.clone()));
                let (at, message) = first.unwrap_or_default();
                format!("line {}: {message}", problems.position(at).0)
            }
        }
    }
}

/// Reads one list; days end in `zone`. Warnings come with a list that can be used.
pub fn read(name: &str, path: &Path, zone: Tz) -> Result<(ListText, Problems), BadList> {
    let file = path.display().to_string();
    let bytes = bytes(path).map_err(BadList::Unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| BadList::Faults(not_text(file.clone(), &error)))?;
    let text = ListText::new(name, &file, text);
    let (_, problems) = text.read(zone);
    if problems.has_errors() { Err(BadList::Faults(problems)) } else { Ok((text, problems)) }
}

/// The bytes of a file, a little more than the bound at most.
fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "files of lists are read at this edge")]
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads every list of a configuration: those that can be used, and what is wrong with the others.
pub fn all(files: &[ListFile], zone: Tz) -> (Vec<ListText>, Vec<(&ListFile, BadList)>, Vec<Problems>) {
    let (mut texts, mut bad, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match read(&file.name, &file.path, zone) {
            Ok((text, problems)) => {
                texts.push(text);
                if !problems.is_empty() {
                    warnings.push(problems);
                }
            }
            Err(fault) => bad.push((file, fault)),
        }
    }
    (texts, bad, warnings)
}
