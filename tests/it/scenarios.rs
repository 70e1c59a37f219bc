//! What the vendor's service is known to do (`reference/huawei-api.md`, 15), through the whole daemon
//! and in virtual time: the records that it takes in are those that there are, none missing, none
//! twice, and each as it was in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use larum::config::Secrets;
use larum::daemon::clock::Clock;
use larum::daemon::run::{Daemon, Settings};
use larum::record::fact::Facts;
use larum::record::scan::{Endpoint, Origin, Scanner};
use larum::record::{Columns, Locator, Millis, RowId, Timestamp};
use larum::simulate::scenario::{self, Play};
use larum::simulate::{List, Options, Request, Scenario, Server, Simulation, Trouble, World};
use larum::store::{AlertQuery, DeliveryQuery, Event, Store};
use serde_json::Value as Json;

const REGION: &str = "cn-north-4";
const TENANT: &str = "default";
const TOKEN: &str = "TRUTH";
/// More than any scenario here has.
const ALL: usize = 1_000_000;

/// Where a row stands in time, in the end: its start, and its end where it has one.
type Ends = (Timestamp, Option<Timestamp>);

/// A row by list, identity and number among equal twins.
type Rows = BTreeMap<(&'static str, RowId), Ends>;

/// How a scenario is played.
pub struct Stage {
    /// The scenario's text.
    pub scenario: String,
    /// Further keys of the source.
    pub source: String,
    /// Rule files.
    pub rules: Vec<&'static str>,
    /// Both hosts apart.
    pub apart: bool,
    /// What tells rows that the service doubles or renames: played when the truth is asked for, too.
    pub lists: &'static str,
}

/// What came of it.
pub struct Came {
    pub truth: Rows,
    pub taken: Rows,
    /// Versions of rows that came in more than once.
    pub repeated: usize,
    /// Versions of rows beyond the first.
    pub amended: usize,
    /// What the service says of itself.
    pub state: Json,
    /// From the record that tips an alert to the commit that owes its message, in milliseconds.
    pub latencies: Vec<i64>,
    /// Alerts of Larum's own, by rule.
    pub own: BTreeSet<String>,
}

impl Stage {
    pub fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            source: "every: 2m\n    requests: {per_second: 5, burst: 20}".to_owned(),
            rules: vec![include_str!("../../rules/identity/failure-burst.yaml")],
            apart: false,
            lists: "desktop_logins, app_logins, app_launches, sessions, user_events",
        }
    }

    pub async fn play(self) -> Came {
        let (read, problems) = scenario::read("scenario.yaml", &self.scenario);
        let scenario = read.unwrap_or_else(|| panic!("{}", problems.render(false)));
        let Play { world, .. } = scenario.play().unwrap();
        let clock = Clock::led(scenario.start - scenario.skew);
        let server = serve(&scenario, world.clone(), &clock, self.apart).await;
        // Whoever works at the end works for some hours more, and what comes late comes then.
        let end = world.complete().unwrap().max(scenario.start + scenario.lasts) + Millis::mins(40);
        let folder = tempfile::tempdir().unwrap();
        self.configure(folder.path(), &server, &scenario);
        let settings = Settings {
            secrets: Secrets::default().with("AK", Options::AK).with("SK", Options::SK),
            clock: clock.clone(),
            watch: false,
            ..Settings::new(folder.path().join("larum.yaml"))
        };
        let daemon = Daemon::start(settings).await.unwrap();
        let store = daemon.store();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let mut running = tokio::spawn(daemon.run(stopping));
        let over = async {
            while clock.now() + scenario.skew < end {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = over => {}
            ended = &mut running => panic!("the daemon has ended: {ended:?}"),
        }
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        let truth = truth(&scenario, &world, end, self.lists);
        let (taken, repeated, amended) = taken(&*store).await;
        let (latencies, own) = told(&*store).await;
        Came { truth, taken, repeated, amended, state: server.state(), latencies, own }
    }

    fn configure(&self, folder: &Path, server: &Server, scenario: &Scenario) {
        let (url, app_url) = (server.url(), server.app_url());
        let since = if scenario.before > Millis::ZERO { scenario.before } else { Millis::hours(1) };
        let text = format!(
            "store: larum.db\nrules: [rules]\nsources:\n  - name: prod\n    kind: huawei\n    region: {REGION}\n    \
             project_id: {}\n    credentials: {{ak: env:AK, sk: env:SK}}\n    endpoints: [{}]\n    \
             base_url: {{workspace: \"{url}\", workspaceapp: \"{app_url}\"}}\n    since: {since}\n    {}\n\
             receivers:\n  - {{name: kept, kind: file, path: kept.ndjson}}\nroutes:\n  \
             - {{match: {{}}, to: [kept]}}\nops: [kept]\n",
            Options::PROJECT_ID,
            self.lists,
            self.source
        );
        std::fs::create_dir(folder.join("rules")).unwrap();
        for (number, rule) in self.rules.iter().enumerate() {
            std::fs::write(folder.join(format!("rules/{number}.yaml")), rule).unwrap();
        }
        std::fs::write(folder.join("larum.yaml"), text).unwrap();
    }
}

async fn serve(scenario: &Scenario, world: World, clock: &Clock, apart: bool) -> Server {
    let (asked, moved) = (clock.clone(), clock.clone());
    let options = Options {
        start: Some(scenario.start),
        skew: scenario.skew,
        troubles: scenario.faults.clone(),
        listen_app: apart.then_some(([127, 0, 0, 1], 0).into()),
        ..Options::new(move || asked.now()).passing(move |length| moved.set(moved.now() + length))
    };
    Server::start(world, options).await.unwrap()
}

/// Lists by the names that the configuration gave them.
fn lists(named: &str) -> Vec<List> {
    List::ALL.into_iter().filter(|list| named.contains(list.as_str())).collect()
}

/// Every row as the service shows it once it is calm, walked through page by page.
fn truth(scenario: &Scenario, world: &World, end: Timestamp, named: &str) -> Rows {
    let still = |trouble: &Trouble| {
        let kind = trouble.to_json()["kind"].as_str().unwrap_or_default().to_owned();
        let shape = ["doubled", "same_ids", "no_ids", "start_moves", "spelling"].contains(&kind.as_str());
        shape && trouble.times.is_none() && trouble.when == larum::simulate::When::default()
    };
    let troubles = scenario.faults.iter().filter(|trouble| still(trouble)).cloned().collect();
    let options = Options {
        start: Some(end + Millis::hours(1)),
        speed: 0,
        tokens: vec![TOKEN.to_owned()],
        troubles,
        ..Options::new(|| Timestamp(0))
    };
    let mut service = Simulation::new(world.clone(), &options, Timestamp(0)).unwrap();
    let mut rows = Rows::new();
    for list in lists(named) {
        let lines = walk(&mut service, list, end);
        let mut twins: BTreeMap<RowId, u32> = BTreeMap::new();
        for (id, _, ends) in scanned(list.as_str(), &lines) {
            let twin = twins.entry(id).or_default();
            let keyed = list != List::DesktopLogins || lines[0].contains("transaction_id");
            rows.insert((list.as_str(), if keyed { id } else { id.twin(*twin) }), ends);
            *twin += 1;
        }
    }
    rows
}

fn walk(service: &mut Simulation, list: List, end: Timestamp) -> Vec<String> {
    let project = Options::PROJECT_ID;
    let spelt = |at: Timestamp| at.to_string();
    let window = (spelt(end - Millis::days(29)), spelt(end));
    let headers = [("X-Auth-Token".to_owned(), TOKEN.to_owned())];
    let mut lines: Vec<String> = Vec::new();
    loop {
        let offset = lines.len();
        let page = format!("limit=100&offset={offset}");
        let (method, target) = match list {
            List::DesktopLogins => ("GET", format!("/v2/{project}/connections/desktops?{page}")),
            List::AppLogins => ("POST", format!("/v1/{project}/session/user-connection?{page}")),
            List::AppLaunches => ("POST", format!("/v1/{project}/session/app-connection?{page}")),
            List::Sessions => (
                "GET",
                format!(
                    "/v1/{project}/session/list-sessions?{page}&query_begin_time={}&query_end_time={}",
                    window.0, window.1
                ),
            ),
            List::UserEvents => (
                "GET",
                format!("/v2/{project}/user-events?{page}&start_time={}&end_time={}", window.0, window.1),
            ),
        };
        let request =
            Request { method, target: &target, headers: &headers, body: b"", local: true, host: None };
        let answer = service.answer(&request, Timestamp(0));
        let body: Json = serde_json::from_slice(&answer.body).unwrap();
        let items = body.get("items").or(body.get("records")).and_then(Json::as_array);
        let items = items.unwrap_or_else(|| panic!("{body}"));
        if items.is_empty() {
            return lines;
        }
        lines.extend(items.iter().map(Json::to_string));
    }
}

/// Identity, version and ends of each line.
fn scanned(endpoint: &str, lines: &[String]) -> Vec<(RowId, u64, Ends)> {
    let endpoint = Endpoint::ALL.into_iter().find(|known| known.as_str() == endpoint).unwrap();
    let origin = Origin::huawei(REGION, Options::PROJECT_ID, endpoint);
    let scanner = Scanner::new(Columns::default().freeze(), Arc::new(Facts::default()), origin);
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let batch = scanner.scan(text, Locator(1));
    assert_eq!(batch.rows.len(), lines.len());
    batch.rows.iter().map(|row| (row.id, row.version, (row.start, row.end))).collect()
}

/// What the journal holds: every row as it was taken in last, versions that came again, and versions
/// beyond the first.
async fn taken(store: &dyn Store) -> (Rows, usize, usize) {
    let mut names = BTreeMap::new();
    let (mut rows, mut versions) = (Rows::new(), BTreeSet::new());
    let (mut repeated, mut all) = (0, 0);
    for entry in store.journal(TENANT.into(), 0, usize::MAX).await.unwrap() {
        match entry.event {
            Event::Known(lane) | Event::Joined(lane) => drop(names.insert(lane.id, lane.name)),
            Event::Read { lane, rows: read, twins, .. } => {
                let lines: Vec<String> = read.lines().map(str::to_owned).collect();
                let name = names[&lane].trim_start_matches("prod/");
                let list = List::ALL.into_iter().find(|list| list.as_str() == name).unwrap().as_str();
                for (number, (id, version, ends)) in (0..).zip(scanned(list, &lines)) {
                    let twin = twins.iter().find(|(line, _)| *line == number).map_or(0, |(_, twin)| *twin);
                    let id = id.twin(twin);
                    all += 1;
                    repeated += usize::from(!versions.insert((list, id, version)));
                    rows.insert((list, id), ends);
                }
            }
            Event::Generation { .. }
            | Event::Adopted { .. }
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Placed { .. } => {}
        }
    }
    let amended = all - rows.len();
    (rows, repeated, amended)
}

async fn told(store: &dyn Store) -> (Vec<i64>, BTreeSet<String>) {
    let alerts = store.alerts(AlertQuery { most: ALL, ..AlertQuery::default() }).await.unwrap();
    let deliveries = store.deliveries(DeliveryQuery { most: ALL, ..DeliveryQuery::default() }).await.unwrap();
    let owed: BTreeMap<String, Timestamp> = deliveries
        .iter()
        .filter_map(|delivery| match &delivery.body {
            larum::route::Body::Alert { id: alert, revision: 1, .. } => {
                Some((alert.to_string(), delivery.created))
            }
            larum::route::Body::Alert { .. } | larum::route::Body::Digest(_) => None,
        })
        .collect();
    let own = |rule: &str| rule.starts_with("larum-");
    let latency = |alert: &larum::store::KeptAlert| {
        let created = owed.get(&alert.fired.id.to_string())?;
        (!own(alert.fired.rule.as_str())).then(|| (*created - alert.fired.at).0)
    };
    let mut latencies: Vec<i64> = alerts.iter().filter_map(latency).collect();
    latencies.sort_unstable();
    let own = alerts.iter().map(|alert| alert.fired.rule.to_string()).filter(|rule| own(rule)).collect();
    (latencies, own)
}

impl Came {
    /// None missing, none twice, each as it was in the end.
    #[track_caller]
    pub fn is_true(&self) -> &Self {
        let missing = self.truth.keys().filter(|key| !self.taken.contains_key(*key)).count();
        let invented = self.taken.keys().filter(|key| !self.truth.contains_key(*key)).count();
        let differs =
            self.taken.iter().filter(|(key, ends)| self.truth.get(*key).is_some_and(|true_| true_ != *ends));
        let differs: Vec<_> = differs.map(|(key, ends)| (key, ends, self.truth[key])).take(3).collect();
        let all = self.truth.len();
        assert!(all > 0, "nothing was there");
        assert_eq!((missing, invented, self.repeated), (0, 0, 0), "of {all} rows; {}", self.state);
        assert!(differs.is_empty(), "of {all} rows, (row, taken in, true): {differs:?}");
        assert_eq!(self.state["answers"].get("400"), None, "{}", self.state);
        self
    }

    /// How often the service has answered so.
    pub fn answered(&self, status: &str) -> u64 {
        self.state["answers"][status].as_u64().unwrap_or_default()
    }
}

/// Two hours of twenty people, with `faults`.
fn hours(faults: &str) -> Stage {
    Stage::new(&format!(
        "scenario: bullet\nstart: 2026-03-12T08:00:00Z\nlasts: 2h\nusers: 20\nfailures: 10%\n\
         shifts: [{{from: \"08:00\", to: \"10:00\"}}]\na_day: {{desktops: 3, apps: 3, launches: 3, sessions: 2, events: 2}}\n\
         faults:\n{faults}\n"
    ))
}

/// The same; every row is taken in once.
async fn holds(faults: &str) -> Came {
    let came = hours(faults).play().await;
    came.is_true();
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_any_order() {
    let oldest = holds("  - {kind: order, by: oldest_first}").await;
    assert!(oldest.amended > 50, "rows that were open have ended: {}", oldest.amended);
    holds("  - {kind: order, by: shuffled}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_born_late() {
    holds("  - {kind: late_births, by: 10m, one_in: 3}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_moves_when_a_session_is_resumed() {
    // Only where a row has a key of its own: its start is part of a desktop row's identity.
    holds("  - {kind: start_moves, by: 7m, one_in: 3, endpoint: app_logins}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_between_two_pages() {
    holds("  - {kind: inserted, rows: 3, every: 3}\n  - {kind: time_passes, by: 20s, every: 4}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_lie() {
    holds("  - {kind: total, by: 3, every: 2}").await;
    holds("  - {kind: total, by: -3, every: 3}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hosts_are_apart() {
    let came = Stage { apart: true, ..hours("  - {kind: internal, times: 1}") }.play().await;
    came.is_true();
    assert_eq!(came.answered("404"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_clock_is_twenty_minutes_ahead() {
    let stage = hours("  - {kind: internal, times: 1}");
    let came = Stage { scenario: format!("{}skew: 20m\n", stage.scenario), ..stage }.play().await;
    came.is_true();
    assert_eq!(came.answered("401"), 1, "the first signature told how late it is there: {}", came.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_throttles_with_and_without_saying_for_how_long() {
    let came = holds(
        "  - {kind: throttled, limit: 5, time: 60, at: 20m, for: 5m}\n  \
         - {kind: throttled, limit: 1, time: 1, retry_after: 40, at: 1h, times: 4}",
    )
    .await;
    assert!(came.answered("429") > 4, "{}", came.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_for_a_while_in_every_way() {
    let came = holds(
        "  - {kind: internal, at: 5m, for: 3m}\n  - {kind: bad_gateway, at: 20m, for: 3m}\n  \
         - {kind: unavailable, at: 40m, for: 20m}\n  - {kind: gateway_timeout, every: 7}",
    )
    .await;
    for status in ["500", "502", "503", "504"] {
        assert!(came.answered(status) > 0, "{status}: {}", came.state);
    }
    assert!(came.own.contains("larum-source-failing"), "{:?}", came.own);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_slow_cut_off_or_broken() {
    holds(
        "  - {kind: slow, by: 45s, every: 5}\n  - {kind: cut, after: 250, every: 6}\n  \
         - {kind: cut, after: 0, every: 11}\n  - {kind: truncated, every: 8}",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_is_an_error_or_a_page_for_people() {
    holds("  - {kind: error_in_200, every: 4}\n  - {kind: html_in_200, every: 5}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_null_or_not_there() {
    holds("  - {kind: items_null, every: 4}\n  - {kind: items_missing, every: 5}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_spelt_in_every_way_and_open_ends_too() {
    for end in ["year_one", "empty", "null"] {
        holds(&format!("  - {{kind: spelling, by: mixed}}\n  - {{kind: open_end, by: {end}}}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_unknown_numbers_nulls_or_absent() {
    holds("  - {kind: unknown_fields}\n  - {kind: numbers}\n  - {kind: nulls}\n  - {kind: success_words}")
        .await;
    holds("  - {kind: absent}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_twice() {
    holds("  - {kind: doubled, one_in: 3, endpoint: app_logins}\n  - {kind: doubled, one_in: 2, endpoint: sessions}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn desktop_rows_have_no_ids_and_equal_twins() {
    let twins = "  - {kind: no_ids}\n  - {kind: doubled, one_in: 3, endpoint: desktop_logins}";
    let came = Stage { lists: "desktop_logins", ..hours(twins) }.play().await;
    came.is_true();
    assert!(came.truth.len() > 70, "{}", came.truth.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_taken_away_and_given_back() {
    let came = holds("  - {kind: forbidden, at: 30m, for: 20m, endpoint: app_logins}").await;
    assert_eq!(came.answered("403"), 1, "a refusal is tried again after half an hour: {}", came.state);
    assert!(came.own.contains("larum-source-failing"), "{:?}", came.own);
}

/// A day of `users` people with all that can go wrong at once, as far as no record is lost by it.
fn day(users: u32, lasts: &str, shifts: &str, a_day: &str) -> Stage {
    let scenario = format!(
        "scenario: day
start: 2026-03-12T06:00:00Z
lasts: {lasts}
users: {users}
offices:
  - {{name: north, network: 192.0.2.0/25, share: 50%}}
  - {{name: south, network: 192.0.2.128/25, share: 30%}}
shifts: [{shifts}]
roaming: 2%
failures: 1%
a_day: {{{a_day}, sessions: 0, events: 0}}
releases: [{{at: 2h, version: 24.1.0.0, within: 3h}}]
attacks:
  - {{kind: guessing, at: 20m, within: 4m, acts: 12}}
  - {{kind: takeover, at: 40m, within: 6m, acts: 9}}
  - {{kind: guessing, at: 65m, within: 4m, acts: 12, endpoint: app_logins}}
  - {{kind: guessing, at: 90m, within: 4m, acts: 60, users: 5}}
  - {{kind: outage, at: 100m, within: 5m, acts: 60, users: 10}}
faults:
  - {{kind: late_births, by: 40s, one_in: 10}}
  - {{kind: order, by: oldest_first, endpoint: app_launches}}
  - {{kind: order, by: shuffled, endpoint: app_logins, every: 3}}
  - {{kind: spelling, by: mixed, endpoint: app_logins}}
  - {{kind: open_end, by: year_one, endpoint: app_logins}}
  - {{kind: unknown_fields}}
  - {{kind: numbers}}
  - {{kind: success_words}}
  - {{kind: inserted, rows: 3, every: 17}}
  - {{kind: time_passes, by: 1s, every: 97}}
  - {{kind: doubled, one_in: 50, endpoint: app_launches}}
  - {{kind: start_moves, by: 7m, one_in: 40, endpoint: app_logins}}
  - {{kind: total, by: 1, every: 89}}
  - {{kind: items_missing, every: 101}}
  - {{kind: throttled, limit: 5, time: 5, every: 211}}
  - {{kind: throttled, limit: 60, time: 60, retry_after: 30, every: 907}}
  - {{kind: internal, every: 103}}
  - {{kind: bad_gateway, every: 107}}
  - {{kind: unavailable, at: 30m, for: 90s}}
  - {{kind: gateway_timeout, every: 109}}
  - {{kind: error_in_200, every: 113}}
  - {{kind: html_in_200, every: 127}}
  - {{kind: cut, after: 300, every: 131}}
  - {{kind: truncated, every: 137}}
  - {{kind: slow, by: 35s, every: 139}}
  - {{kind: forbidden, at: 50m, times: 1}}
"
    );
    Stage {
        source: "requests: {per_second: 1, burst: 5}".to_owned(),
        lists: "desktop_logins, app_logins, app_launches",
        ..Stage::new(&scenario)
    }
}

/// People of the quick form.
const QUICK: u32 = 30;
/// Requests within a minute at one a second and five at once, and the one that is under way.
const BUSIEST: u64 = 60 + 5 + 1;

#[expect(clippy::disallowed_methods, reason = "how large the day is, is for the acceptance run to say")]
#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_all_faults_at_once_is_taken_in_whole_and_within_the_budget() {
    let users = std::env::var("LARUM_USERS").ok().map(|users| users.parse().unwrap());
    let stage = match users {
        Some(users) => {
            let shifts = "{from: \"06:00\", to: \"15:00\", share: 60%}, {from: \"12:00\", to: \"22:00\"}";
            day(users, "1d", shifts, "desktops: 2, apps: 1, launches: 2")
        }
        None => day(QUICK, "2h", "{from: \"06:00\", to: \"08:00\"}", "desktops: 6, apps: 4, launches: 4"),
    };
    let came = stage.play().await;
    came.is_true();
    let busiest = came.state["busiest_minute"].as_u64().unwrap();
    assert!(busiest <= BUSIEST, "{}", came.state);
    assert!(came.state["most_401_in_a_row"].as_u64() < Some(2), "{}", came.state);
    assert!(!came.latencies.is_empty(), "attacks are told of");
    let at = |percent: usize| came.latencies[(came.latencies.len() - 1) * percent / 100] / 1_000;
    println!(
        "{} users: {} rows, {} versions, {} requests, busiest minute {busiest}, {} alerts, record to alert p50 {} s, \
         p99 {} s",
        users.unwrap_or(QUICK),
        came.taken.len(),
        came.taken.len() + came.amended,
        came.state["requests"],
        came.latencies.len(),
        at(50),
        at(99)
    );
}

#[tokio::test]
async fn a_led_clock_is_moved_by_the_one_who_leads() {
    let clock = Clock::led(Timestamp(0));
    let (leader, follower) = (clock.leading(), clock.clone());
    let leading = async {
        leader.sleep(Millis(60)).await;
        assert_eq!(clock.now(), Timestamp(60));
        leader.sleep(Millis(60)).await;
    };
    // The first is asked first, so that it waits when the other moves the clock.
    tokio::join!(follower.sleep(Millis(100)), leading);
    assert_eq!(clock.now(), Timestamp(120));
}
