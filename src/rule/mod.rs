//! What to look for: rule files decoded to specs, and specs compiled to programs.

pub mod case;
pub mod problem;
pub mod spec;
