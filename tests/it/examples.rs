//! The example configurations load, build, and name every option that there is.

use larum::config::{Secrets, keys};
use larum::daemon::parts;
use larum::rule::keys::{MapDoc, Takes};

#[expect(clippy::disallowed_methods, reason = "reads the examples")]
fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_examples_build() {
    let mut secrets = Secrets::in_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    secrets.dry = true;
    for name in ["minimal.yaml", "full.yaml"] {
        let (parts, problems) = parts::build(name, example(name).into_bytes(), &secrets);
        assert!(problems.is_empty(), "{}", problems.render(false));
        assert!(parts.is_some(), "{name}");
    }
}

/// Every key of a map and of the maps in it, those left out that are not run yet.
fn names(doc: &'static MapDoc, found: &mut Vec<String>) {
    for key in doc.keys.iter().filter(|key| key.built) {
        found.push(key.name.to_owned());
        for takes in key.takes.alternatives() {
            if let Takes::Map(inner) | Takes::Maps(inner) = takes {
                names(inner, found);
            }
        }
    }
}

#[test]
fn the_full_example_names_every_option() {
    let text = example("full.yaml");
    let mut wanted = Vec::new();
    names(&keys::CONFIG, &mut wanted);
    for kind in larum::source::KINDS {
        names(kind.keys, &mut wanted);
    }
    for kind in larum::deliver::KINDS {
        names(kind.keys, &mut wanted);
    }
    for name in wanted {
        let said = |line: &str| {
            let line = line.trim_start_matches([' ', '#', '-']);
            line.starts_with(&format!("{name}:"))
                || line.contains(&format!("{{{name}:"))
                || line.contains(&format!(", {name}:"))
        };
        assert!(text.lines().any(said), "`{name}` does not stand in full.yaml");
    }
    for kind in larum::source::KINDS.iter().map(|kind| kind.name) {
        assert!(text.contains(&format!("kind: {kind}")), "{kind}");
    }
    for kind in larum::deliver::KINDS.iter().map(|kind| kind.name) {
        assert!(text.contains(&format!("kind: {kind}")), "{kind}");
    }
}

/// What `larum` prints for these arguments.
fn printed(arguments: &[&str]) -> String {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_larum")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// What a validator of JSON Schema finds wrong with each of `texts`, YAML, by the schema of `what` that is printed.
fn faults(what: &str, texts: Vec<(String, String)>) -> Vec<String> {
    let schema = serde_json::from_str(&printed(&["schema", what])).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("https://larum.test/schema.json", schema).unwrap();
    let schema = compiler.compile("https://larum.test/schema.json", &mut schemas).unwrap();
    assert!(!texts.is_empty());
    let fault = |(name, text): (String, String)| {
        // As YAML 1.2 has it: `off` is a word.
        let words = serde_saphyr::options! { strict_booleans: true };
        let value: serde_json::Value = serde_saphyr::from_str_with_options(&text, words).unwrap();
        schemas.validate(&value, schema).err().map(|fault| format!("{name}: {fault:#}"))
    };
    texts.into_iter().filter_map(fault).collect()
}

#[test]
fn the_printed_schema_takes_every_rule_there_is() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut rules = Vec::new();
    for folder in ["rules/*", "examples/rules"] {
        for path in glob::glob(&format!("{root}/{folder}/*.yaml")).unwrap().map(Result::unwrap) {
            #[expect(clippy::disallowed_methods, reason = "reads the shipped rules")]
            let text = std::fs::read_to_string(&path).unwrap();
            rules.push((path.display().to_string(), text));
        }
    }
    let shipped = rules.len();
    assert!(shipped > 10, "{shipped}");
    for verb in std::iter::once(&"none").chain(larum::rule::keys::VERBS) {
        rules.push((format!("new {verb}"), printed(&["new", "rule", "--verb", verb])));
    }
    assert_eq!(faults("rule", rules), Vec::<String>::new());
    let without = "rule: a\ntitle: t\nlevel: low\n".to_owned();
    assert_eq!(
        faults("rule", vec![("without".to_owned(), without)]).len(),
        1,
        "a rule needs one of its forms"
    );
}

#[test]
fn the_printed_schema_takes_the_example_configurations() {
    let texts = ["minimal.yaml", "full.yaml"].map(|name| (name.to_owned(), example(name)));
    assert_eq!(faults("config", texts.to_vec()), Vec::<String>::new());
}
