//! One question to each endpoint of a source, for an operator who asks whether it can be read.
//!
//! One page is asked for. Credentials that are refused once are used no more: five bad
//! tries would lock the key for everybody.

use std::sync::Arc;

use reqwest::Url;

use super::api::{Api, Ask};
use super::client::{Requests, Silence, host_of};
use super::keys::Settings;
use super::trouble::{Bad, for_good, judge};
use super::{probe, project};
use crate::config::{Options, Secrets};
use crate::record::scan::{Origin, Scanner};
use crate::record::{Column, Columns, Locator, Millis, Phase, Timestamp};
use crate::rule::problem::Problems;

/// Fields that rules often ask for and that not every endpoint has.
const TELLING: [&str; 12] = [
    "public_ip",
    "client_ip",
    "client_mac",
    "machine_name",
    "failed_code",
    "failed_reason",
    "network_rtt",
    "e2e_rtt",
    "end_time",
    "app_name",
    "session_state",
    "event_type",
];
/// Rows of the page that is asked for.
const PAGE: u32 = 100;

/// What a question to one endpoint showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The endpoint's name in configurations.
    pub endpoint: &'static str,
    /// The IAM action that it needs.
    pub action: &'static str,
    /// Who was asked.
    pub host: String,
    /// How far the host's clock is ahead of ours; none where it did not say.
    pub ahead: Option<Millis>,
    /// What came of it.
    pub outcome: Outcome,
    /// Rows that were read to find out the following.
    pub read: usize,
    /// The newest of them.
    pub newest: Option<Timestamp>,
    /// Fields of weight that its rows never hold.
    pub lacks: Vec<&'static str>,
    /// Fields of weight that its rows may hold, and none of those that were read does.
    pub absent: Vec<&'static str>,
}

/// What the questions to one source showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What it asks with, in words.
    pub asks_with: &'static str,
    /// The project that it asks for; empty where nobody knows it.
    pub project_id: String,
    /// One an endpoint.
    pub findings: Vec<Finding>,
}

/// What came of a question. Texts hold no secret and say the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It may be read; with how many rows it has of the last hour, where it says.
    Open {
        /// The total of the answer.
        rows: Option<u64>,
    },
    /// Nobody answered.
    Unreachable(String),
    /// The credentials, or the clock that signs with them, are no good.
    Credentials(String),
    /// The credentials are good, and this endpoint is refused.
    Refused(String),
    /// It asks for fewer requests; what it says of its limit.
    Throttled(String),
    /// It answered, and not with a page.
    Odd(String),
    /// Not asked, because the credentials were refused before.
    NotAsked,
}

/// Sees to it that somebody can ask, and of which project.
pub(super) async fn ready(
    requests: &mut Requests,
    iam: Option<&Url>,
    region: &str,
    now: Timestamp,
) -> Result<(), String> {
    if requests.keeper.is_due(now) {
        requests.renew(now).await.map_err(|no| no.text)?;
    }
    if requests.project_id.is_empty() {
        requests.project_id = project::ask(requests, iam, region, now).await?;
    }
    Ok(())
}

/// Asks each endpoint once. None where the source cannot be built; why is noted.
pub async fn examine(
    options: &Options<'_>,
    secrets: &Secrets,
    problems: &mut Problems,
    clock: impl Fn() -> Timestamp,
) -> Option<Examined> {
    let settings = Settings::read(options, secrets, problems)?;
    let mut requests =
        Requests::new(settings.keeper, settings.project_id.unwrap_or_default(), &settings.proxies).ok()?;
    let ready = ready(&mut requests, settings.iam.as_ref(), &settings.region, clock()).await;
    let (mut findings, mut refused) = (Vec::new(), false);
    for api in settings.apis {
        let Some((_, base)) = settings.bases.iter().find(|(service, _)| *service == api.service) else {
            continue;
        };
        let mut finding = Finding {
            endpoint: api.endpoint.as_str(),
            action: api.action,
            host: host_of(base),
            ahead: None,
            outcome: Outcome::NotAsked,
            read: 0,
            newest: None,
            lacks: TELLING.into_iter().filter(|name| !api.fields.contains(name)).collect(),
            absent: Vec::new(),
        };
        if let Err(text) = &ready {
            if !refused {
                finding.outcome = Outcome::Credentials(text.clone());
            }
        } else if !refused {
            let now = clock();
            let ask = Ask { limit: PAGE, ..probe(api, now) };
            let filters = settings.filters.iter().find(|(endpoint, _)| *endpoint == api.endpoint);
            let filters = filters.map(|(_, filters)| filters.as_slice()).unwrap_or_default();
            let call = (api.call)(&requests.project_id, &ask).narrowed(filters);
            let (answer, took) = requests.send(base, &call, now).await;
            finding.outcome = match answer {
                Err(Silence::Unreachable(text)) => Outcome::Unreachable(text),
                Err(Silence::Giant) => Outcome::Odd("the answer is longer than 16 MiB".to_owned()),
                Ok(answer) => {
                    finding.ahead = answer.date.map(|date| date - (now + took));
                    match judge(&answer, api, &finding.host, &requests.redactor) {
                        Ok(page) => {
                            look_at(&page.rows, api, &mut finding);
                            Outcome::Open { rows: page.total }
                        }
                        Err(Bad::Ended { text }) => Outcome::Credentials(for_good(&text)),
                        Err(Bad::Credentials { text } | Bad::Locked { text, .. } | Bad::Clock { text }) => {
                            Outcome::Credentials(text)
                        }
                        Err(Bad::Refused { text }) => Outcome::Refused(text),
                        Err(Bad::Throttled { text, .. }) => Outcome::Throttled(text),
                        Err(Bad::Passing { text, .. }) => Outcome::Odd(text),
                    }
                }
            };
            refused = matches!(finding.outcome, Outcome::Credentials(_));
        }
        findings.push(finding);
    }
    let asks_with = requests.keeper.words();
    Some(Examined { asks_with, project_id: requests.project_id, findings })
}

/// What the rows of a page show of the endpoint.
fn look_at(rows: &[String], api: &Api, finding: &mut Finding) {
    let mut columns = Columns::default();
    let telling: Vec<(&'static str, Column)> = TELLING
        .into_iter()
        .filter(|name| api.fields.contains(name))
        .map(|name| (name, columns.want_known(name)))
        .collect();
    let origin = Origin { endpoint: Some(api.endpoint), ..Origin::default() };
    let batch = Scanner::new(columns.freeze(), Arc::default(), origin).scan(rows.join("\n"), Locator(1));
    let says = |column: Column| {
        (0..batch.rows.len()).any(|row| {
            batch.record(row, Phase::Start).get(column).text().is_some_and(|text| !text.is_empty())
        })
    };
    finding.read = rows.len();
    finding.newest = batch.rows.iter().map(|row| row.start).max();
    if finding.read > 0 {
        finding.absent =
            telling.into_iter().filter(|(_, column)| !says(*column)).map(|(name, _)| name).collect();
    }
}
