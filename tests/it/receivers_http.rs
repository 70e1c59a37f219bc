//! Receivers that speak HTTP, against servers that behave and that do not.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larum::config::Secrets;
use larum::deliver::{Content, Receiver};
use larum::record::Millis;
use larum::route::Attempt;
use serde_json::Value as Json;

use super::receivers::{
    AT, Http, Play, alert, alert_message, digest_message, hmac, message, reason, receiver, try_receiver, word,
};

fn webhook(http: &Http, more: &str) -> Box<dyn Receiver> {
    receiver(&format!("{{kind: webhook, url: \"{}\"{more}}}", http.url("/hook/s3cret-path")))
}

fn slack(http: &Http) -> Box<dyn Receiver> {
    let secrets = Secrets::default().with("SLACK", &http.url("/services/T0000000/s3cret-path"));
    try_receiver("{kind: slack, url: env:SLACK, timeout: 10s}", &secrets).unwrap()
}

/// What one answer comes to for both kinds.
async fn both(play: Play) -> [Attempt; 2] {
    let http = Http::start(move |_| play.clone()).await;
    let message = alert_message("ana");
    [webhook(&http, "").send(&message).await, slack(&http).send(&message).await]
}

#[tokio::test]
async fn a_webhook_is_the_alerts_line_signed_and_every_try_has_the_same_id() {
    let http = Http::start(|_| Play::status("204 No Content")).await;
    let secrets = Secrets::default().with("HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let text = format!("{{kind: webhook, url: \"{}\", secret: env:HOOK}}", http.url("/hook"));
    let receiver = try_receiver(&text, &secrets).unwrap();
    let mut message = alert_message("ana");
    assert_eq!(receiver.send(&message).await, Attempt::Delivered);
    message.now = message.now + Millis::mins(5);
    assert_eq!(receiver.send(&message).await, Attempt::Delivered);

    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let requests = http.requests();
    for (request, now) in requests.iter().zip([AT + Millis::secs(90), AT + Millis::secs(390)]) {
        let id = request.header("webhook-id").unwrap();
        let seconds = request.header("webhook-timestamp").unwrap();
        assert_eq!((id, seconds), ("07070707070707070707070707070707", (now.0 / 1_000).to_string().as_str()));
        let tag = hmac(&key, format!("{id}.{seconds}.{}", request.text()).as_bytes());
        assert_eq!(request.header("webhook-signature").unwrap(), format!("v1,{}", STANDARD.encode(tag)));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("accept-encoding"), None, "nothing is decompressed");
        assert_eq!(request.text(), serde_json::to_string(&alert("ana")).unwrap());
    }
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn digests_and_probes_are_json_objects_of_their_own() {
    let http = Http::start(|_| Play::status("200 OK")).await;
    let receiver = webhook(&http, "");
    for content in [digest_message("user=ana").content, Content::Probe] {
        assert_eq!(receiver.send(&message(9, content)).await, Attempt::Delivered);
    }
    let bodies: Vec<Json> =
        http.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert_eq!(bodies[0]["digest"]["count"], 30);
    assert_eq!(bodies[0]["digest"]["from"], "2026-01-05T09:08:00.000Z");
    assert_eq!(bodies[1]["probe"]["from"], "larum");
    assert!(http.requests()[1].header("webhook-signature").is_none(), "there is no secret to sign with");
}

#[tokio::test]
async fn a_throttled_receiver_says_how_long_and_for_all_messages() {
    for (header, wait) in [
        ("Retry-After: 30", Some(30_000)),
        ("Retry-After: 1.25", Some(1_250)),
        // 120 seconds after the message's now.
        ("Retry-After: Mon, 05 Jan 2026 09:11:30 GMT", Some(120_000)),
        ("Retry-After: soon", None),
        ("X-Nothing: 1", None),
    ] {
        for attempt in both(Play::header("429 Too Many Requests", header)).await {
            let Attempt::TryAgain { wait: asked, everyone: true, .. } = attempt else {
                panic!("{header}: {attempt:?}")
            };
            assert_eq!(asked, wait.map(Millis), "{header}");
        }
    }
}

#[tokio::test]
async fn slack_says_how_long_in_its_body_too() {
    let http =
        Http::start(|_| Play::body("429 Too Many Requests", r#"{"ok":false,"retry_after":7.5}"#)).await;
    let attempt = slack(&http).send(&alert_message("ana")).await;
    assert!(
        matches!(attempt, Attempt::TryAgain { wait: Some(Millis(7_500)), everyone: true, .. }),
        "{attempt:?}"
    );
}

#[tokio::test]
async fn an_answer_is_told_by_its_status() {
    for (status, meant) in [
        ("500 Internal Server Error", "again"),
        ("502 Bad Gateway", "again"),
        ("408 Request Timeout", "again"),
        ("400 Bad Request", "malformed"),
        ("413 Payload Too Large", "malformed"),
        ("422 Unprocessable Content", "malformed"),
        ("401 Unauthorized", "unwelcome"),
        ("403 Forbidden", "unwelcome"),
        ("404 Not Found", "unwelcome"),
        ("410 Gone", "unwelcome"),
        ("409 Conflict", "unwelcome"),
        ("301 Moved Permanently", "unwelcome"),
    ] {
        for attempt in both(Play::status(status)).await {
            assert_eq!(word(&attempt), meant, "{attempt:?}");
            assert!(reason(&attempt).starts_with(&format!("HTTP {}", &status[..3])), "{attempt:?}");
        }
    }
}

#[tokio::test]
async fn slack_is_told_by_its_words() {
    let http = Http::start(|request| {
        let wanted = request.text();
        let pick = |word: &str| wanted.contains(&format!("case-{word}-"));
        if pick("ok") {
            Play::body("200 OK", "ok")
        } else if pick("blocks") {
            Play::body("400 Bad Request", "msg_blocks_too_long")
        } else if pick("hidden") {
            Play::body("200 OK", r#"{"ok":false,"error":"invalid_payload"}"#)
        } else if pick("gone") {
            Play::body("400 Bad Request", "channel_is_archived")
        } else if pick("rollup") {
            Play::body("500 Server Error", "rollup_error")
        } else {
            Play::body("200 OK", "<html>Please sign in</html>")
        }
    })
    .await;
    let slack = slack(&http);
    let told = async |word: &str| slack.send(&alert_message(&format!("case-{word}-"))).await;
    assert_eq!(told("ok").await, Attempt::Delivered);
    assert!(matches!(told("blocks").await, Attempt::Malformed { .. }));
    assert!(matches!(told("hidden").await, Attempt::Malformed { .. }));
    assert!(matches!(told("gone").await, Attempt::Unwelcome { .. }));
    assert!(matches!(told("rollup").await, Attempt::TryAgain { everyone: false, .. }));
    let portal = told("portal").await;
    assert!(matches!(portal, Attempt::TryAgain { .. }), "{portal:?}");
    assert_eq!(reason(&portal), "HTTP 200 OK: <html>Please sign in</html>; Slack itself says `ok`");
}

#[tokio::test]
async fn a_body_that_one_filter_refuses_is_unwelcome_and_the_next_one_passes() {
    let http = Http::start(|request| {
        let filtered = request.text().contains("UNION SELECT");
        Play::body(if filtered { "403 Forbidden" } else { "200 OK" }, if filtered { "blocked" } else { "ok" })
    })
    .await;
    for receiver in [webhook(&http, ""), slack(&http)] {
        let attempt = receiver.send(&alert_message("' UNION SELECT 1")).await;
        assert_eq!(attempt, Attempt::Unwelcome { reason: "HTTP 403 Forbidden: blocked".to_owned() });
        assert_eq!(receiver.send(&message(1, Content::Probe)).await, Attempt::Delivered);
        assert_eq!(receiver.send(&alert_message("ana")).await, Attempt::Delivered);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_may_have_taken_it() {
    let http = Http::start(|_| Play::Hang).await;
    let attempt = webhook(&http, ", timeout: 200ms").send(&alert_message("ana")).await;
    assert!(matches!(attempt, Attempt::Unknown { .. }), "{attempt:?}");
    assert!(reason(&attempt).starts_with("no answer in time"), "{attempt:?}");
}

#[tokio::test]
async fn a_connection_reset_after_the_body_leaves_it_unknown() {
    for attempt in both(Play::Reset).await {
        assert!(matches!(attempt, Attempt::Unknown { .. }), "{attempt:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_worth_another_try() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let receiver = receiver(&format!("{{kind: webhook, url: \"http://{address}/s3cret-path\"}}"));
    let attempt = receiver.send(&alert_message("ana")).await;
    assert!(matches!(attempt, Attempt::TryAgain { wait: None, everyone: true, .. }), "{attempt:?}");
    assert!(!reason(&attempt).contains("s3cret"), "{attempt:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_host_is_named() {
    let there = Http::start(|_| Play::status("200 OK")).await;
    let to = format!("Location: {}", there.url("/hook/s3cret-path?token=s3cret"));
    let [webhook, slack] = both(Play::header("307 Temporary Redirect", &to)).await;
    let said = "HTTP 307 Temporary Redirect: it redirects to `127.0.0.1`; redirects are not followed";
    assert_eq!(webhook, Attempt::Unwelcome { reason: said.to_owned() });
    assert_eq!(slack, webhook);
    assert!(there.requests().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_its_bound() {
    let [webhook, slack] = both(Play::Endless).await;
    assert_eq!(webhook, Attempt::Delivered);
    // Its body is not `ok`.
    assert!(matches!(slack, Attempt::TryAgain { .. }), "{slack:?}");
    assert!(reason(&slack).chars().count() <= 512);
}

#[tokio::test]
async fn no_answer_makes_a_reason_tell_the_address() {
    static SAID: Mutex<String> = Mutex::new(String::new());
    let http = Http::start(|_| Play::body("404 Not Found", &SAID.lock().unwrap())).await;
    let said = format!(
        "\u{1b}[2J no hook at {}\r\n/hook/s3cret-path {}",
        http.url("/hook/s3cret-path"),
        "x".repeat(9_000)
    );
    *SAID.lock().unwrap() = said;
    let receiver = webhook(&http, "");
    let attempt = receiver.send(&alert_message("ana")).await;
    let reason = reason(&attempt);
    assert!(
        !reason.contains("s3cret") && reason.starts_with("HTTP 404 Not Found: [2J no hook at ***"),
        "{reason}"
    );
    assert!(!reason.chars().any(char::is_control) && reason.chars().count() <= 512);
    assert!(!format!("{receiver:?}").contains("s3cret"));
}

#[test]
fn an_address_that_cannot_be_is_told_with_the_way_out() {
    let told = |text: &str| {
        try_receiver(text, &Secrets::default().with("URL", "http://hooks.example/x")).unwrap_err()
    };
    let text = told("{kind: webhook, url: http://siem.example/hook}");
    assert!(
        text.contains("`url` would send alerts unencrypted") && text.contains("write https://"),
        "{text}"
    );
    let text = told("{kind: slack, url: https://hooks.slack.com/services/T/B/x}");
    assert!(text.contains("a secret is named by its place") && text.contains("env:NAME"), "{text}");
    let text = told("{kind: slack, url: env:URL}");
    assert!(text.contains("unencrypted") && !text.contains("hooks.example"), "{text}");
    let text = told("{kind: webhook, url: https://siem.example/, timeout: 5m}");
    assert!(text.contains("`timeout` is 5m, too long") && text.contains("at most 60s"), "{text}");
}

#[tokio::test]
async fn two_secrets_sign_while_the_other_side_changes_from_one_to_the_other() {
    let http = Http::start(|_| Play::status("200 OK")).await;
    let secrets = Secrets::default().with("NEW", "new-secret-of-24-bytes-or-so").with("OLD", "whsec_b2xk");
    let more = "secret: env:NEW, previous_secret: env:OLD";
    let text = format!("{{kind: webhook, url: \"{}\", {more}}}", http.url("/"));
    let receiver = try_receiver(&text, &secrets).unwrap();
    assert_eq!(receiver.send(&alert_message("ana")).await, Attempt::Delivered);
    let request = &http.requests()[0];
    let header = |name: &str| request.header(name).unwrap();
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), request.text());
    let signature = |key: &[u8]| format!("v1,{}", STANDARD.encode(hmac(key, signed.as_bytes())));
    let both = format!("{} {}", signature(b"new-secret-of-24-bytes-or-so"), signature(b"old"));
    assert_eq!(header("webhook-signature"), both);
}

#[tokio::test]
async fn headers_of_ones_own_are_sent_and_a_secret_among_them_is_told_nowhere() {
    let http = Http::start(|request| {
        Play::body("403 Forbidden", &format!("no: {}", request.header("authorization").unwrap()))
    })
    .await;
    let secrets = Secrets::default().with("TOKEN", "Bearer s3cret-token");
    let headers = "headers: {Authorization: env:TOKEN, X-Team: soc}";
    let text = format!("{{kind: webhook, url: \"{}\", {headers}}}", http.url("/"));
    let receiver = try_receiver(&text, &secrets).unwrap();
    let attempt = receiver.send(&alert_message("ana")).await;
    assert_eq!(attempt, Attempt::Unwelcome { reason: "HTTP 403 Forbidden: no: ***".to_owned() });
    let request = &http.requests()[0];
    assert_eq!(request.header("authorization"), Some("Bearer s3cret-token"));
    assert_eq!(request.header("x-team"), Some("soc"));
    assert!(!format!("{receiver:?}").contains("s3cret-token"), "{receiver:?}");
}

#[test]
fn a_header_that_cannot_be_is_told_without_its_value() {
    let secrets = Secrets::default().with("BROKEN", "s3cret\u{7f}é\nX: y");
    for (headers, fault) in [
        ("{Host: s3cret}", "`Host` is not to be chosen"),
        ("{webhook-signature: s3cret}", "`webhook-signature` is not to be chosen"),
        ("{Proxy-Authorization: env:BROKEN}", "`Proxy-Authorization` is not to be chosen"),
        ("{Authorization: Bearer s3cret}", "a secret is named by its place"),
        ("{X-Api-Key: s3cret}", "a secret is named by its place"),
        ("{X-Team: env:BROKEN}", "can stand in no header"),
        ("{\"X Team\": s3cret}", "`X Team` is no name of a header"),
        ("{X-Team: [s3cret]}", "takes a text, or a secret's place"),
        ("{X-Team: s3cret, x-team: s3cret}", "`x-team` stands twice"),
        ("s3cret", "`headers`"),
    ] {
        let text = format!("{{kind: webhook, url: https://siem.example/, headers: {headers}}}");
        let told = try_receiver(&text, &secrets).unwrap_err();
        assert!(told.contains(fault) && !told.contains("s3cret"), "{headers}: {told}");
    }
}

#[tokio::test]
async fn a_body_is_what_the_other_side_wants_and_always_json() {
    let http = Http::start(|_| Play::status("200 OK")).await;
    let body = r#"{"text": {{ "Larum: " ~ headline }}, "of": [{{ kind }}, {{ delivery }}], "rule": {{ alert.rule }},
        "users": {{ alert.show.client_name | default([]) }}, "count": {% if digest %}{{ digest.count }}{% else %}0{% endif %}}"#;
    let body = body.replace("\n        ", " ").replace('\'', "''");
    let text = format!("{{kind: webhook, url: \"{}\", body: '{body}'}}", http.url("/"));
    let receiver = receiver(&text);
    let raw = "\"}, \\ {{ 7*7 }} {% raw %} \u{202e}\n</script>";
    for message in [alert_message(raw), digest_message(raw), message(9, Content::Probe)] {
        assert_eq!(receiver.send(&message).await, Attempt::Delivered);
    }
    let bodies: Vec<Json> =
        http.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    let shown = r#"Larum: [high] "}, \ {{ 7*7 }} {% raw %} \u{202e}\u{a}</script>"#;
    assert_eq!(bodies[0]["text"], shown);
    assert_eq!((&bodies[0]["rule"], &bodies[0]["users"][0]), (&"failure-burst".into(), &raw.into()));
    assert_eq!((&bodies[1]["count"], &bodies[1]["rule"]), (&30.into(), &Json::Null));
    assert_eq!(bodies[2]["of"], serde_json::json!(["probe", "09".repeat(16)]));
    assert!(http.requests().iter().all(|request| !request.text().contains('\u{202e}')));
}

#[test]
fn a_template_that_gives_no_json_is_told_when_it_loads() {
    for (body, fault) in [
        (r#"{"text": "{{ headline }}"}"#, "gives no JSON"),
        (r#"{"text": {{ headline }}"#, "it ends too soon"),
        (r#"{"text": {{ headlin }}}"#, "no value `headlin` in a message"),
        (r#"{"text": {{ headline"#, "the template has a fault"),
        (r#"{% include "/etc/passwd" %}"#, "template"),
        (r"[{% for a in range(1000000) %}1,{% endfor %}1]", "no value `range`"),
        (r"{{ headline.nothing() }}", "cannot be rendered"),
    ] {
        let text = format!("{{kind: webhook, url: https://siem.example/, body: '{body}'}}");
        let told = try_receiver(&text, &Secrets::default()).unwrap_err();
        assert!(told.contains(fault), "{body}: {told}");
    }
}
