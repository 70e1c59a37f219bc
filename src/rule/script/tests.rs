use super::*;
use crate::record::Number;
use crate::rule::lists::List;

/// The YAML that a script stands in; its first line is line 3.
const HEAD: &str = "script:\n  when: |\n";

fn text_of(script: &str) -> (ScriptText, String) {
    let mut yaml = HEAD.to_owned();
    let mut lines = Vec::new();
    for line in script.lines() {
        yaml.push_str("    ");
        lines.push(yaml.len());
        yaml.push_str(line);
        yaml.push('\n');
    }
    (ScriptText { text: script.into(), lines, first_line: 3, file: None }, yaml)
}

fn compile(script: &str) -> Result<Script, Vec<String>> {
    let (text, yaml) = text_of(script);
    let mut problems = Problems::new("rule.yaml", yaml.as_str());
    let compiled = Script::compile(&text, &mut problems);
    let told = |problem: &&crate::rule::problem::Problem| {
        let line = yaml[..problem.span.start].matches('\n').count() + 1;
        let words = &yaml[problem.span.start..problem.span.end];
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
        format!("{line} [{words}] {}{hint}", problem.message)
    };
    match compiled {
        Some(script) => {
            assert!(problems.is_empty());
            Ok(script)
        }
        None => Err(problems.sorted().iter().map(told).collect()),
    }
}

#[track_caller]
fn faults(script: &str) -> Vec<String> {
    compile(script).expect_err("the script should not load")
}

fn datum(text: &str) -> Datum {
    match text {
        "-" => Datum::Absent,
        "true" => Datum::Bool(true),
        "false" => Datum::Bool(false),
        text => Number::parse(text).map_or_else(|| Datum::text(text), Datum::Number),
    }
}

/// Records in text: `field=value field=value | ...`; a field that is not named is absent.
fn records(script: &Script, text: &str) -> Vec<ScriptRecord> {
    let record = |line: &str| {
        let given: BTreeMap<&str, &str> =
            line.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let value = |name: &FieldName| given.get(name.as_str()).map_or(Datum::Absent, |text| datum(text));
        ScriptRecord::new(script.fields().iter().map(value).collect::<Vec<_>>())
    };
    text.split('|').map(record).collect()
}

fn run(script: &str, history: &str) -> Result<Answer, String> {
    let script = compile(script).unwrap_or_else(|faults| panic!("{faults:#?}"));
    script.run(&records(&script, history)).map_err(|fault| fault.message)
}

#[track_caller]
fn says(script: &str, history: &str, expected: bool) {
    let answer = if expected { Answer::Yes } else { Answer::No };
    assert_eq!(run(script, history), Ok(answer), "{script}");
}

#[track_caller]
fn yes(script: &str) {
    says(script, "", true);
}

#[track_caller]
fn fails(script: &str, message: &str) {
    assert_eq!(run(script, ""), Err(message.to_owned()), "{script}");
}

mod answers {
    use super::*;

    const SLOW: &str = "history.filter(|r| r.e2e_rtt > 3 * r.network_rtt).len() >= 2";

    #[test]
    fn a_script_counts_over_its_history() {
        says(
            SLOW,
            "e2e_rtt=400 network_rtt=100 | e2e_rtt=20 network_rtt=10 | e2e_rtt=31 network_rtt=10",
            true,
        );
        says(
            SLOW,
            "e2e_rtt=400 network_rtt=100 | e2e_rtt=20 network_rtt=10 | e2e_rtt=30 network_rtt=10",
            false,
        );
    }

    #[test]
    fn an_alert_carries_its_values() {
        let script = "\
let possible = record.geo.lat / 100.0;
let too_fast = |r| r.network_rtt < 0.8 * r.geo.lat / 100.0;
if history.filter(too_fast).len() >= 2 {
  alert(#{possible_ms: possible, seen_ms: record.network_rtt, who: record.user_name, nothing: record.device})
}";
        let history = "network_rtt=0.5 geo.lat=80 | network_rtt=0.25 geo.lat=80 user_name=ana";
        let Ok(Answer::Alert(values)) = run(script, history) else { panic!() };
        let told: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        assert_eq!(values["possible_ms"], datum("0.8"));
        assert_eq!(values["seen_ms"], datum("0.25"));
        assert_eq!(values["who"], Datum::text("ana"));
        assert_eq!(values["nothing"], Datum::Absent);
        assert_eq!(told.len(), 4);
        says(script, "network_rtt=5 geo.lat=80", false);
        let names: Vec<String> = compile(script).unwrap().alert_names().iter().cloned().collect();
        assert_eq!(names, ["nothing", "possible_ms", "seen_ms", "who"]);
    }

    #[test]
    fn history_is_looked_at_within_history() {
        let script = "history.filter(|r| history.filter(|q| q.user == r.user).len() > 1).len() == 2";
        says(script, "user=ana | user=bob | user=ana", true);
    }

    #[test]
    fn nothing_is_no() {
        says("if record.user == \"ana\" { return true; }", "user=bob", false);
        says("if record.user == \"ana\" { return true; }", "user=ana", true);
        says("", "user=ana", false);
    }

    #[test]
    fn other_results_are_faults() {
        fails("42", "the script returned a number: return true, false or `alert(#{..})`");
        fails("\"yes\"", "the script returned a text: return true, false or `alert(#{..})`");
        fails("record", "the script returned a record: return true, false or `alert(#{..})`");
        fails("alert(#{all: [1]})", "`all` of `alert` is no text, number or boolean");
    }

    #[test]
    fn an_alert_that_is_dropped_is_a_fault() {
        let dropped =
            "`alert` was called and its value dropped: make it the script's last value, or `return` it";
        fails("for r in history { alert(#{x: 1}); }", dropped);
        assert!(matches!(run("for r in history { return alert(#{x: 1}); }", ""), Ok(Answer::Alert(_))));
    }

    #[test]
    fn division_is_not_cut() {
        says("record.e2e_rtt / record.network_rtt > 2", "e2e_rtt=250 network_rtt=100", true);
    }

    #[test]
    fn a_script_is_shared_by_threads() {
        let script = compile("history.filter(|r| r.user == \"ana\").len() == 64").unwrap();
        let history = vec![ScriptRecord::new(vec![Datum::text("ana")]); 64];
        std::thread::scope(|scope| {
            let runs =
                [(); 4].map(|()| scope.spawn(|| (0..50).all(|_| script.run(&history) == Ok(Answer::Yes))));
            assert!(runs.into_iter().all(|run| run.join().unwrap()));
        });
    }

    #[test]
    fn the_same_records_give_the_same_answer() {
        let script = compile("alert(#{far: km(history[0], record), n: history.len()})").unwrap();
        let history = records(&script, "geo.lat=59.9 geo.lon=10.7 | geo.lat=31.2 geo.lon=121.5");
        let first = script.run(&history);
        assert!(first.is_ok());
        for _ in 0..20 {
            assert_eq!(script.run(&history), first);
        }
    }

    #[test]
    fn hostile_text_is_only_text() {
        let script = compile(
            "record.user_name == \"x\" || history.filter(|r| r.user_name == record.user_name).len() > 1",
        );
        let script = script.unwrap();
        for hostile in ["\"; loop {}; \"", "${1+1}", "eval(\"true\")", "\u{202e}\0\n", "#{a: 1}", "') or 1=1"]
        {
            let one = ScriptRecord::new(vec![Datum::text(hostile)]);
            assert_eq!(script.run(std::slice::from_ref(&one)), Ok(Answer::No), "{hostile}");
            assert_eq!(script.run(&[one.clone(), one]), Ok(Answer::Yes), "{hostile}");
        }
    }

    #[test]
    fn long_hostile_text_does_not_stop_a_rule() {
        let script =
            compile("history.filter(|r| r.user_name.len() > 3 && r.geo.country != \"NO\").len() == 64")
                .unwrap();
        let value = |name: &FieldName| Datum::text(&name.as_str().repeat(5000));
        let record = ScriptRecord::new(script.fields().iter().map(value).collect::<Vec<_>>());
        assert_eq!(script.run(&vec![record; 64]), Ok(Answer::Yes));
    }

    #[test]
    fn a_record_cannot_be_changed() {
        assert!(run("record.user = \"ana\"; true", "user=bob").is_err());
        assert!(run("history.clear(); true", "user=bob").is_err());
        assert!(run("record = 1; true", "user=bob").is_err());
    }

    #[test]
    fn a_record_kept_with_fewer_fields_reads_as_absent() {
        let script = compile("record.user == ()").unwrap();
        assert_eq!(script.run(&[ScriptRecord::new(vec![])]), Ok(Answer::Yes));
        assert_eq!(
            script.run(&[]).unwrap_err().message,
            "unknown property `user` - a getter is not registered for an absent value"
        );
    }
}

mod fields {
    use super::*;

    #[track_caller]
    fn reads(script: &str, expected: &str) {
        let script = compile(script).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let names: Vec<&str> = script.fields().iter().map(FieldName::as_str).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn a_script_reads_the_fields_it_names() {
        reads("record.user == \"ana\" && history[0].geo.country != record.geo.country", "user geo.country");
        reads(
            "history.filter(|r| r.raw.colour.len() > 2 && r[\"e2e_rtt\"] > 1).len > 1",
            "raw.colour e2e_rtt",
        );
        reads("record.login_user == record.user_name", "user_name");
        reads("record.raw.colour.len > 1 && record.user_name.len > 3", "raw.colour user_name");
        reads("km(record, history[0]) > 500", "geo.lat geo.lon");
        reads("hour(record, \"UTC\") > 5", "start_time");
        reads(
            "let place = record.geo; place.country == \"NO\"",
            "geo.country geo.city geo.lat geo.lon geo.radius",
        );
        reads("fn slow(r) { r.e2e_rtt > 100 } slow(record)", "e2e_rtt");
        reads("let x = loop { break record.user; }; x == \"ana\"", "user");
        reads("let m = #{count: 1}; m.count += 1; m.extra = 2; m.count == m.extra", "");
        reads("let seen = #{}; for r in history { seen[r.user] = true; } seen.len() > 2", "user");
    }

    #[test]
    fn an_alias_reads_its_field() {
        says("record.login_user == \"ana\" && record.user_name == \"ana\"", "user_name=ana", true);
    }

    #[test]
    fn nested_names_are_read_either_way() {
        let script = "record.raw.colour == \"red\" && record[\"raw\"][\"colour\"] == \"red\" && record.geo.lat == 59.5";
        says(script, "raw.colour=red geo.lat=59.5", true);
        says("let place = record.geo; place.lat == 59.5", "geo.lat=59.5", true);
        says("record.geo.city == () && record.user == ()", "", true);
    }

    #[test]
    fn an_unknown_field_is_told_with_the_nearest() {
        assert_eq!(
            faults("record.user == \"a\" &&\n  record.netwrok_rtt > 5 || record.geo.contry == \"NO\""),
            [
                "4 [netwrok_rtt] no field `netwrok_rtt`; did you mean `network_rtt`?",
                "4 [geo] no field `geo.contry`; did you mean `geo.country`?"
            ]
        );
        assert_eq!(
            faults("record.colour == 1"),
            ["3 [colour] no field `colour`; a vendor field without a name here is read as `raw.colour`"]
        );
        assert_eq!(
            faults("record.raw == 1"),
            ["3 [raw] `raw` as a whole cannot be read; a vendor field is read by its name: `raw.<name>`"]
        );
    }

    #[test]
    fn a_name_made_at_run_time_is_no_way_around() {
        let script = "let name = \"us\" + \"er\"; record[name] == 1";
        fails(script, "`user` is not read by name in this script, so it is not at hand");
    }
}

mod loading {
    use super::*;

    #[test]
    fn a_fault_of_syntax_is_told_at_its_line() {
        assert_eq!(
            faults("let a = 1;\nlet b = 2;\nif a > { true }"),
            [
                "5 [] expecting `{` to start a statement block; put braces around the block: `if a > b { true }`"
            ]
        );
    }

    #[test]
    fn an_unknown_variable_is_told() {
        assert_eq!(
            faults("event.user == 1"),
            ["3 [event] no variable `event`; known: `record`, `history`, `lists`"]
        );
        assert_eq!(faults("recrod.user == 1"), ["3 [recrod] no variable `recrod`; did you mean `record`?"]);
    }

    #[test]
    fn an_unknown_function_is_told_with_its_arguments() {
        assert_eq!(
            faults("let a = 1;\nfrobnicate(a, 2) && history.fliter(|r| true).len() > 1"),
            [
                "4 [frobnicate] no function `frobnicate` with 2 arguments; there are `alert(#{name: value})`, `cidr(ip, net)`, `hour(time, zone)`, `km(a, b)`, `matches(text, regex)`, `minutes(a, b)`, and Rhai's own for texts, arrays, maps and numbers",
                "4 [fliter] no function `fliter` with 2 arguments, what stands before the point counted; did you mean `filter`?"
            ]
        );
        assert_eq!(
            faults("cidr(record.public_ip)"),
            ["3 [cidr] `cidr` takes 2 arguments, not 1; write `cidr(ip, net)`"]
        );
        assert_eq!(
            faults("fn twice(x) { x * 2 } twice(1, 2)"),
            ["3 [twice] `twice` takes 1 argument, not 2"]
        );
        assert_eq!(
            faults("loop { break nothing(); }"),
            [
                "3 [nothing] no function `nothing` with 0 arguments; there are `alert(#{name: value})`, `cidr(ip, net)`, `hour(time, zone)`, `km(a, b)`, `matches(text, regex)`, `minutes(a, b)`, and Rhai's own for texts, arrays, maps and numbers"
            ]
        );
    }

    #[test]
    fn words_of_other_languages_are_told_with_ours() {
        for (script, told) in [
            (
                "1 > 2 and true",
                "3 [and] expecting `;` to terminate this statement; in a script `and` is written `&&`",
            ),
            ("not true", "3 [not] no variable `not`; in a script `not` is written `!`: `!(a == b)`"),
            ("None", "3 [None] no variable `None`; an absent value is written `()`: `record.app_name == ()`"),
            ("1 > 2 ? true : false", "3 [?] unknown operator: `?`; choose with `if a > b { x } else { y }`"),
            ("'ana' == 1", "3 ['] invalid character: `ana`; text stands in double quotes: `\"…\"`"),
            (
                "let x = 3\nx > 2",
                "4 [x] expecting `;` to terminate this statement; put `;` between this and the statement before it",
            ),
            ("true &&", "3 [] the script ends in the middle of something; finish its last line"),
        ] {
            assert_eq!(faults(script), [told], "{script}");
        }
    }

    #[test]
    fn clock_output_and_text_as_script_are_unknown() {
        for call in ["sleep(1)", "exit()", "exit(true)", "timestamp()", "print(1)", "debug(1)", "eval(\"1\")"]
        {
            let told = faults(&format!("true;\n{call}"));
            let name = call.split('(').next().unwrap();
            assert!(told[0].starts_with(&format!("4 [{name}] no function `{name}`")), "{told:?}");
        }
        for text in
            ["import \"os\" as os;", "export record;", "parse_json(\"1\")", "rand()", "blob(5)", "1.tag()"]
        {
            faults(text);
        }
        fails("Fn(\"eval\").call(\"true\")", "syntax error: `eval` is a reserved keyword");
        fails("Fn(\"sleep\").call(100)", "`sleep` does not work on a number");
        fails("Fn(\"print\").call(100)", "syntax error: `print` is a reserved keyword");
    }

    #[test]
    fn wrong_constants_of_helpers_are_told() {
        assert_eq!(
            faults(
                "cidr(record.public_ip, \"10.0.0/8\") || matches(record.user, \"a(\") || hour(record, \"Mars\") > 1"
            ),
            [
                "3 [\"10.0.0/8\"] `10.0.0/8` is no network: write it as `203.0.113.0/24` or `2001:db8::/32`",
                "3 [\"a(\"] `a(` is no regular expression: unclosed group",
                "3 [\"Mars\"] `Mars` is no time zone: write it as `Asia/Shanghai` or `UTC`"
            ]
        );
    }

    /// As the reference says it.
    #[test]
    fn a_switch_tells_what_a_comparison_does_not() {
        yes("5 == 5.0 && 5.0 / 2 == 2.5 && 7 / 2 == 3");
        says("switch 5.0 { 5 => true, _ => false }", "", false);
        yes("switch 5.0 { 5.0 => true, _ => false }");
        says("() > 5 || () < 5 || () == 0", "", false);
        yes("() == () && (() ?? 0) * 3 == 0");
        fails("() * 3 == 0", "`*` does not work on an absent value and a number");
    }

    #[test]
    fn closures_methods_and_own_functions_are_known() {
        yes("let f = |a, b| a + b; f.call(1, 2) == 3");
        yes("let base = 10; [1, 2].map(|x| x + base).reduce(|sum, x| (sum ?? 0) + x) == 23");
        yes("fn more() { this + 1 } let x = 1; x.more() == 2");
        yes("let m = #{f: |x| x + 1}; m.f(1) == 2");
        yes("let n = 0; for i in 0..5 { n += i; } n == 10");
        yes("switch 3 { 1..=3 => true, _ => false }");
        yes("(2.5).round() == 3.0 && (7).to_float() / 2 == 3.5 && parse_float(\"1e3\") == 1000.0");
        yes("\"Ana\".to_lower() == \"ana\" && \"a,b\".split(\",\").len == 2 && \"n\" in \"ana\"");
        yes("`${1 + 1}` == \"2\"");
    }
}

mod bounds {
    use super::*;

    const OPERATIONS: &str = "more than 200000 operations";
    const DEPTH: &str = "calls are nested deeper than 16";
    const TEXT: &str = "text is larger than 4096 bytes, the parts of arrays and maps taken together";
    const ARRAY: &str = "an array is larger than 256 elements, the parts of arrays and maps taken together";
    const MAP: &str = "a map is larger than 256 entries, the parts of arrays and maps taken together";

    #[test]
    fn operations_are_bounded() {
        fails("loop {}", OPERATIONS);
        fails("let n = 0; while true { n += 1; }", OPERATIONS);
        fails("for i in 0..1000000000000 {}", OPERATIONS);
        fails("for i in range(0, 9223372036854775807, 1) {}", OPERATIONS);
        fails("do {} while true", OPERATIONS);
    }

    #[test]
    fn closures_within_natives_are_counted_with_the_rest() {
        fails("let a = []; a.pad(256, 0); loop { a.filter(|x| { for i in 0..1000 {} true }); }", OPERATIONS);
        fails("let a = []; a.pad(256, 0); a.map(|x| { for i in 0..1000 {} x }); true", OPERATIONS);
        fails(
            "let a = []; a.pad(256, 0); let b = a; let c = a; a.map(|x| b.map(|y| c.map(|z| 1).len).len); true",
            OPERATIONS,
        );
    }

    #[test]
    fn a_lock_is_not_waited_for() {
        let told = "3 [map] the closure reads `a` while `map` runs over it; copy it first: `let copy = a;`";
        assert_eq!(faults("let a = [1]; a.map(|x| a.len()); true"), [told]);
        let race = "a closure reads a variable while it runs over it: give it a copy (`let copy = all;`)";
        fails("let a = [1]; let f = |x| a.len(); a.map(f); true", race);
        assert_eq!(
            faults("try { throw 1 } catch (e) { return true; }"),
            [
                "3 [try] no `try` in a script; a fault ends the run: look first at what may be absent, as in `r.e2e_rtt != ()`"
            ]
        );
        yes("let a = [1]; let copy = a; a.map(|x| copy.len()) == [1]");
        yes("let n = 0; [1, 2].for_each(|x| n += 1); n == 2");
    }

    #[test]
    fn call_depth_is_bounded() {
        fails("fn down(n) { down(n + 1) } down(0)", DEPTH);
        fails("fn a(n) { b(n) } fn b(n) { a(n) } a(0)", DEPTH);
        fails("fn down(n) { [n].map(|x| down(x)) } down(0)", DEPTH);
        yes("fn down(n) { if n == 0 { true } else { down(n - 1) } } down(14)");
    }

    #[test]
    fn text_is_bounded() {
        fails("let s = \"x\"; loop { s += s; }", TEXT);
        fails("let s = \"\"; s.pad(5000, 'x'); true", TEXT);
        fails("let s = \"\"; s.pad(9223372036854775807, 'x'); true", TEXT);
        fails("let s = \"\"; s.pad(4096, 'x'); s.replace(\"x\", s); true", TEXT);
        fails("let s = \"\"; s.pad(4096, 'x'); `${s}${s}` == \"\"", TEXT);
        fails("let s = \"\"; s.pad(2000, 'x'); let all = [s, s, s]; true", TEXT);
        yes("let s = \"\"; s.pad(4096, 'x'); s.len() == 4096");
        assert_eq!(faults(&format!("let s = \"{}\"; true", "x".repeat(5000))).len(), 1);
    }

    #[test]
    fn arrays_are_bounded() {
        fails("let a = [1]; loop { a += a; }", ARRAY);
        fails("let a = []; loop { a.push(1); }", ARRAY);
        fails("let a = []; a.pad(257, 0); true", ARRAY);
        fails("let a = []; a.pad(9223372036854775807, 0); true", ARRAY);
        fails("let a = [1, 2]; loop { a = [a, a]; }", ARRAY);
        fails("let a = []; loop { a = [a]; }", ARRAY);
        fails("let s = \"\"; s.pad(4000, 'x'); s.to_chars().len() > 1", ARRAY);
        fails("let s = \"\"; s.pad(4000, 'x'); s.to_blob().len() > 1", ARRAY);
        yes("let a = []; a.pad(256, 0); a.len() == 256");
    }

    #[test]
    fn maps_are_bounded() {
        fails("let m = #{}; let n = 0; loop { m[`k${n}`] = n; n += 1; }", MAP);
        fails("let m = #{a: 1}; loop { m = #{a: m, b: m}; }", MAP);
        fails("let m = #{a: #{}}; for i in 0..10000 { m.a[`k${i}`] = i; } true", MAP);
        fails("let m = #{}; [1].for_each(|x| { for i in 0..10000 { m[`k${i}`] = i; } }); true", MAP);
        fails("let m = #{}; loop { m = #{a: m}; }", MAP);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(faults(&deep(100_000)), ["3 [(] expressions are nested deeper than 64"]);
        yes(&deep(20));
        for (open, close) in [("[", "]"), ("#{a:", "}"), ("{", "}"), ("if true {", "}"), ("!", ""), ("-", "")]
        {
            let nested = format!("let x = {}1{}; true", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(faults(&nested).len(), 1, "{open}");
        }
        let within = format!("fn f() {{ {} }} f()", deep(100));
        assert_eq!(faults(&within).len(), 1);
    }

    #[test]
    fn the_deepest_script_that_loads_does_not_overflow_the_stack() {
        let script = |n: usize| {
            let nested = format!("{}down(n + 1){}", "(1 + ".repeat(n), ")".repeat(n));
            format!("fn down(n) {{ [n].map(|x| {{ {nested} }}) }} down(0)")
        };
        let deepest = (1..64).rev().find(|n| compile(&script(*n)).is_ok()).unwrap();
        assert!(deepest > 5, "{deepest}");
        fails(&script(deepest), DEPTH);
    }

    #[test]
    fn variables_and_functions_are_bounded() {
        let many = |n: usize| (0..n).map(|i| format!("let v{i} = {i};")).collect::<Vec<_>>().concat();
        fails(&format!("{} true", many(62)), "more than 64 variables");
        yes(&format!("{} true", many(60)));
        let many = |n: usize| (0..n).map(|i| format!("fn f{i}() {{ {i} }} ")).collect::<Vec<_>>().concat();
        assert_eq!(faults(&format!("{} true", many(33))), ["3 [fn] more than 32 functions and closures"]);
        yes(&format!("{} true", many(32)));
    }

    #[test]
    fn patterns_made_at_run_time_are_charged() {
        fails("for i in 0..1000 { matches(\"x\", `x{${i + 1}}`); } true", OPERATIONS);
        fails("for i in 0..1000 { matches(\"x\", \"x\" + \"y\"); } true", OPERATIONS);
        yes("for i in 0..1000 { matches(\"x\", \"xy\"); } true");
        fails("let s = \"\"; s.pad(4096, 'x'); for i in 0..2000 { matches(s, \"xy\"); } true", OPERATIONS);
        assert!(run("matches(\"x\", \"(\" + \"x\")", "").is_err());
        assert!(run("matches(\"x\", \"(?:x{1000}\" + \"){1000}\")", "").is_err());
        assert_eq!(faults("matches(\"x\", \"(?:x{1000}){1000}\")").len(), 1);
    }

    #[test]
    fn a_thrown_text_is_cut() {
        let message = run("let s = \"\"; s.pad(4000, 'x'); throw s", "").unwrap_err();
        assert_eq!(message.chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn a_fault_is_told_at_its_line() {
        let (text, yaml) = text_of("let a = 1;\n\nif a == 1 {\n  let b = a + record.user;\n}");
        let script = Script::compile(&text, &mut Problems::new("rule.yaml", yaml.as_str())).unwrap();
        let fault = script.run(&records(&script, "")).unwrap_err();
        assert_eq!(fault.message, "`+` does not work on a number and an absent value");
        assert_eq!(yaml[..fault.span.start].matches('\n').count() + 1, 6);
    }
}

mod helping {
    use super::*;

    #[test]
    fn cidr_knows_addresses_of_both_kinds() {
        says("cidr(record.public_ip, \"203.0.113.0/24\")", "public_ip=203.0.113.9", true);
        says("record.public_ip.cidr(\"203.0.113.0/24\")", "public_ip=203.0.114.9", false);
        says("cidr(record.public_ip, \"203.0.113.0/24\")", "public_ip=::ffff:203.0.113.9", true);
        says("cidr(record.public_ip, \"2001:db8::/32\")", "public_ip=2001:db8::1", true);
        says("cidr(record.public_ip, \"203.0.113.7\")", "public_ip=203.0.113.7", true);
        says("cidr(record.public_ip, \"0.0.0.0/0\")", "public_ip=nonsense", false);
        says("cidr(record.public_ip, \"0.0.0.0/0\")", "", false);
        fails(
            "cidr(\"1.2.3.4\", \"10.\" + \"0\")",
            "`10.0` is no network: write it as `203.0.113.0/24` or `2001:db8::/32`",
        );
    }

    #[test]
    fn km_is_the_great_circle() {
        let places = "geo.lat=59.9139 geo.lon=10.7522 | geo.lat=31.2304 geo.lon=121.4737";
        says("km(history[0], record) == 8086.667", places, true);
        says("km(history[0].geo, record) == km(record, history[0])", places, true);
        says("km(#{lat: 0, lon: 0}, #{lat: 0.0, lon: 180}) == 20015.114", "", true);
        says("km(#{geo: #{lat: 1, lon: 1}}, #{lat: 1, lon: 1}) == 0.0", "", true);
        says("km(record, record) == () && km(1, \"x\") == ()", "", true);
    }

    #[test]
    fn times_are_read_in_their_spellings() {
        says(
            "minutes(history[0], record) == 90.5",
            "start_time=2026-01-05T09:00:00Z | start_time=2026-01-05T10:30:30.000Z",
            true,
        );
        says(
            "minutes(record.start_time, \"2026-01-05T17:00:00+08:00\") == 0.0",
            "start_time=2026-01-05T09:00:00Z",
            true,
        );
        says("minutes(record, \"soon\") == () && hour(record, \"UTC\") == ()", "", true);
        says("hour(record.start_time, \"Asia/Shanghai\") == 17", "start_time=2026-01-05T09:00:00Z", true);
        says("hour(record, \"UTC\") == 9", "start_time=2026-01-05T09:00:00", true);
    }

    #[test]
    fn matches_finds_anywhere_and_minds_case() {
        says("matches(record.user_name, \"^adm.n\")", "user_name=admin", true);
        says("matches(record.user_name, \"^adm.n\")", "user_name=ADMIN", false);
        says("record.user_name.matches(\"(?i)MIN\")", "user_name=admin", true);
        says("matches(record.user_name, \".\")", "", false);
    }

    #[test]
    fn lists_hold_what_they_do_at_the_time_of_the_record() {
        let values = [
            ("203.0.113.0/24", None),
            ("Ana", Some(Timestamp(1_000))),
            ("042", None),
            ("1000000000000000000000", None),
        ];
        let list = List::of(&values.map(|(value, until)| (value.to_owned(), until)));
        let lists = Lists::default().with([("egress".to_owned(), list)]);
        for (when, at, holds) in [
            ("\"203.0.113.9\" in lists.egress", 0, true),
            ("lists.egress.contains(\"203.0.114.9\")", 0, false),
            ("\"ANA\" in lists.egress", 999, true),
            ("\"ANA\" in lists.egress", 1_000, false),
            ("42 in lists.egress && 42.0 in lists[\"egress\"]", 0, true),
            ("() in lists.egress", 0, false),
            ("1e21 in lists.egress", 0, false),
            ("\"x\" in lists.egress", 0, false),
        ] {
            let script = compile(when).unwrap();
            assert_eq!(script.lists()[0].0, "egress");
            let record = ScriptRecord::new(Vec::new());
            let answer = script.run_among(&[record], &lists, Timestamp(at)).unwrap();
            assert_eq!(answer, if holds { Answer::Yes } else { Answer::No }, "{when} at {at}");
        }
    }
}
