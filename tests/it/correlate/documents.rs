//! Correlations as Sigma documents: their faults and where they stand, the specification's own examples,
//! what is told and what is only heard of, and a thousand documents against slow code.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use larum::engine::{Generation, GenerationText, RuleText};
use larum::record::Timestamp;
use larum::rule::problem::Severity;

use super::super::world::{HOUR, Login, MINUTE, SECOND, START, World, time};

const BASES: &str = "title: A failed login
name: failed
detection:
  selection: {outcome: failure}
  condition: selection
---
title: A login
name: succeeded
id: 4d0a2c83-c62c-4ed4-b475-c7e23a9269b8
detection:
  selection: {outcome: success}
  condition: selection
";

/// A document; its body's first line is line 5.
fn correlation(name: &str, body: &str) -> String {
    let body: Vec<String> = body.lines().map(|line| format!("  {line}\n")).collect();
    format!("title: {name}\nname: {name}\nlevel: high\ncorrelation:\n{}", body.concat())
}

/// The rules of documents, and what there is to tell of them.
fn compiled(documents: &[String]) -> (Arc<Generation>, Vec<String>) {
    let sigma = vec![RuleText { file: "doc.yml".to_owned(), text: documents.join("---\n") }];
    let compiled = GenerationText { sigma, ..GenerationText::default() }.compile();
    let mut told = Vec::new();
    for problems in &compiled.problems {
        for problem in problems.sorted() {
            let (line, column) = problems.position(problem.span.start);
            let word = if problem.severity == Severity::Error { "" } else { "warning: " };
            let hint = problem.hint.as_deref().unwrap_or_default();
            told.push(format!("{line}:{column} {word}{} -> {hint}", problem.message));
        }
    }
    (compiled.generation, told)
}

/// What there is to tell of a correlation with this body.
fn told(body: &str) -> String {
    compiled(&[correlation("many", body), BASES.to_owned()]).1.join("\n")
}

pub fn world(documents: &[String]) -> World {
    let (generation, told) = compiled(documents);
    assert!(told.iter().all(|told| told.contains("warning: ")), "{told:#?}");
    World::under(generation)
}

/// Which rules fired when.
fn fired(world: &World, logins: &[Login]) -> Vec<(String, i64)> {
    world.told(logins).fired().map(|fired| (fired.rule.to_string(), fired.at.0 - START)).collect()
}

fn failures(times: &[i64]) -> Vec<Login> {
    (0..).zip(times).map(|(number, at)| Login::failure(number, *at, "ana")).collect()
}

const COUNT: &str = "type: event_count\nrules: [failed]\ngroup-by: [user_name]\ntimespan: 1m\n";

/// What there is to tell of `COUNT` with these lines more, which begin at line 9.
fn counted(more: &str) -> String {
    told(&format!("{COUNT}{more}\n"))
}

/// Two rules within a minute, and these lines more, which begin at line 8.
fn temporal(more: &str) -> String {
    told(&format!("type: temporal\nrules: [failed, succeeded]\ntimespan: 1m\n{more}\n"))
}

/// A number of `e2e_rtt` with this timespan at line 7 and this condition at line 8.
fn measured(kind: &str, timespan: &str, condition: &str) -> String {
    told(&format!("type: {kind}\nrules: failed\ntimespan: {timespan}\ncondition: {condition}\n"))
}

#[test]
fn all_faults_of_a_correlation_are_told_at_once_and_at_their_places() {
    assert_eq!(
        told(
            "type: event_cont\nrules: [faild, succeeded, succeeded]\ntimespan: 10\ncondition: {gte: many}\n"
        ),
        "5:9 there is no correlation of type `event_cont` -> did you mean `event_count`?\n\
         6:11 no document is called `faild` -> did you mean `failed`?\n\
         6:29 `succeeded` stands twice in `rules` -> take one of them out\n\
         7:13 `timespan: 10` has no unit -> write `10s`, `10m`, `10h` or `10d`"
    );
    assert_eq!(
        told("aliases: {}\n"),
        "4:1 `correlation` needs `type` -> add `type: event_count`, or another of `event_count`, `value_count`, `temporal`, `temporal_ordered`, `value_sum`, `value_avg`, `value_percentile` or `value_median`\n\
         4:1 `correlation` needs `rules` -> add `rules: [name or id of a document]`\n\
         4:1 `correlation` needs `timespan` -> add `timespan: 10m`"
    );
    assert_eq!(
        told("type: temporal\nrules: []\ntimespan: m\n"),
        "6:3 `correlation` needs `rules` -> add `rules: [name or id of a document]`\n\
         7:13 `timespan` takes a number and a unit, not `m` -> write `timespan: 10m`"
    );
    assert_eq!(
        told("type: temporal\nrules: [many]\ntimeframe: 1m\n"),
        "6:11 `many` refers to itself -> take it out of `rules`\n\
         7:3 unknown key `timeframe` in `correlation` -> did you mean `timespan`?"
    );
}

#[test]
fn faults_of_a_condition_are_told_at_their_places() {
    for (condition, fault) in [
        ("condition: {gte: many}", "9:20 `gte` takes a number, not `many` -> write `gte: 10`"),
        (
            "condition: {gte: 1e21}",
            "9:20 the number `1e21` is beyond those that a rule can name -> write a number from -1e20 to 1e20; what a \
             record has beyond that is larger or smaller than all of them",
        ),
        ("condition: {gt3: 3}", "9:15 unknown key `gt3` in `condition` -> did you mean `gt`?"),
        (
            "condition: {}",
            "9:3 the condition compares with nothing -> add one of `gt`, `gte`, `lt`, `lte`, `eq` or `neq`",
        ),
        (
            "condition: failed and succeeded",
            "9:14 `event_count` compares a number, and this is no map of comparisons -> write `condition: {gte: 10}`; names of rules are for temporal types",
        ),
        ("conditon: {gte: 1}", "9:3 unknown key `conditon` in `correlation` -> did you mean `condition`?"),
        ("", "4:1 a correlation of type `event_count` needs `condition` -> add `condition: {gte: 10}`"),
        (
            "condition: {lt: 1}",
            "9:3 warning: `lt: 1` never holds: it is judged at events, and then there is one at least -> to hear of silence, write a rule of Larum's own with `absent`",
        ),
        (
            "condition: {gte: 1, field: user_name}",
            "9:23 warning: a correlation of type `event_count` looks at no `field` -> take `field` out, or write another type",
        ),
    ] {
        assert_eq!(counted(condition), fault, "{condition}");
    }
    for (condition, fault) in [
        (
            "condition: failed and (other",
            "8:26 the condition names `other`, which is not in `rules` -> name it in `rules`",
        ),
        ("condition: failed and (succeeded", "8:25 this `(` is never closed -> add `)`"),
        (
            "condition: failed AND succeeded",
            "8:21 `AND` cannot stand here -> the words are `and`, `or` and `not`",
        ),
        (
            "condition: failed or",
            "8:21 the condition stops too early -> a name of a rule is missing at its end",
        ),
        (
            "condition: not failed",
            "6:19 warning: the condition does not name `succeeded` -> name it, or take it out of `rules`",
        ),
    ] {
        assert_eq!(temporal(condition), fault, "{condition}");
    }
}

#[test]
fn a_condition_beyond_what_a_group_keeps_is_refused() {
    let kept = "10000 is the most that is kept; ask for fewer, in a shorter `timespan`";
    for (condition, right) in [
        ("gte: 10000", true),
        ("gte: 10001", false),
        ("gt: 9999", true),
        ("gt: 10000", false),
        ("lt: 10000", true),
        ("lt: 10001", false),
        ("lte: 9999", true),
        ("lte: 10000", false),
        ("eq: 9999", true),
        ("eq: 10000", false),
        ("neq: 9999", true),
        ("neq: 10000", false),
    ] {
        let word = condition.split(':').next().unwrap();
        let number = condition.split(' ').nth(1).unwrap();
        let least = if matches!(word, "gte" | "lt") { 10_000 } else { 9_999 };
        for (kind, field, things) in
            [("event_count", "", "events"), ("value_count", ", field: user_name", "values")]
        {
            let told = measured(kind, "1m", &format!("{{{condition}{field}}}"));
            let at = 15 + word.len() + 2;
            let fault = format!(
                "8:{at} `{word}: {number}` cannot be judged: a group that is full counts 10000 {things} and no more, so \
                 that `{word}` takes {least} at most -> {kept}"
            );
            assert_eq!(told, if right { String::new() } else { fault }, "{kind} {condition}");
        }
    }
    assert_eq!(measured("value_sum", "1m", "{gte: 20000, field: e2e_rtt}"), "", "a sum may be of few");
    assert_eq!(measured("event_count", "1m", "{gte: 5, lt: 20000}").lines().count(), 1);
}

#[test]
fn a_range_that_nothing_is_in_is_doubted() {
    for (kind, condition, range) in [
        ("event_count", "{gte: 3, lte: 2}", "`gte: 3` and `lte: 2`"),
        ("event_count", "{gt: 3, lt: 3}", "`gt: 3` and `lt: 3`"),
        ("event_count", "{gt: 3, lt: 4}", "`gt: 3` and `lt: 4`"),
        ("event_count", "{eq: 3, neq: 3}", "`eq: 3` and `neq: 3`"),
        ("event_count", "{eq: 3, gte: 4}", "`gte: 4` and `eq: 3`"),
        ("value_sum", "{gte: 3, lt: 3, field: e2e_rtt}", "`gte: 3` and `lt: 3`"),
    ] {
        let told = measured(kind, "1m", condition);
        assert_eq!(
            told,
            format!("8:3 warning: {range} never hold together -> mend one of them"),
            "{condition}"
        );
    }
    for condition in ["{gte: 3, lte: 3, field: e2e_rtt}", "{gt: 3, lt: 4, field: e2e_rtt}"] {
        assert_eq!(measured("value_sum", "1m", condition), "", "{condition}");
    }
}

#[test]
fn comparisons_in_the_words_of_others_lead_to_ours() {
    for (word, ours) in
        [("ge", "gte"), ("le", "lte"), ("ne", "neq"), ("'>='", "gte"), ("'<'", "lt"), ("'=='", "eq")]
    {
        let told = counted(&format!("condition: {{{word}: 2}}"));
        assert!(told.contains(&format!("-> did you mean `{ours}`?")), "{word}: {told}");
    }
}

#[test]
fn faults_of_numbers_and_timespans_are_told_at_their_places() {
    for (kind, timespan, condition, fault) in [
        (
            "value_count",
            "1h30m",
            "{gte: 1}",
            "7:13 `h30m` is no unit of a timespan -> one number and one unit: an hour and a half is `90m`\n\
             8:3 a correlation of type `value_count` needs `field` in its condition -> add `field: user_name`",
        ),
        (
            "value_sum",
            "1H",
            "{gte: 1, field: [a, b]}",
            "7:13 `H` is no unit of a timespan -> did you mean `1h`?\n\
             8:34 `value_sum` is of one field -> take the others out",
        ),
        (
            "value_percentile",
            "20y",
            "{gte: 1, field: e2e_rtt, percentile: 101}",
            "7:13 `timespan: 20y` is too long -> 3650d is the longest\n\
             8:51 `percentile` is a whole number from 1 to 100, not `101` -> write `percentile: 95`",
        ),
        (
            "value_percentile",
            "0m",
            "{gte: 1, field: e2e_rtt}",
            "7:13 `timespan: 0m` is no time at all -> write `timespan: 10m`\n\
             8:3 warning: the condition names no percentile; the 50th is meant -> write `percentile: 50`, or another from 1 to 100",
        ),
    ] {
        assert_eq!(measured(kind, timespan, condition), fault, "{kind}");
    }
}

#[test]
fn faults_of_aliases_are_told_at_their_places() {
    assert_eq!(
        temporal(
            "group-by: [who, who]\naliases:\n  who: {faild: user_name, succeeded: ''}\n  where: {failed: public_ip}\n  odd: x"
        ),
        "8:19 `who` stands twice in `group-by` -> take one of them out\n\
         10:11 alias `who` is about `faild`, which is not in `rules` -> did you mean `failed`?\n\
         10:40 alias `who` needs a field of `succeeded` -> write `succeeded: user_name`\n\
         11:5 warning: nothing uses the alias `where` -> name it in `group-by`, or take it out\n\
         12:5 alias `odd` is a map of rules and fields, not a single value -> write `odd: {rule: field}`"
    );
}

#[test]
fn a_circle_is_told_at_each_of_its_places_and_who_refers_to_it_falls_with_it() {
    let one = |name: &str, rule: &str| {
        correlation(name, &format!("type: temporal\nrules: [{rule}, failed]\ntimespan: 1m\n"))
    };
    let documents = [one("one", "two"), one("two", "one"), one("three", "two"), BASES.to_owned()];
    let (generation, told) = compiled(&documents);
    assert_eq!(
        told,
        [
            "6:11 correlations refer to each other in a circle: `one`, `two`, `one` -> take one of them out of the other's `rules`",
            "14:11 correlations refer to each other in a circle: `two`, `one`, `two` -> take one of them out of the other's `rules`",
            "18:7 it refers to `two`, which does not load -> mend that one first",
        ]
    );
    let left: Vec<&str> = generation.programs.list.iter().map(|program| program.rule.id().as_str()).collect();
    assert_eq!(left, ["succeeded"], "what is correlated stays quiet");
}

#[test]
fn faults_of_what_is_said_to_us_alone_are_told() {
    let more = |larum: &str| {
        let one = correlation("many", &format!("{COUNT}condition: {{gte: 1}}\n"));
        compiled(&[format!("{one}larum: {larum}\n"), BASES.to_owned()]).1.join("\n")
    };
    assert_eq!(more("{cooldwn: 1h}"), "10:9 unknown key `cooldwn` in `larum` -> did you mean `cooldown`?");
    assert_eq!(
        more("{cooldown: 1}"),
        "10:19 `cooldown`: `1` needs a unit: `1s`, `1m`, `1h` or `1d` -> write `larum: {cooldown: 1h}`"
    );
    assert_eq!(
        more("1h"),
        "10:1 `larum` is a map of keys, not a single value -> write `larum: {cooldown: 1h}`"
    );
}

#[test]
fn the_example_of_the_specification_fires_at_the_success_behind_many_failures() {
    let documents = "title: Correlation - Multiple Failed Logins Followed by Successful Login
id: b180ead8-d58f-40b2-ae54-c8940995b9b6
status: experimental
description: Detects multiple failed logins by a single user followed by a successful login of that user
references:
    - https://reference.com
author: Florian Roth (Nextron Systems)
date: 2023-06-16
correlation:
    type: temporal_ordered
    rules:
        - multiple_failed_login
        - successful_login
    group-by:
        - User
    timespan: 10m
falsepositives:
    - Unlikely
level: high
---
title: Multiple failed logons
id: a8418a5a-5fc4-46b5-b23b-6c73beb19d41
description: Detects multiple failed logins within a certain amount of time
name: multiple_failed_login
correlation:
    type: event_count
    rules:
        - failed_login
    group-by:
        - User
    timespan: 10m
    condition:
        gte: 10
---
title: Single failed login
id: 53ba33fd-3a50-4468-a5ef-c583635cfa92
name: failed_login
logsource:
    product: windows
    service: security
detection:
    selection:
        EventID:
            - 529
            - 4625
    condition: selection
---
title: Successful login
id: 4d0a2c83-c62c-4ed4-b475-c7e23a9269b8
name: successful_login
logsource:
    product: windows
    service: security
detection:
    selection:
        EventID:
            - 528
            - 4624
    condition: selection
";
    let world = world(&[documents.to_owned()]);
    let line = |number: i64, event: u32, at: i64| {
        format!(r#"{{"id":"{number}","start_time":"{}","EventID":{event},"User":"Ana"}}"#, time(at))
    };
    let mut lines: Vec<String> = (0..10).map(|number| line(number, 4625, number * SECOND)).collect();
    lines.push(line(10, 4624, 9 * SECOND + 10 * MINUTE));
    lines.push(line(11, 4624, 9 * SECOND + 10 * MINUTE + 1));
    let mut run = world.run();
    run.take_lines(&lines);
    run.finish();
    let alerts: Vec<_> = run.told.fired().collect();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0].rule.as_str(), "b180ead8-d58f-40b2-ae54-c8940995b9b6");
    assert_eq!(alerts[0].at, time(9 * SECOND + 10 * MINUTE));
    assert_eq!(format!("{:?}", alerts[0].group), "[(`=User`, Some(\"ana\"))]");
}

#[test]
fn what_is_correlated_is_told_only_where_that_is_asked_for() {
    let logins = failures(&[0, SECOND]);
    let document = |more: &str| {
        vec![correlation("many", &format!("{COUNT}condition: {{gte: 2}}\n{more}")), BASES.to_owned()]
    };
    let many = ("many".to_owned(), SECOND);
    assert_eq!(fired(&world(&document("")), &logins), std::slice::from_ref(&many));
    let all = [("failed".to_owned(), 0), ("failed".to_owned(), SECOND), many];
    assert_eq!(fired(&world(&document("generate: true\n")), &logins), all);
    let mut root = document("");
    root[0].push_str("generate: true\n");
    assert_eq!(fired(&world(&root), &logins), all);
    // One that is referred to twice is told if one of them asks for it.
    let mut twice = document("");
    twice.push(correlation("other", &format!("{COUNT}condition: {{gte: 3}}\ngenerate: true\n")));
    assert_eq!(fired(&world(&twice), &logins), all);
}

#[test]
fn a_document_may_ask_for_one_alert_in_so_long() {
    let logins = failures(&[0, SECOND, 2 * SECOND, HOUR, HOUR + SECOND]);
    let mut document =
        vec![correlation("many", &format!("{COUNT}condition: {{gte: 2}}\n")), BASES.to_owned()];
    let times = |document: &[String]| {
        fired(&world(document), &logins).into_iter().map(|(_, at)| at).collect::<Vec<_>>()
    };
    assert_eq!(times(&document), [SECOND, 2 * SECOND, HOUR + SECOND]);
    document[0].push_str("larum: {cooldown: 1h}\n");
    assert_eq!(times(&document), [SECOND, HOUR + SECOND]);
}

#[test]
fn rules_are_named_by_an_extended_condition_where_there_is_no_list() {
    let body = "type: temporal\ngroup-by: user_name\ntimespan: 1m\ncondition: failed and not succeeded\n";
    let document = [correlation("only", body), BASES.to_owned()];
    let logins = [
        Login::failure(0, 0, "ana"),
        Login::success(1, 30 * SECOND, "ana"),
        Login::failure(2, 40 * SECOND, "ana"),
        Login::failure(3, 3 * MINUTE, "ana"),
    ];
    let only = |at| ("only".to_owned(), at);
    assert_eq!(fired(&world(&document), &logins), [only(0), only(3 * MINUTE)]);
}

#[test]
fn an_alias_joins_fields_of_different_names_and_stands_for_itself_elsewhere() {
    let body = "type: temporal\nrules: [failed, succeeded]\ngroup-by: [who]\ntimespan: 1m\naliases:\n  who:\n    failed: user_name\n    4d0a2c83-c62c-4ed4-b475-c7e23a9269b8: client_name\n";
    let many = correlation("many", body);
    let above = correlation(
        "above",
        "type: event_count\nrules: [many]\ngroup-by: [who]\ntimespan: 1m\ncondition: {gte: 2}\ngenerate: true\n",
    );
    let world = world(&[above, many, BASES.to_owned()]);
    let told = world.told(&[
        Login::failure(0, 0, "ana"),
        Login::success(1, SECOND, "bob").client("ana"),
        Login::success(2, 2 * SECOND, "ana").client("cat"),
        Login::success(3, 3 * SECOND, "bob").client("ana"),
    ]);
    let fired: Vec<_> = told
        .fired()
        .map(|fired| (fired.rule.to_string(), fired.at.0 - START, format!("{:?}", fired.group)))
        .collect();
    let line = |rule: &str, at| (rule.to_owned(), at, "[(`=who`, Some(\"ana\"))]".to_owned());
    assert_eq!(fired, [line("many", SECOND), line("above", 3 * SECOND), line("many", 3 * SECOND)]);
}

#[test]
fn a_row_is_one_event_whether_it_has_ended_or_not() {
    let world = world(&[
        correlation("many", &format!("{COUNT}condition: {{gte: 2}}\n").replace("failed", "succeeded")),
        BASES.to_owned(),
    ]);
    assert_eq!(fired(&world, &[Login::success(0, 0, "ana").ends(10 * SECOND)]), []);
}

#[test]
fn an_end_is_an_event_of_its_own_to_a_rule_that_asks_for_it() {
    let ended =
        "title: A session ends\nname: ended\ndetection:\n  selection: {phase: end}\n  condition: selection\n";
    let body = |rules: &str| {
        format!(
            "type: event_count\nrules: {rules}\ngroup-by: user_name\ntimespan: 1m\ncondition: {{gte: 2}}\n"
        )
    };
    let logins = [Login::success(0, 0, "ana").ends(10 * SECOND)];
    let both = world(&[correlation("both", &body("[succeeded, ended]")), ended.to_owned(), BASES.to_owned()]);
    assert_eq!(fired(&both, &logins), [("both".to_owned(), 10 * SECOND)]);
    let one = world(&[correlation("one", &body("[ended]")), ended.to_owned(), BASES.to_owned()]);
    assert_eq!(fired(&one, &logins), [("succeeded".to_owned(), 0)]);
}

#[test]
fn explain_says_in_words_what_a_window_was_short_of() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let then = "type: temporal_ordered\nrules: [many, succeeded]\ngroup-by: [user_name]\ntimespan: 1m\n";
    let documents = [
        correlation("then", then),
        correlation("many", &format!("{COUNT}condition: {{gte: 3, lt: 5}}\n")),
        BASES.to_owned(),
    ];
    std::fs::write(path("sigma.yml"), documents.join("---\n")).unwrap();
    let mut logins = failures(&[0, SECOND, 2 * SECOND]);
    logins.push(Login::success(3, 3 * SECOND, "ana"));
    logins.push(Login::success(4, HOUR, "ana"));
    let records: String = logins.iter().map(|login| login.line() + "\n").collect();
    std::fs::write(path("records.ndjson"), records).unwrap();
    let explain = |rule: &str, at: i64| {
        let (sigma, records, at) = (path("sigma.yml"), path("records.ndjson"), time(at).to_string());
        let asked = ["explain", rule, "--sigma", &sigma, "--group", "user_name=ana", "--at", &at, &records];
        let done = Command::new(env!("CARGO_BIN_EXE_larum"))
            .args(asked)
            .args(["--output", "json"])
            .output()
            .unwrap();
        let told: serde_json::Value = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        (told["fired"].as_bool().unwrap(), text("reason"), text("detail"))
    };
    let no = |detail: &str| (false, "below_threshold".to_owned(), detail.to_owned());
    assert_eq!(explain("many", SECOND), no("events: 2, and the condition is gte 3 and lt 5"));
    assert_eq!(explain("then", HOUR), no("`many` has not come yet within the timespan"));
    let (fired, reason, detail) = explain("many", 2 * SECOND);
    assert_eq!((fired, reason.as_str()), (true, "fired"));
    assert!(detail.ends_with(", of which only the rules that correlate it hear"), "{detail}");
    assert!(explain("then", 3 * SECOND).0);
}

// --- a thousand documents

/// A correlation as the generator makes it, read by the line.
#[derive(Debug)]
struct Generated {
    id: String,
    kind: String,
    base: String,
    by: String,
    at_least: usize,
    field: Option<String>,
}

/// The folder of the generators; none where it is not there.
#[expect(clippy::disallowed_methods, reason = "the generators lie beside the repository")]
fn generators() -> Option<std::path::PathBuf> {
    let beside = || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder =
        std::env::var("LARUM_SHARED").map_or_else(|_| beside(), std::path::PathBuf::from).join("bench");
    let found = folder.join("gen_records.py").is_file();
    if !found {
        eprintln!("NOT TESTED: there are no generators at {}", folder.display());
    }
    found.then_some(folder)
}

#[expect(clippy::disallowed_methods, reason = "which Python there is")]
fn generate(program: &std::path::Path, args: &[&str]) -> String {
    let python = std::env::var("LARUM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let made = Command::new(python).arg(program).args(args).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads what the generator wrote")]
fn a_replay_of_a_thousand_documents_fires_where_slow_code_says() {
    let Some(folder) = generators() else { return };
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let sigma = path("sigma");
    let documents = ["--count", "1000", "--seed", "7", "--out", &sigma, "--dir"];
    generate(&folder.join("gen_sigma_rules.py"), &documents);
    let rows = ["--count", "20000", "--users", "2000", "--seed", "1"];
    let records = generate(&folder.join("gen_records.py"), &rows);
    std::fs::write(path("records.ndjson"), &records).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(&sigma)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    files.sort();
    assert_eq!(files.len(), 1_000);
    let (bases, correlations) = parted(&files);
    assert_eq!(correlations.len(), 49);
    let arguments = ["replay", "--sigma", &sigma, "--output", "json", &path("records.ndjson")];
    let done = Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let ids: BTreeSet<&str> = correlations.iter().map(|one| one.id.as_str()).collect();
    let mut told: BTreeMap<(String, String, i64), usize> = BTreeMap::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let alert: larum::alert::Alert = serde_json::from_str(line).unwrap();
        assert!(!alert.rule.as_str().starts_with("base-"), "{} is correlated and quiet", alert.rule);
        if ids.contains(alert.rule.as_str()) {
            let group = alert.group.values().next().and_then(|value| value.as_str()).unwrap().to_owned();
            *told.entry((alert.rule.to_string(), group, alert.at.0)).or_default() += 1;
        }
    }
    let records: Vec<serde_json::Map<String, serde_json::Value>> =
        records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut meant: BTreeMap<(String, String, i64), usize> = BTreeMap::new();
    for one in &correlations {
        for (group, at) in slow(one, &bases[&one.base], &records) {
            *meant.entry((one.id.clone(), group, at)).or_default() += 1;
        }
    }
    assert!(meant.values().sum::<usize>() >= 40, "{meant:?}");
    assert_eq!(told, meant);
}

/// Bases by name, as the fields that they ask for.
type Bases = BTreeMap<String, Vec<(String, String)>>;

/// Bases and correlations.
fn parted(documents: &[String]) -> (Bases, Vec<Generated>) {
    let (mut bases, mut correlations) = (BTreeMap::new(), Vec::new());
    for document in documents {
        let lines: Vec<&str> = document.lines().collect();
        let value = |key: &str| {
            let line = lines.iter().find(|line| line.trim_start().starts_with(key));
            line.map(|line| line.trim_start()[key.len()..].trim().trim_matches('\'').to_owned())
        };
        let item = |key: &str| {
            let place = lines.iter().position(|line| line.trim() == key).unwrap();
            lines[place + 1].trim().trim_start_matches("- ").to_owned()
        };
        if lines.contains(&"correlation:") {
            correlations.push(Generated {
                id: value("id:").unwrap(),
                kind: value("type:").unwrap(),
                base: item("rules:"),
                by: item("group-by:"),
                at_least: value("gte:").unwrap().parse().unwrap(),
                field: value("field:"),
            });
        } else if let Some(name) = value("name:") {
            let asked = lines.iter().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
            let asked = asked.map(|(field, value)| (field.to_owned(), value.trim_matches('\'').to_owned()));
            bases.insert(name, asked.collect());
        }
    }
    (bases, correlations)
}

/// Where a generated correlation fires: the group and the time of each alert.
fn slow(
    one: &Generated,
    asked: &[(String, String)],
    records: &[serde_json::Map<String, serde_json::Value>],
) -> Vec<(String, i64)> {
    let text = |record: &serde_json::Map<String, serde_json::Value>, field: &str| {
        record
            .get(field)
            .and_then(|value| value.as_str())
            .filter(|text| !text.is_empty())
            .map(str::to_lowercase)
    };
    let mut groups: BTreeMap<String, Vec<(i64, Option<String>)>> = BTreeMap::new();
    for record in records {
        let is = |(field, value): &(String, String)| text(record, field) == Some(value.to_lowercase());
        let Some(group) = text(record, &one.by).filter(|_| asked.iter().all(is)) else { continue };
        let at: Timestamp = record["start_time"].as_str().and_then(Timestamp::parse).unwrap();
        let value = one.field.as_ref().map(|field| text(record, field));
        if value != Some(None) {
            groups.entry(group).or_default().push((at.0, value.flatten()));
        }
    }
    let mut firings = Vec::new();
    for (group, mut events) in groups {
        events.sort();
        for (place, (at, _)) in events.iter().enumerate() {
            let window = events[..=place].iter().filter(|(other, _)| at - other <= 10 * MINUTE);
            let count = match one.kind.as_str() {
                "event_count" => window.count(),
                _ => window.map(|(_, value)| value).collect::<BTreeSet<_>>().len(),
            };
            if count >= one.at_least {
                firings.push((group.clone(), *at));
            }
        }
    }
    firings
}
