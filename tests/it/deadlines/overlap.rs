//! `overlap` against a model that keeps every session for ever, and its edges.

use std::collections::{BTreeMap, BTreeSet};

use larum::alert::{Draft, State};
use larum::engine::Limits;
use larum::record::{Phase, RecordId};
use proptest::prelude::*;

use crate::world::{DAY, HOUR, MINUTE, Run, SOURCE, START, World, cases, rule, time};

const FOR: i64 = 5 * MINUTE;
const LATE_WITHIN: i64 = 12 * MINUTE;

/// A row: a session as it turns out in the end.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: usize,
    /// Milliseconds after the start.
    at: i64,
    end: Option<i64>,
    user: String,
    /// Degrees east on the equator, a degree being some 111 km, and accuracy in km.
    east: Option<(i32, u32)>,
    device: Option<String>,
    failed: bool,
}

impl Row {
    fn new(id: usize, at: i64) -> Self {
        let user = "ana".to_owned();
        Self { id, at, end: None, user, east: None, device: None, failed: false }
    }

    fn ends(self, at: i64) -> Self {
        Self { end: Some(at), ..self }
    }

    fn on(self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self }
    }

    /// As it is read while the session goes on, or when it has ended.
    fn line(&self, ended: bool) -> String {
        let mut row = serde_json::json!({
            "id": format!("row-{}", self.id), "kind": "login", "start_time": time(self.at).to_string(),
            "user_name": self.user, "outcome": if self.failed { "failure" } else { "success" },
        });
        if let Some((east, radius)) = self.east {
            (row["geo.lat"], row["geo.lon"], row["geo.radius"]) = (0.into(), east.into(), radius.into());
        }
        if let Some(device) = &self.device {
            row["client_name"] = device.as_str().into();
        }
        if let Some(end) = self.end.filter(|_| ended) {
            row["end_time"] = time(end).to_string().into();
        }
        row.to_string()
    }
}

/// A rule as its file says it and as the model knows it.
struct Case {
    body: &'static str,
    /// Which rows are sessions at all.
    is_hit: fn(&Row) -> bool,
    is_pair: fn(&Row, &Row) -> bool,
    cooldown: i64,
}

fn km(a: &Row, b: &Row) -> Option<f64> {
    let ((a, near), (b, far)) = (a.east?, b.east?);
    let angle = f64::from((a - b).abs()).min(360.0 - f64::from((a - b).abs()));
    Some((angle.to_radians() * 6371.0088 - f64::from(near + far)).max(0.0))
}

fn cases_of_rules() -> [Case; 4] {
    [
        Case {
            body: "match: {outcome: [success, failure]}\noverlap: {by: [user], for: 5m}\nlate_within: 12m\n",
            is_hit: |_| true,
            is_pair: |_, _| true,
            cooldown: 0,
        },
        Case {
            body: "match: {outcome: success}\noverlap: {by: [user], for: 5m, where: {km|gte: 500}}\nlate_within: 12m\n",
            is_hit: |row| !row.failed && row.east.is_some(),
            is_pair: |a, b| km(a, b).is_some_and(|km| km >= 500.0),
            cooldown: 0,
        },
        Case {
            body: "match: {outcome: success}\noverlap: {by: [user], for: 5m, where: {device: different}}\nlate_within: 12m\ncooldown: 7m\n",
            is_hit: |row| !row.failed,
            is_pair: |a, b| a.device.is_some() && b.device.is_some() && a.device != b.device,
            cooldown: 7 * MINUTE,
        },
        Case {
            body: "match: {outcome: success}\noverlap: {by: [user], for: 5m, where: {device: same, km|gt: 300, km|lte: 1200}}\nlate_within: 12m\n",
            is_hit: |row| !row.failed && row.east.is_some(),
            is_pair: |a, b| {
                a.device.is_some()
                    && a.device == b.device
                    && km(a, b).is_some_and(|km| km > 300.0 && km <= 1200.0)
            },
            cooldown: 0,
        },
    ]
}

/// A session as far as it is known.
#[derive(Debug, Clone)]
struct Known {
    row: Row,
    id: [u8; 16],
    end: Option<i64>,
}

impl Known {
    fn until(&self) -> i64 {
        self.end.unwrap_or(self.row.at + 31 * DAY)
    }
}

/// Time, group, sessions, begins of the two, late, repeats.
type Line = (i64, String, u64, (i64, i64), bool, u64);

#[derive(Default)]
struct Slow {
    sessions: Vec<Known>,
    alerts: Vec<Line>,
}

impl Slow {
    fn begin(&mut self, session: Known) -> usize {
        let order = |known: &Known| (known.row.at, known.id);
        let place = self.sessions.iter().filter(|other| order(other) < order(&session)).count();
        self.sessions.insert(place, session);
        place
    }

    fn end(&mut self, row: &Row, at: i64) {
        if let Some(known) = self.sessions.iter_mut().find(|known| known.row.id == row.id) {
            known.end = known.end.or(Some(at));
        }
    }

    fn meet(&self, first: usize, second: usize, case: &Case) -> bool {
        let (first, second) = (&self.sessions[first], &self.sessions[second]);
        let due = second.row.at + FOR;
        first.until() >= due && second.until() >= due && (case.is_pair)(&first.row, &second.row)
    }

    fn alert(&self, second: usize, late: bool, case: &Case) -> Option<Line> {
        let firsts: Vec<usize> = (0..second).filter(|first| self.meet(*first, second, case)).collect();
        let (first, second) = (&self.sessions[*firsts.first()?].row, &self.sessions[second].row);
        let count = firsts.len() as u64 + 1;
        Some((second.at + FOR, second.user.clone(), count, (first.at, second.at), late, 0))
    }

    /// An alert holds the group back.
    fn is_held(&self, due: i64, case: &Case) -> bool {
        self.alerts.iter().any(|told| told.0 <= due && due < told.0 + case.cooldown)
    }

    /// What happened in a cooldown joins the last alert, if that is running, and not over at `now`.
    fn join(&mut self, due: i64, now: i64, case: &Case) {
        let last = self.alerts.last_mut().unwrap();
        if last.0 <= due && due.max(now) < last.0 + case.cooldown {
            last.5 += 1;
        }
    }

    fn tell(&mut self, line: Line) {
        self.alerts.push(line);
        self.alerts.sort_by_key(|told| told.0);
    }

    /// Time has come to `due`: sessions that began so long ago are judged.
    fn judge(&mut self, due: i64, case: &Case) {
        let seconds: Vec<usize> =
            (0..self.sessions.len()).filter(|second| self.sessions[*second].row.at + FOR == due).collect();
        // All that are together, counted once each.
        let mut all = BTreeSet::new();
        for second in seconds.iter().copied() {
            let firsts: Vec<usize> = (0..second).filter(|first| self.meet(*first, second, case)).collect();
            all.extend(firsts.first().map(|_| second));
            all.extend(firsts);
        }
        let line = seconds.iter().find_map(|second| self.alert(*second, false, case));
        let line = line
            .map(|(at, user, _, begins, late, repeats)| (at, user, all.len() as u64, begins, late, repeats));
        match line {
            Some(_) if self.is_held(due, case) => self.join(due, due, case),
            Some(line) => self.tell(line),
            None => {}
        }
    }

    fn begin_late(&mut self, session: Known, reached: i64, case: &Case) {
        let place = self.begin(session);
        let mut told = false;
        for second in place..self.sessions.len() {
            let with_it = if second == place {
                (0..place).any(|first| self.meet(first, second, case))
            } else {
                self.meet(place, second, case)
            };
            let due = self.sessions[second].row.at + FOR;
            if !with_it || due > reached {
                continue;
            }
            if self.alerts.iter().any(|told| told.0 == due) {
                continue;
            }
            let line = self.alert(second, true, case).unwrap();
            if self.is_held(due, case) {
                self.join(due, reached, case);
            } else if !told {
                self.tell(line);
                told = true;
            }
        }
    }
}

/// What happens, and when it is learnt.
#[derive(Debug, Clone)]
enum Event {
    Begins(Known),
    Ends(Row, i64),
}

impl Event {
    /// Place in event order: starts before ends.
    fn order(&self) -> (i64, bool, [u8; 16]) {
        match self {
            Self::Begins(known) => (known.row.at, false, known.id),
            Self::Ends(row, at) => (*at, true, [u8::try_from(row.id).unwrap(); 16]),
        }
    }
}

/// The model of all groups, fed as the engine is.
struct Model<'c> {
    case: &'c Case,
    groups: BTreeMap<String, Slow>,
    waiting: Vec<Event>,
    reached: i64,
    seen: BTreeMap<usize, bool>,
}

impl<'c> Model<'c> {
    fn new(case: &'c Case) -> Self {
        Self {
            case,
            groups: BTreeMap::new(),
            waiting: Vec::new(),
            reached: i64::MIN / 2,
            seen: BTreeMap::new(),
        }
    }

    /// A row is read, ended or not.
    fn read(&mut self, row: &Row, id: [u8; 16], ended: bool) {
        let end = row.end.filter(|_| ended);
        let before = self.seen.insert(row.id, end.is_some());
        if before.is_none() && (self.case.is_hit)(row) {
            let known = if row.failed { end.or(Some(row.at)) } else { end };
            self.take(Event::Begins(Known { row: row.clone(), id, end: known }));
        }
        if let (Some(end), None | Some(false)) = (end, before) {
            self.take(Event::Ends(row.clone(), end));
        }
    }

    fn take(&mut self, event: Event) {
        if event.order().0 > self.reached {
            self.waiting.push(event);
            return;
        }
        match event {
            Event::Begins(known) if known.row.at > self.reached - LATE_WITHIN => {
                let group = self.groups.entry(known.row.user.clone()).or_default();
                group.begin_late(known, self.reached, self.case);
            }
            Event::Begins(_) => {}
            Event::Ends(row, at) => self.groups.entry(row.user.clone()).or_default().end(&row, at),
        }
    }

    /// All up to here is known.
    fn come_to(&mut self, reached: i64) {
        self.waiting.sort_by_key(Event::order);
        let due = self.waiting.partition_point(|event| event.order().0 <= reached);
        let events: Vec<Event> = self.waiting.drain(..due).collect();
        for event in events {
            self.pass(event.order().0 - 1);
            match event {
                Event::Begins(known) => {
                    self.groups.entry(known.row.user.clone()).or_default().begin(known);
                }
                Event::Ends(row, at) => self.groups.entry(row.user.clone()).or_default().end(&row, at),
            }
        }
        self.pass(reached);
    }

    /// Judges the instants up to `to`.
    fn pass(&mut self, to: i64) {
        for group in self.groups.values_mut() {
            let mut dues: Vec<i64> = group.sessions.iter().map(|known| known.row.at + FOR).collect();
            dues.sort_unstable();
            dues.dedup();
            for due in dues.into_iter().filter(|due| *due > self.reached && *due <= to) {
                group.judge(due, self.case);
            }
        }
        self.reached = self.reached.max(to);
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.groups.values().flat_map(|group| group.alerts.clone()).collect();
        lines.sort();
        lines
    }
}

fn lines_of(run: &Run<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for fired in run.told.fired() {
        let at = |which: &str| {
            let text = fired.finding.scope[&format!("{which}.at")].as_str().unwrap().to_owned();
            larum::record::Timestamp::parse(&text).unwrap().0 - START
        };
        let changes = run.told.drafts.iter().filter_map(|draft| match draft {
            Draft::Changed(change) if change.id == fired.id && change.state == State::Closed => Some(change),
            Draft::Changed(_) | Draft::Fired(_) => None,
        });
        let repeats = changes.map(|change| change.repeats).max().unwrap_or(0);
        let user = fired.group[0].1.clone().unwrap_or_default();
        let between = (at("first"), at("second"));
        lines.push((fired.at.0 - START, user, fired.finding.count, between, fired.late, repeats));
    }
    lines.sort();
    lines
}

fn id_of(world: &World, row: &Row) -> [u8; 16] {
    let RecordId(id) = world.batch(&[row.line(false)]).record(0, Phase::Start).id();
    id
}

fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let row = (
        (0..30_i64, prop::option::weighted(0.8, 0..14_i64)),
        0..2_u8,
        prop::option::weighted(0.9, ((0..4_i32).prop_map(|step| step * 4), 0..40_u32)),
        prop::option::weighted(0.9, 0..2_u8),
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(row, 0..most).prop_map(|drawn| {
        let made = |(id, ((at, lasts), user, east, device, failed)): (usize, Drawn)| Row {
            end: lasts.filter(|_| !failed).map(|lasts| (at + lasts) * MINUTE),
            user: format!("user-{user}"),
            east,
            device: device.map(|device| format!("pc-{device}")),
            failed,
            ..Row::new(id, at * MINUTE)
        };
        drawn.into_iter().enumerate().map(made).collect()
    })
}

type Drawn = ((i64, Option<i64>), u8, Option<(i32, u32)>, Option<u8>, bool);

/// Reads every row once as it begins and once as it has ended, or at once as it ended; nothing is behind
/// the watermark.
fn in_order(case: &Case, rows: &[Row], order: &[usize], together: &[bool]) -> Result<usize, TestCaseError> {
    let world = World::new(&[rule("r", case.body)]);
    let mut readings: Vec<(usize, usize, bool)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (begins, ends) = (order[2 * number], order[2 * number + 1]);
        if together[number] || row.end.is_none() {
            readings.push((begins, number, true));
        } else {
            readings.extend([(begins.min(ends), number, false), (begins.max(ends), number, true)]);
        }
    }
    readings.sort_unstable();
    let (mut run, mut model) = (world.run(), Model::new(case));
    for (step, part) in readings.chunks(5).enumerate() {
        run.take_lines(&part.iter().map(|(_, number, ended)| rows[*number].line(*ended)).collect::<Vec<_>>());
        let left = &readings[(5 * (step + 1)).min(readings.len())..];
        // As far as nothing is missing.
        let missing = left.iter().map(|(_, number, ended)| match rows[*number].end {
            Some(end) if *ended && !together[*number] => end,
            Some(_) | None => rows[*number].at,
        });
        if let Some(first) = missing.min() {
            run.progress(first - 1);
        }
        if step % 3 == 0 {
            run.restart();
        }
    }
    run.finish();
    for row in rows {
        model.read(row, id_of(&world, row), true);
    }
    model.come_to(100 * DAY);
    let told = lines_of(&run);
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.len())
}

/// Reads rows as time goes by, some of them and some of their ends late, ends being complete later
/// than starts.
fn late(
    case: &Case,
    rows: &[Row],
    delays: &[(i64, i64)],
    lag: i64,
    restart_every: usize,
) -> Result<usize, TestCaseError> {
    let world = World::new(&[rule("r", case.body)]);
    let mut readings: Vec<(i64, usize, bool)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (begins, ends) = (row.at + delays[number].0, row.end.map(|end| end + delays[number].1));
        readings.push((begins, number, ends.is_some_and(|ends| ends <= begins)));
        readings.extend(ends.filter(|ends| *ends > begins).map(|ends| (ends, number, true)));
    }
    readings.sort_unstable();
    let (mut run, mut model) = (world.run(), Model::new(case));
    for (step, (now, number, ended)) in readings.into_iter().enumerate() {
        let outcome = run.engine.progress(SOURCE, time(now - 1), time(now - 1 - lag));
        run.told.drafts.extend(outcome.drafts);
        model.come_to(now - 1 - lag);
        run.take_lines(&[rows[number].line(ended)]);
        model.read(&rows[number], id_of(&world, &rows[number]), ended);
        if step % restart_every == 0 {
            run.restart();
        }
    }
    run.finish();
    model.come_to(100 * DAY);
    let told = lines_of(&run);
    prop_assert_eq!(&told, &model.lines(), "{}", case.body);
    Ok(told.iter().filter(|line| line.4).count())
}

fn delay() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 0, 0, MINUTE, 3 * MINUTE, 5 * MINUTE, 9 * MINUTE, 11 * MINUTE, 40 * MINUTE])
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn sessions_meet_as_in_the_slow_model_in_any_order_ahead_of_the_watermark(
        rows in rows(24),
        order in prop::collection::vec(0..1_000_usize, 48),
        together in prop::collection::vec(any::<bool>(), 24),
    ) {
        for case in cases_of_rules() {
            in_order(&case, &rows, &order, &together)?;
        }
    }

    #[test]
    fn late_sessions_late_ends_and_restarts_are_as_in_the_slow_model(
        rows in rows(24),
        delays in prop::collection::vec((delay(), delay()), 24),
        lag in prop::sample::select(vec![0, MINUTE, 4 * MINUTE]),
        restart_every in 1..9_usize,
    ) {
        for case in cases_of_rules() {
            late(&case, &rows, &delays, lag, restart_every)?;
        }
    }
}

#[test]
fn random_sessions_make_every_rule_fire_in_time_and_late() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let (mut fired, mut late_ones) = ([0; 4], [0; 4]);
    let strategy = (rows(24), prop::collection::vec((delay(), delay()), 24));
    for _ in 0..60 {
        let (rows, delays) = strategy.new_tree(&mut runner).unwrap().current();
        for (number, case) in cases_of_rules().iter().enumerate() {
            fired[number] += in_order(case, &rows, &[0; 48], &[true; 24]).unwrap();
            late_ones[number] += late(case, &rows, &delays, 0, 7).unwrap();
        }
    }
    assert!(fired.iter().all(|count| *count >= 20), "{fired:?}");
    assert!(late_ones.iter().all(|count| *count >= 3), "{late_ones:?}");
}

const TWO_DEVICES: &str =
    "match: {outcome: success}\noverlap: {by: [user], for: 5m, where: {device: different}}\n";

/// When the alerts of `rows`, each read once, fire: minutes after the start.
fn minutes(body: &str, rows: &[Row]) -> Vec<i64> {
    let world = World::new(&[rule("r", body)]);
    let mut run = world.run();
    run.take_lines(&rows.iter().map(|row| row.line(true)).collect::<Vec<_>>());
    run.finish();
    run.told.times().iter().map(|at| at / MINUTE).collect()
}

#[test]
fn an_end_at_the_very_deadline_is_late_enough() {
    let rows = |end| [Row::new(1, 0).on("pc-1").ends(end), Row::new(2, 10 * MINUTE).on("pc-2")];
    assert_eq!(minutes(TWO_DEVICES, &rows(15 * MINUTE)), [15]);
    assert!(minutes(TWO_DEVICES, &rows(15 * MINUTE - 1)).is_empty());
    // It is no matter which of the two ends.
    let rows = |end| [Row::new(1, 0).on("pc-1"), Row::new(2, 10 * MINUTE).on("pc-2").ends(end)];
    assert_eq!(minutes(TWO_DEVICES, &rows(15 * MINUTE)), [15]);
    assert!(minutes(TWO_DEVICES, &rows(15 * MINUTE - 1)).is_empty());
}

#[test]
fn sessions_that_begin_at_one_instant_are_told_together() {
    let world = World::new(&[rule("r", TWO_DEVICES)]);
    let mut run = world.run();
    let rows = [Row::new(1, 0).on("pc-1"), Row::new(2, HOUR).on("pc-2"), Row::new(3, HOUR).on("pc-3")];
    run.take_lines(&rows.iter().map(|row| row.line(true)).collect::<Vec<_>>());
    run.finish();
    assert_eq!(run.told.times(), [HOUR + FOR]);
    let Some(larum::alert::Draft::Fired(fired)) = run.told.drafts.first() else {
        panic!("{:?}", run.told.drafts)
    };
    assert_eq!((fired.finding.count, fired.sights.len()), (3, 3), "{fired:?}");
}

#[test]
fn an_end_at_the_very_deadline_is_remembered_where_nothing_may_be_late() {
    let body = TWO_DEVICES.to_owned() + "late_within: off\n";
    let due = 15 * MINUTE;
    let rows = [
        Row::new(1, 0).on("pc-1").ends(due),
        Row::new(2, 10 * MINUTE).on("pc-2"),
        Row::new(3, MINUTE).on("pc-1").ends(due),
    ];
    assert_eq!(minutes(&body, &rows), [15]);
}

#[test]
fn a_session_whose_end_is_unknown_counts_only_once_ends_are_known_up_to_the_deadline() {
    let world = World::new(&[rule("r", TWO_DEVICES)]);
    let mut run = world.run();
    let (first, second) = (Row::new(1, 0).on("pc-1"), Row::new(2, 10 * MINUTE).on("pc-2"));
    run.take_lines(&[first.line(false), second.line(false)]);
    let progress = |run: &mut Run<'_>, start: i64, end: i64| {
        let outcome = run.engine.progress(SOURCE, time(start), time(end));
        run.told.drafts.extend(outcome.drafts);
    };
    // Starts are complete for an hour; what was open was last read again before the deadline.
    progress(&mut run, HOUR, 15 * MINUTE - 1);
    assert!(run.told.times().is_empty());
    progress(&mut run, HOUR, 15 * MINUTE);
    assert_eq!(run.told.times(), [15 * MINUTE]);
}

#[test]
fn an_end_that_comes_however_late_closes_the_session() {
    let world = World::new(&[rule("r", TWO_DEVICES)]);
    let mut run = world.run();
    let first = Row::new(1, 0).on("pc-1").ends(MINUTE);
    run.take_lines(&[first.line(false)]);
    run.progress(3 * HOUR);
    // Two hours later than a late record may come.
    run.take_lines(&[first.line(true)]);
    run.take_lines(&[Row::new(2, 4 * HOUR).on("pc-2").line(true)]);
    run.finish();
    assert!(run.told.times().is_empty(), "{:?}", run.told.times());
}

#[test]
fn what_nobody_has_ended_for_a_month_is_over() {
    let rows = |at| [Row::new(1, 0).on("pc-1"), Row::new(2, at).on("pc-2")];
    let month = 31 * DAY;
    assert_eq!(minutes(TWO_DEVICES, &rows(month - FOR)), [month / MINUTE]);
    assert!(minutes(TWO_DEVICES, &rows(month - FOR + 1)).is_empty());
}

#[test]
fn the_end_of_a_session_that_was_no_hit_makes_no_group() {
    let world = World::new(&[rule("r", TWO_DEVICES)]);
    let mut run = world.run();
    run.take_lines(&[Row { failed: true, ..Row::new(1, 0) }.ends(MINUTE).line(true)]);
    run.progress(HOUR);
    assert_eq!(run.engine.groups(&"r".parse().unwrap()), 0);
}

#[test]
fn a_group_goes_when_its_sessions_have_ended_and_nothing_late_can_come() {
    let world = World::new(&[rule("r", TWO_DEVICES)]);
    let mut run = world.run();
    run.take_lines(&[Row::new(1, 0).ends(10 * MINUTE).line(true)]);
    run.progress(70 * MINUTE);
    assert_eq!(run.engine.groups(&"r".parse().unwrap()), 1);
    run.progress(70 * MINUTE + 1);
    assert_eq!(run.engine.groups(&"r".parse().unwrap()), 0);
}

#[test]
fn a_group_with_too_many_sessions_lets_the_oldest_go_and_counts_it() {
    use larum::rule::verb::MAX_RECORDS;
    let body = "match: {outcome: success}\noverlap: {for: 5m, where: {device: different}}\n";
    let world = World::bounded(&[rule("r", body)], Limits::default());
    let mut run = world.run();
    // The first is on a device of its own.
    let row = |id: usize| Row::new(id, i64::try_from(id).unwrap()).on(if id == 0 { "pc-0" } else { "pc-1" });
    let lines: Vec<String> = (0..=MAX_RECORDS).map(|id| row(id).line(false)).collect();
    run.take_lines(&lines);
    run.finish();
    let (_, counters) = &run.counters()[0];
    // All but the last have the first beside them; the last has pushed it out, before anybody's deadline.
    assert_eq!((counters.records_dropped, counters.alerts), (1, 0));
    assert_eq!(counters.hits, MAX_RECORDS as u64 + 1);
}

#[test]
fn sessions_of_other_kinds_are_found_to_end_as_well() {
    let body = "match: {kind: app_launch, app_name: Vault}\noverlap: {by: [user], for: 5m}\n";
    let world = World::new(&[rule("r", body)]);
    let launch = |id: u32, at: i64, end: Option<i64>, app: &str| {
        let end = end.map_or(serde_json::Value::Null, |end| time(end).to_string().into());
        let row = serde_json::json!({"id": format!("{id}"), "kind": "app_launch", "start_time": time(at).to_string(),
            "end_time": end, "user_name": "ana", "app_name": app, "outcome": "success"});
        row.to_string()
    };
    let told = |lines: &[String]| {
        let mut run = world.run();
        run.take_lines(lines);
        run.finish();
        run.told.times()
    };
    assert_eq!(told(&[launch(1, 0, None, "Vault"), launch(2, HOUR, None, "Vault")]), [HOUR + FOR]);
    assert!(told(&[launch(1, 0, None, "Mail"), launch(2, HOUR, None, "Vault")]).is_empty());
    assert!(told(&[launch(1, 0, Some(HOUR), "Vault"), launch(2, HOUR, None, "Vault")]).is_empty());
}
