//! The laws of polling, against a model of the service that does all that the real one may: rows
//! come late, change, move between two requests; requests fail; totals lie; the poller dies and
//! resumes from its last cursor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::api::Ask;
use super::budget::Purpose;
use super::lane::{Lane, Pace};
use super::page::Page;
use crate::record::fact::Facts;
use crate::record::scan::{Endpoint, Origin, Scanner};
use crate::record::{Columns, Locator, Millis, Timestamp};
use crate::source::Reading;

const ORIGIN: Timestamp = Timestamp(1_767_603_600_000);
const SETTLE: Millis = Millis::secs(60);
const EVERY: Millis = Millis::secs(30);
/// What an order is stirred by.
const FLICKER: u64 = 0x9e37_79b9_7f4a_7c15;

fn pace(endpoint: Endpoint) -> Pace {
    let desktop = endpoint == Endpoint::DesktopLogins;
    Pace {
        resolution: if desktop { Millis::mins(1) } else { Millis::secs(1) },
        every: EVERY,
        settle: SETTLE,
        settle_auto: false,
        lookback: Millis::mins(15),
        since: Millis::hours(2),
    }
}

fn origin(endpoint: Endpoint) -> Origin {
    Origin::huawei("ap-southeast-3", "0123456789abcdef0123456789abcdef", endpoint)
}

/// A row of the service's.
#[derive(Debug, Clone)]
struct Row {
    number: usize,
    start: Timestamp,
    /// When it can first be seen.
    visible: Timestamp,
    end: Option<Timestamp>,
    /// Changed so often.
    edits: u32,
}

impl Row {
    fn json(&self, endpoint: Endpoint) -> String {
        let end = self.end.map_or_else(String::new, |end| format!(",\"end_time\":\"{end}\""));
        let (start, edits) = (self.start, self.edits);
        match endpoint {
            Endpoint::DesktopLogins => {
                let end = end.replace("end_time", "connection_end_time");
                let (user, rtt) = (self.number, edits + 1);
                format!(
                    "{{\"user_name\":\"u{user}\",\"connection_start_time\":\"{start}\"{end},\"e2e_rtt\":{rtt}}}"
                )
            }
            // A moment: nothing of it changes.
            Endpoint::UserEvents => {
                let user = self.number;
                format!(
                    "{{\"user_name\":\"u{user}\",\"event_type\":\"LOGIN\",\"event_time\":\"{start}\",\"is_success\":true}}"
                )
            }
            Endpoint::AppLogins | Endpoint::AppLaunches | Endpoint::Sessions => {
                let id = self.number;
                format!("{{\"id\":\"{id}\",\"start_time\":\"{start}\"{end},\"agent_version\":\"{edits}\"}}")
            }
        }
    }
}

/// What may happen between two requests.
#[derive(Debug, Clone)]
enum Happening {
    /// Time goes on, in seconds.
    Pass(i64),
    /// A row is born: started so many seconds ago, seen after so many, ended at once or not.
    Born { ago: i64, late: i64, ended: bool },
    /// A row that is open changes.
    Edit(usize),
    /// A row that is open ends now.
    End(usize),
    /// Rows are listed in another order.
    Reorder(u64),
    /// From now on each so-manieth request finds them in an order of its own; none: no longer.
    Flicker(u64),
    /// A session that is open is resumed: its start moves.
    Resume(usize),
    /// The next request fails.
    Fail,
    /// From now on totals promise so many rows too many.
    Lie(i64),
    /// The poller dies and resumes.
    Restart,
    /// Two things between the same two requests.
    Both(Box<[Happening; 2]>),
}

fn happening() -> impl Strategy<Value = Happening> {
    let both = (single(), single()).prop_map(|(one, other)| Happening::Both(Box::new([one, other])));
    prop_oneof![3 => single(), 1 => both]
}

fn single() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0_i64..40).prop_map(Happening::Pass),
        1 => (0_i64..1_500).prop_map(Happening::Pass),
        6 => (0_i64..59, any::<bool>())
            .prop_flat_map(|(ago, ended)| (Just(ago), ago..59, Just(ended)))
            .prop_map(|(ago, late, ended)| Happening::Born { ago, late, ended }),
        2 => (0_usize..50).prop_map(Happening::Edit),
        2 => (0_usize..50).prop_map(Happening::End),
        1 => any::<u64>().prop_map(Happening::Reorder),
        1 => (0_u64..4).prop_map(Happening::Flicker),
        1 => (0_usize..50).prop_map(Happening::Resume),
        1 => Just(Happening::Fail),
        1 => (0_i64..3).prop_map(Happening::Lie),
        1 => Just(Happening::Restart),
    ]
}

/// The service.
struct Service {
    endpoint: Endpoint,
    now: Timestamp,
    rows: Vec<Row>,
    order: u64,
    flicker: u64,
    lie: i64,
    most: usize,
    /// Which of its ends a window excludes.
    excludes: (bool, bool),
}

impl Service {
    /// The answer to request number `number`.
    fn page(&self, ask: &Ask, number: usize) -> Page {
        let within = |row: &&Row| {
            row.visible <= self.now
                && (ask.from < row.start || (ask.from == row.start && !self.excludes.0))
                && (row.start < ask.to || (row.start == ask.to && !self.excludes.1))
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(within).collect();
        // Newest first, unless something stirred it. Who asks for a moment can ask for nothing narrower: its
        // rows stay as they are.
        let moment = ask.to - ask.from <= Millis(2 * pace(self.endpoint).resolution.0);
        let flickers = self.flicker > 0 && (number as u64).is_multiple_of(self.flicker);
        let order = if moment { 0 } else { self.order ^ if flickers { FLICKER } else { 0 } };
        let key = |row: &Row| (row.number as u64).wrapping_mul(order | 1).rotate_left(17);
        rows.sort_by_key(|row| if order == 0 { u64::MAX - row.number as u64 } else { key(row) });
        let total = u64::try_from(i64::try_from(rows.len()).unwrap() + self.lie).unwrap_or_default();
        let offset = usize::try_from(ask.offset).unwrap().min(rows.len());
        let limit = self.most.min(ask.limit as usize);
        let rows = rows[offset..].iter().take(limit).map(|row| row.json(self.endpoint)).collect();
        Page { total: Some(total), rows }
    }
}

/// What the daemon keeps.
#[derive(Default)]
struct Daemon {
    cursor: Option<String>,
    watermark: Option<(Timestamp, Timestamp)>,
    /// Versions by row, in the order they came.
    taken: BTreeMap<(String, u32), Vec<String>>,
    /// Every version.
    texts: BTreeSet<String>,
    /// Numbers of the rows.
    numbers: BTreeSet<usize>,
    repeats: usize,
    lateness: Option<crate::source::Lateness>,
    remarks: Vec<String>,
    /// Where the watermark of starts stood.
    marks: BTreeSet<Timestamp>,
}

struct World {
    service: Service,
    daemon: Daemon,
    /// The daemon's.
    scanner: Scanner,
    lane: Lane,
    next_poll: Timestamp,
    requests: usize,
    /// Rows may be later than anybody waits for.
    hopeless: bool,
    polls: usize,
    fail: bool,
    /// Sweeps get no turn.
    starved: bool,
}

impl World {
    fn new(endpoint: Endpoint, most: usize, excludes: (bool, bool)) -> Self {
        let service =
            Service { endpoint, now: ORIGIN, rows: Vec::new(), order: 0, flicker: 0, lie: 0, most, excludes };
        Self {
            service,
            daemon: Daemon::default(),
            scanner: Scanner::new(Columns::default().freeze(), Arc::new(Facts::default()), origin(endpoint)),
            lane: Lane::new(origin(endpoint), pace(endpoint)),
            next_poll: ORIGIN,
            requests: 0,
            hopeless: false,
            polls: 0,
            fail: false,
            starved: false,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let service = &mut self.service;
        let now = service.now;
        let pick = |rows: &[Row], number: usize| {
            let open: Vec<usize> = rows
                .iter()
                .filter(|row| row.end.is_none() && row.visible <= now)
                .map(|row| row.number)
                .collect();
            (!open.is_empty()).then(|| open[number % open.len()])
        };
        match *happening {
            Happening::Pass(seconds) => service.now = now + Millis::secs(seconds),
            Happening::Born { ago, late, ended } => {
                let start = now - Millis::secs(ago);
                // It may have ended already, but not before it began.
                let end = ended.then_some(now);
                let visible = start + Millis::secs(late);
                let number = service.rows.len();
                service.rows.push(Row { number, start, visible, end, edits: 0 });
            }
            Happening::Edit(number) => {
                if let Some(number) = pick(&service.rows, number) {
                    service.rows[number].edits += 1;
                }
            }
            Happening::End(number) => {
                if let Some(number) = pick(&service.rows, number) {
                    service.rows[number].end = Some(now);
                }
            }
            Happening::Reorder(order) => service.order = order,
            Happening::Flicker(every) => service.flicker = every,
            // Its start is part of what a row without an id is known by.
            Happening::Resume(number)
                if matches!(service.endpoint, Endpoint::AppLogins | Endpoint::Sessions) =>
            {
                if let Some(number) = pick(&service.rows, number) {
                    service.rows[number].start = now;
                }
            }
            Happening::Resume(_) => {}
            Happening::Fail => self.fail = true,
            Happening::Lie(by) => service.lie = by,
            Happening::Restart => self.restart(),
            Happening::Both(ref both) => {
                for one in both.iter() {
                    self.happen(one);
                }
            }
        }
    }

    fn restart(&mut self) {
        self.lane = Lane::new(origin(self.service.endpoint), pace(self.service.endpoint));
        if let Some(cursor) = &self.daemon.cursor {
            self.lane.resume(cursor).unwrap();
        }
        self.next_poll = self.service.now;
    }

    /// One request, if there is anything to ask.
    fn turn(&mut self) {
        let now = self.service.now;
        let purpose = if self.lane.is_polling() || self.next_poll <= now {
            Purpose::Poll
        } else if !self.starved && self.lane.sweep_wait(now) == Some(Millis::ZERO) {
            Purpose::Sweep
        } else {
            return;
        };
        if purpose == Purpose::Poll && !self.lane.is_polling() {
            self.polls += 1;
            self.next_poll = now + EVERY;
        }
        let Some(ask) = self.lane.ask(purpose, now) else { return };
        self.requests += 1;
        assert_eq!(self.lane.ask(purpose, now), Some(ask), "a step that was dropped asks the same again");
        assert!(ask.from < ask.to && ask.limit <= 100);
        if std::mem::take(&mut self.fail) {
            return;
        }
        let page = self.service.page(&ask, self.requests);
        if let Some(reading) = self.lane.take(purpose, page, now) {
            self.take(&reading);
        }
    }

    fn take(&mut self, reading: &Reading) {
        let batch = self.scanner.scan(reading.rows.clone(), Locator(1));
        assert_eq!(batch.faults, []);
        let twins: BTreeMap<u32, u32> = reading.twins.iter().copied().collect();
        for (line, row) in (0_u32..).zip(0..batch.rows.len()) {
            let twin = twins.get(&line).copied().unwrap_or_default();
            let id = batch.rows[row].id.twin(twin);
            let text = batch.line(row).to_owned();
            let versions = self.daemon.taken.entry((format!("{id:?}"), 0)).or_default();
            if versions.contains(&text) {
                self.daemon.repeats += 1;
            } else {
                self.daemon.numbers.insert(number_of(&text));
                self.daemon.texts.insert(text.clone());
                versions.push(text);
            }
        }
        if let Some((start, end)) = reading.watermark {
            if let Some(before) = self.daemon.watermark {
                assert!(before.0 <= start && before.1 <= end, "a watermark went back");
            }
            assert!(end <= start, "an end record is ahead of its start record");
            self.daemon.watermark = Some((start, end));
        }
        self.daemon.cursor = Some(reading.cursor.clone());
        self.daemon.remarks.extend(reading.remarks.iter().cloned());
        self.daemon.marks.extend(reading.watermark.map(|(start, _)| start));
        self.daemon.lateness = reading.lateness.or(self.daemon.lateness);
        self.hold_watermark();
    }

    /// All that is behind the watermark was given.
    fn hold_watermark(&self) {
        let Some((start, end)) = self.daemon.watermark.filter(|_| !self.hopeless) else { return };
        for row in &self.service.rows {
            // Rows before the first window are none of ours.
            assert!(
                row.start >= start || self.daemon.numbers.contains(&row.number),
                "row {row:?} is behind the watermark {start} and was not given"
            );
            if let Some(ended) = row.end
                && ended < end
            {
                let text = row.json(self.service.endpoint);
                let told = self.daemon.texts.contains(&text);
                assert!(told, "the end of {row:?} is behind the watermark {end} and was not given");
            }
        }
    }

    /// Nothing more happens; the service is honest and still.
    fn quiet_down(&mut self) {
        (self.service.lie, self.fail) = (0, false);
        (self.service.order, self.service.flicker) = (0, 0);
        for _ in 0..40 {
            self.service.now = self.service.now + Millis::secs(31);
            for _ in 0..400 {
                let before = self.requests;
                self.turn();
                if self.requests == before {
                    break;
                }
            }
        }
        self.hold_watermark();
    }
}

/// A world of honest pages in which each happening is followed by a request.
fn played(endpoint: Endpoint, most: usize, happenings: &[Happening]) -> World {
    let mut world = World::new(endpoint, most, (false, false));
    for happening in happenings {
        world.happen(happening);
        world.turn();
    }
    world
}

/// Time passes, and all is asked that there is to ask.
fn goes_by(world: &mut World, minutes: i64) {
    for _ in 0..minutes {
        world.service.now = world.service.now + Millis::mins(1);
        for _ in 0..100 {
            world.turn();
        }
    }
}

const ENDED: Happening = Happening::Born { ago: 0, late: 0, ended: true };
const OPEN: Happening = Happening::Born { ago: 0, late: 0, ended: false };

#[test]
fn a_sweep_gives_no_row_again_that_ended_long_ago() {
    for endpoint in [Endpoint::AppLogins, Endpoint::DesktopLogins] {
        let mut world = played(endpoint, 5, &[ENDED, ENDED]);
        goes_by(&mut world, 30);
        world.happen(&OPEN);
        goes_by(&mut world, 20);
        assert_eq!((world.daemon.numbers.len(), world.daemon.repeats), (3, 0));
        world.restart();
        goes_by(&mut world, 2);
        assert_eq!(world.daemon.repeats, 1, "the open row, and no other");
        world.happen(&Happening::End(0));
        goes_by(&mut world, 2);
        assert_eq!((world.daemon.texts.len(), world.daemon.repeats), (4, 1));
    }
}

#[test]
fn a_row_that_ended_while_the_poller_was_dead_is_given_with_its_end() {
    for endpoint in [Endpoint::AppLogins, Endpoint::DesktopLogins] {
        let mut world = played(endpoint, 5, &[OPEN]);
        goes_by(&mut world, 40);
        world.service.now = world.service.now + Millis::hours(3);
        world.happen(&Happening::End(0));
        world.service.now = world.service.now + Millis::hours(3);
        world.restart();
        goes_by(&mut world, 2);
        assert_eq!((world.daemon.texts.len(), world.daemon.repeats), (2, 0));
    }
}

#[test]
fn a_sweep_that_took_long_forgets_no_row_that_began_meanwhile() {
    play_case(
        Endpoint::AppLogins,
        5,
        &[
            Happening::Pass(7),
            Happening::Born { ago: 0, late: 0, ended: false },
            Happening::Pass(954),
            Happening::Born { ago: 0, late: 0, ended: true },
            Happening::Born { ago: 36, late: 37, ended: true },
            Happening::Lie(2),
            Happening::Pass(38),
            Happening::Pass(28),
            Happening::End(1),
            Happening::Edit(21),
            Happening::Fail,
            Happening::Pass(25),
            Happening::Pass(38),
            Happening::Born { ago: 4, late: 57, ended: false },
            Happening::Pass(19),
            Happening::Born { ago: 21, late: 22, ended: false },
            Happening::Pass(1285),
            Happening::Lie(0),
            Happening::Pass(11),
            Happening::Pass(0),
            Happening::Born { ago: 31, late: 51, ended: false },
            Happening::Restart,
            Happening::End(38),
        ],
    );
}

#[test]
fn a_row_that_changed_while_a_poll_took_long_is_given_as_it_is() {
    play_case(
        Endpoint::DesktopLogins,
        3,
        &[
            Happening::Pass(0),
            Happening::Pass(0),
            Happening::Pass(0),
            Happening::Edit(0),
            Happening::Fail,
            Happening::Born { ago: 0, late: 0, ended: true },
            Happening::Born { ago: 36, late: 41, ended: true },
            Happening::Lie(0),
            Happening::Born { ago: 24, late: 37, ended: true },
            Happening::Pass(9),
            Happening::Born { ago: 17, late: 52, ended: true },
            Happening::Pass(15),
            Happening::Born { ago: 48, late: 50, ended: false },
            Happening::Born { ago: 25, late: 36, ended: true },
            Happening::Pass(784),
            Happening::Born { ago: 0, late: 42, ended: false },
            Happening::Pass(248),
            Happening::Born { ago: 11, late: 16, ended: true },
            Happening::Pass(16),
            Happening::Pass(9),
            Happening::Born { ago: 36, late: 54, ended: true },
            Happening::Born { ago: 27, late: 36, ended: true },
            Happening::End(11),
            Happening::Pass(10),
            Happening::End(17),
            Happening::Restart,
            Happening::Fail,
            Happening::Pass(39),
            Happening::Born { ago: 15, late: 26, ended: false },
            Happening::Pass(269),
            Happening::Born { ago: 43, late: 43, ended: false },
            Happening::Born { ago: 45, late: 54, ended: true },
            Happening::Pass(1),
            Happening::Pass(1322),
            Happening::Edit(32),
        ],
    );
}

#[test]
fn a_row_that_went_between_two_pages_takes_no_other_with_it() {
    play_case(
        Endpoint::AppLogins,
        4,
        &[
            ENDED,
            Happening::Pass(30),
            Happening::Flicker(1),
            Happening::Born { ago: 15, late: 15, ended: false },
            Happening::Pass(17),
            OPEN,
            OPEN,
            OPEN,
            Happening::Pass(29),
            Happening::Restart,
            Happening::Resume(2),
        ],
    );
    let late = |ago, late, ended| Happening::Born { ago, late, ended };
    play_case(
        Endpoint::AppLogins,
        5,
        &[
            OPEN,
            OPEN,
            OPEN,
            Happening::Pass(62),
            late(6, 7, false),
            late(7, 44, false),
            late(6, 38, false),
            late(36, 42, true),
            Happening::Pass(24),
            late(47, 57, false),
            late(50, 52, true),
            Happening::Pass(33),
            Happening::Resume(4),
            late(9, 30, false),
        ],
    );
}

#[test]
fn a_row_that_went_while_another_came_takes_no_third_with_it() {
    // Two pages of three: one goes from the first, another comes to the second, and the total stands.
    for most in 2..7 {
        for order in 0..40 {
            for gone in 0..6 {
                let mut world = World::new(Endpoint::AppLogins, most, (false, true));
                for _ in 0..6 {
                    world.happen(&OPEN);
                }
                world.happen(&Happening::Reorder(order));
                world.happen(&Happening::Pass(100));
                world.turn();
                world.happen(&Happening::Resume(gone));
                world.happen(&Happening::Born { ago: 50, late: 50, ended: true });
                // By now all that was there before is behind the watermark: see `World::take`.
                for _ in 0..40 {
                    world.turn();
                }
                world.quiet_down();
                assert_eq!(world.daemon.numbers.len(), 7, "{most} {order} {gone}");
            }
        }
    }
}

/// Rows that appear so many seconds after their start, one each half minute; all is asked meanwhile.
fn comes_late(world: &mut World, late: i64, minutes: i64) {
    for _ in 0..minutes * 2 {
        world.service.now = world.service.now + Millis::secs(30);
        world.happen(&Happening::Born { ago: 0, late, ended: true });
        for _ in 0..20 {
            world.turn();
        }
    }
}

#[test]
fn settle_follows_how_late_rows_appear_and_outlives_the_poller() {
    let endpoint = Endpoint::AppLogins;
    let mut world = World::new(endpoint, 100, (false, false));
    let automatic = Pace { settle_auto: true, ..pace(endpoint) };
    world.lane = Lane::new(origin(endpoint), automatic);
    // Nothing is behind a watermark that was not given, though settle was a minute once.
    comes_late(&mut world, 50, 20);
    comes_late(&mut world, 62, 20);
    let late = world.daemon.lateness.unwrap();
    assert!(late.rows > 70, "{late:?}");
    assert!((60..=96).contains(&(late.median.0 / 1_000)), "{late:?}");
    assert_eq!(late.settle, late.most);
    let behind = world.service.now - world.daemon.watermark.unwrap().0;
    assert!(behind >= late.settle, "{behind} {late:?}");
    // A new life begins with it.
    world.lane = Lane::new(origin(endpoint), automatic);
    world.lane.resume(world.daemon.cursor.as_ref().unwrap()).unwrap();
    world.daemon.lateness = None;
    comes_late(&mut world, 62, 5);
    assert_eq!(world.daemon.lateness.unwrap().settle, late.settle);
}

#[test]
fn what_was_there_before_the_poller_is_not_late() {
    let mut world = World::new(Endpoint::AppLogins, 100, (false, false));
    for happening in [ENDED, ENDED, OPEN] {
        world.happen(&happening);
    }
    goes_by(&mut world, 30);
    assert_eq!((world.daemon.numbers.len(), world.daemon.lateness), (3, None));
    world.service.now = world.service.now + Millis::hours(5);
    world.happen(&Happening::Born { ago: 7_200, late: 7_200, ended: true });
    goes_by(&mut world, 10);
    assert_eq!(world.daemon.lateness, None, "it came when it was asked for");
    comes_late(&mut world, 0, 5);
    assert!(world.daemon.lateness.unwrap().most <= Millis::secs(2));
}

#[test]
fn a_row_that_came_later_than_polls_look_back_is_found_by_the_total_of_its_hour() {
    for endpoint in [Endpoint::AppLogins, Endpoint::DesktopLogins, Endpoint::UserEvents] {
        let mut world = World::new(endpoint, 100, (false, true));
        world.hopeless = true;
        comes_late(&mut world, 0, 70);
        // As many as to stand out from those of a desktop's last minute, which its total leaves out.
        let lost = world.service.rows.len();
        for ago in 590..594 {
            world.happen(&Happening::Born { ago, late: 2_400, ended: true });
        }
        comes_late(&mut world, 0, 60);
        assert!(!world.daemon.numbers.contains(&lost), "no poll has met it");
        assert_eq!(world.daemon.remarks, [""; 0]);
        comes_late(&mut world, 0, 120);
        assert!(world.daemon.numbers.contains(&lost));
        let [remark] = world.daemon.remarks.as_slice() else { panic!("{:?}", world.daemon.remarks) };
        assert!(
            remark.starts_with(
                "4 rows of the hour from 2026-01-05T10:00:00.000Z appeared later than polls look"
            ),
            "{remark}"
        );
    }
}

#[test]
fn an_hour_that_an_earlier_life_counted_is_read_again_and_told_of_with_its_number() {
    for endpoint in [Endpoint::AppLogins, Endpoint::DesktopLogins] {
        for restarts in [0, 1] {
            let mut world = World::new(endpoint, 100, (false, true));
            world.hopeless = true;
            comes_late(&mut world, 0, 70);
            let lost = world.service.rows.len();
            for ago in 590..594 {
                world.happen(&Happening::Born { ago, late: 2_400, ended: true });
            }
            comes_late(&mut world, 0, 72);
            // It dies when the total was told and before the hour was read.
            world.restart();
            for _ in 0..restarts * 100_000 {
                let before = world.requests;
                world.turn();
                let now = world.service.now;
                if before == world.requests {
                    world.service.now = now + Millis::secs(30);
                } else if !world.lane.is_polling() && world.lane.is_to_read_an_hour_again() {
                    world.restart();
                    break;
                }
            }
            comes_late(&mut world, 0, 240);
            assert!(world.daemon.numbers.contains(&lost));
            let told: Vec<&String> =
                world.daemon.remarks.iter().filter(|remark| remark.contains("appeared later")).collect();
            let [remark] = told.as_slice() else { panic!("{told:?}") };
            assert!(remark.starts_with("4 rows of the hour from 2026-01-05T10:00:00.000Z"), "{remark}");
        }
    }
}

#[test]
fn an_hour_that_is_compared_long_after_gives_no_row_twice() {
    for endpoint in [Endpoint::AppLogins, Endpoint::DesktopLogins] {
        let mut world = World::new(endpoint, 100, (false, true));
        world.hopeless = true;
        comes_late(&mut world, 0, 70);
        let lost = world.service.rows.len();
        for ago in 590..594 {
            world.happen(&Happening::Born { ago, late: 2_400, ended: true });
        }
        // Polls take all that the service allows, for half a day.
        world.starved = true;
        comes_late(&mut world, 0, 12 * 60);
        world.starved = false;
        comes_late(&mut world, 0, 20);
        assert!(world.daemon.numbers.contains(&lost));
        assert_eq!(world.daemon.repeats, 0);
        let told = world.daemon.remarks.iter().filter(|remark| remark.starts_with("4 rows of the hour"));
        assert_eq!(told.count(), 1, "{:?}", world.daemon.remarks);
    }
}

#[test]
fn sessions_that_were_resumed_in_a_later_hour_do_not_make_totals_look_wrong() {
    let mut world = World::new(Endpoint::AppLogins, 100, (false, false));
    comes_late(&mut world, 0, 30);
    for _ in 0..6 {
        world.happen(&OPEN);
        comes_late(&mut world, 0, 40);
        world.happen(&Happening::Resume(0));
        comes_late(&mut world, 0, 20);
        world.happen(&Happening::End(0));
    }
    comes_late(&mut world, 0, 180);
    assert_eq!(world.daemon.remarks, [""; 0]);
    assert_eq!(world.daemon.repeats, 0);
}

#[test]
fn an_hour_that_is_whole_costs_one_request_and_hours_without_a_count_none() {
    let mut world = World::new(Endpoint::AppLogins, 100, (false, false));
    comes_late(&mut world, 0, 8 * 60);
    // Five hours are long over that were counted from their beginning.
    assert_eq!((world.requests - world.polls, world.daemon.repeats), (5, 0));
    assert_eq!(world.daemon.remarks, [""; 0]);
    // In the hour of a new life nobody counted all.
    world.restart();
    let before = world.requests - world.polls;
    comes_late(&mut world, 0, 4 * 60);
    assert!(world.requests - world.polls - before <= 4);
    assert_eq!(world.daemon.remarks, [""; 0]);
}

#[test]
fn totals_that_are_about_something_else_are_soon_left_alone() {
    let mut world = World::new(Endpoint::AppLogins, 100, (false, false));
    comes_late(&mut world, 0, 60);
    world.service.lie = 7;
    comes_late(&mut world, 0, 12 * 60);
    let told = world.daemon.remarks.iter().filter(|remark| remark.contains("no longer compared")).count();
    assert_eq!(told, 1, "{:?}", world.daemon.remarks);
    assert!(!world.daemon.remarks.iter().any(|remark| remark.contains("appeared later")));
}

#[test]
fn a_backlog_is_read_in_parts_of_which_each_is_kept() {
    let mut world = World::new(Endpoint::AppLogins, 100, (false, false));
    let rows = 16_000;
    for number in 0..rows {
        let start = ORIGIN - Millis(7_000_000 * (rows - number) / rows);
        let number = usize::try_from(number).unwrap();
        world.service.rows.push(Row { number, start, visible: start, end: Some(start), edits: 0 });
    }
    let all = world.service.rows.len();
    while world.daemon.marks.is_empty() {
        world.next_poll = world.service.now;
        world.turn();
    }
    assert!(world.daemon.numbers.len() < all, "what was read is kept before all is read");
    world.restart();
    while world.daemon.numbers.len() < all {
        world.next_poll = world.service.now;
        world.turn();
    }
    assert!(world.daemon.marks.len() >= 2, "{:?}", world.daemon.marks);
    assert!(world.daemon.repeats < 10_000, "{}: what was kept is not read again", world.daemon.repeats);
}

fn play_case(endpoint: Endpoint, most: usize, happenings: &[Happening]) {
    let mut world = World::new(endpoint, most, (false, true));
    for happening in happenings {
        world.happen(happening);
        world.turn();
    }
    world.quiet_down();
    for row in &world.service.rows {
        assert!(world.daemon.texts.contains(&row.json(endpoint)), "{row:?}");
    }
}

fn number_of(text: &str) -> usize {
    let row: serde_json::Value = serde_json::from_str(text).unwrap();
    let key = row.get("id").or_else(|| row.get("user_name")).unwrap().as_str().unwrap();
    key.trim_start_matches('u').parse::<usize>().unwrap()
}

/// As many cases as a run of every day has time for, or as `PROPTEST_CASES` asks for beyond the usual
/// 256. A case that fails is printed whole.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let cases = if given.cases > 256 { given.cases } else { 150 };
    ProptestConfig { cases, max_shrink_iters: 5_000, failure_persistence: None, ..given }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_row_and_amendment_is_given_and_no_watermark_is_ahead_of_one(
        happenings in prop::collection::vec(happening(), 1..120),
        most in 1_usize..7,
        endpoint in prop::sample::select(vec![
            Endpoint::DesktopLogins, Endpoint::AppLogins, Endpoint::Sessions, Endpoint::UserEvents,
        ]),
        excludes in any::<(bool, bool)>(),
    ) {
        let mut world = World::new(endpoint, most, excludes);
        for happening in &happenings {
            // A page of one row has none to lap over by, and nobody can tell what went beside it.
            if let (Happening::Both(both), 1) = (happening, most) {
                for one in both.iter() {
                    world.happen(one);
                    world.turn();
                }
            } else {
                world.happen(happening);
                world.turn();
            }
        }
        world.quiet_down();
        // Every row as it stands now came last of its versions, and each row is one row.
        let mut rows = 0;
        for row in &world.service.rows {
            let text = row.json(endpoint);
            let all: Vec<_> = world.daemon.taken.values().filter(|versions| versions.contains(&text)).collect();
            prop_assert_eq!(all.len(), 1, "{:?}", row);
            prop_assert_eq!(all[0].last(), Some(&text));
            rows += 1;
        }
        prop_assert_eq!(world.daemon.taken.len(), rows);
        // A quiet world is asked what it must be and no more, and repeats nothing.
        world.service.now = world.service.now + Millis::mins(20);
        for _ in 0..100 { world.turn(); }
        let repeats = world.daemon.repeats;
        let (requests, polls) = (world.requests, world.polls);
        for _ in 0..10 {
            world.service.now = world.service.now + EVERY;
            for _ in 0..100 { world.turn(); }
        }
        let open = world.service.rows.iter().filter(|row| row.end.is_none()).count();
        prop_assert_eq!(world.polls - polls, 10);
        prop_assert!(world.requests - requests <= 10 * (2 + (open + 2) * (rows + 2)));
        prop_assert_eq!(world.daemon.repeats, repeats);
    }
}
