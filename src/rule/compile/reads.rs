//! Which records a rule can hear of.

use super::super::condition::{Phases, may_hold, phases};
use super::super::spec::Expr;
use crate::record::scan::Endpoint;
use crate::record::{Phase, Value};

/// The records that a rule can hear of: phases, by where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// From where anything may come.
    pub anywhere: Phases,
    /// From the vendor's endpoints, in the order of [`Endpoint::ALL`].
    pub endpoints: [Phases; Endpoint::ALL.len()],
}

impl Reads {
    /// Nothing.
    pub const NONE: Self = Self { anywhere: Phases::NONE, endpoints: [Phases::NONE; Endpoint::ALL.len()] };

    /// What `expr` can accept, of which only kind, service and phase are known. When in doubt, it can.
    pub fn of(expr: &Expr) -> Self {
        let anywhere = phases(expr);
        let from = |endpoint: Endpoint| {
            anywhere.filter(|phase| {
                may_hold(expr, &|field| {
                    if field.is("kind") {
                        Some(Value::Text(endpoint.kind()))
                    } else if field.is("service") {
                        Some(endpoint.service().map_or(Value::Absent, Value::Text))
                    } else if field.is("phase") {
                        Some(Value::Text(phase.as_str()))
                    } else {
                        None
                    }
                })
            })
        };
        Self { anywhere, endpoints: Endpoint::ALL.map(from) }
    }

    /// The same of rows that are one record each.
    #[must_use]
    pub(super) fn per_row(self) -> Self {
        let start = |phases: Phases| phases.and(Phases::only(Phase::Start));
        Self { anywhere: start(self.anywhere), endpoints: self.endpoints.map(start) }
    }

    /// Both together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut both = Self { anywhere: self.anywhere.or(other.anywhere), ..self };
        for (one, other) in both.endpoints.iter_mut().zip(other.endpoints) {
            *one = one.or(other);
        }
        both
    }

    /// The phases that can matter of records from `endpoint`; none: from where anything may come.
    pub fn from(&self, endpoint: Option<Endpoint>) -> Phases {
        endpoint.map_or(self.anywhere, |endpoint| self.endpoints[endpoint as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Programs, rule};
    use super::*;
    use crate::record::Columns;
    use crate::rule::decode::{Options, decode};

    /// From which endpoints the rule that `body` makes can hear, by letter: Desktops, Apps, Launches,
    /// Sessions, User events.
    fn hears(body: &str, phase: Phase) -> String {
        let text = format!("rule: r\ntitle: r\nlevel: low\n{body}\n");
        let (spec, problems) = decode("r.yaml", &text, &Options::default());
        assert!(!problems.has_errors(), "{problems:?}");
        let (spec, mut problems) = (spec.unwrap(), problems);
        let compiled = rule(spec, &mut problems).unwrap();
        let mut columns = Columns::default();
        let programs = Programs::compile(vec![compiled], &mut columns);
        let reads = programs.list[0].reads;
        let letters = ["D", "A", "L", "S", "U"];
        let heard = Endpoint::ALL.into_iter().zip(letters);
        heard
            .filter(|(endpoint, _)| reads.from(Some(*endpoint)).contains(phase))
            .map(|(_, letter)| letter)
            .collect()
    }

    #[test]
    fn a_rule_hears_from_the_endpoints_whose_records_it_can_accept() {
        for (matches, heard) in [
            ("{outcome: failure}", "DA"),
            ("{service: desktop}", "D"),
            ("{service: [desktop, app]}", "DA"),
            ("{service: DESKTOP}", "D"),
            ("{kind: app_launch}", "L"),
            ("{kind: [login, app_launch], service: app}", "AL"),
            ("{kind|startswith: app}", "L"),
            ("{kind|re: ^(s|u)}", "SU"),
            ("{kind|exists: true}", "DALSU"),
            ("{kind|exists: true, service|exists: false}", "U"),
            ("{kind: user_event, service: null}", "U"),
            ("{kind: nothing}", ""),
            ("{kind|fieldref: app_name}", "DALSU"),
            ("[{service: desktop}, {kind: session, user_name: x}]", "DS"),
            ("{a: {kind: session}, b: {user_name: x}, condition: not a and b}", "DALU"),
            ("{a: {kind: session, user_name: x}, condition: not a}", "DALSU"),
            ("{a: {kind: session}, b: {service: app}, condition: b and not a}", "AL"),
        ] {
            assert_eq!(hears(&format!("match: {matches}"), Phase::Start), heard, "{matches}");
        }
    }

    #[test]
    fn a_rule_hears_of_each_phase_by_itself() {
        let matches = "match: [{service: desktop, phase: end}, {kind: app_launch, phase: start}]";
        assert_eq!(
            (hears(matches, Phase::Start), hears(matches, Phase::End)),
            ("L".to_owned(), "D".to_owned())
        );
        assert_eq!(hears("match: {phase: amended}", Phase::Amended), "DA");
    }

    #[test]
    fn what_clears_a_group_is_heard_of_too() {
        let body =
            "match: {service: app}\ncount: {at_least: 2, within: 1m, by: [user], unless: {kind: session}}";
        assert_eq!(hears(body, Phase::Start), "AS");
    }
}
