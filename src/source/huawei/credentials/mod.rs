//! Who asks: an access key, or a token of IAM, and where the next one comes from.
//!
//! What is lent for a while is renewed before it ends, and once more when the service says that it
//! has ended; never twice in a row without an answer that was accepted in between, for five bad
//! tries lock a key for everybody. Nothing here reads a clock, and nothing prints a secret.

mod found;
mod iam;
mod metadata;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::client::Http;
use super::trouble::Redactor;
use crate::config::Secrets;
use crate::record::{Millis, Timestamp};

pub(super) use found::{CREDENTIALS, Found, read};
pub(super) use iam::{Login, is_id, project};

/// What is lent is renewed when less of its time remains than this, or than half of it.
const AHEAD: Millis = Millis::mins(40);
/// What is lent is used until this long before its end, where a renewal fails.
const LAST: Millis = Millis::mins(1);
/// When a renewal that failed is tried again.
const AGAIN: Millis = Millis::mins(1);
/// When one is tried again that was refused by who lends.
pub(super) const REFUSED: Millis = Millis::mins(30);

/// Who asks.
#[derive(Clone)]
pub(super) enum Credentials {
    /// An access key; a temporary one comes with a security token.
    Key { access: String, secret: SecretString, security_token: Option<SecretString> },
    /// A token of IAM.
    Token(SecretString),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key { .. } => f.write_str("Key(***)"),
            Self::Token(_) => f.write_str("Token(***)"),
        }
    }
}

impl Credentials {
    /// What no answer may be shown with.
    fn secrets(&self) -> Vec<SecretString> {
        match self {
            // A key's id is half of it, and an echoed request holds it.
            Self::Key { access, secret, security_token } => {
                let id = SecretString::from(access.as_str());
                security_token.iter().chain([secret]).cloned().chain([id]).collect()
            }
            Self::Token(token) => vec![token.clone()],
        }
    }

    fn is(&self, other: &Self) -> bool {
        let text = |secret: &Option<SecretString>| secret.as_ref().map(|it| it.expose_secret().to_owned());
        match (self, other) {
            (
                Self::Key { access, secret, security_token },
                Self::Key { access: other, secret: their, security_token: token },
            ) => {
                access == other
                    && secret.expose_secret() == their.expose_secret()
                    && text(security_token) == text(token)
            }
            (Self::Token(one), Self::Token(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Key { .. }, Self::Token(_)) | (Self::Token(_), Self::Key { .. }) => false,
        }
    }
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Places that the configuration, the environment or a profile names: what stands there may be
    /// replaced by somebody else.
    Places(Places),
    /// The profile file.
    Profile(found::Profile),
    /// A user's name and password, for which IAM gives tokens.
    Login(Login),
    /// The metadata service of the machine, which lends the keys of the machine's agency.
    Metadata(Url),
}

/// References to a key or to a token.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub secrets: Secrets,
    pub key: Option<(String, String)>,
    /// Of a key: the security token; else the token.
    pub token: Option<String>,
}

impl Places {
    /// What stands there now.
    pub fn read(&self) -> Result<Credentials, crate::config::NoSecret> {
        let token = self.token.as_ref().map(|place| self.secrets.read(place)).transpose()?;
        match (&self.key, token) {
            (Some((access, secret)), security_token) => Ok(Credentials::Key {
                access: self.secrets.read(access)?.expose_secret().to_owned(),
                secret: self.secrets.read(secret)?,
                security_token,
            }),
            (None, Some(token)) => Ok(Credentials::Token(token)),
            (None, None) => Err(crate::config::NoSecret::Inline),
        }
    }
}

/// What is held, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub credentials: Credentials,
    /// None where nobody says.
    pub ends: Option<Timestamp>,
}

/// Why there are no credentials; the text holds no secret and says the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoCredentials {
    pub text: String,
    /// When to try again by itself; never, where there is none.
    pub wait: Option<Millis>,
}

/// Keeps credentials good.
#[derive(Debug)]
pub(super) struct Keeper {
    origin: Origin,
    held: Option<Held>,
    /// When what is held is to be renewed.
    renew_at: Option<Timestamp>,
    /// The service says that what is held has ended.
    ended: bool,
    /// It was renewed for that, and nothing was accepted since.
    renewed: bool,
    /// Secrets of before: an answer may come late.
    before: Vec<SecretString>,
}

impl Keeper {
    pub fn new(origin: Origin, held: Option<Credentials>) -> Self {
        let held = held.map(|credentials| Held { credentials, ends: None });
        Self { origin, held, renew_at: None, ended: false, renewed: false, before: Vec::new() }
    }

    /// Who asks now; nobody before the first renewal of what is lent.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.held.as_ref().map(|held| &held.credentials)
    }

    /// What is the same for the next credentials: names whose project it is, without telling a secret.
    pub fn account(&self) -> String {
        match (&self.origin, self.credentials()) {
            (Origin::Places(_) | Origin::Profile(_), Some(Credentials::Key { access, .. })) => access.clone(),
            (Origin::Places(_) | Origin::Profile(_), _) => "token".to_owned(),
            (Origin::Login(login), _) => format!("{}/{}", login.domain, login.user),
            (Origin::Metadata(_), _) => "metadata".to_owned(),
        }
    }

    /// Where they come from, in words.
    pub fn words(&self) -> &'static str {
        match (&self.origin, self.credentials()) {
            (Origin::Places(_), Some(Credentials::Token(_))) => "a token",
            (Origin::Places(_), _) => "an access key",
            (Origin::Profile(_), _) => "an access key of the profile file",
            (Origin::Login(_), _) => "tokens for a user's password",
            (Origin::Metadata(_), _) => "temporary keys of this machine's agency",
        }
    }

    pub fn redactor(&self) -> Redactor {
        let mut secrets = self.before.clone();
        secrets.extend(self.credentials().map(Credentials::secrets).unwrap_or_default());
        if let Origin::Login(login) = &self.origin {
            secrets.push(login.password.clone());
        }
        Redactor::new(secrets)
    }

    /// True when there is something to renew before the next request.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.held.is_none() || self.ended || self.renew_at.is_some_and(|at| at <= now)
    }

    /// True for keys that end by themselves.
    pub fn is_lent(&self) -> bool {
        match &self.origin {
            Origin::Places(places) => places.key.is_some() && places.token.is_some(),
            Origin::Profile(_) => match self.credentials() {
                Some(Credentials::Key { security_token, .. }) => security_token.is_some(),
                Some(Credentials::Token(_)) | None => false,
            },
            Origin::Login(_) | Origin::Metadata(_) => true,
        }
    }

    /// The service accepted what is held.
    pub fn accepted(&mut self) {
        self.renewed = false;
    }

    /// The service says that what is held has ended. True where a renewal may help at once; else what
    /// is lent is renewed when it is asked for the next time.
    pub fn has_ended(&mut self) -> bool {
        let again = self.renewed && matches!(self.origin, Origin::Login(_) | Origin::Metadata(_));
        (self.ended, self.renewed) = (true, false);
        !again
    }

    /// True where other credentials stand at their place than those that are held.
    pub fn has_other(&self) -> bool {
        let there = match &self.origin {
            Origin::Places(places) => places.read().ok(),
            Origin::Profile(profile) => profile.read().ok(),
            Origin::Login(_) | Origin::Metadata(_) => None,
        };
        there.is_some_and(|new| !self.credentials().is_some_and(|old| old.is(&new)))
    }

    /// What stands at the place, if it is something else than what is held.
    fn replaced(&self, read: Result<Credentials, String>) -> Result<Held, NoCredentials> {
        match read {
            Ok(new) if !self.credentials().is_some_and(|old| old.is(&new)) => {
                Ok(Held { credentials: new, ends: None })
            }
            Ok(_) => Err(NoCredentials {
                text: format!(
                    "{} has ended or is of another region: put a new one at its place; nothing more is asked until \
                     it changes",
                    self.words()
                ),
                wait: Some(AGAIN),
            }),
            Err(fault) => {
                Err(NoCredentials { text: format!("{} has ended: {fault}", self.words()), wait: Some(AGAIN) })
            }
        }
    }

    /// Renews what is held. Keeps what is still good where that fails.
    pub async fn renew(&mut self, http: &Http, now: Timestamp) -> Result<(), NoCredentials> {
        let ended = std::mem::take(&mut self.ended);
        self.renewed |= ended;
        let redactor = self.redactor();
        let got = match &self.origin {
            Origin::Places(places) => {
                self.replaced(places.read().map_err(|fault| format!("{fault}; {}", fault.way_out())))
            }
            Origin::Profile(profile) => self.replaced(profile.read()),
            Origin::Login(login) => iam::token(login, http, &redactor).await,
            Origin::Metadata(base) => metadata::key(base, http, &redactor).await,
        };
        match got {
            Ok(held) => {
                let old = self.held.replace(held);
                self.before = old.map(|old| old.credentials.secrets()).unwrap_or_default();
                let ends = self.held.as_ref().and_then(|held| held.ends);
                self.renew_at = ends.map(|ends| {
                    let half = Millis((ends - now).0.max(0) / 2);
                    ends - AHEAD.min(half)
                });
                Ok(())
            }
            Err(_) if !ended && self.is_good(now) => {
                self.renew_at = Some(now + AGAIN);
                Ok(())
            }
            Err(no) => {
                self.ended = ended;
                Err(no)
            }
        }
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.held.as_ref().is_some_and(|held| held.ends.is_none_or(|ends| ends - LAST > now))
    }
}
