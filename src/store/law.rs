//! The law of stores: whatever is asked of one, in whatever order, closed and opened again between
//! any two commits, it answers and tells what the model does.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::model::Model;
use super::suite::{alert, all_told, delivery, lane, quarantined, receiver, wait};
use super::{Change, Checkpoint, Cursor, Entry, Event, Fence, Store, StoreError, Watermark};
use crate::alert::{Alert, AlertId, State};
use crate::engine::SourceId;
use crate::record::{Level, Millis, Timestamp};
use crate::route::{
    Body, Delivery, DeliveryId, Digest, Group, ReceiverName, Silence, SilenceId, Standing, Terms,
};

/// One of them is hostile.
const TENANTS: [&str; 2] = ["default", "b\0' --"];
const RECEIVERS: [&str; 2] = ["slack", "mail"];

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Step {
    /// Takes the tenant of this number over.
    Fence(usize),
    /// Commits under a tenant's newest fence, or under the one before.
    Commit { tenant: usize, stale: bool, changes: Vec<Draft> },
    /// Closes the store and opens it again.
    Reopen,
}

/// A change before it is known which number the journal has come to.
#[derive(Debug, Clone)]
enum Draft {
    /// An entry so many numbers off the next one.
    Entry {
        off: i64,
        event: Event,
    },
    Change(Change),
}

fn step() -> impl Strategy<Value = Step> {
    let tenant = || 0..TENANTS.len();
    prop_oneof![
        1 => tenant().prop_map(Step::Fence),
        1 => Just(Step::Reopen),
        8 => (tenant(), prop::bool::weighted(0.05)).prop_flat_map(|(tenant, stale)| {
            vec(draft(tenant), 0..8).prop_map(move |changes| Step::Commit { tenant, stale, changes })
        }),
    ]
}

fn draft(tenant: usize) -> impl Strategy<Value = Draft> {
    let entry = (prop_oneof![30 => Just(0_i64), 1 => -2..3_i64], event());
    prop_oneof![
        3 => entry.prop_map(|(off, event)| Draft::Entry { off, event }),
        9 => change(tenant).prop_map(Draft::Change),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let watermark =
        (time(), time()).prop_map(|(start, end)| Watermark { start: Timestamp(start), end: Timestamp(end) });
    let rows = (0..3_u16, ".{0,20}", vec((any::<u32>(), any::<u32>()), 0..2), option::of(watermark));
    prop_oneof![
        "[a-f]{2}".prop_map(|digest| Event::Generation { digest }),
        (0..3_u16, "[a-c]").prop_map(|(id, name)| Event::Known(lane(id, &name))),
        (0..3_u16, "[a-c]").prop_map(|(id, name)| Event::Joined(lane(id, &name))),
        (1..9_u64).prop_map(|from| Event::Adopted { rules: vec!["loud".parse().unwrap()], from }),
        (0..3_u16).prop_map(|id| Event::Left { lane: SourceId(id) }),
        (0..3_u16).prop_map(|id| Event::Gone { lane: SourceId(id) }),
        rows.prop_map(|(lane, rows, twins, watermark)| {
            Event::Read { lane: SourceId(lane), rows, twins, watermark }
        }),
    ]
}

fn time() -> std::ops::Range<i64> {
    0..20
}

/// The tenant itself, or, seldom, the other one.
fn owner(tenant: usize) -> impl Strategy<Value = Arc<str>> {
    prop_oneof![60 => Just(tenant), 1 => Just(1 - tenant)].prop_map(|number| TENANTS[number].into())
}

fn change(tenant: usize) -> impl Strategy<Value = Change> {
    let timestamp = || time().prop_map(Timestamp);
    let id = move || (0..4_u8).prop_map(move |id| delivery_id(tenant, id));
    let checkpoint =
        (0..12_u64, "[gh]", vec(any::<u8>(), 0..3), any::<bool>(), vec(vec(any::<u8>(), 0..9), 0..3));
    let acknowledged = (0..3_u8, "[ab]", timestamp());
    let tried = (id(), 1..4_u32, timestamp(), option::of("[a-z]"));
    let of_journal = prop_oneof![
        ("[a-c]", ".{0,9}").prop_map(|(digest, text)| Change::Text { digest, text }),
        (0..3_u16, ".{0,9}").prop_map(|(lane, place)| Change::Cursor(Cursor { lane: SourceId(lane), place })),
        checkpoint.prop_map(|(seq, generation, head, whole, pieces)| {
            Change::Checkpoint(Checkpoint { seq, generation, head, whole, pieces })
        }),
        (0..9_usize).prop_map(|number| Change::Quarantined(quarantined(number))),
        ("[ab]", any::<u64>()).prop_map(|(name, by)| Change::Count { name, by }),
        (0..12_u64, timestamp()).prop_map(|(seq, before)| Change::Forget { seq, before }),
    ];
    let of_alerts = prop_oneof![
        3 => revision(tenant).prop_map(|alert| Change::Alert(Box::new(alert))),
        1 => acknowledged.prop_map(|(id, by, at)| Change::Acknowledged { alert: AlertId([id; 16]), by, at }),
    ];
    let of_deliveries = prop_oneof![
        3 => message(tenant).prop_map(|delivery| Change::Owed(Box::new(delivery))),
        1 => message(tenant).prop_map(|delivery| Change::Delivery(Box::new(delivery))),
        1 => tried.prop_map(|(delivery, number, at, outcome)| Change::Tried { delivery, number, at, outcome }),
        1 => (0..4_u8, "[a-z]{0,3}").prop_map(move |(id, mark)| Change::Marked { delivery: delivery_id(tenant, id), mark }),
        1 => silence(tenant).prop_map(Change::Silence),
        1 => (0..2_u8, timestamp()).prop_map(|(id, at)| Change::Unsilence { id: SilenceId([id; 8]), at }),
    ];
    prop_oneof![of_journal, of_alerts, of_deliveries]
}

/// Every term at once.
fn terms(seed: u32) -> Terms {
    Terms {
        group: Some(Group { key: format!("{:016x}", seed % 2), interval: Millis::mins(5) }),
        repeat: Some(Millis(i64::from(seed) + 1)),
        again: true,
        unless: vec![DeliveryId([1; 16]), DeliveryId([2; 16])],
        after: Millis(i64::from(seed)),
    }
}

fn delivery_id(tenant: usize, id: u8) -> DeliveryId {
    DeliveryId([u8::try_from(tenant).unwrap() * 16 + id; 16])
}

fn revision(tenant: usize) -> impl Strategy<Value = Alert> {
    let states = [State::Open, State::Updated, State::Closed, State::Acknowledged, State::Resolved];
    let rule = select(&["loud", "quiet"][..]).prop_map(|rule| rule.parse().unwrap());
    (0..3_u8, 1..4_u32, select(states.to_vec()), time(), select(Level::ALL.to_vec()), rule, owner(tenant))
        .prop_map(|(id, revision, state, at, level, rule, tenant)| Alert {
            rule,
            tenant,
            level,
            ..alert(id, revision, state, at)
        })
}

fn message(tenant: usize) -> impl Strategy<Value = Delivery> {
    let reason = || "[a-z]{0,3}";
    let at = || time().prop_map(Timestamp);
    let standing = prop_oneof![
        4 => Just(Standing::Waiting),
        1 => at().prop_map(|until| Standing::Sending { until }),
        1 => at().prop_map(|at| Standing::Delivered { at }),
        1 => (at(), reason()).prop_map(|(at, reason)| Standing::Dead { at, reason }),
        1 => (at(), reason()).prop_map(|(at, reason)| Standing::Discarded { at, reason }),
        1 => (0..4_u8).prop_map(move |id| Standing::Folded { into: delivery_id(tenant, id) }),
    ];
    let body = prop_oneof![
        3 => (0..3_u8, 1..4_u32).prop_map(|(id, revision)| Body::Alert { id: AlertId([id; 16]), revision }),
        1 => (any::<u64>(), ".{0,9}").prop_map(|(count, because)| {
            let (from, to) = (Timestamp(1), Timestamp(2));
            let (lines, groups) = (Vec::new(), vec![(because.clone(), count)]);
            Body::Digest(Box::new(Digest { count, repeated: 0, lines, others: 0, groups, from, to, titles: Vec::new(), over: 0, because }))
        }),
    ];
    let held_by = option::of((0..2_u8).prop_map(|id| SilenceId([id; 8])));
    let rule = select(&["loud", "quiet"][..]);
    let who = (0..4_u8, select(&RECEIVERS[..]), owner(tenant), select(Level::ALL.to_vec()), rule);
    let rest = (time(), time(), any::<u32>(), any::<i64>(), any::<bool>(), option::of(reason()));
    (who, body, standing, held_by, rest).prop_map(move |(who, body, standing, held_by, rest)| {
        let ((id, to, whose, level, rule), (created, due, tries, waited, plain, last_reason)) = (who, rest);
        Delivery {
            id: delivery_id(tenant, id),
            tenant: whose,
            rule: rule.parse().unwrap(),
            level,
            body,
            created: Timestamp(created),
            tries,
            waited: Millis(waited),
            plain,
            held_by,
            last_reason,
            terms: if plain { terms(tries) } else { Terms::default() },
            standing,
            ..delivery(id, to, due)
        }
    })
}

fn silence(tenant: usize) -> impl Strategy<Value = Silence> {
    (0..2_u8, time(), ".{0,3}", owner(tenant)).prop_map(|(id, until, because, tenant)| Silence {
        id: SilenceId([id; 8]),
        tenant,
        matches: vec![(because.clone(), because.clone())],
        from: Timestamp(0),
        until: Timestamp(until),
        by: String::new(),
        because,
    })
}

/// Gives entries their numbers: those that follow what the model holds.
fn numbered(model: &Model, tenant: &str, drafts: &[Draft]) -> Vec<Change> {
    let mut next = wait(model.span(tenant.into())).unwrap().map_or(1, |(_, last)| last + 1);
    let number = |draft: &Draft| match draft {
        Draft::Change(change) => change.clone(),
        Draft::Entry { off, event } => {
            let seq = next.saturating_add_signed(*off);
            next += 1;
            Change::Journal(Entry { seq, at: Timestamp(off.saturating_mul(7)), event: event.clone() })
        }
    };
    drafts.iter().map(number).collect()
}

/// Runs the law against the stores that `open` opens in places that `fresh` makes.
pub(crate) fn behaves_as_the_model<P>(fresh: impl Fn() -> P, open: impl Fn(&P) -> Box<dyn Store>) {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let law = TestRunner::new(config).run(&vec(step(), 1..14), |steps| {
        let (place, model) = (fresh(), Model::default());
        let mut store = Some(open(&place));
        let names: Vec<Arc<str>> = TENANTS.iter().map(|&name| name.into()).collect();
        let receivers: Vec<ReceiverName> = RECEIVERS.iter().map(|&name| receiver(name)).collect();
        let mut epochs = [1_u64; TENANTS.len()];
        for name in &names {
            wait(store.as_ref().unwrap().fence(Arc::clone(name))).unwrap();
            wait(model.fence(Arc::clone(name))).unwrap();
        }
        for step in steps {
            let ours = store.take().unwrap();
            store = Some(match step {
                Step::Reopen => {
                    drop(ours);
                    open(&place)
                }
                Step::Fence(number) => {
                    let fences = [
                        wait(ours.fence(Arc::clone(&names[number]))).unwrap(),
                        wait(model.fence(Arc::clone(&names[number]))).unwrap(),
                    ];
                    prop_assert_eq!(&fences[0], &fences[1]);
                    epochs[number] = fences[0].epoch;
                    ours
                }
                Step::Commit { tenant, stale, changes } => {
                    let epoch = epochs[tenant] - u64::from(stale);
                    let fence = Fence { tenant: Arc::clone(&names[tenant]), epoch };
                    let changes = numbered(&model, TENANTS[tenant], &changes);
                    let expected = wait(model.commit(fence.clone(), changes.clone()));
                    let result = wait(ours.commit(fence, changes));
                    let kind = |result: &Result<(), StoreError>| {
                        result.as_ref().err().map(std::mem::discriminant::<StoreError>)
                    };
                    prop_assert_eq!(kind(&result), kind(&expected), "{:?}, not {:?}", &result, &expected);
                    ours
                }
            });
            let told = all_told(&**store.as_ref().unwrap(), &names, &receivers);
            prop_assert_eq!(told, all_told(&model, &names, &receivers));
        }
        Ok(())
    });
    if let Err(error) = law {
        panic!("{error}");
    }
}
