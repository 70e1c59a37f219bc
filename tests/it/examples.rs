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
    larum::source::KINDS.iter().for_each(|kind| names(kind.keys, &mut wanted));
    larum::deliver::KINDS.iter().for_each(|kind| names(kind.keys, &mut wanted));
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
