//! What holds of every world and every request.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::tests_tools::{DESKTOPS, LAUNCHES, LOGINS, Service, TOKEN, WALL, body, header, ids, login, time};
use super::{Order, Trouble, What};
use crate::record::{Millis, Timestamp};

/// Logins at seconds after nine, each for so many seconds; none is still open.
fn world(sessions: &[(i64, Option<i64>)]) -> Vec<String> {
    let spelt = |time: Timestamp| time.to_string()[11..19].to_owned();
    let line = |(number, (start, lasts)): (usize, &(i64, Option<i64>))| {
        let start = time("09:00:00") + Millis::secs(*start);
        let end = lasts.map(|lasts| spelt(start + Millis::secs(lasts))).unwrap_or_default();
        login(&number.to_string(), &spelt(start), &end)
    };
    sessions.iter().enumerate().map(line).collect()
}

fn sessions() -> impl Strategy<Value = Vec<(i64, Option<i64>)>> {
    prop::collection::vec((0..900_i64, prop::option::of(0..900_i64)), 0..60)
}

/// Every page of the logins, until an empty one.
fn walk(service: &mut Service, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = ids(&service.post(&format!("{LOGINS}?limit={limit}&offset={}", all.len()), "{}"));
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Always the same ones.
fn cases() -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(20_230_605);
    ProptestConfig { cases: 64, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn pages_of_any_size_give_every_born_row_once(
        sessions in sessions(), limit in 1..=100_usize, now in 0..1_000_i64, by in 0..3_usize,
    ) {
        let mut service = Service::of(&world(&sessions));
        let by = [Order::NewestFirst, Order::OldestFirst, Order::Shuffled][by];
        service.simulation.troubles().add(Trouble::always(What::Order { by })).unwrap();
        let now = time("09:00:00") + Millis::secs(now);
        service.simulation.clock().set(now, WALL);
        let mut walked = walk(&mut service, limit);
        prop_assert_eq!(walked.len(), service.simulation.world().born(now));
        walked.sort();
        walked.dedup();
        prop_assert_eq!(walked.len(), service.simulation.world().born(now));
    }

    #[test]
    fn a_row_that_was_there_stays_and_nothing_tells_of_what_is_to_come(
        sessions in sessions(), first in 0..1_000_i64, later in 0..1_000_i64,
    ) {
        let mut service = Service::of(&world(&sessions));
        let mut before: Vec<String> = Vec::new();
        for after in [first, first + later] {
            let now = time("09:00:00") + Millis::secs(after);
            service.simulation.clock().set(now, WALL);
            let page = body(&service.post(&format!("{LOGINS}?limit=100"), "{}"));
            for row in page["items"].as_array().unwrap() {
                for (name, value) in row.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_time")) {
                    let time = Timestamp::parse(value.as_str().unwrap());
                    prop_assert!(time.is_none_or(|time| time <= now), "{} {}", name, value);
                }
            }
            let there = service.ids(LOGINS, 100);
            prop_assert!(before.iter().all(|id| there.contains(id)));
            before = there;
        }
    }

    #[test]
    fn whatever_comes_is_answered(
        method in "(GET|POST|PUT|DELETE|[A-Z]{1,5})",
        list in prop::sample::select(vec![LOGINS, LAUNCHES, DESKTOPS, "/simulate/clock", "/simulate/trouble", "/v3/auth/tokens", "/"]),
        query in "[-a-z_=&%+0-9:TZ]{0,40}",
        value in "\\PC{0,60}",
        sent in "(\\PC{0,60}|\\{\"[a-z_]{1,20}\":( ?[0-9]{1,20}|\"[-0-9TZ: a-z]{0,25}\")\\})",
    ) {
        let mut service = Service::of(&[login("1", "09:00:00", "")]);
        let authorization = format!("SDK-HMAC-SHA256 {value}");
        let signed = format!("SDK-HMAC-SHA256 Access=SIMULATED-ACCESS-KEY, SignedHeaders={value}, Signature={}", "a".repeat(64));
        for headers in [
            vec![("X-Auth-Token", TOKEN)],
            vec![("X-Auth-Token", value.as_str()), ("Content-Type", value.as_str())],
            vec![("Authorization", authorization.as_str()), ("X-Sdk-Date", value.as_str())],
            vec![("Authorization", signed.as_str()), ("X-Sdk-Date", "20261120T183000Z"), ("Host", value.as_str())],
        ] {
            let answer = service.send(&method, &format!("{list}?{query}"), &headers, &sent);
            prop_assert!((200..500).contains(&answer.status));
        }
    }
}

#[test]
fn a_clock_past_all_dates_still_has_one() {
    let mut service = Service::of(&[]);
    for (now, date) in
        [(Timestamp::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"), (Timestamp::MIN, "Thu, 01 Jan 1970 00:00:00 GMT")]
    {
        service.simulation.clock().set(now, WALL);
        let answer = service.post(LOGINS, "{}");
        assert_eq!((answer.status, header(&answer, "date")), (200, Some(date)));
    }
}

#[test]
fn the_order_of_a_files_lines_is_all_the_same() {
    let mut lines = world(&[(0, None), (300, Some(5)), (60, None), (60, None)]);
    let served = |lines: &[String]| {
        let mut ids = Service::of(lines).ids(LOGINS, 10);
        ids[1..3].sort();
        ids
    };
    let straight = served(&lines);
    lines.reverse();
    assert_eq!(served(&lines), straight);
    assert_eq!(straight, ["1", "2", "3", "0"]);
}
