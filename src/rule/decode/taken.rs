//! A map opened by its entry in the table of keys, and its values read by their names.
//!
//! Opening tells of every key that is unknown, missing or not run yet. Each reader tells of a value
//! that is not what the table says, with an example of one that is.

use super::super::keys::{KeyDoc, MapDoc, Open, RULE_FILES, Takes, WITHOUT_MATCH};
use super::super::problem::Span;
use super::super::spec::{Grouping, Template};
use super::super::yaml::{Entry, Kind, Node, Scalar, Style};
use super::values::{self, MAX_LENGTH, NoDuration};
use super::{Cx, suggest};
use crate::record::{FieldName, Millis, Number};

/// Fields of one list; each makes every group's key, or every alert, longer.
const MAX_FIELDS: usize = 32;

/// A map of the language whose keys have been looked at.
#[derive(Clone, Copy)]
pub(crate) struct Taken<'n> {
    pub doc: &'static MapDoc,
    entries: &'n [Entry],
    /// Where faults about the map as a whole point.
    pub at: Span,
}

/// Opening.
impl<'n> Taken<'n> {
    /// Opens `node`, the value of a key or an entry of a list that stands at `at`.
    pub fn open(
        cx: &mut Cx<'_>,
        node: &'n Node,
        doc: &'static MapDoc,
        at: Span,
        example: &str,
    ) -> Option<Self> {
        let Some(entries) = node.map() else {
            let message = format!("{} is a map of keys, not {}", doc.name, node.what());
            cx.fault(node.span, message, format!("write `{example}`"));
            return None;
        };
        let taken = Self { doc, entries, at };
        let meant = taken.tell_strange(cx, None);
        taken.tell_missing(cx, &meant);
        Some(taken)
    }

    /// A map whose keys were looked at before.
    pub fn looked_at(entries: &'n [Entry], doc: &'static MapDoc, at: Span) -> Self {
        Self { doc, entries, at }
    }

    /// Tells of keys that are unknown, or not run yet; gives those that were meant, as far as that
    /// can be guessed. Keys of `beside` are known too: the map is read by both tables.
    pub fn tell_strange(&self, cx: &mut Cx<'_>, beside: Option<&'static MapDoc>) -> Vec<&'static str> {
        let mut meant = Vec::new();
        for entry in self.entries {
            let key = self.doc.key(&entry.key.text);
            match key.or_else(|| beside?.key(&entry.key.text)) {
                Some(key) if !key.built => not_yet(cx, entry),
                None if self.doc.open == Open::Closed => {
                    meant.extend(unknown_key(cx, self.doc, beside, entry));
                }
                Some(_) | None => {}
            }
        }
        meant
    }

    /// Tells of keys that the map is a fault without, those of `meant` left out.
    pub fn tell_missing(&self, cx: &mut Cx<'_>, meant: &[&str]) {
        let doc = self.doc;
        let excused =
            |key: &KeyDoc| meant.contains(&key.name) || (key.name == "match" && self.is_without_match());
        for key in doc.keys.iter().filter(|key| key.required && !self.has(key.name) && !excused(key)) {
            cx.fault(self.at, format!("{} needs `{}`", doc.name, key.name), format!("add `{}`", key.example));
        }
    }

    fn is_without_match(&self) -> bool {
        WITHOUT_MATCH.iter().any(|verb| self.doc.key(verb).is_some() && self.has(verb))
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn get(&self, name: &str) -> Option<&'n Entry> {
        debug_assert!(self.doc.key(name).is_some(), "`{name}` is not in the table of {}", self.doc.name);
        self.entries.iter().find(|entry| entry.key.text == name)
    }

    /// The entries that are not of the table, where the map is open.
    pub fn rest(&self) -> Vec<&'n Entry> {
        self.entries.iter().filter(|entry| self.doc.key(&entry.key.text).is_none()).collect()
    }

    /// The map under a key.
    pub fn map(&self, cx: &mut Cx<'_>, name: &str, doc: &'static MapDoc) -> Option<Taken<'n>> {
        let entry = self.get(name)?;
        let example = self.example(name);
        Taken::open(cx, &entry.value, doc, entry.key.span, example)
    }

    /// The maps in the list under a key.
    pub fn maps(&self, cx: &mut Cx<'_>, name: &str, doc: &'static MapDoc) -> Vec<Taken<'n>> {
        let Some(entry) = self.get(name) else { return Vec::new() };
        let Kind::List(nodes) = &entry.value.kind else {
            self.mismatch(cx, entry);
            return Vec::new();
        };
        nodes
            .iter()
            .filter_map(|node| Taken::open(cx, node, doc, first_key(node), self.example(name)))
            .collect()
    }

    /// How the table spells a key.
    pub fn example(&self, name: &str) -> &'static str {
        self.doc.key(name).map_or("", |key| key.example)
    }

    /// The value is not what the table says.
    pub fn mismatch(&self, cx: &mut Cx<'_>, entry: &Entry) {
        let Some(key) = self.doc.key(&entry.key.text) else { return };
        let got = match entry.value.scalar() {
            Some(scalar) if !scalar.is_null() => format!("`{}`", scalar.text),
            Some(_) | None => entry.value.what().to_owned(),
        };
        let message = format!("`{}` takes {}, not {got}", key.name, key.takes.words());
        cx.fault(place(entry), message, format!("write `{}`", key.example));
    }
}

/// Reading.
impl Taken<'_> {
    fn scalar(&self, cx: &mut Cx<'_>, name: &str) -> Option<(&Scalar, Span)> {
        let entry = self.get(name)?;
        match entry.value.scalar() {
            Some(scalar) if !scalar.is_null() => Some((scalar, entry.value.span)),
            Some(_) | None => {
                self.mismatch(cx, entry);
                None
            }
        }
    }

    /// Text that says something.
    pub fn text(&self, cx: &mut Cx<'_>, name: &str) -> Option<String> {
        let (scalar, span) = self.scalar(cx, name)?;
        let text = scalar.text.trim();
        if text.is_empty() {
            cx.fault(span, format!("`{name}` is empty"), format!("write `{}`", self.example(name)));
            return None;
        }
        Some(text.to_owned())
    }

    pub fn template(&self, cx: &mut Cx<'_>, name: &str) -> Option<Template> {
        let (scalar, span) = self.scalar(cx, name)?;
        Some(Template { text: scalar.text.clone(), span })
    }

    pub fn texts(&self, cx: &mut Cx<'_>, name: &str) -> Vec<(String, Span)> {
        self.list(cx, name, |cx, scalar, span| {
            if scalar.text.trim().is_empty() {
                cx.fault(span, format!("an entry of `{name}` is empty"), "take it out");
                return None;
            }
            Some((scalar.text.clone(), span))
        })
    }

    /// A list of single values, each read by `read`.
    fn list<T>(
        &self,
        cx: &mut Cx<'_>,
        name: &str,
        mut read: impl FnMut(&mut Cx<'_>, &Scalar, Span) -> Option<T>,
    ) -> Vec<T> {
        let Some(entry) = self.get(name) else { return Vec::new() };
        let nodes = match &entry.value.kind {
            Kind::List(nodes) => nodes,
            Kind::Scalar(scalar) if !scalar.is_null() => {
                let message = format!("`{name}` is a list, not a single value");
                cx.fault(entry.value.span, message, format!("write `{name}: [{}]`", scalar.text));
                return Vec::new();
            }
            Kind::Scalar(_) | Kind::Map(_) => {
                self.mismatch(cx, entry);
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for node in nodes {
            match node.scalar() {
                Some(scalar) if !scalar.is_null() => values.extend(read(cx, scalar, node.span)),
                Some(_) | None => {
                    let message = format!("an entry of `{name}` is {}", node.what());
                    cx.fault(node.span, message, format!("write `{}`", self.example(name)));
                }
            }
        }
        values
    }

    /// One of the words that the table names.
    pub fn word(&self, cx: &mut Cx<'_>, name: &str) -> Option<&'static str> {
        let Some(Takes::Word(words)) = self.doc.key(name).map(|key| key.takes) else { return None };
        let (scalar, span) = self.scalar(cx, name)?;
        if let Some(word) = words.iter().find(|word| **word == scalar.text) {
            return Some(word);
        }
        let hint = match suggest::nearest(&scalar.text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known: {}", words.join(", ")),
            None => format!("write one of: {}", words.join(", ")),
        };
        cx.fault(span, format!("`{name}` cannot be `{}`", scalar.text), hint);
        None
    }

    pub fn flag(&self, cx: &mut Cx<'_>, name: &str) -> Option<bool> {
        let (scalar, _) = self.scalar(cx, name)?;
        let flag = scalar.boolean();
        if flag.is_none() {
            self.get(name).into_iter().for_each(|entry| self.mismatch(cx, entry));
        }
        flag
    }

    pub fn whole(&self, cx: &mut Cx<'_>, name: &str) -> Option<u32> {
        let key = self.doc.key(name)?;
        let Takes::Whole(min, max) = key.takes else { return None };
        let (scalar, span) = self.scalar(cx, name)?;
        let text = &scalar.text;
        let hint = match values::whole(text) {
            Some(number) if (min..=max).contains(&number) => return Some(number),
            Some(0) => zero_hint(key),
            Some(number) if number > max => format!("{max} is the most that is kept; write a smaller number"),
            Some(_) => format!("write `{}`", key.example),
            None => match values::digits(text) {
                Some(digits) if digits > 0 => format!("in digits: `{name}: {digits}`"),
                Some(_) | None => format!("write `{}`", key.example),
            },
        };
        cx.fault(span, format!("`{name}` takes {}, not `{text}`", key.takes.words()), hint);
        None
    }

    /// A whole number of the unit that the table says.
    pub fn measured(&self, cx: &mut Cx<'_>, name: &str) -> Option<u32> {
        let key = self.doc.key(name)?;
        let Takes::Measured(min, max, unit) = key.takes else { return None };
        let (scalar, span) = self.scalar(cx, name)?;
        let text = scalar.text.trim();
        let number = text.strip_suffix(unit).map(str::trim_end).and_then(values::whole);
        if let Some(number) = number.filter(|number| (min..=max).contains(number)) {
            return Some(number);
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let bare = values::whole(&text[..digits]).filter(|number| digits > 0 && (min..=max).contains(number));
        let hint = match (number, bare) {
            (Some(number), _) if number < min => format!("{min}{unit} is the least"),
            (Some(_), _) => format!("{max}{unit} is the most"),
            (None, Some(number)) => format!("write it with its unit: `{name}: {number}{unit}`"),
            (None, None) => format!("write `{}`", key.example),
        };
        cx.fault(span, format!("`{name}` takes {}, not `{text}`", key.takes.words()), hint);
        None
    }

    pub fn number(&self, cx: &mut Cx<'_>, name: &str) -> Option<(Number, Span)> {
        let (scalar, span) = self.scalar(cx, name)?;
        let number = Number::parse(&scalar.text);
        if let Some((message, hint)) = values::out_of_range(&scalar.text) {
            cx.fault(span, message, hint);
        } else if number.is_none() {
            let hint = match values::duration(&scalar.text) {
                Ok(length) => format!("the field's own unit is meant; in ms: `{name}: {}`", length.0),
                Err(_) => format!("write `{}`", self.example(name)),
            };
            cx.fault(span, format!("`{name}` takes a number, not `{}`", scalar.text), hint);
        }
        number.map(|number| (number, span))
    }

    /// A length of time above zero.
    pub fn duration(&self, cx: &mut Cx<'_>, name: &str) -> Option<Millis> {
        let length = self.duration_or_zero(cx, name)?;
        if length == Millis::ZERO {
            let key = self.get(name)?;
            let hint = self.doc.key(name).map_or(String::new(), zero_hint);
            cx.fault(key.value.span, format!("`{name}` cannot be 0"), hint);
            return None;
        }
        Some(length)
    }

    pub fn duration_or_zero(&self, cx: &mut Cx<'_>, name: &str) -> Option<Millis> {
        let (scalar, span) = self.scalar(cx, name)?;
        let text = &scalar.text;
        match values::duration(text) {
            Ok(length) if length > MAX_LENGTH => {
                cx.fault(
                    span,
                    format!("`{name}: {text}` is too long"),
                    format!("{MAX_LENGTH} is the longest"),
                );
                None
            }
            Ok(length) => Some(length),
            Err(NoDuration::NoUnit) => {
                let message = format!("`{name}: {text}` has no unit; a duration needs one");
                let hint = match self.doc.key(name).filter(|_| text == "0") {
                    Some(key) => zero_hint(key),
                    None => format!("write `{text}s`, `{text}m`, `{text}h` or `{text}d`"),
                };
                cx.fault(span, message, hint);
                None
            }
            Err(NoDuration::Unreadable) => {
                self.get(name).into_iter().for_each(|entry| self.mismatch(cx, entry));
                None
            }
        }
    }

    /// True where the value is the word `off`.
    pub fn is_off(&self, name: &str) -> bool {
        let scalar = self.get(name).and_then(|entry| entry.value.scalar());
        scalar.is_some_and(|scalar| scalar.style != Style::Block && scalar.text == "off")
    }

    pub fn field(&self, cx: &mut Cx<'_>, name: &str) -> Option<(FieldName, Span)> {
        let (scalar, span) = self.scalar(cx, name)?;
        cx.field(&scalar.text, span, &[]).map(|field| (field, span))
    }

    /// A list of fields, none twice.
    pub fn fields(&self, cx: &mut Cx<'_>, name: &str) -> Vec<FieldName> {
        let mut seen: Vec<FieldName> = Vec::new();
        if let Some(Kind::List(nodes)) = self.get(name).map(|entry| &entry.value.kind)
            && let Some(node) = nodes.get(MAX_FIELDS)
        {
            cx.fault(
                node.span,
                format!("`{name}` lists more than {MAX_FIELDS} fields"),
                "keep those that matter",
            );
            return seen;
        }
        self.list(cx, name, |cx, scalar, span| {
            let field = cx.field(&scalar.text, span, &[])?;
            if seen.contains(&field) {
                cx.fault(span, format!("`{field}` stands twice in `{name}`"), "take one of them out");
                return None;
            }
            seen.push(field.clone());
            Some(field)
        })
    }

    /// `by` and `missing`.
    pub fn grouping(&self, cx: &mut Cx<'_>) -> Grouping {
        let by = self.fields(cx, "by");
        let missing_own = self.word(cx, "missing") == Some("own");
        Grouping { by, missing_own }
    }
}

/// Where to point at an entry: its value, or its key where no value is written.
pub(super) fn place(entry: &Entry) -> Span {
    if entry.value.span.start == entry.value.span.end { entry.key.span } else { entry.value.span }
}

/// Where a fault about a whole map points: its first key.
pub(super) fn first_key(node: &Node) -> Span {
    node.map().and_then(|entries| entries.first()).map_or(node.span, |entry| entry.key.span)
}

fn zero_hint(key: &KeyDoc) -> String {
    if matches!(key.takes, Takes::OffOr(_)) {
        format!("0 never switches anything off: write `{}: off`", key.name)
    } else if key.required || key.name == "at_least" {
        format!("0 never switches anything off; write `{}`", key.example)
    } else {
        format!("0 never switches anything off: leave `{}` out, or write `{}`", key.name, key.example)
    }
}

fn not_yet(cx: &mut Cx<'_>, entry: &Entry) {
    let name = &entry.key.text;
    if name == "lists" && std::ptr::eq(cx.language, &raw const RULE_FILES) {
        let hint = "take this out; a test gives values with `lists` of its own";
        cx.fault(entry.key.span, "lists are named in the configuration, not in a rule", hint);
        return;
    }
    let hint = cx.language.not_yet;
    cx.fault(entry.key.span, format!("this version does not run `{name}` yet"), hint);
}

/// Tells of a key that is not in the table; the key that was meant, if that can be guessed.
fn unknown_key(
    cx: &mut Cx<'_>,
    doc: &'static MapDoc,
    beside: Option<&'static MapDoc>,
    entry: &Entry,
) -> Option<&'static str> {
    let word = entry.key.text.as_str();
    let language = cx.language;
    let others = || beside.into_iter().flat_map(|doc| doc.keys).filter(|key| doc.key(key.name).is_none());
    let names = || doc.keys.iter().chain(others()).map(|key| key.name);
    let of_others = || language.synonyms.iter().filter(|(other, _)| *other == word).map(|(_, ours)| *ours);
    let synonym = || of_others().find(|ours| names().any(|name| name == *ours));
    let meant = suggest::nearest(word, names()).or_else(synonym);
    let homes = || language.maps.iter().filter(|map| map.open == Open::Closed && map.key(word).is_some());
    let homes: Vec<&str> = homes().map(|map| map.name).collect();
    let hint = match (meant, homes.as_slice()) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, [_, ..]) => format!("`{word}` belongs in {}", homes.join(", ")),
        (None, []) => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
    };
    cx.fault(entry.key.span, format!("unknown key `{word}` in {}", doc.name), hint);
    meant
}
