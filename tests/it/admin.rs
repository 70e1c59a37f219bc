//! The admin door of a running daemon: who may come in, what is shown, what is carried out, what is
//! measured; and the heartbeat.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larum::alert::State;
use larum::daemon::run::{Daemon, Settings};
use larum::store::Store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::operator::{Place, alerts, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A daemon with an open door.
struct House {
    _place: Place,
    door: SocketAddr,
    store: Arc<dyn Store>,
    client: reqwest::Client,
    stop: tokio::sync::watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl House {
    async fn new() -> Self {
        let place = Place::new().await;
        place.add("admin: {listen: \"127.0.0.1:0\", token: env:TOKEN, hosts: [larum.example]}\n");
        let settings =
            Settings { secrets: place.settings().secrets.with("TOKEN", TOKEN), ..place.settings() };
        let daemon = Daemon::start(settings).await.unwrap();
        let (door, store) = (daemon.admin().unwrap(), daemon.store());
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let running = tokio::spawn(async move { daemon.run(stopping).await.unwrap() });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { _place: place, door, store, client, stop, running }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.door))
    }

    /// Asks with the token.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.request(method, path).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {shown}");
        shown
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        let answer = self.request(Method::GET, path).bearer_auth(TOKEN).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_shows_the_token_and_calls_by_the_right_name_comes_in() {
    let house = House::new().await;
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status();

    // Health needs no token: a supervisor has none.
    assert_eq!(status(house.request(Method::GET, "/healthz")).await, StatusCode::OK);
    for path in ["/metrics", "/api/v1/status", "/api/v1/alerts", "/api/v1/deliveries/00"] {
        assert_eq!(status(house.request(Method::GET, path)).await, StatusCode::UNAUTHORIZED, "{path}");
        let wrong = house.request(Method::GET, path).bearer_auth("0123456789abcdef0123456789abcdee");
        assert_eq!(status(wrong).await, StatusCode::UNAUTHORIZED, "{path}");
        let shorter = house.request(Method::GET, path).bearer_auth(&TOKEN[..31]);
        assert_eq!(status(shorter).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    let reload = house.request(Method::POST, "/api/v1/reload");
    assert_eq!(status(reload).await, StatusCode::UNAUTHORIZED);

    // A name that somebody makes point here, and a page of another site.
    for (header, value, code) in [
        ("host", "evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("host", "127.0.0.1.evil.example:80", StatusCode::MISDIRECTED_REQUEST),
        ("host", "larum.example", StatusCode::OK),
        ("host", "LOCALHOST:9480", StatusCode::OK),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("origin", "https://larum.example", StatusCode::OK),
    ] {
        let request = house.request(Method::GET, "/api/v1/status").bearer_auth(TOKEN).header(header, value);
        assert_eq!(status(request).await, code, "{header}: {value}");
        if code != StatusCode::OK {
            let health = house.request(Method::GET, "/healthz").header(header, value);
            assert_eq!(status(health).await, code, "{header}: {value} at /healthz");
        }
    }

    let nothing = house.request(Method::GET, "/admin").bearer_auth(TOKEN);
    assert_eq!(status(nothing).await, StatusCode::NOT_FOUND);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_commands_do_the_door_does() {
    let house = House::new().await;
    let alert = until("the alert", async || alerts(&*house.store, "failure-burst").await.pop()).await;
    let id = alert.now.id.to_string();
    until("readiness", async || (house.page("/readyz").await.0 == StatusCode::OK).then_some(())).await;

    let listed = house.get("/api/v1/alerts?rule=failure-burst&state=open,updated&level=low&most=10").await;
    assert_eq!(listed["alerts"][0]["id"], id);
    assert_eq!(house.get("/api/v1/alerts?rule=other").await["alerts"], json!([]));
    let shown = house.get(&format!("/api/v1/alerts/{}", &id[..10])).await;
    assert_eq!((&shown["alert"]["id"], &shown["revisions"][0]["revision"]), (&json!(id), &json!(1)));

    let path = format!("/api/v1/alerts/{id}/acknowledge");
    let (status, words) = house.ask(Method::POST, &path, Some(json!({"by": "eve"}))).await;
    assert_eq!(
        (status, &words["done"]),
        (StatusCode::OK, &json!(format!("alert {id} is acknowledged by eve")))
    );
    assert_eq!(alerts(&*house.store, "failure-burst").await[0].now.state, State::Acknowledged);

    // Without a body and without a word on what it would be.
    let own =
        until("Larum's own alert", async || alerts(&*house.store, "larum-dead-letter").await.pop()).await;
    let path = format!("/api/v1/alerts/{}/acknowledge", own.now.id);
    let (status, words) = house.ask(Method::POST, &path, None).await;
    let meant = format!("alert {} is acknowledged by somebody at the admin door", own.now.id);
    assert_eq!((status, &words["done"]), (StatusCode::OK, &json!(meant)));
    // Instants are the same text wherever they stand.
    let status = house.get("/api/v1/status").await;
    for at in [&status["since"], &status["now"], &status["lanes"]["prod/desktop_logins"]["read_at"]] {
        let text = at.as_str().unwrap_or_else(|| panic!("{status}"));
        assert!(text.ends_with('Z') && larum::record::Timestamp::parse(text).is_some(), "{text}");
    }

    let asked = json!({"matches": ["user=ana.ruiz"], "for": "2h", "by": "eve", "because": "she forgot it"});
    let (status, words) = house.ask(Method::POST, "/api/v1/silences", Some(asked)).await;
    assert_eq!(status, StatusCode::OK, "{words}");
    let silences = house.get("/api/v1/silences").await;
    assert_eq!(silences["silences"][0]["matches"], json!(["user=ana.ruiz"]));
    let silence = silences["silences"][0]["id"].as_str().unwrap().to_owned();
    let (status, _) = house.ask(Method::DELETE, &format!("/api/v1/silences/{silence}"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(house.get("/api/v1/silences").await["silences"], json!([]));
    // Work that is planned.
    let from = "2099-01-05T09:00:00.000Z";
    let asked =
        json!({"matches": ["rule=*"], "from": from, "for": "2h", "by": "eve", "because": "new desktops"});
    let (status, words) = house.ask(Method::POST, "/api/v1/silences", Some(asked)).await;
    assert_eq!(status, StatusCode::OK, "{words}");
    let planned = &house.get("/api/v1/silences").await["silences"][0];
    assert_eq!((&planned["from"], &planned["until"]), (&json!(from), &json!("2099-01-05T11:00:00.000Z")));

    // The webhook's end answers 400: a dead letter, put aside and owed again.
    let dead = async || {
        house.get("/api/v1/deliveries?receiver=hook&state=dead").await["deliveries"][0]["id"]
            .as_str()
            .map(str::to_owned)
    };
    let delivery = until("the dead letter", dead).await;
    let path = format!("/api/v1/deliveries/{delivery}/discard");
    let (status, words) = house.ask(Method::POST, &path, Some(json!({"because": "old"}))).await;
    assert_eq!((status, &words["done"]), (StatusCode::OK, &json!("1 delivery put aside")));
    let (status, _) = house.ask(Method::POST, &format!("/api/v1/deliveries/{delivery}/redrive"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(house.get(&format!("/api/v1/deliveries/{delivery}")).await["history"].is_array());

    let (status, words) = house.ask(Method::POST, "/api/v1/receivers/kept/test", None).await;
    assert_eq!((status, &words["done"]), (StatusCode::OK, &json!("kept took the test message")));
    let (status, words) = house.ask(Method::POST, "/api/v1/reload", None).await;
    assert_eq!(
        (status, &words["done"]),
        (
            StatusCode::OK,
            &json!(
                "configuration and rules are read again, without the rules' tests (`larum test` runs them)"
            )
        )
    );
    assert_eq!(house.get("/api/v1/status").await["rules"]["failure-burst"]["alerts"], 1);
    assert!(house.get("/api/v1/rules").await["rules"]["failure-burst"].is_object());
    assert!(house.get("/api/v1/sources").await["prod/desktop_logins"].is_object());
    assert_eq!(house.get("/api/v1/receivers").await["hook"]["kind"], "webhook");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_is_told_what_is_wrong() {
    let house = House::new().await;
    for (method, path, body, code, said) in [
        (Method::GET, "/api/v1/alerts?state=opne", None, 400, "open, updated, closed"),
        (Method::GET, "/api/v1/alerts?most=0", None, 400, "1 to 1000"),
        (Method::GET, "/api/v1/alerts?since=yesterday", None, 400, "2026-01-05T09:00:00Z"),
        (Method::GET, "/api/v1/alerts?sincee=x", None, 400, "sincee"),
        (Method::GET, "/api/v1/alerts/ffffffffffff", None, 404, "there is no alert `ffffffffffff`"),
        (Method::GET, "/api/v1/deliveries/zz", None, 404, "there is no delivery `zz`"),
        (Method::DELETE, "/api/v1/silences/00", None, 404, "there is no silence `00`"),
        (Method::POST, "/api/v1/receivers/hok/test", None, 409, "known: hook, kept"),
        (Method::GET, "/api/v1/deliveries?mots=1", None, 400, "unknown key `mots`; did you mean `most`?"),
        (
            Method::POST,
            "/api/v1/silences",
            None,
            400,
            r#"`matches` is missing: write `{\"matches\": [\"user=ana\"], …}`"#,
        ),
        (
            Method::POST,
            "/api/v1/silences",
            Some(json!({"matches": ["a=b"]})),
            400,
            r#"`for` is missing: write `{\"for\": \"2h\", …}`"#,
        ),
        (Method::POST, "/api/v1/silences", Some(json!({"matches": "a=b"})), 400, "`matches` cannot be"),
        (
            Method::POST,
            "/api/v1/silences",
            Some(json!({"matchs": []})),
            400,
            "unknown key `matchs`; did you mean `matches`?",
        ),
        (Method::POST, "/api/v1/silences", Some(json!([1])), 400, "the body is no object of JSON"),
        (Method::POST, "/api/v1/deliveries/00/discard", None, 400, "`because` is missing"),
        (
            Method::POST,
            "/api/v1/silences",
            Some(json!({"matches": [], "for": "1h", "by": "e", "because": "b"})),
            400,
            "nothing silences everything",
        ),
        (Method::PUT, "/api/v1/reload", None, 405, ""),
    ] {
        let mut request = house.request(method, path).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(said), "{path}: {text}");
    }
    let broken = house.request(Method::POST, "/api/v1/silences").bearer_auth(TOKEN).body("{\"for\": 2h}");
    let broken = broken.send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    let words = broken.text().await.unwrap();
    assert!(words.contains("the body is no JSON: there is a fault at line 1, column 10"), "{words}");
    let long = house.request(Method::POST, "/api/v1/silences").bearer_auth(TOKEN);
    let long =
        long.header("content-type", "application/json").body("x".repeat(100_000)).send().await.unwrap();
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_names_the_configuration_and_nobody_else() {
    let house = House::new().await;
    until("the alert", async || alerts(&*house.store, "failure-burst").await.pop()).await;
    let tried = async || {
        let (status, page) = house.page("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        page.contains("larum_delivery_attempts_total{receiver=\"hook\",outcome=\"malformed\"}")
            .then_some(page)
    };
    let page = until("a try at the hook", tried).await;
    for line in [
        "larum_alerts_total{rule=\"failure-burst\"} 1",
        "larum_source_failing{source=\"prod/desktop_logins\"} 0.0",
        "larum_receiver_paused{receiver=\"hook\"} 0.0",
        "larum_config_last_reload_successful 1.0",
        "larum_delivery_duration_seconds_count{receiver=\"hook\"}",
        "# TYPE larum_store_commit_duration_seconds histogram",
        "larum_build_info{version=",
        "# EOF",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
    // The office's people, their addresses and desktops stand in no label.
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        assert!(!line.contains("ana.ruiz") && !line.contains("203.0.113"), "{line}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_is_called_after_a_full_cycle_and_not_by_a_blind_daemon() {
    let calls = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = calls.clone();
    let heard = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready("ok")
    };
    let router = axum::Router::new().route("/beat/s3cret", axum::routing::get(heard));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let place = Place::new().await;
    place.add("heartbeat: {url: env:BEAT, every: 10s}\n");
    let url = format!("http://{address}/beat/s3cret");
    let settings = Settings { secrets: place.settings().secrets.with("BEAT", &url), ..place.settings() };
    let daemon = Daemon::start(settings).await.unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(daemon.run(stopping));
    until("the first beat", async || (calls.load(Ordering::SeqCst) > 0).then_some(())).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}
