//! Messages to receivers: each kind is one file and a line in [`KINDS`].
//!
//! A receiver is given one message and says what came of it; when to try, how often and whether at
//! all is `route`'s to decide. Every string of an alert is hostile: `render` escapes it for its
//! sink, and nothing else builds text. No receiver keeps state that must outlive it.

use std::pin::Pin;
use std::sync::Arc;

use crate::alert::Alert;
use crate::config::{Options, Secrets};
use crate::route::{Attempt, DeliveryId, Digest};
use crate::rule::keys::MapDoc;
use crate::rule::problem::Problems;

/// What a receiver is given to send.
#[derive(Debug, Clone)]
pub struct Message {
    /// Identity of the delivery: the same at every try.
    pub id: DeliveryId,
    /// What it tells.
    pub content: Content,
    /// Send the minimal form: a plain line that no receiver refuses for its size or shape.
    pub plain: bool,
    /// The zone in which times are shown beside UTC.
    pub zone: chrono_tz::Tz,
    /// Now, by the daemon's clock: for signatures and dates.
    pub now: crate::record::Timestamp,
}

/// What a message tells.
#[derive(Debug, Clone)]
pub enum Content {
    /// An alert as it fired, or as it stands now.
    Alert(Arc<Alert>),
    /// One message for many.
    Digest(Arc<Digest>),
    /// A fixed, minimal message without a word from any record: tells whether the receiver takes anything.
    Probe,
}

/// A try that is under way.
pub type Trying<'a> = Pin<Box<dyn Future<Output = Attempt> + Send + 'a>>;

/// One configured destination.
pub trait Receiver: Send + Sync + std::fmt::Debug {
    /// Sends one message, within the receiver's own time limit.
    fn send<'a>(&'a self, message: &'a Message) -> Trying<'a>;
}

/// Tokens of a transport limit: never exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transport {
    /// Messages a minute, sustained.
    pub per_minute: u32,
    /// Messages at once.
    pub burst: u32,
}

/// Builds a receiver from what the configuration says of it.
pub type Build = fn(&Options<'_>, &Secrets, &mut Problems) -> Option<Box<dyn Receiver>>;

/// A kind of receiver.
#[derive(Debug)]
pub struct Kind {
    /// The word after `kind:`.
    pub name: &'static str,
    /// Its keys, besides those that every receiver has.
    pub keys: &'static MapDoc,
    /// A receiver of this kind as a configuration spells it; a test builds it.
    pub example: &'static str,
    /// What its service allows, from its published limits.
    pub transport: Transport,
    /// True where people read: limits by level hold back what they cannot read.
    pub human: bool,
    /// Builds one; every fault is noted at its place.
    pub build: Build,
}

/// Every kind of receiver.
pub const KINDS: &[Kind] = &[];
