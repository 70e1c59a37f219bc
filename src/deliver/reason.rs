//! Why an attempt came to what it came to, in words that may be kept and shown.
//!
//! What a server says is hostile, and it may repeat what it was sent: an address that is a secret,
//! a password. [`Secretive`] knows them and takes them out of every text before it is kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::rule::problem::deceives;

/// Characters of a reason.
pub const MAX_REASON: usize = 512;

/// Shorter pieces of a secret stand in ordinary words, too.
const MIN_PIECE: usize = 6;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// What no reason may hold.
#[derive(Clone, Default)]
pub struct Secretive {
    pieces: Vec<SecretString>,
}

impl std::fmt::Debug for Secretive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secretive({})", self.pieces.len())
    }
}

impl Secretive {
    /// Keeps `url` secret: the whole, and all after its host, together and piece by piece.
    #[must_use]
    pub fn with_url(mut self, url: &reqwest::Url) -> Self {
        self.add(url.as_str());
        let mut beyond = url.path().to_owned();
        if let Some(query) = url.query() {
            beyond.push('?');
            beyond.push_str(query);
        }
        self.add(&beyond);
        for part in beyond.split(['/', '?', '&', '=', ';']) {
            self.add(part);
        }
        self.add(url.username());
        self.add(url.password().unwrap_or(""));
        self
    }

    /// Keeps a key or a token secret.
    #[must_use]
    pub fn with_secret(mut self, secret: &SecretString) -> Self {
        self.add(secret.expose_secret());
        self
    }

    /// Keeps a password secret, and what an `AUTH` command makes of it.
    #[must_use]
    pub fn with_password(mut self, user: &str, password: &SecretString) -> Self {
        let password = password.expose_secret();
        // However short it is: nothing of it may be kept.
        self.pieces.push(password.into());
        self.add(&STANDARD.encode(password));
        self.add(&STANDARD.encode(format!("\0{user}\0{password}")));
        self.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.expose_secret().len()));
        self
    }

    fn add(&mut self, piece: &str) {
        if piece.len() >= MIN_PIECE {
            self.pieces.push(piece.into());
            // The longest first: a piece of a piece leaves no rest behind.
            self.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.expose_secret().len()));
        }
    }

    /// `text` as a reason: no secret, no line break or other control character, at most
    /// [`MAX_REASON`] characters.
    pub fn reason(&self, text: &str) -> String {
        // Before all else, so that no control character within hides a secret.
        let mut text: String = text.chars().map(|c| if deceives(c) { ' ' } else { c }).collect();
        for piece in &self.pieces {
            if text.contains(piece.expose_secret()) {
                text = text.replace(piece.expose_secret(), HIDDEN);
            }
        }
        let mut reason = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON - 1)
            && reason.chars().count() > MAX_REASON
        {
            reason.truncate(end);
            reason.push('…');
        }
        reason
    }
}

/// An error and its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_no_part_of_a_secret_address() {
        let url = "https://hooks.example/services/T00000000/B11111111/xyzXYZ123?sig=abcdef".parse().unwrap();
        let secretive = Secretive::default().with_url(&url);
        for said in [
            format!("no such hook: {url}"),
            "no such path /services/T00000000/B11111111/xyzXYZ123?sig=abcdef".to_owned(),
            "bad token xyzXYZ123 of B11111111, abcdef".to_owned(),
        ] {
            let reason = secretive.reason(&said);
            assert!(
                !["T00000000", "B11111111", "xyzXYZ", "abcdef"].iter().any(|s| reason.contains(s)),
                "{reason}"
            );
        }
        assert_eq!(secretive.reason("error at hooks.example"), "error at hooks.example");
    }

    #[test]
    fn a_reason_holds_no_password_however_it_is_spelt() {
        let secretive = Secretive::default().with_password("larum", &"s3cr".into());
        assert_eq!(secretive.reason("bad AUTH AGxhcnVtAHMzY3I= or s3cr"), "bad AUTH *** or ***");
        assert!(!format!("{secretive:?}").contains("s3cr"));
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        let secretive = Secretive::default();
        assert_eq!(secretive.reason("<html>\r\n\u{1b}[31m  no\u{202e}\0"), "<html> [31m no");
        let long = secretive.reason(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), MAX_REASON);
        assert!(long.ends_with("é…"));
    }
}
