//! One receiver or source of the file: its kind, and the map that the kind is built from later.

use crate::rule::keys::MapDoc;
use crate::rule::problem::{Problems, Span};
use crate::rule::suggest;
use crate::rule::yaml::Node;

use super::Options;

/// A kind of receiver or source, as far as the file is concerned.
#[derive(Debug, Clone, Copy)]
pub struct KindDoc {
    /// The word after `kind:`.
    pub name: &'static str,
    /// Its keys, besides those that every receiver or source has.
    pub keys: &'static MapDoc,
}

/// The kinds that there are.
#[derive(Debug, Clone, Copy)]
pub struct Kinds<'k> {
    /// Of receivers.
    pub receivers: &'k [KindDoc],
    /// Of sources.
    pub sources: &'k [KindDoc],
}

/// The map of one receiver or source, or of another part that is built later.
#[derive(Clone)]
pub struct Part {
    /// The word after `kind:`; of a part that has no kinds, its key.
    pub kind: &'static str,
    keys: &'static MapDoc,
    node: Node,
    at: Span,
    /// Where its name stands.
    pub name_at: Span,
}

/// Values are left out: a secret may have been written among them.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Part {
    /// What the file says of it, by the names of its kind's table.
    pub fn options(&self) -> Options<'_> {
        Options::looked_at(&self.node, self.keys, self.at)
    }

    /// The value of a key as it is spelt; empty where it does not stand.
    pub(super) fn spelt(&self, key: &str) -> String {
        let entry = self.node.map().and_then(|entries| entries.iter().find(|entry| entry.key.text == key));
        let scalar = entry.and_then(|entry| entry.value.scalar());
        scalar.map_or(String::new(), |scalar| scalar.text.clone())
    }

    /// The map under `key` of `top`, where it stands; it is built from later.
    pub(super) fn section(
        top: &Options<'_>,
        key: &'static str,
        keys: &'static MapDoc,
        problems: &mut Problems,
    ) -> Option<Self> {
        top.map(problems, key, keys)?;
        let node = top.node(key)?.clone();
        let at = first_key(&node);
        Some(Self { kind: key, keys, node, at, name_at: at })
    }

    /// Opens one entry of `sources` or `receivers`: the keys that all have, and the part that its
    /// kind will be built from. Without a kind that is known only the shared keys are looked at.
    pub(super) fn open<'n>(
        node: &'n Node,
        shared: &'static MapDoc,
        kinds: &[KindDoc],
        problems: &mut Problems,
    ) -> (Option<Options<'n>>, Option<Self>) {
        let at = first_key(node);
        let Some(entries) = node.map() else {
            let message = format!("{} is a map of keys, not {}", shared.name, node.what());
            problems.error_hint(node.span, message, format!("write `{}`", shared.keys[0].example));
            return (None, None);
        };
        let spelt = entries.iter().find(|entry| entry.key.text == "kind");
        let kind = spelt.and_then(|entry| {
            let word = entry.value.scalar()?.text.as_str();
            let kind = kinds.iter().find(|kind| kind.name == word);
            if kind.is_none() && !entry.value.is_null() {
                unknown_kind(word, entry.value.span, kinds, problems);
            }
            kind
        });
        let Some(kind) = kind else {
            let options = Options::looked_at(node, shared, at);
            options.tell_missing(problems);
            if spelt.is_some_and(|entry| entry.value.scalar().is_none_or(|_| entry.value.is_null())) {
                // Tells that the value is no text.
                options.text(problems, "kind");
            }
            return (Some(options), None);
        };
        let both = Options::open_both(node, (shared, kind.keys), at, problems);
        let name_at = both.as_ref().map_or(at, |(shared, _)| shared.place("name"));
        let part = Self { kind: kind.name, keys: kind.keys, node: node.clone(), at, name_at };
        (both.map(|(shared, _)| shared), Some(part))
    }
}

/// Where a fault about a whole map points: its first key.
fn first_key(node: &Node) -> Span {
    node.map().and_then(|entries| entries.first()).map_or(node.span, |entry| entry.key.span)
}

fn unknown_kind(word: &str, span: Span, kinds: &[KindDoc], problems: &mut Problems) {
    let names = || kinds.iter().map(|kind| kind.name);
    let known = names().collect::<Vec<_>>().join(", ");
    let hint = match suggest::nearest(word, names()) {
        Some(near) => format!("did you mean `{near}`? known: {known}"),
        None => format!("known: {known}"),
    };
    problems.error_hint(span, format!("there is no kind `{word}`"), hint);
}
