//! `larum new`: a rule to begin with, commented, whose tests pass.

use std::path::{Path, PathBuf};

use crate::record::RuleId;
use crate::rule::keys::{RULE, VERBS};

use super::{Exit, Failure, show};

/// Arguments of `larum new`.
#[derive(Debug, clap::Args)]
pub struct New {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Writes a commented rule with passing tests, to be changed
    Rule(NewRule),
}

/// Arguments of `larum new rule`.
#[derive(Debug, clap::Args)]
struct NewRule {
    /// The rule's verb, or `none`
    #[arg(long, default_value = "none", value_parser = verbs())]
    verb: String,
    /// The rule's id, and the file's name [default: new-VERB]
    #[arg(long, value_parser = super::parse_rule)]
    id: Option<RuleId>,
    /// The folder to write it into; without it the rule is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A rule of each verb. The word `ID` stands for the rule's id.
const RULES: &[(&str, &str)] = &[
    ("none", include_str!("new/none.yaml")),
    ("count", include_str!("new/count.yaml")),
    ("distinct", include_str!("new/distinct.yaml")),
    ("rate", include_str!("new/rate.yaml")),
    ("sequence", include_str!("new/sequence.yaml")),
    ("first_seen", include_str!("new/first_seen.yaml")),
    ("measure", include_str!("new/measure.yaml")),
    ("script", include_str!("new/script.yaml")),
    ("travel", include_str!("new/travel.yaml")),
    ("overlap", include_str!("new/overlap.yaml")),
    ("usual", include_str!("new/usual.yaml")),
    ("absent", include_str!("new/absent.yaml")),
    ("risk", include_str!("new/risk.yaml")),
];

/// Verbs that this version runs, and none.
fn verbs() -> clap::builder::PossibleValuesParser {
    let built = |verb: &&str| RULE.key(verb).is_none_or(|key| key.built);
    let value = |verb: &'static str| {
        let about = RULE.key(verb).map_or("every hit", |key| key.about);
        clap::builder::PossibleValue::new(verb).help(about)
    };
    let words = RULES.iter().map(|(verb, _)| *verb).filter(built).map(value);
    clap::builder::PossibleValuesParser::new(words.collect::<Vec<_>>())
}

#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error("`{}` is there already; take another --id", show::path(.0))]
    There(PathBuf),
    #[error("cannot write `{}`", show::path(path))]
    Unwritable { path: PathBuf, source: std::io::Error },
}

impl New {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let What::Rule(rule) = self.what;
        let usual = || format!("new-{}", rule.verb.replace('_', "-"));
        let id = rule.id.as_ref().map_or_else(usual, ToString::to_string);
        let text = text(&rule.verb, &id);
        let Some(folder) = &rule.out else {
            show::line(text.trim_end())?;
            return Ok(Exit::Fine);
        };
        let path = folder.join(format!("{id}.yaml"));
        write(folder, &path, &text)?;
        show::note(&format!(
            "wrote {}; `larum test {}` runs its tests, `larum schema rule` is for editors",
            show::path(&path),
            show::path(&path)
        ));
        Ok(Exit::Fine)
    }
}

/// The rule of that verb under that id.
fn text(verb: &str, id: &str) -> String {
    debug_assert!(verb == "none" || VERBS.contains(&verb));
    let rule = RULES.iter().find(|(known, _)| *known == verb).map_or("", |(_, text)| text);
    rule.replacen("rule: ID", &format!("rule: {id}"), 1)
}

/// Writes a file that is not there yet.
fn write(folder: &Path, path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source| NewError::Unwritable { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.map_err(|source| {
        let there = source.kind() == std::io::ErrorKind::AlreadyExists;
        if there { NewError::There(path.to_owned()) } else { failed(source) }
    })?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::decode::Options;
    use crate::rule::problem::Problems;

    #[test]
    fn every_rule_to_begin_with_loads() {
        for (verb, _) in RULES {
            let text = text(verb, "mine");
            let (spec, mut problems) = crate::rule::decode::decode(verb, &text, &Options::default());
            let rule = spec.and_then(|spec| crate::engine::CheckedRule::new(spec, &mut problems));
            assert!(rule.is_some() && Problems::is_empty(&problems), "{}", problems.render(false));
        }
    }
}
