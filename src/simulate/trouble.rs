//! What can go wrong with the service, on request: each trouble stands in a bounded queue, for a
//! number of requests or until it is called off (`reference/huawei-api.md`, 15).
//!
//! Three sorts: what is said instead of an answer, how the answer travels, and how the rows in it
//! look. Of the first one is played at a time, in order; of the others all that stand.

use serde_json::{Map, Value, json};

use crate::record::{Millis, Timestamp};

use super::Answer;
use super::what::{Sort, What};
use super::world::List;

/// Most troubles that wait.
pub const MAX_TROUBLES: usize = 1_000;
/// Longest delay of an answer: past any client's patience, so that a play comes to an end.
pub const MAX_DELAY: Millis = Millis::mins(10);

/// One trouble.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// What goes wrong.
    pub what: What,
    /// For how many requests yet; none: until it is called off.
    pub times: Option<u32>,
    /// For which requests.
    pub target: Target,
    /// When.
    pub when: When,
}

/// When a trouble comes: between two instants of virtual time, and counted in the requests that are
/// made for its target meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// Not before.
    pub from: Option<Timestamp>,
    /// No longer.
    pub until: Option<Timestamp>,
    /// Requests that are left alone first.
    pub skip: u64,
    /// Then one request in so many; 1 is all.
    pub every: u64,
    /// Requests that were made so far.
    made: u64,
}

impl Default for When {
    fn default() -> Self {
        Self { from: None, until: None, skip: 0, every: 1, made: 0 }
    }
}

impl When {
    /// Counts a request at `now`, and says whether it is one to be troubled.
    fn is_now(&mut self, now: Timestamp) -> bool {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        self.made += 1;
        let counted = (self.made - 1).checked_sub(self.skip);
        counted.is_some_and(|counted| counted.is_multiple_of(self.every.max(1)))
    }
}

/// What a trouble is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// Requests for any list; what only exports can meet, for exports.
    #[default]
    Lists,
    /// Requests for one list.
    List(List),
    /// Whatever has to do with exports: beginning, following, fetching.
    Exports,
}

impl From<List> for Target {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

/// The name of [`Target::Exports`].
const EXPORTS: &str = "exports";

/// A trouble that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrouble {
    /// It is not one.
    #[error("no trouble: {0}")]
    Unreadable(String),
    /// There are [`MAX_TROUBLES`] already.
    #[error("more than {MAX_TROUBLES} troubles wait; call them off with DELETE /simulate/trouble")]
    TooMany,
}

impl Trouble {
    /// Once, for any list.
    pub fn once(what: What) -> Self {
        Self { what, times: Some(1), target: Target::Lists, when: When::default() }
    }

    /// Until it is called off.
    pub fn always(what: What) -> Self {
        Self { what, times: None, target: Target::Lists, when: When::default() }
    }

    /// For requests of `target` only.
    #[must_use]
    pub fn of(self, target: impl Into<Target>) -> Self {
        Self { target: target.into(), ..self }
    }

    /// Reads one: `{"kind": "throttled", "times": 3, "endpoint": "app_logins", "retry_after": 2}`.
    /// Without `times` it comes once; with `"always"` it stays. `from` and `until` bound it in virtual
    /// time, `skip` and `every` say which requests it meets.
    pub fn from_json(value: Value) -> Result<Self, BadTrouble> {
        let bad = |text: &str| BadTrouble::Unreadable(text.to_owned());
        let Value::Object(mut map) = value else { return Err(bad("it is no JSON object")) };
        let times = match map.shift_remove("times") {
            None => Some(1),
            Some(Value::String(word)) if word == "always" => None,
            Some(times) => {
                let number = times.as_u64().and_then(|times| u32::try_from(times).ok());
                Some(
                    number
                        .filter(|times| *times > 0)
                        .ok_or_else(|| bad("`times` is a number above 0 or \"always\""))?,
                )
            }
        };
        let target = match map.shift_remove("endpoint") {
            None => Target::Lists,
            Some(name) if name.as_str() == Some(EXPORTS) => Target::Exports,
            Some(name) => {
                let named = |list: &List| name.as_str() == Some(list.as_str());
                let known = List::ALL.into_iter().find(named).map(Target::List);
                known.ok_or_else(|| {
                    let names: Vec<&str> = List::ALL.into_iter().map(List::as_str).collect();
                    bad(&format!("`endpoint` is {} or {EXPORTS}", names.join(", ")))
                })?
            }
        };
        let when = when(&mut map)?;
        let what = serde_json::from_value(Value::Object(map));
        Ok(Self { what: what.map_err(|error| bad(&error.to_string()))?, times, target, when })
    }

    /// The same the other way round.
    pub fn to_json(&self) -> Value {
        let mut map = match serde_json::to_value(&self.what) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => Map::new(),
        };
        map.insert("times".to_owned(), self.times.map_or_else(|| "always".into(), Value::from));
        match self.target {
            Target::Lists => {}
            Target::List(list) => drop(map.insert("endpoint".to_owned(), list.as_str().into())),
            Target::Exports => drop(map.insert("endpoint".to_owned(), EXPORTS.into())),
        }
        let When { from, until, skip, every, made: _ } = self.when;
        for (name, time) in [("from", from), ("until", until)] {
            if let Some(time) = time {
                map.insert(name.to_owned(), time.to_string().into());
            }
        }
        for (name, count, usual) in [("skip", skip, 0), ("every", every, 1)] {
            if count != usual {
                map.insert(name.to_owned(), count.into());
            }
        }
        Value::Object(map)
    }
}

/// `from`, `until`, `skip` and `every`, taken out of `map`.
fn when(map: &mut Map<String, Value>) -> Result<When, BadTrouble> {
    let bad = |text: String| BadTrouble::Unreadable(text);
    let mut time = |name: &str| -> Result<Option<Timestamp>, BadTrouble> {
        let Some(value) = map.shift_remove(name) else { return Ok(None) };
        let time = value.as_str().and_then(Timestamp::parse);
        time.map(Some).ok_or_else(|| bad(format!("`{name}` is an instant such as 2026-01-05T09:00:00Z")))
    };
    let (from, until) = (time("from")?, time("until")?);
    let mut count = |name: &str, least: u64| -> Result<u64, BadTrouble> {
        let Some(value) = map.shift_remove(name) else { return Ok(least) };
        let count = value.as_u64().filter(|count| *count >= least);
        count.ok_or_else(|| bad(format!("`{name}` is a number of requests from {least}")))
    };
    Ok(When { from, until, skip: count("skip", 0)?, every: count("every", 1)?, made: 0 })
}

/// `throttled`, or the JSON of one with its values.
impl std::str::FromStr for Trouble {
    type Err = BadTrouble;

    fn from_str(text: &str) -> Result<Self, BadTrouble> {
        if text.trim_start().starts_with('{') {
            let value = serde_json::from_str(text);
            return Self::from_json(value.map_err(|error| BadTrouble::Unreadable(error.to_string()))?);
        }
        Self::from_json(json!({"kind": text}))
    }
}

/// The troubles that wait, in order.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Vec<Trouble>);

impl Troubles {
    /// Adds one behind the others.
    pub fn add(&mut self, trouble: Trouble) -> Result<(), BadTrouble> {
        if self.0.len() >= MAX_TROUBLES {
            return Err(BadTrouble::TooMany);
        }
        self.0.push(trouble);
        Ok(())
    }

    /// Calls all off.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that wait.
    pub fn waiting(&self) -> &[Trouble] {
        &self.0
    }

    /// What is said instead of an answer to a request for `target`, if anything; and whether the token
    /// of the request is stale from now on.
    pub fn instead(&mut self, target: Target, request_id: &str, now: Timestamp) -> Option<(Answer, bool)> {
        let what = self.take(target, Sort::Instead, 1, now).pop()?;
        Some((what.said(request_id), what == What::StaleToken {}))
    }

    /// What becomes of an export that is begun now.
    pub fn exports(&mut self, now: Timestamp) -> Vec<What> {
        self.take(Target::Exports, Sort::Export, usize::MAX, now)
    }

    /// How the rows of a page look.
    pub fn rows(&mut self, list: List, first_page: bool, now: Timestamp) -> Vec<What> {
        let mut taken = self.take(list.into(), Sort::Rows, usize::MAX, now);
        if first_page {
            taken.extend(self.take(list.into(), Sort::FirstPage, usize::MAX, now));
        }
        taken
    }

    /// How `answer` travels.
    pub fn travel(&mut self, target: Target, answer: &mut Answer, now: Timestamp) {
        for what in self.take(target, Sort::Travel, usize::MAX, now) {
            if let What::Slow { by } = what {
                answer.delay = by.min(MAX_DELAY);
            }
            if let What::Cut { after } = what {
                answer.cut_after = Some(after);
            }
            if let What::Truncated {} = what {
                answer.body.truncate(answer.body.len() / 2);
            }
        }
    }

    /// The first `most` of a sort; what has been played often enough goes.
    fn take(&mut self, target: Target, sort: Sort, most: usize, now: Timestamp) -> Vec<What> {
        let mut taken = Vec::new();
        self.0.retain_mut(|trouble| {
            let general =
                trouble.target == Target::Lists && (target != Target::Exports || sort == Sort::Export);
            let meant = (general || trouble.target == target) && trouble.what.sort() == sort;
            if !meant || taken.len() >= most || !trouble.when.is_now(now) {
                return true;
            }
            taken.push(trouble.what.clone());
            trouble.times = trouble.times.map(|times| times - 1);
            trouble.times != Some(0)
        });
        taken
    }
}
