//! Expressions: what a record must be. A map is AND, a list of maps is OR, and with a `condition` key
//! every other key is a named selection.
//!
//! `match`, `count.unless` and `having.*.match` are about logins that start unless they say
//! otherwise. `except` and `levels` only look at records that have matched already, so nothing is
//! added to them.

use super::super::problem::Span;
use super::super::spec::{Expr, Literal, Predicate, Test};
use super::super::yaml::{Entry, Kind, Node};
use super::predicate::predicate;
use super::{Cx, selection, suggest};
use crate::record::FieldName;

/// The key that makes every other key a selection.
const CONDITION: &str = "condition";

/// Whether `kind: login` and `phase: start` are added where the expression does not speak of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    /// They are.
    Login,
    /// They are not: the record has matched already.
    None,
}

/// The expression in `entry`'s value.
pub(super) fn expression(cx: &mut Cx<'_>, entry: &Entry, defaults: Defaults) -> Option<Expr> {
    let name = &entry.key.text;
    let expr = match &entry.value.kind {
        Kind::Map(entries) => of_map(cx, &entries.iter().collect::<Vec<_>>(), &[]),
        Kind::List(nodes) => any_of(cx, nodes, entry.value.span, name),
        Kind::Scalar(_) => {
            let message = format!("`{name}` is a map of fields and values, not {}", entry.value.what());
            cx.fault(super::taken::place(entry), message, format!("write `{name}: {{outcome: failure}}`"));
            None
        }
    }?;
    Some(match defaults {
        Defaults::Login => with_defaults(expr, entry.key.span),
        Defaults::None => expr,
    })
}

/// The expression that some entries of a map make. `others` are keys that the map has besides.
pub(super) fn of_map(cx: &mut Cx<'_>, entries: &[&Entry], others: &[&str]) -> Option<Expr> {
    if let Some(condition) = entries.iter().find(|entry| entry.key.text == CONDITION) {
        return with_condition(cx, condition, entries);
    }
    if entries.iter().any(|entry| holds_maps(&entry.value)) {
        return without_condition(cx, entries, others);
    }
    let others: Vec<&str> = others.iter().copied().chain([CONDITION]).collect();
    let parts: Vec<Option<Expr>> = entries.iter().map(|entry| predicate(cx, entry, &others)).collect();
    Some(all(parts.into_iter().collect::<Option<Vec<_>>>()?))
}

fn any_of(cx: &mut Cx<'_>, nodes: &[Node], span: Span, name: &str) -> Option<Expr> {
    if nodes.is_empty() {
        cx.fault(
            span,
            format!("`{name}` is an empty list, which no record can meet"),
            "list a map, or take it out",
        );
        return None;
    }
    let mut parts = Vec::new();
    for node in nodes {
        let Some(entries) = node.map() else {
            let message =
                format!("an entry of `{name}` is {}; a list of conditions is a list of maps", node.what());
            cx.fault(node.span, message, "write `- {field: value}`, and name the field");
            continue;
        };
        parts.extend(of_map(cx, &entries.iter().collect::<Vec<_>>(), &[]));
    }
    (parts.len() == nodes.len()).then_some(Expr::Any(parts))
}

fn all(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.swap_remove(0) } else { Expr::All(parts) }
}

/// True for a map, and for a list that has one in it.
fn holds_maps(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(_) => true,
        Kind::List(nodes) => nodes.iter().any(|node| node.map().is_some()),
        Kind::Scalar(_) => false,
    }
}

fn with_condition(cx: &mut Cx<'_>, condition: &Entry, entries: &[&Entry]) -> Option<Expr> {
    let mut selections = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key.text != CONDITION) {
        selections.push((*entry, selection_of(cx, entry)));
    }
    let Some(words) = condition.value.scalar().filter(|scalar| !scalar.text.trim().is_empty()) else {
        let message =
            format!("`condition` is text such as `failed and not office`, not {}", condition.value.what());
        cx.fault(super::taken::place(condition), message, "join the names of selections with and, or, not");
        return None;
    };
    let names: Vec<(&str, Span)> =
        selections.iter().map(|(entry, _)| (entry.key.text.as_str(), entry.key.span)).collect();
    let tree = selection::parse(cx, &condition.value, &words.text, &names)?;
    let parts: Option<Vec<Expr>> = selections.into_iter().map(|(_, expr)| expr).collect();
    selection::build(cx, &tree, &parts?, condition.value.span)
}

fn selection_of(cx: &mut Cx<'_>, entry: &Entry) -> Option<Expr> {
    let name = &entry.key.text;
    match &entry.value.kind {
        Kind::Map(entries) => of_map(cx, &entries.iter().collect::<Vec<_>>(), &[]),
        Kind::List(nodes) if holds_maps(&entry.value) => any_of(cx, nodes, entry.value.span, name),
        Kind::Scalar(scalar) if scalar.text.is_empty() => {
            let hint = "name a field and a value below it, or take it out";
            cx.fault(entry.key.span, format!("the selection `{name}` is empty"), hint);
            None
        }
        Kind::List(_) | Kind::Scalar(_) => {
            let message = format!(
                "beside a `condition` every key is a named selection, and `{name}` holds {}",
                entry.value.what()
            );
            cx.fault(
                entry.key.span,
                message,
                format!("put the field into a selection: `some_name: {{{name}: …}}`"),
            );
            None
        }
    }
}

/// Selections, but no `condition`: most often it is misspelt.
fn without_condition(cx: &mut Cx<'_>, entries: &[&Entry], others: &[&str]) -> Option<Expr> {
    let selections: Vec<&&Entry> = entries.iter().filter(|entry| holds_maps(&entry.value)).collect();
    let names: Vec<&str> = selections.iter().map(|entry| entry.key.text.as_str()).collect();
    let misspelt = entries.iter().find(|entry| {
        let near = suggest::nearest(&entry.key.text, [CONDITION]).is_some();
        let words = entry.value.scalar().map(|scalar| scalar.text.as_str()).unwrap_or_default();
        let is_field = FieldName::resolve(&entry.key.text).is_some();
        near || (!is_field && !words.is_empty() && selection::looks_like(words, &names))
    });
    if let Some(entry) = misspelt {
        let message = format!("unknown key `{}`", entry.key.text);
        cx.fault(entry.key.span, message, "did you mean `condition`?");
        for selection in &selections {
            selection_of(cx, selection);
        }
        return None;
    }
    no_condition(cx, &selections, &names);
    for entry in entries.iter().filter(|entry| !holds_maps(&entry.value)) {
        predicate(cx, entry, others);
    }
    None
}

/// Tells of maps where fields hold values: a dotted name taken apart, or selections that nothing uses.
fn no_condition(cx: &mut Cx<'_>, selections: &[&&Entry], names: &[&str]) {
    let mut told = false;
    for selection in selections {
        let name = &selection.key.text;
        let part = selection.value.map().and_then(|entries| entries.first());
        let dotted = part.map(|entry| format!("{name}.{}", entry.key.text));
        let field =
            dotted.filter(|name| FieldName::resolve(name.split('|').next().unwrap_or(name)).is_some());
        if let Some(dotted) = field {
            let message = format!("`{name}` holds a map, and a field holds values");
            cx.fault(selection.key.span, message, format!("write `{dotted}: …`"));
            continue;
        }
        if !told {
            told = true;
            let message = format!("`{name}` is a named selection, and there is no `condition` that uses it");
            cx.fault(selection.key.span, message, format!("add `condition: {}`", names.join(" and ")));
        }
        selection_of(cx, selection);
    }
}

/// Adds `kind: login` and `phase: start`, each unless the expression speaks of that field.
fn with_defaults(expr: Expr, span: Span) -> Expr {
    let mut parts = Vec::new();
    for (name, value) in [("kind", "login"), ("phase", "start")] {
        let Some(field) = FieldName::resolve(name) else { continue };
        if !speaks_of(&expr, &field) {
            let test = Test::Equals(vec![Literal::Text(value.to_owned())]);
            parts.push(Expr::Is(Predicate { field, test, cased: false, spelt: name.to_owned(), span }));
        }
    }
    match expr {
        Expr::All(rest) => parts.extend(rest),
        Expr::Any(_) | Expr::Not(_) | Expr::Is(_) => parts.push(expr),
    }
    all(parts)
}

fn speaks_of(expr: &Expr, field: &FieldName) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(|part| speaks_of(part, field)),
        Expr::Not(part) => speaks_of(part, field),
        Expr::Is(predicate) => predicate.field == *field,
    }
}
