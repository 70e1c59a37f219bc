//! A spanned tree of one YAML document: every value as spelt, every node with its place.
//!
//! Built from the parser's events and not through serde, because typed reading changes what was
//! spelt (`NO`, `042`, `1.50`) and derived types lose positions. What a document may not hold in a
//! rule file (anchors, aliases, tags, merge keys, second documents, keys that stand twice) is
//! refused here, in words. Never knows what a key means, never reads a file.

mod build;

use super::problem::Span;

pub use build::{Document, parse, parse_all, parse_as};

/// Bytes of one file; a rule is a page or two.
pub const MAX_BYTES: usize = 1 << 20;
/// Bytes of a file of several documents: ten thousand rules are a third of it.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Documents of such a file.
pub const MAX_DOCUMENTS: usize = 50_000;
/// Scalars, lists and maps of one document, keys not counted.
pub const MAX_NODES: usize = 20_000;
/// Lists and maps inside each other, so that whatever walks the tree may call itself.
pub const MAX_DEPTH: usize = 32;

/// One value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, quotes and brackets included.
    pub span: Span,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Keys in order; no key stands twice.
    Map(Vec<Entry>),
}

/// A single value, as text: nobody has taken `NO` for false or `042` for 34.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, escapes read, indentation taken off.
    pub text: String,
    /// How it is written.
    pub style: Style,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `text`
    Plain,
    /// `'text'` or `"text"`
    Quoted,
    /// `|` or `>` and lines below.
    Block,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The entries, if it is a map.
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// True where no value was written, or `null` or `~` without quotes.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// What it is, for a message: `text`, `a list`, `a map`, `nothing`.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) if self.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

impl Scalar {
    /// True for nothing, `null` and `~` without quotes.
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The boolean that YAML sees in `true` and `false` without quotes.
    pub fn boolean(&self) -> Option<bool> {
        match (self.style, self.text.as_str()) {
            (Style::Plain, "true" | "True" | "TRUE") => Some(true),
            (Style::Plain, "false" | "False" | "FALSE") => Some(false),
            (Style::Plain | Style::Quoted | Style::Block, _) => None,
        }
    }
}

/// For each line of a scalar's text, the byte of the source where it begins: indentation and quotes
/// are left out. Lines that cannot be found (folded or escaped text) stand at the scalar's start.
pub fn line_starts(source: &str, node: &Node) -> Vec<usize> {
    let Some(scalar) = node.scalar() else { return vec![node.span.start] };
    let mut starts = Vec::new();
    // A block's place is its text: the header (`|`) is before it.
    let mut cursor = node.span.start;
    for line in scalar.text.lines() {
        let rest = source.get(cursor..node.span.end).unwrap_or("");
        if line.is_empty() {
            starts.push(cursor);
            cursor += rest.find('\n').map_or(0, |at| at + 1);
        } else if let Some(at) = rest.find(line) {
            starts.push(cursor + at);
            let after = cursor + at + line.len();
            cursor = source
                .get(after..node.span.end)
                .and_then(|rest| rest.find('\n'))
                .map_or(after, |at| after + at + 1);
        } else {
            starts.push(node.span.start);
        }
    }
    if starts.is_empty() {
        starts.push(node.span.start);
    }
    starts
}

/// Where the bytes `start..end` of a scalar's text stand in the source; the whole scalar where they
/// cannot be found.
pub fn inside(source: &str, node: &Node, start: usize, end: usize) -> Span {
    let Some(scalar) = node.scalar() else { return node.span };
    let Some(wanted) = scalar.text.get(start..end) else { return node.span };
    let before = scalar.text.get(..start).unwrap_or("");
    let line = before.matches('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
    let Some(begin) = line_starts(source, node).get(line).map(|begin| begin + column) else {
        return node.span;
    };
    let span = Span { start: begin, end: begin + wanted.len() };
    if source.get(span.start..span.end) == Some(wanted) { span } else { node.span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::problem::Problems;

    fn tree(source: &str) -> Node {
        let mut problems = Problems::new("a.yaml", source);
        let node = parse(&mut problems);
        assert!(problems.is_empty(), "{}", problems.render(false));
        node.expect("a document")
    }

    /// Every node with what the source says at its place.
    fn spelt(source: &str, node: &Node, lines: &mut Vec<String>) {
        let there = &source[node.span.start..node.span.end];
        match &node.kind {
            Kind::Scalar(scalar) => lines.push(format!("{:?} {:?} at {there:?}", scalar.style, scalar.text)),
            Kind::List(nodes) => {
                lines.push(format!("list at {there:?}"));
                for node in nodes {
                    spelt(source, node, lines);
                }
            }
            Kind::Map(entries) => {
                lines.push(format!("map at {there:?}"));
                for Entry { key, value } in entries {
                    lines.push(format!("key {:?} at {:?}", key.text, &source[key.span.start..key.span.end]));
                    spelt(source, value, lines);
                }
            }
        }
    }

    #[test]
    fn every_value_is_as_spelt_and_at_its_place() {
        let source = "a: NO # not false\n'b': [042, 1.50, \"é\\t\", 'it''s']\nc:\n  - d: ~\n    e:\n  - f: |\n      x\n      y\n\ng: {h: 1}\n";
        let mut lines = Vec::new();
        spelt(source, &tree(source), &mut lines);
        insta::assert_snapshot!(lines.join("\n"), @r#"
        map at "a: NO # not false\n'b': [042, 1.50, \"é\\t\", 'it''s']\nc:\n  - d: ~\n    e:\n  - f: |\n      x\n      y\n\ng: {h: 1}"
        key "a" at "a"
        Plain "NO" at "NO"
        key "b" at "'b'"
        list at "[042, 1.50, \"é\\t\", 'it''s']"
        Plain "042" at "042"
        Plain "1.50" at "1.50"
        Quoted "é\t" at "\"é\\t\""
        Quoted "it's" at "'it''s'"
        key "c" at "c"
        list at "- d: ~\n    e:\n  - f: |\n      x\n      y\n\n"
        map at "d: ~\n    e"
        key "d" at "d"
        Plain "~" at "~"
        key "e" at "e"
        Plain "" at ""
        map at "f: |\n      x\n      y\n\n"
        key "f" at "f"
        Block "x\ny\n" at "x\n      y\n\n"
        key "g" at "g"
        map at "{h: 1}"
        key "h" at "h"
        Plain "1" at "1"
        "#);
    }

    #[test]
    fn a_part_of_a_text_is_found_in_the_source() {
        for source in [
            "a: é failed and not office",
            "a: 'é failed and not office'",
            "a: |\n    é failed\n    and not office\n",
        ] {
            let tree = tree(source);
            let node = &tree.map().unwrap()[0].value;
            let text = &node.scalar().unwrap().text;
            let start = text.find("office").unwrap();
            let span = inside(source, node, start, start + 6);
            assert_eq!(&source[span.start..span.end], "office", "{source}");
        }
    }

    #[test]
    fn a_part_that_is_spelt_otherwise_is_the_whole_value() {
        let source = "a: \"x\\ty\"";
        let tree = tree(source);
        let node = &tree.map().unwrap()[0].value;
        assert_eq!(inside(source, node, 1, 3), node.span);
    }
}
