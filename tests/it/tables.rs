//! Truth tables by time: when a verb fires, hit by hit, to the millisecond.

use larum::alert::{Draft, State};

use super::world::{Login, SECOND, START, Told, World, rule};

/// Logins written as `0 ana | 20.5 ana ok`: seconds after the start, user, and `ok` for a success
/// or an address.
fn logins(story: &str) -> Vec<Login> {
    let login = |(number, text): (usize, &str)| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = millis(words[0]);
        let id = u32::try_from(number).unwrap();
        let mut login = Login::failure(id, at, words.get(1).unwrap_or(&"ana"));
        for word in words.iter().skip(2) {
            match *word {
                "ok" => login.failure = false,
                ip => login = login.from(ip),
            }
        }
        login
    };
    story.split('|').filter(|text| !text.trim().is_empty()).enumerate().map(login).collect()
}

fn millis(seconds: &str) -> i64 {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let part = format!("{part:0<3}");
    whole.parse::<i64>().unwrap() * SECOND + part.parse::<i64>().unwrap()
}

/// What was told of each alert, in order: `105 ana 6` when it fired, for whom and the count, with
/// `late`; `= 110 ana resolved` for what became of it.
fn table(told: &Told) -> String {
    let mut drafts = told.drafts.clone();
    drafts.sort_by_cached_key(Draft::order);
    let mut lines = Vec::new();
    let mut names = std::collections::BTreeMap::new();
    let shown = |at: i64| {
        let (whole, part) = ((at - START) / SECOND, (at - START) % SECOND);
        if part == 0 { whole.to_string() } else { format!("{whole}.{part:03}") }
    };
    for draft in &drafts {
        match draft {
            Draft::Fired(fired) => {
                let name = fired.group.first().and_then(|(_, value)| value.clone()).unwrap_or_default();
                let late = if fired.late { " late" } else { "" };
                lines.push(format!("{} {name} {}{late}", shown(fired.at.0), fired.finding.count));
                names.insert(fired.id, name);
            }
            Draft::Changed(change) if change.state == State::Resolved => {
                lines.push(format!("= {} {} resolved", shown(change.at.0), names[&change.id]));
            }
            Draft::Changed(_) => {}
        }
    }
    lines.join(" | ")
}

/// The rule of `body` tells `expected` of the logins of `story`.
#[track_caller]
fn check(body: &str, story: &str, expected: &str) {
    assert_eq!(table(&World::new(&[rule("r", body)]).told(&logins(story))), expected, "{body}\n{story}");
}

/// The same where each login arrives at its own time, or so many seconds later: `0 ana | 5 ana > 30`.
#[track_caller]
fn check_live(body: &str, story: &str, expected: &str) {
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    let mut arrivals: Vec<(i64, Login)> = Vec::new();
    for (number, part) in story.split('|').enumerate() {
        let (login, delay) = part.split_once('>').unwrap_or((part, "0"));
        let mut login = logins(login).remove(0);
        login.id = format!("row-{number}");
        arrivals.push((login.at + millis(delay.trim()), login));
    }
    arrivals.sort_by_key(|(at, _)| *at);
    for (at, login) in arrivals {
        run.progress(at - 1);
        run.take(&[login]);
        run.restart();
    }
    run.finish();
    assert_eq!(table(&run.told), expected, "{body}\n{story}");
}

// --- rate

const RATE: &str = "match: {outcome: failure}\nrate: {at_least: 3, drains_every: 10s, by: [user_name]}\n";

#[test]
fn a_bucket_fires_at_the_hit_that_makes_it_at_least_so_many() {
    check(RATE, "0 ana | 0 ana | 0 bob | 0 ana", "0 ana 3");
    check(RATE, "0 ana | 5 ana | 9.999 ana", "9.999 ana 3");
}

#[test]
fn a_unit_has_drained_at_exactly_its_time() {
    check(RATE, "0 ana | 0 ana | 9.999 ana", "9.999 ana 3");
    check(RATE, "0 ana | 0 ana | 10 ana", "");
    // The second unit drains after the first, not beside it.
    check(RATE, "0 ana | 0 ana | 19.999 ana | 20 ana", "");
    check(RATE, "0 ana | 0 ana | 10 ana | 19.999 ana", "19.999 ana 3");
}

#[test]
fn hits_as_fast_as_the_bucket_drains_never_fire() {
    let story: Vec<String> = (0..100).map(|n| format!("{} ana", n * 10)).collect();
    check(RATE, &story.join(" | "), "");
}

#[test]
fn a_millisecond_faster_fires_in_the_end_however_little_is_remembered() {
    let body = "match: {outcome: failure}\nrate: {at_least: 2, drains_every: 100ms, by: [user_name]}\nlate_within: 1s\n";
    // 99 ms apart, each hit finds 1 ms more than the one before; two units are there at the second.
    check(body, "0 ana | 0.099 ana", "0.099 ana 2");
    // Of three units, the bucket holds more than two when it has gained 100 ms.
    let body = "match: {outcome: failure}\nrate: {at_least: 3, drains_every: 100ms, by: [user_name]}\nlate_within: 1s\n";
    let story: Vec<String> =
        (0..120).map(|n| format!("{}.{:03} ana", n * 99 / 1000, n * 99 % 1000)).collect();
    check_live(body, &story.join(" | "), "9.999 ana 3");
}

#[test]
fn firing_empties_the_bucket() {
    let body = format!("{RATE}cooldown: off\n");
    check(&body, "0 ana | 0 ana | 0 ana | 1 ana | 1 ana | 1 ana", "0 ana 3 | 1 ana 3");
    check(&body, "0 ana | 0 ana | 0 ana | 1 ana | 1 ana", "0 ana 3");
}

#[test]
fn a_bucket_that_fired_is_quiet_as_long_as_it_takes_to_drain() {
    check(RATE, "0 ana | 0 ana | 0 ana | 29 ana | 29 ana | 29.999 ana", "0 ana 3");
    check(RATE, "0 ana | 0 ana | 0 ana | 29 ana | 29 ana | 30 ana", "0 ana 3 | 30 ana 3");
}

#[test]
fn a_full_bucket_lets_hits_go_by_while_its_group_is_held_back() {
    let flood = "0 ana | 0 ana | 0 ana | 1 ana | 1 ana | 1 ana | 1 ana | 1 ana | 1 ana";
    check(RATE, &format!("{flood} | 30 ana"), "0 ana 3");
    check(RATE, &format!("{flood} | 10.999 ana | 30 ana"), "0 ana 3");
    check(RATE, &format!("{flood} | 20 ana | 21 ana | 30 ana"), "0 ana 3 | 30 ana 3");
}

#[test]
fn only_a_value_that_is_not_in_the_bucket_pours() {
    let body = "match: {outcome: failure}\nrate: {at_least: 3, drains_every: 10s, distinct: user_name, by: [public_ip]}\n";
    check(body, "0 a | 0 b | 1 a | 1 b | 2 a", "");
    check(body, "0 a | 0 b | 1 a | 2 c", "2 203.0.113.1 3");
    // `a` has drained at 10 and pours again.
    check(body, "0 a | 0 b | 9.999 a | 10 a | 10 c", "10 203.0.113.1 3");
}

#[test]
fn a_late_hit_pours_at_its_own_time() {
    check_live(RATE, "0 ana | 2 ana | 1 ana > 60 | 100 bob", "2 ana 3 late");
    // At 12 the first unit has drained with and without the late hit.
    check_live(RATE, "0 ana | 12 ana | 1 ana > 60 | 100 bob", "");
    // Its unit keeps the later ones in the bucket for longer, far beyond its own time.
    let story = "0 ana | 9 ana | 18 ana | 27 ana | 36 ana | 45 ana | 1 ana > 90 | 200 bob";
    check_live(RATE, story, "9 ana 3 late");
    let story = "0 ana | 9 ana | 18 ana | 27 ana | 36 ana | 45 ana | 11 ana > 90 | 200 bob";
    check_live(RATE, story, "18 ana 3 late");
}

#[test]
fn a_late_hit_before_a_firing_finds_the_bucket_that_the_firing_emptied() {
    check_live(RATE, "0 ana | 0 ana | 0 ana | 31 ana | 31 ana | 0 ana > 60 | 200 bob", "0 ana 3");
}
