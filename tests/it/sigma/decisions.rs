//! What holds where engines differ.

use super::{document, faults, fires};

/// For each line of `detection`, the records after `yes` fire and those after `no` do not.
fn decide(detection: &str, yes: &[&str], no: &[&str]) {
    let text = document(detection);
    for (lines, wanted) in [(yes, true), (no, false)] {
        for line in lines {
            assert_eq!(fires(&text, line), wanted, "{detection}\n{line}");
        }
    }
}

/// A document that asks one field.
fn asked(item: &str) -> String {
    format!("selection:\n  {item}\ncondition: selection")
}

#[test]
fn numbers_and_texts_compare_both_ways() {
    decide(
        &asked("EventID: 4688"),
        &[r#"{"EventID":4688}"#, r#"{"EventID":"4688"}"#, r#"{"EventID":4688.0}"#, r#"{"EventID":[1,4688]}"#],
        &[r#"{"EventID":46880}"#, r#"{"EventID":"x"}"#, r#"{"EventID":true}"#, "{}"],
    );
    decide(
        &asked("EventID: '4688'"),
        &[r#"{"EventID":4688}"#, r#"{"EventID":"4688"}"#],
        &[r#"{"EventID":4688.5}"#, r#"{"EventID":"04688"}"#, r#"{"EventID":null}"#],
    );
    decide(&asked("ok: true"), &[r#"{"ok":true}"#, r#"{"ok":"True"}"#], &[r#"{"ok":1}"#, r#"{"ok":false}"#]);
    decide(&asked("ok: 'true'"), &[r#"{"ok":true}"#, r#"{"ok":"TRUE"}"#], &[r#"{"ok":false}"#]);
    decide(
        &asked("n|gte: 10"),
        &[r#"{"n":10}"#, r#"{"n":"10.5"}"#],
        &[r#"{"n":9}"#, r#"{"n":"many"}"#, "{}"],
    );
}

#[test]
fn empty_null_and_absent_are_three() {
    let (empty, null, absent) = (r#"{"f":""}"#, r#"{"f":null}"#, r#"{"g":1}"#);
    decide(&asked("f: ''"), &[empty], &[null, absent]);
    decide(&asked("f: null"), &[null, absent], &[empty]);
    decide(&asked("f|exists: true"), &[empty, null], &[absent]);
    decide(&asked("f|exists: false"), &[absent], &[empty, null]);
    decide(&asked("f: null\n  f|exists: true"), &[null], &[empty, absent]);
    decide(&asked("f: '*'"), &[empty, r#"{"f":0}"#], &[null, absent]);
}

#[test]
fn a_rule_of_negations_only_fires() {
    decide("s:\n  f: a\ncondition: not s", &["{}", r#"{"f":"b"}"#], &[r#"{"f":"A"}"#]);
    decide(&asked("f|neq: a"), &[r#"{"f":"b"}"#, r#"{"f":""}"#], &[r#"{"f":"a"}"#, r#"{"f":null}"#, "{}"]);
}

#[test]
fn a_field_is_the_key_as_it_is_spelt_else_a_path_else_the_vocabulary() {
    decide(
        &asked("a.b: x"),
        &[r#"{"a.b":"x","a":{"b":"y"}}"#, r#"{"a":{"b":"x"}}"#],
        &[r#"{"a.b":"y","a":{"b":"x"}}"#, r#"{"a.b":null,"a":{"b":"x"}}"#],
    );
    decide(&asked("User: x"), &[r#"{"User":"x"}"#], &[r#"{"user":"x"}"#]);
    // `user` is a fact where the line has no such key.
    decide(
        &asked("user: ana"),
        &[r#"{"user_name":"CORP\\Ana"}"#, r#"{"user":"Ana"}"#],
        &[r#"{"user":"bob","user_name":"ana"}"#],
    );
    decide(&asked("public_ip: 0.0.0.0"), &[r#"{"public_ip":"0.0.0.0"}"#], &["{}"]);
}

#[test]
fn lists_match_by_any_element_and_paths_lead_through_them() {
    decide(
        &asked("f: a"),
        &[r#"{"f":["b","A"]}"#],
        &[r#"{"f":[["a"]]}"#, r#"{"f":[]}"#, r#"{"f":{"a":"a"}}"#],
    );
    decide(
        &asked("u.n|contains: ob"),
        &[r#"{"u":[{"n":"ana"},{"n":"bob"}]}"#, r#"{"u":{"n":["bob"]}}"#],
        &[r#"{"u":[{"m":"bob"}]}"#, r#"{"u":"bob"}"#],
    );
    decide("s:\n  f: a\ncondition: not s", &[r#"{"f":["b"]}"#], &[r#"{"f":["b","a"]}"#]);
}

#[test]
fn keywords_are_in_any_value_and_in_no_key() {
    let words = "words:\n  - evil\n  - 4?6\ncondition: words";
    decide(
        words,
        &[r#"{"a":{"b":["an EVIL one"]}}"#, r#"{"n":14561}"#],
        &[r#"{"evil":"good"}"#, r#"{"n":46}"#],
    );
    decide("w:\n  '|all': [a, b]\ncondition: w", &[r#"{"x":"a","y":["b"]}"#], &[r#"{"x":"a"}"#]);
}

#[test]
fn them_leaves_out_names_that_begin_with_an_underscore() {
    let all = "a:\n  f: 1\nb:\n  g: 1\n_c:\n  h: 1\ncondition: all of them";
    decide(all, &[r#"{"f":1,"g":1}"#], &[r#"{"f":1,"h":1}"#]);
    decide(
        "a_x_1:\n  f: 1\na_x_2:\n  g: 1\nb:\n  h: 1\ncondition: 1 of a_*_* and b",
        &[r#"{"g":1,"h":1}"#],
        &[r#"{"h":1}"#],
    );
}

#[test]
fn a_row_is_one_record_unless_phases_are_asked_for() {
    let row = r#"{"start_time":"2026-01-05T09:00:00Z","end_time":"2026-01-05T10:00:00Z","kind":"session"}"#;
    let text = document(&asked("kind: session"));
    let generation = super::generation(&text);
    assert_eq!(super::fired(&generation, &[row.to_owned()]), [["test"]]);
    decide(&asked("kind: session\n  phase: end"), &[row], &[r#"{"kind":"session"}"#]);
    decide(&asked("phase: end"), &[r#"{"phase":"end"}"#], &[r#"{"phase":"start"}"#]);
    decide(&asked("f: 1"), &[r#"{"f":1,"phase":"end"}"#], &[]);
}

#[test]
fn text_is_compared_without_case_and_expressions_with() {
    decide(&asked("f: Straße"), &[r#"{"f":"STRAßE"}"#], &[r#"{"f":"STRASSE"}"#]);
    decide(&asked("f|cased: Ab"), &[r#"{"f":"Ab"}"#], &[r#"{"f":"ab"}"#]);
    decide(&asked("f|re: ^a.c$"), &[r#"{"f":"abc"}"#], &[r#"{"f":"ABC"}"#, r#"{"f":"a\nc"}"#]);
    decide(&asked("f|re|i|s: ^a.c$"), &[r#"{"f":"A\nC"}"#], &[r#"{"f":"xabc"}"#]);
    decide(&asked("f|re|m: ^b$"), &[r#"{"f":"a\nb"}"#], &[r#"{"f":"ab"}"#]);
}

#[test]
fn every_modifier_means_what_the_specification_says() {
    decide(&asked("f|contains|all: [a, b]"), &[r#"{"f":"xBxA"}"#], &[r#"{"f":"a"}"#]);
    decide(
        &asked("f|cidr: [10.0.0.0/8, '2001:db8::/32']"),
        &[r#"{"f":"10.1.2.3"}"#, r#"{"f":"2001:db8::1"}"#, r#"{"f":"::ffff:10.0.0.1"}"#],
        &[r#"{"f":"11.0.0.1"}"#, r#"{"f":"x"}"#],
    );
    decide(&asked("f|base64: ping"), &[r#"{"f":"cGluZw=="}"#], &[r#"{"f":"ping"}"#]);
    decide(
        &asked("f|base64offset|contains: http://"),
        &[r#"{"f":"xx aHR0cDovL"}"#, r#"{"f":"IGh0dHA6Ly9h"}"#],
        &[r#"{"f":"http://"}"#],
    );
    decide(&asked("f|wide|base64: ping"), &[r#"{"f":"cABpAG4AZwA="}"#], &[r#"{"f":"cGluZw=="}"#]);
    decide(
        &asked("f|windash|contains: ' -x'"),
        &[r#"{"f":"a -x"}"#, r#"{"f":"a /X"}"#, r#"{"f":"a –x"}"#],
        &[r#"{"f":"a-x"}"#],
    );
    decide(
        &asked("f|fieldref: g"),
        &[r#"{"f":"A","g":"a"}"#, r#"{"f":5,"g":"5"}"#],
        &[r#"{"f":"a","g":"b"}"#, r#"{"f":null,"g":null}"#, "{}"],
    );
    decide(&asked("f|fieldref|endswith: g"), &[r#"{"f":"xa","g":"A"}"#], &[r#"{"f":"ax","g":"a"}"#]);
    decide(
        &asked("t|hour|gte: 22"),
        &[r#"{"t":"2026-01-05T23:00:00Z"}"#],
        &[r#"{"t":"2026-01-05T21:59:59Z"}"#, r#"{"t":"23"}"#],
    );
    decide(&asked("t|week: 2"), &[r#"{"t":"2026-01-05T23:00:00Z"}"#], &[r#"{"t":"2026-01-04T23:00:00Z"}"#]);
    decide(
        &asked("t|month: [1, 2]\n  t|year: 2026\n  t|day: 5\n  t|minute: 7"),
        &[r#"{"t":"2026-01-05T23:07:00Z"}"#],
        &[r#"{"t":"2026-03-05T23:07:00Z"}"#],
    );
    decide(
        &asked("f: [1, x, null, 'y*']"),
        &[r#"{"f":1}"#, r#"{"f":"X"}"#, r#"{"f":null}"#, r#"{"f":"yz"}"#],
        &[r#"{"f":2}"#],
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    insta::assert_snapshot!(faults(
        "title: one\nid: a\ndetection:\n  s:\n    f|contain: x\n    g|re: '(?=x)'\n    h|cidr: ten\n  condition: s and t\n---\ntitle: two\nid: b\ndetectoin:\n  s: {f: 1}\n---\nrule: native\nmatch: {outcome: failure}\n---\ntitle: four\naction: global\n---\ntitle: five\nid: a\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: six\nfilter: {rules: [nobody], s: {f: 1}, condition: not s}\n"
    ), @r"
    error: unknown modifier `contain`
     --> test.yml:5:7
      |
    5 |     f|contain: x
      |       ^^^^^^^
      |
      = help: did you mean `contains`?

    error: this regular expression cannot be read: look-around, including look-ahead and look-behind, is not supported
     --> test.yml:6:11
      |
    6 |     g|re: '(?=x)'
      |           ^^^^^^^
      |
      = help: expressions here do not look ahead or behind, so that no record can make them slow: write two selections and join them with `and not`

    error: `ten` is no network
     --> test.yml:7:13
      |
    7 |     h|cidr: ten
      |             ^^^
      |
      = help: write one such as `10.0.0.0/8` or `2001:db8::/32`

    error: no selection is called `t`
     --> test.yml:8:20
      |
    8 |   condition: s and t
      |                    ^
      |
      = help: did you mean `s`?

    error: unknown key `detectoin`
      --> test.yml:12:1
       |
    12 | detectoin:
       | ^^^^^^^^^
       |
       = help: did you mean `detection`?

    error: `rule` makes this a Larum rule, not a Sigma document
      --> test.yml:15:1
       |
    15 | rule: native
       | ^^^^
       |
       = help: put it into the folder of the rules (`rules:` in the configuration, or `--rules`)

    error: `action` is a word of old Sigma collections, which are not read
      --> test.yml:19:1
       |
    19 | action: global
       | ^^^^^^
       |
       = help: write what is shared into each document; several may stand in one file, with `---` between them

    error: no document is called `nobody`
      --> test.yml:26:18
       |
    26 | filter: {rules: [nobody], s: {f: 1}, condition: not s}
       |                  ^^^^^^
       |
       = help: write the `name` or the `id` of a document in the same folders
    ");
}

#[test]
fn an_empty_selection_is_called_that() {
    for selection in ["selection:", "selection: ''", "selection: {}", "selection: []"] {
        let told = faults(&document(&format!("{selection}\ncondition: selection")));
        assert!(told.contains("error: this selection is empty"), "{selection}: {told}");
        assert!(!told.contains("keyword"), "{selection}: {told}");
    }
}

#[test]
fn words_of_a_condition_are_in_lower_case() {
    for (condition, hint) in [
        ("1 OF sel_*", "the words are in lower case: `1 of sel_*`"),
        ("ALL OF them", "the words are in lower case: `all of them`"),
        ("1 Of them", "the words are in lower case: `1 of them`"),
        ("All of them", "the words are in lower case: `all of them`"),
    ] {
        let told = faults(&document(&format!("sel_a: {{a: b}}\nsel_b: {{a: c}}\ncondition: {condition}")));
        assert!(told.contains(&format!("= help: {hint}")), "{condition}: {told}");
    }
}

#[test]
fn what_can_never_be_is_doubted() {
    for (item, doubt) in [
        ("t|minute: 70", "`t|minute` is never 70: it is from 0 to 59"),
        ("t|hour|gte: 24", "`t|hour|gte` is never 24 or more: it is from 0 to 23"),
        ("t|month: [0, 13]", "`t|month` is never 0: it is from 1 to 12"),
        ("t|day|lt: 1", "`t|day|lt` is never less than 1: it is from 1 to 31"),
        ("t|week|gt: 53", "`t|week|gt` is never more than 53: it is from 1 to 53"),
        ("t|hour: 9.5", "`t|hour` is never 9.5: it is a whole number"),
        ("a|contains: null", "`a|contains` looks for the text `null`: what is null has no text"),
    ] {
        let told = faults(&document(&asked(item)));
        assert!(told.contains(&format!("warning: {doubt}")), "{item}: {told}");
    }
    for item in
        ["t|minute: 59", "t|hour|gt: 22", "t|day|lte: 1", "a|contains: 'null'", "a: null", "t|year: 2026"]
    {
        assert_eq!(faults(&document(&asked(item))), "", "{item}");
    }
}

#[test]
fn comparisons_in_the_words_of_others_lead_to_ours() {
    for (word, ours) in [("ge", "gte"), ("le", "lte"), ("ne", "neq")] {
        let told = faults(&document(&asked(&format!("n|{word}: 5"))));
        assert!(told.contains(&format!("did you mean `{ours}`?")), "{word}: {told}");
    }
}
