//! Truth tables by time: when a verb fires, hit by hit, to the millisecond.

use larum::alert::{Draft, State};
use larum::engine::SourceId;

use super::world::{Login, SECOND, SOURCE, START, Told, World, rule, time};

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

// --- absent

const ABSENT: &str = "match: {outcome: failure}\nabsent: {for: 30s, by: [user_name]}\n";

#[test]
fn silence_is_told_so_long_after_the_last_hit_and_once() {
    check(ABSENT, "0 ana | 10 ana", "40 ana 0");
    check(ABSENT, "0 ana | 10 bob", "30 ana 0 | 40 bob 0");
}

#[test]
fn a_hit_at_the_very_deadline_comes_before_it() {
    check(ABSENT, "0 ana | 30 ana", "60 ana 0");
    check(ABSENT, "0 ana | 30.001 ana", "30 ana 0 | = 30.001 ana resolved | 60.001 ana 0");
}

#[test]
fn what_is_no_hit_does_not_end_a_silence() {
    check(ABSENT, "0 ana | 20 ana ok", "30 ana 0");
}

#[test]
fn a_group_that_retires_is_forgotten_and_begins_anew() {
    let body =
        "match: {outcome: failure}\nabsent: {for: 30s, by: [user_name], retire: 60s}\nlate_within: off\n";
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    run.take(&logins("0 ana"));
    run.progress(60 * SECOND);
    let states: Vec<(i64, State)> = run
        .told
        .drafts
        .iter()
        .filter_map(|draft| match draft {
            Draft::Changed(change) => Some((change.at.0 - START, change.state)),
            Draft::Fired(_) => None,
        })
        .collect();
    assert_eq!(states, [(60 * SECOND, State::Closed)]);
    run.progress(61 * SECOND);
    let id = run.engine.generation().programs.list[0].rule.id().clone();
    assert_eq!(run.engine.groups(&id), 0);
    let mut later = logins("100 ana");
    later[0].id = "later".to_owned();
    run.take(&later);
    run.finish();
    assert_eq!(table(&run.told), "30 ana 0 | 130 ana 0");
}

#[test]
fn a_cooldown_puts_the_next_silence_off() {
    let body = format!("{ABSENT}cooldown: 1m\n");
    check(&body, "0 ana | 40 ana", "30 ana 0 | = 40 ana resolved | 90 ana 0");
}

#[test]
fn a_late_hit_ends_a_silence_or_finds_it_told() {
    check_live(ABSENT, "0 ana | 20 ana > 60 | 100 bob", "30 ana 0 | 130 bob 0");
    let told = "30 ana 0 | = 40 ana resolved | 70 ana 0 late | 130 bob 0";
    check_live(ABSENT, "0 ana | 40 ana > 60 | 100 bob", told);
    check_live(
        ABSENT,
        "0 ana | 60 ana > 10 | 100 bob",
        "30 ana 0 | = 60 ana resolved | 90 ana 0 | 130 bob 0",
    );
    let told = "30 ana 0 late | = 100 ana resolved | 130 ana 0 | 330 bob 0";
    check_live(ABSENT, "100 ana | 0 ana > 150 | 300 bob", told);
    check_live(ABSENT, "100 ana | 80 ana > 100 | 300 bob", "130 ana 0 | 330 bob 0");
}

#[test]
fn nobody_is_silent_while_a_source_cannot_be_read() {
    let world = World::new(&[rule("r", ABSENT)]);
    let mut run = world.run();
    let other = SourceId(1);
    run.engine.add_source(other, None);
    run.take(&logins("0 ana | 0 bob"));
    let at = |seconds: i64| time(seconds * SECOND);
    assert!(run.engine.progress(other, at(10), at(10)).drafts.is_empty());
    assert!(run.engine.leave(other).drafts.is_empty());
    // The other source goes on, its hits are judged, and silence cannot be told from blindness.
    let mut later = logins("50 bob");
    later[0].id = "later".to_owned();
    run.take(&later);
    assert!(run.engine.progress(SOURCE, at(200), at(200)).drafts.is_empty());
    run.restart();
    run.engine.add_source(other, None);
    assert!(run.engine.progress(other, at(29), at(29)).drafts.is_empty());
    // Whatever came in between from bob is known by now: it was a hit that ended the silence.
    let told =
        |outcome: larum::engine::Outcome| table(&Told { drafts: outcome.drafts, notes: outcome.notes });
    assert_eq!(told(run.engine.progress(other, at(79), at(79))), "30 ana 0");
    assert_eq!(told(run.engine.progress(other, at(80), at(80))), "80 bob 0");
}

#[test]
fn a_source_that_was_removed_is_waited_for_no_more() {
    let world = World::new(&[rule("r", ABSENT)]);
    let mut run = world.run();
    let (other, at) = (SourceId(1), |seconds: i64| time(seconds * SECOND));
    run.engine.add_source(other, None);
    run.take(&logins("0 ana"));
    run.engine.progress(other, at(10), at(10));
    run.engine.leave(other);
    run.engine.progress(SOURCE, at(200), at(200));
    let gone = run.engine.remove(other);
    assert_eq!(table(&Told { drafts: gone.drafts, notes: gone.notes }), "30 ana 0");
}

// --- sequence

const SEQUENCE: &str = "sequence:\n  by: [user_name]\n  within: 30s\n  steps:\n    - {name: failures, match: {outcome: failure}, at_least: 3}\n    - {name: success, match: {outcome: success}}\n";

#[test]
fn a_sequence_fires_at_the_record_that_completes_its_last_step() {
    check(SEQUENCE, "0 ana | 1 ana | 2 ana | 3 ana ok", "3 ana 4");
    check(SEQUENCE, "0 ana | 1 ana | 3 ana ok", "");
    check(SEQUENCE, "0 ana ok | 1 ana | 2 ana | 3 ana", "");
    check(SEQUENCE, "0 ana | 1 ana | 2 bob | 3 ana ok", "");
}

#[test]
fn steps_need_not_be_adjacent_and_more_records_than_needed_are_counted() {
    check(SEQUENCE, "0 ana | 1 ana | 2 ana ok | 3 ana | 4 ana ok", "4 ana 4");
    check(SEQUENCE, "0 ana | 1 ana | 2 ana | 3 ana | 4 ana | 5 ana ok", "5 ana 6");
}

#[test]
fn all_records_of_a_sequence_lie_in_its_window() {
    check(SEQUENCE, "0 ana | 1 ana | 2 ana | 30 ana ok", "");
    check(SEQUENCE, "0 ana | 1 ana | 2 ana | 29.999 ana ok", "29.999 ana 4");
}

#[test]
fn records_of_one_instant_may_stand_in_any_order() {
    check(SEQUENCE, "0 ana | 5 ana | 5 ana | 5 ana ok", "5 ana 4");
    check(SEQUENCE, "5 ana ok | 5 ana | 5 ana | 5 ana", "5 ana 4");
    check(SEQUENCE, "5 ana ok | 0 ana | 1 ana | 5.001 ana", "");
}

#[test]
fn a_record_completes_a_sequence_once_however_many_there_are_to_choose_from() {
    let story = "0 ana | 1 ana | 2 ana | 2 ana | 3 ana ok | 4 ana ok";
    check(SEQUENCE, story, "3 ana 5");
    check(&format!("{SEQUENCE}cooldown: off\n"), story, "3 ana 5 | 4 ana 6");
}

#[test]
fn until_clears_a_sequence() {
    let body = format!("{SEQUENCE}  until: {{outcome: success, public_ip: 10.0.0.1}}\n");
    check(&body, "0 ana | 1 ana | 2 ana | 3 ana ok 10.0.0.1 | 4 ana ok", "");
    check(&body, "0 ana | 1 ana | 2 ana | 4 ana ok", "4 ana 4");
}

#[test]
fn one_record_is_not_two_steps() {
    let body = "sequence:\n  by: [user_name]\n  within: 30s\n  steps:\n    - {match: {outcome: [failure, success]}}\n    - {match: {outcome: failure}}\n";
    check(body, "0 ana", "");
    check(body, "0 ana | 1 ana", "1 ana 2");
    check(body, "0 ana ok | 0 ana", "0 ana 2");
}

#[test]
fn a_late_record_completes_a_sequence_at_the_time_of_its_last_step() {
    check_live(SEQUENCE, "0 ana | 1 ana | 3 ana ok | 2 ana > 60 | 100 bob", "3 ana 4 late");
    check_live(SEQUENCE, "0 ana | 1 ana | 3 ana ok | 4 ana > 60 | 100 bob", "");
    check_live(SEQUENCE, "0 ana | 1 ana | 2 ana | 3 ana ok > 60 | 100 bob", "3 ana 4 late");
}

const NEVER: &str = "sequence:\n  by: [user_name]\n  within: 30s\n  steps:\n    - {name: failures, match: {outcome: failure}, at_least: 2}\n    - {absent: {outcome: success}}\n";

#[test]
fn a_sequence_that_ends_in_an_absence_fires_when_its_window_is_over() {
    check(NEVER, "0 ana | 10 ana", "30 ana 2");
    check(NEVER, "0 ana | 10 ana | 20 ana ok", "");
    check(NEVER, "0 ana", "");
}

#[test]
fn what_comes_at_the_very_deadline_or_beside_the_last_record_has_come() {
    check(NEVER, "0 ana | 10 ana | 30 ana ok", "");
    check(NEVER, "0 ana | 10 ana | 30.001 ana ok", "30 ana 2");
    check(NEVER, "0 ana | 10 ana | 10 ana ok", "");
    check(NEVER, "10 ana ok | 0 ana | 10 ana", "");
    // Between its records it is no matter.
    check(NEVER, "0 ana | 5 ana ok | 10 ana", "30 ana 2");
}

#[test]
fn each_completion_waits_for_itself_and_a_cooldown_holds_the_later_ones_back() {
    check(NEVER, "0 ana | 10 ana | 20 ana", "30 ana 2");
    check(&format!("{NEVER}cooldown: off\n"), "0 ana | 10 ana | 20 ana", "30 ana 2 | 40 ana 3");
    check(&format!("{NEVER}cooldown: off\n"), "0 ana | 0 ana | 0 ana", "30 ana 3");
}

#[test]
fn a_late_record_makes_an_absence_or_ends_one_that_is_not_told_yet() {
    check_live(NEVER, "0 ana | 10 ana > 60 | 100 bob", "30 ana 2 late");
    check_live(NEVER, "0 ana | 10 ana > 15 | 100 bob", "30 ana 2");
    check_live(NEVER, "0 ana | 10 ana | 20 ana ok > 5 | 26 bob | 100 bob", "");
    check_live(NEVER, "0 ana | 10 ana | 20 ana ok > 60 | 100 bob", "30 ana 2");
}
