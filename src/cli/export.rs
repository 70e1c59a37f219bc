//! `larum export`: evidence from the vendor, as a file that it made.
//!
//! A task is begun, followed and downloaded. Beside the file stands a manifest: what was asked for,
//! when, by whom, and the digest of what came. It is written as soon as the task is begun, so that the
//! same command goes on with the task where it was interrupted.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::{Deserialize, Serialize};

use crate::config::Secrets;
use crate::daemon::build;
use crate::daemon::clock::Clock;
use crate::record::{Millis, Timestamp};
use crate::source::huawei::export::{ExportError, Exporter, Stage, Task, Wanted, What, kind_of};

use super::place::{CONFIGURATION, operator, wait_for};
use super::when::When;
use super::{Exit, Failure, show};

/// Time between the first two looks at a task; each further wait is twice as long, up to the last.
const LOOK: Millis = Millis::secs(1);
const LONGEST_LOOK: Millis = Millis::secs(15);
/// Failures in a row after which following is given up.
const PATIENCE: u32 = 10;
/// Longest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;

/// Arguments of `larum export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// What: logins, launches, sessions or desktop-logins
    #[arg(value_name = "WHAT", value_parser = parse_what)]
    what: What,
    /// Only rows with these values, in the vendor's words: `user_name=ana`, `failed_code=500`
    #[arg(value_name = "NAME=VALUE", value_parser = parse_pair)]
    filters: Vec<(String, String)>,
    /// From this moment on, 2026-01-05T09:00:00Z or a day of the configuration's zone
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    from: When,
    /// To this moment, or the begin of this day [default: now]
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    to: Option<When>,
    /// Where to write; without an ending, the file's own is added
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
    config: PathBuf,
    /// Which of its sources [default: the only one of kind huawei]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Goes on with this task instead of beginning one
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// How long to wait for the file
    #[arg(long, value_name = "LENGTH", default_value = "30m", value_parser = Millis::parse)]
    wait: Millis,
}

#[derive(Debug, thiserror::Error)]
enum ExportFault {
    #[error("{0}")]
    Wrong(String),
    #[error("the configuration cannot be used:\n{0}")]
    Faults(String),
    #[error("`{}` is there already; name another file", show::path(.0))]
    Exists(PathBuf),
    #[error("cannot write `{}`", show::path(path))]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("task {task} is not ready: {why}; the same command with `--task {task}` goes on with it")]
    NotReady { task: String, why: String },
    #[error("the service could not make the file: {0}")]
    Failed(String),
    #[error("the service keeps the file of task {0} no longer; begin another one")]
    Expired(String),
    #[error("the service knows no task {0}")]
    Unknown(String),
}

/// What stands beside the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    /// The version that wrote it.
    larum: String,
    by: String,
    what: String,
    region: String,
    project_id: String,
    from: String,
    to: String,
    filters: Vec<(String, String)>,
    task_id: String,
    asked_at: Option<String>,
    /// As the service spells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    /// What came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Came>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Came {
    path: String,
    kind: String,
    bytes: u64,
    sha256: String,
    downloaded_at: String,
}

impl Manifest {
    /// True where it is of the same question.
    fn is_of(&self, other: &Self) -> bool {
        (&self.what, &self.region, &self.project_id) == (&other.what, &other.region, &other.project_id)
            && (&self.from, &self.to, &self.filters) == (&other.from, &other.to, &other.filters)
    }
}

impl Export {
    /// What is meant by a time of the command line.
    fn moment(&self, when: When) -> Result<Timestamp, Failure> {
        match when {
            When::At(at) => Ok(at),
            When::Day(_) => Ok(when.within(build::zone_of(&self.config)?)),
        }
    }

    pub(super) fn run(self) -> Result<Exit, Failure> {
        let clock = Clock::wall();
        let now = clock.now();
        // A whole minute, so that the same command asks for the same rows for a while.
        let to = self.to.unwrap_or(When::At(Timestamp(now.0 - now.0.rem_euclid(60_000))));
        let (from, to) = (self.moment(self.from)?, self.moment(to)?);
        let wanted = Wanted { what: self.what, from, to, filters: self.filters.clone() };
        // What the service keeps goes by its own clock, which it is asked for where ours says no.
        let old = wanted.fault(now);
        if let Some(fault) = old.as_ref().and_then(|_| wanted.fault(wanted.from)) {
            return Err(ExportFault::Wrong(fault).into());
        }
        if self.output.extension().is_some() && self.output.exists() {
            return Err(ExportFault::Exists(self.output).into());
        }
        wait_for(async {
            let exporter = self.exporter(&clock).await?;
            if old.is_some()
                && let Some(fault) = wanted.fault(exporter.now(clock.now()).await)
            {
                return Err(ExportFault::Wrong(fault).into());
            }
            let mut manifest = self.begin(&exporter, &wanted, &clock).await?;
            let task = self.follow(&exporter, &manifest.task_id, &clock).await?;
            (manifest.begun, manifest.done, manifest.file_name) = (task.begun, task.done, task.file_name);
            let bytes =
                patient(&clock, async || exporter.download(&manifest.task_id, clock.now()).await).await?;
            self.keep(manifest, &bytes, clock.now())
        })?;
        Ok(Exit::Fine)
    }

    async fn exporter(&self, clock: &Clock) -> Result<Exporter, Failure> {
        let secrets = Secrets::in_folder(self.config.parent().unwrap_or_else(|| Path::new("")));
        let (parts, mut problems) = build::read(&self.config, &secrets)?;
        let secrets =
            parts.as_ref().map_or(secrets.clone(), |parts| parts.config.clients(&secrets, &mut problems));
        let faults = |problems: &crate::rule::problem::Problems| {
            ExportFault::Faults(problems.render(show::colour_on_stderr()))
        };
        let Some(parts) = parts else { return Err(faults(&problems).into()) };
        let fitting: Vec<_> = parts
            .config
            .sources
            .iter()
            .filter(|source| source.part.kind == crate::source::huawei::KIND.name)
            .filter(|source| self.source.as_ref().is_none_or(|name| *name == source.name))
            .collect();
        let [source] = fitting.as_slice() else {
            let known: Vec<&str> = parts.config.sources.iter().map(|source| source.name.as_str()).collect();
            let text = format!("name one source of kind huawei with --source; known: {}", known.join(", "));
            return Err(ExportFault::Wrong(text).into());
        };
        let opened = Exporter::open(&source.part.options(), &secrets, &mut problems, clock.now()).await;
        match opened {
            Some(opened) => Ok(opened?),
            None => Err(faults(&problems).into()),
        }
    }

    /// Begins a task, or goes on with one; its manifest.
    async fn begin(&self, exporter: &Exporter, wanted: &Wanted, clock: &Clock) -> Result<Manifest, Failure> {
        let mut manifest = Manifest {
            larum: env!("CARGO_PKG_VERSION").to_owned(),
            by: operator(),
            what: wanted.what.as_str().to_owned(),
            region: exporter.region.clone(),
            project_id: exporter.project_id().to_owned(),
            from: wanted.from.to_string(),
            to: wanted.to.to_string(),
            filters: wanted.filters.clone(),
            asked_at: Some(clock.now().to_string()),
            ..Manifest::default()
        };
        let place = manifest_of(&self.output);
        let before = read_manifest(&place);
        let unfinished = before.filter(|before| before.file.is_none() && before.is_of(&manifest));
        match (&self.task, unfinished) {
            (Some(task), _) => manifest.task_id.clone_from(task),
            (None, Some(before)) => {
                show::note(&format!("goes on with task {}", show::safe(&before.task_id)));
                manifest = before;
            }
            (None, None) => {
                let begun = patient(clock, async || exporter.begin(wanted, clock.now()).await).await?;
                manifest.task_id = begun;
                show::note(&format!("task {} is begun", show::safe(&manifest.task_id)));
            }
        }
        write(&place, &serde_json::to_vec_pretty(&manifest)?, true)?;
        Ok(manifest)
    }

    async fn follow(&self, exporter: &Exporter, id: &str, clock: &Clock) -> Result<Task, Failure> {
        let until = clock.now() + self.wait;
        let progress = Progress::new();
        let mut look = LOOK;
        loop {
            let task = patient(clock, async || exporter.look(id, clock.now()).await).await?;
            match task.stage {
                Stage::Ready => return Ok(task),
                Stage::Creating => progress.say(&format!("task {id} is being made")),
                Stage::Failed(why) => return Err(ExportFault::Failed(why).into()),
                Stage::Expired => return Err(ExportFault::Expired(id.to_owned()).into()),
                Stage::Unknown => return Err(ExportFault::Unknown(id.to_owned()).into()),
            }
            if clock.now() + look > until {
                let why = format!("it is still being made after {}", self.wait);
                return Err(ExportFault::NotReady { task: id.to_owned(), why }.into());
            }
            clock.sleep(look).await;
            look = Millis(look.0 * 2).min(LONGEST_LOOK);
        }
    }

    /// Writes the file, then the manifest that tells of it.
    fn keep(&self, mut manifest: Manifest, bytes: &[u8], now: Timestamp) -> Result<(), Failure> {
        let kind = kind_of(bytes);
        let path = if self.output.extension().is_some() {
            self.output.clone()
        } else {
            self.output.with_extension(kind)
        };
        write(&path, bytes, false)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let sha256 = digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        manifest.file = Some(Came {
            path: name,
            kind: kind.to_owned(),
            bytes: bytes.len() as u64,
            sha256: sha256.clone(),
            downloaded_at: now.to_string(),
        });
        write(&manifest_of(&self.output), &serde_json::to_vec_pretty(&manifest)?, true)?;
        if path.extension().is_some_and(|ending| ending != kind) {
            show::note(&format!("{} is {kind} by its bytes", show::path(&path)));
        }
        let shown = show::path(&path);
        Ok(show::line(&format!("{shown}  {} bytes  sha256 {sha256}", bytes.len()))?)
    }
}

/// Asks until something comes that is no passing trouble.
async fn patient<T>(clock: &Clock, ask: impl AsyncFn() -> Result<T, ExportError>) -> Result<T, ExportError> {
    let mut failures = 0;
    loop {
        match ask().await {
            Err(ExportError::Later { text, wait }) if failures < PATIENCE => {
                failures += 1;
                show::note(&format!("{}; again in {wait}", show::safe(&text)));
                clock.sleep(wait).await;
            }
            done => return done,
        }
    }
}

/// A line on a terminal that says what is waited for.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()));
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn say(&self, text: &str) {
        self.0.set_message(show::safe(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The manifest's place: beside the file.
fn manifest_of(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".manifest.json");
    PathBuf::from(name)
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    if !path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_MANIFEST) {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "a manifest is read at this edge")]
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8], replace: bool) -> Result<(), ExportFault> {
    let unwritable = |source| ExportFault::Unwritable { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(unwritable)?;
    let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(drop).map_err(|error| {
        if error.error.kind() == std::io::ErrorKind::AlreadyExists {
            ExportFault::Exists(path.to_owned())
        } else {
            unwritable(error.error)
        }
    })
}

fn parse_what(word: &str) -> Result<What, String> {
    let all = [What::Logins, What::Launches, What::Sessions, What::DesktopLogins];
    let names: Vec<&str> = all.iter().map(|what| what.as_str()).collect();
    let found = all.into_iter().find(|what| what.as_str() == word);
    found.ok_or_else(|| format!("known: {}", names.join(", ")))
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
