//! A journal written by hand and the life that it tells: what the tests of the daemon's core stand on.

use std::collections::{BTreeMap, BTreeSet};

use larum::alert::{Alert, AlertId};
use larum::daemon::life::{Halt, Life, Outcome, changed, wanted};
use larum::engine::{GenerationText, Note, RuleText, SourceId};
use larum::record::scan::{Endpoint, Origin};
use larum::record::{RuleId, Timestamp};
use larum::store::{Checkpoint, Entry, Event, Lane, Watermark};

use super::world::time;

pub const TENANT: &str = "acme";
pub const DESKTOPS: SourceId = SourceId(1);
pub const APPS: SourceId = SourceId(2);
pub const LAUNCHES: SourceId = SourceId(3);

/// The three lanes of a project.
pub fn lane(id: SourceId) -> Lane {
    let endpoint = match id.0 {
        1 => Endpoint::DesktopLogins,
        2 => Endpoint::AppLogins,
        _ => Endpoint::AppLaunches,
    };
    let origin = Origin::huawei("ap-southeast-3", "0123456789abcdef0123456789abcdef", endpoint);
    Lane { id, name: format!("prod/{}", endpoint.as_str()), origin }
}

/// A row of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub lane: SourceId,
    pub id: u32,
    /// Milliseconds after the start.
    pub at: i64,
    pub end: Option<i64>,
    pub user: u8,
    pub ip: u8,
    pub failure: bool,
    pub rtt: Option<u32>,
}

impl Visit {
    /// User number `user` fails to log in.
    pub fn failure(lane: SourceId, id: u32, at: i64, user: u8) -> Self {
        Self { lane, id, at, end: None, user, ip: 1, failure: true, rtt: None }
    }

    pub fn line(&self) -> String {
        let (key, start, end) = match self.lane.0 {
            1 => ("transaction_id", "connection_start_time", "connection_end_time"),
            _ => ("id", "start_time", "end_time"),
        };
        let mut row = serde_json::json!({
            key: format!("row-{}", self.id),
            start: time(self.at).to_string(),
            "user_name": format!("user-{}", self.user),
            "public_ip": format!("203.0.113.{}", self.ip),
            "error_code": if self.failure { "AUTH_FAILED" } else { "0" },
            "colour": format!("c{}", self.id % 3),
        });
        if let Some(rtt) = self.rtt {
            row["e2e_rtt"] = rtt.into();
        }
        if let Some(after) = self.end {
            row[end] = time(self.at + after).to_string().into();
        }
        row.to_string()
    }
}

/// Rows, each ended by a line feed.
pub fn lines(visits: &[Visit]) -> String {
    visits.iter().flat_map(|visit| [visit.line(), "\n".to_owned()]).collect()
}

/// Rules as a text that can be kept.
pub fn text<S: AsRef<str>>(rules: &[S]) -> GenerationText {
    let rule = |(number, text): (usize, &S)| RuleText {
        file: format!("{number}.yaml"),
        text: text.as_ref().to_owned(),
    };
    GenerationText { rules: rules.iter().enumerate().map(rule).collect(), ..GenerationText::default() }
}

/// A journal, and the texts that it names.
#[derive(Debug, Clone, Default)]
pub struct Tale {
    pub entries: Vec<Entry>,
    pub texts: BTreeMap<String, GenerationText>,
}

impl Tale {
    /// A journal that begins with these rules and all three lanes.
    pub fn new<S: AsRef<str>>(rules: &[S]) -> Self {
        Self::of(&text(rules))
    }

    /// [`Tale::new`] of any generation.
    pub fn of(text: &GenerationText) -> Self {
        let mut tale = Self::default();
        tale.rules(text);
        for id in [DESKTOPS, APPS, LAUNCHES] {
            tale.joined(id);
        }
        tale
    }

    pub fn seq(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn put(&mut self, event: Event) -> u64 {
        let seq = self.seq() + 1;
        self.entries.push(Entry { seq, at: Timestamp(0), event });
        seq
    }

    pub fn rules(&mut self, text: &GenerationText) -> u64 {
        let digest = text.digest();
        self.texts.insert(digest.clone(), text.clone());
        self.put(Event::Generation { digest })
    }

    /// New rules, of which these have learnt from all that was.
    pub fn rules_learnt(&mut self, text: &GenerationText, learnt: &[&str]) -> u64 {
        self.rules(text);
        let rules = learnt.iter().map(|id| id.parse().unwrap()).collect();
        self.put(Event::Adopted { rules, from: 1 })
    }

    pub fn joined(&mut self, id: SourceId) -> u64 {
        self.put(Event::Joined(lane(id)))
    }

    pub fn left(&mut self, lane: SourceId) -> u64 {
        self.put(Event::Left { lane })
    }

    pub fn read(&mut self, lane: SourceId, visits: &[Visit]) -> u64 {
        self.put(Event::Read { lane, rows: lines(visits), twins: Vec::new(), watermark: None })
    }

    /// `lane` is complete up to `at`, in both phases.
    pub fn progress(&mut self, lane: SourceId, at: i64) -> u64 {
        let watermark = Some(Watermark { start: time(at), end: time(at) });
        self.put(Event::Read { lane, rows: String::new(), twins: Vec::new(), watermark })
    }

    /// Every lane is complete up to `at`.
    pub fn progress_all(&mut self, at: i64) -> u64 {
        [DESKTOPS, APPS, LAUNCHES].map(|lane| self.progress(lane, at))[2]
    }

    /// What the journal tells.
    pub fn told(&self) -> Told {
        self.told_restarting(usize::MAX)
    }

    /// The same by a process that dies after every so many entries.
    pub fn told_restarting(&self, every: usize) -> Told {
        let mut teller = Teller::new(self);
        for (number, _) in self.entries.iter().enumerate() {
            teller.step();
            if (number + 1) % every == 0 {
                teller.restart();
            }
        }
        teller.told
    }
}

/// All that was told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Each alert and each change of one, with the entry that made it.
    pub alerts: Vec<(u64, Alert)>,
    pub notes: Vec<Note>,
    pub quarantined: usize,
}

impl Told {
    /// One line an alert, as `--output json` prints it.
    pub fn ndjson(&self) -> String {
        let line = |(_, alert): &(u64, Alert)| serde_json::to_string(alert).unwrap() + "\n";
        self.alerts.iter().map(line).collect()
    }

    /// The same in the order of time, whatever the entries and the generation that told it.
    pub fn sorted(&self) -> Vec<String> {
        let mut alerts: Vec<Alert> = self.alerts.iter().map(|(_, alert)| alert.clone()).collect();
        alerts.sort_by_key(|alert| (alert.at, alert.rule.clone(), alert.id, alert.revision));
        let plain = |alert: Alert| Alert { generation: String::new(), ..alert };
        alerts.into_iter().map(|alert| serde_json::to_string(&plain(alert)).unwrap()).collect()
    }

    /// Only what `rules` told.
    pub fn of(&self, rules: &[&str]) -> Self {
        let alerts = self.alerts.iter().filter(|(_, alert)| rules.contains(&alert.rule.as_str()));
        Self { alerts: alerts.cloned().collect(), ..Self::default() }
    }

    /// Entries that made alerts, and when those fired, in milliseconds after the start.
    pub fn fired(&self) -> Vec<(u64, i64)> {
        let fired = self.alerts.iter().filter(|(_, alert)| alert.revision == 1);
        fired.map(|(seq, alert)| (*seq, alert.at.0 - time(0).0)).collect()
    }
}

/// Feeds a journal to a life, as everybody does who has a store.
pub struct Teller<'t> {
    tale: &'t Tale,
    pub life: Life,
    pub told: Told,
    now: BTreeMap<AlertId, Alert>,
    next: usize,
    /// What was written down, as a store holds it.
    kept: Option<Checkpoint>,
}

impl<'t> Teller<'t> {
    pub fn new(tale: &'t Tale) -> Self {
        Self {
            tale,
            life: Life::new(TENANT),
            told: Told::default(),
            now: BTreeMap::new(),
            next: 0,
            kept: None,
        }
    }

    /// Takes in the next entry.
    pub fn step(&mut self) {
        let entry = &self.tale.entries[self.next];
        self.next += 1;
        let outcome = loop {
            match self.life.apply(entry) {
                Ok(outcome) => break outcome,
                Err(Halt::Generation { digest }) => {
                    let compiled = self.tale.texts[&digest].compile();
                    assert!(compiled.failed.is_empty(), "{:?}", compiled.problems);
                    self.life.offer(compiled.generation);
                }
                Err(Halt::Rebuild { rules, from, last }) => self.learn(&rules, from, last),
                Err(halt) => panic!("{halt}"),
            }
        };
        self.tell(&outcome);
        if self.next.is_multiple_of(2) {
            self.keep();
        }
    }

    /// Writes down what changed since it last did.
    fn keep(&mut self) {
        let Some(checkpoint) = self.life.checkpoint().unwrap() else { return };
        let before = self.kept.take().filter(|_| !checkpoint.whole).map(|before| before.pieces);
        let pieces = before.unwrap_or_default().into_iter().chain(checkpoint.pieces.clone()).collect();
        self.kept = Some(Checkpoint { whole: true, pieces, ..checkpoint });
    }

    fn learn(&mut self, rules: &[RuleId], from: u64, last: u64) {
        let mut rebuild = self.life.rebuild(&self.tale.texts[&self.life.generation().digest], rules);
        for entry in self.tale.entries.iter().filter(|entry| (from..=last).contains(&entry.seq)) {
            rebuild.take(entry).unwrap();
        }
        self.life.bring(rebuild);
    }

    fn tell(&mut self, outcome: &Outcome) {
        let wanted: BTreeSet<u64> = wanted(outcome).into_iter().collect();
        let entries = self.tale.entries.iter().filter(|entry| wanted.contains(&entry.seq));
        let entries = entries.map(|entry| (entry.seq, entry.clone())).collect();
        let alerts = changed(outcome).into_iter().filter_map(|id| Some((id, self.now.get(&id)?.clone())));
        for alert in self.life.tell(outcome, &entries, &alerts.collect()) {
            // An alert that exists already is nothing.
            if alert.revision > 1 || !self.now.contains_key(&alert.id) {
                self.told.alerts.push((outcome.seq, alert.clone()));
                self.now.insert(alert.id, alert);
            }
        }
        self.told.notes.extend(outcome.notes.iter().cloned());
        self.told.quarantined += outcome.quarantined.len();
    }

    /// Dies and comes back from a checkpoint.
    pub fn restart(&mut self) {
        self.keep();
        let checkpoint = self.kept.clone().unwrap();
        let text = self.tale.texts.get(&checkpoint.generation).cloned().unwrap_or_default();
        self.life = Life::restore(TENANT, &text.compile().generation, checkpoint).unwrap();
    }
}
