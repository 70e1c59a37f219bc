//! The configuration with all that it names: receivers and sources, built whole or not at all.
//!
//! `larum check` is this and no run, so that what it finds nothing wrong with starts. Secrets are
//! read here, once; no receiver or source is reached.

use crate::config::{self, Config, KindDoc, Kinds, Secrets};
use crate::deliver::{self, Receiver};
use crate::record::Millis;
use crate::record::scan::Provenance;
use crate::route::{Limits, ReceiverName};
use crate::rule::problem::{Problems, Span};
use crate::source::{self, LiveSource};

use super::admin;
use super::heartbeat::Heartbeat;

/// A configuration and its parts.
#[derive(Debug)]
pub struct Parts {
    /// What the file says.
    pub config: Config,
    /// One for each of the configuration's receivers, in that order.
    pub receivers: Vec<BuiltReceiver>,
    /// One for each of the configuration's sources, in that order.
    pub sources: Vec<Box<dyn LiveSource>>,
    /// The door for operators' tools.
    pub admin: Option<admin::Settings>,
    /// Who is called while all is well.
    pub heartbeat: Option<Heartbeat>,
}

/// A receiver, ready to be sent to.
#[derive(Debug)]
pub struct BuiltReceiver {
    /// Its name.
    pub name: ReceiverName,
    /// Its kind.
    pub kind: &'static deliver::Kind,
    /// What its people are told at most: the kind's limits, and over them the file's.
    pub limits: Limits,
    /// How often it is sent a fixed message that shows that messages arrive.
    pub watchdog: Option<Millis>,
    /// Itself.
    pub receiver: Box<dyn Receiver>,
}

/// Reads the configuration that `bytes` hold and builds its parts; `file` names it in messages, and
/// its folder is where relative paths begin. None if any problem is an error.
pub fn build(file: &str, bytes: Vec<u8>, secrets: &Secrets) -> (Option<Parts>, Problems) {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let mut problems = config::rules::not_text(file.to_owned(), &error);
            problems.mask(Span { start: 0, end: problems.source.len() });
            return (None, problems);
        }
    };
    let (config, mut problems) = look(file, &text);
    let Some(config) = config else { return (None, problems) };
    let receivers = build_receivers(&config, secrets, &mut problems);
    let sources = build_sources(&config, secrets, &mut problems);
    let admin = config.admin.as_ref();
    let admin = admin.and_then(|part| admin::Settings::open(&part.options(), secrets, &mut problems));
    let heartbeat = config.heartbeat.as_ref();
    let heartbeat = heartbeat.and_then(|part| Heartbeat::open(&part.options(), secrets, &mut problems));
    if problems.has_errors() {
        return (None, problems);
    }
    (Some(Parts { config, receivers, sources, admin, heartbeat }), problems)
}

/// Reads the configuration that `text` holds and builds nothing: good for looking things up in one
/// that has faults.
pub fn look(file: &str, text: &str) -> (Option<Config>, Problems) {
    let (receivers, sources) = kinds();
    config::load(file, text, &Kinds { receivers: &receivers, sources: &sources })
}

/// JSON Schema of a configuration.
pub fn schema() -> serde_json::Value {
    let (receivers, sources) = kinds();
    config::schema::config_schema(&Kinds { receivers: &receivers, sources: &sources })
}

/// The kinds of receivers and of sources.
fn kinds() -> (Vec<KindDoc>, Vec<KindDoc>) {
    (
        deliver::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect(),
        source::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect(),
    )
}

fn build_receivers(config: &Config, secrets: &Secrets, problems: &mut Problems) -> Vec<BuiltReceiver> {
    let mut built = Vec::new();
    for receiver in &config.receivers {
        let Some(kind) = deliver::KINDS.iter().find(|kind| kind.name == receiver.part.kind) else { continue };
        let usual = if kind.human { Limits::human() } else { Limits::none() };
        let limits =
            receiver.at_most.iter().fold(usual, |limits, (level, at_most)| limits.with(*level, *at_most));
        let rules = receiver.at_most_rules.iter().cloned();
        let limits = rules.fold(limits, |limits, (rule, at_most)| limits.with_rule(rule, at_most));
        let (name, watchdog) = (receiver.name.clone(), receiver.watchdog);
        let done = (kind.build)(&receiver.part.options(), secrets, problems);
        built.extend(done.map(|receiver| BuiltReceiver { name, kind, limits, watchdog, receiver }));
    }
    built
}

fn build_sources(config: &Config, secrets: &Secrets, problems: &mut Problems) -> Vec<Box<dyn LiveSource>> {
    let mut built: Vec<Box<dyn LiveSource>> = Vec::new();
    let mut read: Vec<(Provenance, Span)> = Vec::new();
    for source in &config.sources {
        let Some(kind) = source::KINDS.iter().find(|kind| kind.name == source.part.kind) else { continue };
        let Some(live) = (kind.build)(&source.name, &source.part.options(), secrets, problems) else {
            continue;
        };
        for lane in live.lanes() {
            let place = lane.origin.provenance;
            let Provenance::Huawei { endpoint, project_id, .. } = &place else { continue };
            // Which project it is shows when the source is prepared.
            if project_id.is_empty() {
                continue;
            }
            match read.iter().find(|(other, _)| *other == place) {
                Some((_, first)) => problems.error_with(
                    source.part.name_at,
                    format!(
                        "`{}` reads `{}` of a project that is read already",
                        source.name,
                        endpoint.as_str()
                    ),
                    "take the endpoint out of one of them: every record would come twice",
                    (*first, "it is read here"),
                ),
                None => read.push((place, source.part.name_at)),
            }
        }
        built.push(live);
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_told_and_not_shown() {
        let bytes = b"store: a\npassword: hunter2\xff\n".to_vec();
        let (parts, problems) = build("larum.yaml", bytes, &Secrets::default());
        assert!(parts.is_none());
        let shown = problems.render(false);
        assert!(shown.contains("byte 0xff is not UTF-8") && !shown.contains("hunter2"), "{shown}");
    }
}
