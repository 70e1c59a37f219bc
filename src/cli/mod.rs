//! The commands: arguments in, exit code out, data to stdout and all else to stderr.
//!
//! Nothing names this module but `main`. Each command is one file.

mod alerts;
mod archive;
mod backup;
mod check;
mod completions;
mod convert;
mod deliveries;
mod demo;
mod doctor;
mod explain;
mod export;
mod feed;
mod load;
mod log;
mod new;
mod place;
mod progress;
mod quarantine;
mod reason;
mod replay;
mod restore;
mod rows;
mod rules;
mod run;
mod schema;
mod score;
mod send_test;
mod show;
mod silence;
mod simulate;
mod status;
mod test;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::record::{BadRuleId, RuleId};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Fine,
    /// It ran and found something that somebody should mend.
    Findings,
    /// It could not run.
    CouldNotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::CouldNotRun => 2,
        })
    }
}

/// Why a command could not run: printed once, with its causes.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Watches the audit records of Huawei Cloud Workspace and rings when something is wrong.
#[derive(Debug, Parser)]
#[command(name = "larum", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 fine, 1 findings, 2 could not run.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows Larum at work on a simulated service, without an account
    Demo(demo::Demo),
    /// Runs the daemon: polls, judges, tells
    Run(run::Run),
    /// Tells whether the daemon sees and tells; exit 1 when it is blind
    Status(status::StatusOf),
    /// Asks sources, receivers and the store whether a configuration would work here and now
    Doctor(doctor::Doctor),
    /// Lists, shows and acknowledges alerts
    Alerts(alerts::Alerts),
    /// Lists, shows, redrives and discards deliveries
    Deliveries(deliveries::Deliveries),
    /// Shows rows that were set aside because they make no record
    Quarantine(quarantine::Quarantine),
    /// Prints the rows that the store keeps, as they were read: files for `explain` and other tools
    Rows(rows::Rows),
    /// Holds messages back for a while
    Silence(silence::Silence),
    /// Sends a fixed message to one receiver
    SendTest(send_test::SendTest),
    /// Writes a whole copy of the store
    Backup(backup::Backup),
    /// Puts a backup in the store's place; what was there stays beside it
    Restore(restore::Restore),
    /// Checks rule files and tells every fault with its place
    Check(check::Check),
    /// Runs the tests inside rule files
    Test(test::Test),
    /// Runs rules over files of records and prints their alerts
    Replay(replay::Replay),
    /// Tells why a rule fired for a group at a time, or why not
    Explain(explain::Explain),
    /// Fetches evidence from the vendor: a file that it makes, and a manifest beside it
    Export(export::Export),
    /// Plays the vendor's service on a port of this machine, for tests and training
    Simulate(simulate::Simulate),
    /// Tells which attacks of a scenario were found, by which rules and how soon; exit 1 when one was not
    Score(score::Score),
    /// Lists the rules that are loaded, and what each has done and holds
    Rules(rules::Rules),
    /// Writes a rule to begin with
    New(new::New),
    /// Writes a rule in the words of another tool, and tells what those cannot say
    Convert(convert::Convert),
    /// Prints a JSON Schema
    Schema(schema::Schema),
    /// Prints a completion script for a shell
    Completions(completions::Completions),
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = arguments();
    let done = match arguments.command {
        Command::Demo(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Alerts(command) => command.run(),
        Command::Deliveries(command) => command.run(),
        Command::Quarantine(command) => command.run(),
        Command::Rows(command) => command.run(),
        Command::Silence(command) => command.run(),
        Command::SendTest(command) => command.run(),
        Command::Backup(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Rules(command) => command.run(),
        Command::New(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            show::failure(&*failure);
            Exit::CouldNotRun.into()
        }
    }
}

/// Standard input is named more than once.
#[derive(Debug, thiserror::Error)]
#[error("`-` is given twice, and standard input can be read once: name it once")]
struct Twice;

/// Whether `paths` name standard input at most once.
fn once<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Twice> {
    let is_stdin = |path: &&PathBuf| matches!(path.to_str(), Some("-" | "/dev/stdin"));
    if paths.into_iter().filter(is_stdin).count() > 1 { Err(Twice) } else { Ok(()) }
}

/// The arguments; where they have a fault, it is told and the process ends. What is told names them, and an
/// argument may hold anything: so it is the fault of the same arguments as text that deceives nobody.
fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|fault| {
        let safe = std::env::args_os().map(|argument| show::safe(&argument.to_string_lossy()));
        Arguments::try_parse_from(safe).err().unwrap_or(fault).exit()
    })
}

/// A rule's id as an argument; what is none is told with the nearest: a Sigma document's name is spelt
/// otherwise than the id that is made of it.
fn parse_rule(text: &str) -> Result<RuleId, String> {
    text.parse().map_err(|bad: BadRuleId| match RuleId::nearest(text) {
        Some(nearest) => format!("{bad}; did you mean `{nearest}`?"),
        None => bad.to_string(),
    })
}

/// The reader of our output has gone (`larum replay … | head`); that is no failure.
fn is_broken_pipe(failure: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    failure
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
