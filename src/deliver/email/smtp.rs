//! One conversation with a mail server, and what its answers mean.
//!
//! TLS from the first byte, or STARTTLS that is required; unencrypted only within this machine. A
//! connection serves the letters of some time, for greeting and sign-in cost more than a letter; one
//! that has rested is asked whether it still lives. Which step failed decides what is known: before the content nothing
//! was taken, after it nobody knows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Options, Secrets};
use crate::deliver::guard::Guard;
use crate::deliver::http::is_loopback;
use crate::deliver::reason::{Secretive, chain};
use crate::deliver::tls;
use crate::record::{Millis, Timestamp};
use crate::route::Attempt;
use crate::rule::problem::Problems;

/// To a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Letters that a connection serves; some servers count them.
const MAX_LETTERS: u32 = 100;

/// A connection that rested longer is not used again: servers hang up after minutes.
const MAX_REST: Millis = Millis::secs(60);

/// A mail server.
#[derive(Debug)]
pub struct Server {
    host: String,
    port: u16,
    security: Security,
    login: Option<(String, SecretString)>,
    timeout: Duration,
    secretive: Secretive,
    guard: Guard,
    idle: Mutex<Option<Line>>,
}

/// A connection, and what it has served.
struct Line {
    connection: AsyncSmtpConnection,
    letters: u32,
    used: Timestamp,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({})", self.letters)
    }
}

enum Security {
    /// TLS from the first byte.
    Implicit(TlsParameters),
    /// STARTTLS, without which nothing is said.
    StartTls(TlsParameters),
    /// This machine.
    Loopback,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Implicit(_) => "Implicit",
            Self::StartTls(_) => "StartTls",
            Self::Loopback => "Loopback",
        })
    }
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Greeting, encryption, sign-in: about all messages.
    Opening,
    /// Sender and recipient.
    Envelope,
    /// The letter itself.
    Content,
}

/// What is known of each recipient, outside of what a timeout drops.
struct Progress {
    attempts: Vec<Option<Attempt>>,
    /// Whose letter is on its way without an answer.
    sending: Option<usize>,
}

impl Server {
    /// The server that `text`, the value of `smtp`, and `user` and `password` tell of.
    pub fn open(
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        timeout: Millis,
        text: &str,
    ) -> Option<Self> {
        let login = login(options, secrets, problems);
        let address = match Place::of(text) {
            Ok(address) => address,
            Err((fault, hint)) => {
                options.fault(problems, "smtp", format!("`{text}` {fault}"), hint);
                return None;
            }
        };
        let tls = || trusting(&address.host);
        let security = match address.scheme {
            Scheme::Implicit => tls().map(Security::Implicit),
            Scheme::StartTls => tls().map(Security::StartTls),
            Scheme::Loopback => Some(Security::Loopback),
        };
        let Some(security) = security else {
            options.fault(
                problems,
                "smtp",
                "no certificates can be trusted",
                "look at the system's certificates",
            );
            return None;
        };
        let login = login?;
        let secretive = login.as_ref().map_or_else(Secretive::default, |(user, password)| {
            Secretive::default().with_password(user, password)
        });
        let timeout = Duration::from_millis(timeout.0.unsigned_abs());
        let (host, port, guard) = (address.host, address.port, Guard::read(options, problems));
        Some(Self { host, port, security, login, timeout, secretive, guard, idle: Mutex::default() })
    }

    /// Sends the letter to each recipient in an envelope of its own: one attempt each, in their order.
    pub async fn send(&self, from: &Address, to: &[Address], letter: &[u8], now: Timestamp) -> Vec<Attempt> {
        let mut progress = Progress { attempts: vec![None; to.len()], sending: None };
        let talk = self.converse(from, to, letter, now, &mut progress);
        let rest = match tokio::time::timeout(self.timeout, talk).await {
            Ok(Ok(())) => None,
            Ok(Err(attempt)) => Some(attempt),
            Err(_) => Some(Attempt::TryAgain {
                wait: None,
                everyone: true,
                reason: "the mail server gave no answer in time".to_owned(),
            }),
        };
        let lost = |attempt: &Option<Attempt>| Attempt::Unknown {
            reason: match attempt {
                Some(Attempt::TryAgain { reason, .. }) => format!("sent, and the answer is lost: {reason}"),
                Some(_) | None => "sent, and the answer is lost".to_owned(),
            },
        };
        let sending = progress.sending;
        let known = progress.attempts.into_iter().enumerate();
        known
            .map(|(index, attempt)| match attempt {
                Some(attempt) => attempt,
                None if sending == Some(index) => lost(&rest),
                None => rest.clone().unwrap_or(Attempt::Delivered),
            })
            .collect()
    }

    /// Talks to the server. An error is what became of every recipient who is not done.
    async fn converse(
        &self,
        from: &Address,
        to: &[Address],
        letter: &[u8],
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<(), Attempt> {
        let mut line = match self.rested(now).await {
            Some(line) => line,
            None => Line { connection: self.connect(from).await?, letters: 0, used: now },
        };
        let connection = &mut line.connection;
        for (index, recipient) in to.iter().enumerate() {
            let Err((phase, error)) = hand_over(connection, from, recipient, letter, || {
                progress.sending = Some(index);
            })
            .await
            else {
                progress.attempts[index] = Some(Attempt::Delivered);
                progress.sending = None;
                line.letters += 1;
                continue;
            };
            let attempt = self.judge(phase, &error, Some(recipient));
            if error.status().is_none_or(|code| u16::from(code) == 421) {
                // Nobody is there any more.
                return Err(attempt);
            }
            progress.sending = None;
            progress.attempts[index] = Some(attempt);
            connection.command(Rset).await.map_err(|error| self.judge(Phase::Opening, &error, None))?;
        }
        if line.letters < MAX_LETTERS {
            self.idle().replace(Line { used: now, ..line });
        } else {
            // They have their letters; how the server says goodbye does not matter.
            let _ = line.connection.quit().await;
        }
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that served last, where it lives.
    async fn rested(&self, now: Timestamp) -> Option<Line> {
        let line = self.idle().take();
        let mut line = line.filter(|line| (Millis::ZERO..MAX_REST).contains(&(now - line.used)))?;
        line.connection.test_connected().await.then_some(line)
    }

    /// A connection over which letters may go.
    async fn connect(&self, from: &Address) -> Result<AsyncSmtpConnection, Attempt> {
        let bad = |error: Error| self.judge(Phase::Opening, &error, None);
        let hello = ClientId::Domain(from.domain().to_owned());
        let wrapper = match &self.security {
            Security::Implicit(tls) => Some(tls.clone()),
            Security::StartTls(_) | Security::Loopback => None,
        };
        let found = tokio::time::timeout(CONNECT, self.guard.resolve(&self.host, self.port)).await;
        let lost = |reason: String| Attempt::TryAgain { wait: None, everyone: true, reason };
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(refused)) => return Err(lost(self.secretive.reason(&chain(&refused)))),
            Err(_) => return Err(lost(format!("cannot find the address of `{}` in time", self.host))),
        };
        let connect =
            AsyncSmtpConnection::connect_tokio1(found.as_slice(), Some(CONNECT), &hello, wrapper, None);
        let mut connection = connect.await.map_err(bad)?;
        if let Security::StartTls(tls) = &self.security {
            connection.starttls(tls.clone(), &hello).await.map_err(bad)?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(bad)?;
        }
        Ok(connection)
    }

    /// What an error means.
    fn judge(&self, phase: Phase, error: &Error, recipient: Option<&Address>) -> Attempt {
        let who = recipient.map_or_else(String::new, |recipient| format!("{recipient}: "));
        let reason = self.secretive.reason(&format!("{who}{}", chain(error)));
        let Some(code) = error.status().map(u16::from) else {
            return match phase {
                // No STARTTLS, no way to sign in: as long as the server is what it is.
                Phase::Opening if error.is_client() => Attempt::Unwelcome { reason },
                Phase::Opening | Phase::Envelope => Attempt::TryAgain { wait: None, everyone: true, reason },
                Phase::Content => Attempt::Unknown { reason },
            };
        };
        match (code, phase) {
            (400..=499, _) => {
                let everyone = phase == Phase::Opening || code == 421;
                Attempt::TryAgain { wait: None, everyone, reason }
            }
            (530 | 534 | 535 | 538, _) | (_, Phase::Opening) => Attempt::Unwelcome { reason },
            (_, Phase::Envelope) => Attempt::Refused { reason },
            // Its size, or something in it that a filter did not like.
            (_, Phase::Content) => Attempt::Malformed { reason },
        }
    }
}

/// One letter to one recipient; `begun` is called when its content begins.
async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &Address,
    letter: &[u8],
    begun: impl FnOnce(),
) -> Result<(), (Phase, Error)> {
    let envelope = |error| (Phase::Envelope, error);
    connection.command(Mail::new(Some(from.clone()), Vec::new())).await.map_err(envelope)?;
    connection.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(envelope)?;
    connection.command(Data).await.map_err(envelope)?;
    begun();
    connection.message(letter).await.map_err(|error| (Phase::Content, error))?;
    Ok(())
}

/// TLS that trusts the system's authorities, or where there are none the bundled ones.
fn trusting(host: &str) -> Option<TlsParameters> {
    let roots = tls::system_roots();
    let store = if roots.is_empty() { CertificateStore::WebpkiRoots } else { CertificateStore::None };
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(store);
    for root in roots {
        // A root that cannot be read is none; the others are.
        if let Ok(root) = Certificate::from_der(root.to_vec()) {
            builder = builder.add_root_certificate(root);
        }
    }
    builder.build().ok()
}

/// The sign-in, if there is one; none after a fault.
#[expect(clippy::option_option, reason = "a fault is not the same as none")]
fn login(
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<Option<(String, SecretString)>> {
    match (options.has("user"), options.has("password")) {
        (false, false) => Some(None),
        (true, false) => {
            options.fault(
                problems,
                "user",
                "`user` stands without `password`",
                "add `password: env:SMTP_PASSWORD`",
            );
            None
        }
        (false, true) => {
            options.fault(problems, "password", "`password` stands without `user`", "add `user: larum`");
            None
        }
        (true, true) => {
            let user = options.text(problems, "user");
            let password = options.secret(problems, secrets, "password");
            Some(Some((user?, password?)))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Implicit,
    StartTls,
    Loopback,
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Place {
    /// Reads `smtps://host:465`; or what is wrong with it and the way out.
    fn of(text: &str) -> Result<Self, (&'static str, &'static str)> {
        const FORM: &str = "write smtps://mail.example:465 or smtp+starttls://mail.example:587";
        let url: reqwest::Url = text.parse().map_err(|_| ("is no address of a mail server", FORM))?;
        let (scheme, usual) = match url.scheme() {
            "smtps" => (Scheme::Implicit, 465),
            "smtp+starttls" => (Scheme::StartTls, 587),
            "smtp" => (Scheme::Loopback, 25),
            _ => return Err(("is no address of a mail server", FORM)),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(("names no host", FORM))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("holds a sign-in", "write it under `user` and `password`"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(("says more than a host and a port", FORM));
        }
        if scheme == Scheme::Loopback && !is_loopback(host) {
            return Err((
                "would send mail unencrypted",
                "write smtps:// or smtp+starttls://; smtp:// is for this machine only",
            ));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { scheme, host, port: url.port().unwrap_or(usual) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_leaves_this_machine_encrypted_only() {
        let place = |scheme, host: &str, port| Ok(Place { scheme, host: host.to_owned(), port });
        assert_eq!(Place::of("smtps://mail.example"), place(Scheme::Implicit, "mail.example", 465));
        assert_eq!(Place::of("smtp+starttls://mail.example:25"), place(Scheme::StartTls, "mail.example", 25));
        assert_eq!(Place::of("smtp://127.0.0.1:2525"), place(Scheme::Loopback, "127.0.0.1", 2525));
        assert_eq!(Place::of("smtp://[::1]:2525"), place(Scheme::Loopback, "::1", 2525));
        for bad in [
            "smtp://mail.example:25",
            "smtp://192.0.2.1",
            "smtps://user:pw@mail.example",
            "smtps://mail.example/inbox",
            "smtps://",
            "https://mail.example",
            "mail.example:465",
            "",
        ] {
            assert!(Place::of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn there_is_always_something_to_trust() {
        assert!(trusting("mail.example").is_some());
    }
}
