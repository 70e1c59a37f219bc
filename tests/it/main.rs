//! What must hold whatever else changes: the laws, the verbs against slow models, real records,
//! and who may name whom.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod laws;
mod layers;
mod models;
mod real;
mod slow;
mod world;
