//! What to look for: rule files decoded to specs, and specs compiled to programs.
//!
//! ```text
//! text -> yaml (spanned tree) -> decode -> Spec -> compile -> Program, filed in the index
//! ```
//!
//! A rule is text in and verdicts out: nothing here opens a file or keeps a group's state.

pub mod case;
pub mod decode;
pub mod keys;
pub mod problem;
pub mod script;
pub mod spec;
pub mod suggest;
pub mod template;
