//! Rules that load and can hardly mean what they say: warnings, never faults.

use super::problem::{Problems, Span};
use super::spec::{Amount, Bound, Expr, HavingTest, Literal, Ordering, Predicate, Spec, Test, Verb};
use crate::record::FieldName;

/// Fields that only application launches have.
const OF_LAUNCHES: [&str; 7] = [
    "app_id",
    "app_name",
    "app_group_name",
    "app_group_id",
    "aps_instance_id",
    "aps_instance_name",
    "aps_host_id",
];

/// Notes what is doubtful about `spec`.
pub fn note(spec: &Spec, problems: &mut Problems) {
    note_shares_of_all(spec, problems);
    note_ranges(&spec.matches, problems);
    note_logins(&spec.matches, spec.verb.as_ref(), spec.id_span, problems);
}

/// Notes at `at` what `matches` and `verb` ask of logins that only launches have.
pub fn note_logins(matches: &Expr, verb: Option<&Verb>, at: Span, problems: &mut Problems) {
    let mut looks = Vec::new();
    collect(matches, &mut looks);
    let only_logins = looks.iter().any(|look| {
        let login = Literal::Text("login".to_owned());
        look.field.is("kind") && look.test == Test::Equals(vec![login])
    });
    let of_launches = |field: &FieldName| !field.is_spelt() && OF_LAUNCHES.contains(&field.as_str());
    let asks = |look: &&&Predicate| look.test != Test::Exists(false);
    let wanted = looks
        .iter()
        .filter(asks)
        .map(|look| &look.field)
        .chain(verb.iter().flat_map(|verb| verb.group().by.iter().chain(verb.fields())))
        .find(|field| of_launches(field));
    if let Some(field) = wanted.filter(|_| only_logins && !matches!(matches, Expr::Any(_))) {
        let message = format!("logins have no `{field}`: this rule looks at `kind: login`");
        problems.warn(at, message, "write `kind: app_launch` in `match`");
    }
}

/// Ranges that no value is in.
fn note_ranges(expr: &Expr, problems: &mut Problems) {
    match expr {
        Expr::All(parts) => {
            for (number, part) in parts.iter().enumerate() {
                let other =
                    parts[..number].iter().find(|other| are_apart(other, part) || are_apart(part, other));
                if let (Some(Expr::Is(other)), Expr::Is(look)) = (other, part) {
                    let message = format!("`{}` and `{}` never hold together", other.spelt, look.spelt);
                    problems.warn(look.span, message, "mend one of them");
                }
                note_ranges(part, problems);
            }
        }
        Expr::Any(parts) => parts.iter().for_each(|part| note_ranges(part, problems)),
        Expr::Not(part) => note_ranges(part, problems),
        Expr::Is(_) => {}
    }
}

/// Whether all that `low` lets pass is beyond `high`. A field that is as the line spells it may be a list, of
/// which one element is low and another high.
fn are_apart(low: &Expr, high: &Expr) -> bool {
    let (Expr::Is(low), Expr::Is(high)) = (low, high) else { return false };
    let (Test::Compare(from, least), Test::Compare(to, most)) = (&low.test, &high.test) else { return false };
    let beyond = match (least, most) {
        (Bound::Number(least), Bound::Number(most)) => least.cmp(most),
        (Bound::Time(least), Bound::Time(most)) => least.cmp(most),
        (Bound::Length(least), Bound::Length(most)) => least.cmp(most),
        (Bound::Number(_) | Bound::Time(_) | Bound::Length(_), _) => return false,
    };
    let is_range = matches!(from, Ordering::Above | Ordering::AtLeast)
        && matches!(to, Ordering::Below | Ordering::AtMost);
    let both = (*from, *to) == (Ordering::AtLeast, Ordering::AtMost);
    low.field == high.field
        && !low.field.is_spelt()
        && is_range
        && (beyond.is_gt() || beyond.is_eq() && !both)
}

/// Shares that are always all: the rule looks at nothing but what they count.
fn note_shares_of_all(spec: &Spec, problems: &mut Problems) {
    let Some(Verb::Count(count)) = &spec.verb else { return };
    let mut needed = Vec::new();
    require(&spec.matches, &mut needed);
    for having in &count.having {
        let HavingTest::Share { matches, at_least, times_others } = &having.test else { continue };
        if !matches!(at_least, Amount::Percent(_)) && times_others.is_none() {
            continue;
        }
        let mut looks = Vec::new();
        collect(matches, &mut looks);
        let is_needed = |look: &&Predicate| {
            let same = |other: &&Predicate| other.field == look.field && other.test == look.test;
            needed.iter().any(same)
        };
        let plain =
            matches!(matches, Expr::All(parts) if parts.iter().all(|part| matches!(part, Expr::Is(_))));
        if let Some(last) = looks.last().filter(|_| plain && looks.iter().all(is_needed)) {
            let message =
                format!("every hit of this rule is one of `{}`: its share is always 100 %", having.name);
            problems.warn(
                last.span,
                message,
                "let `match` accept the others as well: `outcome: [success, failure]`",
            );
        }
    }
}

/// The looks that must hold wherever `expr` does.
fn require<'a>(expr: &'a Expr, looks: &mut Vec<&'a Predicate>) {
    match expr {
        Expr::All(parts) => parts.iter().for_each(|part| require(part, looks)),
        Expr::Is(predicate) => looks.push(predicate),
        Expr::Any(_) | Expr::Not(_) => {}
    }
}

fn collect<'a>(expr: &'a Expr, looks: &mut Vec<&'a Predicate>) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| collect(part, looks)),
        Expr::Not(part) => collect(part, looks),
        Expr::Is(predicate) => looks.push(predicate),
    }
}
