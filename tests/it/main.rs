//! What must hold whatever else changes: the laws, the verbs against slow models, real records,
//! and who may name whom.

mod laws;
mod layers;
mod models;
mod real;
mod slow;
mod world;
