//! One file's documents: what each says of itself, and which kind it is.

use std::sync::Arc;

use super::super::decode::{Cx, Options};
use super::super::keys::Language;
use super::super::problem::{Problems, Span};
use super::super::spec::ListNames;
use super::super::suggest;
use super::super::yaml::{self, Entry, Kind, Node, Scalar};
use super::correlation::named_rules;
use super::detection::expression;
use super::{Body, Document, Filter, Head, LogSource, Section, Word};
use crate::record::Level;

/// Sigma documents.
pub static SIGMA_FILES: Language = Language {
    files: "Sigma documents",
    one: ("a file of Sigma documents", "Sigma documents"),
    needs: "a Sigma document needs at least `title`, `logsource` and `detection`",
    split: ("put documents into several files", "split the document"),
    second: "documents stand one after another, with `---` between them",
    star: "put text that begins with `*` in quotes",
    count: "counts are documents of their own now: `correlation: {type: event_count, rules: [name], timespan: 10m, condition: {gte: 5}}`",
    not_yet: "take it out",
    maps: &[],
    synonyms: &[],
};

/// Keys of the specification, and our own, to tell of slips.
const KEYS: [&str; 22] = [
    "title",
    "id",
    "name",
    "related",
    "taxonomy",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "logsource",
    "detection",
    "correlation",
    "filter",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "generate",
    "larum",
];

/// Fields that alerts of a document show; further ones are left out.
const MAX_SHOWN: usize = 32;

/// What became of one document.
#[derive(Debug)]
pub struct Read {
    /// The document; none if it cannot be read.
    pub document: Option<Document>,
    /// Lists that it names.
    pub lists: ListNames,
    /// What it is called where it does not load.
    pub called: Option<String>,
    /// What there is to tell.
    pub problems: Problems,
}

/// The documents of the file that holds `source`; `file` only names it in messages.
pub fn read(file: &str, source: &str, options: &Options<'_>) -> Vec<Read> {
    let source: Arc<str> = source.strip_prefix('\u{feff}').unwrap_or(source).into();
    let documents = yaml::parse_all(file, &source, &SIGMA_FILES);
    if documents.is_empty() {
        let mut problems = Problems::new(file, source);
        problems.error_hint(Span::default(), "the file is empty", SIGMA_FILES.needs);
        return vec![Read { document: None, lists: ListNames::default(), called: None, problems }];
    }
    let each = |yaml::Document { root, problems }| {
        let lists = ListNames { known: options.lists.to_vec(), ..ListNames::default() };
        let mut cx =
            Cx { problems, source: source.clone(), options, language: &SIGMA_FILES, lists, by: Vec::new() };
        let document = root.as_ref().and_then(|root| document(&mut cx, root));
        let called = root.as_ref().and_then(called);
        Read {
            document: document.filter(|_| !cx.problems.has_errors()),
            lists: cx.lists,
            called,
            problems: cx.problems,
        }
    };
    documents.into_iter().map(each).collect()
}

/// What a document is called, whatever else is wrong with it.
fn called(root: &Node) -> Option<String> {
    let text = |key: &str| {
        let entry = root.map()?.iter().find(|entry| entry.key.text == key)?;
        entry.value.scalar().map(|scalar| scalar.text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    text("name").or_else(|| text("id")).or_else(|| text("title"))
}

fn document(cx: &mut Cx<'_>, root: &Node) -> Option<Document> {
    let Some(entries) = root.map() else {
        cx.fault(
            root.span,
            format!("a Sigma document is a map of keys, not {}", root.what()),
            SIGMA_FILES.needs,
        );
        return None;
    };
    let map = Map(entries);
    let at = entries.first().map_or(root.span, |entry| entry.key.span);
    if let Some(entry) =
        map.get("rule").filter(|_| map.get("match").is_some() || map.get("detection").is_none())
    {
        let hint = "put it into the folder of the rules (`rules:` in the configuration, or `--rules`)";
        cx.fault(entry.key.span, "`rule` makes this a Larum rule, not a Sigma document", hint);
        return None;
    }
    if let Some(entry) = map.get("action") {
        let hint =
            "write what is shared into each document; several may stand in one file, with `---` between them";
        cx.fault(entry.key.span, "`action` is a word of old Sigma collections, which are not read", hint);
        return None;
    }
    let head = head(cx, &map, at);
    let bodies: Vec<&Entry> =
        ["detection", "correlation", "filter"].into_iter().filter_map(|key| map.get(key)).collect();
    let body = match *bodies {
        [] => {
            let misspelt = entries.iter().find_map(|entry| {
                let near = suggest::nearest(&entry.key.text, ["detection", "correlation", "filter"])?;
                Some((
                    entry.key.span,
                    format!("unknown key `{}`", entry.key.text),
                    format!("did you mean `{near}`?"),
                ))
            });
            let (span, message, hint) = misspelt.unwrap_or_else(|| {
                let message = "this document looks for nothing".to_owned();
                (at, message, "add `detection`, `correlation` or `filter`".to_owned())
            });
            cx.fault(span, message, hint);
            return None;
        }
        [entry] => body(cx, entry, &map)?,
        [one, other, ..] => {
            let message = format!("a document has one of `{}` and `{}`", one.key.text, other.key.text);
            cx.fault(other.key.span, message, "make two documents of it, with `---` between them");
            return None;
        }
    };
    tell_slips(cx, entries);
    Some(Document { head, body })
}

fn body(cx: &mut Cx<'_>, entry: &Entry, root: &Map<'_>) -> Option<Body> {
    match entry.key.text.as_str() {
        "detection" => expression(cx, entry, &[]).map(|expr| Body::Detection(Some(expr))),
        "filter" => {
            let rules = entry.value.map().and_then(|entries| Map(entries).get("rules"));
            let Some(rules) = rules else {
                cx.fault(
                    entry.key.span,
                    "`filter` needs `rules`",
                    "add `rules: [name or id]`, or `rules: any`",
                );
                return None;
            };
            let rules = match rules.value.scalar() {
                Some(scalar) if scalar.text == "any" => None,
                Some(_) | None => Some(words(cx, rules)),
            };
            let expr = expression(cx, entry, &["rules"])?;
            Some(Body::Filter(Filter { rules, expr }))
        }
        _ => {
            let Some(entries) = entry.value.map() else {
                let message = format!("`correlation` is a map of keys, not {}", entry.value.what());
                cx.fault(entry.key.span, message, "write `type`, `rules` and `timespan` below it");
                return None;
            };
            let map = Map(entries);
            let rules = match map.get("rules") {
                Some(entry) => words(cx, entry),
                None => named_rules(&cx.source, entries),
            };
            // The specification has it at the root; tools read it here too.
            let generate = root.get("generate").or(map.get("generate"));
            let generate = generate.and_then(|entry| flag(cx, entry)).unwrap_or(false);
            let (at, node, larum) = (entry.key.span, entry.value.clone(), root.get("larum").cloned());
            Some(Body::Correlation(Section { at, node, rules, generate, larum }))
        }
    }
}

/// Custom keys are allowed; a slip of the fingers is told.
fn tell_slips(cx: &mut Cx<'_>, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| !KEYS.contains(&entry.key.text.as_str())) {
        if let Some(near) = suggest::nearest(&entry.key.text, KEYS) {
            let message =
                format!("`{}` is no key of the specification, and means nothing here", entry.key.text);
            cx.warn(entry.key.span, message, format!("did you mean `{near}`?"));
        }
    }
}

fn head(cx: &mut Cx<'_>, map: &Map<'_>, at: Span) -> Head {
    let title = text(cx, map, "title");
    if title.is_none() && map.get("title").is_none() {
        cx.warn(at, "this document has no `title`", "add one: it is the title of its alerts");
    }
    let word = |cx: &mut Cx<'_>, name: &str| {
        let span = map.get(name)?.value.span;
        text(cx, map, name).map(|text| Word { text, span })
    };
    let (id, name) = (word(cx, "id"), word(cx, "name"));
    Head {
        at,
        title: title
            .or_else(|| name.as_ref().or(id.as_ref()).map(|word| word.text.clone()))
            .unwrap_or_default(),
        id,
        name,
        level: level(cx, map),
        status: text(cx, map, "status"),
        description: text(cx, map, "description"),
        references: texts(cx, map, "references"),
        author: text(cx, map, "author"),
        date: text(cx, map, "date"),
        tags: texts(cx, map, "tags"),
        falsepositives: texts(cx, map, "falsepositives"),
        fields: fields(cx, map),
        logsource: logsource(cx, map),
    }
}

fn level(cx: &mut Cx<'_>, map: &Map<'_>) -> Option<Level> {
    let entry = map.get("level")?;
    let spelt = entry.value.scalar().map(|scalar| scalar.text.trim()).unwrap_or_default();
    let level = Level::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(spelt));
    if level.is_none() {
        let known = Level::ALL.map(Level::as_str);
        let hint = match suggest::nearest(spelt, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        cx.fault(entry.value.span, format!("`level` cannot be `{spelt}`"), hint);
    }
    level
}

fn logsource(cx: &mut Cx<'_>, map: &Map<'_>) -> LogSource {
    let Some(entry) = map.get("logsource") else { return LogSource::default() };
    let Some(entries) = entry.value.map() else {
        let message = format!("`logsource` is a map of keys, not {}", entry.value.what());
        cx.fault(entry.key.span, message, "write `logsource: {product: windows, service: security}`");
        return LogSource::default();
    };
    let map = Map(entries);
    let mut part = |name: &str| text(cx, &map, name);
    LogSource { category: part("category"), product: part("product"), service: part("service") }
}

/// Entries by their keys.
pub(super) struct Map<'n>(pub(super) &'n [Entry]);

impl<'n> Map<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Entry> {
        self.0.iter().find(|entry| entry.key.text == name)
    }
}

/// A single value that says something.
fn text(cx: &mut Cx<'_>, map: &Map<'_>, name: &str) -> Option<String> {
    let entry = map.get(name)?;
    let Some(scalar) = entry.value.scalar() else {
        let message = format!("`{name}` is text, not {}", entry.value.what());
        cx.fault(entry.key.span, message, format!("write `{name}: text`"));
        return None;
    };
    Some(scalar.text.trim().to_owned()).filter(|text| !text.is_empty() && !entry.value.is_null())
}

/// A list of texts; one alone may stand without a list.
fn texts(cx: &mut Cx<'_>, map: &Map<'_>, name: &str) -> Vec<String> {
    map.get(name)
        .map(|entry| words(cx, entry))
        .unwrap_or_default()
        .into_iter()
        .map(|word| word.text)
        .collect()
}

/// The fields that an analyst wants to see, as the document spells them, none twice.
fn fields(cx: &mut Cx<'_>, map: &Map<'_>) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for field in texts(cx, map, "fields") {
        if !field.is_empty() && !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields.truncate(MAX_SHOWN);
    fields
}

/// The same with their places.
pub(super) fn words(cx: &mut Cx<'_>, entry: &Entry) -> Vec<Word> {
    let name = &entry.key.text;
    let nodes = match &entry.value.kind {
        Kind::List(nodes) => nodes.as_slice(),
        Kind::Scalar(_) if entry.value.is_null() => &[],
        Kind::Scalar(_) => std::slice::from_ref(&entry.value),
        Kind::Map(_) => {
            cx.fault(
                entry.key.span,
                format!("`{name}` is a list of texts, not a map"),
                format!("write `{name}: [one, other]`"),
            );
            &[]
        }
    };
    let mut words = Vec::new();
    for node in nodes {
        match node.scalar() {
            Some(scalar) => words.push(Word { text: scalar.text.trim().to_owned(), span: node.span }),
            None => cx.fault(node.span, format!("an entry of `{name}` is {}", node.what()), "write a text"),
        }
    }
    words
}

fn flag(cx: &mut Cx<'_>, entry: &Entry) -> Option<bool> {
    let flag = entry.value.scalar().and_then(Scalar::boolean);
    if flag.is_none() {
        let name = &entry.key.text;
        cx.fault(entry.value.span, format!("`{name}` is true or false"), format!("write `{name}: true`"));
    }
    flag
}
