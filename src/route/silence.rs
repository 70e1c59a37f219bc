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
