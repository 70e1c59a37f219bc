//! Real records with known answers: the folder that `LARUM_SHARED` names, else `../shared`.
//!
//! Where the folder is missing these tests say so and prove nothing; with `LARUM_CI=1` they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use larum::alert::Fired;
use serde_json::Value as Json;

use super::world::{DAY, Run, Told, World, locator, rule};

/// The lines of one file of the data set; none where the data set is not there.
#[expect(clippy::disallowed_methods, reason = "the data set lies beside the repository")]
pub fn lines(name: &str) -> Option<Vec<String>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var("LARUM_SHARED").map_or_else(|_| beside(), PathBuf::from).join("data");
    if !folder.is_dir() {
        let told = format!("NOT TESTED: no real records in `{}`; set LARUM_SHARED", folder.display());
        assert!(std::env::var("LARUM_CI").as_deref() != Ok("1"), "{told}");
        println!("{told}");
        return None;
    }
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

fn parsed(lines: &[String]) -> Vec<Json> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `rules` tell of `lines`.
fn told(rules: &[String], lines: &[String]) -> Told {
    let world = World::new(rules);
    let mut run: Run<'_> = world.run();
    run.take_lines(lines);
    run.progress(1_000 * DAY);
    run.finish();
    run.told
}

fn group(fired: &Fired) -> String {
    fired.group[0].1.clone().unwrap_or_default()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

const SSHD: &str = "elastic-sshd.user-connection.jsonl";
const SSHD_LABELS: &str = "elastic-sshd.user-connection.labels.jsonl";

#[test]
fn a_restarting_count_fires_exactly_as_another_program_counted() {
    let Some(records) = lines(SSHD) else { return };
    let Some(expected) = lines("elastic-sshd.expected.jsonl") else { return };
    let mut wanted: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in parsed(&expected) {
        let key =
            format!("{}-in-{}-by-{}", row["n"], row["window_s"], text(&row["group_by"]).replace('_', "-"));
        let firing = (text(&row["at"]).replace('Z', ".000Z"), text(&row["key"]).to_lowercase());
        wanted.entry(key).or_default().push(firing);
    }
    assert_eq!((wanted.len(), wanted.values().map(Vec::len).sum::<usize>()), (10, 937));
    let rules: Vec<String> = wanted
        .keys()
        .map(|name| {
            let mut parts = name.splitn(5, '-');
            let mut part = || parts.next().unwrap().to_owned();
            let (at_least, _, within, _, by) = (part(), part(), part(), part(), part().replace('-', "_"));
            let body = format!(
                "match: {{outcome: failure}}\ncount: {{at_least: {at_least}, within: {within}s, by: [{by}], restart: true}}\n"
            );
            rule(name, &body)
        })
        .collect();
    let mut fired: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for alert in told(&rules, &records).fired() {
        fired.entry(alert.rule.to_string()).or_default().push((alert.at.to_string(), group(alert)));
    }
    for list in wanted.values_mut().chain(fired.values_mut()) {
        list.sort();
    }
    assert_eq!(fired, wanted);
}

#[test]
fn a_first_seen_address_is_the_labelled_one() {
    let (Some(records), Some(labels)) = (lines(SSHD), lines(SSHD_LABELS)) else { return };
    let body = "match: {outcome: success}\nfirst_seen: {value: public_ip, by: [user_name], same_net: off}\n";
    let told = told(&[rule("r", body)], &records);
    let new: BTreeSet<String> = parsed(&labels)
        .iter()
        .filter(|label| label["new_ip_for_user"] == true)
        .map(|label| text(&label["id"]))
        .collect();
    let found: BTreeSet<String> = told
        .fired()
        .map(|fired| {
            let line = records.iter().find(|line| locator(line) == fired.tip.locator).unwrap();
            text(&serde_json::from_str::<Json>(line).unwrap()["id"])
        })
        .collect();
    assert_eq!((found.len(), told.fired().count()), (14, 14));
    assert_eq!(found, new);
}

/// Of the addresses that fail at all, an attacker is one that never succeeds.
#[test]
fn five_failures_in_ten_minutes_tell_attackers_from_users() {
    let (Some(records), Some(labels)) = (lines(SSHD), lines(SSHD_LABELS)) else { return };
    let body = "match: {outcome: failure}\ncount: {at_least: 5, within: 10m, by: [public_ip]}\n";
    let flagged: BTreeSet<String> = told(&[rule("r", body)], &records).fired().map(group).collect();
    let mut attackers = BTreeSet::new();
    for (record, label) in parsed(&records).iter().zip(parsed(&labels)) {
        assert_eq!(record["id"], label["id"]);
        if label["failed"] == true && label["weak_attacker_ip"] == true {
            attackers.insert(text(&record["public_ip"]));
        }
    }
    let right = flagged.intersection(&attackers).count();
    let share = |part: usize, whole: usize| {
        f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
    };
    let (precision, recall) = (share(right, flagged.len()), share(right, attackers.len()));
    println!(
        "{} attackers, {} flagged, {right} rightly: precision {precision:.3}, recall {recall:.3}",
        attackers.len(),
        flagged.len()
    );
    assert!(precision >= 0.97, "precision {precision:.3}");
    assert!(recall >= 0.63, "recall {recall:.3}");
}

#[test]
fn an_address_that_is_none_is_kept_and_is_in_no_network() {
    let Some(records) = lines("cloudtrail.app-connection.jsonl") else { return };
    let rules = [
        rule("all", "match: {kind: app_launch, public_ip|exists: true}\n"),
        rule("net", "match: {kind: app_launch, public_ip|cidr: [0.0.0.0/0, \"::/0\"]}\n"),
        rule("service", "match: {kind: app_launch, public_ip|endswith: .amazonaws.com}\n"),
        rule("internal", "match: {kind: app_launch, public_ip: AWS Internal}\n"),
    ];
    let told = told(&rules, &records);
    let count = |rule: &str| told.fired().filter(|fired| fired.rule.as_str() == rule).count();
    assert_eq!((count("all"), count("net")), (1_450, 1_450 - 255));
    assert_eq!((count("service"), count("internal")), (100, 155));
}

/// What a filter of another program asks of a record, in our words; what the data set left out of
/// its records (the verb of a request, its status) is left out here.
fn in_our_words(filter: &str) -> String {
    let mut fields: Vec<String> = Vec::new();
    for part in filter.split("&&").map(str::trim) {
        let (field, asked) = part.split_once(' ').unwrap();
        let field = match field.trim_start_matches("evt.Meta.") {
            "log_type" => "failed_code",
            // Of this service the data set keeps one word for service and error.
            "service" if asked.contains("keycloak") => {
                fields.push("failed_reason: LOGIN_ERROR".to_owned());
                continue;
            }
            "service" => "client_type",
            "sub_type" | "http_path" => "failed_reason",
            "error" | "success" | "http_status" | "evt.Parsed.verb" => continue,
            other => panic!("`{other}` has no name here"),
        };
        let (operator, value) = asked.split_once(' ').unwrap();
        fields.push(match operator {
            "==" | "in" => format!("{field}: {value}"),
            "startsWith" => format!("{field}|startswith: {value}"),
            other => panic!("`{other}` is not known here"),
        });
    }
    fields.join(", ")
}

#[test]
fn a_leaky_bucket_finds_exactly_the_sources_that_another_program_found() {
    let Some(cases) = lines("threshold-cases.jsonl") else { return };
    let mut checked = 0;
    for case in parsed(&cases) {
        let events: Vec<String> = case["events"].as_array().unwrap().iter().map(Json::to_string).collect();
        let scenarios = case["scenarios"].as_array().unwrap();
        for scenario in scenarios.iter().filter(|scenario| scenario["check"] == "equal") {
            checked += 1;
            let at_least = scenario["capacity"].as_u64().unwrap() + 1;
            let drains_every = text(&scenario["leakspeed"]);
            let distinct = if scenario["distinct"].is_null() { "" } else { "distinct: user_name, " };
            let matches = in_our_words(scenario["filter"].as_str().unwrap());
            let body = format!(
                "match: {{{matches}}}\nrate: {{at_least: {at_least}, drains_every: {drains_every}, {distinct}by: [public_ip]}}\n"
            );
            let mut wanted: Vec<(String, u64)> = Vec::new();
            for found in case["expected"].as_array().unwrap() {
                let sources = found["sources"].as_array().unwrap().iter().map(text);
                if found["scenario"] == scenario["name"] {
                    wanted.extend(sources.map(|source| (source, found["events_count"].as_u64().unwrap())));
                }
            }
            wanted.sort();
            let mut found: Vec<(String, u64)> =
                told(&[rule("r", &body)], &events).fired().map(|a| (group(a), a.finding.count)).collect();
            found.sort();
            assert_eq!(found, wanted, "{}: {}\n{body}", case["case"], scenario["name"]);
        }
    }
    assert_eq!(checked, 33);
}
