//! `overlap`

use super::super::super::condition::{Phases, phases};
use super::super::super::keys::{KM, PAIR, SAME_OR_DIFFERENT, one_of};
use super::super::super::problem::Span;
use super::super::super::spec::{
    Expr, Grouping, Literal, Ordering, OverlapSpec, Pair, Predicate, Test, TravelSpec,
};
use super::super::super::yaml::Entry;
use super::super::taken::{Taken, place};
use super::super::{Cx, suggest};
use crate::record::{FieldName, Number, Phase};

/// The verb; what its sessions are, [`sessions`] adds.
pub(super) fn overlap(cx: &mut Cx<'_>, map: &Taken<'_>) -> Option<OverlapSpec> {
    let lasts = map.duration(cx, "for");
    let group = map.grouping(cx);
    let pair = map.map(cx, "where", &PAIR).map(|pair| pair_of(cx, &pair, &group)).unwrap_or_default();
    Some(OverlapSpec { group, lasts: lasts?, pair, ends: Expr::Any(Vec::new()) })
}

fn pair_of(cx: &mut Cx<'_>, map: &Taken<'_>, group: &Grouping) -> Pair {
    let orderings = [Ordering::Above, Ordering::AtLeast, Ordering::Below, Ordering::AtMost];
    let mut pair = Pair::default();
    for (key, ordering) in KM.into_iter().zip(orderings) {
        pair.km.extend(km(cx, map, key).map(|bound| (ordering, bound)));
    }
    for entry in map.rest() {
        let Some(field) = compared(cx, entry, group) else { continue };
        if pair.fields.iter().any(|(other, _)| *other == field.0) {
            cx.fault(entry.key.span, format!("`where` has `{}` twice", field.0), "keep one of them");
            continue;
        }
        pair.fields.push(field);
    }
    pair
}

fn km(cx: &mut Cx<'_>, map: &Taken<'_>, key: &str) -> Option<Number> {
    let (bound, span) = map.number(cx, key)?;
    let (least, most) = (TravelSpec::LEAST_KM, TravelSpec::MOST_KM);
    if bound < Number::whole(least.into()) || bound > Number::whole(most.into()) {
        let message = format!("`{key}` takes a number from {least} to {most}, not `{bound}`");
        cx.fault(span, message, "places in geography files are no more exact than that");
        return None;
    }
    Some(bound)
}

/// A field of both sessions, and whether it is to be the same.
fn compared(cx: &mut Cx<'_>, entry: &Entry, group: &Grouping) -> Option<(FieldName, bool)> {
    let (key, span) = (entry.key.text.as_str(), entry.key.span);
    if key == "km" || key.starts_with("km|") {
        let hint = "write `km|gte: 500`; there are `km|gt`, `km|gte`, `km|lt` and `km|lte`";
        cx.fault(span, format!("`{key}` is no bound of a distance"), hint);
        return None;
    }
    if let Some((name, _)) = key.split_once('|') {
        let message = format!("`where` compares two sessions, and `{key}` asks about one");
        cx.fault(span, message, format!("write `{name}: different`; what each must be stands in `match`"));
        return None;
    }
    let field = cx.field(key, span, &KM)?;
    if group.by.contains(&field) {
        let message = format!("within one `{field}` there is one `{field}`, the same in both sessions");
        cx.fault(span, message, format!("take `{field}` out"));
        return None;
    }
    let word = entry.value.scalar().map(|scalar| scalar.text.trim());
    match word {
        Some("same") => Some((field, true)),
        Some("different") => Some((field, false)),
        Some(_) | None => {
            let got = word.map_or_else(|| entry.value.what().to_owned(), |word| format!("`{word}`"));
            let near = word.and_then(|word| suggest::nearest(word, SAME_OR_DIFFERENT.iter().copied()));
            let hint = near.map_or_else(
                || format!("write `{field}: different`; what each must be stands in `match`"),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("`{field}` of two sessions is {}, not {got}", one_of(SAME_OR_DIFFERENT));
            cx.fault(place(entry), message, hint);
            None
        }
    }
}

/// Tells the verb which records may end a session that `matches` begins, and where it can begin none.
pub(in super::super) fn sessions(cx: &mut Cx<'_>, spec: &mut OverlapSpec, matches: &Expr, at: Span) {
    if phases(matches) != Phases::only(Phase::Start) {
        let hint = "take `phase` out of `match`; the end of a session is found by itself";
        cx.fault(at, "a session begins with a start record, and `match` accepts others too", hint);
    }
    let end = Test::Equals(vec![Literal::Text(Phase::End.as_str().to_owned())]);
    let predicate = |field| Predicate { field, test: end, cased: false, spelt: "phase".to_owned(), span: at };
    let phase = FieldName::resolve("phase").map(predicate).map(Expr::Is);
    spec.ends = Expr::All(phase.into_iter().chain([broadly(matches, true)]).collect());
}

/// What `expr` says of kind and service; all else is taken to be `otherwise`. A row changes while it is
/// open: its end need not match.
fn broadly(expr: &Expr, otherwise: bool) -> Expr {
    let each = |parts: &[Expr]| parts.iter().map(|part| broadly(part, otherwise)).collect();
    match expr {
        Expr::All(parts) => Expr::All(each(parts)),
        Expr::Any(parts) => Expr::Any(each(parts)),
        Expr::Not(part) => Expr::Not(Box::new(broadly(part, !otherwise))),
        Expr::Is(predicate) if matches!(predicate.field.as_str(), "kind" | "service") => expr.clone(),
        Expr::Is(_) if otherwise => Expr::All(Vec::new()),
        Expr::Is(_) => Expr::Any(Vec::new()),
    }
}
