//! What the tests of receivers share: receivers as a configuration spells them, messages, and
//! servers on this machine that do as a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use larum::alert::{Alert, AlertId, Bounds, Evidence, Revision, State};
use larum::config::{self, KindDoc, Kinds, Secrets};
use larum::deliver::{Content, KINDS, Message, Receiver, Thread};
use larum::record::{Level, Millis, Timestamp};
use larum::route::{Attempt, DeliveryId, Digest, DigestLine};
use larum::rule::keys::{MapDoc, Open};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

static NOTHING: MapDoc = MapDoc { name: "a source", about: "nothing", open: Open::Closed, keys: &[] };

/// The receiver that `text` spells, or what is wrong with it.
pub fn try_receiver(text: &str, secrets: &Secrets) -> Result<Box<dyn Receiver>, String> {
    let receivers: Vec<KindDoc> =
        KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect();
    let kinds = Kinds { receivers: &receivers, sources: &[KindDoc { name: "none", keys: &NOTHING }] };
    let text = format!(
        "store: x.db\nrules: [rules/]\nsources: [{{name: s, kind: none}}]\nreceivers:\n  - {}\n\
         routes: [{{match: {{}}, to: [r]}}]\n",
        text.replacen('{', "{name: r, ", 1)
    );
    let (config, mut problems) = config::load("larum.yaml", &text, &kinds);
    let config = config.unwrap();
    let part = &config.receivers[0].part;
    let kind = KINDS.iter().find(|kind| kind.name == part.kind).unwrap();
    let receiver = (kind.build)(&part.options(), secrets, &mut problems);
    if problems.is_empty() { Ok(receiver.unwrap()) } else { Err(problems.render(false)) }
}

/// A receiver of each kind that speaks HTTP, at `http`, which answers as [`fine`].
pub fn every_http(http: &Http) -> Vec<(&'static str, Box<dyn Receiver>)> {
    let secrets = services(http);
    let spelt = |kind: &'static str| match kind {
        "alertmanager" => format!("{{kind: alertmanager, url: \"{}\"}}", http.url("")),
        "pagerduty" => {
            format!("{{kind: pagerduty, routing_key: env:PD, url: \"{}\"}}", http.url("/v2/enqueue"))
        }
        "smn" => format!("{{kind: smn, {TOPIC}, url: \"{}\"}}", http.url("")),
        "dingtalk" | "feishu" | "slack" | "teams" | "wecom" => format!("{{kind: {kind}, url: env:URL}}"),
        "webhook" => format!("{{kind: webhook, url: \"{}\"}}", http.url("/")),
        "email" | "file" | "stdout" => String::new(),
        new => panic!("say here how `{new}` is spelt, so that every test of receivers meets it"),
    };
    let kinds = KINDS.iter().map(|kind| (kind.name, spelt(kind.name)));
    kinds
        .filter(|(_, text)| !text.is_empty())
        .map(|(kind, text)| (kind, try_receiver(&text, &secrets).unwrap()))
        .collect()
}

/// A topic and who publishes there.
pub const TOPIC: &str =
    "topic: \"urn:smn:ap-southeast-3:0123abc:alerts\", credentials: {ak: env:AK, sk: env:SK}";

/// Secrets of receivers that are tested at `http`.
pub fn services(http: &Http) -> Secrets {
    Secrets::default()
        .with("URL", &http.url("/s3cret-path"))
        .with("PD", "0s3cret8901234567890123456789012")
        .with("AK", "AKs3cret")
        .with("SK", "SKs3cret")
}

/// What a service of each kind answers when it takes a message.
pub fn fine(kind: &str) -> Play {
    match kind {
        "feishu" => Play::body("200 OK", r#"{"code":0,"msg":"success","data":{}}"#),
        "dingtalk" | "wecom" => Play::body("200 OK", r#"{"errcode":0,"errmsg":"ok"}"#),
        "slack" => Play::body("200 OK", "ok"),
        "pagerduty" => Play::body("202 Accepted", r#"{"status":"success","message":"Event processed"}"#),
        "smn" => Play::body("200 OK", r#"{"request_id":"r1","message_id":"m1"}"#),
        "teams" => Play::status("202 Accepted"),
        _ => Play::status("204 No Content"),
    }
}

/// A server that takes what `kind` sends.
pub async fn taking(kind: &'static str) -> Http {
    Http::start(move |_| fine(kind)).await
}

/// The receiver that `text` spells.
pub fn receiver(text: &str) -> Box<dyn Receiver> {
    try_receiver(text, &Secrets::default()).unwrap()
}

/// 2026-01-05T09:08:00Z
pub const AT: Timestamp = Timestamp(1_767_604_080_000);

pub fn message(number: u8, content: Content) -> Message {
    let now = AT + Millis::secs(90);
    Message {
        id: DeliveryId([number; 16]),
        content,
        plain: false,
        thread: None,
        zone: chrono_tz::Asia::Shanghai,
        now,
    }
}

/// An alert whose title, group and texts are `text`.
pub fn alert(text: &str) -> Alert {
    let map = |value: Json| value.as_object().unwrap().clone();
    Alert {
        id: AlertId([0x1a; 16]),
        revision: 1,
        state: State::Open,
        rule: "failure-burst".parse().unwrap(),
        rule_revision: Revision([2; 8]),
        tenant: text.into(),
        level: Level::High,
        title: text.to_owned(),
        at: AT,
        group: map(json!({"user": text})),
        count: 5,
        repeats: 0,
        first_seen: AT - Millis::mins(8),
        last_seen: AT,
        window: Bounds { from: AT - Millis::mins(10), to: AT },
        threshold: map(json!({"at_least": 5})),
        actual: map(json!({"count": 5, "value": text})),
        values: map(json!({"named": [text, {"inner": text}]})),
        show: map(json!({"client_name": [text, null, 7]})),
        attack: vec!["T1110.001".to_owned()],
        tags: vec![text.to_owned()],
        late: false,
        standing: false,
        observe: false,
        held_by: Vec::new(),
        released: false,
        notify: Vec::new(),
        why_level: "rule".to_owned(),
        runbook: Some(text.to_owned()),
        evidence: Evidence { first: vec![map(json!({"user_name": text}))], last: Vec::new() },
        generation: "00".to_owned(),
        versions: std::collections::BTreeMap::new(),
        text_fault: None,
        scope: map(json!({})),
    }
}

/// Five failed sign-ins of one user, with nothing hostile about them.
pub fn usual() -> Alert {
    let map = |value: Json| value.as_object().unwrap().clone();
    Alert {
        tenant: "default".into(),
        title: "ana: 5 failed sign-ins in 10 minutes".to_owned(),
        actual: map(json!({"count": 5})),
        values: map(json!({})),
        show: map(json!({"public_ip": ["192.0.2.9", "198.51.100.4"]})),
        tags: vec!["identity".to_owned()],
        runbook: Some("https://wiki.example/burst".to_owned()),
        ..alert("ana")
    }
}

/// The messages that a receiver is given in its life, each with a name.
pub fn usual_messages() -> Vec<(&'static str, Message)> {
    let told = |change: fn(&mut Alert)| {
        let mut alert = usual();
        change(&mut alert);
        let thread = (alert.revision > 1).then_some(Thread { first: DeliveryId([7; 16]), mark: None });
        let number = 6 + u8::try_from(alert.revision).unwrap();
        Message { thread, ..message(number, Content::Alert(Arc::new(alert))) }
    };
    let line = |rule: &str, level, count| DigestLine { rule: rule.parse().unwrap(), level, count };
    let digest = Digest {
        count: 40,
        repeated: 0,
        lines: vec![line("failure-burst", Level::Medium, 30), line("new-address", Level::Low, 7)],
        others: 3,
        groups: vec![("user=ana".to_owned(), 20), ("user=bob".to_owned(), 4)],
        from: AT,
        to: AT + Millis::mins(12),
        titles: Vec::new(),
        over: 0,
        because: "limit".to_owned(),
    };
    let standing = Digest { because: "standing".to_owned(), others: 0, ..digest.clone() };
    let mut plain = told(|_| {});
    plain.plain = true;
    vec![
        ("single", told(|_| {})),
        (
            "updated",
            told(|alert| {
                (alert.revision, alert.state, alert.level) = (2, State::Updated, Level::Critical);
                (alert.count, alert.repeats, alert.last_seen) = (50, 45, AT + Millis::mins(1));
            }),
        ),
        (
            "resolved",
            told(|alert| {
                (alert.revision, alert.state) = (3, State::Resolved);
                (alert.count, alert.repeats, alert.at) = (50, 45, AT + Millis::secs(60));
            }),
        ),
        ("digest", message(8, Content::Digest(Arc::new(digest)))),
        ("standing", message(8, Content::Digest(Arc::new(standing)))),
        ("plain", plain),
        ("probe", message(9, Content::Probe)),
        ("watchdog", message(9, Content::Watchdog(Millis::hours(24)))),
    ]
}

/// A message of [`alert`].
pub fn alert_message(text: &str) -> Message {
    message(7, Content::Alert(Arc::new(alert(text))))
}

/// A digest whose groups and reason are `text`.
pub fn digest_message(text: &str) -> Message {
    message(
        8,
        Content::Digest(Arc::new(Digest {
            count: 30,
            repeated: 0,
            lines: vec![DigestLine { rule: "failure-burst".parse().unwrap(), level: Level::Low, count: 30 }],
            others: 0,
            groups: vec![(text.to_owned(), 30)],
            from: AT,
            to: AT + Millis::mins(1),
            titles: vec![text.to_owned()],
            over: 0,
            because: text.to_owned(),
        })),
    )
}

/// The reason of an attempt that has one.
pub fn reason(attempt: &Attempt) -> &str {
    match attempt {
        Attempt::Delivered => "",
        Attempt::TryAgain { reason, .. }
        | Attempt::Malformed { reason }
        | Attempt::Unwelcome { reason }
        | Attempt::Refused { reason }
        | Attempt::Unknown { reason } => reason,
    }
}

/// What an attempt is called.
pub fn word(attempt: &Attempt) -> &'static str {
    match attempt {
        Attempt::Delivered => "delivered",
        Attempt::TryAgain { everyone: true, .. } => "everyone",
        Attempt::TryAgain { .. } => "again",
        Attempt::Malformed { .. } => "malformed",
        Attempt::Unwelcome { .. } => "unwelcome",
        Attempt::Refused { .. } => "refused",
        Attempt::Unknown { .. } => "unknown",
    }
}

/// HMAC-SHA256 as RFC 2104 writes it, so that the crate that signs does not check itself.
pub fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let digest = |parts: &[&[u8]]| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    };
    let mut block = if key.len() > 64 { digest(&[key]) } else { key.to_vec() };
    block.resize(64, 0);
    let with = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    digest(&[&with(0x5c), &digest(&[&with(0x36), text])])
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What an HTTP server does with a request.
#[derive(Debug, Clone)]
pub enum Play {
    /// Status line, headers, body.
    Answer(&'static str, String, String),
    /// Says nothing and keeps the connection.
    Hang,
    /// Drops the connection hard.
    Reset,
    /// Answers 200 with a body that never ends.
    Endless,
}

impl Play {
    pub fn status(status: &'static str) -> Self {
        Self::Answer(status, String::new(), String::new())
    }

    pub fn body(status: &'static str, body: &str) -> Self {
        Self::Answer(status, String::new(), body.to_owned())
    }

    pub fn header(status: &'static str, header: &str) -> Self {
        Self::Answer(status, format!("{header}\r\n"), String::new())
    }
}

/// An HTTP server on a free port of this machine.
pub struct Http {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

impl Http {
    pub async fn start(play: impl Fn(&Request) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (noted, play) = (seen.clone(), Arc::new(play));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, play.clone(), noted.clone()));
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<F: Fn(&Request) -> Play>(stream: TcpStream, play: Arc<F>, seen: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut headers, mut length) = (String::new(), Vec::new(), 0);
    stream.read_line(&mut line).await.unwrap();
    let target = line.split(' ').nth(1).unwrap().to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers.push((name, value));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let request = Request { target, headers, body };
    let play = play(&request);
    seen.lock().unwrap().push(request);
    let mut stream = stream.into_inner();
    match play {
        Play::Answer(status, headers, body) => {
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
        Play::Hang => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]).await;
        }
        Play::Reset => stream.set_zero_linger().unwrap(),
        Play::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        }
    }
}

/// A letter that a mail server took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub to: String,
    pub data: Vec<u8>,
}

/// Where a mail server is asked what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Recipient(String),
    /// The content has been sent.
    Content {
        to: String,
        data: String,
    },
}

/// What it says.
#[derive(Debug, Clone)]
pub enum Say {
    /// This line.
    Line(&'static str),
    /// Nothing, and the connection is dropped.
    Nothing,
    /// Nothing, and the connection stays.
    Hang,
}

/// A mail server on a free port of this machine.
pub struct Smtp {
    pub address: SocketAddr,
    pub letters: Arc<Mutex<Vec<Letter>>>,
}

impl Smtp {
    /// `script` says what it answers where that is not what a fine server would.
    pub async fn start(script: impl Fn(&Step) -> Option<Say> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let (noted, script) = (letters.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, script.clone(), noted.clone()));
            }
        });
        Self { address, letters }
    }

    pub fn taken(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }

    /// A receiver that sends to `to` over this server.
    pub fn receiver(&self, to: &str, more: &str) -> Box<dyn Receiver> {
        let server = self.address;
        receiver(&format!(
            "{{kind: email, smtp: \"smtp://{server}\", from: larum@example.org, to: [{to}]{more}}}"
        ))
    }
}

/// Says a line; false where the conversation is over.
async fn say(stream: &mut BufReader<TcpStream>, said: Say) -> bool {
    match said {
        Say::Line(line) => stream.write_all(format!("{line}\r\n").as_bytes()).await.is_ok(),
        Say::Nothing => false,
        Say::Hang => {
            let _ = stream.read(&mut [0]).await;
            false
        }
    }
}

async fn talk<F: Fn(&Step) -> Option<Say>>(
    stream: TcpStream,
    script: Arc<F>,
    letters: Arc<Mutex<Vec<Letter>>>,
) {
    let mut stream = BufReader::new(stream);
    if !say(&mut stream, script(&Step::Greeting).unwrap_or(Say::Line("220 mail ESMTP"))).await {
        return;
    }
    let (mut line, mut to) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let said = match line.trim_end().split([' ', ':']).next().unwrap() {
            "EHLO" => Say::Line("250-mail\r\n250 8BITMIME"),
            "RCPT" => {
                to = line.trim_end().trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned();
                script(&Step::Recipient(to.clone())).unwrap_or(Say::Line("250 fine"))
            }
            "DATA" => {
                say(&mut stream, Say::Line("354 go on")).await;
                let data = content(&mut stream).await;
                let text = String::from_utf8_lossy(&data).into_owned();
                let said = script(&Step::Content { to: to.clone(), data: text });
                let said = said.unwrap_or(Say::Line("250 taken"));
                if matches!(said, Say::Line(line) if line.starts_with("250")) {
                    letters.lock().unwrap().push(Letter { to: to.clone(), data });
                }
                said
            }
            "QUIT" => Say::Line("221 bye"),
            _ => Say::Line("250 fine"),
        };
        if !say(&mut stream, said).await {
            return;
        }
    }
}

/// All up to the line that is a point.
async fn content(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 || line == b".\r\n" {
            return data;
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
