//! `condition`: what is compared, or which rules are wanted.

use super::super::super::decode::values;
use super::super::super::keys::one_of;
use super::super::super::spec::correlate::{Aggregate, Asks, Comparator, Comparison, Occurrence};
use super::super::super::verb::MAX_RECORDS;
use super::super::super::yaml::Entry;
use super::super::Word;
use super::{Reading, Type, place};
use crate::record::Number;

/// What may stand in a condition beside comparisons.
const CONDITION_KEYS: [&str; 2] = ["field", "percentile"];

/// What a map of comparisons says.
#[derive(Default)]
struct Condition {
    bounds: Vec<Comparison>,
    fields: Vec<Word>,
    percentile: Option<u8>,
}

impl Reading<'_> {
    /// What the type and the condition ask, and of which fields.
    pub(super) fn asks(&mut self, kind: Type) -> Option<(Asks, Vec<Word>)> {
        let occurrence = match self.get("condition") {
            None if kind.is_temporal() => Occurrence::All,
            None => {
                let example = if kind == Type::Events { "{gte: 10}" } else { "{field: user_name, gte: 10}" };
                let message = format!("a correlation of type `{}` needs `condition`", kind.as_str());
                self.missing("condition", &message, &format!("add `condition: {example}`"));
                return None;
            }
            Some(entry) if entry.value.map().is_some() => {
                let condition = self.condition(kind, entry)?;
                match kind {
                    Type::Rules | Type::Ordered => Occurrence::Many(condition.bounds),
                    Type::Events => return Some((Asks::Events(condition.bounds), Vec::new())),
                    Type::Values => {
                        self.needs_field(kind, entry, &condition)?;
                        return Some((Asks::Values(condition.bounds), condition.fields));
                    }
                    Type::Number(aggregate) => {
                        self.needs_field(kind, entry, &condition)?;
                        let aggregate = self.aggregate(aggregate, entry, &condition)?;
                        return Some((Asks::Number(aggregate, condition.bounds), condition.fields));
                    }
                }
            }
            Some(entry) if kind.is_temporal() => Occurrence::Named(self.named(&entry.value)?),
            Some(entry) => {
                let message =
                    format!("`{}` compares a number, and this is no map of comparisons", kind.as_str());
                let hint = "write `condition: {gte: 10}`; names of rules are for temporal types";
                self.fault(place(entry), message, hint);
                return None;
            }
        };
        let asks = if kind == Type::Rules { Asks::Rules(occurrence) } else { Asks::Ordered(occurrence) };
        Some((asks, Vec::new()))
    }

    /// Tells of a condition that names no field.
    fn needs_field(&mut self, kind: Type, entry: &Entry, condition: &Condition) -> Option<()> {
        if condition.fields.is_empty() {
            let message = format!("a correlation of type `{}` needs `field` in its condition", kind.as_str());
            let example = if kind == Type::Values { "user_name" } else { "e2e_rtt" };
            self.fault(entry.key.span, message, format!("add `field: {example}`"));
            return None;
        }
        Some(())
    }

    /// The number that is meant, which is of one field.
    fn aggregate(&mut self, kind: Aggregate, entry: &Entry, condition: &Condition) -> Option<Aggregate> {
        if let Some(second) = condition.fields.get(1) {
            let message = format!("`{}` is of one field", Type::Number(kind).as_str());
            self.fault(second.span, message, "take the others out");
            return None;
        }
        let Aggregate::Percentile(usual) = kind else { return Some(kind) };
        if condition.percentile.is_none() {
            let message = format!("the condition names no percentile; the {usual}th is meant");
            let hint = format!("write `percentile: {usual}`, or another from 1 to 100");
            self.problems.warn(entry.key.span, message, hint);
        }
        Some(Aggregate::Percentile(condition.percentile.unwrap_or(usual)))
    }

    /// A map of comparisons.
    fn condition(&mut self, kind: Type, entry: &Entry) -> Option<Condition> {
        let words = Comparator::ALL.map(Comparator::as_str);
        let known: Vec<&str> = words.iter().chain(&CONDITION_KEYS).copied().collect();
        let before = self.problems.errors();
        self.tell_unknown(&entry.value, "`condition`", &known);
        let mut condition = Condition::default();
        for one in entry.value.map().unwrap_or_default() {
            let word = one.key.text.as_str();
            match Comparator::ALL.into_iter().find(|is| is.as_str() == word) {
                Some(is) => condition.bounds.extend(self.comparison(kind, is, one)),
                None if word == "field" => condition.fields = self.fields("field", Some(one)),
                None if word == "percentile" => condition.percentile = self.percentile(one),
                None => {}
            }
        }
        let looks = matches!(kind, Type::Values | Type::Number(_));
        let ranks = matches!(kind, Type::Number(Aggregate::Percentile(_)));
        for (name, used) in [("field", looks), ("percentile", ranks)] {
            let there = entry.value.map().unwrap_or_default().iter().find(|one| one.key.text == name);
            if let (Some(there), false) = (there, used) {
                let message = format!("a correlation of type `{}` looks at no `{name}`", kind.as_str());
                self.problems.warn(
                    there.key.span,
                    message,
                    format!("take `{name}` out, or write another type"),
                );
            }
        }
        if !looks {
            condition.fields.clear();
        }
        if self.problems.errors() > before {
            return None;
        }
        if condition.bounds.is_empty() {
            self.fault(
                entry.key.span,
                "the condition compares with nothing",
                format!("add one of {}", one_of(&words)),
            );
            return None;
        }
        if matches!(kind, Type::Events | Type::Values | Type::Rules) {
            self.tell_silence(entry, &condition.bounds);
        }
        self.tell_empty(kind, entry, &condition.bounds);
        Some(condition)
    }

    fn comparison(&mut self, kind: Type, is: Comparator, entry: &Entry) -> Option<Comparison> {
        let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
        let bound = Number::parse(text);
        if let Some((message, hint)) = values::out_of_range(text) {
            self.fault(place(entry), message, hint);
        } else if bound.is_none() {
            let got = if text.is_empty() { entry.value.what().to_owned() } else { format!("`{text}`") };
            let word = is.as_str();
            self.fault(
                place(entry),
                format!("`{word}` takes a number, not {got}"),
                format!("write `{word}: 10`"),
            );
        }
        let comparison = Comparison { is, bound: bound? };
        self.tell_full(kind, comparison, entry);
        Some(comparison)
    }

    /// Tells of a number that a full group cannot be held against: it counts what it keeps, and no more.
    fn tell_full(&mut self, kind: Type, Comparison { is, bound }: Comparison, entry: &Entry) {
        let things = match kind {
            Type::Events => "events",
            Type::Values => "values",
            // Of few events a number may be as large as one likes.
            Type::Rules | Type::Ordered | Type::Number(_) => return,
        };
        // At so many a group stands still, however many more there are.
        let most = match is {
            Comparator::Gte | Comparator::Lt => MAX_RECORDS,
            Comparator::Gt | Comparator::Lte | Comparator::Eq | Comparator::Neq => MAX_RECORDS - 1,
        };
        if bound > Number::whole(i64::try_from(most).unwrap_or(i64::MAX)) {
            let word = is.as_str();
            let message = format!(
                "`{word}: {bound}` cannot be judged: a group that is full counts {MAX_RECORDS} {things} and no more, so that `{word}` takes {most} at most"
            );
            let hint =
                format!("{MAX_RECORDS} is the most that is kept; ask for fewer, in a shorter `timespan`");
            self.fault(place(entry), message, hint);
        }
    }

    fn percentile(&mut self, entry: &Entry) -> Option<u8> {
        let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
        let percentile = text.parse().ok().filter(|percentile| (1..=100).contains(percentile));
        if percentile.is_none() {
            let message = format!("`percentile` is a whole number from 1 to 100, not `{text}`");
            self.fault(place(entry), message, "write `percentile: 95`");
        }
        percentile
    }

    /// Warns of a condition that only silence could meet: it is judged at events, of which the one is.
    fn tell_silence(&mut self, entry: &Entry, bounds: &[Comparison]) {
        let one = Number::whole(1);
        let never = |bound: &&Comparison| match bound.is {
            Comparator::Lt => bound.bound <= one,
            Comparator::Lte | Comparator::Eq => bound.bound < one,
            Comparator::Gt | Comparator::Gte | Comparator::Neq => false,
        };
        if let Some(bound) = bounds.iter().find(never) {
            let message = format!(
                "`{}: {}` never holds: it is judged at events, and then there is one at least",
                bound.is.as_str(),
                bound.bound
            );
            let hint = "to hear of silence, write a rule of Larum's own with `absent`";
            self.problems.warn(entry.key.span, message, hint);
        }
    }

    /// Warns of a range that no number is in.
    fn tell_empty(&mut self, kind: Type, entry: &Entry, bounds: &[Comparison]) {
        let counts = !matches!(kind, Type::Number(_));
        let apart = |one: &Comparison, other: &Comparison| {
            let (low, high) = (one.bound, other.bound);
            let strict = (one.is == Comparator::Gt, other.is == Comparator::Lt);
            match (one.is, other.is) {
                (Comparator::Eq, Comparator::Neq) => low == high,
                (
                    Comparator::Gt | Comparator::Gte | Comparator::Eq,
                    Comparator::Lt | Comparator::Lte | Comparator::Eq,
                ) if one.is != other.is => match strict {
                    (false, false) => low > high,
                    // Between two whole numbers in a row there is no third.
                    (true, true) if counts && low.to_i64().is_some() => low + Number::whole(1) >= high,
                    (true, _) | (_, true) => low >= high,
                },
                _ => false,
            }
        };
        let pairs = bounds.iter().flat_map(|one| bounds.iter().map(move |other| (one, other)));
        if let Some((one, other)) = pairs.into_iter().find(|(one, other)| apart(one, other)) {
            let message = format!(
                "`{}: {}` and `{}: {}` never hold together",
                one.is.as_str(),
                one.bound,
                other.is.as_str(),
                other.bound
            );
            self.problems.warn(entry.key.span, message, "mend one of them");
        }
    }
}
