//! One look at one field: the key with its modifiers, and the values typed by the field.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::super::keys::one_of;
use super::super::problem::Span;
use super::super::spec::{Bound, Expr, Literal, Ordering, Pattern, Predicate, Test};
use super::super::yaml::{Entry, Key, Kind, Node, Scalar, Style};
use super::{Cx, suggest, taken, values};
use crate::record::fold::fold;
use crate::record::{FieldKind, FieldName, Number};

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
    ("in", false),
    ("new", false),
    ("known", false),
    ("unseen_for", false),
];

/// Facts that have few values. Another one is legal, because a file source may give its own, but
/// no producer makes it.
pub(in crate::rule) const WORDS: &[(&str, &[&str])] = &[
    ("kind", &["login", "app_launch", "session", "user_event"]),
    ("service", &["desktop", "app"]),
    ("phase", &["start", "end", "amended"]),
    ("outcome", &["success", "failure"]),
    ("failure_kind", &["credentials", "unknown_user", "locked", "policy", "network", "server", "unknown"]),
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
            (Self::Equals | Self::Exists | Self::FieldRef, _) | (_, FieldKind::Any) => true,
            (Self::Contains | Self::StartsWith | Self::EndsWith | Self::Regex, kind) => {
                matches!(kind, FieldKind::Text | FieldKind::Address | FieldKind::Time)
            }
            (Self::Cidr, kind) => kind == FieldKind::Address,
            (Self::Compare(_), kind) => {
                matches!(kind, FieldKind::Number | FieldKind::Time | FieldKind::Duration)
            }
        }
    }
}

/// A key taken apart.
struct Asked {
    field: FieldName,
    op: Op,
    /// The modifier of `op`, as spelt.
    word: String,
    all: bool,
    cased: bool,
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
    let test = test(cx, &asked, &scalars)?;
    let make = |test| {
        Expr::Is(Predicate {
            field: asked.field.clone(),
            test,
            cased: asked.cased,
            spelt: entry.key.text.clone(),
            span: Span { start: entry.key.span.start, end: entry.value.span.end.max(entry.key.span.end) },
        })
    };
    Some(if asked.all { Expr::All(one_each(test).into_iter().map(make).collect()) } else { make(test) })
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
        Test::Equals(_) | Test::Cidr(_) | Test::Compare(..) | Test::Exists(_) | Test::FieldRef(_) => {
            vec![test]
        }
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
    if cased && !(op.is_text() || (matches!(op, Op::Equals | Op::FieldRef) && is_text(kind))) {
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
        cx.fault(
            span,
            format!("the modifier `{word}` is not supported by this version yet"),
            if word == "in" { "list the values here" } else { "take it out" },
        );
        return;
    }
    let known: Vec<&str> = MODIFIERS.iter().filter(|(_, built)| *built).map(|(known, _)| *known).collect();
    let hint = match suggest::nearest(word, MODIFIERS.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    cx.fault(span, format!("unknown modifier `{word}`"), hint);
}

fn is_text(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Text | FieldKind::Any)
}

fn kind_words(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "a number",
        FieldKind::Bool => "true or false",
        FieldKind::Time => "a time",
        FieldKind::Duration => "a duration",
        FieldKind::Address => "an address",
        FieldKind::Any => "any value",
    }
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

/// The values, typed by what is asked of the field.
fn test(cx: &mut Cx<'_>, asked: &Asked, scalars: &[(&Scalar, &Node)]) -> Option<Test> {
    match asked.op {
        Op::Equals => {
            let literals: Vec<_> =
                scalars.iter().map(|(scalar, node)| literal(cx, asked, scalar, node)).collect();
            literals.into_iter().collect::<Option<Vec<_>>>().map(Test::Equals)
        }
        Op::Contains => needles(cx, asked, scalars).map(Test::Contains),
        Op::StartsWith => needles(cx, asked, scalars).map(Test::StartsWith),
        Op::EndsWith => needles(cx, asked, scalars).map(Test::EndsWith),
        Op::Regex => {
            let patterns: Vec<_> =
                scalars.iter().map(|(scalar, node)| pattern(cx, asked, scalar, node)).collect();
            patterns.into_iter().collect::<Option<Vec<_>>>().map(Test::Regex)
        }
        Op::Cidr => {
            let nets: Vec<_> = scalars.iter().map(|(scalar, node)| network(cx, scalar, node.span)).collect();
            nets.into_iter().collect::<Option<Vec<_>>>().map(Test::Cidr)
        }
        Op::Compare(ordering) => {
            let (scalar, node) = single(cx, asked, scalars)?;
            bound(cx, asked, scalar, node.span).map(|bound| Test::Compare(ordering, bound))
        }
        Op::Exists => {
            let (scalar, node) = single(cx, asked, scalars)?;
            let flag = scalar.boolean();
            if flag.is_none() {
                cx.fault(
                    node.span,
                    format!("`exists` takes `true` or `false`, not `{}`", scalar.text),
                    "`true`: present and not null; `false`: absent or null",
                );
            }
            flag.map(Test::Exists)
        }
        Op::FieldRef => {
            let (scalar, node) = single(cx, asked, scalars)?;
            cx.field(&scalar.text, node.span, &[]).map(Test::FieldRef)
        }
    }
}

fn single<'s>(
    cx: &mut Cx<'_>,
    asked: &Asked,
    scalars: &[(&'s Scalar, &'s Node)],
) -> Option<(&'s Scalar, &'s Node)> {
    if let [_, (_, second), ..] = scalars {
        cx.fault(
            second.span,
            format!("`{}` takes one value", asked.word),
            "for alternatives write a list of maps",
        );
        return None;
    }
    scalars.first().copied()
}

/// True, and told, for `true`, `false` and `null` where text is wanted.
fn bare_word(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, span: Span) -> bool {
    let boolean = scalar.boolean().is_some() && asked.field.kind() != FieldKind::Any;
    if boolean || scalar.is_null() {
        let word = &scalar.text;
        let what = if boolean { "a boolean" } else { "null" };
        let message = format!(
            "unquoted `{word}` is {what}, and `{}` is {}",
            asked.field,
            kind_words(asked.field.kind())
        );
        cx.fault(span, message, format!("to compare with the text write `'{word}'`"));
        return true;
    }
    false
}

/// One value that the field may equal.
fn literal(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, node: &Node) -> Option<Literal> {
    let (text, span) = (scalar.text.as_str(), node.span);
    if scalar.style == Style::Plain && matches!(text, "null" | "~") {
        return Some(Literal::Null);
    }
    let field = &asked.field;
    match field.kind() {
        FieldKind::Number => {
            let number = Number::parse(text).map(Literal::Number);
            if number.is_none() {
                no_number(cx, field, text, span);
            }
            number
        }
        FieldKind::Bool => {
            let flag = match text {
                "true" => Some(true),
                "false" => Some(false),
                _ => scalar.boolean(),
            };
            if flag.is_none() {
                cx.fault(
                    span,
                    format!("`{field}` is true or false, not `{text}`"),
                    "write `true` or `false`",
                );
            }
            flag.map(Literal::Bool)
        }
        FieldKind::Duration => length(cx, field, text, span).map(Literal::Length),
        FieldKind::Address => match text.parse::<IpAddr>() {
            Ok(address) => Some(Literal::Address(address.to_canonical())),
            Err(_) => text_literal(cx, asked, scalar, span),
        },
        FieldKind::Text | FieldKind::Time | FieldKind::Any => text_literal(cx, asked, scalar, span),
    }
}

fn text_literal(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, span: Span) -> Option<Literal> {
    if bare_word(cx, asked, scalar, span) {
        return None;
    }
    let (field, text) = (&asked.field, scalar.text.as_str());
    if text.contains('*') {
        let message =
            format!("`*` is an ordinary character here: `{field}` must be `{text}` letter for letter");
        cx.warn(
            span,
            message,
            format!("for a part of a text use `{field}|startswith`, `{field}|contains` or `{field}|re`"),
        );
    } else if field.kind() == FieldKind::Address && text.parse::<IpNet>().is_ok() {
        let message = format!("`{field}` is one address and never equals the network `{text}`");
        cx.warn(span, message, format!("write `{field}|cidr: {text}`"));
    }
    let words = WORDS.iter().find(|(name, _)| *name == field.as_str()).map_or(&[][..], |(_, words)| words);
    if !words.is_empty() && !text.contains('*') && !words.iter().any(|word| *word == fold(text)) {
        let hint = match suggest::nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? it is {}", one_of(words)),
            None => format!("it is {}", one_of(words)),
        };
        cx.warn(span, format!("`{field}` is never `{text}`"), hint);
    }
    Some(Literal::Text(folded(asked, text)))
}

fn folded(asked: &Asked, text: &str) -> String {
    if asked.cased { text.to_owned() } else { fold(text).into_owned() }
}

fn needles(cx: &mut Cx<'_>, asked: &Asked, scalars: &[(&Scalar, &Node)]) -> Option<Vec<String>> {
    let mut needles = Vec::new();
    for (scalar, node) in scalars {
        if bare_word(cx, asked, scalar, node.span) {
            continue;
        }
        if scalar.text.is_empty() {
            let message = format!("every text passes `{}` with an empty value", asked.word);
            cx.fault(
                node.span,
                message,
                format!("write the text to look for, or `{}|exists: true`", asked.field),
            );
            continue;
        }
        needles.push(folded(asked, &scalar.text));
    }
    (needles.len() == scalars.len()).then_some(needles)
}

fn pattern(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, node: &Node) -> Option<Pattern> {
    if bare_word(cx, asked, scalar, node.span) {
        return None;
    }
    match Pattern::new(&scalar.text, asked.cased) {
        Ok(pattern) => Some(pattern),
        Err(regex::Error::CompiledTooBig(limit)) => {
            let message = format!("this regular expression takes more than {limit} bytes once compiled");
            cx.fault(node.span, message, "make its repetitions smaller, or list the values");
            None
        }
        Err(error) => {
            let (reason, at) = regex_reason(&error.to_string());
            let span = match at.and_then(|at| scalar.text.char_indices().nth(at)) {
                Some((at, c)) => cx.inside(node, at, at + c.len_utf8()),
                None => node.span,
            };
            cx.fault(
                span,
                format!("this is no regular expression: {reason}"),
                "a character with a meaning is written with `\\` before it; put the expression in '…'",
            );
            None
        }
    }
}

/// The last line of the regex crate's message, and the character that its caret points at.
fn regex_reason(message: &str) -> (String, Option<usize>) {
    let reason = message.lines().last().unwrap_or(message);
    let reason = reason.strip_prefix("error: ").unwrap_or(reason).trim_end_matches('.').to_owned();
    // Of a pattern of one line: four spaces, the pattern; four spaces, spaces, carets.
    let lines: Vec<&str> = message.lines().collect();
    let at = match lines.as_slice() {
        [_, _, carets, _] => carets.find('^').and_then(|at| at.checked_sub(4)),
        _ => None,
    };
    (reason, at)
}

fn network(cx: &mut Cx<'_>, scalar: &Scalar, span: Span) -> Option<IpNet> {
    let text = scalar.text.as_str();
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(net) = net else {
        cx.fault(span, format!("`{text}` is no network"), "write it as `203.0.113.0/24` or `2001:db8::/32`");
        return None;
    };
    if net.trunc() != net {
        cx.warn(
            span,
            format!("`{text}` has bits set behind its prefix"),
            format!("it is read as `{}`", net.trunc()),
        );
    }
    Some(match net.trunc() {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).map_or(IpNet::V6(v6), IpNet::V4),
            None => IpNet::V6(v6),
        },
        net => net,
    })
}

fn bound(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, span: Span) -> Option<Bound> {
    let text = scalar.text.as_str();
    match asked.field.kind() {
        FieldKind::Duration => length(cx, &asked.field, text, span).map(Bound::Length),
        FieldKind::Time => {
            let at = values::instant(text).map(Bound::Time);
            if at.is_none() {
                cx.fault(span, format!("`{text}` is no instant"), "write it as `2026-01-05T09:00:00Z`");
            }
            at
        }
        FieldKind::Number | FieldKind::Any | FieldKind::Text | FieldKind::Bool | FieldKind::Address => {
            let number = Number::parse(text).map(Bound::Number);
            if number.is_none() {
                no_number(cx, &asked.field, text, span);
            }
            number
        }
    }
}

fn no_number(cx: &mut Cx<'_>, field: &FieldName, text: &str, span: Span) {
    let hint = match values::duration(text) {
        Ok(length) => format!("`{field}` is a plain number; in ms that is `{}`", length.0),
        Err(_) => "write digits, such as `300` or `1.5`".to_owned(),
    };
    cx.fault(span, format!("`{field}` is a number, and `{text}` is none"), hint);
}

fn length(cx: &mut Cx<'_>, field: &FieldName, text: &str, span: Span) -> Option<crate::record::Millis> {
    let length = values::duration(text);
    match &length {
        Ok(_) => {}
        Err(values::NoDuration::NoUnit) => {
            cx.fault(
                span,
                format!("`{field}: {text}` has no unit; a duration needs one"),
                format!("write `{text}s`, `{text}m` or `{text}h`"),
            );
        }
        Err(values::NoDuration::Unreadable) => {
            cx.fault(span, format!("`{text}` is no duration"), "write it as `90s`, `10m` or `1h30m`");
        }
    }
    length.ok()
}
