//! `larum alerts`: what was raised, as it fired and as it stands.

use crate::alert::{Alert, State};
use crate::daemon::orders::Order;
use crate::daemon::shown;
use crate::record::{Level, RuleId};
use crate::store::{AlertQuery, DeliveryQuery, Store};

use super::place::{Place, operator, parse_id, told, wait_for};
use super::when::When;
use super::{Exit, Failure, Output, show};

/// Arguments of `larum alerts`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Alerts {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists alerts, newest first
    List(List),
    /// Shows one alert: its revisions and who was told
    Show(Show),
    /// Says that somebody has taken an alert: it no longer repeats
    Ack(Ack),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// Only those in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Vec<State>,
    /// Only those of this rule
    #[arg(long, value_name = "RULE", value_parser = super::parse_rule)]
    rule: Option<RuleId>,
    /// Only those at least this grave
    #[arg(long, value_name = "LEVEL", value_parser = parse_level)]
    level: Option<Level>,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those that fired at or after this time, or on this day of the configuration's zone
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    since: Option<When>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    most: usize,
    /// As they fired, oldest first: what `replay` of the same records prints
    #[arg(long)]
    fired: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The alert's id, or the beginning of it
    #[arg(value_parser = parse_id)]
    id: String,
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Ack {
    /// The alert's id, or the beginning of it
    #[arg(value_parser = parse_id)]
    id: String,
    /// Who has taken it
    #[arg(long, value_name = "NAME", default_value_t = operator())]
    by: String,
    #[command(flatten)]
    place: Place,
}

fn parse_state(text: &str) -> Result<State, String> {
    let words = || State::ALL.map(State::as_str).join(", ");
    State::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("write one of: {}", words()))
}

fn parse_level(text: &str) -> Result<Level, String> {
    let words = || Level::ALL.map(Level::as_str).join(", ");
    let found = Level::ALL.into_iter().find(|level| level.as_str() == text);
    found.ok_or_else(|| format!("write one of: {}", words()))
}

impl Alerts {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            None => self.list.run(),
            Some(What::List(list)) => list.run(),
            Some(What::Show(show)) => show.run(),
            Some(What::Ack(ack)) => {
                let order = Order::Acknowledge { alert: ack.id, by: ack.by };
                wait_for(async { Ok(told(ack.place.order(&order).await?)) })
            }
        }
    }
}

impl List {
    fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        let query = AlertQuery {
            tenant: self.tenant.map(Into::into),
            id: None,
            rule: self.rule.clone(),
            states: self.state,
            level: self.level,
            since: self.since.map(|since| since.within(times.0)),
            most: self.most,
        };
        let mut found = wait_for(async { Ok(store.alerts(query).await?) })?;
        if self.fired {
            found.sort_by(|a, b| {
                let key =
                    |kept: &crate::store::KeptAlert| (kept.fired.at, kept.fired.rule.clone(), kept.fired.id);
                key(a).cmp(&key(b))
            });
        }
        let colour = show::colour_on_stdout();
        for kept in &found {
            match (self.output, self.fired) {
                (Output::Json, true) => show::json(&kept.fired)?,
                (Output::Json, false) => show::json(&kept.now)?,
                (Output::Text, true) => show::line(&show::alert(&kept.fired, colour, times))?,
                (Output::Text, false) => show::line(&show::kept(kept, colour, times))?,
            }
        }
        if found.len() == self.most {
            show::note(&format!("the newest {}; --most shows more", show::many(self.most, "alert")));
        } else if let (true, Some(rule)) = (found.is_empty(), self.rule) {
            show::note(&format!("no alerts of `{rule}`; `larum rules` lists the rules that are loaded"));
        } else if found.is_empty() {
            show::note("no alerts");
        }
        Ok(Exit::Fine)
    }
}

#[derive(Debug, thiserror::Error)]
enum NoAlert {
    #[error("there is no alert `{}`", show::safe(.0))]
    None(String),
    #[error("more than one alert begins with `{}`; give more of its digits", show::safe(.0))]
    Many(String),
}

impl Show {
    fn run(self) -> Result<Exit, Failure> {
        let (store, times) = (self.place.look()?, self.place.times()?);
        wait_for(async {
            let query = AlertQuery { id: Some(self.id.clone()), most: 2, ..AlertQuery::default() };
            let found = store.alerts(query).await?;
            let kept = match found.as_slice() {
                [] => return Err(NoAlert::None(self.id).into()),
                [kept] => kept,
                [..] => return Err(NoAlert::Many(self.id).into()),
            };
            let revisions = store.revisions(kept.now.tenant.clone(), kept.now.id).await?;
            let query = DeliveryQuery { alert: Some(kept.now.id), most: 1_000, ..DeliveryQuery::default() };
            let deliveries = store.deliveries(query).await?;
            match self.output {
                Output::Json => show::json(&shown::alert_with(kept, &revisions, &deliveries))?,
                Output::Text => {
                    for alert in &revisions {
                        show::line(&show::alert(alert, show::colour_on_stdout(), times))?;
                    }
                    show::line(&format!("    id {}  rule revision {}", kept.now.id, kept.now.rule_revision))?;
                    if let Some((by, at)) = &kept.acknowledged {
                        show::line(&format!("    acknowledged by {} at {}", show::safe(by), times.at(*at)))?;
                    }
                    if let Some(runbook) = &kept.now.runbook {
                        show::line(&format!("    runbook: {}", show::safe(runbook)))?;
                    }
                    let evidence = &kept.now.evidence;
                    let own = kept.now.group.keys().chain(kept.now.show.keys());
                    let own: Vec<&str> = own.map(String::as_str).collect();
                    for record in evidence.first.iter().chain(&evidence.last) {
                        show::line(&format!("    record {}", show::record(record, &own, times)))?;
                    }
                    for delivery in &deliveries {
                        show::line(&format!(
                            "    {}",
                            super::deliveries::in_words(
                                delivery,
                                crate::daemon::clock::Clock::wall().now(),
                                times
                            )
                        ))?;
                    }
                    if deliveries.is_empty() {
                        show::line(&format!("    nobody is told{}", why_nobody(&kept.now)))?;
                    }
                }
            }
            Ok(Exit::Fine)
        })
    }
}

/// Why there is no message of an alert.
fn why_nobody(alert: &Alert) -> &'static str {
    if !alert.held_by.is_empty() {
        " yet: it is held back while another rule's alert is open"
    } else if alert.observe {
        ": the rule only observes"
    } else {
        ": no route leads to a receiver"
    }
}
