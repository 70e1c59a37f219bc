//! What configurations say, and what is told of those that are wrong.

use secrecy::ExposeSecret as _;

use super::super::*;
use crate::route::{Escalate, Match, Pattern, Route, Together};
use crate::rule::keys::{MapDoc, Open, Takes, may, need};

static HTTP: MapDoc = MapDoc {
    name: "a receiver of kind `hook`",
    about: "a hook",
    open: Open::Closed,
    keys: &[
        need("url", Takes::Secret, "where", "url: env:HOOK_URL"),
        may("timeout", Takes::Duration, "how long", "timeout: 10s"),
    ],
};

static OUT: MapDoc =
    MapDoc { name: "a receiver of kind `out`", about: "stdout", open: Open::Closed, keys: &[] };

static KEYS: MapDoc = MapDoc {
    name: "`credentials`",
    about: "keys",
    open: Open::Closed,
    keys: &[
        need("ak", Takes::Secret, "access key", "ak: env:HW_ACCESS_KEY"),
        need("sk", Takes::Secret, "secret key", "sk: env:HW_SECRET_KEY"),
    ],
};

static VENDOR: MapDoc = MapDoc {
    name: "a source of kind `vendor`",
    about: "a vendor",
    open: Open::Closed,
    keys: &[
        need("region", Takes::Text, "region", "region: ap-southeast-3"),
        may("credentials", Takes::Map(&KEYS), "keys", "credentials: {ak: env:A, sk: env:B}"),
        may("settle", Takes::Duration, "settle", "settle: 60s"),
        may("fields", Takes::Map(&FIELDS), "names", "fields: {user_name: account}"),
    ],
};

static FIELDS: MapDoc = MapDoc { name: "`fields`", about: "names", open: Open::Names, keys: &[] };

const KINDS: Kinds<'static> = Kinds {
    receivers: &[KindDoc { name: "hook", keys: &HTTP }, KindDoc { name: "out", keys: &OUT }],
    sources: &[KindDoc { name: "vendor", keys: &VENDOR }],
};

const GOOD: &str = "\
store: state/larum.db
zone: Asia/Shanghai
rules: [rules/]
sources:
  - {name: prod, kind: vendor, tenant: acme, region: r1, settle: 30s, credentials: {ak: env:AK, sk: file:sk}, fields: {badge: b}}
receivers:
  - {name: soc, kind: hook, url: env:URL, at_most: {medium: 10 in 15m, critical: off}}
  - {name: log, kind: out}
routes:
  - {match: {level: [high, critical], user: admin*}, to: [soc, log], continue: true}
  - {match: {}, to: [log]}
ops: [log]
failure_codes: {\"6005\": server}
failure_reasons: [{re: (?i)badge, kind: policy}]
keep: {for: 30d, at_most: 20GB}
";

fn good() -> Config {
    read(GOOD)
}

fn read(text: &str) -> Config {
    let (config, problems) = load("etc/larum.yaml", text, &KINDS);
    assert!(problems.is_empty(), "{}", problems.render(false));
    config.unwrap()
}

/// The good file with one text for another.
fn but(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

/// `line:column message; hint` of each fault.
fn faults(text: &str) -> Vec<String> {
    let (_, problems) = load("larum.yaml", text, &KINDS);
    let place = |at: Span| {
        let (line, column) = problems.position(at.start);
        format!("{line}:{column}")
    };
    let told = |problem: &crate::rule::problem::Problem| {
        format!("{} {}; {}", place(problem.span), problem.message, problem.hint.clone().unwrap_or_default())
    };
    problems.sorted().into_iter().map(told).collect()
}

#[test]
fn a_configuration_says_where_records_come_from_and_who_hears() {
    let config = good();
    assert_eq!(config.store, Path::new("etc/state/larum.db"));
    assert_eq!(config.rules, [Path::new("etc/rules/")]);
    assert_eq!(config.zone, chrono_tz::Asia::Shanghai);
    assert_eq!(config.declared, ["badge"]);
    let source = &config.sources[0];
    assert_eq!((source.name.as_str(), &*source.tenant, source.part.kind), ("prod", "acme", "vendor"));
    assert_eq!(
        config.receivers[0].at_most,
        [(Level::Medium, Some(AtMost { count: 10, within: Millis::mins(15) })), (Level::Critical, None)]
    );
    assert!(config.receivers[0].at_most_rules.is_empty() && config.receivers[0].watchdog.is_none());
    let limited = GOOD.replace("critical: off}", "rules: {burst: 3 in 1h}}, watchdog: {every: 24h}");
    let soc = read(&limited).receivers.remove(0);
    let hourly = AtMost { count: 3, within: Millis::hours(1) };
    assert_eq!(soc.closed, None);
    for (word, closed) in [("off", false), ("on", true)] {
        let told = read(&GOOD.replace("critical: off}", &format!("critical: off}}, closed: {word}")));
        assert_eq!(told.receivers[0].closed, Some(closed));
    }
    assert_eq!(soc.at_most_rules, [("burst".parse().unwrap(), hourly)]);
    assert_eq!((soc.at_most.len(), soc.watchdog), (1, Some(Millis::hours(24))));
    assert_eq!(config.ops, ["log".parse().unwrap()]);
    assert_eq!(config.keep, Keep { lasts: Millis::days(30), at_most: Some(Bytes(20_000_000_000)) });
    let facts = config.facts();
    assert_eq!(facts.failure_kind(Some("6005"), None), FailureKind::Server);
    assert_eq!(facts.failure_kind(None, Some("Badge not valid")), FailureKind::Policy);
}

#[test]
fn a_part_is_built_later_from_what_stood_in_the_file() {
    let config = good();
    let (mut problems, secrets) = (config.problems(), Secrets::default().with("URL", "https://a.example/x"));
    let options = config.receivers[0].part.options();
    let url = options.secret(&mut problems, &secrets, "url").unwrap();
    assert_eq!(url.expose_secret(), "https://a.example/x");
    let source = config.sources[0].part.options();
    assert_eq!(source.text(&mut problems, "region"), Some("r1".to_owned()));
    assert!(source.map(&mut problems, "credentials", &KEYS).unwrap().has("sk"));
    assert!(problems.is_empty(), "{}", problems.render(false));
    options.fault(&mut problems, "url", "no such host", "mend it");
    assert_eq!(problems.position(problems.sorted()[0].span.start), (7, 34));
}

#[test]
fn routes_are_those_of_the_file() {
    let name = |text: &str| text.parse::<ReceiverName>().unwrap();
    let first = Route {
        matches: Match {
            levels: vec![Level::High, Level::Critical],
            fields: vec![("user".to_owned(), vec![Pattern::new("admin*")])],
            ..Match::default()
        },
        to: vec![name("soc"), name("log")],
        go_on: true,
        ..Route::default()
    };
    let last = Route { to: vec![name("log")], ..Route::default() };
    assert_eq!(good().routes.routes, [first, last]);
}

#[test]
fn a_route_says_what_is_told_together_again_and_further() {
    let with = "- {match: {}, to: [log], group_by: [rule, user], group_wait: 10s, repeat_interval: 4h, \
                escalate: {after: 15m, to: [soc]}}";
    let config = read(&but("- {match: {}, to: [log]}", with));
    let name = |text: &str| text.parse().unwrap();
    let expected = Route {
        to: vec![name("log")],
        together: Some(Together {
            by: vec!["rule".to_owned(), "user".to_owned()],
            wait: Millis::secs(10),
            interval: Millis::mins(5),
        }),
        repeat: Some(Millis::hours(4)),
        escalate: Some(Escalate { after: Millis::mins(15), to: vec![name("soc")] }),
        ..Route::default()
    };
    assert_eq!(config.routes.routes[1], expected);
    assert_eq!(read(&but("to: [log]}", "to: [log], repeat_interval: off}")).routes.routes[1].repeat, None);
    for (route, told) in [
        ("group_wait: 10s", "`group_wait` says nothing without `group_by`"),
        ("group_by: [usr]", "no alert has `usr`"),
        ("group_by: [rule], group_wait: 1h", "`group_wait: 1h` is out of bounds"),
        ("repeat_interval: 1s", "`repeat_interval: 1s` is out of bounds"),
        ("escalate: {after: 15m}", "`escalate` needs `to`"),
        ("escalate: {after: 15m, to: [sco]}", "did you mean `soc`?"),
    ] {
        let text = but("- {match: {}, to: [log]}", &format!("- {{match: {{}}, to: [log], {route}}}"));
        let (_, problems) = load("larum.yaml", &text, &KINDS);
        let shown = problems.render(false);
        assert!(problems.has_errors() && shown.contains(told), "{route}:\n{shown}");
    }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let text = "store: l.db\nrules: [rules]\nsources: [{name: a, kind: vendor, region: r}]\n\
                receivers: [{name: o, kind: out}]\nroutes: [{match: {}, to: [o]}]\n";
    let config = read(text);
    assert_eq!(config.zone, chrono_tz::UTC);
    assert_eq!(&*config.sources[0].tenant, "default");
    assert_eq!(config.keep, Keep { lasts: Millis::days(90), at_most: None });
    assert!(config.ops.is_empty() && config.receivers[0].at_most.is_empty());
}

/// What is written, for what, and what is told of it.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("store:", "stor:", "1:1 unknown key `stor` in a configuration; did you mean `store`?"),
    ("zone:", "timezone:", "2:1 unknown key `timezone` in a configuration; did you mean `zone`?"),
    (
        "Asia/Shanghai",
        "Asia/Shangai",
        "2:7 there is no time zone `Asia/Shangai`; did you mean `Asia/Shanghai`?",
    ),
    ("Asia/Shanghai", "Shanghai", "2:7 there is no time zone `Shanghai`; did you mean `Asia/Shanghai`?"),
    (
        "rules: [rules/]",
        "rules: rules/",
        "3:8 `rules` is a list, not a single value; write `rules: [rules/]`",
    ),
    ("rules: [rules/]", "rules: []", "3:8 `rules` lists nothing; write `rules: [rules/]`"),
    ("rules: [", "sigma: []\nrules: [", "3:8 `sigma` lists nothing; write `sigma: [sigma/]`"),
    (
        "rules: [",
        "logsources: [{product: vdi}]\nrules: [",
        "3:15 this line does not say whose records they are; add `kinds: [login]` or `services: [desktop]`, or take the line out",
    ),
    (
        "rules: [",
        "logsources: [{kinds: [logins]}]\nrules: [",
        "3:22 `kinds` cannot hold `logins`; known: app_launch, login, session, user_event",
    ),
    (
        "rules: [",
        "lists: {Egress: a.txt}\nrules: [",
        "3:9 `Egress` cannot be a list's name; a list is called by up to 64 of a-z, 0-9 and _, such as `egress`",
    ),
    (
        "rules: [",
        "lists: {egress: [a]}\nrules: [",
        "3:9 `egress` is the file of a list, not a list; write `egress: lists/egress.txt`",
    ),
    ("kind: vendor", "kind: vendr", "5:24 there is no kind `vendr`; did you mean `vendor`? known: vendor"),
    ("kind: vendor, ", "", "5:6 a source needs `kind`; add `kind: huawei`"),
    ("tenant: acme", "tennant: acme", "5:32 unknown key `tennant` in a source; did you mean `tenant`?"),
    ("region: r1", "regio: r1", "5:46 unknown key `regio` in a source; did you mean `region`?"),
    ("region: r1, ", "", "5:6 a source of kind `vendor` needs `region`; add `region: ap-southeast-3`"),
    (
        "name: prod",
        "name: Prod 1",
        "5:12 `Prod 1` is no name: use 1 to 64 of a-z, 0-9, `-`, `_` and `.`; write `name: prod-1`",
    ),
    (
        "tenant: acme",
        "tenant: ACME",
        "5:40 `ACME` is no name: use 1 to 64 of a-z, 0-9, `-`, `_` and `.`; write `tenant: acme`",
    ),
    ("name: log", "name: soc", "8:12 two receivers are called `soc`; give one of them another name"),
    (
        "medium: 10 in 15m",
        "medium: 10",
        "7:61 `medium` takes a rate such as `10 in 15m`, not `10`; write `medium: 10 in 15m`, or `medium: off`",
    ),
    (
        "medium: 10 in 15m",
        "medium: 0 in 15m",
        "7:61 `medium` takes a rate such as `10 in 15m`, not `0 in 15m`; write `medium: 10 in 15m`, or `medium: off`",
    ),
    (
        "medium: 10 in 15m",
        "rules: {Bad Id: 3 in 1h}",
        "7:61 `Bad Id` cannot be a rule's id; write the id that stands under `rule:` in its file",
    ),
    (
        "medium: 10 in 15m",
        "rules: {burst: 3}",
        "7:68 `burst` takes a rate such as `3 in 1h`; write `burst: 3 in 1h`",
    ),
    (
        "at_most: {medium: 10 in 15m, critical: off}",
        "watchdog: {every: 30s}",
        "7:61 `every: 30s` is out of bounds; write a length from 1m to 7d",
    ),
    (
        "medium: 10 in 15m",
        "medium: 10 in 9d",
        "7:61 `medium: 10 in 9d` is out of bounds; write 1 to 10000 messages in 1s to 1d, or `medium: off`",
    ),
    (
        "{medium: 10 in 15m, critical: off}",
        "10 in 1h",
        "7:52 `at_most` takes levels and a rate of each, not `10 in 1h`; write `at_most: {medium: 10 in 1h}`",
    ),
    ("medium: 10 in", "mediun: 10 in", "7:53 unknown key `mediun` in `at_most`; did you mean `medium`?"),
    (
        "high, critical",
        "hihg",
        "10:22 `level` cannot be `hihg`; did you mean `high`? known: informational, low, medium, high, critical",
    ),
    ("user: admin*", "usr: admin*", "10:39 unknown key `usr` in `match` of a route; did you mean `user`?"),
    ("user: admin*", "user: []", "10:45 `user` lists nothing; name one, or take the key out"),
    ("to: [soc, log]", "to: [sok, log]", "10:59 no receiver is called `sok`; did you mean `soc`?"),
    ("to: [soc, log]", "to: [soc, soc]", "10:64 `soc` stands twice in the list; take one of them out"),
    ("to: [soc, log]", "to: []", "10:58 a route that tells nobody; name a receiver: `to: [soc-slack]`"),
    ("to: [soc, log], ", "", "10:6 a route needs `to`; add `to: [soc-slack, soc-mail]`"),
    (
        "match: {}",
        "match: {level: low}",
        "10:3 no route takes every alert, and some would be told to nobody; end the list with `- {match: {}, to: [a-receiver]}`",
    ),
    (
        "continue: true",
        "continue: yes",
        "10:80 `continue` takes `true` or `false`, not `yes`; write `continue: true`",
    ),
    ("ops: [log]", "ops: [lok]", "12:7 no receiver is called `lok`; did you mean `log`?"),
    (
        "\": server",
        "\": servr",
        "13:25 `servr` is no failure kind; known: credentials, unknown_user, locked, policy, network, server, unknown; did you mean `server`?",
    ),
    (
        "(?i)badge",
        "(badge",
        "14:24 `re: (badge` is no regular expression; no look-around and no back-references; write `\\` before a character that stands for itself",
    ),
    ("30d", "30", "15:13 `for: 30` has no unit; a duration needs one; write `30s`, `30m`, `30h` or `30d`"),
    ("30d", "1h", "15:13 `for: 1h` is out of bounds; write a length from 1d to 366d"),
    ("20GB", "20G", "15:27 `at_most` takes a size such as 20GB, not `20G`; write `at_most: 20GB`"),
    ("ops:", "\tops:", "12:1 tabs cannot indent YAML; indent this line with spaces"),
    ("ops:", "zone:", "12:1 `zone` stands twice in one map; keep one of them"),
];

#[test]
fn each_mistake_is_told_with_its_place_and_the_way_out() {
    let mut wrong = Vec::new();
    for (from, to, told) in MISTAKES {
        let found = faults(&but(from, to));
        if found != [*told] {
            wrong.push(format!("{to}\n  told {found:?}\n  not  {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_route_behind_the_catch_all_is_told() {
    let text = but("  - {match: {level", "  - {match: {}, to: [log]}\n  - {match: {level");
    assert_eq!(
        faults(&text),
        [
            "11:13 this route is never reached; put it first, or add `continue: true` to the other",
            "12:13 this route is never reached; put it first, or add `continue: true` to the other",
        ]
    );
}

#[test]
fn a_tenant_that_no_source_has_is_warned_of() {
    let text = but("user: admin*", "tenant: [ac*, other]");
    let (config, problems) = load("larum.yaml", &text, &KINDS);
    assert!(config.is_some() && !problems.has_errors());
    assert_eq!(faults(&text), ["10:53 no source is of the tenant `other`; this route takes no alert"]);
}

#[test]
fn all_faults_come_at_once() {
    let text = GOOD
        .replace("zone: Asia/Shanghai", "zone: Mars")
        .replace("kind: vendor", "kind: x")
        .replace("to: [log]", "to: [gol]")
        .replace("for: 30d", "for: 30");
    assert_eq!(faults(&text).len(), 4, "{:#?}", faults(&text));
}

#[test]
fn nothing_useful_is_told_in_one_go() {
    assert_eq!(
        faults("{}"),
        ["store", "rules", "sources", "receivers", "routes"].map(|key| format!(
            "1:1 a configuration needs `{key}`; add `{}`",
            keys::CONFIG.key(key).unwrap().example
        ))
    );
    for text in ["", "# only a comment\n"] {
        assert_eq!(
            faults(text),
            [
                "1:1 the file is empty; a configuration needs at least `store`, `rules`, `sources`, `receivers` and `routes`"
            ]
        );
    }
    assert_eq!(
        faults("store: a\n---\nstore: b\n").last().unwrap(),
        "2:1 a second document begins here; a file holds one configuration; put it into a file of its own, and take the `---` away"
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let secret = "hunter2/T0/B0";
    for (from, to) in [
        ("url: env:URL", "url: \"hunter2/T0/B0\""),
        ("url: env:URL", "url: hunter2/T0/B0"),
        ("url: env:URL", "url: [hunter2/T0/B0]"),
        ("url: env:URL", "url: {a: hunter2/T0/B0}"),
        ("url: env:URL", "url: env:hunter2/T0/B0"),
        ("url: env:URL", "ulr: hunter2/T0/B0"),
        ("url: env:URL", "frob: hunter2/T0/B0"),
        ("url: env:URL", "url: env:X, url: hunter2/T0/B0"),
        ("url: env:URL", "url: 'hunter2/T0/B0"),
        ("url: env:URL", "url: *hunter2/T0/B0"),
        ("url: env:URL", "\turl: hunter2/T0/B0"),
        ("kind: hook, url: env:URL", "kind: hok, url: hunter2/T0/B0"),
        ("kind: hook, url: env:URL", "url: hunter2/T0/B0"),
        ("kind: hook, url: env:URL", "kind: hook, at_most: 3, url: hunter2/T0/B0"),
        ("sk: file:sk", "sk: hunter2/T0/B0"),
        ("sk: file:sk", "skk: hunter2/T0/B0"),
        ("sk: file:sk", "sk: {sk: hunter2/T0/B0}"),
        ("{ak: env:AK, sk: file:sk}", "hunter2/T0/B0"),
    ] {
        // A fault on the same line shows the line.
        let text = but(from, to).replace("r1,", "r1, bad: 1,").replace("name: soc,", "name: soc, bad: 1,");
        let (config, mut problems) = load("larum.yaml", &text, &KINDS);
        if let Some(config) = &config {
            for receiver in config.receivers.iter().filter(|receiver| receiver.part.kind == "hook") {
                receiver.part.options().secret(&mut problems, &Secrets::default(), "url");
            }
            assert!(!format!("{config:?}").contains(secret), "{to}");
        }
        assert!(problems.has_errors());
        let shown = problems.render(false);
        assert!(!shown.contains("hunter2"), "{to}\n{shown}");
        assert!(!serde_json::to_string(&problems.to_json()).unwrap().contains("hunter2"), "{to}");
    }
}

#[test]
fn an_address_of_a_proxy_is_refused_and_not_shown() {
    for value in [
        "http://u:hunter2@proxy:3128",
        "[http://u:hunter2@proxy:3128]",
        "{http: hunter2}",
        "'http://u:hunter2@proxy",
        "environment\nproxy: http://u:hunter2@proxy:3128",
        "environmemt-hunter2",
    ] {
        let (_, problems) = load("larum.yaml", &format!("proxy: {value}\n{GOOD}"), &KINDS);
        assert!(problems.has_errors(), "{value}");
        let shown = problems.render(false);
        assert!(!shown.contains("hunter2"), "{value}\n{shown}");
        assert!(!serde_json::to_string(&problems.to_json()).unwrap().contains("hunter2"), "{value}");
    }
    assert_eq!(
        faults(&format!("proxy: http://proxy:3128\n{GOOD}")),
        [
            "1:8 `proxy` takes no address; write `proxy: environment`, and the address into the variable `HTTPS_PROXY`"
        ]
    );
    assert!(read(&format!("proxy: environment\n{GOOD}")).proxy.is_some());
}

#[test]
fn only_what_decides_is_in_the_digest() {
    let digest = |text: &str| read(text).digest();
    let same = digest(GOOD);
    for (from, to) in
        [("to: [soc, log]", "to: [log]"), ("state/", "other/"), ("10 in 15m", "5 in 1h"), ("30d", "40d")]
    {
        assert_eq!(digest(&but(from, to)), same, "{to}");
    }
    for (from, to) in [
        ("Asia/Shanghai", "UTC"),
        ("\": server", "\": network"),
        ("kind: policy", "kind: locked"),
        ("settle: 30s", "settle: 31s"),
        ("tenant: acme", "tenant: other"),
    ] {
        assert_ne!(digest(&but(from, to)), same, "{to}");
    }
}

#[test]
fn hostile_files_are_bounded() {
    assert!(!faults(&"[".repeat(100_000)).is_empty());
    assert!(!faults(&format!("store: {}", "x".repeat(2 << 20))).is_empty());
    let many: Vec<String> = (0..1_500).map(|number| format!("  - {{name: n{number}, kind: out}}")).collect();
    let text = but("  - {name: log, kind: out}", &many.join("\n"));
    assert!(faults(&text)[0].contains("`receivers` lists more than 1000 entries"));
    let re = but("(?i)badge", r"'(\w{1000}){1000}'");
    assert!(faults(&re)[0].contains("is larger than 1048576 bytes when compiled"), "{:?}", faults(&re));
}
