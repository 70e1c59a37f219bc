//! What modifiers make of a value before it is looked for: other encodings, other dashes. Done once,
//! when the document is read: what is left are plain texts.

use super::value::{Glob, Piece};

/// Texts that one value may become; eight dashes of a command line are past every use.
const MAX_VARIANTS: usize = 3_125;

/// A modifier that changes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// `wide`, `utf16le`
    Utf16Le,
    /// `utf16be`
    Utf16Be,
    /// `utf16`: little-endian, with a byte order mark.
    Utf16,
    /// `base64`
    Base64,
    /// `base64offset`
    Base64Offset,
    /// `windash`
    Windash,
}

impl Transform {
    /// What a modifier does to the value, if it does.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "wide" | "utf16le" => Self::Utf16Le,
            "utf16be" => Self::Utf16Be,
            "utf16" => Self::Utf16,
            "base64" => Self::Base64,
            "base64offset" => Self::Base64Offset,
            "windash" => Self::Windash,
            _ => return None,
        })
    }
}

/// A value on its way.
#[derive(Debug, Clone)]
enum Value {
    Text(Glob),
    Bytes(Vec<u8>),
}

/// Why a value cannot be changed so: what is wrong and what to do.
pub(super) type Cannot = (&'static str, &'static str);

/// The texts that `value` becomes, one after another transform.
pub(super) fn apply(value: Glob, transforms: &[Transform]) -> Result<Vec<Glob>, Cannot> {
    let mut values = vec![Value::Text(value)];
    for transform in transforms {
        let mut next = Vec::new();
        for value in values {
            next.extend(one(value, *transform)?);
            if next.len() > MAX_VARIANTS {
                return Err((
                    "this value has too many dashes to try all of them",
                    "write it in parts, with `all`",
                ));
            }
        }
        values = next;
    }
    values.into_iter().map(text).collect()
}

fn one(value: Value, transform: Transform) -> Result<Vec<Value>, Cannot> {
    let encoded = |glob: String| Value::Text(Glob::plain(&glob));
    Ok(match transform {
        Transform::Windash => windash(&self::text(value)?).into_iter().map(Value::Text).collect(),
        Transform::Utf16Le => vec![Value::Bytes(utf16(&value, u16::to_le_bytes, &[])?)],
        Transform::Utf16Be => vec![Value::Bytes(utf16(&value, u16::to_be_bytes, &[])?)],
        Transform::Utf16 => vec![Value::Bytes(utf16(&value, u16::to_le_bytes, &[0xff, 0xfe])?)],
        Transform::Base64 => vec![encoded(base64(&bytes(value)?))],
        Transform::Base64Offset => base64_offsets(&bytes(value)?).into_iter().map(encoded).collect(),
    })
}

/// The text of a value; bytes that are none cannot stand in a record.
fn text(value: Value) -> Result<Glob, Cannot> {
    match value {
        Value::Text(glob) => Ok(glob),
        Value::Bytes(bytes) => String::from_utf8(bytes).map(|text| Glob::plain(&text)).map_err(|_| {
            (
                "this encoding makes bytes that are no text, and records hold text",
                "put `base64` or `base64offset` behind it",
            )
        }),
    }
}

const WILDCARDS: Cannot =
    ("a value with wildcards cannot be encoded", "write `\\*` and `\\?` for the characters themselves");

fn plain(value: &Value) -> Result<&str, Cannot> {
    match value {
        Value::Text(glob) => glob.as_plain().ok_or(WILDCARDS),
        Value::Bytes(_) => Err(("this value is encoded twice", "keep one of `wide`, `utf16` and `utf16be`")),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, Cannot> {
    match value {
        Value::Text(glob) => glob.as_plain().map(|text| text.as_bytes().to_vec()).ok_or(WILDCARDS),
        Value::Bytes(bytes) => Ok(bytes),
    }
}

fn utf16(value: &Value, order: fn(u16) -> [u8; 2], mark: &[u8]) -> Result<Vec<u8>, Cannot> {
    let units = plain(value)?.encode_utf16().flat_map(order);
    Ok(mark.iter().copied().chain(units).collect())
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What is certain of the value's encoding, wherever in an encoded text it stands: three bytes are four
/// characters, so there are three ways.
fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    let at = |offset: usize| {
        let mut padded = vec![b' '; offset];
        padded.extend_from_slice(bytes);
        let whole = base64(&padded);
        let start = [0, 2, 3][offset];
        let cut = [0, 3, 2][padded.len() % 3];
        let end = whole.len().saturating_sub(cut).max(start);
        whole.get(start..end).unwrap_or_default().to_owned()
    };
    (0..3).map(at).collect()
}

/// The dashes that Windows programs take for one another before a parameter.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// Every way to write the dashes that begin a word.
fn windash(glob: &Glob) -> Vec<Glob> {
    let mut ways = vec![Glob::default()];
    for piece in glob.pieces() {
        let Piece::Text(text) = piece else {
            for way in &mut ways {
                way.push(piece.clone());
            }
            continue;
        };
        let chars: Vec<char> = text.chars().collect();
        let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        for (at, c) in chars.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| chars.get(before));
            let begins = matches!(c, '-' | '/') && !is_word(before) && is_word(chars.get(at + 1));
            let choices: &[char] = if begins { &DASHES } else { std::slice::from_ref(c) };
            let with = |way: &Glob, c: char| {
                let mut way = way.clone();
                way.push(Piece::Text(c.to_string()));
                way
            };
            ways = ways.iter().flat_map(|way| choices.iter().map(|c| with(way, *c))).collect();
            if ways.len() > MAX_VARIANTS {
                return ways;
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str, transforms: &[Transform]) -> Vec<String> {
        let globs = apply(Glob::parse(text), transforms).expect("a text");
        globs.iter().map(|glob| glob.as_plain().expect("no wildcard").to_owned()).collect()
    }

    #[test]
    fn encodings_are_those_of_the_specification() {
        assert_eq!(made("foobar", &[Transform::Base64]), ["Zm9vYmFy"]);
        assert_eq!(made("foobar", &[Transform::Base64Offset]), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
        assert_eq!(made("foo", &[Transform::Base64Offset]), ["Zm9v", "Zvb", "mb2"]);
        assert_eq!(made("ping", &[Transform::Utf16Le]), ["p\0i\0n\0g\0"]);
        assert_eq!(made("ping", &[Transform::Utf16Be]), ["\0p\0i\0n\0g"]);
        assert_eq!(made("ping", &[Transform::Utf16Le, Transform::Base64]), ["cABpAG4AZwA="]);
        assert_eq!(made("ping", &[Transform::Utf16, Transform::Base64]), ["//5wAGkAbgBnAA=="]);
    }

    #[test]
    fn dashes_that_begin_a_word_are_tried_in_every_way() {
        assert_eq!(made("-a", &[Transform::Windash]), ["-a", "/a", "\u{2013}a", "\u{2014}a", "\u{2015}a"]);
        assert_eq!(made("a-b - c", &[Transform::Windash]), ["a-b - c"]);
        assert_eq!(made(" -a /b", &[Transform::Windash]).len(), 25);
    }

    #[test]
    fn what_cannot_be_encoded_is_told() {
        let cannot = |text: &str, transforms: &[Transform]| {
            apply(Glob::parse(text), transforms).err().map(|(what, _)| what)
        };
        assert_eq!(cannot("a*", &[Transform::Base64]), Some("a value with wildcards cannot be encoded"));
        assert!(cannot("é", &[Transform::Utf16]).is_some());
        assert!(cannot("-a -b -c -d -e -f", &[Transform::Windash]).is_some());
        assert_eq!(cannot("-a -b -c -d -e", &[Transform::Windash]), None);
    }
}
