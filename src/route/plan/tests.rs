//! A receiver over time: what arrives, what the plan makes of it, and the laws that hold throughout.

use proptest::prelude::*;

use super::*;

const MIN: i64 = 60_000;

/// A number that stands for a delivery.
fn id(number: usize) -> DeliveryId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    DeliveryId(bytes)
}

fn item(number: usize, level: Level, rule: &str, created: i64) -> Waiting {
    Waiting {
        id: id(number),
        tenant: "default".into(),
        rule: rule.parse().unwrap(),
        level,
        group: "user=ana".to_owned(),
        first: true,
        foldable: true,
        created: Timestamp(created),
    }
}

/// One message that went out: when, and what it told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    at: Timestamp,
    level: Level,
    rule: RuleId,
    members: Vec<DeliveryId>,
}

/// A receiver that takes everything, and its dispatcher.
struct World {
    limits: Limits,
    /// With when each is due.
    waiting: Vec<(Waiting, Timestamp)>,
    /// Members of digests that wait to be sent.
    digests: BTreeMap<DeliveryId, Vec<DeliveryId>>,
    log: Vec<Tried>,
    turns: Turns,
    told: Vec<Told>,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: Vec::new(),
            digests: BTreeMap::new(),
            log: Vec::new(),
            turns: Turns::default(),
            told: Vec::new(),
        }
    }

    /// Does all that can be done at `now`.
    fn run(&mut self, now: Timestamp) {
        loop {
            let due: Vec<Waiting> =
                self.waiting.iter().filter(|(_, due)| *due <= now).map(|(item, _)| item.clone()).collect();
            let plan = plan(&self.limits, &self.log, &due, &self.turns, now);
            let since = reach(&self.limits, now);
            let rebuilt: Vec<_> = self.log.iter().filter(|(at, ..)| *at > since).cloned().collect();
            assert_eq!(plan, super::plan(&self.limits, &rebuilt, &due, &self.turns, now), "a rebuilt log");
            let planned: usize = plan.send.iter().map(|unit| unit.members.len()).sum();
            assert_eq!(planned + plan.hold.len(), due.len(), "each once");
            for Held { id: held, until, .. } in &plan.hold {
                assert!(*until > now);
                self.waiting.iter_mut().find(|(item, _)| item.id == *held).unwrap().1 = *until;
            }
            let Some(unit) = plan.send.first() else { return };
            self.carry_out(unit, now);
        }
    }

    fn carry_out(&mut self, unit: &Unit, now: Timestamp) {
        let head = unit.members[0];
        let first = self.waiting.iter().find(|(item, _)| item.id == head).unwrap().0.clone();
        self.waiting.retain(|(item, _)| !unit.members.contains(&item.id));
        if unit.is_digest() {
            let mut digest = Waiting { foldable: false, created: now, ..first };
            digest.id.0[0] = 1;
            self.digests.insert(digest.id, unit.members.clone());
            self.waiting.push((digest, now));
            return;
        }
        let members = self.digests.remove(&head).unwrap_or_else(|| vec![head]);
        self.log.push((now, unit.level, unit.rule.clone()));
        self.turns.note(unit);
        self.told.push(Told { at: now, level: unit.level, rule: unit.rule.clone(), members });
    }

    /// Lets everything arrive and time pass until nothing waits.
    fn live(&mut self, arrivals: &[Waiting], restarts: &[bool]) {
        let mut arrivals = arrivals.iter().peekable();
        let mut restarts = restarts.iter().cycle();
        for _ in 0..10_000 {
            let next = arrivals.peek().map(|item| item.created);
            let due = self.waiting.iter().map(|(_, due)| *due).min();
            let Some(now) = [next, due].into_iter().flatten().min() else { return };
            while let Some(item) = arrivals.next_if(|item| item.created <= now) {
                self.waiting.push((item.clone(), item.created));
            }
            if restarts.next() == Some(&true) {
                self.turns = Turns::default();
            }
            self.run(now);
        }
        panic!("something waits for ever: {:?}", self.waiting);
    }
}

fn arrivals(most: usize) -> impl Strategy<Value = Vec<Waiting>> {
    let one =
        (prop_oneof![4 => Just(0), 2 => 0..MIN, 1 => 0..20 * MIN], 0..5_usize, 0..3_u8, 0..2_u8, 0..3_u8);
    prop::collection::vec((one, any::<bool>()), 1..most).prop_map(|all| {
        let mut now = 1_000_000_000_000;
        let each = all.into_iter().enumerate();
        each.map(|(number, ((later, level, rule, tenant, group), first))| {
            now += later;
            Waiting {
                tenant: format!("t{tenant}").into(),
                group: format!("user=u{group}"),
                first,
                ..item(number, Level::ALL[level], &format!("r{rule}"), now)
            }
        })
        .collect()
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::collection::vec(prop::option::weighted(0.9, (1..5_u32, 1..20_i64)), Level::ALL.len()).prop_map(
        |all| {
            all.into_iter().zip(Level::ALL).fold(Limits::none(), |limits, (of, level)| {
                limits.with(level, of.map(|(count, mins)| AtMost { count, within: Millis::mins(mins) }))
            })
        },
    )
}

/// Limits of levels, and some of single rules.
fn all_limits() -> impl Strategy<Value = Limits> {
    let rule = (0..3_u8, 1..4_u32, 1..20_i64);
    (limits(), prop::collection::vec(rule, 0..3)).prop_map(|(limits, rules)| {
        rules.into_iter().fold(limits, |limits, (rule, count, mins)| {
            limits
                .with_rule(format!("r{rule}").parse().unwrap(), AtMost { count, within: Millis::mins(mins) })
        })
    })
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_its_limit(
        arrivals in arrivals(60), limits in all_limits(), restarts in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let mut world = World::new(limits.clone());
        world.live(&arrivals, &restarts);
        for (level, at_most) in Level::ALL.into_iter().filter_map(|level| Some((level, limits.of(level)?))) {
            let times: Vec<Timestamp> = world.told.iter().filter(|told| told.level == level).map(|told| told.at).collect();
            for end in &times {
                let inside = times.iter().filter(|at| **at > *end - at_most.within && *at <= end).count();
                prop_assert!(inside <= at_most.count as usize, "{inside} {level} up to {end}");
            }
        }
        for (rule, at_most) in limits.rules() {
            let times: Vec<Timestamp> = world.told.iter().filter(|told| told.rule == *rule).map(|told| told.at).collect();
            for end in &times {
                let inside = times.iter().filter(|at| **at > *end - at_most.within && *at <= end).count();
                prop_assert!(inside <= at_most.count as usize, "{inside} of {rule} up to {end}");
            }
        }
    }

    #[test]
    fn everything_is_told_once_by_itself_or_in_one_digest_of_its_own(
        arrivals in arrivals(60), limits in all_limits(), restarts in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let mut world = World::new(limits);
        world.live(&arrivals, &restarts);
        let mut told: Vec<DeliveryId> = world.told.iter().flat_map(|told| told.members.clone()).collect();
        told.sort_unstable();
        prop_assert_eq!(told, (0..arrivals.len()).map(id).collect::<Vec<_>>());
        let of = |member: &DeliveryId| arrivals.iter().find(|item| item.id == *member).unwrap();
        for told in &world.told {
            let first = of(&told.members[0]);
            for item in told.members.iter().map(of) {
                prop_assert_eq!((item.level, &item.tenant), (first.level, &first.tenant));
                let own = (&item.rule, &item.group) == (&first.rule, &first.group);
                prop_assert!(own || item.level < Level::Critical);
            }
        }
    }

    #[test]
    fn critical_news_are_told_as_if_there_were_no_other(arrivals in arrivals(60), limits in limits()) {
        let critical = |told: &World| -> Vec<Told> {
            told.told.iter().filter(|told| told.level == Level::Critical).cloned().collect()
        };
        let mut all = World::new(limits.clone());
        all.live(&arrivals, &[]);
        let mut alone = World::new(limits);
        let grave: Vec<Waiting> = arrivals.into_iter().filter(|item| item.level == Level::Critical).collect();
        alone.live(&grave, &[]);
        prop_assert_eq!(critical(&all), critical(&alone));
    }

    #[test]
    fn critical_goes_first_and_every_rule_has_its_turn(arrivals in arrivals(40)) {
        let now = arrivals.last().map_or(Timestamp(0), |item| item.created);
        let plan = plan(&Limits::none(), &[], &arrivals, &Turns::default(), now);
        let lower = plan.send.iter().position(|unit| unit.level < Level::Critical).unwrap_or(plan.send.len());
        prop_assert!(plan.send[lower..].iter().all(|unit| unit.level < Level::Critical));
        // Among what is equal in class, no rule is two messages ahead of one that still waits.
        let same: Vec<&Unit> = plan.send[..lower].iter().filter(|unit| unit.class(now) == 1).collect();
        for end in 1..=same.len() {
            let count = |lane: &Lane| same[..end].iter().filter(|unit| unit.lane() == *lane).count();
            let ahead = same[..end].iter().map(|unit| count(&unit.lane())).max().unwrap_or(0);
            for unit in &same[end..] {
                prop_assert!(count(&unit.lane()) + 1 >= ahead);
            }
        }
    }
}

fn medium(count: u32, mins: i64) -> Limits {
    Limits::none().with(Level::Medium, Some(AtMost { count, within: Millis::mins(mins) }))
}

#[test]
fn a_flood_is_ten_messages_and_then_one_digest() {
    let mut world = World::new(medium(10, 15));
    let flood: Vec<Waiting> = (0..200).map(|number| item(number, Level::Medium, "burst", 0)).collect();
    world.live(&flood, &[]);
    let told: Vec<(i64, usize)> = world.told.iter().map(|told| (told.at.0, told.members.len())).collect();
    assert_eq!(told[..10], [(0, 1); 10]);
    assert_eq!(told[10..], [(15 * MIN, 190)]);
}

#[test]
fn a_rule_with_a_limit_of_its_own_leaves_the_room_to_others_and_has_its_own_digest() {
    let three = AtMost { count: 3, within: Millis::mins(60) };
    let limits = medium(10, 15).with_rule("noisy".parse().unwrap(), three);
    let mut flood: Vec<Waiting> = (0..50).map(|number| item(number, Level::Medium, "noisy", 0)).collect();
    flood.extend((50..54).map(|number| item(number, Level::Medium, "quiet", 0)));
    flood.push(item(54, Level::Medium, "quiet", 20 * MIN));
    let mut world = World::new(limits.clone());
    world.live(&flood, &[]);
    let told: Vec<(i64, &str, usize)> =
        world.told.iter().map(|told| (told.at.0 / MIN, told.rule.as_str(), told.members.len())).collect();
    assert_eq!(told[..7].iter().filter(|(_, rule, _)| *rule == "quiet").count(), 4);
    assert_eq!(told[7..], [(20, "quiet", 1), (60, "noisy", 47)]);
    let now = Timestamp(MIN);
    let tried: Vec<Tried> = (0..3).map(|at| (Timestamp(at), Level::High, "noisy".parse().unwrap())).collect();
    let held = plan(&limits, &tried, &flood[..1], &Turns::default(), now).hold;
    assert_eq!(held, [Held { id: id(0), until: Timestamp(60 * MIN), by_rule: true }]);
    let machine = Limits::none().with_rule("noisy".parse().unwrap(), three);
    let mut world = World::new(machine);
    world.live(&flood, &[]);
    assert_eq!(world.told.len(), 3 + 5 + 1, "where nothing else is limited, too");
}

#[test]
fn what_comes_with_the_window_full_but_alone_is_told_by_itself() {
    let mut world = World::new(medium(1, 15));
    world.live(&[item(0, Level::Medium, "a", 0), item(1, Level::Medium, "a", MIN)], &[]);
    let told: Vec<(i64, usize)> = world.told.iter().map(|told| (told.at.0, told.members.len())).collect();
    assert_eq!(told, [(0, 1), (15 * MIN, 1)]);
}

#[test]
fn a_quiet_rule_is_told_before_the_rest_of_a_noisy_one() {
    let mut flood: Vec<Waiting> = (0..50).map(|number| item(number, Level::Medium, "noisy", 0)).collect();
    flood.push(item(50, Level::Medium, "quiet", 0));
    let mut world = World::new(medium(2, 15));
    world.live(&flood, &[]);
    let first: Vec<Vec<DeliveryId>> = world.told[..2].iter().map(|told| told.members.clone()).collect();
    assert_eq!(first, [vec![id(0)], vec![id(50)]]);
}

#[test]
fn news_go_before_repeats_until_those_have_waited_long() {
    let repeat = Waiting { first: false, ..item(0, Level::High, "a", 0) };
    let order = |now: i64| -> Vec<DeliveryId> {
        let waiting = [repeat.clone(), item(1, Level::High, "b", now)];
        let plan = plan(&Limits::none(), &[], &waiting, &Turns::default(), Timestamp(now));
        plan.send.into_iter().map(|unit| unit.members[0]).collect()
    };
    assert_eq!(order(MIN), [id(1), id(0)]);
    assert_eq!(order(15 * MIN), [id(0), id(1)]);
}

#[test]
fn mild_news_that_waited_long_overtake_graver_ones_but_never_critical() {
    let hour = 60 * MIN;
    let waiting = [
        item(0, Level::Informational, "a", 0),
        item(1, Level::Medium, "b", hour),
        item(2, Level::Critical, "c", hour),
    ];
    let plan = plan(&Limits::none(), &[], &waiting, &Turns::default(), Timestamp(hour));
    let order: Vec<DeliveryId> = plan.send.into_iter().map(|unit| unit.members[0]).collect();
    assert_eq!(order, [id(2), id(0), id(1)]);
}

#[test]
fn after_an_outage_old_news_are_one_digest_and_critical_ones_single() {
    let mut waiting: Vec<Waiting> = (0..5).map(|number| item(number, Level::Medium, "a", 0)).collect();
    waiting.extend((5..8).map(|number| item(number, Level::Critical, "a", 0)));
    let plan = plan(&Limits::human(), &[], &waiting, &Turns::default(), Timestamp(60 * MIN));
    let told: Vec<(Level, usize, &str)> =
        plan.send.iter().map(|unit| (unit.level, unit.members.len(), unit.because)).collect();
    let single = (Level::Critical, 1, "limit");
    assert_eq!(told, [single, single, single, (Level::Medium, 5, "stale")]);
}

#[test]
fn a_limit_reads_as_it_is_spelt() {
    assert_eq!("10 in 15m".parse(), Ok(AtMost { count: 10, within: Millis::mins(15) }));
    assert_eq!("10 in 15m".parse::<AtMost>().unwrap().to_string(), "10 in 15m");
    for text in ["", "10", "0 in 15m", "-1 in 15m", "10 in 15", "ten in 15m", "10 per 15m"] {
        assert_eq!(text.parse::<AtMost>(), Err(crate::route::limit::BadAtMost(text.to_owned())));
    }
}
