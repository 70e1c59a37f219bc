//! Text with wildcards, compared without case: what routes and silences say of a value.

use crate::record::fold::{fold, fold_char};

/// `*` stands for any text, `?` for one character, a backslash before either or before itself takes
/// it as it is; all else for itself, without case. Every text is a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    spelt: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// This character, folded.
    One(char),
    /// Any one character.
    Any,
    /// Any text, also none.
    Rest,
}

impl Pattern {
    /// The pattern that `text` spells.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Part::Rest,
                '?' => Part::Any,
                '\\' => Part::One(chars.next_if(|next| ['*', '?', '\\'].contains(next)).unwrap_or(c)),
                c => Part::One(fold_char(c)),
            };
            if part != Part::Rest || parts.last() != Some(&Part::Rest) {
                parts.push(part);
            }
        }
        Self { spelt: text.to_owned(), parts }
    }

    /// As spelt.
    pub fn as_str(&self) -> &str {
        &self.spelt
    }

    /// Whether `text` is what the pattern says. Linear in `text` times the pattern at worst.
    pub fn accepts(&self, text: &str) -> bool {
        let text: Vec<char> = fold(text).chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where the last `*` stands, and how much of the text it has taken so far.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Rest) => {
                    star = Some((part, at));
                    part += 1;
                }
                Some(Part::Any) => (at, part) = (at + 1, part + 1),
                Some(Part::One(c)) if *c == text[at] => (at, part) = (at + 1, part + 1),
                Some(Part::One(_)) | None => {
                    let Some((back, taken)) = star else { return false };
                    star = Some((back, taken + 1));
                    (part, at) = (back + 1, taken + 1);
                }
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Rest)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).accepts(text)
    }

    #[test]
    fn text_is_compared_without_case() {
        assert!(accepts("Ana", "aNA"));
        assert!(accepts("straße", "STRAßE"));
        assert!(!accepts("ana", "anabel"));
        assert!(accepts("", ""));
        assert!(!accepts("", "x"));
    }

    #[test]
    fn wildcards_stand_for_any_text_and_any_character() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "x"),
            ("a*", "a"),
            ("*-burst", "Failure-Burst"),
            ("a*b*c", "aXbYbZc"),
            ("a?c", "abc"),
        ] {
            assert!(accepts(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*b", "a"), ("?", ""), ("a?c", "ac"), ("a*b*c", "acb"), ("*ab", "abb")] {
            assert!(!accepts(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_backslash_takes_a_wildcard_as_it_is() {
        assert!(accepts(r"a\*", "a*"));
        assert!(!accepts(r"a\*", "ab"));
        assert!(accepts(r"\\*", r"\x"));
        assert!(accepts(r"corp\ana", r"CORP\ana"));
    }
}
