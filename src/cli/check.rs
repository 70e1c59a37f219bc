//! `larum check`: every fault of every rule file, with its place and the way out.

use crate::rule::problem::Problems;

use super::load::{RuleArguments, load};
use super::{Exit, Failure, Output, show};

/// Arguments of `larum check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    rules: RuleArguments,
    /// Rule files or folders; instead of --rules
    #[arg(value_name = "PATH", conflicts_with = "rules")]
    paths: Vec<std::path::PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let paths = if self.paths.is_empty() { &self.rules.rules } else { &self.paths };
        let loaded = load(paths, self.rules.zone, &[])?;
        match self.output {
            Output::Text => {
                for problems in &loaded.problems {
                    show::line(problems.render(show::colour_on_stdout()).trim_end())?;
                    show::line("")?;
                }
            }
            Output::Json => {
                for problem in loaded.problems.iter().flat_map(Problems::to_json) {
                    show::json(&problem)?;
                }
            }
        }
        let told: usize = loaded.problems.iter().map(|problems| problems.sorted().len()).sum();
        let faults: usize = loaded.problems.iter().map(Problems::errors).sum();
        let warnings = told - faults;
        let mut found = if faults == 0 { "no faults".to_owned() } else { show::many(faults, "fault") };
        if warnings > 0 {
            found = format!("{found}, {}", show::many(warnings, "warning"));
        }
        let (files, rules) = (show::many(loaded.files, "file"), show::many(loaded.rules.len(), "rule"));
        show::note(&format!("{files}, {rules} fit to run, {found}"));
        Ok(if loaded.has_errors() { Exit::Findings } else { Exit::Fine })
    }
}
