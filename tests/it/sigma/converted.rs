//! Rules in Sigma's words mean what they meant.

use larum::rule::decode::{Options, decode};
use larum::rule::problem::deceives;
use larum::rule::sigma::convert::{Converted, convert};

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::real::lines as real;
use crate::world::{Login, MINUTE, Run, SECOND, START, World, cases, rule};

/// `body` in Sigma's words.
fn converted(body: &str) -> Converted {
    let (spec, problems) = decode("a.yaml", &rule("test", body), &Options::default());
    assert!(!problems.has_errors(), "{problems:?}");
    convert(&spec.unwrap())
}

/// Whether the native rule fires for `line`.
fn fires(world: &World, line: &str) -> bool {
    let mut run = world.run();
    run.take_lines(&[line]);
    run.finish();
    run.told.fired().count() > 0
}

#[test]
fn a_condition_keeps_its_meaning() {
    let lines = [
        r#"{"start_time":"2026-01-05T09:00:00Z"}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","user_name":"CORP\\Ana","failed_code":"AUTH_FAILED","public_ip":"203.0.113.9"}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","user_name":"a*b\\c","failed_code":6005,"public_ip":"::ffff:203.0.113.9","e2e_rtt":300}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","end_time":"2026-01-05T11:00:00Z","user_name":"bob","client_type":"","is_reconnect":true,"x":"it's"}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","kind":"session","user_name":"bob","machine_name":"bob"}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","user_name":"a\u202eb\"\\c\n\u007f\u009b\udb40\udc41"}"#,
        r#"{"start_time":"2026-01-05T09:00:00Z","user_name":null,"client_type":"Windows 11","public_ip":"0.0.0.0","e2e_rtt":0,"x":5}"#,
    ];
    for body in [
        "match: {outcome: failure}",
        "match: {user: ana}",
        "match: {user_name: 'a*b\\c'}",
        "match: {user_name|contains: ['*', 'o']}",
        "match: {user_name: \"a\\u202eb\\\"\\\\c\\n\\u007f\\u009b\\U000e0041\"}",
        "match: {user_name|startswith: 'corp\\'}",
        "match: {user_name|re: '^[a-c]'}",
        "match: {user_name|re|cased: '^[A-C]'}",
        "match: {public_ip: 203.0.113.9}",
        "match: {public_ip|cidr: [203.0.113.0/24, 2001:db8::/32]}",
        "match: {public_ip|exists: true}",
        "match: {public_ip|exists: false, client_type: ''}",
        "match: {client_type: null}",
        "match: {failed_code: 6005}",
        "match: {e2e_rtt|gte: 300}",
        "match: {e2e_rtt|lt: 400}",
        "match: {e2e_rtt|exists: false}",
        "match: {e2e_rtt: [299.5, 300]}",
        "match: {duration|gt: 1h30m}",
        "match: {is_reconnect: true}",
        "match: {kind: session, user_name|fieldref: machine_name}",
        "match: {user_name|cased: bob, raw.x: \"it's\"}",
        "match: [{user: bob, client_type: ''}, {e2e_rtt|exists: true}]",
        "match: {a: {user: bob}, b: {kind: session}, c: {public_ip|exists: true}, condition: not (a and b) and not c}",
        "match: {user_name|exists: true}\nexcept:\n  - {user: bob, because: known}\n  - {public_ip|exists: true, because: known}",
    ] {
        let Converted { text, lost, .. } = converted(body);
        assert!(lost.is_empty(), "{body}: {lost:?}");
        let native = World::new(&[rule("test", body)]);
        for line in lines {
            assert_eq!(super::fires(&text, line), fires(&native, line), "{body}\n{line}\n{text}");
            assert!(!text.contains(|c| c != '\n' && deceives(c)), "{text:?}");
        }
    }
}

#[test]
fn what_sigma_cannot_say_is_named() {
    let lost = |body: &str| converted(body).lost.join("; ");
    assert_eq!(
        lost("match: {public_ip|new: true, start_time|gt: 2026-01-05T09:00:00Z}"),
        "`public_ip|new`; `start_time|gt`"
    );
    assert_eq!(lost("match: {user: a}\nrate: {at_least: 2, drains_every: 1m}"), "the verb `rate`");
    assert_eq!(
        lost("match: {user: a}\ncount: {at_least: 2, within: 1500ms, restart: true}"),
        "`restart`: a window that firing empties; `within: 1s500ms`: a timespan has whole seconds"
    );
    assert_eq!(
        lost(
            "match: {user: a}\nhours: {zone: UTC, inside: 'Mon-Fri 08:00-19:00'}\ncooldown: {for: 1h, by: [user]}\nmode: observe"
        ),
        "`hours`; `cooldown`: when it fires again; `mode: observe`"
    );
    assert_eq!(lost("match: {user: a}\ncount: {at_least: 2, within: 90m, by: [user]}"), "");
}

// --- correlations

/// A rule and the documents that it becomes, side by side.
struct Pair {
    native: World,
    documents: World,
}

impl Pair {
    fn of(body: &str) -> Self {
        let Converted { text, lost, .. } = converted(body);
        assert!(lost.is_empty(), "{body}: {lost:?}");
        Self { native: World::new(&[rule("test", body)]), documents: World::under(super::generation(&text)) }
    }

    /// When each side tells of `logins`: time and group.
    fn told(&self, logins: &[Login]) -> [Fired; 2] {
        [&self.native, &self.documents].map(|world| {
            let mut run = world.run();
            run.take(logins);
            run.finish();
            fired(&run)
        })
    }
}

fn fired(run: &Run<'_>) -> Fired {
    let group = |fired: &larum::alert::Fired| {
        let values = fired.group.iter().map(|(_, value)| value.clone().unwrap_or_default());
        values.collect::<Vec<_>>().join(" ")
    };
    let mut told: Fired = run.told.fired().map(|fired| (fired.at.0 - START, group(fired))).collect();
    told.sort();
    told
}

/// Rules that Sigma can say, but for the edges of their windows.
const SAID: [&str; 7] = [
    "match: {outcome: failure}\ncount: {at_least: 3, within: 60s, by: [user_name]}",
    "match: {outcome: failure}\ncount: {at_least: 2, within: 60s, by: [public_ip]}\ncooldown: 2m",
    "match: {outcome: [success, failure], public_ip|exists: true}\ncount: {at_least: 4, within: 90s, by: [user]}\ncooldown: off",
    "match: {outcome: failure}\ncount: {at_least: 3, within: 60s}",
    "match: {outcome: [success, failure]}\ndistinct: {field: public_ip, at_least: 2, within: 60s, by: [user]}",
    "match: {outcome: failure}\ndistinct: {field: user, at_least: 3, within: 2m, by: [public_ip]}\ncooldown: 30s",
    "match: {outcome: [success, failure]}\ndistinct: {field: user, at_least: 2, within: 60s}\ncooldown: off",
];

thread_local! {
    static PAIRS: Vec<Pair> = SAID.into_iter().map(Pair::of).collect();
}

/// When alerts fired, and of whom.
type Fired = Vec<(i64, String)>;

/// What each of the rules tells of `logins`, and its documents.
fn told_by_all(logins: &[Login]) -> Vec<(&'static str, [Fired; 2])> {
    PAIRS.with(|pairs| SAID.into_iter().zip(pairs).map(|(body, pair)| (body, pair.told(logins))).collect())
}

/// Logins of which no two are a whole number of seconds apart: none is at the edge of a window.
fn apart(logins: Vec<Login>) -> Vec<Login> {
    let moved = |(number, login): (i64, Login)| Login { at: login.at + number, ..login };
    (0..).zip(logins).map(moved).collect()
}

fn logins(most: usize) -> impl Strategy<Value = Vec<Login>> {
    let ip = prop::sample::select(vec![Some("203.0.113.1"), Some("203.0.113.2"), Some("0.0.0.0"), None]);
    (crate::models::logins(most), prop::collection::vec(ip, most)).prop_map(|(logins, ips)| {
        let from = |(login, ip): (Login, Option<&str>)| Login { ip: ip.map(str::to_owned), ..login };
        apart(logins.into_iter().zip(ips).map(from).collect())
    })
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_converted_correlation_fires_when_the_rule_does(logins in logins(40)) {
        for (body, [native, documents]) in told_by_all(&logins) {
            prop_assert_eq!(native, documents, "{}", body);
        }
    }

    #[test]
    fn a_converted_sequence_fires_at_its_last_step_when_the_rule_does(logins in logins(40)) {
        let body = "sequence: {by: [user_name], within: 60s, steps: [{name: failed, match: {outcome: failure}}, {name: got_in, match: {outcome: success}}]}\ncooldown: off";
        let [native, mut documents] = Pair::of(body).told(&logins);
        // Told of as well: a failure while the order is still in the timespan.
        let failed: Vec<i64> = logins.iter().filter(|login| login.failure).map(|login| login.at).collect();
        documents.retain(|(at, _)| !failed.contains(at));
        prop_assert_eq!(native, documents);
    }
}

#[test]
fn converted_correlations_are_compared_where_they_fire() {
    let mut runner = proptest::test_runner::TestRunner::new(cases(1));
    let mut fired = [0; SAID.len()];
    for _ in 0..80 {
        let logins = logins(40).new_tree(&mut runner).unwrap().current();
        for ((body, [native, documents]), fired) in told_by_all(&logins).into_iter().zip(&mut fired) {
            assert_eq!(native, documents, "{body}");
            *fired += native.len();
        }
    }
    assert!(fired.iter().all(|fired| *fired >= 10), "{fired:?}");
}

#[test]
fn converted_correlations_say_the_same_of_real_sign_ins() {
    let Some(lines) = real("elastic-sshd.user-connection.jsonl") else { return };
    for body in [
        "match: {outcome: failure}\ncount: {at_least: 20, within: 1h, by: [public_ip]}",
        "match: {outcome: failure}\ndistinct: {field: user, at_least: 5, within: 1h, by: [public_ip]}",
        "match: {outcome: failure}\ncount: {at_least: 5, within: 10m, by: [user]}\ncooldown: off",
    ] {
        let pair = Pair::of(body);
        let [native, documents] = [&pair.native, &pair.documents].map(|world| {
            let mut run = world.run();
            for part in lines.chunks(500) {
                run.take_lines(part);
            }
            run.finish();
            fired(&run)
        });
        assert!(!native.is_empty(), "{body}");
        assert_eq!(native, documents, "{body}");
    }
}

#[test]
fn where_a_converted_correlation_differs_it_is_told() {
    let body = "match: {outcome: failure}\ncount: {at_least: 2, within: 60s, by: [public_ip]}";
    let Converted { text, lost, differs, .. } = converted(body);
    assert_eq!(lost, [""; 0]);
    assert_eq!(
        differs,
        [
            "`public_ip` is a text: `::ffff:192.0.2.1` is not `192.0.2.1`",
            "a record exactly 1m before another is in its timespan, too",
            "without `larum: {cooldown: 1m}`, a word of Larum's own, every further record alerts",
        ]
    );
    // Each of them is so.
    let pair = Pair::of(body);
    let at = |id, at| Login::failure(id, at, "ana").from("192.0.2.1");
    let times = |told: [Fired; 2]| told.map(|told| told.into_iter().map(|(at, _)| at).collect::<Vec<_>>());
    assert_eq!(times(pair.told(&[at(0, 0), at(1, MINUTE)])), [vec![], vec![MINUTE]]);
    let mapped = at(1, SECOND).from("::ffff:192.0.2.1");
    assert_eq!(times(pair.told(&[at(0, 0), mapped])), [vec![SECOND], vec![]]);
    let burst: Vec<Login> = (0..4).map(|id| at(id, i64::from(id) * SECOND)).collect();
    assert_eq!(times(pair.told(&burst)), [vec![SECOND], vec![SECOND]]);
    let (pure, _) = text.split_once("larum:").unwrap();
    let level = text.lines().last().unwrap();
    let sigma = Pair { documents: World::under(super::generation(&format!("{pure}{level}\n"))), ..pair };
    assert_eq!(times(sigma.told(&burst))[1], [SECOND, 2 * SECOND, 3 * SECOND]);

    let sequence = "sequence: {by: [user_name], within: 60s, steps: [{name: failed, match: {outcome: failure}}, {name: long, match: {outcome: [success, failure], e2e_rtt|gte: 100}}]}\ncooldown: off";
    let told = converted(sequence).differs;
    assert_eq!(
        told,
        [
            "one record may stand for several of the rules, and so for several steps",
            "it fires at records of earlier steps, too, as long as the order is in the timespan",
            "a record exactly 1m before another is in its timespan, too",
        ]
    );
    let pair = Pair::of(sequence);
    let both = Login::failure(0, 0, "ana").rtt(200);
    assert_eq!(times(pair.told(std::slice::from_ref(&both))), [vec![], vec![0]]);
    let order = [
        Login::failure(0, 0, "ana"),
        Login::success(1, SECOND, "ana").rtt(200),
        Login::failure(2, 2 * SECOND, "ana"),
    ];
    assert_eq!(times(pair.told(&order)), [vec![SECOND], vec![SECOND, 2 * SECOND]]);
}
