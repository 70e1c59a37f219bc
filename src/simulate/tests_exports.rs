//! Sessions, user events, and what is exported.

use serde_json::{Value, json};

use super::tests_tools::{LOGINS, Service, TOKEN, body, day, header, ids, login, rows, time};
use super::{Answer, List, Request, Target, Trouble, What};
use crate::record::Millis;

const SESSIONS: &str = "/v1/0123456789abcdef0123456789abcdef/session/list-sessions";
const EVENTS: &str = "/v2/0123456789abcdef0123456789abcdef/user-events";
const TASKS: &str = "/v2/0123456789abcdef0123456789abcdef/export-tasks";
const WINDOW: &str = "query_begin_time=2023-06-05T00:00:00.000Z&query_end_time=2023-06-06T00:00:00.000Z";

fn session(id: &str, user: &str, start: &str, end: &str, code: &str) -> String {
    json!({"id": id, "login_user": user, "session_state": "SignedOut", "start_time": day(start),
        "end_time": day(end), "last_update_status_time": day(end), "failed_code": code, "vm_ip": "10.0.0.1"})
    .to_string()
}

fn event(id: &str, user: &str, at: &str, kind: &str) -> String {
    json!({"event_trace_id": id, "username": user, "event_time": day(at), "event_type": kind,
        "is_success": true})
    .to_string()
}

fn service() -> Service {
    Service::of(&[
        login("1", "09:00:00", "09:30:00"),
        login("2", "09:10:00", ""),
        session("s1", "ana@corp.example", "09:00:00", "17:00:00", ""),
        session("s2", "bob@corp.example", "09:10:00", "09:20:00", "500"),
        event("e1", "ana", "08:59:00", "USER_LOGIN"),
        event("e2", "bob@corp.example", "09:09:00", "USER_LOGOUT"),
    ])
}

fn fault(answer: &Answer) -> String {
    format!("{} {}", answer.status, body(answer)["error_msg"].as_str().unwrap())
}

#[test]
fn sessions_are_listed_by_what_they_are_and_are_active_until_they_end() {
    let mut service = service();
    let ask = |service: &mut Service, more: &str| ids(&service.get(&format!("{SESSIONS}?{WINDOW}{more}")));
    assert_eq!(ask(&mut service, ""), ["s2", "s1"]);
    assert_eq!(ask(&mut service, "&user_name=ana%40corp.example"), ["s1"]);
    assert_eq!(ask(&mut service, "&is_success=false"), ["s2"]);
    assert_eq!(ask(&mut service, "&is_success=true"), ["s1"]);
    assert_eq!(ask(&mut service, "&session_state=Active,SignedOut&limit=1"), ["s2"]);
    assert_eq!(ask(&mut service, "&session_state=Active"), [""; 0]);
    let early = rows(&service.at("09:15:00").get(&format!("{SESSIONS}?{WINDOW}")));
    let open = json!({"id": "s1", "login_user": "ana@corp.example", "session_state": "Active",
        "start_time": day("09:00:00"), "last_update_status_time": day("09:00:00"), "failed_code": "",
        "vm_ip": "10.0.0.1"});
    assert_eq!(early[1], open);
}

#[test]
fn sessions_and_events_are_refused_without_a_window() {
    let mut service = service();
    assert_eq!(
        fault(&service.get(SESSIONS)),
        "400 The parameter is invalid. query_begin_time and query_end_time are required."
    );
    assert_eq!(
        fault(&service.get(&format!("{EVENTS}?start_time=2023-06-05T00:00:00Z"))),
        "400 The parameter is invalid. start_time and end_time are given both or not at all."
    );
    assert_eq!(
        fault(&service.get(&format!("{SESSIONS}?{WINDOW}&is_success=maybe"))),
        "400 The parameter is invalid. is_success is neither true nor false."
    );
}

#[test]
fn the_open_sessions_of_one_user_have_spaced_times_and_an_end_in_the_year_one() {
    let mut service = service();
    let path = "/v1/0123456789abcdef0123456789abcdef/session/user-session-info";
    let told = body(&service.at("09:15:00").get(&format!("{path}?user_name=ana@corp.example")));
    let sessions = told["session_info_list"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["start_time"]), (1, &json!("2023-06-05 09:00:00")));
    assert_eq!(sessions[0]["end_time"], "0001-01-01 00:00:00");
    let over = body(&service.at("18:00:00").get(&format!("{path}?user_name=ana@corp.example")));
    assert_eq!(over["session_info_list"], json!([]));
    assert_eq!(service.get(path).status, 400);
}

#[test]
fn user_events_are_listed_by_user_type_and_domain() {
    let mut service = service();
    let mut ask = |more: &str| -> Vec<Value> {
        let window = "start_time=2023-06-05T00:00:00Z&end_time=2023-06-06T00:00:00Z";
        let answer = service.get(&format!("{EVENTS}?{window}{more}"));
        rows(&answer).into_iter().map(|row| row["event_trace_id"].clone()).collect()
    };
    assert_eq!(ask(""), ["e2", "e1"]);
    assert_eq!(ask("&username=ana"), ["e1"]);
    assert_eq!(ask("&event_type=USER_LOGIN,OTHER"), ["e1"]);
    assert_eq!(ask("&domain=CORP.example"), ["e2"]);
}

/// Begins an export and gives its task's id.
fn begin(service: &mut Service, path: &str, wanted: &str) -> String {
    let answer = service.post(path, wanted);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    body(&answer)["task_id"].as_str().unwrap().to_owned()
}

fn tasks(service: &mut Service, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("{TASKS}?{query}"));
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let body = body(&answer);
    let tasks = body["export_tasks"].as_array().unwrap().clone();
    assert!(body["count"].as_u64().unwrap() >= tasks.len() as u64);
    tasks
}

#[test]
fn an_export_is_made_at_the_first_look_done_at_the_second_and_downloaded() {
    let mut service = service();
    let id = begin(&mut service, &format!("{LOGINS}/export"), r#"{"id": "2"}"#);
    let by_id = format!("task_id={id}");
    let early = service.get(&format!("{TASKS}/{id}/download"));
    assert_eq!(fault(&early), "400 The parameter is invalid. The export task is CREATING.");
    let first = tasks(&mut service, &by_id);
    let made = json!({"task_id": id, "file_name": "user_connection_20230605200000.xlsx", "status": "CREATING",
        "create_time": "2023-06-05T20:00:00.000Z", "is_download": false});
    assert_eq!(first, [made]);
    let second = tasks(&mut service, &by_id);
    assert_eq!(
        (&second[0]["status"], &second[0]["end_time"]),
        (&json!("SUCCESS"), &json!("2023-06-05T20:00:00.000Z"))
    );
    let file = service.get(&format!("{TASKS}/{id}/download"));
    assert_eq!((file.status, file.content_type), (200, "application/octet-stream"));
    assert_eq!(
        header(&file, "content-disposition"),
        Some("attachment; filename=user_connection_20230605200000.xlsx")
    );
    let text = String::from_utf8_lossy(&file.body);
    assert!(
        text.starts_with("PK\u{3}\u{4}") && text.contains(">2</t>") && !text.contains("09:30:00"),
        "{text}"
    );
    assert_eq!(tasks(&mut service, &by_id), [Value::Null; 0], "what was downloaded is asked for by name");
    assert_eq!(tasks(&mut service, &format!("{by_id}&is_download=true"))[0]["is_download"], true);
    service.simulation.clock().set(time("20:00:00") + Millis::days(7), service.wall);
    assert_eq!(tasks(&mut service, &format!("{by_id}&is_download=true"))[0]["status"], "EXPIRED");
}

#[test]
fn exports_fail_linger_expire_and_are_throttled_when_they_are_asked_to() {
    let mut service = service();
    let path = format!("{SESSIONS}/export");
    for what in [What::ExportFails {}, What::ExportExpires {}, What::ExportLingers { looks: 2 }] {
        service.simulation.troubles().add(Trouble::once(what)).unwrap();
        begin(&mut service, &path, r#"{"is_success": "true"}"#);
        break_off(&mut service);
    }
    let looks: Vec<Vec<Value>> = (0..4)
        .map(|_| tasks(&mut service, "limit=100").into_iter().map(|task| task["status"].clone()).collect())
        .collect();
    assert_eq!(looks[0], ["CREATING", "CREATING", "CREATING"]);
    assert_eq!(looks[1], ["FAIL", "EXPIRED", "CREATING"]);
    assert_eq!(looks[3], ["FAIL", "EXPIRED", "SUCCESS"]);
    let failed = &tasks(&mut service, "status=FAIL")[0];
    assert_eq!(failed["error_code"], "WKS.00211401");
    let newest = tasks(&mut service, "sort_type=DESC&sort_field=create_time&limit=1");
    assert_eq!(newest[0]["status"], "SUCCESS");
    service.simulation.troubles().add(Trouble::once(What::Unavailable {}).of(Target::Exports)).unwrap();
    assert_eq!(service.post(LOGINS, "{}").status, 200);
    assert_eq!(service.get(TASKS).status, 503);
    assert_eq!(service.get(TASKS).status, 200);
}

/// Nothing that stands for lists touches an export.
fn break_off(service: &mut Service) {
    service.simulation.troubles().add(Trouble::once(What::Internal {})).unwrap();
    assert_eq!(service.get(&format!("{TASKS}?task_id=nobody")).status, 200);
    assert_eq!(service.post(LOGINS, "{}").status, 500);
}

#[test]
fn desktops_are_exported_by_the_older_path_at_once_and_by_the_newer_as_a_task() {
    let desktop = super::tests_tools::desktop("d1", "09:00:00", "ana@corp.example", 20);
    let mut service = Service::of(&[desktop]);
    let project = "0123456789abcdef0123456789abcdef";
    let file = service.get(&format!("/v2/{project}/connections/desktops/export?language=en_US"));
    assert!(file.body.starts_with(b"PK"));
    let newer = format!("/v3/{project}/desktops/connections/export");
    assert_eq!(
        fault(&service.get(&newer)),
        "400 The parameter is invalid. start_time and end_time are required."
    );
    let window = "start_time=2023-06-05T09:00:00Z&end_time=2023-06-05T09:00:01Z&max_e2e_rtt=19";
    let begun = service.get(&format!("{newer}?{window}"));
    let id = body(&begun)["task_id"].as_str().unwrap().to_owned();
    (0..2).for_each(|_| drop(tasks(&mut service, "")));
    let file = service.get(&format!("{TASKS}/{id}/download"));
    assert!(!String::from_utf8_lossy(&file.body).contains("ana"), "it was too slow");
}

#[test]
fn tasks_are_deleted_by_their_ids() {
    let mut service = service();
    let id = begin(&mut service, &format!("{LOGINS}/export"), "");
    let delete = format!("{TASKS}/batch-delete");
    assert_eq!(
        fault(&service.post(&delete, "{}")),
        "400 The parameter is invalid. task_ids is no list of 1 to 200 texts."
    );
    let done = service.post(&delete, &json!({"task_ids": [id]}).to_string());
    assert_eq!((done.status, done.body.as_slice()), (200, &b""[..]));
    assert_eq!(tasks(&mut service, ""), [Value::Null; 0]);
}

#[test]
fn hosts_that_are_apart_know_nothing_of_each_others_paths() {
    let mut service = service();
    let mut status = |host: super::Service, method: &str, target: &str| {
        let headers = [("X-Auth-Token".to_owned(), TOKEN.to_owned())];
        let request =
            Request { method, target, headers: &headers, body: b"{}", local: true, host: Some(host) };
        service.simulation.answer(&request, service.wall).status
    };
    for (host, logins, events) in
        [(super::Service::Workspace, 404, 200), (super::Service::WorkspaceApp, 200, 404)]
    {
        assert_eq!(status(host, "POST", LOGINS), logins);
        let window = "start_time=2023-06-05T00:00:00Z&end_time=2023-06-06T00:00:00Z";
        assert_eq!(status(host, "GET", &format!("{EVENTS}?{window}")), events);
        assert_eq!(status(host, "GET", "/v3/projects"), 200);
    }
    assert_eq!(List::ALL.len(), 5);
}
