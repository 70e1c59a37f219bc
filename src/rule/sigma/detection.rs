//! `detection:` to an expression: selections and the condition over them.
//!
//! A map is AND, a list of maps is OR, values of a list are OR unless `all` says otherwise, and what
//! stands without a field is a keyword.

use super::super::condition::address;
use super::super::decode::{Cx, selection, values};
use super::super::pattern::Pattern;
use super::super::problem::Span;
use super::super::spec::{Bound, ClockPart, Expr, Filling, Literal, Ordering, Part, Predicate, Test};
use super::super::yaml::{Entry, Kind, Node, Scalar, Style};
use super::asked::{Asked, Op};
use super::transform;
use super::value::{Glob, Piece};
use crate::record::fold::fold;
use crate::record::{FieldName, Number};

/// The key that holds the condition.
const CONDITION: &str = "condition";
/// A key of older documents, beside a count in the condition.
const TIMEFRAME: &str = "timeframe";

/// The expression of a `detection:`, or of a `filter:`, whose keys of `others` are none of its
/// selections. `name` is what it is called.
pub(super) fn expression(cx: &mut Cx<'_>, entry: &Entry, others: &[&str]) -> Option<Expr> {
    let name = &entry.key.text;
    let Some(entries) = entry.value.map() else {
        let message =
            format!("`{name}` is a map of selections and a `condition`, not {}", entry.value.what());
        cx.fault(entry.key.span, message, "write the selections below it, and `condition: selection`");
        return None;
    };
    let mut selections = Vec::new();
    let mut condition = None;
    for one in entries {
        match one.key.text.as_str() {
            CONDITION => condition = Some(one),
            TIMEFRAME => cx.warn(
                one.key.span,
                "`timeframe` is not read: a document without a correlation looks at one record at a time",
                "write a document with a `correlation` and its `timespan`",
            ),
            key if others.contains(&key) => {}
            _ => selections.push((one, of_selection(cx, &one.value, one.key.span))),
        }
    }
    let Some(condition) = condition else {
        let hint = match selections.first() {
            Some((one, _)) => format!("add `condition: {}`", one.key.text),
            None => "add a selection and `condition: selection`".to_owned(),
        };
        cx.fault(entry.key.span, format!("`{name}` has no `condition`"), hint);
        return None;
    };
    let names: Vec<(&str, Span)> =
        selections.iter().map(|(one, _)| (one.key.text.as_str(), one.key.span)).collect();
    let before = cx.problems.errors();
    let texts = conditions(cx, condition);
    let trees: Vec<_> =
        texts.into_iter().filter_map(|(node, text)| selection::parse_used(cx, node, text, &names)).collect();
    if cx.problems.errors() > before {
        return None;
    }
    let used: Vec<Vec<bool>> = trees.iter().map(|(_, used)| used.clone()).collect();
    selection::tell_unused(cx, &names, &used);
    let parts = selections.into_iter().map(|(_, expr)| expr).collect::<Option<Vec<Expr>>>()?;
    let build = |cx: &mut Cx<'_>, tree| selection::build(cx, tree, &parts, condition.value.span);
    let any = trees.iter().map(|(tree, _)| build(cx, tree)).collect::<Option<Vec<Expr>>>()?;
    (!any.is_empty()).then(|| join(any, Expr::Any))
}

/// The texts of a condition: one, or several of which any may hold.
fn conditions<'n>(cx: &mut Cx<'_>, entry: &'n Entry) -> Vec<(&'n Node, &'n str)> {
    let nodes = match &entry.value.kind {
        Kind::List(nodes) if !nodes.is_empty() => nodes.as_slice(),
        Kind::Scalar(_) | Kind::Map(_) | Kind::List(_) => std::slice::from_ref(&entry.value),
    };
    let mut texts = Vec::new();
    for node in nodes {
        match node.scalar().filter(|scalar| !scalar.text.trim().is_empty()) {
            Some(scalar) => texts.push((node, scalar.text.as_str())),
            None => cx.fault(
                node.span,
                format!("`condition` is text such as `selection and not filter`, not {}", node.what()),
                "join the names of selections with and, or, not",
            ),
        }
    }
    texts
}

/// One selection; `at` is where it is named.
fn of_selection(cx: &mut Cx<'_>, node: &Node, at: Span) -> Option<Expr> {
    match &node.kind {
        Kind::Map(entries) if entries.is_empty() => nothing(cx, at),
        Kind::Map(entries) => {
            let parts: Vec<Option<Expr>> = entries.iter().map(|entry| item(cx, entry)).collect();
            Some(join(parts.into_iter().collect::<Option<Vec<_>>>()?, Expr::All))
        }
        Kind::List(nodes) if nodes.is_empty() => nothing(cx, at),
        Kind::List(nodes) => {
            let keywords: Vec<&Node> = nodes.iter().filter(|node| node.scalar().is_some()).collect();
            let mut parts = Vec::new();
            if !keywords.is_empty() {
                parts.push(values(cx, &Asked::keyword(at), &keywords));
            }
            let others = nodes.iter().filter(|node| node.scalar().is_none());
            parts.extend(others.map(|node| of_selection(cx, node, node.span)));
            Some(join(parts.into_iter().collect::<Option<Vec<_>>>()?, Expr::Any))
        }
        Kind::Scalar(scalar) if scalar.text.is_empty() => nothing(cx, at),
        Kind::Scalar(_) => values(cx, &Asked::keyword(at), &[node]),
    }
}

fn nothing(cx: &mut Cx<'_>, at: Span) -> Option<Expr> {
    cx.fault(at, "this selection is empty", "name a field and a value, or take it out");
    None
}

/// One key of a selection.
fn item(cx: &mut Cx<'_>, entry: &Entry) -> Option<Expr> {
    let mut asked = Asked::of(cx, &entry.key)?;
    asked.span.end = entry.value.span.end.max(asked.span.end);
    let nodes: Vec<&Node> = match &entry.value.kind {
        Kind::List(nodes) => nodes.iter().collect(),
        Kind::Scalar(_) => vec![&entry.value],
        Kind::Map(_) => {
            let message = format!("`{}` holds a map, and a field holds values", entry.key.text);
            cx.fault(entry.key.span, message, "name nested fields with dots: `outer.inner: value`");
            return None;
        }
    };
    if nodes.is_empty() {
        let message = format!("`{}` is an empty list, which no record can meet", entry.key.text);
        cx.fault(entry.key.span, message, "list a value, or take it out");
        return None;
    }
    values(cx, &asked, &nodes)
}

/// What a field must be for the values at `nodes`.
fn values(cx: &mut Cx<'_>, asked: &Asked, nodes: &[&Node]) -> Option<Expr> {
    let mut tests = Vec::new();
    for node in nodes {
        let Some(scalar) = node.scalar() else {
            cx.fault(
                node.span,
                format!("a field is asked for values, and this is {}", node.what()),
                "list single values",
            );
            tests.push(None);
            continue;
        };
        tests.push(of_value(cx, asked, node, scalar));
    }
    let tests = tests.into_iter().collect::<Option<Vec<Vec<Test>>>>()?;
    let is = |test: Test| {
        Expr::Is(Predicate {
            field: asked.field.clone(),
            cased: asked.cased || (asked.op == Op::Regex && !asked.flags.contains('i')),
            test,
            spelt: asked.spelt.clone(),
            span: asked.span,
        })
    };
    let any = |tests: Vec<Test>| join(merged(tests).into_iter().map(is).collect(), Expr::Any);
    if asked.neq {
        // What is not there is not unequal: `not` says that.
        let equal = any(tests.into_iter().flatten().collect());
        return Some(Expr::All(vec![is(Test::Exists(true)), Expr::Not(Box::new(equal))]));
    }
    Some(if asked.all {
        join(tests.into_iter().map(any).collect(), Expr::All)
    } else {
        any(tests.into_iter().flatten().collect())
    })
}

fn join(mut parts: Vec<Expr>, all: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() == 1 { parts.swap_remove(0) } else { all(parts) }
}

/// Tests of one kind as one test of several values; kinds stand in the order of their first.
fn merged(tests: Vec<Test>) -> Vec<Test> {
    let mut list: Vec<Test> = Vec::new();
    for test in tests {
        let mut left = Some(test);
        for known in &mut list {
            left = left.and_then(|test| absorb(known, test));
        }
        list.extend(left);
    }
    list
}

/// Puts `test` into `known` if it is of the same kind; else it comes back.
fn absorb(known: &mut Test, test: Test) -> Option<Test> {
    match (known, test) {
        (Test::Equals(known), Test::Equals(more))
            if known.iter().chain(&more).all(|one| same_kind(one, &known[0])) =>
        {
            known.extend(more);
            None
        }
        (Test::Contains(known), Test::Contains(more))
        | (Test::StartsWith(known), Test::StartsWith(more))
        | (Test::EndsWith(known), Test::EndsWith(more)) => {
            known.extend(more);
            None
        }
        (Test::Regex(known), Test::Regex(more)) => {
            known.extend(more);
            None
        }
        (Test::Cidr(known), Test::Cidr(more)) => {
            known.extend(more);
            None
        }
        (Test::Clock(part, ordering, known), Test::Clock(other, another, more))
            if (*part, *ordering) == (other, another) =>
        {
            known.extend(more);
            None
        }
        (_, test) => Some(test),
    }
}

fn same_kind(one: &Literal, other: &Literal) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// The tests of which any holds for the value.
fn of_value(cx: &mut Cx<'_>, asked: &Asked, node: &Node, scalar: &Scalar) -> Option<Vec<Test>> {
    let (text, span) = (scalar.text.as_str(), node.span);
    if let Some(part) = asked.clock {
        let ordering = match asked.op {
            Op::Compare(ordering) => Some(ordering),
            Op::Text(_) | Op::Regex | Op::Cidr | Op::Exists => None,
        };
        let number = number(cx, asked, text, span)?;
        tell_no_time(cx, asked, (part, ordering, number), span);
        return Some(vec![Test::Clock(part, ordering, vec![number])]);
    }
    match asked.op {
        Op::Exists => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" => Some(vec![Test::There(true)]),
            "false" | "no" => Some(vec![Test::There(false)]),
            _ => {
                cx.fault(
                    span,
                    format!("`exists` is true or false, not `{text}`"),
                    format!("write `{}: true`", asked.spelt),
                );
                None
            }
        },
        Op::Compare(ordering) => {
            let number = number(cx, asked, text, span)?;
            Some(vec![Test::Compare(ordering, Bound::Number(number))])
        }
        Op::Cidr if asked.expand && text.contains('%') => {
            let (before, list, after) = placeholder(cx, text, span)?;
            if before.is_empty() && after.is_empty() {
                return Some(vec![Test::In(vec![list])]);
            }
            cx.fault(
                span,
                "a list of networks stands alone",
                format!("write `%{list}%` and nothing beside it"),
            );
            None
        }
        Op::Cidr => network(cx, text, span),
        Op::Regex => regex(cx, asked, text, span),
        Op::Text(part) if asked.fieldref => {
            if text.is_empty() {
                cx.fault(span, "`fieldref` names another field", "write its name");
                return None;
            }
            Some(vec![Test::Refers(part, FieldName::spelt(text))])
        }
        Op::Text(part) if asked.expand && text.contains('%') => filled(cx, asked, part, (text, span)),
        Op::Text(part) => of_text(cx, asked, part, (scalar, span)),
    }
}

fn of_text(cx: &mut Cx<'_>, asked: &Asked, part: Part, (scalar, span): (&Scalar, Span)) -> Option<Vec<Test>> {
    let text = scalar.text.as_str();
    let plain = scalar.style == Style::Plain && part == Part::Whole && asked.transforms.is_empty();
    if plain && !asked.field.is_line() {
        if scalar.is_null() {
            return Some(vec![Test::Equals(vec![Literal::Null])]);
        }
        if let Some(flag) = scalar.boolean() {
            return Some(vec![Test::Equals(vec![Literal::Bool(flag)])]);
        }
        if let Some(number) = Number::parse(text) {
            return Some(vec![Test::Equals(vec![Literal::Number(number)])]);
        }
    }
    if scalar.is_null() && !text.is_empty() && !plain && !asked.field.is_line() {
        let message = format!("`{}` looks for the text `{text}`: what is null has no text", asked.spelt);
        let hint = format!("write `{}: null`, or put it in quotes if the text is meant", asked.field);
        cx.warn(span, message, hint);
    }
    if asked.field.is_line() && text.is_empty() {
        cx.fault(span, "an empty keyword is in every record", "take it out");
        return None;
    }
    // A fragment of an encoded text is never all of a value.
    let fragment = asked.transforms.contains(&transform::Transform::Base64Offset) && !asked.part_given;
    let part = if fragment { Part::Anywhere } else { part };
    let globs = match transform::apply(Glob::parse(text), &asked.transforms) {
        Ok(globs) => globs,
        Err((message, hint)) => {
            cx.fault(span, message, hint);
            return None;
        }
    };
    let tests = globs.iter().map(|glob| glob.test(part, asked.cased)).collect::<Result<Vec<Test>, _>>();
    if tests.is_err() {
        cx.fault(span, "this pattern is too large to compile", "split it, or use fewer wildcards");
    }
    tests.ok()
}

/// Warns of a part of an instant that is never so.
fn tell_no_time(
    cx: &mut Cx<'_>,
    asked: &Asked,
    (part, ordering, number): (ClockPart, Option<Ordering>, Number),
    span: Span,
) {
    let Some((least, most)) = part.range().filter(|_| !asked.neq) else { return };
    let (low, high) = (Number::whole(least), Number::whole(most));
    let (never, what) = match ordering {
        Some(Ordering::Above) => (number >= high, format!("more than {number}")),
        Some(Ordering::AtLeast) => (number > high, format!("{number} or more")),
        Some(Ordering::Below) => (number <= low, format!("less than {number}")),
        Some(Ordering::AtMost) => (number < low, format!("{number} or less")),
        None => (number < low || number > high || number.to_i64().is_none(), number.to_string()),
    };
    if never {
        let is = if (low..=high).contains(&number) && ordering.is_none() {
            "a whole number".to_owned()
        } else {
            format!("from {least} to {most}")
        };
        let message = format!("`{}` is never {what}: it is {is}", asked.spelt);
        cx.warn(span, message, format!("write a number from {least} to {most}, or take it out"));
    }
}

fn number(cx: &mut Cx<'_>, asked: &Asked, text: &str, span: Span) -> Option<Number> {
    let number = Number::parse(text.trim());
    if let Some((message, hint)) = values::out_of_range(text.trim()) {
        cx.fault(span, message, hint);
    } else if number.is_none() {
        cx.fault(
            span,
            format!("`{}` takes a number, not `{text}`", asked.spelt),
            format!("write `{}: 5`", asked.spelt),
        );
    }
    number
}

fn network(cx: &mut Cx<'_>, text: &str, span: Span) -> Option<Vec<Test>> {
    let text = text.trim();
    let net = text.parse::<ipnet::IpNet>().ok().or_else(|| address(text).map(ipnet::IpNet::from));
    if net.is_none() {
        cx.fault(
            span,
            format!("`{text}` is no network"),
            "write one such as `10.0.0.0/8` or `2001:db8::/32`",
        );
    }
    net.map(|net| vec![Test::Cidr(vec![net.trunc()])])
}

/// A regular expression finds a match anywhere, and case counts unless it says `i`.
fn regex(cx: &mut Cx<'_>, asked: &Asked, text: &str, span: Span) -> Option<Vec<Test>> {
    let cased = !asked.flags.contains('i');
    let flags: String = asked.flags.chars().filter(|flag| *flag != 'i').collect();
    let whole = if flags.is_empty() { text.to_owned() } else { format!("(?{flags}){text}") };
    match Pattern::new(&whole, cased) {
        Ok(pattern) => Some(vec![Test::Regex(vec![pattern])]),
        Err(regex::Error::CompiledTooBig(_)) => {
            let hint = "use smaller counts in `{…}`, or split it into several values";
            cx.fault(
                span,
                format!("this regular expression is larger than {} bytes", Pattern::SIZE_LIMIT),
                hint,
            );
            None
        }
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let hint = if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| text.contains(look)) {
                "expressions here do not look ahead or behind, so that no record can make them slow: write two selections and join them with `and not`"
            } else {
                "expressions have the syntax of the regex crate: no backreferences; put a backslash before a literal `{`"
            };
            cx.fault(span, format!("this regular expression cannot be read: {why}"), hint);
            None
        }
    }
}

/// `%name%` in a value: what stands before it, the list, and what stands behind.
fn placeholder(cx: &mut Cx<'_>, text: &str, span: Span) -> Option<(String, String, String)> {
    let parts: Vec<&str> = text.split('%').collect();
    let [before, list, after] = *parts else {
        cx.fault(span, "a value has one placeholder", "write one `%name%` a value, and list the values");
        return None;
    };
    cx.list(list, span).then(|| (before.to_owned(), list.to_owned(), after.to_owned()))
}

fn filled(cx: &mut Cx<'_>, asked: &Asked, part: Part, (text, span): (&str, Span)) -> Option<Vec<Test>> {
    let (before, list, after) = placeholder(cx, text, span)?;
    if !asked.transforms.is_empty() {
        cx.fault(span, "what a list fills in is not encoded", "put the encoded values into the list");
        return None;
    }
    let (before, after) = (Glob::parse(&before), Glob::parse(&after));
    // `*` at either end is what `startswith` and its kin say.
    let open = (matches!(before.pieces(), [Piece::Many, ..]), matches!(after.pieces(), [.., Piece::Many]));
    let part = match (part, open) {
        (part, (false, false)) => part,
        (Part::Whole | Part::Start, (false, true)) => Part::Start,
        (Part::Whole | Part::End, (true, false)) => Part::End,
        (Part::Anywhere, _) | (_, (true, true)) | (Part::Start, (true, _)) | (Part::End, (_, true)) => {
            Part::Anywhere
        }
    };
    let side = |glob: &Glob| {
        let texts = glob.pieces().iter().filter(|piece| **piece != Piece::Many).collect::<Vec<_>>();
        match *texts {
            [] => Some(String::new()),
            [Piece::Text(text)] => Some(if asked.cased { text.clone() } else { fold(text).into_owned() }),
            _ => None,
        }
    };
    let inner = |glob: &Glob, open: bool| {
        glob.pieces().iter().filter(|piece| **piece == Piece::Many).count() > usize::from(open)
    };
    let sides = side(&before).zip(side(&after));
    let Some((before, after)) = sides.filter(|_| !inner(&before, open.0) && !inner(&after, open.1)) else {
        cx.fault(
            span,
            "wildcards beside a placeholder stand at the ends of the value",
            "take the others out",
        );
        return None;
    };
    Some(vec![Test::Filled(Filling { part, before, list, after })])
}
