//! Where rows come from. A source gives blocks of lines or pages of rows and a place to resume
//! from; what the rows mean is `record`'s to say.

pub mod file;
pub mod now;
pub mod sort;

#[cfg(test)]
mod tests_real;

pub use file::{Block, Blocks, Input, ReadError};
pub use now::NowGuard;
