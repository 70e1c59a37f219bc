//! A native rule as Sigma documents, and what they cannot say.
//!
//! A rule without a verb is a detection; `count`, `distinct` and `sequence` are a correlation behind the
//! detections that it reads, with the cooldown in Larum's own word. Nothing is lost in silence: what Sigma
//! cannot say of which records alert is `lost`; where it says nearly the same, how it `differs` is told
//! (windows with both edges, an alert at every record but here); words for people are `left_out`.

use std::fmt::Write as _;

use super::super::problem::{Span, deceives};
use super::super::spec::{
    Bound, Cooldown, CountSpec, DistinctSpec, Expr, Grouping, Literal, Mode, Ordering, Part, Predicate,
    SequenceSpec, Spec, Test, Verb,
};
use crate::record::{FieldKind, FieldName, Millis};

/// A rule in Sigma's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// The documents.
    pub text: String,
    /// What Sigma cannot say of which records alert, and when.
    pub lost: Vec<String>,
    /// How Sigma's own meaning of what it does say differs.
    pub differs: Vec<String>,
    /// Words for people and tests, which Sigma has no place for.
    pub left_out: Vec<String>,
}

/// `spec` in Sigma's words.
pub fn convert(spec: &Spec) -> Converted {
    let mut writer = Writer { spec, converted: Converted::default() };
    match &spec.verb {
        None => {
            let body = writer.detection(&spec.matches);
            writer.document(spec.id.as_str(), &body);
        }
        Some(Verb::Count(count)) => writer.count(count),
        Some(Verb::Distinct(distinct)) => writer.distinct(distinct),
        Some(Verb::Sequence(sequence)) => writer.sequence(sequence),
        Some(verb) => {
            writer.lose(format!("the verb `{}`", word_of(verb)));
            let body = writer.detection(&spec.matches);
            writer.document(spec.id.as_str(), &body);
        }
    }
    writer.tell_rest();
    writer.converted
}

fn word_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Count(_) => "count",
        Verb::Distinct(_) => "distinct",
        Verb::FirstSeen(_) => "first_seen",
        Verb::Measure(_) => "measure",
        Verb::Risk(_) => "risk",
        Verb::Rate(_) => "rate",
        Verb::Sequence(_) => "sequence",
        Verb::Absent(_) => "absent",
        Verb::Script(_) => "script",
        Verb::Travel(_) => "travel",
        Verb::Overlap(_) => "overlap",
        Verb::Usual(_) => "usual",
        Verb::Correlate(_) => "correlation",
    }
}

struct Writer<'a> {
    spec: &'a Spec,
    converted: Converted,
}

/// Correlations.
impl Writer<'_> {
    fn count(&mut self, count: &CountSpec) {
        if count.unless.is_some() {
            self.lose("`unless`: records that clear a group");
        }
        if !count.having.is_empty() {
            self.lose("`having`: further conditions over one window");
        }
        if count.restart {
            self.lose("`restart`: a window that firing empties");
        }
        let base = self.base("records", &known(&self.spec.matches, count.group.by.iter()));
        let condition = format!("  condition:\n    gte: {}\n", count.at_least.unwrap_or(1));
        self.correlation("event_count", &[base], (&count.group, count.within), &condition);
    }

    fn distinct(&mut self, distinct: &DistinctSpec) {
        if distinct.each_at_most.is_some() {
            self.lose("`each_at_most`: values that leave the count");
        }
        let (least, field) = (distinct.at_least, &distinct.field);
        let fields = distinct.group.by.iter().chain([field]);
        let base = self.base("records", &known(&self.spec.matches, fields));
        self.differ_in_addresses(std::slice::from_ref(field));
        let condition = format!("  condition:\n    gte: {least}\n    field: {}\n", scalar(field_of(field)));
        self.correlation("value_count", &[base], (&distinct.group, distinct.within), &condition);
    }

    fn sequence(&mut self, sequence: &SequenceSpec) {
        if sequence.until.is_some() {
            self.lose("`until`: records that clear a group");
        }
        if sequence.absent.is_some() {
            self.lose("a last step that must not come");
        }
        let mut bases = Vec::new();
        for (number, step) in sequence.steps.iter().enumerate() {
            let name = step.name.clone().unwrap_or_else(|| format!("step-{}", number + 1));
            if step.at_least > 1 {
                self.lose(format!("`at_least: {}` of the step `{name}`", step.at_least));
            }
            bases.push(self.base(&name, &known(&step.matches, sequence.group.by.iter())));
        }
        self.differ("one record may stand for several of the rules, and so for several steps");
        self.differ("it fires at records of earlier steps, too, as long as the order is in the timespan");
        self.correlation("temporal_ordered", &bases, (&sequence.group, sequence.within), "");
    }

    /// Writes a detection that a correlation reads; gives its name.
    fn base(&mut self, part: &str, expr: &Expr) -> String {
        let name = format!("{}-{part}", self.spec.id);
        let body = self.detection(expr);
        self.document(&name, &body);
        self.converted.text.push_str("---\n");
        name
    }

    fn correlation(
        &mut self,
        kind: &str,
        rules: &[String],
        (group, within): (&Grouping, Millis),
        condition: &str,
    ) {
        let mut body = format!("correlation:\n  type: {kind}\n  rules:\n");
        for rule in rules {
            let _ = writeln!(body, "    - {}", scalar(rule));
        }
        if !group.by.is_empty() {
            body.push_str("  group-by:\n");
            for field in &group.by {
                let _ = writeln!(body, "    - {}", scalar(field_of(field)));
            }
        }
        self.differ_in_addresses(&group.by);
        if group.missing_own {
            self.lose("`missing: own`: groups of records that lack a field");
        }
        match timespan(within) {
            Some(span) => {
                let _ = writeln!(body, "  timespan: {span}");
                self.differ(format!("a record exactly {within} before another is in its timespan, too"));
            }
            None => self.lose(format!("`within: {within}`: a timespan has whole seconds")),
        }
        body.push_str(condition);
        let held = match self.spec.cooldown {
            Some(Cooldown::For { lasts, .. }) => lasts,
            Some(Cooldown::Off) => Millis::ZERO,
            None => within,
        };
        if held > Millis::ZERO {
            let _ = writeln!(body, "larum:\n  cooldown: {held}");
            self.differ(format!(
                "without `larum: {{cooldown: {held}}}`, a word of Larum's own, every further record alerts"
            ));
        }
        self.document(self.spec.id.clone().as_str(), &body);
    }
}

/// Documents.
impl Writer<'_> {
    fn lose(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.converted.lost.contains(&what) {
            self.converted.lost.push(what);
        }
    }

    fn differ(&mut self, how: impl Into<String>) {
        let how = how.into();
        if !self.converted.differs.contains(&how) {
            self.converted.differs.push(how);
        }
    }

    /// A group and a value are what the line has, letter for letter.
    fn differ_in_addresses(&mut self, fields: &[FieldName]) {
        for field in fields.iter().filter(|field| field.kind() == FieldKind::Address) {
            self.differ(format!("`{field}` is a text: `::ffff:192.0.2.1` is not `192.0.2.1`"));
        }
    }

    /// Tells of everything beside the condition and the verb.
    fn tell_rest(&mut self) {
        let spec = self.spec;
        let lost = [
            (spec.hours.is_some(), "`hours`"),
            (!spec.levels.is_empty(), "`levels`: a level by condition"),
            (
                spec.cooldown.is_some() && !is_correlation(spec.verb.as_ref()),
                "`cooldown`: when it fires again",
            ),
            (!spec.quiet_while.is_empty(), "`quiet_while`"),
            (spec.mode == Mode::Observe, "`mode: observe`"),
            (!spec.notify.is_empty(), "`notify`"),
        ];
        lost.into_iter().filter(|(is, _)| *is).for_each(|(_, what)| self.lose(what));
        let left_out = [
            (spec.alert.title.is_some(), "the alert's title"),
            (!spec.alert.show.is_empty(), "`show`"),
            (spec.alert.runbook.is_some(), "the runbook"),
            (!spec.tests.is_empty(), "the tests"),
        ];
        self.converted
            .left_out
            .extend(left_out.into_iter().filter(|(is, _)| *is).map(|(_, what)| what.to_owned()));
    }

    fn document(&mut self, name: &str, body: &str) {
        let spec = self.spec;
        let is_rule = name == spec.id.as_str();
        let mut head = String::new();
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(head, "{key}: {}", scalar(value));
        };
        let title = if is_rule { spec.title.clone() } else { format!("{} ({name})", spec.title) };
        line("title", &title);
        line("name", name);
        line("status", spec.about.status.as_deref().unwrap_or("test"));
        let about = spec.about.description.as_ref().or(spec.about.why.as_ref());
        if let Some(about) = about.filter(|_| is_rule) {
            line("description", about);
        }
        if is_rule {
            list(&mut head, "references", spec.about.references.iter().cloned());
            for (key, value) in [("author", &spec.about.author), ("date", &spec.about.date)] {
                if let Some(value) = value {
                    let _ = writeln!(head, "{key}: {}", scalar(value));
                }
            }
            let attack = spec.about.attack.iter().map(|id| format!("attack.{}", id.to_lowercase()));
            list(&mut head, "tags", attack.chain(spec.about.tags.iter().cloned()));
        }
        if !body.starts_with("correlation") {
            head.push_str("logsource:\n  product: huawei-cloud\n  service: workspace\n");
        }
        head.push_str(body);
        if is_rule {
            list(&mut head, "falsepositives", spec.about.falsepositives.iter().cloned());
        }
        let level = if is_rule { spec.level.as_str() } else { "informational" };
        let _ = writeln!(head, "level: {level}");
        self.converted.text.push_str(&head);
    }

    fn detection(&mut self, expr: &Expr) -> String {
        let mut selections = Selections { list: Vec::new(), lost: Vec::new() };
        let expr = starts(expr);
        // `and` binds as closely as the exceptions' own.
        let bare = self.spec.except.is_empty() || !matches!(expr, Expr::Any(_));
        let condition = selections.condition(&expr, bare);
        let excepts = self.spec.except.iter();
        let excepted: Vec<String> =
            excepts.filter_map(|except| selections.condition(&except.matches, false)).collect();
        for except in self.spec.except.iter().filter(|except| except.until.is_some()) {
            self.lose(format!("`until` of the exception “{}”", except.because));
        }
        let condition = condition.into_iter().chain(excepted.iter().map(|part| not(part)));
        let mut condition = condition.collect::<Vec<_>>().join(" and ");
        if condition.is_empty() {
            // Whatever is in a line, it has a value.
            selections.list.push(("anything".to_owned(), "    - '*'\n".to_owned()));
            condition.push_str("anything");
        }
        selections.lost.drain(..).for_each(|what| self.lose(what));
        let mut body = String::from("detection:\n");
        for (name, items) in &selections.list {
            let _ = writeln!(body, "  {name}:");
            body.push_str(items);
        }
        let _ = writeln!(body, "  condition: {condition}");
        body
    }
}

/// Whether a verb is said by a correlation, which may have a cooldown.
fn is_correlation(verb: Option<&Verb>) -> bool {
    matches!(verb, Some(Verb::Count(_) | Verb::Distinct(_) | Verb::Sequence(_)))
}

/// `expr` of records whose addresses are known: a record without its group or value is skipped, and what
/// stands for an unknown address is none.
fn known<'a>(expr: &Expr, fields: impl Iterator<Item = &'a FieldName>) -> Expr {
    let span = Span { start: 0, end: 0 };
    let there = |field: &FieldName| {
        let spelt = format!("{field}|exists");
        Expr::Is(Predicate { field: field.clone(), test: Test::Exists(true), cased: false, spelt, span })
    };
    let addresses = fields.filter(|field| field.kind() == FieldKind::Address).map(there);
    let mut parts = match expr {
        Expr::All(parts) => parts.clone(),
        Expr::Is(_) | Expr::Any(_) | Expr::Not(_) => vec![expr.clone()],
    };
    let same = |one: &Expr, other: &Expr| match (one, other) {
        (Expr::Is(one), Expr::Is(other)) => one.field == other.field && one.test == other.test,
        (Expr::Is(_) | Expr::All(_) | Expr::Any(_) | Expr::Not(_), _) => false,
    };
    for part in addresses {
        if !parts.iter().any(|other| same(other, &part)) {
            parts.push(part);
        }
    }
    Expr::All(parts)
}

/// The contrary of a part of a condition.
fn not(part: &str) -> String {
    part.strip_prefix("not ").map_or_else(|| format!("not {part}"), str::to_owned)
}

/// `expr` without `phase: start`: a row is one record to a document.
fn starts(expr: &Expr) -> Expr {
    let Expr::All(parts) = expr else { return expr.clone() };
    let is_start = |part: &&Expr| match part {
        Expr::Is(predicate) => {
            predicate.field.is("phase")
                && predicate.test == Test::Equals(vec![Literal::Text("start".to_owned())])
        }
        Expr::All(_) | Expr::Any(_) | Expr::Not(_) => false,
    };
    Expr::All(parts.iter().filter(|part| !is_start(part)).cloned().collect())
}

/// Selections as they are found to be needed.
struct Selections {
    list: Vec<(String, String)>,
    lost: Vec<String>,
}

impl Selections {
    /// The condition that says `expr`, as far as it can be said; `bare` where nothing binds closer than it.
    fn condition(&mut self, expr: &Expr, bare: bool) -> Option<String> {
        let (words, join) = match expr {
            Expr::Not(part) => return Some(not(&self.condition(part, false)?)),
            Expr::Is(look) => {
                let words = self.selections(&[look]);
                return words.into_iter().next();
            }
            Expr::All(parts) => {
                let look = |part: &'_ &Expr| matches!(part, Expr::Is(look) if !is_negated(look));
                let (alone, others): (Vec<&Expr>, Vec<&Expr>) = parts.iter().partition(look);
                let looks = alone.into_iter().filter_map(|part| match part {
                    Expr::Is(look) => Some(look),
                    Expr::All(_) | Expr::Any(_) | Expr::Not(_) => None,
                });
                let mut words = self.selections(&looks.collect::<Vec<_>>());
                words.extend(others.into_iter().filter_map(|part| self.condition(part, false)));
                (words, " and ")
            }
            Expr::Any(parts) => {
                let words = parts.iter().filter_map(|part| self.condition(part, false)).collect::<Vec<_>>();
                (words, " or ")
            }
        };
        let text = words.join(join);
        match words.len() {
            0 => None,
            1 => Some(text),
            _ if bare => Some(text),
            _ => Some(format!("({text})")),
        }
    }

    /// Selections for looks that all must hold: a key stands once in a map.
    fn selections(&mut self, looks: &[&Predicate]) -> Vec<String> {
        let mut maps: Vec<(Vec<String>, Vec<&Predicate>)> = Vec::new();
        for look in looks {
            if values(look).is_none() {
                self.lost.push(format!("`{}`", look.spelt));
                continue;
            }
            let of_look = keys_of(look);
            match maps.iter_mut().find(|(keys, _)| !of_look.iter().any(|key| keys.contains(key))) {
                Some((keys, list)) => {
                    keys.extend(of_look);
                    list.push(look);
                }
                None => maps.push((of_look, vec![look])),
            }
        }
        maps.into_iter().map(|(_, list)| self.selection(&list)).collect()
    }

    /// A selection of these looks; its name, or its negation's.
    fn selection(&mut self, looks: &[&Predicate]) -> String {
        let mut items = String::new();
        for look in looks {
            items.push_str(&item(look));
        }
        let known = self.list.iter().find(|(_, other)| *other == items).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let number = self.list.len() + 1;
            let name = if number == 1 { "selection".to_owned() } else { format!("selection_{number}") };
            self.list.push((name.clone(), items));
            name
        });
        if let [look] = looks
            && is_negated(look)
        {
            return format!("not {name}");
        }
        name
    }
}

/// One key of a selection; two where a number that means unknown is to be left out.
fn item(look: &Predicate) -> String {
    let key = scalar(&key_of(look));
    match &*values(look).unwrap_or_default() {
        [value] if is_short(look) => format!("    {key}: {value}\n    {}|gt: 0\n", look.field),
        [value] => format!("    {key}: {value}\n"),
        values => values
            .iter()
            .fold(format!("    {key}:\n"), |text, value| text + "      - " + value.as_str() + "\n"),
    }
}

/// The values of a look as YAML; none if Sigma cannot say it.
fn values(look: &Predicate) -> Option<Vec<String>> {
    let texts = |texts: &[String]| texts.iter().map(|text| quoted(&escaped(text))).collect();
    Some(match &look.test {
        Test::Equals(literals) => literals.iter().map(literal).collect(),
        Test::Contains(list) | Test::StartsWith(list) | Test::EndsWith(list) => texts(list),
        Test::Regex(patterns) => patterns.iter().map(|pattern| quoted(pattern.text())).collect(),
        Test::Cidr(nets) => nets.iter().map(|net| quoted(&net.to_string())).collect(),
        Test::Compare(_, Bound::Number(number)) => vec![number.to_string()],
        Test::Compare(_, Bound::Length(length)) => vec![length.0.to_string()],
        Test::Compare(_, Bound::Time(_)) | Test::Past(..) => return None,
        // Negated: see `is_negated`. Here some values mean unknown; there they are what they are.
        Test::Exists(_) if is_round_trip(look) => vec!["0".to_owned()],
        Test::Exists(_) if look.field.kind() == FieldKind::Address => {
            vec!["null".to_owned(), quoted("0.0.0.0")]
        }
        Test::Exists(_) => vec!["null".to_owned()],
        Test::There(there) => vec![there.to_string()],
        Test::FieldRef(field) | Test::Refers(_, field) => vec![quoted(field.as_str())],
        Test::In(lists) => lists.iter().map(|list| quoted(&format!("%{list}%"))).collect(),
        Test::Clock(_, _, numbers) => numbers.iter().map(ToString::to_string).collect(),
        Test::Filled(filling) => {
            let (before, after) = (escaped(&filling.before), escaped(&filling.after));
            vec![quoted(&format!("{before}%{}%{after}", filling.list))]
        }
    })
}

/// Whether a look is said by what it is not: present and not null is not null, and of a round trip not
/// there is not above zero.
fn is_negated(look: &Predicate) -> bool {
    look.test == Test::Exists(!is_round_trip(look))
}

/// Round trips of zero and less are unknown.
fn is_round_trip(look: &Predicate) -> bool {
    look.field.is("network_rtt") || look.field.is("e2e_rtt")
}

/// Whether a look is at round trips below a limit: that of zero is none.
fn is_short(look: &Predicate) -> bool {
    is_round_trip(look) && matches!(look.test, Test::Compare(Ordering::Below | Ordering::AtMost, _))
}

/// The keys that a look takes up.
fn keys_of(look: &Predicate) -> Vec<String> {
    let more = is_short(look).then(|| format!("{}|gt", look.field));
    std::iter::once(key_of(look)).chain(more).collect()
}

/// The key of a look: the field and its modifiers.
fn key_of(look: &Predicate) -> String {
    let part = |part: Part| match part {
        Part::Whole => "",
        Part::Start => "|startswith",
        Part::End => "|endswith",
        Part::Anywhere => "|contains",
    };
    let ordering = |ordering: Ordering| match ordering {
        Ordering::Above => "|gt",
        Ordering::AtLeast => "|gte",
        Ordering::Below => "|lt",
        Ordering::AtMost => "|lte",
    };
    let is_address = look.field.kind() == FieldKind::Address;
    let words = match &look.test {
        Test::Equals(literals) if literals.iter().any(|one| matches!(one, Literal::Address(_))) => {
            "|cidr".to_owned()
        }
        Test::Exists(_) if is_round_trip(look) => "|gt".to_owned(),
        Test::Equals(_) | Test::Exists(_) | Test::Past(..) => String::new(),
        Test::Contains(_) => "|contains".to_owned(),
        Test::StartsWith(_) => "|startswith".to_owned(),
        Test::EndsWith(_) => "|endswith".to_owned(),
        Test::Regex(_) => if look.cased { "|re" } else { "|re|i" }.to_owned(),
        Test::Cidr(_) => "|cidr".to_owned(),
        Test::Compare(how, _) => ordering(*how).to_owned(),
        Test::There(_) => "|exists".to_owned(),
        Test::FieldRef(_) => "|fieldref".to_owned(),
        Test::Refers(where_, _) => format!("|fieldref{}", part(*where_)),
        Test::In(_) => if is_address { "|cidr|expand" } else { "|expand" }.to_owned(),
        Test::Clock(clock, how, _) => format!("|{}{}", clock.as_str(), how.map_or("", ordering)),
        Test::Filled(filling) => format!("{}|expand", part(filling.part)),
    };
    let cased = if look.cased && !matches!(look.test, Test::Regex(_)) { "|cased" } else { "" };
    format!("{}{words}{cased}", field_of(&look.field))
}

/// A field in documents: as it is spelt, or by its name here.
fn field_of(field: &FieldName) -> &str {
    field.as_str().strip_prefix(crate::record::field::RAW).unwrap_or(field.as_str())
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(&escaped(text)),
        Literal::Number(number) => number.to_string(),
        Literal::Length(length) => length.0.to_string(),
        Literal::Bool(flag) => flag.to_string(),
        Literal::Address(address) => quoted(&address.to_string()),
        Literal::Null => "null".to_owned(),
    }
}

/// A text in which nothing is a wildcard.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // A backslash is itself but before what it would escape.
        let special = matches!(c, '*' | '?')
            || c == '\\' && chars.peek().is_none_or(|next| matches!(next, '*' | '?' | '\\'));
        if special {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn list(text: &mut String, key: &str, values: impl Iterator<Item = String>) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        let _ = writeln!(text, "{key}:");
        for value in values {
            let _ = writeln!(text, "  - {}", scalar(&value));
        }
    }
}

/// A text as YAML, plain where that is safe.
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '|');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(safe)
        && !text.ends_with(' ')
        && !reserved.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// A text as YAML, in quotes. What could deceive whoever reads it is spelt out, and means the same.
fn quoted(text: &str) -> String {
    if !text.chars().any(deceives) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let _ = match (c, u32::from(c)) {
            ('"' | '\\', _) => write!(quoted, "\\{c}"),
            ('\n', _) => write!(quoted, "\\n"),
            ('\t', _) => write!(quoted, "\\t"),
            (_, code @ ..=0xffff) if deceives(c) => write!(quoted, "\\u{code:04X}"),
            (_, code) if deceives(c) => write!(quoted, "\\U{code:08X}"),
            _ => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}

/// A timespan of whole seconds, in its largest whole unit.
fn timespan(length: Millis) -> Option<String> {
    let units = [(86_400_000, 'd'), (3_600_000, 'h'), (60_000, 'm'), (1_000, 's')];
    let (size, unit) = units.into_iter().find(|(size, _)| length.0 % size == 0)?;
    Some(format!("{}{unit}", length.0 / size))
}
