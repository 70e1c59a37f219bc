//! `timespan`: one number and one unit.

use crate::record::Millis;

/// Units of a timespan, in milliseconds.
const UNITS: [(char, i64); 7] = [
    ('s', 1_000),
    ('m', 60_000),
    ('h', 3_600_000),
    ('d', 86_400_000),
    ('w', 604_800_000),
    ('M', 2_629_746_000),
    ('y', 31_556_952_000),
];

/// Reads `10m`: one number and one unit.
pub(super) fn timespan(text: &str) -> Result<Millis, (String, String)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    if count.is_empty() {
        let message = format!("`timespan` takes a number and a unit, not `{text}`");
        return Err((message, "write `timespan: 10m`".to_owned()));
    }
    if unit.is_empty() {
        let message = format!("`timespan: {text}` has no unit");
        return Err((message, format!("write `{count}s`, `{count}m`, `{count}h` or `{count}d`")));
    }
    let length = UNITS.into_iter().find(|(name, _)| unit.len() == 1 && unit.starts_with(*name));
    let Some((_, length)) = length else {
        let lower = unit.to_ascii_lowercase();
        let meant = UNITS.into_iter().find(|(name, _)| lower.starts_with(*name)).map(|(name, _)| name);
        let hint = match (meant, unit.chars().any(|c| c.is_ascii_digit())) {
            (_, true) => "one number and one unit: an hour and a half is `90m`".to_owned(),
            (Some(meant), false) => format!("did you mean `{count}{meant}`?"),
            (None, false) => "units are s, m, h, d, w, M and y".to_owned(),
        };
        return Err((format!("`{unit}` is no unit of a timespan"), hint));
    };
    let total = count.parse::<i64>().ok().and_then(|count| count.checked_mul(length)).unwrap_or(i64::MAX);
    match total {
        0 => Err((format!("`timespan: {text}` is no time at all"), "write `timespan: 10m`".to_owned())),
        _ if total > Millis::LONGEST.0 => {
            Err((format!("`timespan: {text}` is too long"), format!("{} is the longest", Millis::LONGEST)))
        }
        _ => Ok(Millis(total)),
    }
}
