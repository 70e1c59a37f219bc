//! The words of a template and their places, which minijinja does not tell.

use std::ops::Range;

use crate::rule::problem::{Problems, Span};
use crate::rule::spec::Template;

/// What a word of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Name,
    Filter,
    Test,
    Statement,
}

pub(super) struct Word {
    pub(super) text: String,
    pub(super) range: Range<usize>,
    pub(super) role: Role,
}

/// The words in a template's `{{ }}` and `{% %}`, strings left out. The template has been parsed
/// already; this only finds places and names that minijinja does not tell.
pub(super) fn words(template: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut at = 0;
    while let Some((open, statement)) = next_code(template, at) {
        let close = if statement { "%}" } else { "}}" };
        let mut role = if statement { Role::Statement } else { Role::Name };
        at = open;
        while at < template.len() && !template[at..].starts_with(close) {
            let rest = &template[at..];
            let c = rest.chars().next().unwrap_or_default();
            let length = match c {
                '"' | '\'' => string_length(rest, c),
                c if c.is_alphabetic() || c == '_' => word_length(rest),
                c => c.len_utf8(),
            };
            let text = &rest[..length];
            if c.is_alphabetic() || c == '_' {
                role = match (role, text) {
                    (Role::Name, "is") | (Role::Test, "not") => Role::Test,
                    (role, _) => {
                        words.push(Word { text: text.to_owned(), range: at..at + length, role });
                        Role::Name
                    }
                };
            } else if !(c.is_whitespace() || role == Role::Statement && matches!(c, '-' | '+')) {
                role = if c == '|' { Role::Filter } else { Role::Name };
            }
            at += length;
        }
    }
    words
}

/// Where the next code begins, and whether it is a statement. Comments are passed over.
fn next_code(template: &str, from: usize) -> Option<(usize, bool)> {
    let mut at = from;
    loop {
        at += template[at..].find('{')?;
        match template.as_bytes().get(at + 1) {
            Some(b'{') => return Some((at + 2, false)),
            Some(b'%') => return Some((at + 2, true)),
            Some(b'#') => at += template[at..].find("#}")?,
            Some(_) | None => at += 1,
        }
    }
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len())
}

fn string_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            c if c == quote && !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The place in the YAML file of `range` in the template: exact where the scalar is spelt as it is,
/// its line where the file indents or folds it, else the whole scalar.
pub(super) fn locate(template: &Template, range: Option<Range<usize>>, problems: &Problems) -> Span {
    let (Some(range), Some(scalar)) = (range, problems.source.get(template.span.start..template.span.end))
    else {
        return template.span;
    };
    // What is no part of the language is told of as one byte, whatever it is.
    let text = &template.text;
    let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
    let shifted = |by: usize| Span { start: by + range.start, end: by + range.end };
    if let Some(at) = scalar.find(text.as_str()) {
        return shifted(template.span.start + at);
    }
    let start = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    match scalar.find(line) {
        Some(at) if !line.is_empty() && range.end <= start + line.len() => {
            let by = template.span.start + at;
            Span { start: by + range.start - start, end: by + range.end - start }
        }
        Some(_) | None => template.span,
    }
}
