//! A rule file's text to a [`Spec`], and every fault of it at once.
//!
//! Each file here reads one part of the language: `rule` the top level, `condition`, `predicate` and
//! `literal` what a record must be, `selection` the words of a `condition`, `verbs` the stateful part,
//! `cases` the tests; `taken` opens maps by the table of keys and `values` reads single values.
//! A fault is noted and reading goes on. Nothing here compiles, opens a file or knows a template.

mod cases;
mod condition;
pub(super) mod literal;
pub(super) mod predicate;
mod rule;
pub(super) mod selection;
mod taken;
#[cfg(test)]
mod tests;
pub(super) mod values;
mod verbs;

use std::sync::Arc;

use chrono_tz::Tz;

use super::SEMANTICS;
use super::keys::{Language, RULE_FILES};
use super::problem::{Problems, Span};
use super::spec::{ListNames, Spec};
use super::suggest;
use super::yaml::{self, Node};
use crate::record::FieldName;
use crate::record::field::VOCABULARY;

pub(crate) use taken::Taken;

/// What verbs make and records do not have; people look for these in conditions.
const OF_VERBS: [&str; 6] = ["count", "value", "samples", "score", "repeats", "threshold"];

/// What a rule file cannot say itself.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Fields that file sources declare under `fields:`.
    pub declared: &'a [String],
    /// The zone in which `until: 2027-01-31` ends.
    pub zone: Tz,
    /// Names of the lists that there are.
    pub lists: &'a [String],
    /// Lists that hold accounts with a domain, and the first of each: `user` is never such a value.
    pub with_domain: &'a [(String, String)],
    /// Scripts in files of their own: (path, text).
    pub scripts: &'a [(String, String)],
    /// Lists that the rule's own tests give are known too: nobody has said which there are.
    pub lists_of_tests: bool,
    /// Receivers that rules may name; none: nobody has said which there are.
    pub receivers: Option<&'a [String]>,
    /// Version of the engine's meaning that the rules were in force under; see [`SEMANTICS`].
    pub semantics: u32,
}

impl Default for Options<'_> {
    /// No declared fields, no lists, UTC.
    fn default() -> Self {
        Self {
            declared: &[],
            zone: Tz::UTC,
            lists: &[],
            with_domain: &[],
            scripts: &[],
            lists_of_tests: false,
            receivers: None,
            semantics: SEMANTICS,
        }
    }
}

/// Reads the rule that `source` holds; `file` only names it in messages. A rule comes back where
/// enough of it could be read for the checks that come next; it may run if no problem is an error.
pub fn decode(file: &str, source: &str, options: &Options<'_>) -> (Option<Spec>, Problems) {
    // A byte order mark is no part of the text; editors on Windows write it.
    let source: Arc<str> = source.strip_prefix('\u{feff}').unwrap_or(source).into();
    let mut problems = Problems::new(file, source.clone());
    let Some(root) = yaml::parse(&mut problems) else { return (None, problems) };
    let by = rule::group_of_facts(&root, options);
    let lists = ListNames::default();
    let mut cx = Cx { problems, source, options, language: &RULE_FILES, by, lists };
    let spec = rule::rule(&mut cx, &root);
    (spec, cx.problems)
}

/// What every part of the decoder needs.
pub(crate) struct Cx<'a> {
    pub problems: Problems,
    pub source: Arc<str>,
    pub options: &'a Options<'a>,
    /// What is decoded.
    pub language: &'static Language,
    /// Lists that may be named, and those that are.
    pub lists: ListNames,
    /// Whose past `new`, `known` and `unseen_for` ask about.
    pub by: Vec<FieldName>,
}

impl Cx<'_> {
    pub(super) fn fault(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.error_hint(span, message, hint);
    }

    pub(super) fn warn(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.warn(span, message, hint);
    }

    /// Where a part of a scalar's text stands.
    pub(super) fn inside(&self, node: &Node, start: usize, end: usize) -> Span {
        yaml::inside(&self.source, node, start, end)
    }

    /// Notes that the rule reads the list called `name`; false, and told, where there is none.
    pub(super) fn list(&mut self, name: &str, span: Span) -> bool {
        self.lists.read.insert(name.to_owned());
        if self.lists.known.iter().any(|known| known == name) {
            return true;
        }
        let hint = self.lists.way_out(name);
        self.fault(span, format!("there is no list `{name}`"), hint);
        false
    }

    /// The field that `spelling` means. `others` are words that could have been meant at this place.
    fn field(&mut self, spelling: &str, span: Span, others: &[&str]) -> Option<FieldName> {
        if let Some(field) = FieldName::resolve(spelling) {
            return Some(field);
        }
        if self.options.declared.iter().any(|declared| declared == spelling) {
            return Some(FieldName::declared(spelling));
        }
        let declared = self.options.declared.iter().map(String::as_str);
        let known =
            VOCABULARY.iter().flat_map(|info| std::iter::once(info.name).chain(info.aliases.iter().copied()));
        let candidates = others.iter().copied().chain(known).chain(declared);
        let hint = match suggest::nearest(spelling, candidates) {
            Some(near) => format!("did you mean `{near}`?"),
            None if spelling.is_empty() => "name a field".to_owned(),
            None if OF_VERBS.contains(&spelling) => format!(
                "conditions look at a record, and `{spelling}` is a verb's: the alert's text can say it; another bound is another rule"
            ),
            None => {
                format!("a field that the vendor sends and that has no name here is read as `raw.{spelling}`")
            }
        };
        self.fault(span, format!("unknown field `{spelling}`"), hint);
        None
    }
}
