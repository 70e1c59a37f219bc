//! The words of a `condition`: `failed and not (office or vpn)`, `1 of sel_*`, `all of them`.
//!
//! `not` binds closest, then `and`, then `or`. `them` are the selections whose names do not begin
//! with `_`. A fault points at the word.

use super::super::problem::Span;
use super::super::spec::Expr;
use super::super::yaml::Node;
use super::{Cx, suggest};

/// What is said of an operator that other languages have.
const WORDS: &str = "the words are `and`, `or` and `not`";
/// Words of one condition; a page of them is a mistake.
const MAX_WORDS: usize = 500;
/// Parentheses inside each other.
const MAX_DEPTH: usize = 16;
/// Predicates of one expression once its selections are put in.
const MAX_PREDICATES: usize = 20_000;

/// A condition, selections by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rule) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Selection(usize),
}

/// True for text that could be a condition over `names`.
pub(super) fn looks_like(text: &str, names: &[&str]) -> bool {
    split(text).iter().all(|(_, word)| {
        let stem = word.trim_end_matches('*');
        matches!(*word, "and" | "or" | "not" | "of" | "1" | "all" | "them" | "(" | ")")
            || names.iter().any(|name| name.starts_with(stem))
    })
}

/// Reads the condition `text`, the value of `node`, over the selections `names`, and warns of those that
/// it does not use.
pub(super) fn parse(cx: &mut Cx<'_>, node: &Node, text: &str, names: &[(&str, Span)]) -> Option<Tree> {
    let (tree, used) = parse_used(cx, node, text, names)?;
    tell_unused(cx, names, &[used]);
    Some(tree)
}

/// Warns of selections that no condition uses.
pub(in crate::rule) fn tell_unused(cx: &mut Cx<'_>, names: &[(&str, Span)], used: &[Vec<bool>]) {
    for (number, (name, span)) in names.iter().enumerate() {
        if !name.starts_with('_') && !used.iter().any(|used| used[number]) {
            let message = format!("the condition does not use the selection `{name}`");
            cx.warn(*span, message, "use it, or take it out");
        }
    }
}

/// The condition, and which of the selections it uses.
pub(in crate::rule) fn parse_used(
    cx: &mut Cx<'_>,
    node: &Node,
    text: &str,
    names: &[(&str, Span)],
) -> Option<(Tree, Vec<bool>)> {
    let words = split(text);
    if words.len() > MAX_WORDS {
        cx.fault(
            node.span,
            format!("the condition has more than {MAX_WORDS} words"),
            "use `1 of name_*` or `all of name_*`",
        );
        return None;
    }
    let mut parser = Parser { cx, node, text, words, at: 0, depth: 0, names, used: vec![false; names.len()] };
    let tree = parser.any()?;
    if parser.at < parser.words.len() {
        parser.unexpected();
        return None;
    }
    Some((tree, parser.used))
}

/// Puts the selections into the condition.
pub(in crate::rule) fn build(cx: &mut Cx<'_>, tree: &Tree, selections: &[Expr], span: Span) -> Option<Expr> {
    let sizes: Vec<usize> = selections.iter().map(size).collect();
    if weigh(tree, &sizes) > MAX_PREDICATES {
        cx.fault(
            span,
            format!("the condition looks at fields more than {MAX_PREDICATES} times"),
            "name each selection once",
        );
        return None;
    }
    Some(put(tree, selections))
}

fn put(tree: &Tree, selections: &[Expr]) -> Expr {
    let each = |parts: &[Tree]| parts.iter().map(|part| put(part, selections)).collect();
    match tree {
        Tree::All(parts) => Expr::All(each(parts)),
        Tree::Any(parts) => Expr::Any(each(parts)),
        Tree::Not(part) => Expr::Not(Box::new(put(part, selections))),
        Tree::Selection(number) => selections.get(*number).cloned().unwrap_or(Expr::Any(Vec::new())),
    }
}

fn size(expr: &Expr) -> usize {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().map(size).sum(),
        Expr::Not(part) => size(part),
        Expr::Is(_) => 1,
    }
}

fn weigh(tree: &Tree, sizes: &[usize]) -> usize {
    match tree {
        Tree::All(parts) | Tree::Any(parts) => parts.iter().map(|part| weigh(part, sizes)).sum(),
        Tree::Not(part) => weigh(part, sizes),
        Tree::Selection(number) => sizes.get(*number).copied().unwrap_or(0),
    }
}

/// Whether `name` is `pattern`, in which `*` is any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    while let Some((part, more)) = rest.split_once('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
        rest = more;
    }
    name.ends_with(rest)
}

/// Words and parentheses with the byte where each begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        let single = matches!(c, '(' | ')' | '|');
        if single || c.is_whitespace() {
            words.extend(start.take().map(|start| (start, &text[start..at])));
        } else if start.is_none() {
            start = Some(at);
        }
        if single {
            words.push((at, &text[at..=at]));
        }
    }
    words.extend(start.map(|start| (start, &text[start..])));
    words
}

struct Parser<'a, 'cx, 'o> {
    cx: &'cx mut Cx<'o>,
    node: &'a Node,
    text: &'a str,
    words: Vec<(usize, &'a str)>,
    at: usize,
    depth: usize,
    names: &'a [(&'a str, Span)],
    used: Vec<bool>,
}

impl<'a> Parser<'a, '_, '_> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(|(_, word)| *word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Option<Tree> {
        let mut parts = vec![self.all()?];
        while self.eat("or") {
            parts.push(self.all()?);
        }
        Some(if parts.len() == 1 { parts.swap_remove(0) } else { Tree::Any(parts) })
    }

    fn all(&mut self) -> Option<Tree> {
        let mut parts = vec![self.not()?];
        while self.eat("and") {
            parts.push(self.not()?);
        }
        Some(if parts.len() == 1 { parts.swap_remove(0) } else { Tree::All(parts) })
    }

    fn not(&mut self) -> Option<Tree> {
        let mut negated = false;
        while self.eat("not") {
            negated = !negated;
        }
        let part = self.atom()?;
        Some(if negated { Tree::Not(Box::new(part)) } else { part })
    }

    fn atom(&mut self) -> Option<Tree> {
        let Some(word) = self.peek() else {
            self.unexpected();
            return None;
        };
        if word == "(" {
            return self.parentheses();
        }
        let of = self.words.get(self.at + 1).map_or("", |(_, word)| *word);
        if of.eq_ignore_ascii_case("of") {
            return self.quantified(word, of);
        }
        if matches!(word, ")" | "|" | "and" | "or" | "of") {
            self.unexpected();
            return None;
        }
        let tree = self.selection(word);
        self.at += 1;
        tree
    }

    fn parentheses(&mut self) -> Option<Tree> {
        let open = self.at;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.fault(
                open,
                format!("parentheses are more than {MAX_DEPTH} deep"),
                "name a part as a selection",
            );
            return None;
        }
        self.at += 1;
        let tree = self.any()?;
        if !self.eat(")") {
            if self.at < self.words.len() {
                self.unexpected();
            } else {
                self.fault(open, "this `(` is never closed", "add `)`");
            }
            return None;
        }
        self.depth -= 1;
        Some(tree)
    }

    /// `1 of sel_*`, `all of them`.
    fn quantified(&mut self, word: &'a str, of: &str) -> Option<Tree> {
        let lower = word.to_ascii_lowercase();
        if matches!(lower.as_str(), "all" | "1" | "any") && (lower != word || of != "of") {
            let pattern = self.words.get(self.at + 2).map_or("them", |(_, pattern)| *pattern);
            let hint = format!("the words are in lower case: `{lower} of {pattern}`");
            self.fault(self.at, format!("`{word} {of}` is not understood"), hint);
            return None;
        }
        let every = match word {
            "all" => true,
            "1" | "any" => false,
            _ => {
                self.fault(self.at, format!("`{word} {of}` is not understood"), "write `1 of` or `all of`");
                return None;
            }
        };
        self.at += 2;
        let Some(pattern) = self.peek() else {
            self.unexpected();
            return None;
        };
        let meant = |name: &str| if pattern == "them" { !name.starts_with('_') } else { fits(pattern, name) };
        let found: Vec<usize> = (0..self.names.len()).filter(|number| meant(self.names[*number].0)).collect();
        if found.is_empty() {
            let hint = self.nearest(pattern.trim_end_matches('*'));
            self.fault(self.at, format!("no selection is meant by `{pattern}`"), hint);
            return None;
        }
        self.at += 1;
        for number in &found {
            self.used[*number] = true;
        }
        let parts = found.into_iter().map(Tree::Selection).collect();
        Some(if every { Tree::All(parts) } else { Tree::Any(parts) })
    }

    fn selection(&mut self, word: &str) -> Option<Tree> {
        if let Some(number) = self.names.iter().position(|(name, _)| *name == word) {
            self.used[number] = true;
            return Some(Tree::Selection(number));
        }
        let hint = match word {
            "AND" | "OR" | "NOT" | "&&" | "||" | "!" => WORDS.to_owned(),
            "them" => "write `1 of them` or `all of them`".to_owned(),
            _ if word.contains('*') => format!("write `1 of {word}` or `all of {word}`"),
            _ => self.nearest(word),
        };
        self.fault(self.at, format!("no selection is called `{word}`"), hint);
        None
    }

    fn nearest(&self, word: &str) -> String {
        let names: Vec<&str> = self.names.iter().map(|(name, _)| *name).collect();
        match suggest::nearest(word, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "beside `condition` there is no selection; add one: `name: {field: value}`".to_owned()
            }
            None => format!("selections: {}", names.join(", ")),
        }
    }

    fn unexpected(&mut self) {
        match self.peek() {
            Some("|") => self.fault(self.at, "`|` does not count here", self.cx.language.count),
            Some(word @ ("AND" | "OR" | "NOT" | "&&" | "||" | "!")) => {
                self.fault(self.at, format!("`{word}` cannot stand here"), WORDS);
            }
            Some(word) => self.fault(
                self.at,
                format!("`{word}` cannot stand here"),
                "join names of selections with `and` or `or`, and close what you open",
            ),
            None => self.fault(
                self.words.len().saturating_sub(1),
                "the condition stops too early",
                "a name of a selection is missing at its end",
            ),
        }
    }

    fn fault(&mut self, word: usize, message: impl Into<String>, hint: impl Into<String>) {
        let (start, end) =
            self.words.get(word).map_or((0, self.text.len()), |(at, word)| (*at, at + word.len()));
        let span = self.cx.inside(self.node, start, end);
        self.cx.fault(span, message, hint);
    }
}
