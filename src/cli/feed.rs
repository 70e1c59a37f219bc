//! Records into the engine, one batch after the other.

use crate::engine::{Engine, Outcome, Scratch};
use crate::record::Batch;

/// An engine and what its scanning needs.
#[derive(Debug)]
pub struct Feed {
    /// The engine.
    pub engine: Engine,
    scratch: Scratch,
}

impl Feed {
    /// Feeds `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine, scratch: Scratch::default() }
    }

    /// Takes in one batch.
    pub fn take(&mut self, batch: &Batch) -> Outcome {
        let fresh = self.engine.take_in(batch);
        let hits = self.engine.scan(batch, &fresh, &mut self.scratch);
        self.engine.advance(batch, hits)
    }
}
