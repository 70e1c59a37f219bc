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
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// Whether `text` folds to `folded`, which is folded already.
pub fn folds_to(text: &str, folded: &str) -> bool {
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
    fn comparing_is_folding() {
        for (text, folded) in
            [("ANA", "ana"), ("ΑΝΝΑΣ", "αννας"), ("ΑΝΝΑΣ", "αννασ"), ("K", "k"), ("ana", "an"), ("", "")]
        {
            assert_eq!(folds_to(text, &fold(folded)), fold(text) == fold(folded), "{text} {folded}");
        }
    }
}
