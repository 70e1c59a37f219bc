//! Rules that keep the same hits and ask something else of them look at one window. What each of them tells
//! is what it tells alone: with late records, restarts, rows that come again, and other rules that come
//! and go meanwhile.

use std::sync::Arc;

use larum::alert::Draft;
use larum::engine::{Compiled, Counters, Engine, Generation, GenerationText, Limits, RuleText, Standing};
use larum::record::RuleId;
use proptest::prelude::*;

use super::models::logins;
use super::world::{Login, MINUTE, SECOND, SOURCE, Told, World, cases, rule, time};

const BASE: &str = "title: failed\nid: 11111111-1111-4111-8111-111111111111\nname: failed\nlogsource: {product: p}\ndetection: {s: {outcome: failure}, condition: s}\nlevel: low\n";

/// Five correlations on two windows.
const CORRELATIONS: [(&str, &str); 5] = [
    ("events", "gte: 2"),
    ("events", "gte: 3"),
    ("events", "eq: 2"),
    ("values", "gte: 2"),
    ("values", "gt: 2"),
];

fn correlation(number: usize, (asks, condition): (&str, &str)) -> String {
    let (kind, field) = match asks {
        "events" => ("event_count", ""),
        _ => ("value_count", ", field: public_ip"),
    };
    format!(
        "title: c{number}\nid: 22222222-2222-4222-8222-22222222222{number}\ncorrelation:\n  type: {kind}\n  rules: [failed]\n  group-by: [user_name]\n  timespan: 1m\n  condition: {{{condition}{field}}}\nlevel: low\n"
    )
}

/// Rules on windows of their own and of others; the second one is gone in the second half of a life, and
/// the last one is new there.
fn rules() -> Vec<String> {
    let count = |id: &str, rest: &str| rule(id, &format!("match: {{outcome: failure}}\n{rest}"));
    vec![
        count("two", "count: {at_least: 2, within: 1m, by: [user_name]}\ncooldown: off\nlate_within: 5m\n"),
        count("three", "count: {at_least: 3, within: 1m, by: [user_name]}\ncooldown: off\nlate_within: 5m\n"),
        count(
            "five",
            "count: {at_least: 5, within: 1m, by: [user_name]}\ncooldown: off\nlate_within: 5m\nmode: observe\n",
        ),
        count(
            "longer",
            "count: {at_least: 2, within: 2m, by: [user_name]}\ncooldown: off\nlate_within: 5m\n",
        ),
        count(
            "sooner",
            "count: {at_least: 2, within: 1m, by: [user_name]}\ncooldown: off\nlate_within: 1m\n",
        ),
        count(
            "address",
            "count: {at_least: 2, within: 1m, by: [public_ip]}\ncooldown: off\nlate_within: 5m\n",
        ),
        count("cools", "count: {at_least: 2, within: 1m, by: [user_name]}\nlate_within: 5m\n"),
        count("four", "count: {at_least: 4, within: 1m, by: [user_name]}\ncooldown: off\nlate_within: 5m\n"),
    ]
}

fn generation(rules: &[String], sigma: &[String]) -> Arc<Generation> {
    let file =
        |(number, text): (usize, &String)| RuleText { file: format!("{number}.yaml"), text: text.clone() };
    let text = GenerationText {
        rules: rules.iter().enumerate().map(file).collect(),
        sigma: sigma.iter().enumerate().map(file).collect(),
        limits: Limits { groups: 2 },
        ..GenerationText::default()
    };
    let Compiled { generation, problems, failed } = text.compile();
    assert!(failed.is_empty(), "{}", problems.iter().map(|one| one.render(false)).collect::<String>());
    generation
}

/// What happens between two arrivals.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Nothing,
    Restart,
    /// No group has been touched lately.
    Rest,
    OtherRules,
}

/// The life of one set of rules: alerts and counters of each rule.
fn life(
    generations: &[Arc<Generation>; 2],
    arrivals: &[(i64, &Login)],
    meanwhile: &[Meanwhile],
) -> (Told, Vec<(RuleId, Counters)>) {
    let worlds = generations.each_ref().map(|generation| World::under(generation.clone()));
    let (mut run, mut which) = (worlds[0].run(), 0);
    let mut told = Told::default();
    for ((arrival, login), between) in
        arrivals.iter().zip(meanwhile.iter().chain([&Meanwhile::Nothing]).cycle())
    {
        run.progress(arrival - 1);
        run.take(std::slice::from_ref(login));
        match between {
            Meanwhile::Restart => run.restart(),
            Meanwhile::Rest => run.engine.rest(),
            Meanwhile::OtherRules if which == 0 => {
                which = 1;
                let mut next = worlds[1].run();
                std::mem::swap(&mut next.engine, &mut run.engine);
                told.drafts.append(&mut run.told.drafts);
                told.notes.append(&mut run.told.notes);
                let succession = next.engine.succeed(generations[1].clone());
                told.drafts.extend(succession.outcome.drafts);
                told.notes.extend(succession.outcome.notes);
                run = next;
            }
            Meanwhile::Nothing | Meanwhile::OtherRules => {}
        }
    }
    run.finish();
    let counters = run.counters();
    told.drafts.append(&mut run.told.drafts);
    told.notes.append(&mut run.told.notes);
    (told.sorted(), counters)
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_rule_tells_what_it_tells_alone(
        logins in logins(60),
        delays in prop::collection::vec(prop::option::weighted(0.3, 0..48_i64), 0..60),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        meanwhile in prop::collection::vec(
            prop_oneof![
                12 => Just(Meanwhile::Nothing),
                1 => Just(Meanwhile::Restart),
                1 => Just(Meanwhile::Rest),
                1 => Just(Meanwhile::OtherRules),
            ],
            60,
        ),
    ) {
        let delay = |number: usize| delays.get(number).copied().flatten().unwrap_or(0);
        let mut arrivals: Vec<(i64, &Login)> =
            logins.iter().enumerate().map(|(number, login)| (login.at + delay(number) * 10 * SECOND, login)).collect();
        if !logins.is_empty() {
            arrivals.extend(again.iter().map(|index| index.get(&logins)).map(|login| (login.at + MINUTE, login)));
        }
        arrivals.sort_by_key(|(at, login)| (*at, login.id.clone()));
        let (rules, sigma) = (rules(), CORRELATIONS);
        let texts: Vec<String> = std::iter::once(BASE.to_owned())
            .chain(sigma.iter().enumerate().map(|(number, one)| correlation(number, *one)))
            .collect();
        let first = generation(&rules[..rules.len() - 1], &texts);
        let second: Vec<String> = rules.iter().enumerate().filter(|(number, _)| *number != 1).map(|(_, rule)| rule.clone()).collect();
        let second = generation(&second, &texts);
        prop_assert!(first.programs.list.iter().filter(|program| !program.alike.is_empty()).count() >= 3);
        let (told, counters) = life(&[first.clone(), second.clone()], &arrivals, &meanwhile);
        for program in &first.programs.list {
            let id = program.rule.id();
            let native = rules.iter().find(|rule| rule.starts_with(&format!("rule: {id}\n"))).cloned();
            let alone: Vec<String> = native.into_iter().collect();
            let document = texts.iter().find(|text| text.contains(&format!("id: {id}\n"))).cloned();
            let documents: Vec<String> = match document {
                Some(document) => [BASE.to_owned(), document].into_iter().collect(),
                None => Vec::new(),
            };
            let before = generation(&alone, &documents);
            let stays = second.programs.list.iter().any(|other| other.rule.id() == id);
            let after = if stays { before.clone() } else { generation(&[], &[]) };
            let (meant, counted) = life(&[before, after], &arrivals, &meanwhile);
            let of = |told: &Told| -> Vec<Draft> {
                told.drafts.iter().filter(|draft| draft.rule() == id).cloned().collect()
            };
            prop_assert_eq!(of(&told), of(&meant), "alerts of {}", id);
            let notes = |told: &Told| told.notes.iter().filter(|note| format!("{note:?}").contains(&format!("{id:?}"))).count();
            prop_assert_eq!(notes(&told), notes(&meant), "notes of {}", id);
            let own = |all: &[(RuleId, Counters)]| all.iter().find(|(rule, _)| rule == id).map(|(_, own)| own.clone());
            if stays {
                prop_assert_eq!(own(&counters), own(&counted), "counters of {}", id);
            }
        }
    }
}

#[test]
fn a_rule_that_is_watched_has_a_window_of_its_own_and_says_the_same() {
    let generation = generation(&rules(), &[]);
    let world = World::under(generation.clone());
    let logins: Vec<Login> =
        (0..6).map(|number| Login::failure(number, i64::from(number) * SECOND, "ana")).collect();
    let mut run = world.run();
    run.take(&logins);
    run.finish();
    let mut watched = Engine::new(generation, "acme");
    watched.add_source(SOURCE, None);
    assert!(watched.watch(&"three".parse::<RuleId>().unwrap()));
    let mut other = world.run();
    other.engine = watched;
    other.take(&logins);
    let outcome = other.engine.finish(SOURCE, time(MINUTE * 60));
    assert_eq!(outcome.traced.len(), 6);
    let of = |drafts: &[Draft]| drafts.to_vec();
    assert_eq!(of(&run.told.sorted().drafts), of(&outcome.drafts));
    assert_eq!(run.engine.counters().collect::<Vec<_>>(), other.engine.counters().collect::<Vec<_>>());
}

#[test]
fn windows_are_shared_on_where_all_who_look_at_them_stay() {
    let rules = rules();
    let both = generation(&rules, &[]);
    let more: Vec<String> =
        rules.iter().cloned().chain([rule("other", "match: {outcome: success}\n")]).collect();
    let more = generation(&more, &[]);
    let fewer: Vec<String> =
        rules.iter().filter(|rule| !rule.starts_with("rule: three\n")).cloned().collect();
    let fewer = generation(&fewer, &[]);
    let lead = |generation: &Generation| {
        generation.programs.list.iter().position(|program| program.rule.id().as_str() == "five").unwrap()
    };
    let logins: Vec<Login> =
        (0..6).map(|number| Login::failure(number, i64::from(number) * SECOND, "ana")).collect();
    for (next, shared) in [(&more, true), (&fewer, false)] {
        let world = World::under(both.clone());
        let mut run = world.run();
        run.take(&logins);
        run.progress(20 * SECOND);
        let id = |name: &str| name.parse::<RuleId>().unwrap();
        let bytes = |engine: &Engine, name: &str| {
            engine.bytes().find(|(rule, _)| **rule == id(name)).map(|(_, bytes)| bytes).unwrap()
        };
        assert!(!both.programs.list[lead(&both)].alike.is_empty());
        assert_eq!(bytes(&run.engine, "four"), bytes(&run.engine, "two"), "a share each");
        let before: Vec<u64> = ["two", "four", "five"].map(|name| alerts(&run.engine, name)).to_vec();
        run.engine.succeed(next.clone());
        let after: Vec<u64> = ["two", "four", "five"].map(|name| alerts(&run.engine, name)).to_vec();
        assert_eq!(before, after);
        assert_eq!(run.engine.looks_at_another(&id("two")), shared);
    }
}

#[test]
fn rules_that_learned_together_look_at_one_window_from_then_on() {
    let (none, all) = (generation(&[], &[]), generation(&rules(), &[]));
    let login = |number: u32| Login::failure(number, i64::from(number) * SECOND, "ana");
    let (first, second): (Vec<Login>, Vec<Login>) =
        ((0..3).map(login).collect(), (2..7).map(login).collect());
    let (before, world) = (World::under(none), World::under(all.clone()));
    // Whoever had the rules from the beginning.
    let mut always = world.run();
    always.take(&first);
    always.progress(3 * SECOND);
    always.told = Told::default();
    let mut learnt = world.run();
    learnt.take(&first);
    learnt.progress(3 * SECOND);
    let mut run = before.run();
    run.take(&first);
    run.progress(3 * SECOND);
    run.engine.succeed(all.clone());
    let outcome = run.engine.adopt(learnt.engine, Standing::default());
    assert_eq!((outcome.drafts.len(), alerts(&run.engine, "two")), (0, 0), "the past is not told");
    let mut later = world.run();
    later.engine = run.engine;
    for run in [&mut always, &mut later] {
        run.take(&second);
        run.finish();
    }
    // An alert that was open then is told as standing, or not: that is another test's affair.
    let of = |told: &Told| -> Vec<Draft> {
        told.drafts.iter().filter(|draft| draft.rule().as_str() != "cools").cloned().collect()
    };
    assert!(!of(&always.told).is_empty());
    assert_eq!(of(&later.told), of(&always.told));
    for shares in ["two", "three", "four"] {
        assert!(later.engine.looks_at_another(&shares.parse().unwrap()), "{shares}");
    }
    let fired = |name: &str| later.told.fired().filter(|fired| fired.rule.as_str() == name).count() as u64;
    for name in ["two", "three", "four", "five"] {
        assert_eq!(alerts(&later.engine, name), fired(name), "{name}");
    }
}

fn alerts(engine: &Engine, name: &str) -> u64 {
    engine.counters().find(|(rule, _)| rule.as_str() == name).map(|(_, counters)| counters.alerts).unwrap()
}
