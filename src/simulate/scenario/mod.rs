//! A scenario: one YAML file that says who works when and where, which attacks are planted among
//! them, and what goes wrong with the service meanwhile ([`keys`]).
//!
//! By its seed it makes a [`World`], the faults to be played with it, and the truth of it: every row
//! as it will be in the end, and which of them belong to an attack, so that detection can be scored.
//! The same file makes the same rows everywhere. Reads no file and no clock.

pub mod keys;
mod people;
mod plant;
mod read;
mod rows;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::record::{Millis, Timestamp};

use super::trouble::Trouble;
use super::world::{BadRow, List, World};

pub use read::read;

/// A scenario as its file says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What chance is made of.
    pub seed: u64,
    /// Virtual time when it begins.
    pub start: Timestamp,
    /// How long people work from then on.
    pub lasts: Millis,
    /// How much of the past there is, whole days.
    pub before: Millis,
    /// Virtual seconds in a second.
    pub speed: u32,
    /// How many people there are.
    pub users: u32,
    /// Where they work.
    pub offices: Vec<Office>,
    /// Where they live.
    pub homes: Ipv4Net,
    /// When they work; one at least.
    pub shifts: Vec<Shift>,
    /// Days in ten thousand on which somebody is elsewhere.
    pub roaming: u32,
    /// Sign-ins in ten thousand that fail by mistake.
    pub failures: u32,
    /// What one person does in a day: as often for each list.
    pub a_day: [u32; 5],
    /// Versions of the client.
    pub releases: Vec<Release>,
    /// What somebody should be told of.
    pub attacks: Vec<Attack>,
    /// What goes wrong with the service.
    pub faults: Vec<Trouble>,
    /// How far the service's clock is ahead.
    pub skew: Millis,
}

/// Where people work together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Office {
    /// Its name.
    pub name: String,
    /// Its public addresses.
    pub network: Ipv4Net,
    /// People in ten thousand who work there.
    pub share: u32,
}

/// When some of the people work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// Since midnight, UTC.
    pub from: Millis,
    /// How long.
    pub lasts: Millis,
    /// People in ten thousand.
    pub share: u32,
}

/// A version of the client that people change to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When the first have it.
    pub at: Timestamp,
    /// How long it takes until all have it.
    pub within: Millis,
    /// The version.
    pub version: String,
}

/// What somebody should be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attack {
    /// What happens: one of [`keys::ATTACKS`].
    pub kind: &'static str,
    /// When it begins.
    pub at: Timestamp,
    /// How long it goes on.
    pub within: Millis,
    /// Sign-ins that it is made of; none is what its kind makes usual.
    pub acts: Option<u32>,
    /// People who are hit.
    pub users: u32,
    /// Where it comes from.
    pub from: Ipv4Addr,
    /// Of a slow line.
    pub rtt: u32,
    /// Where it is seen.
    pub list: List,
}

/// A scenario's rows, and which of them belong to which attack.
#[derive(Debug)]
pub struct Play {
    /// The rows.
    pub world: World,
    /// Row by its number in the world, and the attack by its number in the file, by row.
    pub planted: Vec<(u64, usize)>,
}

impl Scenario {
    /// Makes the rows.
    pub fn play(&self) -> Result<Play, BadRow> {
        let mut writer = rows::Writer::new(self);
        people::work(self, &mut writer)?;
        for (number, attack) in self.attacks.iter().enumerate() {
            plant::plant(self, attack, number, &mut writer)?;
        }
        let mut play = writer.finish();
        play.world.opens_at(self.start);
        play.world.sort();
        Ok(play)
    }

    /// About how many rows it makes; those of attacks are not among them.
    pub fn rows(&self) -> u64 {
        let days = (self.before.0 + self.lasts.0).div_euclid(Millis::days(1).0).unsigned_abs() + 1;
        days * u64::from(self.users) * self.a_day.iter().map(|times| u64::from(*times)).sum::<u64>()
    }
}

impl Play {
    /// Every row as it will be in the end, a line each, by time.
    pub fn rows(&self) -> String {
        let mut rows: Vec<_> = List::ALL.into_iter().flat_map(|list| self.world.rows(list)).collect();
        rows.sort_by_key(|row| (row.at, row.number));
        rows.iter().flat_map(|row| [row.text(), "\n"]).collect()
    }

    /// The truth, a line of JSON each: the scenario, its attacks, and every row as it will be in the end
    /// with the number of its attack.
    pub fn truth(&self, scenario: &Scenario) -> String {
        let mut text = String::new();
        let counts: serde_json::Map<String, Value> = List::ALL
            .into_iter()
            .map(|list| (list.as_str().to_owned(), self.world.rows(list).len().into()))
            .collect();
        let head = json!({"truth": "scenario", "scenario": scenario.name, "seed": scenario.seed,
            "start": scenario.start.to_string(), "end": (scenario.start + scenario.lasts).to_string(),
            "users": scenario.users, "rows": counts});
        let _ = writeln!(text, "{head}");
        for (number, attack) in scenario.attacks.iter().enumerate() {
            let rows = self.planted.iter().filter(|(_, of)| *of == number).count();
            let line = json!({"truth": "attack", "attack": number, "kind": attack.kind,
                "from": attack.at.to_string(), "to": (attack.at + attack.within).to_string(),
                "rows": rows, "endpoint": attack.list.as_str(),
                "users": plant::hit(scenario, attack, number).collect::<Vec<_>>(),
                "public_ip": attack.from.to_string()});
            let _ = writeln!(text, "{line}");
        }
        for list in List::ALL {
            for row in self.world.rows(list) {
                let planted = self.planted.binary_search_by_key(&row.number, |(number, _)| *number);
                let attack = planted.map_or(Value::Null, |place| self.planted[place].1.into());
                let _ = writeln!(
                    text,
                    r#"{{"truth":"row","endpoint":"{}","attack":{attack},"row":{}}}"#,
                    list.as_str(),
                    row.text()
                );
            }
        }
        text
    }
}
