//! The rule language as slow, obvious code, written from `RULES.md` and from what the design says of
//! late records. Every hit is kept for ever and every window is made again from all of them.

use std::collections::BTreeMap;

/// What a rule asks of a group's hits up to and including the one being judged, since the group was
/// last cleared: how many it counts, if the condition holds.
pub type Holds<H> = Box<dyn Fn(&[H]) -> Option<u64>>;

/// Whether the same hits tell that all is well again.
pub type Recovered<H> = Box<dyn Fn(&[H]) -> bool>;

/// Which earlier hits a hit looks back on.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    /// (t − w, t].
    Time(i64),
    /// The last so many of (t − w, t].
    Last(usize, i64),
    /// The last so many.
    Records(usize),
    /// All of them.
    All,
    /// None.
    Alone,
    /// Those whose unit has not drained from a bucket, of which one drains in so long and which
    /// holds so many. What is in it depends on all of them.
    Bucket(i64, usize),
}

/// The hits in a bucket at the time of the last one: it drains evenly, the oldest first; a hit pours
/// where there is room and `same` says of none in it that it is the same.
fn bucket<H: Hit>(hits: &[H], drains_every: i64, room: usize, same: impl Fn(&H, &H) -> bool) -> Vec<H> {
    let mut units: Vec<(H, i64)> = Vec::new();
    let mut now = i64::MIN;
    for hit in hits {
        let mut passed = hit.at().saturating_sub(now);
        now = hit.at();
        for (_, left) in &mut units {
            let drained = passed.min(*left);
            *left -= drained;
            passed -= drained;
        }
        units.retain(|(_, left)| *left > 0);
        if units.len() < room && units.iter().all(|(other, _)| !same(other, hit)) {
            units.push((hit.clone(), drains_every));
        }
    }
    units.into_iter().map(|(hit, _)| hit).collect()
}

/// A rule's stateful part.
pub struct SlowRule<H> {
    pub window: Window,
    pub holds: Holds<H>,
    pub cooldown: i64,
    /// `recover` and the default cooldown: an alert that is resolved holds nothing back.
    pub cooldown_given: bool,
    pub restart: bool,
    /// Its alerts are high: nothing is learnt from their records while they are open.
    pub grave: bool,
    /// The recovery condition, over the same hits.
    pub recovered: Option<Recovered<H>>,
    /// Of which hits only one can be in a bucket.
    pub same: fn(&H, &H) -> bool,
}

/// What the model needs to know of a hit.
pub trait Hit: Clone + PartialEq {
    fn at(&self) -> i64;
    /// Place in event order.
    fn order(&self) -> (i64, [u8; 16]);
    fn clears(&self) -> bool;
    /// It is of a high alert that is open: nothing is learnt from it.
    fn leave_out(&mut self) {}
}

/// An alert as the model raises it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowAlert<H> {
    pub tip: H,
    pub at: i64,
    /// It tells of the hits after this instant.
    pub from: i64,
    /// Its group is held back until this instant.
    pub until: i64,
    pub count: u64,
    pub repeats: u64,
    pub late: bool,
    pub resolved: Option<i64>,
}

/// One group.
pub struct SlowGroup<H> {
    hits: Vec<H>,
    pub alerts: Vec<SlowAlert<H>>,
}

impl<H: Hit> SlowGroup<H> {
    pub fn new() -> Self {
        Self { hits: Vec::new(), alerts: Vec::new() }
    }

    /// The next hit in event order.
    pub fn observe(&mut self, hit: &H, rule: &SlowRule<H>) {
        let at = hit.at();
        self.hits.push(hit.clone());
        if hit.clears() {
            return;
        }
        let place = self.hits.len() - 1;
        let holding = self.alerts.iter().any(|alert| alert.at <= at && at < alert.until);
        if holding {
            // The last alert is the one that is open; resolved, it is told no more of.
            let open = self.open_alert(at, rule);
            if let Some(open) = open {
                open.repeats += 1;
            }
        } else if let Some(count) = (rule.holds)(&self.window(place, rule)) {
            self.raise(place, count, false, rule);
        }
        self.leave_out(place, rule);
        let window = self.window_of_next(place, rule);
        let over = rule.recovered.as_ref().is_some_and(|recovered| recovered(&window));
        if let (true, Some(open)) = (over, self.open_alert(at, rule)) {
            open.resolved = Some(at);
            if !rule.cooldown_given {
                open.until = at;
            }
        }
    }

    /// A hit that comes behind the watermark, within `late_within`.
    pub fn observe_late(&mut self, hit: &H, rule: &SlowRule<H>) {
        let place = self.hits.partition_point(|other| other.order() < hit.order());
        self.hits.insert(place, hit.clone());
        if hit.clears() {
            return;
        }
        self.leave_out(place, rule);
        for later in place..self.hits.len() {
            let judged = self.hits[later].clone();
            let window = self.window(later, rule);
            // What is in a bucket depends on hits that have drained.
            let looked_back = matches!(rule.window, Window::Bucket(..)) || window.contains(hit);
            if judged.clears() || !looked_back || self.covered(&judged) {
                continue;
            }
            if let Some(count) = (rule.holds)(&window) {
                self.raise(later, count, true, rule);
                self.leave_out(later, rule);
                return;
            }
        }
    }

    /// Leaves a hit out of what is learnt if a high alert is open at its time.
    fn leave_out(&mut self, place: usize, rule: &SlowRule<H>) {
        let at = self.hits[place].at();
        if rule.grave && self.alerts.iter().any(|alert| alert.at <= at && at < alert.until) {
            self.hits[place].leave_out();
        }
    }

    /// An alert tells of this hit: it is its tip, or in its window, or in its cooldown.
    pub fn covered(&self, hit: &H) -> bool {
        let (at, tells) = (hit.at(), |alert: &SlowAlert<H>, at: i64| {
            alert.from < at && (at <= alert.at || at < alert.until)
        });
        self.alerts.iter().any(|alert| alert.tip == *hit || tells(alert, at))
    }

    fn open_alert(&mut self, at: i64, rule: &SlowRule<H>) -> Option<&mut SlowAlert<H>> {
        let newest = self.alerts.iter_mut().max_by_key(|alert| alert.at)?;
        let open = newest.resolved.is_none() && (rule.cooldown == 0 || at <= newest.until);
        open.then_some(newest)
    }

    fn raise(&mut self, place: usize, count: u64, late: bool, rule: &SlowRule<H>) {
        let (tip, window) = (self.hits[place].clone(), self.window(place, rule));
        let at = tip.at();
        let first = window[0].at();
        let cut = |within: i64| {
            let before = place.checked_sub(window.len()).map(|before| self.hits[before].at());
            before.is_some_and(|before| before > at - within)
        };
        let from = match rule.window {
            Window::Time(within) | Window::Last(_, within) => {
                if cut(within) {
                    first - 1
                } else {
                    at - within
                }
            }
            Window::Bucket(..) => first - 1,
            Window::Records(_) | Window::All | Window::Alone => at - i64::from(rule.cooldown > 0),
        };
        let until = at + rule.cooldown;
        self.alerts.push(SlowAlert { tip, at, from, until, count, repeats: 0, late, resolved: None });
    }

    /// The hits that hit number `place` looks back on, itself the last.
    fn window(&self, place: usize, rule: &SlowRule<H>) -> Vec<H> {
        let at = self.hits[place].at();
        let emptied =
            |hit: &H| hit.clears() || rule.restart && self.alerts.iter().any(|alert| alert.tip == *hit);
        let since =
            (0..place).rev().find(|number| emptied(&self.hits[*number])).map_or(0, |number| number + 1);
        let hits: Vec<H> = self.hits[since..=place].to_vec();
        let recent =
            |within: i64| hits.iter().filter(|hit| hit.at() > at - within).cloned().collect::<Vec<H>>();
        let last = |hits: Vec<H>, most: usize| hits[hits.len().saturating_sub(most)..].to_vec();
        match rule.window {
            Window::Time(within) => recent(within),
            Window::Last(most, within) => last(recent(within), most),
            Window::Records(most) => last(hits, most),
            Window::All => hits,
            Window::Alone => last(hits, 1),
            Window::Bucket(drains_every, room) => bucket(&hits, drains_every, room, rule.same),
        }
    }

    /// The same after it was judged: a firing with `restart` empties it.
    fn window_of_next(&self, place: usize, rule: &SlowRule<H>) -> Vec<H> {
        let tipped = rule.restart && self.alerts.iter().any(|alert| alert.tip == self.hits[place]);
        if tipped { Vec::new() } else { self.window(place, rule) }
    }
}

/// All groups of one rule.
pub struct Slow<H> {
    pub groups: BTreeMap<String, SlowGroup<H>>,
}

impl<H: Hit> Slow<H> {
    pub fn new() -> Self {
        Self { groups: BTreeMap::new() }
    }

    pub fn group(&mut self, key: &str) -> &mut SlowGroup<H> {
        self.groups.entry(key.to_owned()).or_insert_with(SlowGroup::new)
    }
}
