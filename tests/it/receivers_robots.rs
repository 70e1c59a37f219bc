//! The robots of group chats: their signatures, and codes in answers of status 200.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larum::config::Secrets;
use larum::deliver::{Content, KINDS, Receiver};
use larum::record::Millis;
use larum::route::Attempt;
use serde_json::Value as Json;

use super::receivers::{AT, Http, Play, alert_message, hmac, message, reason, try_receiver, word};

/// The message's now.
const NOW: i64 = AT.0 + 90_000;

fn robot(http: &Http, kind: &str, more: &str) -> Box<dyn Receiver> {
    let secrets = Secrets::default()
        .with("ROBOT", &http.url("/robot/send?key=s3cret-key"))
        .with("SECRET", "SECs3cret-to-sign");
    try_receiver(&format!("{{kind: {kind}, url: env:ROBOT{more}}}"), &secrets).unwrap()
}

/// A fine answer of each.
fn fine(kind: &str) -> &'static str {
    match kind {
        "feishu" => r#"{"code":0,"msg":"success","data":{}}"#,
        _ => r#"{"errcode":0,"errmsg":"ok"}"#,
    }
}

const ALL: [&str; 3] = ["dingtalk", "feishu", "wecom"];

/// A query's value, its `%xx` read.
fn query(target: &str, name: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    Some(String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn dingtalk_is_signed_in_the_query_with_the_secret_as_the_key() {
    let http = Http::start(|_| Play::body("200 OK", fine("dingtalk"))).await;
    let signed = robot(&http, "dingtalk", ", secret: env:SECRET");
    assert_eq!(signed.send(&alert_message("ana")).await, Attempt::Delivered);
    let target = &http.requests()[0].target;
    assert_eq!(query(target, "key").unwrap(), "s3cret-key");
    assert_eq!(query(target, "timestamp").unwrap(), NOW.to_string());
    let tag = hmac(b"SECs3cret-to-sign", format!("{NOW}\nSECs3cret-to-sign").as_bytes());
    assert_eq!(query(target, "sign").unwrap(), STANDARD.encode(tag));

    let by_word = robot(&http, "dingtalk", ", keyword: Larum-SOC");
    for message in [alert_message("ana"), message(1, Content::Probe)] {
        assert_eq!(by_word.send(&message).await, Attempt::Delivered);
        let request = http.requests().pop().unwrap();
        assert_eq!(query(&request.target, "sign"), None);
        assert!(request.text().contains("Larum-SOC"), "{}", request.text());
    }
}

#[tokio::test]
async fn feishu_is_signed_in_the_body_with_the_text_as_the_key() {
    let http = Http::start(|_| Play::body("200 OK", fine("feishu"))).await;
    let signed = robot(&http, "feishu", ", secret: env:SECRET");
    let plain = larum::deliver::Message { plain: true, ..alert_message("ana") };
    for message in [alert_message("ana"), plain] {
        assert_eq!(signed.send(&message).await, Attempt::Delivered);
        let body: Json = serde_json::from_slice(&http.requests().pop().unwrap().body).unwrap();
        let seconds = (NOW / 1_000).to_string();
        assert_eq!(body["timestamp"], seconds.as_str());
        let tag = hmac(format!("{seconds}\nSECs3cret-to-sign").as_bytes(), b"");
        assert_eq!(body["sign"], STANDARD.encode(tag));
    }
}

#[tokio::test]
async fn an_answer_is_told_by_its_code_whatever_its_status() {
    for (kind, status, body, meant, wait) in [
        ("dingtalk", "200 OK", r#"{"errcode":130101,"errmsg":"send too fast"}"#, "everyone", Some(600_000)),
        ("dingtalk", "200 OK", r#"{"errcode":-1,"errmsg":"system busy"}"#, "again", None),
        ("dingtalk", "200 OK", r#"{"errcode":310000,"errmsg":"sign not match"}"#, "unwelcome", None),
        ("dingtalk", "200 OK", r#"{"errcode":400102,"errmsg":"robot disabled"}"#, "unwelcome", None),
        ("dingtalk", "200 OK", r#"{"errcode":430102,"errmsg":"inappropriate text"}"#, "malformed", None),
        ("dingtalk", "200 OK", r#"{"errcode":777,"errmsg":"a new one"}"#, "malformed", None),
        ("feishu", "200 OK", r#"{"code":19021,"msg":"sign match fail"}"#, "unwelcome", None),
        ("feishu", "200 OK", r#"{"StatusCode":11232,"msg":"frequency limited"}"#, "everyone", Some(60_000)),
        ("feishu", "400 Bad Request", r#"{"code":9499,"msg":"Bad Request"}"#, "malformed", None),
        ("feishu", "200 OK", r#"{"StatusCode":0,"StatusMessage":"success"}"#, "delivered", None),
        (
            "wecom",
            "200 OK",
            r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#,
            "everyone",
            Some(60_000),
        ),
        ("wecom", "200 OK", r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, "unwelcome", None),
        ("wecom", "200 OK", r#"{"errcode":40058,"errmsg":"exceed max length 2048"}"#, "malformed", None),
        // What stands before a robot, and its own troubles.
        ("wecom", "200 OK", "<html>Please sign in</html>", "again", None),
        ("dingtalk", "200 OK", r#"{"ok":true}"#, "again", None),
        ("feishu", "502 Bad Gateway", "", "again", None),
        ("wecom", "404 Not Found", "", "unwelcome", None),
    ] {
        let http = Http::start(move |_| Play::body(status, body)).await;
        let attempt = robot(&http, kind, "").send(&alert_message("ana")).await;
        assert_eq!(word(&attempt), meant, "{kind} {body}: {attempt:?}");
        if let Attempt::TryAgain { wait: asked, .. } = &attempt {
            assert_eq!(*asked, wait.map(Millis), "{kind} {body}");
        }
        if meant != "delivered" {
            let said: String = body.chars().take(20).collect();
            assert!(reason(&attempt).contains(&said), "{attempt:?}");
        }
    }
}

#[tokio::test]
async fn a_code_that_nobody_knows_costs_no_alert() {
    // In full it may be the message; in its least form it may be everything, and a probe tells.
    let http = Http::start(|_| Play::body("200 OK", r#"{"errcode":777,"code":777}"#)).await;
    for kind in ALL {
        let robot = robot(&http, kind, "");
        let mut message = alert_message("ana");
        assert_eq!(word(&robot.send(&message).await), "malformed");
        message.plain = true;
        assert_eq!(word(&robot.send(&message).await), "unwelcome");
    }
}

#[tokio::test]
async fn feishu_says_how_long_in_a_header_of_its_own() {
    let http = Http::start(|_| {
        let header = "x-ogw-ratelimit-reset: 90\r\n".to_owned();
        Play::Answer("429 Too Many Requests", header, r#"{"code":99991400,"msg":"slow"}"#.to_owned())
    })
    .await;
    let attempt = robot(&http, "feishu", "").send(&alert_message("ana")).await;
    assert!(
        matches!(attempt, Attempt::TryAgain { wait: Some(Millis(90_000)), everyone: true, .. }),
        "{attempt:?}"
    );
}

#[tokio::test]
async fn no_size_is_exceeded_by_the_largest_message() {
    let raws =
        ["🦀".repeat(9_000), "\"\\".repeat(9_000), "<at @all>".repeat(9_000), "\u{202e}".repeat(9_000)];
    for (kind, most) in [("dingtalk", 20_000), ("feishu", 20_000), ("wecom", 2_048)] {
        let http = Http::start(move |_| Play::body("200 OK", fine(kind))).await;
        let robot = robot(&http, kind, "");
        for raw in &raws {
            assert_eq!(robot.send(&alert_message(raw)).await, Attempt::Delivered);
            let request = http.requests().pop().unwrap();
            let body: Json = serde_json::from_slice(&request.body).unwrap();
            let size = match body["text"]["content"].as_str() {
                Some(text) => text.len(),
                None => request.body.len(),
            };
            assert!(size <= most, "{kind}: {size}");
            assert!(request.text().contains("larum alerts show 1a1a"), "{}", request.text());
        }
    }
}

#[tokio::test]
async fn no_answer_of_a_robot_makes_a_reason_tell_a_secret() {
    let said = r#"{"errcode":310000,"code":19021,"errmsg":"bad s3cret-key or SECs3cret-to-sign"}"#;
    let http = Http::start(move |_| Play::body("200 OK", said)).await;
    for kind in ["dingtalk", "feishu"] {
        let robot = robot(&http, kind, ", secret: env:SECRET");
        let attempt = robot.send(&alert_message("ana")).await;
        let told = format!("{attempt:?} {robot:?}");
        assert!(told.contains("bad *** or ***") && !told.contains("s3cret"), "{told}");
    }
}

/// What a robot's group reads.
fn read(kind: &str, body: &Json) -> String {
    let mut text = String::new();
    if kind == "feishu" && body["msg_type"] == "post" {
        let post = &body["content"]["post"]["zh_cn"];
        let _ = write!(text, "{}", post["title"].as_str().unwrap());
        for line in post["content"].as_array().unwrap() {
            let _ = write!(text, "\n{}", line[0]["text"].as_str().unwrap());
        }
        return text;
    }
    let content = if kind == "feishu" { &body["content"]["text"] } else { &body["text"]["content"] };
    content.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_group_reads_the_same() {
    let mut texts = Vec::new();
    for kind in ALL {
        let http = Http::start(move |_| Play::body("200 OK", fine(kind))).await;
        assert_eq!(robot(&http, kind, "").send(&alert_message("<at>@ana")).await, Attempt::Delivered);
        texts.push(read(kind, &serde_json::from_slice(&http.requests()[0].body).unwrap()));
    }
    assert!(
        texts[0]
            .starts_with("[high] \\u{3c}at>\\u{40}ana\ntenant: \\u{3c}at>\\u{40}ana\nrule: failure-burst\n")
    );
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:#?}");
}

#[test]
fn no_transport_limit_is_above_what_the_service_allows_in_a_minute() {
    for (name, most) in [("dingtalk", 20), ("feishu", 100), ("wecom", 20)] {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        assert!(kind.transport.per_minute + kind.transport.burst <= most, "{name}");
        assert!(kind.human, "{name}");
    }
}
