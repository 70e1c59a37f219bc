//! One receiver's desk: looks at what is due, puts off what must wait, folds what is told together,
//! and picks what is tried next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::step::Step;
use super::super::tokens::Tokens;
use super::set_back::SET_BACK;
use super::{Ended, Office, Target};
use crate::alert::{Alert, AlertId, State};
use crate::record::{Level, Millis, RuleId, Timestamp};
use crate::route::delivery::{BY_ESCALATION, BY_GROUP, BY_LIMIT};
use crate::route::digest::{self, Member, group_line};
use crate::route::plan::{self, Held, Plan, Tried, Turns, Unit, Waiting, plan};
use crate::route::retry::{Gate, Health};
use crate::route::{Body, Delivery, DeliveryId, Digest, Group, Limits, Silence, Standing, Terms, silence};
use crate::store::{AlertQuery, Change, DeliveryQuery, KeptAlert};

/// Deliveries that are looked at together, where there are limits: as many as one digest can stand for.
const MAX_DUE: usize = plan::MAX_MEMBERS;
/// The same where everything is told one by one. The store gives the gravest first.
const MAX_DUE_UNLIMITED: usize = 500;
/// While there is work, the store is asked again after this, for what has fallen due meanwhile.
pub(super) const LOOK_AGAIN: Millis = Millis::secs(1);
/// Groups of routes whose last message is remembered; past it, the store is asked again.
const MAX_GROUPS: usize = 10_000;
/// What is told as milder than critical and waited so long gets the common share of the tokens.
const STARVED: Millis = Millis::mins(15);
/// What was sent so long ago weighs on no transport limit.
const TRANSPORT_REACH: Millis = Millis::mins(10);

/// What a turn leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// More, at once.
    Again,
    /// Nothing before then, unless the bell rings.
    Until(Timestamp),
    /// Nothing before the bell rings.
    Idle,
}

/// One receiver's desk. What it holds in memory, the store can tell again.
pub(super) struct Desk {
    pub(super) office: Office,
    pub(super) target: Target,
    pub(super) health: Health,
    /// None until what was sent before has been counted.
    pub(super) debt: Option<Debt>,
    pub(super) turns: Turns,
    pub(super) dice: fastrand::Rng,
    /// What was due at the last look and has not been dealt with.
    pub(super) queue: Vec<Item>,
    /// When each group of a route was told last, where that is known: the store can tell it again.
    pub(super) groups: BTreeMap<String, Timestamp>,
    pub(super) looked: Timestamp,
    rings: u64,
    /// What the clock said last; at first, the last that the store knows of.
    pub(super) clock_said: Timestamp,
    /// When the watchdog is due.
    pub(super) watched: Timestamp,
}

/// What was sent lately.
pub(super) struct Debt {
    pub(super) tokens: Tokens,
    /// What people saw, or may have seen.
    pub(super) seen: Vec<Tried>,
}

/// A delivery that is due, and the group of its alert where that matters.
pub(super) struct Item {
    pub(super) delivery: Delivery,
    group: String,
}

impl Desk {
    pub(super) fn new(office: Office, target: Target) -> Self {
        let name = blake3::hash(target.name.as_str().as_bytes());
        let mut seed = [0; 8];
        seed.copy_from_slice(&name.as_bytes()[..8]);
        let dice = fastrand::Rng::with_seed(u64::from_le_bytes(seed) ^ office.clock.now().0.unsigned_abs());
        let watched = super::watchdog::next(target.watchdog, office.clock.now());
        Self {
            office,
            target,
            health: Health::default(),
            debt: None,
            turns: Turns::default(),
            dice,
            queue: Vec::new(),
            groups: BTreeMap::new(),
            looked: Timestamp::MIN,
            rings: 0,
            clock_said: Timestamp::MIN,
            watched,
        }
    }

    /// Does one thing. `rings` counts what others have changed in the store.
    pub(super) async fn turn(&mut self, rings: u64) -> Result<Next, Ended> {
        let next = self.step(rings).await?;
        Ok(self.before_watchdog(next))
    }

    async fn step(&mut self, rings: u64) -> Result<Next, Ended> {
        let now = self.office.clock.now();
        self.count_debt(now).await?;
        self.look_at_clock(now).await?;
        let gate = self.health.gate(now);
        match gate {
            Gate::Closed { until } => return Ok(Next::Until(until)),
            Gate::Probe => return self.probe_paused(now).await,
            Gate::Open | Gate::Single => {}
        }
        if now >= self.watched {
            return self.watch(now).await;
        }
        if self.queue.is_empty() || self.rings != rings || now - self.looked >= LOOK_AGAIN {
            (self.rings, self.looked) = (rings, now);
            self.look(now).await?;
        }
        if self.queue.is_empty() {
            let next = self.office.store.next_due(self.target.name.clone()).await?;
            // Never at once: what is due was looked at just now.
            return Ok(next.map_or(Next::Idle, |due| Next::Until(due.max(now + LOOK_AGAIN))));
        }
        if let Some(unit) = self.gathered() {
            self.fold(&unit, now).await?;
            return Ok(Next::Again);
        }
        let plan = self.plan(now);
        if !plan.hold.is_empty() {
            self.put_off(&plan).await?;
        }
        let starved =
            plan.send.iter().any(|unit| unit.level < Level::Critical && now - unit.created >= STARVED);
        let mut until = Timestamp::MAX;
        for unit in self.candidates(&plan, gate) {
            if unit.is_digest() {
                self.fold(unit, now).await?;
                return Ok(Next::Again);
            }
            let Some(ready) = self.ready(unit, now).await? else { return Ok(Next::Again) };
            match self.take_token(unit.level, !starved, now) {
                Ok(()) => return self.try_one(unit, ready, now).await,
                Err(free) => until = until.min(free),
            }
        }
        Ok(if plan.send.is_empty() { Next::Again } else { Next::Until(until) })
    }

    pub(super) fn take_token(&self, level: Level, may_share: bool, now: Timestamp) -> Result<(), Timestamp> {
        self.debt.as_ref().map_or(Ok(()), |debt| debt.tokens.take(level, may_share, now))
    }

    /// Counts what earlier lives sent.
    async fn count_debt(&mut self, now: Timestamp) -> Result<(), Ended> {
        let reach = plan::reach(&self.target.limits, now);
        if let Some(debt) = &mut self.debt {
            debt.seen.retain(|(at, ..)| *at > reach);
            return Ok(());
        }
        let since = reach.min(now - TRANSPORT_REACH);
        let mut sent = self.office.store.sent(self.target.name.clone(), since).await?;
        self.clock_said = self.last_known(sent.last().map(|sent| sent.at)).await?;
        // What lies ahead was sent while the clock was wrong: nobody knows when.
        sent.retain(|sent| sent.at <= now + SET_BACK);
        let lately = sent.partition_point(|sent| sent.at < now - TRANSPORT_REACH);
        let lately: Vec<(Timestamp, Level)> =
            sent[lately..].iter().map(|sent| (sent.at, sent.level)).collect();
        let tokens = Tokens::new(self.target.transport, &lately);
        let seen = sent.into_iter().map(|sent| (sent.at, sent.level, sent.rule)).collect();
        self.debt = Some(Debt { tokens, seen });
        Ok(())
    }

    /// Takes what is due onto the desk, and puts off what a silence holds.
    async fn look(&mut self, now: Timestamp) -> Result<(), Ended> {
        let most = if self.target.limits == Limits::none() { MAX_DUE_UNLIMITED } else { MAX_DUE };
        let mut due = self.office.store.due(self.target.name.clone(), now, most).await?;
        if due.len() == most && most < MAX_DUE && due.iter().any(|delivery| delivery.held_by.is_some()) {
            // What one silence held is told together.
            due = self.office.store.due(self.target.name.clone(), now, MAX_DUE).await?;
        }
        let silences = if due.is_empty() { Vec::new() } else { self.office.store.silences(now).await? };
        self.queue.clear();
        let mut aside = Vec::new();
        let mut over: BTreeMap<Arc<str>, Vec<Delivery>> = BTreeMap::new();
        for delivery in due {
            let tenant = delivery.tenant.clone();
            let admitted = self.admit(delivery, &silences, now).await?;
            aside.extend(admitted.changes.into_iter().map(|change| (tenant.clone(), change)));
            self.queue.extend(admitted.item);
            over.entry(tenant).or_default().extend(admitted.over);
        }
        if !aside.is_empty() {
            self.office.steps.pass(Step::BeforeHold)?;
            self.commit_changes(aside).await?;
            self.office.steps.pass(Step::AfterHold)?;
        }
        for (tenant, over) in over {
            if !over.is_empty() {
                self.tell_over(&tenant, over, now).await?;
            }
        }
        Ok(())
    }

    /// Lets one digest stand for what a silence held until its alerts were over.
    async fn tell_over(
        &mut self,
        tenant: &Arc<str>,
        over: Vec<Delivery>,
        now: Timestamp,
    ) -> Result<(), Ended> {
        let mut told = Vec::with_capacity(over.len());
        let mut alerts = BTreeSet::new();
        for delivery in &over {
            // An alert's end may have been held, too.
            if let Body::Alert { id, .. } = &delivery.body
                && !alerts.insert(*id)
            {
                continue;
            }
            told.push(self.member(delivery).await?);
        }
        let Some(first) = over.first() else { return Ok(()) };
        let level = over.iter().map(|delivery| delivery.level).max().unwrap_or(first.level);
        let digest = Digest::of(&told, digest::SILENCE);
        let receiver = &self.target.name;
        tracing::info!(%receiver, alerts = told.len(), "a silence has ended: what it held and is over is told in one message");
        let about = (tenant, &first.rule, level);
        self.stand_for(over.clone(), digest, about, None, now).await
    }

    /// What a digest tells of `delivery`.
    async fn member(&self, delivery: &Delivery) -> Result<Member, Ended> {
        let (alert, again) = match &delivery.body {
            Body::Alert { id, .. } => (*id, delivery.terms.again),
            Body::Digest(_) => (AlertId(delivery.id.0), false),
        };
        let missing = || Member {
            alert,
            rule: delivery.rule.clone(),
            level: delivery.level,
            group: String::new(),
            title: String::new(),
            fired: delivery.created,
            at: delivery.created,
            over: false,
            again,
        };
        let Some(told) = self.told(delivery).await? else { return Ok(missing()) };
        let member = Member { again, ..Member::of(&told) };
        if told.revision == 1 {
            return Ok(member);
        }
        let fired = self.kept(delivery, alert).await?.map_or(member.fired, |kept| kept.fired.at);
        Ok(Member { fired, ..member })
    }

    /// What becomes of one delivery that is due, before any limit is asked.
    async fn admit(
        &mut self,
        mut delivery: Delivery,
        silences: &[Silence],
        now: Timestamp,
    ) -> Result<Admitted, Ended> {
        let (id, revision) = match &delivery.body {
            Body::Alert { id, revision } => (*id, *revision),
            Body::Digest(_) => return Ok(Admitted::at_once(Item::new(delivery))),
        };
        let grouped = delivery.level == Level::Critical && self.target.limits.of(Level::Critical).is_some();
        let silenced = delivery.held_by.is_some() || silences.iter().any(|of| of.tenant == delivery.tenant);
        let conditional = delivery.terms.again || !delivery.terms.unless.is_empty();
        let asked = grouped || silenced || conditional || revision > 1;
        let kept = if asked { self.kept(&delivery, id).await? } else { None };
        let escalates = !delivery.terms.unless.is_empty();
        let told = match &kept {
            Some(kept)
                if revision > 1
                    && (kept.acknowledged.is_some() || delivery.held_by.is_some() || escalates) =>
            {
                self.told(&delivery).await?
            }
            Some(_) | None => None,
        };
        if let Some(kept) = &kept {
            if let Some(changed) = set_aside(&delivery, kept, told.as_ref(), silences, now) {
                return Ok(Admitted::aside(changed));
            }
            let ends = told.as_ref().is_some_and(|told| !is_open(told.state));
            if delivery.held_by.is_some() && !is_open(kept.now.state) && !(ends && self.knows(id).await?) {
                return Ok(Admitted::over(delivery));
            }
        }
        match self.before_it(&delivery, now).await? {
            Before::Taken { by } => {
                let standing = Standing::Discarded { at: now, reason: format!("{by} took it") };
                return Ok(Admitted::aside(Delivery { standing, held_by: None, ..delivery }));
            }
            Before::NotTaken { since: Some(since) } if since + delivery.terms.after > now => {
                let due = since + delivery.terms.after;
                let last_reason = Some(BY_ESCALATION.to_owned());
                return Ok(Admitted::aside(Delivery { due, held_by: None, last_reason, ..delivery }));
            }
            Before::NotTaken { .. } => {}
        }
        if let Some(until) = self.group_rests(&delivery, now).await? {
            let last_reason = Some(BY_GROUP.to_owned());
            return Ok(Admitted::aside(Delivery { due: until, last_reason, ..delivery }));
        }
        let mut changes = Vec::new();
        if let (Some(every), Some(kept)) = (delivery.terms.repeat.take(), &kept) {
            // Told again as it stands now; and once more after as long.
            delivery.body = Body::Alert { id, revision: kept.now.revision };
            changes.push(Change::Delivery(Box::new(delivery.clone())));
            changes.push(Change::Owed(Box::new(next_repeat(&delivery, id, every))));
        }
        let group = kept.map_or_else(String::new, |kept| group_line(&kept.fired));
        Ok(Admitted { item: Some(Item { delivery, group }), over: None, changes })
    }

    /// Whether the receiver was told of the alert before.
    async fn knows(&self, alert: AlertId) -> Result<bool, Ended> {
        let query = DeliveryQuery {
            receiver: Some(self.target.name.clone()),
            states: vec!["delivered".to_owned()],
            alert: Some(alert),
            most: 1,
            ..DeliveryQuery::default()
        };
        Ok(!self.office.store.deliveries(query).await?.is_empty())
    }

    /// What became of those messages that `delivery` is to be told in the place of, where nobody takes them.
    async fn before_it(&self, delivery: &Delivery, now: Timestamp) -> Result<Before, Ended> {
        let mut since: Option<Timestamp> = None;
        for first in &delivery.terms.unless {
            let mut next = Some(*first);
            // A digest may stand for it.
            while let Some(id) = next.take() {
                let query = DeliveryQuery {
                    tenant: Some(delivery.tenant.clone()),
                    id: Some(id.to_string()),
                    most: 1,
                    ..DeliveryQuery::default()
                };
                let Some(other) = self.office.store.deliveries(query).await?.pop() else { continue };
                match other.standing {
                    Standing::Delivered { .. } => {
                        return Ok(Before::Taken { by: other.receiver.to_string() });
                    }
                    Standing::Discarded { .. } => return Ok(Before::Taken { by: "an operator".to_owned() }),
                    Standing::Folded { into } => next = Some(into),
                    Standing::Waiting | Standing::Sending { .. } | Standing::Dead { .. } => {
                        let could = match self.office.store.tries(other.id).await?.first() {
                            // It was tried while the clock was wrong: nobody knows when.
                            Some(first) if first.at > now => Timestamp::MIN,
                            Some(first) => first.at,
                            // Until now a silence held it, too, whether or not that was seen.
                            None if delivery.held_by.is_some() => other.due.max(now),
                            // What a group or a limit of ours holds back cannot be taken before it is due.
                            None => other.due,
                        };
                        since = Some(since.map_or(could, |since| since.min(could)));
                    }
                }
            }
        }
        Ok(Before::NotTaken { since })
    }

    /// Until when the group of `delivery` rests after its last message.
    async fn group_rests(&mut self, delivery: &Delivery, now: Timestamp) -> Result<Option<Timestamp>, Ended> {
        let Some(group) = &delivery.terms.group else { return Ok(None) };
        let told = if let Some(told) = self.groups.get(&group.key) {
            *told
        } else {
            let told = self.office.store.group_told(self.target.name.clone(), group.key.clone()).await?;
            let told = told.unwrap_or(Timestamp::MIN);
            // As in `count_debt`.
            let told = if told > now + SET_BACK { Timestamp::MIN } else { told };
            self.remember_group(&group.key, told);
            told
        };
        let rests = told + group.interval;
        Ok((rests > now).then_some(rests))
    }

    /// A group of a route of which several are due.
    fn gathered(&self) -> Option<Unit> {
        let mut groups: BTreeMap<&str, Vec<Waiting>> = BTreeMap::new();
        for item in &self.queue {
            if let (Some(group), Body::Alert { .. }) = (&item.delivery.terms.group, &item.delivery.body) {
                groups.entry(&group.key).or_default().push(item.waiting());
            }
        }
        groups.into_values().find_map(|items| {
            let most = items.len().min(plan::MAX_MEMBERS);
            Unit::group(&items[..most].iter().collect::<Vec<_>>())
        })
    }

    /// A message of a group was sent.
    pub(super) fn group_told(&mut self, delivery: &Delivery, now: Timestamp) {
        if let Some(group) = &delivery.terms.group {
            self.remember_group(&group.key, now);
        }
    }

    fn remember_group(&mut self, key: &str, told: Timestamp) {
        if self.groups.len() >= MAX_GROUPS {
            self.groups.clear();
        }
        self.groups.insert(key.to_owned(), told);
    }

    async fn kept(&self, delivery: &Delivery, id: AlertId) -> Result<Option<KeptAlert>, Ended> {
        let query = AlertQuery {
            tenant: Some(delivery.tenant.clone()),
            id: Some(id.to_string()),
            most: 1,
            ..AlertQuery::default()
        };
        Ok(self.office.store.alerts(query).await?.pop())
    }

    /// The alert that `delivery` tells of, as of its revision; its newest one where that is gone.
    pub(super) async fn told(&self, delivery: &Delivery) -> Result<Option<Alert>, Ended> {
        let Body::Alert { id, revision } = delivery.body else { return Ok(None) };
        let mut all = self.office.store.revisions(delivery.tenant.clone(), id).await?;
        match all.iter().position(|alert| alert.revision == revision) {
            Some(place) => Ok(Some(all.swap_remove(place))),
            None => Ok(all.pop()),
        }
    }

    fn plan(&self, now: Timestamp) -> Plan {
        let waiting: Vec<Waiting> = self.queue.iter().map(Item::waiting).collect();
        let seen = self.debt.as_ref().map_or(&[][..], |debt| &debt.seen);
        plan(&self.target.limits, seen, &waiting, &self.turns, now)
    }

    /// What may be tried now: the first critical message and the first milder one; of a receiver that
    /// may have recovered, what was tried least.
    fn candidates<'p>(&self, plan: &'p Plan, gate: Gate) -> Vec<&'p Unit> {
        if gate == Gate::Single {
            let tries = |unit: &&Unit| self.item(unit.members[0]).map_or(0, |item| item.delivery.tries);
            return plan.send.iter().min_by_key(tries).into_iter().collect();
        }
        let critical = plan.send.iter().find(|unit| unit.level == Level::Critical);
        let milder = plan.send.iter().find(|unit| unit.level < Level::Critical);
        [critical, milder].into_iter().flatten().collect()
    }

    pub(super) fn item(&self, id: DeliveryId) -> Option<&Item> {
        self.queue.iter().find(|item| item.delivery.id == id)
    }

    /// Puts off what its limit has no room for.
    async fn put_off(&mut self, plan: &Plan) -> Result<(), Ended> {
        let until: BTreeMap<DeliveryId, &Held> = plan.hold.iter().map(|held| (held.id, held)).collect();
        let held = self.queue.extract_if(.., |item| until.contains_key(&item.delivery.id));
        let limits = &self.target.limits;
        let held: Vec<Delivery> = held
            .map(|Item { delivery, .. }| {
                let held = until.get(&delivery.id);
                let (whose, limit) = if held.is_some_and(|held| held.by_rule) {
                    (format!("rule {}", delivery.rule), limits.of_rule(&delivery.rule))
                } else {
                    (format!("level {}", delivery.level), limits.of(delivery.level))
                };
                let limit = limit.map_or_else(String::new, |at_most| at_most.to_string());
                let last_reason = Some(format!("{BY_LIMIT}{whose}: {limit}"));
                let due = held.map_or(delivery.due, |held| held.until);
                Delivery { due, last_reason, standing: Standing::Waiting, ..delivery }
            })
            .collect();
        self.office.steps.pass(Step::BeforeHold)?;
        self.commit(held).await?;
        self.office.steps.pass(Step::AfterHold)?;
        Ok(())
    }

    /// Lets one digest stand for all members of `unit`.
    async fn fold(&mut self, unit: &Unit, now: Timestamp) -> Result<(), Ended> {
        let ids: BTreeSet<DeliveryId> = unit.members.iter().copied().collect();
        let members: Vec<Item> = self.queue.extract_if(.., |item| ids.contains(&item.delivery.id)).collect();
        // A group's digest stands for the group; one that a limit made stands for what it holds.
        let of_group = unit.because == digest::GROUP;
        let group = members.first().and_then(|item| item.delivery.terms.group.clone()).filter(|_| of_group);
        let mut told = Vec::with_capacity(members.len());
        for Item { delivery, .. } in &members {
            told.push(self.member(delivery).await?);
        }
        let members = members.into_iter().map(|item| item.delivery).collect();
        let about = (&unit.tenant, &unit.rule, unit.level);
        self.stand_for(members, Digest::of(&told, unit.because), about, group, now).await
    }

    /// Owes `digest` in the place of `members`, oldest first.
    async fn stand_for(
        &mut self,
        members: Vec<Delivery>,
        digest: Digest,
        (tenant, rule, level): (&Arc<str>, &RuleId, Level),
        group: Option<Group>,
        now: Timestamp,
    ) -> Result<(), Ended> {
        let Some(first) = members.first().map(|delivery| delivery.id) else { return Ok(()) };
        let digest = Delivery {
            id: DeliveryId::of_digest(tenant, &self.target.name, first),
            tenant: tenant.clone(),
            receiver: self.target.name.clone(),
            rule: rule.clone(),
            level,
            body: Body::Digest(Box::new(digest)),
            created: now,
            due: now,
            tries: 0,
            waited: Millis::ZERO,
            plain: false,
            held_by: None,
            last_reason: None,
            terms: Terms { group, ..Terms::default() },
            standing: Standing::Waiting,
        };
        let into = digest.id;
        let folded = members.into_iter().map(|delivery| {
            let standing = Standing::Folded { into };
            Change::Delivery(Box::new(Delivery { standing, held_by: None, ..delivery }))
        });
        let changes = std::iter::once(Change::Owed(Box::new(digest.clone()))).chain(folded).collect();
        self.office.steps.pass(Step::BeforeFold)?;
        self.commit_of(tenant, changes).await?;
        self.office.steps.pass(Step::AfterFold)?;
        self.queue.push(Item { delivery: digest, group: String::new() });
        Ok(())
    }

    /// Replaces deliveries, in one transaction a tenant.
    pub(super) async fn commit(&self, deliveries: Vec<Delivery>) -> Result<(), Ended> {
        let replaced = |delivery: Delivery| (delivery.tenant.clone(), Change::Delivery(Box::new(delivery)));
        self.commit_changes(deliveries.into_iter().map(replaced).collect()).await
    }

    /// Makes changes, in one transaction a tenant.
    async fn commit_changes(&self, changes: Vec<(Arc<str>, Change)>) -> Result<(), Ended> {
        let mut by_tenant: BTreeMap<Arc<str>, Vec<Change>> = BTreeMap::new();
        for (tenant, change) in changes {
            by_tenant.entry(tenant).or_default().push(change);
        }
        for (tenant, changes) in by_tenant {
            self.commit_of(&tenant, changes).await?;
        }
        Ok(())
    }

    pub(super) async fn commit_of(&self, tenant: &Arc<str>, changes: Vec<Change>) -> Result<(), Ended> {
        let store = self.office.store.as_ref();
        let fence = self.office.fences.of(store, tenant).await?;
        Ok(store.commit(fence, changes).await?)
    }
}

/// What became of the messages of which an escalation is to tell where nobody took them.
enum Before {
    /// One was taken.
    Taken {
        /// By whom.
        by: String,
    },
    /// None was.
    NotTaken {
        /// Since when the first of them could have been; none where there are none any more.
        since: Option<Timestamp>,
    },
}

/// What becomes of a delivery that is due.
struct Admitted {
    /// It goes on the desk.
    item: Option<Item>,
    /// A silence held it until its alert was over.
    over: Option<Delivery>,
    /// What changes of its tenant.
    changes: Vec<Change>,
}

impl Admitted {
    fn at_once(item: Item) -> Self {
        Self { item: Some(item), over: None, changes: Vec::new() }
    }

    fn over(delivery: Delivery) -> Self {
        Self { item: None, over: Some(delivery), changes: Vec::new() }
    }

    fn aside(delivery: Delivery) -> Self {
        Self { item: None, over: None, changes: vec![Change::Delivery(Box::new(delivery))] }
    }
}

/// What tells `delivery`'s alert once more, `every` after this.
fn next_repeat(delivery: &Delivery, alert: AlertId, every: Millis) -> Delivery {
    let due = delivery.due + every;
    let nth = due.0.unsigned_abs();
    Delivery {
        id: DeliveryId::of_repeat(&delivery.tenant, &delivery.receiver, alert, nth),
        created: due,
        due,
        // What held this one back holds no longer.
        held_by: None,
        last_reason: None,
        terms: Terms { repeat: Some(every), again: true, ..delivery.terms.clone() },
        ..delivery.clone()
    }
}

impl Item {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self { delivery, group: String::new() }
    }

    fn waiting(&self) -> Waiting {
        let Delivery { id, tenant, rule, level, body, created, terms, .. } = &self.delivery;
        let (first, foldable) = match body {
            Body::Alert { revision, .. } => (*revision == 1 && !terms.again, true),
            Body::Digest(_) => (true, false),
        };
        Waiting {
            id: *id,
            tenant: tenant.clone(),
            rule: rule.clone(),
            level: *level,
            group: self.group.clone(),
            first,
            foldable,
            created: *created,
        }
    }
}

/// What becomes of a delivery before any limit is asked: a silence holds it back, or it tells of what
/// is over, or taken; none where it goes on. `told` is what it tells, where its alert is taken.
fn set_aside(
    delivery: &Delivery,
    kept: &KeptAlert,
    told: Option<&Alert>,
    silences: &[Silence],
    now: Timestamp,
) -> Option<Delivery> {
    let discarded = |reason: String| {
        let standing = Standing::Discarded { at: now, reason };
        Some(Delivery { standing, held_by: None, ..delivery.clone() })
    };
    if delivery.terms.again && (!is_open(kept.now.state) || kept.acknowledged.is_some()) {
        return discarded("the alert is no longer open".to_owned());
    }
    if let (Some((by, _)), false) = (&kept.acknowledged, delivery.terms.unless.is_empty()) {
        return discarded(format!("{by} has taken the alert"));
    }
    if let Some((id, until)) = silence::held_by(silences, &kept.now, now) {
        let (held_by, last_reason) = (Some(id), Some(format!("held back by silence {id}")));
        return Some(Delivery {
            due: until,
            held_by,
            last_reason,
            standing: Standing::Waiting,
            ..delivery.clone()
        });
    }
    // Its end goes further where what began it did.
    let tells_open = told.is_none_or(|told| is_open(told.state));
    if !delivery.terms.unless.is_empty() && tells_open && !is_open(kept.now.state) {
        let state = kept.now.state.as_str();
        return discarded(if delivery.held_by.is_some() {
            format!("the alert was {state} before its silence ended")
        } else {
            format!("the alert was {state} before it was to go further")
        });
    }
    if let (Some((by, _)), Some(told)) = (&kept.acknowledged, told)
        && is_open(told.state)
    {
        return discarded(format!("{by} has taken the alert"));
    }
    None
}

fn is_open(state: State) -> bool {
    match state {
        State::Open | State::Updated => true,
        State::Closed | State::Acknowledged | State::Resolved => false,
    }
}
