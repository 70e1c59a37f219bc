//! The values of a predicate, typed by the field and by what is asked of it.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::super::pattern::Pattern;
use super::super::problem::Span;
use super::super::spec::{Bound, Literal, Past, Test};
use super::super::yaml::{Node, Scalar, Style};
use super::predicate::{Asked, Op};
use super::{Cx, suggest, values};
use crate::record::fact;
use crate::record::fold::fold;
use crate::record::{FieldKind, FieldName, Millis, Number};

/// The values, typed by what is asked of the field; true where the contrary is asked.
pub(super) fn test(cx: &mut Cx<'_>, asked: &Asked, scalars: &[(&Scalar, &Node)]) -> Option<(Test, bool)> {
    match asked.op {
        Op::New => past_flag(cx, asked, scalars, Past::New),
        Op::Known => past_flag(cx, asked, scalars, Past::Known),
        Op::UnseenFor => {
            let (scalar, node) = single(cx, asked, scalars)?;
            let lasts = length(cx, &asked.word, &scalar.text, node.span)?;
            if lasts == Millis::ZERO {
                cx.fault(node.span, "`unseen_for` cannot be 0", "write a length such as `45d`");
                return None;
            }
            Some((Test::Past(Past::Unseen(lasts), cx.by.clone()), false))
        }
        Op::Equals
        | Op::Contains
        | Op::StartsWith
        | Op::EndsWith
        | Op::Regex
        | Op::Cidr
        | Op::Compare(_)
        | Op::Exists
        | Op::FieldRef
        | Op::In => test_of_value(cx, asked, scalars).map(|test| (test, false)),
    }
}

/// `new` and `known`: false asks for the contrary.
fn past_flag(
    cx: &mut Cx<'_>,
    asked: &Asked,
    scalars: &[(&Scalar, &Node)],
    past: Past,
) -> Option<(Test, bool)> {
    let (scalar, node) = single(cx, asked, scalars)?;
    let flag = scalar.boolean();
    if flag.is_none() {
        let word = &asked.word;
        let hint = if past == Past::New {
            "`true`: no success had the value before; `false`: one had"
        } else {
            "`true`: a success had the value a day before or earlier; `false`: none had"
        };
        cx.fault(node.span, format!("`{word}` takes `true` or `false`, not `{}`", scalar.text), hint);
    }
    flag.map(|flag| (Test::Past(past, cx.by.clone()), !flag))
}

fn test_of_value(cx: &mut Cx<'_>, asked: &Asked, scalars: &[(&Scalar, &Node)]) -> Option<Test> {
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
        Op::In => {
            let known: Vec<bool> =
                scalars.iter().map(|(scalar, node)| cx.list(&scalar.text, node.span)).collect();
            if asked.field.is("user") {
                for (scalar, node) in scalars {
                    doubt_list(cx, &scalar.text, node.span);
                }
            }
            let names = || scalars.iter().map(|(scalar, _)| scalar.text.clone()).collect();
            known.into_iter().all(|known| known).then(|| Test::In(names()))
        }
        // `test` has dealt with them.
        Op::New | Op::Known | Op::UnseenFor => None,
    }
}

/// Warns of a list for `user` whose values are accounts with their domains, as exports have them.
fn doubt_list(cx: &mut Cx<'_>, name: &str, span: Span) {
    let Some((_, value)) = cx.options.with_domain.iter().find(|(list, _)| list == name) else { return };
    let message = format!(
        "`user` is the account without its domain, and the list `{name}` has `{value}`, which it never is"
    );
    cx.warn(span, message, format!("take the domains out of the list, or ask `user_name|in: {name}`"));
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
        FieldKind::Duration => length(cx, field.as_str(), text, span).map(Literal::Length),
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
    let is_account =
        |text: &str| if asked.cased { fact::user(text) == text } else { fact::user(text) == fold(text) };
    if field.is("user") && !is_account(text) {
        let hint = format!("write `{}`, or ask `user_name`, which is as the record has it", fact::user(text));
        cx.warn(
            span,
            format!("`user` is never `{text}`: it is the account in lower case, without its domain"),
            hint,
        );
    }
    if !text.contains('*')
        && let Some((message, hint)) = suggest::never(field, text)
    {
        cx.warn(span, message, hint);
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
        if asked.field.is("user") && scalar.text.contains(['\\', '@']) {
            let hint = format!("ask `user_name|{}`, which is as the record has it", asked.word);
            cx.warn(
                node.span,
                format!("`user` is the account without its domain: it has no `{}`", scalar.text),
                hint,
            );
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
            let hint = if reason.ends_with("not supported") {
                "give what must not match a selection of its own: `condition: this and not that`"
            } else {
                "for a character such as `(` itself write `\\(`, and put the expression in single quotes: '…'"
            };
            cx.fault(span, format!("this is no regular expression: {reason}"), hint);
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
        IpNet::V4(v4) => IpNet::V4(v4),
        IpNet::V6(v6) => IpNet::V6(v6),
    })
}

fn bound(cx: &mut Cx<'_>, asked: &Asked, scalar: &Scalar, span: Span) -> Option<Bound> {
    let text = scalar.text.as_str();
    match asked.field.kind() {
        FieldKind::Duration => length(cx, asked.field.as_str(), text, span).map(Bound::Length),
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
    if let Some((message, hint)) = values::out_of_range(text) {
        cx.fault(span, message, hint);
        return;
    }
    let hint = match values::duration(text) {
        Ok(length) => format!("`{field}` is a plain number; in ms that is `{}`", length.0),
        Err(_) => "write digits, such as `300` or `1.5`".to_owned(),
    };
    cx.fault(span, format!("`{field}` is a number, and `{text}` is none"), hint);
}

fn length(cx: &mut Cx<'_>, name: &str, text: &str, span: Span) -> Option<Millis> {
    let length = values::duration(text);
    match &length {
        Ok(_) => {}
        Err(values::NoDuration::NoUnit) => {
            cx.fault(
                span,
                format!("`{name}: {text}` has no unit; a duration needs one"),
                format!("write `{text}s`, `{text}m` or `{text}h`"),
            );
        }
        Err(values::NoDuration::Unreadable) => {
            cx.fault(span, format!("`{text}` is no duration"), "write it as `90s`, `10m` or `1h30m`");
        }
    }
    length.ok()
}

/// What a field of this kind is, in words.
pub(super) fn kind_words(kind: FieldKind) -> &'static str {
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
