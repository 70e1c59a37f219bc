//! `larum simulate`: the vendor's service on a port of this machine, until Ctrl-C.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::daemon::clock::Clock;
use crate::record::{Millis, Timestamp};
use crate::simulate::{Key, Options, Scenario, Server, Trouble, World, office, scenario};
use crate::source::Input;

use super::{Exit, Failure, show};

/// Faults of a file that are shown one by one.
const SHOWN_FAULTS: usize = 3;
/// How often it is looked whether the play is over.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Arguments of `larum simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "While it plays it is steered from this machine, without credentials:
  GET /simulate/state     virtual now, rows, requests, answers
  POST /simulate/clock    {\"now\": \"2026-01-05T09:00:00Z\"}, {\"advance\": \"10m\"}, {\"speed\": 60}
  POST /simulate/trouble  one trouble or a list, as --trouble takes it
  GET /simulate/trouble   those that wait; DELETE calls all off
A trouble has a `kind` and what that wants (`by`, `retry_after`), and may have `times` (a number or
\"always\"; else once), `endpoint`, `from`, `until`, `skip` and `every`. A kind that there is not is
answered with all that there are; examples/scenario.yaml shows some with their values.")]
pub struct Simulate {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A second address for the host of the vendor's `/v1` paths, apart from that of `/v2`
    /// as on the real service; without, both are one
    #[arg(long, value_name = "ADDRESS")]
    listen_app: Option<SocketAddr>,
    /// Files of rows in the service's own shapes (NDJSON; plain, gzip or zstd), played from before
    /// the first of them; without, an invented office
    #[arg(long, value_name = "FILE", num_args = 1..)]
    records: Vec<PathBuf>,
    /// A scenario to play instead: who works when, what is planted, what goes wrong (see
    /// examples/scenario.yaml)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["records", "start", "seed"])]
    scenario: Option<PathBuf>,
    /// Where to write the truth of the scenario, a line of JSON each: its attacks, and every row with
    /// the attack that it belongs to
    #[arg(long, value_name = "FILE", requires = "scenario")]
    truth: Option<PathBuf>,
    /// Where to write the rows of the scenario as they are in the end, for `larum replay`; then nothing is
    /// served
    #[arg(long, value_name = "FILE", requires = "scenario")]
    rows: Option<PathBuf>,
    /// Virtual time at the start; without, a minute before the first row, or the office's morning
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Virtual seconds in a second; 0 stands until it is moved; 1 unless the scenario says otherwise
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(crate::simulate::clock::MAX_SPEED)))]
    speed: Option<u32>,
    /// What chance is made of: how late rows appear, who works where
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// An access key that may sign; a fake one
    #[arg(long, value_name = "AK", default_value = Options::AK)]
    ak: String,
    /// Its secret; a fake one
    #[arg(long, value_name = "SK", default_value = Options::SK)]
    sk: String,
    /// A token that is accepted besides; may be repeated
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// The project whose records these are
    #[arg(long, value_name = "ID", default_value = Options::PROJECT_ID)]
    project_id: String,
    /// Something that goes wrong once, or, as JSON, as often as it says: `throttled`,
    /// `{"kind": "slow", "by": "5s", "times": "always"}`; may be repeated
    #[arg(long, value_name = "TROUBLE")]
    trouble: Vec<Trouble>,
}

impl Simulate {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let scenario = self.scenario.as_deref().map(scenario_of).transpose()?;
        let world = match &scenario {
            Some(scenario) => {
                let play = scenario.play()?;
                if let Some(path) = &self.truth {
                    write(path, &play.truth(scenario))?;
                    show::note(&format!("wrote the truth into {}", show::path(path)));
                }
                if let Some(path) = &self.rows {
                    write(path, &play.rows())?;
                    let rows = show::many(play.world.len(), "row");
                    show::note(&format!("wrote {rows} into {}", show::path(path)));
                    return Ok(Exit::Fine);
                }
                play.world
            }
            None => self.world()?,
        };
        let speed = self.speed.or(scenario.as_ref().map(|scenario| scenario.speed)).unwrap_or(1);
        let faults = scenario.iter().flat_map(|scenario| scenario.faults.iter().cloned());
        let rows = show::many(world.len(), "row");
        let clock = Clock::wall();
        let options = Options {
            listen: self.listen,
            start: self.start,
            speed,
            skew: scenario.as_ref().map_or(Millis::ZERO, |scenario| scenario.skew),
            project_id: self.project_id.clone(),
            keys: vec![Key::new(&self.ak, &self.sk), Options::temporary()],
            listen_app: self.listen_app,
            tokens: self.token.clone(),
            troubles: faults.chain(self.trouble.clone()).collect(),
            ..Options::new(move || clock.now())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Server::start(world, options).await?;
            show::note(&format!("{rows}; it is {} there, at {} times our pace", server.now(), speed));
            show::line(&format!("listening on {}", server.url()))?;
            show::line(&self.snippet(&server))?;
            show::note(&format!("state: curl {}/simulate/state; Ctrl-C ends it", server.url()));
            Self::until_ctrl_c(&server).await?;
            show::note(&format!("served: {}", server.state()["requests"]));
            Ok(Exit::Fine)
        })
    }

    /// Waits, and tells once that there is nothing more to come.
    async fn until_ctrl_c(server: &Server) -> std::io::Result<()> {
        let mut told = false;
        loop {
            tokio::select! {
                ended = tokio::signal::ctrl_c() => return ended,
                () = tokio::time::sleep(LOOK_EVERY), if !told => {
                    told = server.is_finished();
                    if told {
                        show::note("every row has been born and every end has come; time goes on");
                    }
                }
            }
        }
    }

    fn world(&self) -> Result<World, Failure> {
        if self.records.is_empty() {
            return Ok(office::office(self.seed, self.start.unwrap_or(office::START))?);
        }
        world_of(self.seed, &self.records)
    }

    /// What a configuration says of this service.
    fn snippet(&self, server: &Server) -> String {
        let (url, app_url) = (server.url(), server.app_url());
        let (ak, sk, project) = (&self.ak, &self.sk, &self.project_id);
        format!(
            "# export HW_ACCESS_KEY={ak} HW_SECRET_KEY={sk}\n\
             sources:\n  - name: simulated\n    kind: huawei\n    region: cn-north-4\n    project_id: {project}\n    \
             credentials: {{ak: env:HW_ACCESS_KEY, sk: env:HW_SECRET_KEY}}\n    \
             endpoints: [desktop_logins, app_logins, app_launches]\n    \
             base_url: {{workspace: \"{url}\", workspaceapp: \"{app_url}\"}}"
        )
    }
}

/// What can be wrong with a scenario's files.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("cannot read the scenario `{}`", show::path(path))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds faults, all of them told.
    #[error("{0}")]
    Faults(String),
    /// The truth cannot be written.
    #[error("cannot write `{}`", show::path(path))]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The scenario in the file at `path`; what is doubtful in it is told of.
fn scenario_of(path: &Path) -> Result<Scenario, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the scenario is read at this edge")]
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ScenarioError::Unreadable { path: path.to_owned(), source })?;
    let (scenario, problems) = scenario::read(&path.display().to_string(), &text);
    let shown = problems.render(show::colour_on_stderr());
    match scenario {
        Some(scenario) => {
            if !problems.is_empty() {
                show::note(shown.trim_end());
            }
            Ok(scenario)
        }
        None => Err(ScenarioError::Faults(shown.trim_end().to_owned()).into()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|source| ScenarioError::Unwritable { path: path.to_owned(), source }.into())
}

/// A world of the rows in `files`; lines that are none are told of.
pub fn world_of(seed: u64, files: &[PathBuf]) -> Result<World, Failure> {
    let mut world = World::new(seed);
    for path in files {
        let mut bad = Vec::new();
        for block in Input::open(path).blocks()? {
            let block = block?;
            for line in block.bytes.split(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(line);
                if !line.trim().is_empty()
                    && let Err(error) = world.add_line(&line)
                {
                    bad.push(error.to_string());
                }
            }
            bad.extend(block.faults.iter().map(|fault| fault.fault.to_string()));
        }
        if !bad.is_empty() {
            let lines = show::many(bad.len(), "line");
            show::note(&format!("{}: {lines} left out", show::path(path)));
            for fault in bad.iter().take(SHOWN_FAULTS) {
                show::note(&format!("  {}", show::safe(fault)));
            }
        }
    }
    Ok(world)
}
