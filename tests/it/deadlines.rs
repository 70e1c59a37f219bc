//! Verbs that fire when time has passed, against slow models: any order ahead of the watermark, any
//! restart, late records.

mod absent;
mod feed;
mod overlap;
mod sequence;
