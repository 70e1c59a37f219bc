//! Rules and the tables that they are judged with, from files: one validator for every command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;

use crate::config::geo::{BadGeo, Geo, GeoFile, GeoKind};
use crate::config::lists::{self, BadList};
use crate::config::{Config, rules};
use crate::daemon::parts;
use crate::engine::generation::Documents;
use crate::engine::{CheckedRule, Generation, Limits, generation};
use crate::record::Columns;
use crate::record::fact::Facts;
use crate::rule::decode::Options;
use crate::rule::lists::{ListText, Lists, MAX_LISTS, is_name};
use crate::rule::problem::Problems;
use crate::rule::sigma::LogSourceMap;

use super::{Failure, show};

/// Where rules come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RuleArguments {
    /// A rule file, or a folder of them (`*.yaml`, `*.yml`, folders within included); may be repeated
    /// [default: rules, or those of --config]
    #[arg(long = "rules", value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// A file of Sigma documents, or a folder of them; may be repeated. Without --rules or --config no
    /// other rules are read [default: those of --config]
    #[arg(long, value_name = "PATH")]
    pub sigma: Vec<PathBuf>,
    /// Time zone of dates in rules [default: UTC, or that of --config]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<Tz>,
    /// A list that rules name, and its file; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_list)]
    pub lists: Vec<(String, PathBuf)>,
    /// A configuration: its rules, lists, zone and table of failures
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Files that tell where addresses are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GeoArguments {
    /// A file of places in MaxMind's format, for `geo.*` [default: that of --config]
    #[arg(long, value_name = "FILE")]
    geo_city: Option<PathBuf>,
    /// A file of autonomous systems in MaxMind's format, for `asn.*` [default: that of --config]
    #[arg(long, value_name = "FILE")]
    geo_asn: Option<PathBuf>,
}

fn parse_list(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if is_name(name) && !file.is_empty() => Ok((name.to_owned(), file.into())),
        Some(_) | None => Err("write it as name=file, such as egress=lists/egress.txt".to_owned()),
    }
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot read the configuration `{}`", show::path(path))]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration cannot be used:\n{0}")]
    Faults(String),
    #[error("cannot use `{}`: {fault}", show::path(path))]
    Geo { path: PathBuf, fault: BadGeo },
    #[error("more than {MAX_LISTS} lists")]
    TooManyLists,
}

/// Which lists rules may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Those that are given, and no other.
    Given,
    /// Those that the rules' own tests give too, where none is given: nobody has said which there are.
    OfTests,
}

/// What loading came to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rules without an error.
    pub rules: Vec<CheckedRule>,
    /// Files read.
    pub files: usize,
    /// Files with something to tell, in the order of their names.
    pub problems: Vec<Problems>,
    /// Ids of rules that did not load, where the id itself could be read.
    pub failed: Vec<String>,
    /// What the rules are judged with.
    pub tables: Tables,
}

/// What rules are judged with.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Lists that rules name.
    pub lists: Lists,
    /// What facts are made with.
    pub facts: Arc<Facts>,
}

impl Tables {
    /// A generation of these rules.
    pub fn generation(&self, rules: Vec<CheckedRule>) -> Generation {
        let mut generation =
            Generation::among(rules, Columns::default(), Limits::default(), self.lists.clone());
        generation.facts = self.facts.clone();
        generation
    }
}

impl Loaded {
    /// True when some rule or list did not load.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problems::has_errors)
    }

    /// Prints what there is to tell to stderr.
    pub fn complain(&self) {
        for problems in &self.problems {
            show::note(problems.render(show::colour_on_stderr()).trim_end());
            show::note("");
        }
    }
}

impl RuleArguments {
    /// What the rules are judged with, and where addresses are.
    pub fn placed(&self, tables: Tables, geo: &GeoArguments) -> Result<Tables, Failure> {
        let config = self.config.as_deref().map(config).transpose()?;
        let file = |kind: GeoKind, given: Option<&PathBuf>| -> Result<Option<Arc<GeoFile>>, Failure> {
            let named = config.iter().flat_map(|config| &config.geo).find(|(other, ..)| *other == kind);
            let Some(path) = given.or(named.map(|(_, path, _)| path)) else { return Ok(None) };
            let read = GeoFile::read(kind, path, None);
            Ok(Some(read.map_err(|fault| LoadError::Geo { path: path.clone(), fault })?))
        };
        let city = file(GeoKind::City, geo.geo_city.as_ref())?;
        let asn = file(GeoKind::Asn, geo.geo_asn.as_ref())?;
        let geography = Geo::new(city, asn);
        if geography.is_empty() {
            return Ok(tables);
        }
        let facts = Facts::clone(&tables.facts).with_geography(Arc::new(geography));
        Ok(Tables { facts: Arc::new(facts), ..tables })
    }

    /// The zone of days: its own, or that of the configuration.
    pub fn zone(&self) -> Result<Tz, Failure> {
        if let Some(zone) = self.zone {
            return Ok(zone);
        }
        Ok(self.config.as_deref().map(config).transpose()?.map_or(Tz::UTC, |config| config.zone))
    }

    /// Reads the rules at `paths`, or where there is none those that the arguments name. `declared`
    /// are fields that the records' source declares.
    pub fn load(&self, paths: &[PathBuf], declared: &[String], known: Known) -> Result<Loaded, Failure> {
        let config = self.config.as_deref().map(config).transpose()?;
        let of_config = config.as_ref().map(|config| &*config.rules);
        let paths =
            [paths, &self.rules, of_config.unwrap_or_default()].into_iter().find(|paths| !paths.is_empty());
        let of_config = config.as_ref().map(|config| (&*config.sigma, &config.logsources));
        let (sigma, logsources) = of_config.map(|(paths, map)| (paths, map.clone())).unwrap_or_default();
        let sigma = if self.sigma.is_empty() { sigma } else { &*self.sigma };
        let usual = [PathBuf::from("rules")];
        let usual = if sigma.is_empty() { &usual[..] } else { &[] };
        let zone = self.zone.or(config.as_ref().map(|config| config.zone)).unwrap_or(Tz::UTC);
        let mut declared = declared.to_vec();
        declared.extend(config.iter().flat_map(|config| config.declared.iter().cloned()));
        let mut files: Vec<(&str, &Path)> = Vec::new();
        for list in config.iter().flat_map(|config| &config.lists) {
            files.push((&list.name, &list.path));
        }
        for (name, path) in &self.lists {
            files.retain(|(other, _)| other != name);
            files.push((name, path));
        }
        let of_tests = known == Known::OfTests && config.is_none() && files.is_empty();
        let facts = config.as_ref().map(Config::facts).unwrap_or_default();
        let facts = Arc::new(facts);
        load(
            (paths.unwrap_or(usual), sigma),
            &files,
            &Around { zone, declared, of_tests, facts, logsources, receivers: None },
        )
    }
}

/// What rules are loaded with, besides lists.
#[derive(Debug)]
pub struct Around {
    /// In which days end.
    pub zone: Tz,
    /// Fields that sources declare.
    pub declared: Vec<String>,
    /// Whether lists that tests give are known too.
    pub of_tests: bool,
    /// What facts are made with.
    pub facts: Arc<Facts>,
    /// Whose records the logsources of Sigma documents are.
    pub logsources: LogSourceMap,
    /// Receivers that rules may name; none: nobody has said which there are.
    pub receivers: Option<Vec<String>>,
}

/// The configuration at `path`; no secret is read.
fn config(path: &Path) -> Result<Config, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the configuration is read at this edge")]
    let text = std::fs::read_to_string(path)
        .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    let (config, problems) = parts::look(&path.display().to_string(), &text);
    match config {
        Some(config) if !problems.has_errors() => Ok(config),
        Some(_) | None => Err(LoadError::Faults(problems.render(show::colour_on_stderr())).into()),
    }
}

/// Reads every rule of `paths` and every Sigma document of `sigma`, and the lists that they may name.
pub fn load(
    (paths, sigma): (&[PathBuf], &[PathBuf]),
    files: &[(&str, &Path)],
    around: &Around,
) -> Result<Loaded, Failure> {
    let (texts, mut broken) = rules::texts(paths)?;
    let (documents, unreadable) = rules::sigma(sigma)?;
    broken.extend(unreadable);
    let unreadable = broken.len();
    let mut lists: Vec<ListText> = Vec::new();
    for (name, path) in files {
        match lists::read(name, path, around.zone) {
            Ok((text, problems)) => {
                lists.push(text);
                broken.extend((!problems.is_empty()).then_some(problems));
            }
            Err(BadList::Faults(problems)) => broken.push(problems),
            Err(BadList::Unreadable(error)) => {
                let mut problems = Problems::new(path.display().to_string(), "");
                let nowhere = crate::rule::problem::Span { start: 0, end: 0 };
                problems.error_hint(
                    nowhere,
                    format!("the list `{name}` cannot be read: {error}"),
                    "name another file",
                );
                broken.push(problems);
            }
        }
    }
    if lists.len() > MAX_LISTS {
        return Err(LoadError::TooManyLists.into());
    }
    // A list with a fault is there all the same: rules that name it are not to blame.
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    let lists = Lists::read(&lists, around.zone, &mut Vec::new());
    let options = Options {
        declared: &around.declared,
        zone: around.zone,
        lists: &names,
        with_domain: &lists.with_domain(),
        scripts: &rules::scripts(&texts),
        lists_of_tests: around.of_tests,
        receivers: around.receivers.as_deref(),
        ..Options::default()
    };
    let documents = Documents { texts: documents, logsources: &around.logsources };
    let mut loaded = load_texts(texts, documents, &options);
    loaded.files += unreadable;
    loaded.problems.splice(0..0, broken);
    loaded.tables = Tables { lists, facts: around.facts.clone() };
    Ok(loaded)
}

/// The same for rules that are at hand already: (name of the file, its text).
pub fn load_texts(texts: Vec<(String, String)>, documents: Documents<'_>, options: &Options<'_>) -> Loaded {
    let files = texts.len() + documents.texts.len();
    let generation::Loaded { rules, problems, failed } = generation::load_beside(texts, documents, options);
    Loaded { rules, files, problems, failed, tables: Tables::default() }
}
