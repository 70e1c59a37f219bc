//! A tenant's life from its journal: lanes, generations, rules that learn, news.

use larum::alert::{Draft, State};
use larum::daemon::life::{Halt, Life, MAX_ROWS, OFFSET_BITS};
use larum::engine::{GenerationText, Limits, Note, SourceId, seen};
use larum::record::fact::FailureKind;
use larum::record::{RuleId, Timestamp};
use larum::rule::SEMANTICS;
use larum::store::{Entry, Event, Lane, Watermark};
use proptest::prelude::*;
use proptest::sample::Index;

use super::tale::{APPS, DESKTOPS, LAUNCHES, TENANT, Tale, Told, Visit, lane, lines, text};
use super::world::{DAY, HOUR, MINUTE, SECOND, cases, rule, time};

const OF_DESKTOPS: &str =
    "match: {service: desktop, outcome: failure}\ncount: {at_least: 2, within: 10m, by: [user]}\n";
const OF_LOGINS: &str = "match: {outcome: failure}\ncount: {at_least: 2, within: 10m, by: [user]}\n";
const OF_BOTH: &str =
    "match: {kind: [login, app_launch], outcome: failure}\ncount: {at_least: 2, within: 10m, by: [user]}\n";

/// Rules of every verb that has state, and of every kind and phase.
fn rules() -> Vec<String> {
    vec![
        rule("b-desktops", OF_DESKTOPS),
        rule("c-logins", OF_LOGINS),
        rule("d-both", OF_BOTH),
        rule("e-each", "match: {outcome: failure}\n"),
        rule("f-launches", "match: {kind: app_launch}\ncooldown: {for: 2m, by: [user]}\n"),
        rule("g-ends", "match: {phase: end}\ncount: {at_least: 2, within: 5m, by: [user]}\n"),
        rule("h-amended", "match: {phase: amended, changed: e2e_rtt}\ncooldown: {for: 3m, by: [user]}\n"),
        rule(
            "i-distinct",
            "match: {service: app}\ndistinct: {field: public_ip, at_least: 2, within: 5m, by: [user]}\n",
        ),
        rule(
            "j-seen",
            "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user], same_net: off}\n",
        ),
        rule(
            "k-slow",
            "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: median, above: 300, within: 5m, at_least: 2, by: [user], recover: {below: 200}}\n",
        ),
        rule(
            "l-script",
            "match: {outcome: [failure, success]}\nscript:\n  by: [user]\n  keep: 3\n  when: |\n    history.len() == 3 && history[0].public_ip != record.public_ip\n",
        ),
    ]
}

const NAMES: [&str; 11] = [
    "b-desktops",
    "c-logins",
    "d-both",
    "e-each",
    "f-launches",
    "g-ends",
    "h-amended",
    "i-distinct",
    "j-seen",
    "k-slow",
    "l-script",
];

fn visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    let rtts = prop::option::weighted(0.5, prop::sample::select(vec![50, 250, 350, 450]));
    let ends = prop::option::weighted(0.3, (0..12_i64).prop_map(|after| after * 10 * SECOND));
    let visit = (1..4_u16, 0..60_i64, 0..3_u8, 0..3_u8, prop::bool::weighted(0.5), rtts, ends);
    prop::collection::vec(visit, 0..most).prop_map(|visits| {
        let made = |(id, (lane, at, user, ip, failure, rtt, end))| Visit {
            lane: SourceId(lane),
            id,
            at: at * 10 * SECOND,
            end: if failure { None } else { end },
            user,
            ip,
            failure,
            rtt,
        };
        (0..).zip(visits).map(made).collect()
    })
}

/// What happens besides rows.
#[derive(Debug, Clone)]
enum Turn {
    Amended(Index, Option<u32>),
    Leaves(u16),
    Returns(u16),
    Apart(u16),
    Rules(u8),
    Learns(u8),
}

fn turns() -> impl Strategy<Value = Vec<(Index, Turn)>> {
    let turn = prop_oneof![
        (any::<Index>(), prop::option::of(300..500_u32)).prop_map(|(row, rtt)| Turn::Amended(row, rtt)),
        (1..4_u16).prop_map(Turn::Leaves),
        (1..4_u16).prop_map(Turn::Returns),
        (1..5_u16).prop_map(Turn::Apart),
        any::<u8>().prop_map(Turn::Rules),
        any::<u8>().prop_map(Turn::Learns),
    ];
    prop::collection::vec((any::<Index>(), turn), 0..8)
}

/// Some of the rules, one of them with another meaning.
fn some(choice: u8) -> (Vec<String>, Vec<&'static str>) {
    let keeps = |number: usize| number % 7 != usize::from(choice % 7);
    let mut list: Vec<String> =
        rules().into_iter().enumerate().filter(|(number, _)| keeps(*number)).map(|(_, rule)| rule).collect();
    if choice.is_multiple_of(2) {
        list.push(rule("a-more", "match: {raw.colour: c1}\ncooldown: {for: 4m, by: [user]}\n"));
    }
    let names = NAMES.iter().enumerate().filter(|(number, _)| keeps(*number)).map(|(_, name)| *name);
    (list, names.collect())
}

/// A journal of `visits` as they come, some late, with what happens in between.
fn tale(visits: &[Visit], turns: &[(Index, Turn)]) -> Tale {
    let mut tale = Tale::new(&rules());
    let mut visits = visits.to_vec();
    visits.sort_by_key(|visit| visit.at + i64::from(visit.id % 5) * 20 * SECOND);
    let mut present: Vec<&str> = NAMES.to_vec();
    for (place, visit) in visits.iter().enumerate() {
        tale.read(visit.lane, std::slice::from_ref(visit));
        tale.progress(SourceId(1 + (visit.id % 3) as u16), visit.at - 30 * SECOND);
        for (_, turn) in turns.iter().filter(|(at, _)| at.index(visits.len()) == place) {
            match turn {
                Turn::Amended(row, rtt) => {
                    let row = &visits[row.index(place + 1)];
                    tale.read(row.lane, &[Visit { rtt: *rtt, ..row.clone() }]);
                }
                Turn::Leaves(lane) => drop(tale.left(SourceId(*lane))),
                Turn::Returns(lane) => drop(tale.joined(SourceId(*lane))),
                Turn::Apart(id) => {
                    let other = Lane { name: "elsewhere".to_owned(), ..lane(SourceId(*id)) };
                    tale.put(Event::Known(other));
                }
                Turn::Rules(choice) => {
                    let (list, names) = some(*choice);
                    tale.rules(&text(&list));
                    present = names;
                }
                Turn::Learns(choice) => {
                    let (list, names) = some(*choice);
                    let new: Vec<&str> =
                        names.iter().copied().filter(|name| !present.contains(name)).collect();
                    tale.rules_learnt(&text(&list), &new);
                    present = names;
                }
            }
        }
    }
    tale.progress_all(DAY);
    tale
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_journal_tells_the_same_again_byte_for_byte_whatever_restarts_there_are(
        visits in visits(30),
        turns in turns(),
        every in 1..5_usize,
    ) {
        let tale = tale(&visits, &turns);
        let once = tale.told();
        prop_assert_eq!(once.ndjson(), tale.told().ndjson());
        let often = tale.told_restarting(every);
        prop_assert_eq!(once.ndjson(), often.ndjson());
        prop_assert_eq!(once.notes, often.notes);
    }

    #[test]
    fn lanes_may_bring_their_rows_in_any_turn_ahead_of_the_watermark(
        visits in visits(40),
        order in prop::collection::vec(any::<u32>(), 40),
        progress in prop::collection::vec((any::<Index>(), 1..4_u16), 0..20),
    ) {
        let mut whole = Tale::new(&rules());
        for id in [DESKTOPS, APPS, LAUNCHES] {
            let rows: Vec<Visit> = visits.iter().filter(|visit| visit.lane == id).cloned().collect();
            whole.read(id, &rows);
        }
        whole.progress_all(DAY);
        let mut turns = Tale::new(&rules());
        let mut placed: Vec<(u32, &Visit)> = order.into_iter().zip(&visits).collect();
        placed.sort_by_key(|(place, visit)| (*place, visit.id));
        for number in 0..placed.len() {
            turns.read(placed[number].1.lane, std::slice::from_ref(placed[number].1));
            for (_, id) in progress.iter().filter(|(at, _)| at.index(placed.len()) == number) {
                // Just behind the earliest row that the lane still has to bring.
                let id = SourceId(*id);
                let rest = placed[number + 1..].iter().filter(|(_, visit)| visit.lane == id);
                turns.progress(id, rest.map(|(_, visit)| visit.at - 1).min().unwrap_or(HOUR));
            }
        }
        turns.progress_all(DAY);
        prop_assert_eq!(whole.told().sorted(), turns.told().sorted());
    }

    #[test]
    fn rules_that_mean_the_same_do_not_notice_a_new_generation(
        visits in visits(40),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..5),
    ) {
        let (mut plain, mut changing) = (Tale::new(&rules()), Tale::new(&rules()));
        let mut visits = visits;
        visits.sort_by_key(|visit| visit.at + i64::from(visit.id % 5) * 20 * SECOND);
        for (place, visit) in visits.iter().enumerate() {
            let again = Visit { rtt: Some(400), ..visits[place / 2].clone() };
            for tale in [&mut plain, &mut changing] {
                tale.read(visit.lane, std::slice::from_ref(visit));
                tale.read(again.lane, std::slice::from_ref(&again));
                tale.progress(SourceId(1 + (visit.id % 3) as u16), visit.at - 30 * SECOND);
            }
            for (_, choice) in changes.iter().filter(|(at, _)| at.index(visits.len()) == place) {
                changing.rules(&others(*choice));
            }
        }
        plain.progress_all(DAY);
        changing.progress_all(DAY);
        prop_assert_eq!(plain.told().of(&NAMES).sorted(), changing.told().of(&NAMES).sorted());
    }

    #[test]
    fn a_rule_that_learnt_goes_on_as_if_it_had_always_been_there(
        visits in visits(40),
        again in prop::collection::vec((any::<Index>(), any::<Index>(), 300..500_u32), 0..10),
        place in any::<Index>(),
        learns in prop::sample::select(NAMES.to_vec()),
    ) {
        let without: Vec<String> =
            rules().into_iter().filter(|text| !text.starts_with(&format!("rule: {learns}\n"))).collect();
        let (mut always, mut later) = (Tale::new(&rules()), Tale::new(&without));
        let mut visits = visits;
        visits.sort_by_key(|visit| visit.at + i64::from(visit.id % 5) * 20 * SECOND);
        let mut adopted = 0;
        for (number, visit) in visits.iter().enumerate() {
            for tale in [&mut always, &mut later] {
                tale.read(visit.lane, std::slice::from_ref(visit));
                tale.progress(SourceId(1 + (visit.id % 3) as u16), visit.at - 30 * SECOND);
                for (_, row, rtt) in again.iter().filter(|(at, ..)| at.index(visits.len()) == number) {
                    let row = &visits[row.index(number + 1)];
                    tale.read(row.lane, &[Visit { rtt: Some(*rtt), ..row.clone() }]);
                }
            }
            if place.index(visits.len()) == number {
                always.rules(&text(&rules()));
                always.left(SourceId(9));
                adopted = later.rules_learnt(&text(&rules()), &[learns]);
            }
        }
        always.progress_all(DAY);
        later.progress_all(DAY);
        let (always, later) = (always.told().of(&[learns]), later.told().of(&[learns]));
        let standing: Vec<_> = later.alerts.iter().filter(|(seq, _)| *seq <= adopted).collect();
        prop_assert!(standing.iter().all(|(seq, alert)| *seq == adopted && alert.standing));
        prop_assert!(later.alerts.iter().all(|(seq, alert)| alert.revision > 1 || alert.standing == (*seq == adopted)));
        // What was open then, by what happened to it before and since.
        prop_assert_eq!(ids(standing.iter().map(|(_, alert)| alert)), open_at(&always, adopted));
        let since = |told: &Told| -> Vec<_> {
            let since = told.alerts.iter().filter(|(seq, _)| *seq > adopted);
            since.map(|(_, alert)| (alert.at, alert.id, alert.state, alert.repeats, alert.level)).collect()
        };
        prop_assert_eq!(since(&always), since(&later));
    }
}

/// The same rules in other words, with others before and between them.
fn others(choice: u8) -> GenerationText {
    let mut list = rules();
    for rule in &mut list {
        *rule = rule.replace("why: to see it hold", &format!("why: reason {choice}"));
    }
    for (number, body) in [
        "match: {raw.colour: c1}\ncooldown: {for: 4m, by: [user]}\n",
        "match: {kind: [login, app_launch, session], client_type: x}\n",
        "match: {phase: [start, amended, end], raw.size|gt: 3}\n",
    ]
    .into_iter()
    .enumerate()
    {
        if choice >> number & 1 == 1 {
            list.push(rule(&format!("a-more-{number}"), body));
        }
    }
    // Many programs before the others, so that their numbers pass 64.
    if choice >> 3 & 1 == 1 {
        list.extend((0..70).map(|n| rule(&format!("a-{n:02}"), &format!("match: {{app_name: x{n}}}\n"))));
    }
    text(&list)
}

fn ids<'a>(alerts: impl Iterator<Item = &'a larum::alert::Alert>) -> Vec<String> {
    let mut ids: Vec<String> = alerts.map(|alert| alert.id.to_string()).collect();
    ids.sort();
    ids
}

/// Alerts that were open after entry `seq`.
fn open_at(told: &Told, seq: u64) -> Vec<String> {
    let before = |alert: &larum::alert::Alert| {
        let of = told.alerts.iter().filter(|(made, other)| *made <= seq && other.id == alert.id);
        of.map(|(_, alert)| alert.clone()).collect::<Vec<_>>()
    };
    let fired = told.alerts.iter().filter(|(made, alert)| *made <= seq && alert.revision == 1);
    let stays = |alert: &larum::alert::Alert| {
        // Alerts without a cooldown are over as they are told: nothing ever becomes of them.
        !matches!(alert.rule.as_str(), "e-each" | "j-seen" | "l-script")
            && before(alert).iter().all(|alert| !matches!(alert.state, State::Closed | State::Resolved))
    };
    ids(fired.map(|(_, alert)| alert).filter(|alert| stays(alert)))
}

// --- lanes

fn failure(lane: SourceId, id: u32, at: i64) -> Visit {
    Visit::failure(lane, id, at, 1)
}

/// When alerts of `body` fire, by entry, of two failures at desktops once these lanes have moved on.
fn fires(body: &str, progress: &[(SourceId, i64)]) -> Vec<(u64, i64)> {
    let mut tale = Tale::new(&[rule("r", body)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
    for (lane, at) in progress {
        tale.progress(*lane, *at);
    }
    tale.told().fired()
}

#[test]
fn a_rule_waits_for_no_lane_that_cannot_bring_what_it_accepts() {
    assert_eq!(fires(OF_DESKTOPS, &[(APPS, HOUR), (LAUNCHES, HOUR)]), []);
    assert_eq!(fires(OF_DESKTOPS, &[(DESKTOPS, HOUR)]), [(6, 2 * MINUTE)]);
    assert_eq!(fires(OF_LOGINS, &[(DESKTOPS, HOUR), (LAUNCHES, HOUR)]), []);
    assert_eq!(fires(OF_LOGINS, &[(DESKTOPS, HOUR), (APPS, HOUR)]), [(7, 2 * MINUTE)]);
    assert_eq!(fires(OF_BOTH, &[(DESKTOPS, HOUR), (APPS, HOUR)]), []);
    assert_eq!(fires(OF_BOTH, &[(DESKTOPS, HOUR), (APPS, HOUR), (LAUNCHES, HOUR)]), [(8, 2 * MINUTE)]);
}

#[test]
fn what_clears_a_group_is_waited_for_as_what_hits_it_is() {
    let body = "match: {service: desktop, outcome: failure}\ncount: {at_least: 2, within: 10m, by: [user], unless: {kind: app_launch}}\n";
    assert_eq!(fires(body, &[(DESKTOPS, HOUR), (APPS, HOUR)]), []);
    assert_eq!(fires(body, &[(DESKTOPS, HOUR), (LAUNCHES, HOUR)]), [(7, 2 * MINUTE)]);
}

#[test]
fn a_lane_that_left_holds_back_nobody_who_reads_another_and_comes_back_late() {
    let mut tale = Tale::new(&[rule("desktops", OF_DESKTOPS), rule("logins", OF_LOGINS)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE)]);
    tale.read(APPS, &[failure(APPS, 1, 2 * MINUTE)]);
    tale.progress(DESKTOPS, MINUTE);
    tale.progress(APPS, 10 * MINUTE);
    assert_eq!(tale.told().fired(), []);
    let left = tale.left(DESKTOPS);
    assert_eq!(tale.told().fired(), [(left, 2 * MINUTE)], "the rule of desktops stands still");
    tale.joined(DESKTOPS);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 2, 3 * MINUTE)]);
    tale.read(APPS, &[failure(APPS, 3, 40 * MINUTE), failure(APPS, 4, 41 * MINUTE)]);
    tale.progress(APPS, HOUR);
    assert_eq!(tale.told().fired().len(), 1, "whoever is back is waited for");
    let back = tale.progress(DESKTOPS, HOUR);
    let told = tale.told();
    let logins = told.of(&["logins"]);
    assert_eq!(logins.fired(), [(left, 2 * MINUTE), (back, 41 * MINUTE)]);
    assert_eq!(logins.alerts[0].1.count, 2);
    assert_eq!(told.of(&["desktops"]).fired(), [(back, 3 * MINUTE)]);
    assert!(told.alerts.iter().all(|(_, alert)| !alert.late));
}

#[test]
fn a_record_behind_the_watermark_that_a_stall_let_pass_is_late() {
    let mut tale = Tale::new(&[rule("logins", OF_LOGINS)]);
    tale.read(APPS, &[failure(APPS, 0, 2 * MINUTE)]);
    tale.left(DESKTOPS);
    tale.progress(APPS, 30 * MINUTE);
    tale.joined(DESKTOPS);
    let read = tale.read(DESKTOPS, &[failure(DESKTOPS, 1, 3 * MINUTE)]);
    let told = tale.told();
    assert_eq!(told.fired(), [(read, 3 * MINUTE)]);
    assert!(told.alerts[0].1.late);
}

#[test]
fn rows_of_a_lane_that_left_are_known_when_it_comes_back_however_long_it_was_away() {
    let mut tale = Tale::new(&[rule("desktops", OF_DESKTOPS), rule("logins", OF_LOGINS)]);
    let row = failure(DESKTOPS, 0, MINUTE);
    tale.read(DESKTOPS, std::slice::from_ref(&row));
    tale.progress(DESKTOPS, 2 * MINUTE);
    tale.left(DESKTOPS);
    for hours in 1..50 {
        tale.read(APPS, &[Visit::failure(APPS, 100 + hours, i64::from(hours) * HOUR, 2)]);
        tale.progress(APPS, i64::from(hours) * HOUR);
    }
    tale.joined(DESKTOPS);
    tale.read(DESKTOPS, &[row, failure(DESKTOPS, 1, 20 * MINUTE)]);
    tale.progress(DESKTOPS, 49 * HOUR);
    assert_eq!(tale.told().fired(), [], "one failure, read twice, and one long after");
}

// --- generations

#[test]
fn new_words_keep_what_was_counted_and_are_used_at_once() {
    let mut tale = Tale::new(&[rule("r", OF_DESKTOPS)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE)]);
    tale.progress(DESKTOPS, MINUTE);
    let words = rule("r", OF_DESKTOPS).replace("title: r", "title: Once more").replace("medium", "high");
    tale.rules(&text(&[words]));
    tale.read(DESKTOPS, &[failure(DESKTOPS, 1, 2 * MINUTE)]);
    tale.progress(DESKTOPS, HOUR);
    let told = tale.told();
    let fired: Vec<_> =
        told.alerts.iter().map(|(_, alert)| (alert.title.as_str(), alert.count, alert.state)).collect();
    assert_eq!(fired, [("Once more", 2, State::Open), ("Once more", 2, State::Closed)]);
    assert_eq!(told.alerts[0].1.generation.len(), 32);
}

#[test]
fn alerts_of_a_rule_that_is_gone_or_means_something_else_close() {
    let same = || text(&[rule("r", OF_DESKTOPS)]);
    // To an older program it meant something else.
    let before = GenerationText { semantics: SEMANTICS - 1, ..same() };
    for (before, after) in [
        (same(), text::<String>(&[])),
        (same(), text(&[rule("r", &OF_DESKTOPS.replace("10m", "20m"))])),
        (before, same()),
    ] {
        let mut tale = Tale::of(&before);
        tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
        tale.progress(DESKTOPS, 3 * MINUTE);
        let change = tale.rules(&after);
        tale.progress(DESKTOPS, HOUR);
        let told = tale.told();
        let changes: Vec<_> =
            told.alerts.iter().skip(1).map(|(seq, alert)| (*seq, alert.state, alert.at)).collect();
        assert_eq!(changes, [(change, State::Closed, time(3 * MINUTE))]);
    }
}

/// A tale of one rule that changes its window once two failures have been counted; the rule learns.
fn changed_rule(failures: &[i64], watermark: i64) -> (Tale, u64) {
    let mut tale = Tale::new(&[rule("r", OF_DESKTOPS)]);
    let rows: Vec<Visit> = (0..).zip(failures).map(|(id, at)| failure(DESKTOPS, id, *at)).collect();
    tale.read(DESKTOPS, &rows);
    tale.progress(DESKTOPS, watermark);
    let text = text(&[rule("r", &OF_DESKTOPS.replace("10m", "20m"))]);
    let adopted = tale.rules_learnt(&text, &["r"]);
    (tale, adopted)
}

#[test]
fn a_changed_rule_tells_of_the_past_only_what_still_holds_once_a_group() {
    let early = [MINUTE, 2 * MINUTE, 30 * MINUTE, 31 * MINUTE, 32 * MINUTE];
    let (mut tale, adopted) = changed_rule(&early, 35 * MINUTE);
    tale.progress(DESKTOPS, DAY);
    let told = tale.told();
    let learnt: Vec<_> = told.alerts.iter().filter(|(seq, _)| *seq >= adopted).collect();
    let (seq, standing) = &learnt[0];
    assert_eq!((*seq, standing.standing, standing.revision), (adopted, true, 1));
    assert_eq!((standing.at, standing.count, standing.state), (time(31 * MINUTE), 2, State::Open));
    assert_eq!(standing.evidence.first.len(), 2, "with its evidence");
    let (_, closed) = &learnt[1];
    assert_eq!((closed.id, closed.revision, closed.state), (standing.id, 2, State::Closed));
    assert_eq!((closed.repeats, learnt.len()), (1, 2));
}

#[test]
fn a_changed_rule_has_learnt_and_says_nothing_where_nothing_holds() {
    let (mut tale, adopted) = changed_rule(&[MINUTE, 50 * MINUTE], 55 * MINUTE);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 7, 65 * MINUTE)]);
    let fires = tale.progress(DESKTOPS, DAY);
    let told = tale.told();
    assert_eq!(told.fired(), [(fires, 65 * MINUTE)], "twenty minutes, of which fifteen were before");
    assert!(told.alerts.iter().all(|(seq, alert)| *seq > adopted && !alert.standing));
}

const USUAL: &str = "match: {service: desktop, e2e_rtt|exists: true, outcome: failure}\nusual: {field: e2e_rtt, by: [user], above: {times: 3}, learn: {days: 2, samples: 3}}\n";

/// A tale in which ana's usual round trip takes 50 ms, and takes so long at some hours after two days.
fn usual_tale(later: &[(i64, u32)]) -> Tale {
    let mut tale = Tale::new(&[rule("r", USUAL)]);
    let past = (0..4).map(|half| (half * 12, 50)).chain(later.iter().map(|(hour, rtt)| (48 + hour, *rtt)));
    let rows: Vec<Visit> = (0..)
        .zip(past)
        .map(|(id, (hour, rtt))| Visit { rtt: Some(rtt), ..failure(DESKTOPS, id, hour * HOUR) })
        .collect();
    tale.read(DESKTOPS, &rows);
    tale
}

#[test]
fn what_is_usual_outlives_a_change_of_words_and_is_learnt_again_after_one_of_meaning() {
    for more in ["description: in other words\n", ""] {
        let mut tale = usual_tale(&[]);
        tale.progress(DESKTOPS, 2 * DAY);
        if more.is_empty() {
            let changed = text(&[rule("r", &USUAL.replace("times: 3", "times: 4"))]);
            let adopted = tale.rules_learnt(&changed, &["r"]);
            assert!(tale.told().alerts.iter().all(|(seq, _)| *seq != adopted), "nothing holds");
        } else {
            tale.rules(&text(&[rule("r", &format!("{USUAL}{more}"))]));
        }
        let slow = Visit { rtt: Some(201), ..failure(DESKTOPS, 99, 2 * DAY + HOUR) };
        tale.read(DESKTOPS, &[slow]);
        let fires = tale.progress(DESKTOPS, 3 * DAY);
        assert_eq!(tale.told().fired(), [(fires, 2 * DAY + HOUR)], "{more}");
    }
}

#[test]
fn a_usual_rule_that_means_something_else_tells_once_what_stands() {
    let mut tale = usual_tale(&[(0, 400), (1, 500), (2, 600)]);
    tale.progress(DESKTOPS, 2 * DAY + 3 * HOUR);
    let adopted = tale.rules_learnt(&text(&[rule("r", &USUAL.replace("times: 3", "times: 2"))]), &["r"]);
    let told = tale.told();
    let at_once: Vec<_> =
        told.alerts.iter().filter(|(seq, alert)| *seq == adopted && alert.standing).collect();
    assert_eq!(at_once.len(), 1, "{at_once:?}");
    assert_eq!((at_once[0].1.at, at_once[0].1.state), (time(2 * DAY), State::Open));
}

#[test]
fn a_rule_that_was_told_before_it_learnt_tells_nothing_twice() {
    let mut tale = Tale::new(&[rule("r", OF_DESKTOPS)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
    tale.progress(DESKTOPS, 3 * MINUTE);
    tale.put(Event::Adopted { rules: vec!["r".parse().unwrap()], from: 1 });
    tale.progress(DESKTOPS, DAY);
    let told = tale.told();
    let revisions: Vec<_> = told.alerts.iter().map(|(_, alert)| (alert.revision, alert.standing)).collect();
    assert_eq!(revisions, [(1, false), (2, false)]);
}

#[test]
fn more_standing_alerts_than_anybody_reads_are_counted() {
    let mut tale = Tale::new(&[rule("other", OF_DESKTOPS)]);
    let body = "match: {outcome: failure}\ncooldown: {for: 1d, by: [user]}\n";
    let row =
        |n: u32| failure(DESKTOPS, n, i64::from(n)).line().replace("user-1", &format!("user-{n}")) + "\n";
    let rows: String = (0..10_003).map(row).collect();
    let (start, end) = (time(MINUTE), time(MINUTE));
    let watermark = Some(Watermark { start, end });
    tale.put(Event::Read { lane: DESKTOPS, rows, twins: Vec::new(), watermark });
    tale.progress_all(MINUTE);
    let adopted = tale.rules_learnt(&text(&[rule("r", body)]), &["r"]);
    tale.progress_all(10 * DAY);
    let told = tale.told();
    assert_eq!(told.alerts.iter().filter(|(seq, _)| *seq == adopted).count(), 10_000);
    let left_out = Note::StandingLeftOut { rule: "r".parse().unwrap(), at: time(MINUTE), left_out: 3 };
    assert_eq!(told.notes, [left_out]);
    assert_eq!(told.alerts.len(), 20_000, "and of those three nothing is heard when they close");
}

#[test]
fn a_lower_bound_of_groups_lets_the_quietest_go_at_once() {
    let mut tale = Tale::new(&[rule("r", "match: {outcome: failure}\ncooldown: {for: 1h, by: [user]}\n")]);
    let rows: Vec<Visit> = (0..6)
        .map(|id| Visit::failure(DESKTOPS, id, i64::from(id) * SECOND, [1, 2, 3, 3, 4, 4][id as usize]))
        .collect();
    tale.read(DESKTOPS, &rows);
    tale.progress_all(MINUTE);
    let mut bounded = tale.texts.values().next().unwrap().clone();
    bounded.limits = Limits { groups: 2 };
    let change = tale.rules(&bounded);
    let told = tale.told();
    let closed = told.alerts.iter().filter(|(seq, _)| *seq == change);
    let mut closed: Vec<&str> = closed.map(|(_, alert)| alert.group["user"].as_str().unwrap()).collect();
    closed.sort_unstable();
    assert_eq!(closed, ["user-1", "user-2"]);
    assert_eq!(told.notes, [Note::GroupsFull { rule: "r".parse().unwrap(), at: time(MINUTE), limit: 2 }]);
}

#[test]
fn a_table_of_codes_is_part_of_the_generation() {
    let body = "match: {failure_kind: locked}\n";
    let mut tale = Tale::new(&[rule("r", body)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE)]);
    let mut text = text(&[rule("r", body)]);
    text.failure_codes.push(("auth_failed".to_owned(), FailureKind::Locked));
    tale.rules(&text);
    let read = tale.read(DESKTOPS, &[failure(DESKTOPS, 1, 2 * MINUTE)]);
    let told = tale.told();
    assert_eq!(told.fired(), [(read, 2 * MINUTE)]);
    assert_eq!(told.alerts[0].1.evidence.first[0]["failure_kind"], "locked");
}

#[test]
fn a_generation_is_its_text() {
    let mut text = text(&[rule("good", OF_LOGINS), rule("bad", "match: {outcom: failure}\n")]);
    text.failure_reasons = vec![("(".to_owned(), FailureKind::Locked), ("x".to_owned(), FailureKind::Policy)];
    let compiled = text.compile();
    let ids: Vec<_> =
        compiled.generation.programs.list.iter().map(|program| program.rule.id().to_string()).collect();
    assert_eq!((ids, compiled.failed), (vec!["good".to_owned()], vec!["bad".to_owned()]));
    let faulty: Vec<&str> = compiled.problems.iter().map(|problems| problems.file.as_str()).collect();
    assert_eq!(faulty, ["1.yaml", "failure_reasons"]);
    assert_eq!(compiled.generation.facts.failure_kind(None, Some("x")), FailureKind::Policy);
    assert_eq!(compiled.generation.digest, text.digest());
    assert_eq!(GenerationText::from_json(&text.json()).unwrap(), text);
    let mut digests = vec![text.digest()];
    let mut differs = |change: &dyn Fn(&mut GenerationText)| {
        let mut other = text.clone();
        change(&mut other);
        digests.push(other.digest());
    };
    differs(&|text| text.semantics += 1);
    differs(&|text| text.rules[0].text.push(' '));
    differs(&|text| text.declared.push("desk".to_owned()));
    differs(&|text| text.failure_codes.push(("1".to_owned(), FailureKind::Locked)));
    differs(&|text| drop(text.failure_reasons.pop()));
    differs(&|text| text.settle = larum::record::Millis::secs(1));
    differs(&|text| text.zone = chrono_tz::Tz::Asia__Shanghai);
    differs(&|text| text.limits.groups = 1);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 9);
    assert!(digests.iter().all(|digest| digest.len() == 32));
}

// --- rows read again

#[test]
fn an_open_row_that_changes_weeks_later_counts_once_however_often_it_is_read() {
    let body = "match: {e2e_rtt|gte: 400}\n";
    let mut tale = Tale::new(&[
        rule("failures", OF_LOGINS),
        rule("slow", body),
        rule("seen", "match: {outcome: success}\n"),
    ]);
    let open = Visit { failure: false, ..failure(DESKTOPS, 0, 0) };
    let slow = Visit { rtt: Some(450), ..open.clone() };
    tale.read(DESKTOPS, std::slice::from_ref(&open));
    let mut fires = 0;
    for day in 1..28 {
        tale.read(APPS, &[failure(APPS, 100 + day, i64::from(day) * DAY)]);
        tale.progress_all(i64::from(day) * DAY);
        tale.read(DESKTOPS, std::slice::from_ref(&open));
        if day == 25 {
            fires = tale.read(DESKTOPS, std::slice::from_ref(&slow));
        }
        if day > 25 {
            tale.read(DESKTOPS, std::slice::from_ref(&slow));
        }
    }
    let told = tale.told_restarting(3);
    assert_eq!(told.of(&["slow"]).fired(), [(fires, 0)]);
    assert_eq!(told.of(&["seen"]).fired(), [(5, 0)]);
    assert_eq!(told.of(&["failures"]).fired(), []);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn what_is_no_news_need_not_be_journaled(
        visits in visits(30),
        readings in prop::collection::vec((any::<Index>(), any::<Index>(), prop::option::of(300..400_u32)), 0..30),
    ) {
        let (mut whole, mut news) = (Tale::new(&rules()), Tale::new(&rules()));
        let mut life = Life::new(TENANT);
        apply(&mut life, &news, 0);
        let mut visits = visits;
        visits.sort_by_key(|visit| visit.at);
        for (number, visit) in visits.iter().enumerate() {
            let mut rows = vec![visit.clone(), visit.clone()];
            for (at, row, rtt) in readings.iter().filter(|(at, ..)| at.index(visits.len()) == number) {
                let _ = at;
                let row = &visits[row.index(number + 1)];
                rows.extend((row.lane == visit.lane).then(|| Visit { rtt: *rtt, ..row.clone() }));
            }
            whole.read(visit.lane, &rows);
            let from = news.entries.len();
            let found = life.news(visit.lane, &lines(&rows), &[], Timestamp(0)).unwrap();
            for portion in found.portions {
                let (rows, twins) = (portion.rows, portion.twins);
                news.put(Event::Read { lane: visit.lane, rows, twins, watermark: None });
            }
            for tale in [&mut whole, &mut news] {
                tale.progress(visit.lane, visit.at - MINUTE);
            }
            apply(&mut life, &news, from);
            let again = life.news(visit.lane, &lines(&rows[rows.len() - 1..]), &[], Timestamp(0)).unwrap();
            prop_assert_eq!(again.portions, vec![]);
        }
        whole.progress_all(DAY);
        news.progress_all(DAY);
        prop_assert_eq!(whole.told().sorted(), news.told().sorted());
        prop_assert_eq!(life.rows().unchanged, 0);
    }
}

/// Brings `life` up to the end of `tale`.
fn apply(life: &mut Life, tale: &Tale, from: usize) {
    for entry in &tale.entries[from..] {
        if let Event::Generation { digest } = &entry.event {
            life.offer(tale.texts[digest].compile().generation);
        }
        life.apply(entry).unwrap();
    }
}

/// A life with one rule and three lanes.
fn life() -> Life {
    let mut life = Life::new(TENANT);
    apply(&mut life, &Tale::new(&[rule("r", "match: {outcome: failure}\n")]), 0);
    life
}

#[test]
fn equal_rows_of_one_reading_are_as_many_records_as_the_source_counts() {
    let row = failure(DESKTOPS, 0, MINUTE).line();
    let rows = format!("{row}\n\n{row}\n{row}\n");
    let mut life = life();
    let found = life.news(DESKTOPS, &rows, &[(2, 1)], Timestamp(0)).unwrap();
    assert_eq!(found.rows, seen::Tally { new: 2, unchanged: 1, amended: 0 });
    let [portion] = &found.portions[..] else { panic!("{found:?}") };
    assert_eq!((portion.rows.lines().count(), &portion.twins[..]), (2, &[(1, 1)][..]));
    let (rows, twins) = (portion.rows.clone(), portion.twins.clone());
    let event = Event::Read { lane: DESKTOPS, rows, twins, watermark: None };
    let entry = Entry { seq: 5, at: Timestamp(0), event };
    let outcome = life.apply(&entry).unwrap();
    let alerts = life.tell(&outcome, &[(5, entry)].into(), &[].into());
    let mut records: Vec<&str> =
        alerts.iter().map(|alert| alert.evidence.first[0]["record"].as_str().unwrap()).collect();
    records.dedup();
    assert_eq!(records.len(), 2, "each with its own identity");
}

#[test]
fn a_row_that_makes_no_record_is_quarantined_once() {
    let rows = "{\"id\": 1}\nnonsense\n{\"id\": 1}\n";
    let mut life = life();
    let found = life.news(DESKTOPS, rows, &[], Timestamp(7)).unwrap();
    assert_eq!(found.portions[0].rows, "{\"id\": 1}\nnonsense\n");
    let event =
        Event::Read { lane: DESKTOPS, rows: found.portions[0].rows.clone(), twins: vec![], watermark: None };
    let outcome = life.apply(&Entry { seq: 5, at: Timestamp(8), event }).unwrap();
    let reasons: Vec<_> = outcome
        .quarantined
        .iter()
        .map(|row| (row.lane, row.at, row.reason.as_str(), row.excerpt.as_str()))
        .collect();
    let expected = [
        (DESKTOPS, Timestamp(8), "no time", "{\"id\": 1}"),
        (DESKTOPS, Timestamp(8), "not JSON: a value was expected at byte 1", "nonsense"),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(life.news(DESKTOPS, rows, &[], Timestamp(9)).unwrap().portions, []);
    let checkpoint = life.snapshot().unwrap().unwrap();
    let life = Life::restore(TENANT, &life.generation().clone(), checkpoint).unwrap();
    assert_eq!(life.news(DESKTOPS, rows, &[], Timestamp(9)).unwrap().portions, []);
    assert_eq!(life.news(APPS, rows, &[], Timestamp(9)).unwrap().portions.len(), 1, "each lane for itself");
}

#[test]
fn a_reading_larger_than_an_entry_is_journaled_in_portions() {
    let filler = "x".repeat(3 << 20);
    let row = |id: u32| failure(DESKTOPS, 3 * id, MINUTE).line().replace("\"c0\"", &format!("\"{filler}\""));
    let rows: String = (0..7).map(|id| row(id) + "\n").collect();
    let found = life().news(DESKTOPS, &rows, &[(6, 1)], Timestamp(0)).unwrap();
    let sizes: Vec<_> = found.portions.iter().map(|portion| portion.rows.lines().count()).collect();
    assert_eq!((sizes, &found.portions[1].twins[..]), (vec![5, 2], &[(1, 1)][..]));
    assert!(found.portions.iter().all(|portion| portion.rows.len() <= MAX_ROWS));
    let joined: String = found.portions.iter().map(|portion| portion.rows.as_str()).collect();
    assert_eq!(joined, rows);
}

// --- what halts

#[test]
fn an_entry_that_cannot_be_taken_in_changes_nothing() {
    let mut life = life();
    let before = life.snapshot().unwrap();
    let read = |lane, rows: String| Event::Read { lane, rows, twins: vec![], watermark: None };
    let rule: RuleId = "r".parse().unwrap();
    let unknown = SourceId(7);
    for (seq, event, halt) in [
        (6, Event::Left { lane: APPS }, Halt::Gap { expected: 5, found: 6 }),
        (4, Event::Left { lane: APPS }, Halt::Gap { expected: 5, found: 4 }),
        (5, read(unknown, String::new()), Halt::UnknownLane { seq: 5, lane: unknown }),
        (5, read(APPS, " ".repeat((1 << OFFSET_BITS) + 1)), Halt::TooLong { seq: 5, bytes: MAX_ROWS + 1 }),
        (5, Event::Generation { digest: "x".to_owned() }, Halt::Generation { digest: "x".to_owned() }),
        (
            5,
            Event::Adopted { rules: vec![rule.clone()], from: 1 },
            Halt::Rebuild { rules: vec![rule], from: 1, last: 4 },
        ),
    ] {
        assert_eq!(life.apply(&Entry { seq, at: Timestamp(0), event }).unwrap_err(), halt);
        assert_eq!(life.snapshot().unwrap(), before);
    }
}

// --- journals that forgot their beginning

#[test]
fn rules_learn_from_what_is_kept_where_the_journal_forgot_what_they_had_learnt_from() {
    let mut tale = Tale::new(&[rule("r", OF_DESKTOPS)]);
    for number in 0..3 {
        tale.read(DESKTOPS, &[failure(DESKTOPS, number, i64::from(number) * HOUR)]);
    }
    // At entry 1 of those that are kept then.
    let changed = text(&[rule("r", &OF_DESKTOPS.replace("10m", "3h"))]);
    let adopted = tale.rules_learnt(&changed, &["r"]);
    tale.progress_all(2 * HOUR);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 3, 4 * HOUR)]);
    tale.progress_all(4 * HOUR);
    let (mut fired, mut learnt) = (Vec::new(), 0);
    for forgotten in 0..usize::try_from(adopted).unwrap() {
        let mut life = Life::new(TENANT);
        for id in [DESKTOPS, APPS, LAUNCHES] {
            life.know(lane(id));
        }
        let kept = &tale.entries[forgotten..];
        let mut times = Vec::new();
        for entry in kept {
            if let Event::Generation { digest } = &entry.event {
                life.offer(tale.texts[digest].compile().generation);
            }
            let outcome = match life.apply(entry) {
                Ok(outcome) => outcome,
                Err(Halt::Rebuild { rules, from, last }) => {
                    let mut rebuild = life.rebuild(&changed, &rules);
                    let all = kept.iter().filter(|entry| (from..=last).contains(&entry.seq));
                    for entry in all {
                        rebuild.take(entry).unwrap();
                    }
                    learnt += 1;
                    life.bring(rebuild);
                    life.apply(entry).unwrap()
                }
                Err(halt) => panic!("{forgotten} forgotten: {halt}"),
            };
            times.extend(outcome.drafts.iter().filter_map(|draft| match draft {
                Draft::Fired(fired) => Some((fired.at, fired.standing)),
                Draft::Changed(_) => None,
            }));
        }
        fired.push(times);
    }
    assert_eq!(learnt, fired.len(), "they learn, and once");
    let told = vec![(time(HOUR), false), (time(4 * HOUR), false)];
    assert_eq!(fired[..2], [told.clone(), told]);
    // Lanes whose joining is forgotten join anew.
    assert!(fired[2..].iter().all(Vec::is_empty), "{fired:?}");
}

// --- lanes that are read apart

/// A tale of one rule, two failures at desktops that are read apart, and launches that go on.
fn apart() -> Tale {
    let mut tale = Tale::default();
    tale.rules(&text(&[rule("r", OF_BOTH)]));
    tale.joined(LAUNCHES);
    tale.put(Event::Known(lane(DESKTOPS)));
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
    tale.read(LAUNCHES, &[failure(LAUNCHES, 2, 3 * MINUTE)]);
    tale.progress(LAUNCHES, 4 * MINUTE);
    tale.progress(DESKTOPS, 5 * MINUTE);
    tale
}

#[test]
fn rules_do_not_hear_of_a_lane_that_is_read_apart_and_do_not_wait_for_it() {
    let mut tale = apart();
    tale.read(LAUNCHES, &[failure(LAUNCHES, 3, 4 * MINUTE + 1)]);
    let fires = tale.progress(LAUNCHES, 5 * MINUTE);
    let told = tale.told_restarting(1);
    assert_eq!(told.fired(), [(fires, 4 * MINUTE + 1)]);
    assert_eq!(told.alerts[0].1.count, 2);
}

#[test]
fn when_a_lane_joins_its_rules_have_learnt_from_it_and_tell_what_still_holds() {
    let mut tale = apart();
    tale.joined(DESKTOPS);
    let rules = vec!["r".parse().unwrap()];
    let adopted = tale.put(Event::Adopted { rules, from: 1 });
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
    tale.progress(LAUNCHES, HOUR);
    let closes = tale.progress(DESKTOPS, HOUR);
    let told = tale.told_restarting(2);
    let found: Vec<_> = told
        .alerts
        .iter()
        .map(|(seq, alert)| (*seq, alert.at, alert.state, alert.standing, alert.repeats))
        .collect();
    let expected = [
        (adopted, time(2 * MINUTE), State::Open, true, 0),
        (closes, time(12 * MINUTE), State::Closed, true, 1),
    ];
    assert_eq!(found, expected, "the rows that were read apart are no news to them");
}

#[test]
fn a_lane_that_joins_is_as_far_as_it_was_read_apart() {
    let mut tale = apart();
    tale.joined(DESKTOPS);
    tale.read(LAUNCHES, &[failure(LAUNCHES, 3, 4 * MINUTE + 1)]);
    let fires = tale.progress(LAUNCHES, 6 * MINUTE);
    assert_eq!(tale.told_restarting(1).fired(), [(fires, 4 * MINUTE + 1)]);
}

#[test]
fn rows_of_a_lane_that_is_read_apart_are_news_once() {
    let mut life = life();
    life.know(lane(SourceId(4)));
    let rows = lines(&[failure(LAUNCHES, 0, MINUTE)]);
    let found = life.news(SourceId(4), &rows, &[], Timestamp(0)).unwrap();
    assert_eq!(found.portions[0].rows, rows);
    let event = Event::Read { lane: SourceId(4), rows: rows.clone(), twins: vec![], watermark: None };
    life.apply(&Entry { seq: 5, at: Timestamp(0), event }).unwrap();
    assert_eq!(life.news(SourceId(4), &rows, &[], Timestamp(0)).unwrap().portions, []);
    assert!(!life.has_joined(SourceId(4)));
}

#[test]
fn rules_that_did_not_hear_of_a_lane_from_the_start_must_learn_again() {
    let mut tale = Tale::new(&[rule("r", OF_BOTH)]);
    let mut life = Life::new(TENANT);
    apply(&mut life, &tale, 0);
    let rules = ["r".parse::<RuleId>().unwrap()];
    let of = text(&[rule("r", OF_BOTH)]);
    let mut early = life.rebuild(&of, &rules);
    tale.put(Event::Known(lane(SourceId(4))));
    apply(&mut life, &tale, 4);
    let mut late = life.rebuild(&of, &rules);
    for entry in &tale.entries {
        early.take(entry).unwrap();
        late.take(entry).unwrap();
    }
    assert_eq!((early.heard(&life.known()), late.heard(&life.known())), (false, true));
    let entry = Entry { seq: 6, at: Timestamp(0), event: Event::Adopted { rules: rules.to_vec(), from: 1 } };
    life.bring(early);
    let halt = Halt::Rebuild { rules: rules.to_vec(), from: 1, last: 5 };
    assert_eq!(life.apply(&entry).unwrap_err(), halt);
    life.bring(late);
    life.apply(&entry).unwrap();
}

#[test]
fn what_a_lesson_left_undecided_is_past_all_the_same_when_it_ends() {
    // Lane 4 is known and silent: who learns waits for it, who is in force does not.
    let mut tale = Tale::new(&[rule("other", OF_BOTH)]);
    tale.put(Event::Known(lane(SourceId(4))));
    tale.read(DESKTOPS, &[failure(DESKTOPS, 0, MINUTE), failure(DESKTOPS, 1, 2 * MINUTE)]);
    tale.read(DESKTOPS, &[failure(DESKTOPS, 2, HOUR), failure(DESKTOPS, 3, HOUR + 1)]);
    tale.progress_all(HOUR + MINUTE);
    let both = [rule("other", OF_BOTH), rule("r", OF_BOTH)];
    let adopted = tale.rules_learnt(&text(&both), &["r"]);
    let told = tale.told().of(&["r"]);
    assert_eq!(told.fired(), [(adopted, HOUR + 1)]);
    assert!(told.alerts[0].1.standing);
}
