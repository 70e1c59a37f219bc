//! `risk`: points of other rules' alerts within a window, or how many techniques they show.
//!
//! Hits are alerts, not records. Values of an entry: points, techniques (joined), rule, alert, level.

use std::collections::BTreeSet;
use std::ops::Bound;

use serde_json::{Value as Json, json};

use crate::alert::Finding;
use crate::record::{Datum, Level, Millis, Number};

use super::{
    Counted, Entry, Judge, Needed, Reach, Reason, Tally, Values, Verdict, Window, count_in, count_out,
    text_of,
};

/// Alerts that an alert names, the latest; further ones are only counted.
const SHOWN_ALERTS: usize = 50;

/// What separates techniques.
const JOIN: char = '\u{1f}';

/// `risk:`, compiled.
#[derive(Debug)]
pub struct Risk {
    /// Window length.
    pub within: Millis,
    /// Points that fire.
    pub at_least: Option<u32>,
    /// Distinct techniques that fire.
    pub techniques: Option<u32>,
}

/// What an alert of this level adds.
pub fn points(level: Level) -> u32 {
    match level {
        Level::Informational => 0,
        Level::Low => 5,
        Level::Medium => 20,
        Level::High => 50,
        Level::Critical => 100,
    }
}

/// The values that an alert leaves.
pub fn values(level: Level, techniques: &[String], rule: &str, alert: &str) -> [Datum; 5] {
    let joined = techniques.join(&JOIN.to_string());
    let text = |text: &str| Datum::Text(text.into());
    let points = Datum::Number(Number::whole(points(level).into()));
    [points, text(&joined), text(rule), text(alert), text(level.as_str())]
}

impl Judge for Risk {
    fn reach(&self) -> Reach {
        Reach::Time(self.within)
    }

    fn cooldown(&self) -> Millis {
        self.within
    }

    fn tallies(&self) -> bool {
        true
    }

    fn push(&self, tally: &mut Tally, entry: &Entry) {
        tally.crowded = tally.crowded.saturating_add(points_of(entry));
        if tally.values.is_empty() {
            tally.values.push(Values::default());
        }
        for technique in techniques_of(entry) {
            count_in(&mut tally.values[0], &technique.into());
        }
    }

    fn pop(&self, tally: &mut Tally, entry: &Entry) {
        tally.crowded = tally.crowded.saturating_sub(points_of(entry));
        if let Some(techniques) = tally.values.first_mut() {
            for technique in techniques_of(entry) {
                count_out(techniques, technique);
            }
        }
    }

    fn judge(&self, tally: &Tally, _window: Window<'_>) -> Verdict {
        let (score, techniques) = (tally.crowded, distinct(tally));
        let enough = |actual: u32, needed: Option<u32>| needed.is_some_and(|needed| actual >= needed);
        if enough(score, self.at_least) || enough(techniques, self.techniques) {
            return Verdict::Holds;
        }
        let (what, actual, needed) = match (self.at_least, self.techniques) {
            (Some(needed), _) => (Counted::Points, score, needed),
            (None, needed) => (Counted::Techniques, techniques, needed.unwrap_or_default()),
        };
        let (actual, needed) = (Number::whole(actual.into()), Needed::AtLeast(needed));
        Verdict::Short(Reason::BelowThreshold { what, actual, needed })
    }

    fn describe(&self, tally: &Tally, window: Window<'_>) -> Finding {
        let techniques: BTreeSet<&str> = window.hits.iter().flat_map(techniques_of).collect();
        let techniques: Vec<&str> = apart(&techniques).collect();
        let rules: BTreeSet<&str> = window.hits.iter().map(|hit| text(hit, 2)).collect();
        let from = window.hits.len().saturating_sub(SHOWN_ALERTS);
        let alerts: Vec<Json> = window.hits[from..]
            .iter()
            .map(|hit| {
                json!({
                    "id": text(hit, 3), "rule": text(hit, 2), "level": text(hit, 4),
                    "at": hit.at.to_string(), "points": points_of(hit),
                })
            })
            .collect();
        let mut finding = Finding { count: window.hits.len() as u64, ..Finding::default() };
        let bounds = [("at_least", self.at_least), ("techniques", self.techniques)];
        for (name, bound) in bounds {
            if let Some(bound) = bound {
                finding.threshold.insert(name.to_owned(), bound.into());
            }
        }
        for (name, value) in
            [("score", Json::from(tally.crowded)), ("techniques", json!(techniques)), ("rules", json!(rules))]
        {
            finding.actual.insert(name.to_owned(), value.clone());
            finding.scope.insert(name.to_owned(), value);
        }
        finding.values.insert("alerts".to_owned(), alerts.into());
        finding
    }
}

fn distinct(tally: &Tally) -> u32 {
    let shown: BTreeSet<&str> = tally
        .values
        .first()
        .into_iter()
        .flat_map(|values| values.keys())
        .map(|technique| &**technique)
        .collect();
    u32::try_from(apart(&shown).count()).unwrap_or(u32::MAX)
}

/// Techniques that count: one of which a sub-technique is shown says nothing besides.
fn apart<'a>(shown: &BTreeSet<&'a str>) -> impl Iterator<Item = &'a str> {
    let has_sub = |technique: &str| {
        // Ids in order: its sub-techniques come right after it.
        let mut after = shown.range::<str, _>((Bound::Excluded(technique), Bound::Unbounded));
        after.next().and_then(|next| next.strip_prefix(technique)).is_some_and(|rest| rest.starts_with('.'))
    };
    shown.iter().copied().filter(move |technique| !has_sub(technique))
}

fn points_of(entry: &Entry) -> u32 {
    match entry.values.first() {
        Some(Datum::Number(points)) => {
            points.to_i64().and_then(|points| u32::try_from(points).ok()).unwrap_or_default()
        }
        Some(Datum::Absent | Datum::Text(_) | Datum::Bool(_)) | None => 0,
    }
}

fn text(entry: &Entry, slot: usize) -> &str {
    entry.values.get(slot).and_then(text_of).map_or("", |text| text)
}

fn techniques_of(entry: &Entry) -> impl Iterator<Item = &str> {
    text(entry, 1).split(JOIN).filter(|technique| !technique.is_empty())
}
