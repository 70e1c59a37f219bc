//! The vendor's own Python clients against the simulated service: what they are told is what the
//! service would tell them, and they can be told who they are in every way that they know.
//!
//! They are run by the Python that `LARUM_SDK_PYTHON` names, else `LARUM_PYTHON`, else `python3`. Where
//! they are missing the test says so and proves nothing; with `LARUM_CI=1` it fails.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use larum::record::Timestamp;
use larum::simulate::{Options, Server, World};
use serde_json::{Value as Json, json};

/// What the script brings in; one word each for `import`.
const MODULES: &str = "import huaweicloudsdkcore, huaweicloudsdkworkspace.v2, huaweicloudsdkworkspaceapp.v1";

#[expect(clippy::disallowed_methods, reason = "which Python runs the clients is the machine's matter")]
fn python() -> Option<String> {
    let named = std::env::var("LARUM_SDK_PYTHON").or_else(|_| std::env::var("LARUM_PYTHON"));
    let python = named.unwrap_or_else(|_| "python3".to_owned());
    let home = tempfile::tempdir().unwrap();
    // On import an application id is written under the home folder.
    let found =
        Command::new(&python).args(["-c", MODULES]).env("HOME", home.path()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let told = format!(
        "NOT TESTED: `{python}` has not huaweicloudsdkcore, huaweicloudsdkworkspace and \
         huaweicloudsdkworkspaceapp; install them, or set LARUM_SDK_PYTHON"
    );
    assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
    println!("{told}");
    None
}

fn day(time: &str) -> String {
    format!("2023-06-05T{time}Z")
}

/// A few rows of every list.
fn world() -> World {
    let desktop = |id: &str, at: &str| {
        json!({"transaction_id": id, "computer_name": "D", "user_name": "ana@corp.example",
            "connection_start_time": day(at), "is_reconnect": false, "network_rtt": 20})
    };
    let login = |id: &str, at: &str, user: &str| json!({"id": id, "connect_type": "2", "user_name": user, "start_time": day(at), "failed_code": ""});
    let session = |id: &str, user: &str, code: &str| {
        json!({"id": id, "login_user": user, "session_state": "SignedOut", "start_time": day("09:00:00"),
            "end_time": day("09:30:00"), "failed_code": code})
    };
    let rows = [
        desktop("d1", "09:00:00"),
        desktop("d2", "09:05:00"),
        login("1", "09:00:00", "ana@corp.example"),
        login("2", "09:10:00", "ana@corp.example"),
        login("3", "09:20:00", "bob@corp.example"),
        json!({"id": "l1", "app_name": "Office-Notepad++", "app_group_id": "1", "brokering_time": day("09:01:00")}),
        session("s1", "ana@corp.example", ""),
        session("s2", "bob@corp.example", "500"),
        json!({"event_trace_id": "e1", "username": "ana", "event_type": "USER_LOGIN",
            "event_time": day("08:59:00"), "is_success": true}),
    ];
    let lines: Vec<String> = rows.iter().map(Json::to_string).collect();
    World::of_lines(7, lines.iter().map(String::as_str)).unwrap()
}

fn run(python: &str, server: &Server) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk.py");
    let mut command = Command::new(python);
    command.arg(script).args([server.url(), server.app_url()]).stdin(Stdio::null());
    for (name, value) in [
        ("AK", Options::AK),
        ("SK", Options::SK),
        ("PROJECT", Options::PROJECT_ID),
        ("TEMPORARY_AK", Options::TEMPORARY_AK),
        ("TEMPORARY_SK", Options::TEMPORARY_SK),
        ("SECURITY_TOKEN", Options::SECURITY_TOKEN),
    ] {
        command.env(name, value);
    }
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_own_clients_cannot_tell_the_simulated_service_from_theirs() {
    let Some(python) = python() else { return };
    let clock = larum::daemon::clock::Clock::wall();
    let options = Options {
        speed: 0,
        start: Some("2023-06-05T20:00:00Z".parse::<Timestamp>().unwrap()),
        listen_app: Some(([127, 0, 0, 1], 0).into()),
        ..Options::new(move || clock.now())
    };
    let server = Server::start(world(), options).await.unwrap();
    // The service answers meanwhile.
    let (output, server) =
        tokio::task::spawn_blocking(move || (run(&python, &server), server)).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let claims: Vec<Json> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let broken: Vec<&Json> = claims.iter().filter(|claim| claim["held"] != true).collect();
    assert!(broken.is_empty(), "{broken:#?}\n{stderr}");
    assert!(output.status.success(), "{stderr}");
    assert_eq!(claims.len(), 2 * 13 + 2 + 8, "{stdout}");
    // Each operation was asked for.
    let requests = server.state()["requests"].clone();
    for name in [
        "desktop_logins",
        "app_logins",
        "app_launches",
        "sessions",
        "user_events",
        "exports",
        "export_tasks",
        "projects",
        "metadata",
    ] {
        assert!(requests[name].as_u64() > Some(0), "{name}: {requests}");
    }
}
