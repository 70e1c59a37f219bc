//! A Sigma text: wildcards and escapes taken apart, and put together again as the plainest test.
//!
//! `*` is any text, `?` any one character; a backslash before `*`, `?` or another backslash makes it
//! itself, and before anything else it is a backslash. Most texts are no pattern at all, and most
//! patterns are a beginning, an end or a part: those never become a regular expression.

use super::super::pattern::Pattern;
use super::super::spec::{Literal, Part, Test};
use crate::record::fold::fold;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Itself.
    Text(String),
    /// `?`
    One,
    /// `*`
    Many,
}

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Glob {
    pieces: Vec<Piece>,
}

impl Glob {
    /// Reads a text as documents spell it.
    pub(super) fn parse(text: &str) -> Self {
        let mut glob = Self::default();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => {
                    let escaped = rest.next_if(|next| matches!(next, '*' | '?' | '\\'));
                    glob.push_char(escaped.unwrap_or('\\'));
                }
                '*' => glob.push(Piece::Many),
                '?' => glob.push(Piece::One),
                c => glob.push_char(c),
            }
        }
        glob
    }

    /// A text without wildcards.
    pub(super) fn plain(text: &str) -> Self {
        Self { pieces: if text.is_empty() { Vec::new() } else { vec![Piece::Text(text.to_owned())] } }
    }

    /// The text, if it has no wildcards.
    pub(super) fn as_plain(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its parts, no two texts and no two `*` side by side.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Many), Piece::Many) => {}
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (_, Piece::Text(text)) if text.is_empty() => {}
            (_, piece) => self.pieces.push(piece),
        }
    }

    fn push_char(&mut self, c: char) {
        if let Some(Piece::Text(text)) = self.pieces.last_mut() {
            text.push(c);
        } else {
            self.pieces.push(Piece::Text(c.to_string()));
        }
    }

    /// The same where only this part of a value need be so.
    fn widened(&self, part: Part) -> Self {
        let mut wide = Self::default();
        if matches!(part, Part::End | Part::Anywhere) {
            wide.push(Piece::Many);
        }
        for piece in &self.pieces {
            wide.push(piece.clone());
        }
        if matches!(part, Part::Start | Part::Anywhere) {
            wide.push(Piece::Many);
        }
        wide
    }

    /// The test for values of which this part is so.
    pub(super) fn test(&self, part: Part, cased: bool) -> Result<Test, regex::Error> {
        let wide = self.widened(part);
        let text = |text: &str| if cased { text.to_owned() } else { fold(text).into_owned() };
        Ok(match &*wide.pieces {
            [] => Test::Equals(vec![Literal::Text(String::new())]),
            [Piece::Text(all)] => Test::Equals(vec![Literal::Text(text(all))]),
            // Any text, the empty one too.
            [Piece::Many] => Test::StartsWith(vec![String::new()]),
            [Piece::Text(start), Piece::Many] => Test::StartsWith(vec![text(start)]),
            [Piece::Many, Piece::Text(end)] => Test::EndsWith(vec![text(end)]),
            [Piece::Many, Piece::Text(part), Piece::Many] => Test::Contains(vec![text(part)]),
            pieces => Test::Regex(vec![Pattern::new(&expression(pieces), cased)?]),
        })
    }
}

/// The regular expression for a text that is so from beginning to end.
fn expression(pieces: &[Piece]) -> String {
    let mut expression = String::from("(?s)");
    let last = pieces.len().saturating_sub(1);
    if !matches!(pieces.first(), Some(Piece::Many)) {
        expression.push_str(r"\A");
    }
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => expression.push_str(&regex::escape(text)),
            Piece::One => expression.push('.'),
            Piece::Many if at == 0 || at == last => {}
            Piece::Many => expression.push_str(".*"),
        }
    }
    if !matches!(pieces.last(), Some(Piece::Many)) {
        expression.push_str(r"\z");
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test that `text` makes, in short.
    fn shown(text: &str, part: Part) -> String {
        format!("{:?}", Glob::parse(text).test(part, false).expect("a test"))
    }

    #[test]
    fn escapes_and_wildcards_are_told_apart() {
        for (text, test) in [
            ("whoami", r#"Equals([Text("whoami")])"#),
            (r"C:\Windows", r#"Equals([Text("c:\\windows")])"#),
            (r"C:\\Windows", r#"Equals([Text("c:\\windows")])"#),
            (r"a\*b", r#"Equals([Text("a*b")])"#),
            (r"a\?b", r#"Equals([Text("a?b")])"#),
            (r"a\\*", r#"StartsWith(["a\\"])"#),
            (r"a\\\*", r#"Equals([Text("a\\*")])"#),
            (r"a\", r#"Equals([Text("a\\")])"#),
            ("", r#"Equals([Text("")])"#),
            ("*", r#"StartsWith([""])"#),
            ("**a**", r#"Contains(["a"])"#),
            ("a*", r#"StartsWith(["a"])"#),
            ("*a", r#"EndsWith(["a"])"#),
            ("a*b", r"Regex([/(?s)\Aa.*b\z/])"),
            ("?a.b*", r"Regex([/(?s)\A.a\.b/])"),
        ] {
            assert_eq!(shown(text, Part::Whole), test, "{text}");
        }
    }

    #[test]
    fn a_part_is_a_wildcard_beside_it() {
        assert_eq!(shown("a", Part::Anywhere), r#"Contains(["a"])"#);
        assert_eq!(shown("*a", Part::Start), r#"Contains(["a"])"#);
        assert_eq!(shown("a?", Part::End), r"Regex([/(?s)a.\z/])");
        assert_eq!(shown("", Part::Anywhere), r#"StartsWith([""])"#);
    }
}
