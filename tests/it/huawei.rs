//! The source against the simulated service: it reads what is there, each row once, over HTTP and
//! with signatures that the service verifies.

use std::collections::{BTreeMap, BTreeSet};

use larum::config::{Options, Secrets};
use larum::record::{Millis, Timestamp};
use larum::rule::problem::{Problems, Span};
use larum::rule::yaml;
use larum::simulate::{self, Server, office};
use larum::source::huawei::KIND;
use larum::source::{LiveSource, Step};

/// The wall clock of both.
const WALL: Timestamp = Timestamp(1_767_603_600_000);

fn source_at(url: &str) -> Box<dyn LiveSource> {
    let text = format!(
        "region: ap-southeast-3\nproject_id: {}\ncredentials: {{ak: env:AK, sk: env:SK}}\nsince: 29d\n\
         base_url: {{workspace: \"{url}\", workspaceapp: \"{url}\"}}\nrequests: {{per_second: 200, burst: 1000}}\n",
        simulate::Options::PROJECT_ID
    );
    let mut problems = Problems::new("larum.yaml", text);
    let node = yaml::parse(&mut problems).unwrap();
    let secrets = Secrets::default().with("AK", simulate::Options::AK).with("SK", simulate::Options::SK);
    let options = Options::open(&node, KIND.keys, Span::default(), &mut problems).unwrap();
    let source = (KIND.build)("prod", &options, &secrets, &mut problems);
    source.unwrap_or_else(|| panic!("{}", problems.render(false)))
}

#[tokio::test]
async fn every_row_of_the_simulated_office_is_read_once() {
    let world = office::office(1, office::START).unwrap();
    let there: BTreeMap<&str, usize> =
        world.lists().map(|list| (list.as_str(), world.rows(list).len())).collect();
    let options = simulate::Options { speed: 0, ..simulate::Options::new(|| WALL) };
    let server = Server::start(world, options).await.unwrap();
    server.set_now(server.complete().unwrap() + Millis::mins(10));
    let mut source = source_at(&server.url());
    let lanes: Vec<String> = source.lanes().into_iter().map(|lane| lane.name).collect();
    let (mut now, mut complete) = (WALL, BTreeSet::new());
    let mut read: BTreeMap<&str, usize> = BTreeMap::new();
    while complete.len() < lanes.len() {
        match source.step(now).await {
            Step::Wait(wait) => now = now + wait,
            Step::Failed { trouble, .. } => panic!("{trouble}"),
            Step::Read(reading) => {
                assert_eq!(reading.remarks, [""; 0]);
                *read.entry(lanes[reading.lane].trim_start_matches("prod/")).or_default() +=
                    reading.rows.lines().count();
                if reading.watermark.is_some_and(|(start, _)| start > server.now() - Millis::mins(5)) {
                    complete.insert(reading.lane);
                }
            }
        }
    }
    assert_eq!(read, there);
}
