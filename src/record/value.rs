//! JSON that the scanner has read, as a value, for those that read it again.
//!
//! JSON's numbers end nowhere and those of its readers do. A number beyond them, `1e999`, must not take
//! what is beside it along: it is read as the text that it is spelt with. So is a whole number of more digits
//! than they keep: it may be an id, and two ids must not become one. The scanner keeps numbers as they
//! are spelt anyway, so that it is compared like any number too large for [`super::Number`]: equal by its text,
//! and ordered as the number that it is, see [`super::Number::nearest`]. Halves of surrogate pairs are mended,
//! see [`super::mended`].

use serde::de::IgnoredAny;
use serde_json::Value;

use super::mended;

/// The value that `json` spells; none if it is no JSON. Of what the scanner has read there is always one.
pub fn value_of(json: &str) -> Option<Value> {
    // All but a few are read at once.
    let whole = if has_many_digits(json.as_bytes()) { None } else { serde_json::from_str(json).ok() };
    whole.or_else(|| serde_json::from_str(&numbers_in_quotes(&mended(json))).ok())
}

/// Digits of the least whole number that readers do not keep.
const MANY_DIGITS: usize = 20;

/// Whether so many digits stand in a row somewhere: then one of them stands at a multiple of that.
fn has_many_digits(bytes: &[u8]) -> bool {
    let in_row = |byte: &&u8| byte.is_ascii_digit();
    (MANY_DIGITS - 1..bytes.len()).step_by(MANY_DIGITS).any(|at| {
        let (before, after) = bytes.split_at_checked(at).unwrap_or_default();
        after.first().is_some_and(u8::is_ascii_digit)
            && before.iter().rev().take_while(in_row).count() + after.iter().take_while(in_row).count()
                >= MANY_DIGITS
    })
}

/// Whether `part` is a number that readers lose, or lose digits of.
fn is_lost(part: &str) -> bool {
    let is_whole = part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let lost = part.parse().is_ok_and(f64::is_infinite)
        || is_whole && part.parse::<u64>().is_err() && part.parse::<i64>().is_err();
    // Others are more lenient than JSON is: `01e999` stays what it is.
    lost && serde_json::from_str::<IgnoredAny>(part).is_ok()
}

/// `json` with quotes around each number that readers lose.
fn numbers_in_quotes(json: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(json.len() + 2), json);
    while let Some(first) = rest.bytes().next() {
        let len = match first {
            b'"' => string(rest.as_bytes()),
            b'-' | b'0'..=b'9' => number(rest.as_bytes()),
            _ => rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()).unwrap_or(rest.len()),
        };
        let (part, behind) = rest.split_at_checked(len).unwrap_or((rest, ""));
        let quote = if first != b'"' && is_lost(part) { "\"" } else { "" };
        text.extend([quote, part, quote]);
        rest = behind;
    }
    text
}

/// The length of the string that `bytes` begin with, quotes included; of all, where it does not end.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => return bytes.len(),
            Some(stop) if rest.get(stop) == Some(&b'"') => return at + stop + 1,
            Some(stop) => at += stop + 2,
        }
    }
}

/// The length of the number that `bytes` begin with.
fn number(bytes: &[u8]) -> usize {
    let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    bytes.iter().position(|byte| !part(byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_beyond_floating_point_are_text_and_take_nothing_along() {
        for (given, meant) in [
            ("1e999", json!("1e999")),
            ("-1.5E+400", json!("-1.5E+400")),
            ("1e-999", json!(0.0)),
            ("0e999", json!(0.0)),
            (
                r#"{"a":1e999,"b":[2,-1e999 ,"1e999"],"1e999":3}"#,
                json!({"a":"1e999","b":[2,"-1e999","1e999"],"1e999":3}),
            ),
            (r#"["\"1e999",1e999,"\\",1e999,"é"]"#, json!(["\"1e999", "1e999", "\\", "1e999", "é"])),
            (r#"["\ud800",1e999]"#, json!(["\u{fffd}", "1e999"])),
            (r#"["\ud800"]"#, json!(["\u{fffd}"])),
            (
                "[123456789012345678901234567890,-123456789012345678901234567891 ,1.00000000000000000000]",
                json!(["123456789012345678901234567890", "-123456789012345678901234567891", 1.0]),
            ),
            ("[18446744073709551615,18446744073709551616]", json!([u64::MAX, "18446744073709551616"])),
            (
                r#"{"12345678901234567890":"12345678901234567890"}"#,
                json!({"12345678901234567890": "12345678901234567890"}),
            ),
        ] {
            assert_eq!(value_of(given), Some(meant), "{given}");
        }
        let long = "9".repeat(400);
        assert_eq!(value_of(&format!("[{long}]")), Some(json!([long])));
        for none in [
            "",
            "[1e999",
            "\"1e999",
            "1e999x",
            "--1e999",
            "01e999",
            "1.e999",
            "[\"\\",
            "nul",
            "00000000000000000000",
        ] {
            assert_eq!(value_of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_others_read_is_what_they_read_and_no_number_hides_it(
            parts in prop::collection::vec(prop::sample::select(vec![
                "1", "-0.5", "1e3", "\"a\"", "\"\\\"1e999\"", "\"é\\\\\"", "null", "{\"k\":[2]}", "\"\\ud800\"",
            ]), 0..8),
        ) {
            let plain = format!("[{}]", parts.join(","));
            let read = serde_json::from_str::<Value>(&mended(&plain)).unwrap();
            prop_assert_eq!(value_of(&plain), Some(read.clone()));
            let with = format!("[{}]", parts.iter().copied().chain(["1e999"]).collect::<Vec<_>>().join(","));
            let mut meant = read;
            meant.as_array_mut().unwrap().push("1e999".into());
            prop_assert_eq!(value_of(&with), Some(meant));
        }

        #[test]
        fn many_digits_are_seen_wherever_they_stand(text in "[0-9a]{0,60}") {
            let longest = text.split('a').map(str::len).max().unwrap_or_default();
            prop_assert_eq!(has_many_digits(text.as_bytes()), longest >= MANY_DIGITS);
        }
    }
}
