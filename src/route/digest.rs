//! Digests: one message in place of many, with how many and which.

use std::collections::BTreeMap;

use super::delivery::{Digest, DigestLine};
use crate::alert::{Alert, AlertId, State};
use crate::record::{Level, RuleId, Timestamp};

/// Characters of a group's text that are kept.
const MAX_GROUP: usize = 512;

/// One message that a digest stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which alert it tells of.
    pub alert: AlertId,
    /// The rule.
    pub rule: RuleId,
    /// How grave.
    pub level: Level,
    /// Its group as text: see [`group_line`]. Hostile.
    pub group: String,
    /// Its title. Hostile.
    pub title: String,
    /// Event time at which the alert fired.
    pub fired: Timestamp,
    /// Event time of what is told.
    pub at: Timestamp,
    /// It is told that the alert is over.
    pub over: bool,
    /// It tells again of what is open.
    pub again: bool,
}

impl Member {
    /// What a digest tells of `alert`. Of a change it is not known when it fired, but not before its window
    /// ended.
    pub fn of(alert: &Alert) -> Self {
        Self {
            alert: alert.id,
            fired: if alert.revision == 1 { alert.at } else { alert.at.min(alert.window.to) },
            rule: alert.rule.clone(),
            level: alert.level,
            group: group_line(alert),
            title: alert.title.clone(),
            at: alert.at,
            over: matches!(alert.state, State::Closed | State::Resolved),
            again: false,
        }
    }
}

/// An alert's group in one line: `user=ana client_ip=192.0.2.9`; at most 512 characters. Hostile.
pub fn group_line(alert: &Alert) -> String {
    let mut line = String::new();
    for name in alert.group.keys() {
        let Some(text) = super::tree::group_text(alert, name) else { continue };
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push('=');
        line.push_str(&text);
    }
    line.chars().take(MAX_GROUP).collect()
}

impl Digest {
    /// The digest that stands for `members`; `because` is `limit`, `standing`, `stale`, [`GROUP`] or [`SILENCE`].
    /// What tells of an alert again counts no other alert; what was told last is what it tells.
    pub fn of(members: &[Member], because: &str) -> Self {
        let repeated = members.iter().filter(|member| member.again).count() as u64;
        let from = members.iter().map(|member| member.fired).min().unwrap_or(Timestamp(0));
        let to = members.iter().map(|member| member.at).max().unwrap_or(Timestamp(0));
        let members = &each_once(members);
        let lines = most_first(members.iter().map(|member| (&member.rule, member.level)));
        let groups = most_first(members.iter().map(|member| &member.group).filter(|group| !group.is_empty()));
        let others = lines.iter().skip(Self::MAX_LINES).map(|(_, count)| count).sum();
        Self {
            count: members.len() as u64,
            repeated,
            lines: lines
                .into_iter()
                .take(Self::MAX_LINES)
                .map(|((rule, level), count)| DigestLine { rule: rule.clone(), level, count })
                .collect(),
            others,
            groups: groups.into_iter().take(Self::MAX_LINES).map(|(group, n)| (group.clone(), n)).collect(),
            from,
            to,
            titles: if because == GROUP { titles(members) } else { Vec::new() },
            over: members.iter().filter(|member| member.over).count() as u64,
            because: because.to_owned(),
        }
    }
}

/// Of each alert, what was told of it last, in the order in which the alerts were told first.
fn each_once(members: &[Member]) -> Vec<Member> {
    let mut places: BTreeMap<AlertId, usize> = BTreeMap::new();
    let mut once: Vec<Member> = Vec::new();
    for member in members {
        if let Some(place) = places.get(&member.alert) {
            once[*place] = member.clone();
        } else {
            places.insert(member.alert, once.len());
            once.push(member.clone());
        }
    }
    once
}

/// Why a route's group is told in one message.
pub const GROUP: &str = "group";
/// Why what a silence held until it was over is told in one message.
pub const SILENCE: &str = "silence";

fn titles(members: &[Member]) -> Vec<String> {
    let titles = members.iter().take(Digest::MAX_LINES);
    titles.map(|member| member.title.chars().take(MAX_GROUP).collect()).collect()
}

/// How often each was met, most first; of equals, the lesser first.
fn most_first<T: Ord>(all: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut counts: BTreeMap<T, u64> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let mut counts: Vec<(T, u64)> = counts.into_iter().collect();
    // A stable sort: equals stay in their own order.
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(rule: &str, level: Level, group: &str, at: i64) -> Member {
        let title = format!("{rule} at {at}");
        let mut alert = [0; 16];
        alert[..8].copy_from_slice(&at.to_be_bytes());
        Member {
            alert: AlertId(alert),
            rule: rule.parse().unwrap(),
            level,
            group: group.to_owned(),
            title,
            fired: Timestamp(at),
            at: Timestamp(at),
            over: false,
            again: false,
        }
    }

    #[test]
    fn a_digest_says_how_many_and_which() {
        let digest = Digest::of(
            &[
                member("burst", Level::High, "user=ana", 30),
                member("slow", Level::High, "user=ana", 10),
                member("burst", Level::High, "user=bob", 20),
                member("burst", Level::Medium, "", 40),
            ],
            "limit",
        );
        assert_eq!(digest.count, 4);
        let lines: Vec<_> =
            digest.lines.iter().map(|line| format!("{} {} {}", line.rule, line.level, line.count)).collect();
        assert_eq!(lines, ["burst high 2", "burst medium 1", "slow high 1"]);
        assert_eq!(digest.groups, [("user=ana".to_owned(), 2), ("user=bob".to_owned(), 1)]);
        assert_eq!((digest.from, digest.to, digest.others), (Timestamp(10), Timestamp(40), 0));
    }

    #[test]
    fn repetitions_and_ends_are_no_further_alerts() {
        let first = member("burst", Level::High, "user=ana", 10);
        let again = Member { again: true, ..first.clone() };
        let end = Member { at: Timestamp(70), over: true, ..first.clone() };
        let other = Member { again: true, ..member("burst", Level::High, "user=bob", 20) };
        let digest = Digest::of(&[first, again.clone(), again, other, end], "limit");
        assert_eq!((digest.count, digest.repeated, digest.over, digest.lines[0].count), (2, 3, 1, 2));
        assert_eq!(digest.groups, [("user=ana".to_owned(), 1), ("user=bob".to_owned(), 1)]);
        assert_eq!((digest.from, digest.to), (Timestamp(10), Timestamp(70)));
    }

    #[test]
    fn rules_that_find_no_line_are_counted() {
        let members: Vec<Member> =
            (0..13).map(|n| member(&format!("r{n:02}"), Level::Low, &format!("user=u{n:02}"), n)).collect();
        let digest = Digest::of(&members, "limit");
        assert_eq!((digest.lines.len(), digest.groups.len(), digest.others), (10, 10, 3));
        assert_eq!(digest.lines.iter().map(|line| line.count).sum::<u64>() + digest.others, digest.count);
    }
}
