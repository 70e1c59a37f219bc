//! Lists as a script sees them: `lists.egress.contains(record.public_ip)`, or `record.public_ip in lists.egress`.
//!
//! What a list holds is asked as of the record that is judged, so that a value's end is in event time.

use std::sync::Arc;

use rhai::{Dynamic, Engine, Map};

use crate::record::{Number, Timestamp};
use crate::rule::lists::{List, Lists};

/// A list at the time of one record.
#[derive(Debug, Clone)]
struct Listed {
    list: Arc<List>,
    at: Timestamp,
}

impl Listed {
    fn contains(&self, value: &Dynamic) -> bool {
        if let Ok(text) = value.as_immutable_string_ref() {
            return self.list.contains_text(&text, self.at);
        }
        if let Ok(whole) = value.as_int() {
            return self.list.contains_number(&whole.to_string(), self.at);
        }
        value.as_float().is_ok_and(|number| {
            let text = number.to_string();
            // Out of range a number is in a list that spells it so, and how the record did is not known here.
            !Number::is_out_of_range(&text) && self.list.contains_number(&text, self.at)
        })
    }
}

/// Teaches `engine` to ask lists.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Listed>("list");
    engine.register_fn("contains", |listed: &mut Listed, value: Dynamic| listed.contains(&value));
}

/// What a script finds under `lists`: those that it reads.
pub(super) fn map<'n>(lists: &Lists, names: impl Iterator<Item = &'n str>, at: Timestamp) -> Map {
    let listed = |name: &str| {
        let list = lists.get(name).cloned().unwrap_or_default();
        (name.into(), Dynamic::from(Listed { list, at }))
    };
    names.map(listed).collect()
}
