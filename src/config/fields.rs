//! How a foreign row's keys are named: `fields:` of a file source, or the file after `--fields`.
//!
//! A field that has no name here is declared by the map. One that is a slip away from a known field
//! is warned of: rules would look for the known one and never see it.

use std::path::Path;

use crate::record::FieldName;
use crate::record::field::VOCABULARY;
use crate::record::scan::{FieldMap, Mapping};
use crate::rule::keys::{Language, MapDoc, Open, Takes, may, need};
use crate::rule::problem::{Problems, Span};
use crate::rule::suggest;
use crate::rule::yaml::{self, Entry, Kind, Node};

use super::Options;

/// Fields of one map; a row has no more.
const MAX_FIELDS: usize = crate::record::scan::MAX_FIELDS;

/// The map as a whole.
pub static FIELDS: MapDoc = MapDoc {
    name: "a field map",
    about: "our field, and the key of theirs that it is read from",
    open: Open::Names,
    keys: &[],
};

/// A field whose words are translated.
static FIELD: MapDoc = MapDoc {
    name: "a field of a field map",
    about: "where a field is read, and what its words are called here",
    open: Open::Closed,
    keys: &[
        need("from", Takes::Text, "the key of theirs", "from: status"),
        may("values", Takes::Map(&VALUES), "their words, and ours", "values: {failed: failure}"),
    ],
};

static VALUES: MapDoc =
    MapDoc { name: "`values`", about: "their words, and ours", open: Open::Names, keys: &[] };

static FIELD_MAPS: Language = Language {
    files: "field maps",
    one: ("a field map", "one field map"),
    needs: "a field map is `field: key` for each field, such as `user_name: account`",
    split: ("name the fields that rules use", "name the fields that rules use"),
    second: "put it into a file of its own, and take the `---` away",
    star: "put text that begins with `*` in quotes",
    count: "take it out",
    not_yet: "take it out",
    maps: &[],
    synonyms: &[("key", "from"), ("field", "from"), ("map", "values"), ("words", "values")],
};

/// Reads the field map in `bytes`; `file` names it in messages. One comes back if no problem is an error.
pub fn read(file: &Path, bytes: Vec<u8>) -> (Option<Mapping>, Problems) {
    let name = file.display().to_string();
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return (None, super::rules::not_text(name, &error)),
    };
    let mut problems = Problems::new(name, text.strip_prefix('\u{feff}').unwrap_or(&text));
    let root = yaml::parse_as(&mut problems, &FIELD_MAPS);
    let mapping = root.and_then(|root| mapping(&root, &mut problems));
    (mapping.filter(|_| !problems.has_errors()), problems)
}

/// The field map in `node`. None if something of it is a fault.
pub fn mapping(node: &Node, problems: &mut Problems) -> Option<Mapping> {
    let before = problems.errors();
    let entries = node.map().unwrap_or_default();
    if entries.is_empty() || entries.len() > MAX_FIELDS {
        let message = match node.map() {
            None => format!("a field map is a map of fields, not {}", node.what()),
            Some([]) => "this field map names no field".to_owned(),
            Some(_) => format!("this field map names more than {MAX_FIELDS} fields"),
        };
        problems.error_hint(node.span, message, "write `user_name: account`: our field, and their key");
        return None;
    }
    let mut fields: Vec<FieldMap> = Vec::new();
    for entry in entries {
        if let Some(map) = field(entry, problems) {
            if fields.iter().any(|other| other.field == map.field) {
                let message = format!(
                    "field `{}` is mapped twice; `{}` is another spelling of it",
                    map.field, entry.key.text
                );
                problems.error_hint(entry.key.span, message, "keep one of them");
            }
            fields.push(map);
        }
    }
    fields.sort_by(|one, other| one.field.as_str().cmp(other.field.as_str()));
    (problems.errors() == before).then_some(Mapping { fields, time: None })
}

fn field(entry: &Entry, problems: &mut Problems) -> Option<FieldMap> {
    let name = entry.key.text.trim();
    if name.is_empty() {
        problems.error_hint(entry.key.span, "a field without a name", "write `user_name: account`");
        return None;
    }
    if FieldName::resolve(name).is_none()
        && let Some(near) = suggest::nearest(name, spellings())
    {
        let message = format!("`{name}` is no field that rules know; the map declares it");
        problems.warn(entry.key.span, message, format!("did you mean `{near}`?"));
    } else {
        tell_turned(entry, name, problems);
    }
    let (key, values) = match &entry.value.kind {
        Kind::Scalar(scalar) => {
            let key = if entry.value.is_null() { String::new() } else { scalar.text.trim().to_owned() };
            (key, Vec::new())
        }
        Kind::Map(_) => full(entry, problems)?,
        Kind::List(_) => {
            let message = format!("`{name}` takes the key that it is read from, not a list");
            problems.error_hint(entry.value.span, message, format!("write `{name}: account`"));
            return None;
        }
    };
    if key.is_empty() {
        let message = format!("field `{name}` names no key to read it from");
        problems.error_hint(entry.key.span, message, format!("write `{name}: account`"));
        return None;
    }
    let field = FieldName::declared(name);
    for (word, span) in &values {
        if let Some((message, hint)) = suggest::never(&field, &word.1) {
            problems.warn(*span, message, hint);
        }
    }
    let values = values.into_iter().map(|(word, _)| word).collect();
    Some(FieldMap { field, key, values })
}

/// Warns of an entry that names what rules know where theirs stands, and theirs where ours does.
fn tell_turned(entry: &Entry, name: &str, problems: &mut Problems) {
    let Some(key) = entry.value.scalar().map(|scalar| scalar.text.trim()) else { return };
    if FieldName::resolve(name).is_none() && VOCABULARY.iter().any(|info| info.name == key) {
        let message =
            format!("`{name}` is no field that rules know, and `{key}`, which it is read from, is one");
        let hint = format!("our field comes first: did you mean `{key}: {name}`?");
        problems.warn(entry.key.span, message, hint);
    }
}

/// Their word and ours, and where ours stands.
type Word = ((String, String), Span);

/// `{from: status, values: {failed: failure}}`
fn full(entry: &Entry, problems: &mut Problems) -> Option<(String, Vec<Word>)> {
    let map = Options::open(&entry.value, &FIELD, entry.key.span, problems)?;
    let from = map.text(problems, "from");
    let words = map.map(problems, "values", &VALUES);
    let mut values = Vec::new();
    for word in words.iter().flat_map(Options::rest) {
        match word.value.scalar() {
            Some(ours) if !word.value.is_null() => {
                values.push(((word.key.text.clone(), ours.text.clone()), word.value.span));
            }
            Some(_) | None => {
                let message = format!("`{}` is translated to {}", word.key.text, word.value.what());
                problems.error_hint(
                    word.value.span,
                    message,
                    "write `failed: failure`: their word, and ours",
                );
            }
        }
    }
    Some((from?, values))
}

/// Every spelling of every field that is known.
fn spellings() -> impl Iterator<Item = &'static str> {
    VOCABULARY.iter().flat_map(|info| std::iter::once(info.name).chain(info.aliases.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let (_, problems) = read(Path::new("fields.yaml"), text.as_bytes().to_vec());
        let hint = |hint: &Option<String>| hint.clone().unwrap_or_default();
        problems
            .sorted()
            .iter()
            .map(|problem| format!("{}; {}", problem.message, hint(&problem.hint)))
            .collect()
    }

    #[test]
    fn a_map_names_keys_and_words() {
        let text = "user_name: account\nstart_time: ts\noutcome: {from: status, values: {failed: failure}}\nseat: desk.id\n";
        let (mapping, problems) = read(Path::new("fields.yaml"), text.as_bytes().to_vec());
        assert!(problems.is_empty(), "{}", problems.render(false));
        let mapping = mapping.unwrap();
        let outcome = mapping.of(&FieldName::declared("outcome")).unwrap();
        assert_eq!((outcome.key.as_str(), outcome.values[0].1.as_str()), ("status", "failure"));
        assert_eq!(mapping.of(&FieldName::declared("login_user")).unwrap().key, "account");
        assert_eq!(mapping.of(&FieldName::declared("seat")).unwrap().key, "desk.id");
        assert_eq!(mapping.of(&FieldName::declared("public_ip")), None);
    }

    #[test]
    fn a_bad_map_is_told_in_our_words() {
        for (text, fault) in [
            ("{}", "this field map names no field; write `user_name: account`: our field, and their key"),
            (
                "",
                "the file is empty; a field map is `field: key` for each field, such as `user_name: account`",
            ),
            (
                "[a]",
                "a field map is a map of fields, not a list; write `user_name: account`: our field, and their key",
            ),
            ("{\"id\":1}\n{\"id\":2}", "a second document"),
            (
                "user_nam: account",
                "`user_nam` is no field that rules know; the map declares it; did you mean `user_name`?",
            ),
            (
                "outcome: {from: a, values: {DENIED: fail}}",
                "`outcome` is never `fail`; it is `success` or `failure`",
            ),
            (
                "kind: {from: a, values: {b: signin}}",
                "`kind` is never `signin`; it is `login`, `app_launch`, `session` or `user_event`",
            ),
            (
                "account: user_name",
                "`account` is no field that rules know, and `user_name`, which it is read from, is one; our field comes first: did you mean `user_name: account`?",
            ),
            (
                "outcome: {from: a, value: {b: c}}",
                "unknown key `value` in a field of a field map; did you mean `values`?",
            ),
            ("outcome: {values: {b: c}}", "a field of a field map needs `from`; add `from: status`"),
            (
                "outcome: {from: a, values: {b: [c]}}",
                "`b` is translated to a list; write `failed: failure`: their word, and ours",
            ),
            (
                "user_name: [a, b]",
                "`user_name` takes the key that it is read from, not a list; write `user_name: account`",
            ),
            ("user_name: ''", "field `user_name` names no key to read it from; write `user_name: account`"),
            ("user_name:", "field `user_name` names no key to read it from; write `user_name: account`"),
            (
                "user_name: a\nlogin_user: b",
                "field `user_name` is mapped twice; `login_user` is another spelling of it; keep one of them",
            ),
            (
                "user_name: a: b",
                "a `:` cannot stand here; put text that holds `: ` in quotes, and check the indentation of this line",
            ),
        ] {
            let told = told(text);
            if fault == "a second document" {
                assert!(!told.is_empty());
            } else {
                assert_eq!(told, [fault], "{text}");
            }
        }
    }
}
