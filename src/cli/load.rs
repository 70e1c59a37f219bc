//! Rule files from folders: one validator for every command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::engine::{CheckedRule, generation};
use crate::rule::decode::Options;
use crate::rule::problem::{Problems, Span};

use super::{Failure, show};

/// Where rules come from.
#[derive(Debug, Clone, clap::Args)]
pub struct RuleArguments {
    /// A rule file, or a folder of them (`*.yaml`, `*.yml`, folders within included); may be repeated
    #[arg(long = "rules", value_name = "PATH", default_value = "rules")]
    pub rules: Vec<PathBuf>,
    /// Time zone of dates in rules
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: chrono_tz::Tz,
}

/// What loading came to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rules without an error.
    pub rules: Vec<CheckedRule>,
    /// Files read.
    pub files: usize,
    /// Files with something to tell, in the order of their names.
    pub problems: Vec<Problems>,
    /// Ids of rules that did not load, where the id itself could be read.
    pub failed: Vec<String>,
}

impl Loaded {
    /// True when some rule did not load.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problems::has_errors)
    }

    /// Prints what there is to tell to stderr.
    pub fn complain(&self) {
        for problems in &self.problems {
            show::note(problems.render(show::colour_on_stderr()).trim_end());
            show::note("");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("no rules at `{0}`: there is no such file or folder; name one with --rules")]
    Missing(PathBuf),
    #[error("no rules in `{0}`: it holds no *.yaml or *.yml file")]
    Empty(PathBuf),
    #[error("cannot read `{path}`")]
    Unreadable { path: PathBuf, source: std::io::Error },
}

/// Reads every rule of `paths`. `declared` are fields that the records' source declares.
pub fn load(paths: &[PathBuf], zone: chrono_tz::Tz, declared: &[String]) -> Result<Loaded, Failure> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        if !path.exists() {
            return Err(LoadError::Missing(path.clone()).into());
        }
        let before = files.len();
        collect(path, &mut files, &mut seen)?;
        if files.len() == before && before == 0 {
            return Err(LoadError::Empty(path.clone()).into());
        }
    }
    let (mut texts, mut broken) = (Vec::new(), Vec::new());
    for path in files {
        let name = path.display().to_string();
        match String::from_utf8(read(&path)?) {
            Ok(text) => texts.push((name, text)),
            Err(error) => broken.push(not_text(name, &error)),
        }
    }
    let mut loaded = load_texts(texts, &Options { declared, zone });
    loaded.files += broken.len();
    loaded.problems.splice(0..0, broken);
    Ok(loaded)
}

/// The same for rules that are at hand already: (name of the file, its text).
pub fn load_texts(texts: Vec<(String, String)>, options: &Options<'_>) -> Loaded {
    let files = texts.len();
    let generation::Loaded { rules, problems, failed } = generation::load(texts, options);
    Loaded { rules, files, problems, failed }
}

/// Rule files at or below `path`, by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>, seen: &mut BTreeSet<PathBuf>) -> Result<(), LoadError> {
    // A file or folder is read once, by whatever links it is reached.
    if path.canonicalize().is_ok_and(|real| !seen.insert(real)) {
        return Ok(());
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut entries = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_rule = entry.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if !hidden && (entry.is_dir() || is_rule) {
            collect(&entry, files, seen)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "rule files are read at this edge")]
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}

/// A file that is no text: its one fault.
fn not_text(name: String, error: &std::string::FromUtf8Error) -> Problems {
    let bytes = error.as_bytes();
    let before = String::from_utf8_lossy(&bytes[..error.utf8_error().valid_up_to()]).into_owned();
    let wrong = bytes[before.len()];
    let at = Span { start: before.len(), end: before.len() };
    let mut problems = Problems::new(name, before);
    problems.error_hint(at, format!("byte 0x{wrong:02x} is not UTF-8"), "save the file as UTF-8");
    problems
}
