//! What a receiver is told now, in which order, what waits, and what one digest stands for.
//!
//! A level whose limit has room is told one by one. What finds the window full waits until it has
//! room again; what waited so is then told in one digest (of its tenant; of critical alerts, of
//! their own group only), so that a flood is delayed and counted but never dropped. Whether
//! something waited is read off the log of what was tried: a restart changes nothing.
//!
//! Every level has a window of its own, so that mild news cannot delay grave news. Within a level
//! the rules of each tenant take turns, so that a noisy one cannot starve another.

use std::collections::{BTreeMap, BTreeSet};
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
    /// What waits, and when to look again.
    pub hold: Vec<(DeliveryId, Timestamp)>,
}

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
pub fn plan(
    limits: &Limits,
    tried: &[(Timestamp, Level)],
    waiting: &[Waiting],
    turns: &Turns,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    for level in Level::ALL {
        let of_level = waiting.iter().enumerate().filter(|(_, item)| item.level == level);
        let mut items: Vec<(usize, &Waiting)> = of_level.collect();
        items.sort_by_key(|(_, item)| item.created);
        if let Some(at_most) = limits.of(level) {
            let times = tried.iter().filter(|(_, of)| *of == level).map(|(at, _)| *at);
            let window = Window::new(at_most, times, now);
            share_out(&mut plan, &window, &items, turns, now);
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
    let longest =
        Level::ALL.into_iter().filter_map(|level| limits.of(level)).map(|at_most| at_most.within.0).max();
    now - Millis(longest.unwrap_or(0).saturating_mul(2))
}

/// One level's window, ending now.
struct Window {
    /// Messages that may go out now.
    room: usize,
    /// When there is room again, once as many as may have gone out now.
    next: Timestamp,
    /// The last time that it was full came to its end then.
    full_until: Timestamp,
}

impl Window {
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

/// Gives the window's room to what waits for it; `items` are of one level, oldest first.
fn share_out(plan: &mut Plan, window: &Window, items: &[(usize, &Waiting)], turns: &Turns, now: Timestamp) {
    if window.room == 0 {
        plan.hold.extend(items.iter().map(|(_, item)| (item.id, window.next)));
        return;
    }
    let mut bundles: BTreeMap<Together<'_>, Unit> = BTreeMap::new();
    let mut units = Vec::new();
    for &(place, item) in items {
        let stale = now - item.created >= STALE_AFTER && item.level < Level::Critical;
        let waited = stale || !item.foldable || item.created < window.full_until;
        match bundles.get_mut(&Together::of(item)) {
            Some(bundle) if waited && item.foldable && bundle.members.len() < MAX_MEMBERS => {
                bundle.join(item);
            }
            None if waited && item.foldable => {
                let because = if item.created < window.full_until { "limit" } else { "stale" };
                bundles.insert(Together::of(item), Unit { because, ..Unit::one((place, item), true) });
            }
            Some(_) | None => units.push(Unit::one((place, item), waited)),
        }
    }
    units.extend(bundles.values().cloned());
    let mut units = in_turn(units, turns, now);
    let rest = units.split_off(units.len().min(window.room));
    let granted: BTreeSet<DeliveryId> = units.iter().map(|unit| unit.members[0]).collect();
    // What has just come and finds no room joins the digest of those before it.
    let by_id: BTreeMap<DeliveryId, &Waiting> = items.iter().map(|(_, item)| (item.id, *item)).collect();
    for unit in rest {
        let joins = (unit.members.len() == 1).then(|| by_id.get(&unit.members[0])).flatten();
        let joins = joins.filter(|item| item.foldable).and_then(|item| {
            let bundle =
                bundles.get(&Together::of(item)).filter(|bundle| granted.contains(&bundle.members[0]))?;
            Some((*item, bundle.members[0]))
        });
        let bundle = joins.and_then(|(item, head)| {
            let bundle = units.iter_mut().find(|unit| unit.members[0] == head)?;
            (bundle.members.len() < MAX_MEMBERS).then_some((bundle, item))
        });
        match bundle {
            Some((bundle, item)) => bundle.join(item),
            None => plan.hold.extend(unit.members.into_iter().map(|id| (id, window.next))),
        }
    }
    plan.send.extend(units);
}

/// What one digest may stand for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Together<'w> {
    tenant: &'w str,
    /// Rule and group, of critical alerts.
    own: Option<(&'w RuleId, &'w str)>,
}

impl<'w> Together<'w> {
    fn of(item: &'w Waiting) -> Self {
        let own = (item.level == Level::Critical).then_some((&item.rule, item.group.as_str()));
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
