//! Who hears of an alert: the routes of the configuration, in order.
//!
//! The first route that accepts an alert decides, unless it says to go on. A route that accepts
//! everything must be among them, so that no alert is told to nobody. Nothing here looks at limits
//! or silences.

use serde_json::Value as Json;

use super::delivery::{Group, ReceiverName};
use super::pattern::Pattern;
use crate::alert::Alert;
use crate::record::{Level, Millis, Timestamp};

/// All routes, in the configuration's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// The first that accepts decides.
    pub routes: Vec<Route>,
}

/// One route: which alerts, and who hears of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Which alerts.
    pub matches: Match,
    /// Who hears of them, in this order; at least one.
    pub to: Vec<ReceiverName>,
    /// `continue: true`: the routes after it are looked at as well.
    pub go_on: bool,
    /// Alerts that are told together; none: each by itself.
    pub together: Option<Together>,
    /// What is still open is told again after so long; none: never.
    pub repeat: Option<Millis>,
    /// Who else is told of what nobody has taken.
    pub escalate: Option<Escalate>,
}

/// Which alerts of a route are told together, and when. Critical ones never wait for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// `rule`, `tenant`, or fields of the alert's group, whose equal values make a group; the level
    /// always does.
    pub by: Vec<String>,
    /// How long the first waits for others at most.
    pub wait: Millis,
    /// How long the next message of a group waits after one.
    pub interval: Millis,
}

/// Who else is told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalate {
    /// So long after the route's receivers could have it.
    pub after: Millis,
    /// Whom.
    pub to: Vec<ReceiverName>,
}

impl Route {
    /// The group that `alert` is told with, where this is route number `number`; none where it is told
    /// by itself.
    pub fn group(&self, number: usize, alert: &Alert) -> Option<Group> {
        let together = self.together.as_ref().filter(|_| alert.level < Level::Critical)?;
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(&alert.tenant);
        part(&number.to_string());
        part(alert.level.as_str());
        for name in &together.by {
            part(name);
            match name.as_str() {
                "rule" => part(alert.rule.as_str()),
                "tenant" => part(&alert.tenant),
                field => part(&group_text(alert, field).unwrap_or_default()),
            }
        }
        let key = hasher.finalize().to_hex()[..16].to_owned();
        Some(Group { key, interval: together.interval })
    }

    /// When a message of `group` that is owed at `now` falls due: at the next of the group's own
    /// instants, which lie `wait` apart, so that all that is owed until then is due together.
    pub fn due(&self, group: &Group, now: Timestamp) -> Timestamp {
        let Some(wait) = self.together.as_ref().map(|together| together.wait.0).filter(|wait| *wait > 0)
        else {
            return now;
        };
        let seed = i64::from_str_radix(&group.key[..8], 16).unwrap_or(0);
        let offset = seed.rem_euclid(wait);
        Timestamp(((now.0 - offset).div_euclid(wait) + 1) * wait + offset)
    }
}

/// What a route asks of an alert: all of it must hold. A list that is empty asks nothing; of one
/// that is not, one entry must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// How grave.
    pub levels: Vec<Level>,
    /// Names of rules.
    pub rules: Vec<Pattern>,
    /// Labels of the rule; one of the alert's must be accepted.
    pub tags: Vec<Pattern>,
    /// ATT&CK techniques; `T1110` is also its sub-techniques.
    pub attack: Vec<Pattern>,
    /// Whose records.
    pub tenants: Vec<Pattern>,
    /// Fields of the alert's group, by name. A field that the group does not have, or that is null,
    /// is accepted by nothing.
    pub fields: Vec<(String, Vec<Pattern>)>,
}

impl Match {
    /// True where it asks nothing.
    pub fn is_any(&self) -> bool {
        let Self { levels, rules, tags, attack, tenants, fields } = self;
        levels.is_empty()
            && rules.is_empty()
            && tags.is_empty()
            && attack.is_empty()
            && tenants.is_empty()
            && fields.is_empty()
    }

    /// Whether the alert is what it asks for.
    pub fn accepts(&self, alert: &Alert) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.accepts(text));
        let one = |patterns: &[Pattern], text: &str| patterns.is_empty() || any(patterns, text);
        let some = |patterns: &[Pattern], texts: &[String]| {
            patterns.is_empty() || texts.iter().any(|text| any(patterns, text))
        };
        (self.levels.is_empty() || self.levels.contains(&alert.level))
            && one(&self.rules, alert.rule.as_str())
            && one(&self.tenants, &alert.tenant)
            && some(&self.tags, &alert.tags)
            && (self.attack.is_empty() || alert.attack.iter().any(|name| any_technique(&self.attack, name)))
            && self
                .fields
                .iter()
                .all(|(name, patterns)| group_text(alert, name).is_some_and(|text| any(patterns, &text)))
    }
}

/// Whether one of `patterns` accepts the technique or the one it is a part of.
pub(super) fn any_technique(patterns: &[Pattern], technique: &str) -> bool {
    let parent = technique.split_once('.').map(|(parent, _)| parent);
    patterns
        .iter()
        .any(|pattern| pattern.accepts(technique) || parent.is_some_and(|parent| pattern.accepts(parent)))
}

/// A field of the alert's group as text; none where it is absent or null.
pub(super) fn group_text(alert: &Alert, name: &str) -> Option<String> {
    match alert.group.get(name)? {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        value @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Some(value.to_string())
        }
    }
}

/// What is wrong with routes as a whole. Numbers count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// Some alert would be told to nobody.
    #[error("no route takes every alert; end with `{{match: {{}}, to: [...]}}`")]
    NoCatchAll,
    /// It names no receiver.
    #[error("route {} names no receiver", .route + 1)]
    ToNobody {
        /// Which.
        route: usize,
    },
    /// A route before it takes everything.
    #[error("route {} is never reached: route {} takes every alert and does not `continue`", .route + 1, .after + 1)]
    NeverReached {
        /// Which.
        route: usize,
        /// The one that takes everything.
        after: usize,
    },
}

impl Routes {
    /// All that is wrong with them, each with its place.
    pub fn faults(&self) -> Vec<RouteFault> {
        let mut faults = Vec::new();
        let mut end = None;
        for (route, Route { matches, to, go_on, .. }) in self.routes.iter().enumerate() {
            if to.is_empty() {
                faults.push(RouteFault::ToNobody { route });
            }
            if let Some(after) = end {
                faults.push(RouteFault::NeverReached { route, after });
            } else if matches.is_any() && !go_on {
                end = Some(route);
            }
        }
        if !self.routes.iter().any(|route| route.matches.is_any()) {
            faults.push(RouteFault::NoCatchAll);
        }
        faults
    }

    /// Who hears of `alert`, and by which route (counted from 0): in the order of the routes, nobody
    /// twice. Nobody hears of what a rule only observes.
    pub fn receivers(&self, alert: &Alert) -> Vec<(ReceiverName, usize)> {
        let mut told: Vec<(ReceiverName, usize)> = Vec::new();
        if alert.observe {
            return told;
        }
        for (number, route) in self.routes.iter().enumerate() {
            if !route.matches.accepts(alert) {
                continue;
            }
            for name in &route.to {
                if !told.iter().any(|(other, _)| other == name) {
                    told.push((name.clone(), number));
                }
            }
            if !route.go_on {
                break;
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::route::sample;

    fn to(names: &[&str]) -> Vec<ReceiverName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().copied().map(Pattern::new).collect()
    }

    fn told(routes: &Routes, alert: &Alert) -> Vec<String> {
        routes.receivers(alert).into_iter().map(|(name, route)| format!("{name} by {route}")).collect()
    }

    fn grave() -> Match {
        Match { levels: vec![Level::High, Level::Critical], ..Match::default() }
    }

    #[test]
    fn the_first_route_that_accepts_decides_unless_it_goes_on() {
        let mut routes = Routes {
            routes: vec![
                Route { matches: grave(), to: to(&["chat", "mail"]), go_on: true, ..Route::default() },
                Route {
                    matches: Match::default(),
                    to: to(&["mail", "siem"]),
                    go_on: false,
                    ..Route::default()
                },
            ],
        };
        let high = Alert { level: Level::High, ..sample::alert(1) };
        assert_eq!(told(&routes, &high), ["chat by 0", "mail by 0", "siem by 1"]);
        assert_eq!(
            told(&routes, &Alert { level: Level::Low, ..sample::alert(1) }),
            ["mail by 1", "siem by 1"]
        );
        routes.routes[0].go_on = false;
        assert_eq!(told(&routes, &high), ["chat by 0", "mail by 0"]);
    }

    #[test]
    fn nobody_hears_of_what_a_rule_only_observes() {
        let routes = Routes {
            routes: vec![Route {
                matches: Match::default(),
                to: to(&["siem"]),
                go_on: false,
                ..Route::default()
            }],
        };
        assert_eq!(told(&routes, &Alert { observe: true, ..sample::alert(1) }), Vec::<String>::new());
    }

    #[test]
    fn a_match_asks_for_all_of_its_names_and_one_of_their_values() {
        let mut alert = sample::alert(1);
        (alert.tags, alert.attack) = (vec!["vpn".to_owned()], vec!["T1110.001".to_owned()]);
        alert.group.insert("client_ip".to_owned(), Json::Null);
        alert.group.insert("asn.number".to_owned(), json!(64500));
        let field = |name: &str, values: &[&str]| Match {
            fields: vec![(name.to_owned(), patterns(values))],
            ..Match::default()
        };
        for (accepts, matches) in [
            (true, Match { rules: patterns(&["other", "*-burst"]), ..Match::default() }),
            (false, Match { rules: patterns(&["other"]), ..Match::default() }),
            (true, Match { tags: patterns(&["VPN"]), ..Match::default() }),
            (false, Match { tags: patterns(&["wifi"]), ..Match::default() }),
            (true, Match { attack: patterns(&["T1110"]), ..Match::default() }),
            (true, Match { attack: patterns(&["t1110.001"]), ..Match::default() }),
            (false, Match { attack: patterns(&["T1110.002", "T111"]), ..Match::default() }),
            (true, Match { tenants: patterns(&["def*"]), ..Match::default() }),
            (false, Match { tenants: patterns(&["acme"]), ..Match::default() }),
            (true, field("user", &["bob", "ana1"])),
            (false, field("user", &["bob"])),
            (true, field("asn.number", &["64500"])),
            (false, field("client_ip", &["*"])),
            (false, field("absent", &["*"])),
            (false, Match { tags: patterns(&["vpn"]), rules: patterns(&["other"]), ..Match::default() }),
        ] {
            assert_eq!(matches.accepts(&alert), accepts, "{matches:?}");
        }
    }

    #[test]
    fn routes_that_tell_somebody_of_everything_are_required() {
        let route = |matches: Match, names: &[&str], go_on| Route {
            matches,
            to: to(names),
            go_on,
            ..Route::default()
        };
        let faults = |routes: Vec<Route>| -> Vec<String> {
            Routes { routes }.faults().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            faults(vec![route(grave(), &["a"], false), route(Match::default(), &["b"], false)]),
            [""; 0]
        );
        let no_catch_all = "no route takes every alert; end with `{match: {}, to: [...]}`";
        assert_eq!(faults(Vec::new()), [no_catch_all]);
        assert_eq!(faults(vec![route(grave(), &[], false)]), ["route 1 names no receiver", no_catch_all]);
        assert_eq!(
            faults(vec![route(Match::default(), &["a"], false), route(grave(), &["b"], false)]),
            ["route 2 is never reached: route 1 takes every alert and does not `continue`"]
        );
        assert_eq!(
            faults(vec![route(Match::default(), &["a"], true), route(grave(), &["b"], false)]),
            [""; 0]
        );
    }
}
