//! What of a message fits: facts are left out from the end, and said to be; the headline and the way
//! to see more never are.
//!
//! Services measure in different units, so a sink says how long a piece is once it is spelt as the
//! sink spells it. Nothing here spells or sends anything.

use super::render::{Fact, Telling};
use super::shown::Shown;

/// The room that a sink has.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// All together, in the sink's unit.
    pub most: usize,
    /// What a line costs besides its words.
    pub line: usize,
    /// How long a piece of text is; of two pieces together, no more than the sum.
    pub size: fn(&str) -> usize,
}

/// Room for the words that say how many facts are left out.
const MORE: &str = "and: 100 more facts are not shown";

impl Room {
    /// The telling with as many facts as fit.
    pub fn fit(&self, told: Telling) -> Telling {
        let (most, size) = (self.most, self.size);
        let headline = told.headline.cut_by(most / 3, size);
        let lead = told.lead.map(|lead| lead.cut_by(most / 6, size));
        let fixed: usize = told.closing.iter().map(|fact| self.cost(fact)).sum::<usize>()
            + size(headline.literal())
            + lead.as_ref().map_or(0, |lead| size(lead.literal()))
            + 2 * self.line
            + size(MORE)
            + self.line;
        let (mut left, count) = (most.saturating_sub(fixed), told.facts.len());
        let mut facts = Vec::new();
        for (at, fact) in told.facts.into_iter().enumerate() {
            let (name, value) = (fact.name.cut_by(most / 10, size), fact.value.cut_by(most / 4, size));
            let fact = Fact { name, value, ..fact };
            let Some(rest) = left.checked_sub(self.cost(&fact)) else {
                let more = Shown::ours(count - at).and(" more facts are not shown");
                facts.push(Fact { name: Shown::ours("and"), value: more, brief: true });
                break;
            };
            left = rest;
            facts.push(fact);
        }
        Telling { headline, lead, facts, closing: told.closing }
    }

    fn cost(&self, fact: &Fact) -> usize {
        (self.size)(fact.name.literal()) + (self.size)(fact.value.literal()) + self.line
    }
}

/// The lines of a telling: the headline, what changed, and `name: value` for each fact.
pub fn lines(told: &Telling) -> impl Iterator<Item = Shown> + '_ {
    let facts = told.facts.iter().chain(&told.closing);
    let facts = facts.map(|fact| fact.name.clone().and(": ").and_shown(&fact.value));
    std::iter::once(told.headline.clone()).chain(told.lead.clone()).chain(facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{render, samples};
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_the_way_to_see_more_stays() {
        let huge = samples::changed(|alert| {
            alert.title = "🦀".repeat(2_000);
            alert.revision = 2;
            alert.show =
                (0..60).map(|n| (format!("{n}{}", "n".repeat(900)), json!(["v".repeat(900)]))).collect();
        });
        for most in [600, 2_000, 12_000] {
            let room = Room { most, line: 3, size: str::len };
            let told = room.fit(render::telling(&huge));
            let text: Vec<String> = lines(&told).map(|line| line.literal().to_owned()).collect();
            let text = text.join("\n");
            assert!(text.len() <= most, "{} of {most}", text.len());
            assert!(text.contains(" more facts are not shown\nalert: 1a1a"), "{text}");
            assert!(text.ends_with("larum alerts show 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"), "{text}");
        }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let told = render::telling(&samples::alert());
        assert_eq!(Room { most: 3_000, line: 3, size: str::len }.fit(told.clone()), told);
    }
}
