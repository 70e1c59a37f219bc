//! One question to each endpoint of a source, for an operator who asks whether it can be read.
//!
//! The smallest page is asked for. Credentials that are refused once are used no more: five bad
//! tries would lock the key for everybody.

use reqwest::Url;

use super::client::{Requests, Silence, host_of};
use super::keys::Settings;
use super::trouble::{Bad, for_good, judge};
use super::{probe, project};
use crate::config::{Options, Secrets};
use crate::record::{Millis, Timestamp};
use crate::rule::problem::Problems;

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
) -> Option<Vec<Finding>> {
    let settings = Settings::read(options, secrets, problems)?;
    let mut requests = Requests::new(settings.keeper, settings.project_id.unwrap_or_default()).ok()?;
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
        };
        if let Err(text) = &ready {
            if !refused {
                finding.outcome = Outcome::Credentials(text.clone());
            }
        } else if !refused {
            let now = clock();
            let call = (api.call)(&requests.project_id, &probe(api, now));
            let (answer, took) = requests.send(base, &call, now).await;
            finding.outcome = match answer {
                Err(Silence::Unreachable(text)) => Outcome::Unreachable(text),
                Err(Silence::Giant) => Outcome::Odd("the answer is longer than 16 MiB".to_owned()),
                Ok(answer) => {
                    finding.ahead = answer.date.map(|date| date - (now + took));
                    match judge(&answer, api, &finding.host, &requests.redactor) {
                        Ok(page) => Outcome::Open { rows: page.total },
                        Err(Bad::Ended { text }) => Outcome::Credentials(for_good(&text)),
                        Err(Bad::Credentials { text } | Bad::Locked { text, .. } | Bad::Clock { text }) => {
                            Outcome::Credentials(text)
                        }
                        Err(Bad::Refused { text }) => Outcome::Refused(text),
                        Err(Bad::Passing { text, .. } | Bad::Throttled { text, .. }) => Outcome::Odd(text),
                    }
                }
            };
            refused = matches!(finding.outcome, Outcome::Credentials(_));
        }
        findings.push(finding);
    }
    Some(findings)
}
