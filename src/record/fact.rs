//! Facts: fields with a producer, run only if wanted.
//!
//! A fact is a function of a row's own fields and of configuration (the code table, the patterns
//! over reasons). One that the row gives itself overrides its producer, and what is derived from
//! it follows. Nothing here reads a clock or a file.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::fold::fold;
use super::geography::Geography;

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was let through.
    Success,
    /// It was not.
    Failure,
}

impl Outcome {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Success, Self::Failure];

    /// The word in rules and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The outcome that code and reason tell: a code decides, whatever the reason; without one the
    /// reason does; with neither it is a success.
    pub fn of(code: Option<&str>, reason: Option<&str>) -> Self {
        let said = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(is_success);
        match said(code).or_else(|| said(reason)) {
            Some(false) => Self::Failure,
            Some(true) | None => Self::Success,
        }
    }
}

/// Spellings of success in a code or reason, besides nothing at all.
const SUCCESS: [&str; 4] = ["0", "WKS.00000000", "success", "succeeded"];

/// True for a code or reason that says success.
fn is_success(text: &str) -> bool {
    SUCCESS.iter().any(|spelling| spelling.eq_ignore_ascii_case(text))
}

/// A word outside a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {set}; known: {known}")]
pub struct UnknownWord {
    word: String,
    set: &'static str,
    known: String,
}

impl FromStr for Outcome {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownWord {
            word: text.to_owned(),
            set: "outcome",
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// Why an act failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A wrong password, code or token.
    Credentials,
    /// No such account.
    UnknownUser,
    /// The account is locked or disabled.
    Locked,
    /// A policy forbade it.
    Policy,
    /// The line failed.
    Network,
    /// The service or the desktop failed.
    Server,
    /// The service did not say, or Larum does not know its words.
    Unknown,
}

impl FailureKind {
    /// Every kind, in order.
    pub const ALL: [Self; 7] = [
        Self::Credentials,
        Self::UnknownUser,
        Self::Locked,
        Self::Policy,
        Self::Network,
        Self::Server,
        Self::Unknown,
    ];

    /// The word in rules and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::UnknownUser => "unknown_user",
            Self::Locked => "locked",
            Self::Policy => "policy",
            Self::Network => "network",
            Self::Server => "server",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for FailureKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownWord {
            word: text.to_owned(),
            set: "failure kind",
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// Codes whose kind is known from the start.
const CODES: [(&str, FailureKind); 4] = [
    ("AUTH_FAILED", FailureKind::Credentials),
    ("INVALID_USER", FailureKind::UnknownUser),
    ("6005", FailureKind::Server),
    ("6008", FailureKind::Server),
];

/// Reasons whose kind is known from the start; the first that matches counts, so the more specific
/// stands before the more general.
///
/// A locked account is locked, whatever was typed; what is blocked is not locked. A text that blames
/// name *or* password ("Incorrect username or password", "Unknown user name or bad password") tells
/// nothing of the account: credentials. "password" stands before "network": Windows speaks of "the specified network
/// password". A machine that is not ready in time is the server's fault, not the line's.
const REASONS: [(&str, FailureKind); 7] = [
    (r"(^|[^a-z])(locked|disabled)", FailureKind::Locked),
    (r"user ?(name|id)? (or|and|/) (\w+ )?password", FailureKind::Credentials),
    (r"user does not exist|unknown user", FailureKind::UnknownUser),
    (r"password", FailureKind::Credentials),
    (r"not ready", FailureKind::Server),
    (r"\b600[58]\b", FailureKind::Server),
    (r"time[ -]?out|timed out|network", FailureKind::Network),
];

/// What facts are made with: the code table and the patterns over reasons.
#[derive(Debug, Clone)]
pub struct Facts {
    extra_codes: Vec<(String, FailureKind)>,
    extra_reasons: Vec<(Regex, FailureKind)>,
    reasons: Vec<(Regex, FailureKind)>,
    /// Where addresses are, for rows that do not come with that.
    geography: Option<Arc<dyn Geography>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self::new(&[], Vec::new())
    }
}

impl Facts {
    /// The defaults behind what configuration adds. An added code is asked first, then an added
    /// pattern, then the defaults; codes are compared without case, patterns as they are spelt.
    pub fn new(extra_codes: &[(String, FailureKind)], extra_reasons: Vec<(Regex, FailureKind)>) -> Self {
        let built = |(pattern, kind): (&str, FailureKind)| {
            let regex = RegexBuilder::new(pattern).case_insensitive(true).build().ok()?;
            Some((regex, kind))
        };
        let reasons = REASONS.into_iter().filter_map(built).collect();
        Self { extra_codes: extra_codes.to_vec(), extra_reasons, reasons, geography: None }
    }

    /// The same, with places of addresses.
    #[must_use]
    pub fn with_geography(self, geography: Arc<dyn Geography>) -> Self {
        Self { geography: Some(geography), ..self }
    }

    /// Where addresses are.
    pub fn geography(&self) -> Option<&Arc<dyn Geography>> {
        self.geography.as_ref()
    }

    /// Why a failed act failed.
    pub fn failure_kind(&self, code: Option<&str>, reason: Option<&str>) -> FailureKind {
        let code = code.map_or("", str::trim);
        let reason = reason.map_or("", str::trim);
        let coded = |known: &str| !code.is_empty() && known.eq_ignore_ascii_case(code);
        let added = self.extra_codes.iter().find(|(known, _)| coded(known)).map(|(_, kind)| *kind);
        added
            .or_else(|| first_match(&self.extra_reasons, reason))
            .or_else(|| CODES.iter().find(|(known, _)| coded(known)).map(|(_, kind)| *kind))
            .or_else(|| first_match(&self.reasons, reason))
            .unwrap_or(FailureKind::Unknown)
    }
}

fn first_match(patterns: &[(Regex, FailureKind)], reason: &str) -> Option<FailureKind> {
    if reason.is_empty() {
        return None;
    }
    patterns.iter().find(|(regex, _)| regex.is_match(reason)).map(|(_, kind)| *kind)
}

/// The account in lower case without domain decoration: `Ana`, `CORP\ana` and `ana@corp.example`
/// are all `ana`.
///
/// What stands before the last backslash goes, then what stands from the first `@` on; where that
/// would leave nothing it stays. Other shapes (`arn:aws:iam::1:user/Ana`, `Bob Cat`) are only
/// folded. Empty when the name is blank.
pub fn user(name: &str) -> Cow<'_, str> {
    fold(undecorated(name))
}

/// The part of an account's name that is the account.
pub(super) fn undecorated(name: &str) -> &str {
    let name = name.trim();
    if !name.bytes().any(|byte| byte == b'\\' || byte == b'@') {
        return name;
    }
    let name =
        name.rsplit_once('\\').map_or(name, |(_, account)| if account.is_empty() { name } else { account });
    name.split_once('@').map_or(name, |(account, _)| if account.is_empty() { name } else { account })
}

/// True for an address that stands for "unknown": `0.0.0.0`, `::` in any spelling.
pub(super) fn is_unknown_address(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'0' | b':'))
        && text.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_has_many_spellings() {
        for code in [
            None,
            Some(""),
            Some("0"),
            Some("wks.00000000"),
            Some("SUCCESS"),
            Some("Succeeded"),
            Some(" success "),
        ] {
            assert_eq!(Outcome::of(code, None), Outcome::Success, "{code:?}");
            assert_eq!(Outcome::of(None, code), Outcome::Success, "{code:?}");
        }
    }

    #[test]
    fn a_code_decides_whatever_the_reason() {
        assert_eq!(Outcome::of(Some("500"), Some("success")), Outcome::Failure);
        assert_eq!(Outcome::of(Some("WKS.00000000"), Some("wrong password")), Outcome::Success);
        assert_eq!(Outcome::of(None, Some("wrong password")), Outcome::Failure);
        assert_eq!(Outcome::of(Some(""), Some("wrong password")), Outcome::Failure);
    }

    #[test]
    fn reasons_tell_the_kind_of_a_failure() {
        let facts = Facts::default();
        for (reason, kind) in [
            ("Incorrect username or password", "credentials"),
            ("Unknown user name or bad password", "credentials"),
            ("The specified network password is not correct", "credentials"),
            ("User does not exist", "unknown_user"),
            ("unknown user ana", "unknown_user"),
            ("The account is locked, you typed the wrong password too often", "locked"),
            ("ACCOUNT DISABLED", "locked"),
            ("STATUS_ACCOUNT_LOCKED_OUT", "locked"),
            ("login with a leaked password; further attempts are blocked", "credentials"),
            ("connection timed out", "network"),
            ("Time out", "network"),
            ("gateway timeout", "network"),
            ("Network unreachable", "network"),
            ("your VM is not ready", "server"),
            ("timed out: the VM is not ready", "server"),
            ("client error 6005", "server"),
            ("odd", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(facts.failure_kind(None, Some(reason)).as_str(), kind, "{reason}");
        }
    }

    #[test]
    fn codes_tell_the_kind_before_reasons() {
        let facts = Facts::default();
        assert_eq!(facts.failure_kind(Some("auth_failed"), Some("locked")), FailureKind::Credentials);
        assert_eq!(facts.failure_kind(Some("INVALID_USER"), Some("password")), FailureKind::UnknownUser);
        assert_eq!(facts.failure_kind(Some("6008"), None), FailureKind::Server);
        assert_eq!(facts.failure_kind(Some("500"), Some("password")), FailureKind::Credentials);
        assert_eq!(facts.failure_kind(Some("500"), None), FailureKind::Unknown);
    }

    #[test]
    fn configuration_wins() {
        let codes = [("AUTH_FAILED".to_owned(), FailureKind::Policy)];
        let facts = Facts::new(&codes, vec![(Regex::new("(?i)passw").unwrap(), FailureKind::Locked)]);
        assert_eq!(facts.failure_kind(Some("AUTH_FAILED"), Some("password")), FailureKind::Policy);
        assert_eq!(facts.failure_kind(Some("INVALID_USER"), Some("Password")), FailureKind::Locked);
        assert_eq!(facts.failure_kind(Some("INVALID_USER"), None), FailureKind::UnknownUser);
    }

    #[test]
    fn every_default_pattern_is_a_pattern() {
        assert_eq!(Facts::default().reasons.len(), REASONS.len());
    }

    #[test]
    fn words_are_read_back() {
        for kind in FailureKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
        }
        let bad = "wrong".parse::<Outcome>().unwrap_err();
        assert_eq!(bad.to_string(), "`wrong` is no outcome; known: success, failure");
    }

    #[test]
    fn one_account_has_one_user() {
        for (name, account) in [
            ("Ana", "ana"),
            (r"CORP\ana", "ana"),
            ("ana@corp.example", "ana"),
            (r"CORP\Ana@corp.example", "ana"),
            (" ana ", "ana"),
            ("ANNA ΑΝΝΑΣ", "anna αννασ"),
            ("arn:aws:iam::123456789012:user/Ana", "arn:aws:iam::123456789012:user/ana"),
            (r"CORP\", r"corp\"),
            ("@corp", "@corp"),
            ("", ""),
            ("  ", ""),
        ] {
            assert_eq!(user(name), account, "{name}");
        }
    }

    #[test]
    fn an_unspecified_address_is_unknown() {
        for text in ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"] {
            assert!(is_unknown_address(text), "{text}");
        }
        for text in ["", "0.0.0.1", "::1", "0", "10.0.0.0", "unknown"] {
            assert!(!is_unknown_address(text), "{text}");
        }
    }
}
