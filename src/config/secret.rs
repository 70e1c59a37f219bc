//! Secrets by reference: `env:NAME` or `file:PATH`, read once, never printed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

use super::Proxies;
use crate::rule::problem::safe_path;

/// Longest secret: more than any token of the vendor's, less than what hurts.
pub const MAX_SECRET: u64 = 64 << 10;

/// What stands for a secret that is not read.
const DRY: &str = "dry";

/// Where secrets are read from.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Relative paths are taken from here: the configuration's own folder.
    pub folder: PathBuf,
    /// Stands before the environment, for tests and the demo.
    given: BTreeMap<String, String>,
    /// True where references are checked for their form only, and nothing is read.
    pub dry: bool,
    /// How clients reach the network: straight, unless the configuration asks for more.
    pub proxies: Proxies,
    /// What was read so far, as a digest.
    taken: Arc<Mutex<blake3::Hasher>>,
}

/// What is given by hand is not shown.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given: Vec<&String> = self.given.keys().collect();
        f.debug_struct("Secrets")
            .field("folder", &self.folder)
            .field("given", &given)
            .field("dry", &self.dry)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// Why a secret could not be read. Never holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    /// It stands in the file, or is something else.
    #[error("a secret is named by its place, not written here")]
    Inline,
    /// The environment has no such name.
    #[error("the environment has no `{0}`")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read the secret's file `{}`: {fault}", safe_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// How.
        fault: String,
    },
    /// It is longer than any secret.
    #[error("the secret at `{0}` is longer than {MAX_SECRET} bytes")]
    TooLong(String),
    /// There is nothing in it.
    #[error("the secret at `{0}` is empty")]
    Empty(String),
}

impl NoSecret {
    /// What to do.
    pub fn way_out(&self) -> String {
        match self {
            Self::Inline => "write `env:NAME` or `file:PATH`".to_owned(),
            Self::NoVariable(name) => format!("set `{name}` where larum runs, or name a file: `file:PATH`"),
            Self::Unreadable { .. } => "make the file readable for the user that runs larum".to_owned(),
            Self::TooLong(_) => "name the file that holds the secret and nothing else".to_owned(),
            Self::Empty(_) => "write the secret there".to_owned(),
        }
    }
}

/// What a reference names.
enum Place<'r> {
    Variable(&'r str),
    File(&'r str),
}

impl<'r> Place<'r> {
    fn of(reference: &'r str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name = |name: &&str| name.chars().all(plain) && !name.is_empty();
        let variable = reference.strip_prefix("env:").filter(is_name).map(Self::Variable);
        let file = || reference.strip_prefix("file:").filter(|path| !path.is_empty()).map(Self::File);
        variable.or_else(file)
    }
}

/// True for text that names a secret's place and so can be no secret itself.
pub(super) fn is_reference(text: &str) -> bool {
    Place::of(text).is_some()
}

impl Secrets {
    /// Relative paths are taken from `folder`.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }

    /// Reads nothing: references are looked at for their form only.
    pub fn dry() -> Self {
        Self { dry: true, ..Self::default() }
    }

    /// Reads what `reference` names; white space at its end is no part of it.
    pub fn read(&self, reference: &str) -> Result<SecretString, NoSecret> {
        let text = match Place::of(reference) {
            None => return Err(NoSecret::Inline),
            Some(_) if self.dry => return Ok(DRY.into()),
            Some(Place::Variable(name)) => self.value(name)?,
            Some(Place::File(path)) => self.file(path)?,
        };
        let text = text.trim_end();
        if text.is_empty() {
            return Err(NoSecret::Empty(reference.to_owned()));
        }
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(blake3::hash(text.as_bytes()).as_bytes());
        Ok(text.into())
    }

    /// The same, from which nothing was read yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { taken: Arc::default(), ..self.clone() }
    }

    /// A digest of all that was read, in its order: another one where a secret has changed. It stays in
    /// memory, as they do.
    pub fn digest(&self) -> blake3::Hash {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).finalize()
    }

    /// The same with `value` for `env:name`, whatever the environment says.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.given.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The environment's value of `name`, which is no secret; none where it is not set or nothing is
    /// read.
    pub fn variable(&self, name: &str) -> Option<String> {
        if self.dry {
            return None;
        }
        self.value(name).ok().filter(|value| !value.trim().is_empty())
    }

    /// True where the environment says something under `name`.
    pub fn is_set(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    fn value(&self, name: &str) -> Result<String, NoSecret> {
        if let Some(value) = self.given.get(name) {
            return Ok(value.clone());
        }
        #[expect(clippy::disallowed_methods, reason = "secrets are read at this edge")]
        std::env::var(name).map_err(|_| NoSecret::NoVariable(name.to_owned()))
    }

    fn file(&self, path: &str) -> Result<String, NoSecret> {
        use std::io::Read as _;
        let path = self.folder.join(path);
        let unreadable =
            |error: std::io::Error| NoSecret::Unreadable { path: path.clone(), fault: error.to_string() };
        #[expect(clippy::disallowed_methods, reason = "secrets are read at this edge")]
        let file = std::fs::File::open(&path).map_err(unreadable)?;
        let mut text = String::new();
        file.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_SECRET {
            return Err(NoSecret::TooLong(format!("file:{}", path.display())));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_is_read_from_its_place_without_the_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sk"), "hunter2\n").unwrap();
        let secrets = Secrets::in_folder(folder.path()).with("SK", "hunter3");
        assert_eq!(secrets.read("file:sk").unwrap().expose_secret(), "hunter2");
        assert_eq!(secrets.read("env:SK").unwrap().expose_secret(), "hunter3");
    }

    #[test]
    fn what_is_no_secret_is_told_without_a_word_of_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), " \n").unwrap();
        std::fs::write(folder.path().join("long"), "x".repeat(70_000)).unwrap();
        let secrets = Secrets::in_folder(folder.path()).with("BLANK", "");
        for (reference, told) in [
            ("hunter2", "a secret is named by its place, not written here"),
            ("env:hunter 2", "a secret is named by its place, not written here"),
            ("file:", "a secret is named by its place, not written here"),
            ("env:LARUM_NO_SUCH_VARIABLE", "the environment has no `LARUM_NO_SUCH_VARIABLE`"),
            ("env:BLANK", "the secret at `env:BLANK` is empty"),
            ("file:empty", "the secret at `file:empty` is empty"),
            ("file:long", "is longer than 65536 bytes"),
            ("file:gone", "cannot read the secret's file"),
        ] {
            let error = secrets.read(reference).unwrap_err();
            assert!(error.to_string().contains(told), "{reference}: {error}");
            assert!(!error.way_out().is_empty());
        }
    }

    #[test]
    fn a_dry_run_reads_nothing_and_checks_the_form() {
        let secrets = Secrets { dry: true, ..Secrets::default() };
        assert!(secrets.read("file:/no/such/file").is_ok() && secrets.read("env:NOBODY").is_ok());
        assert!(matches!(secrets.read("hunter2"), Err(NoSecret::Inline)));
    }
}
