//! `larum replay`: rules over files of records, with the code that the daemon runs.

mod drafts;
mod evidence;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Secrets;
use crate::daemon::build;

use crate::alert::{Alert, AlertId, Draft};
use crate::engine::seen;
use crate::engine::{Counters, Engine, Generation, Note, Outcome, tell};
use crate::record::RuleId;
use crate::record::scan::{Fault, Origin, Provenance};

use super::archive::Archived;
use super::feed::{Archive, Fed, FileArguments, Watcher};
use super::load::{self, GeoArguments, Loaded, RuleArguments};
use super::{Exit, Failure, Output, show};
use drafts::{Drafts, InOrder};
use evidence::{Rows, Written};

/// Alerts whose evidence is fetched together. What the next ones show too is fetched once.
const TOLD_AT_A_TIME: usize = 512;
/// Ids of alerts that are remembered at least, so that none is told twice whose row came again after it
/// was forgotten.
const MAX_KNOWN: usize = 1 << 18;
/// Bytes of alerts that are written together.
const WRITTEN_AT_A_TIME: usize = 64 << 10;

/// Arguments of `larum replay`.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// Files of records (NDJSON; plain, gzip or zstd; - for stdin)
    #[arg(required_unless_present = "store", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Replay the archive of a daemon's store instead of files
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    store: Option<PathBuf>,
    /// Feed the store's journal again as it was taken in, with the rules that were in force: gives the
    /// alerts that the daemon kept, byte for byte
    #[arg(long, requires = "store")]
    as_seen: bool,
    /// Lend the files' rows the identity of a lane of the daemon, `SOURCE/ENDPOINT`, so that ids are
    /// those that the daemon gives
    #[arg(long = "as", value_name = "LANE", requires = "config")]
    lane: Option<String>,
    #[command(flatten)]
    rules: RuleArguments,
    #[command(flatten)]
    geo: GeoArguments,
    #[command(flatten)]
    reading: FileArguments,
    /// How to print alerts
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Print what became of alerts too: updates, closings, recoveries
    #[arg(long)]
    revisions: bool,
}

/// Keeps what a run tells.
#[derive(Debug)]
struct Kept {
    drafts: Drafts,
    notes: Vec<Note>,
    known: Known,
    /// Whether changes are wanted.
    revisions: bool,
}

/// Alerts that were raised lately: the last [`MAX_KNOWN`] of them, and up to as many before.
#[derive(Debug, Default)]
struct Known {
    young: HashSet<AlertId, foldhash::fast::RandomState>,
    old: HashSet<AlertId, foldhash::fast::RandomState>,
}

impl Known {
    /// Whether it is new.
    fn insert(&mut self, id: AlertId) -> bool {
        if self.young.len() >= MAX_KNOWN {
            self.old = std::mem::take(&mut self.young);
        }
        !self.old.contains(&id) && self.young.insert(id)
    }
}

impl Watcher for Kept {
    fn outcome(&mut self, outcome: Outcome) {
        for draft in &outcome.drafts {
            let wanted = match draft {
                // An alert that exists already is nothing: its row came again after it was forgotten.
                Draft::Fired(fired) => self.known.insert(fired.id),
                Draft::Changed(_) => self.revisions,
            };
            if wanted {
                self.drafts.push(draft);
            }
        }
        self.notes.extend(outcome.notes);
    }
}

impl Replay {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if let (Some(path), true) = (&self.store, self.as_seen) {
            let (revisions, output) = (self.revisions, self.output);
            return Archived { path, generation: None, revisions, output }.replay();
        }
        let mapping = self.reading.mapping()?;
        let declared: Vec<String> = mapping.fields.iter().map(|map| map.field.to_string()).collect();
        let loaded = self.rules.load(&[], &declared, load::Known::Given)?;
        loaded.complain();
        let exit = if loaded.has_errors() { Exit::Findings } else { Exit::Fine };
        let Loaded { rules, tables, .. } = loaded;
        let tables = self.rules.placed(tables, &self.geo)?;
        let generation = Arc::new(tables.generation(rules));
        if let Some(path) = &self.store {
            let (revisions, output) = (self.revisions, self.output);
            let done = Archived { path, generation: Some(generation), revisions, output }.replay()?;
            return Ok(if exit == Exit::Findings { exit } else { done });
        }
        let lane = self.lane()?;
        let (origin, tenant) = lane.unwrap_or_else(|| (Origin::file(mapping), "default".into()));
        let engine = Engine::new(generation.clone(), &tenant);
        let drafts = Drafts::new(&generation);
        let mut kept = Kept { drafts, notes: Vec::new(), known: Known::default(), revisions: self.revisions };
        #[expect(clippy::disallowed_methods, reason = "measures for the summary, decides nothing")]
        let begun = Instant::now();
        let fed = self.reading.feed(&self.files, &origin, engine, &mut kept)?;
        let Kept { drafts, notes, known, .. } = kept;
        drop(known);
        let alerts = print(&generation, &fed.archive, drafts.in_order()?, self.output)?;
        summary(&fed, &notes, &alerts, begun.elapsed());
        if fed.read > 0 && fed.engine.rows() == seen::Tally::default() {
            show::note(
                "error: no line made a record; one JSON object a line is wanted (of an array, `jq -c '.[]'` makes that)",
            );
            return Ok(Exit::CouldNotRun);
        }
        Ok(if fed.broken.is_empty() { exit } else { Exit::CouldNotRun })
    }
}

#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("the configuration cannot be used:\n{0}")]
    Faults(String),
    #[error("nobody knows the project of `{0}`: write `project_id` into the configuration")]
    NoProject(String),
    #[error("no source of the configuration reads `{0}`; known: {1}")]
    Unknown(String, String),
}

impl Replay {
    /// What `--as` lends: a lane's origin, and its tenant.
    fn lane(&self) -> Result<Option<(Origin, Arc<str>)>, Failure> {
        let (Some(wanted), Some(path)) = (&self.lane, &self.rules.config) else { return Ok(None) };
        let (parts, problems) = build::read(path, &Secrets::dry())?;
        let Some(parts) = parts else {
            return Err(LaneError::Faults(problems.render(show::colour_on_stderr())).into());
        };
        let mut known = Vec::new();
        for (named, source) in parts.config.sources.iter().zip(&parts.sources) {
            for lane in source.lanes() {
                if lane.name == *wanted {
                    if let Provenance::Huawei { project_id, .. } = &lane.origin.provenance
                        && project_id.is_empty()
                    {
                        return Err(LaneError::NoProject(wanted.clone()).into());
                    }
                    return Ok(Some((lane.origin, named.tenant.clone())));
                }
                known.push(lane.name);
            }
        }
        Err(LaneError::Unknown(wanted.clone(), known.join(", ")).into())
    }
}

/// Tells every draft in order; how many alerts each rule raised.
fn print(
    generation: &Generation,
    archive: &Archive,
    drafts: InOrder,
    output: Output,
) -> Result<BTreeMap<RuleId, u64>, Failure> {
    let colour = show::colour_on_stdout();
    let mut raised = BTreeMap::new();
    let mut text_faults: BTreeMap<RuleId, (u64, String)> = BTreeMap::new();
    let mut out = BufWriter::with_capacity(WRITTEN_AT_A_TIME, std::io::stdout().lock());
    let mut line = String::new();
    tell_all(generation, archive, drafts, &mut |alert| {
        if alert.revision == 1 {
            match raised.get_mut(&alert.rule) {
                Some(many) => *many += 1,
                None => {
                    raised.insert(alert.rule.clone(), 1);
                }
            }
            if let Some(fault) = &alert.text_fault {
                text_faults.entry(alert.rule.clone()).or_insert_with(|| (0, fault.clone())).0 += 1;
            }
        }
        match output {
            Output::Text => line = show::alert(alert, colour, show::Times::UTC),
            Output::Json => show::json_into(alert, &mut line)?,
        }
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    })?;
    out.flush()?;
    for (rule, (count, fault)) in text_faults {
        let many = show::many(usize::try_from(count).unwrap_or(usize::MAX), "alert");
        show::note(&show::safe(&format!(
            "warning: rule {rule}: the text of {many} could not be rendered: {fault}"
        )));
    }
    Ok(raised)
}

/// Tells `drafts`: alerts as they fired and, where they are among the drafts, their changes.
fn tell_all(
    generation: &Generation,
    archive: &Archive,
    mut drafts: InOrder,
    told: &mut dyn FnMut(&Alert<Written>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut alerts: HashMap<AlertId, Alert<Written>> = HashMap::new();
    let mut rows = Rows::of(archive);
    loop {
        let some = drafts.some(TOLD_AT_A_TIME)?;
        if some.is_empty() {
            return Ok(());
        }
        rows.fetch(generation, &some)?;
        for draft in some {
            match draft {
                Draft::Fired(fired) => {
                    let alert = rows.alert(generation, &fired);
                    told(&alert)?;
                    if drafts.with_changes() {
                        alerts.insert(alert.id, alert);
                    }
                }
                Draft::Changed(change) => {
                    if let Some(alert) = alerts.get_mut(&change.id) {
                        *alert = tell::changed(alert, &change);
                        told(alert)?;
                    }
                }
            }
        }
    }
}

/// What the run came to, for people.
fn summary(fed: &Fed, notes: &[Note], alerts: &BTreeMap<RuleId, u64>, took: std::time::Duration) {
    let rows = fed.engine.rows();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let rate = show::thousands(fed.read.saturating_mul(1_000_000) / micros);
    show::note(&format!(
        "{} records in {:.1} s ({rate} a second): {} new, {} unchanged, {} amended",
        show::thousands(fed.read),
        took.as_secs_f64(),
        show::thousands(rows.new),
        show::thousands(rows.unchanged),
        show::thousands(rows.amended),
    ));
    for (reason, (count, first)) in &fed.quarantined {
        let place = fed.archive.place(first.locator);
        let fault = first.fault.to_string();
        let mut detail = if fault == *reason { String::new() } else { format!(": {fault}") };
        if matches!(first.fault, Fault::Future { .. }) {
            detail.push_str("; now is the newest time that a second record confirms, or --now");
        }
        let lines = show::many(usize::try_from(*count).unwrap_or(usize::MAX), "line");
        show::note(&format!("quarantined: {lines}, {reason}; the first in {place}{detail}"));
        show::note(&format!("    {}", show::safe(&first.excerpt.chars().take(160).collect::<String>())));
    }
    if fed.disordered > 0 {
        show::note(&format!(
            "warning: {} came further behind than --settle allows and were judged as late; give --unsorted, or raise --settle",
            show::many(usize::try_from(fed.disordered).unwrap_or(usize::MAX), "record"),
        ));
    }
    for (rule, counters) in fed.engine.counters() {
        rule_summary(rule, &counters, alerts.get(rule).copied().unwrap_or(0));
    }
    for note in notes {
        show::note(&format!("warning: {}", show::safe(&told(note))));
    }
    for failure in &fed.broken {
        show::failure(&**failure);
    }
}

fn rule_summary(rule: &RuleId, counters: &Counters, alerts: u64) {
    let mut line = format!(
        "{rule}: {}, {}",
        show::many(usize::try_from(alerts).unwrap_or(usize::MAX), "alert"),
        show::many(usize::try_from(counters.hits).unwrap_or(usize::MAX), "hit")
    );
    for (count, what) in [
        (counters.group_field_missing, "without a group"),
        (counters.value_missing, "without the value"),
        (counters.excepted, "excepted"),
        (counters.late, "late"),
        (counters.too_late, "too late"),
        (counters.groups_evicted, "groups evicted"),
        (counters.records_dropped, "records dropped from full groups"),
        (counters.values_dropped, "values forgotten in full groups"),
        (counters.script_faults, "script faults"),
    ] {
        if count > 0 {
            let _ = write!(line, ", {} {what}", show::thousands(count));
        }
    }
    show::note(&line);
}

fn told(note: &Note) -> String {
    match note {
        Note::GroupsFull { rule, at, limit } => {
            format!("rule {rule} reached its bound of {limit} groups at {at}; the quietest groups are let go")
        }
        Note::MemoryFull { rule, what, at, limit } => format!(
            "rule {rule} remembers {what} for {limit} groups, its bound, at {at}; the quietest are forgotten"
        ),
        Note::StandingLeftOut { rule, at, left_out } => {
            format!("rule {rule} held at {at} for {left_out} more groups than are told")
        }
        Note::ScriptFault { rule, at, fault } => format!("rule {rule}, record of {at}: {fault}"),
    }
}
