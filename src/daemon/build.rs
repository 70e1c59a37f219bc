//! A configuration's text to the parts that run: sources, receivers, routes and the generation.
//!
//! Everything is built before anything is replaced, so that a configuration is in force whole or not
//! at all. Rules are taken one by one: one that does not load keeps the text it last loaded with, or
//! is off, and is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::own;
use super::parts::{self, BuiltReceiver, Parts};
use super::routing::Routing;
use crate::config::geo::{Geo, GeoFile, GeoKind};
use crate::config::{self, Config, Secrets};
use crate::engine::{GenerationText, RuleText};
use crate::record::scan::Provenance;
use crate::route::ReceiverName;
use crate::rule::decode::Options;
use crate::rule::lists::ListText;
use crate::rule::problem::{Problems, safe_path};
use crate::rule::sigma;
use crate::source::LiveSource;

/// What sources may take in all to find out what the configuration leaves open: less than a service
/// manager gives a start (90 s), so that it is told whose host does not answer.
const PREPARED_WITHIN: Duration = Duration::from_mins(1);

/// Everything that runs, built from one configuration.
#[derive(Debug)]
pub struct Built {
    /// What the file said.
    pub config: Config,
    /// One for each of the configuration's sources, in that order.
    pub sources: Vec<Box<dyn LiveSource>>,
    /// Receivers.
    pub receivers: Vec<BuiltReceiver>,
    /// The door for operators' tools.
    pub admin: Option<super::admin::Settings>,
    /// Who is called while all is well.
    pub heartbeat: Option<super::heartbeat::Heartbeat>,
    /// Of what these parts are made of; rules, lists and places have digests of their own.
    pub digest: [u8; 32],
    /// Who hears of what.
    pub routing: Routing,
    /// What decides.
    pub generation: GenerationText,
    /// Where addresses are.
    pub geography: Arc<Geo>,
    /// Rule files that do not load, with their first fault; some go on with an older text.
    pub rules_off: BTreeMap<String, String>,
    /// Every problem of the configuration and of rule files, for the operator.
    pub problems: Vec<Problems>,
}

/// Why nothing could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", safe_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has faults.
    #[error("the configuration has faults:\n{0}")]
    Faults(String),
    /// A source lacks what only the network tells.
    #[error("source `{name}` cannot be prepared: {fault}")]
    Unprepared {
        /// The source.
        name: String,
        /// Why, and the way out.
        fault: String,
    },
    /// The rules cannot be read.
    #[error(transparent)]
    NoRules(#[from] config::rules::NoRules),
}

/// Reads the configuration at `path` and builds its parts; none if any problem is an error.
pub fn read(path: &Path, secrets: &Secrets) -> Result<(Option<Parts>, Problems), BuildError> {
    #[expect(clippy::disallowed_methods, reason = "the configuration is read at this edge")]
    let bytes =
        std::fs::read(path).map_err(|source| BuildError::Unreadable { path: path.to_owned(), source })?;
    let mut secrets = secrets.clone();
    path.parent().unwrap_or_else(|| Path::new("")).clone_into(&mut secrets.folder);
    Ok(parts::build(&path.display().to_string(), bytes, &secrets))
}

/// Where the configuration at `path` keeps its store, whatever else is wrong with it.
pub fn store_of(path: &Path) -> Result<PathBuf, BuildError> {
    Ok(look_at(path)?.store)
}

/// The fields that its sources declare, whatever else is wrong with it.
pub fn declared_of(path: &Path) -> Result<Vec<String>, BuildError> {
    Ok(look_at(path)?.declared)
}

/// The receivers that it names, whatever else is wrong with it.
pub fn receivers_of(path: &Path) -> Result<Vec<ReceiverName>, BuildError> {
    Ok(look_at(path)?.receivers.into_iter().map(|receiver| receiver.name).collect())
}

/// The zone of times that it has shown, whatever else is wrong with it.
pub fn zone_of(path: &Path) -> Result<chrono_tz::Tz, BuildError> {
    Ok(look_at(path)?.zone)
}

fn look_at(path: &Path) -> Result<Config, BuildError> {
    #[expect(clippy::disallowed_methods, reason = "the configuration is read at this edge")]
    let text = std::fs::read_to_string(path)
        .map_err(|source| BuildError::Unreadable { path: path.to_owned(), source })?;
    let (config, problems) = parts::look(&path.display().to_string(), &text);
    config.ok_or_else(|| BuildError::Faults(problems.render(false)))
}

/// Builds everything, or nothing. `last` is what is in force: rules and lists that do not load any more
/// keep their text from there, and files of places are what they were.
pub fn build(
    path: &Path,
    secrets: &Secrets,
    last: Option<(&GenerationText, &Geo)>,
) -> Result<Built, BuildError> {
    let (parts, doubts) = read(path, secrets)?;
    let Some(Parts { config, receivers, sources, admin, heartbeat, digest }) = parts else {
        return Err(BuildError::Faults(doubts.render(false)));
    };
    let known: Vec<String> = receivers.iter().map(|built| built.name.to_string()).collect();
    let (generation, mut rules_off, mut problems) =
        rules(&config, &known, last.map(|(generation, _)| generation))?;
    let (geography, geo_off) = geography(&config, last.map(|(_, geography)| geography))?;
    rules_off.extend(geo_off);
    problems.insert(0, doubts);
    let names = |which: fn(&BuiltReceiver) -> bool| {
        receivers.iter().filter(|built| which(built)).map(|built| built.name.clone()).collect()
    };
    let routing = Routing {
        routes: config.routes.clone(),
        ops: config.ops.clone(),
        people: names(|built| built.kind.human && built.closed.is_none()),
        ends: names(|built| built.closed.unwrap_or(built.kind.ends)),
        receivers: names(|_| true),
    };
    Ok(Built {
        config,
        sources,
        receivers,
        admin,
        heartbeat,
        digest,
        routing,
        generation,
        geography,
        rules_off,
        problems,
    })
}

/// The files of places as they can be used, and what is wrong with those that go on as they last were.
fn geography(
    config: &Config,
    last: Option<&Geo>,
) -> Result<(Arc<Geo>, BTreeMap<String, String>), BuildError> {
    let (mut off, mut problems) = (BTreeMap::new(), config.problems());
    let (mut city, mut asn) = (None, None);
    for (kind, path, at) in &config.geo {
        let old = last.and_then(|last| last.file(*kind)).filter(|old| old.path() == path);
        let file = match GeoFile::read(*kind, path, old) {
            Ok(file) => Some(file),
            Err(fault) => {
                if old.is_some() {
                    off.insert(path.display().to_string(), format!("{fault}{STAYS}"));
                } else {
                    let message = format!("`{}` cannot be used: {fault}", kind.key());
                    problems.error_hint(*at, message, "name a file in MaxMind's format, or take it out");
                }
                old.cloned()
            }
        };
        match kind {
            GeoKind::City => city = file,
            GeoKind::Asn => asn = file,
        }
    }
    if problems.has_errors() {
        return Err(BuildError::Faults(problems.render(false)));
    }
    Ok((Arc::new(Geo::new(city, asn)), off))
}

type Lists = (Vec<ListText>, BTreeMap<String, String>);

/// The lists as they can be put in force, and what is wrong with those that go on as they last were.
/// One that never could be read is a fault of the configuration.
fn lists(
    config: &Config,
    last: Option<&GenerationText>,
    told: &mut Vec<Problems>,
) -> Result<Lists, BuildError> {
    let (mut texts, bad, warnings) = config::lists::all(&config.lists, config.zone);
    told.extend(warnings);
    let (mut off, mut problems) = (BTreeMap::new(), config.problems());
    for (file, fault) in bad {
        let path = file.path.display().to_string();
        let same = |list: &&ListText| list.name == file.name && list.file == path;
        if let Some(old) = last.and_then(|last| last.lists.iter().find(same)) {
            off.insert(path, format!("{}{STAYS}", fault.first()));
            texts.push(old.clone());
        } else {
            let message = format!("the list `{}` cannot be used: {}", file.name, fault.first());
            problems.error_hint(file.at, message, "mend its file, or take it out");
        }
    }
    if problems.has_errors() {
        return Err(BuildError::Faults(problems.render(false)));
    }
    texts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((texts, off))
}

impl Built {
    /// Has every source find out what the configuration leaves open, within a minute.
    pub async fn prepare(&mut self, clock: &Clock) -> Result<(), BuildError> {
        self.prepare_within(PREPARED_WITHIN, clock).await
    }

    async fn prepare_within(&mut self, most: Duration, clock: &Clock) -> Result<(), BuildError> {
        let end = tokio::time::Instant::now() + most;
        let mut notes = self.config.store.clone().into_os_string();
        notes.push(".projects");
        let notes = PathBuf::from(notes);
        let mut read: Vec<(Provenance, &str)> = Vec::new();
        for (named, source) in self.config.sources.iter().zip(&mut self.sources) {
            let unprepared = |fault| BuildError::Unprepared { name: named.name.clone(), fault };
            let prepared = tokio::time::timeout_at(end, source.prepare(clock.now(), &notes)).await;
            let late = |_| format!("no answer within {} s; is `base_url` the right host?", most.as_secs());
            prepared.unwrap_or_else(|over| Err(late(over))).map_err(unprepared)?;
            for lane in source.lanes() {
                let place = lane.origin.provenance;
                if place == Provenance::File {
                    continue;
                }
                if let Some((_, first)) = read.iter().find(|(other, _)| *other == place) {
                    return Err(unprepared(format!(
                        "it reads an endpoint of a project that `{first}` reads already: every record would come \
                         twice"
                    )));
                }
                read.push((place, &named.name));
            }
        }
        Ok(())
    }
}

/// What becomes of a file that does not load, after its fault.
const STAYS: &str = "; its last good version stays in force";
/// The same where there is none.
const OFF: &str = "; no rule of it is in force";
/// The same of documents that stand by themselves.
const PARTLY: &str = "; those of its documents that load are in force";

type Rules = (GenerationText, BTreeMap<String, String>, Vec<Problems>);

/// Whether every document of a file can be read by itself.
fn is_whole(file: &RuleText, lists: &[String]) -> bool {
    let read = sigma::read(&file.file, &file.text, &Options { lists, ..Options::default() });
    read.iter().all(|one| !one.problems.has_errors())
}

/// Puts the text in its place with which a file last loaded that is no text any more.
fn put_back(texts: &mut Vec<(String, String)>, last: &[RuleText], broken: &Problems) {
    let Some(place) = last.iter().position(|old| old.file == broken.file) else { return };
    let (before, old) = (&last[..place], &last[place]);
    let at = texts.iter().rposition(|(file, _)| before.iter().any(|other| other.file == *file));
    texts.insert(at.map_or(0, |at| at + 1), (old.file.clone(), old.text.clone()));
}

/// The rules as they can be put in force, beside receivers of these names.
fn rules(config: &Config, receivers: &[String], last: Option<&GenerationText>) -> Result<Rules, BuildError> {
    let (mut texts, mut told) = config::rules::texts(&config.rules)?;
    let (mut documents, unreadable) = config::rules::sigma(&config.sigma)?;
    if let Some(last) = last {
        for broken in &told {
            put_back(&mut texts, &last.rules, broken);
        }
        for broken in &unreadable {
            put_back(&mut documents, &last.sigma, broken);
        }
    }
    let no_texts: Vec<String> = told.iter().map(|broken| broken.file.clone()).collect();
    told.extend(unreadable);
    let (lists, lists_off) = lists(config, last, &mut told)?;
    let script = |(file, text): (String, String)| RuleText { file, text };
    let scripts = config::rules::scripts(&texts).into_iter().map(script).collect();
    let rules = texts.into_iter().map(|(file, text)| RuleText { file, text }).collect();
    let sigma = documents.into_iter().map(|(file, text)| RuleText { file, text }).collect();
    let mut generation = GenerationText {
        rules,
        sigma,
        logsources: config.logsources.clone(),
        declared: config.declared.clone(),
        failure_codes: config.failures.codes.clone(),
        failure_reasons: config
            .failures
            .reasons
            .iter()
            .map(|(regex, kind)| (regex.as_str().to_owned(), *kind))
            .collect(),
        zone: config.zone,
        lists,
        scripts,
        ..GenerationText::default()
    };
    let compiled = generation.compile_for(receivers);
    told.extend(compiled.problems);
    let mut named = config.problems();
    // One that does not load may be the one that is meant.
    let mut known: Vec<&str> = own::rules().collect();
    known.extend(compiled.generation.rules().map(|rule| rule.id().as_str()));
    known.extend(compiled.failed.iter().map(String::as_str));
    config.tell_unknown_rules(&known, &mut named);
    told.extend((!named.is_empty()).then_some(named));
    let mut off = lists_off;
    for problems in told.iter().filter(|problems| problems.has_errors()) {
        let first = problems.first_error().map(|problem| {
            let (line, _) = problems.position(problem.span.start);
            format!("line {line}: {}", problem.message)
        });
        off.insert(problems.file.clone(), first.unwrap_or_default());
    }
    // A file with a fault goes on as it last loaded, or not at all.
    let old = |file: &str| last.and_then(|last| last.rules.iter().find(|rule| rule.file == file));
    let mut kept: Vec<String> = Vec::new();
    generation.rules.retain_mut(|rule| {
        let Some(fault) = off.get_mut(&rule.file) else { return true };
        let old = old(&rule.file);
        fault.push_str(if old.is_some() { STAYS } else { OFF });
        old.is_some_and(|old| {
            rule.text.clone_from(&old.text);
            kept.push(old.text.clone());
            true
        })
    });
    for file in no_texts.iter().filter(|file| generation.rules.iter().all(|rule| rule.file != **file)) {
        off.entry(file.clone()).or_default().push_str(OFF);
    }
    // Its script goes on with it.
    for script in last.iter().flat_map(|last| &last.scripts) {
        let name = script.file.rsplit('/').next().unwrap_or_default();
        if kept.iter().any(|text| text.contains(name)) {
            generation.scripts.retain(|other| other.file != script.file);
            generation.scripts.push(script.clone());
        }
    }
    // Documents of one file stand by themselves: where the file never was whole, those load that can.
    let names: Vec<String> = generation.lists.iter().map(|list| list.name.clone()).collect();
    for file in &mut generation.sigma {
        let Some(fault) = off.get_mut(&file.file) else { continue };
        let old = last.and_then(|last| last.sigma.iter().find(|old| old.file == file.file));
        match old.filter(|old| is_whole(old, &names)) {
            Some(old) => {
                file.text.clone_from(&old.text);
                fault.push_str(STAYS);
            }
            None => fault.push_str(PARTLY),
        }
    }
    generation.scripts.sort_by(|one, other| one.file.cmp(&other.file));
    Ok((generation, off, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sources_that_cannot_be_prepared_in_time_are_told_by_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir(here.join("rules")).unwrap();
        std::fs::write(
            here.join("rules/any.yaml"),
            "rule: any\ntitle: t\nlevel: low\nmatch: {outcome: failure}\n",
        )
        .unwrap();
        // It takes connections, and nobody answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let iam = format!("http://{}", listener.local_addr().unwrap());
        let config = format!(
            "store: a.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    region: cn-north-4\n    \
             credentials: {{ak: env:AK, sk: env:SK}}\n    base_url: {{iam: \"{iam}\"}}\nreceivers:\n  \
             - {{name: kept, kind: stdout}}\nroutes: [{{match: {{}}, to: [kept]}}]\n"
        );
        std::fs::write(here.join("larum.yaml"), config).unwrap();
        let secrets = Secrets::default().with("AK", "k2").with("SK", "k2");
        let mut built = build(&here.join("larum.yaml"), &secrets, None).unwrap();
        let error = built.prepare_within(Duration::from_millis(1), &Clock::wall()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "source `prod` cannot be prepared: no answer within 0 s; is `base_url` the right host?"
        );
    }

    #[test]
    fn a_rule_file_that_is_no_text_any_more_keeps_its_last_good_version_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir(here.join("rules")).unwrap();
        let burst = "rule: burst\ntitle: t\nlevel: low\nmatch: {outcome: failure}\n";
        std::fs::write(here.join("rules/burst.yaml"), burst).unwrap();
        let risk = "rule: sum\ntitle: t\nlevel: low\nmatch: {outcome: success}\nquiet_while: [burst]\n";
        std::fs::write(here.join("rules/sum.yaml"), risk).unwrap();
        let config = "store: a.db\nrules: [rules]\nsources: [{name: f, kind: file, path: a.ndjson}]\nreceivers:\n  \
                      - {name: kept, kind: stdout}\nroutes: [{match: {}, to: [kept]}]\n";
        let path = here.join("larum.yaml");
        std::fs::write(&path, config).unwrap();
        let good = build(&path, &Secrets::default(), None).unwrap();
        assert_eq!(good.rules_off, BTreeMap::new());
        let file = here.join("rules/burst.yaml");
        std::fs::write(&file, [burst.as_bytes(), b"# gepr\xfcft\n"].concat()).unwrap();
        let name = file.display().to_string();
        let told = |last: Option<&Built>| {
            let last = last.map(|last| (&last.generation, &*last.geography));
            let built = build(&path, &Secrets::default(), last).unwrap();
            let texts = built.generation.rules.iter().map(|rule| (rule.file == name, rule.text.clone()));
            (texts.collect::<Vec<_>>(), built.rules_off)
        };
        let (texts, off) = told(Some(&good));
        assert_eq!(texts, [(true, burst.to_owned()), (false, risk.to_owned())]);
        let fault = "line 5: byte 0xfc is not UTF-8; its last good version stays in force";
        assert_eq!(off, [(name.clone(), fault.to_owned())].into());
        let (_, off) = told(None);
        assert_eq!(off[&name], "line 5: byte 0xfc is not UTF-8; no rule of it is in force");
    }
}
