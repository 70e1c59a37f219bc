//! What to look for: rule files decoded to specs, and specs compiled to programs.
//!
//! ```text
//! text -> yaml (spanned tree) -> decode -> Spec -> compile -> Program, filed in the index
//!                              -> sigma  ->
//! ```
//!
//! A rule is text in and verdicts out: nothing here opens a file or keeps a group's state.

pub mod case;
pub mod compile;
pub mod condition;
pub mod decode;
mod doubts;
pub mod hours;
pub mod index;
pub mod keys;
pub mod lists;
pub mod past;
pub mod pattern;
pub mod problem;
pub mod reference;
pub mod schema;
pub mod script;
pub mod sigma;
pub mod spec;
pub mod suggest;
pub mod template;
pub mod verb;
pub mod why;
pub mod yaml;

use crate::alert::Revision;
use spec::Spec;

/// Version of the engine's meaning: raised when the same rule would fire differently.
pub const SEMANTICS: u32 = 2;

/// Digest of all in `spec` that decides when it fires, and of the version of the engine's meaning that it is of:
/// a rule that was in force under an older one keeps its revision, so that what it told can be ended. Words and
/// the level are no part of it: changing them keeps the rule's state.
///
/// An error means that a part of the meaning cannot be written: a digest of less would be another
/// rule's as well.
pub fn revision_of(spec: &Spec) -> Result<Revision, postcard::Error> {
    let meaning = (
        spec.semantics,
        &spec.matches,
        &spec.verb,
        &spec.except,
        &spec.levels,
        &spec.cooldown,
        spec.late_within,
    );
    let mut hasher = blake3::Hasher::new();
    postcard::to_io(&meaning, &mut hasher)?;
    if let Some(hours) = &spec.hours {
        postcard::to_io(hours, &mut hasher)?;
    }
    if !spec.quiet_while.is_empty() {
        let names: Vec<&str> = spec.quiet_while.iter().map(|(rule, _)| rule.as_str()).collect();
        postcard::to_io(&("quiet_while", names), &mut hasher)?;
    }
    if spec.per_row {
        postcard::to_io("per_row", &mut hasher)?;
    }
    let mut digest = [0; 8];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Ok(Revision(digest))
}
