//! One try at one delivery: noted before it begins, sent, and noted again with what it came to.

use std::sync::Arc;
use std::time::Duration;

use super::super::step::Step;
use super::desk::{Desk, Item, Next};
use super::order::Ready;
use super::{Again, Ended, Event, STORE_WAIT};
use crate::deliver::{Content, Message, Thread};
use crate::record::{Level, Millis, Timestamp};
use crate::route::plan::Unit;
use crate::route::retry::{self, Turn, Verdict};
use crate::route::{Attempt, Body, Delivery, DeliveryId, Standing};
use crate::store::{Change, DeliveryQuery};

/// No receiver takes longer to answer: then nobody knows what it did.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// A try without an outcome is made again after this: longer than any answer and a probe after it.
pub(super) const LEASE: Millis = Millis::mins(3);
/// Longest wait for a token for a probe while a try is under way.
const PROBE_WAIT: Millis = Millis::secs(20);
/// Times that noting an outcome is tried while the store cannot; then the lease ends, and it is sent again.
const OUTCOME_TRIES: u32 = 30;
/// Deliveries that are made due at once when a receiver takes messages again; others keep their time.
pub(super) const MAX_HASTENED: usize = 10_000;
/// Characters of a reason that are kept.
const MAX_REASON: usize = 512;

impl Desk {
    /// Tries a delivery whose turn has come.
    pub(super) async fn try_one(&mut self, unit: &Unit, ready: Ready, now: Timestamp) -> Result<Next, Ended> {
        let Ready { delivery, content, with } = ready;
        let id = delivery.id;
        self.queue.retain(|item| item.delivery.id != id);
        let delivery = self.lease(delivery, with, now).await?;
        self.turns.note(unit);
        let thread = self.thread(&delivery).await?;
        let message = Message { thread, ..self.message(id, content, delivery.plain, now) };
        let attempt = self.send(&message).await;
        self.office.steps.pass(Step::AfterSend)?;
        let now = self.office.clock.now();
        let turn = self.health.after(&attempt, id, now, self.dice.f64());
        let step = match retry::next_step(&attempt, &delivery, now, self.dice.f64()) {
            retry::Step::Probe { reason } => self.judge(&delivery, reason, now).await?,
            step @ (retry::Step::Finish
            | retry::Step::Wait { .. }
            | retry::Step::Plain { .. }
            | retry::Step::Bury { .. }) => step,
        };
        let outcome = outcome(&attempt);
        if attempt == Attempt::Delivered {
            self.group_told(&delivery, now);
        }
        if attempt != Attempt::Delivered {
            let (receiver, tries) = (&self.target.name, delivery.tries);
            tracing::warn!(%receiver, delivery = %id, tries, outcome, "not delivered");
        }
        self.settle(delivery, step, &attempt, outcome.clone()).await?;
        self.tell(turn, &outcome);
        self.tell_asked(now, &outcome);
        self.hasten_after(turn).await?;
        Ok(Next::Again)
    }

    /// The receiver is left alone no longer, and what waits is due.
    pub(super) async fn ask(&mut self, again: Again) -> Result<(), Ended> {
        let now = self.office.clock.now();
        match again {
            Again::Mended => self.health.ask_again(now),
            Again::Wanted => {
                self.health.try_now(now);
                self.tell_asked(now, "");
            }
            Again::TookTest => {
                let turn = self.health.took_test(now);
                self.tell(turn, "");
            }
        }
        self.hasten().await
    }

    /// Tells until when the receiver asked to be left alone, if it did.
    fn tell_asked(&self, at: Timestamp, reason: &str) {
        if let Some(until) = self.health.asked_until() {
            let (receiver, reason) = (self.target.name.clone(), reason.to_owned());
            self.office.events.tell(Event::Asked { receiver, at, until, reason });
        }
    }

    async fn hasten_after(&mut self, turn: Option<Turn>) -> Result<(), Ended> {
        match turn {
            Some(Turn::Recovered) => self.hasten().await,
            Some(Turn::Failing | Turn::Paused) | None => Ok(()),
        }
    }

    /// Makes due what waits for another try: the receiver takes messages again.
    async fn hasten(&mut self) -> Result<(), Ended> {
        let now = self.office.clock.now();
        let query = DeliveryQuery {
            receiver: Some(self.target.name.clone()),
            states: vec!["waiting".to_owned()],
            most: MAX_HASTENED,
            ..DeliveryQuery::default()
        };
        let waiting = self.office.store.deliveries(query).await?.into_iter();
        let late =
            waiting.filter(|delivery| delivery.tries > 0 && delivery.held_by.is_none() && delivery.due > now);
        let due = late.map(|delivery| Delivery { due: now, ..delivery }).collect::<Vec<_>>();
        if due.is_empty() {
            return Ok(());
        }
        tracing::info!(receiver = %self.target.name, deliveries = due.len(), "what waited is due");
        // What is due now was not looked at yet.
        self.queue.clear();
        self.commit(due).await
    }

    pub(super) fn message(&self, id: DeliveryId, content: Content, plain: bool, now: Timestamp) -> Message {
        Message { id, content, thread: None, plain, zone: self.office.zone, now }
    }

    /// What `delivery` continues.
    async fn thread(&self, delivery: &Delivery) -> Result<Option<Thread>, Ended> {
        let Body::Alert { id: alert, .. } = delivery.body else { return Ok(None) };
        let first = DeliveryId::of_alert(&delivery.tenant, &delivery.receiver, alert, 1);
        if first == delivery.id {
            return Ok(None);
        }
        let (tenant, receiver) = (delivery.tenant.clone(), delivery.receiver.clone());
        let mark = self.office.store.mark(tenant, receiver, alert).await?;
        Ok(Some(Thread { first, mark }))
    }

    pub(super) async fn send(&self, message: &Message) -> Attempt {
        let (sending, began) = (self.target.receiver.send(message), self.office.clock.now());
        let attempt = tokio::time::timeout(ANSWER_WITHIN, sending)
            .await
            .unwrap_or_else(|_| Attempt::Unknown { reason: "no answer in 60 s".to_owned() });
        self.office.meters.tried(&self.target.name, &attempt, self.office.clock.now() - began);
        attempt
    }

    /// Notes that a try begins, of a message that stands for those `with` it too.
    async fn lease(
        &mut self,
        delivery: Delivery,
        with: Vec<Delivery>,
        now: Timestamp,
    ) -> Result<Delivery, Ended> {
        self.queue.retain(|item| with.iter().all(|other| other.id != item.delivery.id));
        let stands = |other: Delivery| Change::Delivery(Box::new(super::order::told_by(other, &delivery)));
        let mut changes: Vec<Change> = with.into_iter().map(stands).collect();
        if let Standing::Sending { .. } = delivery.standing {
            let tries = self.office.store.tries(delivery.id).await?;
            if let Some(lost) = tries.last().filter(|lost| lost.outcome.is_none()) {
                let outcome = Some("unknown: the daemon stopped before it could note the answer".to_owned());
                changes.push(Change::Tried {
                    delivery: delivery.id,
                    number: lost.number,
                    at: lost.at,
                    outcome,
                });
            }
        }
        let delivery = Delivery {
            tries: delivery.tries.saturating_add(1),
            held_by: None,
            standing: Standing::Sending { until: now + LEASE },
            ..delivery
        };
        changes.push(Change::Delivery(Box::new(delivery.clone())));
        let number = delivery.tries;
        changes.push(Change::Tried { delivery: delivery.id, number, at: now, outcome: None });
        self.office.steps.pass(Step::BeforeLease)?;
        self.commit_of(&delivery.tenant, changes).await?;
        self.office.steps.pass(Step::AfterLease)?;
        if let Some(debt) = &mut self.debt {
            debt.seen.push((now, delivery.level, delivery.rule.clone()));
        }
        Ok(delivery)
    }

    /// What becomes of a delivery that was unwelcome.
    async fn judge(
        &mut self,
        delivery: &Delivery,
        reason: String,
        now: Timestamp,
    ) -> Result<retry::Step, Ended> {
        let probe = match self.health.verdict(now) {
            Verdict::Guilty => Attempt::Delivered,
            Verdict::Wait { until } => return Ok(retry::Step::Wait { until, waited: delivery.waited }),
            Verdict::Probe => match self.take_token(Level::Critical, true, now) {
                Ok(()) => self.probe(now).await?,
                Err(free) if free - now <= PROBE_WAIT => {
                    self.office.clock.sleep(free - now).await;
                    let now = self.office.clock.now();
                    if let Err(until) = self.take_token(Level::Critical, true, now) {
                        return Ok(retry::Step::Wait { until, waited: delivery.waited });
                    }
                    self.probe(now).await?
                }
                Err(until) => return Ok(retry::Step::Wait { until, waited: delivery.waited }),
            },
        };
        let now = self.office.clock.now();
        Ok(retry::after_probe(&probe, &reason, delivery, now, self.dice.f64()))
    }

    /// Probes a paused receiver.
    pub(super) async fn probe_paused(&mut self, now: Timestamp) -> Result<Next, Ended> {
        if let Err(free) = self.take_token(Level::Critical, true, now) {
            return Ok(Next::Until(free));
        }
        self.probe(now).await?;
        Ok(Next::Again)
    }

    /// Sends a probe, whose token is taken, and takes in what it came to.
    async fn probe(&mut self, now: Timestamp) -> Result<Attempt, Ended> {
        let mut at = [0; 16];
        at[..8].copy_from_slice(&now.0.to_be_bytes());
        let id = DeliveryId::of_digest("probe", &self.target.name, DeliveryId(at));
        let message = self.message(id, Content::Probe, false, now);
        self.office.steps.pass(Step::BeforeProbe)?;
        let attempt = self.send(&message).await;
        self.office.steps.pass(Step::AfterProbe)?;
        let turn = self.health.after_probe(&attempt, self.office.clock.now());
        self.tell(turn, &outcome(&attempt));
        self.hasten_after(turn).await?;
        Ok(attempt)
    }

    /// Notes what the try came to.
    async fn settle(
        &mut self,
        delivery: Delivery,
        step: retry::Step,
        attempt: &Attempt,
        outcome: String,
    ) -> Result<(), Ended> {
        let now = self.office.clock.now();
        let tried = Change::Tried {
            delivery: delivery.id,
            number: delivery.tries,
            at: delivery_began(&delivery),
            outcome: Some(outcome.clone()),
        };
        let delivery = Delivery { last_reason: Some(outcome), ..after(delivery, step, now) };
        self.unsee(&delivery, attempt);
        let mut changes = vec![Change::Delivery(Box::new(delivery.clone())), tried];
        let mark = if *attempt == Attempt::Delivered { self.target.receiver.mark(delivery.id) } else { None };
        changes.extend(mark.map(|mark| Change::Marked { delivery: delivery.id, mark: plain_words(&mark) }));
        self.insist(&delivery.tenant, changes).await?;
        self.office.steps.pass(Step::AfterOutcome)?;
        match &delivery.standing {
            Standing::Delivered { at } => {
                self.office.meters.delivered(&delivery.receiver, *at - delivery.created);
                self.office.events.tell(Event::Delivered {
                    receiver: delivery.receiver,
                    delivery: delivery.id,
                    level: delivery.level,
                    count: if let Body::Digest(digest) = &delivery.body { digest.count } else { 1 },
                });
            }
            Standing::Dead { reason, .. } => self.tell_dead(&delivery, reason.clone()),
            // A plain form may go at once.
            Standing::Waiting if delivery.due <= now => self.queue.push(Item::new(delivery)),
            Standing::Waiting
            | Standing::Sending { .. }
            | Standing::Discarded { .. }
            | Standing::Folded { .. } => {}
        }
        Ok(())
    }

    /// What the receiver did not take, nobody saw: it weighs on no limit of people.
    fn unsee(&mut self, delivery: &Delivery, attempt: &Attempt) {
        match attempt {
            Attempt::Delivered | Attempt::Unknown { .. } => {}
            Attempt::TryAgain { .. }
            | Attempt::Malformed { .. }
            | Attempt::Unwelcome { .. }
            | Attempt::Refused { .. } => {
                let seen = self.debt.as_mut().map(|debt| &mut debt.seen);
                if let Some(seen) = seen
                    && let Some(last) = seen
                        .iter()
                        .rposition(|(_, level, rule)| (*level, rule) == (delivery.level, &delivery.rule))
                {
                    seen.remove(last);
                }
            }
        }
    }

    pub(super) async fn bury(
        &mut self,
        delivery: Delivery,
        reason: String,
        now: Timestamp,
    ) -> Result<(), Ended> {
        let standing = Standing::Dead { at: now, reason: reason.clone() };
        let delivery = Delivery { standing, ..delivery };
        self.commit_of(&delivery.tenant, vec![Change::Delivery(Box::new(delivery.clone()))]).await?;
        self.tell_dead(&delivery, reason);
        Ok(())
    }

    fn tell_dead(&self, delivery: &Delivery, reason: String) {
        self.office.events.tell(Event::Dead {
            receiver: delivery.receiver.clone(),
            delivery: delivery.id,
            tells: match &delivery.body {
                Body::Alert { id, .. } => format!("alert {id}"),
                Body::Digest(digest) => format!("a digest of {} messages", digest.count),
            },
            level: delivery.level,
            reason,
        });
    }

    pub(super) fn tell(&self, turn: Option<Turn>, reason: &str) {
        let (receiver, reason) = (self.target.name.clone(), reason.to_owned());
        match turn {
            Some(Turn::Failing) => self.office.events.tell(Event::Failing { receiver, reason }),
            Some(Turn::Paused) => self.office.events.tell(Event::Paused { receiver, reason }),
            Some(Turn::Recovered) => self.office.events.tell(Event::Recovered { receiver }),
            None => {}
        }
    }

    /// Commits an outcome; while the store cannot, again and again for a while.
    async fn insist(&self, tenant: &Arc<str>, changes: Vec<Change>) -> Result<(), Ended> {
        let mut left = OUTCOME_TRIES;
        loop {
            match self.commit_of(tenant, changes.clone()).await {
                Err(ended) if ended.will_pass() && left > 0 => {
                    left -= 1;
                    self.office.clock.sleep(STORE_WAIT).await;
                }
                result => return result,
            }
        }
    }
}

/// When the try that is under way began.
fn delivery_began(delivery: &Delivery) -> Timestamp {
    match delivery.standing {
        Standing::Sending { until } => until - LEASE,
        Standing::Waiting
        | Standing::Delivered { .. }
        | Standing::Dead { .. }
        | Standing::Discarded { .. }
        | Standing::Folded { .. } => delivery.due,
    }
}

/// The delivery after `step`.
fn after(delivery: Delivery, step: retry::Step, now: Timestamp) -> Delivery {
    let standing = Standing::Waiting;
    match step {
        retry::Step::Finish => Delivery { standing: Standing::Delivered { at: now }, ..delivery },
        retry::Step::Wait { until, waited } => Delivery { due: until, waited, standing, ..delivery },
        retry::Step::Plain { until } => Delivery { due: until, plain: true, standing, ..delivery },
        // A probe is judged before; without a verdict it is tried again soon.
        retry::Step::Probe { .. } => Delivery { due: now + retry::BASE, standing, ..delivery },
        retry::Step::Bury { reason } => {
            Delivery { standing: Standing::Dead { at: now, reason: plain_words(&reason) }, ..delivery }
        }
    }
}

/// What an attempt came to, in words for the delivery's history.
pub(super) fn outcome(attempt: &Attempt) -> String {
    let (what, reason) = match attempt {
        Attempt::Delivered => return "delivered".to_owned(),
        Attempt::TryAgain { reason, .. } => ("try again", reason),
        Attempt::Malformed { reason } => ("malformed", reason),
        Attempt::Unwelcome { reason } => ("unwelcome", reason),
        Attempt::Refused { reason } => ("refused", reason),
        Attempt::Unknown { reason } => ("unknown", reason),
    };
    format!("{what}: {}", plain_words(reason))
}

/// A server's words without control characters, and not too many of them.
fn plain_words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}
