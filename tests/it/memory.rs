//! What a rule is said to hold in memory, against what the process takes for it.

use std::process::Command;

use larum::record::RuleId;

use crate::world::{HOUR, Login, Run, World, rule};

/// Set in the process that is measured.
const ALONE: &str = "LARUM_TEST_ALONE";
const GROUPS: u32 = 150_000;

/// Bytes of this process that are in memory.
#[expect(clippy::disallowed_methods, reason = "the system tells it in a file")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Fails each user once.
fn fill(world: &World) -> (Run<'_>, u64) {
    let before = resident();
    let mut run = world.run();
    for chunk in (0..GROUPS).collect::<Vec<_>>().chunks(2_000) {
        let login = |number: &u32| Login::failure(*number, i64::from(*number), &format!("user-{number}"));
        let logins: Vec<Login> = chunk.iter().map(login).collect();
        run.take(&logins);
        run.progress(logins.last().map_or(0, |login| login.at));
    }
    run.progress(HOUR);
    (run, resident().saturating_sub(before))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that starts itself, told to do so")]
#[cfg_attr(not(target_os = "linux"), ignore = "reads what Linux tells of a process")]
fn what_a_rule_is_said_to_hold_is_near_what_it_takes() {
    if std::env::var(ALONE).is_err() {
        // In a process of its own, for what other tests take is not the rule's.
        let name = "memory::what_a_rule_is_said_to_hold_is_near_what_it_takes";
        let alone = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        print!("{}", String::from_utf8_lossy(&alone.stdout));
        return assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    }
    let id: RuleId = "r".parse().unwrap();
    let count = "count: {at_least: 5, within: 24h, by: [user]}\n";
    let nothing = World::new(&[rule("r", &format!("match: {{user: nobody}}\n{count}"))]);
    let every = World::new(&[rule("r", &format!("match: {{outcome: failure}}\n{count}"))]);
    // Rows are remembered whatever rules there are.
    let (without, rows) = fill(&nothing);
    let (with, all) = fill(&every);
    assert_eq!((without.engine.groups(&id), with.engine.groups(&id)), (0, GROUPS as usize));
    let said = with.engine.bytes().find(|(rule, _)| **rule == id).map(|(_, bytes)| bytes).unwrap();
    // What a process takes is the system's affair: it is told, and held against by whoever reads it.
    println!("said {said}, takes {}, rows {rows}", all.saturating_sub(rows));
    let a_group = said / u64::from(GROUPS);
    assert!((40..250).contains(&a_group), "{a_group} bytes a group by its own account");
}
