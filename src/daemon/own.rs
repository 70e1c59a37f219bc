//! Larum's own alerts: a source that fails, a receiver that is paused, a rule that is off.
//!
//! They are alerts like any other, of the tenant `larum`, and take the same road, to the receivers
//! named under `ops`. The same words within an hour are counted and not told again; other words are a
//! revision of the alert, at most one in a quarter of an hour, that says how many were said meanwhile.
//! What merely happened is closed when an hour has passed without another; what lasts is resolved when
//! it is over. None is raised about a failure to tell of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Map;
use tokio::sync::mpsc;

use crate::alert::{Alert, AlertId, Bounds, Evidence, Revision, State};
use crate::record::{Level, Millis, RecordId, RuleId, Timestamp};

/// Whose Larum's own alerts are.
pub const TENANT: &str = "larum";
/// How long the same thing is not told again, and after which what merely happened is closed.
const QUIET: Millis = Millis::mins(60);
/// Revisions of one alert are told at most so often.
const UPDATE_EVERY: Millis = Millis::mins(15);
/// Things that are remembered to be told already; past this the oldest is forgotten and told again.
const MAX_REMEMBERED: usize = 10_000;
/// Longest text, in characters.
const MAX_TEXT: usize = 512;

/// What an own alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A source cannot be read.
    SourceFailing,
    /// Rules no longer wait for a source.
    SourceStalled,
    /// A part of a source cannot be read, while the rest is.
    SourceBroken,
    /// A source is taken to be complete beyond the clock: what comes until then is late.
    SourceAhead,
    /// A source has nothing to read yet.
    SourceEmpty,
    /// A source has something to say: rows missing, a gap beyond what the service keeps.
    SourceRemark,
    /// Rows make no record.
    Quarantine,
    /// A receiver refuses everything.
    ReceiverPaused,
    /// A receiver takes nothing at present.
    ReceiverFailing,
    /// A message could not be delivered.
    DeadLetter,
    /// A file of a rule or a list does not load.
    RuleOff,
    /// A rule's script breaks.
    ScriptFault,
    /// A bound was hit.
    BoundHit,
    /// A reload was refused.
    ReloadRefused,
    /// The store fails.
    StoreFailing,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::SourceFailing,
        Self::SourceStalled,
        Self::SourceBroken,
        Self::SourceAhead,
        Self::SourceEmpty,
        Self::SourceRemark,
        Self::Quarantine,
        Self::ReceiverPaused,
        Self::ReceiverFailing,
        Self::DeadLetter,
        Self::RuleOff,
        Self::ScriptFault,
        Self::BoundHit,
        Self::ReloadRefused,
        Self::StoreFailing,
    ];

    /// The id of the rule that it stands under.
    pub fn rule(self) -> &'static str {
        match self {
            Self::SourceFailing => "larum-source-failing",
            Self::SourceStalled => "larum-source-stalled",
            Self::SourceBroken => "larum-source-broken",
            Self::SourceAhead => "larum-source-ahead",
            Self::SourceEmpty => "larum-source-empty",
            Self::SourceRemark => "larum-source-remark",
            Self::Quarantine => "larum-quarantine",
            Self::ReceiverPaused => "larum-receiver-paused",
            Self::ReceiverFailing => "larum-receiver-failing",
            Self::DeadLetter => "larum-dead-letter",
            Self::RuleOff => "larum-rule-off",
            Self::ScriptFault => "larum-script-fault",
            Self::BoundHit => "larum-bound-hit",
            Self::ReloadRefused => "larum-reload-refused",
            Self::StoreFailing => "larum-store-failing",
        }
    }

    /// How grave it is: high where alerts may be missed.
    pub fn level(self) -> Level {
        match self {
            Self::SourceFailing
            | Self::SourceStalled
            | Self::SourceBroken
            | Self::SourceAhead
            | Self::ReceiverPaused
            | Self::ReceiverFailing
            | Self::DeadLetter
            | Self::RuleOff
            | Self::StoreFailing => Level::High,
            Self::SourceEmpty
            | Self::SourceRemark
            | Self::Quarantine
            | Self::ScriptFault
            | Self::BoundHit
            | Self::ReloadRefused => Level::Medium,
        }
    }

    /// True for what happened and is over; the others last until their end is said.
    fn passes(self) -> bool {
        match self {
            Self::SourceRemark | Self::Quarantine | Self::ScriptFault | Self::BoundHit | Self::DeadLetter => {
                true
            }
            Self::SourceFailing
            | Self::SourceStalled
            | Self::SourceBroken
            | Self::SourceAhead
            | Self::SourceEmpty
            | Self::ReceiverPaused
            | Self::ReceiverFailing
            | Self::RuleOff
            | Self::ReloadRefused
            | Self::StoreFailing => false,
        }
    }

    /// What its subject is called.
    fn subject(self) -> &'static str {
        match self {
            Self::SourceFailing
            | Self::SourceStalled
            | Self::SourceBroken
            | Self::SourceAhead
            | Self::SourceEmpty
            | Self::SourceRemark
            | Self::Quarantine => "source",
            Self::ReceiverPaused | Self::ReceiverFailing | Self::DeadLetter => "receiver",
            Self::RuleOff => "file",
            // `rule` is the alert's own.
            Self::ScriptFault | Self::BoundHit => "of_rule",
            Self::ReloadRefused => "configuration",
            Self::StoreFailing => "store",
        }
    }
}

/// Ids of the rules that own alerts stand under.
pub fn rules() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::rule)
}

/// What own alerts are grouped by.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::subject)
}

/// Something that happened to Larum itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// To which source, receiver, rule or file.
    pub subject: String,
    /// In words; none: it is over.
    pub text: Option<String>,
}

/// Events that wait to be told; the desk takes them one by one.
const MAX_WAITING: usize = 1_024;

/// Where events are said. Nobody waits for the desk, which may be waiting for whoever says it: what
/// finds no room is counted, and shown in the status.
#[derive(Debug, Clone)]
pub struct Voice {
    to: mpsc::Sender<Event>,
    missed: Arc<AtomicU64>,
}

impl Voice {
    /// Both ends.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (to, heard) = mpsc::channel(MAX_WAITING);
        (Self { to, missed: Arc::default() }, heard)
    }

    /// Says it.
    pub fn say(&self, event: Event) {
        if self.to.try_send(event).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many nobody heard.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// What was told, and of what the end is still to come.
#[derive(Debug, Default)]
pub struct Own {
    told: BTreeMap<(Kind, String), Told>,
    /// Ends that are still to be told.
    over: Vec<Alert>,
}

/// An alert that is open.
#[derive(Debug)]
struct Told {
    /// As it was told last.
    alert: Alert,
    /// When.
    at: Timestamp,
    /// When it was said last.
    said: Timestamp,
    /// Other words that were said since, and how often there were others.
    untold: Option<(String, u32)>,
}

impl Told {
    fn first(alert: Alert) -> Self {
        Self { at: alert.at, said: alert.at, untold: None, alert }
    }

    /// The next revision.
    fn next(&mut self, state: State, now: Timestamp) -> Alert {
        let alert = &mut self.alert;
        alert.revision += 1;
        alert.state = state;
        (alert.at, alert.last_seen) = (now, self.said);
        self.at = now;
        alert.clone()
    }

    /// A revision with the words that were said last, where there are others and its time has come.
    fn update(&mut self, now: Timestamp) -> Option<Alert> {
        let (text, others) = self.untold.take_if(|_| is_past(self.at, UPDATE_EVERY, now))?;
        self.alert.title = match others {
            1 => cut(&text),
            _ => cut(&format!("{text} (the last of {others} since {})", self.at)),
        };
        Some(self.next(State::Updated, now))
    }
}

impl Own {
    /// Begins with what an earlier life left open.
    pub fn resume(open: Vec<Alert>) -> Self {
        let mut own = Self::default();
        for alert in open {
            own.recall(alert);
        }
        own
    }

    /// Remembers one alert of an earlier life that is open.
    pub fn recall(&mut self, alert: Alert) {
        let kind = Kind::ALL.into_iter().find(|kind| kind.rule() == alert.rule.as_str());
        let subject = alert.group.values().next().and_then(|value| value.as_str()).map(str::to_owned);
        if let (Some(kind), Some(subject)) = (kind, subject) {
            let told = Told { said: alert.last_seen, ..Told::first(alert) };
            self.told.insert((kind, subject), told);
        }
    }

    /// What alerts of this kind are open of.
    pub fn open(&self, kind: Kind) -> impl Iterator<Item = String> {
        self.told.keys().filter(move |(other, _)| *other == kind).map(|(_, subject)| subject.clone())
    }

    /// The alert to tell now, if one is to be told.
    pub fn tell(&mut self, event: &Event, now: Timestamp, version: &str) -> Option<Alert> {
        let key = (event.kind, event.subject.clone());
        let Some(text) = &event.text else {
            let mut told = self.told.remove(&key)?;
            told.said = now;
            return Some(told.next(State::Resolved, now));
        };
        // What merely happened an hour ago is another matter.
        if event.kind.passes()
            && self.told.get(&key).is_some_and(|told| is_past(told.said, QUIET, now))
            && let Some(mut told) = self.told.remove(&key)
        {
            self.over.push(told.next(State::Closed, now));
        }
        if let Some(told) = self.told.get_mut(&key) {
            told.said = now;
            (told.alert.count, told.alert.repeats) = (told.alert.count + 1, told.alert.repeats + 1);
            let same = told.untold.as_ref().map_or(&told.alert.title, |(text, _)| text) == &cut(text);
            if !same || is_past(told.at, QUIET, now) {
                let others = told.untold.as_ref().map_or(0, |(_, others)| *others);
                told.untold = Some((text.clone(), others + 1));
            }
            return told.update(now);
        }
        if self.told.len() >= MAX_REMEMBERED {
            let oldest = self.told.iter().min_by_key(|(_, told)| told.at).map(|(key, _)| key.clone());
            oldest.map(|key| self.told.remove(&key));
        }
        let alert = alert(event, text, now, version)?;
        self.told.insert(key, Told::first(alert.clone()));
        Some(alert)
    }

    /// What is to be told because time has passed: words that had to wait, and the end of what merely
    /// happened.
    pub fn due(&mut self, now: Timestamp) -> Vec<Alert> {
        let mut due = std::mem::take(&mut self.over);
        due.extend(self.told.values_mut().filter_map(|told| told.update(now)));
        let over =
            |(kind, _): &(Kind, String), told: &mut Told| kind.passes() && is_past(told.said, QUIET, now);
        let over = self.told.extract_if(.., |key, told| over(key, told));
        due.extend(over.map(|(_, mut told)| told.next(State::Closed, now)));
        due
    }
}

fn alert(event: &Event, text: &str, now: Timestamp, version: &str) -> Option<Alert> {
    let rule: RuleId = event.kind.rule().parse().ok()?;
    let mut tip = [0; 16];
    tip[..8].copy_from_slice(&now.0.to_be_bytes());
    let revision = Revision([0; 8]);
    let mut group = Map::new();
    group.insert(event.kind.subject().to_owned(), event.subject.clone().into());
    Some(Alert {
        id: AlertId::of(TENANT, &rule, revision, event.subject.as_bytes(), RecordId(tip)),
        revision: 1,
        state: State::Open,
        rule,
        rule_revision: revision,
        tenant: Arc::from(TENANT),
        level: event.kind.level(),
        title: cut(text),
        at: now,
        group,
        count: 1,
        repeats: 0,
        first_seen: now,
        last_seen: now,
        window: Bounds { from: now, to: now },
        threshold: Map::new(),
        actual: Map::new(),
        values: Map::new(),
        show: Map::new(),
        attack: Vec::new(),
        tags: vec!["larum".to_owned()],
        late: false,
        standing: false,
        observe: false,
        held_by: Vec::new(),
        released: false,
        notify: Vec::new(),
        why_level: "rule".to_owned(),
        runbook: None,
        evidence: Evidence::default(),
        generation: version.to_owned(),
        versions: std::collections::BTreeMap::new(),
        text_fault: None,
        scope: Map::new(),
    })
}

/// Whether `wait` is over since `at`; it is, too, where the clock was set back since: nobody knows how long
/// ago that was.
fn is_past(at: Timestamp, wait: Millis, now: Timestamp) -> bool {
    now < at || now >= at + wait
}

/// One line of bounded length.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(text: Option<&str>) -> Event {
        Event { kind: Kind::SourceFailing, subject: "prod".to_owned(), text: text.map(str::to_owned) }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000)
    }

    #[test]
    fn the_same_words_within_an_hour_are_counted_and_the_end_is_told_once() {
        let mut own = Own::default();
        let first = own.tell(&failing(Some("cannot reach it")), at(0), "x").unwrap();
        assert_eq!((first.state, first.revision), (State::Open, 1));
        assert_eq!(own.tell(&failing(Some("cannot reach it")), at(59), "x"), None);
        assert_eq!(own.due(at(59)), []);
        let again = own.tell(&failing(Some("cannot reach it")), at(60), "x").unwrap();
        assert_eq!((again.id, again.state, again.revision, again.count), (first.id, State::Updated, 2, 3));
        let over = own.tell(&failing(None), at(61), "x").unwrap();
        assert_eq!((over.id, over.state, over.revision), (again.id, State::Resolved, 3));
        assert_eq!(own.tell(&failing(None), at(62), "x"), None);
        assert_eq!(own.due(at(1_000)), []);
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_set_right_holds_no_words_back() {
        let mut own = Own::default();
        own.tell(&failing(Some("cannot reach it")), at(300), "x").unwrap();
        let other = own.tell(&failing(Some("its key is refused")), at(1), "x").unwrap();
        assert_eq!(
            (other.state, other.title.as_str(), other.at),
            (State::Updated, "its key is refused", at(1))
        );
        assert_eq!(own.tell(&failing(Some("its host is gone")), at(2), "x"), None, "told a moment ago");
        assert_eq!(own.due(at(16)).pop().unwrap().title, "its host is gone");
    }

    #[test]
    fn other_words_are_a_revision_and_what_had_to_wait_is_told_with_its_number() {
        let mut own = Own::default();
        let remark = |text: &str| Event {
            kind: Kind::SourceRemark,
            subject: "gw".to_owned(),
            text: Some(text.to_owned()),
        };
        let first = own.tell(&remark("a line is too long"), at(0), "x").unwrap();
        let second = own.tell(&remark("5 rows make no record"), at(20), "x").unwrap();
        assert_eq!((second.id, second.revision, second.state), (first.id, 2, State::Updated));
        assert_eq!(second.title, "5 rows make no record");
        assert_eq!(own.tell(&remark("8 rows make no record"), at(21), "x"), None, "told a moment ago");
        assert_eq!(own.tell(&remark("9 rows make no record"), at(22), "x"), None);
        assert_eq!(own.due(at(34)), []);
        let third = own.due(at(35)).pop().unwrap();
        assert_eq!(third.title, "9 rows make no record (the last of 2 since 1970-01-01T00:20:00.000Z)");
        assert_eq!((third.revision, third.count), (3, 4));
        assert_eq!(own.due(at(81)), [], "an hour since the last one");
        let closed = own.due(at(82)).pop().unwrap();
        assert_eq!((closed.id, closed.state, closed.revision), (first.id, State::Closed, 4));
        let another = own.tell(&remark("a line is too long"), at(83), "x").unwrap();
        assert_ne!(another.id, first.id);
        let third = own.tell(&remark("a line is too long"), at(143), "x").unwrap();
        assert_ne!(third.id, another.id, "an hour later it is another matter");
        let closed = own.due(at(143)).pop().unwrap();
        assert_eq!((closed.id, closed.state), (another.id, State::Closed));
    }

    #[test]
    fn an_end_is_told_after_a_restart_too() {
        let mut before = Own::default();
        let open = before.tell(&failing(Some("cannot reach it")), Timestamp(0), "x").unwrap();
        let mut after = Own::resume(vec![open.clone()]);
        assert_eq!(after.tell(&failing(None), Timestamp(1), "x").unwrap().id, open.id);
    }

    #[test]
    fn every_kind_has_a_rule_id_of_its_own() {
        let rules: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.rule()).collect();
        assert_eq!(rules.len(), Kind::ALL.len());
        assert!(rules.iter().all(|rule| rule.parse::<RuleId>().is_ok()));
    }
}
