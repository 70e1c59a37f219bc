//! Rule files from folders: one validator for every command.

use std::path::PathBuf;

use crate::config::rules;
use crate::engine::{CheckedRule, generation};
use crate::rule::decode::Options;
use crate::rule::problem::Problems;

use super::{Failure, show};

/// Where rules come from.
#[derive(Debug, Clone, clap::Args)]
pub struct RuleArguments {
    /// A rule file, or a folder of them (`*.yaml`, `*.yml`, folders within included); may be repeated
    #[arg(long = "rules", value_name = "PATH", default_value = "rules")]
    pub rules: Vec<PathBuf>,
    /// Time zone of dates in rules
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub zone: chrono_tz::Tz,
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
}

impl Loaded {
    /// True when some rule did not load.
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

/// Reads every rule of `paths`. `declared` are fields that the records' source declares.
pub fn load(paths: &[PathBuf], zone: chrono_tz::Tz, declared: &[String]) -> Result<Loaded, Failure> {
    let (texts, broken) = rules::texts(paths)?;
    let mut loaded = load_texts(texts, &Options { declared, zone });
    loaded.files += broken.len();
    loaded.problems.splice(0..0, broken);
    Ok(loaded)
}

/// The same for rules that are at hand already: (name of the file, its text).
pub fn load_texts(texts: Vec<(String, String)>, options: &Options<'_>) -> Loaded {
    let files = texts.len();
    let generation::Loaded { rules, problems, failed } = generation::load(texts, options);
    Loaded { rules, files, problems, failed }
}
