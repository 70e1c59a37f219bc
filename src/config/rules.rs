//! Rule files on disk: which there are below a path, and their texts. What they mean is `rule`'s to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::rule::problem::{Problems, Span, safe_path};
use crate::rule::script::is_script_name;

/// Why rule files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NoRules {
    /// There is nothing at the path.
    #[error("no rules at `{}`: there is no such file or folder; name one with --rules", safe_path(.0))]
    Missing(PathBuf),
    /// There is no rule file in the folder.
    #[error("no rules in `{}`: it holds no *.yaml or *.yml file", safe_path(.0))]
    Empty(PathBuf),
    /// There is nothing at the path.
    #[error("no Sigma documents at `{}`: there is no such file or folder; name one with --sigma", safe_path(.0))]
    MissingSigma(PathBuf),
    /// There is no document in the folder.
    #[error("no Sigma documents in `{}`: it holds no *.yaml or *.yml file", safe_path(.0))]
    EmptySigma(PathBuf),
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", safe_path(path))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Rule files read: (name, text) in order of name, and those that are no text, with their one fault.
pub type Texts = (Vec<(String, String)>, Vec<Problems>);

/// Reads every rule file at or below `paths`, each once by whatever links it is reached.
pub fn texts(paths: &[PathBuf]) -> Result<Texts, NoRules> {
    all(paths, NoRules::Missing, NoRules::Empty)
}

/// The same of files of Sigma documents; no path at all is no fault.
pub fn sigma(paths: &[PathBuf]) -> Result<Texts, NoRules> {
    all(paths, NoRules::MissingSigma, NoRules::EmptySigma)
}

fn all(
    paths: &[PathBuf],
    missing: fn(PathBuf) -> NoRules,
    empty: fn(PathBuf) -> NoRules,
) -> Result<Texts, NoRules> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        if !path.exists() {
            return Err(missing(path.clone()));
        }
        let before = files.len();
        collect(path, &mut files, &mut seen)?;
        if files.len() == before && before == 0 {
            return Err(empty(path.clone()));
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
    Ok((texts, broken))
}

/// Scripts that stand beside the rules that name them: (path, text), each once, in order of path. One
/// that cannot be read is left out: the rule tells that it is not there.
pub fn scripts(rules: &[(String, String)]) -> Vec<(String, String)> {
    let mut found = BTreeMap::new();
    for (file, text) in rules {
        let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
        let names = text.split(|c: char| c.is_whitespace() || "\"'{},:[]".contains(c));
        for name in names.filter(|name| is_script_name(name) && !name.contains('/')) {
            let path = folder.join(name);
            let shown = path.display().to_string();
            if !found.contains_key(&shown)
                && let Some(script) = script(&path)
            {
                found.insert(shown, script);
            }
        }
    }
    found.into_iter().collect()
}

/// A script's text, if it is one and not too long.
fn script(path: &Path) -> Option<String> {
    let text = String::from_utf8(read(path).ok()?).ok()?;
    (text.len() <= MAX_SCRIPT).then_some(text)
}

/// Bytes of one script: as many as a rule file may have.
const MAX_SCRIPT: usize = 1 << 20;

/// Rule files at or below `path`, by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>, seen: &mut BTreeSet<PathBuf>) -> Result<(), NoRules> {
    // A file or folder is read once, by whatever links it is reached.
    if path.canonicalize().is_ok_and(|real| !seen.insert(real)) {
        return Ok(());
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = |source| NoRules::Unreadable { path: path.to_owned(), source };
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
fn read(path: &Path) -> Result<Vec<u8>, NoRules> {
    std::fs::read(path).map_err(|source| NoRules::Unreadable { path: path.to_owned(), source })
}

/// A file that is no text: its one fault.
pub fn not_text(name: String, error: &std::string::FromUtf8Error) -> Problems {
    let bytes = error.as_bytes();
    let before = String::from_utf8_lossy(&bytes[..error.utf8_error().valid_up_to()]).into_owned();
    let wrong = bytes[before.len()];
    let at = Span { start: before.len(), end: before.len() };
    let mut problems = Problems::new(name, before);
    problems.error_hint(at, format!("byte 0x{wrong:02x} is not UTF-8"), "save the file as UTF-8");
    problems
}
