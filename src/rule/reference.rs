//! The rule reference's generated parts, as Markdown: keys, modifiers and fields, from the tables that
//! the decoder reads. What a table does not say stands in `rules/README.md` itself.

use std::fmt::Write as _;

use super::decode::predicate::MODIFIERS;
use super::keys::{MAPS, MapDoc, Open, WITHOUT_MATCH};
use crate::record::FieldKind;
use crate::record::field::VOCABULARY;

/// What each modifier asks.
const ASKS: &[(&str, &str)] = &[
    ("contains", "the text holds this somewhere"),
    ("startswith", "the text begins with this"),
    ("endswith", "the text ends with this"),
    ("all", "with one of the three above or `re`: every value of the list, not one of them"),
    ("re", "the regular expression finds something in the text; no look-around, no back-references"),
    ("cidr", "the address is in this network; what is no address is in none"),
    ("gt", "greater than the number, longer than the duration, later than the instant"),
    ("gte", "the same, or equal"),
    ("lt", "less"),
    ("lte", "less, or equal"),
    ("exists", "`true`: present and not null; `false`: absent or null"),
    ("cased", "upper and lower case differ"),
    ("fieldref", "equal to another field of the same record"),
    ("in", "in the list of this name"),
    ("new", "`true`: never seen for this user before this record"),
    ("known", "`true`: first seen at least 24 h before this record"),
    ("unseen_for", "last seen longer ago than this"),
];

/// Every map of the language: its keys, what each takes, and an example.
pub fn keys() -> String {
    let mut text = String::new();
    for doc in MAPS {
        let _ = writeln!(text, "\n### {}{}\n", doc.name[..1].to_uppercase(), &doc.name[1..]);
        let _ = writeln!(text, "{}.{}\n", capital(doc.about), further(doc));
        let built: Vec<_> = doc.keys.iter().filter(|key| key.built).collect();
        if built.is_empty() {
            continue;
        }
        text.push_str("| key | takes | what it is | example |\n| --- | --- | --- | --- |\n");
        for key in built {
            let needed = match key.name {
                "match" if key.required => {
                    format!(" (needed, unless `{}` stands)", WITHOUT_MATCH.join("` or `"))
                }
                _ if key.required => " (needed)".to_owned(),
                _ => String::new(),
            };
            let _ = writeln!(
                text,
                "| `{}`{needed} | {} | {} | `{}` |",
                key.name,
                cell(&key.takes.words()),
                cell(key.about),
                key.example.replace('|', "\\|")
            );
        }
    }
    text
}

fn further(doc: &MapDoc) -> &'static str {
    match doc.open {
        Open::Closed | Open::Secrets => "",
        Open::Conditions => " Its further keys are conditions, as under `match`.",
        Open::Fields => " Its further keys are fields.",
        Open::Compared => " Its further keys are fields, each `same` or `different`.",
        Open::Names => " Its keys are names.",
    }
}

/// Every modifier that this version runs.
pub fn modifiers() -> String {
    let mut text = "| modifier | holds where |\n| --- | --- |\n".to_owned();
    for (word, _) in MODIFIERS.iter().filter(|(_, built)| *built) {
        let asks = ASKS.iter().find(|(known, _)| known == word).map_or("", |(_, asks)| asks);
        let _ = writeln!(text, "| `{word}` | {} |", cell(asks));
    }
    text
}

/// Every field with a name.
pub fn fields() -> String {
    let mut text = "| field | kind | what it is | also accepted |\n| --- | --- | --- | --- |\n".to_owned();
    for info in VOCABULARY {
        let also: Vec<String> = info.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let made = if info.produced { "fact, " } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {made}{} | {} | {} |",
            info.name,
            kind(info.kind),
            cell(info.about),
            also.join(", ")
        );
    }
    text
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "number",
        FieldKind::Bool => "true or false",
        FieldKind::Time => "time",
        FieldKind::Duration => "duration",
        FieldKind::Address => "address",
        FieldKind::Any => "any",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_modifier_is_explained() {
        for (word, _) in MODIFIERS {
            assert!(ASKS.iter().any(|(known, _)| known == word), "{word}");
        }
    }
}
