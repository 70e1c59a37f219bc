//! One mistake, and the message that must be enough to mend it.

use super::{SKELETON, messages, told, told_of};

const OK: &str = "match: {outcome: failure}\n";

fn told_after_match(rest: &str) -> String {
    told(&format!("{OK}{rest}"))
}

#[test]
fn a_misspelt_key_is_told_with_the_right_one() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 5, witin: 10m}\n"), @r"
    error: unknown key `witin` in `count`
     --> rules/r.yaml:5:22
      |
    5 | count: {at_least: 5, witin: 10m}
      |                      ^^^^^
      |
      = help: did you mean `within`?
    ");
}

#[test]
fn a_misspelt_condition_is_told() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  office: {public_ip|cidr: 203.0.113.0/24}\n  conditon: failed and not office\n"), @r"
    error: unknown key `conditon`
     --> rules/r.yaml:7:3
      |
    7 |   conditon: failed and not office
      |   ^^^^^^^^
      |
      = help: did you mean `condition`?
    ");
}

#[test]
fn a_condition_by_another_name_is_told() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  office: {public_ip|cidr: 203.0.113.0/24}\n  when: failed and not office\n"), @r"
    error: unknown key `when`
     --> rules/r.yaml:7:3
      |
    7 |   when: failed and not office
      |   ^^^^
      |
      = help: did you mean `condition`?
    ");
}

#[test]
fn selections_without_a_condition_are_told() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  office: {public_ip|cidr: 203.0.113.0/24}\n"), @r"
    error: `failed` is a named selection, and there is no `condition` that uses it
     --> rules/r.yaml:5:3
      |
    5 |   failed: {outcome: failure}
      |   ^^^^^^
      |
      = help: add `condition: failed and office`
    ");
}

#[test]
fn a_misspelt_selection_is_told_at_its_word() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  office: {public_ip|cidr: 203.0.113.0/24}\n  condition: failed and not ofice\n"), @r"
    error: no selection is called `ofice`
     --> rules/r.yaml:7:29
      |
    7 |   condition: failed and not ofice
      |                             ^^^^^
      |
      = help: did you mean `office`?
    ");
}

#[test]
fn a_condition_that_counts_is_told() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  condition: failed | count() > 5\n"), @r"
    error: `|` does not count here
     --> rules/r.yaml:6:21
      |
    6 |   condition: failed | count() > 5
      |                     ^
      |
      = help: to count, give the rule a verb: `count: {at_least: 5, within: 10m}`
    ");
}

#[test]
fn a_misspelt_until_in_except_is_told() {
    insta::assert_snapshot!(told_after_match("except:\n  - {user: ana, because: she knows, untill: 2027-01-31}\n"), @r"
    error: unknown field `untill`
     --> rules/r.yaml:6:37
      |
    6 |   - {user: ana, because: she knows, untill: 2027-01-31}
      |                                     ^^^^^^
      |
      = help: did you mean `until`?
    ");
}

#[test]
fn an_unknown_field_is_told() {
    insta::assert_snapshot!(told("match: {colour: red}\n"), @r"
    error: unknown field `colour`
     --> rules/r.yaml:4:9
      |
    4 | match: {colour: red}
      |         ^^^^^^
      |
      = help: a field that the vendor sends and that has no name here is read as `raw.colour`
    ");
}

#[test]
fn a_misspelt_alias_is_told() {
    insta::assert_snapshot!(told("match: {computer_nam: ws-1}\n"), @r"
    error: unknown field `computer_nam`
     --> rules/r.yaml:4:9
      |
    4 | match: {computer_nam: ws-1}
      |         ^^^^^^^^^^^^
      |
      = help: did you mean `computer_name`?
    ");
}

#[test]
fn a_field_by_its_last_part_is_told() {
    insta::assert_snapshot!(told("match: {country: NO}\n"), @r"
    error: unknown field `country`
     --> rules/r.yaml:4:9
      |
    4 | match: {country: NO}
      |         ^^^^^^^
      |
      = help: did you mean `geo.country`?
    ");
}

#[test]
fn two_verbs_are_told_with_both_places() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 5, within: 10m}\ndistinct: {field: user, at_least: 5, within: 10m}\n"), @r"
    error: a rule has one verb, and this has `count` and `distinct`
     --> rules/r.yaml:6:1
      |
    5 | count: {at_least: 5, within: 10m}
      | ----- the first verb
    6 | distinct: {field: user, at_least: 5, within: 10m}
      | ^^^^^^^^
      |
      = help: make two rules of it, or put further conditions under `count: {having: …}`
    ");
}

#[test]
fn a_verb_without_within_is_told() {
    insta::assert_snapshot!(told_after_match("count:\n  at_least: 5\n  by: [user]\n"), @r"
    error: `count` needs `within`
     --> rules/r.yaml:5:1
      |
    5 | count:
      | ^^^^^
      |
      = help: add `within: 10m`
    ");
}

#[test]
fn a_duration_without_unit_is_told() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 5, within: 10}\n"), @r"
    error: `within: 10` has no unit; a duration needs one
     --> rules/r.yaml:5:30
      |
    5 | count: {at_least: 5, within: 10}
      |                              ^^
      |
      = help: write `10s`, `10m`, `10h` or `10d`
    ");
}

#[test]
fn at_least_0_is_told() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 0, within: 10m}\n"), @r"
    error: `at_least` takes a whole number from 1 to 10000, not `0`
     --> rules/r.yaml:5:19
      |
    5 | count: {at_least: 0, within: 10m}
      |                   ^
      |
      = help: 0 never switches anything off; write `at_least: 5`
    ");
}

#[test]
fn at_least_five_is_told() {
    insta::assert_snapshot!(told_after_match("count: {at_least: five, within: 10m}\n"), @r"
    error: `at_least` takes a whole number from 1 to 10000, not `five`
     --> rules/r.yaml:5:19
      |
    5 | count: {at_least: five, within: 10m}
      |                   ^^^^
      |
      = help: in digits: `at_least: 5`
    ");
}

#[test]
fn at_least_beyond_the_bound_is_told() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 20000, within: 10m}\n"), @r"
    error: `at_least` takes a whole number from 1 to 10000, not `20000`
     --> rules/r.yaml:5:19
      |
    5 | count: {at_least: 20000, within: 10m}
      |                   ^^^^^
      |
      = help: 10000 is the most that is kept; write a smaller number
    ");
}

#[test]
fn a_bad_regex_is_told_where_it_is_bad() {
    insta::assert_snapshot!(told("match: {user_name|re: '^adm(in'}\n"), @r"
    error: this is no regular expression: unclosed group
     --> rules/r.yaml:4:28
      |
    4 | match: {user_name|re: '^adm(in'}
      |                            ^
      |
      = help: for a character such as `(` itself write `\(`, and put the expression in single quotes: '…'
    ");
}

#[test]
fn a_regex_too_big_is_told() {
    insta::assert_snapshot!(told("match: {user_name|re: '(\\w{1000}){1000}'}\n"), @r"
    error: this regular expression takes more than 1048576 bytes once compiled
     --> rules/r.yaml:4:23
      |
    4 | match: {user_name|re: '(\w{1000}){1000}'}
      |                       ^^^^^^^^^^^^^^^^^^
      |
      = help: make its repetitions smaller, or list the values
    ");
}

#[test]
fn a_bad_cidr_is_told() {
    insta::assert_snapshot!(told("match: {public_ip|cidr: 203.0.113.0/33}\n"), @r"
    error: `203.0.113.0/33` is no network
     --> rules/r.yaml:4:25
      |
    4 | match: {public_ip|cidr: 203.0.113.0/33}
      |                         ^^^^^^^^^^^^^^
      |
      = help: write it as `203.0.113.0/24` or `2001:db8::/32`
    ");
}

#[test]
fn host_bits_in_a_cidr_are_only_warned_of() {
    insta::assert_snapshot!(told("match: {public_ip|cidr: 10.0.0.1/8}\n"), @r"
    warning: `10.0.0.1/8` has bits set behind its prefix
     --> rules/r.yaml:4:25
      |
    4 | match: {public_ip|cidr: 10.0.0.1/8}
      |                         ^^^^^^^^^^
      |
      = help: it is read as `10.0.0.0/8`
    ");
}

#[test]
fn an_unquoted_true_against_text_is_told() {
    insta::assert_snapshot!(told("match: {user: true}\n"), @r"
    error: unquoted `true` is a boolean, and `user` is text
     --> rules/r.yaml:4:15
      |
    4 | match: {user: true}
      |               ^^^^
      |
      = help: to compare with the text write `'true'`
    ");
}

#[test]
fn a_wildcard_in_plain_text_is_warned_of() {
    insta::assert_snapshot!(told("match: {user: adm*}\n"), @r"
    warning: `*` is an ordinary character here: `user` must be `adm*` letter for letter
     --> rules/r.yaml:4:15
      |
    4 | match: {user: adm*}
      |               ^^^^
      |
      = help: for a part of a text use `user|startswith`, `user|contains` or `user|re`
    ");
}

#[test]
fn a_fact_with_an_impossible_value_is_warned_of() {
    insta::assert_snapshot!(told("match: {outcome: failed}\n"), @r"
    warning: `outcome` is never `failed`
     --> rules/r.yaml:4:18
      |
    4 | match: {outcome: failed}
      |                  ^^^^^^
      |
      = help: it is `success` or `failure`
    ");
}

#[test]
fn a_key_that_stands_twice_is_told_with_both_places() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: T\nlevel: low\nmatch: {outcome: failure}\nlevel: high\n"), @r"
    error: `level` stands twice in one map
     --> rules/r.yaml:5:1
      |
    3 | level: low
      | ----- it stands here first
    4 | match: {outcome: failure}
    5 | level: high
      | ^^^^^
      |
      = help: keep one of them
    ");
}

#[test]
fn a_tab_is_told_at_its_line() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: T\nlevel: low\nmatch:\n\toutcome: failure\n"), @r"
    error: tabs cannot indent YAML
     --> rules/r.yaml:5:1
      |
    5 |     outcome: failure
      | ^^^^
      |
      = help: indent this line with spaces
    ");
}

#[test]
fn a_tab_after_spaces_is_told_at_its_line() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: T\nlevel: low\nmatch:\n  outcome: failure\n  \tuser: ana\n"), @r"
    error: tabs cannot indent YAML
     --> rules/r.yaml:6:3
      |
    6 |       user: ana
      |   ^^^^
      |
      = help: indent this line with spaces
    ");
}

#[test]
fn an_unknown_modifier_is_told() {
    insta::assert_snapshot!(told("match: {user|contain: adm}\n"), @r"
    error: unknown modifier `contain`
     --> rules/r.yaml:4:14
      |
    4 | match: {user|contain: adm}
      |              ^^^^^^^
      |
      = help: did you mean `contains`?
    ");
}

#[test]
fn what_is_asked_of_the_past_is_a_flag_or_a_length() {
    insta::assert_snapshot!(told("match: {public_ip|new: 45d, device|known: maybe, user|unseen_for: 45}\n"), @r"
    error: `new` takes `true` or `false`, not `45d`
     --> rules/r.yaml:4:24
      |
    4 | match: {public_ip|new: 45d, device|known: maybe, user|unseen_for: 45}
      |                        ^^^
      |
      = help: `true`: no success had the value before; `false`: one had

    error: `known` takes `true` or `false`, not `maybe`
     --> rules/r.yaml:4:43
      |
    4 | match: {public_ip|new: 45d, device|known: maybe, user|unseen_for: 45}
      |                                           ^^^^^
      |
      = help: `true`: a success had the value a day before or earlier; `false`: none had

    error: `unseen_for: 45` has no unit; a duration needs one
     --> rules/r.yaml:4:67
      |
    4 | match: {public_ip|new: 45d, device|known: maybe, user|unseen_for: 45}
      |                                                                   ^^
      |
      = help: write `45s`, `45m` or `45h`
    ");
}

#[test]
fn gt_on_text_is_told() {
    insta::assert_snapshot!(told("match: {failed_code|gt: 6000}\n"), @r"
    error: `gt` does not fit `failed_code`, which is text
     --> rules/r.yaml:4:9
      |
    4 | match: {failed_code|gt: 6000}
      |         ^^^^^^^^^^^^^^
      |
      = help: list the values, or use `startswith` or `re`; `gt` and its kin are for numbers, times and durations
    ");
}

#[test]
fn cidr_on_a_number_is_told() {
    insta::assert_snapshot!(told("match: {e2e_rtt|cidr: 10.0.0.0/8}\n"), @r"
    error: `cidr` does not fit `e2e_rtt`, which is a number
     --> rules/r.yaml:4:9
      |
    4 | match: {e2e_rtt|cidr: 10.0.0.0/8}
      |         ^^^^^^^^^^^^
      |
      = help: `cidr` is for addresses: public_ip, client_ip, machine_ip, source_ip, virtual_ip
    ");
}

#[test]
fn two_modifiers_that_exclude_each_other_are_told() {
    insta::assert_snapshot!(told("match: {user|contains|endswith: x}\n"), @r"
    error: `contains` and `endswith` do not go together
     --> rules/r.yaml:4:23
      |
    4 | match: {user|contains|endswith: x}
      |                       ^^^^^^^^
      |
      = help: one key asks one thing; write two keys
    ");
}

#[test]
fn a_number_with_a_unit_is_told() {
    insta::assert_snapshot!(told("match: {e2e_rtt|gte: 250ms}\n"), @r"
    error: `e2e_rtt` is a number, and `250ms` is none
     --> rules/r.yaml:4:22
      |
    4 | match: {e2e_rtt|gte: 250ms}
      |                      ^^^^^
      |
      = help: `e2e_rtt` is a plain number; in ms that is `250`
    ");
}

#[test]
fn by_as_a_single_value_is_told() {
    insta::assert_snapshot!(told_after_match("count: {at_least: 5, within: 10m, by: user}\n"), @r"
    error: `by` is a list, not a single value
     --> rules/r.yaml:5:39
      |
    5 | count: {at_least: 5, within: 10m, by: user}
      |                                       ^^^^
      |
      = help: write `by: [user]`
    ");
}

#[test]
fn an_unknown_level_is_told() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: T\nlevel: severe\nmatch: {outcome: failure}\n"), @r"
    error: `level` cannot be `severe`
     --> rules/r.yaml:3:8
      |
    3 | level: severe
      |        ^^^^^^
      |
      = help: write one of: informational, low, medium, high, critical
    ");
}

#[test]
fn a_test_with_an_unknown_field_is_told() {
    insta::assert_snapshot!(told_after_match("tests:\n  - name: t\n    events: [{user_nam: ana, times: 2}]\n    alerts: none\n"), @r"
    error: unknown field `user_nam`
     --> rules/r.yaml:7:15
      |
    7 |     events: [{user_nam: ana, times: 2}]
      |               ^^^^^^^^
      |
      = help: did you mean `user_name`?
    ");
}

#[test]
fn a_test_without_alerts_is_told() {
    insta::assert_snapshot!(told_after_match("tests:\n  - name: t\n    events: [{user: ana}]\n"), @r"
    error: a test needs `alerts`
     --> rules/r.yaml:6:5
      |
    6 |   - name: t
      |     ^^^^
      |
      = help: add `alerts: none`
    ");
}

#[test]
fn except_without_because_is_told() {
    insta::assert_snapshot!(told_after_match("except:\n  - {public_ip|cidr: 203.0.113.0/24}\n"), @r"
    error: an entry of `except` needs `because`
     --> rules/r.yaml:6:6
      |
    6 |   - {public_ip|cidr: 203.0.113.0/24}
      |      ^^^^^^^^^^^^^^
      |
      = help: add `because: head office`
    ");
}

#[test]
fn a_list_that_is_not_there_is_told() {
    insta::assert_snapshot!(told("match: {public_ip|in: egress}\n"), @r"
    error: there is no list `egress`
     --> rules/r.yaml:4:23
      |
    4 | match: {public_ip|in: egress}
      |                       ^^^^^^
      |
      = help: name its file under `lists:` in the configuration, or with `--lists egress=FILE`; a test gives its values with `lists: {egress: […]}`
    ");
}

#[test]
fn a_receiver_that_a_rule_names_is_one_that_there_is() {
    let receivers = ["siem", "soc-mail"].map(str::to_owned);
    let source = format!("{}match: {{}}\nnotify: [soc-mial, siem, pager]\n", super::HEAD);
    let told = |receivers| {
        let options = super::super::Options { receivers, ..Default::default() };
        super::super::decode("rules/r.yaml", &source, &options).1.render(false)
    };
    assert_eq!(told(None), "");
    insta::assert_snapshot!(told(Some(&receivers)), @r"
    error: no receiver is called `soc-mial`
     --> rules/r.yaml:5:10
      |
    5 | notify: [soc-mial, siem, pager]
      |          ^^^^^^^^
      |
      = help: did you mean `soc-mail`?

    error: no receiver is called `pager`
     --> rules/r.yaml:5:26
      |
    5 | notify: [soc-mial, siem, pager]
      |                          ^^^^^
      |
      = help: the configuration has siem, soc-mail
    ");
}

#[test]
fn a_list_that_a_script_reads_is_one_that_there_is() {
    let lists = ["egress".to_owned()];
    let options = super::super::Options { lists: &lists, ..Default::default() };
    let faults = |when: &str| {
        let source = format!("{}match: {{}}\nscript: {{keep: 2, when: \"{when}\"}}\n", super::HEAD);
        let (spec, mut problems) = super::super::decode("rules/r.yaml", &source, &options);
        assert!(!problems.has_errors(), "{}", problems.render(false));
        crate::rule::compile::rule(spec.unwrap(), &mut problems);
        problems.sorted().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        faults("record.public_ip in lists.egress || lists.egress.contains('x')"),
        Vec::<String>::new()
    );
    assert_eq!(faults("record.public_ip in lists.egres"), ["there is no list `egres`"]);
    assert_eq!(faults("lists.len() > 0"), ["`lists` is read by the name of a list"]);
    assert_eq!(faults("let all = lists; true"), ["`lists` is read by the name of a list"]);
}

#[test]
fn a_list_named_in_a_rule_is_told() {
    insta::assert_snapshot!(told("match: {}\nlists: {egress: egress.txt}\n"), @r"
    error: lists are named in the configuration, not in a rule
     --> rules/r.yaml:5:1
      |
    5 | lists: {egress: egress.txt}
      | ^^^^^
      |
      = help: take this out; a test gives values with `lists` of its own
    ");
}

#[test]
fn hours_that_are_none_are_told() {
    let told = |hours: &str| messages(&format!("match: {{}}\nhours: {hours}\n"));
    assert_eq!(
        told("{zone: Shanghai, outside: \"Mon-Fri 08:00-19:00\"}"),
        ["there is no time zone `Shanghai`"]
    );
    assert_eq!(told("{zone: UTC}"), ["`hours` needs `inside` or `outside`"]);
    assert_eq!(
        told("{inside: \"Mon 08:00-19:00\", outside: \"Sat 00:00-24:00\"}"),
        ["`inside` and `outside` do not go together"]
    );
    assert_eq!(
        told("{inside: [\"Mon 8:00-19:00\", Monday, \"Montag 08:00-09:00\", \"Mon 09:00-09:00\"]}"),
        [
            "`8:00` is no time of day",
            "`Monday` is no span of hours",
            "`Montag` is no day of the week",
            "`Mon 09:00-09:00` starts when it ends",
        ]
    );
}

#[test]
fn a_list_of_groups_that_there_is_not_is_told() {
    let told = |absent: &str| messages(&format!("match: {{outcome: success}}\nabsent: {absent}\n"));
    assert_eq!(told("{for: 1h, by: [machine_name], from: desktops}"), ["there is no list `desktops`"]);
    assert_eq!(
        told("{for: 1h, by: [machine_name, user], from: desktops}"),
        [
            "`from` makes a group of each value of a list, so `by` has one field",
            "there is no list `desktops`"
        ]
    );
}

#[test]
fn an_overlap_that_cannot_be_is_told() {
    let told = |overlap: &str| messages(&format!("match: {{outcome: success}}\noverlap: {overlap}\n"));
    assert_eq!(told("{by: [user]}"), ["`overlap` needs `for`"]);
    assert_eq!(told("{by: [user], for: 0s}"), ["`for` cannot be 0"]);
    assert_eq!(
        told("{by: [user], for: 5m, where: {km|gte: 20, km|lt: near, km: 500, km|eq: 500, user: different}}"),
        [
            "`km|gte` takes a number from 50 to 20015, not `20`",
            "`km|lt` takes a number, not `near`",
            "`km` is no bound of a distance",
            "`km|eq` is no bound of a distance",
            "within one `user` there is one `user`, the same in both sessions",
        ]
    );
    assert_eq!(
        told(
            "{by: [user], for: 5m, where: {device: diferent, public_ip|cidr: 203.0.113.0/24, colour: same, terminal_mac: same, client_mac: same, client_type: [a]}}"
        ),
        [
            "`device` of two sessions is `same` or `different`, not `diferent`",
            "`where` compares two sessions, and `public_ip|cidr` asks about one",
            "unknown field `colour`",
            "`where` has `client_mac` twice",
            "`client_type` of two sessions is `same` or `different`, not a list",
        ]
    );
    assert_eq!(
        messages("match: {phase: [start, end]}\noverlap: {by: [user], for: 5m}\n"),
        ["a session begins with a start record, and `match` accepts others too"]
    );
}

#[test]
fn a_sigma_document_is_told() {
    insta::assert_snapshot!(told_of("title: T\nlogsource: {product: windows}\ndetection:\n  sel: {EventID: 4625}\n  condition: sel\n"), @r"
    error: `detection` makes this a Sigma document, not a Larum rule
     --> rules/r.yaml:3:1
      |
    3 | detection:
      | ^^^^^^^^^
      |
      = help: put it into the folder of the Sigma documents (`sigma:` in the configuration, or `--sigma`)
    ");
}

#[test]
fn an_unquoted_template_is_told() {
    insta::assert_snapshot!(told_after_match("alert:\n  title: {{ user }} failed\n"), @r#"
    error: text that begins with `{{` must be in quotes, or YAML takes it for a map
     --> rules/r.yaml:6:10
      |
    6 |   title: {{ user }} failed
      |          ^^^^^^^^^
      |
      = help: write it as "{{ user }} …"
    "#);
}

#[test]
fn an_unquoted_star_is_told() {
    insta::assert_snapshot!(told("match: {user: *admin}\n"), @r"
    error: a value that begins with `*` is a YAML alias, which rule files do not read
     --> rules/r.yaml:4:15
      |
    4 | match: {user: *admin}
      |               ^^^^^^
      |
      = help: put text in quotes; to match a part of a field use `|contains`, `|startswith` or `|endswith`
    ");
}

#[test]
fn an_unclosed_bracket_is_told() {
    insta::assert_snapshot!(told("match: {user: [ana, bob}\n"), @r"
    error: `[` is closed by `}`
     --> rules/r.yaml:4:15
      |
    4 | match: {user: [ana, bob}
      |               ^
      |
      = help: close each bracket with its own kind
    ");
}

#[test]
fn text_with_a_colon_is_told() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: Failures: one user\nlevel: low\n"), @r"
    error: a `:` cannot stand here
     --> rules/r.yaml:2:16
      |
    2 | title: Failures: one user
      |                ^
      |
      = help: put text that holds `: ` in quotes, and check the indentation of this line
    ");
}

#[test]
fn a_second_document_is_told() {
    insta::assert_snapshot!(told_of("rule: r\ntitle: T\nlevel: low\nmatch: {outcome: failure}\n---\nrule: s\n"), @r"
    error: a second document begins here; a file holds one rule
     --> rules/r.yaml:5:1
      |
    5 | ---
      | ^^^
      |
      = help: put each rule in its own file, and take the `---` away
    ");
}

#[test]
fn a_file_without_anything_is_told() {
    insta::assert_snapshot!(told_of("# later\n"), @r"
    error: the file is empty
     --> rules/r.yaml:1:1
      |
    1 | # later
      | ^
      |
      = help: a rule needs at least `rule`, `title`, `level` and `match`
    ");
}

#[test]
fn a_missing_value_is_told() {
    insta::assert_snapshot!(told("match:\n  outcome:\n"), @r"
    error: `outcome` has no value
     --> rules/r.yaml:5:3
      |
    5 |   outcome:
      |   ^^^^^^^
      |
      = help: write `''` for empty text, or `null` for null or absent
    ");
}

#[test]
fn a_list_where_a_rule_is_wanted_is_told() {
    insta::assert_snapshot!(told_of("- rule: r\n"), @r"
    error: a rule is a map of keys, not a list
     --> rules/r.yaml:1:1
      |
    1 | - rule: r
      | ^^^^^^^^^
      |
      = help: write `rule: failure-burst`
    ");
}

#[test]
fn a_rule_id_with_capitals_is_told() {
    insta::assert_snapshot!(told_of("rule: Failure Burst\ntitle: T\nlevel: low\nmatch: {outcome: failure}\n"), @r"
    error: `Failure Burst` is no rule id: use 1 to 64 of a-z, 0-9 and -
     --> rules/r.yaml:1:7
      |
    1 | rule: Failure Burst
      |       ^^^^^^^^^^^^^
      |
      = help: write `rule: failure-burst`
    ");
}

#[test]
fn a_fault_in_a_block_condition_is_told_at_its_line() {
    insta::assert_snapshot!(told("match:\n  failed: {outcome: failure}\n  condition: |\n    failed\n    and not offce\n"), @r"
    error: no selection is called `offce`
     --> rules/r.yaml:8:13
      |
    8 |     and not offce
      |             ^^^^^
      |
      = help: selections: failed
    ");
}

#[test]
fn recover_on_the_wrong_side_is_told() {
    insta::assert_snapshot!(told_after_match("measure: {field: e2e_rtt, stat: p90, above: 300, within: 30m, recover: {below: 400}}\n"), @r"
    error: `recover` holds while the rule still fires
     --> rules/r.yaml:5:63
      |
    5 | measure: {field: e2e_rtt, stat: p90, above: 300, within: 30m, recover: {below: 400}}
      |                                                               ^^^^^^^
      |
      = help: write `recover: {below: …}` with 300 or less
    ");
}

#[test]
fn a_misplaced_key_is_told_its_place() {
    insta::assert_snapshot!(told_after_match("restart: true\n"), @r"
    error: unknown key `restart` in a rule
     --> rules/r.yaml:5:1
      |
    5 | restart: true
      | ^^^^^^^
      |
      = help: `restart` belongs in `count`
    ");
}

#[test]
fn a_tactic_for_a_technique_is_told() {
    insta::assert_snapshot!(told_after_match("attack: [attack.t1110]\n"), @r"
    error: `attack.t1110` is no ATT&CK technique
     --> rules/r.yaml:5:10
      |
    5 | attack: [attack.t1110]
      |          ^^^^^^^^^^^^
      |
      = help: write `T1110`
    ");
}

#[test]
fn control_characters_are_spelt_out() {
    insta::assert_snapshot!(told("match: {\"us\\e[31mer\\u202e\": x}\n"), @r#"
    error: unknown field `us\u{1b}[31mer\u{202e}`
     --> rules/r.yaml:4:9
      |
    4 | match: {"us\e[31mer\u202e": x}
      |         ^^^^^^^^^^^^^^^^^^
      |
      = help: a field that the vendor sends and that has no name here is read as `raw.us\u{1b}[31mer\u{202e}`
    "#);
}

#[test]
fn an_account_with_its_domain_is_no_value_of_user() {
    let told = told("match: {user: ['CORP\\eve', ana], user|endswith: '@corp.example'}\n");
    insta::assert_snapshot!(told, @r"
    warning: `user` is never `CORP\eve`: it is the account in lower case, without its domain
     --> rules/r.yaml:4:16
      |
    4 | match: {user: ['CORP\eve', ana], user|endswith: '@corp.example'}
      |                ^^^^^^^^^^
      |
      = help: write `eve`, or ask `user_name`, which is as the record has it

    warning: `user` is the account without its domain: it has no `@corp.example`
     --> rules/r.yaml:4:49
      |
    4 | match: {user: ['CORP\eve', ana], user|endswith: '@corp.example'}
      |                                                 ^^^^^^^^^^^^^^^
      |
      = help: ask `user_name|endswith`, which is as the record has it
    ");
    super::good_body("match: {user: [Eve, 'arn:aws:iam::1:user/Ana', '']}\n");
}

#[test]
fn a_list_of_accounts_with_domains_is_no_list_for_user() {
    let text =
        crate::rule::lists::ListText::new("leavers", "leavers.txt", "ana\nCORP\\eve\nbob@corp.example\n");
    let lists = crate::rule::lists::Lists::read(&[text], chrono_tz::UTC, &mut Vec::new());
    let names = ["leavers".to_owned()];
    let with_domain = lists.with_domain();
    let options = super::super::Options { lists: &names, with_domain: &with_domain, ..Default::default() };
    let told = |field: &str| {
        let source = format!("{}match: {{{field}|in: leavers}}\n", super::HEAD);
        super::super::decode("r.yaml", &source, &options).1.render(false)
    };
    insta::assert_snapshot!(told("user"), @r"
    warning: `user` is the account without its domain, and the list `leavers` has `CORP\eve`, which it never is
     --> r.yaml:4:18
      |
    4 | match: {user|in: leavers}
      |                  ^^^^^^^
      |
      = help: take the domains out of the list, or ask `user_name|in: leavers`
    ");
    assert_eq!(told("user_name"), "");
}

#[test]
fn ten_faults_of_one_file_are_told_at_once() {
    let source = SKELETON
        .replace("rule: failure-burst ", "rule: Failure_Burst ")
        .replace("level: medium", "level: severe")
        .replace("[T1110.001]", "[1110]")
        .replace("tags:", "tgas:")
        .replace("  outcome: failure\n", "  outcom: failure\n")
        .replace("at_least: 5", "at_least: five")
        .replace("within: 10m", "within: 10")
        .replace("by: [user]", "by: user")
        .replace("because: head office, ", "")
        .replace("alerts: none", "alerts: nothing");
    let text = told_of(&source);
    assert_eq!(text.matches("error: ").count(), 10, "{text}");
    insta::assert_snapshot!(text, @r"
    error: `Failure_Burst` is no rule id: use 1 to 64 of a-z, 0-9 and -
     --> rules/r.yaml:1:7
      |
    1 | rule: Failure_Burst                # unique id, [a-z0-9-]
      |       ^^^^^^^^^^^^^
      |
      = help: write `rule: failure-burst`

    error: `level` cannot be `severe`
     --> rules/r.yaml:3:8
      |
    3 | level: severe                      # informational low medium high critical
      |        ^^^^^^
      |
      = help: write one of: informational, low, medium, high, critical

    error: `1110` is no ATT&CK technique
     --> rules/r.yaml:4:10
      |
    4 | attack: [1110]                # MITRE ATT&CK, version pinned in the documentation
      |          ^^^^
      |
      = help: write `T1110`

    error: unknown key `tgas` in a rule
     --> rules/r.yaml:7:1
      |
    7 | tgas: [identity]
      | ^^^^
      |
      = help: did you mean `tags`?

    error: unknown field `outcom`
      --> rules/r.yaml:10:3
       |
    10 |   outcom: failure
       |   ^^^^^^
       |
       = help: did you mean `outcome`?

    error: `at_least` takes a whole number from 1 to 10000, not `five`
      --> rules/r.yaml:14:13
       |
    14 |   at_least: five
       |             ^^^^
       |
       = help: in digits: `at_least: 5`

    error: `within: 10` has no unit; a duration needs one
      --> rules/r.yaml:15:11
       |
    15 |   within: 10
       |           ^^
       |
       = help: write `10s`, `10m`, `10h` or `10d`

    error: `by` is a list, not a single value
      --> rules/r.yaml:16:7
       |
    16 |   by: user
       |       ^^^^
       |
       = help: write `by: [user]`

    error: an entry of `except` needs `because`
      --> rules/r.yaml:19:6
       |
    19 |   - {public_ip|cidr: 203.0.113.0/24, until: 2027-01-31}
       |      ^^^^^^^^^^^^^^
       |
       = help: add `because: head office`

    error: `alerts` is `none` or a list of maps, not `nothing`
      --> rules/r.yaml:35:13
       |
    35 |     alerts: nothing
       |             ^^^^^^^
       |
       = help: write `alerts: none`, or a list: `alerts: [{user: ana, count: 5}]`
    ");
}

#[test]
fn faults_of_yaml_and_of_meaning_are_told_together() {
    assert_eq!(
        messages("level: high\nmatch: {colour: red}\n"),
        ["`level` stands twice in one map", "unknown field `colour`"]
    );
}

#[test]
fn a_list_that_begins_again_is_told() {
    let test = |line: &str| {
        format!("match: {{outcome: failure}}\ntests:\n  - {{name: t, events: [{line}], alerts: none}}\n")
    };
    assert_eq!(
        messages(&test(
            "{times: 6, every: 1m, each: {user_name: [ana, bob], client_name: [a, b, c, d, e, f]}}"
        )),
        ["`user_name` lists 2 values for 6 records and begins again"]
    );
    assert_eq!(
        messages(&test("{each: {user_name: [ana, bob], client_name: [a, b, c]}}")),
        ["`user_name` lists 2 values for 3 records and begins again"]
    );
    assert_eq!(messages(&test("{times: 2, each: {user_name: [ana, bob, eve]}}")), [""; 0]);
}

#[test]
fn what_usual_lacks_and_has_too_much_is_told() {
    let told = |verb: &str| messages(&format!("{OK}usual: {{{verb}}}\n"));
    assert_eq!(
        told("by: [user]"),
        ["`usual` needs `learn`", "`usual` needs `field` or `rate_per`", "`usual` needs `above` or `below`"]
    );
    assert_eq!(
        told("field: user, rate_per: 1h, above: {}, below: {times: 1}, learn: {}"),
        [
            "`user` holds no numbers",
            "`usual` has `field` or `rate_per`, not both",
            "`above` needs `times`, `and_by` or both",
            "`usual` has `above` or `below`, not both",
            "`learn` of `usual` needs `days`",
        ]
    );
    assert_eq!(
        told("rate_per: 7m, below: {times: 2.125, and_by: 0}, learn: {days: 5, samples: 300}"),
        [
            "a day has no whole number of stretches of 7m, or too many",
            "that fewer records come than usual shows only when the time is over",
            "`times` takes a number from 1.01 to 1000, not `2.125`",
            "`and_by` is more than 0",
            "in 5 days no stretch of the week comes twice",
            "a rate learns the same stretch of each week, once a week",
            "`samples` takes a whole number from 1 to 240, not `300`",
        ]
    );
}

#[test]
fn a_list_that_there_is_not_is_told_of_a_journey_too() {
    assert_eq!(
        messages(&format!("{OK}travel: {{at_least: 500km, faster_than: 800km/h, ignore_in: [egres, '']}}\n")),
        ["there is no list `egres`", "an entry of `ignore_in` is empty"]
    );
}

#[test]
fn what_cannot_be_compared_with_other_groups_is_told() {
    let told = |by: &str, condition: &str| {
        messages(&format!("{OK}count: {{within: 1h{by}, having: {{worse: {{{condition}}}}}}}\n"))
    };
    let share = "match: {outcome: failure}, at_least: 5, ";
    assert_eq!(told(", by: [user]", &format!("{share}times_others: 3")), [""; 0]);
    assert_eq!(
        told("", &format!("{share}times_others: 3")),
        ["`worse` compares groups with each other, and there is one only"]
    );
    assert_eq!(
        told(", by: [user]", &format!("{share}times_others: 1")),
        ["`times_others` takes a number from 1.01 to 1000, not `1`"]
    );
    assert_eq!(
        told(", by: [user]", "distinct: user, at_least: 5, times_others: 3"),
        ["distinct values are counted, and have no share to compare"]
    );
    assert_eq!(
        told(", by: [user]", "match: {outcome: failure}, times_others: 3"),
        ["a condition of `having` needs `at_least`"]
    );
}

#[test]
fn a_number_that_no_rule_can_name_is_told_with_the_range() {
    insta::assert_snapshot!(told("match: {e2e_rtt|gte: 1e21}\n"), @r"
    error: the number `1e21` is beyond those that a rule can name
     --> rules/r.yaml:4:22
      |
    4 | match: {e2e_rtt|gte: 1e21}
      |                      ^^^^
      |
      = help: write a number from -1e20 to 1e20; what a record has beyond that is larger or smaller than all of them
    ");
    let beyond = |number: &str| format!("the number `{number}` is beyond those that a rule can name");
    assert_eq!(messages("match: {e2e_rtt: 1e999}\n"), [beyond("1e999")]);
    let measure =
        format!("{OK}measure: {{field: e2e_rtt, stat: max, above: -1e21, within: 1h, at_least: 1}}\n");
    assert_eq!(messages(&measure), [beyond("-1e21")]);
}

#[test]
fn texts_and_tests_are_looked_at_beside_a_verb_with_faults() {
    let texts = "alert:\n  title: '{{ uesr }} {{ count }} {{ burst }} {{ user | uper }}'\n  runbook: '{% fi count %}{% endif %}'\n\
        tests:\n  - name: n\n    events: [{user_name: ana}]\n    alerts: [{burst: 3, usr: ana}]\n";
    let beside = |verb: &str| messages(&format!("{OK}{verb}{texts}"));
    let syntax = ["no filter `uper` in an alert's text", "unknown statement fi"];
    let names = |name: &str| format!("no value `{name}` in an alert of this rule");
    let tests = |name: &str| format!("an alert of this rule has no `{name}`");
    // What such a verb gives is known whatever else is wrong with it.
    let whole: Vec<String> = vec![
        "unknown key `witin` in `count`".to_owned(),
        names("uesr"),
        names("burst"),
        syntax[0].to_owned(),
        syntax[1].to_owned(),
        tests("burst"),
        tests("usr"),
    ];
    assert_eq!(beside("count: {at_least: 5, witin: 10m, by: [user]}\n"), whole);
    let measure = beside("measure: {field: e2e_rtt, stat: mode, above: 5, within: 1h, at_least: 1}\n");
    assert_eq!(measure[1..], whole[1..]);
    // So is what a rule names itself, but under a key that there is not.
    let having = beside("count: {witin: 1h, having: {burst: {distinct: user, at_least: 5}}}\n");
    assert_eq!(having[1..], [names("uesr"), syntax[0].to_owned(), syntax[1].to_owned(), tests("usr")]);
    for verb in [
        "count: {within: 1h, havin: {burst: {distinct: user, at_least: 5}}}\n",
        "cuont: {at_least: 5, within: 1h}\n",
    ] {
        let told = beside(verb);
        assert_eq!(told[told.len() - 2..], syntax, "{verb}");
        assert!(!told.iter().any(|one| one.contains("burst") || one.contains("uesr")), "{verb}: {told:?}");
    }
}

#[test]
fn verbs_beside_each_other_are_looked_at_each_by_itself() {
    let two = "script: {when: 'foo(record) && record.colour', by: [user]}\ndistinct: {field: usr, at_least: 0, within: 10m}\n";
    let texts = "alert:\n  title: '{{ values }} {{ threshold }} {{ score }}'\n";
    let told = messages(&format!("{OK}{two}{texts}"));
    assert_eq!(
        told,
        [
            "no function `foo` with 1 argument",
            "no field `colour`",
            "a rule has one verb, and this has `script` and `distinct`",
            "unknown field `usr`",
            "`at_least` takes a whole number from 1 to 10000, not `0`",
            "no value `score` in an alert of this rule",
        ]
    );
}

#[test]
fn a_script_with_a_slip_hides_nothing_that_it_cannot_tell() {
    let texts = "alert:\n  title: '{{ speed }}'\ntests:\n  - name: n\n    events: [{user_name: ana}]\n    alerts: [{speed: 3}]\n";
    let beside =
        |script: &str| messages(&format!("{OK}script: {{keep: 0, by: [user], when: '{script}'}}\n{texts}"));
    let keep = "`keep` takes a whole number from 1 to 64, not `0`";
    let slip = "expecting `)` to close the arguments list of this function call `foo`";
    let names = ["no value `speed` in an alert of this rule", "an alert of this rule has no `speed`"];
    let told = beside("record.e2e_rtt > 5");
    assert_eq!(told, [keep, names[0], names[1]]);
    let told = beside("foo(record.e2e_rtt");
    assert_eq!(told, [keep, slip, names[0], names[1]]);
    // What it would give to `alert` is not known.
    let told = beside("alert(#{speed: foo(record.e2e_rtt)})");
    assert_eq!(told, [keep, "no function `foo` with 1 argument"]);
    let told = beside("alrt(#{speed: record.e2e_rtt})");
    assert_eq!(told, [keep, "no function `alrt` with 1 argument"]);
    let told = beside("alert(#{speed: record.e2e_rtt})");
    assert_eq!(told, [keep]);
}

#[test]
fn a_sequence_without_steps_is_told_beside_other_faults() {
    let sequence = "sequence: {by: [usr], within: 30, steps: []}\nalert: {title: '{{ steps.one.count }}'}\n";
    assert_eq!(
        messages(sequence),
        [
            "unknown field `usr`",
            "`within: 30` has no unit; a duration needs one",
            "a sequence has at least two steps",
            "no value `steps.one.count` in an alert of this rule",
        ]
    );
    let one = "sequence: {by: [user], within: 30, steps: [{name: one, match: {usr: ana}}]}\nalert: {title: '{{ steps.one.count }}'}\n";
    assert_eq!(
        messages(one),
        [
            "`within: 30` has no unit; a duration needs one",
            "a sequence has at least two steps",
            "unknown field `usr`",
        ]
    );
    // A step whose name is misspelt is not blamed on the text.
    let slip = one.replace("name: one", "nmae: one").replace("within: 30", "within: 30m");
    assert_eq!(
        messages(&slip),
        [
            "a sequence has at least two steps",
            "unknown key `nmae` in a step of `sequence`",
            "unknown field `usr`"
        ]
    );
}

/// What is said of each fault of `body`, and the way out.
fn ways_out(body: &str) -> Vec<String> {
    let told = told_after_match(body);
    let line = |line: &str| Some(line.trim_start().strip_prefix("= help: ")?.to_owned());
    told.lines().filter_map(line).collect()
}

#[test]
fn the_way_out_is_the_one_that_was_meant() {
    let selections = "match:\n  one: {user: ana}\n  two: {user: bob}\n  condition: one AND NOT two\n";
    assert!(told(selections).contains("the words are `and`, `or` and `not`"), "{}", told(selections));
    let words = [
        ("cooldown: 0\n", "0 never switches anything off: write `cooldown: off`"),
        (
            "levels: [{level: high, when: {user|re: '^(?!adm)'}}]\n",
            "give what must not match a selection of its own: `condition: this and not that`",
        ),
        (
            "levels: [{level: high, when: {count|gte: 20}}]\ncount: {at_least: 5, within: 10m}\n",
            "conditions look at a record, and `count` is a verb's: the alert's text can say it; another bound is another rule",
        ),
    ];
    for (body, way_out) in words {
        assert_eq!(ways_out(body), [way_out], "{body}");
    }
}

#[test]
fn spans_beside_a_zone_that_there_is_not_are_told_with_it() {
    assert_eq!(
        messages("match: {outcome: failure}\nhours: {zone: Asia/Shanghi, inside: Mo-Fr 08:00-19:00}\n"),
        ["there is no time zone `Asia/Shanghi`", "`Mo` is no day of the week"]
    );
}

#[test]
fn a_rules_title_that_looks_like_a_template_is_warned_of() {
    let told = told_of("rule: r\ntitle: '{{ user }} fails'\nlevel: low\nmatch: {outcome: failure}\n");
    insta::assert_snapshot!(told, @r"
    warning: the rule's `title` is shown as it stands, and is no template
     --> rules/r.yaml:2:8
      |
    2 | title: '{{ user }} fails'
      |        ^^^^^^^^^^^^^^^^^^
      |
      = help: put it under `alert: {title: …}`, and say here what the rule is for
    ");
}

#[test]
fn an_empty_selection_is_called_that() {
    for empty in ["", " ''"] {
        let text = format!("match:\n  failed:{empty}\n  condition: failed\n");
        assert_eq!(messages(&text), ["the selection `failed` is empty"]);
    }
}

#[test]
fn comparisons_in_the_words_of_others_lead_to_ours() {
    for (word, ours) in [("ge", "gte"), ("le", "lte")] {
        let told = told(&format!("match: {{e2e_rtt|{word}: 5}}\n"));
        assert!(told.contains(&format!("= help: did you mean `{ours}`?")), "{told}");
    }
}
