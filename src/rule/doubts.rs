//! Rules that load and can hardly mean what they say: warnings, never faults.

use super::problem::Problems;
use super::spec::{Expr, Literal, Predicate, Spec, Test};
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
        look.field.is("kind") && look.test == Test::Equals(vec![login])
    });
    let of_launches = |field: &FieldName| !field.is_spelt() && OF_LAUNCHES.contains(&field.as_str());
    let asks = |look: &&&Predicate| look.test != Test::Exists(false);
    let wanted = looks
        .iter()
        .filter(asks)
        .map(|look| &look.field)
        .chain(spec.verb.iter().flat_map(|verb| verb.group().by.iter().chain(verb.fields())))
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
