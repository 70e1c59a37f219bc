//! What a receiver is told now, in which order, what waits, and what one digest stands for.
//!
//! A level whose limit has room is told one by one. What finds the window full waits until it has
//! room again; what waited so is then told in one digest (of its tenant; of critical alerts, of
//! their own group only), so that a flood is delayed and counted but never dropped. Whether
//! something waited is read off the log of what was tried: a restart changes nothing.
//!
//! Every level has a window of its own, so that mild news cannot delay grave news. Within a level
//! the rules of each tenant take turns, so that a noisy one cannot starve another. A rule that has a
//! limit of its own has a window besides, over all levels, and a digest of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::delivery::DeliveryId;
use super::limit::{AtMost, Limits};
use crate::record::{Level, Millis, RuleId, Timestamp};

/// A repeat that waited this long goes before as if it were news, and every wait of this length
/// makes news one level graver in the order of sending, but never critical.
pub const AGED: Millis = Millis::mins(15);

/// What is older than this when its turn comes is old news: of each tenant and level it is told in
/// one digest. Critical alerts are told singly.
pub const STALE_AFTER: Millis = Millis::hours(1);

/// Most deliveries that one digest stands for: its transaction writes each of them.
pub const MAX_MEMBERS: usize = 10_000;

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which delivery.
    pub id: DeliveryId,
    /// Whose.
    pub tenant: Arc<str>,
    /// The rule.
    pub rule: RuleId,
    /// How grave.
    pub level: Level,
    /// The alert's group as text; critical alerts are told together only where it is the same.
    pub group: String,
    /// True for the first message of an alert, false for one that tells of a change.
    pub first: bool,
    /// False for what no digest may stand for: a digest itself.
    pub foldable: bool,
    /// Since when it is owed.
    pub created: Timestamp,
}

/// One message: a delivery, or the digest of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it tells, oldest first; more than one: a digest.
    pub members: Vec<DeliveryId>,
    /// How grave.
    pub level: Level,
    /// Whose.
    pub tenant: Arc<str>,
    /// The rule; of a digest, that of its first member.
    pub rule: RuleId,
    /// Since when its first member is owed.
    pub created: Timestamp,
    /// Why it is a digest, where it is one: a limit held its members back, or an outage did.
    pub because: &'static str,
    /// True where one of its members is news, not a repeat.
    first: bool,
    /// True for what waited already: it goes before what has just come.
    waited: bool,
    /// Place of its first member among what is due: of equals, the earlier goes first.
    place: usize,
}

impl Unit {
    /// True where it is a digest.
    pub fn is_digest(&self) -> bool {
        self.members.len() > 1
    }

    fn one((place, item): (usize, &Waiting), waited: bool) -> Self {
        Self {
            members: vec![item.id],
            level: item.level,
            tenant: item.tenant.clone(),
            rule: item.rule.clone(),
            created: item.created,
            because: "limit",
            first: item.first,
            waited,
            place,
        }
    }

    /// A route's group in one message; `members` are of one level and tenant, oldest first, and more
    /// than one.
    pub fn group(members: &[&Waiting]) -> Option<Self> {
        let (first, others) = members.split_first()?;
        let mut unit = Self { because: super::digest::GROUP, ..Self::one((0, first), false) };
        for item in others {
            unit.join(item);
        }
        unit.is_digest().then_some(unit)
    }

    fn join(&mut self, item: &Waiting) {
        self.members.push(item.id);
        self.first |= item.first;
    }

    /// 0 goes first. Of critical alerts, what waited takes turns with what has just come.
    fn class(&self, now: Timestamp) -> u8 {
        if self.waited && self.level < Level::Critical {
            0
        } else if self.first || now - self.created >= AGED {
            1
        } else {
            2
        }
    }

    /// How grave it is in the order of sending.
    fn rank(&self, now: Timestamp) -> i64 {
        let level = self.level as i64;
        if self.level == Level::Critical {
            return level;
        }
        let aged = (now - self.created).0.max(0) / AGED.0;
        level.saturating_add(aged).min(Level::High as i64)
    }

    fn lane(&self) -> Lane {
        (self.level, self.tenant.clone(), self.rule.clone())
    }
}

/// What is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to send, in this order.
    pub send: Vec<Unit>,
    /// What waits.
    pub hold: Vec<Held>,
}

/// What waits for a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which delivery.
    pub id: DeliveryId,
    /// When to look again.
    pub until: Timestamp,
    /// True where it is its rule's own limit that holds it back, not its level's.
    pub by_rule: bool,
}

/// What went out, or may have: when, how grave, of which rule.
pub type Tried = (Timestamp, Level, RuleId);

/// What takes turns: a level's rules of each tenant.
type Lane = (Level, Arc<str>, RuleId);

/// Whose turn it is: which rule of which tenant was told last, by level. Lost at a restart, which changes
/// the order among equals and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    served: BTreeMap<Lane, u64>,
    count: u64,
}

impl Turns {
    /// Rules of tenants that are remembered; past it, all start anew.
    pub const MAX: usize = 10_000;

    /// Notes that `unit` was sent.
    pub fn note(&mut self, unit: &Unit) {
        if self.served.len() >= Self::MAX {
            self.served.clear();
        }
        self.count += 1;
        self.served.insert(unit.lane(), self.count);
    }
}

/// What to do with all that is due at `now`, which stands in `waiting` in the order it was owed.
///
/// `tried` is what went out, or may have, since [`reach`] at least, in any order.
pub fn plan(limits: &Limits, tried: &[Tried], waiting: &[Waiting], turns: &Turns, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let of_rule = |(rule, at_most)| {
        let times = tried.iter().filter(|(_, _, of)| of == rule).map(|(at, ..)| *at);
        (rule, Window::new(at_most, times, now))
    };
    let mut rules: Rules<'_> = limits.rules().map(of_rule).collect();
    // The gravest first, where a rule of several levels has little room.
    for level in Level::ALL.into_iter().rev() {
        let of_level = waiting.iter().enumerate().filter(|(_, item)| item.level == level);
        let mut items: Vec<(usize, &Waiting)> = of_level.collect();
        items.sort_by_key(|(_, item)| item.created);
        let is_limited = |(_, item): &(usize, &Waiting)| rules.contains_key(&item.rule);
        if let Some(at_most) = limits.of(level) {
            let times = tried.iter().filter(|(_, of, _)| *of == level).map(|(at, ..)| *at);
            let window = Window::new(at_most, times, now);
            share_out(&mut plan, &window, &mut rules, items, turns, now);
        } else if items.iter().any(is_limited) {
            share_out(&mut plan, &Window::open(now), &mut rules, items, turns, now);
        } else {
            plan.send.extend(items.into_iter().map(|item| Unit::one(item, false)));
        }
    }
    let mut by_rank: BTreeMap<i64, Vec<Unit>> = BTreeMap::new();
    for unit in plan.send.drain(..) {
        by_rank.entry(unit.rank(now)).or_default().push(unit);
    }
    plan.send = by_rank.into_values().rev().flat_map(|units| in_turn(units, turns, now)).collect();
    plan
}

/// Since when a log must tell what was tried for a plan at `now`: twice the longest window, so that
/// it shows whether the window was full while something waited.
pub fn reach(limits: &Limits, now: Timestamp) -> Timestamp {
    let levels = Level::ALL.into_iter().filter_map(|level| limits.of(level));
    let all = levels.chain(limits.rules().map(|(_, at_most)| at_most));
    let longest = all.map(|at_most| at_most.within.0).max();
    now - Millis(longest.unwrap_or(0).saturating_mul(2))
}

/// Windows of the rules that have a limit of their own.
type Rules<'l> = BTreeMap<&'l RuleId, Window>;

/// A window of one level or rule, ending now.
struct Window {
    /// Messages that may go out now.
    room: usize,
    /// When there is room again, once as many as may have gone out now.
    next: Timestamp,
    /// The last time that it was full came to its end then.
    full_until: Timestamp,
}

impl Window {
    /// One without a limit.
    fn open(now: Timestamp) -> Self {
        Self { room: usize::MAX, next: now, full_until: Timestamp::MIN }
    }

    fn new(at_most: AtMost, times: impl Iterator<Item = Timestamp>, now: Timestamp) -> Self {
        let count = at_most.count.max(1) as usize;
        let mut times: Vec<Timestamp> = times.collect();
        times.sort_unstable();
        // Full from its `count`-th message on, until the first of those leaves.
        let spans = times.windows(count).filter_map(|span| Some((*span.first()?, *span.last()?)));
        let full = spans.filter(|(first, last)| *last - *first < at_most.within);
        let full_until = full.map(|(first, _)| first + at_most.within).max().unwrap_or(Timestamp::MIN);
        let inside = &times[times.partition_point(|at| *at <= now - at_most.within)..];
        let room = count.saturating_sub(inside.len());
        // Those that go out now are the last `room` of the window.
        let leaves = inside.get((inside.len() + room) - count).copied().unwrap_or(now);
        Self { room, next: leaves + at_most.within, full_until }
    }
}

/// Gives the room of the level's window and of its rules' to what waits for it; `items` are of one
/// level, oldest first.
fn share_out(
    plan: &mut Plan,
    window: &Window,
    rules: &mut Rules<'_>,
    mut items: Vec<(usize, &Waiting)>,
    turns: &Turns,
    now: Timestamp,
) {
    let mut hold = |id: DeliveryId, until: Timestamp, by_rule: bool| {
        plan.hold.push(Held { id, until, by_rule });
    };
    if window.room == 0 {
        for (_, item) in &items {
            hold(item.id, window.next, false);
        }
        return;
    }
    items.retain(|(_, item)| match rules.get(&item.rule) {
        Some(full) if full.room == 0 => {
            hold(item.id, full.next, true);
            false
        }
        Some(_) | None => true,
    });
    let full_until = |item: &Waiting| {
        rules.get(&item.rule).map_or(window.full_until, |rule| rule.full_until.max(window.full_until))
    };
    let together = |item| Together::of(item, rules.contains_key(&item.rule));
    let mut bundles: BTreeMap<Together<'_>, Unit> = BTreeMap::new();
    let mut units = Vec::new();
    for &(place, item) in &items {
        let stale = now - item.created >= STALE_AFTER && item.level < Level::Critical;
        let waited = stale || !item.foldable || item.created < full_until(item);
        match bundles.get_mut(&together(item)) {
            Some(bundle) if waited && item.foldable && bundle.members.len() < MAX_MEMBERS => {
                bundle.join(item);
            }
            None if waited && item.foldable => {
                let because = if item.created < full_until(item) { "limit" } else { "stale" };
                bundles.insert(together(item), Unit { because, ..Unit::one((place, item), true) });
            }
            Some(_) | None => units.push(Unit::one((place, item), waited)),
        }
    }
    let heads: BTreeMap<Together<'_>, DeliveryId> =
        bundles.iter().map(|(together, bundle)| (together.clone(), bundle.members[0])).collect();
    units.extend(bundles.into_values());
    let by_id: BTreeMap<DeliveryId, (&Waiting, Option<DeliveryId>)> = items
        .iter()
        .map(|(_, item)| (item.id, (*item, heads.get(&together(item)).copied().filter(|_| item.foldable))))
        .collect();
    let (mut granted, mut rest) = (Vec::new(), Vec::new());
    for unit in in_turn(units, turns, now) {
        let own = rules.get_mut(&unit.rule);
        if granted.len() >= window.room || own.as_ref().is_some_and(|own| own.room == 0) {
            rest.push(unit);
            continue;
        }
        if let Some(own) = own {
            own.room -= 1;
        }
        granted.push(unit);
    }
    let places: BTreeMap<DeliveryId, usize> =
        granted.iter().enumerate().map(|(place, unit)| (unit.members[0], place)).collect();
    // What has just come and finds no room joins the digest of those before it.
    for unit in rest {
        let alone = (unit.members.len() == 1).then(|| by_id.get(&unit.members[0])).flatten();
        let bundle = alone.and_then(|(item, head)| Some((*item, *places.get(&(*head)?)?)));
        match bundle {
            Some((item, place)) if granted[place].members.len() < MAX_MEMBERS => granted[place].join(item),
            Some(_) | None => {
                let full = rules.get(&unit.rule).filter(|own| own.room == 0);
                let until = full.map_or(window.next, |own| own.next);
                for id in unit.members {
                    plan.hold.push(Held { id, until, by_rule: full.is_some() });
                }
            }
        }
    }
    plan.send.extend(granted);
}

/// What one digest may stand for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Together<'w> {
    tenant: &'w str,
    /// Rule and group, of critical alerts; the rule, where it has a limit of its own.
    own: Option<(&'w RuleId, &'w str)>,
}

impl<'w> Together<'w> {
    fn of(item: &'w Waiting, limited: bool) -> Self {
        let own = match item.level {
            Level::Critical => Some((&item.rule, item.group.as_str())),
            Level::Informational | Level::Low | Level::Medium | Level::High => {
                limited.then_some((&item.rule, ""))
            }
        };
        Self { tenant: &item.tenant, own }
    }
}

/// Puts units in order: by class, and within one, the rules of each tenant in turn, those first
/// that were told longest ago.
fn in_turn(mut units: Vec<Unit>, turns: &Turns, now: Timestamp) -> Vec<Unit> {
    units.sort_by_key(|unit| (unit.class(now), unit.created, unit.place));
    let mut rounds: BTreeMap<(u8, Lane), u64> = BTreeMap::new();
    let mut keyed: Vec<_> = units
        .into_iter()
        .map(|unit| {
            let (class, lane) = (unit.class(now), unit.lane());
            let served = turns.served.get(&lane).copied().unwrap_or(0);
            let round = rounds.entry((class, lane)).or_insert(0);
            *round += 1;
            ((class, *round, served, unit.created, unit.place), unit)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, unit)| unit).collect()
}

#[cfg(test)]
mod tests;
