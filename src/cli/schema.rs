//! `larum schema`: what editors complete and check from.

use crate::daemon::parts;

use super::{Exit, Failure, show};

/// Arguments of `larum schema`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Of what
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// A rule file
    Rule,
    /// A configuration
    Config,
}

impl Schema {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Rule => show::line(&serde_json::to_string_pretty(&crate::rule::schema::rule_schema())?)?,
            What::Config => show::line(&serde_json::to_string_pretty(&parts::schema())?)?,
        }
        Ok(Exit::Fine)
    }
}
