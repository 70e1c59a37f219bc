//! Secrets that were written into the file: where they stand, so that no message shows them.
//!
//! The tree tells where they are. What is not in the tree (a file that is no YAML, a key that
//! stands twice) is found by the names of keys, and then more is hidden rather than less.

use std::collections::BTreeSet;

use regex::Regex;

use crate::rule::keys::{MapDoc, Open, Takes};
use crate::rule::problem::{Problems, Span};
use crate::rule::yaml::{Kind, Node};

use super::keys::{ADMIN, HEARTBEAT, RECEIVER, SOURCE};
use super::part::{KindDoc, Kinds};
use super::secret::is_reference;

const PROXY: &str = "proxy";

/// Hides every value of `root` that is, or may be, a secret; and those that only the text shows.
pub(super) fn hide(problems: &mut Problems, root: Option<&Node>, kinds: &Kinds<'_>) {
    let mut seen = BTreeSet::new();
    if let Some(root) = root {
        for (list, shared, kinds) in
            [("sources", &SOURCE, kinds.sources), ("receivers", &RECEIVER, kinds.receivers)]
        {
            for node in entries_of(root, list) {
                hide_in_part(problems, node, shared, kinds, &mut seen);
            }
        }
    }
    for (key, doc) in [("admin", &ADMIN), ("heartbeat", &HEARTBEAT)] {
        let entries = root.and_then(Node::map).unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.key.text == key) {
            hide_in_value(problems, &entry.value, Takes::Map(doc), &mut seen);
        }
    }
    let top = root.and_then(Node::map).unwrap_or_default();
    // An address of a proxy has its place in the environment, and may hold a password here.
    for entry in top.iter().filter(|entry| entry.key.text == PROXY) {
        if entry.value.scalar().is_some_and(|word| word.text == "environment") {
            note(&entry.value, &mut seen);
        } else {
            hide_all(problems, &entry.value, &mut seen);
        }
    }
    hide_in_text(problems, kinds, &seen);
}

/// The entries of a list at the top of the file; a map that stands in the list's place is one.
fn entries_of<'n>(root: &'n Node, list: &str) -> &'n [Node] {
    let entry = root.map().and_then(|entries| entries.iter().find(|entry| entry.key.text == list));
    match entry.map(|entry| &entry.value) {
        Some(Node { kind: Kind::List(nodes), .. }) => nodes,
        Some(node @ Node { kind: Kind::Map(_), .. }) => std::slice::from_ref(node),
        Some(Node { kind: Kind::Scalar(_), .. }) | None => &[],
    }
}

fn hide_in_part(
    problems: &mut Problems,
    node: &Node,
    shared: &'static MapDoc,
    kinds: &[KindDoc],
    seen: &mut BTreeSet<usize>,
) {
    let Some(entries) = node.map() else { return };
    let word = entries.iter().find(|entry| entry.key.text == "kind").and_then(|entry| entry.value.scalar());
    let kind = word.and_then(|word| kinds.iter().find(|kind| kind.name == word.text));
    for entry in entries {
        match (shared.key(&entry.key.text), kind.and_then(|kind| kind.keys.key(&entry.key.text))) {
            (Some(_), _) => note(&entry.value, seen),
            (None, Some(key)) => hide_in_value(problems, &entry.value, key.takes, seen),
            // A key that nobody knows may be a misspelt one of a secret's.
            (None, None) => hide_all(problems, &entry.value, seen),
        }
    }
}

fn hide_in_value(problems: &mut Problems, node: &Node, takes: Takes, seen: &mut BTreeSet<usize>) {
    let may_be = takes.alternatives();
    let plain = may_be.iter().any(|takes| matches!(takes, Takes::Text));
    if !plain && may_be.iter().any(|takes| matches!(takes, Takes::Secret)) {
        hide_all(problems, node, seen);
        return;
    }
    note(node, seen);
    let one = std::slice::from_ref(node);
    let nodes = if let Kind::List(nodes) = &node.kind { nodes.as_slice() } else { one };
    for doc in may_be.into_iter().filter_map(doc_of) {
        let mut secrets = BTreeSet::new();
        names_of_secrets(doc, &mut secrets);
        // A single value in place of a map of secrets may be one.
        for node in nodes
            .iter()
            .filter(|node| node.map().is_none() && (!secrets.is_empty() || doc.open == Open::Secrets))
        {
            hide_all(problems, node, seen);
        }
        for entry in nodes.iter().filter_map(Node::map).flatten() {
            match doc.key(&entry.key.text) {
                Some(key) => hide_in_value(problems, &entry.value, key.takes, seen),
                None if matches!(doc.open, Open::Closed | Open::Secrets) => {
                    hide_all(problems, &entry.value, seen);
                }
                None => note(&entry.value, seen),
            }
        }
    }
}

/// The table of what is a map, or a list of maps.
fn doc_of(takes: Takes) -> Option<&'static MapDoc> {
    if let Takes::Map(doc) | Takes::Maps(doc) = takes { Some(doc) } else { None }
}

/// Hides a value whole, unless it only names a place.
fn hide_all(problems: &mut Problems, node: &Node, seen: &mut BTreeSet<usize>) {
    note(node, seen);
    if !node.scalar().is_some_and(|scalar| is_reference(&scalar.text)) && !node.is_null() {
        problems.mask(node.span);
    }
}

fn note(node: &Node, seen: &mut BTreeSet<usize>) {
    seen.insert(node.span.start);
}

/// Hides what follows the name of a key that takes a secret, where the tree has not told of it.
fn hide_in_text(problems: &mut Problems, kinds: &Kinds<'_>, seen: &BTreeSet<usize>) {
    let mut names = BTreeSet::new();
    for kind in kinds.sources.iter().chain(kinds.receivers) {
        names_of_secrets(kind.keys, &mut names);
    }
    names_of_secrets(&ADMIN, &mut names);
    names.insert(PROXY);
    if names.is_empty() {
        return;
    }
    let names = names.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
    let Ok(pattern) = Regex::new(&format!(r#"\b(?:{names})["']?\s*:[ \t]*"#)) else { return };
    let source = problems.source.clone();
    for found in pattern.find_iter(&source) {
        let start = found.end();
        let rest = source[start..].lines().next().unwrap_or_default();
        let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c));
        let closed = quote.and_then(|quote| rest[1..].find(quote)).map(|end| end + 2);
        let word = rest.trim_start_matches(['"', '\'']);
        let word = word.split([',', '}', ' ', '"', '\'']).next().unwrap_or(word);
        if !seen.contains(&start) && !is_reference(word) {
            problems.mask(Span { start, end: start + closed.unwrap_or(rest.len()) });
        }
    }
}

fn names_of_secrets(doc: &'static MapDoc, names: &mut BTreeSet<&'static str>) {
    for key in doc.keys {
        for takes in key.takes.alternatives() {
            if matches!(takes, Takes::Secret) {
                names.insert(key.name);
            }
            if let Some(inner) = doc_of(takes) {
                names_of_secrets(inner, names);
            }
        }
    }
}
