//! What a query asks for, as SQL and the values that belong to it. No value is ever part of the text.

use std::sync::Arc;

use rusqlite::types::Value;

use super::word;

/// Conditions that must all hold.
pub(super) struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    /// Begins with whose it is and how its id begins; none where no id begins so. Named or not, the
    /// tenant leads, so that the keys serve.
    pub(super) fn new(tenant: Option<&Arc<str>>, id: Option<&String>) -> Option<Self> {
        let mut filter = Self { sql: String::new(), values: Vec::new() };
        match tenant {
            Some(tenant) => filter.push("tenant = ?", tenant.to_string()),
            None => filter.sql.push_str("tenant IN (SELECT tenant FROM tenants)"),
        }
        if let Some(digits) = id {
            let (first, last) = word::ids_with_prefix(digits)?;
            filter.push(" AND id BETWEEN ?", first.to_vec());
            filter.push(" AND ?", last.to_vec());
        }
        Some(filter)
    }

    fn push(&mut self, sql: &str, value: impl Into<Value>) {
        self.sql.push_str(sql);
        self.values.push(value.into());
    }

    /// Adds `condition`, such as `rule = ?`, where there is a value for it.
    pub(super) fn and(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.push(condition, value);
        }
    }

    /// Wants `column` to be one of `values`; empty: anything.
    pub(super) fn among(&mut self, column: &str, values: impl IntoIterator<Item = String>) {
        let mut before = format!(" AND {column} IN (?");
        let count = self.values.len();
        for value in values {
            self.push(&before, value);
            ", ?".clone_into(&mut before);
        }
        if self.values.len() > count {
            self.sql.push(')');
        }
    }

    /// The whole statement, at most `most` rows of it, and its values.
    pub(super) fn query(mut self, select: &str, order: &str, most: usize) -> (String, Vec<Value>) {
        self.values.push(i64::try_from(most).unwrap_or(i64::MAX).into());
        (format!("{select} WHERE {} ORDER BY {order} LIMIT ?", self.sql), self.values)
    }
}
