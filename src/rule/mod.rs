//! What to look for: rule files decoded to specs, and specs compiled to programs.

pub mod case;
pub mod decode;
pub mod keys;
pub mod problem;
pub mod schema;
pub mod spec;
pub mod yaml;
