//! Rules and records in, drafts out: what the tests of the engine stand on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use larum::alert::{Draft, Fired};
use larum::engine::{CheckedRule, Counters, Engine, Generation, Limits, Note, Outcome, Scratch, SourceId};
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use larum::record::{Batch, Columns, Locator, RuleId, Timestamp};
use larum::rule::decode::{Options, decode};
use larum::rule::lists::Lists;
use proptest::test_runner::Config;

/// Where the clock of every test starts: 2026-01-05T09:00:00Z.
pub const START: i64 = 1_767_603_600_000;
pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub const SOURCE: SourceId = SourceId(0);

/// The instant `at` milliseconds after the start.
pub fn time(at: i64) -> Timestamp {
    Timestamp(START + at)
}

/// Cases where `PROPTEST_CASES` does not say.
const PROPTEST_DEFAULT: u32 = 256;

/// So many cases; the same ones at every run, by the seed in `.cargo/config.toml`: each bug that they find
/// becomes a named test. The acceptance run asks for more through `PROPTEST_CASES`, and draws its own.
pub fn cases(cases: u32) -> Config {
    let given = Config::default();
    let cases = if given.cases > PROPTEST_DEFAULT { given.cases } else { cases };
    Config { cases, failure_persistence: None, ..given }
}

/// A rule file: `body` under the keys that every rule has.
pub fn rule(id: &str, body: &str) -> String {
    format!("rule: {id}\ntitle: {id}\nlevel: medium\nwhy: to see it hold\n{body}")
}

/// One login as a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub id: String,
    /// Milliseconds after the start.
    pub at: i64,
    pub end: Option<i64>,
    pub user: String,
    pub ip: Option<String>,
    pub failure: bool,
    pub rtt: Option<u32>,
    pub client: Option<String>,
}

impl Login {
    /// `user` fails to log in.
    pub fn failure(id: u32, at: i64, user: &str) -> Self {
        let (id, user) = (format!("row-{id}"), user.to_owned());
        Self {
            id,
            at,
            end: None,
            user,
            ip: Some("203.0.113.1".to_owned()),
            failure: true,
            rtt: None,
            client: None,
        }
    }

    /// `user` logs in.
    pub fn success(id: u32, at: i64, user: &str) -> Self {
        Self { failure: false, ..Self::failure(id, at, user) }
    }

    pub fn from(self, ip: &str) -> Self {
        Self { ip: Some(ip.to_owned()), ..self }
    }

    pub fn rtt(self, rtt: u32) -> Self {
        Self { rtt: Some(rtt), ..self }
    }

    pub fn ends(self, at: i64) -> Self {
        Self { end: Some(at), ..self }
    }

    pub fn client(self, client: &str) -> Self {
        Self { client: Some(client.to_owned()), ..self }
    }

    pub fn line(&self) -> String {
        let mut row = serde_json::json!({
            "id": self.id, "kind": "login", "start_time": time(self.at).to_string(), "user_name": self.user,
            "outcome": if self.failure { "failure" } else { "success" },
        });
        if let Some(ip) = &self.ip {
            row["public_ip"] = ip.as_str().into();
        }
        if let Some(rtt) = self.rtt {
            row["e2e_rtt"] = rtt.into();
        }
        if let Some(end) = self.end {
            row["end_time"] = time(end).to_string().into();
        }
        if let Some(client) = &self.client {
            row["client_name"] = client.as_str().into();
        }
        row.to_string()
    }
}

/// Where a line is found again: by itself.
pub fn locator(line: &str) -> Locator {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    Locator(hasher.finish())
}

/// Rules, compiled, and the scanner that reads records for them.
#[derive(Debug)]
pub struct World {
    pub generation: Arc<Generation>,
    scanner: Scanner,
}

impl World {
    pub fn new<S: AsRef<str>>(rules: &[S]) -> Self {
        Self::bounded(rules, Limits::default())
    }

    pub fn bounded<S: AsRef<str>>(rules: &[S], limits: Limits) -> Self {
        Self::among(rules, limits, Lists::default())
    }

    /// The same with lists that the rules may name.
    pub fn among<S: AsRef<str>>(rules: &[S], limits: Limits, lists: Lists) -> Self {
        let names: Vec<String> = lists.iter().map(|(name, _)| name.to_owned()).collect();
        let checked = |text: &S| {
            let options = Options { lists: &names, ..Options::default() };
            let (spec, mut problems) = decode("test.yaml", text.as_ref(), &options);
            spec.and_then(|spec| CheckedRule::new(spec, &mut problems))
                .unwrap_or_else(|| panic!("{problems:?}\n{}", text.as_ref()))
        };
        let rules = rules.iter().map(checked).collect();
        Self::under(Arc::new(Generation::among(rules, Columns::default(), limits, lists)))
    }

    pub fn of(rules: Vec<CheckedRule>, limits: Limits) -> Self {
        Self::under(Arc::new(Generation::new(rules, Columns::default(), limits)))
    }

    pub fn under(generation: Arc<Generation>) -> Self {
        let origin = Origin::file(Mapping::default());
        let scanner = Scanner::new(generation.columns.clone(), Arc::new(Facts::default()), origin);
        Self { generation, scanner }
    }

    /// The batch that `lines` make. A line's locator depends on the line alone.
    pub fn batch<S: AsRef<str>>(&self, lines: &[S]) -> Batch {
        let text: String = lines.iter().flat_map(|line| [line.as_ref(), "\n"]).collect();
        let mut batch = self.scanner.scan(text, Locator(0));
        assert!(batch.faults.is_empty(), "{:?}", batch.faults);
        for (row, line) in batch.rows.iter_mut().zip(lines) {
            row.locator = locator(line.as_ref());
        }
        batch
    }

    pub fn run(&self) -> Run<'_> {
        let mut engine = Engine::new(self.generation.clone(), "acme");
        engine.add_source(SOURCE, None);
        Run { world: self, engine, told: Told::default(), kept: Vec::new() }
    }

    /// All that `logins`, taken in as one batch and read to the end, give.
    pub fn told(&self, logins: &[Login]) -> Told {
        let mut run = self.run();
        run.take(logins);
        run.finish();
        run.told
    }
}

/// All that an engine told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    pub drafts: Vec<Draft>,
    pub notes: Vec<Note>,
}

impl Told {
    fn add(&mut self, outcome: Outcome) {
        self.drafts.extend(outcome.drafts);
        self.notes.extend(outcome.notes);
    }

    /// In the order of [`Draft::order`], whatever the steps in which it was told.
    pub fn sorted(mut self) -> Self {
        self.drafts.sort_by_cached_key(Draft::order);
        self.notes.sort_by_cached_key(|note| match note {
            Note::GroupsFull { rule, at, .. } | Note::StandingLeftOut { rule, at, .. } => {
                (*at, rule.clone(), String::new())
            }
            Note::MemoryFull { rule, what, at, .. } => (*at, rule.clone(), what.clone()),
            Note::ScriptFault { rule, at, fault } => (*at, rule.clone(), fault.clone()),
        });
        self
    }

    pub fn fired(&self) -> impl Iterator<Item = &Fired> {
        self.drafts.iter().filter_map(|draft| match draft {
            Draft::Fired(fired) => Some(&**fired),
            Draft::Changed(_) => None,
        })
    }

    /// When alerts fired, in milliseconds after the start.
    pub fn times(&self) -> Vec<i64> {
        self.fired().map(|fired| fired.at.0 - START).collect()
    }
}

/// One engine at work, and all that it told so far.
#[derive(Debug)]
pub struct Run<'w> {
    world: &'w World,
    pub engine: Engine,
    pub told: Told,
    /// What was written down: the whole state, and what changed since.
    kept: Vec<Vec<u8>>,
}

impl Run<'_> {
    pub fn take(&mut self, logins: &[Login]) {
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        self.take_lines(&lines);
    }

    pub fn take_lines<S: AsRef<str>>(&mut self, lines: &[S]) {
        let batch = self.world.batch(lines);
        let fresh = self.engine.take_in(&batch);
        let hits = self.engine.scan(&batch, &fresh, &mut Scratch::default());
        let outcome = self.engine.advance(&batch, hits);
        self.told.add(outcome);
    }

    pub fn progress(&mut self, at: i64) {
        self.progress_apart(at, at);
    }

    /// Ends are not looked for as often as starts.
    pub fn progress_apart(&mut self, start: i64, end: i64) {
        let outcome = self.engine.progress(SOURCE, time(start), time(end));
        self.told.add(outcome);
    }

    pub fn finish(&mut self) {
        let outcome = self.engine.finish(SOURCE, time(100 * DAY));
        self.told.add(outcome);
    }

    /// Dies and comes back from a snapshot.
    pub fn restart(&mut self) {
        let snapshot = self.engine.snapshot().unwrap();
        self.engine = Engine::restore(self.world.generation.clone(), "acme", snapshot.pieces).unwrap();
    }

    /// Writes down what changed since it last did; true for the whole state.
    pub fn keep(&mut self) -> bool {
        let snapshot = self.engine.checkpoint().unwrap();
        if snapshot.whole {
            self.kept.clear();
        }
        self.kept.extend(snapshot.pieces);
        snapshot.whole
    }

    /// Dies and comes back from what it wrote down just now.
    pub fn come_back(&mut self) {
        self.keep();
        self.engine = Engine::restore(self.world.generation.clone(), "acme", &self.kept).unwrap();
    }

    pub fn counters(&self) -> Vec<(RuleId, Counters)> {
        self.engine.counters().map(|(rule, counters)| (rule.clone(), counters.clone())).collect()
    }
}
