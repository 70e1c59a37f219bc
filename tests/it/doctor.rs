//! What an operator asks before the daemon runs: `doctor` and `send-test`, by the binary, against
//! the simulated service.

use std::path::Path;

use larum::daemon::clock::Clock;
use larum::record::Timestamp;
use larum::simulate::{Options, Server, Trouble, What, World};

const LARUM: &str = env!("CARGO_BIN_EXE_larum");

/// The service, at our own time, with one desktop login of half an hour ago.
async fn service() -> Server {
    let clock = Clock::wall();
    let now = clock.now();
    let at = Timestamp(now.0 - 30 * 60_000);
    let row = format!(
        r#"{{"transaction_id": "t1", "computer_name": "D", "user_name": "ana", "connection_start_time": "{at}"}}"#
    );
    let world = World::of_lines(7, [row.as_str()]).unwrap();
    Server::start(world, Options { start: Some(now), ..Options::new(move || clock.now()) }).await.unwrap()
}

fn configuration(folder: &Path, url: &str, more: &str) {
    let text = format!(
        "store: larum.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    region: cn-north-4\n    \
         project_id: {}\n    credentials: {{ak: file:ak, sk: file:sk}}\n    \
         base_url: {{workspace: \"{url}\", workspaceapp: \"{url}\"}}\nreceivers:\n  - {{name: out, kind: stdout}}\n\
         {more}routes:\n  - {{match: {{}}, to: [out]}}\n",
        Options::PROJECT_ID
    );
    std::fs::create_dir(folder.join("rules")).unwrap();
    for (name, text) in [("ak", Options::AK), ("sk", Options::SK), ("larum.yaml", &text)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(
        folder.join("rules/one.yaml"),
        "rule: one\ntitle: T\nlevel: low\nmatch: {outcome: failure}\n",
    )
    .unwrap();
}

/// What a command says and how it ends; the port and the folder left out.
async fn larum(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    larum_in(folder, arguments, &[]).await
}

/// The same with more in the environment.
async fn larum_in(folder: &Path, arguments: &[&str], more: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(LARUM);
    command.current_dir(folder).args(arguments).envs(more.iter().copied());
    // The service answers meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// What a command said without what differs from run to run.
fn steady(said: &str, server: &Server) -> String {
    let said = said.replace(&server.address().to_string(), "[HOST]").replace(Options::PROJECT_ID, "PROJECT");
    let mut parts = said.split("the newest of ");
    let first = parts.next().unwrap().to_owned();
    let time = "2026-01-05T09:00:00.000Z".len();
    parts.fold(first, |text, part| format!("{text}the newest of [TIME]{}", &part[time..]))
}

#[tokio::test]
async fn a_configuration_that_works_is_said_to_work() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    insta::assert_snapshot!(steady(&said, &server), @r"
    source prod
      -     asks with an access key for PROJECT
      ok    [HOST] answers, and its clock is ours
      ok    desktop_logins: credentials accepted, `workspace:connections:securityList` allowed, 1 row in the last hour, the newest of [TIME]
      -     desktop_logins: its rows never hold failed_code, app_name, session_state, event_type; of 1 row that came none holds public_ip, client_ip, client_mac, failed_reason, network_rtt, e2e_rtt, end_time
      ok    app_logins: credentials accepted, `workspace:session:listUserConnection` allowed, 0 rows in the last hour
      -     app_logins: its rows never hold network_rtt, e2e_rtt, app_name, session_state, event_type
      ok    app_launches: credentials accepted, `workspace:session:listAppConnection` allowed, 0 rows in the last hour
      -     app_launches: its rows never hold network_rtt, e2e_rtt, session_state, event_type
      -     how late rows appear is measured by the daemon, and none runs
    receiver out
      ok    kind stdout, ready; `larum send-test out` shows whether a message arrives
    store larum.db
      ok    is not there yet, and can be made
    no faults
    ");
    assert_eq!(code, Some(0));
    assert_eq!(server.seen().len(), 3, "one question each");
    assert!(!folder.path().join("larum.db").exists(), "nothing is changed");
}

#[tokio::test]
async fn a_refused_key_is_asked_with_once() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    std::fs::write(folder.path().join("sk"), "another secret").unwrap();
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    insta::assert_snapshot!(steady(&said, &server), @r"
    source prod
      -     asks with an access key for PROJECT
      ok    [HOST] answers, and its clock is ours
      FAIL  desktop_logins: credentials refused: the service answered 401: APIGW.0301 Incorrect IAM authentication information: verify aksk signature fail, … (the echo of the request is left out); the secret key does not belong to the access key: check `credentials`; nothing more is asked until they change
      -     app_logins: not asked, because the credentials were refused; needs `workspace:session:listUserConnection`
      -     app_launches: not asked, because the credentials were refused; needs `workspace:session:listAppConnection`
      -     how late rows appear is measured by the daemon, and none runs
    receiver out
      ok    kind stdout, ready; `larum send-test out` shows whether a message arrives
    store larum.db
      ok    is not there yet, and can be made
    1 fault
    ");
    assert_eq!(code, Some(1));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_is_not_allowed_is_named_with_the_action_to_allow() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    server.trouble(Trouble::once(What::Forbidden {})).unwrap();
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    assert_eq!(code, Some(1));
    let fault: Vec<&str> = said.lines().filter(|line| line.contains("FAIL")).collect();
    assert_eq!(fault.len(), 1, "{said}");
    assert!(
        fault[0].contains("desktop_logins") && fault[0].contains("`workspace:connections:securityList`"),
        "{said}"
    );
}

#[tokio::test]
async fn a_limit_that_is_met_is_told_as_the_service_tells_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    let throttled = What::Throttled { limit: 5, time: 5, retry_after: None };
    server.trouble(Trouble::once(throttled)).unwrap();
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    assert_eq!(code, Some(1));
    let fault: Vec<&str> = said.lines().filter(|line| line.contains("FAIL")).collect();
    assert!(
        fault.len() == 1 && fault[0].contains("its limit is met: ") && fault[0].contains("limit:"),
        "{said}"
    );
}

#[tokio::test]
async fn a_project_that_is_not_written_is_looked_up_and_told() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    let url = server.url();
    configuration(folder.path(), &url, "");
    let path = folder.path().join("larum.yaml");
    #[expect(clippy::disallowed_methods, reason = "a test changes its own file")]
    let text = std::fs::read_to_string(&path).unwrap();
    let line = format!("    project_id: {}\n", Options::PROJECT_ID);
    let text = text.replace(&line, "").replace("base_url: {", &format!("base_url: {{iam: \"{url}\", "));
    std::fs::write(&path, text).unwrap();
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("asks with an access key for {}", Options::PROJECT_ID)), "{said}");
}

#[tokio::test]
async fn a_service_that_is_not_there_and_a_store_that_is_taken_are_faults() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    server.stop().await;
    let store = larum::store::sqlite::Sqlite::open(&folder.path().join("larum.db")).unwrap();
    let (code, said) = larum(folder.path(), &["doctor"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot be reached: "), "{said}");
    assert!(said.contains("  FAIL  another process has it\n"), "{said}");
    drop(store);
}

#[tokio::test]
async fn a_test_message_is_sent_where_no_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mail =
        "  - {name: mail, kind: email, smtp: file:mail, from: larum@example.com, to: [soc@example.com]}\n";
    configuration(folder.path(), "http://127.0.0.1:1", mail);
    let (code, said) = larum(folder.path(), &["send-test", "mail"]).await;
    let sent = "mail took the test message; no daemon runs: this command sent it, and a file that it made for that \
                is yours\n";
    assert_eq!((code, said.as_str()), (Some(0), sent));
    let letters: Vec<_> = std::fs::read_dir(folder.path().join("mail")).unwrap().collect();
    assert_eq!(letters.len(), 1);
    let (code, said) = larum(folder.path(), &["send-test", "pager"]).await;
    assert_eq!((code, said.as_str()), (Some(2), "error: there is no receiver `pager`; known: out, mail\n"));
}

/// A proxy that refuses everything; what it was asked.
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

#[tokio::test]
async fn no_proxy_of_the_environment_is_taken_unless_the_configuration_asks_for_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), service().await);
    configuration(folder.path(), &server.url(), "");
    let (url, asked) = proxy().await;
    let environment = [("HTTP_PROXY", url.as_str()), ("http_proxy", &url), ("ALL_PROXY", &url)];
    let (code, said) = larum_in(folder.path(), &["doctor"], &environment).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((server.seen().len(), asked.lock().unwrap().len()), (3, 0));

    let path = folder.path().join("larum.yaml");
    #[expect(clippy::disallowed_methods, reason = "a test changes its own file")]
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&server.url(), "https://service.example") + "proxy: environment\n")
        .unwrap();
    let environment = [("HTTPS_PROXY", url.as_str())];
    let (code, said) = larum_in(folder.path(), &["doctor"], &environment).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(asked.lock().unwrap()[0], "CONNECT service.example:443 HTTP/1.1", "{said}");
    let (code, said) =
        larum_in(folder.path(), &["check"], &[("HTTPS_PROXY", "socks5://u:hunter2@proxy")]).await;
    assert_eq!(code, Some(0), "only a configuration asks for it: {said}");
    let arguments = ["check", "--config", "larum.yaml"];
    let (code, said) =
        larum_in(folder.path(), &arguments, &[("HTTPS_PROXY", "socks5://u:hunter2@proxy")]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("`HTTPS_PROXY` in the environment names no proxy") && !said.contains("hunter2"),
        "{said}"
    );
}
