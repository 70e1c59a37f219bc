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

mod condition;
mod named;
mod timespan;

use std::collections::BTreeMap;

use super::super::keys::one_of;
use super::super::problem::{Problems, Span};
use super::super::spec::correlate::{Aggregate, CorrelateSpec, Correlated, What};
use super::super::spec::{Cooldown, Expr, Grouping, Literal, Mode, Predicate, Spec, Test, Verb};
use super::super::suggest::{comparison, nearest};
use super::super::yaml::{Entry, Kind, Node};
use super::set::{Member, Set};
use super::{Body, Section, Word};
use crate::record::{FieldName, Millis};

pub(super) use named::named_rules;
use timespan::timespan;

/// Every type of correlation.
const TYPES: [(&str, Type); 8] = [
    ("event_count", Type::Events),
    ("value_count", Type::Values),
    ("temporal", Type::Rules),
    ("temporal_ordered", Type::Ordered),
    ("value_sum", Type::Number(Aggregate::Sum)),
    ("value_avg", Type::Number(Aggregate::Average)),
    ("value_percentile", Type::Number(Aggregate::Percentile(PERCENTILE))),
    ("value_median", Type::Number(Aggregate::Median)),
];
/// What may stand below `correlation`.
const KEYS: [&str; 7] = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
/// The percentile where a condition does not say.
const PERCENTILE: u8 = 50;
/// Fields of `group-by` or of `field`.
const MAX_FIELDS: usize = 32;

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
    spec.verb = Some(Verb::Correlate(Box::new(verb)));
    Some(spec)
}

/// What a correlation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Events,
    Values,
    Rules,
    Ordered,
    /// The percentile is the condition's to say.
    Number(Aggregate),
}

impl Type {
    /// Its word.
    fn as_str(self) -> &'static str {
        TYPES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    fn is_temporal(self) -> bool {
        matches!(self, Self::Rules | Self::Ordered)
    }
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
        let (asks, fields) = self.asks(kind?)?;
        self.tell_unused(&aliases, &by, &fields);
        let per_row = rules.iter().all(|(_, member)| member.per_row);
        let of = rules.iter().enumerate().map(|(place, (word, member))| {
            let names =
                |words: &[Word]| words.iter().map(|word| field_of(&aliases, place, &word.text)).collect();
            let (by, fields) = (names(&by), names(&fields));
            let (name, rule) = (word.text.clone(), member.id.clone());
            let title = member.document.head.title.clone();
            Correlated { name, title, rule, what: what(member, per_row), by, fields }
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
            let meant = comparison(word).filter(|ours| known.contains(ours));
            let hint = match (word, meant.or_else(|| nearest(word, known.iter().copied()))) {
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

    fn kind(&mut self) -> Option<Type> {
        let words = TYPES.map(|(word, _)| word);
        let Some(entry) = self.get("type") else {
            let hint = format!("add `type: event_count`, or another of {}", one_of(&words));
            self.missing("type", "`correlation` needs `type`", &hint);
            return None;
        };
        let (span, text) =
            (place(entry), entry.value.scalar().map_or("", |scalar| scalar.text.trim()).to_owned());
        if let Some((_, kind)) = TYPES.into_iter().find(|(word, _)| *word == text) {
            return Some(kind);
        }
        let hint = match nearest(&text, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write {}", one_of(&words)),
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
