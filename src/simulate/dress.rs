//! How one row looks: the vendor spells times, ends, ids and nothings in many ways
//! (`reference/huawei-api.md`, 4.5 and 5.1), and a client must read them all.

use chrono::{DateTime, FixedOffset, Utc};
use serde_json::{Map, Value, json};

use crate::record::Timestamp;

use super::what::{OpenEnd, Spelling, What};
use super::world::{List, Row, World};

/// All that is done to a row before it is shown.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a trouble of its own")]
pub struct Dress {
    spelling: Option<Spelling>,
    open_end: OpenEnd,
    no_ids: bool,
    unknown_fields: bool,
    numbers: bool,
    nulls: bool,
    absent: bool,
    success_words: bool,
}

impl Dress {
    /// What `troubles` ask for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what concerns the choice of rows is the page's")]
    pub fn of(troubles: &[What]) -> Self {
        let mut dress = Self::default();
        for what in troubles {
            match what {
                What::Spelling { by } => dress.spelling = Some(*by),
                What::OpenEnd { by } => dress.open_end = *by,
                What::NoIds {} => dress.no_ids = true,
                What::UnknownFields {} => dress.unknown_fields = true,
                What::Numbers {} => dress.numbers = true,
                What::Nulls {} => dress.nulls = true,
                What::Absent {} => dress.absent = true,
                What::SuccessWords {} => dress.success_words = true,
                _ => {}
            }
        }
        dress
    }

    /// Dresses `fields`, which are those of `row`.
    pub fn put_on(&self, list: List, row: &Row, world: &World, fields: &mut Map<String, Value>) {
        let end = list.times().end;
        if fields.get(end).is_none_or(|end| end.as_str() == Some("")) {
            match self.open_end {
                OpenEnd::Absent => {}
                OpenEnd::Empty => drop(fields.insert(end.to_owned(), "".into())),
                OpenEnd::Null => drop(fields.insert(end.to_owned(), Value::Null)),
                OpenEnd::YearOne => drop(fields.insert(end.to_owned(), "0001-01-01 00:00:00".into())),
            }
        }
        if self.no_ids && list == List::DesktopLogins {
            for name in ["transaction_id", "sid", "desktop_id"] {
                fields.shift_remove(name);
            }
        }
        if self.success_words {
            succeed(fields);
        }
        if let Some(spelling) = self.spelling {
            let spelling = one_of(spelling, world.chance(row.number, "spelling"));
            for (_, value) in fields.iter_mut().filter(|(name, _)| name.ends_with("_time")) {
                if let Some(time) = value.as_str().and_then(Timestamp::parse) {
                    *value = spell(spelling, time).into();
                }
            }
        }
        if self.numbers {
            fields.values_mut().for_each(as_number);
        }
        if self.absent {
            fields.retain(|_, value| value.as_str() != Some(""));
        }
        if self.nulls {
            for value in fields.values_mut().filter(|value| value.as_str() == Some("")) {
                *value = Value::Null;
            }
        }
        if self.unknown_fields {
            fields.insert("security_domain".to_owned(), json!({"name": "simulated", "levels": [1, 2]}));
            fields.insert("access_mode".to_owned(), "INTERNET".into());
        }
    }
}

/// Empty code and reason become the words for success.
fn succeed(fields: &mut Map<String, Value>) {
    let failed = ["failed_code", "failed_reason", "connection_failure_reason"];
    let is_empty = |value: &Value| value.as_str() == Some("");
    if !failed.iter().all(|name| fields.get(*name).is_none_or(is_empty)) {
        return;
    }
    for (name, word) in failed.into_iter().zip(["WKS.00000000", "success", "success"]) {
        if let Some(value) = fields.get_mut(name) {
            *value = word.into();
        }
    }
}

/// A whole number without a leading zero is told as one.
fn as_number(value: &mut Value) {
    let Some(text) = value.as_str() else { return };
    let plain = text == "0" || !text.starts_with(['0', '+', '-']);
    if let Some(number) = text.parse::<u64>().ok().filter(|_| plain) {
        *value = number.into();
    }
}

/// `mixed` is one of those that lose no second.
fn one_of(spelling: Spelling, chance: u64) -> Spelling {
    const KINDS: [Spelling; 10] = [
        Spelling::Seconds,
        Spelling::Millis,
        Spelling::Spaced,
        Spelling::Zoneless,
        Spelling::ShortOffset,
        Spelling::LongOffset,
        Spelling::Nanos,
        Spelling::Hundredths,
        Spelling::ColonFraction,
        Spelling::East,
    ];
    if spelling == Spelling::Mixed {
        let place = chance % KINDS.len() as u64;
        return KINDS[usize::try_from(place).unwrap_or_default()];
    }
    spelling
}

/// `time` spelt so.
pub fn spell(spelling: Spelling, time: Timestamp) -> String {
    let utc: DateTime<Utc> = DateTime::from_timestamp_millis(time.0).unwrap_or_default();
    let format = |format: &str| utc.format(format).to_string();
    match spelling {
        Spelling::Seconds | Spelling::Mixed => format("%Y-%m-%dT%H:%M:%SZ"),
        Spelling::Millis => format("%Y-%m-%dT%H:%M:%S%.3fZ"),
        Spelling::Spaced => format("%Y-%m-%d %H:%M:%S"),
        Spelling::Zoneless => format("%Y-%m-%dT%H:%M:%S"),
        Spelling::Minutes => format("%Y-%m-%dT%H:%MZ"),
        Spelling::ShortOffset => format("%Y-%m-%dT%H:%M:%S%.3f+0000"),
        Spelling::LongOffset => format("%Y-%m-%dT%H:%M:%S%.3f+00:00"),
        Spelling::Nanos => format("%Y-%m-%dT%H:%M:%S%.9fZ"),
        Spelling::Hundredths => {
            let millis = format("%Y-%m-%dT%H:%M:%S%.3f");
            format!("{}Z", &millis[..millis.len() - 1])
        }
        Spelling::ColonFraction => format("%Y-%m-%dT%H:%M:%S:%6fZ"),
        Spelling::East => {
            let east = FixedOffset::east_opt(8 * 3_600).map(|east| utc.with_timezone(&east));
            let east = east.map(|east| east.format("%Y-%m-%dT%H:%M:%S+08:00").to_string());
            east.unwrap_or_else(|| format("%Y-%m-%dT%H:%M:%SZ"))
        }
    }
}
