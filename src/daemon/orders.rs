//! What an operator may order: the same words over the control socket of a running daemon and, when
//! it is stopped, straight at the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::own;
use super::status::Status;
use crate::alert::State;
use crate::record::field::VOCABULARY;
use crate::record::{FieldName, Level, Millis, Timestamp};
use crate::route::{Delivery, Pattern, ReceiverName, Silence, SilenceId, Standing};
use crate::rule::suggest;
use crate::store::{AlertQuery, Change, DeliveryQuery, Fence, Store, StoreError};

/// Deliveries that one order changes; what is over is left for the next, and said.
pub const MAX_AT_ONCE: usize = 10_000;

/// One order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Are you there?
    Alive,
    /// How are you?
    Status,
    /// Somebody has taken an alert.
    Acknowledge {
        /// Its id, or the beginning of it.
        alert: String,
        /// Who.
        by: String,
    },
    /// Try dead or put aside deliveries again.
    Redrive {
        /// Its id or the beginning of it; none: all dead ones.
        delivery: Option<String>,
        /// Of this receiver only.
        receiver: Option<String>,
    },
    /// Put deliveries aside that wait or are dead.
    Discard {
        /// Its id or the beginning of it; none: all dead ones.
        delivery: Option<String>,
        /// Of this receiver only.
        receiver: Option<String>,
        /// Why.
        because: String,
    },
    /// Hold messages back.
    Silence {
        /// Whose alerts.
        tenant: String,
        /// Which: all pairs must hold.
        matches: Vec<(String, String)>,
        /// From when on; now where it is not told.
        #[serde(default)]
        from: Option<Timestamp>,
        /// For how long.
        length: Millis,
        /// Who.
        by: String,
        /// Why.
        because: String,
    },
    /// End a silence.
    Unsilence {
        /// Its id, or the beginning of it.
        silence: String,
    },
    /// Send a fixed test message at once, past every limit.
    SendTest {
        /// To whom.
        receiver: String,
    },
    /// Read configuration and rules again.
    Reload,
    /// Write a copy of the store.
    Backup {
        /// Where to; absolute.
        path: std::path::PathBuf,
    },
}

/// Longest silence. Who wants less of a rule for longer changes the rule.
pub const MAX_SILENCE: Millis = Millis::days(366);
/// A beginning that is past by so little is now.
const JUST_NOW: Millis = Millis::mins(1);
/// Before then every silence begins: times after the year 9999 have no spelling.
const LAST_BEGINNING: Timestamp = Timestamp(221_845_392_000_000);

/// Why nothing is found by an id without a digit: of one thing alone, it would be the beginning.
pub const NO_ID: &str = "an id, or the beginning of one, has a digit at least";

impl Order {
    /// Why it cannot be carried out, whatever there is: commands guard against it, and others may order.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Silence { matches, from, length, because, .. } => {
                if matches.is_empty() {
                    Some(
                        "a silence says which alerts, such as user=ana; without a word it would hold all"
                            .to_owned(),
                    )
                } else if *length <= Millis::ZERO {
                    Some("a silence lasts longer than nothing".to_owned())
                } else if *length > MAX_SILENCE {
                    Some(format!("a silence lasts {MAX_SILENCE} at most"))
                } else if from.is_some_and(|from| from >= LAST_BEGINNING) {
                    Some("a silence begins before the year 9000".to_owned())
                } else if because.trim().is_empty() {
                    Some("say why, for whoever wonders later".to_owned())
                } else {
                    None
                }
            }
            Self::Acknowledge { alert: id, .. }
            | Self::Unsilence { silence: id }
            | Self::Redrive { delivery: Some(id), .. }
            | Self::Discard { delivery: Some(id), .. }
                if id.trim().is_empty() =>
            {
                Some(NO_ID.to_owned())
            }
            Self::Backup { path } if path.is_relative() => {
                Some(format!("`{}` is no whole path: the daemon may stand in another folder", path.display()))
            }
            Self::Alive
            | Self::Status
            | Self::Acknowledge { .. }
            | Self::Redrive { .. }
            | Self::Discard { .. }
            | Self::Unsilence { .. }
            | Self::SendTest { .. }
            | Self::Reload
            | Self::Backup { .. } => None,
        }
    }

    /// What is ordered, on one line of a log.
    pub fn in_words(&self) -> String {
        let which = |id: &Option<String>, receiver: &Option<String>| match (id, receiver) {
            (Some(id), _) => format!("delivery {id:?}"),
            (None, Some(receiver)) => format!("dead deliveries to {receiver:?}"),
            (None, None) => "dead deliveries".to_owned(),
        };
        match self {
            Self::Alive => "alive".to_owned(),
            Self::Status => "status".to_owned(),
            Self::Acknowledge { alert, by } => format!("acknowledge alert {alert:?} by {by:?}"),
            Self::Redrive { delivery, receiver } => format!("redrive {}", which(delivery, receiver)),
            Self::Discard { delivery, receiver, because } => {
                format!("discard {} because {because:?}", which(delivery, receiver))
            }
            Self::Silence { tenant, matches, from, length, by, because } => {
                let pairs: Vec<String> =
                    matches.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let from = from.map_or_else(String::new, |from| format!(" from {from}"));
                let pairs = pairs.join(" ");
                format!(
                    "silence {pairs:?} of tenant {tenant:?}{from} for {length} by {by:?} because {because:?}"
                )
            }
            Self::Unsilence { silence } => format!("end silence {silence:?}"),
            Self::SendTest { receiver } => format!("send a test to {receiver:?}"),
            Self::Reload => "reload".to_owned(),
            Self::Backup { path } => format!("backup to {}", path.display()),
        }
    }
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How the daemon is.
    Status(Box<Status>),
    /// It is done, in words.
    Done(String),
    /// It is not, and why.
    Refused(String),
}

/// A place where orders to the store are carried out.
#[derive(Debug)]
pub struct Clerk<'a, S: ?Sized> {
    /// The store.
    pub store: &'a S,
    /// The right to change each tenant.
    pub fences: BTreeMap<Arc<str>, Fence>,
    /// Now.
    pub now: Timestamp,
    /// Fields that sources declare; none where nobody knows them: then any name may be one.
    pub declared: Option<Vec<String>>,
    /// Receivers that there are; none where nobody knows them.
    pub receivers: Option<Vec<ReceiverName>>,
}

impl<S: Store + ?Sized> Clerk<'_, S> {
    /// Carries out an order that concerns the store alone; none for the others.
    pub async fn carry_out(&self, order: &Order) -> Result<Option<Reply>, StoreError> {
        if let Some(why) = order.fault() {
            return Ok(Some(Reply::Refused(why)));
        }
        Ok(Some(match order {
            Order::Acknowledge { alert, by } => self.acknowledge(alert, by).await?,
            Order::Redrive { delivery, receiver } => {
                self.redrive(delivery.as_deref(), receiver.as_deref()).await?
            }
            Order::Discard { delivery, receiver, because } => {
                self.discard(delivery.as_deref(), receiver.as_deref(), because).await?
            }
            Order::Silence { tenant, matches, from, length, by, because } => {
                let (from, until) = match lasts(*from, *length, self.now) {
                    Ok(lasts) => lasts,
                    Err(why) => return Ok(Some(Reply::Refused(why))),
                };
                self.silence(tenant, matches, (from, until), by, because).await?
            }
            Order::Unsilence { silence } => self.unsilence(silence).await?,
            Order::Backup { path } => {
                self.store.backup(path.clone()).await?;
                Reply::Done(format!("backup written to {}", path.display()))
            }
            Order::Alive | Order::Status | Order::SendTest { .. } | Order::Reload => return Ok(None),
        }))
    }

    async fn acknowledge(&self, id: &str, by: &str) -> Result<Reply, StoreError> {
        let query = AlertQuery { id: Some(id.to_owned()), most: 2, ..AlertQuery::default() };
        let found = self.store.alerts(query).await?;
        let [alert] = found.as_slice() else { return Ok(not_one("alert", id, found.len())) };
        let (id, tenant) = (alert.now.id, &alert.now.tenant);
        match alert.now.state {
            State::Open | State::Updated => {}
            State::Acknowledged => {
                let by = alert.acknowledged.as_ref().map(|(by, at)| format!(" by {by} at {at}"));
                let by = by.unwrap_or_default();
                return Ok(Reply::Done(format!("alert {id} was acknowledged{by} already")));
            }
            // What is over repeats no more: that is what was wished.
            State::Closed | State::Resolved => {
                let (state, at) = (alert.now.state.as_str(), alert.now.at);
                return Ok(Reply::Done(format!("alert {id} was {state} at {at} already: nothing repeats")));
            }
        }
        let change = Change::Acknowledged { alert: id, by: by.to_owned(), at: self.now };
        if !self.commit(tenant, vec![change]).await? {
            return Ok(self.no_tenant(tenant));
        }
        Ok(Reply::Done(format!("alert {id} is acknowledged by {by}")))
    }

    async fn redrive(&self, id: Option<&str>, receiver: Option<&str>) -> Result<Reply, StoreError> {
        let (all, states) = (id.is_none() && receiver.is_none(), ["dead", "discarded", "waiting"]);
        let found = match &self.receivers {
            // Of all, those that somebody would send.
            Some(known) if all => Ok(self.dead_of(known).await?),
            Some(_) | None => self.deliveries(id, receiver, &states, &["dead"]).await?,
        };
        let found = match found {
            Ok(found) => found,
            Err(refused) => return Ok(refused),
        };
        let is_gone =
            |name: &ReceiverName| self.receivers.as_ref().is_some_and(|known| !known.contains(name));
        if let Some(gone) = found.iter().find(|delivery| is_gone(&delivery.receiver)) {
            let words = format!("receiver `{}` is not configured: nobody would send it", gone.receiver);
            return Ok(Reply::Refused(words));
        }
        let left = if all { self.left_dead().await? } else { String::new() };
        if let Some(held) = found.iter().find_map(|delivery| Some((delivery.id, delivery.held_by?)))
            && found.iter().any(|delivery| delivery.standing == Standing::Waiting)
        {
            let (id, by) = held;
            return Ok(Reply::Refused(format!(
                "delivery {id} is held back by silence {by}; `larum silence end {by}` lets it go"
            )));
        }
        let waits = |delivery: &Delivery| delivery.standing == Standing::Waiting;
        if found.iter().any(waits) {
            let now = |delivery: Delivery| Delivery { due: self.now, plain: false, ..delivery };
            return self.change_all(found, now, "due now").await;
        }
        let again = |delivery: Delivery| Delivery {
            standing: Standing::Waiting,
            // A new lineage of tries: the old ones stay in its history.
            created: self.now,
            due: self.now,
            waited: Millis::ZERO,
            // Whole, as it was owed: whoever orders it may have mended what refused it.
            plain: false,
            held_by: None,
            ..delivery
        };
        Ok(match self.change_all(found, again, "owed again").await? {
            Reply::Done(words) => Reply::Done(format!("{words}{left}")),
            other @ (Reply::Refused(_) | Reply::Status(_)) => other,
        })
    }

    /// Dead deliveries to these receivers.
    async fn dead_of(&self, receivers: &[ReceiverName]) -> Result<Vec<Delivery>, StoreError> {
        let mut found = Vec::new();
        for receiver in receivers {
            let query = DeliveryQuery {
                receiver: Some(receiver.clone()),
                states: vec!["dead".to_owned()],
                most: MAX_AT_ONCE - found.len(),
                ..DeliveryQuery::default()
            };
            found.extend(self.store.deliveries(query).await?);
        }
        Ok(found)
    }

    /// What stays dead because its receiver is not configured any more, in words.
    async fn left_dead(&self) -> Result<String, StoreError> {
        let Some(known) = &self.receivers else { return Ok(String::new()) };
        let deliveries = self.store.holdings().await?.deliveries;
        let gone = deliveries.iter().filter(|(name, _)| !known.iter().any(|known| known.as_str() == *name));
        let dead = gone.filter_map(|(name, states)| Some((name, *states.get("dead")?)));
        let left: Vec<String> = dead
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} to `{name}`"))
            .collect();
        Ok(if left.is_empty() {
            String::new()
        } else {
            format!("; left dead, for their receivers are not configured: {}", left.join(", "))
        })
    }

    /// What is said where neither the configuration nor the store knows a receiver called so.
    async fn no_such_receiver(&self, name: &ReceiverName) -> Result<Option<Reply>, StoreError> {
        let kept = self.store.holdings().await?.deliveries;
        let mut known: Vec<&str> = kept.keys().map(String::as_str).collect();
        known.extend(self.receivers.iter().flatten().map(ReceiverName::as_str));
        known.sort_unstable();
        known.dedup();
        let is_known = known.contains(&name.as_str());
        Ok((!is_known).then(|| Reply::Refused(no_receiver(name.as_str(), &known))))
    }

    async fn discard(
        &self,
        id: Option<&str>,
        receiver: Option<&str>,
        because: &str,
    ) -> Result<Reply, StoreError> {
        let found = match self.deliveries(id, receiver, &["dead", "waiting"], &["dead"]).await? {
            Ok(found) => found,
            Err(refused) => return Ok(refused),
        };
        let aside = |delivery: Delivery| Delivery {
            standing: Standing::Discarded { at: self.now, reason: because.to_owned() },
            ..delivery
        };
        self.change_all(found, aside, "put aside").await
    }

    /// One delivery by its id where it is in one of the states `one`, or all in one of `all`.
    async fn deliveries(
        &self,
        id: Option<&str>,
        receiver: Option<&str>,
        one: &[&str],
        all: &[&str],
    ) -> Result<Result<Vec<Delivery>, Reply>, StoreError> {
        let receiver = match receiver.map(str::parse::<ReceiverName>).transpose() {
            Ok(receiver) => receiver,
            Err(error) => return Ok(Err(Reply::Refused(error.to_string()))),
        };
        if let Some(receiver) = &receiver
            && let Some(refused) = self.no_such_receiver(receiver).await?
        {
            return Ok(Err(refused));
        }
        let words = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect();
        let query = DeliveryQuery {
            id: id.map(str::to_owned),
            receiver,
            states: if id.is_some() { Vec::new() } else { words(all) },
            most: if id.is_some() { 2 } else { MAX_AT_ONCE },
            ..DeliveryQuery::default()
        };
        let found = self.store.deliveries(query).await?;
        let Some(id) = id else { return Ok(Ok(found)) };
        let [delivery] = found.as_slice() else { return Ok(Err(not_one("delivery", id, found.len()))) };
        let state = delivery.standing.word();
        if !one.contains(&state) {
            return Ok(Err(Reply::Refused(format!("delivery {} is {state}", delivery.id))));
        }
        Ok(Ok(found))
    }

    async fn change_all(
        &self,
        found: Vec<Delivery>,
        change: impl Fn(Delivery) -> Delivery,
        done: &str,
    ) -> Result<Reply, StoreError> {
        let count = found.len();
        let mut by_tenant: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
        for delivery in found {
            let tenant = delivery.tenant.clone();
            by_tenant.entry(tenant).or_default().push(Change::Delivery(Box::new(change(delivery))));
        }
        for (tenant, changes) in by_tenant {
            if !self.commit(&tenant, changes).await? {
                return Ok(self.no_tenant(&tenant));
            }
        }
        let more = if count == MAX_AT_ONCE { "; there may be more: say it again" } else { "" };
        Ok(Reply::Done(format!("{count} deliver{} {done}{more}", if count == 1 { "y" } else { "ies" })))
    }

    async fn silence(
        &self,
        tenant: &str,
        matches: &[(String, String)],
        (from, until): (Timestamp, Timestamp),
        by: &str,
        because: &str,
    ) -> Result<Reply, StoreError> {
        if let Some(why) = matches.iter().find_map(|(name, value)| self.holds_nothing(name, value)) {
            return Ok(Reply::Refused(why));
        }
        let silence = Silence {
            id: silence_id(tenant, matches, self.now),
            tenant: tenant.into(),
            matches: matches.to_vec(),
            from,
            until,
            by: by.to_owned(),
            because: because.to_owned(),
        };
        let begins = if from > self.now { format!("from {from} ") } else { String::new() };
        let words = format!("silence {} holds {begins}until {}", silence.id, silence.until);
        if !self.commit(&silence.tenant.clone(), vec![Change::Silence(silence)]).await? {
            return Ok(self.no_tenant(tenant));
        }
        Ok(Reply::Done(words))
    }

    /// Why no alert can have `value` under `name`, and what may be meant.
    fn holds_nothing(&self, name: &str, value: &str) -> Option<String> {
        match name {
            "level" => {
                let (pattern, levels) = (Pattern::new(value), Level::ALL.map(Level::as_str));
                if levels.iter().any(|level| pattern.accepts(level)) {
                    return None;
                }
                let near = suggest::nearest(value, levels).map(|near| format!("; did you mean `{near}`?"));
                Some(format!(
                    "no level is `{value}`{} known: {}",
                    near.unwrap_or_default(),
                    levels.join(", ")
                ))
            }
            "rule" | "tag" | "attack" => None,
            field => {
                let declared = self.declared.as_ref()?;
                if FieldName::resolve(field).is_some()
                    || declared.iter().any(|own| own == field)
                    || own::subjects().any(|own| own == field)
                {
                    return None;
                }
                let names = VOCABULARY.iter().map(|info| info.name).chain(["rule", "level", "tag", "attack"]);
                let hint = match suggest::nearest(field, names.chain(declared.iter().map(String::as_str))) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "known: rule, level, tag, attack, and fields that rules group `by`".to_owned(),
                };
                Some(format!("no alert has `{field}`; {hint}"))
            }
        }
    }

    async fn unsilence(&self, id: &str) -> Result<Reply, StoreError> {
        let silences = self.store.silences(self.now).await?;
        let found: Vec<&Silence> =
            silences.iter().filter(|silence| silence.id.to_string().starts_with(id)).collect();
        let [silence] = found.as_slice() else { return Ok(not_one("silence", id, found.len())) };
        let change = Change::Unsilence { id: silence.id, at: self.now };
        if !self.commit(&silence.tenant, vec![change]).await? {
            return Ok(self.no_tenant(&silence.tenant));
        }
        Ok(Reply::Done(format!(
            "silence {} is over; what it held back is due now: what is still open by itself, what is over in one message",
            silence.id
        )))
    }

    fn no_tenant(&self, tenant: &str) -> Reply {
        let known: Vec<&str> = self.fences.keys().map(|known| &**known).collect();
        let known = known.join(", ");
        Reply::Refused(format!("tenant `{tenant}` is not of this store; name one with `--tenant`: {known}"))
    }

    /// False where nobody here has the right.
    async fn commit(&self, tenant: &str, changes: Vec<Change>) -> Result<bool, StoreError> {
        let Some(fence) = self.fences.get(tenant) else { return Ok(false) };
        self.store.commit(fence.clone(), changes).await?;
        Ok(true)
    }
}

/// From when to when a silence lasts. One whose beginning is past ends when it says, and is refused where
/// that is past, too.
fn lasts(from: Option<Timestamp>, length: Millis, now: Timestamp) -> Result<(Timestamp, Timestamp), String> {
    // As long as it takes to give the order.
    let from = from.unwrap_or(now);
    let begins = if now - from <= JUST_NOW { from.max(now) } else { from };
    let until = begins + length;
    if until <= now {
        let words =
            format!("a silence of {length} from {from} on ended at {until}; without `from` it begins now");
        return Err(words);
    }
    Ok((begins, until))
}

/// What is said where none of `known` receivers is called `name`.
pub fn no_receiver(name: &str, known: &[&str]) -> String {
    let near = suggest::nearest(name, known.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    format!("there is no receiver `{name}`; {hint}known: {}", known.join(", "))
}

fn not_one(what: &str, id: &str, found: usize) -> Reply {
    Reply::Refused(match found {
        0 => format!("there is no {what} `{id}`"),
        _ => format!("more than one {what} begins with `{id}`; give more of its digits"),
    })
}

fn silence_id(tenant: &str, matches: &[(String, String)], at: Timestamp) -> SilenceId {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(tenant.as_bytes());
    part(&at.0.to_le_bytes());
    for (name, value) in matches {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    SilenceId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alert;
    use crate::route::sample;
    use crate::store::sqlite::Sqlite;

    #[test]
    fn an_order_is_logged_in_words_and_on_one_line() {
        let order = Order::Silence {
            tenant: "default".to_owned(),
            matches: vec![("user".to_owned(), "ana\nx".to_owned()), ("level".to_owned(), "low".to_owned())],
            from: None,
            length: Millis::hours(2),
            by: "eve".to_owned(),
            because: "work".to_owned(),
        };
        let meant =
            "silence \"user=ana\\nx level=low\" of tenant \"default\" for 2h by \"eve\" because \"work\"";
        assert_eq!(order.in_words(), meant);
        assert_eq!(Order::Redrive { delivery: None, receiver: None }.in_words(), "redrive dead deliveries");
    }

    /// A clerk over a store of one tenant.
    async fn clerk(store: &Sqlite) -> Clerk<'_, Sqlite> {
        let tenant: Arc<str> = "default".into();
        let fences = BTreeMap::from([(tenant.clone(), store.fence(tenant).await.unwrap())]);
        Clerk {
            store,
            fences,
            now: Timestamp(1_000),
            declared: Some(vec!["badge".to_owned()]),
            receivers: None,
        }
    }

    async fn said(clerk: &Clerk<'_, Sqlite>, order: &Order) -> (bool, String) {
        match clerk.carry_out(order).await.unwrap().unwrap() {
            Reply::Done(words) => (true, words),
            Reply::Refused(words) => (false, words),
            Reply::Status(status) => panic!("{status:?}"),
        }
    }

    #[tokio::test]
    async fn an_alert_that_is_over_needs_nobody_to_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let clerk = clerk(&store).await;
        let open = sample::alert(1);
        for (state, revision) in [(State::Open, 1), (State::Closed, 2)] {
            let alert = Alert { revision, state, ..open.clone() };
            let change = Change::Alert(Box::new(alert));
            store.commit(clerk.fences["default"].clone(), vec![change]).await.unwrap();
        }
        let order = Order::Acknowledge { alert: open.id.to_string(), by: "eve".to_owned() };
        let words = format!("alert {} was closed at {} already: nothing repeats", open.id, open.at);
        assert_eq!(said(&clerk, &order).await, (true, words));
        let kept = store.alerts(AlertQuery { most: 1, ..AlertQuery::default() }).await.unwrap().remove(0);
        assert_eq!((kept.now.state, kept.acknowledged), (State::Closed, None));
    }

    #[tokio::test]
    async fn what_nobody_would_send_is_not_owed_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let mut clerk = clerk(&store).await;
        for (number, receiver) in [(1, "gone"), (2, "hook")] {
            let waiting = crate::store::suite::delivery(number, receiver, 0);
            let standing = Standing::Dead { at: Timestamp(0), reason: "x".to_owned() };
            let dead = Delivery { standing, ..waiting.clone() };
            let changes = vec![Change::Owed(Box::new(waiting)), Change::Delivery(Box::new(dead))];
            store.commit(clerk.fences["default"].clone(), changes).await.unwrap();
        }
        clerk.receivers = Some(vec!["hook".parse().unwrap()]);
        let redrive =
            |receiver: Option<&str>| Order::Redrive { delivery: None, receiver: receiver.map(str::to_owned) };
        let refused = (false, "receiver `gone` is not configured: nobody would send it".to_owned());
        assert_eq!(said(&clerk, &redrive(Some("gone"))).await, refused);
        let words = "1 delivery owed again; left dead, for their receivers are not configured: 1 to `gone`";
        assert_eq!(said(&clerk, &redrive(None)).await, (true, words.to_owned()));
    }

    #[tokio::test]
    async fn a_receiver_that_nobody_knows_is_refused_with_the_one_that_may_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let mut clerk = clerk(&store).await;
        let waiting = crate::store::suite::delivery(1, "gone", 0);
        store.commit(clerk.fences["default"].clone(), vec![Change::Owed(Box::new(waiting))]).await.unwrap();
        clerk.receivers = Some(vec!["hook".parse().unwrap()]);
        let (redrive, discard) = (
            |receiver: &str| Order::Redrive { delivery: None, receiver: Some(receiver.to_owned()) },
            |receiver: &str| Order::Discard {
                delivery: None,
                receiver: Some(receiver.to_owned()),
                because: "x".to_owned(),
            },
        );
        for order in [redrive("hok"), discard("hok")] {
            let words = "there is no receiver `hok`; did you mean `hook`? known: gone, hook";
            assert_eq!(said(&clerk, &order).await, (false, words.to_owned()));
        }
        let words = "there is no receiver `mail`; known: gone, hook";
        assert_eq!(said(&clerk, &redrive("mail")).await, (false, words.to_owned()));
        assert_eq!(said(&clerk, &redrive("hook")).await, (true, "0 deliveries owed again".to_owned()));
        assert_eq!(said(&clerk, &discard("gone")).await, (true, "0 deliveries put aside".to_owned()));
    }

    #[tokio::test]
    async fn an_order_that_no_command_would_give_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let clerk = clerk(&store).await;
        let silence =
            |matches: &[(&str, &str)], from: Option<i64>, length: Millis, because: &str| Order::Silence {
                tenant: "default".to_owned(),
                matches: matches
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                from: from.map(Timestamp),
                length,
                by: "eve".to_owned(),
                because: because.to_owned(),
            };
        let (ana, day) = (&[("user", "ana")][..], Millis::days(1));
        let backup = Order::Backup { path: "copy.db".into() };
        for (order, words) in [
            (
                silence(&[], None, day, "x"),
                "a silence says which alerts, such as user=ana; without a word it would hold all",
            ),
            (silence(ana, None, Millis::ZERO, "x"), "a silence lasts longer than nothing"),
            (silence(ana, None, Millis(i64::MAX), "x"), "a silence lasts 366d at most"),
            (silence(ana, Some(i64::MAX), day, "x"), "a silence begins before the year 9000"),
            (silence(ana, None, day, " "), "say why, for whoever wonders later"),
            (backup, "`copy.db` is no whole path: the daemon may stand in another folder"),
        ] {
            assert_eq!(said(&clerk, &order).await, (false, words.to_owned()));
        }
        assert!(!said(&clerk, &silence(ana, Some(i64::MIN), MAX_SILENCE, "x")).await.0);
        assert!(said(&clerk, &silence(ana, Some(0), MAX_SILENCE, "x")).await.0);
    }

    #[tokio::test]
    async fn a_silence_that_could_hold_nothing_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let mut clerk = clerk(&store).await;
        let order = |name: &str, value: &str| Order::Silence {
            tenant: "default".to_owned(),
            matches: vec![(name.to_owned(), value.to_owned())],
            from: None,
            length: Millis::hours(2),
            by: "eve".to_owned(),
            because: "work".to_owned(),
        };
        for (name, value, words) in [
            ("usr", "ana", "no alert has `usr`; did you mean `user`?"),
            ("bagde", "7", "no alert has `bagde`; did you mean `badge`?"),
            (
                "level",
                "hgh",
                "no level is `hgh`; did you mean `high`? known: informational, low, medium, high, critical",
            ),
        ] {
            assert_eq!(said(&clerk, &order(name, value)).await, (false, words.to_owned()));
        }
        // Fields that a source declares, what Larum's own alerts are about, and the alert's own words.
        for (name, value) in [
            ("badge", "7"),
            ("user", "ana"),
            ("receiver", "hook"),
            ("rule", "x"),
            ("level", "h*"),
            ("tag", "t"),
        ] {
            assert!(said(&clerk, &order(name, value)).await.0, "{name}");
        }
        let Order::Silence { matches, from, length, by, because, .. } = order("user", "ana") else {
            panic!()
        };
        let elsewhere = Order::Silence { tenant: "beta".to_owned(), matches, from, length, by, because };
        let words = "tenant `beta` is not of this store; name one with `--tenant`: default";
        assert_eq!(said(&clerk, &elsewhere).await, (false, words.to_owned()));
        clerk.declared = None;
        assert!(said(&clerk, &order("bagde", "7")).await.0, "nobody knows which fields there are");
    }

    #[tokio::test]
    async fn a_silence_that_began_in_the_past_ends_when_it_says_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let mut clerk = clerk(&store).await;
        clerk.now = Timestamp(0) + Millis::hours(100);
        let order = |from: Timestamp| Order::Silence {
            tenant: "default".to_owned(),
            matches: vec![("user".to_owned(), "ana".to_owned())],
            from: Some(from),
            length: Millis::hours(2),
            by: "eve".to_owned(),
            because: "work".to_owned(),
        };
        let (done, words) = said(&clerk, &order(clerk.now - Millis::mins(69))).await;
        let until = clerk.now + Millis::mins(51);
        assert!(done && words.ends_with(&format!(" holds until {until}")), "{words}");
        let words = "a silence of 2h from 1970-01-01T00:00:00.000Z on ended at 1970-01-01T02:00:00.000Z; without \
                     `from` it begins now";
        assert_eq!(said(&clerk, &order(Timestamp(0))).await, (false, words.to_owned()));
    }

    #[tokio::test]
    async fn the_beginning_of_an_id_is_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("a.db")).unwrap();
        let clerk = clerk(&store).await;
        let (nobody, because) = (String::new, || "x".to_owned());
        for order in [
            Order::Acknowledge { alert: nobody(), by: "eve".to_owned() },
            Order::Redrive { delivery: Some(nobody()), receiver: None },
            Order::Discard { delivery: Some(nobody()), receiver: None, because: because() },
            Order::Unsilence { silence: " ".to_owned() },
        ] {
            let words = "an id, or the beginning of one, has a digit at least".to_owned();
            assert_eq!(said(&clerk, &order).await, (false, words), "{order:?}");
        }
    }
}
