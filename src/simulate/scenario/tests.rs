//! Scenarios: what they make, and what they are told where they are wrong.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Scenario, read};
use crate::record::Millis;
use crate::simulate::{List, Spelling, What};

const SMALL: &str = "scenario: small
start: 2026-03-12T06:00:00Z
lasts: 12h
users: 40
";

fn scenario(more: &str) -> Scenario {
    let (scenario, problems) = read("s.yaml", &format!("{SMALL}{more}"));
    scenario.unwrap_or_else(|| panic!("{}", problems.render(false)))
}

/// Every row of a list that `more` makes.
fn rows(more: &str, list: List) -> Vec<Value> {
    let play = scenario(more).play().unwrap();
    play.world.rows(list).iter().map(|row| Value::Object(row.fields())).collect()
}

/// How often each value of `field` comes.
fn census(rows: &[Value], field: &str) -> BTreeMap<String, usize> {
    let mut census = BTreeMap::new();
    for row in rows {
        *census.entry(row[field].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    census
}

/// Faults of a file: the piece it is about, what is wrong, and the way out.
fn told(text: &str) -> Vec<String> {
    let (scenario, problems) = read("s.yaml", text);
    assert!(scenario.is_none(), "{text}");
    let told = problems.sorted().into_iter().map(|problem| {
        let piece = &text[problem.span.start..problem.span.end];
        format!("{piece} | {} | {}", problem.message, problem.hint.as_deref().unwrap_or_default())
    });
    told.collect()
}

#[test]
fn the_same_file_makes_the_same_rows_and_another_seed_makes_others() {
    let truth = |more: &str| {
        let scenario = scenario(more);
        scenario.play().unwrap().truth(&scenario)
    };
    assert_eq!(truth(""), truth(""));
    assert_ne!(truth("seed: 8\n"), truth(""));
}

#[test]
fn everybody_does_in_a_day_what_is_asked_for_between_the_start_and_the_end() {
    let more = "shifts: [{from: \"07:00\", to: \"17:00\"}]\na_day: {desktops: 3, apps: 0, events: 2}\n";
    let play = scenario(more).play().unwrap();
    let counts = List::ALL.map(|list| play.world.rows(list).len());
    assert_eq!(counts, [120, 0, 80, 40, 80]);
    let logins = rows(more, List::DesktopLogins);
    assert_eq!(census(&logins, "user_name").len(), 40);
    for row in &logins {
        let start = row["connection_start_time"].as_str().unwrap();
        assert!(("2026-03-12T07:00:00Z".."2026-03-12T17:00:00Z").contains(&start), "{row}");
    }
}

#[test]
fn the_past_has_weekends_and_a_shift_goes_on_past_midnight() {
    let more = "before: 7d\na_day: {desktops: 1}\nshifts: [{from: \"22:00\", to: \"06:00\"}]\n";
    let days: BTreeMap<String, usize> =
        rows(more, List::DesktopLogins).iter().fold(BTreeMap::new(), |mut days, row| {
            *days.entry(row["connection_start_time"].as_str().unwrap()[..10].to_owned()).or_default() += 1;
            days
        });
    // From Thursday to Thursday; Saturday has what is left of Friday's shift, Sunday nothing.
    assert!(days.contains_key("2026-03-07") && !days.contains_key("2026-03-08"), "{days:?}");
    assert_eq!(days.keys().next().map(String::as_str), Some("2026-03-05"));
}

#[test]
fn people_are_where_they_work_have_what_was_released_and_fail_now_and_then() {
    let more = "offices: [{name: a, network: 192.0.2.0/25, share: 50%}]\nroaming: 20%\nfailures: 25%\n\
                releases: [{at: 0s, version: 24.1.0.0, within: 6h}]\na_day: {desktops: 10}\n";
    let logins = rows(more, List::DesktopLogins);
    let within = |network: &str| {
        logins.iter().filter(|row| row["public_ip"].as_str().unwrap().starts_with(network)).count()
    };
    for (network, least, most) in [("192.0.2.", 100, 220), ("198.51.100.", 80, 200), ("203.0.113.", 20, 150)]
    {
        assert!(
            (least..most).contains(&within(network)),
            "{network} {} of {}",
            within(network),
            logins.len()
        );
    }
    let failed = logins.iter().filter(|row| row["connection_failure_reason"] != "").count();
    assert!((60..140).contains(&failed), "{failed}");
    let late = |row: &&Value| row["connection_start_time"].as_str() > Some("2026-03-12T12:00:00Z");
    let versions = census(&logins.iter().filter(late).cloned().collect::<Vec<_>>(), "client_version");
    assert_eq!(versions.into_keys().collect::<Vec<_>>(), ["24.1.0.0"]);
    assert_eq!(census(&logins, "client_version").len(), 2);
}

#[test]
fn attacks_are_planted_where_and_when_they_are_asked_for_and_the_truth_names_their_rows() {
    let more = "a_day: {desktops: 1}\nattacks:\n  \
        - {kind: takeover, at: 1h, within: 6m, acts: 9, from: 203.0.113.78}\n  \
        - {kind: spraying, at: 2h, within: 10m, users: 5, endpoint: app_logins}\n  \
        - {kind: flood, at: 3h, users: 100}\n";
    let scenario = scenario(more);
    let truth = scenario.play().unwrap().truth(&scenario);
    let lines: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["rows"]["desktop_logins"], 40 + 9 + 100);
    let attack = |number: usize| &lines[1 + number];
    assert_eq!(
        (&attack(0)["kind"], &attack(0)["from"], &attack(0)["to"], &attack(0)["rows"]),
        (
            &Value::from("takeover"),
            &Value::from("2026-03-12T07:00:00.000Z"),
            &Value::from("2026-03-12T07:06:00.000Z"),
            &Value::from(9)
        )
    );
    let planted = |number: usize| -> Vec<&Value> {
        lines.iter().filter(|line| line["attack"] == number && line["truth"] == "row").collect()
    };
    let outcome: Vec<bool> =
        planted(0).iter().map(|line| line["row"]["connection_failure_reason"] != "").collect();
    assert_eq!(outcome, [[true; 8].as_slice(), &[false]].concat(), "guessed at last");
    assert!(planted(0).iter().all(|line| line["row"]["public_ip"] == "203.0.113.78"));
    assert_eq!((planted(1).len(), planted(1)[0]["endpoint"].as_str()), (5, Some("app_logins")));
    assert_eq!(attack(1)["users"].as_array().unwrap().len(), 5);
    assert!(planted(2)[0]["row"]["user_name"].as_str().unwrap().starts_with("invented-2-"));
}

#[test]
fn faults_come_at_their_time_or_as_often_as_they_say() {
    let more = "faults:\n  - {kind: throttled, limit: 9, at: 1h, for: 5m, endpoint: exports}\n  \
        - {kind: cut, skip: 100, times: 1}\n  - {kind: spelling, by: mixed}\n  - {kind: cut, after: 7}\n";
    let faults = scenario(more).faults;
    let [throttled, cut, spelling, short] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(throttled.what, What::Throttled { limit: 9, time: 5, retry_after: None });
    let start = scenario("").start;
    assert_eq!(throttled.when.from, Some(start + Millis::hours(1)));
    assert_eq!((throttled.when.until, throttled.times), (Some(start + Millis::mins(65)), None));
    assert_eq!((&cut.what, cut.when.skip, cut.times), (&What::Cut { after: 0 }, 100, Some(1)));
    assert_eq!((&spelling.what, spelling.times), (&What::Spelling { by: Spelling::Mixed }, None));
    assert_eq!(short.what, What::Cut { after: 7 });
}

#[test]
fn every_fault_of_a_scenario_is_told_with_its_place_and_the_way_out() {
    let text = "scenario: s
start: noon
lasts: 12h
user: 40
offices: [{name: a, network: here, share: half}]
shifts: [{from: 7, to: \"25:00\"}]
attacks:
  - {kind: robbery, at: later}
  - {kind: guessing, at: 1h, from: ::1}
faults:
  - {kind: earthquake}
  - {kind: throttled, at: soon}
";
    insta::assert_snapshot!(told(text).join("\n"), @r#"
    noon | `start` takes an instant, not `noon` | write `start: 2026-03-12T06:00:00Z`
    user | unknown key `user` in a scenario | did you mean `users`?
    here | `network` takes an IPv4 network, not `here` | write `network: 192.0.2.0/24`
    half | `share` takes a share such as 5%, not `half` | write a number from 0 to 100 and `%`
    7 | `from` takes a time of the day, not `7` | write `from: "07:30"`
    "25:00" | `to` takes a time of the day, not `25:00` | write `to: "07:30"`
    robbery | `kind` cannot be `robbery` | write one of: guessing, spraying, takeover, new_address, slow_line, outage, flood
    later | `at` takes a length of time after the start, not `later` | write `at: 90m`
    ::1 | `from` takes an IPv4 address, not `::1` | write `from: 203.0.113.77`
    {kind: earthquake} | no trouble: unknown variant `earthquake`, expected one of `stale_token`, `throttled`, `forbidden`, `internal`, `bad_gateway`, `unavailable`, `gateway_timeout`, `error_in_200`, `html_in_200`, `slow`, `cut`, `truncated`, `time_passes`, `inserted`, `export_lingers`, `export_fails`, `export_expires`, `order`, `total`, `items_null`, `items_missing`, `doubled`, `same_ids`, `no_ids`, `late_births`, `start_moves`, `spelling`, `open_end`, `unknown_fields`, `numbers`, `nulls`, `absent`, `success_words` | write `{kind: throttled, at: 1h, for: 5m}`
    soon | `at` takes a length of time after the start, not `soon` | write `at: 90m`
    "#);
}

#[test]
fn more_rows_than_there_is_room_for_are_refused_beforehand() {
    let text = SMALL.replace("users: 40", "users: 100000\nbefore: 30d");
    assert_eq!(
        told(&text),
        ["100000 | this makes about 21700000 rows; there is room for 1000000 | take fewer users, a shorter \
          `before`, or less in `a_day`"]
    );
}

#[test]
fn the_documented_example_is_a_scenario() {
    let (scenario, problems) = read("scenario.yaml", include_str!("../../../examples/scenario.yaml"));
    assert!(problems.is_empty(), "{}", problems.render(false));
    let play = scenario.unwrap().play().unwrap();
    assert!(
        play.world.len() > 1_000 && play.planted.len() > 50,
        "{} {}",
        play.world.len(),
        play.planted.len()
    );
}
