//! `larum check`: every fault of every rule file, and of the configuration with all that it names,
//! each with its place and the way out.
//!
//! With `--config` it is the daemon's own loading without the run: secrets are read, receivers and
//! sources are built, and nobody is called.

use std::path::{Path, PathBuf};

use crate::config::Secrets;
use crate::config::geo::GeoFile;
use crate::daemon::own;
use crate::daemon::parts::{self, Parts};
use crate::rule::problem::Problems;

use super::load::{Around, Known, Loaded, RuleArguments, load};
use super::{Exit, Failure, Output, show};

/// Arguments of `larum check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    rules: RuleArguments,
    /// Rule files or folders; instead of --rules
    #[arg(value_name = "PATH", conflicts_with_all = ["rules", "config"])]
    paths: Vec<PathBuf>,
    /// Reads no secret: references to them are checked for their form only
    #[arg(long, requires = "config")]
    no_secrets: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, thiserror::Error)]
#[error("--config is checked with the rules, the zone and the lists that it names: leave the others out")]
struct NotBoth;

#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration `{}`", show::path(path))]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if let Some(path) = &self.rules.config {
            let RuleArguments { rules, sigma, zone, lists, .. } = &self.rules;
            if !rules.is_empty() || !sigma.is_empty() || zone.is_some() || !lists.is_empty() {
                return Err(NotBoth.into());
            }
            return self.check_config(path);
        }
        let loaded = self.rules.load(&self.paths, &[], Known::OfTests)?;
        self.print(&loaded.problems)?;
        show::note(&format!("{}, {}", of_rules(&loaded), found(&loaded.problems)));
        Ok(if loaded.has_errors() { Exit::Findings } else { Exit::Fine })
    }

    fn check_config(&self, path: &Path) -> Result<Exit, Failure> {
        #[expect(clippy::disallowed_methods, reason = "the configuration is read at this edge")]
        let bytes = std::fs::read(path).map_err(|source| Unreadable { path: path.to_owned(), source })?;
        let mut secrets = Secrets::in_folder(path.parent().unwrap_or_else(|| Path::new("")));
        secrets.dry = self.no_secrets;
        let (parts, mut problems) = parts::build(&path.display().to_string(), bytes, &secrets);
        let mut told = Vec::new();
        if let Some(parts) = &parts {
            places_of(parts, &mut problems);
        }
        let loaded = parts.as_ref().and_then(|parts| rules_of(parts, &mut problems));
        let summary = summary(parts.as_ref(), loaded.as_ref());
        if !problems.is_empty() {
            told.push(problems);
        }
        told.extend(loaded.map(|loaded| loaded.problems).unwrap_or_default());
        self.print(&told)?;
        show::note(&format!("{summary}{}", found(&told)));
        let broken = told.iter().any(Problems::has_errors);
        Ok(if broken { Exit::Findings } else { Exit::Fine })
    }

    fn print(&self, told: &[Problems]) -> Result<(), Failure> {
        match self.output {
            Output::Text => {
                for problems in told {
                    show::line(problems.render(show::colour_on_stdout()).trim_end())?;
                    show::line("")?;
                }
            }
            Output::Json => {
                for problem in told.iter().flat_map(Problems::to_json) {
                    show::json(&problem)?;
                }
            }
        }
        Ok(())
    }
}

/// Tells of files of places that cannot be used.
fn places_of(parts: &Parts, problems: &mut Problems) {
    for (kind, path, at) in &parts.config.geo {
        if let Err(fault) = GeoFile::read(*kind, path, None) {
            let message = format!("`{}` cannot be used: {fault}", kind.key());
            problems.error_hint(*at, message, "name a file in MaxMind's format, or take it out");
        }
    }
}

/// The rules that a configuration names; what is wrong with where they stand is told of it.
fn rules_of(parts: &Parts, problems: &mut Problems) -> Option<Loaded> {
    let config = &parts.config;
    let around = Around {
        zone: config.zone,
        declared: config.declared.clone(),
        of_tests: false,
        facts: std::sync::Arc::default(),
        logsources: config.logsources.clone(),
        receivers: Some(parts.receivers.iter().map(|built| built.name.to_string()).collect()),
    };
    let lists: Vec<_> = config.lists.iter().map(|list| (list.name.as_str(), list.path.as_path())).collect();
    match load((&config.rules, &config.sigma), &lists, &around) {
        Ok(loaded) => {
            // One that does not load may be the one that is meant.
            let mut known: Vec<&str> = own::rules().collect();
            known.extend(loaded.rules.iter().map(|rule| rule.rule().id().as_str()));
            known.extend(loaded.failed.iter().map(String::as_str));
            config.tell_unknown_rules(&known, problems);
            Some(loaded)
        }
        Err(failure) => {
            let message = match failure.source() {
                Some(cause) => format!("{failure}: {cause}"),
                None => failure.to_string(),
            };
            let message = message.split("; name one with").next().unwrap_or_default().to_owned();
            let at = if message.contains("Sigma") { config.sigma_at } else { config.rules_at };
            problems.error_hint(at, message, "paths begin at the folder of this file");
            None
        }
    }
}

fn summary(parts: Option<&Parts>, loaded: Option<&Loaded>) -> String {
    let Some(parts) = parts else { return "the configuration cannot be used: ".to_owned() };
    let (sources, receivers) = (parts.sources.len(), parts.receivers.len());
    let parts = format!("{}, {}, ", show::many(sources, "source"), show::many(receivers, "receiver"));
    loaded.map_or(parts.clone(), |loaded| format!("{parts}{}, ", of_rules(loaded)))
}

/// `3 files, 3 rules fit to run`
fn of_rules(loaded: &Loaded) -> String {
    let (files, rules) = (show::many(loaded.files, "file"), show::many(loaded.rules.len(), "rule"));
    format!("{files}, {rules} fit to run")
}

/// `2 faults, 1 warning`
fn found(told: &[Problems]) -> String {
    let all: usize = told.iter().map(|problems| problems.sorted().len()).sum();
    let faults: usize = told.iter().map(Problems::errors).sum();
    let found = if faults == 0 { "no faults".to_owned() } else { show::many(faults, "fault") };
    if all > faults { format!("{found}, {}", show::many(all - faults, "warning")) } else { found }
}
