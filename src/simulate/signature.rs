//! Verifies SDK-HMAC-SHA256 from the wire (`reference/huawei-api.md`, 8.1).
//!
//! It knows nothing of how a client signs: it takes method, target, headers and body as they came,
//! works out what must have been signed, and compares. Secrets go in and never come out; what was
//! canonicalised comes out, since the vendor's gateway tells it too.

use ring::{digest, hmac};

use crate::record::Timestamp;

use super::Request;

const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// The header that says when it was signed; it must be signed itself.
pub const DATE: &str = "x-sdk-date";
/// Says that the body is not part of the signature; for bodies that are not JSON.
const CONTENT_HASH: &str = "x-sdk-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The `Authorization` header, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization<'r> {
    /// Whose key.
    pub access: &'r str,
    /// Names in lower case, sorted, joined by `;`.
    pub signed: &'r str,
    signature: &'r str,
}

impl<'r> Authorization<'r> {
    /// None where it is not of this form: one space after the algorithm, commas elsewhere.
    pub fn parse(text: &'r str) -> Option<Self> {
        let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let mut parts = rest.splitn(3, ", ");
        let mut part = |name: &str| parts.next()?.trim().strip_prefix(name)?.strip_prefix('=');
        let authorization =
            Self { access: part("Access")?, signed: part("SignedHeaders")?, signature: part("Signature")? };
        (!authorization.access.is_empty()).then_some(authorization)
    }

    /// True where `header`, in lower case, is covered.
    pub fn covers(&self, header: &str) -> bool {
        self.signed.split(';').any(|name| name == header)
    }

    /// True where the signature is that of `request` under `secret`.
    pub fn verify(&self, request: &Request<'_>, secret: &str) -> bool {
        let Some(tag) = unhex(self.signature) else { return false };
        let date = request.header(DATE).unwrap_or_default();
        let digest = hex(sha256(canonical(request, self.signed).as_bytes()).as_ref());
        let text = format!("{ALGORITHM}\n{date}\n{digest}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        self.covers(DATE) && hmac::verify(&key, text.as_bytes(), &tag).is_ok()
    }
}

/// When the request says that it was signed: `YYYYMMDDTHHMMSSZ`, UTC.
pub fn signed_at(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| bytes.get(from..to).and_then(|part| std::str::from_utf8(part).ok());
    let fits = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    let part = |from, to| digits(from, to).unwrap_or_default();
    let spelt = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    );
    fits.then(|| Timestamp::parse(&spelt)).flatten()
}

/// The six parts that are signed, for the headers `signed`.
pub fn canonical(request: &Request<'_>, signed: &str) -> String {
    let mut path: Vec<String> = request.path().split('/').map(|part| encode(&decode(part, false))).collect();
    if path.last().is_some_and(|last| !last.is_empty()) {
        path.push(String::new());
    }
    let mut pairs = request.query();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    let headers: Vec<String> = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default().trim()))
        .collect();
    let payload = match request.header(CONTENT_HASH) {
        Some(UNSIGNED) if !request.is_json() => UNSIGNED.to_owned(),
        Some(_) | None => hex(sha256(request.body).as_ref()),
    };
    [request.method, &path.join("/"), &pairs.join("&"), &headers.concat(), signed, &payload].join("\n")
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

/// Percent-decodes; what is no text in the end is made so. `form` takes `+` for a space, as in a
/// query.
pub fn decode(text: &str, form: bool) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, behind @ ..]) => {
                if let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) {
                    bytes.push(high << 4 | low);
                    rest = behind;
                } else {
                    bytes.push(b'%');
                }
            }
            (b'+', _) if form => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes all but `A-Za-z0-9-_.~`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_uppercase());
        }
    }
    encoded
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Of 64 lower-case hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let lower =
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?));
    if lower { bytes.collect() } else { None }
}
