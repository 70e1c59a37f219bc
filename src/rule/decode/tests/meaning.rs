//! Good rules, and what they come out as.

use serde_json::json;

use super::super::super::case::Spelt;
use super::super::super::spec::{Amount, Cooldown, Expr, HavingTest, Literal, Mode, Test, Verb};
use super::{HEAD, SKELETON, decoded, good, good_body, messages};
use crate::record::{FieldName, Millis, Number};

/// An expression in one line: `kind=login & (user~adm | !(public_ip in 10.0.0.0/8))`.
fn line(expr: &Expr) -> String {
    let join = |parts: &[Expr], word: &str| parts.iter().map(line).collect::<Vec<_>>().join(word);
    match expr {
        Expr::All(parts) => format!("({})", join(parts, " & ")),
        Expr::Any(parts) => format!("({})", join(parts, " | ")),
        Expr::Not(part) => format!("!{}", line(part)),
        Expr::Is(predicate) => {
            let cased = if predicate.cased { "cased " } else { "" };
            format!("{} {cased}{}", predicate.field, test(&predicate.test))
        }
    }
}

fn test(test: &Test) -> String {
    let texts = |list: &[String]| list.join(",");
    match test {
        Test::Equals(literals) => format!("= {}", literals.iter().map(literal).collect::<Vec<_>>().join(",")),
        Test::Contains(list) => format!("contains {}", texts(list)),
        Test::StartsWith(list) => format!("startswith {}", texts(list)),
        Test::EndsWith(list) => format!("endswith {}", texts(list)),
        Test::Regex(list) => format!("re {list:?}"),
        Test::Cidr(list) => format!("cidr {list:?}"),
        Test::Compare(ordering, bound) => format!("{ordering:?} {bound:?}"),
        Test::Exists(flag) => format!("exists {flag}"),
        Test::FieldRef(field) => format!("fieldref {field}"),
        Test::In(lists) => format!("in {}", texts(lists)),
        // Sigma documents alone ask so.
        Test::There(_) | Test::Refers(..) | Test::Clock(..) | Test::Filled(_) => format!("{test:?}"),
        Test::Past(past, by) => {
            let by: Vec<&str> = by.iter().map(crate::record::FieldName::as_str).collect();
            format!("{past:?} by {}", by.join(","))
        }
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("'{text}'"),
        Literal::Number(number) => number.to_string(),
        Literal::Length(length) => length.to_string(),
        Literal::Bool(flag) => flag.to_string(),
        Literal::Address(address) => address.to_string(),
        Literal::Null => "null".to_owned(),
    }
}

/// What `match: …` means, defaults included.
fn means(matches: &str) -> String {
    line(&good_body(&format!("match: {matches}\n")).matches)
}

/// The same without the defaults.
fn bare(fields: &str) -> String {
    let text = means(&format!("{{kind: login, phase: start, {fields}}}"));
    text.strip_prefix("(kind = 'login' & phase = 'start' & ")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap()
        .to_owned()
}

#[test]
fn the_skeleton_of_the_documentation_decodes() {
    let spec = good(SKELETON);
    assert_eq!(spec.id.as_str(), "failure-burst");
    insta::assert_snapshot!(line(&spec.matches), @r"(kind = 'login' & phase = 'start' & outcome = 'failure' & failure_kind = 'credentials','unknown_user','unknown')");
    let Some(Verb::Count(count)) = &spec.verb else { panic!("{:?}", spec.verb) };
    assert_eq!((count.at_least, count.within, count.group.by.len()), (Some(5), Millis::mins(10), 1));
    assert_eq!(spec.late_within, Millis::hours(1));
    assert_eq!(spec.except[0].until.unwrap().to_string(), "2027-02-01T00:00:00.000Z");
    assert_eq!(line(&spec.except[0].matches), "public_ip cidr [203.0.113.0/24]");
    assert_eq!((spec.cooldown, spec.mode), (None, Mode::Live));
    assert_eq!(spec.tests.len(), 2);
    assert_eq!(spec.tests[0].alerts[0].values[1].2, "5");
    assert!(spec.tests[1].alerts.is_empty());
}

#[test]
fn rules_of_the_reference_decode() {
    let new_ip = "match: {outcome: success}
first_seen:
  value: public_ip
  by: [user]
  learn: {for: 7d, records: 5}
  forget: 30d
except:
  - {public_ip|cidr: 203.0.113.0/24, because: head office, until: 2027-01-31}
alert:
  title: \"{{ user }} signed in from new address {{ public_ip }} ({{ geo.country }}, {{ asn.name }})\"
tests:
  - name: a new network after a week of history
    history: [{every: 1d, times: 8, user_name: ana, outcome: success, public_ip: 198.51.100.7}]
    events: [{user_name: ana, outcome: success, public_ip: 192.0.2.9}]
    alerts: [{user: ana, public_ip: 192.0.2.9}]
";
    let latency = "match: {kind: login, phase: start, e2e_rtt|exists: true}
measure: {field: e2e_rtt, stat: p90, above: 250, within: 30m, at_least: 5, by: [user], recover: {below: 200}}
alert:
  title: \"{{ user }}: end-to-end delay {{ value }} (p90 of {{ samples }} sign-ins)\"
tests:
  - name: slow, then fine
    events:
      - {every: 1m, times: 5, user_name: ana, e2e_rtt: 400}
      - {after: 30m, every: 1m, times: 20, user_name: ana, e2e_rtt: 40}
    alerts: [{user: ana}, {user: ana, state: resolved}]
";
    let spray = "match: {outcome: failure, failure_kind: [credentials, unknown_user]}
distinct: {field: user, at_least: 5, within: 15m, by: [public_ip], each_at_most: 8}
cooldown: 2h
alert: {title: \"{{ public_ip }} failed on {{ count }} accounts\", show: [user, geo.country, asn.name]}
tests:
  - name: five accounts from one address
    events:
      - {every: 1m, each: {user_name: [a, b, c, d, e]}, public_ip: 192.0.2.9, outcome: failure}
    alerts: [{public_ip: 192.0.2.9, count: 5}]
";
    let tcp = "match: {network_rtt|exists: true, e2e_rtt|exists: true}
script:
  by: [user]
  keep: 3
  when: |
    history.filter(|r| r.e2e_rtt > 3 * r.network_rtt).len() >= 2
";
    for rule in [new_ip, latency, spray, tcp] {
        good_body(rule);
    }
}

#[test]
fn kind_and_phase_are_added_each_unless_it_is_spoken_of() {
    assert_eq!(means("{user: ana}"), "(kind = 'login' & phase = 'start' & user = 'ana')");
    assert_eq!(means("{phase: end}"), "(kind = 'login' & phase = 'end')");
    assert_eq!(means("{kind: session}"), "(phase = 'start' & kind = 'session')");
    assert_eq!(
        means("[{kind: app_launch, user: a}, {user: b}]"),
        "(phase = 'start' & ((kind = 'app_launch' & user = 'a') | user = 'b'))"
    );
    assert_eq!(
        means("{a: {kind: [login, session]}, condition: not a}"),
        "(phase = 'start' & !kind = 'login','session')"
    );
    assert_eq!(means("{}"), "(kind = 'login' & phase = 'start')");
}

#[test]
fn every_expression_has_its_own_defaults_but_except_and_levels() {
    let spec = good_body(
        "match: {kind: session}
count:
  within: 10m
  unless: {outcome: success}
  having: {share: {match: {outcome: failure}, at_least: 50%}}
except: [{user: ana, because: x}]
levels: [{level: high, when: {user: bob}}]
",
    );
    let Some(Verb::Count(count)) = &spec.verb else { panic!() };
    assert_eq!(
        line(count.unless.as_ref().unwrap()),
        "(kind = 'login' & phase = 'start' & outcome = 'success')"
    );
    let HavingTest::Share { matches, at_least, .. } = &count.having[0].test else { panic!() };
    assert_eq!(line(matches), "(kind = 'login' & phase = 'start' & outcome = 'failure')");
    assert_eq!(*at_least, Amount::Percent(Number::whole(50)));
    assert_eq!(line(&spec.except[0].matches), "user = 'ana'");
    assert_eq!(line(&spec.levels[0].when), "user = 'bob'");
}

#[test]
fn values_are_the_text_in_the_file_typed_by_the_field() {
    assert_eq!(bare("failed_code: 6005"), "failed_code = '6005'");
    assert_eq!(bare("failed_code: 042"), "failed_code = '042'");
    assert_eq!(bare("client_version: 1.50"), "client_version = '1.50'");
    assert_eq!(bare("geo.country: [NO, no, yes]"), "geo.country = 'no','no','yes'");
    assert_eq!(bare("geo.country|cased: NO"), "geo.country cased = 'NO'");
    assert_eq!(bare("user: ''"), "user = ''");
    assert_eq!(bare("user: null"), "user = null");
    assert_eq!(bare("user: ['null', 'true']"), "user = 'null','true'");
    assert_eq!(bare("e2e_rtt: [300, 300.0, '1e2']"), "e2e_rtt = 300,300,100");
    assert_eq!(bare("is_reconnect: true"), "is_reconnect = true");
    assert_eq!(bare("duration|gte: 8h30m"), "duration AtLeast Length(Millis(30600000))");
    assert_eq!(bare("raw.flag: true"), "raw.flag = 'true'");
    assert_eq!(bare("raw.size|lt: 1.5"), "raw.size Below Number(Number(1500000000))");
    assert_eq!(
        bare("end_time|lt: 2026-01-05T09:00:00+08:00"),
        "end_time Below Time(Timestamp(1767574800000))"
    );
}

#[test]
fn addresses_are_addresses() {
    assert_eq!(bare("public_ip: '::ffff:192.0.2.9'"), "public_ip = 192.0.2.9");
    assert_eq!(bare("public_ip: unknown"), "public_ip = 'unknown'");
    assert_eq!(
        bare("public_ip|cidr: ['::ffff:10.0.0.0/104', '2001:db8::/32', 192.0.2.1]"),
        "public_ip cidr [10.0.0.0/8, 2001:db8::/32, 192.0.2.1/32]"
    );
    assert_eq!(bare("public_ip|startswith: 10."), "public_ip startswith 10.");
}

#[test]
fn text_is_folded_unless_cased() {
    assert_eq!(bare("user_name|contains: [ADM, ß]"), "user_name contains adm,ß");
    assert_eq!(bare("user_name|contains|cased: ADM"), "user_name cased contains ADM");
    assert_eq!(bare("user_name|contains|all: [A, B]"), "(user_name contains a & user_name contains b)");
    assert_eq!(bare("login_user|fieldref: user"), "user_name fieldref user");
    assert_eq!(bare("user_name|re: '^a.*B'"), "user_name re [/^a.*B/]");
}

#[test]
fn conditions_join_selections() {
    let with = |condition: &str| {
        let body = format!(
            "{{kind_is: {{kind: login, phase: start}}, sel_a: {{user: a}}, sel_b: [{{user: b}}, {{user: c}}], _x: {{user: x}}, condition: {condition}}}"
        );
        let (spec, problems) = decoded(&format!("{HEAD}match: {body}\n"));
        let text = spec.map(|spec| line(&spec.matches)).unwrap_or_default();
        assert!(!problems.has_errors(), "{}", problems.render(false));
        text.replace("(kind = 'login' & phase = 'start')", "K")
            .replace("kind = 'login' & phase = 'start'", "K")
    };
    assert_eq!(with("kind_is and sel_a or sel_b"), "((K & user = 'a') | (user = 'b' | user = 'c'))");
    assert_eq!(with("kind_is and (sel_a or not sel_b)"), "(K & (user = 'a' | !(user = 'b' | user = 'c')))");
    assert_eq!(with("kind_is and 1 of sel_*"), "(K & (user = 'a' | (user = 'b' | user = 'c')))");
    assert_eq!(with("all of them"), "(K & user = 'a' & (user = 'b' | user = 'c'))");
    assert_eq!(with("kind_is and not not _x"), "(K & user = 'x')");
}

#[test]
fn declared_fields_are_fields() {
    let declared = ["badge".to_owned()];
    let zone = chrono_tz::Tz::Asia__Shanghai;
    let options = super::super::Options { declared: &declared, zone, ..Default::default() };
    let source =
        format!("{HEAD}match: {{badge|gt: 5}}\nexcept: [{{user: a, because: x, until: 2027-01-31}}]\n");
    let (spec, problems) = super::super::decode("r.yaml", &source, &options);
    assert!(problems.is_empty(), "{}", problems.render(false));
    let until = spec.unwrap().except[0].until.unwrap();
    assert_eq!(until.to_string(), "2027-01-31T16:00:00.000Z");
}

/// The rule of `body` where these lists are known.
fn with_lists(
    body: &str,
    lists: &[String],
    lists_of_tests: bool,
) -> (Option<crate::rule::spec::Spec>, String) {
    let options = super::super::Options { lists, lists_of_tests, ..Default::default() };
    let (spec, problems) = super::super::decode("r.yaml", &format!("{HEAD}{body}"), &options);
    (spec, problems.render(false))
}

#[test]
fn lists_are_read_by_name() {
    let lists = ["egress".to_owned(), "leavers".to_owned()];
    let body =
        "match: {kind: login, phase: start, public_ip|in: egress, user_name|cased|in: [leavers, egress]}\n";
    let (spec, told) = with_lists(body, &lists, false);
    assert_eq!(told, "");
    let spec = spec.unwrap();
    assert_eq!(
        line(&spec.matches),
        "(kind = 'login' & phase = 'start' & public_ip in egress & user_name cased in leavers,egress)"
    );
    assert_eq!(spec.lists.read.into_iter().collect::<Vec<_>>(), ["egress", "leavers"]);
}

#[test]
fn lists_of_tests_are_known_where_nobody_says_which_there_are() {
    let body = "match: {public_ip|in: egress}\ntests:\n  - name: n\n    \
                lists: {egress: [203.0.113.0/24, {value: ana, until: 2026-01-05}]}\n    events: [{user: a}]\n    alerts: none\n";
    let (spec, told) = with_lists(body, &[], true);
    assert_eq!(told, "");
    let lists = &spec.unwrap().tests[0].lists;
    assert_eq!((lists[0].0.as_str(), lists[0].1[0].0.as_str()), ("egress", "203.0.113.0/24"));
    assert_eq!(lists[0].1[1].1.unwrap().to_string(), "2026-01-06T00:00:00.000Z");
    let (_, told) = with_lists(body, &[], false);
    assert_eq!(told.matches("there is no list `egress`").count(), 1, "{told}");
}

#[test]
fn hours_are_spans_in_a_zone() {
    let shown = |hours: &str| good_body(&format!("match: {{}}\nhours: {hours}\n")).hours.unwrap().to_string();
    assert_eq!(
        shown("{zone: Asia/Shanghai, outside: \"Mon-Fri 08:00-19:00\"}"),
        "outside Mon-Fri 08:00-19:00 in Asia/Shanghai"
    );
    assert_eq!(
        shown("{inside: [22:00-06:00, \"Sat,Sun 00:00-24:00\"]}"),
        "inside 22:00-06:00 and Sat-Sun 00:00-24:00 in UTC"
    );
}

#[test]
fn off_switches_off() {
    let spec = good_body(
        "match: {}\nfirst_seen: {value: [asn.number, client_type], learn: off, forget: off, same_net: off}\ncooldown: off\nlate_within: off\n",
    );
    let Some(Verb::FirstSeen(first)) = &spec.verb else { panic!() };
    assert_eq!((first.learn, first.forget, first.same_net, first.value.len()), (None, None, None, 2));
    assert_eq!(spec.cooldown, Some(Cooldown::Off));
    assert_eq!(spec.late_within, Millis::ZERO);
}

#[test]
fn a_cooldown_may_have_a_group_where_there_is_no_verb() {
    let spec = good_body("match: {e2e_rtt|gte: 400}\ncooldown: {for: 1h, by: [user]}\n");
    let Some(Cooldown::For { lasts, group }) = spec.cooldown else { panic!() };
    assert_eq!((lasts, group.by), (Millis::hours(1), vec![FieldName::resolve("user").unwrap()]));
    let message = messages("match: {}\ncount: {at_least: 2, within: 1m}\ncooldown: {for: 1h, by: [user]}\n");
    assert_eq!(message, ["the verb has its group already, so `by` cannot stand here"]);
}

#[test]
fn same_net_keeps_the_other_default() {
    let spec = good_body("match: {}\nfirst_seen: {value: public_ip, same_net: {v4: 16}}\n");
    let Some(Verb::FirstSeen(first)) = &spec.verb else { panic!() };
    let bits = first.same_net.unwrap();
    assert_eq!((bits.v4, bits.v6), (16, 56));
}

#[test]
fn values_of_test_records_are_typed_by_the_field() {
    let spec = good_body(
        "match: {}
tests:
  - name: t
    events:
      - {user_name: 007, e2e_rtt: 1.50, is_reconnect: true, duration: 5m, failed_code: null, raw.n: 5, raw.b: false, raw.s: 05, network_rtt: 'x', raw.order: 123456789012345678901, raw.far: -1e999}
      - {after: 1h}
      - {at: 2026-01-05T22:00:00Z, each: {computer_name: [a, 1]}, every: 2m}
    alerts: [{count: 5, values: {users: 8}, title: 'x: y'}]
",
    );
    let case = &spec.tests[0];
    let fields = case.events[0].fields.iter().map(|(name, value)| format!("{name}: {}", value.as_str()));
    assert_eq!(
        fields.collect::<Vec<_>>().join(", "),
        "user_name: \"007\", e2e_rtt: 1.50, is_reconnect: true, duration: 300000, failed_code: null, raw.n: 5, \
         raw.b: false, raw.s: \"05\", network_rtt: \"x\", raw.order: 123456789012345678901, raw.far: -1e999"
    );
    assert_eq!((case.events[1].after, case.events[1].fields.len()), (Some(Millis::hours(1)), 0));
    assert_eq!(case.events[2].each[0].0.as_str(), "machine_name");
    assert_eq!(case.events[2].each[0].1, [json!("a"), json!("1")].map(Spelt::from));
    let names: Vec<_> =
        case.alerts[0].values.iter().map(|(name, _, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(names, [("count", "5"), ("values.users", "8"), ("title", "x: y")]);
}

#[test]
fn each_line_of_a_script_is_found_in_the_file() {
    let block = format!(
        "{HEAD}match: {{}}\nscript:\n  by: [user]\n  when: |\n    let x = 1;\n\n      x > 2 &&\n    true\n"
    );
    let closure =
        format!("{HEAD}match: {{}}\nscript:\n  when: |2-\n\n    |x|\n    || x |\n    x > 2\nmode: live\n");
    let folded = format!("{HEAD}match: {{}}\nscript:\n  when: record.e2e_rtt > 3\n");
    let quoted = format!("{HEAD}match: {{}}\nscript: {{when: \"a == 'é' && b\"}}\n");
    for source in [&block, &closure, &folded, &quoted] {
        let spec = good(source);
        let Some(Verb::Script(script)) = &spec.verb else { panic!() };
        assert_eq!(script.when.text.lines().count(), script.when.lines.len());
        for (text, at) in script.when.text.lines().zip(&script.when.lines) {
            assert!(source[*at..].starts_with(text), "`{text}` is not at {at}");
        }
    }
    // Line 3, column 7 of the script is `x` of the line under `script:` with four spaces taken off.
    let Some(Verb::Script(script)) = good(&block).verb else { panic!() };
    assert_eq!(&block[script.when.lines[2] + 2..][..5], "x > 2");
}

#[test]
fn a_measure_has_defaults() {
    let spec = good_body("match: {}\nmeasure: {field: network_rtt, stat: median, below: 5, within: 1d}\n");
    let Some(Verb::Measure(measure)) = &spec.verb else { panic!() };
    assert_eq!((measure.at_least, measure.last, measure.recover), (1, None, None));
    assert_eq!(measure.limit, super::super::super::spec::Limit::Below(Number::whole(5)));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    good(&format!("\u{feff}{}", SKELETON.replace('\n', "\r\n")));
}
