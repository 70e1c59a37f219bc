//! `larum test`: the rules' own tests, on the engine that the daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::alert::{Alert, Draft, Sight, State};
use crate::engine::links::Hearing;
use crate::engine::{CheckedRule, Engine, Generation, Note, SourceId, Step, tell};
use crate::record::describe::Describer;
use crate::record::scan::{Mapping, Origin, Scanner};
use crate::record::{Batch, Locator, Millis, Number, Phase, Timestamp};
use crate::rule::case::{Case, EventLine, Expected, Spelt};
use crate::rule::lists::List;
use crate::rule::why::hit;

use super::feed::Feed;
use super::load::{Known, RuleArguments, Tables};
use super::{Exit, Failure, Output, reason, show};

/// Where the clock of a test starts: 2026-01-05T09:00:00Z, a Monday.
const START: Timestamp = Timestamp(1_767_603_600_000);

/// Records that one test may have: a test shows a rule, a replay its load.
const MAX_RECORDS: u64 = 10_000;

/// Arguments of `larum test`.
#[derive(Debug, clap::Args)]
pub struct Test {
    #[command(flatten)]
    rules: RuleArguments,
    /// Rule files or folders; instead of --rules
    #[arg(value_name = "PATH", conflicts_with = "rules")]
    paths: Vec<std::path::PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What one test came to.
#[derive(Debug)]
struct Outcome {
    raised: Vec<Alert>,
    faults: Vec<String>,
}

impl Test {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let loaded = self.rules.load(&self.paths, &[], Known::OfTests)?;
        match self.output {
            Output::Text => loaded.complain(),
            Output::Json => {
                for problems in &loaded.problems {
                    show::json(&json!({
                        "file": problems.file, "loaded": !problems.has_errors(), "problems": problems.to_json(),
                    }))?;
                }
            }
        }
        let (mut tests, mut failed, rules) = (0, 0, loaded.rules.len());
        let broken = loaded.has_errors();
        let hearing = Hearing::of(&loaded.rules);
        for rule in &loaded.rules {
            let (ran, bad) = test_rule(rule, (&hearing, &loaded.tables), self.output)?;
            tests += ran;
            failed += bad;
        }
        let result = match (tests, failed) {
            (0, _) => "nothing to run".to_owned(),
            (_, 0) => "all passed".to_owned(),
            (_, failed) => format!("{failed} failed"),
        };
        show::note(&format!("{}, {}, {result}", show::many(rules, "rule"), show::many(tests, "test")));
        if broken {
            show::note("some rules did not load; their tests were not run");
        }
        Ok(if failed > 0 || broken { Exit::Findings } else { Exit::Fine })
    }
}

/// Runs the tests of one rule, with those that it hears of: how many there are, and how many failed.
fn test_rule(
    rule: &CheckedRule,
    (hearing, tables): (&Hearing<'_>, &Tables),
    output: Output,
) -> Result<(usize, usize), Failure> {
    let id = rule.rule().id();
    let name = id.to_string();
    if output == Output::Text {
        show::line(&name)?;
    }
    let cases = rule.rule().spec.tests.clone();
    if cases.is_empty() {
        match output {
            Output::Text => show::line("  no tests")?,
            Output::Json => show::json(&json!({"rule": name, "tests": 0}))?,
        }
        return Ok((0, 0));
    }
    let rules = hearing.with_heard(&BTreeSet::from([id.clone()]));
    let generation = Arc::new(tables.generation(rules.clone()));
    let number = generation.position(id).unwrap_or_default();
    let mut failed = 0;
    for case in &cases {
        let own = with_lists(&rules, case, tables);
        let outcome = run_case(own.as_ref().unwrap_or(&generation), number, case);
        failed += usize::from(!outcome.faults.is_empty());
        match output {
            Output::Text => print_text(case, &outcome)?,
            Output::Json => print_json(&name, case, &outcome)?,
        }
    }
    Ok((cases.len(), failed))
}

/// The rules with the lists that a test gives; none where it gives none.
fn with_lists(rules: &[CheckedRule], case: &Case, tables: &Tables) -> Option<Arc<Generation>> {
    if case.lists.is_empty() {
        return None;
    }
    let lists = case.lists.iter().map(|(name, values)| (name.clone(), List::of(values)));
    let tables = Tables { lists: tables.lists.with(lists), facts: tables.facts.clone() };
    Some(Arc::new(tables.generation(rules.to_vec())))
}

fn print_text(case: &Case, outcome: &Outcome) -> Result<(), Failure> {
    let verdict = if outcome.faults.is_empty() { "ok  " } else { "FAIL" };
    show::line(&format!("  {verdict}  {}", show::safe(&case.name)))?;
    for fault in &outcome.faults {
        show::line(&format!("          {}", show::safe(fault)))?;
    }
    if !outcome.faults.is_empty() {
        for alert in &outcome.raised {
            show::line(&format!("          raised: {}", headline(alert)))?;
        }
    }
    Ok(())
}

fn print_json(rule: &str, case: &Case, outcome: &Outcome) -> Result<(), Failure> {
    let line = json!({
        "rule": rule, "test": case.name, "passed": outcome.faults.is_empty(), "faults": outcome.faults,
        "raised": outcome.raised,
    });
    show::json(&line)
}

fn headline(alert: &Alert) -> String {
    let title = show::safe(&alert.title);
    let more = if alert.repeats > 0 { format!(", repeats {}", alert.repeats) } else { String::new() };
    format!("{} {} {} ({}, count {}{more})", alert.at, alert.level, title, alert.state.as_str(), alert.count)
}

/// Runs one test and compares.
fn run_case(generation: &Arc<Generation>, number: usize, case: &Case) -> Outcome {
    let mut clock = START;
    let (mut lines, mut made) = (Vec::new(), 0);
    let asked: u64 = case.history.iter().chain(&case.events).map(|line| u64::from(times(line))).sum();
    if asked > MAX_RECORDS {
        let faults = vec![format!("{asked} records; a test may have {MAX_RECORDS}")];
        return Outcome { raised: Vec::new(), faults };
    }
    for line in &case.history {
        expand(line, &mut clock, &mut made, &mut lines);
    }
    let (events_from, events_at) = (lines.iter().map(|line: &String| line.len() as u64 + 1).sum(), clock);
    for line in &case.events {
        expand(line, &mut clock, &mut made, &mut lines);
    }
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let Raised { alerts: raised, mut faults, why_not } =
        raise((generation, number), &text, clock, (Locator(events_from), events_at));
    faults.extend(raised.iter().filter_map(|alert| alert.text_fault.clone()));
    let differences = compare(&case.alerts, &raised);
    let fewer = raised.len() < case.alerts.len();
    faults.extend(differences.into_iter().chain(why_not.filter(|_| fewer)));
    Outcome { raised, faults }
}

/// The records of one line of a test, as NDJSON.
fn expand(line: &EventLine, clock: &mut Timestamp, number: &mut u32, lines: &mut Vec<String>) {
    let start = line.at.unwrap_or(*clock + line.after.unwrap_or_default());
    let times = times(line);
    let every = line.every.unwrap_or_default();
    *clock = start;
    for turn in 0..times {
        let at = start + Millis(every.0.saturating_mul(i64::from(turn)));
        let mut row = Row::default();
        for (name, value) in [
            ("id", format!("test-{number}")),
            ("kind", "login".to_owned()),
            ("phase", "start".to_owned()),
            ("start_time", at.to_string()),
        ] {
            row.set(name, Json::from(value).into());
        }
        for (field, value) in &line.fields {
            row.set(field.as_str(), value.clone());
        }
        for (field, values) in &line.each {
            if let Some(value) = values.get(turn as usize % values.len().max(1)) {
                row.set(field.as_str(), value.clone());
            }
        }
        lines.push(row.json());
        *number += 1;
        *clock = at;
    }
}

/// How many records a line makes.
fn times(line: &EventLine) -> u32 {
    let longest = line.each.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    line.times.unwrap_or_else(|| {
        let bare = longest == 0 && line.fields.is_empty() && line.after.is_some();
        u32::try_from(longest).unwrap_or(u32::MAX).max(u32::from(!bare))
    })
}

/// A flat row: its keys and what they hold.
#[derive(Default)]
struct Row(Vec<(String, Spelt)>);

impl Row {
    /// Sets a field as a flat row spells it: `raw.x` is the row's own `x`.
    fn set(&mut self, field: &str, value: Spelt) {
        let key = field.strip_prefix("raw.").unwrap_or(field);
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    fn json(&self) -> String {
        let member =
            |(key, value): &(String, Spelt)| format!("{}:{}", Json::from(key.as_str()), value.as_str());
        format!("{{{}}}", self.0.iter().map(member).collect::<Vec<_>>().join(","))
    }
}

/// What the records of a test came to.
struct Raised {
    alerts: Vec<Alert>,
    /// Scripts that broke.
    faults: Vec<String>,
    /// Why the last record did not fire, for tests that expect more alerts.
    why_not: Option<String>,
}

/// The alerts that `text` raises, with what became of them; those of the history left out.
fn raise(
    (generation, number): (&Arc<Generation>, usize),
    text: &str,
    end: Timestamp,
    (events_from, events_at): (Locator, Timestamp),
) -> Raised {
    let (facts, origin) = (generation.facts.clone(), Origin::file(Mapping::default()));
    let describer = Describer::new(facts.clone(), origin.clone());
    let scanner = Scanner::new(generation.columns.clone(), facts, origin);
    let mut feed = Feed::new(Engine::new(generation.clone(), "default"));
    let program = &generation.programs.list[number];
    feed.engine.watch(program.rule.id());
    let source = SourceId(0);
    feed.engine.add_source(source, None);
    let batch = scanner.scan(text.to_owned(), Locator(0));
    let mut outcome = feed.take(&batch);
    let rest = feed.engine.finish(source, end);
    outcome.drafts.extend(rest.drafts);
    outcome.traced.extend(rest.traced);
    outcome.notes.extend(rest.notes);
    outcome.drafts.retain(|draft| draft.rule() == program.rule.id());
    outcome.drafts.sort_by_cached_key(Draft::order);
    let mut alerts: Vec<Alert> = Vec::new();
    for draft in &outcome.drafts {
        match draft {
            Draft::Fired(fired) => {
                let row = |sight: &Sight| {
                    let line = text.get(usize::try_from(sight.locator.0).ok()?..)?.lines().next()?;
                    describer.describe(line, sight.phase)
                };
                let rows: Vec<_> = fired.sights.iter().map(row).collect();
                if fired.tip.locator >= events_from {
                    alerts.push(tell::alert(generation, fired, &rows));
                }
            }
            Draft::Changed(change) => {
                let Some(alert) = alerts.iter_mut().find(|alert| alert.id == change.id) else { continue };
                alert.repeats = alert.repeats.max(change.repeats);
                if change.state == State::Resolved && change.at >= events_at {
                    // Its count is that of the firing, whatever was folded in since.
                    let fired = Alert { repeats: 0, ..alert.clone() };
                    alerts.push(tell::changed(&fired, change));
                }
            }
        }
    }
    for open in feed.engine.open_alerts() {
        if let Some(alert) = alerts.iter_mut().find(|alert| alert.id == open.id) {
            alert.repeats = alert.repeats.max(open.repeats);
        }
    }
    let fault = |note: &Note| match note {
        Note::ScriptFault { fault, .. } => Some(fault.clone()),
        Note::GroupsFull { .. } | Note::MemoryFull { .. } | Note::StandingLeftOut { .. } => None,
    };
    let faults = outcome.notes.iter().filter_map(fault).collect();
    let why_not = why_not(generation, number, &batch, &outcome);
    Raised { alerts, faults, why_not }
}

/// What became of the last record of a test.
fn why_not(
    generation: &Generation,
    number: usize,
    batch: &Batch,
    outcome: &crate::engine::Outcome,
) -> Option<String> {
    let program = &generation.programs.list[number];
    let told =
        || outcome.traced.iter().filter(|traced| !matches!(traced.step, Step::Answered(_) | Step::Heard(_)));
    let hits = told().count();
    let count = format!("{}, {}", show::many(batch.rows.len(), "record"), show::many(hits, "hit"));
    if let Some(traced) = told().max_by_key(|traced| traced.at) {
        let (_, word, detail) = reason::told(program, &traced.step, &BTreeMap::new());
        return Some(format!("{count}; the last hit: {word}, {detail}"));
    }
    let row = batch.rows.len().checked_sub(1)?;
    let phase = batch.rows[row].only.unwrap_or(Phase::Start);
    let mut columns = (*generation.columns).clone();
    let spec = &program.rule.spec;
    let asked = (&spec.matches, spec.hours.as_ref());
    let record = batch.record(row, phase);
    let mut tree = hit(asked, record, &mut columns, generation.lists());
    tree.answer(&reason::answers(&outcome.traced, record.id()));
    Some(format!("{count}; the last record: {}", reason::no_match(&tree)))
}

/// How `raised` differs from `expected`.
///
/// That an alert was resolved is asserted by tests that name a state.
fn compare(expected: &[Expected], raised: &[Alert]) -> Vec<String> {
    let mut faults = Vec::new();
    let names_state = expected.iter().any(|wanted| wanted.values.iter().any(|(name, ..)| name == "state"));
    let raised: Vec<&Alert> =
        raised.iter().filter(|alert| names_state || alert.state != State::Resolved).collect();
    if expected.len() != raised.len() {
        let number = |count: usize| if count == 0 { "none".to_owned() } else { show::many(count, "alert") };
        faults.push(format!("expected {}, got {}", number(expected.len()), number(raised.len())));
    }
    for (place, (wanted, alert)) in expected.iter().zip(raised).enumerate() {
        for (name, _, value) in &wanted.values {
            let actual = value_of(alert, name);
            if !same(value, &actual) {
                faults.push(format!("alert {}: `{name}` is `{actual}`, expected `{value}`", place + 1));
            }
        }
    }
    faults
}

/// What an alert says under `name`, as text.
fn value_of(alert: &Alert, name: &str) -> String {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => "null".to_owned(),
        Json::Array(_) => show::plain(value),
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => value.to_string(),
    };
    match name {
        "title" => alert.title.clone(),
        "level" => alert.level.to_string(),
        "state" => alert.state.as_str().to_owned(),
        "at" => alert.at.to_string(),
        "late" => alert.late.to_string(),
        "held" => (!alert.held_by.is_empty()).to_string(),
        "repeats" => alert.repeats.to_string(),
        _ => alert.scope.get(name).map_or_else(|| "absent".to_owned(), text),
    }
}

/// Numbers compare as numbers, times as times, all else as it is written; a number that is out of range is
/// what a record that spells it so is shown to have.
fn same(wanted: &str, actual: &str) -> bool {
    if Number::is_out_of_range(wanted) {
        let shown = crate::record::value_of(wanted)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        return wanted == actual || shown.is_some_and(|shown| shown == actual);
    }
    let numbers = (Number::parse(wanted), Number::parse(actual));
    let times = (Timestamp::parse(wanted), Timestamp::parse(actual));
    wanted == actual
        || matches!(numbers, (Some(a), Some(b)) if a == b)
        || matches!(times, (Some(a), Some(b)) if a == b)
}
