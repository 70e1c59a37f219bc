//! Silences: which alerts' messages are held back, and until when.

use super::delivery::{Silence, SilenceId};
use super::pattern::Pattern;
use super::tree;
use crate::alert::Alert;
use crate::record::Timestamp;

/// Whether `silence` holds messages of `alert` at `now`: within [from, until), and all its pairs
/// hold. Values are [`Pattern`]s. A silence without pairs holds all alerts of its tenant.
pub fn holds(silence: &Silence, alert: &Alert, now: Timestamp) -> bool {
    silence.tenant == alert.tenant
        && (silence.from..silence.until).contains(&now)
        && silence.matches.iter().all(|(name, value)| accepts(&Pattern::new(value), name, alert))
}

/// The silence that holds messages of `alert` longest, and until when; none where none does.
pub fn held_by(silences: &[Silence], alert: &Alert, now: Timestamp) -> Option<(SilenceId, Timestamp)> {
    let holding = silences.iter().filter(|silence| holds(silence, alert, now));
    holding.map(|silence| (silence.id, silence.until)).max_by_key(|(id, until)| (*until, *id))
}

fn accepts(pattern: &Pattern, name: &str, alert: &Alert) -> bool {
    match name {
        "rule" => pattern.accepts(alert.rule.as_str()),
        "level" => pattern.accepts(alert.level.as_str()),
        "tag" => alert.tags.iter().any(|tag| pattern.accepts(tag)),
        "attack" => {
            alert.attack.iter().any(|technique| tree::any_technique(std::slice::from_ref(pattern), technique))
        }
        field => tree::group_text(alert, field).is_some_and(|text| pattern.accepts(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Level;
    use crate::route::sample;

    fn silence(pairs: &[(&str, &str)]) -> Silence {
        Silence {
            id: SilenceId([1; 8]),
            tenant: "default".into(),
            matches: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            from: Timestamp(100),
            until: Timestamp(200),
            by: "ana".to_owned(),
            because: "maintenance".to_owned(),
        }
    }

    #[test]
    fn a_silence_holds_what_all_of_its_pairs_say() {
        let mut alert = Alert { level: Level::High, ..sample::alert(1) };
        (alert.tags, alert.attack) = (vec!["vpn".to_owned()], vec!["T1110.001".to_owned()]);
        let held = |pairs: &[(&str, &str)]| holds(&silence(pairs), &alert, Timestamp(150));
        for pairs in [
            &[][..],
            &[("rule", "failure-*")],
            &[("level", "HIGH"), ("user", "ana*")],
            &[("tag", "vpn")],
            &[("attack", "T1110")],
        ] {
            assert!(held(pairs), "{pairs:?}");
        }
        for pairs in [&[("rule", "other")][..], &[("level", "high"), ("user", "bob")], &[("absent", "*")]] {
            assert!(!held(pairs), "{pairs:?}");
        }
        assert!(!holds(&Silence { tenant: "acme".into(), ..silence(&[]) }, &alert, Timestamp(150)));
    }

    #[test]
    fn a_silence_begins_at_its_first_instant_and_is_over_at_its_last() {
        let held = |at: i64| holds(&silence(&[]), &sample::alert(1), Timestamp(at));
        assert_eq!([99, 100, 199, 200].map(held), [false, true, true, false]);
    }

    #[test]
    fn of_several_silences_the_longest_holds() {
        let longer = Silence { id: SilenceId([2; 8]), until: Timestamp(300), ..silence(&[]) };
        let other = Silence { id: SilenceId([3; 8]), until: Timestamp(400), ..silence(&[("rule", "other")]) };
        let all = [silence(&[]), longer, other];
        let held = |at: i64| held_by(&all, &sample::alert(1), Timestamp(at));
        assert_eq!(held(150), Some((SilenceId([2; 8]), Timestamp(300))));
        assert_eq!(held(300), None);
    }
}
