//! Teams, PagerDuty, Alertmanager and Huawei's SMN: what each is told of an alert's life, and its traps.

use std::sync::Arc;

use larum::alert::{Alert, State};
use larum::config::Secrets;
use larum::deliver::{Content, KINDS, Message, Receiver, Thread};
use larum::record::{Level, Millis};
use larum::route::{Attempt, DeliveryId};
use larum::simulate::{self, signature::Authorization};
use serde_json::Value as Json;

use super::receivers::{
    AT, Http, Play, TOPIC, alert_message, digest_message, every_http, fine, message, reason, services,
    taking, try_receiver, usual, word,
};

/// The receiver of `kind` at `http`.
fn of(kind: &str, http: &Http) -> Box<dyn Receiver> {
    every_http(http).into_iter().find(|(other, _)| *other == kind).unwrap().1
}

fn told(change: impl FnOnce(&mut Alert)) -> Message {
    let mut alert = usual();
    change(&mut alert);
    message(7, Content::Alert(Arc::new(alert)))
}

fn last(http: &Http) -> Json {
    serde_json::from_slice(&http.requests().pop().unwrap().body).unwrap()
}

#[tokio::test]
async fn pagerduty_hears_of_one_incident_from_its_beginning_to_its_end() {
    let http = taking("pagerduty").await;
    let receiver = of("pagerduty", &http);
    for (state, level, action, severity) in [
        (State::Open, Level::High, "trigger", Some("error")),
        (State::Updated, Level::Critical, "trigger", Some("critical")),
        (State::Acknowledged, Level::Critical, "acknowledge", None),
        (State::Resolved, Level::Critical, "resolve", None),
        (State::Closed, Level::Low, "resolve", None),
    ] {
        let message = told(|alert| (alert.state, alert.level) = (state, level));
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
        let event = last(&http);
        assert_eq!((&event["event_action"], &event["dedup_key"]), (&action.into(), &"1a".repeat(16).into()));
        assert_eq!(event["routing_key"], "0s3cret8901234567890123456789012");
        assert_eq!(event["payload"]["severity"].as_str(), severity);
        if severity.is_some() {
            assert_eq!(event["payload"]["custom_details"]["user"], "ana");
            assert_eq!(event["payload"]["timestamp"], "2026-01-05T09:08:00.000Z");
        }
    }
    assert_eq!(receiver.send(&digest_message("user=ana")).await, Attempt::Delivered);
    let digest = last(&http);
    assert_eq!((&digest["event_action"], &digest["dedup_key"]), (&"trigger".into(), &"08".repeat(16).into()));
    assert_eq!(receiver.send(&message(9, Content::Probe)).await, Attempt::Delivered);
    assert_eq!(last(&http)["event_action"], "resolve", "a probe pages nobody");
}

#[tokio::test]
async fn pagerduty_has_its_sizes_and_a_name_that_stands_twice_is_lost_nowhere() {
    let http = taking("pagerduty").await;
    let receiver = of("pagerduty", &http);
    let raw = "🦀".repeat(9_000);
    assert_eq!(receiver.send(&alert_message(&raw)).await, Attempt::Delivered);
    let request = http.requests().pop().unwrap();
    assert!(request.body.len() < 512_000);
    let event = last(&http);
    assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024);
    let message = told(|alert| {
        alert.show.insert("count".to_owned(), "shown".into());
        alert.values.insert("count".to_owned(), "named".into());
    });
    assert_eq!(receiver.send(&message).await, Attempt::Delivered);
    let details = &last(&http)["payload"]["custom_details"];
    assert_eq!(
        (&details["count"], &details["count 2"], &details["count 3"]),
        (&"5".into(), &"shown".into(), &"named".into())
    );
}

#[tokio::test]
async fn an_answer_of_a_service_is_told_by_its_words() {
    let queued = r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"off"}}"#;
    let inner = |code: u16| {
        format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {code} with ContextId x"
        )
    };
    for (kind, status, body, meant) in [
        ("teams", "202 Accepted", String::new(), "delivered"),
        ("teams", "200 OK", "1".to_owned(), "delivered"),
        ("teams", "200 OK", inner(429), "everyone"),
        ("teams", "200 OK", inner(413), "malformed"),
        ("teams", "200 OK", inner(500), "again"),
        ("teams", "400 Bad Request", queued.to_owned(), "unwelcome"),
        ("teams", "400 Bad Request", "bad card".to_owned(), "malformed"),
        ("teams", "429 Too Many Requests", String::new(), "everyone"),
        (
            "pagerduty",
            "400 Bad Request",
            r#"{"status":"invalid event","errors":["Length of 'summary'"]}"#.to_owned(),
            "malformed",
        ),
        (
            "pagerduty",
            "400 Bad Request",
            r#"{"errors":["'routing_key' is invalid"]}"#.to_owned(),
            "unwelcome",
        ),
        ("pagerduty", "429 Too Many Requests", String::new(), "everyone"),
        ("pagerduty", "500 Internal Server Error", String::new(), "again"),
        ("alertmanager", "200 OK", String::new(), "delivered"),
        (
            "alertmanager",
            "400 Bad Request",
            r#""start time must be before end time""#.to_owned(),
            "malformed",
        ),
        ("alertmanager", "503 Service Unavailable", String::new(), "again"),
        ("smn", "200 OK", r#"{"request_id":"r"}"#.to_owned(), "again"),
        ("smn", "200 OK", "<html>portal</html>".to_owned(), "again"),
        ("smn", "401 Unauthorized", r#"{"error_code":"APIGW.0301"}"#.to_owned(), "unwelcome"),
        ("smn", "400 Bad Request", r#"{"error_code":"APIGW.0301"}"#.to_owned(), "unwelcome"),
        (
            "smn",
            "400 Bad Request",
            r#"{"code":"SMN.0005","message":"Invalid message"}"#.to_owned(),
            "malformed",
        ),
        (
            "smn",
            "404 Not Found",
            r#"{"code":"SMN.0011","message":"topic not found"}"#.to_owned(),
            "unwelcome",
        ),
        ("smn", "429 Too Many Requests", String::new(), "everyone"),
    ] {
        let said = body.clone();
        let http = Http::start(move |_| Play::body(status, &body)).await;
        let attempt = of(kind, &http).send(&alert_message("ana")).await;
        assert_eq!(word(&attempt), meant, "{kind} {said}: {attempt:?}");
    }
}

#[tokio::test]
async fn alertmanager_is_told_when_it_began_and_when_it_was_over() {
    let http = taking("alertmanager").await;
    let receiver = of("alertmanager", &http);
    assert_eq!(receiver.send(&told(|_| {})).await, Attempt::Delivered);
    assert_eq!(http.requests()[0].target, "/api/v2/alerts");
    let alerts = last(&http);
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    insta::assert_snapshot!(alerts[0]["labels"], @r#"{"alertname":"failure-burst","severity":"high","source":"larum","alert":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","tenant":"default","user":"ana"}"#);
    assert_eq!(alerts[0]["startsAt"], "2026-01-05T09:00:00.000Z");
    assert_eq!(
        alerts[0]["endsAt"], "2026-01-06T09:09:30.000Z",
        "a day after it was told, unless more is heard"
    );

    let raised =
        told(|alert| (alert.revision, alert.state, alert.level) = (2, State::Updated, Level::Critical));
    assert_eq!(receiver.send(&raised).await, Attempt::Delivered);
    let alerts = last(&http);
    let ends: Vec<(&str, &str)> = alerts
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (alert["labels"]["severity"].as_str().unwrap(), alert["endsAt"].as_str().unwrap()))
        .collect();
    assert_eq!(ends, [("critical", "2026-01-06T09:09:30.000Z"), ("high", "2026-01-05T09:08:00.000Z")]);

    let over = told(|alert| {
        (alert.revision, alert.state, alert.level) = (3, State::Resolved, Level::Critical);
        alert.at = AT + Millis::secs(60);
    });
    assert_eq!(receiver.send(&over).await, Attempt::Delivered);
    let alerts = last(&http);
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    assert_eq!(alerts[0]["endsAt"], "2026-01-05T09:09:00.000Z");

    // Who does not remember ends it under every level that it may have had.
    let new = of("alertmanager", &http);
    assert_eq!(new.send(&raised).await, Attempt::Delivered);
    assert_eq!(last(&http).as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn alertmanager_is_shown_a_token() {
    let http = taking("alertmanager").await;
    let text = format!("{{kind: alertmanager, url: \"{}\", token: env:SK, expires: 1h}}", http.url("/am/"));
    let receiver = try_receiver(&text, &services(&http)).unwrap();
    assert_eq!(receiver.send(&told(|_| {})).await, Attempt::Delivered);
    let request = http.requests().pop().unwrap();
    assert_eq!(request.header("authorization"), Some("Bearer SKs3cret"));
    assert_eq!(request.target, "/am/api/v2/alerts");
    assert_eq!(last(&http)[0]["endsAt"], "2026-01-05T10:09:30.000Z");
}

#[tokio::test]
async fn smn_is_asked_with_a_signature_that_the_vendors_own_check_accepts() {
    let http = taking("smn").await;
    let receiver = of("smn", &http);
    assert_eq!(receiver.send(&told(|_| {})).await, Attempt::Delivered);
    let request = http.requests().pop().unwrap();
    let urn = "urn%3Asmn%3Aap-southeast-3%3A0123abc%3Aalerts";
    assert_eq!(request.target, format!("/v2/0123abc/notifications/topics/{urn}/publish"));
    assert_eq!(request.header("x-sdk-date"), Some("20260105T090930Z"));
    // The simulated vendor checks signatures with code of its own.
    let asked = simulate::Request {
        method: "POST",
        target: &request.target,
        headers: &request.headers,
        body: &request.body,
        host: None,
        local: true,
    };
    let given = Authorization::parse(request.header("authorization").unwrap()).unwrap();
    assert!(given.access == "AKs3cret" && given.covers("host") && given.covers("content-type"));
    assert!(given.verify(&asked, "SKs3cret") && !given.verify(&asked, "another"));
}

#[tokio::test]
async fn a_phone_is_sent_one_short_line_and_a_mailbox_the_whole() {
    let http = taking("smn").await;
    let receiver = of("smn", &http);
    for raw in ["[x] 【y】", &"🦀".repeat(9_000), &"\"\\".repeat(9_000)] {
        assert_eq!(receiver.send(&alert_message(raw)).await, Attempt::Delivered);
        let body = last(&http);
        assert!(body["subject"].as_str().unwrap().len() <= 512);
        let structure = body["message_structure"].as_str().unwrap();
        assert!(structure.len() <= 256 << 10);
        let structure: Json = serde_json::from_str(structure).unwrap();
        let sms = structure["sms"].as_str().unwrap();
        assert!(sms.chars().count() <= 490 && !sms.contains(['[', ']', '【', '】']), "{sms}");
        assert!(structure["default"].as_str().unwrap().contains("\nuser: "), "{structure}");
    }
}

/// A bot at a Slack that answers `said` to all that asks for `trap`, and is fine else.
async fn bot(trap: &'static str, said: &'static str) -> (Http, Box<dyn Receiver>) {
    let http = Http::start(move |request| {
        if !trap.is_empty() && (request.target.contains(trap) || request.text().contains(trap)) {
            return Play::body("200 OK", said);
        }
        Play::body("200 OK", r#"{"ok":true,"channel":"C0123456789","ts":"1767604080.000100"}"#)
    })
    .await;
    let text = format!("{{kind: slack, token: env:SK, channel: C0123456789, api: \"{}\"}}", http.url("/api"));
    let receiver = try_receiver(&text, &services(&http)).unwrap();
    (http, receiver)
}

/// Gives the bot an alert's messages as the dispatcher does: each with what the bot called the one before.
async fn give(receiver: &dyn Receiver, messages: Vec<Message>) {
    let mut mark = None;
    for (number, message) in (0..).zip(messages) {
        let first = DeliveryId([0; 16]);
        let thread = (number > 0).then(|| Thread { first, mark: mark.clone() });
        let message = Message { id: DeliveryId([number; 16]), thread, ..message };
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
        mark = receiver.mark(message.id).or(mark);
        assert_eq!(receiver.mark(message.id), None, "told once");
    }
}

fn raised() -> Message {
    told(|alert| (alert.revision, alert.state, alert.level) = (2, State::Updated, Level::Critical))
}

fn resolved() -> Message {
    told(|alert| (alert.revision, alert.state) = (3, State::Resolved))
}

#[tokio::test]
async fn a_bot_keeps_an_alert_in_one_thread_and_edits_its_first_message() {
    let (http, receiver) = bot("", "").await;
    give(&*receiver, vec![told(|_| {}), raised(), resolved(), digest_message("user=ana")]).await;
    let calls: Vec<String> = http
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.header("authorization"), Some("Bearer SKs3cret"));
            let body: Json = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["channel"], "C0123456789");
            let head = body["blocks"][0]["text"]["text"].as_str().unwrap();
            let (thread, edited, shown) = (&body["thread_ts"], &body["ts"], &body["reply_broadcast"]);
            format!("{} {head:.30} thread {thread} edits {edited} to all {shown}", request.target)
        })
        .collect();
    insta::assert_snapshot!(calls.join("\n"), @r#"
    /api/chat.postMessage [high] ana: 5 failed sign-ins  thread null edits null to all null
    /api/chat.postMessage [critical, still going on] ana thread "1767604080.000100" edits null to all true
    /api/chat.update [critical, still going on] ana thread null edits "1767604080.000100" to all null
    /api/chat.postMessage [high, resolved] ana: 5 failed thread "1767604080.000100" edits null to all false
    /api/chat.update [high, resolved] ana: 5 failed thread null edits "1767604080.000100" to all null
    /api/chat.postMessage [low] 30 alerts in one message thread null edits null to all null
    "#);
}

#[tokio::test]
async fn a_thread_that_is_gone_or_an_edit_that_fails_costs_no_news() {
    let (http, receiver) = bot("thread_ts", r#"{"ok":false,"error":"thread_not_found"}"#).await;
    give(&*receiver, vec![told(|_| {}), raised()]).await;
    let asked: Vec<bool> =
        http.requests().iter().map(|request| request.text().contains("thread_ts")).collect();
    assert_eq!(asked, [false, true, false], "posted for itself");

    let (_, receiver) = bot("chat.update", r#"{"ok":false,"error":"edit_window_closed"}"#).await;
    give(&*receiver, vec![told(|_| {}), raised(), resolved()]).await;

    // Where nobody knows the first message, one that follows is posted for itself, too.
    let (http, receiver) = bot("", "").await;
    assert_eq!(receiver.send(&raised()).await, Attempt::Delivered);
    assert_eq!(http.requests().len(), 1);
}

#[tokio::test]
async fn a_bot_is_told_by_slacks_words() {
    for (said, meant) in [
        (r#"{"ok":false,"error":"ratelimited"}"#, "everyone"),
        (r#"{"ok":false,"error":"internal_error"}"#, "again"),
        (r#"{"ok":false,"error":"invalid_blocks"}"#, "malformed"),
        (r#"{"ok":false,"error":"msg_too_long"}"#, "malformed"),
        (r#"{"ok":false,"error":"not_in_channel"}"#, "unwelcome"),
        (r#"{"ok":false,"error":"token_expired"}"#, "unwelcome"),
        (r#"{"ok":false,"error":"a_new_one"}"#, "malformed"),
        ("<html>Please sign in</html>", "again"),
    ] {
        let (_, receiver) = bot("chat.postMessage", said).await;
        let attempt = receiver.send(&alert_message("ana")).await;
        assert_eq!(word(&attempt), meant, "{said}: {attempt:?}");
    }
}

#[test]
fn what_cannot_be_is_told_when_the_configuration_loads() {
    let secrets = Secrets::default()
        .with("OLD", "https://acme.webhook.office.com/webhookb2/s3cret@x/IncomingWebhook/y/z")
        .with("OLDER", "https://outlook.office.com/webhook/s3cret")
        .with("SHORT", "s3cret")
        .with("KEY", "AKs3cret");
    for (text, fault, way_out) in [
        (
            "{kind: teams, url: env:OLD}",
            "an Office 365 connector, which Microsoft has retired",
            "add the workflow",
        ),
        ("{kind: teams, url: env:OLDER}", "which Microsoft has retired", "add the workflow"),
        ("{kind: pagerduty, routing_key: env:SHORT}", "is no integration key", "Events API v2"),
        ("{kind: pagerduty, routing_key: s3cret}", "a secret is named by its place", "env:NAME"),
        ("{kind: slack}", "needs `url`, or `token`", "channel: C0123456789"),
        ("{kind: slack, url: env:KEY, token: env:KEY}", "two ways to Slack", "keep `url`"),
        ("{kind: slack, token: env:KEY}", "`token` stands without `channel`", "channel: C0123456789"),
        ("{kind: slack, token: env:KEY, channel: \"#soc\"}", "`#soc` is no id of a channel", "C0123456789"),
        (
            "{kind: slack, url: env:OLD, channel: C0123456789}",
            "has its channel already",
            "take `channel` out",
        ),
        ("{kind: alertmanager, url: http://am.example}", "unencrypted", "https://"),
        (
            "{kind: webhook, url: https://x.example, allow_private: [10.0.0.0/8, inside]}",
            "`inside` is no network",
            "127.0.0.1/32",
        ),
        (
            "{kind: webhook, url: https://x.example, allow_private: [0.0.0.0/0]}",
            "wider than any private network",
            "the network that the receiver is in",
        ),
        ("{kind: alertmanager, url: https://am.example, expires: 30d}", "out of bounds", "1m to 7d"),
        (
            "{kind: smn, topic: alerts, credentials: {ak: env:KEY, sk: env:KEY}}",
            "`alerts` is no URN",
            "urn:smn:REGION",
        ),
        (&format!("{{kind: smn, {TOPIC}}}"), "the environment has no `AK`", "set `AK`"),
        ("{kind: smn, topic: \"urn:smn:a:b:c\", credentials: {ak: env:KEY}}", "needs `sk`", "sk:"),
    ] {
        let told = try_receiver(text, &secrets).unwrap_err();
        assert!(told.contains(fault) && told.contains(way_out), "{text}: {told}");
        assert!(
            !told.contains("webhookb2") && (!told.contains("s3cret") || text.contains("s3cret")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn no_service_makes_a_reason_tell_a_secret() {
    let said = "bad 0s3cret8901234567890123456789012 AKs3cret SKs3cret /s3cret-path";
    let http = Http::start(move |_| Play::body("403 Forbidden", said)).await;
    for (kind, receiver) in every_http(&http) {
        let attempt = receiver.send(&alert_message("ana")).await;
        let secret: &[&str] = match kind {
            "pagerduty" => &["0s3cret"],
            "smn" => &["AKs3cret", "SKs3cret"],
            "alertmanager" | "webhook" => &[],
            _ => &["s3cret-path"],
        };
        assert_eq!(word(&attempt), "unwelcome", "{kind}");
        let told = format!("{} {receiver:?}", reason(&attempt));
        assert!(secret.iter().all(|secret| !told.contains(secret)), "{kind}: {told}");
    }
}

#[tokio::test]
async fn every_trap_of_http_is_met_by_every_kind() {
    let traps: [(Play, &[&str]); 8] = [
        (Play::header("429 Too Many Requests", "Retry-After: 30"), &["everyone"]),
        (Play::status("401 Unauthorized"), &["unwelcome"]),
        (Play::status("410 Gone"), &["unwelcome"]),
        (Play::status("413 Payload Too Large"), &["malformed"]),
        (Play::header("302 Found", "Location: https://evil.example/"), &["unwelcome"]),
        (Play::status("423 Locked"), &["unwelcome"]),
        (Play::Reset, &["unknown"]),
        (Play::status("503 Service Unavailable"), &["again"]),
    ];
    for (play, meant) in traps {
        let played = play.clone();
        let http = Http::start(move |_| played.clone()).await;
        for (kind, receiver) in every_http(&http) {
            let attempt = receiver.send(&alert_message("ana")).await;
            assert!(meant.contains(&word(&attempt)), "{kind} {play:?}: {attempt:?}");
            if let Attempt::TryAgain { wait: Some(wait), everyone: true, .. } = attempt {
                assert_eq!(wait, Millis::secs(30), "{kind}");
            }
        }
    }
}

#[test]
fn machines_are_told_all_and_no_service_more_than_it_takes() {
    for (name, most, human) in
        [("pagerduty", 120, false), ("alertmanager", 1_000, false), ("teams", 120, true), ("smn", 100, true)]
    {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        assert!(kind.transport.per_minute + kind.transport.burst <= most && kind.human == human, "{name}");
    }
    assert!(matches!(fine("teams"), Play::Answer("202 Accepted", ..)));
}
