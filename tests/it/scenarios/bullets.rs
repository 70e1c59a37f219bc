//! What the vendor's service is known to do (`reference/huawei-api.md`, 15), a scenario each.
//!
//! | what it does | played by |
//! | --- | --- |
//! | newest first, oldest first | every test, `rows_come_in_any_order`, `rows_change_their_order_in_the_middle_of_a_walk` |
//! | rows born late | `rows_are_born_late` |
//! | open rows that end later, `update_time` moving | `rows_come_in_any_order` counts the amendments, every test compares ends |
//! | `start_time` moving on reconnect | `a_start_moves_when_a_session_is_resumed` |
//! | rows inserted between two pages | `rows_come_in_between_two_pages` |
//! | total differing from rows | `totals_lie` |
//! | both hosts | `both_hosts_are_apart` |
//! | token and signature, both verified | every test, `lives::a_token_that_is_no_longer_taken_is_renewed_once` |
//! | 15-minute skew | `the_services_clock_is_twenty_minutes_ahead` |
//! | lock after more than five bad signatures | `vendor::a_wrong_key_is_asked_once_and_told_of` |
//! | 0307 once, then a new token | `lives::a_token_that_is_no_longer_taken_is_renewed_once` |
//! | 429, with and without `Retry-After` | `it_throttles_with_and_without_saying_for_how_long` |
//! | 500, 502 HTML, 503, 504 | `it_fails_for_a_while_in_every_way` |
//! | slow answers over 30 s, cut connections | `answers_are_slow_cut_off_or_broken` |
//! | 200 with an error body, 200 HTML | `a_200_is_an_error_or_a_page_for_people` |
//! | items null or missing | `the_list_is_null_or_not_there` |
//! | all time spellings, the year-1 sentinel | `times_are_spelt_in_every_way_and_open_ends_too` |
//! | unknown fields, numbers for strings | `fields_are_unknown_numbers_nulls_or_absent` |
//! | duplicate ids | `ids_come_twice`, `two_rows_bear_one_id` |
//! | desktop records without any id, equal twins | `desktop_rows_have_no_ids_and_equal_twins` |
//! | export tasks: CREATING to SUCCESS, FAIL, EXPIRED | `export::a_task_that_was_left_is_gone_on_with_and_none_is_begun_twice`, `export::what_cannot_be_had_is_told_with_the_way_out` |
//! | 403 with `encoded_authorization_message` | `rights_are_taken_away_and_given_back` |
//! | 400 for windows over 30 days and half-given ones | no test here meets one ([`super::Came::is_true`]), the longest outage included (`lives`) |

use larum::daemon::clock::Clock;
use larum::record::{Millis, Timestamp};

use super::{Came, Stage};

/// Two hours of twenty people, with `faults`.
fn hours(faults: &str) -> Stage {
    Stage::new(&format!(
        "scenario: bullet\nstart: 2026-03-12T08:00:00Z\nlasts: 2h\nusers: 20\nfailures: 10%\n\
         shifts: [{{from: \"08:00\", to: \"10:00\"}}]\na_day: {{desktops: 3, apps: 3, launches: 3, sessions: 2, events: 2}}\n\
         faults:\n{faults}\n"
    ))
}

/// The same; every row is taken in once.
async fn holds(faults: &str) -> Came {
    let came = hours(faults).play().await;
    came.is_true();
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_any_order() {
    let oldest = holds("  - {kind: order, by: oldest_first}").await;
    assert!(oldest.amended > 50, "rows that were open have ended: {}", oldest.amended);
    holds("  - {kind: order, by: shuffled}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_change_their_order_in_the_middle_of_a_walk() {
    // Several pages a poll and ten an hour, of which each third comes in another order.
    let stage = Stage::new(
        "scenario: stirred\nstart: 2026-03-12T08:00:00Z\nlasts: 2h\nusers: 40\nfailures: 10%\n\
         shifts: [{from: \"08:00\", to: \"10:00\"}]\na_day: {apps: 50}\n\
         faults: [{kind: order, by: shuffled, every: 3}]\n",
    );
    let came = Stage { lists: "app_logins", ..stage }.play().await;
    came.is_true();
    assert!(came.truth.len() > 1_800, "{}", came.truth.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_born_late() {
    holds("  - {kind: late_births, by: 10m, one_in: 3}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_moves_when_a_session_is_resumed() {
    // Only where a row has a key of its own: its start is part of a desktop row's identity.
    holds("  - {kind: start_moves, by: 7m, one_in: 3, endpoint: app_logins}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_between_two_pages() {
    holds("  - {kind: inserted, rows: 3, every: 3}\n  - {kind: time_passes, by: 20s, every: 4}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_lie() {
    holds("  - {kind: total, by: 3, every: 2}").await;
    holds("  - {kind: total, by: -3, every: 3}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hosts_are_apart() {
    let came = Stage { apart: true, ..hours("  - {kind: internal, times: 1}") }.play().await;
    came.is_true();
    assert_eq!(came.answered("404"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_clock_is_twenty_minutes_ahead() {
    let stage = hours("  - {kind: internal, times: 1}");
    let came = Stage { scenario: format!("{}skew: 20m\n", stage.scenario), ..stage }.play().await;
    came.is_true();
    assert_eq!(came.answered("401"), 1, "the first signature told how late it is there: {}", came.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_throttles_with_and_without_saying_for_how_long() {
    let came = holds(
        "  - {kind: throttled, limit: 5, time: 60, at: 20m, for: 5m}\n  \
         - {kind: throttled, limit: 1, time: 1, retry_after: 40, at: 1h, times: 4}",
    )
    .await;
    assert!(came.answered("429") > 4, "{}", came.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_for_a_while_in_every_way() {
    let came = holds(
        "  - {kind: internal, at: 5m, for: 3m}\n  - {kind: bad_gateway, at: 20m, for: 3m}\n  \
         - {kind: unavailable, at: 40m, for: 20m}\n  - {kind: gateway_timeout, every: 7}",
    )
    .await;
    for status in ["500", "502", "503", "504"] {
        assert!(came.answered(status) > 0, "{status}: {}", came.state);
    }
    assert!(came.own.contains("larum-source-failing"), "{:?}", came.own);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_slow_cut_off_or_broken() {
    holds(
        "  - {kind: slow, by: 45s, every: 5}\n  - {kind: cut, after: 250, every: 6}\n  \
         - {kind: cut, after: 0, every: 11}\n  - {kind: truncated, every: 8}",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_is_an_error_or_a_page_for_people() {
    holds("  - {kind: error_in_200, every: 4}\n  - {kind: html_in_200, every: 5}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_null_or_not_there() {
    holds("  - {kind: items_null, every: 4}\n  - {kind: items_missing, every: 5}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_spelt_in_every_way_and_open_ends_too() {
    for end in ["year_one", "empty", "null"] {
        holds(&format!("  - {{kind: spelling, by: mixed}}\n  - {{kind: open_end, by: {end}}}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_unknown_numbers_nulls_or_absent() {
    holds("  - {kind: unknown_fields}\n  - {kind: numbers}\n  - {kind: nulls}\n  - {kind: success_words}")
        .await;
    holds("  - {kind: absent}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_twice() {
    holds("  - {kind: doubled, one_in: 3, endpoint: app_logins}\n  - {kind: doubled, one_in: 2, endpoint: sessions}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_bear_one_id() {
    let bearing = "  - {kind: same_ids, one_in: 3, endpoint: app_logins}";
    let came = Stage { lists: "app_logins", ..hours(bearing) }.play().await;
    let of_one_id = came.true_versions.len() - came.truth.len();
    assert!(of_one_id > 10, "{of_one_id}");
    let missing = came.true_versions.difference(&came.versions).count();
    assert_eq!((missing, came.repeated), (0, 0), "of {}: {}", came.true_versions.len(), came.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn desktop_rows_have_no_ids_and_equal_twins() {
    let twins = "  - {kind: no_ids}\n  - {kind: doubled, one_in: 3, endpoint: desktop_logins}";
    let came = Stage { lists: "desktop_logins", ..hours(twins) }.play().await;
    came.is_true();
    assert!(came.truth.len() > 70, "{}", came.truth.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_taken_away_and_given_back() {
    let came = holds("  - {kind: forbidden, at: 30m, for: 20m, endpoint: app_logins}").await;
    assert_eq!(came.answered("403"), 1, "a refusal is tried again after half an hour: {}", came.state);
    assert!(came.own.contains("larum-source-failing"), "{:?}", came.own);
}

#[tokio::test]
async fn a_led_clock_is_moved_by_the_one_who_leads() {
    let clock = Clock::led(Timestamp(0));
    let (leader, follower) = (clock.leading(), clock.clone());
    let leading = async {
        leader.sleep(Millis(60)).await;
        assert_eq!(clock.now(), Timestamp(60));
        leader.sleep(Millis(60)).await;
    };
    // The first is asked first, so that it waits when the other moves the clock.
    tokio::join!(follower.sleep(Millis(100)), leading);
    assert_eq!(clock.now(), Timestamp(120));
}
