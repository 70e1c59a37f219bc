//! All that decides, besides the records: rules, bounds and tables, as text and compiled.
//!
//! The text is what the store keeps, by digest, so that a journal can be fed again long after the
//! rule files have changed. The same text always compiles to the same generation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::MAX_GROUPS;
use super::links;
use super::seen::Wants;
use crate::record::fact::{Facts, FailureKind};
use crate::record::field::VOCABULARY;
use crate::record::{Columns, Millis, Phase, RuleId};
use crate::rule::SEMANTICS;
use crate::rule::compile::{Program, Programs, Rule};
use crate::rule::decode::{Options, decode};
use crate::rule::lists::{ListText, Lists};
use crate::rule::pattern::Pattern;
use crate::rule::problem::{Problems, Span};
use crate::rule::script::Script;
use crate::rule::sigma::{self, LogSourceMap};
use crate::rule::spec::Spec;

/// Bounds that decide something; part of the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Groups a rule.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { groups: MAX_GROUPS }
    }
}

/// All that decides, besides the records: rules and bounds, compiled together.
#[derive(Debug)]
pub struct Generation {
    /// The rules, and the lists that they read.
    pub programs: Programs,
    /// The fields that batches must hold for them.
    pub columns: Arc<Columns>,
    /// The bounds.
    pub limits: Limits,
    /// What facts are made with.
    pub facts: Arc<Facts>,
    /// Of a generation that was compiled from its text, the text's digest (32 hexadecimal digits);
    /// else a digest of rules and bounds (16).
    pub digest: String,
    /// Rules that are here because others hear of them, and are not meant themselves.
    pub(super) helpers: BTreeSet<RuleId>,
    /// Digest of what its rules mean: state of other rules is no state of these.
    pub(super) meaning: String,
}

/// A rule that passed every check, waiting to be compiled into a generation.
#[derive(Debug, Clone)]
pub struct CheckedRule {
    rule: Arc<Rule>,
    script: Option<Arc<Script>>,
}

impl CheckedRule {
    /// Checks what decoding cannot see. None if there are errors; all of them are in `problems`.
    pub fn new(spec: Spec, problems: &mut Problems) -> Option<Self> {
        let (rule, script) = crate::rule::compile::rule(spec, problems)?;
        Some(Self { rule, script })
    }

    /// Its rule.
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

impl Generation {
    /// Compiles `rules` together; facts are made by the defaults. `columns` holds what the source
    /// wants of each row for itself.
    pub fn new(rules: Vec<CheckedRule>, columns: Columns, limits: Limits) -> Self {
        Self::among(rules, columns, limits, Lists::default())
    }

    /// The same with the lists that the rules read.
    pub fn among(rules: Vec<CheckedRule>, mut columns: Columns, limits: Limits, lists: Lists) -> Self {
        let rules: Vec<_> = rules.into_iter().map(|checked| (checked.rule, checked.script)).collect();
        let programs = Programs::compile_among(rules, &mut columns, lists);
        if programs.list.iter().any(|program| program.accepts(Phase::Amended)) {
            // What changed is told of every field with a name.
            VOCABULARY.iter().filter(|info| !info.produced).for_each(|info| {
                columns.want_known(info.name);
            });
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(limits.groups as u64).to_le_bytes());
        for program in &programs.list {
            hasher.update(program.rule.id().as_str().as_bytes());
            hasher.update(&program.rule.revision.0);
            hasher.update(program.rule.spec.level.as_str().as_bytes());
        }
        let meaning = hasher.finalize().to_hex()[..16].to_owned();
        // What lists hold decides, and is nobody's state.
        for (name, list) in programs.predicates.lists().iter() {
            hasher.update(name.as_bytes());
            hasher.update(list.digest().as_bytes());
        }
        let digest = hasher.finalize().to_hex()[..16].to_owned();
        let (columns, helpers) = (columns.freeze(), BTreeSet::new());
        Self { programs, columns, limits, facts: Arc::default(), digest, helpers, meaning }
    }

    /// Every rule.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.programs.list.iter().map(|program| &program.rule)
    }

    /// The rule called `id`.
    pub fn rule(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        self.position(id).map(|number| &self.programs.list[number].rule)
    }

    /// The number of the program of the rule called `id`.
    pub fn position(&self, id: &RuleId) -> Option<usize> {
        self.programs.numbers.get(id).copied()
    }

    /// Every list.
    pub fn lists(&self) -> &Lists {
        self.programs.predicates.lists()
    }

    /// The number of the program that means what `program` of another generation means.
    pub fn same(&self, program: &Program) -> Option<usize> {
        let number = self.position(program.rule.id())?;
        (self.programs.list[number].rule.revision == program.rule.revision).then_some(number)
    }

    /// What its rules want of rows, besides their first records.
    pub(super) fn wants(&self) -> Wants {
        let list = &self.programs.list;
        Wants {
            ends: list.iter().any(|program| program.accepts(Phase::End)),
            amendments: list.iter().any(|program| program.accepts(Phase::Amended)),
        }
    }

    /// Longest lateness any of its rules still takes in. What judges on arrival puts nothing in at its
    /// own time.
    pub(super) fn horizon(&self) -> Millis {
        let waits = self.programs.list.iter().filter(|program| !program.on_arrival);
        waits.map(|program| program.late_within).max().unwrap_or_default()
    }
}

/// A generation as text: what the store keeps by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationText {
    /// Version of the engine's meaning; see [`SEMANTICS`].
    pub semantics: u32,
    /// Rule files, in the order in which they are read: of two rules with one id, the first counts.
    pub rules: Vec<RuleText>,
    /// Fields that file sources declare.
    pub declared: Vec<String>,
    /// Codes whose failure kind configuration gives.
    pub failure_codes: Vec<(String, FailureKind)>,
    /// Patterns over reasons whose failure kind configuration gives; the first that matches counts.
    pub failure_reasons: Vec<(String, FailureKind)>,
    /// How far records may be out of order.
    pub settle: Millis,
    /// The zone in which days of rules end.
    #[serde(with = "zone_name")]
    pub zone: chrono_tz::Tz,
    /// The bounds.
    pub limits: Limits,
    /// Scripts that stand beside their rules, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<RuleText>,
    /// Files of Sigma documents, in the order in which they are read: what of theirs is called as a rule
    /// file is does not load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sigma: Vec<RuleText>,
    /// Whose records the logsources of documents are.
    #[serde(default, skip_serializing_if = "LogSourceMap::is_empty")]
    pub logsources: LogSourceMap,
    /// Lists by name. Their texts are kept apart, by digest: see [`Self::lacks`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListText>,
}

/// One rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Its name, for messages.
    pub file: String,
    /// What it holds.
    pub text: String,
}

impl Default for GenerationText {
    /// No rules, UTC.
    fn default() -> Self {
        Self {
            semantics: SEMANTICS,
            rules: Vec::new(),
            declared: Vec::new(),
            failure_codes: Vec::new(),
            failure_reasons: Vec::new(),
            settle: Millis::secs(60),
            zone: chrono_tz::Tz::UTC,
            limits: Limits::default(),
            scripts: Vec::new(),
            sigma: Vec::new(),
            logsources: LogSourceMap::default(),
            lists: Vec::new(),
        }
    }
}

/// A generation that was compiled from its text, and what did not load.
#[derive(Debug)]
pub struct Compiled {
    /// Everything that loads.
    pub generation: Arc<Generation>,
    /// Files with something to tell, in their order.
    pub problems: Vec<Problems>,
    /// Ids of rules that did not load, where the id itself could be read.
    pub failed: Vec<String>,
}

impl GenerationText {
    /// The one JSON text of it: keys in the order of the fields, no white space.
    pub fn json(&self) -> String {
        // Names are text and there is no map: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Self::json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Digests of the texts that it was read without.
    pub fn lacks(&self) -> Vec<String> {
        let empty = ListText::new("", "", "").digest;
        let lacking = self.lists.iter().filter(|list| list.text.is_empty() && list.digest != empty);
        lacking.map(|list| list.digest.clone()).collect()
    }

    /// Gives the text that has this digest.
    pub fn give(&mut self, digest: &str, text: &Arc<str>) {
        for list in self.lists.iter_mut().filter(|list| list.digest == digest) {
            list.text = text.clone();
        }
    }

    /// Digest of the JSON text; 32 hexadecimal digits.
    pub fn digest(&self) -> String {
        blake3::hash(self.json().as_bytes()).to_hex()[..32].to_owned()
    }

    /// Compiles it. Rules that do not load are left out and named.
    pub fn compile(&self) -> Compiled {
        self.compile_where(None, |_| true)
    }

    /// The same where rules may name no other receivers than these.
    pub fn compile_for(&self, receivers: &[String]) -> Compiled {
        self.compile_where(Some(receivers), |_| true)
    }

    /// The same with no other rules than these and those that they hear of.
    pub fn compile_only(&self, rules: &BTreeSet<RuleId>) -> Compiled {
        self.compile_where(None, |id| rules.contains(id))
    }

    fn compile_where(&self, receivers: Option<&[String]>, wanted: impl Fn(&RuleId) -> bool) -> Compiled {
        let texts = self.rules.iter().map(|rule| (rule.file.clone(), rule.text.clone())).collect();
        let names: Vec<String> = self.lists.iter().map(|list| list.name.clone()).collect();
        let script = |script: &RuleText| (script.file.clone(), script.text.clone());
        let scripts: Vec<(String, String)> = self.scripts.iter().map(script).collect();
        let mut unread = Vec::new();
        let lists = Lists::read(&self.lists, self.zone, &mut unread);
        let options = Options {
            declared: &self.declared,
            zone: self.zone,
            lists: &names,
            with_domain: &lists.with_domain(),
            scripts: &scripts,
            lists_of_tests: false,
            receivers,
            semantics: self.semantics,
        };
        let sigma = self.sigma.iter().map(|file| (file.file.clone(), file.text.clone())).collect();
        let mut loaded =
            load_beside(texts, Documents { texts: sigma, logsources: &self.logsources }, &options);
        let meant: BTreeSet<RuleId> =
            loaded.rules.iter().map(|rule| rule.rule().id().clone()).filter(|id| wanted(id)).collect();
        let rules = links::Hearing::of(&loaded.rules).with_heard(&meant);
        loaded.problems.extend(unread);
        let mut generation = Generation::among(rules, Columns::default(), self.limits, lists);
        let ids = generation.programs.list.iter().map(|program| program.rule.id().clone());
        generation.helpers = ids.filter(|id| !meant.contains(id)).collect();
        generation.facts = Arc::new(self.facts(&mut loaded.problems));
        generation.digest = self.digest();
        Compiled { generation: Arc::new(generation), problems: loaded.problems, failed: loaded.failed }
    }

    fn facts(&self, problems: &mut Vec<Problems>) -> Facts {
        let mut reasons = Vec::new();
        for (pattern, kind) in &self.failure_reasons {
            match RegexBuilder::new(pattern).size_limit(Pattern::SIZE_LIMIT).build() {
                Ok(regex) => reasons.push((regex, *kind)),
                Err(error) => {
                    let mut fault = Problems::new("failure_reasons", pattern.as_str());
                    fault.error(Span { start: 0, end: pattern.len() }, error.to_string());
                    problems.push(fault);
                }
            }
        }
        Facts::new(&self.failure_codes, reasons)
    }
}

/// Rules that loaded, and what did not.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rules without an error.
    pub rules: Vec<CheckedRule>,
    /// Files with something to tell, in the order they were given.
    pub problems: Vec<Problems>,
    /// Ids of rules that did not load, where the id itself could be read.
    pub failed: Vec<String>,
}

/// Sigma documents to load beside rules.
#[derive(Debug)]
pub struct Documents<'a> {
    /// Names of files and their texts.
    pub texts: Vec<(String, String)>,
    /// Whose records their logsources are.
    pub logsources: &'a LogSourceMap,
}

/// Reads rules one by one: (name of the file, its text). Of two with one id, the first counts. Rules
/// that name rules which are not there, or each other in a circle, do not load.
pub fn load(texts: Vec<(String, String)>, options: &Options<'_>) -> Loaded {
    load_beside(texts, Documents { texts: Vec::new(), logsources: &LogSourceMap::default() }, options)
}

/// The same with Sigma documents, which come behind the rules.
pub fn load_beside(texts: Vec<(String, String)>, documents: Documents<'_>, options: &Options<'_>) -> Loaded {
    let mut read: Vec<links::Read> = Vec::new();
    let mut taken: BTreeMap<RuleId, String> = BTreeMap::new();
    for (name, text) in texts {
        let (spec, mut problems) = decode(&name, &text, options);
        let broken = problems.has_errors();
        let rule = spec.and_then(|spec| {
            if broken {
                return CheckedRule::new(spec, &mut problems);
            }
            checked(spec, &name, &mut taken, &mut problems)
        });
        let id = id_of(&text);
        read.push(links::Read { rule, problems, id });
    }
    for sigma::Loaded { spec, loads, called, mut problems } in
        sigma::load(documents.texts, options, documents.logsources)
    {
        let file = problems.file.clone();
        let makes_one = spec.is_some();
        let rule = spec.and_then(|spec| checked(*spec, &file, &mut taken, &mut problems));
        let id = called.filter(|_| !loads || (makes_one && rule.is_none()));
        read.push(links::Read { rule, problems, id });
    }
    links::check(&mut read);
    let mut loaded = Loaded::default();
    for links::Read { rule, problems, id } in read {
        if rule.is_none() {
            loaded.failed.extend(id);
        }
        loaded.rules.extend(rule);
        if !problems.is_empty() {
            loaded.problems.push(problems);
        }
    }
    loaded
}

/// The rule, if its id is free and what decoding cannot see is right.
fn checked(
    spec: Spec,
    file: &str,
    taken: &mut BTreeMap<RuleId, String>,
    problems: &mut Problems,
) -> Option<CheckedRule> {
    if let Some(other) = taken.get(&spec.id) {
        let message = format!("rule `{}` is in `{other}` already", spec.id);
        problems.error_hint(spec.id_span, message, "give one of them another id");
        // What else there is to tell of it; it does not load.
        return CheckedRule::new(spec, problems);
    }
    taken.insert(spec.id.clone(), file.to_owned());
    CheckedRule::new(spec, problems)
}

/// The id of a rule that does not load, as far as one line of the file gives it.
fn id_of(text: &str) -> Option<String> {
    let rest = text.lines().find_map(|line| line.strip_prefix("rule:"))?;
    let id = rest.split(" #").next()?.trim().trim_matches(['"', '\'']);
    Some(id.to_owned())
}

/// A zone is its name.
mod zone_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub fn serialize<S: Serializer>(zone: &chrono_tz::Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<chrono_tz::Tz, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|_| D::Error::custom(format!("`{name}` is no zone")))
    }
}
