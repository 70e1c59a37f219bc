//! Texts that a regular expression cannot match without.
//!
//! Folded, so that they are looked for in folded text whatever the expression says about case:
//! folding maps one character to one, so a part of a text folds to a part of the folded text.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassBytesRange, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

use crate::record::fold::{fold, fold_char};
use crate::rule::pattern::Pattern;

/// Alternatives of one set at most; beyond them the texts are too many or too short to tell much.
const MOST: usize = 32;
/// Characters of a class that are tried one by one at most.
const MOST_CHARACTERS: usize = 16;
/// Longest text that is put together.
const LONGEST: usize = 64;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

/// Texts of which every match has at least one; none of them is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OneOf {
    pub(super) place: Place,
    pub(super) texts: Vec<String>,
}

/// Every set of texts of which a match of `pattern` has one.
pub(super) fn needed(pattern: &Pattern) -> Vec<OneOf> {
    let parsed = ParserBuilder::new().case_insensitive(!pattern.cased()).build().parse(pattern.text());
    // What does not parse did not compile either.
    let Ok(hir) = parsed else { return Vec::new() };
    let mut found = Vec::new();
    let whole = parts(&hir, true, &mut found);
    found.extend(whole.and_then(|texts| one_of(Place::Anywhere, texts)));
    found
}

fn one_of(place: Place, texts: Vec<String>) -> Option<OneOf> {
    // Any of several single characters, anywhere, is in nearly every text.
    let least = if texts.len() > 1 && place == Place::Anywhere { 2 } else { 1 };
    let useful = !texts.is_empty() && texts.iter().all(|text| text.len() >= least);
    useful.then_some(OneOf { place, texts })
}

/// All texts, folded, that `hir` can match, if they are few; else what every match of it has goes to
/// `found`. `outermost`: its ends are the expression's own.
fn parts(hir: &Hir, outermost: bool, found: &mut Vec<OneOf>) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![String::new()]),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            Some(vec![fold(text).into_owned()])
        }
        HirKind::Class(class) => characters(class),
        HirKind::Capture(capture) => parts(&capture.sub, outermost, found),
        HirKind::Repetition(repetition) => repeated(repetition, found),
        HirKind::Concat(list) => concatenation(list, outermost, found),
        HirKind::Alternation(list) => alternation(list, found),
    }
}

fn characters(class: &Class) -> Option<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    let mut add = |character: char| {
        let text = fold_char(character).to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    };
    match class {
        Class::Unicode(class) => {
            let many = class.ranges().iter().map(ClassUnicodeRange::len).sum::<usize>();
            if many > MOST_CHARACTERS {
                return None;
            }
            class.iter().flat_map(|range| range.start()..=range.end()).for_each(&mut add);
        }
        Class::Bytes(class) => {
            let many = class.ranges().iter().map(ClassBytesRange::len).sum::<usize>();
            if many > MOST_CHARACTERS || !class.is_ascii() {
                return None;
            }
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            bytes.map(char::from).for_each(&mut add);
        }
    }
    Some(texts)
}

fn repeated(repetition: &Repetition, found: &mut Vec<OneOf>) -> Option<Vec<String>> {
    let Repetition { min, max, sub, .. } = repetition;
    if *min == 0 {
        // It may be left out, and all that it needs with it. Several that may be left out are many
        // texts for little.
        let texts = parts(sub, false, &mut Vec::new());
        let mut texts = texts.filter(|texts| *max == Some(1) && texts.len() == 1)?;
        texts.push(String::new());
        return Some(texts);
    }
    let once = parts(sub, false, found)?;
    let mut texts = once.clone();
    for _ in 1..*min {
        let Some(longer) = together(&texts, &once) else {
            found.extend(one_of(Place::Anywhere, texts));
            return None;
        };
        texts = longer;
    }
    if *max == Some(*min) {
        return Some(texts);
    }
    found.extend(one_of(Place::Anywhere, texts));
    None
}

fn concatenation(list: &[Hir], outermost: bool, found: &mut Vec<OneOf>) -> Option<Vec<String>> {
    let is = |hir: Option<&Hir>, look: Look| {
        outermost && matches!(hir.map(Hir::kind), Some(HirKind::Look(one)) if *one == look)
    };
    let (starts, ends) = (is(list.first(), Look::Start), is(list.last(), Look::End));
    let mut run = vec![String::new()];
    let (mut whole, mut first) = (true, true);
    for part in list {
        let known = parts(part, false, found);
        if let Some(longer) = known.as_ref().and_then(|texts| together(&run, texts)) {
            run = longer;
            continue;
        }
        let place = if starts && first { Place::Start } else { Place::Anywhere };
        found.extend(one_of(place, std::mem::take(&mut run)));
        (whole, first) = (false, false);
        run = known.unwrap_or_else(|| vec![String::new()]);
    }
    let place = match (starts && first, ends) {
        (true, _) => Place::Start,
        (false, true) => Place::End,
        (false, false) => Place::Anywhere,
    };
    if whole && place == Place::Anywhere {
        return Some(run);
    }
    found.extend(one_of(place, run));
    None
}

/// Each of `before` followed by each of `then`; none if they are too many or too long.
fn together(before: &[String], then: &[String]) -> Option<Vec<String>> {
    if before.len() * then.len() > MOST {
        return None;
    }
    let each = before.iter().flat_map(|one| then.iter().map(move |other| format!("{one}{other}")));
    let texts: Vec<String> = each.collect();
    texts.iter().all(|text| text.len() <= LONGEST).then_some(texts)
}

fn alternation(list: &[Hir], found: &mut Vec<OneOf>) -> Option<Vec<String>> {
    let mut exact = Some(Vec::new());
    let mut any = Some(Vec::new());
    for part in list {
        let mut of_part = Vec::new();
        let texts = parts(part, false, &mut of_part);
        let best = texts
            .clone()
            .or_else(|| of_part.into_iter().map(|set| set.texts).max_by_key(|texts| shortest(texts)));
        exact = exact.zip(texts).map(|(all, texts)| [all, texts].concat());
        any = any.zip(best).map(|(all, texts)| [all, texts].concat());
    }
    if let Some(texts) = exact.filter(|texts| texts.len() <= MOST) {
        return Some(texts);
    }
    found.extend(any.filter(|texts| texts.len() <= MOST).and_then(|texts| one_of(Place::Anywhere, texts)));
    None
}

fn shortest(texts: &[String]) -> usize {
    texts.iter().map(String::len).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `^a b|$c`: one set a part, its texts joined by `|`.
    fn told(text: &str, cased: bool) -> String {
        let sets = needed(&Pattern::new(text, cased).unwrap());
        let set = |set: &OneOf| {
            let mark = match set.place {
                Place::Anywhere => "",
                Place::Start => "^",
                Place::End => "$",
            };
            format!("{mark}{}", set.texts.join("|"))
        };
        sets.iter().map(set).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_match_has_is_found() {
        for (text, meant) in [
            ("abc", "abc"),
            ("^abc", "^abc"),
            ("abc$", "$abc"),
            ("^[a-f][a-z]+\\.(smith|chen)12[0-9]?$", "^a|b|c|d|e|f .smith12|.chen12"),
            ("^ab[0-9a-f]{2}cde[0-9a-f]+-", "^ab cde -"),
            ("x+yy?", "x"),
            ("(evil|bad)-[a-z]+", "evil-|bad-"),
            ("(evil.*z|bad)q", "evil|bad q"),
            ("a{3}b", "aaab"),
            ("(ab){2,}", "abab"),
            ("a*", ""),
            ("(abc)?", ""),
            ("x|", ""),
            (".", ""),
            ("[^a]b", "b"),
            ("STRASSE", "strasse"),
        ] {
            assert_eq!(told(text, true), meant, "{text}");
        }
        assert_eq!(told("Kilo|\u{212a}\u{3a3}", false), "kilo|kσ");
        assert_eq!(told("(?i)KILO", true), "kilo");
    }
}
