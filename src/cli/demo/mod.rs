//! `larum demo`: the whole of Larum at work in one process, without an account, a network or a file.
//!
//! The simulated service plays an invented office (or files of rows) on a port of this machine; a
//! daemon polls it with signed requests, judges, and tells a webhook and a mailbox, which are the
//! demo's own. Everything is the program's usual parts with a configuration that is written here;
//! what is shown is what arrived at the webhook.

mod bundle;
mod hook;
mod play;
mod words;

use std::path::PathBuf;

use crate::record::Millis;
use crate::simulate::office;

use super::{Exit, Failure};

/// Arguments of `larum demo`.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// End after so long, such as `45s`; without, Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    lasts: Option<Millis>,
    /// Seconds of the play in one of ours
    #[arg(long, value_name = "N", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::simulate::clock::MAX_SPEED)))]
    speed: u32,
    /// Play these files of rows in the service's own shapes (NDJSON; plain, gzip or zstd) in place of
    /// the invented office
    #[arg(long, value_name = "FILE", num_args = 1..)]
    records: Vec<PathBuf>,
    /// Keep the configuration, the store and the mail in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write the office's records and the rules into this folder and stop, to play with them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lasts", "records", "keep"])]
    write: Option<PathBuf>,
}

fn length(text: &str) -> Result<Millis, String> {
    match Millis::parse(text) {
        Ok(length) if length > Millis::ZERO => Ok(length),
        Ok(_) => Err("write a length of time, such as 45s or 2m".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if let Some(folder) = &self.write {
            return bundle::write(&office::office(play::SEED, office::START)?, folder);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(play::play(&self))
    }
}
