//! One look at one field: the key with its modifiers; its values are `literal`'s.

use super::super::problem::Span;
use super::super::spec::{Expr, Ordering, Predicate, Test};
use super::super::yaml::{Entry, Key, Kind};
use super::literal::{kind_words, test};
use super::{Cx, suggest, taken};
use crate::record::{FieldKind, FieldName};

/// The modifiers of the language, and whether this version runs them.
pub(in crate::rule) const MODIFIERS: &[(&str, bool)] = &[
    ("contains", true),
    ("startswith", true),
    ("endswith", true),
    ("all", true),
    ("re", true),
    ("cidr", true),
    ("gt", true),
    ("gte", true),
    ("lt", true),
    ("lte", true),
    ("exists", true),
    ("cased", true),
    ("fieldref", true),
    ("in", true),
    ("new", true),
    ("known", true),
    ("unseen_for", true),
];

/// What a field is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rule) enum Op {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
    Cidr,
    Compare(Ordering),
    Exists,
    FieldRef,
    In,
    New,
    Known,
    UnseenFor,
}

impl Op {
    /// What a modifier asks; none for `all`, `cased` and what is unknown.
    pub fn of(modifier: &str) -> Option<Self> {
        Some(match modifier {
            "contains" => Self::Contains,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "re" => Self::Regex,
            "cidr" => Self::Cidr,
            "gt" => Self::Compare(Ordering::Above),
            "gte" => Self::Compare(Ordering::AtLeast),
            "lt" => Self::Compare(Ordering::Below),
            "lte" => Self::Compare(Ordering::AtMost),
            "exists" => Self::Exists,
            "fieldref" => Self::FieldRef,
            "in" => Self::In,
            "new" => Self::New,
            "known" => Self::Known,
            "unseen_for" => Self::UnseenFor,
            _ => return None,
        })
    }

    /// True where the field's text is looked into.
    fn is_text(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith | Self::Regex)
    }

    /// True where a field of this kind can be asked so.
    pub fn fits(self, kind: FieldKind) -> bool {
        match (self, kind) {
            (Self::Equals | Self::Exists | Self::FieldRef | Self::New | Self::Known | Self::UnseenFor, _)
            | (_, FieldKind::Any) => true,
            (Self::Contains | Self::StartsWith | Self::EndsWith | Self::Regex, kind) => {
                matches!(kind, FieldKind::Text | FieldKind::Address | FieldKind::Time)
            }
            (Self::Cidr, kind) => kind == FieldKind::Address,
            (Self::In, kind) => {
                matches!(kind, FieldKind::Text | FieldKind::Address | FieldKind::Number)
            }
            (Self::Compare(_), kind) => {
                matches!(kind, FieldKind::Number | FieldKind::Time | FieldKind::Duration)
            }
        }
    }
}

/// A key taken apart.
pub(super) struct Asked {
    pub field: FieldName,
    pub op: Op,
    /// The modifier of `op`, as spelt.
    pub word: String,
    pub all: bool,
    pub cased: bool,
}

/// The predicate in an entry of an expression. `others` are words that could have been meant.
pub(super) fn predicate(cx: &mut Cx<'_>, entry: &Entry, others: &[&str]) -> Option<Expr> {
    let asked = asked(cx, &entry.key, others)?;
    let nodes = match &entry.value.kind {
        Kind::List(nodes) => nodes.as_slice(),
        Kind::Scalar(_) => std::slice::from_ref(&entry.value),
        Kind::Map(_) => {
            cx.fault(
                entry.value.span,
                format!("`{}` holds a map, and a field holds values", entry.key.text),
                "write one value, or a list of them",
            );
            return None;
        }
    };
    if nodes.is_empty() {
        cx.fault(
            entry.value.span,
            format!("`{}` is an empty list, which no record can meet", entry.key.text),
            "list a value, or take the key out",
        );
        return None;
    }
    let mut scalars = Vec::new();
    for node in nodes {
        match node.scalar() {
            Some(scalar) if scalar.is_null() && scalar.text.is_empty() => {
                let at = if node.span.start == node.span.end { taken::place(entry) } else { node.span };
                cx.fault(
                    at,
                    format!("`{}` has no value", entry.key.text),
                    "write `''` for empty text, or `null` for null or absent",
                );
            }
            Some(scalar) => scalars.push((scalar, node)),
            None => cx.fault(
                node.span,
                format!("`{}` lists {}, and a field holds values", entry.key.text, node.what()),
                "list single values",
            ),
        }
    }
    if scalars.len() < nodes.len() {
        return None;
    }
    let (test, negated) = test(cx, &asked, &scalars)?;
    let make = |test| {
        Expr::Is(Predicate {
            field: asked.field.clone(),
            test,
            cased: asked.cased,
            spelt: entry.key.text.clone(),
            span: Span { start: entry.key.span.start, end: entry.value.span.end.max(entry.key.span.end) },
        })
    };
    let expr = if asked.all { Expr::All(one_each(test).into_iter().map(make).collect()) } else { make(test) };
    Some(if negated { Expr::Not(Box::new(expr)) } else { expr })
}

/// A test of several values as one test a value.
fn one_each(test: Test) -> Vec<Test> {
    match test {
        Test::Contains(needles) => needles.into_iter().map(|needle| Test::Contains(vec![needle])).collect(),
        Test::StartsWith(needles) => {
            needles.into_iter().map(|needle| Test::StartsWith(vec![needle])).collect()
        }
        Test::EndsWith(needles) => needles.into_iter().map(|needle| Test::EndsWith(vec![needle])).collect(),
        Test::Regex(patterns) => patterns.into_iter().map(|pattern| Test::Regex(vec![pattern])).collect(),
        Test::Equals(_)
        | Test::Cidr(_)
        | Test::Compare(..)
        | Test::Exists(_)
        | Test::FieldRef(_)
        | Test::In(_)
        | Test::There(_)
        | Test::Refers(..)
        | Test::Clock(..)
        | Test::Filled(_)
        | Test::Past(..) => vec![test],
    }
}

/// Takes a key apart and tells of modifiers that are unknown, do not fit the field or each other.
fn asked(cx: &mut Cx<'_>, key: &Key, others: &[&str]) -> Option<Asked> {
    let mut parts = parts_of(cx, key).into_iter();
    let (name, name_span) = parts.next()?;
    let field = cx.field(&name, name_span, others);
    let mut asked = (Op::Equals, String::new());
    let (mut all, mut cased, mut good) = (false, false, true);
    for (word, span) in parts {
        match (Op::of(&word), word.as_str()) {
            (Some(op), _) if asked.0 == Op::Equals => asked = (op, word),
            (Some(_), _) => {
                cx.fault(
                    span,
                    format!("`{}` and `{word}` do not go together", asked.1),
                    "one key asks one thing; write two keys",
                );
                good = false;
            }
            (None, "all") => all = true,
            (None, "cased") => cased = true,
            (None, _) => {
                unknown_modifier(cx, &word, span);
                good = false;
            }
        }
    }
    let (op, word) = asked;
    let field = field?;
    let kind = field.kind();
    if !op.fits(kind) {
        cx.fault(
            key.span,
            format!("`{word}` does not fit `{field}`, which is {}", kind_words(kind)),
            instead(op, kind),
        );
        return None;
    }
    if all && !op.is_text() {
        cx.fault(
            key.span,
            "`all` asks that a text holds several others",
            "use it with contains, startswith, endswith or re",
        );
        return None;
    }
    if cased && !(op.is_text() || (matches!(op, Op::Equals | Op::FieldRef | Op::In) && is_text(kind))) {
        cx.fault(key.span, "`cased` only means something where text is compared", "take `cased` out");
        return None;
    }
    good.then_some(Asked { field, op, word, all, cased })
}

/// The field and the modifiers of a key, each with its place.
fn parts_of(cx: &Cx<'_>, key: &Key) -> Vec<(String, Span)> {
    let as_spelt = cx.source.get(key.span.start..key.span.end) == Some(key.text.as_str());
    let mut at = 0;
    key.text
        .split('|')
        .map(|part| {
            let start = key.span.start + at;
            at += part.len() + 1;
            (part.to_owned(), if as_spelt { Span { start, end: start + part.len() } } else { key.span })
        })
        .collect()
}

fn unknown_modifier(cx: &mut Cx<'_>, word: &str, span: Span) {
    if MODIFIERS.iter().any(|(known, built)| *known == word && !built) {
        cx.fault(span, format!("the modifier `{word}` is not supported by this version yet"), "take it out");
        return;
    }
    let known: Vec<&str> = MODIFIERS.iter().filter(|(_, built)| *built).map(|(known, _)| *known).collect();
    let meant = suggest::comparison(word).filter(|ours| known.contains(ours));
    let hint = match meant.or_else(|| suggest::nearest(word, MODIFIERS.iter().map(|(known, _)| *known))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    cx.fault(span, format!("unknown modifier `{word}`"), hint);
}

fn is_text(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Text | FieldKind::Any)
}

/// What to use instead of a modifier that does not fit the field.
fn instead(op: Op, kind: FieldKind) -> &'static str {
    match (op, kind) {
        (Op::Compare(_), FieldKind::Address) => "use `cidr` for a range of addresses",
        (Op::Compare(_), FieldKind::Bool) => "write `true` or `false` without a modifier",
        (Op::Compare(_), _) => {
            "list the values, or use `startswith` or `re`; `gt` and its kin are for numbers, times and durations"
        }
        (Op::Cidr, _) => "`cidr` is for addresses: public_ip, client_ip, machine_ip, source_ip, virtual_ip",
        (_, FieldKind::Number | FieldKind::Duration) => {
            "use `gt`, `gte`, `lt` or `lte`, or write the value without a modifier"
        }
        (_, FieldKind::Bool) => "write `true` or `false` without a modifier",
        (_, _) => "write the value without a modifier",
    }
}
