//! Rules that load and can hardly mean what they say: warnings, never faults.

use super::problem::Problems;
use super::spec::{Expr, HavingTest, Literal, Predicate, Spec, Test, Verb};
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
    let mut looks = Vec::new();
    collect(&spec.matches, &mut looks);
    let only_logins = looks.iter().any(|look| {
        let login = Literal::Text("login".to_owned());
        look.field.as_str() == "kind" && look.test == Test::Equals(vec![login])
    });
    let of_launches = |field: &FieldName| OF_LAUNCHES.contains(&field.as_str());
    let asks = |look: &&&Predicate| look.test != Test::Exists(false);
    let wanted = looks
        .iter()
        .filter(asks)
        .map(|look| &look.field)
        .chain(fields_of(spec))
        .find(|field| of_launches(field));
    if let Some(field) = wanted.filter(|_| only_logins && !matches!(spec.matches, Expr::Any(_))) {
        let message = format!("logins have no `{field}`: this rule looks at `kind: login`");
        problems.warn(spec.id_span, message, "write `kind: app_launch` in `match`");
    }
}

fn collect<'a>(expr: &'a Expr, looks: &mut Vec<&'a Predicate>) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| collect(part, looks)),
        Expr::Not(part) => collect(part, looks),
        Expr::Is(predicate) => looks.push(predicate),
    }
}

/// The fields that a rule's verb wants.
fn fields_of(spec: &Spec) -> Vec<&FieldName> {
    match &spec.verb {
        None | Some(Verb::Script(_)) => Vec::new(),
        Some(Verb::Count(verb)) => {
            let distinct = verb.having.iter().filter_map(|having| match &having.test {
                HavingTest::Distinct { field, .. } => Some(field),
                HavingTest::Share { .. } => None,
            });
            verb.group.by.iter().chain(distinct).collect()
        }
        Some(Verb::Distinct(verb)) => verb.group.by.iter().chain([&verb.field]).collect(),
        Some(Verb::FirstSeen(verb)) => {
            let common = verb.unless_common.iter().map(|common| &common.by);
            verb.group.by.iter().chain(&verb.value).chain(&verb.same_if).chain(common).collect()
        }
        Some(Verb::Risk(verb)) => verb.group.by.iter().collect(),
        Some(Verb::Travel(verb)) => verb.group.by.iter().chain(&verb.ignore_same).collect(),
        Some(Verb::Overlap(verb)) => {
            verb.group.by.iter().chain(verb.pair.fields.iter().map(|(field, _)| field)).collect()
        }
        Some(Verb::Sequence(verb)) => verb.group.by.iter().collect(),
        Some(Verb::Absent(verb)) => verb.group.by.iter().collect(),
        Some(Verb::Rate(verb)) => verb.group.by.iter().chain(&verb.distinct).collect(),
        Some(Verb::Measure(verb)) => verb.group.by.iter().chain([&verb.field]).collect(),
    }
}
