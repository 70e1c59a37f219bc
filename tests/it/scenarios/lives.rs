//! What befalls a daemon over days: tokens that end, outages, back-fills, several projects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larum::daemon::clock::Clock;
use larum::record::fact::Facts;
use larum::record::scan::Scanner;
use larum::record::{Columns, Locator, Millis, Timestamp};
use larum::route::{Body, Standing};
use larum::simulate::scenario::{self, Play};
use larum::simulate::{List, Options, Scenario, Server, World};
use larum::store::{AlertQuery, DeliveryQuery, Entry, Event, Lane, Store};

use super::{ALL, House, KEY, Stage, TENANT, serve};

fn played(text: &str) -> (Scenario, World) {
    let (read, problems) = scenario::read("scenario.yaml", text);
    let scenario = read.unwrap_or_else(|| panic!("{}", problems.render(false)));
    let Play { world, .. } = scenario.play().unwrap();
    (scenario, world)
}

/// One source of a configuration.
fn source(
    name: &str,
    server: &Server,
    (region, project): (&str, &str),
    endpoints: &str,
    more: &str,
) -> String {
    let (url, app_url) = (server.url(), server.app_url());
    format!(
        "  - name: {name}\n    kind: huawei\n    region: {region}\n    project_id: {project}\n    credentials: {KEY}\n    \
         endpoints: [{endpoints}]\n    base_url: {{workspace: \"{url}\", workspaceapp: \"{app_url}\"}}\n    {more}\n"
    )
}

const BURST: &str = include_str!("../../../rules/identity/failure-burst.yaml");
const HERE: (&str, &str) = ("cn-north-4", Options::PROJECT_ID);

async fn journal(store: &dyn Store) -> Vec<Entry> {
    store.journal(TENANT.into(), 0, usize::MAX).await.unwrap()
}

/// The start of every row that was taken in, by lane and the vendor's key; a row that came again is
/// there once.
fn starts(journal: &[Entry]) -> BTreeMap<String, BTreeMap<String, Timestamp>> {
    let mut lanes: BTreeMap<u16, Lane> = BTreeMap::new();
    let mut starts: BTreeMap<String, BTreeMap<String, Timestamp>> = BTreeMap::new();
    for entry in journal {
        match &entry.event {
            Event::Known(lane) | Event::Joined(lane) => drop(lanes.insert(lane.id.0, lane.clone())),
            Event::Read { lane, rows, .. } => {
                let lane = &lanes[&lane.0];
                let scanner = Scanner::new(
                    Columns::default().freeze(),
                    Arc::new(Facts::default()),
                    lane.origin.clone(),
                );
                let batch = scanner.scan(rows.clone(), Locator(1));
                for (row, line) in batch.rows.iter().zip(rows.lines()) {
                    let fields: serde_json::Value = serde_json::from_str(line).unwrap();
                    let key = fields.get("id").or(fields.get("transaction_id")).unwrap().as_str().unwrap();
                    starts.entry(lane.name.clone()).or_default().insert(key.to_owned(), row.start);
                }
            }
            Event::Generation { .. }
            | Event::Adopted { .. }
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Placed { .. } => {}
        }
    }
    starts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_longer_taken_is_renewed_once() {
    let stage = Stage::new(
        "scenario: tokens\nstart: 2026-03-12T08:00:00Z\nlasts: 2h\nusers: 20\n\
         shifts: [{from: \"08:00\", to: \"10:00\"}]\nfaults:\n  - {kind: stale_token, at: 30m, times: 1}\n  \
         - {kind: stale_token, at: 80m, times: 1}\n",
    );
    let credentials = "{user: simulated-user, password: env:PASSWORD, domain: simulated-account}";
    let came = Stage { credentials, ..stage }.play().await;
    came.is_true();
    assert_eq!((came.answered("401"), came.answered("201")), (2, 3), "{}", came.state);
    assert_eq!(came.state["most_401_in_a_row"], 1, "{}", came.state);
    assert!(came.own.is_empty(), "nobody need hear of it: {:?}", came.own);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_more_than_thirty_days_is_told_with_the_bounds_of_what_is_lost() {
    let (scenario, world) = played(
        "scenario: outage\nstart: 2026-03-01T06:00:00Z\nlasts: 34d\nusers: 5\n\
         a_day: {desktops: 2, apps: 0, launches: 0, sessions: 0, events: 0}\n",
    );
    let clock = Clock::led(scenario.start);
    let server = serve(&scenario, world.clone(), &clock, false).await;
    let house = House::new(clock.clone(), &[BURST]);
    let more = "every: 10m\n    since: 1h\n    requests: {per_second: 5, burst: 20}";
    house.configure(&format!("sources:\n{}", source("prod", &server, HERE, "desktop_logins", more)));
    drop(house.live(scenario.start + Millis::hours(30)).await);
    clock.set(scenario.start + Millis::days(33));
    let store = house.live(scenario.start + Millis::days(34) + Millis::hours(6)).await;

    let rule = Some("larum-source-remark".parse().unwrap());
    let query = AlertQuery { rule, most: ALL, ..AlertQuery::default() };
    let told: Vec<String> =
        store.alerts(query).await.unwrap().into_iter().map(|alert| alert.fired.title).collect();
    let lost: Vec<&String> = told.iter().filter(|text| text.contains("was not read")).collect();
    let [lost] = lost.as_slice() else { panic!("{told:?}") };
    assert!(lost.ends_with("was not read: the service keeps 30d"), "{lost}");
    let words: Vec<&str> = lost.split(' ').collect();
    let bound = |after: &str| {
        let place = words.iter().position(|word| *word == after).unwrap();
        Timestamp::parse(words[place + 1]).unwrap()
    };
    let (from, to) = (bound("from"), bound("to"));
    assert!(to - from > Millis::days(1), "{lost}");

    let starts = starts(&journal(&*store).await);
    let taken: BTreeSet<Timestamp> = starts["prod/desktop_logins"].values().copied().collect();
    let all = world.rows(List::DesktopLogins).iter().filter_map(|row| row.at);
    let (gap, read): (Vec<Timestamp>, Vec<Timestamp>) = all.partition(|at| from <= *at && *at < to);
    // What was read last was settled for a minute yet.
    let settling = |at: &&Timestamp| **at <= from + Millis::mins(2);
    assert!(gap.len() > 5 && read.len() > 200, "{} {}", gap.len(), read.len());
    assert_eq!(gap.iter().filter(|at| taken.contains(at) && !settling(at)).count(), 0);
    let missing: Vec<&Timestamp> = read.iter().filter(|at| !taken.contains(at)).collect();
    assert!(missing.is_empty(), "{lost}: {missing:?}");
    assert_eq!(server.state()["answers"].get("400"), None, "{}", server.state());
}

/// Holds for nearly everybody who has worked for a week.
const STANDING: &str = "rule: clumsy
title: Often wrong
level: low
match: {outcome: failure, service: app}
count: {at_least: 3, within: 20d, by: [user]}
alert: {title: \"{{ user }} is often wrong\"}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_back_fill_goes_on_beside_live_polling_and_ends_in_one_digest_a_rule() {
    let (scenario, world) = played(
        "scenario: back-fill\nstart: 2026-03-12T08:00:00Z\nlasts: 2h\nbefore: 14d\nusers: 40\nfailures: 20%\n\
         shifts: [{from: \"08:00\", to: \"10:00\"}]\n\
         a_day: {desktops: 10, apps: 40, launches: 0, sessions: 0, events: 0}\n",
    );
    let clock = Clock::led(scenario.start);
    let server = serve(&scenario, world.clone(), &clock, false).await;
    let house = House::new(clock, &[STANDING, BURST]);
    let source = |endpoints: &str, since: &str| {
        let more = format!("since: {since}\n    requests: {{per_second: 1, burst: 5}}");
        format!("sources:\n{}", source("prod", &server, HERE, endpoints, &more))
    };
    house.configure(&source("desktop_logins", "1h"));
    drop(house.live(scenario.start + Millis::mins(20)).await);
    house.configure(&source("desktop_logins, app_logins", "14d"));
    let store = house.live(world.complete().unwrap() + Millis::mins(40)).await;

    // While the past was read, so was the present.
    let journal = journal(&*store).await;
    let app = |event: &Event| {
        let (Event::Known(lane) | Event::Joined(lane)) = event else { return None };
        (lane.name == "prod/app_logins").then_some((lane.id, matches!(event, Event::Joined(_))))
    };
    let known =
        journal.iter().position(|entry| app(&entry.event).is_some_and(|(_, joined)| !joined)).unwrap();
    let joined =
        journal.iter().position(|entry| app(&entry.event).is_some_and(|(_, joined)| joined)).unwrap();
    let (id, _) = app(&journal[known].event).unwrap();
    let rows = |of_it: bool| {
        let read = journal[known..joined].iter().map(|entry| {
            let Event::Read { lane, rows, .. } = &entry.event else { return 0 };
            if (*lane == id) == of_it { rows.lines().count() } else { 0 }
        });
        read.sum::<usize>()
    };
    let past = world.rows(List::AppLogins).iter().filter(|row| row.at < Some(scenario.start)).count();
    assert!(rows(true) >= past, "it joins when the past is read: {} of {past}", rows(true));
    assert!(rows(false) > 10, "the present was read meanwhile: {}", rows(false));

    // Every row is there of the days that were asked for.
    let starts = starts(&journal);
    let taken: BTreeSet<Timestamp> = starts["prod/app_logins"].values().copied().collect();
    let since = scenario.start + Millis::mins(21) - Millis::days(14);
    let all = world.rows(List::AppLogins).iter().filter_map(|row| row.at);
    let missing = all.filter(|at| *at >= since && !taken.contains(at)).count();
    assert_eq!((missing, taken.len() > 10_000), (0, true), "{}", taken.len());

    // What still held is told in one message, and nothing of the past by itself.
    let alerts = store.alerts(AlertQuery { most: ALL, ..AlertQuery::default() }).await.unwrap();
    let standing: Vec<_> = alerts.iter().filter(|alert| alert.fired.standing).collect();
    let clumsy = standing.iter().filter(|alert| alert.fired.rule.as_str() == "clumsy").count();
    assert!(clumsy > 20, "{clumsy}");
    let deliveries = store.deliveries(DeliveryQuery { most: ALL, ..DeliveryQuery::default() }).await.unwrap();
    let mut digests: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in &deliveries {
        match &delivery.body {
            // A digest stands for it.
            Body::Alert { .. } if matches!(delivery.standing, Standing::Folded { .. }) => {}
            Body::Alert { id, revision, .. } => {
                let told = standing.iter().find(|alert| alert.fired.id == *id && *revision == 1);
                assert!(told.is_none(), "{:?}", told.map(|alert| &alert.fired.title));
            }
            Body::Digest(digest) if digest.because == "standing" => {
                for line in &digest.lines {
                    *digests.entry(line.rule.to_string()).or_default() += 1;
                }
            }
            Body::Digest(_) => {}
        }
    }
    assert_eq!(digests.get("clumsy"), Some(&1), "{digests:?}");
    assert!(digests.values().all(|digests| *digests == 1), "{digests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projects_of_two_regions_are_read_with_a_budget_each() {
    let (scenario, world) = played(
        "scenario: two\nstart: 2026-03-12T08:00:00Z\nlasts: 20m\nusers: 20\n\
         shifts: [{from: \"08:00\", to: \"08:20\"}]\na_day: {desktops: 5, apps: 5, launches: 5}\n",
    );
    let clock = Clock::led(scenario.start);
    let north = serve(&scenario, world.clone(), &clock, false).await;
    let project = "fedcba9876543210fedcba9876543210";
    let moved = clock.clone();
    let asked = clock.clone();
    let options = Options {
        start: Some(scenario.start),
        project_id: project.to_owned(),
        ..Options::new(move || asked.now()).passing(move |length| moved.set(moved.now() + length))
    };
    let south = Server::start(world.clone(), options).await.unwrap();
    let house = House::new(clock, &[BURST]);
    let (lists, more) =
        ("desktop_logins, app_logins, app_launches", "every: 30s\n    requests: {per_second: 1, burst: 5}");
    house.configure(&format!(
        "sources:\n{}{}",
        source("north", &north, HERE, lists, more),
        source("south", &south, ("ap-southeast-3", project), lists, more)
    ));
    let store = house.live(world.complete().unwrap() + Millis::mins(20)).await;

    let starts = starts(&journal(&*store).await);
    for (name, server) in [("north", &north), ("south", &south)] {
        for list in [List::DesktopLogins, List::AppLogins, List::AppLaunches] {
            let taken = starts[&format!("{name}/{}", list.as_str())].len();
            assert_eq!(taken, world.rows(list).len(), "{name} {}", list.as_str());
        }
        let state = server.state();
        let busiest = state["busiest_minute"].as_u64().unwrap();
        // Each list is asked for in it; that nobody spends another's budget is counted to the request where
        // time stands still: `each_source_has_a_budget_of_its_own_to_the_request`.
        assert!((3..=66).contains(&busiest), "{name}: {state}");
        assert_eq!(state["answers"].get("403"), None, "each is asked for its own project: {state}");
    }
}
