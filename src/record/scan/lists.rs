//! Paths that lead through lists: `users.name` of `{"users": [{"name": "ana"}, {"name": "bob"}]}` is
//! `["ana", "bob"]`. Fields that are as the line spells them are read so; no other is.

use serde_json::Value;

/// What is left of a path behind the list.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// The slot that it fills.
    pub(super) target: u16,
    /// Keys, outermost first; at least one.
    pub(super) rest: Vec<String>,
}

impl Path {
    /// The values at the path's end in every element of `list`, as a JSON array; none if no element has
    /// one.
    pub(super) fn values(&self, list: &Value) -> Option<String> {
        let mut found = Vec::new();
        collect(list, &self.rest, &mut found);
        if found.is_empty() { None } else { serde_json::to_string(&found).ok() }
    }
}

/// Values at the end of `path`; a list there stands for its elements.
fn collect<'a>(value: &'a Value, path: &[String], found: &mut Vec<&'a Value>) {
    match (value, path.split_first()) {
        (Value::Array(items), Some(_)) => items.iter().for_each(|item| collect(item, path, found)),
        (Value::Array(items), None) => found.extend(items),
        (Value::Object(map), Some((key, rest))) => {
            if let Some(value) = map.get(key) {
                collect(value, rest, found);
            }
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_), None) => {
            found.push(value);
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), Some(_)) => {}
    }
}
