//! The laws of the design, each as a test that fails when it is broken.

use larum::alert::{Draft, State};
use larum::engine::{CheckedRule, Counters, Engine, Fresh, Hit, Limits, Note, Scratch, SourceId};
use larum::record::{Level, RuleId};
use larum::rule::decode::{Options, decode};
use proptest::prelude::*;
use proptest::sample::Index;

use super::models::{Case, Seen, alerts_of, alerts_of_model, ids, logins, verbs};
use super::slow::{Hit as _, Slow, Window};
use super::world::{DAY, HOUR, Login, MINUTE, Run, SECOND, Told, World, cases, rule, time};

/// Rules besides those of the models: exceptions, levels, phases, a script that may break.
fn others() -> Vec<String> {
    let until = time(3 * MINUTE);
    vec![
        rule(
            "except-until",
            &format!(
                "match: {{outcome: failure}}\nexcept:\n  - {{public_ip: 203.0.113.1, because: a drill, until: {until}}}\n"
            ),
        ),
        rule(
            "levels",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 2m, by: [user_name]}\nlevels:\n  - {level: critical, when: {e2e_rtt|gt: 400}}\n  - {level: high, when: {public_ip: 203.0.113.2}}\n",
        ),
        rule("ends", "match: {phase: end}\ncount: {at_least: 2, within: 1m, by: [user_name]}\n"),
        rule(
            "all-phases",
            "match: {phase: [start, end]}\ncount: {at_least: 3, within: 1m, by: [public_ip], missing: own}\n",
        ),
        rule(
            "missing-own",
            "match: {outcome: failure}\ndistinct: {field: user_name, at_least: 2, within: 1m, by: [public_ip], missing: own}\n",
        ),
        rule(
            "breaks",
            "match: {outcome: [failure, success]}\nscript:\n  by: [user_name]\n  keep: 2\n  when: |\n    record.e2e_rtt > 300\n",
        ),
        rule("from-new", "match: {outcome: [failure, success], public_ip|new: true}\n"),
        rule(
            "asks",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 2m, by: [user_name], unless: {outcome: success, public_ip|new: false}}\nexcept: [{public_ip|unseen_for: 3m, because: a holiday}]\nlevels: [{level: high, when: {public_ip|new: true}}]\n",
        ),
        rule("together", "match: {outcome: success}\noverlap: {by: [user_name], for: 40s}\n"),
        rule(
            "apart",
            "match: {outcome: success}\noverlap: {by: [user_name], for: 20s, where: {public_ip: different}}\ncooldown: 1m\n",
        ),
        rule("silent", "match: {phase: [start, end]}\nabsent: {for: 50s, by: [user_name], retire: 3m}\n"),
        rule(
            "silent-by-day",
            "match: {outcome: success}\nabsent: {for: 30s, by: [public_ip]}\nhours: {zone: UTC, inside: [\"09:00-09:02\", \"09:03-09:05\"]}\n",
        ),
        rule(
            "no-success",
            "sequence:\n  by: [user_name]\n  within: 1m\n  steps:\n    - {match: {outcome: failure}, at_least: 2}\n    - {absent: {outcome: success}}\n",
        ),
        rule(
            "tuple",
            "match: {outcome: success}\nfirst_seen: {value: [public_ip, outcome], by: [user_name]}\ncooldown: 1m\n",
        ),
    ]
}

fn every_rule() -> World {
    let files: Vec<String> = verbs().iter().map(Case::file).chain(others()).collect();
    World::new(&files)
}

/// Logins, some of which end.
fn visits(most: usize) -> impl Strategy<Value = Vec<Login>> {
    (logins(most), prop::collection::vec(prop::option::of(0..12_i64), most)).prop_map(|(logins, ends)| {
        let ended = |(login, end): (Login, Option<i64>)| Login {
            end: end.filter(|_| !login.failure).map(|after| login.at + after * 10 * SECOND),
            ..login
        };
        logins.into_iter().zip(ends).map(ended).collect()
    })
}

/// The same logins in another order, in batches, some of them read again.
fn shuffled(logins: &[Login], order: &[u64], again: &[Index], cuts: &[Index]) -> Vec<Vec<Login>> {
    let mut rows: Vec<(u64, Login)> =
        logins.iter().cloned().zip(order).map(|(login, place)| (*place, login)).collect();
    if !logins.is_empty() {
        rows.extend(
            again.iter().enumerate().map(|(place, index)| (place as u64 * 997, index.get(logins).clone())),
        );
    }
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Login> = rows.into_iter().map(|(_, login)| login).collect();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
    cuts.extend([0, rows.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].to_vec()).collect()
}

fn counted(run: &Run<'_>) -> Vec<(RuleId, Counters)> {
    run.counters()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn order_batching_and_repetition_ahead_of_the_watermark_change_nothing(
        logins in visits(50),
        order in prop::collection::vec(0..50_000_u64, 50),
        again in prop::collection::vec(any::<Index>(), 0..10),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let world = every_rule();
        let (mut whole, mut parts) = (world.run(), world.run());
        whole.take(&logins);
        whole.finish();
        for part in shuffled(&logins, &order, &again, &cuts) {
            parts.take(&part);
        }
        parts.finish();
        prop_assert_eq!(counted(&whole), counted(&parts));
        prop_assert_eq!(whole.told.sorted(), parts.told.sorted());
    }

    #[test]
    fn rows_that_come_again_behind_the_watermark_change_nothing(
        logins in visits(40),
        again in prop::collection::vec((any::<Index>(), 0..60_i64), 0..20),
    ) {
        let world = every_rule();
        let (mut once, mut often) = (world.run(), world.run());
        once.take(&logins);
        often.take(&logins);
        for (index, at) in again.iter().filter(|_| !logins.is_empty()) {
            often.progress(at * 10 * SECOND);
            often.take(&[index.get(&logins).clone()]);
        }
        once.finish();
        often.finish();
        prop_assert_eq!(counted(&once), counted(&often));
        prop_assert_eq!(once.told.sorted(), often.told.sorted());
    }

    #[test]
    fn a_watermark_in_steps_is_one_at_the_end(
        logins in visits(50),
        steps in prop::collection::vec(0..600 * SECOND, 0..12),
    ) {
        let world = every_rule();
        let (mut once, mut slowly) = (world.run(), world.run());
        once.take(&logins);
        slowly.take(&logins);
        let arrivals = slowly.told.drafts.len();
        let mut steps = steps;
        steps.sort_unstable();
        for at in steps {
            slowly.progress(at);
        }
        slowly.finish();
        once.finish();
        let behind = &slowly.told.drafts[arrivals..];
        prop_assert!(behind.is_sorted_by_key(Draft::at), "what is told behind the watermark never goes back");
        prop_assert_eq!(counted(&once), counted(&slowly));
        prop_assert_eq!(once.told.sorted(), slowly.told.sorted());
    }

    #[test]
    fn each_row_just_ahead_of_the_watermark_is_as_good_as_all_at_once(logins in visits(50)) {
        let world = every_rule();
        let (mut once, mut live) = (world.run(), world.run());
        once.take(&logins);
        once.finish();
        let mut logins = logins;
        logins.sort_by_key(|login| login.at);
        for login in logins {
            live.progress(login.at - 1);
            live.take(&[login]);
        }
        live.finish();
        prop_assert_eq!(counted(&once), counted(&live));
        prop_assert_eq!(once.told.sorted(), live.told.sorted());
    }

    #[test]
    fn a_life_after_a_snapshot_is_the_same_life(
        logins in visits(40),
        late in prop::collection::vec((any::<Index>(), any::<bool>()), 0..6),
        every in 1..6_usize,
    ) {
        let world = every_rule();
        let (mut one, mut many) = (world.run(), world.run());
        let mut logins = logins;
        let mut held: Vec<Login> = Vec::new();
        for (index, _) in late {
            if !logins.is_empty() {
                held.push(logins.remove(index.index(logins.len())));
            }
        }
        logins.sort_by_key(|login| login.at);
        let mut step = 0;
        for login in logins {
            let at = login.at;
            for run in [&mut one, &mut many] {
                run.take(std::slice::from_ref(&login));
                run.progress(at - 5 * SECOND);
            }
            if step % 5 == 0 && let Some(late) = held.pop() {
                for run in [&mut one, &mut many] {
                    run.take(std::slice::from_ref(&late));
                }
            }
            step += 1;
            if step % every == 0 {
                many.restart();
            }
        }
        one.finish();
        many.restart();
        many.finish();
        prop_assert_eq!(counted(&one), counted(&many));
        prop_assert_eq!(one.engine.rows(), many.engine.rows());
        prop_assert_eq!(one.told, many.told);
    }

    #[test]
    fn what_changed_after_a_whole_state_is_that_state_and_packing_decides_nothing(
        logins in visits(60),
        late in prop::collection::vec(any::<Index>(), 0..8),
        steps in prop::collection::vec(0..8_u8, 60),
        few in any::<bool>(),
    ) {
        let files: Vec<String> = verbs().iter().map(Case::file).chain(others()).collect();
        // So few groups that some have to go.
        let limits = if few { Limits { groups: 3 } } else { Limits::default() };
        let world = World::bounded(&files, limits);
        let (mut plain, mut kept, mut packed) = (world.run(), world.run(), world.run());
        let mut logins = logins;
        let mut held: Vec<Login> = Vec::new();
        for index in late {
            if !logins.is_empty() {
                held.push(logins.remove(index.index(logins.len())));
            }
        }
        logins.sort_by_key(|login| login.at);
        for (number, (login, step)) in logins.into_iter().zip(steps).enumerate() {
            let at = login.at;
            let mut batch = vec![login];
            if step == 7 {
                batch.extend(held.pop());
            }
            // Long enough at times for rows to be forgotten.
            let ahead = if number % 20 == 19 { HOUR } else { -5 * SECOND };
            for run in [&mut plain, &mut kept, &mut packed] {
                run.take(&batch);
                run.progress(at + ahead);
            }
            packed.engine.rest();
            match step {
                0 | 1 => _ = kept.keep(),
                2 => kept.engine.rest(),
                3 => kept.come_back(),
                4 => packed.come_back(),
                _ => {}
            }
        }
        kept.come_back();
        for run in [&mut plain, &mut kept, &mut packed] {
            run.finish();
        }
        prop_assert_eq!(counted(&plain), counted(&kept));
        prop_assert_eq!(counted(&plain), counted(&packed));
        prop_assert_eq!(plain.engine.rows(), kept.engine.rows());
        prop_assert_eq!(plain.engine.open_alerts(), kept.engine.open_alerts());
        prop_assert_eq!(&plain.told, &kept.told);
        prop_assert_eq!(plain.told, packed.told);
    }

    #[test]
    fn chunks_may_be_scanned_in_any_order_and_at_once(
        logins in visits(50),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let world = every_rule();
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        let batch = world.batch(&lines);
        let mut run = world.run();
        let fresh = run.engine.take_in(&batch);
        let engine = &run.engine;
        let text = |hits: &[Hit]| hits.iter().map(|hit| format!("{hit:?}")).collect::<Vec<_>>();
        let whole = text(&engine.scan(&batch, &fresh, &mut Scratch::default()));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(fresh.len() + 1)).collect();
        cuts.extend([0, fresh.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[Fresh]> = cuts.windows(2).map(|cut| &fresh[cut[0]..cut[1]]).collect();
        let at_once: Vec<String> = std::thread::scope(|scope| {
            let scan = |chunk: &[Fresh]| engine.scan(&batch, chunk, &mut Scratch::default());
            let threads: Vec<_> =
                chunks.iter().copied().map(|chunk| scope.spawn(move || scan(chunk))).collect();
            threads.into_iter().flat_map(|thread| text(&thread.join().unwrap())).collect()
        });
        let mut scratch = Scratch::default();
        let mut backwards: Vec<Vec<String>> =
            chunks.iter().rev().map(|chunk| text(&engine.scan(&batch, chunk, &mut scratch))).collect();
        backwards.reverse();
        prop_assert_eq!(&whole, &at_once);
        prop_assert_eq!(whole, backwards.concat());
    }

    #[test]
    fn what_is_guessed_of_rows_that_may_have_come_before_settles_to_what_they_are(
        logins in visits(40),
        before in prop::collection::vec(any::<Index>(), 0..20),
        changes in prop::collection::vec((any::<Index>(), 0..4_u8), 0..10),
        again in prop::collection::vec(any::<Index>(), 0..10),
    ) {
        let world = every_rule();
        let mut run = world.run();
        if !logins.is_empty() {
            run.take(&before.iter().map(|index| index.get(&logins).clone()).collect::<Vec<_>>());
        }
        let mut coming = logins.clone();
        for (index, change) in changes.iter().filter(|_| !logins.is_empty()) {
            let login = index.get(&logins).clone();
            let at = index.index(coming.len());
            coming[at] = match change {
                0 => Login { rtt: Some(477), ..login },
                1 => Login { end: Some(login.at + 15 * SECOND), ..login },
                2 => Login { failure: !login.failure, ..login },
                _ => login,
            };
        }
        coming.extend(again.iter().filter(|_| !logins.is_empty()).map(|index| index.get(&logins).clone()));
        let batch = world.batch(&coming.iter().map(Login::line).collect::<Vec<_>>());
        let mut scratch = Scratch::default();
        let guess = run.engine.generation().guess(&batch, &mut scratch);
        let fresh = run.engine.take_in(&batch);
        let engine = &run.engine;
        let settled = guess.settled(&fresh, |others| engine.scan(&batch, others, &mut Scratch::default()));
        let text = |hits: &[Hit]| hits.iter().map(|hit| format!("{hit:?}")).collect::<Vec<_>>();
        prop_assert_eq!(text(&settled), text(&engine.scan(&batch, &fresh, &mut scratch)));
    }
}

// --- late records

const LATE_WITHIN: i64 = 5 * MINUTE;

/// A rule of the models and all that its slow model has been told.
struct Watched<'c> {
    case: &'c Case,
    slow: Slow<Seen>,
    waiting: Vec<(String, Seen)>,
    late: usize,
    too_late: usize,
}

impl<'c> Watched<'c> {
    fn new(case: &'c Case) -> Self {
        Self { case, slow: Slow::new(), waiting: Vec::new(), late: 0, too_late: 0 }
    }

    /// Rules without state run on arrival, however late.
    fn on_arrival(&self) -> bool {
        matches!(self.case.rule.window, Window::Alone) && self.case.rule.cooldown == 0
    }

    fn progress(&mut self, watermark: i64) {
        self.waiting.sort_by_key(|(_, hit)| hit.order());
        let due = self.waiting.partition_point(|(_, hit)| hit.at() <= watermark);
        for (key, hit) in self.waiting.drain(..due) {
            self.slow.group(&key).observe(&hit, &self.case.rule);
        }
    }

    fn arrive(&mut self, login: &Login, id: [u8; 16], watermark: i64) {
        let Some((key, hit)) = self.case.sees(login, id) else { return };
        if self.on_arrival() {
            self.slow.group(&key).observe(&hit, &self.case.rule);
        } else if hit.at() > watermark {
            self.waiting.push((key, hit));
        } else if hit.at() > watermark - LATE_WITHIN {
            self.late += 1;
            self.slow.group(&key).observe_late(&hit, &self.case.rule);
        } else {
            self.too_late += 1;
        }
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn a_late_record_raises_one_late_alert_where_the_condition_now_holds_and_no_alert_covers_it(
        logins in logins(60),
        delays in prop::collection::vec(prop::option::weighted(0.3, 0..48_i64), 0..60),
    ) {
        // What `recover` does to late alerts is pinned apart from this.
        let cases: Vec<Case> = verbs().into_iter().filter(|case| case.rule.recovered.is_none()).collect();
        let files: Vec<String> = cases.iter().map(|case| case.file() + "late_within: 5m\n").collect();
        let world = World::new(&files);
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        let ids = ids(&world.batch(&lines));
        let mut arrivals: Vec<(i64, usize)> = logins
            .iter()
            .enumerate()
            .map(|(number, login)| {
                let delay = delays.get(number).copied().flatten().unwrap_or(0);
                (login.at + delay * 10 * SECOND, number)
            })
            .collect();
        arrivals.sort_unstable();
        let mut run = world.run();
        let mut watched: Vec<Watched<'_>> = cases.iter().map(Watched::new).collect();
        for (arrival, number) in arrivals {
            run.progress(arrival - 1);
            run.take(&logins[number..=number]);
            for one in &mut watched {
                one.progress(arrival - 1);
                one.arrive(&logins[number], ids[number], arrival - 1);
            }
        }
        run.finish();
        let counters = run.counters();
        for one in &mut watched {
            one.progress(i64::MAX);
            let (name, told) = (one.case.name, alerts_of(&run.told, one.case.name));
            prop_assert_eq!(&told, &alerts_of_model(&one.slow), "alerts of {}", name);
            let late = told.iter().filter(|(_, _, _, late)| *late).count();
            prop_assert!(late <= one.late, "{}: {} late alerts of {} late records", name, late, one.late);
            let counted = &counters.iter().find(|(rule, _)| rule.as_str() == name).unwrap().1;
            prop_assert_eq!(counted.too_late, one.too_late as u64, "too late for {}", name);
            prop_assert_eq!(counted.late, one.late as u64, "late for {}", name);
        }
        let mut fired: Vec<_> = run.told.fired().map(|fired| fired.id).collect();
        let all = fired.len();
        fired.sort_unstable();
        fired.dedup();
        prop_assert_eq!(fired.len(), all, "no alert is told twice");
    }
}

/// What `rule` tells of `logins`, taken in by themselves with the watermark just before each time.
fn live(rule: &str, logins: &[(i64, Login)]) -> Told {
    let world = World::new(&[rule]);
    let mut run = world.run();
    for (arrival, login) in logins {
        run.progress(arrival - 1);
        run.take(std::slice::from_ref(login));
    }
    run.finish();
    run.told
}

fn on_time(logins: impl IntoIterator<Item = Login>) -> Vec<(i64, Login)> {
    logins.into_iter().map(|login| (login.at, login)).collect()
}

#[test]
fn a_late_hit_does_not_bring_back_the_hits_that_a_restart_emptied() {
    let rule = rule(
        "r",
        "match: {outcome: failure}\ncount: {at_least: 3, within: 1m, by: [user_name], restart: true}\n",
    );
    let mut logins = on_time((0..3).map(|n| Login::failure(n, i64::from(n) * SECOND, "ana")));
    logins.push((10 * SECOND, Login::failure(3, SECOND, "ana")));
    logins.push((20 * SECOND, Login::failure(4, 20 * SECOND, "ana")));
    assert_eq!(live(&rule, &logins).times(), [2 * SECOND]);
}

#[test]
fn a_late_record_of_a_script_still_has_the_records_before_it() {
    let body = "match: {e2e_rtt|exists: true}\nscript:\n  by: [user_name]\n  keep: 2\n  when: |\n    history.len() == 2 && history[0].e2e_rtt == 7\nlate_within: 1m\n";
    let mut logins = on_time(
        [(0, 0, 7), (1, 50 * SECOND, 1), (2, 65 * SECOND, 1), (3, 70 * SECOND, 1)]
            .map(|(id, at, rtt)| Login::success(id, at, "ana").rtt(rtt)),
    );
    logins.push((71 * SECOND, Login::success(4, 20 * SECOND, "ana").rtt(1)));
    let told = live(&rule("r", body), &logins);
    let late: Vec<bool> = told.fired().map(|fired| fired.late).collect();
    assert_eq!((told.times(), late), (vec![50 * SECOND, 20 * SECOND], vec![false, true]));
}

#[test]
fn a_late_hit_before_a_clearing_record_judges_nothing_after_it() {
    let body = "match: {outcome: [failure, success]}\ncount:\n  within: 10m\n  by: [user_name]\n  unless: {public_ip: 203.0.113.9}\n  having:\n    all: {match: {outcome: failure}, at_least: 100%}\n";
    let mut logins = on_time([Login::success(0, 0, "ana"), Login::failure(1, 20 * SECOND, "ana")]);
    logins.push((30 * SECOND, Login::success(2, 10 * SECOND, "ana").from("203.0.113.9")));
    logins.push((40 * SECOND, Login::success(3, 5 * SECOND, "ana")));
    assert_eq!(live(&rule("r", body), &logins).times(), [0; 0]);
}

// --- rows read again

type IsHit = fn(&Login) -> bool;

#[test]
fn a_value_that_appears_later_counts_once() {
    let world = World::new(&[rule("slow", "match: {e2e_rtt|gte: 400}\n")]);
    let login = Login::success(0, 0, "ana");
    let mut run = world.run();
    for login in [login.clone(), login.clone().rtt(450), login.clone().rtt(460), login.rtt(460)] {
        run.take(&[login]);
    }
    run.finish();
    assert_eq!(run.told.times(), [0]);
    let rows = run.engine.rows();
    assert_eq!((rows.new, rows.amended, rows.unchanged), (1, 2, 1));
}

#[test]
fn an_amended_row_keeps_the_time_of_its_first_sight() {
    let world = World::new(&[rule("slow", "match: {e2e_rtt|gte: 400}\n")]);
    let mut run = world.run();
    run.take(&[Login::success(0, MINUTE, "ana")]);
    run.take(&[Login::success(0, 2 * MINUTE, "ana").rtt(450)]);
    run.finish();
    assert_eq!(run.told.times(), [MINUTE]);
}

#[test]
fn an_end_that_appears_later_makes_one_end_record() {
    let world =
        World::new(&[rule("ends", "match: {phase: end}\n"), rule("starts", "match: {outcome: success}\n")]);
    let login = Login::success(0, 0, "ana");
    let mut run = world.run();
    for login in [login.clone(), login.clone().ends(HOUR), login.clone().ends(HOUR).rtt(7), login.ends(HOUR)]
    {
        run.take(&[login]);
    }
    run.finish();
    let told: Vec<_> = run.told.fired().map(|fired| (fired.rule.as_str(), fired.at)).collect();
    assert_eq!(told, [("starts", time(0)), ("ends", time(HOUR))]);
}

#[test]
fn the_end_of_a_long_session_counts_once_however_often_it_is_read() {
    let world = World::new(&[rule(
        "ends",
        "match: {phase: end}\ncount: {at_least: 2, within: 1h, by: [user_name]}\n",
    )]);
    let login = Login::success(0, 0, "ana").ends(5 * HOUR);
    let mut run = world.run();
    run.take(std::slice::from_ref(&login));
    run.progress(5 * HOUR + 10 * MINUTE);
    run.take(&[login]);
    run.finish();
    assert_eq!((run.told.times(), run.engine.rows().unchanged), (vec![], 1));
}

#[test]
fn an_amended_record_is_there_for_rules_that_ask_and_counts_once() {
    let world = World::new(&[
        rule("amended", "match: {phase: amended}\n"),
        rule("plain", "match: {outcome: success}\n"),
    ]);
    let login = Login::success(0, 0, "ana");
    let mut run = world.run();
    for login in [login.clone(), login.clone(), login.clone().rtt(1), login.rtt(2)] {
        run.take(&[login]);
    }
    run.finish();
    let told: Vec<_> = run.told.fired().map(|fired| fired.rule.as_str()).collect();
    assert_eq!(told, ["plain", "amended"]);
}

#[test]
fn an_amended_record_names_the_fields_that_changed() {
    let world = World::new(&[
        rule("address", "match: {phase: amended, changed: public_ip}\n"),
        rule("delay", "match: {phase: amended, changed: e2e_rtt}\n"),
        rule(
            "both",
            "match: {a: {phase: amended, changed: public_ip}, b: {changed: e2e_rtt}, condition: a and b}\n",
        ),
        rule("name", "match: {phase: amended, changed: user_name}\n"),
    ]);
    let login = Login::success(0, 0, "ana").rtt(1).from("192.0.2.9");
    let mut run = world.run();
    for login in [login.clone(), login.clone().rtt(2), login.rtt(3).from("203.0.113.4")] {
        run.take(&[login]);
    }
    run.finish();
    let mut told: Vec<_> = run.told.fired().map(|fired| fired.rule.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["address", "both", "delay"]);
}

#[test]
fn a_row_that_cleared_its_group_may_still_turn_out_a_hit() {
    let body = "match: {outcome: failure}\ncount: {at_least: 1, within: 1h, by: [user_name], unless: {outcome: success}}\n";
    let world = World::new(&[rule("r", body)]);
    for late in [false, true] {
        let mut run = world.run();
        run.take(&[Login::success(0, MINUTE, "ana")]);
        if late {
            run.progress(2 * MINUTE);
        }
        run.take(&[Login::failure(0, MINUTE, "ana")]);
        run.finish();
        assert_eq!(run.told.times(), [MINUTE], "late: {late}");
    }
}

#[test]
fn a_late_version_that_hits_stands_after_the_clear_that_it_was() {
    let body = "match: {outcome: failure}\ncount: {at_least: 2, within: 1h, by: [user_name], unless: {outcome: success}}\n";
    let world = World::new(&[rule("r", body)]);
    for late in [false, true] {
        let mut run = world.run();
        run.take(&[Login::success(0, MINUTE, "ana"), Login::failure(1, 2 * MINUTE, "ana")]);
        if late {
            run.progress(3 * MINUTE);
        }
        run.take(&[Login::failure(0, MINUTE, "ana")]);
        run.finish();
        assert_eq!(run.told.times(), [2 * MINUTE], "late: {late}");
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_row_counts_for_a_rule_as_the_first_of_its_versions_that_hits(
        logins in logins(20),
        versions in prop::collection::vec((any::<Index>(), any::<bool>(), prop::option::of(300..600_u32)), 0..30),
    ) {
        let world = World::new(&[
            rule("slow", "match: {outcome: [failure, success], e2e_rtt|gte: 400}\n"),
            rule("many", "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user_name]}\n"),
            rule("median", "match: {outcome: [failure, success]}\nmeasure: {field: e2e_rtt, stat: median, above: 300, within: 2m, at_least: 2, by: [user_name]}\n"),
        ]);
        let hits: [(&str, IsHit); 3] = [
            ("slow", |login| login.rtt >= Some(400)),
            ("many", |login| login.failure),
            ("median", |login| login.rtt.is_some()),
        ];
        let mut run = world.run();
        run.take(&logins);
        let mut first: Vec<[Option<Login>; 3]> =
            logins.iter().map(|login| hits.map(|(_, hit)| Some(login.clone()).filter(hit))).collect();
        for (index, failure, rtt) in versions.into_iter().filter(|_| !logins.is_empty()) {
            let number = index.index(logins.len());
            let version = Login { failure, rtt, ..logins[number].clone() };
            for (known, (_, hit)) in first[number].iter_mut().zip(hits) {
                *known = known.take().or_else(|| Some(version.clone()).filter(hit));
            }
            run.take(&[version]);
        }
        run.finish();
        for (place, (name, _)) in hits.into_iter().enumerate() {
            let counted: Vec<Login> = first.iter().filter_map(|known| known[place].clone()).collect();
            prop_assert_eq!(alerts_of(&run.told, name), alerts_of(&world.told(&counted), name), "{}", name);
        }
    }
}

// --- exact edges

/// When `body` fires on failures of one user at these instants.
fn fires(body: &str, at: &[i64]) -> Vec<i64> {
    let logins: Vec<Login> = (0..).zip(at).map(|(id, at)| Login::failure(id, *at, "ana")).collect();
    World::new(&[rule("r", body)]).told(&logins).times()
}

#[test]
fn a_window_leaves_out_its_beginning_and_holds_its_end() {
    let count = "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user_name]}\n";
    assert_eq!(fires(count, &[0, MINUTE]), [0; 0]);
    assert_eq!(fires(count, &[0, MINUTE - 1]), [MINUTE - 1]);
    assert_eq!(fires(count, &[0, 0]), [0]);
}

#[test]
fn a_window_of_distinct_values_leaves_out_its_beginning() {
    let world = World::new(&[rule(
        "r",
        "match: {outcome: failure}\ndistinct: {field: user_name, at_least: 2, within: 1m, by: [public_ip]}\n",
    )]);
    let at = |at| world.told(&[Login::failure(0, 0, "ana"), Login::failure(1, at, "bob")]).times();
    assert_eq!((at(MINUTE), at(MINUTE - 1)), (vec![], vec![MINUTE - 1]));
}

#[test]
fn a_window_of_samples_leaves_out_its_beginning() {
    let world = World::new(&[rule(
        "r",
        "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: sum, above: 300, within: 1m, at_least: 2, by: [user_name]}\n",
    )]);
    let at = |at| {
        world.told(&[Login::success(0, 0, "ana").rtt(200), Login::success(1, at, "ana").rtt(200)]).times()
    };
    assert_eq!((at(MINUTE), at(MINUTE - 1)), (vec![], vec![MINUTE - 1]));
}

#[test]
fn a_bound_itself_is_not_above_or_below_the_bound() {
    let fires = |stat: &str, rtts: &[u32]| {
        let body = format!(
            "match: {{e2e_rtt|exists: true}}\nmeasure: {{field: e2e_rtt, stat: {stat}, within: 1h, at_least: 2, by: [user_name]}}\n"
        );
        let login = |(id, rtt): (u32, &u32)| Login::success(id, i64::from(id), "ana").rtt(*rtt);
        let logins: Vec<Login> = (0..).zip(rtts).map(login).collect();
        World::new(&[rule("r", &body)]).told(&logins).times().len()
    };
    assert_eq!(fires("mean, above: 300", &[299, 301]), 0);
    assert_eq!(fires("mean, above: 300", &[300, 301]), 1);
    assert_eq!(fires("max, above: 300", &[1, 300]), 0);
    assert_eq!(fires("min, below: 300", &[300, 301]), 0);
    assert_eq!(fires("min, below: 300", &[299, 301]), 1);
    assert_eq!(fires("median, above: 300", &[300, 301]), 0, "the nearest rank of two is the first");
    assert_eq!(fires("p99, above: 300", &[300, 301]), 1);
}

#[test]
fn a_hit_at_exactly_the_end_of_a_cooldown_fires() {
    let each = "match: {outcome: failure}\ncooldown: {for: 1m, by: [user_name]}\n";
    assert_eq!(fires(each, &[0, MINUTE - 1, MINUTE, 2 * MINUTE - 1, 2 * MINUTE]), [0, MINUTE, 2 * MINUTE]);
}

#[test]
fn a_cooldown_runs_from_the_firing_and_is_never_lengthened() {
    let count = "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user_name]}\n";
    let every_10s: Vec<i64> = (0..20).map(|n| n * 10 * SECOND).collect();
    assert_eq!(fires(count, &every_10s), [10 * SECOND, 70 * SECOND, 130 * SECOND, 190 * SECOND]);
}

#[test]
fn an_alert_closes_at_exactly_the_end_of_its_cooldown() {
    let world = World::new(&[rule("r", "match: {outcome: failure}\ncooldown: {for: 1m, by: [user_name]}\n")]);
    let mut run = world.run();
    run.take(&[Login::failure(0, 0, "ana"), Login::failure(1, 7, "ana")]);
    run.progress(MINUTE - 1);
    assert_eq!(changes(&run.told), []);
    run.progress(MINUTE);
    assert_eq!(changes(&run.told), [(State::Closed, MINUTE, 1)]);
}

#[test]
fn a_value_is_forgotten_at_exactly_the_end_of_forget() {
    let world = World::new(&[rule(
        "r",
        "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], forget: 30d, same_net: off}\n",
    )]);
    let at = |at| {
        let known = Login::success(1, 1, "ana").from("203.0.113.2");
        world.told(&[Login::success(0, 0, "ana"), known, Login::success(2, at, "ana")]).times()
    };
    assert_eq!(at(30 * DAY - 1), [1]);
    assert_eq!(at(30 * DAY), [1, 30 * DAY]);
}

#[test]
fn a_group_has_learnt_at_exactly_the_end_of_learn() {
    let world = World::new(&[rule(
        "r",
        "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], learn: {for: 7d, records: 2}, same_net: off}\n",
    )]);
    let at = |records: u32, at| {
        let mut logins: Vec<Login> =
            (0..records).map(|id| Login::success(id, i64::from(id), "ana")).collect();
        logins.push(Login::success(9, at, "ana").from("203.0.113.2"));
        world.told(&logins).times()
    };
    assert_eq!(at(2, 7 * DAY - 1), [0; 0]);
    assert_eq!(at(2, 7 * DAY), [7 * DAY]);
    assert_eq!(at(1, 7 * DAY), [0; 0], "two records come before the one that is judged");
}

#[test]
fn an_exception_ends_at_exactly_its_until() {
    let until = time(MINUTE);
    let body = format!(
        "match: {{outcome: failure}}\nexcept:\n  - {{user_name: ana, because: a drill, until: {until}}}\n"
    );
    assert_eq!(fires(&body, &[0, MINUTE - 1, MINUTE]), [MINUTE]);
}

#[test]
fn an_exception_until_a_day_holds_to_the_end_of_that_day() {
    let body =
        "match: {outcome: failure}\nexcept:\n  - {user_name: ana, because: a drill, until: 2026-01-05}\n";
    let midnight = 15 * HOUR;
    assert_eq!(fires(body, &[0, midnight - 1, midnight]), [midnight]);
}

#[test]
fn a_record_is_late_up_to_the_watermark_and_too_late_beyond_late_within() {
    let body =
        "match: {outcome: failure}\ncount: {at_least: 1, within: 1s, by: [user_name]}\nlate_within: 1m\n";
    let world = World::new(&[rule("r", body)]);
    let counted = |at| {
        let mut run = world.run();
        run.progress(HOUR);
        run.take(&[Login::failure(0, at, "ana")]);
        run.finish();
        let late: Vec<bool> = run.told.fired().map(|fired| fired.late).collect();
        (late, run.counters()[0].1.late, run.counters()[0].1.too_late)
    };
    assert_eq!(counted(HOUR + 1), (vec![false], 0, 0));
    assert_eq!(counted(HOUR), (vec![true], 1, 0));
    assert_eq!(counted(HOUR - MINUTE + 1), (vec![true], 1, 0));
    assert_eq!(counted(HOUR - MINUTE), (vec![], 0, 1));
}

#[test]
fn a_rule_without_state_fires_however_late_a_record_is() {
    let world = World::new(&[rule("r", "match: {outcome: failure}\n")]);
    let mut run = world.run();
    run.progress(5 * DAY);
    run.take(&[Login::failure(0, 0, "ana")]);
    assert_eq!(run.told.times(), [0]);
}

#[test]
fn the_first_line_of_levels_that_holds_wins_and_a_graver_hit_is_told_again() {
    let body = "match: {outcome: failure}\ncount: {at_least: 1, within: 1h, by: [user_name]}\nlevels:\n  - {level: high, when: {e2e_rtt|gt: 100}}\n  - {level: critical, when: {e2e_rtt|gt: 50}}\n";
    let rtts = [10, 200, 60, 70];
    let login = |(id, rtt): (u32, u32)| Login::failure(id, i64::from(id), "ana").rtt(rtt);
    let logins: Vec<Login> = (0..).zip(rtts).map(login).collect();
    let told = World::new(&[rule("r", body)]).told(&logins);
    let levels: Vec<Level> = told
        .drafts
        .iter()
        .map(|draft| match draft {
            Draft::Fired(fired) => fired.level,
            Draft::Changed(change) => change.level,
        })
        .collect();
    assert_eq!(levels, [Level::Medium, Level::High, Level::Critical, Level::Critical]);
}

#[test]
fn a_rule_has_as_many_levels_as_a_hit_has_bits_and_more_are_a_fault() {
    let body = |lines: u32| {
        let line = |n: u32| format!("  - {{level: high, when: {{e2e_rtt: {n}}}}}\n");
        let lines: String = (1..=lines).map(line).collect();
        rule("r", &format!("match: {{outcome: failure}}\nlevels:\n{lines}"))
    };
    let levels = |rtt| {
        let told = World::new(&[body(32)]).told(&[Login::failure(0, 0, "ana").rtt(rtt)]);
        told.fired().map(|fired| (fired.level, fired.level_line)).collect::<Vec<_>>()
    };
    assert_eq!(levels(32), [(Level::High, Some(31))]);
    assert_eq!(levels(33), [(Level::Medium, None)]);
    let (spec, mut problems) = decode("r.yaml", &body(33), &Options::default());
    assert!(CheckedRule::new(spec.unwrap(), &mut problems).is_none());
    assert!(format!("{problems:?}").contains("33 conditions together, and 32 are the most"));
}

// --- the bound of groups

/// Group names of one length, so that the order of keys is the order of names.
fn name(number: u8) -> String {
    format!("user-{number}")
}

/// The alerts of "three failures within a day", and how many groups went, by the words of the law:
/// fewest hits first, then the oldest, then by key.
fn bounded_count(logins: &[Login], ids: &[[u8; 16]], limit: usize) -> (Vec<(i64, String)>, u64) {
    let mut ordered: Vec<(&Login, &[u8; 16])> = logins.iter().zip(ids).collect();
    ordered.sort_by_key(|(login, id)| (login.at, **id));
    let (mut groups, mut alerts, mut evicted): (Vec<(String, Vec<i64>, i64)>, _, _) =
        (Vec::new(), Vec::new(), 0);
    for (login, _) in ordered {
        if !groups.iter().any(|(user, _, _)| *user == login.user) {
            if groups.len() == limit {
                let worth = |(user, hits, _): &(String, Vec<i64>, i64)| {
                    (hits.len(), hits.last().copied(), user.clone())
                };
                let least = (0..groups.len()).min_by_key(|number| worth(&groups[*number])).unwrap();
                groups.remove(least);
                evicted += 1;
            }
            groups.push((login.user.clone(), Vec::new(), i64::MIN));
        }
        let (user, hits, until) = groups.iter_mut().find(|(user, _, _)| *user == login.user).unwrap();
        hits.push(login.at);
        if login.at >= *until && hits.len() >= 3 {
            alerts.push((login.at, user.clone()));
            *until = login.at + DAY;
        }
    }
    (alerts, evicted)
}

const BURST: &str = "match: {outcome: failure}\ncount: {at_least: 3, within: 1d, by: [user_name]}\n";

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn over_the_bound_the_group_with_fewest_hits_goes_then_the_oldest_then_by_key(
        attempts in prop::collection::vec((0..30_i64, 0..9_u8), 0..60),
        order in prop::collection::vec(0..50_000_u64, 60),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        steps in prop::collection::vec(0..300_i64, 0..5),
    ) {
        let world = World::bounded(&[rule("r", BURST)], Limits { groups: 3 });
        let logins: Vec<Login> = (0..)
            .zip(&attempts)
            .map(|(id, (at, user))| Login::failure(id, at * 10 * SECOND, &name(*user)))
            .collect();
        let lines: Vec<String> = logins.iter().map(Login::line).collect();
        let (alerts, evicted) = bounded_count(&logins, &ids(&world.batch(&lines)), 3);
        let (mut whole, mut parts) = (world.run(), world.run());
        whole.take(&logins);
        whole.finish();
        for part in shuffled(&logins, &order, &[], &cuts) {
            parts.take(&part);
        }
        let mut steps = steps;
        steps.sort_unstable();
        for at in steps {
            parts.progress(at * SECOND);
            parts.restart();
        }
        parts.finish();
        let fired: Vec<(i64, String)> =
            alerts_of(&whole.told, "r").into_iter().map(|(at, user, _, _)| (at, user)).collect();
        let mut alerts = alerts;
        alerts.sort();
        prop_assert_eq!(fired, alerts);
        prop_assert_eq!(whole.counters()[0].1.groups_evicted, evicted);
        prop_assert_eq!(whole.told.notes.len(), usize::from(evicted > 0), "told once a flood");
        prop_assert_eq!(whole.counters(), parts.counters());
        prop_assert_eq!(whole.told.sorted(), parts.told.sorted());
    }
}

#[test]
fn a_flood_of_invented_names_cannot_push_out_a_slow_burn_or_another_rule() {
    let by_ip = "match: {outcome: failure}\ncount: {at_least: 1000, within: 1d, by: [public_ip]}\n";
    let world = World::bounded(&[rule("r", BURST), rule("ip", by_ip)], Limits { groups: 10 });
    let mut logins: Vec<Login> =
        (0..2_000).map(|id| Login::failure(id, i64::from(id) * SECOND, &format!("x{id}"))).collect();
    logins.extend([0, 1].map(|id| Login::failure(5_000 + id, i64::from(id), "ana")));
    logins.push(Login::failure(5_002, HOUR, "ana"));
    let mut run = world.run();
    run.take(&logins);
    run.progress(HOUR);
    let rule = |id: &str| id.parse::<RuleId>().unwrap();
    let fired: Vec<_> = run.told.fired().map(|fired| (fired.rule.clone(), fired.at)).collect();
    assert_eq!(fired, [(rule("ip"), time(997 * SECOND)), (rule("r"), time(HOUR))]);
    assert_eq!((run.engine.groups(&rule("r")), run.engine.groups(&rule("ip"))), (10, 1));
    assert_eq!(run.told.notes, [Note::GroupsFull { rule: rule("r"), at: time(9 * SECOND), limit: 10 }]);
}

#[test]
fn groups_that_have_had_their_time_make_room_and_the_next_flood_is_told_again() {
    let body =
        "match: {outcome: failure}\ncount: {at_least: 3, within: 1m, by: [user_name]}\nlate_within: 1m\n";
    let world = World::bounded(&[rule("r", body)], Limits { groups: 2 });
    let flood = |from: u32| {
        (from..from + 4).map(|id| Login::failure(id, i64::from(id / 10) * HOUR, &format!("x{id}")))
    };
    let mut run = world.run();
    run.take(&flood(0).chain(flood(10)).collect::<Vec<_>>());
    run.finish();
    assert_eq!((run.told.notes.len(), run.counters()[0].1.groups_evicted), (2, 4));
}

// --- hostile strings

/// Names that try to be other names.
fn hostile() -> Vec<String> {
    let long = "x".repeat(64 << 10);
    let separators = [
        "",
        "\u{1f}",
        "\u{1e}",
        "\0",
        ",",
        "|",
        "\u{1}\u{0}\u{0}\u{0}a",
        "\u{202e}",
        "\u{200b}",
        "\n",
        "\"",
        "{{ 7*7 }}",
    ];
    let plain =
        separators.iter().flat_map(|part| [format!("a{part}b"), format!("a{part}"), format!("{part}b")]);
    let long = ["", "y", "z", "\u{1f}y"].map(|end| format!("{long}{end}"));
    let cut = ["x".repeat(4_096), "x".repeat(4_095), "é".repeat(2_048), format!("{}y", "é".repeat(2_048))];
    let mut all: Vec<String> = plain.chain(long).chain(cut).filter(|name| !name.is_empty()).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn no_two_hostile_names_are_one_group() {
    let world = World::new(&[
        rule("one", "match: {outcome: failure}\ncount: {at_least: 2, within: 1d, by: [user_name]}\n"),
        rule(
            "two",
            "match: {outcome: failure}\ncount: {at_least: 2, within: 1d, by: [user_name, client_name]}\n",
        ),
    ]);
    let names = hostile();
    let ones: Vec<Login> =
        (0..).zip(&names).map(|(id, name)| Login::failure(id, i64::from(id), name)).collect();
    assert_eq!(world.told(&ones).times(), [0; 0]);
    let short: Vec<&String> = names.iter().filter(|name| name.len() < 100).collect();
    let pairs = short.iter().enumerate().flat_map(|(number, name)| {
        let id = u32::try_from(number * 1_000).unwrap();
        (id..).zip(&short).map(|(id, client)| Login::failure(id, 0, name).client(client))
    });
    let told = world.told(&pairs.collect::<Vec<_>>());
    assert_eq!(told.fired().filter(|fired| fired.rule.as_str() == "two").count(), 0);
}

#[test]
fn every_hostile_value_is_a_value_of_its_own() {
    let world = World::new(&[
        rule(
            "distinct",
            "match: {outcome: failure}\ndistinct: {field: user_name, at_least: 2, within: 1d, by: [public_ip]}\ncooldown: off\n",
        ),
        rule("seen", "match: {outcome: failure}\nfirst_seen: {value: user_name, by: [public_ip]}\n"),
    ]);
    let names = hostile();
    let logins: Vec<Login> =
        (0..).zip(&names).map(|(id, name)| Login::failure(id, i64::from(id), name)).collect();
    let told = world.told(&logins);
    let last = told.fired().filter(|fired| fired.rule.as_str() == "distinct").last().unwrap();
    assert_eq!(last.finding.count, names.len() as u64);
    assert_eq!(told.fired().filter(|fired| fired.rule.as_str() == "seen").count(), names.len() - 1);
}

#[test]
fn a_tuple_is_its_parts_however_they_are_spelt() {
    let world = World::new(&[rule(
        "r",
        "match: {outcome: success}\nfirst_seen: {value: [user_name, client_name], by: [public_ip]}\n",
    )]);
    let login = |id: u32, user: &str, client: &str| Login::success(id, i64::from(id), user).client(client);
    for parts in [
        [("a\u{1f}b", "c"), ("a", "b\u{1f}c")],
        [("a\u{1e}", "c"), ("a\u{1e}\u{1f}", "c")],
        [("a\u{1e}u", "c"), ("a\u{1f}", "c")],
    ] {
        let logins = [login(0, parts[0].0, parts[0].1), login(1, parts[1].0, parts[1].1)];
        assert_eq!(world.told(&logins).times(), [1], "{parts:?}");
    }
}

// --- the life of an alert

/// What became of alerts: state, time, repeats.
fn changes(told: &Told) -> Vec<(State, i64, u64)> {
    let changes = told.drafts.iter().filter_map(|draft| match draft {
        Draft::Changed(change) => Some((change.state, change.at.0 - time(0).0, change.repeats)),
        Draft::Fired(_) => None,
    });
    changes.collect()
}

#[test]
fn ten_times_the_count_is_news_and_so_is_ten_times_that() {
    let world = World::new(&[rule("r", "match: {outcome: failure}\ncooldown: {for: 1h, by: [user_name]}\n")]);
    let logins: Vec<Login> = (0..150).map(|id| Login::failure(id, i64::from(id), "ana")).collect();
    let expected = [(State::Updated, 9, 9), (State::Updated, 99, 99), (State::Closed, HOUR, 149)];
    assert_eq!(changes(&world.told(&logins)), expected);
}

#[test]
fn a_late_alert_older_than_the_open_one_is_over_as_it_is_told() {
    let body =
        "match: {outcome: failure}\ncount: {at_least: 2, within: 10s, by: [user_name]}\ncooldown: 1h\n";
    let mut logins = on_time([
        Login::failure(0, 0, "ana"),
        Login::failure(1, MINUTE, "ana"),
        Login::failure(2, MINUTE + 1, "ana"),
    ]);
    logins.push((2 * MINUTE, Login::failure(3, SECOND, "ana")));
    logins.push((3 * MINUTE, Login::failure(4, 3 * MINUTE, "ana")));
    let told = live(&rule("r", body), &logins);
    let fired: Vec<_> = told.fired().map(|fired| (fired.at, fired.late)).collect();
    assert_eq!(fired, [(time(MINUTE + 1), false), (time(SECOND), true)]);
    let closed = [(State::Closed, SECOND, 0), (State::Closed, MINUTE + 1 + HOUR, 1)];
    assert_eq!(changes(&told), closed);
}

#[test]
fn without_a_cooldown_an_alert_is_open_until_it_recovers_or_another_takes_its_place() {
    let body = "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: max, above: 300, last: 1, within: 1h, by: [user_name], recover: {below: 200}}\ncooldown: off\n";
    let world = World::new(&[rule("r", body)]);
    let rtts = [400, 500, 250, 100, 100, 600];
    let logins: Vec<Login> =
        (0..).zip(rtts).map(|(id, rtt)| Login::success(id, i64::from(id), "ana").rtt(rtt)).collect();
    let told = world.told(&logins);
    assert_eq!(told.times(), [0, 1, 5]);
    assert_eq!(changes(&told), [(State::Closed, 1, 0), (State::Resolved, 3, 0)]);
}

#[test]
fn a_late_alert_is_resolved_by_the_next_sample_that_says_so() {
    let body = "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: median, above: 300, last: 1, within: 1h, by: [user_name], recover: {below: 200}}\n";
    let mut logins = on_time([Login::success(0, 10 * SECOND, "ana").rtt(100)]);
    logins.push((15 * SECOND, Login::success(1, 5 * SECOND, "ana").rtt(500)));
    logins.push((20 * SECOND, Login::success(2, 20 * SECOND, "ana").rtt(100)));
    logins.push((30 * SECOND, Login::success(3, 30 * SECOND, "ana").rtt(500)));
    let told = live(&rule("r", body), &logins);
    assert_eq!(told.times(), [5 * SECOND, 30 * SECOND], "a relapse is told, cooldown or not");
    assert_eq!(changes(&told)[0], (State::Resolved, 20 * SECOND, 1));
}

#[test]
fn a_window_of_the_last_few_begins_at_its_first_whenever_what_is_older_was_let_go() {
    let body = "match: {e2e_rtt|exists: true}\nmeasure: {field: e2e_rtt, stat: median, above: 300, last: 2, within: 1h, by: [user_name]}\nlate_within: 5m\n";
    let slow =
        |number: u32| Login::success(number, 20 * MINUTE * i64::from(number), "ana").rtt(100 + 150 * number);
    let logins: Vec<Login> = (0..4).map(slow).collect();
    let windows = |told: &Told| told.fired().map(|fired| (fired.from, fired.to)).collect::<Vec<_>>();
    let world = World::new(&[rule("r", body)]);
    let once = windows(&world.told(&logins));
    assert_eq!(once, [(time(40 * MINUTE - 1), time(60 * MINUTE))]);
    let mut run = world.run();
    for login in &logins {
        run.take(std::slice::from_ref(login));
        run.progress(login.at);
        run.progress(login.at + 10 * MINUTE);
    }
    run.finish();
    assert_eq!(windows(&run.told), once);
}

#[test]
fn a_late_hit_in_the_cooldown_of_the_open_alert_is_one_of_its_repeats() {
    let body = "match: {outcome: failure}\ncooldown: {for: 1h, by: [user_name]}\n";
    let mut logins = on_time([Login::failure(0, 0, "ana"), Login::failure(1, MINUTE, "ana")]);
    logins.push((2 * MINUTE, Login::failure(2, SECOND, "ana")));
    let told = live(&rule("r", body), &logins);
    assert_eq!((told.times(), changes(&told)), (vec![0], vec![(State::Closed, HOUR, 2)]));
}

// --- watermarks

/// How many alerts there are once each of these sources has told how far it is.
fn alerts_after(body: &str, sources: &[(u16, i64, i64)]) -> usize {
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    run.engine.add_source(SourceId(1), None);
    run.take(&[Login::success(0, MINUTE, "ana").ends(HOUR)]);
    let mut alerts = run.told.fired().count();
    for (source, start, end) in sources {
        let outcome = run.engine.progress(SourceId(*source), time(*start), time(*end));
        alerts += outcome.drafts.iter().filter(|draft| matches!(draft, Draft::Fired(_))).count();
    }
    alerts
}

#[test]
fn a_rule_waits_for_the_slowest_source_that_it_may_hear_from() {
    let body = "match: {outcome: success}\ncount: {at_least: 1, within: 1h, by: [user_name]}\n";
    assert_eq!(alerts_after(body, &[]), 0);
    assert_eq!(alerts_after(body, &[(0, HOUR, 0)]), 0);
    assert_eq!(alerts_after(body, &[(0, HOUR, 0), (1, MINUTE - 1, 0)]), 0);
    assert_eq!(alerts_after(body, &[(0, HOUR, 0), (1, MINUTE, 0)]), 1, "and not for ends");
}

#[test]
fn a_rule_of_ends_waits_for_ends_and_one_of_both_for_both() {
    let ends = "match: {phase: end}\ncount: {at_least: 1, within: 1h, by: [user_name]}\n";
    assert_eq!(alerts_after(ends, &[(0, 2 * HOUR, HOUR), (1, 2 * HOUR, HOUR - 1)]), 0);
    assert_eq!(alerts_after(ends, &[(0, 0, HOUR), (1, 0, HOUR)]), 1);
    let both = "match: {phase: [start, end]}\ncount: {at_least: 2, within: 1h, by: [user_name]}\n";
    assert_eq!(alerts_after(both, &[(0, 2 * HOUR, HOUR - 1), (1, 2 * HOUR, HOUR)]), 0);
    assert_eq!(alerts_after(both, &[(0, HOUR, HOUR), (1, HOUR, HOUR)]), 1);
}

#[test]
fn a_watermark_never_goes_back() {
    let body = "match: {outcome: success}\ncount: {at_least: 1, within: 1h, by: [user_name]}\n";
    assert_eq!(alerts_after(body, &[(0, HOUR, 0), (0, 0, 0), (1, HOUR, 0), (1, 0, 0)]), 1);
}

#[test]
fn a_snapshot_of_another_version_is_refused_and_not_misread() {
    let world =
        World::new(&[rule("r", "match: {outcome: failure}\ncount: {at_least: 2, within: 1m, by: [user]}\n")]);
    let run = world.run();
    let whole = run.engine.snapshot().unwrap().pieces;
    let refused = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut pieces = whole.clone();
        change(&mut pieces);
        Engine::restore(world.generation.clone(), "acme", pieces).unwrap_err().to_string()
    };
    assert_eq!(refused(|pieces| pieces[0][20] ^= 1), "the snapshot is damaged");
    assert_eq!(refused(Vec::clear), "the snapshot is damaged");
    let other = |pieces: &mut Vec<Vec<u8>>| {
        let (digest, rest) = pieces[0].split_first_chunk_mut::<8>().unwrap();
        rest[0] = 32;
        *digest = xxhash_rust::xxh3::xxh3_64(rest).to_le_bytes();
    };
    assert_eq!(refused(other), "the snapshot is written as version 32 does it, not as version 7");
}

#[test]
fn what_changed_is_little_where_little_changed() {
    let body = "match: {outcome: failure}\ncount: {at_least: 5, within: 24h, by: [user]}\n";
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    let failures = |from: u32, to: u32| {
        let login =
            |number: u32| Login::failure(number, i64::from(number), &format!("user-{}", number % 5_000));
        (from..to).map(login).collect::<Vec<_>>()
    };
    run.take(&failures(0, 5_000));
    run.progress(HOUR);
    let whole = run.engine.checkpoint().unwrap();
    assert!(whole.whole && whole.bytes() > 300_000, "{} bytes", whole.bytes());
    run.take(&failures(5_000, 5_010));
    run.progress(HOUR + MINUTE);
    let changed = run.engine.checkpoint().unwrap();
    assert!(!changed.whole && changed.bytes() < 2_000, "{} bytes", changed.bytes());
    // Changes are written as long as they are less than the whole state, then that again.
    let mut written = 0;
    for number in 2..100 {
        run.take(&failures(number * 5_010, number * 5_010 + 2_000));
        run.progress(HOUR + i64::from(number) * SECOND);
        let checkpoint = run.engine.checkpoint().unwrap();
        if checkpoint.whole {
            return assert!(written > whole.bytes(), "{written} bytes, {number} times");
        }
        written += checkpoint.bytes();
    }
    panic!("{written} bytes of changes, and never the whole state");
}
