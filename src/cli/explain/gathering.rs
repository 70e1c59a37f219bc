//! What a run shows of one group: its records, what was decided of each, and the firings that the rule
//! heard of.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{AlertId, Draft, Finding, Fired, Sight};
use crate::cli::feed::Watcher;
use crate::cli::reason;
use crate::engine::{Decision, Fresh, Generation, Outcome, Step, Traced};
use crate::record::{Batch, Phase, RecordId, RuleId, Timestamp};
use crate::rule::verb::Judge as _;
use crate::rule::why::{Why, hit};

use super::group::CutGroup;
use super::{Before, ExplainError, Explanation, show};

/// What of the group is told besides the one that is asked for.
const TOLD_BEFORE: usize = 10;

/// Records of the very time that is asked for that are kept: times are whole seconds, mostly, and any of these may
/// have fired.
const MAX_THEN: usize = 1_000;

/// Groups that are told from each other at most, where a value was cut: what is more is too many.
const MAX_CUT: usize = 100;

/// What a run shows of each group that may be meant.
pub(super) struct Gathered<'a> {
    /// The likeliest first.
    pub likely: Vec<Gathering<'a>>,
    /// Where a value that was given ends as if it had been cut: all groups whose value begins so.
    pub cut: Option<Cut<'a>>,
}

/// What a run shows of the groups that a cut value may mean.
pub(super) struct Cut<'a> {
    meant: CutGroup,
    found: Vec<Gathering<'a>>,
}

impl<'a> Cut<'a> {
    pub(super) fn new(meant: CutGroup) -> Self {
        Self { meant, found: Vec::new() }
    }

    /// Gathers what is shown of the group of `key` too, if it may be meant and is new; `like` the others.
    fn meet(&mut self, key: &[u8], like: &Gathering<'a>) {
        let program = &like.generation.programs.list[like.number];
        let known = self.found.iter().any(|one| one.key.as_deref() == Some(key));
        if !known && self.found.len() <= MAX_CUT && self.meant.is(&program.group(key)) {
            self.found.push(Gathering::new(like.generation, like.number, Some(key.into()), like.asked));
        }
    }
}

/// What a run shows of the group.
pub(super) struct Gathering<'a> {
    generation: &'a Generation,
    /// The rule's program; others are there because it hears of them.
    number: usize,
    /// None: the records that lack a field of `by`.
    key: Option<Box<[u8]>>,
    asked: Asked,
    /// The group's last records up to the time, in event order: hits by the rule's condition.
    hits: BTreeMap<Order, Looked>,
    /// The others.
    others: BTreeMap<Order, Looked>,
    /// The record that tipped the alert that is meant.
    tip: Option<(Order, Looked)>,
    traced: Vec<Traced>,
    /// Hits up to the time that are of no group.
    without_group: u64,
    /// Alerts that were held back when they fired, and by whose.
    held: BTreeMap<AlertId, Vec<RuleId>>,
    /// When the group's alerts fired, and what they found: those that time raised did so later than the record that
    /// they are of.
    fired: BTreeMap<AlertId, (Timestamp, Finding)>,
}

/// What is asked about.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// What is up to then counts.
    pub at: Timestamp,
    /// The alert that is meant, and what tipped it.
    pub alert: Option<(AlertId, Sight)>,
}

#[derive(Clone)]
struct Looked {
    id: RecordId,
    matched: Why,
}

/// What is told of a group: a record, or the firing of a correlation, by its program's number.
enum Told<'a> {
    Record(&'a Looked),
    Firing(usize),
}

/// Place in event order.
type Order = (Timestamp, Phase, RecordId);

/// The first alert whose id begins with these digits.
pub(super) struct Sought {
    pub id: String,
    pub fired: Option<Fired>,
}

impl Watcher for Sought {
    fn outcome(&mut self, outcome: Outcome) {
        for draft in outcome.drafts {
            if let Draft::Fired(fired) = draft
                && self.fired.is_none()
                && fired.id.to_string().starts_with(&self.id)
            {
                self.fired = Some(*fired);
            }
        }
    }
}

impl Watcher for Gathered<'_> {
    fn batch(&mut self, batch: &Batch, fresh: &[Fresh]) {
        if let (Some(cut), Some(like)) = (&mut self.cut, self.likely.first()) {
            let program = &like.generation.programs.list[like.number];
            for one in fresh.iter().filter(|one| one.at <= like.asked.at && program.accepts(one.phase)) {
                program.keys(one.record(batch)).iter().for_each(|key| cut.meet(key, like));
            }
        }
        self.all().for_each(|one| one.batch(batch, fresh));
    }

    fn outcome(&mut self, outcome: Outcome) {
        if let (Some(cut), Some(like)) = (&mut self.cut, self.likely.first()) {
            for traced in outcome.traced.iter().filter(|traced| traced.at <= like.asked.at) {
                cut.meet(&traced.key, like);
            }
        }
        self.all().for_each(|one| one.outcome(&outcome));
    }
}

impl<'a> Gathered<'a> {
    fn all(&mut self) -> impl Iterator<Item = &mut Gathering<'a>> {
        self.likely.iter_mut().chain(self.cut.iter_mut().flat_map(|cut| &mut cut.found))
    }

    /// The first group that there is, or else the only one that a cut value may mean, or else the likeliest.
    pub(super) fn meant(&mut self) -> Result<Option<&Gathering<'a>>, ExplainError> {
        let there = |one: &&Gathering<'_>| one.has_records() || !one.traced.is_empty();
        let likeliest = self.likely.iter().find(there);
        let Some(cut) = self.cut.as_mut().filter(|_| likeliest.is_none()) else {
            return Ok(likeliest.or_else(|| self.likely.first()));
        };
        let begin = match cut.found.len() {
            1 => {
                // They were counted from the first record on there alone.
                let without = self.likely.iter().map(|one| one.without_group).max().unwrap_or_default();
                return Ok(cut.found.first_mut().map(|only| {
                    only.without_group = without;
                    &*only
                }));
            }
            0 => "no group's value up to then begins so".to_owned(),
            many if many > MAX_CUT => format!("more than {MAX_CUT} groups have a value that begins so"),
            many => format!("{} have a value that begins so", show::many(many, "group")),
        };
        Err(ExplainError::Cut { value: cut.meant.value.clone(), begin })
    }
}

impl<'a> Gathering<'a> {
    /// Nothing yet of the group of `key` of program `number`.
    pub(super) fn new(
        generation: &'a Generation,
        number: usize,
        key: Option<Box<[u8]>>,
        asked: Asked,
    ) -> Self {
        Self {
            generation,
            number,
            key,
            asked,
            hits: BTreeMap::new(),
            others: BTreeMap::new(),
            tip: None,
            traced: Vec::new(),
            without_group: 0,
            held: BTreeMap::new(),
            fired: BTreeMap::new(),
        }
    }
}

impl Gathering<'_> {
    fn batch(&mut self, batch: &Batch, fresh: &[Fresh]) {
        let program = &self.generation.programs.list[self.number];
        let Asked { at, alert } = self.asked;
        for one in fresh.iter().filter(|one| one.at <= at && program.accepts(one.phase)) {
            let record = one.record(batch);
            let keys = program.keys(record);
            let is_ours = self.key.as_ref().map_or(keys.is_empty(), |key| keys.contains(key));
            if !is_ours {
                continue;
            }
            let mut columns = (*self.generation.columns).clone();
            let spec = &program.rule.spec;
            let matches = (&spec.matches, spec.hours.as_ref());
            let matched = hit(matches, record, &mut columns, self.generation.lists());
            let order = (one.at, one.phase, record.id());
            let looked = Looked { id: record.id(), matched };
            let place = (record.row().locator, one.phase);
            if alert.is_some_and(|(_, tip)| (tip.locator, tip.phase) == place) {
                self.tip = Some((order, looked.clone()));
            }
            let records = if looked.matched.held { &mut self.hits } else { &mut self.others };
            records.insert(order, looked);
            let then = records.range((at, Phase::Start, RecordId([0; 16]))..).count();
            // What waits may have come long before what fires it.
            let most = if program.verb.waits() { MAX_THEN } else { TOLD_BEFORE };
            if records.len() > most + 1 && (then < records.len() || then > MAX_THEN) {
                records.pop_first();
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let (until, key) = (self.asked.at, self.key.as_deref());
        let ours = |traced: &Traced| match key {
            Some(key) => *traced.key == *key && traced.step != Step::GroupFieldMissing,
            None => traced.step == Step::GroupFieldMissing,
        };
        let lacks = |traced: &&Traced| traced.at <= until && traced.step == Step::GroupFieldMissing;
        self.without_group += outcome.traced.iter().filter(lacks).count() as u64;
        let traced = || outcome.traced.iter().filter(|traced| traced.at <= until && ours(traced));
        let raised: BTreeSet<AlertId> = traced().filter_map(raised).collect();
        for draft in &outcome.drafts {
            let Draft::Fired(fired) = draft else { continue };
            if !fired.held_by.is_empty() {
                self.held.insert(fired.id, fired.held_by.clone());
            }
            if raised.contains(&fired.id) {
                self.fired.insert(fired.id, (fired.at, fired.finding.clone()));
            }
        }
        self.traced.extend(traced().cloned());
    }

    fn has_records(&self) -> bool {
        !self.hits.is_empty() || !self.others.is_empty()
    }

    /// The group's last records, and between them the firings that the rule heard of.
    fn all_told(&self) -> BTreeMap<Order, Told<'_>> {
        let tip = self.tip.iter().map(|(order, looked)| (order, looked));
        let records = self.hits.iter().chain(&self.others).chain(tip);
        let mut told: BTreeMap<Order, Told<'_>> =
            records.map(|(order, looked)| (*order, Told::Record(looked))).collect();
        let heard = self.traced.iter().rev().filter_map(|traced| match traced.step {
            Step::Heard(number) => Some(((traced.at, Phase::Start, traced.id), Told::Firing(number))),
            Step::Decided(_)
            | Step::GroupFieldMissing
            | Step::ValueMissing
            | Step::Excepted(_)
            | Step::TooLate
            | Step::Evicted
            | Step::Answered(_) => None,
        });
        told.extend(heard.take(MAX_THEN));
        told
    }

    /// The step that raised an alert, and when that fired.
    fn fired_at(&self, traced: &Traced) -> Option<Timestamp> {
        raised(traced).and_then(|alert| self.fired.get(&alert)).map(|(at, _)| *at)
    }

    /// What fired, if that is asked about: the alert that is meant, or what fired at that very time; where nothing
    /// is told of the group, what fired last, as of somebody whom only the rule's list names.
    fn firing(&self, nothing_told: bool) -> Option<&Traced> {
        let fired = || self.traced.iter().rev().filter(|traced| self.fired_at(traced).is_some());
        let is_meant = |traced: &&Traced| match self.asked.alert {
            Some((meant, _)) => raised(traced) == Some(meant),
            None => self.fired_at(traced) == Some(self.asked.at),
        };
        fired().find(is_meant).or_else(|| fired().next().filter(|_| nothing_told))
    }

    /// Tells of what fired, of a record of that time or of none that is told: when, what was asked, what was found.
    fn tell_firing(&self, explanation: &mut Explanation, traced: &Traced, of: Option<Timestamp>) {
        let Some((at, found)) = raised(traced).and_then(|alert| self.fired.get(&alert)) else { return };
        explanation.threshold = Some(found.threshold.clone());
        explanation.actual = Some(found.actual.clone());
        explanation.fired_at = Some(*at);
        if of.is_none() {
            let program = &self.generation.programs.list[self.number];
            let (fired, reason, detail) = reason::told(program, &traced.step, &self.held);
            (explanation.fired, explanation.reason) = (fired, reason);
            explanation.detail = dated(detail, traced, *at);
        }
    }

    /// What the rule made of the group at the time asked about.
    pub(super) fn explain(&self, rule: &str) -> Explanation {
        let asked = self.asked.at;
        let program = &self.generation.programs.list[self.number];
        let group = self.key.as_deref().map(|key| program.group(key)).unwrap_or_default().into_iter();
        let mut explanation = Explanation {
            rule: rule.to_owned(),
            group: group.map(|(field, value)| (field.to_string(), value.into())).collect(),
            asked: asked.to_string(),
            fired: false,
            reason: "no_match",
            detail: "no record of this group up to then".to_owned(),
            at: None,
            fired_at: None,
            record: None,
            matched: None,
            threshold: None,
            actual: None,
            before: Vec::new(),
            without_group: None,
            first_of_by: program.by.first().map(|part| part.field.to_string()),
            told: None,
        };
        let judged = |id: RecordId| {
            let told = |traced: &&Traced| {
                traced.id == id && !matches!(traced.step, Step::Answered(_) | Step::Heard(_))
            };
            self.traced.iter().rev().find(told)
        };
        let told = self.all_told();
        let is_judged = |order: &&Order| judged(order.2).is_some();
        let firing = self.firing(told.is_empty());
        // What fired then; what was at that very time, a hit before what is none; else the last hit, else the last.
        let subject = match firing {
            Some(firing) => told.keys().find(|order| order.2 == firing.id),
            None => told
                .keys()
                .filter(|order| order.0 == asked)
                .max_by_key(|order| (is_judged(order), **order))
                .or_else(|| told.keys().rev().find(is_judged))
                .or_else(|| told.keys().next_back()),
        };
        if let Some(firing) = firing {
            self.tell_firing(&mut explanation, firing, None);
        }
        let besides = besides(&told, subject.copied(), explanation.fired);
        for (order, one) in &told {
            let is_subject = Some(order) == subject;
            if !is_subject && !besides.contains(order) {
                continue;
            }
            let matched = match one {
                Told::Record(looked) => {
                    let mut matched = looked.matched.clone();
                    matched.answer(&reason::answers(&self.traced, looked.id));
                    Some(matched)
                }
                Told::Firing(_) => None,
            };
            let judged = firing.filter(|_| is_subject).or_else(|| judged(order.2));
            let (fired, reason, detail) = match (judged, &matched) {
                (Some(traced), _) => reason::told(program, &traced.step, &self.held),
                (None, Some(matched)) => (false, "no_match", reason::no_match(matched)),
                (None, None) => (false, "late", "it is still ahead of the watermark".to_owned()),
            };
            let detail = match judged.zip(judged.and_then(|judged| self.fired_at(judged))) {
                Some((traced, at)) if at != order.0 => dated(detail, traced, at),
                Some(_) | None => detail,
            };
            let detail = match one {
                Told::Record(_) => detail,
                Told::Firing(number) => {
                    let rule = self.generation.programs.list[*number].rule.id();
                    format!("`{rule}` fired: {detail}")
                }
            };
            if is_subject {
                if let Some(judged) = judged {
                    self.tell_firing(&mut explanation, judged, Some(order.0));
                }
                (explanation.fired, explanation.reason, explanation.detail) = (fired, reason, detail);
                explanation.at = Some(order.0.to_string());
                explanation.record = matched.is_some().then(|| order.2.to_string());
                explanation.matched = matched;
            } else {
                explanation.before.push(Before { at: order.0.to_string(), reason, detail });
            }
        }
        let last_hit = firing.and_then(|firing| self.fired_at(firing)).or(subject.map(|order| order.0));
        let last_hit = last_hit.unwrap_or(Timestamp::MIN);
        let evicted = |traced: &&Traced| traced.step == Step::Evicted && traced.at >= last_hit;
        if let Some(traced) = self.traced.iter().find(evicted) {
            explanation.fired = false;
            explanation.reason = "evicted";
            explanation.detail = format!("the rule had too many groups at {} and let this one go", traced.at);
        }
        let others = Some(self.without_group).filter(|many| *many > 0);
        explanation.without_group = others.filter(|_| self.key.is_some() && !explanation.fired);
        explanation
    }
}

/// What of all that is told besides `subject`: what came before it where it fired, of what counts; else the
/// last ones, and the last hit.
fn besides(told: &BTreeMap<Order, Told<'_>>, subject: Option<Order>, fired: bool) -> BTreeSet<Order> {
    let others = || told.keys().rev().copied().filter(|order| Some(*order) != subject);
    let is_hit = |order: &Order| match told.get(order) {
        Some(Told::Record(looked)) => looked.matched.held,
        Some(Told::Firing(_)) => true,
        None => false,
    };
    if fired {
        let before = |order: &Order| subject.is_none_or(|subject| *order < subject);
        return others().filter(|order| is_hit(order) && before(order)).take(TOLD_BEFORE).collect();
    }
    let mut besides: BTreeSet<Order> = others().take(TOLD_BEFORE).collect();
    if !besides.iter().any(is_hit)
        && !subject.as_ref().is_some_and(is_hit)
        && let Some(hit) = others().find(is_hit)
    {
        besides.pop_first();
        besides.insert(hit);
    }
    besides
}

/// The alert that a step raised.
fn raised(traced: &Traced) -> Option<AlertId> {
    match traced.step {
        Step::Decided(Decision::Fired { id, .. }) => Some(id),
        Step::Decided(
            Decision::Cooldown { .. } | Decision::Cleared | Decision::Late | Decision::Short(_),
        )
        | Step::Heard(_)
        | Step::GroupFieldMissing
        | Step::ValueMissing
        | Step::Excepted(_)
        | Step::TooLate
        | Step::Evicted
        | Step::Answered(_) => None,
    }
}

/// `detail` of a step that raised an alert, with when that fired.
fn dated(detail: String, step: &Traced, at: Timestamp) -> String {
    match raised(step).map(|alert| alert.to_string()) {
        Some(alert) => detail.replacen(&alert, &format!("{alert} at {at}"), 1),
        None => detail,
    }
}
