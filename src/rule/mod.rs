//! What to look for: rule files decoded to specs, and specs compiled to programs.

pub mod case;
pub mod problem;
pub mod script;
pub mod spec;
pub mod suggest;
pub mod template;
