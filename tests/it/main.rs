//! All integration tests, one binary.

mod transcripts;
