//! What the best engineers would insist on, claim by claim, and the tests that hold each.
//!
//! Where a claim was decided otherwise than it is usually made, the line says how. A test that is
//! renamed or goes away is missed here.

use std::collections::BTreeSet;
use std::path::Path;

use larum::alert::AlertId;
use proptest::prelude::*;

use crate::world::{Login, MINUTE, SECOND, World, cases, rule};

/// Number, claim, tests.
const CLAIMS: &[(u8, &str, &[&str])] = &[
    (
        1,
        "a record is known by its source, the vendor's key and the phase: read again it is nothing, changed it is an amendment",
        &[
            "a_row_of_the_vendor_is_known_by_region_project_endpoint_and_key",
            "order_batching_and_repetition_ahead_of_the_watermark_change_nothing",
            "a_value_that_appears_later_counts_once",
            "an_amended_record_is_there_for_rules_that_ask_and_counts_once",
        ],
    ),
    (
        2,
        "only event time enters rules",
        &[
            "what_the_table_forbids_is_seen_however_it_is_spelt",
            "modules_name_only_what_the_table_allows",
            "a_journal_tells_the_same_again_byte_for_byte_whatever_restarts_there_are",
        ],
    ),
    (
        3,
        "a watermark is the end of the last whole reading less what settles; a failing poll holds it, and a rule waits for its least",
        &[
            "a_poll_reads_every_page_and_says_up_to_when_it_is_complete",
            "troubles_that_pass_hold_the_watermark_and_are_tried_again_ever_later",
            "settle_follows_how_late_rows_appear_and_outlives_the_poller",
            "a_rule_waits_for_the_slowest_source_that_it_may_hear_from",
            "a_watermark_never_goes_back",
        ],
    ),
    (
        4,
        "records are judged in event order behind the watermark, so that order, batches, repetition and restarts change nothing",
        &[
            "order_batching_and_repetition_ahead_of_the_watermark_change_nothing",
            "a_watermark_in_steps_is_one_at_the_end",
            "each_row_just_ahead_of_the_watermark_is_as_good_as_all_at_once",
            "a_life_after_a_snapshot_is_the_same_life",
        ],
    ),
    (
        5,
        "what is late is put in at its time, told as late, never taken back; what is too late is counted",
        &[
            "a_late_record_raises_one_late_alert_where_the_condition_now_holds_and_no_alert_covers_it",
            "a_record_is_late_up_to_the_watermark_and_too_late_beyond_late_within",
            "a_rule_without_state_fires_however_late_a_record_is",
        ],
    ),
    (
        6,
        "a record dated more than five minutes ahead is set aside and moves no watermark",
        &[
            "a_lone_row_ahead_is_future",
            "five_minutes_ahead_need_no_other_row",
            "rows_ahead_of_the_clock_wait_for_their_time_are_told_of_and_move_no_watermark",
            "by_a_clock_no_row_confirms_another_and_each_comes_in_its_time",
            "equal_rows_without_a_key_are_twins_and_rows_ahead_of_now_are_set_aside",
        ],
    ),
    (
        7,
        "a time without a zone is UTC, whichever the source; records of one instant stand in the order of their ids",
        &["every_vendor_spelling_of_a_time_is_read", "records_of_one_minute_stand_in_the_order_of_their_ids"],
    ),
    (
        8,
        "a window is (t - w, t] to the millisecond, and the fifth fires",
        &[
            "a_window_leaves_out_its_beginning_and_holds_its_end",
            "a_window_of_distinct_values_leaves_out_its_beginning",
            "a_window_of_samples_leaves_out_its_beginning",
            "the_number_in_the_file_is_the_number_that_fires",
        ],
    ),
    (
        9,
        "a rule fires when its condition begins to hold; it fires again when its cooldown is over, and meanwhile updates its alert",
        &[
            "a_hit_at_exactly_the_end_of_a_cooldown_fires",
            "a_cooldown_runs_from_the_firing_and_is_never_lengthened",
            "ten_times_the_count_is_news_and_so_is_ten_times_that",
            "every_verb_fires_when_its_slow_model_does",
        ],
    ),
    (
        10,
        "cooldown, learning, forgetting and exceptions are in event time",
        &[
            "an_alert_closes_at_exactly_the_end_of_its_cooldown",
            "a_group_has_learnt_at_exactly_the_end_of_learn",
            "a_value_is_forgotten_at_exactly_the_end_of_forget",
            "an_exception_ends_at_exactly_its_until",
        ],
    ),
    (
        11,
        "a record without a field of `by` is skipped and counted, or makes a group of its own",
        &["a_record_without_a_group_is_counted_or_makes_one_of_its_own"],
    ),
    (
        12,
        "empty text is a value, null and absent are none (`null` in a rule means either); a user is one however the account is spelt, and the spelling is kept",
        &[
            "empty_is_a_value_and_null_and_absent_are_none",
            "one_account_has_one_user",
            "a_user_is_one_and_its_spelling_is_kept",
        ],
    ),
    (
        13,
        "an alert's id is a digest of tenant, rule, meaning, group and the record that tipped it (not the first one: what comes late before it would change the id); of a deadline, the instant",
        &[
            "an_alert_has_one_id_whatever_the_batches_and_the_node",
            "a_life_after_a_snapshot_is_the_same_life",
            "a_rule_that_was_told_before_it_learnt_tells_nothing_twice",
        ],
    ),
    (
        17,
        "groups, records of a group and values are bounded, the least worth goes first, and it is counted and told; a count over its bound is exact over what is kept, and there is no sketch",
        &[
            "over_the_bound_the_group_with_fewest_hits_goes_then_the_oldest_then_by_key",
            "a_group_with_too_many_records_lets_the_oldest_go_and_counts_it",
            "a_group_with_too_many_values_forgets_those_longest_unused_and_counts_them",
            "a_group_with_too_many_sessions_lets_the_oldest_go_and_counts_it",
        ],
    ),
    (
        18,
        "a million invented names push out no other rule's state, and the address they come from is still found",
        &[
            "a_flood_of_invented_names_hides_no_slow_burn_and_touches_no_other_rule",
            "a_million_invented_names_hide_no_slow_burn_and_touch_no_other_rule",
        ],
    ),
    (
        19,
        "percentiles are nearest-rank and exact at any number of samples; over the bound the oldest samples leave, and there is no sketch",
        &[
            "every_verb_fires_when_its_slow_model_does",
            "sums_do_not_depend_on_order",
            "a_percentile_of_many_samples_is_exact",
        ],
    ),
    (
        20,
        "a baseline asks for days and for records; what failed teaches nothing, nor do the records of a high alert while it is open (acknowledged or not: that is no part of the journal)",
        &[
            "a_group_has_learnt_at_exactly_the_end_of_learn",
            "failures_teach_nothing",
            "whoever_is_told_of_at_a_high_level_does_not_become_usual",
            "a_device_of_a_high_alert_is_not_known_the_day_after",
            "rules_of_high_alerts_remember_what_the_slow_model_does",
            "what_one_rule_tells_of_another_may_learn_from",
            "an_attackers_failures_make_no_address_known",
            "five_failures_and_a_success_are_high_from_a_new_device_and_low_from_a_known_one",
        ],
    ),
    (
        21,
        "words that change keep a rule's state; a changed meaning learns from the journal, and of the past only what still holds is told",
        &[
            "new_words_keep_what_was_counted_and_are_used_at_once",
            "rules_that_mean_the_same_do_not_notice_a_new_generation",
            "a_changed_rule_tells_of_the_past_only_what_still_holds_once_a_group",
            "a_changed_rule_has_learnt_and_says_nothing_where_nothing_holds",
        ],
    ),
    (
        30,
        "hours are those of an IANA zone, whatever its clocks do",
        &[
            "where_clocks_go_forward_the_hour_that_is_missing_is_nobodys",
            "where_clocks_go_back_the_hour_that_comes_twice_counts_twice",
            "a_span_holds_its_start_and_not_its_end",
            "an_exception_until_a_day_holds_to_the_end_of_that_day",
            "time_within_hours_passes_as_if_counted_minute_by_minute",
        ],
    ),
];

/// The names of all functions of tests, here and beside the code.
#[expect(clippy::disallowed_methods, reason = "reads the tests")]
pub fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some((name, _)) = name.filter(|_| is_test).and_then(|rest| rest.split_once('(')) {
                    names.insert(name.to_owned());
                }
                is_test = line.starts_with("#[test]")
                    || line.starts_with("#[tokio::test")
                    || (is_test && line.starts_with("#["));
            }
        }
    }
}

#[test]
fn every_claim_is_held_by_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    tests(&root.join("src"), &mut names);
    tests(&root.join("tests"), &mut names);
    assert!(names.len() > 500, "{}", names.len());
    for (number, claim, held_by) in CLAIMS {
        assert!(!held_by.is_empty() && !claim.is_empty(), "{number}");
        for test in *held_by {
            assert!(names.contains(*test), "{number}, {claim}: there is no test `{test}`");
        }
    }
}

#[test]
fn the_number_in_the_file_is_the_number_that_fires() {
    let world = World::new(&[rule(
        "r",
        "match: {outcome: failure}\ncount: {at_least: 5, within: 10m, by: [user]}\n",
    )]);
    let failures: Vec<Login> =
        (0_u32..5).map(|number| Login::failure(number, i64::from(number) * MINUTE, "ana")).collect();
    assert!(world.told(&failures[..4]).times().is_empty());
    assert_eq!(world.told(&failures).times(), [4 * MINUTE]);
    // The first one at exactly the beginning of the window is out of it, a millisecond later it is in.
    let moved = |first: i64| {
        let mut moved = failures.clone();
        (moved[0].at, moved[4].at) = (first, 10 * MINUTE);
        world.told(&moved).times()
    };
    assert!(moved(0).is_empty());
    assert_eq!(moved(1), [10 * MINUTE]);
}

#[test]
fn records_of_one_minute_stand_in_the_order_of_their_ids() {
    // Which of two that came in one minute is first decides which value was there before.
    let world = World::new(&[rule(
        "r",
        "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user], same_net: off}\n",
    )]);
    let logins =
        [Login::success(1, 0, "ana").from("192.0.2.1"), Login::success(2, 0, "ana").from("192.0.2.2")];
    let batch = world.batch(&logins.iter().map(Login::line).collect::<Vec<_>>());
    let id = |row: usize| batch.record(row, larum::record::Phase::Start).id();
    let second = if id(0) < id(1) { "192.0.2.2" } else { "192.0.2.1" };
    for order in [[0, 1], [1, 0]] {
        let mut run = world.run();
        for place in order {
            run.take(&logins[place..=place]);
        }
        run.finish();
        let values: Vec<_> = run.told.fired().map(|fired| fired.finding.actual["value"].clone()).collect();
        assert_eq!(values, [second]);
    }
}

#[test]
fn a_record_without_a_group_is_counted_or_makes_one_of_its_own() {
    let body = |missing: &str| {
        format!(
            "match: {{outcome: failure}}\ncount: {{at_least: 2, within: 10m, by: [public_ip]{missing}}}\n"
        )
    };
    let world = World::new(&[rule("own", &body(", missing: own")), rule("skip", &body(""))]);
    let nowhere = |id: u32, ip: Option<&str>| Login {
        ip: ip.map(str::to_owned),
        ..Login::failure(id, i64::from(id) * SECOND, "ana")
    };
    let mut run = world.run();
    // Absent, empty and unknown are no group; the address is one.
    run.take(&[
        nowhere(1, None),
        nowhere(2, Some("")),
        nowhere(3, Some("0.0.0.0")),
        nowhere(4, Some("192.0.2.1")),
        nowhere(5, Some("::ffff:192.0.2.1")),
    ]);
    run.finish();
    let told: Vec<_> =
        run.told.fired().map(|fired| (fired.rule.as_str(), fired.group[0].1.clone())).collect();
    let address = Some("192.0.2.1".to_owned());
    assert_eq!(told, [("own", None), ("own", address.clone()), ("skip", address)]);
    let missing: Vec<u64> = run.counters().iter().map(|(_, counters)| counters.group_field_missing).collect();
    assert_eq!(missing, [0, 3]);
}

/// Which of `rows` a rule with this `match` hits.
fn hits(matches: &str, rows: &[&str]) -> Vec<usize> {
    let world = World::new(&[rule("r", &format!("match: {matches}\n"))]);
    let line = |(number, fields): (usize, &&str)| {
        format!(r#"{{"id":"{number}","kind":"login","start_time":"2026-01-05T09:00:0{number}Z"{fields}}}"#)
    };
    let mut run = world.run();
    run.take_lines(&rows.iter().enumerate().map(line).collect::<Vec<_>>());
    let second = |at: i64| usize::try_from(at / SECOND).unwrap();
    run.told.times().into_iter().map(second).collect()
}

#[test]
fn empty_is_a_value_and_null_and_absent_are_none() {
    let rows = ["", r#","client_type":null"#, r#","client_type":"""#, r#","client_type":"Linux""#];
    assert_eq!(hits("{client_type: ''}", &rows), [2]);
    assert_eq!(hits("{client_type: null}", &rows), [0, 1]);
    assert_eq!(hits("{client_type|exists: true}", &rows), [2, 3]);
    assert_eq!(hits("{client_type|exists: false}", &rows), [0, 1]);
    assert_eq!(hits("{client_type: linux}", &rows), [3]);
}

#[test]
fn a_user_is_one_and_its_spelling_is_kept() {
    let rows = [
        r#","user_name":"Ana""#,
        r#","user_name":"CORP\\ana""#,
        r#","user_name":"ana@corp.example""#,
        r#","user_name":"anna""#,
    ];
    assert_eq!(hits("{user: ana}", &rows), [0, 1, 2]);
    assert_eq!(hits("{user_name: 'CORP\\ana'}", &rows), [1]);
    assert_eq!(hits("{user_name|cased: Ana}", &rows), [0]);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn an_alert_has_one_id_whatever_the_batches_and_the_node(
        size in 1..9_usize,
        turned in any::<bool>(),
        at in prop::collection::vec(0..40_i64, 6..20),
    ) {
        let world = World::new(&[rule("r", "match: {outcome: failure}\ncount: {at_least: 3, within: 2m, by: [user]}\n")]);
        let mut logins: Vec<Login> =
            (0_u32..).zip(&at).map(|(id, at)| Login::failure(id, at * 10 * SECOND, "ana")).collect();
        let ids = |told: &crate::world::Told| told.fired().map(|fired| fired.id).collect::<BTreeSet<AlertId>>();
        let at_once = ids(&world.told(&logins));
        if turned {
            logins.reverse();
        }
        let (mut run, mut other) = (world.run(), world.run());
        for part in logins.chunks(size) {
            run.take(part);
            run.restart();
            other.take(part);
            // Another node, that has read everything twice.
            other.take(part);
        }
        run.finish();
        other.finish();
        prop_assert_eq!(&ids(&run.told), &at_once);
        prop_assert_eq!(&ids(&other.told), &at_once);
    }

    #[test]
    fn a_percentile_of_many_samples_is_exact(mut values in prop::collection::vec(1..1_000_u32, 200..1_200), percent in 1..100_usize) {
        let body = format!(
            "match: {{outcome: success}}\nmeasure: {{field: e2e_rtt, stat: p{percent}, above: 0, within: 1d, at_least: {}, by: [user]}}\n",
            values.len()
        );
        let world = World::new(&[rule("r", &body)]);
        let logins: Vec<Login> = (0_u32..)
            .zip(&values)
            .map(|(id, rtt)| Login::success(id, i64::from(id) * SECOND, "ana").rtt(*rtt))
            .collect();
        let told = world.told(&logins);
        values.sort_unstable();
        // Nearest rank.
        let rank = (values.len() * percent).div_ceil(100);
        let actual: Vec<_> = told.fired().map(|fired| fired.finding.scope["value"].clone()).collect();
        prop_assert_eq!(actual, vec![serde_json::Value::from(values[rank - 1])]);
    }
}
