//! `larum export` by the binary, against the simulated service: the file that it makes, and what is
//! written beside it.

use std::path::Path;

use larum::daemon::clock::Clock;
use larum::record::{Millis, Timestamp};
use larum::simulate::{Options, Server, Trouble, What, World};
use serde_json::Value;

const LARUM: &str = env!("CARGO_BIN_EXE_larum");

/// The service, at our own time, with two logins of half an hour ago.
async fn service(folder: &Path) -> Server {
    service_at(folder, Clock::wall().now()).await
}

/// The same where it is `now` by its own clock.
async fn service_at(folder: &Path, now: Timestamp) -> Server {
    let clock = Clock::wall();
    let at = now - Millis::mins(30);
    let row = |id: u32, user: &str| {
        format!(r#"{{"id": "{id}", "connect_type": "2", "user_name": "{user}", "start_time": "{at}"}}"#)
    };
    let rows = [row(1, "ana"), row(2, "bob")];
    let world = World::of_lines(7, rows.iter().map(String::as_str)).unwrap();
    let options = Options { start: Some(now), ..Options::new(move || clock.now()) };
    let server = Server::start(world, options).await.unwrap();
    let url = server.url();
    let text = format!(
        "store: larum.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    region: cn-north-4\n    \
         project_id: {}\n    credentials: {{ak: file:ak, sk: file:sk}}\n    \
         base_url: {{workspace: \"{url}\", workspaceapp: \"{url}\"}}\nreceivers:\n  - {{name: out, kind: stdout}}\n\
         routes:\n  - {{match: {{}}, to: [out]}}\n",
        Options::PROJECT_ID
    );
    std::fs::create_dir(folder.join("rules")).unwrap();
    for (name, text) in [("ak", Options::AK), ("sk", Options::SK), ("larum.yaml", &text)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    server
}

/// What a command says to stdout and stderr, and how it ends.
async fn larum(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(LARUM);
    command.current_dir(folder).arg("export").args(arguments);
    // The service answers meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn hours_ago(hours: i64) -> String {
    (Clock::wall().now() - Millis::hours(hours)).to_string()
}

#[expect(clippy::disallowed_methods, reason = "a test looks at what was written")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn manifest(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&read(&folder.join(name))).unwrap()
}

fn begun(server: &Server) -> usize {
    server.seen().iter().filter(|seen| seen.request.contains("/user-connection/export")).count()
}

#[tokio::test]
async fn an_export_is_a_file_named_by_its_bytes_and_a_manifest_that_tells_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let _server = service(folder.path()).await;
    let from = hours_ago(2);
    let (code, said, notes) =
        larum(folder.path(), &["logins", "user_name=ana", "--from", &from, "-o", "evidence"]).await;
    assert_eq!(code, Some(0), "{notes}");
    let bytes = read(&folder.path().join("evidence.xlsx"));
    assert!(bytes.starts_with(b"PK"));
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let digest = digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(said, format!("evidence.xlsx  {} bytes  sha256 {digest}\n", bytes.len()));
    let manifest = manifest(folder.path(), "evidence.manifest.json");
    assert_eq!(manifest["file"]["sha256"], digest);
    assert_eq!((&manifest["what"], &manifest["region"]), (&"logins".into(), &"cn-north-4".into()));
    assert_eq!(manifest["filters"], serde_json::json!([["user_name", "ana"]]));
    assert!(
        manifest["task_id"].is_string() && manifest["from"].as_str().unwrap().parse::<Timestamp>().is_ok()
    );
    assert!(!manifest.to_string().contains(Options::SK));
}

#[tokio::test]
async fn a_task_that_was_left_is_gone_on_with_and_none_is_begun_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = service(folder.path()).await;
    server.trouble(Trouble::once(What::ExportLingers { looks: 1 })).unwrap();
    let (from, to) = (hours_ago(2), hours_ago(0));
    let arguments = ["logins", "--from", &from, "--to", &to, "-o", "evidence.xlsx"];
    let (code, _, notes) = larum(folder.path(), &[&arguments[..], &["--wait", "1s"]].concat()).await;
    assert_eq!(code, Some(2));
    assert!(
        notes.contains("is not ready: it is still being made after 1s; the same command with `--task"),
        "{notes}"
    );
    let task = manifest(folder.path(), "evidence.xlsx.manifest.json")["task_id"].as_str().unwrap().to_owned();
    assert!(!folder.path().join("evidence.xlsx").exists());
    let (code, _, notes) = larum(folder.path(), &arguments).await;
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains(&format!("goes on with task {task}")), "{notes}");
    assert_eq!(begun(&server), 1);
    // What is there is not written over.
    let (code, _, notes) = larum(folder.path(), &arguments).await;
    assert_eq!(code, Some(2));
    assert!(notes.contains("`evidence.xlsx` is there already; name another file"), "{notes}");
    // A task that was downloaded can be had again by its id.
    let again = ["logins", "--from", &from, "--to", &to, "-o", "again", "--task", &task];
    let (code, _, notes) = larum(folder.path(), &again).await;
    assert_eq!(code, Some(0), "{notes}");
    assert_eq!(read(&folder.path().join("again.xlsx")), read(&folder.path().join("evidence.xlsx")));
    assert_eq!(begun(&server), 1);
}

#[tokio::test]
async fn what_cannot_be_had_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = service(folder.path()).await;
    let from = hours_ago(2);
    let old = hours_ago(24 * 31);
    for (arguments, told) in [
        (vec!["logins", "--from", &old], "the service keeps 30d; nothing before "),
        (
            vec!["logins", "client_ip=10.0.0.1", "--from", &from],
            "the service cannot be asked by `client_ip` here",
        ),
        (vec!["sessions", "is_success=yes", "--from", &from], "`is_success` takes true or false, not `yes`"),
        (vec!["logins", "--from", &from, "--source", "other"], "with --source; known: prod"),
        (vec!["logins", "--from", &from, "--task", "../x"], "the id of a task has 1 to 64 letters"),
        (vec!["logins", "--from", &from, "--task", "nobody"], "the service knows no task nobody"),
    ] {
        let (code, _, notes) = larum(folder.path(), &[&arguments[..], &["-o", "evidence"]].concat()).await;
        assert_eq!(code, Some(2));
        assert!(notes.contains(told), "{notes}");
    }
    assert_eq!(begun(&server), 0);
    server.trouble(Trouble::once(What::ExportFails {})).unwrap();
    let (code, _, notes) = larum(folder.path(), &["logins", "--from", &from, "-o", "failed"]).await;
    assert_eq!(code, Some(2));
    assert!(
        notes.contains("the service could not make the file: The requested operation failed."),
        "{notes}"
    );
    server.trouble(Trouble::once(What::ExportExpires {})).unwrap();
    let (code, _, notes) = larum(folder.path(), &["logins", "--from", &from, "-o", "expired"]).await;
    assert_eq!(code, Some(2));
    assert!(notes.contains("no longer; begin another one"), "{notes}");
    std::fs::write(folder.path().join("sk"), "another").unwrap();
    let before = server.seen().len();
    let (code, _, notes) = larum(folder.path(), &["sessions", "--from", &from, "-o", "refused"]).await;
    assert_eq!(code, Some(2));
    assert!(notes.contains("the secret key does not belong to the access key"), "{notes}");
    assert_eq!(server.seen().len(), before + 1, "a key that is refused is tried once");
}

#[tokio::test]
async fn what_can_be_had_goes_by_the_services_clock() {
    let folder = tempfile::tempdir().unwrap();
    // Half a year behind ours, as the clock of a simulated service may be.
    let there = Clock::wall().now() - Millis::days(180);
    let server = service_at(folder.path(), there).await;
    let (from, to) = ((there - Millis::hours(2)).to_string(), (there + Millis::hours(1)).to_string());
    let (code, told, notes) =
        larum(folder.path(), &["logins", "--from", &from, "--to", &to, "-o", "evidence"]).await;
    assert_eq!(code, Some(0), "{notes}");
    assert!(told.starts_with("evidence.xlsx  "), "{told}");
    assert_eq!(begun(&server), 1);
    let old = (there - Millis::days(31)).to_string();
    let (code, _, notes) = larum(folder.path(), &["logins", "--from", &old, "--to", &to, "-o", "old"]).await;
    assert_eq!(code, Some(2));
    assert!(notes.contains("the service keeps 30d; nothing before "), "{notes}");
}
