//! Faults of a file: what, where, and the way out. All faults of a file are told at once.
//!
//! Shown in the manner of rustc, or as JSON. The file may be hostile: whatever of it is shown has
//! its control and direction characters spelt out. Never decides what is a fault, nor prints.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

/// Faults of one file shown as text; a file with more has one cause, and the rest is noise.
pub const MAX_SHOWN: usize = 100;

/// Characters of a message or hint; what is longer quotes a whole script and helps nobody.
const MAX_MESSAGE: usize = 1_000;

/// What is shown for a secret, whatever its length.
const MASK: &str = "***";

/// Lines between two places of one fault that are still shown as one piece of the file.
const NEAR_LINES: usize = 12;

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
    /// A second place that has to do with it, and what stands there.
    pub also: Option<(Span, String)>,
    /// The file that it stands in, where that is another one: a script's.
    elsewhere: Option<Arc<Elsewhere>>,
}

/// A file that the file at hand names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Elsewhere {
    file: String,
    source: Arc<str>,
}

/// The faults of one file, collected while it is decoded.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The file's name as the user gave it.
    pub file: String,
    /// Its text.
    pub source: Arc<str>,
    list: Vec<Problem>,
    masked: Vec<Span>,
    elsewhere: Option<Arc<Elsewhere>>,
}

impl Problems {
    /// None yet, for `file` holding `source`.
    pub fn new(file: impl Into<String>, source: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            source: source.into(),
            list: Vec::new(),
            masked: Vec::new(),
            elsewhere: None,
        }
    }

    /// What is noted from here on stands in another file.
    pub fn enter(&mut self, file: &str, source: Arc<str>) {
        self.elsewhere = Some(Arc::new(Elsewhere { file: file.to_owned(), source }));
    }

    /// What is noted from here on stands in the file itself again.
    pub fn leave(&mut self) {
        self.elsewhere = None;
    }

    /// Shows `***` for these bytes of the source from now on: a secret may stand there.
    pub fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }

    /// What is masked.
    pub fn masked(&self) -> &[Span] {
        &self.masked
    }

    /// Notes an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), None);
    }

    /// Notes an error and its way out.
    pub fn error_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), Some(hint.into()));
    }

    /// Notes an error that two places of the file make together.
    pub fn error_with(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
        also: (Span, &str),
    ) {
        self.push(Severity::Error, span, message.into(), Some(hint.into()));
        if let Some(problem) = self.list.last_mut() {
            problem.also = Some((also.0, also.1.to_owned()));
        }
    }

    /// Notes a warning and its way out.
    pub fn warn(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    fn push(&mut self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        let elsewhere = self.elsewhere.clone();
        self.list.push(Problem { severity, span, message, hint, also: None, elsewhere });
    }

    /// All of them, in the order of the file; those of other files last.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut list: Vec<&Problem> = self.list.iter().collect();
        list.sort_by_key(|problem| (problem.elsewhere.is_some(), problem.span));
        list
    }

    /// True when the file does not load.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many of them keep the file from loading.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// The first error in the order of the file: the one to tell where there is room for one.
    pub fn first_error(&self) -> Option<&Problem> {
        self.sorted().into_iter().find(|problem| problem.severity == Severity::Error)
    }

    /// True when there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Showing.
impl Problems {
    /// All problems with their source lines, carets and ways out; empty where there are none. Stable:
    /// the same problems give the same text.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let lines = Lines::of(&self.source);
        let file = printable(&self.file);
        let mut text = String::new();
        let mut shown = self.sorted();
        if shown.len() > MAX_SHOWN {
            // Warnings hide no error.
            shown.sort_by_key(|problem| problem.severity);
        }
        for problem in shown.into_iter().take(MAX_SHOWN) {
            let told = match &problem.elsewhere {
                None => self.render_one(problem, &file, (&self.source, &lines), &renderer),
                Some(other) => {
                    let lines = Lines::of(&other.source);
                    self.render_one(problem, &printable(&other.file), (&other.source, &lines), &renderer)
                }
            };
            text.push_str(&told);
            text.push_str("\n\n");
        }
        if self.list.len() > MAX_SHOWN {
            let _ = writeln!(text, "… and {} more in {file}", self.list.len() - MAX_SHOWN);
        }
        text
    }

    fn render_one(
        &self,
        problem: &Problem,
        file: &str,
        (source, lines): (&str, &Lines),
        renderer: &Renderer,
    ) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let main = lines.number(problem.span.start);
        let mut first = main;
        let mut last = main;
        let mut note = None;
        let mut also = None;
        if let Some((span, label)) = &problem.also {
            let line = lines.number(span.start);
            if line.abs_diff(main) <= NEAR_LINES {
                (first, last) = (main.min(line), main.max(line));
                also = Some((*span, label.as_str()));
            } else {
                note = Some(format!("{}: line {}", printable(label), line + 1));
            }
        }
        let masked: &[Span] = if problem.elsewhere.is_some() { &[] } else { &self.masked };
        let excerpt = Excerpt::of(source, lines, (first, last), masked);
        let mut snippet = Snippet::source(excerpt.text.as_str())
            .path(file)
            .line_start(first + 1)
            .annotation(AnnotationKind::Primary.span(excerpt.place(problem.span, lines)));
        if let Some((span, label)) = also {
            let label = printable(label);
            snippet =
                snippet.annotation(AnnotationKind::Context.span(excerpt.place(span, lines)).label(label));
        }
        let mut group: Group<'_> = level.primary_title(printable(&problem.message)).element(snippet);
        if let Some(note) = note {
            group = group.element(Level::NOTE.message(note));
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(printable(hint)));
        }
        renderer.render(&[group])
    }

    /// All problems as objects: `file`, `line`, `column`, `end_line`, `end_column` (from 1, in
    /// characters), `severity`, `message`, `hint`.
    pub fn to_json(&self) -> Vec<Value> {
        let lines = Lines::of(&self.source);
        let file = printable(&self.file);
        self.sorted()
            .into_iter()
            .map(|problem| {
                let other = problem.elsewhere.as_ref().map(|other| (other, Lines::of(&other.source)));
                let (file, source, lines) = match &other {
                    None => (file.clone(), &self.source, &lines),
                    Some((other, lines)) => (printable(&other.file), &other.source, lines),
                };
                let (line, column) = lines.position(source, problem.span.start);
                let (end_line, end_column) = lines.position(source, problem.span.end);
                json!({
                    "file": file,
                    "line": line,
                    "column": column,
                    "end_line": end_line,
                    "end_column": end_column,
                    "severity": match problem.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    },
                    "message": printable(&problem.message),
                    "hint": problem.hint.as_deref().map(printable),
                })
            })
            .collect()
    }

    /// Line and column of a byte of the source, from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        Lines::of(&self.source).position(&self.source, offset)
    }
}

/// Where the lines of a source begin.
struct Lines {
    starts: Vec<usize>,
    len: usize,
}

impl Lines {
    fn of(source: &str) -> Self {
        let after_breaks =
            source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect(), len: source.len() }
    }

    /// Index of the line that holds the byte `offset`.
    fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// First byte of a line.
    fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or(self.len)
    }

    /// One past the last byte of a line, its break left out.
    fn end(&self, source: &str, line: usize) -> usize {
        let end = self.start(line + 1);
        let text = source.get(self.start(line)..end).unwrap_or("");
        self.start(line) + text.trim_end_matches(['\n', '\r']).len()
    }

    fn position(&self, source: &str, offset: usize) -> (usize, usize) {
        let line = self.number(offset);
        let before = source.get(self.start(line)..offset).unwrap_or("");
        (line + 1, before.chars().count() + 1)
    }
}

/// Some lines of a source as they are shown, and where their bytes went.
struct Excerpt {
    text: String,
    /// For each character kept: its byte in the source and in `text`.
    moved: Vec<(usize, usize)>,
    end: usize,
}

impl Excerpt {
    fn of(source: &str, lines: &Lines, (first, last): (usize, usize), masked: &[Span]) -> Self {
        let hides = |at: usize| masked.iter().any(|span| (span.start..span.end).contains(&at));
        let mut excerpt = Self { text: String::new(), moved: Vec::new(), end: 0 };
        for line in first..=last {
            let (start, end) = (lines.start(line), lines.end(source, line));
            for (at, c) in source.get(start..end).unwrap_or("").char_indices() {
                excerpt.moved.push((start + at, excerpt.text.len()));
                if !hides(start + at) {
                    push_printable(&mut excerpt.text, c, true);
                } else if at == 0 || !hides(start + at - 1) {
                    excerpt.text.push_str(MASK);
                }
            }
            excerpt.moved.push((end, excerpt.text.len()));
            excerpt.end = end;
            excerpt.text.push('\n');
        }
        excerpt
    }

    /// Where `span` is shown: on its first line only, so that a fault about a whole map is one line.
    fn place(&self, span: Span, lines: &Lines) -> std::ops::Range<usize> {
        let line_end = lines.start(lines.number(span.start) + 1);
        let end = span.end.min(line_end.saturating_sub(1).max(span.start));
        let start = self.moved_to(span.start);
        start..self.moved_to(end).max(start)
    }

    fn moved_to(&self, offset: usize) -> usize {
        let index = self.moved.partition_point(|(from, _)| *from < offset.min(self.end));
        self.moved.get(index).map_or(self.text.len(), |(_, to)| *to)
    }
}

/// `text` on one line, without anything that a terminal or a reader could be deceived by.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == MAX_MESSAGE {
            shown.push('…');
            break;
        }
        push_printable(&mut shown, c, false);
    }
    shown
}

/// The same of a text of any length.
pub fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push_printable(&mut shown, c, false));
    shown
}

/// The name of a file or folder, which may be anything, as [`safe`] text.
pub fn safe_path(path: &Path) -> String {
    safe(&path.display().to_string())
}

fn push_printable(text: &mut String, c: char, keep_tab: bool) {
    match c {
        '\t' if keep_tab => text.push(c),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        c if deceives(c) => {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
        }
        c => text.push(c),
    }
}

/// Control characters, marks of direction, breaks, what has no width or no look, and what is no
/// character.
pub fn deceives(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || code & 0xfffe == 0xfffe
        || matches!(code,
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e
            | 0x2060..=0x206f | 0x3164 | 0xfdd0..=0xfdef | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
            | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, start: usize, end: usize) -> String {
        let mut problems = Problems::new("rules/a.yaml", source);
        problems.error_hint(Span { start, end }, "unknown key `b`", "did you mean `c`?");
        problems.render(false)
    }

    #[test]
    fn a_fault_shows_its_line_and_a_caret_run() {
        insta::assert_snapshot!(shown("a: 1\nbee: 2\nc: 3\n", 5, 8), @r"
        error: unknown key `b`
         --> rules/a.yaml:2:1
          |
        2 | bee: 2
          | ^^^
          |
          = help: did you mean `c`?
        ");
    }

    #[test]
    fn carets_stand_under_wide_and_accented_text() {
        insta::assert_snapshot!(shown("é: 登录 bee\n", 11, 14), @r"
        error: unknown key `b`
         --> rules/a.yaml:1:7
          |
        1 | é: 登录 bee
          |         ^^^
          |
          = help: did you mean `c`?
        ");
    }

    #[test]
    fn control_and_direction_characters_are_spelt_out() {
        let source = "a: \u{1b}[31m\u{202e}bee\u{7}\u{9b}\n";
        let text = shown(source, 11, 14);
        assert!(!text.chars().any(|c| c != '\n' && deceives(c)), "{text:?}");
        insta::assert_snapshot!(text, @r"
        error: unknown key `b`
         --> rules/a.yaml:1:22
          |
        1 | a: \u{1b}[31m\u{202e}bee\u{7}\u{9b}
          |                      ^^^
          |
          = help: did you mean `c`?
        ");
        assert_eq!(printable("a\nb\u{2028}\u{200b}"), "a\\nb\\u{2028}\\u{200b}");
    }

    #[test]
    fn a_fault_over_several_lines_is_shown_on_its_first() {
        insta::assert_snapshot!(shown("a: 1\nbee: {x: 1,\n  y: 2}\n", 10, 25), @r"
        error: unknown key `b`
         --> rules/a.yaml:2:6
          |
        2 | bee: {x: 1,
          |      ^^^^^^
          |
          = help: did you mean `c`?
        ");
    }

    #[test]
    fn a_fault_past_the_end_and_in_an_empty_file_is_shown() {
        insta::assert_snapshot!(shown("", 0, 0), @r"
        error: unknown key `b`
         --> rules/a.yaml:1:1
          |
        1 |
          | ^
          |
          = help: did you mean `c`?
        ");
        insta::assert_snapshot!(shown("a: 1\n", 5, 5), @r"
        error: unknown key `b`
         --> rules/a.yaml:2:1
          |
        2 |
          | ^
          |
          = help: did you mean `c`?
        ");
    }

    #[test]
    fn what_is_masked_is_not_shown_nor_how_long_it_is() {
        let mut problems = Problems::new("a.yaml", "a: hünter2, bee: 1\n");
        problems.mask(Span { start: 3, end: 11 });
        problems.error(Span { start: 3, end: 11 }, "a secret");
        problems.error(Span { start: 13, end: 16 }, "unknown key `bee`");
        insta::assert_snapshot!(problems.render(false), @r"
        error: a secret
         --> a.yaml:1:4
          |
        1 | a: ***, bee: 1
          |    ^^^

        error: unknown key `bee`
         --> a.yaml:1:9
          |
        1 | a: ***, bee: 1
          |         ^^^
        ");
    }

    #[test]
    fn json_counts_characters_from_one() {
        let mut problems = Problems::new("a.yaml", "x: 1\né: bee\n");
        problems.error(Span { start: 9, end: 12 }, "no");
        assert_eq!(
            problems.to_json(),
            [json!({
                "file": "a.yaml", "line": 2, "column": 4, "end_line": 2, "end_column": 7,
                "severity": "error", "message": "no", "hint": null,
            })]
        );
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_says_so() {
        let mut problems = Problems::new("a.yaml", "x");
        for _ in 0..MAX_SHOWN + 7 {
            problems.error(Span::default(), "no");
        }
        assert!(problems.render(false).ends_with("… and 7 more in a.yaml\n"));
    }

    #[test]
    fn warnings_hide_no_error() {
        let mut problems = Problems::new("a.yaml", "x: 1");
        assert_eq!(problems.first_error(), None);
        for _ in 0..MAX_SHOWN {
            problems.warn(Span::default(), "doubtful", "look");
        }
        assert_eq!(problems.first_error(), None);
        problems.error(Span { start: 3, end: 4 }, "wrong");
        assert_eq!(problems.first_error().map(|problem| problem.message.as_str()), Some("wrong"));
        let shown = problems.render(false);
        assert!(shown.starts_with("error: wrong") && shown.ends_with("… and 1 more in a.yaml\n"), "{shown}");
    }
}
