//! `larum convert`: a native rule in the words of another tool, and what those cannot say.

use std::path::PathBuf;

use crate::rule::sigma::convert::convert;

use super::load::{Known, RuleArguments};
use super::{Exit, Failure, show};

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// Sigma documents, specification 2.1.
    Sigma,
}

/// Arguments of `larum convert`.
#[derive(Debug, clap::Args)]
pub struct Convert {
    /// Whose words
    #[arg(long, value_enum)]
    to: To,
    /// Prints documents all the same where they cannot say everything
    #[arg(long)]
    lossy: bool,
    /// The rule file
    #[arg(value_name = "RULE")]
    rule: PathBuf,
}

impl Convert {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let To::Sigma = self.to;
        let arguments = RuleArguments::default();
        let loaded = arguments.load(std::slice::from_ref(&self.rule), &[], Known::OfTests)?;
        loaded.complain();
        let mut exit = if loaded.has_errors() { Exit::Findings } else { Exit::Fine };
        let mut first = true;
        for rule in &loaded.rules {
            let converted = convert(&rule.rule().spec);
            let id = rule.rule().id();
            for what in &converted.lost {
                show::note(&format!("{id}: Sigma cannot say {}", show::safe(what)));
            }
            for how in &converted.differs {
                show::note(&format!("{id}: differs: {}", show::safe(how)));
            }
            for what in &converted.left_out {
                show::note(&format!("{id}: left out: {}", show::safe(what)));
            }
            if !converted.lost.is_empty() && !self.lossy {
                show::note(&format!(
                    "{id} is not printed, because it would mean something else; --lossy prints it all the same"
                ));
                exit = Exit::Findings;
                continue;
            }
            if !std::mem::take(&mut first) {
                show::line("---")?;
            }
            show::line(converted.text.trim_end())?;
        }
        Ok(exit)
    }
}
