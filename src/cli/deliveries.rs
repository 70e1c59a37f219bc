//! `larum deliveries`: what is owed to whom, what became of it, and what an operator does about it.

use std::fmt::Write as _;

use crate::daemon::clock::Clock;
use crate::daemon::orders::Order;
use crate::daemon::shown;
use crate::record::Timestamp;
use crate::route::{Body, Delivery, ReceiverName, Standing};
use crate::store::{DeliveryQuery, Store};

use super::place::{Place, parse_id, tenant, told, wait_for};
use super::{Exit, Failure, Output, show};

/// Deliveries that are shown with the digest that is told in their place.
const MOST_TOLD_BY_IT: usize = 1_000;

/// Arguments of `larum deliveries`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Deliveries {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists deliveries, newest first
    List(List),
    /// Shows one delivery and its tries
    Show(Show),
    /// Tries deliveries again: dead and discarded ones, and at once those that wait
    Redrive(Redrive),
    /// Puts deliveries aside that are dead or wait
    Discard(Discard),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those to this receiver
    #[arg(long, value_name = "NAME")]
    receiver: Option<ReceiverName>,
    /// Only those in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = ["waiting", "sending", "delivered", "dead", "discarded", "folded"])]
    state: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    most: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The delivery's id, or the beginning of it
    #[arg(value_parser = parse_id)]
    id: String,
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Redrive {
    /// The delivery's id, or the beginning of it
    #[arg(value_parser = parse_id, required_unless_present_any = ["all", "receiver"])]
    id: Option<String>,
    /// All that are dead
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// All dead ones to this receiver
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    receiver: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Discard {
    /// The delivery's id, or the beginning of it
    #[arg(value_parser = parse_id, required_unless_present = "all")]
    id: Option<String>,
    /// All that are dead
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Only those to this receiver
    #[arg(long, value_name = "NAME", requires = "all")]
    receiver: Option<String>,
    /// Why; kept with the delivery
    #[arg(long, value_name = "TEXT")]
    because: String,
    #[command(flatten)]
    place: Place,
}

impl Deliveries {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            None => self.list.run(),
            Some(What::List(list)) => list.run(),
            Some(What::Show(show)) => show.run(),
            Some(What::Redrive(redrive)) => {
                let order = Order::Redrive { delivery: redrive.id, receiver: redrive.receiver };
                wait_for(async { Ok(told(redrive.place.order(&order).await?)) })
            }
            Some(What::Discard(discard)) => {
                let Discard { id: delivery, receiver, because, place, .. } = discard;
                let order = Order::Discard { delivery, receiver, because };
                wait_for(async { Ok(told(place.order(&order).await?)) })
            }
        }
    }
}

impl List {
    fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        let found = wait_for(async {
            let query = DeliveryQuery {
                tenant: tenant(&store, self.tenant.as_deref()).await?,
                receiver: self.receiver.clone(),
                states: self.state,
                newest_first: true,
                most: self.most,
                ..DeliveryQuery::default()
            };
            Ok(store.deliveries(query).await?)
        })?;
        let now = Clock::wall().now();
        for delivery in &found {
            match self.output {
                Output::Json => show::json(&shown::delivery(delivery))?,
                Output::Text => show::line(&in_words(delivery, now, times))?,
            }
        }
        if found.len() == self.most {
            show::note(&format!("the newest {}; --most shows more", show::many(self.most, "delivery")));
        } else if let (true, Some(receiver)) = (found.is_empty(), self.receiver) {
            show::note(&format!(
                "no such deliveries to `{receiver}`; `larum status` lists the receivers that are configured"
            ));
        } else if found.is_empty() {
            show::note("no deliveries");
        }
        Ok(Exit::Fine)
    }
}

#[derive(Debug, thiserror::Error)]
enum NoDelivery {
    #[error("there is no delivery `{}`", show::safe(.0))]
    None(String),
    #[error("more than one delivery begins with `{}`; give more of its digits", show::safe(.0))]
    Many(String),
}

impl Show {
    fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        wait_for(async {
            let query = DeliveryQuery { id: Some(self.id.clone()), most: 2, ..DeliveryQuery::default() };
            let found = store.deliveries(query).await?;
            let delivery = match found.as_slice() {
                [] => return Err(NoDelivery::None(self.id).into()),
                [delivery] => delivery,
                [..] => return Err(NoDelivery::Many(self.id).into()),
            };
            let tries = store.tries(delivery.id).await?;
            let query = DeliveryQuery {
                tenant: Some(delivery.tenant.clone()),
                told_by: Some(delivery.id),
                most: MOST_TOLD_BY_IT,
                ..DeliveryQuery::default()
            };
            let stands_for = store.deliveries(query).await?;
            match self.output {
                Output::Json => show::json(&shown::delivery_with(delivery, &tries, &stands_for))?,
                Output::Text => {
                    show::line(&in_words(delivery, Clock::wall().now(), times))?;
                    show::line(&format!("    id {}", delivery.id))?;
                    for one in &tries {
                        let outcome = one.outcome.as_deref().unwrap_or("nobody knows");
                        show::line(&format!(
                            "    try {} at {}: {}",
                            one.number,
                            times.at(one.at),
                            show::safe(outcome)
                        ))?;
                    }
                    for one in &stands_for {
                        show::line(&format!("    stands for {}  {}", what(one), one.rule))?;
                    }
                    if stands_for.len() == MOST_TOLD_BY_IT {
                        show::note(&format!(
                            "the first {} that it stands for",
                            show::many(MOST_TOLD_BY_IT, "delivery")
                        ));
                    }
                }
            }
            Ok(Exit::Fine)
        })
    }
}

/// What a delivery tells.
fn what(delivery: &Delivery) -> String {
    match &delivery.body {
        Body::Alert { id, revision: 1 } => format!("alert {}", &id.to_string()[..8]),
        Body::Alert { id, revision } => format!("alert {}, revision {revision}", &id.to_string()[..8]),
        Body::Digest(digest) if digest.repeated > 0 => {
            format!("a digest of {}, {} told again", digest.count, digest.repeated)
        }
        Body::Digest(digest) => format!("a digest of {}", digest.count),
    }
}

/// A delivery on one line, for people.
pub fn in_words(delivery: &Delivery, now: Timestamp, times: show::Times) -> String {
    let what = what(delivery);
    let state = match &delivery.standing {
        Standing::Waiting => {
            let (due, tries) = (times.at(delivery.due), delivery.tries);
            match (delivery.due > now, tries) {
                (true, 0) => format!("waits until {due}"),
                (true, 1..) => {
                    format!("waits after {}, the next at {due}", show::many_of(tries.into(), "try"))
                }
                (false, 0) => format!("is due since {due}, and waits for its receiver"),
                (false, 1..) => format!(
                    "is due since {due} after {}, and waits for its receiver",
                    show::many_of(tries.into(), "try")
                ),
            }
        }
        Standing::Sending { until } => format!("is being sent (until {})", times.at(*until)),
        Standing::Delivered { at } => format!("delivered at {}", times.at(*at)),
        Standing::Dead { at, reason } => format!("dead since {}: {}", times.at(*at), show::safe(reason)),
        Standing::Discarded { at, reason } => {
            format!("put aside at {}: {}", times.at(*at), show::safe(reason))
        }
        Standing::Folded { into } => format!("told by delivery {}", &into.to_string()[..8]),
    };
    let mut line = format!(
        "{}  {}  {}  {}  {what}  {state}",
        &delivery.id.to_string()[..8],
        delivery.receiver,
        delivery.level,
        delivery.rule
    );
    if let (Standing::Waiting, Some(reason)) = (&delivery.standing, &delivery.last_reason) {
        let _ = write!(line, " ({})", show::safe(reason));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_says_when_it_is_tried_next() {
        let due = Timestamp(1_767_603_600_000);
        let words = |tries, now: Timestamp| {
            let last_reason = (tries > 0).then(|| "try again: 503".to_owned());
            let waiting = crate::store::suite::delivery(1, "hook", due.0);
            let line = in_words(&Delivery { tries, last_reason, ..waiting }, now, show::Times::UTC);
            line.split("alert 01010101  ").nth(1).unwrap().to_owned()
        };
        let (before, at) = (Timestamp(due.0 - 1), "2026-01-05T09:00:00.000Z");
        assert_eq!(words(0, before), format!("waits until {at}"));
        assert_eq!(words(1, before), format!("waits after 1 try, the next at {at} (try again: 503)"));
        assert_eq!(words(0, due), format!("is due since {at}, and waits for its receiver"));
        assert_eq!(
            words(2, due),
            format!("is due since {at} after 2 tries, and waits for its receiver (try again: 503)")
        );
    }
}
