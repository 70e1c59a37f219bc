//! `larum status`: whether the daemon sees and tells; exit 1 when it is blind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::daemon::control::{self, NoReply};
use crate::daemon::orders::{Order, Reply};
use crate::daemon::status::{Asked, FailedTry, LaneStatus, ReceiverStatus, Status, Throttled};
use crate::record::{Millis, Timestamp};

use super::place::{Place, wait_for};
use super::{Exit, Failure, Output, show};

/// Arguments of `larum status`.
#[derive(Debug, clap::Args)]
pub struct StatusOf {
    #[command(flatten)]
    place: Place,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl StatusOf {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let store = self.place.existing()?;
        let asked = wait_for(async { Ok(control::ask(&control::socket_of(&store), &Order::Status).await) })?;
        let status = match asked {
            Ok(Reply::Status(status)) => status,
            Ok(Reply::Done(words) | Reply::Refused(words)) => return Err(words.into()),
            Err(NoReply::Stopped) => {
                match self.output {
                    Output::Json => show::json(&serde_json::json!({"running": false}))?,
                    Output::Text => {
                        show::line(&format!("no daemon runs on {}", show::path(&store)))?;
                    }
                }
                return Ok(Exit::Findings);
            }
            Err(error @ (NoReply::Denied { .. } | NoReply::Broken { .. })) => return Err(error.into()),
        };
        let blind = status.blind();
        match self.output {
            Output::Json => {
                let mut shown = serde_json::to_value(&*status)?;
                shown["running"] = true.into();
                shown["blind"] = blind.clone().into();
                show::json(&shown)?;
            }
            Output::Text => show::line(text(&status).trim_end())?,
        }
        Ok(if blind.is_empty() { Exit::Fine } else { Exit::Findings })
    }
}

fn text(status: &Status) -> String {
    let mut text = format!("larum {}", status.version);
    let times = status.zone.parse().map_or(show::Times::UTC, show::Times);
    if let Some(since) = status.since {
        let _ = write!(text, ", running since {}", times.at(since));
    }
    if times != show::Times::UTC {
        let _ = write!(text, ", times of {}", show::safe(&status.zone));
    }
    text.push('\n');
    for why in status.blind_at(|at| times.at(at)) {
        let _ = writeln!(text, "BLIND  {}", show::safe(&why));
    }
    text.push_str("sources\n");
    for (name, lane) in &status.lanes {
        let _ = writeln!(text, "  {}  {}", show::safe(name), lane_words(lane, status.now, times));
    }
    if status.unmapped.rows > 0 {
        let codes: Vec<String> = status
            .unmapped
            .codes
            .iter()
            .map(|(code, rows)| format!("{} ({rows})", show::safe(code)))
            .collect();
        let _ = writeln!(
            text,
            "  {} with codes that have no kind: {}; give them one under `failure_codes`",
            many(status.unmapped.rows, "failure"),
            codes.join(", ")
        );
    }
    text.push_str("receivers\n");
    for (name, receiver) in &status.receivers {
        let _ = writeln!(text, "  {}  {}", show::safe(name), receiver_words(receiver, times));
    }
    for (name, states) in &status.receivers_gone {
        let _ = writeln!(text, "  {}  {}", show::safe(name), gone_words(name, states));
    }
    text.push_str("rules");
    if !status.rules_by_tenant.is_empty() {
        let tenants: Vec<&str> = status.rules_by_tenant.keys().map(String::as_str).collect();
        let tenants = show::safe(&tenants.join(", "));
        let _ = write!(text, "  of {tenants} together; `larum rules --tenant` shows one");
    }
    text.push('\n');
    for (tenant, lanes) in &status.rules_wait_for {
        let whose = if tenant == "default" { String::new() } else { format!(" of {}", show::safe(tenant)) };
        let _ = writeln!(
            text,
            "  none{whose} is in force yet: they learn first, and wait until the past is read of {}; one that cannot be \
             read is left out after a while",
            show::safe(&lanes.join(", "))
        );
    }
    for (rule, counts) in &status.rules {
        let learning = if counts.learning { ", learning" } else { "" };
        let _ = writeln!(
            text,
            "  {rule}  {}, {}, {}{learning}",
            many(counts.alerts, "alert"),
            many(counts.hits, "hit"),
            many(counts.groups, "group")
        );
    }
    text
}

/// A length to the tenth of a second.
fn brief(length: Millis) -> String {
    let tenths = length.0 / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn many(count: u64, what: &str) -> String {
    show::many_of(count, what)
}

fn lane_words(lane: &LaneStatus, now: Option<Timestamp>, times: show::Times) -> String {
    let mut words = Vec::new();
    match lane.complete_to {
        Some(to) => words.push(format!("complete to {}", times.at(to))),
        None => words.push("not read yet".to_owned()),
    }
    if let (Some(read), Some(now)) = (lane.read_at, now) {
        words.push(if read > now {
            format!("read at {}, ahead of the clock", times.at(read))
        } else {
            format!("read {} s ago", (now - read).0 / 1_000)
        });
    }
    if let Some(newest) = lane.newest {
        words.push(format!("newest row {}", times.at(newest)));
    }
    words.push(format!("{} since the start", many(lane.rows, "row")));
    if let Some(late) = lane.lateness {
        words.push(format!(
            "late by {}, at most {}, settles {}",
            brief(late.median),
            brief(late.most),
            brief(late.settle)
        ));
    }
    if lane.ahead > 0 {
        words.push(format!("{} ahead of now, set aside until then", many(lane.ahead, "row")));
    }
    if lane.quarantined > 0 {
        words.push(format!(
            "{} set aside since the start: no records (`larum quarantine` shows them)",
            many(lane.quarantined, "row")
        ));
    }
    if lane.behind {
        words.push("still reading the past".to_owned());
    }
    if lane.stalled {
        words.push("stalled: rules do not wait for it".to_owned());
    }
    words.extend(lane.no_answer_since.map(|since| format!("no answer since {}", times.at(since))));
    if let Some(Throttled { at, said }) = &lane.throttled {
        let at = at.map_or_else(String::new, |at| format!(" at {}", times.at(at)));
        words.push(format!("slowed down{at}: {}", show::safe(said)));
    }
    words.extend(lane.failure.iter().map(|failure| format!("failing: {}", show::safe(failure))));
    words.extend(lane.nothing.iter().map(|why| show::safe(why)));
    let at = lane.remarked_at.map_or_else(String::new, |at| format!(" (at {})", times.at(at)));
    words.extend(lane.remark.iter().map(|remark| format!("note{at}: {}", show::safe(remark))));
    words.join(" · ")
}

fn receiver_words(receiver: &ReceiverStatus, times: show::Times) -> String {
    let mut words = vec![receiver.kind.clone()];
    words.extend(receiver.deliveries.iter().map(|(state, count)| format!("{count} {state}")));
    words.extend(receiver.delivered_at.iter().map(|at| format!("last delivered {}", times.at(*at))));
    words.extend(receiver.paused.iter().map(|why| format!("paused: {}", show::safe(why))));
    words.extend(receiver.failure.iter().map(|why| format!("failing: {}", show::safe(why))));
    if let Some(Asked { until: Some(until), reason, .. }) = &receiver.asked {
        words.push(format!(
            "sent nothing until {}, because it asked for that: {}",
            times.at(*until),
            show::safe(reason)
        ));
    }
    if let (None, None, None, Some(FailedTry { reason, next })) =
        (&receiver.paused, &receiver.failure, &receiver.asked, &receiver.last_failed)
    {
        let next = next.map_or_else(String::new, |at| format!(", the next is at {}", times.at(at)));
        words.push(format!("the last try failed{next}: {}", show::safe(reason)));
    }
    words.join(" · ")
}

/// What is left for a receiver that the configuration has no more, and what to do about it.
fn gone_words(name: &str, states: &BTreeMap<String, u64>) -> String {
    let name = show::safe(name);
    let mut words = vec!["not configured any more".to_owned()];
    words.extend(states.iter().map(|(state, count)| format!("{count} {state}")));
    format!(
        "{}: `larum deliveries --receiver {name} --state dead` lists them; with a receiver of that name `larum \
         deliveries redrive --receiver {name}` sends them, and `larum deliveries discard --all --receiver {name} \
         --because TEXT` puts them aside",
        words.join(" · ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_of_a_receiver_that_is_gone_are_said_with_the_way_out() {
        let states = BTreeMap::from([("dead".to_owned(), 3)]);
        let receivers_gone = BTreeMap::from([("old".to_owned(), states)]);
        let text = text(&Status { receivers_gone, ..Status::default() });
        assert_eq!(
            text.lines().find(|line| line.contains("old")),
            Some(
                "  old  not configured any more · 3 dead: `larum deliveries --receiver old --state dead` lists them; with a \
                 receiver of that name `larum deliveries redrive --receiver old` sends them, and `larum deliveries discard \
                 --all --receiver old --because TEXT` puts them aside"
            )
        );
    }

    #[test]
    fn a_reading_of_a_clock_that_was_ahead_is_not_told_as_an_age() {
        let at = |seconds: i64| Timestamp(1_767_603_600_000 + seconds * 1_000);
        let lane = LaneStatus { read_at: Some(at(0)), ..LaneStatus::default() };
        let words = |now: Timestamp| lane_words(&lane, Some(now), show::Times::UTC);
        assert_eq!(words(at(3)), "not read yet · read 3 s ago · 0 rows since the start");
        assert_eq!(
            words(at(-17_950)),
            "not read yet · read at 2026-01-05T09:00:00.000Z, ahead of the clock · 0 rows since the start"
        );
    }

    #[test]
    fn a_receiver_that_asked_to_be_left_alone_is_shown_so_and_tells_nobody_is_blind_for_minutes() {
        let at = Timestamp(1_767_603_600_000);
        let shown = |minutes: i64| {
            let until = Some(at + Millis::mins(minutes));
            let asked = Asked { at: Some(at), until, reason: "try again: 429".to_owned() };
            ReceiverStatus { kind: "slack".to_owned(), asked: Some(asked), ..ReceiverStatus::default() }
        };
        assert_eq!(
            receiver_words(&shown(20), show::Times::UTC),
            "slack · sent nothing until 2026-01-05T09:20:00.000Z, because it asked for that: try again: 429"
        );
        let blind = |minutes: i64| {
            let receivers = [("chat".to_owned(), shown(minutes))].into();
            Status { receivers, ..Status::default() }.blind()
        };
        let words = "receiver chat is sent nothing until 2026-01-05T09:20:00.000Z, because it asked for that: try \
                     again: 429; if it takes messages again, `larum send-test chat` resumes it";
        assert_eq!((blind(15), blind(20)), (vec![], vec![words.to_owned()]));
    }

    #[test]
    fn a_try_that_failed_is_said_until_the_receiver_is_told_of_as_failing() {
        let failed =
            FailedTry { reason: "try again: 503".to_owned(), next: Some(Timestamp(1_767_603_600_000)) };
        let receiver = |failure: Option<&str>, failed: &FailedTry| {
            let (failure, last_failed) = (failure.map(str::to_owned), Some(failed.clone()));
            let shown = ReceiverStatus {
                kind: "webhook".to_owned(),
                failure,
                last_failed,
                ..ReceiverStatus::default()
            };
            receiver_words(&shown, show::Times::UTC)
        };
        assert_eq!(
            receiver(None, &failed),
            "webhook · the last try failed, the next is at 2026-01-05T09:00:00.000Z: try again: 503"
        );
        let gone = FailedTry { next: None, ..failed.clone() };
        assert_eq!(receiver(None, &gone), "webhook · the last try failed: try again: 503");
        assert_eq!(receiver(Some("503"), &failed), "webhook · failing: 503");
    }
}
