//! Documents put together: which means which, what filters leave out, and the rules that come of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::decode::Options;
use super::super::problem::Problems;
use super::super::spec::{About, AlertText, Expr, ListNames, Literal, Mode, Predicate, Spec, Test};
use super::super::suggest;
use super::document::{Read, read};
use super::{Body, Document, Head, LogSource, Word, correlation};
use crate::record::{FieldName, Level, Millis, RuleId};

/// How late a record may come; documents cannot say.
const LATE_WITHIN: Millis = Millis::hours(1);
/// The level of a document that gives none.
const LEVEL: Level = Level::Medium;

/// Whose records the logsources of documents are: the first line that covers one says it; where none
/// does, everybody's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogSourceMap(pub Vec<LogSourceLine>);

/// One line of the map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSourceLine {
    /// Of documents about this.
    pub logsource: LogSource,
    /// Records are of one of these kinds; empty: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Records are of one of these services; empty: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

impl LogSourceMap {
    /// True where it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What records of `logsource` are, if it says.
    fn expr(&self, head: &Head) -> Vec<Expr> {
        let Some(line) = self.0.iter().find(|line| line.logsource.covers(&head.logsource)) else {
            return Vec::new();
        };
        let is = |name: &str, words: &[String]| {
            let field = FieldName::resolve(name).filter(|_| !words.is_empty())?;
            let words = words.iter().map(|word| Literal::Text(word.clone())).collect();
            let spelt = "logsource".to_owned();
            Some(Expr::Is(Predicate { field, test: Test::Equals(words), cased: false, spelt, span: head.at }))
        };
        [is("kind", &line.kinds), is("service", &line.services)].into_iter().flatten().collect()
    }
}

/// A document among others.
#[derive(Debug)]
pub struct Member {
    /// The document.
    pub document: Document,
    /// The rule that it makes.
    pub id: RuleId,
    /// The file it stands in.
    pub file: String,
    /// Of a detection: what its records are, logsource and filters included.
    pub matches: Option<Expr>,
    /// A row is one record to it.
    pub per_row: bool,
    /// A correlation reads it that does not say `generate`: it makes no alerts of its own.
    pub silent: bool,
    /// Lists that it names, filters' included.
    pub lists: ListNames,
    /// Its number among all that were read.
    place: usize,
}

/// Every document that can be read.
#[derive(Debug, Default)]
pub struct Set {
    /// Version of the engine's meaning that rules made of them are of.
    semantics: u32,
    /// In the order in which they were read.
    pub members: Vec<Member>,
    by_word: BTreeMap<String, usize>,
    /// What documents are called that do not load.
    failed: BTreeSet<String>,
}

/// What became of one document.
#[derive(Debug)]
pub struct Loaded {
    /// The rule that it makes, if it loads and makes one.
    pub spec: Option<Box<Spec>>,
    /// True where it loads: a filter makes no rule.
    pub loads: bool,
    /// What it is called.
    pub called: Option<String>,
    /// What there is to tell.
    pub problems: Problems,
}

/// Reads every document of `texts`: (name of the file, its text).
pub fn load(texts: Vec<(String, String)>, options: &Options<'_>, logsources: &LogSourceMap) -> Vec<Loaded> {
    let mut set = Set { semantics: options.semantics, ..Set::default() };
    let mut loaded = Vec::with_capacity(texts.len());
    set.members.reserve(texts.len());
    for (file, text) in texts {
        for Read { document, lists, called, mut problems } in read(&file, &text, options) {
            let member = document.and_then(|document| {
                let place = loaded.len();
                set.member(document, lists, &file, place, &mut problems)
            });
            let loads = member.is_some();
            match member {
                Some(member) => set.members.push(member),
                None => set.failed.extend(called.clone()),
            }
            loaded.push(Loaded { spec: None, loads, called, problems });
        }
    }
    set.silence();
    set.put_together(logsources, &mut loaded);
    // Correlations read what the detections are, which then goes into their rules.
    for number in 0..set.members.len() {
        let member = &set.members[number];
        let one = &mut loaded[member.place];
        if let Body::Correlation(_) = &member.document.body {
            one.spec = correlation::spec(&set, number, &mut one.problems).map(Box::new);
        }
        one.loads = !one.problems.has_errors();
    }
    for number in 0..set.members.len() {
        let member = &mut set.members[number];
        let place = member.place;
        let Some(matches) = member.matches.take().filter(|_| !member.silent) else { continue };
        loaded[place].spec = Some(Box::new(set.rule(number, matches)));
    }
    loaded
}

impl Set {
    /// The document that `reference` means, by name or id.
    pub fn find(&self, reference: &str) -> Option<&Member> {
        self.number(reference).map(|number| &self.members[number])
    }

    fn number(&self, reference: &str) -> Option<usize> {
        let number =
            self.by_word.get(reference).or_else(|| self.by_word.get(&reference.to_ascii_lowercase()));
        number.copied().filter(|number| self.members[*number].document.head.is_called(reference))
    }

    /// Tells that there is no document `reference`, and what may have been meant.
    pub fn tell_missing(&self, reference: &Word, problems: &mut Problems) {
        let text = &reference.text;
        if self.failed.contains(text) {
            problems.error_hint(
                reference.span,
                format!("the document `{text}` does not load"),
                "mend it first",
            );
            return;
        }
        let hint = match suggest::nearest(text, self.by_word.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write the `name` or the `id` of a document in the same folders".to_owned(),
        };
        problems.error_hint(reference.span, format!("no document is called `{text}`"), hint);
    }

    /// Takes a document in; none if another one is called so, or nothing can call it.
    fn member(
        &mut self,
        mut document: Document,
        lists: ListNames,
        file: &str,
        place: usize,
        problems: &mut Problems,
    ) -> Option<Member> {
        let head = &document.head;
        let Some(id) = head.rule_id() else {
            problems.error_hint(
                head.at,
                "nothing tells this document from others",
                "give it a `title`, a `name` or an `id`",
            );
            return None;
        };
        let mut words: Vec<(String, super::Span)> = Vec::new();
        words.extend(head.name.iter().map(|word| (word.text.clone(), word.span)));
        words.extend(head.id.iter().map(|word| (word.text.to_ascii_lowercase(), word.span)));
        for (word, span) in &words {
            if let Some(other) = self.by_word.get(word) {
                let message =
                    format!("a document in `{}` is called `{word}` already", self.members[*other].file);
                problems.error_hint(*span, message, "give one of them another");
                return None;
            }
        }
        let number = self.members.len();
        self.by_word.extend(words.into_iter().map(|(word, _)| (word, number)));
        let matches = match &mut document.body {
            Body::Detection(expr) => expr.take(),
            Body::Correlation(_) | Body::Filter(_) => None,
        };
        let per_row = !matches.as_ref().is_some_and(asks_phase);
        Some(Member { document, id, file: file.to_owned(), matches, per_row, silent: false, lists, place })
    }

    /// Notes which documents are only there for correlations.
    fn silence(&mut self) {
        let (mut read, mut generated) = (BTreeSet::new(), BTreeSet::new());
        for member in &self.members {
            if let Body::Correlation(section) = &member.document.body {
                let numbers = section.rules.iter().filter_map(|word| self.number(&word.text));
                if section.generate { generated.extend(numbers) } else { read.extend(numbers) }
            }
        }
        for (number, member) in self.members.iter_mut().enumerate() {
            member.silent = read.contains(&number) && !generated.contains(&number);
        }
    }

    /// What records are by logsource and filters joins what they are by themselves.
    fn put_together(&mut self, logsources: &LogSourceMap, loaded: &mut [Loaded]) {
        let mut more: BTreeMap<usize, (Vec<Expr>, ListNames)> = BTreeMap::new();
        for member in &self.members {
            let Body::Filter(filter) = &member.document.body else { continue };
            let problems = &mut loaded[member.place].problems;
            for number in self.filtered(member, filter, problems) {
                let (exprs, lists) = more.entry(number).or_default();
                exprs.push(filter.expr.clone());
                lists.read.extend(member.lists.read.iter().cloned());
            }
        }
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(own) = member.matches.take() else { continue };
            let (filters, lists) = more.remove(&number).unwrap_or_default();
            member.lists.read.extend(lists.read);
            member.per_row = member.per_row && !filters.iter().any(asks_phase);
            let mut parts = logsources.expr(&member.document.head);
            parts.push(own);
            parts.extend(filters);
            member.matches = Some(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::All(parts) });
        }
    }

    /// The detections that a filter is about.
    fn filtered(&self, member: &Member, filter: &super::Filter, problems: &mut Problems) -> Vec<usize> {
        let logsource = &member.document.head.logsource;
        let Some(words) = &filter.rules else {
            let covered = self.members.iter().enumerate().filter(|(_, other)| {
                other.matches.is_some() && logsource.covers(&other.document.head.logsource)
            });
            return covered.map(|(number, _)| number).collect();
        };
        let mut numbers = Vec::new();
        for word in words {
            let Some(number) = self.number(&word.text) else {
                self.tell_missing(word, problems);
                continue;
            };
            let other = &self.members[number];
            if other.matches.is_none() {
                problems.error_hint(
                    word.span,
                    format!("`{}` is no detection, and filters are about detections", word.text),
                    "name the documents that it reads",
                );
            } else if !logsource.covers(&other.document.head.logsource) {
                problems.error_hint(
                    word.span,
                    format!("`{}` is of another logsource than this filter", word.text),
                    "give the filter the logsource of its documents, or only what they have in common",
                );
            } else {
                numbers.push(number);
            }
        }
        numbers
    }

    /// The rule that member `number` makes of these records.
    pub(super) fn rule(&self, number: usize, matches: Expr) -> Spec {
        let member = &self.members[number];
        let head = &member.document.head;
        let (attack, tags) = techniques(&head.tags);
        Spec {
            semantics: self.semantics,
            id: member.id.clone(),
            id_span: head.name.as_ref().or(head.id.as_ref()).map_or(head.at, |word| word.span),
            title: head.title.clone(),
            level: head.level.unwrap_or(LEVEL),
            matches,
            per_row: member.per_row,
            declared: Vec::new(),
            lists: member.lists.clone(),
            hours: None,
            verb: None,
            except: Vec::new(),
            levels: Vec::new(),
            cooldown: None,
            late_within: LATE_WITHIN,
            quiet_while: Vec::new(),
            mode: Mode::Live,
            notify: Vec::new(),
            alert: AlertText {
                show: head.fields.iter().map(|name| FieldName::spelt(name)).collect(),
                ..AlertText::default()
            },
            about: About {
                why: None,
                attack,
                falsepositives: head.falsepositives.clone(),
                tags,
                status: head.status.clone(),
                description: head.description.clone(),
                references: head.references.clone(),
                author: head.author.clone(),
                date: head.date.clone(),
            },
            tests: Vec::new(),
        }
    }
}

/// `attack.t1110.001` as the technique `T1110.001`, and what is left of the tags.
fn techniques(tags: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut attack, mut rest) = (Vec::new(), Vec::new());
    for tag in tags {
        let number = tag.to_ascii_lowercase().strip_prefix("attack.t").map(str::to_owned);
        match number.filter(|number| number.starts_with(|c: char| c.is_ascii_digit())) {
            Some(number) => attack.push(format!("T{number}")),
            None => rest.push(tag.clone()),
        }
    }
    (attack, rest)
}

/// Whether a condition speaks of phases.
fn asks_phase(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(asks_phase),
        Expr::Not(part) => asks_phase(part),
        Expr::Is(predicate) => predicate.field == FieldName::spelt("phase"),
    }
}
