//! The parser's events to a tree, and its faults to plain words.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self as granit, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::super::keys::{Language, RULE_FILES};
use super::super::problem::{Problems, Span};
use super::{
    Entry, Key, Kind, MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, MAX_FILE_BYTES, MAX_NODES, Node, Scalar, Style,
};

/// The rule file in `problems.source`: see [`parse_as`].
pub fn parse(problems: &mut Problems) -> Option<Node> {
    parse_as(problems, &RULE_FILES)
}

/// The document in `problems.source`, a file of `language`. None when there is nothing to go on with: a syntax fault, an
/// empty file, a bound hit, an alias. Keys that stand twice are noted, and the first is kept.
pub fn parse_as(problems: &mut Problems, language: &'static Language) -> Option<Node> {
    let source = problems.source.clone();
    if too_long(problems, language, MAX_BYTES) {
        return None;
    }
    let mut builder = Builder::new(&source, problems, language);
    for event in Parser::new_from_str_with_options(&source, options()) {
        match event {
            Ok((event, span)) => {
                let span = builder.place(span);
                if !builder.take(event, span) {
                    break;
                }
            }
            Err(error) => {
                // A fault that was told already is the cause of this one.
                if !builder.broken {
                    builder.syntax(&error);
                }
                return None;
            }
        }
    }
    if builder.broken {
        return None;
    }
    let root = builder.root.take();
    if root.is_none() {
        problems.error_hint(Span::default(), "the file is empty", language.needs);
    }
    root
}

/// One document of a file that may hold several.
#[derive(Debug)]
pub struct Document {
    /// Its tree; none where there is nothing to go on with.
    pub root: Option<Node>,
    /// What there is to tell of it.
    pub problems: Problems,
}

/// Every document of the file `name` that holds `source`, one after another: what is wrong with one says
/// nothing of the others. Behind a syntax fault nothing is read. Empty documents are left out.
pub fn parse_all(name: &str, source: &Arc<str>, language: &'static Language) -> Vec<Document> {
    let mut problems = Problems::new(name, source.clone());
    let mut documents = Vec::new();
    if too_long(&mut problems, language, MAX_FILE_BYTES) {
        return vec![Document { root: None, problems }];
    }
    let mut builder = Builder::new(source, &mut problems, language);
    for event in Parser::new_from_str_with_options(source, options()) {
        let go_on = match event {
            Ok((Event::DocumentEnd, _)) => {
                documents.extend(builder.finish());
                documents.len() <= MAX_DOCUMENTS
            }
            // What is wrong with this one is told; the next one may be good.
            Ok((event, span)) => {
                let span = builder.place(span);
                builder.stopped = builder.stopped || !builder.take(event, span);
                true
            }
            Err(error) => {
                if !builder.broken {
                    builder.syntax(&error);
                }
                builder.broken = true;
                false
            }
        };
        if !go_on {
            break;
        }
    }
    documents.extend(builder.finish());
    if documents.len() > MAX_DOCUMENTS {
        let mut problems = Problems::new(name, source.clone());
        let message = format!("the file has more than {MAX_DOCUMENTS} documents");
        problems.error_hint(Span::default(), message, language.split.0);
        documents = vec![Document { root: None, problems }];
    }
    documents
}

/// Tells of a file of more than `most` bytes.
fn too_long(problems: &mut Problems, language: &'static Language, most: usize) -> bool {
    let size = problems.source.len();
    if size > most {
        problems.error_hint(
            Span::default(),
            format!("the file has {size} bytes; {} has at most {most}", language.one.0),
            language.split.0,
        );
    }
    size > most
}

fn options() -> granit::Options {
    granit::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH * 2,
        block_nesting_limit: MAX_DEPTH * 2,
    }
}

/// A list or map whose end has not come yet.
struct Open {
    start: usize,
    /// One past the last byte of what it holds so far.
    end: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<Key> },
}

struct Builder<'a> {
    source: &'a str,
    problems: &'a mut Problems,
    language: &'static Language,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    /// The tree is not what the author meant: nothing is decoded from it.
    broken: bool,
    /// The rest of the document is not looked at.
    stopped: bool,
}

impl<'a> Builder<'a> {
    fn new(source: &'a str, problems: &'a mut Problems, language: &'static Language) -> Self {
        let (open, root) = (Vec::new(), None);
        Self { source, problems, language, open, root, nodes: 0, broken: false, stopped: false }
    }

    /// The document that ends here, if it is one; what comes is the next.
    fn finish(&mut self) -> Option<Document> {
        let next = Problems::new(self.problems.file.clone(), self.problems.source.clone());
        let problems = std::mem::replace(self.problems, next);
        let root = self.root.take().filter(|_| !self.broken);
        (self.nodes, self.broken, self.stopped) = (0, false, false);
        self.open.clear();
        let empty = root.as_ref().is_none_or(Node::is_null) && problems.is_empty();
        (!empty).then_some(Document { root, problems })
    }

    /// Takes in one event; false to stop.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        if self.stopped {
            return false;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                // The parser gives `~` where no value is written.
                let text = if span.start == span.end { String::new() } else { text.into_owned() };
                let scalar = Scalar { text, style };
                self.count(span) && self.place_node(Node { kind: Kind::Scalar(scalar), span })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.push(span, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span);
                self.push(span, Items::Map { entries: Vec::new(), seen: HashMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.alias(span),
            Event::DocumentStart(..) if self.root.is_some() => {
                self.problems.error_hint(
                    span,
                    format!("a second document begins here; a file holds {}", self.language.one.1),
                    self.language.second,
                );
                false
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | _ => true,
        }
    }

    /// The parser's span in bytes, held to the source and to whole characters.
    fn place(&self, span: granit::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        let start = floor(self.source, range.start);
        Span { start, end: floor(self.source, range.end).max(start) }
    }

    fn count(&mut self, span: Span) -> bool {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.problems.error_hint(
                span,
                format!("the file has more than {MAX_NODES} values"),
                self.language.split.1,
            );
            self.broken = true;
        }
        self.nodes <= MAX_NODES
    }

    fn push(&mut self, span: Span, items: Items) -> bool {
        if self.open.len() == MAX_DEPTH {
            self.problems
                .error(span, format!("lists and maps are more than {MAX_DEPTH} deep inside each other"));
            self.broken = true;
            return false;
        }
        self.open.push(Open { start: span.start, end: span.end, items });
        self.count(span)
    }

    fn pop(&mut self, span: Span) -> bool {
        let Some(open) = self.open.pop() else { return true };
        // The end of a block collection is the next token's place; that of `}` and `]` is its own.
        let closed = self.source[..span.end].ends_with(['}', ']']) && span.end > span.start;
        let end = if closed { span.end } else { open.end };
        let kind = match open.items {
            Items::List(nodes) => Kind::List(nodes),
            Items::Map { entries, .. } => Kind::Map(entries),
        };
        self.place_node(Node { kind, span: Span { start: open.start, end: end.max(open.start) } })
    }

    /// Puts a finished node where it belongs.
    fn place_node(&mut self, node: Node) -> bool {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return true;
        };
        open.end = open.end.max(node.span.end);
        match &mut open.items {
            Items::List(nodes) => nodes.push(node),
            Items::Map { key, .. } => match key.take() {
                Some(key) => self.enter(key, node),
                None => match node.kind {
                    Kind::Scalar(scalar) => *key = Some(Key { text: scalar.text, span: node.span }),
                    Kind::List(_) | Kind::Map(_) => {
                        *key = Some(Key { text: String::new(), span: node.span });
                        self.no_key(node.span);
                    }
                },
            },
        }
        true
    }

    fn enter(&mut self, key: Key, value: Node) {
        let Some(Open { items: Items::Map { entries, seen, .. }, .. }) = self.open.last_mut() else { return };
        if key.text == "<<" {
            self.problems.error_hint(key.span, "merge keys (`<<`) are not read", "write the keys out");
            return;
        }
        if let Some(first) = seen.get(&key.text) {
            let also = (*first, "it stands here first");
            let message = format!("`{}` stands twice in one map", key.text);
            self.problems.error_with(key.span, message, "keep one of them", also);
            return;
        }
        seen.insert(key.text.clone(), key.span);
        entries.push(Entry { key, value });
    }

    fn no_key(&mut self, span: Span) {
        let braces = self.source.get(span.start..).is_some_and(|rest| rest.starts_with('{'))
            && self.source[..span.start].ends_with('{');
        if braces {
            self.problems.error_hint(
                Span { start: span.start - 1, end: span.end },
                "text that begins with `{{` must be in quotes, or YAML takes it for a map",
                "write it as \"{{ user }} …\"",
            );
        } else {
            self.problems.error_hint(span, "a key must be plain text", "put the text in quotes");
        }
        self.broken = true;
    }

    fn alias(&mut self, span: Span) -> bool {
        self.problems.error_hint(
            span,
            format!(
                "a value that begins with `*` is a YAML alias, which {} do not read",
                self.language.files
            ),
            self.language.star,
        );
        self.broken = true;
        let scalar = Scalar { text: String::new(), style: Style::Plain };
        self.count(span) && self.place_node(Node { kind: Kind::Scalar(scalar), span })
    }

    fn refuse_properties(&mut self, anchor: usize, tagged: bool, span: Span) {
        if anchor != 0 {
            self.problems.error_hint(
                span,
                format!("YAML anchors (`&name`) are not read in {}", self.language.files),
                "put text that begins with `&` in quotes; write shared values out",
            );
        }
        if tagged {
            self.problems.error_hint(
                span,
                format!("YAML tags (`!name`) are not read in {}", self.language.files),
                "put text that begins with `!` in quotes; in a condition write `not`",
            );
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(self.source.len());
        let at = floor(self.source, at);
        if let Some(tab) = self.tab_near(at, error.kind()) {
            self.problems.error_hint(
                Span { start: tab, end: tab + 1 },
                "tabs cannot indent YAML",
                "indent this line with spaces",
            );
            return;
        }
        let rest = self.source.get(at..).unwrap_or("");
        let end = at + rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let (message, hint) = plain_words(error.kind());
        let span = Span { start: at, end };
        match hint {
            Some(hint) => self.problems.error_hint(span, message, hint),
            None => self.problems.error(span, message),
        }
    }

    /// A tab in the indentation of the faulty line, or of the line before it.
    fn tab_near(&self, at: usize, kind: &ErrorKind) -> Option<usize> {
        let line_start = |at: usize| self.source[..at].rfind('\n').map_or(0, |n| n + 1);
        let tab_in = |start: usize| {
            let rest = &self.source[start..];
            let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            rest[..indent].find('\t').map(|n| start + n)
        };
        let here = line_start(at);
        if let Some(tab) = tab_in(here) {
            return Some(tab);
        }
        let before = (here > 0).then(|| line_start(here - 1)).and_then(tab_in);
        if before.is_some() {
            return before;
        }
        let about_tabs = matches!(
            kind,
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabAtBlockScalarStart
                | ErrorKind::TabInIndentation
                | ErrorKind::TabInPlainScalar
        );
        // The parser points at the text that a later line breaks off.
        let mut lines = self.source[here..].match_indices('\n').map(|(at, _)| here + at + 1);
        let inside = self.source[here..].find('\t').map(|at| here + at);
        if about_tabs { lines.find_map(tab_in).or(inside) } else { None }
    }
}

/// A syntax fault in plain words, and what usually mends it.
#[expect(clippy::wildcard_enum_match_arm, reason = "one line does for the rare ones")]
fn plain_words(kind: &ErrorKind) -> (String, Option<&'static str>) {
    let known = match kind {
        ErrorKind::UnclosedQuotedScalar => {
            ("this quote is never closed", "close it, or write '' for a single quote inside single quotes")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is never closed"), Some("close the bracket"));
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (
                format!("`{open}` is closed by `{close}`"),
                Some("close each bracket with its own kind"),
            );
        }
        ErrorKind::MappingValueNotAllowed => (
            "a `:` cannot stand here",
            "put text that holds `: ` in quotes, and check the indentation of this line",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => (
            "this line does not fit the lines above it",
            "keys of one map begin in the same column; check the indentation",
        ),
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::BlockSequenceEntryNotAllowed => (
            "this line does not fit the list it stands in",
            "entries of a list begin with `- ` in the same column",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a key without `:`", "write `key: value`, with a space after the colon")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            ("`,` or `}` is missing before this", "write {key: value, key: value}")
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            ("`,` or `]` is missing before this", "write [value, value]")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("a value cannot begin with `{character}`"), Some("put the value in quotes"));
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "text goes on after its closing quote",
            "put the whole value in quotes; within '…' write '' for a quote",
        ),
        ErrorKind::UnknownQuotedScalarEscape => {
            ("this escape is unknown in \"…\"", "use '…', where a backslash is a backslash")
        }
        ErrorKind::RecursionLimitExceeded => {
            return (format!("lists and maps are more than {MAX_DEPTH} deep inside each other"), None);
        }
        _ => ("this is no YAML", "a file is one map of `key: value` lines"),
    };
    (known.0.to_owned(), Some(known.1))
}

/// `at`, moved back to the start of a character and into the text.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
