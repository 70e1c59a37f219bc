//! Which group is meant: its values as a person gives them, who may have copied them from what was shown.

use std::borrow::Cow;

use crate::record::fold::fold;
use crate::record::{FieldKind, FieldName, RuleId, Value};
use crate::rule::compile::{Program, key_text};

use super::{Explain, ExplainError};

/// Makes a value that was given comparable with those of records; none if it is none.
type Spell<'a> = &'a dyn Fn(&str, FieldKind) -> Option<String>;

impl Explain {
    /// The keys of the groups that may be meant, as the engine spells them: of the values as they are given,
    /// then as they are shown. None where a field is asked for as empty.
    pub(super) fn keys(
        &self,
        rule: &RuleId,
        program: &Program,
    ) -> Result<Vec<Option<Box<[u8]>>>, ExplainError> {
        let as_text = |text: &str, kind| key_text(Value::Text(text), kind).map(Cow::into_owned);
        let spellings: [Spell<'_>; 4] = [
            &as_text,
            // A value that is too long to be kept, as its group keeps it.
            &|value, _| Some(value.to_owned()),
            &|value, kind| as_text(&unescaped(value), kind),
            &|value, kind| as_text(&unquoted(value)?, kind),
        ];
        let mut keys = Vec::new();
        for (number, spell) in spellings.into_iter().enumerate() {
            match self.key(rule, program, spell) {
                Ok(key) if keys.contains(&key) => {}
                Ok(key) => keys.push(key),
                Err(error) if number == 0 => return Err(error),
                Err(_) => {}
            }
        }
        Ok(keys)
    }

    /// The group's key, its values made comparable by `spell`; none where a field is asked for as empty.
    fn key(
        &self,
        rule: &RuleId,
        program: &Program,
        spell: Spell<'_>,
    ) -> Result<Option<Box<[u8]>>, ExplainError> {
        let by: Vec<&str> = program.by.iter().map(|part| part.field.as_str()).collect();
        for part in &program.by {
            let mut named = self.group.iter().filter(|(name, _)| is_named(&part.field, name));
            if let Some((name, _)) = named.nth(1) {
                return Err(ExplainError::Twice(name.clone()));
            }
        }
        let unknown =
            |(name, _): &&(String, String)| !program.by.iter().any(|part| is_named(&part.field, name));
        if let Some((field, _)) = self.group.iter().find(unknown) {
            let (rule, field) = (rule.clone(), field.clone());
            return Err(if by.is_empty() {
                ExplainError::NoGroups(rule)
            } else {
                ExplainError::NoSuchField { rule, field, by: by.join(", ") }
            });
        }
        let mut key = Vec::new();
        for part in &program.by {
            let value = self.group.iter().find(|(name, _)| is_named(&part.field, name));
            if value.is_some_and(|(_, value)| value.is_empty()) {
                if !program.missing_own {
                    return Ok(None);
                }
                Program::push_key_part(&mut key, None);
                continue;
            }
            let text = value.and_then(|(_, value)| spell(value, part.field.kind()));
            let Some(text) = text else {
                let (rule, missing) = (rule.clone(), format!("--group {}=…", part.field));
                return Err(ExplainError::Group { rule, by: by.join(", "), missing });
            };
            Program::push_key_part(&mut key, Some(&text));
        }
        Ok(Some(key.into_boxed_slice()))
    }
}

/// What ends a value that was cut to be shown: see [`super::show::each`].
const CUT: char = '…';

/// A group of which a value was given as it was cut to be shown.
pub(super) struct CutGroup {
    /// Of each field of `by`: what may be meant.
    parts: Vec<CutPart>,
    /// The first value that was cut, as it was given.
    pub value: String,
}

enum CutPart {
    /// One of these, or the group has no value there.
    Whole(Vec<Option<String>>),
    /// What begins with one of these.
    Begin(Vec<String>),
}

impl Explain {
    /// The group, where a value ends as if it had been cut to be shown.
    pub(super) fn cut(&self, program: &Program) -> Option<CutGroup> {
        let (_, value) = self.group.iter().find(|(_, value)| value.ends_with(CUT))?;
        let part = |field: &FieldName| {
            let given = self.group.iter().find(|(name, _)| is_named(field, name));
            let given = given.map(|(_, value)| value.as_str()).unwrap_or_default();
            if let Some(begin) = given.strip_suffix(CUT) {
                let begins = [Some(begin.to_owned()), Some(unescaped(begin)), unquoted(begin)];
                return CutPart::Begin(
                    begins.into_iter().flatten().map(|text| fold(&text).into_owned()).collect(),
                );
            }
            let spellings = [Some(given.to_owned()), Some(unescaped(given)), unquoted(given)];
            let key = |text: String| key_text(Value::Text(&text), field.kind()).map(Cow::into_owned);
            CutPart::Whole(spellings.into_iter().map(|text| key(text?)).collect())
        };
        let parts = program.by.iter().map(|by| part(&by.field)).collect();
        Some(CutGroup { parts, value: value.clone() })
    }
}

impl CutGroup {
    /// Whether it is the group of these values.
    pub(super) fn is(&self, group: &[(FieldName, Option<String>)]) -> bool {
        group.len() == self.parts.len()
            && self.parts.iter().zip(group).all(|(part, (_, value))| match part {
                CutPart::Whole(meant) => meant.contains(value),
                CutPart::Begin(begins) => {
                    value.as_ref().is_some_and(|value| begins.iter().any(|begin| value.starts_with(begin)))
                }
            })
    }
}

/// Whether a person means `field`: by our name, the vendor's, one that a map declares, or as a Sigma document
/// spells it.
fn is_named(field: &FieldName, name: &str) -> bool {
    *field == FieldName::declared(name) || *field == FieldName::spelt(name)
}

/// A value that was shown for people, as it was before: see [`super::show::safe`].
fn unescaped(shown: &str) -> String {
    let (mut text, mut rest) = (String::new(), shown);
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.strip_prefix("u{").and_then(|code| code.split_once('}'));
        let hidden =
            code.and_then(|(code, rest)| Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, rest)));
        let plain = [('n', '\n'), ('t', '\t')];
        let plain = || plain.iter().find_map(|(word, c)| Some((*c, after.strip_prefix(*word)?)));
        // A backslash itself is shown as it is.
        let (c, behind) = hidden.or_else(plain).unwrap_or(('\\', after));
        text.push(c);
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// A value that was shown as JSON, with its quotes or without, as it was before.
fn unquoted(shown: &str) -> Option<String> {
    serde_json::from_str(shown).or_else(|_| serde_json::from_str(&format!("\"{shown}\""))).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::show;

    proptest! {
        #[test]
        fn a_value_that_was_shown_is_read_back(
            value in prop_oneof![".{0,12}", "[a\\t\n\u{1b}\u{202e}\"\u{1f600}]{0,12}"],
        ) {
            prop_assert_eq!(unescaped(&show::safe(&value.replace('\\', ""))), value.replace('\\', ""));
            let json = show::json_text(&value).unwrap();
            prop_assert_eq!(unquoted(&json), Some(value.clone()));
            prop_assert_eq!(unquoted(&json[1..json.len() - 1]), Some(value));
        }
    }

    #[test]
    fn a_backslash_is_shown_as_it_is_and_read_so() {
        for (shown, meant) in [
            (r"corp\ana", r"corp\ana"),
            (r"corp\u{}", r"corp\u{}"),
            (r"corp\u{zz}", r"corp\u{zz}"),
            (r"a\u{1b}[31m\", "a\u{1b}[31m\\"),
        ] {
            assert_eq!(unescaped(shown), meant);
        }
        assert_eq!(unquoted("a\\"), None);
    }
}
