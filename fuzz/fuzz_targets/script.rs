//! Whatever the script, it is refused with a place inside its file, or its run ends: soon (libFuzzer's
//! `-timeout` says how soon), with an answer of bounded size, and with the same one the second time.
//!
//! The input is the script's text, and after a zero byte the values of its records.
#![no_main]

use larum::record::{Datum, Number};
use larum::rule::problem::{Problems, Span};
use larum::rule::script::limits::{MAX_MAP, MAX_STRING};
use larum::rule::script::{Answer, Script, ScriptRecord};
use larum::rule::spec::ScriptText;
use libfuzzer_sys::fuzz_target;

/// The YAML that a script stands in.
const HEAD: &str = "script:\n  when: |\n";
/// Bytes of a fault's message, generously: it is cut by characters.
const MAX_MESSAGE: usize = 4 * 1_024;
/// Records that a script looks back on.
const MAX_HISTORY: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let (script, values) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[..0]),
    };
    let (text, yaml) = in_yaml(&String::from_utf8_lossy(script));
    let mut problems = Problems::new("fuzz.yaml", yaml.as_str());
    let script = Script::compile(&text, &mut problems);
    assert_eq!(script.is_none(), problems.has_errors());
    problems.sorted().iter().for_each(|problem| inside(&yaml, problem.span));
    problems.render(false);

    let Some(script) = script else { return };
    let history = records(&script, values);
    let answer = script.run(&history);
    match &answer {
        Ok(Answer::No | Answer::Yes) => {}
        Ok(Answer::Alert(values)) => {
            assert!(values.len() <= MAX_MAP);
            for (name, value) in values {
                assert!(name.len() <= MAX_STRING);
                assert!(!matches!(value, Datum::Text(text) if text.len() > MAX_STRING));
            }
        }
        Err(fault) => {
            assert!(fault.message.len() <= MAX_MESSAGE, "{} bytes of message", fault.message.len());
            inside(&yaml, fault.span);
        }
    }
    // Compared as text: a number may be none.
    assert_eq!(format!("{answer:?}"), format!("{:?}", script.run(&history)));
});

fn inside(yaml: &str, span: Span) {
    assert!(yaml.get(span.start..span.end).is_some(), "{span:?} of {} bytes", yaml.len());
}

/// `script` as it stands in a rule file, and that file.
fn in_yaml(script: &str) -> (ScriptText, String) {
    let (mut yaml, mut lines) = (HEAD.to_owned(), Vec::new());
    for line in script.lines() {
        yaml.push_str("    ");
        lines.push(yaml.len());
        yaml.push_str(line);
        yaml.push('\n');
    }
    (ScriptText { text: script.into(), lines, first_line: 3, file: None }, yaml)
}

/// Records of the script's fields, a value from every few bytes.
fn records(script: &Script, values: &[u8]) -> Vec<ScriptRecord> {
    let width = script.fields().len();
    let (Some((count, values)), true) = (values.split_first(), width > 0) else {
        return vec![ScriptRecord::new(vec![Datum::Absent; width])];
    };
    let mut values = values.chunks(4).map(datum);
    let mut record = || -> Vec<Datum> { (0..width).map(|_| values.next().unwrap_or_default()).collect() };
    (0..1 + usize::from(*count) % MAX_HISTORY).map(|_| ScriptRecord::new(record())).collect()
}

fn datum(bytes: &[u8]) -> Datum {
    let (kind, rest) = (bytes[0] % 5, &bytes[1..]);
    let whole = rest.iter().fold(0_i64, |sum, byte| sum * 256 + i64::from(*byte));
    match kind {
        0 => Datum::Absent,
        1 => Datum::Number(Number::whole(whole - 1_000)),
        2 => Datum::Bool(whole % 2 == 0),
        3 => Datum::text(&String::from_utf8_lossy(rest)),
        // As long as a hostile one can be.
        _ => Datum::text(&String::from_utf8_lossy(rest).repeat(2_000)),
    }
}
