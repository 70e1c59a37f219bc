//! Signs requests to the vendor with SDK-HMAC-SHA256 (`reference/huawei-api.md`, 8.1), for sources and
//! receivers.
//!
//! A function of the request and the key: the caller gives the date among the headers and sends
//! exactly the query that [`canonical_query`] spells. Nothing here reads a clock or prints a secret.

use std::fmt::Write as _;

use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};

/// The header that holds the moment of signing.
pub const DATE_HEADER: &str = "X-Sdk-Date";
const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path as it is sent, escaped.
    pub path: &'a str,
    /// What [`canonical_query`] made.
    pub query: &'a str,
    /// Names and values; `Host` and [`DATE_HEADER`] among them. Names with `_` are left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as it is sent.
    pub body: &'a [u8],
}

/// A signature and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The request in its canonical form. Holds the values of all signed headers: a secret.
    pub canonical: String,
    /// What was signed.
    pub to_sign: String,
    /// Names of the signed headers, joined by `;`.
    pub headers: String,
    /// Lower-case hexadecimal digits.
    pub signature: String,
}

impl Signed {
    /// The value of the `Authorization` header.
    pub fn authorization(&self, access_key: &str) -> String {
        format!(
            "{ALGORITHM} Access={access_key}, SignedHeaders={}, Signature={}",
            self.headers, self.signature
        )
    }
}

/// Signs a request. Without a date among the headers the signature is of no date, and refused.
pub fn sign(request: &Request<'_>, secret_key: &SecretString) -> Signed {
    let mut headers: Vec<(String, &str)> = request
        .headers
        .iter()
        .filter(|(name, _)| !name.contains('_'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n{}\n{}\n", request.method, canonical_path(request.path), request.query);
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{names}\n{}", sha256(request.body));
    let date = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(DATE_HEADER));
    let date = date.map_or("", |(_, value)| value);
    let to_sign = format!("{ALGORITHM}\n{date}\n{}", sha256(canonical.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret_key.expose_secret().as_bytes());
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    Signed { canonical, to_sign, headers: names, signature }
}

/// A query in the order and escaping that is signed and sent.
pub fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<&(String, String)> = pairs.iter().collect();
    pairs.sort_unstable();
    let spelt = |(name, value): &(String, String)| format!("{}={}", escaped(name), escaped(value));
    pairs.into_iter().map(spelt).collect::<Vec<_>>().join("&")
}

/// Each segment unescaped and escaped anew; always with a slash at its end.
fn canonical_path(path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 1);
    for segment in path.trim_start_matches('/').split('/') {
        text.push('/');
        escape_into(&mut text, &unescaped(segment));
    }
    if !text.ends_with('/') {
        text.push('/');
    }
    text
}

/// Text as it stands in a path or a query.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text.as_bytes());
    out
}

fn escape_into(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The bytes that a segment's `%xx` stand for; a `%` without digits stands for itself.
fn unescaped(segment: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (*first, digit(0), digit(1)) {
            out.extend(u8::try_from(high * 16 + low));
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// A file of the reference; none, said aloud, where it is not there.
    #[expect(clippy::disallowed_methods, reason = "a test finds its data by the environment")]
    fn reference(name: &str) -> Option<Value> {
        let shared = std::env::var("LARUM_SHARED").unwrap_or_else(|_| "../shared".to_owned());
        let path = Path::new(&shared).join("reference").join(name);
        if let Ok(text) = std::fs::read_to_string(&path) {
            return Some(serde_json::from_str(&text).unwrap());
        }
        assert!(std::env::var("LARUM_CI").is_err(), "no reference at `{}`; set LARUM_SHARED", path.display());
        eprintln!("SKIPPED: no reference at `{}`; set LARUM_SHARED", path.display());
        None
    }

    /// A value of a vector's query, as the SDK spells it: a list repeats its key.
    fn spelt(value: &Value) -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(list) => list.iter().flat_map(spelt).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => vec![value.to_string()],
        }
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    #[test]
    fn every_vector_is_reproduced() {
        let Some(file) = reference("signing-vectors.json") else { return };
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 6);
        for vector in vectors {
            let pairs = vector["query"].as_array().unwrap().iter();
            let pairs: Vec<(String, String)> = pairs
                .flat_map(|pair| spelt(&pair[1]).into_iter().map(|value| (text(&pair[0]).to_owned(), value)))
                .collect();
            let query = canonical_query(&pairs);
            let headers = vector["headers"].as_object().unwrap().iter();
            let mut headers: Vec<(&str, &str)> =
                headers.map(|(name, value)| (name.as_str(), text(value))).collect();
            headers.push(("Host", text(&vector["host"])));
            let request = Request {
                method: text(&vector["method"]),
                path: text(&vector["path"]),
                query: &query,
                headers: &headers,
                body: text(&vector["body"]).as_bytes(),
            };
            let signed = sign(&request, &text(&vector["sk"]).into());
            let (name, expect) = (text(&vector["name"]), &vector["expect"]);
            assert_eq!(signed.canonical, text(&expect["canonical_request"]), "{name}");
            assert_eq!(signed.to_sign, text(&expect["string_to_sign"]), "{name}");
            assert_eq!(signed.headers, text(&expect["signed_headers"]), "{name}");
            assert_eq!(signed.signature, text(&expect["signature"]), "{name}");
            assert_eq!(signed.authorization(text(&vector["ak"])), text(&expect["authorization"]), "{name}");
            let target =
                if query.is_empty() { request.path.to_owned() } else { format!("{}?{query}", request.path) };
            assert_eq!(target, text(&expect["request_target"]), "{name}");
        }
    }

    #[test]
    fn a_percent_without_digits_stands_for_itself() {
        assert_eq!(canonical_path("/a%2/b%zz/%e4"), "/a%252/b%25zz/%E4/");
        assert_eq!(canonical_path("/"), "/");
    }
}
