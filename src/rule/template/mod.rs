//! Texts of alerts: minijinja templates, compiled once, strict when they load and forgiving when
//! they render, since an alert must go out.
//!
//! Every value is data: it is put in once and never read as a template, its line breaks are spaces,
//! and it is cut so that one hostile value cannot push out the words around it. All else of it stays as
//! it is, hidden characters too: what a sink must escape, the sink escapes, once. Templates include nothing,
//! define nothing and loop over what they are given.

mod language;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error};

use super::problem::Problems;
use super::spec::{Having, HavingTest, Template, UsualOf, Verb};
use super::suggest::nearest;
use super::verb::overlap::NAMES as OVERLAP_NAMES;
use super::verb::travel::NAMES as TRAVEL_NAMES;
use crate::record::FieldName;
use crate::record::field::VOCABULARY;
pub use language::MAX_VALUE;
use language::{ENVIRONMENT, FILTERS, STATEMENTS, TESTS, clean};
use words::{Role, locate, words};

/// Characters of a title: a line in a chat or a mail's subject.
pub const MAX_TITLE: usize = 512;
/// Bytes of a runbook.
pub const MAX_RUNBOOK: usize = 4096;
/// The template's name in its own environment.
const NAME: &str = "text";

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
    /// There may be others, which are not known.
    open: bool,
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

/// What a rate has besides: the stretch of the week.
const STRETCH: &str = "stretch";

/// What every verb that is called `verb` gives; nothing where the rule names some of it itself.
fn own(verb: &str) -> &'static [&'static str] {
    match verb {
        "count" => &["threshold"],
        "distinct" | "rate" => &["threshold", "values"],
        "absent" => &["threshold", "silent"],
        "first_seen" => &["value", "usual", "known"],
        "risk" => &["threshold", "score", "techniques", "rules"],
        "overlap" => OVERLAP_NAMES,
        "travel" => TRAVEL_NAMES,
        "measure" => &["threshold", "value", "samples"],
        "usual" => &["threshold", "value", "usual", "mad", "times", "samples", "since", STRETCH],
        _ => &[],
    }
}

impl Scope {
    /// What every alert has: its rule, level and group, and how many hits it stands for.
    pub fn common() -> Self {
        Self::default().with(["rule", "level", "group", "count", "at", "first_seen", "last_seen"])
    }

    /// The same scope with what every verb gives that is called so.
    #[must_use]
    pub fn with_verb(self, verb: &str) -> Self {
        self.with(own(verb).iter().copied())
    }

    /// What the alerts of a rule with this verb have. A script's own names are added by [`Self::with`].
    pub fn of(verb: Option<&Verb>) -> Self {
        let scope = Self::common();
        match verb {
            None | Some(Verb::Script(_)) => scope,
            Some(Verb::Count(count)) => {
                let names = count.having.iter().flat_map(|Having { name, test }| match test {
                    HavingTest::Distinct { .. } | HavingTest::Share { times_others: None, .. } => {
                        vec![name.clone()]
                    }
                    HavingTest::Share { times_others: Some(_), .. } => {
                        vec![name.clone(), format!("{name}_share"), format!("{name}_others")]
                    }
                });
                let names: Vec<String> = names.collect();
                scope.with(["threshold"]).with(names.iter().map(String::as_str))
            }
            Some(Verb::Distinct(_)) => scope.with(own("distinct").iter().copied()),
            Some(Verb::Sequence(sequence)) => {
                let named = sequence.steps.iter().filter_map(|step| step.name.as_deref());
                let names: Vec<String> = named.map(|name| format!("steps.{name}.count")).collect();
                scope.with(names.iter().map(String::as_str))
            }
            Some(Verb::Absent(_)) => scope.with(own("absent").iter().copied()),
            Some(Verb::Rate(rate)) => scope.with(["threshold"]).with(rate.distinct.iter().map(|_| "values")),
            Some(Verb::FirstSeen(_)) => scope.with(own("first_seen").iter().copied()),
            Some(Verb::Risk(_)) => scope.with(own("risk").iter().copied()),
            Some(Verb::Overlap(_)) => scope.with(own("overlap").iter().copied()),
            Some(Verb::Travel(_)) => scope.with(own("travel").iter().copied()),
            Some(Verb::Measure(_)) => scope.with(own("measure").iter().copied()),
            Some(Verb::Usual(usual)) => {
                let of_rate = matches!(usual.of, UsualOf::Rate { .. });
                let names = own("usual").iter().filter(|name| of_rate || **name != STRETCH);
                scope.with(names.copied())
            }
            Some(Verb::Correlate(_)) => scope.with(["threshold", "value", "values"]),
        }
    }

    /// The same scope with more names; a name may be dotted.
    #[must_use]
    pub fn with<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.names.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// The same scope where there may be others.
    #[must_use]
    pub fn and_others(self) -> Self {
        Self { open: true, ..self }
    }

    /// The same scope for a rule whose script has faults: what it would give to `alert` is not known.
    #[must_use]
    pub fn with_script(self, script: &str) -> Self {
        // `alert` is misspelt perhaps; what it is given is a map.
        if script.contains("alert") || script.contains("#{") { self.and_others() } else { self }
    }

    /// Whether `name` is in scope, or may be.
    pub fn knows(&self, name: &str) -> bool {
        self.open || self.names.contains(name) || FieldName::resolve(name).is_some()
    }

    /// Every name in scope.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).chain(VOCABULARY.iter().map(|info| info.name))
    }
}

/// How a text is spelt, for one that is not.
const SYNTAX: &str = "a value is written `{{ user }}`, a choice `{% if count > 10 %}many{% endif %}`, braces of your own `{{ '{{' }}`";

impl Text {
    /// Compiles `template`, noting every name, filter and statement that there is not.
    pub fn compile(template: &Template, form: Form, names: &Scope, problems: &mut Problems) -> Option<Self> {
        let mut environment = ENVIRONMENT.clone();
        if let Err(error) = environment.add_template_owned(NAME, template.text.clone()) {
            let message = error.detail().unwrap_or("syntax error").replace('\'', "`");
            problems.error_hint(locate(template, error.range(), problems), message, SYNTAX);
            return None;
        }
        let words = words(&template.text);
        let mut text = Self { form, environment, reads: Vec::new(), fields: Vec::new() };
        let mut sound = true;
        let spelt = text.environment.get_template(NAME).ok()?.undeclared_variables(true);
        for name in spelt.into_iter().collect::<BTreeSet<_>>() {
            if !text.resolve(&name, names) && !names.open {
                sound = false;
                let at = words.iter().find(|word| word.text == name).map(|word| word.range.clone());
                let span = locate(template, at, problems);
                let message = format!("no value `{name}` in an alert of this rule");
                let near = nearest(&name, names.all()).map(|near| format!("did you mean `{near}`?"));
                let all = || {
                    let names: Vec<String> = names.names.iter().map(|name| format!("`{name}`")).collect();
                    format!("there are the record's fields, and {}", names.join(", "))
                };
                problems.error_hint(span, message, near.unwrap_or_else(all));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::problem::Span;
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
    fn a_title_is_one_line_and_else_what_the_record_says() {
        shows("{{ user }}", &json!({"user": "a\r\nb\u{2028}c\td"}), "a  b c d");
        shows(
            "{{ user }}",
            &json!({"user": "\u{1b}[31m\u{0}\u{202e}x\u{200b}"}),
            "\u{1b}[31m\u{0}\u{202e}x\u{200b}",
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

    const THERE_ARE: &str = "; there are the record's fields, and `at`, `count`, `first_seen`, `group`, `last_seen`, `level`, `rule`, `steps.failures.count`, `value`, `values`";

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
            &[&format!("[user.name.first] no value `user.name.first` in an alert of this rule{THERE_ARE}")],
        );
        faults("{{ range(5) }}", &[&format!("[range] no value `range` in an alert of this rule{THERE_ARE}")]);
    }

    #[test]
    fn unknown_filters_tests_and_statements_are_told() {
        faults("{{ user | uper }}", &["[uper] no filter `uper` in an alert's text; did you mean `upper`?"]);
        faults(
            "{% if user is strng %}{% endif %}",
            &["[strng] no test `strng` in an alert's text; did you mean `string`?"],
        );
        faults(
            "{% set x = 1 %}",
            &["[set] no statement `set` in an alert's text; known: if, elif, else, endif, for, endfor"],
        );
        for text in
            ["{{ user | safe }}", "{% filter upper %}{% endfilter %}", "{%- with x = 1 %}{% endwith %}"]
        {
            assert!(compile(text, Form::Title, &scope()).is_err(), "{text}");
        }
    }

    #[test]
    fn syntax_faults_are_told_in_place() {
        faults(
            "{{ user",
            &[&format!("[user] unexpected end of input, expected end of variable block; {SYNTAX}")],
        );
        faults("{{ user }} {% include 'x' %}", &[&format!("[include] unknown statement include; {SYNTAX}")]);
        faults("{% macro m() %}{% endmacro %}", &[&format!("[macro] unknown statement macro; {SYNTAX}")]);
        faults("{{ ué }}", &[&format!("[é] unexpected character; {SYNTAX}")]);
        faults("{{ u\u{fffd}er }}: x", &[&format!("[\u{fffd}] unexpected character; {SYNTAX}")]);
        assert_eq!(compile("a {% if user %} b", Form::Title, &scope()).unwrap_err().len(), 1);
        assert_eq!(compile(&"{{ (".repeat(1000), Form::Title, &scope()).unwrap_err().len(), 1);
    }

    #[test]
    fn a_fault_in_a_block_scalar_is_told_at_its_line() {
        let yaml = "alert:\n  runbook: |\n    look at {{ user }}\n    then {{ usr }}\n";
        let span = Span { start: yaml.find('|').unwrap(), end: yaml.len() };
        let template = Template { text: "look at {{ user }}\nthen {{ usr }}\n".to_owned(), span };
        let mut problems = Problems::new("rule.yaml", yaml);
        assert!(Text::compile(&template, Form::Runbook, &scope(), &mut problems).is_none());
        let span = problems.sorted()[0].span;
        assert_eq!((&yaml[span.start..span.end], span.start), ("usr", yaml.find("usr").unwrap()));
        let template =
            Template { text: "look at {{ user }}\nthen {{ ué }}\n".to_owned(), span: template.span };
        let mut problems = Problems::new("rule.yaml", yaml.replace("usr", "ué"));
        assert!(Text::compile(&template, Form::Runbook, &scope(), &mut problems).is_none());
        let span = problems.sorted()[0].span;
        assert_eq!(&problems.source[span.start..span.end], "é");
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
