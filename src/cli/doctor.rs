//! `larum doctor`: whether a configuration would work here and now, in plain words.
//!
//! Each endpoint is asked once, for one page; nothing is sent to a receiver, and nothing is changed.

use std::fs::{OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::Secrets;
use crate::daemon::build;
use crate::daemon::clock::Clock;
use crate::daemon::control::{self, NoReply};
use crate::daemon::orders::{Order, Reply};
use crate::daemon::parts::Parts;
use crate::daemon::status::{LaneStatus, Status, Throttled};
use crate::record::Millis;
use crate::rule::problem::Problems;
use crate::source::Lateness;
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
        let secrets =
            parts.as_ref().map_or(secrets.clone(), |parts| parts.config.clients(&secrets, &mut problems));
        let Some(parts) = parts else {
            show::line(problems.render(show::colour_on_stdout()).trim_end())?;
            return Ok(Exit::Findings);
        };
        let mut report = Report::default();
        wait_for(async {
            let daemon = control::ask(&control::socket_of(&parts.config.store), &Order::Status).await;
            let status = match daemon {
                Ok(Reply::Status(status)) => Some(*status),
                Ok(Reply::Done(_) | Reply::Refused(_)) | Err(_) => None,
            };
            sources(&parts, &secrets, &mut problems, status.as_ref(), &mut report).await?;
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
    status: Option<&Status>,
    report: &mut Report,
) -> Result<(), Failure> {
    let clock = Clock::wall();
    for source in &parts.config.sources {
        Report::title(&format!("source {}", source.name))?;
        if source.part.kind != crate::source::huawei::KIND.name {
            Report::skipped(&format!("kind {}: there is nobody to ask", source.part.kind))?;
            continue;
        }
        let examined = examine(&source.part.options(), secrets, problems, || clock.now()).await;
        let Some(examined) = examined else { continue };
        let project = if examined.project_id.is_empty() { "a project" } else { &examined.project_id };
        Report::skipped(&format!("asks with {} for {project}", examined.asks_with))?;
        let mut hosts: Vec<&str> = Vec::new();
        for finding in &examined.findings {
            if !hosts.contains(&finding.host.as_str()) && finding.outcome != Outcome::NotAsked {
                hosts.push(&finding.host);
                host(finding, report)?;
            }
            endpoint(finding, report)?;
            if matches!(finding.outcome, Outcome::Open { .. }) {
                Report::skipped(&fields(finding))?;
            }
            let lane =
                status.and_then(|status| status.lanes.get(&format!("{}/{}", source.name, finding.endpoint)));
            if let Some(lane) = lane {
                seen_by_daemon(finding.endpoint, lane, report)?;
            }
        }
        if status.is_none() {
            Report::skipped("how late rows appear is measured by the daemon, and none runs")?;
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

/// What the endpoint's rows can show and cannot.
fn fields(finding: &Finding) -> String {
    let lacks = format!("{}: its rows never hold {}", finding.endpoint, finding.lacks.join(", "));
    if finding.absent.is_empty() {
        return lacks;
    }
    let read = show::many(finding.read, "row");
    format!("{lacks}; of {read} that came none holds {}", finding.absent.join(", "))
}

/// What a running daemon knows of the endpoint.
fn seen_by_daemon(name: &str, lane: &LaneStatus, report: &mut Report) -> Result<(), Failure> {
    if let Some(Throttled { at, said }) = &lane.throttled {
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        Report::skipped(&format!("{name}: the daemon was slowed down{at}: {said}"))?;
    }
    let Some(late) = lane.lateness else {
        return Report::skipped(&format!("{name}: no row appeared yet while the daemon watched"));
    };
    match lateness(name, late) {
        Ok(words) => Report::fine(&words),
        Err(words) => report.fault(&words),
    }
}

/// How late rows appear; an error where they come after their watermark.
fn lateness(name: &str, late: Lateness) -> Result<String, String> {
    let seen = format!(
        "{name}: half of {} rows appeared within {}, 999 of a thousand within {}; settle is {}",
        show::thousands(late.rows),
        late.median,
        late.most,
        late.settle
    );
    if late.most <= late.settle {
        return Ok(seen);
    }
    Err(format!("{seen}: what comes later is judged late; write a longer `settle`, or `settle: auto`"))
}

/// Whether the endpoint may be read.
fn endpoint(finding: &Finding, report: &mut Report) -> Result<(), Failure> {
    let (name, action) = (finding.endpoint, finding.action);
    match &finding.outcome {
        Outcome::Open { rows } => {
            let rows = rows.map_or_else(
                || "it does not say how many rows it has".to_owned(),
                |rows| {
                    let rows = show::many_of(rows, "row");
                    let newest = finding.newest.map(|newest| format!(", the newest of {newest}"));
                    format!("{rows} in the last hour{}", newest.unwrap_or_default())
                },
            );
            Report::fine(&format!("{name}: credentials accepted, `{action}` allowed, {rows}"))
        }
        Outcome::Unreachable(why) => report.fault(&format!("{name}: nobody answered: {why}")),
        Outcome::Credentials(why) => report.fault(&format!("{name}: credentials refused: {why}")),
        Outcome::Refused(why) => report.fault(&format!("{name}: not allowed: {why}")),
        Outcome::Throttled(why) => {
            report.fault(&format!("{name}: its limit is met: {why}; ask later, or lower `requests`"))
        }
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

/// Bytes that a store needs at least to go on for a while: a checkpoint of its log.
const ROOM: usize = 4 << 20;

/// Whether as much can be written as a store needs.
fn room(mut file: std::fs::File) -> std::io::Result<()> {
    file.write_all(&vec![0; ROOM])?;
    file.sync_all()
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
        Ok(Reply::Status(status)) if status.store_failed.is_some() => {
            let why = status.store_failed.unwrap_or_default();
            return report.fault(&format!("a daemon runs on it and can keep nothing: {why}"));
        }
        Ok(_) => return Report::fine("a daemon runs on it; `larum status` tells how it is"),
        Err(NoReply::Broken { .. }) => return report.fault("a daemon runs on it and does not answer"),
        Err(error @ NoReply::Denied { .. }) => return report.fault(&error.to_string()),
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = tempfile::tempfile_in(folder).and_then(room) {
        let folder = folder.display();
        return report.fault(&format!("nothing more can be written in {folder}: {error}; free some space"));
    }
    match Sqlite::open_read_only(path) {
        Ok(_) => Report::fine("free, and can be written"),
        Err(error) => report.fault(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_place_for_a_store() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(room(full).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert!(room(tempfile::tempfile().unwrap()).is_ok());
    }

    #[test]
    fn rows_that_come_after_their_watermark_are_a_fault_with_the_way_out() {
        let late =
            |most: Millis| Lateness { rows: 12_345, median: Millis(1_500), most, settle: Millis::secs(60) };
        assert_eq!(
            lateness("app_logins", late(Millis::secs(31))).unwrap(),
            "app_logins: half of 12 345 rows appeared within 1s500ms, 999 of a thousand within 31s; settle is 1m"
        );
        let fault = lateness("app_logins", late(Millis::mins(2))).unwrap_err();
        assert!(fault.ends_with("write a longer `settle`, or `settle: auto`"), "{fault}");
    }
}
