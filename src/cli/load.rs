//! Rule files from folders: one validator for every command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::CheckedRule;
use crate::record::RuleId;
use crate::rule::decode::{Options, decode};
use crate::rule::problem::Problems;

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
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(LoadError::Missing(path.clone()).into());
        }
        let before = files.len();
        collect(path, &mut files)?;
        if files.len() == before {
            return Err(LoadError::Empty(path.clone()).into());
        }
    }
    let mut texts = Vec::new();
    for path in files {
        texts.push((path.display().to_string(), read(&path)?));
    }
    Ok(load_texts(texts, &Options { declared, zone }))
}

/// The same for rules that are at hand already: (name of the file, its text).
pub fn load_texts(texts: Vec<(String, String)>, options: &Options<'_>) -> Loaded {
    let mut loaded = Loaded { files: texts.len(), ..Loaded::default() };
    let mut taken: BTreeMap<RuleId, String> = BTreeMap::new();
    for (name, text) in texts {
        let (spec, mut problems) = decode(&name, &text, options);
        let broken = problems.has_errors();
        let rule = spec.and_then(|spec| {
            if broken {
                return CheckedRule::new(spec, &mut problems);
            }
            if let Some(other) = taken.get(&spec.id) {
                let message = format!("rule `{}` is in `{other}` already", spec.id);
                problems.error_hint(spec.id_span, message, "give one of them another id");
                return None;
            }
            taken.insert(spec.id.clone(), name.clone());
            CheckedRule::new(spec, &mut problems)
        });
        if rule.is_none() {
            loaded.failed.extend(id_of(&text));
        }
        loaded.rules.extend(rule);
        if !problems.is_empty() {
            loaded.problems.push(problems);
        }
    }
    loaded
}

/// The id of a rule that does not load, as far as one line of the file gives it.
fn id_of(text: &str) -> Option<String> {
    let rest = text.lines().find_map(|line| line.strip_prefix("rule:"))?;
    let id = rest.split(" #").next()?.trim().trim_matches(['"', '\'']);
    Some(id.to_owned())
}

/// Rule files at or below `path`, by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
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
            collect(&entry, files)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "rule files are read at this edge")]
fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    // Broken UTF-8 becomes a fault of that one file: the replacement character is no rule text.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
