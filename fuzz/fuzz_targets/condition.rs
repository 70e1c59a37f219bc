//! Whatever stands under `match`, it is decoded or refused; what is accepted hits a record exactly
//! where looking at it part by part says so.
#![no_main]

use std::sync::Arc;

use larum::engine::scan::HitOutcome;
use larum::engine::{CheckedRule, Engine, Generation, Limits, Scratch, SourceId};
use larum::record::fact::Facts;
use larum::record::scan::{Mapping, Origin, Scanner};
use larum::record::{Columns, Locator};
use larum::rule::decode::{Options, decode};
use larum::rule::why::why;
use libfuzzer_sys::fuzz_target;

/// Records that differ in what conditions ask about: empty, null, absent, addresses, numbers, times.
const RECORDS: &str = r#"{"id":"1","start_time":"2026-01-05T09:00:00Z","user_name":"CORP\\ana","public_ip":"203.0.113.9","failed_code":"6005","failed_reason":"timed out","client_type":""}
{"id":"2","start_time":"2026-01-05T09:00:01Z","end_time":"2026-01-05T10:00:00Z","user_name":"ana","public_ip":"2001:db8::1","client_type":"Linux","machine_name":"VDI-1","network_rtt":12.5,"e2e_rtt":900,"app_name":"","colour":["red",{"b":1}]}
{"id":"3","start_time":"2026-01-05T09:00:02Z"}
{"id":"4","kind":"app_launch","start_time":"2026-01-05T09:00:03Z","end_time":"2026-01-05T09:00:03Z","user_name":null,"public_ip":"::ffff:203.0.113.9","app_name":"Vault","is_reconnect":true}
{"id":"5","kind":"session","phase":"end","start_time":"2026-01-05T09:00:04Z","end_time":"2026-01-05T09:10:04Z","user_name":"\u017fs","public_ip":"0.0.0.0","e2e_rtt":"250","session_state":"OPEN"}
"#;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes).replace('\r', " ");
    let body: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let file = format!("rule: fuzz\ntitle: F\nlevel: low\nmatch:\n{body}");
    let (spec, mut problems) = decode("fuzz.yaml", &file, &Options::default());
    assert!(spec.is_some() || problems.has_errors(), "no rule and no reason");
    if problems.has_errors() {
        return;
    }
    let Some(rule) = spec.and_then(|spec| CheckedRule::new(spec, &mut problems)) else { return };
    let matches = rule.rule().spec.matches.clone();
    let generation = Arc::new(Generation::new(vec![rule], Columns::default(), Limits::default()));
    let program = &generation.programs.list[0];
    // What was before a record is no part of looking at it.
    let spec = &program.rule.spec;
    let more = spec.verb.is_some() || spec.hours.is_some() || !spec.except.is_empty();
    if !program.questions.is_empty() || more {
        return;
    }
    let mut engine = Engine::new(generation.clone(), "fuzz");
    engine.add_source(SourceId(0), None);
    let origin = Origin::file(Mapping::default());
    let scanner = Scanner::new(generation.columns.clone(), Arc::new(Facts::default()), origin);
    let batch = scanner.scan(RECORDS.to_owned(), Locator(0));
    assert_eq!(batch.rows.len(), 5);
    let fresh = engine.take_in(&batch);
    let hits = engine.scan(&batch, &fresh, &mut Scratch::default());
    let mut columns = (*generation.columns).clone();
    for one in &fresh {
        let looked = why(&matches, one.record(&batch), &mut columns, generation.lists());
        let hit = hits.iter().any(|hit| {
            (hit.row, hit.phase) == (one.row, one.phase) && matches!(hit.outcome, HitOutcome::Grouped { .. })
        });
        assert_eq!(hit, looked.held, "row {} {:?}: {looked:?}", one.row, one.phase);
    }
});
