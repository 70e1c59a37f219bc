//! `larum doctor`: whether a configuration would work here and now, in plain words.
//!
//! Each endpoint is asked once, for one row; nothing is sent to a receiver, and nothing is changed.

use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::config::Secrets;
use crate::daemon::build;
use crate::daemon::clock::Clock;
use crate::daemon::control::{self, NoReply};
use crate::daemon::orders::Order;
use crate::daemon::parts::Parts;
use crate::record::Millis;
use crate::rule::problem::Problems;
use crate::source::huawei::examine::{Finding, Outcome, examine};
use crate::store::sqlite::Sqlite;

use super::place::{CONFIGURATION, wait_for};
use super::{Exit, Failure, show};

/// A clock that differs by more than this is worth mending: signatures are refused at 15 minutes.
const SKEW: Millis = Millis::mins(1);

/// Arguments of `larum doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
    config: PathBuf,
}

/// What was found, counted as it is told.
#[derive(Debug, Default)]
struct Report {
    faults: usize,
}

impl Report {
    fn title(what: &str) -> Result<(), Failure> {
        Ok(show::line(&show::safe(what))?)
    }

    fn fine(text: &str) -> Result<(), Failure> {
        Ok(show::line(&format!("  ok    {}", show::safe(text)))?)
    }

    fn skipped(text: &str) -> Result<(), Failure> {
        Ok(show::line(&format!("  -     {}", show::safe(text)))?)
    }

    fn fault(&mut self, text: &str) -> Result<(), Failure> {
        self.faults += 1;
        Ok(show::line(&format!("  FAIL  {}", show::safe(text)))?)
    }
}

impl Doctor {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let secrets = Secrets::in_folder(self.config.parent().unwrap_or_else(|| Path::new("")));
        let (parts, mut problems) = build::read(&self.config, &secrets)?;
        let Some(parts) = parts else {
            show::line(problems.render(show::colour_on_stdout()).trim_end())?;
            return Ok(Exit::Findings);
        };
        let mut report = Report::default();
        wait_for(async {
            sources(&parts, &secrets, &mut problems, &mut report).await?;
            receivers(&parts)?;
            store(&parts.config.store, &mut report).await
        })?;
        let found =
            if report.faults == 0 { "no faults".to_owned() } else { show::many(report.faults, "fault") };
        show::note(&found);
        Ok(if report.faults == 0 { Exit::Fine } else { Exit::Findings })
    }
}

async fn sources(
    parts: &Parts,
    secrets: &Secrets,
    problems: &mut Problems,
    report: &mut Report,
) -> Result<(), Failure> {
    let clock = Clock::wall();
    for source in &parts.config.sources {
        Report::title(&format!("source {}", source.name))?;
        if source.part.kind != crate::source::huawei::KIND.name {
            Report::skipped(&format!("kind {}: there is nobody to ask", source.part.kind))?;
            continue;
        }
        let findings = examine(&source.part.options(), secrets, problems, || clock.now()).await;
        let mut hosts: Vec<&str> = Vec::new();
        let findings = findings.unwrap_or_default();
        for finding in &findings {
            if !hosts.contains(&finding.host.as_str()) && finding.outcome != Outcome::NotAsked {
                hosts.push(&finding.host);
                host(finding, report)?;
            }
            endpoint(finding, report)?;
        }
    }
    Ok(())
}

/// Whether the host answers, and its clock.
fn host(finding: &Finding, report: &mut Report) -> Result<(), Failure> {
    let name = &finding.host;
    match (&finding.outcome, finding.ahead) {
        (Outcome::Unreachable(why), _) => report.fault(&format!("{name} cannot be reached: {why}")),
        (_, None) => report.fault(&format!("{name} answers and does not say its time (`Date`)")),
        (_, Some(ahead)) if ahead > SKEW || Millis::ZERO > ahead + SKEW => {
            let (length, way) =
                if ahead > Millis::ZERO { (ahead, "ahead of") } else { (Millis(-ahead.0), "behind") };
            report
                .fault(&format!("{name} answers; its clock is {length} {way} ours: set this machine's clock"))
        }
        (_, Some(_)) => Report::fine(&format!("{name} answers, and its clock is ours")),
    }
}

/// Whether the endpoint may be read.
fn endpoint(finding: &Finding, report: &mut Report) -> Result<(), Failure> {
    let (name, action) = (finding.endpoint, finding.action);
    match &finding.outcome {
        Outcome::Open { rows } => {
            let rows = rows.map_or_else(
                || "it does not say how many rows it has".to_owned(),
                |rows| {
                    let rows = show::many(usize::try_from(rows).unwrap_or(usize::MAX), "row");
                    format!("{rows} in the last hour")
                },
            );
            Report::fine(&format!("{name}: credentials accepted, `{action}` allowed, {rows}"))
        }
        Outcome::Unreachable(_) => Report::skipped(&format!("{name}: nobody answered")),
        Outcome::Credentials(why) => report.fault(&format!("{name}: credentials refused: {why}")),
        Outcome::Refused(why) => report.fault(&format!("{name}: not allowed: {why}")),
        Outcome::Odd(why) => report.fault(&format!("{name}: {why}")),
        Outcome::NotAsked => Report::skipped(&format!(
            "{name}: not asked, because the credentials were refused; needs `{action}`"
        )),
    }
}

/// They are built already.
fn receivers(parts: &Parts) -> Result<(), Failure> {
    for receiver in &parts.receivers {
        let (name, kind) = (&receiver.name, receiver.kind.name);
        Report::title(&format!("receiver {name}"))?;
        Report::fine(&format!(
            "kind {kind}, ready; `larum send-test {name}` shows whether a message arrives"
        ))?;
    }
    Ok(())
}

/// Whether a daemon could take the store.
async fn store(path: &Path, report: &mut Report) -> Result<(), Failure> {
    Report::title(&format!("store {}", path.display()))?;
    if !path.exists() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match tempfile::tempfile_in(folder) {
            Ok(_) => Report::fine("is not there yet, and can be made"),
            Err(error) => report.fault(&format!("cannot be made in {}: {error}", folder.display())),
        };
    }
    match control::ask(&control::socket_of(path), &Order::Status).await {
        Ok(_) => return Report::fine("a daemon runs on it; `larum status` tells how it is"),
        Err(NoReply::Broken { .. }) => return report.fault("a daemon runs on it and does not answer"),
        Err(NoReply::Stopped) => {}
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    if let Ok(file) = OpenOptions::new().write(true).open(&lock)
        && matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    {
        return report.fault("another process has it");
    }
    if let Err(error) = OpenOptions::new().append(true).open(path) {
        return report.fault(&format!("cannot be written: {error}"));
    }
    match Sqlite::open_read_only(path) {
        Ok(_) => Report::fine("free, and can be written"),
        Err(error) => report.fault(&error.to_string()),
    }
}
