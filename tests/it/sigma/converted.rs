//! Rules in Sigma's words mean what they meant.

use larum::rule::decode::{Options, decode};
use larum::rule::sigma::convert::{Converted, convert};

use crate::world::{World, rule};

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
        r#"{"start_time":"2026-01-05T09:00:00Z","user_name":null,"client_type":"Windows 11","public_ip":"0.0.0.0","e2e_rtt":0,"x":5}"#,
    ];
    for body in [
        "match: {outcome: failure}",
        "match: {user: ana}",
        "match: {user_name: 'a*b\\c'}",
        "match: {user_name|contains: ['*', 'o']}",
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
