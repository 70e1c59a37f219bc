//! Faults of a file: what, where, and the way out. All faults of a file are told at once.

use std::sync::Arc;

/// A stretch of a source file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule does not load.
    Error,
    /// The rule loads; somebody should look.
    Warning,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the file.
    pub span: Span,
    /// What is wrong: lower case, no full stop, the user's words in backticks.
    pub message: String,
    /// The way out, where one can be named.
    pub hint: Option<String>,
}

/// The faults of one file, collected while it is decoded.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The file's name as the user gave it.
    pub file: String,
    /// Its text.
    pub source: Arc<str>,
    list: Vec<Problem>,
}

impl Problems {
    /// None yet, for `file` holding `source`.
    pub fn new(file: impl Into<String>, source: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), source: source.into(), list: Vec::new() }
    }

    /// Notes an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), None);
    }

    /// Notes an error and its way out.
    pub fn error_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), Some(hint.into()));
    }

    /// Notes a warning and its way out.
    pub fn warn(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    fn push(&mut self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        self.list.push(Problem { severity, span, message, hint });
    }

    /// All of them, in the order of the file.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut list: Vec<&Problem> = self.list.iter().collect();
        list.sort_by_key(|problem| problem.span);
        list
    }

    /// True when the file does not load.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// True when there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
