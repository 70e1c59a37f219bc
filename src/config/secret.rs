//! Secrets by reference: `env:NAME` or `file:PATH`, read once, never printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

/// Longest secret: more than any token of the vendor's, less than what hurts.
pub const MAX_SECRET: u64 = 64 << 10;

/// Where secrets are read from.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Relative paths are taken from here: the configuration's own folder.
    pub folder: PathBuf,
    /// Stands before the environment, for tests and the demo.
    given: BTreeMap<String, String>,
    /// True where references are checked for their form only, and nothing is read.
    pub dry: bool,
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
    #[error("cannot read the secret's file `{path}`: {fault}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// How.
        fault: String,
    },
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
            Self::Empty(_) => "write the secret there".to_owned(),
        }
    }
}

impl Secrets {
    /// Reads what `reference` names; white space at its end is no part of it.
    pub fn read(&self, reference: &str) -> Result<SecretString, NoSecret> {
        let text = if let Some(name) = reference.strip_prefix("env:") {
            if self.dry {
                return Ok("dry".into());
            }
            self.variable(name)?
        } else if let Some(path) = reference.strip_prefix("file:") {
            if self.dry {
                return Ok("dry".into());
            }
            self.file(path)?
        } else {
            return Err(NoSecret::Inline);
        };
        let text = text.trim_end();
        if text.is_empty() { Err(NoSecret::Empty(reference.to_owned())) } else { Ok(text.into()) }
    }

    /// The same with `value` for `env:name`, whatever the environment says.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.given.insert(name.to_owned(), value.to_owned());
        self
    }

    fn variable(&self, name: &str) -> Result<String, NoSecret> {
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
        file.take(MAX_SECRET).read_to_string(&mut text).map_err(unreadable)?;
        Ok(text)
    }
}
