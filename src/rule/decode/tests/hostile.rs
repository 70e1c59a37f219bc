//! Whatever the text, decoding ends, and points into the text.

use proptest::prelude::*;

use super::super::super::yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
use super::{SKELETON, decoded};

/// Decodes and shows; every place is within the source, on whole characters.
fn survives(source: &str) {
    let (spec, problems) = decoded(source);
    assert!(spec.is_some() || problems.has_errors());
    for problem in problems.sorted() {
        let also = problem.also.iter().map(|(span, _)| *span);
        for span in std::iter::once(problem.span).chain(also) {
            assert!(problems.source.get(span.start..span.end).is_some(), "{span:?} of {source:?}");
        }
    }
    problems.render(false);
    problems.render(true);
    problems.to_json();
}

const WORDS: &[&str] = &[
    "\t",
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "!x ",
    "#",
    "é",
    "登",
    "\u{202e}",
    "%",
    "---\n",
    "...\n",
    "0",
    "null",
    "condition",
    "count",
    "at_least",
    "(",
    "<<",
    "?",
    ",",
    "\r",
    "\u{feff}",
    "\u{0}",
    "|\n   x\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_with_words_put_in_and_bytes_taken_out_is_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(WORDS), 0_usize..6), 1..6)
    ) {
        let mut text = SKELETON.to_owned();
        for (index, word, cut) in edits {
            let start = text.floor_char_boundary(index.index(text.len() + 1));
            let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
            text.replace_range(start..end, word);
        }
        survives(&text);
    }

    #[test]
    fn any_text_is_survived(text in "[ -~\\n\\t{}\\[\\]:|'\"é]{0,200}") {
        survives(&text);
    }

    #[test]
    fn a_rule_with_bytes_changed_is_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
    ) {
        let mut bytes = SKELETON.as_bytes().to_vec();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn every_cut_of_a_rule_is_survived() {
    for at in 0..SKELETON.len() {
        survives(&SKELETON[..at]);
    }
}

/// The messages about `source`.
fn all(source: &str) -> Vec<String> {
    let (_, problems) = decoded(source);
    problems.sorted().iter().map(|problem| problem.message.clone()).collect()
}

/// The first of them.
fn first(source: &str) -> String {
    all(source).swap_remove(0)
}

/// True where one of them begins so.
fn tells(source: &str, beginning: &str) -> bool {
    all(source).iter().any(|message| message.starts_with(beginning))
}

#[test]
fn bounds_are_told() {
    assert!(first(&"#".repeat(MAX_BYTES + 1)).starts_with("the file has 1048577 bytes"));
    let many = format!("match: {{user: [{}]}}", "a,".repeat(MAX_NODES + 5));
    assert_eq!(first(&many), format!("the file has more than {MAX_NODES} values"));
    for source in [
        "[".repeat(40) + "]".repeat(40).as_str(),
        "a: {".repeat(100_000),
        "- ".repeat(100_000),
        "[".repeat(100_000),
    ] {
        assert_eq!(
            first(&source),
            format!("lists and maps are more than {MAX_DEPTH} deep inside each other")
        );
    }
}

#[test]
fn conditions_that_would_grow_without_end_are_refused() {
    let deep = format!("match: {{a: {{user: x}}, condition: '{}'}}", "(".repeat(100_000));
    survives(&deep);
    let long = format!("match: {{a: {{user: x}}, condition: 'a {}'}}", "or a ".repeat(100_000));
    survives(&long);
    let nots = format!("match: {{a: {{user: x}}, condition: '{} a'}}", "not ".repeat(400));
    survives(&nots);
}

#[test]
fn anchors_aliases_tags_and_merge_keys_are_refused() {
    assert!(tells("a: &x 1\n", "YAML anchors"));
    assert!(tells("a: *x\n", "a value that begins with `*`"));
    assert!(tells("a: !x 1\n", "YAML tags"));
    assert!(tells("<<: {a: 1}\n", "merge keys"));
    assert!(tells("? [a, b]\n: 1\n", "a key must be plain text"));
}

#[test]
fn a_flood_of_unknown_keys_is_survived() {
    use std::fmt::Write as _;
    let mut source = String::from("match:\n");
    for number in 0..MAX_NODES - 10 {
        let _ = writeln!(source, "  client_nam{number}|contain: a");
    }
    survives(&source);
}
