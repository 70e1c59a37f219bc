//! The configuration: one YAML file, taken whole or not at all, with every fault told at its place.
//!
//! The same spanned tree, the same table of keys and the same problems as rule files. What the keys
//! of a receiver or a source mean is known where it is built: the table of its kind comes in from
//! there, and [`Options`] hands over what stood in the file. Secrets are named by reference and
//! read once, at building; nothing here prints one.

mod options;
pub mod rules;
mod secret;

pub use options::Options;
pub use secret::Secrets;
