//! `correlation:` to a spec: what several documents find, together.

use super::super::problem::Problems;
use super::super::spec::Spec;
use super::set::Set;

/// The rule that the correlation of member `number` makes.
pub(super) fn spec(set: &Set, number: usize, problems: &mut Problems) -> Option<Spec> {
    let at = set.members[number].document.head.at;
    problems.error_hint(at, "this version does not run correlations", "take the document out of this folder");
    None
}
