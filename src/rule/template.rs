//! Texts of alerts: minijinja templates, compiled once, strict when they load and forgiving when
//! they render, since an alert must go out.
//!
//! Every value is data: it is put in once and never read as a template, its line breaks and control
//! characters are made harmless, and it is cut so that one hostile value cannot push out the words
//! around it. What a sink must escape beyond that, the sink escapes. Templates include nothing,
//! define nothing and loop over what they are given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::{Rest, Serde, Value, ValueKind};
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, filters};

use super::problem::{Problems, Span};
use super::spec::{HavingTest, Template, Verb};
use super::suggest::nearest;
use crate::record::FieldName;
use crate::record::field::VOCABULARY;

/// Characters of a title: a line in a chat or a mail's subject.
pub const MAX_TITLE: usize = 512;
/// Bytes of a runbook.
pub const MAX_RUNBOOK: usize = 4096;
/// Characters of one value in a text, so that room is left for the words around it.
pub const MAX_VALUE: usize = 256;
/// Instructions of one rendering. A text of a few lines needs tens; a loop over all the values that a
/// group may keep some ten thousand.
const FUEL: u64 = 100_000;
/// Templates within templates' own recursion; ours have none.
const RECURSION: usize = 16;
/// What an absent value looks like.
const ABSENT: &str = "-";
/// The template's name in its own environment.
const NAME: &str = "text";

/// Statements that a text may use. All others define, include or escape.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Which text of an alert it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One line, at most [`MAX_TITLE`] characters.
    Title,
    /// Lines, at most [`MAX_RUNBOOK`] bytes.
    Runbook,
}

/// The names that a text may use besides the vocabulary's fields and `raw.<name>`.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    names: BTreeSet<String>,
}

/// A text, ready to render.
#[derive(Debug)]
pub struct Text {
    form: Form,
    environment: Environment<'static>,
    /// Every name as the template spells it, and the flat name of its value.
    reads: Vec<(String, String)>,
    fields: Vec<FieldName>,
}

/// A text that could not be rendered; the alert goes out under the rule's own title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("text cannot be rendered: {message}")]
pub struct RenderFault {
    /// What went wrong.
    pub message: String,
}

impl Scope {
    /// What every alert has: its rule, level and group, and how many hits it stands for.
    pub fn common() -> Self {
        Self::default().with(["rule", "level", "group", "count"])
    }

    /// What the alerts of a rule with this verb have. A script's own names are added by [`Self::with`].
    pub fn of(verb: Option<&Verb>) -> Self {
        let scope = Self::common();
        match verb {
            None | Some(Verb::Script(_)) => scope,
            Some(Verb::Count(count)) => {
                let names = count.having.iter().map(|having| match &having.test {
                    HavingTest::Distinct { .. } | HavingTest::Share { .. } => having.name.as_str(),
                });
                scope.with(["threshold"]).with(names)
            }
            Some(Verb::Distinct(_)) => scope.with(["threshold", "values"]),
            Some(Verb::FirstSeen(_)) => scope.with(["value"]),
            Some(Verb::Measure(_)) => scope.with(["threshold", "value", "samples"]),
        }
    }

    /// The same scope with more names; a name may be dotted.
    #[must_use]
    pub fn with<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.names.extend(names.into_iter().map(str::to_owned));
        self
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).chain(VOCABULARY.iter().map(|info| info.name))
    }
}

impl Text {
    /// Compiles `template`, noting every name, filter and statement that there is not.
    pub fn compile(template: &Template, form: Form, names: &Scope, problems: &mut Problems) -> Option<Self> {
        let mut environment = ENVIRONMENT.clone();
        if let Err(error) = environment.add_template_owned(NAME, template.text.clone()) {
            let message = error.detail().unwrap_or("syntax error").replace('\'', "`");
            problems.error(locate(template, error.range(), problems), message);
            return None;
        }
        let words = words(&template.text);
        let mut text = Self { form, environment, reads: Vec::new(), fields: Vec::new() };
        let mut sound = true;
        let spelt = text.environment.get_template(NAME).ok()?.undeclared_variables(true);
        for name in spelt.into_iter().collect::<BTreeSet<_>>() {
            if !text.resolve(&name, names) {
                sound = false;
                let at = words.iter().find(|word| word.text == name).map(|word| word.range.clone());
                let span = locate(template, at, problems);
                let message = format!("no value `{name}` in an alert of this rule");
                match nearest(&name, names.all()) {
                    Some(near) => problems.error_hint(span, message, format!("did you mean `{near}`?")),
                    None => problems.error(span, message),
                }
            }
        }
        for word in &words {
            let (what, known): (_, &[&str]) = match word.role {
                Role::Filter => ("filter", FILTERS),
                Role::Test => ("test", TESTS),
                Role::Statement => ("statement", &STATEMENTS),
                Role::Name => continue,
            };
            if !known.contains(&word.text.as_str()) {
                sound = false;
                let hint = nearest(&word.text, known.iter().copied()).map_or_else(
                    || format!("known: {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let span = locate(template, Some(word.range.clone()), problems);
                problems.error_hint(span, format!("no {what} `{}` in an alert's text", word.text), hint);
            }
        }
        sound.then_some(text)
    }

    /// The fields that the text reads.
    pub fn names(&self) -> &[FieldName] {
        &self.fields
    }

    /// Puts `values`, by flat dotted names, into the text. What is not among them shows as `-`.
    pub fn render(&self, values: &BTreeMap<String, serde_json::Value>) -> Result<String, RenderFault> {
        let mut context = serde_json::Map::new();
        for (spelt, flat) in &self.reads {
            if let Some(value) = values.get(flat).filter(|value| !value.is_null()) {
                put(&mut context, spelt, value);
            }
        }
        let fault = |error: Error| RenderFault { message: clean(&error.to_string(), MAX_VALUE) };
        let template = self.environment.get_template(NAME).map_err(fault)?;
        let mut page = Page { bytes: Vec::new(), full: false };
        match template.render_captured_to(Value::from(Serde(&context)), &mut page) {
            Err(error) if !page.full => return Err(fault(error)),
            Ok(_) | Err(_) => {}
        }
        let text = String::from_utf8_lossy(&page.bytes);
        Ok(match self.form {
            Form::Title => clean(text.trim(), MAX_TITLE),
            Form::Runbook => {
                let lines: Vec<String> =
                    text.trim_end().lines().map(|line| clean(line, usize::MAX)).collect();
                cut_bytes(lines.join("\n"), MAX_RUNBOOK)
            }
        })
    }

    /// Notes what `name` reads; false if there is no such thing.
    fn resolve(&mut self, name: &str, scope: &Scope) -> bool {
        let begins = |known: &str| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let mut flat: Vec<String> = Vec::new();
        if scope.names.contains(name) {
            flat.push(name.to_owned());
        } else if let Some(field) = FieldName::resolve(name) {
            self.reads.push((name.to_owned(), field.as_str().to_owned()));
            self.want(field);
            return true;
        } else {
            flat.extend(scope.all().filter(|known| begins(known)).map(str::to_owned));
        }
        for name in &flat {
            self.reads.push((name.clone(), name.clone()));
            if let (false, Some(field)) = (scope.names.contains(name), FieldName::resolve(name)) {
                self.want(field);
            }
        }
        !flat.is_empty()
    }

    fn want(&mut self, field: FieldName) {
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
    }
}

/// Filters by name and function. Each leaves an absent value absent, but for `default`.
macro_rules! filters {
    ($($name:ident),* $(,)?) => {
        const FILTERS: &[&str] = &["default", "d", "round", $(stringify!($name)),*];

        fn add_filters(environment: &mut Environment<'static>) {
            environment.add_filter("default", default);
            environment.add_filter("d", default);
            environment.add_filter("round", round);
            $({
                let inner = concat!("of_a_value_", stringify!($name));
                environment.add_filter(inner, filters::$name);
                environment.add_filter(stringify!($name), move |state: &mut State, value: Value, rest: Rest<Value>| {
                    if is_absent(&value) {
                        return Ok(Value::UNDEFINED);
                    }
                    let arguments: Vec<Value> = std::iter::once(value).chain(rest.0).collect();
                    state.apply_filter(inner, &arguments)
                });
            })*
        }
    };
}

filters!(
    abs, bool, capitalize, first, float, int, join, last, length, list, lower, max, min, replace, reverse,
    sort, split, string, sum, title, trim, unique, upper,
);

/// Rounded as people do, a half away from zero; absent and text stay what they are.
fn round(value: Value, places: Option<i32>) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) if value.kind() == ValueKind::Number => {
            let scale = 10_f64.powi(places.unwrap_or(0).clamp(0, 9));
            Value::from((number * scale).round() / scale)
        }
        Ok(_) | Err(_) => value,
    }
}

/// The tests of `{% if x is .. %}`, by name and function.
macro_rules! tests {
    ($($name:literal: $test:expr),* $(,)?) => {
        const TESTS: &[&str] = &[$($name),*];

        fn add_tests(environment: &mut Environment<'static>) {
            $(environment.add_test($name, $test);)*
        }
    };
}

tests! {
    "defined": |value: &Value| !is_absent(value),
    "undefined": is_absent,
    "none": is_absent,
    "number": |value: &Value| value.kind() == ValueKind::Number,
    "integer": |value: &Value| value.is_integer(),
    "string": |value: &Value| value.kind() == ValueKind::String,
    "startingwith": |value: &Value, other: &str| value.as_str().is_some_and(|text| text.starts_with(other)),
    "endingwith": |value: &Value, other: &str| value.as_str().is_some_and(|text| text.ends_with(other)),
}

fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// The value, or `other` where it is absent.
fn default(value: Value, other: Option<Value>) -> Value {
    if is_absent(&value) { other.unwrap_or_else(|| Value::from("")) } else { value }
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    add_filters(&mut environment);
    add_tests(&mut environment);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // Names are held against the scope when a text loads; what is absent then is a value's affair.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_formatter(show);
    environment
});

/// Writes one value as people read it.
fn show(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    out.write_str(&clean(&shown(value), MAX_VALUE)).map_err(Error::from)
}

fn shown(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => ABSENT.to_owned(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), |number| number.to_string())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let parts = value.try_iter().map(|items| items.map(|item| shown(&item)).collect::<Vec<_>>());
            parts.unwrap_or_default().join(", ")
        }
        _ => value.to_string(),
    }
}

/// One line of at most `most` characters: breaks become spaces, and what would steer a terminal or
/// turn the reading direction is spelt out.
fn clean(text: &str, most: usize) -> String {
    let mut cleaned = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == most {
            while cleaned.chars().count() >= most {
                cleaned.pop();
            }
            cleaned.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => cleaned.push(' '),
            c if is_hidden(c) => write!(cleaned, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// True for characters that are not seen but act: controls, directions, joiners, tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn cut_bytes(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Takes bytes up to a bound, and remembers whether there were more.
struct Page {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        // Four bytes a character at most; either form is cut to its measure afterwards.
        if self.bytes.len() > MAX_RUNBOOK + MAX_VALUE * 4 {
            self.full = true;
            return Err(io::Error::other("text is full"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts `value` at a dotted path.
fn put(map: &mut serde_json::Map<String, serde_json::Value>, path: &str, value: &serde_json::Value) {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value.clone());
        }
        Some((head, rest)) => {
            let inner = map.entry(head).or_insert_with(|| serde_json::Map::new().into());
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// What a word of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    Filter,
    Test,
    Statement,
}

struct Word {
    text: String,
    range: Range<usize>,
    role: Role,
}

/// The words in a template's `{{ }}` and `{% %}`, strings left out. The template has been parsed
/// already; this only finds places and names that minijinja does not tell.
fn words(template: &str) -> Vec<Word> {
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
            } else if !c.is_whitespace() && !(role == Role::Statement && matches!(c, '-' | '+')) {
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
        match template[at..].as_bytes().get(1) {
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
fn locate(template: &Template, range: Option<Range<usize>>, problems: &Problems) -> Span {
    let (Some(range), Some(scalar)) = (range, problems.source.get(template.span.start..template.span.end))
    else {
        return template.span;
    };
    let shifted = |by: usize| Span { start: by + range.start, end: by + range.end };
    if let Some(at) = scalar.find(&template.text) {
        return shifted(template.span.start + at);
    }
    let start = template.text[..range.start].rfind('\n').map_or(0, |end| end + 1);
    let line = template.text[start..].lines().next().unwrap_or_default();
    match scalar.find(line) {
        Some(at) if !line.is_empty() && range.end <= start + line.len() => {
            let by = template.span.start + at;
            Span { start: by + range.start - start, end: by + range.end - start }
        }
        Some(_) | None => template.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(text: &str, form: Form, names: &Scope) -> Result<Text, Vec<String>> {
        let yaml = format!("alert:\n  title: \"{text}\"\n");
        let start = yaml.find('"').unwrap();
        let template = Template { text: text.to_owned(), span: Span { start, end: yaml.len() - 1 } };
        let mut problems = Problems::new("rule.yaml", yaml.as_str());
        let compiled = Text::compile(&template, form, names, &mut problems);
        compiled.ok_or_else(|| {
            let told = problems.sorted().into_iter().map(|problem| {
                let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
                format!("[{}] {}{hint}", &yaml[problem.span.start..problem.span.end], problem.message)
            });
            told.collect()
        })
    }

    fn scope() -> Scope {
        Scope::common().with(["value", "values", "steps.failures.count"])
    }

    fn values(value: &serde_json::Value) -> BTreeMap<String, serde_json::Value> {
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    #[track_caller]
    fn shows(text: &str, given: &serde_json::Value, expected: &str) {
        let text = compile(text, Form::Title, &scope()).unwrap_or_else(|faults| panic!("{faults:#?}"));
        assert_eq!(text.render(&values(given)).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn faults(text: &str, expected: &[&str]) {
        assert_eq!(compile(text, Form::Title, &scope()).unwrap_err(), expected);
    }

    #[test]
    fn values_are_put_in() {
        let given = json!({"user": "ana", "count": 5, "geo.country": "NO", "steps.failures.count": 7});
        shows(
            "{{ user }}: {{ count }} from {{ geo.country }} after {{ steps.failures.count }}",
            &given,
            "ana: 5 from NO after 7",
        );
        shows("{{ login_user }}", &json!({"user_name": "ana"}), "ana");
        shows("{{ raw.colour }}", &json!({"raw.colour": "red"}), "red");
    }

    #[test]
    fn numbers_show_as_spelt() {
        let given = json!({"e2e_rtt": 312.5, "value": 5.0, "values": [1.0, 2.5, "x"]});
        shows(
            "{{ e2e_rtt }} {{ value }} {{ values }} {{ e2e_rtt | round }}",
            &given,
            "312.5 5 1, 2.5, x 313",
        );
    }

    #[test]
    fn absent_values_show_as_a_dash_and_never_fail() {
        let absent = json!({"device": null});
        shows("{{ user }} {{ geo.country }} {{ raw.x }} {{ device }}", &absent, "- - - -");
        shows("{{ user | upper }} {{ e2e_rtt | round(1) }} {{ values | join(', ') }}", &absent, "- - -");
        shows("{{ user | default('nobody') }} {{ values | length | default(0) }}", &absent, "nobody 0");
        shows(
            "{% if device %}a{% else %}no{% endif %}{% for v in values %}{{ v }}{% endfor %}",
            &absent,
            "no",
        );
    }

    #[test]
    fn filters_and_conditions_work() {
        let given = json!({"user": "Ana", "count": 12, "values": ["a", "b"]});
        shows("{{ user | upper }} {{ values | join('+') }} {{ values | length }}", &given, "ANA a+b 2");
        shows("{% if count > 10 %}many{% else %}few{% endif %}", &given, "many");
        shows("{% for v in values %}{{ loop.index }}{{ v }} {% endfor %}", &given, "1a 2b");
        shows("{{ user is defined }} {{ 'x' if user is not none else 'y' }}", &given, "true x");
    }

    #[test]
    fn hostile_values_are_data() {
        for hostile in ["{{ 7*7 }}", "{% for x in y %}", "{# #}", "<script>", "*bold* <!channel>", "%}{{"] {
            shows("{{ user }}", &json!({"user": hostile}), hostile);
            shows("{{ values }}", &json!({"values": [hostile]}), hostile);
        }
    }

    #[test]
    fn a_title_is_one_plain_line() {
        shows("{{ user }}", &json!({"user": "a\r\nb\u{2028}c\td"}), "a  b c d");
        shows(
            "{{ user }}",
            &json!({"user": "\u{1b}[31m\u{0}\u{202e}x\u{200b}"}),
            "\\u{1b}[31m\\u{0}\\u{202e}x\\u{200b}",
        );
        shows("a\nb", &json!({}), "a b");
    }

    #[test]
    fn a_runbook_keeps_its_own_lines_only() {
        let text = compile("look at {{ user }}\nthen lock", Form::Runbook, &scope()).unwrap();
        assert_eq!(text.render(&values(&json!({"user": "a\nb"}))).unwrap(), "look at a b\nthen lock");
    }

    #[test]
    fn texts_and_values_are_cut() {
        let long = json!({"user": "é".repeat(5000), "values": vec!["x"; 4000]});
        let title =
            |text: &str| compile(text, Form::Title, &scope()).unwrap().render(&values(&long)).unwrap();
        assert_eq!(title("{{ user }} got in"), format!("{}… got in", "é".repeat(MAX_VALUE - 1)));
        assert_eq!(title("{{ user }}{{ user }}{{ user }}").chars().count(), MAX_TITLE);
        assert_eq!(title("{% for v in values %}{{ v }}{% endfor %}").chars().count(), MAX_TITLE);
        let runbook = compile(&"{{ user }}\n".repeat(40), Form::Runbook, &scope()).unwrap();
        let runbook = runbook.render(&values(&long)).unwrap();
        assert!(runbook.len() <= MAX_RUNBOOK && runbook.ends_with('…'), "{}", runbook.len());
    }

    #[test]
    fn a_loop_without_end_is_a_fault() {
        let text = "{% for a in values %}{% for b in values %}{% for c in values %}{% endfor %}{% endfor %}{% endfor %}";
        let text = compile(text, Form::Title, &scope()).unwrap();
        let fault = text.render(&values(&json!({"values": vec![1; 200]}))).unwrap_err();
        assert!(fault.message.starts_with("engine ran out of fuel"), "{fault}");
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        faults(
            "{{ usr }} from {{ geo.contry }}",
            &[
                "[usr] no value `usr` in an alert of this rule; did you mean `user`?",
                "[geo.contry] no value `geo.contry` in an alert of this rule; did you mean `geo.country`?",
            ],
        );
        faults(
            "{{ user.name.first }}",
            &["[user.name.first] no value `user.name.first` in an alert of this rule"],
        );
        faults("{{ range(5) }}", &["[range] no value `range` in an alert of this rule"]);
    }

    #[test]
    fn unknown_filters_tests_and_statements_are_told() {
        faults("{{ user | uper }}", &["[uper] no filter `uper` in an alert's text; did you mean `upper`?"]);
        faults("{% if user is nothing %}{% endif %}", &[""]);
        faults("{% set x = 1 %}", &[""]);
        faults("{{ user | safe }}", &[""]);
    }

    #[test]
    fn syntax_faults_are_told_in_place() {
        faults("{{ user", &["[user] unexpected end of input, expected end of variable block"]);
        faults("{{ user }} {% include 'x' %}", &[""]);
        faults("a {% if user %} b", &[""]);
    }

    #[test]
    fn a_text_tells_which_fields_it_reads() {
        let text = compile(
            "{{ user }} {{ login_user }} {{ count }} {{ geo.country }} {{ raw.x }}",
            Form::Title,
            &scope(),
        );
        let text = text.unwrap();
        let mut names: Vec<&str> = text.names().iter().map(FieldName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["geo.country", "raw.x", "user", "user_name"]);
    }
}
