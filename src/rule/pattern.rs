//! Regular expressions of rules: known to be good when the rule is read, made ready when a text is first
//! looked through. Of thousands, most stand behind words that no record holds, and each takes some tens of
//! kilobytes.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// A regular expression that compiles under [`Pattern::SIZE_LIMIT`]; equal and digested by its text. What is
/// compiled is shared by its clones.
#[derive(Clone)]
pub struct Pattern(Arc<Shared>);

struct Shared {
    text: String,
    cased: bool,
    /// None: not needed yet.
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Bytes of a compiled regular expression.
    pub const SIZE_LIMIT: usize = 1 << 20;

    /// The expression of `text`; without case unless `cased`.
    pub fn new(text: &str, cased: bool) -> Result<Self, regex::Error> {
        // What compiles now does so again.
        Self::compile(text, cased)?;
        Ok(Self(Arc::new(Shared { text: text.to_owned(), cased, regex: OnceLock::new() })))
    }

    /// `text` compiled under the limit; without case unless `cased`.
    pub fn compile(text: &str, cased: bool) -> Result<Regex, regex::Error> {
        RegexBuilder::new(text)
            .case_insensitive(!cased)
            .size_limit(Self::SIZE_LIMIT)
            .dfa_size_limit(Self::SIZE_LIMIT)
            .build()
    }

    /// As spelt.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// True when case counts.
    pub fn cased(&self) -> bool {
        self.0.cased
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        let Shared { text: own, cased, regex } = &*self.0;
        let regex = regex.get_or_init(|| Self::compile(own, *cased).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.cased() == other.cased()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.text(), self.cased()).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_compiled_when_it_is_first_looked_for_and_then_kept() {
        let pattern = Pattern::new("^a.*z$", false).unwrap();
        let other = pattern.clone();
        assert!(pattern.0.regex.get().is_none());
        assert!(pattern.is_match("AbcZ") && !pattern.is_match("abc"));
        assert!(other.0.regex.get().is_some());
        assert!(!Pattern::new("^a.*z$", true).unwrap().is_match("AbcZ"));
    }

    #[test]
    fn one_that_is_no_expression_or_too_large_is_told_at_once() {
        assert!(matches!(Pattern::new("(", true), Err(regex::Error::Syntax(_))));
        assert!(matches!(
            Pattern::new(r"\w{5000}", true),
            Err(regex::Error::CompiledTooBig(Pattern::SIZE_LIMIT))
        ));
    }

    #[test]
    fn text_and_case_make_it_what_it_is() {
        let one = |text, cased| Pattern::new(text, cased).unwrap();
        assert_eq!(one("a", true), one("a", true));
        assert_ne!(one("a", true), one("a", false));
        assert_eq!(format!("{:?}", one("a+", true)), "/a+/");
        assert_eq!(serde_json::to_string(&one("a+", true)).unwrap(), r#"["a+",true]"#);
    }
}
