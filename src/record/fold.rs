//! Text compared without case: Unicode simple case folding (statuses C and S of `CaseFolding.txt`).

use std::borrow::Cow;

/// The folded form of one character.
pub fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(c).and_then(|code| char::from_u32(code.get())).unwrap_or(c)
}

/// The folded form of `text`; borrowed when it is folded already.
pub fn fold(text: &str) -> Cow<'_, str> {
    if is_folded_ascii(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// The folded form of `text`, in `room` where it is not folded already.
pub fn fold_in<'a>(text: &'a str, room: &'a mut String) -> &'a str {
    if is_folded_ascii(text.as_bytes()) {
        return text;
    }
    room.clear();
    if text.is_ascii() {
        room.push_str(text);
        room.make_ascii_lowercase();
    } else {
        room.extend(text.chars().map(fold_char));
    }
    room
}

/// Whether `text` is ASCII without upper case; eight bytes at a time, the last ones perhaps twice.
fn is_folded_ascii(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    let Some(last) = text.last_chunk::<8>() else {
        return text.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    };
    words.iter().chain([last]).fold(0, |found, word| found | unfolded(u64::from_le_bytes(*word))) == 0
}

/// The high bit of every byte of `word` that is no ASCII or upper case.
fn unfolded(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // Of seven bits, so that no sum carries into the next byte.
    let low = word & !HIGH;
    let from_a = low + ONES * (0x80 - u64::from(b'A'));
    let past_z = low + ONES * (0x7f - u64::from(b'Z'));
    (word | (from_a & !past_z)) & HIGH
}

/// Whether both are the same text: words and addresses, most of them short, without a call.
#[inline]
pub fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
    let half = |bytes: Option<&[u8; 4]>| bytes.map(|bytes| u32::from_le_bytes(*bytes));
    match one.len() {
        // Both ends overlap, or meet.
        8..=16 => {
            word(one.first_chunk()) == word(other.first_chunk())
                && word(one.last_chunk()) == word(other.last_chunk())
        }
        4..=7 => {
            half(one.first_chunk()) == half(other.first_chunk())
                && half(one.last_chunk()) == half(other.last_chunk())
        }
        0..=3 => one.iter().zip(other).all(|(one, other)| one == other),
        _ => one == other,
    }
}

/// Whether `text` folds to `folded`, which is folded already.
pub fn folds_to(text: &str, folded: &str) -> bool {
    if same(text, folded) {
        return true;
    }
    if text.is_ascii() {
        return text.eq_ignore_ascii_case(folded);
    }
    text.chars().map(fold_char).eq(folded.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_simply() {
        assert_eq!(fold("ana"), "ana");
        assert_eq!(fold("ANA"), "ana");
        assert_eq!(fold("ΑΝΝΑΣ"), fold("αννας"));
        assert_eq!(fold("Straße"), "straße");
        assert_eq!(fold("K"), "k");
    }

    #[test]
    fn texts_that_differ_in_one_place_are_not_the_same() {
        for len in 0..20 {
            let text = "x".repeat(len);
            assert!(same(&text, &"x".repeat(len)) && !same(&text, &"x".repeat(len + 1)));
            for place in 0..len {
                let other = format!("{}y{}", &text[..place], &text[place + 1..]);
                assert!(!same(&text, &other), "{other}");
            }
        }
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..19 {
                let mut text = *b"abcdefghijklmnop019";
                text[place] = byte;
                let meant = text.iter().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
                assert_eq!(is_folded_ascii(&text), meant, "{byte} at {place}");
                assert_eq!(is_folded_ascii(&text[..=place]), meant, "{byte} at the end, {place}");
            }
        }
    }

    #[test]
    fn comparing_is_folding() {
        for (text, folded) in
            [("ANA", "ana"), ("ΑΝΝΑΣ", "αννας"), ("ΑΝΝΑΣ", "αννασ"), ("K", "k"), ("ana", "an"), ("", "")]
        {
            assert_eq!(folds_to(text, &fold(folded)), fold(text) == fold(folded), "{text} {folded}");
            assert_eq!(same(text, folded), text == folded, "{text} {folded}");
            assert_eq!(fold_in(text, &mut "before".to_owned()), fold(text));
        }
    }
}
