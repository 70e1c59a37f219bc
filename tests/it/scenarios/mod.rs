//! The whole daemon against the simulated service, in virtual time: the records that it takes in are
//! those that there are, none missing, none twice, and each as it was in the end.
//!
//! [`bullets`] plays what the service is known to do, a test each; [`day`] all of it at once; [`lives`]
//! what befalls a daemon over days: tokens that end, outages, back-fills, several projects.

mod bullets;
mod day;
mod lives;

use std::collections::{BTreeMap, BTreeSet};
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
/// The key that signs.
const KEY: &str = "{ak: env:AK, sk: env:SK}";
/// The password of IAM's only user.
const PASSWORD: &str = "simulated-password";
/// More than any scenario here has.
const ALL: usize = 1_000_000;

/// Where a row stands in time, in the end: its start, and its end where it has one.
type Ends = (Timestamp, Option<Timestamp>);

/// What a row said at some time: list, identity as served, content.
type Versions = BTreeSet<(&'static str, RowId, u64)>;

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
    /// Who asks.
    pub credentials: &'static str,
    /// Both hosts apart.
    pub apart: bool,
    /// What tells rows that the service doubles or renames: played when the truth is asked for, too.
    pub lists: &'static str,
}

/// What came of it.
pub struct Came {
    pub truth: Rows,
    /// What the rows say in the end.
    pub true_versions: Versions,
    pub taken: Rows,
    /// All that rows said when they were taken in.
    pub versions: Versions,
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
            rules: vec![include_str!("../../../rules/identity/failure-burst.yaml")],
            credentials: KEY,
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
        let house = House::new(clock, &self.rules);
        house.configure(&self.configured(&server, &scenario));
        let store = house.live(end - scenario.skew).await;
        let (truth, true_versions) = truth(&scenario, &world, end, self.lists);
        let (taken, repeated, versions) = taken(&*store).await;
        let (latencies, own) = told(&*store).await;
        let state = server.state();
        let amended = versions.len().saturating_sub(taken.len());
        Came { truth, true_versions, taken, versions, repeated, amended, state, latencies, own }
    }

    fn configured(&self, server: &Server, scenario: &Scenario) -> String {
        let (url, app_url) = (server.url(), server.app_url());
        let since = if scenario.before > Millis::ZERO { scenario.before } else { Millis::hours(1) };
        format!(
            "sources:\n  - name: prod\n    kind: huawei\n    region: {REGION}\n    project_id: {}\n    credentials: {}\n    \
             endpoints: [{}]\n    base_url: {{workspace: \"{url}\", workspaceapp: \"{app_url}\", iam: \"{url}\"}}\n    \
             since: {since}\n    {}\n",
            Options::PROJECT_ID,
            self.credentials,
            self.lists,
            self.source
        )
    }
}

/// Where a daemon lives, once or several times.
pub struct House {
    folder: tempfile::TempDir,
    clock: Clock,
}

impl House {
    pub fn new(clock: Clock, rules: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        for (number, rule) in rules.iter().enumerate() {
            std::fs::write(folder.path().join(format!("rules/{number}.yaml")), rule).unwrap();
        }
        Self { folder, clock }
    }

    /// Writes the configuration; all of it but `sources` is always the same.
    pub fn configure(&self, sources: &str) {
        let text = format!(
            "store: larum.db\nrules: [rules]\n{sources}receivers:\n  - {{name: kept, kind: file, path: kept.ndjson}}\n\
             routes:\n  - {{match: {{}}, to: [kept]}}\nops: [kept]\n"
        );
        std::fs::write(self.folder.path().join("larum.yaml"), text).unwrap();
    }

    /// A daemon's life, until then.
    pub async fn live(&self, until: Timestamp) -> Arc<dyn Store> {
        let secrets = Secrets::default().with("AK", Options::AK).with("SK", Options::SK);
        let settings = Settings {
            secrets: secrets.with("PASSWORD", PASSWORD),
            clock: self.clock.clone(),
            watch: false,
            ..Settings::new(self.folder.path().join("larum.yaml"))
        };
        let daemon = Daemon::start(settings).await.unwrap();
        let store = daemon.store();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let mut running = tokio::spawn(daemon.run(stopping));
        let over = async {
            while self.clock.now() < until {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = over => {}
            ended = &mut running => panic!("the daemon has ended: {ended:?}"),
        }
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        store
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
fn truth(scenario: &Scenario, world: &World, end: Timestamp, named: &str) -> (Rows, Versions) {
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
    let (mut rows, mut versions) = (Rows::new(), Versions::new());
    for list in lists(named) {
        let lines = walk(&mut service, list, end);
        let mut twins: BTreeMap<RowId, u32> = BTreeMap::new();
        for (id, version, ends) in scanned(list.as_str(), &lines) {
            versions.insert((list.as_str(), id, version));
            let twin = twins.entry(id).or_default();
            let keyed = list != List::DesktopLogins || lines[0].contains("transaction_id");
            rows.insert((list.as_str(), if keyed { id } else { id.twin(*twin) }), ends);
            *twin += 1;
        }
    }
    (rows, versions)
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

/// What the journal holds: every row as it was taken in last, how many versions came again, and all of
/// them.
async fn taken(store: &dyn Store) -> (Rows, usize, Versions) {
    let mut names = BTreeMap::new();
    let (mut rows, mut versions, mut twins_too) = (Rows::new(), Versions::new(), Versions::new());
    let mut repeated = 0;
    for entry in store.journal(TENANT.into(), 0, usize::MAX).await.unwrap() {
        match entry.event {
            Event::Known(lane) | Event::Joined(lane) => drop(names.insert(lane.id, lane.name)),
            Event::Read { lane, rows: read, twins, .. } => {
                let lines: Vec<String> = read.lines().map(str::to_owned).collect();
                let name = names[&lane].trim_start_matches("prod/");
                let list = List::ALL.into_iter().find(|list| list.as_str() == name).unwrap().as_str();
                for (number, (id, version, ends)) in (0..).zip(scanned(list, &lines)) {
                    let twin = twins.iter().find(|(line, _)| *line == number).map_or(0, |(_, twin)| *twin);
                    versions.insert((list, id, version));
                    let id = id.twin(twin);
                    repeated += usize::from(!twins_too.insert((list, id, version)));
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
    (rows, repeated, versions)
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
