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
    note_never(spec, problems);
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
        if let Some(last) = always(matches, &needed) {
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

/// Rules that never fire: what they wait for clears the group, or is none of what the verb looks at.
fn note_never(spec: &Spec, problems: &mut Problems) {
    let needed = |matches| {
        let mut needed = Vec::new();
        require(matches, &mut needed);
        needed
    };
    match &spec.verb {
        Some(Verb::Count(count)) => {
            let clears = count.unless.as_ref();
            if let Some(last) = clears.and_then(|clears| always(clears, &needed(&spec.matches))) {
                let message = "every hit of this rule clears its group: it never fires";
                problems.warn(last.span, message, "name under `unless` what is no hit");
            }
        }
        Some(Verb::Sequence(sequence)) => {
            for step in &sequence.steps {
                let clears = sequence.until.as_ref();
                if let Some(last) = clears.and_then(|clears| always(clears, &needed(&step.matches))) {
                    let name =
                        step.name.as_deref().map_or("a step".to_owned(), |name| format!("step `{name}`"));
                    let message = format!("every record of {name} clears the group: this rule never fires");
                    problems.warn(last.span, message, "name under `until` what is of no step");
                }
            }
        }
        Some(Verb::Overlap(_)) => {
            let failure = Test::Equals(vec![Literal::Text("failure".to_owned())]);
            let needed = needed(&spec.matches);
            if let Some(look) = needed.iter().find(|look| look.field.is("outcome") && look.test == failure) {
                let message = "what failed is no session: this rule never fires";
                problems.warn(look.span, message, "write `outcome: success`");
            }
        }
        Some(Verb::FirstSeen(verb)) => {
            let of_group = verb.value.iter().all(|field| verb.group.by.contains(field));
            if of_group && verb.forget.is_none() && !verb.first_value_alerts {
                let field = verb.value.iter().map(FieldName::as_str).collect::<Vec<_>>().join("`, `");
                let message = format!(
                    "a group has one `{field}`, its first value, which is silent: this rule never fires"
                );
                let hint =
                    "`first_value: alert` tells of each that is new, `forget: 30d` of one that comes back";
                problems.warn(spec.id_span, message, hint);
            }
        }
        Some(
            Verb::Distinct(_)
            | Verb::Measure(_)
            | Verb::Risk(_)
            | Verb::Rate(_)
            | Verb::Absent(_)
            | Verb::Script(_)
            | Verb::Travel(_)
            | Verb::Usual(_)
            | Verb::Correlate(_),
        )
        | None => {}
    }
}

/// The last look of `expr`, if that holds wherever all of `needed` do.
fn always<'a>(expr: &'a Expr, needed: &[&Predicate]) -> Option<&'a Predicate> {
    let mut looks = Vec::new();
    collect(expr, &mut looks);
    let is_needed = |look: &&Predicate| {
        let same = |other: &&Predicate| {
            other.field == look.field && other.test == look.test && other.cased == look.cased
        };
        needed.iter().any(same)
    };
    let plain = matches!(expr, Expr::All(parts) if parts.iter().all(|part| matches!(part, Expr::Is(_))));
    looks.last().copied().filter(|_| plain && looks.iter().all(is_needed))
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

#[cfg(test)]
mod tests {
    use super::super::compile::rule;
    use super::super::decode::{Options, decode};

    /// The warnings of a rule with this body, and where they are.
    fn doubts(body: &str) -> Vec<String> {
        let source = format!("rule: r\ntitle: r\nlevel: low\n{body}");
        let (spec, mut problems) = decode("r.yaml", &source, &Options::default());
        assert!(rule(spec.unwrap(), &mut problems).is_some(), "{body}");
        problems.sorted().iter().map(|problem| problem.message.clone()).collect()
    }

    #[test]
    fn a_rule_that_never_fires_is_doubted() {
        let never = [
            (
                "match: {outcome: failure, client_type: Linux}\ncount: {at_least: 3, within: 1h, unless: {outcome: failure}}\n",
                "every hit of this rule clears its group: it never fires",
            ),
            (
                "sequence: {within: 1h, until: {outcome: success}, steps: [{match: {outcome: failure}}, {name: in, match: {outcome: success, device|new: true}}]}\n",
                "every record of step `in` clears the group: this rule never fires",
            ),
            (
                "match: {outcome: failure}\noverlap: {by: [user], for: 5m}\n",
                "what failed is no session: this rule never fires",
            ),
            (
                "match: {outcome: success}\nfirst_seen: {value: user, by: [user]}\n",
                "a group has one `user`, its first value, which is silent: this rule never fires",
            ),
        ];
        for (body, doubt) in never {
            assert_eq!(doubts(body), [doubt], "{body}");
        }
    }

    #[test]
    fn a_rule_that_may_fire_is_not_doubted() {
        for body in [
            "match: {outcome: failure}\ncount: {at_least: 3, within: 1h, unless: {outcome: failure, client_type: Linux}}\n",
            "match: {outcome: [failure, success]}\ncount: {at_least: 3, within: 1h, unless: {outcome: success}}\n",
            "match: {user_name: ana}\ncount: {at_least: 3, within: 1h, unless: {user_name|cased: ana}}\n",
            "sequence: {within: 1h, until: {outcome: success, device|known: true}, steps: [{match: {outcome: failure}}, {match: {outcome: success}}]}\n",
            "match: {outcome: success}\noverlap: {by: [user], for: 5m}\n",
            "match: {outcome: success}\nfirst_seen: {value: user, by: [user], first_value: alert}\n",
            "match: {outcome: success}\nfirst_seen: {value: user, by: [user], forget: 30d}\n",
        ] {
            assert_eq!(doubts(body), [""; 0], "{body}");
        }
    }
}
