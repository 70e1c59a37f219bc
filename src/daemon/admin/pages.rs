//! The pages: what is asked, and what is answered.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Rooms;
use super::asked::{Asked, Body};
use crate::alert::State as AlertState;
use crate::daemon::control::Call;
use crate::daemon::orders::{Order, Reply};
use crate::daemon::shown;
use crate::daemon::status::Status;
use crate::record::{Level, Millis, RuleId, Timestamp};
use crate::route::ReceiverName;
use crate::store::{AlertQuery, DeliveryQuery, StoreError};

/// The desk answers within this, or is said not to.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for the question whether it is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Entries of a list unless told.
const MOST: usize = 100;
/// Entries of a list at most.
const MOST_EVER: usize = 1_000;
/// Deliveries that are shown with an alert.
const WITH_AN_ALERT: usize = 1_000;

/// What is answered where there is nothing better.
pub(super) type Refused = (StatusCode, Json<Value>);

/// `{"error": words}`
pub(super) fn refused(code: StatusCode, words: impl Into<String>) -> Refused {
    (code, Json(json!({"error": words.into()})))
}

fn failed(error: &StoreError) -> Refused {
    refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

type Answer = Result<Json<Value>, Refused>;

/// What becomes of an address that is no page.
pub(super) async fn nothing() -> Refused {
    refused(
        StatusCode::NOT_FOUND,
        "there is no such page; the pages begin with /api/v1/, /metrics, /healthz, /readyz",
    )
}

// --- health

/// The daemon's desk answers.
pub(super) async fn healthz(State(rooms): State<Rooms>) -> Response {
    match rooms.ask(Order::Alive, ALIVE_WITHIN).await {
        Ok(_) => "ok\n".into_response(),
        Err((code, Json(words))) => {
            (code, format!("{}\n", words["error"].as_str().unwrap_or(""))).into_response()
        }
    }
}

/// The store can be read, and a source was read. A receiver that fails changes nothing here.
pub(super) async fn readyz(State(rooms): State<Rooms>) -> Response {
    let status = match rooms.how_are_you().await {
        Ok(status) => status,
        Err((code, Json(words))) => {
            return (code, format!("{}\n", words["error"].as_str().unwrap_or(""))).into_response();
        }
    };
    let mut missing = Vec::new();
    missing.extend(status.store_failed.iter().map(|why| format!("nothing can be kept: {why}")));
    let read =
        |lane: &crate::daemon::status::LaneStatus| lane.read_at.is_some() && lane.failing_since.is_none();
    if !status.lanes.values().any(read) {
        missing.push("no source has been read".to_owned());
    }
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", missing.join("\n"))).into_response()
}

/// Everything that is measured, as `OpenMetrics` text.
pub(super) async fn metrics(State(rooms): State<Rooms>) -> Response {
    let status = match rooms.how_are_you().await {
        Ok(status) => status,
        Err(refused) => return refused.into_response(),
    };
    match rooms.meters.page(&status, &*rooms.store, rooms.clock.now()).await {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => failed(&error).into_response(),
    }
}

// --- the daemon

pub(super) async fn status(State(rooms): State<Rooms>) -> Answer {
    let status = rooms.how_are_you().await?;
    let mut shown = to_json(&status)?;
    shown["blind"] = status.blind().into();
    Ok(Json(shown))
}

pub(super) async fn sources(State(rooms): State<Rooms>) -> Answer {
    Ok(Json(to_json(&rooms.how_are_you().await?.lanes)?))
}

pub(super) async fn receivers(State(rooms): State<Rooms>) -> Answer {
    Ok(Json(to_json(&rooms.how_are_you().await?.receivers)?))
}

/// Rules of all tenants together, or with `tenant` of that one.
pub(super) async fn rules(State(rooms): State<Rooms>, RawQuery(asked): RawQuery) -> Answer {
    let tenant = Asked::query(asked.as_deref(), &["tenant"])?.text("tenant")?;
    let status = rooms.how_are_you().await?;
    let rules = status
        .rules_of(tenant.as_deref())
        .map_err(|error| refused(StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(Json(json!({"rules": to_json(rules)?, "off": to_json(&status.rules_off)?})))
}

pub(super) async fn reload(State(rooms): State<Rooms>) -> Answer {
    rooms.order(Order::Reload).await
}

pub(super) async fn send_test(State(rooms): State<Rooms>, Path(receiver): Path<String>) -> Answer {
    rooms.order(Order::SendTest { receiver }).await
}

// --- alerts

/// Which alerts.
fn alert_query(asked: Option<&str>) -> Result<AlertQuery, Refused> {
    let mut asked = Asked::query(asked, &["state", "rule", "level", "tenant", "since", "most"])?;
    let states = asked.text("state")?.unwrap_or_default();
    let states = states.split(',').filter(|word| !word.is_empty()).map(|word| {
        let known = AlertState::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| bad("state", word, &AlertState::ALL.map(AlertState::as_str).join(", ")))
    });
    let states = states.collect::<Result<_, _>>()?;
    let level = asked.text("level")?.map(|word| {
        let known = Level::ALL.into_iter().find(|level| level.as_str() == word);
        known.ok_or_else(|| bad("level", &word, &Level::ALL.map(Level::as_str).join(", ")))
    });
    let rule = asked.text("rule")?;
    let rule = rule.map(|id| RuleId::try_from(id.clone()).map_err(|_| bad("rule", &id, "a rule's id")));
    let since = asked.text("since")?.map(|text| time("since", &text));
    Ok(AlertQuery {
        tenant: asked.text("tenant")?.map(Into::into),
        id: None,
        rule: rule.transpose()?,
        states,
        level: level.transpose()?,
        since: since.transpose()?,
        most: most(asked.text("most")?)?,
    })
}

fn time(key: &str, text: &str) -> Result<Timestamp, Refused> {
    Timestamp::parse(text).ok_or_else(|| bad(key, text, "a time such as 2026-01-05T09:00:00Z"))
}

pub(super) fn bad(key: &str, found: &str, wanted: &str) -> Refused {
    let found: String = found.chars().take(64).collect();
    refused(StatusCode::BAD_REQUEST, format!("`{key}` cannot be `{found}`; write one of: {wanted}"))
}

fn most(asked: Option<String>) -> Result<usize, Refused> {
    let Some(text) = asked else { return Ok(MOST) };
    let most = text.parse().ok().filter(|most| (1..=MOST_EVER).contains(most));
    most.ok_or_else(|| bad("most", &text, &format!("1 to {MOST_EVER}")))
}

/// Alerts, newest first.
pub(super) async fn alerts(State(rooms): State<Rooms>, RawQuery(asked): RawQuery) -> Answer {
    let found = rooms.store.alerts(alert_query(asked.as_deref())?).await.map_err(|error| failed(&error))?;
    let found: Vec<_> = found.into_iter().map(|kept| kept.now).collect();
    Ok(Json(json!({"alerts": to_json(&found)?})))
}

/// One alert, its revisions and who is told.
pub(super) async fn alert(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer {
    let kept = rooms.one_alert(&id).await?;
    let failed = |error: StoreError| failed(&error);
    let revisions = rooms.store.revisions(kept.now.tenant.clone(), kept.now.id).await.map_err(failed)?;
    let query = DeliveryQuery { alert: Some(kept.now.id), most: WITH_AN_ALERT, ..DeliveryQuery::default() };
    let deliveries = rooms.store.deliveries(query).await.map_err(failed)?;
    Ok(Json(shown::alert_with(&kept, &revisions, &deliveries)))
}

/// Who acknowledges where the body does not say.
const SOMEBODY: &str = "somebody at the admin door";

pub(super) async fn acknowledge(State(rooms): State<Rooms>, Path(id): Path<String>, body: Body) -> Answer {
    let by = Asked::body(body, &["by"])?.text("by")?.unwrap_or_else(|| SOMEBODY.to_owned());
    let kept = rooms.one_alert(&id).await?;
    rooms.order(Order::Acknowledge { alert: kept.now.id.to_string(), by }).await
}

// --- silences

pub(super) async fn silences(State(rooms): State<Rooms>) -> Answer {
    let found = rooms.store.silences(rooms.clock.now()).await.map_err(|error| failed(&error))?;
    Ok(Json(json!({"silences": found.iter().map(shown::silence).collect::<Vec<_>>()})))
}

/// A silence that is asked for.
pub(super) async fn silence(State(rooms): State<Rooms>, body: Body) -> Answer {
    let mut asked = Asked::body(body, &["tenant", "matches", "from", "for", "by", "because"])?;
    let tenant = asked.text("tenant")?.unwrap_or_else(|| "default".to_owned());
    let pairs = asked.texts("matches", PAIRS)?;
    let pairs = pairs.iter().map(|pair| {
        let split = pair.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let split = split.map(|(name, value)| (name.to_owned(), value.to_owned()));
        split.ok_or_else(|| bad("matches", pair, "pairs such as `user=ana`"))
    });
    let matches = pairs.collect::<Result<Vec<_>, _>>()?;
    if matches.is_empty() {
        return Err(bad("matches", "[]", "pairs such as `user=ana`; nothing silences everything"));
    }
    let length = asked.need("for", "\"for\": \"2h\"")?;
    let length = Millis::parse(&length)
        .ok()
        .filter(|length| *length > Millis::ZERO)
        .ok_or_else(|| bad("for", &length, "a length such as 2h"))?;
    let from = asked.text("from")?.map(|text| time("from", &text)).transpose()?;
    let (by, because) = (asked.need("by", "\"by\": \"eve\"")?, asked.need("because", BECAUSE)?);
    rooms.order(Order::Silence { tenant, matches, from, length, by, because }).await
}

/// How a key is written.
const PAIRS: &str = "\"matches\": [\"user=ana\"]";
/// The same.
const BECAUSE: &str = "\"because\": \"desktops are moved\"";

pub(super) async fn unsilence(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer {
    let found = rooms.store.silences(rooms.clock.now()).await.map_err(|error| failed(&error))?;
    if !found.iter().any(|silence| silence.id.to_string().starts_with(&id)) {
        return Err(missing("silence", &id));
    }
    rooms.order(Order::Unsilence { silence: id }).await
}

// --- deliveries

/// Deliveries, oldest first.
pub(super) async fn deliveries(State(rooms): State<Rooms>, RawQuery(asked): RawQuery) -> Answer {
    let mut asked = Asked::query(asked.as_deref(), &["receiver", "state", "most"])?;
    let receiver = asked.text("receiver")?;
    let receiver = receiver
        .map(|name| name.parse::<ReceiverName>().map_err(|_| bad("receiver", &name, "a receiver's name")));
    let states = asked.text("state")?.unwrap_or_default();
    let query = DeliveryQuery {
        receiver: receiver.transpose()?,
        states: states.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        most: most(asked.text("most")?)?,
        ..DeliveryQuery::default()
    };
    let found = rooms.store.deliveries(query).await.map_err(|error| failed(&error))?;
    Ok(Json(json!({"deliveries": found.iter().map(shown::delivery).collect::<Vec<_>>()})))
}

/// One delivery and its tries.
pub(super) async fn delivery(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer {
    let found = rooms.one_delivery(&id).await?;
    let tries = rooms.store.tries(found.id).await.map_err(|error| failed(&error))?;
    let query = DeliveryQuery {
        tenant: Some(found.tenant.clone()),
        told_by: Some(found.id),
        most: MOST_EVER,
        ..DeliveryQuery::default()
    };
    let stands_for = rooms.store.deliveries(query).await.map_err(|error| failed(&error))?;
    Ok(Json(shown::delivery_with(&found, &tries, &stands_for)))
}

pub(super) async fn redrive(State(rooms): State<Rooms>, Path(id): Path<String>) -> Answer {
    let found = rooms.one_delivery(&id).await?;
    rooms.order(Order::Redrive { delivery: Some(found.id.to_string()), receiver: None }).await
}

pub(super) async fn discard(State(rooms): State<Rooms>, Path(id): Path<String>, body: Body) -> Answer {
    let because = Asked::body(body, &["because"])?.need("because", BECAUSE)?;
    let found = rooms.one_delivery(&id).await?;
    let delivery = Some(found.id.to_string());
    rooms.order(Order::Discard { delivery, receiver: None, because }).await
}

// --- what they share

fn to_json(value: &impl serde::Serialize) -> Result<Value, Refused> {
    serde_json::to_value(value)
        .map_err(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot be written: {error}")))
}

fn missing(what: &str, id: &str) -> Refused {
    let id: String = id.chars().take(64).collect();
    refused(StatusCode::NOT_FOUND, format!("there is no {what} `{id}`"))
}

/// The one that was found.
fn one<T>(what: &str, id: &str, mut found: Vec<T>) -> Result<T, Refused> {
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(missing(what, id)),
        (Some(_), false) => {
            let words = format!("more than one {what} begins with `{id}`; give more of its digits");
            Err(refused(StatusCode::CONFLICT, words))
        }
    }
}

impl Rooms {
    async fn ask(&self, order: Order, patience: Duration) -> Result<Reply, Refused> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let asked = async {
            self.orders.send(Call { order, reply }).await.ok()?;
            answer.await.ok()
        };
        let silent = || refused(StatusCode::SERVICE_UNAVAILABLE, "the daemon does not answer");
        tokio::time::timeout(patience, asked).await.ok().flatten().ok_or_else(silent)
    }

    async fn how_are_you(&self) -> Result<Box<Status>, Refused> {
        match self.ask(Order::Status, PATIENCE).await? {
            Reply::Status(status) => Ok(status),
            Reply::Done(words) | Reply::Refused(words) => {
                Err(refused(StatusCode::SERVICE_UNAVAILABLE, words))
            }
        }
    }

    async fn order(&self, order: Order) -> Answer {
        match self.ask(order, PATIENCE).await? {
            Reply::Done(words) => Ok(Json(json!({"done": words}))),
            Reply::Refused(words) => Err(refused(StatusCode::CONFLICT, words)),
            Reply::Status(status) => Ok(Json(to_json(&status)?)),
        }
    }

    async fn one_alert(&self, id: &str) -> Result<crate::store::KeptAlert, Refused> {
        let query = AlertQuery { id: Some(id.to_owned()), most: 2, ..AlertQuery::default() };
        one("alert", id, self.store.alerts(query).await.map_err(|error| failed(&error))?)
    }

    async fn one_delivery(&self, id: &str) -> Result<crate::route::Delivery, Refused> {
        let query = DeliveryQuery { id: Some(id.to_owned()), most: 2, ..DeliveryQuery::default() };
        one("delivery", id, self.store.deliveries(query).await.map_err(|error| failed(&error))?)
    }
}
