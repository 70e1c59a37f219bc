//! `larum completions`: a completion script for a shell.

use clap::CommandFactory;

use super::{Arguments, Exit, Failure};

/// Arguments of `larum completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// For which shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "larum", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        Ok(Exit::Fine)
    }
}
