//! The configuration: one YAML file, taken whole or not at all, with every fault told at its place.
//!
//! The same spanned tree, the same table of keys and the same problems as rule files. What the keys
//! of a receiver or a source mean is known where it is built: the table of its kind comes in from
//! there, and [`Options`] hands over what stood in the file. Secrets are named by reference and
//! read once, at building; nothing here prints one, and where one is written into the file itself
//! the line is shown without it.

pub mod fields;
pub mod geo;
pub mod keys;
pub mod lists;
mod load;
mod mask;
mod options;
mod part;
mod proxy;
mod routes;
pub mod rules;
pub mod schema;
mod secret;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex::Regex;

use crate::record::fact::{Facts, FailureKind};
use crate::record::{Level, Millis, RuleId};
use crate::route::{AtMost, Pattern, ReceiverName, Routes};
use crate::rule::problem::{Problems, Span};
use crate::rule::sigma::LogSourceMap;
use crate::rule::suggest;

pub use geo::GeoKind;
pub use load::{DEFAULT_TENANT, load};
pub use options::Options;
pub use part::{KindDoc, Kinds, Part};
pub use proxy::Proxies;
pub use secret::{NoSecret, Secrets};
pub use values::Bytes;

/// A configuration. One that came with errors is good for finding more of them, and nothing else.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file's name as it was given.
    pub file: String,
    text: Text,
    /// The file of state.
    pub store: PathBuf,
    /// The zone of times shown and of dates in rules.
    pub zone: chrono_tz::Tz,
    /// Rule files and folders of them.
    pub rules: Vec<PathBuf>,
    /// Where they stand in the file.
    pub rules_at: Span,
    /// Files and folders of Sigma documents.
    pub sigma: Vec<PathBuf>,
    /// Where they stand in the file.
    pub sigma_at: Span,
    /// Whose records the logsources of documents are.
    pub logsources: LogSourceMap,
    /// Lists that rules may name, in order of name.
    pub lists: Vec<ListFile>,
    /// Files that tell where addresses are, each with its place in the file.
    pub geo: Vec<(GeoKind, PathBuf, Span)>,
    /// Fields that sources of files declare: rules may name them.
    pub declared: Vec<String>,
    /// Where records come from; at least one, names unique.
    pub sources: Vec<SourceConfig>,
    /// Who can be told; at least one, names unique.
    pub receivers: Vec<ReceiverConfig>,
    /// Who is told of what, in the order of the file; one of them takes everything.
    pub routes: Routes,
    /// Where it stands that clients take the proxy of the environment; without it none does.
    pub proxy: Option<Span>,
    /// Rules that routes and limits name, each with its place: see [`Config::tell_unknown_rules`].
    pub rules_named: Vec<(Pattern, Span)>,
    /// Receivers of Larum's own alerts; none: all of the catch-all's.
    pub ops: Vec<ReceiverName>,
    /// Codes and reasons of failures beside those that are known from the start.
    pub failures: Failures,
    /// How much of the past is kept.
    pub keep: Keep,
    /// The door for operators' tools.
    pub admin: Option<Part>,
    /// Who is called while all is well.
    pub heartbeat: Option<Part>,
}

/// A list as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    /// What rules call it.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Where the file stands in the configuration.
    pub at: Span,
}

/// What the file holds, for faults that are found later, and which bytes of it are never shown.
#[derive(Clone)]
struct Text {
    source: Arc<str>,
    masked: Vec<Span>,
}

/// The text is left out: a secret may have been written into it.
impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("bytes", &self.source.len()).finish_non_exhaustive()
    }
}

/// A source as the file spells it.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// Whose records these are.
    pub tenant: Arc<str>,
    /// Its kind and the keys of that.
    pub part: Part,
}

/// A receiver as the file spells it.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Its name.
    pub name: ReceiverName,
    /// What people can read, by level; none: no limit. Levels that do not stand here have those of
    /// the kind.
    pub at_most: Vec<(Level, Option<AtMost>)>,
    /// What single rules may send it.
    pub at_most_rules: Vec<(RuleId, AtMost)>,
    /// Whether it is told of each alert's end, or of none; unless told, its kind decides.
    pub closed: Option<bool>,
    /// How often it is sent a fixed message that shows that messages arrive.
    pub watchdog: Option<Millis>,
    /// Its kind and the keys of that.
    pub part: Part,
}

/// Codes and reasons of failures.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    /// Codes, compared without case.
    pub codes: Vec<(String, FailureKind)>,
    /// Patterns, the first that matches counts.
    pub reasons: Vec<(Regex, FailureKind)>,
}

/// Bounds of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// How long.
    pub lasts: Millis,
    /// How much.
    pub at_most: Option<Bytes>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { lasts: Millis::days(90), at_most: None }
    }
}

impl Config {
    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.text.source
    }

    /// Where relative paths and secrets' files are taken from: the folder of the file.
    pub fn folder(&self) -> &Path {
        folder_of(&self.file)
    }

    /// No problems yet, for faults that are found in the file later.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new(self.file.clone(), self.text.source.clone());
        self.text.masked.iter().for_each(|span| problems.mask(*span));
        problems
    }

    /// What clients are made with: `secrets`, and the proxies of the environment where they are asked for.
    pub fn clients(&self, secrets: &Secrets, problems: &mut Problems) -> Secrets {
        let mut secrets = secrets.clone();
        if let Some(at) = self.proxy {
            match Proxies::of_environment(&secrets) {
                Ok(proxies) => secrets.proxies = proxies,
                Err(fault) => {
                    let hint = "write one such as http://proxy.example:3128, or take `proxy` out";
                    problems.error_hint(at, fault.to_string(), hint);
                }
            }
        }
        secrets
    }

    /// Tells of rules that a route or a limit names and that are not among `known`, the ids of all that
    /// load or might. A warning: rules come and go one by one, and the configuration stays in force.
    pub fn tell_unknown_rules(&self, known: &[&str], problems: &mut Problems) {
        for (pattern, at) in &self.rules_named {
            if known.iter().any(|id| pattern.accepts(id)) {
                continue;
            }
            let name = pattern.as_str();
            let hint = match suggest::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the id that stands under `rule:` in a rule's file; `larum rules` lists them"
                    .to_owned(),
            };
            problems.warn(*at, format!("there is no rule `{name}`"), hint);
        }
    }

    /// What facts are made with.
    pub fn facts(&self) -> Facts {
        Facts::new(&self.failures.codes, self.failures.reasons.clone())
    }

    /// Digest of what decides which alerts there are, rules left aside: the code table, the zone,
    /// how long each source settles. Two configurations with one digest make one generation.
    pub fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let mut say = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        say(self.zone.name());
        for (code, kind) in &self.failures.codes {
            say("code");
            say(&code.to_lowercase());
            say(kind.as_str());
        }
        for (regex, kind) in &self.failures.reasons {
            say("reason");
            say(regex.as_str());
            say(kind.as_str());
        }
        for source in &self.sources {
            say("source");
            say(&source.tenant);
            say(&source.name);
            say(source.part.kind);
            say(&source.part.spelt("settle"));
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        digest
    }
}

/// The folder that a file stands in.
fn folder_of(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or_else(|| Path::new(""))
}
