//! Rows, when they are there, and how they are asked for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tests_tools::{
    DESKTOPS, LAUNCHES, LOGINS, Service, WALL, beside, body, desktop, header, ids, login, rows, time,
};
use super::world::MAX_LAG;
use super::{Answer, List, Options, Simulation, World, office};
use crate::record::Millis;

fn three() -> Service {
    Service::of(&[
        login("1", "09:00:00", "09:30:00"),
        login("2", "09:10:00", ""),
        login("3", "09:20:00", "17:00:00"),
        desktop("d1", "09:00:00", "ana@corp.example", 20),
        desktop("d2", "09:00:30", "bob@other.example", 400),
    ])
}

fn window(from: &str, to: &str) -> String {
    format!(r#"{{"login_start_time": "2023-06-05T{from}Z", "login_end_time": "2023-06-05T{to}Z"}}"#)
}

fn fault(answer: &Answer) -> String {
    format!("{} {}", answer.status, body(answer)["error_msg"].as_str().unwrap())
}

#[test]
fn rows_come_newest_first_with_their_total() {
    let mut service = three();
    let answer = service.post(LOGINS, "{}");
    assert_eq!(ids(&answer), ["3", "2", "1"]);
    assert_eq!(body(&answer)["count"], 3);
    assert_eq!(answer.content_type, "application/json;charset=UTF-8");
    assert_eq!(header(&answer, "date"), Some("Mon, 05 Jun 2023 20:00:00 GMT"));
    assert_eq!(header(&answer, "x-request-id").map(str::len), Some(32));
    let answer = service.get(DESKTOPS);
    assert_eq!(
        (ids(&answer), &body(&answer)["total_count"]),
        (vec!["d2".to_owned(), "d1".to_owned()], &2.into())
    );
}

#[test]
fn no_body_is_an_empty_one() {
    assert_eq!(ids(&three().post(LOGINS, "")), ["3", "2", "1"]);
}

#[test]
fn a_row_is_born_up_to_twenty_seconds_late_and_ends_when_it_ends() {
    let mut service = three();
    service.at("09:00:00");
    assert_eq!(service.simulation.world().len(), 5);
    let born = time("09:00:00") + MAX_LAG;
    service.simulation.clock().set(born, WALL);
    let open = rows(&service.post(LOGINS, "{}"));
    assert_eq!((open[0]["id"].as_str(), open.len()), (Some("1"), 1));
    assert_eq!((open[0].get("end_time"), &open[0]["update_time"]), (None, &"2023-06-05T09:00:00Z".into()));
    let ended = rows(&service.at("09:30:00").post(LOGINS, r#"{"id": "1"}"#));
    assert_eq!(ended[0]["end_time"], "2023-06-05T09:30:00Z");
    assert_eq!(ended[0]["update_time"], "2023-06-05T09:30:00Z");
}

#[test]
fn some_rows_are_not_there_at_their_own_time_yet() {
    let lines: Vec<String> = (0..60).map(|n| login(&n.to_string(), "09:00:00", "")).collect();
    let mut service = Service::of(&lines);
    let early = service.at("09:00:05").ids(LOGINS, 100).len();
    assert!((1..59).contains(&early), "{early}");
    assert_eq!(service.at("09:00:20").ids(LOGINS, 100).len(), 60);
}

#[test]
fn a_row_without_a_time_is_always_there() {
    let row = r#"{"id": "0", "connect_type": "2", "start_time": "", "user_name": "ana"}"#;
    let mut service = Service::of(&[row.to_owned(), login("1", "09:00:00", "")]);
    assert_eq!(service.at("01:00:00").ids(LOGINS, 10), ["0"]);
    assert_eq!(ids(&service.at("20:00:00").post(LOGINS, &window("09:00:00", "10:00:00"))), ["1", "0"]);
}

#[test]
fn a_window_has_both_its_ends() {
    let mut service = three();
    assert_eq!(ids(&service.post(LOGINS, &window("09:10:00", "09:20:00"))), ["3", "2"]);
    assert_eq!(ids(&service.post(LOGINS, &window("09:10:01", "09:19:59"))), [""; 0]);
    let desktops =
        |from: &str, to: &str| format!("{DESKTOPS}?start_time=2023-06-05T{from}Z&end_time=2023-06-05T{to}Z");
    assert_eq!(ids(&service.get(&desktops("09%3A00", "09:01"))), ["d2", "d1"]);
    assert_eq!(ids(&service.get(&desktops("09:00", "09:00"))), ["d1"]);
}

#[test]
fn times_are_asked_for_in_every_spelling_of_the_official_clients() {
    for (from, to) in [
        ("2023-06-05T09:10:00+00:00", "2023-06-05T09:15:00+00:00"),
        ("2023-06-05T09:10:00", "2023-06-05T09:15:00"),
        ("2023-06-05 09:10:00", "2023-06-05 09:15:00"),
        ("2023-06-05T09:10:00.000Z", "2023-06-05T09:15:00.000Z"),
        ("2023-06-05T17:10:00+08:00", "2023-06-05T17:15:00+08:00"),
    ] {
        let body = format!(r#"{{"login_start_time": "{from}", "login_end_time": "{to}"}}"#);
        assert_eq!(ids(&three().post(LOGINS, &body)), ["2"], "{from}");
    }
}

#[test]
fn half_a_window_a_long_one_and_one_turned_round_are_refused() {
    let mut service = three();
    let half = service.post(LOGINS, r#"{"login_start_time": "2023-06-05T09:00:00Z"}"#);
    assert_eq!(
        fault(&half),
        "400 The parameter is invalid. login_start_time and login_end_time are given both or not at all."
    );
    assert_eq!(body(&half)["error_code"], "WKS.00211102");
    assert_eq!(body(&half).get("request_id"), None);
    let brokering =
        r#"{"brokering_start_time": "2023-05-01T00:00:00Z", "brokering_end_time": "2023-06-01T00:00:00Z"}"#;
    assert_eq!(
        fault(&service.post(LAUNCHES, brokering)),
        "400 The parameter is invalid. brokering_start_time and brokering_end_time are more than 30 days apart."
    );
    assert_eq!(service.post(LAUNCHES, &brokering.replace("05-01", "05-02")).status, 200);
    assert_eq!(service.post(LOGINS, &window("10:00:00", "09:00:00")).status, 400);
    assert_eq!(service.get(&format!("{DESKTOPS}?end_time=2023-06-05T09:00Z")).status, 400);
    let seconds = "start_time=2023-06-05T09:00:00Z&end_time=2023-06-05T10:00:00Z";
    assert_eq!(
        fault(&service.get(&format!("{DESKTOPS}?{seconds}"))),
        "400 The parameter is invalid. start_time is not of the form yyyy-MM-ddTHH:mmZ."
    );
    assert_eq!(service.post(LOGINS, r#"{"login_start_time": "x", "login_end_time": "y"}"#).status, 400);
}

#[test]
fn pages_keep_within_their_bounds() {
    let lines: Vec<String> = (0..25)
        .flat_map(|n| [login(&n.to_string(), "09:00:00", ""), desktop("d", "09:00:00", "a", 1)])
        .collect();
    let mut service = Service::of(&lines);
    assert_eq!(ids(&service.post(LOGINS, "{}")).len(), 10);
    assert_eq!(ids(&service.get(DESKTOPS)).len(), 20);
    assert_eq!(ids(&service.get(&format!("{DESKTOPS}?limit=0"))).len(), 0);
    assert_eq!(ids(&service.post(&format!("{LOGINS}?limit=100&offset=20"), "{}")).len(), 5);
    assert_eq!(ids(&service.post(&format!("{LOGINS}?offset=2147483647"), "{}")).len(), 0);
    for query in ["limit=0", "limit=101", "limit=x", "limit=-1", "offset=-1", "offset=2147483648"] {
        assert_eq!(service.post(&format!("{LOGINS}?{query}"), "{}").status, 400, "{query}");
    }
    assert_eq!(service.get(&format!("{DESKTOPS}?limit=1001")).status, 400);
    assert_eq!(service.get(&format!("{DESKTOPS}?limit=1000")).status, 200);
}

#[test]
fn filters_compare_as_documented() {
    let launch = r#"{"id": "a", "app_id": "1", "app_name": "Cloud storage-Notepad++", "user_name": "user001@corp",
        "brokering_time": "2023-06-05T09:00:00Z", "public_ip": "192.0.2.1"}"#;
    let mut service = Service::of(&[launch.to_owned(), login("1", "09:00:00", "")]);
    let mut found = |list: &str, body: &str| ids(&service.post(list, body)).len();
    assert_eq!(found(LAUNCHES, r#"{"app_name": "notepad"}"#), 1);
    assert_eq!(found(LAUNCHES, r#"{"user_name": "USER001"}"#), 1);
    assert_eq!(found(LAUNCHES, r#"{"app_name": "paint"}"#), 0);
    assert_eq!(found(LAUNCHES, r#"{"public_ip": "192.0.2"}"#), 0);
    assert_eq!(found(LOGINS, r#"{"user_name": "ana"}"#), 0);
    assert_eq!(found(LOGINS, r#"{"user_name": "ana@corp.example", "machine_sid": ""}"#), 1);
    let mut service = three();
    let mut desktops = |query: &str| ids(&service.get(&format!("{DESKTOPS}?{query}")));
    assert_eq!(desktops("user_name=ana%40corp.example"), ["d1"]);
    assert_eq!(desktops("domain=other.example"), ["d2"]);
    assert_eq!(desktops("min_network_rtt=100"), ["d2"]);
    assert_eq!(desktops("max_network_rtt=20&terminal_type=WI"), ["d1"]);
    assert_eq!(desktops("terminal_type=windows").len(), 2);
    assert_eq!(desktops("terminal_type=Mac").len(), 0);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let mut service = three();
    let status = |answer: Answer| answer.status;
    assert_eq!(status(service.post(LOGINS, "{")), 400);
    assert_eq!(status(service.post(LOGINS, "[]")), 400);
    assert_eq!(status(service.post(LOGINS, r#"{"user_name": 1}"#)), 400);
    assert_eq!(status(service.post(LOGINS, &format!(r#"{{"vm_ip": "{}"}}"#, "1".repeat(51)))), 400);
    let headers = [("X-Auth-Token", "FAKE-TOKEN"), ("Content-Type", "text/xml")];
    assert_eq!(status(service.send("POST", LOGINS, &headers, "<a/>")), 415);
    assert_eq!(status(service.get(&format!("{DESKTOPS}?a={}", "a".repeat(9_000)))), 414);
    let long = "t".repeat(70_000);
    assert_eq!(status(service.send("GET", DESKTOPS, &[("X-Auth-Token", &long)], "")), 494);
}

#[test]
fn what_nobody_serves_is_the_gateways_word() {
    let mut service = three();
    for (method, target) in [
        ("GET", "/"),
        ("GET", LOGINS),
        ("POST", DESKTOPS),
        ("GET", "/v2/0123456789abcdef0123456789abcdef/connections"),
        ("GET", "/v1/0123456789abcdef0123456789abcdef/connections/desktops"),
    ] {
        let answer = service.send(method, target, &[], "");
        assert_eq!(
            (answer.status, body(&answer)["error_code"].as_str()),
            (404, Some("APIGW.0101")),
            "{target}"
        );
    }
}

#[test]
fn what_is_older_than_thirty_days_is_forgotten() {
    let mut service = three();
    service.simulation.clock().set(time("09:10:00") + Millis::days(30), WALL);
    assert_eq!(service.ids(LOGINS, 10), ["3", "2"]);
}

#[test]
fn a_line_that_is_no_row_is_refused_with_its_reason() {
    let why = |line: &str| World::of_lines(1, [line]).unwrap_err().to_string();
    assert!(why("[1]").starts_with("no row: "));
    assert_eq!(
        why(r#"{"id": "1", "user_name": "ana"}"#),
        "a row of none of the lists that are served: desktop_logins, app_logins, app_launches, sessions, user_events"
    );
}

/// Walks a list whole, in pages of `limit`.
fn walk(simulation: &mut Simulation, list: List, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let headers = [("X-Auth-Token".to_owned(), "FAKE-TOKEN".to_owned())];
        let (method, path) = match list {
            List::DesktopLogins => ("GET", DESKTOPS),
            List::AppLogins => ("POST", LOGINS),
            List::AppLaunches => ("POST", LAUNCHES),
            List::Sessions | List::UserEvents => return Vec::new(),
        };
        let target = format!("{path}?limit={limit}&offset={}", all.len());
        let request =
            super::Request { method, target: &target, headers: &headers, body: b"", local: true, host: None };
        let answer = simulation.answer(&request, WALL);
        let page = rows(&answer);
        let total = body(&answer)[if list == List::DesktopLogins { "total_count" } else { "count" }].clone();
        all.extend(page.iter().cloned());
        if page.is_empty() {
            assert_eq!(total, all.len());
            return all;
        }
    }
}

#[test]
fn the_real_rows_are_all_served_once_each_and_unchanged_at_the_end_of_time() {
    for (file, list) in [
        ("elastic-sshd.user-connection", List::AppLogins),
        ("rba.desktops", List::DesktopLogins),
        ("rba.user-connection", List::AppLogins),
        ("cloudtrail.app-connection", List::AppLaunches),
    ] {
        let Some(text) = beside(&format!("data/{file}.jsonl")) else { return };
        let world = World::of_lines(7, text.lines()).unwrap();
        let options = Options { speed: 0, tokens: vec!["FAKE-TOKEN".to_owned()], ..Options::new(|| WALL) };
        let mut simulation = Simulation::new(world, &options, WALL).unwrap();
        assert_eq!(walk(&mut simulation, list, 100).len(), 0, "{file}: nothing is there at the start");
        let end = simulation.world().complete().unwrap();
        simulation.clock().set(end, WALL);
        let id = if list == List::DesktopLogins { "transaction_id" } else { "id" };
        let by_id = |rows: Vec<Value>| -> BTreeMap<String, Value> {
            rows.into_iter().map(|row| (row[id].as_str().unwrap().to_owned(), row)).collect()
        };
        let expected: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let served = walk(&mut simulation, list, 100);
        assert_eq!(served.len(), expected.len(), "{file}");
        assert!(by_id(served) == by_id(expected), "{file}");
        for other in List::ALL.into_iter().filter(|other| *other != list) {
            assert_eq!(walk(&mut simulation, other, 100).len(), 0, "{file}");
        }
    }
}

#[test]
fn the_office_has_a_past_and_opens_on_its_morning() {
    let world = office::office(7, office::START).unwrap();
    assert_eq!(world.opens(), Some(office::START));
    let past = world.born(office::START);
    assert!(past > 1_000 && world.len() > past + 100, "{past} of {}", world.len());
    let same = office::office(7, office::START).unwrap();
    assert_eq!(world.lists().count(), 3);
    for list in List::ALL {
        let texts = |world: &World| -> Vec<String> {
            world.rows(list).iter().map(|row| row.text().to_owned()).collect()
        };
        assert_eq!(texts(&world), texts(&same));
    }
}
