//! Who may come in: signatures, temporary keys and tokens, and the lock on a key that was tried too
//! often (`reference/huawei-api.md`, 8 and 9.2).
//!
//! Credentials are judged by the wall clock, not by the virtual one: a client signs with its own
//! clock, however many years ago the records are, or with that of the service's `Date`. Only fakes belong here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::record::{Millis, Timestamp};

use super::Request;
use super::fault::Fault;
use super::signature::{Authorization, DATE, canonical, signed_at};

/// How far a client's clock may be from ours.
pub const MAX_SKEW: Millis = Millis::mins(15);
/// Failed checks in a row that a key survives; the next one locks it.
pub const MAX_FAILURES: u32 = 5;
/// How long a locked key stays locked.
pub const LOCKED_FOR: Millis = Millis::mins(5);
/// How long a token lives.
pub const TOKEN_LIVES: Millis = Millis::hours(24);
/// Tokens that are remembered; the oldest makes room.
const MAX_TOKENS: usize = 1_000;
/// Longest echo of a canonical request: what a token of the vendor's needs, and a little more.
const MAX_ECHO: usize = 48 << 10;

const TOKEN: &str = "x-auth-token";
const SECURITY_TOKEN: &str = "x-security-token";

/// A key pair that the service knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Access key.
    pub ak: String,
    /// Secret key.
    pub sk: String,
    /// What temporary keys bring along in `X-Security-Token`.
    pub security_token: Option<String>,
}

impl Key {
    /// A permanent key pair.
    pub fn new(ak: &str, sk: &str) -> Self {
        Self { ak: ak.to_owned(), sk: sk.to_owned(), security_token: None }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("ak", &self.ak).finish_non_exhaustive()
    }
}

/// The gateway's memory.
#[derive(Default)]
pub struct Gate {
    keys: Vec<Key>,
    /// Failed checks in a row, and the last one, by access key; only keys that are known.
    failures: BTreeMap<String, (u32, Timestamp)>,
    /// Tokens and when they expire, oldest first.
    tokens: Vec<(String, Timestamp)>,
    /// Security tokens that the metadata service handed out and when they expire, oldest first.
    handed: Vec<(String, Timestamp)>,
    /// Tokens that must be renewed.
    stale: BTreeSet<String>,
    issued: u64,
    skew: Millis,
    date: Option<Timestamp>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("keys", &self.keys)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// Sets where the service's clock stands: how far its wall clock is ahead of ours, and what its
    /// `Date` says.
    pub fn set_clock(&mut self, skew: Millis, date: Timestamp) {
        (self.skew, self.date) = (skew, Some(date));
    }

    /// A gate that knows `keys`, and `tokens` that never expire.
    pub fn new(keys: Vec<Key>, tokens: Vec<String>) -> Self {
        let tokens = tokens.into_iter().map(|token| (token, Timestamp::MAX)).collect();
        Self { keys, tokens, ..Self::default() }
    }

    /// Hands the first temporary key out, with a security token of its own that lives for `lives`;
    /// none where there is no such key.
    pub fn hand_out(&mut self, lives: Millis, wall: Timestamp) -> Option<(Key, Timestamp)> {
        let key = self.keys.iter().find(|key| key.security_token.is_some())?;
        self.issued += 1;
        let (token, expires) = (format!("SIMULATED-SECURITY-TOKEN-{:06}", self.issued), wall + lives);
        self.handed.push((token.clone(), expires));
        if self.handed.len() > MAX_TOKENS {
            self.handed.remove(0);
        }
        Some((Key { security_token: Some(token), ..key.clone() }, expires))
    }

    /// Issues a token: its text and when it expires.
    pub fn issue(&mut self, wall: Timestamp) -> (String, Timestamp) {
        self.issued += 1;
        let token = format!("SIMULATED-TOKEN-{:06}", self.issued);
        self.tokens.push((token.clone(), wall + TOKEN_LIVES));
        if self.tokens.len() > MAX_TOKENS {
            self.tokens.remove(0);
        }
        (token, wall + TOKEN_LIVES)
    }

    /// From now on the token that `request` bears, if any, must be renewed.
    pub fn make_stale(&mut self, request: &Request<'_>) {
        if self.stale.len() < MAX_TOKENS
            && let Some(token) = request.header(TOKEN)
        {
            self.stale.insert(token.to_owned());
        }
    }

    /// Lets `request` in, by its signature or its token. Clients that send both need one that holds.
    pub fn admit(&mut self, request: &Request<'_>, wall: Timestamp) -> Result<(), Fault> {
        let token = request.header(TOKEN).map(|token| self.token(token, wall));
        if let Some(Ok(())) = token {
            return Ok(());
        }
        match (request.header("authorization"), token) {
            (Some(text), _) => match Authorization::parse(text) {
                Some(authorization) => self.signature(request, &authorization, wall),
                None => Err(Fault::unauthorized("Unauthorized")),
            },
            (None, Some(refused)) => refused,
            (None, None) => Err(Fault::unauthorized("x-auth-token not found")),
        }
    }

    fn token(&self, token: &str, wall: Timestamp) -> Result<(), Fault> {
        if self.stale.contains(token) {
            return Err(Fault::stale_token());
        }
        match self.tokens.iter().find(|(known, _)| known == token) {
            Some((_, expires)) if *expires > wall => Ok(()),
            Some((_, expires)) => {
                Err(Fault::unauthorized(&format!("token expires, expires_at: {}", micros(*expires))))
            }
            None => Err(Fault::unauthorized("decrypt token fail")),
        }
    }

    fn signature(
        &mut self,
        request: &Request<'_>,
        authorization: &Authorization<'_>,
        wall: Timestamp,
    ) -> Result<(), Fault> {
        let access = authorization.access;
        let Some(key) = self.keys.iter().find(|key| key.ak == access) else {
            return Err(Fault::unauthorized(&format!("Get secretKey failed,ak:{access},error:ak not exist")));
        };
        let failed = self.failures.get(access).copied();
        if let Some((count, last)) = failed {
            if count > MAX_FAILURES && wall - last < LOCKED_FOR {
                return Err(Fault::unauthorized("AK access failed to reach the limit,forbidden"));
            }
            if count > MAX_FAILURES {
                self.failures.remove(access);
            }
        }
        if !authorization.verify(request, &key.sk) {
            let count = self.failures.entry(access.to_owned()).or_insert((0, wall));
            *count = (count.0 + 1, wall);
            return Err(Fault::unauthorized(&echo(request, authorization.signed)));
        }
        self.failures.remove(access);
        let given = request.header(SECURITY_TOKEN);
        if key.security_token.as_deref() != given {
            let handed = self.handed.iter().find(|(token, _)| given == Some(token.as_str()));
            match handed.filter(|_| key.security_token.is_some()) {
                Some((_, expires)) if *expires > wall => {}
                Some(_) => return Err(Fault::expired()),
                None => return Err(Fault::unauthorized("decrypt token fail")),
            }
        }
        if key.security_token.is_some() && !authorization.covers(SECURITY_TOKEN) {
            return Err(Fault::unauthorized("Unauthorized"));
        }
        let signed_at = request.header(DATE).and_then(signed_at);
        let near = |at: Timestamp, clock: Timestamp| (clock - at).0.abs() <= MAX_SKEW.0;
        let in_time =
            |at: Timestamp| near(at, wall + self.skew) || self.date.is_some_and(|date| near(at, date));
        if !signed_at.is_some_and(in_time) {
            return Err(Fault::expired());
        }
        Ok(())
    }
}

/// As the vendor's gateway tells it: with all that was signed, security tokens too.
fn echo(request: &Request<'_>, signed: &str) -> String {
    let canonical: String = canonical(request, signed).chars().take(MAX_ECHO).collect();
    format!("verify aksk signature fail, canonicalRequest:{}", canonical.replace('\n', "|"))
}

/// As IAM writes times: with six digits of fraction.
pub fn micros(time: Timestamp) -> String {
    time.to_string().replace('Z', "000Z")
}
