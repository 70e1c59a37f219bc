//! The index finds what asking every condition finds, whatever the rules, the records and the sample.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::record::fact::Facts;
use crate::record::scan::{Mapping, Origin, Scanner};
use crate::record::{FieldName, Locator, Number, Phase};
use crate::rule::condition::{Memo, Predicates, address};
use crate::rule::decode::{Options, decode};
use crate::rule::pattern::Pattern;
use crate::rule::problem::Span;
use crate::rule::spec::{Bound, Literal, Ordering, Part, Predicate, Test};

const FIELDS: [&str; 7] =
    ["user_name", "public_ip", "e2e_rtt", "is_reconnect", "raw.colour", "phase", "failed_reason"];

/// Words of which some are parts of others, with letters that fold in every way.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a"),
        Just("ana"),
        Just("Ana.Kim"),
        Just("banana"),
        Just("\u{212a}im"),
        Just("ΑΝΝΑΣ"),
        Just("ς"),
        Just("straße"),
        Just("true"),
        Just("False"),
        Just("10.1.2.3"),
        Just("::ffff:10.1.2.3"),
        Just("10.1."),
        Just("2001:db8::1"),
        Just("-5"),
        Just("7"),
        Just("7.0"),
        Just("1e2"),
        Just("300"),
        Just("1e21"),
        Just("-1E99999999999"),
        Just("1e-99999999999"),
        Just("123456789012345678901234567890"),
        Just("0.0.0.0"),
        Just("start"),
        Just(""),
        Just("x-ab12-cd"),
        Just("\"q\\"),
    ]
    .prop_map(str::to_owned)
}

/// One word or a few, in a row.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => word(),
        1 => prop::collection::vec(word(), 2..4).prop_map(|words| words.concat()),
        1 => "[abK1.]{0,70}",
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        6 => text().prop_map(serde_json::Value::from),
        2 => (-10_i64..400).prop_map(serde_json::Value::from),
        1 => far().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
        1 => prop::collection::vec(prop_oneof![text().prop_map(serde_json::Value::from), Just(json!(null)), Just(json!(7))], 0..3)
            .prop_map(serde_json::Value::from),
        1 => Just(json!({"a": "ana"})),
    ]
}

/// Numbers which JSON has and [`serde_json::Value`] has not: `line` takes them out of their marks.
fn far() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("#1e21#"),
        Just("#-1e999#"),
        Just("#1e20#"),
        Just("#100000000000000000000.5#"),
        Just("#123456789012345678901234567890#"),
        Just("#1e99999999999#"),
        Just("#-1e-99999999999#"),
    ]
}

/// Numbers that rules may name.
fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        8 => (-10_i64..400).prop_map(Number::whole),
        1 => Just(Number::parse("1e20").unwrap()),
        1 => Just(Number::parse("-1e20").unwrap()),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("^an"),
        Just("an[ab]"),
        Just("(ana|kim)+$"),
        Just("^[ab]{2}.*c?d"),
        Just("k"),
        Just("σ|ß"),
        Just("[0-9]+\\.[0-9]"),
        Just("x-..1*2"),
        Just(""),
        Just("^(ana|ban)ana$"),
        Just("(?m)^kim"),
    ]
    .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        6 => text().prop_map(Literal::Text),
        1 => number().prop_map(Literal::Number),
        1 => any::<bool>().prop_map(Literal::Bool),
        1 => word().prop_map(|word| address(&word).map_or(Literal::Text(word), Literal::Address)),
        1 => Just(Literal::Null),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    let texts = || prop::collection::vec(text(), 0..4);
    let nets = prop_oneof![
        Just("10.1.0.0/16"),
        Just("10.1.2.0/24"),
        Just("10.1.2.3/32"),
        Just("0.0.0.0/0"),
        Just("2001:db8::/32"),
        Just("::/0"),
    ];
    prop_oneof![
        3 => prop::collection::vec(literal(), 0..4).prop_map(Test::Equals),
        3 => texts().prop_map(Test::Contains),
        1 => texts().prop_map(Test::StartsWith),
        1 => texts().prop_map(Test::EndsWith),
        2 => (prop::collection::vec(pattern(), 1..3), any::<bool>()).prop_map(|(texts, cased)| {
            Test::Regex(texts.iter().map(|text| Pattern::new(text, cased).unwrap()).collect())
        }),
        2 => prop::collection::vec(nets, 1..3)
            .prop_map(|nets| Test::Cidr(nets.iter().map(|net| net.parse().unwrap()).collect())),
        2 => (0_usize..4, number()).prop_map(|(ordering, number)| {
            let all = [Ordering::Above, Ordering::AtLeast, Ordering::Below, Ordering::AtMost];
            Test::Compare(all[ordering], Bound::Number(number))
        }),
        1 => any::<bool>().prop_map(Test::Exists),
        1 => any::<bool>().prop_map(Test::There),
        1 => (0..FIELDS.len())
            .prop_map(|field| Test::Refers(Part::Anywhere, FieldName::resolve(FIELDS[field]).unwrap())),
        1 => (0..FIELDS.len())
            .prop_map(|field| Test::FieldRef(FieldName::resolve(FIELDS[field]).unwrap())),
    ]
}

/// Needles are folded where case does not count, as decoding leaves them.
fn predicate() -> impl Strategy<Value = Expr> {
    (0..FIELDS.len() + 2, test(), any::<bool>()).prop_map(|(field, mut test, cased)| {
        let fold_all = |texts: &mut Vec<String>| {
            for text in texts.iter_mut() {
                *text = crate::record::fold::fold(text).into_owned();
            }
        };
        if !cased {
            match &mut test {
                Test::Contains(texts) | Test::StartsWith(texts) | Test::EndsWith(texts) => fold_all(texts),
                Test::Equals(literals) => {
                    for literal in literals {
                        if let Literal::Text(text) = literal {
                            *text = crate::record::fold::fold(text).into_owned();
                        }
                    }
                }
                Test::Regex(_)
                | Test::Cidr(_)
                | Test::Compare(..)
                | Test::Exists(_)
                | Test::FieldRef(_)
                | Test::Refers(..)
                | Test::There(_)
                | Test::Clock(..)
                | Test::Filled(_)
                | Test::In(_)
                | Test::Past(..) => {}
            }
        }
        let field = match FIELDS.get(field) {
            Some(field) => FieldName::resolve(field).unwrap(),
            None if field == FIELDS.len() => FieldName::spelt("colour"),
            None => FieldName::line(),
        };
        Expr::Is(Predicate { field, test, cased, spelt: String::new(), span: Span::default() })
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    predicate().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::Any),
            1 => inner.prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

fn line(number: usize, values: &[Option<serde_json::Value>]) -> String {
    let mut row = json!({"id": number.to_string(), "start_time": "2026-01-05T09:00:00Z"});
    for (field, value) in FIELDS.iter().zip(values).filter(|(field, _)| **field != "phase") {
        if let Some(value) = value {
            row[field.strip_prefix("raw.").unwrap_or(field)] = value.clone();
        }
    }
    format!("{row}\n").replace("\"#", "").replace("#\"", "")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_holds_is_left_out(
        exprs in prop::collection::vec(expr(), 1..24),
        rows in prop::collection::vec(prop::collection::vec(prop::option::of(value()), FIELDS.len()), 1..24),
        many in any::<bool>(),
    ) {
        let (mut columns, mut index, mut predicates) =
            (Columns::default(), Index::default(), Predicates::default());
        let mut conditions = Vec::new();
        for (number, expr) in (0..).zip(&exprs) {
            index.file(number, expr, &mut columns);
            conditions.push(predicates.ready(expr, &mut columns));
        }
        let columns = columns.freeze();
        let scanner =
            Scanner::new(columns, Arc::new(Facts::default()), Origin::file(Mapping::default()));
        // Enough of them to be measured, or so few that all is guessed.
        let rows = rows.iter().cycle().take(if many { 2 * rarity::SAMPLE } else { rows.len() });
        let block: String = rows.enumerate().map(|(number, row)| line(number, row)).collect();
        let batch = scanner.scan(block, Locator(0));
        let tables = index.tables(&batch);
        prop_assert_eq!(index.tuned.get().is_some(), batch.rows.len() >= rarity::SAMPLE);
        let (mut looked, mut found, mut memo) = (Looked::default(), Vec::new(), Memo::default());
        looked.begin(tables);
        let record = |place: u32| {
            let place = place as usize;
            batch.record(place / Phase::ALL.len(), Phase::ALL[place % Phase::ALL.len()])
        };
        let many = batch.rows.len() * Phase::ALL.len();
        tables.candidates(many, &record, &mut looked, &mut found);
        prop_assert!(found.is_sorted_by(|one, other| one < other), "each once, in order: {found:?}");
        for place in (0..).take(many) {
            for (number, condition) in (0..).zip(&conditions) {
                let holds = predicates.holds(condition, record(place), &mut memo);
                let is_found = found.binary_search(&Candidate::new(number, place)).is_ok();
                prop_assert!(!holds || is_found, "{:?} of number {place}", exprs[number as usize]);
            }
        }
    }
}

#[test]
fn a_sample_is_gathered_from_batches_however_small_they_are() {
    let matches = ["{user_name: ana, client_type: windows}", "{user_name: bob, client_type: windows}"];
    for rows in [1, 7, 100, rarity::SAMPLE] {
        let (mut columns, mut index) = (Columns::default(), Index::default());
        for (number, text) in (0..).zip(matches) {
            let text = format!("rule: r\ntitle: r\nlevel: low\nmatch: {text}\n");
            let (spec, _) = decode("r.yaml", text.as_str(), &Options::default());
            index.file(number, &spec.unwrap().matches, &mut columns);
        }
        let names = columns.freeze();
        let scanner =
            Scanner::new(names.clone(), Arc::new(Facts::default()), Origin::file(Mapping::default()));
        let mut read = 0;
        while read < rarity::SAMPLE {
            assert!(index.tuned.get().is_none(), "{read} records are too few, of {rows} a batch");
            // Everybody is ana: what is rare is only seen from records.
            let line = |number| {
                format!(
                    "{{\"id\":\"{number}\",\"start_time\":\"2026-01-05T09:00:00Z\",\"user_name\":\"ana\"}}\n"
                )
            };
            let batch = scanner.scan((read..read + rows).map(line).collect(), Locator(0));
            index.tables(&batch);
            read += rows;
        }
        let tuned = index.tuned.get().expect("there were enough");
        let looked: Vec<&str> = tuned.fields.iter().map(|table| names.name(table.column).as_str()).collect();
        assert_eq!(looked, ["client_type"], "nobody shows it");
    }
}

/// The ids of rules that are looked at for each of so many records, over and over.
fn looked_at(matches: &[&str], lines: &[&str]) -> String {
    let (mut columns, mut index) = (Columns::default(), Index::default());
    for (number, text) in (0..).zip(matches) {
        let text = format!("rule: r\ntitle: r\nlevel: low\nmatch: {text}\n");
        let (spec, problems) = decode("r.yaml", text.as_str(), &Options::default());
        assert!(!problems.has_errors(), "{}", problems.render(false));
        index.file(number, &spec.unwrap().matches, &mut columns);
    }
    let scanner =
        Scanner::new(columns.freeze(), Arc::new(Facts::default()), Origin::file(Mapping::default()));
    let line = |(number, line): (usize, &&str)| {
        format!("{{\"id\":\"{number}\",\"start_time\":\"2026-01-05T09:00:00Z\",{line}}}\n")
    };
    let block = lines.iter().cycle().take(rarity::SAMPLE).enumerate().map(line).collect();
    let batch = scanner.scan(block, Locator(0));
    let (tables, mut looked, mut found) = (index.tables(&batch), Looked::default(), Vec::new());
    looked.begin(tables);
    tables.candidates(
        lines.len(),
        &|place| batch.record(place as usize, Phase::Start),
        &mut looked,
        &mut found,
    );
    let mut told = String::new();
    for row in (0..).take(lines.len()) {
        let of_row = found.iter().filter(|one| one.place() == row).map(|one| one.filed());
        write!(told, "{:?}", of_row.collect::<Vec<_>>()).unwrap();
    }
    told
}

#[test]
fn a_rule_is_looked_at_where_its_rarest_key_is_shown() {
    let lines = [
        r#""user_name":"Ana.Kim1","e2e_rtt":20,"public_ip":"10.1.2.3","client_type":"mac""#,
        r#""user_name":"bob.kim22","e2e_rtt":900,"public_ip":"10.1.9.9","client_type":"mac""#,
        r#""user_name":"eve.roe3","e2e_rtt":30,"public_ip":"203.0.113.5","client_type":"mac""#,
        r#""user_name":"eve.roe4","e2e_rtt":30,"public_ip":"10.1.2.4","client_type":"mac""#,
    ];
    for (matches, meant) in [
        ("{client_type: mac, user_name: ana.kim1}", "[0][][][]"),
        ("{client_type: mac, e2e_rtt|gt: 300}", "[][0][][]"),
        ("{client_type: mac, public_ip|cidr: [203.0.113.0/24, 198.51.100.0/24]}", "[][][0][]"),
        ("{client_type: mac, user_name|contains: KIM2}", "[][0][][]"),
        ("{client_type: mac, user_name|startswith: an}", "[0][][][]"),
        ("{client_type: mac, user_name|endswith: e4}", "[][][][0]"),
        ("{client_type: mac, user_name|re: '^[a-f]+\\.(kim|poe)2'}", "[][0][][]"),
        ("{user_name|startswith: kim}", "[][][][]"),
        (
            "{not_failed: {outcome: success}, other: {client_type: linux}, condition: not other}",
            "[0][0][0][0]",
        ),
        ("[{user_name: eve.roe3}, {e2e_rtt|lt: 25}]", "[0][][0][]"),
    ] {
        assert_eq!(looked_at(&[matches], &lines), meant, "{matches}");
    }
    let both = ["{client_type: mac, user_name: eve.roe3}", "{e2e_rtt: 30}"];
    assert_eq!(looked_at(&both, &lines), "[][][0, 1][1]");
}

#[test]
fn what_many_need_is_looked_up_where_their_common_key_is_shown() {
    let failed = r#""failed_code":"X","user_name":"ana","machine_name":"vdi-1""#;
    let quiet = r#""failed_code":"","user_name":"ana","machine_name":"vdi-2""#;
    let lines: Vec<&str> = std::iter::once(failed).chain([quiet; 31]).collect();
    let matches = [
        "{failed_code: X, user_name: ana}",
        "{failed_code: X, machine_name|contains: vdi-}",
        "{failed_code: X, machine_name|endswith: '3'}",
        "{user_name: ana}",
    ];
    let told = looked_at(&matches, &lines);
    assert!(told.starts_with("[0, 1, 3][3][3]"), "{told}");
}

#[test]
fn a_text_with_a_part_many_times_over_finds_a_rule_once() {
    let line = format!(r#""user_name":"{}""#, "an".repeat(1_000));
    assert_eq!(looked_at(&["{user_name|contains: [an, na, anan]}"], &[&line]), "[0]");
}
