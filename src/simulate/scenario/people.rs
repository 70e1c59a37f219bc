//! Ordinary work: who works when and where. Each person's day is made by the seed, the person and
//! the day alone.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::record::{Millis, Timestamp};
use crate::simulate::world::{BadRow, List};

use super::rows::{Act, Writer};
use super::{Scenario, Shift};

const DAY: Millis = Millis::days(1);
/// Version of the client before any release.
const FIRST_VERSION: &str = "23.5.0.0";
/// Where somebody is who is elsewhere: addresses for documentation, too.
const ELSEWHERE: [u8; 3] = [203, 0, 113];
/// The last of these addresses belong to attacks.
const ELSEWHERE_HOSTS: u8 = 9;

const FIRST: [&str; 20] = [
    "ana", "wei", "olga", "juan", "mary", "lukas", "priya", "noah", "emma", "omar", "sofia", "hugo", "lena",
    "ivan", "fatima", "james", "yuki", "carla", "peter", "zoe",
];
const LAST: [&str; 20] = [
    "ruiz", "chen", "ivanova", "silva", "smith", "novak", "patel", "kim", "larsen", "haddad", "rossi",
    "garcia", "mueller", "kovacs", "nguyen", "tanaka", "gomez", "schmidt", "martin", "brown",
];

/// The account of person number `user`.
pub fn account(user: u32) -> String {
    let place = |list: &'static [&'static str], number: u32| list[number as usize % list.len()];
    let (first, last) = (place(&FIRST, user), place(&LAST, user / 20));
    let more = user / 400;
    if more == 0 { format!("{first}.{last}") } else { format!("{first}.{last}{more}") }
}

/// Ordinary work of everybody, the past included.
pub fn work(scenario: &Scenario, writer: &mut Writer) -> Result<(), BadRow> {
    let end = scenario.start + scenario.lasts;
    let first = scenario.start - scenario.before;
    let midnight = |at: Timestamp| at.0.div_euclid(DAY.0);
    // A shift may have begun the day before.
    for day in midnight(first) - 1..=midnight(end) {
        // 1970-01-01 was a Thursday. The past has weekends; what is asked for begins when it is asked to.
        let weekday = (day + 3).rem_euclid(7);
        let past = Timestamp((day + 1) * DAY.0) <= scenario.start;
        if past && weekday >= 5 {
            continue;
        }
        for user in 0..scenario.users {
            let shift = &scenario.shifts[shift_of(scenario, user)];
            work_a_day(scenario, writer, user, Timestamp(day * DAY.0), shift, (first, end))?;
        }
    }
    Ok(())
}

fn work_a_day(
    scenario: &Scenario,
    writer: &mut Writer,
    user: u32,
    midnight: Timestamp,
    shift: &Shift,
    (first, end): (Timestamp, Timestamp),
) -> Result<(), BadRow> {
    let seed = scenario.seed ^ (u64::from(user) << 32) ^ midnight.0.unsigned_abs();
    let mut random = fastrand::Rng::with_seed(seed);
    let begins = midnight + shift.from;
    let account = account(user);
    let roams = random.u32(0..10_000) < scenario.roaming;
    for (list, times) in List::ALL.into_iter().zip(scenario.a_day) {
        for turn in 0..times {
            let part = shift.lasts.0 / i64::from(times.max(1));
            let at = begins + Millis(part * i64::from(turn) + random.i64(0..part.max(1)));
            // Whole seconds, as the service tells times.
            let at = Timestamp(at.0 - at.0.rem_euclid(1_000));
            let failed = random.u32(0..10_000) < scenario.failures;
            let lasts = Millis::secs(random.i64(60..(part / 1_000).max(61)));
            let rtt = random.u32(12..80);
            if at < first || at >= end {
                continue;
            }
            let act = Act {
                public_ip: address(scenario, user, roams, &mut random),
                version: version(scenario, user, at),
                reconnect: turn > 0,
                failed: failed && list != List::UserEvents,
                lasts,
                rtt,
                ..Act::new(list, at, &account, user)
            };
            writer.write(&act)?;
        }
    }
    Ok(())
}

/// Which shift somebody works in, which stays.
fn shift_of(scenario: &Scenario, user: u32) -> usize {
    let place = spread(scenario.seed, user, 1);
    let mut sum = 0;
    let found = scenario.shifts.iter().position(|shift| {
        sum += shift.share;
        place < sum
    });
    found.unwrap_or(scenario.shifts.len() - 1)
}

/// Where somebody is.
fn address(scenario: &Scenario, user: u32, roams: bool, random: &mut fastrand::Rng) -> Ipv4Addr {
    if roams {
        let [a, b, c] = ELSEWHERE;
        return Ipv4Addr::new(a, b, c, 1 + random.u8(0..ELSEWHERE_HOSTS));
    }
    let place = spread(scenario.seed, user, 2);
    let mut sum = 0;
    let office = scenario.offices.iter().find(|office| {
        sum += office.share;
        place < sum
    });
    // A provider changes the last bits as it pleases.
    office.map_or_else(|| host(scenario.homes, user), |office| host(office.network, random.u32(0..4)))
}

fn host(network: Ipv4Net, number: u32) -> Ipv4Addr {
    let size = 1_u64 << (32 - network.prefix_len());
    let hosts = u32::try_from((size.max(4) - 2).min(u64::from(u32::MAX))).unwrap_or(u32::MAX);
    Ipv4Addr::from(u32::from(network.network()).wrapping_add(1 + number % hosts))
}

/// The version of the client that somebody has at `at`.
fn version(scenario: &Scenario, user: u32, at: Timestamp) -> String {
    let has = |release: &&super::Release| {
        let share = i64::from(spread(scenario.seed, user, 3));
        at >= release.at + Millis(release.within.0 / 10_000 * share)
    };
    let last = scenario.releases.iter().filter(has).max_by_key(|release| release.at);
    last.map_or_else(|| FIRST_VERSION.to_owned(), |release| release.version.clone())
}

/// A place below ten thousand, always the same for one person and purpose.
fn spread(seed: u64, user: u32, purpose: u64) -> u32 {
    fastrand::Rng::with_seed(seed ^ (purpose << 56) ^ u64::from(user)).u32(0..10_000)
}
