//! How a foreign row's keys are named: the `fields:` map of a file source, or a `--fields` file.
//!
//! Read from text by `config`; here only what it says.

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
    /// The key of the rows' event time: such rows are not the vendor's, and their `id` is no identity.
    /// Only who reads files once names it, so that it is no part of what is kept.
    #[serde(skip)]
    pub time: Option<String>,
}

impl Mapping {
    /// How `field` is read, if the map names it.
    pub fn of(&self, field: &FieldName) -> Option<&FieldMap> {
        self.fields.iter().find(|map| map.field == *field)
    }
}
