//! Secrets that are known by their sight, in every place that takes one, and services that say back
//! all that they were sent: nothing of them may come out anywhere.

use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larum::config::Secrets;
use larum::store::sqlite::Sqlite;
use larum::store::{DeliveryQuery, Store as _};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::operator::until;
use super::receivers::{Http, Play};

/// Names of the environment and what they hold; `URL` is where the service is.
const SECRETS: [(&str, &str); 18] = [
    ("SLACK", "URL/services/T0CANARY/B0CANARY/canary0slack0hook"),
    ("BOT", "xoxb-canary0slack0bot"),
    ("PD", "canarypd000000000000000000000001"),
    ("TEAMS", "URL/workflows/canary0teams0flow?sig=canary0teams0sig"),
    ("DING", "URL/robot/send?access_token=canary0ding0token"),
    ("DING_SECRET", "SECcanary0ding0secret"),
    ("FEISHU", "URL/open-apis/bot/v2/hook/canary0feishu0hook"),
    ("FEISHU_SECRET", "canary0feishu0secret"),
    ("WECOM", "URL/cgi-bin/webhook/send?key=canary0wecom0key"),
    ("AK", "CANARY0SMN0AK0000001"),
    ("SK", "canary0smn0sk0000000000000000000000000001"),
    ("HOOK", "URL/hook/canary0hook0path?token=canary0hook0token"),
    ("HOOK_SECRET", "canary0hook0signing0key"),
    ("HOOK_TOKEN", "Bearer canary0hook0header"),
    ("AM_TOKEN", "canary0alertmanager0token"),
    ("SMTP_PASSWORD", "canary0smtp0password"),
    ("HEARTBEAT", "URL/ping/canary0heartbeat0id"),
    ("ADMIN", "canary0admin0token0123456789"),
];
const VENDOR: [(&str, &str); 2] =
    [("HW_AK", "CANARY0VENDOR0AK0001"), ("HW_SK", "canary0vendor0sk00000000000000000000000001")];

const RECEIVERS: [&str; 11] = [
    "slack",
    "bot",
    "pagerduty",
    "teams",
    "dingtalk",
    "feishu",
    "wecom",
    "smn",
    "webhook",
    "alertmanager",
    "email",
];

fn configuration(url: &str, mail: &str) -> String {
    format!(
        "store: larum.db\nrules: [rules]\nsources:\n  - name: vendor\n    kind: huawei\n    region: cn-north-4\n    \
         credentials: {{ak: env:HW_AK, sk: env:HW_SK}}\n    \
         base_url: {{iam: \"{url}\", workspace: \"{url}\", workspaceapp: \"{url}\"}}\n    every: 1s\n\
         receivers:\n\
         - {{name: slack, kind: slack, url: env:SLACK}}\n\
         - {{name: bot, kind: slack, token: env:BOT, channel: C0123456789, api: \"{url}/api\"}}\n\
         - {{name: pagerduty, kind: pagerduty, routing_key: env:PD, url: \"{url}/v2/enqueue\"}}\n\
         - {{name: teams, kind: teams, url: env:TEAMS}}\n\
         - {{name: dingtalk, kind: dingtalk, url: env:DING, secret: env:DING_SECRET}}\n\
         - {{name: feishu, kind: feishu, url: env:FEISHU, secret: env:FEISHU_SECRET}}\n\
         - {{name: wecom, kind: wecom, url: env:WECOM}}\n\
         - {{name: smn, kind: smn, topic: \"urn:smn:cn-north-4:0123abc:alerts\", \
         credentials: {{ak: env:AK, sk: env:SK}}, url: \"{url}\"}}\n\
         - {{name: webhook, kind: webhook, url: env:HOOK, secret: env:HOOK_SECRET, \
         headers: {{Authorization: env:HOOK_TOKEN}}}}\n\
         - {{name: alertmanager, kind: alertmanager, url: \"{url}\", token: env:AM_TOKEN}}\n\
         - {{name: email, kind: email, smtp: \"smtp://{mail}\", user: larum, password: env:SMTP_PASSWORD, \
         from: larum@example.org, to: [soc@example.com]}}\n\
         routes: [{{match: {{}}, to: [{all}]}}]\nops: [{all}]\n\
         heartbeat: {{url: env:HEARTBEAT, every: 10s}}\n\
         admin: {{listen: \"127.0.0.1:{{PORT}}\", token: env:ADMIN}}\n",
        all = RECEIVERS.join(", ")
    )
}

/// A service that refuses everything and says back what it was sent.
async fn echo() -> Http {
    Http::start(|request| {
        // But for the project's id, without which there is no daemon: it is noted beside the store.
        if request.target.starts_with("/v3/projects") {
            let found = r#"{"projects":[{"id":"0123456789abcdef0123456789abcdef","name":"cn-north-4"}]}"#;
            return Play::Answer("200 OK", String::new(), found.to_owned());
        }
        let headers: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8_lossy(&request.body);
        let said = format!("no: {} {} {body}", request.target, headers.join(" "));
        Play::Answer("401 Unauthorized", String::new(), said)
    })
    .await
}

/// A mail server that does the same.
async fn mail_echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let _ = stream.write_all(b"220 mail ESMTP\r\n").await;
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                    let said = match line.get(..4).unwrap_or_default() {
                        "EHLO" => "250-mail\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
                        _ => format!("535 5.7.8 no: {}\r\n", line.trim_end()),
                    };
                    let _ = stream.write_all(said.as_bytes()).await;
                    line.clear();
                }
            });
        }
    });
    address
}

/// What must not be seen: every piece of a secret that means something by itself, and its encodings.
fn canaries() -> Vec<String> {
    let mut all = Vec::new();
    for (_, secret) in SECRETS.iter().chain(&VENDOR) {
        let pieces = secret.split(['/', '?', '&', '=', ' ']);
        let pieces = pieces.filter(|piece| piece.to_lowercase().contains("canary"));
        all.extend(pieces.map(str::to_owned));
    }
    let password = "canary0smtp0password";
    all.push(STANDARD.encode(password));
    all.push(STANDARD.encode(format!("\0larum\0{password}")));
    all.push(STANDARD.encode("canary0hook0signing0key"));
    all
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a daemon's folder is files")]
#[expect(clippy::too_many_lines, reason = "one daemon, looked at from every side")]
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_in_logs_errors_orders_pages_the_store_or_in_debug() {
    let (http, mail) = (echo().await, mail_echo().await);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("rules")).unwrap();
    let rule = "rule: any\ntitle: any\nlevel: low\nwhy: to have one\nmatch: {outcome: failure}\n";
    std::fs::write(path("rules/any.yaml"), rule).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = configuration(&http.url(""), &mail.to_string()).replace("{PORT}", &free.to_string());
    std::fs::write(path("larum.yaml"), &text).unwrap();
    let values: Vec<(&str, String)> = SECRETS
        .iter()
        .chain(&VENDOR)
        .map(|(name, secret)| (*name, secret.replace("URL", &http.url(""))))
        .collect();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larum"));
        command
            .args(arguments)
            .current_dir(folder.path())
            .envs(values.iter().map(|(name, value)| (name, value)));
        command.env("LARUM_LOG", "trace").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command
    };
    let log = std::fs::File::create(path("log")).unwrap();
    let mut run = command(&["run", "--config", "larum.yaml"]);
    let run = run.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let running = Running(run);

    // The vendor refuses the key, everybody is told of it, and everybody refuses that.
    let tried = until("a try at every receiver", async || {
        let store = Sqlite::open_read_only(&path("larum.db")).ok()?;
        let query = DeliveryQuery { most: 1_000, ..DeliveryQuery::default() };
        let all = store.deliveries(query).await.ok()?;
        let tried = |name: &&str| {
            all.iter().any(|of| of.receiver.as_str() == *name && of.tries > 0 && of.last_reason.is_some())
        };
        RECEIVERS.iter().all(tried).then_some(all)
    })
    .await;

    let mut told: Vec<(String, String)> = Vec::new();
    let mut ask = |arguments: &[&str]| {
        let done = command(arguments).output().unwrap();
        let text =
            [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!text.is_empty(), "{arguments:?}");
        told.push((format!("{arguments:?}"), text));
    };
    for receiver in RECEIVERS {
        ask(&["send-test", receiver]);
    }
    for arguments in [
        &["status"][..],
        &["status", "--output", "json"],
        &["alerts"],
        &["alerts", "--output", "json"],
        &["deliveries"],
        &["deliveries", "--output", "json"],
        &["check", "--config", "larum.yaml"],
    ] {
        ask(arguments);
    }
    for delivery in &tried {
        ask(&["deliveries", "show", &delivery.id.to_string()]);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for page in [
        "metrics",
        "readyz",
        "healthz",
        "api/v1/status",
        "api/v1/sources",
        "api/v1/receivers",
        "api/v1/alerts",
        "api/v1/deliveries",
        "api/v1/rules",
        "api/v1/silences",
    ] {
        let request =
            client.get(format!("http://127.0.0.1:{free}/{page}")).bearer_auth("canary0admin0token0123456789");
        let text = request.send().await.unwrap().text().await.unwrap();
        if page == "api/v1/deliveries" {
            let shown: Json = serde_json::from_str(&text).unwrap();
            assert!(shown.to_string().contains("401"), "it shows what services said: {shown}");
        }
        told.push((page.to_owned(), text));
    }
    drop(running);
    // What goes wrong at the start quotes the file and names what is not there.
    let broken = text.replace("routes:", "rotes:").replace("env:BOT", "canary0inline0token");
    std::fs::write(path("broken.yaml"), broken).unwrap();
    let done = command(&["check", "--config", "broken.yaml"]).output().unwrap();
    told.push((
        "a broken file".to_owned(),
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(),
    ));

    let secrets =
        values.iter().fold(Secrets::in_folder(folder.path()), |all, (name, value)| all.with(name, value));
    let (parts, problems) = larum::daemon::build::read(&path("larum.yaml"), &secrets).unwrap();
    told.push(("Debug".to_owned(), format!("{:?} {problems:?} {secrets:?}", parts.unwrap())));
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() && file.file_name() != Some("broken.yaml".as_ref()) {
            files += 1;
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
            told.push((file.display().to_string(), text));
        }
    }
    assert!(files >= 4, "a log, a store, a note of the project and a configuration");
    assert!(told.iter().any(|(name, text)| name.ends_with("larum.db.projects") && !text.is_empty()));
    let log = &told.iter().find(|(name, _)| name.ends_with("/log")).unwrap().1;
    assert!(log.contains("401"), "it says what services said: {log}");
    let seen: usize = http.requests().len();
    assert!(seen >= RECEIVERS.len(), "{seen} requests");
    let mut canaries = canaries();
    assert!(canaries.len() >= SECRETS.len(), "{canaries:?}");
    canaries.push("canary0inline0token".to_owned());
    for (place, text) in &told {
        for canary in &canaries {
            let at = text.find(canary.as_str());
            let around = at.map(|at| {
                text[..at].chars().rev().take(120).collect::<String>().chars().rev().collect::<String>()
            });
            assert!(at.is_none(), "{canary} in {place}, after: {around:?}");
        }
    }
}
