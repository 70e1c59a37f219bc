//! Correlations against the specification as slow, obvious code: for every event, all events of its group
//! in the timespan before it are gathered anew and the condition is read off them.

mod documents;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use larum::alert::{AlertId, Draft};
use larum::engine::{CheckedRule, Decision, Limits, Scratch, Step};
use larum::record::{FieldName, Millis, Number, RecordId, RuleId};
use larum::rule::compile::Program;
use larum::rule::decode::{Options, decode};
use larum::rule::spec::correlate::{
    Aggregate, Asks, Comparator, Comparison, CorrelateSpec, Correlated, Named, Occurrence, What,
};
use larum::rule::spec::{Cooldown, Expr, Grouping, Mode, Spec, Verb};
use larum::rule::verb::Reason;
use larum::rule::verb::correlate::Shortfall;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;

use super::slow::{Hit, Slow, SlowRule, Window};
use super::world::{HOUR, Login, MINUTE, Run, SECOND, SOURCE, START, Told, World, cases, rule, time};

type Holds = fn(&Login) -> bool;

/// An alert as both sides tell it: time, rule, identity, group, count.
type Line = (i64, String, AlertId, Vec<String>, u64);

/// What the correlations correlate: a condition, and the same as code.
const DETECTIONS: [(&str, &str, Holds); 4] = [
    ("failed", "{outcome: failure}", |login| login.failure),
    ("succeeded", "{outcome: success}", |login| !login.failure),
    ("slow", "{outcome: [failure, success], e2e_rtt|gte: 250}", |login| login.rtt >= Some(250)),
    ("outside", "{outcome: [failure, success], public_ip: 203.0.113.1}", |login| {
        login.ip.as_deref() == Some("203.0.113.1")
    }),
];

/// One correlation of a set. Its rules are detections, or correlations before it in the set.
#[derive(Debug, Clone)]
struct Corr {
    asks: Asks,
    rules: Vec<Ref>,
    by: Vec<&'static str>,
    /// The group's field `who` is the user of some rules, and the client of those with an odd number.
    who: bool,
    fields: Vec<&'static str>,
    timespan: i64,
    cooldown: i64,
    generate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ref {
    Detection(usize),
    Correlation(usize),
}

impl Corr {
    fn of(asks: Asks, rules: Vec<Ref>) -> Self {
        let (by, fields) = (vec!["user_name"], Vec::new());
        Self { asks, rules, by, who: false, fields, timespan: MINUTE, cooldown: 0, generate: true }
    }

    /// What `group-by` says.
    fn names(&self) -> Vec<&'static str> {
        self.by.iter().copied().chain(self.who.then_some("who")).collect()
    }

    /// The field behind a name of `group-by` for one of its rules.
    fn field(&self, name: &'static str, rule: usize) -> &'static str {
        match (name, self.rules[rule]) {
            ("who", Ref::Detection(_)) if rule % 2 == 1 => "client_name",
            ("who", Ref::Detection(_)) => "user_name",
            _ => name,
        }
    }
}

/// A set of correlations, with the slow model's ideas about it.
#[derive(Debug, Clone)]
struct Set(Vec<Corr>);

fn id_of(number: usize) -> RuleId {
    format!("corr-{number}").parse().unwrap()
}

fn field(name: &str) -> FieldName {
    FieldName::declared(name)
}

fn expr(matches: &str) -> Expr {
    decoded("d", &format!("match: {matches}\n")).matches
}

fn decoded(id: &str, body: &str) -> Spec {
    let (spec, problems) = decode("test.yaml", &rule(id, body), &Options::default());
    spec.unwrap_or_else(|| panic!("{problems:?}"))
}

impl Set {
    /// Nobody is told of those that others refer to, unless one of these says `generate`.
    fn is_silent(&self, number: usize) -> bool {
        let refers = |corr: &&Corr| corr.rules.contains(&Ref::Correlation(number));
        let mut referring = self.0.iter().filter(refers).peekable();
        referring.peek().is_some() && referring.all(|corr| !corr.generate)
    }

    fn spec(&self, number: usize) -> Spec {
        let corr = &self.0[number];
        let fields = |names: &[&str]| names.iter().map(|name| field(name)).collect::<Vec<_>>();
        let of = corr.rules.iter().enumerate().map(|(place, rule)| Correlated {
            rule: "detection".parse().unwrap(),
            title: String::new(),
            name: match rule {
                Ref::Detection(number) => DETECTIONS[*number].0.to_owned(),
                Ref::Correlation(number) => format!("corr-{number}"),
            },
            what: match rule {
                Ref::Detection(number) => What::Records(expr(DETECTIONS[*number].1)),
                Ref::Correlation(number) => What::Firings(id_of(*number)),
            },
            by: corr.names().into_iter().map(|name| field(corr.field(name, place))).collect(),
            fields: fields(&corr.fields),
        });
        let verb = CorrelateSpec {
            asks: corr.asks.clone(),
            of: of.collect(),
            group: Grouping { by: fields(&corr.names()), missing_own: false },
            timespan: Millis(corr.timespan),
        };
        let mut spec = decoded(id_of(number).as_str(), "match: {outcome: failure}\nlate_within: 5m\n");
        spec.matches = verb.any_record();
        spec.verb = Some(Verb::Correlate(Box::new(verb)));
        spec.cooldown = (corr.cooldown > 0)
            .then(|| Cooldown::For { lasts: Millis(corr.cooldown), group: Grouping::default() });
        spec.mode = if self.is_silent(number) { Mode::Heard } else { Mode::Live };
        spec
    }

    fn world(&self) -> World {
        let checked = |number: usize| {
            let (_, mut problems) =
                decode("test.yaml", &rule("d", "match: {outcome: failure}\n"), &Options::default());
            CheckedRule::new(self.spec(number), &mut problems).unwrap_or_else(|| panic!("{problems:?}"))
        };
        World::of((0..self.0.len()).map(checked).collect(), Limits::default())
    }

    /// What all of it fires, from the whole list of logins.
    fn model(&self, world: &World, logins: &[Login]) -> Vec<Firing> {
        let mut all: Vec<Vec<Firing>> = Vec::new();
        for (number, corr) in self.0.iter().enumerate() {
            let mut groups: BTreeMap<Vec<String>, Vec<Event>> = BTreeMap::new();
            for event in self.events(corr, world, logins, &all) {
                groups.entry(event.group.clone()).or_default().push(event);
            }
            let mut firings = Vec::new();
            for (group, mut events) in groups {
                events.sort_by_key(|event| (event.at, event.id));
                let mut held_until = i64::MIN;
                for (place, event) in events.iter().enumerate() {
                    let in_window = |other: &&Event| event.at - other.at <= corr.timespan;
                    let window: Vec<Event> = events[..=place].iter().filter(in_window).cloned().collect();
                    let Some(count) = holds(&corr.asks, corr.rules.len(), &window) else { continue };
                    if event.at < held_until {
                        continue;
                    }
                    held_until = event.at + corr.cooldown;
                    firings.push(Firing {
                        rule: number,
                        at: event.at,
                        id: alert_id(world, number, &group, event.id),
                        group: group.clone(),
                        count,
                        tip: event.login.clone(),
                        known: event
                            .known
                            .iter()
                            .map(|(name, value)| (*name, value.clone()))
                            .chain(corr.names().into_iter().zip(group.clone()))
                            .collect(),
                    });
                }
            }
            all.push(firings);
        }
        let mut told: Vec<Firing> =
            all.into_iter().flatten().filter(|firing| !self.is_silent(firing.rule)).collect();
        told.sort_by_key(|firing| (firing.at, firing.rule, firing.id));
        told
    }

    /// The events of one of the correlations: each record and each firing once a group.
    fn events(&self, corr: &Corr, world: &World, logins: &[Login], fired: &[Vec<Firing>]) -> Vec<Event> {
        let ids = ids(world, logins);
        let mut events: Vec<Event> = Vec::new();
        for (login, id) in logins.iter().zip(ids) {
            for event in self.events_of(corr, login, id) {
                events.push(event);
            }
        }
        for (place, rule) in corr.rules.iter().enumerate() {
            let Ref::Correlation(number) = rule else { continue };
            for firing in &fired[*number] {
                let value =
                    |name: &str| firing.known.get(name).cloned().or_else(|| value_of(&firing.tip, name));
                let group: Option<Vec<String>> = corr.names().into_iter().map(&value).collect();
                let values: Option<Vec<String>> = corr.fields.iter().map(|name| value(name)).collect();
                let (Some(group), Some(values)) = (group, values) else { continue };
                let (at, id, login, known) =
                    (firing.at, firing.id.0, firing.tip.clone(), firing.known.clone());
                events.push(Event { at, id, group, rules: BTreeSet::from([place]), values, login, known });
            }
        }
        events
    }

    /// What one login is to a correlation.
    #[expect(clippy::unused_self, reason = "beside what gathers firings, which needs it")]
    fn events_of(&self, corr: &Corr, login: &Login, id: [u8; 16]) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for (place, rule) in corr.rules.iter().enumerate() {
            let Ref::Detection(number) = rule else { continue };
            if !DETECTIONS[*number].2(login) {
                continue;
            }
            let group = corr.names().into_iter().map(|name| value_of(login, corr.field(name, place)));
            let values = corr.fields.iter().map(|name| value_of(login, name));
            let (Some(group), Some(values)) = (group.collect::<Option<Vec<_>>>(), values.collect()) else {
                continue;
            };
            if let Some(event) = events.iter_mut().find(|event| event.group == group) {
                event.rules.insert(place);
            } else {
                let rules = BTreeSet::from([place]);
                let (login, known) = (login.clone(), BTreeMap::new());
                events.push(Event { at: login.at, id, group, rules, values, login, known });
            }
        }
        events
    }
}

/// The identity that the engine orders a login's record by.
fn ids(world: &World, logins: &[Login]) -> Vec<[u8; 16]> {
    let lines: Vec<String> = logins.iter().map(Login::line).collect();
    super::models::ids(&world.batch(&lines))
}

fn alert_id(world: &World, number: usize, group: &[String], tip: [u8; 16]) -> AlertId {
    let mut key = Vec::new();
    for text in group {
        Program::push_key_part(&mut key, Some(text));
    }
    let id = id_of(number);
    AlertId::of("acme", &id, world.generation.rule(&id).unwrap().revision, &key, RecordId(tip))
}

fn value_of(login: &Login, name: &str) -> Option<String> {
    match name {
        "user_name" => Some(login.user.clone()),
        "public_ip" => login.ip.clone(),
        "client_name" => login.client.clone(),
        "e2e_rtt" => login.rtt.map(|rtt| rtt.to_string()),
        // No record has an alias.
        _ => None,
    }
}

/// One event of a group.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    at: i64,
    id: [u8; 16],
    group: Vec<String>,
    rules: BTreeSet<usize>,
    values: Vec<String>,
    login: Login,
    /// Of a firing: the groups that it and those below it are of.
    known: BTreeMap<&'static str, String>,
}

impl Hit for Event {
    fn at(&self) -> i64 {
        self.at
    }

    fn order(&self) -> (i64, [u8; 16]) {
        (self.at, self.id)
    }

    fn clears(&self) -> bool {
        false
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq)]
struct Firing {
    rule: usize,
    at: i64,
    id: AlertId,
    group: Vec<String>,
    count: u64,
    tip: Login,
    known: BTreeMap<&'static str, String>,
}

/// What is counted, if the condition holds for a window.
fn holds(asks: &Asks, rules: usize, window: &[Event]) -> Option<u64> {
    let events = window.len();
    let distinct = window.iter().map(|event| &event.values).collect::<BTreeSet<_>>().len();
    let occurred = |rule: usize| window.iter().any(|event| event.rules.contains(&rule));
    let all: Vec<usize> = (0..rules).collect();
    let present: Vec<usize> = all.iter().copied().filter(|rule| occurred(*rule)).collect();
    match asks {
        Asks::Events(bounds) => meets(bounds, events, 1).then_some(events as u64),
        Asks::Values(bounds) => meets(bounds, distinct, 1).then_some(distinct as u64),
        Asks::Rules(occurrence) => match occurrence {
            Occurrence::All => present.len() == rules,
            Occurrence::Many(bounds) => meets(bounds, present.len(), 1),
            Occurrence::Named(named) => says(named, &occurred),
        }
        .then_some(events as u64),
        Asks::Ordered(occurrence) => match occurrence {
            Occurrence::All => in_order(&all, window, i64::MIN),
            Occurrence::Many(bounds) => {
                let many = subsets(&present).into_iter().filter(|rules| in_order(rules, window, i64::MIN));
                meets(bounds, many.map(|rules| rules.len()).max().unwrap(), 1)
            }
            Occurrence::Named(named) => {
                let wanted: Vec<usize> =
                    present.iter().copied().filter(|rule| names(named, *rule, true)).collect();
                says(named, &occurred) && in_order(&wanted, window, i64::MIN)
            }
        }
        .then_some(events as u64),
        Asks::Number(aggregate, bounds) => {
            let mut samples: Vec<usize> =
                window.iter().map(|event| event.values[0].parse().unwrap()).collect();
            samples.sort_unstable();
            let sum: usize = samples.iter().sum();
            let (middle, even) = (samples.len() / 2, samples.len().is_multiple_of(2));
            let holds = match aggregate {
                Aggregate::Sum => meets(bounds, sum, 1),
                Aggregate::Average => meets(bounds, sum, samples.len()),
                Aggregate::Percentile(percent) => {
                    let not_above = |sample: usize| samples.iter().filter(|other| **other <= sample).count();
                    let enough =
                        |sample: &&usize| not_above(**sample) * 100 >= usize::from(*percent) * samples.len();
                    meets(bounds, *samples.iter().find(enough).unwrap(), 1)
                }
                Aggregate::Median if even => meets(bounds, samples[middle - 1] + samples[middle], 2),
                Aggregate::Median => meets(bounds, samples[middle], 1),
            };
            holds.then_some(events as u64)
        }
    }
}

/// Whether so much over so many meets all bounds.
fn meets(bounds: &[Comparison], number: usize, over: usize) -> bool {
    bounds.iter().all(|one| {
        let bound = usize::try_from(one.bound.to_i64().unwrap()).unwrap() * over;
        match one.is {
            Comparator::Gt => number > bound,
            Comparator::Gte => number >= bound,
            Comparator::Lt => number < bound,
            Comparator::Lte => number <= bound,
            Comparator::Eq => number == bound,
            Comparator::Neq => number != bound,
        }
    })
}

fn says(named: &Named, occurred: &dyn Fn(usize) -> bool) -> bool {
    match named {
        Named::Rule(number) => occurred(*number),
        Named::Not(part) => !says(part, occurred),
        Named::All(parts) => parts.iter().all(|part| says(part, occurred)),
        Named::Any(parts) => parts.iter().any(|part| says(part, occurred)),
    }
}

/// Whether an extended condition names a rule without `not`.
fn names(named: &Named, rule: usize, plainly: bool) -> bool {
    match named {
        Named::Rule(number) => plainly && *number == rule,
        Named::Not(part) => names(part, rule, !plainly),
        Named::All(parts) | Named::Any(parts) => parts.iter().any(|part| names(part, rule, plainly)),
    }
}

fn subsets(of: &[usize]) -> Vec<Vec<usize>> {
    let Some((last, before)) = of.split_last() else { return vec![Vec::new()] };
    subsets(before).into_iter().flat_map(|set| [set.clone(), [set, vec![*last]].concat()]).collect()
}

/// Whether an event can be picked for each rule, none before the one of the rule before.
fn in_order(rules: &[usize], window: &[Event], after: i64) -> bool {
    let Some((first, rest)) = rules.split_first() else { return true };
    window
        .iter()
        .any(|event| event.rules.contains(first) && event.at >= after && in_order(rest, window, event.at))
}

// --- random sets

fn bounds(of: impl Strategy<Value = i64> + Clone) -> impl Strategy<Value = Vec<Comparison>> + Clone {
    let one = (prop::sample::select(Comparator::ALL.to_vec()), of)
        .prop_map(|(is, bound)| Comparison { is, bound: Number::whole(bound) });
    prop::collection::vec(one, 1..3)
}

fn occurrence(rules: usize) -> impl Strategy<Value = Occurrence> {
    let one = move || (0..rules).prop_map(Named::Rule);
    let not = move || one().prop_map(|named| Named::Not(Box::new(named)));
    let either = move || prop_oneof![3 => one().boxed(), 1 => not().boxed()];
    let parts = move || prop::collection::vec(either(), 1..3);
    let named = prop_oneof![
        parts().prop_map(Named::All),
        parts().prop_map(Named::Any),
        parts().prop_map(|parts| Named::Not(Box::new(Named::Any(parts)))),
    ];
    prop_oneof![
        2 => Just(Occurrence::All),
        1 => bounds(0..=3_i64).prop_map(Occurrence::Many),
        2 => named.prop_map(Occurrence::Named),
    ]
}

/// What is asked, and of which fields.
fn asks(rules: usize) -> impl Strategy<Value = (Asks, Vec<&'static str>)> {
    let values =
        prop::sample::select(vec![vec!["user_name"], vec!["public_ip"], vec!["user_name", "public_ip"]]);
    let aggregate = prop::sample::select(vec![
        Aggregate::Sum,
        Aggregate::Average,
        Aggregate::Percentile(1),
        Aggregate::Percentile(50),
        Aggregate::Percentile(90),
        Aggregate::Median,
    ]);
    let rtts = (0..12_i64).prop_map(|step| step * 50);
    prop_oneof![
        bounds(0..=5_i64).prop_map(|bounds| (Asks::Events(bounds), Vec::new())),
        (values, bounds(0..=4_i64)).prop_map(|(fields, bounds)| (Asks::Values(bounds), fields)),
        occurrence(rules).prop_map(|occurrence| (Asks::Rules(occurrence), Vec::new())),
        occurrence(rules).prop_map(|occurrence| (Asks::Ordered(occurrence), Vec::new())),
        (aggregate, bounds(rtts))
            .prop_map(|(aggregate, bounds)| (Asks::Number(aggregate, bounds), vec!["e2e_rtt"])),
    ]
}

/// A correlation whose rules are drawn from the detections and from `before` correlations.
fn corr(before: usize) -> impl Strategy<Value = Corr> {
    let detection = (0..DETECTIONS.len()).prop_map(Ref::Detection);
    let correlation = (0..before.max(1)).prop_map(move |number| match before {
        0 => Ref::Detection(number),
        _ => Ref::Correlation(number),
    });
    let rules =
        prop::collection::vec(prop_oneof![2 => detection, 1 => correlation], 1..4).prop_map(|mut rules| {
            let mut seen: Vec<Ref> = Vec::new();
            rules.retain(|rule| {
                !seen.contains(rule) && {
                    seen.push(*rule);
                    true
                }
            });
            rules
        });
    rules.prop_flat_map(|rules| {
        let by = prop::sample::select(vec![
            vec![],
            vec!["user_name"],
            vec!["public_ip"],
            vec!["user_name", "public_ip"],
        ]);
        let cooldown = prop::option::weighted(0.2, 1..6_i64);
        let shape = (by, prop::bool::weighted(0.3), 1..9_i64, cooldown, any::<bool>());
        (asks(rules.len()), shape).prop_map(
            move |((asks, fields), (by, who, timespan, cooldown, generate))| Corr {
                asks,
                rules: rules.clone(),
                by,
                who,
                fields,
                timespan: timespan * 10 * SECOND,
                cooldown: cooldown.unwrap_or(0) * 20 * SECOND,
                generate,
            },
        )
    })
}

fn sets() -> impl Strategy<Value = Set> {
    (corr(0), corr(0), corr(1), corr(2), corr(3), corr(4))
        .prop_map(|(a, b, c, d, e, f)| Set(vec![a, b, c, d, e, f]))
}

/// Sets without chains.
fn flat_sets() -> impl Strategy<Value = Set> {
    prop::collection::vec(corr(0), 4).prop_map(Set)
}

/// Logins on a coarse grid, of users whose names are those of clients too.
fn logins(most: usize) -> impl Strategy<Value = Vec<Login>> {
    let clients = prop::collection::vec(prop::option::weighted(0.8, 0..3_u8), most);
    (super::models::logins(most), clients).prop_map(|(logins, clients)| {
        let named = |(login, client): (Login, Option<u8>)| Login {
            client: client.map(|client| format!("user-{client}")),
            ..login
        };
        logins.into_iter().zip(clients).map(named).collect()
    })
}

fn lines(told: &Told) -> Vec<Line> {
    let group = |group: &[(FieldName, Option<String>)]| {
        group.iter().map(|(_, value)| value.clone().unwrap_or_default()).collect()
    };
    let fired = told.fired();
    let mut lines: Vec<_> = fired
        .map(|fired| {
            let at = fired.at.0 - START;
            (at, fired.rule.to_string(), fired.id, group(&fired.group), fired.finding.count)
        })
        .collect();
    lines.sort();
    lines
}

fn model_lines(firings: &[Firing]) -> Vec<Line> {
    let line = |firing: &Firing| {
        (firing.at, id_of(firing.rule).to_string(), firing.id, firing.group.clone(), firing.count)
    };
    let mut lines: Vec<_> = firings.iter().map(line).collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn correlations_fire_where_the_specification_says(
        set in sets(),
        logins in logins(40),
        order in prop::collection::vec(0..1_000_u32, 40),
        cuts in prop::collection::vec(any::<Index>(), 0..4),
        steps in prop::collection::vec(0..420 * SECOND, 0..4),
    ) {
        let world = set.world();
        let meant = model_lines(&set.model(&world, &logins));
        prop_assert_eq!(&lines(&world.told(&logins)), &meant);
        // The same in another order, in parts, with the watermark in steps and a death at each.
        let mut shuffled: Vec<(u32, Login)> = order.into_iter().zip(logins).collect();
        shuffled.sort_by_key(|(place, _)| *place);
        let shuffled: Vec<Login> = shuffled.into_iter().map(|(_, login)| login).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len() + 1)).collect();
        cuts.extend([0, shuffled.len()]);
        cuts.sort_unstable();
        let mut run = world.run();
        for cut in cuts.windows(2) {
            run.take(&shuffled[cut[0]..cut[1]]);
            run.restart();
        }
        let mut steps = steps;
        steps.sort_unstable();
        for at in steps {
            run.progress(at);
            run.restart();
        }
        run.finish();
        prop_assert_eq!(&lines(&run.told), &meant);
    }

    #[test]
    fn each_login_just_ahead_of_the_watermark_is_as_good_as_all_at_once(
        set in sets(),
        logins in logins(40),
        every in 1..5_usize,
    ) {
        let world = set.world();
        let once = world.told(&logins);
        let mut logins = logins;
        logins.sort_by_key(|login| login.at);
        let mut live = world.run();
        for (number, login) in logins.into_iter().enumerate() {
            live.progress(login.at - 1);
            live.take(&[login]);
            if number % every == 0 {
                live.restart();
            }
        }
        live.finish();
        prop_assert_eq!(once.sorted(), live.told.sorted());
    }

    #[test]
    fn a_late_login_raises_one_late_alert_where_none_covers_it(
        set in flat_sets(),
        logins in logins(40),
        delays in prop::collection::vec(prop::option::weighted(0.3, 0..48_i64), 40),
        every in 1..5_usize,
    ) {
        let world = set.world();
        let ids = ids(&world, &logins);
        let mut arrivals: Vec<(i64, usize)> = logins
            .iter()
            .enumerate()
            .map(|(number, login)| (login.at + delays[number].unwrap_or(0) * 10 * SECOND, number))
            .collect();
        arrivals.sort_unstable();
        let slow_rule = |corr: &Corr| {
            let (asks, rules) = (corr.asks.clone(), corr.rules.len());
            SlowRule {
                // Both edges are in the window, and times are whole milliseconds.
                window: Window::Time(corr.timespan + 1),
                holds: Box::new(move |window: &[Event]| holds(&asks, rules, window)),
                cooldown: corr.cooldown,
                cooldown_given: true,
                restart: false,
                grave: false,
                recovered: None,
                same: |_, _| false,
            }
        };
        let rules: Vec<SlowRule<Event>> = set.0.iter().map(slow_rule).collect();
        let mut slow: Vec<Slow<Event>> = rules.iter().map(|_| Slow::new()).collect();
        let mut waiting: Vec<Vec<Event>> = vec![Vec::new(); rules.len()];
        let progress = |slow: &mut Slow<Event>, waiting: &mut Vec<Event>, rule: &SlowRule<Event>, to: i64| {
            waiting.sort_by_key(Hit::order);
            let due = waiting.partition_point(|event| event.at <= to);
            for event in waiting.drain(..due) {
                slow.group(&event.group.join("|")).observe(&event, rule);
            }
        };
        let mut run = world.run();
        for (step, (arrival, number)) in arrivals.into_iter().enumerate() {
            let (watermark, login) = (arrival - 1, &logins[number]);
            run.progress(watermark);
            run.take(std::slice::from_ref(login));
            if step % every == 0 {
                run.restart();
            }
            for (place, corr) in set.0.iter().enumerate() {
                progress(&mut slow[place], &mut waiting[place], &rules[place], watermark);
                for event in set.events_of(corr, login, ids[number]) {
                    if event.at > watermark {
                        waiting[place].push(event);
                    } else if event.at > watermark - 5 * MINUTE {
                        slow[place].group(&event.group.join("|")).observe_late(&event, &rules[place]);
                    }
                }
            }
        }
        run.finish();
        for (place, rule) in rules.iter().enumerate() {
            progress(&mut slow[place], &mut waiting[place], rule, i64::MAX);
            let groups = slow[place].groups.iter();
            let alerts = groups.flat_map(|(key, group)| group.alerts.iter().map(move |alert| (key, alert)));
            let mut meant: Vec<_> =
                alerts.map(|(key, alert)| (alert.at, key.clone(), alert.count, alert.late)).collect();
            meant.sort();
            let id = id_of(place);
            let of_rule = run.told.fired().filter(|fired| fired.rule == id);
            let mut told: Vec<_> = of_rule
                .map(|fired| {
                    let group: Vec<String> =
                        fired.group.iter().map(|(_, value)| value.clone().unwrap_or_default()).collect();
                    (fired.at.0 - START, group.join("|"), fired.finding.count, fired.late)
                })
                .collect();
            told.sort();
            prop_assert_eq!(told, meant, "{:?}", set.0[place]);
        }
    }

    #[test]
    fn late_logins_and_restarts_tell_nothing_twice_in_chains(
        set in sets(),
        logins in logins(40),
        delays in prop::collection::vec(prop::option::weighted(0.3, 0..48_i64), 40),
        every in 1..5_usize,
    ) {
        let world = set.world();
        let mut arrivals: Vec<(i64, Login)> = logins
            .into_iter()
            .zip(delays)
            .map(|(login, delay)| (login.at + delay.unwrap_or(0) * 10 * SECOND, login))
            .collect();
        arrivals.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
        let (mut one, mut many) = (world.run(), world.run());
        let live = |run: &mut Run<'_>, arrival: i64, login: &Login| {
            run.progress(arrival - 1);
            run.take(std::slice::from_ref(login));
        };
        for (step, (arrival, login)) in arrivals.iter().enumerate() {
            live(&mut one, *arrival, login);
            live(&mut many, *arrival, login);
            if step % every == 0 {
                many.restart();
            }
        }
        one.finish();
        many.finish();
        prop_assert_eq!(one.counters(), many.counters());
        prop_assert_eq!(&one.told, &many.told);
        let mut ids: Vec<AlertId> = one.told.fired().map(|fired| fired.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), all);
    }
}

#[test]
fn random_sets_fire_and_stay_quiet_in_every_type() {
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let mut seen: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for _ in 0..60 {
        let set = sets().new_tree(&mut runner).unwrap().current();
        let logins = logins(40).new_tree(&mut runner).unwrap().current();
        let world = set.world();
        let told = world.told(&logins);
        for (number, corr) in set.0.iter().enumerate().filter(|(number, _)| !set.is_silent(*number)) {
            let name = match &corr.asks {
                Asks::Events(_) => "event_count",
                Asks::Values(_) => "value_count",
                Asks::Rules(_) => "temporal",
                Asks::Ordered(_) => "temporal_ordered",
                Asks::Number(..) => "number",
            };
            let chained = corr.rules.iter().any(|rule| matches!(rule, Ref::Correlation(_)));
            let name = if chained { "chained" } else { name };
            let alerts = told.fired().filter(|fired| fired.rule == id_of(number)).count();
            let (loud, quiet) = seen.entry(name).or_default();
            *loud += usize::from(alerts > 0);
            *quiet += usize::from(alerts == 0);
        }
    }
    assert_eq!(seen.len(), 6);
    for (name, (loud, quiet)) in seen {
        assert!(loud >= 5 && quiet >= 2, "{name}: {loud} fired, {quiet} stayed quiet");
    }
}

// --- what each type means at the edge

fn gte(bound: i64) -> Vec<Comparison> {
    vec![Comparison { is: Comparator::Gte, bound: Number::whole(bound) }]
}

fn is(is: Comparator, bound: i64) -> Vec<Comparison> {
    vec![Comparison { is, bound: Number::whole(bound) }]
}

const FAILED: Ref = Ref::Detection(0);
const SUCCEEDED: Ref = Ref::Detection(1);
const SLOW: Ref = Ref::Detection(2);

fn failures(times: &[i64]) -> Vec<Login> {
    (0..).zip(times).map(|(number, at)| Login::failure(number, *at, "ana")).collect()
}

fn times(corr: Corr, logins: &[Login]) -> Vec<i64> {
    Set(vec![corr]).world().told(logins).times()
}

#[test]
fn an_event_exactly_a_timespan_ago_is_in_the_window() {
    let corr = || Corr::of(Asks::Events(gte(2)), vec![FAILED]);
    assert_eq!(times(corr(), &failures(&[0, MINUTE])), [MINUTE]);
    assert_eq!(times(corr(), &failures(&[0, MINUTE + 1])), [0; 0]);
}

#[test]
fn every_event_at_which_the_condition_holds_fires_and_a_cooldown_holds_the_rest_back() {
    let logins = failures(&[0, 1, 2, 3, 90 * SECOND]);
    let corr = Corr::of(Asks::Events(gte(2)), vec![FAILED]);
    assert_eq!(times(corr.clone(), &logins), [1, 2, 3]);
    let told = Set(vec![corr.clone()]).world().told(&logins);
    assert!(told.drafts.iter().all(|draft| matches!(draft, Draft::Fired(_))), "nothing stays open");
    assert_eq!(times(Corr { cooldown: MINUTE, ..corr }, &logins), [1]);
}

#[test]
fn a_condition_that_asks_for_few_holds_at_events_only() {
    let logins = failures(&[0, SECOND, 2 * SECOND, 10 * MINUTE]);
    let corr = |bounds| Corr::of(Asks::Events(bounds), vec![FAILED]);
    assert_eq!(times(corr(is(Comparator::Lt, 2)), &logins), [0, 10 * MINUTE]);
    assert_eq!(times(corr(is(Comparator::Lte, 2)), &logins), [0, SECOND, 10 * MINUTE]);
    assert_eq!(times(corr(is(Comparator::Eq, 2)), &logins), [SECOND]);
    assert_eq!(times(corr(is(Comparator::Neq, 2)), &logins), [0, 2 * SECOND, 10 * MINUTE]);
    assert_eq!(times(corr(is(Comparator::Lt, 1)), &logins), [0; 0]);
    let range = [is(Comparator::Gt, 1), is(Comparator::Lte, 2)].concat();
    assert_eq!(times(corr(range), &logins), [SECOND]);
}

#[test]
fn a_record_that_two_rules_accept_is_one_event_of_a_count_and_both_rules_of_a_temporal() {
    let both = [Login::failure(0, 0, "ana").rtt(300)];
    let count = Corr::of(Asks::Events(gte(2)), vec![FAILED, SLOW]);
    assert_eq!(times(count, &both), [0; 0]);
    let temporal = Corr::of(Asks::Rules(Occurrence::All), vec![FAILED, SLOW]);
    assert_eq!(times(temporal, &both), [0]);
    let ordered = Corr::of(Asks::Ordered(Occurrence::All), vec![SLOW, FAILED]);
    assert_eq!(times(ordered, &both), [0]);
}

#[test]
fn an_order_is_met_once_its_events_are_there_and_not_by_the_others() {
    let ordered = || Corr::of(Asks::Ordered(Occurrence::All), vec![FAILED, SUCCEEDED]);
    let logins =
        |failed: i64, succeeded: i64| [Login::failure(0, failed, "ana"), Login::success(1, succeeded, "ana")];
    assert_eq!(times(ordered(), &logins(0, MINUTE)), [MINUTE]);
    assert_eq!(times(ordered(), &logins(SECOND, 0)), [0; 0]);
    // Both at one instant satisfy it either way, at the one that comes second.
    assert_eq!(times(ordered(), &logins(0, 0)), [0]);
    // One more of the first rule, and the order is still in the window.
    let mut three = logins(0, SECOND).to_vec();
    three.push(Login::failure(2, 2 * SECOND, "ana"));
    assert_eq!(times(ordered(), &three), [SECOND, 2 * SECOND]);
}

#[test]
fn the_middle_of_two_samples_is_their_median_and_the_lower_is_the_fiftieth_percentile() {
    let logins = [Login::success(0, 0, "ana").rtt(100), Login::success(1, 1, "ana").rtt(301)];
    let corr = |aggregate, bounds| Corr {
        fields: vec!["e2e_rtt"],
        ..Corr::of(Asks::Number(aggregate, bounds), vec![SUCCEEDED])
    };
    let half = |is| vec![Comparison { is, bound: Number::parse("200.5").unwrap() }];
    assert_eq!(times(corr(Aggregate::Median, half(Comparator::Eq)), &logins), [1]);
    assert_eq!(times(corr(Aggregate::Average, half(Comparator::Eq)), &logins), [1]);
    assert_eq!(times(corr(Aggregate::Percentile(50), is(Comparator::Eq, 100)), &logins), [0, 1]);
    assert_eq!(times(corr(Aggregate::Percentile(51), is(Comparator::Eq, 301)), &logins), [1]);
    assert_eq!(times(corr(Aggregate::Sum, is(Comparator::Eq, 401)), &logins), [1]);
}

#[test]
fn an_event_without_its_group_or_value_is_skipped_and_counted() {
    let no_ip = |id| Login { ip: None, ..Login::failure(id, 0, "ana") };
    let by_ip = Corr { by: vec!["public_ip"], ..Corr::of(Asks::Events(gte(1)), vec![FAILED]) };
    let of_ip = Corr { fields: vec!["public_ip"], ..Corr::of(Asks::Values(gte(1)), vec![FAILED]) };
    let lengths = Corr {
        fields: vec!["e2e_rtt"],
        ..Corr::of(Asks::Number(Aggregate::Sum, is(Comparator::Lt, 10)), vec![FAILED])
    };
    let world = Set(vec![by_ip, of_ip, lengths]).world();
    let mut run = world.run();
    run.take(&[no_ip(0), no_ip(1)]);
    run.finish();
    assert!(run.told.drafts.is_empty());
    let counted: Vec<(u64, u64, u64)> = run
        .counters()
        .iter()
        .map(|(_, counted)| (counted.hits, counted.group_field_missing, counted.value_missing))
        .collect();
    assert_eq!(counted, [(0, 2, 0), (0, 0, 2), (0, 0, 2)]);
}

#[test]
fn rules_with_their_own_names_for_a_field_share_its_groups() {
    let corr =
        Corr { by: vec![], who: true, ..Corr::of(Asks::Rules(Occurrence::All), vec![FAILED, SUCCEEDED]) };
    let told = Set(vec![corr]).world().told(&[
        Login::failure(0, 0, "ana"),
        Login::success(1, SECOND, "bob").client("cat"),
        Login::success(2, 2 * SECOND, "bob").client("Ana"),
    ]);
    let fired: Vec<_> = told.fired().map(|fired| (fired.at.0 - START, fired.group.clone())).collect();
    assert_eq!(fired, [(2 * SECOND, vec![(field("who"), Some("ana".to_owned()))])]);
}

#[test]
fn a_chain_hears_of_firings_by_the_record_that_tipped_them() {
    // Many failures from one address, then a success of the user whose failure was the last of them.
    let many = Corr { by: vec!["public_ip"], ..Corr::of(Asks::Events(gte(3)), vec![FAILED]) };
    let then = Corr {
        generate: false,
        ..Corr::of(Asks::Ordered(Occurrence::All), vec![Ref::Correlation(0), SUCCEEDED])
    };
    let set = |generate| Set(vec![many.clone(), Corr { generate, ..then.clone() }]);
    let mut logins: Vec<Login> = failures(&[0, 1]);
    logins.push(Login::failure(7, 2, "bob"));
    logins.push(Login::success(8, 3, "ana"));
    logins.push(Login::success(9, 4, "bob"));
    let told = set(false).world().told(&logins);
    let fired: Vec<_> = told.fired().map(|fired| (fired.rule.to_string(), fired.at.0 - START)).collect();
    assert_eq!(fired, [("corr-1".to_owned(), 4)], "only the outermost is told");
    let told = set(true).world().told(&logins);
    let fired: Vec<_> = told.fired().map(|fired| (fired.rule.to_string(), fired.at.0 - START)).collect();
    assert_eq!(fired, [("corr-0".to_owned(), 2), ("corr-1".to_owned(), 4)]);
}

#[test]
fn a_late_record_makes_a_whole_chain_late() {
    let many = Corr::of(Asks::Events(gte(3)), vec![FAILED]);
    let then = Corr {
        generate: false,
        ..Corr::of(Asks::Ordered(Occurrence::All), vec![Ref::Correlation(0), SUCCEEDED])
    };
    let world = Set(vec![many, then]).world();
    let mut run = world.run();
    run.take(&failures(&[0, 2]));
    run.take(&[Login::success(8, 3, "ana")]);
    run.progress(MINUTE);
    assert!(run.told.drafts.is_empty());
    run.take(&[Login::failure(9, 1, "ana")]);
    let fired: Vec<_> =
        run.told.fired().map(|fired| (fired.rule.to_string(), fired.at.0 - START, fired.late)).collect();
    assert_eq!(fired, [("corr-1".to_owned(), 3, true)]);
}

// --- what is kept, and what is explained

#[test]
fn a_group_with_too_many_events_counts_those_that_leave() {
    let corr = Corr { timespan: 10 * HOUR, ..Corr::of(Asks::Events(gte(20_000)), vec![FAILED]) };
    let world = Set(vec![corr]).world();
    let mut run = world.run();
    let all: Vec<i64> = (0..10_003).map(|number| number * SECOND).collect();
    run.take(&failures(&all));
    run.finish();
    let counters = &run.counters()[0].1;
    assert_eq!((counters.hits, counters.alerts, counters.records_dropped), (10_003, 0, 3));
}

#[test]
fn a_hit_that_does_not_fire_says_what_its_window_is_short_of() {
    let rules = || vec![FAILED, SUCCEEDED];
    let corrs = [
        Corr::of(Asks::Events(gte(3)), rules()),
        Corr::of(Asks::Rules(Occurrence::All), rules()),
        Corr::of(Asks::Ordered(Occurrence::All), vec![SUCCEEDED, FAILED]),
        Corr::of(Asks::Rules(Occurrence::Named(Named::Not(Box::new(Named::Rule(0))))), rules()),
    ];
    let short = |number: usize| {
        let world = Set(corrs.to_vec()).world();
        let mut run = world.run();
        run.engine.watch(&id_of(number));
        let lines = [Login::failure(0, 0, "ana"), Login::success(1, SECOND, "ana")].map(|login| login.line());
        let batch = world.batch(&lines);
        let fresh = run.engine.take_in(&batch);
        let hits = run.engine.scan(&batch, &fresh, &mut Scratch::default());
        run.engine.advance(&batch, hits);
        let outcome = run.engine.finish(SOURCE, time(HOUR));
        let short = |step: Step| {
            if let Step::Decided(Decision::Short(Reason::Correlation(short))) = step {
                Some(short)
            } else {
                None
            }
        };
        outcome.traced.into_iter().map(|traced| short(traced.step)).collect::<Vec<_>>()
    };
    assert_eq!(short(0), [1, 2].map(|events| Some(Shortfall::Compared(Number::whole(events)))));
    assert_eq!(short(1), [Some(Shortfall::Missing(vec![1])), None]);
    assert_eq!(short(2), [Some(Shortfall::Missing(vec![0])), Some(Shortfall::Disorder)]);
    assert_eq!(short(3), [Some(Shortfall::Other(vec![0])), Some(Shortfall::Other(vec![0, 1]))]);
}
