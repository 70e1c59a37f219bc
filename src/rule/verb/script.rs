//! `script`: a Rhai script looks at the group's last records.
//!
//! Values of an entry: the fields the script reads, in its order. The same records give the same
//! answer; a fault is no hit, counted and announced, and never switches the rule off.

use serde_json::{Map, Value as Json};

use crate::alert::Finding;
use crate::record::{Datum, Timestamp};

use super::super::lists::Lists;
use super::super::script::{Answer, Script, ScriptRecord};
use super::{Judge, Reach, Reason, Tally, Verdict, Window, json_number};

/// `script:`, compiled.
#[derive(Debug)]
pub struct ScriptVerb {
    /// The script.
    pub script: std::sync::Arc<Script>,
    /// How many records it may look back on, the last one included.
    pub keep: usize,
    /// Every list.
    pub lists: Lists,
}

impl Judge for ScriptVerb {
    fn reach(&self) -> Reach {
        Reach::Records(self.keep)
    }

    fn judge(&self, _tally: &Tally, window: Window<'_>) -> Verdict {
        let history: Vec<ScriptRecord> =
            window.hits.iter().map(|entry| ScriptRecord::new(entry.values.clone())).collect();
        let at = window.hits.last().map_or(Timestamp::MIN, |entry| entry.at);
        match self.script.run_among(&history, &self.lists, at) {
            Ok(Answer::No) => Verdict::Short(Reason::ScriptSaidNo),
            Ok(Answer::Yes) => Verdict::Holds,
            Ok(Answer::Alert(values)) => {
                let values: Map<String, Json> =
                    values.into_iter().map(|(name, value)| (name, json(&value))).collect();
                let told = Finding {
                    count: window.hits.len() as u64,
                    scope: values.clone(),
                    actual: values.clone(),
                    values,
                    ..Finding::default()
                };
                Verdict::Tells(Box::new(told))
            }
            Err(fault) => Verdict::Short(Reason::ScriptFault { fault: fault.to_string() }),
        }
    }

    fn describe(&self, _tally: &Tally, window: Window<'_>) -> Finding {
        Finding { count: window.hits.len() as u64, ..Finding::default() }
    }
}

/// A datum as JSON.
fn json(datum: &Datum) -> Json {
    match datum {
        Datum::Absent => Json::Null,
        Datum::Text(text) => Json::from(&**text),
        Datum::Number(number) => json_number(*number),
        Datum::Bool(value) => Json::from(*value),
    }
}
