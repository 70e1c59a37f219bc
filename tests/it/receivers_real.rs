//! What receivers send, judged by programs of other people: the reference library of Standard
//! Webhooks, Slack's own models of blocks, and an Alertmanager.
//!
//! Where one is missing the test says so and proves nothing; with `LARUM_CI=1` it fails.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use larum::alert::State;
use larum::config::Secrets;
use larum::deliver::{Content, Message};
use larum::record::{Level, Millis, Timestamp};
use larum::route::{Attempt, DeliveryId};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::mail_server::python_with;
use super::receivers::{
    Http, Play, alert_message, every_http, receiver, taking, try_receiver, usual, usual_messages,
};

/// Now: a judge asks its own clock.
#[expect(clippy::disallowed_methods, reason = "judges know no other time than the machine's")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

/// What `judges.py` says of each case.
fn judged(by: &str, module: &str, cases: &[Json]) -> Option<Vec<String>> {
    let python = python_with(module)?;
    let mut judge = Command::new(python)
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/judges.py"), by])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = judge.stdin.take().unwrap();
    let lines = cases.iter().map(Json::to_string).collect::<Vec<_>>().join("\n");
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let said = judge.wait_with_output().unwrap();
    writing.join().unwrap();
    let said: Vec<String> = String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(said.len(), cases.len());
    Some(said)
}

#[tokio::test]
async fn the_reference_library_of_standard_webhooks_verifies_every_signature() {
    let http = taking("webhook").await;
    let (new, old) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_b2xkIHNlY3JldCBvZiAyNCBieXRlcw==");
    let secrets = Secrets::default().with("NEW", new).with("OLD", old);
    let text =
        format!("{{kind: webhook, url: \"{}\", secret: env:NEW, previous_secret: env:OLD}}", http.url("/"));
    let receiver = try_receiver(&text, &secrets).unwrap();
    let mut messages: Vec<Message> = usual_messages().into_iter().map(|(_, message)| message).collect();
    messages.push(alert_message("安娜 \u{202e}\u{0} \"\\ 🦀"));
    for message in &mut messages {
        message.now = now();
        assert_eq!(receiver.send(message).await, Attempt::Delivered);
    }
    let case = |request: &super::receivers::Request| {
        let headers: serde_json::Map<String, Json> =
            request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        json!({"body": request.text(), "headers": headers, "secrets": [new, old]})
    };
    let cases: Vec<Json> = http.requests().iter().map(case).collect();
    let Some(said) = judged("signatures", "standardwebhooks", &cases) else { return };
    assert!(said.iter().all(|word| word == "fine"), "{said:#?}");
}

#[tokio::test]
async fn slacks_own_models_take_every_block() {
    let http = taking("slack").await;
    let (_, receiver) = every_http(&http).into_iter().find(|(kind, _)| *kind == "slack").unwrap();
    let mut messages: Vec<Message> = usual_messages().into_iter().map(|(_, message)| message).collect();
    for raw in ["<!channel> <@U1> *b*", "", " ", &"🦀".repeat(9_000), &"x".repeat(9_000)] {
        messages.push(alert_message(raw));
    }
    for message in &messages {
        assert_eq!(receiver.send(message).await, Attempt::Delivered);
    }
    let mut cases: Vec<Json> =
        http.requests().iter().map(|request| json!({"body": request.text()})).collect();
    // One that must be refused, so that the judge is known to judge.
    let long =
        json!({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}}]});
    cases.push(json!({"body": long.to_string()}));
    let Some(mut said) = judged("blocks", "slack_sdk", &cases) else { return };
    assert_ne!(said.pop().unwrap(), "fine");
    assert!(said.iter().all(|word| word == "fine"), "{said:#?}");
}

/// An Alertmanager on a port that it picks itself, which tells `hook`.
struct Alertmanager {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Alertmanager {
    #[expect(clippy::disallowed_methods, reason = "whether a skip is a failure is the machine's matter")]
    fn start(hook: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "route: {{receiver: back, group_by: [alert], group_wait: 1ms, group_interval: 1s}}\n\
             receivers:\n  - name: back\n    webhook_configs: [{{url: \"{hook}\", send_resolved: true}}]\n"
        );
        let path = folder.path().join("alertmanager.yml");
        std::fs::write(&path, config).unwrap();
        let spawned = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut process) = spawned else {
            let told =
                "NOT TESTED: there is no `prometheus-alertmanager`; install Debian's package of that name";
            assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
            println!("{told}");
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(address.trim().to_owned())
        });
        // It would stop at a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, url: format!("http://{}", address.unwrap()), _folder: folder })
    }
}

#[tokio::test]
async fn an_alert_appears_in_alertmanager_grows_graver_is_resolved_and_comes_back_to_us() {
    let (to, mut told) = mpsc::unbounded_channel();
    let hook = Http::start(move |request| {
        let _ = to.send(serde_json::from_slice::<Json>(&request.body).unwrap());
        Play::status("200 OK")
    })
    .await;
    let Some(manager) = Alertmanager::start(&hook.url("/back")) else { return };
    let receiver = receiver(&format!("{{kind: alertmanager, url: \"{}\"}}", manager.url));
    let began = now() - Millis::mins(8);
    let message = |revision, state, level| {
        let mut alert = usual();
        (alert.revision, alert.state, alert.level, alert.at) = (revision, state, level, now());
        (alert.first_seen, alert.last_seen) = (began, now());
        "ana \"<b>{{ 1 }}\\ 安娜".clone_into(&mut alert.title);
        let content = Content::Alert(Arc::new(alert));
        Message {
            id: DeliveryId([7; 16]),
            content,
            plain: false,
            thread: None,
            zone: chrono_tz::UTC,
            now: now(),
        }
    };
    let mut next = async || {
        let wait = tokio::time::timeout(Duration::from_mins(1), told.recv());
        let came = wait.await.expect("Alertmanager tells nothing").unwrap();
        let alerts = came["alerts"].as_array().unwrap().iter();
        let line = |alert: &Json| {
            let of = |name: &str| alert["labels"][name].as_str().unwrap().to_owned();
            assert_eq!((of("user"), of("tenant")), ("ana".to_owned(), "default".to_owned()));
            let summary = alert["annotations"]["summary"].as_str().unwrap();
            assert!(summary.ends_with("ana \"<b>{{ 1 }}\\ 安娜"), "{summary}");
            // Alertmanager spells no zeros at the end of a second's parts.
            assert_eq!(alert["startsAt"].as_str().unwrap().parse(), Ok(began));
            format!("{} {} {}", of("alertname"), of("severity"), alert["status"].as_str().unwrap())
        };
        alerts.map(line).collect::<Vec<String>>()
    };
    let probe = Message { content: Content::Probe, ..message(1, State::Open, Level::High) };
    assert_eq!(receiver.send(&probe).await, Attempt::Delivered);
    assert_eq!(receiver.send(&message(1, State::Open, Level::High)).await, Attempt::Delivered);
    assert_eq!(next().await, ["failure-burst high firing"], "and nothing of the probe");
    assert_eq!(receiver.send(&message(2, State::Updated, Level::Critical)).await, Attempt::Delivered);
    let mut both = next().await;
    both.sort();
    assert_eq!(both, ["failure-burst critical firing", "failure-burst high resolved"]);
    assert_eq!(receiver.send(&message(3, State::Resolved, Level::Critical)).await, Attempt::Delivered);
    assert_eq!(next().await, ["failure-burst critical resolved"]);
}
