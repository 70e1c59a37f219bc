//! `larum explain --store`: who was told of an alert that fired, and who was not, and why.

use std::path::Path;
use std::process::{Command, Output};

use larum::alert::{Alert, AlertId};
use larum::daemon::routing::Routing;
use larum::engine::SourceId;
use larum::record::scan::{Mapping, Origin};
use larum::record::{Millis, Timestamp};
use larum::route::{Delivery, ReceiverName, Route, Routes, SilenceId, Standing};
use larum::store::sqlite::Sqlite;
use larum::store::{Change, Entry, Event, Lane, Store as _};
use serde_json::Value as Json;

const RULES: &str = "--rules=rules/failure-burst.yaml";

fn done(arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/explain.in");
    Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).current_dir(folder).output().unwrap()
}

fn larum(arguments: &[&str]) -> String {
    let done = done(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What becomes of the message to a receiver that is called so.
fn changed(delivery: Delivery) -> Delivery {
    let (at, later) = (delivery.created, delivery.created + Millis::mins(5));
    let waits =
        |reason: &str| Delivery { due: later, last_reason: Some(reason.to_owned()), ..delivery.clone() };
    match delivery.receiver.as_str() {
        "taken" => Delivery { standing: Standing::Delivered { at }, ..delivery },
        "silent" => {
            Delivery { held_by: Some(SilenceId([7; 8])), ..waits("held back by silence 0707070707070707") }
        }
        "full" => waits("held back by the limit of level medium: 10 in 15m"),
        "busy" => Delivery { tries: 3, ..waits("try again: HTTP 503") },
        "gone" => Delivery { standing: Standing::Dead { at, reason: "HTTP 404".to_owned() }, ..delivery },
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn explain_tells_who_was_told_and_why_others_were_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let alerts = larum(&["replay", RULES, "--output", "json", "logins.ndjson"]);
    let alerts = alerts.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap());
    let alert = alerts.into_iter().find(|alert| alert.group["user"] == "ana").unwrap();
    {
        let store = Sqlite::open(&path).unwrap();
        let fence = store.fence(alert.tenant.clone()).await.unwrap();
        let to: Vec<ReceiverName> =
            ["taken", "silent", "full", "busy", "gone"].iter().map(|name| name.parse().unwrap()).collect();
        let routes = Routes { routes: vec![Route { to, ..Route::default() }] };
        let routing = Routing { routes, ..Routing::default() };
        let owed = routing.owed(&alert, Timestamp(1_800_000_000_000));
        let owed = owed.into_iter().map(|change| {
            let Change::Owed(delivery) = change else { panic!("{change:?}") };
            Change::Owed(Box::new(changed(*delivery)))
        });
        let changes = std::iter::once(Change::Alert(Box::new(alert.clone()))).chain(owed).collect();
        store.commit(fence, changes).await.unwrap();
    }
    let (at, store) = (alert.at.to_string(), path.to_str().unwrap());
    let asked = ["explain", "failure-burst", RULES, "--group", "user=ana", "--at", &at, "--store", store];
    let text = larum(&[&asked[..], &["logins.ndjson"]].concat());
    let (_, told) = text.split_once("\n  told:\n").unwrap();
    let words: Vec<String> =
        told.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        words,
        ["taken told", "silent silenced", "full limited", "busy delivery_delayed", "gone dead_letter"]
    );
    assert!(told.contains("held back by silence 0707070707070707"), "{told}");
    let json = larum(&[&asked[..], &["--output", "json", "logins.ndjson"]].concat());
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["fired"], &json["told"][2]["reason"]), (&Json::Bool(true), &"limited".into()));
    assert!(json["told"][2]["detail"].as_str().unwrap().contains("10 in 15m"), "{json}");
}

#[tokio::test]
async fn an_alert_that_a_digest_told_says_so_and_the_digest_names_its_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let fired = larum(&["replay", RULES, "--output", "json", "logins.ndjson"]);
    let first: Alert = serde_json::from_str(fired.lines().next().unwrap()).unwrap();
    let first = Alert { standing: true, ..first };
    let alerts = [first.clone(), Alert { id: AlertId([0xab; 16]), ..first }];
    {
        let store = Sqlite::open(&path).unwrap();
        let fence = store.fence(alerts[0].tenant.clone()).await.unwrap();
        let routes = Routes { routes: vec![Route { to: vec!["chat".parse().unwrap()], ..Route::default() }] };
        let owed = Routing { routes, ..Routing::default() }.owed_standing(&alerts, Timestamp(0));
        let kept = alerts.iter().map(|alert| Change::Alert(Box::new(alert.clone())));
        store.commit(fence, kept.chain(owed).collect()).await.unwrap();
    }
    let store = format!("--store={}", path.display());
    let deliveries = larum(&["deliveries", &store]);
    let digest = deliveries.lines().find(|line| line.contains("a digest of 2")).unwrap();
    let digest = digest.split_whitespace().next().unwrap();
    for alert in &alerts {
        let shown = larum(&["alerts", "show", &alert.id.to_string(), &store]);
        assert!(shown.contains(&format!("told by delivery {digest}")), "{shown}");
        assert!(!shown.contains("nobody is told"), "{shown}");
    }
    let shown = larum(&["deliveries", "show", digest, &store]);
    for alert in &alerts {
        let line = format!("    stands for alert {}  failure-burst\n", &alert.id.to_string()[..8]);
        assert!(shown.contains(&line), "{shown}");
    }
    let shown = larum(&["deliveries", "show", digest, &store, "--output", "json"]);
    let shown: Json = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["stands_for"][1]["alert"], "ab".repeat(16));
}

#[tokio::test]
async fn an_alert_of_which_nobody_is_told_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let fired = larum(&["replay", RULES, "--output", "json", "logins.ndjson"]);
    let fired: Alert = serde_json::from_str(fired.lines().next().unwrap()).unwrap();
    let of = |id: u8| Alert { id: AlertId([id; 16]), ..fired.clone() };
    let held = Alert { held_by: vec!["other".parse().unwrap()], ..of(2) };
    let alerts = [Alert { observe: true, ..of(1) }, held, of(3)];
    {
        let store = Sqlite::open(&path).unwrap();
        let fence = store.fence(fired.tenant.clone()).await.unwrap();
        let kept = alerts.iter().map(|alert| Change::Alert(Box::new(alert.clone())));
        store.commit(fence, kept.collect()).await.unwrap();
    }
    let store = format!("--store={}", path.display());
    let why = [
        ": the rule only observes",
        " yet: it is held back while another rule's alert is open",
        ": no route leads to a receiver",
    ];
    for (alert, why) in alerts.iter().zip(why) {
        let shown = larum(&["alerts", "show", &alert.id.to_string(), &store]);
        assert!(shown.ends_with(&format!("    nobody is told{why}\n")), "{shown}");
    }
}

#[tokio::test]
async fn commands_tell_tenants_apart_and_whose_a_lane_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let fired = larum(&["replay", RULES, "--output", "json", "logins.ndjson"]);
    let fired: Alert = serde_json::from_str(fired.lines().next().unwrap()).unwrap();
    {
        let store = Sqlite::open(&path).unwrap();
        for (number, tenant) in [(1, "alpha"), (2, "beta")] {
            let alert = Alert { id: AlertId([number; 16]), tenant: tenant.into(), ..fired.clone() };
            let fence = store.fence(alert.tenant.clone()).await.unwrap();
            let routes =
                Routes { routes: vec![Route { to: vec!["chat".parse().unwrap()], ..Route::default() }] };
            let owed = Routing { routes, ..Routing::default() }.owed(&alert, Timestamp(0));
            let origin = Origin::file(Mapping::default());
            let lane = Lane { id: SourceId(0), name: format!("{tenant}/in.ndjson"), origin };
            let known = Entry { seq: 1, at: Timestamp(0), event: Event::Known(lane) };
            let changes = [Change::Journal(known), Change::Alert(Box::new(alert))];
            store.commit(fence, changes.into_iter().chain(owed).collect()).await.unwrap();
        }
    }
    let store = format!("--store={}", path.display());
    let refused = |arguments: &[&str]| {
        let done = done(&[arguments, &[&store]].concat());
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let of = |tenant: &[&str]| {
        let deliveries = larum(&[&["deliveries", "--output", "json", &store], tenant].concat());
        let lines = deliveries.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let mut tenants: Vec<String> =
            lines.map(|line| line["tenant"].as_str().unwrap().to_owned()).collect();
        tenants.sort();
        tenants
    };
    assert_eq!(of(&[]), ["alpha", "beta"]);
    assert_eq!(of(&["--tenant", "beta"]), ["beta"]);
    assert_eq!(
        refused(&["deliveries", "--tenant", "gamma"]),
        (Some(2), "error: there is no tenant `gamma`; there are: alpha, beta\n".to_owned())
    );
    assert_eq!(
        refused(&["rows", "--tenant", "beta", "--lane", "alpha/in.ndjson"]),
        (
            Some(2),
            "error: lane `alpha/in.ndjson` is of tenant `alpha` and not of `beta`; `--tenant alpha` prints its rows\n"
                .to_owned()
        )
    );
    assert_eq!(
        refused(&["rows", "--tenant", "beta", "--lane", "beta/out"]),
        (Some(2), "error: the store knows no lane `beta/out`; known: beta/in.ndjson\n".to_owned())
    );
}

#[test]
fn a_restore_beside_a_daemon_says_which_runs_and_must_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larum.db");
    let _daemon = Sqlite::open(&path).unwrap();
    let done = done(&["restore", "backup.db", &format!("--store={}", path.display())]);
    let words = format!(
        "error: a daemon (process {}) runs on the store `{}`; stop it first, then restore and start it again\n",
        std::process::id(),
        path.display()
    );
    assert_eq!((done.status.code(), String::from_utf8(done.stderr).unwrap()), (Some(2), words));
}

/// Rules that time makes fire; in between come records that are hits as well.
const DEADLINES: [(&str, &str); 3] = [
    ("silent", "match: {outcome: success}\nabsent: {for: 30m, by: [user]}\n"),
    ("beside", "match: {outcome: success}\noverlap: {by: [user], for: 30m}\n"),
    (
        "unanswered",
        "sequence: {by: [user], within: 30m, steps: [{match: {outcome: failure}}, {absent: {client_name: gate}}]}\n",
    ),
];

#[test]
fn an_alert_that_time_raised_is_explained_at_its_own_time_whatever_came_between() {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in DEADLINES {
        let rule = format!("rule: {name}\ntitle: {name}\nlevel: low\n{body}");
        std::fs::write(folder.path().join(format!("{name}.yaml")), rule).unwrap();
    }
    let mut minutes: Vec<(u32, &str)> = vec![(0, "success"), (1, "success"), (2, "failure")];
    // More than are told beside the one that is asked for.
    minutes.extend((3..20).map(|minute| (minute, "failure")));
    minutes.extend([(21, "success"), (59, "success")]);
    let rows = minutes.into_iter().map(|(minute, outcome)| {
        format!(
            r#"{{"id":"{minute}","kind":"login","user_name":"ana","outcome":"{outcome}","start_time":"2026-01-05T09:{minute:02}:00Z"}}"#
        ) + "\n"
    });
    let file = folder.path().join("rows.ndjson");
    std::fs::write(&file, rows.collect::<String>()).unwrap();
    let (rules, file) = (format!("--rules={}", folder.path().display()), file.to_str().unwrap());
    let alerts = larum(&["replay", &rules, "--output", "json", file]);
    let alerts: Vec<Alert> = alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, _) in DEADLINES {
        assert!(alerts.iter().any(|alert| alert.rule.as_str() == name), "{name} fired");
    }
    for alert in alerts {
        let (id, at) = (alert.id.to_string(), alert.at.to_string());
        let asked = ["explain", alert.rule.as_str(), &rules, "--group", "user=ana", "--at", &at, file];
        for text in [larum(&asked), larum(&["explain", &id, &rules, file])] {
            let head = format!("{} for user ana at {at}: fired\n  fired  alert {id} at {at}\n", alert.rule);
            assert!(text.starts_with(&head), "{head}{text}");
        }
    }
}

#[test]
fn the_silence_of_somebody_who_is_only_listed_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "rule: silent\ntitle: silent\nlevel: low\nmatch: {outcome: success}\nabsent: {for: 30m, by: [user], from: people}\n";
    let row = |id: u32, hour: u32| {
        format!(
            r#"{{"id":"{id}","kind":"login","user_name":"ana","outcome":"success","start_time":"2026-01-05T{hour:02}:00:00Z"}}"#
        ) + "\n"
    };
    let rows = [row(1, 9), row(2, 12)].concat();
    for (name, text) in [("silent.yaml", rule), ("rows.ndjson", &rows), ("people.txt", "eve\n")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = folder.path().join("rows.ndjson");
    let (rules, lists) = (
        format!("--rules={}", folder.path().join("silent.yaml").display()),
        format!("--lists=people={}", folder.path().join("people.txt").display()),
    );
    let asked = |at: &str| {
        let asked = ["explain", "silent", &rules, &lists, "--group", "user=eve", "--at", at];
        larum(&[&asked[..], &[file.to_str().unwrap()]].concat())
    };
    let at = "2026-01-05T09:30:00.000Z";
    for when in [at, "2026-01-05T11:00:00.000Z"] {
        let text = asked(when);
        assert!(
            text.starts_with(&format!("silent for user eve at {when}: fired\n  fired  alert ")),
            "{text}"
        );
        assert!(text.contains(&format!(" at {at}\n")) && text.contains("found: silent 30m"), "{text}");
    }
    assert!(asked("2026-01-05T09:29:59Z").contains(": did not fire\n"));
}
