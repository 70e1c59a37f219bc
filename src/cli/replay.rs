//! `larum replay`: rules over files of records, with the code that the daemon runs.

mod drafts;
mod evidence;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use crate::config::Secrets;
use crate::daemon::build;

use crate::alert::{Alert, AlertId, Draft};
use crate::engine::{Counters, Engine, Generation, Note, Outcome, links, tell};
use crate::record::RuleId;
use crate::record::scan::{Fault, Origin, Provenance};

use super::archive::Archived;
use super::feed::{Archive, Fed, FileArguments, Watcher};
use super::load::{self, GeoArguments, Loaded, RuleArguments};
use super::{Exit, Failure, Output, show};
use drafts::{Drafts, InOrder};
use evidence::{Rows, Wanted, Written};

/// Alerts whose evidence is fetched together. What the next ones show too is fetched once.
const TOLD_AT_A_TIME: usize = 128;
/// Ids of alerts that are remembered at least, so that none is told twice whose row came again after it
/// was forgotten.
const MAX_KNOWN: usize = 1 << 18;
/// Pieces that a thread tells of a round of alerts: some take longer than others.
const PIECES_A_THREAD: usize = 4;

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
    #[arg(long, requires = "store", conflicts_with = "files")]
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
    /// The lines that alerts show, where some are packed.
    wanted: Option<Wanted>,
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
            if !wanted {
                continue;
            }
            self.drafts.push(draft);
            if let (Some(lines), Draft::Fired(fired)) = (&mut self.wanted, draft) {
                lines.add(fired);
            }
        }
        self.notes.extend(outcome.notes);
    }

    fn packed(&mut self) {
        self.wanted.get_or_insert_default();
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
        let (known, revisions) = (Known::default(), self.revisions);
        let mut kept = Kept { drafts, notes: Vec::new(), known, revisions, wanted: None };
        #[expect(clippy::disallowed_methods, reason = "measures for the summary, decides nothing")]
        let begun = Instant::now();
        let mut fed = self.reading.feed(&self.files, &origin, engine, &mut kept)?;
        let Kept { drafts, notes, known, wanted, .. } = kept;
        drop(known);
        if let Some(wanted) = wanted {
            fed.archive.keep(wanted.lines().as_deref())?;
        }
        let (output, colour) = (self.output, show::colour_on_stdout());
        let teller = Teller { generation: &generation, archive: &fed.archive, output, colour };
        let (drafts, threads) = (drafts.in_order()?, fed.pool.current_num_threads());
        let alerts = fed.pool.install(|| print(&teller, drafts, threads))?;
        summary(&fed, &notes, &alerts, begun.elapsed());
        if let Some(why) = fed.made_nothing() {
            show::note(&format!("error: {why}"));
            return Ok(Exit::CouldNotRun);
        }
        Ok(if fed.broken.is_empty() { exit } else { Exit::CouldNotRun })
    }
}

#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("the configuration cannot be used:\n{0}")]
    Faults(String),
    #[error("nobody knows the project of `{}`: write `project_id` into the configuration", show::safe(.0))]
    NoProject(String),
    #[error("no source of the configuration reads `{lane}`; known: {1}", lane = show::safe(.0))]
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

/// How alerts are told.
struct Teller<'a> {
    generation: &'a Generation,
    archive: &'a Archive,
    output: Output,
    colour: bool,
}

/// Some alerts, told one after another.
#[derive(Default)]
struct Told {
    /// Whole lines of text.
    text: Vec<u8>,
    /// How many each rule raised.
    raised: BTreeMap<RuleId, u64>,
    /// How many texts of each rule could not be rendered, and why the first could not.
    faults: BTreeMap<RuleId, (u64, String)>,
}

/// Alerts whose changes are told too.
type Open = HashMap<AlertId, Alert<Written>>;

/// Tells every draft in order; how many alerts each rule raised.
fn print(teller: &Teller<'_>, mut drafts: InOrder, threads: usize) -> Result<BTreeMap<RuleId, u64>, Failure> {
    let mut sum = Told::default();
    if threads == 1 || drafts.with_changes() {
        let (mut open, mut rows) = (Open::new(), Rows::of(teller.archive));
        loop {
            let some = drafts.some(TOLD_AT_A_TIME)?;
            if some.is_empty() {
                break;
            }
            let mut told = Told { text: std::mem::take(&mut sum.text), ..Told::default() };
            let with_changes = drafts.with_changes().then_some(&mut open);
            teller.tell(&some, &mut rows, with_changes, &mut told)?;
            sum.write(told)?;
        }
    } else {
        // Pieces of a round are told side by side, while the round before is written and the next one unpacked.
        let pieces = threads * PIECES_A_THREAD;
        let mut rows: Vec<Rows<'_>> = Vec::new();
        rows.resize_with(pieces, || Rows::of(teller.archive));
        let mut room: Vec<Vec<u8>> = Vec::new();
        let (mut round, mut before) = (drafts.some(TOLD_AT_A_TIME * pieces)?, Vec::new());
        while !(round.is_empty() && before.is_empty()) {
            let mut texts = room.split_off(room.len().saturating_sub(pieces));
            texts.resize_with(pieces, Vec::new);
            let (next, told) = rayon::join(
                || -> Result<Vec<Draft>, Failure> {
                    for told in before.drain(..) {
                        sum.write(told)?;
                        room.push(std::mem::take(&mut sum.text));
                    }
                    drafts.some(TOLD_AT_A_TIME * pieces)
                },
                || -> Result<Vec<Told>, Failure> {
                    let many = round.len().div_ceil(pieces).max(1);
                    let pieces = round.par_chunks(many).zip(&mut rows).zip(&mut texts);
                    let tell = |((piece, rows), text): ((&[Draft], &mut Rows<'_>), &mut Vec<u8>)| {
                        let mut told = Told { text: std::mem::take(text), ..Told::default() };
                        teller.tell(piece, rows, None, &mut told).map(|()| told)
                    };
                    pieces.map(tell).collect()
                },
            );
            (round, before) = (next?, told?);
            room.extend(texts.into_iter().filter(|text| text.capacity() > 0));
        }
    }
    for (rule, (count, fault)) in sum.faults {
        let many = show::many_of(count, "alert");
        show::note(&show::safe(&format!(
            "warning: rule {rule}: the text of {many} could not be rendered: {fault}"
        )));
    }
    Ok(sum.raised)
}

impl Told {
    /// Writes what was told later, adds it up and keeps its room.
    fn write(&mut self, mut later: Self) -> Result<(), Failure> {
        // In whole lines, so that none of it waits for a line's end.
        std::io::stdout().write_all(&later.text)?;
        later.text.clear();
        self.text = later.text;
        for (rule, many) in later.raised {
            *self.raised.entry(rule).or_insert(0) += many;
        }
        for (rule, (many, fault)) in later.faults {
            self.faults.entry(rule).or_insert_with(|| (0, fault)).0 += many;
        }
        Ok(())
    }

    fn note(&mut self, alert: &Alert<Written>) {
        if alert.revision != 1 {
            return;
        }
        match self.raised.get_mut(&alert.rule) {
            Some(many) => *many += 1,
            None => {
                self.raised.insert(alert.rule.clone(), 1);
            }
        }
        if let Some(fault) = &alert.text_fault {
            self.faults.entry(alert.rule.clone()).or_insert_with(|| (0, fault.clone())).0 += 1;
        }
    }
}

impl Teller<'_> {
    /// Tells `drafts`: alerts as they fired and, where those are kept, their changes.
    fn tell(
        &self,
        drafts: &[Draft],
        rows: &mut Rows<'_>,
        mut open: Option<&mut Open>,
        told: &mut Told,
    ) -> Result<(), Failure> {
        rows.fetch(self.generation, drafts)?;
        let mut tell = |alert: &Alert<Written>| -> Result<(), Failure> {
            match self.output {
                Output::Text => {
                    told.text.extend_from_slice(show::alert(alert, self.colour, show::Times::UTC).as_bytes());
                }
                Output::Json => show::json_onto(alert, &mut told.text)?,
            }
            told.text.push(b'\n');
            told.note(alert);
            Ok(())
        };
        for draft in drafts {
            match draft {
                Draft::Fired(fired) => {
                    let alert = rows.alert(self.generation, fired);
                    tell(&alert)?;
                    if let Some(open) = &mut open {
                        open.insert(alert.id, alert);
                    }
                }
                Draft::Changed(change) => {
                    if let Some(alert) = open.as_mut().and_then(|open| open.get_mut(&change.id)) {
                        *alert = tell::changed(alert, change);
                        tell(alert)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What the run came to, for people.
fn summary(fed: &Fed, notes: &[Note], alerts: &BTreeMap<RuleId, u64>, took: std::time::Duration) {
    let rows = fed.engine.rows();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let rate = show::thousands(fed.read.saturating_mul(1_000_000) / micros);
    show::note(&format!(
        "{} in {:.1} s ({rate} a second): {} new, {} unchanged, {} amended",
        show::many_of(fed.read, "record"),
        took.as_secs_f64(),
        show::thousands(rows.new),
        show::thousands(rows.unchanged),
        show::thousands(rows.amended),
    ));
    for (reason, (count, first)) in &fed.quarantined {
        let place = fed.archive.place(first.locator);
        let fault = first.fault.to_string();
        let mut detail = if fault == *reason { String::new() } else { format!(": {fault}") };
        match first.fault {
            Fault::Future { .. } => {
                let _ = write!(detail, "; {}", fed.to_now());
            }
            Fault::NoTime => {
                detail.extend(fed.without_time().map(|way_out| format!("; {way_out}")));
            }
            Fault::Page(key) => {
                let _ = write!(detail, "; `jq -c '.{key}[]'` makes lines of them");
            }
            Fault::NotJson { .. }
            | Fault::NotObject
            | Fault::NotUtf8
            | Fault::TooLong
            | Fault::TooManyFields
            | Fault::TooDeep
            | Fault::UnreadableTime(_) => {}
        }
        let lines = show::many_of(*count, "line");
        show::note(&format!("quarantined: {lines}, {reason}; the first in {place}{detail}"));
        show::note(&format!("    {}", show::safe(&first.excerpt.chars().take(160).collect::<String>())));
    }
    for warning in [fed.untimed(), fed.empty()].into_iter().flatten().chain(fed.mapped_wrong()) {
        show::note(&format!("warning: {warning}"));
    }
    if fed.disordered > 0 {
        show::note(&format!(
            "warning: {} came further behind than --settle allows and may have been judged as late; give --unsorted, or raise --settle",
            show::many_of(fed.disordered, "record"),
        ));
    }
    let generation = fed.engine.generation();
    let programs = &generation.programs.list;
    for (rule, counters) in fed.engine.counters() {
        let program = generation.position(rule).map(|number| &programs[number]);
        // Its alerts are not told, so that none of them is no news.
        let heard = program.filter(|program| program.is_silent());
        let heard: Vec<&str> = heard
            .into_iter()
            .flat_map(|program| &program.heard_by)
            .map(|number| programs[*number].rule.id().as_str())
            .collect();
        let counts = program.is_some_and(|program| program.verb.only_counts());
        rule_summary(rule, &counters, alerts.get(rule).copied().unwrap_or(0), &heard, counts);
    }
    let detections = links::only_read(generation.rules().map(|rule| &**rule));
    if !detections.is_empty() {
        let names: Vec<&str> = detections.keys().map(RuleId::as_str).collect();
        let verb = ["is a detection", "are detections"];
        show::note(&format!("{} that only correlations read: no line here", show::who(&names, verb)));
    }
    for note in notes {
        show::note(&format!("warning: {}", show::safe(&told(note))));
    }
    for failure in &fed.broken {
        show::failure(&**failure);
    }
}

fn rule_summary(rule: &RuleId, counters: &Counters, alerts: u64, heard_by: &[&str], counts: bool) {
    let mut line =
        format!("{rule}: {}, {}", show::many_of(alerts, "alert"), show::many_of(counters.hits, "hit"));
    let hits = |count: u64| show::thousands(count);
    // What only a late record would have looked back on is missed by nobody where none came.
    let early = if counters.late == 0 { counters.dropped_early } else { 0 };
    let missed = counters.records_dropped.saturating_sub(early);
    for (count, many, what) in [
        (counters.group_field_missing, hits(counters.group_field_missing), " without a group"),
        (counters.value_missing, hits(counters.value_missing), " without the value"),
        (counters.excepted, hits(counters.excepted), " excepted"),
        (counters.late, hits(counters.late), " late"),
        (counters.too_late, hits(counters.too_late), " too late"),
        (counters.groups_evicted, show::many_of(counters.groups_evicted, "group"), " evicted"),
        (
            missed,
            show::many_of(missed, "record"),
            if counts {
                " left windows that were full: it counts 10 000 and no more"
            } else {
                " left windows that were full: it may have missed or misjudged some"
            },
        ),
        (
            counters.values_dropped,
            show::many_of(counters.values_dropped, "value"),
            " forgotten in full groups",
        ),
        (counters.script_faults, show::many_of(counters.script_faults, "script fault"), ""),
    ] {
        if count > 0 {
            let _ = write!(line, ", {many}{what}");
        }
    }
    if !heard_by.is_empty() {
        let _ = write!(line, "; only {} of it", show::who(heard_by, ["hears", "hear"]));
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
            let more = show::many_of(*left_out, "more group");
            format!("rule {rule} held at {at} for {more} than are told")
        }
        Note::ScriptFault { rule, at, fault } => format!("rule {rule}, record of {at}: {fault}"),
    }
}
