//! The configuration with all that it names: receivers and sources, built whole or not at all.
//!
//! `larum check` is this and no run, so that what it finds nothing wrong with starts. Secrets are
//! read here, once; no receiver or source is reached.

use crate::config::{self, Config, KindDoc, Kinds, Secrets};
use crate::deliver::{self, Receiver};
use crate::record::Millis;
use crate::record::scan::Provenance;
use crate::route::{Limits, ReceiverName};
use crate::rule::problem::{Problems, Span};
use crate::source::{self, LiveSource};

use super::admin;
use super::heartbeat::Heartbeat;

/// A configuration and its parts.
#[derive(Debug)]
pub struct Parts {
    /// What the file says.
    pub config: Config,
    /// One for each of the configuration's receivers, in that order.
    pub receivers: Vec<BuiltReceiver>,
    /// One for each of the configuration's sources, in that order.
    pub sources: Vec<Box<dyn LiveSource>>,
    /// The door for operators' tools.
    pub admin: Option<admin::Settings>,
    /// Who is called while all is well.
    pub heartbeat: Option<Heartbeat>,
    /// Of all that these parts are made of: the file's text, and the secrets that it names.
    pub digest: [u8; 32],
}

/// A receiver, ready to be sent to.
#[derive(Debug)]
pub struct BuiltReceiver {
    /// Its name.
    pub name: ReceiverName,
    /// Its kind.
    pub kind: &'static deliver::Kind,
    /// What its people are told at most: the kind's limits, and over them the file's.
    pub limits: Limits,
    /// Whether it is told of each alert's end, or of none; unless told, its kind decides.
    pub closed: Option<bool>,
    /// How often it is sent a fixed message that shows that messages arrive.
    pub watchdog: Option<Millis>,
    /// Itself.
    pub receiver: Box<dyn Receiver>,
}

/// Reads the configuration that `bytes` hold and builds its parts; `file` names it in messages, and
/// its folder is where relative paths begin. None if any problem is an error.
pub fn build(file: &str, bytes: Vec<u8>, secrets: &Secrets) -> (Option<Parts>, Problems) {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let mut problems = config::rules::not_text(file.to_owned(), &error);
            problems.mask(Span { start: 0, end: problems.source.len() });
            return (None, problems);
        }
    };
    let (config, mut problems) = look(file, &text);
    let Some(config) = config else { return (None, problems) };
    let secrets = &config.clients(&secrets.anew(), &mut problems);
    let receivers = build_receivers(&config, secrets, &mut problems);
    let sources = build_sources(&config, secrets, &mut problems);
    let admin = config.admin.as_ref();
    let admin = admin.and_then(|part| admin::Settings::open(&part.options(), secrets, &mut problems));
    let heartbeat = config.heartbeat.as_ref();
    let heartbeat = heartbeat.and_then(|part| Heartbeat::open(&part.options(), secrets, &mut problems));
    if problems.has_errors() {
        return (None, problems);
    }
    let secrets = secrets.digest();
    let mut digest = blake3::Hasher::new();
    digest.update(blake3::hash(text.as_bytes()).as_bytes()).update(secrets.as_bytes());
    let digest = *digest.finalize().as_bytes();
    (Some(Parts { config, receivers, sources, admin, heartbeat, digest }), problems)
}

/// Reads the configuration that `text` holds and builds nothing: good for looking things up in one
/// that has faults.
pub fn look(file: &str, text: &str) -> (Option<Config>, Problems) {
    let (receivers, sources) = kinds();
    config::load(file, text, &Kinds { receivers: &receivers, sources: &sources })
}

/// JSON Schema of a configuration.
pub fn schema() -> serde_json::Value {
    let (receivers, sources) = kinds();
    config::schema::config_schema(&Kinds { receivers: &receivers, sources: &sources })
}

/// The kinds of receivers and of sources.
fn kinds() -> (Vec<KindDoc>, Vec<KindDoc>) {
    (
        deliver::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect(),
        source::KINDS.iter().map(|kind| KindDoc { name: kind.name, keys: kind.keys }).collect(),
    )
}

fn build_receivers(config: &Config, secrets: &Secrets, problems: &mut Problems) -> Vec<BuiltReceiver> {
    let mut built = Vec::new();
    for receiver in &config.receivers {
        let Some(kind) = deliver::KINDS.iter().find(|kind| kind.name == receiver.part.kind) else { continue };
        let usual = if kind.human { Limits::human() } else { Limits::none() };
        let limits =
            receiver.at_most.iter().fold(usual, |limits, (level, at_most)| limits.with(*level, *at_most));
        let rules = receiver.at_most_rules.iter().cloned();
        let limits = rules.fold(limits, |limits, (rule, at_most)| limits.with_rule(rule, at_most));
        let (name, closed, watchdog) = (receiver.name.clone(), receiver.closed, receiver.watchdog);
        let done = (kind.build)(&receiver.part.options(), secrets, problems);
        built.extend(done.map(|receiver| BuiltReceiver { name, kind, limits, closed, watchdog, receiver }));
    }
    built
}

fn build_sources(config: &Config, secrets: &Secrets, problems: &mut Problems) -> Vec<Box<dyn LiveSource>> {
    let mut built: Vec<Box<dyn LiveSource>> = Vec::new();
    let mut read: Vec<(Provenance, Span)> = Vec::new();
    for source in &config.sources {
        let Some(kind) = source::KINDS.iter().find(|kind| kind.name == source.part.kind) else { continue };
        let Some(live) = (kind.build)(&source.name, &source.part.options(), secrets, problems) else {
            continue;
        };
        for lane in live.lanes() {
            let place = lane.origin.provenance;
            let Provenance::Huawei { endpoint, project_id, .. } = &place else { continue };
            // Which project it is shows when the source is prepared.
            if project_id.is_empty() {
                continue;
            }
            match read.iter().find(|(other, _)| *other == place) {
                Some((_, first)) => problems.error_with(
                    source.part.name_at,
                    format!(
                        "`{}` reads `{}` of a project that is read already",
                        source.name,
                        endpoint.as_str()
                    ),
                    "take the endpoint out of one of them: every record would come twice",
                    (*first, "it is read here"),
                ),
                None => read.push((place, source.part.name_at)),
            }
        }
        built.push(live);
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_told_and_not_shown() {
        let bytes = b"store: a\npassword: hunter2\xff\n".to_vec();
        let (parts, problems) = build("larum.yaml", bytes, &Secrets::default());
        assert!(parts.is_none());
        let shown = problems.render(false);
        assert!(shown.contains("byte 0xff is not UTF-8") && !shown.contains("hunter2"), "{shown}");
    }

    /// What a proxy is asked, which refuses everything.
    async fn proxy() -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = tokio::io::BufReader::new(stream);
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                heard.lock().unwrap().push(line.trim_end().to_owned());
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n").await;
            }
        });
        (url, asked)
    }

    /// A configuration with a part of every kind that calls somebody over HTTP.
    const ALL: &str = "store: a.db
rules: [r]
proxy: environment
sources:
  - name: prod
    kind: huawei
    region: cn-north-4
    project_id: 0123456789abcdef0123456789abcdef
    credentials: {ak: env:KEY, sk: env:KEY}
    base_url: {workspace: https://source.example, workspaceapp: https://source.example}
receivers:
  - {name: webhook, kind: webhook, url: https://webhook.example/}
  - {name: slack, kind: slack, url: env:SLACK}
  - {name: bot, kind: slack, token: env:KEY, channel: C0123456789, api: https://bot.example/api}
  - {name: teams, kind: teams, url: env:TEAMS}
  - {name: pagerduty, kind: pagerduty, routing_key: env:KEY, url: https://pagerduty.example/}
  - {name: dingtalk, kind: dingtalk, url: env:DINGTALK}
  - {name: feishu, kind: feishu, url: env:FEISHU}
  - {name: wecom, kind: wecom, url: env:WECOM}
  - {name: smn, kind: smn, topic: \"urn:smn:cn-north-4:0123abc:alerts\", credentials: {ak: env:KEY, sk: env:KEY}, url: https://smn.example}
  - {name: alertmanager, kind: alertmanager, url: https://alertmanager.example}
routes: [{match: {}, to: [webhook]}]
heartbeat: {url: env:HEARTBEAT}
";

    fn all(text: &str, proxy: &str) -> Parts {
        let mut secrets = Secrets::default().with("KEY", "k234567890k234567890k234567890k2");
        for name in ["slack", "teams", "dingtalk", "feishu", "wecom", "heartbeat"] {
            secrets = secrets.with(&name.to_uppercase(), &format!("https://{name}.example/x?key=k"));
        }
        let secrets = secrets.with("HTTPS_PROXY", proxy).with("NO_PROXY", "");
        let (parts, problems) = build("larum.yaml", text.as_bytes().to_vec(), &secrets);
        parts.unwrap_or_else(|| panic!("{}", problems.render(false)))
    }

    #[tokio::test]
    async fn every_client_takes_the_proxy_that_is_asked_for_and_none_another() {
        use crate::deliver::{Content, Message};
        use crate::record::Timestamp;
        use crate::route::{Attempt, DeliveryId};

        let (url, asked) = proxy().await;
        let now = Timestamp(1_767_604_080_000);
        let mut parts = all(ALL, &url);
        let (id, content, zone) = (DeliveryId([1; 16]), Content::Probe, chrono_tz::UTC);
        let message = Message { id, content, thread: None, plain: false, zone, now };
        let mut called = Vec::new();
        for built in &parts.receivers {
            assert_ne!(built.receiver.send(&message).await, Attempt::Delivered, "{}", built.name);
            called.push(built.name.to_string());
        }
        let _ = parts.heartbeat.as_ref().unwrap().ping.call(now).await;
        let step = parts.sources[0].step(now).await;
        assert!(matches!(step, crate::source::Step::Failed { .. }), "{step:?}");
        called.extend(["heartbeat".to_owned(), "source".to_owned()]);
        let meant: Vec<String> =
            called.iter().map(|name| format!("CONNECT {name}.example:443 HTTP/1.1")).collect();
        assert_eq!(*asked.lock().unwrap(), meant);
        let kinds = deliver::KINDS.iter().filter(|kind| !["email", "file", "stdout"].contains(&kind.name));
        assert!(
            kinds.into_iter().all(|kind| parts.receivers.iter().any(|built| built.kind.name == kind.name))
        );

        // The same environment, and nobody has asked for it.
        asked.lock().unwrap().clear();
        let mut parts = all(&ALL.replace("proxy: environment\n", "").replace(".example", ".invalid"), &url);
        for built in &parts.receivers {
            assert_ne!(built.receiver.send(&message).await, Attempt::Delivered, "{}", built.name);
        }
        let _ = parts.sources[0].step(now).await;
        assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
    }
}
