//! Rules that are programs: Rhai scripts, compiled once, metered and pure.
//!
//! A script gets `record`, `history` (oldest first, the record last), `lists` and a few helpers. It
//! returns `true`, `false`, nothing, or what `alert(#{..})` gave it. It reads no clock and no file,
//! draws nothing at random, writes nothing, and cannot change what it is given. The same records
//! give the same answer. What it reads is learnt from its text, so that only those fields are kept.

mod check;
mod helpers;
pub mod limits;
mod listed;
mod view;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, LexError, Map, ParseErrorType, Position, Scope};

use super::lists::Lists;
use super::problem::{Problems, Span};
use super::spec::ScriptText;
use super::suggest::nearest;
use crate::record::{Datum, FieldName, Timestamp};
use limits::{MAX_ARRAY, MAX_CALL_DEPTH, MAX_MAP, MAX_OPERATIONS, MAX_STRING, MAX_VARIABLES, SCOPE};
pub use view::ScriptRecord;
use view::{Layout, View};

/// Characters of a fault's message; a script may throw text from a record.
const MAX_MESSAGE: usize = 512;

/// A script, ready to run.
pub struct Script {
    engine: Engine,
    ast: AST,
    layout: Arc<Layout>,
    alert_names: BTreeSet<String>,
    /// Lists that it reads, each where it first does.
    lists: Vec<(String, Span)>,
    text: ScriptText,
}

/// Whether a file of this name holds a script.
pub fn is_script_name(name: &str) -> bool {
    name.strip_suffix(".rhai").is_some_and(|stem| !stem.is_empty())
}

/// What a script says of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// No hit.
    No,
    /// A hit.
    Yes,
    /// A hit, and values for the alert's text.
    Alert(BTreeMap<String, Datum>),
}

/// A run that gave no answer. It is no hit; the rule stays on, else a hostile name could end it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("script failed{}: {message}", self.place())]
pub struct ScriptFault {
    /// What went wrong.
    pub message: String,
    /// Where in the YAML file.
    pub span: Span,
    /// On which line of it, from 1, where that is known.
    pub line: Option<usize>,
    /// The file that the script stands in, where that is not the rule's.
    pub file: Option<Arc<str>>,
}

impl ScriptFault {
    fn place(&self) -> String {
        let line = self.line.map_or(String::new(), |line| format!(" at line {line}"));
        let name = |file: &Arc<str>| file.rsplit('/').next().map(|name| format!(" of {name}"));
        format!("{line}{}", self.file.as_ref().and_then(name).unwrap_or_default())
    }
}

/// What `alert` returns: a value of its own, so that nothing else can be taken for it.
#[derive(Debug, Clone)]
struct Raised(BTreeMap<String, Datum>);

thread_local! {
    /// True once the run on this thread called `alert`.
    static ALERTED: Cell<bool> = const { Cell::new(false) };
}

/// Remembers that the script called `alert`.
fn note_alert() {
    ALERTED.set(true);
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("fields", &self.layout.fields).finish_non_exhaustive()
    }
}

impl Script {
    /// Compiles `text`, noting every fault that can be known before it runs.
    pub fn compile(text: &ScriptText, problems: &mut Problems) -> Option<Self> {
        let mut engine = limits::engine();
        let ast = match catch_unwind(AssertUnwindSafe(|| engine.compile_with_scope(&names(), &text.text))) {
            Ok(Ok(ast)) => ast,
            Ok(Err(error)) => {
                let at = span(text, error.position());
                let word = problems.source.get(at.start..at.end).unwrap_or_default().to_owned();
                let (message, hint) = told_parse(error.err_type(), &word);
                note(problems, at, message, hint);
                return None;
            }
            Err(_) => {
                problems.error(span(text, Position::NONE), "script cannot be compiled");
                return None;
            }
        };
        listed::register(&mut engine);
        helpers::register(&mut engine, &Arc::default());
        let findings = check::check(&ast, &limits::known(&engine));
        for fault in &findings.faults {
            note(problems, span(text, fault.at), fault.message.clone(), fault.hint.clone());
        }
        if !findings.faults.is_empty() {
            return None;
        }
        // Again, with the patterns that the script spells out.
        helpers::register(&mut engine, &Arc::new(findings.patterns));
        view::register(&mut engine, &findings.layout);
        let (layout, alert_names) = (Arc::new(findings.layout), findings.alert_names);
        let lists = findings.lists.into_iter().map(|(name, at)| (name, span(text, at))).collect();
        Some(Self { engine, ast, layout, alert_names, lists, text: text.clone() })
    }

    /// The fields that the script reads: what its records hold, in this order.
    pub fn fields(&self) -> &[FieldName] {
        &self.layout.fields
    }

    /// Names of the values that the script gives to `alert`, as far as they are spelt out.
    pub fn alert_names(&self) -> &BTreeSet<String> {
        &self.alert_names
    }

    /// Lists that the script reads by name, each where it first does.
    pub fn lists(&self) -> &[(String, Span)] {
        &self.lists
    }

    /// Runs over `history`, oldest first and the record that is judged last; lists hold nothing.
    pub fn run(&self, history: &[ScriptRecord]) -> Result<Answer, ScriptFault> {
        self.run_among(history, &Lists::default(), Timestamp::MIN)
    }

    /// The same with `lists` as they are at the time of the record.
    pub fn run_among(
        &self,
        history: &[ScriptRecord],
        lists: &Lists,
        at: Timestamp,
    ) -> Result<Answer, ScriptFault> {
        let lists = listed::map(lists, self.lists.iter().map(|(name, _)| name.as_str()), at);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.evaluate(history, lists)));
        let fault = |message: &str| ScriptFault {
            message: message.to_owned(),
            span: span(&self.text, Position::NONE),
            line: None,
            file: self.text.file.clone(),
        };
        match outcome {
            Ok(Ok(value)) => answer(value).map_err(|message| fault(&message)),
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(_) => Err(fault("the interpreter gave up")),
        }
    }

    fn evaluate(&self, history: &[ScriptRecord], lists: Map) -> Result<Dynamic, Box<EvalAltResult>> {
        limits::start_counting();
        ALERTED.set(false);
        let views = || history.iter().map(|record| Dynamic::from(View::new(&self.layout, record)));
        let mut scope = Scope::new();
        scope.push_constant_dynamic("record", views().next_back().unwrap_or_default());
        scope.push_constant_dynamic("history", views().collect::<Array>().into());
        scope.push_constant_dynamic("lists", lists.into());
        self.engine.eval_ast_with_scope(&mut scope, &self.ast)
    }

    fn fault(&self, error: &EvalAltResult) -> ScriptFault {
        let inner = error.unwrap_inner();
        let at = if inner.position().is_none() { error.position() } else { inner.position() };
        let mut message = told_run(inner);
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        let line = at.line().map(|line| self.text.first_line + line - 1);
        ScriptFault { message, span: span(&self.text, at), line, file: self.text.file.clone() }
    }
}

/// The scope's names, for the compiler.
fn names() -> Scope<'static> {
    let mut scope = Scope::new();
    for name in SCOPE {
        scope.push_constant_dynamic(name, Dynamic::UNIT);
    }
    scope
}

fn answer(value: Dynamic) -> Result<Answer, String> {
    let value = value.flatten();
    if value.is_unit() && ALERTED.get() {
        return Err(
            "`alert` was called and its value dropped: make it the script's last value, or `return` it"
                .into(),
        );
    }
    if value.is_unit() {
        return Ok(Answer::No);
    }
    if let Ok(hit) = value.as_bool() {
        return Ok(if hit { Answer::Yes } else { Answer::No });
    }
    let kind = kind(value.type_name());
    match value.try_cast::<Raised>() {
        Some(Raised(values)) => Ok(Answer::Alert(values)),
        None => Err(format!("the script returned {kind}: return true, false or `alert(#{{..}})`")),
    }
}

fn note(problems: &mut Problems, span: Span, message: String, hint: Option<String>) {
    match hint {
        Some(hint) => problems.error_hint(span, message, hint),
        None => problems.error(span, message),
    }
}

/// The word or character at `at`, in the YAML file; the first line where Rhai names no place, the
/// end of the last one where it names a place behind it.
fn span(text: &ScriptText, at: Position) -> Span {
    let mut line = at.line().unwrap_or(1).saturating_sub(1);
    let mut column = at.position().unwrap_or(1).saturating_sub(1);
    let last = text.text.trim_end().lines().count().saturating_sub(1);
    if line > last {
        (line, column) = (last, usize::MAX);
    }
    let content = text.text.lines().nth(line).unwrap_or_default();
    let start_of_line = text.lines.get(line).or(text.lines.last()).copied().unwrap_or_default();
    let from = content.char_indices().nth(column).map_or(content.len(), |(offset, _)| offset);
    let rest = &content[from..];
    let word = match rest.strip_prefix('"') {
        Some(literal) => literal.find('"').map_or(1, |end| end + 2),
        None => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
    };
    let length =
        if at.is_none() { content.len() } else { word.max(rest.chars().next().map_or(0, char::len_utf8)) };
    Span { start: start_of_line + from, end: start_of_line + from + length }
}

/// Words of other languages, and what is written instead.
const FOREIGN: [(&str, &str); 16] = [
    ("and", "in a script `and` is written `&&`"),
    ("or", "in a script `or` is written `||`"),
    ("not", "in a script `not` is written `!`: `!(a == b)`"),
    ("then", "take `then` out and put braces around what follows: `if a > b { true }`"),
    ("elif", "in a script it is written `else if`"),
    ("def", "a function begins with `fn`: `fn slow(r) { r.e2e_rtt > 500 }`"),
    ("function", "a function begins with `fn`: `fn slow(r) { r.e2e_rtt > 500 }`"),
    ("None", "an absent value is written `()`: `record.app_name == ()`"),
    ("null", "an absent value is written `()`: `record.app_name == ()`"),
    ("nil", "an absent value is written `()`: `record.app_name == ()`"),
    ("True", "it is written `true`"),
    ("False", "it is written `false`"),
    ("?", "choose with `if a > b { x } else { y }`"),
    ("++", "write `n += 1`"),
    ("--", "write `n -= 1`"),
    ("===", "in a script it is written `==`"),
];

/// The way out for a word that other languages have.
fn foreign(word: &str) -> Option<String> {
    FOREIGN.iter().find(|(name, _)| *name == word).map(|(_, hint)| (*hint).to_owned())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "Rhai has many faults; the rest keep its words")]
/// A fault of syntax in the words of this project, and the way out. `word` stands at its place.
fn told_parse(error: &ParseErrorType, word: &str) -> (String, Option<String>) {
    let known = || format!("known: {}", SCOPE.map(|name| format!("`{name}`")).join(", "));
    match error {
        ParseErrorType::VariableUndefined(name) => {
            let near = || nearest(name, SCOPE).map(|near| format!("did you mean `{near}`?"));
            let hint = foreign(name).or_else(near).unwrap_or_else(known);
            (format!("no variable `{name}`"), Some(hint))
        }
        ParseErrorType::MissingToken(token, _) => {
            let hint = foreign(word).unwrap_or_else(|| match token.as_str() {
                ";" => "put `;` between this and the statement before it".to_owned(),
                "{" => "put braces around the block: `if a > b { true }`".to_owned(),
                token => format!("add `{token}` here, or before"),
            });
            (tidy(&error.to_string()), Some(hint))
        }
        ParseErrorType::UnknownOperator(symbol)
        | ParseErrorType::BadInput(LexError::UnexpectedInput(symbol)) => {
            (tidy(&error.to_string()), foreign(symbol))
        }
        ParseErrorType::BadInput(LexError::MalformedChar(_)) => {
            (tidy(&error.to_string()), Some("text stands in double quotes: `\"…\"`".to_owned()))
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            (tidy(&error.to_string()), Some("close the text with `\"`".to_owned()))
        }
        ParseErrorType::UnexpectedEOF => {
            ("the script ends in the middle of something".to_owned(), Some("finish its last line".to_owned()))
        }
        ParseErrorType::Reserved(word) | ParseErrorType::BadInput(LexError::ImproperSymbol(word, _))
            if limits::REFUSED.contains(&word.as_str()) =>
        {
            (
                format!("no function `{word}`"),
                Some("a script has no clock, no output and cannot run text as a script".to_owned()),
            )
        }
        ParseErrorType::Reserved(word) | ParseErrorType::BadInput(LexError::ImproperSymbol(word, _))
            if word == "try" =>
        {
            let hint = "a fault ends the run: look first at what may be absent, as in `r.e2e_rtt != ()`";
            ("no `try` in a script".to_owned(), Some(hint.to_owned()))
        }
        ParseErrorType::ExprTooDeep => {
            (format!("expressions are nested deeper than {}", limits::MAX_EXPR_DEPTH), None)
        }
        ParseErrorType::TooManyFunctions => {
            (format!("more than {} functions and closures", limits::MAX_FUNCTIONS), None)
        }
        other => (tidy(&other.to_string()), foreign(word)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "Rhai has many faults; the rest keep its words")]
/// A fault of a run in the words of this project.
fn told_run(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorTooManyOperations(_) => format!("more than {MAX_OPERATIONS} operations"),
        EvalAltResult::ErrorTerminated(reason, _) => match reason.as_immutable_string_ref() {
            Ok(message) => message.to_string(),
            Err(_) => format!("more than {MAX_OPERATIONS} operations"),
        },
        EvalAltResult::ErrorStackOverflow(_) => format!("calls are nested deeper than {MAX_CALL_DEPTH}"),
        EvalAltResult::ErrorTooManyVariables(_) => format!("more than {MAX_VARIABLES} variables"),
        EvalAltResult::ErrorDataRace(..) => {
            "a closure reads a variable while it runs over it: give it a copy (`let copy = all;`)".to_owned()
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            let (what, limit) = match what.as_str() {
                "Length of string" => ("text", format!("{MAX_STRING} bytes")),
                "Size of object map" => ("a map", format!("{MAX_MAP} entries")),
                _ => ("an array", format!("{MAX_ARRAY} elements")),
            };
            format!("{what} is larger than {limit}, the parts of arrays and maps taken together")
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let (name, types) = signature.split_once('(').unwrap_or((signature, ""));
            let types = types.trim_end_matches(')').trim();
            let types: Vec<&str> = types.split(", ").filter(|name| !name.is_empty()).map(kind).collect();
            format!("`{}` does not work on {}", name.trim(), types.join(" and "))
        }
        EvalAltResult::ErrorRuntime(value, _) => match value.as_immutable_string_ref() {
            Ok(message) => message.to_string(),
            Err(_) => "the script threw a value".to_owned(),
        },
        other => tidy(&other.to_string()).replace("type `()`", "an absent value"),
    }
}

/// Rhai's name of a type, in words.
fn kind(name: &str) -> &str {
    match name.trim() {
        "()" | "(" => "an absent value",
        "i64" | "f64" => "a number",
        "string" | "&str | ImmutableString | String" => "a text",
        "char" => "a character",
        "bool" => "a boolean",
        "array" => "an array",
        "map" => "a map",
        "Fn" => "a function",
        other if other.ends_with("View") => "a record",
        other if other.ends_with("Listed") => "a list",
        other => other,
    }
}

/// Rhai's message in our style: lower case, backticks, no position (the span has it).
fn tidy(message: &str) -> String {
    let message = message.rfind(" (line ").map_or(message, |end| &message[..end]).replace('\'', "`");
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
