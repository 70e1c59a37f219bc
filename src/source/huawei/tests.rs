//! The source against a small HTTP server that says what each test has it say: every trouble of the
//! service, and in which words it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::rule::problem::Span;
use crate::rule::yaml;
use crate::source::{LiveSource, Reading, Trouble};

/// What the service's clock says, and ours unless a test sets it wrong.
pub(super) const NOW: Timestamp = Timestamp(1_767_603_600_000);
const KEY: &str = "{ak: env:AK, sk: env:SK}";
pub(super) const ROW: &str =
    r#"{"id":"1","start_time":"2026-01-05T08:59:00Z","end_time":"2026-01-05T08:59:09Z"}"#;
const OTHER: &str = r#"{"id":"2","start_time":"2026-01-05T08:58:00Z","end_time":"2026-01-05T08:58:09Z"}"#;

/// What the server says to one request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Says {
    /// Total and rows.
    Page(u64, &'static [&'static str]),
    Status(u16, &'static str),
    /// Status, a header and its value, body.
    With(u16, &'static str, &'static str, &'static str),
    /// A body that is longer than is read.
    Giant,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) method: Method,
    pub(super) target: String,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Came {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The window of logins that was asked for; when exactly depends on how long requests take.
    fn window(&self) -> (Timestamp, Timestamp) {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let time = |name: &str| body[name].as_str().unwrap().parse().unwrap();
        (time("login_start_time"), time("login_end_time"))
    }
}

#[derive(Debug, Default)]
struct Script {
    says: VecDeque<Says>,
    came: Vec<Came>,
    /// How long after [`NOW`] the server's clock is.
    since: Millis,
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.to_string();
    let desktop = target.contains("connections/desktops");
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (says, date) = {
        let mut script = script.lock().unwrap();
        script.came.push(Came { method, target, headers, body });
        (script.says.pop_front().unwrap_or(Says::Page(0, &[])), NOW + script.since)
    };
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(date.0.unsigned_abs());
    let response = Response::builder().header("date", httpdate::fmt_http_date(date));
    let response = match says {
        Says::Page(total, rows) => {
            let (count, items) = if desktop { ("total_count", "records") } else { ("count", "items") };
            response.body(Body::from(format!("{{\"{count}\":{total},\"{items}\":[{}]}}", rows.join(","))))
        }
        Says::Status(status, body) => response.status(status).body(Body::from(body)),
        Says::With(status, name, value, body) => {
            response.status(status).header(name, value).body(Body::from(body))
        }
        Says::Giant => response.body(Body::from(vec![b' '; (16 << 20) + 1])),
    };
    response.unwrap()
}

/// A source of one endpoint, or all three, the server that it asks, and our clock.
pub(super) struct Bench {
    pub(super) source: Box<dyn LiveSource>,
    script: Arc<Mutex<Script>>,
    pub(super) now: Timestamp,
}

pub(super) fn configured(text: &str) -> Result<Box<dyn LiveSource>, String> {
    let secrets = Secrets::default()
        .with("AK", "FAKE-ACCESS-KEY-0001")
        .with("SK", "fake-secret-key-0001")
        .with("ST", "fake-session-token")
        .with("TOKEN", "fake-token");
    configured_with(text, &secrets)
}

pub(super) fn configured_with(text: &str, secrets: &Secrets) -> Result<Box<dyn LiveSource>, String> {
    let mut problems = Problems::new("larum.yaml", text);
    let node = yaml::parse(&mut problems).unwrap();
    let options = Options::open(&node, &keys::SOURCE, Span::default(), &mut problems);
    let source = options.and_then(|options| (KIND.build)("prod", &options, secrets, &mut problems));
    source.ok_or_else(|| {
        let problems = problems.sorted();
        let told = problems.iter().map(|one| {
            let hint = one.hint.as_deref().unwrap_or_default();
            format!("{} ({hint})", one.message)
        });
        told.collect::<Vec<_>>().join("; ")
    })
}

fn source_at(base: &str, credentials: &str, endpoints: &str) -> Box<dyn LiveSource> {
    configured(&format!(
        "region: ap-southeast-3\nproject_id: 0123456789abcdef0123456789abcdef\ncredentials: {credentials}\n\
         endpoints: {endpoints}\nbase_url: {{workspace: \"{base}\", workspaceapp: \"{base}\"}}\n\
         requests: {{per_second: 10}}\n"
    ))
    .unwrap()
}

impl Bench {
    /// A source whose first request, by which it learns the service's time, is answered already.
    async fn new(says: &[Says]) -> Self {
        let mut says = says.to_vec();
        says.insert(0, Says::Page(0, &[]));
        Self::with(KEY, "[app_logins]", &says).await
    }

    async fn with(credentials: &str, endpoints: &str, says: &[Says]) -> Self {
        Self::over(says, |base| source_at(base, credentials, endpoints)).await
    }

    /// A source that `build` makes of the server's address.
    pub(super) async fn over(says: &[Says], build: impl FnOnce(&str) -> Box<dyn LiveSource>) -> Self {
        let script =
            Arc::new(Mutex::new(Script { says: says.iter().copied().collect(), ..Script::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { source: build(&base), script, now: NOW }
    }

    /// The next thing that is no wait of up to an hour in all; our clock goes on with the waits.
    pub(super) async fn next(&mut self) -> Option<Step> {
        let until = self.now + Millis::hours(1);
        while self.now < until {
            match self.source.step(self.now).await {
                Step::Wait(wait) => self.now = self.now + wait.max(Millis(1)),
                step @ (Step::Read(_) | Step::Failed { .. }) => return Some(step),
            }
        }
        None
    }

    pub(super) async fn reading(&mut self) -> Reading {
        match self.next().await {
            Some(Step::Read(reading)) => *reading,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn trouble(&mut self) -> Trouble {
        match self.next().await {
            Some(Step::Failed { trouble, .. }) => trouble,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn says(&self, says: &[Says]) {
        self.script.lock().unwrap().says.extend(says);
    }

    /// Time passes, here and there.
    pub(super) fn passes(&mut self, by: Millis) {
        self.script.lock().unwrap().since = by;
        self.now = NOW + by;
    }

    pub(super) fn came(&self) -> Vec<Came> {
        self.script.lock().unwrap().came.clone()
    }

    /// How long the source waited from one step to the other.
    pub(super) async fn waits_for_the_next_request(&mut self) -> Millis {
        let (before, asked) = (self.now, self.came().len());
        while self.came().len() == asked {
            match self.source.step(self.now).await {
                Step::Wait(wait) => self.now = self.now + wait.max(Millis(1)),
                Step::Read(_) | Step::Failed { .. } => {}
            }
        }
        self.now - before
    }
}

pub(super) fn refused(trouble: Trouble) -> (Option<Millis>, String) {
    match trouble {
        Trouble::Refused { wait, text, .. } => (wait, text),
        other @ (Trouble::Passing(_) | Trouble::Throttled { .. }) => panic!("{other:?}"),
    }
}

/// An answer of the gateway.
macro_rules! gateway {
    ($code:literal, $text:literal) => {
        concat!("{\"error_msg\":\"", $text, "\",\"error_code\":\"", $code, "\",\"request_id\":\"r\"}")
    };
}

#[tokio::test]
async fn a_poll_reads_every_page_and_says_up_to_when_it_is_complete() {
    let mut bench = Bench::new(&[Says::Page(2, &[ROW]), Says::Page(2, &[OTHER])]).await;
    let reading = bench.reading().await;
    assert_eq!(reading.rows, format!("{ROW}\n{OTHER}\n"));
    assert_eq!(reading.now, Some(NOW));
    assert_eq!(reading.remarks, [""; 0]);
    let came = bench.came();
    assert_eq!(
        came[1].target,
        "/v1/0123456789abcdef0123456789abcdef/session/user-connection?limit=100&offset=0"
    );
    assert!(came[2].target.ends_with("offset=1"));
    let (from, to) = came[1].window();
    assert!(to <= NOW + Millis::secs(1));
    assert_eq!(to - from, Millis::hours(24) + Millis::mins(15));
    let settled = to.min(NOW) - Millis::secs(60);
    assert_eq!(reading.watermark, Some((settled, settled)));
    // The same rows again are no news.
    bench.script.lock().unwrap().says.push_back(Says::Page(1, &[ROW]));
    assert_eq!(bench.reading().await.rows, "");
}

#[tokio::test]
async fn each_source_has_a_budget_of_its_own_to_the_request() {
    let text = |region: &str, project: &str, base: &str| {
        format!(
            "region: {region}\nproject_id: {project}\ncredentials: {KEY}\nendpoints: [app_logins]\n\
             base_url: {{workspace: \"{base}\", workspaceapp: \"{base}\"}}\nrequests: {{per_second: 1, burst: 5}}\n"
        )
    };
    // More to read than a minute allows.
    let says = [Says::Page(1_000, &[ROW]); 150];
    let (north, south) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let mut at = String::new();
    let mut bench = Bench::over(&says, |base| {
        base.clone_into(&mut at);
        configured(&text("cn-north-4", north, base)).unwrap()
    })
    .await;
    let mut other = configured(&text("ap-southeast-3", south, &at)).unwrap();
    // At one instant each asks as often as its burst allows, whatever the other has asked.
    for second in 0..=60 {
        let now = NOW + Millis::secs(second);
        for source in [&mut bench.source, &mut other] {
            while !matches!(source.step(now).await, Step::Wait(wait) if wait > Millis::ZERO) {}
        }
        let came = bench.came();
        let of = |project: &str| came.iter().filter(|came| came.target.contains(project)).count();
        let meant = 5 + usize::try_from(second).unwrap();
        assert_eq!((of(north), of(south)), (meant, meant), "after {second} s");
    }
}

#[tokio::test]
async fn each_endpoint_is_asked_in_its_own_words() {
    let mut bench = Bench::with(KEY, "[desktop_logins, app_launches]", &[]).await;
    bench.reading().await;
    bench.reading().await;
    let came = bench.came();
    let desktop = came.iter().rev().find(|came| came.method == Method::GET).unwrap();
    let base = "/v2/0123456789abcdef0123456789abcdef/connections/desktops";
    let (path, query) = desktop.target.split_once('?').unwrap();
    let names: Vec<&str> = query.split('&').map(|pair| pair.split_once('=').unwrap().0).collect();
    assert_eq!((path, names), (base, vec!["end_time", "limit", "offset", "start_time"]));
    // Minutes, and no seconds.
    let end = query.split_once("end_time=").unwrap().1.split_once('&').unwrap().0;
    assert_eq!((end.len(), end.matches("%3A").count()), ("2026-01-05T09%3A00Z".len(), 1), "{end}");
    let launch = came.iter().rev().find(|came| came.method == Method::POST).unwrap();
    assert!(launch.target.starts_with("/v1/0123456789abcdef0123456789abcdef/session/app-connection?"));
    let body: Value = serde_json::from_str(&launch.body).unwrap();
    assert!(body["brokering_start_time"].is_string() && body["brokering_end_time"].is_string());
    let lanes: Vec<String> = bench.source.lanes().into_iter().map(|lane| lane.name).collect();
    assert_eq!(lanes, ["prod/desktop_logins", "prod/app_launches"]);
}

#[tokio::test]
async fn sessions_and_user_events_are_read_where_they_are_asked_for() {
    let mut bench = Bench::with(KEY, "[sessions, user_events]", &[]).await;
    bench.reading().await;
    bench.reading().await;
    let lanes: Vec<String> = bench.source.lanes().into_iter().map(|lane| lane.name).collect();
    assert_eq!(lanes, ["prod/sessions", "prod/user_events"]);
    let asked = |path: &str| {
        let came = bench.came().into_iter().rev().find(|came| came.target.contains(path)).unwrap();
        assert_eq!((came.method, came.body.as_str()), (Method::GET, ""));
        let query = came.target.split_once('?').unwrap().1.to_owned();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.len())).collect::<Vec<_>>()
    };
    let pair = |name: &str, like: &str| (name.to_owned(), like.len());
    let milli = "2026-01-05T09%3A00%3A00.000Z";
    assert_eq!(
        asked("/v1/0123456789abcdef0123456789abcdef/session/list-sessions?"),
        [
            pair("limit", "100"),
            pair("offset", "0"),
            pair("query_begin_time", milli),
            pair("query_end_time", milli)
        ]
    );
    let second = "2026-01-05T09%3A00%3A00Z";
    assert_eq!(
        asked("/v2/0123456789abcdef0123456789abcdef/user-events?"),
        [pair("end_time", second), pair("limit", "100"), pair("offset", "0"), pair("start_time", second)]
    );
    let usual = configured(&format!(
        "region: ap-southeast-3\nproject_id: 0123456789abcdef0123456789abcdef\ncredentials: {KEY}\n"
    ));
    assert_eq!(usual.unwrap().lanes().len(), 3, "unless told, neither is read");
}

#[tokio::test]
async fn the_service_is_asked_by_what_the_configuration_filters() {
    let filter = "filter: {app_logins: {user_name: ana, failed_code: 500}, sessions: {is_success: false}}";
    let build = |base: &str| {
        configured(&format!(
            "region: ap-southeast-3\nproject_id: 0123456789abcdef0123456789abcdef\ncredentials: {KEY}\n\
             endpoints: [app_logins, sessions]\nbase_url: {{workspace: \"{base}\", workspaceapp: \"{base}\"}}\n\
             requests: {{per_second: 10}}\n{filter}\n"
        ))
        .unwrap()
    };
    let mut bench = Bench::over(&[], build).await;
    bench.reading().await;
    bench.reading().await;
    let came = bench.came();
    let login = came.iter().rev().find(|came| came.method == Method::POST).unwrap();
    let body: Value = serde_json::from_str(&login.body).unwrap();
    assert_eq!((&body["user_name"], &body["failed_code"]), (&"ana".into(), &"500".into()));
    assert!(body["login_start_time"].is_string());
    let session = came.iter().rev().find(|came| came.method == Method::GET).unwrap();
    assert!(session.target.contains("?is_success=false&limit=100&"), "{}", session.target);
}

#[tokio::test]
async fn a_request_says_who_asks_and_is_signed() {
    let mut bench =
        Bench::with("{ak: env:AK, sk: env:SK, security_token: env:ST}", "[app_logins]", &[]).await;
    bench.reading().await;
    let came = bench.came().pop().unwrap();
    let date = came.header("x-sdk-date");
    assert_eq!((date.len(), came.header("content-type")), (16, "application/json"));
    assert_eq!(came.header("x-project-id"), "0123456789abcdef0123456789abcdef");
    assert_eq!(came.header("x-security-token"), "fake-session-token");
    let headers = [
        ("content-type", "application/json"),
        ("host", came.header("host")),
        ("x-project-id", came.header("x-project-id")),
        ("x-sdk-date", date),
        ("x-security-token", "fake-session-token"),
    ];
    let (path, query) = came.target.split_once('?').unwrap();
    let request =
        sign::Request { method: "POST", path, query, headers: &headers, body: came.body.as_bytes() };
    let signed = sign::sign(&request, &"fake-secret-key-0001".into());
    assert_eq!(came.header("authorization"), signed.authorization("FAKE-ACCESS-KEY-0001"));

    let mut bench = Bench::with("{token: env:TOKEN}", "[app_logins]", &[]).await;
    bench.reading().await;
    let came = bench.came().pop().unwrap();
    assert_eq!((came.header("x-auth-token"), came.header("authorization")), ("fake-token", ""));
}

#[tokio::test]
async fn a_wrong_key_is_tried_once_whatever_the_number_of_endpoints() {
    let wrong = gateway!(
        "APIGW.0301",
        "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:POST|/v1/"
    );
    let all = "[desktop_logins, app_logins, app_launches]";
    let mut bench = Bench::with(KEY, all, &[Says::Status(401, wrong)]).await;
    let mut lanes = Vec::new();
    while let Some(Step::Failed { lane, trouble }) = bench.next().await {
        let (wait, text) = refused(trouble);
        assert_eq!(wait, None);
        assert!(text.contains("check `credentials`") && !text.contains("POST"), "{text}");
        lanes.push(lane);
    }
    assert_eq!((lanes, bench.came().len()), (vec![0, 1, 2], 1));
}

#[tokio::test]
async fn a_locked_key_rests_for_more_than_five_minutes() {
    let locked = gateway!(
        "APIGW.0301",
        "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden"
    );
    let mut bench = Bench::with(KEY, "[app_logins]", &[Says::Status(401, locked)]).await;
    let (wait, _) = refused(bench.trouble().await);
    assert!(wait.unwrap() > Millis::mins(5));
    assert!(bench.waits_for_the_next_request().await > Millis::mins(5));
}

#[tokio::test]
async fn an_expired_token_is_told_with_the_way_out_and_not_tried_again() {
    let expired =
        gateway!("APIGW.0301", "Incorrect IAM authentication information: token expires, expires_at: 2026");
    let mut bench = Bench::with("{token: env:TOKEN}", "[app_logins]", &[Says::Status(401, expired)]).await;
    for _ in 0..3 {
        let (wait, text) = refused(bench.trouble().await);
        assert_eq!(wait, Some(Millis::mins(1)), "its place is looked at, and nobody is asked");
        assert!(text.contains("put a new one at its place"), "{text}");
    }
    assert_eq!(bench.came().len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_put_right_once() {
    let expired = gateway!(
        "APIGW.0301",
        "Incorrect IAM authentication information: calc ak sk signature fail:signature expired"
    );
    let mut bench = Bench::with(KEY, "[app_logins]", &[Says::Status(401, expired)]).await;
    bench.now = NOW + Millis::hours(3);
    let reading = bench.reading().await;
    let came = bench.came();
    assert_eq!(came[0].header("x-sdk-date"), "20260105T120000Z");
    let second = came[1].header("x-sdk-date");
    assert!(second.starts_with("20260105T0859") || second.starts_with("20260105T0900"), "{second}");
    assert_eq!(reading.now, Some(NOW));
    // Refused for its date though it was right: a key that has expired.
    bench.script.lock().unwrap().says.push_back(Says::Status(401, expired));
    let (wait, text) = refused(bench.trouble().await);
    assert_eq!(wait, Some(Millis::mins(30)));
    assert!(text.contains("new temporary keys"), "{text}");
}

#[tokio::test]
async fn a_missing_right_is_named_and_tried_again_half_an_hour_later_while_others_are_read() {
    let forbidden = r#"{"error_code":"WKS.00081102","error_msg":"User does not have permission"}"#;
    let says = [Says::Page(0, &[]), Says::Status(403, forbidden)];
    let mut bench = Bench::with(KEY, "[app_logins, app_launches]", &says).await;
    let (mut failed, mut read) = (0, 0);
    for _ in 0..20 {
        match bench.next().await.unwrap() {
            Step::Failed { trouble, .. } => {
                let (wait, text) = refused(trouble);
                assert_eq!(wait, Some(Millis::mins(30)));
                assert!(text.contains("`workspace:session:list"), "{text}");
                failed += 1;
            }
            Step::Read(_) => read += 1,
            Step::Wait(_) => {}
        }
    }
    assert_eq!((failed, read), (1, 19));
}

#[tokio::test]
async fn a_wrong_host_is_named() {
    let none = gateway!("APIGW.0101", "The API does not exist or has not been published");
    let mut bench = Bench::new(&[Says::Status(404, none)]).await;
    let (wait, text) = refused(bench.trouble().await);
    assert_eq!(wait, Some(Millis::mins(30)));
    assert!(text.contains("`127.0.0.1:") && text.contains("`base_url`"), "{text}");
}

#[tokio::test]
async fn a_429_is_waited_out_as_long_as_it_says_and_the_page_is_asked_for_again() {
    let said = gateway!(
        "APIGW.0308",
        "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:1 minute"
    );
    for (says, least) in [
        (Says::Status(429, said), Millis::mins(1)),
        (Says::With(429, "retry-after", "90", said), Millis::secs(90)),
    ] {
        let mut bench = Bench::new(&[Says::Page(2, &[ROW]), says, Says::Page(2, &[OTHER])]).await;
        let Trouble::Throttled { wait, .. } = bench.trouble().await else { panic!() };
        assert_eq!(wait, least);
        assert!(bench.waits_for_the_next_request().await >= least);
        let came = bench.came();
        assert_eq!((came.len(), &came[3].target), (4, &came[2].target));
        // Five a minute are asked in fours.
        assert!(bench.waits_for_the_next_request().await >= Millis::secs(15));
    }
}

#[tokio::test]
async fn troubles_that_pass_hold_the_watermark_and_are_tried_again_ever_later() {
    let bodies = [
        Says::Status(200, r#"{"error_code":"WKS.00211401","error_msg":"The requested operation failed."}"#),
        Says::Status(200, "<html>maintenance</html>"),
        Says::Status(200, r#"{"count":2,"items":[{"id":"1"#),
        Says::Giant,
        Says::With(302, "location", "http://127.0.0.1:1/", ""),
        Says::Status(502, "<html>Bad Gateway</html>"),
        Says::Page(1, &[ROW]),
    ];
    let mut bench = Bench::new(&bodies).await;
    let told = [
        "the service answered 200: WKS.00211401 The requested operation failed.",
        "the answer is HTML, not JSON",
        "the answer is JSON cut short",
        "the answer is longer than 16 MiB; fewer rows are asked for",
        "the service answered 302; a redirect is not followed: name the right host in `base_url`",
        "the service answered 502",
    ];
    let mut before = bench.now;
    for (tries, text) in told.into_iter().enumerate() {
        assert_eq!(bench.trouble().await, Trouble::Passing(text.to_owned()));
        if tries > 0 {
            assert!(bench.now - before >= Millis::secs(5 << (tries - 1)), "{tries}");
        }
        before = bench.now;
    }
    assert_eq!(bench.reading().await.rows, format!("{ROW}\n"));
    let came = bench.came();
    assert_eq!(came.len(), 1 + told.len() + 1);
    assert!(came[5].target.contains("limit=50"), "half as many after one that was too long");
}

/// A server that says one thing, byte for byte, to whoever comes.
async fn raw(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            // As much of the request as comes at once: nobody looks at it.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(says.as_bytes()).await;
        }
    });
    base
}

#[tokio::test]
async fn a_connection_that_is_cut_and_an_answer_without_a_date_pass() {
    for (says, told) in [
        (
            "HTTP/1.1 200 OK\r\ndate: Mon, 05 Jan 2026 09:00:00 GMT\r\ncontent-length: 100\r\n\r\n{",
            "cannot ask",
        ),
        ("", "cannot ask"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 22\r\nconnection: close\r\n\r\n{\"count\":0,\"items\":[]}",
            "does not say its time",
        ),
    ] {
        let mut source = source_at(&raw(says).await, KEY, "[app_logins]");
        let Step::Failed { trouble: Trouble::Passing(text), .. } = source.step(NOW).await else { panic!() };
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn a_total_that_lies_is_seen_through_at_the_second_empty_page_and_told_once() {
    let lies = Says::Page(4, &[ROW, OTHER]);
    // The next page begins with the last row again and has no other; or the list is not there at all.
    for none in [Says::Page(4, &[OTHER]), Says::Page(4, &[])] {
        let mut bench = Bench::new(&[lies, none, none, lies, none, none]).await;
        let reading = bench.reading().await;
        assert_eq!(reading.rows, format!("{ROW}\n{OTHER}\n"));
        assert_eq!(reading.remarks.len(), 1);
        let remark = &reading.remarks[0];
        assert!(remark.starts_with("2 rows are missing against the total"), "{remark}");
        assert!(reading.watermark.is_some());
        let offsets: Vec<String> =
            bench.came()[1..].iter().map(|came| came.target.rsplit('=').next().unwrap().to_owned()).collect();
        assert_eq!(offsets, ["0", "1", "1"]);
        let reading = bench.reading().await;
        assert_eq!((reading.rows.as_str(), reading.remarks.len()), ("", 0));
    }
}

#[tokio::test]
async fn rows_that_shift_to_the_next_page_are_given_once() {
    const NEWER: &str = r#"{"id":"3","start_time":"2026-01-05T08:59:30Z","failed_code":"500"}"#;
    // The new row pushed the first one to the second page: three are promised, two came. The window is
    // read in parts.
    let none = Says::Page(0, &[]);
    let parts = [none, none, Says::Page(3, &[NEWER, ROW, OTHER])];
    let says = [&[Says::Page(2, &[ROW]), Says::Page(3, &[ROW, OTHER])], parts.as_slice()].concat();
    let mut bench = Bench::new(&says).await;
    let reading = bench.reading().await;
    let mut lines: Vec<&str> = reading.rows.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [ROW, OTHER, NEWER]);
    assert_eq!(reading.remarks, [""; 0]);
    let windows: Vec<_> = bench.came()[1..].iter().map(Came::window).collect();
    assert_eq!((windows.len(), windows[0]), (5, windows[1]));
    assert_eq!((windows[2].0, windows[4].1), windows[0], "they are all of it");
    for (one, next) in windows[2..].iter().zip(&windows[3..]) {
        assert_eq!(one.1 - next.0, Millis::secs(1), "nobody says which of its ends a window includes");
    }
}

#[tokio::test]
async fn equal_rows_without_a_key_are_twins_and_rows_ahead_of_now_are_set_aside() {
    const TWIN: &str = r#"{"user_name":"ana","connection_start_time":"2026-01-05T08:59:00Z"}"#;
    const AHEAD: &str = r#"{"user_name":"bob","connection_start_time":"2026-01-05T09:06:00Z"}"#;
    let says = [Says::Page(0, &[]), Says::Page(3, &[TWIN, AHEAD, TWIN])];
    let mut bench = Bench::with(KEY, "[desktop_logins]", &says).await;
    let reading = bench.reading().await;
    assert_eq!(reading.rows, format!("{TWIN}\n{TWIN}\n"));
    assert_eq!((reading.twins, reading.ahead), (vec![(1, 1)], 1));
}

#[tokio::test]
async fn a_new_life_goes_on_where_the_old_one_stopped() {
    let mut bench = Bench::new(&[Says::Page(1, &[ROW])]).await;
    let cursor = bench.reading().await.cursor;
    let mut bench = Bench::new(&[]).await;
    bench.source.resume(0, &cursor).unwrap();
    bench.reading().await;
    let start = serde_json::from_str::<Value>(&cursor).unwrap()["start"].as_i64().unwrap();
    assert_eq!(bench.came()[1].window().0, Timestamp(start) - Millis::mins(15));
    let broken = bench.source.resume(0, "{\"form\":1}").unwrap_err();
    assert!(broken.starts_with("the cursor of `prod/app_logins` cannot be read: missing field"), "{broken}");
    assert!(bench.source.resume(7, &cursor).is_err());
}

#[tokio::test]
async fn ends_are_looked_for_although_polls_never_catch_up() {
    const OPEN: &str = r#"{"id":"1","start_time":"2026-01-05T05:59:00Z"}"#;
    const ENDED: &str = r#"{"id":"1","start_time":"2026-01-05T05:59:00Z","end_time":"2026-01-05T09:00:00Z"}"#;
    let mut bench = Bench::new(&[Says::Page(1, &[OPEN])]).await;
    assert_eq!(bench.reading().await.rows, format!("{OPEN}\n"));
    let mut since = Millis::ZERO;
    for _ in 0..5 {
        // Each answer takes longer than the time between polls.
        since = since + Millis::mins(5);
        bench.passes(since);
        bench.reading().await;
        bench.script.lock().unwrap().since = since + Millis::mins(4);
    }
    let hour = |came: &Came| came.window().1 <= NOW - Millis::hours(3) + Millis::secs(1);
    assert!(bench.came()[2..].iter().any(hour), "{:?}", bench.came());
    bench.says(&[Says::Page(1, &[ENDED]); 5]);
    let mut rows = String::new();
    for _ in 0..5 {
        rows.push_str(&bench.reading().await.rows);
    }
    assert_eq!(rows, format!("{ENDED}\n"));
}

#[tokio::test]
async fn a_gap_beyond_what_the_service_keeps_is_told() {
    let mut bench = Bench::new(&[]).await;
    let long_ago = (NOW - Millis::days(40)).0;
    let cursor = format!(r#"{{"form":1,"to":{long_ago},"start":{long_ago},"end":{long_ago},"open":{{}}}}"#);
    bench.source.resume(0, &cursor).unwrap();
    let remarks = bench.reading().await.remarks;
    let [gap] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(
        gap.starts_with("what happened from 2025-11-26T09:00:00.000Z to 2025-12-06T09:")
            && gap.ends_with("was not read: the service keeps 30d"),
        "{gap}"
    );
}

#[test]
fn a_source_that_cannot_be_is_told_with_the_way_out() {
    let base = "region: ap-southeast-3\nproject_id: 0123456789abcdef0123456789abcdef\n";
    let fault = |text: &str| configured(text).map(|_| ()).unwrap_err();
    let with = |text: &str| fault(&format!("{base}credentials: {KEY}\n{text}"));
    let all = fault("region: x");
    for one in [
        "the host of `workspace` in region `x` is not known (name it: `base_url: {workspace: https://…}`)",
        "the host of `workspaceapp` in region `x` is not known",
    ] {
        assert!(all.contains(one), "{all}");
    }
    assert_eq!(
        with("base_url: {workspace: http://workspace.example.com}"),
        "`http://workspace.example.com` would send credentials in the clear; plain http is for loopback only \
         (write `https://` and a host)"
    );
    assert!(with("base_url: {workspace: https://me:pw@example.com}").starts_with("a base address is"));
    assert_eq!(
        with("endpoints: [logins]"),
        "there is no endpoint `logins` (known: `desktop_logins`, `app_logins`, `app_launches`, `sessions`, `user_events`)"
    );
    assert_eq!(with("since: 60d"), "the service keeps 30d (write `since: 30d` or less)");
    for (text, told) in [
        (
            "filter: {sessions: {is_success: true}}",
            "`sessions` is not read, so there is nothing to filter (add `sessions` to `endpoints`, or take the \
             filter out)",
        ),
        (
            "filter: {desktop_logins: {min_network_rtt: slow}}",
            "`min_network_rtt` takes a whole number of ms, not `slow` (write `min_network_rtt: 200`)",
        ),
        ("every: 500ms", "`every: 500ms` is out of bounds (write a length from 1s to 1h)"),
        ("every: 2h", "`every: 2h` is out of bounds (write a length from 1s to 1h)"),
        ("settle: 2h", "`settle: 2h` is out of bounds (write a length from 0s to 1h)"),
        ("lookback: 59s", "`lookback: 59s` is out of bounds (write a length from 1m to 1d)"),
        ("lookback: 2d", "`lookback: 2d` is out of bounds (write a length from 1m to 1d)"),
    ] {
        assert_eq!(with(text), told);
    }
    let keys = |text: &str| fault(&format!("{base}credentials: {text}"));
    assert!(keys("{ak: env:AK}").starts_with("`credentials` needs `sk`"));
    assert!(keys("{ak: env:AK, sk: env:SK, token: env:TOKEN}").contains("two credentials"));
    assert!(keys("{ak: AKIA, sk: env:SK}").contains("not written here"));
    assert!(
        configured(&format!("{base}credentials: {KEY}\nbase_url: {{workspace: \"http://[::1]:8080\"}}"))
            .is_ok()
    );
}

#[test]
fn nothing_shows_a_secret() {
    let base = "region: ap-southeast-3\nproject_id: 0123456789abcdef0123456789abcdef\n";
    let source = configured(&format!("{base}credentials: {KEY}")).unwrap();
    let shown = format!("{source:?}");
    assert!(!shown.contains("fake-secret-key") && !shown.contains("FAKE-ACCESS-KEY"), "{shown}");
}
