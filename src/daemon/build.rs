//! A configuration's text to the parts that run: sources, receivers, routes and the generation.
//!
//! Everything is built before anything is replaced, so that a configuration is in force whole or not
//! at all. Rules are taken one by one: one that does not load keeps the text it last loaded with, or
//! is off, and is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::routing::Routing;
use crate::config::{self, Config, KindDoc, Kinds, Secrets};
use crate::deliver::{self, Receiver};
use crate::engine::{GenerationText, RuleText};
use crate::record::Level;
use crate::route::{AtMost, ReceiverName};
use crate::rule::problem::Problems;
use crate::source::{self, LiveSource};

/// A receiver, ready to send.
#[derive(Debug, Clone)]
pub struct BuiltReceiver {
    /// Its name.
    pub name: ReceiverName,
    /// Its kind.
    pub kind: &'static deliver::Kind,
    /// What people can read, by level, where the configuration says; none: no limit.
    pub at_most: Vec<(Level, Option<AtMost>)>,
    /// What sends.
    pub receiver: Arc<dyn Receiver>,
}

/// A source, ready to be read.
#[derive(Debug)]
pub struct BuiltSource {
    /// Its name.
    pub name: String,
    /// Whose records.
    pub tenant: Arc<str>,
    /// What reads.
    pub source: Box<dyn LiveSource>,
}

/// Everything that runs, built from one configuration.
#[derive(Debug)]
pub struct Built {
    /// What the file said.
    pub config: Config,
    /// Sources.
    pub sources: Vec<BuiltSource>,
    /// Receivers.
    pub receivers: Vec<BuiltReceiver>,
    /// Who hears of what.
    pub routing: Routing,
    /// What decides.
    pub generation: GenerationText,
    /// Rule files that do not load, with their first fault; some go on with an older text.
    pub rules_off: BTreeMap<String, String>,
    /// Every problem of rule files, for the operator.
    pub problems: Vec<Problems>,
}

/// Why nothing could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has faults.
    #[error("the configuration has faults:\n{0}")]
    Faults(String),
    /// The rules cannot be read.
    #[error(transparent)]
    NoRules(#[from] config::rules::NoRules),
}

/// The kinds that a configuration may name.
pub fn kinds() -> (Vec<KindDoc>, Vec<KindDoc>) {
    let receivers = deliver::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect();
    let sources = source::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect();
    (receivers, sources)
}

/// Reads the configuration at `path`. It may be used if no problem is an error.
pub fn read(path: &Path) -> Result<(Option<Config>, Problems), BuildError> {
    #[expect(clippy::disallowed_methods, reason = "the configuration is read at this edge")]
    let text = std::fs::read_to_string(path)
        .map_err(|source| BuildError::Unreadable { path: path.to_owned(), source })?;
    let (receivers, sources) = kinds();
    let kinds = Kinds { receivers: &receivers, sources: &sources };
    Ok(config::load(&path.display().to_string(), &text, &kinds))
}

/// Builds every receiver and source; faults are noted at their places.
pub fn parts(
    config: &Config,
    secrets: &Secrets,
    problems: &mut Problems,
) -> (Vec<BuiltReceiver>, Vec<BuiltSource>) {
    let mut receivers = Vec::new();
    for one in &config.receivers {
        let Some(kind) = deliver::KINDS.iter().find(|kind| kind.name == one.part.kind) else { continue };
        if let Some(receiver) = (kind.build)(&one.part.options(), secrets, problems) {
            let (name, at_most) = (one.name.clone(), one.at_most.clone());
            receivers.push(BuiltReceiver { name, kind, at_most, receiver: receiver.into() });
        }
    }
    let mut sources = Vec::new();
    for one in &config.sources {
        let Some(kind) = source::KINDS.iter().find(|kind| kind.name == one.part.kind) else { continue };
        if let Some(source) = (kind.build)(&one.name, &one.part.options(), secrets, problems) {
            sources.push(BuiltSource { name: one.name.clone(), tenant: one.tenant.clone(), source });
        }
    }
    (receivers, sources)
}

/// Builds everything, or nothing. `last` is the generation in force: rules that do not load any more
/// keep their text from there.
pub fn build(path: &Path, secrets: &Secrets, last: Option<&GenerationText>) -> Result<Built, BuildError> {
    let (config, mut problems) = read(path)?;
    let Some(config) = config else { return Err(BuildError::Faults(problems.render(false))) };
    let mut secrets = secrets.clone();
    config.folder().clone_into(&mut secrets.folder);
    let (receivers, sources) = parts(&config, &secrets, &mut problems);
    if problems.has_errors() {
        return Err(BuildError::Faults(problems.render(false)));
    }
    let (generation, rules_off, problems) = rules(&config, last)?;
    let routing = Routing { routes: config.routes.clone(), ops: config.ops.clone() };
    Ok(Built { config, sources, receivers, routing, generation, rules_off, problems })
}

type Rules = (GenerationText, BTreeMap<String, String>, Vec<Problems>);

/// The rules as they can be put in force.
fn rules(config: &Config, last: Option<&GenerationText>) -> Result<Rules, BuildError> {
    let (texts, mut told) = config::rules::texts(&config.rules)?;
    let rules = texts.into_iter().map(|(file, text)| RuleText { file, text }).collect();
    let mut generation = GenerationText {
        rules,
        declared: config.declared.clone(),
        failure_codes: config.failures.codes.clone(),
        failure_reasons: config
            .failures
            .reasons
            .iter()
            .map(|(regex, kind)| (regex.as_str().to_owned(), *kind))
            .collect(),
        zone: config.zone,
        ..GenerationText::default()
    };
    let compiled = generation.compile();
    told.extend(compiled.problems);
    let mut off = BTreeMap::new();
    for problems in told.iter().filter(|problems| problems.has_errors()) {
        let first = problems.sorted().first().map(|problem| problem.message.clone()).unwrap_or_default();
        off.insert(problems.file.clone(), first);
    }
    // A file with a fault goes on as it last loaded, or not at all.
    let old = |file: &str| last.and_then(|last| last.rules.iter().find(|rule| rule.file == file));
    generation.rules.retain_mut(|rule| {
        if !off.contains_key(&rule.file) {
            return true;
        }
        old(&rule.file).is_some_and(|old| {
            rule.text.clone_from(&old.text);
            true
        })
    });
    Ok((generation, off, told))
}
