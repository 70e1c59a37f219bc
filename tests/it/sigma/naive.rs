//! Sigma's specification as slow, obvious code over whole JSON values: what the compiled documents must
//! agree with. Reads a document by itself, folds nothing beforehand and shares nothing with the engine
//! but the crate of regular expressions.

use serde_json::{Map, Value};

/// Whether the record meets the document's `detection`.
pub fn holds(document: &Value, record: &Value) -> bool {
    let detection = document["detection"].as_object().unwrap();
    let verdict = |condition: &Value| {
        let words = words(condition.as_str().unwrap());
        let (verdict, rest) = any(&words, detection, record);
        assert!(rest.is_empty(), "{condition}");
        verdict
    };
    match &detection["condition"] {
        Value::Array(list) => list.iter().any(verdict),
        one => verdict(one),
    }
}

fn words(condition: &str) -> Vec<String> {
    let spaced = condition.replace('(', " ( ").replace(')', " ) ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

type Rest<'a> = (bool, &'a [String]);

fn any<'a>(words: &'a [String], detection: &Map<String, Value>, record: &Value) -> Rest<'a> {
    let (mut verdict, mut rest) = all(words, detection, record);
    while rest.first().is_some_and(|word| word == "or") {
        let (other, after) = all(&rest[1..], detection, record);
        (verdict, rest) = (verdict | other, after);
    }
    (verdict, rest)
}

fn all<'a>(words: &'a [String], detection: &Map<String, Value>, record: &Value) -> Rest<'a> {
    let (mut verdict, mut rest) = one(words, detection, record);
    while rest.first().is_some_and(|word| word == "and") {
        let (other, after) = one(&rest[1..], detection, record);
        (verdict, rest) = (verdict & other, after);
    }
    (verdict, rest)
}

fn one<'a>(words: &'a [String], detection: &Map<String, Value>, record: &Value) -> Rest<'a> {
    match words[0].as_str() {
        "not" => {
            let (verdict, rest) = one(&words[1..], detection, record);
            (!verdict, rest)
        }
        "(" => {
            let (verdict, rest) = any(&words[1..], detection, record);
            assert_eq!(rest[0], ")");
            (verdict, &rest[1..])
        }
        many @ ("1" | "any" | "all") if words.get(1).is_some_and(|word| word == "of") => {
            let pattern = &words[2];
            let meant = |name: &str| match pattern.as_str() {
                "them" => !name.starts_with('_'),
                pattern => glob(pattern, name),
            };
            let mut named = detection.iter().filter(|(name, _)| *name != "condition" && meant(name));
            let holds = |selection: &Value| self::selection(selection, record);
            let verdict = if many == "all" {
                named.all(|(_, selection)| holds(selection))
            } else {
                named.any(|(_, selection)| holds(selection))
            };
            (verdict, &words[3..])
        }
        name => (selection(&detection[name], record), &words[1..]),
    }
}

fn selection(selection: &Value, record: &Value) -> bool {
    match selection {
        Value::Object(items) => items.iter().all(|(key, values)| item(key, values, record)),
        Value::Array(list) => list.iter().any(|one| self::selection(one, record)),
        keyword => item("", keyword, record),
    }
}

fn item(key: &str, values: &Value, record: &Value) -> bool {
    let mut parts = key.split('|');
    let field = parts.next().unwrap();
    let modifiers: Vec<&str> = parts.collect();
    let values: Vec<&Value> = match values {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    let found = if field.is_empty() { Some(Value::Array(leaves(record))) } else { lookup(record, field) };
    let has = |modifier: &str| modifiers.contains(&modifier);
    if has("neq") {
        let there = found.as_ref().is_some_and(|found| !found.is_null());
        return there
            && !values.iter().any(|value| holds_value(field, &modifiers, value, found.as_ref(), record));
    }
    let mut verdicts =
        values.iter().map(|value| holds_value(field, &modifiers, value, found.as_ref(), record));
    if has("all") { verdicts.all(|verdict| verdict) } else { verdicts.any(|verdict| verdict) }
}

/// The value at a name: the key itself, else the path, through lists by every element.
fn lookup(record: &Value, name: &str) -> Option<Value> {
    let map = record.as_object().unwrap();
    if let Some(value) = map.get(name) {
        return Some(value.clone());
    }
    let path: Vec<&str> = name.split('.').collect();
    let mut value = map.get(path[0]).filter(|_| path.len() > 1)?;
    for (at, key) in path.iter().enumerate().skip(1) {
        match value {
            Value::Object(map) => value = map.get(*key)?,
            Value::Array(_) => {
                let found = behind(value, &path[at..]);
                return (!found.is_empty()).then_some(Value::Array(found));
            }
            _ => return None,
        }
    }
    Some(value.clone())
}

fn behind(value: &Value, path: &[&str]) -> Vec<Value> {
    match value {
        Value::Array(list) if path.is_empty() => list.clone(),
        Value::Array(list) => list.iter().flat_map(|one| behind(one, path)).collect(),
        value if path.is_empty() => vec![value.clone()],
        Value::Object(map) => map.get(path[0]).map(|value| behind(value, &path[1..])).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Every value that holds no other.
fn leaves(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.iter().flat_map(leaves).collect(),
        Value::Object(map) => map.values().flat_map(leaves).collect(),
        leaf => vec![leaf.clone()],
    }
}

fn holds_value(
    field: &str,
    modifiers: &[&str],
    value: &Value,
    found: Option<&Value>,
    record: &Value,
) -> bool {
    let has = |modifier: &str| modifiers.contains(&modifier);
    if has("exists") {
        return found.is_some() == (*value == Value::Bool(true));
    }
    let as_text = ["contains", "startswith", "endswith", "base64", "base64offset", "wide", "windash"];
    if value.is_null() && !as_text.iter().any(|word| has(word)) && !field.is_empty() {
        return match found {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.iter().any(Value::is_null),
            Some(_) => false,
        };
    }
    let Some(found) = found else { return false };
    let elements: Vec<&Value> = match found {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    if has("fieldref") {
        let other = lookup(record, value.as_str().unwrap());
        let others: Vec<Value> = match other {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        };
        let same = |one: &Value, other: &Value| {
            let (Some(one), Some(other)) = (text_of(one), text_of(other)) else { return false };
            part(modifiers, field, &escaped(&other), &one)
        };
        return elements.iter().any(|one| others.iter().any(|other| same(one, other)));
    }
    elements.iter().any(|element| holds_one(field, modifiers, value, element))
}

/// A value of a record as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text)
            if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !text.ends_with('.') =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

fn holds_one(field: &str, modifiers: &[&str], value: &Value, element: &Value) -> bool {
    let has = |modifier: &str| modifiers.contains(&modifier);
    let Some(text) = text_of(element) else { return false };
    let parts = [("minute", 14..16), ("hour", 11..13), ("day", 8..10), ("month", 5..7), ("year", 0..4)];
    if let Some((_, range)) = parts.into_iter().find(|(word, _)| has(word)) {
        // Times of the tests are all spelt alike.
        let is_time = text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        return is_time && compare(modifiers, text[range].parse().unwrap(), number_of(value).unwrap());
    }
    if ["gt", "gte", "lt", "lte"].iter().any(|word| has(word)) {
        return number_of(element)
            .is_some_and(|number| compare(modifiers, number, number_of(value).unwrap()));
    }
    let spelt = text_of(value).unwrap_or_else(|| "null".to_owned());
    if has("re") {
        let flags: String = modifiers.iter().filter(|word| word.len() == 1).copied().collect();
        let pattern = if flags.is_empty() { spelt } else { format!("(?{flags}){spelt}") };
        return regex::Regex::new(&pattern).unwrap().is_match(&text);
    }
    if has("cidr") {
        let (Ok(net), Ok(address)) = (spelt.parse::<ipnet::IpNet>(), text.trim().parse::<std::net::IpAddr>())
        else {
            return false;
        };
        return net.contains(&address.to_canonical());
    }
    let changed = ["base64", "base64offset", "wide", "windash"].iter().any(|word| has(word));
    let whole =
        !changed && !["contains", "startswith", "endswith"].iter().any(|word| has(word)) && !field.is_empty();
    match value {
        Value::Number(_) if whole => number_of(element) == number_of(value),
        Value::Bool(flag) if whole => text.to_lowercase() == flag.to_string(),
        _ => encoded(modifiers, &spelt).iter().any(|pattern| part(modifiers, field, pattern, &text)),
    }
}

fn compare(modifiers: &[&str], number: f64, with: f64) -> bool {
    let has = |modifier: &str| modifiers.contains(&modifier);
    match () {
        () if has("gt") => number > with,
        () if has("gte") => number >= with,
        () if has("lt") => number < with,
        () if has("lte") => number <= with,
        () => (number - with).abs() < f64::EPSILON,
    }
}

/// The patterns that a value becomes.
fn encoded(modifiers: &[&str], value: &str) -> Vec<String> {
    let has = |modifier: &str| modifiers.contains(&modifier);
    if has("windash") {
        return dashes(value);
    }
    // What is encoded in the tests holds nothing to escape.
    let mut bytes = value.as_bytes().to_vec();
    if has("wide") {
        bytes = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    }
    if has("base64") {
        return vec![escaped(&base64(&bytes))];
    }
    if has("base64offset") {
        let shifted = |by: usize| {
            let padded = [vec![b' '; by], bytes.clone()].concat();
            // Of each four characters those that hold bits of the padding or of what follows are not known.
            let whole = base64(&padded);
            let known = padded.len() * 8 / 6;
            whole[(by * 8).div_ceil(6)..known].to_owned()
        };
        return [0, 1, 2].map(|by| escaped(&shifted(by))).to_vec();
    }
    if has("wide") {
        return vec![escaped(&String::from_utf8(bytes).unwrap())];
    }
    vec![value.to_owned()]
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    while bits.len() % 6 != 0 {
        bits.push(0);
    }
    let letter = |six: &[u8]| char::from(LETTERS[six.iter().fold(0, |sum, bit| sum * 2 + usize::from(*bit))]);
    let mut text: String = bits.chunks(6).map(letter).collect();
    while text.len() % 4 != 0 {
        text.push('=');
    }
    text
}

/// Each `-` or `/` that begins a word, in every way; the others as they are.
fn dashes(value: &str) -> Vec<String> {
    let chars: Vec<char> = value.chars().collect();
    let word =
        |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut ways = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let begins = matches!(c, '-' | '/') && !word(at.checked_sub(1)) && word(Some(at + 1));
        let choices = if begins { vec!['-', '/', '–', '—', '―'] } else { vec![*c] };
        ways = ways.iter().flat_map(|way| choices.iter().map(move |c| format!("{way}{c}"))).collect();
    }
    ways
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if "\\*?".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

/// Whether the part of `text` that the modifiers say is `pattern`.
fn part(modifiers: &[&str], field: &str, pattern: &str, text: &str) -> bool {
    let has = |modifier: &str| modifiers.contains(&modifier);
    let anywhere = has("contains")
        || has("base64offset") && !has("startswith") && !has("endswith")
        || field.is_empty() && !has("startswith") && !has("endswith");
    let fold = |text: &str| if has("cased") { text.to_owned() } else { text.to_lowercase() };
    let (pattern, text) = (fold(pattern), fold(text));
    // `*` beside a backslash would be escaped by it.
    let chars: Vec<char> = text.chars().collect();
    let starts = if anywhere || has("endswith") { (0..=chars.len()).collect() } else { vec![0] };
    let ends = if anywhere || has("startswith") { (0..=chars.len()).collect() } else { vec![chars.len()] };
    starts.iter().any(|start| {
        ends.iter().filter(|end| start <= *end).any(|end| {
            let piece: String = chars[*start..*end].iter().collect();
            glob(&pattern, &piece)
        })
    })
}

/// Whether all of `text` is `pattern`: `*` any text, `?` any character, `\` before them and itself.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| glob(rest.as_str(), &text[at..]))
        }
        Some('?') => {
            let mut chars = text.chars();
            chars.next().is_some() && glob(rest.as_str(), chars.as_str())
        }
        Some('\\') if rest.as_str().starts_with(['*', '?', '\\']) => {
            let literal = rest.next().unwrap();
            text.strip_prefix(literal).is_some_and(|text| glob(rest.as_str(), text))
        }
        Some(c) => text.strip_prefix(c).is_some_and(|text| glob(rest.as_str(), text)),
    }
}
