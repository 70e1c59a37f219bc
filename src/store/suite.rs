//! What any store must pass. Each test gets a place of its own, in which a store can be closed and
//! opened again.

use std::sync::Arc;

use serde_json::{Map, json};

use super::{
    AlertQuery, Answer, Change, Checkpoint, Cursor, DeliveryQuery, Entry, Event, Fence, KeptAlert, Lane,
    MAX_QUARANTINED, Quarantined, Sent, Store, StoreError, Try, Watermark,
};
use crate::alert::{Alert, AlertId, Bounds, Evidence, Revision, State};
use crate::engine::SourceId;
use crate::record::scan::{Endpoint, FieldMap, Mapping, Origin};
use crate::record::{FieldName, Level, Millis, Timestamp};
use crate::route::{
    Body, Delivery, DeliveryId, Digest, DigestLine, ReceiverName, Silence, SilenceId, Standing, Terms,
};

/// Opens the store of one place, again and again; the one before is closed by then.
pub(crate) type Place<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// Makes a test of each part of the suite; `$place` gives something to open a store in.
macro_rules! suite {
    ($place:expr) => {
        $crate::store::suite::suite!($place =>
            entries_are_numbered_without_a_gap
            a_commit_makes_all_changes_or_none
            what_was_answered_outlives_the_store
            who_was_fenced_changes_nothing
            tenants_do_not_see_each_other
            another_tenants_alert_delivery_or_silence_is_refused
            the_journal_comes_in_chunks
            lanes_outlive_the_entries_that_name_them
            every_event_comes_back_as_it_was
            checkpoints_of_what_changed_follow_a_whole_one
            forgetting_stops_at_the_checkpoint_and_before_the_last_entry
            what_is_told_or_open_is_not_forgotten
            an_alert_shows_how_it_fired_and_how_it_stands
            a_known_revision_is_nothing
            only_what_is_open_can_be_acknowledged
            alerts_are_found_by_each_of_their_marks
            a_message_is_owed_once_whatever_became_of_it
            what_is_due_comes_in_the_order_it_was_owed
            rules_take_turns_and_no_level_hides_another
            a_message_is_called_what_its_receiver_calls_it
            a_group_was_told_when_its_last_message_was_taken
            a_lease_that_is_over_is_due_again
            a_delivery_that_is_not_there_cannot_be_replaced
            a_try_keeps_its_beginning_and_its_outcome
            limits_see_each_message_once
            who_was_tried_last_is_known_by_its_outcome
            deliveries_are_found_by_each_of_their_marks
            ending_a_silence_frees_what_it_held
            silences_that_are_over_are_not_told
            the_quarantine_is_bounded_and_newest_first
            counters_add_up_and_stop
            a_text_is_kept_once
            hostile_strings_come_back_byte_for_byte
            holdings_count_what_is_there
            an_answer_nobody_awaits_harms_nothing
            many_commits_at_once_stand_or_fall_one_by_one
        );
    };
    ($place:expr => $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let place = $place;
                $crate::store::suite::$name(&|| place.open());
            }
        )*
    };
}
pub(crate) use suite;

/// Waits for an answer.
pub(crate) fn wait<T>(answer: Answer<T>) -> Result<T, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(answer)
}

/// The tenant of most tests.
pub(crate) fn tenant() -> Arc<str> {
    "default".into()
}

pub(crate) fn fence(store: &dyn Store) -> Fence {
    wait(store.fence(tenant())).unwrap()
}

pub(crate) fn commit(store: &dyn Store, fence: &Fence, changes: Vec<Change>) -> Result<(), StoreError> {
    wait(store.commit(fence.clone(), changes))
}

pub(crate) fn read(seq: u64, rows: impl Into<String>) -> Change {
    let event = Event::Read { lane: SourceId(1), rows: rows.into(), twins: vec![(0, 2)], watermark: None };
    Change::Journal(Entry { seq, at: Timestamp(1_000), event })
}

pub(crate) fn alert(id: u8, revision: u32, state: State, at: i64) -> Alert {
    let map = |name: &str, value: serde_json::Value| Map::from_iter([(name.to_owned(), value)]);
    Alert {
        id: AlertId([id; 16]),
        revision,
        state,
        rule: "failure-burst".parse().unwrap(),
        rule_revision: Revision([7; 8]),
        tenant: tenant(),
        level: Level::High,
        title: format!("five failures, told {revision} times"),
        at: Timestamp(at),
        group: map("user", json!("ana")),
        count: 5,
        repeats: u64::from(revision) - 1,
        first_seen: Timestamp(at - 60),
        last_seen: Timestamp(at),
        window: Bounds { from: Timestamp(at - 600), to: Timestamp(at) },
        threshold: map("at_least", json!(5)),
        actual: map("mean", json!(0.1 + 0.2)),
        values: map("share", json!(1.0e-7)),
        show: map("public_ip", json!(["192.0.2.1", null])),
        attack: vec!["T1110".to_owned()],
        tags: Vec::new(),
        late: false,
        standing: false,
        observe: false,
        held_by: Vec::new(),
        released: false,
        notify: Vec::new(),
        why_level: "rule".to_owned(),
        runbook: None,
        evidence: Evidence { first: vec![map("user_name", json!("Ana"))], last: Vec::new() },
        generation: "0".repeat(32),
        versions: std::collections::BTreeMap::new(),
        text_fault: None,
        scope: Map::new(),
    }
}

pub(crate) fn receiver(name: &str) -> ReceiverName {
    name.parse().unwrap()
}

pub(crate) fn delivery(id: u8, to: &str, due: i64) -> Delivery {
    Delivery {
        id: DeliveryId([id; 16]),
        tenant: tenant(),
        receiver: receiver(to),
        rule: "failure-burst".parse().unwrap(),
        level: Level::High,
        body: Body::Alert { id: AlertId([id; 16]), revision: 1 },
        created: Timestamp(due),
        due: Timestamp(due),
        tries: 0,
        waited: Millis(0),
        plain: false,
        held_by: None,
        last_reason: None,
        terms: Terms::default(),
        standing: Standing::Waiting,
    }
}

fn owed(delivery: &Delivery) -> Change {
    Change::Owed(Box::new(delivery.clone()))
}

fn now(delivery: &Delivery, standing: Standing) -> Change {
    Change::Delivery(Box::new(Delivery { standing, ..delivery.clone() }))
}

fn told(alert: Alert) -> Change {
    Change::Alert(Box::new(alert))
}

fn silence(id: u8, until: i64) -> Silence {
    Silence {
        id: SilenceId([id; 8]),
        tenant: tenant(),
        matches: vec![("rule".to_owned(), "failure-burst".to_owned())],
        from: Timestamp(0),
        until: Timestamp(until),
        by: "ana".to_owned(),
        because: "a drill".to_owned(),
    }
}

fn all_alerts() -> AlertQuery {
    AlertQuery { most: usize::MAX, ..AlertQuery::default() }
}

fn all_deliveries() -> DeliveryQuery {
    DeliveryQuery { most: usize::MAX, ..DeliveryQuery::default() }
}

fn ids(deliveries: &[Delivery]) -> Vec<u8> {
    deliveries.iter().map(|delivery| delivery.id.0[0]).collect()
}

fn alert_ids(alerts: &[KeptAlert]) -> Vec<u8> {
    alerts.iter().map(|kept| kept.now.id.0[0]).collect()
}

fn due(store: &dyn Store, to: &str, now: i64) -> Vec<u8> {
    ids(&wait(store.due(receiver(to), Timestamp(now), 100)).unwrap())
}

fn refused(result: &Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::Failed(_))), "{result:?}");
}

pub(crate) fn entries_are_numbered_without_a_gap(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    refused(&commit(&*store, &fence, vec![read(2, "")]));
    refused(&commit(&*store, &fence, vec![read(0, "")]));
    commit(&*store, &fence, vec![read(1, "a\n"), read(2, "b\n")]).unwrap();
    refused(&commit(&*store, &fence, vec![read(2, "")]));
    refused(&commit(&*store, &fence, vec![read(4, "")]));
    refused(&commit(&*store, &fence, vec![read(u64::MAX, "")]));
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((1, 2)));
}

pub(crate) fn a_commit_makes_all_changes_or_none(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let cursor = |place: &str| Change::Cursor(Cursor { lane: SourceId(1), place: place.to_owned() });
    commit(&*store, &fence, vec![read(1, "a\n"), cursor("1")]).unwrap();
    let half = vec![
        read(2, "b\n"),
        cursor("2"),
        told(alert(1, 1, State::Open, 5_000)),
        owed(&delivery(1, "slack", 5)),
        Change::Count { name: "late".to_owned(), by: 1 },
        read(9, "a gap\n"),
    ];
    refused(&commit(&*store, &fence, half));
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((1, 1)));
    assert_eq!(wait(store.cursors(tenant())).unwrap()[0].place, "1");
    assert!(wait(store.alerts(all_alerts())).unwrap().is_empty());
    assert!(wait(store.deliveries(all_deliveries())).unwrap().is_empty());
    assert!(wait(store.counters(tenant())).unwrap().is_empty());
    commit(&*store, &fence, vec![read(2, "b\n")]).unwrap();
}

pub(crate) fn what_was_answered_outlives_the_store(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let checkpoint = Checkpoint { pieces: vec![vec![0, 255, 0], Vec::new()], ..whole(1) };
    let changes = vec![
        read(1, "a\n"),
        Change::Checkpoint(checkpoint.clone()),
        told(alert(1, 1, State::Open, 5_000)),
        owed(&delivery(1, "slack", 5)),
        Change::Silence(silence(1, 50)),
    ];
    commit(&*store, &fence, changes).unwrap();
    drop(store);

    let store = place();
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((1, 1)));
    assert_eq!(wait(store.checkpoint(tenant())).unwrap(), Some(checkpoint));
    assert_eq!(wait(store.alerts(all_alerts())).unwrap()[0].fired, alert(1, 1, State::Open, 5_000));
    assert_eq!(wait(store.deliveries(all_deliveries())).unwrap(), vec![delivery(1, "slack", 5)]);
    assert_eq!(wait(store.silences(Timestamp(49))).unwrap(), vec![silence(1, 50)]);
    // The fence of the life before holds until somebody takes the tenant.
    commit(&*store, &fence, vec![read(2, "b\n")]).unwrap();
}

pub(crate) fn who_was_fenced_changes_nothing(place: Place<'_>) {
    let store = place();
    let old = fence(&*store);
    let new = fence(&*store);
    assert!(new.epoch > old.epoch);
    let result = commit(&*store, &old, vec![read(1, "a\n")]);
    let Err(StoreError::Fenced { tenant: whose, ours, now }) = result else { panic!("{result:?}") };
    assert_eq!((whose, ours, now), (tenant(), old.epoch, new.epoch));
    assert!(commit(&*store, &old, Vec::new()).is_err(), "nothing to change is fenced too");
    assert_eq!(wait(store.span(tenant())).unwrap(), None);
    commit(&*store, &new, vec![read(1, "a\n")]).unwrap();
    let stranger = Fence { tenant: "nobody".into(), epoch: 1 };
    assert!(matches!(commit(&*store, &stranger, Vec::new()), Err(StoreError::Fenced { now: 0, .. })));
}

pub(crate) fn tenants_do_not_see_each_other(place: Place<'_>) {
    let store = place();
    let ours = fence(&*store);
    let theirs = wait(store.fence("other".into())).unwrap();
    commit(&*store, &ours, vec![read(1, "ours\n"), Change::Count { name: "late".to_owned(), by: 1 }])
        .unwrap();
    commit(&*store, &theirs, vec![read(1, "theirs\n")]).unwrap();
    assert!(wait(store.counters("other".into())).unwrap().is_empty());
    let entries = wait(store.journal("other".into(), 0, 1_000)).unwrap();
    assert!(matches!(&entries[..], [Entry { event: Event::Read { rows, .. }, .. }] if rows == "theirs\n"));
    assert_eq!(wait(store.tenants()).unwrap(), vec![tenant(), "other".into()]);
}

pub(crate) fn another_tenants_alert_delivery_or_silence_is_refused(place: Place<'_>) {
    let store = place();
    let theirs = wait(store.fence("other".into())).unwrap();
    refused(&commit(&*store, &theirs, vec![told(alert(1, 1, State::Open, 5_000))]));
    refused(&commit(&*store, &theirs, vec![owed(&delivery(1, "slack", 5))]));
    refused(&commit(&*store, &theirs, vec![Change::Silence(silence(1, 50))]));
    assert!(wait(store.alerts(all_alerts())).unwrap().is_empty());
}

pub(crate) fn the_journal_comes_in_chunks(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let rows = |seq: u64| format!("{seq}{}\n", "x".repeat(10_000));
    let changes = (1..=9).map(|seq| read(seq, rows(seq))).collect();
    commit(&*store, &fence, changes).unwrap();
    let seqs = |after: u64, bytes: usize| {
        let entries = wait(store.journal(tenant(), after, bytes)).unwrap();
        entries.into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 35_000), [1, 2, 3]);
    assert_eq!(seqs(3, 25_000), [4, 5]);
    assert_eq!(seqs(5, 0), [6], "one at least");
    assert_eq!(seqs(8, usize::MAX), [9]);
    assert!(seqs(9, usize::MAX).is_empty());
    assert!(seqs(u64::MAX, usize::MAX).is_empty());
    let entries = wait(store.entries(tenant(), vec![7, 2, 99, 2, u64::MAX])).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 7]);
}

pub(crate) fn lane(id: u16, name: &str) -> Lane {
    let origin = Origin::huawei("cn-north-4", "0a1b", Endpoint::DesktopLogins);
    Lane { id: SourceId(id), name: name.to_owned(), origin }
}

pub(crate) fn lanes_outlive_the_entries_that_name_them(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let event = |seq: u64, event: Event| Change::Journal(Entry { seq, at: Timestamp(1), event });
    let changes = vec![
        event(1, Event::Joined(lane(2, "prod/two"))),
        event(2, Event::Joined(lane(1, "prod/one"))),
        event(3, Event::Left { lane: SourceId(2) }),
        event(4, Event::Joined(lane(1, "prod/renamed"))),
        event(5, Event::Known(lane(3, "prod/three"))),
        read(6, ""),
        Change::Checkpoint(whole(6)),
    ];
    commit(&*store, &fence, changes).unwrap();
    commit(&*store, &fence, vec![Change::Forget { seq: 5, before: Timestamp(0) }]).unwrap();
    let lanes = vec![lane(1, "prod/renamed"), lane(2, "prod/two"), lane(3, "prod/three")];
    assert_eq!(wait(store.lanes(tenant())).unwrap(), lanes);
}

pub(crate) fn every_event_comes_back_as_it_was(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let field = |name: &str, key: &str, values: Vec<(String, String)>| FieldMap {
        field: FieldName::declared(name),
        key: key.to_owned(),
        values,
    };
    let words = vec![("ok".to_owned(), "success".to_owned())];
    let fields = vec![field("outcome", "a.b", words), field("user_name", "who", Vec::new())];
    let mapping = Mapping { fields, time: None };
    let watermark = Some(Watermark { start: Timestamp(i64::MIN), end: Timestamp(i64::MAX) });
    let events = [
        Event::Generation { digest: "ab".repeat(16) },
        Event::Joined(lane(65_535, "prod/desktop_logins")),
        Event::Joined(Lane { id: SourceId(0), name: String::new(), origin: Origin::file(mapping) }),
        Event::Known(lane(7, "prod/app_logins")),
        Event::Adopted { rules: vec!["quiet".parse().unwrap()], from: 3 },
        Event::Left { lane: SourceId(3) },
        Event::Read {
            lane: SourceId(3),
            rows: "{}\n".to_owned(),
            twins: vec![(0, 1), (u32::MAX, 2)],
            watermark,
        },
        Event::Read { lane: SourceId(3), rows: String::new(), twins: Vec::new(), watermark: None },
    ];
    let entries: Vec<Entry> =
        (1..).zip(events).map(|(seq, event)| Entry { seq, at: Timestamp(-5), event }).collect();
    commit(&*store, &fence, entries.iter().cloned().map(Change::Journal).collect()).unwrap();
    assert_eq!(wait(store.journal(tenant(), 0, usize::MAX)).unwrap(), entries);
}

pub(crate) fn checkpoints_of_what_changed_follow_a_whole_one(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let pieces = |bytes: &[u8]| bytes.iter().map(|byte| vec![*byte]).collect::<Vec<_>>();
    let keep = |seq: u64, whole: bool, bytes: &[u8]| {
        let (generation, head) = ("g".to_owned(), bytes.to_vec());
        let checkpoint = Checkpoint { seq, generation, head, whole, pieces: pieces(bytes) };
        commit(&*store, &fence, vec![Change::Checkpoint(checkpoint)])
    };
    let holds = |store: &dyn Store| {
        let Checkpoint { seq, head, whole, pieces, .. } = wait(store.checkpoint(tenant())).unwrap().unwrap();
        assert!(whole);
        (seq, head, pieces.concat())
    };
    refused(&keep(1, false, &[1]));
    assert_eq!(wait(store.checkpoint(tenant())).unwrap(), None);
    keep(1, true, &[1, 2]).unwrap();
    keep(2, false, &[3]).unwrap();
    keep(2, false, &[]).unwrap();
    keep(4, false, &[4, 5]).unwrap();
    let other = Checkpoint { generation: "h".to_owned(), whole: false, ..whole(5) };
    refused(&commit(&*store, &fence, vec![Change::Checkpoint(other)]));
    refused(&keep(3, false, &[6]));
    assert_eq!(holds(&*store), (4, vec![4, 5], vec![1, 2, 3, 4, 5]));
    drop(store);
    let store = place();
    assert_eq!(holds(&*store), (4, vec![4, 5], vec![1, 2, 3, 4, 5]));
    commit(&*store, &fence, vec![Change::Checkpoint(Checkpoint { pieces: pieces(&[7]), ..whole(5) })])
        .unwrap();
    assert_eq!(holds(&*store), (5, Vec::new(), vec![7]));
}

/// A checkpoint that holds nothing.
pub(crate) fn whole(seq: u64) -> Checkpoint {
    Checkpoint { seq, generation: "g".to_owned(), head: Vec::new(), whole: true, pieces: Vec::new() }
}

pub(crate) fn forgetting_stops_at_the_checkpoint_and_before_the_last_entry(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let forget =
        |seq: u64| commit(&*store, &fence, vec![Change::Forget { seq, before: Timestamp(0) }]).unwrap();
    let checkpoint = |seq: u64| commit(&*store, &fence, vec![Change::Checkpoint(whole(seq))]).unwrap();
    commit(&*store, &fence, (1..=6).map(|seq| read(seq, "a\n")).collect()).unwrap();
    forget(6);
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((1, 6)), "there is no checkpoint");
    checkpoint(4);
    forget(2);
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((3, 6)));
    forget(u64::MAX);
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((5, 6)));
    checkpoint(6);
    forget(u64::MAX);
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((6, 6)));
    commit(&*store, &fence, vec![read(7, "a\n")]).unwrap();
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((6, 7)));
    assert_eq!(wait(store.holdings()).unwrap().entries, 2);
}

pub(crate) fn what_is_told_or_open_is_not_forgotten(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let mut changes = Vec::new();
    // 1 is open, 2 closed, 3 closed too late, 4 closed with a message that waits, 5 resolved and told.
    for (id, state, at) in [
        (1, State::Open, 1_000),
        (2, State::Closed, 1_000),
        (3, State::Closed, 9_000),
        (4, State::Closed, 1_000),
        (5, State::Resolved, 1_000),
    ] {
        changes.push(told(alert(id, 1, State::Open, at - 1)));
        if state != State::Open {
            changes.push(told(alert(id, 2, state, at)));
        }
    }
    let delivered = |at: i64| Standing::Delivered { at: Timestamp(at) };
    for (id, standing) in [
        (4, Standing::Waiting),
        (5, delivered(1_000)),
        (6, delivered(9_000)),
        (7, Standing::Dead { at: Timestamp(1_000), reason: "refused".to_owned() }),
        (8, Standing::Folded { into: DeliveryId([4; 16]) }),
        (9, Standing::Sending { until: Timestamp(1_000) }),
    ] {
        let owing = delivery(id, "slack", 1_000);
        let tried = Change::Tried { delivery: owing.id, number: 1, at: Timestamp(5), outcome: None };
        changes.extend([owed(&owing), tried, now(&owing, standing)]);
    }
    changes.extend([Change::Silence(silence(1, 4_999)), Change::Silence(silence(2, 5_000))]);
    commit(&*store, &fence, changes).unwrap();
    commit(&*store, &fence, vec![Change::Forget { seq: 0, before: Timestamp(5_000) }]).unwrap();
    let mut alerts = alert_ids(&wait(store.alerts(all_alerts())).unwrap());
    alerts.sort_unstable();
    assert_eq!(alerts, [1, 3, 4]);
    assert!(wait(store.revisions(tenant(), AlertId([2; 16]))).unwrap().is_empty());
    assert_eq!(ids(&wait(store.deliveries(all_deliveries())).unwrap()), [4, 6, 9]);
    assert!(wait(store.tries(DeliveryId([5; 16]))).unwrap().is_empty());
    assert_eq!(wait(store.silences(Timestamp(0))).unwrap(), vec![silence(2, 5_000)]);
}

pub(crate) fn an_alert_shows_how_it_fired_and_how_it_stands(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let first = alert(1, 1, State::Open, 1_000);
    let second = Alert { level: Level::Critical, ..alert(1, 2, State::Updated, 2_000) };
    let third = alert(1, 3, State::Closed, 3_000);
    commit(&*store, &fence, vec![told(first.clone()), told(second.clone())]).unwrap();
    let kept = wait(store.alerts(all_alerts())).unwrap();
    assert_eq!(kept, vec![KeptAlert { fired: first.clone(), now: second.clone(), acknowledged: None }]);
    commit(&*store, &fence, vec![told(third.clone())]).unwrap();
    let kept = wait(store.alerts(all_alerts())).unwrap();
    assert_eq!(kept, vec![KeptAlert { fired: first.clone(), now: third.clone(), acknowledged: None }]);
    assert_eq!(wait(store.revisions(tenant(), first.id)).unwrap(), vec![first, second, third]);
}

pub(crate) fn a_known_revision_is_nothing(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let first = alert(1, 1, State::Open, 1_000);
    let closed = alert(1, 2, State::Closed, 2_000);
    commit(&*store, &fence, vec![told(first.clone()), told(closed.clone())]).unwrap();
    let again = Alert { title: "another text".to_owned(), level: Level::Low, ..first.clone() };
    commit(&*store, &fence, vec![told(again)]).unwrap();
    let kept = wait(store.alerts(all_alerts())).unwrap();
    assert_eq!(kept, vec![KeptAlert { fired: first, now: closed, acknowledged: None }]);
}

pub(crate) fn only_what_is_open_can_be_acknowledged(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let take = |id: u8, by: &str| {
        let (alert, by) = (AlertId([id; 16]), by.to_owned());
        commit(&*store, &fence, vec![Change::Acknowledged { alert, by, at: Timestamp(77) }]).unwrap();
    };
    let stands = |id: u8| {
        let query = AlertQuery { id: Some(AlertId([id; 16]).to_string()), ..all_alerts() };
        let kept = wait(store.alerts(query)).unwrap().remove(0);
        (kept.now.state, kept.acknowledged.map(|(by, at)| (by, at.0)))
    };
    let changes = vec![
        told(alert(1, 1, State::Open, 1_000)),
        told(alert(2, 1, State::Open, 1_000)),
        told(alert(2, 2, State::Closed, 2_000)),
    ];
    commit(&*store, &fence, changes).unwrap();
    let ana = || Some(("ana".to_owned(), 77));
    take(1, "ana");
    take(2, "ana");
    take(9, "ana");
    assert_eq!(stands(1), (State::Acknowledged, ana()));
    assert_eq!(stands(2), (State::Closed, None));
    take(1, "bob");
    commit(&*store, &fence, vec![told(alert(1, 2, State::Updated, 3_000))]).unwrap();
    assert_eq!(stands(1), (State::Acknowledged, ana()), "who took it first has it");
    commit(&*store, &fence, vec![told(alert(1, 3, State::Resolved, 4_000))]).unwrap();
    assert_eq!(stands(1), (State::Resolved, ana()));
}

pub(crate) fn alerts_are_found_by_each_of_their_marks(place: Place<'_>) {
    let store = place();
    let ours = fence(&*store);
    let theirs = wait(store.fence("other".into())).unwrap();
    let quiet =
        Alert { level: Level::Low, rule: "quiet".parse().unwrap(), ..alert(0x1a, 1, State::Open, 2_000) };
    let foreign = Alert { tenant: "other".into(), ..alert(0x1b, 1, State::Open, 3_000) };
    let changes = vec![
        told(alert(0x2a, 1, State::Open, 1_000)),
        told(quiet),
        told(alert(0x2a, 2, State::Updated, 9_000)),
    ];
    commit(&*store, &ours, changes).unwrap();
    commit(&*store, &theirs, vec![told(foreign)]).unwrap();
    let found = |query: AlertQuery| alert_ids(&wait(store.alerts(query)).unwrap());
    let id = |prefix: &str| AlertQuery { id: Some(prefix.to_owned()), ..all_alerts() };
    assert_eq!(found(all_alerts()), [0x1b, 0x1a, 0x2a], "newest firing first");
    assert_eq!(found(AlertQuery { most: 1, ..all_alerts() }), [0x1b]);
    assert_eq!(found(AlertQuery { tenant: Some(tenant()), ..all_alerts() }), [0x1a, 0x2a]);
    assert_eq!(found(id("1")), [0x1b, 0x1a]);
    assert_eq!(found(id("1A1")), [0x1a]);
    assert_eq!(found(id(&AlertId([0x2a; 16]).to_string())), [0x2a]);
    assert!(found(id("_")).is_empty());
    assert!(found(id("' OR 1=1 --")).is_empty());
    assert_eq!(found(AlertQuery { rule: Some("quiet".parse().unwrap()), ..all_alerts() }), [0x1a]);
    assert_eq!(found(AlertQuery { level: Some(Level::Medium), ..all_alerts() }), [0x1b, 0x2a]);
    assert_eq!(found(AlertQuery { since: Some(Timestamp(2_000)), ..all_alerts() }), [0x1b, 0x1a]);
    assert_eq!(found(AlertQuery { states: vec![State::Updated, State::Closed], ..all_alerts() }), [0x2a]);
    let open = AlertQuery { states: vec![State::Open], tenant: Some(tenant()), ..all_alerts() };
    assert_eq!(found(open), [0x1a]);
}

pub(crate) fn a_message_is_owed_once_whatever_became_of_it(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let owing = delivery(1, "slack", 5);
    commit(&*store, &fence, vec![owed(&owing)]).unwrap();
    let done = Standing::Delivered { at: Timestamp(9) };
    commit(&*store, &fence, vec![now(&owing, done.clone())]).unwrap();
    commit(&*store, &fence, vec![owed(&owing), owed(&Delivery { tries: 9, ..owing.clone() })]).unwrap();
    let kept = wait(store.deliveries(all_deliveries())).unwrap();
    assert_eq!(kept, vec![Delivery { standing: done, ..owing }]);
    assert!(due(&*store, "slack", i64::MAX).is_empty());
}

pub(crate) fn what_is_due_comes_in_the_order_it_was_owed(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let next = |to: &str| wait(store.next_due(receiver(to))).unwrap().map(|at| at.0);
    assert_eq!(next("slack"), None);
    let (a, b, c) = (delivery(3, "slack", 30), delivery(1, "slack", 10), delivery(2, "slack", 20));
    let elsewhere = delivery(4, "mail", 1);
    commit(&*store, &fence, [&a, &b, &c, &elsewhere].map(owed).into()).unwrap();
    assert_eq!(due(&*store, "slack", 9), [0; 0]);
    assert_eq!(due(&*store, "slack", 20), [1, 2]);
    assert_eq!(due(&*store, "slack", 30), [3, 1, 2]);
    assert_eq!(ids(&wait(store.due(receiver("slack"), Timestamp(30), 2)).unwrap()), [3, 1]);
    assert_eq!((next("slack"), next("mail"), next("other")), (Some(10), Some(1), None));
    let later = Delivery { due: Timestamp(50), tries: 1, ..a };
    let changes = vec![Change::Delivery(Box::new(later)), now(&b, Standing::Delivered { at: Timestamp(30) })];
    commit(&*store, &fence, changes).unwrap();
    assert_eq!(due(&*store, "slack", 49), [2]);
    assert_eq!(due(&*store, "slack", 50), [3, 2], "it keeps its place");
    let grave = Delivery { level: Level::Critical, ..delivery(5, "slack", 40) };
    commit(&*store, &fence, vec![owed(&grave)]).unwrap();
    assert_eq!(due(&*store, "slack", 50), [5, 3, 2], "the gravest first");
}

pub(crate) fn rules_take_turns_and_no_level_hides_another(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let of = |id: u8, rule: &str, level| Delivery {
        rule: rule.parse().unwrap(),
        level,
        ..delivery(id, "slack", 1)
    };
    let noisy = (0..100).map(|id| owed(&of(id, "noisy", Level::High)));
    commit(&*store, &fence, noisy.collect()).unwrap();
    let quiet = (100..103).map(|id| owed(&of(id, "quiet", Level::High)));
    commit(&*store, &fence, quiet.collect()).unwrap();
    assert_eq!(due(&*store, "slack", 1)[..7], [0, 100, 1, 101, 2, 102, 3]);
    let done = Standing::Delivered { at: Timestamp(2) };
    let settled = (0..50).map(|id| now(&of(id, "noisy", Level::High), done.clone()));
    let quiet = (100..103).map(|id| now(&of(id, "quiet", Level::High), done.clone()));
    commit(&*store, &fence, settled.chain(quiet).collect()).unwrap();
    commit(&*store, &fence, vec![owed(&of(103, "quiet", Level::High))]).unwrap();
    assert_eq!(due(&*store, "slack", 1)[..3], [50, 103, 51], "who comes anew has the next turn, and no more");
    let grave = (110..210).map(|id| owed(&of(id, "noisy", Level::Critical)));
    commit(&*store, &fence, grave.collect()).unwrap();
    let taken = due(&*store, "slack", 1);
    assert_eq!((taken.len(), &taken[..2], &taken[60..63]), (70, &[110, 111][..], &[50, 103, 51][..]));
}

pub(crate) fn a_message_is_called_what_its_receiver_calls_it(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let of = |id: u8, revision| Delivery {
        body: Body::Alert { id: AlertId([9; 16]), revision },
        ..delivery(id, "slack", 1)
    };
    let mark = |id: u8, mark: &str| Change::Marked { delivery: DeliveryId([id; 16]), mark: mark.to_owned() };
    let called = || wait(store.mark(tenant(), receiver("slack"), AlertId([9; 16]))).unwrap();
    refused(&commit(&*store, &fence, vec![mark(1, "C1 1.0")]));
    commit(&*store, &fence, vec![owed(&of(1, 1)), owed(&of(2, 2))]).unwrap();
    assert_eq!(called(), None);
    commit(&*store, &fence, vec![mark(1, "C1 1.0")]).unwrap();
    assert_eq!(called().as_deref(), Some("C1 1.0"));
    commit(&*store, &fence, vec![mark(2, "C1 2.0"), now(&of(1, 1), Standing::Waiting)]).unwrap();
    assert_eq!(called().as_deref(), Some("C1 2.0"));
    assert_eq!(wait(store.mark(tenant(), receiver("mail"), AlertId([9; 16]))).unwrap(), None);
}

pub(crate) fn a_group_was_told_when_its_last_message_was_taken(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let group = Some(crate::route::Group { key: "k".to_owned(), interval: Millis(5) });
    let of = |id: u8| Delivery {
        terms: Terms { group: group.clone(), ..Terms::default() },
        ..delivery(id, "slack", 1)
    };
    let told = || wait(store.group_told(receiver("slack"), "k".to_owned())).unwrap().map(|at| at.0);
    commit(&*store, &fence, (1..4).map(|id| owed(&of(id))).collect()).unwrap();
    assert_eq!(told(), None);
    let taken = |id: u8, at| now(&of(id), Standing::Delivered { at: Timestamp(at) });
    commit(&*store, &fence, vec![taken(1, 70), taken(2, 50)]).unwrap();
    assert_eq!(told(), Some(70));
    assert_eq!(wait(store.group_told(receiver("slack"), "other".to_owned())).unwrap(), None);
}

pub(crate) fn a_lease_that_is_over_is_due_again(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let owing = delivery(1, "slack", 10);
    let claimed = now(&owing, Standing::Sending { until: Timestamp(100) });
    commit(&*store, &fence, vec![owed(&owing), claimed]).unwrap();
    assert!(due(&*store, "slack", 99).is_empty());
    assert_eq!(wait(store.next_due(receiver("slack"))).unwrap(), Some(Timestamp(100)));
    drop(store);
    let store = place();
    let again = wait(store.due(receiver("slack"), Timestamp(100), 9)).unwrap();
    assert_eq!(again[0].standing, Standing::Sending { until: Timestamp(100) });
}

pub(crate) fn a_delivery_that_is_not_there_cannot_be_replaced(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    refused(&commit(&*store, &fence, vec![now(&delivery(1, "slack", 1), Standing::Waiting)]));
    let tried = Change::Tried { delivery: DeliveryId([1; 16]), number: 1, at: Timestamp(1), outcome: None };
    refused(&commit(&*store, &fence, vec![tried]));
}

pub(crate) fn a_try_keeps_its_beginning_and_its_outcome(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let tried = |number: u32, at: i64, outcome: Option<&str>| Change::Tried {
        delivery: DeliveryId([1; 16]),
        number,
        at: Timestamp(at),
        outcome: outcome.map(str::to_owned),
    };
    let changes = vec![
        owed(&delivery(1, "slack", 1)),
        tried(1, 10, None),
        tried(1, 15, Some("503")),
        tried(2, 20, None),
        tried(1, 30, None),
    ];
    commit(&*store, &fence, changes).unwrap();
    let tries = wait(store.tries(DeliveryId([1; 16]))).unwrap();
    let first = Try { number: 1, at: Timestamp(10), outcome: Some("503".to_owned()) };
    assert_eq!(tries, vec![first, Try { number: 2, at: Timestamp(20), outcome: None }]);
}

pub(crate) fn limits_see_each_message_once(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let mut changes = Vec::new();
    for (id, to, tries) in
        [(1, "slack", &[50, 10][..]), (2, "slack", &[20]), (3, "mail", &[15]), (4, "slack", &[])]
    {
        changes.push(owed(&Delivery { level: Level::ALL[usize::from(id)], ..delivery(id, to, 1) }));
        for (number, at) in (1..).zip(tries) {
            let delivery = DeliveryId([id; 16]);
            changes.push(Change::Tried { delivery, number, at: Timestamp(*at), outcome: None });
        }
    }
    commit(&*store, &fence, changes).unwrap();
    let sent = |since: i64| wait(store.sent(receiver("slack"), Timestamp(since))).unwrap();
    let of = |at, level| Sent { at: Timestamp(at), level, rule: "failure-burst".parse().unwrap() };
    let (first, second) = (of(10, Level::Low), of(20, Level::Medium));
    assert_eq!(sent(10), vec![first, second.clone()]);
    assert_eq!(sent(11), vec![second]);
    assert!(sent(21).is_empty());
}

pub(crate) fn who_was_tried_last_is_known_by_its_outcome(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let last = || {
        wait(store.last_tried(receiver("slack")))
            .unwrap()
            .map(|last| (ids(std::slice::from_ref(&last))[0], last.last_reason))
    };
    let came_to = |id: u8, number: u32, at: i64, outcome: &str| {
        let delivery = DeliveryId([id; 16]);
        let (at, reason) = (Timestamp(at), Some(outcome.to_owned()));
        let after = Delivery { tries: number, last_reason: reason.clone(), ..self::delivery(id, "slack", 1) };
        vec![Change::Delivery(Box::new(after)), Change::Tried { delivery, number, at, outcome: reason }]
    };
    let owing = [1, 2, 3].map(|id| owed(&delivery(id, "slack", 1)));
    commit(&*store, &fence, [&owing[..], &[owed(&delivery(4, "mail", 1))]].concat()).unwrap();
    assert_eq!(last(), None);
    commit(&*store, &fence, came_to(1, 1, 20, "503")).unwrap();
    commit(&*store, &fence, came_to(2, 1, 10, "delivered")).unwrap();
    let begun = Change::Tried { delivery: DeliveryId([3; 16]), number: 1, at: Timestamp(30), outcome: None };
    commit(&*store, &fence, vec![begun]).unwrap();
    assert_eq!(last(), Some((1, Some("503".to_owned()))), "nobody knows yet of another");
    commit(&*store, &fence, came_to(2, 2, 20, "504")).unwrap();
    assert_eq!(last(), Some((2, Some("504".to_owned()))), "of two, the one that was owed last");
    commit(&*store, &fence, came_to(3, 1, 30, "delivered")).unwrap();
    assert_eq!(last(), Some((3, Some("delivered".to_owned()))));
    assert_eq!(wait(store.last_tried(receiver("mail"))).unwrap(), None);
}

pub(crate) fn deliveries_are_found_by_each_of_their_marks(place: Place<'_>) {
    let store = place();
    let ours = fence(&*store);
    let theirs = wait(store.fence("other".into())).unwrap();
    let digest = Digest {
        count: u64::MAX,
        repeated: 0,
        lines: vec![DigestLine { rule: "quiet".parse().unwrap(), level: Level::Low, count: 7 }],
        others: 2,
        groups: vec![("user=\"ana\"\u{202e}".to_owned(), 3)],
        from: Timestamp(1),
        to: Timestamp(2),
        titles: Vec::new(),
        over: 0,
        because: "limit".to_owned(),
    };
    let summary = Delivery { body: Body::Digest(Box::new(digest)), ..delivery(0x2b, "slack", 5) };
    let foreign = Delivery { tenant: "other".into(), ..delivery(0x1c, "slack", 5) };
    let (a, b) = (delivery(0x2a, "slack", 9), delivery(0x1b, "mail", 1));
    commit(&*store, &ours, [&a, &b, &summary].map(owed).into()).unwrap();
    commit(&*store, &theirs, vec![owed(&foreign)]).unwrap();
    let dead = Standing::Dead { at: Timestamp(3), reason: "410".to_owned() };
    commit(&*store, &ours, vec![now(&b, dead.clone())]).unwrap();
    let found = |query: DeliveryQuery| ids(&wait(store.deliveries(query)).unwrap());
    let id = |prefix: &str| DeliveryQuery { id: Some(prefix.to_owned()), ..all_deliveries() };
    let states = |states: &[&str]| DeliveryQuery {
        states: states.iter().map(|&state| state.to_owned()).collect(),
        ..all_deliveries()
    };
    assert_eq!(found(all_deliveries()), [0x2a, 0x1b, 0x2b, 0x1c], "oldest first");
    assert_eq!(found(DeliveryQuery { most: 2, ..all_deliveries() }), [0x2a, 0x1b]);
    let newest = DeliveryQuery { newest_first: true, most: 3, ..all_deliveries() };
    assert_eq!(found(newest), [0x1c, 0x2b, 0x1b], "newest first");
    assert_eq!(found(DeliveryQuery { tenant: Some("other".into()), ..all_deliveries() }), [0x1c]);
    assert_eq!(found(id("2")), [0x2a, 0x2b]);
    assert_eq!(found(id("2b2")), [0x2b]);
    assert!(found(id("2b2x")).is_empty());
    assert_eq!(found(DeliveryQuery { receiver: Some(receiver("mail")), ..all_deliveries() }), [0x1b]);
    assert_eq!(found(DeliveryQuery { alert: Some(AlertId([0x2a; 16])), ..all_deliveries() }), [0x2a]);
    assert_eq!(found(states(&["dead", "folded"])), [0x1b]);
    assert_eq!(found(states(&["waiting"])), [0x2a, 0x2b, 0x1c]);
    assert!(found(states(&["no such state'"])).is_empty());
    let kept = wait(store.deliveries(all_deliveries())).unwrap();
    assert_eq!(kept, vec![a.clone(), Delivery { standing: dead, ..b }, summary.clone(), foreign]);
    commit(&*store, &ours, vec![now(&a, Standing::Folded { into: summary.id })]).unwrap();
    assert_eq!(found(DeliveryQuery { told_by: Some(summary.id), ..all_deliveries() }), [0x2a]);
    assert!(found(DeliveryQuery { told_by: Some(a.id), ..all_deliveries() }).is_empty());
}

pub(crate) fn ending_a_silence_frees_what_it_held(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let held = |id: u8, by: u8| Delivery { held_by: Some(SilenceId([by; 8])), ..delivery(id, "slack", 900) };
    let done = Delivery { standing: Standing::Delivered { at: Timestamp(1) }, ..held(3, 1) };
    let changes = vec![
        Change::Silence(silence(1, 900)),
        Change::Silence(silence(2, 900)),
        owed(&held(1, 1)),
        owed(&held(2, 2)),
        owed(&done),
    ];
    commit(&*store, &fence, changes).unwrap();
    assert!(due(&*store, "slack", 400).is_empty());
    let end = Change::Unsilence { id: SilenceId([1; 8]), at: Timestamp(400) };
    commit(&*store, &fence, vec![end.clone()]).unwrap();
    commit(&*store, &fence, vec![end]).unwrap();
    let freed = wait(store.due(receiver("slack"), Timestamp(400), 9)).unwrap();
    assert_eq!(freed, vec![Delivery { due: Timestamp(400), ..held(1, 1) }]);
    assert_eq!(wait(store.silences(Timestamp(0))).unwrap(), vec![silence(2, 900)]);
}

pub(crate) fn silences_that_are_over_are_not_told(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    commit(&*store, &fence, vec![Change::Silence(silence(1, 50)), Change::Silence(silence(2, 60))]).unwrap();
    assert_eq!(wait(store.silences(Timestamp(49))).unwrap().len(), 2);
    assert_eq!(wait(store.silences(Timestamp(50))).unwrap(), vec![silence(2, 60)]);
    commit(&*store, &fence, vec![Change::Silence(silence(1, 70))]).unwrap();
    assert_eq!(wait(store.silences(Timestamp(60))).unwrap(), vec![silence(1, 70)], "it was replaced");
}

pub(crate) fn quarantined(number: usize) -> Quarantined {
    let (reason, excerpt) = ("no_time".to_owned(), number.to_string());
    Quarantined { lane: SourceId(1), at: Timestamp(5), reason, excerpt }
}

pub(crate) fn the_quarantine_is_bounded_and_newest_first(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let rows = (0..MAX_QUARANTINED + 3).map(|number| Change::Quarantined(quarantined(number)));
    commit(&*store, &fence, rows.collect()).unwrap();
    let kept = wait(store.quarantine(tenant(), usize::MAX)).unwrap();
    assert_eq!(kept.len(), MAX_QUARANTINED);
    assert_eq!(kept[0], quarantined(MAX_QUARANTINED + 2));
    assert_eq!(kept[MAX_QUARANTINED - 1], quarantined(3));
    assert_eq!(wait(store.quarantine(tenant(), 2)).unwrap(), kept[..2]);
    assert_eq!(wait(store.holdings()).unwrap().quarantined, MAX_QUARANTINED as u64);
}

pub(crate) fn counters_add_up_and_stop(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let count = |name: &str, by: u64| Change::Count { name: name.to_owned(), by };
    commit(&*store, &fence, vec![count("late", 2), count("late", 3), count("full", u64::MAX)]).unwrap();
    commit(&*store, &fence, vec![count("full", 1)]).unwrap();
    let counters = wait(store.counters(tenant())).unwrap();
    assert_eq!(counters["late"], 5);
    assert_eq!(counters["full"], i64::MAX.unsigned_abs());
}

pub(crate) fn a_text_is_kept_once(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let text = |text: &str| Change::Text { digest: "ab".repeat(16), text: text.to_owned() };
    commit(&*store, &fence, vec![text("rules: []\n")]).unwrap();
    commit(&*store, &fence, vec![text("another")]).unwrap();
    assert_eq!(wait(store.text("ab".repeat(16))).unwrap(), Some("rules: []\n".to_owned()));
    assert_eq!(wait(store.text("ab".to_owned())).unwrap(), None);
}

/// Strings that something on the way might change or obey.
pub(crate) fn hostile() -> Vec<String> {
    let mut strings: Vec<String> = [
        "",
        "\0",
        "a\0b",
        "'; DROP TABLE journal; --",
        "\"\\\u{1b}[31m\r\n\t",
        "\u{feff}\u{202e}\u{200b}e\u{301}\u{10ffff}",
        "{{ 7 * 7 }}${x}%s%n",
        "1e999",
        " 007 ",
        "NULL",
    ]
    .map(str::to_owned)
    .into();
    strings.push("\u{1f525}\0".repeat(200_000));
    strings
}

pub(crate) fn hostile_strings_come_back_byte_for_byte(place: Place<'_>) {
    let store = place();
    for (number, text) in hostile().into_iter().enumerate() {
        let id = u8::try_from(number).unwrap() + 1;
        let whose: Arc<str> = text.as_str().into();
        let fence = wait(store.fence(Arc::clone(&whose))).unwrap();
        let mut alert =
            Alert { tenant: Arc::clone(&whose), title: text.clone(), ..alert(id, 1, State::Open, 1_000) };
        alert.group.insert(text.clone(), json!(text));
        let reason = text.clone();
        let delivery = Delivery {
            tenant: Arc::clone(&whose),
            last_reason: Some(text.clone()),
            standing: Standing::Discarded { at: Timestamp(1), reason },
            ..delivery(id, "slack", 1)
        };
        let cursor = Cursor { lane: SourceId(1), place: text.clone() };
        let lane = Lane { name: text.clone(), ..lane(1, "") };
        let row = Quarantined { reason: text.clone(), excerpt: text.clone(), ..quarantined(0) };
        let silence = Silence {
            tenant: Arc::clone(&whose),
            matches: vec![(text.clone(), text.clone())],
            by: text.clone(),
            because: text.clone(),
            ..silence(id, 50)
        };
        let (by, digest) = (text.clone(), text.clone());
        let tried =
            Change::Tried { delivery: delivery.id, number: 1, at: Timestamp(1), outcome: Some(text.clone()) };
        let changes = vec![
            read(1, text.clone()),
            Change::Journal(Entry { seq: 2, at: Timestamp(1), event: Event::Joined(lane.clone()) }),
            Change::Text { digest, text: text.clone() },
            Change::Cursor(cursor.clone()),
            told(alert.clone()),
            Change::Acknowledged { alert: alert.id, by, at: Timestamp(1) },
            owed(&delivery),
            tried,
            Change::Silence(silence.clone()),
            Change::Quarantined(row.clone()),
            Change::Count { name: text.clone(), by: 1 },
        ];
        wait(store.commit(fence, changes)).unwrap();

        let entries = wait(store.journal(Arc::clone(&whose), 0, usize::MAX)).unwrap();
        assert!(matches!(&entries[0].event, Event::Read { rows, .. } if *rows == text));
        assert_eq!(wait(store.lanes(Arc::clone(&whose))).unwrap(), vec![lane]);
        assert_eq!(wait(store.text(text.clone())).unwrap().as_ref(), Some(&text));
        assert_eq!(wait(store.cursors(Arc::clone(&whose))).unwrap(), vec![cursor]);
        assert_eq!(wait(store.revisions(Arc::clone(&whose), alert.id)).unwrap(), vec![alert]);
        let kept =
            wait(store.alerts(AlertQuery { tenant: Some(Arc::clone(&whose)), ..all_alerts() })).unwrap();
        assert_eq!(kept[0].acknowledged, Some((text.clone(), Timestamp(1))));
        let query = DeliveryQuery { tenant: Some(Arc::clone(&whose)), ..all_deliveries() };
        assert_eq!(wait(store.tries(delivery.id)).unwrap()[0].outcome.as_ref(), Some(&text));
        assert_eq!(wait(store.deliveries(query)).unwrap(), vec![delivery]);
        assert!(wait(store.silences(Timestamp(0))).unwrap().contains(&silence));
        assert_eq!(wait(store.quarantine(Arc::clone(&whose), 9)).unwrap(), vec![row]);
        assert_eq!(wait(store.counters(whose)).unwrap(), [(text, 1)].into());
    }
}

pub(crate) fn holdings_count_what_is_there(place: Place<'_>) {
    let store = place();
    let ours = fence(&*store);
    let theirs = wait(store.fence("other".into())).unwrap();
    let (a, b) = (delivery(1, "slack", 1), delivery(2, "slack", 1));
    let changes = vec![
        read(1, ""),
        read(2, ""),
        told(alert(1, 1, State::Open, 1_000)),
        told(alert(1, 2, State::Closed, 1_000)),
        owed(&a),
        owed(&b),
        now(&b, Standing::Delivered { at: Timestamp(1) }),
        owed(&delivery(3, "mail", 1)),
    ];
    commit(&*store, &ours, changes).unwrap();
    commit(&*store, &theirs, vec![read(1, ""), Change::Quarantined(quarantined(1))]).unwrap();
    let holdings = wait(store.holdings()).unwrap();
    assert_eq!((holdings.entries, holdings.alerts, holdings.quarantined), (3, 1, 1));
    assert_eq!(holdings.deliveries["slack"], [("delivered".to_owned(), 1), ("waiting".to_owned(), 1)].into());
    assert_eq!(holdings.deliveries["mail"], [("waiting".to_owned(), 1)].into());
}

pub(crate) fn an_answer_nobody_awaits_harms_nothing(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut kept = Vec::new();
    runtime.block_on(async {
        for number in 0..500 {
            let count = Change::Count { name: "late".to_owned(), by: 1 };
            let mut commit = store.commit(fence.clone(), vec![count]);
            let mut question = store.span(tenant());
            // Polled once, then dropped or left lying.
            std::future::poll_fn(|context| {
                let _ = commit.as_mut().poll(context);
                let _ = question.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            if number % 10 == 0 {
                kept.push((commit, question));
            }
        }
    });
    // Those that are left lying are fewer than the places there are.
    commit(&*store, &fence, vec![read(1, "a\n")]).unwrap();
    assert_eq!(wait(store.span(tenant())).unwrap(), Some((1, 1)));
    let late = wait(store.counters(tenant())).unwrap().get("late").copied().unwrap_or(0);
    assert!(late <= 500);
    drop(kept);
    // A store can be closed while answers to it are held.
    let never = store.commit(fence.clone(), vec![read(2, "b\n")]);
    drop(store);
    let _ = wait(never);
    let store = place();
    let (_, last) = wait(store.span(tenant())).unwrap().unwrap();
    assert!(last <= 2);
}

pub(crate) fn many_commits_at_once_stand_or_fall_one_by_one(place: Place<'_>) {
    let store = place();
    let fence = fence(&*store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let commits = (0..200_u64).map(|number| {
        let count = Change::Count { name: "made".to_owned(), by: 1 };
        // Every third one fails half-way.
        let spoilt = (number % 3 == 0).then(|| read(999, "a gap\n"));
        store.commit(fence.clone(), [Some(count), spoilt].into_iter().flatten().collect())
    });
    let commits: Vec<_> = commits.collect();
    let results = runtime.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for commit in commits {
            set.spawn(commit);
        }
        set.join_all().await
    });
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 133);
    assert_eq!(wait(store.counters(tenant())).unwrap()["made"], 133);
}

/// All that a store tells of `tenants`, in words, but for its size.
pub(crate) fn all_told(store: &dyn Store, tenants: &[Arc<str>], receivers: &[ReceiverName]) -> String {
    let mut told = Vec::new();
    let mut tell = |what: &dyn std::fmt::Debug| told.push(format!("{what:?}"));
    tell(&wait(store.tenants()));
    for tenant in tenants.iter().cloned() {
        tell(&wait(store.journal(Arc::clone(&tenant), 0, usize::MAX)));
        tell(&wait(store.span(Arc::clone(&tenant))));
        tell(&wait(store.lanes(Arc::clone(&tenant))));
        tell(&wait(store.cursors(Arc::clone(&tenant))));
        tell(&wait(store.checkpoint(Arc::clone(&tenant))));
        tell(&wait(store.quarantine(Arc::clone(&tenant), usize::MAX)));
        tell(&wait(store.counters(tenant)));
    }
    let alerts = wait(store.alerts(all_alerts()));
    tell(&alerts);
    for kept in alerts.unwrap() {
        tell(&wait(store.revisions(kept.now.tenant, kept.now.id)));
    }
    let deliveries = wait(store.deliveries(all_deliveries()));
    tell(&deliveries);
    for delivery in deliveries.unwrap() {
        tell(&wait(store.tries(delivery.id)));
    }
    for receiver in receivers {
        tell(&wait(store.due(receiver.clone(), Timestamp(10), usize::MAX)));
        tell(&wait(store.due(receiver.clone(), Timestamp(i64::MAX), 2)));
        tell(&wait(store.next_due(receiver.clone())));
        tell(&wait(store.sent(receiver.clone(), Timestamp(5))));
        tell(&wait(store.last_tried(receiver.clone())));
        for number in 0..2 {
            tell(&wait(store.group_told(receiver.clone(), format!("{number:016x}"))));
        }
        for (tenant, id) in tenants.iter().flat_map(|tenant| (0..3).map(move |id| (tenant, id))) {
            tell(&wait(store.mark(Arc::clone(tenant), receiver.clone(), AlertId([id; 16]))));
        }
    }
    tell(&wait(store.silences(Timestamp(5))));
    let holdings = wait(store.holdings()).map(|holdings| super::Holdings { bytes: 0, ..holdings });
    tell(&holdings);
    told.join("\n")
}
