//! What an operator reads for each mistake, whole; and that good rules decode.

mod hostile;
mod meaning;
mod mistakes;

use super::super::problem::Problems;
use super::super::spec::Spec;
use super::{Options, decode};

/// The head of a rule in which the rest can go wrong.
const HEAD: &str = "rule: r\ntitle: T\nlevel: low\n";

/// The skeleton of the documentation.
pub(super) const SKELETON: &str = r#"rule: failure-burst                # unique id, [a-z0-9-]
title: Repeated sign-in failures for one user
level: medium                      # informational low medium high critical
attack: [T1110.001]                # MITRE ATT&CK, version pinned in the documentation
why: Someone is guessing one account's password.
falsepositives: [A password that was just changed]
tags: [identity]

match:
  outcome: failure
  failure_kind: [credentials, unknown_user, unknown]

count:
  at_least: 5
  within: 10m
  by: [user]

except:
  - {public_ip|cidr: 203.0.113.0/24, because: head office, until: 2027-01-31}

alert:
  title: "{{ user }}: {{ count }} failed sign-ins in 10 minutes"
  show: [public_ip, client_type, failed_code]
  runbook: Look for a success from the same public_ip; if there is one, lock the account.

tests:
  - name: five failures in eight minutes raise one alert
    events:
      - {every: 2m, times: 5, user_name: ana, outcome: failure}
    alerts:
      - {user: ana, count: 5}
  - name: five failures spread over an hour stay quiet
    events:
      - {every: 15m, times: 5, user_name: ana, outcome: failure}
    alerts: none
"#;

fn decoded(source: &str) -> (Option<Spec>, Problems) {
    decode("rules/r.yaml", source, &Options::default())
}

/// The rule, which has no problem.
fn good(source: &str) -> Spec {
    let (spec, problems) = decoded(source);
    assert!(problems.is_empty(), "{}", problems.render(false));
    spec.expect("no problems, so a rule")
}

/// The rule of `match` and what follows it, which has no problem.
fn good_body(body: &str) -> Spec {
    good(&format!("{HEAD}{body}"))
}

/// All that is told about the rule of `body`, as shown.
fn told(body: &str) -> String {
    told_of(&format!("{HEAD}{body}"))
}

fn told_of(source: &str) -> String {
    let (spec, problems) = decoded(source);
    assert!(!problems.is_empty(), "nothing was told of {source}");
    assert!(spec.is_some() || problems.has_errors(), "no rule and no error for {source}");
    problems.render(false)
}

/// The messages alone.
fn messages(body: &str) -> Vec<String> {
    let (_, problems) = decoded(&format!("{HEAD}{body}"));
    problems.sorted().iter().map(|problem| problem.message.clone()).collect()
}
