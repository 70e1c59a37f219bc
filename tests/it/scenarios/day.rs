//! A day with all faults at once, as far as no record is lost by them; the acceptance run plays it with
//! thousands of people.

use super::Stage;

/// A day of `users` people with all that can go wrong at once, as far as no record is lost by it.
fn day(users: u32, lasts: &str, shifts: &str, a_day: &str) -> Stage {
    let scenario = format!(
        "scenario: day
start: 2026-03-12T06:00:00Z
lasts: {lasts}
users: {users}
offices:
  - {{name: north, network: 192.0.2.0/25, share: 50%}}
  - {{name: south, network: 192.0.2.128/25, share: 30%}}
shifts: [{shifts}]
roaming: 2%
failures: 1%
a_day: {{{a_day}, sessions: 0, events: 0}}
releases: [{{at: 2h, version: 24.1.0.0, within: 3h}}]
attacks:
  - {{kind: guessing, at: 20m, within: 4m, acts: 12}}
  - {{kind: takeover, at: 40m, within: 6m, acts: 9}}
  - {{kind: guessing, at: 65m, within: 4m, acts: 12, endpoint: app_logins}}
  - {{kind: guessing, at: 90m, within: 4m, acts: 60, users: 5}}
  - {{kind: outage, at: 100m, within: 5m, acts: 60, users: 10}}
faults:
  - {{kind: late_births, by: 40s, one_in: 10}}
  - {{kind: order, by: oldest_first, endpoint: app_launches}}
  - {{kind: order, by: shuffled, endpoint: app_logins, every: 3}}
  - {{kind: spelling, by: mixed, endpoint: app_logins}}
  - {{kind: open_end, by: year_one, endpoint: app_logins}}
  - {{kind: unknown_fields}}
  - {{kind: numbers}}
  - {{kind: success_words}}
  - {{kind: inserted, rows: 3, every: 17}}
  - {{kind: time_passes, by: 1s, every: 97}}
  - {{kind: doubled, one_in: 50, endpoint: app_launches}}
  - {{kind: start_moves, by: 7m, one_in: 40, endpoint: app_logins}}
  - {{kind: total, by: 1, every: 89}}
  - {{kind: items_missing, every: 101}}
  - {{kind: throttled, limit: 5, time: 5, every: 211}}
  - {{kind: throttled, limit: 60, time: 60, retry_after: 30, every: 907}}
  - {{kind: internal, every: 103}}
  - {{kind: bad_gateway, every: 107}}
  - {{kind: unavailable, at: 30m, for: 90s}}
  - {{kind: gateway_timeout, every: 109}}
  - {{kind: error_in_200, every: 113}}
  - {{kind: html_in_200, every: 127}}
  - {{kind: cut, after: 300, every: 131}}
  - {{kind: truncated, every: 137}}
  - {{kind: slow, by: 35s, every: 139}}
  - {{kind: forbidden, at: 50m, times: 1}}
"
    );
    Stage {
        source: "requests: {per_second: 1, burst: 5}".to_owned(),
        lists: "desktop_logins, app_logins, app_launches",
        ..Stage::new(&scenario)
    }
}

/// People of the quick form.
const QUICK: u32 = 30;
/// Requests within a minute at one a second and five at once, and the one that is under way.
const BUSIEST: u64 = 60 + 5 + 1;

#[expect(clippy::disallowed_methods, reason = "how large the day is, is for the acceptance run to say")]
#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_all_faults_at_once_is_taken_in_whole_and_within_the_budget() {
    let users = std::env::var("LARUM_USERS").ok().map(|users| users.parse().unwrap());
    let stage = match users {
        Some(users) => {
            let shifts = "{from: \"06:00\", to: \"15:00\", share: 60%}, {from: \"12:00\", to: \"22:00\"}";
            day(users, "1d", shifts, "desktops: 2, apps: 1, launches: 2")
        }
        None => day(QUICK, "2h", "{from: \"06:00\", to: \"08:00\"}", "desktops: 6, apps: 4, launches: 4"),
    };
    let came = stage.play().await;
    came.is_true();
    let busiest = came.state["busiest_minute"].as_u64().unwrap();
    assert!(busiest <= BUSIEST, "{}", came.state);
    assert!(came.state["most_401_in_a_row"].as_u64() < Some(2), "{}", came.state);
    assert!(!came.latencies.is_empty(), "attacks are told of");
    let at = |percent: usize| came.latencies[(came.latencies.len() - 1) * percent / 100] / 1_000;
    println!(
        "{} users: {} rows, {} versions, {} requests, busiest minute {busiest}, {} alerts, record to alert p50 {} s, \
         p99 {} s",
        users.unwrap_or(QUICK),
        came.taken.len(),
        came.taken.len() + came.amended,
        came.state["requests"],
        came.latencies.len(),
        at(50),
        at(99)
    );
}
