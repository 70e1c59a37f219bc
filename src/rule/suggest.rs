//! What somebody may have meant by a word that is not known.

use super::keys::one_of;
use crate::record::FieldName;
use crate::record::fold::fold;

/// The candidate nearest to `word`, if one is near enough to be a slip of the fingers, or else one
/// whose last part `word` is (`country` for `geo.country`).
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(word);
    if wanted.is_empty() || wanted.len() > MAX_WORD {
        return None;
    }
    let reach = (wanted.chars().count() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    let mut part = None;
    for candidate in candidates {
        // A candidate much longer or shorter is not measured: a file may have twenty thousand slips.
        if candidate.len().abs_diff(wanted.len()) <= reach {
            let distance = strsim::osa_distance(&wanted, &plain(candidate));
            if distance <= reach && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        if part.is_none() && candidate.rsplit_once('.').is_some_and(|(_, last)| last == wanted) {
            part = Some(candidate);
        }
    }
    best.map(|(_, candidate)| candidate).or(part)
}

/// The word for a comparison that others spell so.
pub fn comparison(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        ">" => "gt",
        "ge" | ">=" | "=>" => "gte",
        "<" => "lt",
        "le" | "<=" | "=<" => "lte",
        "=" | "==" => "eq",
        "ne" | "!=" | "<>" => "neq",
        _ => return None,
    })
}

/// That a field which has few words is never `text`, and what may be meant.
pub fn never(field: &FieldName, text: &str) -> Option<(String, String)> {
    let words = field.words();
    if words.is_empty() || words.iter().any(|word| *word == fold(text)) {
        return None;
    }
    let hint = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? it is {}", one_of(words)),
        None => format!("it is {}", one_of(words)),
    };
    Some((format!("`{field}` is never `{text}`"), hint))
}

/// The time zone called `name`, or what to write instead.
pub fn zone(name: &str) -> Result<chrono_tz::Tz, String> {
    if let Ok(zone) = name.parse() {
        return Ok(zone);
    }
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let same = |other: &&str| other.eq_ignore_ascii_case(name);
    // `Shanghai` for `Asia/Shanghai`.
    let city = |other: &&str| other.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
    let near = names().find(same).or_else(|| names().find(city)).or_else(|| nearest(name, names()));
    Err(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name of the IANA time zone database, such as `Asia/Shanghai` or `UTC`".to_owned(),
    })
}

/// Words longer than this are no slip of the fingers, and cost a table of their length squared.
const MAX_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word() {
        for (slip, word) in [
            ("witin", "within"),
            ("conditon", "condition"),
            ("computer_nam", "computer_name"),
            ("public-ip", "public_ip"),
            ("Outcome", "outcome"),
            ("country", "geo.country"),
            ("untill", "until"),
        ] {
            let words =
                ["within", "condition", "computer_name", "public_ip", "outcome", "geo.country", "until"];
            assert_eq!(nearest(slip, words), Some(word), "{slip}");
        }
    }

    #[test]
    fn what_is_far_from_everything_suggests_nothing() {
        assert_eq!(nearest("colour", ["within", "user", "kind"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest(&"a".repeat(100_000), ["a"]), None);
    }
}
