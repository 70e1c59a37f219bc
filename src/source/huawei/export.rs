//! Evidence from the vendor: export tasks that are begun, looked at and downloaded
//! (`reference/huawei-api.md`, 6).
//!
//! Each call asks once. When to look again is the caller's to say; what is refused for the
//! credentials is never asked again by itself.

use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::Url;
use serde::Deserialize;

use super::api::{Call, Method, Service, milli, second};
use super::client::{Requests, Silence, host_of};
use super::filter::{self, Filter, Filters};
use super::keys::Settings;
use super::trouble::{Answer, Bad, accept, for_good};
use super::{examine, place};
use crate::config::{Options, Secrets};
use crate::record::{Millis, Timestamp};
use crate::rule::problem::Problems;

/// Largest file that is downloaded: it is held whole before a byte of it is written.
pub const MAX_FILE: usize = 512 << 20;
/// Longest id of a task.
const MAX_ID: usize = 64;
const LIST: &str = "workspace:tenants:listExportTasks";
const DOWNLOAD: &str = "workspace:tenants:exportData";

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Logins to applications.
    Logins,
    /// Starts of applications.
    Launches,
    /// Sessions.
    Sessions,
    /// Logins to desktops.
    DesktopLogins,
}

struct Endpoint {
    name: &'static str,
    action: &'static str,
    filters: &'static [Filter],
    service: Service,
    method: Method,
    path: &'static str,
    times: [&'static str; 2],
    spell: fn(Timestamp) -> String,
}

impl What {
    fn endpoint(self) -> Endpoint {
        let app = |name, action, filters, path, times, spell| Endpoint {
            name,
            action,
            filters,
            service: Service::WorkspaceApp,
            method: Method::Post,
            path,
            times,
            spell,
        };
        match self {
            Self::Logins => app(
                "logins",
                "workspace:session:exportUserConnection",
                filter::APP_LOGINS,
                "v1/{}/session/user-connection/export",
                ["login_start_time", "login_end_time"],
                second,
            ),
            Self::Launches => app(
                "launches",
                "workspace:session:exportAppConnection",
                filter::APP_LAUNCHES,
                "v1/{}/session/app-connection/export",
                ["brokering_start_time", "brokering_end_time"],
                second,
            ),
            Self::Sessions => app(
                "sessions",
                "workspace:session:exportSessions",
                filter::SESSIONS,
                "v1/{}/session/list-sessions/export",
                ["query_begin_time", "query_end_time"],
                milli,
            ),
            Self::DesktopLogins => Endpoint {
                service: Service::Workspace,
                method: Method::Get,
                ..app(
                    "desktop-logins",
                    "workspace:connections:securityExport",
                    filter::DESKTOP_EXPORT,
                    "v3/{}/desktops/connections/export",
                    ["start_time", "end_time"],
                    second,
                )
            },
        }
    }

    /// The word of the command.
    pub fn as_str(self) -> &'static str {
        self.endpoint().name
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which rows.
    pub what: What,
    /// From this moment on.
    pub from: Timestamp,
    /// To this moment.
    pub to: Timestamp,
    /// Only those with these values, in the vendor's words.
    pub filters: Filters,
}

impl Wanted {
    /// What the service would refuse, and the way out.
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        let said = |(fault, hint): (String, String)| format!("{fault}; {hint}");
        let known = self.what.endpoint().filters;
        if let Some(fault) = self.filters.iter().find_map(|(name, value)| filter::fault(known, name, value)) {
            return Some(said(fault));
        }
        if self.from >= self.to {
            return Some("--from is not before --to".to_owned());
        }
        if self.from < now - place::KEPT {
            let oldest = now - place::KEPT;
            return Some(format!("the service keeps {}; nothing before {oldest} can be had", place::KEPT));
        }
        None
    }
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It is being made.
    Creating,
    /// It can be downloaded.
    Ready,
    /// It cannot be made; why.
    Failed(String),
    /// It is no longer kept.
    Expired,
    /// The service does not know it.
    Unknown,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// How it stands.
    pub stage: Stage,
    /// What the service calls the file.
    pub file_name: Option<String>,
    /// When it was begun, as the service spells it.
    pub begun: Option<String>,
    /// When it was done, as the service spells it.
    pub done: Option<String>,
}

/// Why something was not done. Texts hold no secret and say the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Worth another try after this.
    #[error("{text}")]
    Later {
        /// What went wrong.
        text: String,
        /// No sooner.
        wait: Millis,
    },
    /// Asking again changes nothing.
    #[error("{0}")]
    Never(String),
}

/// Clocks that are no further apart are one: a signature may be a quarter of an hour off.
const CLOSE: Millis = Millis::mins(5);

/// When a passing trouble is tried again.
const AGAIN: Millis = Millis::secs(5);

/// One project, asked for exports.
#[derive(Debug)]
pub struct Exporter {
    requests: Requests,
    bases: Vec<(Service, Url)>,
    /// Whose project it is.
    pub region: String,
    /// What the service's clock is ahead of ours, in milliseconds, once it has refused ours.
    ahead: AtomicI64,
}

#[derive(Deserialize)]
struct Begun {
    task_id: String,
}

#[derive(Deserialize)]
struct Tasks {
    #[serde(default)]
    export_tasks: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    task_id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    file_name: Option<String>,
    #[serde(default)]
    fail_reason: Option<String>,
    #[serde(default)]
    create_time: Option<String>,
    #[serde(default)]
    end_time: Option<String>,
}

impl Exporter {
    /// Makes ready to ask. None where the source cannot be built; why is noted.
    pub async fn open(
        options: &Options<'_>,
        secrets: &Secrets,
        problems: &mut Problems,
        now: Timestamp,
    ) -> Option<Result<Self, ExportError>> {
        let settings = Settings::read(options, secrets, problems)?;
        let never = |text: String| Some(Err(ExportError::Never(text)));
        let project_id = settings.project_id.unwrap_or_default();
        let mut requests = match Requests::new(settings.keeper, project_id, &settings.proxies) {
            Ok(requests) => requests,
            Err(fault) => return never(format!("no request can be made: {fault}")),
        };
        let ready = examine::ready(&mut requests, settings.iam.as_ref(), &settings.region, now).await;
        if let Err(text) = ready {
            return never(text);
        }
        let ahead = AtomicI64::new(0);
        Some(Ok(Self { requests, bases: settings.bases, region: settings.region, ahead }))
    }

    /// The project.
    pub fn project_id(&self) -> &str {
        &self.requests.project_id
    }

    fn base(&self, service: Service) -> Result<&Url, ExportError> {
        let key = match service {
            Service::Workspace => "workspace",
            Service::WorkspaceApp => "workspaceapp",
        };
        let found = self.bases.iter().find(|(known, _)| *known == service).map(|(_, base)| base);
        found.ok_or_else(|| {
            ExportError::Never(format!(
                "the host of `{key}` is not known: name it: `base_url: {{{key}: https://…}}`"
            ))
        })
    }

    /// Begins a task; its id.
    pub async fn begin(&self, wanted: &Wanted, now: Timestamp) -> Result<String, ExportError> {
        let endpoint = wanted.what.endpoint();
        let [from, to] = endpoint.times;
        let mut pairs = wanted.filters.clone();
        pairs.push((from.to_owned(), (endpoint.spell)(wanted.from)));
        pairs.push((to.to_owned(), (endpoint.spell)(wanted.to)));
        let call = Call {
            method: Method::Get,
            path: format!("/{}", endpoint.path.replace("{}", self.project_id())),
            query: Vec::new(),
            body: String::new(),
        };
        let call = match endpoint.method {
            Method::Get => Call { query: pairs, ..call },
            Method::Post => Call { method: Method::Post, body: "{}".to_owned(), ..call }.narrowed(&pairs),
        };
        let answer = self.ask(endpoint.service, &call, endpoint.action, now).await?;
        let begun: Begun = serde_json::from_str(&answer.body)
            .map_err(|_| ExportError::Never("the service began no task, and does not say why".to_owned()))?;
        if is_id(&begun.task_id) { Ok(begun.task_id) } else { Err(odd_id()) }
    }

    /// How a task stands.
    pub async fn look(&self, id: &str, now: Timestamp) -> Result<Task, ExportError> {
        if !is_id(id) {
            return Err(odd_id());
        }
        // Without the word, tasks that were downloaded may be left out.
        for downloaded in [None, Some("true")] {
            let mut query: Filters = [("task_id", id), ("limit", "20"), ("offset", "0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
            query.extend(downloaded.map(|word| ("is_download".to_owned(), word.to_owned())));
            let path = format!("/v2/{}/export-tasks", self.project_id());
            let call = Call { method: Method::Get, path, query, body: String::new() };
            let answer = self.ask(Service::Workspace, &call, LIST, now).await?;
            let tasks: Tasks = serde_json::from_str(&answer.body).map_err(|_| ExportError::Later {
                text: "the service answered with no list of tasks".to_owned(),
                wait: AGAIN,
            })?;
            let found = tasks.export_tasks.unwrap_or_default().into_iter().find(|task| task.task_id == id);
            if let Some(item) = found {
                return Ok(self.task(item));
            }
        }
        Ok(Task { stage: Stage::Unknown, file_name: None, begun: None, done: None })
    }

    fn task(&self, item: Item) -> Task {
        let clean = |text: Option<String>| text.map(|text| self.requests.redactor.clean(&text));
        let stage = match item.status.as_deref() {
            Some("SUCCESS") => Stage::Ready,
            Some("FAIL") => {
                let why = clean(item.fail_reason).filter(|text| !text.is_empty());
                Stage::Failed(why.unwrap_or_else(|| "the service does not say why".to_owned()))
            }
            Some("EXPIRED") => Stage::Expired,
            // A word that is not known yet is no end.
            Some(_) | None => Stage::Creating,
        };
        Task {
            stage,
            file_name: clean(item.file_name),
            begun: clean(item.create_time),
            done: clean(item.end_time),
        }
    }

    /// The file of a task that is ready.
    pub async fn download(&self, id: &str, now: Timestamp) -> Result<Vec<u8>, ExportError> {
        if !is_id(id) {
            return Err(odd_id());
        }
        let path = format!("/v2/{}/export-tasks/{id}/download", self.project_id());
        let call = Call { method: Method::Get, path, query: Vec::new(), body: String::new() };
        let base = self.base(Service::Workspace)?;
        let host = host_of(base);
        let (head, bytes) = self
            .requests
            .download(base, &call, self.dated(now), MAX_FILE)
            .await
            .map_err(|silence| silent(&host, silence))?;
        // An error may come as a 200, and looks like one.
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if head.status != 200 || matches!(first, Some(b'{' | b'<') | None) {
            let body = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).into_owned();
            let answer = Answer { status: head.status, date: head.date, retry_after: head.retry_after, body };
            self.accepted(&answer, DOWNLOAD, &host)?;
            if !matches!(first, Some(b'{')) {
                let text = "the service answered with no file".to_owned();
                return Err(ExportError::Later { text, wait: AGAIN });
            }
        }
        Ok(bytes)
    }

    async fn ask(
        &self,
        service: Service,
        call: &Call,
        action: &str,
        now: Timestamp,
    ) -> Result<Answer, ExportError> {
        let base = self.base(service)?;
        let host = host_of(base);
        let (answer, _) = self.requests.send(base, call, self.dated(now)).await;
        let mut answer = answer.map_err(|silence| silent(&host, silence))?;
        // Signed once more by the service's clock, which is the one that counts.
        if let Err(Bad::Clock { .. }) = accept(&answer, action, &host, &self.requests.redactor)
            && let Some(date) = answer.date
        {
            self.ahead.store((date - now).0, Ordering::Relaxed);
            let (again, _) = self.requests.send(base, call, self.dated(now)).await;
            answer = again.map_err(|silence| silent(&host, silence))?;
        }
        self.accepted(&answer, action, &host)?;
        Ok(answer)
    }

    /// The moment that a request at `now`, by our clock, is signed with.
    fn dated(&self, now: Timestamp) -> Timestamp {
        now + Millis(self.ahead.load(Ordering::Relaxed))
    }

    /// The service's own now, where ours is `now`: what it keeps goes by its clock. Ours where it does not
    /// say.
    pub async fn now(&self, now: Timestamp) -> Timestamp {
        let query =
            [("limit", "1"), ("offset", "0")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let path = format!("/v2/{}/export-tasks", self.project_id());
        let call = Call { method: Method::Get, path, query: query.into(), body: String::new() };
        let Ok(base) = self.base(Service::Workspace) else { return now };
        let (answer, _) = self.requests.send(base, &call, self.dated(now)).await;
        let Some(date) = answer.ok().and_then(|answer| answer.date) else { return now };
        if (date - now).0.abs() > CLOSE.0 {
            self.ahead.store((date - now).0, Ordering::Relaxed);
        }
        date
    }

    fn accepted(&self, answer: &Answer, action: &str, host: &str) -> Result<(), ExportError> {
        accept(answer, action, host, &self.requests.redactor).map_err(|bad| match bad {
            Bad::Passing { text, wait } if answer.status >= 500 || answer.status == 200 => {
                ExportError::Later { text, wait: wait.unwrap_or(AGAIN).max(AGAIN) }
            }
            Bad::Throttled { text, wait, .. } => ExportError::Later { text, wait },
            Bad::Ended { text } => ExportError::Never(for_good(&text)),
            Bad::Passing { text, .. }
            | Bad::Credentials { text }
            | Bad::Locked { text, .. }
            | Bad::Clock { text }
            | Bad::Refused { text } => ExportError::Never(text),
        })
    }
}

fn silent(host: &str, silence: Silence) -> ExportError {
    match silence {
        Silence::Unreachable(text) => {
            ExportError::Later { text: format!("cannot ask `{host}`: {text}"), wait: AGAIN }
        }
        Silence::Giant => ExportError::Never(format!(
            "the answer of `{host}` is too long to be kept; ask for less with --from and --to"
        )),
    }
}

/// An id goes into a path.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain)
}

fn odd_id() -> ExportError {
    ExportError::Never("the id of a task has 1 to 64 letters, digits, - and _".to_owned())
}

/// What a file is, told by its bytes; the ending that goes with it.
pub fn kind_of(bytes: &[u8]) -> &'static str {
    let holds = |word: &[u8]| memchr::memmem::find(&bytes[..bytes.len().min(64 << 10)], word).is_some();
    match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            if holds(b"[Content_Types].xml") || holds(b"xl/") {
                "xlsx"
            } else {
                "zip"
            }
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => "xls",
        [0x1f, 0x8b, ..] => "gz",
        [b'{' | b'[', ..] => "json",
        _ if std::str::from_utf8(bytes).is_ok() => "csv",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_bytes() {
        assert_eq!(kind_of(b"PK\x03\x04\x14\0[Content_Types].xml"), "xlsx");
        assert_eq!(kind_of(b"PK\x03\x04fake"), "zip");
        assert_eq!(kind_of(b"\xd0\xcf\x11\xe0"), "xls");
        assert_eq!(kind_of("\u{feff}User,Time\nana,1\n".as_bytes()), "csv");
        assert_eq!(kind_of(b"\xff\x00"), "bin");
    }

    #[test]
    fn an_id_that_would_leave_its_path_is_refused() {
        assert!(is_id("0000000a5e0011f0a5e4fa163e000001"));
        for id in ["", "../x", "a/b", "a?b", &"x".repeat(65)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn what_the_service_would_refuse_is_told_first() {
        let now = Timestamp(Millis::days(20_000).0);
        let wanted = |from: Timestamp, name: &str| Wanted {
            what: What::Logins,
            from,
            to: now,
            filters: vec![(name.to_owned(), "x".to_owned())],
        };
        assert_eq!(wanted(now - Millis::days(2), "user_name").fault(now), None);
        assert_eq!(wanted(now, "user_name").fault(now).unwrap(), "--from is not before --to");
        let old = wanted(now - Millis::days(31), "user_name").fault(now).unwrap();
        assert!(old.starts_with("the service keeps 30d; nothing before "), "{old}");
        let odd = wanted(now - Millis::days(2), "client_ip").fault(now).unwrap();
        assert!(odd.starts_with("the service cannot be asked by `client_ip` here; known: `id`, "), "{odd}");
    }
}
