//! `correlation:` to a spec: what several documents find, together. What each type means, and at which
//! edge, stands in `rule::verb::correlate`.
//!
//! ```yaml
//! correlation:
//!   type: event_count                 # value_count temporal temporal_ordered value_sum value_avg …
//!   rules: [failed_login]             # by name or id; correlations among them
//!   group-by: [user_name]             # none: everybody is one group
//!   timespan: 10m                     # one number and one of s m h d w M y; both edges count
//!   condition: {gte: 10}              # gt gte lt lte eq neq, several for a range; `field`, `percentile`
//! generate: false                     # true: the rules raise alerts of their own as well
//! larum: {cooldown: 1h}               # our own: one alert in so long, instead of one an event
//! ```
//!
//! Where the specification leaves it open: temporal types may say `condition: a and not b` over the names
//! of their rules (then `rules` may be left out); `generate` stands at the root or in `correlation`; what is
//! referred to by several correlations is told if one of them generates; `timespan` in M and y is the mean month and
//! year of the calendar (2,629,746 s and 31,556,952 s); an alias stands for itself in rules that it does not
//! name; `field` may be an alias. A document's `larum` is read here and means nothing to other tools.

use std::collections::BTreeMap;

use super::super::keys::one_of;
use super::super::problem::{Problems, Span};
use super::super::spec::correlate::{
    Aggregate, Asks, Comparator, Comparison, CorrelateSpec, Correlated, Named, Occurrence, What,
};
use super::super::spec::{Cooldown, Expr, Grouping, Literal, Mode, Predicate, Spec, Test, Verb};
use super::super::suggest::nearest;
use super::super::yaml::{Entry, Kind, Node, inside};
use super::set::{Member, Set};
use super::{Body, Section, Word};
use crate::record::{FieldName, Millis, Number};

/// Every type of correlation.
const TYPES: [&str; 8] = [
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
];
/// What may stand below `correlation`.
const KEYS: [&str; 7] = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
/// What may stand in a condition beside comparisons.
const CONDITION_KEYS: [&str; 2] = ["field", "percentile"];
/// Units of a timespan, in milliseconds.
const UNITS: [(char, i64); 7] = [
    ('s', 1_000),
    ('m', 60_000),
    ('h', 3_600_000),
    ('d', 86_400_000),
    ('w', 604_800_000),
    ('M', 2_629_746_000),
    ('y', 31_556_952_000),
];
/// The percentile where a condition does not say.
const PERCENTILE: u8 = 50;
/// Fields of `group-by` or of `field`.
const MAX_FIELDS: usize = 32;
/// Parentheses of an extended condition inside each other.
const MAX_DEPTH: usize = 16;
/// Words of an extended condition.
const MAX_WORDS: usize = 500;

/// The rule that the correlation of member `number` makes.
pub(super) fn spec(set: &Set, number: usize, problems: &mut Problems) -> Option<Spec> {
    let member = set.members.get(number)?;
    let Body::Correlation(section) = &member.document.body else { return None };
    let before = problems.errors();
    let mut reading = Reading { set, section, problems };
    let (verb, per_row) = reading.correlation(number)?;
    let cooldown = reading.cooldown();
    if problems.errors() > before {
        return None;
    }
    let mut spec = set.rule(number, verb.any_record());
    for word in &section.rules {
        spec.lists
            .read
            .extend(set.find(&word.text).into_iter().flat_map(|member| member.lists.read.iter().cloned()));
    }
    spec.per_row = per_row;
    spec.mode = if member.silent { Mode::Heard } else { Mode::Live };
    spec.cooldown = cooldown.map(|lasts| Cooldown::For { lasts, group: Grouping::default() });
    spec.verb = Some(Verb::Correlate(verb));
    Some(spec)
}

/// The rules that an extended condition names, where there is no list of them.
pub(super) fn named_rules(source: &str, entries: &[Entry]) -> Vec<Word> {
    let condition = entries.iter().find(|entry| entry.key.text == "condition");
    let Some((node, text)) = condition.and_then(|entry| Some((&entry.value, &entry.value.scalar()?.text)))
    else {
        return Vec::new();
    };
    let mut words: Vec<Word> = Vec::new();
    for (at, word) in split(text) {
        if !is_operator(word) && words.iter().all(|other| other.text != word) {
            words.push(Word { text: word.to_owned(), span: inside(source, node, at, at + word.len()) });
        }
    }
    words
}

/// One document's section while it is read.
struct Reading<'s> {
    set: &'s Set,
    section: &'s Section,
    problems: &'s mut Problems,
}

/// One alias: per rule, by the place of the document that is meant, the field that it stands for.
struct Alias {
    name: Word,
    fields: BTreeMap<usize, String>,
}

/// What a map of comparisons says.
#[derive(Default)]
struct Condition {
    bounds: Vec<Comparison>,
    fields: Vec<Word>,
    percentile: Option<u8>,
}

impl<'s> Reading<'s> {
    fn fault(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.error_hint(span, message, hint);
    }

    fn get(&self, name: &str) -> Option<&'s Entry> {
        self.section.node.map()?.iter().find(|entry| entry.key.text == name)
    }

    /// The correlation, and whether a row is one record to all of its rules.
    fn correlation(&mut self, number: usize) -> Option<(CorrelateSpec, bool)> {
        let section = self.section;
        self.tell_unknown(&section.node, "`correlation`", &KEYS);
        let kind = self.kind();
        let rules = self.rules(number);
        let by = self.get("group-by");
        let by = self.fields("group-by", by);
        let timespan = self.timespan();
        let aliases = self.aliases(&rules);
        let (asks, fields) = match kind {
            Some(kind) => self.asks(kind)?,
            None => return None,
        };
        self.tell_unused(&aliases, &by, &fields);
        let per_row = rules.iter().all(|(_, member)| member.per_row);
        let of = rules.iter().enumerate().map(|(place, (word, member))| {
            let names =
                |words: &[Word]| words.iter().map(|word| field_of(&aliases, place, &word.text)).collect();
            let (by, fields) = (names(&by), names(&fields));
            Correlated { name: word.text.clone(), what: what(member, per_row), by, fields }
        });
        let of = of.collect();
        let by = by.iter().map(|word| FieldName::spelt(&word.text)).collect();
        let group = Grouping { by, missing_own: false };
        Some((CorrelateSpec { asks, of, group, timespan: timespan? }, per_row))
    }

    /// Tells of keys that `node` cannot have.
    fn tell_unknown(&mut self, node: &Node, name: &str, known: &[&str]) {
        for entry in node.map().unwrap_or_default() {
            let word = entry.key.text.as_str();
            if known.contains(&word) {
                continue;
            }
            let hint = match (word, nearest(word, known.iter().copied())) {
                ("timeframe", _) if known.contains(&"timespan") => "did you mean `timespan`?".to_owned(),
                (_, Some(near)) => format!("did you mean `{near}`?"),
                (_, None) => format!("known: {}", known.join(", ")),
            };
            self.fault(entry.key.span, format!("unknown key `{word}` in {name}"), hint);
        }
    }

    /// Tells that `correlation` lacks a key, unless a slip of it is told already.
    fn missing(&mut self, key: &'static str, message: &str, hint: &str) {
        let known = |word: &str| KEYS.contains(&word);
        let slip = |entry: &Entry| {
            let word = entry.key.text.as_str();
            !known(word) && (nearest(word, KEYS) == Some(key) || (word, key) == ("timeframe", "timespan"))
        };
        if !self.section.node.map().unwrap_or_default().iter().any(slip) {
            self.fault(self.section.at, message, hint);
        }
    }

    fn kind(&mut self) -> Option<&'static str> {
        let Some(entry) = self.get("type") else {
            let hint = format!("add `type: event_count`, or another of {}", one_of(&TYPES));
            self.missing("type", "`correlation` needs `type`", &hint);
            return None;
        };
        let (span, text) =
            (place(entry), entry.value.scalar().map_or("", |scalar| scalar.text.trim()).to_owned());
        if let Some(kind) = TYPES.into_iter().find(|kind| *kind == text) {
            return Some(kind);
        }
        let hint = match nearest(&text, TYPES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {}", one_of(&TYPES)),
        };
        self.fault(span, format!("there is no correlation of type `{text}`"), hint);
        None
    }

    /// The documents that are correlated, each with how it is called here.
    fn rules(&mut self, number: usize) -> Vec<(Word, &'s Member)> {
        let set = self.set;
        let mut rules: Vec<(Word, &'s Member)> = Vec::new();
        if self.section.rules.is_empty() {
            let hint = "add `rules: [name or id of a document]`";
            match self.get("rules") {
                Some(entry) => self.fault(entry.key.span, "`correlation` needs `rules`", hint),
                None => self.missing("rules", "`correlation` needs `rules`", hint),
            }
        }
        let section = self.section;
        for word in &section.rules {
            let Some(member) = set.find(&word.text) else {
                set.tell_missing(word, self.problems);
                continue;
            };
            if let Body::Filter(_) = member.document.body {
                let message = format!("`{}` is a filter, and finds nothing by itself", word.text);
                self.fault(word.span, message, "name the documents that it is about");
            } else if rules.iter().any(|(_, other)| std::ptr::eq(*other, member)) {
                self.fault(
                    word.span,
                    format!("`{}` stands twice in `rules`", word.text),
                    "take one of them out",
                );
            } else if set.members.get(number).is_some_and(|own| std::ptr::eq(own, member)) {
                self.fault(word.span, format!("`{}` refers to itself", word.text), "take it out of `rules`");
            } else if let Some(circle) = self.circle(number, member) {
                let message = format!("correlations refer to each other in a circle: {circle}");
                self.fault(word.span, message, "take one of them out of the other's `rules`");
            } else {
                rules.push((word.clone(), member));
            }
        }
        rules
    }

    /// The way from `to` back to member `number`, if there is one.
    fn circle(&self, number: usize, to: &Member) -> Option<String> {
        let start = self.set.members.get(number)?;
        let mut seen: Vec<&Member> = Vec::new();
        let mut ways: Vec<Vec<&Member>> = vec![vec![to]];
        while let Some(way) = ways.pop() {
            let last = *way.last()?;
            if std::ptr::eq(last, start) {
                let names = std::iter::once(start).chain(way.iter().copied());
                return Some(names.map(|member| format!("`{}`", member.id)).collect::<Vec<_>>().join(", "));
            }
            if seen.iter().any(|other| std::ptr::eq(*other, last)) {
                continue;
            }
            seen.push(last);
            if let Body::Correlation(section) = &last.document.body {
                let next = section.rules.iter().filter_map(|word| self.set.find(&word.text));
                ways.extend(next.map(|member| way.iter().copied().chain([member]).collect()));
            }
        }
        None
    }

    /// A list of fields, or one alone; none twice.
    fn fields(&mut self, name: &str, entry: Option<&Entry>) -> Vec<Word> {
        let Some(entry) = entry.filter(|entry| !entry.value.is_null()) else { return Vec::new() };
        let nodes = match &entry.value.kind {
            Kind::List(nodes) => nodes.as_slice(),
            Kind::Scalar(_) => std::slice::from_ref(&entry.value),
            Kind::Map(_) => {
                let message = format!("`{name}` is a field or a list of them, not a map");
                self.problems.error_hint(entry.key.span, message, format!("write `{name}: [user_name]`"));
                return Vec::new();
            }
        };
        let mut fields: Vec<Word> = Vec::new();
        for node in nodes {
            let text = node.scalar().map_or("", |scalar| scalar.text.trim());
            if text.is_empty() {
                let message = format!(
                    "an entry of `{name}` is {}",
                    if node.scalar().is_some() { "empty" } else { node.what() }
                );
                self.problems.error_hint(node.span, message, "write a field's name");
            } else if fields.iter().any(|other| other.text == text) {
                let message = format!("`{text}` stands twice in `{name}`");
                self.problems.error_hint(node.span, message, "take one of them out");
            } else {
                fields.push(Word { text: text.to_owned(), span: node.span });
            }
        }
        if let Some(one) = fields.get(MAX_FIELDS) {
            let message = format!("`{name}` lists more than {MAX_FIELDS} fields");
            self.problems.error_hint(one.span, message, "keep those that matter");
        }
        fields
    }

    fn timespan(&mut self) -> Option<Millis> {
        let Some(entry) = self.get("timespan") else {
            self.missing("timespan", "`correlation` needs `timespan`", "add `timespan: 10m`");
            return None;
        };
        let (span, text) =
            (place(entry), entry.value.scalar().map_or("", |scalar| scalar.text.trim()).to_owned());
        match timespan(&text) {
            Ok(timespan) => Some(timespan),
            Err((message, hint)) => {
                self.fault(span, message, hint);
                None
            }
        }
    }

    fn aliases(&mut self, rules: &[(Word, &Member)]) -> Vec<Alias> {
        let Some(entry) = self.get("aliases") else { return Vec::new() };
        let Some(entries) = entry.value.map() else {
            let message = format!("`aliases` is a map of aliases, not {}", entry.value.what());
            self.fault(entry.key.span, message, "write `aliases: {alias: {rule: field}}`");
            return Vec::new();
        };
        let mut aliases = Vec::new();
        for entry in entries {
            let name = Word { text: entry.key.text.clone(), span: entry.key.span };
            let Some(fields) = entry.value.map() else {
                let message =
                    format!("alias `{}` is a map of rules and fields, not {}", name.text, entry.value.what());
                self.fault(name.span, message, format!("write `{}: {{rule: field}}`", name.text));
                continue;
            };
            let mut alias = Alias { name, fields: BTreeMap::new() };
            for field in fields {
                self.alias_field(&mut alias, field, rules);
            }
            aliases.push(alias);
        }
        aliases
    }

    fn alias_field(&mut self, alias: &mut Alias, entry: &Entry, rules: &[(Word, &Member)]) {
        let rule = entry.key.text.as_str();
        let place_of =
            rules.iter().position(|(word, member)| word.text == rule || member.document.head.is_called(rule));
        let Some(place_of) = place_of else {
            let names = rules.iter().map(|(word, _)| word.text.as_str());
            let hint = match nearest(rule, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`rules` are {}", one_of(&names.collect::<Vec<_>>())),
            };
            let message = format!("alias `{}` is about `{rule}`, which is not in `rules`", alias.name.text);
            self.fault(entry.key.span, message, hint);
            return;
        };
        let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
        if text.is_empty() {
            let message = format!("alias `{}` needs a field of `{rule}`", alias.name.text);
            self.fault(place(entry), message, format!("write `{rule}: user_name`"));
        } else {
            alias.fields.insert(place_of, text.to_owned());
        }
    }

    /// Warns of aliases that nothing uses.
    fn tell_unused(&mut self, aliases: &[Alias], by: &[Word], fields: &[Word]) {
        for Alias { name, .. } in aliases {
            if !by.iter().chain(fields).any(|word| word.text == name.text) {
                let message = format!("nothing uses the alias `{}`", name.text);
                self.problems.warn(name.span, message, "name it in `group-by`, or take it out");
            }
        }
    }

    /// What the type and the condition ask, and of which fields.
    fn asks(&mut self, kind: &'static str) -> Option<(Asks, Vec<Word>)> {
        let temporal = matches!(kind, "temporal" | "temporal_ordered");
        let entry = self.get("condition");
        let occurrence = match entry {
            None if temporal => Occurrence::All,
            None => {
                let example = if kind == "event_count" { "{gte: 10}" } else { "{field: user_name, gte: 10}" };
                let message = format!("a correlation of type `{kind}` needs `condition`");
                self.missing("condition", &message, &format!("add `condition: {example}`"));
                return None;
            }
            Some(entry) if entry.value.map().is_some() => {
                let condition = self.condition(kind, entry)?;
                match self.counted(kind, entry, &condition)? {
                    Some(asks) => return Some((asks, condition.fields)),
                    None => Occurrence::Many(condition.bounds),
                }
            }
            Some(entry) if temporal => Occurrence::Named(self.named(&entry.value)?),
            Some(entry) => {
                let message = format!("`{kind}` compares a number, and this is no map of comparisons");
                self.fault(
                    place(entry),
                    message,
                    "write `condition: {gte: 10}`; names of rules are for temporal types",
                );
                return None;
            }
        };
        let asks = if kind == "temporal" { Asks::Rules(occurrence) } else { Asks::Ordered(occurrence) };
        Some((asks, Vec::new()))
    }

    /// What a map of comparisons asks, where its type is not temporal.
    fn counted(&mut self, kind: &'static str, entry: &Entry, condition: &Condition) -> Option<Option<Asks>> {
        let bounds = condition.bounds.clone();
        let aggregate = match kind {
            "event_count" => return Some(Some(Asks::Events(bounds))),
            "value_count" => None,
            "value_sum" => Some(Aggregate::Sum),
            "value_avg" => Some(Aggregate::Average),
            "value_median" => Some(Aggregate::Median),
            "value_percentile" => {
                if condition.percentile.is_none() {
                    let message = format!("the condition names no percentile; the {PERCENTILE}th is meant");
                    self.problems.warn(
                        entry.key.span,
                        message,
                        format!("write `percentile: {PERCENTILE}`, or another from 1 to 100"),
                    );
                }
                Some(Aggregate::Percentile(condition.percentile.unwrap_or(PERCENTILE)))
            }
            _ => return Some(None),
        };
        match (aggregate, condition.fields.as_slice()) {
            (_, []) => {
                let message = format!("a correlation of type `{kind}` needs `field` in its condition");
                let example = if aggregate.is_some() { "e2e_rtt" } else { "user_name" };
                self.fault(entry.key.span, message, format!("add `field: {example}`"));
                None
            }
            (None, _) => Some(Some(Asks::Values(bounds))),
            (Some(aggregate), [_]) => Some(Some(Asks::Number(aggregate, bounds))),
            (Some(_), [_, second, ..]) => {
                self.fault(second.span, format!("`{kind}` is of one field"), "take the others out");
                None
            }
        }
    }

    /// A map of comparisons.
    fn condition(&mut self, kind: &'static str, entry: &Entry) -> Option<Condition> {
        let words = Comparator::ALL.map(Comparator::as_str);
        let known: Vec<&str> = words.iter().chain(&CONDITION_KEYS).copied().collect();
        let before = self.problems.errors();
        self.tell_unknown(&entry.value, "`condition`", &known);
        let mut condition = Condition::default();
        for one in entry.value.map().unwrap_or_default() {
            let word = one.key.text.as_str();
            match Comparator::ALL.into_iter().find(|is| is.as_str() == word) {
                Some(is) => condition.bounds.extend(self.comparison(is, one)),
                None if word == "field" => condition.fields = self.fields("field", Some(one)),
                None if word == "percentile" => condition.percentile = self.percentile(one),
                None => {}
            }
        }
        let looks = kind.starts_with("value_");
        for (name, used) in [("field", looks), ("percentile", kind == "value_percentile")] {
            let there = entry.value.map().unwrap_or_default().iter().find(|one| one.key.text == name);
            if let (Some(there), false) = (there, used) {
                let message = format!("a correlation of type `{kind}` looks at no `{name}`");
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
        if matches!(kind, "event_count" | "value_count" | "temporal") {
            self.tell_silence(entry, &condition.bounds);
        }
        Some(condition)
    }

    fn comparison(&mut self, is: Comparator, entry: &Entry) -> Option<Comparison> {
        let text = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
        let bound = Number::parse(text);
        if bound.is_none() {
            let got = if text.is_empty() { entry.value.what().to_owned() } else { format!("`{text}`") };
            let word = is.as_str();
            self.fault(
                place(entry),
                format!("`{word}` takes a number, not {got}"),
                format!("write `{word}: 10`"),
            );
        }
        Some(Comparison { is, bound: bound? })
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

    /// An extended condition.
    fn named(&mut self, node: &Node) -> Option<Named> {
        let text = node.scalar().map_or(String::new(), |scalar| scalar.text.clone());
        let names: Vec<String> = self.section.rules.iter().map(|word| word.text.clone()).collect();
        let words = split(&text);
        let source = self.problems.source.clone();
        if words.is_empty() || words.len() > MAX_WORDS {
            let message = if words.is_empty() {
                "the condition is empty".to_owned()
            } else {
                format!("the condition has more than {MAX_WORDS} words")
            };
            self.fault(node.span, message, "join names of rules with `and`, `or` and `not`");
            return None;
        }
        let mut parser = Parser { words, at: 0, depth: 0, names: &names, used: vec![false; names.len()] };
        let named = parser.any().and_then(|named| {
            if parser.at < parser.words.len() { Err(parser.unexpected()) } else { Ok(named) }
        });
        let used = parser.used.clone();
        match named {
            Ok(named) => {
                let section = self.section;
                for (word, _) in section.rules.iter().zip(used).filter(|(_, used)| !used) {
                    let message = format!("the condition does not name `{}`", word.text);
                    self.problems.warn(word.span, message, "name it, or take it out of `rules`");
                }
                Some(named)
            }
            Err((word, message, hint)) => {
                let (at, end) =
                    parser.words.get(word).map_or((0, text.len()), |(at, word)| (*at, at + word.len()));
                self.fault(inside(&source, node, at, end), message, hint);
                None
            }
        }
    }

    /// `larum: {cooldown: 1h}`
    fn cooldown(&mut self) -> Option<Millis> {
        let section = self.section;
        let entry = section.larum.as_ref()?;
        if entry.value.map().is_none() {
            let message = format!("`larum` is a map of keys, not {}", entry.value.what());
            self.fault(entry.key.span, message, "write `larum: {cooldown: 1h}`");
            return None;
        }
        self.tell_unknown(&entry.value, "`larum`", &["cooldown"]);
        let cooldown = entry.value.map()?.iter().find(|entry| entry.key.text == "cooldown")?;
        let text = cooldown.value.scalar().map_or("", |scalar| scalar.text.trim());
        if text == "off" {
            return None;
        }
        match Millis::parse(text) {
            Ok(cooldown) => Some(cooldown),
            Err(fault) => {
                self.fault(place(cooldown), format!("`cooldown`: {fault}"), "write `larum: {cooldown: 1h}`");
                None
            }
        }
    }
}

/// Where to point at an entry: its value, or its key where there is none.
fn place(entry: &Entry) -> Span {
    if entry.value.span.start == entry.value.span.end { entry.key.span } else { entry.value.span }
}

/// What a document is to those that correlate it.
fn what(member: &Member, all_per_row: bool) -> What {
    match &member.matches {
        None => What::Firings(member.id.clone()),
        Some(expr) if member.per_row && !all_per_row => {
            // Beside one that asks for phases, a row is still one record to this one.
            let field = FieldName::declared("phase");
            let test = Test::Equals(vec![Literal::Text("start".to_owned())]);
            let spelt = "phase".to_owned();
            let start = Predicate { field, test, cased: false, spelt, span: member.document.head.at };
            What::Records(Expr::All(vec![Expr::Is(start), expr.clone()]))
        }
        Some(expr) => What::Records(expr.clone()),
    }
}

/// The field that a name of `group-by` or `field` stands for, in the rule at `place`.
fn field_of(aliases: &[Alias], place: usize, name: &str) -> FieldName {
    let alias = aliases.iter().find(|alias| alias.name.text == name);
    FieldName::spelt(alias.and_then(|alias| alias.fields.get(&place)).map_or(name, String::as_str))
}

/// Reads `10m`: one number and one unit.
fn timespan(text: &str) -> Result<Millis, (String, String)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    if count.is_empty() {
        let message = format!("`timespan` takes a number and a unit, not `{text}`");
        return Err((message, "write `timespan: 10m`".to_owned()));
    }
    if unit.is_empty() {
        let message = format!("`timespan: {text}` has no unit");
        return Err((message, format!("write `{count}s`, `{count}m`, `{count}h` or `{count}d`")));
    }
    let length = UNITS.into_iter().find(|(name, _)| unit.len() == 1 && unit.starts_with(*name));
    let Some((_, length)) = length else {
        let lower = unit.to_ascii_lowercase();
        let meant = UNITS.into_iter().find(|(name, _)| lower.starts_with(*name)).map(|(name, _)| name);
        let hint = match (meant, unit.chars().any(|c| c.is_ascii_digit())) {
            (_, true) => "one number and one unit: an hour and a half is `90m`".to_owned(),
            (Some(meant), false) => format!("did you mean `{count}{meant}`?"),
            (None, false) => "units are s, m, h, d, w, M and y".to_owned(),
        };
        return Err((format!("`{unit}` is no unit of a timespan"), hint));
    };
    let total = count.parse::<i64>().ok().and_then(|count| count.checked_mul(length)).unwrap_or(i64::MAX);
    match total {
        0 => Err((format!("`timespan: {text}` is no time at all"), "write `timespan: 10m`".to_owned())),
        _ if total > Millis::LONGEST.0 => {
            Err((format!("`timespan: {text}` is too long"), format!("{} is the longest", Millis::LONGEST)))
        }
        _ => Ok(Millis(total)),
    }
}

/// Words and parentheses with the byte where each begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        let parenthesis = matches!(c, '(' | ')');
        if parenthesis || c.is_whitespace() {
            words.extend(start.take().map(|start| (start, &text[start..at])));
        } else if start.is_none() {
            start = Some(at);
        }
        if parenthesis {
            words.push((at, &text[at..=at]));
        }
    }
    words.extend(start.map(|start| (start, &text[start..])));
    words
}

fn is_operator(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "(" | ")")
}

/// What is wrong with which word, and the way out.
type Wrong = (usize, String, String);

/// Reads an extended condition: `not` binds closest, then `and`, then `or`.
struct Parser<'t> {
    words: Vec<(usize, &'t str)>,
    at: usize,
    depth: usize,
    names: &'t [String],
    used: Vec<bool>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(|(_, word)| *word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Named, Wrong> {
        let mut parts = vec![self.all()?];
        while self.eat("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Named::Any(parts) })
    }

    fn all(&mut self) -> Result<Named, Wrong> {
        let mut parts = vec![self.not()?];
        while self.eat("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Named::All(parts) })
    }

    fn not(&mut self) -> Result<Named, Wrong> {
        let mut negated = false;
        while self.eat("not") {
            negated = !negated;
        }
        let part = self.atom()?;
        Ok(if negated { Named::Not(Box::new(part)) } else { part })
    }

    fn atom(&mut self) -> Result<Named, Wrong> {
        let open = self.at;
        if self.eat("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                let message = format!("parentheses are more than {MAX_DEPTH} deep");
                return Err((open, message, "make a correlation of a part, and refer to it".to_owned()));
            }
            let part = self.any()?;
            if !self.eat(")") {
                return Err((open, "this `(` is never closed".to_owned(), "add `)`".to_owned()));
            }
            self.depth -= 1;
            return Ok(part);
        }
        let Some(word) = self.peek().filter(|word| !is_operator(word)) else { return Err(self.unexpected()) };
        let Some(number) = self.names.iter().position(|name| name == word) else {
            let hint = match (word, nearest(word, self.names.iter().map(String::as_str))) {
                ("AND" | "OR" | "NOT" | "&&" | "||" | "!", _) => {
                    "the words are `and`, `or` and `not`".to_owned()
                }
                (_, Some(near)) => format!("did you mean `{near}`?"),
                (_, None) => "name it in `rules`".to_owned(),
            };
            return Err((self.at, format!("the condition names `{word}`, which is not in `rules`"), hint));
        };
        self.used[number] = true;
        self.at += 1;
        Ok(Named::Rule(number))
    }

    fn unexpected(&self) -> Wrong {
        match self.peek() {
            Some(word) => {
                let hint = match word {
                    "AND" | "OR" | "NOT" | "&&" | "||" | "!" => "the words are `and`, `or` and `not`",
                    _ => "join names of rules with `and` or `or`, and close what you open",
                };
                (self.at, format!("`{word}` cannot stand here"), hint.to_owned())
            }
            None => (
                self.words.len().saturating_sub(1),
                "the condition stops too early".to_owned(),
                "a name of a rule is missing at its end".to_owned(),
            ),
        }
    }
}
