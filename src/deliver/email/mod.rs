//! Mail: text with HTML beside it, over SMTP, or as files in a folder for trials.
//!
//! Each recipient has an envelope of its own, so that one bad address neither keeps the others from
//! their mail nor has them sent it again. Who took a delivery is remembered for as long as the
//! process lives: after a crash between two recipients the first is sent it once more, under the same
//! `Message-ID`, by which mail programs know it. Nothing here decides when to try again.

mod folder;
mod letter;
mod smtp;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use lettre::message::Mailbox;

use crate::config::{Options, Secrets};
use crate::route::{Attempt, DeliveryId};
use crate::rule::keys::{MapDoc, Open, Takes, may, need};
use crate::rule::problem::Problems;
use crate::rule::yaml::{self, Node};

use super::reason::Secretive;
use super::{ALLOW_PRIVATE, Kind, Message, Receiver, TIMEOUT, Transport, Trying, timeout};
use folder::Folder;
use smtp::Server;

/// The kind.
pub const KIND: Kind = Kind {
    name: "email",
    keys: &KEYS,
    example: "{name: soc-mail, kind: email, smtp: smtps://mail.example:465, user: larum, \
              password: env:SMTP_PASSWORD, from: larum@example.com, to: [soc@example.com]}",
    transport: Transport { per_minute: 60, burst: 10 },
    human: true,
    ends: false,
    build,
};

static KEYS: MapDoc = MapDoc {
    name: "a receiver of kind `email`",
    about: "mail over SMTP, encrypted unless the server is this machine",
    open: Open::Closed,
    keys: &[
        need(
            "smtp",
            Takes::Text,
            "the server: smtps:// (TLS from the first byte), smtp+starttls:// (STARTTLS, required), smtp:// to this machine, or file: and a folder, for trials",
            "smtp: smtps://mail.example:465",
        ),
        may("user", Takes::Text, "the name to sign in with", "user: larum"),
        may("password", Takes::Secret, "its password", "password: env:SMTP_PASSWORD"),
        need("from", Takes::Text, "the sender's address", "from: larum@example.com"),
        need("to", Takes::Texts, "the recipients' addresses", "to: [soc@example.com]"),
        TIMEOUT,
        ALLOW_PRIVATE,
    ],
};

/// Recipients of one receiver; for more there are mailing lists.
const MAX_RECIPIENTS: usize = 50;

/// Deliveries whose recipients are remembered; past this the oldest is forgotten, and its recipients
/// may be sent it again.
const MAX_REMEMBERED: usize = 1_000;

/// Characters that a mailbox may have: the addresses of RFC 5321 with a name.
const MAX_MAILBOX: usize = 320;

#[derive(Debug)]
struct Email {
    way: Way,
    from: Mailbox,
    to: Vec<Mailbox>,
    taken: Mutex<Taken>,
}

/// How letters leave.
#[derive(Debug)]
enum Way {
    /// Over SMTP.
    Server(Box<Server>),
    /// Into a folder of this machine.
    Folder(Folder),
}

impl Way {
    fn open(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Self> {
        let timeout = timeout(options, problems);
        let text = options.text(problems, "smtp")?;
        let Some(folder) = text.strip_prefix("file:") else {
            return Server::open(options, secrets, problems, timeout, &text)
                .map(|server| Self::Server(server.into()));
        };
        for key in ["user", "password"] {
            if options.has(key) {
                options.fault(problems, key, "nobody signs in to a folder", format!("take `{key}` out"));
            }
        }
        if folder.is_empty() {
            options.fault(problems, "smtp", "`file:` names no folder", "write `smtp: file:mail`");
            return None;
        }
        Some(Self::Folder(Folder(secrets.folder.join(folder))))
    }
}

fn build(options: &Options<'_>, secrets: &Secrets, problems: &mut Problems) -> Option<Box<dyn Receiver>> {
    let way = Way::open(options, secrets, problems);
    let from = options.text(problems, "from").and_then(|text| mailbox(options, problems, "from", &text));
    let texts = options.texts(problems, "to");
    let is_empty = |node: &Node| matches!(&node.kind, yaml::Kind::List(nodes) if nodes.is_empty());
    if options.node("to").is_some_and(is_empty) {
        options.fault(problems, "to", "`to` names nobody", "write `to: [soc@example.com]`");
    }
    if texts.len() > MAX_RECIPIENTS {
        let message = format!("`to` names {} recipients, more than {MAX_RECIPIENTS}", texts.len());
        options.fault(problems, "to", message, "write the address of a mailing list");
        return None;
    }
    let count = texts.len();
    let to: Vec<Mailbox> = texts.iter().filter_map(|text| mailbox(options, problems, "to", text)).collect();
    if to.is_empty() || to.len() < count {
        return None;
    }
    Some(Box::new(Email { way: way?, from: from?, to, taken: Mutex::default() }))
}

/// An address, with a name before it or without.
fn mailbox(options: &Options<'_>, problems: &mut Problems, key: &str, text: &str) -> Option<Mailbox> {
    let parsed = text.parse::<Mailbox>().ok();
    let fine = |mailbox: &Mailbox| mailbox.email.to_string().is_ascii() && text.len() <= MAX_MAILBOX;
    let mailbox = parsed.filter(fine);
    if mailbox.is_none() {
        let hint = "write one such as soc@example.com or `SOC <soc@example.com>`, the address in ASCII";
        options.fault(problems, key, format!("`{text}` is no mail address"), hint);
    }
    mailbox
}

impl Receiver for Email {
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a> {
        Box::pin(async move {
            let letter = match letter::write(message, &self.from, &self.to) {
                Ok(letter) => letter,
                Err(fault) => return Attempt::Malformed { reason: Secretive::default().reason(&fault) },
            };
            let server = match &self.way {
                Way::Server(server) => server,
                Way::Folder(folder) => return folder.put(message.id, letter).await,
            };
            let owed = self.lock().owed(message.id, self.to.len());
            let addresses: Vec<_> = owed.iter().map(|index| self.to[*index].email.clone()).collect();
            let attempts = server.send(&self.from.email, &addresses, &letter, message.now).await;
            let mut taken = self.lock();
            let standings = taken.of(message.id, self.to.len());
            for (index, attempt) in owed.iter().zip(&attempts) {
                standings[*index] = match attempt {
                    Attempt::Delivered => Standing::Taken,
                    Attempt::Refused { reason } => Standing::Refused(reason.clone()),
                    Attempt::TryAgain { .. }
                    | Attempt::Malformed { .. }
                    | Attempt::Unwelcome { .. }
                    | Attempt::Unknown { .. } => Standing::Owed,
                };
            }
            let whole = whole(standings, attempts);
            taken.settle(message.id, &whole);
            whole
        })
    }
}

impl Email {
    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one recipient stands to one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Owed,
    Taken,
    /// The server will never take it for this recipient.
    Refused(String),
}

/// Who took which delivery, the oldest first.
#[derive(Debug, Default)]
struct Taken(VecDeque<(DeliveryId, Vec<Standing>)>);

impl Taken {
    fn of(&mut self, id: DeliveryId, recipients: usize) -> &mut Vec<Standing> {
        let place = self.0.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
            if self.0.len() >= MAX_REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((id, vec![Standing::Owed; recipients]));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// Indices of those who are still to be asked.
    fn owed(&mut self, id: DeliveryId, recipients: usize) -> Vec<usize> {
        let standings = self.of(id, recipients).iter().enumerate();
        standings.filter(|(_, standing)| **standing == Standing::Owed).map(|(index, _)| index).collect()
    }

    /// What is delivered is forgotten; what nobody takes, or is a dead letter, is owed again to those who
    /// refused it, should it be sent once more.
    fn settle(&mut self, id: DeliveryId, whole: &Attempt) {
        match whole {
            Attempt::Delivered => self.0.retain(|(other, _)| *other != id),
            Attempt::Refused { .. } | Attempt::Unwelcome { .. } => {
                for (_, standings) in self.0.iter_mut().filter(|(other, _)| *other == id) {
                    for standing in standings.iter_mut().filter(|one| matches!(one, Standing::Refused(_))) {
                        *standing = Standing::Owed;
                    }
                }
            }
            Attempt::TryAgain { .. } | Attempt::Malformed { .. } | Attempt::Unknown { .. } => {}
        }
    }
}

/// What the tries of this time and the standings come to as one: what calls for another try comes
/// before what is for good. Where every recipient is refused it is the server or the addresses, and no word of
/// the letter: a probe is to show that.
fn whole(standings: &[Standing], attempts: Vec<Attempt>) -> Attempt {
    let refusals: Vec<&str> = standings
        .iter()
        .filter_map(|standing| match standing {
            Standing::Refused(reason) => Some(reason.as_str()),
            Standing::Owed | Standing::Taken => None,
        })
        .collect();
    let taken = standings.iter().filter(|standing| **standing == Standing::Taken).count();
    let mut whole = if refusals.is_empty() {
        Attempt::Delivered
    } else {
        let text = format!("{taken} of {} recipients took it; {}", standings.len(), refusals.join("; "));
        let reason = Secretive::default().reason(&text);
        if refusals.len() == standings.len() {
            Attempt::Unwelcome { reason }
        } else {
            Attempt::Refused { reason }
        }
    };
    for attempt in attempts {
        whole = match (whole, attempt) {
            (
                Attempt::TryAgain { wait: one, everyone: all, reason },
                Attempt::TryAgain { wait: other, everyone, .. },
            ) => Attempt::TryAgain { wait: one.max(other), everyone: all || everyone, reason },
            (one, other) => {
                if weight(&other) > weight(&one) {
                    other
                } else {
                    one
                }
            }
        };
    }
    whole
}

/// What matters more for all recipients together.
fn weight(attempt: &Attempt) -> u8 {
    match attempt {
        Attempt::Delivered => 0,
        Attempt::Refused { .. } => 1,
        Attempt::Unwelcome { .. } => 2,
        Attempt::Malformed { .. } => 3,
        Attempt::Unknown { .. } => 4,
        Attempt::TryAgain { .. } => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Millis;

    const ID: DeliveryId = DeliveryId([1; 16]);

    fn again() -> Attempt {
        Attempt::TryAgain { wait: None, everyone: false, reason: "busy".to_owned() }
    }

    #[test]
    fn who_took_it_is_not_asked_again() {
        let mut taken = Taken::default();
        assert_eq!(taken.owed(ID, 3), [0, 1, 2]);
        taken.of(ID, 3)[1] = Standing::Taken;
        taken.of(ID, 3)[2] = Standing::Refused("550".to_owned());
        taken.settle(ID, &again());
        assert_eq!(taken.owed(ID, 3), [0]);
    }

    #[test]
    fn what_is_sent_once_more_by_an_operator_goes_to_those_who_refused_it() {
        let mut taken = Taken::default();
        *taken.of(ID, 2) = vec![Standing::Taken, Standing::Refused("550".to_owned())];
        let whole = whole(&taken.0[0].1.clone(), Vec::new());
        assert_eq!(whole, Attempt::Refused { reason: "1 of 2 recipients took it; 550".to_owned() });
        taken.settle(ID, &whole);
        assert_eq!(taken.owed(ID, 2), [1]);
    }

    #[test]
    fn what_every_recipient_refuses_is_for_a_probe_to_judge_and_is_asked_again() {
        let mut taken = Taken::default();
        *taken.of(ID, 2) = vec![Standing::Refused("550".to_owned()), Standing::Refused("553".to_owned())];
        let whole = whole(&taken.0[0].1.clone(), Vec::new());
        assert_eq!(whole, Attempt::Unwelcome { reason: "0 of 2 recipients took it; 550; 553".to_owned() });
        taken.settle(ID, &whole);
        assert_eq!(taken.owed(ID, 2), [0, 1]);
    }

    #[test]
    fn memory_is_bounded_and_ends_with_the_delivery() {
        let mut taken = Taken::default();
        for number in 0..=u16::try_from(MAX_REMEMBERED).unwrap() {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.to_le_bytes());
            taken.of(DeliveryId(id), 1)[0] = Standing::Taken;
        }
        assert_eq!(taken.0.len(), MAX_REMEMBERED);
        assert_eq!(taken.owed(DeliveryId([0; 16]), 1), [0], "the oldest is forgotten");
        taken.settle(DeliveryId([0; 16]), &Attempt::Delivered);
        assert_eq!(taken.0.len(), MAX_REMEMBERED - 1);
    }

    #[test]
    fn another_try_comes_before_what_is_for_good() {
        let refused = Attempt::Refused { reason: "550".to_owned() };
        let standings = [Standing::Refused("550".to_owned()), Standing::Owed, Standing::Taken];
        assert_eq!(whole(&standings, vec![refused, again(), Attempt::Delivered]), again());
        assert_eq!(whole(&[Standing::Taken], vec![Attempt::Delivered]), Attempt::Delivered);
        let (one, other) = (Some(Millis(1)), Some(Millis(2)));
        let wait = |wait, everyone| Attempt::TryAgain { wait, everyone, reason: "busy".to_owned() };
        assert_eq!(whole(&[], vec![wait(one, true), wait(other, false)]), wait(other, true));
    }
}
