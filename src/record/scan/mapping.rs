//! How a foreign row's keys are named: the `fields:` map of a file source, or a `--fields` file.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::record::FieldName;

/// One field of a foreign row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMap {
    /// The field it is here.
    pub field: FieldName,
    /// The row's key; with dots, a key as it stands, else a path into nested objects.
    pub key: String,
    /// What the row's words are called here, compared without case.
    pub values: Vec<(String, String)>,
}

/// Every field that a map names. A mapped field is read from its key and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// One a field.
    pub fields: Vec<FieldMap>,
}

/// A map's value as its file spells it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Spelt {
    Key(String),
    Full(FullSpelling),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullSpelling {
    from: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

impl Mapping {
    /// Reads `user_name: account`, `outcome: {from: status, values: {failed: failure}}` and so on.
    /// A field that has no name here is declared by the map.
    ///
    /// # Errors
    /// In words for the person who wrote the map.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        let spelt: BTreeMap<String, Spelt> = serde_saphyr::from_str(text).map_err(|error| {
            format!(
                "a field map is `field: key` or `field: {{from: key, values: {{theirs: ours}}}}`: {error}"
            )
        })?;
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(spelt.len());
        for (name, spelt) in spelt {
            let (key, values) = match spelt {
                Spelt::Key(key) => (key, Vec::new()),
                Spelt::Full(full) => (full.from, full.values.into_iter().collect()),
            };
            let field = FieldName::declared(&name);
            if key.is_empty() || name.is_empty() {
                return Err(format!("field `{name}` names no key to read it from"));
            }
            if !seen.insert(field.clone()) {
                return Err(format!("field `{field}` is mapped twice; `{name}` is another spelling of it"));
            }
            fields.push(FieldMap { field, key, values });
        }
        Ok(Self { fields })
    }

    /// How `field` is read, if the map names it.
    pub fn of(&self, field: &FieldName) -> Option<&FieldMap> {
        self.fields.iter().find(|map| map.field == *field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_keys_and_words() {
        let mapping = Mapping::from_yaml(
            "user_name: account\nstart_time: ts\noutcome: {from: status, values: {failed: failure}}\nseat: desk.id\n",
        )
        .unwrap();
        let outcome = mapping.of(&FieldName::declared("outcome")).unwrap();
        assert_eq!(outcome.key, "status");
        assert_eq!(outcome.values, [("failed".to_owned(), "failure".to_owned())]);
        assert_eq!(mapping.of(&FieldName::declared("login_user")).unwrap().key, "account");
        assert_eq!(mapping.of(&FieldName::declared("seat")).unwrap().key, "desk.id");
        assert_eq!(mapping.of(&FieldName::declared("public_ip")), None);
    }

    #[test]
    fn a_bad_map_is_told() {
        for (text, part) in [
            ("outcome: {from: status, value: {failed: failure}}", "a field map is `field: key`"),
            ("user_name: [a, b]", "a field map is `field: key`"),
            ("user_name: ''", "field `user_name` names no key"),
            ("user_name: a\nlogin_user: b", "field `user_name` is mapped twice"),
        ] {
            let told = Mapping::from_yaml(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
