//! Documents together: files of several, references, filters, logsources, lists, rules beside them.

use larum::engine::generation::RuleText;
use larum::engine::{Compiled, GenerationText};
use larum::rule::SEMANTICS;
use larum::rule::compile::Program;
use larum::rule::lists::ListText;
use larum::rule::sigma::{LogSource, LogSourceLine, LogSourceMap};

use super::{faults, fired, generation, text};

/// The rules that fire for `line`.
fn which(generation: &std::sync::Arc<larum::engine::Generation>, line: &str) -> Vec<String> {
    fired(generation, &[line.to_owned()]).remove(0)
}

#[test]
fn a_file_holds_several_documents_and_one_that_is_bad_stops_no_other() {
    let documents = "title: One\nid: 9d7f3b1a-1111-4b0e-8d2f-000000000001\nlevel: high\ntags: [attack.t1110.001, attack.credential-access]\ndetection: {s: {f: 1}, condition: s}\n---\n# nothing here\n---\ntitle: Two\nname: second_rule\ndetection: {s: {f: 1}, condition: s and}\n---\ntitle: Three of them!\ndetection: {s: {f: 1}, condition: s}\n";
    let Compiled { generation, problems, failed } = text(documents).compile();
    assert_eq!(failed, ["second_rule"]);
    assert_eq!(problems.len(), 1);
    assert_eq!(which(&generation, r#"{"f":1}"#), ["9d7f3b1a-1111-4b0e-8d2f-000000000001", "three-of-them"]);
    let rule = &generation.programs.list[0].rule;
    assert_eq!(rule.spec.about.attack, ["T1110.001"]);
    assert_eq!(rule.spec.about.tags, ["attack.credential-access"]);
    assert_eq!((rule.spec.title.as_str(), rule.spec.level.as_str()), ("One", "high"));
}

#[test]
fn a_syntax_fault_ends_a_file_and_what_stands_before_it_loads() {
    let documents =
        "title: One\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: Two\ndetection: {s: [f: 1\n";
    let Compiled { generation, problems, .. } = text(documents).compile();
    assert_eq!(generation.programs.list.len(), 1);
    let told: String = problems.iter().map(|problems| problems.render(false)).collect();
    assert!(told.starts_with("error: "), "{told}");
}

#[test]
fn filters_leave_out_by_name_by_id_and_by_logsource() {
    let rules = "title: A\nname: a\nlogsource: {product: x, service: s}\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: B\nid: B-1\nlogsource: {product: y}\ndetection: {s: {f: 1}, condition: s}\n";
    let filter = |rules: &str, logsource: &str| {
        format!(
            "---\ntitle: F\nlogsource: {logsource}\nfilter: {{rules: {rules}, known: {{who: ok}}, condition: not known}}\n"
        )
    };
    let left =
        |filter: String| which(&generation(&format!("{rules}{filter}")), r#"{"f":1,"who":"OK"}"#).join(" ");
    assert_eq!(left(filter("[a]", "{product: X}")), "b-1");
    assert_eq!(left(filter("[b-1]", "{}")), "a");
    assert_eq!(left(filter("[a, B-1]", "{}")), "");
    assert_eq!(left(filter("any", "{product: y}")), "a");
    assert_eq!(
        which(&generation(&format!("{rules}{}", filter("any", "{}"))), r#"{"f":1,"who":"me"}"#),
        ["a", "b-1"]
    );
    let told = faults(&format!(
        "{rules}{}{}",
        filter("[a]", "{product: z}"),
        filter("[f, c]", "{}").replace("title: F", "title: G\nname: f")
    ));
    for fault in
        ["`a` is of another logsource than this filter", "`f` is no detection", "no document is called `c`"]
    {
        assert!(told.contains(fault), "{fault}\n{told}");
    }
}

#[test]
fn names_and_ids_are_one_documents_alone() {
    let twice = |head: &str| {
        format!(
            "title: A\n{head}\ndetection: {{s: {{f: 1}}, condition: s}}\n---\ntitle: B\n{head}\ndetection: {{s: {{g: 1}}, condition: s}}\n"
        )
    };
    assert!(faults(&twice("name: n")).contains("a document in `test.yml` is called `n` already"));
    assert!(faults(&twice("id: I")).contains("a document in `test.yml` is called `i` already"));
    let titles = "title: A b\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: a-B\ndetection: {s: {g: 1}, condition: s}\n";
    assert!(faults(titles).contains("rule `a-b` is in `test.yml` already"));
}

#[test]
fn logsources_say_whose_records_documents_are_about() {
    let line = |product: &str, kinds: &[&str]| LogSourceLine {
        logsource: LogSource { product: Some(product.to_owned()), ..LogSource::default() },
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        services: Vec::new(),
    };
    let documents = "title: A\nlogsource: {product: vdi, service: x}\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: B\nlogsource: {product: windows}\ndetection: {s: {f: 1}, condition: s}\n";
    let logsources = LogSourceMap(vec![line("VDI", &["session"])]);
    let kept = GenerationText { logsources, ..text(documents) };
    let generation = kept.compile().generation;
    assert_eq!(which(&generation, r#"{"f":1,"kind":"session"}"#), ["a", "b"]);
    assert_eq!(which(&generation, r#"{"f":1}"#), ["b"]);
}

#[test]
fn placeholders_are_filled_from_lists() {
    let documents = super::document(
        "s:\n  user|expand: '%admins%'\n  host|contains|expand: '-%sites%-'\n  ip|cidr|expand: '%nets%'\ncondition: s",
    );
    let list = |name: &str, text: &str| ListText::new(name, "list.txt", text.to_owned());
    let lists =
        vec![list("admins", "Root\nana\n"), list("nets", "10.0.0.0/8\n"), list("sites", "fra\nAms\n")];
    let kept = GenerationText { lists, ..text(&documents) };
    let Compiled { generation, problems, .. } = kept.compile();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(which(&generation, r#"{"user":"ANA","host":"x-ams-1","ip":"10.2.3.4"}"#), ["test"]);
    assert!(which(&generation, r#"{"user":"bob","host":"x-ams-1","ip":"10.2.3.4"}"#).is_empty());
    assert!(which(&generation, r#"{"user":"ana","host":"x-ams","ip":"10.2.3.4"}"#).is_empty());
    assert!(which(&generation, r#"{"user":"ana","host":"x-fra-1","ip":"11.2.3.4"}"#).is_empty());
    assert!(faults(&documents).contains("there is no list `admins`"));
}

#[test]
fn what_is_kept_of_a_generation_holds_its_documents() {
    let documents = super::document("s: {f: 1}\ncondition: s");
    let native = RuleText {
        file: "a.yaml".to_owned(),
        text: crate::world::rule("test", "match: {outcome: failure}\n"),
    };
    let kept = GenerationText { rules: vec![native], ..text(&documents) };
    let again = GenerationText::from_json(&kept.json()).unwrap();
    assert_eq!((again.json(), again.digest()), (kept.json(), kept.digest()));
    assert_ne!(kept.digest(), GenerationText { sigma: Vec::new(), ..kept.clone() }.digest());
    // Of a rule and a document with one id, the rule counts.
    let Compiled { generation, problems, .. } = again.compile();
    assert_eq!(generation.programs.list.len(), 1);
    assert!(problems[0].render(false).contains("rule `test` is in `a.yaml` already"));
}

#[test]
fn a_document_among_the_rules_is_told_where_to_go() {
    let file = RuleText { file: "a.yaml".to_owned(), text: super::document("s: {f: 1}\ncondition: s") };
    let told = GenerationText { rules: vec![file], ..GenerationText::default() }.compile().problems;
    assert!(told[0].render(false).contains("put it into the folder of the Sigma documents"));
}

#[test]
fn an_older_meaning_is_another_revision() {
    let documents = "title: One\nname: one\ndetection: {s: {f: 1}, condition: s}\n---\ntitle: Often\nname: often\ncorrelation: {type: event_count, rules: [one], group-by: [g], timespan: 1m, condition: {gte: 2}}\n";
    let revisions = |semantics| {
        let compiled = GenerationText { semantics, ..text(documents) }.compile();
        assert!(compiled.failed.is_empty());
        let of = |program: &Program| (program.rule.id().clone(), program.rule.revision);
        compiled.generation.programs.list.iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (older, now) = (revisions(SEMANTICS - 1), revisions(SEMANTICS));
    assert!(!now.is_empty() && older.keys().eq(now.keys()));
    assert!(now.iter().all(|(rule, revision)| older[rule] != *revision), "{older:?} {now:?}");
    assert_eq!(revisions(SEMANTICS), now);
}
