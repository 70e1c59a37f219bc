//! Halves of surrogate pairs that stand alone in JSON: `"\ud800"`.
//!
//! JSON's grammar has them and no text can hold them. A hostile name with one must not keep its
//! record from being judged, so each is read as U+FFFD, wherever a record is read. The line stays as
//! it came, unless keys that change by themselves are taken out of it (`source::huawei::page`): an identity that is made of the line, and the version of a row, tell two such halves
//! apart; values, and what is made of them, do not.

use std::borrow::Cow;

/// The escape of U+FFFD, as long as the one in whose place it is put: all else keeps its place.
const REPLACED: &str = "\\ufffd";

/// `json` with [`char::REPLACEMENT_CHARACTER`] for every half that stands alone; all else as it is. What is no
/// JSON stays none.
pub fn mended(json: &str) -> Cow<'_, str> {
    let Some(mut lone) = lone_from(json, 0) else { return Cow::Borrowed(json) };
    let (mut text, mut done) = (String::with_capacity(json.len()), 0);
    loop {
        text.push_str(json.get(done..lone).unwrap_or_default());
        text.push_str(REPLACED);
        done = lone + REPLACED.len();
        match lone_from(json, done) {
            Some(next) => lone = next,
            None => break,
        }
    }
    text.push_str(json.get(done..).unwrap_or_default());
    Cow::Owned(text)
}

/// Where the next half that stands alone is escaped, looking from `at` on, which is within no escape.
fn lone_from(json: &str, mut at: usize) -> Option<usize> {
    let bytes = json.as_bytes();
    loop {
        at += memchr::memchr(b'\\', bytes.get(at..)?)?;
        at += match code(bytes, at) {
            None => 2,
            Some(0xd800..=0xdbff) if matches!(code(bytes, at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => return Some(at),
            Some(_) => 6,
        };
    }
}

/// The number in the escape `\uXXXX` that stands at `at`.
fn code(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + REPLACED.len())?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_halves_that_stand_alone_are_replaced() {
        for (given, meant) in [
            (r#"{"a":"plain"}"#, r#"{"a":"plain"}"#),
            (r#""\ud83d\ude00\n\u00e9""#, r#""\ud83d\ude00\n\u00e9""#),
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""x\uDFFFy""#, r#""x\ufffdy""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00\ud83d""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\ud800\n\udc00""#, r#""\ufffd\n\ufffd""#),
            (r#""\\ud800 \\\ud800""#, r#""\\ud800 \\\ufffd""#),
            (r#""é\ud800é""#, r#""é\ufffdé""#),
            (r"\ud80", r"\ud80"),
            (r"\", r"\"),
        ] {
            assert_eq!(mended(given), meant, "{given}");
            assert_eq!(mended(given).len(), given.len());
        }
    }

    proptest! {
        #[test]
        fn what_other_readers_take_is_left_alone_and_the_rest_is_text(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", "é", "\\\\", "\\\"", "\\n", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\uD800", "ud800",
            ]), 0..12),
        ) {
            let given = format!("[\"{}\"]", parts.concat());
            let whole = mended(&given);
            prop_assert!(serde_json::from_str::<Value>(&whole).is_ok(), "{} {}", given, whole);
            if serde_json::from_str::<Value>(&given).is_ok() {
                prop_assert_eq!(&*whole, given.as_str());
            }
        }
    }
}
