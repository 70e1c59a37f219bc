//! What a file says of one receiver or source, read by the names of its table of keys.

use secrecy::SecretString;

use crate::record::Millis;
use crate::route::AtMost;
use crate::rule::decode::{self, Cx, Taken};
use crate::rule::keys::MapDoc;
use crate::rule::problem::{Problems, Span};
use crate::rule::spec::ListNames;
use crate::rule::yaml::{Entry, Kind, Node};

use super::keys::CONFIG_FILES;
use super::values;
use super::{Bytes, Secrets};

/// Messages of one rate: more is no limit.
const MAX_MESSAGES: u32 = 10_000;

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

    /// Opens a map that two tables describe: what every receiver has, and what its kind has besides.
    /// Keys of neither are unknown.
    pub(super) fn open_both(
        node: &'n Node,
        (shared, own): (&'static MapDoc, &'static MapDoc),
        at: Span,
        problems: &mut Problems,
    ) -> Option<(Self, Self)> {
        let entries = node.map()?;
        let (shared, own) = (Taken::looked_at(entries, shared, at), Taken::looked_at(entries, own, at));
        with_cx(problems, |cx| {
            let meant = shared.tell_strange(cx, Some(own.doc));
            shared.tell_missing(cx, &meant);
            own.tell_missing(cx, &meant);
        });
        Some((Self { taken: shared }, Self { taken: own }))
    }

    /// The map in `node`, whose keys were looked at before; as if empty where it is none.
    pub(super) fn looked_at(node: &'n Node, doc: &'static MapDoc, at: Span) -> Self {
        Self { taken: Taken::looked_at(node.map().unwrap_or_default(), doc, at) }
    }

    /// Tells of keys that the map is a fault without.
    pub(super) fn tell_missing(&self, problems: &mut Problems) {
        with_cx(problems, |cx| self.taken.tell_missing(cx, &[]));
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

    /// How the table spells the key, for a way out.
    pub(super) fn write(&self, key: &str) -> String {
        format!("write `{}`", self.taken.example(key))
    }

    /// Text that says something.
    pub fn text(&self, problems: &mut Problems, key: &str) -> Option<String> {
        with_cx(problems, |cx| self.taken.text(cx, key))
    }

    /// A list of texts; empty where the key does not stand.
    pub fn texts(&self, problems: &mut Problems, key: &str) -> Vec<String> {
        with_cx(problems, |cx| self.taken.texts(cx, key)).into_iter().map(|(text, _)| text).collect()
    }

    /// A list of texts, each with its place; empty where the key does not stand.
    pub fn placed_texts(&self, problems: &mut Problems, key: &str) -> Vec<(String, Span)> {
        with_cx(problems, |cx| self.taken.texts(cx, key))
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

    /// A length of time from `least` to `most`.
    pub fn duration_in(
        &self,
        problems: &mut Problems,
        key: &str,
        (least, most): (Millis, Millis),
    ) -> Option<Millis> {
        let length = self.duration(problems, key)?;
        if (least..=most).contains(&length) {
            return Some(length);
        }
        let hint = format!("write a length from {least} to {most}");
        self.fault(problems, key, format!("`{key}: {length}` is out of bounds"), hint);
        None
    }

    /// So many messages in so long.
    pub fn rate(&self, problems: &mut Problems, key: &str) -> Option<AtMost> {
        let text = self.text(problems, key)?;
        match text.parse::<AtMost>() {
            Ok(rate) if Self::fits(&rate) => return Some(rate),
            Ok(_) => {
                let hint = format!("write 1 to {MAX_MESSAGES} messages in 1s to 1d, or `{key}: off`");
                self.fault(problems, key, format!("`{key}: {text}` is out of bounds"), hint);
            }
            Err(_) => {
                let message = format!("`{key}` takes a rate such as `10 in 15m`, not `{text}`");
                let hint = format!("write `{}`, or `{key}: off`", self.taken.example(key));
                self.fault(problems, key, message, hint);
            }
        }
        None
    }

    /// Whether a rate is within its bounds.
    pub(super) fn fits(rate: &AtMost) -> bool {
        rate.count <= MAX_MESSAGES && (Millis::secs(1)..=Millis::days(1)).contains(&rate.within)
    }

    /// A number of bytes.
    pub fn size(&self, problems: &mut Problems, key: &str) -> Option<Bytes> {
        let text = self.text(problems, key)?;
        let size = values::size(&text);
        if size.is_none() {
            let message = format!("`{key}` takes a size such as 20GB, not `{text}`");
            self.fault(problems, key, message, format!("write `{}`", self.taken.example(key)));
        }
        size
    }

    /// True where the value is the word `off`.
    pub fn is_off(&self, key: &str) -> bool {
        self.taken.is_off(key)
    }

    /// The entries that are not of the table, where the map is open.
    pub fn rest(&self) -> Vec<&'n Entry> {
        self.taken.rest()
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

/// One text or a list of them, each with its place: the value of `name`.
pub(super) fn one_or_more(problems: &mut Problems, name: &str, node: &Node) -> Vec<(String, Span)> {
    let nodes = match &node.kind {
        Kind::List(nodes) => nodes.as_slice(),
        Kind::Scalar(_) | Kind::Map(_) => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        problems.error_hint(node.span, format!("`{name}` lists nothing"), "name one, or take the key out");
    }
    let mut texts = Vec::new();
    for node in nodes {
        match node.scalar().map(|scalar| scalar.text.trim()) {
            Some(text) if !text.is_empty() && !node.is_null() => texts.push((text.to_owned(), node.span)),
            Some(_) | None => {
                let message = format!("`{name}` takes a text or a list of them, not {}", node.what());
                problems.error_hint(node.span, message, format!("write `{name}: [one, two]`"));
            }
        }
    }
    texts
}

/// Lends the problems to the readers of rule files.
fn with_cx<T>(problems: &mut Problems, read: impl FnOnce(&mut Cx<'_>) -> T) -> T {
    let defaults = decode::Options::default();
    let empty = Problems::new(problems.file.clone(), problems.source.clone());
    let source = problems.source.clone();
    let mut cx = Cx {
        problems: std::mem::replace(problems, empty),
        source,
        options: &defaults,
        by: Vec::new(),
        language: &CONFIG_FILES,
        lists: ListNames::default(),
    };
    let value = read(&mut cx);
    *problems = cx.problems;
    value
}
