//! Forty detections of sign-ins and virtual desktops, by the number under which they are known: each is a
//! shipped rule, or a rule of `detections/` that stands on a list, a place or a habit of one's own. All of
//! them pass their tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What finds it.
enum By {
    /// A rule that is shipped.
    Shipped(&'static str),
    /// A rule that needs to know more than records say.
    Own(&'static str),
    /// Larum tells it of itself: the test that shows it.
    Itself(&'static str),
}
use By::{Itself, Own, Shipped};

const DETECTIONS: &[(u8, &str, By)] = &[
    (1, "many failures of one user", Shipped("identity/failure-burst")),
    (2, "slow guessing", Own("02-slow-guessing")),
    (3, "many failures from one address", Own("03-address-burst")),
    (4, "a spray", Shipped("identity/password-spray")),
    (5, "a spray from many addresses", Shipped("identity/distributed-spray")),
    (6, "users that there are not", Own("06-enumeration")),
    (7, "a success after failures", Shipped("identity/success-after-failures")),
    (8, "impossible travel", Shipped("identity/impossible-travel")),
    (9, "a new address of a user", Shipped("identity/unusual-public-ip")),
    (10, "a new provider", Own("10-new-network")),
    (11, "a new country", Own("11-new-country")),
    (12, "a hosting provider", Own("12-hosting")),
    (13, "one address, many users", Own("13-one-address-many-users")),
    (14, "a new device", Own("14-new-device")),
    (15, "a device of many users", Own("15-shared-device")),
    (16, "an account on many devices", Own("16-shared-account")),
    (17, "distant sessions at once", Shipped("identity/distant-sessions")),
    (18, "an account that comes back", Shipped("identity/dormant-account")),
    (19, "outside working hours", Own("19-off-hours")),
    (20, "a client that nobody else has", Own("20-odd-client")),
    (21, "another client within minutes", Own("21-client-change")),
    (22, "an outage of the service", Shipped("operations/service-outage")),
    (23, "a new build that fails", Shipped("operations/agent-version-regression")),
    (24, "nothing comes", Shipped("operations/records-absent")),
    (25, "nothing can be read", Itself("a_wrong_key_is_asked_once_and_told_of")),
    (26, "history that changes", Own("26-history-changed")),
    (27, "a slow line", Shipped("operations/slow-line")),
    (28, "a line slower than usual", Shipped("operations/unusual-round-trip")),
    (29, "faster than the place allows", Own("29-faster-than-light")),
    (30, "slower than the place explains", Own("30-slower-than-near")),
    (31, "a session that comes and goes", Own("31-flapping")),
    (32, "many reconnect at once", Shipped("operations/reconnect-storm")),
    (33, "many applications at once", Shipped("applications/many-applications")),
    (34, "an application new to its user", Own("34-new-application")),
    (35, "an application new to its group", Own("35-new-application-of-group")),
    (36, "a very long session", Own("36-very-long-session")),
    (37, "a locked account", Shipped("identity/locked-account")),
    (38, "somebody who has left", Own("38-leaver")),
    (39, "a code that nobody has named", Shipped("operations/unknown-failure-code")),
    (40, "several of these about one user", Shipped("identity/entity-risk")),
];

#[test]
fn each_detection_is_a_rule_that_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (shipped, own) = (root.join("rules"), root.join("tests/it/detections"));
    let numbers: Vec<u8> = DETECTIONS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    let (mut named, mut tests) = (BTreeSet::new(), BTreeSet::new());
    super::semantics::tests(&root.join("src"), &mut tests);
    super::semantics::tests(&root.join("tests"), &mut tests);
    for (number, what, by) in DETECTIONS {
        let there = match by {
            Shipped(name) => shipped.join(format!("{name}.yaml")).is_file(),
            Own(name) => named.insert(format!("{name}.yaml")) && own.join(format!("{name}.yaml")).is_file(),
            Itself(test) => tests.contains(*test),
        };
        assert!(there, "{number}, {what}");
    }
    let files =
        std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), named);
    for folder in [shipped, own] {
        let done = Command::new(env!("CARGO_BIN_EXE_larum")).arg("test").arg(&folder).output().unwrap();
        let told = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(done.status.success() && told.contains("all passed"), "{told}");
        assert!(!told.contains("warning"), "{told}");
    }
}
