//! A flood of invented names into one rule: what it costs, what it cannot push out, what is told.

use larum::engine::{Limits, Note};

use crate::world::{HOUR, Login, MINUTE, Run, World, rule};

/// Fifteen failures in a day, however slow.
const SLOW_BURN: &str = "match: {outcome: failure}\ncount: {at_least: 15, within: 24h, by: [user]}\n";
/// One address tries many accounts; it keeps one group an address.
const SPRAY: &str = "match: {outcome: failure}\ndistinct: {field: user, at_least: 5, within: 15m, by: [public_ip]}\ncooldown: 2d\n";

/// Bytes of state that one group with a single hit may cost.
const BYTES_A_GROUP: usize = 512;

fn notes_of(run: &Run<'_>) -> Vec<(String, usize)> {
    let note = |note: &Note| match note {
        Note::GroupsFull { rule, limit, .. } => Some((rule.to_string(), *limit)),
        Note::MemoryFull { .. } | Note::StandingLeftOut { .. } | Note::ScriptFault { .. } => None,
    };
    run.told.notes.iter().filter_map(note).collect()
}

/// `names` invented users fail once each into rules that keep `groups` groups.
fn flood(names: u32, groups: usize) {
    let world = World::bounded(&[rule("slow-burn", SLOW_BURN), rule("spray", SPRAY)], Limits { groups });
    let mut run = world.run();
    let of_ana =
        |number: u32| Login::failure(number, i64::from(number) * 90 * MINUTE, "ana").from("198.51.100.20");
    run.take(&[of_ana(0), of_ana(1)]);
    run.progress(100 * MINUTE);
    // The flood takes an hour, from one address.
    for chunk in (0..names).collect::<Vec<_>>().chunks(50_000) {
        let at = |number: u32| 2 * HOUR + i64::from(number) * HOUR / i64::from(names);
        let login = |number: &u32| {
            Login::failure(1_000 + number, at(*number), &format!("invented-{number}")).from("203.0.113.66")
        };
        let logins: Vec<Login> = chunk.iter().map(login).collect();
        run.take(&logins);
        run.progress(logins.last().map_or(0, |login| login.at));
    }
    let id = |name: &str| name.parse().unwrap();
    assert!(run.engine.groups(&id("slow-burn")) <= groups, "{} groups", run.engine.groups(&id("slow-burn")));
    let state = run.engine.snapshot().unwrap().bytes();
    let rows = usize::try_from(run.engine.rows().new).unwrap() * 64;
    assert!(state <= rows + groups * BYTES_A_GROUP, "{state} bytes of state");
    run.restart();

    run.take(&(2..15).map(of_ana).collect::<Vec<_>>());
    run.finish();
    let told: Vec<(&str, String)> = run
        .told
        .fired()
        .map(|fired| (fired.rule.as_str(), fired.group[0].1.clone().unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [("spray", "203.0.113.66".to_owned()), ("slow-burn", "ana".to_owned())],
        "the slow burn is found, and so is the address that floods"
    );
    assert_eq!(notes_of(&run), [("slow-burn".to_owned(), groups)], "told once, of this rule alone");
    let evicted: Vec<u64> = run.counters().iter().map(|(_, counters)| counters.groups_evicted).collect();
    assert!(evicted[0] >= u64::from(names) + 1 - groups as u64 && evicted[1] == 0, "{evicted:?}");
}

#[test]
fn a_flood_of_invented_names_hides_no_slow_burn_and_touches_no_other_rule() {
    flood(20_000, 2_000);
}

/// The whole of it; `tests/accept/run flood` runs it.
#[test]
#[ignore = "takes a while"]
fn a_million_invented_names_hide_no_slow_burn_and_touch_no_other_rule() {
    flood(1_000_000, 100_000);
    flood(1_000_000, larum::engine::MAX_GROUPS);
}
