//! What a file says of one receiver or source, read by the names of its table of keys.

use secrecy::SecretString;

use crate::record::Millis;
use crate::rule::decode::{self, Cx, Taken};
use crate::rule::keys::MapDoc;
use crate::rule::problem::{Problems, Span};
use crate::rule::yaml::Node;

use super::Secrets;

/// One map of the configuration whose keys have been looked at: unknown, missing and misspelt ones
/// are told already. Each reader notes a value that is not what the table says, and answers none.
#[derive(Clone)]
pub struct Options<'n> {
    taken: Taken<'n>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("of", &self.taken.doc.name).finish_non_exhaustive()
    }
}

impl<'n> Options<'n> {
    /// Opens `node`, whose keys are those of `doc`; `at` is where faults about the whole point.
    pub fn open(node: &'n Node, doc: &'static MapDoc, at: Span, problems: &mut Problems) -> Option<Self> {
        let example = doc.keys.first().map_or("", |key| key.example);
        let taken = with_cx(problems, |cx| Taken::open(cx, node, doc, at, example))?;
        Some(Self { taken })
    }

    /// True where the key stands in the file.
    pub fn has(&self, key: &str) -> bool {
        self.taken.has(key)
    }

    /// Where the value of `key` stands, or the map where it does not.
    pub fn place(&self, key: &str) -> Span {
        self.taken.get(key).map_or(self.taken.at, |entry| entry.value.span)
    }

    /// Notes a fault of the value of `key`: lower case, no full stop, the user's words in backticks.
    pub fn fault(
        &self,
        problems: &mut Problems,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        problems.error_hint(self.place(key), message, hint);
    }

    /// Text that says something.
    pub fn text(&self, problems: &mut Problems, key: &str) -> Option<String> {
        with_cx(problems, |cx| self.taken.text(cx, key))
    }

    /// A list of texts; empty where the key does not stand.
    pub fn texts(&self, problems: &mut Problems, key: &str) -> Vec<String> {
        with_cx(problems, |cx| self.taken.texts(cx, key)).into_iter().map(|(text, _)| text).collect()
    }

    /// One of the table's words.
    pub fn word(&self, problems: &mut Problems, key: &str) -> Option<&'static str> {
        with_cx(problems, |cx| self.taken.word(cx, key))
    }

    /// `true` or `false`.
    pub fn flag(&self, problems: &mut Problems, key: &str) -> Option<bool> {
        with_cx(problems, |cx| self.taken.flag(cx, key))
    }

    /// A whole number within the table's bounds.
    pub fn whole(&self, problems: &mut Problems, key: &str) -> Option<u32> {
        with_cx(problems, |cx| self.taken.whole(cx, key))
    }

    /// A length of time above zero.
    pub fn duration(&self, problems: &mut Problems, key: &str) -> Option<Millis> {
        with_cx(problems, |cx| self.taken.duration(cx, key))
    }

    /// The secret that `env:NAME` or `file:PATH` names.
    pub fn secret(&self, problems: &mut Problems, secrets: &Secrets, key: &str) -> Option<SecretString> {
        let reference = self.text(problems, key)?;
        match secrets.read(&reference) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.fault(problems, key, error.to_string(), error.way_out());
                None
            }
        }
    }

    /// The map under `key`.
    pub fn map(&self, problems: &mut Problems, key: &str, doc: &'static MapDoc) -> Option<Self> {
        with_cx(problems, |cx| self.taken.map(cx, key, doc)).map(|taken| Self { taken })
    }

    /// The maps in the list under `key`.
    pub fn maps(&self, problems: &mut Problems, key: &str, doc: &'static MapDoc) -> Vec<Self> {
        let maps = with_cx(problems, |cx| self.taken.maps(cx, key, doc));
        maps.into_iter().map(|taken| Self { taken }).collect()
    }

    /// The value of `key` as it stands in the tree, for what no reader here reads.
    pub fn node(&self, key: &str) -> Option<&'n Node> {
        self.taken.get(key).map(|entry| &entry.value)
    }
}

/// Lends the problems to the readers of rule files.
fn with_cx<T>(problems: &mut Problems, read: impl FnOnce(&mut Cx<'_>) -> T) -> T {
    let defaults = decode::Options::default();
    let empty = Problems::new(problems.file.clone(), problems.source.clone());
    let source = problems.source.clone();
    let mut cx = Cx { problems: std::mem::replace(problems, empty), source, options: &defaults };
    let value = read(&mut cx);
    *problems = cx.problems;
    value
}
