//! One line or row of JSON to slots; the only place that meets untyped input.

/// Why a line or row is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It has no time.
    #[error("no time")]
    NoTime,
}
