//! What goes wrong when it is asked to.

use serde_json::{Value, json};

use super::tests_tools::{
    DESKTOPS, LAUNCHES, LOGINS, Service, TOKEN, body, desktop, header, ids, login, rows, time,
};
use super::trouble::{BadTrouble, MAX_TROUBLES};
use super::{Answer, List, OpenEnd, Order, Spelling, Trouble, What};
use crate::record::{Millis, Timestamp};

fn service() -> Service {
    Service::of(&[
        login("1", "09:00:00", "09:30:00"),
        login("2", "09:10:00", ""),
        login("3", "09:20:00", "21:00:00"),
        desktop("d1", "09:00:00", "ana@corp.example", 20),
        desktop("d2", "09:00:30", "bob@corp.example", 400),
    ])
}

fn standing(what: What) -> Service {
    let mut service = service();
    service.simulation.troubles().add(Trouble::always(what)).unwrap();
    service
}

/// The answer to a list of logins while `what` stands.
fn played(what: What) -> Answer {
    standing(what).post(LOGINS, "{}")
}

fn code(answer: &Answer) -> (u16, Value) {
    (answer.status, body(answer)["error_code"].clone())
}

#[test]
fn throttling_tells_its_limit_and_comes_to_an_end() {
    let mut service = service();
    let what = What::Throttled { limit: 5, time: 60, retry_after: None };
    service.simulation.troubles().add(Trouble { times: Some(2), ..Trouble::once(what) }).unwrap();
    for _ in 0..2 {
        let answer = service.post(LOGINS, "{}");
        assert_eq!(code(&answer), (429, "APIGW.0308".into()));
        assert_eq!(
            body(&answer)["error_msg"],
            "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:60 second"
        );
        assert_eq!(header(&answer, "retry-after"), None);
    }
    assert_eq!(service.post(LOGINS, "{}").status, 200);
}

#[test]
fn throttling_may_say_when_to_come_back() {
    let answer = played(What::Throttled { limit: 1, time: 1, retry_after: Some(7) });
    assert_eq!(header(&answer, "retry-after"), Some("7"));
}

#[test]
fn each_refusal_has_its_status_and_its_shape() {
    assert_eq!(code(&played(What::Internal {})), (500, "WKS.00211401".into()));
    assert_eq!(code(&played(What::Unavailable {})), (503, "WKS.00050902".into()));
    assert_eq!(code(&played(What::GatewayTimeout {})), (504, "APIGW.0201".into()));
    assert_eq!(code(&played(What::ErrorIn200 {})), (200, "WKS.00010109".into()));
    assert_eq!(code(&played(What::StaleToken {})), (401, "APIGW.0307".into()));
    let forbidden = played(What::Forbidden {});
    assert_eq!(code(&forbidden), (403, "WKS.00081102".into()));
    assert_eq!(body(&forbidden)["encoded_authorization_message"], "SIMULATED-ENCODED-MESSAGE");
    for (what, status) in [(What::BadGateway {}, 502), (What::HtmlIn200 {}, 200)] {
        let answer = played(what);
        assert_eq!((answer.status, answer.content_type), (status, "text/html"));
        assert!(answer.body.starts_with(b"<html>"));
    }
}

#[test]
fn refusals_come_in_order_one_a_request_and_to_whom_they_are_meant_for() {
    let mut service = service();
    service.simulation.troubles().add(Trouble::once(What::Internal {}).of(List::DesktopLogins)).unwrap();
    service.simulation.troubles().add(Trouble::once(What::Unavailable {})).unwrap();
    service.simulation.troubles().add(Trouble::once(What::BadGateway {})).unwrap();
    assert_eq!(service.post(LOGINS, "{}").status, 503);
    assert_eq!(service.get(DESKTOPS).status, 500);
    assert_eq!(service.post(LAUNCHES, "{}").status, 502);
    assert_eq!(service.get(DESKTOPS).status, 200);
    assert_eq!(service.simulation.troubles().waiting(), []);
}

#[test]
fn a_trouble_comes_at_its_time_and_counted_in_requests() {
    let trouble = r#"{"kind": "internal", "times": "always", "from": "2023-06-05T10:00:00Z",
        "until": "2023-06-05T11:00:00Z", "skip": 2, "every": 3, "endpoint": "app_logins"}"#;
    let mut service = service();
    service.simulation.troubles().add(trouble.parse().unwrap()).unwrap();
    let mut statuses =
        |at: &str| -> Vec<u16> { (0..6).map(|_| service.at(at).post(LOGINS, "{}").status).collect() };
    assert_eq!(statuses("09:59:59"), [200; 6]);
    assert_eq!(statuses("10:00:00"), [200, 200, 500, 200, 200, 500]);
    assert_eq!(statuses("10:59:59"), [200, 200, 500, 200, 200, 500]);
    assert_eq!(statuses("11:00:00"), [200; 6]);
    for (text, why) in [
        (r#"{"kind": "internal", "from": "noon"}"#, "`from` is an instant such as 2026-01-05T09:00:00Z"),
        (r#"{"kind": "internal", "every": 0}"#, "`every` is a number of requests from 1"),
    ] {
        assert_eq!(text.parse::<Trouble>().unwrap_err().to_string(), format!("no trouble: {why}"));
    }
}

#[test]
fn bad_credentials_use_no_trouble_up() {
    let mut service = standing(What::Internal {});
    assert_eq!(service.send("POST", LOGINS, &[], "{}").status, 401);
    assert_eq!(service.post(LOGINS, "{}").status, 500);
}

#[test]
fn answers_are_slow_cut_or_truncated_without_being_others() {
    let whole = service().post(LOGINS, "{}");
    let slow = played(What::Slow { by: Millis::secs(35) });
    assert_eq!((slow.delay, &slow.body), (Millis::secs(35), &whole.body));
    let cut = played(What::Cut { after: 100 });
    assert_eq!((cut.cut_after, &cut.body), (Some(100), &whole.body));
    let truncated = played(What::Truncated {});
    assert_eq!(truncated.body, whole.body[..whole.body.len() / 2]);
    assert!(serde_json::from_slice::<Value>(&truncated.body).is_err());
}

#[test]
fn order_is_as_asked_for() {
    assert_eq!(ids(&played(What::Order { by: Order::NewestFirst })), ["3", "2", "1"]);
    assert_eq!(ids(&played(What::Order { by: Order::OldestFirst })), ["1", "2", "3"]);
    let lines: Vec<String> = (10..40).map(|n| login(&n.to_string(), &format!("09:00:{n}"), "")).collect();
    let mut service = Service::of(&lines);
    let straight = service.ids(LOGINS, 100);
    service.simulation.troubles().add(Trouble::always(What::Order { by: Order::Shuffled })).unwrap();
    let shuffled = service.ids(LOGINS, 100);
    assert_eq!(service.ids(LOGINS, 100), shuffled);
    assert_ne!(shuffled, straight);
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(shuffled), sorted(straight));
}

#[test]
fn rows_are_inserted_between_two_pages() {
    let mut service = standing(What::Inserted { rows: 1 });
    assert_eq!(ids(&service.post(&format!("{LOGINS}?limit=1"), "{}")), ["3"], "it was there long ago");
    service.at("09:20:30");
    let first = service.post(&format!("{LOGINS}?limit=1"), "{}");
    assert_eq!((ids(&first), &body(&first)["count"]), (vec!["2".to_owned()], &json!(2)));
    let second = service.post(&format!("{LOGINS}?limit=1&offset=1"), "{}");
    assert_eq!((ids(&second), &body(&second)["count"]), (vec!["2".to_owned()], &json!(3)));
    let third = service.post(&format!("{LOGINS}?limit=1&offset=2"), "{}");
    assert_eq!(ids(&third), ["1"]);
}

#[test]
fn time_passes_between_two_pages_and_rows_are_born_meanwhile() {
    let mut service = standing(What::TimePasses { by: Millis::mins(10) });
    service.at("09:05:00");
    assert_eq!(ids(&service.post(LOGINS, "{}")), ["1"]);
    assert_eq!(ids(&service.post(LOGINS, "{}")), ["2", "1"]);
    assert_eq!(service.simulation.now(service.wall), time("09:25:00"));
}

#[test]
fn the_total_lies_and_the_list_is_missing() {
    let total = |what| body(&played(what))["count"].clone();
    assert_eq!(total(What::Total { by: 2 }), 5);
    assert_eq!(total(What::Total { by: -9 }), 0);
    assert_eq!(body(&played(What::ItemsNull {})), json!({"count": 3, "items": null}));
    assert_eq!(body(&played(What::ItemsMissing {})), json!({"count": 3}));
    let desktops = standing(What::ItemsNull {}).get(DESKTOPS);
    assert_eq!(body(&desktops), json!({"total_count": 2, "records": null}));
}

#[test]
fn rows_are_born_late_and_move_their_start() {
    let mut late = standing(What::LateBirths { by: Millis::hours(1), one_in: 1 });
    assert_eq!(ids(&late.at("09:45:00").post(LOGINS, "{}")), [""; 0]);
    assert_eq!(ids(&late.at("10:05:00").post(LOGINS, "{}")), ["1"]);
    let mut moves = standing(What::StartMoves { by: Millis::hours(3), one_in: 1 });
    assert_eq!(ids(&moves.at("12:00:00").post(LOGINS, "{}")), ["3", "2", "1"]);
    let moved = rows(&moves.at("12:15:00").post(LOGINS, r#"{"id": "2"}"#));
    assert_eq!(moved[0]["start_time"], "2023-06-05T12:10:00Z");
    assert_eq!(moved[0]["update_time"], "2023-06-05T12:10:00Z");
    assert_eq!(moved[0]["pre_conn_time"], "2023-06-05T09:10:00Z");
    // The first ended before it could be resumed; a window finds a row by its time of now.
    let window = r#"{"login_start_time": "2023-06-05T12:00:00Z", "login_end_time": "2023-06-05T13:00:00Z"}"#;
    assert_eq!(ids(&moves.at("12:25:00").post(LOGINS, window)), ["3", "2"]);
}

#[test]
fn every_spelling_of_a_time_is_one_that_is_read() {
    let start: Timestamp = time("09:10:00");
    for (by, expected) in [
        (Spelling::Seconds, "2023-06-05T09:10:00Z"),
        (Spelling::Millis, "2023-06-05T09:10:00.000Z"),
        (Spelling::Spaced, "2023-06-05 09:10:00"),
        (Spelling::Zoneless, "2023-06-05T09:10:00"),
        (Spelling::Minutes, "2023-06-05T09:10Z"),
        (Spelling::ShortOffset, "2023-06-05T09:10:00.000+0000"),
        (Spelling::LongOffset, "2023-06-05T09:10:00.000+00:00"),
        (Spelling::Nanos, "2023-06-05T09:10:00.000000000Z"),
        (Spelling::Hundredths, "2023-06-05T09:10:00.00Z"),
        (Spelling::ColonFraction, "2023-06-05T09:10:00:000000Z"),
        (Spelling::East, "2023-06-05T17:10:00+08:00"),
    ] {
        let row = rows(&played(What::Spelling { by }))[1].clone();
        assert_eq!((&row["start_time"], &row["pre_conn_time"]), (&json!(expected), &json!(expected)));
        assert_eq!(Timestamp::parse(expected), Some(start), "{expected}");
    }
    let lines: Vec<String> = (10..60).map(|n| login(&n.to_string(), &format!("09:00:{n}"), "")).collect();
    let mut service = Service::of(&lines);
    service.simulation.troubles().add(Trouble::always(What::Spelling { by: Spelling::Mixed })).unwrap();
    let page = rows(&service.post(&format!("{LOGINS}?limit=100"), "{}"));
    let spelt = |row: &Value| row["start_time"].as_str().unwrap().to_owned();
    let lengths: std::collections::BTreeSet<usize> = page.iter().map(|row| spelt(row).len()).collect();
    assert!(lengths.len() > 4, "{lengths:?}");
    let read = |row: &Value| Timestamp::parse(&spelt(row)).unwrap();
    assert!(page.iter().all(|row| read(row) == time(&format!("09:00:{}", row["id"].as_str().unwrap()))));
}

#[test]
fn an_open_row_shows_its_end_in_four_ways() {
    let end = |by| rows(&played(What::OpenEnd { by }))[0].get("end_time").cloned();
    assert_eq!(end(OpenEnd::Absent), None);
    assert_eq!(end(OpenEnd::Empty), Some("".into()));
    assert_eq!(end(OpenEnd::Null), Some(Value::Null));
    assert_eq!(end(OpenEnd::YearOne), Some("0001-01-01 00:00:00".into()));
    let ended = rows(&played(What::OpenEnd { by: OpenEnd::YearOne }))[2].clone();
    assert_eq!(ended["end_time"], "2023-06-05T09:30:00Z");
}

#[test]
fn fields_are_unknown_numbers_null_absent_or_words_for_success() {
    let first = |what| rows(&played(what))[0].clone();
    let plain = rows(&service().post(LOGINS, "{}"))[0].clone();
    let more = first(What::UnknownFields {});
    assert_eq!(more["security_domain"]["levels"], json!([1, 2]));
    assert_eq!(more["start_time"], plain["start_time"]);
    let numbers = first(What::Numbers {});
    assert_eq!((&numbers["id"], &numbers["connect_flag"]), (&json!(3), &json!(0)));
    assert_eq!(numbers["start_time"], plain["start_time"]);
    assert_eq!(first(What::Nulls {})["failed_code"], Value::Null);
    assert_eq!(first(What::Absent {}).get("failed_code"), None);
    let success = first(What::SuccessWords {});
    assert_eq!(
        (&success["failed_code"], &success["failed_reason"]),
        (&json!("WKS.00000000"), &json!("success"))
    );
}

#[test]
fn a_failure_does_not_become_a_success() {
    let failed = login("1", "09:00:00", "").replace(r#""failed_code":"""#, r#""failed_code":"500""#);
    let mut service = Service::of(&[failed]);
    service.simulation.troubles().add(Trouble::always(What::SuccessWords {})).unwrap();
    assert_eq!(rows(&service.post(LOGINS, "{}"))[0]["failed_code"], "500");
}

#[test]
fn ids_come_twice_are_borrowed_or_are_not_there() {
    let doubled = played(What::Doubled { one_in: 1 });
    assert_eq!(ids(&doubled), ["3", "3", "2", "2", "1", "1"]);
    assert_eq!(body(&doubled)["count"], 6);
    assert_eq!(ids(&played(What::SameIds { one_in: 1 })), ["2", "1", "1"]);
    let mut twins = standing(What::NoIds {});
    twins.simulation.troubles().add(Trouble::always(What::Doubled { one_in: 1 })).unwrap();
    let twins = rows(&twins.get(DESKTOPS));
    assert_eq!(twins.len(), 4);
    assert_eq!(twins[0], twins[1]);
    assert!(
        twins.iter().all(|row| row.get("transaction_id").is_none() && row.get("computer_name").is_some())
    );
}

#[test]
fn one_in_so_many_is_some_and_always_the_same() {
    let lines: Vec<String> = (0..200).map(|n| desktop(&n.to_string(), "09:00:00", "ana", 1)).collect();
    let mut service = Service::of(&lines);
    service.simulation.troubles().add(Trouble::always(What::Doubled { one_in: 4 })).unwrap();
    let first = service.ids(DESKTOPS, 1_000);
    assert!((220..280).contains(&first.len()), "{}", first.len());
    assert_eq!(service.ids(DESKTOPS, 1_000), first);
}

#[test]
fn a_trouble_is_spelt_as_it_is_read() {
    for (text, expected) in [
        ("throttled", json!({"kind": "throttled", "limit": 5, "time": 5, "retry_after": null, "times": 1})),
        (
            r#"{"kind": "slow", "by": "35s", "times": "always", "endpoint": "app_logins"}"#,
            json!({"kind": "slow", "by": "35s", "times": "always", "endpoint": "app_logins"}),
        ),
        (
            r#"{"kind": "order", "by": "oldest_first", "times": 3}"#,
            json!({"kind": "order", "by": "oldest_first", "times": 3}),
        ),
        ("items_null", json!({"kind": "items_null", "times": 1})),
    ] {
        let trouble: Trouble = text.parse().unwrap();
        assert_eq!(trouble.to_json(), expected);
        assert_eq!(Trouble::from_json(expected).unwrap(), trouble);
    }
}

#[test]
fn a_trouble_that_is_none_says_why() {
    let why = |text: &str| text.parse::<Trouble>().unwrap_err().to_string();
    assert!(why("earthquake").starts_with("no trouble: unknown variant `earthquake`"));
    assert!(why(r#"{"kind": "slow"}"#).contains("missing field `by`"));
    assert!(why(r#"{"kind": "slow", "by": "10"}"#).contains("`10` needs a unit"));
    assert!(why(r#"{"kind": "internal", "tmies": 2}"#).contains("tmies"));
    assert_eq!(
        why(r#"{"kind": "internal", "times": 0}"#),
        "no trouble: `times` is a number above 0 or \"always\""
    );
    assert_eq!(
        why(r#"{"kind": "internal", "endpoint": "chairs"}"#),
        "no trouble: `endpoint` is desktop_logins, app_logins, app_launches, sessions, user_events or exports"
    );
}

#[test]
fn the_queue_of_troubles_is_bounded() {
    let mut service = service();
    for _ in 0..MAX_TROUBLES {
        service.simulation.troubles().add(Trouble::once(What::Internal {})).unwrap();
    }
    assert_eq!(service.simulation.troubles().add(Trouble::once(What::Internal {})), Err(BadTrouble::TooMany));
}

fn control(service: &mut Service, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = service.send(method, &format!("/simulate/{path}"), &[], &body.to_string());
    (answer.status, self::body(&answer))
}

#[test]
fn the_clock_is_moved_and_the_state_told_without_credentials() {
    let mut service = service();
    service.post(LOGINS, "{}");
    service.send("POST", LOGINS, &[("X-Auth-Token", "wrong")], "{}");
    service.get("/nothing");
    let (status, state) = control(&mut service, "POST", "clock", &json!({"now": "2023-06-05T09:05:00Z"}));
    assert_eq!(status, 200);
    assert_eq!(state["now"], "2023-06-05T09:05:00.000Z");
    assert_eq!((&state["rows"], &state["finished"]), (&json!({"born": 3, "left": 2}), &json!(false)));
    let (_, state) = control(&mut service, "POST", "clock", &json!({"advance": "12h", "speed": 60}));
    assert_eq!((&state["now"], &state["speed"]), (&json!("2023-06-05T21:05:00.000Z"), &json!(60)));
    assert_eq!(
        state,
        json!({
            "now": "2023-06-05T21:05:00.000Z", "speed": 60, "rows": {"born": 5, "left": 0}, "finished": true,
            "last_change": "2023-06-05T21:00:00.000Z", "requests": {"app_logins": 2, "other": 1},
            "answers": {"200": 1, "401": 1, "404": 1}, "troubles": 0,
        })
    );
    service.wall = service.wall + Millis::secs(2);
    assert_eq!(control(&mut service, "GET", "state", &Value::Null).1["now"], "2023-06-05T21:07:00.000Z");
    let seen: Vec<u16> = service.simulation.seen().map(|seen| seen.status).collect();
    assert_eq!(seen, [200, 401, 404]);
}

#[test]
fn troubles_are_added_told_and_called_off() {
    let mut service = service();
    let two = json!([{"kind": "internal", "times": 2}, {"kind": "doubled", "times": "always"}]);
    let (status, told) = control(&mut service, "POST", "trouble", &two);
    assert_eq!((status, told["waiting"].as_array().unwrap().len()), (200, 2));
    assert_eq!(service.post(LOGINS, "{}").status, 500);
    assert_eq!(control(&mut service, "GET", "trouble", &Value::Null).1["waiting"][0]["times"], 1);
    assert_eq!(control(&mut service, "DELETE", "trouble", &Value::Null).1, json!({"waiting": []}));
    assert_eq!(service.post(LOGINS, "{}").status, 200);
}

#[test]
fn what_control_cannot_do_it_says() {
    let mut service = service();
    let mut why = |path: &str, body: &Value| control(&mut service, "POST", path, body);
    assert_eq!(
        why("clock", &json!({"noon": 1})).1["error"],
        "`noon` is none of `now`, `advance` and `speed`"
    );
    assert_eq!(why("clock", &json!({"speed": 60_001})).1["error"], "`speed` is a whole number up to 60000");
    assert_eq!(why("clock", &json!({"advance": "10"})).0, 400);
    assert_eq!(why("clock", &json!([])).0, 400);
    assert_eq!(why("trouble", &json!({"kind": "none"})).0, 400);
    assert_eq!(why("trouble", &json!("x".repeat(70_000))).0, 400);
    assert_eq!(why("nothing", &Value::Null).0, 404);
}

#[test]
fn control_is_not_there_for_other_machines() {
    let mut service = service();
    let headers = [("X-Auth-Token".to_owned(), TOKEN.to_owned())];
    let request = super::Request {
        method: "GET",
        target: "/simulate/state",
        headers: &headers,
        body: b"",
        local: false,
        host: None,
    };
    let answer = service.simulation.answer(&request, service.wall);
    assert_eq!(code(&answer), (404, "APIGW.0101".into()));
}
