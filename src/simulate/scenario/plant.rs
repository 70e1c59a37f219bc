//! What is planted among ordinary work: attacks, and troubles that look like one.

use crate::record::{Millis, Timestamp};
use crate::simulate::world::BadRow;

use super::people::account;
use super::rows::{Act, Writer};
use super::{Attack, Scenario};

/// A device that nobody has.
const STRANGER: u32 = 0x00ff_ff00;
const CREDENTIALS: &str = "Incorrect username or password";
const SERVER: &str = "The desktop is not ready";

/// How an act of an attack looks.
struct Look {
    failed: Option<&'static str>,
    rtt: u32,
    device: u32,
}

/// The accounts that `attack`, number `number` of its file, hits.
pub fn hit<'s>(
    scenario: &'s Scenario,
    attack: &'s Attack,
    number: usize,
) -> impl Iterator<Item = String> + 's {
    let first = first(scenario, number);
    (0..attack.users).map(move |place| match attack.kind {
        "flood" => format!("invented-{number}-{place}"),
        _ => account((first + place) % scenario.users),
    })
}

/// Attacks of one file hit different people, as far as there are enough.
fn first(scenario: &Scenario, number: usize) -> u32 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    number.wrapping_mul(37).wrapping_add(u32::try_from(scenario.seed % 1_000).unwrap_or(0)) % scenario.users
}

/// Writes the rows of one attack.
pub fn plant(scenario: &Scenario, attack: &Attack, number: usize, writer: &mut Writer) -> Result<(), BadRow> {
    let users: Vec<String> = hit(scenario, attack, number).collect();
    let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
    // As many acts as its kind makes usual.
    let acts = attack.acts.unwrap_or(match attack.kind {
        "guessing" | "takeover" => 10 * count,
        "outage" => 3 * count,
        _ => count,
    });
    let step = Millis(attack.within.0 / i64::from(acts.max(1)));
    for act in 0..acts {
        let at = attack.at + Millis(step.0 * i64::from(act));
        let place = act % count;
        let own = (first(scenario, number) + place) % scenario.users;
        let last = acts - act <= count;
        let look = match attack.kind {
            "guessing" | "spraying" | "flood" => {
                Look { failed: Some(CREDENTIALS), rtt: 180, device: STRANGER }
            }
            "takeover" if !last => Look { failed: Some(CREDENTIALS), rtt: 180, device: STRANGER },
            "takeover" => Look { failed: None, rtt: 180, device: STRANGER },
            "outage" => Look { failed: Some(SERVER), rtt: 40, device: own },
            "slow_line" => Look { failed: None, rtt: attack.rtt, device: own },
            _ => Look { failed: None, rtt: 90, device: own },
        };
        writer.plant(number);
        writer.write(&Act {
            public_ip: attack.from,
            failed: look.failed.is_some(),
            reason: look.failed.unwrap_or_default(),
            rtt: look.rtt,
            lasts: Millis::mins(30),
            // Whole seconds, as the service tells times.
            ..Act::new(
                attack.list,
                Timestamp(at.0 - at.0.rem_euclid(1_000)),
                &users[place as usize],
                look.device,
            )
        })?;
    }
    Ok(())
}
